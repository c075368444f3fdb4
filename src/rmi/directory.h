/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  The shared, persistent directory of leaves, and its model.
 *
 * IDENTIFICATION
 *	  src/rmi/directory.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_DIRECTORY_H
#define KYRO_RMI_DIRECTORY_H

#include "rmi/chain.h"

/*
 * Write a new directory and model of these leaves and switch to it by one
 * meta record; splits logged since *meta was read are carried over.  Caller
 * holds the rebuild lock.
 */
extern void rmi_directory_write(Relation index, RmiFenceList *list, const RmiMetaData *seen);

/*
 * Why a copy of this page of the directory or the model (kind), of that level
 * or piece, cannot be used, or NULL.  *stale: because it was replaced, not
 * because it is damaged.  No lock may be held.
 */
extern const char *rmi_dir_page_problem(Relation index, const RmiMetaData *meta, Page page, BlockNumber block,
										RmiPageKind kind, uint32 level, bool *stale);
/*
 * Read the directory that meta describes.  False after a WARNING if it is
 * damaged, false silently if it was replaced meanwhile (*stale).
 */
extern bool rmi_directory_read(Relation index, const RmiMetaData *meta, RmiFenceList *list, bool *stale);
/* Train a model on n low keys of leaves, stride bytes apart, the leftmost leaf's first. */
extern void rmi_train_leaves(struct LearnedModel *model, int64 *keys, Size stride, uint32 n,
							 uint64 generation);
/* A landing from the shared pages alone; false if that did not work. */
extern bool rmi_directory_probe(Relation index, const RmiMetaData *meta, KyroFence target,
								bool strictly, RmiLanding *landing);
/* The trained model, palloc'd, or NULL (with one WARNING if damaged). */
extern struct LearnedModel *rmi_model_read(Relation index, const RmiMetaData *meta, bool warn);

#endif							/* KYRO_RMI_DIRECTORY_H */
