/*-------------------------------------------------------------------------
 *
 * server.h
 *	  A server of pages in memory, just enough to run src/rmi and src/store.
 *
 * One relation file, whose pages are blocks of memory of their own, so that a
 * stray access is noticed; one session, which may hold several Relations of
 * that file, as if they were of several sessions (what a session remembers
 * hangs on the file's name).  Locks and pins are counted: what would wait for
 * ever in a server, or is held at the end, aborts the program; so does a
 * command that reads more pages than it may.  A page with an impossible header
 * is refused as a server does, with an error.
 *
 * IDENTIFICATION
 *	  test/fuzz/server.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_FUZZ_SERVER_H
#define KYRO_FUZZ_SERVER_H

#include "postgres.h"

#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "expect.h"

#define MAX_BLOCKS 65536

/* Forget the file and all memory of the last input; begin with an empty file. */
extern void server_reset(void);

/* Page of a block, which must exist.  No pin, no lock. */
extern Page server_page(BlockNumber block);
extern BlockNumber server_blocks(void);

/* Make the file that long; new pages are zero. */
extern void server_extend(BlockNumber blocks);

/* A Relation of the file, the same for the same number (0 .. 3). */
extern Relation server_relation(int session);

/*
 * Run a command that may raise an error; returns whether it did not.  After
 * an error all pins and locks are given back, as by an aborted transaction.
 * pins: so many must be held afterwards (-1: any number).  Its memory is freed
 * unless keep.
 */
extern bool server_try(void (*command) (void *arg), void *arg, int pins, bool keep);
extern int	server_pins(void);

/* Of the last error: its SQLSTATE; and warnings since server_reset(). */
extern int	server_sqlstate;
extern int	server_warnings;

/* Pages that one server_try() may read. */
extern long server_read_limit;

/* ---- wal.c ---- */

/*
 * Replay: what this op, with these bytes, makes of the standby's page.  Aborts if
 * that does not work.
 */
typedef void (*ServerRedo) (int kind, Page page, BlockNumber block, const uint8 *data, Size len);
extern ServerRedo server_redo;
/* Called when a record gets data of its own, beside those of blocks. */
extern void (*server_data_logged) (void);

/* Pages that were replayed and compared. */
extern long server_records;

/* The standby has nothing; has the page as it is. */
extern void server_standby_reset(void);
extern void server_standby_copy(BlockNumber block);

/* For wal.c. */
extern XLogRecPtr server_next_lsn(void);
extern bool server_write_locked(Buffer buffer);

/* Did anybody change a page in this server_try()?  For commands that only read. */
extern long server_changes;

/*
 * Fill the file from the input: see server.c.  Returns the number of blocks,
 * 0 if there is nothing.  mend(), if not NULL, is called for each page that the
 * input wants to be put right as far as identity and checksum go.
 */
extern BlockNumber server_load(const uint8_t **data, size_t *left,
							   void (*mend) (Page page, BlockNumber block, int how));

#endif							/* KYRO_FUZZ_SERVER_H */
