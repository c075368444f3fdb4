/*-------------------------------------------------------------------------
 *
 * tidy.c
 *	  What VACUUM does if there is space for it.
 *
 * IDENTIFICATION
 *	  src/rmi/tidy.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "utils/rel.h"

#include "attempt.h"
#include "rmi/kyro_rmi.h"

/*
 * VACUUM must get through on a full disk: otherwise neither dead rows nor old
 * transaction ids could be removed.  What tidy() makes is useful, but nothing
 * depends on it.
 */
void
rmi_if_space(Relation index, void (*tidy) (void *arg), void *arg)
{
	ErrorData  *error;

	if (IsInParallelMode())
	{
		tidy(arg);
		return;
	}
	error = kyro_catch(tidy, arg);
	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_DISK_FULL)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(ERRCODE_DISK_FULL),
			 errmsg("no space to tidy index \"%s\": %s",
					RelationGetRelationName(index), error->message),
			 errdetail("Look-ups may take longer, and pages stay unused, until the next VACUUM.")));
	FreeErrorData(error);
}
