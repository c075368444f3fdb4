/*-------------------------------------------------------------------------
 *
 * sample.h
 *	  Samples of keys and row addresses, from indexes and tables of the server's
 *	  own access methods.
 *
 * IDENTIFICATION
 *	  src/inspect/sample.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_INSPECT_SAMPLE_H
#define KYRO_INSPECT_SAMPLE_H

#include "model/leaf.h"
#include "utils/relcache.h"

/* Entries that follow one another in an index, ascending and distinct. */
typedef struct KyroStretch
{
	KyroEntry  *entries;
	size_t		n;
	bool		nulls;			/* NULLs, whose keys are 0 */
} KyroStretch;

/* An index or table of so many pages is read as a whole. */
#define KYRO_SAMPLE_WHOLE	1000

/* Called for each stretch; the entries are its to change. */
typedef void (*KyroStretchFunction) (void *arg, KyroStretch *stretch);

/*
 * Give stretches of an index to f, at least `enough` entries each unless the index ends: all of it
 * if it is small, else from places chosen at random.  Returns how many entries the index
 * has, about.  Both take an AccessShare lock of the caller's for granted.
 *
 * kyro_sample_btree() reads a btree of one column; kyro_sample_rows() the table of an index on a
 * column, of any access method: rows of pages that follow one another are taken for
 * entries that do, if the table is in the order of the column; else keys are drawn
 * between those of a sample.
 */
extern double kyro_sample_btree(Relation index, size_t enough, KyroStretchFunction f, void *arg);
extern double kyro_sample_rows(Relation heap, Relation index, size_t enough, KyroStretchFunction f, void *arg);

/* What sealing would make of a heap, by a sample of its pages: rows, and bytes of the file. */
extern void kyro_sample_seal(Relation heap, double *rows, double *bytes);

#endif							/* KYRO_INSPECT_SAMPLE_H */
