/*-------------------------------------------------------------------------
 *
 * offset.c
 *	  Offsets of events, and their horizons.
 *
 * Both are made by defaults of a log's columns, so that INSERT and COPY make events
 * as kyro.append() does.  README.md argues why their order is what matters.
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
#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "debug_point.h"
#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_next_offset);
PG_FUNCTION_INFO_V1(kyro_event_horizon);

/*
 * Who may write events may number them: the sequence needs no privileges of its
 * own, so that GRANT INSERT ON log is all that an appender wants.
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
 * Numbers must be given in the order in which they are asked for, by all sessions
 * together: a session that took some in advance could commit an event where readers
 * have passed long ago.
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
 * kyro.next_offset(sequence regclass) returns bigint: the next offset of a log.
 * It forces an xid first: I1.
 */
Datum
kyro_next_offset(PG_FUNCTION_ARGS)
{
	Oid			seqid = PG_GETARG_OID(0);
	int64		offset;

	check_sequence(seqid);
	check_privilege(seqid);
	(void) GetTopTransactionId();
	offset = nextval_internal(seqid, false);
	DEBUG_POINT("log-offset-taken");
	event_wake_at_commit(seqid, offset);
	PG_RETURN_INT64(offset);
}

/*
 * kyro.event_horizon("offset" bigint) returns xid8: an xid that has not been given
 * to any transaction yet.  The argument makes the server call it when there is an
 * offset, and not before: I2.
 */
Datum
kyro_event_horizon(PG_FUNCTION_ARGS)
{
	PG_RETURN_FULLTRANSACTIONID(ReadNextFullTransactionId());
}
