/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Models in and out: kyro.export_model(), import_model(), training_keys(),
 *	  and where they came from: model_history().
 *
 * IDENTIFICATION
 *	  src/inspect/exchange.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "inspect/monitor.h"
#include "model/learned_exchange.h"
#include "rmi/directory.h"
#include "rmi/import.h"

/* How often something is read again that was replaced meanwhile. */
#define READ_ATTEMPTS	20

/* Is the directory still the one that was looked at? */
static bool
is_current(Relation index, const RmiMetaData *meta)
{
	RmiMetaData now;

	rmi_read_meta(index, &now);
	return now.generation == meta->generation;
}

PG_FUNCTION_INFO_V1(kyro_export_model);

/* kyro.export_model(index): the model of the directory as it is now, as docs/model_format.md describes. */
Datum
kyro_export_model(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	RmiMetaData meta;
	LearnedModel *model = NULL;
	LearnedModel *file;
	bytea	   *result;

	for (int attempt = 0; attempt < READ_ATTEMPTS && model == NULL; attempt++)
	{
		rmi_read_meta(index, &meta);
		model = rmi_model_read(index, &meta, true);
		if (model == NULL && is_current(index, &meta))
			break;
	}
	if (meta.generation == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" has no model", RelationGetRelationName(index)),
				 errhint("kyro.rebuild() trains one.")));
	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the model of index \"%s\", at block %u, is damaged", RelationGetRelationName(index), meta.model_first),
				 errhint("kyro.rebuild() trains a new one.")));
	file = palloc_extended(model->bytes, MCXT_ALLOC_HUGE);
	learned_export(model, meta.key_type, file);
	result = (bytea *) palloc(VARHDRSZ + file->bytes);
	SET_VARSIZE(result, VARHDRSZ + file->bytes);
	memcpy(VARDATA(result), file, file->bytes);
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_BYTEA_P(result);
}

PG_FUNCTION_INFO_V1(kyro_training_keys);

/* kyro.training_keys(index): what a model of the directory as it is now is trained on. */
Datum
kyro_training_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	heap,
				index;
	RmiMetaData meta;
	RmiFenceList list;
	bool		stale = true;
	bool		ok = false;
	int64	   *keys;
	uint32		n;

	InitMaterializedSRF(fcinfo, 0);
	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	for (int attempt = 0; attempt < READ_ATTEMPTS && !ok && stale; attempt++)
	{
		rmi_read_meta(index, &meta);
		rmi_fences_init(&list);
		ok = rmi_directory_read(index, &meta, &list, &stale);
	}
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the directory of index \"%s\", at block %u, is damaged", RelationGetRelationName(index), meta.dir_root),
				 errhint("kyro.rebuild() writes a new one.")));
	n = rmi_directory_keys(&list);
	keys = rmi_training_keys(&list, n);
	for (uint32 i = 0; i < n; i++)
	{
		Datum		values[2] = {Int64GetDatum(i), Int64GetDatum(keys[i])};
		bool		nulls[2] = {false};

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return (Datum) 0;
}

static const char *
key_type_name(uint32 type)
{
	static const char *const names[] = {
		[RMI_KEY_INT2] = "smallint",
		[RMI_KEY_INT4] = "integer",
		[RMI_KEY_INT8] = "bigint",
		[RMI_KEY_DATE] = "date",
		[RMI_KEY_TIMESTAMP] = "timestamp without time zone",
		[RMI_KEY_TIMESTAMPTZ] = "timestamp with time zone"
	};

	return type < lengthof(names) && names[type] != NULL ? names[type] : "of an unknown type";
}

PG_FUNCTION_INFO_V1(kyro_import_model);

/*
 * kyro.import_model(index, model): use a model that was trained elsewhere, as far as it is better than
 * the present one.  Only the owner may.
 */
Datum
kyro_import_model(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bytea	   *bytes;
	Relation	heap,
				index;
	RmiMetaData meta;
	LearnedModel *model;
	const char *problem;
	uint32		key_type;
	RmiImported r;
	TupleDesc	desc;
	Datum		values[12];
	bool		nulls[12] = {false};

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot import a model during recovery"),
				 errhint("Run kyro.import_model() on the primary.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PreventCommandIfReadOnly("kyro.import_model()");

	index = rmi_open_for_function(relid, ShareUpdateExclusiveLock, true, &heap);
	bytes = PG_GETARG_BYTEA_PP(1);
	model = palloc(LEARNED_FILE_MAX);
	problem = learned_import(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), model, &key_type);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("these bytes are not a model"),
				 errdetail("Reason: %s.", problem)));
	rmi_read_meta(index, &meta);
	if (key_type != meta.key_type)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the model does not fit index \"%s\"", RelationGetRelationName(index)),
				 errdetail("Its keys are %s, those of the index %s.", key_type_name(key_type), key_type_name(meta.key_type))));
	rmi_import(index, model, &r);
	relation_close(index, NoLock);
	table_close(heap, NoLock);

	values[0] = Int64GetDatum(r.taken);
	values[1] = Int64GetDatum(r.kept);
	values[2] = Int32GetDatum(r.eps_before.p50);
	values[3] = Int32GetDatum(r.eps_before.p99);
	values[4] = Int32GetDatum(r.eps_before.max);
	values[5] = Int32GetDatum(r.eps_after.p50);
	values[6] = Int32GetDatum(r.eps_after.p99);
	values[7] = Int32GetDatum(r.eps_after.max);
	values[8] = Float8GetDatum(rmi_steps_per_leaf(r.steps_before, &r.before));
	values[9] = Float8GetDatum(rmi_steps_per_leaf(r.steps_after, &r.after));
	values[10] = Int64GetDatum(r.before.bytes);
	values[11] = Int64GetDatum(r.after.bytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- kyro.model_history() ---- */

static const char *
why_name(uint8 why)
{
	static const char *const names[] = {
		[RMI_WHY_BUILD] = "build",
		[RMI_WHY_REINDEX] = "reindex",
		[RMI_WHY_REBUILD] = "rebuild",
		[RMI_WHY_AUTOPILOT] = "autopilot",
		[RMI_WHY_IMPORT] = "import",
		[RMI_WHY_VACUUM] = "vacuum",
		[RMI_WHY_FOLD] = "insert"
	};

	return why < lengthof(names) && names[why] != NULL ? names[why] : "unknown";
}

static const char *
backend_name(uint8 backend)
{
	switch (backend)
	{
		case RMI_BACKEND_CLIENT:
			return "client backend";
		case RMI_BACKEND_AUTOVACUUM:
			return "autovacuum worker";
		case RMI_BACKEND_WORKER:
			return "background worker";
		default:
			return "other";
	}
}

/* The name of a role, cut where a character begins: the page has room for so many bytes. */
static Datum
role_name(const RmiHistoryItem *item)
{
	int			len = (int) strnlen(item->role, sizeof(item->role));

	return PointerGetDatum(cstring_to_text_with_len(item->role, pg_mbcliplen(item->role, len, len)));
}

PG_FUNCTION_INFO_V1(kyro_model_history);

/* kyro.model_history(index): the models that the index has had, the newest first. */
Datum
kyro_model_history(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	heap,
				index;
	RmiMetaData meta;
	RmiHistoryItem *items = palloc(RMI_HISTORY_MAX * sizeof(RmiHistoryItem));
	const char *problem = NULL;
	bool		stale = true;
	uint32		n = 0;

	kyro_check_sees_table(IndexGetRelation(PG_GETARG_OID(0), true));
	InitMaterializedSRF(fcinfo, 0);
	index = rmi_open_for_function(PG_GETARG_OID(0), AccessShareLock, false, &heap);
	for (int attempt = 0; attempt < READ_ATTEMPTS && stale; attempt++)
	{
		rmi_read_meta(index, &meta);
		n = rmi_history_read(index, &meta, items, &problem, &stale);
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the history of index \"%s\" is damaged at block %u", RelationGetRelationName(index), meta.history),
				 errdetail("%s.", problem),
				 errhint("It is of no use to look-ups; kyro.rebuild() begins a new one.")));
	while (n-- > 0)
	{
		const RmiHistoryItem *item = &items[n];
		Datum		values[12];
		bool		nulls[12] = {false};

		values[0] = Int64GetDatum(item->number);
		values[1] = TimestampTzGetDatum(item->trained_at);
		values[2] = role_name(item);
		values[3] = CStringGetTextDatum(backend_name(item->backend));
		values[4] = CStringGetTextDatum(why_name(item->why));
		values[5] = Int64GetDatum((int64) item->entries);
		values[6] = Int64GetDatum(item->leaves);
		values[7] = Int64GetDatum(item->models);
		values[8] = Int32GetDatum((int32) item->eps_before);
		nulls[8] = item->eps_before == RMI_NO_EPS;
		values[9] = Int32GetDatum((int32) item->eps_after);
		values[10] = Float8GetDatum(item->duration / 1000000.0);
		values[11] = CStringGetTextDatum(psprintf("%016llx", (unsigned long long) item->hash));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	relation_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return (Datum) 0;
}
