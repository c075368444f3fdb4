/*-------------------------------------------------------------------------
 *
 * append.c
 *	  kyro.append(): append one event, or the event of a request once.
 *
 * Written in C so that the statements of each log are planned once in a session.  They
 * run as the caller, so privileges, row security and triggers work as for INSERT.  A log
 * that has nothing of the kind is written without a statement, see direct.c.
 *
 * IDENTIFICATION
 *	  src/events/append.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_append);

/* Parameters of statements: $1 payload, $2 key, $3 kind, $4 request_id (EventValue), $5 offset. */
enum
{
	OFFSET = EVENT_VALUES,
	PARAMETERS
};

/* Statements of a log. */
typedef enum Statement
{
	INSERT_EVENT,				/* without a request */
	INSERT_REQUEST,				/* insert the event of a request, unless it is
								 * there; of a partitioned log, the request */
	INSERT_NEW_REQUEST,			/* the same, but look first whether it is
								 * there: if it is, no offset is taken */
	INSERT_NUMBERED,			/* of a partitioned log: insert the event,
								 * with the offset of its request */
	FIND_REQUEST,				/* the offset of a request's event */
	STATEMENTS
} Statement;

StaticAssertDecl((int) STATEMENTS <= EVENT_PLANS, "event_plans() keeps as many");

static const char *const plain[STATEMENTS] = {
	"INSERT INTO %s (payload, key, kind) VALUES ($1, $2, $3) RETURNING \"offset\"",
	"INSERT INTO %s (payload, key, kind, request_id) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING RETURNING \"offset\"",
	"INSERT INTO %1$s (payload, key, kind, request_id) SELECT $1, $2, $3, $4"
	" WHERE NOT EXISTS (SELECT FROM %1$s WHERE request_id OPERATOR(pg_catalog.=) $4)"
	" ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING RETURNING \"offset\"",
	NULL,
	"SELECT \"offset\" FROM %s WHERE request_id OPERATOR(pg_catalog.=) $4",
};

/*
 * A unique index of a partitioned table must include the partition key, so requests of a
 * partitioned log are in a table of their own.
 */
static const char *const partitioned[STATEMENTS] = {
	"INSERT INTO %s (payload, key, kind) VALUES ($1, $2, $3) RETURNING \"offset\"",
	"INSERT INTO %s (request_id) VALUES ($4) ON CONFLICT (request_id) DO NOTHING RETURNING \"offset\"",
	"INSERT INTO %1$s (request_id) SELECT $4"
	" WHERE NOT EXISTS (SELECT FROM %1$s WHERE request_id OPERATOR(pg_catalog.=) $4)"
	" ON CONFLICT (request_id) DO NOTHING RETURNING \"offset\"",
	"INSERT INTO %s (payload, key, kind, request_id, \"offset\") VALUES ($1, $2, $3, $4, $5) RETURNING \"offset\"",
	"SELECT \"offset\" FROM %s WHERE request_id OPERATOR(pg_catalog.=) $4",
};

static SPIPlanPtr
plan_of(SPIPlanPtr *plans, const EventLog *log, Statement statement)
{
	if (plans[statement] == NULL)
	{
		Oid			types[PARAMETERS] = {log->payload_type, INT8OID, TEXTOID, UUIDOID, INT8OID};
		bool		about_requests = statement == INSERT_REQUEST || statement == INSERT_NEW_REQUEST || statement == FIND_REQUEST;
		char	   *target = log->name;
		StringInfoData sql;

		if (log->partitioned && about_requests)
			target = quote_qualified_identifier(get_namespace_name(get_rel_namespace(log->relid)),
												psprintf("%s_requests", get_rel_name(log->relid)));
		initStringInfo(&sql);
		appendStringInfo(&sql, (log->partitioned ? partitioned : plain)[statement], target);
		plans[statement] = event_keep_plan(sql.data, PARAMETERS, types);
	}
	return plans[statement];
}

/* Run a statement; returns the offset that it returns, or 0 if it returns no row. */
static int64
run(SPIPlanPtr *plans, const EventLog *log, Statement statement, Datum *values, const char *nulls)
{
	SPIPlanPtr	plan = plan_of(plans, log, statement);
	int			rc = SPI_execute_plan(plan, values, nulls, false, 0);
	int64		offset = 0;

	if (rc != SPI_OK_SELECT && rc != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not run a statement of event log %s: %s", log->name, SPI_result_code_string(rc));
	if (SPI_processed > 0)
	{
		bool		isnull;

		offset = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	return offset;
}

/*
 * Append the event of a request unless it is there; returns its offset.  See README.md,
 * "One request, one event".
 */
static int64
append_once(SPIPlanPtr *plans, const EventLog *log, Datum *values, char *nulls)
{
	for (int tries = 0; tries < 100; tries++)
	{
		int64		offset;

		CHECK_FOR_INTERRUPTS();

		/*
		 * Look first, except where reading would make this transaction
		 * conflict with every other appender.
		 */
		offset = run(plans, log, tries == 0 && IsolationIsSerializable() ? INSERT_REQUEST : INSERT_NEW_REQUEST, values, nulls);
		if (offset != 0)
		{
			if (log->partitioned)
			{
				values[OFFSET] = Int64GetDatum(offset);
				nulls[OFFSET] = ' ';
				offset = run(plans, log, INSERT_NUMBERED, values, nulls);
			}
			return offset;
		}

		/*
		 * The event is there, or another transaction came first.  If it is
		 * not found, it has been removed in between: try again.
		 */
		offset = run(plans, log, FIND_REQUEST, values, nulls);
		if (offset != 0)
			return offset;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the event of this request in event log %s cannot be seen", log->name),
			 errdetail("Row security hides it.")));
	return 0;					/* keep compiler quiet */
}

/*
 * kyro.append(log text, payload jsonb, key bigint, kind text, request_id uuid) returns
 * bigint; kyro.append_bytes(..., payload bytea, ...).
 *
 * Returns the offset of the event.  If there is an event of that request already,
 * nothing is written.  Locks as INSERT does.  Raises 42P01, 42809 and 42602 for a bad
 * name, 22004 for a NULL name, 23502 for a NULL payload, 42804 if the log has payloads
 * of the other type, 42501 without privileges; and, in a REPEATABLE READ or
 * SERIALIZABLE transaction, 40001 if another transaction has appended the event since
 * its snapshot.
 */
Datum
kyro_append(PG_FUNCTION_ARGS)
{
	Oid			relid = event_log_oid(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	Oid			given = get_fn_expr_argtype(fcinfo->flinfo, 1);
	Datum		values[PARAMETERS] = {0};
	char		nulls[PARAMETERS];
	EventLog	log;
	SPIPlanPtr *plans;
	int64		offset;

	for (int i = 0; i < PARAMETERS; i++)
	{
		nulls[i] = i == OFFSET || PG_ARGISNULL(i + 1) ? 'n' : ' ';
		if (nulls[i] == ' ')
			values[i] = PG_GETARG_DATUM(i + 1);
	}
	offset = event_append_directly(relid, given, values, nulls);
	if (offset != 0)
		PG_RETURN_INT64(offset);

	log = event_log_by_oid(relid);
	if (given != log.payload_type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("event log %s has payloads of type %s", log.name, format_type_be(log.payload_type)),
				 errhint("Use kyro.%s().", log.payload_type == BYTEAOID ? "append_bytes" : "append")));

	SPI_connect();
	plans = event_plans(EVENT_APPEND, relid, log.payload_type, log.name);
	if (nulls[EVENT_REQUEST_ID] == 'n')
		offset = run(plans, &log, INSERT_EVENT, values, nulls);
	else
		offset = append_once(plans, &log, values, nulls);
	SPI_finish();
	if (offset == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("the event was not appended to event log %s", log.name),
				 errdetail("A trigger or rule has left it out.")));
	PG_RETURN_INT64(offset);
}
