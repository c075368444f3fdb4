/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share.
 *
 * A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput(); what it has
 * met so far is in corpus/NAME.  tools/fuzz.sh builds it with libFuzzer;
 * `make check` replays the corpus with replay.c.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_FUZZ_H
#define KYRO_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "expect.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* If a target has it: prints what was done, as lines that begin with '#'. */
extern void fuzz_report(void) __attribute__((weak));

/* The input, taken from the front; zeros when it is used up. */
typedef struct FuzzInput
{
	const uint8_t *p;
	size_t		left;
} FuzzInput;

static inline uint64_t
fuzz_take(FuzzInput *in, unsigned bytes)
{
	uint64_t	v = 0;

	for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--)
		v |= (uint64_t) *in->p++ << (8 * i);
	return v;
}

/* Random numbers from a seed that the input gives. */
static inline uint64_t
fuzz_random(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

#endif							/* KYRO_FUZZ_H */
