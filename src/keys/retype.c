/*-------------------------------------------------------------------------
 *
 * retype.c
 *	  ALTER COLUMN TYPE of a column with a constraint whose index is ours.
 *
 * Core drops the constraint, changes the column and makes the constraint again
 * from its text, on a path where nobody can say that the index is ours: it
 * becomes a btree, or an error if the text has our storage parameter.  So that
 * is taken away before, and afterwards, in the same transaction, an index of
 * ours is built and put in the btree's place.  The table is locked against
 * everybody meanwhile.
 *
 * IDENTIFICATION
 *	  src/keys/retype.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keys/keys.h"
#include "retyped.h"

/* A constraint that had an index of ours. */
typedef struct Retyped
{
	Oid			heap;
	char	   *constraint;		/* NULL: a plain unique index */
} Retyped;

/* Take the marks of the unique indexes on this column of this table away, and note the constraints. */
static List *
unmark_column(Oid heapoid, const char *column, List *keys)
{
	Relation	heap = table_open(heapoid, NoLock);
	AttrNumber	attnum = get_attnum(heapoid, column);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(heap))
	{
		Oid			indexoid = lfirst_oid(lc);
		Relation	index;
		bool		match;
		Retyped    *r;

		if (!keys_is_ours(indexoid))
			continue;
		index = index_open(indexoid, AccessExclusiveLock);
		match = index->rd_index->indkey.values[0] == attnum && index->rd_index->indisunique;
		index_close(index, NoLock);
		if (!match)
			continue;
		r = palloc(sizeof(Retyped));
		r->heap = heapoid;
		r->constraint = keys_is_key(indexoid) ? get_constraint_name(get_index_constraint(indexoid)) : NULL;
		keys = lappend(keys, r);
		keys_unmark(indexoid);
	}
	table_close(heap, NoLock);
	return keys;
}

/*
 * Does core refuse to change the type of this column of the table itself?  It does so before it locks
 * the table's children, so we must not wait for them.
 */
static bool
is_refused(Oid relid, const char *column)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, column);
	Form_pg_attribute attribute;
	Relation	rel;
	bool		refused,
				is_expression;

	if (!HeapTupleIsValid(tuple))
		return true;
	attribute = (Form_pg_attribute) GETSTRUCT(tuple);
	rel = table_open(relid, NoLock);
	refused = attribute->attnum <= 0 || attribute->attinhcount > 0 ||
		has_partition_attrs(rel, bms_make_singleton(attribute->attnum - FirstLowInvalidHeapAttributeNumber), &is_expression);
	table_close(rel, NoLock);
	ReleaseSysCache(tuple);
	return refused;
}

List *
keys_before_retype(Oid relid, AlterTableStmt *statement)
{
	List	   *keys = NIL;
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		List	   *relids;
		ListCell   *lc2;

		if (cmd->subtype != AT_AlterColumnType ||
			(statement->objtype == OBJECT_TYPE ? cmd->behavior != DROP_CASCADE : is_refused(relid, cmd->name)))
			continue;
		relids = kyro_retyped_tables(relid, statement, AccessExclusiveLock);
		foreach(lc2, relids)
		{
			char		relkind = get_rel_relkind(lfirst_oid(lc2));

			if (relkind == RELKIND_RELATION)
				keys = unmark_column(lfirst_oid(lc2), cmd->name, keys);
		}
	}
	return keys;
}

/* CREATE UNIQUE INDEX ... USING kyro_rmi, like this index of a constraint. */
static Oid
build_like(Oid heapoid, Oid btree)
{
	IndexStmt  *s = makeNode(IndexStmt);
	IndexElem  *elem = makeNode(IndexElem);
	Relation	index = index_open(btree, AccessExclusiveLock);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(btree));
	Form_pg_class form;
	Datum		options;
	bool		isnull;
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", btree);
	form = (Form_pg_class) GETSTRUCT(tuple);
	elem->name = get_attname(heapoid, index->rd_index->indkey.values[0], false);
	s->relation = makeRangeVar(get_namespace_name(get_rel_namespace(heapoid)), get_rel_name(heapoid), -1);
	s->accessMethod = KEYS_AM_NAME;
	s->unique = true;
	s->nulls_not_distinct = index->rd_index->indnullsnotdistinct;
	s->indexParams = list_make1(elem);
	s->transformed = true;
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	if (!isnull)
		s->options = untransformRelOptions(options);
	/* in its place, whatever default_tablespace says */
	s->reset_default_tblspc = true;
	if (OidIsValid(form->reltablespace))
		s->tableSpace = get_tablespace_name(form->reltablespace);
	ReleaseSysCache(tuple);
	index_close(index, NoLock);

	result = kyro_define_index(heapoid, s);
	CommandCounterIncrement();
	return result;
}

static void
restore(const Retyped *r)
{
	Oid			constraint = get_relation_constraint_oid(r->heap, r->constraint, true);
	Oid			btree = OidIsValid(constraint) ? get_constraint_index(constraint) : InvalidOid;
	Relation	index;
	Oid			type;
	ObjectAddress object;

	/* the same command may have dropped it */
	if (!OidIsValid(btree) || keys_is_ours(btree))
		return;
	index = index_open(btree, AccessExclusiveLock);
	type = get_atttype(r->heap, index->rd_index->indkey.values[0]);
	index_close(index, NoLock);
	if (keys_type_problem(type) != NULL)
	{
		ereport(NOTICE,
				(errmsg("constraint \"%s\" has a btree index now", r->constraint),
				 errdetail_internal("%s", keys_type_problem(type))));
		return;
	}
	keys_swap(btree, build_like(r->heap, btree), KEYS_SWAP_DEFERRED);
	ObjectAddressSet(object, RelationRelationId, btree);
	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

void
keys_after_retype(List *keys)
{
	ListCell   *lc;

	if (keys != NIL)
		CommandCounterIncrement();
	foreach(lc, keys)
	{
		Retyped    *r = lfirst(lc);

		if (r->constraint != NULL)
			restore(r);
		else
			keys_settle_identity(r->heap);
	}
}
