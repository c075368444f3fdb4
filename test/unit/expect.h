/*-------------------------------------------------------------------------
 *
 * expect.h
 *	  What must hold in programs that are driven by random bytes.
 *
 * IDENTIFICATION
 *	  test/unit/expect.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_EXPECT_H
#define KYRO_EXPECT_H

#include <stdio.h>
#include <stdlib.h>

/* Says where, and aborts: fuzzers keep the bytes that led there. */
#define EXPECT(cond) \
	do { \
		if (!(cond)) \
		{ \
			fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

#endif							/* KYRO_EXPECT_H */
