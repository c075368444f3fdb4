/*-------------------------------------------------------------------------
 *
 * monitor.c
 *	  What functions that serve monitoring views have in common.
 *
 * IDENTIFICATION
 *	  src/inspect/monitor.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaddress.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "attempt.h"
#include "inspect/monitor.h"
#include "privilege.h"

void
kyro_check_sees_table(Oid table)
{
	if (!kyro_sees_table(GetUserId(), table) && get_rel_name(table) != NULL)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(table)), get_rel_name(table));
}

bool
kyro_try_read(void (*read) (void *arg), void *arg)
{
	ErrorData  *e = kyro_attempt(read, arg);

	if (e == NULL)
		return true;
	ereport(WARNING,
			(errcode(e->sqlerrcode),
			 errmsg_internal("%s", e->message),
			 e->detail ? errdetail_internal("%s", e->detail) : 0,
			 e->hint ? errhint("%s", e->hint) : 0));
	FreeErrorData(e);
	return false;
}
