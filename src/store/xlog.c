/*-------------------------------------------------------------------------
 *
 * xlog.c
 *	  Logging changes of pages.
 *
 * Changes are records of generic WAL, so that replay needs nothing of ours.  Core's
 * way to make one copies the pages, and finds out byte by byte what has changed,
 * which takes longer than everything else that is done to a row.  We know what we change.
 * So where that matters, pages are changed in place and the record is put together here:
 * for each page a list of (offset, length, bytes), as generic_xlog.c writes and replays it.
 *
 * IDENTIFICATION
 *	  src/store/xlog.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"

#include "store/store.h"

void
store_log_page_finish(GenericXLogState *state)
{
	bool	   *check = &wal_consistency_checking[RM_GENERIC_ID];
	bool		save = *check;

	*check = false;
	GenericXLogFinish(state);
	*check = save;
}

void
store_change_begin(StoreChange *c, Relation rel)
{
	c->rel = rel;
	c->n = 0;
	START_CRIT_SECTION();
}

StorePageChange *
store_change_page(StoreChange *c, Buffer buffer, bool image)
{
	StorePageChange *p = &c->pages[c->n++];

	Assert(c->n <= STORE_CHANGE_PAGES);
	p->buffer = buffer;
	p->page = BufferGetPage(buffer);
	p->image = image;
	p->n = 0;
	p->length = 0;
	return p;
}

void
store_change_note(StorePageChange *p, const void *start, Size length)
{
	Size		offset = (const char *) start - p->page;
	StoreFragment *last = p->n > 0 ? &p->fragments[p->n - 1] : NULL;

	Assert(offset + length <= BLCKSZ);
	p->length += length;
	if (last != NULL && last->offset + last->length == offset)
		last->length += length;
	else if (p->n < STORE_CHANGE_FRAGMENTS)
		p->fragments[p->n++] = (StoreFragment) {offset, length};
	else
		p->image = true;
	/* nor are fragments smaller than an image then */
	if (p->length > BLCKSZ)
		p->image = true;
}

void
store_change_header(StorePageChange *p)
{
	store_change_note(p, &((PageHeader) p->page)->pd_flags,
					  offsetof(PageHeaderData, pd_linp) - offsetof(PageHeaderData, pd_flags));
}

/* Write the changes of a page as generic WAL has them; returns the length. */
static uint32
put_fragments(const StorePageChange *p, char *to)
{
	char	   *at = to;

	for (int i = 0; i < p->n; i++)
	{
		const StoreFragment *f = &p->fragments[i];

		memcpy(at, f, sizeof(StoreFragment));
		memcpy(at + sizeof(StoreFragment), p->page + f->offset, f->length);
		at += sizeof(StoreFragment) + f->length;
	}
	return at - to;
}

XLogRecPtr
store_change_finish(StoreChange *c, bool log_page)
{
	static char bytes[STORE_CHANGE_PAGES][BLCKSZ + STORE_CHANGE_FRAGMENTS * sizeof(StoreFragment)];
	bool	   *check = &wal_consistency_checking[RM_GENERIC_ID];
	bool		save = *check;
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	StaticAssertStmt(sizeof(StoreFragment) == 2 * sizeof(OffsetNumber), "as generic_xlog.c has it");
	for (int i = 0; i < c->n; i++)
		MarkBufferDirty(c->pages[i].buffer);
	if (RelationNeedsWAL(c->rel))
	{
		XLogBeginInsert();
		for (int i = 0; i < c->n; i++)
		{
			StorePageChange *p = &c->pages[i];

			XLogRegisterBuffer(i, p->buffer, REGBUF_STANDARD | (p->image ? REGBUF_FORCE_IMAGE : 0));
			if (!p->image)
				XLogRegisterBufData(i, bytes[i], put_fragments(p, bytes[i]));
		}
		if (log_page)
			*check = false;
		lsn = XLogInsert(RM_GENERIC_ID, 0);
		*check = save;
		for (int i = 0; i < c->n; i++)
			PageSetLSN(c->pages[i].page, lsn);
	}
	END_CRIT_SECTION();
	return lsn;
}
