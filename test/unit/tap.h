/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  Test Anything Protocol output for the unit tests in C.
 *
 * Two ways, which mix: CHECK(...) in a test and tap_done("name") after it,
 * where a failed CHECK prints where and marks the running test; or one
 * ok(condition, "name", ...) per test.  Return tap_exit() from main
 * (done_testing() is the same).
 *
 * IDENTIFICATION
 *	  test/unit/tap.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_TAP_H
#define KYRO_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int	tap_number;
static int	tap_failures;		/* tests */
static int	tap_problems;		/* failed checks of the running test */
static char tap_context[256];	/* printed with a failed check */

#define CHECK(cond) tap_check((cond), #cond, __FILE__, __LINE__)

static inline bool
tap_check(bool ok, const char *what, const char *file, int line)
{
	if (!ok && tap_problems++ < 20)
		printf("# %s:%d: %s  [%s]\n", file, line, what, tap_context);
	return ok;
}

static inline void
tap_done(const char *name)
{
	printf("%sok %d - %s\n", tap_problems ? "not " : "", ++tap_number, name);
	fflush(stdout);
	tap_failures += tap_problems != 0;
	tap_problems = 0;
	tap_context[0] = '\0';
}

/* A test of one condition, with a name made as by printf; returns cond. */
__attribute__((format(printf, 2, 3)))
static inline bool
ok(bool cond, const char *fmt,...)
{
	char		name[512];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	if (!cond)
		tap_problems++;
	tap_done(name);
	return cond;
}

static inline int
tap_exit(void)
{
	printf("1..%d\n", tap_number);
	if (tap_failures)
		printf("# %d of %d tests failed\n", tap_failures, tap_number);
	return tap_number == 0 || tap_failures != 0;
}

static inline int
done_testing(void)
{
	return tap_exit();
}

#endif							/* KYRO_TAP_H */
