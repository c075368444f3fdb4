/*-------------------------------------------------------------------------
 *
 * stubs.c
 *	  Functions of the server that no fuzz target comes to.
 *
 * The files under test name them, so that they must exist.  One that is
 * called says so and ends the program: then it needs a body in server.c,
 * index.c or the target.
 *
 * IDENTIFICATION
 *	  test/fuzz/stubs.c
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#define NEVER(name) \
void name(void); \
__attribute__((weak)) void \
name(void) \
{ \
	fprintf(stderr, "%s() is called\n", #name); \
	abort(); \
}

NEVER(aclcheck_error)
NEVER(BeginInternalSubTransaction)
NEVER(BuildIndexInfo)
NEVER(BuildIndexValueDescription)
NEVER(CheckForSerializableConflictIn)
NEVER(ConditionVariableBroadcast)
NEVER(ConditionVariableCancelSleep)
NEVER(ConditionVariableInit)
NEVER(ConditionVariableSignal)
NEVER(ConditionVariableSleep)
NEVER(CopyErrorData)
NEVER(CreateExecutorState)
NEVER(date2timestamp_opt_overflow)
NEVER(date2timestamptz_opt_overflow)
NEVER(errtableconstraint)
NEVER(ExecDropSingleTupleTableSlot)
NEVER(ExecForceStoreHeapTuple)
NEVER(ExecPrepareQual)
NEVER(ExecStoreBufferHeapTuple)
NEVER(find_all_inheritors)
NEVER(FlushErrorState)
NEVER(fmgr_info)
NEVER(format_type_be)
NEVER(FormIndexDatum)
NEVER(FreeErrorData)
NEVER(FreeExecutorState)
NEVER(get_index_am_oid)
NEVER(get_opcode)
NEVER(get_opfamily_member)
NEVER(get_relkind_objtype)
NEVER(GetLatestSnapshot)
NEVER(lappend_oid)
NEVER(GetTransactionSnapshot)
NEVER(GetUserId)
NEVER(ConditionalLockRelation)
NEVER(heap_copytuple)
NEVER(get_rel_name)
NEVER(HeapTupleGetUpdateXid)
NEVER(HeapTupleHeaderGetUpdateXid)
NEVER(index_beginscan)
NEVER(index_close)
NEVER(index_endscan)
NEVER(index_getnext_slot)
NEVER(index_open)
NEVER(index_rescan)
NEVER(init_toast_snapshot)
NEVER(keys_is_ours)
NEVER(kyro_verify_table)
NEVER(kyro_warmup_table)
NEVER(log_newpage)
NEVER(log_newpage_buffer)
NEVER(MakePerTupleExprContext)
NEVER(nocachegetattr)
NEVER(PageSetChecksumInplace)
NEVER(pg_class_aclcheck)
NEVER(pg_next_dst_boundary)
NEVER(pgstat_assoc_relation)
NEVER(pstrdup)
NEVER(RAND_bytes)
NEVER(RAND_poll)
NEVER(RAND_status)
NEVER(RegisterSnapshot)
NEVER(RelationClose)
NEVER(RelationGetExclusionInfo)
NEVER(RelationGetIndexList)
NEVER(RelationIdGetRelation)
NEVER(RelationPutHeapTuple)
NEVER(RelationTruncate)
NEVER(ReleaseCurrentSubTransaction)
NEVER(ReThrowError)
NEVER(rmi_parallel_build_end)
NEVER(rmi_parallel_build_scan)
NEVER(RollbackAndReleaseCurrentSubTransaction)
NEVER(s_lock)
NEVER(ScanKeyEntryInitialize)
NEVER(ScanKeyEntryInitializeWithInfo)
NEVER(ScanKeyInit)
NEVER(slot_getsomeattrs_int)
NEVER(smgrclose)
NEVER(smgrextend)
NEVER(smgrimmedsync)
NEVER(smgropen)
NEVER(smgrsetowner)
NEVER(SpeculativeInsertionWait)
NEVER(store_find_run)
NEVER(store_is_kyro)
NEVER(store_open)
NEVER(store_run_aborted)
NEVER(store_verify_deep)
NEVER(systable_beginscan_ordered)
NEVER(systable_endscan_ordered)
NEVER(systable_getnext_ordered)
NEVER(table_close)
NEVER(table_index_fetch_tuple_check)
NEVER(table_open)
NEVER(table_slot_create)
NEVER(tbm_add_tuples)
NEVER(TestForOldSnapshot_impl)
NEVER(timestamp2timestamptz_opt_overflow)
NEVER(toast_close_indexes)
NEVER(toast_open_indexes)
NEVER(TransactionIdDidCommit)
NEVER(TransactionIdIsCurrentTransactionId)
NEVER(TransactionIdIsInProgress)
NEVER(TransactionIdPrecedes)
NEVER(UnlockRelation)
NEVER(UnregisterSnapshot)
NEVER(XactLockTableWait)
