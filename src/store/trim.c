/*-------------------------------------------------------------------------
 *
 * trim.c
 *	  Reclaiming space that nobody needs any more: what failed seals left, dead runs,
 *	  and empty log pages at the end of the file.
 *
 * A seal that fails before its run is in the list leaves pages that belong to no
 * run.  One that fails later leaves a run of an aborted transaction, which stays in
 * the list until VACUUM has removed its entries from all indexes.  If seals failed
 * again and again, for lack of space or by a timeout, the table would grow each
 * time.  So VACUUM and the next seal cut off what lies at the end of the file, if the
 * exclusive lock can be had at once, as core's VACUUM does with empty pages.  Of the
 * rest VACUUM makes empty log pages, for new rows.
 *
 * Readers with an older copy of the list do not look for rows in runs that were
 * rolled back, but read their pages by heap code.  A reader that has seen the run
 * in progress may be reading such a page; so a run is taken out of the list only if
 * its transaction is older than every snapshot, on standbys too.
 *
 * A run that was rolled back and whose rows were touched stays: ledger tuples may
 * still have its rows as their tags.
 *
 * A run is dead if no snapshot sees a row of it and no index has entries of it.  At
 * the end of the file it is cut off at once, because the exclusive lock keeps all
 * readers out.  Elsewhere its pages stay until every snapshot is newer than the list
 * that calls it dead: then nobody is reading them, mapped or not, or has a link to
 * them.  Its pages of links are freed with it.
 *
 * Like core's, VACUUM also cuts off empty log pages at the end, unless the TRUNCATE
 * option is off, but not those that a link leads to.
 *
 * IDENTIFICATION
 *	  src/store/trim.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/storage.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"

#include "debug_point.h"
#include "store/store.h"

static int
id_compare(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* Ids of runs, sorted. */
typedef struct RunIds
{
	int			n;
	uint64		ids[FLEXIBLE_ARRAY_MEMBER];
} RunIds;

/* The runs of the list; alive: without dead ones. */
static RunIds *
run_ids(const StoreTable *table, bool alive)
{
	RunIds	   *runs = palloc(offsetof(RunIds, ids) + table->nruns * sizeof(uint64));

	runs->n = 0;
	for (int i = 0; i < table->nruns; i++)
	{
		if (!alive || table->runs[i].state != RUN_DEAD)
			runs->ids[runs->n++] = table->runs[i].id;
	}
	qsort(runs->ids, runs->n, sizeof(uint64), id_compare);
	return runs;
}

/* Is this a page of links that belongs to none of these runs? */
static bool
links_of_others(Page page, const RunIds *runs)
{
	return store_page_kind(page) == STORE_LINKS &&
		bsearch(&StorePageGetHeader(page)->run, runs->ids, runs->n, sizeof(uint64), id_compare) == NULL;
}

/*
 * Is a block that lies in no run a page of rows or groups, or a page of links of a run
 * that is not in the list?
 */
static bool
block_is_orphan(Relation rel, BlockNumber block, const RunIds *listed)
{
	Buffer		buffer = ReadBuffer(rel, block);
	bool		result;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	result = store_page_is_orphan(BufferGetPage(buffer)) || links_of_others(BufferGetPage(buffer), listed);
	UnlockReleaseBuffer(buffer);
	return result;
}

/* May a block that lies in no run be cut off?  Empty log pages may from log_end on. */
static bool
block_is_spare(Relation rel, BlockNumber block, BlockNumber log_end, const RunIds *alive)
{
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page = BufferGetPage(buffer);
	bool		result;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	result = PageIsNew(page) || store_page_is_orphan(page) || links_of_others(page, alive) || (block >= log_end && store_page_is_empty(page));
	UnlockReleaseBuffer(buffer);
	return result;
}

/* Has a row of the run ever been touched? */
static bool
run_touched(Relation rel, const StoreRun *run)
{
	for (uint32 g = 0; g < run->groups; g += STORE_GROUPS_PER_PAGE)
	{
		Buffer		buffer = ReadBuffer(rel, run->first + run->pages + g / STORE_GROUPS_PER_PAGE);
		const StoreGroups *groups = StorePageGetGroups(BufferGetPage(buffer));
		bool		touched;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		touched = store_page_kind(BufferGetPage(buffer)) != STORE_GROUPS || groups->h.run != run->id;
		for (uint32 i = 0; !touched && i < Min(STORE_GROUPS_PER_PAGE, run->groups - g); i++)
			touched = groups->links[i] != InvalidBlockNumber;
		UnlockReleaseBuffer(buffer);
		if (touched)
			return true;
	}
	return false;
}

/* Where the file would end without the blocks at its end that nobody needs. */
static BlockNumber
find_end(Relation rel, StoreTable *table, BlockNumber log_end)
{
	BlockNumber end = RelationGetNumberOfBlocks(rel);
	int			nruns = table->nruns;
	RunIds	   *alive = run_ids(table, true);

	while (end > 1)
	{
		StoreRun   *run = nruns > 0 ? &table->runs[nruns - 1] : NULL;

		CHECK_FOR_INTERRUPTS();
		if (run != NULL && end <= STORE_RUN_END(run))
		{
			if (run->state != RUN_DEAD && (run->state != RUN_CLEAN || run_touched(rel, run)))
				break;
			end = run->first;
			nruns--;
		}
		else if (block_is_spare(rel, end - 1, log_end, alive))
			end--;
		else
			break;
	}
	pfree(alive);
	return end;
}

BlockNumber
store_tail(Relation rel)
{
	return find_end(rel, store_open(rel), 0);
}

/*
 * Is it worth the exclusive lock to cut the file off at `end`?  For empty log pages
 * alone, by the same rule as in vacuumlazy.c.
 */
static bool
worth_it(Relation rel, StoreTable *table, BlockNumber end, BlockNumber log_end)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	return nblocks > end &&
		(nblocks - end >= 1000 || nblocks - end >= nblocks / 16 || find_end(rel, table, InvalidBlockNumber) < nblocks);
}

void
store_trim(Relation rel, BlockNumber log_end)
{
	StoreTable *table = store_open(rel);
	BlockNumber end;

	/* VACUUM has not looked where the links of such runs lead */
	for (int i = 0; i < table->nruns && log_end != InvalidBlockNumber; i++)
	{
		if (store_run_aborted(&table->runs[i]) && table->runs[i].state != RUN_DEAD && run_touched(rel, &table->runs[i]))
			log_end = InvalidBlockNumber;
	}
	/* look without the lock first: nearly always there is nothing */
	if (table->incarnation == 0 || !worth_it(rel, table, find_end(rel, table, log_end), log_end) ||
		!ConditionalLockRelation(rel, AccessExclusiveLock))
		return;
	end = find_end(rel, table, log_end);
	if (end < RelationGetNumberOfBlocks(rel))
	{
		/*
		 * change the list first: pages that are in no run do no harm, a run
		 * without pages does
		 */
		store_list_cut(rel, end);
		DEBUG_POINT("trim-listed");
		RelationTruncate(rel, end);
	}
	UnlockRelation(rel, AccessExclusiveLock);
}

void
store_date_runs(Relation rel)
{
	StoreTable *table = store_open(rel);

	for (int i = 0; i < table->nruns; i++)
	{
		if (table->runs[i].state == RUN_DEAD && table->runs[i].fxid == 0)
		{
			store_list_date(rel);
			break;
		}
	}
}

/*
 * Take two kinds of runs out of the list: those that were rolled back, are in no
 * index any more, were never touched, and are older than every snapshot; and dead
 * ones whose date is older than every snapshot.
 */
static void
drop_runs(Relation rel, StoreTable *table, TransactionId horizon)
{
	uint64	   *ids = palloc(Max(table->nruns, 1) * sizeof(uint64));
	uint64		newest = 0;
	int			n = 0;

	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];

		if (run->fxid == 0 || !store_run_older_than(run, horizon) ||
			!(run->state == RUN_DEAD || (run->state == RUN_CLEAN && !run_touched(rel, run))))
			continue;
		ids[n++] = run->id;
		newest = Max(newest, run->fxid);
	}
	if (n > 0)
	{
		if (RelationNeedsWAL(rel))
			(void) kyro_log_conflict(rel, newest);
		store_list_drop(rel, ids, n);
		DEBUG_POINT("free-listed");
	}
	pfree(ids);
}

void
store_free_pages(Relation rel, TransactionId horizon)
{
	StoreTable *table = store_open(rel);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber block = 0;
	Buffer		vmbuffer = InvalidBuffer;
	bool		any = false;
	int			next_run;
	RunIds	   *listed;

	if (table->incarnation == 0)
		return;
	drop_runs(rel, table, horizon);
	table = store_open(rel);
	listed = run_ids(table, false);
	next_run = 0;
	while (block < nblocks)
	{
		if (next_run < table->nruns && block >= table->runs[next_run].first)
		{
			block = STORE_RUN_END(&table->runs[next_run]);
			next_run++;
			continue;
		}

		/*
		 * VACUUM has just read all pages whose bit is not set: they are
		 * cached
		 */
		kyro_vacuum_delay_point();
		if (!store_vm_test(rel, block, &vmbuffer) && block_is_orphan(rel, block, listed))
			any |= store_free_page(rel, block);
		block++;
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	if (any)
		FreeSpaceMapVacuum(rel);
}
