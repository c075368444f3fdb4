/*-------------------------------------------------------------------------
 *
 * fuzz_stats.c
 *	  The file of the statistics of use: any bytes in it when the server starts.
 *
 * Input: a seed (8 bytes), what to do (1 byte), then bytes of a file; or a recipe for entries, and
 * for changes of the file that was written of them, after which its checksum is mended, or not, so
 * that what lies behind it is reached, too.
 *
 * src/usage/file.c is compiled here, with the few functions of the server that it calls;
 * the file is one of memory.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_stats.c
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* memfd_create */
#include "postgres.h"

#include <sys/mman.h>

#include "fuzz.h"
#include "server.h"

#define unlink(name)	fuzz_unlink(name)
#include "usage/file.c"
#undef unlink

#define ENTRIES_MAX	40
#define SYSTEM		UINT64_C(0x1234567890ABCDEF)

static uint64_t rng;
static int	memory = -1;		/* the file, or what is being written */
static bool there;				/* is it there? */
static UsageSums entries[ENTRIES_MAX];	/* what is in shared memory */
static uint32 nentries;
static DBState state;

/* ---- the server ---- */

bool		IsUnderPostmaster = false;
char	   *DataDir = "";
shmem_startup_hook_type shmem_startup_hook = NULL;

uint64
GetSystemIdentifier(void)
{
	return SYSTEM;
}

ControlFileData *
get_controlfile(const char *dir, bool *crc_ok)
{
	ControlFileData *control = palloc0(sizeof(ControlFileData));

	control->state = state;
	*crc_ok = true;
	return control;
}

int
errcode_for_file_access(void)
{
	return 0;
}

void
on_shmem_exit(pg_on_exit_callback function, Datum arg)
{
}

FILE *
AllocateFile(const char *name, const char *mode)
{
	int			fd;

	if (mode[0] == 'r' && !there)
	{
		errno = ENOENT;
		return NULL;
	}
	fd = dup(memory);
	EXPECT(fd >= 0 && lseek(fd, 0, SEEK_SET) == 0);
	if (mode[0] == 'w')
		EXPECT(ftruncate(fd, 0) == 0);
	return fdopen(fd, mode);
}

int
FreeFile(FILE *file)
{
	return fclose(file);
}

int
durable_rename(const char *from, const char *to, int level)
{
	there = true;
	return 0;
}

int
fuzz_unlink(const char *name)
{
	if (strcmp(name, FILE_NAME) == 0)
		there = false;
	return 0;
}

/* ---- src/usage/shared.c ---- */

bool
usage_is_shared(void)
{
	return true;
}

int
usage_number(void)
{
	return nentries;
}

void
usage_each(bool (*f) (const UsageSums *sums, void *arg), void *arg)
{
	for (uint32 i = 0; i < nentries && f(&entries[i], arg); i++)
		;
}

/* What shared memory takes is what views read: see that it holds what they rely on. */
bool
usage_put(const UsageSums *sums)
{
	EXPECT(OidIsValid(sums->key.database) && OidIsValid(sums->key.relid));
	EXPECT(IS_VALID_TIMESTAMP(sums->since));
	EXPECT(sums->kind == USAGE_INDEX || sums->kind == USAGE_TABLE);
	if (sums->kind == USAGE_TABLE)
		EXPECT(strlen(sums->u.table.last_error) < USAGE_MESSAGE && IS_VALID_TIMESTAMP(sums->u.table.last_error_at));
	if (nentries == ENTRIES_MAX)
		return false;
	/* read from the end, kept from the front */
	memmove(&entries[1], &entries[0], nentries * sizeof(UsageSums));
	entries[0] = *sums;
	nentries++;
	return true;
}

/* ---- the target ---- */

/* The server starts with these bytes in its file. */
static void
start(const void *bytes, size_t size)
{
	EXPECT(ftruncate(memory, 0) == 0 && pwrite(memory, bytes, size, 0) == (ssize_t) size);
	there = true;
	nentries = 0;
	startup();
	EXPECT(!there);
}

static void
some_entries(FuzzInput *in)
{
	nentries = (uint32) (fuzz_take(in, 1) % (ENTRIES_MAX + 1));
	for (uint32 i = 0; i < nentries; i++)
	{
		UsageSums  *s = &entries[i];
		uint64_t   *words = (uint64_t *) s;

		for (size_t w = 0; w < sizeof(UsageSums) / sizeof(uint64_t); w++)
			words[w] = fuzz_random(&rng) >> rng % 64;
		s->key = (UsageKey) {5, i + 1};
		s->kind = rng & 1 ? USAGE_INDEX : USAGE_TABLE;
		s->spare = 0;
		s->since = (TimestampTz) (fuzz_random(&rng) >> 12);
		if (s->kind == USAGE_TABLE)
		{
			s->u.table.last_error_at = (TimestampTz) (fuzz_random(&rng) >> 12);
			s->u.table.last_error[fuzz_random(&rng) % USAGE_MESSAGE] = '\0';
		}
	}
}

static void
mend_checksum(uint8_t *bytes, size_t size)
{
	Header	   *h = (Header *) bytes;
	pg_crc32c	crc;

	if (size < sizeof(Header))
		return;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + sizeof(Header), size - sizeof(Header));
	COMP_CRC32C(crc, h, offsetof(Header, crc));
	FIN_CRC32C(crc);
	h->crc = crc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[sizeof(Header) + (ENTRIES_MAX + 2) * sizeof(UsageSums)] pg_attribute_aligned(8);
	FuzzInput	in = {data, size};
	unsigned	what;
	size_t		len;

	if (size < 9)
		return 0;
	if (memory < 0)
		EXPECT((memory = memfd_create("stats", 0)) >= 0);
	server_reset();
	rng = fuzz_take(&in, 8);
	what = (unsigned) fuzz_take(&in, 1);
	state = what % 8 == 0 ? DB_IN_PRODUCTION : DB_SHUTDOWNED;
	if (what & 32)
	{
		start(in.p, in.left);
		EXPECT(state == DB_SHUTDOWNED || nentries == 0);
		return 0;
	}

	/* what was kept comes back */
	some_entries(&in);
	len = sizeof(Header) + nentries * sizeof(UsageSums);
	{
		static UsageSums before[ENTRIES_MAX];
		uint32		n = nentries;

		memcpy(before, entries, sizeof(before));
		there = false;
		write_file(0, (Datum) 0);
		EXPECT(there == (state == DB_SHUTDOWNED));
		if (!there)
			return 0;
		EXPECT(pread(memory, bytes, sizeof(bytes), 0) == (ssize_t) len);
		start(bytes, len);
		EXPECT(nentries == n && memcmp(before, entries, n * sizeof(UsageSums)) == 0);
	}

	/*
	 * or not, if somebody has been at it; the lengths of the header are
	 * changed most often
	 */
	while (in.left > 0)
	{
		unsigned	how = (unsigned) fuzz_take(&in, 1);
		uint64_t	value = fuzz_take(&in, 1 + how % 8);
		Header	   *h = (Header *) bytes;

		switch (how / 8 % 8)
		{
			case 0:
				h->entries = (uint32) value;
				break;
			case 1:
				len = value % (sizeof(bytes) + 1);
				break;
			case 2:
				h->entry_size = (uint32) value;
				break;
			case 3:
				bytes[value % sizeof(bytes)] = 0xFF;
				break;
			case 4:
				memset(bytes + value % sizeof(bytes), (int) (value >> 32), Min(USAGE_MESSAGE, sizeof(bytes) - value % sizeof(bytes)));
				break;
			default:
				bytes[value % sizeof(bytes)] ^= (uint8_t) (1 << how % 8);
		}
	}
	if (what & 64)
		mend_checksum(bytes, len);
	start(bytes, len);
	return 0;
}
