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
 * buffer of an equal share of the budget.
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

#include "miscadmin.h"
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

typedef struct SortRun
{
	int			fileno;			/* where to read on */
	off_t		offset;
	uint64		left;			/* entries not yet read from the file */
	RadixItem  *buffer;
	uint32		at;				/* next entry in buffer */
	uint32		n;				/* entries in buffer */
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

	BufFile    *file;			/* all runs, one after the other; or NULL */
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
	SortPart	part[2];		/* keys, NULLs */
};

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
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
	s->budget = Max((size_t) workMem_kB * 1024 / sizeof(RadixItem),
					(size_t) 2 * SORT_FIRST_SIZE);
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

/* Sort the array of a part and append it to the file as a run. */
static void
write_run(RmiSort *s, SortPart *p)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);
	SortRun    *run;
	char	   *from = (char *) p->items;
	size_t		left = p->n * sizeof(RadixItem);

	sort_items(p);

	if (p->file == NULL)
		p->file = BufFileCreateTemp(false);
	if (p->nruns == p->runs_size)
	{
		p->runs_size = p->runs_size ? p->runs_size * 2 : 16;
		p->runs = p->runs ?
			repalloc_huge(p->runs, p->runs_size * sizeof(SortRun)) :
			palloc(p->runs_size * sizeof(SortRun));
	}
	run = &p->runs[p->nruns];
	memset(run, 0, sizeof(*run));
	BufFileTell(p->file, &run->fileno, &run->offset);
	run->left = p->n;
	while (left > 0)
	{
		size_t		chunk = Min(left, (size_t) SORT_WRITE_CHUNK);

		CHECK_FOR_INTERRUPTS();
		BufFileWrite(p->file, from, chunk);
		from += chunk;
		left -= chunk;
	}
	p->nruns++;
	p->n = 0;

	MemoryContextSwitchTo(old);
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

/* Fill the buffer of a run; false if the run is used up. */
static bool
run_fill(RmiSort *s, SortPart *p, SortRun *run)
{
	size_t		bytes;

	run->at = 0;
	run->n = (uint32) Min(run->left, (uint64) s->read_items);
	if (run->n == 0)
		return false;

	CHECK_FOR_INTERRUPTS();
	bytes = run->n * sizeof(RadixItem);
	if (BufFileSeek(p->file, run->fileno, run->offset, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of index build")));
	if (BufFileRead(p->file, run->buffer, bytes) != bytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of index build")));
	BufFileTell(p->file, &run->fileno, &run->offset);
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
merge_begin(RmiSort *s, SortPart *p)
{
	p->heap = MemoryContextAllocHuge(s->context, p->nruns * sizeof(HeapNode));
	p->heap_n = 0;
	for (int i = 0; i < p->nruns; i++)
	{
		SortRun    *run = &p->runs[i];

		run->buffer = MemoryContextAlloc(s->context, s->read_items * sizeof(RadixItem));
		if (run_fill(s, p, run))
		{
			p->heap[p->heap_n].item = run->buffer[run->at++];
			p->heap[p->heap_n].run = run;
			p->heap_n++;
		}
	}
	for (int i = p->heap_n / 2 - 1; i >= 0; i--)
		heap_sink(p, i);
}

void
rmi_sort_perform(RmiSort *s)
{
	int			nruns;

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

	nruns = rmi_sort_runs(s);
	if (nruns > 0)
	{
		/*
		 * What is left of the budget when one part is still in memory.  With
		 * extremely many runs, one block each is more than the budget.
		 */
		size_t		bytes = (s->budget - Min(s->budget, s->part[0].size + s->part[1].size)) *
			sizeof(RadixItem) / nruns;

		bytes = Max(bytes, (size_t) SORT_READ_MIN);
		bytes = Min(bytes, (size_t) SORT_READ_MAX);
		s->read_items = bytes / sizeof(RadixItem);
	}
	for (int i = 0; i < 2; i++)
	{
		if (s->part[i].nruns > 0)
			merge_begin(s, &s->part[i]);
	}
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
	if (top->run->at < top->run->n || run_fill(s, p, top->run))
		top->item = top->run->buffer[top->run->at++];
	else
	{
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

int
rmi_sort_runs(const RmiSort *s)
{
	return s->part[0].nruns + s->part[1].nruns;
}

void
rmi_sort_end(RmiSort *s)
{
	for (int i = 0; i < 2; i++)
	{
		if (s->part[i].file)
			BufFileClose(s->part[i].file);
	}
	MemoryContextDelete(s->context);
}
