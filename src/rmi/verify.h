/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  What the parts of rmi_verify() share.
 *
 * IDENTIFICATION
 *	  src/rmi/verify.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef RMI_VERIFY_H
#define RMI_VERIFY_H

#include "nodes/pg_list.h"

#include "rmi/kyro_rmi.h"

typedef struct RmiVerify
{
	Relation	index;
	RmiMetaData meta;			/* as it was first */
	KyroReportFunction report;
	void	   *arg;
	uint8	   *seen;			/* bitmap of blocks: leaves of the chain */
	BlockNumber nblocks;		/* when the walk began */
	BlockNumber refused;		/* a leaf that the server cannot read, and
								 * what it says */
	char	   *refusal;
	List	   *reported;		/* blocks reported as those that the server
								 * cannot read, as Oids */
} RmiVerify;

#define VERIFY_REPORT(v, block, ...) \
	(v)->report((v)->arg, (block), __VA_ARGS__)

/* The directory on all its levels, the model and what it predicts, the history, the split log. */
extern void rmi_verify_directory(RmiVerify *v);

/*
 * Look at the pages that were there when the walk began and that it has not
 * met, after it has come to the end of the chain: are they what they say?
 */
extern void rmi_verify_unlinked(RmiVerify *v);

#endif							/* RMI_VERIFY_H */
