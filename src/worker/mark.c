/*-------------------------------------------------------------------------
 *
 * mark.c
 *	  Marks: files that tell, after a crash of the server, what workers were doing.
 *
 * After a crash shared memory is empty, and a relation whose task crashes the server
 * would do so again at each visit.  So a worker has a mark on disk while it works, and
 * the launcher counts marks that it finds at its start as failures.  Marks are not
 * synced: they survive the processes, not the machine.  A mark that was left by an
 * immediate shutdown, or copied by a base backup, only delays its task.
 *
 * IDENTIFICATION
 *	  src/worker/mark.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "pgstat.h"
#include "storage/fd.h"

#include "worker/worker.h"

#define MARK_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/kyrodb_worker.%d"
#define MARK_MAGIC		0x4B594D31
#define MARK_TEXT		200

typedef struct Mark
{
	uint32		magic;
	Oid			database;
	Oid			relid;
	int32		action;
	int32		failures;		/* before this try */
	char		relation[MARK_TEXT];
	char		why[MARK_TEXT];
} Mark;

static void
mark_path(char *path, int slot)
{
	snprintf(path, MAXPGPATH, MARK_FILE, slot);
}

void
worker_mark(int slot, Oid database, const WorkerTask *task, int failures)
{
	Mark		mark = {.magic = MARK_MAGIC, .database = database, .relid = task->relid, .action = task->action, .failures = failures};
	char		path[MAXPGPATH];
	int			fd;

	strlcpy(mark.relation, task->relation, MARK_TEXT);
	strlcpy(mark.why, task->why, MARK_TEXT);
	mark_path(path, slot);
	fd = OpenTransientFile(path, O_CREAT | O_TRUNC | O_WRONLY | PG_BINARY);
	if (fd < 0)
		return;
	if (write(fd, &mark, sizeof(mark)) != sizeof(mark))
		(void) unlink(path);
	CloseTransientFile(fd);
}

void
worker_unmark(int slot)
{
	char		path[MAXPGPATH];

	mark_path(path, slot);
	(void) unlink(path);
}

void
worker_read_marks(void (*f) (Oid database, const WorkerTask *task, int failures))
{
	for (int slot = 0; slot < WORKER_SLOTS; slot++)
	{
		char		path[MAXPGPATH];
		Mark		mark;
		int			fd;
		bool		ok;

		mark_path(path, slot);
		fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
		if (fd < 0)
			continue;
		ok = read(fd, &mark, sizeof(mark)) == sizeof(mark) && mark.magic == MARK_MAGIC && OidIsValid(mark.database) &&
			(mark.action == WORKER_RETRAIN || mark.action == WORKER_SEAL || mark.action == WORKER_PRUNE ||
			 mark.action == WORKER_COMPACT) && mark.failures >= 0;
		CloseTransientFile(fd);
		(void) unlink(path);
		if (!ok)
			continue;
		mark.relation[MARK_TEXT - 1] = '\0';
		mark.why[MARK_TEXT - 1] = '\0';
		f(mark.database, &(WorkerTask) {.action = mark.action, .relid = mark.relid, .relation = mark.relation, .why = mark.why}, mark.failures);
	}
}
