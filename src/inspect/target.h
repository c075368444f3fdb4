/*-------------------------------------------------------------------------
 *
 * target.h
 *	  The relations that a function of SQL is to work on: an index or a table, or all
 *	  partitions of one.
 *
 * IDENTIFICATION
 *	  src/inspect/target.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_TARGET_H
#define KYRO_INSPECT_TARGET_H

#include "postgres_ext.h"

/*
 * Called for a kyro table or a kyro_rmi index.  partition: its name, if it is a partition
 * of the relation that was asked for; else NULL.
 */
typedef void (*KyroTargetFunction) (Oid relid, const char *partition, void *arg);

/* What the user must be allowed. */
typedef enum KyroTargetRight
{
	KYRO_TARGET_OWN,
	KYRO_TARGET_READ,
	KYRO_TARGET_ANY				/* nothing: GRANT on the function decides */
} KyroTargetRight;

/*
 * Call one() for a relation, or for each leaf partition of a partitioned table or index.
 * Leaves that are not kyro tables are passed over, with a NOTICE; if there are only such,
 * and for a relation that is neither a kyro table nor a kyro_rmi index, raises 42809;
 * 42P01 if there is no relation of that OID.  The user's right on a partitioned relation
 * is checked here, that on a single one by one().  Partitions are locked in AccessShare
 * mode until the end of the transaction, a single relation is not locked.
 */
extern void kyro_each_target(Oid relid, KyroTargetRight right, KyroTargetFunction one, void *arg);

#endif							/* KYRO_INSPECT_TARGET_H */
