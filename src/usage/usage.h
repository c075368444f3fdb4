/*-------------------------------------------------------------------------
 *
 * usage.h
 *	  Statistics of use: counting what is done to indexes and tables.
 *
 * Who counts adds to a struct of this session, by plain increments.  At the ends of
 * transactions, once a second at most, that is added to shared memory, which there is
 * only if the library is in shared_preload_libraries.  README.md says more.
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

/* Classes of a look-up of one key: where it was found, from where the line had predicted it. */
#define USAGE_PLACES	4		/* one slot before, there, one behind, further
								 * away or not at all */
/* Entries that it has compared, up to here; what is more counts as that many. */
#define USAGE_COMPARED	32

/* The way of an entry into the index. */
typedef enum UsageInsert
{
	USAGE_INSERT_APPEND,		/* at the end of the last leaf, or into a new
								 * one behind it */
	USAGE_INSERT_RUN,			/* to the insert run of a leaf */
	USAGE_INSERT_MERGE,			/* which was merged into its blocks first */
	USAGE_INSERT_SPLIT,			/* into a half of a leaf that was split for it */
	USAGE_INSERT_BULK			/* with others, by a seal */
} UsageInsert;

#define USAGE_INSERTS	5

/* What a model was trained for. */
typedef enum UsageTraining
{
	USAGE_TRAINING_BUILD,		/* CREATE INDEX, REINDEX */
	USAGE_TRAINING_REBUILD,		/* kyro.rebuild() */
	USAGE_TRAINING_AUTOPILOT,
	USAGE_TRAINING_IMPORT,		/* not trained, but imported */
	USAGE_TRAINING_VACUUM,
	USAGE_TRAINING_INSERT		/* an insert has found the split log long */
} UsageTraining;

#define USAGE_TRAININGS	6

/* What one session has counted of an index since it was last added up. */
typedef struct UsageIndex
{
	uint64		lookups;		/* places that scans have looked up */
	uint64		keys[USAGE_PLACES][USAGE_COMPARED]; /* those of one key */
	uint64		landings_off;	/* searches, of writers, too, that did not
								 * land on the leaf */
	uint64		pages_walked;	/* pages beside it that they have looked at */
	uint64		no_model;		/* searches through the shared directory, or
								 * along the chain */
	uint64		inserts[USAGE_INSERTS];
	uint64		removed;		/* entries of dead rows, without VACUUM */
	uint64		vacuumed;		/* by VACUUM */
} UsageIndex;

/*
 * Times of look-ups that were sampled: how many took from 2^7 ns on, in steps of a quarter of
 * the power of two below; the first and the last step have all that are shorter, or longer.
 */
#define USAGE_STEPS		80

typedef struct UsageLatency
{
	uint64		sum;			/* ns */
	uint32		samples[USAGE_STEPS];
	uint32		total;
} UsageLatency;

/* Of an index; apart for times when a rebuild of it ran. */
#define USAGE_MOMENTS	2		/* none ran, one ran */

/* The same of a table. */
typedef struct UsageTable
{
	uint64		map_reads;		/* sealed pages read through a map */
	uint64		buffer_reads;	/* ... through shared buffers */
	uint64		verified;		/* sealed pages of which the checksum was
								 * computed */
	uint64		ledger_tuples;	/* sealed rows of which a ledger tuple was
								 * made */
} UsageTable;

/*
 * To be called from _PG_init(), before all else that registers callbacks of transactions, since
 * those that are registered later are called sooner.
 */
extern void usage_init(void);

/* ---- pending.c ---- */

/*
 * Where to count for an index, or a table, of this database: valid until the end of the
 * transaction.  Allocates when it is first asked for one.
 */
extern UsageIndex *usage_index(Oid relid);
extern UsageTable *usage_table(Oid relid);

/*
 * Counting on the way of every look-up, which is to cost nearly nothing; bench/usage.sh compares
 * with a library that is built without it.
 */
#ifndef KYRO_USAGE_OFF

/* How a look-up went, or NULL: we do not want to know. */
#define USAGE_PROBE(probe)	(probe)

static inline void
usage_count_lookup(UsageIndex *u)
{
	u->lookups++;
}

/* It was for one key, which lies so many slots behind the predicted one. */
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

/* A sampled look-up in an index has taken so long.  Allocates when it is first called. */
extern void usage_time(Oid relid, uint64 ns);

/* Add up what this session has counted.  Raises no error. */
extern void usage_flush(void);

/* An index has got another model, over a directory of so many leaves.  Raises no error. */
extern void usage_trained(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds);

/* ---- shared.c: what is too rare to be added up first.  All raise no error ---- */

/* A rebuild of an index by this process begins; it ends, or the transaction does, or a subtransaction fails. */
extern void usage_rebuild_begins(Oid relid);
extern void usage_rebuild_ends(void);

/* A run was sealed; whether it will commit is not known yet. */
extern void usage_sealed(Oid table, uint64 rows, uint64 microseconds, uint64 wal_bytes);

/* A seal has failed. */
extern void usage_seal_failed(Oid table, const char *message);

/* ---- drops.c ---- */

/* Forget relations of this database that are gone without our hearing of it.  In a transaction. */
extern void usage_sweep(void);

/* Forget databases that are gone. */
extern void usage_forget_databases(bool (*exists) (Oid database, void *arg), void *arg);

#endif							/* KYRO_USAGE_H */
