/*-------------------------------------------------------------------------
 *
 * leaf.c
 *	  The leaf page as a whole: header, fences, insert run, checks.
 *
 * IDENTIFICATION
 *	  src/model/leaf.c
 *
 *-------------------------------------------------------------------------
 */
#include "leaf_internal.h"

void
leaf_set_low(void *page, KyroFence low)
{
	LeafHeader *h = leaf_header(page);

	h->low_key = low.key;
	h->low_tid = low.tid;
	h->flags = (uint8_t) ((h->flags & ~LEAF_LOW_NULL) | (low.isnull ? LEAF_LOW_NULL : 0));
}

void
leaf_set_high(void *page, KyroFence high)
{
	LeafHeader *h = leaf_header(page);

	h->high_key = high.key;
	h->high_tid = high.tid;
	h->flags = (uint8_t) ((h->flags & ~LEAF_HIGH_NULL) | (high.isnull ? LEAF_HIGH_NULL : 0));
}

void
leaf_init(void *page, KyroFence low, uint32_t left, uint32_t right, uint8_t reserve)
{
	LeafHeader *h = leaf_header(page);

	memset((uint8_t *) page + KYRO_PAGE_HEADER, 0, KYRO_PAGE_END - KYRO_PAGE_HEADER);
	leaf_set_low(page, low);
	h->left = left;
	h->right = right;
	h->pend = LEAF_PAYLOAD(0);
	h->reserve = reserve;
}

int
leaf_reserve_bytes(const LeafHeader *h, int nslot)
{
	int			asked = h->reserve * (KYRO_PAGE_SIZE / 256);
	int			bitmaps = leaf_least_reserve(nslot);

	/* an empty page must always take entries */
	if (asked > KYRO_PAGE_SIZE / 2)
		asked = KYRO_PAGE_SIZE / 2;
	return asked > bitmaps ? asked : bitmaps;
}

bool
leaf_header_ok(const void *page)
{
	const LeafHeader *h = leaf_header_const(page);

	return h->nrun <= KYRO_RUN_CAP && h->nslot <= KYRO_LEAF_CAP &&
		h->nslot >= h->nblk && h->nslot <= h->nblk * KYRO_BLOCK_SLOTS &&
		h->nblk <= PAGE_MAX_BLOCKS && h->pend >= LEAF_PAYLOAD(h->nblk) && h->pend <= leaf_upper(page);
}

/* ---- the insert run ---- */

void
run_put(void *page, int j, KyroEntry e)
{
	uint8_t    *c = (uint8_t *) page + KYRO_PAGE_END - (j / 8 + 1) * KYRO_RUN_CHUNK;

	memcpy(c + j % 8 * 8, &e.key, 8);
	store48(c + 64 + j % 8 * 6, e.tid);
}

int
run_sorted(const void *page, KyroEntry *e)
{
	int			n = leaf_header_const(page)->nrun;

	for (int j = 0; j < n; j++)
	{
		KyroEntry	x = run_get(page, j);
		int			i = j;

		for (; i > 0 && kyro_entry_cmp(e[i - 1], x) > 0; i--)
			e[i] = e[i - 1];
		e[i] = x;
	}
	return n;
}

bool
page_finish(void *dst, const void *src, const PageOut *out, const KyroEntry *run, int nrun)
{
	int			pend = out_used(out);
	int			upper = KYRO_PAGE_END - (nrun + 7) / 8 * KYRO_RUN_CHUNK;
	uint8_t    *bytes = (uint8_t *) dst;
	LeafHeader *h = leaf_header(dst);
	LeafDesc   *desc;

	if (out->full || pend > upper)
		return false;
	memcpy(bytes, src, KYRO_LEAF_FIRST);
	memcpy(bytes + KYRO_PAGE_END, (const uint8_t *) src + KYRO_PAGE_END, KYRO_PAGE_TRAILER);
	h->nblk = (uint16_t) out->nblk;
	h->nslot = (uint16_t) out->nslot;
	h->pend = (uint16_t) pend;
	h->nrun = (uint16_t) nrun;
	h->epoch++;
	memcpy(bytes + KYRO_LEAF_FIRST, out->first, sizeof(int64_t) * (size_t) out->nblk);
	desc = (LeafDesc *) (bytes + KYRO_LEAF_FIRST + sizeof(int64_t) * (size_t) out->nblk);
	for (int b = 0; b < out->nblk; b++)
	{
		desc[b] = out->desc[b];
		desc[b].off = (uint16_t) (desc[b].off + LEAF_PAYLOAD(out->nblk));
	}
	memcpy(bytes + LEAF_PAYLOAD(out->nblk), out->payload, (size_t) out->len);
	memset(bytes + pend, 0, (size_t) (KYRO_PAGE_END - pend));
	for (int j = 0; j < nrun; j++)
		run_put(dst, j, run[j]);
	return true;
}

/* ---- the full check ---- */

static const char *
verify_fences(const void *page, KyroEntry e)
{
	bool		isnull = (leaf_header_const(page)->flags & LEAF_LOW_NULL) != 0;
	KyroFence	f = {e.key, e.tid, isnull};

	if (isnull && e.key != 0)
		return "entry of a page of NULLs has a key";
	if (kyro_fence_cmp(f, leaf_low(page)) < 0)
		return "entry below the low fence";
	if (leaf_has_high(page) && kyro_fence_cmp(f, leaf_high(page)) >= 0)
		return "entry at or above the high fence";
	return NULL;
}

static bool
all_zero(const uint8_t *p, int n)
{
	for (int i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Padding bits behind the last slot of a block. */
static bool
padding_zero(const BlockView *v)
{
	int			nbits = v->n * v->width;

	return nbits % 8 == 0 || v->bits[nbits / 8] >> (nbits % 8) == 0;
}

static const char *
verify_block(const BlockView *v, RawBlock *raw)
{
	int			eps = 0;
	uint64_t	prevx = 0;
	const LeafDesc *d = v->d;

	if (d->mode & BLK_RLE ? d->radix != 0 || d->tm != 0 || desc_tid_base(d) != 0 : d->nx != 0)
		return "block descriptor has stray values";
	if ((d->mode & BLK_DEAD && block_ndead(v) == 0) || (d->mode & BLK_EXTRAS && v->nextras == 0))
		return "block descriptor has needless flags";
	if (!block_decode_raw(v, raw))
		return "block payload is damaged";
	if (!padding_zero(v) ||
		(d->mode & BLK_DEAD_MAP && v->n % 8 != 0 && v->dead[v->n / 8] >> (v->n % 8) != 0))
		return "block padding is not zero";
	if (raw->key[0] != v->first)
		return "first key of a block is wrong";
	for (int i = 0; i < raw->n; i++)
	{
		int			err = block_predict(d, raw->key[i] - v->first) - i;

		err = err < 0 ? -err : err;
		eps = err > eps ? err : eps;
		if (i > 0 && kyro_entry_cmp((KyroEntry) {(int64_t) raw->key[i - 1], raw->tid[i - 1]},
									(KyroEntry) {(int64_t) raw->key[i], raw->tid[i]}) >= 0)
			return "slots out of order";
		if (block_key(v, i) != raw->key[i] || block_tid(v, i) != raw->tid[i])
			return "slot reads differently alone";
	}
	if (eps != d->eps)
		return "epsilon of a block is not exact";
	for (int j = 0; j < raw->nextras; j++)
	{
		int			s = raw->xslot[j];

		if (s > 0 && raw->key[s - 1] == raw->key[s])
			return "extra at a slot that is not its key's first";
		if (j > 0 && (s < raw->xslot[j - 1] || (s == raw->xslot[j - 1] && raw->xtid[j] <= prevx)))
			return "extras out of order";
		prevx = raw->xtid[j];
	}
	return NULL;
}

const char *
leaf_verify(const void *page)
{
	const LeafHeader *h = leaf_header_const(page);
	const char *problem;
	KyroEntry	run[KYRO_RUN_CAP];
	KyroEntry	items[KYRO_BLOCK_SLOTS + KYRO_BLOCK_EXTRAS];
	KyroEntry	prev = {0, 0};
	bool		have_prev = false;
	int			end = LEAF_PAYLOAD(h->nblk);
	int			slots = 0;
	int			nrun;
	int			r = 0;
	RawBlock	raw;
	BlockView	v;

	if (!leaf_header_ok(page))
		return "leaf header is damaged";
	if ((h->flags & ~(LEAF_LOW_NULL | LEAF_HIGH_NULL)) != 0 ||
		!all_zero((const uint8_t *) h->spare, sizeof(h->spare)))
		return "spare bytes of the leaf header are not zero";
	if ((h->flags & LEAF_LOW_NULL && h->low_key != 0) ||
		(leaf_has_high(page) && h->flags & LEAF_HIGH_NULL && h->high_key != 0))
		return "NULL fence has a key";
	if (leaf_has_high(page) && kyro_fence_cmp(leaf_low(page), leaf_high(page)) >= 0)
		return "fences out of order";
	if (!all_zero((const uint8_t *) page + h->pend, leaf_upper(page) - h->pend))
		return "unused space is not zero";
	nrun = run_sorted(page, run);
	for (int j = nrun; j % 8 != 0; j++)
	{
		KyroEntry	e = run_get(page, j);

		if (e.key != 0 || e.tid != 0)
			return "unused run entry is not zero";
	}
	for (int j = 0; j < nrun; j++)
	{
		if (j > 0 && kyro_entry_cmp(run[j - 1], run[j]) >= 0)
			return "entry twice in the insert run";
		if ((problem = verify_fences(page, run[j])) != NULL)
			return problem;
	}
	for (int b = 0; b < h->nblk; b++)
	{
		int			n;

		if (!block_open(page, b, &v))
			return "block descriptor is damaged";
		if (v.off != end)
			return "block payloads are not contiguous";
		end = v.end;
		slots += v.n;
		if (b > 0 && leaf_first(page)[b] < leaf_first(page)[b - 1])
			return "blocks out of order";
		if ((problem = verify_block(&v, &raw)) != NULL)
			return problem;
		if (b + 1 < h->nblk && leaf_first(page)[b + 1] < (int64_t) raw.key[raw.n - 1])
			return "blocks overlap";
		n = block_decode_live(&v, items);
		if (n <= 0)
			return "block without a live entry";
		for (int i = 0; i < n; i++)
		{
			if (have_prev && kyro_entry_cmp(prev, items[i]) >= 0)
				return "entries out of order";
			if ((problem = verify_fences(page, items[i])) != NULL)
				return problem;
			while (r < nrun && kyro_entry_cmp(run[r], items[i]) < 0)
				r++;
			if (r < nrun && kyro_entry_cmp(run[r], items[i]) == 0)
				return "entry both in a block and in the insert run";
			prev = items[i];
			have_prev = true;
		}
	}
	if (end != h->pend)
		return "payloads do not end where the header says";
	if (slots != h->nslot)
		return "number of slots differs from the header's";
	return NULL;
}
