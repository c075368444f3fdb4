/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Sorting rows and writing them as a run.
 *
 * Rows go through core's tuplesort as (key columns of an index, TID, row), so
 * that any key that an index can order will do and memory is bounded by
 * maintenance_work_mem.  They come back in order and are packed into pages
 * which are logged and written past the buffer manager at the end of the file.
 * Others write to the table meanwhile, but the extension lock keeps them from
 * making it longer.  So nobody has buffers of these blocks before they are
 * there with what they will always have; and nobody looks for rows in them
 * before the run is in the list: a crash in between leaves pages that belong
 * to no run.
 *
 * IDENTIFICATION
 *	  src/store/run.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "store/store.h"

#define WRITE_BATCH 32			/* pages logged by one record, XLR_MAX_BLOCK_ID */

struct StoreWriter
{
	Relation	source;			/* rows are of this table */
	Relation	target;
	TupleDesc	desc;			/* of what is sorted */
	Tuplesortstate *sort;
	TupleTableSlot *slot;		/* what is sorted, going in */
	TupleTableSlot *sorted;		/* and coming out */
	int			nkeys;

	Relation	index;			/* orders the rows; NULL: none */
	IndexInfo  *info;
	EState	   *estate;
	TupleTableSlot *row_slot;	/* a row, for FormIndexDatum */
	uint64		rows;

	/* the page being filled */
	char		data[BLCKSZ];
	uint32		ndata;
	uint16		entries[MaxHeapTuplesPerPage];
	ItemPointerData from[MaxHeapTuplesPerPage];
	int			nrows;

	/* the run being written */
	StoreRun   *run;
	BlockNumber block;			/* of the page being filled */
	uint32		group;
	uint32		group_rows;
	char	   *batch;			/* WRITE_BATCH pages */
	int			nbatch;
	void		(*placed) (void *arg, ItemPointer from, ItemPointer to);
	void	   *arg;
};

/*
 * The index whose order a run has: the one of CLUSTER ON, else the primary key,
 * else the first kyro_rmi index; InvalidOid: none, rows stay in the order in
 * which they lie.  An index that leaves rows out is no order for all of them.
 */
Oid
store_order_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	Oid			rmi = get_index_am_oid("kyro_rmi", true);
	Oid			best = InvalidOid;
	int			best_rank = 0;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		int			rank = 0;

		if (form->indisvalid && heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		{
			if (form->indisclustered && (index->rd_rel->relam == BTREE_AM_OID || index->rd_rel->relam == rmi))
				rank = 3;
			else if (form->indisprimary)
				rank = 2;
			else if (OidIsValid(rmi) && index->rd_rel->relam == rmi)
				rank = 1;
		}
		if (rank > best_rank)
		{
			best = RelationGetRelid(index);
			best_rank = rank;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return best;
}

/*
 * Begin to collect rows of `source`, to be written to `target` in the order of
 * an index (of a btree-like access method, on source; may be NULL).
 */
StoreWriter *
store_writer_begin(Relation source, Relation target, Relation index)
{
	StoreWriter *w = palloc0(sizeof(StoreWriter));
	int			nkeys = index ? IndexRelationGetNumberOfKeyAttributes(index) : 0;
	AttrNumber *attnums = palloc((nkeys + 1) * sizeof(AttrNumber));
	Oid		   *operators = palloc((nkeys + 1) * sizeof(Oid));
	Oid		   *collations = palloc((nkeys + 1) * sizeof(Oid));
	bool	   *nulls_first = palloc((nkeys + 1) * sizeof(bool));

	w->source = source;
	w->target = target;
	w->index = index;
	w->nkeys = nkeys;
	w->desc = CreateTemplateTupleDesc(nkeys + 2);
	for (int i = 0; i < nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(index), i);
		bool		desc = (index->rd_indoption[i] & INDOPTION_DESC) != 0;

		TupleDescInitEntry(w->desc, i + 1, NULL, att->atttypid, att->atttypmod, 0);
		attnums[i] = i + 1;
		operators[i] = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i], index->rd_opcintype[i],
										   desc ? BTGreaterStrategyNumber : BTLessStrategyNumber);
		if (!OidIsValid(operators[i]))
			elog(ERROR, "no ordering operator for column %d of index \"%s\"", i + 1, RelationGetRelationName(index));
		collations[i] = index->rd_indcollation[i];
		nulls_first[i] = (index->rd_indoption[i] & INDOPTION_NULLS_FIRST) != 0;
	}
	TupleDescInitEntry(w->desc, nkeys + 1, NULL, INT8OID, -1, 0);
	TupleDescInitEntry(w->desc, nkeys + 2, NULL, BYTEAOID, -1, 0);
	attnums[nkeys] = nkeys + 1;
	operators[nkeys] = Int8LessOperator;
	collations[nkeys] = InvalidOid;
	nulls_first[nkeys] = false;
	w->sort = tuplesort_begin_heap(w->desc, nkeys + 1, attnums, operators, collations, nulls_first,
								   maintenance_work_mem, NULL, TUPLESORT_NONE);
	w->slot = MakeSingleTupleTableSlot(w->desc, &TTSOpsVirtual);
	w->sorted = MakeSingleTupleTableSlot(w->desc, &TTSOpsMinimalTuple);
	if (index)
	{
		w->info = BuildIndexInfo(index);
		w->estate = CreateExecutorState();
		w->row_slot = MakeSingleTupleTableSlot(RelationGetDescr(source), &TTSOpsHeapTuple);
		GetPerTupleExprContext(w->estate)->ecxt_scantuple = w->row_slot;
	}
	return w;
}

/* The bytes of a row as they are stored: null bitmap and data. */
static uint32
stored_size(HeapTuple tuple)
{
	HeapTupleHeader t = tuple->t_data;

	return tuple->t_len - t->t_hoff +
		((t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(HeapTupleHeaderGetNatts(t)) : 0);
}

/*
 * Can a row be sealed?  A few that just fit a heap page cannot.
 */
bool
store_writer_fits(Relation rel, HeapTuple tuple)
{
	bool		fits;
	HeapTuple	whole = tuple;

	if (tuple->t_len <= STORE_MAX_TUPLE / 2)
		return true;
	if (HeapTupleHeaderGetNatts(tuple->t_data) < RelationGetDescr(rel)->natts)
		whole = heap_expand_tuple(tuple, RelationGetDescr(rel));
	fits = whole->t_len <= STORE_MAX_TUPLE && stored_size(whole) <= STORE_MAX_DATA;
	if (whole != tuple)
		heap_freetuple(whole);
	return fits;
}

/*
 * Take a row: an ordinary heap tuple, of any age, with its TID.
 */
void
store_writer_put(StoreWriter *w, HeapTuple tuple)
{
	HeapTuple	whole = tuple;
	HeapTupleHeader t;
	bytea	   *row;
	uint32		bitmap,
				size;
	char	   *to;

	if (HeapTupleHeaderGetNatts(tuple->t_data) < RelationGetDescr(w->source)->natts)
		whole = heap_expand_tuple(tuple, RelationGetDescr(w->source));
	t = whole->t_data;
	bitmap = (t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(HeapTupleHeaderGetNatts(t)) : 0;
	size = stored_size(whole);
	row = palloc(VARHDRSZ + 1 + size);
	SET_VARSIZE(row, VARHDRSZ + 1 + size);
	to = VARDATA(row);
	*to++ = t->t_infomask & (HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL);
	memcpy(to, t->t_bits, bitmap);
	memcpy(to + bitmap, (char *) t + t->t_hoff, size - bitmap);

	ExecClearTuple(w->slot);
	if (w->index)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		ResetPerTupleExprContext(w->estate);
		ExecStoreHeapTuple(whole, w->row_slot, false);
		FormIndexDatum(w->info, w->row_slot, w->estate, values, isnull);
		memcpy(w->slot->tts_values, values, w->nkeys * sizeof(Datum));
		memcpy(w->slot->tts_isnull, isnull, w->nkeys * sizeof(bool));
	}
	w->slot->tts_values[w->nkeys] = Int64GetDatum((int64) ItemPointerGetBlockNumber(&tuple->t_self) << 16 |
												  ItemPointerGetOffsetNumber(&tuple->t_self));
	w->slot->tts_isnull[w->nkeys] = false;
	w->slot->tts_values[w->nkeys + 1] = PointerGetDatum(row);
	w->slot->tts_isnull[w->nkeys + 1] = false;
	ExecStoreVirtualTuple(w->slot);
	tuplesort_puttupleslot(w->sort, w->slot);
	ExecClearTuple(w->slot);
	if (w->row_slot)
		ExecClearTuple(w->row_slot);
	pfree(row);
	if (whole != tuple)
		heap_freetuple(whole);
	w->rows++;
}

uint64
store_writer_rows(StoreWriter *w)
{
	return w->rows;
}

/* Log and write the pages of the batch. */
static void
write_batch(StoreWriter *w)
{
	Relation	rel = w->target;
	BlockNumber first = w->block - w->nbatch;
	BlockNumber blocks[WRITE_BATCH];
	Page		pages[WRITE_BATCH];

	if (w->nbatch == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < w->nbatch; i++)
	{
		blocks[i] = first + i;
		pages[i] = w->batch + i * BLCKSZ;
	}
	if (RelationNeedsWAL(rel))
		log_newpages(&kyro_locator(rel), MAIN_FORKNUM, w->nbatch, blocks, pages, true);
	for (int i = 0; i < w->nbatch; i++)
	{
		PageSetChecksumInplace(pages[i], blocks[i]);
		smgrextend(RelationGetSmgr(rel), MAIN_FORKNUM, blocks[i], pages[i], RelationUsesLocalBuffers(rel));
	}
	w->nbatch = 0;
}

/* The next page of the batch, initialised; finish it with page_done(). */
static Page
next_page(StoreWriter *w, StorePageKind kind)
{
	Page		page = w->batch + w->nbatch * BLCKSZ;

	store_page_init(page, kind, w->run->id);
	return page;
}

static void
page_done(StoreWriter *w)
{
	w->nbatch++;
	w->block++;
	if (w->nbatch == WRITE_BATCH)
		write_batch(w);
}

/* Make a page of the rows collected. */
static void
flush_rows(StoreWriter *w)
{
	StoreRows  *rows;
	Page		page;
	uint32		offset;

	if (w->nrows == 0)
		return;
	page = next_page(w, STORE_ROWS);
	rows = StorePageGetRows(page);
	if (w->group_rows + w->nrows > STORE_LINKS_PER_GROUP)
	{
		w->group++;
		w->group_rows = 0;
	}
	rows->h.count = w->nrows;
	rows->fxid = w->run->fxid;
	rows->group = w->group;
	rows->group_base = w->group_rows;
	rows->natts = RelationGetDescr(w->source)->natts;
	offset = STORE_ROWS_START + (w->nrows + 1) * sizeof(uint16);
	memcpy(page + offset, w->data, w->ndata);
	for (int i = 0; i < w->nrows; i++)
	{
		ItemPointerData to;

		rows->rows[i] = w->entries[i] + offset;
		ItemPointerSet(&to, w->block, i + 1);
		if (w->placed)
			w->placed(w->arg, &w->from[i], &to);
	}
	rows->rows[w->nrows] = STORE_ROW_ENTRY(offset + w->ndata, 0);
	rows->h.hash = store_page_hash(page, w->block);
	w->group_rows += w->nrows;
	w->run->rows += w->nrows;
	w->run->bytes += w->ndata;
	w->run->pages++;
	w->nrows = 0;
	w->ndata = 0;
	page_done(w);
}

/*
 * Write the rows as one run at the end of the target, and say in *run what it
 * is; the caller adds it to the list.  placed() hears the old and the new TID of
 * each row, in the order of the run.  There is at least one row.
 */
void
store_writer_write(StoreWriter *w, uint64 fxid, StoreRun *run,
				   void (*placed) (void *arg, ItemPointer from, ItemPointer to), void *arg)
{
	bool		local = RelationUsesLocalBuffers(w->target);
	XLogRecPtr	redo;

	memset(run, 0, sizeof(*run));
	run->id = store_random_id();
	run->fxid = fxid;
	run->xmin = fxid != 0 ? (TransactionId) fxid : GetCurrentTransactionId();
	w->run = run;
	w->placed = placed;
	w->arg = arg;
	w->batch = kyro_palloc_pages(WRITE_BATCH);

	tuplesort_performsort(w->sort);
	if (!local)
		LockRelationForExtension(w->target, ExclusiveLock);
	run->first = w->block = RelationGetNumberOfBlocks(w->target);
	redo = GetRedoRecPtr();
	while (tuplesort_gettupleslot(w->sort, true, false, w->sorted, NULL))
	{
		bool		isnull;
		int64		tid = DatumGetInt64(slot_getattr(w->sorted, w->nkeys + 1, &isnull));
		bytea	   *row = DatumGetByteaPP(slot_getattr(w->sorted, w->nkeys + 2, &isnull));
		uint32		size = VARSIZE_ANY_EXHDR(row) - 1;
		char	   *bytes = VARDATA_ANY(row);

		if (w->nrows == MaxHeapTuplesPerPage ||
			STORE_ROWS_START + (w->nrows + 2) * sizeof(uint16) + w->ndata + size > STORE_ROWS_END)
			flush_rows(w);
		ItemPointerSet(&w->from[w->nrows], tid >> 16, tid & 0xFFFF);
		w->entries[w->nrows++] = STORE_ROW_ENTRY(w->ndata, bytes[0]);
		memcpy(w->data + w->ndata, bytes + 1, size);
		w->ndata += size;
	}
	flush_rows(w);

	run->groups = w->group + 1;
	for (uint32 g = 0; g < run->groups; g += STORE_GROUPS_PER_PAGE)
	{
		StoreGroups *groups = StorePageGetGroups(next_page(w, STORE_GROUPS));

		groups->first = g;
		groups->h.count = Min(STORE_GROUPS_PER_PAGE, run->groups - g);
		for (int i = 0; i < groups->h.count; i++)
			groups->links[i] = InvalidBlockNumber;
		groups->h.hash = store_page_hash((char *) groups - SizeOfPageHeaderData, w->block);
		page_done(w);
	}
	write_batch(w);

	if (!local)
		UnlockRelationForExtension(w->target, ExclusiveLock);

	/*
	 * Each checkpoint that begins from now on syncs what was written.  One that began
	 * between logging and writing a page may have synced before, and recovery would
	 * begin behind the record.
	 */
	if (!local && redo != GetRedoRecPtr())
		smgrimmedsync(RelationGetSmgr(w->target), MAIN_FORKNUM);
	pfree(w->batch);
	run->sealed_at = GetCurrentTimestamp();
}

void
store_writer_end(StoreWriter *w)
{
	tuplesort_end(w->sort);
	ExecDropSingleTupleTableSlot(w->slot);
	ExecDropSingleTupleTableSlot(w->sorted);
	if (w->row_slot)
		ExecDropSingleTupleTableSlot(w->row_slot);
	if (w->estate)
		FreeExecutorState(w->estate);
	pfree(w);
}
