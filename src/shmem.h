/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  Pieces of shared memory.
 *
 * IDENTIFICATION
 *	  src/shmem.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_SHMEM_H
#define KYRO_SHMEM_H

/*
 * From _PG_init(), while the server is starting (process_shared_preload_libraries_in_progress): add a
 * piece.  request() asks for memory and locks; attach() finds them, and initializes what
 * is new, under AddinShmemInitLock.  They are called in the order of the calls of this.
 */
extern void kyro_shmem_add(void (*request) (void), void (*attach) (void));

#endif							/* KYRO_SHMEM_H */
