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
#include "rmi/dirpage.h"
#include "rmi/history.h"

/*
 * Write a new directory and model of these leaves and switch to it by one
 * meta record; splits logged since *seen was read are carried over.  Caller
 * holds the rebuild lock.  A model given for this must be of as many keys.
 */
extern void rmi_directory_write(Relation index, RmiFenceList *list, const RmiMetaData *seen,
								const RmiTraining *training);

/* Leaves of the list that are not NULL pages: what a model is trained on. */
extern uint32 rmi_directory_keys(const RmiFenceList *list);

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
