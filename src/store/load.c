/*-------------------------------------------------------------------------
 *
 * load.c
 *	  Bulk loads that go straight into runs.
 *
 * CREATE TABLE AS, REFRESH, rewrites and COPY insert with a BulkInsertState, and
 * most of them call finish_bulk_insert at the end.  If the table has no index, the
 * rows are packed into pages as they come, and become a run of the loading
 * transaction and command.  Who sees that run, and what a rollback does to it, is as
 * for a run that was sealed (README, S11).
 *
 * To settle a load means to write what there is of it and to put that into the list.
 * This happens at finish_bulk_insert, before anything else in this backend reads the
 * table or writes to it in another way, and at the end of the (sub)transaction.  So
 * triggers, and functions that read the table, find the rows.
 *
 * A file that was made by the transaction itself is written by nobody else, so rows
 * get their TIDs at once.  In an older file, which must be empty, others may extend
 * the file: pages are kept in memory, and whenever there are enough they are written
 * as a run.
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
 * A run of fewer pages than SHORT_RUN is wasteful, because each run has a page of
 * groups, and a page of links once a row is touched.  Short runs arise if loads are
 * settled early, say by a trigger that reads the table for each row.  A file with
 * MAX_SHORT_RUNS of them gets no more runs by loads.
 */
#define SHORT_RUN 64
#define MAX_SHORT_RUNS 8

/*
 * Pages kept in memory for the first run of a load; twice as many for each further
 * one, up to KEEP_MAX and within maintenance_work_mem.
 */
#define KEEP_FIRST 256
#define KEEP_MAX 8192

typedef struct StoreLoad
{
	dlist_node	node;
	MemoryContext cxt;			/* everything of the load is allocated here */
	Oid			relid;
	KyroLocator locator;
	SubTransactionId subid;		/* rows are inserted by this one */
	CommandId	cid;
	bool		frozen;			/* visible to all at once */
	uint64		fxid;
	int			keep;			/* pages in memory; 0: the file was made by
								 * our transaction */
	StorePack  *pack;			/* the run being made; NULL: no row yet */
	TimestampTz start;			/* of this run */
} StoreLoad;

static dlist_head loads = DLIST_STATIC_INIT(loads);

/* The command whose rows were refused last, to save asking again for each row. */
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
 * Write what there is of a run, and put it into the list.  The load is not in `loads`,
 * because opening the table would settle it again.  It may be a load of an outer
 * subtransaction.
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
	 * A serializable reader that read the list before has left its predicate
	 * lock, which is found here, as in heap_insert(); one that reads it later
	 * finds the run (store_conflicts_unseen).
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

/* Settle a load; rel has its file. */
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

/* ---- which rows are loaded into runs ---- */

/* Was the file made by this transaction? */
static bool
file_is_ours(Relation rel)
{
	return rel->rd_createSubid != InvalidSubTransactionId || kyro_new_file_subid(rel) != InvalidSubTransactionId;
}

/*
 * May a file that is older than our transaction be loaded?  It must have no block but
 * the list.  If so, locks the table against seals and VACUUM.
 */
static bool
may_load_old_file(Relation rel)
{
	bool		local = RelationUsesLocalBuffers(rel);

	if (RelationGetNumberOfBlocks(rel) != 1)
		return false;
	/* events of AFTER ROW triggers need TIDs */
	if (!local && rel->trigdesc != NULL && rel->trigdesc->trig_insert_after_row)
		return false;

	/*
	 * kept until the end of the transaction, because seals and VACUUM rely on
	 * meeting no run in progress
	 */
	if (!local && !ConditionalLockRelation(rel, ShareUpdateExclusiveLock))
		return false;
	return RelationGetNumberOfBlocks(rel) == 1;
}

/* Does the file have so many short runs that it should get no more? */
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
	 * logical decoding does not know pages of runs; rows of rewrites are not
	 * to be decoded
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

/* The load for a row, begun if there is none; NULL: the row goes into the log. */
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

/* The number of pages that a load may keep, if all share maintenance_work_mem. */
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
	MemoryContext old = MemoryContextSwitchTo(load->cxt);

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
	store_stored_copy(row, store_pack_row(load->pack, rel, row->t_data->t_infomask, store_stored_size(row), tid));
	MemoryContextSwitchTo(old);
	if (ItemPointerIsValid(tid) && ItemPointerGetOffsetNumber(tid) == FirstOffsetNumber)
		DEBUG_POINT("load-page");
}

bool
store_load_row(Relation rel, TupleTableSlot *slot, CommandId cid, int options, struct BulkInsertStateData *bistate)
{
	StoreLoad  *load;
	HeapTuple	tuple,
				row,
				whole;
	bool		should_free;
	bool		fits;

	if (bistate == NULL || (load = get_load(rel, cid, options, bistate)) == NULL)
		return false;
	tuple = row = ExecFetchSlotHeapTuple(slot, true, &should_free);
	if (HeapTupleHasExternal(tuple) || tuple->t_len > TOAST_TUPLE_THRESHOLD)
		row = heap_toast_insert_or_update(rel, tuple, NULL, options);
	whole = store_whole_row(rel, row);
	fits = store_fits(whole);
	if (fits)
	{
		slot->tts_tableOid = RelationGetRelid(rel);
		put_row(load, rel, whole, &slot->tts_tid);
		tuple->t_tableOid = slot->tts_tableOid;
		tuple->t_self = slot->tts_tid;
		pgstat_count_heap_insert(rel, 1);
	}
	else
	{
		/*
		 * too wide for a run.  Heap code will make its own TOAST values, so
		 * ours are deleted, which is not possible in parallel mode
		 */
		settle(load, rel);
		if (HeapTupleHasExternal(row) && row != tuple && !IsInParallelMode())
			heap_toast_delete(rel, row, false);
	}
	if (whole != row)
		heap_freetuple(whole);
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
	/* the table may have been dropped, or have got another file */
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
		dlist_init(&loads);		/* their memory is the transaction's */
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
