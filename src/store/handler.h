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
extern void store_handler_init(void);

#endif							/* KYRO_STORE_HANDLER_H */
