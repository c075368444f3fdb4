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

extern void store_stats_init(void);
extern void store_stats_flush(StoreTable *table);
extern void store_stats_sealed(Relation rel, const StoreRun *run);
extern void store_stats_seal_failed(Oid relid, const char *message);

#endif							/* KYRO_STORE_STATS_H */
