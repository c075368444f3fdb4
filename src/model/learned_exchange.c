/*-------------------------------------------------------------------------
 *
 * learned_exchange.c
 *	  Models that leave the index and come from elsewhere.
 *
 * A file is the block of learned.h with the type of the keys where the block
 * has the generation of its directory; docs/model_format.md describes it.  So
 * learned_check() judges both, and what it lets through can be used with any
 * keys.  Whether it is of use for these keys is asked here: an epsilon that
 * came with a file is never believed but measured, by the function that look-ups call.
 *
 * IDENTIFICATION
 *	  src/model/learned_exchange.c
 *
 *-------------------------------------------------------------------------
 */
#include "model/learned_exchange.h"

#include <string.h>

void
learned_export(const LearnedModel *model, uint32_t key_type, LearnedModel *file)
{
	memcpy(file, model, model->bytes);
	file->generation = key_type;
	learned_close(file);
}

const char *
learned_import(const void *bytes, size_t len, LearnedModel *model, uint32_t *key_type)
{
	const char *problem;

	*key_type = 0;
	if (len > LEARNED_FILE_MAX)
		return "it is longer than any model";
	memcpy(model, bytes, len);
	problem = learned_check(model, len);
	if (problem != NULL)
		return problem;
	if (model->bytes != len)
		return "bytes follow its end";
	if (model->generation == 0 || model->generation > UINT32_MAX)
		return "it does not say what type its keys have";
	*key_type = (uint32_t) model->generation;
	model->generation = 0;
	return NULL;
}

const char *
learned_fit(const LearnedModel *model, const int64_t *keys, uint32_t n, uint32_t *leaf)
{
	*leaf = 0;
	if (model->nentries != n)
		return "it is of another number of entries";
	for (uint32_t i = 0; i < model->nmodels; i++)
	{
		const LearnedLine *lm = &learned_lines(model)[i];

		*leaf = i;
		if (lm->key_min != keys[lm->first])
			return "it does not begin with the key that the index has there";
		if (lm->key_max != keys[lm->first + lm->count - 1])
			return "it does not end with the key that the index has there";
	}
	return NULL;
}

void
learned_measure(LearnedModel *model, const int64_t *keys)
{
	LearnedLine *lines = (LearnedLine *) (model + 1);

	for (uint32_t i = 0; i < model->nmodels; i++)
		learned_measure_line(&lines[i], keys + lines[i].first, sizeof(int64_t));
	learned_close(model);
}

/* Comparisons of a binary search in a window of so many positions. */
static inline uint32_t
steps_in(uint32_t positions)
{
	return positions <= 1 ? 0 : 32 - (uint32_t) __builtin_clz(positions - 1);
}

/* The comparisons in the windows of all entries of a line. */
static uint64_t
line_steps(const LearnedLine *lm, const int64_t *keys)
{
	uint64_t	sum = 0;

	for (uint32_t i = lm->first; i < lm->first + lm->count; i++)
	{
		LearnedWindow w = learned_window(lm, keys[i]);

		sum += steps_in(w.hi - w.lo + 1);
	}
	return sum;
}

uint64_t
learned_steps(const LearnedModel *model, const int64_t *keys)
{
	uint64_t	half = (uint64_t) model->nentries * steps_in(model->nmodels);

	for (uint32_t i = 0; i < model->nmodels; i++)
		half += 2 * line_steps(&learned_lines(model)[i], keys);
	return half;
}

uint32_t
learned_take(LearnedModel *model, const LearnedModel *other, const int64_t *keys)
{
	LearnedLine *lines = (LearnedLine *) (model + 1);
	uint32_t	taken = 0;

	for (uint32_t i = 0; i < model->nmodels; i++)
	{
		const LearnedLine *lm = &learned_lines(other)[i];
		uint64_t	mine = line_steps(&lines[i], keys);
		uint64_t	theirs = line_steps(lm, keys);

		if (theirs < mine || (theirs == mine && lm->eps < lines[i].eps))
		{
			lines[i] = *lm;
			taken++;
		}
	}
	learned_close(model);
	return taken;
}
