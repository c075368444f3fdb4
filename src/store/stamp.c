/*-------------------------------------------------------------------------
 *
 * stamp.c
 *	  The last step of a seal: log tuples are stamped as deleted, with links to the
 *	  sealed rows.  The last step of a move: sealed rows are linked to their new
 *	  places, and their ledger tuples, if they have some, are stamped.
 *
 * Others may have written since the rows were collected.  So each log tuple is
 * looked at again while its page is locked exclusively.  A row that nobody has
 * changed or locked is stamped, under the same lock.  Any other row is a loser: it
 * stays in the log, and its sealed copy, which nobody has seen yet, becomes dead from
 * birth.  We wait for nobody.  Those who want to change a stamped row wait for us, as
 * for any transaction that deletes a row.
 *
 * heap_delete() cannot be used for stamping: it would also delete the TOAST values,
 * which the sealed row still needs, and would be decoded as a deletion.
 *
 * IDENTIFICATION
 *	  src/store/stamp.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/visibilitymap.h"
#include "access/xact.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "debug_point.h"
#include "store/store.h"
#include "tid.h"

struct StoreMoves
{
	Tuplesortstate *sort;		/* (old TID, new TID), sorted by the old one */
	TupleTableSlot *slot;		/* going in */
	TupleTableSlot *sorted;		/* coming out */
};

/* Sealed copies of losers. */
typedef struct Losers
{
	int64	   *tids;
	Size		n;
	Size		max;
} Losers;

/* The rows of one page that are stamped or moved, and their new places. */
typedef struct PageMoves
{
	int			n;
	OffsetNumber from[MaxHeapTuplesPerPage];
	ItemPointerData to[MaxHeapTuplesPerPage];
} PageMoves;

StoreMoves *
store_moves_begin(void)
{
	StoreMoves *moves = palloc(sizeof(StoreMoves));
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
	return moves;
}

void
store_moves_put(void *arg, ItemPointer from, ItemPointer to)
{
	StoreMoves *moves = (StoreMoves *) arg;

	ExecClearTuple(moves->slot);
	moves->slot->tts_values[0] = Int64GetDatum(kyro_tid_from_pointer(from));
	moves->slot->tts_values[1] = Int64GetDatum(kyro_tid_from_pointer(to));
	moves->slot->tts_isnull[0] = moves->slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(moves->slot);
	tuplesort_puttupleslot(moves->sort, moves->slot);
}

static bool
moves_next(StoreMoves *moves, ItemPointer from, ItemPointer to)
{
	if (!tuplesort_gettupleslot(moves->sort, true, false, moves->sorted, NULL))
		return false;
	slot_getallattrs(moves->sorted);
	kyro_tid_to_pointer(DatumGetInt64(moves->sorted->tts_values[0]), from);
	kyro_tid_to_pointer(DatumGetInt64(moves->sorted->tts_values[1]), to);
	return true;
}

void
store_moves_end(StoreMoves *moves)
{
	tuplesort_end(moves->sort);
	ExecDropSingleTupleTableSlot(moves->slot);
	ExecDropSingleTupleTableSlot(moves->sorted);
	pfree(moves);
}

/*
 * Each change of the visibility map is logged as a whole page of it.  So where page
 * after page is stamped, so many more lose their bits at once, at most.
 */
#define MAP_AHEAD 64

/* Set the header of a tuple as heap_delete() does, but with a link to the sealed row. */
static void
stamp_tuple(HeapTupleHeader t, TransactionId xid, CommandId cmax, bool combo, const ItemPointerData *to)
{
	t->t_infomask &= ~(HEAP_XMAX_BITS | HEAP_MOVED);
	t->t_infomask2 |= HEAP_KEYS_UPDATED;
	HeapTupleHeaderClearHotUpdated(t);
	HeapTupleHeaderSetXmax(t, xid);
	HeapTupleHeaderSetCmax(t, cmax, combo);
	t->t_ctid = *to;
}

/*
 * Raise an error if this transaction has changed the row: code that is called during
 * the seal, as in an index expression, must not do that.
 */
static void
check_unchanged(Relation rel, HeapTupleHeader t, ItemPointer tid)
{
	if (!(t->t_infomask & HEAP_XMAX_INVALID) && !HEAP_XMAX_IS_LOCKED_ONLY(t->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(t)))
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("row (%u,%u) of \"%s\" was changed while it was sealed",
						ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
						RelationGetRelationName(rel)),
				 errhint("Expressions and predicates of indexes must not change the table.")));
}

bool
store_tuple_is_free(HeapTuple tuple, Snapshot snapshot, CommandId cid, Buffer buffer)
{
	return !store_is_ledger(tuple->t_data) &&
		HeapTupleSatisfiesVisibility(tuple, snapshot, buffer) &&
		HeapTupleSatisfiesUpdate(tuple, cid, buffer) == TM_Ok;
}

/*
 * Is this still the row that was collected, and is it free?  The snapshot keeps the
 * row from being pruned, unless it is too old; then it does not see another row in
 * the same place.
 */
static bool
may_stamp(Relation rel, Buffer buffer, OffsetNumber offset, Snapshot snapshot, CommandId cid)
{
	Page		page = BufferGetPage(buffer);
	HeapTupleData tuple;

	ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), offset);
	tuple.t_tableOid = RelationGetRelid(rel);
	if (!store_log_tuple(page, offset, &tuple.t_data, &tuple.t_len))
		store_corrupt(rel, BufferGetBlockNumber(buffer), "tuple of a row that is sealed is out of place");
	if (tuple.t_data == NULL)
		return false;
	check_unchanged(rel, tuple.t_data, &tuple.t_self);
	return store_tuple_is_free(&tuple, snapshot, cid, buffer);
}

static void
add_loser(Losers *losers, ItemPointer to)
{
	if (losers->n == losers->max)
	{
		losers->max = Max(2 * losers->max, 64);
		losers->tids = losers->tids == NULL ? palloc(losers->max * sizeof(int64)) :
			repalloc_huge(losers->tids, losers->max * sizeof(int64));
	}
	losers->tids[losers->n++] = kyro_tid_from_pointer(to);
}

/*
 * Stamp items of a log page that is locked exclusively, with one WAL record: from[i],
 * with a link to to[i], for i = 0 .. n - 1, if stamps[i].  If the page was visible to
 * all, it loses its bits in the map, and the pages up to ahead after it with it.
 */
static void
stamp_items(Relation rel, Buffer buffer, const OffsetNumber *from, const ItemPointerData *to, const bool *stamps, int n,
			TransactionId xid, CommandId cid, uint32 ahead, Buffer *vmbuffer)
{
	Page		page = BufferGetPage(buffer);
	HeapTupleHeader tuples[MaxHeapTuplesPerPage];
	CommandId	cmax[MaxHeapTuplesPerPage];
	bool		combo[MaxHeapTuplesPerPage];
	StoreChange c;
	StorePageChange *change;

	for (int i = 0; i < n; i++)
	{
		if (!stamps[i])
			continue;
		tuples[i] = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, from[i]));
		cmax[i] = cid;
		HeapTupleHeaderAdjustCmax(tuples[i], &cmax[i], &combo[i]);
	}
	if (PageIsAllVisible(page))
		store_vm_clear(rel, BufferGetBlockNumber(buffer), 1 + ahead, vmbuffer);
	store_change_begin(&c, rel);
	change = store_change_page(&c, buffer, false);
	PageClearAllVisible(page);
	PageSetPrunable(page, xid);
	store_change_header(change);
	for (int i = 0; i < n; i++)
	{
		HeapTupleHeader t;

		if (!stamps[i])
			continue;
		t = tuples[i];
		stamp_tuple(t, xid, cmax[i], combo[i], &to[i]);
		/* xmax to infomask */
		store_change_note(change, &t->t_choice.t_heap.t_xmax,
						  offsetof(HeapTupleHeaderData, t_hoff) - offsetof(HeapTupleHeaderData, t_choice.t_heap.t_xmax));
	}
	(void) store_change_finish(&c, true);
}

/* Stamp the rows of one log page that are still free, with one WAL record. */
static void
stamp_page(Relation rel, BlockNumber block, PageMoves *rows, Snapshot snapshot,
		   TransactionId xid, CommandId cid, uint32 ahead, Buffer *vmbuffer, Losers *losers)
{
	Buffer		buffer = ReadBuffer(rel, block);
	bool		stamps[MaxHeapTuplesPerPage];
	int			n = 0;

	visibilitymap_pin(rel, block, vmbuffer);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	for (int i = 0; i < rows->n; i++)
		n += stamps[i] = may_stamp(rel, buffer, rows->from[i], snapshot, cid);
	if (n > 0)
		stamp_items(rel, buffer, rows->from, rows->to, stamps, rows->n, xid, cid, ahead, vmbuffer);
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < rows->n; i++)
	{
		if (!stamps[i])
			add_loser(losers, &rows->to[i]);
	}
}

/* Stamp the ledger tuple of a sealed row, if it is still free; false if it is not. */
static bool
stamp_ledger(Relation rel, ItemPointer ledger, ItemPointer row, ItemPointer to, Snapshot snapshot,
			 TransactionId xid, CommandId cid, Buffer *vmbuffer)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(ledger);
	ItemPointerData tag;
	HeapTupleData tuple;
	Buffer		buffer;
	bool		stamp;

	if (store_link_is_dead(ledger))
		return false;
	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(ledger));
	visibilitymap_pin(rel, BufferGetBlockNumber(buffer), vmbuffer);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!store_log_tuple(BufferGetPage(buffer), offset, &tuple.t_data, &tuple.t_len))
		store_corrupt(rel, BufferGetBlockNumber(buffer), "tuple of a touched row is out of place");
	tuple.t_self = *ledger;
	tuple.t_tableOid = RelationGetRelid(rel);
	stamp = tuple.t_data != NULL && store_ledger_tag(tuple.t_data, &tag) && ItemPointerEquals(&tag, row);
	if (stamp)
	{
		check_unchanged(rel, tuple.t_data, row);
		stamp = HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer) &&
			HeapTupleSatisfiesUpdate(&tuple, cid, buffer) == TM_Ok;
	}
	if (stamp)
		stamp_items(rel, buffer, &offset, to, &stamp, 1, xid, cid, 0, vmbuffer);
	UnlockReleaseBuffer(buffer);
	return stamp;
}

/*
 * Move the rows of one page of a run: those that nobody has touched are linked to
 * their new places, with one WAL record; of the others the ledger tuples are stamped.
 */
static void
move_page(Relation rel, StorePage *p, PageMoves *rows, Snapshot snapshot,
		  TransactionId xid, CommandId cid, Buffer *vmbuffer, Losers *losers)
{
	bool		moved[MaxHeapTuplesPerPage];

	store_links_move(rel, p, rows->from, rows->to, rows->n, moved);
	for (int i = 0; i < rows->n; i++)
	{
		ItemPointerData row,
					link;

		if (moved[i])
			continue;
		ItemPointerSet(&row, p->block, rows->from[i]);
		link = store_link_read(rel, p, rows->from[i]);
		if (!stamp_ledger(rel, &link, &row, &rows->to[i], snapshot, xid, cid, vmbuffer))
			add_loser(losers, &rows->to[i]);
	}
}

static int
compare_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* Mark the sealed copies of losers as dead, whether this transaction commits or not. */
static void
kill_losers(Relation rel, Losers *losers)
{
	StoreTable *table = store_open(rel);
	StorePage	p = {0};

	qsort(losers->tids, losers->n, sizeof(int64), compare_int64);
	for (Size i = 0; i < losers->n;)
	{
		bool		which[MaxHeapTuplesPerPage] = {false};
		BlockNumber block = (BlockNumber) (losers->tids[i] >> 16);

		CHECK_FOR_INTERRUPTS();
		if (!store_page_get(rel, table, block, NULL, &p))
			elog(ERROR, "sealed page %u of \"%s\" belongs to no run", block, RelationGetRelationName(rel));
		for (; i < losers->n && (BlockNumber) (losers->tids[i] >> 16) == block; i++)
			which[(losers->tids[i] & 0xFFFF) - 1] = true;
		store_links_kill(rel, &p, which);
	}
	store_page_release(&p);
}

uint64
store_stamp(Relation rel, StoreMoves *moves, Snapshot snapshot, TransactionId xid, CommandId cid)
{
	ItemPointerData from,
				to;
	Buffer		vmbuffer = InvalidBuffer;
	StoreTable *table = store_open(rel);
	StorePage	p = {0};
	Losers		losers = {0};
	BlockNumber last = InvalidBlockNumber;
	uint32		ahead = 0;
	bool		more;

	tuplesort_performsort(moves->sort);
	more = moves_next(moves, &from, &to);
	while (more)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&from);
		PageMoves	rows = {0};

		CHECK_FOR_INTERRUPTS();
		do
		{
			rows.from[rows.n] = ItemPointerGetOffsetNumber(&from);
			rows.to[rows.n++] = to;
			more = moves_next(moves, &from, &to);
		} while (more && ItemPointerGetBlockNumber(&from) == block);
		if (store_page_get(rel, table, block, NULL, &p))
			move_page(rel, &p, &rows, snapshot, xid, cid, &vmbuffer, &losers);
		else
		{
			ahead = last != InvalidBlockNumber && block == last + 1 ? Min(2 * ahead + 1, MAP_AHEAD) : 0;
			stamp_page(rel, block, &rows, snapshot, xid, cid, ahead, &vmbuffer, &losers);
			last = block;
		}
		DEBUG_POINT("seal-page-stamped");
	}
	store_page_release(&p);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	if (losers.n > 0)
	{
		kill_losers(rel, &losers);
		pfree(losers.tids);
	}
	return losers.n;
}
