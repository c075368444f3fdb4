/*-------------------------------------------------------------------------
 *
 * page.c
 *	  Making and checking the pages of a kyro table.
 *
 * IDENTIFICATION
 *	  src/store/page.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memdebug.h"
#include "utils/rel.h"

#include "model/hash.h"
#include "store/store.h"

void
store_page_init(Page page, StorePageKind kind, uint64 run)
{
	PageHeader	p = (PageHeader) page;
	StoreHeader *h;

	PageInit(page, BLCKSZ, 0);
	p->pd_upper = p->pd_lower;
	PageSetAllVisible(page);
	h = StorePageGetHeader(page);
	h->magic = STORE_MAGIC;
	h->kind = kind;
	h->version = STORE_VERSION;
	h->run = run;
}

uint64
store_page_hash(const void *page, BlockNumber block)
{
	const char *start = (const char *) StorePageGetHeader(page);
	const char *after = (const char *) &StorePageGetHeader(page)->hash + sizeof(uint64);
	uint64		head[2];

	StaticAssertStmt(offsetof(StoreHeader, hash) == 16, "two words precede the hash");
	memcpy(head, start, sizeof(head));
	/* under valgrind: is all that is hashed initialised? */
	VALGRIND_CHECK_MEM_IS_DEFINED(head, sizeof(head));
	VALGRIND_CHECK_MEM_IS_DEFINED(after, (const char *) page + BLCKSZ - after);
	return kyro_hash(after, (const char *) page + BLCKSZ - after, kyro_hash(head, sizeof(head), block));
}

static const char *
header_problem(const void *page, BlockNumber block, StorePageKind kind)
{
	const StoreHeader *h = StorePageGetHeader(page);

	if (!store_page_is_ours(page))
		return "page is not a page of a kyro table's runs";
	if (h->version != STORE_VERSION)
		return "unknown page version";
	if (h->kind != kind)
		return "page is of another kind";
	if (h->hash != store_page_hash(page, block))
		return "checksum does not match";
	return NULL;
}

const char *
store_rows_problem(const void *page, BlockNumber block)
{
	const StoreRows *rows = StorePageGetRows(page);
	const char *problem = header_problem(page, block, STORE_ROWS);
	uint32		end;

	if (problem != NULL)
		return problem;
	if (rows->h.count == 0 || rows->h.count > MaxHeapTuplesPerPage)
		return "number of rows out of range";
	if (rows->natts > MaxTupleAttributeNumber)
		return "number of attributes out of range";
	if ((int) rows->group_base + rows->h.count > STORE_LINKS_PER_GROUP)
		return "rows beyond their group";
	end = STORE_ROWS_START + (rows->h.count + 1) * sizeof(uint16);
	for (int i = 0; i <= rows->h.count; i++)
	{
		uint32		offset = STORE_ROW_OFFSET(rows->rows[i]);
		uint32		need = 0;

		if (offset < end || offset > STORE_ROWS_END)
			return "offset of a row out of range";
		if (i < rows->h.count && (STORE_ROW_FLAGS(rows->rows[i]) & HEAP_HASNULL))
			need = BITMAPLEN(rows->natts);
		end = offset + need;
	}
	return NULL;
}

const char *
store_list_problem(const void *page, BlockNumber block)
{
	const StoreList *list = StorePageGetList(page);
	const char *problem = header_problem(page, block, STORE_LIST);

	if (problem != NULL)
		return problem;
	if (list->h.count > STORE_RUNS_PER_PAGE)
		return "number of runs out of range";
	for (int i = 0; i < list->h.count; i++)
	{
		const StoreRun *r = &list->runs[i];

		if (r->state > RUN_DEAD || r->pages == 0 || r->groups == 0 || r->groups > r->pages ||
			r->first == 0 || r->first >= MaxBlockNumber ||
			(uint64) r->first + r->pages + STORE_GROUP_PAGES((uint64) r->groups) > MaxBlockNumber)
			return "run with impossible bounds";
	}
	return NULL;
}

bool
store_page_is_heap(const void *page)
{
	const PageHeaderData *p = (const PageHeaderData *) page;
	int			n = ((int) p->pd_lower - (int) SizeOfPageHeaderData) / (int) sizeof(ItemIdData);
	bool		stored = false;

	if (p->pd_lower < SizeOfPageHeaderData || (p->pd_lower - SizeOfPageHeaderData) % sizeof(ItemIdData) != 0 ||
		p->pd_lower > p->pd_upper || p->pd_upper > BLCKSZ || p->pd_upper != MAXALIGN(p->pd_upper) ||
		p->pd_special != BLCKSZ || PageGetPageSize((Page) page) != BLCKSZ ||
		PageGetPageLayoutVersion((Page) page) != PG_PAGE_LAYOUT_VERSION ||
		(p->pd_flags & ~PD_VALID_FLAG_BITS) != 0 || n > (int) MaxHeapTuplesPerPage)
		return false;
	for (int i = 0; i < n; i++)
	{
		const ItemIdData *item = &p->pd_linp[i];

		if (ItemIdIsNormal(item))
		{
			const HeapTupleHeaderData *t = (const HeapTupleHeaderData *) ((const char *) page + ItemIdGetOffset(item));

			if (ItemIdGetOffset(item) < p->pd_upper || ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
				ItemIdGetLength(item) < SizeofHeapTupleHeader ||
				ItemIdGetOffset(item) + ItemIdGetLength(item) > BLCKSZ ||
				t->t_hoff < SizeofHeapTupleHeader || t->t_hoff > ItemIdGetLength(item))
				return false;
			stored = true;
		}
		else if (ItemIdIsRedirected(item) ? ItemIdGetRedirect(item) < 1 || (int) ItemIdGetRedirect(item) > n :
				 ItemIdHasStorage(item))
			return false;
	}
	/* heap code leaves no hole behind the last tuple */
	return (stored || p->pd_upper == BLCKSZ) && (n > 0 || StorePageGetHeader(page)->magic != STORE_MAGIC);
}

void
store_corrupt(Relation rel, BlockNumber block, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("table \"%s\" is damaged in block %u: %s",
					RelationGetRelationName(rel), block, problem),
			 errhint("Restore the table from a backup. kyro.verify() lists what is damaged.")));
}
