/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The autopilot: a launcher, and workers that retrain indexes and seal tables.
 *	  README.md says how they work together.
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

/* Workers at most, whatever kyro.max_workers says. */
#define WORKER_SLOTS	32

/* What is done to a relation. */
typedef enum WorkerAction
{
	WORKER_VISIT,				/* of a database; recorded only if it fails */
	WORKER_RETRAIN,
	WORKER_SEAL,
	WORKER_WARM
} WorkerAction;

/* Something that is due in this database. */
typedef struct WorkerTask
{
	WorkerAction action;
	Oid			relid;			/* index or table */
	char	   *relation;		/* its name, for people */
	char	   *why;

	/* of WORKER_SEAL */
	int64		batch;			/* rows */
	Interval   *after;			/* NULL: rows of any age */

	bool		urgent;			/* put off for too long: also while the server
								 * is busy */
} WorkerTask;

/* --- board.c: shared memory ------------------------------------------------------ */

extern void worker_board_init(void);
extern bool worker_board_exists(void);

/* for the launcher */
extern int	worker_slots_busy(void);
extern bool worker_slot_of(Oid database);
extern int	worker_slot_take(Oid database, bool first);
extern void worker_slot_give_back(int slot);

typedef struct WorkerVisit
{
	Oid			database;
	bool		done;			/* it went to its end */
	bool		told;			/* or else, the worker has recorded why */
	bool		sent_away;		/* or somebody has ended it */
	bool		has_extension;
	TimestampTz next;			/* when something else will be due; DT_NOEND:
								 * not known */
} WorkerVisit;

extern bool worker_slot_reap(WorkerVisit *visit);

/* for workers */
extern Oid	worker_attach(int slot, bool *first);
extern void worker_visited(bool has_extension, TimestampTz next);

/* SIGTERM has come. */
extern volatile sig_atomic_t worker_was_sent_away;

/* what was done */
extern TimestampTz worker_begin(const WorkerTask *task);
extern bool worker_put_off(const WorkerTask *task, TimestampTz next, const char *why);
extern void worker_succeeded(const WorkerTask *task, TimestampTz next, const char *result);
extern void worker_failed(Oid database, const WorkerTask *task, const char *error);
extern void worker_crashed(Oid database, const WorkerTask *task, int failures);
extern TimestampTz worker_not_before(Oid database, const WorkerTask *task);
extern void worker_forget_databases(bool (*exists) (Oid database, void *arg), void *arg);

/* --- mark.c ------------------------------------------------------------------------- */

extern void worker_mark(int slot, Oid database, const WorkerTask *task, int failures);
extern void worker_unmark(int slot);
extern void worker_read_marks(void (*f) (Oid database, const WorkerTask *task, int failures));

/* --- busy.c ------------------------------------------------------------------------- */

extern char *worker_server_is_busy(void);

/* --- actions.c ---------------------------------------------------------------------- */

/* What came of a task. */
typedef struct WorkerResult
{
	char	   *what;			/* for people, in the memory of the caller's
								 * task */
	TimestampTz next;			/* not to be tried again before; 0: when it is
								 * due again */
} WorkerResult;

extern void worker_do(const WorkerTask *task, WorkerResult *result);
extern void worker_pause(void);

/* --- warm.c ------------------------------------------------------------------------- */

extern List *worker_list_warm(MemoryContext cxt, List *tasks);
extern void worker_warm(const WorkerTask *task, WorkerResult *result);

/* --- launcher.c ------------------------------------------------------------------------ */

extern void kyro_worker_init(void);

#endif							/* KYRO_WORKER_H */
