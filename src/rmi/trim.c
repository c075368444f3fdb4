/*-------------------------------------------------------------------------
 *
 * trim.c
 *	  Giving the space of an index back, for VACUUM.
 *
 * When leaves have become few, as after a seal or a mass deletion, many pages are free.  VACUUM
 * moves leaves from the end of the file to free pages at its front, and when all indexes are done
 * it cuts off what is free at the end, if nobody uses the index at that moment.
 *
 * A leaf is moved as leaves are joined (join.c): its left sibling gets another right link, the
 * page becomes free, with the mark that standbys may have it pinned, and the leaf, with its low
 * fence, is made again elsewhere, all in one record.
 *
 * Others know a truncated file by that its storage manager's relation is opened anew (see
 * rmi_block_exists()), and scans in progress there are none.
 *
 * IDENTIFICATION
 *	  src/rmi/trim.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "catalog/index.h"
#include "catalog/storage.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "debug_point.h"
#include "rmi/join.h"
#include "rmi/work.h"

/* Pages that are worth it, and the share of the file. */
#define TRIM_PAGES		16
#define TRIM_SHARE		5

bool
rmi_trim_pays(BlockNumber nblocks, BlockNumber nfree)
{
	return nfree >= TRIM_PAGES && nfree >= nblocks / TRIM_SHARE;
}

/* ---- moving leaves ---- */

/*
 * Move a leaf, whose left sibling this is, to a free block; false if that is not possible now.  No locks held.
 */
static bool
move_leaf(Relation index, uint32 index_id, RmiCarrier carrier, const RmiDirItem *left, const RmiDirItem *item,
		  BlockNumber to)
{
	bool		unswept = carrier == RMI_CARRIER_OWN && RelationNeedsWAL(index);
	KyroFence	low = rmi_item_fence(item);
	char	   *image = rmi_work()->right;
	Buffer		nbuf = rmi_lock_free_page(index, index_id, to);
	Buffer		lbuf,
				buf = InvalidBuffer,
				rbuf = InvalidBuffer;
	Page		page;
	RmiChange	c;

	if (!BufferIsValid(nbuf))
		return false;
	lbuf = ReadBuffer(index, left->block);
	LockBuffer(lbuf, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(lbuf);

	/* split, perhaps */
	if (rmi_page_is(page, index_id, left->block, RMI_PAGE_LEAF) && leaf_header_ok(page) &&
		leaf_header(page)->right == item->block && kyro_fence_cmp(leaf_high(page), low) == 0)
	{
		buf = ReadBuffer(index, item->block);
		if (!ConditionalLockBufferForCleanup(buf))
		{
			ReleaseBuffer(buf);
			buf = InvalidBuffer;
		}
	}
	if (!BufferIsValid(buf))
	{
		UnlockReleaseBuffer(lbuf);
		UnlockReleaseBuffer(nbuf);
		return false;
	}
	page = BufferGetPage(buf);
	rmi_check_leaf(index, index_id, buf);
	if (leaf_has_high(page))
		rbuf = rmi_lock_right(index, index_id, buf, BUFFER_LOCK_EXCLUSIVE);
	memcpy(image, page, BLCKSZ);
	rmi_trailer(image)->block = to;
	rmi_leaf_finish(image);

	rmi_change_begin(&c, index, carrier);
	rmi_change_apply(&c, lbuf, &(RmiOp) {.kind = RMI_OP_SET_RIGHT, .fence = low, .block = to});
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_FREE, .unswept = unswept});
	rmi_change_apply(&c, nbuf, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = image});
	if (BufferIsValid(rbuf))
		rmi_change_apply(&c, rbuf, &(RmiOp) {.kind = RMI_OP_SET_LEFT, .block = to});
	DEBUG_CRASH("rmi-move-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-move-logged");
	if (BufferIsValid(rbuf))
		UnlockReleaseBuffer(rbuf);
	UnlockReleaseBuffer(buf);
	UnlockReleaseBuffer(nbuf);
	UnlockReleaseBuffer(lbuf);
	DEBUG_POINT("rmi-moved");
	if (unswept)
	{
		buf = ReadBuffer(index, item->block);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		rmi_release_page(index, carrier, buf);
		UnlockReleaseBuffer(buf);
	}
	return true;
}

typedef struct Place
{
	BlockNumber block;
	uint32		at;				/* in the list of leaves */
} Place;

static int
place_cmp(const void *a, const void *b)
{
	BlockNumber x = ((const Place *) a)->block;
	BlockNumber y = ((const Place *) b)->block;

	return x < y ? 1 : x > y ? -1 : 0;
}

bool
rmi_move_leaves(Relation index, uint32 index_id, RmiCarrier carrier, RmiFenceList *leaves,
				BlockNumber *blocks, uint32 n)
{
	Place	   *places = palloc_extended((Size) leaves->n * sizeof(Place), MCXT_ALLOC_HUGE);
	bool		moved = false;

	for (uint32 i = 0; i < leaves->n; i++)
		places[i] = (Place) {leaves->items[i].block, i};
	qsort(places, leaves->n, sizeof(Place), place_cmp);
	for (uint32 i = 0; i < leaves->n && i < n && blocks[i] < places[i].block; i++)
	{
		RmiDirItem *item = &leaves->items[places[i].at];

		kyro_vacuum_delay_point();
		if (places[i].at == 0 || !move_leaf(index, index_id, carrier, item - 1, item, blocks[i]))
			continue;
		item->block = blocks[i];
		blocks[i] = places[i].block;
		moved = true;
	}
	pfree(places);
	return moved;
}

/* ---- cutting off ---- */

/* The first of the free blocks at the end of the file. */
static BlockNumber
find_end(Relation index, uint32 index_id)
{
	BlockNumber end = RelationGetNumberOfBlocks(index);

	while (end > RMI_FIRST_LEAF + 1)
	{
		Buffer		buf = ReadBuffer(index, end - 1);
		Page		page = BufferGetPage(buf);
		bool		is_free;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		is_free = PageIsNew(page) || (rmi_page_is(page, index_id, end - 1, RMI_PAGE_FREE) &&
									  (rmi_trailer(page)->flags & RMI_LEAF_UNSWEPT) == 0);
		UnlockReleaseBuffer(buf);
		if (!is_free)
			break;
		end--;
	}
	return end;
}

/* Is the table's setting vacuum_truncate on? */
static bool
may_truncate(Relation index)
{
	Relation	heap = RelationIdGetRelation(index->rd_index->indrelid);
	bool		result = (RelationIsValid(heap) &&
						  (heap->rd_options == NULL || ((StdRdOptions *) heap->rd_options)->vacuum_truncate));

	if (RelationIsValid(heap))
		RelationClose(heap);
	return result;
}

void
rmi_trim(Relation index, uint32 index_id)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(index);

	/*
	 * the lock may need a transaction id, which cannot be had in parallel
	 * mode
	 */
	if (IsInParallelMode() || !rmi_trim_pays(nblocks, nblocks - find_end(index, index_id)) || !may_truncate(index) ||
		!ConditionalLockRelation(index, AccessExclusiveLock))
		return;
	nblocks = find_end(index, index_id);
	if (nblocks < RelationGetNumberOfBlocks(index))
	{
		DEBUG_POINT("rmi-trim");
		RelationTruncate(index, nblocks);
		DEBUG_POINT("rmi-trimmed");
	}
	UnlockRelation(index, AccessExclusiveLock);
}
