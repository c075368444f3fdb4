/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  kyro_rmi indexes as the indexes of PRIMARY KEY and UNIQUE constraints.
 *	  README has the design.
 *
 * IDENTIFICATION
 *	  src/keys/keys.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_KEYS_H
#define KYRO_KEYS_H

#include "catalog/pg_index.h"
#include "nodes/parsenodes.h"
#include "utils/relcache.h"

struct IndexInfo;

#define KEYS_AM_NAME	"kyro_rmi"
/* The storage parameter that says of a constraint that its index is ours. */
#define KEYS_OPTION		"kyro_rmi"

/* From _PG_init(): hooks into utility commands. */
extern void kyro_keys_init(void);

/* --- mark.c: what tells the index of a constraint from other indexes ------- */

/* The indexes of a table that is locked; a copy. */
extern List *keys_indexes(Oid relid);

/* The access method's oid; InvalidOid if the extension is not in this database. */
extern Oid	keys_am(void);

/* Is it an index, or a partitioned one, of our access method? */
extern bool keys_is_ours(Oid index);

/* Is it the index of a PRIMARY KEY or UNIQUE constraint? */
extern bool keys_is_key(Oid index);

/* Does this list of storage parameters (DefElem) hold ours, as true? */
extern bool keys_wanted(List *options);

/* The fillfactor that was asked for of an index; 0 if none was. */
extern int	keys_fillfactor(Oid index);

/* The same list without it, a copy. */
extern List *keys_without_option(List *options);

/*
 * Give an index of ours all that the index of a constraint has: the storage
 * parameter, and before PostgreSQL 18 a btree operator class to show, with the
 * dependencies that come with it.  Idempotent.  The caller holds a lock on the
 * index that excludes other changes of its catalog rows.  Ends with
 * CommandCounterIncrement().
 */
extern void keys_mark(Oid index);

/*
 * Take all that away again: it is a plain index then, with its own operator
 * class.
 */
extern void keys_unmark(Oid index);

/*
 * Give any index what its present role needs.  The index of REPLICA IDENTITY
 * shows a btree operator class, too.  The same lock and end as above.
 */
extern void keys_settle(Oid index);

/* The same of all unique indexes of ours of a locked table that are no keys. */
extern void keys_settle_identity(Oid relid);

/*
 * Turn a partitioned index to another method, btree or ours, with the default
 * operator class of that.  Its partitions are the caller's concern.  Takes
 * ShareUpdateExclusiveLock on the index.  Ends with CommandCounterIncrement().
 */
extern void keys_set_method(Oid index, Oid am);

/* At the end of a build, from the access method: mark it if it belongs to a constraint. */
extern void keys_after_build(Relation heap, Relation index, struct IndexInfo *info);

/* The btree operator family that orders a key type as we do; InvalidOid if it is not one of ours. */
extern Oid	keys_btree_family(Oid type);

/* The operator families of an open index's columns, and btree's where it is ours. */
extern void keys_families(Relation index, Oid *families);

/*
 * What is wrong with the catalog rows of an index of ours, or NULL: option,
 * class, dependencies.  palloc'd.
 */
extern char *keys_problem(Oid index);

/* --- eligible.c: which constraints, and how one is turned to our method ------- */

/* Why kyro_rmi has no keys of this type, or NULL.  Domains are their base type. */
extern const char *keys_type_problem(Oid type);

/*
 * An index that CREATE TABLE makes for a PRIMARY KEY or UNIQUE constraint, the
 * table being there: let it be ours if its storage parameters or the setting
 * say so.  Raises 0A000 with the reason if that was asked for and cannot be.
 */
extern void keys_turn_index(IndexStmt *statement);

/* The same of the constraints that ALTER TABLE adds to a table; commands of its own copy. */
extern void keys_turn_constraints(Oid relid, AlterTableStmt *statement);

/* --- utility.c ---------------------------------------------------------------- */

/*
 * At the end of ALTER TABLE, its lock being held: what a change of REPLICA IDENTITY
 * asks for.  From the hook, or an event trigger where the hook was too late.
 */
extern void keys_after_alter(AlterTableStmt *statement);

/* --- retype.c: ALTER COLUMN TYPE ---------------------------------------------- */

/*
 * Core makes the indexes of constraints anew from their text, as btrees.  Before
 * that: take our marks away from those on the columns whose type changes.
 * Returns what keys_after_retype() is to do, in the same transaction.
 * AccessExclusiveLock is taken on the tables, as by core.
 */
extern List *keys_before_retype(Oid relid, AlterTableStmt *statement);
extern void keys_after_retype(List *keys);

/* --- partitions.c: unique indexes of partitioned tables ------------------------ */

/* Change a statement that makes one of ours of one column, so that core makes a btree without partitions. */
extern void keys_as_btree(IndexStmt *statement);

/*
 * Turn the indexes that a locked partitioned table has and had not before to our
 * method, and give its partitions theirs if recurse.  Raises an error if that
 * cannot be.
 */
extern void keys_finish_partitioned(Oid relid, List *before, bool recurse);

/*
 * CREATE TABLE ... PARTITION OF parent ... PARTITION BY: let core find btrees, and
 * turn them and what has been made of them to our method afterwards.  Takes
 * AccessExclusiveLock on the parent, as core does.
 */
extern List *keys_before_partition(Oid parent);
extern void keys_after_partition(List *indexes, RangeVar *name);

/*
 * ATTACH PARTITION, the parent being locked: give a partitioned table the indexes
 * that core would refuse to make.  Raises 55000 if its primary key has an index of
 * another method.
 */
extern void keys_before_attach(Oid relid, RangeVar *name);

/* --- flags.c: flags of an index in pg_index ------------------------------------ */

#define KEYS_VALID		1
#define KEYS_CLUSTERED	2
#define KEYS_IDENTITY	4

/* Those that are set. */
extern int	keys_flags(Form_pg_index form);

/* Set or clear some, if the index is there still and they are not so yet; then the change is visible. */
extern void keys_set_flags(Oid index, int flags, bool on);

/* --- swap.c: one index in the place of another -------------------------------- */

#define KEYS_SWAP_ATTACHED	1	/* old may be attached to a partitioned index,
								 * whose place new takes */
#define KEYS_SWAP_DEFERRED	2	/* its constraint may be deferrable: nobody
								 * else writes, until old is dropped */

/*
 * Let index new take the name, the constraint and all other roles of index old
 * of the same table, which stays, valid, under new's name.  Takes
 * ShareUpdateExclusiveLock on the table and both, keeps it to the end of the
 * transaction; the caller has looked at privileges.  Raises 55000 or 42809 if
 * new is no substitute.
 */
extern void keys_swap(Oid old, Oid new, int flags);

/*
 * The same of all indexes below a partitioned one, by those of news, which are not
 * attached; the partitioned ones become of method am.  Takes
 * ShareUpdateExclusiveLock on the tables.  Returns false, with nothing done, if a
 * partition has no new one.  The caller has looked at privileges.
 */
extern bool keys_swap_tree(Oid root, List *news, Oid am, int flags);

/* Raises 42501 if the caller does not own the table, or it is a system catalog. */
extern void keys_check_owner(Oid heap);

/*
 * Why index new is no substitute for index old, or NULL.  Both are open.
 * Looks at order, column, predicate and uniqueness, not at validity and roles.
 */
extern const char *keys_differs(Relation old, Relation new);

/*
 * Why an index cannot be exchanged for any other, or NULL.  partitioned: it
 * may be a partitioned one.
 */
extern const char *keys_unfit(Relation index, bool partitioned);

/*
 * Make a constraint of a unique index of ours, with AccessExclusiveLock on the
 * table.  name NULL: the index's.  Raises 42809 or 55000 if it cannot be one.
 */
extern void keys_adopt(Oid index, const char *name, bool primary, bool deferrable, bool initdeferred);

#endif							/* KYRO_KEYS_H */
