/*-------------------------------------------------------------------------
 *
 * model.c
 *	  Looking at a model: kyro.model(), model_leaves(), trace(), index_shape().
 *
 * IDENTIFICATION
 *	  src/inspect/model.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/rmi.h"
#include "rmi/kyro_rmi.h"

/* Leaves kyro.model() looks into; more are sampled evenly. */
#define MODEL_LEAF_SAMPLE	1000

static Datum
model_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* All leaves the directory and the split log know, or the chain's if damaged. */
static void
model_fences(Relation index, RmiMetaData *meta, RmiFenceList *list)
{
	bool		stale = true;
	bool		ok = false;

	for (int attempt = 0; attempt < 3 && !ok && stale; attempt++)
	{
		rmi_read_meta(index, meta);
		rmi_fences_init(list);
		ok = rmi_directory_read(index, meta, list, &stale);
	}
	if (ok)
		rmi_log_read(index, meta, 0, list);
	else
	{
		list->n = 0;
		rmi_fences_from_chain(index, meta->index_id, list);
	}
	rmi_fences_sort(list);
}

typedef struct EpsCollector
{
	int		   *eps;
	int			n;
	int			size;
} EpsCollector;

static void
collect_eps(void *arg, int block, int slots, int eps)
{
	EpsCollector *c = (EpsCollector *) arg;

	if (c->n < c->size)
		c->eps[c->n++] = eps;
}

static int
int_cmp(const void *a, const void *b)
{
	int			x = *(const int *) a;
	int			y = *(const int *) b;

	return x < y ? -1 : x > y;
}

/* Value at a fraction p/100 of n sorted values; *isnull if there are none. */
static Datum
percentile(const int *v, int n, int p, bool *isnull)
{
	*isnull = (n == 0);
	return Int32GetDatum(n == 0 ? 0 : v[(int64) (n - 1) * p / 100]);
}

PG_FUNCTION_INFO_V1(kyro_model);

Datum
kyro_model(PG_FUNCTION_ARGS)
{
	Relation	heap,
				index;
	Datum		values[13];
	bool		nulls[13] = {false};
	RmiMetaData meta;
	RmiFenceList list;
	RmiModel   *model;
	EpsCollector leaf = {0},
				dir = {0};
	PGAlignedBlock copy;
	uint32		step;

	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	model_fences(index, &meta, &list);
	model = rmi_model_read(index, &meta, true);

	if (model != NULL)
	{
		dir.size = dir.n = model->nmodels;
		dir.eps = palloc(Max(dir.size, 1) * sizeof(int));
		for (int i = 0; i < dir.n; i++)
			dir.eps[i] = rmi_models(model)[i].eps;
		qsort(dir.eps, dir.n, sizeof(int), int_cmp);
	}

	step = Max(list.n / MODEL_LEAF_SAMPLE, 1);
	leaf.size = (list.n / step + 1) * 128;
	leaf.eps = palloc(leaf.size * sizeof(int));
	for (uint32 i = 0; i < list.n; i += step)
	{
		Buffer		buf;
		BlockNumber block = list.items[i].block;
		bool		is_leaf;

		CHECK_FOR_INTERRUPTS();
		if (!rmi_block_exists(index, block))
			continue;
		buf = ReadBuffer(index, block);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		memcpy(copy.data, BufferGetPage(buf), BLCKSZ);
		is_leaf = rmi_page_is(copy.data, meta.index_id, block, RMI_PAGE_LEAF);
		if (is_leaf)
			rmi_check_leaf(index, meta.index_id, buf);
		UnlockReleaseBuffer(buf);
		if (is_leaf && leaf_each_block(copy.data, collect_eps, &leaf) < 0)
			rmi_corrupt(index, block, "a block of the leaf is not valid");
	}
	qsort(leaf.eps, leaf.n, sizeof(int), int_cmp);

	values[0] = Int32GetDatum(meta.version);
	values[1] = CStringGetTextDatum("sampled splits");
	values[2] = Int64GetDatum(list.n);
	values[3] = Int64GetDatum(model ? model->nmodels : 0);
	for (int i = 0; i < 3; i++)
	{
		static const int p[3] = {50, 99, 100};

		values[4 + i] = percentile(dir.eps, dir.n, p[i], &nulls[4 + i]);
		values[7 + i] = percentile(leaf.eps, leaf.n, p[i], &nulls[7 + i]);
	}
	values[10] = Int64GetDatum(model ? model->bytes : 0);
	values[11] = TimestampTzGetDatum(meta.trained_at);
	nulls[11] = meta.generation == 0;
	values[12] = Int64GetDatum(meta.log_entries);
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_DATUM(model_row(fcinfo, values, nulls));
}

PG_FUNCTION_INFO_V1(kyro_model_leaves);

Datum
kyro_model_leaves(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	heap,
				index;
	RmiMetaData meta;
	RmiModel   *model;

	InitMaterializedSRF(fcinfo, 0);
	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	rmi_read_meta(index, &meta);
	model = rmi_model_read(index, &meta, true);
	for (uint32 i = 0; model != NULL && i < model->nmodels; i++)
	{
		const RmiLinear *lm = &rmi_models(model)[i];
		char		slope[32];
		Datum		values[8];
		bool		nulls[8] = {false};

		snprintf(slope, sizeof(slope), UINT64_FORMAT, lm->slope);
		values[0] = Int32GetDatum(i);
		values[1] = Int64GetDatum(lm->key_min);
		values[2] = Int64GetDatum(lm->key_max);
		values[3] = DirectFunctionCall3(numeric_in, CStringGetDatum(slope),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		values[4] = Int32GetDatum(lm->shift);
		values[5] = Int64GetDatum(lm->base);
		values[6] = Int32GetDatum(lm->eps);
		values[7] = Int64GetDatum(lm->count);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(kyro_trace);

/*
 * kyro.trace(index, key): the steps of one look-up.  Positions are those of
 * the directory on disk; the leaf is found as every scan finds it.
 */
Datum
kyro_trace(PG_FUNCTION_ARGS)
{
	int64		key = PG_GETARG_INT64(1);
	KyroFence	target = {key, 0, false};
	Relation	heap,
				index;
	Datum		values[15];
	bool		nulls[15] = {false};
	RmiMetaData meta;
	RmiFenceList list;
	RmiModel   *model;
	bool		stale;
	BlockNumber visited;
	Buffer		buf;
	PGAlignedBlock copy;
	LeafProbe	probe;
	int64		matches = 0;
	uint64	   *tids = palloc(KYRO_LEAF_MAX_ENTRIES * sizeof(uint64));
	uint32		lo,
				hi;

	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	rmi_read_meta(index, &meta);
	rmi_fences_init(&list);
	model = NULL;
	if (rmi_directory_read(index, &meta, &list, &stale))
		model = rmi_model_read(index, &meta, true);
	else
		list.n = 0;

	if (model != NULL && model->nmodels > 0)
	{
		RmiWindow	w = rmi_predict(model, key);

		values[0] = CStringGetTextDatum("model");
		values[1] = Int32GetDatum(w.model);
		values[2] = Int64GetDatum(w.predicted);
		values[3] = Int64GetDatum(w.lo);
		values[4] = Int64GetDatum(w.hi);
	}
	else
	{
		values[0] = CStringGetTextDatum(list.n > 0 ? "binary search" : "chain");
		nulls[1] = nulls[2] = nulls[3] = nulls[4] = true;
	}
	lo = 0;
	hi = list.n;
	while (lo < hi)
	{
		uint32		mid = lo + (hi - lo) / 2;

		if (kyro_fence_cmp(rmi_item_fence(&list.items[mid]), target) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	values[5] = Int64GetDatum((int64) lo - 1);
	nulls[5] = list.n == 0;

	buf = rmi_descend(index, target, false, BUFFER_LOCK_SHARE, &visited);
	values[6] = Int64GetDatum(BufferGetBlockNumber(buf));
	memset(&probe, 0, sizeof(probe));
	for (bool first = true;; first = false)
	{
		LeafProbe	p;
		int			n = 0;
		KyroFence	high = KYRO_FENCE_MIN;
		bool		more;
		BlockNumber block = BufferGetBlockNumber(buf);

		memcpy(copy.data, BufferGetPage(buf), BLCKSZ);
		UnlockReleaseBuffer(buf);
		CHECK_FOR_INTERRUPTS();
		memset(&p, 0, sizeof(p));
		p.block = -1;
		if (!leaf_low(copy.data).isnull)
			n = leaf_find(copy.data, key, tids, KYRO_LEAF_MAX_ENTRIES, &p);
		if (n < 0)
			rmi_corrupt(index, block, "a block of the leaf is not valid");
		if (first)
			probe = p;
		matches += n;
		more = leaf_has_high(copy.data);
		if (more)
			high = leaf_high(copy.data);
		if (!more || kyro_fence_cmp(high, (KyroFence) {key, KYRO_TID_MAX, false}) > 0)
			break;
		if (kyro_fence_cmp(high, leaf_low(copy.data)) <= 0)
			rmi_corrupt(index, block, "fences do not ascend");
		buf = rmi_descend(index, high, false, BUFFER_LOCK_SHARE, NULL);
	}
	values[7] = Int32GetDatum(visited - 1);
	values[8] = Int32GetDatum(probe.block);
	values[9] = Int32GetDatum(probe.predicted);
	values[10] = Int32GetDatum(probe.found);
	values[11] = Int32GetDatum(probe.eps);
	nulls[8] = nulls[9] = nulls[10] = nulls[11] = probe.block < 0;
	values[12] = Int32GetDatum(probe.probes);
	values[13] = Int32GetDatum(probe.nrun);
	values[14] = Int64GetDatum(matches);
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_DATUM(model_row(fcinfo, values, nulls));
}

PG_FUNCTION_INFO_V1(kyro_index_shape);

/*
 * Read the meta page and the model.  False, after a WARNING, if that fails for
 * damage or a file that cannot be read: a view of all indexes must not fail
 * for one of them.  A subtransaction, since pages are checked by the server
 * too, which only knows to raise.
 */
static bool
shape_read(Relation index, RmiMetaData *meta, RmiModel **model)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		rmi_read_meta(index, meta);
		*model = rmi_model_read(index, meta, false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *e;
		int			category;

		MemoryContextSwitchTo(cxt);
		e = CopyErrorData();
		category = ERRCODE_TO_CATEGORY(e->sqlerrcode);
		if (category != ERRCODE_TO_CATEGORY(ERRCODE_INDEX_CORRUPTED) &&
			category != ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR) &&
			e->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		ereport(WARNING,
				(errcode(e->sqlerrcode),
				 errmsg_internal("%s", e->message),
				 e->detail ? errdetail_internal("%s", e->detail) : 0,
				 e->hint ? errhint("%s", e->hint) : 0));
		FreeErrorData(e);
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return ok;
}

/*
 * From the meta page and the model alone.  NULL for an index that is gone, not
 * valid, damaged or locked exclusively: a monitoring query should not fail or wait
 * for one.
 */
Datum
kyro_index_shape(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	Oid			heapoid = IndexGetRelation(oid, true);
	Relation	heap,
				index;
	RmiMetaData meta;
	RmiModel   *model;
	Datum		values[11];
	bool		nulls[11] = {false};

	if (OidIsValid(heapoid))
	{
		HeapTuple	tuple;
		bool		valid;

		if (!ConditionalLockRelationOid(heapoid, AccessShareLock))
			PG_RETURN_NULL();
		if (!ConditionalLockRelationOid(oid, AccessShareLock))
		{
			UnlockRelationOid(heapoid, AccessShareLock);
			PG_RETURN_NULL();
		}
		/* the caller's snapshot may be older than a REINDEX CONCURRENTLY */
		tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid));
		valid = HeapTupleIsValid(tuple) && ((Form_pg_index) GETSTRUCT(tuple))->indisvalid;
		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
		if (!valid)
		{
			UnlockRelationOid(oid, AccessShareLock);
			UnlockRelationOid(heapoid, AccessShareLock);
			PG_RETURN_NULL();
		}
	}
	else if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(oid)))
		PG_RETURN_NULL();
	index = rmi_open_for_function(oid, AccessShareLock, false, &heap);
	UnlockRelationOid(oid, AccessShareLock);
	UnlockRelationOid(heapoid, AccessShareLock);
	if (!shape_read(index, &meta, &model))
	{
		relation_close(index, AccessShareLock);
		table_close(heap, AccessShareLock);
		PG_RETURN_NULL();
	}
	values[0] = CStringGetTextDatum(meta.carrier == RMI_CARRIER_GENERIC ? "generic" : "own");
	values[1] = Int64GetDatum(meta.dir_entries + meta.log_entries);
	values[2] = Int64GetDatum(meta.dir_pages);
	values[3] = Int64GetDatum(meta.model_pages);
	values[4] = Int64GetDatum(meta.log_entries);
	values[5] = Int64GetDatum(meta.splits);
	values[6] = Int64GetDatum(meta.rebuilds);
	values[7] = Int64GetDatum(meta.tuples);
	values[8] = TimestampTzGetDatum(meta.trained_at);
	nulls[8] = meta.generation == 0;
	values[9] = Int32GetDatum(model ? model->eps_max : 0);
	nulls[9] = model == NULL;
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_DATUM(model_row(fcinfo, values, nulls));
}
