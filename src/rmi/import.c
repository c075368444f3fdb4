/*-------------------------------------------------------------------------
 *
 * import.c
 *	  A model that was trained elsewhere takes the place of the one there is.
 *
 * Only the model changes, none of what it predicts: the directory is written
 * again as it is, since it, the model and the history are replaced together,
 * by one record (directory.c).  So look-ups, writers, a crash and standbys meet
 * the old ones or the new ones, and leaves, their entries and the split log are not
 * touched.  As any directory it serves until the next one is written.
 *
 * Nothing of the file is believed.  It must be about the leaves that the
 * directory lists now; its epsilons are measured; and what is left of the
 * present model, line by line, is what it does better.
 *
 * IDENTIFICATION
 *	  src/rmi/import.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "debug_point.h"
#include "model/learned_exchange.h"
#include "rmi/directory.h"
#include "rmi/import.h"

int64 *
rmi_training_keys(const RmiFenceList *list, uint32 n)
{
	int64	   *keys = palloc_extended(Max(n, 1) * sizeof(int64), MCXT_ALLOC_HUGE);

	for (uint32 i = 0; i < n; i++)
		keys[i] = list->items[i].key;
	if (n > 1)
		keys[0] = keys[1];
	return keys;
}

/*
 * The present model of these keys; one that kyro.rebuild() would make, if there is none
 * or, damaged, it is of another number of keys: all that follows counts on that.
 */
static LearnedModel *
present_model(Relation index, const RmiMetaData *meta, int64 *keys, uint32 n)
{
	LearnedModel *model = rmi_model_read(index, meta, true);

	if (model == NULL || model->nentries != n)
	{
		model = palloc_extended(learned_bytes(n), MCXT_ALLOC_HUGE);
		learned_train(model, keys, sizeof(int64), n, meta->generation);
	}
	return model;
}

static void
refuse_worse(Relation index, const LearnedModel *present, const LearnedModel *model, uint64 before, uint64 after)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the model is no better than the one that index \"%s\" has", RelationGetRelationName(index)),
			 errdetail("A leaf is found in %.2f steps on average, by the present model in %.2f; the largest error is %u, and %u; it has %u bytes, and %u.",
					   rmi_steps_per_leaf(after, model), rmi_steps_per_leaf(before, present),
					   model->eps_max, present->eps_max, model->bytes, present->bytes)));
}

void
rmi_import(Relation index, LearnedModel *model, RmiImported *result)
{
	RmiTraining training = {.why = RMI_WHY_IMPORT, .started = GetCurrentTimestamp(), .entries = RMI_NOT_COUNTED};
	RmiMetaData seen;
	RmiFenceList list;
	LearnedModel *present;
	LearnedModel *use = model;
	const char *problem;
	int64	   *keys;
	uint32		n,
				leaf;
	bool		stale;
	uint64		offered;

	(void) rmi_rebuild_lock(index, true);
	rmi_read_meta(index, &seen);
	rmi_fences_init(&list);
	if (!rmi_directory_read(index, &seen, &list, &stale))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the directory of index \"%s\", at block %u, is damaged", RelationGetRelationName(index), seen.dir_root),
				 errhint("kyro.rebuild() writes a new one; then train on that.")));
	DEBUG_POINT_POLL("rmi-import");
	n = rmi_directory_keys(&list);
	keys = rmi_training_keys(&list, n);
	problem = learned_fit(model, keys, n, &leaf);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the model does not fit index \"%s\"", RelationGetRelationName(index)),
				 model->nentries != n ?
				 errdetail("It was trained on %u entries, and the directory of the index has %u.", model->nentries, n) :
				 errdetail("Leaf %u of the model: %s.", leaf, problem),
				 errhint("Train it on what kyro.training_keys() returns for this index now.")));

	present = present_model(index, &seen, keys, n);
	learned_measure(model, keys);
	result->before = *present;
	result->eps_before = rmi_model_epsilons(present);
	result->steps_before = learned_steps(present, keys);
	result->taken = model->nmodels;
	result->kept = 0;
	offered = learned_steps(model, keys);
	if (model->segment == present->segment)
	{
		bool		same;

		use = palloc_extended(present->bytes, MCXT_ALLOC_HUGE);
		memcpy(use, present, present->bytes);
		result->taken = learned_take(use, model, keys);
		result->kept = model->nmodels - result->taken;
		same = memcmp(learned_lines(model), learned_lines(present), model->nmodels * sizeof(LearnedLine)) == 0;
		if (result->taken == 0 && !same)
			refuse_worse(index, present, model, result->steps_before, offered);
	}
	else if (offered > result->steps_before || (offered == result->steps_before && model->bytes >= present->bytes))
		refuse_worse(index, present, model, result->steps_before, offered);

	result->after = *use;
	result->eps_after = rmi_model_epsilons(use);
	result->steps_after = learned_steps(use, keys);
	if (result->taken > 0)
	{
		/*
		 * the list is without what the split log has: all of that is carried
		 * over
		 */
		RmiMetaData unlogged = seen;

		unlogged.log_entries = 0;
		training.model = use;
		rmi_directory_write(index, &list, &unlogged, &training);
	}
	rmi_rebuild_unlock(index);
	rmi_dir_forget(index);
}

double
rmi_steps_per_leaf(uint64 steps, const LearnedModel *model)
{
	return model->nentries > 0 ? steps / 2.0 / model->nentries : 0;
}

static int
uint32_cmp(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}

RmiEpsilons
rmi_model_epsilons(const LearnedModel *model)
{
	uint32	   *eps = palloc(Max(model->nmodels, 1) * sizeof(uint32));
	RmiEpsilons e = {0};

	for (uint32 i = 0; i < model->nmodels; i++)
		eps[i] = learned_lines(model)[i].eps;
	qsort(eps, model->nmodels, sizeof(uint32), uint32_cmp);
	if (model->nmodels > 0)
	{
		e.p50 = eps[(uint64) (model->nmodels - 1) * 50 / 100];
		e.p99 = eps[(uint64) (model->nmodels - 1) * 99 / 100];
		e.max = eps[model->nmodels - 1];
	}
	pfree(eps);
	return e;
}
