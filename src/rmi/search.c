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
 * IDENTIFICATION
 *	  src/rmi/search.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "utils/spccache.h"

#include "rmi/kyro_rmi.h"
#include "rmi/chain.h"
#include "usage/usage.h"

/* Walk at most so far before asking the directory for news. */
#define RMI_LONG_WALK	4

/* Retreats before asking the directory for news. */
#define RMI_MANY_RETREATS	4

static inline BufferDesc *
buffer_descriptor(Buffer buf)
{
	return BufferIsLocal(buf) ? GetLocalBufferDescriptor(-buf - 1) : GetBufferDescriptor(buf - 1);
}

/* Does the buffer, which nobody has pinned, most likely hold this block? */
static inline bool
buffer_has(Buffer buf, BlockNumber block)
{
	return BufferIsValid(buf) && buffer_descriptor(buf)->tag.blockNum == block;
}

/* Would one more access not make the buffer pool keep the page any longer? */
static inline bool
buffer_is_hot(Buffer buf)
{
	return BUF_STATE_GET_USAGECOUNT(pg_atomic_read_u32(&buffer_descriptor(buf)->state)) == BM_MAX_USAGE_COUNT;
}

/* Have on its way to the processor what will be read of a landing page that is in a buffer. */
static inline void
prefetch_landing(RmiDir *dir, const RmiLanding *l)
{
	Page		page = BufferGetBlock(l->recent);

	leaf_prefetch(page, *rmi_dir_shape(dir), l->at);
	__builtin_prefetch(rmi_trailer(page));
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
		prefetch_landing(dir, l);
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

/* One search. */
typedef struct RmiSearch
{
	Relation	index;
	RmiDir	   *dir;
	KyroFence	target;
	bool		strictly;
	int			mode;
	bool		refreshed;		/* the directory has been asked for news */
	bool		off;			/* the landing was not the leaf */
} RmiSearch;

/* A page is not the leaf, and another one is looked at; first: for the first time in a search. */
static pg_noinline void
count_off(Relation index, bool first)
{
	UsageIndex *usage = usage_index(RelationGetRelid(index));

	usage->landings_off += first;
	usage->pages_walked++;
}

static void
refresh(RmiSearch *s)
{
	rmi_dir_refresh(s->index);
	s->dir = rmi_dir(s->index);
	s->refreshed = true;
}

/*
 * The landing page, locked, if it is a live leaf with the low fence that the
 * directory knows it by; else InvalidBuffer.  last: there is nowhere else to
 * go if this is the leftmost leaf, so say what is wrong with it.
 */
static inline Buffer
lock_landing(const RmiSearch *s, const RmiLanding *l, bool last)
{
	uint32		index_id = rmi_dir_index_id(s->dir);
	Buffer		buf;
	Page		page;

	if (!rmi_block_exists(s->index, l->block))
	{
		if (l->block == RMI_FIRST_LEAF)
			rmi_corrupt(s->index, l->block, "the leftmost leaf is missing");
		return InvalidBuffer;
	}
	buf = read_landing(s->index, s->dir, l);
	LockBuffer(buf, s->mode);
	page = BufferGetPage(buf);
	if (likely(rmi_page_is(page, index_id, l->block, RMI_PAGE_LEAF) &&
			   leaf_header_ok(page) &&
			   kyro_fence_cmp(leaf_low(page), l->block == RMI_FIRST_LEAF ? KYRO_FENCE_MIN : l->low) == 0))
	{
		if (unlikely(!rmi_leaf_sum_ok(buf)))
			rmi_check_leaf(s->index, index_id, buf);
		*rmi_dir_shape(s->dir) = leaf_shape(page);
		return buf;
	}
	if (last && l->block == RMI_FIRST_LEAF)
	{
		rmi_check_leaf(s->index, index_id, buf);
		rmi_corrupt(s->index, l->block, "the leftmost leaf does not begin at the lowest key");
	}
	UnlockReleaseBuffer(buf);
	return InvalidBuffer;
}

/*
 * A leaf that begins at or before the target, locked: the one that the directory
 * proposes or, if that is no good, one before it, further and further back.
 * After some retreats, or at the left end, the directory is read afresh: perhaps
 * the index was built anew in the same file.  Ends since each retreat goes to the
 * left, and the leftmost leaf is either good or reported.
 */
static inline Buffer
find_landing(RmiSearch *s)
{
	KyroFence	bound = s->target;
	bool		below = s->strictly;
	int			retreats = 0;
	uint32		stride = 1;		/* of a long retreat, in directory entries */

	for (;;)
	{
		RmiLanding	l;
		Buffer		buf;

		rmi_dir_lookup(s->index, s->dir, bound, below, &l);
		buf = lock_landing(s, &l, retreats > RMI_MANY_RETREATS);
		if (likely(BufferIsValid(buf)))
			return buf;

		CHECK_FOR_INTERRUPTS();
		count_off(s->index, retreats == 0);
		s->off = true;
		bound = l.low;
		below = true;
		if (retreats > RMI_MANY_RETREATS && rmi_dir_before(s->dir, &l, stride, &bound))
		{
			below = false;
			stride = Min(stride, PG_UINT32_MAX / 2) * 2;
		}
		if (++retreats == RMI_MANY_RETREATS ||
			(l.block == RMI_FIRST_LEAF && retreats <= RMI_MANY_RETREATS))
		{
			retreats = RMI_MANY_RETREATS + 1;
			refresh(s);
			bound = s->target;
			below = s->strictly;
		}
	}
}

/*
 * From a locked leaf that begins at or before the target to the leaf that owns
 * it, counting the steps.  If that is long, and the directory has not been asked
 * for news, InvalidBuffer instead, with nothing locked.
 */
static inline Buffer
walk_right(RmiSearch *s, Buffer buf, BlockNumber *steps)
{
	Page		page = BufferGetPage(buf);

	while (leaf_has_high(page) &&
		   kyro_fence_cmp(s->target, leaf_high(page)) >= (s->strictly ? 1 : 0))
	{
		Buffer		next;

		if (*steps >= RMI_LONG_WALK && !s->refreshed)
		{
			UnlockReleaseBuffer(buf);
			return InvalidBuffer;
		}
		next = rmi_lock_right(s->index, rmi_dir_index_id(s->dir), buf, s->mode);
		UnlockReleaseBuffer(buf);
		buf = next;
		page = BufferGetPage(buf);
		count_off(s->index, !s->off);
		s->off = true;
		rmi_dir_note_page(s->index, s->dir, leaf_low(page), BufferGetBlockNumber(buf));
		(*steps)++;
	}
	return buf;
}

/*
 * visited, if given, gets the number of leaves looked at.
 */
Buffer
rmi_descend(Relation index, KyroFence target, bool strictly, int mode, BlockNumber *visited)
{
	RmiSearch	s = {index, rmi_dir(index), target, strictly, mode, false, false};
	BlockNumber steps = 0;
	Buffer		buf = walk_right(&s, find_landing(&s), &steps);

	if (unlikely(!BufferIsValid(buf)))
	{
		CHECK_FOR_INTERRUPTS();
		refresh(&s);
		buf = walk_right(&s, find_landing(&s), &steps);
	}
	if (visited)
		*visited = steps + 1;
	return buf;
}

Buffer
rmi_descend_from(Relation index, KyroFence target, bool strictly, int mode, const RmiLanding *landing)
{
	RmiSearch	s = {index, rmi_dir(index), target, strictly, mode, false, false};
	BlockNumber steps = 0;
	Buffer		buf = lock_landing(&s, landing, false);

	if (likely(BufferIsValid(buf)))
		buf = walk_right(&s, buf, &steps);
	return likely(BufferIsValid(buf)) ? buf : rmi_descend(index, target, strictly, mode, NULL);
}

bool
rmi_prefetch_leaf(Relation index, KyroFence target, bool strictly, RmiLanding *landing)
{
	RmiDir	   *dir = rmi_dir(index);

	/* without a copy a look-up reads pages itself */
	if (rmi_dir_entries(dir) == 0)
		return false;
	rmi_dir_lookup(index, dir, target, strictly, landing);
	if (buffer_has(landing->recent, landing->block))
		prefetch_landing(dir, landing);
	else if (rmi_block_exists(index, landing->block) &&
			 get_tablespace_io_concurrency(index->rd_rel->reltablespace) > 0)
		PrefetchBuffer(index, MAIN_FORKNUM, landing->block);
	return true;
}
