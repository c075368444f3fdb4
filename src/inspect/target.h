/*-------------------------------------------------------------------------
 *
 * target.h
 *	  What kyro.verify() and kyro.warmup() are done to.
 *
 * IDENTIFICATION
 *	  src/inspect/target.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_TARGET_H
#define KYRO_INSPECT_TARGET_H

#include "postgres_ext.h"

/* A kyro table or an index; partition: its name, if it is one of those of what was asked for. */
typedef void (*KyroTargetFunction) (Oid relid, const char *partition, void *arg);

/*
 * Call one() for a relation, or for each partition that it has on the lowest
 * level.  Those of a partitioned table that are not kyro tables are passed over, with
 * a NOTICE; they are locked in AccessShare mode until the end of the transaction.
 * What is neither a kyro table nor a kyro_rmi index, nor consists of such, is
 * refused (42809).  The user must own it, or else may read it; one() checks that of
 * what it is called for.
 */
extern void kyro_each_target(Oid relid, bool need_owner, KyroTargetFunction one, void *arg);

#endif							/* KYRO_INSPECT_TARGET_H */
