/*-------------------------------------------------------------------------
 *
 * as_of.c
 *	  kyro.as_of(): a table as it was.
 *
 * It returns the present rows, with all changes undone that had not been committed
 * then: old rows are added and new rows are left out, by their images.  README.md,
 * E9, argues why that is exact.
 *
 * IDENTIFICATION
 *	  src/events/as_of.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_as_of);

#define ROWS_AT_ONCE	1000

/* Of each image that has changed, by its number in the query, the rows still to be left out. */
typedef struct Undo
{
	int64	   *left;			/* -1: the image was not met yet */
	int64		size;			/* of the array */
	int64		missing;		/* sum of all that are still to be left out */
} Undo;

static int64 *
counter(Undo *undo, int64 id)
{
	while (id >= undo->size)
	{
		int64		size = Max(undo->size * 2, 1024);

		undo->left = undo->left == NULL ? palloc_extended(size * sizeof(int64), MCXT_ALLOC_HUGE) :
			repalloc_huge(undo->left, size * sizeof(int64));
		for (int64 i = undo->size; i < size; i++)
			undo->left[i] = -1;
		undo->size = size;
	}
	return &undo->left[id];
}

static void
put(Tuplestorestate *store, Datum row)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	HeapTupleData tuple = {0};

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	tuplestore_puttuple(store, &tuple);
}

/*
 * Process a row of the query.  Its columns are: 1 a present row, or NULL; 2 the number of
 * its image among those that have changed, or NULL if it has not; 3 how many more rows
 * with this image there were then (negative: fewer); 4 a row with this image.
 */
static void
take(Tuplestorestate *store, Undo *undo, HeapTuple tuple, TupleDesc desc)
{
	bool		no_row,
				no_change,
				isnull;
	Datum		row = SPI_getbinval(tuple, desc, 1, &no_row);
	Datum		id = SPI_getbinval(tuple, desc, 2, &no_change);
	int64		n;
	int64	   *left;

	if (no_change)
	{
		put(store, row);
		return;
	}
	n = DatumGetInt64(SPI_getbinval(tuple, desc, 3, &isnull));
	left = counter(undo, DatumGetInt64(id));
	if (*left < 0)
	{
		*left = Max(-n, 0);
		undo->missing += *left;
		if (n > 0)
		{
			Datum		then = SPI_getbinval(tuple, desc, 4, &isnull);

			for (int64 i = 0; i < n; i++)
				put(store, then);
		}
	}
	if (no_row)
		return;
	if (*left > 0)
	{
		(*left)--;
		undo->missing--;
	}
	else
		put(store, row);
}

/*
 * Raise 42501 unless the user may read the whole table.  Row security cannot be applied to
 * rows of the past, so users whom it restricts may not read them.
 */
static void
check_privileges(Oid relid)
{
	AclResult	acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, get_rel_name(relid));
	if (check_enable_rls(relid, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security restricts what you may read of table \"%s\"", get_rel_name(relid)),
				 errdetail("Its policies cannot be applied to rows of the past.")));
}

/*
 * In a trigger that a change of the table has fired, others of its rows may be changed and not recorded
 * yet.  Whether there is such a statement is seen by who else has the table, or a partition, open and locked for it.
 */
static void
check_recorded(Oid relid)
{
	ListCell   *lc;

	if (DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) == 0)
		return;
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		bool		in_use = rel->rd_refcnt > (RelationGetRelid(rel) == relid ? 2 : 1) && CheckRelationLockedByMe(rel, RowExclusiveLock, true);

		table_close(rel, NoLock);
		if (in_use)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the past of table \"%s\" cannot be read in a trigger of a statement that changes it", get_rel_name(relid)),
					 errdetail("Changes of the statement may not be recorded yet.")));
	}
}

/* The query that finds what has changed since, made by kyro.past_changes(). */
static char *
changes_since(FunctionCallInfo fcinfo, Oid relid)
{
	bool		by_time = get_fn_expr_argtype(fcinfo->flinfo, 1) == TIMESTAMPTZOID;
	Oid			types[2] = {REGCLASSOID, by_time ? TIMESTAMPTZOID : TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(relid), PG_GETARG_DATUM(1)};
	char		nulls[2] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};

	if (SPI_execute_with_args("SELECT kyro.past_changes($1, $2)", 2, types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "kyro.past_changes() failed");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/*
 * Take a snapshot and, in SPI, open the query for take().
 *
 * Any snapshot that is not older than the epoch gives the same result.  But one that is older than our locks might see the
 * effect of TRUNCATE on the table or a partition, which also removes what old snapshots see, and not its record in the
 * history.  And a partition can be attached while we wait for a lock: what the query finds in it was not a part of the table,
 * or has been truncated since.  Then we begin again, with a history that knows of it.
 */
static Portal
open_query(FunctionCallInfo fcinfo, Relation rel, const char *name)
{
	Oid			relid = RelationGetRelid(rel);
	bool		partitioned = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;

	for (;;)
	{
		List	   *parts = partitioned ? find_all_inheritors(relid, AccessShareLock, NULL) : NIL;
		Portal		portal;

		CHECK_FOR_INTERRUPTS();
		PushActiveSnapshot(GetLatestSnapshot());
		SPI_connect();
		portal = SPI_cursor_open_with_args(NULL, psprintf("WITH changed AS MATERIALIZED ("
														  " SELECT c.image, c.n, row_number() OVER () - 1 AS id FROM (%s) AS c)"
														  " SELECT today.r, changed.id, changed.n,"
														  " CASE WHEN changed.n > 0 THEN kyro.image_row(NULL::%s, changed.image) END"
														  " FROM (SELECT (x.*)::%s AS r, kyro.row_image(x.*) AS image FROM %s %s AS x) AS today"
														  " FULL JOIN changed ON changed.image = today.image",
														  changes_since(fcinfo, relid), name, name, partitioned ? "" : "ONLY", name),
										   0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
		if (!partitioned || list_difference_oid(find_all_inheritors(relid, NoLock, NULL), parts) == NIL)
			return portal;
		SPI_cursor_close(portal);
		SPI_finish();
		PopActiveSnapshot();
	}
}

/*
 * kyro.as_of(NULL::tbl, epoch text), kyro.as_of(NULL::tbl, moment timestamptz) returns setof
 * the table's rows: those that had been committed when the epoch was made, or at that
 * moment.
 *
 * Locks as SELECT does.  Raises 42809 if the first argument is not of the type of a table's
 * rows; 55000 if the table keeps no history, if it does not go back so far, or if changes
 * are missing in it; 42704 if there is no such epoch; 22004 for NULL; 42501 without SELECT
 * on the table, or under row security.
 */
Datum
kyro_as_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = get_typ_typrelid(type);
	Relation	rel;
	EventHistory *h;
	Undo		undo = {0};
	Oid			user;
	int			context;
	int			level;
	char	   *name;
	Portal		portal;

	if (!OidIsValid(relid) || get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not the type of the rows of a table", format_type_be(type)),
				 errhint("Use kyro.as_of(NULL::name_of_the_table, epoch).")));
	rel = table_open(relid, AccessShareLock);
	check_privileges(relid);
	check_recorded(relid);
	h = event_history(relid, false);
	if (h->root != relid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the history of table \"%s\" is that of the table of which it is a partition", RelationGetRelationName(rel)),
				 errhint("Use kyro.as_of(NULL::%s, ...).",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(h->root)), get_rel_name(h->root)))));
	name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
	InitMaterializedSRF(fcinfo, 0);

	event_history_hold();
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(h->owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	level = event_pin_settings();

	portal = open_query(fcinfo, rel, name);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_ONCE);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			take(rsinfo->setResult, &undo, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(true, level);
	SetUserIdAndSecContext(user, context);
	event_history_release();
	if (undo.missing > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the history of table \"%s\" does not fit its rows", RelationGetRelationName(rel)),
				 errdetail("Rows that were written since are not there any more, and not in the history: " INT64_FORMAT ".", undo.missing),
				 errhint("Something was changed without its triggers. Use kyro.drop_history() and kyro.keep_history().")));
	table_close(rel, NoLock);
	return (Datum) 0;
}
