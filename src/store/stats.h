/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  Cumulative counters of kyro tables.
 *
 * IDENTIFICATION
 *	  src/store/stats.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_STORE_STATS_H
#define KYRO_STORE_STATS_H

#include "utils/rel.h"

#include "store/store.h"

/* To be called before store_table_init(). */
extern void store_stats_init(void);

/*
 * Add what a backend has counted for a table.  Raises no error: it is called
 * when the transaction has committed.
 */
extern void store_stats_flush(StoreTable *table);

/* A run was sealed; whether it will commit is not known yet. */
extern void store_stats_sealed(Relation rel, const StoreRun *run);

/* A seal has failed. */
extern void store_stats_seal_failed(Oid relid, const char *message);

#endif							/* KYRO_STORE_STATS_H */
