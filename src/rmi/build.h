/*-------------------------------------------------------------------------
 *
 * build.h
 *	  What CREATE INDEX and its parallel workers share.
 *
 * IDENTIFICATION
 *	  src/rmi/build.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_BUILD_H
#define KYRO_RMI_BUILD_H

#include "postgres.h"

#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "rmi/sort.h"

/* Sub-phases in pg_stat_progress_create_index; 1 is core's "initializing". */
#define RMI_PHASE_SCAN	2
#define RMI_PHASE_SORT	3
#define RMI_PHASE_WRITE	4
#define RMI_PHASE_TRAIN	5

/* ---- build_scan.c ---- */

/*
 * Put all entries that a table shall have in an index into a sort; returns
 * the number of its rows.  scan is this process's share of a parallel scan, and
 * ended here; NULL for a scan of one's own.
 */
extern double rmi_build_scan(Relation heap, Relation index, IndexInfo *info, RmiSort *sort,
							 TableScanDesc scan, bool progress);

/* ---- build_parallel.c ---- */

typedef struct RmiParallelBuild RmiParallelBuild;

/*
 * Start the workers that the server grants a build, and parallel mode; NULL if there
 * are none.  Then call scan and end.  An error in between ends the workers,
 * as every error in parallel mode does.
 */
extern RmiParallelBuild *rmi_parallel_build_begin(Relation heap, Relation index, IndexInfo *info);

/*
 * The scan, shared with the workers.  Returns the number of rows; *sort has all entries and is
 * performed.  Raises what a worker raises.  No worker is left afterwards.
 */
extern double rmi_parallel_build_scan(RmiParallelBuild *p, Relation heap, Relation index,
									  IndexInfo *info, RmiSort **sort);

/* To be called when the sort was ended. */
extern void rmi_parallel_build_end(RmiParallelBuild *p);

#endif							/* KYRO_RMI_BUILD_H */
