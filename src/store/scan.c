/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Sequential, TID range, sample and ANALYZE scans; bitmap.c has the others.
 *
 * A scan has a heap scan of the same table, which decides how many blocks there
 * are, where to begin, and what strategy to use, and which reads log pages by heap
 * code.  We walk the blocks and read pages of rows ourselves.  Other pages look
 * empty to heap code.  Ledger tuples are skipped: the row is returned where it is
 * sealed.
 *
 * A serializable reader takes a predicate lock on the whole table: rows move from
 * the log into runs, and locks on single TIDs would not move with them.
 *
 * IDENTIFICATION
 *	  src/store/scan.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/syncscan.h"
#include "access/transam.h"
#include "access/tsmapi.h"
#include "access/valid.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "store/handler.h"
#include "store/store.h"

/*
 * Bring the run list up to date, and check that the file is long enough for all
 * runs; otherwise a scan would silently leave out what is missing.
 */
static void
open_table(StoreScan *scan)
{
	Relation	rel = scan->base.rs_rd;
	StoreTable *table = scan->table = store_open(rel);

	if (table->nruns > 0)
	{
		BlockNumber end = STORE_RUN_END(&table->runs[table->nruns - 1]);

		/* the file may have become longer since the heap scan asked */
		if (end > scan->heap->rs_nblocks && end > RelationGetNumberOfBlocks(rel))
			store_corrupt(rel, end - 1, "run is past the end of the table");
	}
	store_conflicts_unseen(rel, table, scan->base.rs_snapshot);
}

TableScanDesc
store_scan_begin(Relation rel, Snapshot snapshot, int nkeys, struct ScanKeyData *key,
				 ParallelTableScanDesc pscan, uint32 flags)
{
	StoreScan  *scan = palloc0(sizeof(StoreScan));

	scan->heap = (HeapScanDesc) heap_beginscan(rel, snapshot, nkeys, key, pscan,
											   (flags & ~SO_TEMP_SNAPSHOT) | SO_ALLOW_PAGEMODE);
	scan->base = scan->heap->rs_base;
	scan->base.rs_flags = flags;
	if (snapshot != NULL)
		PredicateLockRelation(rel, snapshot);
	open_table(scan);
	return &scan->base;
}

void
store_scan_end(TableScanDesc sscan)
{
	StoreScan  *scan = (StoreScan *) sscan;

	store_page_release(&scan->p);
	store_bitmap_forget(scan);
	if (scan->base.rs_flags & SO_TEMP_SNAPSHOT)
		UnregisterSnapshot(scan->base.rs_snapshot);
	heap_endscan((TableScanDesc) scan->heap);
	pfree(scan);
}

void
store_scan_rescan(TableScanDesc sscan, struct ScanKeyData *key, bool set_params, bool allow_strat,
				  bool allow_sync, bool allow_pagemode)
{
	StoreScan  *scan = (StoreScan *) sscan;

	scan->sealed = false;
	store_bitmap_forget(scan);
	heap_rescan((TableScanDesc) scan->heap, key, set_params, allow_strat, allow_sync, true);
	open_table(scan);
}

void
store_scan_leave_log_page(StoreScan *scan)
{
	if (BufferIsValid(scan->heap->rs_cbuf))
		ReleaseBuffer(scan->heap->rs_cbuf);
	scan->heap->rs_cbuf = InvalidBuffer;
}

static inline bool
page_mode(StoreScan *scan)
{
	return (scan->heap->rs_base.rs_flags & SO_ALLOW_PAGEMODE) != 0;
}

void
store_scan_drop_ledgers(HeapScanDesc heap)
{
	Page		page = BufferGetPage(heap->rs_cbuf);
	int			n = 0;

	for (int i = 0; i < (int) heap->rs_ntuples; i++)
	{
		ItemId		item = PageGetItemId(page, heap->rs_vistuples[i]);

		if (!store_is_ledger((HeapTupleHeader) PageGetItem(page, item)))
			heap->rs_vistuples[n++] = heap->rs_vistuples[i];
	}
	heap->rs_ntuples = n;
	if (n > 0)
		store_conflicts_out(heap->rs_base.rs_rd, heap->rs_cbuf, heap->rs_vistuples, n, heap->rs_base.rs_snapshot);
}

/* Go to a page; in page mode find its visible rows. */
static void
load_page(StoreScan *scan, BlockNumber block)
{
	HeapScanDesc heap = scan->heap;
	Relation	rel = scan->base.rs_rd;

	heap->rs_base.rs_snapshot = scan->base.rs_snapshot;
	scan->sealed = store_page_get(rel, scan->table, block, heap->rs_strategy, &scan->p);
	if (scan->sealed)
	{
		CHECK_FOR_INTERRUPTS();
		store_scan_leave_log_page(scan);
		heap->rs_cblock = block;
		heap->rs_ntuples = 0;
		if (page_mode(scan))
			heap->rs_ntuples = store_page_visible_rows(rel, &scan->p, scan->base.rs_snapshot, heap->rs_vistuples);
	}
	else
	{
		kyro_heap_page(heap, block);
		if (unlikely(scan->table->incarnation == 0))
			store_check_log_page(rel, BufferGetPage(heap->rs_cbuf), block);
		if (page_mode(scan))
			store_scan_drop_ledgers(heap);
	}
}

/* The block to begin with, chosen as heap scans choose it. */
static BlockNumber
first_block(HeapScanDesc heap, bool backward)
{
	if (heap->rs_nblocks == 0 || heap->rs_numblocks == 0)
		return InvalidBlockNumber;
	if (heap->rs_base.rs_parallel != NULL)
	{
		ParallelBlockTableScanDesc pscan = (ParallelBlockTableScanDesc) heap->rs_base.rs_parallel;

		table_block_parallelscan_startblock_init(heap->rs_base.rs_rd, heap->rs_parallelworkerdata, pscan);
		return table_block_parallelscan_nextpage(heap->rs_base.rs_rd, heap->rs_parallelworkerdata, pscan);
	}
	if (!backward)
		return heap->rs_startblock;

	/* backwards, we must not report our position to other scans */
	heap->rs_base.rs_flags &= ~SO_ALLOW_SYNC;
	if (heap->rs_numblocks != InvalidBlockNumber)
		return (heap->rs_startblock + heap->rs_numblocks - 1) % heap->rs_nblocks;
	return heap->rs_startblock > 0 ? heap->rs_startblock - 1 : heap->rs_nblocks - 1;
}

static BlockNumber
following_block(HeapScanDesc heap, bool backward)
{
	BlockNumber block = heap->rs_cblock;
	bool		finished;

	if (heap->rs_base.rs_parallel != NULL)
		return table_block_parallelscan_nextpage(heap->rs_base.rs_rd, heap->rs_parallelworkerdata,
												 (ParallelBlockTableScanDesc) heap->rs_base.rs_parallel);
	if (backward)
	{
		finished = block == heap->rs_startblock;
		block = (block == 0 ? heap->rs_nblocks : block) - 1;
	}
	else
	{
		block = block + 1 >= heap->rs_nblocks ? 0 : block + 1;
		finished = block == heap->rs_startblock;
		if (heap->rs_base.rs_flags & SO_ALLOW_SYNC)
			ss_report_location(heap->rs_base.rs_rd, block);
	}
	if (heap->rs_numblocks != InvalidBlockNumber && --heap->rs_numblocks == 0)
		finished = true;
	return finished ? InvalidBlockNumber : block;
}

bool
store_scan_next_page(StoreScan *scan, ScanDirection direction)
{
	HeapScanDesc heap = scan->heap;
	bool		backward = ScanDirectionIsBackward(direction);
	BlockNumber block = heap->rs_inited ? following_block(heap, backward) : first_block(heap, backward);

	if (block == InvalidBlockNumber)
	{
		store_scan_leave_log_page(scan);
		heap->rs_cblock = InvalidBlockNumber;
		heap->rs_inited = false;
		scan->sealed = false;
		store_page_release(&scan->p);
		return false;
	}
	load_page(scan, block);
	heap->rs_inited = true;
	if (page_mode(scan))
		heap->rs_cindex = backward ? (int) heap->rs_ntuples : -1;
	else if (!backward)
		heap->rs_cindex = 0;
	else
		heap->rs_cindex = 1 + (scan->sealed ? store_page_rows(&scan->p)->h.count :
							   PageGetMaxOffsetNumber(BufferGetPage(heap->rs_cbuf)));
	return true;
}

void
store_scan_row_slot(StoreScan *scan, OffsetNumber offset, TupleTableSlot *slot)
{
	HeapScanDesc heap = scan->heap;

	if (scan->sealed)
		store_row_slot(scan->base.rs_rd, &scan->p, offset, slot);
	else
	{
		Page		page = BufferGetPage(heap->rs_cbuf);
		ItemId		item = PageGetItemId(page, offset);

		heap->rs_ctup.t_data = (HeapTupleHeader) PageGetItem(page, item);
		heap->rs_ctup.t_len = ItemIdGetLength(item);
		heap->rs_ctup.t_tableOid = RelationGetRelid(scan->base.rs_rd);
		ItemPointerSet(&heap->rs_ctup.t_self, heap->rs_cblock, offset);
		ExecStoreBufferHeapTuple(&heap->rs_ctup, slot, heap->rs_cbuf);
	}
}

/* For snapshots that are not MVCC: is one row visible now? */
static bool
row_visible_now(StoreScan *scan, OffsetNumber offset)
{
	HeapScanDesc heap = scan->heap;
	Relation	rel = scan->base.rs_rd;
	Snapshot	snapshot = scan->base.rs_snapshot;
	Page		page;
	ItemId		item;
	bool		visible = false;

	if (scan->sealed)
		return store_row_visible(rel, &scan->p, offset, snapshot, NULL);

	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(heap->rs_cbuf);
	item = PageGetItemId(page, offset);
	if (ItemIdIsNormal(item))
	{
		HeapTupleData tuple;

		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, heap->rs_cblock, offset);
		if (!store_is_ledger(tuple.t_data))
		{
			visible = HeapTupleSatisfiesVisibility(&tuple, snapshot, heap->rs_cbuf);
			HeapCheckForSerializableConflictOut(visible, rel, &tuple, heap->rs_cbuf, snapshot);
		}
	}
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_UNLOCK);
	return visible;
}

/* The next visible row on the page in hand, or InvalidOffsetNumber. */
static OffsetNumber
next_row_of_page(StoreScan *scan, bool backward)
{
	HeapScanDesc heap = scan->heap;
	int			at = (int) heap->rs_cindex; /* not signed on all versions */
	int			step = backward ? -1 : 1;
	int			max;

	if (page_mode(scan))
	{
		heap->rs_cindex = at += step;
		return at >= 0 && at < (int) heap->rs_ntuples ? heap->rs_vistuples[at] : InvalidOffsetNumber;
	}
	max = scan->sealed ? store_page_rows(&scan->p)->h.count : PageGetMaxOffsetNumber(BufferGetPage(heap->rs_cbuf));
	for (;;)
	{
		heap->rs_cindex = at += step;
		if (at < 1 || at > max)
			return InvalidOffsetNumber;
		if (row_visible_now(scan, at))
			return at;
	}
}

bool
store_scan_getnextslot(TableScanDesc sscan, ScanDirection direction, TupleTableSlot *slot)
{
	StoreScan  *scan = (StoreScan *) sscan;
	HeapScanDesc heap = scan->heap;

	if (ScanDirectionIsNoMovement(direction))
		return heap->rs_inited && !TTS_EMPTY(slot);
	for (;;)
	{
		while (heap->rs_inited)
		{
			OffsetNumber offset = next_row_of_page(scan, ScanDirectionIsBackward(direction));
			bool		passes = true;

			if (offset == InvalidOffsetNumber)
				break;
			store_scan_row_slot(scan, offset, slot);
			if (scan->base.rs_nkeys > 0)
			{
				HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);

				kyro_key_test(tuple, RelationGetDescr(scan->base.rs_rd), heap->rs_base.rs_nkeys,
							  heap->rs_base.rs_key, passes);
			}
			if (passes)
			{
				pgstat_count_heap_getnext(scan->base.rs_rd);
				return true;
			}
		}
		if (!store_scan_next_page(scan, direction))
		{
			ExecClearTuple(slot);
			return false;
		}
	}
}

void
store_scan_set_tidrange(TableScanDesc sscan, ItemPointer mintid, ItemPointer maxtid)
{
	heap_set_tidrange((TableScanDesc) ((StoreScan *) sscan)->heap, mintid, maxtid);
}

bool
store_scan_getnextslot_tidrange(TableScanDesc sscan, ScanDirection direction, TupleTableSlot *slot)
{
	TableScanDesc heap = (TableScanDesc) ((StoreScan *) sscan)->heap;
	bool		backward = ScanDirectionIsBackward(direction);

	while (store_scan_getnextslot(sscan, direction, slot))
	{
		bool		below = ItemPointerCompare(&slot->tts_tid, &kyro_min_tid(heap)) < 0;
		bool		above = ItemPointerCompare(&slot->tts_tid, &kyro_max_tid(heap)) > 0;

		if (!below && !above)
			return true;
		ExecClearTuple(slot);
		/* rows come in the order of their TIDs */
		if (backward ? below : above)
			return false;
	}
	return false;
}

/* ---- TABLESAMPLE ---- */

bool
store_scan_sample_next_block(TableScanDesc sscan, struct SampleScanState *scanstate)
{
	StoreScan  *scan = (StoreScan *) sscan;
	HeapScanDesc heap = scan->heap;
	TsmRoutine *tsm = scanstate->tsmroutine;

	if (tsm->NextSampleBlock == NULL)
	{
		if (!store_scan_next_page(scan, ForwardScanDirection))
			return false;
	}
	else
	{
		BlockNumber block = (heap->rs_nblocks == 0 ? InvalidBlockNumber :
							 tsm->NextSampleBlock(scanstate, heap->rs_nblocks));

		if (block == InvalidBlockNumber)
		{
			store_scan_leave_log_page(scan);
			heap->rs_inited = false;
			return false;
		}
		load_page(scan, block);
		heap->rs_inited = true;
	}
	scan->sample_max = scan->sealed ? store_page_rows(&scan->p)->h.count :
		PageGetMaxOffsetNumber(BufferGetPage(heap->rs_cbuf));
	return true;
}

/* Is a row among the visible ones of the page?  They are in ascending order. */
static bool
in_visible(HeapScanDesc heap, OffsetNumber offset)
{
	int			low = 0,
				high = (int) heap->rs_ntuples;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (heap->rs_vistuples[mid] < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low < (int) heap->rs_ntuples && heap->rs_vistuples[low] == offset;
}

bool
store_scan_sample_next_tuple(TableScanDesc sscan, struct SampleScanState *scanstate, TupleTableSlot *slot)
{
	StoreScan  *scan = (StoreScan *) sscan;
	HeapScanDesc heap = scan->heap;

	for (;;)
	{
		OffsetNumber offset;

		CHECK_FOR_INTERRUPTS();
		offset = scanstate->tsmroutine->NextSampleTuple(scanstate, heap->rs_cblock, scan->sample_max);
		if (!OffsetNumberIsValid(offset))
		{
			ExecClearTuple(slot);
			return false;
		}
		if (page_mode(scan) ? in_visible(heap, offset) : row_visible_now(scan, offset))
		{
			store_scan_row_slot(scan, offset, slot);
			pgstat_count_heap_getnext(scan->base.rs_rd);
			return true;
		}
	}
}

/* ---- ANALYZE ---- */

#ifndef KYRO_ANALYZE_STREAM

bool
store_scan_analyze_next_block(TableScanDesc sscan, BlockNumber block, BufferAccessStrategy strategy)
{
	StoreScan  *scan = (StoreScan *) sscan;
	HeapScanDesc heap = scan->heap;

	scan->sealed = store_page_get(scan->base.rs_rd, scan->table, block, strategy, &scan->p);
	if (!scan->sealed)
		return store_heap()->scan_analyze_next_block((TableScanDesc) heap, block, strategy);
	heap->rs_cblock = block;
	heap->rs_cindex = FirstOffsetNumber;
	return true;
}

#else

bool
store_scan_analyze_next_block(TableScanDesc sscan, ReadStream *stream)
{
	StoreScan  *scan = (StoreScan *) sscan;
	HeapScanDesc heap = scan->heap;
	Buffer		buffer = read_stream_next_buffer(stream, NULL);

	if (!BufferIsValid(buffer))
		return false;
	heap->rs_cblock = BufferGetBlockNumber(buffer);
	heap->rs_cindex = FirstOffsetNumber;
	scan->sealed = store_page_get(scan->base.rs_rd, scan->table, heap->rs_cblock, NULL, &scan->p);
	if (scan->sealed)
		ReleaseBuffer(buffer);
	else
	{
		/* heap code unlocks and releases it after the last tuple */
		heap->rs_cbuf = buffer;
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
	}
	return true;
}

#endif

bool
store_scan_analyze_next_tuple(TableScanDesc sscan, TransactionId oldest_xmin, double *liverows,
							  double *deadrows, TupleTableSlot *slot)
{
	StoreScan  *scan = (StoreScan *) sscan;
	HeapScanDesc heap = scan->heap;

	if (!scan->sealed)
	{
		while (store_heap()->scan_analyze_next_tuple((TableScanDesc) heap, oldest_xmin, liverows, deadrows, slot))
		{
			if (!store_is_ledger(((BufferHeapTupleTableSlot *) slot)->base.tuple->t_data))
				return true;
			*liverows -= 1;
		}
		return false;
	}
	for (; heap->rs_cindex <= store_page_rows(&scan->p)->h.count; heap->rs_cindex++)
	{
		TransactionId xid;
		HTSV_Result status = store_row_vacuum_status(scan->base.rs_rd, &scan->p, heap->rs_cindex, oldest_xmin, &xid);

		if (status == HEAPTUPLE_LIVE ||
			(status == HEAPTUPLE_INSERT_IN_PROGRESS && TransactionIdIsCurrentTransactionId(xid)) ||
			(status == HEAPTUPLE_DELETE_IN_PROGRESS && !TransactionIdIsCurrentTransactionId(xid)))
		{
			*liverows += 1;
			store_row_slot(scan->base.rs_rd, &scan->p, heap->rs_cindex++, slot);
			return true;
		}
	}
	ExecClearTuple(slot);
	return false;
}

/* ---- TIDs ---- */

bool
store_tuple_tid_valid(TableScanDesc sscan, ItemPointer tid)
{
	return store_heap()->tuple_tid_valid((TableScanDesc) ((StoreScan *) sscan)->heap, tid);
}

void
store_tuple_get_latest_tid(TableScanDesc sscan, ItemPointer tid)
{
	StoreScan  *scan = (StoreScan *) sscan;
	Relation	rel = scan->base.rs_rd;
	Snapshot	snapshot = scan->base.rs_snapshot;
	ItemPointerData at = *tid;
	TransactionId expected = InvalidTransactionId;

	for (;;)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&at);
		OffsetNumber offset = ItemPointerGetOffsetNumber(&at);
		HeapTupleData tuple;
		Buffer		buffer;
		bool		visible,
					last;

		CHECK_FOR_INTERRUPTS();
		if (store_page_get(rel, scan->table, block, NULL, &scan->p))
		{
			ItemPointerData link;

			if (offset > store_page_rows(&scan->p)->h.count ||
				(TransactionIdIsValid(expected) && expected != (TransactionId) scan->p.run->fxid))
				return;
			if (store_row_visible(rel, &scan->p, offset, snapshot, NULL))
				*tid = at;
			link = store_link_read(rel, &scan->p, offset);
			if (store_link_is_moved(&link))
			{
				StoreRun   *run = store_moved_to(rel, scan->table, &link, &at);

				if (run == NULL)
					return;
				expected = (TransactionId) run->fxid;
				continue;
			}
			if (link.ip_posid == 0 || !store_ledger_get(rel, &link, &at, &tuple, &buffer))
				return;
		}
		else
		{
			Page		page;
			ItemId		item;

			buffer = ReadBuffer(rel, block);
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			page = BufferGetPage(buffer);
			item = offset <= PageGetMaxOffsetNumber(page) ? PageGetItemId(page, offset) : NULL;
			if (item == NULL || !ItemIdIsNormal(item))
			{
				UnlockReleaseBuffer(buffer);
				return;
			}
			tuple.t_self = at;
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(rel);
			if (store_is_ledger(tuple.t_data) ||
				(TransactionIdIsValid(expected) &&
				 !TransactionIdEquals(expected, HeapTupleHeaderGetXmin(tuple.t_data))))
			{
				UnlockReleaseBuffer(buffer);
				return;
			}
			visible = HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer);
			HeapCheckForSerializableConflictOut(visible, rel, &tuple, buffer, snapshot);
			if (visible)
				*tid = at;
		}
		last = (tuple.t_data->t_infomask & HEAP_XMAX_INVALID) ||
			HeapTupleHeaderIsOnlyLocked(tuple.t_data) ||
			HeapTupleHeaderIndicatesMovedPartitions(tuple.t_data) ||
			ItemPointerEquals(&tuple.t_self, &tuple.t_data->t_ctid);
		at = tuple.t_data->t_ctid;
		expected = last ? InvalidTransactionId : HeapTupleHeaderGetUpdateXid(tuple.t_data);
		UnlockReleaseBuffer(buffer);
		if (last)
			return;
	}
}
