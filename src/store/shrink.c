/*-------------------------------------------------------------------------
 *
 * shrink.c
 *	  Which runs it pays to move so that a table's file becomes smaller.
 *
 * Two kinds:
 *
 * - Runs that waste much of their space: because rows are dead, or because the run
 *	  is small, as each run has a page of groups and a last page that is not full.
 *	  Their rows go into new runs.
 * - Runs at the end of the file, if there are enough empty log pages before them to
 *	  take their rows.  Then VACUUM cuts the file off where they began.  If there are
 *	  pages of links or ledger tuples at the end, the runs that these belong to are
 *	  moved.
 *
 * Nothing else is moved: rows of the log are for seals.
 *
 * IDENTIFICATION
 *	  src/store/shrink.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "store/store.h"

/* Runs are moved for their waste if this percentage of their pages is waste, as in kyro.health(), */
#define WASTE_PERCENT 30
/* and if all of them together become smaller by this percentage. */
#define GAIN_PERCENT 20
/* Runs are moved from the end if one in so many pages of the file is empty, */
#define EMPTY_PART 10
/* and if at least one page is cut off for so many pages that are moved. */
#define CUT_PART 4
/* Neither is done for less than this number of pages. */
#define LEAST_GAIN 8
/* Overhead of a run, in pages: a page of groups, and part of the last page. */
#define RUN_OVERHEAD 2

/* The index of an id in an array, or -1. */
static int
id_of(const uint64 *ids, int n, uint64 id)
{
	for (int i = 0; i < n; i++)
	{
		if (ids[i] == id)
			return i;
	}
	return -1;
}

/* The pages that this number of a run's rows needs. */
static double
pages_for(const StoreRun *run, uint64 rows)
{
	double		each = (double) run->bytes / Max(run->rows, 1) + sizeof(uint16);

	return Max(rows * each / (STORE_ROWS_END - STORE_ROWS_START), (double) rows / MaxHeapTuplesPerPage);
}

/* The step that moves the rows of wasteful runs, or NULL if that does not pay. */
static StoreStep *
plan_waste(Relation rel, StoreTable *table)
{
	StoreStep  *step = palloc0(sizeof(StoreStep));
	double		need = RUN_OVERHEAD;

	step->runs = palloc(Max(table->nruns, 1) * sizeof(uint64));
	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];
		BlockNumber pages = STORE_RUN_END(run) - run->first;
		uint64		touched,
					dead;
		double		live;

		if (!store_run_committed(run))
			continue;
		store_run_count(rel, table, run, &touched, &dead);
		live = pages_for(run, run->rows - Min(dead, run->rows));
		if (live * 100 > pages * (100.0 - WASTE_PERCENT) || dead == run->rows)
			continue;
		if (step->nruns == 0)
			step->from = run->first;
		step->end = STORE_RUN_END(run);
		step->runs[step->nruns++] = run->id;
		step->pages += pages;
		need += live;
	}
	step->place = STORE_ANY_PLACE;
	/* it must become smaller */
	return step->nruns > 0 && need * 100 <= step->pages * (100.0 - GAIN_PERCENT) && step->pages - need >= LEAST_GAIN ? step : NULL;
}

/*
 * Which runs do the links or ledger tuples in a block outside of runs belong to?
 * Sets behind[i] for those.  False if the block has anything else, or something of
 * a run that is not in the list.
 */
static bool
runs_behind(Relation rel, StoreTable *table, BlockNumber block, bool *behind)
{
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page = BufferGetPage(buffer);
	bool		ok = true;

	memset(behind, 0, table->nruns * sizeof(bool));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (store_page_kind(page) == STORE_LINKS)
	{
		int			i;

		for (i = 0; i < table->nruns && table->runs[i].id != StorePageGetHeader(page)->run; i++)
			;
		ok = i < table->nruns;
		if (ok)
			behind[i] = true;
	}
	else
		ok = store_page_is_heap(page);
	for (OffsetNumber offset = FirstOffsetNumber; ok && !store_page_is_ours(page) && offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		HeapTupleHeader t;
		uint32		length;
		ItemPointerData row;
		StoreRun   *run = NULL;

		if (!ItemIdIsUsed(PageGetItemId(page, offset)))
			continue;
		if (store_log_tuple(page, offset, &t, &length) && t != NULL && store_ledger_tag(t, &row))
			run = store_find_run(table, ItemPointerGetBlockNumberNoCheck(&row));
		ok = run != NULL;
		if (ok)
			behind[run - table->runs] = true;
	}
	UnlockReleaseBuffer(buffer);
	return ok;
}

/* A plan of what is to be moved from the end of the file. */
typedef struct Tail
{
	StoreTable *table;
	bool	   *planned;		/* of each run: it is moved by some step */
	List	   *steps;
	uint64		batch;			/* rows of a batch */
	uint64		rows;			/* of the last step */
	BlockNumber moved;			/* pages to be moved */
	BlockNumber empty;			/* empty pages of the file */
} Tail;

/* Plan to move a run to somewhere before a block; false if that is not possible. */
static bool
plan_run(Tail *tail, int i, BlockNumber before)
{
	StoreRun   *run = &tail->table->runs[i];
	BlockNumber pages = STORE_RUN_END(run) - run->first;
	StoreStep  *step;

	if (tail->planned[i] || run->state == RUN_DEAD)
		return true;
	if (!store_run_committed(run) || tail->moved + pages + RUN_OVERHEAD > tail->empty)
		return false;
	if (tail->steps == NIL || tail->rows + run->rows > tail->batch)
	{
		step = palloc0(sizeof(StoreStep));
		step->runs = palloc(tail->table->nruns * sizeof(uint64));
		step->from = run->first;
		step->end = STORE_RUN_END(run);
		tail->steps = lappend(tail->steps, step);
		tail->rows = 0;
	}
	/* several small runs are moved in one step, into one run */
	step = llast(tail->steps);
	step->runs[step->nruns++] = run->id;
	step->from = Min(step->from, run->first);
	step->end = Max(step->end, STORE_RUN_END(run));
	step->pages += pages;
	step->place = (StorePlace) {before, false};
	tail->rows += run->rows;
	tail->planned[i] = true;
	tail->moved += pages;
	return true;
}

/* The steps that move runs from the end of the file; NIL if that does not pay. */
static List *
plan_tail(Relation rel, StoreTable *table, const StoreStep *waste, uint64 batch)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber end = store_tail(rel);
	Tail		tail = {.table = table, .batch = batch, .empty = store_space_count(rel, end)};
	bool	   *behind = palloc(table->nruns * sizeof(bool));
	int			pays = 0;

	if (tail.empty < nblocks / EMPTY_PART || tail.empty < LEAST_GAIN)
		return NIL;
	tail.planned = palloc0(table->nruns * sizeof(bool));
	for (int i = 0; waste != NULL && i < table->nruns; i++)
		tail.planned[i] = id_of(waste->runs, waste->nruns, table->runs[i].id) >= 0;
	while (end > 1)
	{
		int			i = store_first_run_ending_after(table, end - 1);
		bool		ok = true;

		CHECK_FOR_INTERRUPTS();
		if (i < table->nruns && table->runs[i].first < end)
		{
			ok = plan_run(&tail, i, table->runs[i].first);
			end = table->runs[i].first;
		}
		else
		{
			end--;
			ok = runs_behind(rel, table, end, behind);
			for (i = 0; ok && i < table->nruns; i++)
				ok = !behind[i] || plan_run(&tail, i, end);
		}
		if (!ok)
			break;
		if (nblocks - end >= tail.moved / CUT_PART)
			pays = list_length(tail.steps);
	}
	return list_truncate(tail.steps, pays);
}

List *
store_shrink_plan(Relation rel, uint64 batch)
{
	StoreTable *table = store_open(rel);
	StoreStep  *waste;
	List	   *steps;

	if (table->nruns == 0)
		return NIL;
	waste = plan_waste(rel, table);
	steps = plan_tail(rel, table, waste, batch);
	return waste == NULL ? steps : lcons(waste, steps);
}
