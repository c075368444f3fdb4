/*-------------------------------------------------------------------------
 *
 * trim.c
 *	  Space that nobody needs any more: of seals that failed, and at the end of the log.
 *
 * A seal that fails before its run is in the list leaves pages that belong to
 * no run; one that fails later leaves a run of an aborted transaction, which
 * stays in the list until VACUUM has removed its entries from all indexes.
 * Were seals to fail again and again, for want of space or by a timeout, the
 * table would grow each time.  So VACUUM and the next seal cut off what of it
 * lies at the end of the file, as core's VACUUM does with empty pages: if the
 * exclusive lock that this takes can be had at once.  What is left after that
 * VACUUM makes empty log pages of, for new rows.
 *
 * Readers with an older copy of the list do not look for rows in runs that were
 * rolled back, but read their pages by heap code.  One that has seen the run in
 * progress might have such a page in hand; so its transaction must be older than
 * every snapshot, on standbys too.
 *
 * A run that was rolled back and whose rows were touched stays: ledger tuples may still name it.
 *
 * A run of which no row is left that anyone sees, and that no index knows, is dead. It
 * is cut off at once at the end of the file, where the lock says that nobody reads. Elsewhere
 * its pages stay as they are until every snapshot is newer than the list that calls it
 * dead: so nobody has them in hand, mapped or not, or a link to them.  With it go its pages of links.
 *
 * VACUUM also cuts off log pages without items, as core's does and as far as that is
 * asked to, but not those that a link leads to.
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

/* The runs whose links somebody may look at. */
typedef struct RunIds
{
	int			n;
	uint64		ids[FLEXIBLE_ARRAY_MEMBER];
} RunIds;

/* Those of the list; alive: without the dead ones. */
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

/* Is it a page of links of a run that is not among these? */
static bool
links_of_others(Page page, const RunIds *runs)
{
	return store_page_kind(page) == STORE_LINKS &&
		bsearch(&StorePageGetHeader(page)->run, runs->ids, runs->n, sizeof(uint64), id_compare) == NULL;
}

/* Was a block in no run one of a run, or did it have links of one, that is not in the list? */
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

/* Is a block in no run something to cut off? */
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

/* The first of the blocks at the end of the file that nobody needs. */
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

/* Is it worth the exclusive lock?  For empty log pages if core would say so. */
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

	/* nobody has looked where links of these lead */
	for (int i = 0; i < table->nruns && log_end != InvalidBlockNumber; i++)
	{
		if (store_run_aborted(&table->runs[i]) && table->runs[i].state != RUN_DEAD && run_touched(rel, &table->runs[i]))
			log_end = InvalidBlockNumber;
	}
	/* a look without the lock: nearly always there is nothing */
	if (table->incarnation == 0 || !worth_it(rel, table, find_end(rel, table, log_end), log_end) ||
		!ConditionalLockRelation(rel, AccessExclusiveLock))
		return;
	end = find_end(rel, table, log_end);
	if (end < RelationGetNumberOfBlocks(rel))
	{
		/*
		 * first the list: pages that no run has are harmless, a run without
		 * pages is not
		 */
		store_list_cut(rel, end);
		DEBUG_POINT("trim-listed");
		RelationTruncate(rel, end);
	}
	UnlockRelation(rel, AccessExclusiveLock);
}

/*
 * Take runs out of the list that were rolled back, are in no index any more, were
 * never touched, and are older than every snapshot; and dead ones, if every snapshot is newer than
 * that.
 */
static void
drop_runs(Relation rel, StoreTable *table, TransactionId horizon)
{
	uint64	   *ids = palloc(Max(table->nruns, 1) * sizeof(uint64));
	uint64		newest = 0;
	int			n = 0;
	bool		undated = false;

	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];

		undated |= run->state == RUN_DEAD && run->fxid == 0;
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
	if (undated)
		store_list_date(rel);
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
		/* heap code has just read all that are not marked */
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
