/*-------------------------------------------------------------------------
 *
 * work.c
 *	  Room for the pages that changes are prepared in.
 *
 * A change that lays a page out anew is computed on an image first, so that an
 * error leaves the page as it was.  The images are per backend and kept.  Each
 * is for one kind of page, and is used between computing it and the end of the
 * change that writes it; nothing called in between may want the same one.
 *
 * IDENTIFICATION
 *	  src/rmi/work.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "rmi/work.h"

RmiWork *
rmi_work(void)
{
	static RmiWork work;

	if (work.scratch == NULL)
	{
		work.leaf = MemoryContextAllocZero(TopMemoryContext, BLCKSZ);
		work.right = MemoryContextAllocZero(TopMemoryContext, BLCKSZ);
		work.page = MemoryContextAllocZero(TopMemoryContext, BLCKSZ);
		work.scratch = MemoryContextAlloc(TopMemoryContext, LEAF_WORK_SIZE);
	}
	return &work;
}
