/*-------------------------------------------------------------------------
 *
 * kyrodb.c
 *	  Start-up of the library.
 *
 * IDENTIFICATION
 *	  src/kyrodb.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "guc.h"
#include "hooks/hooks.h"
#include "rmi/handler.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	kyro_guc_init();
	rmi_handler_init();
	kyro_onconflict_init();
	kyro_shadow_init();
}
