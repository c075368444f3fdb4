/*-------------------------------------------------------------------------
 *
 * flags.c
 *	  What pg_index says of an index by flags.
 *
 * IDENTIFICATION
 *	  src/keys/flags.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_index.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "keys/keys.h"

int
keys_flags(Form_pg_index form)
{
	return ((form->indisvalid ? KEYS_VALID : 0) |
			(form->indisclustered ? KEYS_CLUSTERED : 0) |
			(form->indisreplident ? KEYS_IDENTITY : 0));
}

void
keys_set_flags(Oid index, int flags, bool on)
{
	Relation	rel = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(index));

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		if ((keys_flags(form) & flags) != (on ? flags : 0))
		{
			form->indisvalid = (flags & KEYS_VALID) ? on : form->indisvalid;
			form->indisclustered = (flags & KEYS_CLUSTERED) ? on : form->indisclustered;
			form->indisreplident = (flags & KEYS_IDENTITY) ? on : form->indisreplident;
			CatalogTupleUpdate(rel, &tuple->t_self, tuple);

			/*
			 * what is known of the table may be made of this, as its replica
			 * identity
			 */
			CacheInvalidateRelcacheByRelid(form->indrelid);
			CommandCounterIncrement();
		}
		heap_freetuple(tuple);
	}
	table_close(rel, RowExclusiveLock);
}
