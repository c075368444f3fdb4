/*-------------------------------------------------------------------------
 *
 * usage.h
 *	  Statistics of use: counting what is done to indexes and tables.
 *
 * Counting means to increment numbers in a struct of this session.  At the end of a
 * transaction, at most once a second, these are added to sums in shared memory, which
 * exists only if the library is in shared_preload_libraries.  README.md says more.
 *
 * IDENTIFICATION
 *	  src/usage/usage.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_USAGE_H
#define KYRO_USAGE_H

#include "datatype/timestamp.h"
#include "postgres_ext.h"

/*
 * Look-ups of one key are counted by where the key was found, relative to the slot that
 * the leaf's line has predicted: one slot before, there, one slot after, further away
 * or not at all,
 */
#define USAGE_PLACES	4
/* and by the number of entries that were compared: 0 .. 30, 31 or more. */
#define USAGE_COMPARED	32

/* How an entry was inserted into the index. */
typedef enum UsageInsert
{
	USAGE_INSERT_APPEND,		/* at the end of the last leaf, or into a new
								 * last leaf */
	USAGE_INSERT_RUN,			/* into the insert run of a leaf */
	USAGE_INSERT_MERGE,			/* into the insert run, after that was merged
								 * into the leaf's blocks */
	USAGE_INSERT_SPLIT,			/* into one half of a leaf that was split */
	USAGE_INSERT_BULK			/* with others, by a seal */
} UsageInsert;

#define USAGE_INSERTS	5

/* When a model was trained. */
typedef enum UsageTraining
{
	USAGE_TRAINING_BUILD,		/* CREATE INDEX, REINDEX */
	USAGE_TRAINING_REBUILD,		/* kyro.rebuild() */
	USAGE_TRAINING_AUTOPILOT,
	USAGE_TRAINING_IMPORT,		/* not trained, but imported */
	USAGE_TRAINING_VACUUM,
	USAGE_TRAINING_INSERT		/* by an insert, because the split log was
								 * long */
} UsageTraining;

#define USAGE_TRAININGS	6

/* What one session has counted of an index since it was last added to the sums. */
typedef struct UsageIndex
{
	uint64		lookups;		/* by scans: of one key, or of the begin of a
								 * range */
	uint64		keys[USAGE_PLACES][USAGE_COMPARED]; /* those of one key */
	uint64		landings_off;	/* searches, those of writers included, that
								 * the model did not lead to the right leaf */
	uint64		pages_walked;	/* other pages that these have read */
	uint64		no_model;		/* searches without a copy of the model:
								 * through the shared directory, or along the
								 * chain of leaves */
	uint64		inserts[USAGE_INSERTS];
	uint64		removed;		/* entries of dead rows, without VACUUM */
	uint64		vacuumed;		/* entries removed by VACUUM */
} UsageIndex;

/*
 * A histogram of the times of sampled look-ups.  It begins at 2^7 ns, with four steps for
 * each power of two.  The first step includes all shorter times, the last one all longer
 * times.
 */
#define USAGE_STEPS		80

typedef struct UsageLatency
{
	uint64		sum;			/* ns */
	uint32		samples[USAGE_STEPS];
	uint32		total;
} UsageLatency;

/* There are two histograms for an index: of look-ups while no rebuild of it ran, and while one ran. */
#define USAGE_MOMENTS	2

/* What one session has counted of a table since it was last added to the sums. */
typedef struct UsageTable
{
	uint64		map_reads;		/* sealed pages read through a map */
	uint64		buffer_reads;	/* sealed pages read through shared buffers */
	uint64		verified;		/* sealed pages whose checksum was computed */
	uint64		ledger_tuples;	/* ledger tuples that were made */
} UsageTable;

/*
 * From _PG_init(), before everything else that registers transaction callbacks, because
 * callbacks that are registered later are called earlier.
 */
extern void usage_init(void);

/* ---- pending.c ---- */

/*
 * Where to count for an index or a table of this database.  Valid until the end of the
 * transaction.  Allocates memory at the first call for a relation.
 */
extern UsageIndex *usage_index(Oid relid);
extern UsageTable *usage_table(Oid relid);

/*
 * Counting that each look-up does; it must cost nearly nothing.  bench/usage.sh compares
 * with a library that is built without it.
 */
#ifndef KYRO_USAGE_OFF

/* Where a search is to write how it went; NULL if nobody counts. */
#define USAGE_PROBE(probe)	(probe)

static inline void
usage_count_lookup(UsageIndex *u)
{
	u->lookups++;
}

/*
 * It was for one key, which lies `off` slots after the predicted one (negative: before
 * it), found by comparing so many entries.
 */
static inline void
usage_count_key(UsageIndex *u, int off, int compared)
{
	unsigned int place = (unsigned int) off + 1;

	u->keys[place < USAGE_PLACES ? place : USAGE_PLACES - 1][compared < USAGE_COMPARED ? compared : USAGE_COMPARED - 1]++;
}

#else

#define USAGE_PROBE(probe)	NULL
#define usage_count_lookup(u)	((void) (u))
#define usage_count_key(u, off, compared)	((void) (u))

#endif

/* Count the time of a sampled look-up in an index.  Allocates at the first call for it. */
extern void usage_time(Oid relid, uint64 ns);

/* Add what this session has counted to the sums: of all relations, or of one.  Raises no error. */
extern void usage_flush(void);
extern void usage_flush_relation(Oid relid);

/* Count that an index has got a model for a directory of so many leaves.  Raises no error. */
extern void usage_trained(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds);

/* ---- shared.c: rare events, which are added to the sums at once.  None raises an error ---- */

/*
 * A rebuild of an index by this process begins, and ends.  The end of the transaction,
 * and the failure of the subtransaction in which it began, also end it.
 */
extern void usage_rebuild_begins(Oid relid);
extern void usage_rebuild_ends(void);

/* A run was sealed; its transaction may still be rolled back. */
extern void usage_sealed(Oid table, uint64 rows, uint64 microseconds, uint64 wal_bytes);

/* A seal has failed. */
extern void usage_seal_failed(Oid table, const char *message);

/* ---- drops.c ---- */

/*
 * Register at start who else is to know when a relation was dropped, or a database (relid
 * InvalidOid): about as it is committed, or later or never, as drops.c says.  May raise no error.
 */
typedef void (*UsageOnDrop) (Oid database, Oid relid);
extern void usage_set_on_drop(UsageOnDrop function);

/* Remove entries of relations of this database that do not exist.  In a transaction. */
extern void usage_sweep(void);

/* Remove entries of databases that do not exist; exists() may raise no error. */
extern void usage_forget_databases(bool (*exists) (Oid database, void *arg), void *arg);

#endif							/* KYRO_USAGE_H */
