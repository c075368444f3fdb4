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

#include "utils/hsearch.h"
#include "utils/rel.h"

#include "store/page.h"

extern void store_stats_init(void);
extern void store_stats_flush(HTAB *tables);
extern void store_stats_sealed(Relation rel, const StoreRun *run);
extern void store_stats_seal_failed(Oid relid, const char *message);

#endif							/* KYRO_STORE_STATS_H */
