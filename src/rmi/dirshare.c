/*-------------------------------------------------------------------------
 *
 * dirshare.c
 *	  Copies of directories in shared memory, one of an index for all sessions.
 *
 * README.md, "Shared copies", has the argument.  A copy lies in pages of one
 * piece of memory, next to one another; a list of the slots in the order of their
 * pages tells what is free.  A slot describes it, and is never
 * given back, so a session may look at it at any time.  The slot's state is one
 * word: its version, which grows with each copy it describes, whether that was
 * retired, and how often it is pinned.  Everything else is protected by one lock,
 * which is taken when copies come and go, and when a session first meets one.
 *
 * IDENTIFICATION
 *	  src/rmi/dirshare.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "guc.h"
#include "rmi/dirshare.h"
#include "shmem.h"
#include "usage/usage.h"

/* Of a slot's state: pins in the low bits, then the mark, then the version. */
#define RETIRED			(UINT64CONST(1) << 20)
#define PINS			(RETIRED - 1)
#define VERSION_SHIFT	21

#define NO_SLOT			PG_UINT32_MAX

/* The unit in which memory is given out. */
#define SHARE_PAGE		4096

/* Counters of look-ups without a copy; an index has one by its OID. */
#define COUNTERS		1024

typedef struct Key
{
	Oid			database;
	Oid			relid;
} Key;

/* In the hash table: the copy that sessions find. */
typedef struct Entry
{
	Key			key;
	uint32		slot;
} Entry;

typedef struct Slot
{
	pg_atomic_uint64 state;
	pg_atomic_uint32 used;		/* the clock at the last pin */
	uint32		next_free;		/* of the slots that are free */

	/* The rest is set before anybody else can pin it. */
	Oid			database;
	RmiShareId	id;
	RmiDirCopy	copy;
	Size		first_page;
	Size		npages;			/* 0: the slot is free */
} Slot;

typedef struct Control
{
	pg_atomic_uint32 news;
	pg_atomic_uint32 clock;		/* counts copies, and sessions that find one */
	pg_atomic_uint32 counters[COUNTERS];
	uint32		nslots;
	uint32		first_free;
	uint32		nplaced;		/* slots that have memory */
	Size		pages;			/* in all */
	Size		used_pages;
	uint64		made;
	uint64		evicted;
	uint64		refused;
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} Control;

static Control *control;		/* NULL: there are no shared copies */
static HTAB *entries;
static char *area;				/* the pages */
static uint32 *placed;			/* slots that have memory, by first_page */
static LWLock *lock;

/* ---- the memory ---- */

static Size
area_pages(void)
{
	return Max((Size) kyro_shared_directories * 1024 / SHARE_PAGE, 8);
}

/* Copies at most: if they are smaller than four pages on average, the memory is not used up. */
static uint32
number_of_slots(void)
{
	return (uint32) Min(Max(area_pages() / 4, 64), 65536);
}

static Size
control_size(void)
{
	return add_size(offsetof(Control, slots), mul_size(number_of_slots(), sizeof(Slot)));
}

static void
request(void)
{
	if (kyro_shared_directories == 0)
		return;
	RequestAddinShmemSpace(control_size());
	RequestAddinShmemSpace(hash_estimate_size(number_of_slots(), sizeof(Entry)));
	RequestAddinShmemSpace(mul_size(number_of_slots(), sizeof(uint32)));
	RequestAddinShmemSpace(add_size(mul_size(area_pages(), SHARE_PAGE), SHARE_PAGE));
	RequestNamedLWLockTranche("kyrodb:directories", 1);
}

static void
attach(void)
{
	HASHCTL		ctl;
	bool		found;
	char	   *memory;

	if (kyro_shared_directories == 0)
		return;
	ctl.keysize = sizeof(Key);
	ctl.entrysize = sizeof(Entry);
	entries = ShmemInitHash("kyrodb shared directories", number_of_slots(), number_of_slots(), &ctl, HASH_ELEM | HASH_BLOBS);
	memory = ShmemInitStruct("kyrodb shared directories, copies", (area_pages() + 1) * SHARE_PAGE, &found);
	area = (char *) TYPEALIGN(SHARE_PAGE, memory);
	placed = ShmemInitStruct("kyrodb shared directories, places", number_of_slots() * sizeof(uint32), &found);
	control = ShmemInitStruct("kyrodb shared directories, control", control_size(), &found);
	if (!found)
	{
		pg_atomic_init_u32(&control->news, 1);
		pg_atomic_init_u32(&control->clock, 0);
		for (int i = 0; i < COUNTERS; i++)
			pg_atomic_init_u32(&control->counters[i], 0);
		control->nslots = number_of_slots();
		control->first_free = 0;
		for (uint32 i = 0; i < control->nslots; i++)
		{
			Slot	   *s = &control->slots[i];

			pg_atomic_init_u64(&s->state, RETIRED);
			pg_atomic_init_u32(&s->used, 0);
			s->next_free = i + 1 < control->nslots ? i + 1 : NO_SLOT;
			s->npages = 0;
		}
		control->nplaced = 0;
		control->pages = area_pages();
		control->used_pages = 0;
		control->made = control->evicted = control->refused = 0;
	}
	lock = &(GetNamedLWLockTranche("kyrodb:directories"))->lock;
}

bool
rmi_share_enabled(void)
{
	return control != NULL;
}

/* At least one, also for a copy of nothing. */
static inline Size
pages_for(Size bytes)
{
	return Max(1, (bytes + SHARE_PAGE - 1) / SHARE_PAGE);
}

bool
rmi_share_fits(Size bytes)
{
	return control != NULL && pages_for(bytes) <= control->pages;
}

uint32
rmi_share_news(void)
{
	return control != NULL ? pg_atomic_read_u32(&control->news) : 0;
}

static pg_atomic_uint32 *
counter_of(Oid relid)
{
	return &control->counters[hash_bytes_uint32(relid ^ MyDatabaseId) % COUNTERS];
}

uint32
rmi_share_count(Oid relid)
{
	return pg_atomic_add_fetch_u32(counter_of(relid), 1);
}

void
rmi_share_count_anew(Oid relid)
{
	if (control != NULL)
		pg_atomic_write_u32(counter_of(relid), 0);
}

/* ---- slots ---- */

/* Pin the copy that a slot had in this version, if it is still there. */
static bool
pin_slot(Slot *s, uint64 version)
{
	uint64		state = pg_atomic_read_u64(&s->state);
	uint32		clock;

	do
	{
		if (state >> VERSION_SHIFT != version || (state & RETIRED) != 0)
			return false;
	} while (!pg_atomic_compare_exchange_u64(&s->state, &state, state + 1));
	/* most often nothing is new, and the slot is not written */
	clock = pg_atomic_read_u32(&control->clock);
	if (pg_atomic_read_u32(&s->used) != clock)
		pg_atomic_write_u32(&s->used, clock);
	return true;
}

/* The first in the list of places that does not begin before a page.  Locked. */
static uint32
place_of(Size page)
{
	uint32		lo = 0,
				hi = control->nplaced;

	while (lo < hi)
	{
		uint32		mid = lo + (hi - lo) / 2;

		if (control->slots[placed[mid]].first_page < page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Give back the memory of a copy that is retired, and that nobody has pinned.  Locked. */
static void
free_slot(Slot *s)
{
	uint32		at;

	Assert((pg_atomic_read_u64(&s->state) & (RETIRED | PINS)) == RETIRED && s->npages > 0);
#ifdef CLOBBER_FREED_MEMORY
	memset(area + s->first_page * SHARE_PAGE, 0x7F, s->npages * SHARE_PAGE);
#endif
	at = place_of(s->first_page);
	Assert(placed[at] == s - control->slots);
	control->nplaced--;
	memmove(&placed[at], &placed[at + 1], (control->nplaced - at) * sizeof(uint32));
	control->used_pages -= s->npages;
	s->npages = 0;
	s->next_free = control->first_free;
	control->first_free = s - control->slots;
}

/*
 * Let nobody pin the copy any more, and free it, unless it is pinned; then the last
 * one who unpins it does.  Locked.
 */
static void
retire(Slot *s)
{
	uint64		before = pg_atomic_fetch_or_u64(&s->state, RETIRED);

	Assert((before & RETIRED) == 0);
	if ((before & PINS) == 0)
		free_slot(s);
	(void) pg_atomic_fetch_add_u32(&control->news, 1);
}

/* Retire the copy that sessions find for this index, if there is one.  Locked. */
static void
remove_entry(Key key)
{
	Entry	   *entry = hash_search(entries, &key, HASH_FIND, NULL);

	if (entry == NULL)
		return;
	retire(&control->slots[entry->slot]);
	(void) hash_search(entries, &key, HASH_REMOVE, NULL);
}

/* Is this the copy that sessions find?  Only such ones are neither free nor retired. */
static inline bool
is_found(Slot *s)
{
	return s->npages > 0 && (pg_atomic_read_u64(&s->state) & RETIRED) == 0;
}

/* Where what is free before a place begins, and ends: there may be nothing.  Locked. */
static Size
gap_begin(uint32 at)
{
	const Slot *before = at > 0 ? &control->slots[placed[at - 1]] : NULL;

	return before != NULL ? before->first_page + before->npages : 0;
}

static Size
gap_end(uint32 at)
{
	return at < control->nplaced ? control->slots[placed[at]].first_page : control->pages;
}

/* The place of the smallest gap of so many pages; NO_SLOT if there is none.  Locked. */
static uint32
find_gap(Size npages)
{
	uint32		best = NO_SLOT;
	Size		smallest = 0;

	for (uint32 at = 0; at <= control->nplaced; at++)
	{
		Size		gap = gap_end(at) - gap_begin(at);

		if (gap >= npages && (best == NO_SLOT || gap < smallest))
		{
			best = at;
			smallest = gap;
		}
	}
	return best;
}

/* For how long the copy at a place was not used. */
static uint32
age_of(uint32 at)
{
	return pg_atomic_read_u32(&control->clock) - pg_atomic_read_u32(&control->slots[placed[at]].used);
}

/*
 * Retire copies that are next to one another, so that there is a slot, and so many pages:
 * of all that would do, and are not pinned, those the youngest of which was not used for
 * longest.  False, with nothing done, if there are none.  Locked.
 */
static bool
make_room(Size npages)
{
	uint32		first = 0,
				n = 0,
				best = 0;		/* the youngest's age of these n */
	uint32		lo = 0,
				youngest = PG_UINT32_MAX;

	for (uint32 hi = 0; hi < control->nplaced; hi++)
	{
		Slot	   *s = &control->slots[placed[hi]];

		if (!is_found(s) || (pg_atomic_read_u64(&s->state) & PINS) != 0)
		{
			lo = hi + 1;
			youngest = PG_UINT32_MAX;
			continue;
		}
		youngest = Min(youngest, age_of(hi));
		/* do the first ones have to go? */
		while (lo < hi && gap_end(hi + 1) - gap_begin(lo + 1) >= npages)
		{
			if (age_of(lo++) == youngest)
			{
				youngest = age_of(hi);
				for (uint32 i = lo; i < hi; i++)
					youngest = Min(youngest, age_of(i));
			}
		}
		if (gap_end(hi + 1) - gap_begin(lo) >= npages && (n == 0 || youngest > best))
		{
			first = lo;
			n = hi - lo + 1;
			best = youngest;
		}
	}

	for (uint32 i = 0; i < n; i++)
	{
		Slot	   *s = &control->slots[placed[first]];

		remove_entry((Key) {s->database, s->id.relid});
		control->evicted++;
		/* it may have been pinned just now; then it goes a little later */
		if (s->npages > 0)
			first++;
	}
	return n > 0;
}

/* The copy that sessions find for an index.  Locked. */
static Slot *
find_slot(Oid relid)
{
	Key			key = {MyDatabaseId, relid};
	Entry	   *entry = hash_search(entries, &key, HASH_FIND, NULL);

	return entry != NULL ? &control->slots[entry->slot] : NULL;
}

static bool
same_index(const RmiShareId *a, const RmiShareId *b)
{
	return memcmp(&a->locator, &b->locator, sizeof(KyroLocator)) == 0 && a->index_id == b->index_id;
}

/* Pin what the entry of an index leads to.  Locked, so it is not retired. */
static void
pin_found(Slot *s, RmiSharePin *pin, RmiDirCopy *copy)
{
	pin->slot = s - control->slots;
	pin->version = pg_atomic_read_u64(&s->state) >> VERSION_SHIFT;
	(void) pg_atomic_fetch_add_u32(&control->clock, 1);
	if (!pin_slot(s, pin->version))
		elog(ERROR, "a shared directory that sessions find is retired");
	*copy = s->copy;
}

RmiShareFound
rmi_share_find(const RmiShareId *id, RmiSharePin *pin, RmiDirCopy *copy)
{
	RmiShareFound found = RMI_SHARE_NONE;
	Slot	   *s;

	if (control == NULL)
		return found;
	LWLockAcquire(lock, LW_SHARED);
	s = find_slot(id->relid);
	if (s != NULL)
	{
		found = RMI_SHARE_OTHER;
		if (same_index(&s->id, id) && s->id.generation == id->generation)
		{
			pin_found(s, pin, copy);
			found = RMI_SHARE_SAME;
		}
	}
	LWLockRelease(lock);
	return found;
}

bool
rmi_share_pin(const RmiSharePin *pin)
{
	return pin_slot(&control->slots[pin->slot], pin->version);
}

void
rmi_share_unpin(const RmiSharePin *pin)
{
	Slot	   *s = &control->slots[pin->slot];
	uint64		state = pg_atomic_sub_fetch_u64(&s->state, 1);

	Assert(state >> VERSION_SHIFT == pin->version && (state & PINS) != PINS);
	if (unlikely((state & (RETIRED | PINS)) == RETIRED))
	{
		/* nobody else can have it now, so it is for us to free it */
		LWLockAcquire(lock, LW_EXCLUSIVE);
		free_slot(s);
		LWLockRelease(lock);
	}
}

/* ---- making copies ---- */

static inline Size
tids_offset(const RmiDirCopy *copy)
{
	return (Size) copy->n * sizeof(RmiDirEntry);
}

static inline Size
model_offset(const RmiDirCopy *copy)
{
	return tids_offset(copy) + (copy->tids != NULL ? (Size) copy->n * sizeof(uint64) : 0);
}

static inline Size
copy_bytes(const RmiDirCopy *copy)
{
	return model_offset(copy) + (copy->model != NULL ? copy->model->bytes : 0);
}

/* Write a copy to memory of so many bytes. */
static void
write_copy(char *memory, const RmiDirCopy *from, RmiDirCopy *to)
{
	*to = *from;
	to->e = (RmiDirEntry *) memory;
	memcpy(to->e, from->e, (Size) from->n * sizeof(RmiDirEntry));
	if (from->tids != NULL)
	{
		to->tids = (uint64 *) (memory + tids_offset(from));
		memcpy(to->tids, from->tids, (Size) from->n * sizeof(uint64));
	}
	if (from->model != NULL)
	{
		to->model = (LearnedModel *) (memory + model_offset(from));
		memcpy(to->model, from->model, from->model->bytes);
	}
}

/*
 * Is there a copy at least as new?  Pins it if it is of the same directory.  Locked.
 */
static RmiShareFound
find_as_good(const RmiShareId *id, RmiDirCopy *copy, RmiSharePin *pin)
{
	Slot	   *s = find_slot(id->relid);

	if (s == NULL || !same_index(&s->id, id))
		return RMI_SHARE_NONE;
	if (s->id.generation != id->generation)
		return s->id.number > id->number ? RMI_SHARE_OTHER : RMI_SHARE_NONE;
	if (s->copy.log_seen < copy->log_seen)
		return RMI_SHARE_NONE;
	pin_found(s, pin, copy);
	return RMI_SHARE_SAME;
}

/* A slot with memory, retired and pinned by us alone; NULL if there is no room.  Locked. */
static Slot *
take_slot(Size bytes)
{
	Size		npages = pages_for(bytes);
	uint32		at = find_gap(npages);
	Slot	   *s;
	uint64		state;

	if (control->first_free == NO_SLOT || at == NO_SLOT)
	{
		if (!make_room(npages))
			return NULL;
		at = find_gap(npages);
		if (control->first_free == NO_SLOT || at == NO_SLOT)
			return NULL;
	}
	s = &control->slots[control->first_free];
	control->first_free = s->next_free;
	control->used_pages += npages;
	s->first_page = gap_begin(at);
	s->npages = npages;
	memmove(&placed[at + 1], &placed[at], (control->nplaced - at) * sizeof(uint32));
	placed[at] = s - control->slots;
	control->nplaced++;
	state = pg_atomic_read_u64(&s->state);
	Assert((state & (RETIRED | PINS)) == RETIRED);
	pg_atomic_write_u64(&s->state, (((state >> VERSION_SHIFT) + 1) << VERSION_SHIFT) | RETIRED | 1);
	return s;
}

/* Let sessions find the copy of a slot.  Locked; false if there is no memory for that. */
static bool
publish(Slot *s)
{
	Key			key = {s->database, s->id.relid};
	Entry	   *entry;

	remove_entry(key);
	entry = hash_search(entries, &key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return false;
	entry->slot = s - control->slots;
	pg_atomic_write_u32(&s->used, pg_atomic_add_fetch_u32(&control->clock, 1));
	control->made++;
	(void) pg_atomic_fetch_and_u64(&s->state, ~RETIRED);
	(void) pg_atomic_fetch_add_u32(&control->news, 1);
	return true;
}

bool
rmi_share_put(const RmiShareId *id, RmiDirCopy *copy, RmiSharePin *pin)
{
	RmiShareFound found;
	Slot	   *s = NULL;
	bool		done;

	if (!rmi_share_fits(copy_bytes(copy)))
		return false;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	found = find_as_good(id, copy, pin);
	if (found == RMI_SHARE_NONE)
	{
		s = take_slot(copy_bytes(copy));
		if (s == NULL)
			control->refused++;
	}
	LWLockRelease(lock);
	if (s == NULL)
		return found == RMI_SHARE_SAME;

	/* nobody else knows the slot, and nothing here fails or stops */
	s->database = MyDatabaseId;
	s->id = *id;
	write_copy(area + s->first_page * SHARE_PAGE, copy, &s->copy);

	LWLockAcquire(lock, LW_EXCLUSIVE);
	found = find_as_good(id, copy, pin);
	done = found == RMI_SHARE_SAME;
	if (found == RMI_SHARE_NONE && publish(s))
	{
		*copy = s->copy;
		*pin = (RmiSharePin) {s - control->slots, pg_atomic_read_u64(&s->state) >> VERSION_SHIFT};
		done = true;
	}
	else
	{
		(void) pg_atomic_fetch_sub_u64(&s->state, 1);
		free_slot(s);
	}
	LWLockRelease(lock);
	return done;
}

/* ---- removing them ---- */

/* A relation was dropped, or if relid is InvalidOid, a database. */
static void
on_drop(Oid database, Oid relid)
{
	/*
	 * most relations are no indexes of ours; those that are were committed,
	 * and nobody uses them
	 */
	if (control == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (OidIsValid(relid))
		remove_entry((Key) {database, relid});
	else
	{
		for (uint32 i = 0; i < control->nslots; i++)
		{
			Slot	   *s = &control->slots[i];

			if (is_found(s) && s->database == database)
				remove_entry((Key) {database, s->id.relid});
		}
	}
	LWLockRelease(lock);
}

void
rmi_share_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	kyro_shmem_add(request, attach);
	usage_set_on_drop(on_drop);
}

/* ---- for kyro.stat_indexes and kyro.shared_directories() ---- */

uint64
rmi_share_bytes(Oid relid)
{
	Slot	   *s;
	uint64		bytes = 0;

	if (control == NULL)
		return 0;
	LWLockAcquire(lock, LW_SHARED);
	s = find_slot(relid);
	if (s != NULL)
		bytes = (uint64) s->npages * SHARE_PAGE;
	LWLockRelease(lock);
	return bytes;
}

void
rmi_share_totals(RmiShareTotals *totals)
{
	memset(totals, 0, sizeof(RmiShareTotals));
	if (control == NULL)
		return;
	LWLockAcquire(lock, LW_SHARED);
	totals->size = (uint64) control->pages * SHARE_PAGE;
	totals->used = (uint64) control->used_pages * SHARE_PAGE;
	totals->copies = (uint32) hash_get_num_entries(entries);
	totals->replaced = control->nplaced - totals->copies;
	totals->made = control->made;
	totals->evicted = control->evicted;
	totals->refused = control->refused;
	LWLockRelease(lock);
}
