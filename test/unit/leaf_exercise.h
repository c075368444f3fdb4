/*-------------------------------------------------------------------------
 *
 * leaf_exercise.h
 *	  Run every leaf function over a page of any bytes.
 *
 * On damaged pages it is enough that nothing crashes, hangs or strays out of
 * the page (the sanitisers look).  On a page that leaf_verify() calls sound,
 * all functions must agree with leaf_decode().
 *
 * IDENTIFICATION
 *	  test/unit/leaf_exercise.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_LEAF_EXERCISE_H
#define KYRO_LEAF_EXERCISE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "model/leaf.h"

typedef struct Exercise
{
	void	   *page;
	void	   *image[3];
	void	   *work;
	KyroEntry  *e;
	KyroEntry  *e2;
	KyroEntry  *e3;
	LeafCursor *cursor;
} Exercise;

static void
exercise_init(Exercise *x)
{
	/* separate blocks of exact size, so that a stray byte is noticed */
	x->page = aligned_alloc(64, KYRO_PAGE_SIZE);
	for (int i = 0; i < 3; i++)
		x->image[i] = aligned_alloc(64, KYRO_PAGE_SIZE);
	x->work = aligned_alloc(64, LEAF_WORK_SIZE);
	x->e = malloc(sizeof(KyroEntry) * KYRO_LEAF_MAX_ENTRIES);
	x->e2 = malloc(sizeof(KyroEntry) * KYRO_LEAF_MAX_ENTRIES);
	x->e3 = malloc(sizeof(KyroEntry) * KYRO_LEAF_MAX_ENTRIES);
	x->cursor = malloc(sizeof(LeafCursor));
}

static void
exercise_free(Exercise *x)
{
	free(x->page);
	for (int i = 0; i < 3; i++)
		free(x->image[i]);
	free(x->work);
	free(x->e);
	free(x->e2);
	free(x->e3);
	free(x->cursor);
}

static void
exercise_count_block(void *arg, int block, int slots, int eps)
{
	(void) block;
	(void) eps;
	*(int *) arg += slots;
}

static bool
exercise_dead(void *arg, uint64_t tid)
{
	return (tid * UINT64_C(0x9E3779B97F4A7C15) >> 40) % 100 < *(unsigned *) arg;
}

static bool
exercise_same(const KyroEntry *a, const KyroEntry *b, int n)
{
	for (int i = 0; i < n; i++)
		if (a[i].key != b[i].key || a[i].tid != b[i].tid)
			return false;
	return true;
}

/* The entries with keys lo .. hi, at most max. */
static void
exercise_range(const void *page, bool sound, const KyroEntry *e, int n, int64_t lo, int64_t hi, int max)
{
	/* of exact size, so that the sanitizers see what is too much */
	KyroEntry  *got = malloc(sizeof(*got) * (size_t) max);
	bool		before;
	bool		after;
	int			k = leaf_find_range(page, lo, hi, got, max, &before, &after);
	int			from = 0;
	int			to;

	if (sound)
	{
		while (from < n && e[from].key < lo)
			from++;
		for (to = from; to < n && e[to].key <= hi;)
			to++;
		EXPECT(k >= 0);
		if (k <= max)
			EXPECT(k == to - from && exercise_same(got, e + from, k) && before == (from > 0) && after == (to < n));
		else
		{
			LeafStats	st;

			EXPECT(leaf_stats(page, &st) == 0 && to - from + st.dead > max);
		}
	}
	free(got);
}

/* Read a page in every way; sound: results are checked against e[0..n). */
static void
exercise_read(Exercise *x, const void *page, bool sound, const KyroEntry *e, int n, uint64_t seed)
{
	uint64_t	tids[64];
	KyroEntry	got;
	LeafStats	st;
	LeafProbe	probe;
	int			slots = 0;

	for (int i = 0; i < 24; i++)
	{
		int64_t		key = i < 4 ? (int64_t[]) {INT64_MIN, INT64_MAX, 0, -1}[i] : (int64_t) seed;
		int			lo = 0;
		int			hi;
		int			found;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		if (n > 0 && i % 2 == 0 && i >= 4)
			key = (int64_t) ((uint64_t) e[(seed >> 33) % (unsigned) n].key + (i % 6 == 0));
		leaf_prefetch(page, leaf_shape(page), (uint32_t) key);
		found = leaf_find(page, key, tids, 64, i & 1 ? &probe : NULL);
		exercise_range(page, sound, e, n, key, key, 1);
		exercise_range(page, sound, e, n, key, INT64_MAX, 500);
		exercise_range(page, sound, e, n, INT64_MIN, key, 100);
		exercise_range(page, sound, e, n, INT64_MIN, INT64_MAX, i % 4 == 0 ? KYRO_LEAF_MAX_ENTRIES : 300);
		if (n > 0)
		{
			/* as far apart as chance has it, and near each other */
			int			a = (int) ((seed >> 20) % (unsigned) n);
			int			b = (a + (int) ((seed >> 50) % 300)) % n;

			exercise_range(page, sound, e, n, key < e[a].key ? key : e[a].key, key < e[a].key ? e[a].key : key, 512);
			exercise_range(page, sound, e, n, e[a].key < e[b].key ? e[a].key : e[b].key,
						   e[a].key < e[b].key ? e[b].key : e[a].key, 512);
		}
		leaf_cursor_init(x->cursor, page);
		leaf_cursor_seek(x->cursor, (KyroEntry) {key, seed >> 16}, (i & 4) != 0);
		if (sound)
		{
			int			pos = 0;

			while (lo < n && e[lo].key < key)
				lo++;
			for (hi = lo; hi < n && e[hi].key == key; hi++)
				pos += kyro_entry_cmp(e[hi], (KyroEntry) {key, seed >> 16}) < ((i & 4) != 0);
			EXPECT(hi - lo > 64 ? found > 64 : found == hi - lo);
			for (int j = 0; j < found && hi - lo <= 64; j++)
				EXPECT(tids[j] == e[lo + j].tid);
			pos += lo;
			if (leaf_cursor_prev(x->cursor, &got))
				EXPECT(pos > 0 && kyro_entry_cmp(got, e[pos - 1]) == 0 &&
					   leaf_cursor_next(x->cursor, &got));
			else
				EXPECT(pos == 0);
			if (leaf_cursor_next(x->cursor, &got))
				EXPECT(pos < n && kyro_entry_cmp(got, e[pos]) == 0);
			else
				EXPECT(pos == n);
		}
		else
			for (int j = 0; j < 300 && leaf_cursor_next(x->cursor, &got); j++)
				;
	}
	leaf_cursor_init(x->cursor, page);
	leaf_cursor_first(x->cursor);
	for (int i = 0; i <= KYRO_LEAF_MAX_ENTRIES; i++)
	{
		bool		more = leaf_cursor_next(x->cursor, &got);

		if (sound)
			EXPECT(more ? i < n && kyro_entry_cmp(got, e[i]) == 0 : i == n);
		if (!more)
			break;
	}
	leaf_cursor_last(x->cursor);
	for (int i = n; i >= -KYRO_LEAF_MAX_ENTRIES; i--)
	{
		bool		more = leaf_cursor_prev(x->cursor, &got);

		if (sound)
			EXPECT(more ? i > 0 && kyro_entry_cmp(got, e[i - 1]) == 0 : i == 0);
		if (!more)
			break;
	}
	if (leaf_stats(page, &st) == 0 && sound)
		EXPECT(st.live == n);
	if (sound)
		EXPECT(leaf_count(page) == n);
	else
		(void) leaf_count(page);
	if (leaf_each_block(page, exercise_count_block, &slots) == 0)
		EXPECT(slots == leaf_header_const(page)->nslot);
}

/* A new image must be sound if the old one was. */
static int
exercise_image(Exercise *x, const void *page, bool sound, KyroEntry *e, uint64_t seed)
{
	int			n = leaf_decode(page, e);

	if (sound)
	{
		const char *problem = leaf_verify(page);

		if (problem)
			fprintf(stderr, "problem: %s\n", problem);
		EXPECT(problem == NULL && n >= 0);
	}
	exercise_read(x, page, sound, e, n < 0 ? 0 : n, seed);
	return n;
}

static void
exercise_page(Exercise *x, const void *bytes, uint64_t seed)
{
	bool		sound;
	KyroFence	cut;
	KyroEntry	add;
	int			n;
	int			m;
	int			r;
	int			live;
	unsigned	percent = (unsigned) (seed % 101);
	bool		edge = (seed & 1) != 0;

	memcpy(x->page, bytes, KYRO_PAGE_SIZE);
	sound = leaf_verify(x->page) == NULL;
	n = leaf_decode(x->page, x->e);
	exercise_read(x, x->page, sound, x->e, n < 0 ? 0 : n, seed);

	r = leaf_merge(x->page, x->image[0], x->work);
	if (r == 1)
	{
		m = exercise_image(x, x->image[0], sound, x->e2, seed);
		EXPECT(!sound || (m == n && exercise_same(x->e, x->e2, n)));
	}
	EXPECT(!sound || r >= 0);

	r = leaf_split(x->page, x->image[0], x->image[1], &cut, x->work);
	if (r == 1)
	{
		/* links are ours: the left page now has a right sibling */
		leaf_header(x->image[0])->right = 1;
		m = exercise_image(x, x->image[0], sound, x->e2, seed);
		EXPECT(!sound || (m > 0 && m < n && exercise_same(x->e, x->e2, m)));
		live = exercise_image(x, x->image[1], sound, x->e3, seed);
		EXPECT(!sound || (live == n - m && exercise_same(x->e + m, x->e3, live)));
	}
	EXPECT(!sound || r == (n >= 2));

	r = leaf_vacuum(x->page, x->image[0], exercise_dead, &percent, &live, x->work);
	if (r > 0)
	{
		m = exercise_image(x, x->image[0], sound, x->e2, seed);
		if (sound)
		{
			int			k = 0;

			EXPECT(m == live && m == n - r);
			for (int i = 0; i < n; i++)
				if (!exercise_dead(&percent, x->e[i].tid))
				{
					EXPECT(k < m && kyro_entry_cmp(x->e[i], x->e2[k]) == 0);
					k++;
				}
			EXPECT(k == m);
		}
	}
	EXPECT(!sound || r >= 0 || r == LEAF_VACUUM_SPLIT);

	add = (KyroEntry) {(int64_t) (seed * UINT64_C(0x9E3779B97F4A7C15)), seed >> 20 & KYRO_TID_MAX};
	if (n > 0 && (seed & 2))
		add.key = (int64_t) ((uint64_t) x->e[n - 1].key + (seed >> 2 & 1));
	memcpy(x->image[0], x->page, KYRO_PAGE_SIZE);
	switch (leaf_insert_kind(x->page, add, edge))
	{
		case LEAF_INS_APPEND:
			leaf_sum_set(x->image[0]);
			r = leaf_append(x->image[0], add, true);
			EXPECT(r && leaf_sum_ok(x->image[0]));
			break;
		case LEAF_INS_RUN:
			leaf_sum_set(x->image[0]);
			r = leaf_run_add(x->image[0], add, true);
			EXPECT(r && leaf_sum_ok(x->image[0]));
			break;
		case LEAF_INS_CORRUPT:
			EXPECT(!sound);
			break;
		default:
			break;
	}
	(void) exercise_image(x, x->image[0], false, x->e2, seed);
	/* and where they were not asked for */
	memcpy(x->image[0], x->page, KYRO_PAGE_SIZE);
	leaf_sum_set(x->image[0]);
	memcpy(x->image[1], x->image[0], KYRO_PAGE_SIZE);
	r = leaf_append(x->image[0], add, true);
	EXPECT(r == (leaf_insert_kind(x->page, add, true) == LEAF_INS_APPEND));
	EXPECT(r || memcmp(x->image[0], x->image[1], KYRO_PAGE_SIZE) == 0);
	(void) leaf_run_add(x->image[0], add, true);
	EXPECT(leaf_sum_ok(x->image[0]));
	(void) exercise_image(x, x->image[0], false, x->e2, seed);
}

#endif							/* KYRO_LEAF_EXERCISE_H */
