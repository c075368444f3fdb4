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
#include "commands/defrem.h"
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

#include "inspect/report.h"
#include "inspect/table.h"
#include "store/store.h"

/*
 * Is there a table of access method kyro with this OID?
 */
bool
kyro_oid_is_table(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relam == get_table_am_oid("kyro", true) &&
		((Form_pg_class) GETSTRUCT(tuple))->relkind != RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);
	return result;
}

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
 * sealed pages for this session.  Needs SELECT on the table.
 */
int64
kyro_warmup_table(Oid relid)
{
	AclResult	acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	Relation	rel;
	StoreTable *table;
	StorePage	p = {0};
	BlockNumber nblocks;

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	rel = open_table(relid, AccessShareLock);
	table = store_open(rel);
	nblocks = RelationGetNumberOfBlocks(rel);
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!store_page_get(rel, table, block, NULL, &p))
			ReleaseBuffer(ReadBuffer(rel, block));
	}
	store_page_release(&p);
	table_close(rel, AccessShareLock);
	return nblocks;
}

/*
 * kyro.verify(table, deep), into a materialized result.  Only the owner may.
 */
void
kyro_verify_table(Oid relid, bool deep, ReturnSetInfo *rsinfo)
{
	LOCKMODE	lockmode = RecoveryInProgress() ? AccessShareLock : ShareUpdateExclusiveLock;
	Relation	rel;
	Oid			save_user;
	int			save_context,
				nest_level;

	if (!kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	rel = open_table(relid, lockmode);

	/* expressions of indexes run as the owner of the table, and harmlessly */
	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, save_context | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	store_verify(rel, deep, kyro_report, rsinfo);
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(save_user, save_context);
	table_close(rel, lockmode);
}

/* Rows of a run that were touched, and of those that are dead. */
static void
count_rows(Relation rel, StoreTable *table, StoreRun *run, int64 *touched, int64 *dead)
{
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);
	Buffer		vmbuffer = InvalidBuffer;
	StorePage	p = {0};

	*touched = *dead = 0;
	for (BlockNumber block = run->first; block < run->first + run->pages; block++)
	{
		ItemPointerData links[MaxHeapTuplesPerPage];

		CHECK_FOR_INTERRUPTS();
		if (store_vm_test(rel, block, &vmbuffer) ||
			!store_page_get(rel, table, block, NULL, &p) ||
			store_links_read(rel, &p, links) == 0)
			continue;
		for (OffsetNumber row = 1; row <= store_page_rows(&p)->h.count; row++)
		{
			TransactionId xid;
			HTSV_Result status;

			if (links[row - 1].ip_posid == 0)
				continue;
			(*touched)++;
			status = store_row_vacuum_status(rel, &p, row, horizon, &xid);
			if (status == HEAPTUPLE_DEAD || status == HEAPTUPLE_RECENTLY_DEAD)
				(*dead)++;
		}
	}
	store_page_release(&p);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}

PG_FUNCTION_INFO_V1(kyro_table_runs);

/*
 * kyro.table_runs(table): one row for each run.  None for a table that is gone:
 * the views ask for those of a snapshot.
 */
Datum
kyro_table_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel;
	StoreTable *table;

	InitMaterializedSRF(fcinfo, 0);
	/* who waits for the lock may wait for DROP TABLE */
	LockRelationOid(relid, AccessShareLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
	{
		UnlockRelationOid(relid, AccessShareLock);
		return (Datum) 0;
	}
	if (!kyro_oid_is_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not a table of access method kyro", relid)));
	rel = open_table(relid, NoLock);
	table = store_open(rel);
	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun	run = table->runs[i];
		int64		touched,
					dead;
		bool		aborted = store_run_aborted(&run);
		Interval   *duration = palloc0(sizeof(Interval));
		Datum		values[10];
		bool		nulls[10] = {false};

		count_rows(rel, table, &run, &touched, &dead);
		duration->time = run.duration;
		values[0] = Int64GetDatum(run.first);
		values[1] = CStringGetTextDatum(aborted ? "aborted" : store_run_committed(&run) ? "committed" : "in progress");
		values[2] = Int64GetDatum(run.rows);
		values[3] = Int64GetDatum(aborted ? 0 : run.rows - dead);
		values[4] = Int64GetDatum(touched);
		values[5] = Int64GetDatum(STORE_RUN_END(&run) - run.first);
		values[6] = Int64GetDatum((int64) (STORE_RUN_END(&run) - run.first) * BLCKSZ);
		values[7] = Int64GetDatum(run.bytes);
		values[8] = TimestampTzGetDatum(run.sealed_at);
		values[9] = IntervalPGetDatum(duration);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
