/*-------------------------------------------------------------------------
 *
 * trace.c
 *	  One look-up: kyro.trace() in numbers, kyro.explain() in words.
 *
 * Positions are those of the directory on disk; the leaf is found as every
 * scan finds it.
 *
 * IDENTIFICATION
 *	  src/inspect/trace.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "model/learned.h"
#include "rmi/directory.h"
#include "rmi/kyro_rmi.h"
#include "rmi/splitlog.h"

typedef struct Trace
{
	RmiMetaData meta;
	bool		has_window;		/* a model was asked */
	LearnedWindow window;
	uint32		models;
	uint32		eps;			/* of the line that was asked */
	uint32		listed;			/* leaves in the directory; 0 if it is damaged */
	int64		position;		/* true one in the directory */
	BlockNumber leaf;
	BlockNumber visited;		/* pages read to find it */
	LeafProbe	probe;			/* on that leaf */
	int			blocks;			/* it has so many */
	int			run;			/* and so many recent entries */
	int64		matches;
	uint32		match_leaves;	/* leaves looked at for them */
} Trace;

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/*
 * The key of argument n of a function, a value of the type of the index's column, or of any integer
 * type if that is one, or else its text.
 */
static int64
key_of_argument(FunctionCallInfo fcinfo, int n, Relation index)
{
	Datum		value = PG_GETARG_DATUM(n);
	Oid			column = TupleDescAttr(RelationGetDescr(index), 0)->atttypid;
	Oid			base = getBaseType(column);
	Oid			given = get_fn_expr_argtype(fcinfo->flinfo, n);
	RmiKeyType	type = rmi_key_type(index);

	if (!OidIsValid(given) || given == TEXTOID || given == UNKNOWNOID)
	{
		Oid			input,
					param;

		getTypeInputInfo(column, &input, &param);
		return rmi_key_from_datum(type, OidInputFunctionCall(input, text_to_cstring(DatumGetTextPP(value)), param,
															 TupleDescAttr(RelationGetDescr(index), 0)->atttypmod));
	}
	given = getBaseType(given);
	if (is_integer(base) && is_integer(given))
		return given == INT2OID ? DatumGetInt16(value) : given == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
	if (given != base)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("index \"%s\" has keys of type %s, not %s", RelationGetRelationName(index),
						format_type_be(column), format_type_be(given)),
				 errhint("Give a value of that type, or its text.")));
	return rmi_key_from_datum(type, value);
}

/* Position of the last entry of the list that is not above target; -1 if none is. */
static int64
true_position(const RmiFenceList *list, KyroFence target)
{
	uint32		lo = 0;
	uint32		hi = list->n;

	while (lo < hi)
	{
		uint32		mid = lo + (hi - lo) / 2;

		if (kyro_fence_cmp(rmi_item_fence(&list->items[mid]), target) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (int64) lo - 1;
}

/* What the directory and its model say. */
static void
trace_directory(Relation index, int64 key, Trace *t)
{
	RmiFenceList list;
	LearnedModel *model = NULL;
	bool		stale;

	rmi_read_meta(index, &t->meta);
	rmi_fences_init(&list);
	if (rmi_directory_read(index, &t->meta, &list, &stale))
		model = rmi_model_read(index, &t->meta, true);
	else
		list.n = 0;
	t->listed = list.n;
	t->position = true_position(&list, (KyroFence) {key, 0, false});
	if (model != NULL && model->nmodels > 0)
	{
		t->has_window = true;
		t->window = learned_predict(model, key);
		t->models = model->nmodels;
		t->eps = learned_lines(model)[t->window.model].eps;
	}
}

/* What the leaves say: the first that may have the key, and those it goes on to. */
static void
trace_leaves(Relation index, int64 key, Trace *t)
{
	Buffer		buf = rmi_descend(index, (KyroFence) {key, 0, false}, false, BUFFER_LOCK_SHARE, &t->visited);
	uint64	   *tids = palloc(KYRO_LEAF_MAX_ENTRIES * sizeof(uint64));
	PGAlignedBlock copy;

	t->leaf = BufferGetBlockNumber(buf);
	for (;;)
	{
		LeafProbe	p = {.block = -1};
		int			n = 0;
		KyroFence	high = KYRO_FENCE_MIN;
		bool		more;
		BlockNumber block = BufferGetBlockNumber(buf);

		memcpy(copy.data, BufferGetPage(buf), BLCKSZ);
		UnlockReleaseBuffer(buf);
		CHECK_FOR_INTERRUPTS();
		if (!leaf_low(copy.data).isnull)
			n = leaf_find(copy.data, key, tids, KYRO_LEAF_MAX_ENTRIES, &p);
		if (n < 0)
			rmi_corrupt(index, block, "a block of the leaf is not valid");
		if (t->match_leaves++ == 0)
		{
			t->probe = p;
			t->blocks = leaf_header_const(copy.data)->nblk;
			t->run = leaf_header_const(copy.data)->nrun;
		}
		t->matches += n;
		more = leaf_has_high(copy.data);
		if (more)
			high = leaf_high(copy.data);
		if (!more || kyro_fence_cmp(high, (KyroFence) {key, KYRO_TID_MAX, false}) > 0)
			break;
		if (kyro_fence_cmp(high, leaf_low(copy.data)) <= 0)
			rmi_corrupt(index, block, "fences do not ascend");
		buf = rmi_descend(index, high, false, BUFFER_LOCK_SHARE, NULL);
	}
	pfree(tids);
}

/* Trace arguments 0 and 1 of a function; returns the name of the key type. */
static char *
trace_arguments(FunctionCallInfo fcinfo, Trace *t)
{
	Relation	heap;
	Relation	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	int64		key = key_of_argument(fcinfo, 1, index);
	char	   *type = format_type_be(TupleDescAttr(RelationGetDescr(index), 0)->atttypid);

	memset(t, 0, sizeof(*t));
	trace_directory(index, key, t);
	trace_leaves(index, key, t);
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return type;
}

PG_FUNCTION_INFO_V1(kyro_trace);

/* kyro.trace(index, key): the steps of one look-up. */
Datum
kyro_trace(PG_FUNCTION_ARGS)
{
	Trace		t;
	TupleDesc	desc;
	Datum		values[15];
	bool		nulls[15] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	(void) trace_arguments(fcinfo, &t);
	values[0] = CStringGetTextDatum(t.has_window ? "model" : t.listed > 0 ? "binary search" : "chain");
	values[1] = Int32GetDatum(t.window.model);
	values[2] = Int64GetDatum(t.window.predicted);
	values[3] = Int64GetDatum(t.window.lo);
	values[4] = Int64GetDatum(t.window.hi);
	nulls[1] = nulls[2] = nulls[3] = nulls[4] = !t.has_window;
	values[5] = Int64GetDatum(t.position);
	nulls[5] = t.listed == 0;
	values[6] = Int64GetDatum(t.leaf);
	values[7] = Int32GetDatum(t.visited - 1);
	values[8] = Int32GetDatum(t.probe.block);
	values[9] = Int32GetDatum(t.probe.predicted);
	values[10] = Int32GetDatum(t.probe.found);
	values[11] = Int32GetDatum(t.probe.eps);
	nulls[8] = nulls[9] = nulls[10] = nulls[11] = t.probe.block < 0;
	values[12] = Int32GetDatum(t.probe.probes);
	values[13] = Int32GetDatum(t.run);
	values[14] = Int64GetDatum(t.matches);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- in words ---- */

/* "1 leaf", "2 leaves" */
static char *
count_of(int64 n, const char *one, const char *many)
{
	return psprintf(INT64_FORMAT " %s", n, n == 1 ? one : many);
}

static void say(ReturnSetInfo *rsinfo, const char *format,...) pg_attribute_printf(2, 3);

static void
say(ReturnSetInfo *rsinfo, const char *format,...)
{
	StringInfoData line;
	Datum		value;
	bool		isnull = false;

	initStringInfo(&line);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&line, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&line, needed);
	}
	value = CStringGetTextDatum(line.data);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
}

/* How far a guess was off, and on which side. */
static char *
off_by(int64 predicted, int64 found)
{
	if (predicted == found)
		return pstrdup("as predicted");
	return psprintf(INT64_FORMAT " %s the predicted one", Max(predicted, found) - Min(predicted, found),
					found < predicted ? "before" : "after");
}

static void
say_directory(ReturnSetInfo *rsinfo, const Trace *t)
{
	if (t->has_window)
	{
		say(rsinfo, "The model of the directory, %s, sends the key to line %u, which predicts position " INT64_FORMAT
			" of %u with an error of at most %u: positions %u to %u are searched.",
			count_of(t->models, "line", "lines"), t->window.model, (int64) t->window.predicted, t->listed, t->eps,
			t->window.lo, t->window.hi);
		say(rsinfo, "The leaf that the directory lists for it is at position " INT64_FORMAT ", %s.", t->position,
			off_by(t->window.predicted, t->position));
	}
	else if (t->listed > 0)
		say(rsinfo, "There is no model that can be used: the %s of the directory %s searched, and position "
			INT64_FORMAT " is found.", count_of(t->listed, "entry", "entries"), t->listed == 1 ? "is" : "are", t->position);
	else
		say(rsinfo, "The directory cannot be used: the leaves are walked from the leftmost one. kyro.rebuild() writes a new one.");
	if (t->meta.log_entries > 0)
		say(rsinfo, "%s split since the directory was written.",
			count_of(t->meta.log_entries, "leaf was", "leaves were"));
}

static void
say_leaf(ReturnSetInfo *rsinfo, const Trace *t)
{
	const LeafProbe *p = &t->probe;

	if (t->visited <= 1)
		say(rsinfo, "This session lands on the right leaf at once, block %u of the index.", t->leaf);
	else
		say(rsinfo, "This session reads %u pages to come to the right leaf, block %u of the index.", t->visited, t->leaf);
	if (p->block < 0)
		say(rsinfo, "It has no blocks of sorted entries.");
	else
		say(rsinfo, "Block %d of %d there predicts slot %d with an error of at most %d: the key belongs at slot %d, %s, found after decoding %s.",
			p->block + 1, t->blocks, p->predicted, p->eps, p->found, off_by(p->predicted, p->found),
			count_of(p->probes, "key", "keys"));
	if (t->run > 0)
		say(rsinfo, "The keys of %s that are not sorted in yet are all compared.", count_of(t->run, "recent entry", "recent entries"));
}

PG_FUNCTION_INFO_V1(kyro_explain);

/* kyro.explain(index, value): the same in words, a line each. */
Datum
kyro_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Trace		t;
	char	   *type;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	type = trace_arguments(fcinfo, &t);
	say(rsinfo, "Look-up of one key of type %s in an index of %s.", type,
		t.listed > 0 ? count_of(t.listed + (int64) t.meta.log_entries, "leaf", "leaves") : "leaves that nobody has counted");
	say_directory(rsinfo, &t);
	say_leaf(rsinfo, &t);
	if (t.matches == 0)
		say(rsinfo, "No entry has this key.");
	else
		say(rsinfo, "%s this key, on %s.", count_of(t.matches, "entry has", "entries have"),
			count_of(t.match_leaves, "leaf", "leaves"));
	return (Datum) 0;
}
