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

/* The routine of access method kyro, and core's of heap. */
extern const TableAmRoutine *store_routine(void);
extern const TableAmRoutine *store_heap(void);

extern void store_handler_init(void);

#endif							/* KYRO_STORE_HANDLER_H */
