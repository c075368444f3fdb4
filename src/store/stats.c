/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  Cumulative counters of kyro tables, in shared memory.
 *
 * They exist only if the library is in shared_preload_libraries, because only
 * then can it have shared memory; they begin anew when the server starts.
 * There is room for STATS_TABLES tables.  Dropped tables leave; if that is not
 * enough, the one that was not counted for longest makes room for another, and
 * begins anew when it is used again.  A backend adds what it has counted at
 * the end of each transaction.
 *
 * IDENTIFICATION
 *	  src/store/stats.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "privilege.h"
#include "store/stats.h"
#include "store/store.h"

#ifdef KYRO_DEBUG_POINTS
#define STATS_TABLES 256		/* that tests can fill */
#else
#define STATS_TABLES 8192
#endif
#define STATS_MESSAGE 160

typedef struct StatsKey
{
	Oid			database;
	Oid			table;
} StatsKey;

typedef struct StatsEntry
{
	StatsKey	key;
	dlist_node	by_use;
	uint64		map_reads;
	uint64		buffer_reads;
	uint64		seals;
	uint64		rows_sealed;
	uint64		seal_time;		/* microseconds */
	uint64		failures;
	TimestampTz last_error_at;	/* 0: none */
	char		last_error[STATS_MESSAGE];
} StatsEntry;

static HTAB *stats;				/* NULL: not preloaded */
static dlist_head *stats_by_use;	/* in shared memory; the one counted last comes first */
static LWLock *stats_lock;			/* for all of it */

/* Tables, and databases with all of theirs, that this transaction drops. */
static StatsKey *dropped;
static int	ndropped,
			max_dropped;
static object_access_hook_type previous_access;
static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

PG_FUNCTION_INFO_V1(kyro_table_counters);

static void
request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(add_size(hash_estimate_size(STATS_TABLES, sizeof(StatsEntry)), sizeof(dlist_head)));
	RequestNamedLWLockTranche("kyrodb:store", 1);
}

static void
startup(void)
{
	HASHCTL		ctl;
	bool		found;

	if (previous_startup)
		previous_startup();
	ctl.keysize = sizeof(StatsKey);
	ctl.entrysize = sizeof(StatsEntry);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	stats = ShmemInitHash("kyrodb table counters", STATS_TABLES, STATS_TABLES, &ctl, HASH_ELEM | HASH_BLOBS);
	stats_by_use = ShmemInitStruct("kyrodb table counters by use", sizeof(dlist_head), &found);
	if (!found)
		dlist_init(stats_by_use);
	stats_lock = &(GetNamedLWLockTranche("kyrodb:store"))->lock;
	LWLockRelease(AddinShmemInitLock);
}

/* ---- tables that are dropped ---- */

static void
note_drop(Oid database, Oid table)
{
	if (ndropped == max_dropped)
	{
		int			want = Max(max_dropped * 2, 16);

		if (dropped == NULL)
			dropped = MemoryContextAlloc(TopMemoryContext, want * sizeof(StatsKey));
		else
			dropped = repalloc_huge(dropped, want * sizeof(StatsKey));
		max_dropped = want;
	}
	dropped[ndropped++] = (StatsKey) {database, table};
}

static void
on_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_access)
		previous_access(access, class, object, sub, arg);
	if (access != OAT_DROP || sub != 0 || stats == NULL)
		return;
	if (class == RelationRelationId)
		note_drop(MyDatabaseId, object);
	else if (class == DatabaseRelationId)
		note_drop(object, InvalidOid);
}

static void
remove_entry(StatsEntry *entry)
{
	dlist_delete(&entry->by_use);
	hash_search(stats, &entry->key, HASH_REMOVE, NULL);
}

static void
remove_dropped(void)
{
	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	for (int i = 0; i < ndropped; i++)
	{
		if (OidIsValid(dropped[i].table))
		{
			StatsEntry *entry = hash_search(stats, &dropped[i], HASH_FIND, NULL);

			if (entry != NULL)
				remove_entry(entry);
		}
		else
		{
			dlist_mutable_iter iter;

			dlist_foreach_modify(iter, stats_by_use)
			{
				StatsEntry *entry = dlist_container(StatsEntry, by_use, iter.cur);

				if (entry->key.database == dropped[i].database)
					remove_entry(entry);
			}
		}
	}
	LWLockRelease(stats_lock);
}

/*
 * Registered before that of table.c, and so called after it has reported.
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	if (ndropped == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			{
				int			n = 0;

				/* not those whose drop was rolled back to a savepoint */
				for (int i = 0; i < ndropped; i++)
				{
					if (!OidIsValid(dropped[i].table) ||
						!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(dropped[i].table)))
						dropped[n++] = dropped[i];
				}
				ndropped = n;
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			remove_dropped();
			ndropped = 0;
			break;
		case XACT_EVENT_ABORT:
			ndropped = 0;
			break;
		default:
			break;
	}
}

void
store_stats_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
	previous_access = object_access_hook;
	object_access_hook = on_access;
	RegisterXactCallback(at_xact_end, NULL);
}

/* ---- counting ---- */

/* The entry of a table, made if there is none.  The lock is held exclusively. */
static StatsEntry *
get_entry(Oid relid)
{
	StatsKey	key = {MyDatabaseId, relid};
	StatsEntry *entry = hash_search(stats, &key, HASH_FIND, NULL);

	if (entry != NULL)
	{
		dlist_move_head(stats_by_use, &entry->by_use);
		return entry;
	}
	if (hash_get_num_entries(stats) >= STATS_TABLES)
		remove_entry(dlist_tail_element(StatsEntry, by_use, stats_by_use));
	entry = hash_search(stats, &key, HASH_ENTER_NULL, NULL);
	if (entry != NULL)
	{
		memset((char *) entry + sizeof(StatsKey), 0, sizeof(StatsEntry) - sizeof(StatsKey));
		dlist_push_head(stats_by_use, &entry->by_use);
	}
	return entry;
}

void
store_stats_flush(StoreTable *table)
{
	StatsEntry *entry;

	if (stats == NULL || (table->map_reads == 0 && table->buffer_reads == 0))
		return;
	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	entry = get_entry(table->relid);
	if (entry != NULL)
	{
		entry->map_reads += table->map_reads;
		entry->buffer_reads += table->buffer_reads;
	}
	LWLockRelease(stats_lock);
	table->map_reads = table->buffer_reads = 0;
}

void
store_stats_sealed(Relation rel, const StoreRun *run)
{
	StatsEntry *entry;

	if (stats == NULL)
		return;
	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	entry = get_entry(RelationGetRelid(rel));
	if (entry != NULL)
	{
		entry->seals++;
		entry->rows_sealed += run->rows;
		entry->seal_time += run->duration;
	}
	LWLockRelease(stats_lock);
}

void
store_stats_seal_failed(Oid relid, const char *message)
{
	StatsEntry *entry;

	if (stats == NULL)
		return;
	LWLockAcquire(stats_lock, LW_EXCLUSIVE);
	entry = get_entry(relid);
	if (entry != NULL)
	{
		entry->failures++;
		entry->last_error_at = GetCurrentTimestamp();
		strlcpy(entry->last_error, message, STATS_MESSAGE);
		entry->last_error[pg_mbcliplen(entry->last_error, strlen(entry->last_error), STATS_MESSAGE - 1)] = '\0';
	}
	LWLockRelease(stats_lock);
}

/*
 * kyro.table_counters(tbl oid): one row, of NULLs if nothing can be counted or
 * the user may not see it.
 */
Datum
kyro_table_counters(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[8] = {0};
	bool		nulls[8];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	if (stats != NULL && kyro_sees_table(GetUserId(), PG_GETARG_OID(0)))
	{
		StatsKey	key = {MyDatabaseId, PG_GETARG_OID(0)};
		StatsEntry *found;
		StatsEntry	entry = {0};

		LWLockAcquire(stats_lock, LW_SHARED);
		found = hash_search(stats, &key, HASH_FIND, NULL);
		if (found != NULL)
			entry = *found;
		LWLockRelease(stats_lock);
		memset(nulls, false, 6 * sizeof(bool));
		values[0] = Int64GetDatum(entry.map_reads);
		values[1] = Int64GetDatum(entry.buffer_reads);
		values[2] = Int64GetDatum(entry.seals);
		values[3] = Int64GetDatum(entry.rows_sealed);
		values[4] = Float8GetDatum(entry.seal_time / 1e6);
		values[5] = Int64GetDatum(entry.failures);
		if (entry.last_error_at != 0)
		{
			values[6] = TimestampTzGetDatum(entry.last_error_at);
			nulls[6] = false;
			if (kyro_sees_messages(GetUserId(), PG_GETARG_OID(0)))
			{
				values[7] = CStringGetTextDatum(entry.last_error);
				nulls[7] = false;
			}
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
