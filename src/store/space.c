/*-------------------------------------------------------------------------
 *
 * space.c
 *	  Runs in the place of empty log pages.
 *
 * The next run is put into log pages that VACUUM has emptied, if there are enough of
 * them in one piece; else it is put at the end of the file.  So a table that is
 * sealed in batches, with VACUUM in between, does not need space for log and runs at
 * the same time, and its end can be cut off.
 *
 * A page can be claimed if it has no item in use and is in no run.  It is claimed by
 * a holder of ShareUpdateExclusiveLock, after its visibility map bits were cleared,
 * under a cleanup lock that could be had at once (README, S12).  Then it is a page
 * of ours that is in no run yet, like those of a seal that has failed; heap code and
 * readers pass over it.
 *
 * IDENTIFICATION
 *	  src/store/space.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/visibilitymap.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"

#include "debug_point.h"
#include "store/store.h"

/* A page without items has at least this much free space. */
#define EMPTY_SPACE (MaxHeapTupleSize - 1024)

bool
store_page_is_empty(Page page)
{
	if (!store_page_is_heap(page))
		return false;
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		if (ItemIdIsUsed(PageGetItemId(page, offset)))
			return false;
	}
	return true;
}

/*
 * Is a block, which is in no run, an empty log page?  Corrects the free space map,
 * which may be out of date.
 */
static bool
block_is_empty(Relation rel, BlockNumber block)
{
	Buffer		buffer;
	Page		page;
	Size		space = EMPTY_SPACE;
	bool		result;

	if (GetRecordedFreeSpace(rel, block) < EMPTY_SPACE)
		return false;
	buffer = ReadBuffer(rel, block);
	page = BufferGetPage(buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	result = store_page_is_empty(page);

	/*
	 * a page of zeros was added by an inserter in advance: leave it to
	 * inserters
	 */
	if (!result && store_page_is_heap(page))
		space = PageGetHeapFreeSpace(page);
	UnlockReleaseBuffer(buffer);
	if (space < EMPTY_SPACE)
		RecordPageWithFreeSpace(rel, block, space);
	return result;
}

/*
 * The first of `need` consecutive blocks that look empty, within from .. before - 1;
 * InvalidBlockNumber: there are none.
 */
static BlockNumber
find_range(Relation rel, StoreTable *table, BlockNumber from, BlockNumber before, uint32 need)
{
	BlockNumber nblocks = Min(RelationGetNumberOfBlocks(rel), before);
	BlockNumber first = from;
	int			next_run = store_first_run_ending_after(table, from);

	for (BlockNumber block = from; block < nblocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (next_run < table->nruns && block >= table->runs[next_run].first)
		{
			first = STORE_RUN_END(&table->runs[next_run]);
			block = first - 1;
			next_run++;
		}
		else if (!block_is_empty(rel, block))
			first = block + 1;
		else if (block + 1 - first == need)
			return first;
	}
	return InvalidBlockNumber;
}

/*
 * Clear visibility map bits of n blocks, so that nobody takes the rows that will be
 * there for visible to all.
 */
static void
clear_map(Relation rel, BlockNumber first, uint32 n)
{
	Buffer		vmbuffer = InvalidBuffer;
	bool		cleared = false;

	for (BlockNumber block = first; block < first + n; block++)
	{
		if (cleared && !visibilitymap_pin_ok(block, vmbuffer))
		{
			store_vm_log(rel, vmbuffer);
			cleared = false;
		}
		visibilitymap_pin(rel, block, &vmbuffer);
		cleared |= visibilitymap_clear(rel, block, vmbuffer, VISIBILITYMAP_VALID_BITS);
	}
	if (cleared)
		store_vm_log(rel, vmbuffer);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}

/*
 * Claim an empty page: make it a page of ours.  False if it is not empty any more, or
 * if somebody has it pinned, who may be about to put a row there.  Only the header is
 * logged, not an image: the final content will be logged as an image.
 */
static bool
claim(Relation rel, BlockNumber block, uint64 run)
{
	Buffer		buffer = ReadBuffer(rel, block);
	bool		done = false;

	if (ConditionalLockBufferForCleanup(buffer))
	{
		if (store_page_is_empty(BufferGetPage(buffer)))
		{
			GenericXLogState *state = GenericXLogStart(rel);
			Page		page = GenericXLogRegisterBuffer(state, buffer, 0);
			PGAlignedBlock fresh;

			store_page_init(fresh.data, STORE_ROWS, run);
			memcpy((char *) page + offsetof(PageHeaderData, pd_flags), fresh.data + offsetof(PageHeaderData, pd_flags),
				   SizeOfPageHeaderData + sizeof(StoreHeader) - offsetof(PageHeaderData, pd_flags));
			store_log_page_finish(state);
			done = true;
		}
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buffer);
	if (done)
		RecordPageWithFreeSpace(rel, block, 0);
	return done;
}

bool
store_free_page(Relation rel, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(rel, block);
	bool		done = false;

	if (ConditionalLockBufferForCleanup(buffer))
	{
		Page		page = BufferGetPage(buffer);

		if (store_page_is_orphan(page) || store_page_kind(page) == STORE_LINKS)
		{
			GenericXLogState *state = GenericXLogStart(rel);

			PageInit(GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE), BLCKSZ, 0);
			store_log_page_finish(state);
			done = true;
		}
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	}
	if (done)
		RecordPageWithFreeSpace(rel, block, PageGetHeapFreeSpace(BufferGetPage(buffer)));
	ReleaseBuffer(buffer);
	return done;
}

void
store_space_release(Relation rel, BlockNumber first, BlockNumber end)
{
	for (BlockNumber block = first; block < end; block++)
		(void) store_free_page(rel, block);
}

BlockNumber
store_space_claim(Relation rel, uint64 run, uint32 n, BlockNumber before)
{
	StoreTable *table = store_open(rel);
	BlockNumber from = 1;

	/* most often nothing is empty, if there was no VACUUM since the last seal */
	if (GetPageWithFreeSpace(rel, EMPTY_SPACE) == InvalidBlockNumber)
		return InvalidBlockNumber;
	for (;;)
	{
		BlockNumber first = find_range(rel, table, from, before, n);
		BlockNumber block;

		if (first == InvalidBlockNumber)
			return InvalidBlockNumber;
		clear_map(rel, first, n);
		DEBUG_POINT("space-map-cleared");
		for (block = first; block < first + n; block++)
		{
			if (!claim(rel, block, run))
				break;
		}
		DEBUG_POINT("space-claimed");
		if (block == first + n)
			return first;
		store_space_release(rel, first, block);
		from = block + 1;
	}
}

BlockNumber
store_space_count(Relation rel, BlockNumber before)
{
	StoreTable *table = store_open(rel);
	BlockNumber n = 0;
	int			next_run = 0;

	for (BlockNumber block = 1; block < before; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (next_run < table->nruns && block >= table->runs[next_run].first)
		{
			block = STORE_RUN_END(&table->runs[next_run]) - 1;
			next_run++;
		}
		else if (GetRecordedFreeSpace(rel, block) >= EMPTY_SPACE)
			n++;
	}
	return n;
}
