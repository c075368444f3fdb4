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

#include "utils/guc.h"

#include "debug_point.h"
#include "guc.h"

int			kyro_directory_cache = 64 * 1024;

int			kyro_table_cache = 64 * 1024;

bool		kyro_mmap = true;

int			kyro_sealed_load = KYRO_SEALED_LOAD_AUTO;

bool		kyro_resource_manager = true;

int			kyro_constraint_index_method = KYRO_KEYS_BTREE;

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
#ifdef KYRO_DEBUG_POINTS
	kyro_debug_point_init();
#endif
	MarkGUCPrefixReserved("kyro");
}
