/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  kyro.snapshot(): move the rows of the log into a new run.
 *
 * The lock keeps out writers, row lockers, VACUUM and other seals, but no
 * reader.  Then, with a snapshot taken under the lock:
 *
 * 1. the rows of the log that it sees are sorted and written as a run at the
 *	  end of the file;
 * 2. the run is entered in the list, with the xid and command id that sealed;
 * 3. index entries for the sealed rows are inserted.  Nothing is checked: the
 *	  set of rows does not change;
 * 4. each log tuple is stamped as deleted by us, and points to the sealed row.
 *
 * A snapshot that sees our transaction sees the run and not the log tuples,
 * any other sees the log tuples and not the run.  If we fail, or the server
 * does, the run is one of an aborted transaction and the stamps are too.
 *
 * Stamping is not a heap_delete(): that would delete the TOAST values that the
 * sealed row points to as well, and would be decoded as a deletion.
 *
 * IDENTIFICATION
 *	  src/store/seal.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/tablecmds.h"
#include "commands/vacuum.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "debug_point.h"
#include "patience.h"
#include "store/handler.h"
#include "store/stats.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(kyro_snapshot);

/* ---- which rows ---- */

/*
 * A row that our own transaction has locked must keep its lock if what sealed it
 * is rolled back to a savepoint; the stamp would overwrite it.
 */
static void
refuse_locked(Relation rel, HeapTuple tuple)
{
	HeapTupleHeader t = tuple->t_data;
	bool		locked;

	if ((t->t_infomask & HEAP_XMAX_INVALID) || !HEAP_XMAX_IS_LOCKED_ONLY(t->t_infomask))
		return;
	if (t->t_infomask & HEAP_XMAX_IS_MULTI)
		locked = MultiXactIdIsRunning(HeapTupleHeaderGetRawXmax(t), true);
	else
		locked = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(t)) ||
			TransactionIdIsInProgress(HeapTupleHeaderGetRawXmax(t));
	if (locked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot seal rows of \"%s\" that this transaction has locked",
						RelationGetRelationName(rel)),
				 errhint("Commit first.")));
}

/*
 * Collect up to max_rows rows of the log.  The log is read from where the last
 * seal stopped, and at its end from the beginning, so that a series of seals
 * reads it once, and each finds whatever there is.  Returns where the next one
 * is to begin, 0 if this one has read all.
 */
static BlockNumber
collect(Relation rel, StoreTable *table, Snapshot snapshot, uint64 max_rows, StoreWriter *w)
{
	HeapScanDesc heap = (HeapScanDesc) heap_beginscan(rel, snapshot, 0, NULL, NULL,
													  SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb seal", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	BlockNumber start = table->seal_from < heap->rs_nblocks ? table->seal_from : 0;
	BlockNumber block = start;
	BlockNumber next = 0;
	int			next_run = store_first_run_ending_after(table, start);
	bool		wrapped = false;

	while (!wrapped || block < start)
	{
		Page		page;

		if (block >= heap->rs_nblocks)
		{
			if (start == 0)
				break;
			wrapped = true;
			block = 0;
			next_run = 0;
			continue;
		}
		if (next_run < table->nruns && block >= table->runs[next_run].first)
		{
			block = STORE_RUN_END(&table->runs[next_run]);
			next_run++;
			continue;
		}
		kyro_heap_page(heap, block);
		page = BufferGetPage(heap->rs_cbuf);
		for (int i = 0; i < heap->rs_ntuples && store_writer_rows(w) < max_rows; i++)
		{
			ItemId		item = PageGetItemId(page, heap->rs_vistuples[i]);
			HeapTupleData tuple;

			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(rel);
			ItemPointerSet(&tuple.t_self, block, heap->rs_vistuples[i]);
			if (store_is_ledger(tuple.t_data))
				continue;
			refuse_locked(rel, &tuple);
			if (store_writer_fits(rel, &tuple))
				store_writer_put(w, &tuple);
		}
		MemoryContextReset(cxt);
		if (store_writer_rows(w) >= max_rows)
		{
			next = block;		/* there may be more on this page */
			break;
		}
		block++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	heap_endscan((TableScanDesc) heap);
	return next;
}

/* ---- stamping ---- */

/* (log TID, sealed TID) of all rows, to be sorted by the former */
typedef struct Moves
{
	Tuplesortstate *sort;
	TupleTableSlot *slot;		/* going in */
	TupleTableSlot *sorted;		/* coming out */
} Moves;

static int64
tid_encode(ItemPointer tid)
{
	return (int64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid);
}

static void
tid_decode(int64 encoded, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (encoded >> 16), (OffsetNumber) (encoded & 0xFFFF));
}

static void
moves_begin(Moves *moves)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	AttrNumber	attnum = 1;
	Oid			operator = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	TupleDescInitEntry(desc, 1, NULL, INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, NULL, INT8OID, -1, 0);
	moves->sort = tuplesort_begin_heap(desc, 1, &attnum, &operator, &collation, &nulls_first,
									   maintenance_work_mem, NULL, TUPLESORT_NONE);
	moves->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	moves->sorted = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

static void
moves_put(void *arg, ItemPointer from, ItemPointer to)
{
	Moves	   *moves = (Moves *) arg;

	ExecClearTuple(moves->slot);
	moves->slot->tts_values[0] = Int64GetDatum(tid_encode(from));
	moves->slot->tts_values[1] = Int64GetDatum(tid_encode(to));
	moves->slot->tts_isnull[0] = moves->slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(moves->slot);
	tuplesort_puttupleslot(moves->sort, moves->slot);
}

static bool
moves_next(Moves *moves, ItemPointer from, ItemPointer to)
{
	if (!tuplesort_gettupleslot(moves->sort, true, false, moves->sorted, NULL))
		return false;
	slot_getallattrs(moves->sorted);
	tid_decode(DatumGetInt64(moves->sorted->tts_values[0]), from);
	tid_decode(DatumGetInt64(moves->sorted->tts_values[1]), to);
	return true;
}

static void
moves_end(Moves *moves)
{
	tuplesort_end(moves->sort);
	ExecDropSingleTupleTableSlot(moves->slot);
	ExecDropSingleTupleTableSlot(moves->sorted);
}

/*
 * What heap_delete() leaves in a tuple, but for the link to the sealed row.
 */
static void
stamp_tuple(HeapTupleHeader t, TransactionId xid, CommandId cid, ItemPointer to)
{
	bool		combo;

	HeapTupleHeaderAdjustCmax(t, &cid, &combo);
	t->t_infomask &= ~(HEAP_XMAX_BITS | HEAP_MOVED);
	t->t_infomask2 |= HEAP_KEYS_UPDATED;
	HeapTupleHeaderClearHotUpdated(t);
	HeapTupleHeaderSetXmax(t, xid);
	HeapTupleHeaderSetCmax(t, cid, combo);
	t->t_ctid = *to;
}

/*
 * What runs while we seal, say in an expression of an index, runs in our
 * transaction: the table's lock does not keep it from changing rows.
 */
static void
check_unchanged(Relation rel, HeapTupleHeader t, ItemPointer tid)
{
	if (!(t->t_infomask & HEAP_XMAX_INVALID) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(t)))
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("row (%u,%u) of \"%s\" was changed while it was sealed",
						ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
						RelationGetRelationName(rel)),
				 errhint("Expressions and predicates of indexes must not change the table.")));
}

/* Stamp all log tuples that were sealed, one record for each page. */
static void
stamp(Relation rel, Moves *moves, TransactionId xid, CommandId cid)
{
	ItemPointerData from,
				to;
	Buffer		vmbuffer = InvalidBuffer;
	bool		more;

	tuplesort_performsort(moves->sort);
	more = moves_next(moves, &from, &to);
	while (more)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&from);
		Buffer		buffer = ReadBuffer(rel, block);
		GenericXLogState *state;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		visibilitymap_pin(rel, block, &vmbuffer);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (PageIsAllVisible(BufferGetPage(buffer)))
			store_vm_clear(rel, block, 1, &vmbuffer);
		state = GenericXLogStart(rel);
		page = GenericXLogRegisterBuffer(state, buffer, 0);
		PageClearAllVisible(page);
		PageSetPrunable(page, xid);
		do
		{
			ItemId		item = PageGetItemId(page, ItemPointerGetOffsetNumber(&from));

			if (!ItemIdIsNormal(item))
				elog(ERROR, "sealed row (%u,%u) of \"%s\" left the log", block,
					 ItemPointerGetOffsetNumber(&from), RelationGetRelationName(rel));
			check_unchanged(rel, (HeapTupleHeader) PageGetItem(page, item), &from);
			stamp_tuple((HeapTupleHeader) PageGetItem(page, item), xid, cid, &to);
			more = moves_next(moves, &from, &to);
		} while (more && ItemPointerGetBlockNumber(&from) == block);
		store_log_page_finish(state);
		UnlockReleaseBuffer(buffer);
		DEBUG_POINT("seal-page-stamped");
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
}

/* ---- indexes ---- */

static const StoreBulkInsert *bulk_insert = NULL;

void
store_set_bulk_insert(const StoreBulkInsert *methods)
{
	bulk_insert = methods;
}

static void
insert_into_indexes(Relation rel, const StoreRun *run)
{
	List	   *oids = RelationGetIndexList(rel);
	int			nindexes = 0;
	Relation   *indexes = palloc(Max(list_length(oids), 1) * sizeof(Relation));
	IndexInfo **infos = palloc(Max(list_length(oids), 1) * sizeof(IndexInfo *));
	ExprState **predicates = palloc(Max(list_length(oids), 1) * sizeof(ExprState *));
	void	  **bulks = palloc0(Max(list_length(oids), 1) * sizeof(void *));
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	StoreTable *table = store_open(rel);
	StorePage	p = {0};
	ListCell   *lc;

	econtext->ecxt_scantuple = slot;
	foreach(lc, oids)
	{
		Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);

		/* one being built, or being dropped, concurrently: its affair */
		if (!index->rd_index->indisready)
		{
			index_close(index, RowExclusiveLock);
			continue;
		}
		indexes[nindexes] = index;
		infos[nindexes] = BuildIndexInfo(index);
		predicates[nindexes] = ExecPrepareQual(infos[nindexes]->ii_Predicate, estate);
		if (bulk_insert != NULL && bulk_insert->is_mine(index))
			bulks[nindexes] = bulk_insert->begin(index, maintenance_work_mem / list_length(oids));
		nindexes++;
	}

	for (BlockNumber block = run->first; nindexes > 0 && block < run->first + run->pages; block++)
	{
		if (!store_page_get(rel, table, block, NULL, &p))
			elog(ERROR, "sealed page %u of \"%s\" belongs to no run", block, RelationGetRelationName(rel));
		for (OffsetNumber row = 1; row <= store_page_rows(&p)->h.count; row++)
		{
			CHECK_FOR_INTERRUPTS();
			store_row_slot(rel, &p, row, slot);
			for (int i = 0; i < nindexes; i++)
			{
				Datum		values[INDEX_MAX_KEYS];
				bool		isnull[INDEX_MAX_KEYS];

				if (predicates[i] != NULL && !ExecQual(predicates[i], econtext))
					continue;
				FormIndexDatum(infos[i], slot, estate, values, isnull);
				if (bulks[i] != NULL)
					bulk_insert->put(bulks[i], values[0], isnull[0], &slot->tts_tid);
				else
					index_insert(indexes[i], values, isnull, &slot->tts_tid, rel, UNIQUE_CHECK_NO, false, infos[i]);
			}
			ResetPerTupleExprContext(estate);
		}
	}

	store_page_release(&p);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	for (int i = 0; i < nindexes; i++)
	{
		if (bulks[i] != NULL)
			bulk_insert->finish(bulks[i]);
		else
			kyro_index_insert_done(indexes[i], infos[i]);
		index_close(indexes[i], NoLock);
	}
	pfree(bulks);
	pfree(indexes);
	pfree(infos);
	pfree(predicates);
	list_free(oids);
}

/* ---- the function ---- */

/*
 * The planner takes the number of rows to grow with the number of pages, which
 * a seal does not do.  Right even if we roll back: the pages stay.
 */
static void
update_statistics(Relation rel, const StoreRun *run)
{
	Form_pg_class form = rel->rd_rel;
	double		rows = form->reltuples;

	if (rows < 0 || form->relpages <= 0)
		return;
	rows = rint(rows / form->relpages * run->first);
	vac_update_relstats(rel, STORE_RUN_END(run), rows, form->relallvisible, form->relhasindex,
						InvalidTransactionId, InvalidMultiXactId, NULL, NULL, true);
}

/*
 * Seal up to max_rows rows; false if there was none.
 */
static bool
seal(Relation rel, uint64 max_rows, StoreRun *run)
{
	Snapshot	snapshot;
	StoreTable *table;
	StoreWriter *w;
	Oid			order = store_order_index(rel);
	Relation	index = OidIsValid(order) ? index_open(order, AccessShareLock) : NULL;
	TimestampTz start = GetCurrentTimestamp();
	Moves		moves;
	BlockNumber next;			/* where the next seal begins */
	bool		any;

	if (!store_is_whole(rel))
		store_make_whole(rel);
	store_remove_old_entries(rel);
	store_trim(rel);
	PushActiveSnapshot(GetLatestSnapshot());
	snapshot = GetActiveSnapshot();
	table = store_open(rel);
	TransferPredicateLocksToHeapRelation(rel);
	w = store_writer_begin(rel, rel, index);
	next = collect(rel, table, snapshot, max_rows, w);
	any = store_writer_rows(w) > 0;
	DEBUG_POINT("seal-collected");
	if (any)
	{
		FullTransactionId fxid = GetCurrentFullTransactionId();
		TransactionId xid = XidFromFullTransactionId(fxid);
		CommandId	cid = GetCurrentCommandId(true);

		moves_begin(&moves);
		store_writer_write(w, U64FromFullTransactionId(fxid), run, moves_put, &moves);
		run->cmin = cid;
		run->duration = GetCurrentTimestamp() - start;
		DEBUG_POINT("seal-written");
		store_list_add(rel, run, next);
		DEBUG_POINT("seal-listed");
		insert_into_indexes(rel, run);
		DEBUG_POINT("seal-indexed");
		stamp(rel, &moves, xid, cid);
		DEBUG_POINT("seal-stamped");
		moves_end(&moves);
		kyro_report_moved_rows(rel, run->rows, run->rows);
		update_statistics(rel, run);
		CacheInvalidateRelcache(rel);
		run->duration = GetCurrentTimestamp() - start;
	}
	store_writer_end(w);
	PopActiveSnapshot();
	if (index)
		index_close(index, NoLock);
	return any;
}

/*
 * The same as the table's owner, whose code index expressions are, and with
 * what goes wrong on record.
 */
static bool
seal_as_owner(Relation rel, uint64 max_rows, StoreRun *run)
{
	MemoryContext cxt = CurrentMemoryContext;
	Oid			save_user;
	int			save_context,
				nest_level;
	bool		any;

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, save_context | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	PG_TRY();
	{
		any = seal(rel, max_rows, run);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		store_stats_seal_failed(RelationGetRelid(rel), error->message);
		FlushErrorState();
		ReThrowError(error);
	}
	PG_END_TRY();
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(save_user, save_context);
	if (any)
		store_stats_sealed(rel, run);
	return any;
}

/* Raise an error unless we may seal this table, and now. */
static void
check_table(Relation rel)
{
	if (!store_is_kyro(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table of access method kyro", RelationGetRelationName(rel)),
				 errhint("ALTER TABLE ... SET ACCESS METHOD kyro makes it one.")));
	if (!kyro_owns_relation(RelationGetRelid(rel), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(rel->rd_rel->relkind), RelationGetRelationName(rel));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	CheckTableNotInUse(rel, "seal");
}

/*
 * Open a kyro table to seal it, and lock it.
 */
static Relation
open_table(Oid relid, LOCKMODE mode)
{
	Relation	rel;
	char		relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid)));
	if (relkind == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned table", get_rel_name(relid)),
				 errhint("Seal each of its partitions.")));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW && relkind != RELKIND_TOASTVALUE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relid))));
	/* before we wait for any lock */
	if (!kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relkind), get_rel_name(relid));

	/* what is wrong already need not wait for others, nor may they wait for pins of ours */
	if (ConditionalLockRelationOid(relid, AccessShareLock))
	{
		rel = table_open(relid, NoLock);
		check_table(rel);
		table_close(rel, AccessShareLock);
	}
	kyro_lock_patiently(relid, mode, "seal it");
	rel = table_open(relid, NoLock);
	check_table(rel);
	return rel;
}

/*
 * Nothing was found to seal.  Say so if an earlier call in the same command has
 * sealed what its snapshot still sees in the log.
 */
static void
note_earlier_call(Relation rel)
{
	StoreTable *table = store_open(rel);

	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];

		if (run->fxid != 0 && TransactionIdIsCurrentTransactionId((TransactionId) run->fxid) &&
			run->cmin >= GetActiveSnapshot()->curcid)
		{
			ereport(NOTICE,
					(errmsg("\"%s\" was sealed by an earlier call in this command",
							RelationGetRelationName(rel)),
					 errhint("(kyro.snapshot(...)).* is a call for each column; write kyro.snapshot(...) in FROM.")));
			return;
		}
	}
}

/*
 * kyro.snapshot(tbl regclass, max_rows bigint)
 */
Datum
kyro_snapshot(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Relation	rel;
	StoreRun	run;
	uint64		max_rows = PG_UINT64_MAX;
	bool		any;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!PG_ARGISNULL(1))
	{
		if (PG_GETARG_INT64(1) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("max_rows must be greater than 0")));
		max_rows = PG_GETARG_INT64(1);
	}
	PreventCommandIfReadOnly("kyro.snapshot()");
	PreventCommandIfParallelMode("kyro.snapshot()");
	PreventCommandDuringRecovery("kyro.snapshot()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot seal rows in a transaction with a fixed snapshot"),
				 errdetail("Rows committed since the snapshot would be lost from view."),
				 errhint("Use isolation level READ COMMITTED.")));

	rel = open_table(PG_GETARG_OID(0), ExclusiveLock);
	if (!store_is_whole(rel))
	{
		store_check_all_log(rel);
		/* readers, too, must be out while it gets its list; see store_make_whole() */
		table_close(rel, ExclusiveLock);
		rel = open_table(PG_GETARG_OID(0), AccessExclusiveLock);
		LockRelation(rel, ExclusiveLock);
		if (store_is_whole(rel))
			UnlockRelation(rel, AccessExclusiveLock);
	}

	any = seal_as_owner(rel, max_rows, &run);
	if (any)
	{
		Interval   *duration = palloc0(sizeof(Interval));

		/* what this command calls next must see it, above all another seal */
		CommandCounterIncrement();
		duration->time = run.duration;
		values[0] = Int64GetDatum(run.first);
		values[1] = Int64GetDatum(run.rows);
		values[2] = Int64GetDatum(STORE_RUN_END(&run) - run.first);
		values[3] = Int64GetDatum((int64) (STORE_RUN_END(&run) - run.first) * BLCKSZ);
		values[4] = IntervalPGetDatum(duration);
	}
	else
	{
		note_earlier_call(rel);
		nulls[0] = nulls[4] = true;
		values[1] = values[2] = values[3] = Int64GetDatum(0);
	}
	table_close(rel, NoLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
