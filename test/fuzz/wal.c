/*-------------------------------------------------------------------------
 *
 * wal.c
 *	  The write-ahead log of the server of pages in memory.
 *
 * A standby is kept beside the pages: a copy of each as the log has it.  A
 * record of a resource manager is replayed there at once, and the copy must then
 * be equal to the page, but for the unused middle and what the server writes.
 *
 * IDENTIFICATION
 *	  test/fuzz/wal.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/bufpage.h"

#include "server.h"

#define RECORD_BLOCKS 8
#define RECORD_BYTES 65536

typedef struct RecordBlock
{
	Buffer		buffer;
	uint8		flags;
	Size		len;
	uint8		data[RECORD_BYTES];
} RecordBlock;

ServerRedo	server_redo = NULL;
void		(*server_data_logged) (void) = NULL;
long		server_records = 0;

static char *standby[MAX_BLOCKS];
static RecordBlock record[RECORD_BLOCKS];
static int	record_blocks = -1;
static unsigned images = 0;

void
server_standby_reset(void)
{
	for (int i = 0; i < MAX_BLOCKS; i++)
	{
		free(standby[i]);
		standby[i] = NULL;
	}
	record_blocks = -1;
}

void
server_standby_copy(BlockNumber block)
{
	if (standby[block] == NULL)
		standby[block] = aligned_alloc(64, BLCKSZ);
	memcpy(standby[block], server_page(block), BLCKSZ);
}

void
XLogBeginInsert(void)
{
	EXPECT(record_blocks == -1);
	record_blocks = 0;
}

void
XLogRegisterBuffer(uint8 block_id, Buffer buffer, uint8 flags)
{
	EXPECT(block_id == record_blocks && record_blocks < RECORD_BLOCKS);
	EXPECT(server_write_locked(buffer) && CritSectionCount > 0);
	for (int i = 0; i < record_blocks; i++)
		EXPECT(record[i].buffer != buffer);
	record[record_blocks].buffer = buffer;
	record[record_blocks].flags = flags;
	record[record_blocks++].len = 0;
}

void
XLogRegisterBufData(uint8 block_id, char *data, int len)
{
	RecordBlock *b = &record[block_id];

	EXPECT(block_id < record_blocks && b->len + len <= UINT16_MAX);
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void
XLogRegisterData(char *data, int len)
{
	EXPECT(record_blocks == 0 && len > 0);
	if (server_data_logged != NULL)
		server_data_logged();
}

/* Are two pages equal in all that matters? */
static bool
same_page(const char *a, const char *b)
{
	const PageHeaderData *h = (const PageHeaderData *) a;
	const PageHeaderData *g = (const PageHeaderData *) b;

	return h->pd_lower == g->pd_lower && h->pd_upper == g->pd_upper && h->pd_special == g->pd_special &&
		h->pd_pagesize_version == g->pd_pagesize_version && h->pd_lower <= h->pd_upper &&
		memcmp(a + SizeOfPageHeaderData, b + SizeOfPageHeaderData, h->pd_lower - SizeOfPageHeaderData) == 0 &&
		memcmp(a + h->pd_upper, b + h->pd_upper, BLCKSZ - h->pd_upper) == 0;
}

/* Replay of generic WAL: pieces of a page, each with its offset and length. */
static void
generic_redo(char *page, const uint8 *data, Size len)
{
	PageHeader	p = (PageHeader) page;

	for (const uint8 *end = data + len; data < end;)
	{
		OffsetNumber piece[2];

		EXPECT(data + sizeof(piece) <= end);
		memcpy(piece, data, sizeof(piece));
		data += sizeof(piece);
		EXPECT(piece[1] > 0 && data + piece[1] <= end && piece[0] + piece[1] <= BLCKSZ);
		memcpy(page + piece[0], data, piece[1]);
		data += piece[1];
	}
	EXPECT(p->pd_lower >= SizeOfPageHeaderData && p->pd_lower <= p->pd_upper && p->pd_upper <= BLCKSZ);
	memset(page + p->pd_lower, 0, p->pd_upper - p->pd_lower);
}

XLogRecPtr
XLogInsert(RmgrId rmid, uint8 info)
{
	EXPECT(record_blocks > 0 && (rmid == RM_GENERIC_ID || server_redo != NULL) && (info & 0x0F) == 0);
	for (int i = 0; i < record_blocks; i++)
	{
		RecordBlock *b = &record[i];
		BlockNumber block = BufferGetBlockNumber(b->buffer);
		PageHeader	p = (PageHeader) BufferGetPage(b->buffer);

		EXPECT(p->pd_lower >= SizeOfPageHeaderData && p->pd_lower <= p->pd_upper && p->pd_upper <= BLCKSZ);
		if ((b->flags & REGBUF_WILL_INIT) == REGBUF_WILL_INIT)
		{
			server_standby_copy(block);
			memset(standby[block], 0, BLCKSZ);
		}
		/* as after a checkpoint, now and then */
		else if ((b->flags & REGBUF_FORCE_IMAGE) || standby[block] == NULL || images++ % 16 == 0)
		{
			server_standby_copy(block);
			continue;
		}
		EXPECT(b->len > 0);
		if (rmid == RM_GENERIC_ID)
			generic_redo(standby[block], b->data, b->len);
		else
			server_redo(i == 0 ? info >> 4 : b->data[0], standby[block], block,
						b->data + (i > 0), b->len - (i > 0));
		if (!same_page(standby[block], BufferGetPage(b->buffer)))
		{
			fprintf(stderr, "replay of kind %d makes another page of block %u\n", info >> 4, block);
			abort();
		}
		server_records++;
	}
	record_blocks = -1;
	return server_next_lsn();
}
