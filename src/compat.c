/*-------------------------------------------------------------------------
 *
 * compat.c
 *	  What differs between PostgreSQL versions and is no macro.
 *
 * IDENTIFICATION
 *	  src/compat.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/nbtxlog.h"
#include "access/rmgr.h"
#include "access/transam.h"
#include "access/xloginsert.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"
#include "utils/rel.h"

#include "compat.h"

#if PG_VERSION_NUM >= 170000

/* Heap scans themselves read through a stream, which is of no use to us. */
void
kyro_heap_page(HeapScanDesc scan, BlockNumber block)
{
	if (BufferIsValid(scan->rs_cbuf))
	{
		ReleaseBuffer(scan->rs_cbuf);
		scan->rs_cbuf = InvalidBuffer;
	}
	CHECK_FOR_INTERRUPTS();
	scan->rs_cbuf = ReadBufferExtended(scan->rs_base.rs_rd, MAIN_FORKNUM, block, RBM_NORMAL, scan->rs_strategy);
	scan->rs_cblock = block;
	if (scan->rs_base.rs_flags & SO_ALLOW_PAGEMODE)
		heap_prepare_pagescan((TableScanDesc) scan);
}

#endif

int
kyro_build_workers(Relation heap, Relation index, const struct IndexInfo *info)
{
#if PG_VERSION_NUM >= 170000
	return info->ii_ParallelWorkers;
#else
	/* the server wants none either where it has just emptied the table */
	if (!IsNormalProcessingMode() || RelationGetNumberOfBlocks(heap) == 0)
		return 0;
	return plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index));
#endif
}

int
kyro_vxid_pid(VirtualTransactionId vxid)
{
#if PG_VERSION_NUM >= 170000
	PGPROC	   *proc = ProcNumberGetProc(vxid.procNumber);
#else
	PGPROC	   *proc = BackendIdGetProc(vxid.backendId);
#endif

	return proc != NULL ? proc->pid : 0;
}

/* Before it hands out a page again a btree writes such a record. */
XLogRecPtr
kyro_log_conflict(Relation rel, uint64 fxid)
{
	xl_btree_reuse_page record = {0};

#if PG_VERSION_NUM >= 160000
	record.locator = kyro_locator(rel);
	record.snapshotConflictHorizon = FullTransactionIdFromU64(fxid);
	record.isCatalogRel = RelationIsAccessibleInLogicalDecoding(rel);
#else
	record.node = kyro_locator(rel);
	record.latestRemovedFullXid = FullTransactionIdFromU64(fxid);
#endif
	XLogBeginInsert();
	XLogRegisterData((char *) &record, SizeOfBtreeReusePage);
	return XLogInsert(RM_BTREE_ID, XLOG_BTREE_REUSE_PAGE);
}

void
kyro_report_live_rows(Relation rel, double rows)
{
	PgStat_EntryRef *ref;
	PgStat_StatTabEntry *entry;

	if (!pgstat_track_counts)
		return;
	ref = pgstat_get_entry_ref_locked(PGSTAT_KIND_RELATION,
									  rel->rd_rel->relisshared ? InvalidOid : MyDatabaseId,
									  RelationGetRelid(rel), false);
	entry = &((PgStatShared_Relation *) ref->shared_stats)->stats;
#if PG_VERSION_NUM >= 160000
	entry->live_tuples = (PgStat_Counter) rows;
#else
	entry->n_live_tuples = (PgStat_Counter) rows;
#endif
	pgstat_unlock_entry(ref);
}

void
kyro_report_moved_rows(Relation rel, uint64 rows, uint64 dead)
{
	if (pgstat_should_count_relation(rel))
	{
#if PG_VERSION_NUM >= 160000
		PgStat_TableCounts *counts = &rel->pgstat_info->counts;

		counts->delta_dead_tuples += dead;
		counts->changed_tuples += rows;
#else
		PgStat_TableCounts *counts = &rel->pgstat_info->t_counts;

		counts->t_delta_dead_tuples += dead;
		counts->t_changed_tuples += rows;
#endif
	}
}

void
kyro_vacuum(Oid relid, MemoryContext lasting)
{
	MemoryContext cxt = AllocSetContextCreate(lasting, "kyrodb vacuum", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	VacuumParams params = {0};
	List	   *relations = list_make1(makeVacuumRelation(NULL, relid, NIL));

	params.options = VACOPT_VACUUM;
	params.freeze_min_age = params.freeze_table_age = params.multixact_freeze_min_age = params.multixact_freeze_table_age = -1;
	params.log_min_duration = -1;
	params.index_cleanup = VACOPTVALUE_ENABLED;
	params.truncate = VACOPTVALUE_UNSPECIFIED;
#if PG_VERSION_NUM >= 160000
	params.options |= VACOPT_PROCESS_MAIN;
	vacuum(relations, &params, GetAccessStrategy(BAS_VACUUM), cxt, true);
#else
	vacuum(relations, &params, NULL, true);
#endif
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
