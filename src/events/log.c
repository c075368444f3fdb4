/*-------------------------------------------------------------------------
 *
 * log.c
 *	  Which tables are event logs.
 *
 * A table is an event log if it has the right columns: payload, "offset", and a stored
 * generated column horizon.  There is no other mark, so a log stays one through dumps,
 * renames and changes of owner.
 *
 * IDENTIFICATION
 *	  src/events/log.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "events/events.h"

PG_FUNCTION_INFO_V1(kyro_event_log);
PG_FUNCTION_INFO_V1(kyro_kv_table);
PG_FUNCTION_INFO_V1(kyro_creation_name);

Oid
event_column_type(Oid relid, const char *name, char *generated)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	Form_pg_attribute att;
	Oid			result;

	*generated = '\0';
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	result = att->atttypid;
	*generated = att->attgenerated;
	ReleaseSysCache(tuple);
	return result;
}

EventLog
event_log_by_oid(Oid relid)
{
	EventLog	log;
	char	   *name = get_rel_name(relid);
	char		relkind = get_rel_relkind(relid);
	char		generated;
	bool		ok;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid)));
	log.relid = relid;
	log.partitioned = relkind == RELKIND_PARTITIONED_TABLE;
	log.payload_type = event_column_type(relid, "payload", &generated);
	ok = (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		(log.payload_type == JSONBOID || log.payload_type == BYTEAOID) &&
		event_column_type(relid, "offset", &generated) == INT8OID &&
		event_column_type(relid, "horizon", &generated) == XID8OID && generated == ATTRIBUTE_GENERATED_STORED;
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an event log", name),
				 errhint("Event logs are made by kyro.create_log().")));
	log.name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
	return log;
}

/* The table of a name, by the search_path; kind: what it should be, for messages. */
static Oid
table_by_name(text *name, const char *kind)
{
	Oid			relid;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of the %s must not be NULL", kind)));
	relid = RangeVarGetRelid(makeRangeVarFromNameList(textToQualifiedNameList(name)), NoLock, true);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("%s \"%s\" does not exist", kind, text_to_cstring(name))));
	return relid;
}

Oid
event_log_oid(text *name)
{
	return table_by_name(name, "event log");
}

Oid
event_kv_oid(text *name)
{
	return table_by_name(name, "key-value table");
}

EventLog
event_log_by_name(text *name)
{
	return event_log_by_oid(event_log_oid(name));
}

Oid
event_sequence(Oid relid, const char *column, bool missing_ok)
{
	AttrNumber	attnum = get_attnum(relid, column);
	ListCell   *lc;

	foreach(lc, getOwnedSequences(relid))
	{
		Oid			table;
		int32		owner;

		if (sequenceIsOwned(lfirst_oid(lc), DEPENDENCY_AUTO, &table, &owner) && owner == attnum)
			return lfirst_oid(lc);
	}
	if (!missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" has no sequence of its own", column, get_rel_name(relid)),
				 errhint("Give it one with ALTER SEQUENCE ... OWNED BY %s.%s.",
						 quote_identifier(get_rel_name(relid)), quote_identifier(column))));
	return InvalidOid;
}

Oid
event_sequence_table(Oid seqid)
{
	Oid			table;
	int32		column;

	return sequenceIsOwned(seqid, DEPENDENCY_AUTO, &table, &column) ? table : InvalidOid;
}

/*
 * kyro.event_log(name text) returns regclass: the event log of that name, by the
 * search_path of the caller.  For SQL functions that have a search_path of their own.
 */
Datum
kyro_event_log(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(event_log_by_name(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0)).relid);
}

/* kyro.kv_table(name text) returns regclass: the same for a key-value table, which is not checked. */
Datum
kyro_kv_table(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(event_kv_oid(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0)));
}

/*
 * kyro.creation_name(name text) returns text[]: the schema in which CREATE TABLE would
 * make a table of that name, by the caller's search_path, and its unqualified name.
 * Raises 22004, 42602, 3F000, and 42501 if the user may not create in the schema.
 */
Datum
kyro_creation_name(PG_FUNCTION_ARGS)
{
	RangeVar   *name;
	Datum		parts[2];
	Oid			schema;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of a table must not be NULL")));
	name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	schema = RangeVarGetCreationNamespace(name);
	parts[0] = CStringGetTextDatum(get_namespace_name(schema));
	parts[1] = CStringGetTextDatum(name->relname);
	PG_RETURN_ARRAYTYPE_P(construct_array(parts, 2, TEXTOID, -1, false, TYPALIGN_INT));
}
