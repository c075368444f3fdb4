/*-------------------------------------------------------------------------
 *
 * retyped.c
 *	  Of which tables a command changes the type of a column.
 *
 * IDENTIFICATION
 *	  src/retyped.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "retyped.h"

List *
kyro_retyped_tables(Oid relid, const AlterTableStmt *statement, LOCKMODE lockmode)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	List	   *typed = NIL,
			   *tables = NIL;
	ListCell   *lc;

	if (statement->objtype != OBJECT_TYPE)
		return statement->relation->inh ? find_all_inheritors(relid, lockmode, NULL) : list_make1_oid(relid);

	/* there is no index for this, as core knows too */
	rel = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(get_rel_type_id(relid)));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		typed = lappend_oid(typed, ((Form_pg_class) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(lc, typed)
	{
		if (lockmode != NoLock)
			LockRelationOid(lfirst_oid(lc), lockmode);
		tables = list_concat_unique_oid(tables, find_all_inheritors(lfirst_oid(lc), lockmode, NULL));
	}
	return tables;
}
