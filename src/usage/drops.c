/*-------------------------------------------------------------------------
 *
 * drops.c
 *	  Removing the statistics of relations and databases that are dropped.
 *
 * The transaction that drops a relation removes its entry; so does the rollback of one
 * that has made it.  We do not hear of drops that are replayed on a standby, that a
 * prepared transaction commits, or whose session ends at the wrong moment.  Entries
 * that are left by these are removed by workers of the autopilot, or make room for
 * others.
 *
 * IDENTIFICATION
 *	  src/usage/drops.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "usage/shared.h"

/* A relation that this transaction has made or dropped, or a database that it drops. */
typedef struct Change
{
	UsageKey	key;			/* relid InvalidOid: a database */
	bool		made;			/* made, not dropped */
	bool		stays;			/* it exists just before the commit */
} Change;

static Change *changes;
static int	nchanges,
			max_changes;
static object_access_hook_type previous_access;
static UsageOnDrop on_drop;

void
usage_set_on_drop(UsageOnDrop function)
{
	on_drop = function;
}

static void
remove_key(UsageKey key)
{
	usage_remove(key);
	if (on_drop != NULL)
		on_drop(key.database, key.relid);
}

static void
note(Oid database, Oid relid, bool made)
{
	if (nchanges == max_changes)
	{
		int			want = Max(max_changes * 2, 16);

		if (changes == NULL)
			changes = MemoryContextAlloc(TopMemoryContext, want * sizeof(Change));
		else
			changes = repalloc_huge(changes, want * sizeof(Change));
		max_changes = want;
	}
	changes[nchanges++] = (Change) {.key = {database, relid}, .made = made};
}

static void
on_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_access)
		previous_access(access, class, object, sub, arg);
	if ((access != OAT_DROP && access != OAT_POST_CREATE) || sub != 0 || !usage_is_shared())
		return;
	if (class == RelationRelationId)
		note(MyDatabaseId, object, access == OAT_POST_CREATE);
	else if (class == DatabaseRelationId && access == OAT_DROP)
		note(object, InvalidOid, false);
}

/*
 * Just before the commit: a drop may have been rolled back to a savepoint, and what was
 * made may be gone, so look what exists.
 */
static void
find_what_stays(void)
{
	for (int i = 0; i < nchanges; i++)
	{
		Oid			relid = changes[i].key.relid;

		changes[i].stays = OidIsValid(relid) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
	}
}

/*
 * The transaction has ended.  If it was prepared, we shall not hear how it ends: what it
 * has dropped may come back, so its entry stays, and is swept if it does not.
 */
static void
remove_what_is_gone(XactEvent event)
{
	for (int i = 0; i < nchanges; i++)
	{
		const Change *c = &changes[i];

		if (event == XACT_EVENT_COMMIT ? !c->stays :
			event == XACT_EVENT_PREPARE ? c->made && !c->stays :
			c->made)
			remove_key(c->key);
	}
	nchanges = 0;
}

static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			find_what_stays();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			remove_what_is_gone(event);
			break;
		default:
			break;
	}
}

void
usage_drops_init(void)
{
	previous_access = object_access_hook;
	object_access_hook = on_access;
	RegisterXactCallback(at_xact_end, NULL);
}

/* ---- drops that we did not hear of ---- */

void
usage_sweep(void)
{
	UsageKey   *keys;
	int			n;

	if (!usage_is_shared())
		return;
	n = usage_list(MyDatabaseId, &keys);
	for (int i = 0; i < n; i++)
	{
		/*
		 * a relation that is being made is not visible yet, but its maker
		 * holds a lock on it
		 */
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(keys[i].relid)) &&
			ConditionalLockRelationOid(keys[i].relid, AccessShareLock))
		{
			if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(keys[i].relid)))
				remove_key(keys[i]);
			UnlockRelationOid(keys[i].relid, AccessShareLock);
		}
	}
	pfree(keys);
}

typedef struct Databases
{
	bool		(*exists) (Oid database, void *arg);
	void	   *arg;
} Databases;

static bool
is_gone(UsageKey key, void *arg)
{
	Databases  *d = (Databases *) arg;

	return !d->exists(key.database, d->arg);
}

void
usage_forget_databases(bool (*exists) (Oid database, void *arg), void *arg)
{
	if (usage_is_shared())
		usage_remove_if(is_gone, &(Databases) {exists, arg});
}
