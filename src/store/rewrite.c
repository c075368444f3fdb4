/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *	  A notice before ALTER TABLE unseals rows.
 *
 * ALTER TABLE rewrites a table row by row.  The rows go into a run (load.c), unless
 * kyro.sealed_load is off: then they are all in the log afterwards.  An event trigger
 * of the extension calls kyro.on_rewrite() before each rewrite.
 *
 * IDENTIFICATION
 *	  src/store/rewrite.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "guc.h"
#include "store/store.h"

/* Does the table have sealed rows? */
static bool
is_sealed(Relation rel)
{
	StoreTable *table = store_open(rel);

	for (int i = 0; i < table->nruns; i++)
	{
		if (!store_run_aborted(&table->runs[i]))
			return true;
	}
	return false;
}

PG_FUNCTION_INFO_V1(kyro_on_rewrite);

/*
 * kyro.on_rewrite(): for event table_rewrite.  No notice if the access method of the
 * table changes: then unsealing is what the user wants.
 */
Datum
kyro_on_rewrite(PG_FUNCTION_ARGS)
{
	Relation	rel;
	int			reason;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("kyro.on_rewrite() can only be called by an event trigger")));

	reason = DatumGetInt32(OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_REASON));
	if ((reason & AT_REWRITE_ACCESS_METHOD) || kyro_sealed_load == KYRO_SEALED_LOAD_AUTO)
		PG_RETURN_NULL();

	/* the command has locked it */
	rel = table_open(DatumGetObjectId(OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_OID)), NoLock);
	if (store_is_kyro(rel) && is_sealed(rel))
		ereport(NOTICE,
				(errmsg("sealed rows of table \"%s\" go back to the log as it is written anew",
						RelationGetRelationName(rel)),
				 errhint("SELECT * FROM kyro.snapshot(%s) seals them again.",
						 quote_literal_cstr(quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
																	   RelationGetRelationName(rel))))));
	table_close(rel, NoLock);
	PG_RETURN_NULL();
}
