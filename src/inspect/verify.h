/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  Parts of kyro.verify().
 *
 * IDENTIFICATION
 *	  src/inspect/verify.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_VERIFY_H
#define KYRO_INSPECT_VERIFY_H

#include "inspect/report.h"
#include "rmi/kyro_rmi.h"

/*
 * What rmi_verify() is to call in order to compare an index with its table, which is a heap
 * or a kyro table.  The caller runs as its owner.
 */
extern RmiLeafVisitor kyro_compare_rows(Relation heap, Relation index, KyroReport *report);

#endif							/* KYRO_INSPECT_VERIFY_H */
