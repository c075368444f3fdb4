/*-------------------------------------------------------------------------
 *
 * handler.c
 *	  The routine of table access method kyro, and what concerns the relation as
 *	  a whole.  README has a table of all callbacks.
 *
 * IDENTIFICATION
 *	  src/store/handler.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "utils/syscache.h"
#include <math.h>

#include "access/heaptoast.h"
#include "access/tsmapi.h"
#include "catalog/pg_am_d.h"
#include "catalog/storage.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "storage/smgr.h"

#include "store/handler.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(kyro_table_handler);

static const TupleTableSlotOps *
store_slot_callbacks(Relation rel)
{
	return &TTSOpsBufferHeapTuple;
}

/*
 * A new file, empty but for its list of runs.
 */
static void
store_relation_set_new_file(Relation rel, const KyroLocator *locator, char persistence,
							TransactionId *freezeXid, MultiXactId *minmulti)
{
	KyroBackend backend = persistence == RELPERSISTENCE_TEMP ? kyro_temp_backend() : KYRO_NO_BACKEND;

	store_heap()->kyro_set_new_file(rel, locator, persistence, freezeXid, minmulti);
	store_list_create(locator, backend, MAIN_FORKNUM, persistence);
	if (persistence == RELPERSISTENCE_UNLOGGED)
		store_list_create(locator, backend, INIT_FORKNUM, persistence);
}

static void
store_relation_nontransactional_truncate(Relation rel)
{
	store_load_forget(rel);
	RelationTruncate(rel, 0);
	store_list_recreate(rel);
}

/*
 * New rows go into the log, except those of bulk loads.  A table that cannot be read
 * takes none.
 */

static void
store_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options, struct BulkInsertStateData *bistate)
{
	if (store_load_row(rel, slot, cid, options, bistate))
		return;
	store_check_readable(rel);
	store_heap()->tuple_insert(rel, slot, cid, options, bistate);
}

static void
store_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
							   struct BulkInsertStateData *bistate, uint32 token)
{
	store_check_readable(rel);
	store_heap()->tuple_insert_speculative(rel, slot, cid, options, bistate, token);
}

static void
store_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
				   struct BulkInsertStateData *bistate)
{
	int			done = 0;

	while (done < nslots && store_load_row(rel, slots[done], cid, options, bistate))
		done++;
	if (done == nslots)
		return;
	store_check_readable(rel);
	store_heap()->multi_insert(rel, slots + done, nslots - done, cid, options, bistate);
}

static void
store_finish_bulk_insert(Relation rel, int options)
{
	store_load_settle(rel);
	if (store_heap()->finish_bulk_insert)
		store_heap()->finish_bulk_insert(rel, options);
}

/* As of any table made of blocks, after rows of a load were written. */
static uint64
store_relation_size(Relation rel, ForkNumber fork)
{
	store_load_settle(rel);
	return table_block_relation_size(rel, fork);
}

/* TOAST tables are heaps. */
static Oid
store_relation_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

/*
 * As for a heap.  Before the first ANALYZE or VACUUM the run list tells how many rows
 * are sealed.
 */
static void
store_estimate_size(Relation rel, int32 *attr_widths, BlockNumber *pages, double *tuples, double *allvisfrac)
{
	store_heap()->relation_estimate_size(rel, attr_widths, pages, tuples, allvisfrac);
	if (rel->rd_rel->reltuples < 0 && *pages > 0)
	{
		StoreTable *table = store_open(rel);
		double		sealed_pages = 0;
		double		sealed_rows = 0;

		for (int i = 0; i < table->nruns; i++)
		{
			sealed_pages += STORE_RUN_END(&table->runs[i]) - table->runs[i].first;
			sealed_rows += table->runs[i].rows;
		}
		if (sealed_pages > 0)
			*tuples = rint(sealed_rows + *tuples * Max(0, *pages - sealed_pages) / *pages);
	}
}

static TableAmRoutine routine = {
	.type = T_TableAmRoutine,

	.slot_callbacks = store_slot_callbacks,

	.scan_begin = store_scan_begin,
	.scan_end = store_scan_end,
	.scan_rescan = store_scan_rescan,
	.scan_getnextslot = store_scan_getnextslot,
	.scan_set_tidrange = store_scan_set_tidrange,
	.scan_getnextslot_tidrange = store_scan_getnextslot_tidrange,

	.parallelscan_estimate = table_block_parallelscan_estimate,
	.parallelscan_initialize = table_block_parallelscan_initialize,
	.parallelscan_reinitialize = table_block_parallelscan_reinitialize,

	.index_fetch_begin = store_index_fetch_begin,
	.index_fetch_reset = store_index_fetch_reset,
	.index_fetch_end = store_index_fetch_end,
	.index_fetch_tuple = store_index_fetch_tuple,

	.tuple_fetch_row_version = store_tuple_fetch_row_version,
	.tuple_tid_valid = store_tuple_tid_valid,
	.tuple_get_latest_tid = store_tuple_get_latest_tid,
	.tuple_satisfies_snapshot = store_tuple_satisfies_snapshot,
	.index_delete_tuples = store_index_delete_tuples,

	.tuple_insert = store_tuple_insert,
	.tuple_insert_speculative = store_tuple_insert_speculative,
	.multi_insert = store_multi_insert,
	.finish_bulk_insert = store_finish_bulk_insert,
	.tuple_delete = store_tuple_delete,
	.tuple_update = store_tuple_update,
	.tuple_lock = store_tuple_lock,

	.kyro_set_new_file = store_relation_set_new_file,
	.relation_nontransactional_truncate = store_relation_nontransactional_truncate,
	.relation_copy_for_cluster = store_copy_for_cluster,
	.relation_vacuum = store_vacuum,
	.scan_analyze_next_block = store_scan_analyze_next_block,
	.scan_analyze_next_tuple = store_scan_analyze_next_tuple,
	.index_build_range_scan = store_index_build_range_scan,
	.index_validate_scan = store_index_validate_scan,

	.relation_size = store_relation_size,
	.relation_toast_am = store_relation_toast_am,
	.relation_estimate_size = store_estimate_size,

#ifndef KYRO_BITMAP_ITERATOR
	.scan_bitmap_next_block = store_scan_bitmap_next_block,
#endif
	.scan_bitmap_next_tuple = store_scan_bitmap_next_tuple,
	.scan_sample_next_block = store_scan_sample_next_block,
	.scan_sample_next_tuple = store_scan_sample_next_tuple
};

const TableAmRoutine *
store_routine(void)
{
	return &routine;
}

bool
store_is_kyro(Relation rel)
{
	return rel->rd_tableam == store_routine();
}

bool
store_is_kyro_oid(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relam == get_table_am_oid("kyro", true) &&
		((Form_pg_class) GETSTRUCT(tuple))->relkind != RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);
	return result;
}

void
store_handler_init(void)
{
	const TableAmRoutine *heap = store_heap();

	routine.tuple_complete_speculative = heap->tuple_complete_speculative;
	routine.relation_copy_data = heap->relation_copy_data;
	routine.relation_needs_toast_table = heap->relation_needs_toast_table;
	routine.relation_fetch_toast_slice = heap->relation_fetch_toast_slice;
	store_table_init();
	store_load_init();
}

Datum
kyro_table_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&routine);
}
