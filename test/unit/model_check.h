/*-------------------------------------------------------------------------
 *
 * model_check.h
 *	  What must be true of a trained model, for the unit test and the fuzzer.
 *
 * IDENTIFICATION
 *	  test/unit/model_check.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_MODEL_CHECK_H
#define KYRO_MODEL_CHECK_H

#include "model/learned.h"

/* Is each epsilon the largest error over the model's keys, and eps_max the largest of all? */
static inline bool
eps_is_exact(const LearnedModel *m, const int64_t *keys)
{
	uint32_t	eps_max = 0;

	for (uint32_t j = 0; j < m->nmodels; j++)
	{
		const LearnedLine *lm = &learned_lines(m)[j];
		uint32_t	eps = 0;

		for (uint32_t i = lm->first; i < lm->first + lm->count; i++)
		{
			uint32_t	got = learned_predict_one(lm, keys[i]);
			uint32_t	err = got > i ? got - i : i - got;

			eps = err > eps ? err : eps;
		}
		if (lm->eps != eps)
			return false;
		eps_max = eps > eps_max ? eps : eps_max;
	}
	return m->eps_max == eps_max;
}

#endif							/* KYRO_MODEL_CHECK_H */
