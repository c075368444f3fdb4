/*-------------------------------------------------------------------------
 *
 * tree.c
 *	  The kyro tables among the partitions of a table.
 *
 * IDENTIFICATION
 *	  src/store/tree.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "store/handler.h"
#include "store/store.h"

List *
store_kyro_partitions(Oid relid, LOCKMODE lockmode, const char *hint)
{
	List	   *result = NIL;
	int			others = 0;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, lockmode, NULL))
	{
		char		relkind = get_rel_relkind(lfirst_oid(lc));

		if (relkind == RELKIND_PARTITIONED_TABLE || relkind == '\0')
			continue;
		if (store_is_kyro_oid(lfirst_oid(lc)))
			result = lappend_oid(result, lfirst_oid(lc));
		else
			others++;
	}
	if (result == NIL && others > 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("no partition of \"%s\" is a kyro table", get_rel_name(relid)),
				 errhint("%s", hint)));
	if (others > 0)
		ereport(NOTICE,
				(errmsg_plural("passed over %d partition of \"%s\" that is not a kyro table",
							   "passed over %d partitions of \"%s\" that are not kyro tables",
							   others, others, get_rel_name(relid))));
	list_sort(result, list_oid_cmp);
	return result;
}

List *
store_partitions(Oid relid)
{
	if (!kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	LockRelationOid(relid, AccessShareLock);
	return store_kyro_partitions(relid, NoLock, "ALTER TABLE ... SET ACCESS METHOD kyro makes it one.");
}
