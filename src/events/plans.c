/*-------------------------------------------------------------------------
 *
 * plans.c
 *	  Plans of statements about a table, kept by the session.
 *
 * The server plans a statement again if its tables have changed, but looks for them by
 * their old names, so a table that was renamed gets new plans here.
 *
 * IDENTIFICATION
 *	  src/events/plans.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "events/events.h"

/* The plans of a table. */
typedef struct Entry
{
	struct
	{
		Oid			relid;
		EventStatements statements;
	}			key;
	Oid			type;			/* for which, */
	char	   *name;			/* and by which name they were planned */
	SPIPlanPtr	plans[EVENT_PLANS];
} Entry;

static HTAB *cache = NULL;
static List *retired = NIL;		/* plans that were replaced; one of them may
								 * be running */

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	foreach(lc, retired)
		SPI_freeplan((SPIPlanPtr) lfirst(lc));
	list_free(retired);
	retired = NIL;
}

SPIPlanPtr *
event_plans(EventStatements statements, Oid relid, Oid type, const char *name)
{
	Entry		key = {.key = {relid, statements}};
	Entry	   *entry;
	bool		found;

	if (cache == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(key.key);
		ctl.entrysize = sizeof(Entry);
		cache = hash_create("kyro plans", 16, &ctl, HASH_ELEM | HASH_BLOBS);
		RegisterXactCallback(at_end_of_transaction, NULL);
	}
	entry = (Entry *) hash_search(cache, &key.key, HASH_ENTER, &found);
	if (!found)
	{
		memset(entry->plans, 0, sizeof(entry->plans));
		entry->name = NULL;
	}
	if (entry->name == NULL || strcmp(entry->name, name) != 0 || entry->type != type)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		for (int i = 0; i < EVENT_PLANS; i++)
		{
			if (entry->plans[i] != NULL)
				retired = lappend(retired, entry->plans[i]);
			entry->plans[i] = NULL;
		}
		if (entry->name != NULL)
			pfree(entry->name);
		entry->name = NULL;
		entry->name = pstrdup(name);
		entry->type = type;
		MemoryContextSwitchTo(old);
	}
	return entry->plans;
}

SPIPlanPtr
event_keep_plan(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not plan \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}
