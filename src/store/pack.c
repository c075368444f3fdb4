/*-------------------------------------------------------------------------
 *
 * pack.c
 *	  Packing rows into the pages of a run.
 *
 * There are three ways:
 *
 * - Pages are logged as images and written past the buffer manager to the end of
 *	  the file, a batch at a time.  Nobody else may make the file longer meanwhile, so
 *	  nobody has buffers of these blocks before they have their final content.
 *	  Nobody looks for rows in them before the run is in the list.  A crash or an
 *	  error in between leaves pages that belong to no run.
 * - The same, but others may make the file longer before all rows have come: pages
 *	  are kept in memory until then.
 * - The run takes the place of pages that were claimed (space.c).  These are changed
 *	  in buffers, and written to the file before the run is listed, so that maps find
 *	  them there.
 *
 * IDENTIFICATION
 *	  src/store/pack.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/timestamp.h"

#include "store/store.h"

#define WRITE_BATCH 32			/* pages logged by one record,
								 * XLR_MAX_BLOCK_ID */

struct StorePack
{
	Relation	rel;			/* valid during each call, not between calls */
	StoreRun	run;			/* as far as it is known */
	uint16		natts;

	/* the page being filled */
	char		data[BLCKSZ];
	uint32		ndata;
	uint16		entries[MaxHeapTuplesPerPage];
	int			nrows;
	BlockNumber block;			/* its number; counted from 0, if pages are
								 * kept */
	uint32		group;			/* number of the current group */
	uint32		group_rows;		/* rows of it on finished pages */

	BlockNumber claimed_end;	/* end of the claimed blocks; 0: the run lies
								 * at the end of the file */

	/* finished pages */
	bool		keep;			/* until the run is finished */
	char	   *batch;
	int			nbatch;
	int			max_batch;
	bool		missed;			/* a checkpoint may have missed a page: sync
								 * at the end */
};

/* ---- rows as they are stored: null bitmap and data ---- */

static inline uint32
bitmap_size(HeapTupleHeader t)
{
	return (t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(HeapTupleHeaderGetNatts(t)) : 0;
}

uint32
store_stored_size(HeapTuple tuple)
{
	return tuple->t_len - tuple->t_data->t_hoff + bitmap_size(tuple->t_data);
}

HeapTuple
store_whole_row(Relation rel, HeapTuple tuple)
{
	return HeapTupleHeaderGetNatts(tuple->t_data) < RelationGetDescr(rel)->natts ?
		heap_expand_tuple(tuple, RelationGetDescr(rel)) : tuple;
}

bool
store_fits(HeapTuple whole)
{
	return whole->t_len <= STORE_MAX_TUPLE && store_stored_size(whole) <= STORE_MAX_DATA;
}

void
store_stored_copy(HeapTuple tuple, char *to)
{
	HeapTupleHeader t = tuple->t_data;
	uint32		bitmap = bitmap_size(t);

	memcpy(to, t->t_bits, bitmap);
	memcpy(to + bitmap, (char *) t + t->t_hoff, tuple->t_len - t->t_hoff);
}

/* ---- pages ---- */

StorePack *
store_pack_begin(Relation rel, uint64 fxid, TransactionId xmin, int keep)
{
	StorePack  *pack = palloc0(sizeof(StorePack));

	pack->rel = rel;
	pack->run.id = store_random_id();
	pack->run.fxid = fxid;
	pack->run.xmin = xmin;
	pack->natts = RelationGetDescr(rel)->natts;
	pack->keep = keep > 0;
	/* a group has at least one page */
	pack->max_batch = keep > 0 ? keep + STORE_GROUP_PAGES(keep) : WRITE_BATCH;
	if (!pack->keep)
		store_pack_at_end(pack);
	pack->batch = kyro_palloc_pages((Size) pack->max_batch);
	return pack;
}

void
store_pack_at_end(StorePack *pack)
{
	pack->run.first = pack->block = smgrnblocks(RelationGetSmgr(pack->rel), MAIN_FORKNUM);
}

/*
 * An upper bound for the pages of a run of rows of these sizes.  A page is full
 * because it has MaxHeapTuplesPerPage rows, or because the next row does not fit.
 * The number is greatest if there are as many pages of the first kind as the rows
 * allow, with the narrowest rows, or none; anything between gives fewer pages.
 */
static uint32
most_pages(const StoreSizes *sizes)
{
	const uint32 room = STORE_ROWS_END - STORE_ROWS_START - sizeof(uint16);
	uint32		widest = sizes->widest + sizeof(uint16);
	uint32		narrowest = sizes->narrowest + sizeof(uint16);
	uint64		bytes = sizes->bytes + sizes->rows * sizeof(uint16);
	uint64		counted = narrowest * MaxHeapTuplesPerPage > room ? 0 : sizes->rows / MaxHeapTuplesPerPage;
	uint64		groups = sizes->rows / (STORE_LINKS_PER_GROUP - MaxHeapTuplesPerPage) + 1;
	uint64		pages = sizes->rows;

	if (widest < room)
	{
		uint64		rest = bytes - counted * MaxHeapTuplesPerPage * narrowest;

		pages = Min(pages, 1 + Max(bytes / (room - widest), counted + rest / (room - widest)));
	}
	return pages + STORE_GROUP_PAGES(Min(groups, pages));
}

bool
store_pack_claim(StorePack *pack, const StoreSizes *sizes, BlockNumber before)
{
	uint32		n = most_pages(sizes);
	BlockNumber first = store_space_claim(pack->rel, pack->run.id, n, before);

	if (first == InvalidBlockNumber)
		return false;
	pack->run.first = pack->block = first;
	pack->claimed_end = first + n;
	return true;
}

void
store_pack_abandon(StorePack *pack)
{
	pfree(pack->batch);
	pfree(pack);
}

/* Put pages into buffers of claimed blocks, and log them. */
static void
fill_pages(StorePack *pack, char *images, int n, BlockNumber first)
{
	Relation	rel = pack->rel;

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n; i++)
	{
		char	   *image = images + i * BLCKSZ;
		Buffer		buffer = ReadBuffer(rel, first + i);
		Page		page = BufferGetPage(buffer);

		StorePageGetHeader(image)->hash = store_page_hash(image, first + i);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (first + i >= pack->claimed_end || store_page_kind(page) != STORE_ROWS ||
			StorePageGetHeader(page)->run != pack->run.id)
			elog(ERROR, "block %u of table \"%s\" was not claimed", first + i, RelationGetRelationName(rel));
		START_CRIT_SECTION();
		memcpy((char *) page + offsetof(PageHeaderData, pd_flags), image + offsetof(PageHeaderData, pd_flags),
			   BLCKSZ - offsetof(PageHeaderData, pd_flags));
		MarkBufferDirty(buffer);
		if (RelationNeedsWAL(rel))
			log_newpage_buffer(buffer, true);
		END_CRIT_SECTION();
		UnlockReleaseBuffer(buffer);
	}
}

/* Write the filled pages to the file, and give back blocks that were not needed. */
static void
finish_claimed(StorePack *pack)
{
	Relation	rel = pack->rel;

	if (RelationNeedsWAL(rel))
		XLogFlush(XactLastRecEnd);
	for (BlockNumber block = pack->run.first; block < pack->block && !RelationUsesLocalBuffers(rel); block++)
	{
		Buffer		buffer = ReadBuffer(rel, block);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		FlushOneBuffer(buffer);
		UnlockReleaseBuffer(buffer);
	}
	store_space_release(rel, pack->block, pack->claimed_end);
}

/* Log and write up to WRITE_BATCH pages to the end of the file. */
static void
write_pages(StorePack *pack, char *images, int n, BlockNumber first)
{
	Relation	rel = pack->rel;
	BlockNumber blocks[WRITE_BATCH];
	Page		pages[WRITE_BATCH];
	XLogRecPtr	redo = GetRedoRecPtr();

	CHECK_FOR_INTERRUPTS();
	if (smgrnblocks(RelationGetSmgr(rel), MAIN_FORKNUM) != first)
		elog(ERROR, "table \"%s\" has become longer under a run", RelationGetRelationName(rel));
	for (int i = 0; i < n; i++)
	{
		blocks[i] = first + i;
		pages[i] = images + i * BLCKSZ;
		StorePageGetHeader(pages[i])->hash = store_page_hash(pages[i], blocks[i]);
	}
	if (RelationNeedsWAL(rel))
		log_newpages(&kyro_locator(rel), MAIN_FORKNUM, n, blocks, pages, true);
	for (int i = 0; i < n; i++)
	{
		PageSetChecksumInplace(pages[i], blocks[i]);
		smgrextend(RelationGetSmgr(rel), MAIN_FORKNUM, blocks[i], pages[i], RelationUsesLocalBuffers(rel));
	}

	/*
	 * Checkpoints that begin from now on sync what was written.  One that
	 * began between logging and writing a page may have synced the file
	 * before the write, although recovery would begin after the record.
	 */
	if (redo != GetRedoRecPtr())
		pack->missed = true;
}

static void
write_batch(StorePack *pack)
{
	if (pack->nbatch > 0 && pack->claimed_end != 0)
		fill_pages(pack, pack->batch, pack->nbatch, pack->block - pack->nbatch);
	else if (pack->nbatch > 0)
		write_pages(pack, pack->batch, pack->nbatch, pack->block - pack->nbatch);
	pack->nbatch = 0;
}

/* Initialise the next page of the batch; call page_done() when it is complete. */
static Page
next_page(StorePack *pack, StorePageKind kind)
{
	Page		page = pack->batch + (Size) pack->nbatch * BLCKSZ;

	store_page_init(page, kind, pack->run.id);
	return page;
}

static void
page_done(StorePack *pack)
{
	pack->nbatch++;
	pack->block++;
	if (!pack->keep && pack->nbatch == pack->max_batch)
		write_batch(pack);
}

/* Make a page of the rows collected. */
static void
flush_rows(StorePack *pack)
{
	StoreRows  *rows;
	Page		page;
	uint32		offset;

	if (pack->nrows == 0)
		return;
	page = next_page(pack, STORE_ROWS);
	rows = StorePageGetRows(page);
	if (pack->group_rows + pack->nrows > STORE_LINKS_PER_GROUP)
	{
		pack->group++;
		pack->group_rows = 0;
	}
	rows->h.count = pack->nrows;
	rows->fxid = pack->run.fxid;
	rows->group = pack->group;
	rows->group_base = pack->group_rows;
	rows->natts = pack->natts;
	offset = STORE_ROWS_START + (pack->nrows + 1) * sizeof(uint16);
	memcpy(page + offset, pack->data, pack->ndata);
	for (int i = 0; i < pack->nrows; i++)
		rows->rows[i] = pack->entries[i] + offset;
	rows->rows[pack->nrows] = STORE_ROW_ENTRY(offset + pack->ndata, 0);
	pack->group_rows += pack->nrows;
	pack->run.rows += pack->nrows;
	pack->run.bytes += pack->ndata;
	pack->run.pages++;
	pack->nrows = 0;
	pack->ndata = 0;
	page_done(pack);
}

char *
store_pack_row(StorePack *pack, Relation rel, uint16 infomask, uint32 size, ItemPointer tid)
{
	char	   *to;

	pack->rel = rel;
	if (pack->nrows == MaxHeapTuplesPerPage ||
		STORE_ROWS_START + (pack->nrows + 2) * sizeof(uint16) + pack->ndata + size > STORE_ROWS_END)
		flush_rows(pack);
	to = pack->data + pack->ndata;
	pack->entries[pack->nrows++] = STORE_ROW_ENTRY(pack->ndata, infomask);
	pack->ndata += size;
	if (pack->keep)
		ItemPointerSetInvalid(tid);
	else
		ItemPointerSet(tid, pack->block, pack->nrows);
	return to;
}

bool
store_pack_is_full(const StorePack *pack)
{
	/* one more page is being filled, and pages of groups follow */
	return pack->keep && pack->nbatch + 1 + STORE_GROUP_PAGES(pack->group + 2) >= (uint32) pack->max_batch;
}

void
store_pack_finish(StorePack *pack, Relation rel, StoreRun *run)
{
	bool		lock = pack->keep && !RelationUsesLocalBuffers(rel);

	pack->rel = rel;
	flush_rows(pack);
	pack->run.groups = pack->group + 1;
	for (uint32 g = 0; g < pack->run.groups; g += STORE_GROUPS_PER_PAGE)
	{
		StoreGroups *groups = StorePageGetGroups(next_page(pack, STORE_GROUPS));

		groups->first = g;
		groups->h.count = Min(STORE_GROUPS_PER_PAGE, pack->run.groups - g);
		for (int i = 0; i < groups->h.count; i++)
			groups->links[i] = InvalidBlockNumber;
		page_done(pack);
	}

	if (pack->keep)
	{
		if (lock)
			LockRelationForExtension(rel, ExclusiveLock);
		pack->run.first = smgrnblocks(RelationGetSmgr(rel), MAIN_FORKNUM);
		for (int i = 0; i < pack->nbatch; i += WRITE_BATCH)
			write_pages(pack, pack->batch + (Size) i * BLCKSZ, Min(WRITE_BATCH, pack->nbatch - i), pack->run.first + i);
		if (lock)
			UnlockRelationForExtension(rel, ExclusiveLock);
	}
	else
		write_batch(pack);
	if (pack->claimed_end != 0)
		finish_claimed(pack);

	if (pack->missed && !RelationUsesLocalBuffers(rel))
		smgrimmedsync(RelationGetSmgr(rel), MAIN_FORKNUM);
	pack->run.sealed_at = GetCurrentTimestamp();
	*run = pack->run;
	pfree(pack->batch);
	pfree(pack);
}
