/*-------------------------------------------------------------------------
 *
 * eligible.c
 *	  Which constraints get a kyro_rmi index, and how.
 *
 * The grammar has no USING for PRIMARY KEY and UNIQUE.  Storage parameter
 * kyro_rmi says it instead, or setting kyro.constraint_index_method, which only
 * adds the parameter, so that what was made by either is the same.  In CREATE
 * TABLE the indexes come by as statements of their own, once the table exists;
 * in ALTER TABLE it is the constraint that has a field for the access method.
 *
 * IDENTIFICATION
 *	  src/keys/eligible.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "guc.h"
#include "keys/keys.h"

const char *
keys_type_problem(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return NULL;
		default:
			return psprintf("Its column is of type %s, and kyro_rmi takes bigint, integer, smallint, timestamptz, timestamp and date.",
							format_type_be(type));
	}
}

/* Are there storage parameters that only a btree has? */
static bool
has_foreign_options(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (def->defnamespace != NULL ||
			(strcmp(def->defname, "fillfactor") != 0 && strcmp(def->defname, KEYS_OPTION) != 0))
			return true;
	}
	return false;
}

/* What decides about a constraint. */
typedef struct Candidate
{
	const char *name;			/* of the constraint, or NULL */
	const char *table;
	char		relkind;		/* of its table */
	int			ncolumns;
	bool		including;
	bool		added;			/* at a column that the command adds */
	Oid			type;			/* InvalidOid: unknown, core will tell why */
} Candidate;

static const char *
problem(const Candidate *c)
{
	if (c->ncolumns != 1)
		return "It has more than one column.";
	if (c->including)
		return "It has columns to INCLUDE.";
	if (c->relkind == RELKIND_PARTITIONED_TABLE && c->added)
		return "Its table is partitioned, and a new column is no partition key.";
	return OidIsValid(c->type) ? keys_type_problem(c->type) : NULL;
}

/*
 * Is this constraint to be ours?  Adds the parameter if the setting says so.
 * Raises the reason if it was asked for in vain.
 */
static bool
decide(const Candidate *c, List **options)
{
	const char *why;

	if (!keys_wanted(*options))
	{
		if (list_length(keys_without_option(*options)) < list_length(*options))
		{
			/* the parameter is false: a btree, whatever the setting */
			*options = keys_without_option(*options);
			return false;
		}

		/*
		 * The setting is for new keys.  pg_upgrade's are to be of the method
		 * that the old ones are of, as it puts their files below them.
		 */
		if (kyro_constraint_index_method != KYRO_KEYS_KYRO_RMI || IsBinaryUpgrade ||
			!OidIsValid(keys_am()) || !OidIsValid(c->type) ||
			problem(c) != NULL || has_foreign_options(*options))
			return false;
		*options = lappend(list_copy(*options),
						   makeDefElem(KEYS_OPTION, (Node *) makeString("true"), -1));
		return true;
	}

	(void) get_index_am_oid(KEYS_AM_NAME, false);	/* or its error */
	why = problem(c);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 c->name != NULL ?
				 errmsg("constraint \"%s\" cannot have a kyro_rmi index", c->name) :
				 errmsg("constraint of table \"%s\" cannot have a kyro_rmi index", c->table),
				 errdetail_internal("%s", why)));
	return true;
}

/* The type of a column of a table; InvalidOid if there is none. */
static Oid
column_type(Oid relid, const char *name)
{
	AttrNumber	attnum = get_attnum(relid, name);

	return attnum > 0 ? get_atttype(relid, attnum) : InvalidOid;
}

void
keys_turn_index(IndexStmt *s)
{
	Candidate	c = {0};
	Oid			relid;
	IndexElem  *elem;

	/* CREATE TABLE ... LIKE: a copy is of the same method */
	if (s->transformed && !keys_wanted(s->options))
		return;
	if (!s->isconstraint || s->excludeOpNames != NIL)
		return;

	/*
	 * Of method gist if it is one WITHOUT OVERLAPS: never ours, as it has two
	 * columns.
	 */
	if (strcmp(s->accessMethod, DEFAULT_INDEX_TYPE) != 0 && strcmp(s->accessMethod, "gist") != 0)
		return;
	relid = s->relation ? RangeVarGetRelid(s->relation, NoLock, true) : InvalidOid;
	if (!OidIsValid(relid))
		return;
	elem = linitial_node(IndexElem, s->indexParams);
	c.name = s->idxname;
	c.table = s->relation->relname;
	c.relkind = get_rel_relkind(relid);
	c.ncolumns = list_length(s->indexParams);
	c.including = s->indexIncludingParams != NIL;
	c.type = elem->name != NULL && elem->opclass == NIL ? column_type(relid, elem->name) : InvalidOid;
	if (decide(&c, &s->options))
		s->accessMethod = KEYS_AM_NAME;
}

/* ---- ALTER TABLE ---- */

/* The type that a column to be added will have; InvalidOid if that cannot be told here. */
static Oid
definition_type(const ColumnDef *column)
{
	static const struct
	{
		const char *name;
		Oid			type;
	}			serials[] = {
		{"smallserial", INT2OID}, {"serial2", INT2OID},
		{"serial", INT4OID}, {"serial4", INT4OID},
		{"bigserial", INT8OID}, {"serial8", INT8OID}
	};
	Type		type;
	Oid			result;

	if (column->typeName == NULL)
		return InvalidOid;
	if (list_length(column->typeName->names) == 1 && !OidIsValid(column->typeName->typeOid))
	{
		for (int i = 0; i < (int) lengthof(serials); i++)
		{
			if (strcmp(strVal(linitial(column->typeName->names)), serials[i].name) == 0)
				return serials[i].type;
		}
	}
	type = LookupTypeName(NULL, column->typeName, NULL, true);
	if (type == NULL)
		return InvalidOid;
	result = typeTypeId(type);
	ReleaseSysCache((HeapTuple) type);
	return result;
}

/* The type of a column that the table has, or that the same command adds. */
static Oid
type_after(Oid relid, const char *name, List *commands)
{
	Oid			type = column_type(relid, name);
	ListCell   *lc;

	foreach(lc, commands)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddColumn && strcmp(((ColumnDef *) cmd->def)->colname, name) == 0)
			type = definition_type((ColumnDef *) cmd->def);
		else if (cmd->subtype == AT_AlterColumnType && strcmp(cmd->name, name) == 0)
			type = definition_type((ColumnDef *) cmd->def);
	}
	return type;
}

static void
turn_constraint(Oid relid, Constraint *k, Oid type, bool added)
{
	Candidate	c = {0};

	if ((k->contype != CONSTR_PRIMARY && k->contype != CONSTR_UNIQUE) || k->indexname != NULL || k->access_method != NULL)
		return;
	c.name = k->conname;
	c.table = get_rel_name(relid);
	c.relkind = get_rel_relkind(relid);
	c.ncolumns = Max(list_length(k->keys), 1);	/* a constraint of a column
												 * names none: that is its
												 * column */
	c.including = k->including != NIL;
	c.added = added;
	c.type = type;
	if (decide(&c, &k->options))
		k->access_method = KEYS_AM_NAME;
}

void
keys_turn_constraints(Oid relid, AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddConstraint)
		{
			Constraint *k = castNode(Constraint, cmd->def);
			const char *column = list_length(k->keys) == 1 ? strVal(linitial(k->keys)) : NULL;

			turn_constraint(relid, k, column ? type_after(relid, column, statement->cmds) : InvalidOid, false);
		}
		else if (cmd->subtype == AT_AddColumn && IsA(cmd->def, ColumnDef))
		{
			ColumnDef  *column = (ColumnDef *) cmd->def;
			ListCell   *lc2;

			/*
			 * with IF NOT EXISTS, if the column exists, core skips all of it
			 */
			foreach(lc2, column->constraints)
				turn_constraint(relid, lfirst_node(Constraint, lc2), definition_type(column), true);
		}
	}
}
