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
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "debug_point.h"

static char *error_at = NULL;
static char *crash_at = NULL;
bool		kyro_debug_any_checksum = false;
bool		kyro_debug_other_encoder = false;

void
kyro_debug_crash(const char *name)
{
	if (crash_at != NULL && strcmp(crash_at, name) == 0)
	{
		/* what this session has logged survives, or no record would */
		if (!RecoveryInProgress())
			XLogFlush(XactLastRecEnd);
		kill(getpid(), SIGKILL);
		pg_usleep(10 * 1000000L);
	}
}

/* The lock that stops sessions there, as pg_advisory_lock(bigint) has it. */
static LOCKTAG
point_lock(const char *name)
{
	uint64		key = hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, 1);
	return tag;
}

static void
crash_or_fail(const char *name)
{
	kyro_debug_crash(name);
	if (error_at != NULL && strcmp(error_at, name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("error at debug point \"%s\"", name)));
}

void
kyro_debug_point(const char *name)
{
	LOCKTAG		tag = point_lock(name);

	crash_or_fail(name);
	(void) LockAcquire(&tag, ShareLock, true, false);
	LockRelease(&tag, ShareLock, true);
}

/*
 * Who holds a page lock may take no other but that for extending a file; the
 * server asserts it.  So look whether somebody holds the lock, and again after
 * a while.
 */
void
kyro_debug_point_poll(const char *name)
{
	LOCKTAG		tag = point_lock(name);
	bool		held;

	crash_or_fail(name);
	do
	{
		LockData   *data = GetLockStatusData();

		held = false;
		for (int i = 0; i < data->nelements && !held; i++)
			held = memcmp(&data->locks[i].locktag, &tag, sizeof(tag)) == 0 &&
				(data->locks[i].holdMask & LOCKBIT_ON(ExclusiveLock)) != 0;
		pfree(data->locks);
		pfree(data);
		if (held)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 10, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	} while (held);
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
	DefineCustomBoolVariable("kyro.debug_any_checksum",
							 "Takes leaves and meta pages of indexes whatever their checksum.",
							 NULL, &kyro_debug_any_checksum, false, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomBoolVariable("kyro.debug_other_encoder",
							 "Logs changes of indexes as another version of the library might, whose code makes other pages.",
							 NULL, &kyro_debug_other_encoder, false, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

#endif							/* KYRO_DEBUG_POINTS */
