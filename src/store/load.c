/*-------------------------------------------------------------------------
 *
 * load.c
 *	  Bulk loads that go straight into runs.
 *
 * CREATE TABLE AS, REFRESH, rewrites and COPY insert with a BulkInsertState, and
 * most of them say when they are done.  Where no index wants the rows at once they are
 * packed into pages as they come, and are a run in the end, of the loading
 * transaction and command: so who sees it, and what becomes of it if that is
 * rolled back, is as with a run that was sealed (README, S11).
 *
 * A load is settled, which means that what there is of it is written and listed,
 * when the command says so, or before anything of this backend looks at the table or writes to
 * it in another way, or when the (sub)transaction ends.  So triggers, and functions
 * that read the table, find its rows.
 *
 * Into a file that the transaction itself has made nobody else writes, and its
 * rows have their TIDs at once.  In an older file, which must be empty, the end
 * is not ours alone: pages are kept in memory, and each time that there are
 * enough they are written as a run.
 *
 * IDENTIFICATION
 *	  src/store/load.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "guc.h"
#include "store/store.h"

/*
 * A run of fewer pages takes more than the log would: its page of groups, and as many again if its
 * rows are updated.  It is what a load leaves that is settled too early, say by a trigger that reads the
 * table for each row.  A file in which there are so many of them gets no more.
 */
#define SHORT_RUN 64
#define MAX_SHORT_RUNS 8

/* Pages first kept in memory; twice as many each time, within maintenance_work_mem, up to the maximum. */
#define KEEP_FIRST 256
#define KEEP_MAX 8192

typedef struct StoreLoad
{
	dlist_node	node;
	MemoryContext cxt;			/* of all that hangs on this */
	Oid			relid;
	KyroLocator locator;
	SubTransactionId subid;		/* whose rows they are */
	CommandId	cid;
	bool		frozen;			/* visible to all at once */
	uint64		fxid;
	int			keep;			/* pages; 0: the file is our transaction's */
	StorePack  *pack;			/* NULL: no row yet */
	TimestampTz start;
} StoreLoad;

static dlist_head loads = DLIST_STATIC_INIT(loads);

/* What was refused last, and need not be asked again for each row. */
static struct
{
	struct BulkInsertStateData *bistate;
	Oid			relid;
	CommandId	cid;
}			refused;

static StoreLoad *
find_load(Relation rel)
{
	dlist_iter	iter;

	dlist_foreach(iter, &loads)
	{
		StoreLoad  *load = dlist_container(StoreLoad, node, iter.cur);

		if (load->relid == RelationGetRelid(rel) &&
			memcmp(&load->locator, &kyro_locator(rel), sizeof(KyroLocator)) == 0)
			return load;
	}
	return NULL;
}

/*
 * Write and list what there is of a run, which may be an outer subtransaction's.  The load is not in
 * our list, as what we call opens the table.
 */
static void
finish_run(StoreLoad *load, Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(load->cxt);
	StorePack  *pack = load->pack;
	StoreTable *table;
	StoreRun	run;

	load->pack = NULL;
	store_pack_finish(pack, rel, &run);
	run.cmin = load->cid;
	run.state = load->frozen ? RUN_COMMITTED : RUN_IN_DOUBT;
	run.duration = GetCurrentTimestamp() - load->start;
	DEBUG_POINT("load-written");
	table = store_open(rel);
	store_list_add(rel, table->list_room, &run, table->seal_from);
	DEBUG_POINT("load-listed");

	/*
	 * Who read the table before it could find the run in the list has left
	 * its lock, see heap_insert(); who did later has found the run
	 * (store_conflicts_unseen).
	 */
	CheckForSerializableConflictIn(rel, NULL, InvalidBlockNumber);
	MemoryContextSwitchTo(old);
}

static void
drop_load(StoreLoad *load)
{
	dlist_delete(&load->node);
	MemoryContextDelete(load->cxt);
}

/* rel has the file of the load. */
static void
settle(StoreLoad *load, Relation rel)
{
	dlist_delete(&load->node);
	if (load->pack != NULL)
		finish_run(load, rel);
	MemoryContextDelete(load->cxt);
}

void
store_load_settle(Relation rel)
{
	StoreLoad  *load;

	if (likely(dlist_is_empty(&loads)))
		return;
	load = find_load(rel);
	if (load != NULL)
		settle(load, rel);
}

void
store_load_forget(Relation rel)
{
	StoreLoad  *load = find_load(rel);

	if (load != NULL)
		drop_load(load);
}

/* ---- what is loaded so ---- */

static bool
file_is_ours(Relation rel)
{
	return rel->rd_createSubid != InvalidSubTransactionId || kyro_new_file_subid(rel) != InvalidSubTransactionId;
}

/* Will there be nothing but the list until we write?  Locked against seals and VACUUM. */
static bool
may_load_old_file(Relation rel)
{
	bool		local = RelationUsesLocalBuffers(rel);

	if (RelationGetNumberOfBlocks(rel) != 1)
		return false;
	/* their events hold TIDs */
	if (!local && rel->trigdesc != NULL && rel->trigdesc->trig_insert_after_row)
		return false;

	/*
	 * until the end, so that whoever finds a run in progress can rely on its
	 * holding the lock
	 */
	if (!local && !ConditionalLockRelation(rel, ShareUpdateExclusiveLock))
		return false;
	return RelationGetNumberOfBlocks(rel) == 1;
}

/* Has the file enough short runs? */
static bool
has_short_runs(StoreTable *table)
{
	int			n = 0;

	for (int i = 0; i < table->nruns; i++)
		n += table->runs[i].pages < SHORT_RUN;
	return n >= MAX_SHORT_RUNS;
}

static bool
may_load(Relation rel, int options)
{
	List	   *indexes;

	if (kyro_sealed_load != KYRO_SEALED_LOAD_AUTO)
		return false;

	/*
	 * pages of runs are not decoded; nor are the rows of rewrites, whose
	 * tables come from nowhere
	 */
	if (RelationIsLogicallyLogged(rel) && !OidIsValid(rel->rd_rel->relrewrite))
		return false;
	if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_MATVIEW)
		return false;
	indexes = RelationGetIndexList(rel);
	if (indexes != NIL)
	{
		list_free(indexes);
		return false;
	}
	if (!store_is_whole(rel))
		return false;
	if (file_is_ours(rel))
		return !has_short_runs(store_open(rel));
	return (options & HEAP_INSERT_FROZEN) == 0 && may_load_old_file(rel);
}

/* The load that a row belongs to, begun if need be; NULL: it goes into the log. */
static StoreLoad *
get_load(Relation rel, CommandId cid, int options, struct BulkInsertStateData *bistate)
{
	StoreLoad  *load = dlist_is_empty(&loads) ? NULL : find_load(rel);
	bool		frozen = (options & HEAP_INSERT_FROZEN) != 0;
	MemoryContext cxt;

	if (load != NULL)
	{
		if (load->subid == GetCurrentSubTransactionId() && load->cid == cid && load->frozen == frozen)
			return load;
		settle(load, rel);
	}
	if (refused.bistate == bistate && refused.relid == RelationGetRelid(rel) && refused.cid == cid)
		return NULL;
	if (!may_load(rel, options))
	{
		refused.bistate = bistate;
		refused.relid = RelationGetRelid(rel);
		refused.cid = cid;
		return NULL;
	}

	cxt = AllocSetContextCreate(TopTransactionContext, "kyrodb load", ALLOCSET_DEFAULT_SIZES);
	load = MemoryContextAllocZero(cxt, sizeof(StoreLoad));
	load->cxt = cxt;
	load->relid = RelationGetRelid(rel);
	load->locator = kyro_locator(rel);
	load->subid = GetCurrentSubTransactionId();
	load->cid = cid;
	load->frozen = frozen;
	load->fxid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	load->keep = file_is_ours(rel) || RelationUsesLocalBuffers(rel) ? 0 : KEEP_FIRST;
	load->start = GetCurrentTimestamp();
	dlist_push_head(&loads, &load->node);
	return load;
}

/* So many pages may a load keep, if all share maintenance_work_mem. */
static int
pages_to_keep(int wanted)
{
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &loads)
		n++;
	return Max(Min(wanted, maintenance_work_mem / (BLCKSZ / 1024) / n), KEEP_FIRST / 8);
}

static void
put_row(StoreLoad *load, Relation rel, HeapTuple row, ItemPointer tid)
{
	HeapTuple	whole = row;
	MemoryContext old = MemoryContextSwitchTo(load->cxt);

	if (HeapTupleHeaderGetNatts(row->t_data) < RelationGetDescr(rel)->natts)
		whole = heap_expand_tuple(row, RelationGetDescr(rel));
	if (load->pack != NULL && store_pack_is_full(load->pack))
	{
		dlist_delete(&load->node);
		finish_run(load, rel);
		dlist_push_head(&loads, &load->node);
		load->keep = Min(load->keep * 2, KEEP_MAX);
		load->start = GetCurrentTimestamp();
	}
	if (load->pack == NULL)
		load->pack = store_pack_begin(rel, load->frozen ? 0 : load->fxid, (TransactionId) load->fxid,
									  load->keep == 0 ? 0 : pages_to_keep(load->keep));
	store_stored_copy(whole, store_pack_row(load->pack, rel, whole->t_data->t_infomask, store_stored_size(whole), tid));
	if (whole != row)
		heap_freetuple(whole);
	MemoryContextSwitchTo(old);
	if (ItemPointerIsValid(tid) && ItemPointerGetOffsetNumber(tid) == FirstOffsetNumber)
		DEBUG_POINT("load-page");
}

bool
store_load_row(Relation rel, TupleTableSlot *slot, CommandId cid, int options, struct BulkInsertStateData *bistate)
{
	StoreLoad  *load;
	HeapTuple	tuple,
				row;
	bool		should_free;
	bool		fits;

	if (bistate == NULL || (load = get_load(rel, cid, options, bistate)) == NULL)
		return false;
	tuple = row = ExecFetchSlotHeapTuple(slot, true, &should_free);
	if (HeapTupleHasExternal(tuple) || tuple->t_len > TOAST_TUPLE_THRESHOLD)
		row = heap_toast_insert_or_update(rel, tuple, NULL, options);
	fits = store_writer_fits(rel, row);
	if (fits)
	{
		slot->tts_tableOid = RelationGetRelid(rel);
		put_row(load, rel, row, &slot->tts_tid);
		tuple->t_tableOid = slot->tts_tableOid;
		tuple->t_self = slot->tts_tid;
		pgstat_count_heap_insert(rel, 1);
	}
	else
	{
		/*
		 * too wide for a run; heap code will make TOAST values of its own,
		 * and may not delete while workers are at it
		 */
		settle(load, rel);
		if (HeapTupleHasExternal(row) && row != tuple && !IsInParallelMode())
			heap_toast_delete(rel, row, false);
	}
	if (row != tuple)
		heap_freetuple(row);
	if (should_free)
		pfree(tuple);
	return fits;
}

/* ---- the end of a transaction ---- */

/* Settle a load whose command has not said that it is done. */
static void
settle_late(StoreLoad *load)
{
	/* it may have been dropped, or have another file */
	Relation	rel = try_relation_open(load->relid, RowExclusiveLock);

	if (rel != NULL && memcmp(&load->locator, &kyro_locator(rel), sizeof(KyroLocator)) == 0)
		settle(load, rel);
	else
		drop_load(load);
	if (rel != NULL)
		relation_close(rel, NoLock);
}

static void
at_xact_end(XactEvent event, void *arg)
{
	refused.bistate = NULL;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		while (!dlist_is_empty(&loads))
			settle_late(dlist_head_element(StoreLoad, node, &loads));
	}
	else if (event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		dlist_init(&loads);		/* their memory goes with the transaction's */
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	dlist_mutable_iter iter;

	refused.bistate = NULL;
	if (event != SUBXACT_EVENT_PRE_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	dlist_foreach_modify(iter, &loads)
	{
		StoreLoad  *load = dlist_container(StoreLoad, node, iter.cur);

		if (load->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
			settle_late(load);
		else
			drop_load(load);
	}
}

void
store_load_init(void)
{
	store_table_set_settle(store_load_settle);
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
}
