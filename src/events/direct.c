/*-------------------------------------------------------------------------
 *
 * direct.c
 *	  Appending an event without a statement.
 *
 * A statement costs more than the insertion itself: its nodes, and the expressions of
 * defaults and generated columns, are made ready each time.  For a log that is as
 * kyro.create_log() makes it, nothing of that has to be found out again.  What is done
 * here has the effect of the statements of append.c, which are used where anything
 * of the log is different (is_as_made), and where anything goes wrong: they find out again what
 * it is, wait, and raise the error.
 *
 * IDENTIFICATION
 *	  src/events/direct.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "events/events.h"

/* The columns of a log; those of EventValue come first, in the same order. */
typedef enum Column
{
	PAYLOAD = EVENT_PAYLOAD,
	KEY = EVENT_KEY,
	KIND = EVENT_KIND,
	REQUEST_ID = EVENT_REQUEST_ID,
	OFFSET,
	AT,
	HORIZON,
	COLUMNS
} Column;

static const char *const names[COLUMNS] = {"payload", "key", "kind", "request_id", "offset", "at", "horizon"};

/* What a session has found out about a log. */
typedef struct Target
{
	Oid			relid;			/* hash key */
	bool		valid;			/* nothing was changed since */
	bool		as_made;		/* is_as_made() */
	Oid			payload_type;
	AttrNumber	attnums[COLUMNS];
	Oid			seqid;			/* of the offsets */
	Oid			functions[3];	/* that an INSERT would call */
	Oid			request_index;
} Target;

static HTAB *targets = NULL;

static void
on_relcache_change(Datum arg, Oid relid)
{
	if (OidIsValid(relid))
	{
		Target	   *target = (Target *) hash_search(targets, &relid, HASH_FIND, NULL);

		if (target != NULL)
			target->valid = false;
	}
	else
	{
		HASH_SEQ_STATUS seq;
		Target	   *target;

		hash_seq_init(&seq, targets);
		while ((target = (Target *) hash_seq_search(&seq)) != NULL)
			target->valid = false;
	}
}

/* A function was changed, perhaps one of those that logs call. */
static void
on_function_change(Datum arg, int cacheid, uint32 hashvalue)
{
	on_relcache_change(arg, InvalidOid);
}

/* Is the expression a call of this C function, and of nothing around it? */
static FuncExpr *
call_of(Node *expr, PGFunction function, int nargs)
{
	FmgrInfo	info;

	if (expr == NULL || !IsA(expr, FuncExpr) || list_length(((FuncExpr *) expr)->args) != nargs)
		return NULL;
	fmgr_info(((FuncExpr *) expr)->funcid, &info);
	return info.fn_addr == function ? (FuncExpr *) expr : NULL;
}

/*
 * Has the index nothing to be computed for its entries, and no other constraint than to be unique?  That of requests may, and must,
 * have the condition that there is one.
 */
static bool
index_is_simple(Target *target, Relation index)
{
	Form_pg_index form = index->rd_index;
	List	   *predicate = RelationGetIndexPredicate(index);
	AttrNumber	request_id = target->attnums[REQUEST_ID];

	if (form->indisexclusion || RelationGetIndexExpressions(index) != NIL)
		return false;
	if (form->indisunique && form->indnkeyatts == 1 && form->indkey.values[0] == request_id)
	{
		NullTest   *test = list_length(predicate) == 1 && IsA(linitial(predicate), NullTest) ? linitial(predicate) : NULL;

		/* several of them would all have to be asked */
		if (OidIsValid(target->request_index) || form->indnatts != 1 || !form->indisvalid || index->rd_rel->relam != BTREE_AM_OID ||
			get_opcode(get_opfamily_member(index->rd_opfamily[0], UUIDOID, UUIDOID, BTEqualStrategyNumber)) != F_UUID_EQ ||
			test == NULL || test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var) || ((Var *) test->arg)->varattno != request_id)
			return false;
		target->request_index = RelationGetRelid(index);
		return true;
	}
	return predicate == NIL;
}

/*
 * Find out whether an event of the log, which is locked, is a row of what kyro.create_log() gives it, and nothing is to be
 * done but to insert it and its index entries.
 */
static bool
is_as_made(Target *target, Relation rel)
{
	static const Oid types[COLUMNS] = {InvalidOid, INT8OID, TEXTOID, UUIDOID, INT8OID, TIMESTAMPTZOID, XID8OID};
	TupleDesc	desc = RelationGetDescr(rel);
	const TriggerDesc *triggers = rel->trigdesc;
	FuncExpr   *offset,
			   *at,
			   *horizon;
	List	   *indexes;
	ListCell   *lc;
	int			live = 0;
	bool		simple = true;

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relispartition || rel->rd_rel->relhassubclass ||
		rel->rd_rel->relrowsecurity || rel->rd_rules != NULL || desc->constr == NULL || desc->constr->num_check > 0)
		return false;
	if (triggers != NULL &&
		(triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
		 triggers->trig_insert_before_statement || triggers->trig_insert_after_statement))
		return false;

	for (int i = 0; i < desc->natts; i++)
		live += !TupleDescAttr(desc, i)->attisdropped;
	if (live != COLUMNS)
		return false;
	for (int c = 0; c < COLUMNS; c++)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), names[c]);
		Form_pg_attribute att = attnum > 0 ? TupleDescAttr(desc, attnum - 1) : NULL;

		if (att == NULL || att->attidentity != '\0' || (c == REQUEST_ID && att->atthasdef) ||
			att->atttypid != (c == PAYLOAD ? target->payload_type : types[c]) ||
			att->attgenerated != (c == HORIZON ? ATTRIBUTE_GENERATED_STORED : '\0'))
			return false;
		target->attnums[c] = attnum;
	}

	offset = call_of(build_column_default(rel, target->attnums[OFFSET]), kyro_next_offset, 1);
	at = call_of(build_column_default(rel, target->attnums[AT]), clock_timestamp, 0);
	horizon = call_of(build_column_default(rel, target->attnums[HORIZON]), kyro_event_horizon, 1);
	if (offset == NULL || at == NULL || horizon == NULL ||
		!IsA(linitial(offset->args), Const) || ((Const *) linitial(offset->args))->constisnull ||
		!IsA(linitial(horizon->args), Var) || ((Var *) linitial(horizon->args))->varattno != target->attnums[OFFSET])
		return false;
	target->seqid = DatumGetObjectId(((Const *) linitial(offset->args))->constvalue);
	target->functions[0] = offset->funcid;
	target->functions[1] = at->funcid;
	target->functions[2] = horizon->funcid;

	target->request_index = InvalidOid;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		simple = simple && index_is_simple(target, index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return simple && OidIsValid(target->request_index);
}

/* The log, which is locked, as this session knows it. */
static const Target *
target_of(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Target	   *target;
	bool		found;

	if (targets == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(Target);
		targets = hash_create("kyro logs as made", 16, &ctl, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, on_function_change, (Datum) 0);
	}
	target = (Target *) hash_search(targets, &relid, HASH_ENTER, &found);
	if (!found || !target->valid)
	{
		/*
		 * before it is read, so that an invalidation meanwhile is not lost;
		 * and not as made, if there is an error
		 */
		target->valid = true;
		target->as_made = false;
		target->payload_type = event_log_by_oid(relid).payload_type;
		target->as_made = is_as_made(target, rel);
	}
	return target;
}

/* May the user do what the statement would?  If not, it is left to the statement to say why. */
static bool
is_allowed(const Target *target, bool has_request)
{
	Oid			user = GetUserId();
	AclMode		all;

	for (int i = 0; i < (int) lengthof(target->functions); i++)
	{
		if (!kyro_may_call(target->functions[i], user))
			return false;
	}
	all = pg_class_aclmask(target->relid, user, ACL_INSERT | ACL_SELECT, ACLMASK_ALL);
	for (int c = PAYLOAD; c <= OFFSET; c++)
	{
		if (c == REQUEST_ID && !has_request)
			continue;
		if (c != OFFSET && !(all & ACL_INSERT) && pg_attribute_aclcheck(target->relid, target->attnums[c], user, ACL_INSERT) != ACLCHECK_OK)
			return false;
		if (c >= REQUEST_ID && !(all & ACL_SELECT) && pg_attribute_aclcheck(target->relid, target->attnums[c], user, ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/* Is there an event of this request, or may there be one, of a transaction in progress? */
static bool
request_is_taken(const Target *target, Relation rel, Datum request_id)
{
	Relation	index = index_open(target->request_index, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	SnapshotData dirty;
	ScanKeyData key;
	IndexScanDesc scan;
	bool		taken;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, request_id);
	scan = kyro_index_beginscan(rel, index, &dirty, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	taken = index_getnext_slot(scan, ForwardScanDirection, slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, RowExclusiveLock);
	return taken;
}

/*
 * Insert the entries of a row into all indexes.  Returns false if there is an event of the
 * same request, or may be.
 */
static bool
insert_entries(const Target *target, Relation rel, TupleTableSlot *slot, bool has_request)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		once = true;

	foreach(lc, indexes)
	{
		bool		of_requests = lfirst_oid(lc) == target->request_index;
		Relation	index;
		IndexInfo  *info;
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (of_requests && !has_request)
			continue;
		index = index_open(lfirst_oid(lc), RowExclusiveLock);
		if (index->rd_index->indisready)
		{
			bool		unique;

			info = BuildIndexInfo(index);
			Assert(info->ii_Expressions == NIL && (of_requests || info->ii_Predicate == NIL));
			FormIndexDatum(info, slot, NULL, values, nulls);
			unique = index_insert(index, values, nulls, &slot->tts_tid, rel,
								  of_requests ? UNIQUE_CHECK_PARTIAL : index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
								  false, info);
			kyro_index_insert_done(index, info);
			if (of_requests && !unique)
				once = false;
		}
		index_close(index, RowExclusiveLock);
	}
	list_free(indexes);
	return once;
}

/* Make the event and insert it; returns its offset, or 0 if another transaction was first with its request. */
static int64
insert_event(const Target *target, Relation rel, const Datum *values, const char *nulls)
{
	bool		has_request = nulls[EVENT_REQUEST_ID] != 'n';
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int64		offset = event_next_offset(target->seqid);
	bool		once = true;

	memset(slot->tts_isnull, true, RelationGetDescr(rel)->natts * sizeof(bool));
	for (int c = 0; c < COLUMNS; c++)
	{
		int			i = target->attnums[c] - 1;

		slot->tts_isnull[i] = c <= REQUEST_ID && nulls[c] == 'n';
		if (c <= REQUEST_ID)
			slot->tts_values[i] = values[c];
		else if (c == OFFSET)
			slot->tts_values[i] = Int64GetDatum(offset);
		else if (c == AT)
			slot->tts_values[i] = TimestampTzGetDatum(GetCurrentTimestamp());
		else
			slot->tts_values[i] = FullTransactionIdGetDatum(ReadNextFullTransactionId());	/* after the offset: E2 */
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(rel);

	/*
	 * as ON CONFLICT does it: others wait until it is known whether the row
	 * stays
	 */
	if (has_request)
	{
		TransactionId xid = GetCurrentTransactionId();
		uint32		token = SpeculativeInsertionLockAcquire(xid);

		table_tuple_insert_speculative(rel, slot, GetCurrentCommandId(true), 0, NULL, token);
		once = insert_entries(target, rel, slot, true);
		table_tuple_complete_speculative(rel, slot, token, once);
		SpeculativeInsertionLockRelease(xid);
	}
	else
	{
		table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
		(void) insert_entries(target, rel, slot, false);
	}
	ExecDropSingleTupleTableSlot(slot);
	CommandCounterIncrement();
	return once ? offset : 0;
}

int64
event_append_directly(Oid relid, Oid payload_type, const Datum *values, const char *nulls)
{
	Relation	rel;
	const Target *target;
	int64		offset = 0;

	/* who wants to know of each statement, gets one */
	if (XactReadOnly || IsInParallelMode() || ExecutorCheckPerms_hook != NULL)
		return 0;
	if (targets == NULL || hash_search(targets, &relid, HASH_FIND, NULL) == NULL)
		(void) event_log_by_oid(relid); /* lock nothing else */
	rel = try_relation_open(relid, RowExclusiveLock);
	if (rel == NULL)
		return 0;
	target = target_of(rel);
	if (target->as_made && target->payload_type == payload_type && is_allowed(target, nulls[EVENT_REQUEST_ID] != 'n'))
	{
		bool		complete = true;

		for (int c = PAYLOAD; c <= REQUEST_ID; c++)
		{
			if (nulls[c] == 'n' && TupleDescAttr(RelationGetDescr(rel), target->attnums[c] - 1)->attnotnull)
				complete = false;
		}
		if (complete && (nulls[EVENT_REQUEST_ID] == 'n' || !request_is_taken(target, rel, values[EVENT_REQUEST_ID])))
			offset = insert_event(target, rel, values, nulls);
	}
	relation_close(rel, NoLock);
	return offset;
}
