/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Survive errors: call what may raise one, and go on.
 *
 * The server checks pages as it reads them, and only knows to raise errors.
 *
 * IDENTIFICATION
 *	  src/attempt.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_ATTEMPT_H
#define KYRO_ATTEMPT_H

#include "storage/block.h"
#include "utils/elog.h"
#include "utils/relcache.h"

/*
 * Call function(arg) in a subtransaction.  NULL, or the error that it has raised, in
 * CurrentMemoryContext.  All locks of pages are gone then, so none may be held; locks of
 * relations that are to stay must be taken before.  Raises 53200 where there is no memory
 * for the copy of the error; the subtransaction has ended then, too.
 */
extern ErrorData *kyro_catch(void (*function) (void *arg), void *arg);

/*
 * The same, but errors are returned only for damage (class XX), a file that cannot be
 * read (58), or an object that is not in the state for it (55000); others are raised.
 */
extern ErrorData *kyro_attempt(void (*read) (void *arg), void *arg);

/*
 * Can the server read a block, which exists, of the main fork?  NULL if so, and
 * it is in a buffer; otherwise what it says, palloc'ed.  No page may be locked.
 */
extern char *kyro_read_problem(Relation rel, BlockNumber block);

#endif							/* KYRO_ATTEMPT_H */
