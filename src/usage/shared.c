/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Sums of all sessions in shared memory.
 *
 * A hash table of fixed size, by database and relation, so that nothing here can fail
 * after a transaction has committed.  There is room for ENTRIES relations.  If it is
 * full, the relation that was not counted for longest makes room for another, and
 * begins at zero when it is used again.  One lock is enough, because a session comes
 * at most about once a second.
 *
 * IDENTIFICATION
 *	  src/usage/shared.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "shmem.h"
#include "usage/shared.h"

#ifdef KYRO_DEBUG_POINTS
#define ENTRIES 256				/* so few that tests can fill it */
#else
#define ENTRIES 8192
#endif

typedef struct Control
{
	dlist_head	by_use;			/* entries, the one counted last first */
	pg_atomic_uint32 rebuilds;	/* number of rebuilds that run now */
} Control;

static HTAB *entries;			/* NULL: the library was not preloaded */
static Control *control;		/* in shared memory, too */
static LWLock *lock;			/* protects all of it */

static void
request(void)
{
	RequestAddinShmemSpace(add_size(hash_estimate_size(ENTRIES, sizeof(UsageEntry)), sizeof(Control)));
	RequestNamedLWLockTranche("kyrodb:usage", 1);
}

static void
attach(void)
{
	HASHCTL		ctl;
	bool		found;

	ctl.keysize = sizeof(UsageKey);
	ctl.entrysize = sizeof(UsageEntry);
	entries = ShmemInitHash("kyrodb statistics of use", ENTRIES, ENTRIES, &ctl, HASH_ELEM | HASH_BLOBS);
	control = ShmemInitStruct("kyrodb statistics of use, control", sizeof(Control), &found);
	if (!found)
	{
		dlist_init(&control->by_use);
		pg_atomic_init_u32(&control->rebuilds, 0);
	}
	lock = &(GetNamedLWLockTranche("kyrodb:usage"))->lock;
}

void
usage_shared_init(void)
{
	kyro_shmem_add(request, attach);
}

bool
usage_is_shared(void)
{
	return entries != NULL;
}

/* ---- entries; the lock is held exclusively ---- */

static void
remove_entry(UsageEntry *entry)
{
	dlist_delete(&entry->by_use);
	hash_search(entries, &entry->sums.key, HASH_REMOVE, NULL);
}

static UsageEntry *
find_entry(UsageKind kind, Oid relid)
{
	UsageKey	key = {MyDatabaseId, relid};
	UsageEntry *entry = hash_search(entries, &key, HASH_FIND, NULL);

	return entry != NULL && entry->sums.kind == kind ? entry : NULL;
}

/* Set everything but the key as for a relation of which nothing was counted. */
static void
clear(UsageEntry *entry, UsageKind kind)
{
	memset((char *) &entry->sums + sizeof(UsageKey), 0, sizeof(UsageSums) - sizeof(UsageKey));
	entry->sums.kind = kind;
	entry->sums.since = GetCurrentTimestamp();
}

static UsageEntry *
get_entry(UsageKind kind, Oid relid)
{
	UsageKey	key = {MyDatabaseId, relid};
	UsageEntry *entry = hash_search(entries, &key, HASH_FIND, NULL);

	if (entry != NULL)
	{
		if (entry->sums.kind != kind)
			clear(entry, kind);
		dlist_move_head(&control->by_use, &entry->by_use);
		return entry;
	}
	if (hash_get_num_entries(entries) >= ENTRIES)
		remove_entry(dlist_tail_element(UsageEntry, by_use, &control->by_use));
	entry = hash_search(entries, &key, HASH_ENTER_NULL, NULL);
	if (entry != NULL)
	{
		clear(entry, kind);
		entry->rebuilding = 0;
		dlist_push_head(&control->by_use, &entry->by_use);
	}
	return entry;
}

void
usage_enter(UsageKind kind, Oid relid)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	(void) get_entry(kind, relid);
	LWLockRelease(lock);
}

/* ---- counting ---- */

/* The bucket of look-ups that have compared so many entries. */
static inline int
bucket(int compared)
{
	int			b = 0;

	for (; compared > 0 && b < USAGE_BUCKETS - 1; compared >>= 1)
		b++;
	return b;
}

static void
add_latency(UsageLatency *sums, const UsageLatency *more)
{
	sums->sum += more->sum;
	for (int i = 0; i < USAGE_STEPS; i++)
		sums->samples[i] += more->samples[i];
	sums->total += more->total;
}

void
usage_add_index(Oid relid, const UsageIndex *counts, const UsageLatency *latency)
{
	UsageEntry *entry;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_entry(USAGE_INDEX, relid);
	if (entry != NULL)
	{
		UsageIndexSums *sums = &entry->sums.u.index;

		for (int place = 0; place < USAGE_PLACES; place++)
		{
			uint64		n = 0;

			for (int i = 0; i < USAGE_COMPARED; i++)
			{
				n += counts->keys[place][i];
				sums->compared[bucket(i)] += counts->keys[place][i];
				sums->compared_sum += counts->keys[place][i] * i;
			}
			sums->there += place == 1 ? n : 0;
			sums->beside += place == 0 || place == 2 ? n : 0;
		}
		sums->lookups += counts->lookups;
		sums->landings_off += counts->landings_off;
		sums->pages_walked += counts->pages_walked;
		sums->no_model += counts->no_model;
		for (int i = 0; i < USAGE_INSERTS; i++)
			sums->inserts[i] += counts->inserts[i];
		sums->removed += counts->removed;
		sums->vacuumed += counts->vacuumed;
		for (int i = 0; latency != NULL && i < USAGE_MOMENTS; i++)
			add_latency(&sums->latency[i], &latency[i]);
		dlist_move_head(&control->by_use, &entry->by_use);
	}
	LWLockRelease(lock);
}

void
usage_add_table(Oid relid, const UsageTable *counts)
{
	UsageEntry *entry;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_entry(USAGE_TABLE, relid);
	if (entry != NULL)
	{
		UsageTable *sums = &entry->sums.u.table.reads;

		sums->map_reads += counts->map_reads;
		sums->buffer_reads += counts->buffer_reads;
		sums->verified += counts->verified;
		sums->ledger_tuples += counts->ledger_tuples;
		dlist_move_head(&control->by_use, &entry->by_use);
	}
	LWLockRelease(lock);
}

/*
 * Take the lock exclusively and get the entry of a relation, made if there is none.
 * NULL, without the lock, if there is no shared memory.
 */
static UsageEntry *
lock_entry(UsageKind kind, Oid relid)
{
	UsageEntry *entry;

	if (entries == NULL)
		return NULL;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = get_entry(kind, relid);
	if (entry == NULL)
		LWLockRelease(lock);
	return entry;
}

/* ---- rebuilds that run ---- */

static Oid	rebuilding = InvalidOid;	/* index that this process rebuilds, */
static int	rebuilding_level;	/* and the nesting level of the
								 * (sub)transaction in which that began */

void
usage_rebuild_begins(Oid relid)
{
	UsageEntry *entry = OidIsValid(rebuilding) ? NULL : lock_entry(USAGE_INDEX, relid);

	if (entry == NULL)
		return;
	entry->rebuilding = MyProcPid;
	pg_atomic_fetch_add_u32(&control->rebuilds, 1);
	rebuilding = relid;
	rebuilding_level = GetCurrentTransactionNestLevel();
	LWLockRelease(lock);
}

void
usage_rebuild_ends(void)
{
	UsageEntry *entry;

	if (!OidIsValid(rebuilding))
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_entry(USAGE_INDEX, rebuilding);
	if (entry != NULL && entry->rebuilding == MyProcPid)
		entry->rebuilding = 0;
	pg_atomic_fetch_sub_u32(&control->rebuilds, 1);
	LWLockRelease(lock);
	rebuilding = InvalidOid;
}

void
usage_rebuild_aborts(int level)
{
	if (rebuilding_level >= level)
		usage_rebuild_ends();
}

bool
usage_is_rebuilding(Oid relid)
{
	UsageEntry *entry;
	bool		result;

	if (pg_atomic_read_u32(&control->rebuilds) == 0)
		return false;
	LWLockAcquire(lock, LW_SHARED);
	entry = find_entry(USAGE_INDEX, relid);
	result = entry != NULL && entry->rebuilding != 0;
	LWLockRelease(lock);
	return result;
}

void
usage_add_training(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds)
{
	UsageEntry *entry = lock_entry(USAGE_INDEX, relid);
	UsageIndexSums *sums;

	if (entry == NULL)
		return;
	sums = &entry->sums.u.index;
	sums->trainings[why]++;
	sums->training_time += microseconds;
	sums->trained_leaves += leaves;
	sums->landings_off_then = sums->landings_off;
	sums->searches_then = usage_searches(sums);
	LWLockRelease(lock);
}

/* ---- seals ---- */

void
usage_sealed(Oid table, uint64 rows, uint64 microseconds, uint64 wal_bytes)
{
	UsageEntry *entry = lock_entry(USAGE_TABLE, table);
	UsageTableSums *sums;

	if (entry == NULL)
		return;
	sums = &entry->sums.u.table;
	sums->seals++;
	sums->rows_sealed += rows;
	sums->seal_time += microseconds;
	sums->seal_wal += wal_bytes;
	LWLockRelease(lock);
}

void
usage_seal_failed(Oid table, const char *message)
{
	UsageEntry *entry = lock_entry(USAGE_TABLE, table);
	UsageTableSums *sums;

	if (entry == NULL)
		return;
	sums = &entry->sums.u.table;
	sums->failures++;
	sums->last_error_at = GetCurrentTimestamp();
	strlcpy(sums->last_error, message, USAGE_MESSAGE);
	sums->last_error[pg_mbcliplen(sums->last_error, strlen(sums->last_error), USAGE_MESSAGE - 1)] = '\0';
	LWLockRelease(lock);
}

bool
usage_get(UsageKind kind, Oid relid, UsageSums *sums)
{
	UsageEntry *entry;

	LWLockAcquire(lock, LW_SHARED);
	entry = find_entry(kind, relid);
	if (entry != NULL)
		*sums = entry->sums;
	LWLockRelease(lock);
	return entry != NULL;
}

/* ---- forgetting ---- */

void
usage_reset(Oid relid)
{
	dlist_iter	iter;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	dlist_foreach(iter, &control->by_use)
	{
		UsageEntry *entry = dlist_container(UsageEntry, by_use, iter.cur);

		if (entry->sums.key.database == MyDatabaseId && (!OidIsValid(relid) || entry->sums.key.relid == relid))
			clear(entry, entry->sums.kind);
	}
	LWLockRelease(lock);
}

void
usage_remove_if(bool (*gone) (UsageKey key, void *arg), void *arg)
{
	dlist_mutable_iter iter;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	dlist_foreach_modify(iter, &control->by_use)
	{
		UsageEntry *entry = dlist_container(UsageEntry, by_use, iter.cur);

		if (gone(entry->sums.key, arg))
			remove_entry(entry);
	}
	LWLockRelease(lock);
}

static bool
is_of_database(UsageKey key, void *arg)
{
	return key.database == *(Oid *) arg;
}

void
usage_remove(UsageKey key)
{
	UsageEntry *entry;

	if (!OidIsValid(key.relid))
	{
		usage_remove_if(is_of_database, &key.database);
		return;
	}
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = hash_search(entries, &key, HASH_FIND, NULL);
	if (entry != NULL)
		remove_entry(entry);
	LWLockRelease(lock);
}

int
usage_list(Oid database, UsageKey **keys)
{
	dlist_iter	iter;
	int			n = 0;

	/* allocate before taking the lock */
	*keys = palloc(ENTRIES * sizeof(UsageKey));
	LWLockAcquire(lock, LW_SHARED);
	dlist_foreach(iter, &control->by_use)
	{
		UsageEntry *entry = dlist_container(UsageEntry, by_use, iter.cur);

		if (entry->sums.key.database == database)
			(*keys)[n++] = entry->sums.key;
	}
	LWLockRelease(lock);
	return n;
}

/* ---- for the file ---- */

void
usage_each(bool (*f) (const UsageSums *sums, void *arg), void *arg)
{
	dlist_iter	iter;

	dlist_reverse_foreach(iter, &control->by_use)
	{
		if (!f(&dlist_container(UsageEntry, by_use, iter.cur)->sums, arg))
			break;
	}
}

int
usage_number(void)
{
	return (int) hash_get_num_entries(entries);
}

bool
usage_put(const UsageSums *sums)
{
	UsageEntry *entry;
	bool		found;

	if (hash_get_num_entries(entries) >= ENTRIES)
		return false;
	entry = hash_search(entries, &sums->key, HASH_ENTER_NULL, &found);
	if (entry == NULL || found)
		return false;
	entry->sums = *sums;
	entry->rebuilding = 0;
	dlist_push_tail(&control->by_use, &entry->by_use);
	return true;
}
