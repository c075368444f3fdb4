/*-------------------------------------------------------------------------
 *
 * datasets.c
 *	  Seeded key sets for tests and benchmarks.
 *
 * Each set is a stand-in for a kind of column, or for one of the data sets
 * that papers on learned indexes use.  How hard a set is for a learned index
 * shows in the number of lines that are needed to approximate position by
 * key: --pla prints it for errors of 32 and 4096 positions, per million keys.
 * Uniform, normal and exponential gaps are equally easy (about 265 and 1).
 *
 * Unsigned 64-bit sets (books, fb, osm) are stored XOR 2^63, which keeps
 * their order in a signed integer.
 *
 * This is bench code: it uses floating point, unlike anything in src/model.
 * Tests link it as a library; the program kyro_datasets is
 *
 *	  gcc -O2 -DDATASETS_MAIN -Isrc bench/datasets.c src/model/radix.c -lm
 *
 * IDENTIFICATION
 *	  bench/datasets.c
 *
 *-------------------------------------------------------------------------
 */
#include "datasets.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/radix.h"

#define TAU		6.283185307179586
#define DAY		86400.0

/* ---- random numbers ---- */

typedef struct Rng
{
	uint64_t	state;
	double		spare_normal;
	bool		have_spare;
} Rng;

static Rng
rng_seed(uint64_t seed)
{
	Rng			r = {seed * UINT64_C(0xD1342543DE82EF95) + 1, 0, false};

	return r;
}

/* splitmix64 */
static uint64_t
rng_next(Rng *r)
{
	uint64_t	z = (r->state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* 0 < result < 1 */
static double
rng_unit(Rng *r)
{
	return ((double) (rng_next(r) >> 11) + 0.5) * 0x1p-53;
}

/* 0 .. n - 1 */
static uint64_t
rng_below(Rng *r, uint64_t n)
{
	return (uint64_t) (((unsigned __int128) rng_next(r) * n) >> 64);
}

static double
rng_exp(Rng *r, double mean)
{
	return -log(rng_unit(r)) * mean;
}

static double
rng_normal(Rng *r)
{
	double		radius;
	double		angle;

	if (r->have_spare)
	{
		r->have_spare = false;
		return r->spare_normal;
	}
	radius = sqrt(-2 * log(rng_unit(r)));
	angle = TAU * rng_unit(r);
	r->spare_normal = radius * sin(angle);
	r->have_spare = true;
	return radius * cos(angle);
}

/* Mean 1, standard deviation cv. */
static double
rng_lognormal(Rng *r, double cv)
{
	double		var = log(1 + cv * cv);

	return exp(rng_normal(r) * sqrt(var) - var / 2);
}

/* For small means. */
static unsigned
rng_poisson(Rng *r, double mean)
{
	double		limit = exp(-mean);
	double		p = rng_unit(r);
	unsigned	n = 0;

	while (p > limit)
	{
		p *= rng_unit(r);
		n++;
	}
	return n;
}

static void
out_of_memory(void)
{
	fprintf(stderr, "out of memory\n");
	exit(1);
}

static void
sort_keys(int64_t *keys, size_t n)
{
	RadixItem  *items = malloc((n ? n : 1) * sizeof(RadixItem));

	if (!items)
		out_of_memory();
	for (size_t i = 0; i < n; i++)
		items[i] = (RadixItem) {kyro_bias(keys[i]), 0};
	radix_sort(items, n, NULL);
	for (size_t i = 0; i < n; i++)
		keys[i] = kyro_unbias(items[i].ukey);
	free(items);
}

/* ---- the sets ---- */

static void
make_dense(int64_t *keys, size_t n, uint64_t seed)
{
	(void) seed;
	for (size_t i = 0; i < n; i++)
		keys[i] = (int64_t) i + 1;
}

static void
make_holes(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	int64_t		id = 0;

	for (size_t i = 0; i < n; i++)
	{
		do
			id++;
		while (rng_unit(&r) >= 0.84);
		keys[i] = id;
	}
}

static void
make_uniform(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	bool		repeats;

	for (size_t i = 0; i < n; i++)
		keys[i] = (int64_t) (rng_next(&r) >> 1);
	do
	{
		/* distinct: draw anew what came twice */
		repeats = false;
		sort_keys(keys, n);
		for (size_t i = n; i > 1; i--)
		{
			if (keys[i - 1] == keys[i - 2])
			{
				keys[i - 1] = (int64_t) (rng_next(&r) >> 1);
				repeats = true;
			}
		}
	} while (repeats);
}

/* Microseconds since 2000-01-01, from 2024-01-01 on. */
static void
make_timestamps(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	double		t = 0;

	for (size_t i = 0; i < n; i++)
	{
		t += rng_exp(&r, 1 / (200 * (1 + 0.8 * sin(TAU * t / DAY))));
		if (rng_unit(&r) < 0.02)
			t += rng_exp(&r, 0.2);
		keys[i] = INT64_C(757382400000000) + (int64_t) (t * 1e6);
	}
}

/* Unix seconds; more than one row per key is normal. */
static void
make_seconds(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	int64_t		t = 0;
	size_t		i = 0;

	while (i < n)
	{
		double		rate = 0.8 * (1 + 0.3 * sin(TAU * (double) t / DAY)) *
			(1 + (double) t / (365 * DAY));
		unsigned	rows;

		if (rng_unit(&r) < 0.01)
			rate *= 4;
		rows = rng_poisson(&r, rate);
		for (; rows > 0 && i < n; rows--)
			keys[i++] = INT64_C(1600000000) + t;
		t++;
	}
}

/* Milliseconds << 22 | machine << 12 | number within the millisecond. */
static void
make_snowflake(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	int64_t		ms = INT64_C(400000000000);
	size_t		i = 0;

	while (i < n)
	{
		unsigned	rows[32] = {0};

		for (unsigned k = rng_poisson(&r, 1.0); k > 0; k--)
			rows[rng_below(&r, 32)]++;
		for (int machine = 0; machine < 32; machine++)
		{
			for (unsigned seq = 0; seq < rows[machine] && i < n; seq++)
				keys[i++] = ms << 22 | (int64_t) machine << 12 | seq;
		}
		ms++;
	}
}

static void
make_books(int64_t *keys, size_t n, uint64_t seed)
{
	double	   *sums = malloc((n ? n : 1) * sizeof(double));
	Rng			r = rng_seed(seed);
	double		sum = 0;

	if (!sums)
		out_of_memory();
	for (size_t i = 0; i < n; i++)
	{
		double		u = ((double) i + 0.5) / (double) n;

		sum += 0.35 * pow(1 - u, -0.65) * rng_lognormal(&r, 2.7);
		sums[i] = sum;
	}
	for (size_t i = 0; i < n; i++)
		keys[i] = kyro_unbias((uint64_t) (sums[i] / sum * 0x1.fffffffffffffp62));
	free(sums);
}

static void
make_fb(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	size_t		outliers = n < 5 ? n : 5;
	double		regime = 1;
	uint64_t	id = 0;

	for (size_t i = 0; i < n - outliers; i++)
	{
		if (i % 100 == 0)
			regime = exp(1.5 * rng_normal(&r) - 1.5 * 1.5 / 2);
		id += 1 + (uint64_t) (386 * rng_lognormal(&r, 8) * regime);
		keys[i] = kyro_unbias(id);
	}
	/* k 2^64 / 9 for k = 5 .. 9, the last one less 1 */
	for (size_t i = 0; i < outliers; i++)
	{
		uint64_t	k = 9 - (outliers - 1) + i;

		keys[n - outliers + i] = kyro_unbias(k == 9 ? UINT64_MAX :
											 (uint64_t) (((unsigned __int128) k << 64) / 9));
	}
}

/* Position of a point along the Hilbert curve over 2^32 x 2^32 cells. */
static uint64_t
hilbert(uint32_t x, uint32_t y)
{
	uint64_t	d = 0;

	for (int bit = 31; bit >= 0; bit--)
	{
		uint32_t	rx = (x >> bit) & 1;
		uint32_t	ry = (y >> bit) & 1;

		d = d << 2 | ((3 * rx) ^ ry);
		if (ry == 0)
		{
			uint32_t	swap;

			if (rx == 1)
			{
				x = ~x;
				y = ~y;
			}
			swap = x;
			x = y;
			y = swap;
		}
	}
	return d;
}

static double
wrap(double v)
{
	return v - floor(v);
}

#define CITIES	30000

static void
make_osm(int64_t *keys, size_t n, uint64_t seed)
{
	typedef struct City
	{
		double		x;
		double		y;
		double		sigma;
		double		street;		/* grid step */
		double		weight;		/* of this and all before */
	} City;
	City	   *cities = malloc(CITIES * sizeof(City));
	Rng			r = rng_seed(seed);
	double		sum = 0;

	if (!cities)
		out_of_memory();
	for (int c = 0; c < CITIES; c++)
	{
		cities[c].x = rng_unit(&r);
		cities[c].y = rng_unit(&r);
		cities[c].sigma = pow(10, -4.5 + 2.5 * rng_unit(&r));
		cities[c].street = cities[c].sigma / 50;
		sum += pow(c + 1, -0.9);
		cities[c].weight = sum;
	}
	for (size_t i = 0; i < n; i++)
	{
		double		w = rng_unit(&r) * sum;
		int			lo = 0;
		int			hi = CITIES - 1;
		const City *city;
		double		x;
		double		y;

		while (lo < hi)
		{
			int			mid = (lo + hi) / 2;

			if (cities[mid].weight > w)
				hi = mid;
			else
				lo = mid + 1;
		}
		city = &cities[lo];
		x = rng_normal(&r) * city->sigma;
		y = rng_normal(&r) * city->sigma;
		if (rng_unit(&r) < 0.6)
		{
			/* a house along a street: one coordinate is the street's */
			if (rng_next(&r) & 1)
				x = round(x / city->street) * city->street;
			else
				y = round(y / city->street) * city->street;
		}
		x = wrap(city->x + x);
		y = wrap(city->y + y);
		keys[i] = kyro_unbias(hilbert((uint32_t) (x * 0x1p32), (uint32_t) (y * 0x1p32)));
	}
	free(cities);
	sort_keys(keys, n);
}

/* ---- edges ---- */

static void
make_allequal(int64_t *keys, size_t n, uint64_t seed)
{
	(void) seed;
	for (size_t i = 0; i < n; i++)
		keys[i] = 42;
}

/* Both ends of the type and what lies next to them, each three times. */
static void
make_ends(int64_t *keys, size_t n, uint64_t seed)
{
	size_t		half = n / 2;

	(void) seed;
	for (size_t i = 0; i < half; i++)
		keys[i] = INT64_MIN + (int64_t) (i / 3);
	for (size_t i = half; i < n; i++)
		keys[i] = INT64_MAX - (int64_t) ((n - 1 - i) / 3);
}

/* Half of all rows have one and the same key, in the middle. */
static void
make_onekey(int64_t *keys, size_t n, uint64_t seed)
{
	(void) seed;
	for (size_t i = 0; i < n; i++)
	{
		if (i < n / 4)
			keys[i] = (int64_t) i;
		else if (i < n / 4 * 3)
			keys[i] = (int64_t) n;
		else
			keys[i] = (int64_t) (n + i);
	}
}

/* A 53-bit mantissa cannot tell these apart. */
static void
make_nanoseconds(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(seed);
	int64_t		t = INT64_C(1700000000000000000);

	for (size_t i = 0; i < n; i++)
	{
		t += 1 + (int64_t) rng_exp(&r, 80);
		keys[i] = t;
	}
}

static void
make_two(int64_t *keys, size_t n, uint64_t seed)
{
	(void) seed;
	for (size_t i = 0; i < n; i++)
		keys[i] = i == 0 ? INT64_MIN : INT64_MAX;
}

const DataSet datasets[] = {
	{"dense", "1 .. n: serial and identity columns", make_dense, SIZE_MAX},
	{"holes", "ids of which 16 % were deleted", make_holes, SIZE_MAX},
	{"uniform", "random 63-bit numbers", make_uniform, SIZE_MAX},
	{"timestamps", "event times in microseconds, by day and night, with pauses", make_timestamps, SIZE_MAX},
	{"seconds", "event times in seconds, with duplicates and bursts", make_seconds, SIZE_MAX},
	{"snowflake", "milliseconds, machine, sequence number", make_snowflake, SIZE_MAX},
	{"books", "like SOSD books", make_books, SIZE_MAX},
	{"fb", "like SOSD fb, with its 5 far-off keys", make_fb, SIZE_MAX},
	{"osm", "like SOSD osm: cities along a Hilbert curve", make_osm, SIZE_MAX},
	{"allequal", "one key only", make_allequal, SIZE_MAX},
	{"ends", "both ends of bigint", make_ends, SIZE_MAX},
	{"onekey", "half the rows have the same key", make_onekey, SIZE_MAX},
	{"nanoseconds", "event times around 1.7e18", make_nanoseconds, SIZE_MAX},
	{"two", "INT64_MIN and INT64_MAX", make_two, 2},
	{"empty", "no key", make_two, 0},
	{NULL, NULL, NULL, 0}
};

static const DataSet *
find_set(const char *name)
{
	for (const DataSet *d = datasets; d->name; d++)
	{
		if (strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

size_t
dataset_size(const char *name, size_t n)
{
	const DataSet *d = find_set(name);

	return !d ? 0 : n < d->n_max ? n : d->n_max;
}

int64_t *
dataset_generate(const char *name, size_t n, uint64_t seed)
{
	const DataSet *d = find_set(name);
	int64_t    *keys;

	if (!d)
		return NULL;
	n = dataset_size(name, n);
	keys = malloc((n ? n : 1) * sizeof(int64_t));
	if (keys)
		d->make(keys, n, seed);
	return keys;
}

void
dataset_shuffle(int64_t *keys, size_t n, uint64_t seed)
{
	Rng			r = rng_seed(~seed);

	for (size_t i = n; i > 1; i--)
	{
		size_t		j = rng_below(&r, i);
		int64_t		swap = keys[i - 1];

		keys[i - 1] = keys[j];
		keys[j] = swap;
	}
}

/* ---- piecewise linear approximation ---- */

typedef struct Point
{
	uint64_t	x;
	int64_t		y;
} Point;

/*
 * The hull of one side of the corridor, as far as later lines can touch it:
 * points[from .. n).
 */
typedef struct Hull
{
	Point	   *points;
	size_t		from;
	size_t		n;
	size_t		size;
} Hull;

/*
 * > 0 if b to c is steeper than a to b; a.x < b.x < c.x.  Exact: 64 bits of
 * key times 40 bits of position.
 */
static int
turn(Point a, Point b, Point c)
{
	__int128	l = (__int128) (b.y - a.y) * (__int128) (c.x - b.x);
	__int128	r = (__int128) (c.y - b.y) * (__int128) (b.x - a.x);

	return r > l ? 1 : r < l ? -1 : 0;
}

/* > 0 if p lies above the line from a to b, with a.x < b.x <= p.x. */
static int
above(Point a, Point b, Point p)
{
	__int128	l = (__int128) (b.y - a.y) * (__int128) (p.x - a.x);
	__int128	r = (__int128) (p.y - a.y) * (__int128) (b.x - a.x);

	return r > l ? 1 : r < l ? -1 : 0;
}

/* Add p on the right; sign 1 keeps a convex (lower) hull, -1 an upper one. */
static bool
hull_add(Hull *h, Point p, int sign)
{
	while (h->n - h->from >= 2 &&
		   sign * turn(h->points[h->n - 2], h->points[h->n - 1], p) <= 0)
		h->n--;
	if (h->n == h->size)
	{
		size_t		size = h->size ? h->size * 2 : 1024;
		Point	   *points = realloc(h->points, size * sizeof(Point));

		if (!points)
			return false;
		h->points = points;
		h->size = size;
	}
	h->points[h->n++] = p;
	return true;
}

/*
 * The point of the hull at which a line to p touches it: with sign 1 the
 * hull is convex, lies left of and above p's line, which has the largest
 * slope; with -1 all upside down.  Points before it are of no more use.
 */
static Point
hull_touch(Hull *h, Point p, int sign)
{
	while (h->n - h->from >= 2 &&
		   sign * above(h->points[h->from], h->points[h->from + 1], p) >= 0)
		h->from++;
	return h->points[h->from];
}

/*
 * Greedy, which is optimal: each segment takes as many keys as one line can
 * serve.  The line has to pass each key between "floor" (position - eps) and
 * "ceiling" (position + eps).  What is possible lies between two extreme
 * lines: the steepest, from a floor on the left to a ceiling on the right,
 * and the flattest, from a ceiling to a floor.  A key that lies beyond both
 * ends the segment, others turn the lines.  Rows with one key are one point
 * with a lower ceiling and a higher floor; where that leaves no room they
 * need segments of their own.
 */
size_t
dataset_pla(const int64_t *keys, size_t n, uint32_t eps)
{
	Hull		ceilings = {NULL, 0, 0, 0};
	Hull		floors = {NULL, 0, 0, 0};
	Point		steep[2] = {{0, 0}, {0, 0}};
	Point		flat[2] = {{0, 0}, {0, 0}};
	size_t		segments = 0;
	size_t		in_segment = 0; /* distinct keys */
	bool		ok = true;

	for (size_t i = 0, next; i < n && ok; i = next)
	{
		Point		c;
		Point		f;

		for (next = i + 1; next < n && keys[next] == keys[i];)
			next++;
		if (next - i > 2 * (size_t) eps + 1)
		{
			segments += (in_segment > 0) + (next - i + 2 * (size_t) eps) / (2 * (size_t) eps + 1);
			in_segment = 0;
			continue;
		}
		c.x = f.x = kyro_bias(keys[i]);
		c.y = (int64_t) i + eps;
		f.y = (int64_t) next - 1 - eps;

		if (in_segment >= 2 &&
			(above(flat[0], flat[1], c) < 0 || above(steep[0], steep[1], f) > 0))
		{
			segments++;
			in_segment = 0;
		}
		if (in_segment == 0)
			ceilings.from = ceilings.n = floors.from = floors.n = 0;
		else
		{
			if (in_segment == 1 || above(steep[0], steep[1], c) < 0)
			{
				steep[0] = hull_touch(&floors, c, -1);
				steep[1] = c;
			}
			if (in_segment == 1 || above(flat[0], flat[1], f) > 0)
			{
				flat[0] = hull_touch(&ceilings, f, 1);
				flat[1] = f;
			}
		}
		in_segment++;
		ok = hull_add(&ceilings, c, 1) && hull_add(&floors, f, -1);
	}
	free(ceilings.points);
	free(floors.points);
	return ok ? segments + (in_segment > 0) : 0;
}

#ifdef DATASETS_MAIN

static void
usage(FILE *to)
{
	fprintf(to,
			"usage: kyro_datasets SET N SEED [key|random|zigzag] [-i]\n"
			"       kyro_datasets SET N SEED --pla\n\n"
			"Prints N keys, one a line, in key order (default), random order or from\n"
			"both ends in turn.  -i puts a row number and a tab before each, for COPY.\n"
			"--pla prints how many lines approximate positions within 32 and 4096,\n"
			"per million keys.\n\n");
	for (const DataSet *d = datasets; d->name; d++)
		fprintf(to, "  %-12s %s\n", d->name, d->what);
}

static uint64_t
number(const char *text)
{
	char	   *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end)
	{
		fprintf(stderr, "kyro_datasets: not a number: %s\n", text);
		exit(2);
	}
	return v;
}

int
main(int argc, char **argv)
{
	const char *arg[4] = {NULL, NULL, NULL, "key"};
	int			nargs = 0;
	bool		row_ids = false;
	bool		pla = false;
	bool		zigzag;
	int64_t    *keys;
	size_t		n;
	uint64_t	seed;

	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "-i") == 0)
			row_ids = true;
		else if (strcmp(argv[i], "--pla") == 0)
			pla = true;
		else if (strcmp(argv[i], "--help") == 0)
		{
			usage(stdout);
			return 0;
		}
		else if (nargs < 4 && argv[i][0] != '-')
			arg[nargs++] = argv[i];
		else
			nargs = 99;
	}
	zigzag = strcmp(arg[3], "zigzag") == 0;
	if (nargs < 3 || nargs > 4 || !find_set(arg[0]) ||
		(!zigzag && strcmp(arg[3], "key") != 0 && strcmp(arg[3], "random") != 0))
	{
		usage(stderr);
		return 2;
	}
	n = dataset_size(arg[0], number(arg[1]));
	seed = number(arg[2]);
	keys = dataset_generate(arg[0], n, seed);
	if (!keys)
		out_of_memory();

	if (pla)
	{
		double		per = n ? 1e6 / (double) n : 0;

		printf("%s n=%zu seed=%llu PLA-32=%.1f PLA-4096=%.1f\n",
			   arg[0], n, (unsigned long long) seed,
			   (double) dataset_pla(keys, n, 32) * per,
			   (double) dataset_pla(keys, n, 4096) * per);
	}
	else
	{
		if (strcmp(arg[3], "random") == 0)
			dataset_shuffle(keys, n, seed);
		for (size_t i = 0; i < n; i++)
		{
			size_t		at = !zigzag ? i : i % 2 ? n - 1 - i / 2 : i / 2;

			if (row_ids)
				printf("%zu\t", i + 1);
			printf("%lld\n", (long long) keys[at]);
		}
	}
	free(keys);
	if (fflush(stdout) != 0)
	{
		perror("kyro_datasets");
		return 1;
	}
	return 0;
}

#endif							/* DATASETS_MAIN */
