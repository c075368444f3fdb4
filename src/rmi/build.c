/*-------------------------------------------------------------------------
 *
 * build.c
 *	  CREATE INDEX and REINDEX.
 *
 * The heap is scanned once, its entries are sorted into (isnull, key, tid),
 * both shared with parallel workers, if any (build_parallel.c), and leaves are
 * written from left to right, each with the insert reserve its fillfactor asks
 * for.  The directory is trained at the end.  Leaves are not logged one by one:
 * when all are written, their pages go to WAL in bulk (or not at all, where the
 * relation's file is synced at commit instead).
 *
 * IDENTIFICATION
 *	  src/rmi/build.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "guc.h"
#include "preload.h"
#include "rmi/build.h"
#include "rmi/directory.h"
#include "rmi/kyro_rmi.h"
#include "rmi/work.h"

static RmiAfterBuild after_build = NULL;

void
rmi_set_after_build(RmiAfterBuild function)
{
	after_build = function;
}

/* Entries given to leaf_build() at a time: a full page and the next one's start. */
#define RMI_BUILD_AHEAD	(2 * KYRO_LEAF_CAP)

typedef struct RmiBuild
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	RmiKeyType	type;
	uint32		index_id;
	uint8		reserve;
	RmiSort    *sort;
	RmiFenceList leaves;

	/* writing */
	KyroEntry  *ahead;			/* entries not on a page yet */
	size_t		nahead;
	Buffer		buf;			/* the leaf being filled, pinned */
	bool		done_first;		/* the leaf before the first entry is open */
	KyroEntry	last;			/* on the leaves so far, of this nullness */
	bool		any;			/* of them */
	uint64		written;
} RmiBuild;

char *
rmi_buildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case RMI_PHASE_SCAN:
			return "scanning table";
		case RMI_PHASE_SORT:
			return "sorting";
		case RMI_PHASE_WRITE:
			return "writing leaves";
		case RMI_PHASE_TRAIN:
			return "training model";
		default:
			return NULL;
	}
}

/* ---- writing leaves ---- */

/*
 * Append an empty leaf, to be the one that is filled; its blocks are
 * consecutive.  Leaves are locked only while they change, though nobody else
 * looks at them: cancels do not get through while a page is locked.
 */
static void
build_open_leaf(RmiBuild *b, KyroFence low)
{
	BlockNumber left = BufferIsValid(b->buf) ? BufferGetBlockNumber(b->buf) : KYRO_NO_BLOCK;
	Buffer		buf = ReadBuffer(b->index, P_NEW);
	BlockNumber block = BufferGetBlockNumber(buf);

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	rmi_leaf_page_init(BufferGetPage(buf), b->index_id, block, low, left, KYRO_NO_BLOCK, b->reserve);
	MarkBufferDirty(buf);
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (BufferIsValid(b->buf))
	{
		Page		page = BufferGetPage(b->buf);

		LockBuffer(b->buf, BUFFER_LOCK_EXCLUSIVE);
		leaf_header(page)->right = block;
		leaf_set_high(page, low);
		rmi_leaf_finish(page);
		MarkBufferDirty(b->buf);
		UnlockReleaseBuffer(b->buf);
	}
	b->buf = buf;
	rmi_fences_add(&b->leaves, low, block);
}

/* Write leaves until less than a page's worth of entries is left, or all if last. */
static void
build_flush(RmiBuild *b, bool isnull, bool last)
{
	size_t		done = 0;

	while (b->nahead - done >= (last ? 1 : KYRO_LEAF_CAP))
	{
		Page		page;
		size_t		n;

		/* the leaf at hand is the empty first one, or full */
		if (b->done_first)
		{
			KyroFence	low;

			if (b->any)
			{
				low = leaf_cut(b->last, b->ahead[done]);
				low.isnull = isnull;
			}
			else
				low = (KyroFence) {0, 0, true}; /* the first NULL */
			build_open_leaf(b, low);
		}
		b->done_first = true;
		page = BufferGetPage(b->buf);
		LockBuffer(b->buf, BUFFER_LOCK_EXCLUSIVE);
		n = leaf_build(page, b->ahead + done, b->nahead - done, rmi_work()->scratch);
		if (n == 0)
			elog(ERROR, "kyro_rmi: no entry fits an empty leaf");
		rmi_leaf_finish(page);
		MarkBufferDirty(b->buf);
		LockBuffer(b->buf, BUFFER_LOCK_UNLOCK);
		done += n;
		b->last = b->ahead[done - 1];
		b->any = true;
		b->written += n;
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, b->written);
		CHECK_FOR_INTERRUPTS();
	}
	b->nahead -= done;
	memmove(b->ahead, b->ahead + done, b->nahead * sizeof(KyroEntry));
}

static void
build_duplicate(RmiBuild *b, const RmiSortItem *it)
{
	Datum		value = rmi_datum_from_key(b->type, it->key);
	bool		isnull = it->isnull;
	char	   *key = BuildIndexValueDescription(b->index, &value, &isnull);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("could not create unique index \"%s\"", RelationGetRelationName(b->index)),
			 key ? errdetail("Key %s is duplicated.", key) : errdetail("Duplicate keys exist."),
			 errtableconstraint(b->heap, RelationGetRelationName(b->index))));
}

static void
build_leaves(RmiBuild *b)
{
	RmiSortItem it,
				prev = {0};
	bool		have_prev = false;	/* prev is the last entry that is alive */
	bool		nulls = false;

	b->ahead = palloc_extended(RMI_BUILD_AHEAD * sizeof(KyroEntry), MCXT_ALLOC_HUGE);
	build_open_leaf(b, KYRO_FENCE_MIN);

	while (rmi_sort_next(b->sort, &it))
	{
		/*
		 * dead rows (recently deleted ones, still visible to some) do not
		 * count
		 */
		if (b->info->ii_Unique && it.alive)
		{
			if (have_prev && prev.isnull == it.isnull && prev.key == it.key &&
				(!it.isnull || b->info->ii_NullsNotDistinct))
				build_duplicate(b, &it);
			prev = it;
			have_prev = true;
		}
		if (it.isnull && !nulls)
		{
			/*
			 * NULLs have leaves of their own; even without keys there is a
			 * leaf for keys
			 */
			build_flush(b, false, true);
			nulls = true;
			b->any = false;
			b->done_first = true;
		}
		b->ahead[b->nahead++] = (KyroEntry) {it.key, it.tid};
		if (b->nahead == RMI_BUILD_AHEAD)
			build_flush(b, nulls, false);
	}
	build_flush(b, nulls, true);
	ReleaseBuffer(b->buf);
	b->buf = InvalidBuffer;
	pfree(b->ahead);
}

/* ---- entry points ---- */

static void
build_check(Relation heap, Relation index, IndexInfo *info)
{
	(void) rmi_key_type(index);

	if (index->rd_indoption[0] & (INDOPTION_DESC | INDOPTION_NULLS_FIRST))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"kyro_rmi\" does not support %s",
						index->rd_indoption[0] & INDOPTION_DESC ? "DESC" : "NULLS FIRST"),
				 errhint("An index in ascending order with NULLs last also serves ORDER BY ... DESC, by a backward scan.")));

	if (KYRO_UPSERT_WANTS_BTREE && info->ii_Unique && !kyro_preloaded())
		ereport(WARNING,
				(errmsg("the first INSERT ... ON CONFLICT of a session may fail on this table"),
				 errdetail("Unique kyro_rmi indexes need the library \"kyrodb\" to be loaded before such a command starts."),
				 errhint("Add kyrodb to session_preload_libraries or shared_preload_libraries.")));
}

/* Once a session: what an index costs whose changes are logged page by page, if nobody has wished that. */
static void
tell_of_generic_wal(Relation index)
{
	static bool told = false;

	if (told || index->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT || !kyro_resource_manager ||
		rmi_carrier_works(RMI_CARRIER_OWN))
		return;
	told = true;
	ereport(NOTICE,
			(errmsg("inserts into kyro_rmi indexes cost several times as much as into a btree on this server"),
			 errdetail("Their changes are logged by generic WAL, since the library \"kyrodb\" was not loaded when the server started."),
			 errhint("Add kyrodb to shared_preload_libraries and restart the server, or set kyro.resource_manager to off if that is what you want.")));
}

/* Fill in a meta page. */
static void
meta_page_init(Page page, uint32 index_id, RmiKeyType type, int fillfactor)
{
	RmiMetaData m;

	rmi_page_init(page, index_id, RMI_META_BLOCK, RMI_PAGE_META);
	memset(&m, 0, sizeof(m));
	m.magic = KYRO_RMI_META_MAGIC;
	m.version = KYRO_RMI_META_VERSION;
	m.index_id = index_id;
	m.carrier = rmi_carrier_wanted();
	m.key_type = type;
	m.fillfactor = fillfactor;
	m.dir_root = m.model_first = m.log_first = m.log_last = InvalidBlockNumber;
	rmi_meta_to_page(page, &m);
}

static uint32
new_index_id(void)
{
	uint32		id;

	do
	{
		id = pg_prng_uint32(&pg_global_prng_state);
	} while (id == 0);
	return id;
}

IndexBuildResult *
rmi_build(Relation heap, Relation index, IndexInfo *info)
{
	RmiBuild	b = {.heap = heap, .index = index, .info = info, .buf = InvalidBuffer};
	IndexBuildResult *result;
	RmiParallelBuild *parallel;
	RmiTraining training = {.why = ReindexIsProcessingIndex(RelationGetRelid(index)) ? RMI_WHY_REINDEX : RMI_WHY_BUILD,
	.started = GetCurrentTimestamp()};
	Buffer		metabuf;
	RmiMetaData meta;
	double		heap_tuples;
	uint64		entries;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	build_check(heap, index, info);
	tell_of_generic_wal(index);

	/* a truncated table builds its index anew in the same file */
	rmi_dir_forget(index);

	b.type = rmi_key_type(index);
	b.index_id = new_index_id();
	b.reserve = rmi_reserve(RmiGetFillFactor(index));
	rmi_fences_init(&b.leaves);

	metabuf = ReadBuffer(index, P_NEW);
	Assert(BufferGetBlockNumber(metabuf) == RMI_META_BLOCK);
	LockBuffer(metabuf, BUFFER_LOCK_EXCLUSIVE);
	meta_page_init(BufferGetPage(metabuf), b.index_id, b.type, RmiGetFillFactor(index));
	MarkBufferDirty(metabuf);
	UnlockReleaseBuffer(metabuf);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, RMI_PHASE_SCAN);
	parallel = rmi_parallel_build_begin(heap, index, info);
	if (parallel != NULL)
		heap_tuples = rmi_parallel_build_scan(parallel, heap, index, info, &b.sort);
	else
	{
		b.sort = rmi_sort_begin(maintenance_work_mem);
		heap_tuples = rmi_build_scan(heap, index, info, b.sort, NULL, true);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, RMI_PHASE_SORT);
		rmi_sort_perform(b.sort);
	}
	entries = rmi_sort_count(b.sort);
	DEBUG_POINT("rmi-build-sorted");

	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, entries);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, RMI_PHASE_WRITE);
	build_leaves(&b);
	rmi_sort_end(b.sort);
	if (parallel != NULL)
		rmi_parallel_build_end(parallel);
	DEBUG_POINT("rmi-build-written");

	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);

	DEBUG_POINT("rmi-build-logged");

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, RMI_PHASE_TRAIN);
	rmi_read_meta(index, &meta);
	training.entries = entries;
	rmi_directory_write(index, &b.leaves, &meta, &training);
	rmi_meta_set_tuples(index, entries);
	rmi_dir_forget(index);
	if (after_build != NULL)
		after_build(heap, index, info);

	result = palloc(sizeof(IndexBuildResult));
	result->heap_tuples = heap_tuples;
	result->index_tuples = entries;
	return result;
}

/*
 * ambuildempty: the init fork of an unlogged index, an index without entries
 * and without directory.  Logged as whole pages, since generic WAL would skip
 * an unlogged relation, and written at once.
 */
void
rmi_buildempty(Relation index)
{
	Page		page = (Page) kyro_palloc_pages(1);
	uint32		index_id = new_index_id();
	SMgrRelation smgr = RelationGetSmgr(index);

	meta_page_init(page, index_id, rmi_key_type(index), RmiGetFillFactor(index));
	PageSetChecksumInplace(page, RMI_META_BLOCK);
	smgrextend(smgr, INIT_FORKNUM, RMI_META_BLOCK, (char *) page, true);
	log_newpage(&kyro_smgr_locator(smgr), INIT_FORKNUM, RMI_META_BLOCK, page, true);

	rmi_leaf_page_init(page, index_id, RMI_FIRST_LEAF, KYRO_FENCE_MIN, KYRO_NO_BLOCK,
					   KYRO_NO_BLOCK, rmi_reserve(RmiGetFillFactor(index)));
	PageSetChecksumInplace(page, RMI_FIRST_LEAF);
	smgrextend(smgr, INIT_FORKNUM, RMI_FIRST_LEAF, (char *) page, true);
	log_newpage(&kyro_smgr_locator(smgr), INIT_FORKNUM, RMI_FIRST_LEAF, page, true);

	/*
	 * the log may be gone before the next checkpoint: see index_build's
	 * callers
	 */
	smgrimmedsync(smgr, INIT_FORKNUM);
	pfree(page);
}
