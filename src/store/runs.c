/*-------------------------------------------------------------------------
 *
 * runs.c
 *	  The runs that a backend knows of: which one a block belongs to, and which
 *	  snapshots see it.
 *
 * IDENTIFICATION
 *	  src/store/runs.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/store.h"

StoreRun *
store_find_run(StoreTable *table, BlockNumber block)
{
	int			low = 0,
				high = table->nruns;

	if (table->last < table->nruns)
	{
		StoreRun   *run = &table->runs[table->last];

		if (block >= run->first && block - run->first < run->pages)
			return run;
	}
	while (low < high)
	{
		int			mid = low + (high - low) / 2;
		StoreRun   *run = &table->runs[mid];

		if (block < run->first)
			high = mid;
		else if (block - run->first >= run->pages)
			low = mid + 1;
		else
		{
			table->last = mid;
			return run;
		}
	}
	return NULL;
}

int
store_first_run_ending_after(const StoreTable *table, BlockNumber block)
{
	int			low = 0,
				high = table->nruns;

	while (low < high)
	{
		int			mid = low + (high - low) / 2;

		if (STORE_RUN_END(&table->runs[mid]) <= block)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Has a run committed?  Looks into clog, until the outcome is known, and remembers
 * it in the copy of the list.  VACUUM writes it to the list on disk before that part
 * of clog can be truncated.
 */
static bool
run_committed(StoreRun *run)
{
	if (run->state == RUN_IN_DOUBT && run->fxid != 0)
	{
		TransactionId xid = (TransactionId) run->fxid;

		if (TransactionIdIsCurrentTransactionId(xid) || TransactionIdIsInProgress(xid))
			return false;

		/*
		 * in this order: a transaction writes clog before it leaves the proc
		 * array
		 */
		run->state = TransactionIdDidCommit(xid) ? RUN_COMMITTED : RUN_ABORTED;
	}
	return run->state < RUN_ABORTED;
}

bool
store_run_aborted(StoreRun *run)
{
	if (run->fxid != 0)
		(void) run_committed(run);
	return run->state >= RUN_ABORTED;
}

bool
store_run_in_progress(StoreRun *run)
{
	TransactionId xid = (TransactionId) run->fxid;

	return run->state == RUN_IN_DOUBT && run->fxid != 0 &&
		!TransactionIdIsCurrentTransactionId(xid) && TransactionIdIsInProgress(xid);
}

bool
store_run_committed(StoreRun *run)
{
	return run->fxid == 0 ? run->state < RUN_ABORTED : run_committed(run) && run->state == RUN_COMMITTED;
}

bool
store_fxid_is_ancient(uint64 fxid)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	return next - fxid > (uint64) 1 << 31;
}

bool
store_run_older_than(const StoreRun *run, TransactionId horizon)
{
	return store_fxid_is_ancient(run->fxid) || TransactionIdPrecedes((TransactionId) run->fxid, horizon);
}

bool
store_run_seen_by_all(StoreRun *run, TransactionId horizon)
{
	return store_run_committed(run) && (run->fxid == 0 || store_run_older_than(run, horizon));
}

bool
store_run_visible(StoreRun *run, Snapshot snapshot)
{
	TransactionId xid = (TransactionId) run->fxid;

	if (run->fxid == 0)
		return run->state < RUN_ABORTED;
	switch (snapshot->snapshot_type)
	{
		case SNAPSHOT_MVCC:
			if (run->state >= RUN_ABORTED)
				return false;
			if (run->state == RUN_COMMITTED && store_fxid_is_ancient(run->fxid))
				return true;
			if (TransactionIdIsCurrentTransactionId(xid))
				return run->cmin < snapshot->curcid;
			if (XidInMVCCSnapshot(xid, snapshot))
				return false;
			return run_committed(run);
		case SNAPSHOT_SELF:
		case SNAPSHOT_DIRTY:
			return TransactionIdIsCurrentTransactionId(xid) ||
				(run_committed(run) && run->state == RUN_COMMITTED);
		case SNAPSHOT_ANY:
			return true;
		case SNAPSHOT_NON_VACUUMABLE:
			return !store_run_aborted(run);
		default:
			return false;
	}
}

void
store_links_forget(StoreTable *table)
{
	if (table->links_cxt != NULL)
		MemoryContextDelete(table->links_cxt);
	table->links_cxt = NULL;
	table->links = NULL;
	table->links_seen = NULL;
}
