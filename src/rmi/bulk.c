/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  Inserting many entries at once, in order.
 *
 * For who inserts without unique checks.  Entries are sorted; those of one
 * leaf are put into a copy of it, without a lock, and the copy then replaces
 * the leaf in one record, which has the entries or, if that is shorter, the
 * leaf.  So readers meet a locked leaf only while it is replaced.
 *
 * Nobody is kept away from the leaf meanwhile: readers remove entries of dead
 * rows (kill.c), and nothing here counts on there being no writers.  If the leaf is not
 * what was copied any more, byte by byte, the entries in hand begin their
 * way again, and now the leaf stays locked while they are put into it.
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
#include "rmi/work.h"
#include "rmi/sort.h"
#include "usage/usage.h"

/*
 * Entries in hand at once.  If more belong to one leaf it is changed several
 * times.
 */
#define RMI_BULK_BATCH	4096

typedef struct RmiBulk
{
	Relation	index;
	RmiSort    *sort;
	int			n;				/* entries in hand, in order */
	RmiSortItem items[RMI_BULK_BATCH];
	char		before[BLCKSZ]; /* a copy of the leaf */
	char		leaf[BLCKSZ];	/* the same with entries put in */
	RmiEntries	entries;		/* these */
} RmiBulk;

/*
 * Begin.  memory: kB to sort in.
 */
void *
rmi_bulk_begin(Relation index, int memory)
{
	RmiBulk    *b = palloc(sizeof(RmiBulk));

	b->index = index;
	b->n = 0;
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

static inline KyroFence
fence_of(const RmiSortItem *item)
{
	return (KyroFence) {item->key, item->tid, item->isnull};
}

/* The i-th entry in hand, or the next one, which is taken in hand; NULL if there is none, or no room. */
static const RmiSortItem *
entry_at(RmiBulk *b, int i)
{
	if (i == b->n)
	{
		if (b->n == RMI_BULK_BATCH || !rmi_sort_next(b->sort, &b->items[b->n]))
			return NULL;
		b->n++;
	}
	return &b->items[i];
}

/*
 * Put into the copy as many entries as it takes without being split, in_hand:
 * only of those in hand; returns their number.
 */
static int
fill_copy(RmiBulk *b, bool in_hand)
{
	Page		leaf = b->leaf;
	bool		edge = rmi_leaf_at_edge(leaf);
	RmiWork    *w = rmi_work();
	const RmiSortItem *item;
	int			taken = 0;

	while (!(in_hand && taken == b->n) && (item = entry_at(b, taken)) != NULL &&
		   item->isnull == leaf_low(leaf).isnull &&
		   (!leaf_has_high(leaf) || kyro_fence_cmp(fence_of(item), leaf_high(leaf)) < 0) &&
		   rmi_leaf_put(leaf, (KyroEntry) {item->key, item->tid}, edge, w->leaf, w->scratch))
		taken++;
	return taken;
}

/*
 * Is the locked leaf the one that was copied?  Its LSN does not tell where
 * nothing is logged.
 */
static inline bool
is_unchanged(Page page, const char *copy)
{
	return memcmp(page, copy, leaf_lower(page)) == 0 &&
		memcmp((char *) page + leaf_upper(page), copy + leaf_upper(page), BLCKSZ - leaf_upper(page)) == 0;
}

/*
 * The change of the leaf that puts so many entries into it: they themselves, if that is
 * less to log than what the leaf has become.
 */
static RmiOp
change_of(RmiBulk *b, int n)
{
	int64		key = leaf_header_const(b->before)->low_key;

	b->entries.n = b->entries.len = 0;
	for (int i = 0; i < n && b->entries.len <= sizeof(b->entries.data); i++)
	{
		rmi_entries_add(&b->entries, key, (KyroEntry) {b->items[i].key, b->items[i].tid});
		key = b->items[i].key;
	}
	if (b->entries.len > sizeof(b->entries.data) || b->entries.len >= (uint32) (leaf_lower(b->leaf) + BLCKSZ - leaf_upper(b->leaf)))
		return (RmiOp) {.kind = RMI_OP_IMAGE, .image = b->leaf};
	return (RmiOp) {.kind = RMI_OP_INSERT, .entries = &b->entries, .image = b->leaf};
}

/*
 * Put into the leaf where the first entry in hand belongs as many as it takes
 * without being split; returns their number, or -1 if somebody has changed the
 * leaf meanwhile.  locked: nobody can, for it stays locked.
 */
static int
fill_leaf(RmiBulk *b, bool locked)
{
	Buffer		buf = rmi_descend(b->index, fence_of(&b->items[0]), false,
								  locked ? BUFFER_LOCK_EXCLUSIVE : BUFFER_LOCK_SHARE, NULL);
	RmiCarrier	carrier = rmi_dir_carrier(rmi_dir(b->index));
	int			taken;

	memcpy(b->before, BufferGetPage(buf), BLCKSZ);
	if (!locked)
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	memcpy(b->leaf, b->before, BLCKSZ);
	taken = fill_copy(b, locked);
	if (taken > 0)
	{
		RmiChange	c;
		RmiOp		op;

		op = change_of(b, taken);
		if (!locked)
		{
			DEBUG_POINT("rmi-bulk-copied");
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
			if (!is_unchanged(BufferGetPage(buf), b->before))
			{
				UnlockReleaseBuffer(buf);
				return -1;
			}
		}
		rmi_leaf_finish(b->leaf);
		rmi_change_begin(&c, b->index, carrier);
		rmi_change_apply(&c, buf, &op);
		DEBUG_CRASH("rmi-bulk-record");
		rmi_change_finish(&c);
		DEBUG_CRASH("rmi-bulk-logged");
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		usage_index(RelationGetRelid(b->index))->inserts[USAGE_INSERT_BULK] += taken;
	}
	else if (locked)
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	ReleaseBuffer(buf);
	return taken;
}

/*
 * Insert all entries, and end.
 */
void
rmi_bulk_finish(void *bulk)
{
	RmiBulk    *b = (RmiBulk *) bulk;

	rmi_sort_perform(b->sort);
	DEBUG_POINT("rmi-bulk-sorted");
	while (entry_at(b, 0) != NULL)
	{
		int			done;

		CHECK_FOR_INTERRUPTS();
		done = fill_leaf(b, false);
		if (done < 0)
			done = fill_leaf(b, true);
		if (done == 0)
		{
			/* needs a split or a new leaf */
			rmi_insert_entry(b->index, (KyroEntry) {b->items[0].key, b->items[0].tid}, b->items[0].isnull);
			done = 1;
		}
		b->n -= done;
		memmove(b->items, b->items + done, b->n * sizeof(RmiSortItem));
	}
	rmi_sort_end(b->sort);
	pfree(b);
}
