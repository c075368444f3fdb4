/*-------------------------------------------------------------------------
 *
 * join.h
 *	  Joining leaves that are half empty: what VACUUM's walk tells join.c.
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

#endif							/* KYRO_RMI_JOIN_H */
