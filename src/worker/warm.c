/*-------------------------------------------------------------------------
 *
 * warm.c
 *	  After the start of the server, read the relations that kyro.autowarm names into
 *	  shared buffers.
 *
 * In the order of the list, until no buffer is free.  (To load what was in shared
 * buffers when the server stopped, there is pg_prewarm, which treats our pages like
 * any others.)
 *
 * IDENTIFICATION
 *	  src/worker/warm.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/buf_internals.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "guc.h"
#include "inspect/warmup.h"
#include "worker/worker.h"

/* The part of *rest up to the next comma outside of quotes; *rest becomes what follows, or NULL. */
static char *
next_name(char **rest)
{
	char	   *start = *rest;
	bool		quoted = false;

	for (char *c = start; *c != '\0'; c++)
	{
		if (*c == '"')
			quoted = !quoted;
		else if (*c == ',' && !quoted)
		{
			*c = '\0';
			*rest = c + 1;
			return start;
		}
	}
	*rest = NULL;
	return start;
}

/*
 * The relation of a name database.schema.relation; InvalidOid if it does not exist or
 * is of another database.  *here: whether it is of this database.
 */
static Oid
lookup(const char *name, const char *database, bool *here)
{
	List	   *parts = textToQualifiedNameList(cstring_to_text(name));
	RangeVar   *relation;

	*here = list_length(parts) == 3 && strcmp(strVal(linitial(parts)), database) == 0;
	if (!*here)
		return InvalidOid;
	relation = makeRangeVar(strVal(lsecond(parts)), strVal(lthird(parts)), -1);
	return RangeVarGetRelid(relation, NoLock, true);
}

List *
worker_list_warm(MemoryContext cxt, List *tasks)
{
	char	   *rest = pstrdup(kyro_autowarm);
	const char *database = get_database_name(MyDatabaseId);

	while (rest != NULL)
	{
		char	   *name = next_name(&rest);
		bool		here;
		Oid			relid;
		WorkerTask *task;
		MemoryContext old;

		name += strspn(name, " \t\n");
		if (*name == '\0')
			continue;
		relid = lookup(name, database, &here);
		if (!here)
			continue;
		old = MemoryContextSwitchTo(cxt);
		task = palloc0(sizeof(WorkerTask));
		task->action = WORKER_WARM;
		task->relid = relid;
		task->relation = OidIsValid(relid) ?
			quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)) : pstrdup(name);
		task->why = pstrdup("the server has started, and kyro.autowarm names it");
		tasks = lappend(tasks, task);
		MemoryContextSwitchTo(old);
	}
	return tasks;
}

/* Called after each page: sleep if that is due; false if no buffer is free. */
static bool
go_on(void *arg)
{
	worker_pause();
	return have_free_buffer();
}

void
worker_warm(const WorkerTask *task, WorkerResult *result)
{
	MemoryContext cxt = CurrentMemoryContext;
	int64		pages;

	if (!OidIsValid(task->relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" of kyro.autowarm does not exist", task->relation)));
	StartTransactionCommand();
	pages = kyro_warmup_relation(task->relid, go_on, NULL);
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	result->what = psprintf("%s" INT64_FORMAT " pages", have_free_buffer() ? "" : "memory is full after ", pages);
}
