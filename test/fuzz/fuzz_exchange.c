/*-------------------------------------------------------------------------
 *
 * fuzz_exchange.c
 *	  Models from elsewhere: any bytes as a file, and files that were changed
 *	  on the way, for any keys.
 *
 * Input: a seed (8 bytes), what to do (1 byte), then bytes of a file; or a recipe for
 * keys and changes of a file that was trained on them.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_exchange.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "model/learned_exchange.h"
#include "model_check.h"

#define KEYS_MAX 3000

static uint64_t rng;
static int64_t keys[KEYS_MAX];
static uint32_t nkeys;

/* The last of the keys that is <= key, 0 if none is. */
static uint32_t
last_at(int64_t key)
{
	uint32_t	at = 0;

	for (uint32_t lo = 0, hi = nkeys; lo < hi;)
	{
		uint32_t	mid = (lo + hi) / 2;

		if (keys[mid] <= key)
			at = lo = mid + 1;
		else
			hi = mid;
	}
	return at ? at - 1 : 0;
}

/* A model that fits and was measured answers for any key, as one trained here. */
static void
use_measured(const LearnedModel *m)
{
	EXPECT(learned_check(m, m->bytes) == NULL);
	EXPECT(eps_is_exact(m, keys));
	for (uint32_t i = 0; i < nkeys * 3 + 100; i++)
	{
		int64_t		key = i < nkeys * 3 ? (int64_t) ((uint64_t) keys[i / 3] + i % 3 - 1) : (int64_t) fuzz_random(&rng);
		LearnedWindow w = learned_predict(m, key);

		EXPECT(w.lo <= last_at(key) && last_at(key) <= w.hi && w.hi < nkeys);
	}
}

/* What rmi_import() does with a file. */
static void
import(const void *bytes, size_t size)
{
	LearnedModel *m = malloc(size < LEARNED_FILE_MAX ? size ? size : 1 : LEARNED_FILE_MAX);
	LearnedModel *mine = malloc(learned_bytes(nkeys));
	uint32_t	key_type,
				leaf,
				taken;
	uint64_t	before;

	if (learned_import(bytes, size, m, &key_type) == NULL)
	{
		EXPECT(key_type != 0 && m->bytes == size);
		if (nkeys > 0 && learned_fit(m, keys, nkeys, &leaf) == NULL)
		{
			learned_measure(m, keys);
			use_measured(m);
			learned_train(mine, keys, sizeof(int64_t), nkeys, 7);
			before = learned_steps(mine, keys);
			if (m->segment == mine->segment)
			{
				taken = learned_take(mine, m, keys);
				EXPECT(taken <= mine->nmodels && learned_steps(mine, keys) <= before);
				use_measured(mine);
			}
		}
		else
			EXPECT(nkeys == 0 || m->nentries != nkeys || leaf < m->nmodels);
	}
	free(m);
	free(mine);
}

static void
some_keys(FuzzInput *in)
{
	int64_t		key = (int64_t) fuzz_take(in, 8);
	uint32_t	n = (uint32_t) (fuzz_take(in, 2) % KEYS_MAX);
	int			shift = (int) (fuzz_take(in, 1) % 64);

	nkeys = n;
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	d = fuzz_random(&rng) >> shift;

		if (d > (uint64_t) INT64_MAX - (uint64_t) key)
			d = fuzz_random(&rng) % 2 ? (uint64_t) INT64_MAX - (uint64_t) key : 0;
		key = (int64_t) ((uint64_t) key + d);
		keys[i] = key;
	}
}

/* A file with other coefficients, another segment, or anything else that was changed. */
static void
changed(FuzzInput *in)
{
	LearnedModel *m;
	LearnedModel *file;
	LearnedLine *lines;
	uint8_t    *bytes;
	size_t		len;

	some_keys(in);
	m = malloc(learned_bytes(nkeys));
	learned_train(m, keys, sizeof(int64_t), nkeys, 7);
	file = malloc(m->bytes);
	learned_export(m, 3, file);
	lines = (LearnedLine *) (file + 1);
	bytes = (uint8_t *) file;
	len = file->bytes;
	import(file, len);
	while (in->left > 0)
	{
		unsigned	what = (unsigned) fuzz_take(in, 1);
		uint64_t	value = fuzz_take(in, 1 + what % 8);

		if (what >= 128 && m->nmodels > 0)
		{
			LearnedLine *lm = &lines[value % m->nmodels];

			switch (what / 8 % 4)
			{
				case 0:
					lm->slope = value * UINT64_C(0x9E3779B97F4A7C15);
					break;
				case 1:
					lm->base = (int32_t) (value >> 8);
					break;
				case 2:
					lm->shift = (uint32_t) (value >> 8) % 130;
					break;
				default:
					lm->eps = (uint32_t) (value >> 8);
			}
		}
		else
			bytes[value % len] ^= (uint8_t) (1 << what % 8);
	}
	if (rng & 1 && file->bytes == len && file->nmodels == m->nmodels)
		learned_close(file);
	import(file, rng % 4 == 3 ? fuzz_random(&rng) % (len + 1) : len);
	free(file);
	free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, size};
	unsigned	what;

	if (size < 9)
		return 0;
	rng = fuzz_take(&in, 8);
	what = (unsigned) fuzz_take(&in, 1);
	if (what & 1)
		changed(&in);
	else
	{
		if (what & 2)
			some_keys(&in);
		else
			nkeys = 0;
		/* also at an odd address */
		import(in.p, in.left);
	}
	return 0;
}
