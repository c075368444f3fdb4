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

#include "nodes/execnodes.h"

extern bool kyro_oid_is_table(Oid relid);
extern int64 kyro_warmup_table(Oid relid);
extern void kyro_verify_table(Oid relid, bool deep, ReturnSetInfo *rsinfo);

#endif							/* KYRO_INSPECT_TABLE_H */
