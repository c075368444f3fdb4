/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  Sums of all sessions in shared memory, for the files of this folder and for
 *	  src/inspect, which shows them.
 *
 * IDENTIFICATION
 *	  src/usage/shared.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_USAGE_SHARED_H
#define KYRO_USAGE_SHARED_H

#include "lib/ilist.h"

#include "usage/usage.h"

#define USAGE_MESSAGE	160

/* Buckets of look-ups by entries compared: none, 1, 2 to 3, 4 to 7, 8 to 15, 16 and more. */
#define USAGE_BUCKETS	6

typedef enum UsageKind
{
	USAGE_INDEX = 1,
	USAGE_TABLE
} UsageKind;

typedef struct UsageKey
{
	Oid			database;
	Oid			relid;
} UsageKey;

/* The structs of sums are written to the file as they are: see FILE_VERSION in file.c. */
typedef struct UsageIndexSums
{
	uint64		lookups;
	uint64		compared[USAGE_BUCKETS];	/* look-ups of one key */
	uint64		compared_sum;	/* entries that these have compared */
	uint64		there;			/* of these, found at the predicted slot */
	uint64		beside;			/* and one slot beside it */
	uint64		landings_off;
	uint64		pages_walked;
	uint64		no_model;
	uint64		inserts[USAGE_INSERTS];
	uint64		removed;
	uint64		vacuumed;
	UsageLatency latency[USAGE_MOMENTS];
	uint64		trainings[USAGE_TRAININGS];
	uint64		training_time;	/* microseconds */
	uint64		trained_leaves;
	uint64		landings_off_then;	/* landings_off at the last training */
	uint64		searches_then;	/* usage_searches() at the last training */
} UsageIndexSums;

/* The number of searches by scans and inserts. */
static inline uint64
usage_searches(const UsageIndexSums *sums)
{
	return sums->lookups + sums->inserts[USAGE_INSERT_APPEND] + sums->inserts[USAGE_INSERT_RUN] +
		sums->inserts[USAGE_INSERT_MERGE] + sums->inserts[USAGE_INSERT_SPLIT];
}

typedef struct UsageTableSums
{
	UsageTable	reads;
	uint64		seals;
	uint64		rows_sealed;
	uint64		seal_time;		/* microseconds */
	uint64		seal_wal;		/* bytes */
	uint64		failures;
	TimestampTz last_error_at;	/* 0: none */
	char		last_error[USAGE_MESSAGE];
} UsageTableSums;

/* The sums of a relation. */
typedef struct UsageSums
{
	UsageKey	key;
	uint32		kind;			/* UsageKind */
	uint32		spare;			/* zero */
	TimestampTz since;			/* when counting began */
	union
	{
		UsageIndexSums index;
		UsageTableSums table;
	}			u;
} UsageSums;

typedef struct UsageEntry
{
	UsageSums	sums;			/* begins with the hash key */
	int			rebuilding;		/* pid of the process that rebuilds the index,
								 * or 0 */
	dlist_node	by_use;			/* see Control */
} UsageEntry;

/* For usage_init() only. */
extern void usage_shared_init(void);
extern void usage_file_init(void);
extern void usage_drops_init(void);

/* Is there shared memory? */
extern bool usage_is_shared(void);

/* Nothing of the following raises an error; all need shared memory. */

/* Make an entry for a relation of this database if there is none. */
extern void usage_enter(UsageKind kind, Oid relid);

/* A subtransaction of this nesting level has failed; ends a rebuild that began in it. */
extern void usage_rebuild_aborts(int level);

/* Is an index being rebuilt, by any process? */
extern bool usage_is_rebuilding(Oid relid);

/*
 * Add to the sums of a relation of this database; does nothing if there is no entry.
 * latency: USAGE_MOMENTS histograms, or NULL.
 */
extern void usage_add_index(Oid relid, const UsageIndex *counts, const UsageLatency *latency);
extern void usage_add_table(Oid relid, const UsageTable *counts);

/* The same for usage_trained(). */
extern void usage_add_training(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds);

/* Copy the sums of a relation of this database; false if there are none. */
extern bool usage_get(UsageKind kind, Oid relid, UsageSums *sums);

/* Set the sums of a relation of this database to zero; of all its relations if InvalidOid. */
extern void usage_reset(Oid relid);

/* Remove the entry of a relation; if relid is InvalidOid, all entries of the database. */
extern void usage_remove(UsageKey key);

/* Remove entries for which gone() is true; it is called with the lock held, and may raise no error. */
extern void usage_remove_if(bool (*gone) (UsageKey key, void *arg), void *arg);

/* Get the keys of all entries of a database, palloc'd; returns their number.  May raise an error. */
extern int	usage_list(Oid database, UsageKey **keys);

/*
 * For file.c, while there is no other process: call f() for each entry, the one that was
 * not used for longest first, until it returns false; and the number of entries.
 */
extern void usage_each(bool (*f) (const UsageSums *sums, void *arg), void *arg);
extern int	usage_number(void);

/*
 * For file.c: add an entry that was read, as the one that was not used for longest.
 * False if there is no room, or if there is an entry already.
 */
extern bool usage_put(const UsageSums *sums);

#endif							/* KYRO_USAGE_SHARED_H */
