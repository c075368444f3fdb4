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
#include "keys/keys.h"
#include "rmi/dirshare.h"
#include "rmi/handler.h"
#include "rmi/kyro_rmi.h"
#include "store/handler.h"
#include "store/store.h"
#include "usage/usage.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

static const StoreBulkInsert rmi_bulk = {
	.is_mine = rmi_is_index,
	.begin = rmi_bulk_begin,
	.put = rmi_bulk_put,
	.finish = rmi_bulk_finish
};

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	kyro_guc_init();
	usage_init();
	rmi_handler_init();
	rmi_rmgr_init();
	rmi_share_init();
	rmi_checked_init();
	store_handler_init();
	store_set_bulk_insert(&rmi_bulk);
	kyro_onconflict_init();
	kyro_shadow_init();
	kyro_rowcompare_init();
	kyro_foreign_key_init();
	kyro_ddl_init();
	/* around ddl.c: exchanges indexes when foreign keys have found theirs */
	kyro_keys_init();
	rmi_set_after_build(keys_after_build);
	kyro_worker_init();
}
