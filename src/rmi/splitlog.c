/*-------------------------------------------------------------------------
 *
 * splitlog.c
 *	  The split log: leaves made since the directory was written.
 *
 * A chain of pages that the meta page names, changed under an exclusive lock
 * on the meta page (meta page first, then log pages).  A page carries the
 * generation of the directory it adds to.
 *
 * IDENTIFICATION
 *	  src/rmi/splitlog.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "debug_point.h"
#include "rmi/splitlog.h"
#include "rmi/work.h"

/* Splits the log may hold before an inserting backend retrains: this, or 1/8 of the leaves. */
#define RMI_FOLD_MIN	64

/*
 * Write a log page with the first n of these items, for the directory of that
 * generation; returns its block.
 */
BlockNumber
rmi_log_put(Relation index, const RmiMetaData *meta, uint64 generation, BlockNumber next,
			const RmiDirItem *items, uint32 n)
{
	Buffer		buf = rmi_alloc_page(index, meta->index_id);
	BlockNumber block = BufferGetBlockNumber(buf);
	Page		image = rmi_work()->page;
	RmiChange	c;

	rmi_log_page_init(image, meta->index_id, block, generation);
	memcpy(rmi_log_page_items(image), items, n * sizeof(RmiDirItem));
	rmi_log_page_set_count(image, n);
	rmi_log_page_header(image)->next = next;
	rmi_change_begin(&c, index, meta->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = image});
	rmi_change_finish(&c);
	UnlockReleaseBuffer(buf);
	return block;
}

void
rmi_log_read(Relation index, const RmiMetaData *meta, uint32 from, RmiFenceList *list)
{
	BlockNumber block = meta->log_first;
	uint32		seen = 0;
	BlockNumber left = RelationGetNumberOfBlocks(index);	/* a damaged chain may
															 * be a ring */

	while (seen < meta->log_entries && left-- > 0 && block > RMI_FIRST_LEAF &&
		   block != InvalidBlockNumber && rmi_block_exists(index, block))
	{
		Buffer		buf = ReadBuffer(index, block);
		Page		page = BufferGetPage(buf);
		uint32		n;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (!rmi_page_is(page, meta->index_id, block, RMI_PAGE_LOG) ||
			rmi_log_page_header(page)->generation != meta->generation)
		{
			UnlockReleaseBuffer(buf);
			break;
		}
		n = rmi_log_page_count(page);
		for (uint32 i = 0; i < n; i++, seen++)
		{
			const RmiDirItem *it = &rmi_log_page_items(page)[i];

			if (seen >= from && it->block > RMI_META_BLOCK)
				rmi_fences_add(list, rmi_item_fence(it), it->block);
		}
		block = rmi_log_page_header(page)->next;
		UnlockReleaseBuffer(buf);
		if (n == 0)
			break;
	}
}

bool
rmi_log_append(Relation index, const RmiDirItem *items, int n)
{
	Buffer		metabuf;
	RmiMetaData meta;

	for (int i = 0; i < n; i++)
	{
		Buffer		last = InvalidBuffer,
					fresh = InvalidBuffer;
		RmiChange	c;

		metabuf = rmi_lock_meta(index, &meta);

		if (meta.log_last != InvalidBlockNumber && meta.log_last > RMI_FIRST_LEAF &&
			rmi_block_exists(index, meta.log_last))
		{
			last = ReadBuffer(index, meta.log_last);
			LockBuffer(last, BUFFER_LOCK_EXCLUSIVE);
			if (!rmi_page_is(BufferGetPage(last), meta.index_id, meta.log_last, RMI_PAGE_LOG) ||
				((PageHeader) BufferGetPage(last))->pd_upper != KYRO_PAGE_END ||
				((PageHeader) BufferGetPage(last))->pd_special != KYRO_PAGE_END)
			{
				/*
				 * damaged: begin the log anew, hints are lost but nothing
				 * else
				 */
				UnlockReleaseBuffer(last);
				last = InvalidBuffer;
			}
		}
		if (!BufferIsValid(last))
		{
			meta.log_first = InvalidBlockNumber;
			meta.log_entries = 0;
		}

		if (!BufferIsValid(last) || rmi_log_page_count(BufferGetPage(last)) >= RMI_LOG_FANOUT)
			fresh = rmi_alloc_page(index, meta.index_id);

		meta.log_entries++;
		meta.splits++;
		if (BufferIsValid(fresh))
		{
			Page		image = rmi_work()->page;

			rmi_log_page_init(image, meta.index_id, BufferGetBlockNumber(fresh), meta.generation);
			rmi_log_page_add(image, &items[i]);
			meta.log_last = BufferGetBlockNumber(fresh);
			if (meta.log_first == InvalidBlockNumber)
				meta.log_first = meta.log_last;

			rmi_change_begin(&c, index, meta.carrier);
			rmi_change_apply(&c, fresh, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = image});
			if (BufferIsValid(last))
				rmi_change_apply(&c, last, &(RmiOp) {.kind = RMI_OP_LOG_NEXT, .block = meta.log_last});
		}
		else
		{
			rmi_change_begin(&c, index, meta.carrier);
			rmi_change_apply(&c, last, &(RmiOp) {.kind = RMI_OP_LOG_ADD, .item = &items[i]});
		}
		rmi_change_apply(&c, metabuf, &(RmiOp) {.kind = RMI_OP_META, .meta = &meta});
		DEBUG_CRASH("rmi-log-record");
		rmi_change_finish(&c);
		DEBUG_CRASH("rmi-log-logged");
		if (BufferIsValid(fresh))
			UnlockReleaseBuffer(fresh);
		if (BufferIsValid(last))
			UnlockReleaseBuffer(last);
		UnlockReleaseBuffer(metabuf);
	}

	return n > 0 && meta.log_entries >= Max(RMI_FOLD_MIN, meta.dir_entries / 8);
}
