/*-------------------------------------------------------------------------
 *
 * build_parallel.c
 *	  The part of CREATE INDEX that workers share in.
 *
 * The leader and its workers scan the table together, each sorts what it has
 * come across.  Workers leave their entries, sorted, in temporary files of
 * the build and are gone before the leader merges them with its own and
 * writes the leaves.  So workers never touch the index, and what they have
 * to say is complete when they have ended without an error: nobody needs to
 * be told that somebody is done.
 *
 * The files belong to the shared memory segment of the build: the last
 * process that detaches from it, however it ends, removes them.
 *
 * IDENTIFICATION
 *	  src/rmi/build_parallel.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/sharedfileset.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "debug_point.h"
#include "rmi/build.h"
#include "rmi/kyro_rmi.h"

/* As in the control file, so wherever the library is found for SQL, it is for workers. */
#define LIBRARY			"$libdir/kyrodb"

/* Keys in the segment's table of contents. */
#define KEY_SHARED		1
#define KEY_SCAN		2
#define KEY_RESULTS		3
#define KEY_QUERY		4

typedef struct BuildShared
{
	Oid			heap;
	Oid			index;
	bool		concurrent;
	int			participants;	/* the leader and the workers asked for */
	SharedFileSet files;
} BuildShared;

/* What a worker leaves beside its files. */
typedef struct BuildResult
{
	double		heap_tuples;
	uint64		entries;
	bool		broken_hot_chain;
	BufferUsage buffers;
	WalUsage	wal;
} BuildResult;

struct RmiParallelBuild
{
	ParallelContext *context;
	BuildShared *shared;
	ParallelTableScanDesc scan;
	BuildResult *results;		/* of each worker */
	Snapshot	snapshot;
};

void
rmi_parallel_build_end(RmiParallelBuild *p)
{
	if (IsMVCCSnapshot(p->snapshot))
		UnregisterSnapshot(p->snapshot);
	DestroyParallelContext(p->context);
	ExitParallelMode();
	pfree(p);
}

RmiParallelBuild *
rmi_parallel_build_begin(Relation heap, Relation index, IndexInfo *info)
{
	int			workers = kyro_build_workers(heap, index, info);
	RmiParallelBuild *p;
	ParallelContext *context;
	Size		scan_size;
	Size		query_size = 0;

	if (workers == 0)
		return NULL;

	EnterParallelMode();
	p = palloc0(sizeof(RmiParallelBuild));
	p->context = context = CreateParallelContext(LIBRARY, "kyro_rmi_build_worker", workers);

	/*
	 * as scans of serial builds: rows that are dead to some are wanted,
	 * unless nobody is locked out
	 */
	p->snapshot = info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

	scan_size = table_parallelscan_estimate(heap, p->snapshot);
	shm_toc_estimate_chunk(&context->estimator, sizeof(BuildShared));
	shm_toc_estimate_chunk(&context->estimator, scan_size);
	shm_toc_estimate_chunk(&context->estimator, mul_size(sizeof(BuildResult), workers));
	shm_toc_estimate_keys(&context->estimator, 3);
	if (debug_query_string)
	{
		query_size = strlen(debug_query_string) + 1;
		shm_toc_estimate_chunk(&context->estimator, query_size);
		shm_toc_estimate_keys(&context->estimator, 1);
	}

	InitializeParallelDSM(context);
	if (context->seg == NULL)
	{
		/* none to be had */
		rmi_parallel_build_end(p);
		return NULL;
	}

	p->shared = shm_toc_allocate(context->toc, sizeof(BuildShared));
	p->shared->heap = RelationGetRelid(heap);
	p->shared->index = RelationGetRelid(index);
	p->shared->concurrent = info->ii_Concurrent;
	p->shared->participants = workers + 1;
	SharedFileSetInit(&p->shared->files, context->seg);
	shm_toc_insert(context->toc, KEY_SHARED, p->shared);

	p->scan = shm_toc_allocate(context->toc, scan_size);
	table_parallelscan_initialize(heap, p->scan, p->snapshot);
	shm_toc_insert(context->toc, KEY_SCAN, p->scan);

	p->results = shm_toc_allocate(context->toc, mul_size(sizeof(BuildResult), workers));
	shm_toc_insert(context->toc, KEY_RESULTS, p->results);

	if (debug_query_string)
	{
		char	   *query = shm_toc_allocate(context->toc, query_size);

		memcpy(query, debug_query_string, query_size);
		shm_toc_insert(context->toc, KEY_QUERY, query);
	}

	LaunchParallelWorkers(context);
	ereport(DEBUG1,
			(errmsg_internal("%d of %d parallel workers launched to build index \"%s\"",
							 context->nworkers_launched, workers, RelationGetRelationName(index))));
	if (context->nworkers_launched == 0)
	{
		rmi_parallel_build_end(p);
		return NULL;
	}
	return p;
}

double
rmi_parallel_build_scan(RmiParallelBuild *p, Relation heap, Relation index,
						IndexInfo *info, RmiSort **sort)
{
	int			workers = p->context->nworkers_launched;
	RmiSort    *s = rmi_sort_begin(maintenance_work_mem / (workers + 1));
	double		heap_tuples;

	DEBUG_POINT("rmi-build-leader");
	heap_tuples = rmi_build_scan(heap, index, info, s, table_beginscan_parallel(heap, p->scan), true);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, RMI_PHASE_SORT);
	rmi_sort_perform(s);

	/* raises their errors, and one if a worker could not start or is lost */
	WaitForParallelWorkersToFinish(p->context);
	for (int i = 0; i < workers; i++)
	{
		BuildResult *result = &p->results[i];
		uint64		before = rmi_sort_count(s);

		heap_tuples += result->heap_tuples;
		info->ii_BrokenHotChain |= result->broken_hot_chain;
		InstrAccumParallelQuery(&result->buffers, &result->wal);
		rmi_sort_adopt(s, &p->shared->files.fs, i, maintenance_work_mem);
		if (rmi_sort_count(s) - before != result->entries)
			elog(ERROR, "parallel worker %d has left " UINT64_FORMAT " of " UINT64_FORMAT " entries",
				 i, rmi_sort_count(s) - before, result->entries);
	}
	*sort = s;
	return heap_tuples;
}

extern PGDLLEXPORT void kyro_rmi_build_worker(dsm_segment *segment, shm_toc *toc);

/* A worker, from its beginning to its end. */
void
kyro_rmi_build_worker(dsm_segment *segment, shm_toc *toc)
{
	BuildShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	BuildResult *result = (BuildResult *) shm_toc_lookup(toc, KEY_RESULTS, false) + ParallelWorkerNumber;
	ParallelTableScanDesc scan = shm_toc_lookup(toc, KEY_SCAN, false);

	/* the leader's locks */
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	RmiSort    *sort;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);

	heap = table_open(shared->heap, heap_lock);
	index = index_open(shared->index, index_lock);
	info = BuildIndexInfo(index);
	info->ii_Concurrent = shared->concurrent;
	SharedFileSetAttach(&shared->files, segment);
	InstrStartParallelQuery();

	sort = rmi_sort_begin(maintenance_work_mem / shared->participants);
	rmi_sort_share(sort, &shared->files.fs, ParallelWorkerNumber);
	result->heap_tuples = rmi_build_scan(heap, index, info, sort,
										 table_beginscan_parallel(heap, scan), false);
	result->entries = rmi_sort_count(sort);
	result->broken_hot_chain = info->ii_BrokenHotChain;
	rmi_sort_export(sort);
	DEBUG_POINT("rmi-build-worker");
	rmi_sort_end(sort);

	InstrEndParallelQuery(&result->buffers, &result->wal);
	index_close(index, index_lock);
	table_close(heap, heap_lock);
}
