/*-------------------------------------------------------------------------
 *
 * tid.h
 *	  Row addresses as integers.
 *
 * IDENTIFICATION
 *	  src/tid.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_TID_H
#define KYRO_TID_H

#include "storage/itemptr.h"

/* The server's row address as 48 bits, (block << 16) | offset, whose order is that of addresses; and back. */
static inline uint64
kyro_tid_from_pointer(const ItemPointerData *p)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(p) << 16) | ItemPointerGetOffsetNumberNoCheck(p);
}

static inline void
kyro_tid_to_pointer(uint64 tid, ItemPointer p)
{
	uint32		block = (uint32) (tid >> 16);

	/*
	 * The high half comes first.  Written in one piece, as readers copy it:
	 * two writes would have to reach memory before one read gets both.
	 */
	block = block << 16 | block >> 16;
	memcpy(&p->ip_blkid, &block, sizeof(block));
	p->ip_posid = (OffsetNumber) (tid & 0xFFFF);
}

/* Can this be the address of a row?  The server asserts so, and extends a table for the one invalid block. */
static inline bool
kyro_tid_ok(uint64 tid)
{
	return (tid & 0xFFFF) >= FirstOffsetNumber && (tid & 0xFFFF) <= MaxOffsetNumber &&
		(tid >> 16) != InvalidBlockNumber;
}

#endif							/* KYRO_TID_H */
