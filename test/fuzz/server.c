/*-------------------------------------------------------------------------
 *
 * server.c
 *	  A server of pages in memory; see server.h.
 *
 * Buffers are numbered as a session's local buffers are, because those are
 * found through an array of pointers: block b is buffer -(b + 1).
 *
 * IDENTIFICATION
 *	  test/fuzz/server.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/hio.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type_d.h"
#include "commands/vacuum.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "guc.h"
#include "progress.h"
#include "server.h"
#include "usage/usage.h"

#define MAX_ALLOC ((Size) 64 << 20) /* no input describes more */

/* ---- what the server's headers refer to ---- */

volatile sig_atomic_t InterruptPending = false;
volatile uint32 CritSectionCount = 0;
char	   *BufferBlocks = NULL;
int			NBuffers = 0;
int			NLocBuffer = MAX_BLOCKS;
Block	   *LocalBufferBlockPointers = NULL;
BufferDesc *LocalBufferDescriptors = NULL;
BufferDescPadded *BufferDescriptors = NULL;
int			old_snapshot_threshold = -1;
int			wal_level = WAL_LEVEL_REPLICA;
int			maintenance_work_mem = 65536;
int			maintenance_io_concurrency = 0;
int			XactIsoLevel = XACT_READ_COMMITTED;
TransactionId CheckXidAlive = InvalidTransactionId;
bool		bsysscan = false;
SnapshotData SnapshotAnyData = {.snapshot_type = SNAPSHOT_ANY};
SnapshotData SnapshotSelfData = {.snapshot_type = SNAPSHOT_SELF};
struct pg_tz *session_timezone = NULL;
sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
MemoryContext CurrentMemoryContext = NULL;
ResourceOwner CurrentResourceOwner = NULL;
MemoryContext TopMemoryContext = NULL;

/* ---- errors ---- */

int			server_sqlstate;
int			server_warnings;
long		server_read_limit = 1000000;
long		server_changes;

static int	error_level;
static int	error_code;

bool
errstart(int elevel, const char *domain)
{
	error_level = elevel;
	error_code = elevel >= ERROR ? ERRCODE_INTERNAL_ERROR : 0;
	return elevel >= WARNING;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	error_code = sqlerrcode;
	return 0;
}

/* messages are made, since making them follows pointers, and thrown away */
#define MESSAGE(name) \
int \
name(const char *fmt,...) \
{ \
	char		text[1024]; \
	va_list		args; \
\
	va_start(args, fmt); \
	vsnprintf(text, sizeof(text), fmt, args); \
	va_end(args); \
	if (getenv("FUZZ_MESSAGES")) \
		fprintf(stderr, "%s: %s\n", #name, text); \
	return 0; \
}

MESSAGE(errmsg)
MESSAGE(errmsg_internal)
MESSAGE(errdetail)
MESSAGE(errhint)

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (error_level < ERROR)
	{
		server_warnings++;
		return;
	}
	EXPECT(error_level == ERROR);
	EXPECT(CritSectionCount == 0);
	EXPECT(PG_exception_stack != NULL);
	/* nothing calls elog(ERROR) because of what is on a page */
	EXPECT(error_code != ERRCODE_INTERNAL_ERROR);
	server_sqlstate = error_code;
	siglongjmp(*PG_exception_stack, 1);
}

void
pg_re_throw(void)
{
	siglongjmp(*PG_exception_stack, 1);
}

void
ExceptionalCondition(const char *conditionName, const char *errorType, const char *fileName, int lineNumber)
{
	fprintf(stderr, "%s:%d: %s: %s\n", fileName, lineNumber, errorType, conditionName);
	abort();
}

void
ProcessInterrupts(void)
{
}

/* There are no subtransactions here, as in parallel mode. */
bool
IsInParallelMode(void)
{
	return true;
}

/* ---- memory ---- */

typedef struct Chunk
{
	struct Chunk *prev;
	struct Chunk *next;
	Size		size;
	MemoryContext context;		/* where GetMemoryChunkContext() looks */
} Chunk;

typedef struct Context
{
	MemoryContextData data;
	Chunk		chunks;			/* head of a ring */
} Context;

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size minContextSize,
							  Size initBlockSize, Size maxBlockSize)
{
	Context    *c = calloc(1, sizeof(Context));

	c->data.type = T_AllocSetContext;
	c->data.name = name;
	c->chunks.prev = c->chunks.next = &c->chunks;
	c->data.parent = parent;
	if (parent != NULL)
	{
		c->data.nextchild = parent->firstchild;
		if (parent->firstchild != NULL)
			parent->firstchild->prevchild = &c->data;
		parent->firstchild = &c->data;
	}
	return &c->data;
}

void
MemoryContextReset(MemoryContext context)
{
	Context    *c = (Context *) context;

	while (context->firstchild != NULL)
		MemoryContextDelete(context->firstchild);
	while (c->chunks.next != &c->chunks)
		pfree(c->chunks.next + 1);
}

void
MemoryContextDelete(MemoryContext context)
{
	EXPECT(context != CurrentMemoryContext);
	MemoryContextReset(context);
	if (context->prevchild != NULL)
		context->prevchild->nextchild = context->nextchild;
	else if (context->parent != NULL)
		context->parent->firstchild = context->nextchild;
	if (context->nextchild != NULL)
		context->nextchild->prevchild = context->prevchild;
	free(context);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	Context    *c = (Context *) context;
	Chunk	   *chunk;

	EXPECT(size <= MAX_ALLOC);
	chunk = malloc(sizeof(Chunk) + size);
	chunk->size = size;
	chunk->context = context;
	chunk->prev = &c->chunks;
	chunk->next = c->chunks.next;
	chunk->prev->next = chunk->next->prev = chunk;
	return chunk + 1;
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return memset(MemoryContextAlloc(context, size), 0, size);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void *
palloc_extended(Size size, int flags)
{
	return (flags & MCXT_ALLOC_ZERO) ? palloc0(size) : palloc(size);
}

void
pfree(void *pointer)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;

	chunk->prev->next = chunk->next;
	chunk->next->prev = chunk->prev;
	free(chunk);
}

void *
repalloc(void *pointer, Size size)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;
	void	   *new = MemoryContextAlloc(chunk->context, size);

	memcpy(new, pointer, Min(size, chunk->size));
	pfree(pointer);
	return new;
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return MemoryContextAlloc(context, size);
}

void *
repalloc_huge(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

char *
psprintf(const char *fmt,...)
{
	char	   *s = palloc(1024);
	va_list		args;

	va_start(args, fmt);
	vsnprintf(s, 1024, fmt, args);
	va_end(args);
	return s;
}

/* ---- hash tables, as lists ---- */

typedef struct HashEntry
{
	struct HashEntry *next;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} HashEntry;

struct HTAB
{
	MemoryContext context;
	Size		keysize;
	Size		entrysize;
	long		n;
	HashEntry  *first;
};

HTAB *
hash_create(const char *tabname, long nelem, const HASHCTL *info, int flags)
{
	HTAB	   *h = MemoryContextAllocZero(info->hcxt, sizeof(HTAB));

	h->context = info->hcxt;
	h->keysize = info->keysize;
	h->entrysize = info->entrysize;
	return h;
}

void *
hash_search(HTAB *h, const void *key, HASHACTION action, bool *found)
{
	HashEntry **at = &h->first;

	while (*at != NULL && memcmp((*at)->data, key, h->keysize) != 0)
		at = &(*at)->next;
	if (found != NULL)
		*found = *at != NULL;
	if (*at == NULL && action == HASH_ENTER)
	{
		HashEntry  *e = MemoryContextAlloc(h->context, offsetof(HashEntry, data) + h->entrysize);

		/* a server does not clear it either */
		memset(e->data, 0x7F, h->entrysize);
		memcpy(e->data, key, h->keysize);
		e->next = NULL;
		h->n++;
		*at = e;
	}
	else if (*at != NULL && action == HASH_REMOVE)
	{
		HashEntry  *e = *at;

		*at = e->next;
		h->n--;
		pfree(e);
		return NULL;
	}
	return *at != NULL ? (*at)->data : NULL;
}

long
hash_get_num_entries(HTAB *h)
{
	return h->n;
}

/* The entry returned last may be removed meanwhile, no other. */
void
hash_seq_init(HASH_SEQ_STATUS *status, HTAB *h)
{
	status->hashp = h;
	status->curEntry = (HASHELEMENT *) h->first;
}

void *
hash_seq_search(HASH_SEQ_STATUS *status)
{
	HashEntry  *e = (HashEntry *) status->curEntry;

	if (e == NULL)
		return NULL;
	status->curEntry = (HASHELEMENT *) e->next;
	return e->data;
}

/* ---- the file ---- */

static BlockNumber file_blocks;
static BlockNumber file_allocated;
static int *pins;				/* of each block */
static int *locks;				/* 0, number of share locks, or -1: exclusive */
static int	total_pins;
static int	total_locks;
static long reads;
static bool rebuild_lock;
static bool extension_lock;
static BlockNumber free_list[256];
static int	nfree;

#define BLOCK_OF(buffer) ((BlockNumber) (-(buffer) - 1))

Page
server_page(BlockNumber block)
{
	EXPECT(block < file_blocks);
	return (Page) LocalBufferBlockPointers[block];
}

BlockNumber
server_blocks(void)
{
	return file_blocks;
}

void
server_extend(BlockNumber blocks)
{
	EXPECT(blocks <= MAX_BLOCKS);
	if (LocalBufferBlockPointers == NULL)
	{
		LocalBufferBlockPointers = calloc(MAX_BLOCKS, sizeof(Block));
		LocalBufferDescriptors = calloc(MAX_BLOCKS, sizeof(BufferDesc));
		pins = calloc(MAX_BLOCKS, sizeof(int));
		locks = calloc(MAX_BLOCKS, sizeof(int));
	}
	for (; file_blocks < blocks; file_blocks++)
	{
		if (file_blocks == file_allocated)
		{
			/* most are marked as used as much as can be */
			pg_atomic_init_u32(&LocalBufferDescriptors[file_allocated].state,
							   file_allocated % 8 == 5 ? 0 : BM_MAX_USAGE_COUNT * BUF_USAGECOUNT_ONE);
			LocalBufferBlockPointers[file_allocated++] = aligned_alloc(64, BLCKSZ);
		}
		memset(LocalBufferBlockPointers[file_blocks], 0, BLCKSZ);
	}
}

/* As PageIsVerified(), without a checksum. */
static bool
page_header_sane(Page page)
{
	PageHeader	p = (PageHeader) page;

	if (PageIsNew(page))
	{
		for (int i = 0; i < BLCKSZ; i++)
			if (page[i] != 0)
				return false;
		return true;
	}
	return (p->pd_flags & ~PD_VALID_FLAG_BITS) == 0 && p->pd_lower <= p->pd_upper &&
		p->pd_upper <= p->pd_special && p->pd_special <= BLCKSZ &&
		p->pd_special == MAXALIGN(p->pd_special);
}

BlockNumber
RelationGetNumberOfBlocksInFork(Relation relation, ForkNumber forkNum)
{
	EXPECT(forkNum == MAIN_FORKNUM);
	return file_blocks;
}

Buffer
ReadBufferExtended(Relation reln, ForkNumber forkNum, BlockNumber blockNum,
				   ReadBufferMode mode, BufferAccessStrategy strategy)
{
	EXPECT(forkNum == MAIN_FORKNUM);
	EXPECT(++reads <= server_read_limit);
	if (blockNum == P_NEW)
	{
		blockNum = file_blocks;
		server_changes++;
		server_extend(file_blocks + 1);
	}
	else if (blockNum >= file_blocks)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read block %u", blockNum)));
	else if (mode == RBM_NORMAL && !page_header_sane(server_page(blockNum)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("invalid page in block %u", blockNum)));
	pins[blockNum]++;
	total_pins++;
	if (mode == RBM_ZERO_AND_LOCK)
		LockBuffer(-(Buffer) blockNum - 1, BUFFER_LOCK_EXCLUSIVE);
	return -(Buffer) blockNum - 1;
}

Buffer
ReadBuffer(Relation reln, BlockNumber blockNum)
{
	return ReadBufferExtended(reln, MAIN_FORKNUM, blockNum, RBM_NORMAL, NULL);
}

Buffer
ReleaseAndReadBuffer(Buffer buffer, Relation relation, BlockNumber blockNum)
{
	if (BufferIsValid(buffer))
	{
		if (BufferGetBlockNumber(buffer) == blockNum)
			return buffer;
		ReleaseBuffer(buffer);
	}
	return ReadBuffer(relation, blockNum);
}

int
get_tablespace_io_concurrency(Oid spcid)
{
	return 1;
}

PrefetchBufferResult
PrefetchBuffer(Relation reln, ForkNumber forkNum, BlockNumber blockNum)
{
	EXPECT(forkNum == MAIN_FORKNUM && blockNum < file_blocks);
	return (PrefetchBufferResult) {InvalidBuffer, false};
}

/* Sometimes the buffer holds another page by now. */
bool
ReadRecentBuffer(RelFileNode rnode, ForkNumber forkNum, BlockNumber blockNum, Buffer recent_buffer)
{
	if (BLOCK_OF(recent_buffer) != blockNum || reads % 16 == 3)
		return false;
	return ReadBuffer(NULL, blockNum) == recent_buffer;
}

void
ReleaseBuffer(Buffer buffer)
{
	BlockNumber block = BLOCK_OF(buffer);

	EXPECT(block < file_blocks && pins[block] > 0);
	pins[block]--;
	total_pins--;
	EXPECT(locks[block] == 0 || pins[block] > 0);
}

/* There is one session: to wait would be to wait for ever. */
void
LockBuffer(Buffer buffer, int mode)
{
	BlockNumber block = BLOCK_OF(buffer);

	EXPECT(block < file_blocks && pins[block] > 0);
	if (mode == BUFFER_LOCK_UNLOCK)
	{
		EXPECT(locks[block] != 0);
		locks[block] = 0;
		total_locks--;
		return;
	}
	EXPECT(locks[block] == 0);
	locks[block] = mode == BUFFER_LOCK_SHARE ? 1 : -1;
	total_locks++;
}

bool
ConditionalLockBuffer(Buffer buffer)
{
	if (locks[BLOCK_OF(buffer)] != 0)
		return false;
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	return true;
}

bool
ConditionalLockBufferForCleanup(Buffer buffer)
{
	return pins[BLOCK_OF(buffer)] == 1 && ConditionalLockBuffer(buffer);
}

void
LockBufferForCleanup(Buffer buffer)
{
	EXPECT(ConditionalLockBufferForCleanup(buffer));
}

void
UnlockReleaseBuffer(Buffer buffer)
{
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	ReleaseBuffer(buffer);
}

BlockNumber
BufferGetBlockNumber(Buffer buffer)
{
	EXPECT(pins[BLOCK_OF(buffer)] > 0);
	return BLOCK_OF(buffer);
}

void
MarkBufferDirty(Buffer buffer)
{
	EXPECT(locks[BLOCK_OF(buffer)] == -1);
	server_changes++;
}

void
PageInit(Page page, Size pageSize, Size specialSize)
{
	PageHeader	p = (PageHeader) page;

	memset(p, 0, pageSize);
	p->pd_lower = SizeOfPageHeaderData;
	p->pd_upper = p->pd_special = pageSize - MAXALIGN(specialSize);
	PageSetPageSizeAndVersion(page, pageSize, PG_PAGE_LAYOUT_VERSION);
}

int
server_pins(void)
{
	return total_pins;
}

BlockNumber
GetFreeIndexPage(Relation rel)
{
	return nfree > 0 ? free_list[--nfree] : InvalidBlockNumber;
}

void
RecordFreeIndexPage(Relation rel, BlockNumber freeBlock)
{
	if (nfree < (int) lengthof(free_list))
		free_list[nfree++] = freeBlock;
}

void
IndexFreeSpaceMapVacuum(Relation rel)
{
}

void
LockPage(Relation relation, BlockNumber blkno, LOCKMODE lockmode)
{
	EXPECT(!rebuild_lock && total_locks == 0);
	rebuild_lock = true;
}

bool
ConditionalLockPage(Relation relation, BlockNumber blkno, LOCKMODE lockmode)
{
	if (rebuild_lock)
		return false;
	return (rebuild_lock = true);
}

void
UnlockPage(Relation relation, BlockNumber blkno, LOCKMODE lockmode)
{
	EXPECT(rebuild_lock);
	rebuild_lock = false;
}

void
LockRelationForExtension(Relation relation, LOCKMODE lockmode)
{
	EXPECT(!extension_lock);
	extension_lock = true;
}

void
UnlockRelationForExtension(Relation relation, LOCKMODE lockmode)
{
	EXPECT(extension_lock);
	extension_lock = false;
}

/* ---- generic WAL: changes of copies, installed at once ---- */

struct GenericXLogState
{
	int			n;
	Buffer		buffer[MAX_GENERIC_XLOG_PAGES];
	char	   *image[MAX_GENERIC_XLOG_PAGES];
};

GenericXLogState *
GenericXLogStart(Relation relation)
{
	GenericXLogState *state = palloc0(sizeof(*state));

	for (int i = 0; i < MAX_GENERIC_XLOG_PAGES; i++)
		state->image[i] = palloc(BLCKSZ);
	return state;
}

Page
GenericXLogRegisterBuffer(GenericXLogState *state, Buffer buffer, int flags)
{
	EXPECT(state->n < MAX_GENERIC_XLOG_PAGES);
	EXPECT(locks[BLOCK_OF(buffer)] == -1);
	for (int i = 0; i < state->n; i++)
		EXPECT(state->buffer[i] != buffer);
	state->buffer[state->n] = buffer;
	memcpy(state->image[state->n], BufferGetPage(buffer), BLCKSZ);
	return state->image[state->n++];
}

XLogRecPtr
server_next_lsn(void)
{
	static XLogRecPtr lsn = 0;

	server_changes++;
	return ++lsn;
}

bool
server_write_locked(Buffer buffer)
{
	return locks[BLOCK_OF(buffer)] == -1;
}

XLogRecPtr
GenericXLogFinish(GenericXLogState *state)
{
	XLogRecPtr	lsn = server_next_lsn();

	for (int i = 0; i < state->n; i++)
	{
		PageHeader	p = (PageHeader) state->image[i];

		/* what lies between these is lost */
		EXPECT(p->pd_lower >= SizeOfPageHeaderData && p->pd_lower <= p->pd_upper && p->pd_upper <= BLCKSZ);
		memset(state->image[i] + p->pd_lower, 0, p->pd_upper - p->pd_lower);
		EXPECT(page_header_sane(state->image[i]));
		PageSetLSN(state->image[i], lsn);
		memcpy(BufferGetPage(state->buffer[i]), state->image[i], BLCKSZ);
		server_standby_copy(BLOCK_OF(state->buffer[i]));
	}
	GenericXLogAbort(state);
	return lsn;
}

void
GenericXLogAbort(GenericXLogState *state)
{
	for (int i = 0; i < MAX_GENERIC_XLOG_PAGES; i++)
		pfree(state->image[i]);
	pfree(state);
}

/* ---- small things ---- */

static XactCallback xact_callback;
static RelcacheCallbackFunction relcache_callback;

void
RegisterXactCallback(XactCallback callback, void *arg)
{
	xact_callback = callback;
}

void
CacheRegisterRelcacheCallback(RelcacheCallbackFunction func, Datum arg)
{
	relcache_callback = func;
}

bool
ItemPointerEquals(ItemPointer pointer1, ItemPointer pointer2)
{
	return memcmp(pointer1, pointer2, sizeof(ItemPointerData)) == 0;
}

TimestampTz
GetCurrentTimestamp(void)
{
	return 1;
}

BackendType MyBackendType = B_BACKEND;

Oid
GetOuterUserId(void)
{
	return 10;
}

char *
GetUserNameFromId(Oid roleid, bool noerr)
{
	return memcpy(palloc(5), "fuzz", 5);
}

bool
ReindexIsProcessingIndex(Oid indexOid)
{
	return false;
}

bool
RecoveryInProgress(void)
{
	return false;
}

void
vacuum_delay_point(void)
{
}

List *
lappend(List *list, void *datum)
{
	List	   *new = palloc0(offsetof(List, initial_elements) + (list_length(list) + 1) * sizeof(ListCell));

	new->type = T_List;
	new->elements = new->initial_elements;
	new->length = list_length(list) + 1;
	for (int i = 0; i < list_length(list); i++)
		new->elements[i] = list->elements[i];
	new->elements[new->length - 1].ptr_value = datum;
	if (list != NULL)
		pfree(list);
	return new;
}

void
list_free(List *list)
{
	if (list != NULL)
		pfree(list);
}

void
list_free_deep(List *list)
{
	for (int i = 0; i < list_length(list); i++)
		pfree(list->elements[i].ptr_value);
	list_free(list);
}

/* ---- running commands ---- */

static MemoryContext command_context;
static MemoryContext session_context;

static void
release_all(void)
{
	for (BlockNumber b = 0; b < file_blocks; b++)
		pins[b] = locks[b] = 0;
	total_pins = total_locks = 0;
	rebuild_lock = extension_lock = false;
}

void
server_reset(void)
{
	if (TopMemoryContext == NULL)
	{
		TopMemoryContext = AllocSetContextCreate(NULL, "top", ALLOCSET_DEFAULT_SIZES);
		session_context = AllocSetContextCreate(TopMemoryContext, "session", ALLOCSET_DEFAULT_SIZES);
		command_context = AllocSetContextCreate(TopMemoryContext, "command", ALLOCSET_DEFAULT_SIZES);
	}
	CurrentMemoryContext = TopMemoryContext;
	server_standby_reset();
	/* twice: what is suspect goes at the end of the second transaction */
	for (int i = 0; i < 2 && xact_callback != NULL; i++)
	{
		relcache_callback((Datum) 0, InvalidOid);
		xact_callback(XACT_EVENT_COMMIT, NULL);
		xact_callback(XACT_EVENT_COMMIT, NULL);
	}
	MemoryContextReset(session_context);
	MemoryContextReset(command_context);
	if (file_allocated > 0)
		release_all();
	file_blocks = 0;
	nfree = 0;
	server_warnings = 0;
	server_read_limit = 1000000;
	pg_prng_seed(&pg_global_prng_state, 1);
}

bool
server_try(void (*command) (void *arg), void *arg, int pins_left, bool keep)
{
	sigjmp_buf	here;
	volatile bool done = false;

	reads = 0;
	server_changes = 0;
	CurrentMemoryContext = keep ? session_context : command_context;
	PG_exception_stack = &here;
	if (sigsetjmp(here, 0) == 0)
	{
		command(arg);
		done = true;
		EXPECT((pins_left < 0 || total_pins == pins_left) && total_locks == 0);
		EXPECT(!rebuild_lock && !extension_lock);
	}
	else
		release_all();
	PG_exception_stack = NULL;
	CurrentMemoryContext = TopMemoryContext;
	MemoryContextReset(command_context);
	return done;
}

Relation
server_relation(int session)
{
	static RelationData rel[4];
	static FormData_pg_class class;
	static FormData_pg_index form;
	static Oid	opcintype = INT8OID;
	static SMgrRelationData smgr;	/* never opened anew: nobody truncates the
									 * file */

	class.relpersistence = RELPERSISTENCE_PERMANENT;
	strcpy(NameStr(class.relname), "fuzz");
	form.indnatts = 1;
	EXPECT(session >= 0 && session < (int) lengthof(rel));
	rel[session].rd_id = 16384 + session;
	rel[session].rd_node = (RelFileNode) {1663, 5, 16384 + session};
	rel[session].rd_rel = &class;
	rel[session].rd_index = &form;
	rel[session].rd_opcintype = &opcintype;
	rel[session].rd_backend = InvalidBackendId;
	rel[session].rd_smgr = &smgr;
	return &rel[session];
}

/*
 * The input is the number of blocks, one byte, and pieces of pages: block (one
 * byte), what to mend (one byte, for mend(); 0: nothing), offset and length
 * (two bytes each), and so many bytes.  What is not given is zero.
 */
BlockNumber
server_load(const uint8_t **data, size_t *left, void (*mend) (Page page, BlockNumber block, int how))
{
	const uint8_t *p = *data;
	const uint8_t *end = p + *left;
	uint8		how[256] = {0};
	BlockNumber blocks;

	if (p == end)
		return 0;
	blocks = 1 + *p++ % 64;
	server_extend(blocks);
	while (end - p >= 6)
	{
		BlockNumber block = p[0] % blocks;
		Size		offset = (p[2] | p[3] << 8) % BLCKSZ;
		Size		length = p[4] | p[5] << 8;

		how[block] = p[1];
		p += 6;
		length = Min(Min(length, BLCKSZ - offset), (Size) (end - p));
		memcpy(server_page(block) + offset, p, length);
		p += length;
	}
	for (BlockNumber b = 0; b < blocks && mend != NULL; b++)
		if (how[b] != 0)
			mend(server_page(b), b, how[b]);
	*data = p;
	*left = end - p;
	return blocks;
}

/* ---- progress: nobody looks ---- */

void
kyro_progress_begin(KyroCommand command, Oid relid)
{
}

void
kyro_progress_end(void)
{
}

void
kyro_progress_phase(KyroPhase phase, Oid index, uint64 total)
{
}

void
kyro_progress_done(uint64 done)
{
}

/* ---- src/attempt.c: pages are always there, and errors end the run ---- */

ErrorData *
kyro_catch(void (*function) (void *arg), void *arg)
{
	function(arg);
	return NULL;
}

ErrorData *
kyro_attempt(void (*read) (void *arg), void *arg)
{
	return kyro_catch(read, arg);
}

char *
kyro_read_problem(Relation rel, BlockNumber block)
{
	return NULL;
}

/* of pages that could not be read */
bool
list_member_oid(const List *list, Oid datum)
{
	Assert(list == NIL);
	return false;
}

/* there are no partitions */
char
get_rel_relkind(Oid relid)
{
	return RELKIND_INDEX;
}

/* ---- statistics of use, which nobody looks at ---- */

double		kyro_sample_rate = 0;
bool		kyro_sampling = false;

void
usage_time(Oid relid, uint64 ns)
{
}

void
usage_rebuild_begins(Oid relid)
{
}

void
usage_rebuild_ends(void)
{
}

void
usage_trained(Oid relid, UsageTraining why, uint64 leaves, uint64 microseconds)
{
}

UsageIndex *
usage_index(Oid relid)
{
	static UsageIndex counts;

	return &counts;
}

UsageTable *
usage_table(Oid relid)
{
	static UsageTable counts;

	return &counts;
}
