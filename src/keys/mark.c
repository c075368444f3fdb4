/*-------------------------------------------------------------------------
 *
 * mark.c
 *	  What tells the index of a constraint from other indexes of ours.
 *
 * Two things.  The storage parameter kyro_rmi, because pg_dump prints the
 * storage parameters of a constraint but not its access method; and, before
 * PostgreSQL 18, the operator class in pg_index.indclass, because what refers to
 * a unique index (foreign keys, the columns of partition keys, logical
 * replication) asks there whether it is a btree, and not for the index's access
 * method.  It is a class of method btree of the same name and schema as our own
 * one, which belongs to btree's family and has nothing of its own: the namesake.
 * README argues why that is sound.
 *
 * IDENTIFICATION
 *	  src/keys/mark.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keys/keys.h"

Oid
keys_am(void)
{
	return get_index_am_oid(KEYS_AM_NAME, true);
}

bool
keys_is_ours(Oid index)
{
	Oid			am = keys_am();
	HeapTuple	tuple;
	Form_pg_class form;
	bool		result;

	if (!OidIsValid(am))
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	result = form->relam == am && (form->relkind == RELKIND_INDEX || form->relkind == RELKIND_PARTITIONED_INDEX);
	ReleaseSysCache(tuple);
	return result;
}

bool
keys_is_key(Oid index)
{
	Oid			constraint = get_index_constraint(index);
	HeapTuple	tuple;
	char		type;

	if (!OidIsValid(constraint))
		return false;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		return false;
	type = ((Form_pg_constraint) GETSTRUCT(tuple))->contype;
	ReleaseSysCache(tuple);
	return type == CONSTRAINT_PRIMARY || type == CONSTRAINT_UNIQUE;
}

/* ---- the storage parameter ---- */

static bool
is_option(const DefElem *def)
{
	return def->defnamespace == NULL && strcmp(def->defname, KEYS_OPTION) == 0;
}

bool
keys_wanted(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		if (is_option(lfirst_node(DefElem, lc)))
			return defGetBoolean(lfirst_node(DefElem, lc));
	}
	return false;
}

List *
keys_without_option(List *options)
{
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, options)
	{
		if (!is_option(lfirst_node(DefElem, lc)))
			rest = lappend(rest, lfirst(lc));
	}
	return rest;
}

static bool
has_option(HeapTuple class_tuple)
{
	bool		isnull;
	Datum		options = SysCacheGetAttr(RELOID, class_tuple, Anum_pg_class_reloptions, &isnull);

	return !isnull && keys_wanted(untransformRelOptions(options));
}

int
keys_fillfactor(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		isnull;
	Datum		options;
	int			fillfactor = 0;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", index);
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	foreach(lc, isnull ? NIL : untransformRelOptions(options))
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "fillfactor") == 0)
			fillfactor = pg_strtoint32(defGetString(def));
	}
	ReleaseSysCache(tuple);
	return fillfactor;
}

static void
set_option(Oid index, bool on)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	Datum		values[Natts_pg_class] = {0};
	bool		nulls[Natts_pg_class] = {0};
	bool		replaces[Natts_pg_class] = {0};

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", index);
	if (has_option(tuple) != on)
	{
		bool		isnull;
		Datum		old = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
		List	   *change = list_make1(makeDefElem(KEYS_OPTION, on ? (Node *) makeString("true") : NULL, -1));
		HeapTuple	changed;

		values[Anum_pg_class_reloptions - 1] =
			transformRelOptions(isnull ? (Datum) 0 : old, change, NULL, NULL, false, !on);
		nulls[Anum_pg_class_reloptions - 1] = values[Anum_pg_class_reloptions - 1] == (Datum) 0;
		replaces[Anum_pg_class_reloptions - 1] = true;
		changed = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaces);
		CatalogTupleUpdate(rel, &changed->t_self, changed);
		heap_freetuple(changed);
	}
	ReleaseSysCache(tuple);
	table_close(rel, RowExclusiveLock);
}

/* ---- the operator class ---- */

/* The class of an access method that bears the name of this one. */
static Oid
class_named_as(Oid opclass, Oid am)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	result = GetSysCacheOid3(CLAAMNAMENSP, Anum_pg_opclass_oid, ObjectIdGetDatum(am),
							 NameGetDatum(&form->opcname), ObjectIdGetDatum(form->opcnamespace));
	ReleaseSysCache(tuple);
	return result;
}

Oid
keys_btree_family(Oid type)
{
	Oid			ours = GetDefaultOpClass(getBaseType(type), keys_am());
	Oid			namesake = OidIsValid(ours) ? class_named_as(ours, BTREE_AM_OID) : InvalidOid;

	return OidIsValid(namesake) ? get_opclass_family(namesake) : InvalidOid;
}

void
keys_families(Relation index, Oid *families)
{
	int			n = IndexRelationGetNumberOfKeyAttributes(index);

	memcpy(families, index->rd_opfamily, n * sizeof(Oid));
	if (n == 1 && index->rd_rel->relam == keys_am())
		families[0] = keys_btree_family(index->rd_opcintype[0]);
}

static oidvector *
shown_classes(HeapTuple index_tuple)
{
	bool		isnull;
	Datum		classes = SysCacheGetAttr(INDEXRELID, index_tuple, Anum_pg_index_indclass, &isnull);

	Assert(!isnull);
	return (oidvector *) DatumGetPointer(classes);
}

/*
 * Have pg_index name this class.  The relation cache does not read it again for
 * an index made in this transaction, nor for one that is open, so its entry is
 * mended, too; the comparison function is the same in both.
 */
static void
show_class(Oid indexoid, Oid opclass)
{
	Relation	rel = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexoid));
	Relation	index;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexoid);
	if (shown_classes(tuple)->values[0] != opclass)
	{
		/* of fixed length, inside the tuple */
		shown_classes(tuple)->values[0] = opclass;
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
		CommandCounterIncrement();

		index = relation_open(indexoid, NoLock);
		if (index->rd_opfamily != NULL)
			index->rd_opfamily[0] = get_opclass_family(opclass);
		shown_classes(index->rd_indextuple)->values[0] = opclass;
		relation_close(index, NoLock);
	}
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}

/* An index depends on its own class, and on the one it shows: neither can go before it. */
static void
set_class_dependencies(Oid index, Oid own, Oid shown)
{
	ObjectAddress me,
				class;

	deleteDependencyRecordsForClass(RelationRelationId, index, OperatorClassRelationId, DEPENDENCY_NORMAL);
	CommandCounterIncrement();

	ObjectAddressSet(me, RelationRelationId, index);
	ObjectAddressSet(class, OperatorClassRelationId, own);
	recordDependencyOn(&me, &class, DEPENDENCY_NORMAL);
	if (shown != own)
	{
		ObjectAddressSet(class, OperatorClassRelationId, shown);
		recordDependencyOn(&me, &class, DEPENDENCY_NORMAL);
	}
	CommandCounterIncrement();
}

/* The operator class that pg_index names for an index. */
static Oid
shown_class(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Oid			shown;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	shown = shown_classes(tuple)->values[0];
	ReleaseSysCache(tuple);
	return shown;
}

/* That class, and of its two classes our own and the namesake. */
static Oid
lookup_classes(Oid index, Oid *own, Oid *namesake)
{
	Oid			shown = shown_class(index);

	*own = class_named_as(shown, keys_am());
	*namesake = class_named_as(shown, BTREE_AM_OID);
	return shown;
}

/* Give an index the class it is to show, with its dependencies. */
static void
set_class(Oid index, bool key)
{
	Oid			own,
				namesake;

	lookup_classes(index, &own, &namesake);
	if (!OidIsValid(own) || !OidIsValid(namesake))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the operator class of index \"%s\" has no counterpart of method %s",
						get_rel_name(index), OidIsValid(own) ? "btree" : KEYS_AM_NAME),
				 errhint("Update the extension: ALTER EXTENSION kyrodb UPDATE.")));
	key = key && KYRO_KEYS_SHOW_BTREE;
	show_class(index, key ? namesake : own);
	set_class_dependencies(index, own, key ? namesake : own);
}

void
keys_mark(Oid index)
{
	set_option(index, true);
	CommandCounterIncrement();
	set_class(index, true);
}

void
keys_unmark(Oid index)
{
	set_option(index, false);
	CommandCounterIncrement();
	set_class(index, false);
}

/* Let an index of another method depend on the operator class that pg_index names, and no other. */
static void
depend_on_shown(Oid index)
{
	Oid			shown = shown_class(index);

	set_class_dependencies(index, shown, shown);
}

/* Is it the index of REPLICA IDENTITY?  A subscriber before PostgreSQL 18 looks for its operators as foreign keys do. */
static bool
is_identity(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	result = ((Form_pg_index) GETSTRUCT(tuple))->indisreplident;
	ReleaseSysCache(tuple);
	return result;
}

void
keys_settle(Oid index)
{
	if (!keys_is_ours(index))
		depend_on_shown(index);
	else if (keys_is_key(index))
		keys_mark(index);
	else
	{
		set_option(index, false);
		CommandCounterIncrement();
		set_class(index, is_identity(index));
	}
}

List *
keys_indexes(Oid relid)
{
	Relation	table = table_open(relid, NoLock);
	List	   *indexes = list_copy(RelationGetIndexList(table));

	table_close(table, NoLock);
	return indexes;
}

void
keys_settle_identity(Oid relid)
{
	ListCell   *lc;

	foreach(lc, keys_indexes(relid))
	{
		Relation	index;
		bool		unique;

		if (!keys_is_ours(lfirst_oid(lc)) || keys_is_key(lfirst_oid(lc)))
			continue;
		index = index_open(lfirst_oid(lc), AccessShareLock);
		unique = index->rd_index->indisunique;
		index_close(index, NoLock);
		if (unique)
			keys_settle(lfirst_oid(lc));
	}
}

void
keys_set_method(Oid index, Oid am)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple;
	Form_pg_class form;
	Oid			type;
	Oid			opclass;

	LockRelationOid(index, ShareUpdateExclusiveLock);
	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(index));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", index);
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_PARTITIONED_INDEX)
		elog(ERROR, "index \"%s\" is not partitioned", NameStr(form->relname));
	if (am == BTREE_AM_OID && has_option(tuple))
	{
		set_option(index, false);
		CommandCounterIncrement();
		heap_freetuple(tuple);
		tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(index));
		form = (Form_pg_class) GETSTRUCT(tuple);
	}
	form->relam = am;
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();

	type = get_opclass_input_type(shown_class(index));
	opclass = GetDefaultOpClass(type, am);
	if (!OidIsValid(opclass))
		elog(ERROR, "type %u has no default operator class of access method %u", type, am);
	show_class(index, opclass);
	keys_settle(index);
	/* plans and lists of indexes are made anew */
	CacheInvalidateRelcacheByRelid(IndexGetRelation(index, false));
	CommandCounterIncrement();
}

void
keys_after_build(Relation heap, Relation index, struct IndexInfo *info)
{
	Oid			indexoid = RelationGetRelid(index);
	Oid			shown,
				own,
				namesake;

	if (!info->ii_Unique)
		return;
	if (index->rd_index->indisprimary || keys_is_key(indexoid))
	{
		keys_mark(indexoid);
		return;
	}

	/*
	 * a copy made by REINDEX CONCURRENTLY shows the class that its model
	 * shows, and depends on that one alone
	 */
	shown = lookup_classes(indexoid, &own, &namesake);
	if (shown == namesake && OidIsValid(own))
		set_class_dependencies(indexoid, own, shown);
}

/* ---- looking at it ---- */

static bool
depends_on_class(Oid index, Oid opclass)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(index));
	scan = systable_beginscan(rel, DependDependerIndexId, true, NULL, 2, keys);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		found = form->refclassid == OperatorClassRelationId && form->refobjid == opclass;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

char *
keys_problem(Oid index)
{
	bool		key = keys_is_key(index);
	Oid			own,
				namesake,
				shown = lookup_classes(index, &own, &namesake),
				expected = (key || is_identity(index)) && KYRO_KEYS_SHOW_BTREE ? namesake : own;
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		option;

	if (!HeapTupleIsValid(tuple))
		return NULL;			/* dropped meanwhile */
	option = has_option(tuple);
	ReleaseSysCache(tuple);

	if (key && !option)
		return psprintf("is the index of a constraint and has no storage parameter %s: a dump would make a btree of it", KEYS_OPTION);
	if (!OidIsValid(own))
		return pstrdup("shows an operator class that is not ours");
	if (!KYRO_KEYS_SHOW_BTREE && shown != own)
		return pstrdup("shows an operator class of another access method");
	if (key && shown != expected)
		return pstrdup("is the index of a constraint and does not show a btree operator class: foreign keys will not find it");
	if (get_rel_relispartition(index) && !keys_is_ours(get_partition_parent(index, true)))
		return pstrdup("is attached to an index of another access method: a dump could not be restored");
	if (!key && is_identity(index) && shown != expected)
		return pstrdup("is the replica identity and does not show a btree operator class: a subscriber will not find rows by it");

	/*
	 * a copy that REINDEX CONCURRENTLY left behind shows the class of a key,
	 * but is none
	 */
	if ((key && !depends_on_class(index, own)) || !depends_on_class(index, shown))
		return pstrdup("does not depend on its operator class: that could be dropped");
	return NULL;
}
