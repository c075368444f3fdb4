/*-------------------------------------------------------------------------
 *
 * batches.c
 *	  CALL kyro.seal: seal a table in batches, each in a transaction of its own.
 *
 * So writers wait for one batch's stamps and commit at most, VACUUM and others
 * get their turn in between, and where it stops, by an error, a cancel or a
 * crash, what was sealed stays so and the next call takes the rest.
 *
 * The file is read once, up to where it ended at the beginning: with writers at
 * work there would be no end otherwise.
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
#include "store/store.h"

PG_FUNCTION_INFO_V1(kyro_seal);

/* The transaction that is open becomes one of ours, or a new one begins. */
static void
next_transaction(MemoryContext context)
{
	CommitTransactionCommand();
	StartTransactionCommand();
	/* whatever the default: each batch has a snapshot of its own */
	XactIsoLevel = XACT_READ_COMMITTED;
	MemoryContextSwitchTo(context);
}

/* The moment before which rows were committed that are this old now; raises an error if that is not known. */
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

/* One batch, in this transaction; returns how many rows were sealed.  The first one sets what->end. */
static uint64
seal_batch(Oid relid, StoreSeal *what)
{
	Relation	rel = store_seal_open(relid);
	StoreRun	run;

	/* one more, if the rows of block 0 are to move (whole.c) */
	if (what->from == 0)
		what->end = RelationGetNumberOfBlocks(rel) + 1;
	what->sealed = 0;
	(void) store_seal(rel, what, &run);
	table_close(rel, NoLock);
	return what->sealed;
}

/*
 * kyro.seal(tbl regclass, batch bigint, older_than interval): seal the rows of
 * the log, those of so many rows' pages at a time; of a partitioned table, of one
 * partition after the other.  The owner's, not in a transaction block.
 */
Datum
kyro_seal(PG_FUNCTION_ARGS)
{
	StoreSeal	what = {.pages = true,.older_than = DT_NOEND};
	Oid			relid;
	MemoryContext context;
	char	   *name;
	List	   *tables;
	ListCell   *lc;
	uint64		rows = 0;
	uint64		batches = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "tbl" : "batch")));
	relid = PG_GETARG_OID(0);
	if (PG_GETARG_INT64(1) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be greater than 0")));
	what.rows = PG_GETARG_INT64(1);
	PreventInTransactionBlock(IsA(fcinfo->context, CallContext) &&
							  !((CallContext *) fcinfo->context)->atomic &&
							  !SPI_inside_nonatomic_context(), "CALL kyro.seal");
	PreventCommandIfReadOnly("CALL kyro.seal");
	PreventCommandDuringRecovery("CALL kyro.seal");
	if (!PG_ARGISNULL(2))
		what.older_than = moment_before(PG_GETARG_INTERVAL_P(2));

	/* the snapshot of the procedure's call would outlive its transaction, and others wait for it */
	ForgetPortalSnapshots();
	context = AllocSetContextCreate(PortalContext, "kyrodb seal", ALLOCSET_DEFAULT_SIZES);
	next_transaction(context);
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		tables = store_partitions(relid);
	else
		tables = list_make1_oid(relid);
	MemoryContextSwitchTo(PortalContext);
	tables = list_copy(tables);
	name = get_rel_name(relid);
	MemoryContextSwitchTo(context);
	foreach(lc, tables)
	{
		what.from = 0;
		do
		{
			uint64		sealed;

			CHECK_FOR_INTERRUPTS();
			/* a partition that was dropped since */
			if (lfirst_oid(lc) != relid && get_rel_relkind(lfirst_oid(lc)) == '\0')
				break;
			sealed = seal_batch(lfirst_oid(lc), &what);
			rows += sealed;
			batches += sealed > 0;
			what.from = what.next;
			next_transaction(context);
			MemoryContextReset(context);
			DEBUG_POINT("seal-batch-done");
		} while (what.next != 0);
	}

	ereport(NOTICE,
			(errmsg("sealed " UINT64_FORMAT " rows of \"%s\", batches: " UINT64_FORMAT, rows, name, batches)));
	MemoryContextSwitchTo(PortalContext);
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}
