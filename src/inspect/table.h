/*-------------------------------------------------------------------------
 *
 * table.h
 *	  Functions about kyro tables that share their SQL names with those about
 *	  indexes.
 *
 * IDENTIFICATION
 *	  src/inspect/table.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_TABLE_H
#define KYRO_INSPECT_TABLE_H

#include "inspect/report.h"

extern int64 kyro_warmup_table(Oid relid, bool check, bool (*go_on) (void *arg), void *arg);
extern void kyro_verify_table(Oid relid, bool deep, KyroReport *report);

#endif							/* KYRO_INSPECT_TABLE_H */
