/*-------------------------------------------------------------------------
 *
 * table.c
 *	  What a backend knows of kyro tables: an entry for each file.
 *
 * The backend's copy of the run list is compared with block 0 each time a scan
 * begins, after its snapshot was taken.  A run that is not in the copy then was
 * committed after the snapshot, which does not see its rows.  Invalidation messages
 * would not do: a backend that holds a lock on the table already does not read them.
 *
 * Entries are kept from one transaction to the next as long as their memory is
 * within kyro.table_cache; those that were not used for longest are forgotten first.
 *
 * IDENTIFICATION
 *	  src/store/table.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "guc.h"
#include "store/store.h"

/* Memory of the kernel for a mapped segment: a page table and its directory. */
#define MAPPED_BYTES 8192

/* Entries by the OID that the table had when it was opened last, for invalidations. */
typedef struct RelidEntry
{
	Oid			relid;			/* hash key */
	dlist_head	tables;			/* by of_relid; never empty */
} RelidEntry;

static HTAB *tables;
static HTAB *relids;
static MemoryContext tables_cxt;
static dlist_head by_use = DLIST_STATIC_INIT(by_use);	/* the one used last is
														 * the first */
static dlist_head suspects = DLIST_STATIC_INIT(suspects);
static Size total_bytes;		/* of all entries, as of the end of a
								 * transaction */
static StoreTable *checked_last;	/* by store_check_readable(), or NULL */
static uint64 clock_hand;		/* counts calls of store_open() */
static uint64 xact_began;		/* clock_hand at the end of the last
								 * transaction */

static void (*settle) (Relation rel);

void
store_table_set_settle(void (*function) (Relation rel))
{
	settle = function;
}

static inline void
settle_loads(Relation rel)
{
	if (settle != NULL)
		settle(rel);
}

/* Was the table opened in this transaction? */
static inline bool
used_now(const StoreTable *table)
{
	return table->used > xact_began;
}

static void
set_suspect(StoreTable *table)
{
	if (table->suspect == 0)
	{
		dlist_push_tail(&suspects, &table->suspect_node);
		table->suspect = 1;
	}
}

/*
 * Relation cache callback: the table may have been dropped, or have got a new file.
 * If this backend does not open it with the same file again, the entry is forgotten at
 * the end of the next transaction, because its maps keep the old file's space
 * occupied.
 */
static void
invalidate(Datum arg, Oid relid)
{
	dlist_iter	iter;

	if (tables == NULL)
		return;
	if (relid == InvalidOid)
	{
		dlist_foreach(iter, &by_use)
			set_suspect(dlist_container(StoreTable, by_use, iter.cur));
	}
	else
	{
		RelidEntry *entry = hash_search(relids, &relid, HASH_FIND, NULL);

		if (entry == NULL)
			return;
		dlist_foreach(iter, &entry->tables)
			set_suspect(dlist_container(StoreTable, of_relid, iter.cur));
	}
}

static void
leave_relid(StoreTable *table)
{
	RelidEntry *entry = hash_search(relids, &table->relid, HASH_FIND, NULL);

	dlist_delete(&table->of_relid);
	if (dlist_is_empty(&entry->tables))
		hash_search(relids, &table->relid, HASH_REMOVE, NULL);
	table->relid = InvalidOid;
}

static void
join_relid(StoreTable *table, Oid relid)
{
	bool		found;
	RelidEntry *entry = hash_search(relids, &relid, HASH_ENTER, &found);

	if (!found)
		dlist_init(&entry->tables);
	dlist_push_head(&entry->tables, &table->of_relid);
	table->relid = relid;
}

static void
forget(StoreTable *table)
{
	store_map_drop(table);
	if (OidIsValid(table->relid))
		leave_relid(table);
	if (table->suspect > 0)
		dlist_delete(&table->suspect_node);
	dlist_delete(&table->by_use);
	total_bytes -= table->bytes;
	if (checked_last == table)
		checked_last = NULL;
	MemoryContextDelete(table->cxt);
	hash_search(tables, &table->locator, HASH_REMOVE, NULL);
}

/*
 * Forget the table that was not used for longest.  False if there is none that was
 * not used in this transaction.
 */
static bool
forget_coldest(void)
{
	StoreTable *table;

	if (dlist_is_empty(&by_use))
		return false;
	table = dlist_tail_element(StoreTable, by_use, &by_use);
	if (used_now(table))
		return false;
	forget(table);
	return true;
}

/*
 * Between transactions nobody holds a pointer to an entry, so some can be forgotten.
 * The cost grows with the tables that the transaction has used, not with the number
 * of entries.
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	dlist_iter	iter;
	dlist_mutable_iter miter;

	if (tables == NULL || event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	dlist_foreach(iter, &by_use)
	{
		StoreTable *table = dlist_container(StoreTable, by_use, iter.cur);

		if (!used_now(table))
			break;
		list_free_deep(table->retired);
		table->retired = NIL;
		total_bytes -= table->bytes;
		table->bytes = sizeof(StoreTable) + MemoryContextMemAllocated(table->cxt, true) +
			store_map_segments(table) * MAPPED_BYTES;
		total_bytes += table->bytes;
	}
	xact_began = clock_hand;
	dlist_foreach_modify(miter, &suspects)
	{
		StoreTable *table = dlist_container(StoreTable, suspect_node, miter.cur);

		if (table->suspect++ > 1)
			forget(table);
	}
	while (total_bytes > (Size) kyro_table_cache * 1024 && forget_coldest())
		;
}

void
store_table_init(void)
{
	store_map_set_make_room(forget_coldest);
	RegisterXactCallback(at_xact_end, NULL);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

static void
create_tables(void)
{
	HASHCTL		ctl;

	if (tables_cxt == NULL)
		tables_cxt = AllocSetContextCreate(TopMemoryContext, "kyrodb tables", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(RelidEntry);
	ctl.hcxt = tables_cxt;
	if (relids == NULL)
		relids = hash_create("kyrodb table OIDs", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.keysize = sizeof(KyroLocator);
	ctl.entrysize = sizeof(StoreTable);
	tables = hash_create("kyrodb tables", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* A new entry for a file that the backend does not know. */
static StoreTable *
create_table(const KyroLocator *locator)
{
	/* allocate first, so that an error leaves no half-made entry */
	MemoryContext cxt = AllocSetContextCreate(tables_cxt, "kyrodb table", ALLOCSET_SMALL_SIZES);
	StoreTable *table = hash_search(tables, locator, HASH_ENTER, NULL);

	memset((char *) table + sizeof(KyroLocator), 0, sizeof(StoreTable) - sizeof(KyroLocator));
	table->cxt = cxt;
	dlist_push_tail(&by_use, &table->by_use);
	return table;
}

StoreTable *
store_open(Relation rel)
{
	StoreTable *table;
	KyroLocator locator = kyro_locator(rel);
	uint64		incarnation,
				generation;

	settle_loads(rel);
	if (unlikely(tables == NULL))
		create_tables();
	table = hash_search(tables, &locator, HASH_FIND, NULL);
	if (table == NULL)
		table = create_table(&locator);
	if (unlikely(table->relid != RelationGetRelid(rel)))
	{
		if (OidIsValid(table->relid))
			leave_relid(table);
		join_relid(table, RelationGetRelid(rel));
	}
	if (table->suspect > 0)
	{
		dlist_delete(&table->suspect_node);
		table->suspect = 0;
	}

	store_list_stamp(rel, table->incarnation == 0, &incarnation, &generation);
	if (table->incarnation != incarnation)
	{
		store_map_drop(table);
		store_links_forget(table);
		table->incarnation = incarnation;
		table->generation = 0;
	}
	if (incarnation == 0)
		store_list_none(table);
	else if (table->generation != generation)
		store_list_load(rel, table);
	if (!used_now(table) || table->usage_relid != table->relid)
	{
		table->usage = usage_table(table->relid);
		table->usage_relid = table->relid;
	}
	/* only now: if reading the list fails, the entry does not count as opened */
	table->used = ++clock_hand;
	dlist_move_head(&by_use, &table->by_use);
	return table;
}

StoreTable *
store_known(Relation rel)
{
	KyroLocator locator = kyro_locator(rel);
	StoreTable *table = tables == NULL ? NULL : hash_search(tables, &locator, HASH_FIND, NULL);

	settle_loads(rel);
	return table == NULL || !used_now(table) || table->generation == 0 ? NULL : table;
}

bool
store_is_whole(Relation rel)
{
	return store_open(rel)->incarnation != 0;
}

void
store_check_readable(Relation rel)
{
	StoreTable *table = checked_last;

	settle_loads(rel);
	if (likely(table != NULL && used_now(table) && table->relid == RelationGetRelid(rel) &&
			   memcmp(&table->locator, &kyro_locator(rel), sizeof(KyroLocator)) == 0))
		return;
	if (tables != NULL)
		table = hash_search(tables, &kyro_locator(rel), HASH_FIND, NULL);
	if (table == NULL || !used_now(table) || table->relid != RelationGetRelid(rel))
	{
		table = store_open(rel);
		if (unlikely(table->incarnation == 0 && RelationGetNumberOfBlocks(rel) == 0))
			store_list_recreate(rel);
	}
	checked_last = table;
}
