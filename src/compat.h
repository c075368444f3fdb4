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

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "kyrodb supports PostgreSQL 15"
#endif

/* Where a relation's file is: named RelFileLocator from 16 on. */
typedef RelFileNode KyroLocator;
#define kyro_locator(rel)	((rel)->rd_node)

#endif							/* KYRO_COMPAT_H */
