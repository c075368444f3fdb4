/*-------------------------------------------------------------------------
 *
 * chain.h
 *	  The chain of leaves, and lists of where leaves begin.
 *
 * IDENTIFICATION
 *	  src/rmi/chain.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_CHAIN_H
#define KYRO_RMI_CHAIN_H

#include "rmi/kyro_rmi.h"

/* ---- chain.c ---- */

/* Check that a locked buffer is a leaf of this index, with the right checksum; else XX002. */
extern void rmi_check_leaf(Relation index, uint32 index_id, Buffer buf);

/*
 * The right sibling of a locked leaf that has one, pinned and locked while
 * the leaf stays locked, checked to begin where the leaf ends; else XX002.
 */
extern Buffer rmi_lock_right(Relation index, uint32 index_id, Buffer buf, int mode);

/* ---- fences.c ---- */

/* A list of (low fence, block), ascending. */
typedef struct RmiFenceList
{
	RmiDirItem *items;
	uint32		n;
	uint32		size;
} RmiFenceList;

/* In CurrentMemoryContext. */
extern void rmi_fences_init(RmiFenceList *list);
extern void rmi_fences_add(RmiFenceList *list, KyroFence low, BlockNumber block);

/* Sort by fence.  Of entries with the same fence the one added last stays. */
extern void rmi_fences_sort(RmiFenceList *list);

/* ---- chain.c ---- */

/*
 * Append all leaves to an empty list, walking the chain from the leftmost one;
 * also the way out when the directory is damaged.  No lock may be held.
 * Raises XX002 on a chain that does not ascend.
 */
extern void rmi_fences_from_chain(Relation index, uint32 index_id, RmiFenceList *list);

#endif							/* KYRO_RMI_CHAIN_H */
