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

#include "access/xact.h"
#include "catalog/objectaddress.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

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
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		read(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *e;
		int			category;

		MemoryContextSwitchTo(cxt);
		e = CopyErrorData();
		category = ERRCODE_TO_CATEGORY(e->sqlerrcode);
		/* that of all corruption */
		if (category != ERRCODE_TO_CATEGORY(ERRCODE_INDEX_CORRUPTED) &&
			category != ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR) &&
			e->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		ereport(WARNING,
				(errcode(e->sqlerrcode),
				 errmsg_internal("%s", e->message),
				 e->detail ? errdetail_internal("%s", e->detail) : 0,
				 e->hint ? errhint("%s", e->hint) : 0));
		FreeErrorData(e);
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return ok;
}
