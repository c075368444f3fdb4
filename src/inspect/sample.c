/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  Samples of keys and row addresses, for predictions.
 *
 * How well entries pack depends on what they have to do with their neighbours, so
 * a sample is of stretches, not of single rows.  A btree has them on its leaves.
 *
 * IDENTIFICATION
 *	  src/inspect/sample.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "inspect/sample.h"
#include "rmi/kyro_rmi.h"
#include "store/page.h"

/* Places that stretches of a larger one are taken from. */
#define PLACES			40

/* Pages of a table at each place; of a table that is not in order, single pages are read. */
#define PLACE_PAGES		25

/* Keys drawn at most for a table that is not in order. */
#define DRAWN			(8 * KYRO_LEAF_CAP)

/* Entries that grow. */
typedef struct Entries
{
	KyroEntry  *e;
	size_t		n;
	size_t		room;
} Entries;

static void
put(Entries *entries, int64 key, uint64 tid)
{
	if (entries->n == entries->room)
	{
		size_t		room = Max(entries->room * 2, 8192);

		entries->e = entries->e == NULL ? palloc_extended(room * sizeof(KyroEntry), MCXT_ALLOC_HUGE) :
			repalloc_huge(entries->e, room * sizeof(KyroEntry));
		entries->room = room;
	}
	entries->e[entries->n++] = (KyroEntry) {key, tid};
}

static int
compare(const void *a, const void *b)
{
	return kyro_entry_cmp(*(const KyroEntry *) a, *(const KyroEntry *) b);
}

/*
 * Sort the entries, and drop repeats.  Old btrees are not in order of
 * addresses, and pages may split while we go on.
 */
static void
order(Entries *entries)
{
	size_t		n = 0;
	bool		ordered = true;

	for (size_t i = 1; i < entries->n && ordered; i++)
		ordered = kyro_entry_cmp(entries->e[i - 1], entries->e[i]) < 0;
	if (ordered)
		return;
	qsort(entries->e, entries->n, sizeof(KyroEntry), compare);
	for (size_t i = 0; i < entries->n; i++)
	{
		if (n == 0 || kyro_entry_cmp(entries->e[n - 1], entries->e[i]) != 0)
			entries->e[n++] = entries->e[i];
	}
	entries->n = n;
}

static void
give(Entries *entries, bool nulls, KyroStretchFunction f, void *arg)
{
	KyroStretch stretch = {.nulls = nulls};

	order(entries);
	stretch.entries = entries->e;
	stretch.n = entries->n;
	if (stretch.n > 0)
		f(arg, &stretch);
	entries->n = 0;
}

static BlockNumber
random_block(BlockNumber from, BlockNumber to)
{
	return (BlockNumber) pg_prng_uint64_range(&pg_global_prng_state, from, to - 1);
}

/* ---- btrees ---- */

/* A leaf of a btree that is in use, locked and pinned; InvalidBuffer if the block is none. */
static Buffer
get_leaf(Relation index, BlockNumber block)
{
	Buffer		buf = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, NULL);
	Page		page = BufferGetPage(buf);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (PageIsNew(page) || PageGetSpecialSize(page) != MAXALIGN(sizeof(BTPageOpaqueData)) ||
		!P_ISLEAF(BTPageGetOpaque(page)) || P_IGNORE(BTPageGetOpaque(page)))
	{
		UnlockReleaseBuffer(buf);
		return InvalidBuffer;
	}
	return buf;
}

typedef struct BtreeWalk
{
	Relation	index;
	RmiKeyType	type;
	KyroStretchFunction f;
	void	   *arg;
	Entries		entries;
	bool		nulls;			/* the entries at hand */
	double		total;			/* entries seen, and leaves */
	double		leaves;
} BtreeWalk;

/* Take the entries of a locked leaf; where NULLs begin, a stretch ends. */
static void
take_leaf(BtreeWalk *w, Page page)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);

	w->leaves++;
	for (OffsetNumber off = P_FIRSTDATAKEY(BTPageGetOpaque(page)); off <= max; off = OffsetNumberNext(off))
	{
		ItemId		item = PageGetItemId(page, off);
		IndexTuple	tuple;
		Datum		value;
		bool		isnull;
		int64		key;

		if (ItemIdIsDead(item))
			continue;
		tuple = (IndexTuple) PageGetItem(page, item);
		value = index_getattr(tuple, 1, RelationGetDescr(w->index), &isnull);
		if (isnull != w->nulls)
		{
			give(&w->entries, w->nulls, w->f, w->arg);
			w->nulls = isnull;
		}
		key = isnull ? 0 : rmi_key_from_datum(w->type, value);
		if (BTreeTupleIsPosting(tuple))
		{
			for (int i = 0; i < BTreeTupleGetNPosting(tuple); i++)
				put(&w->entries, key, kyro_tid_from_pointer(BTreeTupleGetPostingN(tuple, i)));
			w->total += BTreeTupleGetNPosting(tuple);
		}
		else
		{
			put(&w->entries, key, kyro_tid_from_pointer(&tuple->t_tid));
			w->total++;
		}
	}
}

/* From a leaf to the right, until there are enough entries, or to the end; the buffer is released. */
static void
walk(BtreeWalk *w, Buffer buf, size_t enough)
{
	BlockNumber next = BufferGetBlockNumber(buf);

	w->nulls = false;
	for (;;)
	{
		Page		page = BufferGetPage(buf);

		take_leaf(w, page);
		next = BTPageGetOpaque(page)->btpo_next;
		UnlockReleaseBuffer(buf);
		CHECK_FOR_INTERRUPTS();
		if (next == P_NONE || w->entries.n >= enough)
			break;
		/* a page that is deleted meanwhile is still linked */
		buf = get_leaf(w->index, next);
		if (!BufferIsValid(buf))
			break;
	}
	give(&w->entries, w->nulls, w->f, w->arg);
}

double
kyro_sample_btree(Relation index, size_t enough, KyroStretchFunction f, void *arg)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(index);
	BtreeWalk	w = {.index = index, .type = rmi_key_type(index), .f = f, .arg = arg};
	bool		whole = nblocks <= KYRO_SAMPLE_WHOLE;
	int			found = 0;
	double		tuples = index->rd_rel->reltuples;

	for (BlockNumber i = 0; whole ? i + 1 < nblocks : found < PLACES && i < 10 * PLACES; i++)
	{
		Buffer		buf = get_leaf(index, whole ? i + 1 : random_block(1, nblocks));

		CHECK_FOR_INTERRUPTS();
		if (!BufferIsValid(buf))
			continue;
		if (whole && !P_LEFTMOST(BTPageGetOpaque(BufferGetPage(buf))))
		{
			UnlockReleaseBuffer(buf);
			continue;
		}
		walk(&w, buf, whole ? SIZE_MAX : enough);
		if (whole)
			break;
		found++;
	}
	if (whole)
		return w.total;

	/*
	 * as the planner does; without its numbers, by what we have seen.  Few
	 * pages are not leaves.
	 */
	if (tuples > 0 && index->rd_rel->relpages > 0)
		return tuples / index->rd_rel->relpages * nblocks;
	return w.leaves > 0 ? w.total / w.leaves * nblocks : 0;
}

/* ---- tables ---- */

/* Call one(arg, tuple) for each row of a heap page that the snapshot sees; false if it is no heap page. */
static bool
each_row(Relation heap, BlockNumber block, Snapshot snapshot, void (*one) (void *arg, HeapTuple tuple), void *arg)
{
	Buffer		buf = ReadBufferExtended(heap, MAIN_FORKNUM, block, RBM_NORMAL, NULL);
	Page		page = BufferGetPage(buf);
	bool		ours;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	ours = store_page_is_ours(page);
	if (!ours && !PageIsNew(page))
	{
		OffsetNumber max = PageGetMaxOffsetNumber(page);

		for (OffsetNumber off = FirstOffsetNumber; off <= max; off = OffsetNumberNext(off))
		{
			ItemId		item = PageGetItemId(page, off);
			HeapTupleData tuple;

			if (!ItemIdIsNormal(item))
				continue;
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(heap);
			ItemPointerSet(&tuple.t_self, block, off);
			if (!store_is_ledger(tuple.t_data) && HeapTupleSatisfiesVisibility(&tuple, snapshot, buf))
				one(arg, &tuple);
		}
	}
	UnlockReleaseBuffer(buf);
	CHECK_FOR_INTERRUPTS();
	return !ours;
}

typedef struct RowWalk
{
	TupleDesc	desc;
	RmiKeyType	type;
	AttrNumber	attnum;
	Entries		entries;
	double		rows;
	double		nulls;
} RowWalk;

static void
take_row(void *arg, HeapTuple tuple)
{
	RowWalk    *w = (RowWalk *) arg;
	bool		isnull;
	Datum		value = heap_getattr(tuple, w->attnum, w->desc, &isnull);

	w->rows++;
	if (isnull)
		w->nulls++;
	else
		put(&w->entries, rmi_key_from_datum(w->type, value), kyro_tid_from_pointer(&tuple->t_self));
}

/*
 * Invent keys between those of a sample, which has one in `scale`, of a table
 * that is not in order.  They are evenly spread, with any addresses.
 */
static void
draw(Entries *sample, double scale, BlockNumber nblocks, int per_page, KyroStretchFunction f, void *arg)
{
	Entries		drawn = {0};

	order(sample);
	for (size_t i = 0; i + 1 < sample->n && drawn.n < DRAWN; i++)
	{
		uint64		gap = (uint64) sample->e[i + 1].key - (uint64) sample->e[i].key;
		int			n = (int) scale + (pg_prng_double(&pg_global_prng_state) < scale - (int) scale);

		put(&drawn, sample->e[i].key, sample->e[i].tid);
		for (int k = 1; k < n; k++)
		{
			ItemPointerData tid;

			ItemPointerSet(&tid, random_block(0, nblocks), 1 + pg_prng_uint64_range(&pg_global_prng_state, 0, Max(per_page, 1) - 1));
			put(&drawn, (int64) ((uint64) sample->e[i].key + (gap > 0 ? pg_prng_uint64_range(&pg_global_prng_state, 0, gap - 1) : 0)),
				kyro_tid_from_pointer(&tid));
		}
	}
	give(&drawn, false, f, arg);
}

/*
 * How wide are the stretches' ranges of keys, relative to the range of all
 * keys?
 */
static double
relative_width(const double *low, const double *high, int n)
{
	double		sum = 0;
	double		min = n > 0 ? low[0] : 0;
	double		max = n > 0 ? high[0] : 0;

	for (int i = 0; i < n; i++)
	{
		sum += high[i] - low[i];
		min = Min(min, low[i]);
		max = Max(max, high[i]);
	}
	return n > 0 && max > min ? sum / n / (max - min) : 0;
}

double
kyro_sample_rows(Relation heap, Relation index, size_t enough, KyroStretchFunction f, void *arg)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	Snapshot	snapshot = GetActiveSnapshot();
	RowWalk		w = {.desc = RelationGetDescr(heap), .type = rmi_key_type(index), .attnum = index->rd_index->indkey.values[0]};
	Entries		all = {0};
	bool		whole = nblocks <= KYRO_SAMPLE_WHOLE;
	int			places = whole ? 1 : PLACES;
	BlockNumber pages = 0;
	double		low[PLACES];
	double		high[PLACES];
	size_t		start[PLACES + 1];
	int			n = 0;

	for (int place = 0; place < places; place++)
	{
		BlockNumber from = whole ? 0 : random_block(0, nblocks);
		BlockNumber to = whole ? nblocks : Min(from + PLACE_PAGES, nblocks);
		Entries		here;

		w.entries.n = 0;
		/* wide rows: more pages, until there are enough */
		for (BlockNumber block = from; block < nblocks && (block < to || (!whole && w.entries.n < enough && block < from + 40 * PLACE_PAGES)); block++)
		{
			(void) each_row(heap, block, snapshot, take_row, &w);
			pages++;
		}
		here = w.entries;
		if (here.n == 0)
			continue;
		order(&here);
		w.entries.n = here.n;
		low[n] = (double) here.e[0].key;
		high[n] = (double) here.e[here.n - 1].key;
		start[n++] = all.n;
		for (size_t i = 0; i < here.n; i++)
			put(&all, here.e[i].key, here.e[i].tid);
	}
	start[n] = all.n;
	if (all.n == 0)
		return 0;
	if (whole || relative_width(low, high, n) < 0.2)
	{
		for (int i = 0; i < n; i++)
		{
			KyroStretch stretch = {.entries = all.e + start[i], .n = start[i + 1] - start[i]};

			f(arg, &stretch);
		}
	}
	else
		draw(&all, (double) nblocks / pages, nblocks, (int) (w.rows / pages), f, arg);
	return w.rows / pages * nblocks;
}

/* ---- sealing ---- */

typedef struct SealWalk
{
	int			natts;
	double		rows;
	double		bytes;			/* as stored, with the entries of the page's
								 * directory */
} SealWalk;

static void
take_size(void *arg, HeapTuple tuple)
{
	SealWalk   *w = (SealWalk *) arg;
	HeapTupleHeader t = tuple->t_data;

	w->rows++;
	w->bytes += sizeof(uint16) + tuple->t_len - t->t_hoff +
		((t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(HeapTupleHeaderGetNatts(t)) : 0);
}

void
kyro_sample_seal(Relation heap, double *rows, double *bytes)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	Snapshot	snapshot = GetActiveSnapshot();
	bool		whole = nblocks <= KYRO_SAMPLE_WHOLE;
	BlockNumber want = Min(nblocks, KYRO_SAMPLE_WHOLE);
	SealWalk	w = {0};
	BlockNumber ours = 0;
	double		per_page;
	double		pages;

	*rows = 0;
	*bytes = BLCKSZ;
	if (nblocks == 0)
		return;
	for (BlockNumber i = 0; i < want; i++)
	{
		if (!each_row(heap, whole ? i : random_block(0, nblocks), snapshot, take_size, &w))
			ours++;
	}
	*rows = w.rows / want * nblocks;
	pages = (double) ours / want * nblocks;
	if (w.rows > 0)
	{
		/*
		 * a page is full when the next row does not fit: on average, half of
		 * one is free
		 */
		double		row = w.bytes / w.rows;

		per_page = Max(1, (STORE_MAX_DATA + 2 * sizeof(uint16) - Min(row / 2, STORE_MAX_DATA / 4)) / row);
		pages += *rows / Min(per_page, MaxHeapTuplesPerPage);
	}
	/* the list, and a page of groups */
	*bytes = (ceil(pages) + 2) * BLCKSZ;
}
