/*-------------------------------------------------------------------------
 *
 * busy.c
 *	  Is the server busy, so that the autopilot's work should wait?
 *
 * It is, if more than kyro.busy_sessions sessions want a processor or the disk at this
 * moment: they run a statement and wait neither for a heavyweight lock, nor for their
 * client, nor for a timeout.  Their parallel workers count, too.  Operators can see the
 * same in pg_stat_activity.
 *
 * IDENTIFICATION
 *	  src/worker/busy.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/backend_status.h"

#include "compat.h"
#include "guc.h"
#include "worker/worker.h"

/* kyro.busy_sessions = -1 means so many for each processor. */
#define FOR_EACH_PROCESSOR	2

/* Does a process want a processor or the disk, by its wait event? */
static bool
at_work(PGPROC *proc)
{
	uint32		class = *(volatile uint32 *) &proc->wait_event_info & 0xFF000000;

	return class == 0 || class == PG_WAIT_LWLOCK || class == PG_WAIT_IO;
}

/* The server is busy if more sessions than this are at work; 0: it never is. */
static int
limit(void)
{
	long		processors;

	if (kyro_busy_sessions >= 0)
		return kyro_busy_sessions;
	processors = sysconf(_SC_NPROCESSORS_ONLN);
	return processors > 0 ? (int) Min(processors, MaxBackends) * FOR_EACH_PROCESSOR : 0;
}

char *
worker_server_is_busy(void)
{
	int			most = limit();
	int			working = 0;
	int			n;

	if (most == 0)
		return NULL;
	pgstat_clear_backend_activity_snapshot();
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		PgBackendStatus *status = &kyro_backend_status(i)->backendStatus;
		PGPROC	   *proc;

		if (status->st_state != STATE_RUNNING && status->st_state != STATE_FASTPATH)
			continue;
		if (status->st_backendType != B_BACKEND && status->st_backendType != B_BG_WORKER)
			continue;
		proc = BackendPidGetProc(status->st_procpid);
		if (proc != NULL && at_work(proc) && (status->st_backendType == B_BACKEND || proc->lockGroupLeader != NULL))
			working++;
	}
	return working <= most ? NULL :
		psprintf("the server is busy: %d sessions are at work, more than %d", working, most);
}
