/*-------------------------------------------------------------------------
 *
 * fuzz_sort.c
 *	  The radix sort, against qsort().
 *
 * Input: a seed (8 bytes), then stretches of items: how many, which bits of
 * keys and tids differ.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_sort.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "model/radix.h"

#define ITEMS_MAX 300000

static long polls;

static void
poll(void)
{
	polls++;
}

static int
compare(const void *a, const void *b)
{
	return radix_less(a, b) ? -1 : radix_less(b, a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, size};
	uint64_t	rng = fuzz_take(&in, 8);
	RadixItem  *items;
	RadixItem  *want;
	size_t		n = 0;
	RadixItem	last = {0, 1};

	items = malloc(sizeof(RadixItem) * ITEMS_MAX);
	while (in.left >= 4)
	{
		uint32_t	count = 1u << fuzz_take(&in, 1) % 18;
		unsigned	key_bits = (unsigned) fuzz_take(&in, 1);
		unsigned	tid_bits = (unsigned) fuzz_take(&in, 1);
		unsigned	shape = (unsigned) fuzz_take(&in, 1);

		for (uint32_t i = 0; i < count && n < ITEMS_MAX; i++)
		{
			uint64_t	k = fuzz_random(&rng) >> key_bits % 64;
			uint64_t	t = fuzz_random(&rng) >> (16 + tid_bits % 48);

			if (shape & 1)
				k = key_bits & 64 ? last.ukey + (key_bits & 1) : last.ukey;
			if (shape & 2)
				k <<= shape >> 3 & 31;
			if (shape & 4)
				t = last.tid + 1;
			last = (RadixItem) {k, t & KYRO_TID_MAX};
			items[n] = last;
			/* the flag follows from the rest, so that it can be checked */
			if ((k ^ t) % 3 == 0)
				items[n].tid |= RADIX_FLAG;
			n++;
		}
	}
	items = realloc(items, n ? sizeof(RadixItem) * n : 1);
	want = malloc(n ? sizeof(RadixItem) * n : 1);
	memcpy(want, items, sizeof(RadixItem) * n);
	qsort(want, n, sizeof(RadixItem), compare);
	radix_sort(items, n, rng & 1 ? poll : NULL);
	for (size_t i = 0; i < n; i++)
		EXPECT(items[i].ukey == want[i].ukey && ((items[i].tid ^ want[i].tid) & ~RADIX_FLAG) == 0 &&
			   ((items[i].tid & RADIX_FLAG) != 0) == ((items[i].ukey ^ (items[i].tid & ~RADIX_FLAG)) % 3 == 0));
	free(items);
	free(want);
	return 0;
}
