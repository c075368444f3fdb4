/*-------------------------------------------------------------------------
 *
 * directories.c
 *	  Copies of directories in shared memory, in SQL:
 *	  kyro.shared_directory_bytes(), kyro.shared_directories().
 *
 * IDENTIFICATION
 *	  src/inspect/directories.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/index.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "privilege.h"
#include "rmi/dirshare.h"

PG_FUNCTION_INFO_V1(kyro_shared_directory_bytes);
PG_FUNCTION_INFO_V1(kyro_shared_directories_row);

/*
 * kyro.shared_directory_bytes(index oid): shared memory that the copy of its directory
 * takes; NULL if there is none, or the user may not see the table.
 */
Datum
kyro_shared_directory_bytes(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			table = IndexGetRelation(relid, true);
	uint64		bytes;

	if (!OidIsValid(table) || !kyro_sees_table(GetUserId(), table))
		PG_RETURN_NULL();
	bytes = rmi_share_bytes(relid);
	if (bytes == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) bytes);
}

/* kyro.shared_directories(): one row about the shared memory for all copies; NULLs if there is none. */
Datum
kyro_shared_directories_row(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	RmiShareTotals t;
	Datum		values[7];
	bool		nulls[7];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rmi_share_totals(&t);
	memset(nulls, !rmi_share_enabled(), sizeof(nulls));
	values[0] = Int64GetDatum((int64) t.size);
	values[1] = Int64GetDatum((int64) t.used);
	values[2] = Int32GetDatum((int32) t.copies);
	values[3] = Int32GetDatum((int32) t.replaced);
	values[4] = Int64GetDatum((int64) t.made);
	values[5] = Int64GetDatum((int64) t.evicted);
	values[6] = Int64GetDatum((int64) t.refused);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
