/*-------------------------------------------------------------------------
 *
 * kill.c
 *	  Removing entries whose rows a scan has found dead to everybody.
 *
 * A scan notes such entries (kill_prior_tuple), and if it has met enough of
 * them on a leaf, they are removed when it leaves the leaf: by one record
 * that first cancels the queries on standbys that still see the rows.  There
 * are no hints on pages for others to act upon.
 *
 * Like nbtree's, this needs no cleanup lock.  Who has read an entry and goes
 * to the heap for it finds a dead row there; that the address is not given to
 * another row before he is done is VACUUM's duty, which goes through all
 * leaves under cleanup locks first, whatever is left on them.
 *
 * IDENTIFICATION
 *	  src/rmi/kill.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xlog.h"
#include "utils/rel.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"

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

/* The newest transaction that may have to see one of the rows, as far as nobody has told standbys yet. */
static TransactionId
conflict_horizon(Relation heap, Relation index, BlockNumber block, const RmiKill *k)
{
	TM_IndexDeleteOp op = {.irel = index,.iblknum = block,.bottomup = false};
	TransactionId horizon;

	op.deltids = palloc(k->n * sizeof(TM_IndexDelete));
	op.status = palloc(k->n * sizeof(TM_IndexStatus));
	for (int i = 0; i < k->n; i++)
	{
		kyro_tid_to_pointer(k->tids[i], &op.deltids[i].tid);
		op.deltids[i].id = (int16) i;
		op.status[i] = (TM_IndexStatus) {.idxoffnum = FirstOffsetNumber,.knowndeletable = true};
	}
	op.ndeltids = k->n;
	horizon = table_index_delete_tuples(heap, &op);
	pfree(op.deltids);
	pfree(op.status);
	return horizon;
}

/*
 * Remove the entries with these n > 0 tids, which are sorted here, from the
 * leaf at block, which began at low when they were read from it; does nothing
 * if that is not certain to be the leaf as it was, or somebody has it locked.
 * pinned: a pin has been held since; else lsn is the leaf's of then.  No
 * locks may be held.
 */
void
rmi_kill(Relation heap, Relation index, BlockNumber block, KyroFence low,
		 bool pinned, XLogRecPtr lsn, uint64 *tids, int n)
{
	static RmiKill k;
	RmiDir	   *dir = rmi_dir(index);
	RmiCarrier	carrier = rmi_dir_carrier(dir);
	RmiWork    *w = rmi_work();
	Buffer		buf;
	Page		page;
	int			live;

	/* replay of generic WAL cancels nobody */
	if (carrier != RMI_CARRIER_OWN || !rmi_carrier_works(carrier) || !rmi_block_exists(index, block))
		return;
	buf = ReadBuffer(index, block);
	if (!ConditionalLockBuffer(buf))
	{
		ReleaseBuffer(buf);
		return;
	}
	page = BufferGetPage(buf);
	if (!rmi_page_is(page, rmi_dir_index_id(dir), block, RMI_PAGE_LEAF) || !leaf_header_ok(page) ||
		!rmi_leaf_sum_ok(buf) || kyro_fence_cmp(leaf_low(page), low) != 0 ||
		!(pinned || (RelationNeedsWAL(index) && PageGetLSN(page) == lsn)))
	{
		/* the rows' addresses may have been given to others */
		UnlockReleaseBuffer(buf);
		return;
	}

	qsort(tids, n, sizeof(uint64), tid_cmp);
	k.tids = tids;
	k.n = 1;
	for (int i = 1; i < n; i++)
	{
		if (tids[i] != tids[k.n - 1])
			tids[k.n++] = tids[i];
	}
	rmi_gaps_init(&k.gaps);
	if (leaf_vacuum(page, w->image[0], is_killed, &k, &live, w->scratch) > 0)
	{
		RmiOp		op = {.kind = RMI_OP_DELETE,.gaps = &k.gaps,.image = w->image[0]};
		RmiChange	c;

		op.horizon = conflict_horizon(heap, index, block, &k);
		op.catalog = kyro_is_catalog(heap);
		rmi_leaf_finish(w->image[0]);
		rmi_change_begin(&c, index, carrier);
		rmi_change_apply(&c, buf, &op);
		DEBUG_CRASH("rmi-kill-record");
		rmi_change_finish(&c);
		DEBUG_CRASH("rmi-kill-logged");
	}
	UnlockReleaseBuffer(buf);
}
