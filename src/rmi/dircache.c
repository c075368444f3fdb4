/*-------------------------------------------------------------------------
 *
 * dircache.c
 *	  A backend's own view of an index's directory.
 *
 * What a directory says never lies, it only lags (README, I2), so a backend
 * may keep a copy for as long as it likes.  The copy is an array of fences
 * with the block and the buffer last seen for each, the model that predicts
 * positions in it, and a small sorted overlay of leaves learned since.  When
 * the overlay is full it is merged into the array and the model trained
 * again, here, from what is at hand.
 *
 * If it can be, the array and the model are shared with all other sessions
 * (dirshare.c), and only the overlay is the backend's own.  A shared copy is
 * pinned from its first use in a transaction to the transaction's end.
 *
 * The first few lookups go through the pages of the directory; the copy is
 * made when an index turns out to be used.  What is known of indexes lives in a
 * hash table of our own keyed by the index's file, in a context of our own,
 * because the relation cache may drop what hangs on it at any invalidation.
 * Its total is bounded by kyro.directory_cache; the least recently used
 * ones go first, and an index whose directory alone is above the bound is
 * always read through the pages, unless there is a shared copy.  What is kept of
 * an index without a copy counts as well: nothing tells us that an index was dropped.
 *
 * IDENTIFICATION
 *	  src/rmi/dircache.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "lib/ilist.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "debug_point.h"
#include "guc.h"
#include "model/learned.h"
#include "rmi/directory.h"
#include "rmi/dirshare.h"
#include "rmi/splitlog.h"
#include "usage/usage.h"

/*
 * Lookups through the directory's pages before a copy is made.  Each of them takes
 * 1 to 2 us more than one in the copy, and the copy costs 0.1 us per leaf.
 * After this many the two costs are equal, so nobody pays more than twice
 * the least: no session, or if the copy will be shared, all of them together.
 */
#define RMI_PAGE_PROBES(entries)	Max(4, (entries) / 16)

#define RMI_OVERLAY_MIN		32
#define RMI_OVERLAY_MAX		1024

/* What an index costs without a copy: its entry and an empty context. */
#define RMI_ENTRY_BYTES		(sizeof(RmiDir) + ALLOCSET_SMALL_INITSIZE)

/* So much may be kept whatever the setting, or each lookup would read a meta page. */
#define RMI_ENTRIES_MIN		((Size) 1024 * 1024)

typedef struct RmiOverlayEntry
{
	KyroFence	low;
	BlockNumber block;
	Buffer		recent;
} RmiOverlayEntry;

struct RmiDir
{
	KyroLocator locator;		/* hash key */
	Oid			relid;			/* of the index; numbers of files are used
								 * again */
	MemoryContext cxt;
	RmiMetaData meta;			/* as last read */
	LeafShape	shape;			/* of the leaf last found */
	dlist_node	by_use;
	Size		bytes;			/* of an own copy, and of the overlay */

	uint32		probes;			/* lookups without a copy */
	bool		loaded;			/* there is a copy */
	bool		too_big;
	bool		damaged;		/* what was read for the copy: it is not for
								 * others */
	bool		loading;		/* a copy is being made: do not start another */
	bool		settled;		/* a lookup has nothing to see to first: a
								 * copy, */
	bool		want_merge;		/* merging the overlay, as was noticed while
								 * pages were locked, or */
	uint32		news;			/* shared copies that came since this number */

	bool		shared;			/* the copy is in shared memory, */
	bool		pinned;			/* and stays until it is unpinned */
	RmiSharePin pin;
	dlist_node	by_pin;			/* in dirs_pinned, if so */
	RmiDirCopy	c;

	uint32		log_seen;		/* split log entries taken in, by the copy or
								 * by the overlay */
	RmiOverlayEntry *over;
	uint32		nover;
	uint32		over_size;		/* allocated */
};

static HTAB *dirs = NULL;
static MemoryContext dirs_cxt = NULL;
static dlist_head dirs_by_use = DLIST_STATIC_INIT(dirs_by_use); /* the one used last
																 * comes first */
static Size dirs_bytes = 0;		/* of all entries and copies */
static RmiDir *dir_last = NULL; /* the one used last, in this transaction if
								 * it may have to be pinned */
static dlist_head dirs_pinned = DLIST_STATIC_INIT(dirs_pinned);

static inline bool
same_locator(KyroLocator a, KyroLocator b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static inline bool
dir_is_of(const RmiDir *dir, Relation index)
{
	return dir->relid == RelationGetRelid(index) &&
		same_locator(dir->locator, kyro_locator(index));
}

/* Note that the shared copy is pinned. */
static void
dir_note_pinned(RmiDir *dir)
{
	dir->pinned = true;
	dlist_push_head(&dirs_pinned, &dir->by_pin);
}

static void
dir_unpin(RmiDir *dir)
{
	if (dir->pinned)
	{
		dlist_delete(&dir->by_pin);
		dir->pinned = false;
		rmi_share_unpin(&dir->pin);
	}
}

/* Nobody holds on to a shared copy when a transaction has ended. */
static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			while (!dlist_is_empty(&dirs_pinned))
				dir_unpin(dlist_head_element(RmiDir, by_pin, &dirs_pinned));
			dir_last = NULL;
			break;
		default:
			break;
	}
}

static void
dir_drop(RmiDir *dir)
{
	if (dir_last == dir)
		dir_last = NULL;
	dir_unpin(dir);
	dirs_bytes -= RMI_ENTRY_BYTES + dir->bytes;
	dlist_delete(&dir->by_use);
	MemoryContextDelete(dir->cxt);
	(void) hash_search(dirs, &dir->locator, HASH_REMOVE, NULL);
}

void
rmi_dir_forget(Relation index)
{
	RmiDir	   *dir;

	rmi_blocks_forget();
	if (dirs == NULL)
		return;
	dir = hash_search(dirs, &kyro_locator(index), HASH_FIND, NULL);
	if (dir != NULL)
		dir_drop(dir);
}

static void
dir_set_bytes(RmiDir *dir, Size bytes)
{
	dirs_bytes += bytes;
	dirs_bytes -= dir->bytes;
	dir->bytes = bytes;
}

/* Forget the copy and the overlay, keep the entry. */
static void
dir_reset(RmiDir *dir)
{
	dir_unpin(dir);
	MemoryContextReset(dir->cxt);
	dir_set_bytes(dir, 0);
	dir->probes = 0;
	dir->loaded = false;
	dir->too_big = false;
	dir->damaged = false;
	dir->settled = false;
	dir->want_merge = false;
	dir->shared = false;
	memset(&dir->c, 0, sizeof(dir->c));
	dir->log_seen = 0;
	dir->over = NULL;
	dir->nover = dir->over_size = 0;
}

/*
 * Drop what was not used for longest until there is room for so many bytes, or
 * nothing is left that may be dropped.  `keep`, which may be NULL, stays.
 */
static void
dir_drop_oldest(const RmiDir *keep, Size bytes, Size limit)
{
	dlist_node *node = dlist_is_empty(&dirs_by_use) ? NULL : dlist_tail_node(&dirs_by_use);

	while (node != NULL && dirs_bytes + bytes > limit)
	{
		RmiDir	   *dir = dlist_container(RmiDir, by_use, node);

		node = dlist_has_prev(&dirs_by_use, node) ? dlist_prev_node(&dirs_by_use, node) : NULL;
		if (dir != keep && !dir->loading)
			dir_drop(dir);
	}
}

/* Make room for a copy of so many bytes in all; false if it can never fit. */
static bool
dir_make_room(RmiDir *keep, Size bytes)
{
	Size		limit = (Size) kyro_directory_cache * 1024;

	if (bytes > limit)
		return false;
	if (bytes > keep->bytes)
		dir_drop_oldest(keep, bytes - keep->bytes, limit);
	return true;
}

RmiDir *
rmi_dir(Relation index)
{
	RmiDir	   *dir = dir_last;
	RmiMetaData meta;
	bool		found;

	if (likely(dir != NULL && dir_is_of(dir, index)))
		return dir;

	if (dirs == NULL)
	{
		HASHCTL		ctl;

		if (rmi_share_enabled())
			RegisterXactCallback(at_xact_end, NULL);
		dirs_cxt = AllocSetContextCreate(TopMemoryContext, "kyrodb directories",
										 ALLOCSET_SMALL_SIZES);
		ctl.keysize = sizeof(KyroLocator);
		ctl.entrysize = sizeof(RmiDir);
		ctl.hcxt = dirs_cxt;
		dirs = hash_create("kyrodb directories", 16, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	dir = hash_search(dirs, &kyro_locator(index), HASH_FIND, NULL);
	if (unlikely(dir != NULL && dir->relid != RelationGetRelid(index)))
	{
		/* of an index that was dropped; its blocks need not exist */
		dir_drop(dir);
		dir = NULL;
	}
	if (dir == NULL)
	{
		MemoryContext cxt;

		/* what may fail comes first, so that no half-made entry stays */
		rmi_read_meta(index, &meta);
		dir_drop_oldest(NULL, RMI_ENTRY_BYTES, Max((Size) kyro_directory_cache * 1024, RMI_ENTRIES_MIN));
		cxt = AllocSetContextCreate(dirs_cxt, "kyrodb directory", ALLOCSET_SMALL_SIZES);
		dir = hash_search(dirs, &kyro_locator(index), HASH_ENTER, &found);
		memset((char *) dir + sizeof(dir->locator), 0, sizeof(*dir) - sizeof(dir->locator));
		dir->cxt = cxt;
		dir->relid = RelationGetRelid(index);
		dir->meta = meta;
		dlist_push_head(&dirs_by_use, &dir->by_use);
		dirs_bytes += RMI_ENTRY_BYTES;
	}
	dlist_move_head(&dirs_by_use, &dir->by_use);
	if (dir->shared && !dir->pinned)
	{
		/* first used in this transaction */
		if (kyro_directory_cache > 0 && rmi_share_pin(&dir->pin))
			dir_note_pinned(dir);
		else
			dir_reset(dir);
	}
	if (!dir->shared && dir->news != rmi_share_news())
		dir->settled = false;
	dir_last = dir;
	return dir;
}

uint32
rmi_dir_index_id(RmiDir *dir)
{
	return dir->meta.index_id;
}

RmiCarrier
rmi_dir_carrier(RmiDir *dir)
{
	return (RmiCarrier) dir->meta.carrier;
}

LeafShape *
rmi_dir_shape(RmiDir *dir)
{
	return &dir->shape;
}

/* ---- the copy ---- */

/* May this process use a shared copy for the index? */
static bool
may_share(Relation index)
{
	return rmi_share_enabled() && kyro_directory_cache > 0 &&
		index->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
	/* others do not see the file before the commit */
		index->rd_createSubid == InvalidSubTransactionId &&
		kyro_new_file_subid(index) == InvalidSubTransactionId;
}

/* May it give its own to others?  Not a parallel worker: it does not know what is not committed. */
static bool
may_give(Relation index)
{
	return may_share(index) && !IsParallelWorker();
}

static RmiShareId
share_id(Relation index, const RmiMetaData *meta)
{
	RmiShareId	id;

	id.relid = RelationGetRelid(index);
	id.locator = kyro_locator(index);
	id.index_id = meta->index_id;
	id.generation = meta->generation;
	id.number = meta->rebuilds;
	return id;
}

/* Go over to a shared copy, which has been pinned. */
static void
dir_attach(RmiDir *dir, const RmiSharePin *pin, const RmiDirCopy *copy)
{
	dir_reset(dir);
	dir->c = *copy;
	dir->log_seen = copy->log_seen;
	dir->loaded = dir->shared = true;
	dir->pin = *pin;
	dir_note_pinned(dir);
}

/*
 * Go over to the shared copy of the directory that dir->meta describes, unless what
 * this backend has knows more splits.  Returns what there is.
 */
static RmiShareFound
dir_find_shared(Relation index, RmiDir *dir)
{
	RmiShareId	id = share_id(index, &dir->meta);
	RmiSharePin pin;
	RmiDirCopy	copy;
	RmiShareFound found = rmi_share_find(&id, &pin, &copy);

	if (found == RMI_SHARE_SAME)
	{
		if (!dir->loaded || dir->log_seen < copy.log_seen)
			dir_attach(dir, &pin, &copy);
		else
			rmi_share_unpin(&pin);
	}
	return found;
}

/* Share the copy that this backend has made.  It stays its own if there is no room. */
static void
dir_share(Relation index, RmiDir *dir)
{
	RmiShareId	id = share_id(index, &dir->meta);
	RmiSharePin pin;
	RmiDirCopy	copy = dir->c;

	if (!dir->damaged && may_give(index) && rmi_share_put(&id, &copy, &pin))
		dir_attach(dir, &pin, &copy);
}

/* Read the meta page again.  If there is another directory now, forget what is known of the old one; returns whether. */
static bool
dir_read_meta(Relation index, RmiDir *dir)
{
	RmiMetaData meta;
	bool		other;

	rmi_read_meta(index, &meta);
	other = meta.generation != dir->meta.generation || meta.index_id != dir->meta.index_id;
	if (other)
	{
		dir_reset(dir);
		rmi_blocks_forget();
	}
	dir->meta = meta;
	return other;
}

/* Copies have come or gone since this backend has looked, which has none or one of its own. */
static void
dir_hear_news(Relation index, RmiDir *dir)
{
	dir->news = rmi_share_news();
	if (dir->too_big)
	{
		/* there may be room now, after as many look-ups as are worth a copy */
		dir->too_big = false;
		dir->probes = 0;
	}
	if (dir_find_shared(index, dir) == RMI_SHARE_OTHER)
	{
		/* so one of the two has been replaced */
		(void) dir_read_meta(index, dir);
		(void) dir_find_shared(index, dir);
	}
	if (dir->loaded && !dir->shared)
		dir_share(index, dir);
}

/* Make the arrays from an ascending list; train a model unless given one. */
static void
dir_install(RmiDir *dir, const RmiFenceList *list, const LearnedModel *model)
{
	MemoryContext old = MemoryContextSwitchTo(dir->cxt);
	bool		need_tids = false;
	Size		model_bytes;
	Size		bytes;

	dir->c.n = list->n;
	dir->c.nkeys = list->n;
	dir->c.e = palloc_extended((Size) list->n * sizeof(RmiDirEntry), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < list->n; i++)
	{
		const RmiDirItem *it = &list->items[i];

		dir->c.e[i].key = it->key;
		dir->c.e[i].block = it->block;
		dir->c.e[i].recent = InvalidBuffer;
		if (it->tid & RMI_ITEM_NULL)
			dir->c.nkeys = Min(dir->c.nkeys, i);
		if (it->tid & ~RMI_ITEM_NULL)
			need_tids = true;
	}
	bytes = (Size) list->n * sizeof(RmiDirEntry);
	if (need_tids)
	{
		dir->c.tids = palloc_extended((Size) list->n * sizeof(uint64), MCXT_ALLOC_HUGE);
		for (uint32 i = 0; i < list->n; i++)
			dir->c.tids[i] = list->items[i].tid & ~RMI_ITEM_NULL;
		bytes += (Size) list->n * sizeof(uint64);
	}

	if (model != NULL && model->nentries == dir->c.nkeys)
	{
		dir->c.model = palloc_extended(model->bytes, MCXT_ALLOC_HUGE);
		memcpy(dir->c.model, model, model->bytes);
		bytes += model->bytes;
	}
	else if (model == NULL && dir->c.nkeys > 0)
	{
		model_bytes = learned_bytes(dir->c.nkeys);
		dir->c.model = palloc_extended(model_bytes, MCXT_ALLOC_HUGE);
		rmi_train_leaves(dir->c.model, &dir->c.e[0].key, sizeof(RmiDirEntry), dir->c.nkeys, 0);
		bytes += model_bytes;
	}
	dir_set_bytes(dir, bytes);
	MemoryContextSwitchTo(old);
	dir->loaded = true;
}

/* The low fence of a leaf in the copy. */
static inline KyroFence
dir_fence(const RmiDir *dir, uint32 i)
{
	return (KyroFence) {dir->c.e[i].key, dir->c.tids ? dir->c.tids[i] : 0, i >= dir->c.nkeys};
}

/* Add to the overlay; false if it is full. */
static bool
dir_add(RmiDir *dir, KyroFence low, BlockNumber block)
{
	uint32		lo = 0,
				hi = dir->nover;

	while (lo < hi)
	{
		uint32		mid = lo + (hi - lo) / 2;

		if (kyro_fence_cmp(dir->over[mid].low, low) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < dir->nover && kyro_fence_cmp(dir->over[lo].low, low) == 0)
	{
		if (dir->over[lo].block != block)
		{
			dir->over[lo].block = block;
			dir->over[lo].recent = InvalidBuffer;
		}
		return true;
	}
	if (dir->nover == RMI_OVERLAY_MAX)
		return false;
	if (dir->nover == dir->over_size)
	{
		uint32		more = Max(dir->over_size, RMI_OVERLAY_MIN);
		Size		bytes = (dir->over_size + more) * sizeof(RmiOverlayEntry);

		(void) dir_make_room(dir, dir->bytes + more * sizeof(RmiOverlayEntry));
		dir->over = dir->over == NULL ? MemoryContextAlloc(dir->cxt, bytes) : repalloc(dir->over, bytes);
		dir->over_size += more;
		dir_set_bytes(dir, dir->bytes + more * sizeof(RmiOverlayEntry));
	}
	memmove(&dir->over[lo + 1], &dir->over[lo], (dir->nover - lo) * sizeof(RmiOverlayEntry));
	dir->over[lo] = (RmiOverlayEntry) {low, block, InvalidBuffer};
	dir->nover++;
	return true;
}

/* Make the copy from an ascending list, shared if possible; too big, and none, if there is no room. */
static void
dir_make(Relation index, RmiDir *dir, const RmiFenceList *list, const LearnedModel *model, uint32 log_seen)
{
	Size		bytes = (Size) list->n * (sizeof(RmiDirEntry) + sizeof(uint64));
	bool		share = may_give(index) && !dir->damaged && rmi_share_fits(bytes + learned_bytes(list->n));
	Size		limit = (Size) kyro_directory_cache * 1024;

	if (share || dir_make_room(dir, bytes))
	{
		dir_install(dir, list, model);
		dir->c.log_seen = dir->log_seen = log_seen;
		if (share)
			dir_share(index, dir);
		if (!share || dir->shared)
			return;
		/* there was no room for all sessions; is there for this one? */
		if (dir->bytes <= limit)
		{
			dir_drop_oldest(dir, 0, limit);
			return;
		}
		dir_reset(dir);
	}
	dir->too_big = true;
}

/*
 * Merge the overlay into the copy; without one, start it anew.  Not if another session
 * has done that with the same splits: then all go over to its copy.
 */
static void
dir_merge_overlay(Relation index, RmiDir *dir)
{
	RmiFenceList list;
	uint32		i = 0,
				o = 0;

	if (!dir->loaded)
	{
		dir->nover = 0;
		return;
	}
	if (dir->shared)
	{
		uint32		seen = dir->log_seen;

		if (dir_find_shared(index, dir) == RMI_SHARE_SAME && dir->log_seen > seen)
			return;
	}
	list.size = dir->c.n + dir->nover;
	list.n = 0;
	list.items = palloc_extended((Size) list.size * sizeof(RmiDirItem), MCXT_ALLOC_HUGE);
	while (i < dir->c.n || o < dir->nover)
	{
		KyroFence	low = KYRO_FENCE_MIN;
		int			cmp = 1;

		if (i < dir->c.n)
		{
			low = dir_fence(dir, i);
			cmp = o < dir->nover ? kyro_fence_cmp(low, dir->over[o].low) : -1;
		}
		if (cmp < 0)
			rmi_fences_add(&list, low, dir->c.e[i++].block);
		else
		{
			/* the overlay is newer */
			if (cmp == 0)
				i++;
			rmi_fences_add(&list, dir->over[o].low, dir->over[o].block);
			o++;
		}
	}
	{
		uint32		log_seen = dir->log_seen;
		bool		damaged = dir->damaged;

		/* the index may have outgrown what the copy may have; log_seen 0 then */
		dir_reset(dir);
		dir->damaged = damaged;
		dir_make(index, dir, &list, NULL, log_seen);
	}
	pfree(list.items);
}

/* Take in the entries of the split log that meta has and the copy does not know. */
static void
dir_add_log(Relation index, RmiDir *dir, const RmiMetaData *meta)
{
	RmiFenceList log;
	uint32		from = dir->log_seen;

	if (meta->log_entries <= from)
		return;
	rmi_fences_init(&log);
	rmi_log_read(index, meta, from, &log);
	for (uint32 i = 0; i < log.n; i++)
	{
		const RmiDirItem *it = &log.items[i];

		/* when the overlay was merged, all may have become known */
		if (from + i < dir->log_seen)
			continue;
		if (!dir_add(dir, rmi_item_fence(it), it->block))
		{
			dir_merge_overlay(index, dir);
			(void) dir_add(dir, rmi_item_fence(it), it->block);
		}
		dir->log_seen = from + i + 1;
	}
	/* what is damaged cannot be read another time */
	dir->log_seen = Max(dir->log_seen, meta->log_entries);
	pfree(log.items);
}

static void
dir_load_guts(Relation index, RmiDir *dir)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb directory load",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	RmiFenceList list;
	LearnedModel *model = NULL;
	bool		ok = false;

	dir_reset(dir);
	for (int attempt = 0; attempt < 3 && !ok; attempt++)
	{
		Size		bytes;
		bool		stale;

		rmi_read_meta(index, &dir->meta);
		DEBUG_POINT_POLL("rmi-dir-load");
		if (may_share(index) && dir_find_shared(index, dir) == RMI_SHARE_SAME)
			break;
		bytes = (Size) dir->meta.dir_entries * (sizeof(RmiDirEntry) + sizeof(uint64));
		if (!(may_give(index) && rmi_share_fits(bytes)) && !dir_make_room(dir, bytes))
		{
			dir->too_big = true;
			break;
		}
		rmi_fences_init(&list);
		ok = rmi_directory_read(index, &dir->meta, &list, &stale);
		if (!ok && !stale)
		{
			/* damaged; the chain knows better, at the price of reading it */
			dir->damaged = true;
			list.n = 0;
			rmi_fences_from_chain(index, dir->meta.index_id, &list);
			dir->meta.dir_keys = 0;
			ok = true;
		}
		else if (ok)
		{
			model = rmi_model_read(index, &dir->meta, true);
			dir->damaged = model == NULL && dir->meta.generation != 0;
		}
	}
	if (ok)
	{
		uint32		seen = 0;

		/* a long log is merged in at once; else the model on disk serves */
		if (dir->meta.log_entries >= RMI_OVERLAY_MAX / 2)
		{
			seen = dir->meta.log_entries;
			rmi_log_read(index, &dir->meta, 0, &list);
			model = NULL;
		}
		rmi_fences_sort(&list);
		dir_make(index, dir, &list, model, seen);
	}
	if (dir->loaded)
		dir_add_log(index, dir, &dir->meta);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/*
 * Make a copy of the directory, or take one.  Reading the chain, should that be necessary,
 * looks up pages in turn and must not come back here.
 */
static void
dir_load(Relation index, RmiDir *dir)
{
	if (dir->loading)
		return;
	dir->loading = true;
	rmi_share_count_anew(dir->relid);
	PG_TRY();
	{
		dir_load_guts(index, dir);
	}
	PG_FINALLY();
	{
		dir->loading = false;
	}
	PG_END_TRY();
}

void
rmi_dir_refresh(Relation index)
{
	RmiDir	   *dir = rmi_dir(index);
	bool		was_loaded = dir->loaded;

	if (dir_read_meta(index, dir))
	{
		if (was_loaded)
			dir_load(index, dir);
	}
	else if (!dir->loaded && !dir->too_big)
		dir_load(index, dir);
	else if (dir->meta.log_entries > dir->log_seen)
	{
		if (dir->shared)
			(void) dir_find_shared(index, dir);
		dir_add_log(index, dir, &dir->meta);
	}
}

/* ---- lookups ---- */

/* Last position in lo .. hi - 1 whose fence is <= target (< if strictly); lo - 1 if none. */
static int64
dir_search(const RmiDir *dir, KyroFence target, bool strictly, uint32 lo, uint32 hi)
{
	int64		first = (int64) lo - 1;

	while (lo < hi)
	{
		uint32		mid = lo + (hi - lo) / 2;

		if (kyro_fence_cmp(dir_fence(dir, mid), target) < (strictly ? 0 : 1))
		{
			first = mid;
			lo = mid + 1;
		}
		else
			hi = mid;
	}
	return first;
}

static int64
dir_find(const RmiDir *dir, KyroFence target, bool strictly)
{
	LearnedWindow w;
	uint32		lo,
				hi;
	int64		i;

	if (target.isnull || dir->c.model == NULL || dir->c.nkeys == 0)
	{
		if (dir->c.model == NULL)
			usage_index(dir->relid)->no_model++;
		return dir_search(dir, target, strictly, 0, dir->c.n);
	}

	/* the last entry with this key or a smaller one */
	w = learned_predict(dir->c.model, target.key);
	lo = w.lo;
	hi = w.hi;
	while (lo < hi)
	{
		uint32		mid = lo + (hi - lo + 1) / 2;

		if (dir->c.e[mid].key <= target.key)
			lo = mid;
		else
			hi = mid - 1;
	}
	i = lo;
	if (dir->c.e[i].key < target.key ||
		(dir->c.e[i].key == target.key && kyro_fence_cmp(dir_fence(dir, i), target) < (strictly ? 0 : 1)))
		return i;
	/* entries of one key over several leaves, or below the first */
	return dir_search(dir, target, strictly, 0, i);
}

/* See to what a lookup finds to be done first. */
static pg_noinline void
dir_settle(Relation index, RmiDir *dir)
{
	if (dir->want_merge)
	{
		dir->want_merge = false;
		dir_merge_overlay(index, dir);
	}

	/*
	 * not while a chain is walked for a copy of our own, because the
	 * directory is damaged
	 */
	if (!dir->shared && !dir->loading && dir->news != rmi_share_news() && may_share(index))
		dir_hear_news(index, dir);
	if (!dir->loaded)
	{
		if (!dir->too_big)
		{
			uint32		most = RMI_PAGE_PROBES(dir->meta.dir_entries);

			dir->probes++;
			if (dir->probes > most || (may_give(index) && rmi_share_count(dir->relid) > most))
				dir_load(index, dir);
		}
		if (!dir->loaded)
			usage_index(dir->relid)->no_model++;
	}
	dir->settled = dir->loaded;
}

void
rmi_dir_lookup(Relation index, RmiDir *dir, KyroFence target, bool strictly, RmiLanding *landing)
{
	if (unlikely(!dir->settled))
		dir_settle(index, dir);
	rmi_dir_peek(index, dir, target, strictly, landing);
}

static inline void
landing_overlay(const RmiDir *dir, uint32 i, RmiLanding *landing)
{
	landing->slot = -1;
	landing->overlay = i;
	landing->block = dir->over[i].block;
	landing->recent = dir->over[i].recent;
	landing->low = dir->over[i].low;
	landing->at = 0;
}

/* (key - low) / (high - low) in 1/2^32; low <= key < high. */
static inline uint32
fraction(int64 low, int64 high, int64 key)
{
	uint64		span = (uint64) high - (uint64) low;
	uint64		rel = (uint64) key - (uint64) low;
	int			shift = __builtin_clzll(span);

	/* the divisor has 32 bits, its first is set */
	return (uint32) Min((rel << shift) / ((span << shift >> 32)), PG_UINT32_MAX);
}

void
rmi_dir_peek(Relation index, RmiDir *dir, KyroFence target, bool strictly, RmiLanding *landing)
{
	int64		i;

	Assert(dir->pinned || !dir->shared);
	landing->recent = InvalidBuffer;
	landing->slot = landing->overlay = -1;
	landing->block = RMI_FIRST_LEAF;
	landing->low = KYRO_FENCE_MIN;
	landing->at = 0;

	/* growing keys: the leaf opened last */
	if (dir->nover > 0 && dir->loaded && dir->c.n > 0)
	{
		const RmiOverlayEntry *last = &dir->over[dir->nover - 1];

		if (kyro_fence_cmp(last->low, target) < (strictly ? 0 : 1) &&
			kyro_fence_cmp(last->low, dir_fence(dir, dir->c.n - 1)) >= 0)
		{
			landing_overlay(dir, dir->nover - 1, landing);
			return;
		}
	}

	if (likely(dir->loaded))
	{
		i = dir_find(dir, target, strictly);
		if (likely(i >= 0))
		{
			landing->slot = i;
			landing->block = dir->c.e[i].block;
			landing->recent = *(volatile Buffer *) &dir->c.e[i].recent;
			landing->low = dir_fence(dir, i);
			if (i + 1 < dir->c.nkeys && target.key < dir->c.e[i + 1].key)
				landing->at = fraction(dir->c.e[i].key, dir->c.e[i + 1].key, target.key);
		}
	}
	else if (!rmi_directory_probe(index, &dir->meta, target, strictly, landing) &&
			 dir->meta.generation != 0)
	{
		/* replaced since the meta page was read? */
		rmi_read_meta(index, &dir->meta);
		(void) rmi_directory_probe(index, &dir->meta, target, strictly, landing);
	}

	if (dir->nover > 0)
	{
		uint32		lo = 0,
					hi = dir->nover;

		while (lo < hi)
		{
			uint32		mid = lo + (hi - lo) / 2;

			if (kyro_fence_cmp(dir->over[mid].low, target) < (strictly ? 0 : 1))
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo > 0 && kyro_fence_cmp(dir->over[lo - 1].low, landing->low) >= 0)
			landing_overlay(dir, lo - 1, landing);
	}
}

bool
rmi_dir_before(RmiDir *dir, const RmiLanding *landing, uint32 n, KyroFence *low)
{
	if (landing->slot <= 0 || (uint32) landing->slot >= dir->c.n)
		return false;
	*low = dir_fence(dir, n < (uint32) landing->slot ? landing->slot - n : 0);
	return true;
}

void
rmi_dir_note_buffer(RmiDir *dir, const RmiLanding *landing, Buffer buf)
{
	Assert(dir->pinned || !dir->shared);
	if (landing->slot >= 0 && (uint32) landing->slot < dir->c.n &&
		dir->c.e[landing->slot].block == landing->block)
		dir->c.e[landing->slot].recent = buf;
	else if (landing->overlay >= 0 && (uint32) landing->overlay < dir->nover &&
			 dir->over[landing->overlay].block == landing->block)
		dir->over[landing->overlay].recent = buf;
}

void
rmi_dir_note_page(Relation index, RmiDir *dir, KyroFence low, BlockNumber block)
{
	if (!dir_add(dir, low, block))
	{
		dir->want_merge = true;
		dir->settled = false;
	}
}

/* For kyro.trace() and kyro.model(): what the last lookup stood on. */
const LearnedModel *
rmi_dir_model(const RmiDir *dir)
{
	return dir->loaded ? dir->c.model : NULL;
}

uint32
rmi_dir_entries(const RmiDir *dir)
{
	return dir->loaded ? dir->c.n : 0;
}
