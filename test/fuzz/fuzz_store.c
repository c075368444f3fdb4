/*-------------------------------------------------------------------------
 *
 * fuzz_store.c
 *	  A kyro table whose pages hold any bytes: run list, sealed rows, groups,
 *	  links, ledger tuples.
 *
 * Whatever is on the pages, reading ends, with rows or with the error for
 * damage.  If kyro.verify() calls the table sound, every row can be read, be
 * touched, and be read again.
 *
 * Input: a seed (8 bytes) and pages (see server.c).  What to mend of a page:
 * bit 0 its checksum, bit 1 the header, with its kind in bits 2 to 4.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_store.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/hio.h"
#include "access/multixact.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "access/xlog_internal.h"
#include "executor/tuptable.h"
#include "storage/predicate.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "fuzz.h"
#include "server.h"
#include "store/store.h"

#define ATTRIBUTES 20			/* of the table */

/* ---- what src/store wants of the rest of the server ---- */

static bool xlog_checking[RM_MAX_ID + 1];
bool	   *wal_consistency_checking = xlog_checking;

/* transactions: a third each committed, aborted, and committed long ago */
bool
TransactionIdDidCommit(TransactionId xid)
{
	return xid % 3 != 0;
}

bool
TransactionIdIsInProgress(TransactionId xid)
{
	return false;
}

bool
TransactionIdIsCurrentTransactionId(TransactionId xid)
{
	return false;
}

bool
XidInMVCCSnapshot(TransactionId xid, Snapshot snapshot)
{
	return xid % 17 == 0;
}

FullTransactionId
ReadNextFullTransactionId(void)
{
	return FullTransactionIdFromU64(UINT64CONST(0x300000000));
}

bool
TransactionIdPrecedes(TransactionId id1, TransactionId id2)
{
	return (int32) (id1 - id2) < 0;
}

bool
TransactionIdFollowsOrEquals(TransactionId id1, TransactionId id2)
{
	return !TransactionIdPrecedes(id1, id2);
}

bool
MultiXactIdPrecedes(MultiXactId multi1, MultiXactId multi2)
{
	return (int32) (multi1 - multi2) < 0;
}

MultiXactId
ReadNextMultiXactId(void)
{
	return 1000;
}

/* heap code follows a tuple's header */
static uint32
header_sum(HeapTuple tuple)
{
	const uint8 *p = (const uint8 *) tuple->t_data;
	uint32		sum = 0;

	for (uint32 i = 0; i < tuple->t_len; i++)
		sum += p[i];
	EXPECT(tuple->t_len >= SizeofHeapTupleHeader && tuple->t_data->t_hoff <= tuple->t_len);
	return sum;
}

bool
HeapTupleSatisfiesVisibility(HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	(void) header_sum(tuple);
	return (tuple->t_data->t_infomask & HEAP_XMAX_INVALID) != 0;
}

HTSV_Result
HeapTupleSatisfiesVacuum(HeapTuple tuple, TransactionId oldest_xmin, Buffer buffer)
{
	return header_sum(tuple) % 5;
}

TransactionId
HeapTupleGetUpdateXid(HeapTupleHeader tuple)
{
	return tuple->t_choice.t_heap.t_xmax;
}

void
HeapCheckForSerializableConflictOut(bool visible, Relation relation, HeapTuple tuple, Buffer buffer,
									Snapshot snapshot)
{
}

void
heap_freetuple(HeapTuple htup)
{
	pfree(htup);
}

/* always a new page */
Buffer
RelationGetBufferForTuple(Relation relation, Size len, Buffer otherBuffer, int options,
						  struct BulkInsertStateData *bistate, Buffer *vmbuffer, Buffer *vmbuffer_other)
{
	Buffer		buffer = ReadBufferExtended(relation, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);

	PageInit(BufferGetPage(buffer), BLCKSZ, 0);
	return buffer;
}

OffsetNumber
PageAddItemExtended(Page page, Item item, Size size, OffsetNumber offsetNumber, int flags)
{
	PageHeader	p = (PageHeader) page;
	int			n = PageGetMaxOffsetNumber(page);

	EXPECT(size <= MaxHeapTupleSize && MAXALIGN(size) + sizeof(ItemIdData) <= (Size) (p->pd_upper - p->pd_lower));
	p->pd_upper -= MAXALIGN(size);
	ItemIdSetNormal(&p->pd_linp[n], p->pd_upper, size);
	memcpy(page + p->pd_upper, item, size);
	p->pd_lower += sizeof(ItemIdData);
	return n + 1;
}

Size
PageGetHeapFreeSpace(Page page)
{
	PageHeader	p = (PageHeader) page;
	int			space = (int) p->pd_upper - (int) p->pd_lower - (int) sizeof(ItemIdData);

	return space < 0 || PageGetMaxOffsetNumber(page) >= MaxHeapTuplesPerPage ? 0 : space;
}

/* heap code sees log pages only */
void
heap_page_prune_opt(Relation relation, Buffer buffer)
{
	EXPECT(!store_page_is_ours(BufferGetPage(buffer)));
}

static PGPROC proc = {.xmin = 1000};

PGPROC	   *MyProc = &proc;

GlobalVisState *
GlobalVisTestFor(Relation rel)
{
	return NULL;
}

bool
GlobalVisTestIsRemovableFullXid(GlobalVisState *state, FullTransactionId fxid)
{
	return U64FromFullTransactionId(fxid) % 2 == 0;
}

TransactionId
GetTopTransactionIdIfAny(void)
{
	return 1000;
}

TransactionId
GetCurrentTransactionId(void)
{
	return 1000;
}

void
store_conflicts_moved(Relation rel, StoreTable *table, const StoreRun *run, ItemPointer to, Snapshot snapshot)
{
	EXPECT(!store_run_aborted(unconstify(StoreRun *, run)));
}

void
store_conflicts_ledger(Relation rel, StoreTable *table, HeapTupleHeader t, ItemPointer self, Snapshot snapshot)
{
}

bool
HeapTupleIsSurelyDead(HeapTuple tuple, GlobalVisState *vistest)
{
	return header_sum(tuple) % 2 == 0;
}

void
kyro_advance_horizon(HeapTupleHeader tuple, TransactionId *horizon)
{
	*horizon = tuple->t_choice.t_heap.t_xmax;
}

/* the visibility map says nothing, so that everything is looked at */
bool
store_vm_test(Relation rel, BlockNumber block, Buffer *vmbuffer)
{
	return false;
}

void
store_vm_clear(Relation rel, BlockNumber block, uint32 n, Buffer *vmbuffer)
{
}

void
visibilitymap_pin(Relation rel, BlockNumber heapBlk, Buffer *vmbuf)
{
}

/* nor is the file mapped */
const char *
store_map_page(Relation rel, StoreTable *table, BlockNumber block)
{
	return NULL;
}

bool
store_map_failed(void)
{
	return false;
}

void
store_map_distrust(StoreTable *table, BlockNumber block)
{
}

void
store_map_set_make_room(bool (*function) (void))
{
}

void
store_map_drop(StoreTable *table)
{
}

void
store_map_unverify(StoreTable *table, BlockNumber first, BlockNumber end)
{
}

int
store_map_segments(const StoreTable *table)
{
	return 0;
}

void
store_map_raise(Relation rel, StoreTable *table, BlockNumber block)
{
	store_corrupt(rel, block, "row is shorter than it may be");
}

bool
store_page_verified(StoreTable *table, BlockNumber block)
{
	return false;
}

void
store_page_set_verified(StoreTable *table, BlockNumber block)
{
}

static void
clear_slot(TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *b = (BufferHeapTupleTableSlot *) slot;

	if (TTS_SHOULDFREE(slot))
		pfree(b->base.tuple);
	slot->tts_flags = TTS_FLAG_EMPTY;
	b->base.tuple = NULL;
}

const TupleTableSlotOps TTSOpsBufferHeapTuple = {.base_slot_size = sizeof(BufferHeapTupleTableSlot), .clear = clear_slot};

/* ---- reading ---- */

int			kyro_table_cache = 1024;

Size
MemoryContextMemAllocated(MemoryContext context, bool recurse)
{
	return 0;
}

static uint64 rng;
static SnapshotData mvcc = {.snapshot_type = SNAPSHOT_MVCC};
static SnapshotData dirty = {.snapshot_type = SNAPSHOT_DIRTY};

static void
mend(Page page, BlockNumber block, int how)
{
	PageHeader	p = (PageHeader) page;
	StoreHeader *h = StorePageGetHeader(page);

	if (how & 2)
	{
		p->pd_flags = PD_ALL_VISIBLE;
		p->pd_lower = p->pd_upper = SizeOfPageHeaderData;
		p->pd_special = BLCKSZ;
		PageSetPageSizeAndVersion(page, BLCKSZ, PG_PAGE_LAYOUT_VERSION);
		h->magic = STORE_MAGIC;
		h->version = STORE_VERSION;
		h->kind = how >> 2 & 7;
	}
	if (how & 1)
		h->hash = store_page_hash(page, block);
}

static StoreTable *table;
static int	problems;

static void
report(void *arg, BlockNumber block, const char *format,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	problems++;
	if (getenv("FUZZ_MESSAGES"))
		fprintf(stderr, "block %u: %s\n", block, text);
}

static void
verify(void *rel)
{
	problems = 0;
	store_verify(rel, false, report, NULL);
}

static void
open_table(void *rel)
{
	table = store_open(rel);
	for (int i = 0; i < table->nruns; i++)
	{
		EXPECT(table->runs[i].first > 0);
		EXPECT(STORE_RUN_END(&table->runs[i]) <= server_blocks());
		EXPECT(i == 0 || STORE_RUN_END(&table->runs[i - 1]) <= table->runs[i].first);
	}
	for (BlockNumber b = 0; b < server_blocks() + 2; b++)
	{
		StoreRun   *run = store_find_run(table, b);
		StoreRun   *want = NULL;

		for (int i = 0; i < table->nruns; i++)
			if (b >= table->runs[i].first && b < table->runs[i].first + table->runs[i].pages)
				want = &table->runs[i];
		EXPECT(run == want);
	}
}

static BlockNumber block;
static int	rows_read;
static int	rows_touched;

/* Row number `row` of a page is what the page says, byte by byte. */
static void
check_tuple(const StorePage *p, OffsetNumber row, HeapTuple tuple)
{
	const char *page = (const char *) server_page(p->block);
	const StoreRows *rows = StorePageGetRows(page);
	uint32		from = STORE_ROW_OFFSET(rows->rows[row - 1]);
	uint32		to = STORE_ROW_OFFSET(rows->rows[row]);
	HeapTupleHeader t = tuple->t_data;
	uint32		bitmap = (t->t_infomask & HEAP_HASNULL) ? BITMAPLEN(rows->natts) : 0;

	EXPECT(row <= rows->h.count && from + bitmap <= to && to <= BLCKSZ);
	EXPECT(tuple->t_len == t->t_hoff + to - from - bitmap);
	EXPECT(t->t_hoff == MAXALIGN(SizeofHeapTupleHeader + bitmap));
	EXPECT(HeapTupleHeaderGetNatts(t) == rows->natts);
	EXPECT(memcmp(t->t_bits, page + from, bitmap) == 0);
	EXPECT(memcmp((char *) t + t->t_hoff, page + from + bitmap, to - from - bitmap) == 0);
	EXPECT(!store_is_ledger(t));
	EXPECT(ItemPointerGetBlockNumber(&tuple->t_self) == p->block && ItemPointerGetOffsetNumber(&tuple->t_self) == row);
}

static void
read_page(void *rel)
{
	StorePage	p = {0};
	OffsetNumber visible[MaxHeapTuplesPerPage];
	TupleTableSlot empty = {.type = T_TupleTableSlot, .tts_ops = &TTSOpsBufferHeapTuple, .tts_flags = TTS_FLAG_EMPTY, .tts_mcxt = CurrentMemoryContext};
	BufferHeapTupleTableSlot slot = {.base.base = empty};
	int			count;
	int			n;

	table = store_open(rel);
	if (!store_page_get(rel, table, block, NULL, &p))
	{
		StoreRun   *run = store_find_run(table, block);

		EXPECT(run == NULL || store_run_aborted(run));
		return;
	}
	count = store_page_rows(&p)->h.count;
	EXPECT(count >= 1 && count <= MaxHeapTuplesPerPage);
	n = store_page_visible_rows(rel, &p, &mvcc, visible);
	for (int i = 0, at = 0; i < count; i++)
	{
		HeapTuple	tuple = store_row_copy(rel, &p, i + 1);
		bool		all_dead;
		TransactionId xwait;
		TransactionId horizon = InvalidTransactionId;

		check_tuple(&p, i + 1, tuple);
		heap_freetuple(tuple);
		store_row_slot(rel, &p, i + 1, &slot.base.base);
		check_tuple(&p, i + 1, slot.base.tuple);
		if (store_row_visible(rel, &p, i + 1, &mvcc, &all_dead))
			EXPECT(at < n && visible[at++] == i + 1);
		(void) store_row_visible(rel, &p, i + 1, &dirty, NULL);
		(void) store_row_vacuum_status(rel, &p, i + 1, 1000, &xwait);
		(void) store_row_removable(rel, &p, i + 1, i % 2 == 0, &mvcc, &horizon);
		rows_read++;
	}
	ExecClearTuple(&slot.base.base);
	store_page_release(&p);
}

/* The first touch of a row, or of one that was touched before. */
static void
touch_row(void *rel)
{
	StorePage	p = {0};
	OffsetNumber row;
	ItemPointerData ledger,
				again,
				tid;
	HeapTupleData tuple;
	Buffer		buffer;
	bool		fresh;

	table = store_open(rel);
	if (!store_page_get(rel, table, block, NULL, &p))
		return;
	row = 1 + fuzz_random(&rng) % store_page_rows(&p)->h.count;
	again = store_link_read(rel, &p, row);
	fresh = again.ip_posid == 0;
	store_touch(rel, &p, row, &ledger, NULL);
	EXPECT(ledger.ip_posid != 0);
	again = store_link_read(rel, &p, row);
	EXPECT(memcmp(&again, &ledger, sizeof(again)) == 0);
	ItemPointerSet(&tid, block, row);
	if (store_ledger_get(rel, &ledger, &tid, &tuple, &buffer))
	{
		(void) header_sum(&tuple);
		UnlockReleaseBuffer(buffer);
	}
	else
		EXPECT(!fresh);
	store_page_release(&p);
	rows_touched += fresh;
}

static void
change_list(void *rel)
{
	StoreRun	run = {.id = 77, .state = RUN_COMMITTED, .first = server_blocks(), .pages = 1, .groups = 1};

	store_list_resolve(rel);
	store_list_clean(rel);
	if (fuzz_random(&rng) % 2)
		store_list_add(rel, store_open(rel)->list_room, &run, fuzz_random(&rng) % 20);
}

static bool
run(void (*command) (void *), Relation rel, bool reads_only)
{
	bool		done = server_try(command, rel, 0, false);

	if (reads_only)
		EXPECT(server_changes == 0);
	if (!done)
		EXPECT(server_sqlstate == ERRCODE_DATA_CORRUPTED);
	return done;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static TupleDesc desc = NULL;
	Relation	rel;
	bool		sound;
	BlockNumber blocks;

	if (size < 10)
		return 0;
	if (desc == NULL)
	{
		store_table_init();
		/* columns of every length and alignment */
		static const struct
		{
			int16		len;
			char		align;
		}			types[] = {{8, TYPALIGN_DOUBLE}, {-1, TYPALIGN_INT}, {4, TYPALIGN_INT}, {2, TYPALIGN_SHORT},
		{1, TYPALIGN_CHAR}, {-2, TYPALIGN_CHAR}, {-1, TYPALIGN_DOUBLE}, {64, TYPALIGN_CHAR}};

		desc = calloc(1, sizeof(TupleDescData) + ATTRIBUTES * sizeof(FormData_pg_attribute));
		desc->natts = ATTRIBUTES;
		for (int i = 0; i < ATTRIBUTES; i++)
		{
			TupleDescAttr(desc, i)->attlen = types[i % lengthof(types)].len;
			TupleDescAttr(desc, i)->attalign = types[i % lengthof(types)].align;
		}
	}
	server_reset();
	server_read_limit = 100000;
	rel = server_relation(0);
	rel->rd_att = desc;
	memcpy(&rng, data, 8);
	data += 8;
	size -= 8;
	blocks = server_load(&data, &size, mend);

	sound = run(verify, rel, true) && problems == 0;
	if (!run(open_table, rel, true))
	{
		EXPECT(!sound);
		return 0;
	}
	for (block = 0; block < blocks; block++)
		if (!run(read_page, rel, true))
			EXPECT(!sound);
	for (int i = 0; i < 20; i++)
	{
		block = fuzz_random(&rng) % blocks;
		if (!run(touch_row, rel, false))
			EXPECT(!sound);
		else if (!run(read_page, rel, true))
			EXPECT(!sound);
	}
	if (sound)
	{
		EXPECT(run(verify, rel, true));
		EXPECT(problems == 0);
	}
	if (!run(change_list, rel, false))
		EXPECT(!sound);
	(void) run(open_table, rel, true);
	return 0;
}
