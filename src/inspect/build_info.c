/*-------------------------------------------------------------------------
 *
 * build_info.c
 *	  kyro.build_info: how this copy of kyrodb was built and loaded.
 *
 * IDENTIFICATION
 *	  src/inspect/build_info.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <xxhash.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "preload.h"
#include "model/leaf.h"

#ifndef KYRODB_VERSION
#error "KYRODB_VERSION must come from the control file"
#endif

PG_FUNCTION_INFO_V1(kyro_build_info);

/*
 * One row: version of the library, PostgreSQL version it was compiled for and
 * that of the running server, SIMD kernel chosen on this CPU, version of the
 * xxHash library, whether kyrodb is preloaded, whether assertions are on.
 */
Datum
kyro_build_info(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[7];
	bool		nulls[7] = {0};
	unsigned	xxh = XXH_versionNumber();

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[0] = CStringGetTextDatum(KYRODB_VERSION);
	values[1] = CStringGetTextDatum(PG_VERSION);
	values[2] = CStringGetTextDatum(GetConfigOption("server_version", false, false));
	values[3] = CStringGetTextDatum(leaf_kernel_name());
	values[4] = CStringGetTextDatum(psprintf("%u.%u.%u",
											 xxh / 10000, xxh / 100 % 100, xxh % 100));
	values[5] = BoolGetDatum(kyro_preloaded());
#ifdef USE_ASSERT_CHECKING
	values[6] = BoolGetDatum(true);
#else
	values[6] = BoolGetDatum(false);
#endif
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
