/*-------------------------------------------------------------------------
 *
 * actions.c
 *	  What a worker does to a relation: retrain an index, seal or compact a table, prune a history.
 *
 * The work is done in steps, between which no page is locked.  After each step the
 * worker sleeps as long as the cost of the pages that it has touched demands, as
 * VACUUM does, and gives up if another session waits for its lock.  It also counts as
 * an autovacuum worker (worker.c), so a session that has waited for its lock for
 * deadlock_timeout cancels it in the middle of a step.
 *
 * IDENTIFICATION
 *	  src/worker/actions.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/commit_ts.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "guc.h"
#include "progress.h"
#include "rmi/kyro_rmi.h"
#include "store/store.h"
#include "worker/worker.h"

/*
 * A seal that has found nothing is not tried again for so many naptimes, nor, if the
 * policy has an age, for one in so many parts of it.
 */
#define NOTHING_NAPTIMES	10
#define NOTHING_PARTS		10

/*
 * As worker_pause().  `arg` is a table that is locked in ShareUpdateExclusive mode, or
 * NULL; raises ERRCODE_LOCK_NOT_AVAILABLE if somebody waits for that lock.
 */
static void
pause_work(void *arg)
{
	Relation	rel = (Relation) arg;

	CHECK_FOR_INTERRUPTS();
	if (rel != NULL && LockHasWaitersRelation(rel, ShareUpdateExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("another session waits for a lock on table \"%s\"", RelationGetRelationName(rel))));
	if (VacuumCostBalance < kyro_cost_limit)
		return;
	if (kyro_cost_delay > 0)
	{
		double		ms = Min(kyro_cost_delay * VacuumCostBalance / kyro_cost_limit, 4 * kyro_cost_delay);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) Max(ms, 1), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	VacuumCostBalance = 0;
}

void
worker_pause(void)
{
	pause_work(NULL);
}

/* ---- indexes ---- */

static void
retrain(const WorkerTask *task, WorkerResult *result)
{
	MemoryContext cxt = CurrentMemoryContext;
	Relation	heap;
	Relation	index;
	RmiRebuilt	rebuilt;
	Oid			table;

	StartTransactionCommand();
	table = IndexGetRelation(task->relid, true);
	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the index was dropped meanwhile")));
	/* do not wait for a VACUUM, or a command that changes the table */
	if (!ConditionalLockRelationOid(table, ShareUpdateExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("its table is locked by another session")));
	index = rmi_open_for_function(task->relid, ShareUpdateExclusiveLock, true, &heap);
	DEBUG_POINT("worker-retrain");
	rmi_rebuild(index, RMI_WHY_AUTOPILOT, pause_work, heap, &rebuilt);
	relation_close(index, NoLock);
	table_close(heap, NoLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	result->what = psprintf("leaves %u, largest error %u", rebuilt.leaves, rebuilt.eps_max);
}

/* ---- tables ---- */

/* Rows may be sealed that were committed before this moment. */
static TimestampTz
moment_before(Interval *age)
{
	if (!track_commit_timestamp)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the policy's seal_after needs to know when rows were committed"),
				 errhint("Make sure the configuration parameter track_commit_timestamp is set.")));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
												   IntervalPGetDatum(age)));
}

/* As CALL kyro.seal: each batch in a transaction of its own, up to where the file ends at first. */
static void
seal(const WorkerTask *task, WorkerResult *result)
{
	MemoryContext cxt = CurrentMemoryContext;
	StoreSeal	what = {.pages = true, .rows = task->batch, .older_than = DT_NOEND, .place = STORE_ANY_PLACE};
	uint64		rows = 0;
	uint64		batches = 0;
	char	   *busy = NULL;

	if (task->after != NULL)
		what.older_than = moment_before(task->after);
	kyro_progress_begin(KYRO_SEAL, task->relid);
	do
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		store_seal_batch(task->relid, &what);
		CommitTransactionCommand();
		MemoryContextSwitchTo(cxt);
		pgstat_report_stat(false);
		rows += what.sealed;
		batches += what.sealed > 0;
		kyro_progress_batches(rows, batches);
		what.from = what.next;
		pause_work(NULL);
		if (what.next != 0 && !task->urgent)
			busy = worker_server_is_busy();
	} while (what.next != 0 && kyro_autopilot && busy == NULL);
	kyro_progress_end();

	result->what = psprintf("sealed " UINT64_FORMAT " rows, batches: " UINT64_FORMAT "%s%s", rows, batches,
							busy != NULL ? "; then stepped back: " : "", busy != NULL ? busy : "");
	if (busy != NULL)
		result->next = worker_naptimes_later(GetCurrentTimestamp(), 1);
	else if (rows == 0)
	{
		TimestampTz now = GetCurrentTimestamp();

		result->next = worker_naptimes_later(now, NOTHING_NAPTIMES);
		if (what.older_than != DT_NOEND)
			result->next = Max(result->next, now + (now - what.older_than) / NOTHING_PARTS);
	}
}

/* ---- histories ---- */

/* Call kyro.prune_history() as the owner of the table. */
static void
prune(const WorkerTask *task, WorkerResult *result)
{
	MemoryContext cxt = CurrentMemoryContext;
	Oid			types[] = {REGCLASSOID};
	Datum		values[] = {ObjectIdGetDatum(task->relid)};
	HeapTuple	tuple;
	Oid			owner;
	Oid			user;
	int			context;
	char	   *deleted;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	LockRelationOid(task->relid, AccessShareLock);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(task->relid));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table was dropped meanwhile")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	if (SPI_execute_with_args("SELECT kyro.prune_history($1)", 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "kyro.prune_history() failed");
	deleted = MemoryContextStrdup(cxt, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	result->what = psprintf("deleted %s changes", deleted);
}

/* ---- compacting ---- */

/* Between two batches, with no lock but that of the session: raise an error if somebody waits for it, else sleep. */
static void
pause_compacting(Oid relid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	CHECK_FOR_INTERRUPTS();
	if (LockHasWaiters(&tag, ShareUpdateExclusiveLock, true))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("another session waits for a lock on table \"%s\"", get_rel_name(relid))));
	VacuumCostActive = true;	/* VACUUM has ended that */
	pause_work(NULL);
}

/*
 * As CALL kyro.compact.  The lock is taken once, outside of the queue, and kept for the session, so that VACUUM
 * does not wait for it; an error releases it.  VACUUM sleeps as our settings say.  A session that has waited for the
 * lock for deadlock_timeout cancels VACUUM like everything here.
 */
static void
compact(const WorkerTask *task, WorkerResult *result)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext lasting = AllocSetContextCreate(cxt, "kyrodb compact", ALLOCSET_DEFAULT_SIZES);
	MemoryContext batch = AllocSetContextCreate(lasting, "kyrodb batch", ALLOCSET_DEFAULT_SIZES);
	StoreCompacted done = {0};
	LockRelId	id;
	Relation	rel;

	SetConfigOption("vacuum_cost_delay", psprintf("%g", kyro_cost_delay), PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("vacuum_cost_limit", psprintf("%d", kyro_cost_limit), PGC_SUSET, PGC_S_OVERRIDE);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	rel = store_seal_open(task->relid);
	id = rel->rd_lockInfo.lockRelId;
	LockRelationIdForSession(&id, ShareUpdateExclusiveLock);
	table_close(rel, NoLock);
	MemoryContextSwitchTo(batch);
	store_compact(task->relid, task->batch, batch, pause_compacting, &done);
	UnlockRelationIdForSession(&id, ShareUpdateExclusiveLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	MemoryContextDelete(lasting);
	pgstat_report_stat(false);

	result->what = psprintf("moved " UINT64_FORMAT " rows, batches: " UINT64_FORMAT ", pages before: " UINT64_FORMAT
							", after: " UINT64_FORMAT, done.rows, done.batches, done.before, done.after);

	/*
	 * perhaps an old snapshot is in the way; that is not worth a VACUUM each
	 * time
	 */
	if (done.after * 10 > done.before * 9)
		result->next = worker_naptimes_later(GetCurrentTimestamp(), NOTHING_NAPTIMES);
}

void
worker_do(const WorkerTask *task, WorkerResult *result)
{
	*result = (WorkerResult) {0};
	if (task->action == WORKER_RETRAIN)
		retrain(task, result);
	else if (task->action == WORKER_PRUNE)
		prune(task, result);
	else if (task->action == WORKER_COMPACT)
		compact(task, result);
	else
		seal(task, result);
}
