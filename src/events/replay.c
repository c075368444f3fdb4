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

/* Receives events from the executor. */
typedef struct Receiver
{
	DestReceiver pub;
	Tuplestorestate *store;		/* NULL: rows are counted only */
	TupleDesc	desc;			/* of the function's result */
	int			columns;		/* of the function's result, the offset first;
								 * the horizon comes after them */
	int64		next;			/* an event with a higher offset leaves a gap */
	uint64		xmin;			/* full xid; all transactions before it have
								 * ended */
} Receiver;

/*
 * May an event be returned?  If there is a gap before it, only if all transactions that
 * could have taken offsets in the gap had ended when the snapshot was taken (E4).
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

/* xmin of the snapshot that the caller reads with, as a full xid. */
static uint64
snapshot_xmin(void)
{
	Datum		snapshot = DirectFunctionCall1(pg_current_snapshot, (Datum) 0);

	return U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, snapshot)));
}

/*
 * Raise 55000 if a subscription writes the log: its apply worker writes events in the
 * order of the publisher's commits, with xids of this server, so their horizons say
 * nothing about gaps.
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

/* The last offset that the log's sequence has given, 0 if none, -1 if it has no sequence. */
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

	/* as its owner: a reader of the log needs no privileges on the sequence */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(seqid);
	fcinfo->args[0].isnull = false;
	last = pg_sequence_last_value(fcinfo);
	SetUserIdAndSecContext(user, context);
	return fcinfo->isnull ? 0 : DatumGetInt64(last);
}

/* Run a query with the caller's snapshot; its rows go to r, `from` is the first offset. */
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
 * kyro.replay_bytes: events with offsets from `from` to `to`, both inclusive, in
 * ascending order, at most `limit`, as the caller's snapshot sees them.  Stops before a
 * gap that a transaction in progress may still fill; so a reader that goes on after the
 * last offset it was given misses nothing.
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

/* Run a query that returns one bigint; false if that is NULL or there is no row. */
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

/* kyro.last_offset(log text) returns bigint: the highest offset that the snapshot sees; NULL: none. */
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
 * kyro.stable_offset(log text) returns bigint: no event with this offset or a lower one
 * is still to come; NULL if there is no such event.  An event whose horizon is not after
 * xmin settles all gaps before it.  After the last such event, events count as long as
 * they leave no gap.
 *
 * Reads backwards the events since the oldest running transaction that has an xid.
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
