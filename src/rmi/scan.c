/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Index scans: amgettuple, amgetbitmap, marks.
 *
 * A scan wants the entries of a few disjoint intervals, in order.  It reads
 * one leaf at a time: the matches of single keys and short ranges are decoded
 * under the page's share lock, those of many such intervals together; for
 * anything longer the page is copied and decoded lazily from the private copy,
 * so that ORDER BY id LIMIT 1 pays for one block of a page of thousands.
 *
 * Going right, the next page must begin at the high fence remembered; if it
 * does not (it was deleted, or reused), the scan descends to that fence.
 * Going left, it goes to the page that owns what comes right before the low
 * fence remembered and takes only entries below that fence, since the left
 * page may have taken over the one it came from.
 *
 * The pin is dropped with the lock if the scan wants no index tuples, its
 * snapshot is an MVCC one, and a change of the leaf would change its LSN, which
 * tells whether found dead entries may be removed.  Otherwise it is kept until the page is left:
 * VACUUM takes a cleanup lock on every leaf, so a tid from a pinned page
 * cannot be reused meanwhile (I8).
 *
 * IDENTIFICATION
 *	  src/rmi/scan.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relscan.h"
#include "catalog/pg_class.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "portability/instr_time.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"

#include "debug_point.h"
#include "guc.h"
#include "rmi/kyro_rmi.h"
#include "rmi/chain.h"
#include "usage/usage.h"

/* Matches of one key, or of a range, that are decoded under the lock; more: copy the page. */
#define RMI_POINT_MAX	64
#define RMI_FEW_MAX		512

/* Intervals of which the entries are decoded under one lock. */
#define RMI_FEW_INTERVALS	64

/* Above every tid of a key. */
#define RMI_TID_END		(KYRO_TID_MAX + 1)

typedef enum RmiSource
{
	RMI_SOURCE_NONE,			/* no leaf at hand */
	RMI_SOURCE_FEW,				/* few[]: all of a few intervals on this leaf */
	RMI_SOURCE_PAGE				/* page[] and cursor */
} RmiSource;

/* Where a scan stands, enough to go on from there. */
typedef struct RmiPosition
{
	bool		started;
	bool		has_last;		/* an entry was returned */
	int			interval;
	ScanDirection dir;			/* of the last call */
	KyroFence	last;			/* the entry returned last */
} RmiPosition;

typedef struct RmiScanOpaque
{
	RmiKeyType	type;
	RmiQuals	quals;
	RmiPosition at;
	UsageIndex *usage;			/* where to count what the scan does */
	bool		marked;
	RmiPosition mark;
	uint64		mark_load;		/* the leaf that was at hand then */

	/* the leaf at hand */
	RmiSource	source;
	uint64		load;			/* number of this load */
	Buffer		pin;			/* or InvalidBuffer */
	BlockNumber block;
	BlockNumber left;
	BlockNumber right;
	bool		isnull;			/* a page of NULLs */
	bool		has_high;
	KyroFence	low;
	KyroFence	high;

	int			nfew;			/* RMI_SOURCE_FEW */
	int			few_first;		/* the intervals that few[] is of */
	int			few_last;
	int			fewpos;			/* the gap: entries before it */
	bool		before;			/* the leaf has entries before few[], or
								 * behind */
	bool		after;

	IndexTuple	tuple;			/* for index-only scans, filled in per row */
	IndexTuple	null_tuple;

	XLogRecPtr	lsn;			/* of the leaf when it was read */
	int			nkills;			/* its entries of dead rows */
	int			kills_size;		/* allocated */
	uint64	   *kills;

	int			soon_for;		/* of this interval the leaf has been looked
								 * up, or -1 */
	bool		soon_forward;	/* where it begins, or where it ends */
	RmiLanding	soon;

	bool		ahead;			/* next_in_block() may go on */
	int64		ahead_of;		/* with keys below this one */

	KyroEntry	few[RMI_FEW_MAX];
	KyroEntry	entry;			/* RMI_SOURCE_PAGE */
	LeafCursor	cursor;
	PGAlignedBlock page;
} RmiScanOpaque;

IndexScanDesc
rmi_beginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	RmiScanOpaque *so = palloc(sizeof(RmiScanOpaque));

	memset(so, 0, offsetof(RmiScanOpaque, few));
	so->type = rmi_key_type(index);
	so->usage = usage_index(RelationGetRelid(index));
	so->pin = InvalidBuffer;
	so->soon_for = -1;

	/* made here, in the scan's own context, where growing it leaves it */
	so->quals.size = 4;
	so->quals.iv = palloc(so->quals.size * sizeof(RmiInterval));
	scan->opaque = so;
	scan->xs_itupdesc = RelationGetDescr(index);
	return scan;
}

static void
leave_page(IndexScanDesc scan)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;

	if (unlikely(so->nkills > 0))
	{
		if (so->nkills >= RMI_KILLS_MIN)
			rmi_kill(scan->heapRelation, scan->indexRelation, so->block, so->low,
					 BufferIsValid(so->pin), so->lsn, so->kills, so->nkills);
		so->nkills = 0;
	}
	if (BufferIsValid(so->pin))
	{
		ReleaseBuffer(so->pin);
		so->pin = InvalidBuffer;
	}
	so->source = RMI_SOURCE_NONE;
	so->ahead = false;
}

void
rmi_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;

	leave_page(scan);
	so->at.started = so->at.has_last = false;
	so->marked = false;
	so->soon_for = -1;
	if (keys && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	rmi_quals_set(&so->quals, scan->indexRelation, so->type, scan->keyData, scan->numberOfKeys);
}

void
rmi_endscan(IndexScanDesc scan)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;

	leave_page(scan);
	if (so->tuple)
		pfree(so->tuple);
	if (so->null_tuple)
		pfree(so->null_tuple);
	if (so->kills)
		pfree(so->kills);
	pfree(so->quals.iv);
	pfree(so);
}

/* ---- intervals ---- */

static inline KyroFence
interval_begin(const RmiInterval *iv)
{
	return (KyroFence) {iv->lo, 0, iv->lo_null};
}

/* Exclusive. */
static inline KyroFence
interval_end(const RmiInterval *iv)
{
	return (KyroFence) {iv->hi, RMI_TID_END, iv->hi_null};
}

/* Does this interval go on beyond the leaf at hand? */
static inline bool
reaches_past(const RmiScanOpaque *so, const RmiInterval *iv, bool forward)
{
	return forward ?
		so->has_high && kyro_fence_cmp(so->high, interval_end(iv)) < 0 :
		kyro_fence_cmp(so->low, interval_begin(iv)) > 0;
}

/* Does the one that the scan is in? */
static inline bool
goes_on(const RmiScanOpaque *so, bool forward)
{
	return reaches_past(so, &so->quals.iv[so->at.interval], forward);
}

/* Does this interval, which comes after those on the leaf at hand, begin (backwards: end) on it? */
static inline bool
begins_here(const RmiScanOpaque *so, const RmiInterval *iv, bool forward)
{
	return forward ?
		!so->has_high || kyro_fence_cmp(interval_begin(iv), so->high) < 0 :
		kyro_fence_cmp(interval_end(iv), so->low) > 0;
}

/* The last interval, in this direction, that the leaf at hand has been read for. */
static inline int
last_here(const RmiScanOpaque *so, bool forward)
{
	return so->source != RMI_SOURCE_FEW ? so->at.interval : forward ? so->few_last : so->few_first;
}

/* The interval in which this entry lies; the entry is of one. */
static int
interval_of(const RmiScanOpaque *so, KyroFence entry)
{
	int			lo = 0;
	int			hi = so->quals.n - 1;

	while (lo < hi)
	{
		int			mid = lo + (hi - lo) / 2;

		if (kyro_fence_cmp(entry, interval_end(&so->quals.iv[mid])) < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* ---- loading a leaf ---- */

static int
entry_cmp(const void *a, const void *b)
{
	return kyro_entry_cmp(*(const KyroEntry *) a, *(const KyroEntry *) b);
}

/*
 * Decode the entries of an interval, if they are at most max and on this leaf,
 * which is locked; else -1.  Not if the interval has one end only: such scans
 * often end after a few rows.  look_up: the leaf was looked up for the
 * interval, count that.
 */
static pg_attribute_always_inline int
find_few(IndexScanDesc scan, Page page, const RmiInterval *iv, KyroEntry *e, int max, bool look_up)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	int			n;

	if (iv->lo_null || iv->hi_null)
		return -1;
	if (iv->lo == iv->hi)
	{
		uint64		tids[RMI_POINT_MAX];
		LeafProbe	probe pg_attribute_unused();

		max = Min(max, RMI_POINT_MAX);
		n = leaf_find(page, iv->lo, tids, max, USAGE_PROBE(&probe));
		if (look_up && n >= 0)
			usage_count_key(so->usage, probe.found - probe.predicted, probe.probes);
		for (int i = 0; i < n && n <= max; i++)
			e[i] = (KyroEntry) {iv->lo, tids[i]};
		so->before = so->after = true;	/* found by looking for this very key */
	}
	else if (iv->lo == INT64_MIN || iv->hi == INT64_MAX || reaches_past(so, iv, true) || reaches_past(so, iv, false))
		return -1;
	else
		n = leaf_find_range(page, iv->lo, iv->hi, e, max, &so->before, &so->after);
	if (unlikely(n < 0))
		rmi_corrupt(scan->indexRelation, so->block, "a block of the leaf is not valid");
	return n <= max ? n : -1;
}

/*
 * Behind the entries of the current interval, decode into few[] those of the next intervals
 * in this direction that begin on the leaf, which is locked.
 */
static pg_noinline void
load_more(IndexScanDesc scan, Page page, bool forward)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	int			begin = so->at.interval;
	int			end = begin;
	int			step = forward ? 1 : -1;

	for (int i = begin + step; i >= 0 && i < so->quals.n; i += step)
	{
		int			k;

		if (abs(i - begin) == RMI_FEW_INTERVALS || !begins_here(so, &so->quals.iv[i], forward))
			break;
		k = find_few(scan, page, &so->quals.iv[i], so->few + so->nfew, RMI_FEW_MAX - so->nfew, false);
		if (k < 0)
			break;
		so->nfew += k;
		end = i;
	}

	/*
	 * what was found from the last interval to the first is the wrong way
	 * round
	 */
	if (end < begin)
		qsort(so->few, so->nfew, sizeof(KyroEntry), entry_cmp);
	so->few_first = Min(begin, end);
	so->few_last = Max(begin, end);
	if (end != begin)
		so->before = so->after = false; /* only the first was looked up */
}

/*
 * Decode all entries of the interval into few[], if they are few and on this
 * leaf, which is locked; then those of other intervals.
 */
static inline bool
load_few(IndexScanDesc scan, Page page, bool forward, bool look_up)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	int			n;

	if (so->isnull)
		return false;
	n = find_few(scan, page, &so->quals.iv[so->at.interval], so->few, RMI_FEW_MAX, look_up);
	if (n < 0)
		return false;
	so->nfew = n;
	so->few_first = so->few_last = so->at.interval;
	if (so->quals.n > 1)
		load_more(scan, page, forward);
	return true;
}

/*
 * Take what the scan needs from a locked leaf and give back the lock (and the
 * pin, if it may go).
 */
static inline void
load_leaf(IndexScanDesc scan, Buffer buf, bool forward, bool look_up)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	Page		page = BufferGetPage(buf);
	const LeafHeader *h = leaf_header_const(page);

	Assert(so->source == RMI_SOURCE_NONE);
	if (scan->xs_snapshot != NULL)
		kyro_check_old_snapshot(scan->xs_snapshot, scan->indexRelation, page);

	so->load++;
	so->lsn = PageGetLSN(page);
	so->block = BufferGetBlockNumber(buf);
	so->left = h->left;
	so->right = h->right;
	so->low = leaf_low(page);
	so->isnull = so->low.isnull;
	so->has_high = leaf_has_high(page);
	if (so->has_high)
		so->high = leaf_high(page);

	if (load_few(scan, page, forward, look_up))
		so->source = RMI_SOURCE_FEW;
	else
	{
		uint16		lower = leaf_lower(page);
		uint16		upper = leaf_upper(page);

		memcpy(so->page.data, page, lower);
		memcpy(so->page.data + upper, (char *) page + upper, BLCKSZ - upper);
		leaf_cursor_init(&so->cursor, so->page.data);
		so->source = RMI_SOURCE_PAGE;
	}

	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (scan->xs_want_itup || scan->xs_snapshot == NULL || !IsMVCCSnapshot(scan->xs_snapshot) ||
		!RelationNeedsWAL(scan->indexRelation))
		so->pin = buf;
	else
		ReleaseBuffer(buf);
}

/* How many of few[] come before this place; after: it, too. */
static int
few_before(const RmiScanOpaque *so, KyroFence to, bool after)
{
	int			lo = 0;
	int			hi = so->nfew;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;
		KyroFence	f = {so->few[mid].key, so->few[mid].tid, false};

		if (kyro_fence_cmp(f, to) >= (after ? 1 : 0))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Put the gap before the first entry at or after this place (which may lie off the page). */
static void
seek_end(RmiScanOpaque *so, KyroFence to, bool after)
{
	if (so->source == RMI_SOURCE_FEW)
		so->fewpos = few_before(so, to, after);
	else if (to.isnull != so->isnull)
	{
		if (to.isnull)
			leaf_cursor_last(&so->cursor);
		else
			leaf_cursor_first(&so->cursor);
	}
	else if (to.tid > KYRO_TID_MAX)
		leaf_cursor_seek(&so->cursor, (KyroEntry) {to.key, KYRO_TID_MAX}, true);
	else
		leaf_cursor_seek(&so->cursor, (KyroEntry) {to.key, to.tid}, after);
}

/* Step over one entry of the leaf at hand and return it; NULL: there is none. */
static inline const KyroEntry *
step_leaf(IndexScanDesc scan, bool forward)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;

	if (so->source == RMI_SOURCE_FEW)
	{
		if (forward ? so->fewpos >= so->nfew : so->fewpos <= 0)
			return NULL;
		return &so->few[forward ? so->fewpos++ : --so->fewpos];
	}
	if (forward ? leaf_cursor_next(&so->cursor, &so->entry) : leaf_cursor_prev(&so->cursor, &so->entry))
		return &so->entry;
	if (unlikely(so->cursor.corrupt))
		rmi_corrupt(scan->indexRelation, so->block, "a block of the leaf is not valid");
	return NULL;
}

/* Look up the leaf where the current interval begins or, backwards, ends. */
static inline void
look_up(IndexScanDesc scan, KyroFence to, bool forward)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	Buffer		buf;

	usage_count_lookup(so->usage);
	if (so->soon_for == so->at.interval && so->soon_forward == forward)
		buf = rmi_descend_from(scan->indexRelation, to, !forward, BUFFER_LOCK_SHARE, &so->soon);
	else
		buf = rmi_descend(scan->indexRelation, to, !forward, BUFFER_LOCK_SHARE, NULL);
	load_leaf(scan, buf, forward, true);
}

/*
 * Have the leaf of the next interval on its way while the executor is busy with
 * this one's rows.
 */
static inline void
look_ahead(IndexScanDesc scan, bool forward)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	int			next = last_here(so, forward) + (forward ? 1 : -1);

	so->soon_for = -1;
	if (next < 0 || next >= so->quals.n || scan->parallel_scan != NULL)
		return;
	if (rmi_prefetch_leaf(scan->indexRelation,
						  forward ? interval_begin(&so->quals.iv[next]) : interval_end(&so->quals.iv[next]), !forward, &so->soon))
	{
		so->soon_for = next;
		so->soon_forward = forward;
	}
}

/* The same, and time it if it is one of the sample. */
static pg_noinline void
look_up_timed(IndexScanDesc scan, KyroFence to, bool forward)
{
	bool		timed = kyro_sample_rate >= 1 || pg_prng_double(&pg_global_prng_state) < kyro_sample_rate;
	instr_time	began;
	instr_time	took;

	INSTR_TIME_SET_CURRENT(began);
	look_up(scan, to, forward);
	if (timed)
	{
		INSTR_TIME_SET_CURRENT(took);
		INSTR_TIME_SUBTRACT(took, began);
		usage_time(RelationGetRelid(scan->indexRelation), (uint64) (INSTR_TIME_GET_DOUBLE(took) * 1e9));
	}
}

/* Go to the leaf where the current interval begins, in this direction. */
static void
start_interval(IndexScanDesc scan, bool forward)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	const RmiInterval *iv = &so->quals.iv[so->at.interval];
	KyroFence	to = forward ? interval_begin(iv) : interval_end(iv);

	CHECK_FOR_INTERRUPTS();

	/* often the leaf at hand */
	if (so->source == RMI_SOURCE_PAGE &&
		(forward ?
		 kyro_fence_cmp(so->low, to) <= 0 && (!so->has_high || kyro_fence_cmp(to, so->high) < 0) :
		 kyro_fence_cmp(so->low, to) < 0 && (!so->has_high || kyro_fence_cmp(to, so->high) <= 0)))
	{
		seek_end(so, to, false);
		return;
	}
	leave_page(scan);
	kyro_count_search(scan);
	DEBUG_POINT("rmi-scan-start");
	if (unlikely(kyro_sampling))
		look_up_timed(scan, to, forward);
	else
		look_up(scan, to, forward);
	seek_end(so, to, false);
	if (so->quals.n > 1)
		look_ahead(scan, forward);
}

/* ---- damaged fences ---- */

/*
 * Raise if another leaf, which is locked, claims a part of the range of the
 * leaf at hand: one of the two has a damaged fence, and entries between them
 * would be missed.  The leaf at hand may have changed since it was read, and
 * then all is well.  If it has not, that can be seen without a lock: were the
 * index sound, it would have changed before the other came to its range.
 */
static void
check_overlap(IndexScanDesc scan, uint32 index_id, Buffer other)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	Page		page = BufferGetPage(other);
	Buffer		buf;
	bool		same;

	if (BufferGetBlockNumber(other) == so->block ||
		(so->has_high && kyro_fence_cmp(leaf_low(page), so->high) >= 0) ||
		(leaf_has_high(page) && kyro_fence_cmp(leaf_high(page), so->low) <= 0))
		return;
	buf = ReadBuffer(scan->indexRelation, so->block);
	page = BufferGetPage(buf);
	same = rmi_page_is(page, index_id, so->block, RMI_PAGE_LEAF);
	pg_read_barrier();
	same = same && kyro_fence_cmp(leaf_low(page), so->low) == 0 &&
		leaf_has_high(page) == so->has_high &&
		(!so->has_high || kyro_fence_cmp(leaf_high(page), so->high) == 0);
	ReleaseBuffer(buf);
	if (same)
		rmi_corrupt(scan->indexRelation, so->block,
					psprintf("the leaf claims a range that block %u has, too", BufferGetBlockNumber(other)));
}

/*
 * The scan ends on the leaf at hand, since that claims to reach to the end of
 * the interval, although no entry behind the end was met.  If the directory
 * knows another leaf there, ask that one.
 */
static void
check_end(IndexScanDesc scan, bool forward, KyroFence end)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	Relation	index = scan->indexRelation;
	RmiDir	   *dir = rmi_dir(index);
	RmiLanding	l;
	Buffer		buf;

	rmi_dir_peek(index, dir, end, forward, &l);
	if (likely(l.block == so->block))
		return;
	buf = rmi_descend(index, end, forward, BUFFER_LOCK_SHARE, NULL);
	check_overlap(scan, rmi_dir_index_id(rmi_dir(index)), buf);
	UnlockReleaseBuffer(buf);
}

/* ---- from leaf to leaf ---- */

/*
 * Go to the leaf that begins at a fence or, backwards, owns what comes right
 * before it; most likely it is at block.
 */
static void
next_leaf(IndexScanDesc scan, bool forward, KyroFence bound, BlockNumber block)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	Relation	index = scan->indexRelation;
	uint32		index_id = rmi_dir_index_id(rmi_dir(index));
	Buffer		buf = InvalidBuffer;
	BlockNumber ahead;

	leave_page(scan);
	CHECK_FOR_INTERRUPTS();
	if (forward)
		DEBUG_POINT("rmi-scan-next");
	else
		DEBUG_POINT("rmi-scan-prev");
	if (block != KYRO_NO_BLOCK && rmi_block_exists(index, block))
	{
		Page		page;
		bool		good;

		buf = ReadBuffer(index, block);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buf);
		good = rmi_page_is(page, index_id, block, RMI_PAGE_LEAF) && leaf_header_ok(page);
		if (good && forward)
			good = kyro_fence_cmp(leaf_low(page), bound) == 0 &&
				(!leaf_has_high(page) || kyro_fence_cmp(leaf_high(page), bound) > 0);
		else if (good)
			good = kyro_fence_cmp(leaf_low(page), bound) < 0 &&
				leaf_has_high(page) && kyro_fence_cmp(leaf_high(page), bound) >= 0;
		if (good)
			rmi_check_leaf(index, index_id, buf);
		if (rmi_page_is(page, index_id, block, RMI_PAGE_LEAF))
			check_overlap(scan, index_id, buf);
		if (!good)
		{
			UnlockReleaseBuffer(buf);
			buf = InvalidBuffer;
		}
	}
	if (!BufferIsValid(buf))
	{
		buf = rmi_descend(index, bound, !forward, BUFFER_LOCK_SHARE, NULL);
		check_overlap(scan, index_id, buf);
	}
	load_leaf(scan, buf, forward, false);

	/*
	 * A scan of two leaves is likely one of many, and splits scatter them. In
	 * a parallel scan the next process reads the next leaf at once.
	 */
	ahead = forward ? so->right : so->left;
	if (scan->parallel_scan == NULL && goes_on(so, forward) && ahead != KYRO_NO_BLOCK &&
		rmi_block_exists(index, ahead) && get_tablespace_io_concurrency(index->rd_rel->reltablespace) > 0)
		PrefetchBuffer(index, MAIN_FORKNUM, ahead);
	seek_end(so, bound, false);
}

/*
 * Load the next leaf of a parallel scan that nobody else has; false if there
 * is none.
 */
static bool
next_share(IndexScanDesc scan, bool forward)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	RmiPlace	place = {.interval = forward ? 0 : so->quals.n - 1};

	if (!rmi_parallel_seize(scan, &place, &place))
		return false;
	so->at.interval = place.interval;
	if (place.inside)
		next_leaf(scan, forward, place.bound, place.block);
	else
		start_interval(scan, forward);

	so->at.interval = place.interval = last_here(so, forward);
	place.inside = goes_on(so, forward);
	if (place.inside)
	{
		place.bound = forward ? so->high : so->low;
		place.block = forward ? so->right : so->left;
	}
	else
		place.interval += forward ? 1 : -1;
	rmi_parallel_release(scan, place.interval >= 0 && place.interval < so->quals.n ? &place : NULL);
	return true;
}

/* ---- the scan ---- */

/* Go to the next entry, so->at.last; false if there is none. */
static bool
next_entry(IndexScanDesc scan, ScanDirection dir)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	bool		forward = ScanDirectionIsForward(dir);

	if (so->quals.n == 0)
		return false;

	if (!so->at.started)
	{
		pgstat_count_index_scan(scan->indexRelation);
		so->at.started = true;
		so->at.has_last = false;
		so->at.interval = forward ? 0 : so->quals.n - 1;
		if (scan->parallel_scan == NULL)
			start_interval(scan, forward);
		else if (!next_share(scan, forward))
			goto end;
	}
	else if (so->source == RMI_SOURCE_NONE)
	{
		/* a mark was restored: find the leaf of its entry again */
		so->at.interval = interval_of(so, so->at.last);
		load_leaf(scan, rmi_descend(scan->indexRelation, so->at.last, false, BUFFER_LOCK_SHARE, NULL), forward, false);
		seek_end(so, so->at.last, forward);
	}
	else if (so->at.has_last && forward != ScanDirectionIsForward(so->at.dir))
	{
		/* turned round: the entry returned last is on the other side now */
		seek_end(so, so->at.last, forward);
	}
	so->at.dir = dir;

	for (;;)
	{
		const KyroEntry *e = step_leaf(scan, forward);
		const RmiInterval *iv;

		if (e == NULL)
			so->at.interval = last_here(so, forward);
		iv = &so->quals.iv[so->at.interval];
		if (e != NULL)
		{
			KyroFence	at = {e->key, e->tid, so->isnull};

			if (so->source == RMI_SOURCE_FEW ||
				(forward ? kyro_fence_cmp(at, interval_end(iv)) < 0 :
				 kyro_fence_cmp(at, interval_begin(iv)) >= 0))
			{
				if (unlikely(!kyro_tid_ok(at.tid)))
					rmi_corrupt(scan->indexRelation, so->block, "the row address of an entry is not valid");

				/*
				 * by fields: copying what was just written would wait for it
				 * to reach memory
				 */
				so->at.last.key = at.key;
				so->at.last.tid = at.tid;
				so->at.last.isnull = at.isnull;
				so->at.has_last = true;

				so->ahead = forward && so->source == RMI_SOURCE_PAGE;
				so->ahead_of = interval_end(iv).isnull ? PG_INT64_MAX : interval_end(iv).key;
				return true;
			}
		}
		else if (!goes_on(so, forward))
		{
			if (so->source == RMI_SOURCE_PAGE || !(forward ? so->after : so->before))
				check_end(scan, forward, forward ? interval_end(iv) : interval_begin(iv));
		}
		else if (scan->parallel_scan == NULL)
		{
			next_leaf(scan, forward, forward ? so->high : so->low, forward ? so->right : so->left);
			continue;
		}
		if (scan->parallel_scan != NULL)
		{
			if (next_share(scan, forward))
				continue;
			break;
		}

		/* this interval is done */
		so->at.interval += forward ? 1 : -1;
		if (so->at.interval < 0 || so->at.interval >= so->quals.n)
			break;
		start_interval(scan, forward);
	}

end:
	/* a call in the other direction begins here */
	leave_page(scan);
	so->at.started = so->at.has_last = false;
	return false;
}

/*
 * The index tuple of the entry returned last, in a buffer that lives as long
 * as the scan.
 */
static IndexTuple
form_tuple(IndexScanDesc scan)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	TupleDesc	desc = scan->xs_itupdesc;
	bool		isnull = so->at.last.isnull;
	Datum		value = Int64GetDatum(so->at.last.key); /* all types of keys are
														 * integers */
	IndexTuple *slot = isnull ? &so->null_tuple : &so->tuple;

	if (unlikely(*slot == NULL))
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(so));

		*slot = index_form_tuple(desc, &value, &isnull);
		MemoryContextSwitchTo(old);
	}
	if (!isnull)
		store_att_byval((char *) *slot + IndexInfoFindDataOffset(0), value, TupleDescAttr(desc, 0)->attlen);
	kyro_tid_to_pointer(so->at.last.tid, &(*slot)->t_tid);
	return *slot;
}

/* The entry returned last is one of a dead row. */
static void
note_kill(RmiScanOpaque *so)
{
	if (so->nkills == KYRO_LEAF_MAX_ENTRIES)
		return;					/* to and fro */
	if (so->nkills == so->kills_size)
	{
		int			size = Max(RMI_KILLS_MIN, so->kills_size * 4);

		so->kills = so->kills ? repalloc(so->kills, size * sizeof(uint64)) :
			MemoryContextAlloc(GetMemoryChunkContext(so), size * sizeof(uint64));
		so->kills_size = size;
	}
	so->kills[so->nkills++] = so->at.last.tid;
}

/*
 * The rest of next_entry() for most entries of a scan forward: the next one is in the
 * block that is decoded, with no run to merge, and its key alone says that it is in
 * the interval.  False: ask next_entry().
 */
static inline bool
next_in_block(RmiScanOpaque *so, ScanDirection dir)
{
	LeafCursor *c = &so->cursor;
	KyroEntry	e;

	if (!so->ahead || dir != so->at.dir || c->pos >= c->nitems || c->runpos != c->nrun)
		return false;
	e = c->items[c->pos];
	if (e.key >= so->ahead_of || !kyro_tid_ok(e.tid))
		return false;
	c->pos++;
	so->at.last.key = e.key;
	so->at.last.tid = e.tid;
	return true;
}

bool
rmi_gettuple(IndexScanDesc scan, ScanDirection dir)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;

	if (unlikely(scan->kill_prior_tuple) && so->at.has_last && so->source != RMI_SOURCE_NONE)
		note_kill(so);
	if (!next_in_block(so, dir) && !next_entry(scan, dir))
		return false;
	kyro_tid_to_pointer(so->at.last.tid, &scan->xs_heaptid);
	scan->xs_recheck = so->quals.recheck;
	if (scan->xs_want_itup)
		scan->xs_itup = form_tuple(scan);
	DEBUG_POINT("rmi-scan-tuple");
	return true;
}

int64
rmi_getbitmap(IndexScanDesc scan, TIDBitmap *tbm)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	ItemPointerData batch[256];
	int			n = 0;
	int64		total = 0;

	while (next_entry(scan, ForwardScanDirection))
	{
		uint64		tid = so->at.last.tid;

		if (unlikely((tid & 0xFFFF) > MaxHeapTuplesPerPage))
			rmi_corrupt(scan->indexRelation, so->block, "the row address of an entry is not valid");
		kyro_tid_to_pointer(tid, &batch[n++]);
		if (n == lengthof(batch))
		{
			tbm_add_tuples(tbm, batch, n, so->quals.recheck);
			total += n;
			n = 0;
		}
	}
	if (n > 0)
		tbm_add_tuples(tbm, batch, n, so->quals.recheck);
	return total + n;
}

/*
 * A mark is the entry returned last.  It needs no pin of its own: going back
 * to it, unless its leaf is still at hand, reads the leaf afresh.
 */
void
rmi_markpos(IndexScanDesc scan)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;

	so->mark = so->at;
	so->mark_load = so->load;
	so->marked = true;
}

void
rmi_restrpos(IndexScanDesc scan)
{
	RmiScanOpaque *so = (RmiScanOpaque *) scan->opaque;
	bool		same;

	if (!so->marked)
		return;
	so->ahead = false;			/* maybe another interval */
	same = so->source != RMI_SOURCE_NONE && so->load == so->mark_load;
	so->at = so->mark;
	if (!so->at.started || !so->at.has_last)
	{
		leave_page(scan);
		so->at.started = so->at.has_last = false;
	}
	else if (same)
		seek_end(so, so->at.last, ScanDirectionIsForward(so->at.dir));
	else
		leave_page(scan);
}

/*
 * Replay of generic WAL takes no cleanup lock, so that a standby cannot rely on
 * a pin to keep a tid from being reused: no index-only scans there, unless all
 * that VACUUM removes is logged by our own records.
 */
bool
rmi_canreturn(Relation index, int attno)
{
	RmiMetaData meta;

	/*
	 * from 16 on the planner asks of partitioned indexes, too, which have no
	 * storage
	 */
	if (!RecoveryInProgress() || index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		return true;
	rmi_read_meta(index, &meta);
	return meta.carrier == RMI_CARRIER_OWN;
}
