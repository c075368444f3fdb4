/*-------------------------------------------------------------------------
 *
 * learned.c
 *	  Training, checking and using the recursive model index.
 *
 * Everything is integer arithmetic: the same keys give the same bytes on
 * every machine, and the largest error of a line is a number that was
 * measured, by the function that lookups call, not one that was estimated.
 *
 * A stage-1 line should have the least largest error (Chebyshev), not the
 * least squared error: the window that a lookup searches follows from the
 * worst entry.  Its slope is found by exchange: of three entries, the line
 * that misses them equally, alternating above and below, is known; the entry
 * that this line misses most takes the place of one of the three; repeat.
 * Each round costs one pass and no memory.  The products fit into 128 bits
 * (64 bits of key times 32 bits of position), so that nothing is rounded.
 *
 * IDENTIFICATION
 *	  src/model/learned.c
 *
 *-------------------------------------------------------------------------
 */
#include "model/learned.h"

#include <string.h>
#include <xxhash.h>

typedef __int128 int128_t;
typedef unsigned __int128 uint128_t;

/* Rounds of exchange; nearly all models settle within six. */
#define LEARNED_ROUNDS_MAX	12

/* A line for all that is worse than count / 8 may be worth a search. */
#define LEARNED_EPS_PART	8

/* Larger than any position, small enough to add to a base. */
#define LEARNED_OFFSET_MAX	(INT64_C(1) << 40)

_Static_assert(sizeof(LearnedLine) == 48, "LearnedLine is an on-disk format");
_Static_assert(sizeof(LearnedModel) == 64, "LearnedModel is an on-disk format");

/* Keys with a stride: entry i's distance from the model's first key is its x. */
typedef struct LearnedPoints
{
	const char *keys;
	size_t		stride;
	int64_t		origin;			/* key of entry 0 of the model */
} LearnedPoints;

static inline int64_t
load_key(const char *keys, size_t stride, uint32_t i)
{
	int64_t		key;

	memcpy(&key, keys + (size_t) i * stride, sizeof(key));
	return key;
}

static inline uint64_t
point_x(const LearnedPoints *pts, uint32_t i)
{
	return (uint64_t) load_key(pts->keys, pts->stride, i) - (uint64_t) pts->origin;
}

static uint32_t
segment_size(uint32_t n)
{
	uint32_t	s = n / LEARNED_LINES_MAX + (n % LEARNED_LINES_MAX != 0);

	return s > LEARNED_SEGMENT ? s : LEARNED_SEGMENT;
}

static inline uint32_t
models_needed(uint32_t n, uint32_t segment)
{
	return n / segment + (n % segment != 0);
}

static inline size_t
block_size(uint32_t nmodels)
{
	return sizeof(LearnedModel) +
		(size_t) nmodels * (sizeof(LearnedLine) + sizeof(int64_t)) + sizeof(uint64_t);
}

size_t
learned_bytes(uint32_t n)
{
	return block_size(models_needed(n, segment_size(n)));
}

size_t
learned_bytes_max(uint32_t n)
{
	return block_size(n < LEARNED_LINES_MAX ? n : LEARNED_LINES_MAX);
}

/*
 * Steps along the line for a distance of keys.  The product of two 64-bit
 * numbers cannot overflow 128 bits, and product, shift and minimum are each
 * monotone in d, so this is.
 */
static inline int64_t
line_offset(uint64_t d, uint64_t slope, uint32_t shift)
{
	uint128_t	off = ((uint128_t) d * slope) >> shift;

	return off > (uint128_t) LEARNED_OFFSET_MAX ? LEARNED_OFFSET_MAX : (int64_t) off;
}

uint32_t
learned_predict_one(const LearnedLine *lm, int64_t key)
{
	int64_t		first = lm->first;
	int64_t		last = first + lm->count - 1;
	int64_t		pos;

	key = key < lm->key_min ? lm->key_min : key;
	key = key > lm->key_max ? lm->key_max : key;
	pos = lm->base + line_offset((uint64_t) key - (uint64_t) lm->key_min,
								 lm->slope, lm->shift);
	pos = pos < first ? first : pos;
	pos = pos > last ? last : pos;
	return (uint32_t) pos;
}

/* Set slope and shift to dy / dx, rounded down, with 64 significant bits. */
static void
set_slope(LearnedLine *lm, uint64_t dx, uint32_t dy)
{
	uint128_t	q;
	uint32_t	shift;

	lm->slope = 0;
	lm->shift = 0;
	if (dx == 0 || dy == 0)
		return;

	/*
	 * With the numerator's top bit at bit 127 and a 64-bit denominator the
	 * quotient has at least 64 bits; cut it to just 64.
	 */
	shift = 64 + (uint32_t) __builtin_clzll(dy);
	q = ((uint128_t) dy << shift) / dx;
	if (q >> 64)
	{
		uint32_t	excess = 64 - (uint32_t) __builtin_clzll((uint64_t) (q >> 64));

		/* dy / dx < 2^32, so the shift stays at 31 or more */
		q >>= excess;
		shift -= excess;
	}
	lm->slope = (uint64_t) q;
	lm->shift = shift;
}

void
learned_measure_line(LearnedLine *lm, const int64_t *keys, size_t stride)
{
	lm->eps = 0;
	for (uint32_t i = 0; i < lm->count; i++)
	{
		uint32_t	pos = lm->first + i;
		uint32_t	got = learned_predict_one(lm, load_key((const char *) keys, stride, i));
		uint32_t	err = got > pos ? got - pos : pos - got;

		lm->eps = err > lm->eps ? err : lm->eps;
	}
}

/*
 * Base and exact eps for the slope in lm.  The base puts the middle of the
 * errors of entries from .. to - 1 at zero; eps is over all entries.
 */
static void
set_base_and_eps(LearnedLine *lm, const LearnedPoints *pts, uint32_t from, uint32_t to)
{
	int64_t		least = INT64_MAX;
	int64_t		most = INT64_MIN;
	int64_t		base;

	for (uint32_t i = from; i < to; i++)
	{
		int64_t		diff = (int64_t) i - line_offset(point_x(pts, i), lm->slope, lm->shift);

		least = diff < least ? diff : least;
		most = diff > most ? diff : most;
	}
	/* one of the two roundings of a half is as good as the other */
	base = (int64_t) lm->first + least + (most - least) / 2;
	base = base < INT32_MIN ? INT32_MIN : base;
	base = base > INT32_MAX ? INT32_MAX : base;
	lm->base = (int32_t) base;
	learned_measure_line(lm, (const int64_t *) pts->keys, pts->stride);
}

/*
 * Slope of the line with the least largest error over entries from .. to - 1
 * (to - from >= 1), as *dy / *dx; 0 / 0 if they have one key only.
 *
 * Duplicates are several points of one x.  The exchange may then end at a
 * reference without extent, and it is cut off after LEARNED_ROUNDS_MAX rounds
 * anyway; what comes out is a slope in any case, judged by its exact eps.
 */
static void
chebyshev_slope(const LearnedPoints *pts, uint32_t from, uint32_t to,
				uint64_t *dx, uint32_t *dy)
{
	uint32_t	i = from;
	uint32_t	j = from + (to - from) / 2;
	uint32_t	k = to - 1;

	*dx = point_x(pts, k) - point_x(pts, i);
	*dy = *dx ? k - i : 0;
	if (*dx == 0 || to - from < 3)
		return;

	for (int round = 0; round < LEARNED_ROUNDS_MAX; round++)
	{
		uint64_t	xi = point_x(pts, i);
		uint64_t	rx = point_x(pts, k) - xi;
		int64_t		ry = (int64_t) k - i;
		int128_t	height;		/* of j over the line i..k, times rx */
		int128_t	worst;
		uint32_t	worst_at = j;
		bool		above;
		bool		j_above;

		if (rx == 0)
			return;
		*dx = rx;
		*dy = (uint32_t) ry;

		/*
		 * Twice the error of p against the middle line is 2 r(p) - r(j), all
		 * times rx, where r is the height over the line through i and k.
		 */
#define HEIGHT(p) \
	((int128_t) ((int64_t) (p) - (int64_t) i) * (int128_t) rx - \
	 ((int128_t) point_x(pts, p) - (int128_t) xi) * ry)

		height = HEIGHT(j);
		j_above = height >= 0;
		worst = j_above ? height : -height;
		above = j_above;
		for (uint32_t p = from; p < to; p++)
		{
			int128_t	err = 2 * HEIGHT(p) - height;
			int128_t	size = err < 0 ? -err : err;

			if (size > worst)
			{
				worst = size;
				worst_at = p;
				above = err > 0;
			}
		}
#undef HEIGHT
		if (worst_at == j)
			return;				/* no entry is worse than the three */

		/* Exchange such that the three stay ordered and alternate. */
		if (worst_at < i)
		{
			if (above != j_above)
				i = worst_at;
			else
			{
				k = j;
				j = i;
				i = worst_at;
			}
		}
		else if (worst_at > k)
		{
			if (above != j_above)
				k = worst_at;
			else
			{
				i = j;
				j = k;
				k = worst_at;
			}
		}
		else if (above == j_above)
			j = worst_at;
		else if (worst_at < j)
			i = worst_at;
		else
			k = worst_at;
	}
}

/* Fit the entries from .. to - 1 and keep the line if its eps over all is less. */
static void
try_line(LearnedLine *best, const LearnedPoints *pts, uint32_t from, uint32_t to,
		 bool end_points)
{
	LearnedLine lm = *best;
	uint64_t	dx;
	uint32_t	dy;

	if (end_points)
	{
		dx = point_x(pts, to - 1) - point_x(pts, from);
		dy = to - 1 - from;
	}
	else
		chebyshev_slope(pts, from, to, &dx, &dy);
	set_slope(&lm, dx, dy);
	set_base_and_eps(&lm, pts, from, to);
	if (lm.eps < best->eps)
		*best = lm;
}

static void
train_one(LearnedLine *lm, const char *keys, size_t stride, uint32_t first, uint32_t count)
{
	LearnedPoints pts;

	pts.keys = keys + (size_t) first * stride;
	pts.stride = stride;
	pts.origin = load_key(pts.keys, stride, 0);

	memset(lm, 0, sizeof(*lm));
	lm->first = first;
	lm->count = count;
	lm->key_min = pts.origin;
	lm->key_max = load_key(pts.keys, stride, count - 1);
	lm->eps = UINT32_MAX;

	try_line(lm, &pts, 0, count, true);
	if (lm->eps > 0)
		try_line(lm, &pts, 0, count, false);

	/*
	 * A few far-off keys at an end spoil a line for all others.  Since
	 * predictions are clamped, a line for the others alone may miss the few
	 * by no more than their number.
	 */
	if (lm->eps > count / LEARNED_EPS_PART)
	{
		for (uint32_t part = 16; part >= 4; part /= 2)
		{
			uint32_t	cut = count / part;

			if (cut == 0)
				continue;
			try_line(lm, &pts, cut, count, false);
			try_line(lm, &pts, 0, count - cut, false);
			try_line(lm, &pts, cut, count - cut, false);
		}
	}
}

void
learned_train(LearnedModel *model, const int64_t *keys, size_t stride,
			  uint32_t n, uint64_t generation)
{
	uint32_t	segment = segment_size(n);
	uint32_t	nmodels = models_needed(n, segment);
	size_t		size = block_size(nmodels);
	LearnedLine *models = (LearnedLine *) (model + 1);
	int64_t    *splits = (int64_t *) (models + nmodels);

	memset(model, 0, size);
	memcpy(model->magic, LEARNED_MAGIC, sizeof(model->magic));
	model->version = LEARNED_VERSION;
	model->bytes = (uint32_t) size;
	model->generation = generation;
	model->nentries = n;
	model->nmodels = nmodels;
	model->segment = segment;

	for (uint32_t m = 0; m < nmodels; m++)
	{
		uint32_t	first = m * segment;
		uint32_t	count = n - first < segment ? n - first : segment;

		train_one(&models[m], (const char *) keys, stride, first, count);
		splits[m] = models[m].key_min;
	}
	learned_close(model);
}

void
learned_close(LearnedModel *model)
{
	const LearnedLine *lines = learned_lines(model);
	uint64_t	hash;

	model->eps_max = 0;
	for (uint32_t i = 0; i < model->nmodels; i++)
		model->eps_max = lines[i].eps > model->eps_max ? lines[i].eps : model->eps_max;
	if (model->nmodels > 0)
	{
		model->key_min = lines[0].key_min;
		model->key_max = lines[model->nmodels - 1].key_max;
	}
	hash = XXH64(model, model->bytes - sizeof(hash), 0);
	memcpy((char *) model + model->bytes - sizeof(hash), &hash, sizeof(hash));
}

uint64_t
learned_hash(const LearnedModel *model)
{
	uint64_t	hash;

	memcpy(&hash, (const char *) model + model->bytes - sizeof(hash), sizeof(hash));
	return hash;
}

/*
 * The checks after the hash are for a writer's mistakes, not for damage.
 * What passes here can be used by learned_route() and learned_predict() for any key:
 * they read models 0 .. nmodels - 1 and as many splits, which lie inside the
 * block, and clamp to first .. first + count - 1, which lies in 0 ..
 * nentries - 1.
 */
const char *
learned_check(const void *bytes, size_t len)
{
	const LearnedModel *m = bytes;
	const LearnedLine *models;
	const int64_t *splits;
	uint64_t	hash;
	uint32_t	eps_max = 0;

	if (((uintptr_t) bytes & 7) != 0)
		return "model is not aligned";
	if (len < block_size(0))
		return "model is too short";
	if (memcmp(m->magic, LEARNED_MAGIC, sizeof(m->magic)) != 0)
		return "wrong magic";
	if (m->version != LEARNED_VERSION)
		return "unknown model version";
	if (m->nmodels > LEARNED_LINES_MAX)
		return "too many models";
	if (m->bytes > len || m->bytes != block_size(m->nmodels))
		return "wrong model size";
	memcpy(&hash, (const char *) bytes + m->bytes - sizeof(hash), sizeof(hash));
	if (hash != XXH64(bytes, m->bytes - sizeof(hash), 0))
		return "wrong model checksum";
	if (m->segment == 0 || m->nmodels != models_needed(m->nentries, m->segment))
		return "model count does not fit the number of entries";
	if (m->spare != 0)
		return "spare bytes are not zero";

	models = learned_lines(m);
	splits = learned_splits(m);
	for (uint32_t i = 0; i < m->nmodels; i++)
	{
		const LearnedLine *lm = &models[i];
		uint32_t	first = i * m->segment; /* < nentries, so no overflow */
		uint32_t	rest = m->nentries - first;

		if (lm->first != first ||
			lm->count != (rest < m->segment ? rest : m->segment))
			return "models do not cover the entries one after the other";
		if (lm->key_min > lm->key_max || lm->key_min != splits[i] ||
			(i > 0 && models[i - 1].key_max > lm->key_min))
			return "models or splits are not in key order";
		if (lm->shift > 127 || lm->eps >= lm->count || lm->spare != 0)
			return "model is out of range";
		if (lm->eps > eps_max)
			eps_max = lm->eps;
	}
	if (m->eps_max != eps_max)
		return "wrong largest error";
	if (m->nmodels > 0
		? m->key_min != models[0].key_min || m->key_max != models[m->nmodels - 1].key_max
		: m->key_min != 0 || m->key_max != 0)
		return "wrong key range";
	return NULL;
}

/*
 * Branchless: the only condition is a mask, so a mispredicted comparison
 * costs nothing.  Invariant: the answer is in at .. at + len - 1, because
 * split at is <= key (or at is 0) and split at + len is > key (or the end).
 * Equal splits are passed over, to the last of them.
 */
uint32_t
learned_route(const LearnedModel *m, int64_t key)
{
	const int64_t *splits = learned_splits(m);
	uint32_t	at = 0;
	uint32_t	len = m->nmodels;

	while (len > 1)
	{
		uint32_t	half = len / 2;

		at += half & -(uint32_t) (splits[at + half] <= key);
		len -= half;
	}
	return at;
}

/*
 * Why the window holds the answer, with p(k) the prediction of the routed
 * model for k, and e its eps.
 *
 * The answer a is the last entry with key <= target.  The routed model m is
 * the last whose first key is <= target.  So its first entry is <= target
 * and the first entry of the next model is not: a is one of m's own entries,
 * and clamping to m's range loses nothing.
 *
 * p is monotone: the clamping of the key, line_offset() and the clamping of
 * the position are.  And |p(key(i)) - i| <= e for each entry i of m, since
 * training measured just this, with this function.
 *
 * From key(a) <= target: p(target) >= p(key(a)) >= a - e, so a <= p + e.
 *
 * If a is m's last entry, then target >= key_max is clamped to key_max =
 * key(a), so p(target) = p(key(a)) <= a + e.  Else a + 1 is an entry of m
 * with key(a + 1) > target, and p(target) <= p(key(a + 1)) <= a + 1 + e.
 * Either way a >= p - e - 1.
 *
 * If target lies below every entry, it is clamped to key_min of model 0,
 * whose entry 0 lies in the window because |p(key(0)) - 0| <= e.
 *
 * Nothing here depends on target being a key, or on keys being distinct.
 */
LearnedWindow
learned_predict(const LearnedModel *m, int64_t key)
{
	uint32_t	at = learned_route(m, key);
	LearnedWindow w = learned_window(&learned_lines(m)[at], key);

	w.model = at;
	return w;
}

LearnedWindow
learned_window(const LearnedLine *lm, int64_t key)
{
	LearnedWindow w = {0};
	uint32_t	below;
	uint32_t	above;

	w.predicted = learned_predict_one(lm, key);

	/* first <= predicted <= first + count - 1, so neither room is negative */
	below = w.predicted - lm->first;
	above = lm->first + (lm->count - 1) - w.predicted;
	w.lo = w.predicted - (lm->eps < below ? lm->eps + 1 : below);
	w.hi = w.predicted + (lm->eps < above ? lm->eps : above);
	return w;
}
