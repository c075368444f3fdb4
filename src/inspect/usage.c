/*-------------------------------------------------------------------------
 *
 * usage.c
 *	  Statistics of use in SQL: kyro.index_counters(), kyro.index_latency(),
 *	  kyro.table_counters(), kyro.stat_reset().
 *
 * IDENTIFICATION
 *	  src/inspect/usage.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "inspect/target.h"
#include "privilege.h"
#include "usage/shared.h"

PG_FUNCTION_INFO_V1(kyro_index_counters);
PG_FUNCTION_INFO_V1(kyro_index_latency);
PG_FUNCTION_INFO_V1(kyro_table_counters);
PG_FUNCTION_INFO_V1(kyro_stat_reset);

/* A row that is being made, column by column; all are null at first. */
typedef struct Row
{
	TupleDesc	desc;
	int			n;
	Datum	   *values;
	bool	   *nulls;
} Row;

static void
row_begin(Row *row, FunctionCallInfo fcinfo)
{
	if (get_call_result_type(fcinfo, NULL, &row->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	row->n = 0;
	row->values = palloc0(row->desc->natts * sizeof(Datum));
	row->nulls = palloc(row->desc->natts * sizeof(bool));
	memset(row->nulls, true, row->desc->natts * sizeof(bool));
}

/* Nothing happens to what a declaration from before the last update of the extension has no column for. */
static void
row_add(Row *row, Datum value)
{
	if (row->n < row->desc->natts)
	{
		row->values[row->n] = value;
		row->nulls[row->n] = false;
	}
	row->n++;
}

static inline void
row_add_null(Row *row)
{
	row->n++;
}

static inline void
row_add_number(Row *row, uint64 value)
{
	row_add(row, Int64GetDatum((int64) value));
}

static void
row_add_numbers(Row *row, const uint64 *values, int n)
{
	Datum	   *datums = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		datums[i] = Int64GetDatum((int64) values[i]);
	row_add(row, PointerGetDatum(construct_array(datums, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

static Datum
row_end(Row *row)
{
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row->desc), row->values, row->nulls));
}

/*
 * The sums of a relation, with what this session has counted; zeros if there are none.
 * False if nothing is counted on this server, or the user may not see them.
 */
static bool
get_sums(UsageKind kind, Oid relid, Oid table, UsageSums *sums)
{
	memset(sums, 0, sizeof(UsageSums));
	if (!usage_is_shared() || !OidIsValid(table) || !kyro_sees_table(GetUserId(), table))
		return false;
	/* not all counts: a query may ask for thousands of relations */
	usage_flush_relation(relid);
	(void) usage_get(kind, relid, sums);
	return true;
}

/* When counting began, if it has. */
static void
row_add_since(Row *row, const UsageSums *sums)
{
	if (sums->since != 0)
		row_add(row, TimestampTzGetDatum(sums->since));
	else
		row_add_null(row);
}

/* The shortest time of a step in microseconds; of the one behind the last, the longest of that. */
static double
step_begin(int step)
{
	return step == 0 ? 0 : ldexp(4 + step % 4, 7 + step / 4 - 2) / 1000;
}

/* Microseconds that so large a part of the samples took at most, by their steps. */
static Datum
percentile(const UsageLatency *l, double part)
{
	double		rank = part * l->total;
	double		before = 0;

	for (int i = 0; i < USAGE_STEPS; i++)
	{
		if (l->samples[i] > 0 && before + l->samples[i] >= rank)
			return Float8GetDatum(step_begin(i) + (step_begin(i + 1) - step_begin(i)) * Max(rank - before, 0) / l->samples[i]);
		before += l->samples[i];
	}
	/* only a file says that there are more */
	return Float8GetDatum(step_begin(USAGE_STEPS));
}

static void
row_add_latency(Row *row, const UsageLatency *l)
{
	static const double parts[] = {0.5, 0.99, 0.999};

	row_add_number(row, l->total);
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		if (l->total > 0)
			row_add(row, percentile(l, parts[i]));
		else
			row_add_null(row);
	}
}

/*
 * kyro.index_counters(index oid): one row, of NULLs if nothing is counted or the user
 * may not see it.
 */
Datum
kyro_index_counters(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	UsageSums	sums;
	Row			row;

	row_begin(&row, fcinfo);
	if (get_sums(USAGE_INDEX, relid, IndexGetRelation(relid, true), &sums))
	{
		const UsageIndexSums *s = &sums.u.index;

		row_add_number(&row, s->lookups);
		row_add_numbers(&row, s->compared, USAGE_BUCKETS);
		row_add_number(&row, s->compared_sum);
		row_add_number(&row, s->there);
		row_add_number(&row, s->beside);
		row_add_number(&row, s->landings_off);
		row_add_number(&row, s->pages_walked);
		row_add_number(&row, s->no_model);
		row_add_number(&row, s->landings_off - s->landings_off_then);
		row_add_number(&row, usage_searches(s) - s->searches_then);
		for (int i = 0; i < USAGE_INSERTS; i++)
			row_add_number(&row, s->inserts[i]);
		row_add_number(&row, s->removed);
		row_add_number(&row, s->vacuumed);
		for (int i = 0; i < USAGE_TRAININGS; i++)
			row_add_number(&row, s->trainings[i]);
		row_add(&row, Float8GetDatum(s->training_time / 1e6));
		row_add_number(&row, s->trained_leaves);
		for (int i = 0; i < USAGE_MOMENTS; i++)
			row_add_latency(&row, &s->latency[i]);
		row_add_since(&row, &sums);
	}
	PG_RETURN_DATUM(row_end(&row));
}

/*
 * kyro.index_latency(index oid, during_rebuild bool): samples of look-ups as a histogram: how
 * many took at most so many seconds, by powers of two.  NULLs if nothing is counted or
 * the user may not see it.
 */
Datum
kyro_index_latency(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	UsageSums	sums;
	Row			row;

	row_begin(&row, fcinfo);
	if (get_sums(USAGE_INDEX, relid, IndexGetRelation(relid, true), &sums))
	{
		const UsageLatency *l = &sums.u.index.latency[PG_GETARG_BOOL(1) ? 1 : 0];
		Datum		bounds[USAGE_STEPS / 4 - 1];
		uint64		counts[USAGE_STEPS / 4 - 1];
		uint64		count = 0;

		/* the last power has all that are longer, too, and so no bound */
		for (int i = 0; i < (int) lengthof(bounds); i++)
		{
			for (int j = 0; j < 4; j++)
				count += l->samples[4 * i + j];
			counts[i] = count;
			bounds[i] = Float8GetDatum(step_begin(4 * (i + 1)) / 1e6);
		}
		row_add(&row, PointerGetDatum(construct_array(bounds, lengthof(bounds), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
		row_add_numbers(&row, counts, lengthof(counts));
		row_add(&row, Float8GetDatum(l->sum / 1e9));
		row_add_number(&row, l->total);
	}
	PG_RETURN_DATUM(row_end(&row));
}

/*
 * kyro.table_counters(tbl oid): what was counted for a table, as kyro.index_counters().
 */
Datum
kyro_table_counters(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	UsageSums	sums;
	Row			row;

	row_begin(&row, fcinfo);
	if (get_sums(USAGE_TABLE, relid, relid, &sums))
	{
		const UsageTableSums *s = &sums.u.table;

		row_add_number(&row, s->reads.map_reads);
		row_add_number(&row, s->reads.buffer_reads);
		row_add_number(&row, s->reads.verified);
		row_add_number(&row, s->reads.ledger_tuples);
		row_add_number(&row, s->seals);
		row_add_number(&row, s->rows_sealed);
		row_add(&row, Float8GetDatum(s->seal_time / 1e6));
		row_add_number(&row, s->seal_wal);
		row_add_number(&row, s->failures);
		row_add_since(&row, &sums);
		if (s->last_error_at != 0)
		{
			row_add(&row, TimestampTzGetDatum(s->last_error_at));
			/* it may have been in a file */
			if (kyro_sees_messages(GetUserId(), relid) &&
				pg_verifymbstr(s->last_error, strlen(s->last_error), true))
				row_add(&row, CStringGetTextDatum(s->last_error));
		}
	}
	PG_RETURN_DATUM(row_end(&row));
}

/* Count a relation from zero, or all of this database if InvalidOid. */
static void
reset(Oid relid, const char *partition, void *arg)
{
	if (!usage_is_shared())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are no statistics of use"),
				 errhint("Put kyrodb into shared_preload_libraries, and restart the server.")));
	usage_reset(relid);
}

/*
 * kyro.stat_reset(rel): count an index or a table of this database from zero; of a
 * partitioned one, all partitions; of NULL, all of the database.  GRANT on the function
 * decides who may call it.
 */
Datum
kyro_stat_reset(PG_FUNCTION_ARGS)
{
	usage_flush();
	if (PG_ARGISNULL(0))
		reset(InvalidOid, NULL, NULL);
	else
		kyro_each_target(PG_GETARG_OID(0), KYRO_TARGET_ANY, reset, NULL);
	PG_RETURN_VOID();
}
