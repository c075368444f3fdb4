/*-------------------------------------------------------------------------
 *
 * events.h
 *	  Event logs: ordinary tables whose events are read in the order of their
 *	  offsets, and none is missed that commits late.  See README.md.
 *
 * IDENTIFICATION
 *	  src/events/events.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_EVENTS_H
#define KYRO_EVENTS_H

typedef struct EventLog
{
	Oid			relid;
	Oid			payload_type;	/* of column payload: jsonb or bytea */
	bool		partitioned;
	char	   *name;			/* qualified and quoted */
} EventLog;

/*
 * Find the event log of that name, as SQL writes names of tables, by the
 * search_path.  Raises 42602, 42P01 or 42809 if it is not a name, there is no such
 * table, or it is not an event log; 22004 if the name is NULL (as a null pointer).
 */
extern EventLog event_log_by_name(text *name);

/* The same by OID. */
extern EventLog event_log_by_oid(Oid relid);

/*
 * The sequence that belongs to a table's column of that name, whatever others the
 * table has.  Raises 55000 if there is none, or returns InvalidOid.
 */
extern Oid	event_sequence(Oid relid, const char *column, bool missing_ok);

/* The table whose offsets a sequence numbers; InvalidOid if it belongs to none. */
extern Oid	event_sequence_table(Oid seqid);

/* At the end of this transaction, wake who listens to the log of that sequence, if it commits. */
extern void event_wake_at_commit(Oid seqid, int64 offset);

#endif							/* KYRO_EVENTS_H */
