/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  Inserting many entries at once, in order.
 *
 * For who holds a lock on the table that keeps all other writers and VACUUM
 * away, and inserts without unique checks.  Entries are sorted; those of one
 * leaf are put into a copy of it, which then replaces the leaf in one
 * record.  Readers meet a locked leaf only while it is replaced.
 *
 * IDENTIFICATION
 *	  src/rmi/bulk.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"
#include "rmi/sort.h"

typedef struct RmiBulk
{
	Relation	index;
	RmiSort    *sort;
	char		leaf[BLCKSZ];	/* the copy */
} RmiBulk;

/*
 * Begin.  memory: kB to sort in.
 */
void *
rmi_bulk_begin(Relation index, int memory)
{
	RmiBulk    *b = palloc(sizeof(RmiBulk));

	b->index = index;
	b->sort = rmi_sort_begin(Max(memory, 64));
	return b;
}

void
rmi_bulk_put(void *bulk, Datum value, bool isnull, ItemPointer tid)
{
	RmiBulk    *b = (RmiBulk *) bulk;

	rmi_sort_put(b->sort, isnull, isnull ? 0 : rmi_key_from_datum(rmi_key_type(b->index), value),
				 kyro_tid_from_pointer(tid), true);
}

/*
 * Put an entry into the copy of its leaf, without splitting it; false if that
 * cannot be.
 */
static bool
put_in_leaf(RmiBulk *b, KyroEntry e, bool edge)
{
	RmiWork    *w = rmi_work();

	if (edge && leaf_append(b->leaf, e, false))
		return true;
	switch (leaf_insert_kind(b->leaf, e, edge))
	{
		case LEAF_INS_RUN:
			return leaf_run_add(b->leaf, e, false);
		case LEAF_INS_MERGE:
			if (leaf_merge(b->leaf, w->image[0], w->scratch) != 1)
				return false;
			memcpy(b->leaf, w->image[0], BLCKSZ);
			return leaf_run_add(b->leaf, e, false);
		default:
			return false;
	}
}

static inline KyroFence
fence_of(const RmiSortItem *item)
{
	return (KyroFence) {item->key, item->tid, item->isnull};
}

/*
 * Insert all entries, and end.
 */
void
rmi_bulk_finish(void *bulk)
{
	RmiBulk    *b = (RmiBulk *) bulk;
	RmiSortItem item;
	bool		more;

	rmi_sort_perform(b->sort);
	DEBUG_POINT("rmi-bulk-sorted");
	more = rmi_sort_next(b->sort, &item);
	while (more)
	{
		Buffer		buf = rmi_descend(b->index, fence_of(&item), false, BUFFER_LOCK_SHARE, NULL);
		Page		leaf = b->leaf;
		bool		edge;
		bool		changed = false;

		CHECK_FOR_INTERRUPTS();
		memcpy(leaf, BufferGetPage(buf), BLCKSZ);
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		edge = !leaf_has_high(leaf) || (leaf_high(leaf).isnull && !leaf_low(leaf).isnull);
		while (more && item.isnull == leaf_low(leaf).isnull &&
			   (!leaf_has_high(leaf) || kyro_fence_cmp(fence_of(&item), leaf_high(leaf)) < 0) &&
			   put_in_leaf(b, (KyroEntry) {item.key, item.tid}, edge))
		{
			changed = true;
			more = rmi_sort_next(b->sort, &item);
		}
		if (changed)
		{
			RmiChange	c;

			DEBUG_POINT("rmi-bulk-copied");
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
			if (PageGetLSN(BufferGetPage(buf)) != PageGetLSN(leaf))
				elog(ERROR, "leaf %u of index \"%s\" was changed under a bulk insert",
					 BufferGetBlockNumber(buf), RelationGetRelationName(b->index));
			rmi_leaf_finish(leaf);
			rmi_change_begin(&c, b->index, rmi_dir_carrier(rmi_dir(b->index)));
			rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = leaf});
			DEBUG_CRASH("rmi-bulk-record");
			rmi_change_finish(&c);
			DEBUG_CRASH("rmi-bulk-logged");
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buf);
		if (!changed)
		{
			/* needs a split or a new leaf */
			rmi_insert_entry(b->index, (KyroEntry) {item.key, item.tid}, item.isnull);
			more = rmi_sort_next(b->sort, &item);
		}
	}
	rmi_sort_end(b->sort);
	pfree(b);
}
