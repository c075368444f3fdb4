/*-------------------------------------------------------------------------
 *
 * partitions.c
 *	  Unique indexes of partitioned tables.
 *
 * Before PostgreSQL 18 the server makes unique indexes of partitioned tables with
 * btree alone, since it asks the method what is equal in terms of the partition
 * key.  But such an index has no storage, only rows in the catalogs.  So core
 * makes a btree of it, without its partitions, with all checks; then the rows are
 * changed to say kyro_rmi (keys_set_method()), and each partition gets an index of
 * its own, or one that it has is attached, as core would have done.
 *
 * Once it is there, core copies it: to partitions that are created or attached, as
 * a kyro_rmi index.  Only a partition that is itself partitioned would be refused:
 * what is created as one sees btrees in its parent meanwhile, and what is attached
 * gets its own index before.
 *
 * IDENTIFICATION
 *	  src/keys/partitions.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_utilcmd.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "keys/keys.h"

/* ---- an index for every partition ---- */

/* The statement that makes an index like this one of ours for a partition of its table. */
static IndexStmt *
statement_like(Relation index, Relation heap, Relation partition, Oid *constraint)
{
	AttrMap    *map = kyro_attrmap_by_name(RelationGetDescr(partition), RelationGetDescr(heap));
	IndexStmt  *s = generateClonedIndexStmt(NULL, index, map, constraint);

	if (partition->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		/* core takes a btree only, and must leave its partitions to us */
		s->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(partition)), RelationGetRelationName(partition), -1);
		s->relation->inh = false;
		s->accessMethod = DEFAULT_INDEX_TYPE;
		s->options = keys_without_option(s->options);
		linitial_node(IndexElem, s->indexParams)->opclass = NIL;
	}
	free_attrmap(map);
	return s;
}

/* The index of a partition that can be attached to this one, or InvalidOid. */
static Oid
matching_index(Relation index, Relation heap, Relation partition, Oid constraint)
{
	IndexInfo  *info = BuildIndexInfo(index);
	AttrMap    *map = kyro_attrmap_by_name(RelationGetDescr(partition), RelationGetDescr(heap));
	Oid			result = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(partition))
	{
		Relation	other = index_open(lfirst_oid(lc), ShareLock);

		if (!other->rd_rel->relispartition && other->rd_index->indisvalid &&
			CompareIndexInfo(BuildIndexInfo(other), info, other->rd_indcollation, index->rd_indcollation,
							 other->rd_opfamily, index->rd_opfamily, map) &&
			(!OidIsValid(constraint) ||
			 OidIsValid(get_relation_idx_constraint_oid(RelationGetRelid(partition), lfirst_oid(lc)))))
			result = lfirst_oid(lc);
		index_close(other, NoLock);
		if (OidIsValid(result))
			break;
	}
	free_attrmap(map);
	return result;
}

static const char *
method_of(Oid index)
{
	return keys_is_ours(index) ? KEYS_AM_NAME : "btree";
}

/* The name of the only column of an index, or NULL. */
static const char *
only_column(Relation table, Oid indexoid)
{
	Relation	index = index_open(indexoid, AccessShareLock);
	AttrNumber	column = index->rd_index->indnatts == 1 ? index->rd_index->indkey.values[0] : InvalidAttrNumber;

	index_close(index, NoLock);
	return column > 0 ? get_attname(RelationGetRelid(table), column, false) : NULL;
}

/*
 * A table cannot have two primary keys, and one of another method cannot be attached:
 * say how to get out of this.  If they are on other columns it is core's to refuse.
 */
static void
check_primary_keys(Relation table, Oid key, Relation partition, Oid partition_key)
{
	const char *column;
	const char *partition_column;

	if (!OidIsValid(key) || !OidIsValid(partition_key) || keys_is_ours(key) == keys_is_ours(partition_key))
		return;
	column = only_column(table, key);
	partition_column = only_column(partition, partition_key);
	if (column == NULL || partition_column == NULL || strcmp(column, partition_column) != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the primary key of \"%s\" cannot become a part of that of \"%s\"",
					RelationGetRelationName(partition), RelationGetRelationName(table)),
			 errdetail("It has a %s index, and all partitions need a %s index.", method_of(partition_key), method_of(key)),
			 errhint("Before that, CALL kyro.%s for the partition.",
					 keys_is_ours(key) ? "replace_btree" : "restore_btree")));
}

static Oid
primary_key(Relation table)
{
	(void) RelationGetIndexList(table);
	return table->rd_pkindex;
}

static void add_to_partitions(Oid indexoid);

/* Attach an index of a partition, or make one.  The partition is locked. */
static void
add_to_partition(Relation index, Relation heap, Oid constraint, Relation partition)
{
	Oid			partoid = RelationGetRelid(partition);
	Oid			other = matching_index(index, heap, partition, constraint);

	if (OidIsValid(other))
	{
		Relation	rel = index_open(other, ShareLock);

		IndexSetParentIndex(rel, RelationGetRelid(index));
		if (OidIsValid(constraint))
			ConstraintSetParentConstraint(get_relation_idx_constraint_oid(partoid, other), constraint, partoid);
		index_close(rel, NoLock);
		return;
	}
	if (index->rd_index->indisprimary)
		check_primary_keys(heap, RelationGetRelid(index), partition, primary_key(partition));
	other = kyro_define_partition_index(partoid, statement_like(index, heap, partition, &constraint), RelationGetRelid(index),
										constraint);
	CommandCounterIncrement();
	if (partition->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		keys_set_method(other, keys_am());
		add_to_partitions(other);
	}
}

/* Give every partition of its table an index for this partitioned one of ours, which then is valid. */
static void
add_to_partitions(Oid indexoid)
{
	Relation	index = index_open(indexoid, NoLock);
	Relation	heap = table_open(index->rd_index->indrelid, NoLock);
	Oid			constraint = get_relation_idx_constraint_oid(RelationGetRelid(heap), indexoid);
	PartitionDesc partitions = RelationGetPartitionDesc(heap, true);
	int			n = partitions->nparts;
	Oid		   *oids = palloc(n * sizeof(Oid));

	memcpy(oids, partitions->oids, n * sizeof(Oid));
	for (int i = 0; i < n; i++)
	{
		/* as core, if a key has not taken a stronger lock */
		Relation	partition = table_open(oids[i], ShareLock);

		CHECK_FOR_INTERRUPTS();
		if (partition->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot create unique index on partitioned table \"%s\"", RelationGetRelationName(heap)),
					 errdetail("Table \"%s\" contains partitions that are foreign tables.", RelationGetRelationName(heap))));
		CheckTableNotInUse(partition, "CREATE INDEX");
		add_to_partition(index, heap, constraint, partition);
		table_close(partition, NoLock);
		CommandCounterIncrement();
	}
	if (n > 0)
		keys_set_flags(indexoid, KEYS_VALID, true);
	table_close(heap, NoLock);
	index_close(index, NoLock);
	CommandCounterIncrement();
}

/* ---- commands that make one ---- */

void
keys_as_btree(IndexStmt *s)
{
	s->accessMethod = DEFAULT_INDEX_TYPE;
	s->options = keys_without_option(s->options);
	linitial_node(IndexElem, s->indexParams)->opclass = NIL;
	/* the statement may share it with others */
	s->relation = copyObject(s->relation);
	s->relation->inh = false;
}

void
keys_finish_partitioned(Oid relid, List *before, bool recurse)
{
	List	   *made;
	ListCell   *lc;

	CommandCounterIncrement();
	made = list_difference_oid(keys_indexes(relid), before);
	foreach(lc, made)			/* made is empty if there was an index of this
								 * name and IF NOT EXISTS was said */
	{
		keys_set_method(lfirst_oid(lc), keys_am());
		if (recurse)
			add_to_partitions(lfirst_oid(lc));
	}
}

/* ---- partitions that are themselves partitioned ---- */

/* The unique partitioned indexes of ours of a table. */
static List *
unique_indexes(Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, keys_indexes(relid))
	{
		Relation	index;

		if (!keys_is_ours(lfirst_oid(lc)))
			continue;
		index = index_open(lfirst_oid(lc), AccessShareLock);
		if (index->rd_index->indisunique && index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
			result = lappend_oid(result, lfirst_oid(lc));
		index_close(index, NoLock);
	}
	return result;
}

List *
keys_before_partition(Oid parent)
{
	List	   *indexes;
	ListCell   *lc;

	/* as core will */
	LockRelationOid(parent, AccessExclusiveLock);
	if (get_rel_relkind(parent) != RELKIND_PARTITIONED_TABLE)
		return NIL;
	indexes = unique_indexes(parent);
	foreach(lc, indexes)
		keys_set_method(lfirst_oid(lc), BTREE_AM_OID);
	return indexes;
}

void
keys_after_partition(List *indexes, RangeVar *name)
{
	Oid			relid;
	Relation	partition;
	ListCell   *lc;

	if (indexes == NIL)
		return;
	CommandCounterIncrement();
	relid = RangeVarGetRelid(name, NoLock, true);
	partition = OidIsValid(relid) ? table_open(relid, AccessShareLock) : NULL;
	foreach(lc, indexes)
	{
		Oid			index = partition != NULL ? index_get_partition(partition, lfirst_oid(lc)) : InvalidOid;

		keys_set_method(lfirst_oid(lc), keys_am());
		/* with IF NOT EXISTS it may be another table's */
		if (OidIsValid(index) && get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX && !keys_is_ours(index))
			keys_set_method(index, keys_am());
	}
	if (partition != NULL)
		table_close(partition, NoLock);
}

/* Has a table to be attached the columns of the parent's index, with the same types?  If not core will say so. */
static bool
has_column(Relation index, Relation heap, Relation partition)
{
	for (int i = 0; i < RelationGetDescr(heap)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(heap), i);
		AttrNumber	number = (column->attisdropped ? InvalidAttrNumber :
							  get_attnum(RelationGetRelid(partition), NameStr(column->attname)));

		if (!column->attisdropped &&
			(number == InvalidAttrNumber || get_atttype(RelationGetRelid(partition), number) != column->atttypid))
			return false;
	}
	return true;
}

void
keys_before_attach(Oid relid, RangeVar *name)
{
	Oid			partoid = RangeVarGetRelid(name, NoLock, true);
	Relation	heap,
				partition;
	ListCell   *lc;

	if (!OidIsValid(partoid) || partoid == relid || get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE ||
		!kyro_owns_relation(partoid, GetUserId()) || get_rel_relispartition(partoid))
		return;
	heap = table_open(relid, NoLock);	/* locked by the caller */
	partition = table_open(partoid, AccessExclusiveLock);	/* as core will */
	if (partition->rd_rel->relkind == RELKIND_RELATION || partition->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		check_primary_keys(heap, primary_key(heap), partition, primary_key(partition));
	foreach(lc, partition->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? unique_indexes(relid) : NIL)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Oid			constraint = get_relation_idx_constraint_oid(relid, lfirst_oid(lc));

		if (has_column(index, heap, partition) && !OidIsValid(matching_index(index, heap, partition, constraint)))
		{
			IndexStmt  *s = statement_like(index, heap, partition, &constraint);
			Oid			made;

			made = kyro_define_index(partoid, s);
			CommandCounterIncrement();
			keys_set_method(made, keys_am());
			add_to_partitions(made);
		}
		index_close(index, NoLock);
	}
	table_close(partition, NoLock);
	table_close(heap, NoLock);
}
