/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  Links from sealed rows to ledger tuples, and the first touch of a row.
 *
 * When a sealed row is deleted, updated or locked for the first time, it gets a heap
 * tuple without columns on a log page, its ledger tuple.  From then on heap code locks
 * and prunes the ledger tuple, update.c updates and deletes it, and what is true of it
 * is true of the row.  One generic WAL record writes the tuple and the link.  The link is set once
 * and verifies itself: it is good if it leads to an ordinary tuple that carries the
 * row's TID as its tag.  Heap code removes a ledger tuple only when it is dead to
 * all, and whatever takes its place has another tag or none.
 *
 * A ledger tuple is frozen at birth: it is live until somebody deletes it, even if
 * the transaction that touched the row is rolled back.  So it may be put on a page
 * that is marked all-visible.
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
#include "storage/predicate.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "debug_point.h"
#include "store/store.h"

/*
 * What a backend knows of a link page: its place, which never changes, and the LSN
 * with which its checksum was seen to match.  (Pages of tables that are not logged
 * have no LSNs, and are verified each time.)  Kept for all groups of each group page
 * that was needed, 16 bytes for each group.
 */
typedef struct LinkPage
{
	BlockNumber block;			/* 0: not known */
	XLogRecPtr	checked;
} LinkPage;

typedef struct LinkPages
{
	BlockNumber group_page;		/* hash key */
	LinkPage   *links;			/* one for each group on the page */
} LinkPages;

/*
 * The links of the page of rows last asked for, as they were then.  A link to a
 * ledger tuple never changes, so a second look at the same row, as that of a DELETE
 * after its scan, need not read the link page again.  A link that was not set then
 * may be set by now.
 */
typedef struct LinksSeen
{
	uint64		run;
	BlockNumber block;
	ItemPointerData links[MaxHeapTuplesPerPage];

	/*
	 * Rows whose ledger tuples a snapshot of ours has seen alive when xmin
	 * was the xmin of this backend.  As long as it still is, nobody prunes
	 * them: whoever deletes one has an xid that is not older.
	 */
	TransactionId xmin;
	bool		there[MaxHeapTuplesPerPage];

	BlockNumber touched_block;	/* page of rows of the last touch */
	int			touched;		/* so many rows in a row before it were
								 * touched then */
} LinksSeen;

/*
 * When TOUCH_AHEAD_AFTER neighbouring rows were touched, the next touch also touches
 * rows ahead: half as many, TOUCH_AHEAD_MAX at most, as far as they lie on the same
 * page and their ledger tuples fit the same log page.  Queues, and deletions of old
 * rows, go on like this, and most of the cost of a touch does not depend on the
 * number of rows.
 */
#define TOUCH_AHEAD_AFTER 16
#define TOUCH_AHEAD_FRACTION 2
#define TOUCH_AHEAD_MAX 128

/*
 * Then so many pages of rows lose their visibility map bits at once, because each
 * change of the map is logged as a whole page.
 */
#define MAP_AHEAD 8

/* Block of the group page with the entry of p's group, and the entry's place. */
static BlockNumber
group_page_of(const StorePage *p, int *place)
{
	uint32		group = store_page_rows(p)->group;

	*place = group % STORE_GROUPS_PER_PAGE;
	return p->run->first + p->run->pages + group / STORE_GROUPS_PER_PAGE;
}

/* What is known of the link page of p's group. */
static LinkPage *
link_page(Relation rel, const StorePage *p)
{
	StoreTable *table = p->table;
	int			place;
	BlockNumber group_page = group_page_of(p, &place);
	uint32		group = store_page_rows(p)->group;
	LinkPages  *pages;
	bool		found;

	if (group >= p->run->groups)
		store_corrupt(rel, p->block, "group out of range");
	if (table->links == NULL)
	{
		HASHCTL		ctl;

		table->links_cxt = AllocSetContextCreate(table->cxt, "kyrodb link pages", ALLOCSET_SMALL_SIZES);
		ctl.keysize = sizeof(BlockNumber);
		ctl.entrysize = sizeof(LinkPages);
		ctl.hcxt = table->links_cxt;
		table->links = hash_create("kyrodb link pages", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		table->links_seen = MemoryContextAllocZero(table->links_cxt, sizeof(LinksSeen));
	}
	pages = hash_search(table->links, &group_page, HASH_FIND, NULL);
	if (pages == NULL)
	{
		uint32		n = Min(STORE_GROUPS_PER_PAGE, p->run->groups - (group - place));
		LinkPage   *links = MemoryContextAllocZero(table->links_cxt, n * sizeof(LinkPage));

		pages = hash_search(table->links, &group_page, HASH_ENTER, &found);
		pages->links = links;
	}
	return &pages->links[place];
}

/*
 * Raise an error unless the locked page is of this kind and run, and sound.  *checked
 * (may be NULL) is the LSN with which it was found sound before, and is updated.
 */
static void
check_page(Relation rel, Buffer buffer, StorePageKind kind, const StoreRun *run, XLogRecPtr *checked)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	StoreHeader *h = StorePageGetHeader(page);

	if (store_page_kind(page) != kind || h->version != STORE_VERSION || h->run != run->id)
		store_corrupt(rel, block, "page is not one of its run");
	if (RelationNeedsWAL(rel) && checked != NULL && *checked == PageGetLSN(page) &&
		!XLogRecPtrIsInvalid(*checked))
		return;
	if (h->hash != store_page_hash(page, block))
		store_corrupt(rel, block, "checksum does not match");
	if (checked != NULL)
		*checked = PageGetLSN(page);
}

static inline void
set_hash(Page page, BlockNumber block)
{
	StorePageGetHeader(page)->hash = store_page_hash(page, block);
}

/* Read and lock the group page with the entry of p's group; *place is that of the entry. */
static Buffer
read_group_page(Relation rel, const StorePage *p, int lockmode, int *place)
{
	const StoreRun *run = p->run;
	uint32		group = store_page_rows(p)->group;
	BlockNumber block = group_page_of(p, place);
	Buffer		buffer;
	StoreGroups *groups;

	if (group >= run->groups)
		store_corrupt(rel, run->first, "group out of range");
	buffer = ReadBuffer(rel, block);
	LockBuffer(buffer, lockmode);
	check_page(rel, buffer, STORE_GROUPS, run, NULL);
	groups = StorePageGetGroups(BufferGetPage(buffer));
	if (groups->first != group - *place || *place >= groups->h.count)
		store_corrupt(rel, block, "page does not hold the groups of its run");
	return buffer;
}

/*
 * Lock a link page that is pinned, and check that it is the one of p's group,
 * of which `known` is known.
 */
static void
lock_link_page(Relation rel, const StorePage *p, Buffer buffer, int lockmode, LinkPage *known)
{
	LockBuffer(buffer, lockmode);
	check_page(rel, buffer, STORE_LINKS, p->run, &known->checked);
	if (StorePageGetLinks(BufferGetPage(buffer))->group != store_page_rows(p)->group)
		store_corrupt(rel, BufferGetBlockNumber(buffer), "page does not hold the links of its group");
}

/*
 * Lock the link page of p's group, which stays pinned as p->link_buffer; false if
 * none of the group's rows was touched.
 */
static bool
lock_links(Relation rel, StorePage *p, int lockmode)
{
	LinkPage   *known = link_page(rel, p);
	BlockNumber block = known->block;

	if (block == 0)
	{
		int			place;
		Buffer		buffer = read_group_page(rel, p, BUFFER_LOCK_SHARE, &place);

		block = StorePageGetGroups(BufferGetPage(buffer))->links[place];
		UnlockReleaseBuffer(buffer);
		if (block == InvalidBlockNumber)
			return false;
	}
	p->link_buffer = ReleaseAndReadBuffer(p->link_buffer, rel, block);
	lock_link_page(rel, p, p->link_buffer, lockmode, known);
	known->block = block;
	return true;
}

static inline void
unlock_links(StorePage *p)
{
	LockBuffer(p->link_buffer, BUFFER_LOCK_UNLOCK);
}

/* The links of p's rows on a link page. */
static inline ItemPointerData *
links_on_page(const StorePage *p, Page page)
{
	return &StorePageGetLinks(page)->links[store_page_rows(p)->group_base];
}

static inline bool
same_link(const ItemPointerData *one, const ItemPointerData *two)
{
	return memcmp(one, two, sizeof(ItemPointerData)) == 0;
}

/* Are the links in `seen`, which may be NULL, those of the page in hand? */
static inline bool
links_seen_of(const StorePage *p, const LinksSeen *seen)
{
	return seen != NULL && seen->block == p->block && seen->run == p->run->id;
}

/* Remember the links of p's rows, on the link page that is locked. */
static const ItemPointerData *
see_links(StorePage *p)
{
	LinksSeen  *seen = p->table->links_seen;

	if (!links_seen_of(p, seen))
	{
		seen->run = p->run->id;
		seen->block = p->block;
		seen->xmin = InvalidTransactionId;
	}
	memcpy(seen->links, links_on_page(p, BufferGetPage(p->link_buffer)),
		   store_page_rows(p)->h.count * sizeof(ItemPointerData));
	return seen->links;
}

ItemPointerData
store_link_read(Relation rel, StorePage *p, OffsetNumber row)
{
	LinksSeen  *seen = p->table->links_seen;
	ItemPointerData link;

	if (store_link_known(p, row))
		return seen->links[row - 1];
	ItemPointerSet(&link, 0, 0);
	if (lock_links(rel, p, BUFFER_LOCK_SHARE))
	{
		link = see_links(p)[row - 1];
		unlock_links(p);
	}
	return link;
}

bool
store_link_known(const StorePage *p, OffsetNumber row)
{
	const LinksSeen *seen = p->table->links_seen;

	/* the link of a moved row may change if the move is rolled back */
	return links_seen_of(p, seen) && seen->links[row - 1].ip_posid != 0 && !store_link_is_moved(&seen->links[row - 1]);
}

void
store_ledger_noted(StorePage *p, OffsetNumber row)
{
	LinksSeen  *seen = p->table->links_seen;
	TransactionId xmin = MyProc->xmin;

	if (!links_seen_of(p, seen) || kyro_prunes_what_snapshots_see())
		return;
	if (!TransactionIdEquals(seen->xmin, xmin))
		memset(seen->there, 0, sizeof(seen->there));
	seen->xmin = xmin;
	seen->there[row - 1] = true;
}

int
store_links_read(Relation rel, StorePage *p, ItemPointerData *links)
{
	int			count = store_page_rows(p)->h.count;
	int			touched = 0;

	if (!lock_links(rel, p, BUFFER_LOCK_SHARE))
		return 0;
	memcpy(links, see_links(p), count * sizeof(ItemPointerData));
	unlock_links(p);
	for (int i = 0; i < count; i++)
		touched += links[i].ip_posid != 0;
	return touched;
}

void
store_if_untouched(Relation rel, StorePage *p, void (*found) (void *arg), void *arg)
{
	int			place;
	Buffer		buffer = read_group_page(rel, p, BUFFER_LOCK_SHARE, &place);
	bool		none = StorePageGetGroups(BufferGetPage(buffer))->links[place] == InvalidBlockNumber;

	if (none)
		found(arg);				/* a link page is made under a lock on this
								 * page */
	UnlockReleaseBuffer(buffer);
	if (!none)
	{
		ItemPointerData *links;
		int			count = store_page_rows(p)->h.count;
		int			i;

		(void) lock_links(rel, p, BUFFER_LOCK_SHARE);
		links = links_on_page(p, BufferGetPage(p->link_buffer));
		for (i = 0; i < count && links[i].ip_posid == 0; i++)
			;
		if (i == count)
			found(arg);
		unlock_links(p);
	}
}

/* The link page of p's group, made if there is none. */
static BlockNumber
make_link_page(Relation rel, const StorePage *p)
{
	int			place;
	Buffer		buffer = read_group_page(rel, p, BUFFER_LOCK_EXCLUSIVE, &place);
	BlockNumber block = StorePageGetGroups(BufferGetPage(buffer))->links[place];

	if (block == InvalidBlockNumber)
	{
		bool		local = RelationUsesLocalBuffers(rel);
		Buffer		new_buffer;
		GenericXLogState *state;
		Page		page;

		/*
		 * the new page stays locked until it is initialised, or heap code
		 * might take it for its own
		 */
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
		store_page_init(page, STORE_LINKS, p->run->id);
		StorePageGetLinks(page)->group = store_page_rows(p)->group;
		StorePageGetHeader(page)->count = STORE_LINKS_PER_GROUP;
		set_hash(page, block);
		GenericXLogFinish(state);
		UnlockReleaseBuffer(new_buffer);
	}
	UnlockReleaseBuffer(buffer);
	return block;
}

/* Log a change that changes only the link page. */
static void
finish_links(StoreChange *c, StorePage *p, StorePageChange *links)
{
	set_hash(links->page, BufferGetBlockNumber(p->link_buffer));
	store_change_note(links, &StorePageGetHeader(links->page)->hash, sizeof(uint64));
	(void) store_change_finish(c, false);
}

/*
 * Set links of some rows of the page in hand to (0, mark); mark 0 clears them.  The
 * link page is locked exclusively.
 */
static void
mark_links(Relation rel, StorePage *p, const bool *which, OffsetNumber mark)
{
	StoreChange c;
	StorePageChange *page;
	ItemPointerData *links;

	store_change_begin(&c, rel);
	page = store_change_page(&c, p->link_buffer, false);
	links = links_on_page(p, page->page);
	for (int i = 0; i < store_page_rows(p)->h.count; i++)
	{
		if (!which[i])
			continue;
		ItemPointerSet(&links[i], 0, mark);
		store_change_note(page, &links[i], sizeof(ItemPointerData));
	}
	finish_links(&c, p, page);
}

void
store_links_reclaim(Relation rel, StorePage *p, const bool *reclaim)
{
	if (!lock_links(rel, p, BUFFER_LOCK_EXCLUSIVE))
		return;
	mark_links(rel, p, reclaim, STORE_LINK_RECLAIMED);
	unlock_links(p);
}

void
store_links_kill(Relation rel, StorePage *p, const bool *which)
{
	if (!lock_links(rel, p, BUFFER_LOCK_EXCLUSIVE))
	{
		(void) make_link_page(rel, p);
		(void) lock_links(rel, p, BUFFER_LOCK_EXCLUSIVE);
	}
	mark_links(rel, p, which, STORE_LINK_DEAD);
	unlock_links(p);
}

void
store_links_reset(Relation rel, StorePage *p, const bool *which, ItemPointerData *links)
{
	bool		still[MaxHeapTuplesPerPage] = {false};

	if (!lock_links(rel, p, BUFFER_LOCK_EXCLUSIVE))
		return;
	for (int i = 0; i < store_page_rows(p)->h.count; i++)
		still[i] = which[i] && same_link(&links[i], &links_on_page(p, BufferGetPage(p->link_buffer))[i]);
	mark_links(rel, p, still, 0);
	unlock_links(p);
}

void
store_links_move(Relation rel, StorePage *p, const OffsetNumber *rows, const ItemPointerData *to, int n, bool *done)
{
	ItemPointerData undone[MaxHeapTuplesPerPage];
	StoreChange c;
	StorePageChange *page;
	ItemPointerData *links;

	for (int i = 0; i < n; i++)
	{
		undone[i] = store_link_read(rel, p, rows[i]);
		if (!store_moved_undone(rel, p->table, &undone[i]))
			ItemPointerSet(&undone[i], 0, 0);
	}
	visibilitymap_pin(rel, p->block, &p->vmbuffer);
	if (!lock_links(rel, p, BUFFER_LOCK_EXCLUSIVE))
	{
		(void) make_link_page(rel, p);
		(void) lock_links(rel, p, BUFFER_LOCK_EXCLUSIVE);
	}
	/* as at a first touch */
	store_vm_clear(rel, p->block, 1, &p->vmbuffer);
	DEBUG_CRASH("move-map-cleared");
	store_change_begin(&c, rel);
	page = store_change_page(&c, p->link_buffer, false);
	links = links_on_page(p, page->page);
	for (int i = 0; i < n; i++)
	{
		ItemPointer link = &links[rows[i] - 1];

		done[i] = link->ip_posid == 0 || same_link(link, &undone[i]);
		if (!done[i])
			continue;
		ItemPointerSet(link, ItemPointerGetBlockNumber(&to[i]), ItemPointerGetOffsetNumber(&to[i]) | STORE_LINK_MOVED);
		store_change_note(page, link, sizeof(ItemPointerData));
	}
	finish_links(&c, p, page);
	unlock_links(p);
}

/*
 * A ledger tuple: a header without columns, with the row's TID in the bytes before t_hoff.  Columns are
 * read from the sealed row.
 */
#define LEDGER_SIZE (MAXALIGN(SizeofHeapTupleHeader) + STORE_TAG_SIZE)

typedef union Ledger
{
	HeapTupleHeaderData t;
	char		bytes[LEDGER_SIZE];
} Ledger;

/* Make the ledger tuple of a row: frozen, and unchanged except by `first`, if that is not NULL. */
static void
form_ledger(const StorePage *p, OffsetNumber row, const StoreFirst *first, Ledger *ledger)
{
	HeapTupleHeader t = &ledger->t;
	StoreTag	tag = {.magic = STORE_TAG_MAGIC};

	memset(ledger, 0, sizeof(Ledger));
	t->t_choice.t_heap.t_xmin = TransactionIdIsValid(p->run->xmin) ? p->run->xmin : FrozenTransactionId;
	t->t_infomask = HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	t->t_hoff = LEDGER_SIZE;
	if (first != NULL)
	{
		t->t_infomask &= ~HEAP_XMAX_INVALID;
		if (first->keys)
			t->t_infomask2 |= HEAP_KEYS_UPDATED;
		HeapTupleHeaderSetXmax(t, first->xid);
		HeapTupleHeaderSetCmax(t, first->cid, false);
	}
	StaticAssertStmt(sizeof(StoreTag) == STORE_TAG_SIZE, "size of a tag");
	ItemPointerSet(&tag.row, p->block, row);
	memcpy(ledger->bytes + LEDGER_SIZE - STORE_TAG_SIZE, &tag, STORE_TAG_SIZE);
}

/* The number of rows next to a row, in one direction, that were touched without a gap. */
static int
touched_beside(const StoreLinks *page, int link, int step)
{
	int			n = 0;

	for (int i = link + step; i >= 0 && i < STORE_LINKS_PER_GROUP && page->links[i].ip_posid != 0; i += step)
		n++;
	return n;
}

/* The number of rows to touch ahead of a row; *step is the direction, 1 or -1. */
static int
touch_ahead(const StorePage *p, OffsetNumber row, Page link_page, int *step)
{
	const StoreLinks *links = StorePageGetLinks(link_page);
	LinksSeen  *seen = p->table->links_seen;
	int			link = store_page_rows(p)->group_base + row - 1;
	int			touched = touched_beside(links, link, -1);

	/* at the begin of a group, go on counting from the page before */
	if (link == 0 && p->block == seen->touched_block + 1)
		touched = seen->touched;
	seen->touched_block = p->block;
	seen->touched = touched;
	*step = 1;
	if (touched < TOUCH_AHEAD_AFTER)
	{
		*step = -1;
		touched = touched_beside(links, link, 1);
	}
	return touched < TOUCH_AHEAD_AFTER ? 0 : Min(touched / TOUCH_AHEAD_FRACTION, TOUCH_AHEAD_MAX);
}

/* Note in the change that an item of a log page is new. */
static void
note_item(StorePageChange *log, OffsetNumber offset)
{
	ItemId		item = PageGetItemId(log->page, offset);

	store_change_note(log, item, sizeof(ItemIdData));
	store_change_note(log, PageGetItem(log->page, item), MAXALIGN(ItemIdGetLength(item)));
}

/*
 * Put a row's ledger tuple on a log page with room for it, and the link to it on the link page; and do `first`
 * to it, if that is not NULL.
 */
static void
add_ledger(Relation rel, const StorePage *p, OffsetNumber row, const StoreFirst *first,
		   StorePageChange *log, StorePageChange *links)
{
	ItemPointer link = &links_on_page(p, links->page)[row - 1];
	BlockNumber block = BufferGetBlockNumber(log->buffer);
	Ledger		ledger;
	HeapTupleHeader t;
	OffsetNumber offset;

	form_ledger(p, row, first, &ledger);
	offset = PageAddItem(log->page, (Item) & ledger, LEDGER_SIZE, InvalidOffsetNumber, false, true);
	if (offset == InvalidOffsetNumber)
		elog(PANIC, "no room for a ledger tuple in block %u of \"%s\"", block, RelationGetRelationName(rel));
	ItemPointerSet(link, block, offset);
	store_change_note(links, link, sizeof(ItemPointerData));
	t = (HeapTupleHeader) PageGetItem(log->page, PageGetItemId(log->page, offset));
	t->t_ctid = *link;
	if (first != NULL && first->new != NULL)
	{
		RelationPutHeapTuple(rel, log->buffer, first->new, false);
		t->t_ctid = first->new->t_self;
		note_item(log, ItemPointerGetOffsetNumber(&first->new->t_self));
	}
	else if (first != NULL && first->moved)
		HeapTupleHeaderSetMovedPartitions(t);
	note_item(log, offset);
	p->table->usage->ledger_tuples++;
}

/* Bytes that must be free on a log page, besides an item, for a ledger tuple and for what `first` adds. */
static Size
room_for(const StoreFirst *first)
{
	return first == NULL || first->new == NULL ? LEDGER_SIZE :
		LEDGER_SIZE + sizeof(ItemIdData) + MAXALIGN(first->new->t_len);
}

/*
 * Put the ledger tuple of a row that has none, and those of rows after it, on the log page in `buffer`.  That and the
 * link page are locked.  log_vm and p->vmbuffer are the map pages of the log page and the page of rows.
 */
static void
touch(Relation rel, StorePage *p, OffsetNumber row, StoreFirst *first, Buffer buffer, Buffer log_vm, LinkPage *known)
{
	Page		log_page = BufferGetPage(buffer);
	bool		empty = PageGetMaxOffsetNumber(log_page) == 0;
	Size		spare = RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR);
	BlockNumber run_end = p->run->first + p->run->pages;
	StoreChange c;
	StorePageChange *log,
			   *links;
	XLogRecPtr	lsn;
	int			step;

	/* whoever continues from here will soon touch the next pages */
	int			ahead = touch_ahead(p, row, BufferGetPage(p->link_buffer), &step);

	/* the caller has asked for bytes, not for two items */
	if (first != NULL && (PageGetMaxOffsetNumber(log_page) + 2 > MaxHeapTuplesPerPage ||
						  PageGetHeapFreeSpace(log_page) < room_for(first)))
		first = NULL;
	store_vm_clear(rel, p->block, ahead > 0 && step > 0 ? Min(MAP_AHEAD, run_end - p->block) : 1, &p->vmbuffer);
	if (first != NULL)
	{
		ItemPointerData tid;

		if (PageIsAllVisible(log_page))
			store_vm_clear(rel, BufferGetBlockNumber(buffer), 1, &log_vm);

		/*
		 * after the map bit is cleared: whoever has read the row before that
		 * has got its lock on the table
		 */
		ItemPointerSet(&tid, p->block, row);
		CheckForSerializableConflictIn(rel, &tid, p->block);
	}
	DEBUG_CRASH("touch-map-cleared");
	store_change_begin(&c, rel);
	/* the initialisation of a new page has not been logged */
	log = store_change_page(&c, buffer, empty);
	links = store_change_page(&c, p->link_buffer, false);
	if (first != NULL)
	{
		PageSetPrunable(log_page, first->xid);
		PageClearAllVisible(log_page);
	}
	add_ledger(rel, p, row, first, log, links);
	for (int next = row + step; ahead > 0 && next >= 1 && next <= store_page_rows(p)->h.count; next += step, ahead--)
	{
		if (links_on_page(p, links->page)[next - 1].ip_posid != 0 ||
			PageGetHeapFreeSpace(log_page) < LEDGER_SIZE + spare)
			break;
		add_ledger(rel, p, next, NULL, log, links);
	}
	store_change_header(log);
	set_hash(links->page, BufferGetBlockNumber(p->link_buffer));
	store_change_note(links, &StorePageGetHeader(links->page)->hash, sizeof(uint64));
	DEBUG_CRASH("touch-record");
	lsn = store_change_finish(&c, true);
	DEBUG_CRASH("touch-logged");
	known->checked = lsn;
	if (first != NULL)
		first->done = true;
}

bool
store_touch(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger, StoreFirst *first)
{
	LinksSeen  *seen;
	LinkPage   *known;
	Buffer		buffer,
				log_vm = InvalidBuffer;
	ItemPointerData undone;

	*ledger = undone = store_link_read(rel, p, row);
	if (store_moved_undone(rel, p->table, ledger))
		ItemPointerSet(ledger, 0, 0);
	else
		ItemPointerSet(&undone, 0, 0);
	seen = p->table->links_seen;
	if (store_link_is_moved(ledger))
		return false;
	if (ledger->ip_posid != 0)
		return TransactionIdIsValid(seen->xmin) && TransactionIdEquals(seen->xmin, MyProc->xmin) && seen->there[row - 1];

	if (room_for(first) > MaxHeapTupleSize)
		first = NULL;
	known = link_page(rel, p);
	p->link_buffer = ReleaseAndReadBuffer(p->link_buffer, rel, known->block != 0 ? known->block : make_link_page(rel, p));
	DEBUG_POINT("touch-link-page-made");
	visibilitymap_pin(rel, p->block, &p->vmbuffer);
	buffer = kyro_buffer_for_tuple(rel, room_for(first), InvalidBuffer, &log_vm, NULL);
	lock_link_page(rel, p, p->link_buffer, BUFFER_LOCK_EXCLUSIVE, known);

	*ledger = links_on_page(p, BufferGetPage(p->link_buffer))[row - 1];
	if (ledger->ip_posid == 0 || same_link(ledger, &undone))
		touch(rel, p, row, first, buffer, log_vm, known);
	*ledger = see_links(p)[row - 1];

	unlock_links(p);
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(log_vm))
		ReleaseBuffer(log_vm);
	return first != NULL && first->done;
}

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

bool
store_log_tuple(Page page, OffsetNumber offset, HeapTupleHeader *t, uint32 *length)
{
	ItemId		item;

	*t = NULL;
	if (offset == InvalidOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return true;
	item = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(item))
		return true;
	*length = ItemIdGetLength(item);
	if (ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
		ItemIdGetOffset(item) + *length > BLCKSZ || *length < SizeofHeapTupleHeader)
		return false;
	*t = (HeapTupleHeader) PageGetItem(page, item);
	return (*t)->t_hoff >= SizeofHeapTupleHeader && (*t)->t_hoff <= *length;
}

/*
 * Lock the page that a link leads to in share mode.  *buffer is a pinned page or
 * invalid, and is that page afterwards.  If this row's ledger tuple is there, fill
 * *tuple.  Else the row is dead to all: false, with the page unlocked but pinned, if
 * there is one.  prune as for store_ledger_lock().
 */
static bool
lock_ledger(Relation rel, ItemPointer ledger, ItemPointer row, bool prune, HeapTuple tuple, Buffer *buffer)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(ledger);
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(ledger);
	ItemPointerData tag;

	Assert(!store_link_is_moved(ledger));
	if (store_link_is_dead(ledger))
		return false;
	if (block == InvalidBlockNumber)
		store_corrupt(rel, ItemPointerGetBlockNumber(row), "link of a row leads nowhere");
	if (!BufferIsValid(*buffer) || BufferGetBlockNumber(*buffer) != block)
	{
		*buffer = ReleaseAndReadBuffer(*buffer, rel, block);
		/* a damaged link may lead anywhere: never prune a page of ours */
		if (prune && !store_page_is_ours(BufferGetPage(*buffer)))
			heap_page_prune_opt(rel, *buffer);
	}
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	if (!store_log_tuple(BufferGetPage(*buffer), offset, &tuple->t_data, &tuple->t_len))
		store_corrupt(rel, block, "tuple of a touched row is out of place");
	if (tuple->t_data != NULL)
	{
		tuple->t_self = *ledger;
		tuple->t_tableOid = RelationGetRelid(rel);
		if (store_ledger_tag(tuple->t_data, &tag) && ItemPointerEquals(&tag, row))
			return true;
	}
	LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
	return false;
}

bool
store_ledger_get(Relation rel, ItemPointer ledger, ItemPointer row, HeapTuple tuple, Buffer *buffer)
{
	*buffer = InvalidBuffer;
	if (lock_ledger(rel, ledger, row, false, tuple, buffer))
		return true;
	if (BufferIsValid(*buffer))
		ReleaseBuffer(*buffer);
	return false;
}

bool
store_ledger_lock(Relation rel, StorePage *p, OffsetNumber row, ItemPointer ledger, bool prune, HeapTuple tuple)
{
	ItemPointerData tid;

	ItemPointerSet(&tid, p->block, row);
	return lock_ledger(rel, ledger, &tid, prune, tuple, &p->ledger_buffer);
}
