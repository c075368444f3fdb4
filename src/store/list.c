/*-------------------------------------------------------------------------
 *
 * list.c
 *	  The list of runs: block 0 of the table and its continuations.
 *
 * It is changed by seals, loads and VACUUM, whose locks on the table exclude one
 * another: there is one writer at a time.  Readers take the share lock of the page.
 * Each change is one generic WAL record, of one page, or of two when a continuation
 * is added.  Readers compare the generation on block 0, so that is changed last, by
 * a record of its own.
 *
 * IDENTIFICATION
 *	  src/store/list.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "debug_point.h"
#include "store/store.h"

void
store_list_init(Page page, BlockNumber block, uint64 incarnation)
{
	StoreList  *list;

	store_page_init(page, STORE_LIST, incarnation);
	list = StorePageGetList(page);
	list->generation = 1;
	list->next = InvalidBlockNumber;
	list->h.hash = store_page_hash(page, block);
}

uint64
store_random_id(void)
{
	uint64		id;

	do
	{
		if (!pg_strong_random(&id, sizeof(id)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random number")));
	} while (id == 0);
	return id;
}

void
store_list_create(const KyroLocator *locator, KyroBackend backend, ForkNumber fork, char persistence)
{
	SMgrRelation smgr = smgropen(*locator, backend);
	KyroPage	page;

	store_list_init(page.data, 0, store_random_id());
	if (fork == INIT_FORKNUM || (persistence == RELPERSISTENCE_PERMANENT && XLogIsNeeded()))
		log_newpage((KyroLocator *) locator, fork, 0, page.data, true);
	PageSetChecksumInplace(page.data, 0);
	smgrextend(smgr, fork, 0, page.data, persistence == RELPERSISTENCE_TEMP);
	if (persistence != RELPERSISTENCE_TEMP)
		smgrimmedsync(smgr, fork);
	smgrclose(smgr);
}

void
store_list_recreate(Relation rel)
{
	uint64		incarnation = store_random_id();
	bool		local = RelationUsesLocalBuffers(rel);
	Buffer		buffer;

	if (!local)
		LockRelationForExtension(rel, ExclusiveLock);
	if (RelationGetNumberOfBlocks(rel) > 0)
	{
		if (!local)
			UnlockRelationForExtension(rel, ExclusiveLock);
		return;
	}
	buffer = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	START_CRIT_SECTION();
	store_list_init(BufferGetPage(buffer), 0, incarnation);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(rel))
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
	if (!local)
		UnlockRelationForExtension(rel, ExclusiveLock);
}

/* Pin and lock a page of the list, and check it. */
static Buffer
list_read(Relation rel, BlockNumber block, int lockmode)
{
	Buffer		buffer = ReadBuffer(rel, block);
	const char *problem;

	LockBuffer(buffer, lockmode);
	problem = store_list_problem(BufferGetPage(buffer), block);
	if (problem != NULL)
		store_corrupt(rel, block, problem);
	return buffer;
}

void
store_list_stamp(Relation rel, bool may_be_empty, uint64 *incarnation, uint64 *generation)
{
	Buffer		buffer;
	Page		page;
	bool		heap;

	*incarnation = *generation = 0;
	if (may_be_empty && RelationGetNumberOfBlocks(rel) == 0)
	{
		if (rel->rd_rel->relpages > 0)
			store_corrupt(rel, 0, "file is empty");
		return;
	}
	buffer = ReadBuffer(rel, 0);
	page = BufferGetPage(buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (likely(store_page_kind(page) == STORE_LIST))
	{
		*incarnation = StorePageGetHeader(page)->run;
		*generation = StorePageGetList(page)->generation;
		UnlockReleaseBuffer(buffer);
		return;
	}
	heap = store_page_is_heap(page);
	UnlockReleaseBuffer(buffer);
	if (!heap)
		store_corrupt(rel, 0, "page is not a run list");
}

static int
run_compare(const void *a, const void *b)
{
	const StoreRun *x = *(StoreRun *const *) a;
	const StoreRun *y = *(StoreRun *const *) b;

	return x->first < y->first ? -1 : x->first > y->first;
}

bool
store_has_blocks(Relation rel, BlockNumber n, BlockNumber *nblocks)
{
	if (n > *nblocks)
		*nblocks = RelationGetNumberOfBlocks(rel);
	return n <= *nblocks;
}

/*
 * Forget what is known of the pages of runs that are not in the list any more: they
 * were cut off, or VACUUM made log pages of them.  order: the runs of the list, by
 * first block.
 */
static void
forget_gone_runs(StoreTable *table, StoreRun *const *order, int n)
{
	bool		any = false;
	int			at = 0;

	for (int i = 0; i < table->nruns; i++)
	{
		StoreRun   *run = &table->runs[i];

		while (at < n && order[at]->first < run->first)
			at++;
		if (at < n && order[at]->id == run->id)
			continue;
		store_map_unverify(table, run->first, STORE_RUN_END(run));
		any = true;
	}
	if (any)
		store_links_forget(table);
}

/* Does a list begin with the runs of the backend's copy? */
static bool
continues_copy(const StoreTable *table, StoreRun *const *order, int n)
{
	if (n < table->nruns || n > table->max_runs)
		return false;
	for (int i = 0; i < table->nruns; i++)
	{
		if (order[i]->id != table->runs[i].id || order[i]->first != table->runs[i].first)
			return false;
	}
	return true;
}

/* Allocate a new copy of the list, for n runs; scans of ours may still point to the old one. */
static void
replace_copy(StoreTable *table, int n)
{
	int			max = n + n / 2 + 2;
	StoreRun   *runs = MemoryContextAlloc(table->cxt, max * (sizeof(StoreRun) + sizeof(BlockNumber)));

	if (table->runs)
	{
		MemoryContext old = MemoryContextSwitchTo(table->cxt);

		table->retired = lappend(table->retired, table->runs);
		MemoryContextSwitchTo(old);
	}
	table->runs = runs;
	table->list_block = (BlockNumber *) (runs + max);
	table->max_runs = max;
	table->nruns = 0;
}

void
store_list_none(StoreTable *table)
{
	if (table->runs == NULL || table->nruns > 0)
		replace_copy(table, 0);
	table->last = 0;
	table->list_room = InvalidBlockNumber;
	table->seal_from = 0;
	table->generation = 0;
}

void
store_list_load(Relation rel, StoreTable *table)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber block = 0;
	BlockNumber hops = 0;
	BlockNumber room = InvalidBlockNumber;
	BlockNumber seal_from = 0;
	uint64		generation = 0;
	int			n = 0,
				size = 16;
	StoreRun   *runs = palloc(size * sizeof(StoreRun));
	BlockNumber *blocks = palloc(size * sizeof(BlockNumber));
	StoreRun  **order;

	DEBUG_POINT("list-load");
	while (block != InvalidBlockNumber)
	{
		Buffer		buffer;
		StoreList  *list;

		if (!store_has_blocks(rel, block + 1, &nblocks) || hops++ > nblocks)
			store_corrupt(rel, 0, "run list does not end");
		buffer = list_read(rel, block, BUFFER_LOCK_SHARE);
		list = StorePageGetList(BufferGetPage(buffer));
		if (block == 0)
		{
			generation = list->generation;
			seal_from = list->seal_from;
		}
		for (int i = 0; i < list->h.count; i++)
		{
			if (n == size)
			{
				size *= 2;
				runs = repalloc(runs, size * sizeof(StoreRun));
				blocks = repalloc(blocks, size * sizeof(BlockNumber));
			}
			blocks[n] = block;
			runs[n++] = list->runs[i];
		}
		if (room == InvalidBlockNumber && (list->h.count < STORE_RUNS_PER_PAGE || list->next == InvalidBlockNumber))
			room = block;
		block = list->next;
		UnlockReleaseBuffer(buffer);
	}

	/* check everything first, so that an error leaves the copy as it is */
	order = palloc(Max(n, 1) * sizeof(StoreRun *));
	for (int i = 0; i < n; i++)
		order[i] = &runs[i];
	qsort(order, n, sizeof(StoreRun *), run_compare);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && order[i]->first < STORE_RUN_END(order[i - 1]))
			store_corrupt(rel, blocks[order[i] - runs], "runs overlap");
		if (!store_has_blocks(rel, STORE_RUN_END(order[i]), &nblocks))
			store_corrupt(rel, blocks[order[i] - runs], "run beyond the end of the table");
	}
	if (table->runs == NULL || !continues_copy(table, order, n))
	{
		forget_gone_runs(table, order, n);
		replace_copy(table, n);
	}
	for (int i = 0; i < n; i++)
	{
		uint16		known = i < table->nruns ? table->runs[i].state : RUN_IN_DOUBT;

		table->runs[i] = *order[i];
		/* keep the state that was looked up in clog before */
		if (table->runs[i].state == RUN_IN_DOUBT)
			table->runs[i].state = known;
		table->list_block[i] = blocks[order[i] - runs];
	}
	pfree(order);
	pfree(runs);
	pfree(blocks);
	table->nruns = n;
	table->last = 0;
	table->list_room = room;
	table->seal_from = seal_from;
	table->generation = generation;
}

/* Increase the generation, and if seal_from is not NULL, set that of block 0. */
static void
list_bump(Relation rel, const BlockNumber *seal_from)
{
	Buffer		buffer = list_read(rel, 0, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *state = GenericXLogStart(rel);
	Page		page = GenericXLogRegisterBuffer(state, buffer, 0);

	StorePageGetList(page)->generation++;
	if (seal_from != NULL)
		StorePageGetList(page)->seal_from = *seal_from;
	StorePageGetHeader(page)->hash = store_page_hash(page, 0);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
}

void
store_list_add(Relation rel, BlockNumber room, const StoreRun *run, BlockNumber seal_from)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber block = room;
	BlockNumber hops = 0;
	Buffer		buffer,
				more = InvalidBuffer;
	BlockNumber more_block = InvalidBlockNumber;
	GenericXLogState *state;
	StoreList  *list;
	Page		page;

	for (;;)
	{
		if (block >= nblocks || hops++ > nblocks)
			store_corrupt(rel, 0, "run list does not end");
		buffer = list_read(rel, block, BUFFER_LOCK_EXCLUSIVE);
		list = StorePageGetList(BufferGetPage(buffer));
		if (list->h.count < STORE_RUNS_PER_PAGE)
			break;
		if (list->next == InvalidBlockNumber)
		{
			if (!RelationUsesLocalBuffers(rel))
				LockRelationForExtension(rel, ExclusiveLock);
			more = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);
			if (!RelationUsesLocalBuffers(rel))
				UnlockRelationForExtension(rel, ExclusiveLock);
			more_block = BufferGetBlockNumber(more);
			break;
		}
		block = list->next;
		UnlockReleaseBuffer(buffer);
	}

	state = GenericXLogStart(rel);
	page = GenericXLogRegisterBuffer(state, buffer, 0);
	list = StorePageGetList(page);
	if (BufferIsValid(more))
	{
		uint64		incarnation = list->h.run;

		list->next = more_block;
		list->h.hash = store_page_hash(page, block);
		page = GenericXLogRegisterBuffer(state, more, GENERIC_XLOG_FULL_IMAGE);
		store_list_init(page, more_block, incarnation);
		list = StorePageGetList(page);
		block = more_block;
	}
	list->runs[list->h.count++] = *run;
	list->h.hash = store_page_hash(page, block);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(more))
		UnlockReleaseBuffer(more);
	list_bump(rel, &seal_from);
}

void
store_list_set_seal_from(Relation rel, BlockNumber seal_from)
{
	list_bump(rel, &seal_from);
}

typedef enum ListChange
{
	LIST_KEEP,
	LIST_CHANGED,
	LIST_DROP
} ListChange;

/*
 * Call change() for a copy of each run of the list, and write back or remove the run
 * by what it returns.  The caller holds a lock that excludes other changes of the
 * list.
 */
static void
list_change(Relation rel, ListChange (*change) (StoreRun *run, void *arg), void *arg)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber block = 0;
	BlockNumber hops = 0;
	bool		changed = false;
	uint64		incarnation,
				generation;

	store_list_stamp(rel, true, &incarnation, &generation);
	if (incarnation == 0)
		return;					/* all log */
	while (block != InvalidBlockNumber)
	{
		Buffer		buffer;
		StoreList  *list;
		GenericXLogState *state = NULL;

		if (block >= nblocks || hops++ > nblocks)
			store_corrupt(rel, 0, "run list does not end");
		buffer = list_read(rel, block, BUFFER_LOCK_EXCLUSIVE);
		list = StorePageGetList(BufferGetPage(buffer));
		for (int i = 0; i < list->h.count; i++)
		{
			StoreRun	run = list->runs[i];
			ListChange	what = change(&run, arg);

			if (what == LIST_KEEP)
				continue;
			if (state == NULL)
			{
				state = GenericXLogStart(rel);
				list = StorePageGetList(GenericXLogRegisterBuffer(state, buffer, 0));
			}
			if (what == LIST_DROP)
			{
				/*
				 * the last run of the page takes its place, and is looked at
				 * next
				 */
				list->runs[i--] = list->runs[--list->h.count];
				memset(&list->runs[list->h.count], 0, sizeof(StoreRun));
			}
			else
				list->runs[i] = run;
		}
		if (state != NULL)
		{
			list->h.hash = store_page_hash((char *) list - SizeOfPageHeaderData, block);
			GenericXLogFinish(state);
			changed = true;
		}
		block = StorePageGetList(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
	}
	if (changed)
		list_bump(rel, NULL);
}

static ListChange
resolve(StoreRun *run, void *arg)
{
	TransactionId xid = (TransactionId) run->fxid;

	if (run->state != RUN_IN_DOUBT || run->fxid == 0 || TransactionIdIsInProgress(xid))
		return LIST_KEEP;
	run->state = TransactionIdDidCommit(xid) ? RUN_COMMITTED : RUN_ABORTED;
	return LIST_CHANGED;
}

/*
 * No index has entries of an aborted run any more, and no link leads there.  But
 * somebody may have read a link to a run that rows were to be moved to, so that is
 * dead, and waits for its date.
 */
static ListChange
clean(StoreRun *run, void *arg)
{
	if (run->state != RUN_ABORTED)
		return LIST_KEEP;
	if (run->flags & STORE_RUN_MOVED)
	{
		run->state = RUN_DEAD;
		run->fxid = 0;
	}
	else
		run->state = RUN_CLEAN;
	return LIST_CHANGED;
}

static ListChange
date(StoreRun *run, void *fxid)
{
	if (run->state != RUN_DEAD || run->fxid != 0)
		return LIST_KEEP;
	run->fxid = *(uint64 *) fxid;
	return LIST_CHANGED;
}

static ListChange
cut(StoreRun *run, void *end)
{
	return run->first >= *(BlockNumber *) end ? LIST_DROP : LIST_KEEP;
}

void
store_list_resolve(Relation rel)
{
	list_change(rel, resolve, NULL);
}

void
store_list_clean(Relation rel)
{
	list_change(rel, clean, NULL);
}

void
store_list_cut(Relation rel, BlockNumber end)
{
	list_change(rel, cut, &end);
}

typedef struct Ids
{
	const uint64 *ids;
	int			n;
} Ids;

static int
id_compare(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

static bool
is_among(const StoreRun *run, const Ids *ids)
{
	return bsearch(&run->id, ids->ids, ids->n, sizeof(uint64), id_compare) != NULL;
}

static ListChange
drop(StoreRun *run, void *ids)
{
	return is_among(run, (Ids *) ids) ? LIST_DROP : LIST_KEEP;
}

static ListChange
retire(StoreRun *run, void *ids)
{
	if (!is_among(run, (Ids *) ids))
		return LIST_KEEP;
	run->state = RUN_DEAD;
	run->fxid = 0;
	return LIST_CHANGED;
}

void
store_list_drop(Relation rel, uint64 *ids, int n)
{
	Ids			arg = {ids, n};

	qsort(ids, n, sizeof(uint64), id_compare);
	list_change(rel, drop, &arg);
}

void
store_list_retire(Relation rel, uint64 *ids, int n)
{
	Ids			arg = {ids, n};

	qsort(ids, n, sizeof(uint64), id_compare);
	list_change(rel, retire, &arg);
}

void
store_list_date(Relation rel)
{
	uint64		fxid = U64FromFullTransactionId(ReadNextFullTransactionId());

	/* that one is ours, most often: no date must wait for others to use it up */
	(void) GetCurrentTransactionId();
	list_change(rel, date, &fxid);
}
