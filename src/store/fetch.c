/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  Rows by TID: for index scans, for row versions, and for indexes that want to
 *	  know which entries they may delete.
 *
 * The backend's copy of the run list is asked first, because a page of rows can then
 * be read without a buffer.  A block that is in no run of the copy is read by heap
 * code, as a log page.  If it turns out to be a page of ours, heap code finds nothing
 * there, and the list is read again.
 *
 * IDENTIFICATION
 *	  src/store/fetch.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "store/handler.h"
#include "store/store.h"

typedef struct StoreFetch
{
	IndexFetchHeapData heap;	/* must be first */
	StoreTable *table;			/* NULL before the first fetch */
	StorePage	p;
} StoreFetch;

IndexFetchTableData *
store_index_fetch_begin(Relation rel)
{
	StoreFetch *fetch = palloc0(sizeof(StoreFetch));

	fetch->heap.xs_base.rel = rel;
	fetch->heap.xs_cbuf = InvalidBuffer;
	return &fetch->heap.xs_base;
}

void
store_index_fetch_reset(IndexFetchTableData *scan)
{
	StoreFetch *fetch = (StoreFetch *) scan;

	store_page_drop(&fetch->p);
	store_heap()->index_fetch_reset(scan);
}

void
store_index_fetch_end(IndexFetchTableData *scan)
{
	StoreFetch *fetch = (StoreFetch *) scan;

	store_index_fetch_reset(scan);
	store_page_release(&fetch->p);
	pfree(scan);
}

/*
 * Heap code has put a log tuple into the slot.  False, with the slot cleared, if it
 * is a ledger tuple, which is no row.
 */
static bool
log_row(Relation rel, TupleTableSlot *slot, Snapshot snapshot)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;
	OffsetNumber offset = ItemPointerGetOffsetNumber(&bslot->base.tuple->t_self);

	if (unlikely(store_is_ledger(bslot->base.tuple->t_data)))
	{
		ExecClearTuple(slot);
		return false;
	}
	store_conflicts_out(rel, bslot->buffer, &offset, 1, snapshot);
	return true;
}

bool
store_index_fetch_tuple(IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
						TupleTableSlot *slot, bool *call_again, bool *all_dead)
{
	StoreFetch *fetch = (StoreFetch *) scan;
	Relation	rel = scan->rel;
	bool		again = *call_again;	/* within a HOT chain on a log page */

	if (fetch->table == NULL)
	{
		if (IsMVCCSnapshot(snapshot))
			PredicateLockRelation(rel, snapshot);
		fetch->table = store_open(rel);
		store_conflicts_unseen(rel, fetch->table, snapshot);
	}
	/* of no use if the row before was on the same page */
	if (!again && (fetch->p.page == NULL || fetch->p.block != ItemPointerGetBlockNumber(tid)))
		store_map_prefetch(fetch->table, tid);
	if (!again && !store_page_get(rel, fetch->table, ItemPointerGetBlockNumber(tid), NULL, &fetch->p))
		again = true;
	if (again)
	{
		if (store_heap()->index_fetch_tuple(scan, tid, snapshot, slot, call_again, all_dead))
		{
			if (log_row(rel, slot, snapshot))
				return true;
			/* no index has entries of ledger tuples: the TID is an old one */
			*call_again = false;
			if (all_dead)
				*all_dead = false;
			return false;
		}
		if (!unlikely(store_page_is_ours(BufferGetPage(fetch->heap.xs_cbuf))))
			return false;

		/*
		 * the run was sealed after the list was read, or was rolled back
		 */
		fetch->table = store_open(rel);
		if (all_dead)
		{
			StoreRun   *run = store_find_run(fetch->table, ItemPointerGetBlockNumber(tid));

			*all_dead = run != NULL && store_run_aborted(run);
		}
		if (fetch->table->incarnation == 0)
			store_check_log_page(rel, BufferGetPage(fetch->heap.xs_cbuf), ItemPointerGetBlockNumber(tid));
		if (!store_page_get(rel, fetch->table, ItemPointerGetBlockNumber(tid), NULL, &fetch->p))
			return false;
	}

	*call_again = false;
	if (ItemPointerGetOffsetNumber(tid) > store_page_rows(&fetch->p)->h.count)
	{
		if (all_dead)
			*all_dead = false;
		return false;
	}
	if (!store_row_visible(rel, &fetch->p, ItemPointerGetOffsetNumber(tid), snapshot, all_dead))
		return false;
	store_row_slot(rel, &fetch->p, ItemPointerGetOffsetNumber(tid), slot);
	return true;
}

bool
store_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	StorePage	p = {0};
	OffsetNumber row = ItemPointerGetOffsetNumber(tid);
	StoreTable *table;
	bool		found;

	if (IsMVCCSnapshot(snapshot))
		PredicateLockRelation(rel, snapshot);
	table = store_open(rel);
	store_conflicts_unseen(rel, table, snapshot);
	if (!store_page_get(rel, table, ItemPointerGetBlockNumber(tid), NULL, &p))
		return store_heap()->tuple_fetch_row_version(rel, tid, snapshot, slot) && log_row(rel, slot, snapshot);
	found = row >= 1 && row <= store_page_rows(&p)->h.count && store_row_visible(rel, &p, row, snapshot, NULL);
	if (found)
		store_row_slot(rel, &p, row, slot);
	store_page_release(&p);
	return found;
}

bool
store_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot)
{
	StorePage	p = {0};
	bool		visible;

	if (BufferIsValid(((BufferHeapTupleTableSlot *) slot)->buffer))
		return store_heap()->tuple_satisfies_snapshot(rel, slot, snapshot);
	if (!store_page_get(rel, store_open(rel), ItemPointerGetBlockNumber(&slot->tts_tid), NULL, &p))
	{
		/* the slot has a copy of a log tuple: look at the original */
		TupleTableSlot *fetched = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);

		visible = store_heap()->tuple_fetch_row_version(rel, &slot->tts_tid, snapshot, fetched);
		ExecDropSingleTupleTableSlot(fetched);
		return visible;
	}
	visible = ItemPointerGetOffsetNumber(&slot->tts_tid) <= store_page_rows(&p)->h.count &&
		store_row_visible(rel, &p, ItemPointerGetOffsetNumber(&slot->tts_tid), snapshot, NULL);
	store_page_release(&p);
	return visible;
}

/* Bottom-up deletion looks at so many pages of rows; as in heapam.c. */
#define BOTTOMUP_PAGES 6

static int
by_tid(const void *a, const void *b)
{
	TM_IndexDelete *x = (TM_IndexDelete *) a;
	TM_IndexDelete *y = (TM_IndexDelete *) b;

	return ItemPointerCompare(&x->tid, &y->tid);
}

TransactionId
store_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate)
{
	StoreTable *table = store_open(rel);
	TM_IndexDelete *sealed = palloc(Max(delstate->ndeltids, 1) * sizeof(TM_IndexDelete));
	int			nsealed = 0;
	int			nlog = 0;
	int			npages = 0;
	bool		ask_heap = delstate->bottomup;
	TransactionId horizon = InvalidTransactionId;
	TransactionId sealed_horizon = InvalidTransactionId;
	SnapshotData non_vacuumable;
	StorePage	p = {0};

	for (int i = 0; i < delstate->ndeltids; i++)
	{
		TM_IndexDelete *entry = &delstate->deltids[i];

		/*
		 * block 0, if it is the list, is in no run, but its entries can go:
		 * they are left over from before (whole.c)
		 */
		if (store_find_run(table, ItemPointerGetBlockNumber(&entry->tid)) == NULL &&
			(ItemPointerGetBlockNumber(&entry->tid) != 0 || table->incarnation == 0))
		{
			delstate->deltids[nlog++] = *entry;
			ask_heap |= delstate->status[entry->id].knowndeletable;
		}
		/* in a bottom-up deletion, rows without duplicates are probably alive */
		else if (!delstate->bottomup || delstate->status[entry->id].promising)
			sealed[nsealed++] = *entry;
	}

	/*
	 * heap code expects that at least one entry can be deleted, unless the
	 * deletion is bottom-up
	 */
	delstate->ndeltids = ask_heap ? nlog : 0;
	if (delstate->ndeltids > 0)
		horizon = store_heap()->index_delete_tuples(rel, delstate);

	InitNonVacuumableSnapshot(non_vacuumable, GlobalVisTestFor(rel));
	qsort(sealed, nsealed, sizeof(TM_IndexDelete), by_tid);
	for (int i = 0; i < nsealed; i++)
	{
		TM_IndexStatus *status = &delstate->status[sealed[i].id];
		BlockNumber block = ItemPointerGetBlockNumber(&sealed[i].tid);
		OffsetNumber row = ItemPointerGetOffsetNumber(&sealed[i].tid);

		if (p.page == NULL || p.block != block)
		{
			if (delstate->bottomup && npages++ == BOTTOMUP_PAGES)
				break;
			if (!store_page_get(rel, table, block, NULL, &p))
			{
				/*
				 * the page is the list, or of a run that was rolled back or
				 * is dead: nobody sees a row there
				 */
				status->knowndeletable = true;
				delstate->deltids[delstate->ndeltids++] = sealed[i];
				continue;
			}
		}
		if (row <= store_page_rows(&p)->h.count &&
			store_row_removable(rel, &p, row, status->knowndeletable, &non_vacuumable, &sealed_horizon))
			status->knowndeletable = true;
		if (status->knowndeletable)
			delstate->deltids[delstate->ndeltids++] = sealed[i];
	}
	store_page_release(&p);
	pfree(sealed);
	if (TransactionIdIsValid(sealed_horizon) &&
		(!TransactionIdIsValid(horizon) || TransactionIdFollows(sealed_horizon, horizon)))
		horizon = sealed_horizon;
	return horizon;
}
