/*-------------------------------------------------------------------------
 *
 * rebuild.h
 *	  Retraining an index.
 *
 * IDENTIFICATION
 *	  src/inspect/rebuild.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_REBUILD_H
#define KYRO_INSPECT_REBUILD_H

#include "utils/relcache.h"

/* What came of it. */
typedef struct KyroRebuilt
{
	int64		leaves;
	bool		has_model;		/* none is needed of a small index */
	int			eps_max;		/* largest error bound of the model, in leaves */
} KyroRebuilt;

/*
 * Merge the insert runs of an index and write a new directory and model.  The caller holds
 * ShareUpdateExclusive locks on table and index; it blocks neither readers nor writers.
 * pause(arg) is called after each leaf, with no page locked, unless it is NULL; it may raise
 * an error, and then the old model goes on.
 */
extern void kyro_rebuild_index(Relation index, void (*pause) (void *arg), void *arg, KyroRebuilt *rebuilt);

#endif							/* KYRO_INSPECT_REBUILD_H */
