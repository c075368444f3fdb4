/*-------------------------------------------------------------------------
 *
 * visible.c
 *	  Which sealed rows are visible, and which can be removed.
 *
 * A sealed row is visible if its run is, and if it was not deleted since.  If the
 * visibility map bit of the page is set, both are certain.  Else the run has to be
 * visible, and the row's link tells the rest: without a link the row was never
 * touched; with a link to its ledger tuple it is as visible as that; with a link to
 * a new place it is visible to those who do not see the run there; with any other
 * link it is dead to all.
 *
 * IDENTIFICATION
 *	  src/store/visible.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "debug_point.h"
#include "store/store.h"

/* Is a ledger tuple visible, whose page p->ledger_buffer is locked? */
static bool
ledger_visible(Relation rel, StorePage *p, HeapTuple tuple, Snapshot snapshot)
{
	bool		visible;

	kyro_check_old_snapshot(snapshot, rel, BufferGetPage(p->ledger_buffer));
	visible = HeapTupleSatisfiesVisibility(tuple, snapshot, p->ledger_buffer);
	HeapCheckForSerializableConflictOut(visible, rel, tuple, p->ledger_buffer, snapshot);
	return visible;
}

/*
 * Is a row of a visible run visible, if it has a link to a new place?  *all_dead, if
 * not NULL, is set to true if no snapshot sees it there.
 */
static bool
moved_visible(Relation rel, StoreTable *table, const ItemPointerData *link, Snapshot snapshot, bool *all_dead)
{
	ItemPointerData to;
	StoreRun   *run = store_moved_to(rel, table, link, &to);

	if (run == NULL)
		return true;
	if (snapshot->snapshot_type == SNAPSHOT_DIRTY && store_run_in_progress(run))
	{
		/* like a row that is being updated: the reader waits for xmax */
		snapshot->xmax = (TransactionId) run->fxid;
		return true;
	}
	if (!store_run_visible(run, snapshot))
	{
		store_conflicts_moved(rel, table, run, &to, snapshot);
		return true;
	}
	if (all_dead)
		*all_dead = store_moved_removable(run, GlobalVisTestFor(rel));
	return false;
}

/* Is a row of a visible run visible, if it has this link?  *all_dead as above. */
static bool
link_visible(Relation rel, StorePage *p, OffsetNumber row, ItemPointer link, Snapshot snapshot, bool *all_dead)
{
	HeapTupleData tuple;
	HeapTupleHeaderData header;
	bool		visible;

	if (store_link_is_moved(link))
		return moved_visible(rel, p->table, link, snapshot, all_dead);
	if (!store_ledger_lock(rel, p, row, link, true, &tuple))
	{
		if (all_dead)
			*all_dead = true;
		return false;
	}
	visible = ledger_visible(rel, p, &tuple, snapshot);
	if (visible && IsMVCCSnapshot(snapshot))
		store_ledger_noted(p, row);
	if (!visible && all_dead)
		*all_dead = HeapTupleIsSurelyDead(&tuple, GlobalVisTestFor(rel));
	memcpy(&header, tuple.t_data, SizeofHeapTupleHeader);
	LockBuffer(p->ledger_buffer, BUFFER_LOCK_UNLOCK);
	if (visible)
		store_conflicts_ledger(rel, p->table, &header, link, snapshot);
	return visible;
}

static inline bool
link_is_none(const ItemPointerData *link)
{
	return link->ip_posid == 0;
}

bool
store_row_visible(Relation rel, StorePage *p, OffsetNumber row, Snapshot snapshot, bool *all_dead)
{
	ItemPointerData link;

	if (all_dead)
		*all_dead = false;
	if (snapshot->snapshot_type == SNAPSHOT_ANY)
		return true;
	if (snapshot->snapshot_type == SNAPSHOT_DIRTY)
	{
		snapshot->xmin = snapshot->xmax = InvalidTransactionId;
		snapshot->speculativeToken = 0;
		if (store_run_in_progress(p->run))
		{
			/*
			 * like a row that the sealing transaction inserts: the reader
			 * waits for xmin
			 */
			link = store_link_read(rel, p, row);
			if (store_link_is_dead(&link))
				return false;
			snapshot->xmin = (TransactionId) p->run->fxid;
			return true;
		}
	}
	if (!store_link_known(p, row) && store_vm_test(rel, p->block, &p->vmbuffer))
		return true;
	if (!store_run_visible(p->run, snapshot))
	{
		if (snapshot->snapshot_type == SNAPSHOT_DIRTY)
			DEBUG_POINT_POLL("dirty-unseen");
		if (all_dead)
			*all_dead = store_run_aborted(p->run);
		return false;
	}
	link = store_link_read(rel, p, row);
	if (link_is_none(&link))
		return true;
	return link_visible(rel, p, row, &link, snapshot, all_dead);
}

int
store_page_filter_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *rows, int n)
{
	ItemPointerData links[MaxHeapTuplesPerPage];
	int			visible = 0;

	if (store_vm_test(rel, p->block, &p->vmbuffer))
		return n;
	if (!store_run_visible(p->run, snapshot))
		return 0;
	if (store_links_read(rel, p, links) == 0)
		return n;
	for (int i = 0; i < n; i++)
	{
		ItemPointer link = &links[rows[i] - 1];

		if (link_is_none(link) || link_visible(rel, p, rows[i], link, snapshot, NULL))
			rows[visible++] = rows[i];
	}
	return visible;
}

int
store_page_visible_rows(Relation rel, StorePage *p, Snapshot snapshot, OffsetNumber *visible)
{
	int			count = store_page_rows(p)->h.count;

	for (int i = 0; i < count; i++)
		visible[i] = i + 1;
	return store_page_filter_rows(rel, p, snapshot, visible, count);
}

bool
store_row_removable(Relation rel, StorePage *p, OffsetNumber row, bool known,
					Snapshot non_vacuumable, TransactionId *horizon)
{
	ItemPointerData link;
	HeapTupleData tuple;
	bool		removable;

	if (store_run_aborted(p->run))
		return true;
	if (!store_run_committed(p->run) || (!known && store_vm_test(rel, p->block, &p->vmbuffer)))
		return false;
	link = store_link_read(rel, p, row);
	if (link_is_none(&link))
		return false;
	if (store_link_is_moved(&link))
	{
		StoreRun   *to = store_moved_to(rel, p->table, &link, &tuple.t_self);

		removable = to != NULL && (known || store_moved_removable(to, non_vacuumable->vistest));
		if (removable && !store_fxid_is_ancient(to->fxid) && TransactionIdPrecedes(*horizon, (TransactionId) to->fxid))
			*horizon = (TransactionId) to->fxid;
		return removable;
	}
	if (!store_ledger_lock(rel, p, row, &link, false, &tuple))
		return true;

	/*
	 * if the index was told before that the row is dead, do not look again:
	 * hint bits may have been lost since
	 */
	removable = known || !HeapTupleSatisfiesVisibility(&tuple, non_vacuumable, p->ledger_buffer);
	if (removable)
		kyro_advance_horizon(tuple.t_data, horizon);
	LockBuffer(p->ledger_buffer, BUFFER_LOCK_UNLOCK);
	return removable;
}

HTSV_Result
store_row_vacuum_status(Relation rel, StorePage *p, OffsetNumber row,
						TransactionId oldest_xmin, TransactionId *xwait)
{
	HTSV_Result alive = HEAPTUPLE_LIVE;
	HTSV_Result result;
	ItemPointerData link,
				tid;
	HeapTupleData tuple;
	Buffer		buffer;

	*xwait = InvalidTransactionId;
	if (store_vm_test(rel, p->block, &p->vmbuffer))
		return HEAPTUPLE_LIVE;
	if (store_run_aborted(p->run))
		return HEAPTUPLE_DEAD;
	if (!store_run_committed(p->run))
	{
		alive = HEAPTUPLE_INSERT_IN_PROGRESS;
		*xwait = (TransactionId) p->run->fxid;
	}
	link = store_link_read(rel, p, row);
	if (link_is_none(&link))
		return alive;
	if (store_link_is_moved(&link))
	{
		result = store_moved_vacuum_status(rel, p->table, &link, oldest_xmin, xwait);
		return result == HEAPTUPLE_LIVE ? alive : result;
	}
	ItemPointerSet(&tid, p->block, row);
	if (!store_ledger_get(rel, &link, &tid, &tuple, &buffer))
		return HEAPTUPLE_DEAD;
	result = HeapTupleSatisfiesVacuum(&tuple, oldest_xmin, buffer);
	if (result == HEAPTUPLE_DELETE_IN_PROGRESS)
		*xwait = HeapTupleHeaderGetUpdateXid(tuple.t_data);
	UnlockReleaseBuffer(buffer);
	return result == HEAPTUPLE_LIVE ? alive : result;
}
