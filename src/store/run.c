/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Sorting rows and writing them as a run.
 *
 * Rows go through core's tuplesort as (key columns of an index, TID, row): so any
 * key that an index can order will do, and memory is bounded by
 * maintenance_work_mem.  They come back in order and are packed into pages, in the
 * place of empty pages or at the end of the file (pack.c).  Others may write to the
 * table meanwhile; at the end of the file the extension lock keeps them from making
 * it longer.
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
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

#include "store/store.h"
#include "tid.h"

struct StoreWriter
{
	Relation	source;			/* rows come from this table */
	Relation	target;			/* and go into a run of this one */
	TupleDesc	desc;			/* of what is sorted */
	Tuplesortstate *sort;
	TupleTableSlot *slot;		/* what is sorted, going in */
	TupleTableSlot *sorted;		/* and coming out */
	int			nkeys;

	Relation	index;			/* orders the rows; NULL: none */
	IndexInfo  *info;
	EState	   *estate;
	TupleTableSlot *row_slot;	/* a row, for FormIndexDatum() */
	StoreSizes	sizes;			/* of the rows so far */
};

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

bool
store_writer_put(StoreWriter *w, HeapTuple tuple)
{
	HeapTuple	whole = store_whole_row(w->source, tuple);
	HeapTupleHeader t = whole->t_data;
	bytea	   *row;
	uint32		size;
	char	   *to;

	if (!store_fits(whole))
	{
		if (whole != tuple)
			heap_freetuple(whole);
		return false;
	}
	size = store_stored_size(whole);
	row = palloc(VARHDRSZ + 1 + size);
	SET_VARSIZE(row, VARHDRSZ + 1 + size);
	to = VARDATA(row);
	*to++ = t->t_infomask & (HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL);
	store_stored_copy(whole, to);

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
	w->slot->tts_values[w->nkeys] = Int64GetDatum(kyro_tid_from_pointer(&tuple->t_self));
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
	w->sizes.narrowest = w->sizes.rows == 0 ? size : Min(w->sizes.narrowest, size);
	w->sizes.widest = Max(w->sizes.widest, size);
	w->sizes.bytes += size;
	w->sizes.rows++;
	return true;
}

uint64
store_writer_rows(StoreWriter *w)
{
	return w->sizes.rows;
}

bool
store_writer_write(StoreWriter *w, StorePlace place, uint64 fxid, StoreRun *run, bool *reused,
				   void (*placed) (void *arg, ItemPointer from, ItemPointer to), void *arg)
{
	bool		lock = !RelationUsesLocalBuffers(w->target);
	StorePack  *pack;

	tuplesort_performsort(w->sort);
	pack = store_pack_begin(w->target, fxid, fxid != 0 ? (TransactionId) fxid : GetCurrentTransactionId(), 0);
	*reused = place.before > 0 && store_pack_claim(pack, &w->sizes, place.before);
	if (!*reused && !place.or_at_end)
	{
		store_pack_abandon(pack);
		return false;
	}
	lock = lock && !*reused;
	if (lock)
	{
		LockRelationForExtension(w->target, ExclusiveLock);
		store_pack_at_end(pack);
	}
	while (tuplesort_gettupleslot(w->sort, true, false, w->sorted, NULL))
	{
		bool		isnull;
		int64		tid = DatumGetInt64(slot_getattr(w->sorted, w->nkeys + 1, &isnull));
		bytea	   *row = DatumGetByteaPP(slot_getattr(w->sorted, w->nkeys + 2, &isnull));
		uint32		size = VARSIZE_ANY_EXHDR(row) - 1;
		char	   *bytes = VARDATA_ANY(row);
		ItemPointerData from,
					to;

		memcpy(store_pack_row(pack, w->target, bytes[0], size, &to), bytes + 1, size);
		if (placed)
		{
			kyro_tid_to_pointer(tid, &from);
			placed(arg, &from, &to);
		}
	}
	store_pack_finish(pack, w->target, run);
	if (lock)
		UnlockRelationForExtension(w->target, ExclusiveLock);
	return true;
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
