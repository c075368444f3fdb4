/*-------------------------------------------------------------------------
 *
 * handler.h
 *	  The table access method as the server sees it.
 *
 * IDENTIFICATION
 *	  src/store/handler.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_STORE_HANDLER_H
#define KYRO_STORE_HANDLER_H

#include "access/tableam.h"

/* The routine of access method kyro. */
extern const TableAmRoutine *store_routine(void);

/* Core's, of heap. */
static inline const TableAmRoutine *
store_heap(void)
{
	return GetHeapamTableAmRoutine();
}

/*
 * Is there a table of access method kyro with this OID?  False for partitioned
 * tables.  No lock is needed; store_is_kyro() is cheaper if the table is open.
 */
extern bool store_is_kyro_oid(Oid relid);

/* From _PG_init(): take from heap's routine the callbacks that we leave as they are. */
extern void store_handler_init(void);

#endif							/* KYRO_STORE_HANDLER_H */
