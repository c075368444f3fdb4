/*-------------------------------------------------------------------------
 *
 * page.c
 *	  Pages of a kyro_rmi index: making, checking and allocating them.
 *
 * IDENTIFICATION
 *	  src/rmi/page.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"

#include "debug_point.h"
#include "model/hash.h"
#include "rmi/kyro_rmi.h"

/*
 * An empty page of the given kind.  pd_lower is left at the end of the page
 * header and pd_upper at the trailer: who puts something in must move them,
 * since WAL drops what lies in between.
 */
void
rmi_page_init(Page page, uint32 index_id, BlockNumber block, RmiPageKind kind)
{
	KyroPageTrailer *t;

	PageInit(page, BLCKSZ, sizeof(KyroPageTrailer));
	t = rmi_trailer(page);
	t->index_id = index_id;
	t->block = block;
	t->kind = (uint8) kind;
	t->format = KYRO_PAGE_FORMAT;
	t->page_id = KYRO_PAGE_ID;
}

void
rmi_leaf_page_init(Page page, uint32 index_id, BlockNumber block, KyroFence low,
				   BlockNumber left, BlockNumber right, uint8 reserve)
{
	rmi_page_init(page, index_id, block, RMI_PAGE_LEAF);
	leaf_init(page, low, left, right, reserve);
	rmi_leaf_finish(page);
}

void
rmi_leaf_set_bounds(Page page)
{
	((PageHeader) page)->pd_lower = leaf_lower(page);
	((PageHeader) page)->pd_upper = leaf_upper(page);
	/* nobody reads it, but replay may check it */
	((PageHeader) page)->pd_special = KYRO_PAGE_END;
	rmi_page_check_defined(page);
}

void
rmi_leaf_finish(Page page)
{
	rmi_leaf_set_bounds(page);
	leaf_sum_set(page);
}

/* What a leaf keeps free, in 1/256 of the page, for a fillfactor in percent. */
uint8
rmi_reserve(int fillfactor)
{
	return (uint8) ((100 - fillfactor) * 256 / 100);
}

const char *
rmi_page_problem(Page page, uint32 index_id, BlockNumber block, int kind)
{
	KyroPageTrailer t;

	/* PageIsNew looks at pd_upper only; a zeroed page has no trailer either */
	if (PageIsNew(page))
		return "page is empty";
	memcpy(&t, rmi_trailer(page), sizeof(t));
	if (PageGetSpecialSize(page) != sizeof(KyroPageTrailer) ||
		t.page_id != KYRO_PAGE_ID)
		return "page does not belong to a kyro_rmi index";
	if (t.format != KYRO_PAGE_FORMAT)
		return "page has an unknown format version";
	if (t.index_id != index_id)
		return "page belongs to another index";
	if (t.block != block)
		return "page belongs at another place of the index";
	if (t.kind != kind)
		return "page is of another kind";
	return NULL;
}

void
rmi_corrupt(Relation index, BlockNumber block, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is damaged at block %u",
					RelationGetRelationName(index), block),
			 errdetail("%s.", problem),
			 errhint("Please REINDEX it.")));
}

Buffer
rmi_lock_free_page(Relation index, uint32 index_id, BlockNumber block)
{
	Buffer		buf;
	Page		page;

	if (block <= RMI_FIRST_LEAF || block >= RelationGetNumberOfBlocks(index))
		return InvalidBuffer;
	buf = ReadBuffer(index, block);
	/* a locked one is being taken by somebody else */
	if (ConditionalLockBuffer(buf))
	{
		page = BufferGetPage(buf);
		if (PageIsNew(page) || (rmi_page_is(page, index_id, block, RMI_PAGE_FREE) &&
								(rmi_trailer(page)->flags & RMI_LEAF_UNSWEPT) == 0))
			return buf;
		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buf);
	return InvalidBuffer;
}

Buffer
rmi_take_free_page(Relation index, uint32 index_id)
{
	BlockNumber block;

	while ((block = GetFreeIndexPage(index)) != InvalidBlockNumber)
	{
		/* the free space map is a hint */
		Buffer		buf = rmi_lock_free_page(index, index_id, block);

		if (BufferIsValid(buf))
			return buf;
		CHECK_FOR_INTERRUPTS();
	}
	return InvalidBuffer;
}

Buffer
rmi_alloc_page(Relation index, uint32 index_id)
{
	Buffer		buf = rmi_take_free_page(index, index_id);
	bool		needlock,
				locked;

	if (BufferIsValid(buf))
		return buf;
	needlock = !RELATION_IS_LOCAL(index);
	for (;;)
	{
		if (needlock)
			LockRelationForExtension(index, ExclusiveLock);
		buf = ReadBuffer(index, P_NEW);

		/*
		 * A free space map that survived a crash may have named the block
		 * before it existed, and somebody may have been quicker to lock it.
		 * He may wait for other locks: do not wait for him.
		 */
		locked = ConditionalLockBuffer(buf);
		if (needlock)
			UnlockRelationForExtension(index, ExclusiveLock);
		if (locked && PageIsNew(BufferGetPage(buf)))
			return buf;
		if (locked)
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		ReleaseBuffer(buf);
	}
}

/* What was asked about last, and how many blocks it has at least. */
static Oid	blocks_relid = InvalidOid;
static KyroLocator blocks_locator;
static BlockNumber blocks;

bool
rmi_block_exists(Relation index, BlockNumber block)
{
	if (unlikely(blocks_relid != RelationGetRelid(index) ||
				 memcmp(&blocks_locator, &kyro_locator(index), sizeof(blocks_locator)) != 0))
	{
		blocks_relid = RelationGetRelid(index);
		blocks_locator = kyro_locator(index);
		blocks = 0;
	}

	/*
	 * The storage manager's relation is opened anew when somebody has
	 * truncated the file, in whatever process, and has no target block then;
	 * we only use it for that.
	 */
	if (block >= blocks || unlikely(RelationGetTargetBlock(index) == InvalidBlockNumber))
	{
		blocks = RelationGetNumberOfBlocks(index);
		RelationSetTargetBlock(index, 0);
	}
	return block < blocks;
}

void
rmi_blocks_forget(void)
{
	blocks = 0;
}

void
rmi_meta_from_page(Relation index, Page page, RmiMetaData *meta)
{
	if (PageIsNew(page) || PageGetSpecialSize(page) != sizeof(KyroPageTrailer) ||
		rmi_trailer(page)->page_id != KYRO_PAGE_ID ||
		rmi_trailer(page)->kind != RMI_PAGE_META)
		rmi_corrupt(index, RMI_META_BLOCK, "the meta page is not one");

	/* WAL of a change drops what lies between these */
	if (((PageHeader) page)->pd_lower != PageGetContents(page) + sizeof(*meta) - (char *) page ||
		((PageHeader) page)->pd_upper != KYRO_PAGE_END)
		rmi_corrupt(index, RMI_META_BLOCK, "the header of the meta page is not valid");

	memcpy(meta, PageGetContents(page), sizeof(*meta));
	if (meta->magic != KYRO_RMI_META_MAGIC)
		rmi_corrupt(index, RMI_META_BLOCK, "the meta page has no valid magic number");
	if (meta->version != KYRO_RMI_META_VERSION ||
		rmi_trailer(page)->format != KYRO_PAGE_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has format version %u, which this version of kyrodb does not know",
						RelationGetRelationName(index), meta->version),
				 errhint("Please REINDEX it.")));
	if (meta->hash != kyro_hash(meta, offsetof(RmiMetaData, hash), 0) && CHECKSUMS_COUNT())
		rmi_corrupt(index, RMI_META_BLOCK, "the checksum of the meta page is not right");
	if (meta->index_id != rmi_trailer(page)->index_id ||
		rmi_trailer(page)->block != RMI_META_BLOCK)
		rmi_corrupt(index, RMI_META_BLOCK, "the meta page belongs elsewhere");
	if (meta->carrier != RMI_CARRIER_GENERIC && meta->carrier != RMI_CARRIER_OWN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" was written by a WAL method this version of kyrodb does not know",
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
}

void
rmi_meta_to_page(Page page, const RmiMetaData *meta)
{
	RmiMetaData *m = (RmiMetaData *) PageGetContents(page);

	*m = *meta;
	m->hash = kyro_hash(m, offsetof(RmiMetaData, hash), 0);
	((PageHeader) page)->pd_lower = (char *) (m + 1) - (char *) page;
}

Buffer
rmi_lock_meta(Relation index, RmiMetaData *meta)
{
	Buffer		buf = ReadBuffer(index, RMI_META_BLOCK);

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	rmi_meta_from_page(index, BufferGetPage(buf), meta);
	return buf;
}

void
rmi_read_meta(Relation index, RmiMetaData *meta)
{
	Buffer		buf = ReadBuffer(index, RMI_META_BLOCK);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	rmi_meta_from_page(index, BufferGetPage(buf), meta);
	UnlockReleaseBuffer(buf);
}
