/*-------------------------------------------------------------------------
 *
 * model.c
 *	  Looking at a model: kyro.model(), model_leaves(), index_shape().
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
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "inspect/monitor.h"
#include "model/learned.h"
#include "rmi/kyro_rmi.h"
#include "rmi/splitlog.h"
#include "rmi/directory.h"

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

/* The error bounds of all lines of a model, in ascending order; none if that is NULL. */
static int *
model_eps(const LearnedModel *model, int *n)
{
	int		   *eps;

	*n = model != NULL ? model->nmodels : 0;
	eps = palloc(Max(*n, 1) * sizeof(int));
	for (int i = 0; i < *n; i++)
		eps[i] = learned_lines(model)[i].eps;
	qsort(eps, *n, sizeof(int), int_cmp);
	return eps;
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
	LearnedModel *model;
	EpsCollector leaf = {0},
				dir = {0};
	PGAlignedBlock copy;
	uint32		step;

	kyro_check_sees_table(IndexGetRelation(PG_GETARG_OID(0), true));
	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	model_fences(index, &meta, &list);
	model = rmi_model_read(index, &meta, true);

	dir.eps = model_eps(model, &dir.n);

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
	LearnedModel *model;

	InitMaterializedSRF(fcinfo, 0);
	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	rmi_read_meta(index, &meta);
	model = rmi_model_read(index, &meta, true);
	for (uint32 i = 0; model != NULL && i < model->nmodels; i++)
	{
		const LearnedLine *lm = &learned_lines(model)[i];
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

PG_FUNCTION_INFO_V1(kyro_index_shape);

#define SHAPE_COLUMNS	16

typedef struct Shape
{
	Relation	index;
	bool		have_size;
	int64		size;
	RmiMetaData meta;
	LearnedModel *model;
} Shape;

static void
shape_read(void *arg)
{
	Shape	   *shape = (Shape *) arg;

	shape->size = (int64) RelationGetNumberOfBlocks(shape->index) * BLCKSZ;
	shape->have_size = true;
	rmi_read_meta(shape->index, &shape->meta);
	shape->model = rmi_model_read(shape->index, &shape->meta, false);
}

/* Fill in what the meta page and the model say of an index that is locked by us. */
static const char *
shape_of(Oid oid, Datum *values, bool *nulls)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid));
	bool		valid;
	Shape		shape = {0};
	bool		ok;
	int		   *eps;
	int			n;

	/* the caller's snapshot may be older than a REINDEX CONCURRENTLY */
	if (!HeapTupleIsValid(tuple))
		return "dropped";
	valid = ((Form_pg_index) GETSTRUCT(tuple))->indisvalid;
	ReleaseSysCache(tuple);
	shape.index = relation_open(oid, NoLock);
	if (shape.index->rd_rel->relkind != RELKIND_INDEX || !rmi_is_index(shape.index))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a kyro_rmi index", RelationGetRelationName(shape.index))));
	/* in another session's memory, or empty until the end of recovery */
	if (RELATION_IS_OTHER_TEMP(shape.index) ||
		(shape.index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress()))
	{
		relation_close(shape.index, NoLock);
		return "inaccessible";
	}
	if (!valid)
	{
		relation_close(shape.index, NoLock);
		return "invalid";
	}
	ok = kyro_try_read(shape_read, &shape);
	relation_close(shape.index, NoLock);
	values[1] = Int64GetDatum(shape.size);
	nulls[1] = !shape.have_size;
	if (!ok)
		return "damaged";
	memset(nulls + 2, false, (SHAPE_COLUMNS - 2) * sizeof(bool));
	values[2] = CStringGetTextDatum(shape.meta.carrier == RMI_CARRIER_GENERIC ? "generic" : "own");
	values[3] = Int64GetDatum(shape.meta.dir_entries + shape.meta.log_entries);
	values[4] = Int64GetDatum(shape.meta.dir_pages);
	values[5] = Int64GetDatum(shape.meta.model_pages);
	values[6] = Int64GetDatum(shape.meta.log_entries);
	values[7] = Int64GetDatum(shape.meta.splits);
	values[8] = Int64GetDatum(shape.meta.rebuilds);
	values[9] = Int64GetDatum(shape.meta.tuples);
	values[10] = TimestampTzGetDatum(shape.meta.trained_at);
	nulls[10] = shape.meta.generation == 0;
	values[11] = Int32GetDatum(shape.model ? shape.model->eps_max : 0);
	nulls[11] = shape.model == NULL;
	eps = model_eps(shape.model, &n);
	values[12] = percentile(eps, n, 50, &nulls[12]);
	values[13] = percentile(eps, n, 99, &nulls[13]);
	values[14] = Int64GetDatum((int64) shape.meta.dir_pages * BLCKSZ);
	values[15] = Int64GetDatum(shape.model ? shape.model->bytes : 0);
	return "ok";
}

/*
 * kyro.index_shape(index): from the meta page and the model alone.  All but the
 * state is NULL of an index that is gone, not valid, damaged or locked exclusively:
 * a monitoring query should not fail or wait for one.
 */
Datum
kyro_index_shape(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	Oid			heapoid = IndexGetRelation(oid, true);
	Datum		values[SHAPE_COLUMNS];
	bool		nulls[SHAPE_COLUMNS];
	const char *state = "dropped";

	memset(nulls, true, sizeof(nulls));
	if (OidIsValid(heapoid))
	{
		kyro_check_sees_table(heapoid);
		state = "locked";
		if (ConditionalLockRelationOid(heapoid, AccessShareLock))
		{
			if (ConditionalLockRelationOid(oid, AccessShareLock))
			{
				state = shape_of(oid, values, nulls);
				UnlockRelationOid(oid, AccessShareLock);
			}
			UnlockRelationOid(heapoid, AccessShareLock);
		}
	}
	else if (get_rel_name(oid) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a kyro_rmi index", get_rel_name(oid))));
	values[0] = CStringGetTextDatum(state);
	nulls[0] = false;
	PG_RETURN_DATUM(model_row(fcinfo, values, nulls));
}
