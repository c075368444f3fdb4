/*-------------------------------------------------------------------------
 *
 * build_scan.c
 *	  A build's scan of the table, by one process or each of several.
 *
 * IDENTIFICATION
 *	  src/rmi/build_scan.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"

#include "rmi/build.h"
#include "rmi/kyro_rmi.h"

typedef struct RmiBuildState
{
	RmiKeyType	type;
	RmiSort    *sort;
} RmiBuildState;

static void
build_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			   bool alive, void *state)
{
	RmiBuildState *s = (RmiBuildState *) state;

	rmi_sort_put(s->sort, isnull[0], isnull[0] ? 0 : rmi_key_from_datum(s->type, values[0]),
				 kyro_tid_from_pointer(tid), alive);
}

double
rmi_build_scan(Relation heap, Relation index, IndexInfo *info, RmiSort *sort,
			   TableScanDesc scan, bool progress)
{
	RmiBuildState state = {rmi_key_type(index), sort};

	return table_index_build_scan(heap, index, info, true, progress, build_callback, &state, scan);
}
