/*-------------------------------------------------------------------------
 *
 * patience.h
 *	  Lock a table that others are writing to without holding them up.
 *
 * IDENTIFICATION
 *	  src/patience.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_PATIENCE_H
#define KYRO_PATIENCE_H

#include "storage/lockdefs.h"

extern void kyro_lock_patiently(Oid relid, LOCKMODE mode, const char *purpose);

#endif							/* KYRO_PATIENCE_H */
