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
 * Rows that are routed to partitions, whose state is made at the first row that
 * goes there, are the concern of routing.c.
 *
 * IDENTIFICATION
 *	  src/hooks/onconflict.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "hooks/hooks.h"
#include "keys/keys.h"
#include "rmi/kyro_rmi.h"

static ExecutorStart_hook_type prev_ExecutorStart = NULL;

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
	kyro_routing_prepare(node);

	for (int i = 0; i < node->mt_nrels; i++)
	{
		ResultRelInfo *rri = &node->resultRelInfo[i];
		Relation	rel = rri->ri_RelationDesc;

		if (rel->rd_rel->relkind != RELKIND_RELATION || !rel->rd_rel->relhasindex ||
			rri->ri_IndexRelationDescs != NULL || !needs_help(rel))
			continue;
		oldcontext = MemoryContextSwitchTo(planstate->state->es_query_cxt);
		ExecOpenIndices(rri, false);
		kyro_arbiters_prepare(rri);
		rri->ri_onConflictArbiterIndexes = kyro_arbiters(rri, rri->ri_onConflictArbiterIndexes, rel);
		MemoryContextSwitchTo(oldcontext);
	}
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
}
