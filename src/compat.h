/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every difference between PostgreSQL versions, and nothing else.
 *
 * IDENTIFICATION
 *	  src/compat.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_COMPAT_H
#define KYRO_COMPAT_H

#include "storage/relfilenode.h"
#include "utils/relcache.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "kyrodb supports PostgreSQL 15"
#endif

/* Where a relation's file is: named RelFileLocator from 16 on. */
typedef RelFileNode KyroLocator;
#define kyro_locator(rel)	((rel)->rd_node)

/*
 * Correct the number of live rows that VACUUM has just reported for a table.
 * There is no call for that which would not count one more VACUUM.
 */
extern void kyro_report_live_rows(Relation rel, double rows);

/*
 * Tell the statistics of rows that have become dead without being deleted by
 * anyone.  Counts even if the transaction is rolled back.
 */
extern void kyro_report_dead_rows(Relation rel, uint64 rows);

#endif							/* KYRO_COMPAT_H */
