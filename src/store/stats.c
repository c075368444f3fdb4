/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  Cumulative counters of kyro tables, in shared memory.
 *
 * They exist only if the library is in shared_preload_libraries, because only
 * then can it have shared memory; they begin anew when the server starts.
 * There is room for STATS_TABLES tables; later ones are not counted.  A
 * backend adds what it has counted at the end of each transaction.
 *
 * IDENTIFICATION
 *	  src/store/stats.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store/stats.h"
#include "store/store.h"

#define STATS_TABLES 1024
#define STATS_MESSAGE 160

typedef struct StatsKey
{
	Oid			database;
	Oid			table;
} StatsKey;

typedef struct StatsEntry
{
	StatsKey	key;
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
static LWLock *stats_lock;
static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

PG_FUNCTION_INFO_V1(kyro_table_counters);

static void
request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(hash_estimate_size(STATS_TABLES, sizeof(StatsEntry)));
	RequestNamedLWLockTranche("kyrodb:store", 1);
}

static void
startup(void)
{
	HASHCTL		ctl;

	if (previous_startup)
		previous_startup();
	ctl.keysize = sizeof(StatsKey);
	ctl.entrysize = sizeof(StatsEntry);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	stats = ShmemInitHash("kyrodb table counters", STATS_TABLES, STATS_TABLES, &ctl, HASH_ELEM | HASH_BLOBS);
	stats_lock = &(GetNamedLWLockTranche("kyrodb:store"))->lock;
	LWLockRelease(AddinShmemInitLock);
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
}

/* The entry of a table, made if there is room.  The lock is held exclusively. */
static StatsEntry *
get_entry(Oid relid)
{
	StatsKey	key = {MyDatabaseId, relid};
	StatsEntry *entry;
	bool		found;

	entry = hash_search(stats, &key, hash_get_num_entries(stats) < STATS_TABLES ? HASH_ENTER_NULL : HASH_FIND, &found);
	if (entry != NULL && !found)
		memset((char *) entry + sizeof(StatsKey), 0, sizeof(StatsEntry) - sizeof(StatsKey));
	return entry;
}

/*
 * Add what a backend has counted, for each of its tables.
 */
void
store_stats_flush(HTAB *tables)
{
	HASH_SEQ_STATUS seq;
	StoreTable *table;

	if (stats == NULL)
		return;
	hash_seq_init(&seq, tables);
	while ((table = hash_seq_search(&seq)) != NULL)
	{
		StatsEntry *entry;

		if (table->map_reads == 0 && table->buffer_reads == 0)
			continue;
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
}

/*
 * A run was sealed; whether it will commit is not known yet.
 */
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

/*
 * A seal has failed.
 */
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
 * kyro.table_counters(tbl oid): one row, of NULLs if nothing can be counted.
 */
Datum
kyro_table_counters(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[8] = {0};
	bool		nulls[8];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, stats == NULL, sizeof(nulls));
	nulls[6] = nulls[7] = true;
	if (stats != NULL)
	{
		StatsKey	key = {MyDatabaseId, PG_GETARG_OID(0)};
		StatsEntry *found;
		StatsEntry	entry = {0};

		LWLockAcquire(stats_lock, LW_SHARED);
		found = hash_search(stats, &key, HASH_FIND, NULL);
		if (found != NULL)
			entry = *found;
		LWLockRelease(stats_lock);
		values[0] = Int64GetDatum(entry.map_reads);
		values[1] = Int64GetDatum(entry.buffer_reads);
		values[2] = Int64GetDatum(entry.seals);
		values[3] = Int64GetDatum(entry.rows_sealed);
		values[4] = Float8GetDatum(entry.seal_time / 1e6);
		values[5] = Int64GetDatum(entry.failures);
		if (entry.last_error_at != 0)
		{
			values[6] = TimestampTzGetDatum(entry.last_error_at);
			values[7] = CStringGetTextDatum(entry.last_error);
			nulls[6] = nulls[7] = false;
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
