/*-------------------------------------------------------------------------
 *
 * leaf_append.c
 *	  Adding one entry: in place at the right edge, or to the insert run.
 *
 * At the right edge the last block is open: its residuals are a little wider
 * than they need be, so that most entries just add a slot.  One that does not
 * fit has the block coded anew, with slack again.  A full block, or one that
 * a jump in the keys would blow up, is closed: coded once more at its
 * tightest, and a new block opened on its slope.
 *
 * IDENTIFICATION
 *	  src/model/leaf_append.c
 *
 *-------------------------------------------------------------------------
 */
#include "leaf_internal.h"

typedef enum AppendResult
{
	APPEND_DONE,				/* done, or could be */
	APPEND_BELOW,				/* the entry is not above the last one */
	APPEND_FULL,				/* no room, or the page is in its reserve */
	APPEND_DAMAGED
} AppendResult;

/* How an entry fits into the open block as it is. */
typedef struct AppendFit
{
	uint64_t	kres;			/* key and tid residuals */
	uint64_t	tres;
	bool		new_run;		/* a tid run must be added */
	int			eps;
	int			grow;			/* bytes */
} AppendFit;

/* Is e above every slot and extra of the last block?  -1 if that is damaged. */
static int
above_last(const BlockView *v, KyroEntry e)
{
	int64_t		last = (int64_t) block_key(v, v->n - 1);

	if (e.key != last)
		return e.key > last;
	if (e.tid <= block_tid(v, v->n - 1))
		return 0;
	if (v->nextras > 0)
	{
		const uint8_t *x = v->extras + (v->nextras - 1) * BLK_TRIPLE;

		if (x[0] >= v->n)
			return -1;
		if ((int64_t) block_key(v, x[0]) == last && e.tid <= load48(x + 1))
			return 0;
	}
	return 1;
}

static bool
fits_in_place(const BlockView *v, KyroEntry e, AppendFit *f)
{
	const LeafDesc *d = v->d;
	uint64_t	rel = (uint64_t) e.key - v->first;
	unsigned	n = (unsigned) v->n;
	int			err;

	if ((d->mode & BLK_CLEAN_MASK) || n >= KYRO_BLOCK_SLOTS)
		return false;
	f->kres = rel + block_residual(v, 0) - line_at(d->km, d->ke, n);
	if (f->kres & ~bit_mask(d->kw))
		return false;
	f->new_run = false;
	f->tres = 0;
	if (d->mode & BLK_RLE)
	{
		f->new_run = block_tid(v, v->n - 1) + 1 != e.tid;
		if (f->new_run)
		{
			int			nx = d->nx + 1;

			/* now and then ask whether runs still are the best coding */
			if (nx >= 16 && (nx & (nx - 1)) == 0 && nx > (int) n / 8)
				return false;
		}
	}
	else
	{
		if (!tid_fits_radix(e.tid, d->radix))
			return false;
		f->tres = tid_pack(e.tid, d->radix) - desc_tid_base(d) - line_at(d->tm, d->te, n);
		if (f->tres & ~bit_mask(d->tw))
			return false;
	}
	err = block_predict(d, rel) - (int) n;
	err = err < 0 ? -err : err;
	f->eps = err > d->eps ? err : d->eps;
	f->grow = ((int) (n + 1) * v->width + 7) / 8 - ((int) n * v->width + 7) / 8 +
		(f->new_run ? BLK_TRIPLE : 0);
	return true;
}

static void
append_in_place(void *page, const BlockView *v, KyroEntry e, const AppendFit *f, bool sum)
{
	LeafHeader *h = leaf_header(page);
	uint8_t    *bytes = (uint8_t *) page;
	int			bits = (int) (v->bits - bytes);
	int			desc = (int) ((const uint8_t *) v->d - bytes);
	LeafDesc   *d = (LeafDesc *) (bytes + desc);
	int			pend = h->pend;
	uint64_t	pieces = 0;
	uint64_t	part = 0;

	if (sum)
	{
		pieces = leaf_sum_pieces(desc, desc + (int) sizeof(LeafDesc)) |
			leaf_sum_pieces(f->new_run ? bits : bits + v->n * v->width / 8, pend + f->grow);
		part = leaf_sum_part(page, pieces);
	}

	if (f->new_run)
	{
		uint8_t    *r = bytes + bits;

		memmove(r + BLK_TRIPLE, r, (size_t) (pend - bits));
		r[0] = (uint8_t) v->n;
		store48(r + 1, e.tid);
		d->nx++;
		bits += BLK_TRIPLE;
		pend += BLK_TRIPLE;
	}
	memset(bytes + pend, 0, (size_t) (h->pend + f->grow - pend));
	put_bits(bytes + bits, (uint32_t) (v->n * v->width), d->kw, f->kres);
	put_bits(bytes + bits, (uint32_t) (v->n * v->width + d->kw), d->tw, f->tres);
	d->n1++;
	d->eps = (uint8_t) f->eps;
	h->pend = (uint16_t) (h->pend + f->grow);
	h->nslot++;
	if (sum)
		h->sum += leaf_sum_part(page, pieces) - part;
}

/* A block of one slot that continues where prev ends. */
static bool
out_open_block(PageOut *out, const LeafDesc *prev, KyroEntry e)
{
	LeafDesc	d;
	uint8_t		buf[32] = {0};
	int			size = 0;
	uint64_t	kres = 0;
	uint64_t	tres = 0;

	memset(&d, 0, sizeof(d));
	d.kw = prev->kw;
	if (prev->km != 0)
	{
		d.km = prev->km;
		d.ke = prev->ke;
		if (prev->kw > 0)
		{
			d.kw = (uint8_t) (prev->kw + 2 > 64 ? 64 : prev->kw + 2);
			/* cppcheck-suppress shiftNegative */
			kres = UINT64_C(1) << (d.kw - 1);
		}
	}
	else
		d.pb = prev->pb;
	if ((prev->mode & BLK_RLE) || !tid_fits_radix(e.tid, prev->radix))
	{
		d.mode = BLK_RLE;
		d.nx = 1;
		store48(buf + 1, e.tid);
		size = BLK_TRIPLE;
	}
	else
	{
		uint64_t	u = tid_pack(e.tid, prev->radix);
		uint64_t	base = u;

		d.radix = prev->radix;
		d.tm = prev->tm;
		d.te = prev->te;
		if (prev->tw > 0)
		{
			d.tw = (uint8_t) (prev->tw + 1 > KYRO_TID_BITS ? KYRO_TID_BITS : prev->tw + 1);
			base = desc_tid_base(prev);
			if (d.tm != 0 || u < base || (u - base) >> d.tw)
			{
				/* cppcheck-suppress shiftNegative */
				uint64_t	half = UINT64_C(1) << (d.tw - 1);

				base = u > half ? u - half : 0;
			}
		}
		desc_set_tid_base(&d, base);
		tres = u - base;
	}
	put_bits(buf + size, 0, d.kw, kres);
	put_bits(buf + size, d.kw, d.tw, tres);
	size += (d.kw + d.tw + 7) / 8;
	if (out->nblk >= out->max_blk || out_used(out) + BLK_OVERHEAD + size > out->limit)
		return false;
	d.eps = (uint8_t) block_predict(&d, 0);
	d.off = (uint16_t) out->len;
	out->first[out->nblk] = e.key;
	out->desc[out->nblk++] = d;
	memcpy(out->payload + out->len, buf, (size_t) size);
	out->len += size;
	out->nslot++;
	return true;
}

#define TAIL_MAX_BLOCKS	9		/* a block cut to pieces of 32, and a new one */

/* What takes the place of the last block. */
typedef struct Tail
{
	PageOut		out;
	int64_t		first[TAIL_MAX_BLOCKS];
	LeafDesc	desc[TAIL_MAX_BLOCKS];
	uint8_t		payload[BLOCK_MAX_BYTES];
} Tail;

static void
tail_init(PageOut *out)
{
	/* out_used() counts from the start of a page */
	out_init(out, KYRO_LEAF_FIRST + BLOCK_MAX_BYTES);
}

/*
 * Code the slots of an open block and e anew, with slack.  1 done, 0 not
 * worth it, -1 damaged.  v is NULL on a page without blocks.
 */
__attribute__((noinline))
static int
tail_reopen(PageOut *out, const BlockView *v, KyroEntry e)
{
	RawBlock	raw;
	BlockPlan	plan;
	int			n = v ? v->n : 0;

	if (v)
	{
		if (!block_decode_raw(v, &raw))
			return -1;
		memcpy(plan.key, raw.key, sizeof(uint64_t) * (size_t) n);
		memcpy(plan.tid, raw.tid, sizeof(uint64_t) * (size_t) n);
	}
	plan.key[n] = (uint64_t) e.key;
	plan.tid[n] = e.tid;
	plan.n = n + 1;
	plan_open(&plan, v ? v->d->radix : 0);
	/* a jump in the keys is better met by a new block */
	if (n >= 8 && plan.size > v->end - v->off + 2 * BLK_OVERHEAD)
		return 0;
	tail_init(out);
	return out_plan(out, &plan) ? 1 : -1;
}

/* Code a block at its tightest, if that is any smaller; false if damaged. */
__attribute__((noinline))
static bool
tail_close(PageOut *out, const BlockView *v)
{
	Items		items;
	union
	{
		RawBlock	raw;
		PlanPair	pair;
	}			u;

	if (!block_decode_raw(v, &u.raw) || !items_from_raw(&items, &u.raw))
		return false;
	tail_init(out);
	if (!out_items(out, &items, 0, items.n, false, &u.pair) ||
		out->len + (out->nblk - 1) * BLK_OVERHEAD > v->end - v->off)
		tail_init(out);
	return true;
}

/* Make the blocks that replace the last one (v) when e is appended. */
static bool
code_tail(Tail *tail, const void *page, const BlockView *v, KyroEntry e)
{
	PageOut    *out = &tail->out;
	bool		clean = v && (v->d->mode & BLK_CLEAN_MASK) == 0;

	out->first = tail->first;
	out->desc = tail->desc;
	out->payload = tail->payload;
	out->max_blk = TAIL_MAX_BLOCKS;
	tail_init(out);
	if (v == NULL || (clean && v->n < KYRO_BLOCK_SLOTS))
	{
		int			done = tail_reopen(out, v, e);

		if (done != 0)
			return done > 0;
	}
	if (clean && v->width > 0 && !tail_close(out, v))
		return false;
	if (out->nblk == 0 && !out_copy_block(out, page, v))
		return false;
	return out_open_block(out, &out->desc[out->nblk - 1], e);
}

/* Replace the last block (none, if v is NULL) by the blocks of out. */
static void
install_tail(void *page, const BlockView *v, const PageOut *out, int pend, bool sum)
{
	LeafHeader *h = leaf_header(page);
	uint8_t    *bytes = (uint8_t *) page;
	int			keep = h->nblk - (v != NULL);
	int			nblk = keep + out->nblk;
	int			from = LEAF_PAYLOAD(h->nblk);
	int			to = LEAF_PAYLOAD(nblk);
	int			len = (v ? v->off : from) - from;
	int			old_desc = KYRO_LEAF_FIRST + 8 * h->nblk;
	int			old_pend = h->pend;
	int			slots = h->nslot - (v ? v->n : 0);
	LeafDesc   *desc = (LeafDesc *) (bytes + KYRO_LEAF_FIRST + 8 * nblk);
	int			last = pend > old_pend ? pend : old_pend;
	uint64_t	pieces = leaf_sum_pieces(KYRO_LEAF_FIRST, last);
	uint64_t	part = 0;

	/* one block for another: those before it stay where they are */
	if (v != NULL && to == from)
		pieces = leaf_sum_pieces(KYRO_LEAF_FIRST + 8 * keep, KYRO_LEAF_FIRST + 8 * nblk) |
			leaf_sum_pieces(from - (int) sizeof(LeafDesc), from) | leaf_sum_pieces(v->off, last);
	if (sum)
		part = leaf_sum_part(page, pieces);

	/* out never has fewer blocks than it replaces: everything moves up */
	memmove(bytes + to, bytes + from, (size_t) len);
	memmove(desc, bytes + old_desc, sizeof(LeafDesc) * (size_t) keep);
	memcpy(bytes + KYRO_LEAF_FIRST + 8 * keep, out->first, 8 * (size_t) out->nblk);
	for (int b = 0; b < keep; b++)
		desc[b].off = (uint16_t) (desc[b].off + to - from);
	for (int b = 0; b < out->nblk; b++)
	{
		desc[keep + b] = out->desc[b];
		desc[keep + b].off = (uint16_t) (out->desc[b].off + to + len);
	}
	memcpy(bytes + to + len, out->payload, (size_t) out->len);
	if (old_pend > pend)
		memset(bytes + pend, 0, (size_t) (old_pend - pend));
	h->nblk = (uint16_t) nblk;
	h->nslot = (uint16_t) (slots + out->nslot);
	h->pend = (uint16_t) pend;
	h->epoch++;
	if (sum)
		h->sum += leaf_sum_part(page, pieces) - part;
}

/* The case that codes blocks anew; apart, because of its stack. */
__attribute__((noinline))
static AppendResult
append_slow(void *page, const BlockView *v, KyroEntry e, bool apply, bool sum)
{
	const LeafHeader *h = leaf_header_const(page);
	Tail		tail;
	const PageOut *out = &tail.out;
	int			slots;
	int			pend;

	if (!code_tail(&tail, page, v, e))
		return APPEND_DAMAGED;
	slots = h->nslot - (v ? v->n : 0) + out->nslot;
	pend = LEAF_PAYLOAD(h->nblk - (v != NULL) + out->nblk) +
		(v ? v->off - LEAF_PAYLOAD(h->nblk) : 0) + out->len;
	if (slots > KYRO_LEAF_CAP || h->nblk + out->nblk > PAGE_MAX_BLOCKS ||
		pend + leaf_reserve_bytes(h, slots) > leaf_upper(page))
		return APPEND_FULL;
	if (apply)
		install_tail(page, v, out, pend, sum);
	return APPEND_DONE;
}

/* Append e, or (apply = false) only find out whether that would work. */
static AppendResult
append_entry(void *page, KyroEntry e, bool apply, bool sum)
{
	const LeafHeader *h = leaf_header_const(page);
	BlockView	v;
	AppendFit	fit;
	int			above;

	if (h->nblk == 0)
		return append_slow(page, NULL, e, apply, sum);
	if (!block_open(page, h->nblk - 1, &v) || v.end != h->pend || v.n > h->nslot)
		return APPEND_DAMAGED;
	above = above_last(&v, e);
	if (above <= 0)
		return above < 0 ? APPEND_DAMAGED : APPEND_BELOW;
	if (!fits_in_place(&v, e, &fit))
		return append_slow(page, &v, e, apply, sum);
	if (h->nslot + 1 > KYRO_LEAF_CAP ||
		h->pend + fit.grow + leaf_reserve_bytes(h, h->nslot + 1) > leaf_upper(page))
		return APPEND_FULL;
	if (apply)
		append_in_place(page, &v, e, &fit, sum);
	return APPEND_DONE;
}

LeafInsertKind
leaf_insert_kind(const void *page, KyroEntry e, bool edge)
{
	const LeafHeader *h = leaf_header_const(page);

	if (!leaf_header_ok(page))
		return LEAF_INS_CORRUPT;
	if (edge)
	{
		/* nothing is written with apply = false */
		AppendResult r = append_entry((void *) (uintptr_t) page, e, false, false);
		bool		above = true;

		if (r == APPEND_DAMAGED)
			return LEAF_INS_CORRUPT;
		if (r == APPEND_DONE)
			return LEAF_INS_APPEND;
		if (r == APPEND_FULL)
		{
			for (int j = 0; j < h->nrun && above; j++)
				above = kyro_entry_cmp(run_get(page, j), e) < 0;
			if (above)
				return LEAF_INS_NEW_RIGHT;
		}
	}
	if (h->nrun < KYRO_RUN_CAP &&
		(h->nrun % 8 != 0 || leaf_upper(page) - h->pend >= KYRO_RUN_CHUNK))
		return LEAF_INS_RUN;
	return LEAF_INS_MERGE;
}

bool
leaf_append(void *page, KyroEntry e, bool sum)
{
	return leaf_header_ok(page) && append_entry(page, e, true, sum) == APPEND_DONE;
}

bool
leaf_run_add(void *page, KyroEntry e, bool sum)
{
	LeafHeader *h = leaf_header(page);
	uint64_t	pieces;
	uint64_t	part = 0;
	int			chunk;

	if (!leaf_header_ok(page) || h->nrun >= KYRO_RUN_CAP)
		return false;
	if (h->nrun % 8 == 0 && leaf_upper(page) - h->pend < KYRO_RUN_CHUNK)
		return false;
	chunk = (int) (run_chunk(page, h->nrun) - (const uint8_t *) page);
	pieces = leaf_sum_pieces(chunk, chunk + KYRO_RUN_CHUNK);
	if (sum)
		part = leaf_sum_part(page, pieces);
	if (h->nrun % 8 == 0)
		memset((uint8_t *) page + chunk, 0, KYRO_RUN_CHUNK);
	run_put(page, h->nrun, e);
	h->nrun++;
	if (sum)
		h->sum += leaf_sum_part(page, pieces) - part;
	return true;
}
