/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Where the models of an index come from: one page of them.
 *
 * The page belongs to a directory as its model does: written beside it, named
 * by the meta page from the same record on, replaced and freed with it.  So it
 * has an item for a model if and only if that model came into use, after a
 * crash and on a standby, too.
 *
 * IDENTIFICATION
 *	  src/rmi/history.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "model/learned_exchange.h"
#include "rmi/dirpage.h"
#include "rmi/history.h"

static RmiBackend
backend_kind(void)
{
	switch (MyBackendType)
	{
		case B_BACKEND:
			return RMI_BACKEND_CLIENT;
		case B_AUTOVAC_WORKER:
			return RMI_BACKEND_AUTOVACUUM;
		case B_BG_WORKER:
			return RMI_BACKEND_WORKER;
		default:
			return RMI_BACKEND_OTHER;
	}
}

uint64
rmi_model_hash(const LearnedModel *model, uint8 key_type)
{
	LearnedModel *file = palloc_extended(model->bytes, MCXT_ALLOC_HUGE);
	uint64		hash;

	learned_export(model, key_type, file);
	hash = learned_hash(file);
	pfree(file);
	return hash;
}

/* See rmi_history_read(); mode: whether it is an error if the server finds the page damaged. */
static uint32
read_items(Relation index, const RmiMetaData *meta, ReadBufferMode mode, RmiHistoryItem *items,
		   const char **problem, bool *stale)
{
	PGAlignedBlock copy;
	Buffer		buf;
	uint32		n;

	*problem = NULL;
	*stale = false;
	if (meta->generation == 0 || meta->history == 0)
		return 0;
	if (!rmi_block_exists(index, meta->history))
	{
		*problem = "block does not exist";
		return 0;
	}
	buf = ReadBufferExtended(index, MAIN_FORKNUM, meta->history, mode, NULL);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(copy.data, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
	*problem = rmi_dir_page_problem(index, meta, copy.data, meta->history, RMI_PAGE_HISTORY, 0, stale);
	if (*problem != NULL)
		return 0;
	n = rmi_dir_header(copy.data)->count;
	memcpy(items, rmi_dir_body(copy.data), n * sizeof(RmiHistoryItem));
	return n;
}

uint32
rmi_history_read(Relation index, const RmiMetaData *meta, RmiHistoryItem *items, const char **problem, bool *stale)
{
	return read_items(index, meta, RBM_NORMAL, items, problem, stale);
}

uint32
rmi_history_add(Relation index, const RmiMetaData *seen, const RmiTraining *training, const LearnedModel *model,
				uint32 leaves, TimestampTz now, RmiHistoryItem *items)
{
	const char *problem;
	bool		stale;
	char	   *role = GetUserNameFromId(GetOuterUserId(), true);
	uint32		n;
	uint32		before = RMI_NO_EPS;
	RmiHistoryItem *item;

	/* what is damaged must not be in the way of what heals it */
	n = read_items(index, seen, RBM_ZERO_ON_ERROR, items, &problem, &stale);
	if (n > 0 && items[n - 1].generation == seen->generation)
		before = items[n - 1].eps_after;
	if (n == (uint32) RMI_HISTORY_MAX)
		memmove(items, items + 1, --n * sizeof(RmiHistoryItem));
	item = &items[n++];
	memset(item, 0, sizeof(*item));
	item->trained_at = now;
	item->duration = Max(now - training->started, 0);
	item->generation = model->generation;
	item->hash = rmi_model_hash(model, seen->key_type);
	item->entries = training->entries == RMI_NOT_COUNTED ? seen->tuples : training->entries;
	item->number = (uint32) (seen->rebuilds + 1);
	item->leaves = leaves;
	item->models = model->nmodels;
	item->eps_before = before;
	item->eps_after = model->eps_max;
	item->why = training->why;
	item->backend = backend_kind();

	/*
	 * of who runs this, not of the table's owner, whom VACUUM and REINDEX act
	 * for
	 */
	if (role != NULL)
		strncpy(item->role, role, sizeof(item->role) - 1);
	return n;
}
