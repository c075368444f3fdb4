/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  Commands that define tables and indexes: what is to be done before and
 *	  after, and what is to be said if they fail.
 *
 * ALTER TABLE may need help to find the target of a foreign key
 * (foreign_key.c).  CREATE INDEX ... USING kyro_rmi finds our operator classes
 * by their bare names, which are btree's, though their schema is not in
 * search_path; and hears which types there are if it wants another one.  REFRESH
 * MATERIALIZED VIEW CONCURRENTLY hears what index it wants (refresh.c).
 *
 * We see commands through a hook.  Where the library was not there before the
 * command, event triggers of the extension come instead, but those do not see
 * commands that are parts of others, nor the end of one that fails, nor restores
 * by pg_upgrade, which makes event triggers last.  So both are needed.
 *
 * IDENTIFICATION
 *	  src/hooks/ddl.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "tcop/utility.h"
#include "utils/syscache.h"

#include "compat.h"
#include "hooks/hooks.h"
#include "keys/keys.h"

#define AM_NAME			"kyro_rmi"
#define SCHEMA_NAME		"kyro"

static ProcessUtility_hook_type prev_ProcessUtility = NULL;

/* Commands that the hook has seen and that are not done: event triggers leave those alone. */
static int	hook_depth = 0;

/* --- CREATE INDEX ... USING kyro_rmi --------------------------------------- */

/* Is there no such operator class in search_path, but one of ours? */
static bool
means_our_opclass(const char *name, Oid am)
{
	Oid			schema = get_namespace_oid(SCHEMA_NAME, true);

	return !OidIsValid(OpclassnameGetOpcid(am, name)) && OidIsValid(schema) &&
		SearchSysCacheExists3(CLAAMNAMENSP, ObjectIdGetDatum(am), CStringGetDatum(name), ObjectIdGetDatum(schema));
}

/*
 * Put the schema before bare names of our operator classes.  Returns pstmt, or
 * a changed copy.
 */
static PlannedStmt *
qualify_opclasses(PlannedStmt *pstmt)
{
	Oid			am = get_index_am_oid(AM_NAME, true);
	bool		copied = false;

	if (!OidIsValid(am))
		return pstmt;
	for (int i = 0; i < list_length(((IndexStmt *) pstmt->utilityStmt)->indexParams); i++)
	{
		IndexElem  *elem = list_nth(((IndexStmt *) pstmt->utilityStmt)->indexParams, i);

		if (list_length(elem->opclass) != 1 || !means_our_opclass(strVal(linitial(elem->opclass)), am))
			continue;
		if (!copied)
		{
			pstmt = copyObject(pstmt);
			elem = list_nth(((IndexStmt *) pstmt->utilityStmt)->indexParams, i);
			copied = true;
		}
		elem->opclass = lcons(makeString(pstrdup(SCHEMA_NAME)), elem->opclass);
	}
	return pstmt;
}

static void
explain_types(void)
{
	if (geterrcode() == ERRCODE_UNDEFINED_OBJECT &&
		kyro_error_is("data type %s has no default operator class for access method \"%s\""))
		errhint("kyro_rmi indexes columns and expressions of type bigint, integer, smallint, timestamp with time zone, "
				"timestamp without time zone, or date. A cast to one of them makes an expression, as in ((id::bigint)).");
}

/* --- the hook ---------------------------------------------------------------- */

static void
explain_error(void *arg)
{
	explain_types();
	kyro_foreign_key_explain();
}

static void
run_command(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_ProcessUtility)
		prev_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

/* The same, with event triggers left out. */
static void
run_command_hooked(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				   ProcessUtilityContext context, ParamListInfo params,
				   QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	hook_depth++;
	PG_TRY();
	{
		run_command(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	}
	PG_FINALLY();
	{
		hook_depth--;
	}
	PG_END_TRY();
}

static bool
makes_our_index(Node *command)
{
	const char *am = IsA(command, IndexStmt) ? ((IndexStmt *) command)->accessMethod : NULL;

	return am != NULL && strcmp(am, AM_NAME) == 0;
}

static void
refresh(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		ProcessUtilityContext context, ParamListInfo params,
		QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	char	   *index = kyro_refresh_candidate((RefreshMatViewStmt *) pstmt->utilityStmt);
	ErrorContextCallback callback;

	if (index != NULL)
	{
		callback.callback = kyro_refresh_explain;
		callback.arg = index;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
	}
	run_command(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	if (index != NULL)
		error_context_stack = callback.previous;
}

static void
kyro_ProcessUtility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
					ProcessUtilityContext context, ParamListInfo params,
					QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *command = pstmt->utilityStmt;
	ErrorContextCallback callback;

	if (KYRO_KEYS_SHOW_BTREE && IsA(command, RefreshMatViewStmt))
	{
		refresh(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}
	if (!IsA(command, AlterTableStmt) && !makes_our_index(command))
	{
		run_command(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}

	callback.callback = explain_error;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (IsA(command, AlterTableStmt))
	{
		int			before = kyro_foreign_key_begin((AlterTableStmt *) command);

		run_command_hooked(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		kyro_foreign_key_end(before);
	}
	else
		run_command(qualify_opclasses(pstmt), queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	error_context_stack = callback.previous;
}

void
kyro_ddl_init(void)
{
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = kyro_ProcessUtility;
}

/* --- the event triggers ------------------------------------------------------ */

static Node *
triggering_command(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s can only be called by an event trigger", function)));
	return ((EventTriggerData *) fcinfo->context)->parsetree;
}

PG_FUNCTION_INFO_V1(kyro_before_ddl);

/*
 * kyro.before_ddl(): for ddl_command_start of CREATE TABLE and ALTER TABLE.  In
 * the first case loading the library is all, as foreign keys are added by
 * commands of their own.
 */
Datum
kyro_before_ddl(PG_FUNCTION_ARGS)
{
	Node	   *command = triggering_command(fcinfo, "kyro.before_ddl()");

	if (hook_depth == 0 && IsA(command, AlterTableStmt))
		(void) kyro_foreign_key_begin((AlterTableStmt *) command);
	PG_RETURN_NULL();
}

PG_FUNCTION_INFO_V1(kyro_after_ddl);

/* kyro.after_ddl(): for ddl_command_end. */
Datum
kyro_after_ddl(PG_FUNCTION_ARGS)
{
	Node	   *command = triggering_command(fcinfo, "kyro.after_ddl()");

	if (hook_depth == 0)
	{
		kyro_foreign_key_end(0);
		if (IsA(command, AlterTableStmt))
			keys_after_alter((AlterTableStmt *) command);
	}
	PG_RETURN_NULL();
}
