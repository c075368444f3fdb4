/*-------------------------------------------------------------------------
 *
 * privilege.c
 *	  Who is shown numbers about tables.
 *
 * IDENTIFICATION
 *	  src/privilege.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid_d.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "compat.h"
#include "privilege.h"

PG_FUNCTION_INFO_V1(kyro_sees_table_sql);

static bool
exists(Oid table)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table));
}

bool
kyro_sees_table(Oid userid, Oid table)
{
	return kyro_sees_messages(userid, table) ||
		(exists(table) && pg_class_aclcheck(table, userid, ACL_SELECT) == ACLCHECK_OK);
}

bool
kyro_sees_messages(Oid userid, Oid table)
{
	return has_privs_of_role(userid, ROLE_PG_READ_ALL_STATS) ||
		(exists(table) && kyro_owns_relation(table, userid));
}

/* kyro.sees_table(tbl oid): the rule of kyro_sees_table(), for the views. */
Datum
kyro_sees_table_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(kyro_sees_table(GetUserId(), PG_GETARG_OID(0)));
}
