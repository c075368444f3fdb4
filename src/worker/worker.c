/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  A worker of the autopilot: visits one database, does what is due there, and
 *	  ends.
 *
 * IDENTIFICATION
 *	  src/worker/worker.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type_d.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "usage/usage.h"
#include "worker/worker.h"

/* A worker waits for no lock for longer than this. */
#define LOCK_TIMEOUT_MS	1000

PGDLLEXPORT void kyro_worker_main(Datum arg);

/* Handler of SIGTERM: as die(), and remember it for the launcher. */
static void
leave(SIGNAL_ARGS)
{
	worker_was_sent_away = true;
	die(postgres_signal_arg);
}

/* ---- what is due ---- */

/* A column (from 1) of a row (from 0) of the last query's result. */
static Datum
column(int row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

/*
 * Add a task for a row of the last query's result, which has relid, name and why in columns
 * 1 to 3; allocated in cxt.
 */
static WorkerTask *
add_task(MemoryContext cxt, List **tasks, WorkerAction action, int row)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	WorkerTask *task = palloc0(sizeof(WorkerTask));
	bool		null;

	task->action = action;
	task->relid = DatumGetObjectId(column(row, 1, &null));
	task->relation = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2);
	task->why = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 3);
	*tasks = lappend(*tasks, task);
	MemoryContextSwitchTo(old);
	return task;
}

static void
select_rows(const char *query, int nargs, Oid *types, Datum *values)
{
	if (SPI_execute_with_args(query, nargs, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "a query of the autopilot failed");
}

static List *
indexes_to_retrain(MemoryContext cxt, List *tasks)
{
	Oid			types[] = {INT4OID, FLOAT8OID, INT4OID, FLOAT8OID};
	Datum		values[] = {
		Int32GetDatum(kyro_retrain_threshold), Float8GetDatum(kyro_retrain_scale_factor),
		Int32GetDatum(kyro_retrain_misses_threshold), Float8GetDatum(kyro_retrain_misses_scale_factor)
	};

	/* without page splits since training, a new training would not help */
	select_rows("SELECT indexrelid, pg_catalog.format('%I.%I', schemaname, indexrelname),"
				" CASE WHEN splits_since > $1 + $2 * leaves"
				" THEN pg_catalog.format('%s of %s pages split since training', splits_since, leaves)"
				" ELSE pg_catalog.format('%s of %s searches off since training', landings_off_since, searches_since) END"
				" FROM kyro.stat_indexes WHERE state = 'ok' AND (splits_since > $1 + $2 * leaves"
				" OR splits_since > 0 AND landings_off_since > $3 + $4 * searches_since)"
				" ORDER BY splits_since DESC", lengthof(types), types, values);
	for (int row = 0; row < (int) SPI_processed; row++)
		(void) add_task(cxt, &tasks, WORKER_RETRAIN, row);
	return tasks;
}

/* Add the tables that are due by their policies; *next becomes the moment when the next will be. */
static List *
tables_to_seal(MemoryContext cxt, List *tasks, TimestampTz *next)
{
	select_rows("SELECT relid, pg_catalog.format('%I.%I', schemaname, relname),"
				" CASE due WHEN 'rows' THEN pg_catalog.format('%s rows in the log', log_rows)"
				" WHEN 'bytes' THEN pg_catalog.format('%s bytes in the log', log_bytes)"
				" WHEN 'age' THEN pg_catalog.format('rows in the log, %s since the last seal', seal_after) END,"
				" batch, seal_after, due_at FROM kyro.stat_policies"
				" WHERE state = 'ok' AND (due IS NOT NULL OR due_at IS NOT NULL) ORDER BY due_at", 0, NULL, NULL);
	for (int row = 0; row < (int) SPI_processed; row++)
	{
		WorkerTask *task;
		bool		null;
		Datum		datum;

		(void) column(row, 3, &null);
		if (null)
		{
			datum = column(row, 6, &null);
			*next = Min(*next, DatumGetTimestampTz(datum));
			continue;
		}
		task = add_task(cxt, &tasks, WORKER_SEAL, row);
		task->batch = DatumGetInt64(column(row, 4, &null));
		datum = column(row, 5, &null);
		if (!null)
		{
			task->after = MemoryContextAlloc(cxt, sizeof(Interval));
			*task->after = *DatumGetIntervalP(datum);
		}
	}
	return tasks;
}

/* Add the histories whose oldest changes should have been pruned a tenth of their time ago; *next as above. */
static List *
histories_to_prune(MemoryContext cxt, List *tasks, TimestampTz *next)
{
	select_rows("SELECT h.relation, pg_catalog.format('%I.%I', n.nspname, c.relname),"
				" CASE WHEN h.due_at <= pg_catalog.now() THEN pg_catalog.format('changes are kept for %s', h.keep) END, h.due_at"
				" FROM (SELECT *, pruned_at + keep + keep / 10 AS due_at FROM kyro.histories) AS h"
				" JOIN pg_catalog.pg_class c ON c.oid = h.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
				" ORDER BY h.due_at", 0, NULL, NULL);
	for (int row = 0; row < (int) SPI_processed; row++)
	{
		bool		null;

		(void) column(row, 3, &null);
		if (null)
		{
			*next = Min(*next, DatumGetTimestampTz(column(row, 4, &null)));
			break;
		}
		(void) add_task(cxt, &tasks, WORKER_PRUNE, row);
	}
	return tasks;
}

/*
 * Add the tables that it pays to compact, if their policies say so.  What is empty
 * in a log is room for the seals that are due; dead rows are there after them, too.
 */
static List *
tables_to_compact(MemoryContext cxt, List *tasks)
{
	select_rows("SELECT relid, pg_catalog.format('%I.%I', schemaname, relname),"
				" CASE compact_due WHEN 'dead' THEN 'many of its sealed rows are dead' ELSE 'much of its log is empty' END, batch"
				" FROM kyro.stat_policies WHERE state = 'ok' AND compact_due IS NOT NULL AND (due IS NULL OR compact_due = 'dead')", 0, NULL, NULL);
	for (int row = 0; row < (int) SPI_processed; row++)
	{
		WorkerTask *task = add_task(cxt, &tasks, WORKER_COMPACT, row);
		bool		null;

		task->batch = DatumGetInt64(column(row, 4, &null));
	}
	return tasks;
}

/*
 * Is the extension in this database?  If so, locks it, so that it stays until the end of
 * the transaction.  DROP EXTENSION locks the extension first, then its objects.  We
 * must lock in the same order, or there would be deadlocks with users' sessions.
 */
static bool
lock_extension(void)
{
	Oid			extension = get_extension_oid("kyrodb", true);

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return get_extension_oid("kyrodb", true) == extension;
}

/* List what is due, allocated in cxt; false if the extension is not in this database. */
static bool
list_tasks(MemoryContext cxt, bool first, List **tasks, TimestampTz *next)
{
	bool		found;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	found = lock_extension();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (found)
	{
		int			level = NewGUCNestLevel();

		/*
		 * the views warn of what is damaged; that is for users who read them,
		 * not for the server's log at each visit
		 */
		(void) set_config_option("log_min_messages", "error", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		if (first)
			*tasks = worker_list_warm(cxt, *tasks);
		*tasks = indexes_to_retrain(cxt, *tasks);
		*tasks = tables_to_seal(cxt, *tasks, next);
		*tasks = histories_to_prune(cxt, *tasks, next);
		*tasks = tables_to_compact(cxt, *tasks);
		SPI_finish();
		usage_sweep();
		AtEOXact_GUC(false, level);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return found;
}

/* ---- doing it ---- */

static const char *
verb(const WorkerTask *task)
{
	return task->action == WORKER_RETRAIN ? "retraining index" : task->action == WORKER_SEAL ? "sealing table" :
		task->action == WORKER_COMPACT ? "compacting table" :
		task->action == WORKER_WARM ? "warming up" : task->action == WORKER_PRUNE ? "pruning the history of table" : "looking for work";
}

static void
in_task(void *arg)
{
	const WorkerTask *task = (const WorkerTask *) arg;

	if (task->relation != NULL)
		errcontext("kyrodb worker: %s \"%s\"", verb(task), task->relation);
	else
		errcontext("kyrodb worker: %s", verb(task));
}

/* Did a task end to let another session go first?  That is no failure. */
static bool
stepped_back(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* Did it end because its relation was dropped?  Nor is that. */
static bool
is_gone(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNDEFINED_TABLE || error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT;
}

typedef enum Outcome
{
	DONE,
	STEPPED_BACK,
	FAILED
} Outcome;

/* Call f(arg), outside of a transaction; record an error, end its transaction, and go on. */
static Outcome
attempt(MemoryContext cxt, const WorkerTask *task, void (*f) (void *arg), void *arg)
{
	ErrorContextCallback callback = {.callback = in_task, .arg = unconstify(WorkerTask *, task), .previous = error_context_stack};
	volatile Outcome outcome = DONE;

	error_context_stack = &callback;
	PG_TRY();
	{
		f(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		outcome = stepped_back(error) || (task->action != WORKER_VISIT && is_gone(error)) ? STEPPED_BACK : FAILED;
		if (outcome == FAILED)
		{
			EmitErrorReport();
			worker_failed(MyDatabaseId, task, error->message);
		}
		else if (task->action != WORKER_VISIT)
			worker_succeeded(task, stepped_back(error) ? worker_naptimes_later(GetCurrentTimestamp(), 1) : 0, psprintf("stepped back: %s", error->message));
		AbortOutOfAnyTransaction();
		FlushErrorState();
		QueryCancelPending = false;
		MemoryContextReset(PortalContext);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(cxt);
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);
	return outcome;
}

typedef struct Doing
{
	const WorkerTask *task;
	WorkerResult result;
} Doing;

static void
do_it(void *arg)
{
	Doing	   *doing = (Doing *) arg;

	VacuumCostActive = true;
	VacuumCostBalance = 0;
	if (doing->task->action == WORKER_WARM)
		worker_warm(doing->task, &doing->result);
	else
		worker_do(doing->task, &doing->result);
}

/*
 * Is a task put off because the server is busy?  Warming up is not: it is of use only
 * just after the start.
 */
static bool
is_put_off(WorkerTask *task)
{
	char	   *why = task->action == WORKER_WARM ? NULL : worker_server_is_busy();

	if (why == NULL)
		return false;
	task->urgent = !worker_put_off(task, worker_naptimes_later(GetCurrentTimestamp(), 1), psprintf("stepped back: %s", why));
	return !task->urgent;
}

static void
do_task(MemoryContext cxt, WorkerTask *task)
{
	Doing		doing = {.task = task};
	char	   *activity = psprintf("kyrodb: %s %s (%s)", verb(task), task->relation, task->why);
	TimestampTz start;
	long		ms;

	if (is_put_off(task))
		return;
	pgstat_report_activity(STATE_RUNNING, activity);
	start = worker_begin(task);
	if (attempt(cxt, task, do_it, &doing) != DONE)
		return;
	worker_succeeded(task, doing.result.next, doing.result.what);
	ms = TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
	if (kyro_log_min_duration >= 0 && ms >= kyro_log_min_duration)
		ereport(LOG,
				(errmsg("kyrodb worker: %s \"%s\" took %ld ms", verb(task), task->relation, ms),
				 errdetail("Why: %s. Result: %s.", task->why, doing.result.what)));
}

/* ---- the visit ---- */

typedef struct Looking
{
	MemoryContext cxt;
	bool		first;
	List	   *tasks;
	TimestampTz next;
	bool		has_extension;
} Looking;

static void
look_for_tasks(void *arg)
{
	Looking    *l = (Looking *) arg;

	pgstat_report_activity(STATE_RUNNING, "kyrodb: looking for work");
	l->has_extension = list_tasks(l->cxt, l->first, &l->tasks, &l->next);
}

static void
visit(bool first)
{
	MemoryContext cxt = AllocSetContextCreate(TopMemoryContext, "kyrodb worker", ALLOCSET_DEFAULT_SIZES);
	Looking		l = {.cxt = cxt, .first = first, .next = DT_NOEND};
	ListCell   *lc;

	PortalContext = AllocSetContextCreate(cxt, "kyrodb worker portal", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cxt);
	switch (attempt(cxt, &(WorkerTask) {.action = WORKER_VISIT}, look_for_tasks, &l))
	{
		case DONE:
			break;
		case STEPPED_BACK:
			worker_visited(true, worker_naptimes_later(GetCurrentTimestamp(), 1));
			return;
		case FAILED:
			return;
	}
	foreach(lc, l.tasks)
	{
		WorkerTask *task = (WorkerTask *) lfirst(lc);
		TimestampTz not_before = worker_not_before(MyDatabaseId, task);

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (!kyro_autopilot)
			break;
		if (not_before <= GetCurrentTimestamp())
		{
			do_task(cxt, task);
			not_before = worker_not_before(MyDatabaseId, task);
		}
		if (not_before != 0)
			l.next = Min(l.next, not_before);
	}
	worker_visited(l.has_extension, l.next);
}

/* Settings that a worker must not take over from the server, the database or its role. */
static void
set_settings(void)
{
	SetConfigOption("search_path", "", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("zero_damaged_pages", "false", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("ignore_checksum_failure", "false", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "false", PGC_SUSET, PGC_S_OVERRIDE);
	if (LockTimeout == 0 || LockTimeout > LOCK_TIMEOUT_MS)
		SetConfigOption("lock_timeout", CppAsString2(LOCK_TIMEOUT_MS), PGC_SUSET, PGC_S_OVERRIDE);
}

void
kyro_worker_main(Datum arg)
{
	Oid			database;
	bool		first;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, leave);
	BackgroundWorkerUnblockSignals();
	database = worker_attach(DatumGetInt32(arg), &first);
	if (!OidIsValid(database))
		proc_exit(0);

	/*
	 * No lock is needed for this, as we are not in the list of processes yet.
	 * Because of this flag the server cancels us when another session has
	 * waited for a lock of ours for deadlock_timeout, and ends us when
	 * somebody wants to drop or to copy our database.
	 */
	MyProc->statusFlags |= PROC_IS_AUTOVACUUM;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	set_settings();
	visit(first);
	proc_exit(0);
}
