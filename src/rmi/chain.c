/*-------------------------------------------------------------------------
 *
 * chain.c
 *	  The chain of leaves: is this one of them, and what is to its right.
 *
 * Walking right, the next page is locked before the last is released.  All
 * who lock several leaves do so from left to right, so that cannot deadlock,
 * and a page cannot be deleted while its left neighbour is locked.
 *
 * IDENTIFICATION
 *	  src/rmi/chain.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "debug_point.h"
#include "rmi/chain.h"

void
rmi_check_leaf(Relation index, uint32 index_id, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	BlockNumber block = BufferGetBlockNumber(buf);
	const char *problem;

	if (likely(rmi_page_is(page, index_id, block, RMI_PAGE_LEAF) &&
			   leaf_header_ok(page) && rmi_leaf_sum_ok(buf)))
		return;
	problem = rmi_page_problem(page, index_id, block, RMI_PAGE_LEAF);
	if (problem == NULL)
		problem = leaf_header_ok(page) ? "the checksum of the leaf is not right" : "the leaf header is not valid";
	rmi_corrupt(index, block, problem);
}

Buffer
rmi_lock_right(Relation index, uint32 index_id, Buffer buf, int mode)
{
	Page		page = BufferGetPage(buf);
	BlockNumber from = BufferGetBlockNumber(buf);
	BlockNumber to = leaf_header(page)->right;
	Buffer		next;
	const char *problem;

	if (to == from || to <= RMI_FIRST_LEAF || !rmi_block_exists(index, to))
		rmi_corrupt(index, from, "the right link leads nowhere");
	next = ReadBuffer(index, to);

	/*
	 * Look before locking: a damaged link may lead to a page that we have
	 * locked, or whose holder waits for one of ours, and nothing ends such a
	 * wait.  With this leaf locked its right sibling stays what it is and its
	 * low fence never changes, so both can be read without a lock.
	 */
	problem = rmi_page_problem(BufferGetPage(next), index_id, to, RMI_PAGE_LEAF);
	if (problem != NULL)
		rmi_corrupt(index, to, problem);

	/* also makes sure that fences ascend along the chain, so walks end */
	if (kyro_fence_cmp(leaf_low(BufferGetPage(next)), leaf_high(page)) != 0 ||
		kyro_fence_cmp(leaf_high(page), leaf_low(page)) <= 0)
	{
		if (!leaf_header_ok(BufferGetPage(next)))
			rmi_corrupt(index, to, "the leaf header is not valid");
		rmi_corrupt(index, from, "the right sibling does not begin where this leaf ends");
	}
	LockBuffer(next, mode);
	rmi_check_leaf(index, index_id, next);
	return next;
}

/*
 * The last leaf of the list that is still one with that low fence, locked; it
 * and what comes after it are taken off the list.
 */
static Buffer
lock_last_listed(Relation index, uint32 index_id, RmiFenceList *list)
{
	while (list->n-- > 0)
	{
		const RmiDirItem *it = &list->items[list->n];
		Buffer		buf = ReadBuffer(index, it->block);

		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (rmi_page_is(BufferGetPage(buf), index_id, it->block, RMI_PAGE_LEAF) &&
			kyro_fence_cmp(leaf_low(BufferGetPage(buf)), rmi_item_fence(it)) == 0)
			return buf;
		UnlockReleaseBuffer(buf);
	}
	/* the leftmost leaf is never deleted */
	rmi_corrupt(index, RMI_FIRST_LEAF, "the leftmost leaf is not one any more");
}

void
rmi_fences_from_chain(Relation index, uint32 index_id, RmiFenceList *list)
{
	Buffer		buf = ReadBuffer(index, RMI_FIRST_LEAF);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	for (;;)
	{
		Page		page = BufferGetPage(buf);
		BlockNumber block = BufferGetBlockNumber(buf);
		Buffer		next;

		rmi_check_leaf(index, index_id, buf);
		rmi_fences_add(list, leaf_low(page), block);
		if (!leaf_has_high(page))
			break;
		next = rmi_lock_right(index, index_id, buf, BUFFER_LOCK_SHARE);
		UnlockReleaseBuffer(buf);
		buf = next;
		if ((list->n & 63) == 0)
		{
			/* interrupts are held while the page is locked */
			KyroFence	low = leaf_low(BufferGetPage(buf));
			BlockNumber at = BufferGetBlockNumber(buf);

			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			DEBUG_POINT("rmi-chain");
			CHECK_FOR_INTERRUPTS();
			LockBuffer(buf, BUFFER_LOCK_SHARE);

			/* deleted meanwhile?  then a leaf to the left owns its range now */
			if (!rmi_page_is(BufferGetPage(buf), index_id, at, RMI_PAGE_LEAF) ||
				kyro_fence_cmp(leaf_low(BufferGetPage(buf)), low) != 0)
			{
				UnlockReleaseBuffer(buf);
				buf = lock_last_listed(index, index_id, list);
			}
		}
	}
	UnlockReleaseBuffer(buf);
}
