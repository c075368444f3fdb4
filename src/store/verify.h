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
	char	   *page;			/* a copy */
	char	   *again;			/* another one, to look a second time */
	bool		runs_sound;		/* no problem in them: sealed rows can be read */
	BlockNumber readable;		/* the last block that was read */
	List	   *refused;		/* blocks that the server cannot read, as Oids */
	uint64		problems;
} StoreVerify;

#define VERIFY_REPORT(v, block, ...) \
	((v)->problems++, (v)->report((v)->arg, (block), __VA_ARGS__))

/*
 * With a new snapshot: are the TOAST values of all rows complete; is every row
 * found through every index, and nothing else; does no unique index, nor an
 * exclusion constraint of equality, have two rows of one key?
 */
extern void store_verify_deep(StoreVerify *v);

#endif							/* KYRO_STORE_VERIFY_H */
