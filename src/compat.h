/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every difference between PostgreSQL versions, and nothing else.
 *
 * Names are our own, so that calls look the same whatever the version.  A
 * version is let in when the whole test suite has passed on it.
 *
 * IDENTIFICATION
 *	  src/compat.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_COMPAT_H
#define KYRO_COMPAT_H

#include "access/xlogdefs.h"
#include "storage/block.h"
#include "storage/lock.h"
#include "utils/relcache.h"

#if PG_VERSION_NUM >= 150000 && PG_VERSION_NUM < 160000

#include "storage/backendid.h"
#include "storage/relfilenode.h"

/* Where a relation's file is. */
typedef RelFileNode KyroLocator;
#define kyro_locator(rel)	((rel)->rd_node)
#define kyro_smgr_locator(smgr)	((smgr)->smgr_rnode.node)
#define kyro_set_new_file	relation_set_new_filenode	/* TableAmRoutine */
/* The subtransaction of this transaction that gave a relation its file, or none. */
#define kyro_new_file_subid(rel)	((rel)->rd_firstRelfilenodeSubid)

/* Whose file it is, if it is one of a temporary table. */
typedef BackendId KyroBackend;
#define KYRO_NO_BACKEND		InvalidBackendId
#define kyro_temp_backend()	BackendIdForTempRelations()

/* Which indexes need entries of the new version of a row. */
typedef bool KyroUpdateIndexes;
#define KYRO_UPDATE_NONE	false
#define KYRO_UPDATE_ALL		true

/* Set the flag that has the server plan the workers of a build, where there is one. */
#define kyro_can_build_parallel(am)	((void) (am))

/* Parameters of amestimateparallelscan. */
#define KYRO_PARALLEL_SCAN_PARAMS	void

/* Pages that are written past the buffer manager. */
typedef PGAlignedBlock KyroPage;
#define kyro_palloc_pages(n)	palloc((n) * BLCKSZ)

/*
 * Pin a page of the heap and make it the scan's current one; in page mode find
 * the visible tuples: sets rs_cblock, rs_cbuf, rs_ntuples and rs_vistuples.
 */
#define kyro_heap_page(scan, block)	heapgetpage((TableScanDesc) (scan), block)
#define kyro_key_test(tuple, desc, nkeys, keys, passes)	HeapKeyTest(tuple, desc, nkeys, keys, passes)

#define kyro_owns_relation(relid, user)	pg_class_ownercheck(relid, user)
#define kyro_may_call(function, user)	(pg_proc_aclcheck(function, user, ACL_EXECUTE) == ACLCHECK_OK)
/* The i-th (from 1) of the backends that pgstat_fetch_stat_numbackends() has counted. */
#define kyro_backend_status(i)	pgstat_fetch_stat_local_beentry(i)
#define kyro_check_old_snapshot(snapshot, rel, page)	TestForOldSnapshot(snapshot, rel, page)
#define kyro_sort_get_datum(sort, value, isnull)	tuplesort_getdatum(sort, true, value, isnull, NULL)
/* A page of the log with room, locked together with that of another buffer, if any. */
#define kyro_buffer_for_tuple(rel, len, other, vmbuffer, vmbuffer_other) \
	RelationGetBufferForTuple(rel, len, other, 0, NULL, vmbuffer, vmbuffer_other)
#define kyro_new_cid_file	target_node /* xl_heap_new_cid */
/* Count an update that is not HOT. */
#define kyro_count_update(rel, new_page)	((void) (new_page), pgstat_count_heap_update(rel, false))
/* To be called when the last entry was inserted with an IndexInfo. */
#define kyro_index_insert_done(index, info)	((void) (info))
/* Are rows removed that snapshots of this server may still see (old_snapshot_threshold)? */
#define kyro_prunes_what_snapshots_see()	OldSnapshotThresholdActive()
/* Advance *horizon to the xid after which a dead heap tuple is dead to a snapshot. */
#define kyro_advance_horizon(tuple, horizon)	HeapTupleHeaderAdvanceLatestRemovedXid(tuple, horizon)
/* Does an index describe ranges of blocks, so that HOT updates may change its columns? */
#define kyro_index_summarizes(index)	((void) (index), false)
/* For IndexVacuumInfo, which names the table from 16 on. */
#define kyro_vacuum_info_set_table(info, rel)	((void) (info))
/* Show in pg_stat_progress_vacuum how many of the indexes are done. */
#define kyro_progress_vacuum_indexes(total, done)	((void) (total), (void) (done))
/* Do logical slots of a standby need the rows of this table? */
#define kyro_is_catalog(rel)	false
/* On a standby, in replay: cancel the queries that may see what this transaction has removed. */
#define kyro_resolve_conflict(xid, catalog, locator)	ResolveRecoveryConflictWithSnapshot(xid, locator)

/* Does this session hold a lock in this very mode? */
#define kyro_lock_held(tag, mode)	LockHeldByMe(tag, mode)

/* Make an index as its statement says, without looking at privileges again. */
#define kyro_define_index(relid, statement) \
	DefineIndex(relid, statement, InvalidOid, InvalidOid, InvalidOid, false, false, false, false, true).objectId
/* The same of a partition, attached to an index, and a constraint if any, of the partitioned table. */
#define kyro_define_partition_index(relid, statement, index, constraint) \
	DefineIndex(relid, statement, InvalidOid, index, constraint, false, false, false, false, true).objectId

/* Columns of one table by those of another, by name; all must be there. */
#define kyro_attrmap_by_name(to, from)	build_attrmap_by_name(to, from)
/* How rows of the target of a command become those of its partition; NULL if they are the same. */
#define kyro_root_to_child_map(rri, estate)	((void) (estate), (rri)->ri_RootToPartitionMap)

#elif PG_VERSION_NUM >= 170000 && PG_VERSION_NUM < 190000

#include "access/tableam.h"
#include "storage/procnumber.h"
#include "storage/relfilelocator.h"

typedef RelFileLocator KyroLocator;
#define kyro_locator(rel)	((rel)->rd_locator)
#define kyro_smgr_locator(smgr)	((smgr)->smgr_rlocator.locator)
#define kyro_set_new_file	relation_set_new_filelocator
#define kyro_new_file_subid(rel)	((rel)->rd_firstRelfilelocatorSubid)

typedef ProcNumber KyroBackend;
#define KYRO_NO_BACKEND		INVALID_PROC_NUMBER
#define kyro_temp_backend()	ProcNumberForTempRelations()

typedef TU_UpdateIndexes KyroUpdateIndexes;
#define KYRO_UPDATE_NONE	TU_None
#define KYRO_UPDATE_ALL		TU_All

#define kyro_can_build_parallel(am)	((am)->amcanbuildparallel = true)

#if PG_VERSION_NUM < 180000
#define KYRO_PARALLEL_SCAN_PARAMS	int nkeys, int norderbys
#else
#define KYRO_PARALLEL_SCAN_PARAMS	Relation index, int nkeys, int norderbys
#endif

typedef PGIOAlignedBlock KyroPage;
#define kyro_palloc_pages(n)	palloc_aligned((n) * BLCKSZ, PG_IO_ALIGN_SIZE, 0)

struct HeapScanDescData;
extern void kyro_heap_page(struct HeapScanDescData *scan, BlockNumber block);
#define kyro_key_test(tuple, desc, nkeys, keys, passes)	((passes) = HeapKeyTest(tuple, desc, nkeys, keys))

#define kyro_owns_relation(relid, user)	object_ownercheck(RelationRelationId, relid, user)
#define kyro_may_call(function, user)	(object_aclcheck(ProcedureRelationId, function, user, ACL_EXECUTE) == ACLCHECK_OK)
#define kyro_backend_status(i)	pgstat_get_local_beentry_by_index(i)
#define kyro_check_old_snapshot(snapshot, rel, page)	((void) 0)
#define kyro_sort_get_datum(sort, value, isnull)	tuplesort_getdatum(sort, true, false, value, isnull, NULL)
#define kyro_buffer_for_tuple(rel, len, other, vmbuffer, vmbuffer_other) \
	RelationGetBufferForTuple(rel, len, other, 0, NULL, vmbuffer, vmbuffer_other, 0)
#define kyro_new_cid_file	target_locator
#define kyro_count_update(rel, new_page)	pgstat_count_heap_update(rel, false, new_page)
#define kyro_index_insert_done(index, info)	index_insert_cleanup(index, info)
#define kyro_prunes_what_snapshots_see()	false
#define kyro_advance_horizon(tuple, horizon)	HeapTupleHeaderAdvanceConflictHorizon(tuple, horizon)
#define kyro_index_summarizes(index)	((index)->rd_indam->amsummarizing)
#define kyro_vacuum_info_set_table(info, rel)	((info)->heaprel = (rel))
#define kyro_progress_vacuum_indexes(total, done) \
	(pgstat_progress_update_param(PROGRESS_VACUUM_INDEXES_TOTAL, total), \
	 pgstat_progress_update_param(PROGRESS_VACUUM_INDEXES_PROCESSED, done))
#define kyro_is_catalog(rel)	RelationIsAccessibleInLogicalDecoding(rel)
#define kyro_resolve_conflict(xid, catalog, locator)	ResolveRecoveryConflictWithSnapshot(xid, catalog, locator)
#define kyro_lock_held(tag, mode)	LockHeldByMe(tag, mode, false)

#define kyro_define_index(relid, statement) \
	DefineIndex(relid, statement, InvalidOid, InvalidOid, InvalidOid, -1, false, false, false, false, true).objectId
#define kyro_define_partition_index(relid, statement, index, constraint) \
	DefineIndex(relid, statement, InvalidOid, index, constraint, -1, false, false, false, false, true).objectId

#define kyro_attrmap_by_name(to, from)	build_attrmap_by_name(to, from, false)
#define kyro_root_to_child_map(rri, estate)	ExecGetRootToChildMap(rri, estate)

/* ANALYZE hands out a stream of buffers, not block numbers. */
#define KYRO_ANALYZE_STREAM 1

#else
/* 16 has most of what 17 has, but was never tried */
#error "kyrodb supports PostgreSQL 15, 17 and 18"
#endif

/* ---- what is the same in 15 and 17, and not in 18 ---- */

#if PG_VERSION_NUM < 180000

/* Before a function that does not return. */
#define kyro_noreturn	pg_attribute_noreturn()

/*
 * Who refers to the index of a constraint asks its operator class whether it is a
 * btree (and not the access method for its strategies, as from 18 on).
 */
#define KYRO_KEYS_SHOW_BTREE	true
/* The planner proves uniqueness, and looks for the ends of a column, with btrees only. */
#define KYRO_PLANNER_WANTS_BTREE	true
/* And the executor prepares unique btrees only for ON CONFLICT. */
#define KYRO_UPSERT_WANTS_BTREE		true

/* Tell the server that an access method's operators mean what btree's of the same strategies do. */
#define kyro_order_as_btree(am)	((void) (am))
/* A cost function, as IndexAmRoutine and IndexOptInfo have it. */
#define kyro_cost_function(f)	((void (*) ()) (f))
/* The memory of an index access method in that of a parallel scan. */
#define kyro_parallel_scan_state(scan) \
	OffsetToPointer((scan)->parallel_scan, (scan)->parallel_scan->ps_offset)
/* Count a search of the index for EXPLAIN. */
#define kyro_count_search(scan)	((void) (scan))
#define kyro_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)

/* The bounds of a TID range scan. */
#define kyro_min_tid(scan)	((scan)->rs_mintid)
#define kyro_max_tid(scan)	((scan)->rs_maxtid)

#define kyro_vacuum_delay_point()	vacuum_delay_point()
/* vac_update_relstats() for numbers of rows and pages only. */
#define kyro_update_relstats(rel, pages, rows, all_visible, all_frozen, has_index, in_outer_xact) \
	((void) (all_frozen), \
	 vac_update_relstats(rel, pages, rows, all_visible, has_index, InvalidTransactionId, InvalidMultiXactId, \
						 NULL, NULL, in_outer_xact))
#define kyro_relation_all_frozen(form)	0	/* of a row of pg_class */

/* Has a transaction ended?  From 18 on failures for NOWAIT can be logged. */
#define kyro_try_wait_for_xact(xid, nowait)	ConditionalXactLockTableWait(xid)

/* A snapshot for chunks of TOAST values; `data` is room for it. */
#define kyro_toast_snapshot(data)	(init_toast_snapshot(data), (data))

/* The path of a relation's main fork, palloc'd. */
#define kyro_relation_path(rel)	relpathbackend(kyro_locator(rel), KYRO_NO_BACKEND, MAIN_FORKNUM)

#else

#define kyro_noreturn	pg_noreturn

#define KYRO_KEYS_SHOW_BTREE	false
#define KYRO_PLANNER_WANTS_BTREE	false
#define KYRO_UPSERT_WANTS_BTREE		false

#define kyro_order_as_btree(am) \
	((am)->amconsistentequality = true, (am)->amconsistentordering = true, \
	 (am)->amtranslatestrategy = bttranslatestrategy, (am)->amtranslatecmptype = bttranslatecmptype)
#define kyro_cost_function(f)	(f)
#define kyro_parallel_scan_state(scan) \
	OffsetToPointer((scan)->parallel_scan, (scan)->parallel_scan->ps_offset_am)
#define kyro_count_search(scan) \
	((void) ((scan)->instrument != NULL && ++(scan)->instrument->nsearches))
#define kyro_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)

#define kyro_min_tid(scan)	((scan)->st.tidrange.rs_mintid)
#define kyro_max_tid(scan)	((scan)->st.tidrange.rs_maxtid)

#define kyro_vacuum_delay_point()	vacuum_delay_point(false)
#define kyro_update_relstats(rel, pages, rows, all_visible, all_frozen, has_index, in_outer_xact) \
	vac_update_relstats(rel, pages, rows, all_visible, all_frozen, has_index, InvalidTransactionId, InvalidMultiXactId, \
						NULL, NULL, in_outer_xact)
#define kyro_relation_all_frozen(form)	((form)->relallfrozen)

#define kyro_try_wait_for_xact(xid, nowait)	ConditionalXactLockTableWait(xid, (nowait) && log_lock_failures)

#define kyro_toast_snapshot(data)	((void) (data), get_toast_snapshot())

#define kyro_relation_path(rel) \
	pstrdup(relpathbackend(kyro_locator(rel), KYRO_NO_BACKEND, MAIN_FORKNUM).str)

/* A bitmap scan is given the iterator of its bitmap, not pages of it. */
#define KYRO_BITMAP_ITERATOR 1

#endif

struct IndexInfo;

/*
 * How many workers an index is to be built with: from 17 on the server has
 * told, before it plans them for btrees only.
 */
extern int	kyro_build_workers(Relation heap, Relation index, const struct IndexInfo *info);

/*
 * The process of a transaction; 0 if it is prepared, or has ended.
 */
extern int	kyro_vxid_pid(VirtualTransactionId vxid);

/*
 * Write a WAL record that does nothing but cancel queries on standbys with a
 * snapshot that does not see the full xid.  Returns its end.
 */
extern XLogRecPtr kyro_log_conflict(Relation rel, uint64 fxid);

/*
 * Correct the number of live rows that VACUUM has just reported for a table.
 * There is no call for that which would not count one more VACUUM.
 */
extern void kyro_report_live_rows(Relation rel, double rows);

/*
 * VACUUM a table, and clean its indexes whatever that saves.  Not in a transaction block; the transaction that is
 * open ends, and another one begins.  What is needed meanwhile is allocated in a child of a context that lasts.
 */
extern void kyro_vacuum(Oid relid, MemoryContext lasting);

/*
 * Tell the statistics of rows that were moved: as many have become dead, `dead`, without being
 * deleted by anyone, and autoanalyze is to look at the order of those that live.
 * Counts even if the transaction is rolled back.
 */
extern void kyro_report_moved_rows(Relation rel, uint64 rows, uint64 dead);

#endif							/* KYRO_COMPAT_H */
