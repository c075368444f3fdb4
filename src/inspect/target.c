/*-------------------------------------------------------------------------
 *
 * target.c
 *	  The relations that a function of SQL is to work on: an index or a table, or all
 *	  partitions of one.
 *
 * IDENTIFICATION
 *	  src/inspect/target.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "inspect/target.h"
#include "store/handler.h"
#include "store/store.h"

/* Has the relation kind and access method of a kyro_rmi index, partitioned or not? */
static bool
is_index(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class class;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	class = (Form_pg_class) GETSTRUCT(tuple);
	result = (class->relkind == RELKIND_INDEX || class->relkind == RELKIND_PARTITIONED_INDEX) &&
		class->relam == get_index_am_oid("kyro_rmi", true);
	ReleaseSysCache(tuple);
	return result;
}

static void
check_right(Oid relid, Oid table, KyroTargetRight right)
{
	if (right == KYRO_TARGET_OWN && !kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	if (right == KYRO_TARGET_READ)
	{
		AclResult	acl = pg_class_aclcheck(table, GetUserId(), ACL_SELECT);

		if (acl != ACLCHECK_OK)
			aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(table)), get_rel_name(table));
	}
}

/* Call one() for a partition, with memory of its own. */
static void
do_partition(Oid relid, KyroTargetFunction one, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kyrodb partition", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	one(relid, get_rel_name(relid), arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
partitions_of_table(Oid relid, KyroTargetFunction one, void *arg)
{
	ListCell   *lc;

	foreach(lc, store_kyro_partitions(relid, AccessShareLock, "For its kyro_rmi indexes, name the partitioned index."))
		do_partition(lfirst_oid(lc), one, arg);
}

static void
partitions_of_index(Oid relid, Oid table, KyroTargetFunction one, void *arg)
{
	List	   *indexes;
	ListCell   *lc;

	/* tables before indexes, as everybody does */
	(void) find_all_inheritors(table, AccessShareLock, NULL);
	indexes = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, indexes)
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_INDEX)
			do_partition(lfirst_oid(lc), one, arg);
	}
}

void
kyro_each_target(Oid relid, KyroTargetRight right, KyroTargetFunction one, void *arg)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		check_right(relid, relid, right);
		partitions_of_table(relid, one, arg);
	}
	else if (relkind == RELKIND_PARTITIONED_INDEX && is_index(relid))
	{
		Oid			table = IndexGetRelation(relid, false);

		check_right(relid, table, right);
		partitions_of_index(relid, table, one, arg);
	}
	else if (is_index(relid) || store_is_kyro_oid(relid))
		one(relid, NULL, arg);
	else
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is neither a kyro table nor a kyro_rmi index", get_rel_name(relid)),
				 relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW ?
				 errhint("Of a table of another access method, name its kyro_rmi indexes.") : 0));
}
