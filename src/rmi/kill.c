/*-------------------------------------------------------------------------
 *
 * kill.c
 *	  Removing entries of rows that are dead to everybody, without VACUUM.
 *
 * There are no hints on pages for others to act upon.  Who finds out that rows
 * are dead removes their entries himself, if they are enough to be worth a
 * record:
 *
 * - a scan, when it leaves a leaf (kill_prior_tuple);
 * - a unique check, which looks at every row of a key;
 * - an insert of another version of a row whose key is the same: before the leaf
 *   is merged or split it asks the table about entries of equal keys, of which most are
 *   likely versions of one row.  That is done as for nbtree's bottom-up deletion:
 *   the table looks at a few pages that promise most.
 *
 * First the queries on standbys that still see the rows are cancelled: by the
 * record itself, or, since generic WAL cancels nobody, by a record of core's before
 * it.  Relations without WAL have no standbys.
 *
 * Like nbtree's, this needs no cleanup lock.  Who has read an entry and goes
 * to the heap for it finds a dead row there; that the address is not given to
 * another row before he is done is VACUUM's duty, which goes through all
 * leaves under cleanup locks first, whatever is left on them, and lets standbys
 * do so for leaves that something has left (README, I10).
 *
 * IDENTIFICATION
 *	  src/rmi/kill.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "utils/rel.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"
#include "rmi/work.h"
#include "usage/usage.h"

/*
 * While the leaf has room the table is asked only about pages with at least so
 * many of the entries.  Generic WAL logs whole pages, so there it is asked
 * only if there are very many entries in all.
 */
#define RMI_VERSIONS_MIN	4
#define RMI_VERSIONS_GENERIC	(2 * KYRO_RUN_CAP)

typedef struct RmiKill
{
	uint64	   *tids;
	int			n;
	RmiGaps		gaps;
} RmiKill;

static int
tid_cmp(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

static bool
is_killed(void *arg, uint64_t tid)
{
	RmiKill    *k = (RmiKill *) arg;
	bool		gone = bsearch(&tid, k->tids, k->n, sizeof(uint64), tid_cmp) != NULL;

	rmi_gaps_note(&k->gaps, gone);
	return gone;
}

/*
 * Must standbys be told which snapshots still see the rows whose entries go?
 * That is in the record that removes them, or in one before it.
 */
static inline bool
needs_horizon(Relation index)
{
	return RelationNeedsWAL(index) && XLogStandbyInfoActive();
}

/*
 * The newest of the transactions that ended these dead rows: a snapshot on a
 * standby that takes it for running may still see one.  Invalid if standbys
 * have been told already.
 */
static TransactionId
conflict_horizon(Relation heap, Relation index, BlockNumber block, const uint64 *tids, int n)
{
	TM_IndexDeleteOp op = {.irel = index, .iblknum = block, .bottomup = false};
	TransactionId horizon;

	op.deltids = palloc(n * sizeof(TM_IndexDelete));
	op.status = palloc(n * sizeof(TM_IndexStatus));
	for (int i = 0; i < n; i++)
	{
		kyro_tid_to_pointer(tids[i], &op.deltids[i].tid);
		op.deltids[i].id = (int16) i;
		op.status[i] = (TM_IndexStatus) {.idxoffnum = FirstOffsetNumber, .knowndeletable = true};
	}
	op.ndeltids = n;
	horizon = table_index_delete_tuples(heap, &op);
	pfree(op.deltids);
	pfree(op.status);
	return horizon;
}

/* A transaction that has begun, with its epoch. */
static uint64
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint64		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return epoch << 32 | xid;
}

/* Sort, and drop repeats; returns how many are left of n > 0. */
static int
sort_tids(uint64 *tids, int n)
{
	int			kept = 1;

	qsort(tids, n, sizeof(uint64), tid_cmp);
	for (int i = 1; i < n; i++)
	{
		if (tids[i] != tids[kept - 1])
			tids[kept++] = tids[i];
	}
	return kept;
}

/*
 * Remove the entries with these tids from the exclusively locked leaf.  horizon: as
 * conflict_horizon() has it, if that was found out already.  Returns the number
 * removed; none if the leaf would have to be split for it.
 */
static int
remove_entries(Relation heap, Relation index, RmiCarrier carrier, Buffer buf,
			   uint64 *tids, int n, const TransactionId *horizon)
{
	static RmiKill k;
	RmiWork    *w = rmi_work();
	RmiOp		op = {.kind = RMI_OP_DELETE, .gaps = &k.gaps, .image = w->leaf};
	RmiChange	c;
	int			removed;
	int			live;

	k.tids = tids;
	k.n = sort_tids(tids, n);
	rmi_gaps_init(&k.gaps);
	removed = leaf_vacuum(BufferGetPage(buf), w->leaf, is_killed, &k, &live, w->scratch);
	if (removed <= 0)
		return 0;
	rmi_leaf_finish(w->leaf);
	if (needs_horizon(index))
	{
		op.horizon = horizon != NULL ? *horizon :
			conflict_horizon(heap, index, BufferGetBlockNumber(buf), k.tids, k.n);
		op.catalog = kyro_is_catalog(heap);
		if (carrier == RMI_CARRIER_GENERIC && TransactionIdIsNormal(op.horizon))
			(void) kyro_log_conflict(heap, full_xid(op.horizon));
	}
	rmi_change_begin(&c, index, carrier);
	rmi_change_apply(&c, buf, &op);
	DEBUG_CRASH("rmi-kill-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-kill-logged");
	usage_index(RelationGetRelid(index))->removed += removed;
	return removed;
}

/* Can this server remove entries of the index?  What cannot be logged is left alone, without an error. */
static inline bool
can_remove(Relation index, RmiCarrier carrier)
{
	return rmi_carrier_works(carrier) || !RelationNeedsWAL(index);
}

/*
 * Ask the table which of these n > 0 rows, in the order of their tids, are dead, and remove the
 * entries of those from the exclusively locked leaf, which has them all.  The
 * table looks at those pages first that have many, at a few at most, and no
 * further when it has found so many as are wanted, or a page with none.  Returns
 * the number removed.
 */
static int
remove_if_dead(Relation heap, Relation index, RmiCarrier carrier, Buffer buf, uint64 *tids, int n, int wanted)
{
	TM_IndexDeleteOp op = {.irel = index, .iblknum = BufferGetBlockNumber(buf), .bottomup = true,
	.bottomupfreespace = wanted};	/* in entries */
	TransactionId horizon;
	int			dead = 0;

	op.deltids = palloc(n * sizeof(TM_IndexDelete));
	op.status = palloc(n * sizeof(TM_IndexStatus));
	for (int i = 0; i < n; i++)
	{
		kyro_tid_to_pointer(tids[i], &op.deltids[i].tid);
		op.deltids[i].id = (int16) i;
		op.status[i] = (TM_IndexStatus) {.idxoffnum = FirstOffsetNumber, .promising = true, .freespace = 1};
	}
	op.ndeltids = n;
	horizon = table_index_delete_tuples(heap, &op);
	for (int i = 0; i < op.ndeltids; i++)
	{
		if (op.status[op.deltids[i].id].knowndeletable)
			tids[dead++] = kyro_tid_from_pointer(&op.deltids[i].tid);
	}
	pfree(op.deltids);
	pfree(op.status);
	return dead == 0 ? 0 : remove_entries(heap, index, carrier, buf, tids, dead, &horizon);
}

/* ---- scans ---- */

/* Of these sorted tids those that are on the leaf, to the front; returns how many. */
static int
keep_present(Page page, uint64 *tids, int n)
{
	LeafCursor *cursor = palloc(sizeof(LeafCursor));
	bool	   *present = palloc0(n * sizeof(bool));
	KyroEntry	e;
	int			kept = 0;

	leaf_cursor_init(cursor, page);
	leaf_cursor_first(cursor);
	while (leaf_cursor_next(cursor, &e))
	{
		uint64	   *at = bsearch(&e.tid, tids, n, sizeof(uint64), tid_cmp);

		if (at != NULL)
			present[at - tids] = true;
	}
	for (int i = 0; i < n && !cursor->corrupt; i++)
	{
		if (present[i])
			tids[kept++] = tids[i];
	}
	pfree(present);
	pfree(cursor);
	return kept;
}

void
rmi_kill(Relation heap, Relation index, BlockNumber block, KyroFence low,
		 bool pinned, XLogRecPtr lsn, uint64 *tids, int n)
{
	RmiDir	   *dir = rmi_dir(index);
	RmiCarrier	carrier = rmi_dir_carrier(dir);
	Buffer		buf;
	Page		page;

	if (!can_remove(index, carrier) || !rmi_block_exists(index, block))
		return;
	buf = ReadBuffer(index, block);
	if (!ConditionalLockBuffer(buf))
	{
		ReleaseBuffer(buf);
		return;
	}
	page = BufferGetPage(buf);
	if (rmi_page_is(page, rmi_dir_index_id(dir), block, RMI_PAGE_LEAF) && leaf_header_ok(page) &&
		rmi_leaf_sum_ok(buf) && kyro_fence_cmp(leaf_low(page), low) == 0)
	{
		if (pinned || (RelationNeedsWAL(index) && PageGetLSN(page) == lsn))
			(void) remove_entries(heap, index, carrier, buf, tids, n, NULL);
		else
		{
			/*
			 * VACUUM may have come by, and the rows' addresses be those of
			 * others
			 */
			n = keep_present(page, tids, sort_tids(tids, n));
			if (n > 0)
				(void) remove_if_dead(heap, index, carrier, buf, tids, n, n);
		}
	}
	UnlockReleaseBuffer(buf);
}

/* ---- unique checks ---- */

void
rmi_kill_locked(Relation heap, Relation index, RmiCarrier carrier, Buffer buf, uint64 *tids, int n)
{
	if (can_remove(index, carrier))
		(void) remove_entries(heap, index, carrier, buf, tids, n, NULL);
}

/* ---- versions ---- */

/* Entries that the table is to be asked about. */
typedef struct RmiVersions
{
	int			n;
	int			size;			/* allocated */
	uint64	   *tids;
} RmiVersions;

static void
note_version(RmiVersions *v, uint64 tid)
{
	/* damaged entries must not lead to other blocks than those of the table */
	if (!kyro_tid_ok(tid))
		return;
	if (v->n == v->size)
	{
		v->size *= 4;
		v->tids = repalloc(v->tids, v->size * sizeof(uint64));
	}
	v->tids[v->n++] = tid;
}

/*
 * Note the entries of a leaf whose key another entry has, too.  of_run: only
 * keys that are in the insert run.
 */
static void
collect_versions(Page page, bool of_run, RmiVersions *v)
{
	LeafCursor *cursor = palloc(sizeof(LeafCursor));
	KyroEntry	last = {0, 0};
	KyroEntry	e;
	bool		first = true;
	bool		noted = false;	/* `last` was noted, so all entries of its key
								 * are wanted */
	int			r = 0;

	leaf_cursor_init(cursor, page);
	leaf_cursor_first(cursor);
	while (leaf_cursor_next(cursor, &e))
	{
		if (first || e.key != last.key)
			noted = false;
		else
		{
			while (r < cursor->nrun && cursor->run[r].key < e.key)
				r++;
			if (!of_run || (r < cursor->nrun && cursor->run[r].key == e.key))
			{
				if (!noted)
					note_version(v, last.tid);
				note_version(v, e.tid);
				noted = true;
			}
		}
		first = false;
		last = e;
	}
	/* damage is for others to report */
	if (cursor->corrupt)
		v->n = 0;
	pfree(cursor);
}

/*
 * Drop the entries of pages of the table that have fewer than min of them.
 * They are sorted.
 */
static void
drop_scattered(RmiVersions *v, int min)
{
	int			kept = 0;

	for (int i = 0, end; i < v->n; i = end)
	{
		for (end = i + 1; end < v->n && v->tids[end] >> 16 == v->tids[i] >> 16;)
			end++;
		if (end - i < min)
			continue;
		memmove(&v->tids[kept], &v->tids[i], (end - i) * sizeof(uint64));
		kept += end - i;
	}
	v->n = kept;
}

int
rmi_kill_versions(Relation heap, Relation index, RmiCarrier carrier, Buffer buf, bool full)
{
	RmiVersions v = {.size = 256};
	int			removed = 0;

	if (!can_remove(index, carrier))
		return 0;
	v.tids = palloc(v.size * sizeof(uint64));
	collect_versions(BufferGetPage(buf), !full, &v);
	if (v.n > 0)
	{
		v.n = sort_tids(v.tids, v.n);
		if (!full)
			drop_scattered(&v, RMI_VERSIONS_MIN);
		if (!full && carrier == RMI_CARRIER_GENERIC && RelationNeedsWAL(index) && v.n < RMI_VERSIONS_GENERIC)
			v.n = 0;
	}
	/* nbtree wants a sixteenth of a page, too */
	if (v.n > 0)
		removed = remove_if_dead(heap, index, carrier, buf, v.tids, v.n,
								 full ? Max(leaf_count(BufferGetPage(buf)) / 16, KYRO_RUN_CAP) : v.n);
	pfree(v.tids);
	return removed;
}
