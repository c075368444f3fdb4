/*-------------------------------------------------------------------------
 *
 * for_owner.c
 *	  Functions that write tables of the extension for users who may not write them.
 *
 * IDENTIFICATION
 *	  src/events/for_owner.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_for_owner);

#define MAX_ARGS	6

/*
 * The body of functions kyro.NAME(...): call kyro.NAME_as_owner(..., user name) as the
 * owner of the extension.  Raises 42P01 if an argument of type regclass is no relation,
 * 42501 if the user does not own it.
 */
Datum
kyro_for_owner(PG_FUNCTION_ARGS)
{
	Oid			user = GetUserId();
	HeapTuple	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	int			n = PG_NARGS();
	Oid			types[MAX_ARGS];
	Datum		values[MAX_ARGS] = {0};
	char		nulls[MAX_ARGS];
	StringInfoData sql;
	Oid			owner;
	int			context;

	if (!HeapTupleIsValid(proc) || n >= MAX_ARGS)
		elog(ERROR, "kyro_for_owner called in a wrong way");
	owner = ((Form_pg_proc) GETSTRUCT(proc))->proowner;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT kyro.%s_as_owner(", NameStr(((Form_pg_proc) GETSTRUCT(proc))->proname));
	for (int i = 0; i < n; i++)
	{
		types[i] = ((Form_pg_proc) GETSTRUCT(proc))->proargtypes.values[i];
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_GETARG_DATUM(i);
		appendStringInfo(&sql, "$%d, ", i + 1);
		if (types[i] == REGCLASSOID && !PG_ARGISNULL(i))
		{
			Oid			relid = PG_GETARG_OID(i);
			char	   *name = get_rel_name(relid);

			if (name == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_TABLE),
						 errmsg("there is no relation with OID %u", relid)));
			if (!kyro_owns_relation(relid, user))
				aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), name);
		}
	}
	ReleaseSysCache(proc);
	appendStringInfo(&sql, "$%d)", n + 1);
	types[n] = TEXTOID;
	nulls[n] = ' ';
	values[n] = CStringGetTextDatum(GetUserNameFromId(user, false));

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute_with_args(sql.data, n + 1, types, values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "a command for the owner of the extension failed");
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	PG_RETURN_VOID();
}
