/*-------------------------------------------------------------------------
 *
 * debug_point.h
 *	  Named places in the code where a test can stop, fail or kill a session.
 *
 * They exist only in builds with DEBUG_POINTS=1 (make check builds so); in
 * others they are nothing.
 *
 *	 DEBUG_POINT("name")	no content lock may be held: it can wait
 *	 DEBUG_POINT_POLL("name")	the same where a page lock may be held: it waits
 *							unseen by the lock manager
 *	 DEBUG_CRASH("name")	anywhere, critical sections included
 *
 * How tests use them is in test/README.md.
 *
 * IDENTIFICATION
 *	  src/debug_point.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_DEBUG_POINT_H
#define KYRO_DEBUG_POINT_H

#ifdef KYRO_DEBUG_POINTS

extern void kyro_debug_point(const char *name);
extern void kyro_debug_point_poll(const char *name);
extern void kyro_debug_crash(const char *name);
extern void kyro_debug_point_init(void);

/* kyro.debug_any_checksum: take pages of an index whatever their checksum, to test what lies behind it. */
extern bool kyro_debug_any_checksum;

/* kyro.debug_other_encoder: log changes with the number of another version's encoder. */
extern bool kyro_debug_other_encoder;

#define CHECKSUMS_COUNT() (!kyro_debug_any_checksum)
#define LOGGED_ENCODER() (LEAF_ENCODER + kyro_debug_other_encoder)
#define DEBUG_POINT(name) kyro_debug_point(name)
#define DEBUG_POINT_POLL(name) kyro_debug_point_poll(name)
#define DEBUG_CRASH(name) kyro_debug_crash(name)

#else

#define CHECKSUMS_COUNT() true
#define LOGGED_ENCODER() LEAF_ENCODER
#define DEBUG_POINT(name) ((void) 0)
#define DEBUG_POINT_POLL(name) ((void) 0)
#define DEBUG_CRASH(name) ((void) 0)

#endif

#endif							/* KYRO_DEBUG_POINT_H */
