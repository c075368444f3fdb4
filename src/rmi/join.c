/*-------------------------------------------------------------------------
 *
 * join.c
 *	  Joining leaves that are half empty, for VACUUM.
 *
 * VACUUM's walk shows every leaf that it has cleaned.  Neighbours are looked at
 * together, as private copies: when they hold no more than two thirds of what
 * they would as CREATE INDEX writes them, their entries are laid out anew, on
 * fewer leaves.  That is computed with nothing locked, and then brought about from
 * left to right by steps of one record each.  In a step a leaf, the owner,
 * takes over the entries of the leaves to its right
 *
 *	 - whole ones, which go, or
 *	 - of the next one the first part, so that the owner is full; the other part
 *	   goes to a new leaf, and that one goes, too.
 *
 * So no low fence changes, and no entry of a leaf that stays goes elsewhere (I1).
 * A leaf that goes is locked for cleanup, so that nobody who has read an entry there
 * is still about to use its address; on a standby it may still be pinned, and so
 * the page, which is marked, is given to others only by another record that waits
 * for such pins (README, I10).
 *
 * All leaves of a step are compared with their copies when they are locked.  If one has
 * changed meanwhile, or is pinned, they are left as they are: the next VACUUM comes by.
 *
 * New leaves are taken from free pages, of which one may have to be added to the file.
 *
 * IDENTIFICATION
 *	  src/rmi/join.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"

#include "debug_point.h"
#include "rmi/join.h"
#include "rmi/work.h"

/* Leaves looked at together. */
#define JOIN_LEAVES		16

/* Free pages remembered, those at the front of the file. */
#define JOIN_FREE		64

/* Fill is measured in 1/1024 of what CREATE INDEX puts on a leaf. */
#define FILL_ONE		1024

/* Neighbours are joined if their average fill is no larger. */
#define FILL_JOIN		(FILL_ONE * 2 / 3)

/*
 * The same for leaves that lose entries a few at a time, since they will
 * likely grow again.
 */
#define FILL_SPARSE		(FILL_ONE * 2 / 5)

/* A leaf with a larger fill is not worth beginning with. */
#define FILL_FIRST		(FILL_ONE * 7 / 8)

typedef struct JoinLeaf
{
	BlockNumber block;
	int			removed;		/* entries by this VACUUM */
	int			fill;
	PGAlignedBlock page;		/* a copy, without its LSN */
} JoinLeaf;

struct RmiJoin
{
	Relation	index;
	uint32		index_id;
	RmiCarrier	carrier;
	BufferAccessStrategy strategy;
	RmiFenceList *leaves;
	int64		gone;			/* leaves */

	int			n;				/* leaves looked at, the last n of the list */
	int			fill;			/* of them together */
	bool		seen;			/* there is another leaf at hand, which comes
								 * into the list if it stays */
	JoinLeaf   *leaf[JOIN_LEAVES + 1];

	KyroEntry  *entries;		/* of the leaves that are joined */
	uint32		entries_size;	/* allocated */
	char	   *full[JOIN_LEAVES];	/* the leaves that they become */

	bool		added;			/* the file has become longer by the one page
								 * that it may */
	int			nfree;			/* free pages, ascending */
	BlockNumber free[JOIN_FREE];
};

/* Leaves being joined. */
typedef struct Layout
{
	int			k;				/* the first k leaves at hand */
	uint32		start[JOIN_LEAVES + 1]; /* where their entries begin, and the
										 * end */
	int			nfull;			/* leaves that they become */
	uint32		end[JOIN_LEAVES];	/* where their entries end */
	KyroFence	cut[JOIN_LEAVES];	/* the high fences of all but the last */
} Layout;

/* One step. */
typedef struct Step
{
	JoinLeaf   *owner;
	JoinLeaf  **going;
	int			ngoing;
	char	   *image;			/* what the owner becomes, without links and
								 * high fence */
	char	   *rest;			/* the new leaf, likewise, or NULL */
	KyroFence	cut;			/* where the new leaf begins */
	BlockNumber block;			/* of the new leaf; do_step() sets it */
} Step;

RmiJoin *
rmi_join_begin(Relation index, uint32 index_id, RmiCarrier carrier, BufferAccessStrategy strategy,
			   RmiFenceList *leaves)
{
	RmiJoin    *j = palloc0(sizeof(RmiJoin));

	j->index = index;
	j->index_id = index_id;
	j->carrier = carrier;
	j->strategy = strategy;
	j->leaves = leaves;
	for (int i = 0; i <= JOIN_LEAVES; i++)
		j->leaf[i] = palloc(sizeof(JoinLeaf));
	return j;
}

/* ---- what is worth joining ---- */

/* The share of a leaf that so many bytes and slots are. */
static int
fill_of(int bytes, int slots, int reserve)
{
	const int	room = KYRO_PAGE_END - KYRO_LEAF_FIRST;
	int			least = leaf_least_reserve(0);
	int			asked = Min(reserve * (KYRO_PAGE_SIZE / 256), KYRO_PAGE_SIZE / 2);
	int			by_factor = bytes * FILL_ONE / (room - asked);
	int			by_slots = (bytes + leaf_least_reserve(slots) - least) * FILL_ONE / (room - least);

	return Max(by_factor, by_slots);
}

static int
fill_of_image(const void *image)
{
	const LeafHeader *h = leaf_header_const(image);

	return fill_of(h->pend - KYRO_LEAF_FIRST, h->nslot, h->reserve);
}

static void
need_entries(RmiJoin *j, uint32 n)
{
	if (n <= j->entries_size)
		return;
	j->entries_size = Max(n, 2 * j->entries_size);
	j->entries = j->entries != NULL ?
		repalloc_huge(j->entries, j->entries_size * sizeof(KyroEntry)) :
		palloc_extended(j->entries_size * sizeof(KyroEntry), MCXT_ALLOC_HUGE);
}

/*
 * Decode a leaf to entries[at]; returns their number, or -1 if they are not what they should be, which is
 * for others to report.
 */
static int
decode(RmiJoin *j, const JoinLeaf *leaf, uint32 at)
{
	const void *page = leaf->page.data;
	KyroFence	last = leaf_low(page);
	KyroEntry  *e;
	int			n;

	need_entries(j, at + KYRO_LEAF_MAX_ENTRIES);
	e = j->entries + at;
	n = leaf_decode(page, e);
	for (int i = 0; i < n; i++)
	{
		KyroFence	f = {e[i].key, e[i].tid, last.isnull};

		if (kyro_fence_cmp(f, last) < (i > 0 ? 1 : 0))
			return -1;
		last = f;
	}
	return n > 0 && leaf_has_high(page) && kyro_fence_cmp(last, leaf_high(page)) >= 0 ? -1 : n;
}

/* An empty leaf like another one, in the place of the i-th output. */
static char *
output_page(RmiJoin *j, int i, const void *like)
{
	if (j->full[i] == NULL)
		j->full[i] = palloc(BLCKSZ);
	rmi_leaf_page_init(j->full[i], j->index_id, 0, leaf_low(like), KYRO_NO_BLOCK, KYRO_NO_BLOCK,
					   leaf_header_const(like)->reserve);
	return j->full[i];
}

/*
 * What share of a leaf would the entries take?  Those of a leaf in order take what they do.  Where
 * VACUUM has left much that is dead, or that hangs on dead slots, only trying can tell.
 */
static int
estimate_fill(RmiJoin *j, const JoinLeaf *leaf)
{
	const void *page = leaf->page.data;
	LeafStats	st;
	int			fill;
	int			n;

	if (leaf_stats(page, &st) != 0)
		return 2 * FILL_ONE;	/* damage is for others to report */
	fill = fill_of(leaf_lower(page) - KYRO_LEAF_FIRST + st.run * 14, st.slots + st.run,
				   leaf_header_const(page)->reserve);
	if (leaf->removed > 0 && 3 * (st.dead + st.extras) >= st.live)
	{
		n = decode(j, leaf, 0);
		if (n > 0)
			fill = leaf_build(output_page(j, 0, page), j->entries, n, rmi_work()->scratch) == (size_t) n ?
				fill_of_image(j->full[0]) : 2 * FILL_ONE;
	}
	/* entries that go a few at a time are mostly replaced by new ones */
	if (leaf->removed < st.live / 3)
		fill = fill * FILL_JOIN / FILL_SPARSE;
	return fill;
}

static inline int
leaves_for(int fill)
{
	return Max(1, (fill + FILL_ONE - 1) / FILL_ONE);
}

/* How many of the leaves at hand, from the first, it is best to join; 0: none. */
static int
best_prefix(const RmiJoin *j)
{
	int			fill = 0;
	int			most = 0;
	int			best = 0;

	for (int k = 1; k <= j->n; k++)
	{
		int			saved;

		fill += j->leaf[k - 1]->fill;
		saved = k - leaves_for(fill);
		if (saved > most && 3 * saved >= k)
		{
			most = saved;
			best = k;
		}
	}
	return best;
}

/* ---- free pages ---- */

static void
remember_free(RmiJoin *j, BlockNumber block)
{
	int			at = j->nfree;

	while (at > 0 && j->free[at - 1] > block)
		at--;
	if (at == JOIN_FREE)
		return;					/* VACUUM finds it at the end */
	if (j->nfree == JOIN_FREE)
		j->nfree--;
	memmove(&j->free[at + 1], &j->free[at], (j->nfree - at) * sizeof(BlockNumber));
	j->free[at] = block;
	j->nfree++;
}

static void
add_page(void *arg)
{
	RmiJoin    *j = (RmiJoin *) arg;
	Buffer		buf = rmi_alloc_page(j->index, j->index_id);

	remember_free(j, BufferGetBlockNumber(buf));
	UnlockReleaseBuffer(buf);
}

/*
 * A free page, exclusively locked, or InvalidBuffer.  The first time there may
 * be none, and the file becomes longer by one page.  After that, joining frees
 * more pages than it takes.
 */
static Buffer
take_free(RmiJoin *j)
{
	if (j->nfree == 0 && !j->added)
	{
		j->added = true;
		rmi_if_space(j->index, add_page, j);
	}
	if (j->nfree > 0)
	{
		BlockNumber block = j->free[0];
		Buffer		buf;

		j->nfree--;
		memmove(&j->free[0], &j->free[1], j->nfree * sizeof(BlockNumber));
		buf = rmi_lock_free_page(j->index, j->index_id, block);
		if (BufferIsValid(buf))
			return buf;
	}
	return rmi_take_free_page(j->index, j->index_id);
}

/* ---- steps ---- */

static inline bool
is_as_copied(Page page, const JoinLeaf *leaf)
{
	const char *copy = leaf->page.data;
	int			lower = leaf_lower(copy);
	int			upper = leaf_upper(copy);

	return memcmp((char *) page + KYRO_PAGE_HEADER, copy + KYRO_PAGE_HEADER, lower - KYRO_PAGE_HEADER) == 0 &&
		memcmp((char *) page + upper, copy + upper, BLCKSZ - upper) == 0;
}

/*
 * May index-only scans on standbys hold on to entries of a page that is freed?
 * Replay of joining does not wait for them.
 */
static inline bool
standbys_pin(const RmiJoin *j)
{
	return j->carrier == RMI_CARRIER_OWN && RelationNeedsWAL(j->index);
}

/* Let others use the page of a leaf that has gone, once no standby has it pinned. */
static void
release_page(RmiJoin *j, BlockNumber block)
{
	if (standbys_pin(j))
	{
		Buffer		buf = ReadBufferExtended(j->index, MAIN_FORKNUM, block, RBM_NORMAL, j->strategy);

		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		rmi_release_page(j->index, j->carrier, buf);
		UnlockReleaseBuffer(buf);
	}
	remember_free(j, block);
}

void
rmi_release_page(Relation index, RmiCarrier carrier, Buffer buf)
{
	RmiChange	c;

	rmi_change_begin(&c, index, carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_RELEASE});
	DEBUG_CRASH("rmi-release-record");
	rmi_change_finish(&c);
	DEBUG_CRASH("rmi-release-logged");
}

/*
 * Lock all leaves of the step, from left to right, if they are as they were copied and
 * nobody has those pinned that go.  Returns how many leaves are locked in bufs:
 * the owner, those that go and, if there is one, the right sibling of the last; or 0.
 */
static int
lock_leaves(RmiJoin *j, const Step *s, Buffer *bufs)
{
	Page		last;
	int			n;
	bool		ok;

	bufs[0] = ReadBufferExtended(j->index, MAIN_FORKNUM, s->owner->block, RBM_NORMAL, j->strategy);
	LockBuffer(bufs[0], BUFFER_LOCK_EXCLUSIVE);
	ok = is_as_copied(BufferGetPage(bufs[0]), s->owner);
	n = 1;
	for (int i = 0; ok && i < s->ngoing; i++)
	{
		Buffer		buf = ReadBufferExtended(j->index, MAIN_FORKNUM, s->going[i]->block, RBM_NORMAL, j->strategy);

		ok = ConditionalLockBufferForCleanup(buf);
		if (!ok)
		{
			ReleaseBuffer(buf);
			break;
		}
		bufs[n++] = buf;
		ok = is_as_copied(BufferGetPage(buf), s->going[i]);
	}
	if (!ok)
	{
		while (n > 0)
			UnlockReleaseBuffer(bufs[--n]);
		return 0;
	}
	last = BufferGetPage(bufs[n - 1]);
	if (leaf_has_high(last))
	{
		bufs[n] = rmi_lock_right(j->index, j->index_id, bufs[n - 1], BUFFER_LOCK_EXCLUSIVE);
		n++;
	}
	return n;
}

/* Finish the image of a leaf that takes the place of one or is new, between these siblings. */
static void
finish_image(char *image, BlockNumber block, KyroFence low, BlockNumber left, BlockNumber right, KyroFence high)
{
	leaf_set_low(image, low);
	leaf_header(image)->left = left;
	leaf_header(image)->right = right;
	if (right != KYRO_NO_BLOCK)
		leaf_set_high(image, high);
	rmi_trailer(image)->block = block;
	rmi_leaf_finish(image);
}

/* Do a step; false if that is not possible now.  No locks held. */
static bool
do_step(RmiJoin *j, Step *s)
{
	JoinLeaf   *owner = s->owner;
	const char *last = s->going[s->ngoing - 1]->page.data;
	BlockNumber right = leaf_header_const(last)->right;
	KyroFence	high = leaf_high(last);
	Buffer		rest = InvalidBuffer;
	Buffer		bufs[RMI_CHANGE_MAX];
	RmiChange	c;
	int			n;

	kyro_vacuum_delay_point();
	DEBUG_POINT("rmi-join");
	if (s->rest != NULL)
	{
		rest = take_free(j);
		if (!BufferIsValid(rest))
			return false;
		s->block = BufferGetBlockNumber(rest);
		finish_image(s->rest, s->block, s->cut, owner->block, right, high);
		right = s->block;
		high = s->cut;
	}
	finish_image(s->image, owner->block, leaf_low(owner->page.data),
				 leaf_header_const(owner->page.data)->left, right, high);
	rmi_trailer(s->image)->flags = rmi_trailer(owner->page.data)->flags;
	Assert(leaf_verify(s->image) == NULL && (s->rest == NULL || leaf_verify(s->rest) == NULL));

	n = lock_leaves(j, s, bufs);
	if (n > 0)
	{
		rmi_change_begin(&c, j->index, j->carrier);
		rmi_change_apply(&c, bufs[0], &(RmiOp) {.kind = RMI_OP_IMAGE, .image = s->image});
		for (int i = 0; i < s->ngoing; i++)
			rmi_change_apply(&c, bufs[1 + i], &(RmiOp) {.kind = RMI_OP_FREE, .unswept = standbys_pin(j)});
		if (s->rest != NULL)
			rmi_change_apply(&c, rest, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = s->rest});
		if (n > 1 + s->ngoing)
			rmi_change_apply(&c, bufs[1 + s->ngoing],
							 &(RmiOp) {.kind = RMI_OP_SET_LEFT, .block = s->rest != NULL ? s->block : owner->block});
		DEBUG_CRASH("rmi-join-record");
		rmi_change_finish(&c);
		DEBUG_CRASH("rmi-join-logged");
		for (int i = 0; i < n; i++)
			UnlockReleaseBuffer(bufs[i]);
	}
	if (BufferIsValid(rest))
	{
		UnlockReleaseBuffer(rest);
		if (n == 0)
			remember_free(j, s->block);
	}
	if (n == 0)
		return false;
	DEBUG_POINT("rmi-joined");
	j->gone += s->ngoing;
	for (int i = 0; i < s->ngoing; i++)
		release_page(j, s->going[i]->block);
	return true;
}

/* ---- leaves at hand ---- */

/*
 * Lay out anew the entries of the first k leaves at hand.  False if that saves
 * no leaf, or if a leaf would have to give entries to its right, because it
 * has more now than it would have then.
 */
static bool
make_layout(RmiJoin *j, int k, Layout *p)
{
	const char *first = j->leaf[0]->page.data;
	uint32		total = 0;
	uint32		done = 0;
	int			at = 0;			/* the leaf that has entry done */

	p->k = k;
	for (int i = 0; i < k; i++)
	{
		int			n = decode(j, j->leaf[i], total);

		if (n < 0)
			return false;
		p->start[i] = total;
		total += n;
	}
	p->start[k] = total;
	for (p->nfull = 0; done < total; p->nfull++)
	{
		int			i = p->nfull;

		if (i == k - 1)
			return false;
		CHECK_FOR_INTERRUPTS();
		done += leaf_build(output_page(j, i, first), j->entries + done, total - done, rmi_work()->scratch);
		p->end[i] = done;
		if (done < p->start[at + 1])
			return false;
		if (done == total)
			continue;
		while (p->start[at + 1] <= done)
			at++;
		p->cut[i] = leaf_low(j->leaf[at]->page.data);
		if (p->start[at] < done)
		{
			p->cut[i] = leaf_cut(j->entries[done - 1], j->entries[done]);
			p->cut[i].isnull = leaf_low(first).isnull;
		}
	}
	return total > 0;
}

/* Build a leaf of all of these entries; false if they do not fit. */
static bool
build_all(RmiJoin *j, char *image, const JoinLeaf *like, uint32 from, uint32 to)
{
	rmi_leaf_page_init(image, j->index_id, 0, leaf_low(like->page.data), KYRO_NO_BLOCK, KYRO_NO_BLOCK,
					   leaf_header_const(like->page.data)->reserve);
	return leaf_build(image, j->entries + from, to - from, rmi_work()->scratch) == to - from;
}

/*
 * Join the first k leaves at hand.  kept gets the leaves that they are then; returns the last
 * of them, if all went well, else NULL.
 */
static JoinLeaf *
join(RmiJoin *j, int k, RmiFenceList *kept)
{
	RmiWork    *w = rmi_work();
	Layout		p;
	JoinLeaf   *owner = j->leaf[0];
	int			next = 1;		/* the leaf to its right */
	uint32		begin = 0;		/* its first entry */
	bool		ok = make_layout(j, k, &p);

	for (int o = 0; ok && o < p.nfull; o++)
	{
		uint32		end = p.end[o];
		bool		done = false;

		while (ok && !done)
		{
			Step		s = {.owner = owner, .going = &j->leaf[next], .image = j->full[o], .cut = p.cut[o]};
			int			to = next;
			bool		part;
			JoinLeaf   *after;
			BlockNumber right;

			while (to < k && p.start[to + 1] <= end)
				to++;
			part = to < k && p.start[to] < end;
			if (to == next && !part)
				break;			/* the owner is what it will be */

			/* the owner, what goes, a new leaf, and a right sibling */
			if (to + part - next > RMI_CHANGE_MAX - 2 - part)
			{
				to = Min(to, next + RMI_CHANGE_MAX - 2);
				part = false;
			}
			s.ngoing = to + part - next;
			if (part)
			{
				s.rest = w->right;
				ok = build_all(j, s.rest, owner, end, p.start[to + 1]);
			}
			else if (p.start[to] < end)
			{
				s.image = w->leaf;
				ok = build_all(j, s.image, owner, begin, p.start[to]);
			}
			right = leaf_header(s.going[s.ngoing - 1]->page.data)->right;
			ok = ok && do_step(j, &s);
			if (!ok)
				break;

			/* copies of what has changed */
			next = to + part;
			after = next < j->n + j->seen ? j->leaf[next] : NULL;
			if (after != NULL && after->block == right)
				(void) rmi_apply(&(RmiOp) {.kind = RMI_OP_SET_LEFT, .block = part ? s.block : owner->block},
								 after->page.data);
			memcpy(owner->page.data, s.image, BLCKSZ);
			if (part)
			{
				rmi_fences_add(kept, leaf_low(owner->page.data), owner->block);
				owner = j->leaf[to];
				owner->block = s.block;
				memcpy(owner->page.data, s.rest, BLCKSZ);
				begin = end;
				done = true;
			}
			else if (p.start[to] == end)
				break;
		}
		if (ok && !done && next < k)
		{
			rmi_fences_add(kept, leaf_low(owner->page.data), owner->block);
			owner = j->leaf[next];
			begin = p.start[next];
			next++;
		}
	}
	rmi_fences_add(kept, leaf_low(owner->page.data), owner->block);
	for (; next < k; next++)
		rmi_fences_add(kept, leaf_low(j->leaf[next]->page.data), j->leaf[next]->block);
	return ok ? owner : NULL;
}

/* Forget the first k leaves at hand. */
static void
forget(RmiJoin *j, int k)
{
	JoinLeaf   *unused[JOIN_LEAVES];

	for (int i = 0; i < k; i++)
		j->fill -= j->leaf[i]->fill;
	memcpy(unused, j->leaf, k * sizeof(JoinLeaf *));
	memmove(j->leaf, j->leaf + k, (JOIN_LEAVES + 1 - k) * sizeof(JoinLeaf *));
	memcpy(j->leaf + JOIN_LEAVES + 1 - k, unused, k * sizeof(JoinLeaf *));
	j->n -= k;
}

/*
 * Join leaves at hand as long as that pays.  The last of what they become stays at hand, with those
 * behind it, for the leaf to come may join them; unless there is no room.
 */
static void
join_at_hand(RmiJoin *j)
{
	RmiFenceList kept;
	int			k;

	rmi_fences_init(&kept);
	while ((k = best_prefix(j)) > 0)
	{
		uint32		at = j->leaves->n - j->n - j->seen;
		uint32		behind = j->n + j->seen - k;
		JoinLeaf   *last;

		kept.n = 0;
		last = join(j, k, &kept);
		Assert(kept.n <= (uint32) k);
		memcpy(&j->leaves->items[at], kept.items, kept.n * sizeof(RmiDirItem));
		memmove(&j->leaves->items[at + kept.n], &j->leaves->items[at + k], behind * sizeof(RmiDirItem));
		j->leaves->n -= k - kept.n;
		if (last == NULL)
		{
			forget(j, k);
			continue;
		}
		for (int i = 0; i < k; i++)
		{
			if (j->leaf[i] == last)
			{
				j->leaf[i] = j->leaf[k - 1];
				j->leaf[k - 1] = last;
				break;
			}
		}
		forget(j, k - 1);
		j->fill += fill_of_image(last->page.data) - last->fill;
		last->fill = fill_of_image(last->page.data);
		last->removed = 0;
		if (last->fill > FILL_FIRST)
			forget(j, 1);
	}
	if (j->n == JOIN_LEAVES)
		forget(j, j->n);
}

/* ---- the walk ---- */

void
rmi_join_see(RmiJoin *j, Buffer buf, int removed)
{
	JoinLeaf   *leaf = j->leaf[j->n];

	leaf->block = BufferGetBlockNumber(buf);
	leaf->removed = removed;
	memcpy(leaf->page.data, BufferGetPage(buf), BLCKSZ);
	j->seen = true;
}

void
rmi_join_relinked(RmiJoin *j, Buffer buf)
{
	JoinLeaf   *leaf = j->n > 0 ? j->leaf[j->n - 1] : NULL;

	if (leaf != NULL && leaf->block == BufferGetBlockNumber(buf))
		memcpy(leaf->page.data, BufferGetPage(buf), BLCKSZ);
}

void
rmi_join_kept(RmiJoin *j)
{
	JoinLeaf   *leaf = j->leaf[j->n];
	bool		isnull = leaf_low(leaf->page.data).isnull;

	leaf->fill = estimate_fill(j, leaf);
#define GOES_WITH() (j->n == 0 ? leaf->fill <= FILL_FIRST : \
					 j->fill + leaf->fill <= FILL_JOIN * (j->n + 1) && leaf_low(j->leaf[0]->page.data).isnull == isnull)
	if (j->n > 0 && !GOES_WITH())
	{
		join_at_hand(j);
		if (j->n > 0 && !GOES_WITH())
			forget(j, j->n);
	}
	if (GOES_WITH())
	{
		j->fill += leaf->fill;
		j->n++;
	}
	j->seen = false;
	if (j->n == JOIN_LEAVES)
		join_at_hand(j);
}

int64
rmi_join_end(RmiJoin *j)
{
	j->seen = false;
	join_at_hand(j);
	return j->gone;
}
