/*-------------------------------------------------------------------------
 *
 * table.c
 *	  SQL functions about kyro tables: warmup, verify, runs.
 *
 * kyro.warmup() and kyro.verify() are for indexes and tables both; they come
 * here if they are given a table of ours.
 *
 * IDENTIFICATION
 *	  src/inspect/table.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "inspect/monitor.h"
#include "inspect/report.h"
#include "inspect/table.h"
#include "store/handler.h"
#include "store/store.h"

/* Open a table of ours for looking at it. */
static Relation
open_table(Oid relid, LOCKMODE lockmode)
{
	Relation	rel = try_table_open(relid, lockmode);

	if (rel == NULL || !store_is_kyro(rel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table with OID %u was dropped or changed meanwhile", relid)));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot access unlogged tables during recovery")));
	return rel;
}

/*
 * kyro.warmup(table): read the log into shared buffers, and verify and map the
 * sealed pages for this session.  Needs SELECT on the table, if that is to be checked.
 */
int64
kyro_warmup_table(Oid relid, bool check, bool (*go_on) (void *arg), void *arg)
{
	AclResult	acl = check ? pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) : ACLCHECK_OK;
	Relation	rel;
	StoreTable *table;
	StorePage	p = {0};
	BlockNumber nblocks,
				block;

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	rel = open_table(relid, AccessShareLock);
	table = store_open(rel);
	nblocks = RelationGetNumberOfBlocks(rel);
	for (block = 0; block < nblocks && (go_on == NULL || go_on(arg)); block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!store_page_get(rel, table, block, NULL, &p))
			ReleaseBuffer(ReadBuffer(rel, block));
	}
	store_page_release(&p);
	table_close(rel, AccessShareLock);
	return block;
}

/*
 * kyro.verify(table, deep), into a materialized result.  Only the owner may.
 */
void
kyro_verify_table(Oid relid, bool deep, KyroReport *report)
{
	Relation	rel;
	Oid			save_user;
	int			save_context,
				nest_level;

	if (!kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	rel = open_table(relid, AccessShareLock);

	/* expressions of indexes run as the owner of the table, and harmlessly */
	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, save_context | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	store_verify(rel, deep, kyro_report, report);
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(save_user, save_context);
	table_close(rel, AccessShareLock);
}

/* What is to be shown of a run, and of a table. */
typedef struct RunNumbers
{
	StoreRun	run;
	const char *state;
	int64		live;
	int64		touched;
} RunNumbers;

typedef struct TableNumbers
{
	Relation	rel;
	bool		have_size;
	int64		blocks;
	int			nruns;
	RunNumbers *runs;
} TableNumbers;

static void
read_numbers(void *arg)
{
	TableNumbers *numbers = (TableNumbers *) arg;
	StoreTable *table;

	numbers->blocks = RelationGetNumberOfBlocks(numbers->rel);
	numbers->have_size = true;
	table = store_open(numbers->rel);
	numbers->runs = palloc0(Max(table->nruns, 1) * sizeof(RunNumbers));
	for (int i = 0; i < table->nruns; i++)
	{
		RunNumbers *r = &numbers->runs[i];
		uint64		touched,
					dead;
		bool		aborted = store_run_aborted(&table->runs[i]);

		r->run = table->runs[i];
		r->state = r->run.state == RUN_DEAD ? "dead" : aborted ? "aborted" : store_run_committed(&table->runs[i]) ? "committed" : "in progress";
		store_run_count(numbers->rel, table, &r->run, &touched, &dead);
		r->touched = touched;
		r->live = aborted ? 0 : r->run.rows - dead;
	}
	/* runs that were sealed since lie behind these blocks, or are counted */
	numbers->blocks = Max(numbers->blocks, RelationGetNumberOfBlocks(numbers->rel));
	numbers->nruns = table->nruns;
}

/*
 * The numbers of a table, and its state: "ok", or why there are none.  Waits for no
 * lock, and fails for none that a view can meet: one that is dropped or made a heap after
 * the view's snapshot was taken, damaged, or another session's temporary table.
 */
static const char *
table_numbers(Oid relid, TableNumbers *numbers)
{
	const char *state = "ok";

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return "dropped";
	kyro_check_sees_table(relid);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return "locked";
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		state = "dropped";
	else if (!store_is_kyro_oid(relid))
		state = "not a kyro table";
	else
	{
		numbers->rel = table_open(relid, NoLock);
		/* in another session's memory, or empty until the end of recovery */
		if (RELATION_IS_OTHER_TEMP(numbers->rel) ||
			(numbers->rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress()))
			state = "inaccessible";
		else if (!kyro_try_read(read_numbers, numbers))
			state = "damaged";
		table_close(numbers->rel, NoLock);
	}
	UnlockRelationOid(relid, AccessShareLock);
	return state;
}

PG_FUNCTION_INFO_V1(kyro_table_runs);

/*
 * kyro.table_runs(table): one row for each run; one with nothing but a state if the
 * table cannot be looked at, none if it is gone.
 */
Datum
kyro_table_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TableNumbers numbers = {0};
	const char *state;
	Datum		values[10];
	bool		nulls[10];

	InitMaterializedSRF(fcinfo, 0);
	state = table_numbers(PG_GETARG_OID(0), &numbers);
	if (strcmp(state, "ok") != 0 && strcmp(state, "dropped") != 0)
	{
		memset(nulls, true, sizeof(nulls));
		values[1] = CStringGetTextDatum(state);
		nulls[1] = false;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	memset(nulls, false, sizeof(nulls));
	for (int i = 0; i < numbers.nruns; i++)
	{
		RunNumbers *r = &numbers.runs[i];
		Interval   *duration = palloc0(sizeof(Interval));
		BlockNumber blocks = STORE_RUN_END(&r->run) - r->run.first;

		duration->time = r->run.duration;
		values[0] = Int64GetDatum(r->run.first);
		values[1] = CStringGetTextDatum(r->state);
		values[2] = Int64GetDatum(r->run.rows);
		values[3] = Int64GetDatum(r->live);
		values[4] = Int64GetDatum(r->touched);
		values[5] = Int64GetDatum(blocks);
		values[6] = Int64GetDatum((int64) blocks * BLCKSZ);
		values[7] = Int64GetDatum(r->run.bytes);
		values[8] = TimestampTzGetDatum(r->run.sealed_at);
		values[9] = IntervalPGetDatum(duration);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(kyro_table_shape);

/*
 * kyro.table_shape(table): one row with the state of a table, its size and the sums
 * over its runs.  What is not known is NULL.
 */
Datum
kyro_table_shape(PG_FUNCTION_ARGS)
{
	TableNumbers numbers = {0};
	const char *state = table_numbers(PG_GETARG_OID(0), &numbers);
	TupleDesc	desc;
	Datum		values[9];
	bool		nulls[9];
	int64		blocks = 0;
	int64		sealed = 0;
	int64		live = 0;
	int64		touched = 0;
	TimestampTz last = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < numbers.nruns; i++)
	{
		RunNumbers *r = &numbers.runs[i];

		blocks += STORE_RUN_END(&r->run) - r->run.first;
		sealed += store_run_aborted(&r->run) ? 0 : r->run.rows;
		live += r->live;
		touched += r->touched;
		last = i == 0 ? r->run.sealed_at : Max(last, r->run.sealed_at);
	}
	memset(nulls, strcmp(state, "ok") != 0, sizeof(nulls));
	values[0] = CStringGetTextDatum(state);
	nulls[0] = false;
	values[1] = Int64GetDatum(numbers.blocks * BLCKSZ);
	nulls[1] = !numbers.have_size;
	values[2] = Int64GetDatum((numbers.blocks - blocks) * BLCKSZ);
	values[3] = Int64GetDatum(numbers.nruns);
	values[4] = Int64GetDatum(blocks * BLCKSZ);
	values[5] = Int64GetDatum(sealed);
	values[6] = Int64GetDatum(live);
	values[7] = Int64GetDatum(touched);
	values[8] = TimestampTzGetDatum(last);
	nulls[8] = numbers.nruns == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
