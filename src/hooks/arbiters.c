/*-------------------------------------------------------------------------
 *
 * arbiters.c
 *	  Which indexes arbitrate an INSERT ... ON CONFLICT, and how they find
 *	  equal keys.
 *
 * While an index is exchanged for another one (src/keys), a table has two unique
 * indexes for one key, of which the planner has inferred only those that were
 * valid then, and the executor would meet a conflict in the other as a violation.
 * So all that are arbiters in the same way are, once they take entries.
 *
 * IDENTIFICATION
 *	  src/hooks/arbiters.c
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
kyro_arbiters_prepare(ResultRelInfo *rri)
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
	Oid			families[2][INDEX_MAX_KEYS] = {0};

	if (!info->ii_Unique || !arbiter->rd_index->indisunique || index->rd_index->indisexclusion ||
		index->rd_index->indimmediate != arbiter->rd_index->indimmediate)
		return false;
	/* methods may differ: operator families say what is equal */
	mine.ii_Am = other->ii_Am;
	/* which are found only if all else is the same: that takes time */
	if (!CompareIndexInfo(&mine, other, index->rd_indcollation, arbiter->rd_indcollation, families[0], families[1], map))
		return false;
	keys_families(index, families[0]);
	keys_families(arbiter, families[1]);
	return memcmp(families[0], families[1], IndexRelationGetNumberOfKeyAttributes(arbiter) * sizeof(Oid)) == 0;
}

List *
kyro_arbiters(ResultRelInfo *rri, List *named, Relation target)
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
