/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Pieces of shared memory: one pair of hooks for all that have some.
 *
 * IDENTIFICATION
 *	  src/shmem.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shmem.h"

#define MAX_PIECES	8

static struct
{
	void		(*request) (void);
	void		(*attach) (void);
}			pieces[MAX_PIECES];
static int	npieces = 0;

static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static void
request(void)
{
	if (previous_request)
		previous_request();
	for (int i = 0; i < npieces; i++)
		pieces[i].request();
}

static void
startup(void)
{
	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < npieces; i++)
		pieces[i].attach();
	LWLockRelease(AddinShmemInitLock);
}

void
kyro_shmem_add(void (*request_piece) (void), void (*attach_piece) (void))
{
	Assert(process_shared_preload_libraries_in_progress && npieces < MAX_PIECES);
	if (npieces == 0)
	{
		previous_request = shmem_request_hook;
		shmem_request_hook = request;
		previous_startup = shmem_startup_hook;
		shmem_startup_hook = startup;
	}
	pieces[npieces].request = request_piece;
	pieces[npieces].attach = attach_piece;
	npieces++;
}
