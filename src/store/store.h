/*-------------------------------------------------------------------------
 *
 * store.h
 *	  Interfaces inside table access method kyro.  README has the design.
 *
 * IDENTIFICATION
 *	  src/store/store.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_STORE_H
#define KYRO_STORE_H

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "lib/ilist.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "compat.h"
#include "store/page.h"

/*
 * What a backend knows of a table: its runs, and the mappings of its file.
 * Found by the table's file, kept in a context of our own; an entry that was
 * returned stays valid until the end of the transaction.
 */
typedef struct StoreMap StoreMap;

typedef struct StoreTable
{
	KyroLocator locator;		/* hash key */
	Oid			relid;
	MemoryContext cxt;			/* of all that hangs on this */
	uint64		incarnation;	/* random, of block 0; 0: no list, the table is all log */
	uint64		generation;		/* of the run list, as read */
	int			nruns;
	int			max_runs;		/* there is room for */
	StoreRun   *runs;			/* by first block; one palloc'd array */
	BlockNumber *list_block;	/* list page that holds each */
	List	   *retired;		/* such arrays of before, for who still uses them */
	int			last;			/* run found last */
	BlockNumber list_room;		/* first page of the list with room, or the last */
	BlockNumber seal_from;		/* see StoreList */
	StoreMap   *map;
	HTAB	   *links;			/* see ledger.c */
	struct LinksSeen *links_seen;
	MemoryContext links_cxt;

	/* see table.c */
	uint64		used;			/* when it was opened last */
	dlist_node	by_use;
	dlist_node	of_relid;
	dlist_node	suspect_node;
	int			suspect;		/* transactions begun since an invalidation, 0: none came */
	Size		bytes;

	/* cumulative, of this backend, since last reported; see stats.c */
	uint64		map_reads;
	uint64		buffer_reads;
} StoreTable;

/* --- page.c, see also page.h ------------------------------------------------ */

extern void store_corrupt(Relation rel, BlockNumber block, const char *problem) pg_attribute_noreturn();

/* --- handler.c --------------------------------------------------------------- */

extern bool store_is_kyro(Relation rel);

/* --- table.c: what a backend knows -------------------------------------- */

extern StoreTable *store_open(Relation rel);
extern StoreTable *store_known(Relation rel);
extern bool store_is_whole(Relation rel);
extern void store_check_readable(Relation rel);
extern void store_table_set_settle(void (*function) (Relation rel));
extern void store_table_init(void);

/* --- runs.c: runs, and whether they exist for a snapshot -------------------- */

extern StoreRun *store_find_run(StoreTable *table, BlockNumber block);
extern int	store_first_run_ending_after(const StoreTable *table, BlockNumber block);
extern bool store_run_visible(StoreRun *run, Snapshot snapshot);
extern bool store_run_aborted(StoreRun *run);
extern bool store_run_in_progress(StoreRun *run);
extern bool store_run_committed(StoreRun *run);
extern bool store_run_older_than(const StoreRun *run, TransactionId horizon);
extern bool store_run_seen_by_all(StoreRun *run, TransactionId horizon);

/* --- list.c: the list of runs, on disk ----------------------------------- */

extern uint64 store_random_id(void);
extern void store_list_init(Page page, BlockNumber block, uint64 incarnation);
extern void store_list_create(const KyroLocator *locator, KyroBackend backend, ForkNumber fork, char persistence);
extern void store_list_recreate(Relation rel);
extern void store_list_stamp(Relation rel, bool may_be_empty, uint64 *incarnation, uint64 *generation);
extern bool store_has_blocks(Relation rel, BlockNumber n, BlockNumber *nblocks);
extern void store_list_load(Relation rel, StoreTable *table);
extern void store_list_none(StoreTable *table);
extern void store_list_add(Relation rel, BlockNumber room, const StoreRun *run, BlockNumber seal_from);
extern void store_list_set_seal_from(Relation rel, BlockNumber seal_from);
extern void store_list_resolve(Relation rel);
extern void store_list_clean(Relation rel);
extern void store_list_cut(Relation rel, BlockNumber end);
extern void store_list_drop(Relation rel, uint64 *ids, int n);

/* --- map.c: reading the file through memory ------------------------------ */

extern const char *store_map_page(Relation rel, StoreTable *table, BlockNumber block);
extern void store_map_prefetch(StoreTable *table, ItemPointer tid);
extern bool store_map_failed(void);
extern void store_map_distrust(StoreTable *table, BlockNumber block);
extern void store_map_raise(Relation rel, StoreTable *table, BlockNumber block) pg_attribute_noreturn();
extern void store_map_set_make_room(bool (*function) (void));
extern void store_map_drop(StoreTable *table);
extern void store_map_unverify(StoreTable *table, BlockNumber first, BlockNumber end);
extern int	store_map_segments(const StoreTable *table);
extern bool store_page_verified(StoreTable *table, BlockNumber block);
extern void store_page_set_verified(StoreTable *table, BlockNumber block);

/* --- row.c: sealed pages and rows --------------------------------------------------- */

/*
 * A page of sealed rows in hand: mapped, or in a pinned buffer.  All zeros at
 * first; release at the end.  The other pins are of pages that the next row
 * will most probably need, too.
 */
typedef struct StorePage
{
	StoreTable *table;
	StoreRun   *run;
	BlockNumber block;
	const char *page;
	Buffer		buffer;			/* pin, or InvalidBuffer if mapped */
	Buffer		vmbuffer;		/* page of the visibility map last used */
	Buffer		link_buffer;	/* link page last used */
	Buffer		ledger_buffer;	/* log page last used for a ledger tuple */
} StorePage;

#define store_page_rows(p) ((const StoreRows *) StorePageGetHeader((p)->page))

extern bool store_page_get(Relation rel, StoreTable *table, BlockNumber block,
						   BufferAccessStrategy strategy, StorePage *p);
extern void store_page_get_of_run(Relation rel, StoreTable *table, StoreRun *run, BlockNumber block,
								  BufferAccessStrategy strategy, StorePage *p);
extern void store_page_drop(StorePage *p);
extern void store_page_release(StorePage *p);
extern HeapTuple store_row_copy(Relation rel, StorePage *p, OffsetNumber row);
extern void store_row_slot(Relation rel, StorePage *p, OffsetNumber row, TupleTableSlot *slot);

/* --- visible.c: which sealed rows are visible ------------------------------ */

extern int	store_page_filter_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *rows, int n);
extern int	store_page_visible_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *visible);
extern bool store_row_visible(Relation rel, StorePage *p, OffsetNumber row, Snapshot snapshot,
							  bool *all_dead);
extern HTSV_Result store_row_vacuum_status(Relation rel, StorePage *p, OffsetNumber row,
										   TransactionId oldest_xmin, TransactionId *xwait);
extern bool store_row_removable(Relation rel, StorePage *p, OffsetNumber row, bool known,
								Snapshot non_vacuumable, TransactionId *horizon);

/* --- ledger.c: links and ledger tuples ------------------------------------ */

extern void store_links_forget(StoreTable *table);
extern ItemPointerData store_link_read(Relation rel, StorePage *p, OffsetNumber row);
extern bool store_link_known(const StorePage *p, OffsetNumber row);
extern void store_ledger_noted(StorePage *p, OffsetNumber row);
extern int	store_links_read(Relation rel, StorePage *p, ItemPointerData *links);
extern void store_if_untouched(Relation rel, StorePage *p, void (*found) (void *arg), void *arg);
extern void store_links_reclaim(Relation rel, StorePage *p, const bool *reclaim);
extern void store_links_kill(Relation rel, StorePage *p, const bool *which);
extern bool store_touch(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger);
extern bool store_log_tuple(Page page, OffsetNumber offset, HeapTupleHeader *t, uint32 *length);
extern bool store_ledger_tag(HeapTupleHeader t, ItemPointer row);
extern bool store_ledger_get(Relation rel, ItemPointer ledger, ItemPointer row, HeapTuple tuple, Buffer *buffer);
extern bool store_ledger_lock(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger, bool prune,
							  HeapTuple tuple);

/* --- vm.c: visibility map bits of sealed pages ----------------------------- */

extern bool store_vm_test(Relation rel, BlockNumber block, Buffer *vmbuffer);
extern void store_vm_clear(Relation rel, BlockNumber block, uint32 n, Buffer *vmbuffer);
extern void store_vm_set(Relation rel, BlockNumber block, XLogRecPtr lsn, Buffer vmbuffer);
extern void store_vm_log(Relation rel, Buffer vmbuffer);

/* --- xlog.c ------------------------------------------------------------------ */

extern void store_log_page_finish(GenericXLogState *state);

/* --- scan.c ---------------------------------------------------------------- */

/*
 * A scan.  `heap` is a heap scan of the same table, which knows about blocks,
 * parallel workers and strategies, and holds the pin of a log page; we walk
 * the blocks ourselves.  In page mode (every MVCC snapshot) heap->rs_vistuples
 * are the visible rows of the page, log or sealed; otherwise each row is
 * judged when it is returned, as snapshots that report xids want it.
 */
typedef struct StoreScan
{
	TableScanDescData base;		/* must be first */
	HeapScanDesc heap;
	StoreTable *table;
	bool		sealed;			/* the page in hand is p, else heap->rs_cbuf */
	StorePage	p;
	BlockNumber sample_max;		/* rows on the page being sampled */
	HeapTupleData row;			/* for scan keys */
} StoreScan;

extern bool store_scan_next_page(StoreScan *scan, ScanDirection direction);
extern TableScanDesc store_scan_begin(Relation rel, Snapshot snapshot, int nkeys, struct ScanKeyData *key,
									  ParallelTableScanDesc pscan, uint32 flags);
extern void store_scan_end(TableScanDesc scan);
extern void store_scan_rescan(TableScanDesc scan, struct ScanKeyData *key, bool set_params, bool allow_strat,
							  bool allow_sync, bool allow_pagemode);
extern bool store_scan_getnextslot(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
extern void store_scan_set_tidrange(TableScanDesc scan, ItemPointer mintid, ItemPointer maxtid);
extern bool store_scan_getnextslot_tidrange(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
extern bool store_scan_bitmap_next_block(TableScanDesc scan, struct TBMIterateResult *tbmres);
extern bool store_scan_bitmap_next_tuple(TableScanDesc scan, struct TBMIterateResult *tbmres, TupleTableSlot *slot);
extern bool store_scan_sample_next_block(TableScanDesc scan, struct SampleScanState *scanstate);
extern bool store_scan_sample_next_tuple(TableScanDesc scan, struct SampleScanState *scanstate, TupleTableSlot *slot);
#ifndef KYRO_ANALYZE_STREAM
extern bool store_scan_analyze_next_block(TableScanDesc scan, BlockNumber blockno, BufferAccessStrategy strategy);
#else
extern bool store_scan_analyze_next_block(TableScanDesc scan, ReadStream *stream);
#endif
extern bool store_scan_analyze_next_tuple(TableScanDesc scan, TransactionId oldest_xmin, double *liverows,
										  double *deadrows, TupleTableSlot *slot);
extern bool store_tuple_tid_valid(TableScanDesc scan, ItemPointer tid);
extern void store_tuple_get_latest_tid(TableScanDesc scan, ItemPointer tid);

/* --- fetch.c: rows by TID --------------------------------------------------- */

extern IndexFetchTableData *store_index_fetch_begin(Relation rel);
extern void store_index_fetch_reset(IndexFetchTableData *scan);
extern void store_index_fetch_end(IndexFetchTableData *scan);
extern bool store_index_fetch_tuple(IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
									TupleTableSlot *slot, bool *call_again, bool *all_dead);
extern bool store_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);
extern bool store_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot);
extern TransactionId store_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate);

/* --- conflict.c: serializable transactions ------------------------------------ */

extern void store_conflicts_unseen(Relation rel, StoreTable *table, Snapshot snapshot);
extern void store_conflicts_out(Relation rel, Buffer buffer, const OffsetNumber *offsets, int n, Snapshot snapshot);

/* --- dml.c -------------------------------------------------------------------- */

extern TM_Result store_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
									Snapshot crosscheck, bool wait, TM_FailureData *tmfd, bool changingPart);
extern TM_Result store_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot, CommandId cid,
									Snapshot snapshot, Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
									LockTupleMode *lockmode, KyroUpdateIndexes *update_indexes);
extern TM_Result store_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
								  CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy, uint8 flags,
								  TM_FailureData *tmfd);

/* --- update.c: the first update of a sealed row ---------------------------------- */

extern TM_Result store_ledger_update(Relation rel, HeapTuple old, ItemPointer ledger_tid, HeapTuple new, CommandId cid,
									 bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode);

/* --- build.c: index builds ------------------------------------------------------ */

extern double store_index_build_range_scan(Relation rel, Relation index, struct IndexInfo *indexInfo,
										   bool allow_sync, bool anyvisible, bool progress,
										   BlockNumber start_blockno, BlockNumber numblocks,
										   IndexBuildCallback callback, void *callback_state, TableScanDesc scan);
extern void store_index_validate_scan(Relation rel, Relation index, struct IndexInfo *indexInfo,
									  Snapshot snapshot, struct ValidateIndexState *state);

/* --- pack.c: the pages of a run ------------------------------------------------------ */

typedef struct StorePack StorePack;

/* Of the rows of a run: how many, and bytes as they are stored. */
typedef struct StoreSizes
{
	uint64		rows;
	uint64		bytes;			/* of all */
	uint32		widest;			/* of one */
	uint32		narrowest;
} StoreSizes;

extern uint32 store_stored_size(HeapTuple tuple);
extern void store_stored_copy(HeapTuple tuple, char *to);
extern StorePack *store_pack_begin(Relation rel, uint64 fxid, TransactionId xmin, int keep);
extern void store_pack_at_end(StorePack *pack);
extern bool store_pack_claim(StorePack *pack, const StoreSizes *sizes);
extern char *store_pack_row(StorePack *pack, Relation rel, uint16 infomask, uint32 size, ItemPointer tid);
extern bool store_pack_is_full(const StorePack *pack);
extern void store_pack_finish(StorePack *pack, Relation rel, StoreRun *run);

/* --- space.c: runs in the place of empty pages ------------------------------------------ */

/* Has a seal left this page, if it is in no run? */
static inline bool
store_page_is_orphan(Page page)
{
	StorePageKind kind = store_page_kind(page);

	return kind == STORE_ROWS || kind == STORE_GROUPS;
}

extern bool store_page_is_empty(Page page);
extern bool store_free_page(Relation rel, BlockNumber block);
extern BlockNumber store_space_claim(Relation rel, uint64 run, uint32 n);
extern void store_space_release(Relation rel, BlockNumber first, BlockNumber end);

/* --- load.c: bulk loads ------------------------------------------------------------- */

extern bool store_load_row(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
						   struct BulkInsertStateData *bistate);
extern void store_load_settle(Relation rel);
extern void store_load_forget(Relation rel);
extern void store_load_init(void);

/* --- run.c: sorting rows and writing a run ---------------------------------------- */

typedef struct StoreWriter StoreWriter;

extern Oid	store_order_index(Relation rel);
extern StoreWriter *store_writer_begin(Relation source, Relation target, Relation index);
extern bool store_writer_fits(Relation rel, HeapTuple tuple);
extern uint64 store_writer_rows(StoreWriter *writer);
extern void store_writer_put(StoreWriter *writer, HeapTuple tuple);
extern bool store_writer_write(StoreWriter *writer, bool reuse, uint64 fxid, StoreRun *run,
							   void (*placed) (void *arg, ItemPointer from, ItemPointer to), void *arg);
extern void store_writer_end(StoreWriter *writer);

/* --- seal.c ----------------------------------------------------------------------- */

/* What a seal is to take, and has taken. */
typedef struct StoreSeal
{
	uint64		rows;			/* so many at most */
	bool		pages;			/* whole pages, from .. end - 1, with a few more rows */
	BlockNumber from;
	BlockNumber end;
	TimestampTz older_than;		/* committed before; DT_NOEND: all */

	BlockNumber next;			/* where to go on; 0: all was read */
	uint64		sealed;
	uint64		losers;			/* rows that somebody changed or locked meanwhile */
} StoreSeal;

extern Relation store_seal_open(Oid relid);
extern bool store_seal(Relation rel, StoreSeal *what, StoreRun *run);

/*
 * An access method that can take many entries at once.  Registered at start,
 * because this layer does not know index access methods.
 */
typedef struct StoreBulkInsert
{
	bool		(*is_mine) (Relation index);
	void	   *(*begin) (Relation index, int memory);	/* kB */
	void		(*put) (void *bulk, Datum value, bool isnull, ItemPointer tid);
	void		(*finish) (void *bulk);
} StoreBulkInsert;

extern void store_set_bulk_insert(const StoreBulkInsert *methods);

/* --- tree.c ----------------------------------------------------------------------- */

extern List *store_partitions(Oid relid);

/* --- stamp.c: the last step of a seal ---------------------------------------------------- */

typedef struct StoreMoves StoreMoves;

extern StoreMoves *store_moves_begin(void);
extern void store_moves_put(void *moves, ItemPointer from, ItemPointer to);
extern void store_moves_end(StoreMoves *moves);
extern bool store_tuple_is_free(HeapTuple tuple, Snapshot snapshot, CommandId cid, Buffer buffer);
extern uint64 store_stamp(Relation rel, StoreMoves *moves, Snapshot snapshot, TransactionId xid, CommandId cid);

/* --- compact.c, vacuum.c ------------------------------------------------------------ */

extern void store_copy_for_cluster(Relation OldTable, Relation NewTable, Relation OldIndex, bool use_sort,
								   TransactionId OldestXmin, TransactionId *xid_cutoff,
								   MultiXactId *multi_cutoff, double *num_tuples, double *tups_vacuumed,
								   double *tups_recently_dead);
extern void store_vacuum(Relation rel, struct VacuumParams *params, BufferAccessStrategy bstrategy);

/* --- whole.c: tables without a list ----------------------------------------------------- */

extern void store_check_log_page(Relation rel, Page page, BlockNumber block);
extern void store_check_all_log(Relation rel);
extern void store_make_whole(Relation rel);
extern void store_remove_old_entries(Relation rel);

/* --- trim.c: what failed seals left --------------------------------------------------- */

extern void store_trim(Relation rel, BlockNumber log_end);
extern void store_free_pages(Relation rel, TransactionId horizon);

/* --- verify.c ------------------------------------------------------------------------- */

typedef void (*StoreReport) (void *arg, BlockNumber block, const char *format,...) pg_attribute_printf(3, 4);

extern void store_verify(Relation rel, bool deep, StoreReport report, void *arg);

#endif							/* KYRO_STORE_H */
