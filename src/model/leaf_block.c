/*-------------------------------------------------------------------------
 *
 * leaf_block.c
 *	  Reading the blocks of a leaf page: search, decode, lists of entries.
 *
 * IDENTIFICATION
 *	  src/model/leaf_block.c
 *
 *-------------------------------------------------------------------------
 */
#include "leaf_internal.h"

void
put_bits(uint8_t *base, uint32_t pos, int width, uint64_t v)
{
	uint8_t    *p = base + (pos >> 3);
	int			shift = (int) (pos & 7);
	uint64_t	mask = bit_mask(width);
	uint64_t	word = (load64(p) & ~(mask << shift)) | v << shift;

	memcpy(p, &word, 8);
	if (shift + width > 64)
		p[8] = (uint8_t) ((p[8] & ~(mask >> (64 - shift))) | v >> (64 - shift));
}

/* ---- reading ---- */

int
block_ndead(const BlockView *v)
{
	int			n = 0;

	if (v->d->mode & BLK_DEAD_LIST)
		return v->ndead_list;
	if (v->d->mode & BLK_DEAD_MAP)
		for (int i = 0; i < (v->n + 7) / 8; i++)
			n += __builtin_popcount(v->dead[i]);
	return n;
}

int
block_lower_bound(const BlockView *v, uint64_t rel, int *predicted, int *probes)
{
	const LeafDesc *d = v->d;
	uint64_t	res0 = block_residual(v, 0);
	int			p = block_predict(d, rel);
	int			lo = p - d->eps - 1;
	int			hi = p + d->eps + 1;
	int			count = 0;
	int			step = 1;
	int			i;

	*predicted = p < v->n ? p : v->n - 1;

	/*
	 * the answer is in lo .. hi: slots below lo are less, slots from hi on
	 * not
	 */
	if (hi > v->n)
		hi = v->n;
	if (lo > hi)
		lo = hi;
	if (lo < 0)
		lo = 0;
	i = p < hi ? p : hi - 1;
	if (lo < hi)
	{
		count++;
		if (block_rel(v, i, res0) < rel)
		{
			lo = i + 1;
			while (lo + step - 1 < hi)
			{
				i = lo + step - 1;
				count++;
				if (block_rel(v, i, res0) >= rel)
				{
					hi = i;
					break;
				}
				lo = i + 1;
				step *= 2;
			}
		}
		else
		{
			hi = i;
			while (hi - step >= lo)
			{
				i = hi - step;
				count++;
				if (block_rel(v, i, res0) < rel)
				{
					lo = i + 1;
					break;
				}
				hi = i;
				step *= 2;
			}
		}
		while (lo < hi)
		{
			i = (lo + hi) / 2;
			count++;
			if (block_rel(v, i, res0) < rel)
				lo = i + 1;
			else
				hi = i;
		}
	}
	*probes += count;
	return lo;
}

KyroEntry
block_first_entry(const BlockView *v)
{
	KyroEntry	e = {(int64_t) v->first, block_tid(v, 0)};

	if (v->nextras > 0)
	{
		uint64_t	tid = load48(v->extras + 1);

		/* extras ascend, so only the first one can be the least entry */
		if (tid < e.tid && v->extras[0] < v->n &&
			block_key(v, v->extras[0]) == v->first)
			e.tid = tid;
	}
	return e;
}

/* tids of n slots from slot from; false if the runs are out of order */
static bool
decode_tids(const BlockView *v, int from, int n, uint64_t *tid)
{
	const LeafDesc *d = v->d;

	if (d->mode & BLK_RLE)
	{
		const uint8_t *r = v->rle;
		int			start = 0;
		int			i = from;

		if (r[0] != 0)
			return false;
		for (int j = 0; j < d->nx; j++, r += BLK_TRIPLE)
		{
			int			end = j + 1 < d->nx ? r[BLK_TRIPLE] : v->n;
			uint64_t	t = load48(r + 1);

			if (end <= start || end > v->n || t + (uint64_t) (end - 1 - start) > KYRO_TID_MAX)
				return false;
			for (; i < end && i < from + n; i++)
				tid[i - from] = t + (uint64_t) (i - start);
			start = end;
		}
		return true;
	}
	leaf_kernels->unpack(v->bits, d->kw, v->width, d->tw, d->tm, d->te, (unsigned) from,
						 desc_tid_base(d), n, tid);
	if (d->radix == 0)
	{
		for (int i = 0; i < n; i++)
			tid[i] &= KYRO_TID_MAX;
	}
	else
	{
		/*
		 * exact for 48-bit numbers: the error, below 2^16 in 2^64, cannot
		 * carry
		 */
		uint64_t	magic = UINT64_MAX / d->radix + 1;
		unsigned	radix = d->radix;

		for (int i = 0; i < n; i++)
		{
			uint64_t	u = tid[i] & KYRO_TID_MAX;
			uint64_t	q = radix == 1 ? u : (uint64_t) (((unsigned __int128) u * magic) >> 64);

			tid[i] = (q << 16 | (u - q * radix + 1)) & KYRO_TID_MAX;
		}
	}
	return true;
}

static void
decode_keys(const BlockView *v, int from, int n, uint64_t *key)
{
	leaf_kernels->unpack(v->bits, 0, v->width, v->d->kw, v->d->km, v->d->ke, (unsigned) from,
						 v->first - block_residual(v, 0), n, key);
}

bool
block_decode_slots(const BlockView *v, int from, int n, KyroEntry *e)
{
	uint64_t	key[KYRO_BLOCK_SLOTS];
	uint64_t	tid[KYRO_BLOCK_SLOTS];

	if (!decode_tids(v, from, n, tid))
		return false;
	decode_keys(v, from, n, key);
	for (int i = 0; i < n; i++)
		e[i] = (KyroEntry) {(int64_t) key[i], tid[i]};
	return true;
}

bool
block_decode_raw(const BlockView *v, RawBlock *raw)
{
	decode_keys(v, 0, v->n, raw->key);
	return block_decode_tids(v, raw);
}

bool
block_decode_tids(const BlockView *v, RawBlock *raw)
{
	const LeafDesc *d = v->d;
	int			last = -1;

	raw->n = v->n;
	raw->nextras = v->nextras;
	if (!decode_tids(v, 0, v->n, raw->tid))
		return false;
	memset(raw->dead, 0, (size_t) v->n);
	if (d->mode & BLK_DEAD_MAP)
	{
		for (int i = 0; i < v->n; i++)
			raw->dead[i] = v->dead[i >> 3] >> (i & 7) & 1;
	}
	for (int j = 0; j < v->ndead_list; j++)
	{
		if (v->dead[j] >= v->n || v->dead[j] <= last)
			return false;
		last = v->dead[j];
		raw->dead[last] = 1;
	}
	for (int j = 0; j < v->nextras; j++)
	{
		raw->xslot[j] = v->extras[j * BLK_TRIPLE];
		raw->xtid[j] = load48(v->extras + j * BLK_TRIPLE + 1);
		if (raw->xslot[j] >= v->n)
			return false;
	}
	return true;
}

int
block_decode_live(const BlockView *v, KyroEntry *e)
{
	RawBlock	raw;
	int			n = 0;
	int			i = 0;

	if ((v->d->mode & BLK_CLEAN_MASK) == 0)
		return block_decode_slots(v, 0, v->n, e) ? v->n : -1;
	if (!block_decode_raw(v, &raw))
		return -1;
	for (int j = 0; j <= raw.nextras; j++)
	{
		KyroEntry	x = {0, 0};

		if (j < raw.nextras)
			x = (KyroEntry) {(int64_t) raw.key[raw.xslot[j]], raw.xtid[j]};
		for (; i < raw.n; i++)
		{
			KyroEntry	s = {(int64_t) raw.key[i], raw.tid[i]};

			if (j < raw.nextras && kyro_entry_cmp(s, x) > 0)
				break;
			if (!raw.dead[i])
				e[n++] = s;
		}
		if (j < raw.nextras)
			e[n++] = x;
	}
	return n;
}

/* ---- items ---- */

static void
items_add(Items *it, KyroEntry e, unsigned flag)
{
	/* a dead slot whose tid is used again for the same key comes back to life */
	if (it->n > 0 && it->key[it->n - 1] == (uint64_t) e.key && it->tid[it->n - 1] == e.tid &&
		((it->flag[it->n - 1] | flag) & ITEM_DEAD))
	{
		uint8_t    *f = &it->flag[it->n - 1];

		if ((*f & ITEM_DEAD) && (flag & ITEM_DEAD) == 0)
			it->live++;
		*f = (uint8_t) (*f & flag & (ITEM_DEAD | ITEM_LOOSE));
		return;
	}
	it->key[it->n] = (uint64_t) e.key;
	it->tid[it->n] = e.tid;
	it->flag[it->n] = (uint8_t) flag;
	it->n++;
	it->live += (flag & ITEM_DEAD) == 0;
}

bool
items_from_raw(Items *it, const RawBlock *raw)
{
	int			i = 0;

	it->n = 0;
	it->live = 0;
	for (int j = 0; j <= raw->nextras; j++)
	{
		KyroEntry	x = {0, 0};

		if (j < raw->nextras)
			x = (KyroEntry) {(int64_t) raw->key[raw->xslot[j]], raw->xtid[j]};
		for (; i < raw->n; i++)
		{
			KyroEntry	s = {(int64_t) raw->key[i], raw->tid[i]};

			if (j < raw->nextras && kyro_entry_cmp(s, x) > 0)
				break;
			items_add(it, s, raw->dead[i] ? ITEM_DEAD : 0);
		}
		if (j < raw->nextras)
			items_add(it, x, ITEM_LOOSE);
	}
	for (i = 1; i < it->n; i++)
	{
		KyroEntry	a = {(int64_t) it->key[i - 1], it->tid[i - 1]};
		KyroEntry	b = {(int64_t) it->key[i], it->tid[i]};

		if (kyro_entry_cmp(a, b) >= 0)
			return false;
	}
	return true;
}

void
items_merge(Items *dst, const Items *src, const KyroEntry *e, int n)
{
	int			i = 0;

	dst->n = 0;
	dst->live = 0;
	for (int j = 0; j <= n; j++)
	{
		for (; i < src->n; i++)
		{
			KyroEntry	s = {(int64_t) src->key[i], src->tid[i]};

			if (j < n && kyro_entry_cmp(s, e[j]) > 0)
				break;
			items_add(dst, s, src->flag[i]);
		}
		if (j < n)
			items_add(dst, e[j], ITEM_LOOSE);
	}
}
