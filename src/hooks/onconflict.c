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
 * While an index is exchanged for another one (src/keys), a table has two unique
 * indexes for one key, of which the planner has inferred only those that were
 * valid then, and the executor would meet a conflict in the other as a violation.
 * So all that are arbiters in the same way are, once they take entries.
 *
 * IDENTIFICATION
 *	  src/hooks/onconflict.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/index.h"
#include "catalog/partition.h"
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

void
kyro_onconflict_prepare(ResultRelInfo *rri)
{
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

/* Does this index of a partition, or of the table itself, hold the same keys to be different as that one? */
static bool
is_same_arbiter(Relation index, const IndexInfo *info, Relation arbiter, IndexInfo *other, AttrMap *map)
{
	IndexInfo	mine = *info;
	Oid			families[2][INDEX_MAX_KEYS];

	if (!info->ii_Unique || !arbiter->rd_index->indisunique || index->rd_index->indisexclusion ||
		index->rd_index->indimmediate != arbiter->rd_index->indimmediate)
		return false;
	/* whatever the method: the order says what is equal */
	mine.ii_Am = other->ii_Am;
	keys_families(index, families[0]);
	keys_families(arbiter, families[1]);
	return CompareIndexInfo(&mine, other, index->rd_indcollation, arbiter->rd_indcollation, families[0], families[1], map);
}

List *
kyro_onconflict_arbiters(ResultRelInfo *rri, List *named, Relation target)
{
	List	   *result = NIL;
	AttrMap    *map;
	ListCell   *lc;

	if (named == NIL)
		return NIL;				/* all of them */
	map = kyro_attrmap_by_name(RelationGetDescr(rri->ri_RelationDesc), RelationGetDescr(target));
	foreach(lc, named)
	{
		/* the plan holds a lock on its table that keeps it there */
		Relation	arbiter = index_open(lfirst_oid(lc), AccessShareLock);
		IndexInfo  *arbiter_info = BuildIndexInfo(arbiter);
		bool		found = false;

		for (int i = 0; i < rri->ri_NumIndices; i++)
		{
			Relation	index = rri->ri_IndexRelationDescs[i];
			IndexInfo  *info = rri->ri_IndexRelationInfo[i];
			Oid			indexoid = RelationGetRelid(index);

			if (indexoid == lfirst_oid(lc) ||
				(index->rd_rel->relispartition && list_member_oid(get_partition_ancestors(indexoid), lfirst_oid(lc))))
				found = true;
			else if (!info->ii_ReadyForInserts || !is_same_arbiter(index, info, arbiter, arbiter_info, map))
				continue;
			else if (index->rd_index->indisvalid)
				found = true;
			result = list_append_unique_oid(result, indexoid);
		}
		if (!found)
			elog(ERROR, "table \"%s\" has no counterpart of index \"%s\"",
				 RelationGetRelationName(rri->ri_RelationDesc), RelationGetRelationName(arbiter));
		index_close(arbiter, NoLock);
	}
	free_attrmap(map);
	return result;
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
		kyro_onconflict_prepare(rri);
		rri->ri_onConflictArbiterIndexes = kyro_onconflict_arbiters(rri, rri->ri_onConflictArbiterIndexes, rel);
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
