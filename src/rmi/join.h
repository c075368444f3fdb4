/*-------------------------------------------------------------------------
 *
 * join.h
 *	  Joining leaves that are half empty, and cutting off what is free then, for VACUUM.
 *
 * IDENTIFICATION
 *	  src/rmi/join.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_JOIN_H
#define KYRO_RMI_JOIN_H

#include "rmi/chain.h"

typedef struct RmiJoin RmiJoin;

/*
 * Begin, in the current memory context.  leaves: the leaves that the walk has kept, which it adds
 * to, and of which joining changes the last ones.
 */
extern RmiJoin *rmi_join_begin(Relation index, uint32 index_id, RmiCarrier carrier,
							   BufferAccessStrategy strategy, RmiFenceList *leaves);

/* The walk has cleaned a leaf, which is locked, and removed so many of its entries. */
extern void rmi_join_see(RmiJoin *j, Buffer buf, int removed);

/*
 * The leaf seen last stays, and is the last of the list: think about it and those before it, and
 * join them if that pays.  No locks held.
 */
extern void rmi_join_kept(RmiJoin *j);

/* The last leaf but the one seen, which is locked, has got another right sibling from the walk. */
extern void rmi_join_relinked(RmiJoin *j, Buffer buf);

/*
 * Log that the free page of a leaf whose entries are elsewhere may be used for others, in a record
 * whose redo waits for pins.  buf: exclusively locked, marked RMI_LEAF_UNSWEPT.
 */
extern void rmi_release_page(Relation index, RmiCarrier carrier, Buffer buf);

/* The walk is at its end.  Returns how many leaves have gone. */
extern int64 rmi_join_end(RmiJoin *j);

/* ---- trim.c ---- */

/* Are so many free pages of so many worth moving leaves, and cutting them off? */
extern bool rmi_trim_pays(BlockNumber nblocks, BlockNumber nfree);

/*
 * Move leaves, which are all in order, from the end of the file to these n free blocks, ascending; puts
 * what is free then in the place of those that are not any more.  True if any were moved.  No locks held.
 */
extern bool rmi_move_leaves(Relation index, uint32 index_id, RmiCarrier carrier, RmiFenceList *leaves,
							BlockNumber *blocks, uint32 n);

/* Cut off free pages at the end of the file, if they are many and nobody else uses the index. */
extern void rmi_trim(Relation index, uint32 index_id);

#endif							/* KYRO_RMI_JOIN_H */
