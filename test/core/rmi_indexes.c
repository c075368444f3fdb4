/*-------------------------------------------------------------------------
 *
 * rmi_indexes.c
 *	  Makes the indexes of PostgreSQL's own tests kyro_rmi indexes.
 *
 * A library for a test cluster (shared_preload_libraries).  In a database that
 * has the access method, CREATE INDEX that would make a btree makes a kyro_rmi
 * index instead, if that is one it can make: one plain column of a type it
 * knows, ascending, with no options.  Constraints stay btrees.  Unique indexes
 * stay btrees too: foreign keys and REFRESH ... CONCURRENTLY need them.
 *
 * IDENTIFICATION
 *	  test/core/rmi_indexes.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static ProcessUtility_hook_type next_hook = NULL;

static bool
fits(IndexStmt *stmt)
{
	IndexElem  *elem;
	Oid			relid;
	AttrNumber	attnum;

	if (strcmp(stmt->accessMethod, "btree") != 0 || stmt->unique || stmt->primary || stmt->isconstraint ||
		stmt->options != NIL || stmt->excludeOpNames != NIL || stmt->indexIncludingParams != NIL ||
		list_length(stmt->indexParams) != 1)
		return false;
	elem = linitial_node(IndexElem, stmt->indexParams);
	if (elem->name == NULL || elem->collation != NIL || elem->opclass != NIL || elem->opclassopts != NIL ||
		elem->ordering == SORTBY_DESC || elem->nulls_ordering == SORTBY_NULLS_FIRST)
		return false;

	/* what is wrong with the table or column, core shall say */
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid) || relid < FirstNormalObjectId)
		return false;
	attnum = get_attnum(relid, elem->name);
	if (attnum <= 0)
		return false;
	switch (getBaseType(get_atttype(relid, attnum)))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

static void
rewrite_index(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (IsA(pstmt->utilityStmt, IndexStmt) && fits((IndexStmt *) pstmt->utilityStmt) &&
		OidIsValid(get_am_oid("kyro_rmi", true)))
	{
		pstmt = copyObject(pstmt);
		((IndexStmt *) pstmt->utilityStmt)->accessMethod = pstrdup("kyro_rmi");
	}
	if (next_hook)
		next_hook(pstmt, query, read_only, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, env, dest, qc);
}

void
_PG_init(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = rewrite_index;
}
