/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  Statistics of use in shared memory: what the files of this folder offer one another.
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

/* Look-ups by entries compared: none, 1, 2 to 3, 4 to 7, 8 to 15, 16 and more. */
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

/* Sums over all sessions.  These structs are in the file, see file.c. */
typedef struct UsageIndexSums
{
	uint64		lookups;
	uint64		compared[USAGE_BUCKETS];	/* look-ups of one key */
	uint64		compared_sum;	/* entries that they have compared */
	uint64		there;			/* of which found at the predicted slot */
	uint64		beside;			/* ... or beside it */
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
	uint64		landings_off_then;	/* up to the last training */
	uint64		searches_then;
} UsageIndexSums;

/* Searches of scans and inserts. */
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

/* What is kept of a relation, from here to its end also in the file. */
typedef struct UsageSums
{
	UsageKey	key;
	uint32		kind;
	uint32		spare;			/* zero */
	TimestampTz since;			/* counted since */
	union
	{
		UsageIndexSums index;
		UsageTableSums table;
	}			u;
} UsageSums;

typedef struct UsageEntry
{
	UsageSums	sums;			/* begins with the hash key */
	int			rebuilding;		/* process that rebuilds the index, or 0 */
	dlist_node	by_use;
} UsageEntry;

/* What usage_init() calls. */
extern void usage_shared_init(void);
extern void usage_file_init(void);
extern void usage_drops_init(void);

/* Is there shared memory? */
extern bool usage_is_shared(void);

/* All that follows raises no error. */

/* Make an entry for a relation of this database if there is none. */
extern void usage_enter(UsageKind kind, Oid relid);

/* A subtransaction of this nesting level fails, and with it a rebuild that has begun in it. */
extern void usage_rebuild_aborts(int level);

/* Does a rebuild of an index run? */
extern bool usage_is_rebuilding(Oid relid);

/*
 * Add to the sums of a relation of this database; does nothing if there is no entry.
 * latency: of each moment, or NULL.
 */
extern void usage_add_index(Oid relid, const UsageIndex *counts, const UsageLatency *latency);
extern void usage_add_table(Oid relid, const UsageTable *counts);

/* The same for usage_trained(). */
extern void usage_add_training(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds);

/* Copy the sums of a relation of this database; false if there are none. */
extern bool usage_get(UsageKind kind, Oid relid, UsageSums *sums);

/* Count a relation of this database from zero, or all if InvalidOid. */
extern void usage_reset(Oid relid);

/* Remove the entry of a relation, or those of all of a database if that is InvalidOid. */
extern void usage_remove(UsageKey key);

/* Remove those of which gone() says so, with the lock held: it may raise no error. */
extern void usage_remove_if(bool (*gone) (UsageKey key, void *arg), void *arg);

/* Keys of all entries of a database, palloc'ed; their number. */
extern int	usage_list(Oid database, UsageKey **keys);

/* For file.c, while no other process is there: call f for all entries, the one not used for longest first. */
extern void usage_each(bool (*f) (const UsageSums *sums, void *arg), void *arg);
extern int	usage_number(void);

/* Add an entry as it was written, as the one not used for longest; false if there is no room, or there is one already. */
extern bool usage_put(const UsageSums *sums);

#endif							/* KYRO_USAGE_SHARED_H */
