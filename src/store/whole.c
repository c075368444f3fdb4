/*-------------------------------------------------------------------------
 *
 * whole.c
 *	  Tables that are all log, and how they get their list of runs.
 *
 * Tools that copy a table into a new one and swap the files leave a plain heap under
 * a table of ours: block 0 has rows where the list should be.  Such a table has no
 * runs.  It can be read and written as it is.  The next seal or VACUUM makes it
 * whole: the rows of block 0 move to a new block at the end of the file, and block 0
 * becomes the list.
 *
 * This changes the TIDs of rows without making new versions of them, which is right
 * only while nobody holds a TID: the table is locked in AccessExclusive mode (on
 * standbys too), and no scan, cursor or trigger event of our own is open.  Rows keep
 * their transaction ids, so every snapshot goes on seeing what it saw.  Old versions
 * elsewhere in the table whose next version was in block 0 point to nothing
 * afterwards.  That does no harm: only a session that had met the old version before
 * our lock would follow, and VACUUM FULL, which looks for pairs of versions, accepts
 * that the second one is missing.
 *
 * In this order, so that a failure at any point leaves a sound table:
 *
 * 1. A new block at the end gets a tuple without columns, inserted by our
 *	  transaction, in the place of each row that has index entries.
 * 2. Index entries are made for these places.  If we fail, tuples and entries are
 *	  those of an aborted transaction, and VACUUM removes them.
 * 3. One WAL record copies block 0 to the new block and puts the list into block 0.
 * 4. Index entries that lead to block 0 are removed.  Until then they lead to a page
 *	  of ours, where nobody finds a row.  The list says that there are such entries
 *	  (STORE_ENTRIES_LEFT), so the next seal or VACUUM removes them if we fail.
 *
 * IDENTIFICATION
 *	  src/store/whole.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/vacuum.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "storage/procarray.h"

#include "debug_point.h"
#include "store/store.h"

/* What indexes have of block 0; arrays have index offset - 1. */
typedef struct Rows
{
	OffsetNumber max;			/* items on the page */
	OffsetNumber roots[MaxHeapTuplesPerPage];	/* of each item: the root of
												 * its HOT chain */
	bool		dead[MaxHeapTuplesPerPage]; /* of each item */
	OffsetNumber indexed[MaxHeapTuplesPerPage]; /* of each root: the version
												 * to be indexed, or
												 * InvalidOffsetNumber */
} Rows;

void
store_check_log_page(Relation rel, Page page, BlockNumber block)
{
	if (store_page_is_ours(page))
		store_corrupt(rel, block, "page is one of ours, but block 0 is not a run list");
}

void
store_check_all_log(Relation rel)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		store_check_log_page(rel, BufferGetPage(buffer), block);
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
}

/* A tuple on the pinned page of block 0. */
static void
get_tuple(Relation rel, Buffer buffer, OffsetNumber offset, HeapTuple tuple)
{
	Page		page = BufferGetPage(buffer);
	ItemId		item = PageGetItemId(page, offset);

	tuple->t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple->t_len = ItemIdGetLength(item);
	tuple->t_tableOid = RelationGetRelid(rel);
	ItemPointerSet(&tuple->t_self, BufferGetBlockNumber(buffer), offset);
}

/*
 * Find what is to be indexed.  All versions of a HOT chain have the same indexed
 * columns, or indexes have only the last version: so the last live one is taken.
 * Dead versions need no entries, and evaluating expressions on them might fail.
 */
static void
find_rows(Relation rel, Buffer buffer, Rows *rows)
{
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);
	Page		page = BufferGetPage(buffer);
	int			rank[MaxHeapTuplesPerPage] = {0};

	memset(rows, 0, sizeof(*rows));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	rows->max = PageGetMaxOffsetNumber(page);
	heap_get_root_tuples(page, rows->roots);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= rows->max; offset++)
	{
		OffsetNumber root = rows->roots[offset - 1];
		HeapTupleData tuple;
		HTSV_Result status;
		int			r;

		if (!ItemIdIsNormal(PageGetItemId(page, offset)))
			continue;
		get_tuple(rel, buffer, offset, &tuple);
		status = HeapTupleSatisfiesVacuum(&tuple, horizon, buffer);
		rows->dead[offset - 1] = status == HEAPTUPLE_DEAD;
		if (status == HEAPTUPLE_DEAD || root == InvalidOffsetNumber)
			continue;
		r = (status == HEAPTUPLE_RECENTLY_DEAD || status == HEAPTUPLE_DELETE_IN_PROGRESS ? 1 : 3) +
			(HeapTupleIsHotUpdated(&tuple) ? 0 : 1);
		if (r > rank[root - 1])
		{
			rank[root - 1] = r;
			rows->indexed[root - 1] = offset;
		}
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/* Make the block that the rows will move to (1. above); returns it pinned. */
static Buffer
make_places(Relation rel, const Rows *rows)
{
	bool		local = RelationUsesLocalBuffers(rel);
	TransactionId xid = GetCurrentTransactionId();
	Buffer		buffer;
	GenericXLogState *state;
	Page		page;
	PageHeader	header;

	if (!local)
		LockRelationForExtension(rel, ExclusiveLock);
	buffer = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	if (!local)
		UnlockRelationForExtension(rel, ExclusiveLock);

	state = GenericXLogStart(rel);
	page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
	PageInit(page, BLCKSZ, 0);
	header = (PageHeader) page;
	header->pd_lower += rows->max * sizeof(ItemIdData);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= rows->max; offset++)
	{
		const Size	size = MAXALIGN(SizeofHeapTupleHeader);
		HeapTupleHeader t;

		if (rows->indexed[offset - 1] == InvalidOffsetNumber)
		{
			ItemIdSetUnused(PageGetItemId(page, offset));
			PageSetHasFreeLinePointers(page);
			continue;
		}
		header->pd_upper -= size;
		ItemIdSetNormal(PageGetItemId(page, offset), header->pd_upper, size);
		t = (HeapTupleHeader) (page + header->pd_upper);
		memset(t, 0, size);
		HeapTupleHeaderSetXmin(t, xid);
		t->t_infomask = HEAP_XMAX_INVALID;
		t->t_hoff = size;
		ItemPointerSet(&t->t_ctid, BufferGetBlockNumber(buffer), offset);
	}
	Assert(header->pd_lower <= header->pd_upper);
	store_log_page_finish(state);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return buffer;
}

/* Insert the entry of a version into an index, under the TID of its root. */
static void
insert_entry(Relation rel, Relation index, IndexInfo *info, ExprState *predicate, EState *estate,
			 TupleTableSlot *slot, Buffer buffer, OffsetNumber offset, ItemPointer tid)
{
	HeapTupleData tuple;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	get_tuple(rel, buffer, offset, &tuple);
	ExecStoreBufferHeapTuple(&tuple, slot, buffer);
	GetPerTupleExprContext(estate)->ecxt_scantuple = slot;
	if (predicate == NULL || ExecQual(predicate, GetPerTupleExprContext(estate)))
	{
		FormIndexDatum(info, slot, estate, values, isnull);
		index_insert(index, values, isnull, tid, rel, UNIQUE_CHECK_NO, false, info);
	}
	ResetPerTupleExprContext(estate);
}

/* Make the index entries for the places at `to`. */
static void
make_entries(Relation rel, Buffer buffer, BlockNumber to, const Rows *rows)
{
	EState	   *estate = CreateExecutorState();
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	int			nindexes;
	Relation   *indexes;

	vac_open_indexes(rel, RowExclusiveLock, &nindexes, &indexes);
	for (int i = 0; i < nindexes; i++)
	{
		IndexInfo  *info = BuildIndexInfo(indexes[i]);
		ExprState  *predicate = ExecPrepareQual(info->ii_Predicate, estate);
		bool		summarizing = kyro_index_summarizes(indexes[i]);

		for (OffsetNumber offset = FirstOffsetNumber; offset <= rows->max; offset++)
		{
			OffsetNumber root = rows->roots[offset - 1];
			ItemPointerData tid;

			CHECK_FOR_INTERRUPTS();
			if (root == InvalidOffsetNumber || rows->dead[offset - 1] ||
				!ItemIdIsNormal(PageGetItemId(BufferGetPage(buffer), offset)))
				continue;
			/* HOT updates may change columns of indexes on ranges of blocks */
			if (rows->indexed[root - 1] != offset && !summarizing)
				continue;
			ItemPointerSet(&tid, to, root);
			insert_entry(rel, indexes[i], info, predicate, estate, slot, buffer, offset, &tid);
		}
		kyro_index_insert_done(indexes[i], info);
		DEBUG_POINT("whole-index-done");
	}
	vac_close_indexes(nindexes, indexes, NoLock);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/* Copy block 0 to the block `to`, if that is valid, and make block 0 the list (3. above). */
static void
switch_blocks(Relation rel, Buffer buffer, Buffer to)
{
	Buffer		vmbuffer = InvalidBuffer;
	GenericXLogState *state;
	StoreList  *list;
	Page		page;

	visibilitymap_pin(rel, 0, &vmbuffer);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (BufferIsValid(to))
		LockBuffer(to, BUFFER_LOCK_EXCLUSIVE);
	store_vm_clear(rel, 0, 1, &vmbuffer);
	state = GenericXLogStart(rel);
	if (BufferIsValid(to))
	{
		page = GenericXLogRegisterBuffer(state, to, GENERIC_XLOG_FULL_IMAGE);
		memcpy(page, BufferGetPage(buffer), BLCKSZ);
		PageClearAllVisible(page);
		for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
		{
			ItemId		item = PageGetItemId(page, offset);
			HeapTupleHeader t;

			if (!ItemIdIsNormal(item))
				continue;
			t = (HeapTupleHeader) PageGetItem(page, item);
			if (ItemPointerGetBlockNumberNoCheck(&t->t_ctid) == 0)
				ItemPointerSetBlockNumber(&t->t_ctid, BufferGetBlockNumber(to));
		}
	}
	page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
	store_list_init(page, 0, store_random_id());
	list = StorePageGetList(page);
	list->seal_from = BufferIsValid(to) ? STORE_ENTRIES_LEFT : 0;
	list->h.hash = store_page_hash(page, 0);
	store_log_page_finish(state);
	if (BufferIsValid(to))
		LockBuffer(to, BUFFER_LOCK_UNLOCK);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	ReleaseBuffer(vmbuffer);
}

static bool
leads_to_block_0(ItemPointer tid, void *arg)
{
	return ItemPointerGetBlockNumber(tid) == 0;
}

void
store_remove_old_entries(Relation rel)
{
	int			nindexes;
	Relation   *indexes;

	if (store_open(rel)->seal_from != STORE_ENTRIES_LEFT)
		return;
	vac_open_indexes(rel, RowExclusiveLock, &nindexes, &indexes);
	for (int i = 0; i < nindexes; i++)
	{
		IndexVacuumInfo info = {0};
		IndexBulkDeleteResult *stats;

		info.index = indexes[i];
		kyro_vacuum_info_set_table(&info, rel);
		info.estimated_count = true;
		info.message_level = DEBUG2;
		info.num_heap_tuples = rel->rd_rel->reltuples;
		stats = index_bulk_delete(&info, NULL, leads_to_block_0, NULL);
		if (stats != NULL)
			pfree(stats);
	}
	vac_close_indexes(nindexes, indexes, NoLock);
	DEBUG_POINT("whole-entries-removed");
	store_list_set_seal_from(rel, 0);
}

void
store_make_whole(Relation rel)
{
	bool		moved = false;

	if (!store_is_whole(rel))
	{
		if (RelationGetNumberOfBlocks(rel) == 0)
			store_list_recreate(rel);
		else
		{
			Buffer		buffer = ReadBuffer(rel, 0);
			Buffer		to = InvalidBuffer;

			/* locks on single tuples and pages would not move with them */
			TransferPredicateLocksToHeapRelation(rel);
			for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(BufferGetPage(buffer)); offset++)
				moved |= ItemIdIsUsed(PageGetItemId(BufferGetPage(buffer), offset));
			if (moved)
			{
				Rows	   *rows = palloc(sizeof(Rows));

				find_rows(rel, buffer, rows);
				to = make_places(rel, rows);
				DEBUG_POINT("whole-places-made");
				make_entries(rel, buffer, BufferGetBlockNumber(to), rows);
				pfree(rows);
			}
			switch_blocks(rel, buffer, to);
			DEBUG_POINT("whole-switched");
			if (moved)
			{
				RecordPageWithFreeSpace(rel, BufferGetBlockNumber(to), PageGetHeapFreeSpace(BufferGetPage(to)));
				ReleaseBuffer(to);
			}
			RecordPageWithFreeSpace(rel, 0, 0);
			ReleaseBuffer(buffer);
		}
		ereport(DEBUG1,
				(errmsg("table \"%s\" got a list of runs", RelationGetRelationName(rel))));
	}
	UnlockRelation(rel, AccessExclusiveLock);
	store_remove_old_entries(rel);
}
