/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Where the models of an index come from.
 *
 * IDENTIFICATION
 *	  src/rmi/history.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_HISTORY_H
#define KYRO_RMI_HISTORY_H

#include "model/learned.h"
#include "rmi/kyro_rmi.h"

/* What a new directory and model are written for, and by which model. */
typedef struct RmiTraining
{
	RmiWhy		why;
	TimestampTz started;		/* of the whole work */
	uint64		entries;		/* live ones, if they were counted; else
								 * RMI_NOT_COUNTED */
	const LearnedModel *model;	/* to be used instead of training one,
								 * generation aside; or NULL */
} RmiTraining;

#define RMI_NOT_COUNTED	UINT64_MAX

/*
 * Read the items of the history that meta names into items[RMI_HISTORY_MAX], the oldest first;
 * their number.  None if the page is damaged (*problem says how, else NULL) or was replaced
 * meanwhile (*stale).  No lock may be held.
 */
extern uint32 rmi_history_read(Relation index, const RmiMetaData *meta, RmiHistoryItem *items,
							   const char **problem, bool *stale);

/*
 * Append an item for a model that replaces the one of *seen to its history, without the oldest
 * one if they are too many; their number.  What is damaged begins anew.
 */
extern uint32 rmi_history_add(Relation index, const RmiMetaData *seen, const RmiTraining *training,
							  const LearnedModel *model, uint32 leaves, TimestampTz now, RmiHistoryItem *items);

/* The hash that kyro.export_model() would close this model with. */
extern uint64 rmi_model_hash(const LearnedModel *model, uint8 key_type);

#endif							/* KYRO_RMI_HISTORY_H */
