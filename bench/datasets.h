/*-------------------------------------------------------------------------
 *
 * datasets.h
 *	  Seeded key sets for tests and benchmarks.
 *
 * IDENTIFICATION
 *	  bench/datasets.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_DATASETS_H
#define KYRO_DATASETS_H

#include <stddef.h>
#include <stdint.h>

typedef struct DataSet
{
	const char *name;
	const char *what;			/* for the help text */
	void		(*make) (int64_t *keys, size_t n, uint64_t seed);
	size_t		n_max;			/* this set never has more keys */
} DataSet;

/* All sets, the realistic ones first; ends with a NULL name. */
extern const DataSet datasets[];

/* How many keys the set has if n are asked for; 0 for unknown names too. */
extern size_t dataset_size(const char *name, size_t n);

/*
 * dataset_size(name, n) keys in ascending order, the same for the same seed.
 * malloc'd, not NULL for an empty set; NULL if the name is unknown or memory
 * is short.
 */
extern int64_t *dataset_generate(const char *name, size_t n, uint64_t seed);

/* Put keys into a random order that depends on the seed only. */
extern void dataset_shuffle(int64_t *keys, size_t n, uint64_t seed);

/*
 * Segments of the best piecewise linear approximation of position by key,
 * each key within eps positions of its line.  keys ascending, duplicates
 * allowed.  0 if memory is short.
 */
extern size_t dataset_pla(const int64_t *keys, size_t n, uint32_t eps);

#endif							/* KYRO_DATASETS_H */
