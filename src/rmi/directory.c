/*-------------------------------------------------------------------------
 *
 * directory.c
 *	  The shared directory of leaves, its model, and how they are replaced.
 *
 * The directory is a small static tree: level 0 lists the leaves by low
 * fence, each higher level the pages of the one below.  It is written whole,
 * bottom up, into fresh pages, and becomes the directory when the meta page
 * is switched to it, by one WAL record.  A crash leaves the old or the new
 * one; the loser's pages carry a generation the meta page does not name, by
 * which VACUUM finds and frees them.  The trained model is a chain of pages
 * written beside it, and so is a page of where models came from (history.c).
 *
 * Locks: one rebuild at a time, by the heavyweight page lock on the meta
 * block.  Readers take no lock but the page's own and check the generation
 * on each page; when it is not the one they came for, they start again from
 * the meta page.  The split log is changed under an exclusive lock on the
 * meta page; order: meta page, then log pages.
 *
 * IDENTIFICATION
 *	  src/rmi/directory.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "model/learned.h"
#include "rmi/chain.h"
#include "rmi/directory.h"
#include "rmi/splitlog.h"
#include "rmi/work.h"
#include "usage/usage.h"

/* ---- pages of the directory, the model and the history ---- */

static void
dir_warn(Relation index, BlockNumber block, const char *what, const char *problem)
{
	ereport(WARNING,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("the %s of index \"%s\" is damaged at block %u and will not be used",
					what, RelationGetRelationName(index), block),
			 errdetail("%s.", problem),
			 errhint("Answers stay right but take longer; kyro.rebuild() writes a new one.")));
}

/* Mark a page free if it still is what it was, and tell the free space map. */
static void
free_if(Relation index, const RmiMetaData *meta, BlockNumber block, RmiPageKind kind)
{
	Buffer		buf;
	Page		page;
	uint64		gen;

	if (!rmi_block_exists(index, block))
		return;
	buf = ReadBuffer(index, block);
	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buf);
	if (rmi_page_is(page, meta->index_id, block, kind))
	{
		/* both headers begin with the generation */
		memcpy(&gen, PageGetContents(page), sizeof(gen));
		if (gen == meta->generation)
		{
			RmiChange	c;

			rmi_change_begin(&c, index, meta->carrier);
			rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_FREE});
			rmi_change_finish(&c);
			DEBUG_CRASH("rmi-dir-free");
			UnlockReleaseBuffer(buf);
			RecordFreeIndexPage(index, block);
			return;
		}
	}
	UnlockReleaseBuffer(buf);
}

/*
 * Collect the blocks of a directory below (and with) one page.  Stops quietly at
 * damage: what is not found now, VACUUM finds by its generation.
 */
static void
dir_collect(Relation index, const RmiMetaData *meta, BlockNumber block, uint32 level,
			BlockNumber *blocks, uint32 *n, uint32 max)
{
	Buffer		buf;
	Page		copy;
	bool		sound;

	if (*n >= max || !rmi_block_exists(index, block))
		return;
	CHECK_FOR_INTERRUPTS();
	blocks[(*n)++] = block;
	if (level == 0)
		return;
	copy = palloc(BLCKSZ);
	buf = ReadBuffer(index, block);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(copy, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
	sound = rmi_page_is(copy, meta->index_id, block, RMI_PAGE_DIRECTORY) &&
		rmi_dir_header(copy)->generation == meta->generation &&
		rmi_dir_header(copy)->level == level;
	if (sound)
	{
		uint32		count = Min(rmi_dir_header(copy)->count, (uint32) RMI_DIR_FANOUT);
		const RmiDirItem *it = (const RmiDirItem *) rmi_dir_body(copy);

		for (uint32 i = 0; i < count; i++)
			dir_collect(index, meta, it[i].block, level - 1, blocks, n, max);
	}
	pfree(copy);
}

/* Give back the pages of a directory that is no longer in use. */
static void
directory_free(Relation index, const RmiMetaData *old)
{
	if (old->generation != 0 && old->dir_pages > 0)
	{
		/* the meta page may say anything */
		uint32		max = Min(old->dir_pages, RelationGetNumberOfBlocks(index));
		BlockNumber *blocks = palloc_extended(max * sizeof(BlockNumber), MCXT_ALLOC_HUGE);
		uint32		n = 0;

		if (old->dir_levels >= 1 && old->dir_levels <= 8)
			dir_collect(index, old, old->dir_root, old->dir_levels - 1, blocks, &n, max);
		for (uint32 i = 0; i < n; i++)
			free_if(index, old, blocks[i], RMI_PAGE_DIRECTORY);
		pfree(blocks);
	}

	for (int pass = 0; pass < 2; pass++)
	{
		RmiPageKind kind = pass == 0 ? RMI_PAGE_MODEL : RMI_PAGE_LOG;
		BlockNumber block = pass == 0 ? old->model_first : old->log_first;
		uint32		left = pass == 0 ? old->model_pages : old->log_entries / RMI_LOG_FANOUT + 1;

		while (left-- > 0 && block != InvalidBlockNumber && rmi_block_exists(index, block))
		{
			Buffer		buf = ReadBuffer(index, block);
			Page		page = BufferGetPage(buf);
			BlockNumber next = InvalidBlockNumber;

			LockBuffer(buf, BUFFER_LOCK_SHARE);
			if (rmi_page_is(page, old->index_id, block, kind))
				next = kind == RMI_PAGE_MODEL ? rmi_dir_header(page)->next :
					rmi_log_page_header(page)->next;
			UnlockReleaseBuffer(buf);
			free_if(index, old, block, kind);
			block = next;
		}
	}
	if (old->history != 0)
		free_if(index, old, old->history, RMI_PAGE_HISTORY);
}

/*
 * Train on the low keys of leaves.  That of the leftmost leaf is the lowest
 * of all integers, far from where its entries are; no line should have to
 * reach there.  The second leaf's key does as well for it: what lies below
 * that is predicted to be at the first leaf in any case.
 */
void
rmi_train_leaves(LearnedModel *model, int64 *keys, Size stride, uint32 n, uint64 generation)
{
	int64		lowest = keys[0];

	if (n > 1)
		keys[0] = *(int64 *) ((char *) keys + stride);
	learned_train(model, keys, stride, n, generation);
	keys[0] = lowest;
}

/*
 * Write the tree over the leaves of the list, level by level; each level from
 * right to left, so that next is known.  Sets what meta says of it.
 */
static void
write_tree(Relation index, const RmiFenceList *list, const RmiMetaData *seen, RmiMetaData *meta)
{
	RmiDirItem *items = list->items;
	uint32		n = list->n;

	meta->dir_pages = meta->dir_levels = 0;
	for (;;)
	{
		uint32		pages = (n + RMI_DIR_FANOUT - 1) / RMI_DIR_FANOUT;
		RmiDirItem *up = palloc_extended((Size) pages * sizeof(RmiDirItem), MCXT_ALLOC_HUGE);
		BlockNumber next = InvalidBlockNumber;

		for (uint32 p = pages; p-- > 0;)
		{
			uint32		first = p * RMI_DIR_FANOUT;
			uint32		count = Min(n - first, (uint32) RMI_DIR_FANOUT);

			CHECK_FOR_INTERRUPTS();
			next = rmi_dir_page_put(index, seen, RMI_PAGE_DIRECTORY, meta->generation, meta->dir_levels,
									count, next, &items[first], count * sizeof(RmiDirItem));
			up[p] = items[first];
			up[p].block = next;
		}
		meta->dir_pages += pages;
		meta->dir_levels++;
		if (items != list->items)
			pfree(items);
		items = up;
		n = pages;
		meta->dir_root = next;
		if (pages == 1)
			break;
	}
	pfree(items);
}

uint32
rmi_directory_keys(const RmiFenceList *list)
{
	uint32		n = list->n;

	while (n > 0 && (list->items[n - 1].tid & RMI_ITEM_NULL))
		n--;
	return n;
}

/* The model of a new directory: the one given, or one trained on the keys of the list. */
static LearnedModel *
make_model(RmiFenceList *list, const RmiTraining *training, RmiMetaData *meta)
{
	LearnedModel *model;

	meta->dir_keys = rmi_directory_keys(list);
	if (training->model != NULL)
	{
		Assert(training->model->nentries == meta->dir_keys);
		model = palloc_extended(training->model->bytes, MCXT_ALLOC_HUGE);
		memcpy(model, training->model, training->model->bytes);
		model->generation = meta->generation;
		learned_close(model);
	}
	else
	{
		model = palloc_extended(learned_bytes(meta->dir_keys), MCXT_ALLOC_HUGE);
		rmi_train_leaves(model, &list->items[0].key, sizeof(RmiDirItem), meta->dir_keys, meta->generation);
	}
	return model;
}

/* Write the model.  Sets what meta says of it. */
static void
write_model(Relation index, const LearnedModel *model, const RmiMetaData *seen, RmiMetaData *meta)
{
	meta->model_bytes = model->bytes;
	meta->model_pages = (model->bytes + RMI_DIR_SPACE - 1) / RMI_DIR_SPACE;
	meta->model_first = InvalidBlockNumber;
	for (uint32 p = meta->model_pages; p-- > 0;)
	{
		Size		first = (Size) p * RMI_DIR_SPACE;
		Size		bytes = Min(meta->model_bytes - first, RMI_DIR_SPACE);

		meta->model_first = rmi_dir_page_put(index, seen, RMI_PAGE_MODEL, meta->generation, p,
											 bytes, meta->model_first, (const char *) model + first, bytes);
	}
}

/* Write the history with this model in it.  Sets what meta says of it. */
static void
write_history(Relation index, const LearnedModel *model, const RmiMetaData *seen, const RmiTraining *training,
			  uint32 leaves, RmiMetaData *meta)
{
	RmiHistoryItem *items = palloc(RMI_HISTORY_MAX * sizeof(RmiHistoryItem));
	uint32		n;

	meta->trained_at = GetCurrentTimestamp();
	n = rmi_history_add(index, seen, training, model, leaves, meta->trained_at, items);
	meta->history = rmi_dir_page_put(index, seen, RMI_PAGE_HISTORY, meta->generation, 0, n, InvalidBlockNumber,
									 items, n * sizeof(RmiHistoryItem));
	pfree(items);
}

/* Begin the split log of a new directory with these leaves.  The meta page is locked. */
static void
write_log(Relation index, const RmiFenceList *late, RmiMetaData *meta)
{
	meta->log_first = meta->log_last = InvalidBlockNumber;
	meta->log_entries = late->n;
	for (uint32 end = late->n; end > 0;)
	{
		uint32		first = (end - 1) / RMI_LOG_FANOUT * RMI_LOG_FANOUT;

		meta->log_first = rmi_log_put(index, meta, meta->generation, meta->log_first,
									  &late->items[first], end - first);
		if (meta->log_last == InvalidBlockNumber)
			meta->log_last = meta->log_first;
		end = first;
	}
}

/* Of RmiWhy. */
static const UsageTraining reasons[] = {
	[RMI_WHY_BUILD] = USAGE_TRAINING_BUILD,
	[RMI_WHY_REINDEX] = USAGE_TRAINING_BUILD,
	[RMI_WHY_REBUILD] = USAGE_TRAINING_REBUILD,
	[RMI_WHY_AUTOPILOT] = USAGE_TRAINING_AUTOPILOT,
	[RMI_WHY_IMPORT] = USAGE_TRAINING_IMPORT,
	[RMI_WHY_VACUUM] = USAGE_TRAINING_VACUUM,
	[RMI_WHY_FOLD] = USAGE_TRAINING_INSERT
};

void
rmi_directory_write(Relation index, RmiFenceList *list, const RmiMetaData *seen, const RmiTraining *training)
{
	RmiMetaData new = *seen;
	LearnedModel *model;
	Buffer		metabuf;
	RmiMetaData old,
				meta;
	RmiFenceList late;
	RmiChange	c;

	Assert(list->n > 0);
	DEBUG_POINT_POLL("rmi-dir-begin");
	do
	{
		new.generation = pg_prng_uint64(&pg_global_prng_state);
	} while (new.generation == 0);
	write_tree(index, list, seen, &new);
	DEBUG_POINT_POLL("rmi-dir-tree");
	model = make_model(list, training, &new);
	write_model(index, model, seen, &new);
	write_history(index, model, seen, training, list->n, &new);
	pfree(model);
	DEBUG_POINT_POLL("rmi-dir-model");

	/*
	 * Switch.  With the meta page locked the split log stands still; splits
	 * logged since the caller looked begin the new log.
	 */
	rmi_fences_init(&late);
	metabuf = rmi_lock_meta(index, &old);
	if (old.generation == seen->generation && old.log_entries > seen->log_entries)
		rmi_log_read(index, &old, seen->log_entries, &late);

	meta = old;
	meta.generation = new.generation;
	meta.dir_root = new.dir_root;
	meta.dir_levels = new.dir_levels;
	meta.dir_entries = list->n;
	meta.dir_keys = new.dir_keys;
	meta.dir_pages = new.dir_pages;
	meta.model_first = new.model_first;
	meta.model_pages = new.model_pages;
	meta.model_bytes = new.model_bytes;
	write_log(index, &late, &meta);
	meta.history = new.history;
	meta.trained_at = new.trained_at;
	meta.rebuilds++;
	rmi_change_begin(&c, index, meta.carrier);
	rmi_change_apply(&c, metabuf, &(RmiOp) {.kind = RMI_OP_META, .meta = &meta});
	DEBUG_CRASH("rmi-dir-switch-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-dir-switch-logged");
	UnlockReleaseBuffer(metabuf);
	pfree(late.items);
	usage_trained(RelationGetRelid(index), reasons[training->why], list->n, GetCurrentTimestamp() - training->started);
	DEBUG_POINT_POLL("rmi-dir-switched");

	/* the map is searched from its root, which lone pages do not reach */
	directory_free(index, &old);
	DEBUG_POINT_POLL("rmi-dir-freed");
	IndexFreeSpaceMapVacuum(index);
}

/* Read level 0 below one page into list; false on damage or replacement. */
static bool
dir_read_level(Relation index, const RmiMetaData *meta, BlockNumber block, uint32 level,
			   RmiFenceList *list, bool *stale)
{
	Buffer		buf;
	Page		copy;
	const char *problem;
	bool		ok = true;

	CHECK_FOR_INTERRUPTS();
	*stale = false;
	if (!rmi_block_exists(index, block))
	{
		dir_warn(index, block, "directory", "block does not exist");
		return false;
	}
	copy = palloc(BLCKSZ);
	buf = ReadBuffer(index, block);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(copy, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
	problem = rmi_dir_page_problem(index, meta, copy, block, RMI_PAGE_DIRECTORY, level, stale);
	if (problem != NULL)
	{
		if (!*stale)
			dir_warn(index, block, "directory", problem);
		ok = false;
	}
	else
	{
		const RmiDirItem *it = (const RmiDirItem *) rmi_dir_body(copy);
		uint32		count = rmi_dir_header(copy)->count;

		for (uint32 i = 0; i < count && ok; i++)
		{
			if (level > 0)
				ok = dir_read_level(index, meta, it[i].block, level - 1, list, stale);
			else if (list->n < meta->dir_entries)
				rmi_fences_add(list, rmi_item_fence(&it[i]), it[i].block);
			else
			{
				/*
				 * pages that lead to one another again and again would not
				 * end
				 */
				dir_warn(index, block, "directory", "number of entries does not match");
				ok = false;
			}
		}
	}
	pfree(copy);
	return ok;
}

bool
rmi_directory_read(Relation index, const RmiMetaData *meta, RmiFenceList *list, bool *stale)
{
	*stale = false;
	if (meta->generation == 0)
	{
		rmi_fences_add(list, KYRO_FENCE_MIN, RMI_FIRST_LEAF);
		return true;
	}
	if (meta->dir_levels < 1 || meta->dir_levels > 8)
	{
		dir_warn(index, RMI_META_BLOCK, "directory", "number of levels is out of range");
		return false;
	}
	/* each is a page of the index */
	if (meta->dir_entries > RelationGetNumberOfBlocks(index))
	{
		dir_warn(index, RMI_META_BLOCK, "directory", "number of entries is out of range");
		return false;
	}
	if (!dir_read_level(index, meta, meta->dir_root, meta->dir_levels - 1, list, stale))
		return false;
	if (list->n != meta->dir_entries || list->n == 0)
	{
		dir_warn(index, meta->dir_root, "directory", "number of entries does not match");
		return false;
	}
	return true;
}

LearnedModel *
rmi_model_read(Relation index, const RmiMetaData *meta, bool warn)
{
	char	   *bytes;
	Size		got = 0;
	BlockNumber block = meta->model_first;
	const char *problem = NULL;
	bool		stale = false;

	if (meta->generation == 0 || meta->model_first == InvalidBlockNumber)
		return NULL;
	if (meta->model_bytes > (Size) meta->model_pages * RMI_DIR_SPACE ||
		meta->model_bytes < sizeof(LearnedModel) ||
		meta->model_bytes > learned_bytes_max(meta->dir_entries))
	{
		if (warn)
			dir_warn(index, RMI_META_BLOCK, "model", "its size is out of range");
		return NULL;
	}

	bytes = palloc_extended(meta->model_bytes, MCXT_ALLOC_HUGE);
	for (uint32 piece = 0; got < meta->model_bytes && problem == NULL; piece++)
	{
		Buffer		buf;
		Page		page;

		if (block == InvalidBlockNumber || !rmi_block_exists(index, block))
		{
			problem = "a piece is missing";
			break;
		}
		CHECK_FOR_INTERRUPTS();
		buf = ReadBuffer(index, block);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = palloc(BLCKSZ);
		memcpy(page, BufferGetPage(buf), BLCKSZ);
		UnlockReleaseBuffer(buf);
		problem = rmi_dir_page_problem(index, meta, page, block, RMI_PAGE_MODEL, piece, &stale);
		if (problem == NULL)
		{
			Size		n = rmi_dir_header(page)->count;

			if (n == 0 || got + n > meta->model_bytes)
				problem = "a piece has the wrong size";
			else
			{
				memcpy(bytes + got, rmi_dir_body(page), n);
				got += n;
				block = rmi_dir_header(page)->next;
			}
		}
		pfree(page);
	}
	if (problem == NULL)
		problem = learned_check(bytes, got);
	if (problem == NULL &&
		(((LearnedModel *) bytes)->generation != meta->generation ||
		 ((LearnedModel *) bytes)->nentries != meta->dir_keys))
		problem = "it belongs to another directory";
	if (problem != NULL)
	{
		if (!stale && warn)
			dir_warn(index, block == InvalidBlockNumber ? meta->model_first : block,
					 "model", problem);
		pfree(bytes);
		return NULL;
	}
	return (LearnedModel *) bytes;
}

/*
 * Find a landing in the shared pages, without a copy: one page per level.
 * False if that did not work, for whatever reason.
 */
bool
rmi_directory_probe(Relation index, const RmiMetaData *meta, KyroFence target, bool strictly,
					RmiLanding *landing)
{
	BlockNumber block = meta->dir_root;
	RmiDirItem	found;

	if (meta->generation == 0 || meta->dir_levels < 1 || meta->dir_levels > 8)
		return false;
	for (uint32 level = meta->dir_levels; level-- > 0;)
	{
		Buffer		buf;
		Page		page;
		const RmiDirItem *it;
		uint32		lo,
					hi;

		if (!rmi_block_exists(index, block))
			return false;
		buf = ReadBuffer(index, block);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		if (!rmi_page_is(page, meta->index_id, block, RMI_PAGE_DIRECTORY) ||
			rmi_dir_header(page)->generation != meta->generation ||
			rmi_dir_header(page)->level != level ||
			rmi_dir_header(page)->count == 0 ||
			rmi_dir_header(page)->count > RMI_DIR_FANOUT)
		{
			UnlockReleaseBuffer(buf);
			return false;
		}
		it = (const RmiDirItem *) rmi_dir_body(page);
		lo = 0;					/* last entry <= target lies in lo .. hi - 1 */
		hi = rmi_dir_header(page)->count;
		while (hi - lo > 1)
		{
			uint32		mid = lo + (hi - lo) / 2;

			if (kyro_fence_cmp(rmi_item_fence(&it[mid]), target) < (strictly ? 0 : 1))
				lo = mid;
			else
				hi = mid;
		}
		found = it[lo];
		UnlockReleaseBuffer(buf);
		block = found.block;
	}
	/* a damaged page may say anything; a retreat must get somewhere */
	if (kyro_fence_cmp(rmi_item_fence(&found), target) >= (strictly ? 0 : 1))
		return false;
	landing->block = block;
	landing->recent = InvalidBuffer;
	landing->slot = landing->overlay = -1;
	landing->low = rmi_item_fence(&found);
	return true;
}
