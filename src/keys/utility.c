/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  Commands that make, change or name the indexes of constraints.
 *
 * One hook, which looks at the statement, changes a copy of it or does
 * something before and after, and passes it on.  What it does not know, it
 * passes on as it is: then core makes a btree, or refuses storage parameter
 * kyro_rmi.  README has a table of all commands.
 *
 * IDENTIFICATION
 *	  src/keys/utility.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "keys/keys.h"

static ProcessUtility_hook_type prev_ProcessUtility = NULL;

/* A command, to be passed on. */
typedef struct Command
{
	PlannedStmt *statement;
	const char *source;
	bool		read_only;		/* the statement must not be changed */
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *environment;
	DestReceiver *receiver;
	QueryCompletion *completion;
} Command;

static void
pass_on(const Command *c)
{
	ProcessUtility_hook_type next = prev_ProcessUtility ? prev_ProcessUtility : standard_ProcessUtility;

	next(c->statement, c->source, c->read_only, c->context, c->params, c->environment, c->receiver, c->completion);
}

/* A statement of our own to change. */
static void
make_writable(Command *c)
{
	if (c->read_only)
		c->statement = copyObject(c->statement);
	c->read_only = false;
}

/* ---- ALTER TABLE ---- */

static bool
has_command(const AlterTableStmt *statement, AlterTableType type)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype == type)
			return true;
	}
	return false;
}

/* Does it set or reset our storage parameter? */
static bool
changes_option(const AlterTableStmt *statement)
{
	ListCell   *lc,
			   *lc2;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_SetRelOptions && cmd->subtype != AT_ResetRelOptions)
			continue;
		foreach(lc2, (List *) cmd->def)
		{
			if (strcmp(lfirst_node(DefElem, lc2)->defname, KEYS_OPTION) == 0)
				return true;
		}
	}
	return false;
}

/* The storage parameter says what an index is; it cannot be changed by saying so. */
static void
refuse_option(const AlterTableStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);

	if (OidIsValid(relid) && keys_is_ours(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("storage parameter \"%s\" of index \"%s\" cannot be changed",
						KEYS_OPTION, get_rel_name(relid)),
				 errhint("To have a btree index instead, use CALL kyro.restore_btree.")));
}

/*
 * ADD CONSTRAINT ... USING INDEX with an index of ours, which core refuses: do
 * it, if it is all that the command does.
 */
static bool
adopt(Oid relid, AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Constraint *k;
		Oid			index;

		if (cmd->subtype != AT_AddConstraint)
			continue;
		k = castNode(Constraint, cmd->def);
		if ((k->contype != CONSTR_PRIMARY && k->contype != CONSTR_UNIQUE) || k->indexname == NULL)
			continue;
		index = get_relname_relid(k->indexname, get_rel_namespace(relid));
		if (!OidIsValid(index) || !keys_is_ours(index) || IndexGetRelation(index, true) != relid)
			continue;			/* core knows what to say */
		if (list_length(statement->cmds) > 1)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a constraint with kyro_rmi index \"%s\" must be added by a command of its own", k->indexname)));
		keys_adopt(index, k->conname, k->contype == CONSTR_PRIMARY, k->deferrable, k->initdeferred);
		return true;
	}
	return false;
}

/*
 * Pass on a command that we have carried out ourselves, as one that changes
 * nothing of its table, for event triggers and for hooks that are called after
 * ours.
 */
static void
pass_on_done(Command *c)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = AT_SetRelOptions;	/* of which there are none */
	((AlterTableStmt *) c->statement->utilityStmt)->cmds = list_make1(cmd);
	pass_on(c);
}

/* A part of the command, as one of its own. */
static void
pass_on_part(const Command *c, List *commands, bool inherits)
{
	Command		part = *c;
	AlterTableStmt *statement;

	if (commands == NIL)
		return;
	part.statement = copyObject(c->statement);
	statement = (AlterTableStmt *) part.statement->utilityStmt;
	statement->cmds = copyObject(commands);
	statement->relation->inh = inherits;
	pass_on(&part);
	CommandCounterIncrement();
}

/* ADD CONSTRAINT of a partitioned table, with an index of ours: the table's, and then those of its partitions. */
static void
add_partitioned_key(const Command *c, Oid relid, AlterTableCmd *add)
{
	bool		inherits = ((AlterTableStmt *) c->statement->utilityStmt)->relation->inh;
	AlterTableCmd *cmd = copyObject(add);
	Constraint *k = castNode(Constraint, cmd->def);
	List	   *before = keys_indexes(relid);

	if (k->contype == CONSTR_PRIMARY && inherits)
	{
		AlterTableCmd *not_null = makeNode(AlterTableCmd);

		not_null->subtype = AT_SetNotNull;
		not_null->name = strVal(linitial(k->keys));
		pass_on_part(c, list_make1(not_null), true);
	}
	k->access_method = NULL;
	k->options = keys_without_option(k->options);
	pass_on_part(c, list_make1(cmd), false);
	keys_finish_partitioned(relid, before, inherits);
}

/* Is it ADD CONSTRAINT with an index of ours? */
static bool
adds_key(const AlterTableCmd *cmd)
{
	return cmd->subtype == AT_AddConstraint && castNode(Constraint, cmd->def)->access_method != NULL &&
		strcmp(castNode(Constraint, cmd->def)->access_method, KEYS_AM_NAME) == 0;
}

/*
 * ALTER TABLE of a partitioned table which adds constraints with indexes of ours:
 * these one by one, what core does before constraints before them, and other
 * constraints after them, foreign keys among them.  Returns if there are none.
 */
static bool
alter_partitioned(const Command *c, Oid relid)
{
	AlterTableStmt *statement = (AlterTableStmt *) c->statement->utilityStmt;
	List	   *first = NIL,
			   *keys = NIL,
			   *last = NIL,
			   *retyped;
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (adds_key(cmd))
			keys = lappend(keys, cmd);
		else if (cmd->subtype == AT_AddConstraint)
			last = lappend(last, cmd);
		else
			first = lappend(first, cmd);
	}
	if (keys == NIL)
		return false;
	retyped = has_command(statement, AT_AlterColumnType) ? keys_before_retype(relid, statement) : NIL;
	pass_on_part(c, first, statement->relation->inh);
	keys_after_retype(retyped);
	foreach(lc, keys)
		add_partitioned_key(c, relid, lfirst(lc));
	pass_on_part(c, last, statement->relation->inh);
	return true;
}

void
keys_after_alter(AlterTableStmt *statement)
{
	Oid			relid = (has_command(statement, AT_ReplicaIdentity) && OidIsValid(keys_am()) ?
						 RangeVarGetRelid(statement->relation, NoLock, true) : InvalidOid);

	if (!OidIsValid(relid))
		return;
	CommandCounterIncrement();
	keys_settle_identity(relid);
}

/* ALTER INDEX ... ATTACH PARTITION of this index, or InvalidOid. */
static Oid
attached_index(const AlterTableStmt *statement)
{
	return statement->objtype == OBJECT_INDEX && has_command(statement, AT_AttachPartition) ?
		RangeVarGetRelid(((PartitionCmd *) linitial_node(AlterTableCmd, statement->cmds)->def)->name, NoLock, true) : InvalidOid;
}

/*
 * Core compares the operator classes that two indexes show.  Plain ones of which
 * one is a replica identity show different ones: not while they are compared.
 */
static void
attach_index(Command *c)
{
	const AlterTableStmt *statement = (AlterTableStmt *) c->statement->utilityStmt;
	Oid			indexes[] = {RangeVarGetRelid(statement->relation, NoLock, true), attached_index(statement)};
	bool		plain = true;

	for (int i = 0; i < 2; i++)
	{
		Oid			heap = OidIsValid(indexes[i]) ? IndexGetRelation(indexes[i], true) : InvalidOid;

		plain &= OidIsValid(heap) && kyro_owns_relation(heap, GetUserId()) && keys_is_ours(indexes[i]) &&
			!keys_is_key(indexes[i]);
	}
	for (int i = 0; plain && i < 2; i++)
	{
		LockRelationOid(indexes[i], ShareUpdateExclusiveLock);
		keys_unmark(indexes[i]);
	}
	pass_on(c);
	for (int i = 0; plain && i < 2; i++)
		keys_settle(indexes[i]);
}

static void
alter_table(Command *c)
{
	AlterTableStmt *statement = (AlterTableStmt *) c->statement->utilityStmt;
	bool		adds = has_command(statement, AT_AddConstraint) || has_command(statement, AT_AddColumn);
	bool		retypes = has_command(statement, AT_AlterColumnType);
	bool		attaches = has_command(statement, AT_AttachPartition) && statement->objtype == OBJECT_TABLE;
	List	   *keys = NIL;
	Oid			relid;

	if (changes_option(statement))
		refuse_option(statement);
	if (OidIsValid(attached_index(statement)) && OidIsValid(keys_am()))
	{
		attach_index(c);
		return;
	}
	if ((!adds && !retypes && !attaches) || !OidIsValid(keys_am()))
	{
		/* the storage parameter is then core's to refuse */
		pass_on(c);
		keys_after_alter(statement);
		return;
	}

	make_writable(c);
	statement = (AlterTableStmt *) c->statement->utilityStmt;
	/* core does the same with the same lock: looks for it, and at privileges */
	relid = AlterTableLookupRelation(statement, AlterTableGetLockLevel(statement->cmds));
	if (!OidIsValid(relid))
	{
		pass_on(c);				/* IF EXISTS */
		return;
	}
	if (adds)
	{
		if (adopt(relid, statement))
		{
			pass_on_done(c);
			return;
		}
		keys_turn_constraints(relid, statement);
		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE && alter_partitioned(c, relid))
			return;
	}
	if (attaches)
		keys_before_attach(relid, ((PartitionCmd *) linitial_node(AlterTableCmd, statement->cmds)->def)->name);
	if (retypes)
		keys = keys_before_retype(relid, statement);
	pass_on(c);
	keys_after_retype(keys);
	keys_after_alter(statement);
}

/* ---- CREATE INDEX, CREATE TABLE ---- */

/* The partitioned table that a unique index of ours is to be made of, or InvalidOid. */
static Oid
partitioned_target(const IndexStmt *s)
{
	Oid			relid;

	if (!s->unique || s->relation == NULL || s->concurrent || strcmp(s->accessMethod, KEYS_AM_NAME) != 0 ||
		list_length(s->indexParams) != 1 || s->indexIncludingParams != NIL || !OidIsValid(keys_am()))
		return InvalidOid;

	/*
	 * the operator class of an index that is copied; core refuses one that is
	 * named by hand
	 */
	if (linitial_node(IndexElem, s->indexParams)->opclass != NIL && !s->transformed)
		return InvalidOid;

	/*
	 * core does the same with the same lock, if the statement is one of its
	 * own
	 */
	relid = RangeVarGetRelidExtended(s->relation, ShareLock, RVR_MISSING_OK, RangeVarCallbackOwnsRelation, NULL);
	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? relid : InvalidOid;
}

static void
create_index(Command *c)
{
	IndexStmt  *s;
	Oid			relid;
	bool		inherits;
	List	   *before;

	make_writable(c);
	s = (IndexStmt *) c->statement->utilityStmt;
	keys_turn_index(s);
	relid = partitioned_target(s);
	if (!OidIsValid(relid))
	{
		pass_on(c);
		return;
	}
	inherits = s->relation->inh;
	before = keys_indexes(relid);
	keys_as_btree(s);
	pass_on(c);
	keys_finish_partitioned(relid, before, inherits);
}

/* CREATE TABLE ... PARTITION OF ... PARTITION BY. */
static void
create_partition(Command *c)
{
	CreateStmt *s = (CreateStmt *) c->statement->utilityStmt;
	Oid			parent = RangeVarGetRelid(linitial_node(RangeVar, s->inhRelations), NoLock, true);
	RangeVar   *name = copyObject(s->relation);
	List	   *indexes = NIL;

	if (OidIsValid(parent) && OidIsValid(keys_am()) && kyro_owns_relation(parent, GetUserId()))
		indexes = keys_before_partition(parent);
	pass_on(c);
	keys_after_partition(indexes, name);
}

/* ---- the hook ---- */

static void
keys_ProcessUtility(PlannedStmt *statement, const char *source, bool read_only, ProcessUtilityContext context,
					ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver,
					QueryCompletion *completion)
{
	Command		c = {statement, source, read_only, context, params, environment, receiver, completion};
	Node	   *node = statement->utilityStmt;

	/* core refuses what a command may not do, before it locks anything */
	if (XactReadOnly || RecoveryInProgress() || IsInParallelMode())
		pass_on(&c);
	else if (IsA(node, IndexStmt) && ((IndexStmt *) node)->unique)
		create_index(&c);
	else if (IsA(node, CreateStmt) && ((CreateStmt *) node)->partbound != NULL && ((CreateStmt *) node)->partspec != NULL)
		create_partition(&c);
	else if (IsA(node, AlterTableStmt))

		/*
		 * of types, too, which tables are of, and of foreign tables, which
		 * have children
		 */
		alter_table(&c);
	else
		pass_on(&c);
}

void
kyro_keys_init(void)
{
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = keys_ProcessUtility;
}
