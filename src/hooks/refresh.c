/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  REFRESH MATERIALIZED VIEW CONCURRENTLY beside a unique kyro_rmi index.
 *
 * Before PostgreSQL 18 the command takes the columns of unique btrees to tell
 * rows apart, by the access method of the index in the relation cache.  There is
 * nothing that we could show it instead, as there is for foreign keys, without
 * writing into what is the server's.  So it is refused, as long as no unique btree
 * is there, too; but with words that say why the index that one has is none.
 *
 * IDENTIFICATION
 *	  src/hooks/refresh.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "hooks/hooks.h"

static bool
is_of_method(Oid index, Oid am)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_class) GETSTRUCT(tuple))->relam == am;
		ReleaseSysCache(tuple);
	}
	return result;
}

char *
kyro_refresh_candidate(const RefreshMatViewStmt *stmt)
{
	Oid			am = get_index_am_oid("kyro_rmi", true);
	Oid			view = stmt->concurrent && OidIsValid(am) ? RangeVarGetRelid(stmt->relation, NoLock, true) : InvalidOid;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	char	   *name = NULL;

	if (!OidIsValid(view))
		return NULL;
	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (name == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		if (form->indisunique && form->indisvalid && is_of_method(form->indexrelid, am) &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL) && heap_attisnull(tuple, Anum_pg_index_indexprs, NULL))
			name = get_rel_name(form->indexrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return name;
}

void
kyro_refresh_explain(void *index)
{
	if (geterrcode() != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		!kyro_error_is("cannot refresh materialized view \"%s\" concurrently"))
		return;
	errdetail("Unique index \"%s\" is a kyro_rmi index, and this command takes a btree.", (char *) index);
	errhint("Create a unique btree index with no WHERE clause on one or more columns of the materialized view, or let CALL kyro.restore_btree() make one of it.");
}
