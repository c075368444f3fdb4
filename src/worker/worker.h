/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The autopilot: a launcher, and workers that retrain indexes, seal and compact tables, and
 *	  warm up relations.  README.md says how they work together.
 *
 * IDENTIFICATION
 *	  src/worker/worker.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_WORKER_H
#define KYRO_WORKER_H

#include <signal.h>

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/palloc.h"
#include "utils/relcache.h"

/* The largest number of workers; kyro.max_workers cannot be greater. */
#define WORKER_SLOTS	32

/* What is done to a relation. */
typedef enum WorkerAction
{
	WORKER_VISIT,				/* of a database; recorded only if it fails */
	WORKER_RETRAIN,
	WORKER_SEAL,
	WORKER_WARM,
	WORKER_PRUNE,
	WORKER_COMPACT
} WorkerAction;

/* Something that is due in a database. */
typedef struct WorkerTask
{
	WorkerAction action;
	Oid			relid;			/* index or table */
	char	   *relation;		/* its name, for messages */
	char	   *why;			/* it is due, for messages */

	/* of WORKER_SEAL and WORKER_COMPACT */
	int64		batch;			/* rows */
	Interval   *after;			/* age of rows to seal; NULL: any */

	bool		urgent;			/* it was put off for too long, so it is done
								 * even if the server is busy */
} WorkerTask;

/* --- board.c: shared memory ------------------------------------------------------ */

/*
 * From kyro_worker_init(): ask for shared memory.  Everything else of this section
 * needs it, takes its lock, and raises no error.
 */
extern void worker_board_init(void);

/* Is there shared memory, because the library was preloaded? */
extern bool worker_board_exists(void);

/* For the launcher: */

/* The number of workers that run or were asked for. */
extern int	worker_slots_busy(void);

/* Does a database have a worker, or was one asked for? */
extern bool worker_slot_of(Oid database);

/*
 * Take a slot for a worker that is about to be asked for; -1 if all are taken.
 * first: no worker has visited the database since the launcher started.
 */
extern int	worker_slot_take(Oid database, bool first);

/* Free a slot that no worker was started for. */
extern void worker_slot_give_back(int slot);

/* How the visit of a worker has ended. */
typedef struct WorkerVisit
{
	Oid			database;
	bool		done;			/* it was completed */
	bool		told;			/* it was not, and the worker has recorded why */
	bool		sent_away;		/* it was not, because of SIGTERM */
	bool		has_extension;
	TimestampTz next;			/* when something else will be due; DT_NOEND:
								 * not known */
} WorkerVisit;

/*
 * Free the slot of a worker that has ended, or did not start within a minute, and
 * tell how its visit has ended; false if there is none.
 */
extern bool worker_slot_reap(WorkerVisit *visit);

/* For workers: */

/*
 * Take the slot that this worker was started for.  Returns the database to visit, or
 * InvalidOid if the launcher has given up waiting; *first as in worker_slot_take().
 * The slot is left at exit.
 */
extern Oid	worker_attach(int slot, bool *first);

/*
 * The visit was completed.  next: when something will be due by its age, or DT_NOEND.
 * Removes the record of a visit that had failed.
 */
extern void worker_visited(bool has_extension, TimestampTz next);

/* SIGTERM has come.  Set by the signal handler. */
extern volatile sig_atomic_t worker_was_sent_away;

/* Records of tasks: */

/* This worker begins a task: make its record and its mark; returns the time. */
extern TimestampTz worker_begin(const WorkerTask *task);

/*
 * Put a task off until `next` because the server is busy, with the reason as its result;
 * the error and the backoff of a task that has failed are kept.  False if it was put off
 * for kyro.busy_patience already, so that it should be done now.
 */
extern bool worker_put_off(const WorkerTask *task, TimestampTz next, const char *why);

/*
 * The task was done, or need not or cannot be done now: record the result, and remove
 * the mark.  It is not to be tried before `next`; 0: when it is due again.
 */
extern void worker_succeeded(const WorkerTask *task, TimestampTz next, const char *result);

/* The task has failed: record the error, remove the mark, and let the next try wait. */
extern void worker_failed(Oid database, const WorkerTask *task, const char *error);

/* The server crashed during a task that had failed so many times before. */
extern void worker_crashed(Oid database, const WorkerTask *task, int failures);

/* So many times kyro.autopilot_naptime after a moment.  Needs no shared memory. */
extern TimestampTz worker_naptimes_later(TimestampTz moment, int naptimes);

/* When a task may be tried again; 0 if at any time. */
extern TimestampTz worker_not_before(Oid database, const WorkerTask *task);

/* Remove the records of databases that do not exist; exists() may raise no error. */
extern void worker_forget_databases(bool (*exists) (Oid database, void *arg), void *arg);

/* --- mark.c: tasks that crash the server ------------------------------------------------ */

/*
 * The worker of a slot begins a task that has failed so many times.  Raises no error:
 * if the mark cannot be written, there is none.
 */
extern void worker_mark(int slot, Oid database, const WorkerTask *task, int failures);

/* The task has ended, in whatever way: remove its mark. */
extern void worker_unmark(int slot);

/*
 * For each mark that was left when the server ended, call f() with the task and its
 * earlier failures, and remove the mark.  To be called outside of a transaction.
 */
extern void worker_read_marks(void (*f) (Oid database, const WorkerTask *task, int failures));

/* --- busy.c: is the server busy? --------------------------------------------------------- */

/*
 * NULL, or a message that says why the server is busy, allocated in the current memory
 * context.  Takes ProcArrayLock for each active session.  Without track_activities the
 * server never counts as busy.
 */
extern char *worker_server_is_busy(void);

/* --- actions.c: what workers do -------------------------------------------------------- */

/* What came of a task. */
typedef struct WorkerResult
{
	char	   *what;			/* for messages, in the caller's memory
								 * context */
	TimestampTz next;			/* not to be tried again before this; 0: when
								 * it is due again */
} WorkerResult;

/*
 * Retrain an index or seal a table.  Called outside of a transaction; an error may
 * leave one open.
 */
extern void worker_do(const WorkerTask *task, WorkerResult *result);

/*
 * To be called between two steps of work, with no page locked: processes interrupts,
 * and sleeps as kyro.cost_delay and kyro.cost_limit demand.
 */
extern void worker_pause(void);

/* --- warm.c: kyro.autowarm --------------------------------------------------------------- */

/*
 * Add a task to the list, allocated in cxt, for each relation of this database that
 * kyro.autowarm names.  In a transaction.  Raises 42602 if the list has something that
 * is no name.
 */
extern List *worker_list_warm(MemoryContext cxt, List *tasks);

/*
 * Read a relation into shared buffers, until none is free.  As worker_do(); raises
 * 42P01 if the relation does not exist.
 */
extern void worker_warm(const WorkerTask *task, WorkerResult *result);

/* --- launcher.c ------------------------------------------------------------------------ */

/* From _PG_init(): register the launcher, if the library is being preloaded. */
extern void kyro_worker_init(void);

#endif							/* KYRO_WORKER_H */
