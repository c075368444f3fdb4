/*-------------------------------------------------------------------------
 *
 * handler.c
 *	  The access method's face to the server: handler, options, costs.
 *
 * IDENTIFICATION
 *	  src/rmi/handler.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/index_selfuncs.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "patience.h"
#include "rmi/handler.h"
#include "rmi/kyro_rmi.h"

static relopt_kind reloption_kind;

PG_FUNCTION_INFO_V1(kyro_rmi_handler);

Datum
kyro_rmi_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amstrategies = RMI_NSTRATEGIES;
	am->amsupport = BTNProcs;	/* an index may show an operator class of
								 * btree, see src/keys */
	am->amoptsprocnum = 0;
	am->amcanorder = true;
	kyro_order_as_btree(am);
	am->amcanorderbyop = false;
	am->amcanbackward = true;
	am->amcanunique = true;
	am->amcanmulticol = false;
	am->amoptionalkey = true;
	am->amsearcharray = true;
	am->amsearchnulls = true;
	am->amstorage = false;
	am->amclusterable = true;
	am->ampredlocks = false;	/* core locks the whole index for SERIALIZABLE */
	am->amcanparallel = true;
	kyro_can_build_parallel(am);
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = false;
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL | VACUUM_OPTION_PARALLEL_COND_CLEANUP;
	am->amkeytype = InvalidOid;

	am->ambuild = rmi_build;
	am->ambuildempty = rmi_buildempty;
	am->aminsert = rmi_insert;
	am->ambulkdelete = rmi_bulkdelete;
	am->amvacuumcleanup = rmi_vacuumcleanup;
	am->amcanreturn = rmi_canreturn;
	am->amcostestimate = kyro_cost_function(rmi_costestimate);
	am->amoptions = rmi_options;
	am->amproperty = NULL;		/* the flags above say all */
	am->ambuildphasename = rmi_buildphasename;
	am->amvalidate = rmi_validate;
	am->amadjustmembers = NULL; /* operator dependencies as core makes them */
	am->ambeginscan = rmi_beginscan;
	am->amrescan = rmi_rescan;
	am->amgettuple = rmi_gettuple;
	am->amgetbitmap = rmi_getbitmap;
	am->amendscan = rmi_endscan;
	am->ammarkpos = rmi_markpos;
	am->amrestrpos = rmi_restrpos;
	am->amestimateparallelscan = rmi_estimateparallelscan;
	am->aminitparallelscan = rmi_initparallelscan;
	am->amparallelrescan = rmi_parallelrescan;

	PG_RETURN_POINTER(am);
}

/* Called once, when the library is loaded. */
void
rmi_handler_init(void)
{
	reloption_kind = add_reloption_kind();
	add_int_reloption(reloption_kind, "fillfactor",
					  "How full leaf pages are packed by a build, in percent",
					  RMI_DEFAULT_FILLFACTOR, RMI_ALLOWED_FILLFACTOR, 100,
					  ShareUpdateExclusiveLock);
	add_bool_reloption(reloption_kind, "kyro_rmi",
					   "Says of a constraint that its index is a kyro_rmi index",
					   false, AccessExclusiveLock);
}

bytea *
rmi_options(Datum reloptions, bool validate)
{
	static const relopt_parse_elt tab[] = {
		{.optname = "fillfactor", .opttype = RELOPT_TYPE_INT, .offset = offsetof(RmiOptions, fillfactor)},
		{.optname = "kyro_rmi", .opttype = RELOPT_TYPE_BOOL, .offset = offsetof(RmiOptions, kyro_rmi)},
	};

	RmiOptions *options = build_reloptions(reloptions, validate, reloption_kind,
										   sizeof(RmiOptions), tab, lengthof(tab));

	if (validate && options != NULL && options->fillfactor < RMI_MIN_FILLFACTOR)
		ereport(NOTICE,
				(errmsg("fillfactor %d is taken as %d by access method \"kyro_rmi\"",
						options->fillfactor, RMI_MIN_FILLFACTOR)));
	return (bytea *) options;
}

/*
 * nbtree's estimate fits: same order, same quals, same correlation.  It charges
 * a descent by tree height only where there is one (ours is -1) and pages by
 * the size of the index, which is where we differ.  What is left to add is
 * one leaf page per descent.
 */
void
rmi_costestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup, Cost *total, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	Cost		descent = 25.0 * cpu_operator_cost;

	btcostestimate(root, path, loop_count, startup, total, selectivity, correlation, pages);
	*startup += descent;
	*total += descent;
}

bool
rmi_is_index(Relation index)
{
	return index->rd_indam != NULL && index->rd_indam->ambuild == rmi_build;
}

bool
rmi_is_index_info(const IndexOptInfo *info)
{
	return info->amcostestimate == kyro_cost_function(rmi_costestimate);
}

Relation
rmi_open_for_function(Oid indexoid, LOCKMODE lockmode, bool need_owner, Relation *heap)
{
	char		relkind = get_rel_relkind(indexoid);
	Oid			heapoid;
	Relation	index;

	/* nobody gets a lock on what he may not touch */
	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", indexoid)));
	if (relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" is partitioned", get_rel_name(indexoid)),
				 errhint("Name the index of one of its partitions.")));
	if (relkind != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a kyro_rmi index", get_rel_name(indexoid))));
	if (need_owner && !kyro_owns_relation(indexoid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, get_rel_name(indexoid));

	/* table before index, as everybody does */
	heapoid = IndexGetRelation(indexoid, true);
	if (OidIsValid(heapoid) && lockmode == ShareUpdateExclusiveLock)
		kyro_lock_patiently(heapoid, lockmode, "rebuild an index of it");
	*heap = OidIsValid(heapoid) ? try_table_open(heapoid, lockmode) : NULL;
	index = try_relation_open(indexoid, lockmode);
	if (index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", indexoid)));
	if (!rmi_is_index(index))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a kyro_rmi index", RelationGetRelationName(index))));
	if (*heap == NULL || IndexGetRelation(indexoid, true) != heapoid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table of index \"%s\" was dropped meanwhile",
						RelationGetRelationName(index))));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions")));
	/* its file is empty there */
	if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot access unlogged indexes during recovery")));
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	return index;
}
