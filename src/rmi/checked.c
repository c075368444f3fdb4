/*-------------------------------------------------------------------------
 *
 * checked.c
 *	  Which leaves in the buffer pool have been found sound.
 *
 * Computing a leaf's checksum at every visit would cost as much as the visit.
 * So it is noted for each buffer which checksum (32 bits of it) the leaf had
 * that one was last computed for, or that was changed after that.  Another leaf in
 * its place, or one that was changed by who had not checked it, has another checksum
 * and is computed anew.  What goes unseen is damage to a file under a running
 * server if the leaf returns to the very buffer it had before.
 *
 * If the library was preloaded the notes are in shared memory, so that sessions do not check
 * what others have checked or changed; else each backend has its own.  They are
 * hints, read and written without a lock of theirs, while the leaf is locked.  They take 1/2048
 * of the buffer pool at most: pages of own ones that are never touched take no memory.
 *
 * IDENTIFICATION
 *	  src/rmi/checked.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"
#include "shmem.h"

static uint32 *shared_notes;	/* of shared buffers; NULL: not yet, or no
								 * memory */
static uint32 *local_notes;

static Size
notes_size(void)
{
	return mul_size(NBuffers, sizeof(uint32));
}

static void
request(void)
{
	RequestAddinShmemSpace(notes_size());
}

static void
attach(void)
{
	bool		found;

	shared_notes = ShmemInitStruct("kyrodb leaves found sound", notes_size(), &found);
	if (!found)
		memset(shared_notes, 0, notes_size());
}

void
rmi_checked_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	kyro_shmem_add(request, attach);
}

/* Zeroed memory, or NULL.  calloc() would write to all of it, if it had it before. */
static uint32 *
own_notes(int n)
{
	void	   *memory = mmap(NULL, n * sizeof(uint32), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

/* Where the buffer's note is; NULL if there is no memory for it. */
static inline volatile uint32 *
note_of(Buffer buf)
{
	if (likely(!BufferIsLocal(buf)))
	{
		if (unlikely(shared_notes == NULL))
			shared_notes = own_notes(NBuffers);
		return shared_notes ? shared_notes + buf - 1 : NULL;
	}
	/* their number is fixed once there is one */
	if (local_notes == NULL)
		local_notes = own_notes(NLocBuffer);
	return local_notes ? local_notes - buf - 1 : NULL;
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
	volatile uint32 *note = note_of(buf);

	return note != NULL && *note == note_for(buf);
}

void
rmi_leaf_note_checked(Buffer buf)
{
	volatile uint32 *note = note_of(buf);

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
