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
 * There is one entry for each file, in a memory context of our own.  An entry
 * that store_open() has returned is valid until the end of the transaction.
 */
typedef struct StoreMap StoreMap;

typedef struct StoreTable
{
	KyroLocator locator;		/* hash key */
	Oid			relid;
	MemoryContext cxt;			/* everything below is allocated here */
	uint64		incarnation;	/* random number on block 0; 0: no list, the
								 * table is all log */
	uint64		generation;		/* of the run list when it was read */
	int			nruns;
	int			max_runs;		/* allocated length of runs and list_block */
	StoreRun   *runs;			/* sorted by first block */
	BlockNumber *list_block;	/* of each run, the list page that holds it;
								 * in the same allocation as runs */
	List	   *retired;		/* earlier arrays of runs, which scans of this
								 * transaction may still use */
	int			last;			/* index of the run found last */
	BlockNumber list_room;		/* first page of the list with room, else its
								 * last page */
	BlockNumber seal_from;		/* see StoreList */
	StoreMap   *map;
	HTAB	   *links;			/* see ledger.c */
	struct LinksSeen *links_seen;
	MemoryContext links_cxt;

	/* see table.c */
	uint64		used;			/* clock_hand when it was opened last */
	dlist_node	by_use;
	dlist_node	of_relid;
	dlist_node	suspect_node;
	int			suspect;		/* 0: no invalidation came since it was
								 * opened; else 1 and the number of
								 * transactions that have ended since */
	Size		bytes;			/* memory, as of the end of the last
								 * transaction that used it */

	UsageTable *usage;			/* counters of this transaction ... */
	Oid			usage_relid;	/* ... for this table */
} StoreTable;

/* --- page.c, see also page.h ------------------------------------------------ */

/* Raise ERRCODE_DATA_CORRUPTED about a damaged page of the table. */
kyro_noreturn extern void store_corrupt(Relation rel, BlockNumber block, const char *problem);

/* --- handler.c --------------------------------------------------------------- */

/* Is this a table of access method kyro? */
extern bool store_is_kyro(Relation rel);

/* --- table.c: what a backend knows -------------------------------------- */

/*
 * What this backend knows of the table, brought up to date with block 0.  The
 * caller holds a lock on the table, and has taken the snapshot that it will read
 * with.  The result is valid until the end of the transaction.  Raises an error
 * if the list is damaged.
 */
extern StoreTable *store_open(Relation rel);

/*
 * The same without looking at block 0; NULL if the table was not opened in this
 * transaction.  For callers that have a TID from a scan: if the copy has a run for
 * it, that is right; if not, the run may have been sealed since, and the caller
 * calls store_open().
 */
extern StoreTable *store_known(Relation rel);

/*
 * Does the table have a list of runs?  If not, it is all log (whole.c).  Raises an
 * error if block 0 is damaged.  The caller holds a lock on the table.
 */
extern bool store_is_whole(Relation rel);

/*
 * To be called before rows are written: raise an error if the table's list is
 * damaged, because nobody could read the new rows.  Looks once in a transaction.
 * A table without blocks gets its list here, while that is easy.
 */
extern void store_check_readable(Relation rel);

/*
 * From _PG_init(): the function that writes out what this backend has loaded into
 * a table (store_load_settle), to be called whenever the table is opened.
 */
extern void store_table_set_settle(void (*function) (Relation rel));

extern void store_table_init(void);

/* --- runs.c: runs, and whether they exist for a snapshot -------------------- */

/* The run that a block of rows belongs to, or NULL. */
extern StoreRun *store_find_run(StoreTable *table, BlockNumber block);

/*
 * Index of the first run that ends after a block, its pages of groups included;
 * nruns if there is none.
 */
extern int	store_first_run_ending_after(const StoreTable *table, BlockNumber block);

/*
 * Does a snapshot see the transaction that sealed a run?  If not, it sees none of
 * the run's rows; if so, those that were not deleted since.
 */
extern bool store_run_visible(StoreRun *run, Snapshot snapshot);

/* Was a run rolled back, or is it dead?  Then nobody will ever see a row of it. */
extern bool store_run_aborted(StoreRun *run);

/* Is the transaction of a run still in progress, and not this one? */
extern bool store_run_in_progress(StoreRun *run);

/* Has the transaction of a run committed?  False for dead runs, too. */
extern bool store_run_committed(StoreRun *run);

/*
 * Is a full xid more than 2^31 transactions old?  No snapshot is, so every
 * snapshot knows how such a transaction has ended.
 */
extern bool store_fxid_is_ancient(uint64 fxid);

/*
 * Is the transaction that sealed a run, however it ended, older than the horizon,
 * which is the oldest xid that any snapshot may take for running?
 */
extern bool store_run_older_than(const StoreRun *run, TransactionId horizon);

/* Has a run committed, and is it older than the horizon, as above? */
extern bool store_run_seen_by_all(StoreRun *run, TransactionId horizon);

/* Forget what ledger.c remembers of the link pages of a table. */
extern void store_links_forget(StoreTable *table);

/* --- list.c: the list of runs, on disk ----------------------------------- */

/* A random number, not 0, to identify a run or a table. */
extern uint64 store_random_id(void);

/* Initialise a page of the list, without runs, with its checksum. */
extern void store_list_init(Page page, BlockNumber block, uint64 incarnation);

/*
 * Write block 0 of a new, empty fork, past the buffer manager: nobody can have
 * it in a buffer.  The init fork is logged whatever wal_level is, because it is
 * read after a crash; a main fork that was not logged is synced by core at commit.
 */
extern void store_list_create(const KyroLocator *locator, KyroBackend backend, ForkNumber fork, char persistence);

/*
 * The same for a relation that has no blocks: it was truncated to nothing, or its
 * file was swapped for an empty one.  Does nothing if there are blocks by now.
 */
extern void store_list_recreate(Relation rel);

/*
 * Read incarnation and generation from block 0, to compare a backend's copy of the
 * list with.  Both are 0 if the table is all log (whole.c).  Cheap: the page's
 * checksum is not verified before the list is loaded.  may_be_empty: the file may
 * have no blocks, as long as no list was seen in it.  Raises an error if block 0
 * is neither a list nor a heap page.
 */
extern void store_list_stamp(Relation rel, bool may_be_empty, uint64 *incarnation, uint64 *generation);

/*
 * Does the table have at least n blocks?  *nblocks is what the caller knows, and
 * is updated if it is too small: a seal, which does not keep readers out, makes the
 * file longer and then adds to the list.
 */
extern bool store_has_blocks(Relation rel, BlockNumber n, BlockNumber *nblocks);

/*
 * Read the list into a backend's copy, sorted by first block.  If runs were only
 * added at the end and there is room, the array stays where it is, so that a
 * transaction with many seals does not keep many copies.  Raises an error, and
 * leaves the copy as it was, if the list is damaged.
 */
extern void store_list_load(Relation rel, StoreTable *table);

/* Make a backend's copy that of a table without a list. */
extern void store_list_none(StoreTable *table);

/*
 * Add a run to the list, and note where the next seal is to begin reading.  room
 * is list_room of a table that was just opened.  The caller holds a lock on the
 * table that excludes other changes of the list.
 */
extern void store_list_add(Relation rel, BlockNumber room, const StoreRun *run, BlockNumber seal_from);

/*
 * Note where the next seal is to begin reading; this overwrites STORE_ENTRIES_LEFT.
 * Locks as for store_list_add().
 */
extern void store_list_set_seal_from(Relation rel, BlockNumber seal_from);

/*
 * Write into the list how the transactions that sealed runs have ended, so that
 * nobody needs to look into clog for them again.  For VACUUM, whose lock excludes
 * seals in progress.
 */
extern void store_list_resolve(Relation rel);

/*
 * Write into the list that no index has entries of aborted runs any more.  Locks
 * as for store_list_add().
 */
extern void store_list_clean(Relation rel);

/*
 * Take the runs that begin at or after a block out of the list.  The table is
 * locked in AccessExclusive mode.
 */
extern void store_list_cut(Relation rel, BlockNumber end);

/*
 * Write into the list that some runs are dead (RUN_DEAD).  Sorts the ids.  Locks as
 * for store_list_add().
 */
extern void store_list_retire(Relation rel, uint64 *ids, int n);

/*
 * Give dead runs that have no date yet one: the next full xid.  Backends whose copy
 * of the list does not say that such a run is dead have older snapshots.  Gives this
 * transaction an xid, if it has none.  Locks as for store_list_add().
 */
extern void store_list_date(Relation rel);

/*
 * Take some runs out of the list that no backend can be reading: they were rolled
 * back, and are older than every snapshot, or every snapshot is newer than the date
 * of their death.  Sorts the ids.  Locks as for store_list_add().
 */
extern void store_list_drop(Relation rel, uint64 *ids, int n);

/* --- map.c: reading the file through memory ------------------------------ */

/*
 * A page of rows, mapped and verified, or NULL: read it through a buffer then.
 * Valid until the end of the transaction, as long as the table is locked.
 */
extern const char *store_map_page(Relation rel, StoreTable *table, BlockNumber block);

/*
 * Prefetch into the processor's cache what reading a row will need, if its page is
 * mapped: the page's header, the row's entry, and the row.  On a large table each
 * is a cache miss, and one after the other they are most of the cost of a point
 * read.  The place of the row is guessed from the average row of the run; a wrong
 * guess does no harm.
 */
extern void store_map_prefetch(StoreTable *table, ItemPointer tid);

/*
 * Has the kernel failed to deliver a mapped page?  To be called after reading one
 * and before using what was read.  Stays true until store_map_distrust().
 */
extern bool store_map_failed(void);

/*
 * Take a mapped page for unverified, and forget that the kernel failed.  The zeros
 * that replace the page stay mapped, since other scans of this backend may be
 * reading pages beside it; they do not pass verification, so the page is read
 * through a buffer.
 */
extern void store_map_distrust(StoreTable *table, BlockNumber block);

/* Raise ERRCODE_IO_ERROR about a page that the kernel could not deliver. */
kyro_noreturn extern void store_map_raise(Relation rel, StoreTable *table, BlockNumber block);

/*
 * From _PG_init(): the function that is called if no more can be mapped.  It unmaps
 * the table that was not used for longest, and returns false if there is none.
 */
extern void store_map_set_make_room(bool (*function) (void));

/* Forget all mappings of a table, and which of its pages were verified. */
extern void store_map_drop(StoreTable *table);

/*
 * Take blocks first .. end - 1, whose run is gone, for unverified: other pages will
 * take their place.  They stay mapped, since scans of this backend may be reading
 * pages beside them.
 */
extern void store_map_unverify(StoreTable *table, BlockNumber first, BlockNumber end);

/* The number of segments of a table that are mapped. */
extern int	store_map_segments(const StoreTable *table);

/*
 * Has this backend seen that the page's checksum matches in a buffer?  This says
 * nothing about the mapped page: what was replayed, or written in the place of
 * another page, is in the buffer first and in the file later.
 */
extern bool store_page_verified(StoreTable *table, BlockNumber block);

extern void store_page_set_verified(StoreTable *table, BlockNumber block);

/* --- row.c: sealed pages and rows --------------------------------------------------- */

/*
 * A page of sealed rows in hand: mapped, or in a pinned buffer.  Initialise with
 * zeros; call store_page_release() at the end.  The other pins are kept because
 * the next row will most probably need the same pages.
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
 * Get the page of rows at a block in hand, mapped or pinned.  False if the block
 * belongs to no run that the backend knows of, or to one that was rolled back or is
 * dead: then it is to be read as a log page, which it may be by now, and if not,
 * heap code finds nothing there.  Raises an error if the page is damaged.  The same
 * p can be used for one page after the other.
 */
extern bool store_page_get(Relation rel, StoreTable *table, BlockNumber block,
						   BufferAccessStrategy strategy, StorePage *p);

/*
 * The same for a block of a given run, even if that was rolled back; the caller then
 * knows that VACUUM has not taken it out of the list.
 */
extern void store_page_get_of_run(Relation rel, StoreTable *table, StoreRun *run, BlockNumber block,
								  BufferAccessStrategy strategy, StorePage *p);

/*
 * Let go of the page, and of the log page, which others may want to prune.  Keeps
 * the pins on the visibility map and the links: the next search of a nested loop
 * will need those again.
 */
extern void store_page_drop(StorePage *p);

/* Let go of all pins. */
extern void store_page_release(StorePage *p);

/* A row as a heap tuple, in one palloc'd chunk. */
extern HeapTuple store_row_copy(Relation rel, StorePage *p, OffsetNumber row);

/*
 * Put a row into a buffer heap tuple slot.  The slot owns the tuple, as after
 * ExecMaterializeSlot().  The next row that is put there reuses the memory: its
 * size stands in a gap between the HeapTupleData and the tuple, and that there is
 * a gap tells that the memory was allocated here.
 */
extern void store_row_slot(Relation rel, StorePage *p, OffsetNumber row, TupleTableSlot *slot);

/* --- visible.c: which sealed rows are visible ------------------------------ */

/* Of n rows of the page, keep those that an MVCC snapshot sees; returns how many. */
extern int	store_page_filter_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *rows, int n);

/*
 * The numbers (1 .. count) of all rows of the page that an MVCC snapshot sees, in
 * ascending order; returns how many.  `visible` has room for MaxHeapTuplesPerPage.
 */
extern int	store_page_visible_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *visible);

/*
 * Is row number `row` (1 .. count) of the page visible to a snapshot?  *all_dead,
 * which may be NULL, is set: true if no snapshot of this server will ever see the
 * row.  Snapshots of standbys may see it still, see store_row_removable().  A dirty
 * snapshot gets xmin and xmax as HeapTupleSatisfiesDirty() sets them.
 */
extern bool store_row_visible(Relation rel, StorePage *p, OffsetNumber row, Snapshot snapshot,
							  bool *all_dead);

/*
 * As HeapTupleSatisfiesVacuum(), for a sealed row.  *xwait is the transaction to
 * wait for if the result is that an insert or delete is in progress.
 */
extern HTSV_Result store_row_vacuum_status(Relation rel, StorePage *p, OffsetNumber row,
										   TransactionId oldest_xmin, TransactionId *xwait);

/*
 * May an index delete its entry of a row (1 .. count), as far as this server is
 * concerned?  known: the index was told so before, by *all_dead.  Advances *horizon
 * to the newest xid that snapshots of standbys must see before the entry goes,
 * unless the record that pruned the ledger tuple has seen to that.  non_vacuumable
 * is a snapshot of that kind.
 */
extern bool store_row_removable(Relation rel, StorePage *p, OffsetNumber row, bool known,
								Snapshot non_vacuumable, TransactionId *horizon);

/* --- moved.c: rows that were moved to another run ------------------------------- */

/*
 * The run that a row was moved to, by its link, for which store_link_is_moved();
 * *to is the row's place there.  NULL if the move was rolled back.  May read the
 * list anew, so no page may be locked.
 */
extern StoreRun *store_moved_to(Relation rel, StoreTable *table, const ItemPointerData *link, ItemPointer to);

/* Is this the link of a move that was rolled back?  Locks as above. */
extern bool store_moved_undone(Relation rel, StoreTable *table, const ItemPointerData *link);

/* Is the old place of a row that was moved to this run dead to every snapshot? */
extern bool store_moved_removable(StoreRun *to, struct GlobalVisState *vistest);

/* As store_row_vacuum_status(), of the old place of a row with such a link. */
extern HTSV_Result store_moved_vacuum_status(Relation rel, StoreTable *table, const ItemPointerData *link,
											 TransactionId oldest_xmin, TransactionId *xwait);

/* --- ledger.c: links and ledger tuples ------------------------------------ */

/* The link of a row: offset number 0 if it was never touched. */
extern ItemPointerData store_link_read(Relation rel, StorePage *p, OffsetNumber row);

/* Does this backend know, without looking, that a row of the page was touched? */
extern bool store_link_known(const StorePage *p, OffsetNumber row);

/* Remember that a snapshot of ours has just seen a row's ledger tuple alive. */
extern void store_ledger_noted(StorePage *p, OffsetNumber row);

/*
 * The links of all rows of a page; returns how many rows were touched.  If that
 * is 0, links is not filled.
 */
extern int	store_links_read(Relation rel, StorePage *p, ItemPointerData *links);

/*
 * If no row of the page was ever touched, call found() while locks are held that
 * keep everybody from touching one.
 */
extern void store_if_untouched(Relation rel, StorePage *p, void (*found) (void *arg), void *arg);

/*
 * Set the links of the rows i + 1 for which reclaim[i] is true to
 * STORE_LINK_RECLAIMED: they are dead to all, and no index has them any more.
 */
extern void store_links_reclaim(Relation rel, StorePage *p, const bool *reclaim);

/*
 * Set the links of the rows i + 1 for which which[i] is true to STORE_LINK_DEAD:
 * the seal that wrote them did not get the rows.  Nobody has touched them.
 */
extern void store_links_kill(Relation rel, StorePage *p, const bool *which);

/*
 * Link rows[i] to its new place to[i], for i = 0 .. n - 1, if nobody has touched
 * it; done[i] tells whether it was linked.
 */
extern void store_links_move(Relation rel, StorePage *p, const OffsetNumber *rows, const ItemPointerData *to, int n,
							 bool *done);

/*
 * Clear the links of the rows i + 1 for which which[i] is true, whose move was
 * rolled back, unless a link has changed since it was read into links[i].
 */
extern void store_links_reset(Relation rel, StorePage *p, const bool *which, ItemPointerData *links);

/*
 * A delete or update that is done with the first touch of a row, in the record that
 * makes its ledger tuple.
 */
typedef struct StoreFirst
{
	HeapTuple	new;			/* the new version, stamped as made by us;
								 * NULL: a delete */
	TransactionId xid;			/* ours */
	CommandId	cid;
	bool		keys;			/* it is a delete, or key columns change */
	bool		moved;			/* it is a delete, and the row goes to another
								 * partition */
	bool		done;			/* set by store_touch() */
} StoreFirst;

/*
 * Touch a row: set *ledger to the place of its ledger tuple, which is made if there is
 * none, or to the link of a row that was moved.  If the ledger tuple is made, and
 * `first` is not NULL, that is done in the same record, if all fits on one page; that
 * may raise a serialization failure.  If true is returned, the ledger tuple is
 * certainly there.  Else the caller must look with store_ledger_get(); if that does
 * not find it, the row is dead to all.
 */
extern bool store_touch(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger, StoreFirst *first);

/*
 * The tuple of an item of a locked log page, in *t and *length; *t is NULL if the
 * item is no ordinary tuple.  False if the item or the header of the tuple is
 * damaged, so that heap code, which does not check, would read beyond the page.
 */
extern bool store_log_tuple(Page page, OffsetNumber offset, HeapTupleHeader *t, uint32 *length);

/* Read the tag of a ledger tuple into *row; false if it has none, or a damaged one. */
extern bool store_ledger_tag(HeapTupleHeader t, ItemPointer row);

/*
 * If the ledger tuple of this row is where the link says, fill *tuple and return
 * true with the buffer pinned and share-locked.  Else the row is dead to all, and
 * no buffer is pinned.
 */
extern bool store_ledger_get(Relation rel, ItemPointer ledger, ItemPointer row, HeapTuple tuple, Buffer *buffer);

/*
 * The same for a row of the page in hand, with p->ledger_buffer, which stays
 * pinned.  prune: prune the page first, as heap code does with pages that it reads;
 * then the caller holds no lock on a page.
 */
extern bool store_ledger_lock(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger, bool prune,
							  HeapTuple tuple);

/* --- vm.c: visibility map bits of sealed pages ----------------------------- */

/*
 * Is the bit of a block set?  Then its rows are visible to everyone and
 * untouched.  *vmbuffer keeps the map's page pinned for the next call.  No lock is
 * needed: changes that our snapshot must see were made before it was taken, and
 * later ones it must not see.
 */
extern bool store_vm_test(Relation rel, BlockNumber block, Buffer *vmbuffer);

/*
 * Clear the bits of a block.  If any was set, clear those of the n - 1 blocks after
 * it, too, as far as they are on the same page of the map, and log the page, as one.
 * The caller has pinned it with visibilitymap_pin() for the first block, and holds
 * the exclusive lock that whoever changes that block needs (for rows, that of their
 * link page).  The others need no lock: cleared bits are right for any block, and
 * whoever changes one of them comes here or to heap code, which log that themselves.
 */
extern void store_vm_clear(Relation rel, BlockNumber block, uint32 n, Buffer *vmbuffer);

/*
 * Set the bits of a block.  The caller has pinned the map's page with
 * visibilitymap_pin(), and holds a lock that whoever touches a row of the block
 * would need.  Not logged: call store_vm_log() when done with the map's page.
 * After a crash before that the bits may be set or not, and both are right, if
 * what makes them right is on disk before them: WAL is flushed up to lsn before
 * the map's page is written, and lsn is past the commit record of the run.
 */
extern void store_vm_set(Relation rel, BlockNumber block, XLogRecPtr lsn, Buffer vmbuffer);

/* Log the pinned page of the map as it is. */
extern void store_vm_log(Relation rel, Buffer vmbuffer);

/* --- xlog.c ------------------------------------------------------------------ */

/*
 * GenericXLogFinish() for a change that includes a log page.  Hint bits of log pages
 * are set without being logged, and generic WAL, unlike heap WAL, does not mask
 * them for wal_consistency_checking, which would report sound pages.  So this
 * record is left out of that check.
 */
extern void store_log_page_finish(GenericXLogState *state);

/* Pages that a change can have, and changed pieces of each; a page with more pieces is logged whole. */
#define STORE_CHANGE_PAGES 2
#define STORE_CHANGE_FRAGMENTS 320

typedef struct StoreFragment
{
	uint16		offset;
	uint16		length;
} StoreFragment;

typedef struct StorePageChange
{
	Buffer		buffer;
	Page		page;
	bool		image;			/* log it whole */
	int			n;
	uint32		length;			/* of all fragments */
	StoreFragment fragments[STORE_CHANGE_FRAGMENTS];
} StorePageChange;

typedef struct StoreChange
{
	Relation	rel;
	int			n;
	StorePageChange pages[STORE_CHANGE_PAGES];
} StoreChange;

/*
 * Changing pages in place, logged as a record of generic WAL.  Call store_change_begin(); for each page
 * store_change_page(), change it, and store_change_note() for each changed piece; then
 * store_change_finish().  From begin to finish is a critical section; the pages must be locked
 * exclusively.  A change that is not noted is not replayed.  log_page: as for
 * store_log_page_finish().  Returns the LSN of the pages, or an invalid one if nothing was logged.
 */
extern void store_change_begin(StoreChange *c, Relation rel);
extern StorePageChange *store_change_page(StoreChange *c, Buffer buffer, bool image);
extern void store_change_note(StorePageChange *p, const void *start, Size length);
extern void store_change_header(StorePageChange *p);	/* the page's own */
extern XLogRecPtr store_change_finish(StoreChange *c, bool log_page);

/* --- scan.c ---------------------------------------------------------------- */

/*
 * A scan.  `heap` is a heap scan of the same table, which knows about blocks,
 * parallel workers and strategies, and holds the pin of a log page; we walk
 * the blocks ourselves.  In page mode (every MVCC snapshot) heap->rs_vistuples
 * are the visible rows of the page, log or sealed.  Otherwise each row is checked
 * when it is returned, because such snapshots report xids of a single row.
 */
typedef struct StoreScan
{
	TableScanDescData base;		/* must be first */
	HeapScanDesc heap;
	StoreTable *table;
	bool		sealed;			/* the page in hand is p, else heap->rs_cbuf */
	StorePage	p;
	BlockNumber sample_max;		/* rows on the page being sampled */
	struct StoreBitmap *bitmap; /* pages that come next (bitmap.c), or NULL */
	HeapTupleData row;			/* for scan keys */
} StoreScan;

/*
 * Go to the next page in the given direction, or the first; false at the end.
 * Then scan->sealed says whether the page is scan->p or heap->rs_cbuf, which is
 * pinned.  In page mode rs_vistuples are the visible rows, and rs_cindex is
 * before the first one.
 */
extern bool store_scan_next_page(StoreScan *scan, ScanDirection direction);

/* When a scan begins anew, or ends: forget the pages of a bitmap that come next. */
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
 * Take ledger tuples out of the visible rows of the log page in hand, and register
 * the serialization conflicts of those that are left.
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

extern bool store_scan_analyze_next_block(TableScanDesc scan, BlockNumber blockno, BufferAccessStrategy strategy);

#else

/* Not delegated: heap code would take the next buffer itself, and we must look at it first. */
extern bool store_scan_analyze_next_block(TableScanDesc scan, ReadStream *stream);

#endif

/*
 * Count and sample rows as heap code does.  Dead sealed rows are not counted:
 * their ledger tuples are, on the log pages where they lie.
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

/* index_fetch_tuple: the version that the snapshot sees of the row at a TID. */
extern bool store_index_fetch_tuple(IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
									TupleTableSlot *slot, bool *call_again, bool *all_dead);

/* The row at exactly this TID, if the snapshot sees it. */
extern bool store_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);

/* Is the row in the slot visible to a snapshot? */
extern bool store_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot);

/*
 * index_delete_tuples: which entries may an index delete?  Heap code decides about
 * those of log rows.  One of a sealed row may go if the row is dead to every
 * snapshot of this server.  Standbys have learned that from the record that removed
 * its ledger tuple, or, if that is still there, learn it from the horizon that is
 * returned.  The caller has a page of the index locked.
 */
extern TransactionId store_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate);

/* --- conflict.c: serializable transactions ------------------------------------ */

/*
 * To be called when a table was opened to read it, after the predicate lock was
 * taken: register conflicts with the transactions that have loaded or sealed runs
 * which the snapshot does not see.  Does nothing unless serializable.
 */
extern void store_conflicts_unseen(Relation rel, StoreTable *table, Snapshot snapshot);

/*
 * The snapshot sees a row at its old place, because it does not see the run that the
 * row was moved to: register a conflict with who has changed it at its new place.
 */
extern void store_conflicts_moved(Relation rel, StoreTable *table, const StoreRun *run, ItemPointer to,
								  Snapshot snapshot);

/*
 * The same for a row that the snapshot sees and whose ledger tuple, at *self, has this
 * header: it may have been moved since.  No page is locked.
 */
extern void store_conflicts_ledger(Relation rel, StoreTable *table, HeapTupleHeader t, ItemPointer self,
								   Snapshot snapshot);

/*
 * The same for n tuples of a log page that the snapshot sees and the caller is about
 * to return: they may have been sealed since.  The buffer is pinned, not locked.
 */
extern void store_conflicts_out(Relation rel, Buffer buffer, const OffsetNumber *offsets, int n, Snapshot snapshot);

/* --- dml.c -------------------------------------------------------------------- */

extern TM_Result store_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
									Snapshot crosscheck, bool wait, TM_FailureData *tmfd, bool changingPart);
extern TM_Result store_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot, CommandId cid,
									Snapshot snapshot, Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
									LockTupleMode *lockmode, KyroUpdateIndexes *update_indexes);

/* tuple_lock: as heap's, but versions of the row may be sealed. */
extern TM_Result store_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
								  CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy, uint8 flags,
								  TM_FailureData *tmfd);

/* --- update.c: updates and deletes of sealed rows -------------------------------- */

/*
 * If nobody has touched the sealed row `old` yet, may it be updated to `new` (deleted, if that is NULL) in
 * the record of its first touch?  If so, *first is filled, except `moved`, and the new version is
 * stamped as made by us.  In any case an update sets *lockmode.
 */
extern bool store_change_first(Relation rel, HeapTuple old, HeapTuple new, CommandId cid, StoreFirst *first,
							   LockTupleMode *lockmode);

/* After the first touch has done that: free TOAST values of a deleted row, count the change. */
extern void store_changed_first(Relation rel, HeapTuple old, const StoreFirst *first);

/*
 * Delete the sealed row `old`.  *ledger_tid and *tmfd are as for store_ledger_update(), the rest as for heap_delete().
 */
extern TM_Result store_ledger_delete(Relation rel, HeapTuple old, ItemPointer ledger_tid, CommandId cid, bool wait,
									 TM_FailureData *tmfd, bool moved);

/*
 * Update a sealed row, `old`, to `new`.  *ledger_tid is the place of its ledger
 * tuple, which the caller has just seen there, and which a snapshot keeps from being
 * removed.  As heap_update(): on TM_Ok new->t_self is where the new version is; on
 * failure *tmfd is filled, and its ctid may be that of the ledger tuple.  *lockmode
 * is set in any case.
 */
extern TM_Result store_ledger_update(Relation rel, HeapTuple old, ItemPointer ledger_tid, HeapTuple new, CommandId cid,
									 bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode);

/* --- build.c: index builds ------------------------------------------------------ */

/*
 * index_build_range_scan.  The caller holds ShareLock on the table, or
 * ShareUpdateExclusiveLock, for a concurrent build or for summarizing BRIN.
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

/* The number of rows of a run, and their bytes as they are stored. */
typedef struct StoreSizes
{
	uint64		rows;
	uint64		bytes;			/* of all */
	uint32		widest;			/* of one */
	uint32		narrowest;
} StoreSizes;

/* The bytes that a row takes as it is stored: null bitmap and data. */
extern uint32 store_stored_size(HeapTuple tuple);

/* A row with all columns of its table: a new tuple if it was made before the last were added, else the same. */
extern HeapTuple store_whole_row(Relation rel, HeapTuple tuple);

/*
 * Does such a row fit into a run?  A few that just fit a heap page do not, nor do those that
 * were made before a column with a large default was added.
 */
extern bool store_fits(HeapTuple whole);

/* Copy a row as it is stored to where store_stored_size() bytes have room. */
extern void store_stored_copy(HeapTuple tuple, char *to);

/*
 * Begin a run of the table, sealed by fxid (0: visible to all), whose rows show
 * xmin.  keep = 0: the run lies at the end of the file, and the caller sees to it
 * that nobody else makes the file longer before it is finished.  Else at most keep
 * pages of rows are kept in memory, and are written to the end of the file when the
 * run is finished.  All memory is of the current context.
 */
extern StorePack *store_pack_begin(Relation rel, uint64 fxid, TransactionId xmin, int keep);

/* Let the run begin where the file ends now; no row was put into it yet. */
extern void store_pack_at_end(StorePack *pack);

/*
 * Let the run, which will have rows of these sizes, take the place of empty pages
 * before a block; false if there are not enough of them in one piece.  The caller
 * holds the lock that store_space_claim() wants; no row was put into the run yet.
 */
extern bool store_pack_claim(StorePack *pack, const StoreSizes *sizes, BlockNumber before);

/* Write no run after all; no row was put into it. */
extern void store_pack_abandon(StorePack *pack);

/*
 * Make room for a row of `size` stored bytes, for which store_fits(), with
 * these flags of its infomask.  Returns where to copy it, and in *tid where it
 * will lie; *tid is invalid if pages are kept.
 */
extern char *store_pack_row(StorePack *pack, Relation rel, uint16 infomask, uint32 size, ItemPointer tid);

/* If pages are kept: is there no room for another one? */
extern bool store_pack_is_full(const StorePack *pack);

/*
 * Write what is left, and fill *run; the caller adds it to the list.  There is at
 * least one row.  Frees the pack.
 */
extern void store_pack_finish(StorePack *pack, Relation rel, StoreRun *run);

/* --- space.c: runs in the place of empty pages ------------------------------------------ */

/* If this page is in no run: was it left by a seal that failed? */
static inline bool
store_page_is_orphan(Page page)
{
	StorePageKind kind = store_page_kind(page);

	return kind == STORE_ROWS || kind == STORE_GROUPS;
}

/*
 * Is this certainly a log page without an item in use?  Then no index has a TID of
 * it: VACUUM sets an item free after it has removed its index entries.
 */
extern bool store_page_is_empty(Page page);

/*
 * Make an empty log page of a page that is in no run, or that has links of no run in
 * the list.  False if somebody has it pinned, or if it is neither.
 */
extern bool store_free_page(Relation rel, BlockNumber block);

/*
 * Claim n consecutive blocks for a run, all before a block; returns the first, or
 * InvalidBlockNumber.  The caller holds a lock on the table that excludes VACUUM,
 * index builds and changes of the list.
 */
extern BlockNumber store_space_claim(Relation rel, uint64 run, uint32 n, BlockNumber before);

/* The number of log pages before a block that have no rows, by the free space map. */
extern BlockNumber store_space_count(Relation rel, BlockNumber before);

/*
 * Give claimed blocks first .. end - 1 back to the log.  Those that somebody has
 * pinned are left to VACUUM.
 */
extern void store_space_release(Relation rel, BlockNumber first, BlockNumber end);

/* --- load.c: bulk loads ------------------------------------------------------------- */

/*
 * Take a row of a bulk load; arguments as for tuple_insert.  False: heap code is to
 * put it into the log.  The slot gets the row's TID, or an invalid one where nobody
 * needs it.
 */
extern bool store_load_row(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
						   struct BulkInsertStateData *bistate);

/*
 * Write out and list what this backend has loaded into the table.  To be called
 * before asking how many blocks or which runs it has, or writing to it in another
 * way; a lock on the table is held.
 */
extern void store_load_settle(Relation rel);

/* Forget a load: the file loses all its rows. */
extern void store_load_forget(Relation rel);

extern void store_load_init(void);

/* --- run.c: sorting rows and writing a run ---------------------------------------- */

typedef struct StoreWriter StoreWriter;

/*
 * The index that orders the rows of a run: the one of CLUSTER ON, else the primary
 * key, else the first kyro_rmi index.  InvalidOid: there is none, and rows stay in
 * the order in which they lie.  Partial indexes do not count: they leave rows out.
 */
extern Oid	store_order_index(Relation rel);

/*
 * Begin to collect rows of `source`, to be written to `target` in the order of
 * an index (of a btree-like access method, on source; may be NULL).
 */
extern StoreWriter *store_writer_begin(Relation source, Relation target, Relation index);

extern uint64 store_writer_rows(StoreWriter *writer);

/*
 * Take a row: an ordinary heap tuple with its TID.  It may have been made before the
 * last columns were added.  False if it does not fit into a run, see store_fits().
 */
extern bool store_writer_put(StoreWriter *writer, HeapTuple tuple);

/* Where a run may lie. */
typedef struct StorePlace
{
	BlockNumber before;			/* in the place of empty log pages before this
								 * block; 0: not there */
	bool		or_at_end;		/* if not there, at the end of the file */
} StorePlace;

/*
 * Write the rows, of which there is at least one, as one run, and fill *run; the
 * caller adds it to the list.  False if there is no place.  *reused: the run is in
 * the place of empty pages; a caller that allows that holds the lock that
 * store_space_claim() wants.  placed(), if not NULL, is called with the old and the
 * new TID of each row, in the order of the run.
 */
extern bool store_writer_write(StoreWriter *writer, StorePlace place, uint64 fxid, StoreRun *run, bool *reused,
							   void (*placed) (void *arg, ItemPointer from, ItemPointer to), void *arg);

extern void store_writer_end(StoreWriter *writer);

/* --- seal.c ----------------------------------------------------------------------- */

/* What a seal is to take, and what it has done. */
typedef struct StoreSeal
{
	uint64		rows;			/* at most */
	bool		pages;			/* take whole pages, from .. end - 1, even if
								 * that makes a few rows more */
	BlockNumber from;
	BlockNumber end;
	TimestampTz older_than;		/* rows committed before this moment;
								 * DT_NOEND: all */
	bool		move;			/* take sealed rows from .. end - 1, not rows
								 * of the log */
	const uint64 *runs;			/* ids of the runs to take them from; NULL:
								 * all */
	int			nruns;
	StorePlace	place;			/* of the run */

	/* what it has done */
	BlockNumber next;			/* where to go on; 0: everything was read */
	uint64		sealed;			/* rows */
	uint64		losers;			/* rows that were not sealed, because somebody
								 * changed or locked them meanwhile */
	bool		no_place;		/* there were rows, but no place for a run */
} StoreSeal;

/* In the place of empty log pages if there are enough, else at the end. */
#define STORE_ANY_PLACE ((StorePlace) {InvalidBlockNumber, true})

/*
 * Open a kyro table to seal it, and lock it until the end of the transaction in
 * ShareUpdateExclusive mode; if it has no list, also in AccessExclusive mode, until
 * store_seal() has given it one.  Raises an error if it is not a kyro table, if the
 * user does not own it, or if this session is using it.
 */
extern Relation store_seal_open(Oid relid);

/*
 * Seal rows of a table that store_seal_open() has opened.  Runs as the table's
 * owner, whose code index expressions are; an error is recorded for kyro.health()
 * and raised.  False if there was nothing to seal, or no place; else *run is the new
 * run.  The second part of *what is filled.
 */
extern bool store_seal(Relation rel, StoreSeal *what, StoreRun *run);

/*
 * An index access method that can insert many entries at once.  Registered by
 * _PG_init(), because this layer does not know index access methods.
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
 * Collect rows of runs, for a move.  Returns the block where the next move is to
 * begin, 0 if everything was read.
 */
extern BlockNumber store_move_collect(Relation rel, StoreTable *table, Snapshot snapshot, const StoreSeal *what,
									  StoreWriter *w);

/* Count the rows of a run that were touched, and among these those that are dead. */
extern void store_run_count(Relation rel, StoreTable *table, StoreRun *run, uint64 *touched, uint64 *dead);

/* --- shrink.c -------------------------------------------------------------------- */

/* Runs whose rows are to be moved. */
typedef struct StoreStep
{
	uint64	   *runs;			/* ids */
	int			nruns;
	BlockNumber from;			/* they lie within from .. end - 1 */
	BlockNumber end;
	BlockNumber pages;			/* of all of them */
	StorePlace	place;			/* where their rows are to go */
} StoreStep;

/*
 * Plan what kyro.compact is to move: a list of StoreStep, to be taken in this order.
 * The table was vacuumed and is locked against changes of the list.  batch: rows
 * that are moved in one transaction.
 */
extern List *store_shrink_plan(Relation rel, uint64 batch);

/* --- batches.c ------------------------------------------------------------------ */

/*
 * Seal one batch of a table in this transaction; what->sealed tells how many rows.  The
 * first batch (what->from is 0) sets what->end.  Counts pages for the delay of VACUUM.
 */
extern void store_seal_batch(Oid relid, StoreSeal *what);

/* What kyro.compact has done; sums over tables. */
typedef struct StoreCompacted
{
	uint64		rows;			/* moved */
	uint64		batches;
	uint64		held;			/* not moved: somebody changed or locked them */
	uint64		before;			/* blocks of the file */
	uint64		after;
} StoreCompacted;

/*
 * Compact a table, as kyro.compact does.  It must be called in a transaction, which it commits, and ends
 * in another one, which is left open.  `context` is reset with each batch; what must last is allocated in
 * its parent.  `pause`, if not NULL, is called after each batch, and may raise an error.
 */
extern void store_compact(Oid relid, uint64 batch, MemoryContext context, void (*pause) (Oid relid),
						  StoreCompacted *done);

/* --- tree.c ----------------------------------------------------------------------- */

/*
 * The leaf partitions of a partitioned table that are kyro tables, sorted by OID and
 * locked in this mode (NoLock: not locked).  A NOTICE counts the others; if there are
 * only others, that is error 42809, with this hint.  A table without partitions has
 * an empty list.
 */
extern List *store_kyro_partitions(Oid relid, LOCKMODE lockmode, const char *hint);

/*
 * The same for commands that write to one partition after the other.  Raises an error
 * unless the user owns the partitioned table.  That is locked in AccessShare mode,
 * its partitions are not.
 */
extern List *store_partitions(Oid relid);

/* --- stamp.c: the last step of a seal ---------------------------------------------------- */

typedef struct StoreMoves StoreMoves;

/* Begin to collect old and new places of rows; sorts within maintenance_work_mem. */
extern StoreMoves *store_moves_begin(void);

/* The row at `from`, in the log or in a run, was written to `to`. */
extern void store_moves_put(void *moves, ItemPointer from, ItemPointer to);

extern void store_moves_end(StoreMoves *moves);

/*
 * May a tuple on a locked log page be sealed by command cid?  It may if the snapshot
 * sees it, it is no ledger tuple, and nobody has changed or locked it, not even this
 * transaction.
 */
extern bool store_tuple_is_free(HeapTuple tuple, Snapshot snapshot, CommandId cid, Buffer buffer);

/*
 * Stamp the rows that a new run has come from, with one WAL record for each page;
 * returns the number of losers.  The run is in the list and in all indexes.  The
 * snapshot is the one by which the rows were collected, held since.
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
 * Raise an error if a page of a table without a list is one of ours: then there was
 * a list, and something else has overwritten it.
 */
extern void store_check_log_page(Relation rel, Page page, BlockNumber block);

/*
 * The same for all pages of a table that is to get a list.  No lock on the table
 * is needed: nobody makes such pages before it has one.
 */
extern void store_check_all_log(Relation rel);

/*
 * Give a table that is all log its list, after store_check_all_log().  The caller
 * - holds AccessExclusiveLock, which is released here, and a weaker lock that
 *   excludes seals and VACUUM;
 * - runs as the table's owner, whose code index expressions are, with an active
 *   snapshot;
 * - has nothing open that knows TIDs of the table.
 */
extern void store_make_whole(Relation rel);

/*
 * Remove the index entries of rows that were in block 0 before it was the list,
 * if there may be any.  The caller holds a lock that excludes seals and VACUUM.
 */
extern void store_remove_old_entries(Relation rel);

/* --- trim.c: space that nobody needs any more ------------------------------------------ */

/*
 * Give dead runs that have no date yet one.  Before anything asks for an
 * AccessExclusive lock, which gives VACUUM an xid: so the date is older than every
 * snapshot as soon as VACUUM has ended and nobody else is at work.  Locks as for
 * store_list_add().
 */
extern void store_date_runs(Relation rel);

/*
 * Cut off dead runs and what failed seals left at the end of the file, and empty log
 * pages from log_end on, where no link leads (InvalidBlockNumber: none).  The caller
 * holds a lock on the table that excludes changes of the list, and calls store_open()
 * again afterwards.  Does nothing if anybody else uses the table.
 */
extern void store_trim(Relation rel, BlockNumber log_end);

/*
 * Where the file would end without dead runs, what failed seals left, and empty log
 * pages at its end, to which there may be links.
 */
extern BlockNumber store_tail(Relation rel);

/*
 * Make empty log pages of dead runs and of what failed seals left.  For VACUUM, which
 * has cleaned the indexes; no snapshot is older than the horizon.
 */
extern void store_free_pages(Relation rel, TransactionId horizon);

/* --- verify.c ------------------------------------------------------------------------- */

/*
 * Call report() for each problem of a table.  deep: its TOAST values and indexes,
 * too, if its pages are sound.  The caller holds AccessShareLock on the table and
 * runs as its owner.
 */
extern void store_verify(Relation rel, bool deep, KyroReportFunction report, void *arg);

#endif							/* KYRO_STORE_H */
