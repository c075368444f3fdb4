/*-------------------------------------------------------------------------
 *
 * compat.c
 *	  What differs between PostgreSQL versions and is no macro.
 *
 * IDENTIFICATION
 *	  src/compat.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/pgstat_internal.h"
#include "utils/rel.h"

#include "compat.h"

void
kyro_report_live_rows(Relation rel, double rows)
{
	PgStat_EntryRef *ref;

	if (!pgstat_track_counts)
		return;
	ref = pgstat_get_entry_ref_locked(PGSTAT_KIND_RELATION,
									  rel->rd_rel->relisshared ? InvalidOid : MyDatabaseId,
									  RelationGetRelid(rel), false);
	((PgStatShared_Relation *) ref->shared_stats)->stats.n_live_tuples = (PgStat_Counter) rows;
	pgstat_unlock_entry(ref);
}

void
kyro_report_dead_rows(Relation rel, uint64 rows)
{
	if (pgstat_should_count_relation(rel))
		rel->pgstat_info->t_counts.t_delta_dead_tuples += rows;
}
