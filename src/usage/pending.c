/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  What this session has counted and not yet added to the sums in shared memory.
 *
 * Counts are added at the end of a transaction, if the last time was at least a second
 * ago, and when the session ends.  The shared entry is made when the session begins to
 * count for a relation, which it has locked then.  Counts for a relation that was
 * dropped meanwhile find no entry and are forgotten.  Counts tell what was done,
 * whether the transaction commits or not.
 *
 * Without shared memory everything is counted in one struct that nobody reads, so
 * callers need not ask whether there is any.
 *
 * IDENTIFICATION
 *	  src/usage/pending.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "usage/shared.h"

/* A session adds its counts to the sums after so many microseconds, */
#define FLUSH_EVERY		USECS_PER_SEC

/*
 * or when it has counted for more relations than this.  Structs of so many relations,
 * about a kilobyte each, are kept from one transaction to the next.
 */
#define KEEP_RELATIONS	32

typedef struct Pending
{
	Oid			relid;			/* hash key */
	UsageKind	kind;
	bool		listed;			/* in list `listed`: something may have been
								 * counted */
	struct Pending *next;		/* in that list */
	UsageLatency *latency;		/* USAGE_MOMENTS histograms, or NULL */
	union
	{
		UsageIndex	index;
		UsageTable	table;
	}			u;
} Pending;

static HTAB *pending;			/* of relations of this database */
static MemoryContext pending_cxt;
static Pending *listed;
static Pending *last_index;		/* the one asked for last, or NULL */
static TimestampTz flushed;		/* when counts were added to the sums last */
static Pending nobodys;			/* for sessions without shared memory */

static void
at_exit(int code, Datum arg)
{
	usage_rebuild_ends();
	usage_flush();
}

/* The counts of a relation, put into the list. */
static Pending *
find(UsageKind kind, Oid relid)
{
	Pending    *p;
	bool		found;

	if (!usage_is_shared())
		return &nobodys;
	if (pending_cxt == NULL)
	{
		pending_cxt = AllocSetContextCreate(TopMemoryContext, "kyrodb statistics of use", ALLOCSET_DEFAULT_SIZES);
		before_shmem_exit(at_exit, (Datum) 0);
	}
	if (pending == NULL)
		pending = hash_create("kyrodb statistics of use", 16,
							  &(HASHCTL) {.keysize = sizeof(Oid), .entrysize = sizeof(Pending), .hcxt = pending_cxt},
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	p = hash_search(pending, &relid, HASH_ENTER, &found);
	if (!found || p->kind != kind)
	{
		bool		was_listed = found && p->listed;
		Pending    *next = was_listed ? p->next : NULL;
		UsageLatency *latency = found ? p->latency : NULL;

		memset((char *) p + sizeof(Oid), 0, sizeof(Pending) - sizeof(Oid));
		p->kind = kind;
		p->latency = latency;
		p->listed = was_listed;
		p->next = next;
	}
	if (!p->listed)
	{
		usage_enter(kind, relid);
		p->listed = true;
		p->next = listed;
		listed = p;
	}
	return p;
}

UsageIndex *
usage_index(Oid relid)
{
	if (unlikely(last_index == NULL || last_index->relid != relid))
		last_index = find(USAGE_INDEX, relid);
	return &last_index->u.index;
}

UsageTable *
usage_table(Oid relid)
{
	return &find(USAGE_TABLE, relid)->u.table;
}

/* The step of the histogram that a time belongs to. */
static inline int
step_of(uint64 ns)
{
	int			power = pg_leftmost_one_pos64(Max(ns, 128));

	return Min((power - 7) * 4 + (int) (Max(ns, 128) >> (power - 2) & 3), USAGE_STEPS - 1);
}

void
usage_time(Oid relid, uint64 ns)
{
	UsageLatency *l;
	Pending    *p;

	if (!usage_is_shared())
		return;
	(void) usage_index(relid);
	p = last_index;
	if (p->latency == NULL)
		p->latency = MemoryContextAllocZero(pending_cxt, USAGE_MOMENTS * sizeof(UsageLatency));
	l = &p->latency[usage_is_rebuilding(relid) ? 1 : 0];
	l->sum += ns;
	l->samples[step_of(ns)]++;
	l->total++;
}

/* Sets counts to zero in place: pointers to them stay valid. */
static void
flush(Pending *p)
{
	if (p->kind == USAGE_INDEX)
		usage_add_index(p->relid, &p->u.index, p->latency);
	else
		usage_add_table(p->relid, &p->u.table);
	memset(&p->u, 0, sizeof(p->u));
	if (p->latency != NULL)
		memset(p->latency, 0, USAGE_MOMENTS * sizeof(UsageLatency));
}

void
usage_flush(void)
{
	if (!usage_is_shared())
		return;
	for (Pending *p = listed; p != NULL; p = p->next)
		flush(p);
}

void
usage_flush_relation(Oid relid)
{
	Pending    *p = pending == NULL ? NULL : hash_search(pending, &relid, HASH_FIND, NULL);

	if (p != NULL && p->listed)
		flush(p);
}

void
usage_trained(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds)
{
	/* what was counted so far is of the model before */
	usage_flush();
	usage_add_training(relid, why, leaves, microseconds);
}

/* Empty the list, and free memory if it is much; at the end of a transaction, when nobody has a pointer. */
static void
forget_all(void)
{
	for (Pending *p = listed; p != NULL; p = p->next)
		p->listed = false;
	listed = last_index = NULL;
	if (hash_get_num_entries(pending) > KEEP_RELATIONS)
	{
		pending = NULL;
		MemoryContextReset(pending_cxt);
	}
}

/*
 * Add counts to the sums, if it is time.  The time is that of the statement's begin, to
 * save asking for it.  A parallel worker always does, because it ends.
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	TimestampTz now;

	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		usage_rebuild_ends();
	if (listed == NULL || event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	now = GetCurrentStatementStartTimestamp();
	if (now - flushed < FLUSH_EVERY && now >= flushed && !IsParallelWorker() &&
		hash_get_num_entries(pending) <= KEEP_RELATIONS)
		return;
	usage_flush();
	flushed = now;
	forget_all();
}

/* A failed subtransaction releases the lock of a rebuild that it has taken. */
static void
at_subxact_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		usage_rebuild_aborts(GetCurrentTransactionNestLevel());
}

void
usage_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	usage_shared_init();
	usage_file_init();

	/*
	 * callbacks are called in the opposite order, so counts are added before
	 * entries of dropped relations are removed
	 */
	usage_drops_init();
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
}
