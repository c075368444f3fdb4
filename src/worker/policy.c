/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  When a table is to be sealed: kyro.set_policy() and kyro.drop_policy().
 *
 * Policies are rows of a table of the extension, so that pg_dump includes them.  The
 * policy of a partitioned table holds for all partitions that have none of their own;
 * view kyro.stat_policies finds out which one that is.
 *
 * IDENTIFICATION
 *	  src/worker/policy.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/commit_ts.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "inspect/monitor.h"
#include "store/handler.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(kyro_set_policy);
PG_FUNCTION_INFO_V1(kyro_drop_policy);
PG_FUNCTION_INFO_V1(kyro_estimated_rows);

/*
 * Lock a relation in AccessShare mode, and raise an error unless the user owns it and,
 * if must_be_ours, it is a permanent or unlogged kyro table or a partitioned table.
 */
static void
check_target(Oid relid, bool must_be_ours)
{
	char	   *name;
	char		relkind;

	LockRelationOid(relid, AccessShareLock);
	name = get_rel_name(relid);
	relkind = get_rel_relkind(relid);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid)));
	if (!kyro_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relkind), name);
	if (!must_be_ours)
		return;
	if (relkind != RELKIND_PARTITIONED_TABLE && !store_is_kyro_oid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is neither a kyro table nor a partitioned table", name),
				 relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW ?
				 errhint("ALTER TABLE ... SET ACCESS METHOD kyro makes it one.") : 0));
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("temporary table \"%s\" cannot have a policy", name),
				 errdetail("No worker can read temporary tables of a session.")));
}

/* Run a command on the extension's table, as its owner; returns the number of rows. */
static uint64
run_as_owner(const char *command, int nargs, Oid *types, Datum *values, const char *nulls)
{
	Oid			table = get_relname_relid("policies", get_namespace_oid("kyro", false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;
	Oid			save_user;
	int			save_context;
	uint64		rows;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table kyro.policies does not exist"),
				 errhint("Run ALTER EXTENSION kyrodb UPDATE.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(owner, save_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, nargs, types, values, nulls, false, 0) < 0)
		elog(ERROR, "a command on kyro.policies failed");
	rows = SPI_processed;
	SPI_finish();
	SetUserIdAndSecContext(save_user, save_context);
	return rows;
}

static void
check_positive(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (!PG_ARGISNULL(arg) && PG_GETARG_INT64(arg) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be greater than 0", name)));
}

/*
 * kyro.set_policy(tbl, seal_after, seal_rows, seal_bytes, min_rows, batch, compact): make or
 * replace the policy of a kyro table, or of a partitioned table for its partitions.
 * For the table's owner.
 */
Datum
kyro_set_policy(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"tbl", "seal_after", "seal_rows", "seal_bytes", "min_rows", "batch", "compact"};
	Oid			types[] = {REGCLASSOID, INTERVALOID, INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];

	for (int i = 0; i < (int) lengthof(types); i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_GETARG_DATUM(i);
		if (PG_ARGISNULL(i) && (i == 0 || i >= 4))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", names[i])));
		if (i >= 2 && types[i] == INT8OID)
			check_positive(fcinfo, i, names[i]);
	}
	if (PG_ARGISNULL(1) && PG_ARGISNULL(2) && PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a policy needs seal_after, seal_rows or seal_bytes"),
				 errhint("kyro.drop_policy() removes one.")));
	if (!PG_ARGISNULL(1))
	{
		Interval	zero = {0};

		if (!DatumGetBool(DirectFunctionCall2(interval_gt, PG_GETARG_DATUM(1), IntervalPGetDatum(&zero))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("seal_after must be greater than 0")));
		if (!track_commit_timestamp)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("seal_after needs to know when rows were committed"),
					 errhint("Make sure the configuration parameter track_commit_timestamp is set.")));
	}
	check_target(PG_GETARG_OID(0), true);
	(void) run_as_owner("INSERT INTO kyro.policies AS p (relation, seal_after, seal_rows, seal_bytes, min_rows, batch, compact)"
						" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (relation) DO UPDATE SET"
						" seal_after = excluded.seal_after, seal_rows = excluded.seal_rows, seal_bytes = excluded.seal_bytes,"
						" min_rows = excluded.min_rows, batch = excluded.batch, compact = excluded.compact",
						lengthof(types), types, values, nulls);
	PG_RETURN_VOID();
}

/*
 * kyro.drop_policy(tbl): remove the policy of a table; false if it had none of its
 * own.  For the table's owner.
 */
Datum
kyro_drop_policy(PG_FUNCTION_ARGS)
{
	Oid			types[] = {REGCLASSOID};
	Datum		values[] = {PG_GETARG_DATUM(0)};

	check_target(PG_GETARG_OID(0), false);
	PG_RETURN_BOOL(run_as_owner("DELETE FROM kyro.policies WHERE relation OPERATOR(pg_catalog.=) $1",
								lengthof(types), types, values, NULL) > 0);
}

/* What the planner expects of a table. */
typedef struct Expected
{
	Relation	rel;
	double		rows;
} Expected;

static void
ask_planner(void *arg)
{
	Expected   *expected = (Expected *) arg;
	BlockNumber pages;
	double		visible;

	estimate_rel_size(expected->rel, NULL, &pages, &expected->rows, &visible);
}

/*
 * kyro.estimated_rows(tbl): the number of rows that the planner expects of a kyro table;
 * NULL if the table is locked exclusively, damaged or gone.  For users who may see
 * numbers about the table.
 */
Datum
kyro_estimated_rows(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Expected	expected = {0};
	bool		ok;

	kyro_check_sees_table(relid);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		PG_RETURN_NULL();
	expected.rel = try_table_open(relid, NoLock);
	if (expected.rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		PG_RETURN_NULL();
	}
	ok = store_is_kyro(expected.rel) && !RELATION_IS_OTHER_TEMP(expected.rel) &&
		!(expected.rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress()) &&
		kyro_try_read(ask_planner, &expected);
	table_close(expected.rel, AccessShareLock);
	if (!ok)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) expected.rows);
}
