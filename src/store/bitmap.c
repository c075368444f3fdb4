/*-------------------------------------------------------------------------
 *
 * bitmap.c
 *	  Bitmap scans.
 *
 * Up to PostgreSQL 17 the executor names one page after the other; from 18 on we
 * take the pages from the bitmap ourselves, and ask the kernel for those that come
 * next.  Of each page we return the rows that are in the bitmap, or all rows if the
 * bitmap has only the page, as far as the snapshot sees them.
 *
 * IDENTIFICATION
 *	  src/store/bitmap.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/spccache.h"

#include "store/store.h"

/* Find the visible rows among all rows of the log page in hand, which is locked. */
static void
see_all(StoreScan *scan)
{
	HeapScanDesc heap = scan->heap;
	Relation	rel = scan->base.rs_rd;
	Page		page = BufferGetPage(heap->rs_cbuf);
	OffsetNumber max = PageGetMaxOffsetNumber(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;
		bool		visible;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, heap->rs_cblock, offset);
		visible = HeapTupleSatisfiesVisibility(&tuple, scan->base.rs_snapshot, heap->rs_cbuf);
		if (visible)
			heap->rs_vistuples[heap->rs_ntuples++] = offset;
		HeapCheckForSerializableConflictOut(visible, rel, &tuple, heap->rs_cbuf, scan->base.rs_snapshot);
	}
}

/* The same among n that the bitmap names: each is the root of a HOT chain. */
static void
see_some(StoreScan *scan, const OffsetNumber *offsets, int n)
{
	HeapScanDesc heap = scan->heap;

	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid;
		HeapTupleData tuple;

		ItemPointerSet(&tid, heap->rs_cblock, offsets[i]);
		if (heap_hot_search_buffer(&tid, scan->base.rs_rd, heap->rs_cbuf, scan->base.rs_snapshot, &tuple, NULL, true))
			heap->rs_vistuples[heap->rs_ntuples++] = ItemPointerGetOffsetNumber(&tid);
	}
}

/* Find the visible rows of a log page, among n that the bitmap names; n < 0: among all. */
static void
read_log_page(StoreScan *scan, BlockNumber block, const OffsetNumber *offsets, int n)
{
	HeapScanDesc heap = scan->heap;
	Relation	rel = scan->base.rs_rd;

	/*
	 * Blocks that were not there when the scan began have no rows that it
	 * sees.  A serializable transaction must register conflicts with those
	 * that it does not see.
	 */
	if (block >= heap->rs_nblocks && !IsolationIsSerializable())
		return;
	heap->rs_cbuf = ReleaseAndReadBuffer(heap->rs_cbuf, rel, block);
	heap->rs_cblock = block;
	heap_page_prune_opt(rel, heap->rs_cbuf);
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_SHARE);
	if (n < 0)
		see_all(scan);
	else
		see_some(scan, offsets, n);
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_UNLOCK);
	store_scan_drop_ledgers(heap);
}

/* Read a log page or a page of rows, which is then the one in hand. */
static void
read_page(StoreScan *scan, BlockNumber block, const OffsetNumber *offsets, int n)
{
	HeapScanDesc heap = scan->heap;
	Relation	rel = scan->base.rs_rd;
	int			count = 0;

	Assert(heap->rs_base.rs_flags & SO_ALLOW_PAGEMODE);
	heap->rs_base.rs_snapshot = scan->base.rs_snapshot;
	heap->rs_cindex = 0;
	heap->rs_ntuples = 0;
	scan->sealed = store_page_get(rel, scan->table, block, NULL, &scan->p);
	if (!scan->sealed)
		read_log_page(scan, block, offsets, n);
	else if (n < 0)
		heap->rs_ntuples = store_page_visible_rows(rel, &scan->p, scan->base.rs_snapshot, heap->rs_vistuples);
	else
	{
		for (int i = 0; i < n; i++)
		{
			if (offsets[i] <= store_page_rows(&scan->p)->h.count)
				heap->rs_vistuples[count++] = offsets[i];
		}
		heap->rs_ntuples = store_page_filter_rows(rel, &scan->p, scan->base.rs_snapshot, heap->rs_vistuples, count);
	}
}

/* The next row of the page in hand. */
static bool
next_row(StoreScan *scan, TupleTableSlot *slot)
{
	HeapScanDesc heap = scan->heap;

	if (heap->rs_cindex >= heap->rs_ntuples)
		return false;
	store_scan_row_slot(scan, heap->rs_vistuples[heap->rs_cindex++], slot);
	pgstat_count_heap_fetch(scan->base.rs_rd);
	return true;
}

#ifndef KYRO_BITMAP_ITERATOR

bool
store_scan_bitmap_next_block(TableScanDesc sscan, struct TBMIterateResult *tbmres)
{
	StoreScan  *scan = (StoreScan *) sscan;

	read_page(scan, tbmres->blockno, tbmres->offsets, tbmres->ntuples);
	return scan->heap->rs_ntuples > 0;
}

bool
store_scan_bitmap_next_tuple(TableScanDesc sscan, struct TBMIterateResult *tbmres, TupleTableSlot *slot)
{
	return next_row((StoreScan *) sscan, slot);
}

#else

#define MAX_AHEAD	64			/* pages */

/* A ring of the pages that come next; the kernel was asked for all but the first. */
struct StoreBitmap
{
	int			size;			/* of the ring: 1 + effective_io_concurrency
								 * of the table's tablespace */
	int			ahead;			/* how many may be in it now: grows by one
								 * with each page, as a query may want few */
	int			first;
	int			count;
	bool		exhausted;
	TBMIterateResult pages[FLEXIBLE_ARRAY_MEMBER];
};

/* Make a ring, in the memory context of the scan. */
static struct StoreBitmap *
make_ring(StoreScan *scan)
{
	int			size = 1 + Min(get_tablespace_io_concurrency(scan->base.rs_rd->rd_rel->reltablespace), MAX_AHEAD);
	Size		bytes = offsetof(struct StoreBitmap, pages) + size * sizeof(TBMIterateResult);
	struct StoreBitmap *ring = MemoryContextAllocZero(GetMemoryChunkContext(scan), bytes);

	ring->size = size;
	ring->ahead = 1;
	return ring;
}

static void
fill_ring(StoreScan *scan, struct StoreBitmap *ring)
{
	while (!ring->exhausted && ring->count < ring->ahead)
	{
		TBMIterateResult *page = &ring->pages[(ring->first + ring->count) % ring->size];

		if (!tbm_iterate(&scan->base.st.rs_tbmiterator, page))
		{
			ring->exhausted = true;
			return;
		}
		/* for sealed pages, too: they are mapped from the same file */
		if (ring->count++ > 0 && page->blockno < scan->heap->rs_nblocks)
			PrefetchBuffer(scan->base.rs_rd, MAIN_FORKNUM, page->blockno);
	}
}

/* Go to the next page of the bitmap; false at its end. */
static bool
next_page(StoreScan *scan, bool *recheck, uint64 *lossy_pages, uint64 *exact_pages)
{
	OffsetNumber offsets[TBM_MAX_TUPLES_PER_PAGE];
	TBMIterateResult *page;

	CHECK_FOR_INTERRUPTS();
	if (scan->bitmap == NULL)
		scan->bitmap = make_ring(scan);
	fill_ring(scan, scan->bitmap);
	if (scan->bitmap->count == 0)
		return false;
	page = &scan->bitmap->pages[scan->bitmap->first];
	scan->bitmap->first = (scan->bitmap->first + 1) % scan->bitmap->size;
	scan->bitmap->count--;
	scan->bitmap->ahead = Min(scan->bitmap->ahead + 1, scan->bitmap->size);
	read_page(scan, page->blockno, offsets,
			  page->lossy ? -1 : tbm_extract_page_tuple(page, offsets, TBM_MAX_TUPLES_PER_PAGE));
	*recheck = page->recheck;
	*(page->lossy ? lossy_pages : exact_pages) += 1;
	return true;
}

bool
store_scan_bitmap_next_tuple(TableScanDesc sscan, TupleTableSlot *slot, bool *recheck,
							 uint64 *lossy_pages, uint64 *exact_pages)
{
	StoreScan  *scan = (StoreScan *) sscan;

	while (!next_row(scan, slot))
	{
		if (!next_page(scan, recheck, lossy_pages, exact_pages))
			return false;
	}
	return true;
}

#endif
