/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far kyro.verify() has come, for view kyro.stat_progress_verify.
 *
 * IDENTIFICATION
 *	  src/progress.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_PROGRESS_H
#define KYRO_PROGRESS_H

#include "postgres.h"

typedef enum KyroPhase
{
	KYRO_PHASE_STRUCTURE = 1,	/* run list; meta page, directory and model */
	KYRO_PHASE_SEALED,			/* sealed pages; blocks */
	KYRO_PHASE_LOG,				/* pages of the log; blocks */
	KYRO_PHASE_TOAST,			/* TOAST values; blocks of the table */
	KYRO_PHASE_ROWS,			/* rows for an index; blocks of the table */
	KYRO_PHASE_SEARCH,			/* rows looked up in an index; rows */
	KYRO_PHASE_COMPARE,			/* what was found with what there is; rows */
	KYRO_PHASE_LEAVES			/* leaves of an index; blocks */
} KyroPhase;

/*
 * This backend begins to verify a relation.  Nothing is shown if it reports the
 * progress of another command already (COPY of what kyro.verify() returns), or
 * if track_activities is off.  An error ends it as well.
 */
extern void kyro_progress_begin(Oid relid);
extern void kyro_progress_end(void);

/* A phase of `total` units begins, for an index or InvalidOid. */
extern void kyro_progress_phase(KyroPhase phase, Oid index, uint64 total);

/* So many of its units are done. */
extern void kyro_progress_done(uint64 done);

#endif							/* KYRO_PROGRESS_H */
