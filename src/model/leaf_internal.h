/*-------------------------------------------------------------------------
 *
 * leaf_internal.h
 *	  What the files of the leaf page share among themselves.
 *
 * IDENTIFICATION
 *	  src/model/leaf_internal.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_LEAF_INTERNAL_H
#define KYRO_LEAF_INTERNAL_H

#include "leaf.h"
#include "leaf_block.h"

/* ---- kernels.c ---- */

typedef struct LeafKernels
{
	const char *name;
	/* bit j set: run entry j has this key; end: first byte behind the run */
	uint64_t	(*run_match) (const uint8_t *end, int nrun, int64_t key);
	/* how many of a[0..n) are <= key */
	int			(*count_le) (const int64_t *a, int n, int64_t key);
	/* least and greatest k[i] - k[0] - line(i), as signed, over i in 0..n-1 */
	void		(*line_range) (const uint64_t *k, int n, unsigned m, int e,
							   int64_t *min, int64_t *max);

	/*
	 * out[i - from] = add + line(i) + bits of slot i at base + i * stride,
	 * from <= i < from + n
	 */
	void		(*unpack) (const uint8_t *base, uint32_t pos, int stride, int width,
						   unsigned m, int e, unsigned from, uint64_t add, int n, uint64_t *out);
} LeafKernels;

extern const LeafKernels *leaf_kernels;

/* ---- leaf.c: the insert run ---- */

static inline const uint8_t *
run_chunk(const void *page, int j)
{
	return (const uint8_t *) page + KYRO_PAGE_END - (j / 8 + 1) * KYRO_RUN_CHUNK;
}

static inline KyroEntry
run_get(const void *page, int j)
{
	const uint8_t *c = run_chunk(page, j);

	return (KyroEntry) {(int64_t) load64(c + j % 8 * 8), load48(c + 64 + j % 8 * 6)};
}

extern void run_put(void *page, int j, KyroEntry e);

/* Sorted copy of the run into e[KYRO_RUN_CAP]; returns nrun. */
extern int	run_sorted(const void *page, KyroEntry *e);

/* Bytes appends and builds leave free in a page of so many slots. */
extern int	leaf_reserve_bytes(const LeafHeader *h, int nslot);

/* ---- leaf_read.c ---- */

/*
 * Open block b as part of a pass over all blocks: payloads must follow one
 * another, which bounds the extras of a page, and slots must not exceed the
 * header's.
 */
static inline bool
leaf_next_block(const void *page, int b, int *end, int *slots, BlockView *v)
{
	const LeafHeader *h = leaf_header_const(page);

	if (b == 0)
	{
		*end = LEAF_PAYLOAD(h->nblk);
		*slots = 0;
	}
	if (!block_open(page, b, v) || v->off != *end)
		return false;
	*end = v->end;
	*slots += v->n;
	return *slots <= h->nslot;
}

/* The last block whose least entry is <= e, or 0; -1 if damaged.  nblk > 0. */
extern int	leaf_block_of(const void *page, KyroEntry e);

/* ---- leaf_change.c ---- */

#define PAGE_MAX_BLOCKS	255

/* What one block can take at most, pieces, dead slots and extras included. */
#define BLOCK_MAX_BYTES	5120

typedef struct PageSpace
{
	int64_t		first[PAGE_MAX_BLOCKS];
	LeafDesc	desc[PAGE_MAX_BLOCKS];
	uint8_t		payload[KYRO_PAGE_SIZE + BLOCK_MAX_BYTES];
} PageSpace;

/* Scratch of the functions that take 'work'. */
typedef struct LeafWork
{
	PageOut		out;
	PageOut		out2;
	PageSpace	space;			/* of out */
	PageSpace	space2;			/* of out2 */
	PlanPair	pair;
	RawBlock	raw;
	Items		items;
	Items		items2;
	Items		pending;
	Items		joined;
	KyroEntry	run[KYRO_RUN_CAP];
	uint8_t		marks[KYRO_LEAF_MAX_ENTRIES];
	uint16_t	blive[256];		/* live entries of each block */
} LeafWork;

_Static_assert(sizeof(LeafWork) <= LEAF_WORK_SIZE, "scratch of leaf functions");
_Static_assert(sizeof(LeafHeader) == 80, "leaf header");
_Static_assert(sizeof(LeafDesc) == 24, "block descriptor");

/*
 * Lay out dst from src's page header, trailer and leaf header, the blocks of
 * out and the given run.  False (dst undefined) if that is too much.
 */
extern bool page_finish(void *dst, const void *src, const PageOut *out,
						const KyroEntry *run, int nrun);

#endif							/* KYRO_LEAF_INTERNAL_H */
