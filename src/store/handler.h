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

/* What we leave to heap code as it is, we take from its routine. */
/*
 * Is there a table of access method kyro, which a partitioned table is not, with this
 * OID?  No lock is needed; store_is_kyro() asks less of who has the table open.
 */
extern bool store_is_kyro_oid(Oid relid);

extern void store_handler_init(void);

#endif							/* KYRO_STORE_HANDLER_H */
