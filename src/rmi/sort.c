/*-------------------------------------------------------------------------
 *
 * sort.c
 *	  External sort of index entries, for CREATE INDEX.
 *
 * An entry is 16 bytes: the key, biased so that it compares as an unsigned
 * number, and the tid with the alive flag in its top bit.  Entries gather in
 * one array, which src/model/radix.c sorts in place.  When the arrays reach
 * the budget, the larger one is sorted and written to a temporary file as a
 * run; at the end the runs are merged through a heap, each read through a
 * buffer of an equal share of the budget.  What is still in memory then may
 * be one of them.
 *
 * The processes of a parallel build have a sort each.  Those of the workers
 * write all they have to files that the leader's can read, and it merges
 * their runs with its own.
 *
 * NULLs come last, so they are a second, separate sort ("part") of entries
 * with key 0.  Both share the budget.
 *
 * A table loaded in key order needs no sorting at all: each part remembers
 * whether the entries of its array came in ascending order.  The order of
 * the tids is checked with the keys and not taken for granted, since a
 * synchronized sequential scan may start in the middle of the table.
 *
 * IDENTIFICATION
 *	  src/rmi/sort.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "model/radix.h"
#include "rmi/sort.h"

/* Entries the array of a part starts with; it doubles from there. */
#define SORT_FIRST_SIZE		1024

/* Bytes written between two looks at interrupts. */
#define SORT_WRITE_CHUNK	(64 * 1024)

/* A merge reads each run in pieces of this many bytes. */
#define SORT_READ_MIN		BLCKSZ
#define SORT_READ_MAX		(1024 * 1024)

/*
 * A run.  In a file, an item comes first that has the number of entries as
 * its key.
 */
typedef struct SortRun
{
	BufFile    *file;			/* NULL if all of it is in the buffer */
	off_t		offset;			/* where to read on: bytes from the beginning
								 * of the file */
	uint64		left;			/* entries not yet read from the file */
	RadixItem  *buffer;
	size_t		at;				/* next entry in buffer */
	size_t		n;				/* entries in buffer */
} SortRun;

/* A run in the heap, by the entry it offers next. */
typedef struct HeapNode
{
	RadixItem	item;
	SortRun    *run;
} HeapNode;

typedef struct SortPart
{
	RadixItem  *items;			/* NULL before the first entry */
	size_t		n;
	size_t		size;			/* allocated */
	size_t		at;				/* next to return, without runs */
	bool		ascending;		/* items[0..n) came sorted */

	BufFile    *file;			/* runs of our own, one after the other; or
								 * NULL */
	off_t		file_bytes;
	SortRun    *runs;
	int			nruns;
	int			runs_size;		/* allocated */
	HeapNode   *heap;
	int			heap_n;
} SortPart;

struct RmiSort
{
	MemoryContext context;
	size_t		budget;			/* entries that all arrays may hold */
	size_t		read_items;		/* entries in a run's buffer */
	uint64		count;
	bool		merging;
	FileSet    *files;			/* where runs are written for another process,
								 * or NULL */
	int			worker;
	List	   *adopted;		/* files of others */
	SortPart	part[2];		/* keys, NULLs */
};

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

static size_t
sort_budget(int workMem_kB)
{
	return Max((size_t) workMem_kB * 1024 / sizeof(RadixItem), (size_t) 2 * SORT_FIRST_SIZE);
}

RmiSort *
rmi_sort_begin(int workMem_kB)
{
	MemoryContext context;
	RmiSort    *s;

	context = AllocSetContextCreate(CurrentMemoryContext, "kyro_rmi sort",
									ALLOCSET_DEFAULT_SIZES);
	s = MemoryContextAllocZero(context, sizeof(RmiSort));
	s->context = context;
	s->budget = sort_budget(workMem_kB);
	s->part[0].ascending = true;
	s->part[1].ascending = true;
	return s;
}

static void
sort_items(SortPart *p)
{
	if (!p->ascending)
		radix_sort(p->items, p->n, poll_interrupts);
	p->ascending = true;
}

static SortRun *
add_run(RmiSort *s, SortPart *p)
{
	SortRun    *run;

	if (p->nruns == p->runs_size)
	{
		p->runs_size = p->runs_size ? p->runs_size * 2 : 16;
		p->runs = p->runs ?
			repalloc_huge(p->runs, p->runs_size * sizeof(SortRun)) :
			MemoryContextAlloc(s->context, p->runs_size * sizeof(SortRun));
	}
	run = &p->runs[p->nruns++];
	memset(run, 0, sizeof(*run));
	return run;
}

/* The name of a worker's file for a part. */
static void
file_name(char *name, int worker, int part)
{
	snprintf(name, MAXPGPATH, "%d.%s", worker, part == 0 ? "keys" : "nulls");
}

/* Sort the array of a part and append it to the file as a run. */
static void
write_run(RmiSort *s, SortPart *p)
{
	RadixItem	header = {p->n, 0};
	SortRun    *run;
	char	   *from = (char *) p->items;
	size_t		left = p->n * sizeof(RadixItem);

	sort_items(p);

	if (p->file == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(s->context);

		if (s->files == NULL)
			p->file = BufFileCreateTemp(false);
		else
		{
			char		name[MAXPGPATH];

			file_name(name, s->worker, p == &s->part[1]);
			p->file = BufFileCreateFileSet(s->files, name);
		}
		MemoryContextSwitchTo(old);
	}
	run = add_run(s, p);
	run->file = p->file;
	run->offset = p->file_bytes + sizeof(header);
	run->left = p->n;
	p->file_bytes = run->offset + left;
	BufFileWrite(p->file, &header, sizeof(header));
	while (left > 0)
	{
		size_t		chunk = Min(left, (size_t) SORT_WRITE_CHUNK);

		CHECK_FOR_INTERRUPTS();
		BufFileWrite(p->file, from, chunk);
		from += chunk;
		left -= chunk;
	}
	p->n = 0;
}

static void
free_items(SortPart *p)
{
	if (p->items)
		pfree(p->items);
	p->items = NULL;
	p->n = p->size = 0;
	p->ascending = true;
}

/* Make room for one more entry in a full array. */
static void
make_room(RmiSort *s, SortPart *p)
{
	SortPart   *other = p == &s->part[0] ? &s->part[1] : &s->part[0];
	size_t		size;

	if (p->size + other->size >= s->budget)
	{
		/*
		 * The larger array goes to disk: small runs make merges slow.  If it
		 * is not the one that wants room, it gives up its memory too.
		 */
		if (p->size >= other->size)
		{
			write_run(s, p);
			return;
		}
		if (other->n > 0)
			write_run(s, other);
		free_items(other);
	}

	size = p->size ? p->size * 2 : SORT_FIRST_SIZE;
	size = Min(size, s->budget - other->size);
	if (p->items == NULL)
		p->items = MemoryContextAllocHuge(s->context, size * sizeof(RadixItem));
	else
		p->items = repalloc_huge(p->items, size * sizeof(RadixItem));
	p->size = size;
}

void
rmi_sort_put(RmiSort *s, bool isnull, int64 key, uint64 tid, bool alive)
{
	SortPart   *p = &s->part[isnull ? 1 : 0];
	RadixItem	item;

	Assert(tid <= KYRO_TID_MAX);

	item.ukey = isnull ? kyro_bias(0) : kyro_bias(key);
	item.tid = tid | (alive ? RADIX_FLAG : 0);

	if (p->n == p->size)
		make_room(s, p);
	if (p->ascending && p->n > 0 && radix_less(&item, &p->items[p->n - 1]))
		p->ascending = false;
	p->items[p->n++] = item;
	s->count++;
}

static void
read_file(BufFile *file, off_t offset, void *to, size_t bytes)
{
	CHECK_FOR_INTERRUPTS();
	if (BufFileSeek(file, 0, offset, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of index build")));
	if (BufFileRead(file, to, bytes) != bytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of index build")));
}

/* Fill the buffer of a run; false if the run is used up. */
static bool
run_fill(RmiSort *s, SortRun *run)
{
	if (run->left == 0)
		return false;
	run->at = 0;
	run->n = Min(run->left, s->read_items);
	read_file(run->file, run->offset, run->buffer, run->n * sizeof(RadixItem));
	run->offset += run->n * sizeof(RadixItem);
	run->left -= run->n;
	return true;
}

/* Let the node at position i sink to where it belongs. */
static void
heap_sink(SortPart *p, int i)
{
	HeapNode	node = p->heap[i];

	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= p->heap_n)
			break;
		if (child + 1 < p->heap_n &&
			radix_less(&p->heap[child + 1].item, &p->heap[child].item))
			child++;
		if (!radix_less(&p->heap[child].item, &node.item))
			break;
		p->heap[i] = p->heap[child];
		i = child;
	}
	p->heap[i] = node;
}

static void
part_merge_begin(RmiSort *s, SortPart *p)
{
	/* the array is one more run */
	if (p->n > 0)
	{
		SortRun    *run = add_run(s, p);

		run->buffer = p->items;
		run->n = p->n;
	}

	p->heap = MemoryContextAllocHuge(s->context, p->nruns * sizeof(HeapNode));
	p->heap_n = 0;
	for (int i = 0; i < p->nruns; i++)
	{
		SortRun    *run = &p->runs[i];

		if (run->file != NULL)
		{
			run->buffer = MemoryContextAlloc(s->context, s->read_items * sizeof(RadixItem));
			(void) run_fill(s, run);
		}
		p->heap[p->heap_n].item = run->buffer[run->at++];
		p->heap[p->heap_n].run = run;
		p->heap_n++;
	}
	for (int i = p->heap_n / 2 - 1; i >= 0; i--)
		heap_sink(p, i);
}

static void
merge_begin(RmiSort *s)
{
	int			nruns = s->part[0].nruns + s->part[1].nruns;

	if (nruns > 0)
	{
		/*
		 * What is left of the budget beside what is still in memory.  With
		 * extremely many runs, one block each is more than the budget.
		 */
		size_t		bytes = ((s->budget - Min(s->budget, s->part[0].size + s->part[1].size)) *
							 sizeof(RadixItem) / nruns);

		bytes = Max(bytes, (size_t) SORT_READ_MIN);
		bytes = Min(bytes, (size_t) SORT_READ_MAX);
		s->read_items = bytes / sizeof(RadixItem);
	}
	for (int i = 0; i < 2; i++)
	{
		if (s->part[i].nruns > 0)
			part_merge_begin(s, &s->part[i]);
	}
	s->merging = true;
}

void
rmi_sort_perform(RmiSort *s)
{
	/* A part with runs on disk is read from there altogether. */
	for (int i = 0; i < 2; i++)
	{
		SortPart   *p = &s->part[i];

		if (p->nruns > 0)
		{
			if (p->n > 0)
				write_run(s, p);
			free_items(p);
		}
		else
			sort_items(p);
	}
}

void
rmi_sort_share(RmiSort *s, FileSet *files, int worker)
{
	s->files = files;
	s->worker = worker;
}

void
rmi_sort_export(RmiSort *s)
{
	for (int i = 0; i < 2; i++)
	{
		SortPart   *p = &s->part[i];

		if (p->n > 0)
			write_run(s, p);
		if (p->file != NULL)
			BufFileExportFileSet(p->file);
	}
}

void
rmi_sort_adopt(RmiSort *s, FileSet *files, int worker, int workMem_kB)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);

	s->budget = sort_budget(workMem_kB);
	for (int i = 0; i < 2; i++)
	{
		char		name[MAXPGPATH];
		BufFile    *file;
		off_t		size;

		file_name(name, worker, i);
		file = BufFileOpenFileSet(files, name, O_RDONLY, true);
		if (file == NULL)
			continue;
		s->adopted = lappend(s->adopted, file);
		size = (off_t) BufFileSize(file);
		for (off_t offset = 0; offset < size;)
		{
			SortRun    *run = add_run(s, &s->part[i]);
			RadixItem	header;

			read_file(file, offset, &header, sizeof(header));
			run->file = file;
			run->offset = offset + sizeof(header);
			run->left = header.ukey;
			offset = run->offset + run->left * sizeof(RadixItem);
			s->count += run->left;
		}
	}
	MemoryContextSwitchTo(old);
}

static inline bool
part_next(RmiSort *s, SortPart *p, RadixItem *item)
{
	HeapNode   *top;

	if (p->nruns == 0)
	{
		if (p->at == p->n)
			return false;
		*item = p->items[p->at++];
		return true;
	}

	if (p->heap_n == 0)
		return false;
	top = &p->heap[0];
	*item = top->item;
	if (top->run->at < top->run->n || run_fill(s, top->run))
		top->item = top->run->buffer[top->run->at++];
	else
	{
		if (top->run->file != NULL)
			pfree(top->run->buffer);
		top->run->buffer = NULL;
		p->heap_n--;
		if (p->heap_n == 0)
			return true;
		*top = p->heap[p->heap_n];
	}
	heap_sink(p, 0);
	return true;
}

bool
rmi_sort_next(RmiSort *s, RmiSortItem *out)
{
	RadixItem	item;
	bool		isnull = false;

	if (!s->merging)
		merge_begin(s);
	if (!part_next(s, &s->part[0], &item))
	{
		if (!part_next(s, &s->part[1], &item))
			return false;
		isnull = true;
	}
	out->key = isnull ? 0 : kyro_unbias(item.ukey);
	out->tid = item.tid & ~RADIX_FLAG;
	out->isnull = isnull;
	out->alive = (item.tid & RADIX_FLAG) != 0;
	return true;
}

uint64
rmi_sort_count(const RmiSort *s)
{
	return s->count;
}

void
rmi_sort_end(RmiSort *s)
{
	for (int i = 0; i < 2; i++)
	{
		if (s->part[i].file)
			BufFileClose(s->part[i].file);
	}
	for (int i = 0; i < list_length(s->adopted); i++)
		BufFileClose((BufFile *) list_nth(s->adopted, i));
	MemoryContextDelete(s->context);
}
