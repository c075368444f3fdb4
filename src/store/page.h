/*-------------------------------------------------------------------------
 *
 * page.h
 *	  The pages that table access method kyro adds to a heap.
 *
 * A kyro table has one main fork.  Its log pages are plain heap pages.  To heap
 * code all other pages look like heap pages without items and without free
 * space: pd_lower = pd_upper = SizeOfPageHeaderData.  Heap code makes no such
 * page (an empty one has pd_upper = pd_special, a full one pd_lower beyond the
 * header), so these two numbers, and the magic number after the page header,
 * say what a page is.  PD_ALL_VISIBLE is always set: so VACUUM leaves the bits
 * of the page in the visibility map alone, which are ours.
 *
 * Every number is in the machine's byte order, as in all relation files.
 *
 * IDENTIFICATION
 *	  src/store/page.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_STORE_PAGE_H
#define KYRO_STORE_PAGE_H

#include "access/htup_details.h"
#include "access/itup.h"
#include "datatype/timestamp.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"

#define STORE_MAGIC 0x4F52594BU /* "KYRO" */
#define STORE_VERSION 1

typedef enum StorePageKind
{
	STORE_NOT_OURS = 0,			/* a log page, or zeros */
	STORE_LIST = 1,				/* the list of runs: block 0 and its
								 * continuations */
	STORE_ROWS = 2,				/* sealed rows; never changes */
	STORE_GROUPS = 3,			/* for each group of a run, the block of its
								 * link page */
	STORE_LINKS = 4				/* for each row of a group, its link */
} StorePageKind;

/* What follows the page header of all these pages. */
typedef struct StoreHeader
{
	uint32		magic;			/* STORE_MAGIC */
	uint8		kind;			/* StorePageKind */
	uint8		version;		/* STORE_VERSION */
	uint16		count;			/* rows, runs or group entries on the page */
	uint64		run;			/* random id of the run; on a list page of the
								 * table's incarnation */
	uint64		hash;			/* see store_page_hash() */
} StoreHeader;

#define StorePageGetHeader(page) ((StoreHeader *) ((char *) (page) + SizeOfPageHeaderData))

/*
 * Sealed rows.  rows[] has count + 1 entries: 13 bits of offset from the start
 * of the page, 3 bits of the tuple's infomask (HEAP_HASNULL, HEAP_HASVARWIDTH,
 * HEAP_HASEXTERNAL).  A row is its null bitmap, if it has nulls, and its data, with
 * no padding between; it ends where the next entry's offset begins.
 *
 * Consecutive pages of a run form groups, whose rows share a page of links: row r
 * (from 1) of this page has link group_base + r - 1 of the group.
 */
typedef struct StoreRows
{
	StoreHeader h;
	uint64		fxid;			/* full xid that sealed; 0: visible to all */
	uint32		group;			/* number of the group in the run, from 0 */
	uint16		group_base;		/* rows of the group before this page */
	uint16		natts;			/* attributes of each row */
	uint16		rows[FLEXIBLE_ARRAY_MEMBER];
} StoreRows;

#define StorePageGetRows(page) ((StoreRows *) StorePageGetHeader(page))
#define STORE_ROWS_START (SizeOfPageHeaderData + offsetof(StoreRows, rows))
#define STORE_ROW_OFFSET(entry) ((entry) & 0x1FFF)
#define STORE_ROW_FLAGS(entry) ((entry) >> 13)	/* HEAP_HASNULL ..
												 * HEAP_HASEXTERNAL */
#define STORE_ROW_ENTRY(offset, infomask) ((uint16) ((offset) | ((infomask) & 7) << 13))

StaticAssertDecl(BLCKSZ <= 8192, "offsets of rows have 13 bits");

/*
 * A row is sealed if its heap tuple has at most STORE_MAX_TUPLE bytes, so that its
 * ledger tuple, which is longer by a tag, fits a log page; and if it takes at most
 * STORE_MAX_DATA bytes as it is stored, so that it fits a page of rows.
 */
#define STORE_TAG_SIZE 8
#define STORE_ROWS_END (BLCKSZ - 1) /* the last offset that 13 bits hold */
#define STORE_MAX_DATA (STORE_ROWS_END - STORE_ROWS_START - 2 * sizeof(uint16))
#define STORE_MAX_TUPLE (MaxHeapTupleSize - STORE_TAG_SIZE)

/* Where the links of each group are: InvalidBlockNumber if no row was touched. */
typedef struct StoreGroups
{
	StoreHeader h;
	uint32		first;			/* number of the first group here */
	uint32		pad;
	BlockNumber links[FLEXIBLE_ARRAY_MEMBER];
} StoreGroups;

#define StorePageGetGroups(page) ((StoreGroups *) StorePageGetHeader(page))
#define STORE_GROUPS_PER_PAGE \
	((int) ((BLCKSZ - SizeOfPageHeaderData - offsetof(StoreGroups, links)) / sizeof(BlockNumber)))

/* Links of a group's rows: (0, 0) untouched, else a ledger tuple's TID, or as follows. */
typedef struct StoreLinks
{
	StoreHeader h;
	uint32		group;
	uint32		pad;
	ItemPointerData links[FLEXIBLE_ARRAY_MEMBER];
} StoreLinks;

#define StorePageGetLinks(page) ((StoreLinks *) StorePageGetHeader(page))
#define STORE_LINKS_PER_GROUP \
	((int) ((BLCKSZ - SizeOfPageHeaderData - offsetof(StoreLinks, links)) / sizeof(ItemPointerData)))

/* Offset numbers of links with block number 0, which lead nowhere: */
#define STORE_LINK_RECLAIMED 0xFFFF /* dead to all and in no index any more */
#define STORE_LINK_DEAD 0xFFFE	/* dead to all from birth: the seal did not
								 * get the row */

/*
 * Flag in the offset number: the link leads to the place in another run that the row
 * was moved to (moved.c).
 */
#define STORE_LINK_MOVED 0x4000

StaticAssertDecl(MaxHeapTuplesPerPage < STORE_LINK_MOVED, "flag beside the number of a row");

/* Does a link say by itself that the row is dead? */
static inline bool
store_link_is_dead(const ItemPointerData *link)
{
	return link->ip_posid >= STORE_LINK_DEAD && BlockIdGetBlockNumber(&link->ip_blkid) == 0;
}

/* Does a link say that the row was moved, unless that was rolled back? */
static inline bool
store_link_is_moved(const ItemPointerData *link)
{
	return (link->ip_posid & STORE_LINK_MOVED) != 0 && BlockIdGetBlockNumber(&link->ip_blkid) != 0;
}

typedef enum StoreRunState
{
	RUN_IN_DOUBT = 0,			/* ask clog */
	RUN_COMMITTED = 1,
	RUN_ABORTED = 2,
	RUN_CLEAN = 3,				/* aborted, and no index has entries of it */
	RUN_DEAD = 4				/* no snapshot sees a row of it, no index has
								 * entries of it, and no row that somebody can
								 * see has a link to it */
} StoreRunState;

#define STORE_RUN_MOVED 1		/* flag: its rows were moved from other runs,
								 * whose links lead here */

/* A run: blocks first .. first + pages - 1 have rows, then come pages of groups. */
typedef struct StoreRun
{
	uint64		id;				/* random */
	uint64		fxid;			/* full xid that sealed; 0: visible to all. Of
								 * a dead run: date of its death, see
								 * store_list_date(); 0: not dated yet */
	uint64		rows;
	uint64		bytes;			/* of rows, without page overhead */
	TimestampTz sealed_at;
	uint64		duration;		/* of the seal, microseconds */
	CommandId	cmin;			/* of the command that sealed */
	BlockNumber first;
	uint32		pages;			/* of rows */
	uint32		groups;
	uint16		state;			/* StoreRunState */
	uint16		flags;			/* STORE_RUN_MOVED */
	TransactionId xmin;			/* what its rows show as xmin, for no other
								 * use; 0: FrozenTransactionId */
} StoreRun;

#define STORE_GROUP_PAGES(groups) \
	(((groups) + STORE_GROUPS_PER_PAGE - 1) / STORE_GROUPS_PER_PAGE)
/* one past the last block, which is a page of groups */
#define STORE_RUN_END(r) ((r)->first + (r)->pages + STORE_GROUP_PAGES((r)->groups))

typedef struct StoreList
{
	StoreHeader h;
	uint64		generation;		/* grows with each change; on block 0 */
	BlockNumber next;			/* continuation, InvalidBlockNumber: none */
	BlockNumber seal_from;		/* on block 0: where the next seal begins to
								 * read, as a hint, or STORE_ENTRIES_LEFT */
	StoreRun	runs[FLEXIBLE_ARRAY_MEMBER];
} StoreList;

/* Indexes may still have entries of rows that were in block 0 before the list (whole.c). */
#define STORE_ENTRIES_LEFT InvalidBlockNumber

#define StorePageGetList(page) ((StoreList *) StorePageGetHeader(page))
#define STORE_RUNS_PER_PAGE \
	((int) ((BLCKSZ - SizeOfPageHeaderData - offsetof(StoreList, runs)) / sizeof(StoreRun)))

/* The mark of a ledger tuple, in the STORE_TAG_SIZE bytes before t_hoff. */
typedef struct StoreTag
{
	uint16		magic;
	ItemPointerData row;		/* the sealed row */
} StoreTag;

#define STORE_TAG_MAGIC 0xC7D1

/* True if the page has the header that all our pages have. */
static inline bool
store_page_is_ours(const void *page)
{
	const PageHeaderData *p = (const PageHeaderData *) page;

	return p->pd_lower == SizeOfPageHeaderData && p->pd_upper == SizeOfPageHeaderData &&
		StorePageGetHeader(page)->magic == STORE_MAGIC;
}

static inline StorePageKind
store_page_kind(const void *page)
{
	return store_page_is_ours(page) ? (StorePageKind) StorePageGetHeader(page)->kind : STORE_NOT_OURS;
}

/* True if a heap tuple is a ledger tuple: only its header is longer than needed. */
static inline bool
store_is_ledger(const HeapTupleHeaderData *tuple)
{
	return tuple->t_hoff > MAXALIGN(SizeofHeapTupleHeader +
									((tuple->t_infomask & HEAP_HASNULL) ?
									 BITMAPLEN(tuple->t_infomask2 & HEAP_NATTS_MASK) : 0));
}

/*
 * Row r (from 1) of a page for which store_rows_problem() has found nothing: its
 * bytes as they are stored, their number, and its flags of the infomask.
 */
static inline const char *
store_row_data(const StoreRows *rows, OffsetNumber r, uint32 *length, uint16 *flags)
{
	uint16		entry = rows->rows[r - 1];
	uint16		start = STORE_ROW_OFFSET(entry);

	*length = STORE_ROW_OFFSET(rows->rows[r]) - start;
	*flags = STORE_ROW_FLAGS(entry);
	return (const char *) rows - SizeOfPageHeaderData + start;
}

/*
 * Initialise a page of ours, with count and hash 0.  run: id of its run, of a list
 * page the table's incarnation.
 */
extern void store_page_init(Page page, StorePageKind kind, uint64 run);

/*
 * The checksum of a page: XXH3 (model/hash.h) of everything after the page header
 * except the checksum itself, seeded with the block number, so that a page in the
 * wrong place does not match.
 */
extern uint64 store_page_hash(const void *page, BlockNumber block);

/*
 * What is wrong with a page of sealed rows, or NULL: then its row directory can be
 * followed without further checks.  Reads nothing beyond the page, whatever is on
 * it.
 */
extern const char *store_rows_problem(const void *page, BlockNumber block);

/* What is wrong with a page of the run list, or NULL. */
extern const char *store_list_problem(const void *page, BlockNumber block);

/*
 * Is this certainly a page that heap code has made?  Random bytes, a damaged page
 * of ours and a page of zeros are not.
 */
extern bool store_page_is_heap(const void *page);

#endif							/* KYRO_STORE_PAGE_H */
