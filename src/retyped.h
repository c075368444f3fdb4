/*-------------------------------------------------------------------------
 *
 * retyped.h
 *	  Of which tables a command changes the type of a column.
 *
 * IDENTIFICATION
 *	  src/retyped.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RETYPED_H
#define KYRO_RETYPED_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "storage/lockdefs.h"

/*
 * The tables of which ALTER ... ALTER COLUMN TYPE on relation relid changes a column:
 * itself and its children; of a composite type, the tables that are of it, and theirs.
 * They are locked as lockmode says, but for relid itself; NoLock: not at all.
 */
extern List *kyro_retyped_tables(Oid relid, const AlterTableStmt *statement, LOCKMODE lockmode);

#endif							/* KYRO_RETYPED_H */
