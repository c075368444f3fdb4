/*-------------------------------------------------------------------------
 *
 * warmup.h
 *	  Reading relations into memory.
 *
 * IDENTIFICATION
 *	  src/inspect/warmup.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_WARMUP_H
#define KYRO_INSPECT_WARMUP_H

#include "postgres_ext.h"

/*
 * Read a kyro table or an index, or all partitions of one, into memory; returns the number of
 * pages.  Needs SELECT on the table.  Before each page go_on(arg) is asked, unless it is NULL; where it
 * says no, the rest is left.
 */
extern int64 kyro_warmup_relation(Oid relid, bool (*go_on) (void *arg), void *arg);

#endif							/* KYRO_INSPECT_WARMUP_H */
