/*-------------------------------------------------------------------------
 *
 * leaf_code.c
 *	  Coding the blocks of a leaf page.
 *
 * A block is coded in whichever of three ways is smallest: its live entries
 * as slots; all slots including dead ones, which keep their numbers so that
 * the lines stay exact; or the slots as they were, with newer entries of the
 * same keys as extras.
 *
 * IDENTIFICATION
 *	  src/model/leaf_code.c
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>

#include "leaf_internal.h"

/* ---- fitting ---- */

/* End-point slope: span / n1 as m * 2^e, 1 <= span < 2^62, 1 <= n1 <= 255. */
static void
slope_of(uint64_t span, int n1, unsigned *m, int *e)
{
	uint64_t	q;
	int			shift;

	if (span >> 39 == 0)
	{
		q = (span << 24) / (unsigned) n1;
		*e = -24;
	}
	else
	{
		q = span / (unsigned) n1;
		*e = 0;
	}
	shift = bit_width(q) - 16;	/* >= 0 in both cases */
	if (shift > 0)
		q = (q + (UINT64_C(1) << (shift - 1))) >> shift;
	if (q >> 16)
	{
		q >>= 1;
		shift++;
	}
	*m = (unsigned) q;
	*e += shift;
}

/* A slope, the residuals' least value and width. */
typedef struct LineFit
{
	unsigned	m;
	int			e;
	int64_t		min;
	uint64_t	range;
} LineFit;

/*
 * Fit a line through the end points; false if there is none (falling, level
 * or too steep: residuals must stay within 64 signed bits).
 */
static bool
fit_line(const uint64_t *a, int n, LineFit *f)
{
	uint64_t	span = a[n - 1] - a[0];
	int64_t		max;

	if (n < 2 || span == 0 || span >> 62)
		return false;
	slope_of(span, n - 1, &f->m, &f->e);
	leaf_kernels->line_range(a, n, f->m, f->e, &f->min, &max);
	f->range = (uint64_t) max - (uint64_t) f->min;
	return true;
}

/* Key bits per slot that a tight block of these keys would need. */
static int
key_width(const uint64_t *key, int n)
{
	LineFit		f;
	int			w = bit_width(key[n - 1] - key[0]);

	if (fit_line(key, n, &f) && bit_width(f.range) < w)
		w = bit_width(f.range);
	return w;
}

/* The predictor's free constant for a block whose other key fields are set. */
static uint8_t
predict_scale(const LeafDesc *d, uint64_t span)
{
	unsigned	n1 = d->n1;
	uint64_t	c;

	if (span == 0 || n1 == 0)
		return 0;
	/* c / 2^kw * span = n1, about */
	if (d->kw <= 48)
		c = ((uint64_t) n1 << d->kw) / span + 1;
	else
		c = ((uint64_t) n1 << 40) / ((span >> (d->kw - 40)) + 1) + 1;
	return (uint8_t) (c > 256 ? 255 : c - 1);
}

static uint8_t
predict_shift(const LeafDesc *d, int64_t min, uint64_t range)
{
	/* the middle of the residuals, seen from slot 0's, in slots */
	int64_t		num = (int64_t) (-(uint64_t) min - range / 2);
	uint64_t	a = num < 0 ? -(uint64_t) num : (uint64_t) num;
	uint64_t	x = d->ke >= 0 ? a >> d->ke : a >> 39 ? UINT64_MAX : a << -d->ke;
	int			q;

	x /= d->km;
	q = x > 127 ? 127 : (int) x;
	return (uint8_t) (int8_t) (num < 0 ? -q : q);
}

static void
plan_keys(BlockPlan *p, int slack)
{
	LeafDesc   *d = &p->d;
	uint64_t	span = p->key[p->n - 1] - p->key[0];
	int			width = bit_width(span);
	LineFit		f;

	p->first = p->key[0];
	if (fit_line(p->key, p->n, &f) && (slack > 0 || bit_width(f.range) < width))
	{
		width = bit_width(f.range) + slack;
		d->kw = (uint8_t) (width > 64 ? 64 : width);
		d->km = (uint16_t) f.m;
		d->ke = (int8_t) f.e;
		d->pb = predict_shift(d, f.min, f.range);
		p->kadd = -(uint64_t) f.min + (bit_mask(d->kw) - f.range) / 2;
	}
	else
	{
		width += span == 0 ? 0 : slack;
		d->kw = (uint8_t) (width > 64 ? 64 : width);
		d->km = 0;
		d->ke = 0;
		d->pb = predict_scale(d, span);
		p->kadd = 0;
	}
}

static void
plan_tids(BlockPlan *p, int slack, unsigned min_radix)
{
	LeafDesc   *d = &p->d;
	const uint64_t *tid = p->tid;
	uint64_t   *u = p->packed;
	int			n = p->n;
	int			nx = 1;
	unsigned	radix = 0;
	bool		zero = (tid[0] & 0xFFFF) == 0;
	uint64_t	min;
	uint64_t	max;
	uint64_t	base;
	uint64_t	range;
	LineFit		f;

	radix = (unsigned) (tid[0] & 0xFFFF);
	for (int i = 1; i < n; i++)
	{
		unsigned	off = (unsigned) (tid[i] & 0xFFFF);

		nx += tid[i] != tid[i - 1] + 1;
		radix = off > radix ? off : radix;
		zero |= off == 0;
	}
	d->nx = 0;
	d->radix = 0;
	d->tm = 0;
	d->te = 0;
	d->tw = 0;
	desc_set_tid_base(d, 0);
	if (slack > 0 && nx <= n / 32 + 1)
	{
		d->mode |= BLK_RLE;
		d->nx = (uint16_t) nx;
		return;
	}
	if (zero)
		radix = 0;
	else if (slack > 0)
	{
		if (min_radix > 0)
			radix = radix > min_radix ? radix : min_radix;
		else
			radix += radix / 2 + 8;
		radix = radix > 0xFFFF ? 0xFFFF : radix;
	}
	d->radix = (uint16_t) radix;
	min = UINT64_MAX;
	max = 0;
	for (int i = 0; i < n; i++)
	{
		u[i] = tid_pack(tid[i], radix);
		min = u[i] < min ? u[i] : min;
		max = u[i] > max ? u[i] : max;
	}
	base = min;
	range = max - min;
	/* a line whose base would be negative (here: huge) cannot be stored */
	if (u[n - 1] > u[0] && fit_line(u, n, &f) && u[0] + (uint64_t) f.min <= KYRO_TID_MAX &&
		bit_width(f.range) < bit_width(range))
	{
		d->tm = (uint16_t) f.m;
		d->te = (int8_t) f.e;
		base = u[0] + (uint64_t) f.min;
		range = f.range;
	}
	d->tw = (uint8_t) bit_width(range);
	if (slack > 0 && d->tw < KYRO_TID_BITS)
	{
		uint64_t	room;

		d->tw++;
		room = (bit_mask(d->tw) - range) / 2;
		base = base > room ? base - room : 0;
	}
	/* runs if they are smaller */
	if (nx * BLK_TRIPLE * 8 < n * d->tw)
	{
		d->mode |= BLK_RLE;
		d->nx = (uint16_t) nx;
		d->radix = 0;
		d->tm = 0;
		d->te = 0;
		d->tw = 0;
		base = 0;
	}
	desc_set_tid_base(d, base);
}

/* Code p->key, tid, dead and extras; slack in bits for keys, 0 = tight. */
static void
plan_code(BlockPlan *p, int slack, unsigned min_radix)
{
	LeafDesc   *d = &p->d;

	memset(d, 0, sizeof(*d));
	d->n1 = (uint8_t) (p->n - 1);
	plan_keys(p, slack);
	plan_tids(p, slack, min_radix);
	p->size = (p->n * (d->kw + d->tw) + 7) / 8 + d->nx * BLK_TRIPLE;
	if (p->ndead > 0)
	{
		if (1 + p->ndead < (p->n + 7) / 8)
		{
			d->mode |= BLK_DEAD_LIST;
			p->size += 1 + p->ndead;
		}
		else
		{
			d->mode |= BLK_DEAD_MAP;
			p->size += (p->n + 7) / 8;
		}
	}
	if (p->nextras > 0)
	{
		d->mode |= BLK_EXTRAS;
		p->size += 2 + p->nextras * BLK_TRIPLE;
	}
}

void
plan_open(BlockPlan *p, unsigned radix)
{
	p->ndead = 0;
	p->nextras = 0;
	plan_code(p, p->n < 16 ? 4 : 2, radix);
}

/* ---- choosing how to code a list of items ---- */

typedef enum PlanKind
{
	PLAN_LIVE,					/* live entries, each a slot */
	PLAN_DEAD,					/* all entries slots, dead ones too */
	PLAN_EXTRAS					/* slots as before, newcomers of their keys
								 * extras */
} PlanKind;

/* False if that takes too many slots or extras. */
static bool
plan_fill(BlockPlan *p, const Items *it, int from, int to, PlanKind kind)
{
	int			n = 0;

	p->ndead = 0;
	p->nextras = 0;
	for (int i = from; i < to;)
	{
		int			end = i + 1;
		int			home = -1;

		/* the items of one key, and whether one of them is a slot already */
		if (kind == PLAN_EXTRAS)
		{
			home = it->flag[i] & ITEM_LOOSE ? -1 : i;
			for (; end < to && it->key[end] == it->key[i]; end++)
				if (home < 0 && (it->flag[end] & ITEM_LOOSE) == 0)
					home = end;
			if (home < 0)
				home = i;
		}
		for (int first = n; i < end; i++)
		{
			bool		dead = (it->flag[i] & ITEM_DEAD) != 0;

			if (kind == PLAN_LIVE && dead)
				continue;
			if (kind == PLAN_EXTRAS && i != home && (it->flag[i] & ITEM_LOOSE))
			{
				if (p->nextras == KYRO_BLOCK_EXTRAS || first > 255)
					return false;
				p->xslot[p->nextras] = (uint8_t) first;
				p->xtid[p->nextras++] = it->tid[i];
				continue;
			}
			if (n == KYRO_BLOCK_SLOTS)
				return false;
			p->key[n] = it->key[i];
			p->tid[n] = it->tid[i];
			p->dead[n] = dead;
			p->ndead += dead;
			n++;
		}
	}
	p->n = n;
	return n > 0;
}

int
plan_best(const Items *it, int from, int to, PlanPair *pp, BlockPlan **best)
{
	int			size = INT_MAX;
	int			live = 0;
	int			loose = 0;
	int			turn = 0;

	*best = NULL;
	for (int i = from; i < to; i++)
	{
		live += (it->flag[i] & ITEM_DEAD) == 0;
		loose += (it->flag[i] & ITEM_LOOSE) != 0;
	}
	if (live == 0)
		return INT_MAX;
	for (int kind = PLAN_LIVE; kind <= PLAN_EXTRAS; kind++)
	{
		BlockPlan  *p = &pp->plan[turn];

		if ((kind == PLAN_LIVE && live > KYRO_BLOCK_SLOTS) ||
			(kind == PLAN_DEAD && (live == to - from || to - from > KYRO_BLOCK_SLOTS)) ||
			(kind == PLAN_EXTRAS && loose == 0) ||
			!plan_fill(p, it, from, to, (PlanKind) kind) ||
			(kind == PLAN_EXTRAS && p->nextras == 0))
			continue;
		plan_code(p, 0, 0);
		if (p->size < size)
		{
			size = p->size;
			*best = p;
			turn = 1 - turn;
		}
	}
	return size;
}

/* ---- writing ---- */

void
out_init(PageOut *out, int limit)
{
	out->nblk = 0;
	out->nslot = 0;
	out->len = 0;
	out->limit = limit;
	out->full = false;
}

static bool
out_room(PageOut *out, int size, int slots)
{
	if (out->nblk >= out->max_blk || out->nslot + slots > KYRO_LEAF_CAP ||
		out_used(out) + BLK_OVERHEAD + size > out->limit)
	{
		out->full = true;
		return false;
	}
	return true;
}

bool
out_copy_block(PageOut *out, const void *page, const BlockView *v)
{
	int			size = v->end - v->off;

	if (!out_room(out, size, v->n))
		return false;
	out->first[out->nblk] = (int64_t) v->first;
	out->desc[out->nblk] = *v->d;
	out->desc[out->nblk].off = (uint16_t) out->len;
	memcpy(out->payload + out->len, (const uint8_t *) page + v->off, (size_t) size);
	out->nblk++;
	out->nslot += v->n;
	out->len += size;
	return true;
}

bool
out_copy_with_extras(PageOut *out, const void *page, const BlockView *v,
					 const KyroEntry *e, const uint8_t *slot, int n)
{
	const uint8_t *src = (const uint8_t *) page + v->off;
	const uint8_t *old = v->extras;
	const uint8_t *rest = (v->nextras > 0 ? v->extras + v->nextras * BLK_TRIPLE :
						   v->d->mode & BLK_EXTRAS ? v->extras :
						   v->d->mode & BLK_RLE ? v->rle : v->bits);
	int			dead = (v->d->mode & BLK_DEAD_MAP ? (v->n + 7) / 8 :
						v->d->mode & BLK_DEAD_LIST ? 1 + v->ndead_list : 0);
	int			tail = v->end - (int) (rest - (const uint8_t *) page);
	int			total = v->nextras + n;
	int			size = dead + 2 + total * BLK_TRIPLE + tail;
	uint8_t    *p;
	int			i = 0;
	int			j = 0;

	if (!out_room(out, size, v->n))
		return false;
	out->first[out->nblk] = (int64_t) v->first;
	out->desc[out->nblk] = *v->d;
	out->desc[out->nblk].off = (uint16_t) out->len;
	out->desc[out->nblk].mode |= BLK_EXTRAS;
	p = out->payload + out->len;
	memcpy(p, src, (size_t) dead);
	p += dead;
	*p++ = (uint8_t) total;
	*p++ = (uint8_t) (total >> 8);
	while (i < v->nextras || j < n)
	{
		bool		take = j == n;

		if (i < v->nextras && j < n)
			take = old[0] < slot[j] || (old[0] == slot[j] && load48(old + 1) < e[j].tid);
		if (take)
		{
			memcpy(p, old, BLK_TRIPLE);
			old += BLK_TRIPLE;
			i++;
		}
		else
		{
			p[0] = slot[j];
			store48(p + 1, e[j].tid);
			j++;
		}
		p += BLK_TRIPLE;
	}
	memcpy(p, rest, (size_t) tail);
	out->nblk++;
	out->nslot += v->n;
	out->len += size;
	return true;
}

typedef struct BitWriter
{
	uint8_t    *p;
	uint64_t	acc;
	int			nbits;
} BitWriter;

static inline void
bits_write(BitWriter *w, uint64_t v, int width)
{
	w->acc |= v << w->nbits;
	w->nbits += width;
	if (w->nbits >= 64)
	{
		memcpy(w->p, &w->acc, 8);
		w->p += 8;
		w->nbits -= 64;
		w->acc = w->nbits == 0 ? 0 : v >> (width - w->nbits);
	}
}

static void
plan_write(const BlockPlan *p, uint8_t *dst)
{
	const LeafDesc *d = &p->d;
	BitWriter	w;

	if (d->mode & BLK_DEAD_MAP)
	{
		memset(dst, 0, (size_t) (p->n + 7) / 8);
		for (int i = 0; i < p->n; i++)
			dst[i >> 3] |= (uint8_t) (p->dead[i] << (i & 7));
		dst += (p->n + 7) / 8;
	}
	else if (d->mode & BLK_DEAD_LIST)
	{
		*dst++ = (uint8_t) p->ndead;
		for (int i = 0; i < p->n; i++)
			if (p->dead[i])
				*dst++ = (uint8_t) i;
	}
	if (d->mode & BLK_EXTRAS)
	{
		*dst++ = (uint8_t) p->nextras;
		*dst++ = (uint8_t) (p->nextras >> 8);
		for (int i = 0; i < p->nextras; i++, dst += BLK_TRIPLE)
		{
			dst[0] = p->xslot[i];
			store48(dst + 1, p->xtid[i]);
		}
	}
	if (d->mode & BLK_RLE)
	{
		for (int i = 0; i < p->n; i++)
		{
			if (i > 0 && p->tid[i] == p->tid[i - 1] + 1)
				continue;
			dst[0] = (uint8_t) i;
			store48(dst + 1, p->tid[i]);
			dst += BLK_TRIPLE;
		}
	}
	if (d->kw + d->tw == 0)
		return;
	w = (BitWriter) {dst, 0, 0};
	for (int i = 0; i < p->n; i++)
	{
		uint64_t	r = p->key[i] - p->first + p->kadd - line_at(d->km, d->ke, (unsigned) i);

		bits_write(&w, r & bit_mask(d->kw), d->kw);
		if (d->tw > 0)
		{
			r = p->packed[i] - desc_tid_base(d) - line_at(d->tm, d->te, (unsigned) i);
			bits_write(&w, r & bit_mask(d->tw), d->tw);
		}
	}
	memcpy(w.p, &w.acc, (size_t) (w.nbits + 7) / 8);
}

bool
out_plan(PageOut *out, const BlockPlan *p)
{
	LeafDesc   *d;
	int			eps = 0;

	if (!out_room(out, p->size, p->n))
		return false;
	out->first[out->nblk] = (int64_t) p->first;
	d = &out->desc[out->nblk];
	*d = p->d;
	d->off = (uint16_t) out->len;
	for (int i = 0; i < p->n; i++)
	{
		int			err = block_predict(d, p->key[i] - p->first) - i;

		err = err < 0 ? -err : err;
		eps = err > eps ? err : eps;
	}
	d->eps = (uint8_t) eps;
	plan_write(p, out->payload + out->len);
	out->nblk++;
	out->nslot += p->n;
	out->len += p->size;
	return true;
}

/* Where the first 'want' live items of items[from..to) end. */
static int
items_skip_live(const Items *it, int from, int to, int want)
{
	while (from < to && want > 0)
		want -= (it->flag[from++] & ITEM_DEAD) == 0;
	return from;
}

/* Payload of items[from..to) as one block of live slots; for comparisons. */
static int
live_size(const Items *it, int from, int to, BlockPlan *scratch)
{
	if (!plan_fill(scratch, it, from, to, PLAN_LIVE))
		return 0;
	plan_code(scratch, 0, 0);
	return scratch->size;
}

bool
out_items(PageOut *out, const Items *it, int from, int to, bool edge, PlanPair *pp)
{
	BlockPlan  *best;
	int			live = 0;
	int			parts;

	for (int i = from; i < to; i++)
		live += (it->flag[i] & ITEM_DEAD) == 0;
	if (live == 0)
		return true;
	if (plan_best(it, from, to, pp, &best) != INT_MAX)
	{
		bool		cut = false;
		int			mid = from + (to - from) / 2;
		int			half = best->n / 2;

		if (live > KYRO_BLOCK_SLOTS)
		{
			/* fits only thanks to extras: do two plain blocks cost less? */
			BlockPlan  *other = best == pp->plan ? pp->plan + 1 : pp->plan;

			mid = items_skip_live(it, from, to, (live + 1) / 2);
			cut = live_size(it, from, mid, other) + live_size(it, mid, to, other) +
				BLK_OVERHEAD < best->size;
		}
		else if (best->n >= 64 && best->n * best->d.kw > 2 * BLK_OVERHEAD * 8)
		{
			/* smaller blocks, if the keys bend enough for it */
			int			saved = (best->n * best->d.kw -
								 half * key_width(best->key, half) -
								 (best->n - half) * key_width(best->key + half, best->n - half));

			cut = saved > 8 * (BLK_OVERHEAD + BLK_TRIPLE);
		}
		if (!cut)
			return out_plan(out, best);
		return out_items(out, it, from, mid, false, pp) &&
			out_items(out, it, mid, to, false, pp);
	}
	parts = (live + KYRO_BLOCK_SLOTS - 1) / KYRO_BLOCK_SLOTS;
	for (int i = 0; i < parts && from < to; i++)
	{
		int			want = edge ? KYRO_BLOCK_SLOTS : (live + parts - 1 - i) / (parts - i);
		int			end = i + 1 < parts ? items_skip_live(it, from, to, want) : to;

		if (!out_items(out, it, from, end, false, pp))
			return false;
		live -= want;
		from = end;
	}
	return true;
}
