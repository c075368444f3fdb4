/*-------------------------------------------------------------------------
 *
 * verify_rows.c
 *	  kyro.verify(index, deep => true): does an index agree with its table?
 *
 * The table is scanned first with an MVCC snapshot; the keys and
 * addresses that its rows should have in the index are sorted and merged with
 * the entries met on the walk along the leaves.  A row that the snapshot sees was in
 * the index before the walk began, so one not met is missing, whatever writers do
 * meanwhile.  An entry without such a row belongs to a row newer than the
 * snapshot or to a dead one: it must point to an item that exists, is not
 * heap-only, and has the entry's key.  VACUUM may remove both meanwhile, the
 * entry first; so an entry is reported only if it is still there after the
 * look at the table.
 *
 * The key of a version is compared only if who inserted it has not aborted: it
 * may have been made when the table had other columns.
 *
 * IDENTIFICATION
 *	  src/inspect/verify_rows.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "debug_point.h"
#include "inspect/verify.h"
#include "progress.h"
#include "rmi/sort.h"
#include "store/handler.h"
#include "store/store.h"

typedef struct Compare
{
	KyroReport *report;
	Relation	heap;
	Relation	index;
	RmiKeyType	type;
	RmiSort    *rows;
	RmiSortItem row;			/* the next row expected */
	bool		have_row;
	Snapshot	snapshot;
	bool		unique;			/* no two rows may have the same key */
	IndexInfo  *info;
	EState	   *estate;
	TupleTableSlot *slot;
	KyroEntry  *entries;
} Compare;

static void
row_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			 bool alive, void *state)
{
	Compare    *v = (Compare *) state;

	DEBUG_POINT("verify-row");
	kyro_progress_done(ItemPointerGetBlockNumber(tid));
	rmi_sort_put(v->rows, isnull[0], isnull[0] ? 0 : rmi_key_from_datum(v->type, values[0]),
				 kyro_tid_from_pointer(tid), alive);
}

/*
 * Is it an exclusion constraint of equality?  Then it says the same as a unique
 * index.
 */
static bool
excludes_equal(Relation index)
{
	Oid		   *operators,
			   *functions;
	uint16	   *strategies;

	if (!index->rd_index->indisexclusion)
		return false;
	RelationGetExclusionInfo(index, &operators, &functions, &strategies);
	return strategies[0] == BTEqualStrategyNumber;
}

/* Has our own transaction inserted the row that an index entry leads to? */
static bool
row_is_own(Compare *v, uint64 tid)
{
	IndexFetchTableData *fetch = table_index_fetch_begin(v->heap);
	ItemPointerData pointer;
	bool		again = false;
	bool		own = false;

	kyro_tid_to_pointer(tid, &pointer);
	if (table_index_fetch_tuple(fetch, &pointer, v->snapshot, v->slot, &again, NULL))
	{
		bool		isnull;

		own = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot_getsysattr(v->slot, MinTransactionIdAttributeNumber, &isnull)));
		ExecClearTuple(v->slot);
	}
	table_index_fetch_end(fetch);
	return own;
}

/*
 * Go on to the next row.  Two that one snapshot sees cannot have the same key
 * in a unique index: who inserted the second has seen the end of whoever
 * deleted the first.  Our own transaction can have made them, if the constraint is
 * checked later.
 */
static void
next_row(Compare *v)
{
	RmiSortItem last = v->row;
	bool		had_row = v->have_row;

	v->have_row = rmi_sort_next(v->rows, &v->row);
	if (v->unique && had_row && v->have_row &&
		last.isnull == v->row.isnull && last.key == v->row.key &&
		(!last.isnull || v->info->ii_NullsNotDistinct) &&
		(v->index->rd_index->indimmediate ||
		 !(row_is_own(v, last.tid) || row_is_own(v, v->row.tid))))
		kyro_report(v->report, InvalidBlockNumber, "rows (%u,%u) and (%u,%u) of the table have the same key, in a unique index",
					(BlockNumber) (last.tid >> 16), (unsigned) (last.tid & 0xFFFF),
					(BlockNumber) (v->row.tid >> 16), (unsigned) (v->row.tid & 0xFFFF));
}

/* Sort what the rows of a new snapshot should have in the index. */
static void
collect_rows(void *arg)
{
	Compare    *v = (Compare *) arg;
	TableScanDesc scan;

	v->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (IsolationUsesXactSnapshot() && v->index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(v->index->rd_indextuple->t_data), v->snapshot->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" cannot be verified using transaction snapshot",
						RelationGetRelationName(v->index))));

	kyro_progress_phase(KYRO_PHASE_ROWS, RelationGetRelid(v->index), RelationGetNumberOfBlocks(v->heap));
	v->rows = rmi_sort_begin(maintenance_work_mem);
	v->info = BuildIndexInfo(v->index);
	v->info->ii_Unique = false;
	v->info->ii_ExclusionOps = NULL;
	v->info->ii_Concurrent = true;	/* an MVCC scan */
	scan = table_beginscan_strat(v->heap, v->snapshot, 0, NULL, true, false);
	(void) table_index_build_scan(v->heap, v->index, v->info, true, false,
								  row_callback, v, scan);
	rmi_sort_perform(v->rows);

	v->estate = CreateExecutorState();
	v->slot = table_slot_create(v->heap, NULL);
	GetPerTupleExprContext(v->estate)->ecxt_scantuple = v->slot;
	v->unique = v->index->rd_index->indisunique || excludes_equal(v->index);
	next_row(v);
}

/* Is the entry in the index now? */
static bool
entry_exists(Compare *v, KyroFence at)
{
	Buffer		buf = rmi_descend(v->index, at, false, BUFFER_LOCK_SHARE, NULL);
	LeafCursor *c = palloc(sizeof(LeafCursor));
	KyroEntry	e;
	bool		found;

	leaf_cursor_init(c, BufferGetPage(buf));
	leaf_cursor_seek(c, (KyroEntry) {at.key, at.tid}, false);
	found = leaf_low(BufferGetPage(buf)).isnull == at.isnull &&
		leaf_cursor_next(c, &e) && e.key == at.key && e.tid == at.tid;
	UnlockReleaseBuffer(buf);
	pfree(c);
	return found;
}

/* Does a row in the slot have the entry's key? */
static bool
key_matches(Compare *v, KyroFence at)
{
	Datum		value;
	bool		isnull;

	FormIndexDatum(v->info, v->slot, v->estate, &value, &isnull);
	return isnull == at.isnull &&
		(isnull || rmi_key_from_datum(v->type, value) == at.key);
}

/* Is a tuple's inserter in progress, or has it committed? */
static bool
inserted(HeapTupleHeader t)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(t);

	if (HeapTupleHeaderXminCommitted(t))	/* or frozen */
		return true;
	return !HeapTupleHeaderXminInvalid(t) &&
		(TransactionIdIsCurrentTransactionId(xmin) || TransactionIdIsInProgress(xmin) || TransactionIdDidCommit(xmin));
}

/*
 * Copies of the versions of a row that an entry leads to: the tuple itself and
 * what HOT updates made of it, without those whose inserter has aborted.  The
 * page is locked.  NIL if some are missing, or if the first one's inserter has
 * aborted: then there is nothing to compare with.
 */
static List *
versions_on(Compare *v, Page page, BlockNumber block, OffsetNumber off)
{
	List	   *versions = NIL;
	TransactionId xmax = InvalidTransactionId;
	ItemId		item = PageGetItemId(page, off);

	if (ItemIdIsRedirected(item))
		off = ItemIdGetRedirect(item);
	while (list_length(versions) < MaxHeapTuplesPerPage)
	{
		HeapTupleData tuple;

		if (off < FirstOffsetNumber || off > PageGetMaxOffsetNumber(page))
			return NIL;
		item = PageGetItemId(page, off);
		if (!ItemIdIsNormal(item))
			return NIL;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(v->heap);
		ItemPointerSet(&tuple.t_self, block, off);
		if (TransactionIdIsValid(xmax) && !TransactionIdEquals(HeapTupleHeaderGetXmin(tuple.t_data), xmax))
			return NIL;
		if (inserted(tuple.t_data))
			versions = lappend(versions, heap_copytuple(&tuple));
		else if (versions == NIL)
			return NIL;			/* the entry belongs to an aborted row */
		if (!HeapTupleHeaderIsHotUpdated(tuple.t_data))
			return versions;
		if (ItemPointerGetBlockNumberNoCheck(&tuple.t_data->t_ctid) != block)
			return NIL;
		off = ItemPointerGetOffsetNumberNoCheck(&tuple.t_data->t_ctid);
		xmax = HeapTupleHeaderGetUpdateXid(tuple.t_data);
	}
	return NIL;
}

/* Why an entry cannot be right, from the table's side; NULL if it can. */
static const char *
entry_problem(Compare *v, KyroFence at)
{
	ItemPointerData tid;
	BlockNumber block = (BlockNumber) (at.tid >> 16);
	OffsetNumber off = (OffsetNumber) (at.tid & 0xFFFF);

	/*
	 * an aborted row may lack the toasted values that an expression would
	 * need
	 */
	bool		compare = v->info->ii_Expressions == NIL;
	Buffer		buf;
	Page		page;
	const char *problem = NULL;
	List	   *versions = NIL;
	ListCell   *lc;

	if (off == InvalidOffsetNumber)
		return "address is not valid";
	if (block >= RelationGetNumberOfBlocks(v->heap))
		return "address is past the end of the table";

	/* the row has moved; the next VACUUM removes the entry */
	if (block == 0 && store_is_kyro(v->heap) && store_open(v->heap)->seal_from == STORE_ENTRIES_LEFT)
		return NULL;

	buf = ReadBuffer(v->heap, block);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	if (store_is_kyro(v->heap) && store_page_kind(page) == STORE_ROWS)
	{
		StoreRun   *run;

		UnlockReleaseBuffer(buf);
		run = store_find_run(store_open(v->heap), block);
		if (run != NULL && store_run_aborted(run))
			return NULL;		/* until VACUUM removes it */
		if (run == NULL)
			compare = false;
		kyro_tid_to_pointer(at.tid, &tid);
		if (!table_tuple_fetch_row_version(v->heap, &tid, SnapshotAny, v->slot))
			problem = "address has no row in the table";
		else if (compare && !key_matches(v, at))
			problem = "key differs from the row's";
		ExecClearTuple(v->slot);
		return problem;
	}
	if (PageIsNew(page) || off > PageGetMaxOffsetNumber(page))
		problem = "address has no item in the table";
	else if (!ItemIdIsUsed(PageGetItemId(page, off)))
		problem = "address has no row in the table";
	else if (ItemIdIsNormal(PageGetItemId(page, off)) &&
			 HeapTupleHeaderIsHeapOnly((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, off))))
		problem = "address belongs to a heap-only tuple";
	else if (compare)
		versions = versions_on(v, page, block, off);
	UnlockReleaseBuffer(buf);

	/*
	 * the index may be younger than a version; then the key is that of a
	 * later one
	 */
	foreach(lc, versions)
	{
		ExecForceStoreHeapTuple((HeapTuple) lfirst(lc), v->slot, false);
		problem = key_matches(v, at) ? NULL : "key differs from the row's";
		ExecClearTuple(v->slot);
		if (problem == NULL)
			break;
	}
	list_free_deep(versions);
	return problem;
}

static void
missing_row(Compare *v, BlockNumber block)
{
	kyro_report(v->report, block, "row (%u,%u) of the table is missing in the index",
				(BlockNumber) (v->row.tid >> 16), (unsigned) (v->row.tid & 0xFFFF));
	next_row(v);
}

/*
 * Merge the entries of one leaf with the rows; both are in order.  Entries
 * below `from` were on the leaf before, and are done.
 */
static void
compare_entries(void *arg, Page page, BlockNumber block, KyroFence from)
{
	Compare    *v = (Compare *) arg;
	bool		isnull = leaf_low(page).isnull;
	int			n = leaf_decode(page, v->entries);

	for (int i = 0; i < n; i++)
	{
		KyroFence	at = {v->entries[i].key, v->entries[i].tid, isnull};
		KyroFence	row = KYRO_FENCE_MIN;
		int			cmp = -1;
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if (kyro_fence_cmp(at, from) < 0)
			continue;
		while (v->have_row)
		{
			row = (KyroFence) {v->row.key, v->row.tid, v->row.isnull};
			cmp = kyro_fence_cmp(at, row);
			if (cmp <= 0)
				break;
			missing_row(v, block);
			cmp = -1;
		}
		if (cmp == 0)
		{
			next_row(v);
			continue;
		}
		DEBUG_POINT("verify-other-entry");
		problem = entry_problem(v, at);
		if (problem != NULL && entry_exists(v, at))
			kyro_report(v->report, block, "entry for row (%u,%u): %s",
						(BlockNumber) (at.tid >> 16), (unsigned) (at.tid & 0xFFFF), problem);
	}
}

/* The walk has ended. */
static void
end_compare(void *arg, bool complete)
{
	Compare    *v = (Compare *) arg;

	while (complete && v->have_row)
	{
		CHECK_FOR_INTERRUPTS();
		missing_row(v, InvalidBlockNumber);
	}
	rmi_sort_end(v->rows);
	ExecDropSingleTupleTableSlot(v->slot);
	FreeExecutorState(v->estate);
	UnregisterSnapshot(v->snapshot);
}

RmiLeafVisitor
kyro_compare_rows(Relation heap, Relation index, KyroReport *report)
{
	Compare    *v = palloc0(sizeof(Compare));

	v->report = report;
	v->heap = heap;
	v->index = index;
	v->type = rmi_key_type(index);
	v->entries = palloc(KYRO_LEAF_MAX_ENTRIES * sizeof(KyroEntry));
	return (RmiLeafVisitor) {collect_rows, compare_entries, end_compare, v};
}
