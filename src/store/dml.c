/*-------------------------------------------------------------------------
 *
 * dml.c
 *	  Deleting, updating and locking rows.
 *
 * Rows in the log are left to heap code.  What is done to a sealed row is done to
 * its ledger tuple: heap code locks it, update.c updates and deletes it.  An updated
 * ledger tuple points to the new version in the log, so that whoever waits for the
 * row follows.  A log tuple that was sealed points to the sealed row in the same way.
 *
 * Seals go on beside us.  Runs are written at the end of the file or in the place of
 * pages without items.  So a block with a row that a snapshot sees, or that a live
 * version leads to, does not change between log and run while we are here.  A seal
 * takes only rows that nobody holds, so it does not take one that we have locked.
 * Heap code that meets a row that is being sealed waits for the seal, as for a
 * DELETE, and then finds that the row was updated, unless the seal is rolled back.
 *
 * IDENTIFICATION
 *	  src/store/dml.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/multixact.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "debug_point.h"
#include "store/handler.h"
#include "store/store.h"

/* Get the page of rows that a TID is on; false if it is on another page. */
static bool
find_sealed(Relation rel, ItemPointer tid, StorePage *p)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	StoreTable *table = store_known(rel);

	memset(p, 0, sizeof(*p));
	if (table == NULL || store_find_run(table, block) == NULL)
		table = store_open(rel);
	return store_page_get(rel, table, block, NULL, p);
}

/*
 * Get the ledger tuple of a sealed row.  If there is none, make it, and do `first`
 * with that if it is not NULL.  TM_Ok: *ledger is its place.  Else *tmfd is filled, and the row is dead
 * to all or was never there (TM_Deleted), was moved to another run (TM_Updated), or is
 * being moved (TM_BeingModified).
 */
static TM_Result
get_ledger(Relation rel, StorePage *p, ItemPointer tid, ItemPointer ledger, StoreFirst *first, TM_FailureData *tmfd)
{
	OffsetNumber row = ItemPointerGetOffsetNumber(tid);
	HeapTupleData tuple;
	Buffer		buffer;

	tmfd->ctid = *tid;
	tmfd->xmax = InvalidTransactionId;
	tmfd->cmax = InvalidCommandId;
	if (row <= store_page_rows(p)->h.count && !store_run_aborted(p->run))
	{
		bool		there = store_touch(rel, p, row, ledger, first);

		DEBUG_POINT("row-touched");
		if (there)
			return TM_Ok;
		if (store_link_is_moved(ledger))
		{
			StoreRun   *run = store_moved_to(rel, p->table, ledger, &tmfd->ctid);

			/* rolled back since we looked; try again, which touches the row */
			if (run == NULL)
				return get_ledger(rel, p, tid, ledger, first, tmfd);
			tmfd->xmax = (TransactionId) run->fxid;
			return store_run_in_progress(run) ? TM_BeingModified : TM_Updated;
		}
		if (store_ledger_get(rel, ledger, tid, &tuple, &buffer))
		{
			UnlockReleaseBuffer(buffer);
			return TM_Ok;
		}
	}
	return TM_Deleted;
}

/*
 * Before a sealed row is changed: get its ledger tuple, waiting for a move if `wait`,
 * and check what can be checked before that is locked.  TM_Ok: *ledger is set, else
 * *tmfd.  If this is the first touch of the row, do `first`, if that is not NULL.
 */
static TM_Result
begin_change(Relation rel, StorePage *p, ItemPointer tid, ItemPointer ledger, Snapshot crosscheck,
			 bool wait, StoreFirst *first, TM_FailureData *tmfd)
{
	bool		crossed = crosscheck != InvalidSnapshot && !store_run_visible(p->run, crosscheck);
	TM_Result	result;

	CheckForSerializableConflictIn(rel, tid, p->block);
	while ((result = get_ledger(rel, p, tid, ledger, crossed ? NULL : first, tmfd)) == TM_BeingModified && wait)
		XactLockTableWait(tmfd->xmax, rel, tid, XLTW_Update);
	if (result != TM_Ok)
		return result;
	if (crossed)
	{
		tmfd->ctid = *tid;
		tmfd->xmax = InvalidTransactionId;
		tmfd->cmax = InvalidCommandId;
		return TM_Updated;
	}
	return TM_Ok;
}

/* A copy of a sealed row, or NULL if its page has no row of this number. */
static HeapTuple
row_copy(Relation rel, StorePage *p, ItemPointer tid)
{
	OffsetNumber row = ItemPointerGetOffsetNumber(tid);

	return row <= store_page_rows(p)->h.count ? store_row_copy(rel, p, row) : NULL;
}

TM_Result
store_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
				   Snapshot crosscheck, bool wait, TM_FailureData *tmfd, bool changingPart)
{
	StorePage	p;
	ItemPointerData ledger;
	StoreFirst	first = {.moved = changingPart};
	TM_Result	result;
	HeapTuple	old;

	if (!find_sealed(rel, tid, &p))
		return heap_delete(rel, tid, cid, crosscheck, wait, tmfd, changingPart);
	old = row_copy(rel, &p, tid);
	result = begin_change(rel, &p, tid, &ledger, crosscheck, wait,
						  old != NULL && store_change_first(rel, old, NULL, cid, &first, NULL) ? &first : NULL, tmfd);
	store_page_release(&p);
	if (first.done)
		store_changed_first(rel, old, &first);
	else if (result == TM_Ok)
	{
		result = store_ledger_delete(rel, old, &ledger, cid, wait, tmfd, changingPart);
		if (result != TM_Ok && ItemPointerEquals(&tmfd->ctid, &ledger))
			tmfd->ctid = *tid;
	}
	if (old != NULL)
		heap_freetuple(old);
	return result;
}

TM_Result
store_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot, CommandId cid,
				   Snapshot snapshot, Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
				   LockTupleMode *lockmode, KyroUpdateIndexes *update_indexes)
{
	StorePage	p;
	ItemPointerData ledger;
	StoreFirst	first = {0};
	TM_Result	result;
	HeapTuple	old,
				new;
	bool		should_free;

	if (!find_sealed(rel, otid, &p))
		return store_heap()->tuple_update(rel, otid, slot, cid, snapshot, crosscheck, wait,
										  tmfd, lockmode, update_indexes);
	*lockmode = LockTupleExclusive;
	*update_indexes = KYRO_UPDATE_NONE;
	old = row_copy(rel, &p, otid);
	new = ExecFetchSlotHeapTuple(slot, true, &should_free);
	slot->tts_tableOid = RelationGetRelid(rel);
	result = begin_change(rel, &p, otid, &ledger, crosscheck, wait,
						  old != NULL && store_change_first(rel, old, new, cid, &first, lockmode) ? &first : NULL, tmfd);
	store_page_release(&p);
	if (first.done)
		store_changed_first(rel, old, &first);
	else if (result == TM_Ok)
	{
		result = store_ledger_update(rel, old, &ledger, new, cid, wait, tmfd, lockmode);
		if (result != TM_Ok && ItemPointerEquals(&tmfd->ctid, &ledger))
			tmfd->ctid = *otid;
	}
	if (result == TM_Ok)
	{
		slot->tts_tid = new->t_self;
		*update_indexes = KYRO_UPDATE_ALL;
	}
	if (should_free)
		heap_freetuple(new);
	if (old != NULL)
		heap_freetuple(old);
	return result;
}

/*
 * Wait for a transaction by the policy of a row lock; false if it should be skipped.
 * Raises ERRCODE_LOCK_NOT_AVAILABLE under NOWAIT.
 */
static bool
wait_for(TransactionId xid, Relation rel, ItemPointer tid, LockWaitPolicy wait_policy)
{
	switch (wait_policy)
	{
		case LockWaitBlock:
			XactLockTableWait(xid, rel, tid, XLTW_FetchUpdated);
			return true;
		case LockWaitSkip:
			return kyro_try_wait_for_xact(xid, false);
		case LockWaitError:
			if (!kyro_try_wait_for_xact(xid, true))
				ereport(ERROR,
						(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						 errmsg("could not obtain lock on row in relation \"%s\"",
								RelationGetRelationName(rel))));
			return true;
	}
	return false;
}

/*
 * *tid is a version of the row that we want to lock, made by transaction made_by.
 * Follow its updates in the log and put the TID of the next version that can be
 * locked into *tid: TM_Ok.  Other results: there is none to lock.
 */
static TM_Result
follow(Relation rel, ItemPointer tid, TransactionId made_by, CommandId cid,
	   LockWaitPolicy wait_policy, TM_FailureData *tmfd)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	for (;;)
	{
		HeapTupleData tuple;
		Buffer		buffer;
		StorePage	p;
		bool		same;

		CHECK_FOR_INTERRUPTS();
		if (ItemPointerIndicatesMovedPartitions(tid))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("tuple to be locked was already moved to another partition due to concurrent update")));

		if (find_sealed(rel, tid, &p))
		{
			/* made by the transaction that ended the version before? */
			same = (TransactionId) p.run->fxid == made_by;
			store_page_release(&p);
			return same ? TM_Ok : TM_Deleted;
		}

		tuple.t_self = *tid;
		if (heap_fetch(rel, &dirty, &tuple, &buffer, true))
		{
			/*
			 * another row may have taken the place of a version that was
			 * removed
			 */
			if (!TransactionIdEquals(HeapTupleHeaderGetXmin(tuple.t_data), made_by) ||
				store_is_ledger(tuple.t_data))
			{
				ReleaseBuffer(buffer);
				return TM_Deleted;
			}
			if (TransactionIdIsValid(dirty.xmin))
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg_internal("t_xmin %u is uncommitted in tuple (%u,%u) to be updated in table \"%s\"",
										 dirty.xmin, ItemPointerGetBlockNumber(tid),
										 ItemPointerGetOffsetNumber(tid), RelationGetRelationName(rel))));
			if (TransactionIdIsValid(dirty.xmax))
			{
				ReleaseBuffer(buffer);
				if (!wait_for(dirty.xmax, rel, tid, wait_policy))
					return TM_WouldBlock;
				continue;
			}
			/* was it made by this command or a later one of ours? */
			if (TransactionIdIsCurrentTransactionId(made_by) && HeapTupleHeaderGetCmin(tuple.t_data) >= cid)
			{
				tmfd->xmax = made_by;
				tmfd->cmax = HeapTupleHeaderGetCmin(tuple.t_data);
				ReleaseBuffer(buffer);
				return TM_SelfModified;
			}
			ReleaseBuffer(buffer);
			return TM_Ok;
		}
		if (tuple.t_data == NULL)
			return TM_Deleted;

		/* deleted, or updated once more, by a committed transaction or ours */
		if (!TransactionIdEquals(HeapTupleHeaderGetXmin(tuple.t_data), made_by) ||
			ItemPointerEquals(&tuple.t_self, &tuple.t_data->t_ctid))
		{
			ReleaseBuffer(buffer);
			return TM_Deleted;
		}
		*tid = tuple.t_data->t_ctid;
		made_by = HeapTupleHeaderGetUpdateXid(tuple.t_data);
		ReleaseBuffer(buffer);
	}
}

TM_Result
store_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
				 CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy, uint8 flags,
				 TM_FailureData *tmfd)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;
	bool		follow_updates = (flags & TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS) != 0;

	/*
	 * Logical replication without a usable key copies the row that it has
	 * found into another slot, and locks the TID of that slot.  But
	 * ExecCopySlot() of a tuple that its slot owns, as a sealed row, leaves
	 * tts_tid unset.
	 */
	if (!ItemPointerIsValid(tid) && !TTS_EMPTY(slot) && bslot->base.tuple != NULL)
		*tid = bslot->base.tuple->t_self;

	tmfd->traversed = false;
	for (;;)
	{
		StorePage	p;
		bool		sealed = find_sealed(rel, tid, &p);
		HeapTupleData tuple;
		ItemPointerData ledger;
		Buffer		buffer;
		TM_Result	result;

		if (sealed && (result = get_ledger(rel, &p, tid, &ledger, NULL, tmfd)) != TM_Ok)
		{
			bool		again = false;

			if (ItemPointerGetOffsetNumber(tid) <= store_page_rows(&p)->h.count)
				store_row_slot(rel, &p, ItemPointerGetOffsetNumber(tid), slot);
			store_page_release(&p);
			if (result == TM_BeingModified)
			{
				again = wait_for(tmfd->xmax, rel, tid, wait_policy);
				result = TM_WouldBlock;
			}
			else if (result == TM_Updated && (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION))
			{
				tmfd->traversed = true;
				*tid = tmfd->ctid;
				result = follow(rel, tid, tmfd->xmax, cid, wait_policy, tmfd);
				again = result == TM_Ok;
			}
			if (!again)
				return result;
			continue;
		}
		tuple.t_self = sealed ? ledger : *tid;
		result = heap_lock_tuple(rel, &tuple, cid, mode, wait_policy, follow_updates, &buffer, tmfd);

		if (result == TM_Updated && (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION))
		{
			ReleaseBuffer(buffer);
			store_page_release(&p);
			if (ItemPointerEquals(&tmfd->ctid, &tuple.t_self))
				return TM_Deleted;
			tmfd->traversed = true;
			*tid = tmfd->ctid;
			result = follow(rel, tid, tmfd->xmax, cid, wait_policy, tmfd);
			if (result != TM_Ok)
				return result;
			continue;
		}

		if (sealed)
		{
			if (result != TM_Ok && ItemPointerEquals(&tmfd->ctid, &ledger))
				tmfd->ctid = *tid;
			ReleaseBuffer(buffer);
			store_row_slot(rel, &p, ItemPointerGetOffsetNumber(tid), slot);
			store_page_release(&p);
		}
		else
		{
			slot->tts_tableOid = RelationGetRelid(rel);
			tuple.t_tableOid = slot->tts_tableOid;
			ExecClearTuple(slot);
			bslot->base.tupdata = tuple;
			ExecStorePinnedBufferHeapTuple(&bslot->base.tupdata, slot, buffer);
		}
		return result;
	}
}
