/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  kyro.verify(): is an index sound, and does it agree with its table?
 *
 * The check of the structure walks the chain of leaves with each next leaf
 * locked before the last is let go, so that a concurrent split or deletion is
 * never seen half done.  It reports what it finds as rows and goes on where
 * it can.
 *
 * With deep, the table is scanned first with an MVCC snapshot; the keys and
 * addresses that its rows should have in the index are sorted and merged with
 * the entries met on the walk.  A row that the snapshot sees was in the index
 * before the walk began, so one not met is missing, whatever writers do
 * meanwhile.  An entry without such a row belongs to a row newer than the
 * snapshot or to a dead one: it must point to an item that exists, is not
 * heap-only, and has the entry's key.  VACUUM may remove both meanwhile, the
 * entry first; so an entry is reported only if it is still there after the
 * look at the table.
 *
 * The key of a version is compared only if who inserted it has not aborted: it
 * may have been made when the table had other columns.
 *
 * All locks are the weakest ones, and it works on a standby.
 *
 * IDENTIFICATION
 *	  src/inspect/verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "debug_point.h"
#include "inspect/report.h"
#include "inspect/table.h"
#include "inspect/target.h"
#include "inspect/verify.h"
#include "keys/keys.h"
#include "progress.h"
#include "rmi/kyro_rmi.h"
#include "rmi/sort.h"
#include "store/handler.h"
#include "store/store.h"

typedef struct Verify
{
	KyroReport *report;
	Relation	heap;
	Relation	index;
	RmiMetaData meta;
	RmiKeyType	type;
	uint8	   *seen;			/* bitmap of blocks: leaves of the chain */
	BlockNumber nblocks;		/* when the walk began */
	BlockNumber refused;		/* a leaf that the server cannot read, and what it says */
	char	   *refusal;

	/* deep */
	RmiSort    *rows;			/* NULL: not deep */
	RmiSortItem row;			/* the next row expected */
	bool		have_row;
	Snapshot	snapshot;
	bool		unique;			/* no two rows may have the same key */
	IndexInfo  *info;
	EState	   *estate;
	TupleTableSlot *slot;
	KyroEntry  *entries;
} Verify;

#define verify_report(v, ...) kyro_report((v)->report, __VA_ARGS__)

/* ---- index against table ---- */

static void
verify_row_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
					bool alive, void *state)
{
	Verify	   *v = (Verify *) state;

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
verify_excludes_equal(Relation index)
{
	Oid		   *operators,
			   *functions;
	uint16	   *strategies;

	if (!index->rd_index->indisexclusion)
		return false;
	RelationGetExclusionInfo(index, &operators, &functions, &strategies);
	return strategies[0] == BTEqualStrategyNumber;
}

/* Was the row that an index entry leads to inserted by the transaction that we are in? */
static bool
verify_row_is_own(Verify *v, uint64 tid)
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
verify_next_row(Verify *v)
{
	RmiSortItem last = v->row;
	bool		had_row = v->have_row;

	v->have_row = rmi_sort_next(v->rows, &v->row);
	if (v->unique && had_row && v->have_row &&
		last.isnull == v->row.isnull && last.key == v->row.key &&
		(!last.isnull || v->info->ii_NullsNotDistinct) &&
		(v->index->rd_index->indimmediate ||
		 !(verify_row_is_own(v, last.tid) || verify_row_is_own(v, v->row.tid))))
		verify_report(v, InvalidBlockNumber, "rows (%u,%u) and (%u,%u) of the table have the same key, in a unique index",
					  (BlockNumber) (last.tid >> 16), (unsigned) (last.tid & 0xFFFF),
					  (BlockNumber) (v->row.tid >> 16), (unsigned) (v->row.tid & 0xFFFF));
}

/* Sort what the rows of a new snapshot should have in the index. */
static void
verify_collect_rows(Verify *v)
{
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
								  verify_row_callback, v, scan);
	rmi_sort_perform(v->rows);

	v->estate = CreateExecutorState();
	v->slot = table_slot_create(v->heap, NULL);
	GetPerTupleExprContext(v->estate)->ecxt_scantuple = v->slot;
	v->unique = v->index->rd_index->indisunique || verify_excludes_equal(v->index);
	verify_next_row(v);
}

/* Is the entry in the index now? */
static bool
verify_entry_exists(Verify *v, KyroFence at)
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
verify_key_matches(Verify *v, KyroFence at)
{
	Datum		value;
	bool		isnull;

	FormIndexDatum(v->info, v->slot, v->estate, &value, &isnull);
	return isnull == at.isnull &&
		(isnull || rmi_key_from_datum(v->type, value) == at.key);
}

/* Has who inserted a tuple not aborted? */
static bool
verify_inserted(HeapTupleHeader t)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(t);

	if (HeapTupleHeaderXminCommitted(t))	/* or frozen */
		return true;
	return !HeapTupleHeaderXminInvalid(t) &&
		(TransactionIdIsCurrentTransactionId(xmin) || TransactionIdIsInProgress(xmin) || TransactionIdDidCommit(xmin));
}

/*
 * Copies of the versions of a row that an entry leads to, on a locked page: the
 * tuple itself and what HOT updates made of it, as far as they were inserted.
 * NULL: not all of them are there, or there is none to compare with.
 */
static List *
verify_versions(Verify *v, Page page, BlockNumber block, OffsetNumber off)
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
		if (verify_inserted(tuple.t_data))
			versions = lappend(versions, heap_copytuple(&tuple));
		else if (versions == NIL)
			return NIL;			/* the entry is that of an aborted row */
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
verify_entry_problem(Verify *v, KyroFence at)
{
	ItemPointerData tid;
	BlockNumber block = (BlockNumber) (at.tid >> 16);
	OffsetNumber off = (OffsetNumber) (at.tid & 0xFFFF);
	/* an aborted row may lack the toasted values that an expression would need */
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

	/* of a row that has moved; the next VACUUM removes it */
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
		else if (compare && !verify_key_matches(v, at))
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
		versions = verify_versions(v, page, block, off);
	UnlockReleaseBuffer(buf);

	/* the index may be younger than a version; then the key is that of a later one */
	foreach(lc, versions)
	{
		ExecForceStoreHeapTuple((HeapTuple) lfirst(lc), v->slot, false);
		problem = verify_key_matches(v, at) ? NULL : "key differs from the row's";
		ExecClearTuple(v->slot);
		if (problem == NULL)
			break;
	}
	list_free_deep(versions);
	return problem;
}

static void
verify_missing_row(Verify *v, BlockNumber block)
{
	verify_report(v, block, "row (%u,%u) of the table is missing in the index",
				  (BlockNumber) (v->row.tid >> 16), (unsigned) (v->row.tid & 0xFFFF));
	verify_next_row(v);
}

/* Merge the entries of one leaf, in order, with the rows; those below from, which the leaf before had, are known. */
static void
verify_entries(Verify *v, Page page, BlockNumber block, KyroFence from)
{
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
			verify_missing_row(v, block);
			cmp = -1;
		}
		if (cmp == 0)
		{
			verify_next_row(v);
			continue;
		}
		DEBUG_POINT("verify-other-entry");
		problem = verify_entry_problem(v, at);
		if (problem != NULL && verify_entry_exists(v, at))
			verify_report(v, block, "entry for row (%u,%u): %s",
						  (BlockNumber) (at.tid >> 16), (unsigned) (at.tid & 0xFFFF), problem);
	}
}

/* ---- structure ---- */

/*
 * Find out whether the right sibling of a leaf, which is pinned and not locked, can be
 * read: while it is locked nobody may try.
 */
static void
verify_look_ahead(Verify *v, Buffer buf)
{
	Page		page = BufferGetPage(buf);
	BlockNumber to;

	/* a leaf that has changed meanwhile is not new, and so is its sibling's buffer */
	if (!leaf_header_ok(page) || !leaf_has_high(page))
		return;
	to = leaf_header(page)->right;
	if (to < RelationGetNumberOfBlocks(v->index) && (v->refusal = kyro_read_problem(v->index, to)) != NULL)
		v->refused = to;
}

/*
 * Pin and share-lock a leaf of the chain, or say why not.  If it is not the
 * leftmost, its left sibling from is locked and ends at *low; then it is looked
 * at before it is locked, as in rmi_lock_right().
 */
static Buffer
verify_open_leaf(Verify *v, BlockNumber block, BlockNumber from, const KyroFence *low)
{
	Buffer		buf;
	const char *problem;

	if (block >= RelationGetNumberOfBlocks(v->index))
	{
		verify_report(v, from, "right link leads to block %u, past the end of the index", block);
		return InvalidBuffer;
	}
	if (block == v->refused)
	{
		verify_report(v, block, "%s", v->refusal);
		return InvalidBuffer;
	}
	buf = ReadBuffer(v->index, block);
	if (low != NULL &&
		rmi_page_problem(BufferGetPage(buf), v->meta.index_id, block, RMI_PAGE_LEAF) == NULL &&
		kyro_fence_cmp(leaf_low(BufferGetPage(buf)), *low) != 0)
	{
		verify_report(v, block, "low fence is not the high fence of its left sibling, block %u", from);
		ReleaseBuffer(buf);
		return InvalidBuffer;
	}
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	problem = rmi_page_problem(BufferGetPage(buf), v->meta.index_id, block, RMI_PAGE_LEAF);
	if (problem == NULL && !leaf_header_ok(BufferGetPage(buf)))
		problem = "the leaf header is not valid";
	if (problem != NULL)
	{
		verify_report(v, block, "%s", problem);
		UnlockReleaseBuffer(buf);
		return InvalidBuffer;
	}
	return buf;
}

/*
 * The leaf that owns low, locked again.  Replay on a standby deletes
 * leaves in spite of pins: its range is then part of a leaf to the left, which may have
 * got its entries, too.
 */
static Buffer
verify_still_there(Verify *v, Buffer buf, KyroFence low)
{
	Page		page = BufferGetPage(buf);

	if (rmi_page_is(page, v->meta.index_id, BufferGetBlockNumber(buf), RMI_PAGE_LEAF) &&
		leaf_header_ok(page) && kyro_fence_cmp(leaf_low(page), low) == 0)
		return buf;
	UnlockReleaseBuffer(buf);
	return rmi_descend(v->index, low, false, BUFFER_LOCK_SHARE, NULL);
}

/*
 * Walk the chain; false if it breaks off.  Fences ascend, so a damaged chain
 * ends as well; a page can be met twice, if its leaf was deleted behind us and
 * the page used again.
 */
static bool
verify_chain(Verify *v)
{
	BlockNumber block = RMI_FIRST_LEAF;
	Buffer		buf;
	uint64		leaves = 0;
	KyroFence	from = KYRO_FENCE_MIN;	/* what the walk has come to */
	PGAlignedBlock copy;

	kyro_progress_phase(KYRO_PHASE_LEAVES, RelationGetRelid(v->index), v->nblocks);
	if (block < v->nblocks && (v->refusal = kyro_read_problem(v->index, block)) != NULL)
		v->refused = block;
	buf = verify_open_leaf(v, block, RMI_META_BLOCK, NULL);
	if (!BufferIsValid(buf))
		return false;
	/* it is never deleted */
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	verify_look_ahead(v, buf);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (kyro_fence_cmp(leaf_low(BufferGetPage(buf)), KYRO_FENCE_MIN) != 0)
		verify_report(v, block, "low fence of the leftmost leaf is not the lowest key");
	if (leaf_header(BufferGetPage(buf))->left != KYRO_NO_BLOCK)
		verify_report(v, block, "leftmost leaf has a left link");

	for (;;)
	{
		Page		page = BufferGetPage(buf);
		Buffer		next = InvalidBuffer;
		bool		more = leaf_has_high(page);
		bool		broken = false;
		const char *problem;

		if (block < v->nblocks)
			v->seen[block / 8] |= 1 << (block % 8);
		kyro_progress_done(++leaves);
		if (more)
		{
			BlockNumber to = leaf_header(page)->right;

			if (kyro_fence_cmp(leaf_high(page), leaf_low(page)) <= 0)
			{
				verify_report(v, block, "high fence is not above low fence");
				broken = true;
			}
			else if (to == block || to <= RMI_FIRST_LEAF)
			{
				verify_report(v, block, "right link leads to block %u, which cannot be a right sibling", to);
				broken = true;
			}
			else
			{
				KyroFence	high = leaf_high(page);

				next = verify_open_leaf(v, to, block, &high);
				if (!BufferIsValid(next))
					broken = true;
				else if (leaf_header(BufferGetPage(next))->left != block)
					verify_report(v, to, "left link leads to block %u instead of %u",
								  leaf_header(BufferGetPage(next))->left, block);
			}
		}
		memcpy(copy.data, page, BLCKSZ);
		UnlockReleaseBuffer(buf);

		problem = leaf_verify(copy.data);
		if (problem == NULL && (((PageHeader) copy.data)->pd_lower != leaf_lower(copy.data) ||
								((PageHeader) copy.data)->pd_upper != leaf_upper(copy.data)))
			problem = "page header does not agree with the leaf header";
		if (problem == NULL && !leaf_sum_ok(copy.data) && CHECKSUMS_COUNT())
			problem = "the checksum of the leaf is not right";
		if (problem != NULL)
			verify_report(v, block, "%s", problem);
		/*
		 * Comparing looks elsewhere, and cancels must get through: not with the
		 * next leaf locked.
		 */
		if (BufferIsValid(next))
			LockBuffer(next, BUFFER_LOCK_UNLOCK);
		if (problem == NULL && v->rows != NULL)
			verify_entries(v, copy.data, block, from);
		CHECK_FOR_INTERRUPTS();
		if (BufferIsValid(next))
		{
			verify_look_ahead(v, next);
			LockBuffer(next, BUFFER_LOCK_SHARE);
			if (!broken)
			{
				from = leaf_high(copy.data);
				next = verify_still_there(v, next, from);
			}
		}
		if (broken)
		{
			if (BufferIsValid(next))
				UnlockReleaseBuffer(next);
			return false;
		}
		if (!more)
			return true;
		buf = next;
		block = BufferGetBlockNumber(buf);
	}
}

/* What is right of the index and, if deep, of what it says of the table. */
static void
verify_all(Verify *v, bool deep)
{
	Oid			relid = RelationGetRelid(v->index);
	char	   *problem = NULL;

	kyro_progress_phase(KYRO_PHASE_STRUCTURE, relid, 0);
	if (RelationGetNumberOfBlocks(v->index) > 0)
		problem = kyro_read_problem(v->index, RMI_META_BLOCK);
	if (problem != NULL)
	{
		verify_report(v, RMI_META_BLOCK, "%s", problem);
		return;
	}
	rmi_read_meta(v->index, &v->meta);
	if (v->meta.key_type != v->type)
		verify_report(v, RMI_META_BLOCK, "index was built for another type");
	problem = keys_problem(relid);
	if (problem != NULL)
		verify_report(v, InvalidBlockNumber, "%s", problem);
	kyro_verify_directory(v->index, v->report);

	if (deep)
	{
		v->entries = palloc(KYRO_LEAF_MAX_ENTRIES * sizeof(KyroEntry));
		verify_collect_rows(v);
	}
	v->nblocks = RelationGetNumberOfBlocks(v->index);
	v->seen = palloc0(v->nblocks / 8 + 1);
	if (verify_chain(v))
	{
		while (deep && v->have_row)
		{
			CHECK_FOR_INTERRUPTS();
			verify_missing_row(v, InvalidBlockNumber);
		}
		kyro_verify_unlinked(v->index, v->meta.index_id, v->seen, v->nblocks, v->report);
	}
	if (deep)
	{
		rmi_sort_end(v->rows);
		ExecDropSingleTupleTableSlot(v->slot);
		FreeExecutorState(v->estate);
		UnregisterSnapshot(v->snapshot);
	}
}

static void
verify_index(Oid relid, bool deep, KyroReport *report)
{
	Verify	   *v = palloc0(sizeof(Verify));
	Oid			save_userid;
	int			save_sec_context;
	int			save_nestlevel;

	v->report = report;
	v->refused = InvalidBlockNumber;
	v->index = rmi_open_for_function(relid, AccessShareLock, true, &v->heap);
	v->type = rmi_key_type(v->index);

	if (deep && v->heap->rd_rel->relam != HEAP_TABLE_AM_OID && !store_is_kyro(v->heap))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only indexes on heap tables can be compared with their tables")));

	/* expressions and predicates run as the owner of the table, and harmlessly */
	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(v->heap->rd_rel->relowner,
						   save_sec_context | SECURITY_RESTRICTED_OPERATION);
	save_nestlevel = NewGUCNestLevel();

	verify_all(v, deep);

	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_userid, save_sec_context);
	relation_close(v->index, AccessShareLock);
	table_close(v->heap, AccessShareLock);
}

typedef struct VerifyCall
{
	bool		deep;
	Oid			relid;			/* the table or index at hand */
	KyroReport	report;
} VerifyCall;

static void
verify_one(void *arg)
{
	VerifyCall *call = (VerifyCall *) arg;

	if (store_is_kyro_oid(call->relid))
		kyro_verify_table(call->relid, call->deep, &call->report);
	else
		verify_index(call->relid, call->deep, &call->report);
}

/* What the parts do not expect, as damage to TOAST tables and other indexes, is reported as the server puts it. */
static void
verify_target(Oid relid, const char *partition, void *arg)
{
	VerifyCall *call = (VerifyCall *) arg;
	ErrorData  *error;

	call->relid = relid;
	call->report.partition = partition;
	call->report.refused = NIL;
	error = kyro_attempt(verify_one, call);
	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(error);
	kyro_report(&call->report, InvalidBlockNumber, "%s%s%s",
				error->message, error->detail ? ": " : "", error->detail ? error->detail : "");
	FreeErrorData(error);
}

/* What is wrong in the catalogs of a tree of indexes, of which partitions are checked one by one. */
static void
verify_tree(Oid root, VerifyCall *call)
{
	List	   *indexes = find_all_inheritors(root, AccessShareLock, NULL);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Oid			index = lfirst_oid(lc);
		char	   *problem = NULL;

		if (!keys_is_ours(index))
			problem = pstrdup("is attached to a kyro_rmi index and is none: a dump could not be restored");
		else if (get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX)
			problem = keys_problem(index);
		call->report.partition = index == root ? NULL : get_rel_name(index);
		if (problem != NULL)
			kyro_report(&call->report, InvalidBlockNumber, "%s", problem);
	}
}

PG_FUNCTION_INFO_V1(kyro_verify);

/*
 * kyro.verify(rel, deep): one row for each problem of a kyro table or kyro_rmi
 * index, or of all partitions of one.  Only the owner may.
 */
Datum
kyro_verify(PG_FUNCTION_ARGS)
{
	VerifyCall	call = {.deep = PG_GETARG_BOOL(1)};

	InitMaterializedSRF(fcinfo, 0);
	call.report.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	kyro_progress_begin(PG_GETARG_OID(0));
	kyro_each_target(PG_GETARG_OID(0), true, verify_target, &call);
	if (get_rel_relkind(PG_GETARG_OID(0)) == RELKIND_PARTITIONED_INDEX)
		verify_tree(PG_GETARG_OID(0), &call);
	kyro_progress_end();
	return (Datum) 0;
}
