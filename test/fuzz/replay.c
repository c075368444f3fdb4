/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  Run a fuzz target over files, without a fuzzer.
 *
 * replay [-random FIRST COUNT] FILE...: each file once, and so many random
 * inputs with the seeds from FIRST on; COUNT 0: without end.
 *
 * IDENTIFICATION
 *	  test/fuzz/replay.c
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#define RANDOM_MAX 1000			/* bytes */

/* In a block of exact size, so that a stray byte is noticed. */
static void
run(const uint8_t *data, size_t size)
{
	uint8_t    *exact = malloc(size ? size : 1);

	memcpy(exact, data, size);
	(void) LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

int
main(int argc, char **argv)
{
	static uint8_t buf[1 << 20];
	int			files = 0;
	long		random = 0;
	int			arg = 1;

	if (argc > 3 && strcmp(argv[1], "-random") == 0)
	{
		uint64_t	first = strtoull(argv[2], NULL, 10);
		long		count = atol(argv[3]);

		for (; count == 0 || random < count; random++)
		{
			uint64_t	state = first + (uint64_t) random;
			size_t		size = fuzz_random(&state) % (RANDOM_MAX + 1);

			for (size_t i = 0; i < size; i++)
				buf[i] = (uint8_t) fuzz_random(&state);
			/* the last line tells what it was */
			fprintf(stderr, "# seed %llu, %zu bytes\n", (unsigned long long) first + (uint64_t) random, size);
			run(buf, size);
			if (fuzz_report && random % 1000 == 999)
				fuzz_report();
		}
		arg = 4;
	}
	for (; arg < argc; arg++)
	{
		FILE	   *f = fopen(argv[arg], "rb");
		size_t		size;

		if (f == NULL)
		{
			perror(argv[arg]);
			return 1;
		}
		size = fread(buf, 1, sizeof(buf), f);
		fclose(f);
		fprintf(stderr, "# %s, %zu bytes\n", argv[arg], size);
		run(buf, size);
		files++;
	}
	if (fuzz_report)
		fuzz_report();
	printf("%sok 1 - %d files, %ld random inputs\n1..1\n", files + random > 0 ? "" : "not ", files, random);
	return files + random == 0;
}
