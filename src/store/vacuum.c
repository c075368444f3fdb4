/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM of a kyro table.
 *
 * In this order:
 *
 * 1. How the transactions that sealed runs have ended is written to the list, while
 *	  clog still knows.  The lock of VACUUM excludes seals in progress.
 * 2. Ledger tuples of runs that were rolled back are marked dead.
 * 3. Rows are counted, sealed ones and those of the log.  Then core vacuums the log,
 *	  ledger tuples included.  It must not truncate, because sealed pages look empty
 *	  to it.  It does not see their rows either, so the counts that it has written to
 *	  pg_class and the statistics are corrected at once, before anything else can fail
 *	  or be cancelled.
 * 4. Pages of runs that everyone sees, and whose rows nobody has touched, get their
 *	  visibility map bits.  Standbys cancel older snapshots first.
 * 5. If it is worth a pass over the indexes, entries of dead sealed rows and of
 *	  rolled-back runs are removed, and the rows are marked as reclaimed.  A row is
 *	  dead if its ledger tuple is gone; standbys have checked the record that removed
 *	  it for conflicts.  It is also dead if it was moved and every snapshot sees its
 *	  new place; a record tells standbys.  A run without any other rows is dead.
 * 6. Dead runs are dated.  They, what failed seals left, and empty log pages to which no
 *	  link leads are cut off at the end of the file, if nobody else uses the table.  Else
 *	  they become empty log pages, dead runs when their date is older than every snapshot.
 * 7. Statistics are written again, with the sealed rows, which core does not see.
 *
 * IDENTIFICATION
 *	  src/store/vacuum.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/multixact.h"
#include "access/visibilitymap.h"
#include "access/xlog.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "debug_point.h"
#include "store/store.h"

/*
 * It is worth a pass over all indexes if this fraction of the sealed rows is dead,
 * unless INDEX_CLEANUP says otherwise.
 */
#define RECLAIM_FRACTION 0.01

/* About so many log pages are read to estimate the number of rows in the log. */
#define SAMPLE_PAGES 2000

/* Rows of a page whose index entries are to be removed. */
typedef struct DeadPage
{
	BlockNumber block;			/* hash key */
	bool		dead[MaxHeapTuplesPerPage];
} DeadPage;

typedef struct StoreVacuum
{
	Relation	rel;
	StoreTable *table;
	TransactionId horizon;
	HTAB	   *dead_pages;		/* of DeadPage */
	double		rows;			/* live rows of the table */
	double	   *index_rows;		/* of each index, rows by pg_class or by its
								 * cleanup */
	double		sealed;			/* rows of committed runs */
	double		reclaimable;	/* those of them that are dead and still have
								 * index entries */
	bool		aborted;		/* there is a rolled-back run of which indexes
								 * may have entries */

	/* of each run */
	uint64	   *dead_rows;		/* rows that are in no index any more */
	uint64	   *dying_rows;		/* dead rows that still have index entries */
	bool	   *needed;			/* a link leads there from a row that somebody
								 * may see in its old place */
	bool	   *leaving;		/* a link leads there from a row that is
								 * counted in dying_rows */

	bool		retires;		/* a run will be dead when the indexes are
								 * clean */
	uint64		newest_move;	/* newest full xid that has moved a row which
								 * is dead now */

	/* one past the last block that a link to a pruned ledger tuple leads to: */
	BlockNumber links_end;		/* links that will stay */
	BlockNumber reclaimable_end;	/* links that will be reclaimed */

	/* setting visibility map bits */
	XLogRecPtr	lsn;			/* see store_vm_set(); invalid: no conflict
								 * record was written yet */
	Buffer		vmbuffer;
	bool		vm_changed;
	BlockNumber block;
} StoreVacuum;

/* ---- 2. ledger tuples of runs that were rolled back ---- */

/* Mark a ledger tuple as inserted by an aborted transaction, so that core removes it. */
static void
kill_ledger(Relation rel, ItemPointer link, ItemPointer row)
{
	HeapTupleData tuple;
	Buffer		buffer,
				vmbuffer = InvalidBuffer;
	GenericXLogState *state;
	Page		page;
	HeapTupleHeader t;

	if (!store_ledger_get(rel, link, row, &tuple, &buffer))
		return;
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	/* it is still there: only a VACUUM, which we are, could have removed it */
	visibilitymap_pin(rel, BufferGetBlockNumber(buffer), &vmbuffer);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	store_vm_clear(rel, BufferGetBlockNumber(buffer), 1, &vmbuffer);
	state = GenericXLogStart(rel);
	page = GenericXLogRegisterBuffer(state, buffer, 0);
	PageClearAllVisible(page);
	t = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, ItemPointerGetOffsetNumber(link)));
	t->t_infomask = (t->t_infomask & ~HEAP_XMIN_FROZEN) | HEAP_XMIN_INVALID;
	store_log_page_finish(state);
	UnlockReleaseBuffer(buffer);
	ReleaseBuffer(vmbuffer);
}

static void
drop_ledgers_of_aborted_runs(StoreVacuum *v)
{
	for (int i = 0; i < v->table->nruns; i++)
	{
		StoreRun   *run = &v->table->runs[i];
		StorePage	p = {0};
		ItemPointerData links[MaxHeapTuplesPerPage];

		if (run->state != RUN_ABORTED)
			continue;
		v->aborted = true;
		for (BlockNumber block = run->first; block < run->first + run->pages; block++)
		{
			CHECK_FOR_INTERRUPTS();
			store_page_get_of_run(v->rel, v->table, run, block, NULL, &p);
			if (store_links_read(v->rel, &p, links) == 0)
				continue;
			for (OffsetNumber row = 1; row <= store_page_rows(&p)->h.count; row++)
			{
				ItemPointerData tid;

				ItemPointerSet(&tid, block, row);
				if (links[row - 1].ip_posid != 0)
					kill_ledger(v->rel, &links[row - 1], &tid);
			}
		}
		store_page_release(&p);
	}
}

/* ---- 4. visibility map ---- */

/*
 * Write a record that makes standbys cancel snapshots that do not see all runs whose
 * pages are about to be marked visible to all.
 */
static void
log_conflict(StoreVacuum *v)
{
	uint64		newest = 0;

	for (int i = 0; i < v->table->nruns; i++)
	{
		StoreRun   *run = &v->table->runs[i];

		if (store_run_seen_by_all(run, v->horizon))
			newest = Max(newest, run->fxid);
	}
	if (RelationNeedsWAL(v->rel) && newest != 0)
		v->lsn = kyro_log_conflict(v->rel, newest);
	else
		v->lsn = GetXLogInsertRecPtr();
}

static void
finish_vm_page(StoreVacuum *v)
{
	if (v->vm_changed)
		store_vm_log(v->rel, v->vmbuffer);
	v->vm_changed = false;
}

static void
set_visible(void *arg)
{
	StoreVacuum *v = (StoreVacuum *) arg;

	store_vm_set(v->rel, v->block, v->lsn, v->vmbuffer);
	v->vm_changed = true;
}

/* ---- 4. and 5. look at pages whose visibility map bit is not set ---- */

/* The index of a run in v->table->runs. */
static int
run_number(StoreVacuum *v, const StoreRun *run)
{
	return store_first_run_ending_after(v->table, run->first);
}

/*
 * Is the old place of a moved row dead to all?  *undone: the move was rolled back;
 * else *to is the index of the run that the row was moved to.
 */
static bool
moved_is_dead(StoreVacuum *v, const ItemPointerData *link, bool *undone, int *to)
{
	ItemPointerData tid;
	StoreRun   *run = store_moved_to(v->rel, v->table, link, &tid);

	*undone = run == NULL;
	if (run == NULL)
		return false;
	*to = run_number(v, run);
	if (!store_run_seen_by_all(run, v->horizon))
		return false;
	v->newest_move = Max(v->newest_move, run->fxid);
	return true;
}

/*
 * Set the visibility map bit of a page of rows if that is right.  Else count its dead
 * rows, collect those that still have index entries in v->dead_pages, and clear links
 * of moves that were rolled back.
 */
static void
look_at_page(StoreVacuum *v, StoreRun *run, StorePage *p, bool seen_by_all)
{
	const StoreRows *rows = store_page_rows(p);
	ItemPointerData links[MaxHeapTuplesPerPage];
	DeadPage   *dead_page = NULL;
	bool		reset[MaxHeapTuplesPerPage] = {false};
	bool		any_reset = false;
	int			number = run_number(v, run);

	if (store_links_read(v->rel, p, links) == 0)
	{
		if (!seen_by_all)
			return;
		if (XLogRecPtrIsInvalid(v->lsn))
			log_conflict(v);
		if (!BufferIsValid(v->vmbuffer) || !visibilitymap_pin_ok(p->block, v->vmbuffer))
		{
			finish_vm_page(v);
			visibilitymap_pin(v->rel, p->block, &v->vmbuffer);
		}
		v->block = p->block;
		DEBUG_POINT("vacuum-untouched");
		store_if_untouched(v->rel, p, set_visible, v);
		return;
	}
	for (OffsetNumber row = 1; row <= rows->h.count; row++)
	{
		ItemPointerData tid;
		HeapTupleData tuple;
		Buffer		buffer;
		BlockNumber link_end = 0;
		int			to = -1;

		if (links[row - 1].ip_posid == 0)
			continue;
		if (store_link_is_dead(&links[row - 1]))
		{
			if (links[row - 1].ip_posid == STORE_LINK_RECLAIMED)
			{
				v->dead_rows[number]++;
				continue;
			}
		}
		else if (store_link_is_moved(&links[row - 1]))
		{
			if (!moved_is_dead(v, &links[row - 1], &reset[row - 1], &to))
			{
				any_reset |= reset[row - 1];
				if (!reset[row - 1])
					v->needed[to] = true;
				continue;
			}
		}
		else
		{
			ItemPointerSet(&tid, p->block, row);
			if (store_ledger_get(v->rel, &links[row - 1], &tid, &tuple, &buffer))
			{
				UnlockReleaseBuffer(buffer);
				continue;
			}
			link_end = ItemPointerGetBlockNumber(&links[row - 1]) + 1;
		}
		if (dead_page == NULL)
		{
			bool		found;

			/* memory is used up: the rest is left to the next VACUUM */
			if (hash_get_num_entries(v->dead_pages) * sizeof(DeadPage) > maintenance_work_mem * (Size) 1024)
			{
				v->links_end = Max(v->links_end, link_end);
				if (to >= 0)
					v->needed[to] = true;
				continue;
			}

			dead_page = hash_search(v->dead_pages, &p->block, HASH_ENTER, &found);
			memset(dead_page->dead, 0, sizeof(dead_page->dead));
		}
		dead_page->dead[row - 1] = true;
		v->reclaimable_end = Max(v->reclaimable_end, link_end);
		v->reclaimable++;
		v->dying_rows[number]++;
		if (to >= 0)
			v->leaving[to] = true;
	}
	if (any_reset)
	{
		DEBUG_POINT("vacuum-undone");
		store_links_reset(v->rel, p, reset, links);
	}
}

static void
look_at_runs(StoreVacuum *v)
{
	Buffer		vmbuffer = InvalidBuffer;
	BlockNumber total = 0;
	BlockNumber done = 0;

	for (int i = 0; i < v->table->nruns; i++)
		total += store_run_committed(&v->table->runs[i]) ? v->table->runs[i].pages : 0;
	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_SCAN_HEAP);
	pgstat_progress_update_param(PROGRESS_VACUUM_TOTAL_HEAP_BLKS, total);
	for (int i = 0; i < v->table->nruns; i++)
	{
		StoreRun   *run = &v->table->runs[i];
		bool		seen_by_all = store_run_seen_by_all(run, v->horizon);
		StorePage	p = {0};

		if (!store_run_committed(run))
			continue;
		for (BlockNumber block = run->first; block < run->first + run->pages; block++)
		{
			kyro_vacuum_delay_point();
			pgstat_progress_update_param(PROGRESS_VACUUM_HEAP_BLKS_SCANNED, ++done);
			if (store_vm_test(v->rel, block, &vmbuffer))
				continue;
			if (store_page_get(v->rel, v->table, block, NULL, &p))
				look_at_page(v, run, &p, seen_by_all);
		}
		store_page_release(&p);
		v->retires |= v->dying_rows[i] > 0 && v->dead_rows[i] + v->dying_rows[i] == run->rows && !v->needed[i];
	}
	finish_vm_page(v);
	if (BufferIsValid(v->vmbuffer))
		ReleaseBuffer(v->vmbuffer);
	v->vmbuffer = InvalidBuffer;
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}

/* ---- 5. indexes ---- */

/* For index_bulk_delete(): may the entry of this TID go? */
static bool
entry_is_dead(ItemPointer tid, void *arg)
{
	StoreVacuum *v = (StoreVacuum *) arg;
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	StoreRun   *run = store_find_run(v->table, block);
	OffsetNumber row = ItemPointerGetOffsetNumber(tid);
	DeadPage   *page;

	if (run == NULL)
		return false;
	if (run->state >= RUN_ABORTED)
		return true;
	page = hash_search(v->dead_pages, &block, HASH_FIND, NULL);
	return page != NULL && row <= MaxHeapTuplesPerPage && page->dead[row - 1];
}

/* Is run i dead?  cleaned: the indexes were cleaned by this VACUUM. */
static bool
run_is_dead(StoreVacuum *v, int i, bool cleaned)
{
	return store_run_committed(&v->table->runs[i]) && !v->needed[i] && (cleaned || !v->leaving[i]) &&
		v->dead_rows[i] + (cleaned ? v->dying_rows[i] : 0) == v->table->runs[i].rows;
}

/* Write into the list which runs are dead, and if indexes were cleaned, that aborted ones are clean. */
static void
retire_runs(StoreVacuum *v, bool cleaned)
{
	uint64	   *ids = palloc(Max(v->table->nruns, 1) * sizeof(uint64));
	int			n = 0;

	for (int i = 0; i < v->table->nruns; i++)
	{
		if (run_is_dead(v, i, cleaned))
			ids[n++] = v->table->runs[i].id;
	}
	if (n > 0)
	{
		store_list_retire(v->rel, ids, n);
		DEBUG_POINT("vacuum-retired");
	}
	if (cleaned && v->aborted)
		store_list_clean(v->rel);
	pfree(ids);
}

static void
clean_indexes(StoreVacuum *v, VacuumParams *params, BufferAccessStrategy strategy)
{
	int			nindexes;
	Relation   *indexes;
	IndexVacuumInfo info = {0};
	IndexBulkDeleteResult **stats;
	HASH_SEQ_STATUS seq;
	DeadPage   *page;
	BlockNumber done = 0;
	StorePage	p = {0};

	vac_open_indexes(v->rel, RowExclusiveLock, &nindexes, &indexes);
	stats = palloc0(Max(nindexes, 1) * sizeof(IndexBulkDeleteResult *));
	kyro_vacuum_info_set_table(&info, v->rel);
	info.estimated_count = true;
	info.message_level = (params->options & VACOPT_VERBOSE) ? INFO : DEBUG2;
	info.num_heap_tuples = v->rows;
	info.strategy = strategy;

	/*
	 * standbys know that rows with ledger tuples are dead from the records
	 * that pruned these, but must be told of rows that were moved
	 */
	if (v->newest_move != 0 && RelationNeedsWAL(v->rel))
		(void) kyro_log_conflict(v->rel, v->newest_move);

	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_VACUUM_INDEX);
	kyro_progress_vacuum_indexes(nindexes, 0);
	for (int i = 0; i < nindexes; i++)
	{
		info.index = indexes[i];
		stats[i] = index_bulk_delete(&info, NULL, entry_is_dead, v);
		kyro_progress_vacuum_indexes(nindexes, i + 1);
	}
	pgstat_progress_update_param(PROGRESS_VACUUM_NUM_INDEX_VACUUMS, 1);
	DEBUG_POINT("vacuum-indexes-cleaned");

	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_VACUUM_HEAP);
	hash_seq_init(&seq, v->dead_pages);
	while ((page = hash_seq_search(&seq)) != NULL)
	{
		StoreRun   *run = store_find_run(v->table, page->block);

		kyro_vacuum_delay_point();
		/* nobody looks at the links of a dead run any more */
		if (run != NULL && !run_is_dead(v, run_number(v, run), true) &&
			store_page_get(v->rel, v->table, page->block, NULL, &p))
			store_links_reclaim(v->rel, &p, page->dead);
		pgstat_progress_update_param(PROGRESS_VACUUM_HEAP_BLKS_VACUUMED, ++done);
	}
	store_page_release(&p);
	retire_runs(v, true);

	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_INDEX_CLEANUP);
	kyro_progress_vacuum_indexes(nindexes, 0);
	for (int i = 0; i < nindexes; i++)
	{
		info.index = indexes[i];
		stats[i] = index_vacuum_cleanup(&info, stats[i]);
		if (stats[i] != NULL)
		{
			if (!stats[i]->estimated_count)
				v->index_rows[i] = stats[i]->num_index_tuples;
			pfree(stats[i]);
		}
		kyro_progress_vacuum_indexes(nindexes, i + 1);
	}
	vac_close_indexes(nindexes, indexes, NoLock);
	pfree(stats);
}

/* ---- 3. and 7. statistics ---- */

/* Live rows of a page; one that is being deleted counts, as in VACUUM of a heap. */
static int
count_page(StoreVacuum *v, StorePage *p)
{
	ItemPointerData links[MaxHeapTuplesPerPage];
	int			count = store_page_rows(p)->h.count;
	int			rows = count;

	if (store_links_read(v->rel, p, links) == 0)
		return count;
	for (OffsetNumber row = 1; row <= count; row++)
	{
		TransactionId xid;
		HTSV_Result status;

		if (links[row - 1].ip_posid == 0)
			continue;
		status = store_row_vacuum_status(v->rel, p, row, v->horizon, &xid);
		if (status != HEAPTUPLE_LIVE && status != HEAPTUPLE_DELETE_IN_PROGRESS)
			rows--;
	}
	return rows;
}

/* Count live sealed rows. */
static double
count_sealed_rows(StoreVacuum *v)
{
	double		rows = v->sealed;
	Buffer		vmbuffer = InvalidBuffer;
	StorePage	p = {0};

	for (int i = 0; i < v->table->nruns; i++)
	{
		StoreRun   *run = &v->table->runs[i];

		if (!store_run_committed(run))
			continue;
		for (BlockNumber block = run->first; block < run->first + run->pages; block++)
		{
			kyro_vacuum_delay_point();
			if (!store_vm_test(v->rel, block, &vmbuffer) && store_page_get(v->rel, v->table, block, NULL, &p))
				rows -= store_page_rows(&p)->h.count - count_page(v, &p);
		}
	}
	store_page_release(&p);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	return Max(rows, 0);
}

/* Estimate the live rows of the log from a sample of its pages. */
static double
count_log_rows(StoreVacuum *v)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(v->rel);
	BlockNumber npages = nblocks;
	BlockNumber step,
				looked = 0,
				log_page = 0;
	double		rows = 0;
	int			next_run = 0;

	for (int i = 0; i < v->table->nruns; i++)
		npages -= STORE_RUN_END(&v->table->runs[i]) - v->table->runs[i].first;
	step = Max(npages / SAMPLE_PAGES, 1);
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer;
		Page		page;
		OffsetNumber max;

		if (next_run < v->table->nruns && block >= v->table->runs[next_run].first)
		{
			block = STORE_RUN_END(&v->table->runs[next_run]) - 1;
			next_run++;
			continue;
		}
		if (log_page++ % step != 0)
			continue;
		kyro_vacuum_delay_point();
		looked++;
		buffer = ReadBuffer(v->rel, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		max = PageGetMaxOffsetNumber(page);
		for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
		{
			ItemId		item = PageGetItemId(page, offset);
			HeapTupleData tuple;

			if (!ItemIdIsNormal(item))
				continue;
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(v->rel);
			ItemPointerSet(&tuple.t_self, block, offset);
			if (!store_is_ledger(tuple.t_data))
			{
				HTSV_Result status = HeapTupleSatisfiesVacuum(&tuple, v->horizon, buffer);

				rows += status == HEAPTUPLE_LIVE || status == HEAPTUPLE_DELETE_IN_PROGRESS;
			}
		}
		UnlockReleaseBuffer(buffer);
	}
	return looked == 0 ? 0 : rows * log_page / looked;
}

/*
 * Write the numbers of rows and pages to pg_class.  This is an update in place, as
 * core's was, which would stay even if we were cancelled before.
 */
static void
write_statistics(StoreVacuum *v)
{
	BlockNumber all_visible,
				all_frozen;
	int			nindexes;
	Relation   *indexes;

	visibilitymap_count(v->rel, &all_visible, &all_frozen);
	vac_open_indexes(v->rel, AccessShareLock, &nindexes, &indexes);
	kyro_update_relstats(v->rel, RelationGetNumberOfBlocks(v->rel), v->rows, all_visible, all_frozen, nindexes > 0, false);
	for (int i = 0; i < nindexes; i++)
	{
		bool		partial = !heap_attisnull(indexes[i]->rd_indextuple, Anum_pg_index_indpred, NULL);

		kyro_update_relstats(indexes[i], RelationGetNumberOfBlocks(indexes[i]),
							 partial ? v->index_rows[i] : v->rows, 0, 0, false, false);
	}
	vac_close_indexes(nindexes, indexes, NoLock);
}

/* Count live rows, before core vacuums; keep what pg_class says of indexes. */
static void
count_rows(StoreVacuum *v)
{
	int			nindexes;
	Relation   *indexes;

	vac_open_indexes(v->rel, AccessShareLock, &nindexes, &indexes);
	v->index_rows = palloc(Max(nindexes, 1) * sizeof(double));
	for (int i = 0; i < nindexes; i++)
		v->index_rows[i] = indexes[i]->rd_rel->reltuples;
	vac_close_indexes(nindexes, indexes, NoLock);

	for (int i = 0; i < v->table->nruns; i++)
	{
		if (store_run_committed(&v->table->runs[i]))
			v->sealed += v->table->runs[i].rows;
	}
	v->rows = count_sealed_rows(v) + count_log_rows(v);
}

void
store_vacuum(Relation rel, struct VacuumParams *params, BufferAccessStrategy strategy)
{
	StoreVacuum v = {0};
	VacuumParams heap_params = *params;
	HASHCTL		ctl;

	v.rel = rel;
	ctl.keysize = sizeof(BlockNumber);
	ctl.entrysize = sizeof(DeadPage);
	ctl.hcxt = CurrentMemoryContext;
	v.dead_pages = hash_create("kyrodb dead rows", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	/* see whether the lock can be had before the whole table is read */
	if (!store_is_whole(rel) && ConditionalLockRelation(rel, AccessExclusiveLock))
	{
		UnlockRelation(rel, AccessExclusiveLock);
		store_check_all_log(rel);
		if (ConditionalLockRelation(rel, AccessExclusiveLock))
			store_make_whole(rel);
	}
	store_remove_old_entries(rel);
	pgstat_progress_start_command(PROGRESS_COMMAND_VACUUM, RelationGetRelid(rel));
	store_list_resolve(rel);
	DEBUG_POINT("vacuum-resolved");
	v.table = store_open(rel);
	drop_ledgers_of_aborted_runs(&v);
	v.dead_rows = palloc0(2 * Max(v.table->nruns, 1) * sizeof(uint64));
	v.dying_rows = v.dead_rows + v.table->nruns;
	v.needed = palloc0(2 * Max(v.table->nruns, 1) * sizeof(bool));
	v.leaving = v.needed + v.table->nruns;
	v.horizon = GetOldestNonRemovableTransactionId(rel);
	count_rows(&v);

	heap_params.truncate = VACOPTVALUE_DISABLED;
	heap_vacuum_rel(rel, &heap_params, strategy);
	HOLD_INTERRUPTS();
	write_statistics(&v);
	kyro_report_live_rows(rel, v.rows);
	RESUME_INTERRUPTS();
	pgstat_progress_start_command(PROGRESS_COMMAND_VACUUM, RelationGetRelid(rel));
	DEBUG_POINT("vacuum-log-done");

	look_at_runs(&v);
	DEBUG_POINT("vacuum-map-set");
	if ((v.reclaimable > 0 || v.aborted) && params->index_cleanup != VACOPTVALUE_DISABLED &&
		(params->index_cleanup == VACOPTVALUE_ENABLED || v.aborted || v.retires || v.reclaimable >= v.sealed * RECLAIM_FRACTION))
	{
		clean_indexes(&v, params, strategy);
		ereport((params->options & VACOPT_VERBOSE) ? INFO : DEBUG2,
				(errmsg("table \"%s\": removed index entries of %.0f dead sealed rows",
						RelationGetRelationName(rel), v.reclaimable)));
	}
	else
	{
		v.links_end = Max(v.links_end, v.reclaimable_end);
		retire_runs(&v, false);
	}
	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_FINAL_CLEANUP);
	store_date_runs(rel);
	store_trim(rel, params->truncate == VACOPTVALUE_DISABLED ? InvalidBlockNumber : v.links_end);
	store_free_pages(rel, v.horizon);
	v.table = store_open(rel);
	write_statistics(&v);
	pgstat_progress_end_command();
	hash_destroy(v.dead_pages);
	pfree(v.dead_rows);
	pfree(v.needed);
	pfree(v.index_rows);
}
