/*-------------------------------------------------------------------------
 *
 * move.c
 *	  Which sealed rows can be moved to a new run.
 *
 * A move is a seal (seal.c) whose rows come from runs instead of from the log: those
 * that a snapshot sees and nobody has changed or locked.  The old rows die when it
 * commits; a run dies with the last of its rows.
 *
 * IDENTIFICATION
 *	  src/store/move.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "progress.h"
#include "store/store.h"

/*
 * The rows of a page that may be moved: the snapshot sees them, and nobody has changed
 * or locked them.  Returns how many.
 */
static int
free_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *rows)
{
	ItemPointerData links[MaxHeapTuplesPerPage];
	int			visible = store_page_visible_rows(rel, p, snapshot, rows);
	int			n = 0;

	if (visible == 0 || store_links_read(rel, p, links) == 0)
		return visible;
	for (int i = 0; i < visible; i++)
	{
		ItemPointer link = &links[rows[i] - 1];
		ItemPointerData tid;
		HeapTupleData tuple;
		Buffer		buffer;
		bool		is_free = true;

		if (store_link_is_dead(link))
			continue;

		/*
		 * a visible row with the link of a move is free: that move was rolled
		 * back, because our lock excludes one in progress
		 */
		if (link->ip_posid != 0 && !store_link_is_moved(link))
		{
			ItemPointerSet(&tid, p->block, rows[i]);
			if (!store_ledger_get(rel, link, &tid, &tuple, &buffer))
				continue;
			is_free = HeapTupleSatisfiesUpdate(&tuple, snapshot->curcid, buffer) == TM_Ok;
			UnlockReleaseBuffer(buffer);
		}
		if (is_free)
			rows[n++] = rows[i];
	}
	return n;
}

static bool
is_wanted(const StoreSeal *what, const StoreRun *run)
{
	for (int i = 0; i < what->nruns; i++)
	{
		if (what->runs[i] == run->id)
			return true;
	}
	return what->runs == NULL;
}

BlockNumber
store_move_collect(Relation rel, StoreTable *table, Snapshot snapshot, const StoreSeal *what, StoreWriter *w)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb move", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StorePage	p = {0};
	BlockNumber next = 0;

	kyro_progress_phase(KYRO_PHASE_READ, InvalidOid, what->end);
	for (BlockNumber block = what->from; block < what->end; block++)
	{
		OffsetNumber rows[MaxHeapTuplesPerPage];
		int			i = store_first_run_ending_after(table, block);
		StoreRun   *run;
		int			n;

		CHECK_FOR_INTERRUPTS();
		kyro_progress_done(block);
		if (i == table->nruns)
			break;
		run = &table->runs[i];
		block = Max(block, run->first);
		if (block >= what->end)
			break;
		if (!store_run_committed(run) || block >= run->first + run->pages || !is_wanted(what, run))
		{
			block = STORE_RUN_END(run) - 1;
			continue;
		}
		if (!store_page_get(rel, table, block, NULL, &p))
			continue;
		n = free_rows(rel, &p, snapshot, rows);
		for (i = 0; i < n; i++)
			(void) store_writer_put(w, store_row_copy(rel, &p, rows[i]));
		MemoryContextReset(cxt);
		if (store_writer_rows(w) >= what->rows)
		{
			next = block + 1;
			break;
		}
	}
	store_page_release(&p);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return next < what->end ? next : 0;
}

void
store_run_count(Relation rel, StoreTable *table, StoreRun *run, uint64 *touched, uint64 *dead)
{
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);
	Buffer		vmbuffer = InvalidBuffer;
	StorePage	p = {0};

	*touched = *dead = 0;
	for (BlockNumber block = run->first; block < run->first + run->pages; block++)
	{
		ItemPointerData links[MaxHeapTuplesPerPage];

		CHECK_FOR_INTERRUPTS();
		if (store_vm_test(rel, block, &vmbuffer) ||
			!store_page_get(rel, table, block, NULL, &p) ||
			store_links_read(rel, &p, links) == 0)
			continue;
		for (OffsetNumber row = 1; row <= store_page_rows(&p)->h.count; row++)
		{
			TransactionId xid;
			HTSV_Result status;

			if (links[row - 1].ip_posid == 0)
				continue;
			(*touched)++;
			status = store_row_vacuum_status(rel, &p, row, horizon, &xid);
			if (status == HEAPTUPLE_DEAD || status == HEAPTUPLE_RECENTLY_DEAD)
				(*dead)++;
		}
	}
	store_page_release(&p);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}
