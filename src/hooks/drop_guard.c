/*-------------------------------------------------------------------------
 *
 * drop_guard.c
 *	  Do not let kyro tables go with the extension.
 *
 * A table depends on its access method, and that on the extension, so
 * DROP EXTENSION kyrodb CASCADE means: drop all kyro tables with their rows.
 * Nobody who removes an extension wants that, and nothing can bring the rows
 * back.  An event trigger of the extension calls us before the commands that
 * can do it; it is an event trigger, not a hook, so that it works where the
 * library is not preloaded.  It cannot look at what has been dropped (sql_drop),
 * since by then it is gone itself.
 *
 * Indexes are another matter: they can be made again.
 *
 * IDENTIFICATION
 *	  src/hooks/drop_guard.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#define EXTENSION_NAME	"kyrodb"
#define TABLE_AM_NAME	"kyro"

/* The schema and the owner of the extension; false if it is not there. */
static bool
extension_lookup(Oid *schema, Oid *owner)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		*schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
		*owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		found = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Is a name in this list of object names, of DROP? */
static bool
drops_name(List *objects, const char *name)
{
	ListCell   *lc;

	foreach(lc, objects)
	{
		if (strcmp(strVal(lfirst(lc)), name) == 0)
			return true;
	}
	return false;
}

/* May this command take the extension with all that depends on it? */
static bool
drops_extension(Node *command)
{
	Oid			schema,
				owner;
	ListCell   *lc;

	if (!extension_lookup(&schema, &owner))
		return false;

	if (IsA(command, DropStmt))
	{
		DropStmt   *drop = (DropStmt *) command;
		char	   *schema_name;

		if (drop->behavior != DROP_CASCADE)
			return false;
		if (drop->removeType == OBJECT_EXTENSION)
			return drops_name(drop->objects, EXTENSION_NAME);
		schema_name = get_namespace_name(schema);
		return drop->removeType == OBJECT_SCHEMA && schema_name != NULL &&
			drops_name(drop->objects, schema_name);
	}
	if (IsA(command, DropOwnedStmt))
	{
		DropOwnedStmt *drop = (DropOwnedStmt *) command;

		if (drop->behavior != DROP_CASCADE)
			return false;
		foreach(lc, drop->roles)
		{
			if (get_rolespec_oid(lfirst(lc), true) == owner)
				return true;
		}
	}
	return false;
}

/* The number of kyro tables of this database, and the name of one. */
static int
count_tables(char **example)
{
	Oid			am = get_table_am_oid(TABLE_AM_NAME, true);
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	if (!OidIsValid(am))
		return 0;
	rel = table_open(RelationRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		if (form->relam != am || !RELKIND_HAS_STORAGE(form->relkind))
			continue;
		if (n++ == 0)
			*example = quote_qualified_identifier(get_namespace_name(form->relnamespace), NameStr(form->relname));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return n;
}

PG_FUNCTION_INFO_V1(kyro_drop_guard);

/*
 * kyro.drop_guard(): for ddl_command_start.  Raises 2BP01 if the command would
 * drop the extension by CASCADE while there are kyro tables in the database.
 */
Datum
kyro_drop_guard(PG_FUNCTION_ARGS)
{
	char	   *example = NULL;
	int			n;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("kyro.drop_guard() can only be called by an event trigger")));

	if (drops_extension(((EventTriggerData *) fcinfo->context)->parsetree) &&
		(n = count_tables(&example)) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("extension \"%s\" cannot be dropped while there are kyro tables", EXTENSION_NAME),
				 errdetail_plural("%d table would be dropped with all its rows: %s.",
								  "%d tables would be dropped with all their rows, among them %s.",
								  n, n, example),
				 errhint("Turn them into heaps: SELECT * FROM kyro.leave(dry_run => false). Or drop them first, if you do not need them.")));
	PG_RETURN_NULL();
}
