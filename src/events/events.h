/*-------------------------------------------------------------------------
 *
 * events.h
 *	  Event logs: ordinary tables whose events are read in the order of their
 *	  offsets, without missing those that commit late.  See README.md.
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
 * Find the event log of a name, which may be qualified and quoted, by the search_path.
 * Raises 42602 if it is not a name, 42P01 if there is no such table, 42809 if the table
 * is not an event log, 22004 if name is a null pointer.  No lock is taken.
 */
extern EventLog event_log_by_name(text *name);

/* The same by OID; raises 42P01 and 42809. */
extern EventLog event_log_by_oid(Oid relid);

/*
 * The sequence that is owned by a table's column of that name.  If there is none, raises
 * 55000, or returns InvalidOid if missing_ok.
 */
extern Oid	event_sequence(Oid relid, const char *column, bool missing_ok);

/* The table that owns a sequence; InvalidOid if none does. */
extern Oid	event_sequence_table(Oid seqid);

/*
 * If this transaction commits, notify those who listen to the log of that sequence.
 * offset: the last one that was taken.
 */
extern void event_wake_at_commit(Oid seqid, int64 offset);

#endif							/* KYRO_EVENTS_H */
