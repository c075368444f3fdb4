/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM of a kyro_rmi index.
 *
 * ambulkdelete walks the chain of leaves from left to right, so that splits
 * meanwhile only ever move entries ahead of it (I9), and takes a cleanup lock
 * on every leaf, so that no scan that holds a pin can still be about to use a
 * tid it has seen there.  A leaf that would not fit without its dead entries
 * (they keep the numbering of slots, so dropping them can cost bytes) is split
 * first, and both halves are vacuumed.
 *
 * An empty leaf is unlinked (I4): its LEFT sibling takes over the range, for
 * a low fence never changes.  Locks: left sibling, then the leaf by a
 * conditional cleanup lock, then the right sibling; one record changes all
 * three.  The page is free at once: whoever still comes to it by an old link
 * sees from the page itself that it is not what he came for.
 *
 * The walk knows all leaves, so at its end it writes a new directory, if
 * anything has changed, and finds pages that belong to nothing.
 *
 * IDENTIFICATION
 *	  src/rmi/vacuum.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "rmi/directory.h"
#include "rmi/join.h"
#include "rmi/splitlog.h"
#include "rmi/work.h"
#include "usage/usage.h"

typedef struct RmiVacuum
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *arg;
	uint32		index_id;
	TimestampTz started;
	RmiFenceList leaves;		/* all leaves seen, in order */
	RmiFenceList made;			/* by splits of ours */
	bool		changed;		/* leaves were split or deleted */
	bool		bad_tid;		/* the leaf has an impossible row address */
	RmiMetaData seen;			/* the directory that a new one replaces */
	RmiGaps		gaps;			/* what goes from the leaf at hand */
	RmiJoin    *join;
} RmiVacuum;

/* Blocks that belong to nothing. */
typedef struct FreeList
{
	RmiVacuum  *v;
	BlockNumber *blocks;		/* ascending */
	uint32		n;				/* of them, that are to be recorded */
	uint32		all;
	uint32		done;			/* recorded */
	BlockNumber nblocks;		/* of the index */
} FreeList;

static bool
vacuum_dead(void *arg, uint64_t tid)
{
	RmiVacuum  *v = (RmiVacuum *) arg;
	ItemPointerData p;
	bool		gone;

	/* may not jump out */
	if (unlikely(!kyro_tid_ok(tid)))
	{
		v->bad_tid = true;
		return false;
	}
	kyro_tid_to_pointer(tid, &p);
	gone = v->callback(&p, v->arg);
	rmi_gaps_note(&v->gaps, gone);
	return gone;
}

/*
 * May index-only scans on standbys hold on to entries that have left this
 * leaf?  Replay did not wait for them then, so VACUUM must have it wait now.
 */
static inline bool
must_sweep(const RmiVacuum *v, Page page)
{
	return (rmi_trailer(page)->flags & RMI_LEAF_UNSWEPT) != 0 && v->seen.carrier == RMI_CARRIER_OWN &&
		RelationNeedsWAL(v->info->index);
}

/*
 * Remove dead entries from a leaf under cleanup lock; returns how many
 * entries stay, and counts those that go.  If it must be split, the new leaf on the right is left for
 * the walk, which comes to it next.
 */
static int
vacuum_leaf(RmiVacuum *v, Buffer buf, int *gone)
{
	Relation	index = v->info->index;
	RmiWork    *w = rmi_work();
	int			live;

	for (;;)
	{
		int			removed;

		rmi_gaps_init(&v->gaps);
		removed = leaf_vacuum(BufferGetPage(buf), w->leaf, vacuum_dead, v, &live, w->scratch);

		if (v->bad_tid)
			rmi_corrupt(index, BufferGetBlockNumber(buf), "the row address of an entry is not valid");
		if (removed == LEAF_VACUUM_SPLIT)
		{
			Buffer		right;
			KyroFence	cut = rmi_split(index, v->index_id, v->seen.carrier, buf, &right);

			rmi_fences_add(&v->made, cut, BufferGetBlockNumber(right));
			v->changed = true;
			UnlockReleaseBuffer(right);
			continue;
		}
		if (removed < 0)
			rmi_corrupt(index, BufferGetBlockNumber(buf), "a block of the leaf is not valid");
		if (removed > 0 || must_sweep(v, BufferGetPage(buf)))
		{
			RmiChange	c;

			if (removed == 0)
				memcpy(w->leaf, BufferGetPage(buf), BLCKSZ);
			rmi_leaf_finish(w->leaf);
			rmi_change_begin(&c, index, v->seen.carrier);
			rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_VACUUM, .gaps = &v->gaps, .image = w->leaf});
			DEBUG_CRASH("rmi-vacuum-record");
			rmi_change_finish(&c);
			DEBUG_CRASH("rmi-vacuum-logged");
			v->stats->tuples_removed += removed;
			usage_index(RelationGetRelid(index))->vacuumed += removed;
		}
		*gone = removed;
		return live;
	}
}

/*
 * Unlink the empty leaf at block, whose low fence is low; false if that is not
 * possible now.  No locks held.
 */
static bool
delete_leaf(RmiVacuum *v, BlockNumber block, KyroFence low)
{
	Relation	index = v->info->index;
	Buffer		lbuf,
				buf,
				rbuf = InvalidBuffer;
	Page		lpage,
				page;
	bool		ok;
	RmiChange	c;

	if (block == RMI_FIRST_LEAF)
		return false;

	/*
	 * The left sibling is the last leaf kept, which only we could delete, or
	 * what it was split into since.
	 */
	lbuf = ReadBuffer(index, v->leaves.items[v->leaves.n - 1].block);
	LockBuffer(lbuf, BUFFER_LOCK_EXCLUSIVE);
	rmi_check_leaf(index, v->index_id, lbuf);
	while (leaf_has_high(BufferGetPage(lbuf)) &&
		   kyro_fence_cmp(low, leaf_high(BufferGetPage(lbuf))) > 0)
	{
		Buffer		next = rmi_lock_right(index, v->index_id, lbuf, BUFFER_LOCK_EXCLUSIVE);

		UnlockReleaseBuffer(lbuf);
		lbuf = next;
	}
	lpage = BufferGetPage(lbuf);
	if (!leaf_has_high(lpage) || leaf_header(lpage)->right != block ||
		kyro_fence_cmp(leaf_high(lpage), low) != 0)
	{
		UnlockReleaseBuffer(lbuf);
		return false;
	}
	buf = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, v->info->strategy);
	if (!ConditionalLockBufferForCleanup(buf))
	{
		ReleaseBuffer(buf);
		UnlockReleaseBuffer(lbuf);
		return false;
	}
	page = BufferGetPage(buf);
	rmi_check_leaf(index, v->index_id, buf);
	ok = kyro_fence_cmp(leaf_low(page), low) == 0 && leaf_count(page) == 0 && !must_sweep(v, page);

	/*
	 * A leaf holds keys or NULLs, never both: the leaf before the NULLs
	 * cannot take over a part of them, only all.
	 */
	if (low.isnull && !leaf_low(lpage).isnull && leaf_has_high(page))
		ok = false;
	if (ok)
	{
		RmiOp		op = {.kind = RMI_OP_SET_RIGHT, .block = leaf_header(page)->right};

		if (leaf_has_high(page))
		{
			op.fence = leaf_high(page);
			rbuf = rmi_lock_right(index, v->index_id, buf, BUFFER_LOCK_EXCLUSIVE);
		}
		else
			op.fence = KYRO_FENCE_MIN;
		rmi_change_begin(&c, index, v->seen.carrier);
		rmi_change_apply(&c, lbuf, &op);
		rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_FREE});
		if (BufferIsValid(rbuf))
			rmi_change_apply(&c, rbuf, &(RmiOp) {.kind = RMI_OP_SET_LEFT,
												 .block = BufferGetBlockNumber(lbuf)});
		DEBUG_CRASH("rmi-unlink-record");
		rmi_change_finish(&c);
		DEBUG_CRASH("rmi-unlink-logged");
		rmi_join_relinked(v->join, lbuf);
		if (BufferIsValid(rbuf))
			UnlockReleaseBuffer(rbuf);
	}
	UnlockReleaseBuffer(buf);
	UnlockReleaseBuffer(lbuf);
	if (ok)
	{
		/* the sweep at the end tells the free space map */
		DEBUG_POINT("rmi-vacuum-unlinked");
		v->stats->pages_deleted++;
		v->stats->pages_newly_deleted++;
		v->changed = true;
	}
	return ok;
}

/* Walk the chain. */
static void
vacuum_chain(RmiVacuum *v)
{
	Relation	index = v->info->index;
	BlockNumber block = RMI_FIRST_LEAF;
	KyroFence	low = KYRO_FENCE_MIN;

	for (;;)
	{
		Buffer		buf;
		Page		page;
		bool		more;
		BlockNumber next;
		KyroFence	next_low = KYRO_FENCE_MIN;
		int			live;
		int			gone;

		kyro_vacuum_delay_point();
		if (!rmi_block_exists(index, block))
			rmi_corrupt(index, block, "a sibling link leads to a block that does not exist");
		buf = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, v->info->strategy);
		LockBufferForCleanup(buf);
		page = BufferGetPage(buf);
		if (!rmi_page_is(page, v->index_id, block, RMI_PAGE_LEAF) || !leaf_header_ok(page) ||
			kyro_fence_cmp(leaf_low(page), low) != 0)
		{
			/*
			 * Not the page that began at our fence when we left its
			 * neighbour. Only VACUUM deletes leaves and there is one at a
			 * time, so it is damage; descending to the fence says where.
			 */
			if (rmi_page_is(page, v->index_id, block, RMI_PAGE_LEAF))
				rmi_check_leaf(index, v->index_id, buf);
			UnlockReleaseBuffer(buf);
			rmi_corrupt(index, block, "the leaf does not begin where its left sibling ends");
		}
		rmi_check_leaf(index, v->index_id, buf);

		live = vacuum_leaf(v, buf, &gone);
		v->stats->num_index_tuples += live;
		more = leaf_has_high(page);
		next = leaf_header(page)->right;
		if (more)
			next_low = leaf_high(page);
		rmi_join_see(v->join, buf, gone);
		UnlockReleaseBuffer(buf);

		if (live > 0)
			DEBUG_POINT("rmi-vacuum-step");
		else
			DEBUG_POINT("rmi-vacuum-emptied");
		if (live > 0 || !delete_leaf(v, block, low))
		{
			rmi_fences_add(&v->leaves, low, block);
			rmi_join_kept(v->join);
		}
		if (!more)
			break;
		if (kyro_fence_cmp(next_low, low) <= 0)
			rmi_corrupt(index, block, "fences do not ascend");
		block = next;
		low = next_low;
	}
}

static int
block_cmp(const void *a, const void *b)
{
	BlockNumber x = *(const BlockNumber *) a;
	BlockNumber y = *(const BlockNumber *) b;

	return x < y ? -1 : x > y;
}

/* May a page that no leaf is be used, or is it a piece of a directory that never came into use? */
static bool
is_free(RmiVacuum *v, Page page, BlockNumber block, const RmiMetaData *meta, bool *stale)
{
	uint8		kind = rmi_trailer(page)->kind;
	uint64		generation;

	*stale = false;
	if (PageIsNew(page))
		return true;
	if (rmi_page_problem(page, v->index_id, block, kind) != NULL)
		return false;
	if (kind == RMI_PAGE_FREE)
		return true;
	memcpy(&generation, PageGetContents(page), sizeof(generation));
	*stale = (kind == RMI_PAGE_DIRECTORY || kind == RMI_PAGE_MODEL || kind == RMI_PAGE_LOG || kind == RMI_PAGE_HISTORY) &&
		generation != meta->generation;
	return *stale;
}

/*
 * Is it a free page that was a leaf, and whose entries have gone to leaves
 * beside it?
 */
static inline bool
is_unswept(RmiVacuum *v, Page page, BlockNumber block)
{
	return !PageIsNew(page) && rmi_page_is(page, v->index_id, block, RMI_PAGE_FREE) &&
		(rmi_trailer(page)->flags & RMI_LEAF_UNSWEPT) != 0;
}

/*
 * Find what belongs to nothing: pages never used after a crash, free pages, and pages of a
 * directory that never came into use.  Holds the rebuild lock, so that no directory is half
 * written meanwhile.
 */
static void
find_free(RmiVacuum *v, FreeList *list)
{
	Relation	index = v->info->index;
	BlockNumber nblocks;
	BlockNumber *leaves = palloc_extended(((Size) v->leaves.n + 1) * sizeof(BlockNumber), MCXT_ALLOC_HUGE);
	uint32		at = 0;
	RmiMetaData meta;

	/* behind the extension lock, every page counted is locked by who made it */
	if (!RELATION_IS_LOCAL(index))
		LockRelationForExtension(index, ExclusiveLock);
	nblocks = RelationGetNumberOfBlocks(index);
	if (!RELATION_IS_LOCAL(index))
		UnlockRelationForExtension(index, ExclusiveLock);

	list->v = v;
	list->n = list->done = 0;
	list->nblocks = nblocks;
	list->blocks = palloc_extended((Size) nblocks * sizeof(BlockNumber), MCXT_ALLOC_HUGE);
	rmi_read_meta(index, &meta);
	for (uint32 i = 0; i < v->leaves.n; i++)
		leaves[i] = v->leaves.items[i].block;
	qsort(leaves, v->leaves.n, sizeof(BlockNumber), block_cmp);

	for (BlockNumber block = RMI_FIRST_LEAF + 1; block < nblocks; block++)
	{
		Buffer		buf;
		Page		page;
		bool		stale;

		while (at < v->leaves.n && leaves[at] < block)
			at++;
		if (at < v->leaves.n && leaves[at] == block)
			continue;
		kyro_vacuum_delay_point();
		buf = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, v->info->strategy);
		page = BufferGetPage(buf);

		/*
		 * VACUUM must release it before it ends; nobody but us marks pages so
		 */
		if (is_unswept(v, page, block))
		{
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
			if (is_unswept(v, page, block))
				rmi_release_page(index, meta.carrier, buf);
		}
		else if (!ConditionalLockBuffer(buf))
		{
			ReleaseBuffer(buf);
			continue;
		}
		if (rmi_carrier_works(meta.carrier) && is_free(v, page, block, &meta, &stale))
		{
			if (stale)
			{
				RmiChange	c;

				rmi_change_begin(&c, index, meta.carrier);
				rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_FREE});
				DEBUG_CRASH("rmi-sweep-record");
				rmi_change_finish(&c);
				DEBUG_CRASH("rmi-sweep-logged");
			}
			list->blocks[list->n++] = block;
		}
		UnlockReleaseBuffer(buf);
	}
	list->all = list->n;
	pfree(leaves);
}

/* Give to the free space map what belongs to nothing. */
static void
record_free(void *arg)
{
	FreeList   *list = (FreeList *) arg;
	RmiVacuum  *v = list->v;

	for (; list->done < list->n; list->done++)
		RecordFreeIndexPage(v->info->index, list->blocks[list->done]);
	v->stats->pages_free = list->n;
}

/*
 * Make use of free pages: if they are many, for leaves at the end of the file, and those at its front for the new
 * directory, so that the end can be cut off.
 */
static void
tidy_free(RmiVacuum *v, const RmiMetaData *meta, FreeList *list)
{
	BlockNumber front = 2 + v->leaves.n + 2 * (meta->dir_pages + meta->model_pages + 2);

	if (rmi_carrier_works(meta->carrier) && rmi_trim_pays(list->nblocks, list->n))
	{
		v->changed |= rmi_move_leaves(v->info->index, v->index_id, meta->carrier, &v->leaves, list->blocks, list->n);
		qsort(list->blocks, list->n, sizeof(BlockNumber), block_cmp);
		while (list->n > 0 && list->blocks[list->n - 1] >= front)
			list->n--;
	}
	rmi_if_space(v->info->index, record_free, list);
	IndexFreeSpaceMapVacuum(v->info->index);
}

static void
vacuum_write(void *arg)
{
	RmiVacuum  *v = (RmiVacuum *) arg;

	rmi_directory_write(v->info->index, &v->leaves, &v->seen,
						&(RmiTraining) {.why = RMI_WHY_VACUUM, .started = v->started, .entries = (uint64) v->stats->num_index_tuples});
	rmi_dir_refresh(v->info->index);
}

static void
vacuum_fold(void *arg)
{
	rmi_maybe_fold((Relation) arg, true, RMI_WHY_VACUUM);
}

IndexBulkDeleteResult *
rmi_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *arg)
{
	RmiVacuum	v = {.info = info, .stats = stats, .callback = callback, .arg = arg, .started = GetCurrentTimestamp()};
	RmiMetaData now;
	FreeList	unused;
	int64		joined;
	MemoryContext cxt,
				old;

	if (v.stats == NULL)
		v.stats = palloc0(sizeof(IndexBulkDeleteResult));
	v.stats->estimated_count = false;
	v.stats->num_index_tuples = 0;

	cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb vacuum", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	rmi_read_meta_for_vacuum(info->index, &v.seen);
	v.index_id = v.seen.index_id;
	rmi_fences_init(&v.leaves);
	rmi_fences_init(&v.made);

	v.join = rmi_join_begin(info->index, v.index_id, v.seen.carrier, info->strategy, &v.leaves);
	vacuum_chain(&v);
	joined = rmi_join_end(v.join);
	v.stats->pages_deleted += joined;
	v.stats->pages_newly_deleted += joined;
	v.changed |= joined > 0;
	DEBUG_POINT("rmi-vacuum-walked");
	/* that it is long is no matter: there will be a new directory in a moment */
	if (v.made.n > 0)
		(void) rmi_log_append(info->index, v.made.items, v.made.n);

	/* a fold holds the lock for a moment, and waits for nothing of ours */
	(void) rmi_rebuild_lock(info->index, true);
	rmi_read_meta(info->index, &now);
	if (now.generation != v.seen.generation && v.changed)
	{
		/* a fold came between and has kept the leaves that we deleted */
		v.leaves.n = 0;
		rmi_fences_from_chain(info->index, v.index_id, &v.leaves);
		v.seen = now;
	}
	DEBUG_POINT_POLL("rmi-vacuum-sweep");
	find_free(&v, &unused);
	tidy_free(&v, &now, &unused);
	if (now.generation == v.seen.generation && rmi_carrier_works(now.carrier) &&
		(v.changed || v.seen.log_entries > 0 ||
		 (now.generation != 0 && rmi_model_read(info->index, &now, true) == NULL)))
		rmi_if_space(info->index, vacuum_write, &v);
	unused.n = unused.all;
	rmi_if_space(info->index, record_free, &unused);
	rmi_rebuild_unlock(info->index);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return v.stats;
}

/*
 * The sweep of a VACUUM that has not walked the chain: only if there are more
 * pages than the meta page knows of.  What folds and rebuilds that failed have
 * left would otherwise stay until rows are deleted.
 */
static void
sweep_leftovers(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	RmiVacuum	v = {.info = info, .stats = stats};
	RmiMetaData meta;
	FreeList	unused;
	MemoryContext cxt,
				old;
	bool		stale;

	if (!rmi_rebuild_lock(info->index, false))
		return;
	rmi_read_meta(info->index, &meta);
	if (rmi_carrier_works(meta.carrier) &&
		RelationGetNumberOfBlocks(info->index) >
		RMI_FIRST_LEAF + (uint64) Max(meta.dir_entries, 1) + meta.dir_pages + meta.model_pages + (meta.history != 0))
	{
		cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb vacuum", ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(cxt);
		v.index_id = meta.index_id;
		rmi_fences_init(&v.leaves);
		/* a leaf that is not in the directory is only looked at in vain */
		if (!rmi_directory_read(info->index, &meta, &v.leaves, &stale))
			v.leaves.n = 0;
		find_free(&v, &unused);
		rmi_if_space(info->index, record_free, &unused);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(cxt);
	}
	rmi_rebuild_unlock(info->index);
}

/*
 * amvacuumcleanup.  Without a bulkdelete before it, it only trains on what has
 * been split since and finds lost pages; counting the entries would mean
 * reading every leaf.
 */
IndexBulkDeleteResult *
rmi_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	RmiMetaData meta;

	if (info->analyze_only)
		return stats;

	if (stats == NULL)
	{
		rmi_read_meta_for_vacuum(info->index, &meta);
		rmi_if_space(info->index, vacuum_fold, info->index);
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->estimated_count = true;
		stats->num_index_tuples = info->num_heap_tuples;
		sweep_leftovers(info, stats);
	}
	else
	{
		rmi_read_meta(info->index, &meta);
		if (!stats->estimated_count && rmi_carrier_works(meta.carrier) && meta.tuples != (uint64) stats->num_index_tuples)
			rmi_meta_set_tuples(info->index, (uint64) stats->num_index_tuples);
	}
	rmi_trim(info->index, meta.index_id);
	IndexFreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);

	/*
	 * Concurrent inserts make the count of entries differ from the heap's;
	 * clip as nbtree does, where both are exact.
	 */
	if (!info->estimated_count && stats->num_index_tuples > info->num_heap_tuples)
		stats->num_index_tuples = info->num_heap_tuples;
	return stats;
}
