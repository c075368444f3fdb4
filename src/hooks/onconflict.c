/*-------------------------------------------------------------------------
 *
 * onconflict.c
 *	  INSERT ... ON CONFLICT on tables with a unique kyro_rmi index.
 *
 * For ON CONFLICT the executor opens a table's indexes "speculatively", and
 * while it prepares them for that it refuses every unique index that is not a
 * btree, even one the command does not infer.  What it would have prepared is
 * which operator finds equal keys, and that is easily said for our indexes.
 *
 * The executor opens the indexes at the first row, and only if nobody has yet.
 * So once a plan is set up we look for inserts with ON CONFLICT into tables
 * with a unique kyro_rmi index, open the indexes there and then without the
 * special preparation, and supply it.  Everything after that, closing the
 * indexes included, is the executor's normal course.  Nothing shared is
 * touched, so there is nothing to undo after an error, and nesting is safe.
 *
 * Out of reach are rows routed to a partition, whose state is made at the
 * first row that goes there.  That fails with an error of the executor which
 * does not say what to do, so we say it.
 *
 * IDENTIFICATION
 *	  src/hooks/onconflict.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "hooks/hooks.h"
#include "rmi/kyro_rmi.h"

static ExecutorStart_hook_type prev_ExecutorStart = NULL;
static ExecutorRun_hook_type prev_ExecutorRun = NULL;

/*
 * Could this index be a unique one of ours?  From the system caches, so that
 * tables without such indexes are not locked any earlier than usual.
 */
static bool
maybe_ours(Oid indexoid)
{
	HeapTuple	tup;
	Oid			relam;
	bool		unique;

	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(indexoid));
	if (!HeapTupleIsValid(tup))
		return false;
	relam = ((Form_pg_class) GETSTRUCT(tup))->relam;
	ReleaseSysCache(tup);
	if (relam == BTREE_AM_OID)
		return false;

	tup = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexoid));
	if (!HeapTupleIsValid(tup))
		return false;
	unique = ((Form_pg_index) GETSTRUCT(tup))->indisunique;
	ReleaseSysCache(tup);
	return unique;
}

/*
 * Has the table a unique kyro_rmi index, and no unique index of a third kind
 * (then the executor's refusal is right)?  Takes and keeps RowExclusiveLock on
 * unique indexes of other access methods than btree.
 */
static bool
needs_help(Relation rel)
{
	List	   *oids = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		ours = false,
				others = false;

	foreach(lc, oids)
	{
		Relation	index;

		if (!maybe_ours(lfirst_oid(lc)))
			continue;
		index = index_open(lfirst_oid(lc), RowExclusiveLock);
		if (rmi_is_index(index))
			ours = true;
		else
			others = true;
		index_close(index, NoLock);
	}
	list_free(oids);
	return ours && !others;
}

/* What BuildSpeculativeIndexInfo() does, for an index of ours. */
static void
set_unique_info(Relation index, IndexInfo *info)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);

	info->ii_UniqueOps = (Oid *) palloc(sizeof(Oid) * nkeys);
	info->ii_UniqueProcs = (Oid *) palloc(sizeof(Oid) * nkeys);
	info->ii_UniqueStrats = (uint16 *) palloc(sizeof(uint16) * nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		Oid			opcintype = index->rd_opcintype[i];
		Oid			op = get_opfamily_member(index->rd_opfamily[i], opcintype, opcintype,
											 BTEqualStrategyNumber);

		if (!OidIsValid(op))
			elog(ERROR, "missing operator %d(%u,%u) in opfamily %u",
				 BTEqualStrategyNumber, opcintype, opcintype, index->rd_opfamily[i]);
		info->ii_UniqueOps[i] = op;
		info->ii_UniqueProcs[i] = get_opcode(op);
		info->ii_UniqueStrats[i] = BTEqualStrategyNumber;
	}
}

static void
open_indexes(ResultRelInfo *rri)
{
	ExecOpenIndices(rri, false);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Relation	index = rri->ri_IndexRelationDescs[i];
		IndexInfo  *info = rri->ri_IndexRelationInfo[i];

		if (!info->ii_Unique)
			continue;
		if (rmi_is_index(index))
			set_unique_info(index, info);
		else
			BuildSpeculativeIndexInfo(index, info);
	}
}

static void
prepare_node(PlanState *planstate)
{
	ModifyTableState *node;
	MemoryContext oldcontext;

	if (planstate == NULL || !IsA(planstate, ModifyTableState))
		return;
	node = (ModifyTableState *) planstate;
	if (node->operation != CMD_INSERT ||
		((ModifyTable *) planstate->plan)->onConflictAction == ONCONFLICT_NONE)
		return;

	for (int i = 0; i < node->mt_nrels; i++)
	{
		ResultRelInfo *rri = &node->resultRelInfo[i];
		Relation	rel = rri->ri_RelationDesc;

		if (rel->rd_rel->relkind != RELKIND_RELATION || !rel->rd_rel->relhasindex ||
			rri->ri_IndexRelationDescs != NULL || !needs_help(rel))
			continue;
		oldcontext = MemoryContextSwitchTo(planstate->state->es_query_cxt);
		open_indexes(rri);
		MemoryContextSwitchTo(oldcontext);
	}
}

/* Does the command route rows with ON CONFLICT to partitions? */
static bool
routes_on_conflict(PlanState *planstate)
{
	ModifyTableState *node;

	if (planstate == NULL || !IsA(planstate, ModifyTableState))
		return false;
	node = (ModifyTableState *) planstate;
	return node->operation == CMD_INSERT &&
		((ModifyTable *) planstate->plan)->onConflictAction != ONCONFLICT_NONE &&
		node->rootResultRelInfo->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
}

/* What the executor means by its error. */
static void
explain_refusal(void *arg)
{
	if (geterrcode() != ERRCODE_INTERNAL_ERROR ||
		!kyro_error_is("unexpected non-btree speculative unique index"))
		return;
	errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
	errmsg("INSERT ... ON CONFLICT through a partitioned table needs unique indexes of partitions to be btrees");
	errhint("Name the partition in the command, or use a btree index for uniqueness there.");
}

static void
kyro_ExecutorRun(QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once)
{
	ErrorContextCallback callback;
	bool		routes = routes_on_conflict(queryDesc->planstate);
	ListCell   *lc;

	foreach(lc, queryDesc->estate->es_auxmodifytables)
		routes |= routes_on_conflict((PlanState *) lfirst(lc));
	if (routes)
	{
		callback.callback = explain_refusal;
		callback.arg = NULL;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
	}

	if (prev_ExecutorRun)
		prev_ExecutorRun(queryDesc, direction, count, execute_once);
	else
		standard_ExecutorRun(queryDesc, direction, count, execute_once);

	if (routes)
		error_context_stack = callback.previous;
}

static void
kyro_ExecutorStart(QueryDesc *queryDesc, int eflags)
{
	ListCell   *lc;

	if (prev_ExecutorStart)
		prev_ExecutorStart(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	/* the command itself, and those inside WITH */
	prepare_node(queryDesc->planstate);
	foreach(lc, queryDesc->estate->es_auxmodifytables)
		prepare_node((PlanState *) lfirst(lc));
}

void
kyro_onconflict_init(void)
{
	prev_ExecutorStart = ExecutorStart_hook;
	ExecutorStart_hook = kyro_ExecutorStart;
	prev_ExecutorRun = ExecutorRun_hook;
	ExecutorRun_hook = kyro_ExecutorRun;
}
