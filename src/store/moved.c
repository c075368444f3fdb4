/*-------------------------------------------------------------------------
 *
 * moved.c
 *	  Rows that were moved from one run to another.
 *
 * A row that nobody has touched is moved by setting its link to its new place.
 * From then on it is, to everyone, a row that the transaction of the new run has
 * updated without changing it.  The new run knows that transaction and how it has
 * ended, so no ledger tuple is needed.  If it was rolled back, the row is as if it
 * had never been touched, and the link may be overwritten.  (A row that was touched
 * has a ledger tuple, which is stamped, as a seal stamps log tuples.)
 *
 * The run is found in the list by the block that the link leads to.  It stays in the
 * list as long as anyone can have read the link (README, S13).
 *
 * IDENTIFICATION
 *	  src/store/moved.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/snapmgr.h"

#include "store/store.h"

StoreRun *
store_moved_to(Relation rel, StoreTable *table, const ItemPointerData *link, ItemPointer to)
{
	StoreRun   *run;

	Assert(store_link_is_moved(link));
	ItemPointerSet(to, BlockIdGetBlockNumber(&link->ip_blkid), link->ip_posid & ~STORE_LINK_MOVED);
	run = store_find_run(table, ItemPointerGetBlockNumber(to));

	/*
	 * a run is in the list before a link leads there, but our copy may be
	 * older, and may have another run for this block, which is gone by now
	 */
	if (run == NULL || store_run_aborted(run))
		run = store_find_run(store_open(rel), ItemPointerGetBlockNumber(to));
	return run == NULL || store_run_aborted(run) ? NULL : run;
}

bool
store_moved_undone(Relation rel, StoreTable *table, const ItemPointerData *link)
{
	ItemPointerData to;

	return store_link_is_moved(link) && store_moved_to(rel, table, link, &to) == NULL;
}

bool
store_moved_removable(StoreRun *to, struct GlobalVisState *vistest)
{
	return store_run_committed(to) &&
		(to->fxid == 0 || GlobalVisTestIsRemovableFullXid(vistest, FullTransactionIdFromU64(to->fxid)));
}

HTSV_Result
store_moved_vacuum_status(Relation rel, StoreTable *table, const ItemPointerData *link, TransactionId oldest_xmin,
						  TransactionId *xwait)
{
	ItemPointerData to;
	StoreRun   *run = store_moved_to(rel, table, link, &to);

	if (run == NULL)
		return HEAPTUPLE_LIVE;
	if (store_run_committed(run))
		return store_run_seen_by_all(run, oldest_xmin) ? HEAPTUPLE_DEAD : HEAPTUPLE_RECENTLY_DEAD;
	*xwait = (TransactionId) run->fxid;
	return HEAPTUPLE_DELETE_IN_PROGRESS;
}
