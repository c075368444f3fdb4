/*-------------------------------------------------------------------------
 *
 * table.c
 *	  What a backend knows of a kyro table: its runs.
 *
 * The copy of the run list is compared with block 0 each time a scan begins,
 * after its snapshot was taken: a run that is not in the copy then was
 * committed after the snapshot, and its rows are not for it.  Invalidation
 * messages would not do: a backend that already holds a lock on the table
 * does not read them.
 *
 * IDENTIFICATION
 *	  src/store/table.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/stats.h"
#include "store/store.h"

/* Entries kept from one transaction to the next. */
#define STORE_TABLES_MAX 64

static HTAB *tables;
static MemoryContext tables_cxt;
static uint64 clock_hand;

/*
 * An invalidation of the table's relation cache entry: it may have been dropped
 * or have a new file.  If nobody opens it as it was, its maps, which keep the
 * file's space occupied, go at the end of the next transaction.
 */
static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	StoreTable *table;

	if (tables == NULL)
		return;
	hash_seq_init(&seq, tables);
	while ((table = hash_seq_search(&seq)) != NULL)
	{
		if (relid == InvalidOid || table->relid == relid)
			table->suspect = Max(table->suspect, 1);
	}
}

static void
forget(StoreTable *table)
{
	store_map_drop(table);
	store_links_forget(table);
	if (table->runs)
		pfree(table->runs);
	hash_search(tables, &table->locator, HASH_REMOVE, NULL);
}

/*
 * Nobody holds an entry between transactions: the time to forget some.
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	HASH_SEQ_STATUS seq;
	StoreTable *table;
	uint64		limit = 0;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (tables == NULL)
		return;
	store_stats_flush(tables);
	if (hash_get_num_entries(tables) > STORE_TABLES_MAX)
		limit = clock_hand - Min(clock_hand, STORE_TABLES_MAX / 2);
	hash_seq_init(&seq, tables);
	while ((table = hash_seq_search(&seq)) != NULL)
	{
		list_free_deep(table->retired);
		table->retired = NIL;
		if (table->used <= limit || (table->suspect > 0 && table->suspect++ > 1))
			forget(table);
	}
}

void
store_table_init(void)
{
	RegisterXactCallback(at_xact_end, NULL);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

static void
create_tables(void)
{
	HASHCTL		ctl;

	tables_cxt = AllocSetContextCreate(TopMemoryContext, "kyrodb tables", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(KyroLocator);
	ctl.entrysize = sizeof(StoreTable);
	ctl.hcxt = tables_cxt;
	tables = hash_create("kyrodb tables", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * What this backend knows of the table, brought up to date with block 0.  The
 * caller holds a lock on the table, and has the snapshot it will read with.
 * Valid until the end of the transaction.
 */
StoreTable *
store_open(Relation rel)
{
	StoreTable *table;
	KyroLocator locator = kyro_locator(rel);
	bool		found;
	uint64		incarnation,
				generation;

	if (tables == NULL)
		create_tables();
	table = hash_search(tables, &locator, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) table + sizeof(KyroLocator), 0, sizeof(StoreTable) - sizeof(KyroLocator));
		table->locator = locator;
	}
	table->relid = RelationGetRelid(rel);
	table->used = ++clock_hand;
	table->suspect = 0;

	store_list_stamp(rel, &incarnation, &generation);
	if (table->incarnation != incarnation)
	{
		store_map_drop(table);
		store_links_forget(table);
		table->incarnation = incarnation;
		table->generation = 0;
	}
	if (table->generation != generation)
		store_list_load(rel, table, tables_cxt);
	return table;
}

/*
 * The run that a block of rows belongs to, or NULL.
 */
StoreRun *
store_find_run(StoreTable *table, BlockNumber block)
{
	int			low = 0,
				high = table->nruns;

	if (table->last < table->nruns)
	{
		StoreRun   *run = &table->runs[table->last];

		if (block >= run->first && block - run->first < run->pages)
			return run;
	}
	while (low < high)
	{
		int			mid = low + (high - low) / 2;
		StoreRun   *run = &table->runs[mid];

		if (block < run->first)
			high = mid;
		else if (block - run->first >= run->pages)
			low = mid + 1;
		else
		{
			table->last = mid;
			return run;
		}
	}
	return NULL;
}

/*
 * Commit state of a run: looks into clog once.  The list on disk is brought up
 * to date by VACUUM, before clog of the time can be truncated.
 */
static bool
run_committed(StoreRun *run)
{
	if (run->state == RUN_IN_DOUBT && run->fxid != 0)
	{
		TransactionId xid = (TransactionId) run->fxid;

		if (TransactionIdIsCurrentTransactionId(xid) || TransactionIdIsInProgress(xid))
			return false;
		/* In this order: a transaction leaves the proc array after clog. */
		run->state = TransactionIdDidCommit(xid) ? RUN_COMMITTED : RUN_ABORTED;
	}
	return run->state < RUN_ABORTED;
}

/*
 * Will the rows of a run never be visible to anyone?
 */
bool
store_run_aborted(StoreRun *run)
{
	if (run->fxid == 0)
		return false;
	(void) run_committed(run);
	return run->state >= RUN_ABORTED;
}

/*
 * Is a run sealed for good, for everyone who takes a snapshot now?
 */
bool
store_run_committed(StoreRun *run)
{
	return run->fxid == 0 || (run_committed(run) && run->state == RUN_COMMITTED);
}

/*
 * Could any snapshot still not see an xid?  None is older than 2^31.
 */
static bool
fxid_is_ancient(uint64 fxid)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	return next - fxid > (uint64) 1 << 31;
}

/*
 * Is a run visible to every snapshot, if none is older than the horizon?
 */
bool
store_run_seen_by_all(StoreRun *run, TransactionId horizon)
{
	if (run->fxid == 0)
		return true;
	return store_run_committed(run) &&
		(fxid_is_ancient(run->fxid) || TransactionIdPrecedes((TransactionId) run->fxid, horizon));
}

/*
 * Are the rows of a run visible to a snapshot, as far as the run is concerned?
 */
bool
store_run_visible(StoreRun *run, Snapshot snapshot)
{
	TransactionId xid = (TransactionId) run->fxid;

	if (run->fxid == 0)
		return true;
	switch (snapshot->snapshot_type)
	{
		case SNAPSHOT_MVCC:
			if (run->state >= RUN_ABORTED)
				return false;
			if (run->state == RUN_COMMITTED && fxid_is_ancient(run->fxid))
				return true;
			if (TransactionIdIsCurrentTransactionId(xid))
				return run->cmin < snapshot->curcid;
			if (XidInMVCCSnapshot(xid, snapshot))
				return false;
			return run_committed(run);
		case SNAPSHOT_SELF:
		case SNAPSHOT_DIRTY:
			return TransactionIdIsCurrentTransactionId(xid) ||
				(run_committed(run) && run->state == RUN_COMMITTED);
		case SNAPSHOT_ANY:
			return true;
		case SNAPSHOT_NON_VACUUMABLE:
			return !store_run_aborted(run);
		default:
			return false;
	}
}
