/*-------------------------------------------------------------------------
 *
 * search.c
 *	  From a place in the order to the leaf that owns it.
 *
 * The directory proposes a landing page; the page itself says whether that
 * is right.  A landing is good if it is a live leaf of this index with the low
 * fence that the directory knows it by, which is not above the target: its
 * range and everything to the right of it can then be reached by right links.
 * Anything else - a page deleted or used for something else since, or a
 * damaged fence - sends us to the directory's entry before it, then further
 * and further back, for VACUUM may have deleted many leaves in a row; the
 * leftmost leaf ends every such retreat, for it is never deleted.
 *
 * Walking right, the next page is locked before the last is released.  All
 * who lock several leaves do so from left to right, so that cannot deadlock,
 * and a page cannot be deleted while its left neighbour is locked.
 *
 * IDENTIFICATION
 *	  src/rmi/search.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"

#include "rmi/kyro_rmi.h"

/* Walk at most so far before asking the directory for news. */
#define RMI_LONG_WALK	4

/* Retreats before asking the directory for news. */
#define RMI_MANY_RETREATS	4

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

/* Would one more access not make the buffer pool keep the page any longer? */
static inline bool
buffer_is_hot(Buffer buf)
{
	BufferDesc *desc = BufferIsLocal(buf) ? GetLocalBufferDescriptor(-buf - 1) : GetBufferDescriptor(buf - 1);

	return BUF_STATE_GET_USAGECOUNT(pg_atomic_read_u32(&desc->state)) == BM_MAX_USAGE_COUNT;
}

/*
 * Pin the landing page.  A buffer seen before saves the look-up in the buffer
 * table, but pinning it that way does not mark it as used, and hot leaves
 * would be the first to be evicted: so only if it is marked as much as can be.
 */
static Buffer
read_landing(Relation index, RmiDir *dir, const RmiLanding *l)
{
	Buffer		buf;

	/* most likely the page is still there: have what is read of it on the way */
	if (BufferIsValid(l->recent))
	{
		Page		page = BufferGetBlock(l->recent);

		leaf_prefetch(page, *rmi_dir_shape(dir), l->at);
		__builtin_prefetch(rmi_trailer(page));
		if (buffer_is_hot(l->recent) &&
			ReadRecentBuffer(kyro_locator(index), MAIN_FORKNUM, l->block, l->recent))
		{
			pgstat_count_buffer_read(index);
			pgstat_count_buffer_hit(index);
			return l->recent;
		}
	}
	buf = ReadBuffer(index, l->block);
	if (buf != l->recent)
		rmi_dir_note_buffer(dir, l, buf);
	return buf;
}

/*
 * visited, if given, gets the number of leaves looked at.
 */
Buffer
rmi_descend(Relation index, KyroFence target, bool strictly, int mode, BlockNumber *visited)
{
	RmiDir	   *dir = rmi_dir(index);
	uint32		index_id = rmi_dir_index_id(dir);
	KyroFence	bound = target;
	bool		below = strictly;
	RmiLanding	l;
	Buffer		buf;
	Page		page;
	BlockNumber walked = 0;
	int			retreats = 0;
	uint32		stride = 1;		/* of a long retreat, in directory entries */
	bool		refreshed = false;

search:
	for (;;)
	{
		rmi_dir_lookup(index, dir, bound, below, &l);
		index_id = rmi_dir_index_id(dir);
		if (rmi_block_exists(index, l.block))
		{
			buf = read_landing(index, dir, &l);
			LockBuffer(buf, mode);
			page = BufferGetPage(buf);
			if (likely(rmi_page_is(page, index_id, l.block, RMI_PAGE_LEAF) &&
					   leaf_header_ok(page) &&
					   kyro_fence_cmp(leaf_low(page), l.block == RMI_FIRST_LEAF ? KYRO_FENCE_MIN : l.low) == 0))
			{
				if (likely(rmi_leaf_sum_ok(buf)))
				{
					*rmi_dir_shape(dir) = leaf_shape(page);
					break;
				}
				rmi_check_leaf(index, index_id, buf);
			}
			if (l.block == RMI_FIRST_LEAF && retreats > RMI_MANY_RETREATS)
			{
				/* not even the leftmost leaf, with a directory read afresh */
				rmi_check_leaf(index, index_id, buf);
				rmi_corrupt(index, l.block, "the leftmost leaf does not begin at the lowest key");
			}
			UnlockReleaseBuffer(buf);
		}
		else if (l.block == RMI_FIRST_LEAF)
			rmi_corrupt(index, l.block, "the leftmost leaf is missing");

		CHECK_FOR_INTERRUPTS();
		bound = l.low;
		below = true;
		if (retreats > RMI_MANY_RETREATS && rmi_dir_before(dir, &l, stride, &bound))
		{
			below = false;
			stride = Min(stride, PG_UINT32_MAX / 2) * 2;
		}
		if (++retreats == RMI_MANY_RETREATS ||
			(l.block == RMI_FIRST_LEAF && retreats <= RMI_MANY_RETREATS))
		{
			/* perhaps the index was built anew in the same file */
			retreats = RMI_MANY_RETREATS + 1;
			rmi_dir_refresh(index);
			refreshed = true;
			dir = rmi_dir(index);
			bound = target;
			below = strictly;
		}
	}

	while (leaf_has_high(page) &&
		   kyro_fence_cmp(target, leaf_high(page)) >= (strictly ? 1 : 0))
	{
		Buffer		next;

		/* ask for news once, without locks; then walk, however far */
		if (walked >= RMI_LONG_WALK && !refreshed)
		{
			refreshed = true;
			UnlockReleaseBuffer(buf);
			CHECK_FOR_INTERRUPTS();
			rmi_dir_refresh(index);
			dir = rmi_dir(index);
			bound = target;
			below = strictly;
			goto search;
		}
		next = rmi_lock_right(index, index_id, buf, mode);
		UnlockReleaseBuffer(buf);
		buf = next;
		page = BufferGetPage(buf);
		rmi_dir_note_page(index, dir, leaf_low(page), BufferGetBlockNumber(buf));
		walked++;
	}
	if (visited)
		*visited = walked + 1;
	return buf;
}
