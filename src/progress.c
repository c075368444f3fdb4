/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far kyro.verify() has come.
 *
 * A backend's status entry in shared memory, where core's own commands report
 * their progress, has a number for the command.  Ours is none that core knows,
 * so its views do not show it as something that it is not; and nothing needs
 * to be preloaded.
 *
 * IDENTIFICATION
 *	  src/progress.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid_d.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"

#include "compat.h"
#include "progress.h"

#define KYRO_PROGRESS_VERIFY ((ProgressCommandType) 0x4B59524F)

/* Places in st_progress_param. */
enum
{
	PARAM_PHASE,
	PARAM_INDEX,
	PARAM_TOTAL,
	PARAM_DONE
};

static const char *const phase_names[] = {
	[0] = "starting",
	[KYRO_PHASE_STRUCTURE] = "checking structure",
	[KYRO_PHASE_SEALED] = "checking sealed pages",
	[KYRO_PHASE_LOG] = "checking log pages",
	[KYRO_PHASE_TOAST] = "checking TOAST values",
	[KYRO_PHASE_ROWS] = "collecting rows",
	[KYRO_PHASE_SEARCH] = "searching index",
	[KYRO_PHASE_COMPARE] = "comparing rows",
	[KYRO_PHASE_LEAVES] = "checking index pages",
};

PG_FUNCTION_INFO_V1(kyro_verify_progress);

static inline bool
is_ours(void)
{
	return MyBEEntry != NULL && MyBEEntry->st_progress_command == KYRO_PROGRESS_VERIFY;
}

void
kyro_progress_begin(Oid relid)
{
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_INVALID)
		pgstat_progress_start_command(KYRO_PROGRESS_VERIFY, relid);
}

void
kyro_progress_end(void)
{
	if (is_ours())
		pgstat_progress_end_command();
}

void
kyro_progress_phase(KyroPhase phase, Oid index, uint64 total)
{
	static const int params[] = {PARAM_PHASE, PARAM_INDEX, PARAM_TOTAL, PARAM_DONE};
	int64		values[] = {phase, index, total, 0};

	if (is_ours())
		pgstat_progress_update_multi_param(lengthof(params), params, values);
}

void
kyro_progress_done(uint64 done)
{
	if (is_ours())
		pgstat_progress_update_param(PARAM_DONE, done);
}

/*
 * kyro.verify_progress(): one row for each backend that verifies something; what
 * it is only for those who may see what the backend does.
 */
Datum
kyro_verify_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		PgBackendStatus *entry = &kyro_backend_status(i)->backendStatus;
		Datum		values[8] = {0};
		bool		nulls[8];
		int64		phase;

		if (entry->st_progress_command != KYRO_PROGRESS_VERIFY)
			continue;
		memset(nulls, true, sizeof(nulls));
		values[0] = Int32GetDatum(entry->st_procpid);
		values[1] = ObjectIdGetDatum(entry->st_databaseid);
		nulls[0] = nulls[1] = false;
		if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
			has_privs_of_role(GetUserId(), entry->st_userid))
		{
			phase = entry->st_progress_param[PARAM_PHASE];
			values[2] = ObjectIdGetDatum(entry->st_progress_command_target);
			values[3] = ObjectIdGetDatum((Oid) entry->st_progress_param[PARAM_INDEX]);
			values[4] = CStringGetTextDatum(phase >= 0 && phase < (int64) lengthof(phase_names) ? phase_names[phase] : "unknown");
			values[5] = CStringGetTextDatum(phase == KYRO_PHASE_SEARCH || phase == KYRO_PHASE_COMPARE ? "rows" : "blocks");
			values[6] = Int64GetDatum(entry->st_progress_param[PARAM_TOTAL]);
			values[7] = Int64GetDatum(entry->st_progress_param[PARAM_DONE]);
			memset(nulls, false, sizeof(nulls));
			nulls[3] = !OidIsValid((Oid) entry->st_progress_param[PARAM_INDEX]);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
