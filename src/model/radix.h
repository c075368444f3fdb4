/*-------------------------------------------------------------------------
 *
 * radix.h
 *	  In-place radix sort of index entries.
 *
 * IDENTIFICATION
 *	  src/model/radix.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RADIX_H
#define KYRO_RADIX_H

#include "key.h"

/* The caller's own flag on an item; no part of the order. */
#define RADIX_FLAG		(UINT64_C(1) << 63)

typedef struct RadixItem
{
	uint64_t	ukey;			/* kyro_bias(key) */
	uint64_t	tid;			/* 0 .. KYRO_TID_MAX, and perhaps RADIX_FLAG */
} RadixItem;

/* Is a before b in (key, tid)? */
static inline bool
radix_less(const RadixItem *a, const RadixItem *b)
{
	if (a->ukey != b->ukey)
		return a->ukey < b->ukey;
	return (a->tid & ~RADIX_FLAG) < (b->tid & ~RADIX_FLAG);
}

/*
 * Sort items[0..n) by (ukey, tid).  Needs no memory but some kilobytes of
 * stack.  poll, if not NULL, is called every few milliseconds; it may leave
 * by longjmp, which leaves the items permuted, none lost.
 */
extern void radix_sort(RadixItem *items, size_t n, void (*poll) (void));

#endif							/* KYRO_RADIX_H */
