/*-------------------------------------------------------------------------
 *
 * fuzz_ops.c
 *	  Random commands on an index, against a list of rows.
 *
 * The whole of src/rmi runs, on pages in memory: builds, inserts one by one
 * and in bulk, splits, VACUUM with deletion of leaves, folds and rebuilds of
 * the directory, scans.  The table is an array of rows, whose place is the
 * row's address, so that addresses are used again after VACUUM.  Several
 * sessions take turns, and know the directory as it was when they last looked.
 * Scans stay open while others change the index: what was there all the time
 * must come exactly once, in order, and nothing that never was there.
 *
 * Input: a seed (8 bytes), the shape of the index (4 bytes), commands (3 bytes
 * each).
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_ops.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fuzz.h"
#include "index.h"

#define ROWS_MAX 65536
#define SCANS_MAX 3
#define SESSIONS 3
#define ANY_MAX 300
#define NEVER UINT32_MAX

typedef struct Row
{
	int64		key;
	bool		isnull;
	bool		used;			/* the index has an entry */
	bool		dead;			/* the next VACUUM removes it */
	uint32		born;			/* when, in commands */
	uint32		gone;
} Row;

typedef struct OpenScan
{
	IndexScanDesc scan;			/* NULL: none */
	bool		forward;
	bool		pinned;
	IndexRange	range;
	int64		lo;
	int64		hi;
	int			nkeys;			/* of these keys only; 0: no array */
	int64		keys[ANY_MAX];
	uint32		begun;
	bool		any;
	KyroFence	last;
	bool		seen[ROWS_MAX];
} OpenScan;

static Row	rows[ROWS_MAX];
static int	nrows;				/* places in the table */
static int	rows_per_page;
static uint64 first_page;
static OpenScan scans[SCANS_MAX];
static uint32 now;
static uint64 rng;
static int64 clock_key;			/* for ascending keys */
static uint64 stride;
static int	next_place;

static IndexRow *sorted;		/* the entries in order, if up to date */
static int	nsorted;
static bool sorted_valid;

/* how much was done, in all inputs */
static struct
{
	long		inputs;
	long		inserted;		/* one by one */
	long		loaded;			/* by builds and in bulk */
	long		removed;
	long		killed;			/* entries removed by scans and inserts */
	long		returned;		/* by scans */
	long		scans;
	long		vacuums;
	long		folds;
	long		verified;
	long		pages;			/* of the files in the end */
}			done;

static uint64
rnd(uint64 n)
{
	return n == 0 ? 0 : fuzz_random(&rng) % n;
}

static uint64
tid_of(int place)
{
	return (first_page + place / rows_per_page) << 16 | (place % rows_per_page + 1);
}

static int
place_of(uint64 tid)
{
	int			place;

	EXPECT((tid >> 16) >= first_page);
	EXPECT((tid & 0xFFFF) >= 1 && (tid & 0xFFFF) <= (uint64) rows_per_page);
	EXPECT((tid >> 16) - first_page < ROWS_MAX);
	place = ((tid >> 16) - first_page) * rows_per_page + (tid & 0xFFFF) - 1;
	EXPECT(place < nrows);
	return place;
}

static IndexRow
row_at(int place)
{
	return (IndexRow) {rows[place].key, tid_of(place), rows[place].isnull};
}

static void
sort_entries(void)
{
	if (sorted_valid)
		return;
	nsorted = 0;
	for (int i = 0; i < nrows; i++)
		if (rows[i].used)
			sorted[nsorted++] = row_at(i);
	qsort(sorted, nsorted, sizeof(IndexRow), idx_row_cmp);
	sorted_valid = true;
}

/* First entry >= f. */
static int
find_entry(KyroFence f)
{
	int			lo = 0;
	int			hi = nsorted;

	sort_entries();
	hi = nsorted;
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (kyro_fence_cmp(idx_row_fence(sorted[mid]), f) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Entries lo .. hi - 1 are those of a range. */
static void
range_entries(IndexRange range, int64 from, int64 to, int *lo, int *hi)
{
	*lo = 0;
	sort_entries();
	*hi = nsorted;
	if (range == INDEX_KEYS)
	{
		*lo = find_entry((KyroFence) {from, 0, false});
		*hi = find_entry((KyroFence) {to, UINT64_MAX, false});
		if (from > to)
			*hi = *lo;
	}
	else if (range == INDEX_NULLS)
		*lo = find_entry((KyroFence) {0, 0, true});
}

/* ---- keys ---- */

static int64
some_key(int shape)
{
	int			place = rnd(nrows);
	uint64		k;

	switch (shape % 8)
	{
		case 0:					/* ascending */
			clock_key += clock_key > INT64_MAX - (int64) stride ? 0 : (int64) rnd(stride) + 1;
			return clock_key;
		case 1:					/* dense, ascending */
			clock_key += clock_key < INT64_MAX;
			return clock_key;
		case 2:					/* near an existing one */
			return (int64) ((uint64) rows[place].key + rnd(5) - 2);
		case 3:					/* one of a few */
			return (int64) rnd(4);
		case 4:					/* the ends */
			k = rnd(6);
			return k == 0 ? INT64_MIN : k == 1 ? INT64_MAX : k == 2 ? INT64_MIN + 1 : k == 3 ? INT64_MAX - 1 :
				(int64) rnd(3) - 1;
		case 5:					/* anything */
			return (int64) fuzz_random(&rng);
		case 6:					/* anything, exponentially */
			k = fuzz_random(&rng);
			return (int64) (k >> (k & 63));
		default:				/* late ones, a little below */
			return (int64) ((uint64) clock_key - rnd(stride + 1));
	}
}

/* A place to insert into, or -1.  While scans are open, not one that had another row since. */
static int
free_place(bool sequential)
{
	uint32		oldest = NEVER;

	for (int s = 0; s < SCANS_MAX; s++)
		if (scans[s].scan != NULL)
			oldest = Min(oldest, scans[s].begun);
	for (int i = 0; i < 64; i++)
	{
		int			place = sequential ? next_place++ % nrows : (int) rnd(nrows);

		if (!rows[place].used && (rows[place].gone == 0 || rows[place].gone < oldest))
			return place;
	}
	return -1;
}

static void
new_row(int place, int64 key, bool isnull)
{
	rows[place] = (Row) {.key = isnull ? 0 : key, .isnull = isnull, .used = true, .born = now};
	sorted_valid = false;
}

/* ---- commands ---- */

static int	arg_session;
static int	arg_n;
static int	arg_shape;
static int	arg_choice;
static IndexRow batch[ROWS_MAX];

static void
cmd_build(void *unused)
{
	int			n = 0;

	for (int i = 0; i < nrows && n < arg_n; i++)
	{
		bool		isnull = arg_choice % 4 == 0 && rnd(8) == 0;

		new_row(i, some_key(arg_shape), isnull);
		batch[n++] = row_at(i);
	}
	next_place = n;
	idx_build(arg_session, batch, n, 50 + arg_choice % 51);
	done.loaded += n;
}

static void
cmd_insert(void *unused)
{
	int64		one = some_key(arg_shape);
	bool		isnull = arg_choice % 16 == 0;

	for (int i = 0; i < arg_n; i++)
	{
		int			place = free_place(arg_choice & 1);

		if (place < 0)
			return;
		/* all of one key, or as the shape says */
		new_row(place, (arg_choice & 6) == 6 ? one : some_key(arg_shape), isnull || rnd(200) == 0);
		idx_insert(arg_session, row_at(place), false);
		done.inserted++;
	}
}

static void
cmd_bulk(void *unused)
{
	int			n = 0;

	for (int i = 0; i < arg_n; i++)
	{
		int			place = free_place(arg_choice & 1);

		if (place < 0)
			break;
		new_row(place, some_key(arg_shape), rnd(100) == 0);
		batch[n++] = row_at(place);
	}
	idx_bulk_insert(arg_session, batch, n);
	done.loaded += n;
}

/* New versions of rows, with the same key; of one again and again, sometimes. */
static void
cmd_update(void *unused)
{
	int			hot = arg_choice % 4 == 0 ? (int) rnd(nrows) : -1;

	for (int i = 0; i < arg_n; i++)
	{
		int			old = hot >= 0 ? hot : (int) rnd(nrows);
		int			place = free_place(true);

		if (place < 0)
			return;
		if (!rows[old].used || rows[old].dead)
			continue;
		rows[old].dead = true;
		new_row(place, rows[old].key, rows[old].isnull);
		hot = hot >= 0 ? place : -1;
		idx_insert(arg_session, row_at(place), true);
		done.inserted++;
	}
}

static bool
row_is_dead(uint64 tid)
{
	int			place = place_of(tid);

	EXPECT(rows[place].used);
	return rows[place].dead;
}

static void
cmd_vacuum(void *unused)
{
	long		dead = 0;
	long		removed;
	int64		a = rows[rnd(nrows)].key;
	uint64		percent = rnd(101);
	int			from = rnd(nrows);

	for (int i = 0; i < nrows; i++)
	{
		Row		   *r = &rows[i];

		switch (arg_choice % 8)
		{
			case 0:				/* some */
				r->dead |= rnd(100) < percent;
				break;
			case 1:				/* the lowest keys, as of a queue */
				r->dead |= !r->isnull && r->key < a;
				break;
			case 2:				/* the highest */
				r->dead |= !r->isnull && r->key >= a;
				break;
			case 3:				/* a stretch of the table */
				r->dead |= i >= from && i < from + 3000;
				break;
			case 4:				/* all, or all NULLs */
				r->dead |= percent < 30 || r->isnull;
				break;
			default:			/* updated ones only */
				break;
		}
		r->dead &= r->used;
		dead += r->dead;
	}
	removed = idx_vacuum(arg_session, row_is_dead);
	EXPECT(removed == dead);
	done.removed += removed;
	done.vacuums++;
	for (int i = 0; i < nrows; i++)
	{
		if (!rows[i].dead)
			continue;
		rows[i].used = rows[i].dead = false;
		rows[i].gone = now;
	}
	sorted_valid = false;
}

static void
cmd_fold(void *unused)
{
	if (arg_choice % 3 == 0)
		idx_rebuild(arg_session);
	else
		rmi_maybe_fold(server_relation(arg_session), arg_choice % 3 == 1, RMI_WHY_FOLD);
	done.folds++;
}

static void
cmd_verify(void *unused)
{
	EXPECT(idx_verify(arg_session, true) == 0);
	done.verified++;
}

static void
expect_row(const IndexRow *got, const IndexRow *want, bool pinned)
{
	EXPECT(got->tid == want->tid);
	done.returned++;
	if (pinned)
		EXPECT(got->isnull == want->isnull && got->key == want->key);
}

static void
row_deleted(uint64 tid)
{
	Row		   *r = &rows[place_of(tid)];

	EXPECT(r->used && r->dead);
	r->used = r->dead = false;
	r->gone = now;
	sorted_valid = false;
	done.killed++;
}

static int
compare_keys(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* Keys for = ANY, ascending: few or many, of rows near one another or anywhere, or of none; some of them often. */
static int
some_keys(int64 *keys)
{
	int			n = 1 + rnd(rnd(3) == 0 ? ANY_MAX : 12);
	int			near = rnd(3) == 0 ? (int) rnd(nrows) : -1;

	for (int i = 0; i < n; i++)
		keys[i] = i > 0 && rnd(8) == 0 ? keys[rnd(i)] :
			near >= 0 ? rows[(near + (int) rnd(200)) % nrows].key :
			rnd(4) == 0 ? some_key(arg_shape) : rows[rnd(nrows)].key;
	qsort(keys, n, sizeof(int64), compare_keys);
	return n;
}

static bool
is_any(int64 key, const int64 *keys, int n)
{
	return bsearch(&key, keys, n, sizeof(int64), compare_keys) != NULL;
}

/* Begin a scan of a range or of keys; the rows that it should return, as places in sorted[], ascending. */
static IndexScanDesc
scan_begin(IndexRange range, int64 from, int64 to, bool any, bool pinned, int *wanted, int *n)
{
	static int64 keys[ANY_MAX];
	int			nkeys = any ? some_keys(keys) : 0;
	int			lo,
				hi;

	range_entries(any ? INDEX_KEYS : range, any ? INT64_MIN : from, any ? INT64_MAX : to, &lo, &hi);
	*n = 0;
	for (int i = lo; i < hi; i++)
		if (!any || is_any(sorted[i].key, keys, nkeys))
			wanted[(*n)++] = i;
	return any ? idx_scan_begin_any(arg_session, keys, nkeys, pinned) :
		idx_scan_begin(arg_session, range, from, to, pinned);
}

static int	wanted[ROWS_MAX];

/* A range or an array forward or backward, whole; some rows turn out to be dead then. */
static void
cmd_range(void *unused)
{
	int			kill = rnd(3) == 0 ? (int) rnd(101) : 0;	/* percent */
	int64		from = arg_choice & 1 ? some_key(arg_shape) : rows[rnd(nrows)].key;
	int64		to = arg_choice & 2 ? from : arg_choice & 4 ? rows[rnd(nrows)].key : some_key(arg_shape);
	IndexRange	range = arg_choice % 16 == 15 ? INDEX_NULLS : arg_choice % 16 == 14 ? INDEX_ALL : INDEX_KEYS;
	bool		forward = (arg_choice & 8) != 0;
	bool		pinned = rnd(2);
	IndexScanDesc scan;
	IndexRow	row;
	int			n;

	if (from > to)
	{
		int64		swap = from;

		from = to;
		to = swap;
	}
	scan = scan_begin(range, from, to, rnd(3) == 0, pinned, wanted, &n);
	for (int i = 0; i < n; i++)
	{
		EXPECT(idx_scan_next(scan, forward, &row));
		expect_row(&row, &sorted[wanted[forward ? i : n - 1 - i]], pinned);
		scan->kill_prior_tuple = (int) rnd(100) < kill;
		rows[place_of(row.tid)].dead |= scan->kill_prior_tuple;
	}
	EXPECT(!idx_scan_next(scan, forward, &row));
	idx_scan_end(scan);
	done.scans++;
}

/* To and fro, with marks. */
static void
cmd_scroll(void *unused)
{
	IndexScanDesc scan;
	IndexRow	row;
	int64		from = rows[rnd(nrows)].key;
	int64		to = rows[rnd(nrows)].key;
	bool		pinned = rnd(2);
	int			n,
				at = -1,		/* the row returned last, of those wanted */
				marked = -1;

	if (from > to)
		from = to;
	scan = scan_begin(arg_choice & 1 ? INDEX_ALL : INDEX_KEYS, from, to, rnd(2), pinned, wanted, &n);
	for (int turn = 0; turn < 30; turn++)
	{
		bool		forward = turn == 0 || rnd(2);
		int			steps = 1 + rnd(rnd(4) == 0 ? 3000 : 20);

		for (int i = 0; i < steps; i++)
		{
			at += forward ? 1 : -1;
			if (at < 0 || at >= n)
			{
				EXPECT(!idx_scan_next(scan, forward, &row));
				goto out;
			}
			EXPECT(idx_scan_next(scan, forward, &row));
			expect_row(&row, &sorted[wanted[at]], pinned);
		}
		if (rnd(4) == 0)
		{
			rmi_markpos(scan);
			marked = at;
		}
		else if (marked >= 0 && rnd(4) == 0)
		{
			rmi_restrpos(scan);
			at = marked;
		}
	}
out:
	idx_scan_end(scan);
	done.scans++;
}

/* ---- scans that stay open ---- */

static OpenScan *arg_scan;

static bool
in_range(const OpenScan *s, const Row *r)
{
	if (s->nkeys > 0)
		return !r->isnull && is_any(r->key, s->keys, s->nkeys);
	return s->range == INDEX_ALL || (s->range == INDEX_NULLS ? r->isnull :
									 !r->isnull && r->key >= s->lo && r->key <= s->hi);
}

static void
cmd_scan_begin(void *unused)
{
	OpenScan   *s = arg_scan;

	memset(s, 0, sizeof(*s));
	s->forward = arg_choice & 1;
	s->pinned = arg_choice & 2;
	s->range = (arg_choice & 12) == 12 ? INDEX_KEYS : INDEX_ALL;
	s->lo = rows[rnd(nrows)].key;
	s->hi = rows[rnd(nrows)].key;
	if (s->lo > s->hi)
		s->lo = INT64_MIN;
	s->begun = now;
	if (rnd(3) == 0)
		s->nkeys = some_keys(s->keys);
	s->scan = s->nkeys > 0 ? idx_scan_begin_any(arg_session, s->keys, s->nkeys, s->pinned) :
		idx_scan_begin(arg_session, s->range, s->lo, s->hi, s->pinned);
}

/* Some rows of an open scan; at its end, everything that it should have returned. */
static void
cmd_scan_next(void *unused)
{
	OpenScan   *s = arg_scan;

	for (int i = 0; i < arg_n; i++)
	{
		IndexRow	got;
		Row		   *r;
		KyroFence	f;

		if (!idx_scan_next(s->scan, s->forward, &got))
		{
			idx_scan_end(s->scan);
			s->scan = NULL;
			done.scans++;
			for (int p = 0; p < nrows; p++)
				if (rows[p].used && rows[p].born < s->begun && in_range(s, &rows[p]))
					EXPECT(s->seen[p]);
			return;
		}
		r = &rows[place_of(got.tid)];
		f = (KyroFence) {r->key, got.tid, r->isnull};
		EXPECT(r->used || r->gone >= s->begun);
		EXPECT(in_range(s, r));
		EXPECT(!s->any || (s->forward ? kyro_fence_cmp(f, s->last) > 0 : kyro_fence_cmp(f, s->last) < 0));
		if (s->pinned)
			EXPECT(got.isnull == r->isnull && got.key == r->key);
		done.returned++;
		s->any = true;
		s->last = f;
		s->seen[place_of(got.tid)] = true;
	}
}

static void
close_pinned(void)
{
	for (int i = 0; i < SCANS_MAX; i++)
	{
		if (scans[i].scan != NULL && scans[i].pinned)
		{
			arg_scan = &scans[i];
			arg_n = INT_MAX;
			EXPECT(server_try(cmd_scan_next, NULL, -1, true));
		}
	}
}

static void
run(void (*command) (void *))
{
	now++;
	EXPECT(server_try(command, NULL, -1, false));
	EXPECT(server_warnings == 0);
}

void
fuzz_report(void)
{
	printf("# %ld inputs: %ld rows inserted one by one, %ld at once, %ld removed by %ld vacuums; "
		   "%ld returned by %ld scans; %ld folds and rebuilds, %ld checks; files of %ld pages; "
		   "%ld removed by scans and inserts, %ld changes of pages replayed\n",
		   done.inputs, done.inserted, done.loaded, done.removed, done.vacuums, done.returned, done.scans,
		   done.folds, done.verified, done.pages, done.killed, server_records);
	fflush(stdout);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, size};
	unsigned	shape;

	if (size < 12)
		return 0;
	for (int i = 0; i < SCANS_MAX; i++)
		scans[i].scan = NULL;
	if (sorted == NULL)
		sorted = malloc(sizeof(IndexRow) * ROWS_MAX);
	rng = fuzz_take(&in, 8);
	idx_reset(rng % 2 == 0);
	idx_deleted = row_deleted;
	idx_is_dead = row_is_dead;
	server_read_limit = 10000000;
	memset(rows, 0, sizeof(rows));
	now = 0;
	shape = (unsigned) fuzz_take(&in, 4);
	nrows = 256 << shape % 9;
	rows_per_page = 1 + (shape >> 4) % 226;
	first_page = (shape >> 12) % 4 == 0 ? UINT64CONST(0xFFFE0000) : (shape >> 12) % 4 == 1 ? 70000 : 0;
	stride = UINT64CONST(1) << (shape >> 14) % 50;
	clock_key = (shape >> 19) % 8 == 0 ? INT64_MAX - 100000 : (shape >> 19) % 8 == 1 ? INT64_MIN : 1;
	next_place = 0;
	sorted_valid = false;
	(void) leaf_kernel_force((const char *[]) {"scalar", "sse2", "avx2"}[(shape >> 22) % 3]);

	arg_session = 0;
	arg_n = (shape >> 24) % 2 ? rnd(nrows) : 0;
	arg_shape = shape >> 25;
	arg_choice = shape >> 16;
	run(cmd_build);
	run(cmd_verify);

	while (in.left > 0)
	{
		unsigned	op = (unsigned) fuzz_take(&in, 1);

		arg_session = op >> 4 & 3;
		arg_choice = (int) fuzz_take(&in, 1);
		arg_shape = arg_choice >> 3;
		arg_n = (int) fuzz_take(&in, 1);
		if (arg_session == SESSIONS)
			idx_forget(arg_session = 0);
		switch (op & 15)
		{
			case 0:
			case 1:
			case 2:
				run(cmd_insert);
				break;
			case 3:
				arg_n *= 16;
				run(cmd_insert);
				break;
			case 4:
				arg_n *= 8;
				run(cmd_bulk);
				break;
			case 5:
				run(cmd_update);
				break;
			case 6:
				arg_n *= 16;
				run(cmd_update);
				break;
			case 7:
			case 8:
				/* VACUUM would wait for them */
				close_pinned();
				if (arg_choice % 4 == 0)
					idx_adopt();
				run(cmd_vacuum);
				break;
			case 9:
				run(cmd_fold);
				break;
			case 10:
				arg_scan = &scans[arg_n % SCANS_MAX];
				if (arg_scan->scan == NULL)
				{
					now++;
					EXPECT(server_try(cmd_scan_begin, NULL, -1, true));
				}
				now++;
				EXPECT(server_try(cmd_scan_next, NULL, -1, true));
				break;
			case 11:
				for (int i = 0; i < SCANS_MAX; i++)
				{
					arg_scan = &scans[i];
					if (arg_scan->scan != NULL)
						EXPECT(server_try(cmd_scan_next, NULL, -1, true));
				}
				break;
			case 12:
				arg_choice |= 2;	/* one key */
				run(cmd_range);
				break;
			case 13:
				run(cmd_range);
				break;
			case 14:
				run(cmd_scroll);
				break;
			default:
				run(cmd_verify);
				break;
		}
	}
	for (int i = 0; i < SCANS_MAX; i++)
	{
		arg_scan = &scans[i];
		arg_n = INT_MAX;
		if (arg_scan->scan != NULL)
			EXPECT(server_try(cmd_scan_next, NULL, -1, true));
	}
	for (arg_session = 0; arg_session < SESSIONS; arg_session++)
	{
		arg_choice = 14;
		run(cmd_range);
		arg_choice = 14 - 8;
		run(cmd_range);
	}
	arg_session = 0;
	run(cmd_verify);
	EXPECT(server_pins() == 0);
	done.inputs++;
	done.pages += server_blocks();
	return 0;
}
