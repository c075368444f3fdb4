/*-------------------------------------------------------------------------
 *
 * batches.c
 *	  CALL kyro.seal: seal a table in batches.  CALL kyro.compact: make its file
 *	  smaller, in batches.  Each batch is a transaction of its own.
 *
 * So writers wait for the stamps and the commit of one batch at most, and VACUUM
 * and others get their turn in between.  After an error, a cancel or a crash,
 * batches that were committed stay sealed, and the next call takes the rest.
 *
 * kyro.seal reads the file once, up to where it ended when the call began: with
 * writers at work it might not end otherwise.
 *
 * IDENTIFICATION
 *	  src/store/batches.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/commit_ts.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "progress.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(kyro_seal);

/* Commit, and begin a transaction for the next batch. */
static void
next_transaction(MemoryContext context)
{
	CommitTransactionCommand();
	StartTransactionCommand();
	/* each batch takes a snapshot of its own, whatever the session's default */
	XactIsoLevel = XACT_READ_COMMITTED;
	MemoryContextSwitchTo(context);
}

/*
 * Check the call of a procedure that commits, with arguments tbl and batch; returns
 * batch.
 */
static uint64
check_call(FunctionCallInfo fcinfo, const char *name, Oid *relid)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "tbl" : "batch")));
	*relid = PG_GETARG_OID(0);
	if (PG_GETARG_INT64(1) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be greater than 0")));
	PreventInTransactionBlock(IsA(fcinfo->context, CallContext) &&
							  !((CallContext *) fcinfo->context)->atomic &&
							  !SPI_inside_nonatomic_context(), name);
	PreventCommandIfReadOnly(name);
	PreventCommandDuringRecovery(name);
	return PG_GETARG_INT64(1);
}

/*
 * The tables that a call is for: the kyro partitions of a partitioned table, or the
 * table itself.  *name is the name of what was given.  Begins a transaction, with
 * *context as the memory of a batch; the result and *name are in its parent, which
 * end_tables() deletes.
 */
static List *
begin_tables(Oid relid, MemoryContext *context, char **name)
{
	List	   *tables;
	MemoryContext lasting = AllocSetContextCreate(PortalContext, "kyrodb batches", ALLOCSET_DEFAULT_SIZES);

	/*
	 * the snapshot of the CALL would last over all batches, and hold back the
	 * horizon of VACUUM
	 */
	ForgetPortalSnapshots();
	*context = AllocSetContextCreate(lasting, "kyrodb batch", ALLOCSET_DEFAULT_SIZES);
	next_transaction(*context);
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		tables = store_partitions(relid);
	else
		tables = list_make1_oid(relid);
	MemoryContextSwitchTo(lasting);
	tables = list_copy(tables);
	*name = get_rel_name(relid);
	MemoryContextSwitchTo(*context);
	return tables;
}

static void
end_tables(MemoryContext context)
{
	MemoryContextSwitchTo(PortalContext);
	MemoryContextDelete(MemoryContextGetParent(context));
}

/* Is this a partition that was dropped since the call began? */
static bool
is_gone(Oid table, Oid relid)
{
	return table != relid && get_rel_relkind(table) == '\0';
}

/*
 * The moment that is this long ago.  Raises an error if it is in the future, or if
 * the server does not record when transactions commit.
 */
static TimestampTz
moment_before(Interval *age)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz moment = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(now),
																 IntervalPGetDatum(age)));

	if (moment > now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("older_than must not be negative")));
	if (!track_commit_timestamp)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("older_than needs to know when rows were committed"),
				 errhint("Make sure the configuration parameter track_commit_timestamp is set.")));
	return moment;
}

void
store_seal_batch(Oid relid, StoreSeal *what)
{
	Relation	rel = store_seal_open(relid);
	StoreRun	run;

	/* one more block, to which the rows of block 0 may move (whole.c) */
	if (what->from == 0)
		what->end = RelationGetNumberOfBlocks(rel) + 1;
	what->sealed = 0;
	if (store_seal(rel, what, &run))
		VacuumCostBalance += (STORE_RUN_END(&run) - run.first) * VacuumCostPageDirty;
	table_close(rel, NoLock);
}

/*
 * kyro.seal(tbl regclass, batch bigint, older_than interval): seal the rows of the
 * log, in transactions of whole pages that have about `batch` rows; of a partitioned
 * table, one partition after the other.  For the owner, outside of transaction
 * blocks.
 */
Datum
kyro_seal(PG_FUNCTION_ARGS)
{
	StoreSeal	what = {.pages = true, .older_than = DT_NOEND, .place = STORE_ANY_PLACE};
	Oid			relid;
	MemoryContext context;
	char	   *name;
	List	   *tables;
	ListCell   *lc;
	uint64		rows = 0;
	uint64		batches = 0;

	what.rows = check_call(fcinfo, "CALL kyro.seal", &relid);
	if (!PG_ARGISNULL(2))
		what.older_than = moment_before(PG_GETARG_INTERVAL_P(2));

	tables = begin_tables(relid, &context, &name);
	foreach(lc, tables)
	{
		what.from = 0;
		kyro_progress_begin(KYRO_SEAL, lfirst_oid(lc));
		kyro_progress_batches(rows, batches);
		do
		{
			CHECK_FOR_INTERRUPTS();
			if (is_gone(lfirst_oid(lc), relid))
				break;
			store_seal_batch(lfirst_oid(lc), &what);
			rows += what.sealed;
			batches += what.sealed > 0;
			kyro_progress_batches(rows, batches);
			what.from = what.next;
			next_transaction(context);
			MemoryContextReset(context);
			DEBUG_POINT("seal-batch-done");
		} while (what.next != 0);
		kyro_progress_end();
	}

	ereport(NOTICE,
			(errmsg("sealed " UINT64_FORMAT " rows of \"%s\", batches: " UINT64_FORMAT, rows, name, batches)));
	end_tables(context);
	PG_RETURN_VOID();
}

/* ---- kyro.compact ---- */

/* Open a table that is to be compacted, in a new transaction; end that with close_batch(). */
static Relation
open_batch(Oid relid)
{
	CHECK_FOR_INTERRUPTS();
	return store_seal_open(relid);
}

static void
close_batch(Relation rel, MemoryContext context)
{
	table_close(rel, NoLock);
	next_transaction(context);
	MemoryContextReset(context);
}

/* VACUUM the table, then open it as open_batch() does. */
static Relation
open_vacuumed(Oid relid, MemoryContext context)
{
	kyro_vacuum(relid, MemoryContextGetParent(context));
	next_transaction(context);
	return open_batch(relid);
}

static bool
has_dead_runs(Relation rel)
{
	StoreTable *table = store_open(rel);

	for (int i = 0; i < table->nruns; i++)
	{
		if (table->runs[i].state == RUN_DEAD)
			return true;
	}
	return false;
}

/* Carry out one step of a plan, in batches; false if there was no place. */
static bool
take_step(Oid relid, const StoreStep *step, uint64 batch, MemoryContext context, void (*pause) (Oid relid),
		  StoreCompacted *done)
{
	StoreSeal	what = {.move = true, .rows = batch, .from = step->from, .end = step->end, .older_than = DT_NOEND,
	.runs = step->runs, .nruns = step->nruns, .place = step->place};

	do
	{
		Relation	rel = open_batch(relid);
		StoreRun	run;

		what.sealed = 0;
		what.no_place = false;
		if (store_seal(rel, &what, &run))
		{
			done->rows += what.sealed;
			done->held += what.losers;
			done->batches++;
			VacuumCostBalance += (STORE_RUN_END(&run) - run.first) * VacuumCostPageDirty;
			kyro_progress_batches(done->rows, done->batches);
		}
		close_batch(rel, context);
		if (pause != NULL)
			pause(relid);
		DEBUG_POINT("compact-batch-done");
		if (what.no_place)
			return false;
		what.from = what.next;
	} while (what.next != 0);
	return true;
}

void
store_compact(Oid relid, uint64 batch, MemoryContext context, void (*pause) (Oid relid), StoreCompacted *done)
{
	MemoryContext lasting = MemoryContextGetParent(context);
	Relation	rel = open_batch(relid);
	List	   *steps;
	ListCell   *lc;
	uint64		moved = done->rows;

	done->before += RelationGetNumberOfBlocks(rel);
	close_batch(rel, context);

	/*
	 * the first VACUUM makes room in the log, and finds runs that are dead;
	 * the second makes room of these
	 */
	rel = open_vacuumed(relid, context);
	if (has_dead_runs(rel))
	{
		close_batch(rel, context);
		rel = open_vacuumed(relid, context);
	}
	MemoryContextSwitchTo(lasting);
	steps = store_shrink_plan(rel, batch);
	MemoryContextSwitchTo(context);
	close_batch(rel, context);
	DEBUG_POINT("compact-planned");
	kyro_progress_begin(KYRO_COMPACT, relid);
	kyro_progress_batches(done->rows, done->batches);
	foreach(lc, steps)
	{
		if (!take_step(relid, (StoreStep *) lfirst(lc), batch, context, pause, done))
			break;
	}
	kyro_progress_end();

	/* remove what was moved from its old place, and cut the file off */
	rel = done->rows > moved ? open_vacuumed(relid, context) : open_batch(relid);
	done->after += RelationGetNumberOfBlocks(rel);
	close_batch(rel, context);
}

PG_FUNCTION_INFO_V1(kyro_compact);

/*
 * kyro.compact(tbl regclass, batch bigint): move sealed rows so that the end of the
 * file becomes free, and vacuum; of a partitioned table, one partition after the
 * other.  For the owner, outside of transaction blocks.
 */
Datum
kyro_compact(PG_FUNCTION_ARGS)
{
	Oid			relid;
	uint64		batch;
	MemoryContext context;
	char	   *name;
	List	   *tables;
	ListCell   *lc;
	StoreCompacted done = {0};

	batch = check_call(fcinfo, "CALL kyro.compact", &relid);

	tables = begin_tables(relid, &context, &name);
	foreach(lc, tables)
	{
		if (!is_gone(lfirst_oid(lc), relid))
			store_compact(lfirst_oid(lc), batch, context, NULL, &done);
	}
	ereport(NOTICE,
			(errmsg("moved " UINT64_FORMAT " rows of \"%s\", batches: " UINT64_FORMAT ", pages before: " UINT64_FORMAT
					", after: " UINT64_FORMAT, done.rows, name, done.batches, done.before, done.after)));
	end_tables(context);
	PG_RETURN_VOID();
}
