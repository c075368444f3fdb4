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

#include "access/htup.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "executor/spi.h"
#include "fmgr.h"

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

/* The table of a name, which is to be a key-value table and may be none.  Raises the same. */
extern Oid	event_kv_oid(text *name);

/* The table of a name, which is to be an event log and may be none.  Raises as event_log_by_name() does but for that. */
extern Oid	event_log_oid(text *name);

/*
 * The type of a table's column, and its attgenerated; InvalidOid if it has no such column.
 */
extern Oid	event_column_type(Oid relid, const char *name, char *generated);

/* Statements about a table of which the session keeps the plans: those of append.c, or of kv.c. */
typedef enum EventStatements
{
	EVENT_APPEND,
	EVENT_KV
} EventStatements;

#define EVENT_PLANS 12

/*
 * An array of EVENT_PLANS plans of a table, for one type of its values, by its qualified name; NULL: to be
 * planned, with event_keep_plan().  Valid until the end of the transaction, although others may take their place.
 */
extern SPIPlanPtr *event_plans(EventStatements statements, Oid relid, Oid type, const char *name);

/* Plan a statement and keep the plan.  In SPI. */
extern SPIPlanPtr event_keep_plan(const char *sql, int nargs, Oid *types);

/* What kyro.append() is given of an event. */
typedef enum EventValue
{
	EVENT_PAYLOAD,
	EVENT_KEY,
	EVENT_KIND,
	EVENT_REQUEST_ID,
	EVENT_VALUES
} EventValue;

/*
 * Append an event without a statement, if that has the same effect.  Arrays are by EventValue; nulls: 'n' if
 * it is NULL.  Returns its offset; or 0 if the statements of append.c must do it: then nothing was
 * inserted.  Locks the table as INSERT does.  Raises 42809 if it is not an event log, and what an INSERT would
 * raise.
 */
extern int64 event_append_directly(Oid relid, Oid payload_type, const Datum *values, const char *nulls);

/* What the default of column "offset" calls: see offset.c. */
extern int64 event_next_offset(Oid seqid);
extern Datum kyro_next_offset(PG_FUNCTION_ARGS);
extern Datum kyro_event_horizon(PG_FUNCTION_ARGS);

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

/* --- histories of tables --------------------------------------------------------- */

/* A column in an image of a row. */
typedef struct EventSlot
{
	AttrNumber	attnum;			/* 0: it was dropped */
	int32		typmod;
	FmgrInfo	out;
	FmgrInfo	in;
	Oid			ioparam;
	bool		no_fill;		/* in images that are older than the column it
								 * is NULL, */
	Datum		fill;			/* or else this text */
} EventSlot;

/* The history of a table, for rows of the table or of one of its partitions. */
typedef struct EventHistory
{
	Oid			root;			/* the table whose history it is */
	Oid			changes;		/* the table that has the changes */
	Oid			owner;			/* of that one */
	char	   *changes_name;	/* qualified and quoted */
	Oid			era_table;
	Oid			histories;		/* kyro.histories */
	int32		era;			/* the present one */
	int32		since_era;		/* it is complete since this era */
	FullTransactionId since;	/* and transaction; invalid: it is not */
	int			nslots;
	EventSlot  *slots;
	bool		has_dropped;	/* some slots are of dropped columns */
	bool		pin;			/* texts depend on settings, which must be
								 * pinned */
	SPIPlanPtr	insert;			/* NULL: not planned yet */
	MemoryContext context;		/* everything of it is allocated here */
} EventHistory;

/*
 * The history of the rows of a table or partition, which is locked.  If there is none,
 * raises 55000, or returns NULL if missing_ok.  Valid until the next call, or, between
 * event_history_hold() and event_history_release(), until the latter.
 */
extern EventHistory *event_history(Oid relid, bool missing_ok);
extern void event_history_hold(void);
extern void event_history_release(void);

/* The image of a row, a text[], allocated in the current context.  Settings must be pinned if h->pin. */
extern Datum event_row_image(EventHistory *h, HeapTuple tuple, TupleDesc desc);

/*
 * Pin the settings on which texts of values depend, whatever the session's are.  Returns
 * the level for AtEOXact_GUC(true, level), which ends it, as the end of the
 * (sub)transaction does.
 */
extern int	event_pin_settings(void);

#endif							/* KYRO_EVENTS_H */
