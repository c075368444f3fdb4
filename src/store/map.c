/*-------------------------------------------------------------------------
 *
 * map.c
 *	  Reading sealed pages through memory maps of the table's file.
 *
 * A page of rows never changes once it is written, so it can be read in the
 * kernel's page cache, without a buffer.  The file may lag behind, though: on a
 * standby, after a crash, or in a copy made by CREATE DATABASE, the newest version
 * of the page may be in shared buffers only.  So a mapped page is trusted once its
 * checksum, which includes its block number, was seen to match; a bitmap remembers
 * for which pages this backend has seen that.  Everything else is read through the
 * buffer manager.
 *
 * Each segment of the file is mapped at its largest possible size, and only pages
 * before the end of the file, as last asked for, are touched.  If the kernel still
 * cannot deliver a page (an I/O error, or somebody has truncated the file), it sends
 * SIGBUS.  The handler maps zeros there, sets a flag, and returns; code that has
 * read a mapped page calls store_map_failed() and raises an error instead of using
 * the zeros.
 *
 * Mappings are kept until the table gets a new file or its entry is forgotten:
 * table.c forgets those that were not used for longest, to stay within
 * kyro.table_cache.  A mapping of a file that was removed does no harm: readers have
 * the table locked, and have compared its incarnation.
 *
 * IDENTIFICATION
 *	  src/store/map.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/relpath.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "guc.h"
#include "store/store.h"

#define MAP_SEGMENT_SIZE ((Size) RELSEG_SIZE * BLCKSZ)
#define MAP_WORDS_MIN 8
#define MAP_READ_AHEAD 128		/* pages */
#define MAP_STREAK 16			/* pages */

/* A set of pages of a segment, one bit for each; grows as pages are added. */
typedef struct PageSet
{
	uint32		nwords;
	uint64	   *words;
} PageSet;

typedef struct StoreSegment
{
	char	   *base;			/* NULL: not mapped */
	BlockNumber nblocks;		/* in the file, when last asked for */
	bool		failed;			/* cannot be mapped: do not try again */
	BlockNumber next;			/* one past the page that was read last */
	int			streak;			/* so many pages were read in sequence */
	BlockNumber asked;			/* the kernel was asked to read up to here */
	int			slot;			/* in maps[] */
	PageSet		verified;		/* pages found sound as they are mapped */
	PageSet		buffered;		/* found sound in a buffer: the file may not
								 * have them yet */
} StoreSegment;

struct StoreMap
{
	int			nmapped;
	int			nsegments;
	StoreSegment *segments;
};

/*
 * For the signal handler: where our maps are.  Linux allows a process 65530 maps by
 * default.
 */
#define MAP_MAX 32768
static struct
{
	char	   *volatile base;
}			maps[MAP_MAX];
static volatile int nmaps = 0;
static int	first_free = 0;		/* no slot before this one is free */
static volatile sig_atomic_t map_failed = 0;
static struct sigaction old_action;
static bool handler_installed = false;
static long os_page_size;

static bool (*make_room) (void) = NULL;

void
store_map_set_make_room(bool (*function) (void))
{
	make_room = function;
}

static void
handle_sigbus(int signo, siginfo_t *info, void *context)
{
	char	   *address = (char *) info->si_addr;
	int			save_errno = errno;

	for (int i = 0; i < nmaps; i++)
	{
		char	   *base = maps[i].base;

		if (base != NULL && address >= base && address < base + MAP_SEGMENT_SIZE)
		{
			char	   *page = base + (address - base) / os_page_size * os_page_size;

			if (mmap(page, os_page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
			{
				map_failed = 1;
				errno = save_errno;
				return;
			}
		}
	}
	/* not ours: it happens again, and the former handler gets it */
	sigaction(SIGBUS, &old_action, NULL);
	errno = save_errno;
}

static void
install_handler(void)
{
	struct sigaction action = {0};

	os_page_size = sysconf(_SC_PAGESIZE);
	action.sa_sigaction = handle_sigbus;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &old_action) == 0)
		handler_installed = true;
}

static int
maps_add(char *base)
{
	while (first_free < MAP_MAX && maps[first_free].base != NULL)
		first_free++;
	if (first_free == MAP_MAX)
		return -1;
	maps[first_free].base = base;
	nmaps = Max(nmaps, first_free + 1);
	return first_free;
}

static void
unmap(StoreSegment *s)
{
	if (s->base == NULL)
		return;
	maps[s->slot].base = NULL;
	first_free = Min(first_free, s->slot);
	munmap(s->base, MAP_SEGMENT_SIZE);
	s->base = NULL;
}

void
store_map_drop(StoreTable *table)
{
	StoreMap   *map = table->map;

	if (map == NULL)
		return;
	for (int i = 0; i < map->nsegments; i++)
	{
		unmap(&map->segments[i]);
		if (map->segments[i].verified.words)
			pfree(map->segments[i].verified.words);
		if (map->segments[i].buffered.words)
			pfree(map->segments[i].buffered.words);
	}
	if (map->segments)
		pfree(map->segments);
	pfree(map);
	table->map = NULL;
}

int
store_map_segments(const StoreTable *table)
{
	return table->map == NULL ? 0 : table->map->nmapped;
}

static inline bool
has_page(const PageSet *set, BlockNumber b)
{
	return b / 64 < set->nwords && (set->words[b / 64] >> b % 64 & 1);
}

static void
add_page(StoreTable *table, PageSet *set, BlockNumber b)
{
	if (b / 64 >= set->nwords)
	{
		uint32		want = Min(Max(Max(set->nwords * 2, MAP_WORDS_MIN), b / 64 + 1), RELSEG_SIZE / 64);

		if (set->words == NULL)
			set->words = MemoryContextAlloc(table->cxt, want * sizeof(uint64));
		else
			set->words = repalloc(set->words, want * sizeof(uint64));
		memset(set->words + set->nwords, 0, (want - set->nwords) * sizeof(uint64));
		set->nwords = want;
	}
	set->words[b / 64] |= (uint64) 1 << b % 64;
}

static void
remove_page(PageSet *set, BlockNumber b)
{
	if (has_page(set, b))
		set->words[b / 64] &= ~((uint64) 1 << b % 64);
}

static StoreSegment *
get_segment(StoreTable *table, BlockNumber block)
{
	int			n = block / RELSEG_SIZE;
	StoreMap   *map = table->map;

	if (map == NULL)
		map = table->map = MemoryContextAllocZero(table->cxt, sizeof(StoreMap));
	if (n >= map->nsegments)
	{
		int			want = n + 4;

		if (map->segments == NULL)
			map->segments = MemoryContextAlloc(table->cxt, want * sizeof(StoreSegment));
		else
			map->segments = repalloc(map->segments, want * sizeof(StoreSegment));
		memset(map->segments + map->nsegments, 0, (want - map->nsegments) * sizeof(StoreSegment));
		map->nsegments = want;
	}
	return &map->segments[n];
}

/*
 * Map a file; if there is no room, tables that were not used for long are unmapped.
 * NULL if it cannot be mapped.
 */
static char *
map_file(int fd, int *slot)
{
	char	   *base;

	for (;;)
	{
		base = mmap(NULL, MAP_SEGMENT_SIZE, PROT_READ, MAP_SHARED, fd, 0);
		if (base != MAP_FAILED)
		{
			*slot = maps_add(base);
			if (*slot >= 0)
				return base;
			munmap(base, MAP_SEGMENT_SIZE);
		}
		else if (errno != ENOMEM)
			return NULL;
		if (make_room == NULL || !make_room())
			return NULL;
	}
}

/* Map segment n of the file, or if it is mapped, ask again for its size. */
static void
map_segment(Relation rel, StoreTable *table, StoreSegment *s, int n)
{
	char	   *path = kyro_relation_path(rel);
	char		name[MAXPGPATH];
	struct stat st;
	int			fd;

	if (n > 0)
		snprintf(name, sizeof(name), "%s.%d", path, n);
	else
		strlcpy(name, path, sizeof(name));
	pfree(path);

	if (!handler_installed)
		install_handler();
	fd = handler_installed ? OpenTransientFile(name, O_RDONLY | PG_BINARY) : -1;
	if (fd < 0)
	{
		s->failed = true;
		return;
	}
	if (s->base == NULL)
	{
		s->base = map_file(fd, &s->slot);
		if (s->base == NULL)
			s->failed = true;
		else
		{
			table->map->nmapped++;

			/*
			 * without this a page fault reads around the page, up to
			 * megabytes on some devices
			 */
			madvise(s->base, MAP_SEGMENT_SIZE, MADV_RANDOM);
		}
	}
	if (s->base != NULL && fstat(fd, &st) == 0)
		s->nblocks = Min(st.st_size / BLCKSZ, RELSEG_SIZE);
	CloseTransientFile(fd);
}

/*
 * Ask the kernel to read what will be needed: after MAP_STREAK pages in sequence,
 * which no short range is, the next megabyte; else a page that is read for the first
 * time, as a whole.
 */
static inline void
read_ahead(StoreSegment *s, BlockNumber b, bool first_time)
{
	BlockNumber want = first_time ? 1 : 0;

	if (b != s->next)
	{
		s->streak = 0;
		s->asked = b;
	}
	else if (s->streak < MAP_STREAK)
		s->streak++;
	else
		want = MAP_READ_AHEAD;
	s->next = b + 1;
	if (unlikely(s->asked < b + (want + 3) / 4))
	{
		BlockNumber from = Max(b, s->asked);
		BlockNumber to = Min(b + want, s->nblocks);

		if (from < to)
			madvise(s->base + (Size) from * BLCKSZ, (Size) (to - from) * BLCKSZ, MADV_WILLNEED);
		s->asked = Max(from, to);
	}
}

const char *
store_map_page(Relation rel, StoreTable *table, BlockNumber block)
{
	StoreSegment *s = get_segment(table, block);
	BlockNumber b = block % RELSEG_SIZE;
	const char *page;
	bool		verified;

	if (unlikely(s->base == NULL || b >= s->nblocks))
	{
		if (s->failed || !kyro_mmap || RelationUsesLocalBuffers(rel))
			return NULL;
		map_segment(rel, table, s, block / RELSEG_SIZE);
		if (s->base == NULL || b >= s->nblocks)
			return NULL;
	}
	if (!kyro_mmap)
		return NULL;
	page = s->base + (Size) b * BLCKSZ;
	verified = has_page(&s->verified, b);
	read_ahead(s, b, !verified);
	if (likely(verified))
		return page;
	if (store_rows_problem(page, block) != NULL || store_map_failed())
	{
		/* if the file is damaged, reading it through a buffer will tell how */
		map_failed = 0;
		return NULL;
	}
	add_page(table, &s->verified, b);
	table->usage->verified++;
	return page;
}

void
store_map_prefetch(StoreTable *table, ItemPointer tid)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	OffsetNumber row = ItemPointerGetOffsetNumber(tid);
	StoreRun   *run = store_find_run(table, block);
	int			n = block / RELSEG_SIZE;
	const char *page;
	uint32		per_page,
				length,
				offset;

	if (run == NULL || table->map == NULL || n >= table->map->nsegments || table->map->segments[n].base == NULL)
		return;
	page = table->map->segments[n].base + (Size) (block % RELSEG_SIZE) * BLCKSZ;
	__builtin_prefetch(page);
	__builtin_prefetch(&StorePageGetRows(page)->rows[row - 1]);

	per_page = run->rows / run->pages;
	length = Min(run->bytes / Max(run->rows, 1), BLCKSZ);
	offset = STORE_ROWS_START + (per_page + 2) * sizeof(uint16) + (row - 1) * length;
	if (offset < BLCKSZ)
	{
		__builtin_prefetch(page + offset);
		__builtin_prefetch(page + Min(offset + length, BLCKSZ - 1));
	}
}

bool
store_page_verified(StoreTable *table, BlockNumber block)
{
	return has_page(&get_segment(table, block)->buffered, block % RELSEG_SIZE);
}

void
store_page_set_verified(StoreTable *table, BlockNumber block)
{
	add_page(table, &get_segment(table, block)->buffered, block % RELSEG_SIZE);
	table->usage->verified++;
}

void
store_map_unverify(StoreTable *table, BlockNumber first, BlockNumber end)
{
	for (BlockNumber block = first; block < end; block++)
	{
		StoreSegment *s = get_segment(table, block);

		remove_page(&s->verified, block % RELSEG_SIZE);
		remove_page(&s->buffered, block % RELSEG_SIZE);
	}
}

bool
store_map_failed(void)
{
	return unlikely(map_failed != 0);
}

void
store_map_distrust(StoreTable *table, BlockNumber block)
{
	StoreSegment *s = get_segment(table, block);

	map_failed = 0;
	remove_page(&s->verified, block % RELSEG_SIZE);
}

void
store_map_raise(Relation rel, StoreTable *table, BlockNumber block)
{
	store_map_distrust(table, block);
	ereport(ERROR,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("could not read block %u of table \"%s\"", block, RelationGetRelationName(rel)),
			 errdetail("The file is shorter than it was, or its device reports an error.")));
}
