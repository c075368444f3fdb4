/*-------------------------------------------------------------------------
 *
 * verify_deep.c
 *	  kyro.verify(deep => true) of a table: are its TOAST values complete, and do its
 *	  indexes agree with it?
 *
 * Everything is read with one snapshot, so it does not matter what others do
 * meanwhile: rows that it sees stay, with their TOAST values and index entries.
 *
 * For each index the keys of all rows are sorted, and the index is searched once for
 * each key.  The addresses that it finds are sorted, and merged with those of the
 * rows.  So the time is that of sorting, however many rows have the same key.  (A hash
 * index finds rows by hash value, so it is searched once for each hash value.)
 *
 * IDENTIFICATION
 *	  src/store/verify_deep.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/hash.h"
#include "access/nbtree.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

#include "debug_point.h"
#include "progress.h"
#include "store/verify.h"
#include "tid.h"

/* ---- TOAST values ---- */

/* Are all chunks of an external value there? */
static bool
toast_is_complete(StoreVerify *v, Relation toast, Relation *indexes, int valid, struct varatt_external *pointer)
{
	ScanKeyData key;
	SysScanDesc scan;
	SnapshotData room;
	Snapshot	snapshot = kyro_toast_snapshot(&room);
	HeapTuple	tuple;
	int32		size = VARATT_EXTERNAL_GET_EXTSIZE(*pointer);
	int32		next = 0;
	int64		total = 0;
	bool		ok = true;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(pointer->va_valueid));
	scan = systable_beginscan_ordered(toast, indexes[valid], snapshot, 1, &key);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		int32		seq = DatumGetInt32(fastgetattr(tuple, 2, RelationGetDescr(toast), &isnull));
		Pointer		chunk;

		CHECK_FOR_INTERRUPTS();
		chunk = isnull ? NULL : DatumGetPointer(fastgetattr(tuple, 3, RelationGetDescr(toast), &isnull));

		if (isnull || chunk == NULL || seq != next++)
			ok = false;
		else
			total += VARSIZE_ANY_EXHDR(chunk);
	}
	systable_endscan_ordered(scan);
	return ok && total == size;
}

static void
verify_toast(StoreVerify *v, Snapshot snapshot)
{
	TupleDesc	desc = RelationGetDescr(v->rel);
	TupleTableSlot *slot;
	TableScanDesc scan;
	Relation	toast;
	Relation   *indexes;
	int			nindexes,
				valid;

	if (!OidIsValid(v->rel->rd_rel->reltoastrelid))
		return;
	toast = table_open(v->rel->rd_rel->reltoastrelid, AccessShareLock);
	valid = toast_open_indexes(toast, AccessShareLock, &indexes, &nindexes);
	slot = table_slot_create(v->rel, NULL);
	kyro_progress_phase(KYRO_PHASE_TOAST, InvalidOid, v->nblocks);
	scan = table_beginscan_strat(v->rel, snapshot, 0, NULL, true, false);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		DEBUG_POINT("verify-toast");
		kyro_progress_done(ItemPointerGetBlockNumber(&slot->tts_tid));
		slot_getallattrs(slot);
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);
			struct varlena *value;
			struct varatt_external pointer;

			if (att->attisdropped || att->attlen != -1 || slot->tts_isnull[i])
				continue;
			value = (struct varlena *) DatumGetPointer(slot->tts_values[i]);
			if (!VARATT_IS_EXTERNAL_ONDISK(value))
				continue;
			VARATT_EXTERNAL_GET_POINTER(pointer, value);
			if (pointer.va_toastrelid != RelationGetRelid(toast))
				VERIFY_REPORT(v, ItemPointerGetBlockNumber(&slot->tts_tid), "row (%u,%u), column \"%s\": its value is in another TOAST table",
							  ItemPointerGetBlockNumber(&slot->tts_tid), ItemPointerGetOffsetNumber(&slot->tts_tid), NameStr(att->attname));
			else if (!toast_is_complete(v, toast, indexes, valid, &pointer))
				VERIFY_REPORT(v, ItemPointerGetBlockNumber(&slot->tts_tid), "row (%u,%u), column \"%s\": TOAST value %u is incomplete",
							  ItemPointerGetBlockNumber(&slot->tts_tid), ItemPointerGetOffsetNumber(&slot->tts_tid),
							  NameStr(att->attname), pointer.va_valueid);
		}
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	toast_close_indexes(indexes, nindexes, AccessShareLock);
	table_close(toast, AccessShareLock);
}

/* ---- indexes ---- */

#define COMPLAINT_KEY "row (%u,%u) is found through index \"%s\" by a key that it does not have"

typedef struct IndexCheck
{
	StoreVerify *v;
	Relation	index;
	Snapshot	snapshot;
	int			nkeys;
	bool		hash;			/* a hash index */
	bool		unique;			/* no two rows may have equal keys */
	bool		nulls_equal;	/* NULLs count as equal */
	FmgrInfo	equal[INDEX_MAX_KEYS];
	StrategyNumber strategy;	/* of equality */
	uint64		nrows;
	Tuplesortstate *keys;		/* hash value or NULL, keys, address: see
								 * begin_sort_keys() */
	Tuplesortstate *rows;		/* addresses of rows that should be found */
	Tuplesortstate *found;		/* addresses that were found */
	TupleTableSlot *slot;		/* of the table */
} IndexCheck;

/* Columns of what is sorted. */
#define HASH_COLUMN		0
#define KEY_COLUMN(i)	((i) + 1)
#define TID_COLUMN(c)	((c)->nkeys + 1)

static Tuplesortstate *
begin_sort_tids(int memory)
{
	return tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false, memory, NULL, TUPLESORT_NONE);
}

/* Get the next address of a sort; false at the end. */
static bool
next_tid(Tuplesortstate *sort, int64 *tid)
{
	Datum		value;
	bool		isnull;

	if (!kyro_sort_get_datum(sort, &value, &isnull))
		return false;
	*tid = DatumGetInt64(value);
	return true;
}

/*
 * Is this an exclusion constraint that excludes equal keys and nothing else?  Then it
 * demands the same as a unique index.
 */
static bool
excludes_equal(Relation index, StrategyNumber strategy)
{
	Oid		   *operators,
			   *functions;
	uint16	   *strategies;

	if (!index->rd_index->indisexclusion)
		return false;
	RelationGetExclusionInfo(index, &operators, &functions, &strategies);
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		if (strategies[i] != strategy)
			return false;
	}
	return true;
}

/*
 * Begin to sort the keys of an index; returns the columns that are sorted.  Any order
 * will do that brings equal keys together: that of the index; for a hash index that
 * of hash values and, if the type has one, of the type.
 */
static TupleDesc
begin_sort_keys(IndexCheck *c, IndexInfo *info, int memory)
{
	TupleDesc	desc = CreateTemplateTupleDesc(c->nkeys + 2);
	ListCell   *expression = list_head(info->ii_Expressions);
	AttrNumber	columns[INDEX_MAX_KEYS + 2];
	Oid			operators[INDEX_MAX_KEYS + 2];
	Oid			collations[INDEX_MAX_KEYS + 2];
	bool		nulls_first[INDEX_MAX_KEYS + 2] = {false};
	int			n = 0;

	TupleDescInitEntry(desc, HASH_COLUMN + 1, "hash", INT8OID, -1, 0);
	if (c->hash)
	{
		columns[n] = HASH_COLUMN + 1;
		operators[n] = Int8LessOperator;
		collations[n++] = InvalidOid;
	}
	for (int i = 0; i < c->nkeys; i++)
	{
		AttrNumber	attribute = info->ii_IndexAttrNumbers[i];
		Oid			type;
		Oid			less;

		if (attribute != 0)
			type = TupleDescAttr(RelationGetDescr(c->v->rel), attribute - 1)->atttypid;
		else
		{
			type = exprType((Node *) lfirst(expression));
			expression = lnext(info->ii_Expressions, expression);
		}
		TupleDescInitEntry(desc, KEY_COLUMN(i) + 1, "key", type, -1, 0);
		if (c->hash)
			less = lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr;
		else
			less = get_opfamily_member(c->index->rd_opfamily[i], c->index->rd_opcintype[i],
									   c->index->rd_opcintype[i], BTLessStrategyNumber);
		if (!OidIsValid(less))
			continue;
		columns[n] = KEY_COLUMN(i) + 1;
		operators[n] = less;
		collations[n++] = c->index->rd_indcollation[i];
	}
	TupleDescInitEntry(desc, TID_COLUMN(c) + 1, "tid", INT8OID, -1, 0);
	columns[n] = TID_COLUMN(c) + 1;
	operators[n] = Int8LessOperator;
	collations[n++] = InvalidOid;
	c->keys = tuplesort_begin_heap(desc, n, columns, operators, collations, nulls_first, memory, NULL, TUPLESORT_NONE);
	return desc;
}

/* Read all rows that should be in the index; sort their keys, and their addresses. */
static TupleDesc
collect_rows(IndexCheck *c, int memory)
{
	IndexInfo  *info = BuildIndexInfo(c->index);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	ExprState  *predicate = ExecPrepareQual(info->ii_Predicate, estate);
	TupleDesc	desc = begin_sort_keys(c, info, memory / 2);
	TupleTableSlot *keys = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	FmgrInfo   *hash = c->hash ? index_getprocinfo(c->index, 1, HASHSTANDARD_PROC) : NULL;
	TableScanDesc scan;

	c->nulls_equal = info->ii_NullsNotDistinct;
	c->rows = begin_sort_tids(memory / 4);
	econtext->ecxt_scantuple = c->slot;
	kyro_progress_phase(KYRO_PHASE_ROWS, RelationGetRelid(c->index), c->v->nblocks);
	scan = table_beginscan_strat(c->v->rel, c->snapshot, 0, NULL, true, false);
	while (table_scan_getnextslot(scan, ForwardScanDirection, c->slot))
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		int64		tid = kyro_tid_from_pointer(&c->slot->tts_tid);
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		DEBUG_POINT("verify-row");
		kyro_progress_done(ItemPointerGetBlockNumber(&c->slot->tts_tid));
		ResetPerTupleExprContext(estate);
		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		old = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
		FormIndexDatum(info, c->slot, estate, values, isnull);
		if (c->hash && isnull[0])
		{
			MemoryContextSwitchTo(old);
			continue;			/* not in the index */
		}
		ExecClearTuple(keys);
		keys->tts_isnull[HASH_COLUMN] = !c->hash;
		if (c->hash)
			keys->tts_values[HASH_COLUMN] =
				Int64GetDatum(DatumGetUInt32(FunctionCall1Coll(hash, c->index->rd_indcollation[0], values[0])));
		for (int i = 0; i < c->nkeys; i++)
		{
			keys->tts_values[KEY_COLUMN(i)] = values[i];
			keys->tts_isnull[KEY_COLUMN(i)] = isnull[i];
		}
		keys->tts_values[TID_COLUMN(c)] = Int64GetDatum(tid);
		keys->tts_isnull[TID_COLUMN(c)] = false;
		ExecStoreVirtualTuple(keys);
		MemoryContextSwitchTo(old);
		tuplesort_puttupleslot(c->keys, keys);
		tuplesort_putdatum(c->rows, Int64GetDatum(tid), false);
		c->nrows++;
	}
	table_endscan(scan);
	ExecClearTuple(c->slot);
	ExecDropSingleTupleTableSlot(keys);
	FreeExecutorState(estate);
	tuplesort_performsort(c->keys);
	tuplesort_performsort(c->rows);
	return desc;
}

/* Was the row at this address inserted by the transaction that we are in? */
static bool
row_is_own(IndexCheck *c, ItemPointer tid)
{
	bool		own = false;

	if (table_tuple_fetch_row_version(c->v->rel, tid, c->snapshot, c->slot))
	{
		bool		isnull;

		own = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot_getsysattr(c->slot, MinTransactionIdAttributeNumber, &isnull)));
		ExecClearTuple(c->slot);
	}
	return own;
}

/*
 * Report two rows with equal keys in a unique index, unless the constraint is
 * deferrable and this transaction has inserted one of them.
 */
static void
report_duplicate(IndexCheck *c, TupleTableSlot *one, TupleTableSlot *two)
{
	ItemPointerData tid1,
				tid2;

	kyro_tid_to_pointer(DatumGetInt64(one->tts_values[TID_COLUMN(c)]), &tid1);
	kyro_tid_to_pointer(DatumGetInt64(two->tts_values[TID_COLUMN(c)]), &tid2);
	if (!c->index->rd_index->indimmediate && (row_is_own(c, &tid1) || row_is_own(c, &tid2)))
		return;
	VERIFY_REPORT(c->v, ItemPointerGetBlockNumber(&tid2), "rows (%u,%u) and (%u,%u) have the same key, in unique index \"%s\"",
				  ItemPointerGetBlockNumber(&tid1), ItemPointerGetOffsetNumber(&tid1),
				  ItemPointerGetBlockNumber(&tid2), ItemPointerGetOffsetNumber(&tid2), RelationGetRelationName(c->index));
}

/* Are two keys equal, NULLs taken as equal?  *nulls: they have a NULL. */
static bool
same_keys(IndexCheck *c, TupleTableSlot *one, TupleTableSlot *two, bool *nulls)
{
	*nulls = false;
	for (int i = 0; i < c->nkeys; i++)
	{
		int			column = KEY_COLUMN(i);

		if (one->tts_isnull[column] != two->tts_isnull[column])
			return false;
		if (one->tts_isnull[column])
			*nulls = true;
		else if (!DatumGetBool(FunctionCall2Coll(&c->equal[i], c->index->rd_indcollation[i],
												 one->tts_values[column], two->tts_values[column])))
			return false;
	}
	return true;
}

/* Search the index for the keys in a slot, and note what it finds. */
static void
search(IndexCheck *c, IndexScanDesc scan, TupleTableSlot *keys)
{
	ScanKeyData scankeys[INDEX_MAX_KEYS];

	for (int i = 0; i < c->nkeys; i++)
	{
		if (keys->tts_isnull[KEY_COLUMN(i)])
			ScanKeyEntryInitialize(&scankeys[i], SK_ISNULL | SK_SEARCHNULL, i + 1, InvalidStrategy, InvalidOid,
								   InvalidOid, InvalidOid, (Datum) 0);
		else
			ScanKeyEntryInitializeWithInfo(&scankeys[i], 0, i + 1, c->strategy, c->index->rd_opcintype[i],
										   c->index->rd_indcollation[i], &c->equal[i], keys->tts_values[KEY_COLUMN(i)]);
	}
	index_rescan(scan, scankeys, c->nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, c->slot))
	{
		CHECK_FOR_INTERRUPTS();
		DEBUG_POINT("verify-found");
		tuplesort_putdatum(c->found, Int64GetDatum(kyro_tid_from_pointer(&c->slot->tts_tid)), false);
	}
}

/* Search the index for each key, and compare the keys of rows with one another. */
static void
search_keys(IndexCheck *c, TupleDesc desc, int memory)
{
	IndexScanDesc scan = kyro_index_beginscan(c->v->rel, c->index, c->snapshot, c->nkeys);
	TupleTableSlot *last = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *keys = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kyrodb comparisons", ALLOCSET_DEFAULT_SIZES);
	uint64		done = 0;

	c->found = begin_sort_tids(memory / 4);
	kyro_progress_phase(KYRO_PHASE_SEARCH, RelationGetRelid(c->index), c->nrows);
	while (tuplesort_gettupleslot(c->keys, true, true, keys, NULL))
	{
		TupleTableSlot *swap = last;
		MemoryContext old;
		bool		equal = false,
					nulls,
					again = false;

		CHECK_FOR_INTERRUPTS();
		kyro_progress_done(done++);
		slot_getallattrs(keys);
		if (!TTS_EMPTY(last))
		{
			/*
			 * a hash index was searched for this hash value already; keys
			 * with the same hash value are compared only to find duplicates
			 */
			again = c->hash && keys->tts_values[HASH_COLUMN] == last->tts_values[HASH_COLUMN];
			if (c->hash ? again && c->unique : true)
			{
				old = MemoryContextSwitchTo(context);
				equal = same_keys(c, last, keys, &nulls);
				MemoryContextSwitchTo(old);
				MemoryContextReset(context);
				if (equal && c->unique && (!nulls || c->nulls_equal))
					report_duplicate(c, last, keys);
			}
		}
		if (!again && !equal)
			search(c, scan, keys);
		last = keys;
		keys = swap;
	}
	index_endscan(scan);
	ExecClearTuple(c->slot);
	ExecDropSingleTupleTableSlot(last);
	ExecDropSingleTupleTableSlot(keys);
	MemoryContextDelete(context);
	tuplesort_performsort(c->found);
}

/* Report rows that were not found, and addresses that were found but should not be. */
static void
compare_rows(IndexCheck *c)
{
	const char *name = RelationGetRelationName(c->index);
	int64		row = -1,
				found = -1,
				last = -1;
	bool		have_row = next_tid(c->rows, &row);
	bool		have_found = next_tid(c->found, &found);
	uint64		done = 0;

	kyro_progress_phase(KYRO_PHASE_COMPARE, RelationGetRelid(c->index), c->nrows);
	while (have_row || have_found)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		DEBUG_POINT("verify-compare");
		if (have_found && found == last)
		{
			/* found a second time, so by a key that is not its own */
			kyro_tid_to_pointer(found, &tid);
			VERIFY_REPORT(c->v, ItemPointerGetBlockNumber(&tid), COMPLAINT_KEY,
						  ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid), name);
			have_found = next_tid(c->found, &found);
		}
		else if (have_row && (!have_found || row < found))
		{
			kyro_tid_to_pointer(row, &tid);
			VERIFY_REPORT(c->v, ItemPointerGetBlockNumber(&tid), "row (%u,%u) is not found through index \"%s\"",
						  ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid), name);
			have_row = next_tid(c->rows, &row);
			kyro_progress_done(done++);
		}
		else
		{
			last = found;
			if (have_row && row == found)
			{
				have_row = next_tid(c->rows, &row);
				kyro_progress_done(done++);
			}
			else
			{
				kyro_tid_to_pointer(found, &tid);
				VERIFY_REPORT(c->v, ItemPointerGetBlockNumber(&tid), "row (%u,%u) is found through index \"%s\", which it does not belong to",
							  ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid), name);
			}
			have_found = next_tid(c->found, &found);
		}
	}
}

static void
verify_index(StoreVerify *v, Relation index, Snapshot snapshot)
{
	IndexCheck	c = {.v = v, .index = index, .snapshot = snapshot};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kyrodb index check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			memory = Max(maintenance_work_mem, 1024);
	TupleDesc	desc;

	c.nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	c.hash = index->rd_rel->relam == HASH_AM_OID;
	c.strategy = c.hash ? HTEqualStrategyNumber : BTEqualStrategyNumber;
	c.unique = index->rd_index->indisunique || excludes_equal(index, c.strategy);
	c.slot = table_slot_create(v->rel, NULL);
	for (int i = 0; i < c.nkeys; i++)
	{
		Oid			operator = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
												   index->rd_opcintype[i], c.strategy);

		fmgr_info(get_opcode(operator), &c.equal[i]);
	}
	desc = collect_rows(&c, memory);
	search_keys(&c, desc, memory);
	tuplesort_end(c.keys);
	compare_rows(&c);
	tuplesort_end(c.rows);
	tuplesort_end(c.found);
	ExecDropSingleTupleTableSlot(c.slot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
verify_indexes(StoreVerify *v, Snapshot snapshot)
{
	List	   *oids = RelationGetIndexList(v->rel);
	Oid			rmi = get_index_am_oid("kyro_rmi", true);
	ListCell   *lc;

	foreach(lc, oids)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Oid			am = index->rd_rel->relam;

		if (index->rd_index->indisvalid && (am == BTREE_AM_OID || am == HASH_AM_OID || am == rmi) &&
			!(index->rd_index->indcheckxmin &&
			  !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), snapshot->xmin)))
			verify_index(v, index, snapshot);
		index_close(index, AccessShareLock);
	}
	list_free(oids);
}

void
store_verify_deep(StoreVerify *v)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	verify_toast(v, snapshot);
	verify_indexes(v, snapshot);
	UnregisterSnapshot(snapshot);
}
