/*-------------------------------------------------------------------------
 *
 * page.h
 *	  On-disk pages of a kyro_rmi index, other than the inside of leaves.
 *
 * Block 0 is the meta page, block 1 the leftmost leaf; both for ever.  Every
 * page ends with a KyroPageTrailer in its special space, so that a reader
 * can tell from the page alone whether it is the page it came for.
 *
 * IDENTIFICATION
 *	  src/rmi/page.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_PAGE_H
#define KYRO_RMI_PAGE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/block.h"
#include "storage/bufpage.h"
#include "utils/memdebug.h"

#include "model/leaf.h"

#define RMI_META_BLOCK		((BlockNumber) 0)
#define RMI_FIRST_LEAF		((BlockNumber) 1)

/* Last two bytes of every page, so that tools can tell whose it is. */
#define KYRO_PAGE_ID		0xFF8B
#define KYRO_PAGE_FORMAT	1

typedef enum RmiPageKind
{
	RMI_PAGE_META = 1,
	RMI_PAGE_LEAF = 2,
	RMI_PAGE_DIRECTORY = 3,		/* sorted fences, immutable once written */
	RMI_PAGE_MODEL = 4,			/* a piece of the trained model, immutable */
	RMI_PAGE_LOG = 5,			/* split log: fences newer than the directory */
	RMI_PAGE_FREE = 6,			/* deleted, may be reused at once */
	RMI_PAGE_HISTORY = 7		/* who has trained the model when, immutable
								 * once written */
} RmiPageKind;

typedef struct KyroPageTrailer
{
	uint32		index_id;		/* random, from the meta page: whose page */
	BlockNumber block;			/* this page's own number */
	uint16		flags;			/* of leaves and free pages; else zero */
	uint8		kind;			/* RmiPageKind */
	uint8		format;			/* KYRO_PAGE_FORMAT */
	uint16		spare2;			/* zero */
	uint16		page_id;		/* KYRO_PAGE_ID */
} KyroPageTrailer;

/*
 * KyroPageTrailer.flags: entries have left the leaf, by a split or without VACUUM,
 * since VACUUM was there; or a free page, when it was a leaf: then it is not to be used
 * yet (README, I10).
 */
#define RMI_LEAF_UNSWEPT	0x0001

StaticAssertDecl(BLCKSZ == KYRO_PAGE_SIZE, "kyrodb needs 8 kB blocks");
#ifdef WORDS_BIGENDIAN
#error "kyrodb needs a little-endian machine"
#endif
StaticAssertDecl(sizeof(KyroPageTrailer) == KYRO_PAGE_TRAILER, "trailer size");
StaticAssertDecl(SizeOfPageHeaderData == KYRO_PAGE_HEADER, "header size");

static inline KyroPageTrailer *
rmi_trailer(Page page)
{
	return (KyroPageTrailer *) ((char *) page + KYRO_PAGE_END);
}

/* Under valgrind: is all that WAL will carry initialised?  Else nothing. */
static inline void
rmi_page_check_defined(Page page)
{
	VALGRIND_CHECK_MEM_IS_DEFINED(page, ((PageHeader) page)->pd_lower);
	VALGRIND_CHECK_MEM_IS_DEFINED(page + ((PageHeader) page)->pd_upper,
								  BLCKSZ - ((PageHeader) page)->pd_upper);
}

#define KYRO_RMI_META_MAGIC		0x4B59524F	/* "KYRO" */
#define KYRO_RMI_META_VERSION	1

/* How changes are logged; a property of the index (README, I10). */
typedef enum RmiCarrier
{
	RMI_CARRIER_GENERIC = 1,
	RMI_CARRIER_OWN = 2			/* own resource manager */
} RmiCarrier;

/* What the keys are; the operator class decides, the meta page remembers. */
typedef enum RmiKeyType
{
	RMI_KEY_INT2 = 1,
	RMI_KEY_INT4,
	RMI_KEY_INT8,
	RMI_KEY_DATE,
	RMI_KEY_TIMESTAMP,
	RMI_KEY_TIMESTAMPTZ
} RmiKeyType;

/* At PageGetContents() of block 0; pd_lower is set past it. */
typedef struct RmiMetaData
{
	uint32		magic;
	uint32		version;
	uint32		index_id;		/* random, stamped on every page */
	uint8		carrier;		/* RmiCarrier */
	uint8		key_type;		/* RmiKeyType */
	uint16		fillfactor;		/* in force at build */

	/* The directory: swapped as one by a rebuild.  All zero or invalid: none. */
	uint64		generation;		/* stamped on its pages; 0 = no directory */
	BlockNumber dir_root;		/* topmost directory page */
	uint32		dir_levels;		/* 1 = the root is the only page */
	uint32		dir_entries;	/* leaves it lists */
	uint32		dir_keys;		/* those that are not NULL pages */
	uint32		dir_pages;
	BlockNumber model_first;	/* chain of model pages, or invalid */
	uint32		model_pages;
	uint32		model_bytes;

	/* Splits since. */
	BlockNumber log_first;		/* split log, or invalid */
	BlockNumber log_last;
	uint32		log_entries;

	uint32		spare32;
	TimestampTz trained_at;		/* of the directory */
	uint64		rebuilds;		/* directories written in this index's life */
	uint64		splits;			/* leaf splits logged in its life */
	uint64		tuples;			/* live entries at the last vacuum or build */
	BlockNumber history;		/* of this generation; 0: none, the index is
								 * from before there was one */
	uint32		spare32b;
	uint64		spare[6];		/* zero */
	uint64		hash;			/* XXH3 of what precedes it */
} RmiMetaData;

/*
 * A directory, model or history page, at PageGetContents().  Directory pages of level
 * 0 list leaves, of level n pages of level n - 1.  All but the last page of
 * a level are full, so the page that holds position p is found by division.
 */
typedef struct RmiDirHeader
{
	uint64		generation;
	uint64		hash;			/* xxHash64 of the rest of the contents */
	uint32		level;			/* model pages: number of this piece */
	uint32		count;			/* entries, items; model pages: bytes */
	BlockNumber next;			/* right neighbour on the level, next piece */
	uint32		spare;			/* zero */
} RmiDirHeader;

typedef struct RmiDirItem
{
	int64		key;
	uint64		tid;			/* top bit: fence of a NULL page */
	BlockNumber block;
	uint32		spare;			/* zero */
} RmiDirItem;

#define RMI_ITEM_NULL	(UINT64CONST(1) << 63)

/* Why there is a new directory and model; the numbers are on disk. */
typedef enum RmiWhy
{
	RMI_WHY_BUILD = 1,			/* CREATE INDEX */
	RMI_WHY_REINDEX,
	RMI_WHY_REBUILD,			/* kyro.rebuild() */
	RMI_WHY_AUTOPILOT,
	RMI_WHY_IMPORT,				/* kyro.import_model() */
	RMI_WHY_VACUUM,
	RMI_WHY_FOLD				/* an insert found the split log long */
} RmiWhy;

/* In what process; the numbers are on disk. */
typedef enum RmiBackend
{
	RMI_BACKEND_CLIENT = 1,
	RMI_BACKEND_AUTOVACUUM,
	RMI_BACKEND_WORKER,			/* a background worker: the autopilot,
								 * replication, parallel VACUUM */
	RMI_BACKEND_OTHER
} RmiBackend;

#define RMI_ROLE_BYTES	64

/* One model of an index's life, on its history page. */
typedef struct RmiHistoryItem
{
	TimestampTz trained_at;
	int64		duration;		/* of the whole work, us */
	uint64		generation;		/* of the directory it was trained on */
	uint64		hash;			/* xxHash64 that closes the model */
	uint64		entries;		/* live entries of the index, about */
	uint32		number;			/* RmiMetaData.rebuilds with it */
	uint32		leaves;			/* of the directory */
	uint32		models;			/* lines */
	uint32		eps_before;		/* largest; RMI_NO_EPS: there was no model, or
								 * none with a history */
	uint32		eps_after;
	uint8		why;			/* RmiWhy */
	uint8		backend;		/* RmiBackend */
	uint16		spare;			/* zero */
	char		role[RMI_ROLE_BYTES];	/* name, padded with zeros */
} RmiHistoryItem;

#define RMI_NO_EPS	UINT32_MAX

StaticAssertDecl(sizeof(RmiHistoryItem) == 128, "RmiHistoryItem is an on-disk format");

#define RMI_DIR_SPACE	(KYRO_PAGE_END - MAXALIGN(SizeOfPageHeaderData) - sizeof(RmiDirHeader))
#define RMI_DIR_FANOUT	((int) (RMI_DIR_SPACE / sizeof(RmiDirItem)))
#define RMI_HISTORY_MAX	((int) (RMI_DIR_SPACE / sizeof(RmiHistoryItem)))

static inline RmiDirHeader *
rmi_dir_header(Page page)
{
	return (RmiDirHeader *) PageGetContents(page);
}

static inline char *
rmi_dir_body(Page page)
{
	return PageGetContents(page) + sizeof(RmiDirHeader);
}

static inline KyroFence
rmi_item_fence(const RmiDirItem *it)
{
	return (KyroFence) {it->key, it->tid & ~RMI_ITEM_NULL, (it->tid & RMI_ITEM_NULL) != 0};
}

#endif							/* KYRO_RMI_PAGE_H */
