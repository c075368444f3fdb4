/*-------------------------------------------------------------------------
 *
 * fuzz_index.c
 *	  An index whose pages hold any bytes: meta page, leaves, directory, model,
 *	  split log.
 *
 * Whatever is on the pages, every command ends, with an answer or with the
 * error for damage, and holds nothing afterwards.  If kyro.verify() calls the
 * index sound, scans must return what is on the leaves, and it must still be
 * sound after it was written to.
 *
 * Input: a seed (8 bytes) and pages (see server.c).  What to mend of a page:
 * bits 0 to 2 its kind (0: nothing), 3 checksum and generation, 4 page header.
 *
 * IDENTIFICATION
 *	  test/fuzz/fuzz_index.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <xxhash.h>

#include "fuzz.h"
#include "index.h"
#include "model/learned.h"
#include "rmi/directory.h"
#include "rmi/splitlog.h"

#define INDEX_ID 0x46555A5A
#define GENERATION UINT64CONST(0x1122334455667788)
#define ENTRIES_MAX 400000

static uint64 rng;
static RmiCarrier carrier;
static KyroFence *entries;		/* what is on the chain of leaves */
static int	nentries;
static bool chain_ends;			/* the chain could be followed to its end */
static bool bad_tid;			/* an entry has an address that no row can
								 * have */

static void
mend(Page page, BlockNumber block, int how)
{
	int			kind = how & 7;
	KyroPageTrailer *t = rmi_trailer(page);
	PageHeader	p = (PageHeader) page;

	if (kind == 0)
		return;
	*t = (KyroPageTrailer) {.index_id = INDEX_ID, .block = block, .kind = (uint8) kind,
							.format = KYRO_PAGE_FORMAT, .page_id = KYRO_PAGE_ID};
	if (how & 16)
	{
		p->pd_flags = 0;
		p->pd_lower = SizeOfPageHeaderData;
		p->pd_upper = p->pd_special = KYRO_PAGE_END;
		PageSetPageSizeAndVersion(page, BLCKSZ, PG_PAGE_LAYOUT_VERSION);
	}
	if (kind == RMI_PAGE_META)
	{
		RmiMetaData *m = (RmiMetaData *) PageGetContents(page);

		if (how & 16)
			p->pd_lower = PageGetContents(page) + sizeof(RmiMetaData) - page;
		m->magic = KYRO_RMI_META_MAGIC;
		m->version = KYRO_RMI_META_VERSION;
		m->index_id = INDEX_ID;
		m->carrier = carrier;
		if (how & 8)
		{
			m->key_type = RMI_KEY_INT8;
			m->generation = GENERATION;
			rmi_meta_to_page(page, m);
		}
	}
	else if (kind == RMI_PAGE_LEAF)
	{
		if ((how & 16) && leaf_header_ok(page))
		{
			p->pd_lower = leaf_lower(page);
			p->pd_upper = leaf_upper(page);
		}
		if (how & 8)
			leaf_sum_set(page);
	}
	else if (kind == RMI_PAGE_DIRECTORY || kind == RMI_PAGE_MODEL || kind == RMI_PAGE_HISTORY)
	{
		RmiDirHeader *h = (RmiDirHeader *) PageGetContents(page);
		Size		bytes = h->count;

		if (kind == RMI_PAGE_DIRECTORY)
			bytes *= sizeof(RmiDirItem);
		else if (kind == RMI_PAGE_HISTORY)
			bytes *= sizeof(RmiHistoryItem);
		bytes = Min(bytes, RMI_DIR_SPACE);
		if (how & 8)
		{
			char	   *body = (char *) (h + 1);

			h->generation = GENERATION;
			if (kind == RMI_PAGE_MODEL && h->level == 0 && h->count == bytes && bytes >= sizeof(LearnedModel))
			{
				/* a model of one piece has a checksum of its own */
				LearnedModel *m = (LearnedModel *) body;

				m->generation = GENERATION;
				if (m->bytes <= bytes && m->bytes >= sizeof(LearnedModel) + sizeof(uint64))
				{
					uint64		hash = XXH64(m, m->bytes - sizeof(hash), 0);

					memcpy(body + m->bytes - sizeof(hash), &hash, sizeof(hash));
				}
			}
			h->hash = 0;
			h->hash = XXH64(body, bytes, XXH64(h, sizeof(*h), 0));
		}
		if (how & 16)
			p->pd_lower += sizeof(*h) + bytes;
	}
	else if (kind == RMI_PAGE_LOG)
	{
		if (how & 8)
			rmi_log_page_header(page)->generation = GENERATION;
		if (how & 16)
			rmi_log_page_set_count(page, rmi_log_page_count(page));
	}
}

/* All entries of the chain, by nothing but the right links and leaf_decode(). */
static void
walk_chain(void)
{
	static KyroEntry e[KYRO_LEAF_MAX_ENTRIES];
	BlockNumber block = RMI_FIRST_LEAF;

	nentries = 0;
	chain_ends = bad_tid = false;
	for (BlockNumber hops = 0; hops < server_blocks() && block < server_blocks(); hops++)
	{
		Page		page = server_page(block);
		int			n = leaf_decode(page, e);

		if (n < 0 || nentries + n > ENTRIES_MAX)
			return;
		for (int i = 0; i < n; i++)
		{
			entries[nentries++] = (KyroFence) {e[i].key, e[i].tid, leaf_low(page).isnull};
			bad_tid |= !kyro_tid_ok(e[i].tid);
		}
		if (!leaf_has_high(page))
		{
			chain_ends = true;
			return;
		}
		block = leaf_header(page)->right;
	}
}

static KyroFence
some_fence(void)
{
	KyroFence	f = {0, 0, false};
	uint64		r = fuzz_random(&rng);

	if (nentries > 0 && r % 4 != 0)
		f = entries[(r >> 8) % nentries];
	else
		f.key = r % 16 == 0 ? INT64_MIN : r % 16 == 4 ? INT64_MAX : (int64) fuzz_random(&rng) >> (r >> 8) % 64;
	if (r >> 32 & 1)
		f.tid = (r >> 33 & 1) ? 0 : KYRO_TID_MAX + 1;
	if ((r >> 34) % 8 == 0)
		f = (KyroFence) {0, f.tid, true};
	return f;
}

/* ---- commands that only read ---- */

static void
read_directory(void *session)
{
	Relation	index = server_relation(*(int *) session);
	RmiMetaData meta;
	RmiFenceList list;
	LearnedModel *model;
	bool		stale;

	rmi_read_meta(index, &meta);
	rmi_fences_init(&list);
	if (rmi_directory_read(index, &meta, &list, &stale))
		EXPECT(list.n <= server_blocks());
	model = rmi_model_read(index, &meta, true);
	if (model != NULL)
	{
		EXPECT(learned_check(model, model->bytes) == NULL);
		for (int i = 0; i < 20 && model->nentries > 0; i++)
		{
			LearnedWindow w = learned_predict(model, some_fence().key);

			EXPECT(w.lo <= w.predicted && w.predicted <= w.hi && w.hi < model->nentries);
		}
	}
	list.n = 0;
	rmi_log_read(index, &meta, 0, &list);
	EXPECT(list.n <= (uint64) server_blocks() * RMI_LOG_FANOUT);
	list.n = 0;
	rmi_log_read(index, &meta, 7, &list);
}

static void
lookup(void *session)
{
	Relation	index = server_relation(*(int *) session);
	RmiDir	   *dir = rmi_dir(index);
	KyroFence	f = some_fence();
	bool		strictly = fuzz_random(&rng) & 1;
	RmiLanding	l;

	rmi_dir_lookup(index, dir, f, strictly, &l);
	/* a landing beyond the target would send a retreat round in circles */
	EXPECT(l.block == RMI_FIRST_LEAF || kyro_fence_cmp(l.low, f) < (strictly ? 0 : 1));
}

static void
descend(void *session)
{
	Relation	index = server_relation(*(int *) session);
	KyroFence	f = some_fence();
	bool		strictly = fuzz_random(&rng) & 1;
	Buffer		buf;
	Page		page;

	if (strictly && kyro_fence_cmp(f, KYRO_FENCE_MIN) == 0)
		return;
	buf = rmi_descend(index, f, strictly, BUFFER_LOCK_SHARE, NULL);
	page = BufferGetPage(buf);
	EXPECT(leaf_header_ok(page));
	if (strictly)
		EXPECT(kyro_fence_cmp(leaf_low(page), f) < 0 &&
			   (!leaf_has_high(page) || kyro_fence_cmp(f, leaf_high(page)) <= 0));
	else
		EXPECT(kyro_fence_cmp(leaf_low(page), f) <= 0 &&
			   (!leaf_has_high(page) || kyro_fence_cmp(f, leaf_high(page)) < 0));
	UnlockReleaseBuffer(buf);
}

static int	problems;

static void
verify(void *session)
{
	problems = idx_verify(*(int *) session, getenv("FUZZ_MESSAGES") != NULL);
}

typedef struct ScanOf
{
	int			session;
	bool		sound;
	bool		forward;
	bool		pinned;
	IndexRange	range;
	int64		lo;
	int64		hi;
} ScanOf;

static void
scan(void *arg)
{
	ScanOf	   *s = arg;
	IndexScanDesc scan = idx_scan_begin(s->session, s->range, s->lo, s->hi, s->pinned);
	IndexRow	row;
	int			at = s->forward ? 0 : nentries - 1;
	long		n = 0;

	while (idx_scan_next(scan, s->forward, &row))
	{
		EXPECT(++n <= ENTRIES_MAX);
		EXPECT(kyro_tid_ok(row.tid));
		if (!s->sound)
			continue;
		while (at >= 0 && at < nentries &&
			   !(s->range == INDEX_ALL || (s->range == INDEX_NULLS ? entries[at].isnull :
										   !entries[at].isnull && entries[at].key >= s->lo &&
										   entries[at].key <= s->hi)))
			at += s->forward ? 1 : -1;
		EXPECT(at >= 0 && at < nentries && entries[at].tid == row.tid);
		if (s->pinned)
			EXPECT(entries[at].isnull == row.isnull && (row.isnull || entries[at].key == row.key));
		at += s->forward ? 1 : -1;
	}
	if (s->sound)
		for (; at >= 0 && at < nentries; at += s->forward ? 1 : -1)
			EXPECT(s->range != INDEX_ALL && !(s->range == INDEX_NULLS ? entries[at].isnull :
											  !entries[at].isnull && entries[at].key >= s->lo &&
											  entries[at].key <= s->hi));
	idx_scan_end(scan);
}

/* ---- commands that write ---- */

static int	which;

/* An address that no entry has: an index never has two equal ones. */
static uint64
new_tid(void)
{
	for (;;)
	{
		uint64		tid = (fuzz_random(&rng) & KYRO_TID_MAX & ~UINT64CONST(0xFFFF)) | 77;
		bool		there = !kyro_tid_ok(tid);

		for (int i = 0; i < nentries; i++)
			there |= entries[i].tid == tid;
		if (!there)
			return tid;
	}
}

static bool
some_dead(uint64 tid)
{
	return (tid * UINT64CONST(0x9E3779B97F4A7C15) >> 40) % 3 == 0;
}

static void
writing(void *session)
{
	int			s = *(int *) session;

	switch (which)
	{
		case 0:
			for (int i = 0; i < 40; i++)
			{
				KyroFence	f = some_fence();

				idx_insert(s, (IndexRow) {f.key, new_tid(), f.isnull}, i % 2);
			}
			break;
		case 1:
			rmi_maybe_fold(server_relation(s), true, RMI_WHY_VACUUM);
			break;
		case 2:
			(void) idx_vacuum(s, some_dead);
			break;
		case 3:
			idx_rebuild(s);
			break;
		default:
			for (int i = 0; i < 40; i++)
				idx_insert(s, (IndexRow) {i, new_tid(), i % 8 == 0}, i % 3 == 0);
			break;
	}
}

static void
deleted(uint64 tid)
{
}

/* Damage is an error of its class, nothing else. */
static bool
run(void (*command) (void *), void *arg, bool reads_only)
{
	bool		done = server_try(command, arg, 0, false);

	if (reads_only)
		EXPECT(server_changes == 0);
	if (!done)
		EXPECT(server_sqlstate == ERRCODE_INDEX_CORRUPTED || server_sqlstate == ERRCODE_DATA_CORRUPTED ||
			   server_sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
	return done;
}

static void
read_everything(int session)
{
	bool		sound;

	sound = run(verify, &session, true) && problems == 0;
	walk_chain();
	if (sound)
		EXPECT(chain_ends);
	for (int i = 0; i < 12; i++)
	{
		KyroFence	a = some_fence();
		KyroFence	b = some_fence();
		ScanOf		s = {.session = session, .sound = sound, .forward = i & 1, .pinned = i & 2};
		bool		done;

		s.range = i < 2 ? INDEX_ALL : i == 2 ? INDEX_NULLS : INDEX_KEYS;
		s.lo = Min(a.key, b.key);
		s.hi = i % 4 == 0 ? s.lo : Max(a.key, b.key);
		done = run(scan, &s, true);
		if (sound && !bad_tid)
			EXPECT(done);
	}
	run(read_directory, &session, true);
	for (int i = 0; i < 8; i++)
	{
		run(lookup, &session, true);
		if (!run(descend, &session, true))
			EXPECT(!sound);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int			session = 0;

	if (size < 10)
		return 0;
	if (entries == NULL)
		entries = malloc(sizeof(KyroFence) * (ENTRIES_MAX + KYRO_LEAF_MAX_ENTRIES));
	memcpy(&rng, data, 8);
	data += 8;
	size -= 8;
	carrier = rng % 2 == 0 ? RMI_CARRIER_GENERIC : RMI_CARRIER_OWN;
	idx_reset(carrier == RMI_CARRIER_OWN);
	idx_is_dead = some_dead;
	idx_deleted = deleted;
	server_read_limit = 100000;
	server_load(&data, &size, mend);
	if (server_blocks() < 2)
		return 0;
	nentries = 0;
	read_everything(0);
	for (int i = 0; i < 4; i++)
	{
		bool		sound = run(verify, &session, true) && problems == 0;

		which = fuzz_random(&rng) % 5;
		session = i % 2;
		if (!run(writing, &session, false))
			EXPECT(!sound || bad_tid);
		walk_chain();
		if (sound && !bad_tid)
		{
			EXPECT(run(verify, &session, true));
			EXPECT(problems == 0);
		}
		read_everything(i % 3);
	}
	return 0;
}
