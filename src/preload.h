/*-------------------------------------------------------------------------
 *
 * preload.h
 *	  How was the library loaded?
 *
 * IDENTIFICATION
 *	  src/preload.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_PRELOAD_H
#define KYRO_PRELOAD_H

/*
 * Is the library there from the start of this session, by
 * shared_preload_libraries or session_preload_libraries?  False if it was
 * loaded when first needed.
 */
extern bool kyro_preloaded(void);

#endif							/* KYRO_PRELOAD_H */
