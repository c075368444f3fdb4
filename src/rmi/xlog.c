/*-------------------------------------------------------------------------
 *
 * xlog.c
 *	  Changing pages of a kyro_rmi index so that the change survives.
 *
 * Every change is a list of (buffer, op) applied in one WAL record.
 * rmi_apply() is the only code that gives an op its effect, and it depends on
 * nothing but the op and the page: so it can serve the primary, another way
 * of logging, and redo alike.  What logs the ops is called the carrier; the
 * meta page says which one an index uses.
 *
 * The generic carrier works on copies of the pages and logs the difference,
 * or the whole page where the op lays it out anew.  It writes no WAL for
 * unlogged and temporary indexes, and then just installs the copies.
 *
 * IDENTIFICATION
 *	  src/rmi/xlog.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"

#include "rmi/kyro_rmi.h"
#include "rmi/splitlog.h"

void
rmi_change_begin(RmiChange *c, Relation index)
{
	c->index = index;
	c->generic = GenericXLogStart(index);
	c->npages = 0;
	c->nsound = 0;
}

void
rmi_change_apply(RmiChange *c, Buffer buf, const RmiOp *op)
{
	Page		page;

	Assert(c->npages < RMI_CHANGE_MAX);
	page = GenericXLogRegisterBuffer((GenericXLogState *) c->generic, buf,
									 op->kind == RMI_OP_IMAGE ||
									 op->kind == RMI_OP_FREE ?
									 GENERIC_XLOG_FULL_IMAGE : 0);
	rmi_apply(op, page, BufferGetPage(buf));
	Assert(rmi_trailer(page)->kind != RMI_PAGE_LEAF || !leaf_sum_ok(BufferGetPage(buf)) || leaf_sum_ok(page));
	rmi_page_check_defined(page);
	c->npages++;
	if (rmi_trailer(page)->kind == RMI_PAGE_LEAF && (op->kind == RMI_OP_IMAGE || rmi_leaf_is_checked(buf)))
		c->sound[c->nsound++] = buf;
}

void
rmi_change_finish(RmiChange *c)
{
	(void) GenericXLogFinish((GenericXLogState *) c->generic);
	c->generic = NULL;
	for (int i = 0; i < c->nsound; i++)
		rmi_leaf_note_checked(c->sound[i]);
}

/*
 * Every op sets the bounds of the page's unused middle from what it knows of
 * the contents, since generic WAL zeroes what lies between them.
 */
void
rmi_apply(const RmiOp *op, Page page, const char *before)
{
	switch (op->kind)
	{
		case RMI_OP_APPEND:
			if (!leaf_append(page, op->entry))
				elog(ERROR, "kyro_rmi: entry does not append");
			rmi_leaf_finish_small(page, before);
			break;

		case RMI_OP_RUN_ADD:
			if (!leaf_run_add(page, op->entry))
				elog(ERROR, "kyro_rmi: entry does not fit the insert run");
			rmi_leaf_finish_small(page, before);
			break;

		case RMI_OP_IMAGE:
			{
				/* the LSN and checksum are the page's, not the image's */
				PageXLogRecPtr lsn = ((PageHeader) page)->pd_lsn;

				memcpy(page, op->image, BLCKSZ);
				((PageHeader) page)->pd_lsn = lsn;
				((PageHeader) page)->pd_checksum = 0;
			}
			break;

		case RMI_OP_SET_LEFT:
			leaf_header(page)->left = op->block;
			rmi_leaf_finish_small(page, before);
			break;

		case RMI_OP_META:
			rmi_meta_to_page(page, op->meta);
			break;

		case RMI_OP_LOG_ADD:
			rmi_log_page_add(page, op->item);
			break;

		case RMI_OP_LOG_NEXT:
			rmi_log_page_header(page)->next = op->block;
			rmi_log_page_set_count(page, rmi_log_page_count(page));
			break;

		case RMI_OP_SET_RIGHT:
			leaf_header(page)->right = op->block;
			leaf_set_high(page, op->fence);
			rmi_leaf_finish_small(page, before);
			break;

		case RMI_OP_FREE:
			{
				KyroPageTrailer t = *rmi_trailer(page);

				rmi_page_init(page, t.index_id, t.block, RMI_PAGE_FREE);
			}
			break;
	}
}
