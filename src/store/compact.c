/*-------------------------------------------------------------------------
 *
 * compact.c
 *	  VACUUM FULL and CLUSTER: write the table anew, as one run.
 *
 * Rows that every snapshot sees are sealed into one run, which is visible to
 * all.  What some snapshots see and others do not goes into the new log, with its
 * transaction ids and its place in its chain of versions, by core's rewrite of heaps
 * (rewriteheap.c): recently deleted rows, rows of a recent seal, rows of our own
 * transaction.  So do the few rows that are too wide to be sealed.
 *
 * The rewrite writes the file from its beginning, past the buffer manager, so the
 * run is written when that is done.
 *
 * IDENTIFICATION
 *	  src/store/compact.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/rewriteheap.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "store/store.h"

typedef struct Compaction
{
	Relation	old_table;
	Relation	new_table;
	TransactionId oldest_xmin;
	RewriteState rewrite;
	StoreWriter *writer;
	Datum	   *values;
	bool	   *isnull;
	double		tuples;
	double		dead;
	double		recently_dead;
} Compaction;

/* The row as the new table has it: dropped columns are empty there. */
static HeapTuple
reform(Compaction *c, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(c->new_table);

	heap_deform_tuple(tuple, RelationGetDescr(c->old_table), c->values, c->isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			c->isnull[i] = true;
	}
	return heap_form_tuple(desc, c->values, c->isnull);
}

static void
put_log(Compaction *c, HeapTuple old_tuple, HeapTuple row)
{
	HeapTuple	tuple = reform(c, row);

	rewrite_heap_tuple(c->rewrite, old_tuple, tuple);
	heap_freetuple(tuple);
}

/* Seal a row that everyone sees; if it does not fit a run, it is frozen in the log. */
static void
put_run(Compaction *c, HeapTuple old_tuple)
{
	HeapTuple	tuple = reform(c, old_tuple);

	if (HeapTupleHasExternal(tuple) || tuple->t_len > TOAST_TUPLE_THRESHOLD)
	{
		/* move its TOAST values to the new table's TOAST table */
		HeapTuple	toasted = heap_toast_insert_or_update(c->new_table, tuple, NULL,
														  HEAP_INSERT_SKIP_FSM | HEAP_INSERT_NO_LOGICAL);

		if (toasted != tuple)
			heap_freetuple(tuple);
		tuple = toasted;
	}
	tuple->t_self = old_tuple->t_self;
	if (!store_writer_put(c->writer, tuple))
		rewrite_heap_tuple(c->rewrite, old_tuple, tuple);
	heap_freetuple(tuple);
}

/* Does every snapshot see what this transaction, which has committed, has done? */
static bool
seen_by_all(Compaction *c, TransactionId xid)
{
	return !TransactionIdIsNormal(xid) || TransactionIdPrecedes(xid, c->oldest_xmin);
}

static void
log_tuple(Compaction *c, HeapTuple tuple, HTSV_Result status)
{
	HeapTupleHeader t = tuple->t_data;

	if (status == HEAPTUPLE_DEAD)
	{
		c->dead++;
		if (rewrite_heap_dead_tuple(c->rewrite, tuple))
		{
			c->dead++;
			c->recently_dead--;
		}
		return;
	}
	c->tuples++;
	if (status == HEAPTUPLE_RECENTLY_DEAD || status == HEAPTUPLE_DELETE_IN_PROGRESS)
		c->recently_dead++;
	if (status == HEAPTUPLE_LIVE && (t->t_infomask & HEAP_XMAX_INVALID) && seen_by_all(c, HeapTupleHeaderGetXmin(t)))
		put_run(c, tuple);
	else
		put_log(c, tuple, tuple);
}

/*
 * Copy a sealed row.  If it becomes a log tuple, its xmin is the transaction of the
 * seal, so that old snapshots go on seeing the log tuple that it was sealed from,
 * which points to it; and its xmax is that of its ledger tuple, if it was touched.
 */
static void
sealed_row(Compaction *c, StorePage *p, OffsetNumber row)
{
	TransactionId xwait;
	HTSV_Result status = store_row_vacuum_status(c->old_table, p, row, c->oldest_xmin, &xwait);
	TransactionId xid = (TransactionId) p->run->fxid;
	bool		old_run = store_run_seen_by_all(p->run, c->oldest_xmin);
	HeapTuple	tuple,
				old_tuple;
	HeapTupleData ledger;
	ItemPointerData link;
	Buffer		buffer;

	link = store_link_read(c->old_table, p, row);
	if (status == HEAPTUPLE_DEAD)
	{
		c->dead++;
		return;
	}
	tuple = store_row_copy(c->old_table, p, row);
	c->tuples++;
	if (status == HEAPTUPLE_RECENTLY_DEAD || status == HEAPTUPLE_DELETE_IN_PROGRESS)
		c->recently_dead++;
	if (status == HEAPTUPLE_LIVE && old_run)
	{
		/* its ledger tuple, if it has one, was only locked */
		put_run(c, tuple);
		heap_freetuple(tuple);
		return;
	}

	/* give the tuple the header that it would have in a heap */
	old_tuple = heap_copytuple(tuple);
	if (store_link_is_moved(&link))
	{
		ItemPointerData to;
		StoreRun   *run = store_moved_to(c->old_table, p->table, &link, &to);

		if (run != NULL)
		{
			old_tuple->t_data->t_infomask &= ~HEAP_XMAX_BITS;
			old_tuple->t_data->t_infomask2 |= HEAP_KEYS_UPDATED;
			HeapTupleHeaderSetXmax(old_tuple->t_data, (TransactionId) run->fxid);
			old_tuple->t_data->t_ctid = to;
		}
	}
	else if (link.ip_posid != 0 && store_ledger_get(c->old_table, &link, &tuple->t_self, &ledger, &buffer))
	{
		/* take what transactions have left there, but keep the row's columns */
		const uint16 of_columns = HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL;
		HeapTupleHeader t = old_tuple->t_data;

		t->t_choice.t_heap = ledger.t_data->t_choice.t_heap;
		t->t_infomask = (t->t_infomask & of_columns) | (ledger.t_data->t_infomask & ~of_columns);
		t->t_infomask2 = (t->t_infomask2 & HEAP_NATTS_MASK) | (ledger.t_data->t_infomask2 & ~HEAP_NATTS_MASK);
		t->t_ctid = ledger.t_data->t_ctid;
		if (ItemPointerEquals(&old_tuple->t_data->t_ctid, &ledger.t_self))
			old_tuple->t_data->t_ctid = old_tuple->t_self;
		UnlockReleaseBuffer(buffer);
	}
	if (!old_run)
	{
		old_tuple->t_data->t_infomask &= ~HEAP_XMIN_FROZEN;
		old_tuple->t_data->t_infomask |= HEAP_UPDATED;	/* it has a predecessor */
		HeapTupleHeaderSetXmin(old_tuple->t_data, xid);
		if (!(old_tuple->t_data->t_infomask & HEAP_COMBOCID) &&
			(old_tuple->t_data->t_infomask & HEAP_XMAX_INVALID) && TransactionIdIsCurrentTransactionId(xid))
			HeapTupleHeaderSetCmin(old_tuple->t_data, p->run->cmin);
	}
	put_log(c, old_tuple, tuple);
	heap_freetuple(old_tuple);
	heap_freetuple(tuple);
}

static void
log_page(Compaction *c, Buffer buffer, BlockNumber block)
{
	Page		page = BufferGetPage(buffer);
	OffsetNumber max = PageGetMaxOffsetNumber(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;
		HTSV_Result status;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		if (store_is_ledger(tuple.t_data))
			continue;
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(c->old_table);
		ItemPointerSet(&tuple.t_self, block, offset);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		status = HeapTupleSatisfiesVacuum(&tuple, c->oldest_xmin, buffer);
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		log_tuple(c, &tuple, status);
	}
}

void
store_copy_for_cluster(Relation OldTable, Relation NewTable, Relation OldIndex, bool use_sort,
					   TransactionId OldestXmin, TransactionId *xid_cutoff,
					   MultiXactId *multi_cutoff, double *num_tuples, double *tups_vacuumed,
					   double *tups_recently_dead)
{
	Compaction	c = {0};
	TimestampTz start = GetCurrentTimestamp();
	StoreScan  *scan;
	Relation	index = OldIndex;
	MemoryContext cxt,
				old_cxt;

	if (index != NULL && index->rd_rel->relam != BTREE_AM_OID &&
		index->rd_rel->relam != get_index_am_oid("kyro_rmi", true))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot cluster table \"%s\" of access method kyro on index \"%s\"",
						RelationGetRelationName(OldTable), RelationGetRelationName(index)),
				 errdetail("Rows are sorted by a btree or kyro_rmi index.")));
	if (index == NULL && OidIsValid(store_order_index(OldTable)))
		index = index_open(store_order_index(OldTable), AccessShareLock);

	c.old_table = OldTable;
	c.new_table = NewTable;
	c.oldest_xmin = OldestXmin;
	c.values = palloc(RelationGetDescr(OldTable)->natts * sizeof(Datum));
	c.isnull = palloc(RelationGetDescr(OldTable)->natts * sizeof(bool));
	c.rewrite = begin_heap_rewrite(OldTable, NewTable, OldestXmin, *xid_cutoff, *multi_cutoff);
	c.writer = store_writer_begin(NewTable, NewTable, index);

	pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_SEQ_SCAN_HEAP);
	scan = (StoreScan *) table_beginscan_strat(OldTable, SnapshotAny, 0, NULL, true, false);
	pgstat_progress_update_param(PROGRESS_CLUSTER_TOTAL_HEAP_BLKS, scan->heap->rs_nblocks);
	cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb compaction", ALLOCSET_DEFAULT_SIZES);
	while (store_scan_next_page(scan, ForwardScanDirection))
	{
		CHECK_FOR_INTERRUPTS();
		old_cxt = MemoryContextSwitchTo(cxt);
		if (scan->sealed)
		{
			for (OffsetNumber row = 1; row <= store_page_rows(&scan->p)->h.count; row++)
				sealed_row(&c, &scan->p, row);
		}
		else
			log_page(&c, scan->heap->rs_cbuf, scan->heap->rs_cblock);
		MemoryContextSwitchTo(old_cxt);
		MemoryContextReset(cxt);
		pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_BLKS_SCANNED, scan->heap->rs_cblock + 1);
		pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_TUPLES_SCANNED, (int64) c.tuples);
	}
	table_endscan((TableScanDesc) scan);
	MemoryContextDelete(cxt);
	end_heap_rewrite(c.rewrite);
	DEBUG_POINT("compact-log-written");

	pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_WRITE_NEW_HEAP);
	if (store_writer_rows(c.writer) > 0)
	{
		StoreRun	run;
		bool		reused;

		(void) store_writer_write(c.writer, (StorePlace) {0, true}, 0, &run, &reused, NULL, NULL);
		run.state = RUN_COMMITTED;
		run.duration = GetCurrentTimestamp() - start;
		DEBUG_POINT("compact-run-written");
		store_list_add(NewTable, store_open(NewTable)->list_room, &run, 0);
	}
	pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_TUPLES_WRITTEN, (int64) c.tuples);
	store_writer_end(c.writer);
	pfree(c.values);
	pfree(c.isnull);
	if (index != NULL && index != OldIndex)
		index_close(index, NoLock);

	*num_tuples = c.tuples;
	kyro_report_moved_rows(OldTable, (uint64) c.tuples, 0);
	*tups_vacuumed = c.dead;
	*tups_recently_dead = c.recently_dead;
}
