/*-------------------------------------------------------------------------
 *
 * board.c
 *	  The shared memory of the autopilot: what its processes tell one another, and
 *	  what kyro.stat_worker shows.
 *
 * A slot belongs to a worker that runs or was asked for, until the launcher has read
 * how its visit has ended.  A record tells what was done last to a relation, with
 * its result or error, and when that may be tried again.  There is room for RECORDS
 * records; the one that ended first makes room for another.  All is empty when the
 * server starts.
 *
 * IDENTIFICATION
 *	  src/worker/board.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "privilege.h"
#include "shmem.h"
#include "worker/worker.h"

#define RECORDS			512
#define NAME_SPACE		(2 * NAMEDATALEN + 8)
#define TEXT_SPACE		200

/* A worker that has not started after so many ms is given up. */
#define START_PATIENCE	60000

/* The longest time, in ms, between two tries of what fails. */
#define LONGEST_BACKOFF	(60 * 60 * 1000)

typedef struct Slot
{
	WorkerVisit visit;			/* database InvalidOid: the slot is free */
	int			pid;			/* 0: not started yet */
	bool		first;			/* see worker_slot_take() */
	bool		ended;			/* the worker has left */
	TimestampTz taken;			/* when the slot was taken */
} Slot;

typedef struct Record
{
	Oid			database;		/* InvalidOid: the record is free */
	Oid			relid;
	WorkerAction action;
	int			pid;			/* of the worker; 0: the task has ended */
	int			failures;		/* in a row, up to now */
	TimestampTz started;
	TimestampTz finished;		/* 0: it runs */
	TimestampTz next;			/* not to be tried before; 0: when it is due */
	TimestampTz put_off;		/* since when it is put off because the server
								 * is busy; 0: it is not */
	char		relation[NAME_SPACE];
	char		why[TEXT_SPACE];
	char		text[TEXT_SPACE];	/* the result, or if failures > 0, the
									 * error */
} Record;

typedef struct Board
{
	Slot		slots[WORKER_SLOTS];
	Record		records[RECORDS];
} Board;

static Board *board;			/* NULL: the library was not preloaded */
static LWLock *board_lock;		/* protects all of it */
static int	my_slot = -1;
volatile sig_atomic_t worker_was_sent_away = false;

PG_FUNCTION_INFO_V1(kyro_worker_records);

static void
request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Board)));
	RequestNamedLWLockTranche("kyrodb:worker", 1);
}

static void
attach(void)
{
	bool		found;

	board = ShmemInitStruct("kyrodb workers", sizeof(Board), &found);
	if (!found)
		memset(board, 0, sizeof(Board));
	board_lock = &(GetNamedLWLockTranche("kyrodb:worker"))->lock;
}

void
worker_board_init(void)
{
	kyro_shmem_add(request, attach);
}

bool
worker_board_exists(void)
{
	return board != NULL;
}

/* Copy a text, cut between two characters if it is too long; NULL: empty.  Raises no error. */
static void
set_text(char *to, const char *text, int space)
{
	int			len = text != NULL ? pg_mbcliplen(text, strlen(text), space - 1) : 0;

	if (len > 0)
		memcpy(to, text, len);
	to[len] = '\0';
}

/* The record of a task, or NULL.  The lock is held. */
static Record *
find_record(Oid database, WorkerAction action, Oid relid)
{
	for (int i = 0; i < RECORDS; i++)
	{
		Record	   *r = &board->records[i];

		if (r->database == database && r->relid == relid && r->action == action)
			return r;
	}
	return NULL;
}

/* ---- slots ---- */

int
worker_slots_busy(void)
{
	int			n = 0;

	LWLockAcquire(board_lock, LW_SHARED);
	for (int i = 0; i < WORKER_SLOTS; i++)
		n += OidIsValid(board->slots[i].visit.database);
	LWLockRelease(board_lock);
	return n;
}

bool
worker_slot_of(Oid database)
{
	bool		found = false;

	LWLockAcquire(board_lock, LW_SHARED);
	for (int i = 0; i < WORKER_SLOTS && !found; i++)
		found = board->slots[i].visit.database == database;
	LWLockRelease(board_lock);
	return found;
}

int
worker_slot_take(Oid database, bool first)
{
	int			slot = -1;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < WORKER_SLOTS && slot < 0; i++)
	{
		if (!OidIsValid(board->slots[i].visit.database))
		{
			board->slots[i] = (Slot) {.visit = (WorkerVisit) {.database = database, .next = DT_NOEND}, .first = first, .taken = GetCurrentTimestamp()};
			slot = i;
		}
	}
	LWLockRelease(board_lock);
	return slot;
}

void
worker_slot_give_back(int slot)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	memset(&board->slots[slot], 0, sizeof(Slot));
	LWLockRelease(board_lock);
}

bool
worker_slot_reap(WorkerVisit *visit)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		found = false;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < WORKER_SLOTS && !found; i++)
	{
		Slot	   *slot = &board->slots[i];

		if (OidIsValid(slot->visit.database) &&
			(slot->ended || (slot->pid == 0 && TimestampDifferenceExceeds(slot->taken, now, START_PATIENCE))))
		{
			*visit = slot->visit;
			memset(slot, 0, sizeof(Slot));
			found = true;
		}
	}
	LWLockRelease(board_lock);
	return found;
}

/* At exit of a worker, for whatever reason: it leaves its slot, and its task ends. */
static void
detach(int code, Datum arg)
{
	worker_unmark(my_slot);
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	board->slots[my_slot].ended = true;
	board->slots[my_slot].visit.sent_away = worker_was_sent_away;
	for (int i = 0; i < RECORDS; i++)
	{
		Record	   *r = &board->records[i];

		if (r->pid == MyProcPid)
		{
			r->pid = 0;
			r->finished = GetCurrentTimestamp();
			set_text(r->text, "stepped back: the worker was ended", TEXT_SPACE);
		}
	}
	LWLockRelease(board_lock);
}

Oid
worker_attach(int slot, bool *first)
{
	Oid			database = InvalidOid;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (slot >= 0 && slot < WORKER_SLOTS && board->slots[slot].pid == 0)
	{
		database = board->slots[slot].visit.database;
		*first = board->slots[slot].first;
		if (OidIsValid(database))
			board->slots[slot].pid = MyProcPid;
	}
	LWLockRelease(board_lock);
	if (OidIsValid(database))
	{
		my_slot = slot;
		before_shmem_exit(detach, (Datum) 0);
	}
	return database;
}

void
worker_visited(bool has_extension, TimestampTz next)
{
	Record	   *failed;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	failed = find_record(MyDatabaseId, WORKER_VISIT, InvalidOid);
	if (failed != NULL)
		memset(failed, 0, sizeof(Record));
	board->slots[my_slot].visit.done = true;
	board->slots[my_slot].visit.has_extension = has_extension;
	board->slots[my_slot].visit.next = next;
	LWLockRelease(board_lock);
}

/* ---- records ---- */

/*
 * The record of a task, made if there is none; if there is no room, it takes the place
 * of the one that ended first.  The lock is held exclusively.
 */
static Record *
get_record(Oid database, const WorkerTask *task)
{
	Record	   *record = find_record(database, task->action, task->relid);

	if (record == NULL)
	{
		for (int i = 0; i < RECORDS; i++)
		{
			Record	   *r = &board->records[i];

			if (!OidIsValid(r->database))
			{
				record = r;
				break;
			}
			if (r->pid == 0 && (record == NULL || r->finished < record->finished))
				record = r;
		}
		memset(record, 0, sizeof(Record));
		record->database = database;
		record->relid = task->relid;
		record->action = task->action;
	}
	set_text(record->relation, task->relation, NAME_SPACE);
	set_text(record->why, task->why, TEXT_SPACE);
	return record;
}

TimestampTz
worker_begin(const WorkerTask *task)
{
	TimestampTz now = GetCurrentTimestamp();
	Record	   *r;
	int			failures;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	r = get_record(MyDatabaseId, task);
	r->pid = MyProcPid;
	r->started = now;
	r->finished = 0;
	r->next = 0;
	r->text[0] = '\0';
	failures = r->failures;
	LWLockRelease(board_lock);
	worker_mark(my_slot, MyDatabaseId, task, failures);
	return now;
}

void
worker_succeeded(const WorkerTask *task, TimestampTz next, const char *result)
{
	Record	   *r;

	worker_unmark(my_slot);
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	r = get_record(MyDatabaseId, task);
	r->pid = 0;
	r->failures = 0;
	r->put_off = 0;
	r->finished = GetCurrentTimestamp();
	r->next = next;
	set_text(r->text, result, TEXT_SPACE);
	LWLockRelease(board_lock);
}

bool
worker_put_off(const WorkerTask *task, TimestampTz next, const char *why)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		put_off;
	Record	   *r;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	r = get_record(MyDatabaseId, task);
	if (r->put_off == 0)
		r->put_off = now;
	put_off = !TimestampDifferenceExceeds(r->put_off, now, kyro_busy_patience * 1000);
	if (put_off)
	{
		r->next = next;
		if (r->failures == 0)
		{
			r->started = r->finished = now;
			set_text(r->text, why, TEXT_SPACE);
		}
	}
	LWLockRelease(board_lock);
	return put_off;
}

TimestampTz
worker_naptimes_later(TimestampTz moment, int naptimes)
{
	return moment + (int64) naptimes * kyro_autopilot_naptime * USECS_PER_SEC;
}

/*
 * Record a failure.  The next try waits 2 naptimes after the first failure, and twice
 * as long after each further one, up to LONGEST_BACKOFF.  The lock is held exclusively.
 */
static void
fail(Record *r, const char *error)
{
	TimestampTz next;

	r->pid = 0;
	r->failures++;
	r->finished = GetCurrentTimestamp();
	if (r->started == 0 || r->action == WORKER_VISIT)
		r->started = r->finished;
	next = worker_naptimes_later(r->finished, 1 << Min(r->failures, 12));
	r->next = Min(next, TimestampTzPlusMilliseconds(r->finished, LONGEST_BACKOFF));
	set_text(r->text, error, TEXT_SPACE);
}

void
worker_failed(Oid database, const WorkerTask *task, const char *error)
{
	if (my_slot >= 0)
		worker_unmark(my_slot);
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	if (my_slot >= 0 && task->action == WORKER_VISIT)
		board->slots[my_slot].visit.told = true;
	fail(get_record(database, task), error);
	LWLockRelease(board_lock);
}

void
worker_crashed(Oid database, const WorkerTask *task, int failures)
{
	Record	   *r;

	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	r = get_record(database, task);
	r->failures = failures;
	fail(r, "the server crashed, or was stopped at once, meanwhile");
	LWLockRelease(board_lock);
}

TimestampTz
worker_not_before(Oid database, const WorkerTask *task)
{
	TimestampTz next = 0;
	Record	   *r;

	LWLockAcquire(board_lock, LW_SHARED);
	r = find_record(database, task->action, task->relid);
	if (r != NULL)
		next = r->next;
	LWLockRelease(board_lock);
	return next;
}

void
worker_forget_databases(bool (*exists) (Oid database, void *arg), void *arg)
{
	LWLockAcquire(board_lock, LW_EXCLUSIVE);
	for (int i = 0; i < RECORDS; i++)
	{
		if (OidIsValid(board->records[i].database) && !exists(board->records[i].database, arg))
			memset(&board->records[i], 0, sizeof(Record));
	}
	LWLockRelease(board_lock);
}

/* ---- SQL ---- */

/* Of an index of this database its table, else the relation itself; InvalidOid if it is gone. */
static Oid
table_of(Oid relid)
{
	char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	return relkind == '\0' ? InvalidOid : relkind == RELKIND_INDEX ? IndexGetRelation(relid, true) : relid;
}

/*
 * kyro.worker_records(): one row for each relation and action.  Members of
 * pg_read_all_stats see all databases.  Others see those tables and indexes of this
 * database about which they may see numbers, and errors, which may hold keys, only if
 * they may see messages about the table (privilege.h).
 */
Datum
kyro_worker_records(PG_FUNCTION_ARGS)
{
	static const char *const actions[] = {
		[WORKER_VISIT] = "visit",
		[WORKER_RETRAIN] = "retrain",
		[WORKER_SEAL] = "seal",
		[WORKER_WARM] = "warm",
		[WORKER_PRUNE] = "prune",
		[WORKER_COMPACT] = "compact"
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	Record	   *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (board == NULL)
		return (Datum) 0;
	copy = palloc(sizeof(board->records));
	LWLockAcquire(board_lock, LW_SHARED);
	memcpy(copy, board->records, sizeof(board->records));
	LWLockRelease(board_lock);
	for (int i = 0; i < RECORDS; i++)
	{
		const Record *r = &copy[i];
		Datum		values[12];
		bool		nulls[12] = {false};
		bool		failed = r->failures > 0 && r->finished != 0;

		if (!OidIsValid(r->database))
			continue;
		if (!all)
		{
			Oid			table = r->database == MyDatabaseId ? table_of(r->relid) : InvalidOid;

			if (!OidIsValid(table) || !kyro_sees_table(GetUserId(), table))
				continue;
			nulls[9] = !kyro_sees_messages(GetUserId(), table);
		}
		values[0] = ObjectIdGetDatum(r->database);
		values[1] = Int32GetDatum(r->pid);
		nulls[1] = r->pid == 0;
		values[2] = ObjectIdGetDatum(r->relid);
		nulls[2] = !OidIsValid(r->relid);
		values[3] = CStringGetTextDatum(r->relation);
		nulls[3] = r->relation[0] == '\0';
		values[4] = CStringGetTextDatum(actions[r->action]);
		values[5] = CStringGetTextDatum(r->why);
		nulls[5] = r->why[0] == '\0';
		values[6] = TimestampTzGetDatum(r->started);
		values[7] = TimestampTzGetDatum(r->finished);
		nulls[7] = r->finished == 0;
		values[8] = values[9] = CStringGetTextDatum(r->text);
		nulls[8] = failed || r->finished == 0;
		nulls[9] = nulls[9] || !failed;
		values[10] = Int32GetDatum(r->failures);
		values[11] = TimestampTzGetDatum(r->next);
		nulls[11] = r->next == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
