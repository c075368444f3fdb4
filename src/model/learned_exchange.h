/*-------------------------------------------------------------------------
 *
 * learned_exchange.h
 *	  Models that leave the index and come from elsewhere.
 *
 * Keys are those of the directory in order, as a model is trained on them.
 *
 * IDENTIFICATION
 *	  src/model/learned_exchange.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_LEARNED_EXCHANGE_H
#define KYRO_LEARNED_EXCHANGE_H

#include "model/learned.h"

/* No sound file is longer. */
#define LEARNED_FILE_MAX \
	(sizeof(LearnedModel) + LEARNED_LINES_MAX * (sizeof(LearnedLine) + sizeof(int64_t)) + sizeof(uint64_t))

/* Make the file of a model, model->bytes long; key_type is not 0. */
extern void learned_export(const LearnedModel *model, uint32_t key_type, LearnedModel *file);

/*
 * Read a file: any bytes, at any address, into model, which has room for len of them or
 * LEARNED_FILE_MAX, the less.  NULL if they are a sound model, else what is wrong; the
 * model is undefined then.
 */
extern const char *learned_import(const void *bytes, size_t len, LearnedModel *model, uint32_t *key_type);

/*
 * Is a sound model one of these keys?  NULL, or why not, and which leaf (line) that is about:
 * as many entries, and each line begins and ends with the keys that it says.
 */
extern const char *learned_fit(const LearnedModel *model, const int64_t *keys, uint32_t n, uint32_t *leaf);

/* Set each epsilon of a model that fits to what it is. */
extern void learned_measure(LearnedModel *model, const int64_t *keys);

/*
 * What a model is judged by: the comparisons that it takes to find each of the entries once, times two.
 * One in the router counts as half of one in a window: the router's keys stand close
 * together and no branch depends on them, while a window lies anywhere in the directory.
 */
extern uint64_t learned_steps(const LearnedModel *model, const int64_t *keys);

/*
 * Replace lines of a model by those of another one of the same entries and segment where they take fewer
 * comparisons, or as many with a smaller epsilon; how many.  Both are measured.
 */
extern uint32_t learned_take(LearnedModel *model, const LearnedModel *other, const int64_t *keys);

#endif							/* KYRO_LEARNED_EXCHANGE_H */
