/*-------------------------------------------------------------------------
 *
 * test_radix.c
 *	  Unit tests of the radix sort.
 *
 * IDENTIFICATION
 *	  test/unit/test_radix.c
 *
 *-------------------------------------------------------------------------
 */
#include "model/radix.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "datasets.h"
#include "tap.h"

static uint64_t state = 1;
static int	polls;
static jmp_buf out;

static uint64_t
rnd(void)
{
	uint64_t	z = (state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static void
count_poll(void)
{
	polls++;
}

static void
leave(void)
{
	if (++polls == 3)
		longjmp(out, 1);
}

/* A total order, flag included, to compare as multisets. */
static int
compare_all(const void *va, const void *vb)
{
	const RadixItem *a = va;
	const RadixItem *b = vb;

	if (radix_less(a, b) || radix_less(b, a))
		return radix_less(a, b) ? -1 : 1;
	return (a->tid > b->tid) - (a->tid < b->tid);
}

/* Are items[0..n) in order and the same entries as copy[0..n)?  Sorts copy. */
static bool
sorted_copy(RadixItem *items, RadixItem *copy, size_t n)
{
	for (size_t i = 1; i < n; i++)
	{
		if (radix_less(&items[i], &items[i - 1]))
			return false;
	}
	if (n == 0)
		return true;
	qsort(items, n, sizeof(RadixItem), compare_all);
	qsort(copy, n, sizeof(RadixItem), compare_all);
	return memcmp(items, copy, n * sizeof(RadixItem)) == 0;
}

enum
{
	TIDS_ASCENDING, TIDS_WRAPPED, TIDS_RANDOM, TIDS_FEW, TIDS_KINDS
};

static uint64_t
make_tid(int kind, size_t i, size_t n)
{
	uint64_t	flag = rnd() & 1 ? RADIX_FLAG : 0;

	switch (kind)
	{
		case TIDS_ASCENDING:
			return flag | ((i / 200) << 16 | (i % 200 + 1));
		case TIDS_WRAPPED:
			i = (i + n / 3) % n;
			return flag | ((i / 200) << 16 | (i % 200 + 1));
		case TIDS_RANDOM:
			return flag | (rnd() & KYRO_TID_MAX);
		default:
			return flag | rnd() % 3;
	}
}

/* A function of its own, as compilers fear for the caller's variables. */
__attribute__((noinline))
static bool
sort_until_left(RadixItem *items, size_t n)
{
	if (setjmp(out) != 0)
		return true;
	radix_sort(items, n, leave);
	return false;
}

int
main(void)
{
	static const size_t sizes[] = {0, 1, 2, 3, 23, 24, 25, 26, 100, 1000, 50000};
	size_t		n_max = 600000;
	RadixItem  *items = malloc(n_max * sizeof(RadixItem));
	RadixItem  *copy = malloc(n_max * sizeof(RadixItem));
	size_t		n;

	for (const DataSet *d = datasets; d->name; d++)
	{
		for (int kind = 0; kind < TIDS_KINDS; kind++)
		{
			bool		good = true;

			for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			{
				for (int shuffled = 0; shuffled < 2; shuffled++)
				{
					int64_t    *keys = dataset_generate(d->name, sizes[s], 7);

					n = dataset_size(d->name, sizes[s]);
					if (shuffled)
						dataset_shuffle(keys, n, 7);
					for (size_t i = 0; i < n; i++)
						items[i] = (RadixItem) {kyro_bias(keys[i]), make_tid(kind, i, n)};
					memcpy(copy, items, n * sizeof(RadixItem));
					radix_sort(items, n, NULL);
					good &= sorted_copy(items, copy, n);
					free(keys);
				}
			}
			ok(good, "%s, tids of kind %d", d->name, kind);
		}
	}

	/* Keys that leave as little to each level as can be. */
	n = 5000;
	for (size_t i = 0; i < n; i++)
		items[i] = (RadixItem) {rnd() >> (rnd() % 64), (rnd() & KYRO_TID_MAX) >> (rnd() % 48)};
	memcpy(copy, items, n * sizeof(RadixItem));
	radix_sort(items, n, NULL);
	ok(sorted_copy(items, copy, n), "exponentially spread keys and tids");

	for (size_t i = 0; i < n; i++)
		items[i] = (RadixItem) {1, (rnd() & KYRO_TID_MAX) >> (rnd() % 48)};
	memcpy(copy, items, n * sizeof(RadixItem));
	radix_sort(items, n, NULL);
	ok(sorted_copy(items, copy, n), "one key, exponentially spread tids");

	for (size_t i = 0; i < n; i++)
		items[i] = (RadixItem) {9, 5 | (rnd() & 1 ? RADIX_FLAG : 0)};
	memcpy(copy, items, n * sizeof(RadixItem));
	radix_sort(items, n, NULL);
	ok(sorted_copy(items, copy, n), "only the flag differs");

	n = n_max;
	for (size_t i = 0; i < n; i++)
		items[i] = (RadixItem) {n - i, i};
	memcpy(copy, items, n * sizeof(RadixItem));
	radix_sort(items, n, count_poll);
	ok(sorted_copy(items, copy, n), "descending keys");
	ok(polls >= 4, "a long sort polls: %d times", polls);

	/* Leaving from poll must not lose or double an entry. */
	for (size_t i = 0; i < n; i++)
		items[i] = (RadixItem) {rnd(), i};
	memcpy(copy, items, n * sizeof(RadixItem));
	polls = 0;
	ok(sort_until_left(items, n), "poll can leave the sort");
	radix_sort(items, n, NULL);
	ok(sorted_copy(items, copy, n), "and nothing is lost");

	free(items);
	free(copy);
	return done_testing();
}
