/*-------------------------------------------------------------------------
 *
 * report.h
 *	  What kyro.verify() returns.
 *
 * IDENTIFICATION
 *	  src/inspect/report.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_REPORT_H
#define KYRO_INSPECT_REPORT_H

#include "nodes/execnodes.h"
#include "storage/block.h"

typedef struct KyroReport
{
	ReturnSetInfo *rsinfo;		/* materialized */
	const char *partition;		/* named before each problem; or NULL */
} KyroReport;

/*
 * Add a row (block, problem).  arg is a KyroReport; InvalidBlockNumber makes the
 * block NULL.
 */
extern void kyro_report(void *arg, BlockNumber block, const char *format,...) pg_attribute_printf(3, 4);

#endif							/* KYRO_INSPECT_REPORT_H */
