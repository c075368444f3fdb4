/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  Survive errors: call what may raise one, and go on.
 *
 * IDENTIFICATION
 *	  src/attempt.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "attempt.h"

ErrorData *
kyro_catch(void (*function) (void *arg), void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	int			level = GetCurrentTransactionNestLevel() + 1;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		function(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		/*
		 * a subtransaction within ours could not begin, for lack of memory:
		 * this ends it, and aborts ours
		 */
		if (GetCurrentTransactionNestLevel() != level)
			AbortCurrentTransaction();

		/*
		 * Roll back whatever the error is: otherwise whoever catches it next
		 * would end our subtransaction and take it for his own.  Do so before
		 * copying the error, for which there may be no memory.
		 */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return error;
}

ErrorData *
kyro_attempt(void (*read) (void *arg), void *arg)
{
	ErrorData  *error = kyro_catch(read, arg);
	int			category;

	if (error == NULL)
		return NULL;
	category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	/* that of all corruption */
	if (category != ERRCODE_TO_CATEGORY(ERRCODE_INDEX_CORRUPTED) &&
		category != ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR) &&
		error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(error);
	return error;
}

typedef struct ReadArgument
{
	Relation	rel;
	BlockNumber block;
} ReadArgument;

static void
read_block(void *arg)
{
	ReadArgument *a = (ReadArgument *) arg;

	ReleaseBuffer(ReadBuffer(a->rel, a->block));
}

char *
kyro_read_problem(Relation rel, BlockNumber block)
{
	ReadArgument a = {rel, block};
	ErrorData  *error = kyro_attempt(read_block, &a);
	char	   *problem;

	if (error == NULL)
		return NULL;
	problem = psprintf("page cannot be read: %s", error->message);
	FreeErrorData(error);
	return problem;
}
