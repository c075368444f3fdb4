/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far long commands of ours have come, for views kyro.stat_progress_verify
 *	  and kyro.stat_progress_seal.
 *
 * IDENTIFICATION
 *	  src/progress.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_PROGRESS_H
#define KYRO_PROGRESS_H

#include "postgres.h"

typedef enum KyroCommand
{
	KYRO_VERIFY,
	/* these have view kyro.stat_progress_seal */
	KYRO_SNAPSHOT,
	KYRO_SEAL,
	KYRO_COMPACT
} KyroCommand;

typedef enum KyroPhase
{
	/* of kyro.verify() */
	KYRO_PHASE_STRUCTURE = 1,	/* run list; meta page, directory and model */
	KYRO_PHASE_SEALED,			/* sealed pages; blocks */
	KYRO_PHASE_LOG,				/* pages of the log; blocks */
	KYRO_PHASE_TOAST,			/* TOAST values; blocks of the table */
	KYRO_PHASE_ROWS,			/* rows for an index; blocks of the table */
	KYRO_PHASE_SEARCH,			/* rows looked up in an index; rows */
	KYRO_PHASE_COMPARE,			/* what was found with what there is; rows */
	KYRO_PHASE_LEAVES,			/* leaves of an index; blocks */

	/*
	 * of seals and moves, for one batch after the other; all but the first
	 * have no units
	 */
	KYRO_PHASE_READ,			/* rows of the log, or of runs; blocks of the
								 * table, over all batches */
	KYRO_PHASE_WRITE,			/* the run is written */
	KYRO_PHASE_INDEX,			/* index entries are inserted */
	KYRO_PHASE_STAMP			/* the rows get their new place */
} KyroPhase;

/*
 * This backend begins a command on a relation.  Nothing is shown if it reports the
 * progress of another command already (COPY of what kyro.verify() returns), or
 * if track_activities is off.  An error ends it as well; the end of a transaction does not.
 */
extern void kyro_progress_begin(KyroCommand command, Oid relid);
extern void kyro_progress_end(void);

/* A phase of `total` units begins, for an index or InvalidOid. */
extern void kyro_progress_phase(KyroPhase phase, Oid index, uint64 total);

/* A phase without units begins; the units of the one before go on being shown. */
extern void kyro_progress_step(KyroPhase phase);

/* So many of its units are done. */
extern void kyro_progress_done(uint64 done);

/* So many rows were sealed or moved by now, in so many batches. */
extern void kyro_progress_batches(uint64 rows, uint64 batches);

#endif							/* KYRO_PROGRESS_H */
