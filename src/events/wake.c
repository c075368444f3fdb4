/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Notifying subscribers of new events.
 *
 * NOTIFY makes transactions commit one after the other, so it is used only while
 * somebody listens.  A listener holds a lock that conflicts with one that every appender
 * asks for, without waiting, when it commits.  See README.md, "Waking".
 *
 * IDENTIFICATION
 *	  src/events/wake.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/async.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_listen_lock);
PG_FUNCTION_INFO_V1(kyro_listen_unlock);
PG_FUNCTION_INFO_V1(kyro_channel);

#define CHANNEL_FORMAT	"kyro_log_%u"

/* Each of them is compatible with itself, but not with the other. */
#define LISTENER_LOCK	RowExclusiveLock
#define APPENDER_LOCK	ShareLock

/* A log that this transaction has appended to; in TopTransactionContext. */
typedef struct Appended
{
	Oid			seqid;
	int64		offset;			/* the last one taken; its event may have been
								 * rolled back to a savepoint */
} Appended;

static List *appended = NIL;

/* An advisory lock that pg_advisory_lock() cannot take: the fourth field of its locks is 1 or 2. */
static LOCKTAG
listeners_tag(Oid seqid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, seqid, 3);
	return tag;
}

/* Send one notification for a log.  Its offset is a hint: subscribers read the log. */
static void
notify(const Appended *a)
{
	Oid			relid = event_sequence_table(a->seqid);
	char	   *name = OidIsValid(relid) ? get_rel_name(relid) : NULL;
	char	   *channel;
	StringInfoData payload;

	if (name == NULL)			/* dropped in this transaction */
		return;
	channel = psprintf(CHANNEL_FORMAT, relid);
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"log\":");
	escape_json(&payload, quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name));
	appendStringInfo(&payload, ",\"offset\":" INT64_FORMAT "}", a->offset);
	Async_Notify(channel, payload.data);
	pfree(payload.data);
	pfree(channel);
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	ListCell   *lc;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			foreach(lc, appended)
			{
				Appended   *a = (Appended *) lfirst(lc);
				LOCKTAG		tag = listeners_tag(a->seqid);

				/*
				 * If we get the lock, we keep it until the transaction ends:
				 * a listener that comes now waits for us, and then sees our
				 * events.
				 */
				if (kyro_lock_held(&tag, LISTENER_LOCK) ||	/* own locks never
															 * conflict */
					LockAcquire(&tag, APPENDER_LOCK, false, true) == LOCKACQUIRE_NOT_AVAIL)
					notify(a);
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			appended = NIL;
			break;
		default:
			break;
	}
}

void
event_wake_at_commit(Oid seqid, int64 offset)
{
	static bool registered = false;
	MemoryContext old;
	ListCell   *lc;
	Appended   *a;

	if (!registered)
	{
		RegisterXactCallback(at_end_of_transaction, NULL);
		registered = true;
	}
	foreach(lc, appended)
	{
		a = (Appended *) lfirst(lc);
		if (a->seqid == seqid)
		{
			a->offset = offset;
			return;
		}
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	a = (Appended *) palloc(sizeof(Appended));
	a->seqid = seqid;
	a->offset = offset;
	appended = lappend(appended, a);
	MemoryContextSwitchTo(old);
}

/* Raise 42501 unless the user may read the log, and so listen to it. */
static void
check_may_listen(Oid relid)
{
	AclResult	acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, get_rel_name(relid));
}

/* kyro.channel(log regclass) returns text: the NOTIFY channel of a log. */
Datum
kyro_channel(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(CHANNEL_FORMAT, event_log_by_oid(PG_GETARG_OID(0)).relid)));
}

/*
 * kyro.listen_lock(log regclass): make appenders notify, until kyro.listen_unlock() or
 * the end of the session.  Waits for appenders that are committing.
 */
Datum
kyro_listen_lock(PG_FUNCTION_ARGS)
{
	EventLog	log = event_log_by_oid(PG_GETARG_OID(0));
	LOCKTAG		tag;

	check_may_listen(log.relid);
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("a standby cannot wake subscribers"),
				 errhint("Call kyro.replay() from time to time.")));
	tag = listeners_tag(event_sequence(log.relid, "offset", false));
	if (!kyro_lock_held(&tag, LISTENER_LOCK))
		(void) LockAcquire(&tag, LISTENER_LOCK, true, false);
	PG_RETURN_VOID();
}

/* kyro.listen_unlock(log regclass): the opposite of kyro.listen_lock(). */
Datum
kyro_listen_unlock(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag = listeners_tag(event_sequence(event_log_by_oid(PG_GETARG_OID(0)).relid, "offset", false));

	if (kyro_lock_held(&tag, LISTENER_LOCK))
		(void) LockRelease(&tag, LISTENER_LOCK, true);
	PG_RETURN_VOID();
}
