/*-------------------------------------------------------------------------
 *
 * monitor.h
 *	  What functions that serve monitoring views have in common: they wait for
 *	  nobody, do not fail for one bad relation, and check who asks.
 *
 * IDENTIFICATION
 *	  src/inspect/monitor.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_MONITOR_H
#define KYRO_INSPECT_MONITOR_H

#include "postgres_ext.h"

/* Raise an error (42501) if the user may not see numbers about a table that exists. */
extern void kyro_check_sees_table(Oid table);

/*
 * Call read(arg).  False, after a WARNING, if that fails for damage or a file that
 * cannot be read.  In a subtransaction, since pages are checked by the server too, which
 * only knows to raise; locks must be taken before.
 */
extern bool kyro_try_read(void (*read) (void *arg), void *arg);

#endif							/* KYRO_INSPECT_MONITOR_H */
