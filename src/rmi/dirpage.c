/*-------------------------------------------------------------------------
 *
 * dirpage.c
 *	  Pages of a directory, its model and its history: writing one, and telling
 *	  whether one is what it should be.
 *
 * IDENTIFICATION
 *	  src/rmi/dirpage.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <xxhash.h>

#include "rmi/dirpage.h"
#include "rmi/work.h"

/* Bytes of the body, clipped to what a page can hold. */
static inline Size
dir_body_bytes(Page page, RmiPageKind kind)
{
	Size		n = rmi_dir_header(page)->count;

	if (kind == RMI_PAGE_DIRECTORY)
		n *= sizeof(RmiDirItem);
	else if (kind == RMI_PAGE_HISTORY)
		n *= sizeof(RmiHistoryItem);
	return Min(n, RMI_DIR_SPACE);
}

/* Most entries, items or bytes of a page. */
static inline uint32
dir_max_count(RmiPageKind kind)
{
	return kind == RMI_PAGE_DIRECTORY ? RMI_DIR_FANOUT : kind == RMI_PAGE_HISTORY ? RMI_HISTORY_MAX : RMI_DIR_SPACE;
}

static uint64
dir_hash(Page page, RmiPageKind kind)
{
	RmiDirHeader h = *rmi_dir_header(page);
	uint64		seed;

	h.hash = 0;
	seed = XXH64(&h, sizeof(h), 0);
	return XXH64(rmi_dir_body(page), dir_body_bytes(page, kind), seed);
}

const char *
rmi_dir_page_problem(Relation index, const RmiMetaData *meta, Page page, BlockNumber block,
					 RmiPageKind kind, uint32 level, bool *stale)
{
	const char *problem;
	RmiMetaData now;

	problem = rmi_page_problem(page, meta->index_id, block, kind);
	if (problem == NULL && rmi_dir_header(page)->generation != meta->generation)
		problem = "page is not of this generation";
	if (problem == NULL && rmi_dir_header(page)->level != level)
		problem = "page is of another level";
	if (problem == NULL && rmi_dir_header(page)->count > dir_max_count(kind))
		problem = "page has too many entries";
	if (problem == NULL && rmi_dir_header(page)->count == 0)
		problem = "page has no entries";
	if (problem == NULL && rmi_dir_header(page)->hash != dir_hash(page, kind))
		problem = "checksum does not match";
	*stale = false;
	if (problem != NULL)
	{
		rmi_read_meta(index, &now);
		*stale = now.generation != meta->generation;
	}
	return problem;
}

BlockNumber
rmi_dir_page_put(Relation index, const RmiMetaData *meta, RmiPageKind kind, uint64 generation,
				 uint32 level, uint32 count, BlockNumber next, const void *body, Size bytes)
{
	Buffer		buf = rmi_alloc_page(index, meta->index_id);
	BlockNumber block = BufferGetBlockNumber(buf);
	Page		image = rmi_work()->page;
	RmiDirHeader *h;
	RmiChange	c;

	rmi_page_init(image, meta->index_id, block, kind);
	h = rmi_dir_header(image);
	h->generation = generation;
	h->level = level;
	h->count = count;
	h->next = next;
	memcpy(rmi_dir_body(image), body, bytes);
	((PageHeader) image)->pd_lower = rmi_dir_body(image) + bytes - (char *) image;
	h->hash = dir_hash(image, kind);

	rmi_change_begin(&c, index, meta->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_IMAGE, .image = image});
	rmi_change_finish(&c);
	UnlockReleaseBuffer(buf);
	return block;
}
