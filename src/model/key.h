/*-------------------------------------------------------------------------
 *
 * key.h
 *	  The order of an index: (isnull, key, tid).
 *
 * Everything in src/model is pure C11 without server headers, so that it can
 * be fuzzed, sanitised and benchmarked alone.
 *
 * A key is the signed 64-bit integer an operator class maps its type to.  A
 * tid is a heap address as 48 bits, (block << 16) | offset, whose integer
 * order is the heap's order.  Offsets start at 1, so tid 0 lies below every
 * real entry and serves as "minus infinity" among the entries of one key.
 *
 * IDENTIFICATION
 *	  src/model/key.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_KEY_H
#define KYRO_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KYRO_TID_BITS	48
#define KYRO_TID_MAX	((UINT64_C(1) << KYRO_TID_BITS) - 1)

/* One index entry.  On a page of NULLs every key is 0. */
typedef struct KyroEntry
{
	int64_t		key;
	uint64_t	tid;			/* 0 .. KYRO_TID_MAX */
} KyroEntry;

/* A place in the order of the whole index: a fence, or a search target. */
typedef struct KyroFence
{
	int64_t		key;			/* 0 if isnull */
	uint64_t	tid;
	bool		isnull;			/* NULLs sort after every key */
} KyroFence;

/* Below every entry: the low fence of the leftmost leaf. */
#define KYRO_FENCE_MIN	((KyroFence) {INT64_MIN, 0, false})

/*
 * Map a signed key to an unsigned one of the same order.  Differences of
 * mapped keys never overflow: they are taken modulo 2^64.
 */
static inline uint64_t
kyro_bias(int64_t key)
{
	return (uint64_t) key ^ (UINT64_C(1) << 63);
}

static inline int64_t
kyro_unbias(uint64_t ukey)
{
	return (int64_t) (ukey ^ (UINT64_C(1) << 63));
}

/* <0, 0, >0 as a is before, at or after b in (key, tid). */
static inline int
kyro_entry_cmp(KyroEntry a, KyroEntry b)
{
	if (a.key != b.key)
		return a.key < b.key ? -1 : 1;
	if (a.tid != b.tid)
		return a.tid < b.tid ? -1 : 1;
	return 0;
}

/* The same in (isnull, key, tid). */
static inline int
kyro_fence_cmp(KyroFence a, KyroFence b)
{
	if (a.isnull != b.isnull)
		return a.isnull ? 1 : -1;
	if (a.key != b.key)
		return a.key < b.key ? -1 : 1;
	if (a.tid != b.tid)
		return a.tid < b.tid ? -1 : 1;
	return 0;
}

#endif							/* KYRO_KEY_H */
