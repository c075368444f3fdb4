/*-------------------------------------------------------------------------
 *
 * leaf_read.c
 *	  Reading leaf pages: point lookups, short ranges, cursors, statistics.
 *
 * IDENTIFICATION
 *	  src/model/leaf_read.c
 *
 *-------------------------------------------------------------------------
 */
#include "leaf_internal.h"

/* ---- which block ---- */

/*
 * Where a straight line through first[0] and first[n - 1] would have key,
 * 0 .. n - 2.  Needs first[0] <= key < first[n - 1], so n > 1.
 */
static inline int
interpolate(const int64_t *first, int n, int64_t key)
{
	uint64_t	span = (uint64_t) first[n - 1] - (uint64_t) first[0];
	uint64_t	rel = (uint64_t) key - (uint64_t) first[0];
	int			shift = bit_width(span) - 48;
	int			i;

	if (shift > 0)
	{
		span >>= shift;
		rel >>= shift;
	}
	i = (int) (rel * (unsigned) (n - 1) / span);
	return i > n - 2 ? n - 2 : i;
}

/* The last of first[0..n) that is <= key, or -1. */
static inline int
last_le(const int64_t *first, int n, int64_t key)
{
	int			lo = 0;
	int			len = n;

	if (n <= 6)
	{
		for (int i = 0; i < n; i++)
			lo += first[i] <= key;
		return lo - 1;
	}
	if (n <= 16)
		return leaf_kernels->count_le(first, n, key) - 1;
	/* pages with many blocks are mostly regular: a guess is often right */
	if (key >= first[n - 1])
		return n - 1;
	if (key >= first[0])
	{
		int			i = interpolate(first, n, key);

		if (first[i] <= key && key < first[i + 1])
			return i;
	}
	/* branch-free halving, then one pass over what is left */
	while (len > 12)
	{
		int			half = len / 2;

		lo += first[lo + half] <= key ? half : 0;
		len -= half;
	}
	return lo + leaf_kernels->count_le(first + lo, len, key) - 1;
}

int
leaf_block_of(const void *page, KyroEntry e)
{
	int			nblk = leaf_header_const(page)->nblk;
	const int64_t *first = leaf_first(page);
	int			b = last_le(first, nblk, e.key);
	int			lo;

	if (b <= 0 || first[b] != e.key)
		return b < 0 ? 0 : b;
	/* blocks lo + 1 .. b start with this very key: their tids decide */
	if (e.key == INT64_MIN)
		lo = -1;
	else
		lo = last_le(first, nblk, e.key - 1);
	while (lo < b)
	{
		int			mid = lo + (b - lo + 1) / 2;
		BlockView	v;

		if (!block_open(page, mid, &v))
			return -1;
		if (kyro_entry_cmp(block_first_entry(&v), e) <= 0)
			lo = mid;
		else
			b = mid - 1;
	}
	return lo < 0 ? 0 : lo;
}

/* ---- point lookup ---- */

void
leaf_prefetch(const void *page, LeafShape shape, uint32_t at)
{
	const uint8_t *p = (const uint8_t *) page;
	unsigned	nblk = shape.nblk;
	unsigned	payload = (unsigned) LEAF_PAYLOAD(nblk);
	unsigned	bytes = shape.pend > payload ? shape.pend - payload : 0;
	unsigned	b = (unsigned) ((uint64_t) nblk * at >> 32);
	unsigned	slot = payload + (unsigned) ((uint64_t) bytes * at >> 32);

	/* the header, first[] about the guess and its end, the descriptor */
	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
	__builtin_prefetch(leaf_first(page) + b);
	__builtin_prefetch(leaf_first(page) + nblk);
	__builtin_prefetch(leaf_desc(page, (int) nblk) + b);
	/* the block's first slot, and the slot with room for error */
	if (nblk > 0)
		__builtin_prefetch(p + payload + bytes * b / nblk);
	__builtin_prefetch(p + slot - 64);
	__builtin_prefetch(p + slot);
	__builtin_prefetch(p + slot + 64);
}

/* Live entries with the key first + rel in one block; adds to *count and *probes.  Returns the lower bound. */
static int
find_in_block(const BlockView *v, uint64_t rel, uint64_t *tids, int max, int *count,
			  int *predicted, int *probes)
{
	uint64_t	res0 = block_residual(v, 0);
	const uint8_t *run = NULL;
	int			lo = block_lower_bound(v, rel, predicted, probes);
	int			i = lo;

	for (; i < v->n && block_rel(v, i, res0) == rel; i++)
	{
		if ((v->d->mode & BLK_DEAD) && block_slot_dead(v, i))
			continue;
		if (*count < max)
		{
			if ((v->d->mode & BLK_RLE) == 0)
				tids[*count] = block_tid(v, i);
			else
			{
				/* look for the run once, then step along */
				if (run == NULL)
					run = block_tid_run(v, i);
				while (run + BLK_TRIPLE < v->bits && run[BLK_TRIPLE] <= i)
					run += BLK_TRIPLE;
				tids[*count] = block_run_tid(run, i);
			}
		}
		(*count)++;
	}
	for (int j = 0; i > lo && j < v->nextras; j++)
	{
		const uint8_t *x = v->extras + j * BLK_TRIPLE;

		if (x[0] < lo)
			continue;
		if (x[0] >= i)
			break;
		if (*count < max)
			tids[*count] = load48(x + 1);
		(*count)++;
	}
	return lo;
}

int
leaf_find(const void *page, int64_t key, uint64_t *tids, int max, LeafProbe *probe)
{
	const LeafHeader *h = leaf_header_const(page);
	const uint8_t *bytes = (const uint8_t *) page;
	const int64_t *first = leaf_first(page);
	int			count = 0;
	int			nblk;
	int			b;
	LeafProbe	unwanted;
	uint64_t	hits = 0;

	if (probe == NULL)
		probe = &unwanted;
	/* the header, first keys and descriptors; then the run, if there is one */
	for (int i = 1; i <= 4; i++)
		__builtin_prefetch(bytes + 64 * i);
	if (!leaf_header_ok(page))
		return LEAF_CORRUPT;
	nblk = h->nblk;
	for (int i = leaf_upper(page); i < KYRO_PAGE_END; i += 64)
		__builtin_prefetch(bytes + i);
	b = last_le(first, nblk, key);
	/* equal keys may start at the end of the block before */
	while (b > 0 && first[b] == key)
		b--;
	if (b >= 0)
	{
		BlockView	v;
		int			again;
		int		   *predicted = &probe->predicted;

		if (!block_open(page, b, &v))
			return LEAF_CORRUPT;
		if (v.width > 0)
		{
			int			p = block_predict(v.d, (uint64_t) key - v.first);

			p = p < v.n ? p : v.n - 1;
			__builtin_prefetch(v.bits + (p * v.width >> 3));
			__builtin_prefetch(v.bits);
		}
		if (h->nrun > 0)
			hits = leaf_kernels->run_match(bytes + KYRO_PAGE_END, h->nrun, key);
		probe->block = b;
		probe->probes = 0;
		probe->eps = v.d->eps;
		for (;;)
		{
			int			found = find_in_block(&v, (uint64_t) key - v.first, tids, max, &count, predicted, &probe->probes);

			if (predicted != &again)
				probe->found = found;
			predicted = &again;
			if (count > max)
				return count;
			if (++b >= nblk || first[b] != key)
				break;
			if (!block_open(page, b, &v))
				return LEAF_CORRUPT;
		}
	}
	else
	{
		if (h->nrun > 0)
			hits = leaf_kernels->run_match(bytes + KYRO_PAGE_END, h->nrun, key);
		*probe = (LeafProbe) {-1, 0, KYRO_LEAF_CAP, 0, 0};
	}
	for (; hits != 0; hits &= hits - 1)
	{
		int			j = __builtin_ctzll(hits);

		if (count < max)
			tids[count] = load48(run_chunk(page, j) + 64 + j % 8 * 6);
		count++;
	}
	if (count > max)
		return count;
	/* nearly sorted already: only extras and the run can be out of place */
	for (int i = 1; i < count; i++)
	{
		uint64_t	t = tids[i];
		int			j = i;

		for (; j > 0 && tids[j - 1] > t; j--)
			tids[j] = tids[j - 1];
		tids[j] = t;
	}
	return count;
}

/* ---- short ranges ---- */

/* The slots of a clean block with keys lo .. hi.  hi is not below its first key. */
static void
slots_between(const BlockView *v, int64_t lo, int64_t hi, int *from, int *to)
{
	uint64_t	rel = (uint64_t) hi - v->first;
	int			predicted;
	int			probes = 0;

	*from = lo <= (int64_t) v->first ? 0 :
		block_lower_bound(v, (uint64_t) lo - v->first, &predicted, &probes);
	*to = rel == UINT64_MAX ? v->n : block_lower_bound(v, rel + 1, &predicted, &probes);
}

/* The same of a block that must be decoded as a whole; its entries end up in e. */
__attribute__((noinline))
static int
entries_between(const BlockView *v, int64_t lo, int64_t hi, KyroEntry *e, int max, bool *before, bool *after)
{
	KyroEntry	all[KYRO_BLOCK_SLOTS + KYRO_BLOCK_EXTRAS];
	int			n = block_decode_live(v, all);
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		if (all[i].key < lo)
			*before = true;
		else if (all[i].key > hi)
			*after = true;
		else if (count++ < max)
			e[count - 1] = all[i];
	}
	return n < 0 ? n : count;
}

/* Merge the run entries with keys lo .. hi into e[0..n); like leaf_find_range(). */
__attribute__((noinline))
static int
merge_run(const void *page, int64_t lo, int64_t hi, KyroEntry *e, int n, int max, bool *before, bool *after)
{
	KyroEntry	run[KYRO_RUN_CAP];
	int			nrun = 0;

	for (int j = 0; j < leaf_header_const(page)->nrun; j++)
	{
		KyroEntry	x = run_get(page, j);
		int			at = nrun;

		*before |= x.key < lo;
		*after |= x.key > hi;
		if (x.key < lo || x.key > hi)
			continue;
		for (; at > 0 && kyro_entry_cmp(run[at - 1], x) > 0; at--)
			run[at] = run[at - 1];
		run[at] = x;
		nrun++;
	}
	if (n + nrun > max)
		return n + nrun;
	/* from the end, so that nothing is moved twice */
	for (int i = n - 1, j = nrun - 1; j >= 0;)
	{
		if (i >= 0 && kyro_entry_cmp(e[i], run[j]) > 0)
		{
			e[i + j + 1] = e[i];
			i--;
		}
		else
		{
			e[i + j + 1] = run[j];
			j--;
		}
	}
	return n + nrun;
}

int
leaf_find_range(const void *page, int64_t lo, int64_t hi, KyroEntry *e, int max,
				bool *before, bool *after)
{
	const LeafHeader *h = leaf_header_const(page);
	const int64_t *first = leaf_first(page);
	int			n = 0;
	int			b = 0;

	*before = *after = false;
	if (!leaf_header_ok(page))
		return LEAF_CORRUPT;
	if (h->nblk > 0)
	{
		b = leaf_block_of(page, (KyroEntry) {lo, 0});
		if (b < 0)
			return LEAF_CORRUPT;
		*before = b > 0;
	}
	/* the blocks that are within the range as a whole may be too much already */
	for (int i = b + 1, slots = 0; i + 1 < h->nblk && first[i + 1] <= hi; i++)
	{
		slots += leaf_desc(page, h->nblk)[i].n1 + 1;
		if (slots > max)
			return max + 1;
	}
	for (; b < h->nblk; b++)
	{
		BlockView	v;

		if (first[b] > hi)
		{
			*after = true;
			break;
		}
		if (!block_open(page, b, &v))
			return LEAF_CORRUPT;
		if (v.d->mode & BLK_CLEAN_MASK)
		{
			int			k = entries_between(&v, lo, hi, e + n, max - n, before, after);

			if (k < 0)
				return LEAF_CORRUPT;
			n += k;
		}
		else
		{
			int			from;
			int			to;

			slots_between(&v, lo, hi, &from, &to);
			*before |= from > 0;
			*after |= to < v.n;
			if (from > to)
				return LEAF_CORRUPT;
			if (n + to - from <= max && to > from &&
				(!block_decode_slots(&v, from, to - from, e + n) ||
				 e[n].key < lo || e[n + to - from - 1].key > hi))
				return LEAF_CORRUPT;
			n += to - from;
		}
		if (n > max)
			return n;
	}
	return h->nrun == 0 ? n : merge_run(page, lo, hi, e, n, max, before, after);
}

/* ---- cursor ---- */

/* Decode block b into the cursor; the gap goes to its start or its end. */
static bool
cursor_load(LeafCursor *c, int b, bool at_end)
{
	BlockView	v;
	int			n = -1;

	if (block_open(c->page, b, &v))
		n = block_decode_live(&v, c->items);
	if (n < 0)
	{
		c->corrupt = true;
		return false;
	}
	c->block = b;
	c->nitems = n;
	c->pos = at_end ? n : 0;
	return true;
}

void
leaf_cursor_init(LeafCursor *c, const void *page)
{
	c->page = page;
	c->nrun = 0;
	c->runpos = 0;
	c->block = -1;
	c->nitems = 0;
	c->pos = 0;
	c->corrupt = !leaf_header_ok(page);
	if (!c->corrupt)
		c->nrun = run_sorted(page, c->run);
}

void
leaf_cursor_first(LeafCursor *c)
{
	c->runpos = 0;
	if (!c->corrupt && leaf_header_const(c->page)->nblk > 0)
		cursor_load(c, 0, false);
}

void
leaf_cursor_last(LeafCursor *c)
{
	c->runpos = c->nrun;
	if (!c->corrupt && leaf_header_const(c->page)->nblk > 0)
		cursor_load(c, leaf_header_const(c->page)->nblk - 1, true);
}

/* Entries of sorted e[0..n) before the gap that (bound, after) stands for. */
static int
gap_in(const KyroEntry *e, int n, KyroEntry bound, bool after)
{
	int			lo = 0;
	int			hi = n;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;
		int			cmp = kyro_entry_cmp(e[mid], bound);

		if (cmp < 0 || (cmp == 0 && after))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void
leaf_cursor_seek(LeafCursor *c, KyroEntry bound, bool after)
{
	int			b;

	if (c->corrupt)
		return;
	c->runpos = gap_in(c->run, c->nrun, bound, after);
	if (leaf_header_const(c->page)->nblk == 0)
		return;
	b = leaf_block_of(c->page, bound);
	if (b < 0)
	{
		c->corrupt = true;
		return;
	}
	if (b == c->block || cursor_load(c, b, false))
		c->pos = gap_in(c->items, c->nitems, bound, after);
}

bool
leaf_cursor_next(LeafCursor *c, KyroEntry *e)
{
	if (c->corrupt)
		return false;
	while (c->pos == c->nitems && c->block + 1 < leaf_header_const(c->page)->nblk)
		if (!cursor_load(c, c->block + 1, false))
			return false;
	if (c->pos < c->nitems &&
		(c->runpos == c->nrun || kyro_entry_cmp(c->items[c->pos], c->run[c->runpos]) <= 0))
		*e = c->items[c->pos++];
	else if (c->runpos < c->nrun)
		*e = c->run[c->runpos++];
	else
		return false;
	return true;
}

bool
leaf_cursor_prev(LeafCursor *c, KyroEntry *e)
{
	if (c->corrupt)
		return false;
	while (c->pos == 0 && c->block > 0)
		if (!cursor_load(c, c->block - 1, true))
			return false;
	if (c->pos > 0 &&
		(c->runpos == 0 || kyro_entry_cmp(c->items[c->pos - 1], c->run[c->runpos - 1]) > 0))
		*e = c->items[--c->pos];
	else if (c->runpos > 0)
		*e = c->run[--c->runpos];
	else
		return false;
	return true;
}

/* ---- whole pages ---- */

int
leaf_decode(const void *page, KyroEntry *e)
{
	const LeafHeader *h = leaf_header_const(page);
	KyroEntry	run[KYRO_RUN_CAP];
	BlockView	v;
	int			end = 0;
	int			slots = 0;
	int			n = 0;
	int			nrun;

	if (!leaf_header_ok(page))
		return LEAF_CORRUPT;
	for (int b = 0; b < h->nblk; b++)
	{
		int			k;

		if (!leaf_next_block(page, b, &end, &slots, &v) ||
			n + v.n + v.nextras > KYRO_LEAF_MAX_ENTRIES ||
			(k = block_decode_live(&v, e + n)) < 0)
			return LEAF_CORRUPT;
		n += k;
	}
	nrun = run_sorted(page, run);
	if (n + nrun > KYRO_LEAF_MAX_ENTRIES)
		return LEAF_CORRUPT;
	/* merge the run in from behind */
	for (int i = n + nrun - 1, a = n - 1, r = nrun - 1; r >= 0; i--)
	{
		if (a >= 0 && kyro_entry_cmp(e[a], run[r]) > 0)
			e[i] = e[a--];
		else
			e[i] = run[r--];
	}
	return n + nrun;
}

int
leaf_stats(const void *page, LeafStats *st)
{
	const LeafHeader *h = leaf_header_const(page);
	BlockView	v;
	int			end = 0;
	int			slots = 0;

	*st = (LeafStats) {0};
	if (!leaf_header_ok(page))
		return LEAF_CORRUPT;
	st->blocks = h->nblk;
	st->slots = h->nslot;
	st->run = h->nrun;
	st->free_bytes = leaf_upper(page) - leaf_lower(page);
	st->live = h->nrun;
	for (int b = 0; b < h->nblk; b++)
	{
		int			dead;

		if (!leaf_next_block(page, b, &end, &slots, &v))
			return LEAF_CORRUPT;
		dead = block_ndead(&v);
		if (dead > v.n)
			return LEAF_CORRUPT;
		st->dead += dead;
		st->extras += v.nextras;
		st->live += v.n - dead + v.nextras;
		st->eps_max = v.d->eps > st->eps_max ? v.d->eps : st->eps_max;
		st->key_bytes += (v.n * v.d->kw + 7) / 8;
		st->tid_bytes += (v.n * v.d->tw + 7) / 8 + v.d->nx * BLK_TRIPLE;
	}
	return slots == h->nslot ? 0 : LEAF_CORRUPT;
}

int
leaf_count(const void *page)
{
	LeafStats	st;

	return leaf_stats(page, &st) == 0 ? st.live : LEAF_CORRUPT;
}

int
leaf_each_block(const void *page, void (*f) (void *arg, int block, int slots, int eps), void *arg)
{
	const LeafHeader *h = leaf_header_const(page);
	BlockView	v;
	int			end = 0;
	int			slots = 0;

	if (!leaf_header_ok(page))
		return LEAF_CORRUPT;
	for (int b = 0; b < h->nblk; b++)
	{
		if (!leaf_next_block(page, b, &end, &slots, &v))
			return LEAF_CORRUPT;
		f(arg, b, v.n, v.d->eps);
	}
	return slots == h->nslot ? 0 : LEAF_CORRUPT;
}
