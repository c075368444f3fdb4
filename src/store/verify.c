/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  kyro.verify() of a table: its pages.  verify_deep.c checks TOAST values and
 *	  indexes.
 *
 * Pages are copied under a share lock, and checked without a lock.  The lock on the
 * table only excludes commands that give it another file, cut its end off or change
 * its columns.  So sealed pages do not change.  Meanwhile runs may be added and
 * removed, rows touched and log pages pruned; what could be explained by that is
 * looked at again before it is reported.
 *
 * The columns of a tuple are checked only if its inserter has not aborted: else it
 * may have been made when the table had other columns, which were rolled back, too.
 *
 * IDENTIFICATION
 *	  src/store/verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/multixact.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"

#include "attempt.h"
#include "debug_point.h"
#include "progress.h"
#include "store/verify.h"

/* How often something is looked at before it is reported. */
#define VERIFY_LOOKS 3

/* Can the server read a block?  If not, reports that, once. */
static bool
can_read(StoreVerify *v, BlockNumber block)
{
	char	   *problem;

	if (block == v->readable)
		return true;
	problem = kyro_read_problem(v->rel, block);
	if (problem == NULL)
	{
		v->readable = block;
		return true;
	}
	if (!list_member_oid(v->refused, block))
	{
		VERIFY_REPORT(v, block, "%s", problem);
		v->refused = lappend_oid(v->refused, block);
	}
	pfree(problem);
	return false;
}

/* Copy a page; false, and reported, if it cannot be read. */
static bool
copy_page(StoreVerify *v, BlockNumber block, char *to)
{
	Buffer		buffer;

	if (!can_read(v, block))
		return false;
	buffer = ReadBuffer(v->rel, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(to, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return true;
}

/* ---- the list ---- */

/* Check the list, and load it into v->table; false: nothing else can be checked. */
static bool
verify_list(StoreVerify *v)
{
	BlockNumber block = 0;
	BlockNumber hops = 0;
	BlockNumber end = 1;
	uint64		incarnation = 0;
	StoreList  *list = StorePageGetList(v->page);
	uint64		before = v->problems;

	if (v->nblocks == 0 && v->rel->rd_rel->relpages > 0)
	{
		VERIFY_REPORT(v, InvalidBlockNumber, "file is empty");
		return false;
	}
	if (v->nblocks > 0 && !copy_page(v, 0, v->page))
		return false;
	if (v->nblocks == 0 || (!store_page_is_ours(v->page) && store_page_is_heap(v->page)))
	{
		/* all log, see whole.c */
		v->table = store_open(v->rel);
		return true;
	}
	while (block != InvalidBlockNumber)
	{
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if (!store_has_blocks(v->rel, block + 1, &v->nblocks))
		{
			VERIFY_REPORT(v, block, "run list leads past the end of the table");
			return false;
		}
		if (hops++ > v->nblocks)
		{
			VERIFY_REPORT(v, block, "run list does not end");
			return false;
		}
		if (!copy_page(v, block, v->page))
			return false;
		problem = store_list_problem(v->page, block);
		if (problem != NULL)
		{
			VERIFY_REPORT(v, block, "run list: %s", problem);
			return false;
		}
		if (block == 0)
			incarnation = list->h.run;
		else if (list->h.run != incarnation)
			VERIFY_REPORT(v, block, "page of the run list belongs to another table");
		for (int i = 0; i < list->h.count; i++)
		{
			if (!store_has_blocks(v->rel, STORE_RUN_END(&list->runs[i]), &v->nblocks))
				VERIFY_REPORT(v, block, "run %u reaches past the end of the table", list->runs[i].first);
		}
		block = list->next;
	}
	if (v->problems > before)
		return false;

	/* raises an error if runs overlap */
	v->table = store_open(v->rel);
	for (int i = 0; i < v->table->nruns; i++)
	{
		/* look into clog now: VACUUM may let it be truncated meanwhile */
		(void) store_run_aborted(&v->table->runs[i]);
		if (v->table->runs[i].first < end)
			VERIFY_REPORT(v, v->table->list_block[i], "run %u overlaps another", v->table->runs[i].first);
		end = STORE_RUN_END(&v->table->runs[i]);
	}
	return v->problems == before;
}

/* ---- runs ---- */

/* What is wrong with the link of a moved row, or NULL. */
static const char *
move_problem(StoreVerify *v, ItemPointer link)
{
	ItemPointerData to;
	StorePage	p = {0};
	StoreRun   *run = store_moved_to(v->rel, v->table, link, &to);
	bool		there;

	if (run == NULL)
	{
		/*
		 * the move was rolled back; its run is in the list as long as links
		 * lead there
		 */
		v->table = store_open(v->rel);
		return store_find_run(v->table, ItemPointerGetBlockNumber(&to)) != NULL ? NULL : "link leads to no run";
	}
	if (!(run->flags & STORE_RUN_MOVED))
		return "link leads to a run that no row was moved to";
	if (!can_read(v, ItemPointerGetBlockNumber(&to)) ||
		!store_page_get(v->rel, v->table, ItemPointerGetBlockNumber(&to), NULL, &p))
		return NULL;			/* reported already, or rolled back just now */
	there = ItemPointerGetOffsetNumber(&to) >= 1 && ItemPointerGetOffsetNumber(&to) <= store_page_rows(&p)->h.count;
	store_page_release(&p);
	return there ? NULL : "link leads to no row";
}

/* Is something wrong with the link of a row?  *problem says what, or is NULL. */
static bool
ledger_problem(StoreVerify *v, ItemPointer link, ItemPointer row, const char **problem)
{
	Buffer		buffer;
	Page		page;
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(link);
	HeapTupleHeader t;
	uint32		length;
	ItemPointerData tag;

	*problem = NULL;
	if (store_link_is_dead(link))
		return false;
	if (store_link_is_moved(link))
	{
		*problem = move_problem(v, link);
		return *problem != NULL;
	}
	if (ItemPointerGetBlockNumberNoCheck(link) >= RelationGetNumberOfBlocks(v->rel) ||
		offset > MaxHeapTuplesPerPage)
	{
		*problem = "link leads out of the table";
		return true;
	}
	if (!can_read(v, ItemPointerGetBlockNumberNoCheck(link)))
		return false;			/* reported */
	buffer = ReadBuffer(v->rel, ItemPointerGetBlockNumberNoCheck(link));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (store_page_kind(page) == STORE_ROWS || store_page_kind(page) == STORE_GROUPS)
		;						/* all tuples of the page were removed, and a
								 * run has taken its place */
	else if (store_page_is_ours(page))
		*problem = "link leads to a page that is not of the log";
	else if (!store_log_tuple(page, offset, &t, &length))
		*problem = "link leads to a tuple that is out of place";
	else if (t != NULL)
	{
		/*
		 * a tuple with another tag, or none, has taken the place of a removed
		 * one
		 */
		if (store_is_ledger(t) && !store_ledger_tag(t, &tag))
			*problem = "link leads to a tuple with a damaged tag";
	}
	UnlockReleaseBuffer(buffer);
	return *problem != NULL;
}

/* Check the links of a page of rows.  vm_set: its map bit was set before the links were read. */
static void
verify_links(StoreVerify *v, StoreRun *run, const StoreRows *rows, BlockNumber block, BlockNumber link_block,
			 const char *link_page, bool vm_set)
{
	const StoreLinks *links = StorePageGetLinks(link_page);

	for (OffsetNumber row = 1; row <= rows->h.count; row++)
	{
		ItemPointerData link = links->links[rows->group_base + row - 1];
		ItemPointerData tid;
		const char *problem;

		if (link.ip_posid == 0)
			continue;
		/* the row may have been touched since the bit was read: read it again */
		if (vm_set)
		{
			Buffer		vmbuffer = InvalidBuffer;

			if (store_vm_test(v->rel, block, &vmbuffer))
				VERIFY_REPORT(v, block, "row %u was touched, but the visibility map says that none was", row);
			if (BufferIsValid(vmbuffer))
				ReleaseBuffer(vmbuffer);
			vm_set = false;
		}
		ItemPointerSet(&tid, block, row);
		if (ledger_problem(v, &link, &tid, &problem))
			VERIFY_REPORT(v, link_block, "row (%u,%u): %s", block, row, problem);
	}
}

/*
 * Has VACUUM meanwhile taken a run out of the list, because it was rolled back, or
 * found it dead?  Then its pages are not to be checked.
 */
static bool
run_is_gone(StoreVerify *v, const StoreRun *run)
{
	StoreTable *table = store_open(v->rel);
	int			i = store_first_run_ending_after(table, run->first);

	return i == table->nruns || table->runs[i].id != run->id || table->runs[i].state == RUN_DEAD;
}

/* What is known of a run while its pages are checked one after the other. */
typedef struct RunWalk
{
	StoreRun   *run;
	BlockNumber *link_blocks;	/* of each group: its link page, or
								 * InvalidBlockNumber */
	bool	   *group_ok;		/* of each group: its link page may be read */
	uint32		group;			/* of the last page */
	uint32		base;			/* group_base that the next page should have,
								 * if it is of the same group */
	bool		gaps;			/* the page before could not be checked */
	bool		all;			/* all pages so far could be checked */
	uint64		count;			/* rows on pages that could be checked */
	char	   *link_page;		/* a copy of the link page read last, */
	uint32		link_group;		/* of this group; PG_UINT32_MAX: none */
	Buffer		vmbuffer;
} RunWalk;

/* Check the pages of groups, and fill link_blocks and group_ok; false: the run is gone. */
static bool
verify_groups(StoreVerify *v, RunWalk *w)
{
	StoreRun   *run = w->run;

	for (uint32 g = 0; g < run->groups; g += STORE_GROUPS_PER_PAGE)
	{
		BlockNumber block = run->first + run->pages + g / STORE_GROUPS_PER_PAGE;
		const StoreGroups *groups = StorePageGetGroups(v->page);
		int			n = Min(STORE_GROUPS_PER_PAGE, run->groups - g);

		CHECK_FOR_INTERRUPTS();
		if (!copy_page(v, block, v->page))
			continue;
		if (store_page_kind(v->page) != STORE_GROUPS || groups->h.run != run->id ||
			groups->h.version != STORE_VERSION || groups->h.hash != store_page_hash(v->page, block) || groups->first != g || groups->h.count != n)
		{
			if (run_is_gone(v, run))
				return false;
			VERIFY_REPORT(v, block, "page does not hold the groups of run %u", run->first);
			continue;
		}
		for (int i = 0; i < n; i++)
		{
			w->link_blocks[g + i] = groups->links[i];
			w->group_ok[g + i] = true;
			if (groups->links[i] != InvalidBlockNumber &&
				groups->links[i] >= RelationGetNumberOfBlocks(v->rel))
			{
				VERIFY_REPORT(v, block, "link page %u of group %u is past the end of the table", groups->links[i], g + i);
				w->group_ok[g + i] = false;
			}
		}
	}
	return true;
}

/* Copy the link page of a group to w->link_page.  False, and reported once, if it is damaged. */
static bool
read_link_page(StoreVerify *v, RunWalk *w, uint32 group)
{
	const StoreLinks *links = StorePageGetLinks(w->link_page);
	BlockNumber block = w->link_blocks[group];

	if (w->link_group == group)
		return true;
	w->link_group = PG_UINT32_MAX;
	w->group_ok[group] = false;
	if (!copy_page(v, block, w->link_page))
		return false;
	if (store_page_kind(w->link_page) != STORE_LINKS || links->h.run != w->run->id ||
		links->h.version != STORE_VERSION || links->h.hash != store_page_hash(w->link_page, block) || links->group != group)
	{
		VERIFY_REPORT(v, block, "page does not hold the links of group %u of run %u", group, w->run->first);
		return false;
	}
	w->link_group = group;
	w->group_ok[group] = true;
	return true;
}

/* Check a page of rows, and the links of its rows; false: the run is gone. */
static bool
verify_rows(StoreVerify *v, RunWalk *w, BlockNumber block)
{
	StoreRun   *run = w->run;
	const StoreRows *rows = StorePageGetRows(v->page);
	bool		vm_set = store_vm_test(v->rel, block, &w->vmbuffer);
	bool		follows;
	const char *problem;

	CHECK_FOR_INTERRUPTS();
	DEBUG_POINT("verify-sealed-page");
	kyro_progress_done(block);
	if (!copy_page(v, block, v->page))
	{
		w->gaps = true;
		w->all = false;
		return true;
	}
	problem = store_rows_problem(v->page, block);
	if (problem == NULL && (rows->h.run != run->id || rows->fxid != run->fxid))
		problem = "page belongs to another run";
	if (problem != NULL)
	{
		if (run_is_gone(v, run))
			return false;
		VERIFY_REPORT(v, block, "sealed page: %s", problem);
		w->gaps = true;
		w->all = false;
		return true;
	}

	w->count += rows->h.count;
	follows = (rows->group == w->group && rows->group_base == w->base) ||
		(rows->group == w->group + 1 && rows->group_base == 0);
	if (!w->gaps && !follows)
		VERIFY_REPORT(v, block, "groups of run %u are not in order", run->first);
	w->group = rows->group;
	w->base = rows->group_base + rows->h.count;
	w->gaps = false;
	if (vm_set && !store_run_committed(run))
		VERIFY_REPORT(v, block, "visibility map says that rows of a run that did not commit are visible");
	if (rows->group >= run->groups)
		VERIFY_REPORT(v, block, "group %u is out of range", rows->group);
	else if (w->group_ok[rows->group] && w->link_blocks[rows->group] != InvalidBlockNumber &&
			 read_link_page(v, w, rows->group))
		verify_links(v, run, rows, block, w->link_blocks[rows->group], w->link_page, vm_set);
	return true;
}

static void
verify_run(StoreVerify *v, StoreRun *run)
{
	BlockNumber block = run->first;
	BlockNumber end = run->first + run->pages;
	RunWalk		w = {.run = run, .all = true, .link_group = PG_UINT32_MAX, .vmbuffer = InvalidBuffer};

	w.link_blocks = palloc(Max(run->groups, 1) * sizeof(BlockNumber));
	w.group_ok = palloc0(Max(run->groups, 1) * sizeof(bool));
	w.link_page = palloc(BLCKSZ);
	if (verify_groups(v, &w))
	{
		while (block < end && verify_rows(v, &w, block))
			block++;
		if (block == end && w.all && w.count != run->rows)
			VERIFY_REPORT(v, run->first, "run has " UINT64_FORMAT " rows, not " UINT64_FORMAT, w.count, run->rows);
	}
	if (BufferIsValid(w.vmbuffer))
		ReleaseBuffer(w.vmbuffer);
	pfree(w.link_page);
	pfree(w.group_ok);
	pfree(w.link_blocks);
}

/* ---- the log ---- */

/* What is wrong with the tag of a ledger tuple, whose row must link back to it; or NULL. */
static const char *
tag_problem(StoreVerify *v, BlockNumber block, OffsetNumber offset, HeapTupleHeader t)
{
	ItemPointerData tid,
				link;
	StorePage	p = {0};
	const char *problem = NULL;
	StoreRun   *run;

	if (!store_ledger_tag(t, &tid))
		return "ledger tuple has a damaged tag";
	run = ItemPointerIsValid(&tid) ? store_find_run(v->table, ItemPointerGetBlockNumber(&tid)) : NULL;
	if (run != NULL && store_run_aborted(run))
		return NULL;
	if (run == NULL || !store_page_get(v->rel, v->table, ItemPointerGetBlockNumber(&tid), NULL, &p))
		return "ledger tuple belongs to no sealed row";
	if (ItemPointerGetOffsetNumber(&tid) > store_page_rows(&p)->h.count)
		problem = "ledger tuple belongs to no sealed row";
	else
	{
		link = store_link_read(v->rel, &p, ItemPointerGetOffsetNumber(&tid));
		if (ItemPointerGetBlockNumberNoCheck(&link) != block || ItemPointerGetOffsetNumberNoCheck(&link) != offset)
			problem = "row of a ledger tuple does not link to it";
	}
	store_page_release(&p);
	return problem;
}

/* What is wrong with a redirect; or NULL. */
static const char *
redirect_problem(Page page, ItemId item)
{
	OffsetNumber to = ItemIdGetRedirect(item);
	HeapTupleHeader t;
	uint32		length;

	if (to < FirstOffsetNumber || to > PageGetMaxOffsetNumber(page))
		return "redirect leads out of the page";
	if (!store_log_tuple(page, to, &t, &length))
		return NULL;			/* reported for the tuple itself */
	if (t == NULL)
		return "redirect leads to no tuple";
	return HeapTupleHeaderIsHeapOnly(t) ? NULL : "redirect leads to a tuple that is not heap-only";
}

/*
 * Has a tuple transaction ids that core could not look up?  These are older than
 * relfrozenxid, or not assigned yet; the next xid is read after the page was copied.
 */
static const char *
xids_problem(StoreVerify *v, HeapTupleHeader t)
{
	TransactionId frozen = v->rel->rd_rel->relfrozenxid;
	TransactionId xmin = HeapTupleHeaderGetXmin(t);
	TransactionId xmax = HeapTupleHeaderGetRawXmax(t);

	if (TransactionIdIsNormal(xmin))
	{
		if (TransactionIdPrecedes(xmin, frozen))
			return "xmin is older than relfrozenxid";
		if (TransactionIdFollowsOrEquals(xmin, ReadNextTransactionId()))
			return "xmin is in the future";
	}
	if (t->t_infomask & HEAP_XMAX_INVALID)
		return NULL;
	if (t->t_infomask & HEAP_XMAX_IS_MULTI)
	{
		if (!MultiXactIdIsValid(xmax) || MultiXactIdPrecedes(xmax, v->rel->rd_rel->relminmxid))
			return "multixact is older than relminmxid";
		if (!MultiXactIdPrecedes(xmax, ReadNextMultiXactId()))
			return "multixact is in the future";
	}
	else if (TransactionIdIsNormal(xmax))
	{
		if (TransactionIdPrecedes(xmax, frozen))
			return "xmax is older than relfrozenxid";
		if (TransactionIdFollowsOrEquals(xmax, ReadNextTransactionId()))
			return "xmax is in the future";
	}
	return NULL;
}

/* Does a column reach beyond the end of the tuple? */
static const char *
columns_problem(StoreVerify *v, HeapTupleHeader t, uint32 len)
{
	TupleDesc	desc = RelationGetDescr(v->rel);
	int			natts = HeapTupleHeaderGetNatts(t);
	char	   *data = (char *) t + t->t_hoff;
	uint32		size = len - t->t_hoff;
	uint32		off = 0;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if ((t->t_infomask & HEAP_HASNULL) && att_isnull(i, t->t_bits))
			continue;
		if (att->attlen == -1)
		{
			/* an aligned header begins with a zero byte or is aligned already */
			if (off >= size)
				return "a column is beyond the end of the tuple";
			off = att_align_pointer(off, att->attalign, -1, data + off);
			if (off >= size || (!VARATT_IS_1B(data + off) && off + VARHDRSZ > size) ||
				(VARATT_IS_1B_E(data + off) && (off + VARHDRSZ_EXTERNAL > size || VARTAG_EXTERNAL(data + off) != VARTAG_ONDISK)))
				return "a column is beyond the end of the tuple";
			if (VARSIZE_ANY(data + off) < (VARATT_IS_1B(data + off) ? VARHDRSZ_SHORT : VARHDRSZ) || VARSIZE_ANY(data + off) > size - off)
				return "a column is beyond the end of the tuple";
			off += VARSIZE_ANY(data + off);
		}
		else
		{
			off = att_align_nominal(off, att->attalign);
			if (att->attlen == -2)
			{
				char	   *end = off < size ? memchr(data + off, 0, size - off) : NULL;

				if (end == NULL)
					return "a column is beyond the end of the tuple";
				off = end + 1 - data;
			}
			else
				off += att->attlen;
		}
		if (off > size)
			return "a column is beyond the end of the tuple";
	}
	return NULL;
}

/*
 * Can the columns of a tuple be read by the table's present columns?  Its xids are
 * plausible.  A ledger tuple is a copy of a row of the run that its tag leads to.
 */
static bool
columns_are_known(StoreVerify *v, HeapTupleHeader t)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(t);
	ItemPointerData tid;

	if (store_is_ledger(t))
	{
		StoreRun   *run = store_ledger_tag(t, &tid) ? store_find_run(v->table, ItemPointerGetBlockNumber(&tid)) : NULL;

		return run != NULL && !store_run_aborted(run);
	}
	if (HeapTupleHeaderXminCommitted(t))	/* or frozen */
		return true;
	if (HeapTupleHeaderXminInvalid(t))
		return false;

	/*
	 * in this order, as everywhere.  A transaction in progress cannot have
	 * added a column, because of our lock
	 */
	return TransactionIdIsCurrentTransactionId(xmin) || TransactionIdIsInProgress(xmin) || TransactionIdDidCommit(xmin);
}

/* What is wrong with a tuple on a copied page, for which tuple_is_in_place(); or NULL. */
static const char *
tuple_problem(StoreVerify *v, Page page, BlockNumber block, OffsetNumber offset)
{
	ItemId		item = PageGetItemId(page, offset);
	HeapTupleHeader t = (HeapTupleHeader) PageGetItem(page, item);
	uint32		natts = HeapTupleHeaderGetNatts(t);
	uint32		need = MAXALIGN(SizeofHeapTupleHeader + ((t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(natts) : 0));
	const char *problem;

	if (t->t_hoff > ItemIdGetLength(item) || (t->t_hoff != need && t->t_hoff != need + STORE_TAG_SIZE))
		return "impossible header length";
	problem = xids_problem(v, t);
	if (problem == NULL && store_is_ledger(t) && v->runs_sound)
		problem = tag_problem(v, block, offset, t);
	if (problem != NULL || !columns_are_known(v, t))
		return problem;
	if ((int) natts > RelationGetDescr(v->rel)->natts)
		return "too many attributes";
	return columns_problem(v, t, ItemIdGetLength(item));
}

/* Does the tuple of an item of a copied page lie within the page's tuples? */
static bool
tuple_is_in_place(Page page, ItemId item)
{
	PageHeader	header = (PageHeader) page;

	return header->pd_special <= BLCKSZ && ItemIdGetOffset(item) >= header->pd_upper &&
		ItemIdGetOffset(item) == MAXALIGN(ItemIdGetOffset(item)) &&
		ItemIdGetOffset(item) + ItemIdGetLength(item) <= header->pd_special &&
		ItemIdGetLength(item) >= SizeofHeapTupleHeader;
}

/*
 * The same, looked for again in a new copy of the page: the tuple may have been
 * removed before we looked at its row, or its row may be in a run that was sealed
 * since the list was read.
 */
static const char *
tuple_problem_again(StoreVerify *v, BlockNumber block, OffsetNumber offset)
{
	ItemId		item;

	v->table = store_open(v->rel);
	if (!copy_page(v, block, v->again) || PageIsNew(v->again) || offset > PageGetMaxOffsetNumber(v->again))
		return NULL;
	item = PageGetItemId(v->again, offset);
	if (!ItemIdIsNormal(item) || !tuple_is_in_place(v->again, item))
		return NULL;			/* it is gone, or the page has changed */
	return tuple_problem(v, v->again, block, offset);
}

/*
 * Does the map say that all rows of a log page are visible to all, and the page does not?  Writers, who go by the page,
 * would leave the bit set.  Looked at under the page's lock: who holds that exclusively changes both.
 */
static bool
map_contradicts(StoreVerify *v, BlockNumber block)
{
	Buffer		vmbuffer = InvalidBuffer;
	bool		result = false;

	if (store_vm_test(v->rel, block, &vmbuffer))
	{
		Buffer		buffer = ReadBuffer(v->rel, block);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		result = !PageIsAllVisible(BufferGetPage(buffer)) && store_vm_test(v->rel, block, &vmbuffer);
		UnlockReleaseBuffer(buffer);
	}
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	return result;
}

static void
verify_log_page(StoreVerify *v, BlockNumber block)
{
	PageHeader	header = (PageHeader) v->page;
	OffsetNumber max;

	if (PageIsNew(v->page))
		return;
	if (header->pd_lower < SizeOfPageHeaderData || header->pd_lower > header->pd_upper ||
		header->pd_upper > header->pd_special || header->pd_special > BLCKSZ)
	{
		VERIFY_REPORT(v, block, "page header is damaged");
		return;
	}
	max = PageGetMaxOffsetNumber(v->page);
	if (max > MaxHeapTuplesPerPage)
	{
		VERIFY_REPORT(v, block, "page has too many items");
		return;
	}
	if (!PageIsAllVisible(v->page) && map_contradicts(v, block))
		VERIFY_REPORT(v, block, "the visibility map says that all rows are visible to all, and the page does not");
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId		item = PageGetItemId(v->page, offset);
		const char *problem = NULL;

		if (ItemIdIsRedirected(item) && (problem = redirect_problem(v->page, item)) != NULL)
			VERIFY_REPORT(v, block, "item %u: %s", offset, problem);
		if (!ItemIdIsNormal(item))
			continue;
		if (!tuple_is_in_place(v->page, item))
		{
			VERIFY_REPORT(v, block, "item %u is out of place", offset);
			continue;
		}
		problem = tuple_problem(v, v->page, block, offset);
		for (int i = 1; i < VERIFY_LOOKS && problem != NULL; i++)
			problem = tuple_problem_again(v, block, offset);
		if (problem != NULL)
			VERIFY_REPORT(v, block, "tuple %u: %s", offset, problem);
	}
}

static void
verify_log(StoreVerify *v)
{
	int			run = 0;

	kyro_progress_phase(KYRO_PHASE_LOG, InvalidOid, v->nblocks);
	for (BlockNumber block = 0; block < v->nblocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		kyro_progress_done(block);
		if (run < v->table->nruns && block >= v->table->runs[run].first)
		{
			block = STORE_RUN_END(&v->table->runs[run]) - 1;
			run++;
			continue;
		}
		if (!copy_page(v, block, v->page))
			continue;
		switch (store_page_kind(v->page))
		{
			case STORE_NOT_OURS:
				DEBUG_POINT("verify-log-page");
				verify_log_page(v, block);
				break;
			case STORE_LIST:
			case STORE_LINKS:
			case STORE_ROWS:	/* of a seal that crashed */
			case STORE_GROUPS:
				if (v->table->incarnation == 0)
					VERIFY_REPORT(v, block, "page is one of ours, but block 0 is not a run list");
				break;
			default:
				VERIFY_REPORT(v, block, "unknown kind of page");
		}
	}
}

void
store_verify(Relation rel, bool deep, KyroReportFunction report, void *arg)
{
	StoreVerify v = {0};

	v.rel = rel;
	v.nblocks = RelationGetNumberOfBlocks(rel);
	v.report = report;
	v.arg = arg;
	v.page = palloc(BLCKSZ);
	v.again = palloc(BLCKSZ);
	v.readable = InvalidBlockNumber;
	kyro_progress_phase(KYRO_PHASE_STRUCTURE, InvalidOid, 0);
	if (!verify_list(&v))
		return;
	kyro_progress_phase(KYRO_PHASE_SEALED, InvalidOid, v.nblocks);
	/* by block, not by index: the list may be read anew meanwhile */
	for (BlockNumber block = 0;;)
	{
		int			i = store_first_run_ending_after(v.table, block);
		StoreRun	run;

		if (i == v.table->nruns)
			break;
		run = v.table->runs[i];
		if (run.state != RUN_DEAD)	/* nobody reads it */
			verify_run(&v, &run);
		block = STORE_RUN_END(&run);
	}
	v.runs_sound = v.problems == 0;
	verify_log(&v);

	/* rows on damaged pages cannot be read */
	if (deep && v.problems == 0)
		store_verify_deep(&v);
	pfree(v.page);
	pfree(v.again);
}
