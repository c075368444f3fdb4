/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  kyro.verify(): is a table or an index sound, and do they agree?
 *
 * The checks themselves are rmi_verify() and store_verify(), and verify_rows.c
 * for an index against its table.
 *
 * IDENTIFICATION
 *	  src/inspect/verify.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "attempt.h"
#include "inspect/table.h"
#include "inspect/target.h"
#include "inspect/verify.h"
#include "keys/keys.h"
#include "progress.h"
#include "store/handler.h"
#include "store/store.h"

static void
verify_index(Oid relid, bool deep, KyroReport *report)
{
	Relation	heap;
	Relation	index = rmi_open_for_function(relid, AccessShareLock, true, &heap);
	RmiLeafVisitor compare;
	char	   *problem;
	Oid			save_userid;
	int			save_sec_context;
	int			save_nestlevel;

	if (deep && heap->rd_rel->relam != HEAP_TABLE_AM_OID && !store_is_kyro(heap))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only indexes on heap tables can be compared with their tables")));

	/*
	 * expressions and predicates run as the owner of the table, and
	 * harmlessly
	 */
	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(heap->rd_rel->relowner,
						   save_sec_context | SECURITY_RESTRICTED_OPERATION);
	save_nestlevel = NewGUCNestLevel();

	problem = keys_problem(relid);
	if (problem != NULL)
		kyro_report(report, InvalidBlockNumber, "%s", problem);
	if (deep)
		compare = kyro_compare_rows(heap, index, report);
	rmi_verify(index, kyro_report, report, deep ? &compare : NULL);

	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_userid, save_sec_context);
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
}

typedef struct VerifyCall
{
	bool		deep;
	Oid			relid;			/* the table or index at hand */
	KyroReport	report;
} VerifyCall;

static void
verify_one(void *arg)
{
	VerifyCall *call = (VerifyCall *) arg;

	if (store_is_kyro_oid(call->relid))
		kyro_verify_table(call->relid, call->deep, &call->report);
	else
		verify_index(call->relid, call->deep, &call->report);
}

/*
 * Check one relation.  Errors that the checks do not expect, as of damaged
 * TOAST tables or other indexes, are reported with the server's words.
 */
static void
verify_target(Oid relid, const char *partition, void *arg)
{
	VerifyCall *call = (VerifyCall *) arg;
	ErrorData  *error;

	call->relid = relid;
	call->report.partition = partition;
	error = kyro_attempt(verify_one, call);
	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(error);
	kyro_report(&call->report, InvalidBlockNumber, "%s%s%s",
				error->message, error->detail ? ": " : "", error->detail ? error->detail : "");
	FreeErrorData(error);
}

/*
 * Report what is wrong in the catalogs of a tree of indexes.  Its partitions
 * are checked one by one elsewhere.
 */
static void
verify_tree(Oid root, VerifyCall *call)
{
	List	   *indexes = find_all_inheritors(root, AccessShareLock, NULL);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Oid			index = lfirst_oid(lc);
		char	   *problem = NULL;

		if (!keys_is_ours(index))
			problem = pstrdup("is attached to a kyro_rmi index and is none: a dump could not be restored");
		else if (get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX)
			problem = keys_problem(index);
		call->report.partition = index == root ? NULL : get_rel_name(index);
		if (problem != NULL)
			kyro_report(&call->report, InvalidBlockNumber, "%s", problem);
	}
}

PG_FUNCTION_INFO_V1(kyro_verify);

/*
 * kyro.verify(rel, deep): one row for each problem of a kyro table or kyro_rmi
 * index, or of all partitions of one.  Only the owner may.
 */
Datum
kyro_verify(PG_FUNCTION_ARGS)
{
	VerifyCall	call = {.deep = PG_GETARG_BOOL(1)};

	InitMaterializedSRF(fcinfo, 0);
	call.report.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	kyro_progress_begin(KYRO_VERIFY, PG_GETARG_OID(0));
	kyro_each_target(PG_GETARG_OID(0), KYRO_TARGET_OWN, verify_target, &call);
	if (get_rel_relkind(PG_GETARG_OID(0)) == RELKIND_PARTITIONED_INDEX)
		verify_tree(PG_GETARG_OID(0), &call);
	kyro_progress_end();
	return (Datum) 0;
}
