/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  Knowing an error of the server again, to say what to do.
 *
 * IDENTIFICATION
 *	  src/hooks/errors.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "hooks/hooks.h"

bool
kyro_error_is(const char *message_id)
{
	MemoryContext context,
				oldcontext;
	ErrorData  *edata;
	bool		same;

	/* the copy must not be made where the error is */
	context = AllocSetContextCreate(TopMemoryContext, "kyrodb error", ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	edata = CopyErrorData();
	same = edata->message_id != NULL && strcmp(edata->message_id, message_id) == 0;
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return same;
}
