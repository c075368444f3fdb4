/*-------------------------------------------------------------------------
 *
 * mark.c
 *	  What a worker is at, in a file, in case that crashes the server.
 *
 * Shared memory is made anew after a crash, and a relation that crashes its worker
 * would do so again at each visit.  So a worker leaves a mark while it works, and
 * the next launcher takes those that it finds for failures.  A mark survives
 * processes, not the machine: it is not synced.  One that an immediate shutdown
 * or a base backup has left puts its task off for a while, and that is all.
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

/* This worker, of this slot, begins a task that has failed so many times.  A mark that cannot be made is none. */
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

/* It is done, or has failed. */
void
worker_unmark(int slot)
{
	char		path[MAXPGPATH];

	mark_path(path, slot);
	(void) unlink(path);
}

/*
 * Give f() what was going on when the server ended, with the failures that there were
 * before, and remove the marks.  Outside of a transaction.
 */
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
			(mark.action == WORKER_RETRAIN || mark.action == WORKER_SEAL) && mark.failures >= 0;
		CloseTransientFile(fd);
		(void) unlink(path);
		if (!ok)
			continue;
		mark.relation[MARK_TEXT - 1] = '\0';
		mark.why[MARK_TEXT - 1] = '\0';
		f(mark.database, &(WorkerTask) {.action = mark.action, .relid = mark.relid, .relation = mark.relation, .why = mark.why}, mark.failures);
	}
}
