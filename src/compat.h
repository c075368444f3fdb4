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

#endif							/* KYRO_COMPAT_H */
