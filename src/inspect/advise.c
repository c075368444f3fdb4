/*-------------------------------------------------------------------------
 *
 * advise.c
 *	  What an index or a table would be as one of ours: helpers of kyro.advise().
 *
 * Nothing is modelled: stretches of the index's entries are packed by the code
 * that packs leaves, and looked up by the code that searches them.
 *
 * IDENTIFICATION
 *	  src/inspect/advise.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "inspect/monitor.h"
#include "inspect/sample.h"
#include "model/learned.h"
#include "rmi/kyro_rmi.h"
#include "rmi/page.h"
#include "store/handler.h"

PG_FUNCTION_INFO_V1(kyro_predict_index);
PG_FUNCTION_INFO_V1(kyro_predict_table);

/* The fill factor of indexes that do not say. */
#define FILLFACTOR	90

/* Look-ups that are timed on each leaf, leaves that are, and accesses to a page. */
#define TIMED_KEYS		64
#define TIMED_LEAVES	200
#define TIMED_PAGES		2000

typedef struct Prediction
{
	PGAlignedBlock leaf;
	char	   *work;
	double		inverse;		/* of entries per leaf, summed over stretches */
	double		stretches;
	double		short_inverse;	/* the same for stretches that are too short
								 * to be sure */
	double		short_stretches;
	double		whole_leaves;	/* of stretches that hold all keys, or all
								 * NULLs */
	double		whole_entries;
	bool		whole;
	double		found_us;		/* look-ups on leaves */
	int			timed;
} Prediction;

/* Microseconds of look-ups of entries that lie on the leaf at hand. */
static double
time_leaf(Prediction *p, const KyroEntry *e, size_t n)
{
	int64		keys[TIMED_KEYS];
	uint64_t	tids[64];
	instr_time	start,
				duration;

	for (int i = 0; i < TIMED_KEYS; i++)
		keys[i] = e[pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1)].key;
	INSTR_TIME_SET_CURRENT(start);
	for (int i = 0; i < TIMED_KEYS; i++)
		(void) leaf_find(p->leaf.data, keys[i], tids, lengthof(tids), NULL);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	return INSTR_TIME_GET_DOUBLE(duration) * 1000000 / TIMED_KEYS;
}

/* Pack a stretch; of one that is not all there is, as long as what a leaf takes can be known. */
static void
pack(void *arg, KyroStretch *s)
{
	Prediction *p = (Prediction *) arg;
	size_t		done = 0;
	int			leaves = 0;

	/*
	 * leaf_build() packs best what has as many entries ahead as a leaf may
	 * hold
	 */
	while (done < s->n && (p->whole || leaves == 0 || s->n - done >= KYRO_LEAF_CAP))
	{
		size_t		n;

		leaf_init(p->leaf.data, s->nulls ? (KyroFence) {0, 0, true} : KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK,
				  rmi_reserve(FILLFACTOR));
		n = leaf_build(p->leaf.data, s->entries + done, s->n - done, p->work);
		if (n == 0)
			elog(ERROR, "no entry fits an empty leaf");
		if (p->timed < TIMED_LEAVES && !s->nulls)
		{
			p->found_us += time_leaf(p, s->entries + done, n);
			p->timed++;
		}
		done += n;
		leaves++;
		CHECK_FOR_INTERRUPTS();
	}
	if (p->whole)
	{
		p->whole_leaves += leaves;
		p->whole_entries += done;
	}
	if (p->whole || s->n >= KYRO_LEAF_CAP)
	{
		p->inverse += (double) leaves / done;
		p->stretches++;
	}
	else
	{
		p->short_inverse += (double) leaves / done;
		p->short_stretches++;
	}
}

/* Microseconds that it takes to pin a page that is in memory, lock it, and let it go. */
static double
time_page(Relation rel)
{
	instr_time	start,
				duration;
	BlockNumber nblocks = Min(RelationGetNumberOfBlocks(rel), 64);

	if (nblocks == 0)
		return 0;
	for (BlockNumber block = 0; block < nblocks; block++)
		ReleaseBuffer(ReadBuffer(rel, block));
	INSTR_TIME_SET_CURRENT(start);
	for (int i = 0; i < TIMED_PAGES; i++)
	{
		Buffer		buf = ReadBuffer(rel, i % nblocks);

		LockBuffer(buf, BUFFER_LOCK_SHARE);
		UnlockReleaseBuffer(buf);
	}
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	return INSTR_TIME_GET_DOUBLE(duration) * 1000000 / TIMED_PAGES;
}

/* Pages of an index of so many leaves: meta page, leaves, directory, model, history. */
static double
pages_of(double leaves)
{
	double		pages = 1 + leaves;
	double		level = leaves;

	do
	{
		level = ceil(level / RMI_DIR_FANOUT);
		pages += level;
	} while (level > 1);
	return pages + 1 + ceil((double) learned_bytes((uint32) Min(leaves, 1e9)) / RMI_DIR_SPACE);
}

/*
 * Open an index and its table for looking at them, without waiting; false if they are
 * locked, gone, or another session's temporary ones.
 */
static bool
open_both(Oid relid, Relation *heap, Relation *index)
{
	Oid			table = IndexGetRelation(relid, true);

	if (!OidIsValid(table))
		return false;
	kyro_check_sees_table(table);
	if (!ConditionalLockRelationOid(table, AccessShareLock))
		return false;
	*heap = try_relation_open(table, NoLock);
	if (*heap == NULL)
		return false;
	*index = NULL;
	if (!RELATION_IS_OTHER_TEMP(*heap) && ConditionalLockRelationOid(relid, AccessShareLock))
		*index = try_relation_open(relid, NoLock);
	if (*index == NULL)
	{
		relation_close(*heap, AccessShareLock);
		return false;
	}
	return true;
}

/*
 * kyro.predict_index(index): how many entries an index of one column has, the size of a
 * kyro_rmi index in its place, and microseconds for one look-up in that, when its pages are in memory and
 * without what the executor adds.  No row if it is locked, or of an access method or a column that we
 * can say nothing about.  For those who see numbers about the table.
 */
Datum
kyro_predict_index(PG_FUNCTION_ARGS)
{
	Relation	heap,
				index;
	Prediction *p;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};
	double		entries;
	double		leaves;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (get_rel_relkind(PG_GETARG_OID(0)) != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not an index", PG_GETARG_OID(0))));
	if (!open_both(PG_GETARG_OID(0), &heap, &index))
		PG_RETURN_NULL();
	if (index->rd_rel->relam != BTREE_AM_OID &&
		(index->rd_index->indkey.values[0] <= 0 || heap->rd_rel->relam != HEAP_TABLE_AM_OID))
	{
		relation_close(index, AccessShareLock);
		relation_close(heap, AccessShareLock);
		PG_RETURN_NULL();
	}
	p = palloc0(sizeof(Prediction));
	p->work = palloc(LEAF_WORK_SIZE + 16);
	p->work = (char *) TYPEALIGN(16, p->work);
	p->whole = RelationGetNumberOfBlocks(index->rd_rel->relam == BTREE_AM_OID ? index : heap) <= KYRO_SAMPLE_WHOLE;
	if (index->rd_rel->relam == BTREE_AM_OID)
		entries = kyro_sample_btree(index, 2 * KYRO_LEAF_CAP, pack, p);
	else
		entries = kyro_sample_rows(heap, index, 2 * KYRO_LEAF_CAP, pack, p);
	if (p->stretches == 0)
	{
		p->inverse = p->short_inverse;
		p->stretches = p->short_stretches;
	}
	leaves = p->stretches == 0 ? 1 :
		p->whole ? p->whole_leaves + (entries - p->whole_entries) * p->inverse / p->stretches : entries * p->inverse / p->stretches;
	values[0] = Int64GetDatum((int64) entries);
	values[1] = Int64GetDatum((int64) pages_of(ceil(Max(leaves, 1))) * BLCKSZ);
	values[2] = Float8GetDatum(p->timed > 0 ? p->found_us / p->timed + time_page(index) : 0);
	nulls[2] = p->timed == 0;
	relation_close(index, AccessShareLock);
	relation_close(heap, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * kyro.predict_table(tbl): how many rows of a heap, or of the log of a kyro table, could be
 * sealed, and the size of the file when all are.  NULL if it is locked, or neither.  For
 * those who see numbers about the table.
 */
Datum
kyro_predict_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	TupleDesc	desc;
	Relation	heap;
	Datum		values[2];
	bool		nulls[2] = {false};
	double		rows,
				bytes;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	kyro_check_sees_table(relid);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		PG_RETURN_NULL();
	heap = try_relation_open(relid, NoLock);
	if (heap == NULL)
		PG_RETURN_NULL();
	if (RELATION_IS_OTHER_TEMP(heap) ||
		(heap->rd_rel->relkind != RELKIND_RELATION && heap->rd_rel->relkind != RELKIND_MATVIEW) ||
		(heap->rd_rel->relam != HEAP_TABLE_AM_OID && !store_is_kyro_oid(relid)))
	{
		relation_close(heap, AccessShareLock);
		PG_RETURN_NULL();
	}
	kyro_sample_seal(heap, &rows, &bytes);
	relation_close(heap, AccessShareLock);
	values[0] = Int64GetDatum((int64) rows);
	values[1] = Int64GetDatum((int64) bytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
