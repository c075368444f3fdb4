/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Inserting entries, splitting leaves, and keeping unique indexes unique.
 *
 * An entry goes where the leaf format can take it cheapest: appended to the
 * last block at the right edge, else to the leaf's insert run.  A full run is
 * merged into the blocks, in one new image of the page; a page that does not
 * fit any more is split.  Each step is one WAL record that leaves every page
 * and the chain sound (I11), so a crash between steps loses only the entry
 * that was on its way, whose heap tuple is then not committed.
 *
 * New leaves are noted in the split log after the leaf locks are gone.  Until
 * then, or if that never happens, they are reached by their left neighbour.
 *
 * IDENTIFICATION
 *	  src/rmi/insert.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"
#include "rmi/splitlog.h"
#include "rmi/chain.h"
#include "rmi/work.h"
#include "usage/usage.h"

/* Splits that one insert can cause: halvings of a full page, with slack. */
#define RMI_MAX_CHAIN	64

/* One insert: the index, and the new leaves, to be logged afterwards. */
typedef struct RmiInsert
{
	Relation	index;
	Relation	versions_of;	/* of this table's rows another version is
								 * inserted, or NULL */
	uint32		index_id;
	RmiCarrier	carrier;
	int			n;
	RmiDirItem	items[RMI_MAX_CHAIN];
} RmiInsert;

/* With the leaf locked: the directory was there to find it. */
static void
insert_begin(RmiInsert *ins, Relation index, Relation versions_of)
{
	RmiDir	   *dir = rmi_dir(index);

	ins->index = index;
	ins->versions_of = versions_of;
	ins->index_id = rmi_dir_index_id(dir);
	ins->carrier = rmi_dir_carrier(dir);
	ins->n = 0;
}

static void
note_new_leaf(RmiInsert *ins, KyroFence low, BlockNumber block)
{
	RmiDirItem *it;

	if (ins->n == RMI_MAX_CHAIN)
		return;					/* a hint only */
	it = &ins->items[ins->n++];
	it->key = low.key;
	it->tid = low.tid | (low.isnull ? RMI_ITEM_NULL : 0);
	it->block = block;
	it->spare = 0;
}

/* Make known, to this backend and to all, the leaves just made.  No locks held. */
static void
publish_new_leaves(const RmiInsert *ins)
{
	RmiDir	   *dir;

	if (ins->n == 0)
		return;
	DEBUG_POINT("rmi-leaf-made");
	dir = rmi_dir(ins->index);
	for (int i = 0; i < ins->n; i++)
		rmi_dir_note_page(ins->index, dir, rmi_item_fence(&ins->items[i]), ins->items[i].block);
	if (rmi_log_append(ins->index, ins->items, ins->n))
		rmi_maybe_fold(ins->index, false, RMI_WHY_FOLD);
	DEBUG_POINT("rmi-leaf-published");
}

/* The right neighbour of a locked leaf, exclusively locked, or InvalidBuffer. */
static Buffer
lock_neighbour(Relation index, uint32 index_id, Buffer buf)
{
	if (!leaf_has_high(BufferGetPage(buf)))
		return InvalidBuffer;
	return rmi_lock_right(index, index_id, buf, BUFFER_LOCK_EXCLUSIVE);
}

KyroFence
rmi_split(Relation index, uint32 index_id, RmiCarrier carrier, Buffer buf, Buffer *right)
{
	RmiWork    *w = rmi_work();
	Page		page = BufferGetPage(buf);
	Page		limage = w->leaf;
	Page		rimage = w->right;
	BlockNumber rblock;
	Buffer		neighbour;
	KyroFence	cut;
	RmiChange	c;

	*right = rmi_alloc_page(index, index_id);
	rblock = BufferGetBlockNumber(*right);
	neighbour = lock_neighbour(index, index_id, buf);

	if (leaf_split(page, limage, rimage, &cut, w->scratch) != 1)
		rmi_corrupt(index, BufferGetBlockNumber(buf), "the leaf cannot be split");
	leaf_header(rimage)->left = BufferGetBlockNumber(buf);
	leaf_header(rimage)->right = leaf_header(page)->right;
	leaf_header(limage)->right = rblock;
	rmi_trailer(rimage)->block = rblock;
	rmi_leaf_finish(limage);
	rmi_leaf_finish(rimage);

	rmi_change_begin(&c, index, carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_SPLIT, .block = rblock, .image = limage});
	rmi_change_apply(&c, *right, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = rimage});
	if (BufferIsValid(neighbour))
		rmi_change_apply(&c, neighbour, &(RmiOp) {.kind = RMI_OP_SET_LEFT, .block = rblock});
	DEBUG_CRASH("rmi-split-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-split-logged");
	if (BufferIsValid(neighbour))
		UnlockReleaseBuffer(neighbour);
	return cut;
}

/*
 * Open an empty leaf to the right of buf, which has nothing of its kind to
 * its right, and put e there.  Releases nothing.
 */
static void
new_right(RmiInsert *ins, Buffer buf, KyroEntry e, bool isnull)
{
	Relation	index = ins->index;
	Page		page = BufferGetPage(buf);
	Page		image = rmi_work()->right;
	BlockNumber block = BufferGetBlockNumber(buf);
	BlockNumber rblock;
	Buffer		right,
				neighbour;
	KyroFence	low;
	RmiChange	c;

	if (isnull && !leaf_low(page).isnull)
		low = (KyroFence) {0, 0, true}; /* the first page of NULLs */
	else
	{
		LeafCursor *cursor = palloc(sizeof(LeafCursor));
		KyroEntry	last;

		leaf_cursor_init(cursor, page);
		leaf_cursor_last(cursor);
		if (!leaf_cursor_prev(cursor, &last))
			last = (KyroEntry) {e.key, 0};
		if (cursor->corrupt || kyro_entry_cmp(last, e) >= 0)
			rmi_corrupt(index, block, "the last entry of the leaf is not below a new one");
		pfree(cursor);
		low = leaf_cut(last, e);
		low.isnull = isnull;
	}

	right = rmi_alloc_page(index, ins->index_id);
	rblock = BufferGetBlockNumber(right);
	neighbour = lock_neighbour(index, ins->index_id, buf);

	rmi_leaf_page_init(image, ins->index_id, rblock, low, block, leaf_header(page)->right,
					   leaf_header(page)->reserve);
	if (leaf_has_high(page))
		leaf_set_high(image, leaf_high(page));
	if (!leaf_append(image, e, false))
		elog(ERROR, "kyro_rmi: entry does not fit an empty leaf");
	rmi_leaf_finish(image);

	rmi_change_begin(&c, index, ins->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_SET_RIGHT, .fence = low, .block = rblock});
	rmi_change_apply(&c, right, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = image});
	if (BufferIsValid(neighbour))
		rmi_change_apply(&c, neighbour, &(RmiOp) {.kind = RMI_OP_SET_LEFT, .block = rblock});
	DEBUG_CRASH("rmi-right-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-right-logged");
	if (BufferIsValid(neighbour))
		UnlockReleaseBuffer(neighbour);
	UnlockReleaseBuffer(right);
	note_new_leaf(ins, low, rblock);
}

/*
 * Append e to the locked leaf at the edge; false if it is not above all others,
 * there is no room, or the leaf is damaged.
 */
static bool
append_entry(const RmiInsert *ins, Buffer buf, KyroEntry e)
{
	RmiChange	c;

	rmi_change_begin(&c, ins->index, ins->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_APPEND, .may_refuse = true, .entry = e});
	DEBUG_CRASH("rmi-append-record");
	if (!rmi_change_finish(&c))
		return false;
	DEBUG_CRASH("rmi-append-logged");
	return true;
}

/* Add e to the insert run of the locked leaf that owns it, which has room for it. */
static void
add_to_run(const RmiInsert *ins, Buffer buf, KyroEntry e)
{
	RmiChange	c;

	rmi_change_begin(&c, ins->index, ins->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_RUN_ADD, .entry = e});
	DEBUG_CRASH("rmi-run-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-run-logged");
}

/*
 * Merge the insert run of the locked leaf that owns e into its blocks, and add e in
 * the same record, since a merge leaves room for it.  False: the leaf must be split.
 */
static bool
merge_and_add(const RmiInsert *ins, Buffer buf, KyroEntry e)
{
	RmiWork    *w = rmi_work();
	int			merged = leaf_merge(BufferGetPage(buf), w->leaf, w->scratch);
	RmiChange	c;

	if (merged == 0)
		return false;
	if (merged < 0)
		rmi_corrupt(ins->index, BufferGetBlockNumber(buf), "the leaf cannot be merged");
	if (!leaf_run_add(w->leaf, e, false))
		elog(ERROR, "kyro_rmi: entry does not fit a merged leaf");
	rmi_leaf_finish(w->leaf);
	rmi_change_begin(&c, ins->index, ins->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_MERGE, .add = true, .entry = e, .image = w->leaf});
	DEBUG_CRASH("rmi-merge-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-merge-logged");
	return true;
}

/*
 * Split a locked leaf.  Returns the half that owns `at`, locked; the other one is released,
 * unless it is `keep`.
 */
static Buffer
split_for(RmiInsert *ins, Buffer buf, Buffer keep, KyroFence at)
{
	Buffer		right;
	KyroFence	cut = rmi_split(ins->index, ins->index_id, ins->carrier, buf, &right);

	note_new_leaf(ins, cut, BufferGetBlockNumber(right));
	if (kyro_fence_cmp(at, cut) < 0)
	{
		UnlockReleaseBuffer(right);
		return buf;
	}
	if (buf != keep)
		UnlockReleaseBuffer(buf);
	return right;
}

/*
 * Put e on the exclusively locked leaf buf that owns it, or on what that leaf
 * is split into.  keep: a buffer that must stay locked (the first page of the
 * key, under a unique check), or InvalidBuffer; everything else is released.
 */
static void
place_entry(RmiInsert *ins, Buffer buf, Buffer keep, KyroEntry e, bool isnull)
{
	Relation	index = ins->index;
	KyroFence	at = {e.key, e.tid, isnull};
	bool		asked = ins->versions_of == NULL;	/* the table about
													 * versions of keys in the
													 * run */
	bool		asked_full = asked; /* about all */
	UsageInsert way = USAGE_INSERT_APPEND;
	bool		split = false;
	bool		done = false;

	while (!done)
	{
		Page		page = BufferGetPage(buf);
		BlockNumber block = BufferGetBlockNumber(buf);

		/*
		 * versions of the last rows are no growth at the edge, and pass
		 * through the run like others
		 */
		bool		edge = (ins->versions_of == NULL &&
							(!leaf_has_high(page) || (leaf_high(page).isnull && !leaf_low(page).isnull)));

		if (isnull && !leaf_low(page).isnull)
		{
			/* NULLs have leaves of their own, at the end of the chain */
			if (leaf_has_high(page))
				rmi_corrupt(index, block, "a NULL would belong to a leaf of keys");
			new_right(ins, buf, e, isnull);
			break;
		}

		if (edge && append_entry(ins, buf, e))
			break;

		switch (leaf_insert_kind(page, e, edge))
		{
			case LEAF_INS_RUN:
				add_to_run(ins, buf, e);
				way = USAGE_INSERT_RUN;
				done = true;
				break;

			case LEAF_INS_NEW_RIGHT:
				new_right(ins, buf, e, isnull);
				done = true;
				break;

			case LEAF_INS_MERGE:

				/*
				 * if something has gone there may be room in the run, or need
				 * of no split
				 */
				if (!asked)
				{
					asked = true;
					if (rmi_kill_versions(ins->versions_of, index, ins->carrier, buf, false) > 0)
						break;
				}
				if (merge_and_add(ins, buf, e))
				{
					way = USAGE_INSERT_MERGE;
					done = true;
					break;
				}
				if (!asked_full)
				{
					asked_full = true;
					if (rmi_kill_versions(ins->versions_of, index, ins->carrier, buf, true) > 0)
						break;
				}
				buf = split_for(ins, buf, keep, at);
				split = true;
				break;

			default:
				/* damaged; what could be appended has been */
				rmi_corrupt(index, block, "the leaf cannot take an entry");
		}
	}
	if (buf != keep)
		UnlockReleaseBuffer(buf);
	if (BufferIsValid(keep))
		UnlockReleaseBuffer(keep);
	usage_index(RelationGetRelid(index))->inserts[split ? USAGE_INSERT_SPLIT : way]++;
}

/* ---- unique ---- */

static void
report_duplicate(Relation index, Relation heap, Datum *values, bool *isnull)
{
	char	   *key = BuildIndexValueDescription(index, values, isnull);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"",
					RelationGetRelationName(index)),
			 key ? errdetail("Key %s already exists.", key) : 0,
			 errtableconstraint(heap, RelationGetRelationName(index))));
}

/* What a unique check found. */
typedef enum RmiUniqueResult
{
	RMI_UNIQUE_OK,
	RMI_UNIQUE_MAYBE,			/* a possible conflict, under
								 * UNIQUE_CHECK_PARTIAL */
	RMI_UNIQUE_WAIT,			/* wait for xwait and check again */
	RMI_UNIQUE_SELF_GONE,		/* the row to be inserted is not live any
								 * more: no conflict, whatever follows */
	RMI_UNIQUE_VIOLATED
} RmiUniqueResult;

/* A unique check. */
typedef struct RmiUnique
{
	Relation	heap;
	ItemPointer htid;			/* the new row */
	IndexUniqueCheck check;
	TransactionId xwait;
	uint32		token;			/* with xwait: of its speculative insertion,
								 * or 0 */
} RmiUnique;

/* Does the row of an entry of this key conflict?  *all_dead: nobody can see it. */
static RmiUniqueResult
check_row(RmiUnique *u, ItemPointer tid, bool *all_dead)
{
	SnapshotData dirty;
	ItemPointerData own = *u->htid;

	InitDirtySnapshot(dirty);
	if (!table_index_fetch_tuple_check(u->heap, tid, &dirty, all_dead))
		return RMI_UNIQUE_OK;
	if (u->check == UNIQUE_CHECK_PARTIAL)
		return RMI_UNIQUE_MAYBE;
	u->xwait = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	if (TransactionIdIsValid(u->xwait))
	{
		u->token = dirty.speculativeToken;
		return RMI_UNIQUE_WAIT;
	}

	/*
	 * The other row is live.  If ours is not any more, this is CREATE INDEX
	 * CONCURRENTLY adding what has died since; no conflict.
	 */
	return table_index_fetch_tuple_check(u->heap, &own, SnapshotSelf, NULL) ?
		RMI_UNIQUE_VIOLATED : RMI_UNIQUE_SELF_GONE;
}

/*
 * Look for live rows with the key of the new entry.  buf, exclusively locked,
 * is the first leaf that can hold the key; it stays locked, so that nobody
 * else can insert this key meanwhile.  Removes entries of rows found dead.
 */
static RmiUniqueResult
check_unique(const RmiInsert *ins, RmiUnique *u, Buffer buf, KyroEntry e, bool isnull)
{
	const KyroFence last = {e.key, KYRO_TID_MAX, isnull};
	Relation	index = ins->index;
	Buffer		cur = buf;
	bool		found = false;
	uint64		few[RMI_KILLS_MIN + 16];
	uint64	   *tids = few;
	int			max = lengthof(few);
	RmiUniqueResult result = RMI_UNIQUE_OK;

	for (;;)
	{
		Page		page = BufferGetPage(cur);
		int			n = 0;
		int			ndead = 0;
		Buffer		next;

		if (leaf_low(page).isnull == isnull)
			n = leaf_find(page, e.key, tids, max, NULL);
		if (n > max && max < KYRO_LEAF_MAX_ENTRIES)
		{
			max = KYRO_LEAF_MAX_ENTRIES;
			tids = palloc(sizeof(uint64) * max);
			n = leaf_find(page, e.key, tids, max, NULL);
		}
		if (n < 0 || n > max)
			rmi_corrupt(index, BufferGetBlockNumber(cur), "the leaf cannot be read");

		for (int i = 0; i < n && result == RMI_UNIQUE_OK; i++)
		{
			ItemPointerData tid;
			bool		all_dead = false;

			if (!kyro_tid_ok(tids[i]))
				rmi_corrupt(index, BufferGetBlockNumber(cur), "the row address of an entry is not valid");
			kyro_tid_to_pointer(tids[i], &tid);
			if (u->check == UNIQUE_CHECK_EXISTING && ItemPointerEquals(&tid, u->htid))
			{
				found = true;
				continue;
			}
			result = check_row(u, &tid, &all_dead);
			if (all_dead)
				tids[ndead++] = tids[i];
		}
		if (ndead >= RMI_KILLS_MIN)
			rmi_kill_locked(u->heap, index, ins->carrier, cur, tids, ndead);
		if (result != RMI_UNIQUE_OK || !leaf_has_high(page) || kyro_fence_cmp(leaf_high(page), last) > 0)
			break;
		/* many versions of the key: exclusively, too, to remove dead ones */
		next = rmi_lock_right(index, ins->index_id, cur, BUFFER_LOCK_EXCLUSIVE);
		if (cur != buf)
			UnlockReleaseBuffer(cur);
		cur = next;
	}

	if (cur != buf)
		UnlockReleaseBuffer(cur);
	if (tids != few)
		pfree(tids);
	if (u->check == UNIQUE_CHECK_EXISTING && !found && result == RMI_UNIQUE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("failed to re-find a row in index \"%s\"", RelationGetRelationName(index)),
				 errhint("This may be because of a non-immutable index expression."),
				 errtableconstraint(u->heap, RelationGetRelationName(index))));
	return result;
}

/*
 * Insert an entry without any check.
 */
static void
insert_unchecked(Relation index, KyroEntry e, bool isnull, Relation versions_of)
{
	Buffer		buf;
	RmiInsert	ins;

	DEBUG_POINT("rmi-insert");
	buf = rmi_descend(index, (KyroFence) {e.key, e.tid, isnull}, false, BUFFER_LOCK_EXCLUSIVE, NULL);
	insert_begin(&ins, index, versions_of);
	place_entry(&ins, buf, InvalidBuffer, e, isnull);
	publish_new_leaves(&ins);
}

void
rmi_insert_entry(Relation index, KyroEntry e, bool isnull)
{
	insert_unchecked(index, e, isnull, NULL);
}

/*
 * aminsert.  Returns whether the new row is known to be unique (meaningful for
 * UNIQUE_CHECK_PARTIAL and UNIQUE_CHECK_EXISTING).
 */
bool
rmi_insert(Relation index, Datum *values, bool *isnull, ItemPointer htid,
		   Relation heap, IndexUniqueCheck check, bool unchanged, IndexInfo *info)
{
	KyroEntry	e;
	KyroFence	at;
	Buffer		buf,
				keep = InvalidBuffer;
	RmiUniqueResult result;
	RmiUnique	u = {.heap = heap, .htid = htid, .check = check};
	RmiInsert	ins;

	e.key = isnull[0] ? 0 : rmi_key_from_datum(rmi_key_type(index), values[0]);
	e.tid = kyro_tid_from_pointer(htid);
	at = (KyroFence) {e.key, e.tid, isnull[0]};

	if (check == UNIQUE_CHECK_NO ||
		(isnull[0] && !index->rd_index->indnullsnotdistinct))
	{
		if (check != UNIQUE_CHECK_EXISTING)
			insert_unchecked(index, e, isnull[0], unchanged ? heap : NULL);
		return true;
	}

	for (;;)
	{
		const KyroFence first = {e.key, 0, isnull[0]};

		DEBUG_POINT(check == UNIQUE_CHECK_PARTIAL ? "rmi-insert-partial" : "rmi-insert-unique");
		buf = rmi_descend(index, first, false, BUFFER_LOCK_EXCLUSIVE, NULL);
		insert_begin(&ins, index, unchanged ? heap : NULL);
		result = check_unique(&ins, &u, buf, e, isnull[0]);
		if (result == RMI_UNIQUE_VIOLATED)
		{
			CheckForSerializableConflictIn(index, NULL, BufferGetBlockNumber(buf));
			UnlockReleaseBuffer(buf);
			report_duplicate(index, heap, values, isnull);
		}
		if (result != RMI_UNIQUE_WAIT)
			break;
		UnlockReleaseBuffer(buf);
		DEBUG_POINT("rmi-unique-wait");
		if (u.token)
			SpeculativeInsertionWait(u.xwait, u.token);
		else
			XactLockTableWait(u.xwait, index, htid, XLTW_InsertIndex);
	}
	if (check == UNIQUE_CHECK_EXISTING)
	{
		UnlockReleaseBuffer(buf);
		return result != RMI_UNIQUE_MAYBE;
	}

	/* equal keys may reach over several leaves; ours has its place by tid */
	keep = buf;
	while (leaf_has_high(BufferGetPage(buf)) &&
		   kyro_fence_cmp(at, leaf_high(BufferGetPage(buf))) >= 0)
	{
		Buffer		next = rmi_lock_right(index, ins.index_id, buf, BUFFER_LOCK_EXCLUSIVE);

		if (buf != keep)
			UnlockReleaseBuffer(buf);
		buf = next;
	}

	/* core checks for conflicts on the whole index, see ampredlocks */
	place_entry(&ins, buf, keep, e, isnull[0]);
	publish_new_leaves(&ins);
	return result != RMI_UNIQUE_MAYBE;
}
