/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  When a new directory is written, and what else VACUUM and folds note on
 *	  the meta page.
 *
 * Folding takes what the split log lists into a new directory.  One rebuild at a
 * time: the heavyweight page lock on the meta block.
 *
 * IDENTIFICATION
 *	  src/rmi/fold.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "debug_point.h"
#include "rmi/chain.h"
#include "rmi/directory.h"
#include "rmi/splitlog.h"
#include "usage/usage.h"

bool
rmi_rebuild_lock(Relation index, bool wait)
{
	if (wait)
		LockPage(index, RMI_META_BLOCK, ExclusiveLock);
	else if (!ConditionalLockPage(index, RMI_META_BLOCK, ExclusiveLock))
		return false;
	usage_rebuild_begins(RelationGetRelid(index));
	return true;
}

void
rmi_rebuild_unlock(Relation index)
{
	usage_rebuild_ends();
	UnlockPage(index, RMI_META_BLOCK, ExclusiveLock);
}

/*
 * Write a new directory from the old one and the split log, if there is
 * anything in the log.  Does nothing if somebody else is rebuilding.  heal: if
 * the directory or the model is damaged, replace it too, walking the chain of
 * leaves if need be; an inserting backend leaves that to VACUUM.
 */
void
rmi_maybe_fold(Relation index, bool heal, RmiWhy why)
{
	TimestampTz started;
	RmiMetaData meta;
	RmiFenceList list;
	bool		stale;
	bool		write;
	bool		from_chain = false;
	MemoryContext cxt,
				old;

	if (!rmi_rebuild_lock(index, false))
		return;
	started = GetCurrentTimestamp();
	DEBUG_POINT_POLL("rmi-fold");
	cxt = AllocSetContextCreate(CurrentMemoryContext, "kyrodb fold", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	rmi_read_meta(index, &meta);
	rmi_fences_init(&list);
	write = meta.log_entries > 0;
	if (!rmi_carrier_works(meta.carrier))
		write = false;			/* only a hint: not worth an error */
	else if ((write || heal) && meta.generation != 0 && !rmi_directory_read(index, &meta, &list, &stale))
	{
		write = from_chain = heal;
		list.n = 0;
		if (heal)
			rmi_fences_from_chain(index, meta.index_id, &list);
	}
	else if (meta.generation == 0)
		rmi_fences_add(&list, KYRO_FENCE_MIN, RMI_FIRST_LEAF);
	else if (heal && !write)
		write = rmi_model_read(index, &meta, true) == NULL;
	if (write)
	{
		/* the chain knows all that the log does, and better */
		if (!from_chain)
			rmi_log_read(index, &meta, 0, &list);
		rmi_fences_sort(&list);
		rmi_directory_write(index, &list, &meta,
							&(RmiTraining) {.why = why, .started = started, .entries = RMI_NOT_COUNTED});
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	rmi_rebuild_unlock(index);
}

/* Write what was changed of the meta page, and unlock it. */
static void
put_meta(Relation index, Buffer buf, const RmiMetaData *meta)
{
	RmiChange	c;

	rmi_change_begin(&c, index, meta->carrier);
	rmi_change_apply(&c, buf, &(RmiOp) {.kind = RMI_OP_META, .meta = meta});
	rmi_change_finish(&c);
	UnlockReleaseBuffer(buf);
}

void
rmi_meta_set_tuples(Relation index, uint64 tuples)
{
	RmiMetaData meta;
	Buffer		buf = rmi_lock_meta(index, &meta);

	meta.tuples = tuples;
	put_meta(index, buf, &meta);
}

/*
 * VACUUM brings an index from generic WAL to our own records.  Backends that
 * do not know of it yet go on with generic ones, which is as good: each page
 * goes through its changes in the order of the log, whoever logged them.  Only
 * what VACUUM removes must be logged the new way from then on, since standbys
 * rely on its cleanup locks; and there is one VACUUM at a time.
 */
void
rmi_read_meta_for_vacuum(Relation index, RmiMetaData *meta)
{
	rmi_read_meta(index, meta);
	if (meta->carrier == RMI_CARRIER_GENERIC && rmi_carrier_wanted() == RMI_CARRIER_OWN)
	{
		Buffer		buf = rmi_lock_meta(index, meta);

		meta->carrier = RMI_CARRIER_OWN;
		put_meta(index, buf, meta);
	}
}
