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

#include "storage/block.h"

/*
 * Add a row (block, problem) to a materialized result.  arg is its
 * ReturnSetInfo; InvalidBlockNumber makes the block NULL.
 */
extern void kyro_report(void *arg, BlockNumber block, const char *format,...) pg_attribute_printf(3, 4);

#endif							/* KYRO_INSPECT_REPORT_H */
