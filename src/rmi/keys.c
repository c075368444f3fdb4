/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  From types to keys, and from scan keys to intervals of keys.
 *
 * Each operator class maps its type to int64, order kept: integers to their
 * value, dates to days and time stamps to microseconds since 2000, with the
 * infinities of a type as its least and greatest value.
 *
 * A comparison of the key column with a constant cuts the keys in three: those
 * below c1 are less than the constant, those above c2 are greater, those in
 * c1 .. c2 equal it (none if c1 > c2).  Once c1 and c2 are known, every
 * operator is an interval.  The constant may be of another type of the family:
 *
 * - Integers are simply widened.
 * - date and timestamp differ by a factor, with rounding.
 * - A date or timestamp constant becomes one instant before a timestamptz
 *	 column is looked at, just as the comparison functions do it.
 * - A timestamptz constant against date or timestamp keys is the hard one: the
 *	 key is what gets converted, and where a zone sets its clock the order of
 *	 keys and the order of instants differ.  A key k is the instant
 *	 k - offset, so with the least and greatest offset used around the constant
 *	 c1 and c2 are known; between them the executor has to look at each row.
 *	 Where the zone does not change, which is nearly always, both offsets are
 *	 the same and the interval is exact.
 *
 * IDENTIFICATION
 *	  src/rmi/keys.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/skey.h"
#include "access/stratnum.h"
#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "rmi/kyro_rmi.h"

/* How the keys divide at a constant; see the top of this file. */
typedef struct RmiCut
{
	int64		c1;
	int64		c2;
	bool		unsure;			/* keys in c1 .. c2 may be anything */
} RmiCut;

/*
 * Offsets of a zone and the times they are used for differ by less than this:
 * zone rules allow up to 167 hours either way, a looked-up time is a day off.
 */
#define ZONE_REACH_DAYS		16

/* Dates from this on have no time stamp. */
#define FIRST_DAY_TOO_LATE	((int64) (TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE))

static RmiKeyType
key_type_of(Oid type)
{
	switch (type)
	{
		case INT2OID:
			return RMI_KEY_INT2;
		case INT4OID:
			return RMI_KEY_INT4;
		case INT8OID:
			return RMI_KEY_INT8;
		case DATEOID:
			return RMI_KEY_DATE;
		case TIMESTAMPOID:
			return RMI_KEY_TIMESTAMP;
		case TIMESTAMPTZOID:
			return RMI_KEY_TIMESTAMPTZ;
		default:
			return 0;
	}
}

static inline bool
is_datetime(RmiKeyType type)
{
	return type >= RMI_KEY_DATE;
}

/*
 * Type of the index's key column, as its operator class declares it.  Raises
 * 42704 for a class over a type we cannot map.
 */
RmiKeyType
rmi_key_type(Relation index)
{
	RmiKeyType	type = key_type_of(index->rd_opcintype[0]);

	if (type == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("access method \"%s\" does not support data type %s",
						"kyro_rmi", format_type_be(index->rd_opcintype[0])),
				 errhint("Supported are smallint, integer, bigint, date, timestamp and timestamptz.")));
	return type;
}

/* The key of a value that is not null. */
int64
rmi_key_from_datum(RmiKeyType type, Datum value)
{
	switch (type)
	{
		case RMI_KEY_INT2:
			return DatumGetInt16(value);
		case RMI_KEY_INT4:
			return DatumGetInt32(value);
		case RMI_KEY_DATE:
			return DatumGetDateADT(value);
		case RMI_KEY_INT8:
		case RMI_KEY_TIMESTAMP:
		case RMI_KEY_TIMESTAMPTZ:
			return DatumGetInt64(value);
	}
	elog(ERROR, "unrecognized key type: %d", (int) type);
	return 0;					/* keep compiler quiet */
}

/* The value of a key; the key must lie in the type's range. */
Datum
rmi_datum_from_key(RmiKeyType type, int64 key)
{
	switch (type)
	{
		case RMI_KEY_INT2:
			return Int16GetDatum((int16) key);
		case RMI_KEY_INT4:
			return Int32GetDatum((int32) key);
		case RMI_KEY_DATE:
			return DateADTGetDatum((DateADT) key);
		case RMI_KEY_INT8:
		case RMI_KEY_TIMESTAMP:
		case RMI_KEY_TIMESTAMPTZ:
			return Int64GetDatum(key);
	}
	elog(ERROR, "unrecognized key type: %d", (int) type);
	return (Datum) 0;			/* keep compiler quiet */
}

/* Quotients rounded down and up; the divisor is positive. */
static inline int64
div_floor(int64 a, int64 b)
{
	return a / b - (a % b < 0);
}

static inline int64
div_ceil(int64 a, int64 b)
{
	return a / b + (a % b > 0);
}

/*
 * Least and greatest offset from UTC, in microseconds, that the session's
 * zone can give to local times which are near the instant v (finite).
 */
static void
zone_offsets(TimestampTz v, int64 *least, int64 *greatest)
{
	const int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	pg_time_t	t = div_floor(v, USECS_PER_SEC) + epoch - ZONE_REACH_DAYS * SECS_PER_DAY;
	pg_time_t	end = t + 2 * ZONE_REACH_DAYS * SECS_PER_DAY;
	int64		min = PG_INT64_MAX,
				max = PG_INT64_MIN;

	for (;;)
	{
		long int	before,
					after;
		int			before_isdst,
					after_isdst;
		pg_time_t	boundary;
		int			res = pg_next_dst_boundary(&t, &before, &before_isdst, &boundary,
											   &after, &after_isdst, session_timezone);

		if (res < 0)
		{
			/* cannot tell: anything goes; conversions then fall back to UTC */
			min = -ZONE_REACH_DAYS * SECS_PER_DAY;
			max = ZONE_REACH_DAYS * SECS_PER_DAY;
			break;
		}
		min = Min(min, before);
		max = Max(max, before);
		if (res == 0 || boundary > end)
			break;
		min = Min(min, after);
		max = Max(max, after);
		if (boundary <= t)
			break;
		t = boundary;
	}
	*least = min * USECS_PER_SEC;
	*greatest = max * USECS_PER_SEC;
}

/* Cut the keys of a datetime column at a constant of another datetime type. */
static RmiCut
cut_datetime(RmiKeyType type, RmiKeyType subtype, Datum value)
{
	RmiCut		cut;
	int			overflow = 0;

	cut.unsure = false;
	if (subtype == RMI_KEY_DATE)
	{
		DateADT		date = DatumGetDateADT(value);

		if (type == RMI_KEY_TIMESTAMP)
			cut.c1 = date2timestamp_opt_overflow(date, &overflow);
		else
			cut.c1 = date2timestamptz_opt_overflow(date, &overflow);
		cut.c2 = cut.c1;
	}
	else if (type == RMI_KEY_TIMESTAMPTZ)
	{
		cut.c1 = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
		cut.c2 = cut.c1;
	}
	else
	{
		Timestamp	v = DatumGetTimestamp(value);

		if (TIMESTAMP_IS_NOBEGIN(v) || TIMESTAMP_IS_NOEND(v))
		{
			if (type == RMI_KEY_DATE)
				cut.c1 = TIMESTAMP_IS_NOBEGIN(v) ? DATEVAL_NOBEGIN : DATEVAL_NOEND;
			else
				cut.c1 = v;
			cut.c2 = cut.c1;
			return cut;
		}

		/* the constant as local time: between these two, and no overflow */
		cut.c1 = cut.c2 = v;
		if (subtype == RMI_KEY_TIMESTAMPTZ)
		{
			int64		least,
						greatest;

			zone_offsets(v, &least, &greatest);
			cut.unsure = least != greatest;
			if (pg_add_s64_overflow(v, least, &cut.c1))
				cut.c1 = least < 0 ? PG_INT64_MIN : PG_INT64_MAX;
			if (pg_add_s64_overflow(v, greatest, &cut.c2))
				cut.c2 = greatest < 0 ? PG_INT64_MIN : PG_INT64_MAX;
		}
		if (type == RMI_KEY_DATE)
		{
			/*
			 * Days past the range of time stamps are later than any of them.
			 * c1 > c2 if no midnight is among them; then every day is clear.
			 */
			cut.c1 = Min(div_ceil(cut.c1, USECS_PER_DAY), FIRST_DAY_TOO_LATE);
			cut.c2 = Min(div_floor(cut.c2, USECS_PER_DAY), FIRST_DAY_TOO_LATE - 1);
			if (cut.c1 > cut.c2)
				cut.unsure = false;
		}
		return cut;
	}

	/*
	 * A date or time too far out for the column's type lies between its
	 * finite values and infinity.
	 */
	if (overflow > 0)
	{
		cut.c1 = PG_INT64_MAX;
		cut.c2 = PG_INT64_MAX - 1;
	}
	else if (overflow < 0)
	{
		cut.c1 = PG_INT64_MIN + 1;
		cut.c2 = PG_INT64_MIN;
	}
	return cut;
}

/*
 * The keys for which "key <strategy> value" holds, or may hold (*recheck is
 * then set, and otherwise left alone).  False if there are none.
 */
static bool
interval_for(RmiKeyType type, StrategyNumber strategy, RmiKeyType subtype, Datum value,
			 int64 *lo, int64 *hi, bool *recheck)
{
	RmiCut		cut;

	if (subtype == type || !is_datetime(type))
	{
		cut.c1 = cut.c2 = rmi_key_from_datum(subtype, value);
		cut.unsure = false;
	}
	else
	{
		cut = cut_datetime(type, subtype, value);
		if (cut.unsure)
			*recheck = true;
	}

	*lo = PG_INT64_MIN;
	*hi = PG_INT64_MAX;
	switch (strategy)
	{
		case BTLessStrategyNumber:
			if (cut.unsure)
				*hi = cut.c2;
			else
			{
				if (cut.c1 == PG_INT64_MIN)
					return false;
				*hi = cut.c1 - 1;
			}
			break;
		case BTLessEqualStrategyNumber:
			*hi = cut.c2;
			break;
		case BTEqualStrategyNumber:
			*lo = cut.c1;
			*hi = cut.c2;
			break;
		case BTGreaterEqualStrategyNumber:
			*lo = cut.c1;
			break;
		case BTGreaterStrategyNumber:
			if (cut.unsure)
				*lo = cut.c1;
			else
			{
				if (cut.c2 == PG_INT64_MAX)
					return false;
				*lo = cut.c2 + 1;
			}
			break;
		default:
			elog(ERROR, "unrecognized strategy number: %d", strategy);
	}
	return *lo <= *hi;
}

/* Type of a scan key's constant; InvalidOid stands for the column's own. */
static RmiKeyType
subtype_of(RmiKeyType type, Oid subtypeoid)
{
	RmiKeyType	subtype = OidIsValid(subtypeoid) ? key_type_of(subtypeoid) : type;

	if (subtype == 0 || is_datetime(subtype) != is_datetime(type))
		elog(ERROR, "unexpected comparison type %u for kyro_rmi index", subtypeoid);
	return subtype;
}

static inline int
compare_intervals(const RmiInterval *x, const RmiInterval *y)
{
	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	if (x->hi != y->hi)
		return x->hi < y->hi ? -1 : 1;
	return 0;
}

/* static void sort_intervals(RmiInterval *, size_t): comparisons inline, arrays are sorted at each rescan */
#define ST_SORT sort_intervals
#define ST_ELEMENT_TYPE RmiInterval
#define ST_COMPARE(a, b) compare_intervals(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * "key <strategy> ANY (array)" as disjoint ascending intervals, palloc'd.
 * *n = 0: no key qualifies.  Null elements match nothing.
 */
static RmiInterval *
array_intervals(RmiKeyType type, ScanKey skey, int *n, bool *recheck)
{
	RmiKeyType	subtype = subtype_of(type, skey->sk_subtype);
	ArrayType  *array = DatumGetArrayTypeP(skey->sk_argument);
	RmiInterval *iv;
	Datum	   *elems;
	bool	   *nulls;
	int			nelems,
				nfound = 0,
				last = 0;
	bool		wide = false;

	switch (subtype)
	{
		case RMI_KEY_INT2:
			deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(int16), true,
							  TYPALIGN_SHORT, &elems, &nulls, &nelems);
			break;
		case RMI_KEY_INT4:
		case RMI_KEY_DATE:
			deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(int32), true,
							  TYPALIGN_INT, &elems, &nulls, &nelems);
			break;
		default:
			deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(int64), FLOAT8PASSBYVAL,
							  TYPALIGN_DOUBLE, &elems, &nulls, &nelems);
			break;
	}

	iv = MemoryContextAllocHuge(CurrentMemoryContext,
								sizeof(RmiInterval) * (Size) Max(nelems, 1));
	for (int i = 0; i < nelems; i++)
	{
		RmiInterval *v = &iv[nfound];

		if (nulls[i])
			continue;
		v->lo_null = v->hi_null = false;
		if (interval_for(type, skey->sk_strategy, subtype, elems[i], &v->lo, &v->hi, &wide))
			nfound++;
	}
	pfree(elems);
	pfree(nulls);
	if ((Pointer) array != DatumGetPointer(skey->sk_argument))
		pfree(array);

	*n = nfound;
	if (nfound == 0)
		return iv;
	if (wide)
		*recheck = true;

	/* sort; join what overlaps or touches */
	sort_intervals(iv, nfound);
	for (int i = 1; i < nfound; i++)
	{
		if (iv[last].hi == PG_INT64_MAX || iv[i].lo <= iv[last].hi + 1)
			iv[last].hi = Max(iv[last].hi, iv[i].hi);
		else
			iv[++last] = iv[i];
	}
	*n = last + 1;
	return iv;
}

/* Make room for n intervals; keeps none. */
static void
reserve(RmiQuals *quals, int n)
{
	if (quals->iv == NULL)
		quals->iv = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(RmiInterval) * (Size) n);
	else if (quals->size < n)
		quals->iv = repalloc_huge(quals->iv, sizeof(RmiInterval) * (Size) n);
	else
		return;
	quals->size = n;
}

/*
 * Replace the set by its intersection with another disjoint ascending list.
 * Two lists of n and m intervals have at most n + m - 1 in common.
 */
static void
intersect(RmiQuals *quals, const RmiInterval *other, int n)
{
	int			nold = quals->n,
				i = 0,
				j = 0,
				nnew = 0;
	RmiInterval *old;

	if (nold == 0 || n == 0)
	{
		quals->n = 0;
		return;
	}

	old = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(RmiInterval) * (Size) nold);
	memcpy(old, quals->iv, sizeof(RmiInterval) * (Size) nold);
	reserve(quals, nold + n);
	while (i < nold && j < n)
	{
		int64		lo = Max(old[i].lo, other[j].lo);
		int64		hi = Min(old[i].hi, other[j].hi);

		if (lo <= hi)
			quals->iv[nnew++] = (RmiInterval) {lo, hi, false, false};
		if (old[i].hi < other[j].hi)
			i++;
		else
			j++;
	}
	pfree(old);
	quals->n = nnew;
}

/*
 * Set quals to what the scan keys (joined by AND) ask for.  Strict operators:
 * a null constant, a null array or one without elements match nothing.
 */
void
rmi_quals_set(RmiQuals *quals, Relation index, RmiKeyType type,
			  ScanKey keys, int nkeys)
{
	int64		lo = PG_INT64_MIN,
				hi = PG_INT64_MAX;
	bool		want_values = true,
				want_nulls = true;
	int			narrays = 0;

	quals->n = 0;
	quals->recheck = false;
	reserve(quals, 1);

	for (int i = 0; i < nkeys; i++)
	{
		ScanKey		skey = &keys[i];
		int64		klo,
					khi;

		if (skey->sk_attno != 1 || (skey->sk_flags & SK_ROW_HEADER))
			elog(ERROR, "unexpected scan key for kyro_rmi index \"%s\"",
				 RelationGetRelationName(index));

		if (skey->sk_flags & SK_SEARCHNULL)
			want_values = false;
		else if (skey->sk_flags & SK_SEARCHNOTNULL)
			want_nulls = false;
		else if (skey->sk_flags & SK_ISNULL)
			return;
		else if (skey->sk_flags & SK_SEARCHARRAY)
		{
			want_nulls = false;
			narrays++;
		}
		else
		{
			want_nulls = false;
			if (!interval_for(type, skey->sk_strategy, subtype_of(type, skey->sk_subtype),
							  skey->sk_argument, &klo, &khi, &quals->recheck))
				return;
			lo = Max(lo, klo);
			hi = Min(hi, khi);
		}
	}

	if (!want_values)
	{
		if (want_nulls)
			quals->iv[quals->n++] = (RmiInterval) {0, 0, true, true};
		return;
	}
	if (lo > hi)
		return;
	quals->iv[quals->n++] = (RmiInterval) {lo, want_nulls ? 0 : hi, false, want_nulls};
	if (narrays == 0)
		return;

	for (int i = 0; i < nkeys && quals->n > 0; i++)
	{
		if (keys[i].sk_flags & SK_SEARCHARRAY)
		{
			int			n;
			RmiInterval *iv = array_intervals(type, &keys[i], &n, &quals->recheck);

			intersect(quals, iv, n);
			pfree(iv);
		}
	}
}
