/*-------------------------------------------------------------------------
 *
 * test_leaf.c
 *	  Tests of the learned leaf page.
 *
 * test_leaf [first seed [seeds [operations]]]: the last test drives chains of
 * pages with that many random seeds and compares them with a sorted array.
 *
 * IDENTIFICATION
 *	  test/unit/test_leaf.c
 *
 *-------------------------------------------------------------------------
 */
#include "leaf_exercise.h"
#include "tap.h"

static Exercise ex;

/* ---- random numbers and data ---- */

static uint64_t rng_state;

static uint64_t
rnd(void)
{
	uint64_t	z = (rng_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

static uint64_t
below(uint64_t n)
{
	return rnd() % n;
}

typedef enum KeyShape
{
	K_DENSE, K_HOLES, K_UNIFORM, K_SECONDS, K_TS_US, K_SNOWFLAKE, K_LOGNORMAL,
	K_ENDS, K_EQUAL, K_ALTERNATE, K_TS_NS, K_STEPS, K_FEW, K_SHAPES
} KeyShape;

static const char *const key_shape_name[] = {
	"dense", "holes", "uniform", "seconds", "us timestamps", "snowflake", "lognormal gaps",
	"int64 ends", "all equal", "alternating ends", "ns timestamps", "steps", "few keys"
};

typedef enum TidShape
{
	T_KEY_ORDER, T_RANDOM, T_VARYING, T_HUGE, T_ONE_PER_PAGE, T_FALLING, T_SHAPES
} TidShape;

static const char *const tid_shape_name[] = {
	"heap in key order", "random heap", "60..130 rows a page", "random 48-bit tids",
	"one row a page", "falling tids"
};

static int
entry_order(const void *a, const void *b)
{
	return kyro_entry_cmp(*(const KyroEntry *) a, *(const KyroEntry *) b);
}

/* n keys in some order of time, mostly ascending; sort them afterwards. */
static void
make_keys(KeyShape shape, KyroEntry *e, int n)
{
	int64_t		k = (shape == K_TS_US ? INT64_C(800000000000000) :
					 shape == K_TS_NS ? INT64_C(1700000000000000000) :
					 shape == K_SNOWFLAKE ? INT64_C(1500000000) << 22 : 1);

	for (int i = 0; i < n; i++)
	{
		switch (shape)
		{
			case K_DENSE:
				k++;
				break;
			case K_HOLES:
				k += below(10) == 0 ? 2 + (int64_t) below(4) : 1;
				break;
			case K_UNIFORM:
				k = (int64_t) (rnd() >> 1);
				break;
			case K_SECONDS:
				k += below(17) == 0 ? 1 + (int64_t) below(3) : 0;
				break;
			case K_TS_US:
				k += 1 + (int64_t) below(60000);
				break;
			case K_SNOWFLAKE:
				k += ((int64_t) below(3) << 22) + 1;
				k = (k & ~INT64_C(0x3FFFFF)) | (int64_t) (below(32) << 12) | (int64_t) below(4);
				break;
			case K_LOGNORMAL:
				/* some 2^39 a step: 40000 of them stay below 2^55 */
				k += INT64_C(1) << below(below(2) ? 8 : 40);
				break;
			case K_ENDS:
				k = i % 4 == 0 ? INT64_MIN + i / 4 : i % 4 == 1 ? INT64_MAX - i / 4 :
					i % 4 == 2 ? i - n / 2 : (int64_t) rnd();
				break;
			case K_EQUAL:
				k = -7;
				break;
			case K_ALTERNATE:
				k = i % 2 == 0 ? INT64_MIN : INT64_MAX;
				break;
			case K_TS_NS:
				k += 1000000 + (int64_t) below(1000);
				break;
			case K_STEPS:
				k += i % 1000 < 500 ? 10 : 1000003;
				break;
			default:
				k = (int64_t) below(5);
				break;
		}
		e[i].key = k;
	}
}

static int
key_order(const void *a, const void *b)
{
	int64_t		x = ((const KyroEntry *) a)->key;
	int64_t		y = ((const KyroEntry *) b)->key;

	return x < y ? -1 : x > y;
}

/* Tids of the n entries, which are in key order; then sorted, distinct. */
static int
make_tids(TidShape shape, KyroEntry *e, int n)
{
	uint64_t	block = 0;
	uint64_t	off = 0;
	uint64_t	rows = 100;
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		switch (shape)
		{
			case T_KEY_ORDER:
			case T_VARYING:
				if (++off > rows)
				{
					off = 1;
					block++;
					rows = shape == T_VARYING ? 60 + below(71) : 226;
				}
				e[i].tid = block << 16 | off;
				break;
			case T_RANDOM:
				e[i].tid = below((uint64_t) n / 100 + 1) << 16 | (1 + below(226));
				break;
			case T_HUGE:
				e[i].tid = rnd() & KYRO_TID_MAX;
				break;
			case T_ONE_PER_PAGE:
				e[i].tid = (uint64_t) i << 16 | 1;
				break;
			default:
				e[i].tid = (uint64_t) (n - i) / 50 << 16 | (uint64_t) ((n - i) % 50 + 1);
				break;
		}
	}
	qsort(e, (size_t) n, sizeof(*e), entry_order);
	for (int i = 0; i < n; i++)
		if (kept == 0 || kyro_entry_cmp(e[kept - 1], e[i]) != 0)
			e[kept++] = e[i];
	return kept;
}

static int
make_entries(KeyShape keys, TidShape tids, KyroEntry *e, int n)
{
	make_keys(keys, e, n);
	qsort(e, (size_t) n, sizeof(*e), key_order);
	return make_tids(tids, e, n);
}

/* ---- a new page ---- */

static void *
new_page(void)
{
	void	   *page = aligned_alloc(64, KYRO_PAGE_SIZE);

	/* bytes that leaf functions must keep */
	memset(page, 0xA5, KYRO_PAGE_SIZE);
	return page;
}

static bool
borders_kept(const void *page)
{
	const uint8_t *p = page;

	for (int i = 0; i < KYRO_PAGE_HEADER; i++)
		if (p[i] != 0xA5)
			return false;
	for (int i = KYRO_PAGE_END; i < KYRO_PAGE_SIZE; i++)
		if (p[i] != 0xA5)
			return false;
	return true;
}

static void
verify_page(const void *page)
{
	const char *problem = leaf_verify(page);

	if (problem)
		printf("# leaf_verify: %s\n", problem);
	CHECK(problem == NULL);
	CHECK(borders_kept(page));
}

/* ---- build and find ---- */

/* Every key of e[0..n) and the keys beside it. */
static void
check_finds(const void *page, const KyroEntry *e, int n)
{
	static uint64_t tids[KYRO_LEAF_MAX_ENTRIES];
	LeafProbe	probe;

	for (int i = 0; i < n;)
	{
		int			end = i;
		int			found;

		while (end < n && e[end].key == e[i].key)
			end++;
		found = leaf_find(page, e[i].key, tids, KYRO_LEAF_MAX_ENTRIES, &probe);
		CHECK(found == end - i);
		for (int j = 0; j < found; j++)
			CHECK(tids[j] == e[i + j].tid);
		if (probe.block >= 0)
		{
			CHECK(probe.block < leaf_header_const(page)->nblk);
			CHECK(probe.found <= probe.predicted + probe.eps + 1 &&
				  probe.found >= probe.predicted - probe.eps - 1);
		}
		if (end - i > 3)
			CHECK(leaf_find(page, e[i].key, tids, 3, NULL) > 3);
		if (e[i].key != INT64_MIN && (i == 0 || e[i - 1].key != e[i].key - 1))
			CHECK(leaf_find(page, e[i].key - 1, tids, 1, NULL) == 0);
		if (e[i].key != INT64_MAX && (end == n || e[end].key != e[i].key + 1))
			CHECK(leaf_find(page, e[i].key + 1, tids, 1, NULL) == 0);
		i = end;
	}
}

static int
gap_of(const KyroEntry *e, int n, KyroEntry bound, bool after)
{
	int			lo = 0;
	int			hi = n;

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (kyro_entry_cmp(e[mid], bound) < (after ? 1 : 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
check_cursor(const void *page, const KyroEntry *e, int n)
{
	static LeafCursor c;
	KyroEntry	got;

	leaf_cursor_init(&c, page);
	leaf_cursor_first(&c);
	for (int i = 0; i < n; i++)
		CHECK(leaf_cursor_next(&c, &got) && kyro_entry_cmp(got, e[i]) == 0);
	CHECK(!leaf_cursor_next(&c, &got));
	CHECK(n == 0 || (leaf_cursor_prev(&c, &got) && kyro_entry_cmp(got, e[n - 1]) == 0));
	leaf_cursor_last(&c);
	for (int i = n - 1; i >= 0; i--)
		CHECK(leaf_cursor_prev(&c, &got) && kyro_entry_cmp(got, e[i]) == 0);
	CHECK(!leaf_cursor_prev(&c, &got));
	for (int i = 0; i < 200; i++)
	{
		bool		after = i % 2;
		KyroEntry	bound = {(int64_t) rnd(), rnd() & KYRO_TID_MAX};
		int			at;

		if (n > 0 && i % 3 != 0)
		{
			bound = e[below((uint64_t) n)];
			if (i % 3 == 2)
				bound.tid = i % 5 == 0 ? 0 : i % 5 == 1 ? UINT64_MAX : bound.tid + i % 5 - 3;
		}
		at = gap_of(e, n, bound, after);
		leaf_cursor_seek(&c, bound, after);
		/* walk to and fro across the gap */
		for (int j = at; j < n && j < at + 3; j++)
			CHECK(leaf_cursor_next(&c, &got) && kyro_entry_cmp(got, e[j]) == 0);
		for (int j = (at + 3 < n ? at + 3 : n) - 1; j >= 0 && j >= at - 3; j--)
			CHECK(leaf_cursor_prev(&c, &got) && kyro_entry_cmp(got, e[j]) == 0);
		if (at <= 3)
			CHECK(!leaf_cursor_prev(&c, &got));
	}
	CHECK(!c.corrupt);
}

static void
check_page(const void *page, const KyroEntry *e, int n)
{
	static KyroEntry all[KYRO_LEAF_MAX_ENTRIES];

	verify_page(page);
	CHECK(leaf_count(page) == n);
	if (CHECK(leaf_decode(page, all) == n))
		CHECK(exercise_same(all, e, n));
}

static void
test_build(void)
{
	const int	N = 40000;
	KyroEntry  *e = malloc(sizeof(*e) * N);
	void	   *page = new_page();

	for (int k = 0; k < K_SHAPES; k++)
		for (int t = 0; t < T_SHAPES; t++)
		{
			int			n = make_entries((KeyShape) k, (TidShape) t, e, N);
			int			at = 0;
			int			pages = 0;
			int			sizes[] = {1, 2, 3, 7, 255, 256, 257, 1000};

			snprintf(tap_context, sizeof(tap_context), "%s, %s", key_shape_name[k],
					 tid_shape_name[t]);
			/* whole pages, then some small ones */
			for (int i = 0; at < n && i < 14; i++)
			{
				int			want = i < 6 ? n - at : sizes[i - 6];
				int			got;

				want = want < n - at ? want : n - at;
				leaf_init(page, (KyroFence) {e[at].key, e[at].tid, false}, KYRO_NO_BLOCK,
						  KYRO_NO_BLOCK, (uint8_t) (i == 5 ? 255 : i == 4 ? 0 : 26));
				check_page(page, e, 0);
				got = (int) leaf_build(page, e + at, (size_t) want, ex.work);
				CHECK(got >= 1 && got <= want);
				CHECK(got == want || got >= 200);
				check_page(page, e + at, got);
				if (i % 4 == 0 || i >= 4)
					check_finds(page, e + at, got);
				check_cursor(page, e + at, got);
				at += got;
				pages++;
			}
			CHECK(pages > 0);
		}
	free(page);
	free(e);
	tap_done("build, find, cursor: all key shapes, all heap orders");
}

/* ---- kernels ---- */

static void
test_kernels(void)
{
	static const char *const names[] = {"scalar", "sse2", "avx2"};
	char		best[16];
	KyroEntry  *e = malloc(sizeof(*e) * 20000);
	void	   *page = new_page();
	void	   *other = new_page();
	uint64_t	tids[2][64];

	snprintf(best, sizeof(best), "%s", leaf_kernel_name());
	CHECK(!leaf_kernel_force("no such kernel"));
	CHECK(strcmp(leaf_kernel_name(), best) == 0);
	for (int k = 0; k < K_SHAPES; k++)
	{
		int			n = make_entries((KeyShape) k, (TidShape) (k % T_SHAPES), e, 20000);
		int			took;

		CHECK(leaf_kernel_force("scalar"));
		leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
		took = (int) leaf_build(page, e, (size_t) n, ex.work);
		for (int i = took; i < n && i < took + 50; i++)
			CHECK(leaf_run_add(page, e[i], false));
		for (int j = 1; j < 3; j++)
		{
			if (!leaf_kernel_force(names[j]))
				continue;
			snprintf(tap_context, sizeof(tap_context), "%s, %s", names[j], key_shape_name[k]);
			leaf_init(other, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
			CHECK((int) leaf_build(other, e, (size_t) n, ex.work) == took);
			for (int i = took; i < n && i < took + 50; i++)
				CHECK(leaf_run_add(other, e[i], false));
			CHECK(memcmp(page, other, KYRO_PAGE_SIZE) == 0);
			verify_page(other);
			for (int i = 0; i < 2000; i++)
			{
				int64_t		key = e[below((uint64_t) (took + 50 < n ? took + 50 : n))].key;
				int			a;
				int			b;

				CHECK(leaf_kernel_force("scalar"));
				a = leaf_find(page, key, tids[0], 64, NULL);
				CHECK(leaf_kernel_force(names[j]));
				b = leaf_find(page, key, tids[1], 64, NULL);
				CHECK(a > 64 ? b > 64 : a == b && memcmp(tids[0], tids[1], 8 * (size_t) a) == 0);
			}
		}
	}
	CHECK(leaf_kernel_force(best));
	free(e);
	free(page);
	free(other);
	tap_done("kernels agree, to the byte");
}

/* ---- small cases ---- */

static void
test_small(void)
{
	void	   *page = new_page();
	KyroEntry	e;
	KyroFence	cut;
	uint64_t	tids[4];
	int			live;
	unsigned	all = 100;

	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 255);
	verify_page(page);
	CHECK(leaf_find(page, 0, tids, 4, NULL) == 0);
	CHECK(leaf_split(page, ex.image[0], ex.image[1], &cut, ex.work) == 0);
	CHECK(leaf_merge(page, ex.image[0], ex.work) == 1);
	CHECK(leaf_vacuum(page, ex.image[0], exercise_dead, &all, &live, ex.work) == 0 && live == 0);
	/* an empty page takes appends whatever its reserve */
	e = (KyroEntry) {INT64_MIN, 1};
	CHECK(leaf_insert_kind(page, e, true) == LEAF_INS_APPEND && leaf_append(page, e, false));
	CHECK(leaf_insert_kind(page, e, false) == LEAF_INS_RUN);
	CHECK(leaf_split(page, ex.image[0], ex.image[1], &cut, ex.work) == 0);
	e.key = INT64_MAX;
	CHECK(leaf_insert_kind(page, e, true) == LEAF_INS_APPEND && leaf_append(page, e, false));
	verify_page(page);
	CHECK(leaf_find(page, INT64_MIN, tids, 4, NULL) == 1 && tids[0] == 1);
	CHECK(leaf_split(page, ex.image[0], ex.image[1], &cut, ex.work) == 1);
	CHECK(cut.key == INT64_MAX && cut.tid == 0 && !cut.isnull);
	CHECK(leaf_vacuum(page, ex.image[0], exercise_dead, &all, &live, ex.work) == 2 && live == 0);
	check_page(ex.image[0], NULL, 0);
	/* below the last entry: not at the edge */
	e.key = 5;
	CHECK(leaf_insert_kind(page, e, true) == LEAF_INS_RUN && leaf_run_add(page, e, false));
	CHECK(!leaf_append(page, e, false));
	verify_page(page);
	CHECK(leaf_find(page, 5, tids, 4, NULL) == 1);

	/* a page of NULLs: cut inside it, both sides keep the flag */
	leaf_init(page, (KyroFence) {0, 0, true}, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	for (uint64_t i = 1; i <= 1000; i++)
	{
		e = (KyroEntry) {0, i << 16 | 3};
		CHECK(leaf_insert_kind(page, e, true) == LEAF_INS_APPEND && leaf_append(page, e, false));
	}
	verify_page(page);
	CHECK(leaf_split(page, ex.image[0], ex.image[1], &cut, ex.work) == 1);
	CHECK(cut.isnull && cut.key == 0 && cut.tid > 0);
	leaf_header(ex.image[0])->right = 1;
	verify_page(ex.image[0]);
	verify_page(ex.image[1]);
	CHECK(leaf_high(ex.image[0]).isnull && leaf_low(ex.image[1]).isnull);
	CHECK(kyro_fence_cmp(leaf_high(ex.image[0]), leaf_low(ex.image[1])) == 0);
	/* the first NULL page to the right of a page of keys bounds no key */
	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, 7, 26);
	leaf_set_high(page, (KyroFence) {0, 0, true});
	e = (KyroEntry) {INT64_MAX, 9};
	CHECK(leaf_append(page, e, false));
	verify_page(page);
	free(page);
	tap_done("empty pages, single entries, NULLs, ends of the key range");
}

/* What only odd histories bring about. */
static void
test_edges(void)
{
	void	   *page = new_page();
	KyroEntry  *e = malloc(sizeof(*e) * 20000);
	int			n = make_entries(K_DENSE, T_KEY_ORDER, e, 20000);
	int			built;
	int			live;
	unsigned	most = 95;
	int64_t		top;

	/* a full page that became the edge with a run entry above its slots */
	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	built = (int) leaf_build(page, e, (size_t) n, ex.work);
	CHECK(built == KYRO_LEAF_CAP);
	top = e[built - 1].key;
	CHECK(leaf_insert_kind(page, (KyroEntry) {top + 5, 1}, true) == LEAF_INS_NEW_RIGHT);
	CHECK(leaf_run_add(page, (KyroEntry) {top + 10, 1}, false));
	CHECK(leaf_insert_kind(page, (KyroEntry) {top + 5, 1}, true) == LEAF_INS_RUN);
	CHECK(leaf_insert_kind(page, (KyroEntry) {top + 11, 1}, true) == LEAF_INS_NEW_RIGHT);
	verify_page(page);

	/* vacuum joins blocks that it has nearly emptied */
	CHECK(leaf_vacuum(page, ex.image[0], exercise_dead, &most, &live, ex.work) > 0);
	CHECK(live > 0 && leaf_header(ex.image[0])->nblk <= live / 64 + 2);
	memset(ex.image[0], 0xA5, KYRO_PAGE_HEADER);
	verify_page(ex.image[0]);

	/* an extra of the last key: what is below it does not append */
	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	CHECK(leaf_build(page, e, 100, ex.work) == 100);
	top = e[99].key;
	CHECK(leaf_run_add(page, (KyroEntry) {top, UINT64_C(9000) << 16 | 5}, false));
	CHECK(leaf_merge(page, ex.image[0], ex.work) == 1);
	CHECK(leaf_insert_kind(ex.image[0], (KyroEntry) {top, UINT64_C(8000) << 16 | 1}, true) ==
		  LEAF_INS_RUN);
	CHECK(!leaf_append(ex.image[0], (KyroEntry) {top, UINT64_C(8000) << 16 | 1}, false));
	CHECK(leaf_insert_kind(ex.image[0], (KyroEntry) {top, UINT64_C(9000) << 16 | 6}, true) ==
		  LEAF_INS_APPEND);
	CHECK(leaf_append(ex.image[0], (KyroEntry) {top, UINT64_C(9000) << 16 | 6}, false));
	CHECK(leaf_append(ex.image[0], (KyroEntry) {top + 1, 1}, false));
	verify_page(ex.image[0]);
	CHECK(leaf_count(ex.image[0]) == 103);
	free(page);
	free(e);
	tap_done("odd edges: run above the slots, extra of the last key, emptied blocks");
}

/* verify must notice what it promises to notice. */
static void
test_verify(void)
{
	void	   *page = new_page();
	KyroEntry  *e = malloc(sizeof(*e) * 2000);
	int			n = make_entries(K_TS_US, T_RANDOM, e, 2000);
	uint8_t    *bytes = page;
	int			missed = 0;
	int			kept;

	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	n = (int) leaf_build(page, e, (size_t) n, ex.work);
	CHECK(leaf_run_add(page, (KyroEntry) {1, 1}, false));
	kept = leaf_header(page)->pend;
	/* the epsilon, first key, unused space, fences, spare bytes */
	for (int i = 0; i < 6; i++)
	{
		int			at = (i == 0 ? KYRO_LEAF_FIRST + 8 * leaf_header(page)->nblk + 3 :
						  i == 1 ? KYRO_LEAF_FIRST + 7 : i == 2 ? kept + 5 : i == 3 ? 90 :
						  i == 4 ? KYRO_PAGE_END - KYRO_RUN_CHUNK + 60 : KYRO_PAGE_HEADER + 68);

		bytes[at] ^= 0x10;
		CHECK(leaf_verify(page) != NULL);
		bytes[at] ^= 0x10;
	}
	leaf_header(page)->right = 1;
	leaf_set_high(page, (KyroFence) {e[n - 1].key, 0, false});
	CHECK(leaf_verify(page) != NULL);
	leaf_header(page)->right = KYRO_NO_BLOCK;
	leaf_set_low(page, (KyroFence) {e[0].key, 0, false});
	CHECK(leaf_verify(page) != NULL);
	leaf_header(page)->right = 1;
	leaf_set_low(page, (KyroFence) {e[n - 1].key, 1, false});
	CHECK(strcmp(leaf_verify(page), "fences out of order") == 0);
	leaf_header(page)->right = KYRO_NO_BLOCK;
	leaf_set_low(page, KYRO_FENCE_MIN);
	leaf_set_high(page, (KyroFence) {0, 0, false});
	leaf_header(page)->nslot++;
	CHECK(strcmp(leaf_verify(page), "number of slots differs from the header's") == 0);
	leaf_header(page)->nslot--;
	CHECK(leaf_verify(page) == NULL);

	/*
	 * Descriptor bits: any change of offset, slots, epsilon, exponent,
	 * widths, mode or runs shows.  (A slightly different slope, another radix
	 * or tid base may well be another sound page.)
	 */
	for (int bit = 0; bit < 24 * 8; bit++)
	{
		int			at = KYRO_LEAF_FIRST + 8 * leaf_header(page)->nblk + bit / 8;

		if (bit / 8 == 4 || bit / 8 == 5 || bit / 8 == 8 || (bit / 8 >= 11 && bit / 8 != 16 && bit / 8 != 17))
			continue;
		bytes[at] ^= (uint8_t) (1 << bit % 8);
		if (leaf_verify(page) == NULL)
		{
			printf("# change of descriptor bit %d not noticed\n", bit);
			missed++;
		}
		bytes[at] ^= (uint8_t) (1 << bit % 8);
	}
	CHECK(missed == 0);
	free(page);
	free(e);
	tap_done("leaf_verify notices damage");
}

/* ---- hostile bytes ---- */

static void
test_checksum(void)
{
	void	   *page = new_page();
	uint8_t    *bytes = page;
	KyroEntry  *e = malloc(sizeof(*e) * 500);
	int			n = make_entries(K_TS_US, T_RANDOM, e, 500);
	int			missed = 0;

	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	leaf_build(page, e, (size_t) n, ex.work);
	leaf_sum_set(page);
	CHECK(leaf_sum_ok(page));

	/* any bit that is the leaf's, none that is the server's */
	for (int bit = 0; bit < KYRO_PAGE_SIZE * 8; bit++)
	{
		bool		ours = bit / 8 >= KYRO_PAGE_HEADER && bit / 8 < KYRO_PAGE_END;

		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		if (leaf_sum_ok(page) == ours)
			missed++;
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	CHECK(missed == 0);

	/*
	 * keeping it comes to the same as a new one: whatever leaf_append() does,
	 * too
	 */
	for (int i = 0; i < KYRO_RUN_CAP; i++)
	{
		CHECK(leaf_run_add(page, (KyroEntry) {i * 1000003, (uint64_t) i}, true) && leaf_sum_ok(page));
	}
	for (int set = 0; set < K_SHAPES * T_SHAPES; set++)
	{
		int			appended = 0;

		n = make_entries((KeyShape) (set / T_SHAPES), (TidShape) (set % T_SHAPES), e, 500);
		leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
		leaf_sum_set(page);
		for (int i = 0; i < n && leaf_append(page, e[i], true); i++, appended++)
		{
			if (!leaf_sum_ok(page))
				missed++;
		}
		CHECK((appended > 250 || appended == n) && missed == 0);
	}
	n = make_entries(K_TS_US, T_RANDOM, e, 500);
	leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
	leaf_build(page, e, (size_t) n, ex.work);
	leaf_sum_set(page);

	/* and does not hide damage, in the same place or elsewhere */
	for (int at = KYRO_PAGE_HEADER; at < KYRO_PAGE_END; at += 61)
	{
		uint64_t	pieces = leaf_sum_pieces(KYRO_PAGE_END - 1, KYRO_PAGE_END);
		uint64_t	part;

		bytes[at] ^= 0x20;
		part = leaf_sum_part(page, pieces);
		leaf_header(page)->epoch++;
		bytes[KYRO_PAGE_END - 1]++;
		leaf_header(page)->sum += leaf_sum_part(page, pieces) - part;
		CHECK(!leaf_sum_ok(page));
		bytes[at] ^= 0x20;
		/* sound again once it is undone, if the update was elsewhere */
		if (at >= 1024 && at < 7 * 1024)
			CHECK(leaf_sum_ok(page));
		leaf_sum_set(page);
	}
	free(page);
	free(e);
	tap_done("the checksum of a leaf");
}

static void
test_hostile(void)
{
	void	   *page = new_page();
	uint8_t    *bytes = malloc(KYRO_PAGE_SIZE);
	KyroEntry  *e = malloc(sizeof(*e) * 20000);
	unsigned	some = 30;
	int			live;

	for (int round = 0; round < 400; round++)
	{
		int			n = make_entries((KeyShape) below(K_SHAPES), (TidShape) below(T_SHAPES), e,
									 1 + (int) below(round % 8 == 0 ? 20000 : 1200));
		void	   *good = page;

		snprintf(tap_context, sizeof(tap_context), "round %d", round);
		leaf_init(page, KYRO_FENCE_MIN, KYRO_NO_BLOCK, KYRO_NO_BLOCK, 26);
		n = (int) leaf_build(page, e, (size_t) n, ex.work);
		for (int i = 0; i < 20; i++)
		{
			KyroEntry	x = e[below((uint64_t) n)];

			x.tid = x.tid ^ (1 + below(4096));
			if (leaf_insert_kind(page, x, false) == LEAF_INS_RUN)
				CHECK(leaf_run_add(page, x, false));
		}
		/* with dead slots, extras and all */
		if (round % 2 && leaf_merge(page, ex.image[0], ex.work) == 1 &&
			leaf_vacuum(ex.image[0], ex.image[1], exercise_dead, &some, &live, ex.work) > 0)
			good = ex.image[1];
		memcpy(bytes, good, KYRO_PAGE_SIZE);
		if (round % 10 == 0)
			exercise_page(&ex, bytes, rnd());
		for (uint64_t i = below(12); i > 0; i--)
		{
			int			at = KYRO_PAGE_HEADER + (int) below(below(2) ? 400 : KYRO_PAGE_END - KYRO_PAGE_HEADER);

			bytes[at] ^= (uint8_t) (1 << below(8));
		}
		if (round % 16 == 3)
			for (int i = 0; i < KYRO_PAGE_SIZE; i++)
				bytes[i] = (uint8_t) rnd();
		if (round % 16 == 3)
		{
			LeafHeader	h;

			/* past the header check, at least */
			memcpy(&h, bytes + KYRO_PAGE_HEADER, sizeof(h));
			h.nblk = (uint16_t) below(200);
			h.nrun = (uint16_t) below(64);
			h.nslot = (uint16_t) (h.nblk * (1 + below(64)));
			h.pend = 7200;
			memcpy(bytes + KYRO_PAGE_HEADER, &h, sizeof(h));
		}
		exercise_page(&ex, bytes, rnd());
	}
	free(page);
	free(bytes);
	free(e);
	tap_done("damaged and random pages: nothing crashes");
}

/* ---- chains of pages against a sorted array ---- */

typedef struct Chain
{
	void	  **page;
	int			npages;
	int			size;
	bool		nulls;			/* a chain of NULL pages */
	uint8_t		reserve;
	KyroEntry  *ref;			/* what must be there */
	int			nref;
	int			ref_size;
	uint64_t   *gone;			/* tids the next vacuum removes: a hash set */
	int			ngone;
	/* how often each thing happened */
	long		appends;
	long		runs;
	long		merges;
	long		splits;
	long		new_right;
	long		vacuum_splits;
} Chain;

#define GONE_SIZE	(1 << 16)

static bool
gone_has(Chain *c, uint64_t tid)
{
	for (uint64_t i = tid * UINT64_C(0x9E3779B97F4A7C15) >> 48;; i = (i + 1) % GONE_SIZE)
	{
		if (c->gone[i] == UINT64_MAX)
			return false;
		if (c->gone[i] == tid)
			return true;
	}
}

static void
gone_add(Chain *c, uint64_t tid)
{
	uint64_t	i = tid * UINT64_C(0x9E3779B97F4A7C15) >> 48;

	if (c->ngone > GONE_SIZE / 2 || gone_has(c, tid))
		return;
	while (c->gone[i] != UINT64_MAX)
		i = (i + 1) % GONE_SIZE;
	c->gone[i] = tid;
	c->ngone++;
}

static void
gone_clear(Chain *c)
{
	memset(c->gone, 0xFF, sizeof(uint64_t) * GONE_SIZE);
	c->ngone = 0;
}

static void
chain_add_page(Chain *c, int at, void *page)
{
	if (c->npages == c->size)
	{
		c->size = c->size * 2 + 16;
		c->page = realloc(c->page, sizeof(void *) * (size_t) c->size);
	}
	memmove(c->page + at + 1, c->page + at, sizeof(void *) * (size_t) (c->npages - at));
	c->page[at] = page;
	c->npages++;
}

static void
ref_grow(Chain *c, int n)
{
	if (c->nref + n > c->ref_size)
	{
		c->ref_size = (c->nref + n) * 2;
		c->ref = realloc(c->ref, sizeof(KyroEntry) * (size_t) c->ref_size);
	}
}

/* The page that owns e. */
static int
chain_page_of(Chain *c, KyroEntry e)
{
	KyroFence	f = {e.key, e.tid, c->nulls};
	int			lo = 0;
	int			hi = c->npages;

	while (hi - lo > 1)
	{
		int			mid = (lo + hi) / 2;

		if (kyro_fence_cmp(leaf_low(c->page[mid]), f) <= 0)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Split page i; the two halves replace it. */
static void
chain_split(Chain *c, int i)
{
	void	   *left = new_page();
	void	   *right = new_page();
	KyroFence	cut;

	if (!CHECK(leaf_split(c->page[i], left, right, &cut, ex.work) == 1))
		exit(1);
	leaf_header(left)->right = 1;
	CHECK(kyro_fence_cmp(leaf_high(left), cut) == 0);
	CHECK(kyro_fence_cmp(leaf_low(right), cut) == 0);
	CHECK(cut.isnull == c->nulls);
	verify_page(left);
	verify_page(right);
	free(c->page[i]);
	c->page[i] = left;
	chain_add_page(c, i + 1, right);
	c->splits++;
}

/* The same with another kernel must give the same bytes. */
static void
check_same_change(const void *before, const void *after, KyroEntry e, bool append)
{
	char		name[16];

	snprintf(name, sizeof(name), "%s", leaf_kernel_name());
	memcpy(ex.image[2], before, KYRO_PAGE_SIZE);
	CHECK(leaf_kernel_force("scalar"));
	CHECK(append ? leaf_append(ex.image[2], e, false) : leaf_run_add(ex.image[2], e, false));
	CHECK(leaf_kernel_force(name));
	CHECK(memcmp(ex.image[2], after, KYRO_PAGE_SIZE) == 0);
}

static bool
chain_insert(Chain *c, KyroEntry e)
{
	int			at = gap_of(c->ref, c->nref, e, false);
	bool		look = below(16) == 0;

	if (at < c->nref && kyro_entry_cmp(c->ref[at], e) == 0)
		return false;
	ref_grow(c, 1);
	memmove(c->ref + at + 1, c->ref + at, sizeof(KyroEntry) * (size_t) (c->nref - at));
	c->ref[at] = e;
	c->nref++;

	for (int turns = 0;; turns++)
	{
		int			i = chain_page_of(c, e);
		void	   *page = c->page[i];
		void	   *image;
		bool		edge = i == c->npages - 1;
		int			merged;

		if (!CHECK(turns < 64))
			exit(1);
		if (look)
			memcpy(ex.image[0], page, KYRO_PAGE_SIZE);
		switch (leaf_insert_kind(page, e, edge))
		{
			case LEAF_INS_APPEND:
				CHECK(edge && leaf_append(page, e, false));
				c->appends++;
				if (look)
				{
					verify_page(page);
					check_same_change(ex.image[0], page, e, true);
				}
				return true;
			case LEAF_INS_RUN:
				CHECK(leaf_run_add(page, e, false));
				c->runs++;
				if (look)
				{
					verify_page(page);
					check_same_change(ex.image[0], page, e, false);
				}
				return true;
			case LEAF_INS_MERGE:
				image = new_page();
				merged = leaf_merge(page, image, ex.work);
				CHECK(merged >= 0);
				c->merges++;
				if (merged == 1)
				{
					verify_page(image);
					CHECK(leaf_upper(image) - leaf_lower(image) >= KYRO_RUN_CHUNK);
					free(page);
					c->page[i] = image;
				}
				else
				{
					free(image);
					chain_split(c, i);
				}
				break;
			case LEAF_INS_NEW_RIGHT:
				{
					KyroEntry	last;
					static LeafCursor cur;
					KyroFence	low;

					CHECK(edge);
					leaf_cursor_init(&cur, page);
					leaf_cursor_last(&cur);
					CHECK(leaf_cursor_prev(&cur, &last) && kyro_entry_cmp(last, e) < 0);
					low = leaf_cut(last, e);
					low.isnull = c->nulls;
					image = new_page();
					leaf_init(image, low, 0, KYRO_NO_BLOCK, c->reserve);
					leaf_set_high(page, low);
					leaf_header(page)->right = 1;
					chain_add_page(c, c->npages, image);
					c->new_right++;
				}
				break;
			default:
				CHECK(!"corrupt");
				exit(1);
		}
	}
}

typedef struct DeadRule
{
	Chain	   *chain;
	int			kind;			/* 0 random, 1 range of tids, 2 the gone ones */
	unsigned	percent;
	uint64_t	lo;
	uint64_t	hi;
	uint64_t	salt;
	long		calls;
} DeadRule;

static bool
rule_dead(void *arg, uint64_t tid)
{
	DeadRule   *r = arg;

	r->calls++;
	switch (r->kind)
	{
		case 0:
			return ((tid ^ r->salt) * UINT64_C(0x9E3779B97F4A7C15) >> 40) % 100 < r->percent;
		case 1:
			return tid >= r->lo && tid <= r->hi;
		default:
			return gone_has(r->chain, tid);
	}
}

static void
chain_vacuum(Chain *c, DeadRule *rule)
{
	int			kept = 0;
	int			removed = 0;
	int			before = c->nref;

	for (int i = 0; i < c->nref; i++)
		if (!rule_dead(rule, c->ref[i].tid))
			c->ref[kept++] = c->ref[i];
	c->nref = kept;
	for (int i = 0; i < c->npages;)
	{
		void	   *image = new_page();
		int			live;
		int			count = leaf_count(c->page[i]);
		int			r;

		rule->calls = 0;
		r = leaf_vacuum(c->page[i], image, rule_dead, rule, &live, ex.work);
		CHECK(rule->calls == count);
		if (r == LEAF_VACUUM_SPLIT)
		{
			free(image);
			c->vacuum_splits++;
			chain_split(c, i);
			continue;
		}
		CHECK(r >= 0 && live == count - r);
		if (r == 0)
			free(image);
		else
		{
			verify_page(image);
			free(c->page[i]);
			c->page[i] = image;
			removed += r;
		}
		/* unlink an empty page: its left sibling takes over the range */
		if (live == 0 && i > 0)
		{
			void	   *left = c->page[i - 1];

			leaf_header(left)->right = leaf_header(c->page[i])->right;
			leaf_set_high(left, leaf_high(c->page[i]));
			free(c->page[i]);
			memmove(c->page + i, c->page + i + 1, sizeof(void *) * (size_t) (c->npages - i - 1));
			c->npages--;
			continue;
		}
		i++;
	}
	CHECK(removed == before - kept);
}

/* The whole chain against the reference. */
static void
chain_check(Chain *c)
{
	static KyroEntry e[KYRO_LEAF_MAX_ENTRIES];
	static LeafCursor cur;
	uint64_t	tids[32];
	int			at = 0;
	bool		same = true;

	for (int i = 0; i < c->npages; i++)
	{
		int			n = leaf_decode(c->page[i], e);

		verify_page(c->page[i]);
		if (i > 0)
			CHECK(kyro_fence_cmp(leaf_high(c->page[i - 1]), leaf_low(c->page[i])) == 0);
		CHECK(leaf_has_high(c->page[i]) == (i + 1 < c->npages));
		CHECK(n == leaf_count(c->page[i]));
		if (!CHECK(n >= 0 && at + n <= c->nref))
			exit(1);
		same &= exercise_same(e, c->ref + at, n);
		at += n;
	}
	CHECK(same);
	CHECK(at == c->nref);
	if (tap_problems)
		exit(1);
	for (int i = 0; i < 100 && c->nref > 0; i++)
	{
		KyroEntry	x = c->ref[below((uint64_t) c->nref)];
		int			p;
		int			lo;
		int			hi;
		int			found = 0;
		KyroEntry	got;

		if (i % 4 == 3)
			x.key = (int64_t) ((uint64_t) x.key + below(5) - 2);
		lo = gap_of(c->ref, c->nref, (KyroEntry) {x.key, 0}, false);
		hi = gap_of(c->ref, c->nref, (KyroEntry) {x.key, UINT64_MAX}, true);
		if (hi - lo > 32)
			continue;
		/* all pages that may hold the key */
		for (p = chain_page_of(c, (KyroEntry) {x.key, 0}); p < c->npages; p++)
		{
			int			n = leaf_find(c->page[p], x.key, tids, 32, NULL);

			CHECK(n >= 0 && n <= hi - lo - found);
			for (int j = 0; j < n; j++)
				CHECK(tids[j] == c->ref[lo + found + j].tid);
			found += n;
			if (!leaf_has_high(c->page[p]) ||
				kyro_fence_cmp(leaf_high(c->page[p]), (KyroFence) {x.key, UINT64_MAX, c->nulls}) > 0)
				break;
		}
		CHECK(found == hi - lo);
		/* and a few steps of a cursor from there */
		lo = gap_of(c->ref, c->nref, x, i & 1);
		p = chain_page_of(c, x);
		leaf_cursor_init(&cur, c->page[p]);
		leaf_cursor_seek(&cur, x, i & 1);
		for (int j = 0; j < 5 && leaf_cursor_next(&cur, &got); j++)
			CHECK(lo < c->nref && kyro_entry_cmp(got, c->ref[lo++]) == 0);
		for (int j = 0; j < 9 && leaf_cursor_prev(&cur, &got); j++)
			CHECK(lo > 0 && kyro_entry_cmp(got, c->ref[--lo]) == 0);
	}
}

static void
chain_build(Chain *c, KyroEntry *e, int n)
{
	int			at = 0;

	ref_grow(c, n + 1);
	memcpy(c->ref, e, sizeof(KyroEntry) * (size_t) n);
	c->nref = n;
	do
	{
		void	   *page = new_page();
		KyroFence	low = KYRO_FENCE_MIN;

		if (at > 0)
			low = leaf_cut(e[at - 1], e[at]);
		else if (c->nulls)
			low.key = 0;
		low.isnull = c->nulls;
		leaf_init(page, low, 0, KYRO_NO_BLOCK, c->reserve);
		at += (int) leaf_build(page, e + at, (size_t) (n - at), ex.work);
		if (c->npages > 0)
		{
			leaf_header(c->page[c->npages - 1])->right = 1;
			leaf_set_high(c->page[c->npages - 1], low);
		}
		chain_add_page(c, c->npages, page);
	} while (at < n);
}

static void
chain_free(Chain *c)
{
	for (int i = 0; i < c->npages; i++)
		free(c->page[i]);
	free(c->page);
	free(c->ref);
	free(c->gone);
}

static uint64_t
some_tid(TidShape shape, uint64_t *end)
{
	switch (shape)
	{
		case T_HUGE:
			return rnd() & KYRO_TID_MAX;
		case T_RANDOM:
			return below(2000) << 16 | (1 + below(226));
		case T_ONE_PER_PAGE:
			*end = ((*end >> 16) + 1) << 16 | 1;
			return *end;
		default:
			++*end;
			if ((*end & 0xFFFF) > (shape == T_VARYING ? 60 + below(71) : 226))
				*end = ((*end >> 16) + 1) << 16 | 1;
			return *end;
	}
}

static void
run_chain(uint64_t seed, int ops, Chain *totals)
{
	Chain		chain = {0};
	Chain	   *c = &chain;
	KyroEntry  *e = malloc(sizeof(*e) * 20000);
	KeyShape	keys;
	TidShape	tids;
	uint64_t	end = UINT64_C(3000) << 16 | 1;
	int			n;
	int			done = 0;
	int64_t		top;

	rng_state = seed * UINT64_C(0xD1342543DE82EF95) + 1;
	snprintf(tap_context, sizeof(tap_context), "seed %llu", (unsigned long long) seed);
	keys = (KeyShape) below(K_SHAPES);
	tids = (TidShape) below(T_SHAPES);
	c->nulls = below(12) == 0;
	c->reserve = (uint8_t) (below(4) ? 26 : below(256));
	c->gone = malloc(sizeof(uint64_t) * GONE_SIZE);
	gone_clear(c);
	if (below(3) == 0)
		(void) leaf_kernel_force(below(2) ? "scalar" : "sse2");
	n = below(4) ? (int) below(20000) : (int) below(3);
	if (n > 0)
		n = make_entries(keys, tids, e, n);
	if (c->nulls)
	{
		for (int i = 0; i < n; i++)
			e[i].key = 0;
		n = make_tids(tids, e, n);
	}
	chain_build(c, e, n);
	chain_check(c);
	while (done < ops)
	{
		int			kind = (int) below(12);
		int			batch = 1 + (int) below(below(3) ? 300 : 2000);
		KyroEntry	x = {0, 0};
		int64_t		one = c->nref ? c->ref[below((uint64_t) c->nref)].key : 0;

		done += batch;
		top = c->nref ? c->ref[c->nref - 1].key : 0;
		make_keys(keys, e, batch);
		for (int i = 0; i < batch && kind < 9; i++)
		{
			x.tid = some_tid(tids, &end);
			switch (kind)
			{
				case 0:			/* ascending, sometimes a late one or a jump */
				case 1:
					top += top > INT64_MAX - 100000 ? 0 :
						keys == K_DENSE ? 1 : keys == K_HOLES ? 1 + (int64_t) below(3) :
						keys == K_SECONDS ? below(10) == 0 : (int64_t) below(50000);
					x.key = top;
					if (kind == 1 && below(50) == 0)
						x.key = (int64_t) ((uint64_t) x.key - below(1000));
					if (kind == 1 && below(200) == 0 && top < INT64_MAX / 2)
						top += INT64_C(1) << below(50);
					break;
				case 2:			/* the data's own shape */
					x.key = e[i].key;
					break;
				case 3:			/* near existing keys */
					x.key = c->nref ? c->ref[below((uint64_t) c->nref)].key : 0;
					x.key = (int64_t) ((uint64_t) x.key + below(5) - 2);
					break;
				case 4:			/* duplicates of one key */
					x.key = one;
					break;
				case 5:			/* ends and anything */
					x.key = below(3) == 0 ? INT64_MIN : below(2) ? INT64_MAX : (int64_t) rnd();
					break;
				case 6:			/* duplicates at the right edge */
					x.key = top;
					if (below(300) == 0 && top < INT64_MAX)
						top++;
					break;
				default:		/* non-HOT updates */
					if (c->nref == 0)
						continue;
					{
						KyroEntry	old = c->ref[below((uint64_t) c->nref)];

						x.key = old.key;
						gone_add(c, old.tid);
						if (gone_has(c, x.tid))
							continue;
					}
					break;
			}
			if (c->nulls)
				x.key = 0;
			(void) chain_insert(c, x);
		}
		if (kind >= 9 || below(8) == 0)
		{
			unsigned	percent = (unsigned) (below(3) ? below(30) : below(101));
			DeadRule	rule = {.chain = c, .kind = kind == 9 ? 0 : kind == 10 ? 1 : 2, .percent = percent, .salt = rnd()};

			if (rule.kind == 1 && c->nref > 0)
			{
				rule.lo = c->ref[below((uint64_t) c->nref)].tid;
				rule.hi = rule.lo + (below(2) ? below(UINT64_C(1) << 44) : below(1 << 21));
			}
			chain_vacuum(c, &rule);
			if (rule.kind == 2)
				gone_clear(c);
		}
		chain_check(c);
	}
	CHECK(leaf_kernel_force("avx2") || leaf_kernel_force("sse2") || leaf_kernel_force("scalar"));
	chain_free(c);
	free(e);
	totals->appends += c->appends;
	totals->runs += c->runs;
	totals->merges += c->merges;
	totals->splits += c->splits;
	totals->new_right += c->new_right;
	totals->vacuum_splits += c->vacuum_splits;
}

/* Pages filled to the last byte, so that bitmaps of dead slots do not fit. */
static void
test_vacuum_split(void)
{
	KyroEntry  *e = malloc(sizeof(*e) * 20000);
	long		seen = 0;

	for (int round = 0; round < 12; round++)
	{
		Chain		chain = {0};
		Chain	   *c = &chain;
		DeadRule	rule = {.chain = c, .kind = 0, .percent = 5 + (unsigned) round * 7, .salt = rnd()};
		KeyShape	keys = (KeyShape[]) {K_DENSE, K_HOLES, K_STEPS}[round % 3];

		snprintf(tap_context, sizeof(tap_context), "round %d", round);
		chain_build(c, e, make_entries(keys, round % 2 ? T_KEY_ORDER : T_VARYING, e, 20000));
		/* updates of all pages, but not so many that a page splits */
		for (int i = 0; i < c->npages; i++)
		{
			static KyroEntry all[KYRO_LEAF_MAX_ENTRIES];
			int			n = leaf_decode(c->page[i], all);
			int			pages = c->npages;

			while (c->npages == pages &&
				   leaf_upper(c->page[i]) - leaf_lower(c->page[i]) > 200)
			{
				KyroEntry	x = all[below((uint64_t) n)];

				x.tid = (UINT64_C(5000) << 16 | 1) + (uint64_t) c->nref;
				(void) chain_insert(c, x);
			}
			i += c->npages - pages;
		}
		chain_check(c);
		c->splits = 0;
		chain_vacuum(c, &rule);
		CHECK(c->vacuum_splits == c->splits);
		seen += c->vacuum_splits;
		chain_check(c);
		chain_free(c);
	}
	CHECK(seen > 0);
	tap_context[0] = '\0';

	/* split where the first slots of every block are dead, but used again */
	{
		Chain		chain = {0};
		Chain	   *c = &chain;
		DeadRule	rule = {.chain = c, .kind = 2};
		int			n = make_entries(K_DENSE, T_KEY_ORDER, e, 16000);

		c->gone = malloc(sizeof(uint64_t) * GONE_SIZE);
		gone_clear(c);
		for (int i = 0; i < n; i++)
			if (i % KYRO_BLOCK_SLOTS < 20)
				gone_add(c, e[i].tid);
		chain_build(c, e, n);
		chain_vacuum(c, &rule);
		CHECK(c->npages == 1);
		for (int i = 5; i < n; i += KYRO_BLOCK_SLOTS)
			CHECK(leaf_run_add(c->page[0], e[i], false));
		free(c->ref);
		c->ref = malloc(sizeof(KyroEntry) * KYRO_LEAF_MAX_ENTRIES);
		c->nref = leaf_decode(c->page[0], c->ref);
		chain_check(c);
		chain_split(c, 0);
		chain_split(c, 1);
		chain_split(c, 0);
		chain_check(c);
		chain_free(c);
	}

	/* split inside a block, at a dead slot that is used again */
	for (int step = 2; step < 8; step++)
	{
		Chain		chain = {0};
		Chain	   *c = &chain;
		DeadRule	rule = {.chain = c, .kind = 2};
		int			n = make_entries(K_DENSE, T_KEY_ORDER, e, 3 * KYRO_BLOCK_SLOTS);

		snprintf(tap_context, sizeof(tap_context), "every slot of %d", step);
		c->gone = malloc(sizeof(uint64_t) * GONE_SIZE);
		gone_clear(c);
		for (int i = 1; i < n; i += step)
			gone_add(c, e[i].tid);
		chain_build(c, e, n);
		chain_vacuum(c, &rule);
		CHECK(c->npages == 1 && leaf_count(c->page[0]) < leaf_header(c->page[0])->nslot);
		for (int i = 1; i < n; i += step)
			if (i > n / 2 - 25 * step && i < n / 2 + 25 * step)
				(void) chain_insert(c, e[i]);
		chain_check(c);
		chain_split(c, 0);
		chain_check(c);
		chain_free(c);
	}
	free(e);
	tap_done("splits in vacuum, splits among dead slots");
}

int
main(int argc, char **argv)
{
	uint64_t	first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	int			seeds = argc > 2 ? atoi(argv[2]) : 80;
	int			ops = argc > 3 ? atoi(argv[3]) : 8000;
	Chain		totals = {0};

	exercise_init(&ex);
	printf("# kernel: %s\n", leaf_kernel_name());
	rng_state = first;
	test_small();
	test_edges();
	test_verify();
	test_build();
	test_kernels();
	test_checksum();
	test_hostile();
	test_vacuum_split();
	for (int i = 0; i < seeds; i++)
		run_chain(first + (uint64_t) i, ops, &totals);
	printf("# %ld appends, %ld into runs, %ld merges, %ld splits, %ld new pages at the right, "
		   "%ld splits in vacuum\n", totals.appends, totals.runs, totals.merges, totals.splits,
		   totals.new_right, totals.vacuum_splits);
	if (seeds >= 12)
		CHECK(totals.appends > 0 && totals.runs > 0 && totals.merges > 0 && totals.splits > 0 &&
			  totals.new_right > 0);
	tap_done("chains of pages equal a sorted array after every batch");
	exercise_free(&ex);
	return tap_exit();
}
