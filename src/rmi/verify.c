/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Is an index sound?  The chain of leaves; verify_directory.c has the rest.
 *
 * The chain is walked with each next leaf locked before the last is let go, so
 * that a split or deletion is never seen half done.  Problems are reported, and
 * the walk goes on as long as the next leaf can be found.
 *
 * IDENTIFICATION
 *	  src/rmi/verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "attempt.h"
#include "debug_point.h"
#include "progress.h"
#include "rmi/verify.h"

/*
 * Find out whether the server can read the right sibling of a leaf.  The leaf
 * is pinned and not locked, since reading may raise an error.
 */
static void
look_ahead(RmiVerify *v, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	BlockNumber to;

	/*
	 * the leaf may have changed since it was locked; a sibling that it has
	 * got meanwhile is in a buffer, and can be read
	 */
	if (!leaf_header_ok(page) || !leaf_has_high(page))
		return;
	to = leaf_header(page)->right;
	if (to < RelationGetNumberOfBlocks(v->index) && (v->refusal = kyro_read_problem(v->index, to)) != NULL)
		v->refused = to;
}

/*
 * Pin and share-lock a leaf of the chain, or report why that cannot be done.
 * If it is not the leftmost one, its left sibling `from` is locked and ends at
 * *low.  Then the leaf is looked at before it is locked, as in
 * rmi_lock_right().
 */
static Buffer
open_leaf(RmiVerify *v, BlockNumber block, BlockNumber from, const KyroFence *low)
{
	Buffer		buf;
	const char *problem;

	if (block >= RelationGetNumberOfBlocks(v->index))
	{
		VERIFY_REPORT(v, from, "right link leads to block %u, past the end of the index", block);
		return InvalidBuffer;
	}
	if (block == v->refused)
	{
		VERIFY_REPORT(v, block, "%s", v->refusal);
		return InvalidBuffer;
	}
	buf = ReadBuffer(v->index, block);
	if (low != NULL &&
		rmi_page_problem(BufferGetPage(buf), v->meta.index_id, block, RMI_PAGE_LEAF) == NULL &&
		kyro_fence_cmp(leaf_low(BufferGetPage(buf)), *low) != 0)
	{
		VERIFY_REPORT(v, block, "low fence is not the high fence of its left sibling, block %u", from);
		ReleaseBuffer(buf);
		return InvalidBuffer;
	}
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	problem = rmi_page_problem(BufferGetPage(buf), v->meta.index_id, block, RMI_PAGE_LEAF);
	if (problem == NULL && !leaf_header_ok(BufferGetPage(buf)))
		problem = "the leaf header is not valid";
	if (problem != NULL)
	{
		VERIFY_REPORT(v, block, "%s", problem);
		UnlockReleaseBuffer(buf);
		return InvalidBuffer;
	}
	return buf;
}

/*
 * The leaf that owns low, locked again.  Replay on a standby deletes leaves in
 * spite of pins.  Then the range of this one, and maybe its entries, belong to
 * a leaf to the left.
 */
static Buffer
still_there(RmiVerify *v, Buffer buf, KyroFence low)
{
	Page		page = BufferGetPage(buf);

	if (rmi_page_is(page, v->meta.index_id, BufferGetBlockNumber(buf), RMI_PAGE_LEAF) &&
		leaf_header_ok(page) && kyro_fence_cmp(leaf_low(page), low) == 0)
		return buf;
	UnlockReleaseBuffer(buf);
	return rmi_descend(v->index, low, false, BUFFER_LOCK_SHARE, NULL);
}

/* The leftmost leaf, locked; InvalidBuffer, which is reported, if there is none. */
static Buffer
open_leftmost(RmiVerify *v)
{
	BlockNumber block = RMI_FIRST_LEAF;
	Buffer		buf;

	if (block < v->nblocks && (v->refusal = kyro_read_problem(v->index, block)) != NULL)
		v->refused = block;
	buf = open_leaf(v, block, RMI_META_BLOCK, NULL);
	if (!BufferIsValid(buf))
		return InvalidBuffer;
	/* it is never deleted */
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	look_ahead(v, buf);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (kyro_fence_cmp(leaf_low(BufferGetPage(buf)), KYRO_FENCE_MIN) != 0)
		VERIFY_REPORT(v, block, "low fence of the leftmost leaf is not the lowest key");
	if (leaf_header(BufferGetPage(buf))->left != KYRO_NO_BLOCK)
		VERIFY_REPORT(v, block, "leftmost leaf has a left link");
	return buf;
}

/*
 * The right sibling of a locked leaf that says it has one, locked too; InvalidBuffer,
 * which is reported, if the chain breaks off here.
 */
static Buffer
open_right(RmiVerify *v, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	BlockNumber block = BufferGetBlockNumber(buf);
	BlockNumber to = leaf_header(page)->right;
	KyroFence	high = leaf_high(page);
	Buffer		next;

	if (kyro_fence_cmp(high, leaf_low(page)) <= 0)
	{
		VERIFY_REPORT(v, block, "high fence is not above low fence");
		return InvalidBuffer;
	}
	if (to == block || to <= RMI_FIRST_LEAF)
	{
		VERIFY_REPORT(v, block, "right link leads to block %u, which cannot be a right sibling", to);
		return InvalidBuffer;
	}
	next = open_leaf(v, to, block, &high);
	if (BufferIsValid(next) && leaf_header(BufferGetPage(next))->left != block)
		VERIFY_REPORT(v, to, "left link leads to block %u instead of %u",
					  leaf_header(BufferGetPage(next))->left, block);
	return next;
}

/* What is wrong within a leaf, whose header is sound; NULL: nothing. */
static const char *
page_problem(const char *page)
{
	const PageHeaderData *header = (const PageHeaderData *) page;
	const char *problem = leaf_verify(page);

	if (problem == NULL && (header->pd_lower != leaf_lower(page) || header->pd_upper != leaf_upper(page)))
		problem = "page header does not agree with the leaf header";
	if (problem == NULL && !leaf_sum_ok(page) && CHECKSUMS_COUNT())
		problem = "the checksum of the leaf is not right";
	return problem;
}

/*
 * Walk the chain; false if it breaks off.  Fences ascend, so a damaged chain
 * ends as well; a page can be met twice, if its leaf was deleted behind us and
 * the page used again.
 */
static bool
verify_chain(RmiVerify *v, const RmiLeafVisitor *visitor)
{
	Buffer		buf;
	uint64		leaves = 0;
	KyroFence	from = KYRO_FENCE_MIN;	/* what the walk has come to */
	PGAlignedBlock copy;

	kyro_progress_phase(KYRO_PHASE_LEAVES, RelationGetRelid(v->index), v->nblocks);
	buf = open_leftmost(v);
	while (BufferIsValid(buf))
	{
		BlockNumber block = BufferGetBlockNumber(buf);
		bool		more = leaf_has_high(BufferGetPage(buf));
		Buffer		next = more ? open_right(v, buf) : InvalidBuffer;
		const char *problem;

		if (block < v->nblocks)
			v->seen[block / 8] |= 1 << (block % 8);
		kyro_progress_done(++leaves);
		memcpy(copy.data, BufferGetPage(buf), BLCKSZ);
		UnlockReleaseBuffer(buf);

		problem = page_problem(copy.data);
		if (problem != NULL)
			VERIFY_REPORT(v, block, "%s", problem);

		/*
		 * Visitors look elsewhere, and cancels must get through: not with the
		 * next leaf locked.
		 */
		if (BufferIsValid(next))
			LockBuffer(next, BUFFER_LOCK_UNLOCK);
		if (problem == NULL && visitor != NULL)
			visitor->leaf(visitor->arg, copy.data, block, from);
		CHECK_FOR_INTERRUPTS();
		if (!more)
			return true;
		if (BufferIsValid(next))
		{
			look_ahead(v, next);
			LockBuffer(next, BUFFER_LOCK_SHARE);
			from = leaf_high(copy.data);
			next = still_there(v, next, from);
		}
		buf = next;
	}
	return false;
}

void
rmi_verify(Relation index, KyroReportFunction report, void *arg, const RmiLeafVisitor *visitor)
{
	RmiVerify	v = {.index = index, .report = report, .arg = arg, .refused = InvalidBlockNumber};
	char	   *problem = NULL;
	bool		complete;

	kyro_progress_phase(KYRO_PHASE_STRUCTURE, RelationGetRelid(index), 0);
	if (RelationGetNumberOfBlocks(index) > 0)
		problem = kyro_read_problem(index, RMI_META_BLOCK);
	if (problem != NULL)
	{
		VERIFY_REPORT(&v, RMI_META_BLOCK, "%s", problem);
		return;
	}
	rmi_read_meta(index, &v.meta);
	if (v.meta.key_type != rmi_key_type(index))
		VERIFY_REPORT(&v, RMI_META_BLOCK, "index was built for another type");
	rmi_verify_directory(&v);

	if (visitor != NULL)
		visitor->begin(visitor->arg);
	v.nblocks = RelationGetNumberOfBlocks(index);
	v.seen = palloc0(v.nblocks / 8 + 1);
	complete = verify_chain(&v, visitor);
	if (visitor != NULL)
		visitor->end(visitor->arg, complete);
	if (complete)
		rmi_verify_unlinked(&v);
}
