/*-------------------------------------------------------------------------
 *
 * sort.h
 *	  External sort of index entries, for CREATE INDEX.
 *
 * IDENTIFICATION
 *	  src/rmi/sort.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_SORT_H
#define KYRO_RMI_SORT_H

#include "postgres.h"

#include "storage/fileset.h"

typedef struct RmiSort RmiSort;

typedef struct RmiSortItem
{
	int64		key;			/* 0 if isnull */
	uint64		tid;			/* 0 .. KYRO_TID_MAX */
	bool		isnull;
	bool		alive;			/* as given; not part of the order */
} RmiSortItem;

/*
 * A sort into the order (isnull, key, tid), using about workMem_kB kilobytes
 * and temporary files beyond that.  Lives in its own child of the current
 * memory context; its files go with the current resource owner.  Calls, in
 * this order: any number of puts, one perform, any number of nexts, end.
 *
 * All but rmi_sort_count(), _share() and _end() may raise what memory (53200),
 * temporary files (53100, and 53400 for temp_file_limit) and a cancel (57014)
 * raise.
 */
extern RmiSort *rmi_sort_begin(int workMem_kB);

/* key is ignored if isnull.  tid must be 0 .. KYRO_TID_MAX. */
extern void rmi_sort_put(RmiSort *s, bool isnull, int64 key, uint64 tid, bool alive);

/* All entries are put: sort them. */
extern void rmi_sort_perform(RmiSort *s);

/*
 * For the sort of a parallel worker, in place of perform and nexts: what is
 * on disk shall be in files of this set, called after the number of the
 * worker (before the first put); write all entries to them.
 */
extern void rmi_sort_share(RmiSort *s, FileSet *files, int worker);
extern void rmi_sort_export(RmiSort *s);

/*
 * Take over all entries that a worker has exported; between perform and the
 * first next.  From now on about workMem_kB kilobytes may be used.
 */
extern void rmi_sort_adopt(RmiSort *s, FileSet *files, int worker, int workMem_kB);

/* The next entry, or false at the end (and again if called again). */
extern bool rmi_sort_next(RmiSort *s, RmiSortItem *out);

/* Entries put or adopted so far. */
extern uint64 rmi_sort_count(const RmiSort *s);

/* Frees everything and removes the files.  Not needed after an error. */
extern void rmi_sort_end(RmiSort *s);

#endif							/* KYRO_RMI_SORT_H */
