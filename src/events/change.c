/*-------------------------------------------------------------------------
 *
 * change.c
 *	  Recording the changes of tables that keep a history.
 *
 * Triggers write a row for each row that is changed, with the xid of the top
 * transaction, by which it is decided what is visible as of an epoch.
 *
 * IDENTIFICATION
 *	  src/events/change.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/commit_ts.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_note_change);
PG_FUNCTION_INFO_V1(kyro_begin_era);
PG_FUNCTION_INFO_V1(kyro_commit_time);

/* The columns of a table of changes without the offset, see sql/past.sql. */
#define COLUMNS "era, xid, at, \"by\", login, kind"
enum
{
	ERA,
	XID,
	AT,
	BY,
	LOGIN,
	KIND,
	OLD,
	NEW,
	NCOLUMNS
};

static Oid	types[NCOLUMNS] = {INT4OID, XID8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID};

/*
 * A table or partition that a TRUNCATE in progress truncates, and whose rows are recorded.  Allocated
 * in the memory of the statement; when that is freed, in whatever way the statement ends, it is forgotten.
 */
typedef struct Truncation
{
	dlist_node	node;
	MemoryContextCallback end;
	Oid			relid;
	KyroLocator file;			/* when the rows were recorded */
	bool		keeps_file;		/* perhaps: the file is of this transaction */
} Truncation;

static dlist_head truncations = DLIST_STATIC_INIT(truncations);

static void
forget_truncation(void *arg)
{
	dlist_delete(&((Truncation *) arg)->node);
}

/* To be called in the memory context of a trigger, which is a child of that of the statement. */
static void
remember_truncation(Relation rel)
{
	MemoryContext statement = MemoryContextGetParent(CurrentMemoryContext);
	Truncation *t = (Truncation *) MemoryContextAlloc(statement, sizeof(Truncation));

	t->relid = RelationGetRelid(rel);
	t->file = kyro_locator(rel);
	t->keeps_file = rel->rd_createSubid != InvalidSubTransactionId || kyro_new_file_subid(rel) != InvalidSubTransactionId;
	t->end.func = forget_truncation;
	t->end.arg = t;
	dlist_push_head(&truncations, &t->node);
	MemoryContextRegisterResetCallback(statement, &t->end);
}

/*
 * Is the table to be truncated by a statement that has recorded its rows, and fires other triggers before it
 * does so?  What those change in it is not recorded: for the history its rows are gone, as they will be.
 */
static bool
awaits_truncation(Relation rel)
{
	dlist_iter	iter;

	dlist_foreach(iter, &truncations)
	{
		const Truncation *t = dlist_container(Truncation, node, iter.cur);

		if (t->relid != RelationGetRelid(rel) || memcmp(&t->file, &kyro_locator(rel), sizeof(KyroLocator)) != 0)
			continue;
		if (t->keeps_file)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a trigger of TRUNCATE cannot change rows of table \"%s\", which is truncated", RelationGetRelationName(rel)),
					 errdetail("It keeps a history, and was made, truncated or rewritten before in the same transaction.")));
		return true;
	}
	return false;
}

static void
insert_change(EventHistory *h, Datum *values, char *nulls)
{
	int			rc;

	if (h->insert == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(psprintf("INSERT INTO %s (" COLUMNS ", old, new) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
												h->changes_name), NCOLUMNS, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not plan the insertion into %s: %s", h->changes_name, SPI_result_code_string(SPI_result));
		h->insert = plan;
	}
	rc = SPI_execute_snapshot(h->insert, values, nulls, GetActiveSnapshot(), InvalidSnapshot, false, true, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not insert into %s: %s", h->changes_name, SPI_result_code_string(rc));
}

/*
 * Record all rows of a table or partition that is truncated.  Reads with the latest
 * snapshot: rows that an older one does not see are truncated, too.  The table is locked.
 */
static void
insert_all_rows(const EventHistory *h, Relation rel, Datum *values, const char *nulls)
{
	Snapshot	latest;
	SPIPlanPtr	plan;
	int			rc;

	plan = SPI_prepare(psprintf("INSERT INTO %s (" COLUMNS ", old)"
								" SELECT $1, $2, $3, $4, $5, $6, kyro.row_image(x.*) FROM ONLY %s AS x",
								h->changes_name,
								quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel))),
					   KIND + 1, types);
	if (plan == NULL)
		elog(ERROR, "could not plan the insertion into %s: %s", h->changes_name, SPI_result_code_string(SPI_result));
	latest = RegisterSnapshot(GetLatestSnapshot());
	rc = SPI_execute_snapshot(plan, values, nulls, latest, InvalidSnapshot, false, true, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not insert into %s: %s", h->changes_name, SPI_result_code_string(rc));
	UnregisterSnapshot(latest);
}

/*
 * kyro.note_change(), a trigger after INSERT, UPDATE and DELETE of each row, and before
 * TRUNCATE: record the change in the history of the table.
 *
 * Writes as the owner of the history, because a user who may change the table need not be
 * allowed to see what others have changed.  Raises 55000 if the table keeps no history, or if it is
 * not known whether a TRUNCATE in progress has truncated the table yet.
 */
Datum
kyro_note_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	rel;
	EventHistory *h;
	Datum		values[NCOLUMNS] = {0};
	char		nulls[NCOLUMNS];
	Oid			user;
	int			context;
	int			level = 0;
	const char *kind;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!(TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ? TRIGGER_FIRED_AFTER(trigger->tg_event) :
		  TRIGGER_FIRED_BEFORE(trigger->tg_event) && TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("kyro.note_change() is a trigger after changes of each row, or before TRUNCATE")));
	rel = trigger->tg_relation;
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		remember_truncation(rel);
	else if (awaits_truncation(rel))
		return PointerGetDatum(NULL);
	h = event_history(RelationGetRelid(rel), false);
	GetUserIdAndSecContext(&user, &context);

	event_history_hold();
	if (h->pin || TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		level = event_pin_settings();
	memset(nulls, ' ', sizeof(nulls));
	nulls[OLD] = nulls[NEW] = 'n';
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		kind = "INSERT";
		values[NEW] = event_row_image(h, trigger->tg_trigtuple, RelationGetDescr(rel));
		nulls[NEW] = ' ';
	}
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		kind = "TRUNCATE";
	else
	{
		kind = "DELETE";
		values[OLD] = event_row_image(h, trigger->tg_trigtuple, RelationGetDescr(rel));
		nulls[OLD] = ' ';
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		{
			kind = "UPDATE";
			values[NEW] = event_row_image(h, trigger->tg_newtuple, RelationGetDescr(rel));
			nulls[NEW] = ' ';
		}
	}
	values[ERA] = Int32GetDatum(h->era);
	values[XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[BY] = CStringGetTextDatum(GetUserNameFromId(user, false));
	values[LOGIN] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	values[KIND] = CStringGetTextDatum(kind);

	SetUserIdAndSecContext(h->owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	SPI_connect();
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		insert_all_rows(h, rel, values, nulls);
	else
		insert_change(h, values, nulls);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	if (level != 0)
		AtEOXact_GUC(true, level);
	event_history_release();
	return PointerGetDatum(NULL);
}

/*
 * kyro.begin_era(), a trigger before INSERT on kyro.era.  Only a restore inserts there: the
 * era of the database that was dumped.  The next era is inserted instead, because xids of
 * the old one mean nothing here.
 */
Datum
kyro_begin_era(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			columns[2] = {1, 2};
	Datum		values[2];
	bool		nulls[2] = {false, false};
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("kyro.begin_era() is a trigger before INSERT of each row")));
	desc = RelationGetDescr(trigger->tg_relation);
	values[0] = Int32GetDatum(DatumGetInt32(heap_getattr(trigger->tg_trigtuple, 1, desc, &isnull)) + 1);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	CacheInvalidateRelcache(trigger->tg_relation);	/* sessions have cached
													 * the era */
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_trigtuple, desc, 2, columns, values, nulls));
}

/*
 * kyro.commit_time(xid xid8) returns timestamptz: when a transaction, whose changes are
 * visible, has committed; infinity for the current one.  Raises 55000 if that is not known.
 */
Datum
kyro_commit_time(PG_FUNCTION_ARGS)
{
	FullTransactionId xid = PG_GETARG_FULLTRANSACTIONID(0);
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	TimestampTz at;

	if (FullTransactionIdEquals(xid, GetTopFullTransactionIdIfAny()))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	if (U64FromFullTransactionId(xid) < next && next - U64FromFullTransactionId(xid) < (UINT64CONST(1) << 31) &&
		track_commit_timestamp && TransactionIdGetCommitTsData(XidFromFullTransactionId(xid), &at, NULL))
		PG_RETURN_TIMESTAMPTZ(at);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("it is not known when transaction " UINT64_FORMAT " was committed", U64FromFullTransactionId(xid)),
			 errhint("Make sure the configuration parameter track_commit_timestamp is set, or make epochs and use those.")));
	return (Datum) 0;			/* keep compiler quiet */
}
