/*-------------------------------------------------------------------------
 *
 * trim.c
 *	  Cutting off what seals that failed have left at the end of the file.
 *
 * A seal that fails before its run is in the list leaves pages that belong to
 * no run; one that fails later leaves a run of an aborted transaction, which
 * stays in the list until VACUUM has removed its entries from all indexes.
 * Were seals to fail again and again, for want of space or by a timeout, the
 * table would grow each time.  So VACUUM and the next seal cut off what of it
 * lies at the end of the file, as core's VACUUM does with empty pages: if the
 * exclusive lock that this takes can be had at once.
 *
 * A run whose rows were touched stays: ledger tuples may still name it.
 *
 * IDENTIFICATION
 *	  src/store/trim.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/storage.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

#include "debug_point.h"
#include "store/store.h"

/* A page that is in no run: does nobody need it? */
static bool
is_orphan(Relation rel, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page = BufferGetPage(buffer);
	StorePageKind kind;
	bool		is_new;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	is_new = PageIsNew(page);
	kind = store_page_kind(page);
	UnlockReleaseBuffer(buffer);
	return is_new || kind == STORE_ROWS || kind == STORE_GROUPS;
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
find_end(Relation rel, StoreTable *table)
{
	BlockNumber end = RelationGetNumberOfBlocks(rel);
	int			nruns = table->nruns;

	while (end > 1)
	{
		StoreRun   *run = nruns > 0 ? &table->runs[nruns - 1] : NULL;

		CHECK_FOR_INTERRUPTS();
		if (run != NULL && end <= STORE_RUN_END(run))
		{
			if (run->state != RUN_CLEAN || run_touched(rel, run))
				break;
			end = run->first;
			nruns--;
		}
		else if (is_orphan(rel, end - 1))
			end--;
		else
			break;
	}
	return end;
}

/*
 * Cut off what failed seals left at the end of the file.  The caller holds a
 * lock on the table that excludes changes of the list, and calls store_open()
 * again afterwards.  Does nothing if anybody else uses the table.
 */
void
store_trim(Relation rel)
{
	StoreTable *table = store_open(rel);
	BlockNumber end;

	/* a look without the lock: nearly always there is nothing */
	if (table->incarnation == 0 || find_end(rel, table) == RelationGetNumberOfBlocks(rel) ||
		!ConditionalLockRelation(rel, AccessExclusiveLock))
		return;
	end = find_end(rel, table);
	if (end < RelationGetNumberOfBlocks(rel))
	{
		/* first the list: pages that no run has are harmless, a run without pages is not */
		store_list_cut(rel, end);
		DEBUG_POINT("trim-listed");
		RelationTruncate(rel, end);
	}
	UnlockRelation(rel, AccessExclusiveLock);
}
