/*-------------------------------------------------------------------------
 *
 * offset.c
 *	  Offsets of events and their horizons; numbers of changes of key-value tables.
 *
 * Offset and horizon are made by the default and the generation expression of columns,
 * so INSERT and COPY make events as kyro.append() does.  README.md explains why the
 * order in which they are made matters.
 *
 * IDENTIFICATION
 *	  src/events/offset.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type_d.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "compat.h"
#include "debug_point.h"
#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_next_offset);
PG_FUNCTION_INFO_V1(kyro_event_horizon);
PG_FUNCTION_INFO_V1(kyro_stamp_change);

/*
 * Raise 42501 unless the user may use the sequence, or may insert into the table that
 * owns it: so GRANT INSERT ON the log is all that an appender needs.
 */
static void
check_privilege(Oid seqid)
{
	Oid			user = GetUserId();
	Oid			table;

	if (pg_class_aclcheck(seqid, user, ACL_USAGE) == ACLCHECK_OK)
		return;
	table = event_sequence_table(seqid);
	if (OidIsValid(table) &&
		(pg_class_aclcheck(table, user, ACL_INSERT) == ACLCHECK_OK ||
		 pg_attribute_aclcheck_all(table, user, ACL_INSERT, ACLMASK_ANY) == ACLCHECK_OK))
		return;
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SEQUENCE, get_rel_name(seqid));
}

/*
 * Raise 55000 unless the sequence gives ascending numbers to all sessions in the order
 * in which they ask (E3).  A session that took some in advance could commit an event
 * with an offset that readers have passed long ago.
 */
static void
check_sequence(Oid seqid)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(seqid));
	Form_pg_sequence seq;
	bool		ok;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a sequence", get_rel_name(seqid))));
	seq = (Form_pg_sequence) GETSTRUCT(tuple);
	ok = seq->seqcache == 1 && seq->seqincrement > 0 && !seq->seqcycle;
	ReleaseSysCache(tuple);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence \"%s\" cannot number the events of a log", get_rel_name(seqid)),
				 errdetail("Offsets must ascend, and sessions must not keep some for later."),
				 errhint("Use ALTER SEQUENCE ... INCREMENT BY 1 NO CYCLE CACHE 1.")));
}

/*
 * The next number of a sequence; the transaction gets an xid before that (E1).  Readers begin after 0, and
 * for those who call this, too, it stands for no event.
 */
static int64
next_offset(Oid seqid)
{
	int64		offset;

	check_sequence(seqid);
	(void) GetTopTransactionId();
	offset = nextval_internal(seqid, false);
	if (offset < 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence \"%s\" cannot number the events of a log", get_rel_name(seqid)),
				 errdetail("Offsets are greater than 0, and it has given " INT64_FORMAT ".", offset),
				 errhint("Use ALTER SEQUENCE ... MINVALUE 1 RESTART.")));
	DEBUG_POINT("log-offset-taken");
	event_wake_at_commit(seqid, offset);
	return offset;
}

/* The next offset of a log, for the user.  Raises 42501, 55000 and 2200H. */
int64
event_next_offset(Oid seqid)
{
	check_privilege(seqid);
	return next_offset(seqid);
}

/* kyro.next_offset(sequence regclass) returns bigint: the same. */
Datum
kyro_next_offset(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(event_next_offset(PG_GETARG_OID(0)));
}

/*
 * The event log that keeps the history of a key-value table: <name>_history in the same
 * schema; InvalidOid if there is none.  Raises 42501 if it has another owner.
 */
static Oid
history_of(Relation rel)
{
	Oid			history = get_relname_relid(psprintf("%s_history", RelationGetRelationName(rel)),
											RelationGetNamespace(rel));

	/*
	 * else an owner could name his table so that he takes offsets of another
	 * user's log, or learns about its events
	 */
	if (OidIsValid(history) && !kyro_owns_relation(history, rel->rd_rel->relowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(history));
	return history;
}

/*
 * An insert takes its number before it waits for another transaction that has inserted
 * the same key.  If that one then deletes the key and commits, our row is inserted, but
 * its number is lower than those of the other's changes, and the history would not end
 * with the present value.  Raise 40001 if the history has a later number of the key.
 *
 * Reads with the latest snapshot, as checks of foreign keys do, because that of a
 * REPEATABLE READ transaction may not see the other's changes; and as the owner of the
 * table, because the writer need not be allowed to read the history.
 */
static void
check_not_overtaken(Relation rel, HeapTuple row)
{
	static SPIPlanPtr plan = NULL;	/* of the last table */
	static char *planned = NULL;
	Oid			history = history_of(rel);
	int			column = SPI_fnumber(RelationGetDescr(rel), "key");
	Oid			type = INT8OID;
	Datum		key;
	bool		isnull;
	char	   *sql;
	Snapshot	latest;
	Oid			user;
	int			context;
	int			rc;
	bool		overtaken;

	if (!OidIsValid(history) || column <= 0 || SPI_gettypeid(RelationGetDescr(rel), column) != INT8OID)
		return;
	key = SPI_getbinval(row, RelationGetDescr(rel), column, &isnull);
	if (isnull)
		return;
	sql = psprintf("SELECT FROM %s h WHERE h.key OPERATOR(pg_catalog.=) $1 AND h.\"offset\" OPERATOR(pg_catalog.>)"
				   " (SELECT t.changed_at FROM %s t WHERE t.key OPERATOR(pg_catalog.=) $1) LIMIT 1",
				   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), get_rel_name(history)),
				   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)));

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SPI_connect();
	if (planned == NULL || strcmp(planned, sql) != 0)
	{
		SPIPlanPtr	new_plan = SPI_prepare(sql, 1, &type);

		if (new_plan == NULL || SPI_keepplan(new_plan) != 0)
			elog(ERROR, "could not plan \"%s\": %s", sql, SPI_result_code_string(SPI_result));
		if (planned != NULL)
		{
			SPI_freeplan(plan);
			pfree(planned);
			planned = NULL;
		}
		plan = new_plan;
		planned = MemoryContextStrdup(TopMemoryContext, sql);
	}
	latest = RegisterSnapshot(GetLatestSnapshot());
	rc = SPI_execute_snapshot(plan, &key, NULL, latest, InvalidSnapshot, false, false, 1);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read history: %s", SPI_result_code_string(rc));
	overtaken = SPI_processed > 0;
	UnregisterSnapshot(latest);
	SPI_finish();
	SetUserIdAndSecContext(user, context);

	if (overtaken)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not number a change of table \"%s\" due to concurrent changes of the key", RelationGetRelationName(rel)),
				 errhint("The transaction might succeed if retried.")));
}

/*
 * kyro.stamp_change(), a trigger of each row of a key-value table.  Before INSERT and
 * UPDATE it sets changed_at to the next number of the column's own sequence, or else
 * of the history's.  No privilege on the sequence is needed.  After INSERT and UPDATE it
 * raises 40001 if the history has a later number of the key.
 */
Datum
kyro_stamp_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	Relation	rel;
	Oid			seqid;
	int			column;
	Datum		offset;
	bool		isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || TRIGGER_FIRED_INSTEAD(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("kyro.stamp_change() is a trigger of each row for INSERT or UPDATE")));
	rel = trigger->tg_relation;
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	if (TRIGGER_FIRED_AFTER(trigger->tg_event))
	{
		check_not_overtaken(rel, row);
		return PointerGetDatum(NULL);
	}
	column = SPI_fnumber(RelationGetDescr(rel), "changed_at");
	if (column <= 0 || TupleDescAttr(RelationGetDescr(rel), column - 1)->atttypid != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column changed_at of type bigint", RelationGetRelationName(rel))));
	seqid = event_sequence(RelationGetRelid(rel), "changed_at", true);
	if (!OidIsValid(seqid))
	{
		Oid			history = history_of(rel);

		if (!OidIsValid(history))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("changes of table \"%s\" have neither a sequence nor a history", RelationGetRelationName(rel)),
					 errhint("The event log that has its history must be named \"%s_history\", or column changed_at own a sequence.",
							 RelationGetRelationName(rel))));
		seqid = event_sequence(history, "offset", false);
	}
	offset = Int64GetDatum(next_offset(seqid));
	return PointerGetDatum(heap_modify_tuple_by_cols(row, RelationGetDescr(rel), 1, &column, &offset, &isnull));
}

/*
 * kyro.event_horizon("offset" bigint) returns xid8: the next xid, which no transaction
 * has yet.  The argument is not used; because of it the server calls the function when
 * the offset is known, and not before (E2).
 */
Datum
kyro_event_horizon(PG_FUNCTION_ARGS)
{
	PG_RETURN_FULLTRANSACTIONID(ReadNextFullTransactionId());
}
