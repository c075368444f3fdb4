/*-------------------------------------------------------------------------
 *
 * conflict.c
 *	  What a serializable transaction must know of rows that were sealed since
 *	  its snapshot.
 *
 * It still reads such a row in the log, where the tuple tells that the seal took it
 * away, but not who has deleted or updated the row since: that was done to the
 * sealed row.  The reader may never meet the sealed row, whose new version may
 * even have another key.  So each log tuple that a serializable transaction reads
 * is followed to the sealed row, and a conflict with who changed that is
 * registered.
 *
 * The reader has taken its predicate lock on the table before it looks.  So a
 * writer that is not found here finds that lock.
 *
 * IDENTIFICATION
 *	  src/store/conflict.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/predicate.h"
#include "storage/procarray.h"

#include "store/store.h"

/* The place of a row's next version, and who made it. */
typedef struct NextVersion
{
	ItemPointerData tid;
	TransactionId made_by;
} NextVersion;

/*
 * If a seal may have taken this tuple away, where is the row now?  An update looks
 * the same.  The buffer is locked.
 */
static bool
next_version(HeapTupleHeader t, ItemPointer self, NextVersion *next)
{
	if ((t->t_infomask & HEAP_XMAX_INVALID) || HEAP_XMAX_IS_LOCKED_ONLY(t->t_infomask) ||
		HeapTupleHeaderIsHotUpdated(t) || HeapTupleHeaderIndicatesMovedPartitions(t) ||
		ItemPointerEquals(&t->t_ctid, self))
		return false;
	next->tid = t->t_ctid;
	next->made_by = HeapTupleHeaderGetUpdateXid(t);
	return TransactionIdIsNormal(next->made_by);
}

/*
 * Register conflicts with those who have changed the row at `next`, and follow it
 * through further moves.  *p is empty, or the page that was in hand before.
 */
static void
check_version(Relation rel, StoreTable *table, StorePage *p, NextVersion next, Snapshot snapshot)
{
	bool		more;

	do
	{
		BlockNumber block = ItemPointerGetBlockNumber(&next.tid);
		OffsetNumber offset = ItemPointerGetOffsetNumber(&next.tid);
		HeapTupleData tuple;
		Buffer		buffer;

		/*
		 * nobody can have changed a version whose transaction has not
		 * committed, or that is our own
		 */
		if (TransactionIdIsCurrentTransactionId(next.made_by) || TransactionIdIsInProgress(next.made_by) ||
			!TransactionIdDidCommit(next.made_by))
			return;

		if (store_page_get(rel, table, block, NULL, p))
		{
			ItemPointerData link;

			if (next.made_by != (TransactionId) p->run->fxid || offset > store_page_rows(p)->h.count)
				return;
			link = store_link_read(rel, p, offset);
			if (store_link_is_moved(&link))
			{
				StoreRun   *run = store_moved_to(rel, table, &link, &next.tid);

				if (run == NULL)
					return;
				next.made_by = (TransactionId) run->fxid;
				more = true;
				continue;
			}
			if (link.ip_posid == 0 || !store_ledger_get(rel, &link, &next.tid, &tuple, &buffer))
				return;
			HeapCheckForSerializableConflictOut(true, rel, &tuple, buffer, snapshot);
			more = next_version(tuple.t_data, &tuple.t_self, &next) &&
				store_find_run(table, ItemPointerGetBlockNumber(&next.tid)) != NULL;
		}
		else
		{
			/* VACUUM FULL leaves rows of recent seals in the log */
			buffer = ReadBuffer(rel, block);
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			more = false;
			if (store_log_tuple(BufferGetPage(buffer), offset, &tuple.t_data, &tuple.t_len) &&
				tuple.t_data != NULL && HeapTupleHeaderGetXmin(tuple.t_data) == next.made_by &&
				!store_is_ledger(tuple.t_data))
			{
				tuple.t_self = next.tid;
				tuple.t_tableOid = RelationGetRelid(rel);
				HeapCheckForSerializableConflictOut(true, rel, &tuple, buffer, snapshot);
				more = next_version(tuple.t_data, &tuple.t_self, &next);
			}
		}
		UnlockReleaseBuffer(buffer);
	} while (more);
}

void
store_conflicts_unseen(Relation rel, StoreTable *table, Snapshot snapshot)
{
	if (snapshot == NULL || !CheckForSerializableConflictOutNeeded(rel, snapshot))
		return;
	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];
		TransactionId xid = (TransactionId) run->fxid;

		if (xid == InvalidTransactionId || store_run_older_than(run, snapshot->xmin) || store_run_visible(run, snapshot) ||
			store_run_aborted(run) || TransactionIdIsCurrentTransactionId(xid))
			continue;
		/* not older than TransactionXmin, so pg_subtrans knows it */
		CheckForSerializableConflictOut(rel, SubTransGetTopmostTransaction(xid), snapshot);
	}
}

void
store_conflicts_moved(Relation rel, StoreTable *table, const StoreRun *run, ItemPointer to, Snapshot snapshot)
{
	StorePage	p = {0};

	if (!CheckForSerializableConflictOutNeeded(rel, snapshot))
		return;
	check_version(rel, table, &p, (NextVersion) {*to, (TransactionId) run->fxid}, snapshot);
	store_page_release(&p);
}

void
store_conflicts_ledger(Relation rel, StoreTable *table, HeapTupleHeader t, ItemPointer self, Snapshot snapshot)
{
	NextVersion next;
	StorePage	p = {0};

	if (!CheckForSerializableConflictOutNeeded(rel, snapshot) || !next_version(t, self, &next))
		return;
	if (store_find_run(table, ItemPointerGetBlockNumber(&next.tid)) == NULL)
		table = store_open(rel);
	if (store_find_run(table, ItemPointerGetBlockNumber(&next.tid)) == NULL)
		return;					/* it was updated, not moved: that conflict is
								 * registered already */
	check_version(rel, table, &p, next, snapshot);
	store_page_release(&p);
}

void
store_conflicts_out(Relation rel, Buffer buffer, const OffsetNumber *offsets, int n, Snapshot snapshot)
{
	NextVersion next[MaxHeapTuplesPerPage];
	int			found = 0;
	StoreTable *table;
	StorePage	p = {0};
	Page		page;

	if (!CheckForSerializableConflictOutNeeded(rel, snapshot))
		return;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (int i = 0; i < n; i++)
	{
		ItemPointerData self;

		ItemPointerSet(&self, BufferGetBlockNumber(buffer), offsets[i]);
		found += next_version((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offsets[i])),
							  &self, &next[found]);
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (found == 0)
		return;

	/* a run is in the list before a tuple points there, so open it now */
	table = store_open(rel);
	for (int i = 0; i < found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		check_version(rel, table, &p, next[i], snapshot);
	}
	store_page_release(&p);
}
