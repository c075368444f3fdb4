/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Sealed pages in hand, and their rows as heap tuples.
 *
 * IDENTIFICATION
 *	  src/store/row.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgstat.h"
#include "utils/memutils.h"

#include "store/store.h"

bool
store_page_get(Relation rel, StoreTable *table, BlockNumber block,
			   BufferAccessStrategy strategy, StorePage *p)
{
	StoreRun   *run = store_find_run(table, block);

	if (run == NULL || store_run_aborted(run))
		return false;
	store_page_get_of_run(rel, table, run, block, strategy, p);
	return true;
}

void
store_page_get_of_run(Relation rel, StoreTable *table, StoreRun *run, BlockNumber block,
					  BufferAccessStrategy strategy, StorePage *p)
{
	const char *page;

	if (p->page != NULL && p->block == block && p->table == table && StorePageGetHeader(p->page)->run == run->id)
	{
		p->run = run;			/* the list may have been read anew */
		return;
	}

	page = store_map_page(rel, table, block);
	if (page != NULL && StorePageGetHeader(page)->run == run->id)
	{
		if (BufferIsValid(p->buffer))
		{
			ReleaseBuffer(p->buffer);
			p->buffer = InvalidBuffer;
		}
		table->usage->map_reads++;
	}
	else
	{
		if (page != NULL)
			store_map_distrust(table, block);
		if (BufferIsValid(p->buffer))
			ReleaseBuffer(p->buffer);
		p->buffer = InvalidBuffer;
		p->page = NULL;
		p->buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		page = BufferGetPage(p->buffer);
		if (!store_page_verified(table, block))
		{
			const char *problem = store_rows_problem(page, block);

			if (problem != NULL)
				store_corrupt(rel, block, problem);
			store_page_set_verified(table, block);
		}
		if (store_page_kind(page) != STORE_ROWS || StorePageGetHeader(page)->run != run->id)
			store_corrupt(rel, block, "page is not one of its run");
		table->usage->buffer_reads++;
	}
	p->table = table;
	p->run = run;
	p->block = block;
	p->page = page;
}

static inline void
unpin(Buffer *buffer)
{
	if (BufferIsValid(*buffer))
		ReleaseBuffer(*buffer);
	*buffer = InvalidBuffer;
}

void
store_page_drop(StorePage *p)
{
	unpin(&p->buffer);
	unpin(&p->ledger_buffer);
	p->page = NULL;
}

void
store_page_release(StorePage *p)
{
	store_page_drop(p);
	unpin(&p->vmbuffer);
	unpin(&p->link_buffer);
}

/* Length of the heap tuple that a row of `length` stored bytes becomes; *hoff is its t_hoff. */
static inline Size
tuple_size(const StoreRows *rows, uint32 length, uint16 flags, uint8 *hoff)
{
	Size		bitmap = (flags & HEAP_HASNULL) ? BITMAPLEN(rows->natts) : 0;

	*hoff = MAXALIGN(SizeofHeapTupleHeader + bitmap);
	return *hoff + length - bitmap;
}

/* The stored bytes of a row of the page in hand. */
static inline const char *
row_bytes(Relation rel, StorePage *p, OffsetNumber row, uint32 *length, uint16 *flags)
{
	const char *data = store_row_data(store_page_rows(p), row, length, flags);

	/* the page was verified, but zeros may have taken its place since (map.c) */
	if (unlikely(*length > BLCKSZ || data + *length > p->page + BLCKSZ))
		store_map_raise(rel, p->table, p->block);
	return data;
}

/*
 * Copy n bytes of a row, and up to COPY_CHUNK - 1 bytes more: rows are short, and a
 * few moves of constant size are faster than a memcpy().  The bytes that are read
 * beyond the row are on the same page.
 */
#define COPY_CHUNK 32

static inline void
copy_data(char *to, const char *from, Size n, const char *page_end)
{
	if (n > 8 * COPY_CHUNK || from + n + COPY_CHUNK > page_end)
	{
		memcpy(to, from, n);
		return;
	}
	for (Size i = 0; i < n; i += COPY_CHUNK)
		memcpy(to + i, from + i, COPY_CHUNK);
}

/*
 * Make a heap tuple at tuple->t_data from the stored bytes of a row.  There must be
 * room for COPY_CHUNK bytes more than the tuple has.
 */
static inline void
form(Relation rel, StorePage *p, OffsetNumber row, const char *data, uint32 length, uint16 flags,
	 uint8 hoff, HeapTuple tuple)
{
	const StoreRows *rows = store_page_rows(p);
	HeapTupleHeader t = tuple->t_data;
	Size		bitmap = (flags & HEAP_HASNULL) ? BITMAPLEN(rows->natts) : 0;

	/* like a frozen row of a heap, which still shows its xmin */
	t->t_choice.t_heap.t_xmin = TransactionIdIsValid(p->run->xmin) ? p->run->xmin : FrozenTransactionId;
	t->t_choice.t_heap.t_xmax = InvalidTransactionId;
	t->t_choice.t_heap.t_field3.t_cid = FirstCommandId;
	t->t_infomask2 = rows->natts;
	t->t_infomask = flags | HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	t->t_hoff = hoff;
	if (unlikely(length < bitmap))
		store_map_raise(rel, p->table, p->block);

	/*
	 * padding must be zero: tuples are compared and written with it
	 */
	if (bitmap == 0)
		t->t_bits[0] = 0;
	else
	{
		memcpy(t->t_bits, data, bitmap);
		memset(t->t_bits + bitmap, 0, hoff - SizeofHeapTupleHeader - bitmap);
	}
	copy_data((char *) t + hoff, data + bitmap, length - bitmap, p->page + BLCKSZ);
	ItemPointerSet(&t->t_ctid, p->block, row);
	tuple->t_self = t->t_ctid;
	tuple->t_len = hoff + length - bitmap;
	tuple->t_tableOid = RelationGetRelid(rel);
	if (!BufferIsValid(p->buffer) && store_map_failed())
		store_map_raise(rel, p->table, p->block);
}

HeapTuple
store_row_copy(Relation rel, StorePage *p, OffsetNumber row)
{
	uint32		length;
	uint16		flags;
	uint8		hoff;
	const char *data = row_bytes(rel, p, row, &length, &flags);
	Size		size = tuple_size(store_page_rows(p), length, flags, &hoff);
	HeapTuple	tuple = palloc(HEAPTUPLESIZE + size + COPY_CHUNK);

	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	form(rel, p, row, data, length, flags, hoff, tuple);
	return tuple;
}

void
store_row_slot(Relation rel, StorePage *p, OffsetNumber row, TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *bslot = (BufferHeapTupleTableSlot *) slot;
	uint32		length;
	uint16		flags;
	uint8		hoff;
	const char *data = row_bytes(rel, p, row, &length, &flags);
	Size		size = tuple_size(store_page_rows(p), length, flags, &hoff);
	HeapTuple	tuple = bslot->base.tuple;
	const Size	gap = HEAPTUPLESIZE + MAXIMUM_ALIGNOF;

	Assert(TTS_IS_BUFFERTUPLE(slot));
	if (TTS_SHOULDFREE(slot) && tuple != NULL &&
		(char *) tuple->t_data == (char *) tuple + gap &&
		*(uint32 *) ((char *) tuple + HEAPTUPLESIZE) >= size)
	{
		Assert(!BufferIsValid(bslot->buffer));
	}
	else
	{
		Size		capacity = MAXALIGN(size + size / 4);

		ExecClearTuple(slot);
		tuple = MemoryContextAlloc(slot->tts_mcxt, gap + capacity + COPY_CHUNK);
		tuple->t_data = (HeapTupleHeader) ((char *) tuple + gap);
		*(uint32 *) ((char *) tuple + HEAPTUPLESIZE) = capacity;
		bslot->base.tuple = tuple;
		slot->tts_flags |= TTS_FLAG_SHOULDFREE;
	}
	form(rel, p, row, data, length, flags, hoff, tuple);
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
	slot->tts_nvalid = 0;
	bslot->base.off = 0;
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = tuple->t_tableOid;
}
