/*-------------------------------------------------------------------------
 *
 * leaf.h
 *	  The learned leaf page: format and operations.
 *
 * A leaf page holds up to KYRO_LEAF_CAP entries as blocks of at most 256
 * slots, each with a line from slot to key and a coding of its tids, and one
 * small unsorted insert run of recent entries.  README.md in this folder has
 * the layout, the algorithms and the argument that no change ever fails to
 * fit.  Integers only, no allocation, no server headers, little endian.
 *
 * The caller owns the first KYRO_PAGE_HEADER bytes of the page and the last
 * KYRO_PAGE_TRAILER bytes; nothing here reads or writes them, except that
 * functions which make a new image from an old one copy both verbatim.
 *
 * Pages are 8-byte aligned.
 *
 * Hostile bytes: every function that reads a page works on any 8192 bytes
 * without reading or writing out of bounds and without looping for ever.  It
 * checks the header and the descriptor of each block it uses and reports
 * LEAF_CORRUPT; leaf_verify() is the full check.
 *
 * IDENTIFICATION
 *	  src/model/leaf.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_LEAF_H
#define KYRO_LEAF_H

#include "key.h"

#define KYRO_PAGE_SIZE		8192
#define KYRO_PAGE_HEADER	24	/* the server's page header */
#define KYRO_PAGE_TRAILER	16	/* page identity, see src/rmi/page.h */
#define KYRO_PAGE_END		(KYRO_PAGE_SIZE - KYRO_PAGE_TRAILER)

#define KYRO_NO_BLOCK		UINT32_C(0xFFFFFFFF)

#define KYRO_LEAF_CAP		16384	/* slots in blocks, dead ones included */
#define KYRO_BLOCK_SLOTS	256
#define KYRO_BLOCK_EXTRAS	128 /* most extras of one block */
#define KYRO_RUN_CAP		64	/* entries of the insert run */
#define KYRO_RUN_CHUNK		112 /* 8 keys of 8 bytes, 8 tids of 6 */

/* Most entries a page that passes the checks can hold, of any kind. */
#define KYRO_LEAF_MAX_ENTRIES	(KYRO_LEAF_CAP + 2048)

/* LeafHeader.flags */
#define LEAF_LOW_NULL		0x01	/* low fence is (NULL, tid) */
#define LEAF_HIGH_NULL		0x02	/* high fence is (NULL, tid) */

/*
 * At offset KYRO_PAGE_HEADER.  The high fence means something only if
 * right != KYRO_NO_BLOCK; a page without a right sibling has no upper bound.
 */
typedef struct LeafHeader
{
	int64_t		low_key;		/* low fence, inclusive; never changes */
	int64_t		high_key;		/* high fence, exclusive */
	uint64_t	low_tid;
	uint64_t	high_tid;
	uint32_t	left;			/* left sibling or KYRO_NO_BLOCK */
	uint32_t	right;			/* right sibling or KYRO_NO_BLOCK */
	uint16_t	nblk;			/* blocks */
	uint16_t	nrun;			/* entries in the insert run */
	uint16_t	pend;			/* end of the payloads, byte offset in page */
	uint16_t	nslot;			/* slots in all blocks, dead ones included */
	uint16_t	epoch;			/* bumped whenever slots are renumbered */
	uint8_t		flags;
	uint8_t		reserve;		/* free space merges and builds leave, in
								 * 1/256 of the page; from fillfactor, kept by
								 * splits */
	uint32_t	spare[5];		/* zero */
	uint64_t	sum;			/* checksum: leaf_sum.c */
} LeafHeader;					/* 80 bytes */

#define KYRO_LEAF_FIRST		(KYRO_PAGE_HEADER + 80) /* first[] starts here */

/* Results of the functions below; all negative values are corruption. */
#define LEAF_CORRUPT		(-1)

static inline LeafHeader *
leaf_header(void *page)
{
	return (LeafHeader *) ((uint8_t *) page + KYRO_PAGE_HEADER);
}

static inline const LeafHeader *
leaf_header_const(const void *page)
{
	return (const LeafHeader *) ((const uint8_t *) page + KYRO_PAGE_HEADER);
}

static inline KyroFence
leaf_low(const void *page)
{
	const LeafHeader *h = leaf_header_const(page);

	return (KyroFence) {h->low_key, h->low_tid, (h->flags & LEAF_LOW_NULL) != 0};
}

/* Only if the page has a right sibling. */
static inline KyroFence
leaf_high(const void *page)
{
	const LeafHeader *h = leaf_header_const(page);

	return (KyroFence) {h->high_key, h->high_tid, (h->flags & LEAF_HIGH_NULL) != 0};
}

static inline bool
leaf_has_high(const void *page)
{
	return leaf_header_const(page)->right != KYRO_NO_BLOCK;
}

/* Bounds of the unused middle, for the server's pd_lower and pd_upper. */
static inline uint16_t
leaf_lower(const void *page)
{
	return leaf_header_const(page)->pend;
}

static inline uint16_t
leaf_upper(const void *page)
{
	return (uint16_t) (KYRO_PAGE_END -
					   (leaf_header_const(page)->nrun + 7) / 8 * KYRO_RUN_CHUNK);
}

/* Bytes that builds leave free in a page of so many slots at least: room for dead slots to be marked. */
static inline int
leaf_least_reserve(int nslot)
{
	return nslot / 8 + 400;
}

extern void leaf_set_low(void *page, KyroFence low);
extern void leaf_set_high(void *page, KyroFence high);

/*
 * Make an empty leaf of bytes KYRO_PAGE_HEADER .. KYRO_PAGE_END (all of them
 * are set, the unused ones to zero).  reserve as in LeafHeader.
 */
extern void leaf_init(void *page, KyroFence low, uint32_t left, uint32_t right,
					  uint8_t reserve);

/*
 * Version of the code that lays out pages: to be raised whenever leaf_append(),
 * leaf_merge(), leaf_split() or leaf_vacuum() make other bytes of the same
 * page.  Replay of a log does again what was done; only the same code can.
 */
#define LEAF_ENCODER	1

/* ---- checks ---- */

/* O(1) sanity of the header alone; every other function runs it itself. */
extern bool leaf_header_ok(const void *page);

/*
 * The full check: header, descriptors, payload bounds, exact epsilon of every
 * block, order of all entries, all entries within the fences, spare bytes
 * zero.  Returns NULL if sound, else what is wrong (a static string).
 */
extern const char *leaf_verify(const void *page);

/*
 * The checksum of bytes KYRO_PAGE_HEADER .. KYRO_PAGE_END.  Who changes a leaf
 * that is to be stored sets it afterwards, or keeps it: by a parameter of
 * leaf_append() and leaf_run_add(), else by leaf_sum_part() of what changes,
 * the header always included, before and after: the difference is added to
 * LeafHeader.sum.  That leaves a checksum wrong that was wrong.
 */
extern void leaf_sum_set(void *page);
extern bool leaf_sum_ok(const void *page);

/* The pieces that bytes from .. to - 1 of the page are in, not below KYRO_LEAF_FIRST. */
extern uint64_t leaf_sum_pieces(int from, int to);
extern uint64_t leaf_sum_part(const void *page, uint64_t pieces);

/* ---- reading ---- */

/* How one lookup went.  Without a block its slots are far from one another. */
typedef struct LeafProbe
{
	int			block;			/* block searched first, -1 if none */
	int			predicted;		/* predicted slot in the block */
	int			found;			/* lower bound of the key in the block */
	int			eps;			/* epsilon of the block */
	int			probes;			/* keys decoded by the search of that */
} LeafProbe;

/*
 * How a leaf is laid out.  Leaves of an index are much alike, so that the shape of
 * one is a good guess for the next.
 */
typedef struct LeafShape
{
	uint16_t	nblk;
	uint16_t	pend;
} LeafShape;

static inline LeafShape
leaf_shape(const void *page)
{
	const LeafHeader *h = leaf_header_const(page);

	return (LeafShape) {h->nblk, h->pend};
}

/*
 * Have on its way to the processor what leaf_find() will probably read of a
 * leaf that has about this shape, for a key that is 'at' / 2^32 of the way from
 * its low to its high fence.  Reads nothing itself; a wrong guess is harmless.
 */
extern void leaf_prefetch(const void *page, LeafShape shape, uint32_t at);

/*
 * The tids of all live entries with this key, ascending, into tids[max].
 * Returns their number; if there are more than max, some number > max (tids
 * is then undefined: use a cursor); LEAF_CORRUPT if the page is damaged.
 * probe may be NULL.
 */
extern int	leaf_find(const void *page, int64_t key, uint64_t *tids, int max,
					  LeafProbe *probe);

/*
 * The live entries with lo <= key <= hi, in order, into e[max]; lo <= hi.
 * Returns their number; if there are more than max, dead slots counted, some number
 * > max (e is then undefined: use a cursor); LEAF_CORRUPT if the page
 * is damaged.  before and after: there are entries on the page before, or
 * behind, all these.
 */
extern int	leaf_find_range(const void *page, int64_t lo, int64_t hi, KyroEntry *e, int max,
							bool *before, bool *after);

/*
 * A cursor over the live entries of a page image that does not change while
 * the cursor is used (a private copy, or under lock).  The position is a gap
 * between entries; next returns the entry behind it and steps over it, prev
 * the entry before it and steps back.  Blocks are decoded lazily, one at a
 * time, so seeking and taking a few entries costs one block.
 */
typedef struct LeafCursor
{
	const void *page;
	int			nrun;
	int			runpos;			/* run entries before the gap */
	int			block;			/* decoded block, or -1 */
	int			nitems;			/* its live entries, extras included */
	int			pos;			/* those before the gap */
	bool		corrupt;		/* set on damage; next and prev return false */
	KyroEntry	run[KYRO_RUN_CAP];	/* the run, sorted */
	KyroEntry	items[KYRO_BLOCK_SLOTS + KYRO_BLOCK_EXTRAS];
} LeafCursor;

extern void leaf_cursor_init(LeafCursor *c, const void *page);

/* Put the gap before the first entry >= bound (> bound if after). */
extern void leaf_cursor_seek(LeafCursor *c, KyroEntry bound, bool after);
extern void leaf_cursor_first(LeafCursor *c);
extern void leaf_cursor_last(LeafCursor *c);
extern bool leaf_cursor_next(LeafCursor *c, KyroEntry *e);
extern bool leaf_cursor_prev(LeafCursor *c, KyroEntry *e);

/* All live entries in order into e[KYRO_LEAF_MAX_ENTRIES]; their number, or LEAF_CORRUPT. */
extern int	leaf_decode(const void *page, KyroEntry *e);

/* Live entries, without order; LEAF_CORRUPT if damaged. */
extern int	leaf_count(const void *page);

typedef struct LeafStats
{
	int			blocks;
	int			slots;
	int			dead;
	int			extras;
	int			run;
	int			live;
	int			eps_max;		/* largest epsilon of a block, in slots */
	int			free_bytes;
	int			key_bytes;		/* key bits of all blocks, in bytes */
	int			tid_bytes;
} LeafStats;

/* 0 or LEAF_CORRUPT. */
extern int	leaf_stats(const void *page, LeafStats *st);

/* Call f(arg, block no, slots, epsilon) for each block; 0 or LEAF_CORRUPT. */
extern int	leaf_each_block(const void *page,
							void (*f) (void *arg, int block, int slots, int eps),
							void *arg);

/* ---- inserting ---- */

typedef enum LeafInsertKind
{
	LEAF_INS_CORRUPT = LEAF_CORRUPT,
	LEAF_INS_APPEND,			/* leaf_append() will take it */
	LEAF_INS_RUN,				/* leaf_run_add() will take it */
	LEAF_INS_MERGE,				/* the run is full: leaf_merge(), then retry */
	LEAF_INS_NEW_RIGHT			/* edge page is full: open an empty right page */
} LeafInsertKind;

/*
 * How can e, which lies within the fences, be added?  edge: this is the last
 * leaf of its kind (no right sibling, or only NULLs to the right), so that
 * entries above its last are appended in place and a full page is left
 * behind.  Looks only; changes nothing.
 */
extern LeafInsertKind leaf_insert_kind(const void *page, KyroEntry e, bool edge);

/*
 * Change the page in place, if e fits there; else, or if the page is damaged,
 * return false and leave it alone.  Append only at the edge, where it may be
 * tried without asking: finding out costs as much as doing it.  sum: keep the
 * checksum.
 */
extern bool leaf_append(void *page, KyroEntry e, bool sum);
extern bool leaf_run_add(void *page, KyroEntry e, bool sum);

/*
 * Merge the insert run into the blocks of a new image.  Returns 1 if it fits
 * with KYRO_RUN_CHUNK bytes to spare, 0 if the page must be split first (dst
 * is then undefined), LEAF_CORRUPT.
 * work: scratch of LEAF_WORK_SIZE bytes, 16-byte aligned.
 */
extern int	leaf_merge(const void *src, void *dst, void *work);

/*
 * Split src into two images that each fit.  Each gets the run entries of its
 * side.  cut is the truncated fence: (key, 0) where it falls between two
 * keys, else (key, tid).  left->high and right->low and right->high are set;
 * sibling links are the caller's.  Fails (0) only for a page with fewer than
 * two entries.  By construction repeated splitting and merging always ends
 * (README.md, "Closed under change").
 */
extern int	leaf_split(const void *src, void *left, void *right,
					   KyroFence *cut, void *work);

/*
 * Remove the entries for which dead(arg, tid) is true; it is called once per
 * live entry, and may not jump out.  Returns the number removed (0: dst is undefined, src
 * stays), LEAF_CORRUPT, or LEAF_VACUUM_SPLIT if the result does not fit: then
 * leaf_split() src and vacuum both halves.  *live gets the entries left.
 */
#define LEAF_VACUUM_SPLIT	(-2)
extern int	leaf_vacuum(const void *src, void *dst,
						bool (*dead) (void *arg, uint64_t tid), void *arg,
						int *live, void *work);

/* ---- building ---- */

/*
 * Encode as many of the sorted, distinct entries e[0..n) as fit beside the
 * reserve into page, which leaf_init() has just made.  Returns how many were
 * taken (>= 1 if n >= 1).  Give at least KYRO_LEAF_CAP entries unless the
 * input ends.  The caller sets fences and links.
 */
extern size_t leaf_build(void *page, const KyroEntry *e, size_t n, void *work);

/* The truncated fence between two neighbours last < next. */
static inline KyroFence
leaf_cut(KyroEntry last, KyroEntry next)
{
	return (KyroFence) {next.key, last.key == next.key ? next.tid : 0, false};
}

#define LEAF_WORK_SIZE	(128 * 1024)

/* ---- kernels ---- */

/* "scalar", "sse2" or "avx2": what the run-time dispatch chose. */
extern const char *leaf_kernel_name(void);

/* Tests: force a kernel by name; false if this CPU lacks it. */
extern bool leaf_kernel_force(const char *name);

#endif							/* KYRO_LEAF_H */
