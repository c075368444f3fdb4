/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Seals: move rows of the log, or of other runs (move.c), into a new run.  SQL
 *	  function kyro.snapshot().
 *
 * The lock on the table keeps out VACUUM, other seals, index builds and changes of
 * its definition, but no reader and no writer.  With one snapshot, held until the
 * end of the seal:
 *
 * 1. The rows of the log that it sees, and that nobody has changed or locked, are
 *	  sorted and written as a run, in empty log pages or at the end of the file.
 * 2. The run is added to the list, with the xid and command id that sealed it.
 * 3. Index entries for the sealed rows are inserted.  Uniqueness is not checked: the
 *	  set of rows does not change.
 * 4. Each log tuple that is still free is stamped as deleted by us, with a link to
 *	  the sealed row.  The sealed copies of the others are dead from birth (stamp.c).
 *
 * A snapshot that sees our transaction sees the run and not the log tuples, any
 * other sees the log tuples and not the run.  If we fail, or the server crashes,
 * run and stamps are those of an aborted transaction.  Stamping comes last because
 * writers of stamped rows wait until we commit.
 *
 * IDENTIFICATION
 *	  src/store/seal.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/commit_ts.h"
#include "access/genam.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "commands/vacuum.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "patience.h"
#include "progress.h"
#include "store/handler.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(kyro_snapshot);

/* ---- which rows ---- */

/*
 * Was a row committed before a moment?  Yes, if that is not known any more.  No, for
 * rows of this transaction.
 */
static bool
is_older(HeapTupleHeader t, TimestampTz moment)
{
	TransactionId xid = HeapTupleHeaderGetXmin(t);
	TimestampTz committed;

	return TransactionIdIsCurrentTransactionId(xid) ? false :
		!TransactionIdIsNormal(xid) || !TransactionIdGetCommitTsData(xid, &committed, NULL) || committed < moment;
}

/* Of the rows of a log page that the snapshot sees, keep those that may be sealed. */
static int
free_rows(Relation rel, HeapScanDesc heap, Snapshot snapshot, OffsetNumber *rows)
{
	Page		page = BufferGetPage(heap->rs_cbuf);
	int			n = 0;

	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_SHARE);
	for (int i = 0; i < (int) heap->rs_ntuples; i++)
	{
		ItemId		item = PageGetItemId(page, heap->rs_vistuples[i]);
		HeapTupleData tuple;

		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, heap->rs_cblock, heap->rs_vistuples[i]);
		if (store_tuple_is_free(&tuple, snapshot, snapshot->curcid, heap->rs_cbuf))
			rows[n++] = heap->rs_vistuples[i];
	}
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_UNLOCK);
	return n;
}

/*
 * Collect rows of the log.  Unless what->pages, begins where the last seal has
 * stopped, and goes on from the beginning when it has come to the end: so a series
 * of calls reads the log once, and no call misses rows.  Returns the block where the
 * next seal is to begin, 0 if everything was read.
 */
static BlockNumber
collect(Relation rel, StoreTable *table, Snapshot snapshot, const StoreSeal *what, StoreWriter *w)
{
	HeapScanDesc heap = (HeapScanDesc) heap_beginscan(rel, snapshot, 0, NULL, NULL,
													  SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb seal", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	BlockNumber end = what->pages ? Min(what->end, heap->rs_nblocks) : heap->rs_nblocks;
	BlockNumber start = what->pages ? what->from : table->seal_from < end ? table->seal_from : 0;
	BlockNumber block = start;
	BlockNumber next = 0;
	int			next_run = store_first_run_ending_after(table, start);
	bool		wrapped = false;

	kyro_progress_phase(KYRO_PHASE_READ, InvalidOid, end);
	while (!wrapped || block < start)
	{
		OffsetNumber rows[MaxHeapTuplesPerPage];
		int			n;
		int			i;

		CHECK_FOR_INTERRUPTS();
		kyro_progress_done(what->pages ? block : wrapped ? end - start + block : block - start);
		if (block >= end)
		{
			if (start == 0 || what->pages)
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
		n = free_rows(rel, heap, snapshot, rows);
		for (i = 0; i < n && (what->pages || store_writer_rows(w) < what->rows); i++)
		{
			/*
			 * the page is pinned, so the tuple stays in place; the parts of
			 * its header that others may change are not copied
			 */
			Page		page = BufferGetPage(heap->rs_cbuf);
			ItemId		item = PageGetItemId(page, rows[i]);
			HeapTupleData tuple;

			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(rel);
			ItemPointerSet(&tuple.t_self, block, rows[i]);
			if (what->older_than != DT_NOEND && !is_older(tuple.t_data, what->older_than))
				continue;
			(void) store_writer_put(w, &tuple);
		}
		MemoryContextReset(cxt);
		if (store_writer_rows(w) >= what->rows)
		{
			/* unless whole pages are taken, this one may have more rows */
			next = what->pages ? block + 1 : block;
			break;
		}
		block++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	heap_endscan((TableScanDesc) heap);
	return next;
}

/* ---- indexes ---- */

static const StoreBulkInsert *bulk_insert = NULL;

void
store_set_bulk_insert(const StoreBulkInsert *methods)
{
	bulk_insert = methods;
}

/* Insert entries for the rows of a new run into all indexes. */
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

		/* being built or dropped concurrently: it does not want entries now */
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
 * The planner assumes that the number of rows grows with that of pages.  A seal adds
 * pages, but no rows, so the number of rows a page in pg_class is corrected.  That is
 * right even after a rollback: the pages stay.
 */
static void
update_statistics(Relation rel, BlockNumber added)
{
	Form_pg_class form = rel->rd_rel;
	double		rows = form->reltuples;
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);	/* others may have added
															 * pages, too */

	if (rows < 0 || form->relpages <= 0)
		return;
	rows = rint(rows / form->relpages * (nblocks - added));
	kyro_update_relstats(rel, nblocks, rows, form->relallvisible, kyro_relation_all_frozen(form),
						 form->relhasindex, true);
}

/*
 * Lock all indexes that will be written to, before the run can be found.  From then
 * on others may wait for us, so we must not wait for anybody.
 */
static void
lock_indexes(Relation rel)
{
	List	   *oids = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, oids)
		LockRelationOid(lfirst_oid(lc), RowExclusiveLock);
	list_free(oids);
}

/* Seal rows; contract as for store_seal(). */
static bool
seal(Relation rel, StoreSeal *what, StoreRun *run)
{
	Snapshot	snapshot;
	StoreTable *table;
	StoreWriter *w;
	Oid			order;
	Relation	index;
	TimestampTz start = GetCurrentTimestamp();
	bool		any,
				reused;

	if (!store_is_whole(rel))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		store_make_whole(rel);
		PopActiveSnapshot();
	}
	store_remove_old_entries(rel);
	lock_indexes(rel);
	order = store_order_index(rel);
	index = OidIsValid(order) ? index_open(order, AccessShareLock) : NULL;
	store_trim(rel, InvalidBlockNumber);

	/* what this snapshot sees is not pruned while we hold it */
	PushActiveSnapshot(GetLatestSnapshot());
	snapshot = GetActiveSnapshot();
	table = store_open(rel);
	TransferPredicateLocksToHeapRelation(rel);
	w = store_writer_begin(rel, rel, index);
	what->next = what->move ? store_move_collect(rel, table, snapshot, what, w) : collect(rel, table, snapshot, what, w);
	any = store_writer_rows(w) > 0;
	DEBUG_POINT("seal-collected");
	if (any)
	{
		FullTransactionId fxid = GetCurrentFullTransactionId();
		TransactionId xid = XidFromFullTransactionId(fxid);
		CommandId	cid = GetCurrentCommandId(true);
		StoreMoves *moves = store_moves_begin();

		kyro_progress_step(KYRO_PHASE_WRITE);
		any = store_writer_write(w, what->place, U64FromFullTransactionId(fxid), run, &reused, store_moves_put, moves);
		what->no_place = !any;
		if (!any)
			goto done;
		run->cmin = cid;
		run->flags = what->move ? STORE_RUN_MOVED : 0;
		run->duration = GetCurrentTimestamp() - start;
		DEBUG_POINT("seal-written");
		table = store_open(rel);
		store_list_add(rel, table->list_room, run, what->move ? table->seal_from : what->next);
		DEBUG_POINT("seal-listed");
		kyro_progress_step(KYRO_PHASE_INDEX);
		insert_into_indexes(rel, run);
		DEBUG_POINT("seal-indexed");

		/*
		 * flush now, so that the commit, which writers will wait for, has
		 * little left to flush
		 */
		if (synchronous_commit > SYNCHRONOUS_COMMIT_OFF && RelationNeedsWAL(rel))
			XLogFlush(XactLastRecEnd);
		kyro_progress_step(KYRO_PHASE_STAMP);
		what->losers = store_stamp(rel, moves, snapshot, xid, cid);
		DEBUG_POINT("seal-stamped");
		store_moves_end(moves);
		what->sealed = run->rows - what->losers;
		kyro_report_moved_rows(rel, what->sealed, run->rows);
		update_statistics(rel, reused ? 0 : STORE_RUN_END(run) - run->first);
		CacheInvalidateRelcache(rel);
		run->duration = GetCurrentTimestamp() - start;
	}
done:
	store_writer_end(w);
	PopActiveSnapshot();
	if (index)
		index_close(index, NoLock);
	return any;
}

bool
store_seal(Relation rel, StoreSeal *what, StoreRun *run)
{
	MemoryContext cxt = CurrentMemoryContext;
	Oid			save_user;
	int			save_context,
				nest_level;
	uint64		wal_before = pgWalUsage.wal_bytes;
	bool		any;

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, save_context | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	PG_TRY();
	{
		any = seal(rel, what, run);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		usage_seal_failed(RelationGetRelid(rel), error->message);
		FlushErrorState();
		ReThrowError(error);
	}
	PG_END_TRY();
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(save_user, save_context);
	if (any && !what->move)
		usage_sealed(RelationGetRelid(rel), run->rows, run->duration, pgWalUsage.wal_bytes - wal_before);
	return any;
}

/*
 * Raise an error unless this is a kyro table of the user's and no command of the
 * session is using it.
 */
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

/* Open a kyro table to seal it, with a lock of this mode. */
static Relation
open_table(Oid relid, LOCKMODE mode)
{
	Relation	rel;
	char		relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid)));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW && relkind != RELKIND_TOASTVALUE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relid))));
	/* check before waiting for a lock */
	if (!kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relkind), get_rel_name(relid));

	/*
	 * errors that are known already should not wait for a lock; and while we
	 * wait for it, nobody must wait for pins of this session's cursors
	 */
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

Relation
store_seal_open(Oid relid)
{
	Relation	rel = open_table(relid, ShareUpdateExclusiveLock);

	if (!store_is_whole(rel))
	{
		store_check_all_log(rel);

		/*
		 * store_make_whole() needs the table for itself
		 */
		table_close(rel, ShareUpdateExclusiveLock);
		rel = open_table(relid, AccessExclusiveLock);
		LockRelation(rel, ShareUpdateExclusiveLock);
		if (store_is_whole(rel))
			UnlockRelation(rel, AccessExclusiveLock);
	}
	return rel;
}

/*
 * Nothing was found to seal.  Tell the user if that is because an earlier call in the
 * same command has sealed the rows.
 */
static void
note_earlier_call(Relation rel)
{
	StoreTable *table = store_open(rel);

	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];

		if (run->fxid != 0 && run->state < RUN_ABORTED && TransactionIdIsCurrentTransactionId((TransactionId) run->fxid) &&
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
 * kyro.snapshot(tbl regclass, max_rows bigint).  Of a partitioned table, all
 * partitions, in the order of their OIDs, with the sums of what was done.
 */
Datum
kyro_snapshot(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	StoreSeal	what = {.rows = PG_UINT64_MAX, .older_than = DT_NOEND, .place = STORE_ANY_PLACE};
	List	   *tables;
	ListCell   *lc;
	BlockNumber first = 0;
	int64		rows = 0;
	int64		pages = 0;
	Interval   *duration;
	int			batches = 0;
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
		what.rows = PG_GETARG_INT64(1);
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

	if (get_rel_relkind(PG_GETARG_OID(0)) == RELKIND_PARTITIONED_TABLE)
		tables = store_partitions(PG_GETARG_OID(0));
	else
		tables = list_make1_oid(PG_GETARG_OID(0));
	duration = palloc0(sizeof(Interval));
	foreach(lc, tables)
	{
		Relation	rel;
		StoreRun	run;

		if (lfirst_oid(lc) != PG_GETARG_OID(0) && get_rel_relkind(lfirst_oid(lc)) == '\0')
			continue;			/* dropped meanwhile */
		rel = store_seal_open(lfirst_oid(lc));
		kyro_progress_begin(KYRO_SNAPSHOT, lfirst_oid(lc));
		kyro_progress_batches(rows, batches);
		what.sealed = 0;
		if (store_seal(rel, &what, &run))
		{
			/*
			 * what this command calls next, above all another seal, must see
			 * the run
			 */
			CommandCounterIncrement();
			duration->time += run.duration;
			first = run.first;
			rows += what.sealed;
			batches++;
			pages += STORE_RUN_END(&run) - run.first;
			what.rows -= Min(what.rows, run.rows);
		}
		else
			note_earlier_call(rel);
		kyro_progress_end();
		table_close(rel, NoLock);
		if (what.rows == 0)
			break;
	}
	values[0] = Int64GetDatum(first);
	values[1] = Int64GetDatum(rows);
	values[2] = Int64GetDatum(pages);
	values[3] = Int64GetDatum(pages * BLCKSZ);
	values[4] = IntervalPGetDatum(duration);
	/* each partition has a run of its own */
	nulls[0] = pages == 0 || get_rel_relkind(PG_GETARG_OID(0)) == RELKIND_PARTITIONED_TABLE;
	nulls[4] = pages == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
