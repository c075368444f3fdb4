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

/*
 * GenericXLogFinish() for a change of which a log page is part.  Such a page has
 * hint bits, which are set without being logged, and which generic WAL, unlike
 * heap WAL, does not mask for wal_consistency_checking: it would find pages
 * inconsistent that are not.  So that check is left out for this record.
 */
void
store_log_page_finish(GenericXLogState *state)
{
	bool	   *check = &wal_consistency_checking[RM_GENERIC_ID];
	bool		save = *check;

	*check = false;
	GenericXLogFinish(state);
	*check = save;
}
