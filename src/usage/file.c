/*-------------------------------------------------------------------------
 *
 * file.c
 *	  Statistics of use while the server is stopped: pg_stat/kyrodb.stat.
 *
 * As with the server's own statistics, the postmaster writes the file at the end of a
 * clean shutdown, and reads and removes it at the next start; so after a crash there is
 * none.  A copy of the data directory may have an old file, and disks may lose bytes.
 * So a file is ignored, with a message in the server's log, if its version, cluster,
 * size or checksum is not right, or if the server was not shut down.  It never keeps
 * the server from starting.
 *
 * IDENTIFICATION
 *	  src/usage/file.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "usage/shared.h"

#define FILE_NAME	PGSTAT_STAT_PERMANENT_DIRECTORY "/kyrodb.stat"
#define FILE_MAGIC	0x4B59524F5553414EULL	/* KYROUSAN; tells byte orders
											 * apart */

/* To be increased whenever UsageSums changes. */
#define FILE_VERSION	1

/* A bound for the number of entries in a file, above that of any build. */
#define MOST_ENTRIES	(1024 * 1024)

typedef struct Header
{
	uint64		magic;
	uint32		version;
	uint32		entry_size;
	uint64		system;			/* the cluster's identifier */
	uint32		entries;
	pg_crc32c	crc;			/* of the entries, then of all above */
} Header;

static shmem_startup_hook_type previous_startup;

/* Does the control file say that the server was shut down? */
static bool
is_shut_down(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		result = crc_ok && (control->state == DB_SHUTDOWNED || control->state == DB_SHUTDOWNED_IN_RECOVERY);

	pfree(control);
	return result;
}

/* ---- writing ---- */

typedef struct Writing
{
	FILE	   *file;
	pg_crc32c	crc;
	bool		ok;
} Writing;

static bool
write_entry(const UsageSums *sums, void *arg)
{
	Writing    *w = (Writing *) arg;

	w->ok = fwrite(sums, sizeof(UsageSums), 1, w->file) == 1;
	COMP_CRC32C(w->crc, sums, sizeof(UsageSums));
	return w->ok;
}

static void
write_file(int code, Datum arg)
{
	Header		header = {
		.magic = FILE_MAGIC,
		.version = FILE_VERSION,
		.entry_size = sizeof(UsageSums)
	};
	Writing		w = {.ok = false};

	if (code != 0 || !usage_is_shared() || !is_shut_down())
		return;
	header.system = GetSystemIdentifier();
	header.entries = (uint32) usage_number();
	w.file = AllocateFile(FILE_NAME ".tmp", PG_BINARY_W);
	if (w.file != NULL)
	{
		INIT_CRC32C(w.crc);
		/* the header is written twice: its checksum is known at the end */
		w.ok = fwrite(&header, sizeof(header), 1, w.file) == 1;
		if (w.ok)
			usage_each(write_entry, &w);
		COMP_CRC32C(w.crc, &header, offsetof(Header, crc));
		FIN_CRC32C(w.crc);
		header.crc = w.crc;
		w.ok = w.ok && fseek(w.file, 0, SEEK_SET) == 0 && fwrite(&header, sizeof(header), 1, w.file) == 1;
		w.ok = FreeFile(w.file) == 0 && w.ok;
	}
	if (!w.ok)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", FILE_NAME ".tmp")));
		unlink(FILE_NAME ".tmp");
	}
	else
		(void) durable_rename(FILE_NAME ".tmp", FILE_NAME, LOG);
}

/* ---- reading ---- */

/* Why the contents of a file cannot be used; NULL if they can.  They may be anything. */
static const char *
problem_of(const Header *header, const UsageSums *sums, Size size)
{
	pg_crc32c	crc;

	if (size < sizeof(Header) || header->magic != FILE_MAGIC)
		return "it has another format";
	if (header->version != FILE_VERSION || header->entry_size != sizeof(UsageSums))
		return "it is of another version";
	if (header->system != GetSystemIdentifier())
		return "it is of another database cluster";
	if (header->entries > MOST_ENTRIES || size != sizeof(Header) + header->entries * sizeof(UsageSums))
		return "its size is not right";
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, sums, header->entries * sizeof(UsageSums));
	COMP_CRC32C(crc, header, offsetof(Header, crc));
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, header->crc))
		return "its checksum is not right";
	for (uint32 i = 0; i < header->entries; i++)
	{
		const UsageSums *s = &sums[i];

		/* counts may have any value, but times and texts may not */
		if (!OidIsValid(s->key.database) || !OidIsValid(s->key.relid) || s->spare != 0 || !IS_VALID_TIMESTAMP(s->since) ||
			(s->kind != USAGE_INDEX && s->kind != USAGE_TABLE) ||
			(s->kind == USAGE_TABLE &&
			 (memchr(s->u.table.last_error, '\0', USAGE_MESSAGE) == NULL || !IS_VALID_TIMESTAMP(s->u.table.last_error_at))))
			return "an entry makes no sense";
	}
	return NULL;
}

/*
 * Read the whole file into *bytes, malloc'd.  Returns its size, 0 if that is too large or
 * does not match, or -1 with errno set.
 */
static ssize_t
read_bytes(FILE *file, char **bytes)
{
	struct stat st;

	if (fstat(fileno(file), &st) != 0)
		return -1;
	if (st.st_size > (off_t) (sizeof(Header) + MOST_ENTRIES * sizeof(UsageSums)))
		return 0;
	*bytes = malloc(Max((size_t) st.st_size, sizeof(Header)));
	if (*bytes == NULL)
		return -1;
	if (fread(*bytes, 1, st.st_size, file) != (size_t) st.st_size)
		return ferror(file) ? -1 : 0;
	return st.st_size;
}

static void
read_file(void)
{
	FILE	   *file = AllocateFile(FILE_NAME, PG_BINARY_R);
	char	   *bytes = NULL;
	const char *problem;
	ssize_t		size;

	if (file == NULL && errno == ENOENT)
		return;
	size = file == NULL ? -1 : read_bytes(file, &bytes);
	if (size < 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", FILE_NAME)));
	else
	{
		const Header *header = (const Header *) bytes;
		const UsageSums *sums = (const UsageSums *) (bytes + sizeof(Header));

		problem = !is_shut_down() ? "the server was not shut down" : problem_of(header, sums, size);
		if (problem != NULL)
			ereport(LOG,
					(errmsg("ignoring file \"%s\": %s", FILE_NAME, problem),
					 errdetail("Statistics of use of kyrodb begin anew.")));
		else
		{
			/*
			 * the last entries, which were used last, first, in case there is
			 * not enough room
			 */
			for (uint32 i = header->entries; i-- > 0;)
				(void) usage_put(&sums[i]);
		}
	}
	free(bytes);
	if (file != NULL)
		FreeFile(file);
	if (unlink(FILE_NAME) != 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", FILE_NAME)));
}

static void
startup(void)
{
	if (previous_startup)
		previous_startup();
	if (IsUnderPostmaster)
		return;
	on_shmem_exit(write_file, (Datum) 0);
	(void) unlink(FILE_NAME ".tmp");
	read_file();
}

void
usage_file_init(void)
{
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}
