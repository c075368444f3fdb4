/*-------------------------------------------------------------------------
 *
 * vm.c
 *	  Visibility map bits of sealed pages.
 *
 * The bits of a page of rows are ours: they are set only if its run is visible to
 * every snapshot and none of its rows was ever touched.  Heap code leaves them
 * alone, because the page has PD_ALL_VISIBLE set from birth.
 *
 * Generic WAL zeroes what lies between pd_lower and pd_upper, which is where the
 * bits are, so changes are logged as images of the map's page.  An image includes
 * changes that others have made and not logged yet; that does no harm, because they
 * log them next, and replay makes them once more.
 *
 * IDENTIFICATION
 *	  src/store/vm.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/visibilitymap.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "store/store.h"

/* The layout of core's map: two bits for each block. */
#define VM_MAPSIZE (BLCKSZ - MAXALIGN(SizeOfPageHeaderData))
#define VM_BLOCKS_PER_BYTE (BITS_PER_BYTE / BITS_PER_HEAPBLOCK)
#define VM_BLOCKS_PER_PAGE (VM_MAPSIZE * VM_BLOCKS_PER_BYTE)

bool
store_vm_test(Relation rel, BlockNumber block, Buffer *vmbuffer)
{
	return (visibilitymap_get_status(rel, block, vmbuffer) & VISIBILITYMAP_ALL_VISIBLE) != 0;
}

void
store_vm_log(Relation rel, Buffer vmbuffer)
{
	LockBuffer(vmbuffer, BUFFER_LOCK_EXCLUSIVE);
	START_CRIT_SECTION();
	MarkBufferDirty(vmbuffer);
	if (RelationNeedsWAL(rel))
		log_newpage_buffer(vmbuffer, false);
	END_CRIT_SECTION();
	LockBuffer(vmbuffer, BUFFER_LOCK_UNLOCK);
}

/* The byte that has the bits of a block, and their mask in it. */
static uint8 *
bits_of(Page page, BlockNumber block, uint8 *mask)
{
	uint32		in_page = block % VM_BLOCKS_PER_PAGE;

	*mask = VISIBILITYMAP_VALID_BITS << in_page % VM_BLOCKS_PER_BYTE * BITS_PER_HEAPBLOCK;
	return (uint8 *) PageGetContents(page) + in_page / VM_BLOCKS_PER_BYTE;
}

/*
 * The bits are cleared and logged under one lock of the map's page: whoever changes
 * one of the blocks and finds its bits cleared logs that after us.
 */
void
store_vm_clear(Relation rel, BlockNumber block, uint32 n, Buffer *vmbuffer)
{
	Page		page = BufferGetPage(*vmbuffer);
	uint8		mask;

	Assert(visibilitymap_pin_ok(block, *vmbuffer));
	LockBuffer(*vmbuffer, BUFFER_LOCK_EXCLUSIVE);
	if (*bits_of(page, block, &mask) & mask)
	{
		START_CRIT_SECTION();
		for (uint32 i = 0; i < n && visibilitymap_pin_ok(block + i, *vmbuffer); i++)
		{
			uint8	   *byte = bits_of(page, block + i, &mask);

			*byte &= ~mask;
		}
		MarkBufferDirty(*vmbuffer);
		if (RelationNeedsWAL(rel))
			log_newpage_buffer(*vmbuffer, false);
		END_CRIT_SECTION();
	}
	LockBuffer(*vmbuffer, BUFFER_LOCK_UNLOCK);
}

void
store_vm_set(Relation rel, BlockNumber block, XLogRecPtr lsn, Buffer vmbuffer)
{
	Page		page = BufferGetPage(vmbuffer);
	uint8		mask;
	uint8	   *byte = bits_of(page, block, &mask);

	Assert(visibilitymap_pin_ok(block, vmbuffer));
	LockBuffer(vmbuffer, BUFFER_LOCK_EXCLUSIVE);
	*byte |= mask;
	if (RelationNeedsWAL(rel) && PageGetLSN(page) < lsn)
		PageSetLSN(page, lsn);
	MarkBufferDirty(vmbuffer);
	LockBuffer(vmbuffer, BUFFER_LOCK_UNLOCK);
}
