/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  Links from sealed rows to ledger tuples, and the first touch of a row.
 *
 * A sealed row that is deleted, updated or locked for the first time is
 * copied to a heap tuple on a log page, its ledger tuple; from then on heap
 * code does the work there, and what it says of the ledger tuple holds for
 * the row.  One generic WAL record writes the copy and the link.  The link is
 * set once and verifies itself: it is good if what it points to is an
 * ordinary tuple that carries the row's TID as its tag.  Heap code removes a
 * ledger tuple only when it is dead to all, and whatever is there later does not
 * carry that tag.
 *
 * A ledger tuple is frozen at birth: it is live until somebody deletes it,
 * and the transaction that touched the row first may well abort.  It fits a
 * page that is marked all-visible, and the mark stays true.
 *
 * Locks: heap page, then link page, then map page.  Group pages are locked
 * alone, except while a new link page is made.
 *
 * IDENTIFICATION
 *	  src/store/ledger.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/hio.h"
#include "access/visibilitymap.h"
#include "storage/lmgr.h"

#include "debug_point.h"
#include "store/store.h"

/* Block of the group page with the entry of a group, and the entry's place. */
static BlockNumber
group_block(StoreRun *run, uint32 group, int *place)
{
	*place = group % STORE_GROUPS_PER_PAGE;
	return run->first + run->pages + group / STORE_GROUPS_PER_PAGE;
}

/*
 * Group and link pages change, so their checksums are looked at whenever they
 * have changed since: what was seen to be good is remembered by LSN.  Those of
 * tables that are not logged have none, and are looked at each time.
 */
typedef struct Checked
{
	KyroLocator locator;
	BlockNumber block;
	XLogRecPtr	lsn;
} Checked;

static Checked checked[256];

/* Raise an error unless the locked page is what it should be. */
static void
check_page(Relation rel, Buffer buffer, StorePageKind kind, StoreRun *run)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	KyroLocator locator = kyro_locator(rel);
	StoreHeader *h = StorePageGetHeader(page);
	Checked    *c = &checked[(block ^ locator.relNode * 31) % lengthof(checked)];

	if (store_page_kind(page) != kind || h->version != STORE_VERSION || h->run != run->id)
		store_corrupt(rel, block, "page is not one of its run");
	if (RelationNeedsWAL(rel) && c->block == block && c->lsn == PageGetLSN(page) &&
		RelFileNodeEquals(c->locator, locator))
		return;
	if (h->hash != store_page_hash(page, block))
		store_corrupt(rel, block, "checksum does not match");
	c->locator = locator;
	c->block = block;
	c->lsn = PageGetLSN(page);
}

static inline void
set_hash(Page page, BlockNumber block)
{
	StorePageGetHeader(page)->hash = store_page_hash(page, block);
}

static Buffer
read_group_page(Relation rel, StoreRun *run, uint32 group, int lockmode, int *place)
{
	BlockNumber block = group_block(run, group, place);
	Buffer		buffer;
	StoreGroups *groups;

	if (group >= run->groups)
		store_corrupt(rel, run->first, "group out of range");
	buffer = ReadBuffer(rel, block);
	LockBuffer(buffer, lockmode);
	check_page(rel, buffer, STORE_GROUPS, run);
	groups = StorePageGetGroups(BufferGetPage(buffer));
	if (groups->first != group - *place || *place >= groups->h.count)
		store_corrupt(rel, block, "page does not hold the groups of its run");
	return buffer;
}

static Buffer
read_link_page(Relation rel, StoreRun *run, uint32 group, BlockNumber block, int lockmode)
{
	Buffer		buffer = ReadBuffer(rel, block);
	StoreLinks *links = StorePageGetLinks(BufferGetPage(buffer));

	LockBuffer(buffer, lockmode);
	check_page(rel, buffer, STORE_LINKS, run);
	if (links->group != group)
		store_corrupt(rel, block, "page does not hold the links of its group");
	return buffer;
}

/*
 * Block of the link page of a group, or InvalidBlockNumber if none of its rows
 * was touched.
 */
BlockNumber
store_link_block(Relation rel, StoreRun *run, uint32 group)
{
	int			place;
	Buffer		buffer = read_group_page(rel, run, group, BUFFER_LOCK_SHARE, &place);
	BlockNumber block = StorePageGetGroups(BufferGetPage(buffer))->links[place];

	UnlockReleaseBuffer(buffer);
	return block;
}

/*
 * The link of a row: offset number 0 if it was never touched.
 */
ItemPointerData
store_link_read(Relation rel, StoreRun *run, const StoreRows *rows, OffsetNumber row)
{
	BlockNumber block = store_link_block(rel, run, rows->group);
	ItemPointerData link;
	Buffer		buffer;

	ItemPointerSet(&link, 0, 0);
	if (block == InvalidBlockNumber)
		return link;
	buffer = read_link_page(rel, run, rows->group, block, BUFFER_LOCK_SHARE);
	link = StorePageGetLinks(BufferGetPage(buffer))->links[rows->group_base + row - 1];
	UnlockReleaseBuffer(buffer);
	return link;
}

/*
 * The links of all rows of a page; returns how many rows were touched.  If that
 * is 0, links is not filled.
 */
int
store_links_read(Relation rel, StoreRun *run, const StoreRows *rows, ItemPointerData *links)
{
	BlockNumber block = store_link_block(rel, run, rows->group);
	Buffer		buffer;
	int			touched = 0;

	if (block == InvalidBlockNumber)
		return 0;
	buffer = read_link_page(rel, run, rows->group, block, BUFFER_LOCK_SHARE);
	memcpy(links, &StorePageGetLinks(BufferGetPage(buffer))->links[rows->group_base],
		   rows->h.count * sizeof(ItemPointerData));
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < rows->h.count; i++)
		touched += links[i].ip_posid != 0;
	return touched;
}

/*
 * Call found() while nobody can touch a row of the page, if none was touched
 * yet.
 */
void
store_if_untouched(Relation rel, StoreRun *run, const StoreRows *rows, void (*found) (void *arg), void *arg)
{
	int			place;
	Buffer		group = read_group_page(rel, run, rows->group, BUFFER_LOCK_SHARE, &place);
	BlockNumber block = StorePageGetGroups(BufferGetPage(group))->links[place];

	if (block == InvalidBlockNumber)
		found(arg);				/* who makes the link page needs our page */
	UnlockReleaseBuffer(group);
	if (block != InvalidBlockNumber)
	{
		Buffer		buffer = read_link_page(rel, run, rows->group, block, BUFFER_LOCK_SHARE);
		ItemPointerData *links = &StorePageGetLinks(BufferGetPage(buffer))->links[rows->group_base];
		int			i;

		for (i = 0; i < rows->h.count && links[i].ip_posid == 0; i++)
			;
		if (i == rows->h.count)
			found(arg);
		UnlockReleaseBuffer(buffer);
	}
}

/*
 * Note of some rows of a page that they are dead to all and no index has them
 * any more.
 */
void
store_links_reclaim(Relation rel, StoreRun *run, const StoreRows *rows, const bool *reclaim)
{
	BlockNumber block = store_link_block(rel, run, rows->group);
	Buffer		buffer;
	GenericXLogState *state;
	Page		page;
	StoreLinks *links;

	if (block == InvalidBlockNumber)
		return;
	buffer = read_link_page(rel, run, rows->group, block, BUFFER_LOCK_EXCLUSIVE);
	state = GenericXLogStart(rel);
	page = GenericXLogRegisterBuffer(state, buffer, 0);
	links = StorePageGetLinks(page);
	for (int i = 0; i < rows->h.count; i++)
	{
		if (reclaim[i])
			ItemPointerSet(&links->links[rows->group_base + i], 0, STORE_LINK_RECLAIMED);
	}
	set_hash(page, block);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
}

/* The link page of a group, made if there is none. */
static BlockNumber
make_link_page(Relation rel, StoreRun *run, uint32 group)
{
	int			place;
	Buffer		buffer = read_group_page(rel, run, group, BUFFER_LOCK_EXCLUSIVE, &place);
	BlockNumber block = StorePageGetGroups(BufferGetPage(buffer))->links[place];

	if (block == InvalidBlockNumber)
	{
		bool		local = RelationUsesLocalBuffers(rel);
		Buffer		new_buffer;
		GenericXLogState *state;
		Page		page;

		/* Heap code takes a new page for its own unless it is initialised. */
		if (!local)
			LockRelationForExtension(rel, ExclusiveLock);
		new_buffer = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);
		if (!local)
			UnlockRelationForExtension(rel, ExclusiveLock);
		block = BufferGetBlockNumber(new_buffer);

		state = GenericXLogStart(rel);
		page = GenericXLogRegisterBuffer(state, buffer, 0);
		StorePageGetGroups(page)->links[place] = block;
		set_hash(page, BufferGetBlockNumber(buffer));
		page = GenericXLogRegisterBuffer(state, new_buffer, GENERIC_XLOG_FULL_IMAGE);
		store_page_init(page, STORE_LINKS, run->id);
		StorePageGetLinks(page)->group = group;
		StorePageGetHeader(page)->count = STORE_LINKS_PER_GROUP;
		set_hash(page, block);
		GenericXLogFinish(state);
		UnlockReleaseBuffer(new_buffer);
	}
	UnlockReleaseBuffer(buffer);
	return block;
}

/*
 * A ledger tuple: the row, with its TID in the bytes before t_hoff, frozen.
 */
static HeapTuple
form_ledger(Relation rel, StorePage *p, OffsetNumber row)
{
	HeapTuple	source = store_row_copy(rel, p, row);
	Size		hoff = source->t_data->t_hoff;
	HeapTuple	tuple = palloc0(HEAPTUPLESIZE + source->t_len + STORE_TAG_SIZE);
	HeapTupleHeader t = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	StoreTag	tag;

	tuple->t_len = source->t_len + STORE_TAG_SIZE;
	tuple->t_tableOid = source->t_tableOid;
	tuple->t_data = t;
	memcpy(t, source->t_data, hoff);
	memcpy((char *) t + hoff + STORE_TAG_SIZE, (char *) source->t_data + hoff, source->t_len - hoff);
	t->t_hoff = hoff + STORE_TAG_SIZE;
	tag.magic = STORE_TAG_MAGIC;
	tag.row = source->t_self;
	StaticAssertStmt(sizeof(StoreTag) == STORE_TAG_SIZE, "size of a tag");
	memcpy((char *) t + hoff, &tag, STORE_TAG_SIZE);
	heap_freetuple(source);
	return tuple;
}

/*
 * The ledger tuple of a row, made if this is the first touch.  *ledger may turn
 * out to be no longer the row's, which means that the row is dead to all.
 */
void
store_touch(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger)
{
	const StoreRows *rows = store_page_rows(p);
	int			place = rows->group_base + row - 1;
	BlockNumber link_block;
	Buffer		link_buffer,
				buffer,
				heap_vm = InvalidBuffer;
	HeapTuple	tuple;
	ItemPointer link;

	*ledger = store_link_read(rel, p->run, rows, row);
	if (ledger->ip_posid != 0)
		return;

	tuple = form_ledger(rel, p, row);
	link_block = make_link_page(rel, p->run, rows->group);
	DEBUG_POINT("touch-link-page-made");
	link_buffer = ReadBuffer(rel, link_block);
	visibilitymap_pin(rel, p->block, &p->vmbuffer);
	buffer = RelationGetBufferForTuple(rel, tuple->t_len, InvalidBuffer, 0, NULL, &heap_vm, NULL);
	LockBuffer(link_buffer, BUFFER_LOCK_EXCLUSIVE);
	check_page(rel, link_buffer, STORE_LINKS, p->run);
	if (StorePageGetLinks(BufferGetPage(link_buffer))->group != rows->group)
		store_corrupt(rel, link_block, "page does not hold the links of its group");
	link = &StorePageGetLinks(BufferGetPage(link_buffer))->links[place];

	if (link->ip_posid == 0)
	{
		bool		empty = PageGetMaxOffsetNumber(BufferGetPage(buffer)) == 0;
		GenericXLogState *state;
		OffsetNumber offset;
		Page		page;

		store_vm_clear(rel, p->block, &p->vmbuffer);
		DEBUG_CRASH("touch-map-cleared");
		state = GenericXLogStart(rel);
		/* nobody has logged how a new page was initialised */
		page = GenericXLogRegisterBuffer(state, buffer, empty ? GENERIC_XLOG_FULL_IMAGE : 0);
		offset = PageAddItem(page, (Item) tuple->t_data, tuple->t_len, InvalidOffsetNumber, false, true);
		if (offset == InvalidOffsetNumber)
			elog(ERROR, "no room for a ledger tuple in block %u of \"%s\"",
				 BufferGetBlockNumber(buffer), RelationGetRelationName(rel));
		ItemPointerSet(ledger, BufferGetBlockNumber(buffer), offset);
		((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset)))->t_ctid = *ledger;
		page = GenericXLogRegisterBuffer(state, link_buffer, 0);
		StorePageGetLinks(page)->links[place] = *ledger;
		set_hash(page, link_block);
		store_log_page_finish(state);
	}
	else
		*ledger = *link;

	UnlockReleaseBuffer(link_buffer);
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(heap_vm))
		ReleaseBuffer(heap_vm);
	heap_freetuple(tuple);
}

/*
 * Read the tag of a ledger tuple; false if it has none.
 */
bool
store_ledger_tag(HeapTupleHeader t, ItemPointer row)
{
	StoreTag	tag;

	if (!store_is_ledger(t))
		return false;
	memcpy(&tag, (char *) t + t->t_hoff - STORE_TAG_SIZE, STORE_TAG_SIZE);
	*row = tag.row;
	return tag.magic == STORE_TAG_MAGIC;
}

/*
 * If there is a ledger tuple of this row where the link says, fill *tuple, and
 * return with the buffer share-locked.  Else the row is dead to all.
 */
bool
store_ledger_get(Relation rel, ItemPointer ledger, ItemPointer row, HeapTuple tuple, Buffer *buffer)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(ledger);
	ItemPointerData tag;
	Page		page;

	if (offset == STORE_LINK_RECLAIMED)
		return false;
	*buffer = ReadBuffer(rel, ItemPointerGetBlockNumberNoCheck(ledger));
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(*buffer);
	if (offset <= PageGetMaxOffsetNumber(page) && ItemIdIsNormal(PageGetItemId(page, offset)))
	{
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset));
		tuple->t_len = ItemIdGetLength(PageGetItemId(page, offset));
		tuple->t_self = *ledger;
		tuple->t_tableOid = RelationGetRelid(rel);
		if (store_ledger_tag(tuple->t_data, &tag) && ItemPointerEquals(&tag, row))
			return true;
	}
	UnlockReleaseBuffer(*buffer);
	return false;
}
