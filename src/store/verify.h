/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  What the parts of store_verify() share.
 *
 * IDENTIFICATION
 *	  src/store/verify.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_STORE_VERIFY_H
#define KYRO_STORE_VERIFY_H

#include "nodes/pg_list.h"

#include "store/store.h"

typedef struct StoreVerify
{
	Relation	rel;
	StoreTable *table;
	BlockNumber nblocks;
	KyroReportFunction report;
	void	   *arg;
	char	   *page;			/* room for the copy of a page */
	char	   *again;			/* and for a second look at it */
	bool		runs_sound;		/* no problem was found in runs, so sealed
								 * rows can be read */
	BlockNumber readable;		/* the block that was read last */
	List	   *refused;		/* blocks that the server cannot read, as OIDs */
	uint64		problems;
} StoreVerify;

#define VERIFY_REPORT(v, block, ...) \
	((v)->problems++, (v)->report((v)->arg, (block), __VA_ARGS__))

/*
 * Report, by a new snapshot: TOAST values that are incomplete; rows that are not
 * found through an index, and what is found there but should not be; two rows with
 * the same key in a unique index or an exclusion constraint of equality.
 */
extern void store_verify_deep(StoreVerify *v);

#endif							/* KYRO_STORE_VERIFY_H */
