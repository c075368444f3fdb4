/*-------------------------------------------------------------------------
 *
 * index.c
 *	  Commands on a kyro_rmi index in the file of server.h.
 *
 * IDENTIFICATION
 *	  test/fuzz/index.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "access/xloginsert.h"
#include "access/relation.h"
#include "catalog/pg_am_d.h"
#include "commands/progress.h"
#include "funcapi.h"
#include "inspect/report.h"
#include "inspect/table.h"
#include "inspect/target.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "index.h"
#include "guc.h"
#include "preload.h"
#include "keys/keys.h"
#include "rmi/build.h"
#include "rmi/dirshare.h"
#include "store/store.h"

extern Datum kyro_verify(PG_FUNCTION_ARGS);
extern Datum kyro_rebuild(PG_FUNCTION_ARGS);

int
idx_row_cmp(const void *a, const void *b)
{
	return kyro_fence_cmp(idx_row_fence(*(const IndexRow *) a), idx_row_fence(*(const IndexRow *) b));
}

/* ---- what src/rmi and src/inspect want of the rest of the server ---- */

int			kyro_directory_cache = 1024;

char *
keys_problem(Oid index)
{
	return NULL;
}

bool		kyro_resource_manager = true;
int			ParallelWorkerNumber = -1;

/* ---- dirshare.c of a server without shared copies ---- */

bool
rmi_share_enabled(void)
{
	return false;
}

bool
rmi_share_fits(Size bytes)
{
	return false;
}

uint32
rmi_share_news(void)
{
	return 0;
}

uint32
rmi_share_count(Oid relid)
{
	return 0;
}

void
rmi_share_count_anew(Oid relid)
{
}

RmiShareFound
rmi_share_find(const RmiShareId *id, RmiSharePin *pin, RmiDirCopy *copy)
{
	return RMI_SHARE_NONE;
}

bool
rmi_share_put(const RmiShareId *id, RmiDirCopy *copy, RmiSharePin *pin)
{
	return false;
}

bool
rmi_share_pin(const RmiSharePin *pin)
{
	return false;
}

void
rmi_share_unpin(const RmiSharePin *pin)
{
}

bool
kyro_preloaded(void)
{
	return true;
}

void
pgstat_progress_update_param(int index, int64 val)
{
}

void
log_newpage_range(Relation rel, ForkNumber forkNum, BlockNumber startblk, BlockNumber endblk, bool page_std)
{
	for (BlockNumber block = startblk; block < endblk; block++)
		server_standby_copy(block);
}

/* As redo.c. */
static void
redo(int kind, Page page, BlockNumber block, const uint8 *data, Size len)
{
	static RmiOpSpace space;
	RmiOp		op;
	const char *problem = rmi_op_decode(&op, kind, page, data, len, &space);

	if (kind == RMI_OP_FREE || kind == RMI_OP_RELEASE)
		op.block = block;
	if (problem == NULL && !rmi_apply(&op, page))
		problem = "the page cannot take it";
	if (problem != NULL)
	{
		fprintf(stderr, "cannot replay an op of kind %d: %s\n", kind, problem);
		abort();
	}
}

/* As checked.c, but what one input has left must not make the next one look sound. */
static uint32 checked[MAX_BLOCKS];

static uint32
note_for(Buffer buf)
{
	return (uint32) leaf_header(BufferGetPage(buf))->sum | 1;
}

bool
rmi_leaf_is_checked(Buffer buf)
{
	return checked[BufferGetBlockNumber(buf)] == note_for(buf);
}

void
rmi_leaf_note_checked(Buffer buf)
{
	checked[BufferGetBlockNumber(buf)] = note_for(buf);
}

bool
rmi_leaf_sum_ok(Buffer buf)
{
	if (rmi_leaf_is_checked(buf))
		return true;
	if (!leaf_sum_ok(BufferGetPage(buf)))
		return false;
	rmi_leaf_note_checked(buf);
	return true;
}

/* rows for a build: as if they were the table's */
static const IndexRow *build_rows;
static int	build_n;

static double
build_scan(Relation table_rel, Relation index_rel, struct IndexInfo *index_info, bool allow_sync,
		   bool anyvisible, bool progress, BlockNumber start_blockno, BlockNumber numblocks,
		   IndexBuildCallback callback, void *callback_state, TableScanDesc scan)
{
	for (int i = 0; i < build_n; i++)
	{
		Datum		value = Int64GetDatum(build_rows[i].key);
		bool		isnull = build_rows[i].isnull;
		ItemPointerData tid;

		kyro_tid_to_pointer(build_rows[i].tid, &tid);
		callback(index_rel, &tid, &value, &isnull, true, callback_state);
	}
	return build_n;
}

/* sorting, in memory */
struct RmiSort
{
	RmiSortItem *items;
	int			n;
	int			size;
	int			next;
};

RmiSort *
rmi_sort_begin(int workMem_kB)
{
	return palloc0(sizeof(RmiSort));
}

void
rmi_sort_put(RmiSort *s, bool isnull, int64 key, uint64 tid, bool alive)
{
	if (s->n == s->size)
	{
		s->size = s->size * 2 + 64;
		s->items = s->items ? repalloc(s->items, s->size * sizeof(RmiSortItem)) :
			palloc(s->size * sizeof(RmiSortItem));
	}
	s->items[s->n++] = (RmiSortItem) {isnull ? 0 : key, tid, isnull, alive};
}

static int
sort_cmp(const void *a, const void *b)
{
	const RmiSortItem *x = a;
	const RmiSortItem *y = b;

	return kyro_fence_cmp((KyroFence) {x->key, x->tid, x->isnull}, (KyroFence) {y->key, y->tid, y->isnull});
}

void
rmi_sort_perform(RmiSort *s)
{
	if (s->n > 0)
		qsort(s->items, s->n, sizeof(RmiSortItem), sort_cmp);
}

bool
rmi_sort_next(RmiSort *s, RmiSortItem *out)
{
	if (s->next == s->n)
		return false;
	*out = s->items[s->next++];
	return true;
}

uint64
rmi_sort_count(const RmiSort *s)
{
	return s->n;
}

void
rmi_sort_end(RmiSort *s)
{
}

/* no workers */
RmiParallelBuild *
rmi_parallel_build_begin(Relation heap, Relation index, IndexInfo *info)
{
	return NULL;
}

/* functions of SQL: the argument is the session */
static FormData_pg_class heap_class = {.relam = HEAP_TABLE_AM_OID};

/* entries that are removed because their rows are dead */
bool		(*idx_is_dead) (uint64 tid) = NULL;
void		(*idx_deleted) (uint64 tid) = NULL;

/* those that the table has said are dead, until the record that says so to standbys */
static uint64 dead_tids[KYRO_LEAF_MAX_ENTRIES];
static int	ndead = 0;

/* As heap's: asked about what is not known it looks at a part, and leaves it in another order. */
static TransactionId
delete_tuples(Relation rel, TM_IndexDeleteOp *op)
{
	int			found = 0;
	int			n = 0;

	ndead = 0;
	for (int i = op->ndeltids - 1; i >= 0; i--)
	{
		TM_IndexStatus *status = &op->status[op->deltids[i].id];
		uint64		tid = kyro_tid_from_pointer(&op->deltids[i].tid);
		bool		dead = idx_is_dead(tid);

		EXPECT(status->knowndeletable != op->bottomup);
		EXPECT(dead || op->bottomup);
		EXPECT(status->promising == op->bottomup && (status->freespace > 0) == op->bottomup);
		if (op->bottomup && found >= op->bottomupfreespace)
			continue;
		status->knowndeletable = dead;
		found += dead;
		if (dead)
			dead_tids[ndead++] = tid;
	}
	for (int i = op->ndeltids - 1; i > n; i--, n++)
	{
		TM_IndexDelete t = op->deltids[i];

		op->deltids[i] = op->deltids[n];
		op->deltids[n] = t;
	}
	return FirstNormalTransactionId;
}

static void
conflict_logged(void)
{
	for (int i = 0; i < ndead; i++)
		idx_deleted(dead_tids[i]);
	ndead = 0;
}

XLogRecPtr
kyro_log_conflict(Relation rel, uint64 fxid)
{
	EXPECT(fxid == FirstNormalTransactionId);
	conflict_logged();
	return server_next_lsn();
}

FullTransactionId
ReadNextFullTransactionId(void)
{
	return FullTransactionIdFromEpochAndXid(0, FirstNormalTransactionId + 1);
}

static TableAmRoutine heap_am = {.index_build_range_scan = build_scan, .index_delete_tuples = delete_tuples};
static RelationData heap_rel = {.rd_rel = &heap_class, .rd_tableam = &heap_am};

Relation
rmi_open_for_function(Oid indexoid, LOCKMODE lockmode, bool need_owner, Relation *heap)
{
	*heap = &heap_rel;
	return server_relation((int) indexoid);
}

bool
store_is_kyro_oid(Oid oid)
{
	return false;
}

void
kyro_each_target(Oid relid, KyroTargetRight right, KyroTargetFunction one, void *arg)
{
	one(relid, NULL, arg);
}

void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
}

void
relation_close(Relation relation, LOCKMODE lockmode)
{
}

void
table_close(Relation relation, LOCKMODE lockmode)
{
}

void
GetUserIdAndSecContext(Oid *userid, int *sec_context)
{
	*userid = 0;
	*sec_context = 0;
}

void
SetUserIdAndSecContext(Oid userid, int sec_context)
{
}

int
NewGUCNestLevel(void)
{
	return 0;
}

void
AtEOXact_GUC(bool isCommit, int nestLevel)
{
}

void
PreventCommandIfReadOnly(const char *cmdname)
{
}

TypeFuncClass
get_call_result_type(FunctionCallInfo fcinfo, Oid *resultTypeId, TupleDesc *resultTupleDesc)
{
	return TYPEFUNC_COMPOSITE;
}

TupleDesc
BlessTupleDesc(TupleDesc tupdesc)
{
	return tupdesc;
}

HeapTuple
heap_form_tuple(TupleDesc tupleDescriptor, Datum *values, bool *isnull)
{
	return palloc0(sizeof(HeapTupleData));
}

Datum
HeapTupleHeaderGetDatum(HeapTupleHeader tuple)
{
	return (Datum) 0;
}

static int	problems;
static bool print_problem;

void
kyro_report(void *arg, BlockNumber block, const char *format,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (problems++ == 0 && print_problem)
		fprintf(stderr, "block %u: %s\n", block, text);
}

/* ---- commands ---- */

static IndexInfo index_info = {.type = T_IndexInfo};

static Relation
session_index(int session)
{
	static int16 indoption = 0;
	static TupleDesc desc = NULL;
	Relation	index = server_relation(session);

	if (desc == NULL)
	{
		desc = calloc(1, offsetof(TupleDescData, attrs) + sizeof(FormData_pg_attribute));
		desc->natts = 1;
		TupleDescAttr(desc, 0)->attlen = sizeof(int64);
		TupleDescAttr(desc, 0)->attbyval = true;
	}
	index->rd_att = desc;
	index->rd_indoption = &indoption;
	return index;
}

void
idx_forget(int session)
{
	rmi_dir_forget(session_index(session));
}

void
idx_reset(bool own_carrier)
{
	rmi_rmgr_registered = true;
	server_reset();
	server_redo = redo;
	server_data_logged = conflict_logged;
	kyro_resource_manager = own_carrier;
	memset(checked, 0, sizeof(checked));
	for (int i = 0; i < 4; i++)
		idx_forget(i);
}

void
idx_adopt(void)
{
	kyro_resource_manager = true;
}

void
idx_build(int session, const IndexRow *rows, int n, int fillfactor)
{
	Relation	index = session_index(session);
	RmiOptions	options = {0};

	options.fillfactor = fillfactor;
	index->rd_options = (bytea *) &options;
	build_rows = rows;
	build_n = n;
	(void) rmi_build(&heap_rel, index, &index_info);
	index->rd_options = NULL;
}

void
idx_insert(int session, IndexRow row, bool version)
{
	Datum		value = Int64GetDatum(row.key);
	ItemPointerData tid;

	kyro_tid_to_pointer(row.tid, &tid);
	(void) rmi_insert(session_index(session), &value, &row.isnull, &tid, &heap_rel, UNIQUE_CHECK_NO,
					  version, &index_info);
}

void
idx_bulk_insert(int session, const IndexRow *rows, int n)
{
	void	   *bulk = rmi_bulk_begin(session_index(session), 64);

	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid;

		kyro_tid_to_pointer(rows[i].tid, &tid);
		rmi_bulk_put(bulk, Int64GetDatum(rows[i].key), rows[i].isnull, &tid);
	}
	rmi_bulk_finish(bulk);
}

static bool (*is_dead) (uint64 tid);

static bool
vacuum_callback(ItemPointer tid, void *arg)
{
	return is_dead(kyro_tid_from_pointer(tid));
}

long
idx_vacuum(int session, bool (*dead) (uint64 tid))
{
	IndexVacuumInfo info = {.index = session_index(session), .num_heap_tuples = 1e9};
	IndexBulkDeleteResult *stats;

	is_dead = dead;
	stats = rmi_bulkdelete(&info, NULL, vacuum_callback, NULL);
	stats = rmi_vacuumcleanup(&info, stats);
	return (long) stats->tuples_removed;
}

void
idx_rebuild(int session)
{
	LOCAL_FCINFO(fcinfo, 1);

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(session);
	fcinfo->args[0].isnull = false;
	(void) session_index(session);
	(void) kyro_rebuild(fcinfo);
}

int
idx_verify(int session, bool print)
{
	LOCAL_FCINFO(fcinfo, 2);

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(session);
	fcinfo->args[1].value = BoolGetDatum(false);
	fcinfo->args[0].isnull = fcinfo->args[1].isnull = false;
	problems = 0;
	print_problem = print;
	(void) session_index(session);
	(void) kyro_verify(fcinfo);
	return problems;
}

/* ---- scans ---- */

static SnapshotData mvcc_snapshot = {.snapshot_type = SNAPSHOT_MVCC};

IndexScanDesc
RelationGetIndexScan(Relation indexRelation, int nkeys, int norderbys)
{
	IndexScanDesc scan = palloc0(sizeof(IndexScanDescData));

	scan->indexRelation = indexRelation;
	scan->numberOfKeys = nkeys;
	scan->keyData = palloc0((nkeys + 1) * sizeof(ScanKeyData));
	return scan;
}

static IndexScanDesc
scan_begin(int session, ScanKey keys, int nkeys, bool pinned)
{
	IndexScanDesc scan = rmi_beginscan(session_index(session), nkeys, 0);

	scan->heapRelation = &heap_rel;
	scan->xs_snapshot = &mvcc_snapshot;
	scan->xs_want_itup = pinned;
	rmi_rescan(scan, keys, nkeys, NULL, 0);
	return scan;
}

/* Not as arrays are stored: a header, and the elements as they are. */
typedef struct FakeArray
{
	ArrayType	header;
	int			n;
	const int64 *keys;
} FakeArray;

struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

void
deconstruct_array(ArrayType *array, Oid elmtype, int elmlen, bool elmbyval, char elmalign,
				  Datum **elemsp, bool **nullsp, int *nelemsp)
{
	FakeArray  *a = (FakeArray *) array;

	*elemsp = palloc(a->n * sizeof(Datum));
	*nullsp = palloc0(a->n * sizeof(bool));
	*nelemsp = a->n;
	for (int i = 0; i < a->n; i++)
		(*elemsp)[i] = Int64GetDatum(a->keys[i]);
}

IndexScanDesc
idx_scan_begin_any(int session, const int64 *keys, int n, bool pinned)
{
	FakeArray	array = {.n = n, .keys = keys};
	ScanKeyData key = {.sk_attno = 1, .sk_flags = SK_SEARCHARRAY, .sk_strategy = BTEqualStrategyNumber,
	.sk_argument = PointerGetDatum(&array)};

	return scan_begin(session, &key, 1, pinned);
}

IndexScanDesc
idx_scan_begin(int session, IndexRange range, int64 lo, int64 hi, bool pinned)
{
	ScanKeyData keys[2] = {0};
	int			nkeys = range == INDEX_ALL ? 0 : range == INDEX_NULLS ? 1 : 2;

	for (int i = 0; i < nkeys; i++)
	{
		keys[i].sk_attno = 1;
		keys[i].sk_strategy = i == 0 ? BTGreaterEqualStrategyNumber : BTLessEqualStrategyNumber;
		keys[i].sk_argument = Int64GetDatum(i == 0 ? lo : hi);
		if (range == INDEX_NULLS)
		{
			keys[i].sk_flags = SK_ISNULL | SK_SEARCHNULL;
			keys[i].sk_strategy = InvalidStrategy;
		}
	}
	if (range == INDEX_KEYS && lo == hi)
	{
		nkeys = 1;
		keys[0].sk_strategy = BTEqualStrategyNumber;
	}
	return scan_begin(session, keys, nkeys, pinned);
}

IndexTuple
index_form_tuple(TupleDesc tupleDescriptor, Datum *values, bool *isnull)
{
	IndexTuple	t = palloc0(sizeof(IndexTupleData) + sizeof(int64));

	if (isnull[0])
		t->t_info = INDEX_NULL_MASK;
	else
		memcpy(t + 1, &values[0], sizeof(int64));
	return t;
}

bool
idx_scan_next(IndexScanDesc scan, bool forward, IndexRow *row)
{
	if (!rmi_gettuple(scan, forward ? ForwardScanDirection : BackwardScanDirection))
		return false;
	row->tid = kyro_tid_from_pointer(&scan->xs_heaptid);
	if (scan->xs_want_itup)
	{
		EXPECT(kyro_tid_from_pointer(&scan->xs_itup->t_tid) == row->tid);
		row->isnull = (scan->xs_itup->t_info & INDEX_NULL_MASK) != 0;
		row->key = 0;
		if (!row->isnull)
			memcpy(&row->key, scan->xs_itup + 1, sizeof(int64));
	}
	return true;
}

void
idx_scan_end(IndexScanDesc scan)
{
	rmi_endscan(scan);
	pfree(scan->keyData);
	pfree(scan);
}
