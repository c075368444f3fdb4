/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *	  A new directory and model from the leaves themselves, on demand.
 *
 * IDENTIFICATION
 *	  src/rmi/rebuild.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "model/learned.h"
#include "rmi/directory.h"
#include "rmi/work.h"

/*
 * Merge the insert run of every leaf, list the leaves and count their entries.  A merge keeps every
 * entry on its page, so an exclusive lock is enough.
 */
static void
merge_leaves(Relation index, RmiCarrier carrier, RmiFenceList *leaves, uint64 *entries,
			 void (*pause) (void *arg), void *arg)
{
	KyroFence	at = KYRO_FENCE_MIN;

	for (;;)
	{
		Buffer		buf = rmi_descend(index, at, false, BUFFER_LOCK_EXCLUSIVE, NULL);
		Page		page = BufferGetPage(buf);
		RmiWork    *w = rmi_work();
		bool		more;

		/* VACUUM is excluded: every leaf begins where the last one ended */
		if (kyro_fence_cmp(leaf_low(page), at) != 0)
			rmi_corrupt(index, BufferGetBlockNumber(buf), "the leaf does not begin where its left sibling ends");
		if (leaf_header(page)->nrun > 0)
		{
			int			fits = leaf_merge(page, w->leaf, w->scratch);

			if (fits < 0)
				rmi_corrupt(index, BufferGetBlockNumber(buf), "the leaf cannot be merged");
			/* a leaf without room keeps its run until an insert splits it */
			if (fits == 1)
			{
				RmiChange	c;

				rmi_leaf_finish(w->leaf);
				rmi_change_begin(&c, index, carrier);
				rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_MERGE, .image = w->leaf});
				rmi_change_finish(&c);
			}
		}
		rmi_fences_add(leaves, leaf_low(page), BufferGetBlockNumber(buf));
		*entries += Max(leaf_count(page), 0);
		more = leaf_has_high(page);
		if (more)
		{
			if (kyro_fence_cmp(leaf_high(page), leaf_low(page)) <= 0)
				rmi_corrupt(index, BufferGetBlockNumber(buf), "fences do not ascend");
			at = leaf_high(page);
		}
		UnlockReleaseBuffer(buf);
		if (!more)
			break;
		CHECK_FOR_INTERRUPTS();
		if (pause != NULL)
			pause(arg);
	}
}

void
rmi_rebuild(Relation index, RmiWhy why, void (*pause) (void *arg), void *arg, RmiRebuilt *result)
{
	RmiTraining training = {.why = why, .started = GetCurrentTimestamp()};
	RmiMetaData seen,
				meta;
	RmiFenceList leaves;
	LearnedModel *model;

	(void) rmi_rebuild_lock(index, true);
	rmi_read_meta(index, &seen);
	rmi_fences_init(&leaves);
	merge_leaves(index, seen.carrier, &leaves, &training.entries, pause, arg);
	rmi_directory_write(index, &leaves, &seen, &training);
	rmi_read_meta(index, &meta);
	model = rmi_model_read(index, &meta, true);
	rmi_rebuild_unlock(index);
	rmi_dir_forget(index);

	result->leaves = leaves.n;
	result->has_model = model != NULL;
	result->eps_max = model != NULL ? model->eps_max : 0;
}
