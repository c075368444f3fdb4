/*-------------------------------------------------------------------------
 *
 * leaf_change.c
 *	  Laying leaf pages out anew: build, merge, split, vacuum.
 *
 * All of them put blocks side by side in a PageOut, copying those that do not
 * change byte for byte, and then lay out the page in one go.
 *
 * IDENTIFICATION
 *	  src/model/leaf_change.c
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "leaf_internal.h"

/* More newcomers than this are coded as slots even where extras would do. */
#define EXTRAS_AT_ONCE	16

/* Entries above this page's last arrive in order, so full blocks stay full. */
static bool
page_at_edge(const void *page)
{
	uint8_t		flags = leaf_header_const(page)->flags;

	return !leaf_has_high(page) ||
		((flags & LEAF_HIGH_NULL) != 0 && (flags & LEAF_LOW_NULL) == 0);
}

static void
work_init(LeafWork *w, int limit)
{
	w->out = (PageOut) {.max_blk = PAGE_MAX_BLOCKS, .first = w->space.first,
						.desc = w->space.desc, .payload = w->space.payload};
	w->out2 = (PageOut) {.max_blk = PAGE_MAX_BLOCKS, .first = w->space2.first,
						 .desc = w->space2.desc, .payload = w->space2.payload};
	out_init(&w->out, limit);
	out_init(&w->out2, limit);
}

/* ---- build ---- */

static void
items_load(Items *it, const KyroEntry *e, int n)
{
	for (int i = 0; i < n; i++)
	{
		it->key[i] = (uint64_t) e[i].key;
		it->tid[i] = e[i].tid;
	}
	memset(it->flag, 0, (size_t) n);
	it->n = n;
	it->live = n;
}

size_t
leaf_build(void *page, const KyroEntry *e, size_t n, void *work)
{
	LeafWork   *w = (LeafWork *) work;
	LeafHeader *h = leaf_header(page);
	PageOut    *out = &w->out;
	size_t		done = 0;
	int			want = KYRO_BLOCK_SLOTS;
	int			tries = 0;
	uint8_t		image[KYRO_PAGE_SIZE];

	/* let the last block of a try stick out, to see how large it is */
	work_init(w, KYRO_PAGE_END + BLOCK_MAX_BYTES);
	while (done < n && out->nslot < KYRO_LEAF_CAP)
	{
		int			nblk = out->nblk;
		int			nslot = out->nslot;
		int			len = out->len;
		int			take = want;
		int			room;
		int			size;
		bool		fits;

		if ((size_t) take > n - done)
			take = (int) (n - done);
		if (take > KYRO_LEAF_CAP - nslot)
			take = KYRO_LEAF_CAP - nslot;
		items_load(&w->items, e + done, take);
		fits = out_items(out, &w->items, 0, take, false, &w->pair);
		if (fits && out_used(out) + leaf_reserve_bytes(h, out->nslot) <= KYRO_PAGE_END)
		{
			done += (size_t) take;
			if (tries > 0)
				break;
			continue;
		}
		/* fill the page with part of a block */
		size = out_used(out) - LEAF_PAYLOAD(nblk) - len;
		out->nblk = nblk;
		out->nslot = nslot;
		out->len = len;
		if (!fits)
			break;				/* more blocks than a page can have */
		room = KYRO_PAGE_END - out_used(out) - leaf_reserve_bytes(h, nslot + take);
		want = room > BLK_OVERHEAD ?
			(int) ((int64_t) take * (room - BLK_OVERHEAD) / (size - BLK_OVERHEAD)) : 0;
		want -= want / 16 * tries;
		if (++tries > 8 || want < 8)
			break;
	}
	out->full = false;
	if (done == 0 && n > 0)
	{
		/* cannot happen: half a page is always free */
		items_load(&w->items, e, 1);
		out_init(out, KYRO_PAGE_END);
		(void) out_items(out, &w->items, 0, 1, false, &w->pair);
		done = 1;
	}
	memcpy(image, page, KYRO_PAGE_SIZE);
	page_finish(page, image, out, NULL, 0);
	h->epoch = 0;
	return done;
}

/* ---- merge and vacuum ---- */

/* Slots of the entries e[0..n) if they can all become extras of v as it is. */
static bool
slots_for_extras(const BlockView *v, const KyroEntry *e, int n, uint8_t *slot)
{
	int			most = v->n / 8 < KYRO_BLOCK_EXTRAS ? v->n / 8 : KYRO_BLOCK_EXTRAS;

	if (n > EXTRAS_AT_ONCE || v->nextras + n > most)
		return false;
	for (int j = 0; j < n; j++)
	{
		uint64_t	rel = (uint64_t) e[j].key - v->first;
		int			ignore = 0;
		int			i;

		if (e[j].key < (int64_t) v->first)
			return false;
		i = block_lower_bound(v, rel, &ignore, &ignore);
		if (i >= v->n || block_key(v, i) != (uint64_t) e[j].key)
			return false;
		slot[j] = (uint8_t) i;
	}
	return true;
}

/* Drop the entries whose marks are set; marks go slots first, then extras. */
static void
raw_remove(RawBlock *raw, const uint8_t *marks)
{
	int			kept = 0;

	for (int i = 0; i < raw->n; i++)
		if (!raw->dead[i])
			raw->dead[i] = *marks++;
	for (int j = 0; j < raw->nextras; j++)
	{
		if (*marks++)
			continue;
		raw->xslot[kept] = raw->xslot[j];
		raw->xtid[kept++] = raw->xtid[j];
	}
	raw->nextras = kept;
}

/* Add src, which lies above, to dst; strip: only what is alive. */
static void
items_concat(Items *dst, const Items *src, bool strip)
{
	for (int i = 0; i < src->n; i++)
	{
		if (strip && (src->flag[i] & ITEM_DEAD))
			continue;
		dst->key[dst->n] = src->key[i];
		dst->tid[dst->n] = src->tid[i];
		dst->flag[dst->n++] = src->flag[i];
	}
	dst->live += src->live;
}

static int
coded_size(const Items *it, PlanPair *pp)
{
	BlockPlan  *best;

	return plan_best(it, 0, it->n, pp, &best);
}

/* What rebuild() knows on the way along the blocks of a page. */
typedef struct Rebuild
{
	LeafWork   *w;
	const void *src;
	const KyroEntry *run;		/* to be merged in, and of them: */
	int			nrun;
	int			next;			/* the first that belongs to later blocks */
	const uint8_t *marks;		/* of what is to be removed from this block
								 * and later ones; or NULL */
	int			pending_size;	/* of w->pending when coded, or -1: unknown */
} Rebuild;

/*
 * Find the entries of the run that belong to block b, which go before the first
 * entry of the next block.  Returns how many; LEAF_CORRUPT.
 */
static int
take_new_entries(Rebuild *r, int b)
{
	int			from = r->next;

	if (b + 1 == leaf_header_const(r->src)->nblk)
		r->next = r->nrun;
	else if (r->next < r->nrun)
	{
		BlockView	next;
		KyroEntry	bound;

		if (!block_open(r->src, b + 1, &next))
			return LEAF_CORRUPT;
		bound = block_first_entry(&next);
		while (r->next < r->nrun && kyro_entry_cmp(r->run[r->next], bound) < 0)
			r->next++;
	}
	return r->next - from;
}

/* Write the block that waits for its right neighbour, if there is one. */
static bool
put_pending(Rebuild *r)
{
	Items	   *pending = &r->w->pending;
	bool		fits = out_items(&r->w->out, pending, 0, pending->n, false, &r->w->pair);

	pending->n = 0;
	pending->live = 0;
	r->pending_size = -1;
	return fits;
}

/*
 * Have the items of a block wait for those of the next one, joined with those
 * that wait already if that takes no more bytes: so neighbours that removals have
 * emptied become one.  False: out of room.
 */
static bool
join_pending(Rebuild *r, const Items *it)
{
	LeafWork   *w = r->w;
	Items	   *pending = &w->pending;
	int			size = -1;

	if (it->live == 0)
		return true;
	if (pending->live > 0 && pending->live + it->live <= KYRO_BLOCK_SLOTS)
	{
		bool		strip = pending->n + it->n > ITEMS_MAX;
		int			joined;

		if (r->pending_size < 0)
			r->pending_size = coded_size(pending, &w->pair);
		size = coded_size(it, &w->pair);
		w->joined.n = 0;
		w->joined.live = 0;
		items_concat(&w->joined, pending, strip);
		items_concat(&w->joined, it, strip);
		joined = coded_size(&w->joined, &w->pair);
		if (joined <= r->pending_size + BLK_OVERHEAD + size)
		{
			*pending = w->joined;
			r->pending_size = joined;
			return true;
		}
	}
	if (!put_pending(r))
		return false;
	*pending = *it;
	r->pending_size = size;
	return true;
}

/*
 * Put block b, which v is a view of, into w->out or w->pending: copied as it
 * is, or with new extras, if that will do, else decoded and coded anew.  1, 0 or
 * LEAF_CORRUPT as for rebuild().
 */
static int
rebuild_block(Rebuild *r, int b, const BlockView *v)
{
	LeafWork   *w = r->w;
	const KyroEntry *new_entries = r->nrun > 0 ? r->run + r->next : NULL;
	const uint8_t *marks = r->marks;
	Items	   *it = &w->items;
	uint8_t		slot[EXTRAS_AT_ONCE];
	int			nnew = take_new_entries(r, b);
	bool		removed = false;
	bool		edge;

	if (nnew < 0)
		return LEAF_CORRUPT;
	if (marks)
	{
		removed = memchr(marks, 1, w->blive[b]) != NULL;
		r->marks += w->blive[b];
	}
	if (!removed && (nnew == 0 || slots_for_extras(v, new_entries, nnew, slot)))
		return put_pending(r) &&
			(nnew == 0 ? out_copy_block(&w->out, r->src, v) :
			 out_copy_with_extras(&w->out, r->src, v, new_entries, slot, nnew));

	if (!block_decode_raw(v, &w->raw))
		return LEAF_CORRUPT;
	if (removed)
		raw_remove(&w->raw, marks);
	if (!items_from_raw(it, &w->raw))
		return LEAF_CORRUPT;
	if (nnew > 0)
	{
		items_merge(&w->items2, it, new_entries, nnew);
		it = &w->items2;
	}
	if (marks)
		return join_pending(r, it);
	edge = b + 1 == leaf_header_const(r->src)->nblk && page_at_edge(r->src);
	return out_items(&w->out, it, 0, it->n, edge, &w->pair);
}

/*
 * Put the blocks of src into w->out, with the entries of run[0..nrun) merged
 * in and those marked in marks (if not NULL) removed.  1 done, 0 out of room,
 * LEAF_CORRUPT.
 */
static int
rebuild(LeafWork *w, const void *src, const KyroEntry *run, int nrun, const uint8_t *marks)
{
	const LeafHeader *h = leaf_header_const(src);
	Rebuild		r = {.w = w, .src = src, .run = run, .nrun = nrun, .marks = marks, .pending_size = -1};
	int			end = 0;
	int			slots = 0;
	BlockView	v;

	w->pending.n = 0;
	w->pending.live = 0;
	for (int b = 0; b < h->nblk; b++)
	{
		int			result;

		if (!leaf_next_block(src, b, &end, &slots, &v))
			return LEAF_CORRUPT;
		result = rebuild_block(&r, b, &v);
		if (result <= 0)
			return result;
	}
	if (!put_pending(&r))
		return 0;
	if (h->nblk == 0 && nrun > 0)
	{
		items_load(&w->items, run, nrun);
		if (!out_items(&w->out, &w->items, 0, nrun, false, &w->pair))
			return 0;
	}
	return end == h->pend || h->nblk == 0 ? 1 : LEAF_CORRUPT;
}

int
leaf_merge(const void *src, void *dst, void *work)
{
	LeafWork   *w = (LeafWork *) work;
	int			nrun;
	int			result;

	if (!leaf_header_ok(src))
		return LEAF_CORRUPT;
	nrun = run_sorted(src, w->run);
	work_init(w, KYRO_PAGE_END - KYRO_RUN_CHUNK);
	result = rebuild(w, src, w->run, nrun, NULL);
	if (result <= 0)
		return result;
	return page_finish(dst, src, &w->out, NULL, 0) ? 1 : 0;
}

int
leaf_vacuum(const void *src, void *dst, bool (*dead) (void *arg, uint64_t tid), void *arg,
			int *live, void *work)
{
	LeafWork   *w = (LeafWork *) work;
	const LeafHeader *h = leaf_header_const(src);
	BlockView	v;
	int			end = 0;
	int			slots = 0;
	int			n = 0;
	int			removed = 0;
	int			nrun;
	int			kept = 0;
	int			result;

	*live = 0;
	if (!leaf_header_ok(src))
		return LEAF_CORRUPT;
	/* ask about every entry once, then work from the answers */
	for (int b = 0; b < h->nblk; b++)
	{
		RawBlock   *raw = &w->raw;
		int			before = n;

		if (!leaf_next_block(src, b, &end, &slots, &v) || !block_decode_tids(&v, raw) ||
			n + raw->n + raw->nextras > KYRO_LEAF_MAX_ENTRIES)
			return LEAF_CORRUPT;
		for (int i = 0; i < raw->n; i++)
			if (!raw->dead[i])
				w->marks[n++] = dead(arg, raw->tid[i]);
		for (int j = 0; j < raw->nextras; j++)
			w->marks[n++] = dead(arg, raw->xtid[j]);
		w->blive[b] = (uint16_t) (n - before);
	}
	for (int i = 0; i < n; i++)
		removed += w->marks[i];
	nrun = run_sorted(src, w->run);
	for (int j = 0; j < nrun; j++)
	{
		if (dead(arg, w->run[j].tid))
			removed++;
		else
			w->run[kept++] = w->run[j];
		n++;
	}
	*live = n - removed;
	if (removed == 0)
		return 0;
	work_init(w, KYRO_PAGE_END);
	result = rebuild(w, src, w->run, 0, w->marks);
	if (result > 0 && page_finish(dst, src, &w->out, w->run, kept))
		return removed;
	if (result >= 0 && kept > 0)
	{
		/* the run takes up to 896 bytes: merged, it takes less */
		out_init(&w->out, KYRO_PAGE_END);
		result = rebuild(w, src, w->run, kept, w->marks);
		if (result > 0 && page_finish(dst, src, &w->out, NULL, 0))
			return removed;
	}
	return result < 0 ? result : LEAF_VACUUM_SPLIT;
}

/* ---- split ---- */

/* First or last live item. */
static KyroEntry
live_item(const Items *it, int from, int to, bool last)
{
	int			i = last ? to - 1 : from;

	while (i > from && last && (it->flag[i] & ITEM_DEAD))
		i--;
	while (i < to - 1 && !last && (it->flag[i] & ITEM_DEAD))
		i++;
	return (KyroEntry) {(int64_t) it->key[i], it->tid[i]};
}

/* Where half of the live items, or 'want' of them, end. */
static int
cut_items(const Items *it, int want)
{
	int			i = 0;

	while (want > 0)
		want -= (it->flag[i++] & ITEM_DEAD) == 0;
	return i;
}

static int
split_finish(LeafWork *w, const void *src, void *left, void *right, KyroEntry last,
			 KyroEntry next, KyroEntry bound, int nrun, KyroFence *cut)
{
	int			r = 0;

	while (r < nrun && kyro_entry_cmp(w->run[r], bound) < 0)
		r++;
	if (r > 0 && kyro_entry_cmp(w->run[r - 1], last) > 0)
		last = w->run[r - 1];
	if (r < nrun && kyro_entry_cmp(w->run[r], next) < 0)
		next = w->run[r];
	if (kyro_entry_cmp(last, next) >= 0)
		return LEAF_CORRUPT;
	if (!page_finish(left, src, &w->out, w->run, r) ||
		!page_finish(right, src, &w->out2, w->run + r, nrun - r))
		return 0;
	*cut = leaf_cut(last, next);
	cut->isnull = (leaf_header_const(src)->flags & LEAF_LOW_NULL) != 0;
	leaf_set_high(left, *cut);
	leaf_set_low(right, *cut);
	return 1;
}

/* At most one block: everything is coded anew, and always fits. */
static int
split_small(LeafWork *w, const void *src, void *left, void *right, int nrun, KyroFence *cut)
{
	Items	   *it = &w->items2;
	BlockView	v;
	int			end;
	int			slots;
	int			at;

	w->items.n = 0;
	w->items.live = 0;
	if (leaf_header_const(src)->nblk > 0 &&
		(!leaf_next_block(src, 0, &end, &slots, &v) || !block_decode_raw(&v, &w->raw) ||
		 !items_from_raw(&w->items, &w->raw)))
		return LEAF_CORRUPT;
	items_merge(it, &w->items, w->run, nrun);
	if (it->live < 2)
		return 0;
	at = cut_items(it, it->live / 2);
	if (!out_items(&w->out, it, 0, at, false, &w->pair) ||
		!out_items(&w->out2, it, at, it->n, false, &w->pair))
		return LEAF_CORRUPT;
	return split_finish(w, src, left, right, live_item(it, 0, at, true),
						live_item(it, at, it->n, false),
						(KyroEntry) {INT64_MAX, UINT64_MAX}, 0, cut);
}

/* Copy blocks from..to-1 to out. */
static bool
copy_blocks(PageOut *out, const void *src, int from, int to)
{
	BlockView	v;

	for (int b = from; b < to; b++)
		if (!block_open(src, b, &v) || !out_copy_block(out, src, &v))
			return false;
	return true;
}

/* Cut inside block s, so that part/size of it goes left.  0: does not fit. */
static int
split_in_block(LeafWork *w, const void *src, void *left, void *right, int s,
			   int part, int size, int nrun, KyroFence *cut)
{
	Items	   *it = &w->items;
	BlockView	v;
	int			want;
	int			at;

	if (!block_open(src, s, &v) || !block_decode_raw(&v, &w->raw) ||
		!items_from_raw(it, &w->raw))
		return LEAF_CORRUPT;
	if (it->live < 2)
		return 0;
	want = (int) ((int64_t) it->live * part / size);
	want = want < 1 ? 1 : want > it->live - 1 ? it->live - 1 : want;
	at = cut_items(it, want);
	if (!copy_blocks(&w->out, src, 0, s) ||
		!out_items(&w->out, it, 0, at, false, &w->pair) ||
		!out_items(&w->out2, it, at, it->n, false, &w->pair) ||
		!copy_blocks(&w->out2, src, s + 1, leaf_header_const(src)->nblk))
		return 0;
	return split_finish(w, src, left, right, live_item(it, 0, at, true),
						live_item(it, at, it->n, false),
						(KyroEntry) {(int64_t) it->key[at], it->tid[at]}, nrun, cut);
}

int
leaf_split(const void *src, void *left, void *right, KyroFence *cut, void *work)
{
	LeafWork   *w = (LeafWork *) work;
	const LeafHeader *h = leaf_header_const(src);
	KyroEntry	items[KYRO_BLOCK_SLOTS + KYRO_BLOCK_EXTRAS];
	KyroEntry	last;
	BlockView	v;
	int			before[257];	/* bytes of the blocks before each */
	int			end = 0;
	int			slots = 0;
	int			total;
	int			s = 0;
	int			b;
	int			n;
	int			nrun;

	if (!leaf_header_ok(src))
		return LEAF_CORRUPT;
	nrun = run_sorted(src, w->run);
	work_init(w, KYRO_PAGE_END);
	if (h->nblk <= 1)
		return split_small(w, src, left, right, nrun, cut);
	before[0] = 0;
	for (b = 0; b < h->nblk; b++)
	{
		if (!leaf_next_block(src, b, &end, &slots, &v))
			return LEAF_CORRUPT;
		before[b + 1] = before[b] + BLK_OVERHEAD + v.end - v.off;
	}
	if (end != h->pend || slots != h->nslot)
		return LEAF_CORRUPT;
	total = before[h->nblk];
	while (s + 1 < h->nblk && before[s + 1] <= total / 2)
		s++;
	/* the half lies in block s; which boundary is nearer? */
	b = total / 2 - before[s] <= before[s + 1] - total / 2 ? s : s + 1;
	b = b < 1 ? 1 : b > h->nblk - 1 ? h->nblk - 1 : b;
	if (abs(before[b] - total / 2) > total / 16)
	{
		int			result = split_in_block(w, src, left, right, s, total / 2 - before[s],
											before[s + 1] - before[s], nrun, cut);

		if (result != 0)
			return result;
		out_init(&w->out, KYRO_PAGE_END);
		out_init(&w->out2, KYRO_PAGE_END);
	}
	if (!copy_blocks(&w->out, src, 0, b) || !copy_blocks(&w->out2, src, b, h->nblk))
		return LEAF_CORRUPT;
	if (!block_open(src, b - 1, &v) || (n = block_decode_live(&v, items)) <= 0)
		return LEAF_CORRUPT;
	last = items[n - 1];
	if (!block_open(src, b, &v) || block_decode_live(&v, items) <= 0)
		return LEAF_CORRUPT;
	return split_finish(w, src, left, right, last, items[0], block_first_entry(&v), nrun, cut) > 0 ?
		1 : LEAF_CORRUPT;
}
