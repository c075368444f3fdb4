/*-------------------------------------------------------------------------
 *
 * kv.c
 *	  Functions of key-value tables: get, put, delete, exists, get_many, scan.
 *
 * Each is a statement that runs as the caller, whose plan the session keeps.  The first
 * argument is the name of the table, found by the search_path, or a regclass.  Nothing
 * else depends on the search_path: statements name all that they use.
 *
 * IDENTIFICATION
 *	  src/events/kv.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/tuplestore.h"

#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_kv_get);
PG_FUNCTION_INFO_V1(kyro_kv_get_as_of);
PG_FUNCTION_INFO_V1(kyro_kv_put);
PG_FUNCTION_INFO_V1(kyro_kv_delete);
PG_FUNCTION_INFO_V1(kyro_kv_exists);
PG_FUNCTION_INFO_V1(kyro_kv_get_many);
PG_FUNCTION_INFO_V1(kyro_kv_scan);

#define ROWS_AT_ONCE	1000
#define PARAMETERS		3

typedef enum Statement
{
	GET,
	GET_AS_OF_OFFSET,
	GET_AS_OF_TIME,
	PUT,
	PUT_IF_NONE,
	PUT_IF,
	DELETE,
	DELETE_IF,
	EXISTS,
	GET_MANY,
	SCAN,
	STATEMENTS
} Statement;

StaticAssertDecl((int) STATEMENTS <= EVENT_PLANS, "event_plans() keeps as many");

/*
 * A statement: %1$s is the table, or its history, %2$s the type of its values.  (A
 * text becomes one without modifiers: a cast to varchar(3) cuts what is longer, and it
 * should be refused, as by INSERT.)
 */
static const struct
{
	const char *sql;
	Oid			types[PARAMETERS];
	bool		read_only;
}			statements[STATEMENTS] = {
	[GET] = {"SELECT t.value::pg_catalog.text FROM %1$s t WHERE t.key OPERATOR(pg_catalog.=) $1", {INT8OID}, true},
	[GET_AS_OF_OFFSET] = {"SELECT h.payload OPERATOR(pg_catalog.#>>) '{}' FROM %1$s h"
	" WHERE h.key OPERATOR(pg_catalog.=) $1 AND h.\"offset\" OPERATOR(pg_catalog.<=) $2 ORDER BY h.\"offset\" DESC LIMIT 1", {INT8OID, INT8OID}, true},
	[GET_AS_OF_TIME] = {"SELECT h.payload OPERATOR(pg_catalog.#>>) '{}' FROM %1$s h"
	" WHERE h.key OPERATOR(pg_catalog.=) $1 AND h.at OPERATOR(pg_catalog.<=) $2 ORDER BY h.\"offset\" DESC LIMIT 1", {INT8OID, TIMESTAMPTZOID}, true},
	[PUT] = {"INSERT INTO %1$s AS t (key, value) VALUES ($1, $2::%2$s)"
	" ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING t.changed_at", {INT8OID, TEXTOID}, false},
	[PUT_IF_NONE] = {"INSERT INTO %1$s AS t (key, value) VALUES ($1, $2::%2$s) ON CONFLICT (key) DO NOTHING RETURNING t.changed_at",
	{INT8OID, TEXTOID}, false},
	[PUT_IF] = {"UPDATE %1$s AS t SET value = $2::%2$s"
	" WHERE t.key OPERATOR(pg_catalog.=) $1 AND t.changed_at OPERATOR(pg_catalog.=) $3 RETURNING t.changed_at", {INT8OID, TEXTOID, INT8OID}, false},
	[DELETE] = {"DELETE FROM %1$s t WHERE t.key OPERATOR(pg_catalog.=) $1", {INT8OID}, false},
	[DELETE_IF] = {"DELETE FROM %1$s t WHERE t.key OPERATOR(pg_catalog.=) $1 AND t.changed_at OPERATOR(pg_catalog.=) $2", {INT8OID, INT8OID}, false},
	[EXISTS] = {"SELECT EXISTS (SELECT FROM %1$s t WHERE t.key OPERATOR(pg_catalog.=) $1)", {INT8OID}, true},
	[GET_MANY] = {"SELECT t.key, t.value::pg_catalog.text, t.changed_at FROM %1$s t WHERE t.key OPERATOR(pg_catalog.=) ANY ($1) ORDER BY t.key",
	{INT8ARRAYOID}, true},
	[SCAN] = {"SELECT t.key, t.value::pg_catalog.text, t.changed_at FROM %1$s t"
	" WHERE t.key OPERATOR(pg_catalog.>=) $1 AND t.key OPERATOR(pg_catalog.<=) $2 ORDER BY t.key LIMIT $3", {INT8OID, INT8OID, INT8OID}, true},
};

/* The table that is the first argument, and the type of its values. */
static Oid
table_of(FunctionCallInfo fcinfo, Oid *type)
{
	Oid			relid;
	char		generated;
	char	   *name;

	if (get_fn_expr_argtype(fcinfo->flinfo, 0) == TEXTOID)
		relid = event_kv_oid(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	else if (PG_ARGISNULL(0))
		relid = event_kv_oid(NULL);
	else
		relid = PG_GETARG_OID(0);
	*type = event_column_type(relid, "value", &generated);
	if (OidIsValid(*type) && event_column_type(relid, "key", &generated) == INT8OID &&
		event_column_type(relid, "changed_at", &generated) == INT8OID)
		return relid;
	name = get_rel_name(relid);
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a key-value table", name != NULL ? name : psprintf("%u", relid)),
			 errhint("Key-value tables are made by kyro.create_kv().")));
	return InvalidOid;			/* keep compiler quiet */
}

/* The name of a relation, which is not locked, and may have been dropped meanwhile. */
static char *
qualified_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

/* A type, as SQL writes it. */
static char *
type_name(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* The plan of a statement; in SPI.  target: the table, or its history. */
static SPIPlanPtr
plan_of(Oid relid, Oid type, Statement statement, Oid target)
{
	char	   *name = qualified_name(relid);
	SPIPlanPtr *plans;

	/* types of users can be renamed, too */
	if (type >= FirstNormalObjectId)
		name = psprintf("%s %s", name, type_name(type));
	plans = event_plans(EVENT_KV, relid, type, name);

	if (plans[statement] == NULL)
	{
		StringInfoData sql;
		Oid			types[PARAMETERS];
		int			n = 0;

		while (n < PARAMETERS && OidIsValid(statements[statement].types[n]))
		{
			types[n] = statements[statement].types[n];
			n++;
		}
		initStringInfo(&sql);
		appendStringInfo(&sql, statements[statement].sql, qualified_name(target), type_name(type));
		plans[statement] = event_keep_plan(sql.data, n, types);
	}
	return plans[statement];
}

/*
 * Run a statement.  Returns the first column of its first row, in the current context, and sets isnull, also
 * if it has no row.  rows: if not a null pointer, set to the number of rows.
 */
static Datum
run(Oid relid, Oid type, Statement statement, Oid target, Datum *values, const char *nulls, bool *isnull, uint64 *rows)
{
	SPIPlanPtr	plan;
	Datum		result = (Datum) 0;
	int			rc;

	SPI_connect();
	plan = plan_of(relid, type, statement, target);
	rc = SPI_execute_plan(plan, values, nulls, statements[statement].read_only, statements[statement].read_only ? 1 : 0);
	if (rc < 0)
		elog(ERROR, "could not run a statement of key-value table %s: %s", qualified_name(relid), SPI_result_code_string(rc));
	if (rows != NULL)
		*rows = SPI_processed;
	*isnull = true;
	if (SPI_processed > 0 && SPI_tuptable != NULL)
	{
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Form_pg_attribute att = TupleDescAttr(desc, 0);

		result = SPI_getbinval(SPI_tuptable->vals[0], desc, 1, isnull);
		if (!*isnull)
			result = SPI_datumTransfer(result, att->attbyval, att->attlen);
	}
	SPI_finish();
	return result;
}

/* Set parameters of a statement from arguments, from the second one of the function on. */
static void
parameters(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	for (int i = 0; i < PARAMETERS; i++)
	{
		bool		given = i + 1 < PG_NARGS() && !PG_ARGISNULL(i + 1);

		nulls[i] = given ? ' ' : 'n';
		values[i] = given ? PG_GETARG_DATUM(i + 1) : (Datum) 0;
	}
}

/* Return all rows of a statement. */
static Datum
return_rows(FunctionCallInfo fcinfo, Oid relid, Oid type, Statement statement, Datum *values, const char *nulls)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Portal		portal;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	portal = SPI_cursor_open(NULL, plan_of(relid, type, statement, relid), values, nulls, true);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_ONCE);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	return (Datum) 0;
}

/* The one row of a statement, or NULL. */
static Datum
return_first(FunctionCallInfo fcinfo, Statement statement)
{
	Oid			type;
	Oid			relid = table_of(fcinfo, &type);
	Datum		values[PARAMETERS];
	char		nulls[PARAMETERS];
	Datum		result;
	bool		isnull;

	parameters(fcinfo, values, nulls);
	result = run(relid, type, statement, relid, values, nulls, &isnull, NULL);
	if (isnull)
		PG_RETURN_NULL();
	return result;
}

/*
 * Functions kyro.NAME(kv text or regclass, ...).  All raise 42P01, 42602, 22004 and 42809 for a wrong table, 42501
 * without privileges, and what their statements do.
 */

/* kyro.get(kv, key bigint) returns text */
Datum
kyro_kv_get(PG_FUNCTION_ARGS)
{
	return return_first(fcinfo, GET);
}

/* kyro.exists(kv, key bigint) returns boolean */
Datum
kyro_kv_exists(PG_FUNCTION_ARGS)
{
	return return_first(fcinfo, EXISTS);
}

/* kyro.put(kv, key bigint, value text, if_offset bigint) returns bigint */
Datum
kyro_kv_put(PG_FUNCTION_ARGS)
{
	return return_first(fcinfo, PG_ARGISNULL(3) ? PUT : PG_GETARG_INT64(3) == 0 ? PUT_IF_NONE : PUT_IF);
}

/* kyro.delete(kv, key bigint, if_offset bigint) returns boolean */
Datum
kyro_kv_delete(PG_FUNCTION_ARGS)
{
	Oid			type;
	Oid			relid = table_of(fcinfo, &type);
	Datum		values[PARAMETERS];
	char		nulls[PARAMETERS];
	bool		isnull;
	uint64		rows;

	parameters(fcinfo, values, nulls);
	(void) run(relid, type, PG_ARGISNULL(2) ? DELETE : DELETE_IF, relid, values, nulls, &isnull, &rows);
	PG_RETURN_BOOL(rows > 0);
}

/* kyro.get_many(kv, keys bigint[]) returns table (key bigint, value text, changed_at bigint) */
Datum
kyro_kv_get_many(PG_FUNCTION_ARGS)
{
	Oid			type;
	Oid			relid = table_of(fcinfo, &type);
	Datum		values[PARAMETERS];
	char		nulls[PARAMETERS];

	parameters(fcinfo, values, nulls);
	return return_rows(fcinfo, relid, type, GET_MANY, values, nulls);
}

/* kyro.scan(kv, "from" bigint, "to" bigint, "limit" bigint) returns the same.  Raises 2201W if limit is negative. */
Datum
kyro_kv_scan(PG_FUNCTION_ARGS)
{
	Oid			type;
	Oid			relid = table_of(fcinfo, &type);
	Datum		values[PARAMETERS];
	char		nulls[PARAMETERS];

	parameters(fcinfo, values, nulls);
	if (nulls[2] == ' ' && DatumGetInt64(values[2]) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
				 errmsg("limit must not be negative")));
	if (nulls[0] == 'n')
		values[0] = Int64GetDatum(PG_INT64_MIN);
	if (nulls[1] == 'n')
		values[1] = Int64GetDatum(PG_INT64_MAX);
	nulls[0] = nulls[1] = ' ';
	return return_rows(fcinfo, relid, type, SCAN, values, nulls);
}

/*
 * The event log with the history of a key-value table.  A table of its name alone may be
 * anybody's: there must be the trigger that writes it.  Raises 55000 if there is none.
 */
static Oid
history_of(Oid relid)
{
	Oid			history = get_relname_relid(psprintf("%s_history", get_rel_name(relid)), get_rel_namespace(relid));
	Oid			writer = LookupFuncName(list_make2(makeString("kyro"), makeString("record_change")), 0, NULL, false);
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		found = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		found = found || rel->trigdesc->triggers[i].tgfoid == writer;
	relation_close(rel, AccessShareLock);
	if (!found || !OidIsValid(history))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("key-value table %s keeps no history", qualified_name(relid)),
				 errhint("Make it with kyro.create_kv(..., history => true).")));
	return history;
}

/* kyro.get(kv, key bigint, as_of bigint or timestamptz) returns text */
Datum
kyro_kv_get_as_of(PG_FUNCTION_ARGS)
{
	Oid			type;
	Oid			relid = table_of(fcinfo, &type);
	Oid			history = history_of(relid);
	Datum		values[PARAMETERS];
	char		nulls[PARAMETERS];
	Datum		result;
	bool		isnull;

	parameters(fcinfo, values, nulls);
	result = run(relid, type, get_fn_expr_argtype(fcinfo->flinfo, 2) == INT8OID ? GET_AS_OF_OFFSET : GET_AS_OF_TIME,
				 history, values, nulls, &isnull, NULL);
	if (isnull)
		PG_RETURN_NULL();
	return result;
}
