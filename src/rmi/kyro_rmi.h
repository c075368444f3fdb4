/*-------------------------------------------------------------------------
 *
 * kyro_rmi.h
 *	  The kyro_rmi index access method: what its files offer one another.
 *
 * IDENTIFICATION
 *	  src/rmi/kyro_rmi.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_H
#define KYRO_RMI_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/itup.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "compat.h"
#include "report.h"
#include "rmi/page.h"
#include "tid.h"

/* Support functions of an operator class. */
#define RMI_CMP_PROC		1	/* btree-like comparison, cross-type too */
#define RMI_NPROCS			1
#define RMI_NSTRATEGIES		5

/* Less is accepted, for the sake of DDL written for btrees, and taken as the first of these. */
#define RMI_MIN_FILLFACTOR		50
#define RMI_ALLOWED_FILLFACTOR	10
#define RMI_DEFAULT_FILLFACTOR	90

typedef struct RmiOptions
{
	int32		vl_len_;
	int			fillfactor;
	bool		kyro_rmi;		/* it is the index of a constraint: see
								 * src/keys */
} RmiOptions;

#define RmiGetFillFactor(rel) \
	((rel)->rd_options ? Max(((RmiOptions *) (rel)->rd_options)->fillfactor, RMI_MIN_FILLFACTOR) : \
	 RMI_DEFAULT_FILLFACTOR)

/* ---- handler.c ---- */
extern bytea *rmi_options(Datum reloptions, bool validate);
extern void rmi_costestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							 Cost *startup, Cost *total, Selectivity *selectivity,
							 double *correlation, double *pages);

/* Is this one of ours?  No catalog look-up, no lock. */
extern bool rmi_is_index(Relation index);
extern bool rmi_is_index_info(const IndexOptInfo *info);

/*
 * Open a kyro_rmi index by oid for a SQL function, or raise: 42P01 no such
 * relation, 42809 not a kyro_rmi index (or partitioned), 0A000 another
 * session's temporary table, 55000 not valid, or unlogged on a standby.  Also
 * locks the table first, in the same mode; ShareUpdateExclusiveLock patiently,
 * see there.
 */
extern Relation rmi_open_for_function(Oid indexoid, LOCKMODE lockmode,
									  bool need_owner, Relation *heap);

/* ---- keys.c: types to keys, scan keys to intervals ---- */

/* Type of the (only) key column of an index; errors 42704 if unsupported. */
extern RmiKeyType rmi_key_type(Relation index);
extern int64 rmi_key_from_datum(RmiKeyType type, Datum value);
extern Datum rmi_datum_from_key(RmiKeyType type, int64 key);

/*
 * A stretch of the index: (lo_null, lo) .. (hi_null, hi), both inclusive,
 * where (true, 0) stands for the NULLs.  {false, INT64_MIN, true, 0} is the
 * whole index, NULLs included.
 */
typedef struct RmiInterval
{
	int64		lo;
	int64		hi;
	bool		lo_null;
	bool		hi_null;
} RmiInterval;

/*
 * The rows a scan wants, as disjoint intervals in ascending order.  n = 0:
 * none.  recheck: the intervals are a superset (comparisons between types
 * whose order depends on the time zone), the executor must test each row.
 */
typedef struct RmiQuals
{
	int			n;
	int			size;			/* allocated */
	RmiInterval *iv;			/* in CurrentMemoryContext of the first call */
	bool		recheck;
} RmiQuals;

/*
 * Set quals from scan keys.  Reuses quals->iv; a plain comparison or equality
 * with the column's own or an integer type allocates nothing.
 */
extern void rmi_quals_set(RmiQuals *quals, Relation index, RmiKeyType type,
						  ScanKey keys, int nkeys);

/* ---- validate.c ---- */
extern bool rmi_validate(Oid opclassoid);

/* ---- xlog.c: changes, and what logs them ---- */

/* The numbers, at most 15, are in the log: what a released version has written stays what it is. */
typedef enum RmiOpKind
{
	RMI_OP_APPEND = 0,			/* leaf_append(entry) */
	RMI_OP_RUN_ADD,				/* leaf_run_add(entry) */
	RMI_OP_MERGE,				/* leaf_merge(), then leaf_run_add(entry) if
								 * add */
	RMI_OP_SPLIT,				/* left half of leaf_split(), right sibling :=
								 * block */
	RMI_OP_VACUUM,				/* remove the entries that gaps names */
	RMI_OP_DELETE,				/* the same, of rows that standbys may still
								 * see */
	RMI_OP_IMAGE,				/* replace the whole page by image */
	RMI_OP_SET_LEFT,			/* leaf: left sibling := block */
	RMI_OP_SET_RIGHT,			/* leaf: high fence := fence, right sibling :=
								 * block */
	RMI_OP_META,				/* meta page: replace RmiMetaData by *meta */
	RMI_OP_LOG_ADD,				/* split log page: add *item */
	RMI_OP_LOG_NEXT,			/* split log page: next := block */
	RMI_OP_FREE,				/* make it a free page; its block is block,
								 * its index index_id */
	RMI_OP_RELEASE,				/* the same for a free page that is unswept,
								 * when nobody has it pinned */
	RMI_OP_INSERT				/* rmi_leaf_put() of all that entries has */
} RmiOpKind;

/*
 * The entries that are removed from a leaf, by their place in the order in
 * which leaf_vacuum() asks for them: for each the number of entries that stay
 * before it, in the manner of LEB128.
 */
typedef struct RmiGaps
{
	uint32		removed;
	uint32		asked;			/* entries asked for so far */
	uint32		last;			/* the one after the last that is removed */
	uint32		len;			/* of data; above its size: there was no room */
	uint8		data[BLCKSZ / 2];
} RmiGaps;

/* Entries in order, as they are logged: each by what it has more than the one before it. */
typedef struct RmiEntries
{
	uint32		n;
	uint32		len;			/* of data; above its size: there was no room */
	uint8		data[BLCKSZ / 4];
} RmiEntries;

/* One change of one page: everything its effect depends on. */
typedef struct RmiOp
{
	RmiOpKind	kind;
	bool		add;
	bool		unswept;		/* FREE: entries have left it for other leaves */
	bool		may_refuse;		/* if the page has no room that is no error;
								 * then there is no other op in the change */
	KyroEntry	entry;
	KyroFence	fence;
	BlockNumber block;
	uint32		index_id;
	const char *image;			/* BLCKSZ bytes, complete: rmi_leaf_finish().
								 * IMAGE, and what MERGE, SPLIT, VACUUM,
								 * DELETE and INSERT come to, if known */
	const RmiMetaData *meta;
	const RmiDirItem *item;
	const RmiGaps *gaps;
	const RmiEntries *entries;
	TransactionId horizon;		/* DELETE: standbys cancel queries that may
								 * see it run */
	bool		catalog;		/* DELETE: the table is a catalog */
} RmiOp;

#define RMI_CHANGE_MAX	4		/* pages in one record */

typedef struct RmiChange
{
	Relation	index;
	RmiCarrier	carrier;
	void	   *generic;		/* GenericXLogState */
	int			npages;
	Buffer		buf[RMI_CHANGE_MAX];
	RmiOp		op[RMI_CHANGE_MAX];
	bool		refused;		/* nothing was done */
	bool		sound[RMI_CHANGE_MAX];	/* a leaf that is known to be sound
										 * afterwards */
} RmiChange;

/*
 * One WAL record: begin, apply an op to each of up to RMI_CHANGE_MAX
 * exclusively locked buffers, finish.  Nothing reaches the pages before
 * finish; an error in between leaves them as they were.  What the ops point to
 * must live until then.  Begin raises 55000 if this server cannot write by
 * that carrier.  Finish returns false, with nothing done, if the page could not
 * take an op that may_refuse, being full or damaged: the caller finds out.
 */
extern void rmi_change_begin(RmiChange *c, Relation index, RmiCarrier carrier);
extern void rmi_change_apply(RmiChange *c, Buffer buf, const RmiOp *op);
extern bool rmi_change_finish(RmiChange *c);

/* Can this server write by that carrier?  Which one do new indexes get? */
extern bool rmi_carrier_works(RmiCarrier carrier);
extern RmiCarrier rmi_carrier_wanted(void);

/* Are our records known to this server?  Set by rmi_rmgr_init(). */
extern bool rmi_rmgr_registered;

/*
 * The effect of an op on a page: the same code for every carrier and redo.
 * False if the page cannot take it, which is then as it was.
 */
extern bool rmi_apply(const RmiOp *op, Page page);

/*
 * Put an entry into a leaf in memory that owns it, as seals do and their replay, without splitting it.
 * edge: more entries come at its end.  spare: BLCKSZ bytes for the time being.  False if that cannot be.
 */
extern bool rmi_leaf_put(Page leaf, KyroEntry e, bool edge, char *spare, void *scratch);

/* Is the end of the leaf where new keys, or new NULLs, come? */
extern bool rmi_leaf_at_edge(Page leaf);

/* Before the first note; and again, for another leaf. */
extern void rmi_gaps_init(RmiGaps *gaps);

/* Note that leaf_vacuum() asks for another entry, and whether it goes. */
extern void rmi_gaps_note(RmiGaps *gaps, bool gone);

/* ---- record.c: ops as bytes ---- */

/* Longest op, gaps, entries, meta data and items aside, which follow it. */
#define RMI_OP_BYTES	48

/*
 * Write an op on this page, as it is before the change, to out[RMI_OP_BYTES];
 * returns the length.  The kind itself is not part of it.
 */
extern int	rmi_op_encode(const RmiOp *op, Page page, uint8 *out);

/* Add an entry.  key: of the one before, not above it; of none, the leaf's low key. */
extern void rmi_entries_add(RmiEntries *entries, int64 key, KyroEntry e);

/*
 * Take an entry.  e->key is that of the one before it, as above; *at, 0 for the first, goes on.  False if it is
 * not valid, or there is none.
 */
extern bool rmi_entries_next(const RmiEntries *entries, uint32 *at, KyroEntry *e);

/* What must follow the encoded op, or NULL. */
extern const void *rmi_op_tail(const RmiOp *op, Size *len);

/* What a decoded op may point to. */
typedef struct RmiOpSpace
{
	RmiMetaData meta;
	RmiDirItem	item;
	RmiGaps		gaps;
	RmiEntries	entries;
} RmiOpSpace;

/*
 * The op of this kind in data[len], for a page as it was before the change.
 * Returns what is wrong with it, or NULL.
 */
extern const char *rmi_op_decode(RmiOp *op, RmiOpKind kind, Page page, const uint8 *data, Size len,
								 RmiOpSpace *space);

/* Main data of a record that begins with RMI_OP_DELETE. */
typedef struct RmiConflict
{
	TransactionId horizon;
	bool		catalog;
} RmiConflict;

#define SizeOfRmiConflict	(offsetof(RmiConflict, catalog) + sizeof(bool))

/* ---- redo.c: the resource manager ---- */

/* See README.md, "Own records". */
#define RMI_RMGR_ID		186

/* From _PG_init(): registers it if the server is just starting. */
extern void rmi_rmgr_init(void);

/* ---- page.c: making, checking, allocating pages ---- */
extern void rmi_page_init(Page page, uint32 index_id, BlockNumber block, RmiPageKind kind);
extern void rmi_leaf_page_init(Page page, uint32 index_id, BlockNumber block,
							   KyroFence low, BlockNumber left, BlockNumber right,
							   uint8 reserve);

/* What closes a change of a leaf: pd_lower, pd_upper and the checksum. */
extern void rmi_leaf_finish(Page page);

/* The first two alone, after a change that has kept the checksum. */
extern void rmi_leaf_set_bounds(Page page);
extern uint8 rmi_reserve(int fillfactor);

/* Why this is not the page expected (NULL if it is).  Holds any page, any bytes. */
extern const char *rmi_page_problem(Page page, uint32 index_id, BlockNumber block, int kind);
static inline bool
rmi_page_is(Page page, uint32 index_id, BlockNumber block, RmiPageKind kind)
{
	const KyroPageTrailer *t = rmi_trailer(page);

	return t->page_id == KYRO_PAGE_ID && t->index_id == index_id &&
		t->block == block && t->kind == kind && t->format == KYRO_PAGE_FORMAT;
}

/* XX002 with index, block and what is wrong. */
kyro_noreturn extern void rmi_corrupt(Relation index, BlockNumber block, const char *problem);

/*
 * A page for a new leaf, directory, model or log page: exclusively locked,
 * its contents to be replaced by RMI_OP_IMAGE.  From the free space map, or by
 * extending.  May process invalidations.
 */
extern Buffer rmi_alloc_page(Relation index, uint32 index_id);

/* The same, but only a free page; InvalidBuffer if there is none. */
extern Buffer rmi_take_free_page(Relation index, uint32 index_id);

/* The same, and only this one. */
extern Buffer rmi_lock_free_page(Relation index, uint32 index_id, BlockNumber block);

/*
 * Is there such a block, as far as this backend knows?  Asks again if it knows
 * of none.  Forget: the file may have become shorter, the index being made anew.
 */
extern bool rmi_block_exists(Relation index, BlockNumber block);
extern void rmi_blocks_forget(void);

/* Read and check the meta page; copies it out, keeps nothing. */
extern void rmi_read_meta(Relation index, RmiMetaData *meta);

/* The same, and keeps it exclusively locked: to change it by RMI_OP_META. */
extern Buffer rmi_lock_meta(Relation index, RmiMetaData *meta);

/* The same from a locked buffer. */
extern void rmi_meta_from_page(Relation index, Page page, RmiMetaData *meta);

/* Its contents, with their hash. */
extern void rmi_meta_to_page(Page page, const RmiMetaData *meta);

/* ---- dircache.c: a backend's view of the directory ---- */
typedef struct RmiDir RmiDir;

/* Where a lookup starts.  Plain values: stays valid when the copy goes away. */
typedef struct RmiLanding
{
	BlockNumber block;
	Buffer		recent;			/* where it was seen last, or InvalidBuffer */
	int			slot;			/* position in the copy, -1 if from elsewhere */
	int			overlay;		/* position in the overlay, -1 if not from it */
	KyroFence	low;			/* fence the directory knows it by */
	uint32		at;				/* how far the target is from there to the
								 * next leaf's, in 1/2^32 */
} RmiLanding;

/*
 * The backend's directory of an index, made on first use.  The pointer holds
 * until the next call that may load a directory or process invalidations.
 */
extern RmiDir *rmi_dir(Relation index);
extern uint32 rmi_dir_index_id(RmiDir *dir);

/* May lag: an index goes over to RMI_CARRIER_OWN once, and takes both kinds of records from then on. */
extern RmiCarrier rmi_dir_carrier(RmiDir *dir);

/* Last known page with low fence <= target; < target if strictly. Never fails: the leftmost leaf at worst. */
extern void rmi_dir_lookup(Relation index, RmiDir *dir, KyroFence target, bool strictly, RmiLanding *landing);

/* The same for a check: does not count as a use of the index, so never makes a copy. */
extern void rmi_dir_peek(Relation index, RmiDir *dir, KyroFence target, bool strictly, RmiLanding *landing);

/* The fence n entries before the landing, the first at worst; false if it is the first itself, or not from the copy. */
extern bool rmi_dir_before(RmiDir *dir, const RmiLanding *landing, uint32 n, KyroFence *low);

/* The shape of the leaf that was last found, to be kept up by who finds one. */
extern LeafShape *rmi_dir_shape(RmiDir *dir);

/* Remember a page seen (buffer hint), or a page met while walking right. */
extern void rmi_dir_note_buffer(RmiDir *dir, const RmiLanding *landing, Buffer buf);
extern void rmi_dir_note_page(Relation index, RmiDir *dir, KyroFence low, BlockNumber block);

/*
 * A landing page was no good, or the walk was long: read what is new.  Not
 * with a leaf locked.
 */
extern void rmi_dir_refresh(Relation index);

/* For inspection: the copy's model (NULL if none) and number of leaves (0 if no copy). */
extern const struct LearnedModel *rmi_dir_model(const RmiDir *dir);
extern uint32 rmi_dir_entries(const RmiDir *dir);

/* Forget this index's copy (build, truncate); all of them (tests). */
extern void rmi_dir_forget(Relation index);

/* ---- fold.c: when there is a new directory ---- */

/* Write a new directory if anything was split since; heal: also if it or the model is damaged.  why: for the history. */
extern void rmi_maybe_fold(Relation index, bool heal, RmiWhy why);

/* Note the number of live entries on the meta page. */
extern void rmi_meta_set_tuples(Relation index, uint64 tuples);

/*
 * Read the meta page, having given the index the own carrier if new ones get
 * it.  Excludes no one; by VACUUM only.
 */
extern void rmi_read_meta_for_vacuum(Relation index, RmiMetaData *meta);

/* Excludes other rebuilds of this index, not readers or writers. */
extern bool rmi_rebuild_lock(Relation index, bool wait);
extern void rmi_rebuild_unlock(Relation index);

/* ---- rebuild.c ---- */

typedef struct RmiRebuilt
{
	uint32		leaves;
	bool		has_model;		/* false if it could not be read back */
	uint32		eps_max;		/* in directory entries */
} RmiRebuilt;

/*
 * Merge the insert run of every leaf, and write a new directory and model.
 * Blocks neither readers nor writers; waits for other rebuilds.  The caller
 * holds ShareUpdateExclusiveLock on the table, to keep VACUUM out.  pause, if
 * given, is called between leaves, with no page locked: it may sleep or raise.
 * why: for the history.
 */
extern void rmi_rebuild(Relation index, RmiWhy why, void (*pause) (void *arg), void *arg, RmiRebuilt *result);

/* ---- search.c: from a fence to a locked leaf ---- */

/*
 * The leaf that owns target (low <= target < high), locked in mode; with
 * strictly, the leaf that owns what comes right before it (low < target <=
 * high).  Pins and locks one buffer.  Raises XX002 on damage.
 */
extern Buffer rmi_descend(Relation index, KyroFence target, bool strictly, int mode, BlockNumber *visited);

/* The same, trying a landing first that rmi_prefetch_leaf() has found for this target. */
extern Buffer rmi_descend_from(Relation index, KyroFence target, bool strictly, int mode, const RmiLanding *landing);

/*
 * Have the leaf that owns target on its way to memory and the processor, and
 * note where it is.  False if that cannot be known without reading pages.  No lock may be held.
 */
extern bool rmi_prefetch_leaf(Relation index, KyroFence target, bool strictly, RmiLanding *landing);

/* ---- checked.c ---- */

/* From _PG_init(): asks for the memory if the server is just starting. */
extern void rmi_checked_init(void);

/* Is the checksum of a locked leaf right?  Computed only if nobody is known to have seen it before. */
extern bool rmi_leaf_sum_ok(Buffer buf);

/* Has somebody seen that it is right?  Note that it is.  Both with the buffer locked. */
extern bool rmi_leaf_is_checked(Buffer buf);
extern void rmi_leaf_note_checked(Buffer buf);

/* ---- insert.c ---- */
extern bool rmi_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
					   Relation heap, IndexUniqueCheck check, bool unchanged, IndexInfo *info);

/*
 * Split the exclusively locked leaf buf in two, one record.  *right gets the
 * new page, exclusively locked; both keep their locks.  The caller passes the
 * new page to rmi_log_append() when its locks are gone.
 */
extern KyroFence rmi_split(Relation index, uint32 index_id, RmiCarrier carrier, Buffer buf, Buffer *right);

extern void rmi_insert_entry(Relation index, KyroEntry e, bool isnull);

/* ---- bulk.c ---- */
extern void *rmi_bulk_begin(Relation index, int memory);
extern void rmi_bulk_put(void *bulk, Datum value, bool isnull, ItemPointer tid);
extern void rmi_bulk_finish(void *bulk);

/* ---- parallel.c ---- */

/* Where a parallel scan goes on. */
typedef struct RmiPlace
{
	int			interval;
	bool		inside;			/* at this fence, likely of this block; else
								 * at the interval's begin */
	KyroFence	bound;
	BlockNumber block;
} RmiPlace;

extern Size rmi_estimateparallelscan(KYRO_PARALLEL_SCAN_PARAMS);
extern void rmi_initparallelscan(void *target);
extern void rmi_parallelrescan(IndexScanDesc scan);
extern bool rmi_parallel_seize(IndexScanDesc scan, const RmiPlace *first, RmiPlace *place);
extern void rmi_parallel_release(IndexScanDesc scan, const RmiPlace *next);

/* ---- kill.c: entries of rows that are dead to everybody ---- */

/* Dead entries of a leaf that are worth removing. */
#define RMI_KILLS_MIN	32

/*
 * Remove the entries with these n > 0 tids from the leaf at block.  They were
 * read when the leaf began at low.  Sorts the tids.  Does nothing if the leaf
 * may not be what it was, or if somebody has it locked.  pinned: the leaf has
 * been pinned since then; if not, lsn is the LSN that it had.  No locks may be
 * held.
 */
extern void rmi_kill(Relation heap, Relation index, BlockNumber block, KyroFence low,
					 bool pinned, XLogRecPtr lsn, uint64 *tids, int n);

/* The same for a leaf that has been exclusively locked since they were read. */
extern void rmi_kill_locked(Relation heap, Relation index, RmiCarrier carrier, Buffer buf,
							uint64 *tids, int n);

/*
 * Ask the table about entries of equal keys on an exclusively locked leaf, and
 * remove those of dead rows; returns how many.  full: of all keys, until there is
 * some room; else of the keys in the insert run, if many of them lie together in the table.
 */
extern int	rmi_kill_versions(Relation heap, Relation index, RmiCarrier carrier, Buffer buf, bool full);

/* ---- scan.c ---- */
extern IndexScanDesc rmi_beginscan(Relation index, int nkeys, int norderbys);
extern void rmi_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool rmi_gettuple(IndexScanDesc scan, ScanDirection dir);
extern int64 rmi_getbitmap(IndexScanDesc scan, TIDBitmap *tbm);
extern void rmi_endscan(IndexScanDesc scan);
extern void rmi_markpos(IndexScanDesc scan);
extern void rmi_restrpos(IndexScanDesc scan);
extern bool rmi_canreturn(Relation index, int attno);

/* ---- tidy.c ---- */

/*
 * Call tidy(), which takes new pages: for a directory, the free space map, or joining leaves.  If there
 * is no space for them there is a WARNING.  No buffer may be locked.  (In parallel mode there are no
 * subtransactions, and the error is raised.)
 */
extern void rmi_if_space(Relation index, void (*tidy) (void *arg), void *arg);

/* ---- vacuum.c ---- */
extern IndexBulkDeleteResult *rmi_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *arg);
extern IndexBulkDeleteResult *rmi_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

/* ---- verify.c ---- */

/*
 * What else is done with the leaves, on the walk along their chain.  begin() is called before it, leaf()
 * with a copy of each sound leaf, where entries below `from` were on a leaf before, and end() after it;
 * not complete: the chain breaks off.  No page is locked.
 */
typedef struct RmiLeafVisitor
{
	void		(*begin) (void *arg);
	void		(*leaf) (void *arg, Page leaf, BlockNumber block, KyroFence from);
	void		(*end) (void *arg, bool complete);
	void	   *arg;
} RmiLeafVisitor;

/*
 * Report what is wrong with an index: its pages, their chain, the directory.  The caller holds
 * AccessShareLock on it.  One page is locked at a time, or two that follow one another, in share
 * mode; it works on a standby.  visitor may be NULL.
 */
extern void rmi_verify(Relation index, KyroReportFunction report, void *arg, const RmiLeafVisitor *visitor);

/* ---- build.c, sort.c ---- */

/*
 * Called when an index has been built, outside of parallel mode: registered at
 * start by who keeps the catalog rows of constraints, a layer above.
 */
typedef void (*RmiAfterBuild) (Relation heap, Relation index, IndexInfo *info);
extern void rmi_set_after_build(RmiAfterBuild function);

extern IndexBuildResult *rmi_build(Relation heap, Relation index, IndexInfo *info);
extern void rmi_buildempty(Relation index);
extern char *rmi_buildphasename(int64 phase);

#endif							/* KYRO_RMI_H */
