/*-------------------------------------------------------------------------
 *
 * dirshare.h
 *	  Copies of directories in shared memory, one of an index for all sessions.
 *
 * There are none unless the library is in shared_preload_libraries and
 * kyro.shared_directories is not 0.
 *
 * IDENTIFICATION
 *	  src/rmi/dirshare.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_DIRSHARE_H
#define KYRO_RMI_DIRSHARE_H

#include "model/learned.h"
#include "rmi/kyro_rmi.h"

/* A leaf in a copy of the directory. */
typedef struct RmiDirEntry
{
	int64		key;			/* of the low fence */
	BlockNumber block;
	Buffer		recent;			/* where it was seen last, or InvalidBuffer; a
								 * hint, which all who use the copy write */
} RmiDirEntry;

/* A copy of the directory: all but `recent` stays as it is. */
typedef struct RmiDirCopy
{
	uint32		n;				/* leaves in the copy */
	uint32		nkeys;			/* those before the NULL pages */
	uint32		log_seen;		/* split log entries taken in */
	RmiDirEntry *e;
	uint64	   *tids;			/* low tids; NULL if all are 0 */
	LearnedModel *model;		/* NULL: binary search */
} RmiDirCopy;

/* Of which directory a copy is. */
typedef struct RmiShareId
{
	Oid			relid;			/* of the index, in this database */
	KyroLocator locator;
	uint32		index_id;
	uint64		generation;
	uint64		number;			/* RmiMetaData.rebuilds: counts the
								 * generations of an index */
} RmiShareId;

/* A shared copy.  May be kept for as long as one likes: it tells whether the copy is still there. */
typedef struct RmiSharePin
{
	uint32		slot;
	uint64		version;
} RmiSharePin;

/* How rmi_share_find() has ended. */
typedef enum RmiShareFound
{
	RMI_SHARE_NONE,				/* there is no copy for this index */
	RMI_SHARE_OTHER,			/* there is one of another directory of it */
	RMI_SHARE_SAME				/* there is one of this directory */
} RmiShareFound;

/* What kyro.shared_directories() shows. */
typedef struct RmiShareTotals
{
	uint64		size;			/* bytes that copies may take */
	uint64		used;			/* bytes that they take */
	uint32		copies;			/* those that new sessions find */
	uint32		replaced;		/* those that transactions use still, and
								 * nobody else will */
	uint64		made;			/* since the server was started */
	uint64		evicted;		/* to make room for others */
	uint64		refused;		/* for which there was no room */
} RmiShareTotals;

/* From _PG_init(): asks for the memory if the server is just starting. */
extern void rmi_share_init(void);

/* Nothing of the following raises an error, and all may be called with buffers locked. */

/* Are there shared copies on this server? */
extern bool rmi_share_enabled(void);

/* Could a copy of so many bytes ever find room? */
extern bool rmi_share_fits(Size bytes);

/* A number that changes whenever a copy comes or goes. */
extern uint32 rmi_share_news(void);

/*
 * Count a look-up that had no copy, by any session, since the index was last loaded.
 * Returns the number; it may count look-ups in other indexes as well.
 */
extern uint32 rmi_share_count(Oid relid);
extern void rmi_share_count_anew(Oid relid);

/*
 * The copy of a directory.  If it is found, it is pinned, *copy is what it is, and
 * what that points to stays until it is unpinned.
 */
extern RmiShareFound rmi_share_find(const RmiShareId *id, RmiSharePin *pin, RmiDirCopy *copy);

/*
 * Share a copy, in the place of an older one of this index.  If it is done, or
 * there is one as good already, that is pinned, and *copy becomes what it is.
 * False if there is no room, or a copy of a newer directory.
 */
extern bool rmi_share_put(const RmiShareId *id, RmiDirCopy *copy, RmiSharePin *pin);

/* Pin a copy again: false if it is there no more, or has been replaced.  Takes no lock. */
extern bool rmi_share_pin(const RmiSharePin *pin);

extern void rmi_share_unpin(const RmiSharePin *pin);

/* Bytes that the copy for an index of this database takes; 0 if there is none. */
extern uint64 rmi_share_bytes(Oid relid);

extern void rmi_share_totals(RmiShareTotals *totals);

#endif							/* KYRO_RMI_DIRSHARE_H */
