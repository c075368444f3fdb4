/*-------------------------------------------------------------------------
 *
 * xlog.c
 *	  Logging changes of log pages.
 *
 * IDENTIFICATION
 *	  src/store/xlog.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlog.h"

#include "store/store.h"

void
store_log_page_finish(GenericXLogState *state)
{
	bool	   *check = &wal_consistency_checking[RM_GENERIC_ID];
	bool		save = *check;

	*check = false;
	GenericXLogFinish(state);
	*check = save;
}
