/*-------------------------------------------------------------------------
 *
 * patience.c
 *	  Lock a table that others are writing to without holding them up.
 *
 * Who queues for a strong lock stands before all who come later for a weaker
 * one: one idle transaction that has written stops every writer.  So we wait
 * outside of the queue, for the transactions that hold the table now to
 * end.  When they have, we stand in the queue for a moment, in which writers
 * that began meanwhile can end and none can begin; then we wait outside again.
 * The moment grows, up to LONGEST.
 *
 * Each wait is shorter than deadlock_timeout.  So it never makes the server
 * cancel an autovacuum that is in the way, and whoever waits for us in turn has
 * not looked for a deadlock yet when we do: we look after each wait, and if
 * there is one we give up.  CREATE INDEX CONCURRENTLY, which waits for the
 * snapshot of our command while we wait for its lock, goes on then.
 *
 * A wait ends by a timeout of our own, which does what a cancel does, but without
 * its signal.  Not by lock_timeout, for which the server sends itself the signal of
 * a cancel: of two that come in one moment it sees one, and we would go on.
 *
 * IDENTIFICATION
 *	  src/patience.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "compat.h"
#include "patience.h"

/* ms: the first time in the queue, and the longest wait of any kind */
#define FIRST	10
#define LONGEST 250

typedef struct Patience
{
	Oid			relid;
	LOCKMODE	mode;
	const char *purpose;
	const char *name;
	TimestampTz deadline;		/* DT_NOEND: none */
	TimestampTz looked;			/* for a deadlock, last */
} Patience;

/* The longest that we may wait at once, in ms. */
static int
longest_wait(void)
{
	return Max(Min(DeadlockTimeout / 4, LONGEST), 1);
}

/* The transactions that hold the table in a way that excludes ours. */
static VirtualTransactionId *
holders(Patience *w, int *n)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, w->relid);
	return GetLockConflicts(&tag, w->mode, n);
}

/* The processes of some transactions, but of prepared ones. */
static List *
processes(const VirtualTransactionId *vxids, int n)
{
	List	   *pids = NIL;

	for (int i = 0; i < n; i++)
	{
		int			pid = kyro_vxid_pid(vxids[i]);

		if (pid != 0)
			pids = list_append_unique_int(pids, pid);
	}
	return pids;
}

/* "1, 2, 3" */
static const char *
list_of(List *pids)
{
	StringInfoData s;
	ListCell   *lc;

	initStringInfo(&s);
	foreach(lc, pids)
		appendStringInfo(&s, "%s%d", foreach_current_index(lc) > 0 ? ", " : "", lfirst_int(lc));
	return s.data;
}

/*
 * Give up if one of those that we wait for waits, maybe by way of others, for us.
 */
static void
look_for_deadlock(Patience *w)
{
	TimestampTz now = GetCurrentTimestamp();
	VirtualTransactionId *vxids;
	int			n;
	List	   *pids;
	ListCell   *lc;

	if (!TimestampDifferenceExceeds(w->looked, now, longest_wait()))
		return;
	w->looked = now;
	vxids = holders(w, &n);
	pids = processes(vxids, n);
	pfree(vxids);
	/* grows while we go through it */
	foreach(lc, pids)
	{
		Datum		array = DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(lfirst_int(lc)));
		Datum	   *blockers;
		int			nblockers;

		deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT, &blockers, NULL, &nblockers);
		for (int i = 0; i < nblockers; i++)
		{
			int			pid = DatumGetInt32(blockers[i]);

			if (pid == MyProcPid)
				ereport(ERROR,
						(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						 errmsg("could not lock \"%s\" to %s: who uses it waits for this transaction", w->name, w->purpose),
						 errdetail("Process %d waits for process %d.", lfirst_int(lc), MyProcPid),
						 errhint("Try again when the other command is done.")));
			if (pid != 0)
				pids = list_append_unique_int(pids, pid);
		}
	}
	list_free(pids);
}

/* What is waited for, and how long. */
typedef struct Wait
{
	const Patience *w;
	const VirtualTransactionId *vxid;	/* for that to end, or NULL: for the
										 * lock */
	int			ms;
} Wait;

/* While we wait: the handler of SIGINT that ours stands before, and what has come. */
static struct sigaction interrupt;
static volatile sig_atomic_t cancelled;
static volatile sig_atomic_t expired;

static void
note_interrupt(int signo)
{
	cancelled = true;
	interrupt.sa_handler(signo);
}

/* The latch is set by who calls us. */
static void
expire(void)
{
	expired = true;
	InterruptPending = QueryCancelPending = true;
}

/* For kyro_catch(): ends with query_canceled if the time is up. */
static void
wait_for_it(void *arg)
{
	static TimeoutId timeout = MAX_TIMEOUTS;
	const Wait *wait = (const Wait *) arg;
	const int	lock_timeout = LockTimeout;
	struct sigaction ours;
	volatile bool done = false;

	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, expire);
	cancelled = expired = false;
	sigaction(SIGINT, NULL, &interrupt);
	ours = interrupt;
	ours.sa_handler = note_interrupt;
	sigaction(SIGINT, &ours, NULL);
	LockTimeout = 0;
	PG_TRY();
	{
		/* what came before our handler stood there */
		CHECK_FOR_INTERRUPTS();
		enable_timeout_after(timeout, wait->ms);
		if (wait->vxid != NULL)
			(void) VirtualXactLock(*wait->vxid, true);
		else
			LockRelationOid(wait->w->relid, wait->w->mode);
		done = true;
	}
	PG_FINALLY();
	{
		disable_timeout(timeout, false);
		/* it came too late to end anything; a cancel did not */
		if (expired)
			QueryCancelPending = false;
		if (done && cancelled)
			InterruptPending = QueryCancelPending = true;
		sigaction(SIGINT, &interrupt, NULL);
		LockTimeout = lock_timeout;
	}
	PG_END_TRY();
}

/*
 * Wait for the lock in the queue, or if there is a vxid for that to end, for some
 * ms at most.  False if the time was up.
 */
static bool
wait_some(Patience *w, const VirtualTransactionId *vxid, int ms)
{
	const bool	statement_timeout = get_timeout_active(STATEMENT_TIMEOUT);
	TimestampTz now = GetCurrentTimestamp();
	Wait		wait = {w, vxid, ms};
	ErrorData  *error;

	CHECK_FOR_INTERRUPTS();
	if (now >= w->deadline)
	{
		int			n;
		VirtualTransactionId *vxids = holders(w, &n);
		List	   *pids = processes(vxids, n);

		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock \"%s\" to %s within lock_timeout", w->name, w->purpose),
				 pids == NIL ? 0 : errdetail("Processes that use it: %s.", list_of(pids))));
	}

	/*
	 * what it takes to read catalogs holds back VACUUM, and CREATE INDEX
	 * CONCURRENTLY waits for it
	 */
	InvalidateCatalogSnapshot();

	/*
	 * a wait whose time is up ends with an error, which takes a
	 * subtransaction to survive
	 */
	if (w->deadline != DT_NOEND)
		wait.ms = Min(ms, TimestampDifferenceMilliseconds(now, w->deadline) + 1);
	error = kyro_catch(wait_for_it, &wait);
	if (error == NULL)
		return true;
	if (!expired || error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	FreeErrorData(error);

	/* of reasons that come at once the server reports one */
	if (statement_timeout && !get_timeout_active(STATEMENT_TIMEOUT))
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling statement due to statement timeout")));
	if (cancelled)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling statement due to user request")));
	return false;
}

/*
 * Lock a table until the end of the transaction, in a mode that others may hold for long.
 * Waits for those that hold it, up to lock_timeout all in all, but does not hold
 * up who comes meanwhile for longer than LONGEST ms at a time.  Raises 55P03 if
 * the time is up, or if one of them waits for us.  `purpose` is a verb for messages.
 */
void
kyro_lock_patiently(Oid relid, LOCKMODE mode, const char *purpose)
{
	TimestampTz now = GetCurrentTimestamp();
	Patience	w = {.relid = relid, .mode = mode, .purpose = purpose, .name = get_rel_name(relid)};
	int			in_queue = FIRST;

	if (w.name == NULL)
		w.name = psprintf("%u", relid);
	w.deadline = LockTimeout > 0 ? TimestampTzPlusMilliseconds(now, LockTimeout) : DT_NOEND;
	w.looked = now;
	while (!ConditionalLockRelationOid(relid, mode))
	{
		int			n;
		VirtualTransactionId *vxids = holders(&w, &n);

		for (int i = 0; i < n; i++)
		{
			while (!wait_some(&w, &vxids[i], longest_wait()))
				look_for_deadlock(&w);
		}
		pfree(vxids);
		look_for_deadlock(&w);
		if (wait_some(&w, NULL, Min(in_queue, longest_wait())))
			return;
		look_for_deadlock(&w);
		in_queue = Min(2 * in_queue, LONGEST);
	}
}
