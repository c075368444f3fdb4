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
#include "report.h"
#include "store/page.h"
#include "usage/usage.h"

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
	uint64		incarnation;	/* random, of block 0; 0: no list, the table
								 * is all log */
	uint64		generation;		/* of the run list, as read */
	int			nruns;
	int			max_runs;		/* there is room for */
	StoreRun   *runs;			/* by first block; one palloc'd array */
	BlockNumber *list_block;	/* list page that holds each */
	List	   *retired;		/* such arrays of before, for who still uses
								 * them */
	int			last;			/* run found last */
	BlockNumber list_room;		/* first page of the list with room, or the
								 * last */
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
	int			suspect;		/* transactions begun since an invalidation,
								 * 0: none came */
	Size		bytes;

	UsageTable *usage;			/* where to count what is done to it in this
								 * transaction ... */
	Oid			usage_relid;	/* ... as this table */
} StoreTable;

/* --- page.c, see also page.h ------------------------------------------------ */

/* Raise an error about a damaged page. */
kyro_noreturn extern void store_corrupt(Relation rel, BlockNumber block, const char *problem);

/* --- handler.c --------------------------------------------------------------- */

/* Is this a table of access method kyro? */
extern bool store_is_kyro(Relation rel);

/* --- table.c: what a backend knows -------------------------------------- */

/*
 * What this backend knows of the table, brought up to date with block 0.  The
 * caller holds a lock on the table, and has the snapshot it will read with.
 * Valid until the end of the transaction.
 */
extern StoreTable *store_open(Relation rel);

/*
 * The same without looking at block 0; NULL if nobody has in this transaction.  For who
 * has a TID from a scan: the run of a row that could be found there stays as long
 * as the file, but one that is not in the copy may have been sealed since.
 */
extern StoreTable *store_known(Relation rel);

/*
 * Has the table a list of runs?  If not, it is all log.  Raises an error if
 * block 0 is damaged.  The caller holds a lock on the table.
 */
extern bool store_is_whole(Relation rel);

/*
 * Raise an error if the table's list is damaged: what is written into a table
 * that cannot be read would be lost with the rest.  Looks once in a transaction.
 * A table without blocks gets its list now, while that is easy.
 */
extern void store_check_readable(Relation rel);

/*
 * From _PG_init(): what makes rows that this backend still has in hand part of
 * a table, before anybody looks at that.
 */
extern void store_table_set_settle(void (*function) (Relation rel));

extern void store_table_init(void);

/* --- runs.c: runs, and whether they exist for a snapshot -------------------- */

/* The run that a block of rows belongs to, or NULL. */
extern StoreRun *store_find_run(StoreTable *table, BlockNumber block);

/*
 * Number of the first run that ends behind a block, counting its pages of groups;
 * nruns if there is none.
 */
extern int	store_first_run_ending_after(const StoreTable *table, BlockNumber block);

/* Are the rows of a run visible to a snapshot, as far as the run is concerned? */
extern bool store_run_visible(StoreRun *run, Snapshot snapshot);

/* Will the rows of a run never be visible to anyone? */
extern bool store_run_aborted(StoreRun *run);

/* Is another transaction sealing a run just now? */
extern bool store_run_in_progress(StoreRun *run);

/* Is a run sealed for good, for everyone who takes a snapshot now? */
extern bool store_run_committed(StoreRun *run);

/* Does every snapshot see an xid, if it has ended?  None is older than 2^31. */
extern bool store_fxid_is_ancient(uint64 fxid);

/*
 * Is the transaction that sealed a run, however it ended, older than every
 * snapshot, if none is older than the horizon?
 */
extern bool store_run_older_than(const StoreRun *run, TransactionId horizon);

/* Is a run visible to every snapshot, if none is older than the horizon? */
extern bool store_run_seen_by_all(StoreRun *run, TransactionId horizon);

/* Forget where the link pages of a table are (ledger.c). */
extern void store_links_forget(StoreTable *table);

/* --- list.c: the list of runs, on disk ----------------------------------- */

/* A random number that no other run or table has, and that is not 0. */
extern uint64 store_random_id(void);

/* Make a page of the list, without runs. */
extern void store_list_init(Page page, BlockNumber block, uint64 incarnation);

/*
 * Write block 0 of a new, empty fork, past the buffer manager: nobody can have
 * it in a buffer.  The init fork must be logged and synced whatever wal_level
 * is, as it is read after a crash; for the main fork of a permanent table core
 * syncs at commit what was not logged.
 */
extern void store_list_create(const KyroLocator *locator, KyroBackend backend, ForkNumber fork, char persistence);

/*
 * The same for a relation that has no blocks: it was truncated to nothing, or its
 * file was swapped for an empty one.  Does nothing if there are blocks by now.
 */
extern void store_list_recreate(Relation rel);

/*
 * Incarnation and generation on block 0: what a backend's copy is compared
 * with.  Both are 0 if the table is all log (whole.c).  Cheap: the page's checksum
 * is verified when the list is loaded.  may_be_empty: the file may have no
 * blocks at all, which is so only before a list was seen in it.
 */
extern void store_list_stamp(Relation rel, bool may_be_empty, uint64 *incarnation, uint64 *generation);

/*
 * Does the table have so many blocks?  *nblocks, as known before, may be too few:
 * a seal makes the table longer, then the list, and does not keep readers out.
 */
extern bool store_has_blocks(Relation rel, BlockNumber n, BlockNumber *nblocks);

/*
 * Read the list into a backend's copy, sorted by first block.  A list that only
 * grew is continued where it is, so that a transaction with many seals does not
 * keep as many copies.
 */
extern void store_list_load(Relation rel, StoreTable *table);

/* The copy of a table that is all log. */
extern void store_list_none(StoreTable *table);

/*
 * Add a run to the list, and note where the next seal is to begin reading.  room
 * is where the list has room, as store_open() has just found it.  The caller holds a lock on the table that excludes other changes of the list.
 */
extern void store_list_add(Relation rel, BlockNumber room, const StoreRun *run, BlockNumber seal_from);

/*
 * Note where the next seal is to begin reading, and so that no index has entries
 * of block 0.  Locks as for store_list_add().
 */
extern void store_list_set_seal_from(Relation rel, BlockNumber seal_from);

/*
 * Write down how the transactions that sealed runs ended, so that nobody needs
 * their clog again.  VACUUM's lock on the table excludes seals in progress.
 */
extern void store_list_resolve(Relation rel);

/* Write down that no index has entries of aborted runs any more. */
extern void store_list_clean(Relation rel);

/*
 * Take the runs that begin at a block or behind it out of the list.  The table
 * is locked in AccessExclusive mode.
 */
extern void store_list_cut(Relation rel, BlockNumber end);

/*
 * Write down of some runs that they are dead: no snapshot sees a row, no index has
 * entries, and no link of a row that counts leads there.  Sorts their ids.
 */
extern void store_list_retire(Relation rel, uint64 *ids, int n);

/*
 * Date dead runs whose list was changed before: whoever may have such a run in hand has a snapshot
 * that is not newer than that.  Gives this transaction an xid; does nothing if it has one, or nothing to date.
 */
extern void store_list_date(Relation rel);

/*
 * Take some runs out of the list that nobody can have in hand: they were rolled back, and no
 * reader can have seen them in progress, or they have been dead for long.  Sorts their ids.
 */
extern void store_list_drop(Relation rel, uint64 *ids, int n);

/* --- map.c: reading the file through memory ------------------------------ */

/*
 * A page of rows, mapped and verified, or NULL: read it through a buffer then.
 * Valid until the end of the transaction, as long as the table is locked.
 */
extern const char *store_map_page(Relation rel, StoreTable *table, BlockNumber block);

/*
 * Start to load what reading a row will need, if its page is mapped: the page's
 * header, the row's entry, and the row.  Each of them is a cache miss on a
 * table larger than the cache, and one after the other they are most of what a
 * point read costs.  Where the row is, is guessed from what is average in the run:
 * right if all rows are equally long, and of no consequence if wrong.
 */
extern void store_map_prefetch(StoreTable *table, ItemPointer tid);

/*
 * Did the kernel fail to deliver a mapped page since last asked?  To be called
 * after reading one and before using what was read.
 */
extern bool store_map_failed(void);

/*
 * Trust the mapped page no longer, and forget that it could not be delivered:
 * it is read through a buffer instead.  The zeros stay where they are, since
 * other scans of ours may be reading the neighbourhood.
 */
extern void store_map_distrust(StoreTable *table, BlockNumber block);

/* Raise an error about a page that the kernel could not deliver. */
kyro_noreturn extern void store_map_raise(Relation rel, StoreTable *table, BlockNumber block);

/*
 * From _PG_init(): what unmaps something that was not used for long; false if
 * there is nothing.
 */
extern void store_map_set_make_room(bool (*function) (void));

/* Forget all mappings of a table, and which of its pages were verified. */
extern void store_map_drop(StoreTable *table);

/*
 * Trust pages no longer whose run is gone: other pages will be there.  They stay
 * mapped, since scans of ours may be reading pages beside them.
 */
extern void store_map_unverify(StoreTable *table, BlockNumber first, BlockNumber end);

/* How many segments of a table are mapped? */
extern int	store_map_segments(const StoreTable *table);

/*
 * Was a page found sound in a buffer by this backend?  Of the mapped page that says
 * nothing: a page that was replayed, or put into the place of another, is in buffers first.
 */
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

/*
 * Get the page of rows at a block in hand, mapped or pinned.  False if the
 * block belongs to no run that the backend knows of, or to one that was rolled
 * back: VACUUM may have made a log page of it since, and if not, heap code finds
 * nothing there.  Raises an error if the page is damaged.  p->page must be NULL
 * at first; afterwards the same p can be used for one page after the other.
 */
extern bool store_page_get(Relation rel, StoreTable *table, BlockNumber block,
						   BufferAccessStrategy strategy, StorePage *p);

/*
 * The same for a block of a run, whatever became of it.  Of one that was rolled
 * back the caller knows that VACUUM has not taken it out of the list.
 */
extern void store_page_get_of_run(Relation rel, StoreTable *table, StoreRun *run, BlockNumber block,
								  BufferAccessStrategy strategy, StorePage *p);

/*
 * Let go of the page, and of the log page, which others may want to prune, but not of
 * the visibility map and the links: the next search of a nested loop will
 * need those again.
 */
extern void store_page_drop(StorePage *p);

/* Let go of all pins. */
extern void store_page_release(StorePage *p);

/* A row as a heap tuple, in one palloc'd chunk. */
extern HeapTuple store_row_copy(Relation rel, StorePage *p, OffsetNumber row);

/*
 * Put a row into a slot of our kind.  The slot owns the tuple, as after
 * ExecMaterializeSlot().  The memory is used again by the next row that is put
 * there: what lies between the HeapTupleData and the tuple is our note of how
 * much there is, and the gap itself tells that the memory is ours.
 */
extern void store_row_slot(Relation rel, StorePage *p, OffsetNumber row, TupleTableSlot *slot);

/* --- visible.c: which sealed rows are visible ------------------------------ */

/* Of n rows of the page, keep those that an MVCC snapshot sees; returns how many. */
extern int	store_page_filter_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *rows, int n);

/*
 * The numbers of all rows of the page that an MVCC snapshot sees; returns how
 * many.  `visible` has room for MaxHeapTuplesPerPage.
 */
extern int	store_page_visible_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *visible);

/*
 * Is row number `row` (1 .. count) of the page visible to a snapshot?  If not,
 * *all_dead (may be NULL) tells that no snapshot of this server will ever see it;
 * it is never set to true otherwise.  Standbys may not know yet, see
 * store_row_removable().
 */
extern bool store_row_visible(Relation rel, StorePage *p, OffsetNumber row, Snapshot snapshot,
							  bool *all_dead);

/*
 * What VACUUM would say of a sealed row, in the terms it has for heap tuples.
 * *xwait is the transaction to wait for if it is in progress.  A run whose
 * transaction is in progress can only be our own: its lock keeps others out.
 */
extern HTSV_Result store_row_vacuum_status(Relation rel, StorePage *p, OffsetNumber row,
										   TransactionId oldest_xmin, TransactionId *xwait);

/*
 * May an index delete its entry of a row (1 .. count), as far as this server is
 * concerned?  known: it was told so before.  Advances *horizon to the newest xid that a
 * standby's snapshot must see, if the record that pruned the ledger tuple has
 * not told them.  non_vacuumable is a snapshot of that kind.
 */
extern bool store_row_removable(Relation rel, StorePage *p, OffsetNumber row, bool known,
								Snapshot non_vacuumable, TransactionId *horizon);

/* --- moved.c: rows that were moved to another run ------------------------------- */

/*
 * Where a link says that the row was moved to, and the run there; NULL if that was rolled
 * back.  May read the list anew; no page may be locked.
 */
extern StoreRun *store_moved_to(Relation rel, StoreTable *table, const ItemPointerData *link, ItemPointer to);

/* Does a link lead to a place where the row was not moved after all? */
extern bool store_moved_undone(Relation rel, StoreTable *table, const ItemPointerData *link);

/* Is a row that was moved to this run dead to every snapshot? */
extern bool store_moved_removable(StoreRun *to, struct GlobalVisState *vistest);

/* As store_row_vacuum_status(), of a row with such a link. */
extern HTSV_Result store_moved_vacuum_status(Relation rel, StoreTable *table, const ItemPointerData *link,
											 TransactionId oldest_xmin, TransactionId *xwait);

/* --- ledger.c: links and ledger tuples ------------------------------------ */

/* The link of a row: offset number 0 if it was never touched. */
extern ItemPointerData store_link_read(Relation rel, StorePage *p, OffsetNumber row);

/* Was a row of the page in hand touched, as far as is known without looking? */
extern bool store_link_known(const StorePage *p, OffsetNumber row);

/* Note that a row's ledger tuple is there, and alive to a snapshot of ours. */
extern void store_ledger_noted(StorePage *p, OffsetNumber row);

/*
 * The links of all rows of a page; returns how many rows were touched.  If that
 * is 0, links is not filled.
 */
extern int	store_links_read(Relation rel, StorePage *p, ItemPointerData *links);

/*
 * Call found() while nobody can touch a row of the page, if none was touched
 * yet.
 */
extern void store_if_untouched(Relation rel, StorePage *p, void (*found) (void *arg), void *arg);

/*
 * Note of some rows of a page that they are dead to all and no index has them
 * any more.
 */
extern void store_links_reclaim(Relation rel, StorePage *p, const bool *reclaim);

/*
 * Note of some rows of a page, which nobody has touched, that they are dead to
 * all: the seal that wrote them did not get them.
 */
extern void store_links_kill(Relation rel, StorePage *p, const bool *which);

/*
 * Of a page of rows, link those that nobody has touched to where they are moved, and say in done[]
 * which; of n rows.
 */
extern void store_links_move(Relation rel, StorePage *p, const OffsetNumber *rows, const ItemPointerData *to, int n,
							 bool *done);

/*
 * Let some rows of a page, whose move was rolled back, be as if never touched: if
 * they have the same links still.
 */
extern void store_links_reset(Relation rel, StorePage *p, const bool *which, ItemPointerData *links);

/*
 * The ledger tuple of a row, made if this is the first touch; or the link of one that
 * is moved.  Unless true is returned *ledger may turn out to be no longer the row's, which
 * means that the row is dead to all.
 */
extern bool store_touch(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger);

/*
 * The tuple that a link leads to, in *t and *length; *t is NULL if there is no
 * ordinary tuple any more.  False if the item or the header of the tuple is
 * damaged: heap code does not look, and would leave the page.
 */
extern bool store_log_tuple(Page page, OffsetNumber offset, HeapTupleHeader *t, uint32 *length);

/* Read the tag of a ledger tuple; false if it has none. */
extern bool store_ledger_tag(HeapTupleHeader t, ItemPointer row);

/*
 * If there is a ledger tuple of this row where the link says, fill *tuple, and
 * return with the buffer share-locked.  Else the row is dead to all.
 */
extern bool store_ledger_get(Relation rel, ItemPointer ledger, ItemPointer row, HeapTuple tuple, Buffer *buffer);

/*
 * The same for a row of the page in hand, with p->ledger_buffer, which stays
 * pinned.  prune as in lock_ledger().
 */
extern bool store_ledger_lock(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger, bool prune,
							  HeapTuple tuple);

/* --- vm.c: visibility map bits of sealed pages ----------------------------- */

/*
 * Is the bit of a block set?  Then its rows are visible to everyone and
 * untouched.  *vmbuffer keeps the map's page pinned for the next call.  No
 * lock is taken: a change that our snapshot must see happened before the
 * snapshot was taken, and what happened since it must not see.
 */
extern bool store_vm_test(Relation rel, BlockNumber block, Buffer *vmbuffer);

/*
 * Clear the bits of a block, and if it has any, those of n blocks from there, as far
 * as the pinned page of the map goes.  The caller has pinned it with
 * visibilitymap_pin() for the first block, and holds the link page of that block's group
 * locked exclusively, so that nobody links a row of it before this is logged.
 */
extern void store_vm_clear(Relation rel, BlockNumber block, uint32 n, Buffer *vmbuffer);

/*
 * Set the bits of a block.  The caller has pinned the map's page with
 * visibilitymap_pin(), and holds a lock that whoever touches a row of the block
 * would need.  Not logged: call store_vm_log() when done with the map's page.
 * Until then a crash may leave the bits set or not, and both are right,
 * provided that what makes them right is on disk first: that is what lsn is
 * for, which must be past the commit record of the run.
 */
extern void store_vm_set(Relation rel, BlockNumber block, XLogRecPtr lsn, Buffer vmbuffer);

/* Log the pinned page of the map as it is. */
extern void store_vm_log(Relation rel, Buffer vmbuffer);

/* --- xlog.c ------------------------------------------------------------------ */

/*
 * GenericXLogFinish() for a change of which a log page is part.  Such a page has
 * hint bits, which are set without being logged, and which generic WAL, unlike
 * heap WAL, does not mask for wal_consistency_checking: it would find pages
 * inconsistent that are not.  So that check is left out for this record.
 */
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
	struct StoreBitmap *bitmap; /* pages that come next, of bitmap.c, or NULL */
	HeapTupleData row;			/* for scan keys */
} StoreScan;

/*
 * Go to the next page in the given direction, or the first; false at the end.
 * Then scan->sealed says whether the page is scan->p or heap->rs_cbuf, which is
 * pinned.  In page mode rs_vistuples are the visible rows, and rs_cindex is
 * before the first one.
 */
extern bool store_scan_next_page(StoreScan *scan, ScanDirection direction);

/* When a scan begins anew, or ends: the pages of a bitmap that were to come. */
static inline void
store_bitmap_forget(StoreScan *scan)
{
	if (scan->bitmap != NULL)
		pfree(scan->bitmap);
	scan->bitmap = NULL;
}

/* Let go of the log page in hand, if there is one. */
extern void store_scan_leave_log_page(StoreScan *scan);

/*
 * Take ledger tuples out of the visible rows of the log page in hand, and see to
 * the conflicts of what is left.
 */
extern void store_scan_drop_ledgers(HeapScanDesc heap);

/* Put a row of the page in hand into the slot. */
extern void store_scan_row_slot(StoreScan *scan, OffsetNumber offset, TupleTableSlot *slot);

/*
 * Start a scan.  flags as in table_beginscan(); the snapshot may be NULL for
 * ANALYZE.
 */
extern TableScanDesc store_scan_begin(Relation rel, Snapshot snapshot, int nkeys, struct ScanKeyData *key,
									  ParallelTableScanDesc pscan, uint32 flags);

extern void store_scan_end(TableScanDesc scan);
extern void store_scan_rescan(TableScanDesc scan, struct ScanKeyData *key, bool set_params, bool allow_strat,
							  bool allow_sync, bool allow_pagemode);
extern bool store_scan_getnextslot(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
extern void store_scan_set_tidrange(TableScanDesc scan, ItemPointer mintid, ItemPointer maxtid);
extern bool store_scan_getnextslot_tidrange(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
extern bool store_scan_sample_next_block(TableScanDesc scan, struct SampleScanState *scanstate);
extern bool store_scan_sample_next_tuple(TableScanDesc scan, struct SampleScanState *scanstate, TupleTableSlot *slot);
#ifndef KYRO_ANALYZE_STREAM

/* Heap code would take the next buffer itself, and we must look at it first. */
extern bool store_scan_analyze_next_block(TableScanDesc scan, BlockNumber blockno, BufferAccessStrategy strategy);

#else

/* Heap code would take the next buffer itself, and we must look at it first. */
extern bool store_scan_analyze_next_block(TableScanDesc scan, ReadStream *stream);

#endif

/*
 * Count and sample rows as heap code does.  A dead sealed row is not counted
 * here: its ledger tuple is, where it is.
 */
extern bool store_scan_analyze_next_tuple(TableScanDesc scan, TransactionId oldest_xmin, double *liverows,
										  double *deadrows, TupleTableSlot *slot);

extern bool store_tuple_tid_valid(TableScanDesc scan, ItemPointer tid);

/*
 * Follow the versions of a row, over seals and updates, to the latest one that
 * the scan's snapshot sees; *tid stays as it is if none does.
 */
extern void store_tuple_get_latest_tid(TableScanDesc scan, ItemPointer tid);

/* --- bitmap.c ------------------------------------------------------------- */

#ifndef KYRO_BITMAP_ITERATOR
extern bool store_scan_bitmap_next_block(TableScanDesc scan, struct TBMIterateResult *tbmres);
extern bool store_scan_bitmap_next_tuple(TableScanDesc scan, struct TBMIterateResult *tbmres, TupleTableSlot *slot);
#else
extern bool store_scan_bitmap_next_tuple(TableScanDesc scan, TupleTableSlot *slot, bool *recheck,
										 uint64 *lossy_pages, uint64 *exact_pages);
#endif

/* --- fetch.c: rows by TID --------------------------------------------------- */

extern IndexFetchTableData *store_index_fetch_begin(Relation rel);
extern void store_index_fetch_reset(IndexFetchTableData *scan);
extern void store_index_fetch_end(IndexFetchTableData *scan);

/* The version of a row at a TID from an index that the snapshot sees. */
extern bool store_index_fetch_tuple(IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
									TupleTableSlot *slot, bool *call_again, bool *all_dead);

/* The row at exactly this TID, if the snapshot sees it. */
extern bool store_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);

/* Is the row in the slot visible to a snapshot? */
extern bool store_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot);

/*
 * An index wants to delete entries.  Those of log rows are heap code's affair.
 * One of a sealed row may go if the row is dead to everybody here; standbys
 * hear of it by the record that removed its ledger tuple, or, if that is still
 * there, by the horizon that we return.  The caller has a page of
 * the index locked.
 */
extern TransactionId store_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate);

/* --- conflict.c: serializable transactions ------------------------------------ */

/*
 * A serializable transaction has opened the table, after it has left its lock there: register
 * conflicts with those who have loaded rows that its snapshot does not see.
 */
extern void store_conflicts_unseen(Relation rel, StoreTable *table, Snapshot snapshot);

/*
 * The snapshot sees a row that was moved to a place in a run that it does not see: who
 * has changed that?
 */
extern void store_conflicts_moved(Relation rel, StoreTable *table, const StoreRun *run, ItemPointer to,
								  Snapshot snapshot);

/*
 * The snapshot sees a row whose ledger tuple has this header: was it moved, and who has changed
 * it then?  No page is locked.
 */
extern void store_conflicts_ledger(Relation rel, StoreTable *table, HeapTupleHeader t, ItemPointer self,
								   Snapshot snapshot);

/*
 * The snapshot sees these tuples of a log page, of which the buffer is pinned
 * and not locked, and the caller is about to report them.
 */
extern void store_conflicts_out(Relation rel, Buffer buffer, const OffsetNumber *offsets, int n, Snapshot snapshot);

/* --- dml.c -------------------------------------------------------------------- */

extern TM_Result store_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
									Snapshot crosscheck, bool wait, TM_FailureData *tmfd, bool changingPart);
extern TM_Result store_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot, CommandId cid,
									Snapshot snapshot, Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
									LockTupleMode *lockmode, KyroUpdateIndexes *update_indexes);

/* Lock a row.  As heap's, but its versions may be sealed. */
extern TM_Result store_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
								  CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy, uint8 flags,
								  TM_FailureData *tmfd);

/* --- update.c: the first update of a sealed row ---------------------------------- */

/*
 * Update a sealed row, `old`, by `new`.  *ledger_tid is its ledger tuple, which
 * the caller has just seen there and a snapshot keeps there.  As heap_update():
 * on TM_Ok new->t_self is where the new version is; on failure *tmfd is filled, in
 * which ctid may be that of the ledger tuple.  *lockmode is set in any case.
 */
extern TM_Result store_ledger_update(Relation rel, HeapTuple old, ItemPointer ledger_tid, HeapTuple new, CommandId cid,
									 bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode);

/* --- build.c: index builds ------------------------------------------------------ */

/*
 * index_build_range_scan.  The caller holds ShareLock on the table, or, for a
 * concurrent build or BRIN's summarizing, a weaker one.
 */
extern double store_index_build_range_scan(Relation rel, Relation index, struct IndexInfo *indexInfo,
										   bool allow_sync, bool anyvisible, bool progress,
										   BlockNumber start_blockno, BlockNumber numblocks,
										   IndexBuildCallback callback, void *callback_state, TableScanDesc scan);

/* index_validate_scan: insert what the snapshot sees and the index lacks. */
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

/* The bytes of a row as they are stored. */
extern uint32 store_stored_size(HeapTuple tuple);

/* Copy a row as it is stored to where store_stored_size() bytes have room. */
extern void store_stored_copy(HeapTuple tuple, char *to);

/*
 * Begin a run of the table, sealed by fxid (0: visible to all); its rows show xmin.
 * keep = 0: it lies at the end of the file, which nobody else makes longer until it
 * is finished.  Else so many pages of rows at most are kept in memory (of the current
 * context, as all of it), and the end of the file is where it is when the run is finished.
 */
extern StorePack *store_pack_begin(Relation rel, uint64 fxid, TransactionId xmin, int keep);

/* The run begins where the file ends now. */
extern void store_pack_at_end(StorePack *pack);

/*
 * Let the run, of such rows, take the place of empty pages before a block; false if there are not enough of them.
 * The caller holds the lock that space.c wants.
 */
extern bool store_pack_claim(StorePack *pack, const StoreSizes *sizes, BlockNumber before);

/* Write no run after all; no row was put into it. */
extern void store_pack_abandon(StorePack *pack);

/*
 * Make room for a row of so many stored bytes, which store_writer_fits(), with these flags of its
 * infomask.  Returns where to copy it, and says in *tid where it lies: not if pages are kept.
 */
extern char *store_pack_row(StorePack *pack, Relation rel, uint16 infomask, uint32 size, ItemPointer tid);

/* Are as many pages kept as there is room for? */
extern bool store_pack_is_full(const StorePack *pack);

/*
 * Write what is left, and say in *run what it is; the caller adds it to the list.
 * There is at least one row.  Frees the pack.
 */
extern void store_pack_finish(StorePack *pack, Relation rel, StoreRun *run);

/* --- space.c: runs in the place of empty pages ------------------------------------------ */

/* Has a seal left this page, if it is in no run? */
static inline bool
store_page_is_orphan(Page page)
{
	StorePageKind kind = store_page_kind(page);

	return kind == STORE_ROWS || kind == STORE_GROUPS;
}

/*
 * Is this a log page, without doubt, and has no item in use?  Then no index has a TID of it: an entry
 * leads to an item until VACUUM has removed it, and items are set free after that.
 */
extern bool store_page_is_empty(Page page);

/* Make an empty log page of one that is in no run, or has the links of none, unless somebody has it pinned. */
extern bool store_free_page(Relation rel, BlockNumber block);

/*
 * Claim n blocks in a row for a run, that end before a block; returns the first, or InvalidBlockNumber. The caller
 * holds a lock on the table that excludes VACUUM, index builds and changes of the list.
 */
extern BlockNumber store_space_claim(Relation rel, uint64 run, uint32 n, BlockNumber before);

/* How many log pages before a block have no rows, as far as the free space map knows? */
extern BlockNumber store_space_count(Relation rel, BlockNumber before);

/*
 * Give claimed blocks first .. end - 1 back to the log, as far as nobody has them pinned;
 * VACUUM does it with the rest.
 */
extern void store_space_release(Relation rel, BlockNumber first, BlockNumber end);

/* --- load.c: bulk loads ------------------------------------------------------------- */

/*
 * Take a row of a bulk load, as tuple_insert.  False: it is for heap code, to be put into the
 * log.  The slot gets the row's TID, or none where nobody needs one.
 */
extern bool store_load_row(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
						   struct BulkInsertStateData *bistate);

/*
 * Let what this backend has loaded into the table be found in it.  For who is about
 * to ask how many blocks or which runs it has, or to write to it otherwise; a
 * lock on the table is held.
 */
extern void store_load_settle(Relation rel);

/* The file loses all its rows. */
extern void store_load_forget(Relation rel);

extern void store_load_init(void);

/* --- run.c: sorting rows and writing a run ---------------------------------------- */

typedef struct StoreWriter StoreWriter;

/*
 * The index whose order a run has: the one of CLUSTER ON, else the primary key,
 * else the first kyro_rmi index; InvalidOid: none, rows stay in the order in
 * which they lie.  An index that leaves rows out is no order for all of them.
 */
extern Oid	store_order_index(Relation rel);

/*
 * Begin to collect rows of `source`, to be written to `target` in the order of
 * an index (of a btree-like access method, on source; may be NULL).
 */
extern StoreWriter *store_writer_begin(Relation source, Relation target, Relation index);

/* Can a row be sealed?  A few that just fit a heap page cannot. */
extern bool store_writer_fits(Relation rel, HeapTuple tuple);

extern uint64 store_writer_rows(StoreWriter *writer);

/* Take a row: an ordinary heap tuple, of any age, with its TID. */
extern void store_writer_put(StoreWriter *writer, HeapTuple tuple);

/* Where a run is to lie. */
typedef struct StorePlace
{
	BlockNumber before;			/* in the place of empty log pages, all before
								 * this block; 0: not there */
	bool		or_at_end;		/* else at the end of the file */
} StorePlace;

/*
 * Write the rows, of which there is at least one, as one run, and say in *run what it is; the caller adds it to the
 * list.  False if there is no place.  *reused: in the place of empty pages; who asks for that
 * holds the lock that space.c wants.
 * placed() hears the old and the new TID of each row, in the order of the run.
 */
extern bool store_writer_write(StoreWriter *writer, StorePlace place, uint64 fxid, StoreRun *run, bool *reused,
							   void (*placed) (void *arg, ItemPointer from, ItemPointer to), void *arg);

extern void store_writer_end(StoreWriter *writer);

/* --- seal.c ----------------------------------------------------------------------- */

/* What a seal is to take, and has taken. */
typedef struct StoreSeal
{
	uint64		rows;			/* so many at most */
	bool		pages;			/* whole pages, from .. end - 1, with a few
								 * more rows */
	BlockNumber from;
	BlockNumber end;
	TimestampTz older_than;		/* committed before; DT_NOEND: all */
	bool		move;			/* rows of runs, not of the log, from .. end -
								 * 1 */
	const uint64 *runs;			/* ids of those runs; NULL: all */
	int			nruns;
	StorePlace	place;			/* of the run */

	BlockNumber next;			/* where to go on; 0: all was read */
	uint64		sealed;
	uint64		losers;			/* rows that somebody changed or locked
								 * meanwhile */
	bool		no_place;		/* there were rows, but no place */
} StoreSeal;

/* Anywhere, first in the place of log pages. */
#define STORE_ANY_PLACE ((StorePlace) {InvalidBlockNumber, true})

/*
 * Open a kyro table to seal it, and lock it until the end of the transaction.
 * Raises an error if the caller may not seal it, or not now.
 */
extern Relation store_seal_open(Oid relid);

/*
 * Seal rows of a table that store_seal_open() has opened, as its owner, whose code
 * index expressions are, and with what goes wrong on record.  False if there was none; else
 * *run is the run, of which what->losers rows are not sealed.  In any case what->next is where to
 * go on, 0 if nothing is left.
 */
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

/* --- move.c ---------------------------------------------------------------------- */

/*
 * Collect rows of runs, for a move; returns where the next one is to begin, 0 if this one has read
 * all.
 */
extern BlockNumber store_move_collect(Relation rel, StoreTable *table, Snapshot snapshot, const StoreSeal *what,
									  StoreWriter *w);

/* Rows of a run that were touched, and of those that are dead. */
extern void store_run_count(Relation rel, StoreTable *table, StoreRun *run, uint64 *touched, uint64 *dead);

/* --- shrink.c -------------------------------------------------------------------- */

/* Rows of some runs that are to be moved. */
typedef struct StoreStep
{
	uint64	   *runs;			/* ids */
	int			nruns;
	BlockNumber from;			/* they lie from .. end - 1 */
	BlockNumber end;
	BlockNumber pages;			/* that they have */
	StorePlace	place;
} StoreStep;

/*
 * What it pays to move, in this order.  The table is locked against changes of the list,
 * and was vacuumed.  batch: rows of a batch.
 */
extern List *store_shrink_plan(Relation rel, uint64 batch);

/* --- tree.c ----------------------------------------------------------------------- */

/*
 * The OIDs of the kyro tables that a partitioned table consists of, on the lowest
 * level, in the order of their OIDs, locked in this mode.  A NOTICE counts those
 * that are no kyro tables; if all are not, that is an error (42809), with a hint;
 * there may be none.
 */
extern List *store_kyro_partitions(Oid relid, LOCKMODE lockmode, const char *hint);

/* The same for what writes them one by one: the user must own the table; of its partitions none is locked. */
extern List *store_partitions(Oid relid);

/* --- stamp.c: the last step of a seal ---------------------------------------------------- */

typedef struct StoreMoves StoreMoves;

/* Begin to collect the rows that are moved. */
extern StoreMoves *store_moves_begin(void);

/* The row at `from`, in the log or sealed, is sealed at `to`; arg are the moves. */
extern void store_moves_put(void *moves, ItemPointer from, ItemPointer to);

extern void store_moves_end(StoreMoves *moves);

/*
 * May a tuple of the log, on a locked page, be sealed?  The snapshot sees it, it is no ledger
 * tuple, and nobody has changed or locked it, this transaction
 * included.  cid: the command that would do it.
 */
extern bool store_tuple_is_free(HeapTuple tuple, Snapshot snapshot, CommandId cid, Buffer buffer);

/*
 * Stamp the rows that a run, which is listed and in all indexes, has come from, one record for each page;
 * returns how many rows were losers.  snapshot: that by which they were collected, held since.
 */
extern uint64 store_stamp(Relation rel, StoreMoves *moves, Snapshot snapshot, TransactionId xid, CommandId cid);

/* --- compact.c, vacuum.c ------------------------------------------------------------ */

/*
 * relation_copy_for_cluster.  OldIndex orders the rows; NULL (VACUUM FULL): the
 * table's own order.  Both tables are locked exclusively.
 */
extern void store_copy_for_cluster(Relation OldTable, Relation NewTable, Relation OldIndex, bool use_sort,
								   TransactionId OldestXmin, TransactionId *xid_cutoff,
								   MultiXactId *multi_cutoff, double *num_tuples, double *tups_vacuumed,
								   double *tups_recently_dead);

/* relation_vacuum.  The table is locked in ShareUpdateExclusive mode. */
extern void store_vacuum(Relation rel, struct VacuumParams *params, BufferAccessStrategy bstrategy);

/* --- whole.c: tables without a list ----------------------------------------------------- */

/*
 * Raise an error if a page of a table that is all log is one of ours: then the table
 * had a list, and something else has taken its place.
 */
extern void store_check_log_page(Relation rel, Page page, BlockNumber block);

/*
 * The same for all pages of a table that is to get a list.  No lock on the table
 * is needed: nobody makes such pages before it has one.
 */
extern void store_check_all_log(Relation rel);

/*
 * Give a table that is all log its list, after store_check_all_log().  The caller
 * holds AccessExclusiveLock, which is released here, and a weaker one that
 * excludes seals and VACUUM; runs as the table's owner, whose code index
 * expressions are, with a snapshot; and has nothing open that knows of TIDs of
 * the table.
 */
extern void store_make_whole(Relation rel);

/*
 * Remove the index entries of rows that were in block 0 before it was the list,
 * if there may be any.  The caller holds a lock that excludes seals and VACUUM.
 */
extern void store_remove_old_entries(Relation rel);

/* --- trim.c: what failed seals left --------------------------------------------------- */

/*
 * Cut off what failed seals left at the end of the file, and log pages without items
 * from log_end on, where no link leads (InvalidBlockNumber: none).  The caller holds a
 * lock on the table that excludes changes of the list, and calls store_open()
 * again afterwards.  Does nothing if anybody else uses the table.
 */
extern void store_trim(Relation rel, BlockNumber log_end);

/*
 * Where would the file end without the blocks at its end that nobody needs, nor log pages without items?  There may be
 * links to these.
 */
extern BlockNumber store_tail(Relation rel);

/*
 * Give pages that failed seals left to the log.  For VACUUM, which has cleaned
 * the indexes; no snapshot is older than the horizon.
 */
extern void store_free_pages(Relation rel, TransactionId horizon);

/* --- verify.c ------------------------------------------------------------------------- */

/*
 * Report what is wrong with a table.  The caller holds AccessShareLock on it
 * and runs as its owner.
 */
extern void store_verify(Relation rel, bool deep, KyroReportFunction report, void *arg);

#endif							/* KYRO_STORE_H */
