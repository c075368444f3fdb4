/*-------------------------------------------------------------------------
 *
 * rowcompare.c
 *	  Use the first column of a row comparison as an index condition.
 *
 * WHERE (a, b) > (x, y) implies a >= x.  The planner derives that for btrees
 * only, so that pagination by key, ORDER BY a, b LIMIT n, would read a
 * kyro_rmi index from its end.
 *
 * The derivation itself suits any operator family whose strategies are
 * numbered as btree's are, and ours are: it takes the member <= or >= of the
 * same two types.  So when a table's paths have been made, and one of its
 * conditions compares a row that begins with the column of a kyro_rmi index,
 * the planner is asked once more for index paths, with entries for such
 * indexes that say they are btrees but keep their own operator family.  What
 * comes back are ordinary index paths, with the bound as a lossy condition:
 * the row comparison remains a filter, its selectivity is not counted twice,
 * and parameters, partitions, bitmaps, joins and parallel scans are treated
 * as anywhere.  They take the place of the paths without the bound, except of
 * those with conditions from joins: equivalence classes do not match such an
 * entry, so who is cheaper stays.
 *
 * Only a scan by a whole row comparison must not come out of it, since the
 * executor gives those to btrees only.  It would need a second column of the
 * comparison that is the index's as well, as in (a, a) > (x, y): such indexes
 * are left out.
 *
 * IDENTIFICATION
 *	  src/hooks/rowcompare.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/paths.h"
#include "optimizer/pathnode.h"

#include "hooks/hooks.h"
#include "rmi/kyro_rmi.h"

static set_rel_pathlist_hook_type prev_set_rel_pathlist = NULL;

/* What the row comparisons in a table's conditions say of an index. */
typedef struct RowCompareUse
{
	IndexOptInfo *index;
	bool		first;			/* its column begins one of them */
	bool		again;			/* and the column comes again in the same
								 * comparison */
} RowCompareUse;

static void
look_at_side(RowCompareUse *use, List *args)
{
	bool		first = match_index_to_operand((Node *) linitial(args), 0, use->index);

	use->first |= first;
	for (int i = 1; first && i < list_length(args); i++)
		use->again |= match_index_to_operand((Node *) list_nth(args, i), 0, use->index);
}

static bool
look_at_clause(Node *node, RowCompareUse *use)
{
	if (node == NULL)
		return false;
	if (IsA(node, RowCompareExpr))
	{
		look_at_side(use, ((RowCompareExpr *) node)->largs);
		look_at_side(use, ((RowCompareExpr *) node)->rargs);
	}
	return expression_tree_walker(node, look_at_clause, use);
}

static bool
has_row_compare(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, RowCompareExpr) || expression_tree_walker(node, has_row_compare, context);
}

/* The conditions on the table alone and with others that have a row comparison. */
static List *
row_compare_clauses(RelOptInfo *rel)
{
	List	   *lists[] = {rel->baserestrictinfo, rel->joininfo};
	List	   *clauses = NIL;

	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		ListCell   *lc;

		foreach(lc, lists[i])
		{
			Node	   *clause = (Node *) lfirst_node(RestrictInfo, lc)->clause;

			if (has_row_compare(clause, NULL))
				clauses = lappend(clauses, clause);
		}
	}
	return clauses;
}

/* Can a row comparison use the index? */
static bool
fits_row_compare(IndexOptInfo *index, List *clauses)
{
	RowCompareUse use = {.index = index};

	/* shadows (shadow.c) say that they are btrees */
	if (!rmi_is_index_info(index) || index->relam == BTREE_AM_OID)
		return false;
	(void) look_at_clause((Node *) clauses, &use);
	return use.first && !use.again;
}

static IndexOptInfo *
make_stand_in(const IndexOptInfo *index)
{
	IndexOptInfo *stand_in = makeNode(IndexOptInfo);

	/* arrays and lists are shared: the planner only reads them */
	*stand_in = *index;
	stand_in->relam = BTREE_AM_OID;
	stand_in->hypothetical = true;	/* its end points are not to be read */
	return stand_in;
}

/*
 * Paths of the index by conditions of its table alone: its stand-in will have
 * one for each, with the same conditions and the bound.
 */
static List *
without_plain_paths(List *paths, const IndexOptInfo *index)
{
	ListCell   *lc;

	foreach(lc, paths)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (IsA(path, IndexPath) && path->param_info == NULL &&
			((IndexPath *) path)->indexinfo == index)
			paths = foreach_delete_current(paths, lc);
	}
	return paths;
}

static void
kyro_set_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	List	   *clauses,
			   *own,
			   *indexes = NIL;
	bool		any = false;
	ListCell   *lc;

	if (prev_set_rel_pathlist)
		prev_set_rel_pathlist(root, rel, rti, rte);

	/* tables whose index paths the planner has just made */
	if (rte->rtekind != RTE_RELATION || rte->inh || rte->tablesample != NULL ||
		(rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_MATVIEW) ||
		rel->indexlist == NIL || IS_DUMMY_REL(rel))
		return;

	clauses = row_compare_clauses(rel);
	if (clauses == NIL)
		return;

	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, lc);

		if (fits_row_compare(index, clauses))
		{
			rel->pathlist = without_plain_paths(rel->pathlist, index);
			rel->partial_pathlist = without_plain_paths(rel->partial_pathlist, index);
			index = make_stand_in(index);
			any = true;
		}
		indexes = lappend(indexes, index);
	}
	if (!any)
		return;

	/* with the others, which it may be combined with in a bitmap */
	own = rel->indexlist;
	rel->indexlist = indexes;
	create_index_paths(root, rel);
	rel->indexlist = own;

	/* the cheapest are chosen by our caller, when Gather paths are there too */
}

void
kyro_rowcompare_init(void)
{
	prev_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = kyro_set_rel_pathlist;
}
