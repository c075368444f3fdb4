/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Is a kyro table sound, and do its indexes find its rows?
 *
 * Pages are copied under a share lock and looked at without.  The lock on the
 * table keeps seals and VACUUM away, so runs and sealed pages hold still;
 * rows may be touched meanwhile, and whatever that can explain is looked at
 * again before it is reported.  On a standby nothing is kept away, but there
 * changes come one record at a time as well.
 *
 * IDENTIFICATION
 *	  src/store/verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/multixact.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/store.h"

typedef struct Verify
{
	Relation	rel;
	StoreTable *table;
	BlockNumber nblocks;
	StoreReport report;
	void	   *arg;
	char	   *page;			/* a copy */
	uint64		problems;
} Verify;

#define REPORT(v, block, ...) \
	((v)->problems++, (v)->report((v)->arg, (block), __VA_ARGS__))

/* Copy a page; its kind. */
static StorePageKind
copy_page(Verify *v, BlockNumber block, char *to)
{
	Buffer		buffer = ReadBuffer(v->rel, block);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(to, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return store_page_kind(to);
}

/* ---- the list ---- */

/*
 * Check the list, and whether it can be loaded; false: nothing else can be
 * looked at.
 */
static bool
verify_list(Verify *v)
{
	BlockNumber block = 0;
	BlockNumber hops = 0;
	BlockNumber end = 1;
	uint64		incarnation = 0;
	StoreList  *list = StorePageGetList(v->page);
	uint64		before = v->problems;

	while (block != InvalidBlockNumber)
	{
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if (!store_has_blocks(v->rel, block + 1, &v->nblocks))
		{
			REPORT(v, block, "run list leads past the end of the table");
			return false;
		}
		if (hops++ > v->nblocks)
		{
			REPORT(v, block, "run list does not end");
			return false;
		}
		(void) copy_page(v, block, v->page);
		problem = store_list_problem(v->page, block);
		if (problem != NULL)
		{
			REPORT(v, block, "run list: %s", problem);
			return false;
		}
		if (block == 0)
			incarnation = list->h.run;
		else if (list->h.run != incarnation)
			REPORT(v, block, "page of the run list belongs to another table");
		for (int i = 0; i < list->h.count; i++)
		{
			if (!store_has_blocks(v->rel, STORE_RUN_END(&list->runs[i]), &v->nblocks))
				REPORT(v, block, "run %u reaches past the end of the table", list->runs[i].first);
		}
		block = list->next;
	}
	if (v->problems > before)
		return false;

	/* raises an error if runs overlap */
	v->table = store_open(v->rel);
	for (int i = 0; i < v->table->nruns; i++)
	{
		if (v->table->runs[i].first < end)
			REPORT(v, v->table->list_block[i], "run %u overlaps another", v->table->runs[i].first);
		end = STORE_RUN_END(&v->table->runs[i]);
	}
	return v->problems == before;
}

/* ---- runs ---- */

/* Is something that links explain still so?  A row may be touched while we look. */
static bool
ledger_problem(Verify *v, ItemPointer link, ItemPointer row, const char **problem)
{
	Buffer		buffer;
	Page		page;
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(link);
	HeapTupleHeader t;
	uint32		length;
	ItemPointerData tag;

	*problem = NULL;
	if (offset == STORE_LINK_RECLAIMED && ItemPointerGetBlockNumberNoCheck(link) == 0)
		return false;
	if (ItemPointerGetBlockNumberNoCheck(link) >= RelationGetNumberOfBlocks(v->rel) ||
		offset > MaxHeapTuplesPerPage)
	{
		*problem = "link leads out of the table";
		return true;
	}
	buffer = ReadBuffer(v->rel, ItemPointerGetBlockNumberNoCheck(link));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (store_page_is_ours(page))
		*problem = "link leads to a page that is not of the log";
	else if (!store_log_tuple(page, offset, &t, &length))
		*problem = "link leads to a tuple that is out of place";
	else if (t != NULL)
	{
		/* a tuple with another tag, or none, took the place of a removed one */
		if (store_is_ledger(t) && !store_ledger_tag(t, &tag))
			*problem = "link leads to a tuple with a damaged tag";
	}
	UnlockReleaseBuffer(buffer);
	return *problem != NULL;
}

static void
verify_links(Verify *v, StoreRun *run, const StoreRows *rows, BlockNumber block, BlockNumber link_block,
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
		/* the bit was read before the links were */
		if (vm_set)
		{
			Buffer		vmbuffer = InvalidBuffer;

			if (store_vm_test(v->rel, block, &vmbuffer))
				REPORT(v, block, "row %u was touched, but the visibility map says that none was", row);
			if (BufferIsValid(vmbuffer))
				ReleaseBuffer(vmbuffer);
			vm_set = false;
		}
		ItemPointerSet(&tid, block, row);
		if (ledger_problem(v, &link, &tid, &problem))
			REPORT(v, link_block, "row (%u,%u): %s", block, row, problem);
	}
}

static void
verify_run(Verify *v, StoreRun *run)
{
	const StoreRows *rows = StorePageGetRows(v->page);
	char	   *link_page = palloc(BLCKSZ);
	uint32		link_group = PG_UINT32_MAX;
	BlockNumber link_block = InvalidBlockNumber;
	uint32		group = 0;
	uint32		base = 0;
	uint64		count = 0;
	bool		gaps = false;
	Buffer		vmbuffer = InvalidBuffer;
	bool	   *group_ok = palloc0(Max(run->groups, 1) * sizeof(bool));
	BlockNumber *link_blocks = palloc(Max(run->groups, 1) * sizeof(BlockNumber));

	/* where links are */
	for (uint32 g = 0; g < run->groups; g += STORE_GROUPS_PER_PAGE)
	{
		BlockNumber block = run->first + run->pages + g / STORE_GROUPS_PER_PAGE;
		const StoreGroups *groups = StorePageGetGroups(v->page);
		int			n = Min(STORE_GROUPS_PER_PAGE, run->groups - g);

		if (copy_page(v, block, v->page) != STORE_GROUPS || groups->h.run != run->id ||
			groups->h.version != STORE_VERSION || groups->h.hash != store_page_hash(v->page, block) || groups->first != g || groups->h.count != n)
		{
			REPORT(v, block, "page does not hold the groups of run %u", run->first);
			continue;
		}
		for (int i = 0; i < n; i++)
		{
			link_blocks[g + i] = groups->links[i];
			group_ok[g + i] = true;
			if (groups->links[i] != InvalidBlockNumber &&
				groups->links[i] >= RelationGetNumberOfBlocks(v->rel))
			{
				REPORT(v, block, "link page %u of group %u is past the end of the table", groups->links[i], g + i);
				group_ok[g + i] = false;
			}
		}
	}

	for (BlockNumber block = run->first; block < run->first + run->pages; block++)
	{
		const char *problem;
		bool		vm_set = store_vm_test(v->rel, block, &vmbuffer);

		CHECK_FOR_INTERRUPTS();
		(void) copy_page(v, block, v->page);
		problem = store_rows_problem(v->page, block);
		if (problem == NULL && (rows->h.run != run->id || rows->fxid != run->fxid))
			problem = "page belongs to another run";
		if (problem != NULL)
		{
			REPORT(v, block, "sealed page: %s", problem);
			gaps = true;
			continue;
		}
		count += rows->h.count;
		if (!gaps && !(rows->group == group && rows->group_base == base) &&
			!(rows->group == group + 1 && rows->group_base == 0))
			REPORT(v, block, "groups of run %u are not in order", run->first);
		group = rows->group;
		base = rows->group_base + rows->h.count;
		gaps = false;
		if (vm_set && !store_run_committed(run))
			REPORT(v, block, "visibility map says that rows of a run that did not commit are visible");
		if (rows->group >= run->groups)
		{
			REPORT(v, block, "group %u is out of range", rows->group);
			continue;
		}
		if (!group_ok[rows->group] || link_blocks[rows->group] == InvalidBlockNumber)
			continue;
		if (link_group != rows->group)
		{
			const StoreLinks *links = StorePageGetLinks(link_page);

			link_group = rows->group;
			link_block = link_blocks[link_group];
			if (copy_page(v, link_block, link_page) != STORE_LINKS || links->h.run != run->id ||
				links->h.version != STORE_VERSION || links->h.hash != store_page_hash(link_page, link_block) || links->group != link_group)
			{
				REPORT(v, link_block, "page does not hold the links of group %u of run %u", link_group, run->first);
				group_ok[link_group] = false;
				continue;
			}
		}
		verify_links(v, run, rows, block, link_block, link_page, vm_set);
	}
	if (!gaps && count != run->rows)
		REPORT(v, run->first, "run has " UINT64_FORMAT " rows, not " UINT64_FORMAT, count, run->rows);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
	pfree(link_page);
	pfree(group_ok);
	pfree(link_blocks);
}

/* ---- the log ---- */

/* A ledger tuple belongs to a row that links back to it. */
static const char *
tag_problem(Verify *v, BlockNumber block, OffsetNumber offset, HeapTupleHeader t)
{
	ItemPointerData tid,
				link;
	StorePage	p = {0};
	const char *problem = NULL;

	if (!store_ledger_tag(t, &tid))
		return "ledger tuple has a damaged tag";
	if (!ItemPointerIsValid(&tid) || !store_page_get(v->rel, v->table, ItemPointerGetBlockNumber(&tid), NULL, &p))
		return "ledger tuple belongs to no sealed row";
	if (ItemPointerGetOffsetNumber(&tid) > store_page_rows(&p)->h.count)
		problem = "ledger tuple belongs to no sealed row";
	else if (!store_run_aborted(p.run))
	{
		link = store_link_read(v->rel, &p, ItemPointerGetOffsetNumber(&tid));
		if (ItemPointerGetBlockNumberNoCheck(&link) != block || ItemPointerGetOffsetNumberNoCheck(&link) != offset)
			problem = "row of a ledger tuple does not link to it";
	}
	store_page_release(&p);
	return problem;
}

/* Where does a redirect lead? */
static const char *
redirect_problem(Page page, ItemId item)
{
	OffsetNumber to = ItemIdGetRedirect(item);
	HeapTupleHeader t;
	uint32		length;

	if (to < FirstOffsetNumber || to > PageGetMaxOffsetNumber(page))
		return "redirect leads out of the page";
	if (!store_log_tuple(page, to, &t, &length))
		return NULL;			/* said of the tuple itself */
	if (t == NULL)
		return "redirect leads to no tuple";
	return HeapTupleHeaderIsHeapOnly(t) ? NULL : "redirect leads to a tuple that is not heap-only";
}

/*
 * Transaction ids that core could not look up: older than what VACUUM has frozen
 * everything to, or not begun yet.  The page was read before this looks how far ids
 * have come.
 */
static const char *
xids_problem(Verify *v, HeapTupleHeader t)
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

/* Do the columns end where the tuple does, or before? */
static const char *
columns_problem(Verify *v, HeapTupleHeader t, uint32 len)
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

static void
verify_log_page(Verify *v, BlockNumber block)
{
	PageHeader	header = (PageHeader) v->page;
	OffsetNumber max;

	if (PageIsNew(v->page))
		return;
	if (header->pd_lower < SizeOfPageHeaderData || header->pd_lower > header->pd_upper ||
		header->pd_upper > header->pd_special || header->pd_special > BLCKSZ)
	{
		REPORT(v, block, "page header is damaged");
		return;
	}
	max = PageGetMaxOffsetNumber(v->page);
	if (max > MaxHeapTuplesPerPage)
	{
		REPORT(v, block, "page has too many items");
		return;
	}
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId		item = PageGetItemId(v->page, offset);
		HeapTupleHeader t;
		uint32		natts,
					need;
		const char *problem = NULL;

		if (ItemIdIsRedirected(item) && (problem = redirect_problem(v->page, item)) != NULL)
			REPORT(v, block, "item %u: %s", offset, problem);
		if (!ItemIdIsNormal(item))
			continue;
		if (ItemIdGetOffset(item) < header->pd_upper || ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
			ItemIdGetOffset(item) + ItemIdGetLength(item) > header->pd_special ||
			ItemIdGetLength(item) < SizeofHeapTupleHeader)
		{
			REPORT(v, block, "item %u is out of place", offset);
			continue;
		}
		t = (HeapTupleHeader) PageGetItem(v->page, item);
		natts = HeapTupleHeaderGetNatts(t);
		need = MAXALIGN(SizeofHeapTupleHeader + ((t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(natts) : 0));
		if ((int) natts > RelationGetDescr(v->rel)->natts)
			problem = "too many attributes";
		else if (t->t_hoff > ItemIdGetLength(item) || (t->t_hoff != need && t->t_hoff != need + STORE_TAG_SIZE))
			problem = "impossible header length";
		else if ((problem = xids_problem(v, t)) == NULL && (problem = columns_problem(v, t, ItemIdGetLength(item))) == NULL &&
				 store_is_ledger(t))
			problem = tag_problem(v, block, offset, t);
		if (problem != NULL)
		{
			/* removed, or another's by now? */
			Buffer		buffer = ReadBuffer(v->rel, block);
			Page		page = BufferGetPage(buffer);
			bool		same;

			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			same = offset <= PageGetMaxOffsetNumber(page) &&
				memcmp(PageGetItemId(page, offset), item, sizeof(ItemIdData)) == 0 &&
				((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset)))->t_hoff == t->t_hoff;
			UnlockReleaseBuffer(buffer);
			if (same)
				REPORT(v, block, "tuple %u: %s", offset, problem);
		}
	}
}

static void
verify_log(Verify *v)
{
	int			run = 0;

	for (BlockNumber block = 0; block < v->nblocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (run < v->table->nruns && block >= v->table->runs[run].first)
		{
			block = STORE_RUN_END(&v->table->runs[run]) - 1;
			run++;
			continue;
		}
		switch (copy_page(v, block, v->page))
		{
			case STORE_NOT_OURS:
				verify_log_page(v, block);
				break;
			case STORE_LIST:
			case STORE_LINKS:
			case STORE_ROWS:	/* of a seal that crashed */
			case STORE_GROUPS:
				break;
			default:
				REPORT(v, block, "unknown kind of page");
		}
	}
}

/* ---- deep: TOAST values ---- */

/* Are all chunks of an external value there? */
static bool
toast_is_complete(Verify *v, Relation toast, Relation *indexes, int valid, struct varatt_external *pointer)
{
	ScanKeyData key;
	SysScanDesc scan;
	SnapshotData snapshot;
	HeapTuple	tuple;
	int32		size = VARATT_EXTERNAL_GET_EXTSIZE(*pointer);
	int32		next = 0;
	int64		total = 0;
	bool		ok = true;

	init_toast_snapshot(&snapshot);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(pointer->va_valueid));
	scan = systable_beginscan_ordered(toast, indexes[valid], &snapshot, 1, &key);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		int32		seq = DatumGetInt32(fastgetattr(tuple, 2, RelationGetDescr(toast), &isnull));
		Pointer		chunk = isnull ? NULL : DatumGetPointer(fastgetattr(tuple, 3, RelationGetDescr(toast), &isnull));

		if (isnull || chunk == NULL || seq != next++)
			ok = false;
		else
			total += VARSIZE_ANY_EXHDR(chunk);
	}
	systable_endscan_ordered(scan);
	return ok && total == size;
}

static void
verify_toast(Verify *v, Snapshot snapshot)
{
	TupleDesc	desc = RelationGetDescr(v->rel);
	TupleTableSlot *slot;
	TableScanDesc scan;
	Relation	toast;
	Relation   *indexes;
	int			nindexes,
				valid;

	if (!OidIsValid(v->rel->rd_rel->reltoastrelid))
		return;
	toast = table_open(v->rel->rd_rel->reltoastrelid, AccessShareLock);
	valid = toast_open_indexes(toast, AccessShareLock, &indexes, &nindexes);
	slot = table_slot_create(v->rel, NULL);
	scan = table_beginscan(v->rel, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);
			struct varlena *value;
			struct varatt_external pointer;

			if (att->attisdropped || att->attlen != -1 || slot->tts_isnull[i])
				continue;
			value = (struct varlena *) DatumGetPointer(slot->tts_values[i]);
			if (!VARATT_IS_EXTERNAL_ONDISK(value))
				continue;
			VARATT_EXTERNAL_GET_POINTER(pointer, value);
			if (pointer.va_toastrelid != RelationGetRelid(toast))
				REPORT(v, ItemPointerGetBlockNumber(&slot->tts_tid), "row (%u,%u), column \"%s\": its value is in another TOAST table",
					   ItemPointerGetBlockNumber(&slot->tts_tid), ItemPointerGetOffsetNumber(&slot->tts_tid), NameStr(att->attname));
			else if (!toast_is_complete(v, toast, indexes, valid, &pointer))
				REPORT(v, ItemPointerGetBlockNumber(&slot->tts_tid), "row (%u,%u), column \"%s\": TOAST value %u is incomplete",
					   ItemPointerGetBlockNumber(&slot->tts_tid), ItemPointerGetOffsetNumber(&slot->tts_tid),
					   NameStr(att->attname), pointer.va_valueid);
		}
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	toast_close_indexes(indexes, nindexes, AccessShareLock);
	table_close(toast, AccessShareLock);
}

/* ---- deep: indexes ---- */

/* Look for the row in the slot through an index. */
static bool
index_finds(Verify *v, Relation index, IndexScanDesc scan, TupleTableSlot *found, Datum *values, bool *isnull,
			FmgrInfo *equal, StrategyNumber strategy, ItemPointer tid)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	ScanKeyData keys[INDEX_MAX_KEYS];

	for (int i = 0; i < nkeys; i++)
	{
		if (isnull[i])
			ScanKeyEntryInitialize(&keys[i], SK_ISNULL | SK_SEARCHNULL, i + 1, InvalidStrategy, InvalidOid,
								   InvalidOid, InvalidOid, (Datum) 0);
		else
			ScanKeyEntryInitializeWithInfo(&keys[i], 0, i + 1, strategy, index->rd_opcintype[i],
										   index->rd_indcollation[i], &equal[i], values[i]);
	}
	index_rescan(scan, keys, nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, found))
	{
		CHECK_FOR_INTERRUPTS();
		if (ItemPointerEquals(&found->tts_tid, tid))
			return true;
	}
	return false;
}

static void
verify_index(Verify *v, Relation index, Snapshot snapshot)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	bool		hash = index->rd_rel->relam == HASH_AM_OID;
	StrategyNumber strategy = hash ? HTEqualStrategyNumber : BTEqualStrategyNumber;
	FmgrInfo	equal[INDEX_MAX_KEYS];
	IndexInfo  *info = BuildIndexInfo(index);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	TupleTableSlot *slot = table_slot_create(v->rel, NULL);
	TupleTableSlot *found = table_slot_create(v->rel, NULL);
	ExprState  *predicate = ExecPrepareQual(info->ii_Predicate, estate);
	TableScanDesc scan;
	IndexScanDesc index_scan;

	for (int i = 0; i < nkeys; i++)
	{
		Oid			operator = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
												   index->rd_opcintype[i], strategy);

		fmgr_info(get_opcode(operator), &equal[i]);
	}
	econtext->ecxt_scantuple = slot;
	scan = table_beginscan(v->rel, snapshot, 0, NULL);
	index_scan = index_beginscan(v->rel, index, snapshot, nkeys, 0);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		ItemPointerData tid = slot->tts_tid;

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(estate);
		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		FormIndexDatum(info, slot, estate, values, isnull);
		if (hash && isnull[0])
			continue;			/* not in the index */
		if (!index_finds(v, index, index_scan, found, values, isnull, equal, strategy, &tid))
			REPORT(v, ItemPointerGetBlockNumber(&tid), "row (%u,%u) is not found through index \"%s\"",
				   ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid), RelationGetRelationName(index));
	}
	index_endscan(index_scan);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(found);
	FreeExecutorState(estate);
}

static void
verify_indexes(Verify *v, Snapshot snapshot)
{
	List	   *oids = RelationGetIndexList(v->rel);
	Oid			rmi = get_index_am_oid("kyro_rmi", true);
	ListCell   *lc;

	foreach(lc, oids)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Oid			am = index->rd_rel->relam;

		if (index->rd_index->indisvalid && (am == BTREE_AM_OID || am == HASH_AM_OID || am == rmi) &&
			!(index->rd_index->indcheckxmin &&
			  !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), snapshot->xmin)))
			verify_index(v, index, snapshot);
		index_close(index, AccessShareLock);
	}
	list_free(oids);
}

/*
 * Report what is wrong with a table.  The caller holds ShareUpdateExclusiveLock
 * on it, on a standby AccessShareLock, and runs as its owner.
 */
void
store_verify(Relation rel, bool deep, StoreReport report, void *arg)
{
	Verify		v = {0};

	v.rel = rel;
	v.nblocks = RelationGetNumberOfBlocks(rel);
	v.report = report;
	v.arg = arg;
	v.page = palloc(BLCKSZ);
	if (v.nblocks == 0)
	{
		REPORT(&v, InvalidBlockNumber, "table has no run list");
		return;
	}
	if (!verify_list(&v))
		return;
	for (int i = 0; i < v.table->nruns; i++)
		verify_run(&v, &v.table->runs[i]);
	if (v.problems == 0)
		verify_log(&v);

	/* rows of damaged pages cannot be read */
	if (deep && v.problems == 0)
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

		verify_toast(&v, snapshot);
		verify_indexes(&v, snapshot);
		UnregisterSnapshot(snapshot);
	}
	pfree(v.page);
}
