/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  CALL kyro.replace_btree and kyro.restore_btree: exchange the indexes of a
 *	  table for others, while it is used.
 *
 * For each index: build another one concurrently, check it, swap them, drop the
 * old one concurrently.  Of a partitioned index first those of all partitions are
 * built, then all are swapped and the partitioned indexes turned in one
 * transaction, for all indexes of a tree are of one method.  These are commands and transactions of their own, run
 * by a procedure as the server runs those of a client.  Where it stops, by an
 * error, a cancel or a crash, it goes on when it is called again: what has been
 * done is seen from the catalogs, and from the name of the other index.
 *
 * IDENTIFICATION
 *	  src/keys/exchange.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "debug_point.h"
#include "keys/keys.h"

/* ---- commands and transactions of our own ---- */

/* A snapshot for what is done in this transaction until it ends. */
static void
begin_work(void)
{
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_work(MemoryContext context)
{
	/* a command of several transactions has already dropped the snapshot */
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	CommitTransactionCommand();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
}

/*
 * A command that cannot run inside a transaction block, as if a client had sent it.
 * Event triggers see it, hooks do not: they have seen the CALL that it is part of,
 * and some (pgaudit's) stop at a client's command that begins inside of another.
 */
static void
run(MemoryContext context, const char *command)
{
	RawStmt    *raw = linitial_node(RawStmt, pg_parse_query(command));
	PlannedStmt *statement = makeNode(PlannedStmt);

	statement->commandType = CMD_UTILITY;
	statement->utilityStmt = raw->stmt;
	statement->stmt_location = raw->stmt_location;
	statement->stmt_len = raw->stmt_len;

	begin_work();
	standard_ProcessUtility(statement, command, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver, NULL);
	end_work(context);
}

/* ---- what there is ---- */

/* An index to be exchanged. */
typedef struct Exchange
{
	Oid			heap;
	Oid			index;			/* the index whose name stays */
	char	   *name;			/* qualified and quoted */
	char	   *other;			/* name of the index that is made, or left
								 * over; not qualified */
	char	   *create;			/* how to make it */
	Oid			method;			/* of the index that is wanted */
	int64		bytes;			/* of the index as it was */
} Exchange;

static char *
qualified(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

/* CREATE INDEX CONCURRENTLY, for one that can take the place of this. */
static char *
creation(Relation index, const char *name, Oid method)
{
	Oid			heap = index->rd_index->indrelid;
	List	   *predicate = RelationGetIndexPredicate(index);
	char	   *key = pg_get_indexdef_columns(RelationGetRelid(index), false);
	int			fillfactor = keys_fillfactor(RelationGetRelid(index));
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfo(&s, "CREATE %sINDEX CONCURRENTLY %s ON %s USING %s (%s)",
					 index->rd_index->indisunique ? "UNIQUE " : "", quote_identifier(name), qualified(heap),
					 method == BTREE_AM_OID ? "btree" : KEYS_AM_NAME, key);
	if (index->rd_index->indnullsnotdistinct)
		appendStringInfoString(&s, " NULLS NOT DISTINCT");
	if (fillfactor > 0)
		appendStringInfo(&s, " WITH (fillfactor = %d)", fillfactor);
	/* always named, since default_tablespace would decide otherwise */
	appendStringInfo(&s, " TABLESPACE %s",
					 quote_identifier(get_tablespace_name(OidIsValid(index->rd_rel->reltablespace) ?
														  index->rd_rel->reltablespace : MyDatabaseTableSpace)));
	if (predicate != NIL)
		appendStringInfo(&s, " WHERE %s",
						 deparse_expression((Node *) make_ands_explicit(predicate),
											deparse_context_for(get_rel_name(heap), heap), false, false));
	return s.data;
}

/*
 * Why this index cannot be exchanged for one of the other method, or NULL.
 */
static const char *
problem(Relation index)
{
	const char *why = keys_unfit(index, true);

	if (why == NULL && index->rd_rel->relam != BTREE_AM_OID && index->rd_rel->relam != keys_am())
		why = "It is neither a btree nor a kyro_rmi index.";
	if (why == NULL && !index->rd_index->indimmediate)
		why = "Its constraint is deferrable, and another unique index would check at once.";
	if (why == NULL && index->rd_rel->relispartition)
		why = "It is attached to a partitioned index: name that, or its table.";
	if (why == NULL && index->rd_index->indnkeyatts != index->rd_index->indnatts)
		why = "It has columns to INCLUDE.";
	if (why == NULL)
		why = keys_type_problem(TupleDescAttr(RelationGetDescr(index), 0)->atttypid);
	if (why == NULL && index->rd_rel->relam == BTREE_AM_OID && index->rd_opfamily[0] != keys_btree_family(index->rd_opcintype[0]))
		why = "It has an operator class of its own.";
	if (why == NULL && index->rd_indoption[0] != 0)
		why = "It is in descending order, or has NULLs first.";
	return why;
}

/*
 * The name of the other index.  Names of partitions tend to differ at their
 * ends, so a hash stands for what is cut off.
 */
static char *
other_of(const char *name)
{
	char		hash[9];

	if (strlen(name) + strlen("_exchange") < NAMEDATALEN)
		return makeObjectName(name, NULL, "exchange");
	snprintf(hash, sizeof(hash), "%08x", DatumGetUInt32(hash_any((const unsigned char *) name, strlen(name))));
	return makeObjectName(name, hash, "exchange");
}

/* The index as an Exchange, in the current context. */
static Exchange *
describe(Relation index, Oid method)
{
	Exchange   *e = palloc(sizeof(Exchange));

	e->heap = index->rd_index->indrelid;
	e->index = RelationGetRelid(index);
	e->name = qualified(e->index);
	e->other = other_of(RelationGetRelationName(index));
	e->create = creation(index, e->other, method);
	e->method = method;
	e->bytes = (int64) RelationGetNumberOfBlocks(index) * BLCKSZ;
	return e;
}

/*
 * Has an exchange made this index, to take another one's place?  Then that
 * other one is dealt with.
 */
static bool
is_other(Relation heap, Oid index)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(heap))
	{
		if (lfirst_oid(lc) != index &&
			strcmp(other_of(get_rel_name(lfirst_oid(lc))), get_rel_name(index)) == 0)
			return true;
	}
	return false;
}

/* REFRESH MATERIALIZED VIEW CONCURRENTLY takes a unique btree: it goes only if it is named. */
static bool
is_for_refresh(Relation heap, Relation index, Oid method)
{
	return KYRO_KEYS_SHOW_BTREE && method != BTREE_AM_OID && heap->rd_rel->relkind == RELKIND_MATVIEW &&
		index->rd_index->indisunique && index->rd_rel->relam == BTREE_AM_OID;
}

/*
 * What is to be exchanged, or to be cleaned up after an exchange that was
 * stopped.
 */
typedef struct Work
{
	Oid			only;			/* the index that was named, or InvalidOid */
	Oid			method;
	List	   *trees;			/* oids of partitioned indexes */
	List	   *single;			/* Exchange, of others */
} Work;

/*
 * Add an index to the work.  If it cannot be exchanged that is an error if it
 * was named, and otherwise a NOTICE.
 */
static void
consider(Relation heap, Relation index, Work *work)
{
	const char *why = problem(index);

	if (why == NULL && !OidIsValid(work->only) && is_for_refresh(heap, index, work->method))
		ereport(NOTICE,
				(errmsg("index \"%s\" stays a btree", RelationGetRelationName(index)),
				 errdetail("REFRESH MATERIALIZED VIEW CONCURRENTLY needs a unique btree."),
				 errhint("To exchange it all the same, name it.")));
	else if (why == NULL && index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		work->trees = lappend_oid(work->trees, RelationGetRelid(index));
	else if (why == NULL)
		work->single = lappend(work->single, describe(index, work->method));
	else if (OidIsValid(work->only))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" cannot be exchanged", RelationGetRelationName(index)),
				 errdetail_internal("%s", why)));
	else if (index->rd_rel->relam != work->method)
		ereport(NOTICE,
				(errmsg("index \"%s\" stays what it is", RelationGetRelationName(index)),
				 errdetail_internal("%s", why)));
}

/*
 * The indexes of a table, and of its partitions those that are not attached, or
 * only one index.  Raises 0A000 with the reason if that cannot be, 42501 if
 * somebody else owns a table.
 */
static void
collect(Oid root, Work *work)
{
	bool		partitioned = get_rel_relkind(root) == RELKIND_PARTITIONED_TABLE;
	List	   *tables = partitioned ? find_all_inheritors(root, AccessShareLock, NULL) : list_make1_oid(root);
	ListCell   *lc,
			   *lc2;

	foreach(lc, tables)
	{
		Relation	heap;
		List	   *indexes;

		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			continue;
		keys_check_owner(lfirst_oid(lc));
		heap = table_open(lfirst_oid(lc), AccessShareLock);
		indexes = RelationGetIndexList(heap);
		foreach(lc2, indexes)
		{
			Relation	index;

			if (OidIsValid(work->only) ? lfirst_oid(lc2) != work->only : is_other(heap, lfirst_oid(lc2)))
				continue;
			index = index_open(lfirst_oid(lc2), AccessShareLock);
			/* those of partitions go with the tree's */
			if (lfirst_oid(lc) == root || !index->rd_rel->relispartition)
				consider(heap, index, work);
			index_close(index, AccessShareLock);
		}
		table_close(heap, AccessShareLock);
	}
}

/* ---- the steps ---- */

typedef enum State
{
	TO_BUILD,					/* nothing is there yet */
	TO_DISCARD,					/* a build was stopped: its index is invalid */
	TO_SWAP,					/* the other index is there */
	TO_DROP,					/* the other index is the old one */
	DONE
} State;

/* How far has its exchange come?  The catalogs tell. */
static State
look(const Exchange *e)
{
	Relation	index = index_open(e->index, AccessShareLock);
	bool		wanted = index->rd_rel->relam == e->method;
	Oid			otheroid = get_relname_relid(e->other, RelationGetNamespace(index));
	Relation	other = NULL;
	State		state;

	if (!OidIsValid(otheroid))
		state = wanted ? DONE : TO_BUILD;
	else
	{
		const char *why = "It is not an index of the same table.";

		if (get_rel_relkind(otheroid) == RELKIND_INDEX && IndexGetRelation(otheroid, true) == e->heap)
		{
			other = index_open(otheroid, AccessShareLock);
			why = keys_differs(index, other);
			if (why == NULL && other->rd_rel->relam == index->rd_rel->relam)
				why = "It is of the same access method.";
		}
		if (why != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_TABLE),
					 errmsg("relation \"%s\" is in the way of an exchange of index %s", e->other, e->name),
					 errdetail_internal("%s", why),
					 errhint("Rename or drop it.")));
		if (wanted)
			state = TO_DROP;
		else
			state = other->rd_index->indisvalid ? TO_SWAP : TO_DISCARD;
		index_close(other, AccessShareLock);
	}
	index_close(index, AccessShareLock);
	return state;
}

static char *
other_name(const Exchange *e)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(e->heap)), e->other);
}

/* Verify the new index against the table, if it is one of ours. */
static void
check(const Exchange *e)
{
	char	   *query;

	if (e->method == BTREE_AM_OID)
		return;
	query = psprintf("SELECT problem FROM kyro.verify(%s::pg_catalog.regclass, deep => true) LIMIT 1",
					 quote_literal_cstr(other_name(e)));
	SPI_connect();
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", query);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the new index for %s is not sound", e->name),
				 errdetail_internal("%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errhint("The old index stays in place. DROP INDEX %s, and look for what damaged it.", other_name(e))));
	SPI_finish();
}

static void
swap(Exchange *e)
{
	Oid			other = get_relname_relid(e->other, get_rel_namespace(e->heap));

	if (!OidIsValid(other))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index \"%s\" was dropped meanwhile", e->other)));
	keys_swap(e->index, other, 0);
	e->index = other;
}

/* Of an index, in bytes. */
static int64
size(Oid indexoid)
{
	Relation	index = index_open(indexoid, AccessShareLock);
	int64		bytes = (int64) RelationGetNumberOfBlocks(index) * BLCKSZ;

	index_close(index, AccessShareLock);
	return bytes;
}

static char *
pretty(int64 bytes)
{
	return text_to_cstring(DatumGetTextP(DirectFunctionCall1(pg_size_pretty, Int64GetDatum(bytes))));
}

static void
tell(const Exchange *e)
{
	ereport(NOTICE,
			(errmsg("index %s is a %s index now, of %s instead of %s", e->name,
					e->method == BTREE_AM_OID ? "btree" : KEYS_AM_NAME, pretty(size(e->index)), pretty(e->bytes))));
}

/* number, total: of the partitions of a partitioned index; total 0 otherwise. */
static void
build(const Exchange *e, int number, int total, MemoryContext context)
{
	ereport(NOTICE,
			(errmsg("building index \"%s\" to take the place of %s", e->other, e->name),
			 total > 0 ? errdetail("Partition %d of %d.", number, total) : 0));
	run(context, e->create);
	DEBUG_POINT("keys-built");
}

/*
 * The unfinished one, or the old one.  Before that: whoever plans INSERT ... ON CONFLICT
 * ON CONSTRAINT may have looked up the index of the constraint before the exchange, and
 * comes to look at it only now; it must be valid then.  He has the table locked.
 */
static void
drop(const Exchange *e, bool was_swapped, MemoryContext context)
{
	if (was_swapped)
	{
		LOCKTAG		tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, e->heap);
		WaitForLockers(tag, ShareLock, false);
	}
	run(context, psprintf("DROP INDEX CONCURRENTLY %s", other_name(e)));
}

static State
look_now(const Exchange *e, MemoryContext context)
{
	State		state;

	CHECK_FOR_INTERRUPTS();
	begin_work();
	state = look(e);
	end_work(context);
	return state;
}

static void
check_now(const Exchange *e, MemoryContext context)
{
	begin_work();
	check(e);
	end_work(context);
	DEBUG_POINT("keys-checked");
}

/* Exchange one index, going on from where an earlier try was stopped. */
static void
exchange(Exchange *e, MemoryContext context)
{
	bool		swapped = false;

	for (;;)
	{
		switch (look_now(e, context))
		{
			case TO_DISCARD:
				drop(e, false, context);
				break;
			case TO_DROP:
				drop(e, true, context);
				break;
			case TO_BUILD:
				build(e, 0, 0, context);
				break;
			case TO_SWAP:
				check_now(e, context);
				begin_work();
				swap(e);
				end_work(context);
				swapped = true;
				DEBUG_POINT("keys-swapped");
				break;
			case DONE:
				if (swapped)
				{
					begin_work();
					tell(e);
					end_work(context);
				}
				return;
		}
	}
}

/* ---- partitioned indexes ---- */

/*
 * The indexes of the partitions below a partitioned index, as Exchange in this
 * context.  Is the tree of the wanted method?
 */
static bool
look_at_tree(Oid root, Oid method, MemoryContext context, List **leaves)
{
	Relation	index;
	List	   *indexes;
	ListCell   *lc;
	bool		wanted;

	*leaves = NIL;
	begin_work();
	(void) find_all_inheritors(IndexGetRelation(root, false), AccessShareLock, NULL);
	index = index_open(root, AccessShareLock);
	wanted = index->rd_rel->relam == method;
	index_close(index, AccessShareLock);
	indexes = find_all_inheritors(root, NoLock, NULL);
	foreach(lc, indexes)
	{
		MemoryContext oldcontext;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_INDEX)
			continue;
		keys_check_owner(IndexGetRelation(lfirst_oid(lc), false));
		index = index_open(lfirst_oid(lc), AccessShareLock);
		oldcontext = MemoryContextSwitchTo(context);
		*leaves = lappend(*leaves, describe(index, method));
		MemoryContextSwitchTo(oldcontext);
		index_close(index, AccessShareLock);
	}
	end_work(context);
	return wanted;
}

/*
 * Swap all at once.  Returns whether it was done: not if partitions, or indexes,
 * have come or gone meanwhile.
 */
static bool
swap_tree(Oid root, List *leaves, Oid method)
{
	List	   *others = NIL;
	ListCell   *lc;

	foreach(lc, leaves)
	{
		Exchange   *e = lfirst(lc);
		Oid			other = get_relname_relid(e->other, get_rel_namespace(e->heap));

		if (!OidIsValid(other))
			return false;
		others = lappend_oid(others, other);
	}
	return keys_swap_tree(root, others, method, 0);
}

/*
 * Exchange a partitioned index, going on from where an earlier try was
 * stopped.
 */
static void
exchange_tree(Oid root, Oid method, MemoryContext context)
{
	List	   *leaves;
	List	   *checked = NIL;	/* names */
	ListCell   *lc;

	while (!look_at_tree(root, method, context, &leaves))
	{
		bool		ready = true;
		int			n = 0;

		foreach(lc, leaves)
		{
			Exchange   *e = lfirst(lc);

			n++;
			switch (look_now(e, context))
			{
				case TO_DISCARD:
					drop(e, false, context);
					ready = false;
					break;
				case TO_BUILD:
					build(e, n, list_length(leaves), context);
					ready = false;
					break;
				case TO_SWAP:
					if (!list_member(checked, makeString(e->other)))
						check_now(e, context);
					checked = lappend(checked, makeString(e->other));
					break;
				case TO_DROP:
				case DONE:
					ereport(ERROR,
							(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							 errmsg("index %s is not of the access method of the index it is attached to", e->name)));
			}
		}
		if (!ready)
			continue;
		begin_work();
		(void) swap_tree(root, leaves, method);
		end_work(context);
		DEBUG_POINT("keys-swapped");
	}
	foreach(lc, leaves)
	{
		Exchange   *e = lfirst(lc);

		if (look_now(e, context) != TO_DROP)
			continue;
		begin_work();
		e->bytes = size(get_relname_relid(e->other, get_rel_namespace(e->heap)));
		end_work(context);
		drop(e, true, context);
		begin_work();
		tell(e);
		end_work(context);
	}
}

/* ---- SQL ---- */

/* The table whose indexes are meant, and the index if it is only one; raises 42501 or 42809. */
static void
resolve(Oid relation, Oid *heap, Oid *only)
{
	switch (get_rel_relkind(relation))
	{
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
		case RELKIND_PARTITIONED_TABLE:
			*heap = relation;
			*only = InvalidOid;
			break;
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			*heap = IndexGetRelation(relation, false);
			*only = relation;
			break;
		case '\0':
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", relation)));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a table, materialized view or index", get_rel_name(relation))));
	}
	keys_check_owner(*heap);
}

static void
exchange_all(FunctionCallInfo fcinfo, const char *command, Oid method)
{
	Oid			relation,
				heap;
	MemoryContext context;
	Work		work = {.method = method};
	ListCell   *lc;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	relation = PG_GETARG_OID(0);
	PreventInTransactionBlock(IsA(fcinfo->context, CallContext) &&
							  !((CallContext *) fcinfo->context)->atomic &&
							  !SPI_inside_nonatomic_context(), command);
	PreventCommandIfReadOnly(command);
	PreventCommandDuringRecovery(command);
	resolve(relation, &heap, &work.only);

	context = AllocSetContextCreate(PortalContext, "exchange of indexes", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	collect(heap, &work);

	/* the snapshot of the procedure's call would outlive its transaction */
	ForgetPortalSnapshots();
	CommitTransactionCommand();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);

	foreach(lc, work.trees)
		exchange_tree(lfirst_oid(lc), method, context);
	foreach(lc, work.single)
		exchange(lfirst(lc), context);

	MemoryContextSwitchTo(PortalContext);
	MemoryContextDelete(context);
}

PG_FUNCTION_INFO_V1(kyro_replace_btree);

/*
 * kyro.replace_btree(relation regclass): exchange the btrees of a table that can
 * be, or one index, for kyro_rmi indexes.  The owner's, not in a transaction
 * block.
 */
Datum
kyro_replace_btree(PG_FUNCTION_ARGS)
{
	exchange_all(fcinfo, "CALL kyro.replace_btree", keys_am());
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(kyro_restore_btree);

/* kyro.restore_btree(relation regclass): the same the other way. */
Datum
kyro_restore_btree(PG_FUNCTION_ARGS)
{
	exchange_all(fcinfo, "CALL kyro.restore_btree", BTREE_AM_OID);
	PG_RETURN_VOID();
}
