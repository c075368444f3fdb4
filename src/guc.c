/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Settings.
 *
 * IDENTIFICATION
 *	  src/guc.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "debug_point.h"
#include "guc.h"

int			kyro_directory_cache = 64 * 1024;

int			kyro_shared_directories = 64 * 1024;

int			kyro_table_cache = 64 * 1024;

bool		kyro_mmap = true;

int			kyro_sealed_load = KYRO_SEALED_LOAD_AUTO;

bool		kyro_resource_manager = true;

int			kyro_constraint_index_method = KYRO_KEYS_BTREE;

bool		kyro_autopilot = true;

int			kyro_autopilot_naptime = 60;

int			kyro_max_workers = 2;

int			kyro_log_min_duration = 600000;

char	   *kyro_autowarm = "";

int			kyro_retrain_threshold = 20;

double		kyro_retrain_scale_factor = 0.05;

int			kyro_retrain_misses_threshold = 1000;

double		kyro_retrain_misses_scale_factor = 0.05;

int			kyro_cost_limit = 200;

double		kyro_cost_delay = 2;

int			kyro_busy_sessions = -1;

int			kyro_busy_patience = 60 * 60;

double		kyro_sample_rate = 0;

bool		kyro_sampling = false;

static const struct config_enum_entry key_methods[] = {
	{"btree", KYRO_KEYS_BTREE, false},
	{"kyro_rmi", KYRO_KEYS_KYRO_RMI, false},
	{NULL, 0, false}
};

static const struct config_enum_entry sealed_loads[] = {
	{"auto", KYRO_SEALED_LOAD_AUTO, false},
	{"off", KYRO_SEALED_LOAD_OFF, false},
	{NULL, 0, false}
};

static void
assign_sample_rate(double newval, void *extra)
{
	kyro_sampling = newval > 0;
}

/* The settings of the autopilot, which needs the library in shared_preload_libraries. */
static void
define_autopilot(void)
{
	DefineCustomBoolVariable("kyro.autopilot",
							 "Retrains indexes and seals tables by their policies, in the background.",
							 "Only if kyrodb is in shared_preload_libraries.",
							 &kyro_autopilot,
							 true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.autopilot_naptime",
							"Time between two looks of the autopilot at a database.",
							NULL,
							&kyro_autopilot_naptime,
							60, 1, 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.max_workers",
							"Sets the maximum number of the autopilot's workers at a time.",
							"Each takes one of max_worker_processes.",
							&kyro_max_workers,
							2, 1, 32,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.log_min_duration",
							"Sets the time above which actions of the autopilot are logged.",
							"Zero logs all, -1 none.",
							&kyro_log_min_duration,
							600000, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomStringVariable("kyro.autowarm",
							   "Indexes and kyro tables that are read into memory when the server has started.",
							   "A list of names of the form database.schema.relation.",
							   &kyro_autowarm,
							   "",
							   PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.retrain_threshold",
							"Number of pages of an index that were split since its model was trained, before it is retrained.",
							"In addition to kyro.retrain_scale_factor of all its pages.",
							&kyro_retrain_threshold,
							20, 0, INT_MAX,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomRealVariable("kyro.retrain_scale_factor",
							 "Pages of an index that were split since its model was trained, before it is retrained, as a fraction of all its pages.",
							 "In addition to kyro.retrain_threshold.",
							 &kyro_retrain_scale_factor,
							 0.05, 0, 100,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.retrain_misses_threshold",
							"Number of searches in an index that have landed beside the right page since its model was trained, before it is retrained.",
							"In addition to kyro.retrain_misses_scale_factor of all searches since, and only if pages were split.",
							&kyro_retrain_misses_threshold,
							1000, 0, INT_MAX,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomRealVariable("kyro.retrain_misses_scale_factor",
							 "Searches in an index that have landed beside the right page since its model was trained, before it is retrained, as a fraction of all.",
							 "In addition to kyro.retrain_misses_threshold.",
							 &kyro_retrain_misses_scale_factor,
							 0.05, 0, 100,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.cost_limit",
							"Cost of pages, as VACUUM counts it, after which a worker of the autopilot sleeps.",
							NULL,
							&kyro_cost_limit,
							200, 1, 10000,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomRealVariable("kyro.cost_delay",
							 "Time that a worker of the autopilot sleeps then. Zero: it does not.",
							 NULL,
							 &kyro_cost_delay,
							 2, 0, 100,
							 PGC_SIGHUP, GUC_UNIT_MS,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.busy_sessions",
							"Number of sessions at work above which the autopilot puts off what is due.",
							"Zero: it does not; -1: twice as many as there are processors.",
							&kyro_busy_sessions,
							-1, -1, INT_MAX / 2,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.busy_patience",
							"Time after which the autopilot does what it has put off, though the server is busy.",
							NULL,
							&kyro_busy_patience,
							60 * 60, 0, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
}

void
kyro_guc_init(void)
{
	DefineCustomBoolVariable("kyro.mmap",
							 "Reads sealed pages of kyro tables through memory maps of their files.",
							 "Otherwise they are read through shared buffers, as all other pages.",
							 &kyro_mmap,
							 true,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.directory_cache",
							"Sets the memory a session may use for copies of learned index directories.",
							"An index whose directory is larger is read through its shared pages.",
							&kyro_directory_cache,
							64 * 1024, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);

	/*
	 * memory is requested when the server starts; who loads the library later
	 * has none
	 */
	DefineCustomIntVariable("kyro.shared_directories",
							"Sets the shared memory for copies of learned index directories that all sessions use.",
							"Only if kyrodb is in shared_preload_libraries. Zero: each session has copies of its own.",
							&kyro_shared_directories,
							64 * 1024, 0, MAX_KILOBYTES,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("kyro.table_cache",
							"Sets the memory a session may keep for what it knows of kyro tables.",
							"Lists of runs, maps of files and pages found sound. Tables that the current transaction uses are kept in any case.",
							&kyro_table_cache,
							64 * 1024, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("kyro.sealed_load",
							 "Lets COPY, CREATE TABLE AS and rewrites of kyro tables write sealed rows.",
							 "Auto: where no index wants the rows at once, into new tables and empty ones.",
							 &kyro_sealed_load,
							 KYRO_SEALED_LOAD_AUTO, sealed_loads,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("kyro.resource_manager",
							 "Logs changes of new kyro_rmi indexes, and of those that VACUUM meets, by kyrodb's resource manager.",
							 "Otherwise, and if kyrodb is not in shared_preload_libraries, they are logged by generic WAL.",
							 &kyro_resource_manager,
							 true,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("kyro.constraint_index_method",
							 "Sets the access method of the indexes of new PRIMARY KEY and UNIQUE constraints.",
							 "With kyro_rmi, those on one column of a type that it supports get such an index.",
							 &kyro_constraint_index_method,
							 KYRO_KEYS_BTREE, key_methods,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomRealVariable("kyro.sample_rate",
							 "Fraction of the look-ups in kyro_rmi indexes that are timed, for kyro.stat_indexes.",
							 "Zero times none.",
							 &kyro_sample_rate,
							 0, 0, 1,
							 PGC_SUSET, 0,
							 NULL, assign_sample_rate, NULL);
	define_autopilot();
#ifdef KYRO_DEBUG_POINTS
	kyro_debug_point_init();
#endif
	MarkGUCPrefixReserved("kyro");
}
