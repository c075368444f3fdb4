/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The autopilot's launcher: sends workers to databases where there may be
 *	  something to do.
 *
 * It is not connected to a database, so it does not keep one from being dropped.
 * Every kyro.autopilot_naptime it reads which databases there are, and how many rows
 * were written in each.  If none was written since the last visit, and nothing is due
 * by its age, no worker is sent: so idle databases cost nothing.
 *
 * IDENTIFICATION
 *	  src/worker/launcher.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "usage/usage.h"
#include "worker/worker.h"

/* Seconds until the server starts the launcher again when it has ended. */
#define RESTART			10

/* Naptimes until a database without the extension is visited again. */
#define WITHOUT_EXTENSION	10

/* ... and a database in which nothing was written. */
#define AT_LEAST_EVERY	60

/* What the launcher remembers of a database. */
typedef struct Database
{
	Oid			oid;
	bool		listed;			/* in pg_database at the last look */
	bool		due;			/* a worker should be sent */
	bool		changed;		/* rows were written since the last visit */
	bool		has_extension;
	int			failures;		/* visits in a row that were not completed */
	int64		writes;			/* rows_written() when it became due last */
	TimestampTz visited;		/* when a worker was sent last; 0: never */
	TimestampTz next;			/* when something will be due; DT_NOEND: not
								 * known */
} Database;

static HTAB *databases;

PGDLLEXPORT void kyro_launcher_main(Datum arg);

/* ---- which databases ---- */

/* Rows that were inserted, updated and deleted in a database, by the server's statistics. */
static int64
rows_written(Oid database)
{
	Datum		oid = ObjectIdGetDatum(database);

	return DatumGetInt64(DirectFunctionCall1(pg_stat_get_db_tuples_inserted, oid)) +
		DatumGetInt64(DirectFunctionCall1(pg_stat_get_db_tuples_updated, oid)) +
		DatumGetInt64(DirectFunctionCall1(pg_stat_get_db_tuples_deleted, oid));
}

/* Is it time to visit a database?  writes: its rows_written() now. */
static bool
is_due(const Database *d, int64 writes, TimestampTz now)
{
	int			naptimes;

	if (d->visited == 0 || d->visited > now)
		return true;
	if (d->next != DT_NOEND && d->next <= now)
		return true;
	naptimes = d->failures > 0 ? 1 << Min(d->failures, 6) :
		writes == d->writes ? AT_LEAST_EVERY :
		d->has_extension ? 1 : WITHOUT_EXTENSION;
	/* a little less, or a visit every naptime would become one every other */
	return worker_naptimes_later(d->visited, naptimes) - kyro_autopilot_naptime * USECS_PER_SEC / 4 <= now;
}

static bool
is_listed(Oid database, void *arg)
{
	return hash_search(databases, &database, HASH_FIND, NULL) != NULL;
}

static bool
is_in_list(Oid database, void *arg)
{
	return list_member_oid((List *) arg, database);
}

/* Read which databases there are, and mark those that are due. */
static void
look(void)
{
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS status;
	Database   *d;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *all = NIL;

	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
		d->listed = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool		found;
		int64		writes;

		all = lappend_oid(all, form->oid);
		/* from 15.4 on, -2 means that DROP DATABASE has failed half way */
		if (!form->datallowconn || form->datconnlimit == -2)
			continue;
		d = hash_search(databases, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			memset(d, 0, sizeof(Database));
			d->oid = form->oid;
			d->next = DT_NOEND;
		}
		d->listed = true;
		writes = rows_written(d->oid);
		if (!d->due && is_due(d, writes, now))
		{
			d->due = true;
			d->writes = writes;
		}
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	usage_forget_databases(is_in_list, all);
	CommitTransactionCommand();

	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		if (!d->listed)
			hash_search(databases, &d->oid, HASH_REMOVE, NULL);
	}
	worker_forget_databases(is_listed, NULL);
}

/* ---- workers ---- */

/* Describe a background process, to register it. */
static BackgroundWorker
process(const char *name, const char *function, int restart)
{
	BackgroundWorker p = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = restart,
		.bgw_library_name = "kyrodb"
	};

	strlcpy(p.bgw_name, name, BGW_MAXLEN);
	strlcpy(p.bgw_type, name, BGW_MAXLEN);
	strlcpy(p.bgw_function_name, function, BGW_MAXLEN);
	return p;
}

/* Send a worker to a database; false if there is no room for one. */
static bool
send_worker(Oid database, bool first)
{
	static bool said = false;
	BackgroundWorker worker = process("kyrodb worker", "kyro_worker_main", BGW_NEVER_RESTART);
	int			slot = worker_slot_take(database, first);

	if (slot < 0)
		return false;
	worker.bgw_main_arg = Int32GetDatum(slot);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
	{
		worker_slot_give_back(slot);
		if (!said)
			ereport(LOG,
					(errmsg("no background worker is free for the autopilot of kyrodb"),
					 errhint("You might need to increase max_worker_processes.")));
		said = true;
		return false;
	}
	said = false;
	return true;
}

/* Read how visits have ended. */
static void
reap(void)
{
	WorkerVisit visit;

	while (worker_slot_reap(&visit))
	{
		Database   *d = hash_search(databases, &visit.database, HASH_FIND, NULL);

		if (d == NULL)
			continue;
		if (visit.done)
		{
			d->failures = 0;
			d->has_extension = visit.has_extension;
			d->next = visit.next;
			continue;
		}
		d->next = DT_NOEND;
		if (visit.sent_away)
		{
			d->next = worker_naptimes_later(GetCurrentTimestamp(), 1);
			continue;
		}
		d->failures++;
		if (!visit.told)
			worker_failed(visit.database, &(WorkerTask) {.action = WORKER_VISIT},
						  "the worker ended before it was done; see the log of the server");
	}
}

/*
 * Send workers to databases that are due, as many as may run; first to those that were
 * visited longest ago.
 */
static void
send_workers(void)
{
	while (worker_slots_busy() < Min(kyro_max_workers, WORKER_SLOTS))
	{
		HASH_SEQ_STATUS status;
		Database   *d;
		Database   *longest = NULL;

		hash_seq_init(&status, databases);
		while ((d = hash_seq_search(&status)) != NULL)
		{
			if (d->due && (longest == NULL || d->visited < longest->visited) && !worker_slot_of(d->oid))
				longest = d;
		}
		if (longest == NULL || !send_worker(longest->oid, longest->visited == 0))
			return;
		longest->due = false;
		longest->visited = GetCurrentTimestamp();
		longest->next = DT_NOEND;
	}
}

/* ---- the process ---- */

void
kyro_launcher_main(Datum arg)
{
	TimestampTz next_look;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	databases = hash_create("kyrodb databases", 32,
							&(HASHCTL) {.keysize = sizeof(Oid), .entrysize = sizeof(Database), .hcxt = TopMemoryContext},
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	worker_read_marks(worker_crashed);

	/*
	 * wait a naptime first: if a worker has crashed the server, it might do
	 * so again at once
	 */
	next_look = worker_naptimes_later(GetCurrentTimestamp(), 1);
	while (!ShutdownRequestPending)
	{
		long		timeout = -1;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			next_look = Min(next_look, worker_naptimes_later(GetCurrentTimestamp(), 1));
		}
		reap();
		if (kyro_autopilot)
		{
			TimestampTz now = GetCurrentTimestamp();

			if (next_look <= now)
			{
				look();
				next_look = worker_naptimes_later(now, 1);
			}
			send_workers();
			timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_look);
			pgstat_report_activity(STATE_IDLE, NULL);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	/* not 0, so that the launcher is started again if the server goes on */
	proc_exit(1);
}

void
kyro_worker_init(void)
{
	BackgroundWorker launcher = process("kyrodb launcher", "kyro_launcher_main", RESTART);

	if (!process_shared_preload_libraries_in_progress)
		return;
	worker_board_init();
	/* nothing but pg_upgrade may be at work in its servers */
	if (!IsBinaryUpgrade)
		RegisterBackgroundWorker(&launcher);
}
