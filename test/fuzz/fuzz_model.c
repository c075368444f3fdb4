/*-------------------------------------------------------------------------
 *
 * fuzz_model.c
 *	  The recursive model index: any bytes as a model, any keys to train on.
 *
 * Input: a seed (8 bytes), what to do (1 byte), bytes of a model or a recipe
 * for keys.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_model.c
 *
 *-------------------------------------------------------------------------
 */
#include <xxhash.h>

#include "fuzz.h"
#include "model/learned.h"
#include "model_check.h"

#define KEYS_MAX 20000

static uint64_t rng;

static int64_t
some_key(void)
{
	uint64_t	r = fuzz_random(&rng);

	return r % 8 == 0 ? INT64_MIN : r % 8 == 1 ? INT64_MAX : (int64_t) (fuzz_random(&rng) >> (r >> 8) % 64) *
		(r & 1024 ? 1 : -1);
}

/* What learned_check() lets through can be used, and the router is a search. */
static void
use_model(const LearnedModel *m)
{
	for (int i = 0; i < 64 && m->nentries > 0; i++)
	{
		int64_t		key = some_key();
		uint32_t	route = 0;
		LearnedWindow w;
		const LearnedLine *lm;

		if (i & 1)
			key = (int64_t) ((uint64_t) learned_splits(m)[fuzz_random(&rng) % m->nmodels] + fuzz_random(&rng) % 3 - 1);
		w = learned_predict(m, key);
		for (uint32_t j = 1; j < m->nmodels; j++)
			if (learned_splits(m)[j] <= key)
				route = j;
		EXPECT(w.model == route);
		lm = &learned_lines(m)[route];
		EXPECT(w.lo >= lm->first && w.lo <= w.predicted);
		EXPECT(w.predicted <= w.hi && w.hi < lm->first + lm->count && w.hi < m->nentries);
		if (key < INT64_MAX)
			EXPECT(learned_predict_one(lm, key) <= learned_predict_one(lm, key + 1));
	}
}

static void
any_bytes(FuzzInput *in, int what)
{
	size_t		size = in->left;
	LearnedModel *m = malloc(size ? size : 1);

	memcpy(m, in->p, size);
	if (what & 1 && size >= sizeof(LearnedModel) + 8)
	{
		uint64_t	hash;

		memcpy(m->magic, LEARNED_MAGIC, sizeof(m->magic));
		m->version = LEARNED_VERSION;
		m->spare = 0;
		if (what & 2)
		{
			/* as many models as there is room for, one after the other */
			LearnedLine *lm = (LearnedLine *) (m + 1);
			int64_t    *splits;

			m->nmodels = (uint32_t) ((size - sizeof(LearnedModel) - 8) / (sizeof(LearnedLine) + 8));
			m->segment = m->segment % 1000 + 1;
			m->nentries = m->nmodels ? (m->nmodels - 1) * m->segment + 1 + m->nentries % m->segment : 0;
			splits = (int64_t *) (lm + m->nmodels);
			m->bytes = (uint32_t) ((char *) (splits + m->nmodels) + 8 - (char *) m);
			m->eps_max = 0;
			for (uint32_t i = 0; i < m->nmodels; i++)
			{
				lm[i].first = i * m->segment;
				lm[i].count = i + 1 < m->nmodels ? m->segment : m->nentries - lm[i].first;
				lm[i].eps %= lm[i].count;
				lm[i].shift %= 128;
				lm[i].spare = 0;
				if (i > 0 && lm[i].key_min < lm[i - 1].key_max)
					lm[i].key_min = lm[i - 1].key_max;
				if (lm[i].key_max < lm[i].key_min)
					lm[i].key_max = lm[i].key_min;
				splits[i] = lm[i].key_min;
				m->eps_max = lm[i].eps > m->eps_max ? lm[i].eps : m->eps_max;
			}
			m->key_min = m->nmodels ? lm[0].key_min : 0;
			m->key_max = m->nmodels ? lm[m->nmodels - 1].key_max : 0;
		}
		if (m->bytes >= sizeof(LearnedModel) + 8 && m->bytes <= size)
		{
			hash = XXH64(m, m->bytes - 8, 0);
			memcpy((char *) m + m->bytes - 8, &hash, 8);
		}
		if ((what & 2) && m->nmodels > 0 && m->nmodels <= LEARNED_LINES_MAX)
			EXPECT(learned_check(m, size) == NULL);
	}
	if (learned_check(m, size) == NULL)
		use_model(m);
	free(m);
}

/* The last of keys[0 .. n) that is <= key, 0 if none is. */
static uint32_t
last_at(const int64_t *keys, uint32_t n, int64_t key)
{
	uint32_t	lo = 0;
	uint32_t	hi = n;

	while (lo < hi)
	{
		uint32_t	mid = (lo + hi) / 2;

		if (keys[mid] <= key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? lo - 1 : 0;
}

static void
train(FuzzInput *in)
{
	static int64_t keys[KEYS_MAX];
	int64_t		key = (int64_t) fuzz_take(in, 8);
	uint32_t	n = 0;
	size_t		stride = 8 * (1 + rng % 3);
	char	   *spaced;
	LearnedModel *m;

	/* stretches of a step each, with some noise */
	while (in->left >= 4 && n < KEYS_MAX)
	{
		uint32_t	count = 1u << fuzz_take(in, 1) % 12;
		uint64_t	step = fuzz_take(in, 1) << fuzz_take(in, 1) % 57;
		unsigned	noise = (unsigned) fuzz_take(in, 1);

		for (uint32_t i = 0; i < count && n < KEYS_MAX; i++)
		{
			uint64_t	d = step + (noise < 128 ? fuzz_random(&rng) >> (noise % 64) : 0);

			if (noise >= 192 && fuzz_random(&rng) % 4 != 0)
				d = 0;
			if (d > (uint64_t) INT64_MAX - (uint64_t) key)
				d = (noise & 1) ? (uint64_t) INT64_MAX - (uint64_t) key : 0;
			key = (int64_t) ((uint64_t) key + d);
			keys[n++] = key;
		}
	}
	spaced = malloc(n * stride + 1);
	for (uint32_t i = 0; i < n; i++)
		memcpy(spaced + i * stride, &keys[i], 8);
	m = malloc(learned_bytes(n));
	learned_train(m, (const int64_t *) spaced, stride, n, rng);
	EXPECT(m->bytes == learned_bytes(n));
	EXPECT(learned_check(m, m->bytes) == NULL);
	EXPECT(m->nentries == n);
	EXPECT(eps_is_exact(m, keys));
	for (uint32_t i = 0; i < n * 3 + 100 && n > 0; i++)
	{
		int64_t		k = i < n * 3 ? (int64_t) ((uint64_t) keys[i / 3] + i % 3 - 1) : some_key();
		LearnedWindow w = learned_predict(m, k);
		uint32_t	at = last_at(keys, n, k);

		EXPECT(w.lo <= at && at <= w.hi && w.hi < n);
	}
	use_model(m);
	free(m);
	free(spaced);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, size};
	int			what;

	if (size < 9)
		return 0;
	rng = fuzz_take(&in, 8);
	what = (int) fuzz_take(&in, 1);
	if (what & 4)
		train(&in);
	else
		any_bytes(&in, what);
	return 0;
}
