/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *	  kyro.rebuild() and kyro.warmup().
 *
 * IDENTIFICATION
 *	  src/inspect/rebuild.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "inspect/table.h"
#include "inspect/target.h"
#include "inspect/warmup.h"
#include "rmi/kyro_rmi.h"
#include "store/handler.h"

PG_FUNCTION_INFO_V1(kyro_rebuild);

/* Sums over the indexes of a tree, or of one. */
typedef struct Rebuild
{
	int64		leaves;
	int64		before;			/* pages */
	int64		after;
	bool		has_model;
	uint32		eps_max;
} Rebuild;

/* One index.  Whoever may rebuild a partitioned one must own its partitions, too. */
static void
rebuild(Oid relid, const char *partition, void *arg)
{
	Rebuild    *sum = (Rebuild *) arg;
	Relation	heap;
	Relation	index = rmi_open_for_function(relid, ShareUpdateExclusiveLock, true, &heap);
	RmiRebuilt	rebuilt;

	sum->before += RelationGetNumberOfBlocks(index);
	rmi_rebuild(index, RMI_WHY_REBUILD, NULL, NULL, &rebuilt);
	sum->after += RelationGetNumberOfBlocks(index);
	sum->leaves += rebuilt.leaves;
	sum->has_model |= rebuilt.has_model;
	sum->eps_max = Max(sum->eps_max, rebuilt.eps_max);
	relation_close(index, NoLock);
	table_close(heap, NoLock);
}

/*
 * kyro.rebuild(index): merge insert runs, write a new directory and model; of a
 * partitioned index, of all its partitions, with sums and the largest error bound.
 * Blocks neither readers nor writers; excludes VACUUM and other rebuilds.
 */
Datum
kyro_rebuild(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};
	Rebuild		sum = {0};
	instr_time	start,
				duration;
	Interval   *interval = palloc0(sizeof(Interval));

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot rebuild an index during recovery"),
				 errhint("Run kyro.rebuild() on the primary.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PreventCommandIfReadOnly("kyro.rebuild()");

	INSTR_TIME_SET_CURRENT(start);
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
		kyro_each_target(relid, KYRO_TARGET_OWN, rebuild, &sum);
	else
		rebuild(relid, NULL, &sum);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	interval->time = INSTR_TIME_GET_MICROSEC(duration);

	values[0] = Int64GetDatum(sum.leaves);
	values[1] = Int64GetDatum(sum.before);
	values[2] = Int64GetDatum(sum.after);
	values[3] = Int32GetDatum((int32) sum.eps_max);
	nulls[3] = !sum.has_model;
	values[4] = IntervalPGetDatum(interval);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Read every page of an index into shared buffers, and the directory into this session. */
static int64
warmup_index(Oid relid, bool check, bool (*go_on) (void *arg), void *arg)
{
	Relation	heap,
				index;
	BlockNumber nblocks,
				block;
	AclResult	acl;

	index = rmi_open_for_function(relid, AccessShareLock, false, &heap);
	acl = check ? pg_class_aclcheck(RelationGetRelid(heap), GetUserId(), ACL_SELECT) : ACLCHECK_OK;
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(heap->rd_rel->relkind), RelationGetRelationName(heap));

	nblocks = RelationGetNumberOfBlocks(index);
	for (block = 0; block < nblocks && (go_on == NULL || go_on(arg)); block++)
	{
		BlockNumber ahead = block + Max(maintenance_io_concurrency, 1);

		CHECK_FOR_INTERRUPTS();
		if (ahead < nblocks)
			(void) PrefetchBuffer(index, MAIN_FORKNUM, ahead);
		ReleaseBuffer(ReadBuffer(index, block));
	}
	rmi_dir_refresh(index);
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return block;
}

typedef struct Warmup
{
	int64		pages;
	bool		(*go_on) (void *arg);
	void	   *arg;
} Warmup;

/* Who may read a partitioned table may read its partitions. */
static void
warmup(Oid relid, const char *partition, void *arg)
{
	Warmup	   *w = (Warmup *) arg;
	bool		check = partition == NULL;

	w->pages += store_is_kyro_oid(relid) ? kyro_warmup_table(relid, check, w->go_on, w->arg) :
		warmup_index(relid, check, w->go_on, w->arg);
}

int64
kyro_warmup_relation(Oid relid, bool (*go_on) (void *arg), void *arg)
{
	Warmup		w = {.go_on = go_on, .arg = arg};

	kyro_each_target(relid, KYRO_TARGET_READ, warmup, &w);
	return w.pages;
}

PG_FUNCTION_INFO_V1(kyro_warmup);

/*
 * kyro.warmup(rel): read a kyro table or kyro_rmi index, or all partitions of one,
 * into memory; returns how many pages.  Needs SELECT on the table.
 */
Datum
kyro_warmup(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(kyro_warmup_relation(PG_GETARG_OID(0), NULL, NULL));
}
