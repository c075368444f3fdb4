/*-------------------------------------------------------------------------
 *
 * index.h
 *	  Commands on a kyro_rmi index in the file of server.h.
 *
 * All but idx_reset() and idx_forget() are to be called inside of
 * server_try().
 *
 * IDENTIFICATION
 *	  test/fuzz/index.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_FUZZ_INDEX_H
#define KYRO_FUZZ_INDEX_H

#include "postgres.h"

#include "rmi/kyro_rmi.h"

#include "server.h"

/* A row: its key and where it is. */
typedef struct IndexRow
{
	int64		key;
	uint64		tid;
	bool		isnull;
} IndexRow;

static inline KyroFence
idx_row_fence(IndexRow row)
{
	return (KyroFence) {row.isnull ? 0 : row.key, row.tid, row.isnull};
}

extern int	idx_row_cmp(const void *a, const void *b);

/*
 * The file is new: sessions know nothing of it.  Indexes get the own carrier, or
 * generic WAL until idx_adopt().
 */
extern void idx_reset(bool own_carrier);

/* Let the next VACUUM give the index the own carrier. */
extern void idx_adopt(void);

/* One session forgets what it knew, as one that has just begun. */
extern void idx_forget(int session);

extern void idx_build(int session, const IndexRow *rows, int n, int fillfactor);

/* aminsert, version: of a row with the same key; or many at once as a seal does. */
extern void idx_insert(int session, IndexRow row, bool version);
extern void idx_bulk_insert(int session, const IndexRow *rows, int n);

/* VACUUM: ambulkdelete and amvacuumcleanup.  Returns the number removed. */
extern long idx_vacuum(int session, bool (*dead) (uint64 tid));

/* kyro.rebuild() */
extern void idx_rebuild(int session);

/* kyro.verify(): the number of problems; the first one is printed if asked for. */
extern int	idx_verify(int session, bool print);

/*
 * A scan of keys lo .. hi (both inclusive), or of the NULLs, or of all.  pinned: it
 * holds on to its page between calls, as index-only scans do.
 */
typedef enum IndexRange
{
	INDEX_KEYS,
	INDEX_NULLS,
	INDEX_ALL
} IndexRange;

extern IndexScanDesc idx_scan_begin(int session, IndexRange range, int64 lo, int64 hi, bool pinned);

/* A scan of the entries with any of these keys. */
extern IndexScanDesc idx_scan_begin_any(int session, const int64 *keys, int n, bool pinned);

/*
 * Is the row dead?  Called for each of which the table is asked, or told since the scan
 * that has returned it last was told (kill_prior_tuple).  And for each entry that
 * is removed then.
 */
extern bool (*idx_is_dead) (uint64 tid);
extern void (*idx_deleted) (uint64 tid);

/* The next row; its key only if the scan is pinned. */
extern bool idx_scan_next(IndexScanDesc scan, bool forward, IndexRow *row);
extern void idx_scan_end(IndexScanDesc scan);

#endif							/* KYRO_FUZZ_INDEX_H */
