/*-------------------------------------------------------------------------
 *
 * dirpage.h
 *	  Pages of a directory, its model and its history.
 *
 * IDENTIFICATION
 *	  src/rmi/dirpage.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_DIRPAGE_H
#define KYRO_RMI_DIRPAGE_H

#include "rmi/kyro_rmi.h"

/*
 * Why a copy of this page of the directory, the model or the history (kind), of that level
 * or piece, cannot be used, or NULL.  *stale: because it was replaced, not
 * because it is damaged.  No lock may be held.
 */
extern const char *rmi_dir_page_problem(Relation index, const RmiMetaData *meta, Page page, BlockNumber block,
										RmiPageKind kind, uint32 level, bool *stale);

/*
 * Write one page of that kind for the directory of that generation, into a page of the index that is
 * free; returns its block.  count: entries, items, or of a model bytes.
 */
extern BlockNumber rmi_dir_page_put(Relation index, const RmiMetaData *meta, RmiPageKind kind, uint64 generation,
									uint32 level, uint32 count, BlockNumber next, const void *body, Size bytes);

#endif							/* KYRO_RMI_DIRPAGE_H */
