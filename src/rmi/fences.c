/*-------------------------------------------------------------------------
 *
 * fences.c
 *	  Lists of leaves: where each begins, and its block.
 *
 * IDENTIFICATION
 *	  src/rmi/fences.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rmi/chain.h"

void
rmi_fences_init(RmiFenceList *list)
{
	list->n = 0;
	list->size = 256;
	list->items = palloc(list->size * sizeof(RmiDirItem));
}

void
rmi_fences_add(RmiFenceList *list, KyroFence low, BlockNumber block)
{
	RmiDirItem *it;

	if (list->n == list->size)
	{
		list->size *= 2;
		list->items = repalloc_huge(list->items, (Size) list->size * sizeof(RmiDirItem));
	}
	it = &list->items[list->n++];
	it->key = low.isnull ? 0 : low.key;
	it->tid = low.tid | (low.isnull ? RMI_ITEM_NULL : 0);
	it->block = block;
	it->spare = 0;
}

static int
item_cmp(const void *a, const void *b)
{
	return kyro_fence_cmp(rmi_item_fence((const RmiDirItem *) a),
						  rmi_item_fence((const RmiDirItem *) b));
}

void
rmi_fences_sort(RmiFenceList *list)
{
	uint32		i,
				out = 0;
	bool		sorted = true;

	for (i = 1; i < list->n && sorted; i++)
		sorted = item_cmp(&list->items[i - 1], &list->items[i]) < 0;
	if (sorted)
		return;

	/* qsort is not stable: keep the order of arrival in spare meanwhile */
	for (i = 0; i < list->n; i++)
		list->items[i].spare = i;
	qsort(list->items, list->n, sizeof(RmiDirItem), item_cmp);
	for (i = 0; i < list->n; i++)
	{
		if (out > 0 && item_cmp(&list->items[out - 1], &list->items[i]) == 0)
		{
			if (list->items[i].spare > list->items[out - 1].spare)
				list->items[out - 1] = list->items[i];
		}
		else
			list->items[out++] = list->items[i];
	}
	list->n = out;
	for (i = 0; i < list->n; i++)
		list->items[i].spare = 0;
}
