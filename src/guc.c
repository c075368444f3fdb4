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

#include "guc.h"

int			kyro_directory_cache = 64 * 1024;

void
kyro_guc_init(void)
{
	DefineCustomIntVariable("kyro.directory_cache",
							"Sets the memory a session may use for copies of learned index directories.",
							"An index whose directory is larger is read through its shared pages.",
							&kyro_directory_cache,
							64 * 1024, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	MarkGUCPrefixReserved("kyro");
}
