/*-------------------------------------------------------------------------
 *
 * radix.c
 *	  In-place radix sort of index entries.
 *
 * Most significant digit first, permuting in place ("American flag"), so that
 * the whole of a memory budget can hold items.  The digit is not a fixed
 * byte: each stretch looks at which bits differ within it and takes its digit
 * from the highest of them, so that common prefixes (small numbers, times,
 * ids of one period) cost nothing, and its width follows from the number of
 * items.  Where all keys of a stretch are equal, the same is done with the
 * tids.  Short stretches are sorted by insertion, sorted ones are left alone.
 *
 * IDENTIFICATION
 *	  src/model/radix.c
 *
 *-------------------------------------------------------------------------
 */
#include "model/radix.h"

#define DIGIT_BITS_MAX	8
#define BUCKETS_MAX		(1 << DIGIT_BITS_MAX)

/* Up to here, insertion sort is the fastest. */
#define SHORT_STRETCH	24

/*
 * So many items before a bucket is filled up to there, memory is asked for: the
 * buckets of a long stretch are too many for the processor to foresee.  Without,
 * 10 million random keys take 20 % longer.
 */
#define PREFETCH_ITEMS	8

/* poll() is called once per so many items moved. */
#define POLL_ITEMS		262144

typedef struct RadixState
{
	void		(*poll) (void);
	size_t		since_poll;
} RadixState;

static inline void
count_work(RadixState *state, size_t n)
{
	state->since_poll += n;
	if (state->since_poll >= POLL_ITEMS && state->poll)
	{
		state->since_poll = 0;
		state->poll();
	}
}

static void
insertion_sort(RadixItem *items, size_t n)
{
	for (size_t i = 1; i < n; i++)
	{
		RadixItem	it = items[i];
		size_t		j = i;

		while (j > 0 && radix_less(&it, &items[j - 1]))
		{
			items[j] = items[j - 1];
			j--;
		}
		items[j] = it;
	}
}

static inline uint32_t
digit(const RadixItem *it, bool by_tid, uint32_t shift, uint32_t mask)
{
	return (uint32_t) ((by_tid ? it->tid : it->ukey) >> shift) & mask;
}

/*
 * Each level takes at least two bits of the highest that differ, so there
 * are no more than 56 levels of about 4 kB of stack, and only keys made for
 * the purpose get there.
 */
static void
sort_stretch(RadixItem *items, size_t n, RadixState *state)
{
	size_t		next[BUCKETS_MAX];
	size_t		end[BUCKETS_MAX];
	uint64_t	key_diff = 0;
	uint64_t	tid_diff = 0;
	uint64_t	diff;
	bool		sorted = true;
	bool		by_tid;
	uint32_t	bits;
	uint32_t	top;
	uint32_t	shift;
	uint32_t	mask;
	size_t		sum = 0;
	size_t		moved = 0;

	if (n <= SHORT_STRETCH)
	{
		insertion_sort(items, n);
		return;
	}

	for (size_t i = 1; i < n; i++)
	{
		key_diff |= items[i].ukey ^ items[0].ukey;
		tid_diff |= items[i].tid ^ items[0].tid;
		sorted &= !radix_less(&items[i], &items[i - 1]);
		if (i % POLL_ITEMS == 0)
			count_work(state, POLL_ITEMS);
	}
	if (sorted)
		return;

	/* not sorted, so something differs */
	by_tid = key_diff == 0;
	diff = by_tid ? tid_diff & ~RADIX_FLAG : key_diff;

	/* buckets of about eight items, if the digit is spread evenly */
	bits = 2;
	while (bits < DIGIT_BITS_MAX && (n >> (bits + 3)) > 0)
		bits++;
	top = 64 - (uint32_t) __builtin_clzll(diff);
	shift = top > bits ? top - bits : 0;
	mask = (1u << bits) - 1;

	for (uint32_t b = 0; b <= mask; b++)
		end[b] = 0;
	for (size_t i = 0; i < n; i++)
		end[digit(&items[i], by_tid, shift, mask)]++;
	for (uint32_t b = 0; b <= mask; b++)
	{
		next[b] = sum;
		sum += end[b];
		end[b] = sum;
	}
	count_work(state, n < POLL_ITEMS ? n : 0);

	/* Carry each misplaced item home, and the one found there, in a circle. */
	for (uint32_t b = 0; b <= mask; b++)
	{
		while (next[b] < end[b])
		{
			RadixItem	it = items[next[b]];
			uint32_t	d = digit(&it, by_tid, shift, mask);

			while (d != b)
			{
				size_t		to = next[d]++;
				RadixItem	found = items[to];

				__builtin_prefetch(&items[to + PREFETCH_ITEMS], 1);
				items[to] = it;
				it = found;
				d = digit(&it, by_tid, shift, mask);
				moved++;
			}
			items[next[b]++] = it;

			/* every item is in the array again: a good moment to be left */
			if (++moved >= POLL_ITEMS)
			{
				count_work(state, moved);
				moved = 0;
			}
		}
	}

	sum = 0;
	for (uint32_t b = 0; b <= mask; b++)
	{
		if (end[b] - sum > 1)
			sort_stretch(items + sum, end[b] - sum, state);
		sum = end[b];
	}
}

void
radix_sort(RadixItem *items, size_t n, void (*poll) (void))
{
	RadixState	state = {poll, 0};

	sort_stretch(items, n, &state);
}
