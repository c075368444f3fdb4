/*-------------------------------------------------------------------------
 *
 * leaf_block.h
 *	  One block of a leaf page: its descriptor, how it is read and coded.
 *
 * Private to src/model/leaf*.c.  Keys are handled as uint64_t in two's
 * complement; differences are taken modulo 2^64, and since slots ascend, the
 * distance of a slot's key from the block's first key is exact as unsigned.
 *
 * IDENTIFICATION
 *	  src/model/leaf_block.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_LEAF_BLOCK_H
#define KYRO_LEAF_BLOCK_H

#include <string.h>

#include "leaf.h"

/* LeafDesc.mode */
#define BLK_RLE			0x01	/* tids as runs, no tid bits */
#define BLK_DEAD_MAP	0x02	/* bitmap of dead slots */
#define BLK_EXTRAS		0x04	/* entries that share the key of a slot */
#define BLK_DEAD_LIST	0x08	/* list of dead slots */
#define BLK_DEAD		(BLK_DEAD_MAP | BLK_DEAD_LIST)
#define BLK_CLEAN_MASK	(BLK_DEAD | BLK_EXTRAS)

#define BLK_EXP_MIN		(-24)	/* slope exponents a sound block may have */
#define BLK_EXP_MAX		47
#define BLK_TRIPLE		7		/* (slot u8, tid 6): an extra or a tid run */

/*
 * Descriptor of a block.  A slope is a 16-bit mantissa times a power of two:
 * exact for every whole number up to 65535.
 */
typedef struct LeafDesc
{
	uint16_t	off;			/* payload, byte offset in the page */
	uint8_t		n1;				/* slots - 1 */
	uint8_t		eps;			/* exact max |predicted - true slot| */
	uint16_t	km;				/* key slope = km * 2^ke; 0: none (frame of
								 * reference) */
	int8_t		ke;
	uint8_t		kw;				/* key residual bits, 0 .. 64 */
	uint8_t		pb;				/* with slope: int8_t, added to a prediction;
								 * else: predictions scale by (pb + 1) / 2^kw */
	uint8_t		mode;
	uint8_t		tw;				/* tid residual bits, 0 .. 48 */
	int8_t		te;
	uint16_t	radix;			/* largest heap offset, 0: tids as they are */
	uint16_t	tm;				/* tid slope = tm * 2^te */
	uint16_t	nx;				/* tid runs */
	uint16_t	tb_lo;			/* tid base, low 16 and high 32 bits */
	uint32_t	tb_hi;
} LeafDesc;						/* 24 bytes */

#define BLK_OVERHEAD	32		/* first key and descriptor */

/* Bytes first[] and desc[] end at, that is, where payloads start. */
#define LEAF_PAYLOAD(nblk)	(KYRO_LEAF_FIRST + BLK_OVERHEAD * (int) (nblk))

/* The page is 8-byte aligned, and so is first[]. */
static inline const int64_t *
leaf_first(const void *page)
{
	return (const int64_t *) ((const uint8_t *) page + KYRO_LEAF_FIRST);
}

static inline const LeafDesc *
leaf_desc(const void *page, int nblk)
{
	return (const LeafDesc *) ((const uint8_t *) page + KYRO_LEAF_FIRST + 8 * nblk);
}

/* ---- bits and small integers ---- */

static inline uint64_t
load64(const uint8_t *p)
{
	uint64_t	v;

	memcpy(&v, p, 8);
	return v;
}

static inline uint64_t
load48(const uint8_t *p)
{
	uint32_t	lo;
	uint16_t	hi;

	memcpy(&lo, p, 4);
	memcpy(&hi, p + 4, 2);
	return (uint64_t) hi << 32 | lo;
}

static inline void
store48(uint8_t *p, uint64_t v)
{
	uint32_t	lo = (uint32_t) v;
	uint16_t	hi = (uint16_t) (v >> 32);

	memcpy(p, &lo, 4);
	memcpy(p + 4, &hi, 2);
}

/* Bits needed for v: 0 for 0, 64 for the largest. */
static inline int
bit_width(uint64_t v)
{
	return v == 0 ? 0 : 64 - __builtin_clzll(v);
}

static inline uint64_t
bit_mask(int width)
{
	return width == 0 ? 0 : UINT64_MAX >> ((64 - width) & 63);
}

/*
 * width bits (0 .. 64) from bit position pos.  Reads up to 9 bytes from the
 * first one touched; the page trailer makes that safe at a page's end.
 */
static inline uint64_t
get_bits(const uint8_t *base, uint32_t pos, int width)
{
	const uint8_t *p = base + (pos >> 3);
	int			shift = (int) (pos & 7);
	uint64_t	v;

	if (width == 0)
		return 0;
	v = load64(p) >> shift;
	if (shift + width > 64)
		v |= (uint64_t) p[8] << (64 - shift);
	return v & bit_mask(width);
}

/* Write width bits (v has no more) at pos; changes no others, but writes like get_bits() reads. */
extern void put_bits(uint8_t *base, uint32_t pos, int width, uint64_t v);

/* The line with slope m * 2^e at slot i. */
static inline uint64_t
line_at(unsigned m, int e, unsigned i)
{
	uint64_t	x = (uint64_t) m * i;

	return e >= 0 ? x << e : x >> -e;
}

static inline uint64_t
desc_tid_base(const LeafDesc *d)
{
	return (uint64_t) d->tb_hi << 16 | d->tb_lo;
}

static inline void
desc_set_tid_base(LeafDesc *d, uint64_t tb)
{
	d->tb_lo = (uint16_t) tb;
	d->tb_hi = (uint32_t) (tb >> 16);
}

/*
 * A tid as one number in which a full heap page ends where the next begins:
 * block * radix + offset - 1.  Needs 1 <= offset <= radix, or radix 0.
 */
static inline uint64_t
tid_pack(uint64_t tid, unsigned radix)
{
	return radix == 0 ? tid : (tid >> 16) * radix + (tid & 0xFFFF) - 1;
}

static inline uint64_t
tid_unpack(uint64_t u, unsigned radix)
{
	if (radix == 0)
		return u;
	return (u / radix << 16 | (u % radix + 1)) & KYRO_TID_MAX;
}

static inline bool
tid_fits_radix(uint64_t tid, unsigned radix)
{
	unsigned	off = (unsigned) (tid & 0xFFFF);

	return radix == 0 || (off >= 1 && off <= radix);
}

/* ---- reading a block ---- */

/* A descriptor that has been checked, and where the parts of its payload are. */
typedef struct BlockView
{
	const LeafDesc *d;
	const uint8_t *dead;		/* bitmap, or slot list without its count */
	const uint8_t *extras;
	const uint8_t *rle;
	const uint8_t *bits;
	uint64_t	first;			/* key of slot 0 */
	int			n;
	int			width;			/* bits per slot */
	int			ndead_list;
	int			nextras;
	int			off;			/* payload, bytes in page: off .. end */
	int			end;
} BlockView;

/*
 * Check descriptor b of a page whose header is sound and set *v.  O(1); false
 * if the block is damaged.  Afterwards every slot 0 .. n-1 can be read.
 */
static inline bool
block_open(const void *page, int b, BlockView *v)
{
	const LeafHeader *h = leaf_header_const(page);
	const LeafDesc *d = leaf_desc(page, h->nblk) + b;
	const uint8_t *bytes = (const uint8_t *) page;
	int			pend = h->pend;
	int			p = d->off;

	v->d = d;
	v->n = d->n1 + 1;
	v->first = (uint64_t) leaf_first(page)[b];
	v->width = d->kw + d->tw;
	v->off = p;
	v->ndead_list = 0;
	v->nextras = 0;
	v->rle = bytes;
	if (p < LEAF_PAYLOAD(h->nblk) || p > pend || d->kw > 64 ||
		d->tw > KYRO_TID_BITS || d->ke < BLK_EXP_MIN || d->ke > BLK_EXP_MAX ||
		d->te < BLK_EXP_MIN || d->te > BLK_EXP_MAX || d->mode > 15 ||
		(d->mode & BLK_DEAD) == BLK_DEAD)
		return false;
	v->dead = bytes + p;
	if (d->mode & BLK_CLEAN_MASK)
	{
		if (d->mode & BLK_DEAD_MAP)
			p += (v->n + 7) / 8;
		else if (d->mode & BLK_DEAD_LIST)
		{
			v->ndead_list = bytes[p];
			v->dead++;
			p += 1 + v->ndead_list;
		}
		if (d->mode & BLK_EXTRAS)
		{
			if (p > pend)
				return false;
			v->nextras = bytes[p] | bytes[p + 1] << 8;
			if (v->nextras > KYRO_BLOCK_EXTRAS)
				return false;
			p += 2;
			v->extras = bytes + p;
			p += v->nextras * BLK_TRIPLE;
		}
	}
	if (d->mode & BLK_RLE)
	{
		if (d->nx == 0 || d->nx > v->n || d->tw != 0)
			return false;
		v->rle = bytes + p;
		p += d->nx * BLK_TRIPLE;
	}
	v->bits = bytes + p;
	p += (v->n * v->width + 7) / 8;
	v->end = p;
	return p <= pend;
}

static inline uint64_t
block_residual(const BlockView *v, int i)
{
	return get_bits(v->bits, (uint32_t) (i * v->width), v->d->kw);
}

/* Key of slot i less the block's first key; res0 = block_residual(v, 0). */
static inline uint64_t
block_rel(const BlockView *v, int i, uint64_t res0)
{
	return line_at(v->d->km, v->d->ke, (unsigned) i) + block_residual(v, i) - res0;
}

static inline uint64_t
block_key(const BlockView *v, int i)
{
	return v->first + block_rel(v, i, block_residual(v, 0));
}

/* The run of a run-length block that slot i belongs to: last with slot <= i. */
static inline const uint8_t *
block_tid_run(const BlockView *v, int i)
{
	int			lo = 0;
	int			hi = v->d->nx;

	while (hi - lo > 1)
	{
		int			mid = (lo + hi) / 2;

		if (v->rle[mid * BLK_TRIPLE] <= i)
			lo = mid;
		else
			hi = mid;
	}
	return v->rle + lo * BLK_TRIPLE;
}

static inline uint64_t
block_run_tid(const uint8_t *run, int i)
{
	return (load48(run + 1) + (uint64_t) (i - run[0])) & KYRO_TID_MAX;
}

static inline uint64_t
block_tid(const BlockView *v, int i)
{
	const LeafDesc *d = v->d;
	uint64_t	u;

	if (d->mode & BLK_RLE)
		return block_run_tid(block_tid_run(v, i), i);
	u = desc_tid_base(d) + line_at(d->tm, d->te, (unsigned) i) +
		get_bits(v->bits, (uint32_t) (i * v->width + d->kw), d->tw);
	return tid_unpack(u & KYRO_TID_MAX, d->radix);
}

static inline bool
block_slot_dead(const BlockView *v, int i)
{
	if (v->d->mode & BLK_DEAD_MAP)
		return v->dead[i >> 3] >> (i & 7) & 1;
	for (int j = 0; j < v->ndead_list; j++)
		if (v->dead[j] == i)
			return true;
	return false;
}

/* Dead slots; a damaged list or bitmap may give any number up to 256. */
extern int	block_ndead(const BlockView *v);

/*
 * The slot the block's model predicts for a key rel above its first key,
 * 0 .. 255.  It grows with rel and does not depend on the number of slots, so
 * appending a slot never moves the prediction of another.
 */
static inline int
block_predict(const LeafDesc *d, uint64_t rel)
{
	uint64_t	x;
	int			p;

	if (d->km == 0)
	{
		if (d->kw < 64 && rel >> d->kw)
			return 255;
		return (int) (((unsigned __int128) rel * (d->pb + 1u)) >> d->kw);
	}
	if (d->ke >= 0)
		x = rel >> d->ke;
	else if (rel >> 39)
		return 255;
	else
		x = rel << -d->ke;
	/* a quotient that matters is below 256 + 128, and km below 2^16 */
	if (x >> 25)
		return 255;
	p = (int) ((uint32_t) x / d->km) + (int8_t) d->pb;
	return p < 0 ? 0 : p > 255 ? 255 : p;
}

/*
 * First slot whose key is >= first + rel, 0 .. n.  Gallops from the predicted
 * slot and never leaves [p - eps - 1, p + eps + 1].
 */
extern int	block_lower_bound(const BlockView *v, uint64_t rel, int *predicted, int *probes);

/* Below this entry nothing is in the block: its least slot or extra, dead or alive. */
extern KyroEntry block_first_entry(const BlockView *v);

/* ---- decoded blocks ---- */

/* The slots and extras of one block as they are. */
typedef struct RawBlock
{
	int			n;
	int			nextras;
	uint64_t	key[KYRO_BLOCK_SLOTS];
	uint64_t	tid[KYRO_BLOCK_SLOTS];
	uint8_t		dead[KYRO_BLOCK_SLOTS];
	uint64_t	xtid[KYRO_BLOCK_EXTRAS];
	uint8_t		xslot[KYRO_BLOCK_EXTRAS];
} RawBlock;

/* False if the payload makes no sense. */
extern bool block_decode_raw(const BlockView *v, RawBlock *raw);

/* The same without the keys. */
extern bool block_decode_tids(const BlockView *v, RawBlock *raw);

/* Slots from .. from + n - 1 of a block without extras and dead slots; false if damaged. */
extern bool block_decode_slots(const BlockView *v, int from, int n, KyroEntry *e);

/* Live entries in order into e[KYRO_BLOCK_SLOTS + KYRO_BLOCK_EXTRAS]; -1 if damaged. */
extern int	block_decode_live(const BlockView *v, KyroEntry *e);

/*
 * Entries to be coded, in ascending order of (key, tid), dead slots included:
 * what one block and a full run can hold.
 */
#define ITEMS_MAX	(KYRO_BLOCK_SLOTS + KYRO_BLOCK_EXTRAS + KYRO_RUN_CAP)
#define ITEM_DEAD	0x01		/* a slot kept only for its place */
#define ITEM_LOOSE	0x02		/* an extra or new: not a slot up to now */

typedef struct Items
{
	int			n;
	int			live;
	uint64_t	key[ITEMS_MAX];
	uint64_t	tid[ITEMS_MAX];
	uint8_t		flag[ITEMS_MAX];
} Items;

/* False if the entries are out of order. */
extern bool items_from_raw(Items *it, const RawBlock *raw);

/* dst := src and the sorted entries e[0..n); room is the caller's business. */
extern void items_merge(Items *dst, const Items *src, const KyroEntry *e, int n);

/* ---- coding ---- */

/* A block ready to be written. */
typedef struct BlockPlan
{
	LeafDesc	d;				/* off not set */
	uint64_t	first;
	int			n;
	int			size;			/* bytes of payload */
	int			ndead;
	int			nextras;
	uint64_t	kadd;			/* residual of slot 0 */
	uint64_t	key[KYRO_BLOCK_SLOTS];
	uint64_t	tid[KYRO_BLOCK_SLOTS];
	uint64_t	packed[KYRO_BLOCK_SLOTS];	/* tid_pack()ed */
	uint8_t		dead[KYRO_BLOCK_SLOTS];
	uint64_t	xtid[KYRO_BLOCK_EXTRAS];
	uint8_t		xslot[KYRO_BLOCK_EXTRAS];
} BlockPlan;

/*
 * Blocks laid side by side on the way to a page.  The arrays belong to the
 * caller; payload must have room for what limit and max_blk allow.
 */
typedef struct PageOut
{
	int			nblk;
	int			nslot;
	int			len;			/* of payload */
	int			limit;			/* first byte of the page not to be used */
	int			max_blk;
	bool		full;			/* something did not fit */
	int64_t    *first;
	LeafDesc   *desc;			/* off counts from payload[0] */
	uint8_t    *payload;
} PageOut;

extern void out_init(PageOut *out, int limit);

/* Bytes of the page used so far. */
static inline int
out_used(const PageOut *out)
{
	return LEAF_PAYLOAD(out->nblk) + out->len;
}

/* All return false and set out->full if there is no room. */
extern bool out_copy_block(PageOut *out, const void *page, const BlockView *v);
extern bool out_copy_with_extras(PageOut *out, const void *page, const BlockView *v,
								 const KyroEntry *e, const uint8_t *slot, int n);
extern bool out_plan(PageOut *out, const BlockPlan *p);

/* Two plans that coding compares. */
typedef struct PlanPair
{
	BlockPlan	plan[2];
} PlanPair;

/*
 * Code items[from..to) as one block if possible at all.  Returns the payload
 * bytes of the cheapest way and leaves it in *best, or INT_MAX.
 */
extern int	plan_best(const Items *it, int from, int to, PlanPair *pp, BlockPlan **best);

/*
 * Code items[from..to) into as many blocks as pay.  edge: full blocks first,
 * else equal parts.
 */
extern bool out_items(PageOut *out, const Items *it, int from, int to, bool edge, PlanPair *pp);

/*
 * Code p->key, tid, n as a block that will be appended to: slack in the
 * residuals.  radix: least value for LeafDesc.radix.
 */
extern void plan_open(BlockPlan *p, unsigned radix);

#endif							/* KYRO_LEAF_BLOCK_H */
