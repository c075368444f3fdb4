/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  kyro.replay(): events in the order of their offsets, up to the first gap that
 *	  may yet be filled.
 *
 * IDENTIFICATION
 *	  src/events/replay.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "utils/xid8.h"

#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_replay);
PG_FUNCTION_INFO_V1(kyro_last_offset);
PG_FUNCTION_INFO_V1(kyro_stable_offset);

/* Takes the events from the executor. */
typedef struct Receiver
{
	DestReceiver pub;
	Tuplestorestate *store;		/* NULL: rows are counted only */
	TupleDesc	desc;			/* of the function's result */
	int			columns;		/* before the horizon, of which the first is
								 * the offset */
	int64		next;			/* the offset that leaves no gap */
	uint64		xmin;			/* whatever has an xid before it has ended */
} Receiver;

/*
 * The rule of this folder.  An event behind a gap may be handed out only if those
 * who took the offsets in the gap have ended, as our snapshot sees it.
 */
static inline bool
may_follow(int64 next, uint64 xmin, int64 offset, uint64 horizon)
{
	return offset <= next || horizon <= xmin;
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *r = (Receiver *) self;
	int64		offset;
	uint64		horizon;

	slot_getallattrs(slot);
	offset = DatumGetInt64(slot->tts_values[0]);
	horizon = U64FromFullTransactionId(DatumGetFullTransactionId(slot->tts_values[r->columns]));
	if (!may_follow(r->next, r->xmin, offset, horizon))
		return false;			/* no more rows */
	if (r->store != NULL)
		tuplestore_putvalues(r->store, r->desc, slot->tts_values, slot->tts_isnull);
	r->next = offset + 1;
	return true;
}

static void
startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
nothing(DestReceiver *self)
{
}

/* The xid before which all have ended, by the snapshot that the caller reads by. */
static uint64
snapshot_xmin(void)
{
	Datum		snapshot = DirectFunctionCall1(pg_current_snapshot, (Datum) 0);

	return U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, snapshot)));
}

/*
 * The apply worker of a subscription writes events in the order of the publisher's
 * commits, under xids of this server: their horizons say nothing of the gaps.
 */
static void
check_not_subscribed(const EventLog *log)
{
	Relation	rel = table_open(SubscriptionRelRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			target = ((Form_pg_subscription_rel) GETSTRUCT(tuple))->srrelid;

		found = target == log->relid ||
			(log->partitioned && get_rel_relispartition(target) &&
			 list_member_oid(get_partition_ancestors(target), log->relid));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event log %s is written by a subscription", log->name),
				 errdetail("Which events are still to come is known at the publisher only."),
				 errhint("Replay it there, or on a physical standby; or read the table by SQL.")));
}

/* The last offset that was given to anybody, or -1 if that is not known. */
static int64
last_given(Oid relid)
{
	LOCAL_FCINFO(fcinfo, 1);
	Oid			seqid = event_sequence(relid, "offset", true);
	HeapTuple	tuple = OidIsValid(seqid) ? SearchSysCache1(RELOID, ObjectIdGetDatum(seqid)) : NULL;
	Oid			owner;
	Oid			user;
	int			context;
	Datum		last;

	if (!HeapTupleIsValid(tuple))
		return -1;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	/* who may read the log need not have privileges on its sequence */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(seqid);
	fcinfo->args[0].isnull = false;
	last = pg_sequence_last_value(fcinfo);
	SetUserIdAndSecContext(user, context);
	return fcinfo->isnull ? 0 : DatumGetInt64(last);
}

/* Run a query by the caller's snapshot; its rows go to r. */
static void
read_events(const char *sql, Receiver *r, int64 from)
{
	SPIExecuteOptions options;
	int			rc;

	r->pub.receiveSlot = receive;
	r->pub.rStartup = startup;
	r->pub.rShutdown = nothing;
	r->pub.rDestroy = nothing;
	r->pub.mydest = DestTuplestore; /* DestNone would make SPI take it for a
									 * utility command */
	r->next = from;

	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.dest = &r->pub;
	rc = SPI_execute_extended(sql, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read events: %s", SPI_result_code_string(rc));
}

/*
 * kyro.replay(log text, "from" bigint, "to" bigint, "limit" bigint), and
 * kyro.replay_bytes: events from `from` to `to`, both inclusive, in the order of their
 * offsets, at most `limit`, as the caller's snapshot sees them, and none beyond a
 * gap that may be filled by a transaction that has not ended.  So who goes on from
 * the last offset that was returned misses nothing.
 *
 * `from` NULL or 0: from the beginning; `to` and `limit` NULL: no bound.  Locks as SELECT
 * does.  Raises 42P01, 42809 and 42602 for a bad name, 22004 for a NULL name, 22023
 * for a negative offset and one beyond the next to be given, 2201W for a negative
 * limit, 42804 if the payloads are of another type, 42501 without privileges, 55000
 * if a subscription writes the log.
 */
Datum
kyro_replay(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	EventLog	log = event_log_by_name(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	int64		from = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	const char *payload = "payload";
	StringInfoData sql;
	Receiver	r;

	if (from < 0 || (!PG_ARGISNULL(2) && PG_GETARG_INT64(2) < 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offsets of an event log must not be negative")));
	if (!PG_ARGISNULL(3) && PG_GETARG_INT64(3) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
				 errmsg("limit must not be negative")));
	check_not_subscribed(&log);

	InitMaterializedSRF(fcinfo, 0);
	if (TupleDescAttr(rsinfo->setDesc, 4)->atttypid != log.payload_type)
	{
		if (log.payload_type != BYTEAOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("event log %s has payloads of type %s", log.name, format_type_be(log.payload_type)),
					 errhint("Use kyro.replay().")));
		payload = "pg_catalog.to_jsonb(pg_catalog.replace(pg_catalog.encode(payload, 'base64'), E'\\n', ''))";
	}
	r.store = rsinfo->setResult;
	r.desc = rsinfo->setDesc;
	r.columns = r.desc->natts;
	r.xmin = snapshot_xmin();
	from = Max(from, 1);

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT \"offset\", at, key, kind, %s, request_id, horizon FROM %s"
					 " WHERE \"offset\" OPERATOR(pg_catalog.>=) " INT64_FORMAT, payload, log.name, from);
	if (!PG_ARGISNULL(2))
		appendStringInfo(&sql, " AND \"offset\" OPERATOR(pg_catalog.<=) " INT64_FORMAT, PG_GETARG_INT64(2));
	appendStringInfoString(&sql, " ORDER BY \"offset\"");
	if (!PG_ARGISNULL(3))
		appendStringInfo(&sql, " LIMIT " INT64_FORMAT, PG_GETARG_INT64(3));

	SPI_connect();
	read_events(sql.data, &r, from);
	SPI_finish();

	if (r.next == from)
	{
		int64		last = last_given(log.relid);

		if (last >= 0 && from - 1 > last)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("offset " INT64_FORMAT " is beyond the end of event log %s", from, log.name),
					 errdetail("The last offset that was given is " INT64_FORMAT ".", last)));
	}
	return (Datum) 0;
}

/* The result of a query of one bigint; false if it is NULL or there is no row. */
static bool
single(const char *sql, int64 *result)
{
	bool		isnull = true;
	int			rc = SPI_execute(sql, true, 1);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read events: %s", SPI_result_code_string(rc));
	if (SPI_processed > 0)
	{
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			*result = DatumGetInt64(value);
	}
	return !isnull;
}

/* kyro.last_offset(log text) returns bigint: the last event that the caller's snapshot sees; NULL: none. */
Datum
kyro_last_offset(PG_FUNCTION_ARGS)
{
	EventLog	log = event_log_by_name(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	int64		last;
	bool		found;

	SPI_connect();
	found = single(psprintf("SELECT pg_catalog.max(\"offset\") FROM %s", log.name), &last);
	SPI_finish();
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_INT64(last);
}

/*
 * kyro.stable_offset(log text) returns bigint: up to where no event is still to
 * come; NULL if there is no such event.  An event whose horizon is past settles all
 * gaps before it; behind the last such event, only those follow that leave none.
 *
 * Reads the events since the oldest transaction that runs and has an xid, backwards.
 */
Datum
kyro_stable_offset(PG_FUNCTION_ARGS)
{
	EventLog	log = event_log_by_name(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	int64		settled = 0;
	bool		found;
	Receiver	r;

	check_not_subscribed(&log);
	r.store = NULL;
	r.columns = 1;
	r.xmin = snapshot_xmin();
	SPI_connect();
	found = single(psprintf("SELECT \"offset\" FROM %s WHERE horizon OPERATOR(pg_catalog.<=) '" UINT64_FORMAT "'::pg_catalog.xid8"
							" ORDER BY \"offset\" DESC LIMIT 1", log.name, r.xmin), &settled);
	read_events(psprintf("SELECT \"offset\", horizon FROM %s WHERE \"offset\" OPERATOR(pg_catalog.>) " INT64_FORMAT
						 " ORDER BY \"offset\"", log.name, settled), &r, settled + 1);
	SPI_finish();
	if (!found && r.next == 1)
		PG_RETURN_NULL();
	PG_RETURN_INT64(r.next - 1);
}
