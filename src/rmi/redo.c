/*-------------------------------------------------------------------------
 *
 * redo.c
 *	  The resource manager of kyro_rmi: replaying and describing its records.
 *
 * A record is a list of (block, op); its info says of what kind the first op
 * is.  Redo does what the primary did, by the same rmi_apply(), with all pages
 * locked until the last is changed and in the same order, left before right, so
 * that queries on a standby see what they would see on the primary.
 *
 * IDENTIFICATION
 *	  src/rmi/redo.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/bufmask.h"
#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "storage/standby.h"

#include "rmi/kyro_rmi.h"
#include "rmi/splitlog.h"

static const char *const op_names[] = {
	[RMI_OP_APPEND] = "APPEND",
	[RMI_OP_RUN_ADD] = "INSERT",
	[RMI_OP_MERGE] = "MERGE",
	[RMI_OP_SPLIT] = "SPLIT",
	[RMI_OP_VACUUM] = "VACUUM",
	[RMI_OP_DELETE] = "DELETE",
	[RMI_OP_IMAGE] = "IMAGE",
	[RMI_OP_SET_LEFT] = "SET_LEFT",
	[RMI_OP_SET_RIGHT] = "SET_RIGHT",
	[RMI_OP_META] = "META",
	[RMI_OP_LOG_ADD] = "LOG_ADD",
	[RMI_OP_LOG_NEXT] = "LOG_NEXT",
	[RMI_OP_FREE] = "FREE",
	[RMI_OP_RELEASE] = "RELEASE",
	[RMI_OP_INSERT] = "INSERT_MANY"
};

StaticAssertDecl(lengthof(op_names) <= 16, "kinds of ops fit the info of a record");

/*
 * The data of block i of a record, without the byte that says its kind; *kind
 * is set.  NULL if there is none.
 */
static const uint8 *
op_data(XLogReaderState *record, int i, int *kind, Size *len)
{
	const uint8 *data = (const uint8 *) XLogRecGetBlockData(record, i, len);

	*kind = i == 0 ? (XLogRecGetInfo(record) & ~XLR_INFO_MASK) >> 4 : RMI_OP_IMAGE;
	if (i > 0 && data != NULL && *len > 0)
	{
		*kind = data[0];
		data++;
		(*len)--;
	}
	return data;
}

static void
redo_block(XLogReaderState *record, int i, Buffer *buf)
{
	static RmiOpSpace space;
	int			kind;
	Size		len = 0;
	const uint8 *data = op_data(record, i, &kind, &len);
	bool		init = (XLogRecGetBlock(record, i)->flags & BKPBLOCK_WILL_INIT) != 0;
	bool		wait = kind == RMI_OP_VACUUM || kind == RMI_OP_RELEASE;
	Page		page;
	RmiOp		op;
	const char *problem;

	/*
	 * Index-only scans may hold on to what VACUUM removes or finds gone, and
	 * to what has left a page that VACUUM has freed.  So wait for their pins
	 * before addresses of rows, or the page, are used again.
	 */
	if (XLogReadBufferForRedoExtended(record, i, !init ? RBM_NORMAL : wait ? RBM_ZERO_AND_CLEANUP_LOCK : RBM_ZERO_AND_LOCK,
									  wait, buf) != BLK_NEEDS_REDO)
		return;
	page = BufferGetPage(*buf);
	problem = rmi_op_decode(&op, kind, page, data, len, &space);
	if (problem == NULL)
	{
		if (kind == RMI_OP_FREE || kind == RMI_OP_RELEASE)
			op.block = BufferGetBlockNumber(*buf);
		if (!rmi_apply(&op, page))
			problem = "the page cannot take it";
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("cannot replay a change of a kyro_rmi index at block %u", BufferGetBlockNumber(*buf)),
				 errdetail("The record does not fit: %s.", problem),
				 errhint("Replay needs the version of kyrodb that has written the log.")));
	PageSetLSN(page, record->EndRecPtr);
	MarkBufferDirty(*buf);
}

static void
rmi_redo(XLogReaderState *record)
{
	Buffer		bufs[RMI_CHANGE_MAX];
	int			n = XLogRecMaxBlockId(record) + 1;
	RmiConflict conflict = {InvalidTransactionId, false};
	KyroLocator locator;

	if (n > RMI_CHANGE_MAX)
		elog(ERROR, "a record of kyro_rmi has %d blocks", n);
	if (InHotStandby && XLogRecGetDataLen(record) >= SizeOfRmiConflict)
	{
		memcpy(&conflict, XLogRecGetData(record), SizeOfRmiConflict);
		XLogRecGetBlockTag(record, 0, &locator, NULL, NULL);
		kyro_resolve_conflict(conflict.horizon, conflict.catalog, locator);
	}
	for (int i = 0; i < n; i++)
	{
		bufs[i] = InvalidBuffer;
		redo_block(record, i, &bufs[i]);
	}
	for (int i = 0; i < n; i++)
	{
		if (BufferIsValid(bufs[i]))
			UnlockReleaseBuffer(bufs[i]);
	}
}

/* For pg_walinspect and messages about replay: what each block goes through. */
static void
rmi_desc(StringInfo buf, XLogReaderState *record)
{
	static RmiOpSpace space;

	for (int i = 0; i <= XLogRecMaxBlockId(record); i++)
	{
		PGAlignedBlock empty;
		int			kind;
		Size		len = 0;
		const uint8 *data = op_data(record, i, &kind, &len);
		RmiOp		op;

		if (i > 0)
			appendStringInfoString(buf, ", ");
		if (i == 0 && XLogRecGetDataLen(record) >= SizeOfRmiConflict)
			appendStringInfo(buf, "horizon %u ", ((RmiConflict *) XLogRecGetData(record))->horizon);
		if (i > 0 && kind < (int) lengthof(op_names))
			appendStringInfo(buf, "%s ", op_names[kind]);
		appendStringInfo(buf, "blk %d", i);
		if ((kind != RMI_OP_APPEND && kind != RMI_OP_RUN_ADD) || data == NULL)
			continue;
		/* keys are relative to the leaf, which is not at hand */
		memset(leaf_header(empty.data), 0, sizeof(LeafHeader));
		if (rmi_op_decode(&op, kind, empty.data, data, len, &space) == NULL)
			appendStringInfo(buf, " key low + " UINT64_FORMAT " tid (%u,%u)", (uint64) op.entry.key,
							 (uint32) (op.entry.tid >> 16), (uint32) (op.entry.tid & 0xFFFF));
	}
}

static const char *
rmi_identify(uint8 info)
{
	int			kind = (info & ~XLR_INFO_MASK) >> 4;

	return kind < (int) lengthof(op_names) ? op_names[kind] : NULL;
}

/* For wal_consistency_checking: what may differ between a page and its replay. */
static void
rmi_mask(char *page, BlockNumber block)
{
	mask_page_lsn_and_checksum(page);
	mask_unused_space(page);
}

void
rmi_rmgr_init(void)
{
	static const RmgrData rmgr = {
		.rm_name = "kyro_rmi",
		.rm_redo = rmi_redo,
		.rm_desc = rmi_desc,
		.rm_identify = rmi_identify,
		.rm_mask = rmi_mask
	};

	if (!process_shared_preload_libraries_in_progress)
		return;
	RegisterCustomRmgr(RMI_RMGR_ID, (RmgrData *) &rmgr);
	rmi_rmgr_registered = true;
}
