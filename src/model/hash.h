/*-------------------------------------------------------------------------
 *
 * hash.h
 *	  The checksum of pages: XXH3 (xxHash library), with the widest vector
 *	  instructions the processor has, if the library can choose them at run
 *	  time.  The value is the same whichever it takes.
 *
 * IDENTIFICATION
 *	  src/model/hash.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_HASH_H
#define KYRO_HASH_H

#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

#include <stddef.h>
#include <stdint.h>

static inline uint64_t
kyro_hash(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}

#endif							/* KYRO_HASH_H */
