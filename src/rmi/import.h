/*-------------------------------------------------------------------------
 *
 * import.h
 *	  Models that were trained elsewhere.
 *
 * IDENTIFICATION
 *	  src/rmi/import.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_IMPORT_H
#define KYRO_RMI_IMPORT_H

#include "model/learned.h"
#include "rmi/chain.h"

/* Errors of the lines of a model, in directory entries. */
typedef struct RmiEpsilons
{
	uint32		p50;
	uint32		p99;
	uint32		max;
} RmiEpsilons;

extern RmiEpsilons rmi_model_epsilons(const LearnedModel *model);

/* The average for one leaf, from learned_steps(). */
extern double rmi_steps_per_leaf(uint64 steps, const LearnedModel *model);

/* What a model of these leaves, of which n are not NULL pages, is trained on: palloc'd; see rmi_train_leaves(). */
extern int64 *rmi_training_keys(const RmiFenceList *list, uint32 n);

typedef struct RmiImported
{
	uint32		taken;			/* lines of the imported model that are used;
								 * 0: nothing was written */
	uint32		kept;			/* lines of the present one that are */
	LearnedModel before;		/* headers of both */
	LearnedModel after;
	RmiEpsilons eps_before;
	RmiEpsilons eps_after;
	uint64		steps_before;	/* learned_steps() */
	uint64		steps_after;
} RmiImported;

/*
 * Use a model that learned_check() has found sound, or the lines of it that are better
 * than the present ones.  The model is changed.  Blocks neither readers nor writers; waits for
 * rebuilds.  The caller holds ShareUpdateExclusiveLock on the table.  Raises 22023 if it does
 * not fit the index or is no better, XX002 if the directory is damaged, 55000 if
 * the index cannot be changed.
 */
extern void rmi_import(Relation index, LearnedModel *model, RmiImported *result);

#endif							/* KYRO_RMI_IMPORT_H */
