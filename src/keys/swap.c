/*-------------------------------------------------------------------------
 *
 * swap.c
 *	  One index in the place of another; a constraint of an index.
 *
 * The exchange is that of REINDEX CONCURRENTLY, index_concurrently_swap(): name,
 * constraint, foreign keys that refer to it, comment, statistics, CLUSTER ON and
 * REPLICA IDENTITY go over to the new index in one transaction, under locks that
 * hold up neither readers nor writers.  What differs is that both indexes are
 * good before and after.  So the old one stays valid, and whoever still uses a
 * plan with it finds it maintained and unique, until it is dropped.
 *
 * IDENTIFICATION
 *	  src/keys/swap.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keys/keys.h"

/* ---- is it a substitute? ---- */

/* Why this index can neither take part in an exchange nor become that of a constraint, or NULL. */
const char *
keys_unfit(Relation index, bool partitioned)
{
	if (!index->rd_index->indisvalid || !index->rd_index->indisready || !index->rd_index->indislive)
		return "It is not valid.";
	if (index->rd_rel->relkind != RELKIND_INDEX && !partitioned)
		return "It is partitioned: name the index of a partition, or use kyro.replace_btree.";
	if (index->rd_index->indisexclusion)
		return "It belongs to an exclusion constraint.";
	if (index->rd_index->indnatts != 1)
		return "It has more than one column.";
	if (RELATION_IS_OTHER_TEMP(index))
		return "It is temporary and belongs to another session.";
	return NULL;
}

/* The btree operator family in whose order the keys of an index are; InvalidOid if not one that both methods know. */
static Oid
order_of(Relation index)
{
	if (index->rd_rel->relam == BTREE_AM_OID)
		return index->rd_opfamily[0];
	if (index->rd_rel->relam == keys_am())
		return keys_btree_family(index->rd_opcintype[0]);
	return InvalidOid;
}

/* Why new is no substitute for old, or NULL. */
const char *
keys_differs(Relation old, Relation new)
{
	if (!OidIsValid(order_of(new)) || order_of(new) != order_of(old))
		return "They do not have the same order: both must be btree or kyro_rmi, with default operator classes.";
	if (new->rd_index->indkey.values[0] != old->rd_index->indkey.values[0] ||
		!equal(RelationGetIndexExpressions(new), RelationGetIndexExpressions(old)))
		return "They are not on the same column.";
	if (!equal(RelationGetIndexPredicate(new), RelationGetIndexPredicate(old)))
		return "They do not have the same predicate.";
	if (new->rd_index->indisunique != old->rd_index->indisunique ||
		new->rd_index->indnullsnotdistinct != old->rd_index->indnullsnotdistinct)
		return "One is unique and the other is not, or NULLs are distinct in one and not in the other.";
	return NULL;
}

void
keys_check_owner(Oid heap)
{
	if (!kyro_owns_relation(heap, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(heap));
	if (IsCatalogRelationOid(heap))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied: \"%s\" is a system catalog", get_rel_name(heap))));
}

static void
refuse(int code, Relation index, const char *detail)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("index \"%s\" cannot be exchanged", RelationGetRelationName(index)),
			 errdetail_internal("%s", detail)));
}

static void
check_same_table(Relation old, Relation new, Oid heap)
{
	if (RelationGetRelid(old) == RelationGetRelid(new) || old->rd_index->indrelid != heap ||
		new->rd_index->indrelid != heap || old->rd_rel->relkind != new->rd_rel->relkind)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" and \"%s\" are not two indexes of one table",
						RelationGetRelationName(old), RelationGetRelationName(new))));
}

static void
check_exchange(Relation old, Relation new, int flags, bool partitioned)
{
	const char *why;

	if ((why = keys_unfit(old, partitioned)) != NULL)
		refuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, old, why);
	if ((why = keys_unfit(new, partitioned)) != NULL)
		refuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, new, why);
	if (!old->rd_index->indimmediate && !(flags & KEYS_SWAP_DEFERRED))
		refuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, old,
			   "Its constraint is deferrable, and another unique index would check at once: lock the table in ACCESS EXCLUSIVE mode until one is dropped.");
	if (OidIsValid(get_index_constraint(RelationGetRelid(new))))
		refuse(ERRCODE_WRONG_OBJECT_TYPE, new, "It belongs to a constraint already.");
	if (new->rd_rel->relispartition)
		refuse(ERRCODE_WRONG_OBJECT_TYPE, new, "It is attached to a partitioned index.");
	if (old->rd_rel->relispartition && !(flags & KEYS_SWAP_ATTACHED) && old->rd_rel->relam != new->rd_rel->relam)
		refuse(ERRCODE_WRONG_OBJECT_TYPE, old,
			   "It is attached to a partitioned index, whose indexes are all of one access method: use kyro.replace_btree or kyro.restore_btree on that.");
	if ((why = keys_differs(old, new)) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" cannot take the place of index \"%s\"",
						RelationGetRelationName(new), RelationGetRelationName(old)),
				 errdetail_internal("%s", why)));
}

/* ---- the exchange ---- */

/* The statistics target of the (expression) column: from 17 on the swap leaves that out. */
static void
copy_statistics_target(Oid from, Oid to)
{
	Relation	rel = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	source = SearchSysCache2(ATTNUM, ObjectIdGetDatum(from), Int16GetDatum(1));
	HeapTuple	target = SearchSysCache2(ATTNUM, ObjectIdGetDatum(to), Int16GetDatum(1));
	Datum		values[Natts_pg_attribute] = {0};
	bool		nulls[Natts_pg_attribute] = {0};
	bool		replaces[Natts_pg_attribute] = {0};
	HeapTuple	changed;

	if (!HeapTupleIsValid(source) || !HeapTupleIsValid(target))
		elog(ERROR, "cache lookup failed for a column of index %u or %u", from, to);
	values[Anum_pg_attribute_attstattarget - 1] =
		SysCacheGetAttr(ATTNUM, source, Anum_pg_attribute_attstattarget,
						&nulls[Anum_pg_attribute_attstattarget - 1]);
	replaces[Anum_pg_attribute_attstattarget - 1] = true;
	changed = heap_modify_tuple(target, RelationGetDescr(rel), values, nulls, replaces);
	CatalogTupleUpdate(rel, &changed->t_self, changed);
	heap_freetuple(changed);
	ReleaseSysCache(source);
	ReleaseSysCache(target);
	table_close(rel, RowExclusiveLock);
}

void
keys_swap(Oid oldoid, Oid newoid, int flags)
{
	Oid			heapoid = IndexGetRelation(oldoid, false);
	Relation	heap = table_open(heapoid, ShareUpdateExclusiveLock);
	Relation	old = index_open(oldoid, ShareUpdateExclusiveLock);
	Relation	new = index_open(newoid, ShareUpdateExclusiveLock);
	char	   *newname = pstrdup(RelationGetRelationName(new));
	char	   *between;

	check_same_table(old, new, heapoid);
	check_exchange(old, new, flags, false);

	/*
	 * the swap renames the indexes one after the other, so one of them needs
	 * a third name for a moment
	 */
	between = ChooseRelationName(newname, NULL, "old", RelationGetNamespace(heap), false);
	index_concurrently_swap(newoid, oldoid, between);
	CommandCounterIncrement();
	RenameRelationInternal(oldoid, newname, true, true);
	/* the swap leaves the old index invalid, but it is as complete as before */
	keys_set_flags(oldoid, KEYS_VALID, true);
	copy_statistics_target(oldoid, newoid);
	CommandCounterIncrement();

	/*
	 * the dependencies on operator classes have been exchanged with the
	 * others
	 */
	keys_settle(oldoid);
	keys_settle(newoid);

	/* plans and lists of indexes are made anew */
	CacheInvalidateRelcache(heap);
	index_close(new, NoLock);
	index_close(old, NoLock);
	table_close(heap, NoLock);
	CommandCounterIncrement();
}

/* ---- the exchange of a partitioned index ---- */

static void
set_parent(Oid index, Oid parent)
{
	Relation	rel = index_open(index, ShareUpdateExclusiveLock);

	IndexSetParentIndex(rel, parent);
	index_close(rel, NoLock);
	CommandCounterIncrement();
}

/* The one of these indexes that is on this table, or InvalidOid. */
static Oid
index_on(List *indexes, Oid heap)
{
	ListCell   *lc;

	foreach(lc, indexes)
	{
		if (IndexGetRelation(lfirst_oid(lc), true) == heap)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

bool
keys_swap_tree(Oid root, List *news, Oid am, int flags)
{
	List	   *olds;
	List	   *substitutes = NIL;
	ListCell   *lc,
			   *lc2;

	/* no partition comes or goes from now on */
	(void) find_all_inheritors(IndexGetRelation(root, false), ShareUpdateExclusiveLock, NULL);
	olds = find_all_inheritors(root, NoLock, NULL);
	foreach(lc, olds)
	{
		Oid			new = InvalidOid;

		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_INDEX)
		{
			new = index_on(news, IndexGetRelation(lfirst_oid(lc), false));
			if (!OidIsValid(new))
				return false;
		}
		substitutes = lappend_oid(substitutes, new);
	}
	forboth(lc, olds, lc2, substitutes)
	{
		CHECK_FOR_INTERRUPTS();
		if (OidIsValid(lfirst_oid(lc2)))
			keys_swap(lfirst_oid(lc), lfirst_oid(lc2), flags | KEYS_SWAP_ATTACHED);
		else
			keys_set_method(lfirst_oid(lc), am);
	}
	return true;
}

/* The indexes of partitions below a partitioned one. */
static List *
indexes_below(Oid root)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(root, ShareUpdateExclusiveLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_INDEX)
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

/*
 * Two partitioned indexes of one table: the indexes of partitions are exchanged,
 * and the partitioned ones, which have no storage, change their methods.
 */
static void
swap_trees(Oid oldoid, Oid newoid, int flags)
{
	Oid			heap = IndexGetRelation(oldoid, false);
	Relation	old,
				new;
	Oid			method,
				old_method;
	List	   *olds,
			   *news,
			   *parents = NIL;
	ListCell   *lc,
			   *lc2;

	(void) find_all_inheritors(heap, ShareUpdateExclusiveLock, NULL);
	old = index_open(oldoid, ShareUpdateExclusiveLock);
	new = index_open(newoid, ShareUpdateExclusiveLock);
	check_same_table(old, new, heap);
	check_exchange(old, new, flags, true);
	if (old->rd_rel->relispartition)
		refuse(ERRCODE_WRONG_OBJECT_TYPE, old, "It is attached to a partitioned index: name that.");
	method = new->rd_rel->relam;
	old_method = old->rd_rel->relam;
	index_close(new, NoLock);
	index_close(old, NoLock);

	olds = indexes_below(oldoid);
	news = indexes_below(newoid);
	foreach(lc, news)
	{
		/* so that it can be swapped as one that is not attached */
		parents = lappend_oid(parents, get_partition_parent(lfirst_oid(lc), false));
		set_parent(lfirst_oid(lc), InvalidOid);
	}
	if (!keys_swap_tree(oldoid, news, method, flags))
		elog(ERROR, "partitioned index \"%s\" lacks an index of a partition", get_rel_name(newoid));
	forboth(lc, news, lc2, parents)
		set_parent(index_on(olds, IndexGetRelation(lfirst_oid(lc), false)), lfirst_oid(lc2));
	foreach(lc, find_all_inheritors(newoid, NoLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_INDEX)
			keys_set_method(lfirst_oid(lc), old_method);
	}
}

/* ---- a constraint of an index ---- */

/* By SQL, since what has to be done differs between versions, and event triggers must see it. */
static void
set_not_null(Oid heap, AttrNumber column)
{
	char	   *command = psprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL",
								   quote_qualified_identifier(get_namespace_name(get_rel_namespace(heap)), get_rel_name(heap)),
								   quote_identifier(get_attname(heap, column, false)));

	SPI_connect();
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "SPI_execute failed: %s", command);
	SPI_finish();
}

void
keys_adopt(Oid indexoid, const char *name, bool primary, bool deferrable, bool initdeferred)
{
	Oid			heapoid = IndexGetRelation(indexoid, false);
	Relation	heap = table_open(heapoid, AccessExclusiveLock);	/* as core does */
	Relation	index = index_open(indexoid, AccessExclusiveLock);
	const char *old = pstrdup(RelationGetRelationName(index));
	AttrNumber	column = index->rd_index->indkey.values[0];
	const char *why = keys_unfit(index, false);
	IndexStmt  *statement = makeNode(IndexStmt);
	IndexInfo  *info;
	bits16		flags = INDEX_CONSTR_CREATE_UPDATE_INDEX | INDEX_CONSTR_CREATE_REMOVE_OLD_DEPS;

	CheckTableNotInUse(heap, "ALTER TABLE");
	if (index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		why = "It is partitioned: drop it, and add the constraint WITH (kyro_rmi).";
	if (why == NULL && !index->rd_index->indisunique)
		why = "It is not unique.";
	if (why == NULL && (column <= 0 || RelationGetIndexPredicate(index) != NIL))
		why = "It is on an expression, or partial.";
	if (why == NULL && OidIsValid(get_index_constraint(indexoid)))
		why = "It belongs to a constraint already.";
	if (why == NULL && index->rd_rel->relispartition)
		why = "It is attached to a partitioned index.";
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" cannot become the index of a constraint", old),
				 errdetail_internal("%s", why)));

	index_close(index, NoLock);
	if (primary && !TupleDescAttr(RelationGetDescr(heap), column - 1)->attnotnull)
	{
		/* the table must not be open then */
		table_close(heap, NoLock);
		set_not_null(heapoid, column);
		heap = table_open(heapoid, NoLock);
	}
	if (name == NULL)
		name = old;
	else if (strcmp(name, old) != 0)
	{
		ereport(NOTICE,
				(errmsg("index \"%s\" is renamed to \"%s\"", old, name)));
		RenameRelationInternal(indexoid, name, false, true);
		CommandCounterIncrement();
	}
	index = index_open(indexoid, NoLock);
	info = BuildIndexInfo(index);
	index_close(index, NoLock);
	statement->primary = primary;
	if (primary)
	{
		index_check_primary_key(heap, info, true, statement);
		flags |= INDEX_CONSTR_CREATE_MARK_AS_PRIMARY;
	}
	if (deferrable)
		flags |= INDEX_CONSTR_CREATE_DEFERRABLE;
	if (initdeferred)
		flags |= INDEX_CONSTR_CREATE_INIT_DEFERRED;
	index_constraint_create(heap, indexoid, InvalidOid, info, name,
							primary ? CONSTRAINT_PRIMARY : CONSTRAINT_UNIQUE, flags, false, false);
	CommandCounterIncrement();
	keys_mark(indexoid);
	table_close(heap, NoLock);
}

/* ---- SQL ---- */

/* A table's owner only; nobody gets a lock on what he may not touch. */
static void
check_owner(Oid index)
{
	char		relkind = get_rel_relkind(index);
	Oid			heap;

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", index)));
	if (relkind != RELKIND_INDEX && relkind != RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", get_rel_name(index))));
	heap = IndexGetRelation(index, false);
	keys_check_owner(heap);
}

PG_FUNCTION_INFO_V1(kyro_swap_index);

/* kyro.swap_index(old regclass, new regclass): see keys_swap(). */
Datum
kyro_swap_index(PG_FUNCTION_ARGS)
{
	Oid			old = PG_GETARG_OID(0);
	Oid			new = PG_GETARG_OID(1);
	int			flags;

	PreventCommandIfReadOnly("kyro.swap_index()");
	PreventCommandIfParallelMode("kyro.swap_index()");
	PreventCommandDuringRecovery("kyro.swap_index()");
	check_owner(old);
	check_owner(new);

	/*
	 * with the table locked exclusively it does not matter that the new index
	 * checks at another time
	 */
	flags = CheckRelationOidLockedByMe(IndexGetRelation(old, false), AccessExclusiveLock, false) ? KEYS_SWAP_DEFERRED : 0;
	if (get_rel_relkind(old) == RELKIND_PARTITIONED_INDEX)
		swap_trees(old, new, flags);
	else
		keys_swap(old, new, flags);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(kyro_adopt_index);

/* kyro.adopt_index(index regclass, constraint_name name, "primary" boolean): see keys_adopt(). */
Datum
kyro_adopt_index(PG_FUNCTION_ARGS)
{
	Oid			index;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("index must not be null")));
	index = PG_GETARG_OID(0);
	PreventCommandIfReadOnly("kyro.adopt_index()");
	PreventCommandIfParallelMode("kyro.adopt_index()");
	PreventCommandDuringRecovery("kyro.adopt_index()");
	check_owner(index);
	if (!keys_is_ours(index))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a kyro_rmi index", get_rel_name(index)),
				 errhint("For a btree use ALTER TABLE ... ADD CONSTRAINT ... USING INDEX.")));
	keys_adopt(index, PG_ARGISNULL(1) ? NULL : NameStr(*PG_GETARG_NAME(1)),
			   !PG_ARGISNULL(2) && PG_GETARG_BOOL(2), false, false);
	PG_RETURN_VOID();
}
