/*-------------------------------------------------------------------------
 *
 * debug_point.c
 *	  Named places in the code where a test can stop, fail or kill a session.
 *
 * A session that comes to a point takes and releases an advisory lock in share
 * mode.  A test that holds the lock exclusively stops it there, and the
 * isolation tester sees it waiting.  The key is that of the SQL expression
 * hashtextextended(name, 0).
 *
 * IDENTIFICATION
 *	  src/debug_point.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef KYRO_DEBUG_POINTS

#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/guc.h"

#include "debug_point.h"

static char *error_at = NULL;
static char *crash_at = NULL;

void
kyro_debug_crash(const char *name)
{
	if (crash_at != NULL && strcmp(crash_at, name) == 0)
	{
		kill(getpid(), SIGKILL);
		pg_usleep(10 * 1000000L);
	}
}

void
kyro_debug_point(const char *name)
{
	uint64		key = hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
	LOCKTAG		tag;

	kyro_debug_crash(name);
	if (error_at != NULL && strcmp(error_at, name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("error at debug point \"%s\"", name)));
	/* as pg_advisory_lock(bigint) */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, 1);
	(void) LockAcquire(&tag, ShareLock, true, false);
	LockRelease(&tag, ShareLock, true);
}

void
kyro_debug_point_init(void)
{
	DefineCustomStringVariable("kyro.debug_error",
							   "Raises an error at the debug point of this name.",
							   NULL, &error_at, NULL, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomStringVariable("kyro.debug_crash",
							   "Kills the session, and so crashes the server, at the debug point of this name.",
							   NULL, &crash_at, NULL, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

#endif							/* KYRO_DEBUG_POINTS */
