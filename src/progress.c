/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far long commands of ours have come.
 *
 * A backend's status entry in shared memory, where core's own commands report
 * their progress, has a number for the command.  Ours are none that core knows,
 * so its views do not show them as something that they are not; and nothing needs
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

/* st_progress_command of the first KyroCommand */
#define FIRST_COMMAND 0x4B59524F

/* Places in st_progress_param. */
enum
{
	PARAM_PHASE,
	PARAM_INDEX,
	PARAM_TOTAL,
	PARAM_DONE,
	PARAM_ROWS,
	PARAM_BATCHES
};

static const char *const command_names[] = {
	[KYRO_VERIFY] = "verify",
	[KYRO_SNAPSHOT] = "snapshot",
	[KYRO_SEAL] = "seal",
	[KYRO_COMPACT] = "compact",
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
	[KYRO_PHASE_READ] = "reading rows",
	[KYRO_PHASE_WRITE] = "writing run",
	[KYRO_PHASE_INDEX] = "inserting index entries",
	[KYRO_PHASE_STAMP] = "stamping rows",
};

PG_FUNCTION_INFO_V1(kyro_verify_progress);
PG_FUNCTION_INFO_V1(kyro_seal_progress);

/* The command that a backend reports, or -1 if that is none of ours. */
static inline int
command_of(const PgBackendStatus *entry)
{
	int64		command = (int64) entry->st_progress_command - FIRST_COMMAND;

	return command >= 0 && command < (int64) lengthof(command_names) ? (int) command : -1;
}

static inline bool
is_ours(void)
{
	return MyBEEntry != NULL && command_of((const PgBackendStatus *) MyBEEntry) >= 0;
}

void
kyro_progress_begin(KyroCommand command, Oid relid)
{
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_INVALID)
		pgstat_progress_start_command((ProgressCommandType) (FIRST_COMMAND + command), relid);
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
kyro_progress_step(KyroPhase phase)
{
	if (is_ours())
		pgstat_progress_update_param(PARAM_PHASE, phase);
}

void
kyro_progress_done(uint64 done)
{
	if (is_ours())
		pgstat_progress_update_param(PARAM_DONE, done);
}

void
kyro_progress_batches(uint64 rows, uint64 batches)
{
	static const int params[] = {PARAM_ROWS, PARAM_BATCHES};
	int64		values[] = {rows, batches};

	if (is_ours())
		pgstat_progress_update_multi_param(lengthof(params), params, values);
}

/*
 * Return one row for each backend that runs kyro.verify(), or else one of the commands that seal, made by `fill`
 * from the fourth column on; what it does is only for those who may see that.
 */
static void
return_backends(FunctionCallInfo fcinfo, bool verify, void (*fill) (const PgBackendStatus *entry, Datum *values, bool *nulls))
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		const PgBackendStatus *entry = &kyro_backend_status(i)->backendStatus;
		int			command = command_of(entry);
		Datum		values[9] = {0};
		bool		nulls[9];

		if (command < 0 || (command == KYRO_VERIFY) != verify)
			continue;
		memset(nulls, true, sizeof(nulls));
		values[0] = Int32GetDatum(entry->st_procpid);
		values[1] = ObjectIdGetDatum(entry->st_databaseid);
		nulls[0] = nulls[1] = false;
		if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
			has_privs_of_role(GetUserId(), entry->st_userid))
		{
			memset(nulls, false, sizeof(nulls));
			values[2] = ObjectIdGetDatum(entry->st_progress_command_target);
			fill(entry, values, nulls);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

static Datum
phase_name(const PgBackendStatus *entry)
{
	int64		phase = entry->st_progress_param[PARAM_PHASE];

	return CStringGetTextDatum(phase >= 0 && phase < (int64) lengthof(phase_names) ? phase_names[phase] : "unknown");
}

static void
fill_verify(const PgBackendStatus *entry, Datum *values, bool *nulls)
{
	int64		phase = entry->st_progress_param[PARAM_PHASE];

	values[3] = ObjectIdGetDatum((Oid) entry->st_progress_param[PARAM_INDEX]);
	nulls[3] = !OidIsValid((Oid) entry->st_progress_param[PARAM_INDEX]);
	values[4] = phase_name(entry);
	values[5] = CStringGetTextDatum(phase == KYRO_PHASE_SEARCH || phase == KYRO_PHASE_COMPARE ? "rows" : "blocks");
	values[6] = Int64GetDatum(entry->st_progress_param[PARAM_TOTAL]);
	values[7] = Int64GetDatum(entry->st_progress_param[PARAM_DONE]);
}

/* kyro.verify_progress(), for view kyro.stat_progress_verify */
Datum
kyro_verify_progress(PG_FUNCTION_ARGS)
{
	return_backends(fcinfo, true, fill_verify);
	return (Datum) 0;
}

static void
fill_seal(const PgBackendStatus *entry, Datum *values, bool *nulls)
{
	values[3] = CStringGetTextDatum(command_names[command_of(entry)]);
	values[4] = phase_name(entry);
	values[5] = Int64GetDatum(entry->st_progress_param[PARAM_TOTAL]);
	values[6] = Int64GetDatum(entry->st_progress_param[PARAM_DONE]);
	values[7] = Int64GetDatum(entry->st_progress_param[PARAM_ROWS]);
	values[8] = Int64GetDatum(entry->st_progress_param[PARAM_BATCHES]);
}

/* kyro.seal_progress(), for view kyro.stat_progress_seal */
Datum
kyro_seal_progress(PG_FUNCTION_ARGS)
{
	return_backends(fcinfo, false, fill_seal);
	return (Datum) 0;
}
