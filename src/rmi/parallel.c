/*-------------------------------------------------------------------------
 *
 * parallel.c
 *	  The common state of a parallel index scan.
 *
 * The processes of a parallel scan take turns, leaf by leaf, in the manner of
 * nbtree: who wants a leaf seizes the place where the scan has come to, loads
 * the leaf there, and gives the place after it back before looking at a
 * single entry.  Only the place is shared.  It is an interval of the scan's
 * and, inside it, the fence at which the next leaf begins (or, backwards, the
 * last one began), so it is good whatever is split or deleted meanwhile, for
 * the same reasons as in a serial scan.
 *
 * IDENTIFICATION
 *	  src/rmi/parallel.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relscan.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "utils/wait_event.h"

#include "rmi/kyro_rmi.h"

typedef enum RmiParallelState
{
	RMI_PARALLEL_NEW,			/* nobody has begun */
	RMI_PARALLEL_TAKEN,			/* somebody loads a leaf */
	RMI_PARALLEL_FREE,			/* place is where to go on */
	RMI_PARALLEL_DONE
} RmiParallelState;

typedef struct RmiParallelScan
{
	slock_t		mutex;
	RmiParallelState state;
	RmiPlace	place;
	ConditionVariable changed;
} RmiParallelScan;

static inline RmiParallelScan *
shared_state(IndexScanDesc scan)
{
	return kyro_parallel_scan_state(scan);
}

Size
rmi_estimateparallelscan(KYRO_PARALLEL_SCAN_PARAMS)
{
	return sizeof(RmiParallelScan);
}

void
rmi_initparallelscan(void *target)
{
	RmiParallelScan *p = target;

	SpinLockInit(&p->mutex);
	p->state = RMI_PARALLEL_NEW;
	ConditionVariableInit(&p->changed);
}

/*
 * Begin again.  Nobody is scanning.
 */
void
rmi_parallelrescan(IndexScanDesc scan)
{
	RmiParallelScan *p = shared_state(scan);

	SpinLockAcquire(&p->mutex);
	p->state = RMI_PARALLEL_NEW;
	SpinLockRelease(&p->mutex);
}

/*
 * Take the place where the scan has come to, or `first` if this is the begin;
 * false if the scan is over.  Waits for who has taken it; whoever does must
 * give it back with rmi_parallel_release(), or fail, which ends the scan of
 * all.
 */
bool
rmi_parallel_seize(IndexScanDesc scan, const RmiPlace *first, RmiPlace *place)
{
	RmiParallelScan *p = shared_state(scan);
	RmiParallelState state;

	for (;;)
	{
		SpinLockAcquire(&p->mutex);
		state = p->state;
		if (state == RMI_PARALLEL_NEW || state == RMI_PARALLEL_FREE)
		{
			*place = state == RMI_PARALLEL_NEW ? *first : p->place;
			p->state = RMI_PARALLEL_TAKEN;
		}
		SpinLockRelease(&p->mutex);
		if (state != RMI_PARALLEL_TAKEN)
			break;
		ConditionVariableSleep(&p->changed, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return state != RMI_PARALLEL_DONE;
}

/*
 * Give back the place that comes after the leaf loaded; NULL: there is none.
 */
void
rmi_parallel_release(IndexScanDesc scan, const RmiPlace *next)
{
	RmiParallelScan *p = shared_state(scan);

	SpinLockAcquire(&p->mutex);
	if (next != NULL)
		p->place = *next;
	p->state = next != NULL ? RMI_PARALLEL_FREE : RMI_PARALLEL_DONE;
	SpinLockRelease(&p->mutex);
	if (next != NULL)
		ConditionVariableSignal(&p->changed);
	else
		ConditionVariableBroadcast(&p->changed);
}
