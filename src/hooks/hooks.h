/*-------------------------------------------------------------------------
 *
 * hooks.h
 *	  What kyrodb hooks into the server beside its access methods.
 *
 * The init functions are called once, from _PG_init(); each keeps and calls
 * the hook that was there before.
 *
 * IDENTIFICATION
 *	  src/hooks/hooks.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_HOOKS_H
#define KYRO_HOOKS_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

struct ResultRelInfo;
struct ModifyTableState;

/* arbiters.c */

/* Prepare the open indexes of a table for ON CONFLICT, in the current memory context. */
extern void kyro_arbiters_prepare(struct ResultRelInfo *rri);

/*
 * Which open indexes of a table are arbiters, if the plan names these ones of the
 * target of the command: their partitions or themselves, and what is unique in
 * the same way.  In the current memory context.
 */
extern List *kyro_arbiters(struct ResultRelInfo *rri, List *named, Relation target);

/* onconflict.c: INSERT ... ON CONFLICT on tables with a unique kyro_rmi index */
extern void kyro_onconflict_init(void);

/* routing.c: the same through a partitioned table, at the start of such a command */
extern void kyro_routing_prepare(struct ModifyTableState *insert);

/* shadow.c: uniqueness proofs and end-point estimates from kyro_rmi indexes */
extern void kyro_shadow_init(void);

/* rowcompare.c: index conditions from row comparisons, for pagination by key */
extern void kyro_rowcompare_init(void);

/* ddl.c: commands that define things, before and after */
extern void kyro_ddl_init(void);

/*
 * foreign_key.c: let the foreign keys of an ALTER TABLE find their btrees.
 * _begin locks what the command will lock, if there is anything to do, and
 * returns what _end is to be called with when the command is done.  An error
 * undoes it.  _explain is for error context callbacks.
 */
struct AlterTableStmt;
extern int	kyro_foreign_key_begin(const struct AlterTableStmt *stmt);
extern void kyro_foreign_key_end(int before);
extern void kyro_foreign_key_explain(void);
extern void kyro_foreign_key_init(void);

/*
 * refresh.c: REFRESH MATERIALIZED VIEW CONCURRENTLY.  The name of a unique index of
 * ours that would do if it were a btree, or NULL; takes no lock.  _explain, with that
 * name, is an error context callback.
 */
struct RefreshMatViewStmt;
extern char *kyro_refresh_candidate(const struct RefreshMatViewStmt *stmt);
extern void kyro_refresh_explain(void *index);

/*
 * For error context callbacks: is the error at hand the one with this primary
 * message, untranslated and before its arguments are put in?  Needs memory, so
 * ask only when geterrcode() fits.
 */
extern bool kyro_error_is(const char *message_id);

#endif							/* KYRO_HOOKS_H */
