/*-------------------------------------------------------------------------
 *
 * fuzz_leaf.c
 *	  Fuzzer for the leaf page: any bytes as a page, every function on them.
 *
 * The first byte says how the rest becomes a page: as it is; with the header's
 * counts and the block descriptors' offsets put right, so that the fuzzer gets
 * past the cheap checks; or as a recipe for a sound page and damage to it.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_leaf.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "leaf_exercise.h"

static void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t) v;
	p[1] = (uint8_t) (v >> 8);
}

/* Make header and descriptors plausible. */
static void
mend(uint8_t *page)
{
	LeafHeader	h;
	unsigned	slots = 0;
	unsigned	off;

	memcpy(&h, page + KYRO_PAGE_HEADER, sizeof(h));
	h.nblk %= 9;
	h.nrun %= KYRO_RUN_CAP + 1;
	h.flags &= LEAF_LOW_NULL | LEAF_HIGH_NULL;
	memset(h.spare, 0, sizeof(h.spare));
	off = KYRO_LEAF_FIRST + 32u * h.nblk;
	for (unsigned b = 0; b < h.nblk; b++)
	{
		uint8_t    *d = page + KYRO_LEAF_FIRST + 8 * h.nblk + 24 * b;
		unsigned	n = d[2] + 1u;

		d[6] = (uint8_t) ((int8_t) d[6] % 24);	/* ke */
		d[7] %= 65;				/* kw */
		d[9] &= d[9] & 2 ? 7 : 15;	/* mode */
		d[10] = d[9] & 1 ? 0 : d[10] % 49;	/* tw */
		d[11] = (uint8_t) ((int8_t) d[11] % 24);	/* te */
		put16(d, off);
		put16(d + 16, d[9] & 1 ? d[16] % n + 1 : 0);	/* nx */
		slots += n;
		if (d[9] & 2)
			off += (n + 7) / 8;
		if (d[9] & 8)
			off += 1u + page[off];
		if (d[9] & 4)
		{
			put16(page + off, page[off] % (KYRO_BLOCK_EXTRAS + 1));
			off += 2 + 7u * page[off];
		}
		off += 7u * d[16] + (n * (d[7] + d[10]) + 7) / 8;
		if (off > 7000)
		{
			h.nblk = 0;
			slots = 0;
			off = KYRO_LEAF_FIRST;
			break;
		}
	}
	h.pend = (uint16_t) off;
	h.nslot = (uint16_t) slots;
	memcpy(page + KYRO_PAGE_HEADER, &h, sizeof(h));
}

/* Build a page from keys and tids that the bytes describe, then damage it. */
static void
brew(Exercise *x, uint8_t *page, const uint8_t *data, size_t size)
{
	KyroEntry  *e = malloc(sizeof(*e) * 2048);
	KyroEntry	prev = {0, 1};
	unsigned	shape = size > 0 ? data[0] : 0;
	unsigned	percent = size > 1 ? data[1] % 101 : 0;
	size_t		i = 2;
	int			n = 0;
	int			live;

	while (i + 2 < size && n < 2048 && data[i] != 255)
	{
		KyroEntry	next = prev;
		unsigned	repeat = data[i] % 64 + 1u;

		for (unsigned r = 0; r < repeat && n < 2048; r++)
		{
			next.key = (int64_t) ((uint64_t) next.key +
								  ((uint64_t) (data[i + 1] % 128) << (shape % 58)));
			next.tid = (next.tid + ((uint64_t) (data[i + 2] + 1u) << (shape / 58 * 8))) &
				KYRO_TID_MAX;
			if (n > 0 && kyro_entry_cmp(prev, next) >= 0)
				break;
			e[n++] = prev = next;
		}
		i += 3;
	}
	i++;
	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	if (n > 0)
	{
		int			built = (int) leaf_build(page, e, (size_t) n, x->work);

		for (int j = built; j < n; j++)
			(void) leaf_run_add(page, e[j], false);
		/* updates: the same keys with other tids */
		for (int j = 0; j < n && j < 40; j++)
		{
			KyroEntry	update = {e[j * 7 % n].key, 0xABCDEF0000 + (uint64_t) j};
			bool		there = false;

			for (int k = 0; k < n; k++)
				there |= kyro_entry_cmp(e[k], update) == 0;
			if (!there)
				(void) leaf_run_add(page, update, false);
		}
		if (leaf_merge(page, x->image[0], x->work) == 1)
			memcpy(page, x->image[0], KYRO_PAGE_SIZE);
		if (leaf_vacuum(page, x->image[0], exercise_dead, &percent, &live, x->work) > 0)
			memcpy(page, x->image[0], KYRO_PAGE_SIZE);
	}
	if (leaf_verify(page) != NULL)
		abort();
	for (; i + 2 < size; i += 3)
	{
		unsigned	at = (data[i] | data[i + 1] << 8) % KYRO_PAGE_SIZE;

		page[at] ^= data[i + 2];
	}
	free(e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"scalar", "sse2", "avx2"};
	Exercise	x;
	uint8_t    *page;
	uint64_t	seed = 0;

	if (size < 8)
		return 0;
	page = aligned_alloc(64, KYRO_PAGE_SIZE);
	memset(page, 0, KYRO_PAGE_SIZE);
	memcpy(&seed, data, 8);
	data += 8;
	size -= 8;
	memcpy(page + KYRO_PAGE_HEADER, data,
		   size < KYRO_PAGE_SIZE - KYRO_PAGE_HEADER ? size : KYRO_PAGE_SIZE - KYRO_PAGE_HEADER);
	(void) leaf_kernel_force(names[(seed >> 8) % 3]);
	exercise_init(&x);
	if (seed & 0x80)
		mend(page);
	else if (seed & 0x40)
		brew(&x, page, data, size);
	exercise_page(&x, page, seed);
	exercise_free(&x);
	free(page);
	return 0;
}
