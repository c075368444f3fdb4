/*-------------------------------------------------------------------------
 *
 * routing.c
 *	  INSERT ... ON CONFLICT through a partitioned table whose partitions have
 *	  unique kyro_rmi indexes.
 *
 * The executor makes the state of a partition when the first row goes there, and
 * with ON CONFLICT it then refuses unique indexes that are no btrees
 * (onconflict.c).  Without ON CONFLICT it does not.  So we come before it: the
 * node below the ModifyTable is made to return its rows through a function of
 * ours, which has the executor find the row's partition as if there were no ON
 * CONFLICT, and then does for a new one what the executor has left out: prepares
 * its indexes, maps the arbiters, and the SET and WHERE of DO UPDATE.  When the
 * row reaches the executor, the state is there and complete.
 *
 * A row is what the plan returns, since INSERT has no junk columns, triggers come
 * after the choice of the partition, and its key cannot be a generated column.
 * So we find the partition that the executor will.  The search is made twice for
 * each row; from 16 on the second time meets the executor's own memory of the last one.
 *
 * A partition that is a foreign table has been told by its wrapper's BeginForeignInsert
 * that there is no ON CONFLICT, so that insert is ended and begun once more.
 *
 * IDENTIFICATION
 *	  src/hooks/routing.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "catalog/index.h"
#include "catalog/partition.h"
#include "commands/defrem.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "foreign/fdwapi.h"
#include "nodes/plannodes.h"
#include "rewrite/rewriteManip.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "hooks/hooks.h"
#include "keys/keys.h"

/* An INSERT ... ON CONFLICT into a partitioned table that is being executed. */
typedef struct Route
{
	ModifyTableState *insert;
	PlanState  *source;			/* the node that returns its rows */
	ExecProcNodeMtd next;		/* its own ExecProcNode function */
	ModifyTable plain;			/* the plan, without ON CONFLICT */
	ResultRelInfo *last;		/* the partition of the last row: prepared */
	List	   *foreign;		/* foreign tables whose insert was begun once
								 * more */
	struct Route *outer;
} Route;

/* Innermost first.  An entry lives in the memory of its query, and leaves the list with it. */
static Route *routes = NULL;

static void
forget(void *arg)
{
	for (Route **r = &routes; *r != NULL; r = &(*r)->outer)
	{
		if (*r == arg)
		{
			*r = (*r)->outer;
			return;
		}
	}
}

/* ---- what the executor does for a partition with ON CONFLICT ---- */

/* From columns of the target and of EXCLUDED, as numbered in the partitioned table, to those of a partition. */
static Node *
map_columns(Node *expression, Route *r, ResultRelInfo *leaf, const AttrMap *map)
{
	Oid			rowtype = RelationGetForm(leaf->ri_RelationDesc)->reltype;
	bool		whole_row;		/* is converted, too */

	expression = map_variable_attnos(copyObject(expression), INNER_VAR, 0, map, rowtype, &whole_row);
	return map_variable_attnos(expression, r->insert->resultRelInfo[0].ri_RangeTableIndex, 0, map, rowtype, &whole_row);
}

/* The columns that DO UPDATE sets. */
static List *
map_numbers(List *numbers, const AttrMap *map)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, numbers)
	{
		int			number = lfirst_int(lc);

		if (number <= 0 || number > map->maplen || map->attnums[number - 1] == 0)
			elog(ERROR, "column %d of a partitioned table is not in its partition", number);
		result = lappend_int(result, map->attnums[number - 1]);
	}
	return result;
}

static void
prepare_update(Route *r, ResultRelInfo *leaf)
{
	ModifyTable *plan = (ModifyTable *) r->insert->ps.plan;
	EState	   *estate = r->insert->ps.state;
	ResultRelInfo *root = r->insert->rootResultRelInfo;
	Relation	rel = leaf->ri_RelationDesc;
	OnConflictSetState *state = makeNode(OnConflictSetState);
	AttrMap    *map;

	/* as it would have been for DO UPDATE */
	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	leaf->ri_onConflict = state;
	state->oc_Existing = table_slot_create(rel, &estate->es_tupleTable);
	if (kyro_root_to_child_map(leaf, estate) == NULL)
	{
		/* the same columns: they hold no state of a table */
		state->oc_ProjSlot = root->ri_onConflict->oc_ProjSlot;
		state->oc_ProjInfo = root->ri_onConflict->oc_ProjInfo;
		state->oc_WhereClause = root->ri_onConflict->oc_WhereClause;
		return;
	}
	map = kyro_attrmap_by_name(RelationGetDescr(rel), RelationGetDescr(root->ri_RelationDesc));
	state->oc_ProjSlot = table_slot_create(rel, &estate->es_tupleTable);
	state->oc_ProjInfo =
		ExecBuildUpdateProjection((List *) map_columns((Node *) plan->onConflictSet, r, leaf, map), true,
								  map_numbers(plan->onConflictCols, map), RelationGetDescr(rel),
								  r->insert->ps.ps_ExprContext, state->oc_ProjSlot, &r->insert->ps);
	if (plan->onConflictWhere != NULL)
		state->oc_WhereClause = ExecInitQual((List *) map_columns(plan->onConflictWhere, r, leaf, map), &r->insert->ps);
}

/* Has it what it needs for ON CONFLICT?  Then the executor or we have made it. */
static bool
is_prepared(Route *r, const ResultRelInfo *leaf)
{
	if (leaf->ri_FdwRoutine != NULL)
		return list_member_ptr(r->foreign, leaf);
	for (int i = 0; i < leaf->ri_NumIndices; i++)
	{
		if (leaf->ri_IndexRelationInfo[i]->ii_Unique)
			return leaf->ri_IndexRelationInfo[i]->ii_UniqueOps != NULL;
	}
	return ((ModifyTable *) r->insert->ps.plan)->onConflictAction == ONCONFLICT_NOTHING;
}

static void
prepare(Route *r, ResultRelInfo *leaf)
{
	ModifyTable *plan = (ModifyTable *) r->insert->ps.plan;
	ResultRelInfo *root = r->insert->rootResultRelInfo;

	if (leaf->ri_FdwRoutine != NULL)
	{
		if (leaf->ri_FdwRoutine->BeginForeignInsert != NULL)
		{
			if (leaf->ri_FdwRoutine->EndForeignInsert != NULL)
				leaf->ri_FdwRoutine->EndForeignInsert(r->insert->ps.state, leaf);
			leaf->ri_FdwState = NULL;
			leaf->ri_FdwRoutine->BeginForeignInsert(r->insert, leaf);
		}
		r->foreign = lappend(r->foreign, leaf);
		return;
	}
	kyro_arbiters_prepare(leaf);
	leaf->ri_onConflictArbiterIndexes =
		kyro_arbiters(leaf, root->ri_onConflictArbiterIndexes, root->ri_RelationDesc);
	if (plan->onConflictAction == ONCONFLICT_UPDATE)
		prepare_update(r, leaf);
}

/* ---- between the node and its rows ---- */

static TupleTableSlot *
next_row(PlanState *source)
{
	Route	   *r = routes;
	TupleTableSlot *slot;
	Plan	   *plan;
	ResultRelInfo *leaf;

	while (r != NULL && r->source != source)
		r = r->outer;
	if (r == NULL)
		elog(ERROR, "no route for the rows of a node");
	slot = r->next(source);
	if (TupIsNull(slot))
		return slot;

	plan = r->insert->ps.plan;
	r->insert->ps.plan = (Plan *) &r->plain;
	leaf = ExecFindPartition(r->insert, r->insert->rootResultRelInfo, r->insert->mt_partition_tuple_routing,
							 slot, r->insert->ps.state);
	r->insert->ps.plan = plan;
	if (leaf != r->last)
	{
		if (!is_prepared(r, leaf))
		{
			MemoryContext oldcontext = MemoryContextSwitchTo(r->insert->ps.state->es_query_cxt);

			prepare(r, leaf);
			MemoryContextSwitchTo(oldcontext);
		}
		r->last = leaf;
	}
	return slot;
}

void
kyro_routing_prepare(ModifyTableState *insert)
{
	MemoryContext context = insert->ps.state->es_query_cxt;
	PlanState  *source = outerPlanState(&insert->ps);
	MemoryContextCallback *callback;
	Route	   *r;

	if (insert->mt_partition_tuple_routing == NULL || source == NULL || !OidIsValid(keys_am()))
		return;
	r = MemoryContextAllocZero(context, sizeof(Route));
	r->insert = insert;
	r->source = source;
	r->next = source->ExecProcNodeReal;
	memcpy(&r->plain, insert->ps.plan, sizeof(ModifyTable));
	r->plain.onConflictAction = ONCONFLICT_NONE;
	r->outer = routes;
	routes = r;
	callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	callback->func = forget;
	callback->arg = r;
	MemoryContextRegisterResetCallback(context, callback);
	source->ExecProcNodeReal = next_row;
}
