/*-------------------------------------------------------------------------
 *
 * moved.c
 *	  Rows that were moved from one run to another.
 *
 * A row that nobody has touched is moved by a link to its new place: from then
 * on the row is, to everyone, one that the transaction of the new run has updated
 * without changing it.  The new run says who that was and how it has ended, so there is no
 * tuple that stands for the row.  If it was rolled back, the row is as if never touched, and
 * the link may be overwritten.  (A row that was touched has a ledger tuple, which is stamped as
 * log tuples are by a seal.)
 *
 * What the link leads to is asked of the list.  The run stays there as long as anyone
 * can have the link in hand (README, S13).
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
	 * the list names a run before a link leads there; and one that was there
	 * before may be gone
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
