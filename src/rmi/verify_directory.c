/*-------------------------------------------------------------------------
 *
 * verify_directory.c
 *	  Is an index sound?  What is not in the chain of leaves.
 *
 * The directory, the model, its history and the split log are only hints, and leaving them
 * unread costs speed alone; but damage to them is damage, and says something
 * about the storage.  They are replaced while this looks at them: what does not
 * agree is reported only if the meta page still names the generation that was
 * looked at, and is looked at again if not.
 *
 * Pages that a crash has left to nobody are no damage; VACUUM finds them.
 *
 * IDENTIFICATION
 *	  src/rmi/verify_directory.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "attempt.h"
#include "model/learned.h"
#include "rmi/directory.h"
#include "rmi/splitlog.h"
#include "rmi/verify.h"

/* How often a look at what is being replaced begins again. */
#define VERIFY_ATTEMPTS	20

typedef struct Hints
{
	RmiVerify  *whole;
	Relation	index;
	RmiMetaData meta;			/* as it was when this look began */
	RmiFenceList leaves;		/* what the directory lists */
	uint32		pages;			/* of the directory */
	int			problems;
} Hints;

#define REPORT(v, block, ...) \
	((v)->problems++, VERIFY_REPORT((v)->whole, (block), __VA_ARGS__))

/* Copy a page.  NULL, or why the server cannot read it. */
static const char *
copy_page(Relation index, BlockNumber block, char *to)
{
	const char *problem = kyro_read_problem(index, block);
	Buffer		buf;

	if (problem != NULL)
		return problem;
	buf = ReadBuffer(index, block);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(to, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
	return NULL;
}

/*
 * The same for a page of the directory, the model or the log.  A problem is to
 * be reported only once.
 */
static const char *
copy_known_page(Hints *v, BlockNumber block, char *to)
{
	const char *problem = copy_page(v->index, block, to);

	if (problem != NULL)
		v->whole->reported = lappend_oid(v->whole->reported, block);
	return problem;
}

/* Is the directory still the one that was looked at? */
static bool
still_current(Hints *v, bool log_too)
{
	RmiMetaData now;

	rmi_read_meta(v->index, &now);
	return now.generation == v->meta.generation &&
		(!log_too || (now.log_entries == v->meta.log_entries && now.log_last == v->meta.log_last));
}

/* Can this be the block of a leaf? */
static bool
may_be_leaf(Hints *v, const RmiDirItem *item)
{
	return item->block != RMI_META_BLOCK && rmi_block_exists(v->index, item->block);
}

/*
 * One page of the directory and those below it; first is what the page above
 * says of it, NULL for the root.  Entries of level 0 are collected.  False: it was
 * replaced.
 */
static bool
verify_level(Hints *v, BlockNumber block, BlockNumber from, uint32 level, const RmiDirItem *first)
{
	Page		copy;
	const RmiDirItem *items;
	const char *problem;
	bool		stale = false;

	CHECK_FOR_INTERRUPTS();
	if (!rmi_block_exists(v->index, block))
	{
		if (!still_current(v, false))
			return false;
		REPORT(v, from, "directory: block %u is past the end of the index", block);
		return true;
	}

	/*
	 * a page of the directory that is met more often than there are pages is
	 * a ring
	 */
	if (v->pages++ >= RelationGetNumberOfBlocks(v->index))
	{
		if (!still_current(v, false))
			return false;
		REPORT(v, block, "directory: pages form a ring");
		return true;
	}
	copy = palloc(BLCKSZ);
	problem = copy_known_page(v, block, copy);
	if (problem == NULL)
		problem = rmi_dir_page_problem(v->index, &v->meta, copy, block, RMI_PAGE_DIRECTORY, level, &stale);
	if (stale)
		return false;
	if (problem != NULL)
	{
		REPORT(v, block, "directory: %s", problem);
		pfree(copy);
		return true;
	}
	items = (const RmiDirItem *) rmi_dir_body(copy);
	if (rmi_dir_header(copy)->count == 0)
		REPORT(v, block, "directory: page has no entries");
	else if (first != NULL && kyro_fence_cmp(rmi_item_fence(first), rmi_item_fence(&items[0])) != 0)
		REPORT(v, block, "directory: page does not begin where block %u says", from);
	for (uint32 i = 0; i < rmi_dir_header(copy)->count; i++)
	{
		if (i > 0 && kyro_fence_cmp(rmi_item_fence(&items[i - 1]), rmi_item_fence(&items[i])) >= 0)
			REPORT(v, block, "directory: entries %u and %u do not ascend", i - 1, i);
		if (level > 0)
		{
			if (!verify_level(v, items[i].block, block, level - 1, &items[i]))
				return false;
		}
		else
		{
			if (!may_be_leaf(v, &items[i]))
				REPORT(v, block, "directory: entry %u names block %u, which cannot be a leaf", i, items[i].block);
			rmi_fences_add(&v->leaves, rmi_item_fence(&items[i]), items[i].block);
		}
	}
	pfree(copy);
	return true;
}

/* The directory that the meta page names.  False: it was replaced. */
static bool
verify_tree(Hints *v)
{
	if (v->meta.generation == 0)
		return true;
	if (v->meta.dir_levels < 1 || v->meta.dir_levels > 8)
	{
		REPORT(v, RMI_META_BLOCK, "directory: number of levels is out of range");
		return true;
	}
	if (!verify_level(v, v->meta.dir_root, RMI_META_BLOCK, v->meta.dir_levels - 1, NULL))
		return false;
	if (v->problems > 0)
		return true;
	if (v->leaves.n != v->meta.dir_entries)
		REPORT(v, RMI_META_BLOCK, "directory has %u entries, not %u", v->leaves.n, v->meta.dir_entries);
	if (v->pages != v->meta.dir_pages)
		REPORT(v, RMI_META_BLOCK, "directory has %u pages, not %u", v->pages, v->meta.dir_pages);
	if (v->leaves.n > 0 &&
		(kyro_fence_cmp(rmi_item_fence(&v->leaves.items[0]), KYRO_FENCE_MIN) != 0 || v->leaves.items[0].block != RMI_FIRST_LEAF))
		REPORT(v, v->meta.dir_root, "directory does not begin with the leftmost leaf");
	for (uint32 i = 1; i < v->leaves.n; i++)
	{
		if (kyro_fence_cmp(rmi_item_fence(&v->leaves.items[i - 1]), rmi_item_fence(&v->leaves.items[i])) >= 0)
			REPORT(v, v->meta.dir_root, "directory: entries %u and %u of all do not ascend", i - 1, i);
	}
	return true;
}

/* The pages of the model, and whether it finds what is in the directory.  False: it was replaced. */
static bool
verify_model(Hints *v)
{
	BlockNumber block = v->meta.model_first;
	BlockNumber from = RMI_META_BLOCK;
	PGAlignedBlock copy;
	Size		got = 0;
	LearnedModel *model;

	if (v->meta.generation == 0 || block == InvalidBlockNumber)
		return true;
	for (uint32 piece = 0; piece < v->meta.model_pages; piece++)
	{
		const char *problem;
		bool		stale = false;

		CHECK_FOR_INTERRUPTS();
		if (block == InvalidBlockNumber || !rmi_block_exists(v->index, block))
		{
			if (!still_current(v, false))
				return false;
			REPORT(v, from, "model: piece %u is missing", piece);
			return true;
		}
		problem = copy_known_page(v, block, copy.data);
		if (problem == NULL)
			problem = rmi_dir_page_problem(v->index, &v->meta, copy.data, block, RMI_PAGE_MODEL, piece, &stale);
		if (stale)
			return false;
		if (problem != NULL)
		{
			REPORT(v, block, "model: %s", problem);
			return true;
		}
		got += rmi_dir_header(copy.data)->count;
		from = block;
		block = rmi_dir_header(copy.data)->next;
	}
	if (got != v->meta.model_bytes)
	{
		REPORT(v, RMI_META_BLOCK, "model has %zu bytes, not %u", got, v->meta.model_bytes);
		return true;
	}

	if (v->problems > 0)
		return true;			/* the list of leaves may be another */
	model = rmi_model_read(v->index, &v->meta, false);
	if (model == NULL || model->nentries > v->leaves.n)
	{
		if (!still_current(v, false))
			return false;
		REPORT(v, v->meta.model_first, "model is damaged");
		return true;
	}
	for (uint32 i = 0; i < model->nentries; i++)
	{
		LearnedWindow w;

		CHECK_FOR_INTERRUPTS();
		/* the promise is about the last entry of a key */
		if (i + 1 < model->nentries && v->leaves.items[i + 1].key == v->leaves.items[i].key)
			continue;
		w = learned_predict(model, v->leaves.items[i].key);
		if (w.lo > i || w.hi < i)
			REPORT(v, v->meta.model_first, "model predicts positions %u to %u for position %u", w.lo, w.hi, i);
	}
	pfree(model);
	return true;
}

/* The history.  False: it was replaced. */
static bool
verify_history(Hints *v)
{
	BlockNumber block = v->meta.history;
	PGAlignedBlock copy;
	const RmiHistoryItem *items = (const RmiHistoryItem *) rmi_dir_body(copy.data);
	const char *problem;
	bool		stale = false;
	uint32		n;

	if (v->meta.generation == 0 || block == 0)
		return true;
	if (!rmi_block_exists(v->index, block))
	{
		if (!still_current(v, false))
			return false;
		REPORT(v, RMI_META_BLOCK, "history: block %u is past the end of the index", block);
		return true;
	}
	problem = copy_known_page(v, block, copy.data);
	if (problem == NULL)
		problem = rmi_dir_page_problem(v->index, &v->meta, copy.data, block, RMI_PAGE_HISTORY, 0, &stale);
	if (stale)
		return false;
	if (problem != NULL)
	{
		REPORT(v, block, "history: %s", problem);
		return true;
	}
	n = rmi_dir_header(copy.data)->count;
	if (items[n - 1].generation != v->meta.generation)
		REPORT(v, block, "history: it does not end with the present model");
	for (uint32 i = 1; i < n; i++)
	{
		if (items[i - 1].number >= items[i].number)
			REPORT(v, block, "history: items %u and %u do not ascend", i - 1, i);
	}
	return true;
}

/* The split log.  False: it, or the directory, has changed meanwhile. */
static bool
verify_log(Hints *v)
{
	BlockNumber block = v->meta.log_first;
	BlockNumber from = RMI_META_BLOCK;
	BlockNumber last = InvalidBlockNumber;
	BlockNumber left = RelationGetNumberOfBlocks(v->index);
	uint32		entries = 0;
	PGAlignedBlock copy;

	while (block != InvalidBlockNumber && left-- > 0)
	{
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if (!rmi_block_exists(v->index, block))
		{
			if (!still_current(v, true))
				return false;
			REPORT(v, from, "split log: block %u is past the end of the index", block);
			return true;
		}
		problem = copy_known_page(v, block, copy.data);
		if (problem == NULL)
			problem = rmi_page_problem(copy.data, v->meta.index_id, block, RMI_PAGE_LOG);
		if (problem == NULL && rmi_log_page_header(copy.data)->generation != v->meta.generation)
			problem = "page is not of this generation";
		if (problem == NULL && rmi_log_page_header(copy.data)->count > RMI_LOG_FANOUT)
			problem = "page has too many entries";
		if (!still_current(v, true))
			return false;
		if (problem != NULL)
		{
			REPORT(v, block, "split log: %s", problem);
			return true;
		}
		for (uint32 i = 0; i < rmi_log_page_count(copy.data); i++)
		{
			if (!may_be_leaf(v, &rmi_log_page_items(copy.data)[i]))
				REPORT(v, block, "split log: entry %u names block %u, which cannot be a leaf",
					   i, rmi_log_page_items(copy.data)[i].block);
		}
		entries += rmi_log_page_count(copy.data);
		from = last = block;
		block = rmi_log_page_header(copy.data)->next;
	}
	if (!still_current(v, true))
		return false;
	if (entries != v->meta.log_entries || last != v->meta.log_last)
		REPORT(v, RMI_META_BLOCK, "split log has %u entries and ends at block %d, not %u and %d",
			   entries, (int) last, v->meta.log_entries, (int) v->meta.log_last);
	return true;
}

void
rmi_verify_directory(RmiVerify *whole)
{
	Hints		v = {.whole = whole, .index = whole->index};
	bool		ok = false;

	rmi_fences_init(&v.leaves);
	for (int attempt = 0; attempt < VERIFY_ATTEMPTS && !ok && v.problems == 0; attempt++)
	{
		rmi_read_meta(v.index, &v.meta);
		v.leaves.n = 0;
		v.pages = 0;
		ok = verify_tree(&v);
		ok = ok && verify_model(&v) && verify_history(&v);
	}

	/*
	 * if writers are too quick for all attempts the log is in use, and that
	 * is a good sign
	 */
	ok = false;
	for (int attempt = 0; attempt < VERIFY_ATTEMPTS && !ok; attempt++)
	{
		rmi_read_meta(v.index, &v.meta);
		ok = verify_log(&v);
	}
	pfree(v.leaves.items);
}

/* ---- pages that are not leaves of the chain ---- */

/*
 * A page says that it is a leaf, and the walk has not met it.  The leaf that
 * owns what comes right before its low fence would be its left sibling: does
 * that lead to it now?
 */
static bool
is_linked(Relation index, BlockNumber block, KyroFence low)
{
	Buffer		buf = rmi_descend(index, low, true, BUFFER_LOCK_SHARE, NULL);
	Page		page = BufferGetPage(buf);
	bool		linked = (leaf_has_high(page) && leaf_header(page)->right == block &&
						  kyro_fence_cmp(leaf_high(page), low) == 0);

	UnlockReleaseBuffer(buf);
	return linked;
}

static const char *
unlinked_problem(Relation index, uint32 index_id, BlockNumber block)
{
	PGAlignedBlock copy;
	const char *problem;

	for (int attempt = 0; attempt < VERIFY_ATTEMPTS; attempt++)
	{
		KyroFence	low;

		problem = copy_page(index, block, copy.data);
		if (problem != NULL)
			return problem;
		if (PageIsNew(copy.data))
			return NULL;
		problem = rmi_page_problem(copy.data, index_id, block, rmi_trailer(copy.data)->kind);
		if (problem != NULL)
			return problem;
		switch (rmi_trailer(copy.data)->kind)
		{
			case RMI_PAGE_DIRECTORY:
			case RMI_PAGE_MODEL:
			case RMI_PAGE_LOG:
			case RMI_PAGE_FREE:
			case RMI_PAGE_HISTORY:
				return NULL;
			case RMI_PAGE_LEAF:
				break;
			default:
				return "page is of no kind that may be there";
		}
		if (!leaf_header_ok(copy.data))
			return "the leaf header is not valid, and the leaf is not in the chain";

		/* made since the walk was there, or deleted since this was read? */
		low = leaf_low(copy.data);
		if (kyro_fence_cmp(low, KYRO_FENCE_MIN) != 0 && is_linked(index, block, low))
			return NULL;
		if (copy_page(index, block, copy.data) != NULL || !rmi_page_is(copy.data, index_id, block, RMI_PAGE_LEAF) || kyro_fence_cmp(leaf_low(copy.data), low) != 0)
			continue;
		return "leaf is not in the chain";
	}
	return NULL;
}

void
rmi_verify_unlinked(RmiVerify *v)
{
	for (BlockNumber block = RMI_META_BLOCK + 1; block < v->nblocks; block++)
	{
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if ((v->seen[block / 8] & (1 << (block % 8))) || list_member_oid(v->reported, block))
			continue;
		problem = unlinked_problem(v->index, v->meta.index_id, block);
		if (problem != NULL)
			VERIFY_REPORT(v, block, "%s", problem);
	}
}
