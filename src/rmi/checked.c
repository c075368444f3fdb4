/*-------------------------------------------------------------------------
 *
 * checked.c
 *	  Which leaves in the buffer pool this backend has found sound.
 *
 * Computing a leaf's checksum at every visit would cost as much as the visit.
 * So a backend remembers for each buffer the checksum (32 bits of it) of the
 * leaf it last computed one for, or changed after that.  A leaf that was
 * changed by somebody else, or another one in its place, has another checksum and
 * is computed anew.  What goes unseen is damage to a file under a running
 * server if the leaf returns to the very buffer it had before.
 *
 * The memory is 1/2048 of the buffer pool at most: pages of it that are never
 * touched take none, since calloc() gets so much from the operating system,
 * zeroed.
 *
 * IDENTIFICATION
 *	  src/rmi/checked.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/bufmgr.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"

/* Where the buffer's note is; NULL if there is no memory for it. */
static uint32 *
note_of(Buffer buf)
{
	static uint32 *shared = NULL;
	static uint32 *local = NULL;

	if (likely(!BufferIsLocal(buf)))
	{
		if (unlikely(shared == NULL))
			shared = calloc(NBuffers, sizeof(uint32));
		return shared ? shared + buf - 1 : NULL;
	}
	/* their number is fixed once there is one */
	if (local == NULL)
		local = calloc(NLocBuffer, sizeof(uint32));
	return local ? local - buf - 1 : NULL;
}

/* Never 0, which means nothing. */
static inline uint32
note_for(Buffer buf)
{
	return (uint32) leaf_header(BufferGetPage(buf))->sum | 1;
}

bool
rmi_leaf_is_checked(Buffer buf)
{
	uint32	   *note = note_of(buf);

	return note != NULL && *note == note_for(buf);
}

void
rmi_leaf_note_checked(Buffer buf)
{
	uint32	   *note = note_of(buf);

	if (note != NULL)
		*note = note_for(buf);
}

bool
rmi_leaf_sum_ok(Buffer buf)
{
	if (likely(rmi_leaf_is_checked(buf)))
		return true;
	if (!leaf_sum_ok(BufferGetPage(buf)) && CHECKSUMS_COUNT())
		return false;
	rmi_leaf_note_checked(buf);
	return true;
}
