/*-------------------------------------------------------------------------
 *
 * shadow.c
 *	  Let the planner learn from kyro_rmi indexes what it learns from btrees.
 *
 * Two things the planner takes, before PostgreSQL 18, from btree indexes only:
 * the proof that a join finds at most one row (join removal, inner-unique
 * joins), which wants a unique index with a btree operator family, and a
 * column's present least and greatest value for selectivity estimates, read
 * from the ends of the index, without which estimates for newly appended keys
 * are far too low.
 *
 * So for each of our indexes a second entry goes into the planner's list, a
 * shadow that says it is a btree of the corresponding operator family but can
 * neither be scanned nor be part of a bitmap nor run in parallel: no path of it
 * is ever kept.  End points are read from the index behind it through the
 * access method interface, as of an index-only scan with SnapshotNonVacuumable
 * and an IS NOT NULL key, in either direction.
 *
 * IDENTIFICATION
 *	  src/hooks/shadow.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_am_d.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"

#include "compat.h"
#include "hooks/hooks.h"
#include "rmi/kyro_rmi.h"

static get_relation_info_hook_type prev_get_relation_info = NULL;

/* The planner makes paths of a shadow before it drops them: spare the sums. */
static void
shadow_cost(PlannerInfo *root, IndexPath *path, double loop_count,
			Cost *startup, Cost *total, Selectivity *selectivity,
			double *correlation, double *pages)
{
	*startup = 0;
	*total = 0;
	*selectivity = 1;
	*correlation = 0;
	*pages = 1;
}

static IndexOptInfo *
make_shadow(const IndexOptInfo *info)
{
	IndexOptInfo *shadow = makeNode(IndexOptInfo);

	/* arrays and lists are shared: the planner only reads them */
	*shadow = *info;
	shadow->relam = BTREE_AM_OID;
	shadow->opfamily = info->sortopfamily;
	shadow->amhasgettuple = false;
	shadow->amhasgetbitmap = false;
	shadow->amcanparallel = false;
	shadow->amoptionalkey = false;	/* no paths without conditions */
	shadow->amcostestimate = kyro_cost_function(shadow_cost);

	/*
	 * Hypothetical indexes serve as proof but are not read.  Where our index
	 * cannot give keys back its end points cannot be read.
	 */
	shadow->hypothetical = info->hypothetical || !info->canreturn[0];
	return shadow;
}

static void
kyro_get_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	List	   *shadows = NIL;
	ListCell   *lc;

	if (prev_get_relation_info)
		prev_get_relation_info(root, relid, inhparent, rel);

	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *info = lfirst_node(IndexOptInfo, lc);

		/* partial indexes prove nothing about the whole table */
		if (rmi_is_index_info(info) && info->relam != BTREE_AM_OID &&
			info->sortopfamily != NULL && info->indpred == NIL)
			shadows = lappend(shadows, make_shadow(info));
	}

	/* behind the real ones: who looks an index up by oid must find those */
	rel->indexlist = list_concat(rel->indexlist, shadows);
}

void
kyro_shadow_init(void)
{
	if (!KYRO_PLANNER_WANTS_BTREE)
		return;
	prev_get_relation_info = get_relation_info_hook;
	get_relation_info_hook = kyro_get_relation_info;
}
