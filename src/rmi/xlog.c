/*-------------------------------------------------------------------------
 *
 * xlog.c
 *	  Changing pages of a kyro_rmi index so that the change survives.
 *
 * Every change is a list of (buffer, op) applied in one WAL record.
 * rmi_apply() is the only code that gives an op its effect, and it depends on
 * nothing but the op and the page: so it serves the primary, both ways of
 * logging, and redo alike.  What logs the ops is called the carrier; the
 * meta page says which one an index uses.
 *
 * The own carrier changes the pages in place and logs the ops (record.c) as
 * records of our resource manager (redo.c).
 *
 * The generic carrier works on copies of the pages and logs the difference,
 * or the whole page where the op lays it out anew.
 *
 * Neither writes WAL for unlogged and temporary indexes.
 *
 * IDENTIFICATION
 *	  src/rmi/xlog.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "guc.h"
#include "rmi/kyro_rmi.h"
#include "rmi/splitlog.h"
#include "rmi/work.h"

bool		rmi_rmgr_registered = false;

bool
rmi_carrier_works(RmiCarrier carrier)
{
	return carrier == RMI_CARRIER_GENERIC || rmi_rmgr_registered;
}

RmiCarrier
rmi_carrier_wanted(void)
{
	return kyro_resource_manager && rmi_rmgr_registered ? RMI_CARRIER_OWN : RMI_CARRIER_GENERIC;
}

static inline bool
op_frees(const RmiOp *op)
{
	return op->kind == RMI_OP_FREE || op->kind == RMI_OP_RELEASE;
}

/* Does the op lay the whole page out anew? */
static inline bool
op_is_layout(const RmiOp *op)
{
	return op->kind == RMI_OP_IMAGE || op_frees(op) ||
		op->kind == RMI_OP_MERGE || op->kind == RMI_OP_SPLIT ||
		op->kind == RMI_OP_VACUUM || op->kind == RMI_OP_DELETE || op->kind == RMI_OP_INSERT;
}

void
rmi_change_begin(RmiChange *c, Relation index, RmiCarrier carrier)
{
	if (!rmi_carrier_works(carrier) && RelationNeedsWAL(index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change index \"%s\"", RelationGetRelationName(index)),
				 errdetail("Its changes are logged by the resource manager of kyrodb, which was not loaded when the server started."),
				 errhint("Add kyrodb to shared_preload_libraries and restart the server, or REINDEX the index.")));
	c->index = index;
	c->carrier = carrier;
	c->generic = carrier == RMI_CARRIER_GENERIC ? GenericXLogStart(index) : NULL;
	c->npages = 0;
	c->refused = false;
}

/* The page of op i cannot take it, and is as it was. */
static void
change_refused(RmiChange *c, int i)
{
	if (!c->op[i].may_refuse)
		elog(ERROR, "page %u of index \"%s\" cannot take a change of kind %d",
			 BufferGetBlockNumber(c->buf[i]), RelationGetRelationName(c->index), c->op[i].kind);
	c->refused = true;
}

void
rmi_change_apply(RmiChange *c, Buffer buf, const RmiOp *op)
{
	int			i = c->npages++;
	RmiOp	   *o = &c->op[i];

	Assert(i < RMI_CHANGE_MAX);
	c->buf[i] = buf;
	*o = *op;
	if (op_frees(op))
	{
		o->index_id = rmi_trailer(BufferGetPage(buf))->index_id;
		o->block = BufferGetBlockNumber(buf);
	}
	c->sound[i] = op->kind == RMI_OP_IMAGE ? rmi_trailer((Page) op->image)->kind == RMI_PAGE_LEAF :
		rmi_trailer(BufferGetPage(buf))->kind == RMI_PAGE_LEAF && !op_frees(op) &&
		(op_is_layout(op) || rmi_leaf_is_checked(buf));
	if (c->generic != NULL)
	{
		Page		page = GenericXLogRegisterBuffer((GenericXLogState *) c->generic, buf,
													 op_is_layout(op) ? GENERIC_XLOG_FULL_IMAGE : 0);

		if (!rmi_apply(o, page))
		{
			change_refused(c, i);
			return;
		}
		Assert(rmi_trailer(page)->kind != RMI_PAGE_LEAF || !leaf_sum_ok(BufferGetPage(buf)) || leaf_sum_ok(page));
		rmi_page_check_defined(page);
	}
}

/* Add the change of one page to the record being made. */
static void
register_op(int i, Buffer buf, const RmiOp *op, uint8 *bytes, int len)
{
	uint8		flags = REGBUF_STANDARD;
	const void *tail;
	Size		tail_len;

	if (op_frees(op) || op->kind == RMI_OP_META)
		flags |= REGBUF_WILL_INIT;
	else if (op->kind == RMI_OP_IMAGE ||
			 (op->gaps != NULL && op->gaps->len > sizeof(op->gaps->data)))
		flags |= REGBUF_FORCE_IMAGE;
	XLogRegisterBuffer(i, buf, flags);
	if (flags & REGBUF_FORCE_IMAGE)
		return;
	/* the kind of the first is that of the record */
	XLogRegisterBufData(i, (char *) bytes + (i == 0), len + (i != 0));
	tail = rmi_op_tail(op, &tail_len);
	if (tail != NULL && tail_len > 0)
		XLogRegisterBufData(i, (char *) tail, tail_len);
}

/* Change the pages themselves and log the ops. */
static void
finish_own(RmiChange *c)
{
	uint8		bytes[RMI_CHANGE_MAX][RMI_OP_BYTES + 1];
	int			len[RMI_CHANGE_MAX];
	RmiConflict conflict;
	bool		need_wal = RelationNeedsWAL(c->index);

	for (int i = 0; need_wal && i < c->npages; i++)
	{
		bytes[i][0] = c->op[i].kind;
		len[i] = rmi_op_encode(&c->op[i], BufferGetPage(c->buf[i]), bytes[i] + 1);
	}

	START_CRIT_SECTION();
	for (int i = 0; i < c->npages; i++)
	{
		Page		page = BufferGetPage(c->buf[i]);
#ifdef USE_ASSERT_CHECKING
		bool		was_sound = rmi_trailer(page)->kind != RMI_PAGE_LEAF || leaf_sum_ok(page);
#endif

		if (!rmi_apply(&c->op[i], page))
		{
			/* only the first may refuse: nothing has changed then */
			if (i > 0)
				elog(PANIC, "kyro_rmi: half a change");
			END_CRIT_SECTION();
			change_refused(c, i);
			return;
		}
		Assert(rmi_trailer(page)->kind != RMI_PAGE_LEAF || !was_sound || leaf_sum_ok(page));
		rmi_page_check_defined(page);
		MarkBufferDirty(c->buf[i]);
	}
	if (need_wal)
	{
		XLogRecPtr	lsn;

		XLogBeginInsert();
		/* needed even if the page is restored from an image */
		if (c->op[0].kind == RMI_OP_DELETE)
		{
			conflict = (RmiConflict) {c->op[0].horizon, c->op[0].catalog};
			XLogRegisterData((char *) &conflict, SizeOfRmiConflict);
		}
		for (int i = 0; i < c->npages; i++)
			register_op(i, c->buf[i], &c->op[i], bytes[i], len[i]);
		lsn = XLogInsert(RMI_RMGR_ID, c->op[0].kind << 4);
		for (int i = 0; i < c->npages; i++)
			PageSetLSN(BufferGetPage(c->buf[i]), lsn);
	}
	END_CRIT_SECTION();
}

bool
rmi_change_finish(RmiChange *c)
{
	if (c->generic == NULL)
		finish_own(c);
	else if (c->refused)
		GenericXLogAbort((GenericXLogState *) c->generic);
	else
		(void) GenericXLogFinish((GenericXLogState *) c->generic);
	c->generic = NULL;
	if (c->refused)
		return false;
	for (int i = 0; i < c->npages; i++)
	{
		if (c->sound[i])
			rmi_leaf_note_checked(c->buf[i]);
	}
	return true;
}

void
rmi_gaps_init(RmiGaps *gaps)
{
	gaps->removed = gaps->asked = gaps->last = gaps->len = 0;
}

void
rmi_gaps_note(RmiGaps *gaps, bool gone)
{
	uint32		gap = gaps->asked - gaps->last;

	gaps->asked++;
	if (!gone)
		return;
	gaps->last = gaps->asked;
	gaps->removed++;
	for (;;)
	{
		if (gaps->len >= sizeof(gaps->data))
		{
			gaps->len = sizeof(gaps->data) + 1;
			return;
		}
		gaps->data[gaps->len++] = (uint8) (gap < 128 ? gap : (gap & 127) | 128);
		if (gap < 128)
			return;
		gap >>= 7;
	}
}

/* Reading the gaps again. */
typedef struct GapsReader
{
	const RmiGaps *gaps;
	uint32		pos;			/* in data */
	uint32		stay;			/* entries before the next that goes */
	uint32		left;			/* entries that go */
} GapsReader;

static void
gaps_next(GapsReader *r)
{
	r->stay = 0;
	for (int shift = 0; r->pos < r->gaps->len && shift < 32; shift += 7)
	{
		uint8		b = r->gaps->data[r->pos++];

		r->stay |= (uint32) (b & 127) << shift;
		if (b < 128)
			break;
	}
}

static bool
gaps_gone(void *arg, uint64_t tid)
{
	GapsReader *r = (GapsReader *) arg;

	if (r->left == 0 || r->stay-- > 0)
		return false;
	if (--r->left > 0)
		gaps_next(r);
	return true;
}

bool
rmi_leaf_at_edge(Page leaf)
{
	return !leaf_has_high(leaf) || (leaf_high(leaf).isnull && !leaf_low(leaf).isnull);
}

bool
rmi_leaf_put(Page leaf, KyroEntry e, bool edge, char *spare, void *scratch)
{
	if (edge && leaf_append(leaf, e, false))
		return true;
	switch (leaf_insert_kind(leaf, e, edge))
	{
		case LEAF_INS_RUN:
			return leaf_run_add(leaf, e, false);
		case LEAF_INS_MERGE:
			/* what is not put changes nothing: replay would not know */
			if (leaf_merge(leaf, spare, scratch) != 1 || !leaf_run_add(spare, e, false))
				return false;
			memcpy(leaf, spare, BLCKSZ);
			return true;
		default:
			return false;
	}
}

/* Put into a leaf what a record has; false if that cannot be. */
static bool
put_entries(Page leaf, const RmiEntries *entries, char *spare, void *scratch)
{
	KyroEntry	e = {leaf_header(leaf)->low_key, 0};
	bool		edge = rmi_leaf_at_edge(leaf);
	uint32		at = 0;

	for (uint32 i = 0; i < entries->n; i++)
	{
		if (!rmi_entries_next(entries, &at, &e) || !rmi_leaf_put(leaf, e, edge, spare, scratch))
			return false;
	}
	return at == entries->len;
}

/* What an op makes of a leaf, in redo: the same as the function that chose the op. */
static const char *
compute_image(const RmiOp *op, Page page)
{
	RmiWork    *w = rmi_work();
	char	   *image = w->leaf;

	switch (op->kind)
	{
		case RMI_OP_MERGE:
			if (leaf_merge(page, image, w->scratch) != 1 ||
				(op->add && !leaf_run_add(image, op->entry, false)))
				return NULL;
			break;

		case RMI_OP_SPLIT:
			{
				KyroFence	cut;

				if (leaf_split(page, image, w->right, &cut, w->scratch) != 1)
					return NULL;
				leaf_header(image)->right = op->block;
			}
			break;

		case RMI_OP_INSERT:
			memcpy(image, page, BLCKSZ);
			if (!put_entries(image, op->entries, w->right, w->scratch))
				return NULL;
			break;

		case RMI_OP_VACUUM:
		case RMI_OP_DELETE:
			{
				GapsReader	r = {.gaps = op->gaps, .left = op->gaps->removed};
				int			live;

				gaps_next(&r);
				if (leaf_vacuum(page, image, gaps_gone, &r, &live, w->scratch) != (int) op->gaps->removed)
					return NULL;
				if (op->gaps->removed == 0)
					memcpy(image, page, BLCKSZ);
			}
			break;

		default:
			return NULL;
	}
	rmi_leaf_finish(image);
	return image;
}

/*
 * Every op sets the bounds of the page's unused middle from what it knows of
 * the contents, since generic WAL zeroes what lies between them.
 */
bool
rmi_apply(const RmiOp *op, Page page)
{
	const char *image = op->image;
	uint64		part;

	switch (op->kind)
	{
		case RMI_OP_APPEND:
			if (!leaf_append(page, op->entry, true))
				return false;
			rmi_leaf_set_bounds(page);
			break;

		case RMI_OP_RUN_ADD:
			if (!leaf_run_add(page, op->entry, true))
				return false;
			rmi_leaf_set_bounds(page);
			break;

		case RMI_OP_MERGE:
		case RMI_OP_SPLIT:
		case RMI_OP_VACUUM:
		case RMI_OP_DELETE:
		case RMI_OP_INSERT:
		case RMI_OP_IMAGE:
			if (image == NULL)
				image = compute_image(op, page);
			if (image == NULL)
				return false;
			else
			{
				/* the LSN and checksum are the page's, not the image's */
				PageXLogRecPtr lsn = ((PageHeader) page)->pd_lsn;

				memcpy(page, image, BLCKSZ);
				((PageHeader) page)->pd_lsn = lsn;
				((PageHeader) page)->pd_checksum = 0;
			}
			if (op->kind == RMI_OP_SPLIT || op->kind == RMI_OP_DELETE)
				rmi_trailer(page)->flags |= RMI_LEAF_UNSWEPT;
			else if (op->kind == RMI_OP_VACUUM)
				rmi_trailer(page)->flags &= ~RMI_LEAF_UNSWEPT;
			break;

		case RMI_OP_SET_LEFT:
		case RMI_OP_SET_RIGHT:
			part = leaf_sum_part(page, 0);
			if (op->kind == RMI_OP_SET_LEFT)
				leaf_header(page)->left = op->block;
			else
			{
				leaf_header(page)->right = op->block;
				leaf_set_high(page, op->fence);
			}
			leaf_header(page)->sum += leaf_sum_part(page, 0) - part;
			rmi_leaf_set_bounds(page);
			break;

		case RMI_OP_META:
			rmi_page_init(page, op->meta->index_id, RMI_META_BLOCK, RMI_PAGE_META);
			rmi_meta_to_page(page, op->meta);
			break;

		case RMI_OP_LOG_ADD:
			rmi_log_page_add(page, op->item);
			break;

		case RMI_OP_LOG_NEXT:
			rmi_log_page_header(page)->next = op->block;
			rmi_log_page_set_count(page, rmi_log_page_count(page));
			break;

		case RMI_OP_FREE:
		case RMI_OP_RELEASE:
			rmi_page_init(page, op->index_id, op->block, RMI_PAGE_FREE);
			if (op->unswept)
				rmi_trailer(page)->flags |= RMI_LEAF_UNSWEPT;
			break;
	}
	return true;
}
