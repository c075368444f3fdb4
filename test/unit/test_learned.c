/*-------------------------------------------------------------------------
 *
 * test_learned.c
 *	  Unit tests of the recursive model index.
 *
 * The property under test: for every int64 target the window holds the last
 * entry with key <= target, and eps is the largest error, exactly.
 *
 * IDENTIFICATION
 *	  test/unit/test_learned.c
 *
 *-------------------------------------------------------------------------
 */
#include "model/learned.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "datasets.h"
#include "model_check.h"
#include "tap.h"

static uint64_t state = 1;

static uint64_t
rnd(void)
{
	uint64_t	z = (state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Last entry with key <= target, 0 if there is none. */
static uint32_t
last_at_or_before(const int64_t *keys, uint32_t n, int64_t target)
{
	uint32_t	lo = 0;
	uint32_t	hi = n;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (keys[mid] <= target)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? lo - 1 : 0;
}

/* Last model whose split is <= target, by looking at all. */
static uint32_t
route_slowly(const LearnedModel *m, int64_t target)
{
	uint32_t	at = 0;

	for (uint32_t i = 0; i < m->nmodels; i++)
	{
		if (learned_splits(m)[i] <= target)
			at = i;
	}
	return at;
}

static bool
holds(const LearnedModel *m, const int64_t *keys, int64_t target)
{
	uint32_t	answer = last_at_or_before(keys, m->nentries, target);
	LearnedWindow w = learned_predict(m, target);
	const LearnedLine *lm;

	if (w.model >= m->nmodels)
		return false;
	lm = &learned_lines(m)[w.model];
	return w.lo <= answer && answer <= w.hi && w.hi < m->nentries &&
		w.lo <= w.predicted && w.predicted <= w.hi &&
		w.hi - w.lo <= 2 * lm->eps + 1 &&
		w.predicted == learned_predict_one(lm, target);
}

/* With its neighbours, as far as there are any. */
static bool
holds_around(const LearnedModel *m, const int64_t *keys, int64_t target)
{
	return holds(m, keys, target) &&
		(target == INT64_MIN || holds(m, keys, target - 1)) &&
		(target == INT64_MAX || holds(m, keys, target + 1));
}

static LearnedModel *
train(const int64_t *keys, uint32_t n)
{
	LearnedModel *m = malloc(learned_bytes(n));

	learned_train(m, keys, sizeof(int64_t), n, 77);
	return m;
}

static void
check_keys(const char *name, const int64_t *keys, uint32_t n)
{
	LearnedModel *m = train(keys, n);
	const char *problem = learned_check(m, learned_bytes(n));
	bool		good = true;
	double		eps_sum = 0;

	ok(problem == NULL && m->nentries == n && m->generation == 77 &&
	   m->bytes == learned_bytes(n),
	   "%s, %u entries: the trained model is sound%s%s", name, n,
	   problem ? ": " : "", problem ? problem : "");
	for (uint32_t i = 0; i < m->nmodels; i++)
		eps_sum += learned_lines(m)[i].eps;
	ok(eps_is_exact(m, keys), "%s, %u entries: eps is exact; mean %.1f, max %u",
	   name, n, m->nmodels ? eps_sum / m->nmodels : 0, m->eps_max);

	if (n > 0)
	{
		for (uint32_t i = 0; i < n && good; i++)
			good = holds_around(m, keys, keys[i]);
		ok(good, "%s, %u entries: every key and its neighbours", name, n);

		good = holds_around(m, keys, INT64_MIN) && holds_around(m, keys, INT64_MAX) &&
			holds_around(m, keys, 0);
		for (int i = 0; i < 20000 && good; i++)
		{
			uint32_t	at = (uint32_t) (rnd() % n);
			uint64_t	gap = at + 1 < n ? (uint64_t) keys[at + 1] - (uint64_t) keys[at] : 1000;

			good = holds(m, keys, (int64_t) rnd());
			if (gap > 0)
				good &= holds(m, keys, (int64_t) ((uint64_t) keys[at] + rnd() % gap));
		}
		ok(good, "%s, %u entries: ends, random keys, random gaps", name, n);

		good = true;
		for (uint32_t i = 0; i < m->nmodels && good; i++)
		{
			int64_t		split = learned_splits(m)[i];

			good = learned_route(m, split) == route_slowly(m, split) &&
				(split == INT64_MIN || learned_route(m, split - 1) == route_slowly(m, split - 1)) &&
				(split == INT64_MAX || learned_route(m, split + 1) == route_slowly(m, split + 1));
		}
		ok(good, "%s, %u entries: routes around every split", name, n);

		good = true;
		for (uint32_t i = 0; i < m->nmodels && good; i++)
		{
			const LearnedLine *lm = &learned_lines(m)[i];

			good = lm->count <= m->segment;
		}
		ok(good && m->segment >= LEARNED_SEGMENT && m->nmodels <= LEARNED_LINES_MAX,
		   "%s, %u entries: no model has more than its share", name, n);
	}
	free(m);
}

/* As a directory would have it: every step-th key of a set. */
static void
check_set(const char *name, size_t n, size_t step)
{
	int64_t    *keys = dataset_generate(name, n, 3);
	size_t		m = 0;

	n = dataset_size(name, n);
	for (size_t i = 0; i < n; i += step)
		keys[m++] = keys[i];
	check_keys(name, keys, (uint32_t) m);
	free(keys);
}

static int
compare_keys(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

static void
check_edges(void)
{
	static const int64_t one[] = {5};
	static const int64_t low[] = {INT64_MIN};
	static const int64_t high[] = {INT64_MAX};
	static const int64_t both[] = {INT64_MIN, INT64_MAX};
	static const int64_t near[] = {INT64_MAX - 1, INT64_MAX};
	int64_t    *keys = malloc(300000 * sizeof(int64_t));
	uint32_t	n;

	check_keys("no key", NULL, 0);
	check_keys("one key", one, 1);
	check_keys("INT64_MIN", low, 1);
	check_keys("INT64_MAX", high, 1);
	check_keys("both ends", both, 2);
	check_keys("upper end", near, 2);

	for (n = 63; n <= 66; n++)
	{
		for (uint32_t i = 0; i < n; i++)
			keys[i] = (int64_t) i * 1000 - 20000;
		check_keys("around one model", keys, n);
	}

	/* Duplicates over several models, with each possible border. */
	for (uint32_t start = 60; start <= 68; start += 2)
	{
		n = 500;
		for (uint32_t i = 0; i < n; i++)
			keys[i] = i < start ? (int64_t) i : i < start + 250 ? 1000 : (int64_t) (i + 1000);
		check_keys("a key over several models", keys, n);
	}
	for (uint32_t i = 0; i < 1000; i++)
		keys[i] = (int64_t) (i / 100) * 7;
	check_keys("each key 100 times", keys, 1000);

	/* One cluster, and far-off keys at one or both ends. */
	for (uint32_t outliers = 1; outliers <= 20; outliers += 6)
	{
		n = 300;
		for (uint32_t i = 0; i < n; i++)
			keys[i] = kyro_unbias(i * UINT64_C(386) + rnd() % 300);
		for (uint32_t i = n - outliers; i < n; i++)
			keys[i] = kyro_unbias(UINT64_MAX / (outliers + 4) * (i - (n - outliers) + 5));
		check_keys("far-off keys above", keys, n);
		for (uint32_t i = 0; i < n; i++)
			keys[i] = kyro_unbias(UINT64_MAX / 2 + i);
		for (uint32_t i = 0; i < outliers; i++)
			keys[i] = kyro_unbias(i * UINT64_C(1000000007));
		check_keys("far-off keys below", keys, n);
	}

	/* Keys at exponential distances, duplicates among them. */
	n = 20000;
	for (uint32_t i = 0; i < n; i++)
		keys[i] = (int64_t) (rnd() >> (rnd() % 64));
	qsort(keys, n, sizeof(int64_t), compare_keys);
	check_keys("exponential keys", keys, n);

	/* More entries than 4096 models of 64 take. */
	for (uint32_t i = 0; i < 300000; i++)
		keys[i] = (int64_t) (rnd() >> (rnd() % 40));
	qsort(keys, 300000, sizeof(int64_t), compare_keys);
	check_keys("larger segments", keys, 300000);
	check_keys("the last with 64", keys, 262144);
	check_keys("the first with 65", keys, 262145);
	free(keys);
}

static void
check_quality(void)
{
	int64_t		keys[640];
	LearnedModel *m;

	/* A straight line must be found as such, whatever its slope. */
	for (int shift = 0; shift < 54; shift++)
	{
		bool		good;

		for (int i = 0; i < 640; i++)
			keys[i] = kyro_unbias((uint64_t) i << shift);
		m = train(keys, 640);
		good = m->eps_max <= 1;
		free(m);
		if (!ok(good, "a line with steps of 2^%d has eps <= 1", shift))
			break;
	}

	/*
	 * The middle line of a bend: 0 .. 31 at steps of 1, 32 .. 63 at steps of
	 * 3.
	 */
	for (int i = 0; i < 64; i++)
		keys[i] = i < 32 ? i : 32 + 3 * (i - 32);
	m = train(keys, 64);
	ok(m->eps_max <= 9, "a bend is missed by half of its depth: eps %u", m->eps_max);
	free(m);

	/* Far-off keys cost their number, not the whole model. */
	for (int i = 0; i < 64; i++)
		keys[i] = i < 59 ? i * 386 : kyro_unbias(UINT64_MAX / 9 * (uint64_t) (i - 54));
	m = train(keys, 64);
	ok(m->eps_max <= 5, "5 far-off keys: eps %u", m->eps_max);
	free(m);
}

static void
check_stride(void)
{
	struct
	{
		int64_t		key;
		uint32_t	other;
		uint32_t	more;
	}			items[1000];
	int64_t		keys[1000];
	LearnedModel *a;
	LearnedModel *b = malloc(learned_bytes(1000));

	for (int i = 0; i < 1000; i++)
	{
		items[i].key = keys[i] = (int64_t) i * i;
		items[i].other = items[i].more = (uint32_t) rnd();
	}
	a = train(keys, 1000);
	learned_train(b, &items[0].key, sizeof(items[0]), 1000, 77);
	ok(memcmp(a, b, learned_bytes(1000)) == 0, "keys inside of structures");
	learned_train(b, &items[0].key, sizeof(items[0]), 1000, 77);
	ok(memcmp(a, b, learned_bytes(1000)) == 0, "the same keys give the same bytes");
	free(a);
	free(b);
}

static void
close_with_hash(LearnedModel *m)
{
	uint64_t	hash = XXH64(m, m->bytes - sizeof(hash), 0);

	memcpy((char *) m + m->bytes - sizeof(hash), &hash, sizeof(hash));
}

/* Any bytes that pass the check must be safe to use, right hash or not. */
static bool
safe_to_use(const LearnedModel *m)
{
	for (int i = 0; i < 200 && m->nentries > 0; i++)
	{
		int64_t		key = i == 0 ? INT64_MIN : i == 1 ? INT64_MAX : (int64_t) (rnd() >> (rnd() % 64));
		LearnedWindow w = learned_predict(m, key);

		if (w.model >= m->nmodels || w.lo > w.predicted || w.predicted > w.hi ||
			w.hi >= m->nentries)
			return false;
	}
	return true;
}

static void
check_damage(void)
{
	int64_t		keys[700];
	size_t		size = learned_bytes(700);
	LearnedModel *good;
	LearnedModel *bad = malloc(size);
	bool		rejected = true;
	bool		safe = true;
	int			accepted = 0;

	for (int i = 0; i < 700; i++)
		keys[i] = (int64_t) (rnd() >> 20);
	qsort(keys, 700, sizeof(int64_t), compare_keys);
	good = train(keys, 700);

	ok(learned_check(good, size) == NULL, "the undamaged model passes");
	ok(learned_check(good, size + 100) == NULL, "and with bytes behind it");

	for (size_t bit = 0; bit < size * 8; bit++)
	{
		memcpy(bad, good, size);
		((unsigned char *) bad)[bit / 8] ^= (unsigned char) (1 << (bit % 8));
		rejected &= learned_check(bad, size) != NULL;
	}
	ok(rejected, "each of %zu flipped bits is noticed", size * 8);

	rejected = true;
	for (size_t len = 0; len < size; len++)
	{
		/* an exact allocation, so that a read behind it is caught */
		void	   *part = malloc(len ? len : 1);

		memcpy(part, good, len);
		rejected &= learned_check(part, len) != NULL;
		free(part);
	}
	ok(rejected, "each truncation is noticed");

	for (int round = 0; round < 200000; round++)
	{
		memcpy(bad, good, size);
		for (int k = (int) (rnd() % 3); k >= 0; k--)
		{
			/* mostly in the header, some interesting values */
			size_t		at = rnd() % (rnd() & 1 ? sizeof(LearnedModel) / 4 : size / 4 - 2);
			uint32_t	value = rnd() & 1 ? (uint32_t) rnd() : (uint32_t) (rnd() % 5) - 2;

			memcpy((char *) bad + at * 4, &value, sizeof(value));
		}
		if (bad->bytes != size)
			continue;
		close_with_hash(bad);
		if (learned_check(bad, size) == NULL)
		{
			accepted++;
			safe &= safe_to_use(bad);
		}
	}
	ok(safe, "forged models with a right hash are safe if they pass");
	ok(accepted > 100, "and some do pass: %d", accepted);

	free(good);
	free(bad);
}

/* Each check that follows the hash, by one forged field. */
static void
check_forgery(void)
{
	int64_t		keys[200];
	size_t		size = learned_bytes(200);
	LearnedModel *good;
	LearnedModel *bad = malloc(size);

	for (int i = 0; i < 200; i++)
		keys[i] = (int64_t) i * i;
	good = train(keys, 200);

#define FORGED(change, what) \
	do { \
		LearnedLine  *lm = (LearnedLine *) (bad + 1); \
		int64_t    *split = (int64_t *) (lm + good->nmodels); \
		memcpy(bad, good, size); \
		(void) lm; \
		(void) split; \
		change; \
		close_with_hash(bad); \
		ok(learned_check(bad, size) != NULL, "forged: %s", what); \
	} while (0)

	FORGED(bad->magic[0] = 'X', "magic");
	FORGED(bad->version++, "version");
	FORGED(bad->nentries += 100, "number of entries, models missing");
	FORGED(bad->nentries -= 1, "number of entries, one less");
	FORGED(bad->nentries = 0, "number of entries, none");
	FORGED(bad->segment = 0, "segment of nothing");
	FORGED(bad->segment++, "segment");
	FORGED(bad->eps_max++, "largest eps");
	FORGED(bad->key_min--, "key range");
	FORGED(bad->key_max++, "key range");
	FORGED(bad->spare = 1, "spare bytes");
	FORGED(lm[1].first++, "gap between models");
	FORGED(lm[3].count++, "model beyond the end");
	FORGED(lm[3].count = 0, "empty model");
	FORGED(lm[2].shift = 128, "shift");
	FORGED(lm[2].eps = 64, "eps larger than the model");
	FORGED(lm[2].spare = 1, "spare bytes of a model");
	FORGED(lm[1].key_max = lm[1].key_min - 1, "model upside down");
	FORGED(lm[1].key_max = lm[2].key_min + 1, "overlapping models");
	FORGED((lm[1].key_min = split[1] = lm[0].key_min - 1), "splits out of order");
	FORGED(split[2]++, "split that is not its model's first key");

	/* nmodels decides the size, so it takes a shorter block */
	memcpy(bad, good, size);
	bad->nmodels--;
	bad->bytes -= sizeof(LearnedLine) + sizeof(int64_t);
	close_with_hash(bad);
	ok(learned_check(bad, size) != NULL, "forged: one model less");

	free(good);
	free(bad);
}

int
main(void)
{
	for (const DataSet *d = datasets; d->name; d++)
	{
		check_set(d->name, 20000, 1);
		check_set(d->name, 600000, 300);
		check_set(d->name, 400000, 1);
	}
	check_edges();
	check_quality();
	check_stride();
	check_damage();
	check_forgery();
	return done_testing();
}
