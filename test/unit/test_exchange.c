/*-------------------------------------------------------------------------
 *
 * test_exchange.c
 *	  Models as files: what is exported comes back, what is spoiled is measured,
 *	  and of two models the better lines are taken.
 *
 * IDENTIFICATION
 *	  test/unit/test_exchange.c
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "model/learned_exchange.h"
#include "model_check.h"
#include "tap.h"

#define N 1000

static int64_t keys[N];

static LearnedModel *
trained(uint32_t n)
{
	LearnedModel *m = malloc(learned_bytes(n));

	learned_train(m, keys, sizeof(int64_t), n, 77);
	return m;
}

static LearnedLine *
lines(LearnedModel *m)
{
	return (LearnedLine *) (m + 1);
}

/* The windows of a model hold the last entry that is not above any key. */
static bool
finds_all(const LearnedModel *m, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		for (int d = -1; d <= 1; d++)
		{
			int64_t		key = (int64_t) ((uint64_t) keys[i] + (uint64_t) d);
			uint32_t	at = 0;
			LearnedWindow w = learned_predict(m, key);

			for (uint32_t j = 0; j < n && keys[j] <= key; j++)
				at = j;
			if (w.lo > at || w.hi < at)
				return false;
		}
	}
	return true;
}

static void
check_round_trip(uint32_t n)
{
	LearnedModel *m = trained(n);
	LearnedModel *file = malloc(m->bytes);
	LearnedModel *back = malloc(m->bytes);
	char	   *odd = malloc(m->bytes + 1);
	uint32_t	type = 0,
				leaf;

	learned_export(m, 3, file);
	memcpy(odd + 1, file, m->bytes);
	ok(learned_import(odd + 1, m->bytes, back, &type) == NULL && type == 3, "%u entries: a file comes back", n);
	ok(memcmp(learned_lines(back), learned_lines(m), m->nmodels * sizeof(LearnedLine)) == 0, "%u entries: with the same lines", n);
	ok(learned_fit(back, keys, n, &leaf) == NULL, "%u entries: it fits", n);
	learned_measure(back, keys);
	back->generation = m->generation;
	learned_close(back);
	ok(memcmp(back, m, m->bytes) == 0, "%u entries: and is the same model", n);
	for (size_t len = 0; len < m->bytes; len++)
	{
		if (learned_import(odd + 1, len, back, &type) == NULL)
			ok(false, "%zu of %u bytes are taken for a model", len, m->bytes);
	}
	free(m);
	free(file);
	free(back);
	free(odd);
}

static void
check_refused(void)
{
	LearnedModel *m = trained(N);
	LearnedModel *file = malloc(m->bytes);
	LearnedModel *back = malloc(LEARNED_FILE_MAX);
	char	   *longer = calloc(1, LEARNED_FILE_MAX + 1);
	uint32_t	type,
				leaf;

	learned_export(m, 0, file);
	ok(learned_import(file, m->bytes, back, &type) != NULL, "a file without a type of keys");
	file->generation = UINT64_C(1) << 32;
	learned_close(file);
	ok(learned_import(file, m->bytes, back, &type) != NULL, "or with a wide one");
	learned_export(m, 1, file);
	memcpy(longer, file, m->bytes);
	ok(learned_import(longer, m->bytes + 1, back, &type) != NULL, "bytes behind the end");
	ok(learned_import(longer, LEARNED_FILE_MAX + 1, back, &type) != NULL, "more bytes than any model has");

	ok(learned_import(file, m->bytes, back, &type) == NULL, "as it was");
	ok(learned_fit(back, keys, N - 1, &leaf) != NULL && leaf == 0, "of another number of entries");
	keys[64]++;
	ok(learned_fit(back, keys, N, &leaf) != NULL && leaf == 1, "line 1 begins elsewhere");
	keys[64]--;
	keys[N - 1]++;
	ok(learned_fit(back, keys, N, &leaf) != NULL && leaf == m->nmodels - 1, "the last line ends elsewhere");
	keys[N - 1]--;
	keys[100]++;
	ok(learned_fit(back, keys, N, &leaf) == NULL, "a key in the middle may have changed: it is measured");
	keys[100]--;
	free(m);
	free(file);
	free(back);
	free(longer);
}

static void
check_take(void)
{
	LearnedModel *mine = trained(N);
	LearnedModel *other = trained(N);
	uint64_t	before;

	/* what others claim is not believed */
	lines(other)[3].slope = 0;
	lines(other)[5].base = INT32_MIN;
	lines(other)[7].base = INT32_MAX;
	lines(other)[7].slope = UINT64_MAX;
	lines(other)[7].shift = 0;
	learned_close(other);
	ok(learned_check(other, other->bytes) == NULL && !eps_is_exact(other, keys), "a spoiled model that says it is as good as ever");
	learned_measure(other, keys);
	ok(eps_is_exact(other, keys) && learned_check(other, other->bytes) == NULL, "is measured");
	ok(finds_all(other, N), "and finds all");
	before = learned_steps(mine, keys);
	ok(learned_steps(other, keys) > before, "it takes more steps");
	ok(learned_take(mine, other, keys) == 0 && learned_steps(mine, keys) == before, "nothing of it is taken");
	ok(learned_take(other, mine, keys) == 3 && learned_steps(other, keys) == before, "and it takes three lines");
	ok(finds_all(other, N) && eps_is_exact(other, keys) && learned_check(other, other->bytes) == NULL, "with which it is sound");
	free(mine);
	free(other);
}

int
main(void)
{
	for (int i = 0; i < N; i++)
		keys[i] = (int64_t) i * i * i - 5000000;
	check_round_trip(0);
	check_round_trip(1);
	check_round_trip(65);
	check_round_trip(N);
	check_refused();
	check_take();
	keys[0] = INT64_MIN;
	keys[N - 1] = INT64_MAX;
	check_round_trip(2);
	check_round_trip(N);
	for (int i = 0; i < N; i++)
		keys[i] = i < 700 ? 7 : 8;
	check_round_trip(N);
	return done_testing();
}
