/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Reading a table to build an index on it.
 *
 * As heap code does for heaps: every tuple that some snapshot may see is indexed, a
 * heap-only tuple under the TID of the root of its HOT chain.  Sealed rows have no
 * chains.  Ledger tuples are skipped.
 *
 * IDENTIFICATION
 *	  src/store/build.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "store/store.h"

typedef struct Build
{
	Relation	rel;
	Relation	index;
	IndexInfo  *info;
	StoreScan  *scan;
	TransactionId oldest_xmin;	/* invalid: the scan has an MVCC snapshot */
	bool		anyvisible;		/* rows in progress count as alive */
	bool		unique;			/* the index checks uniqueness or exclusion */
	ExprState  *predicate;
	EState	   *estate;
	TupleTableSlot *slot;
	double		rows;

	/* roots of HOT chains, of the log page root_block */
	BlockNumber root_block;
	OffsetNumber roots[MaxHeapTuplesPerPage];
} Build;

static void
build_begin(Build *b, Relation rel, Relation index, IndexInfo *info)
{
	memset(b, 0, sizeof(*b));
	b->rel = rel;
	b->index = index;
	b->info = info;
	b->unique = info->ii_Unique || info->ii_ExclusionOps != NULL;
	b->estate = CreateExecutorState();
	b->slot = table_slot_create(rel, NULL);
	GetPerTupleExprContext(b->estate)->ecxt_scantuple = b->slot;
	b->predicate = ExecPrepareQual(info->ii_Predicate, b->estate);
	b->root_block = InvalidBlockNumber;
}

static void
build_end(Build *b)
{
	ExecDropSingleTupleTableSlot(b->slot);
	FreeExecutorState(b->estate);
	/* these pointed into the executor state */
	b->info->ii_ExpressionsState = NIL;
	b->info->ii_PredicateState = NULL;
}

static void
find_roots(Build *b)
{
	HeapScanDesc heap = b->scan->heap;

	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_SHARE);
	heap_get_root_tuples(BufferGetPage(heap->rs_cbuf), b->roots);
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_UNLOCK);
	b->root_block = heap->rs_cblock;
}

/*
 * The TID under which a log tuple of the page in hand is indexed.
 */
static ItemPointerData
root_of(Build *b, HeapTuple tuple)
{
	ItemPointerData tid = tuple->t_self;
	OffsetNumber offset = ItemPointerGetOffsetNumber(&tid);

	if (b->root_block != b->scan->heap->rs_cblock)
		find_roots(b);
	if (HeapTupleIsHeapOnly(tuple))
	{
		/* with a weak lock on the table, chains may have grown since */
		if (!OffsetNumberIsValid(b->roots[offset - 1]))
			find_roots(b);
		if (!OffsetNumberIsValid(b->roots[offset - 1]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("failed to find parent tuple for heap-only tuple at (%u,%u) in table \"%s\"",
							ItemPointerGetBlockNumber(&tid), offset, RelationGetRelationName(b->rel))));
		ItemPointerSetOffsetNumber(&tid, b->roots[offset - 1]);
	}
	return tid;
}

/*
 * The status of a row; tuple and row as for judge().  *hot_updated is read under the
 * same lock.
 */
static HTSV_Result
status_of(Build *b, HeapTuple tuple, OffsetNumber row, TransactionId *xwait, bool *hot_updated)
{
	HTSV_Result status;

	*hot_updated = false;
	if (b->scan->sealed)
		return store_row_vacuum_status(b->rel, &b->scan->p, row, b->oldest_xmin, xwait);

	Assert(tuple != NULL);
	LockBuffer(b->scan->heap->rs_cbuf, BUFFER_LOCK_SHARE);
	status = HeapTupleSatisfiesVacuum(tuple, b->oldest_xmin, b->scan->heap->rs_cbuf);
	*hot_updated = HeapTupleIsHotUpdated(tuple);
	if (status == HEAPTUPLE_INSERT_IN_PROGRESS)
		*xwait = HeapTupleHeaderGetXmin(tuple->t_data);
	else if (status == HEAPTUPLE_DELETE_IN_PROGRESS)
		*xwait = HeapTupleHeaderGetUpdateXid(tuple->t_data);
	LockBuffer(b->scan->heap->rs_cbuf, BUFFER_LOCK_UNLOCK);
	return status;
}

/*
 * Is a row to be indexed?  `tuple` is the log tuple, NULL for a sealed row, whose
 * number is `row`.  *alive: whether it counts for uniqueness.  May wait for another
 * transaction to end.
 */
static bool
judge(Build *b, HeapTuple tuple, OffsetNumber row, bool *alive)
{
	for (;;)
	{
		TransactionId xwait = InvalidTransactionId;
		ItemPointerData tid;
		bool		hot_updated;
		bool		ours;

		CHECK_FOR_INTERRUPTS();
		switch (status_of(b, tuple, row, &xwait, &hot_updated))
		{
			case HEAPTUPLE_DEAD:
				*alive = false;
				return false;

			case HEAPTUPLE_LIVE:
				*alive = true;
				b->rows++;
				return true;

			case HEAPTUPLE_RECENTLY_DEAD:

				/*
				 * only the live end of a HOT chain is indexed, so snapshots
				 * that see this version must not use the index
				 */
				*alive = false;
				if (hot_updated)
					b->info->ii_BrokenHotChain = true;
				return !hot_updated;

			case HEAPTUPLE_INSERT_IN_PROGRESS:
				*alive = true;
				ours = TransactionIdIsCurrentTransactionId(xwait);
				if (b->anyvisible || ours)
				{
					b->rows++;
					return true;
				}
				/* the caller's lock should keep others out */
				elog(WARNING, "concurrent insert in progress within table \"%s\"",
					 RelationGetRelationName(b->rel));
				if (!b->unique)
					return true;
				break;

			case HEAPTUPLE_DELETE_IN_PROGRESS:
				*alive = false;
				if (b->anyvisible)
				{
					b->rows++;
					return true;
				}
				ours = TransactionIdIsCurrentTransactionId(xwait);
				if (ours)
				{
					if (hot_updated)
						b->info->ii_BrokenHotChain = true;
					return !hot_updated;
				}
				elog(WARNING, "concurrent delete in progress within table \"%s\"",
					 RelationGetRelationName(b->rel));
				if (!b->unique && !hot_updated)
				{
					b->rows++;
					return true;
				}
				break;
		}

		/* it matters how the transaction ends: wait, and look again */
		ItemPointerSet(&tid, b->scan->heap->rs_cblock, tuple != NULL ? ItemPointerGetOffsetNumber(&tuple->t_self) : row);
		XactLockTableWait(xwait, b->rel, &tid, XLTW_InsertIndexUnique);
	}
}

/* Evaluate the index's columns for the row in the slot; false if it is left out. */
static bool
form_entry(Build *b, Datum *values, bool *isnull)
{
	ExprContext *econtext = GetPerTupleExprContext(b->estate);

	MemoryContextReset(econtext->ecxt_per_tuple_memory);
	if (b->predicate != NULL && !ExecQual(b->predicate, econtext))
		return false;
	FormIndexDatum(b->info, b->slot, b->estate, values, isnull);
	return true;
}

/* A log tuple of the page in hand; false if there is none, or a ledger tuple. */
static bool
get_log_tuple(Build *b, OffsetNumber offset, HeapTuple tuple)
{
	HeapScanDesc heap = b->scan->heap;
	Page		page = BufferGetPage(heap->rs_cbuf);
	ItemId		item;

	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_SHARE);
	item = PageGetItemId(page, offset);
	if (ItemIdIsNormal(item))
	{
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple->t_len = ItemIdGetLength(item);
		tuple->t_tableOid = RelationGetRelid(b->rel);
		ItemPointerSet(&tuple->t_self, heap->rs_cblock, offset);
	}
	else
		tuple->t_data = NULL;
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_UNLOCK);
	return tuple->t_data != NULL && !store_is_ledger(tuple->t_data);
}

/*
 * The number of rows to look at on the page in hand, and the offset of the i-th (from
 * 0): those that the MVCC snapshot sees, or all.
 */
static int
candidates(Build *b)
{
	HeapScanDesc heap = b->scan->heap;

	if (!TransactionIdIsValid(b->oldest_xmin))
		return heap->rs_ntuples;
	if (b->scan->sealed)
		return store_page_rows(&b->scan->p)->h.count;
	return PageGetMaxOffsetNumber(BufferGetPage(heap->rs_cbuf));
}

static OffsetNumber
candidate(Build *b, int i)
{
	return TransactionIdIsValid(b->oldest_xmin) ? i + 1 : b->scan->heap->rs_vistuples[i];
}

static void
build_page(Build *b, IndexBuildCallback callback, void *callback_state)
{
	int			n = candidates(b);

	for (int i = 0; i < n; i++)
	{
		OffsetNumber offset = candidate(b, i);
		HeapTupleData tuple;
		ItemPointerData tid;
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		bool		alive = true;

		CHECK_FOR_INTERRUPTS();
		if (!b->scan->sealed && !get_log_tuple(b, offset, &tuple))
			continue;
		if (!TransactionIdIsValid(b->oldest_xmin))
			b->rows++;
		else if (!judge(b, b->scan->sealed ? NULL : &tuple, offset, &alive))
			continue;

		if (b->scan->sealed)
		{
			store_row_slot(b->rel, &b->scan->p, offset, b->slot);
			tid = b->slot->tts_tid;
		}
		else
		{
			ExecStoreBufferHeapTuple(&tuple, b->slot, b->scan->heap->rs_cbuf);
			tid = tuple.t_self;
		}
		if (!form_entry(b, values, isnull))
			continue;
		if (!b->scan->sealed)
			tid = root_of(b, &tuple);
		callback(b->index, &tid, values, isnull, alive, callback_state);
	}
	ExecClearTuple(b->slot);
}

double
store_index_build_range_scan(Relation rel, Relation index, struct IndexInfo *info,
							 bool allow_sync, bool anyvisible, bool progress,
							 BlockNumber start_blockno, BlockNumber numblocks,
							 IndexBuildCallback callback, void *callback_state, TableScanDesc scan)
{
	Build		b;
	Snapshot	snapshot = SnapshotAny;
	bool		own_snapshot = false;
	BlockNumber done = 0;

	build_begin(&b, rel, index, info);
	b.anyvisible = anyvisible;
	if (!info->ii_Concurrent)
		b.oldest_xmin = GetOldestNonRemovableTransactionId(rel);
	if (scan == NULL)
	{
		if (info->ii_Concurrent)
		{
			snapshot = RegisterSnapshot(GetTransactionSnapshot());
			own_snapshot = true;
		}
		scan = table_beginscan_strat(rel, snapshot, 0, NULL, true, allow_sync);
	}
	b.scan = (StoreScan *) scan;
	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, b.scan->heap->rs_base.rs_parallel != NULL ?
									 ((ParallelBlockTableScanDesc) b.scan->heap->rs_base.rs_parallel)->phs_nblocks :
									 b.scan->heap->rs_nblocks);
	if (!allow_sync)
		heap_setscanlimits((TableScanDesc) b.scan->heap, start_blockno, numblocks);

	while (store_scan_next_page(b.scan, ForwardScanDirection))
	{
		if (progress)
		{
			HeapScanDesc heap = b.scan->heap;

			/* workers report the scan's common position, as heap code does */
			if (heap->rs_base.rs_parallel != NULL)
				done = (heap->rs_cblock + heap->rs_nblocks -
						((ParallelBlockTableScanDesc) heap->rs_base.rs_parallel)->phs_startblock) % heap->rs_nblocks;
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, done++);
		}
		build_page(&b, callback, callback_state);
	}
	if (progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, b.scan->heap->rs_nblocks);

	table_endscan(scan);
	if (own_snapshot)
		UnregisterSnapshot(snapshot);
	build_end(&b);
	return b.rows;
}

/* ---- validation of a concurrent build ---- */

/* The TIDs that are in the index, read in ascending order. */
typedef struct Entries
{
	Tuplesortstate *sort;
	bool		done;
	bool		valid;			/* `tid` was read, and not passed yet */
	ItemPointerData tid;
	BlockNumber block;			/* passed[] are offsets that were passed on
								 * this block */
	bool		passed[MaxHeapTuplesPerPage];
} Entries;

/*
 * Is a TID in the index?  To be called in the order of blocks, within a block in any
 * order, because roots of HOT chains come in any.
 */
static bool
is_in_index(Entries *e, ItemPointer tid)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);

	if (e->block != block)
	{
		memset(e->passed, 0, sizeof(e->passed));
		e->block = block;
	}
	while (!e->done && (!e->valid || ItemPointerCompare(&e->tid, tid) < 0))
	{
		Datum		value;
		bool		isnull;

		if (e->valid && ItemPointerGetBlockNumber(&e->tid) == block &&
			ItemPointerGetOffsetNumber(&e->tid) <= MaxHeapTuplesPerPage)
			e->passed[ItemPointerGetOffsetNumber(&e->tid) - 1] = true;
		e->valid = kyro_sort_get_datum(e->sort, &value, &isnull);
		if (e->valid)
			itemptr_decode(&e->tid, DatumGetInt64(value));
		else
			e->done = true;
	}
	return (e->valid && ItemPointerEquals(&e->tid, tid)) ||
		e->passed[ItemPointerGetOffsetNumber(tid) - 1];
}

void
store_index_validate_scan(Relation rel, Relation index, struct IndexInfo *info,
						  Snapshot snapshot, struct ValidateIndexState *state)
{
	Build		b;
	Entries		entries = {.sort = state->tuplesort, .block = InvalidBlockNumber};

	build_begin(&b, rel, index, info);
	/* not synchronized: the order of blocks matters */
	b.scan = (StoreScan *) table_beginscan_strat(rel, snapshot, 0, NULL, true, false);
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, b.scan->heap->rs_nblocks);

	while (store_scan_next_page(b.scan, ForwardScanDirection))
	{
		int			n = candidates(&b);

		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, b.scan->heap->rs_cblock);
		for (int i = 0; i < n; i++)
		{
			OffsetNumber offset = candidate(&b, i);
			HeapTupleData tuple;
			ItemPointerData tid;
			Datum		values[INDEX_MAX_KEYS];
			bool		isnull[INDEX_MAX_KEYS];

			CHECK_FOR_INTERRUPTS();
			if (b.scan->sealed)
				ItemPointerSet(&tid, b.scan->p.block, offset);
			else if (get_log_tuple(&b, offset, &tuple))
				tid = root_of(&b, &tuple);
			else
				continue;
			state->htups += 1;
			if (is_in_index(&entries, &tid))
				continue;
			if (b.scan->sealed)
				store_row_slot(rel, &b.scan->p, offset, b.slot);
			else
				ExecStoreBufferHeapTuple(&tuple, b.slot, b.scan->heap->rs_cbuf);
			if (!form_entry(&b, values, isnull))
				continue;

			/*
			 * Uniqueness is checked even if the row is dead by now: a later
			 * version in its HOT chain, which has the same TID in the index,
			 * may be alive.
			 */
			index_insert(index, values, isnull, &tid, rel,
						 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
			state->tups_inserted += 1;
		}
		ExecClearTuple(b.slot);
	}
	table_endscan((TableScanDesc) b.scan);
	build_end(&b);
}
