/*-------------------------------------------------------------------------
 *
 * update.c
 *	  Updates and deletes of sealed rows: of their ledger tuples.
 *
 * heap_update() cannot be used.  It would make the new version heap-only if that
 * fits the page and no indexed column changes, but no index leads to a ledger
 * tuple.  heap_delete() and heap_insert() could be used, but logical decoding would
 * see a DELETE and an INSERT, we would wait for key-share lockers, and unchanged
 * TOAST values would be stored again.  So this does what heap_update() does (see
 * heapam.c), without HOT: the same locks, the same marks in both tuples, and the
 * same WAL record, which core replays and decodes.
 *
 * heap_lock_tuple() does the waiting, and decides who was first.  Once it has locked
 * the ledger tuple for us, nobody else updates or deletes it, and any other lockers
 * are key-share lockers; they stay, and are taken over to the new version.  If nobody
 * has ever locked the ledger tuple, and no TOAST values must be stored before the new
 * version has its place, no such lock is needed.
 *
 * Nor can heap_delete() be used: it takes the old key, for logical decoding, and the
 * TOAST values to delete from the tuple, and a ledger tuple has no columns.
 *
 * Mostly a row has no ledger tuple yet.  Then there is nobody to wait for, and the
 * tuple is made with the delete, or the update and its new version, already in it
 * (store_touch()).  That is one record of generic WAL, which is not decoded.  So where
 * changes are decoded, the row is touched first.
 *
 * IDENTIFICATION
 *	  src/store/update.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/heaptoast.h"
#include "access/hio.h"
#include "access/multixact.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "utils/datum.h"

#include "debug_point.h"
#include "store/store.h"

/* ---- who has a tuple locked ---- */

/* What a tuple header says of those who lock, update or delete the tuple. */
typedef struct Xmax
{
	TransactionId xmax;
	uint16		infomask;
	uint16		infomask2;
} Xmax;

/* What a single transaction does to a tuple, by the tuple's header. */
static MultiXactStatus
lock_status(const HeapTupleHeaderData *t)
{
	if (HEAP_XMAX_IS_KEYSHR_LOCKED(t->t_infomask))
		return MultiXactStatusForKeyShare;
	if (HEAP_XMAX_IS_SHR_LOCKED(t->t_infomask))
		return MultiXactStatusForShare;
	return t->t_infomask2 & HEAP_KEYS_UPDATED ? MultiXactStatusForUpdate : MultiXactStatusForNoKeyUpdate;
}

/*
 * The transactions in progress that have locked a tuple; no transaction in progress
 * updates it.  *members is palloc'd, with room for one more.
 */
static int
read_lockers(const HeapTupleHeaderData *t, MultiXactMember **members)
{
	TransactionId xmax = HeapTupleHeaderGetRawXmax(t);
	MultiXactMember *all;
	int			nall;
	int			n = 0;

	if (t->t_infomask & HEAP_XMAX_INVALID)
		nall = 0;
	else if (t->t_infomask & HEAP_XMAX_IS_MULTI)
		nall = Max(GetMultiXactIdMembers(xmax, &all, false, HEAP_XMAX_IS_LOCKED_ONLY(t->t_infomask)), 0);
	else
	{
		nall = 1;
		all = palloc(sizeof(MultiXactMember));
		all->xid = xmax;
		all->status = lock_status(t);
	}
	*members = palloc((nall + 1) * sizeof(MultiXactMember));
	for (int i = 0; i < nall; i++)
	{
		if (TransactionIdIsInProgress(all[i].xid))
			(*members)[n++] = all[i];
	}
	if (nall > 0)
		pfree(all);
	return n;
}

/* The header fields that record these transactions. */
static Xmax
make_xmax(MultiXactMember *members, int n)
{
	Xmax		x = {InvalidTransactionId, HEAP_XMAX_INVALID, 0};
	MultiXactStatus strongest = MultiXactStatusForKeyShare;
	bool		updated = false;

	if (n == 0)
		return x;
	x.infomask = 0;
	for (int i = 0; i < n; i++)
	{
		MultiXactStatus status = members[i].status;

		strongest = Max(strongest, status);
		updated |= ISUPDATE_from_mxstatus(status);
		if (status == MultiXactStatusForUpdate || status == MultiXactStatusUpdate)
			x.infomask2 = HEAP_KEYS_UPDATED;
	}
	if (!updated)
		x.infomask |= HEAP_XMAX_LOCK_ONLY;
	if (n > 1)
	{
		x.xmax = MultiXactIdCreateFromMembers(n, members);
		x.infomask |= HEAP_XMAX_IS_MULTI;
	}
	else
		x.xmax = members[0].xid;
	/* an update that is alone sets no lock bit */
	if (n > 1 || !updated)
		x.infomask |= strongest >= MultiXactStatusForNoKeyUpdate ? HEAP_XMAX_EXCL_LOCK :
			strongest == MultiXactStatusForShare ? HEAP_XMAX_SHR_LOCK : HEAP_XMAX_KEYSHR_LOCK;
	return x;
}

/*
 * The header fields of a ledger tuple that we update, and those of its new version,
 * which inherits the locks of others.  The tuple is locked for us, or nobody has
 * locked it.
 */
static void
compute_xmax(const HeapTupleHeaderData *t, TransactionId xid, LockTupleMode mode, Xmax *old_xmax, Xmax *new_xmax)
{
	MultiXactStatus status = mode == LockTupleExclusive ? MultiXactStatusUpdate : MultiXactStatusNoKeyUpdate;
	MultiXactMember *members;
	MultiXactMember *others;
	int			n = read_lockers(t, &members);
	int			kept = 0;
	int			nothers = 0;

	others = palloc((n + 1) * sizeof(MultiXactMember));
	for (int i = 0; i < n; i++)
	{
		Assert(!ISUPDATE_from_mxstatus(members[i].status));
		if (members[i].xid == xid)
		{
			/* keep the stronger of our lock and our update */
			if (members[i].status == MultiXactStatusForUpdate)
				status = MultiXactStatusUpdate;
			continue;
		}
		if (!TransactionIdIsCurrentTransactionId(members[i].xid))
		{
			Assert(members[i].status == MultiXactStatusForKeyShare && mode == LockTupleNoKeyExclusive);
			others[nothers++] = members[i];
		}
		members[kept++] = members[i];
	}
	members[kept].xid = xid;
	members[kept++].status = status;
	*old_xmax = make_xmax(members, kept);
	*new_xmax = make_xmax(others, nothers);
	pfree(members);
	pfree(others);
}

static void
set_xmax(HeapTupleHeader t, const Xmax *x)
{
	t->t_infomask &= ~HEAP_XMAX_BITS;
	t->t_infomask2 &= ~HEAP_KEYS_UPDATED;
	t->t_infomask |= x->infomask;
	t->t_infomask2 |= x->infomask2;
	HeapTupleHeaderSetXmax(t, x->xmax);
}

/* Set the header of a new version: made by our command, by an update, with the locks that it inherits. */
static void
stamp_new_version(Relation rel, HeapTuple t, CommandId cid, const Xmax *xmax)
{
	t->t_tableOid = RelationGetRelid(rel);
	t->t_data->t_infomask &= ~HEAP_XACT_MASK;
	t->t_data->t_infomask2 &= ~HEAP2_XACT_MASK;
	t->t_data->t_infomask |= HEAP_UPDATED;
	HeapTupleHeaderSetXmin(t->t_data, GetCurrentTransactionId());
	HeapTupleHeaderSetCmin(t->t_data, cid);
	set_xmax(t->t_data, xmax);
}

/* ---- what changes ---- */

/*
 * Do the bytes of one of these columns change?  If not, and external is not NULL,
 * *external is set to true if one of them is stored in the TOAST table.
 */
static bool
columns_change(Relation rel, const Bitmapset *columns, HeapTuple old, HeapTuple new, bool *external)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			member = -1;

	while ((member = bms_next_member(columns, member)) >= 0)
	{
		AttrNumber	attnum = member + FirstLowInvalidHeapAttributeNumber;
		Form_pg_attribute att;
		Datum		old_value,
					new_value;
		bool		old_null,
					new_null;

		if (attnum <= 0)
			return true;
		att = TupleDescAttr(desc, attnum - 1);
		old_value = heap_getattr(old, attnum, desc, &old_null);
		new_value = heap_getattr(new, attnum, desc, &new_null);
		if (old_null != new_null ||
			(!old_null && !datumIsEqual(old_value, new_value, att->attbyval, att->attlen)))
			return true;
		if (external != NULL && !old_null && att->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(old_value)))
			*external = true;
	}
	return false;
}

/*
 * What logical decoding needs of the old row, by the table's replica identity: a
 * tuple, which may be `old` itself, or NULL for nothing.  `change`: columns of the
 * identity change, or are stored in the TOAST table.
 */
static HeapTuple
old_identity(Relation rel, const Bitmapset *columns, HeapTuple old, bool change)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HeapTuple	tuple = old;

	if (!RelationIsLogicallyLogged(rel) || rel->rd_rel->relreplident == REPLICA_IDENTITY_NOTHING)
		return NULL;
	if (rel->rd_rel->relreplident != REPLICA_IDENTITY_FULL)
	{
		Datum	   *values;
		bool	   *isnull;

		if (!change || bms_is_empty(columns))
			return NULL;
		values = palloc(desc->natts * sizeof(Datum));
		isnull = palloc(desc->natts * sizeof(bool));
		heap_deform_tuple(old, desc, values, isnull);
		for (int i = 0; i < desc->natts; i++)
			isnull[i] |= !bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, columns);
		tuple = heap_form_tuple(desc, values, isnull);
		pfree(values);
		pfree(isnull);
	}
	return HeapTupleHasExternal(tuple) ? toast_flatten_tuple(tuple, desc) : tuple;
}

/* ---- WAL, as heapam.c writes it ---- */

/*
 * For tables that logical decoding reads like a catalog (user_catalog_table): which of
 * our commands has made a tuple, or has ended it.
 */
static void
log_new_cid(Relation rel, HeapTuple tuple, CommandId cmin, CommandId cmax)
{
	xl_heap_new_cid record = {0};

	record.top_xid = GetTopTransactionId();
	record.cmin = cmin;
	record.cmax = cmax;
	record.combocid = InvalidCommandId;
	record.kyro_new_cid_file = kyro_locator(rel);
	record.target_tid = tuple->t_self;
	XLogBeginInsert();
	XLogRegisterData((char *) &record, SizeOfHeapNewCid);
	(void) XLogInsert(RM_HEAP2_ID, XLOG_HEAP2_NEW_CID);
}

static xl_heap_header
header_of(const HeapTupleHeaderData *t)
{
	xl_heap_header header = {.t_infomask2 = t->t_infomask2, .t_infomask = t->t_infomask, .t_hoff = t->t_hoff};

	return header;
}

/* The bits for a tuple's xmax in heap code's records. */
static uint8
infobits_of(const HeapTupleHeaderData *t)
{
	return (t->t_infomask & HEAP_XMAX_IS_MULTI ? XLHL_XMAX_IS_MULTI : 0) |
		(t->t_infomask & HEAP_XMAX_LOCK_ONLY ? XLHL_XMAX_LOCK_ONLY : 0) |
		(t->t_infomask & HEAP_XMAX_EXCL_LOCK ? XLHL_XMAX_EXCL_LOCK : 0) |
		(t->t_infomask & HEAP_XMAX_KEYSHR_LOCK ? XLHL_XMAX_KEYSHR_LOCK : 0) |
		(t->t_infomask2 & HEAP_KEYS_UPDATED ? XLHL_KEYS_UPDATED : 0);
}

/* Append the identity of the old row to a record; *header must live until that is inserted. */
static void
register_identity(HeapTuple identity, xl_heap_header *header)
{
	*header = header_of(identity->t_data);
	XLogRegisterData((char *) header, SizeOfHeapHeader);
	XLogRegisterData((char *) identity->t_data + SizeofHeapTupleHeader, identity->t_len - SizeofHeapTupleHeader);
}

/* Log that the tuple `ledger` was deleted.  `identity` may be NULL. */
static XLogRecPtr
log_delete(Relation rel, Buffer buffer, HeapTuple ledger, HeapTuple identity, uint8 flags)
{
	xl_heap_delete record = {0};
	xl_heap_header header;

	record.xmax = HeapTupleHeaderGetRawXmax(ledger->t_data);
	record.offnum = ItemPointerGetOffsetNumber(&ledger->t_self);
	record.infobits_set = infobits_of(ledger->t_data);
	record.flags = flags;
	if (identity != NULL)
		record.flags |= rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL ?
			XLH_DELETE_CONTAINS_OLD_TUPLE : XLH_DELETE_CONTAINS_OLD_KEY;
	XLogBeginInsert();
	XLogRegisterData((char *) &record, SizeOfHeapDelete);
	XLogRegisterBuffer(0, buffer, REGBUF_STANDARD);
	if (identity != NULL)
		register_identity(identity, &header);
	XLogSetRecordFlags(XLOG_INCLUDE_ORIGIN);
	return XLogInsert(RM_HEAP_ID, XLOG_HEAP_DELETE);
}

/*
 * Log that the tuple `ledger` was updated to `new`; both are on their pages already.
 * `identity` is that of old_identity().
 */
static XLogRecPtr
log_update(Relation rel, Buffer old_buffer, Buffer new_buffer, HeapTuple ledger, HeapTuple new,
		   HeapTuple identity, uint8 flags)
{
	Page		new_page = BufferGetPage(new_buffer);
	bool		first = (ItemPointerGetOffsetNumber(&new->t_self) == FirstOffsetNumber &&
						 PageGetMaxOffsetNumber(new_page) == FirstOffsetNumber);
	xl_heap_update record = {0};
	xl_heap_header new_header = header_of(new->t_data);
	xl_heap_header identity_header;

	record.old_xmax = HeapTupleHeaderGetRawXmax(ledger->t_data);
	record.old_offnum = ItemPointerGetOffsetNumber(&ledger->t_self);
	record.old_infobits_set = infobits_of(ledger->t_data);
	record.new_xmax = HeapTupleHeaderGetRawXmax(new->t_data);
	record.new_offnum = ItemPointerGetOffsetNumber(&new->t_self);
	record.flags = flags;
	if (RelationIsLogicallyLogged(rel))
	{
		record.flags |= XLH_UPDATE_CONTAINS_NEW_TUPLE;
		if (identity != NULL)
			record.flags |= rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL ?
				XLH_UPDATE_CONTAINS_OLD_TUPLE : XLH_UPDATE_CONTAINS_OLD_KEY;
	}

	XLogBeginInsert();
	XLogRegisterBuffer(0, new_buffer, REGBUF_STANDARD | (first ? REGBUF_WILL_INIT : 0) |
					   (RelationIsLogicallyLogged(rel) ? REGBUF_KEEP_DATA : 0));
	if (old_buffer != new_buffer)
		XLogRegisterBuffer(1, old_buffer, REGBUF_STANDARD);
	XLogRegisterData((char *) &record, SizeOfHeapUpdate);
	XLogRegisterBufData(0, (char *) &new_header, SizeOfHeapHeader);
	XLogRegisterBufData(0, (char *) new->t_data + SizeofHeapTupleHeader, new->t_len - SizeofHeapTupleHeader);
	if (identity != NULL)
		register_identity(identity, &identity_header);
	XLogSetRecordFlags(XLOG_INCLUDE_ORIGIN);
	return XLogInsert(RM_HEAP_ID, XLOG_HEAP_UPDATE | (first ? XLOG_HEAP_INIT_PAGE : 0));
}

/* ---- the update ---- */

/* An update; old and new version may be on the same page. */
typedef struct Update
{
	Relation	rel;
	CommandId	cid;
	LockTupleMode mode;			/* depends on what changes */
	bool		wait;
	TM_FailureData *tmfd;
	HeapTupleData ledger;		/* t_self is valid from the start, the rest
								 * once the pages are locked */
	bool		locked;			/* heap_lock_tuple() has locked it for us */
	Buffer		old_buffer,
				new_buffer,
				old_vm,
				new_vm;
} Update;

/* Clear the page's mark and map bits that its rows are visible to all; true if it was set. */
static bool
clear_all_visible(Relation rel, Buffer buffer, Buffer vmbuffer)
{
	Page		page = BufferGetPage(buffer);

	if (!PageIsAllVisible(page))
		return false;
	PageClearAllVisible(page);
	visibilitymap_clear(rel, BufferGetBlockNumber(buffer), vmbuffer, VISIBILITYMAP_VALID_BITS);
	return true;
}

/*
 * Lock the ledger tuple for our update.  Results as of heap_lock_tuple(), with
 * TM_BeingModified if we are not to wait.
 */
static TM_Result
lock_ledger(Update *u)
{
	Buffer		buffer;
	TM_Result	result = heap_lock_tuple(u->rel, &u->ledger, u->cid, u->mode, u->wait ? LockWaitBlock : LockWaitSkip,
										 false, &buffer, u->tmfd);

	ReleaseBuffer(buffer);
	u->locked = result == TM_Ok;
	return result == TM_WouldBlock ? TM_BeingModified : result;
}

static void
release_vm_pages(Update *u)
{
	if (BufferIsValid(u->old_vm))
		ReleaseBuffer(u->old_vm);
	if (BufferIsValid(u->new_vm))
		ReleaseBuffer(u->new_vm);
}

/* The same, with the tuple's page pinned: that and pages of the map are let go unless the result is TM_Ok. */
static TM_Result
lock_ledger_or_release(Update *u)
{
	TM_Result	result = lock_ledger(u);

	if (result != TM_Ok)
	{
		ReleaseBuffer(u->old_buffer);
		release_vm_pages(u);
	}
	return result;
}

/* Fill in the ledger tuple, whose page is locked.  Returns whether we may change it without locking the tuple first. */
static bool
find_ledger(Update *u)
{
	Page		page = BufferGetPage(u->old_buffer);
	BlockNumber block = ItemPointerGetBlockNumber(&u->ledger.t_self);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&u->ledger.t_self);
	ItemId		item = PageGetItemId(page, offset);

	if (!ItemIdIsNormal(item))
		elog(ERROR, "ledger tuple (%u,%u) of \"%s\" is gone", block, offset, RelationGetRelationName(u->rel));
	u->ledger.t_data = (HeapTupleHeader) PageGetItem(page, item);
	u->ledger.t_len = ItemIdGetLength(item);
	return u->locked || (u->ledger.t_data->t_infomask & HEAP_XMAX_INVALID);
}

/*
 * Lock the page of the ledger tuple, and one with room for a new version of this
 * length, in the order in which everybody locks log pages; fill u->ledger.  If
 * anybody has ever locked the tuple, it must be locked for us.  That may wait, so it
 * is done with no page locked, and the pages are locked again.  If the result is not
 * TM_Ok, no page is locked or pinned.
 */
static TM_Result
lock_pages(Update *u, Size length)
{
	u->old_buffer = ReadBuffer(u->rel, ItemPointerGetBlockNumber(&u->ledger.t_self));
	for (;;)
	{
		TM_Result	result;

		u->new_buffer = kyro_buffer_for_tuple(u->rel, length, u->old_buffer, &u->new_vm, &u->old_vm);
		if (find_ledger(u))
			return TM_Ok;

		LockBuffer(u->old_buffer, BUFFER_LOCK_UNLOCK);
		if (u->new_buffer != u->old_buffer)
			UnlockReleaseBuffer(u->new_buffer);
		result = lock_ledger_or_release(u);
		if (result != TM_Ok)
			return result;
	}
}

/* The same for a delete, which needs only the page of the ledger tuple. */
static TM_Result
lock_page(Update *u)
{
	u->old_buffer = ReadBuffer(u->rel, ItemPointerGetBlockNumber(&u->ledger.t_self));
	u->new_buffer = u->old_buffer;
	visibilitymap_pin(u->rel, ItemPointerGetBlockNumber(&u->ledger.t_self), &u->old_vm);
	for (;;)
	{
		TM_Result	result;

		LockBuffer(u->old_buffer, BUFFER_LOCK_EXCLUSIVE);
		if (find_ledger(u))
			return TM_Ok;
		LockBuffer(u->old_buffer, BUFFER_LOCK_UNLOCK);
		result = lock_ledger_or_release(u);
		if (result != TM_Ok)
			return result;
	}
}

/* Unlock and unpin what lock_pages() or lock_page() has locked. */
static void
unlock_pages(Update *u)
{
	if (u->new_buffer != u->old_buffer)
		UnlockReleaseBuffer(u->new_buffer);
	UnlockReleaseBuffer(u->old_buffer);
	release_vm_pages(u);
}

/* Mark the ledger tuple as deleted or updated by our command; the caller sets t_ctid. */
static void
end_ledger(Update *u, const Xmax *xmax, CommandId cmax)
{
	HeapTupleHeader t = u->ledger.t_data;

	PageSetPrunable(BufferGetPage(u->old_buffer), GetCurrentTransactionId());
	t->t_infomask &= ~HEAP_MOVED;
	HeapTupleHeaderClearHotUpdated(t);
	set_xmax(t, xmax);
	HeapTupleHeaderSetCmax(t, cmax, false);
}

/*
 * Put the new version on its page, end the ledger tuple, and log both, in a critical
 * section.  cmax is that of the ledger tuple, identity as for log_update().
 */
static void
apply_update(Update *u, HeapTuple tuple, const Xmax *ledger_xmax, CommandId cmax, HeapTuple identity)
{
	HeapTupleHeader t = u->ledger.t_data;
	Page		old_page = BufferGetPage(u->old_buffer);
	bool		two_pages = u->new_buffer != u->old_buffer;
	uint8		flags = 0;

	START_CRIT_SECTION();
	RelationPutHeapTuple(u->rel, u->new_buffer, tuple, false);
	end_ledger(u, ledger_xmax, cmax);
	t->t_ctid = tuple->t_self;
	if (clear_all_visible(u->rel, u->old_buffer, u->old_vm))
		flags |= XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED;
	if (two_pages && clear_all_visible(u->rel, u->new_buffer, u->new_vm))
		flags |= XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED;
	MarkBufferDirty(u->old_buffer);
	if (two_pages)
		MarkBufferDirty(u->new_buffer);
	DEBUG_CRASH("update-record");
	if (RelationNeedsWAL(u->rel))
	{
		XLogRecPtr	lsn;

		if (RelationIsAccessibleInLogicalDecoding(u->rel))
		{
			log_new_cid(u->rel, &u->ledger, InvalidCommandId, cmax);
			log_new_cid(u->rel, tuple, u->cid, InvalidCommandId);
		}
		lsn = log_update(u->rel, u->old_buffer, u->new_buffer, &u->ledger, tuple, identity, flags);
		PageSetLSN(old_page, lsn);
		if (two_pages)
			PageSetLSN(BufferGetPage(u->new_buffer), lsn);
	}
	END_CRIT_SECTION();
}

TM_Result
store_ledger_update(Relation rel, HeapTuple old, ItemPointer ledger_tid, HeapTuple new, CommandId cid,
					bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode)
{
	Update		u = {.rel = rel, .cid = cid, .wait = wait, .tmfd = tmfd};
	TransactionId xid = GetCurrentTransactionId();
	Bitmapset  *key_columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);
	Bitmapset  *identity_columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	HeapTuple	tuple = new;	/* as it is stored */
	HeapTuple	identity;
	Xmax		old_xmax,
				new_xmax;
	TM_Result	result;
	bool		external = false;
	bool		change;
	bool		two_pages;
	CommandId	cmax = cid;
	bool		combo;

	Assert(HeapTupleHeaderGetNatts(new->t_data) <= RelationGetNumberOfAttributes(rel));
	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot update tuples during a parallel operation")));

	*lockmode = columns_change(rel, key_columns, old, new, NULL) ? LockTupleExclusive : LockTupleNoKeyExclusive;
	change = columns_change(rel, identity_columns, old, new, &external) || external;
	MultiXactIdSetOldestMember();

	u.mode = *lockmode;
	u.ledger.t_self = *ledger_tid;
	u.ledger.t_tableOid = RelationGetRelid(rel);
	if (HeapTupleHasExternal(old) || HeapTupleHasExternal(new) || new->t_len > TOAST_TUPLE_THRESHOLD)
	{
		result = lock_ledger(&u);
		if (result != TM_Ok)
			return result;
		tuple = heap_toast_insert_or_update(rel, new, old, 0);
	}
	identity = old_identity(rel, identity_columns, old, change);
	DEBUG_POINT("update-prepared");

	result = lock_pages(&u, tuple->t_len);
	if (result != TM_Ok)
		return result;
	two_pages = u.new_buffer != u.old_buffer;
	CheckForSerializableConflictIn(rel, &old->t_self, ItemPointerGetBlockNumber(&old->t_self));
	compute_xmax(u.ledger.t_data, xid, u.mode, &old_xmax, &new_xmax);
	HeapTupleHeaderAdjustCmax(u.ledger.t_data, &cmax, &combo);
	Assert(!combo);				/* its xmin is frozen, so not ours */

	/* both tuples: the caller reads the header of the one that he gave us */
	stamp_new_version(rel, tuple, cid, &new_xmax);
	if (tuple != new)
		stamp_new_version(rel, new, cid, &new_xmax);
	if (two_pages)
		PageSetFull(BufferGetPage(u.old_buffer));	/* so that it is pruned */
	apply_update(&u, tuple, &old_xmax, cmax, identity);
	unlock_pages(&u);
	DEBUG_POINT("update-logged");

	kyro_count_update(rel, two_pages);
	new->t_self = tuple->t_self;
	if (tuple != new)
		heap_freetuple(tuple);
	if (identity != NULL && identity != old)
		heap_freetuple(identity);
	bms_free(key_columns);
	bms_free(identity_columns);
	return TM_Ok;
}

TM_Result
store_ledger_delete(Relation rel, HeapTuple old, ItemPointer ledger_tid, CommandId cid, bool wait,
					TM_FailureData *tmfd, bool moved)
{
	Update		u = {.rel = rel, .cid = cid, .mode = LockTupleExclusive, .wait = wait, .tmfd = tmfd};
	TransactionId xid = GetCurrentTransactionId();
	HeapTuple	identity = NULL;
	HeapTupleHeader t;
	Xmax		xmax,
				none;
	TM_Result	result;
	CommandId	cmax = cid;
	bool		combo;
	uint8		flags = moved ? XLH_DELETE_IS_PARTITION_MOVE : 0;

	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot delete tuples during a parallel operation")));
	MultiXactIdSetOldestMember();
	u.ledger.t_self = *ledger_tid;
	u.ledger.t_tableOid = RelationGetRelid(rel);
	if (RelationIsLogicallyLogged(rel))
	{
		Bitmapset  *columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);

		identity = old_identity(rel, columns, old, true);
		bms_free(columns);
	}
	result = lock_page(&u);
	if (result != TM_Ok)
		return result;
	CheckForSerializableConflictIn(rel, &old->t_self, ItemPointerGetBlockNumber(&old->t_self));
	t = u.ledger.t_data;
	compute_xmax(t, xid, u.mode, &xmax, &none);
	HeapTupleHeaderAdjustCmax(t, &cmax, &combo);
	Assert(!combo);				/* it is frozen */

	START_CRIT_SECTION();
	end_ledger(&u, &xmax, cmax);
	t->t_ctid = u.ledger.t_self;
	if (moved)
		HeapTupleHeaderSetMovedPartitions(t);
	if (clear_all_visible(rel, u.old_buffer, u.old_vm))
		flags |= XLH_DELETE_ALL_VISIBLE_CLEARED;
	MarkBufferDirty(u.old_buffer);
	DEBUG_CRASH("delete-record");
	if (RelationNeedsWAL(rel))
	{
		XLogRecPtr	lsn;

		if (RelationIsAccessibleInLogicalDecoding(rel))
			log_new_cid(rel, &u.ledger, InvalidCommandId, cmax);
		lsn = log_delete(rel, u.old_buffer, &u.ledger, identity, flags);
		PageSetLSN(BufferGetPage(u.old_buffer), lsn);
	}
	END_CRIT_SECTION();
	unlock_pages(&u);
	DEBUG_POINT("delete-logged");

	if (identity != NULL && identity != old)
		heap_freetuple(identity);
	if (HeapTupleHasExternal(old))
		heap_toast_delete(rel, old, false);
	pgstat_count_heap_delete(rel);
	return TM_Ok;
}

/* ---- with the first touch ---- */

bool
store_change_first(Relation rel, HeapTuple old, HeapTuple new, CommandId cid, StoreFirst *first, LockTupleMode *lockmode)
{
	static const Xmax none = {InvalidTransactionId, HEAP_XMAX_INVALID, 0};

	first->keys = true;
	if (new != NULL)
	{
		Bitmapset  *key_columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);

		first->keys = columns_change(rel, key_columns, old, new, NULL);
		*lockmode = first->keys ? LockTupleExclusive : LockTupleNoKeyExclusive;
		bms_free(key_columns);
		/* TOAST values are made when the row is ours */
		if (HeapTupleHasExternal(old) || HeapTupleHasExternal(new) || new->t_len > TOAST_TUPLE_THRESHOLD)
			return false;
	}
	if (RelationIsLogicallyLogged(rel) || RelationIsAccessibleInLogicalDecoding(rel) || IsInParallelMode())
		return false;
	MultiXactIdSetOldestMember();
	first->xid = GetCurrentTransactionId();
	first->cid = cid;
	first->new = new;
	if (new != NULL)
	{
		stamp_new_version(rel, new, cid, &none);
		DEBUG_POINT("update-prepared");
	}
	return true;
}

void
store_changed_first(Relation rel, HeapTuple old, const StoreFirst *first)
{
	DEBUG_POINT(first->new != NULL ? "update-logged" : "delete-logged");
	if (first->new != NULL)
		kyro_count_update(rel, false);
	else
	{
		if (HeapTupleHasExternal(old))
			heap_toast_delete(rel, old, false);
		pgstat_count_heap_delete(rel);
	}
}
