/*-------------------------------------------------------------------------
 *
 * learned.h
 *	  The recursive model index over the directory of leaf pages.
 *
 * The directory is the sorted list of leaf low fences.  The model predicts a
 * window of positions in it for a key.  Stage 0 is a router: the sorted keys
 * of every S-th directory entry ("sampled splits"), so that no stage-1 model
 * ever gets more than S entries, whatever the keys look like.  Stage 1 is one
 * line per router interval, in 64-bit fixed point, with its own exact
 * epsilon.  See README.md in this folder.
 *
 * The trained model is one flat block of bytes that is used where it lies: on
 * disk, in memory and on the wire it is the same, little endian, integers
 * only, closed by an xxHash64.
 *
 * IDENTIFICATION
 *	  src/model/learned.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_LEARNED_H
#define KYRO_LEARNED_H

#include "key.h"

#define LEARNED_MAGIC		"KYRO_RMI"	/* 8 bytes, no terminator on disk */
#define LEARNED_VERSION	1
#define LEARNED_SEGMENT	64		/* entries a stage-1 model gets, at least */
#define LEARNED_LINES_MAX	4096	/* so the router stays in the L1/L2 cache */

typedef struct LearnedLine
{
	int64_t		key_min;		/* first and last key trained on */
	int64_t		key_max;
	uint64_t	slope;			/* positions per key step, times 2^shift */
	int32_t		base;			/* position predicted at key_min; may lie
								 * outside first .. first + count - 1 */
	uint32_t	first;			/* first directory position of this model */
	uint32_t	count;			/* entries trained on, >= 1 */
	uint32_t	eps;			/* exact: max |predicted - true| over them,
								 * predictions clamped to the model's range */
	uint32_t	shift;			/* 0 .. 127 */
	uint32_t	spare;			/* zero */
} LearnedLine;					/* 48 bytes */

typedef struct LearnedModel
{
	char		magic[8];
	uint32_t	version;
	uint32_t	bytes;			/* of the whole block, hash included */
	uint64_t	generation;		/* the directory it was trained on */
	uint32_t	nentries;		/* directory entries with a key (not NULL) */
	uint32_t	nmodels;		/* 0 iff nentries is 0 */
	uint32_t	segment;		/* S: entries per model */
	uint32_t	eps_max;
	int64_t		key_min;
	int64_t		key_max;
	uint64_t	spare;			/* zero */
	/* LearnedLine models[nmodels]; int64_t splits[nmodels]; uint64_t hash; */
} LearnedModel;					/* 64 bytes */

/* Bytes learned_train() needs for n directory entries; and the most that any sound model of them has. */
extern size_t learned_bytes(uint32_t n);
extern size_t learned_bytes_max(uint32_t n);

/*
 * Train on keys[0..n), ascending, duplicates allowed: one per directory
 * entry that is not a NULL page.  keys[i] is keys + i * stride bytes.
 * Cannot fail; n may be 0.
 */
extern void learned_train(LearnedModel *model, const int64_t *keys, size_t stride,
						  uint32_t n, uint64_t generation);

/* Set the largest epsilon, the key range and the hash that closes the block, after a change of lines. */
extern void learned_close(LearnedModel *model);

/* The hash that closes it. */
extern uint64_t learned_hash(const LearnedModel *model);

/* Set the epsilon of a line to what it is; keys are those of its own entries, stride bytes apart. */
extern void learned_measure_line(LearnedLine *lm, const int64_t *keys, size_t stride);

/* NULL if these bytes are a sound model, else what is wrong. */
extern const char *learned_check(const void *bytes, size_t len);

static inline const LearnedLine *
learned_lines(const LearnedModel *m)
{
	return (const LearnedLine *) (m + 1);
}

static inline const int64_t *
learned_splits(const LearnedModel *m)
{
	return (const int64_t *) (learned_lines(m) + m->nmodels);
}

/*
 * The model for a key: the last one whose split key is <= key (the first one
 * for keys below all).  With duplicates over several models it is the last of
 * them.  nmodels must be > 0.
 */
extern uint32_t learned_route(const LearnedModel *m, int64_t key);

/* Predicted position, clamped to the model's own range. */
extern uint32_t learned_predict_one(const LearnedLine *lm, int64_t key);

typedef struct LearnedWindow
{
	uint32_t	lo;				/* the answer lies in lo .. hi, both inclusive */
	uint32_t	hi;
	uint32_t	predicted;
	uint32_t	model;
} LearnedWindow;

/*
 * Window of positions that holds the LAST entry whose key is <= key, for
 * present and absent keys alike; for keys below every entry it holds 0.
 * nentries must be > 0.  The caller searches the window by full fences, and
 * with duplicate keys across entries walks left from it.
 */
extern LearnedWindow learned_predict(const LearnedModel *m, int64_t key);

/* The same of the line that the key was routed to; sets all but the number of the model. */
extern LearnedWindow learned_window(const LearnedLine *lm, int64_t key);

#endif							/* KYRO_LEARNED_H */
