/*-------------------------------------------------------------------------
 *
 * foreign_key.c
 *	  Foreign keys find the btree, whatever unique kyro_rmi index is beside it.
 *
 * The target of REFERENCES t(c) is the first valid unique index on c in the
 * order of oids, and if that is no btree the command fails, even if the next
 * one is the primary key.  A restore that makes indexes in parallel can bring
 * that about, as can REINDEX CONCURRENTLY.
 *
 * What the server looks at are rows of pg_index alone, and it passes over
 * indexes that are not valid.  So while a command adds foreign keys, or adds
 * them again because a column's type changes, the unique kyro_rmi indexes on
 * the columns they refer to are marked not valid, and afterwards valid again.
 * Both marks are made by the transaction of the command: nobody else ever
 * sees the first, and if the command fails it is gone with it.
 * The table referred to is locked as the command itself will lock it, after
 * the one that is altered, so no two commands meet at these rows.
 *
 * A foreign key without column names takes the primary key, and one with
 * several columns cannot meet an index of ours.  If a column that others refer
 * to changes its type, its indexes are made anew before the foreign keys are:
 * those of ours that could be taken for the target are marked as soon as they are
 * there.  If such an index is that of CLUSTER ON or the replica identity, that is
 * taken away before and given back at the end, since the server would try to set
 * it again for an index that is not valid.
 *
 * IDENTIFICATION
 *	  src/hooks/foreign_key.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "hooks/hooks.h"
#include "keys/keys.h"
#include "retyped.h"

#define AM_NAME		"kyro_rmi"

/* A column that a foreign key refers to. */
typedef struct Target
{
	Oid			table;
	AttrNumber	column;
} Target;

/* Indexes marked not valid by this transaction. */
static List *hidden = NIL;

/* Tables of which a command makes indexes anew, and then the foreign keys that refer to them. */
static List *hide_new = NIL;

/*
 * CLUSTER ON and REPLICA IDENTITY of such a table, if by an index of ours: the
 * server would set them again while the new index is hidden, and refuses that.
 */
typedef struct Role
{
	Oid			table;
	char	   *index;
	int			flags;			/* KEYS_CLUSTERED, KEYS_IDENTITY */
} Role;

static List *roles = NIL;

static object_access_hook_type prev_object_access = NULL;

static List *
add_target(List *targets, Oid table, AttrNumber column)
{
	Target	   *target = palloc(sizeof(Target));

	target->table = table;
	target->column = column;
	return lappend(targets, target);
}

/* The target of a foreign key that is to be added, if it names one column. */
static List *
add_target_of(List *targets, const Constraint *constraint)
{
	Oid			table;
	AttrNumber	column;

	if (constraint->contype != CONSTR_FOREIGN || list_length(constraint->pk_attrs) != 1)
		return targets;
	table = RangeVarGetRelid(constraint->pktable, NoLock, true);
	if (!OidIsValid(table))
		return targets;
	column = get_attnum(table, strVal(linitial(constraint->pk_attrs)));
	return column > 0 ? add_target(targets, table, column) : targets;
}

/* The targets of foreign keys of a table that have the column on their side. */
static List *
add_targets_of_column(List *targets, Oid table, const char *name)
{
	AttrNumber	column = get_attnum(table, name);
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (column <= 0)
		return targets;
	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
		AttrNumber	own[INDEX_MAX_KEYS],
					other[INDEX_MAX_KEYS];
		int			n;

		if (form->contype != CONSTRAINT_FOREIGN)
			continue;
		DeconstructFkConstraintRow(tuple, &n, own, other, NULL, NULL, NULL, NULL, NULL);
		if (n == 1 && own[0] == column)
			targets = add_target(targets, form->confrelid, other[0]);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return targets;
}

static List *
targets_of_command(const AlterTableStmt *stmt, Oid table)
{
	List	   *targets = NIL;
	ListCell   *lc,
			   *lc2;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_AddConstraint:
				targets = add_target_of(targets, castNode(Constraint, cmd->def));
				break;
			case AT_AddColumn:
				foreach(lc2, castNode(ColumnDef, cmd->def)->constraints)
					targets = add_target_of(targets, lfirst_node(Constraint, lc2));
				break;
			case AT_AlterColumnType:
				/* with the children, which have foreign keys of their own */
				foreach(lc2, kyro_retyped_tables(table, stmt, NoLock))
					targets = add_targets_of_column(targets, lfirst_oid(lc2), cmd->name);
				break;
			default:
				break;
		}
	}
	return targets;
}

/* Is it one of ours, and not that of a constraint (src/keys), which can be a target? */
static bool
is_plain(Oid index, Oid am)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		ours;

	if (!HeapTupleIsValid(tuple))
		return false;
	ours = ((Form_pg_class) GETSTRUCT(tuple))->relam == am;
	ReleaseSysCache(tuple);
	return ours && !OidIsValid(get_index_constraint(index));
}

/* Would the server take this index of ours for the target of a foreign key? */
static bool
in_the_way(HeapTuple tuple, AttrNumber column, Oid am)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

	return form->indisunique && form->indisvalid && form->indimmediate &&
		form->indnkeyatts == 1 && form->indkey.values[0] == column &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
		heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) &&
		is_plain(form->indexrelid, am);
}

static List *
indexes_in_the_way(const Target *target)
{
	Oid			am = get_index_am_oid(AM_NAME, true);
	List	   *indexes = NIL;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (!OidIsValid(am))
		return NIL;
	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(target->table));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (in_the_way(tuple, target->column, am))
			indexes = lappend_oid(indexes, ((Form_pg_index) GETSTRUCT(tuple))->indexrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return indexes;
}

static void
hide(Oid indexoid)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(TopTransactionContext);

	hidden = lappend_oid(hidden, indexoid);
	MemoryContextSwitchTo(oldcontext);
	keys_set_flags(indexoid, KEYS_VALID, false);
}

/*
 * Take away the roles that indexes of ours have for a table, and remember
 * them.  The table is locked exclusively.
 */
static void
take_roles(Oid table)
{
	Oid			am = get_index_am_oid(AM_NAME, true);
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	List	   *found = NIL;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
		MemoryContext oldcontext;
		Role	   *role;

		if (!(keys_flags(form) & (KEYS_CLUSTERED | KEYS_IDENTITY)) || !in_the_way(tuple, form->indkey.values[0], am))
			continue;
		oldcontext = MemoryContextSwitchTo(TopTransactionContext);
		role = palloc(sizeof(Role));
		role->table = table;
		role->index = get_rel_name(form->indexrelid);
		role->flags = keys_flags(form) & (KEYS_CLUSTERED | KEYS_IDENTITY);
		roles = lappend(roles, role);
		MemoryContextSwitchTo(oldcontext);
		found = lappend_oid(found, form->indexrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(lc, found)
		keys_set_flags(lfirst_oid(lc), KEYS_CLUSTERED | KEYS_IDENTITY, false);
}

/* Give the roles back, to the indexes of the same names. */
static void
give_roles(void)
{
	ListCell   *lc;

	foreach(lc, roles)
	{
		Role	   *role = lfirst(lc);
		Oid			index = get_relname_relid(role->index, get_rel_namespace(role->table));

		if (OidIsValid(index))
		{
			keys_set_flags(index, role->flags, true);
			keys_settle(index);
		}
	}
	roles = NIL;
}

/* Does a foreign key refer to this table? */
static bool
is_referred_to(Oid table)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found = false;

	/* no index leads from this side; the server scans the catalog, too */
	ScanKeyInit(&key, Anum_pg_constraint_confrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_FOREIGN;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Has this command just made an index of ours? */
static bool
is_new_index(Oid relid)
{
	Oid			am = get_index_am_oid(AM_NAME, true);
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found = false;

	rel = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		found = form->relkind == RELKIND_INDEX && form->relam == am;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static void
kyro_object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);

	if (hide_new != NIL && access == OAT_POST_CREATE && class == RelationRelationId && sub == 0 && is_new_index(object))
	{
		HeapTuple	tuple;

		/* the server does that next, too */
		CommandCounterIncrement();
		tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(object));
		if (HeapTupleIsValid(tuple))
		{
			Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
			bool		way = (list_member_oid(hide_new, form->indrelid) &&
							   in_the_way(tuple, form->indkey.values[0], get_index_am_oid(AM_NAME, true)));

			ReleaseSysCache(tuple);
			if (way)
				hide(object);
		}
	}
}

int
kyro_foreign_key_begin(const AlterTableStmt *stmt)
{
	int			before = list_length(hidden);
	Oid			table;
	List	   *targets;
	bool		any = false;
	ListCell   *lc,
			   *lc2;

	/* the command itself will say what it may not do */
	if (XactReadOnly || RecoveryInProgress() || IsInParallelMode())
		return before;
	table = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(table) || !kyro_owns_relation(table, GetUserId()))
		return before;

	foreach(lc, stmt->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype != AT_AlterColumnType)
			continue;
		foreach(lc2, kyro_retyped_tables(table, stmt, NoLock))
		{
			MemoryContext oldcontext;

			if (!is_referred_to(lfirst_oid(lc2)))
				continue;
			oldcontext = MemoryContextSwitchTo(TopTransactionContext);
			hide_new = list_append_unique_oid(hide_new, lfirst_oid(lc2));
			MemoryContextSwitchTo(oldcontext);
			/* as the command will */
			LockRelationOid(lfirst_oid(lc2), AccessExclusiveLock);
			take_roles(lfirst_oid(lc2));
		}
	}

	targets = targets_of_command(stmt, table);
	foreach(lc, targets)
		any |= indexes_in_the_way(lfirst(lc)) != NIL;
	if (!any)
		return before;

	LockRelationOid(table, AlterTableGetLockLevel(stmt->cmds));
	foreach(lc, targets)
	{
		Target	   *target = lfirst(lc);

		LockRelationOid(target->table, ShareRowExclusiveLock);
		foreach(lc2, indexes_in_the_way(target))
			hide(lfirst_oid(lc2));
	}
	return before;
}

void
kyro_foreign_key_end(int before)
{
	list_free(hide_new);
	hide_new = NIL;
	while (list_length(hidden) > before)
	{
		keys_set_flags(llast_oid(hidden), KEYS_VALID, true);
		hidden = list_delete_last(hidden);
	}
	give_roles();
}

static void
at_end_of_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		hide_new = NIL;			/* the command has failed */
		roles = NIL;
	}
}

/*
 * At the end of a transaction no index may stay hidden, even if nobody has
 * told us that the command is done.
 */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		kyro_foreign_key_end(0);
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
	{
		hidden = NIL;			/* the memory is the transaction's */
		hide_new = NIL;
		roles = NIL;
	}
}

void
kyro_foreign_key_explain(void)
{
	if (hidden != NIL && geterrcode() == ERRCODE_INVALID_FOREIGN_KEY &&
		kyro_error_is("there is no unique constraint matching given keys for referenced table \"%s\""))
		errhint("A plain unique kyro_rmi index cannot be the target of a foreign key. kyro.adopt_index() makes a constraint of it.");
}

void
kyro_foreign_key_init(void)
{
	RegisterXactCallback(at_end_of_transaction, NULL);
	RegisterSubXactCallback(at_end_of_subtransaction, NULL);
	prev_object_access = object_access_hook;
	object_access_hook = kyro_object_access;
}
