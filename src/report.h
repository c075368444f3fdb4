/*-------------------------------------------------------------------------
 *
 * report.h
 *	  How those who check something tell what is wrong.
 *
 * IDENTIFICATION
 *	  src/report.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_REPORT_FUNCTION_H
#define KYRO_REPORT_FUNCTION_H

#include "storage/block.h"

/* A problem of a block, or of the whole relation (InvalidBlockNumber); arg came with the function. */
typedef void (*KyroReportFunction) (void *arg, BlockNumber block, const char *format,...) pg_attribute_printf(3, 4);

#endif							/* KYRO_REPORT_FUNCTION_H */
