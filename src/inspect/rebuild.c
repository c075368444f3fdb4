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
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "model/learned.h"
#include "inspect/rebuild.h"
#include "inspect/table.h"
#include "inspect/target.h"
#include "rmi/kyro_rmi.h"

/*
 * Merge the insert run of every leaf and list the leaves.  A merge keeps every
 * entry on its page, so an exclusive lock is enough.
 */
static void
rebuild_leaves(Relation index, RmiCarrier carrier, RmiFenceList *leaves, void (*pause) (void *arg), void *arg)
{
	KyroFence	at = KYRO_FENCE_MIN;

	for (;;)
	{
		Buffer		buf = rmi_descend(index, at, false, BUFFER_LOCK_EXCLUSIVE, NULL);
		Page		page = BufferGetPage(buf);
		RmiWork    *w = rmi_work();
		bool		more;

		/* VACUUM is excluded: every leaf begins where the last one ended */
		if (kyro_fence_cmp(leaf_low(page), at) != 0)
			rmi_corrupt(index, BufferGetBlockNumber(buf), "the leaf does not begin where its left sibling ends");
		if (leaf_header(page)->nrun > 0)
		{
			int			fits = leaf_merge(page, w->image[0], w->scratch);

			if (fits < 0)
				rmi_corrupt(index, BufferGetBlockNumber(buf), "the leaf cannot be merged");
			/* a leaf without room keeps its run until an insert splits it */
			if (fits == 1)
			{
				RmiChange	c;

				rmi_leaf_finish(w->image[0]);
				rmi_change_begin(&c, index, carrier);
				rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_MERGE, .image = w->image[0]});
				rmi_change_finish(&c);
			}
		}
		rmi_fences_add(leaves, leaf_low(page), BufferGetBlockNumber(buf));
		more = leaf_has_high(page);
		if (more)
		{
			if (kyro_fence_cmp(leaf_high(page), leaf_low(page)) <= 0)
				rmi_corrupt(index, BufferGetBlockNumber(buf), "fences do not ascend");
			at = leaf_high(page);
		}
		UnlockReleaseBuffer(buf);
		if (!more)
			break;
		CHECK_FOR_INTERRUPTS();
		if (pause != NULL)
			pause(arg);
	}
}

void
kyro_rebuild_index(Relation index, void (*pause) (void *arg), void *arg, KyroRebuilt *rebuilt)
{
	RmiMetaData seen,
				meta;
	RmiFenceList leaves;
	LearnedModel *model;

	(void) rmi_rebuild_lock(index, true);
	rmi_read_meta(index, &seen);
	rmi_fences_init(&leaves);
	rebuild_leaves(index, seen.carrier, &leaves, pause, arg);
	rmi_directory_write(index, &leaves, &seen);
	rmi_read_meta(index, &meta);
	model = rmi_model_read(index, &meta, true);
	rmi_rebuild_unlock(index);
	rmi_dir_forget(index);
	rebuilt->leaves = leaves.n;
	rebuilt->has_model = model != NULL;
	rebuilt->eps_max = model != NULL ? model->eps_max : 0;
}

PG_FUNCTION_INFO_V1(kyro_rebuild);

/* Sums over the indexes of a tree, or of one. */
typedef struct Rebuild
{
	int64		leaves;
	int64		before;			/* pages */
	int64		after;
	bool		has_model;
	int			eps_max;
} Rebuild;

/* One index.  Whoever may rebuild a partitioned one must own its partitions, too. */
static void
rebuild(Oid relid, const char *partition, void *arg)
{
	Rebuild    *sum = (Rebuild *) arg;
	Relation	heap;
	Relation	index = rmi_open_for_function(relid, ShareUpdateExclusiveLock, true, &heap);
	KyroRebuilt rebuilt;

	sum->before += RelationGetNumberOfBlocks(index);
	kyro_rebuild_index(index, NULL, NULL, &rebuilt);
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
		kyro_each_target(relid, true, rebuild, &sum);
	else
		rebuild(relid, NULL, &sum);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	interval->time = INSTR_TIME_GET_MICROSEC(duration);

	values[0] = Int64GetDatum(sum.leaves);
	values[1] = Int64GetDatum(sum.before);
	values[2] = Int64GetDatum(sum.after);
	values[3] = Int32GetDatum(sum.eps_max);
	nulls[3] = !sum.has_model;
	values[4] = IntervalPGetDatum(interval);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Read every page of an index into shared buffers, and the directory into this session. */
static int64
warmup_index(Oid relid, bool check)
{
	Relation	heap,
				index;
	BlockNumber nblocks;
	AclResult	acl;

	index = rmi_open_for_function(relid, AccessShareLock, false, &heap);
	acl = check ? pg_class_aclcheck(RelationGetRelid(heap), GetUserId(), ACL_SELECT) : ACLCHECK_OK;
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(heap->rd_rel->relkind), RelationGetRelationName(heap));

	nblocks = RelationGetNumberOfBlocks(index);
	for (BlockNumber block = 0; block < nblocks; block++)
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
	return nblocks;
}

/* Who may read a partitioned table may read its partitions. */
static void
warmup(Oid relid, const char *partition, void *pages)
{
	bool		check = partition == NULL;

	*(int64 *) pages += kyro_oid_is_table(relid) ? kyro_warmup_table(relid, check) : warmup_index(relid, check);
}

PG_FUNCTION_INFO_V1(kyro_warmup);

/*
 * kyro.warmup(rel): read a kyro table or kyro_rmi index, or all partitions of one,
 * into memory; returns how many pages.  Needs SELECT on the table.
 */
Datum
kyro_warmup(PG_FUNCTION_ARGS)
{
	int64		pages = 0;

	kyro_each_target(PG_GETARG_OID(0), false, warmup, &pages);
	PG_RETURN_INT64(pages);
}
