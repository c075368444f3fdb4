/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Which tables keep a history, and the images of their rows in it.
 *
 * An image is an array with a text for each column, in the order in which the columns
 * were added to the history: the value as the type's output function writes it, under
 * fixed settings (event_pin_settings).  Columns are known by name, so partitions may have
 * them in another order, and a restored dump does not have those that were dropped.
 *
 * IDENTIFICATION
 *	  src/events/history.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/xid8.h"

#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_pin_settings);
PG_FUNCTION_INFO_V1(kyro_row_image);
PG_FUNCTION_INFO_V1(kyro_image_row);
PG_FUNCTION_INFO_V1(kyro_fit_image);
PG_FUNCTION_INFO_V1(kyro_history_begin);
PG_FUNCTION_INFO_V1(kyro_forget_histories);
PG_FUNCTION_INFO_V1(kyro_sees_histories);

/* Columns of kyro.histories, see sql/past.sql. */
enum
{
	HIST_RELATION = 1,
	HIST_CHANGES,
	HIST_COLUMNS,
	HIST_TYPES,
	HIST_FILL,
	HIST_SINCE_ERA,
	HIST_SINCE
};

/* What the session has cached for a table or partition. */
typedef struct Entry
{
	Oid			relid;			/* hash key */
	bool		valid;
	EventHistory *history;
} Entry;

static HTAB *cache = NULL;
static List *retired = NIL;		/* replaced histories, to be freed */
static int	users = 0;			/* calls of event_history_hold() that were not
								 * released yet, in this transaction */

/* Relation cache callback: a table, or its history, was changed. */
static void
on_relcache_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	Entry	   *entry;

	hash_seq_init(&seq, cache);
	while ((entry = (Entry *) hash_seq_search(&seq)) != NULL)
	{
		const EventHistory *h = entry->history;

		if (!OidIsValid(relid) || relid == entry->relid || h == NULL ||
			relid == h->root || relid == h->changes || relid == h->era_table || relid == h->histories)
			entry->valid = false;
	}
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	users = 0;
}

void
event_history_hold(void)
{
	users++;
}

void
event_history_release(void)
{
	if (users > 0)
		users--;
}

/* ---- settings ---- */

/* Set what images depend on, until the present level of settings ends. */
static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"datestyle", "ISO"},
		{"intervalstyle", "postgres"},
		{"timezone", "UTC"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
		{"xmloption", "content"},
		{"lc_monetary", "C"},
		{"search_path", "pg_catalog, pg_temp"}
	};

	for (int i = 0; i < (int) lengthof(pinned); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int
event_pin_settings(void)
{
	int			level = NewGUCNestLevel();

	pin_settings();
	return level;
}

/*
 * kyro.pin_settings(): the same for a function in SQL, to its end, if it has a setting of its own (SET search_path);
 * else to the end of the transaction.
 */
Datum
kyro_pin_settings(PG_FUNCTION_ARGS)
{
	pin_settings();
	PG_RETURN_VOID();
}

/* Is the type's text the same under all settings? */
static bool
is_plain(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case NAMEOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
			return true;
		default:
			return false;
	}
}

/* ---- what is known of a history ---- */

/* The elements of an array column of kyro.histories, allocated in the current context; returns their number. */
static int
elements(HeapTuple tuple, TupleDesc desc, int column, Oid type, Datum **values, bool **nulls)
{
	bool		isnull;
	Datum		array = heap_getattr(tuple, column, desc, &isnull);
	int			n;

	if (isnull)
		return 0;
	deconstruct_array(DatumGetArrayTypePCopy(array), type, type == TEXTOID ? -1 : (int) sizeof(Oid), type != TEXTOID, TYPALIGN_INT,
					  values, nulls, &n);
	return n;
}

/* The present era of this database, see README.md, E11. */
static int32
current_era(Oid era_table)
{
	Relation	rel = table_open(era_table, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	int32		era = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int32		found = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull));

		era = Max(era, found);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return era;
}

static void
fill_slot(EventSlot *slot, Relation rel, Datum name, Oid type)
{
	Form_pg_attribute att;
	Oid			function;
	bool		varlena;

	slot->attnum = get_attnum(RelationGetRelid(rel), TextDatumGetCString(name));
	att = slot->attnum > 0 ? TupleDescAttr(RelationGetDescr(rel), slot->attnum - 1) : NULL;
	if (att == NULL || att->atttypid != type)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" is not as its history knows it",
						TextDatumGetCString(name), RelationGetRelationName(rel)),
				 errdetail("It was changed while event triggers were off."),
				 errhint("Use kyro.drop_history() and kyro.keep_history().")));
	slot->typmod = att->atttypmod;
	getTypeOutputInfo(type, &function, &varlena);
	fmgr_info_cxt(function, &slot->out, CurrentMemoryContext);
	getTypeInputInfo(type, &function, &slot->ioparam);
	fmgr_info_cxt(function, &slot->in, CurrentMemoryContext);
}

/* Make a history from a row of kyro.histories, for the rows of a table or partition; allocated in the current context. */
static EventHistory *
make_history(Relation rel, HeapTuple tuple, Relation histories)
{
	TupleDesc	desc = RelationGetDescr(histories);
	EventHistory *h = palloc0(sizeof(EventHistory));
	TupleDesc	columns = RelationGetDescr(rel);
	HeapTuple	changes;
	Datum	   *names,
			   *types,
			   *fill;
	bool	   *no_name,
			   *no_type,
			   *no_fill;
	bool		isnull;
	int			live = 0;

	h->root = DatumGetObjectId(heap_getattr(tuple, HIST_RELATION, desc, &isnull));
	h->changes = DatumGetObjectId(heap_getattr(tuple, HIST_CHANGES, desc, &isnull));
	h->histories = RelationGetRelid(histories);
	h->context = CurrentMemoryContext;
	changes = SearchSysCache1(RELOID, ObjectIdGetDatum(h->changes));
	if (!HeapTupleIsValid(changes))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the history of table \"%s\" was dropped", get_rel_name(h->root)),
				 errhint("Use kyro.drop_history() to have it keep none.")));
	h->owner = ((Form_pg_class) GETSTRUCT(changes))->relowner;
	ReleaseSysCache(changes);
	h->changes_name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(h->changes)), get_rel_name(h->changes));
	h->era_table = get_relname_relid("era", get_namespace_oid("kyro", false));
	h->era = current_era(h->era_table);
	h->since_era = DatumGetInt32(heap_getattr(tuple, HIST_SINCE_ERA, desc, &isnull));
	h->since = DatumGetFullTransactionId(heap_getattr(tuple, HIST_SINCE, desc, &isnull));
	if (isnull)
		h->since = InvalidFullTransactionId;

	h->nslots = elements(tuple, desc, HIST_COLUMNS, TEXTOID, &names, &no_name);
	if (elements(tuple, desc, HIST_TYPES, REGTYPEOID, &types, &no_type) != h->nslots ||
		elements(tuple, desc, HIST_FILL, TEXTOID, &fill, &no_fill) != h->nslots)
		elog(ERROR, "kyro.histories has arrays of different lengths for relation %u", h->root);
	h->slots = palloc0(h->nslots * sizeof(EventSlot));
	for (int i = 0; i < h->nslots; i++)
	{
		if (no_name[i])
		{
			h->has_dropped = true;
			continue;
		}
		fill_slot(&h->slots[i], rel, names[i], DatumGetObjectId(types[i]));
		h->slots[i].no_fill = no_fill[i];
		h->slots[i].fill = fill[i];
		if (!is_plain(DatumGetObjectId(types[i])))
			h->pin = true;
		live++;
	}
	for (int i = 0; i < columns->natts; i++)
		live -= !TupleDescAttr(columns, i)->attisdropped;
	if (live != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has columns that its history does not know", RelationGetRelationName(rel)),
				 errdetail("They were added while event triggers were off."),
				 errhint("Use kyro.drop_history() and kyro.keep_history().")));
	return h;
}

/* Free replaced histories, unless somebody may be using them. */
static void
free_retired(void)
{
	ListCell   *lc;

	if (users > 0)
		return;
	foreach(lc, retired)
	{
		EventHistory *h = (EventHistory *) lfirst(lc);

		if (h->insert != NULL)
			SPI_freeplan(h->insert);
		MemoryContextDelete(h->context);
	}
	list_free(retired);
	retired = NIL;
}

static void
retire(EventHistory *h)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	retired = lappend(retired, h);
	MemoryContextSwitchTo(old);
}

static Relation
open_histories(void)
{
	return table_open(get_relname_relid("histories", get_namespace_oid("kyro", false)), AccessShareLock);
}

/* Read the history of a table or partition, with the latest snapshot, as catalogs are read; NULL if it has none. */
static EventHistory *
read_history(Oid relid)
{
	Relation	histories = open_histories();
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *candidates = list_make1_oid(relid);
	EventHistory *h = NULL;
	ListCell   *lc;

	if (rel->rd_rel->relispartition)
		candidates = list_concat(candidates, get_partition_ancestors(relid));
	foreach(lc, candidates)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, HIST_RELATION, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(lfirst_oid(lc)));
		scan = systable_beginscan(histories, InvalidOid, false, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (HeapTupleIsValid(tuple))
		{
			MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kyro history", ALLOCSET_SMALL_SIZES);
			MemoryContext old = MemoryContextSwitchTo(context);

			h = make_history(rel, tuple, histories);
			MemoryContextSetParent(context, TopMemoryContext);
			MemoryContextSwitchTo(old);
		}
		systable_endscan(scan);
		if (h != NULL)
			break;
	}
	table_close(rel, AccessShareLock);
	table_close(histories, AccessShareLock);
	return h;
}

EventHistory *
event_history(Oid relid, bool missing_ok)
{
	Entry	   *entry;
	bool		found;

	if (cache == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(Entry);
		cache = hash_create("kyro histories", 16, &ctl, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
		RegisterXactCallback(at_end_of_transaction, NULL);
	}
	entry = (Entry *) hash_search(cache, &relid, HASH_FIND, &found);
	if (entry == NULL || !entry->valid || entry->history == NULL)
	{
		EventHistory *h;

		free_retired();
		if (entry != NULL)
		{
			if (entry->history != NULL)
				retire(entry->history);
			(void) hash_search(cache, &relid, HASH_REMOVE, &found);
		}

		/*
		 * make the entry before reading, so that it becomes invalid if there
		 * is an invalidation meanwhile
		 */
		entry = (Entry *) hash_search(cache, &relid, HASH_ENTER, &found);
		entry->history = NULL;
		entry->valid = true;
		h = read_history(relid);
		entry = (Entry *) hash_search(cache, &relid, HASH_FIND, &found);
		if (h == NULL)
		{
			(void) hash_search(cache, &relid, HASH_REMOVE, &found);
			if (missing_ok)
				return NULL;
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" keeps no history", get_rel_name(relid)),
					 errhint("kyro.keep_history() has it keep one, kyro.drop_history() ends that.")));
		}
		entry->history = h;
	}
	return entry->history;
}

/* ---- images ---- */

Datum
event_row_image(EventHistory *h, HeapTuple tuple, TupleDesc desc)
{
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	Datum	   *texts = palloc(h->nslots * sizeof(Datum));
	bool	   *none = palloc(h->nslots * sizeof(bool));
	int			dims[1] = {h->nslots};
	int			lbs[1] = {1};

	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < h->nslots; i++)
	{
		EventSlot  *slot = &h->slots[i];

		none[i] = slot->attnum == 0 || slot->attnum > desc->natts || nulls[slot->attnum - 1];
		if (!none[i])
			texts[i] = CStringGetTextDatum(OutputFunctionCall(&slot->out, values[slot->attnum - 1]));
	}
	return PointerGetDatum(construct_md_array(texts, none, 1, dims, lbs, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The history of the table that has this row type. */
static EventHistory *
history_of_type(Oid type)
{
	Oid			relid = get_typ_typrelid(getBaseType(type));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not the type of the rows of a table", format_type_be(type)),
				 errhint("Use NULL::name_of_the_table.")));
	return event_history(relid, false);
}

/* kyro.row_image(r record) returns text[]: the image of a row in the history of its table. */
Datum
kyro_row_image(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	Oid			type = HeapTupleHeaderGetTypeId(row);
	EventHistory *h = history_of_type(type);
	TupleDesc	desc = lookup_rowtype_tupdesc(type, HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {0};
	Datum		image;

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	tuple.t_data = row;
	event_history_hold();
	image = event_row_image(h, &tuple, desc);
	event_history_release();
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(image);
}

/* kyro.image_row(NULL::tbl, image text[]) returns the row of the table that has this image. */
Datum
kyro_image_row(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	EventHistory *h = history_of_type(type);
	TupleDesc	desc;
	Datum	   *texts;
	bool	   *none;
	int			n;
	Datum	   *values;
	bool	   *nulls;
	Datum		row;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &texts, &none, &n);
	desc = lookup_rowtype_tupdesc(getBaseType(type), -1);
	values = palloc0(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	memset(nulls, true, desc->natts * sizeof(bool));
	event_history_hold();
	for (int i = 0; i < h->nslots; i++)
	{
		EventSlot  *slot = &h->slots[i];
		bool		is_null = i < n ? none[i] : slot->no_fill;

		if (slot->attnum == 0 || is_null)
			continue;
		values[slot->attnum - 1] = InputFunctionCall(&slot->in, TextDatumGetCString(i < n ? texts[i] : slot->fill),
													 slot->ioparam, slot->typmod);
		nulls[slot->attnum - 1] = false;
	}
	event_history_release();
	row = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(row);
}

/*
 * kyro.fit_image(tbl regclass, image text[]) returns text[]: an old image with the table's
 * present columns.  Columns that were added since have the value that the rows got then,
 * columns that were dropped are NULL.
 */
Datum
kyro_fit_image(PG_FUNCTION_ARGS)
{
	EventHistory *h = event_history(PG_GETARG_OID(0), false);
	ArrayType  *image = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *texts;
	bool	   *none;
	Datum	   *fitted;
	bool	   *fitted_none;
	int			n;
	int			dims[1] = {h->nslots};
	int			lbs[1] = {1};

	if (!h->has_dropped && ARR_NDIM(image) == 1 && ARR_DIMS(image)[0] == h->nslots)
		PG_RETURN_ARRAYTYPE_P(image);
	deconstruct_array(image, TEXTOID, -1, false, TYPALIGN_INT, &texts, &none, &n);
	fitted = palloc0(h->nslots * sizeof(Datum));
	fitted_none = palloc(h->nslots * sizeof(bool));
	for (int i = 0; i < h->nslots; i++)
	{
		const EventSlot *slot = &h->slots[i];

		fitted_none[i] = slot->attnum == 0 || (i < n ? none[i] : slot->no_fill);
		if (!fitted_none[i])
			fitted[i] = i < n ? texts[i] : slot->fill;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(fitted, fitted_none, 1, dims, lbs, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * kyro.history_begin(tbl regclass, OUT era, OUT since): the transaction since which the
 * history is complete; an epoch that does not see it cannot be read.  Raises 55000 if the
 * table keeps no history, or if its triggers are disabled.
 */
Datum
kyro_history_begin(PG_FUNCTION_ARGS)
{
	EventHistory *h = event_history(PG_GETARG_OID(0), false);
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (!FullTransactionIdIsValid(h->since))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of table \"%s\" are not recorded", get_rel_name(PG_GETARG_OID(0))),
				 errdetail("The triggers that record them are disabled, or missing."),
				 errhint("Use kyro.drop_history() and kyro.keep_history().")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(h->since_era);
	values[1] = FullTransactionIdGetDatum(h->since);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * kyro.forget_histories(), a trigger of kyro.histories: what sessions know by heart may be old.  The
 * command that has it changed need not have changed the table: it may be one of a partition.
 */
Datum
kyro_forget_histories(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("kyro.forget_histories() is a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * kyro.sees_histories() returns boolean: does the transaction see the latest of kyro.histories?  With one
 * snapshot for all, REPEATABLE READ or SERIALIZABLE, it may not.
 */
Datum
kyro_sees_histories(PG_FUNCTION_ARGS)
{
	Relation	histories;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		seen = true;

	if (!IsolationUsesXactSnapshot())
		PG_RETURN_BOOL(true);
	histories = open_histories();
	scan = systable_beginscan(histories, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);

		if (!TransactionIdIsCurrentTransactionId(xmin) && XidInMVCCSnapshot(xmin, GetTransactionSnapshot()))
			seen = false;
	}
	systable_endscan(scan);
	table_close(histories, AccessShareLock);
	PG_RETURN_BOOL(seen);
}
