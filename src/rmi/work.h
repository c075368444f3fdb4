/*-------------------------------------------------------------------------
 *
 * work.h
 *	  Room for the pages that changes are prepared in.
 *
 * IDENTIFICATION
 *	  src/rmi/work.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_WORK_H
#define KYRO_RMI_WORK_H

#include "rmi/page.h"

typedef struct RmiWork
{
	char	   *leaf;			/* BLCKSZ: what a leaf becomes; of a split the
								 * left half */
	char	   *right;			/* BLCKSZ: a new leaf, to the right of one */
	char	   *page;			/* BLCKSZ: a new page that is no leaf */
	void	   *scratch;		/* LEAF_WORK_SIZE: for leaf_merge() and the
								 * like */
} RmiWork;

/* This backend's.  Raises 53200 on first use if there is no memory. */
extern RmiWork *rmi_work(void);

#endif							/* KYRO_RMI_WORK_H */
