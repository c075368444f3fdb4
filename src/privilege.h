/*-------------------------------------------------------------------------
 *
 * privilege.h
 *	  Who is shown numbers about tables.
 *
 * IDENTIFICATION
 *	  src/privilege.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_PRIVILEGE_H
#define KYRO_PRIVILEGE_H

#include "postgres.h"

/*
 * May a user see numbers about a table and its indexes?  Whoever may read or owns
 * the table, and who may read all statistics, as members of pg_monitor may.
 */
extern bool kyro_sees_table(Oid userid, Oid table);

/* And messages about it, that may hold keys?  The owner, and who may read all statistics. */
extern bool kyro_sees_messages(Oid userid, Oid table);

#endif							/* KYRO_PRIVILEGE_H */
