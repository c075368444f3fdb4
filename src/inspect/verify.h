/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  Parts of kyro.verify() for indexes.
 *
 * Both report what they find, with the block, and go on where
 * they can.  They lock one page at a time, in share mode, and want
 * AccessShareLock on the index; they work on a standby.
 *
 * IDENTIFICATION
 *	  src/inspect/verify.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_VERIFY_H
#define KYRO_INSPECT_VERIFY_H

#include "inspect/report.h"
#include "utils/relcache.h"

/* The directory on all its levels, the model and what it predicts, the split log. */
extern void kyro_verify_directory(Relation index, KyroReport *report);

/*
 * Pages below nblocks that are not in the bitmap of leaves seen on a walk along the
 * whole chain, begun when there were nblocks: are they what they say?
 */
extern void kyro_verify_unlinked(Relation index, uint32 index_id, const uint8 *seen, BlockNumber nblocks,
								 KyroReport *report);

#endif							/* KYRO_INSPECT_VERIFY_H */
