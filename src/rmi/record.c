/*-------------------------------------------------------------------------
 *
 * record.c
 *	  What the own carrier logs: ops as bytes.
 *
 * Nearly all records are of one inserted entry, so that one is short: the key
 * relative to the leaf's low fence, the row's address with 9 bits for its
 * number on the page, each in as few bytes as it takes, and one byte that says
 * how many.  With the 44 bytes of any record that is 56 where nbtree takes 64.
 *
 * Ops that lay a leaf out anew are not logged with their result, but with
 * enough of the leaf's state to tell that redo begins with the same, and the
 * version of the code that has to do it again.
 *
 * IDENTIFICATION
 *	  src/rmi/record.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "debug_point.h"
#include "rmi/kyro_rmi.h"

/* A row's number on its page takes so many bits; larger ones are written in 16. */
#define ROW_BITS	9

/* In the byte before an entry. */
#define KEY_LEN(b)	((b) & 15)	/* bytes of the key, 0 to 8 */
#define TID_LEN(b)	(((b) >> 4) & 7)	/* bytes of the tid, 0 to 6 */
#define TID_WIDE	128			/* 16 bits for the row's number */

#define ENTRY_BYTES	15

/* A leaf as an op that lays it out anew has met it. */
typedef struct LeafState
{
	uint8		encoder;		/* LEAF_ENCODER */
	uint8		nrun;
	uint16		nslot;
	uint16		pend;
	uint16		epoch;
} LeafState;

static LeafState
state_of(Page page, uint8 encoder)
{
	const LeafHeader *h = leaf_header_const(page);

	return (LeafState) {encoder, (uint8) h->nrun, h->nslot, h->pend, h->epoch};
}

static inline int
bytes_of(uint64 v)
{
	return v == 0 ? 0 : (64 - __builtin_clzll(v) + 7) / 8;
}

static inline int64
low_key(Page page)
{
	return leaf_header_const(page)->low_key;
}

/* Write an entry whose key is not below `from`; returns the length, at most ENTRY_BYTES. */
static int
entry_encode(KyroEntry e, int64 from, uint8 *out)
{
	uint64		key = (uint64) e.key - (uint64) from;
	uint64		row = e.tid & 0xFFFF;
	bool		wide = row >> ROW_BITS != 0;
	uint64		tid = wide ? e.tid : e.tid >> 16 << ROW_BITS | row;
	int			klen = bytes_of(key);
	int			tlen = bytes_of(tid);

	out[0] = (uint8) (klen | tlen << 4 | (wide ? TID_WIDE : 0));
	memcpy(out + 1, &key, klen);
	memcpy(out + 1 + klen, &tid, tlen);
	return 1 + klen + tlen;
}

/* Read one; returns how many of len bytes it takes, 0 if it is not valid. */
static int
entry_take(KyroEntry *e, int64 from, const uint8 *data, Size len)
{
	uint64		key = 0;
	uint64		tid = 0;
	int			klen,
				tlen;

	if (len < 1)
		return 0;
	klen = KEY_LEN(data[0]);
	tlen = TID_LEN(data[0]);
	if (klen > 8 || tlen > 6 || len < (Size) (1 + klen + tlen))
		return 0;
	memcpy(&key, data + 1, klen);
	memcpy(&tid, data + 1 + klen, tlen);
	e->key = (int64) ((uint64) from + key);
	if (!(data[0] & TID_WIDE))
		tid = tid >> ROW_BITS << 16 | (tid & ((1 << ROW_BITS) - 1));
	e->tid = tid;
	return tid <= KYRO_TID_MAX ? 1 + klen + tlen : 0;
}

static bool
entry_decode(KyroEntry *e, Page page, const uint8 *data, Size len)
{
	return len > 0 && (Size) entry_take(e, low_key(page), data, len) == len;
}

void
rmi_entries_add(RmiEntries *entries, int64 key, KyroEntry e)
{
	uint8		bytes[ENTRY_BYTES];
	int			len = entry_encode(e, key, bytes);

	entries->n++;
	if (entries->len + len <= sizeof(entries->data))
	{
		memcpy(entries->data + entries->len, bytes, len);
		entries->len += len;
	}
	else
		entries->len = sizeof(entries->data) + 1;
}

bool
rmi_entries_next(const RmiEntries *entries, uint32 *at, KyroEntry *e)
{
	int			len = entry_take(e, e->key, entries->data + *at, entries->len - *at);

	*at += len;
	return len > 0;
}

static int
put(uint8 *out, int at, const void *value, Size len)
{
	memcpy(out + at, value, len);
	return at + (int) len;
}

int
rmi_op_encode(const RmiOp *op, Page page, uint8 *out)
{
	LeafState	state = {0};
	int			at = 0;

	switch (op->kind)
	{
		case RMI_OP_APPEND:
			out[at++] = LOGGED_ENCODER();
			at += entry_encode(op->entry, low_key(page), out + at);
			break;

		case RMI_OP_RUN_ADD:
			at += entry_encode(op->entry, low_key(page), out);
			break;

		case RMI_OP_MERGE:
			state = state_of(page, LOGGED_ENCODER());
			at = put(out, at, &state, sizeof(state));
			if (op->add)
				at += entry_encode(op->entry, low_key(page), out + at);
			break;

		case RMI_OP_INSERT:
			state = state_of(page, LOGGED_ENCODER());
			at = put(out, at, &state, sizeof(state));
			at = put(out, at, &op->entries->n, sizeof(op->entries->n));
			break;

		case RMI_OP_SPLIT:
			state = state_of(page, LOGGED_ENCODER());
			at = put(out, at, &state, sizeof(state));
			at = put(out, at, &op->block, sizeof(op->block));
			break;

		case RMI_OP_VACUUM:
		case RMI_OP_DELETE:
			state = state_of(page, LOGGED_ENCODER());
			at = put(out, at, &state, sizeof(state));
			at = put(out, at, &op->gaps->removed, sizeof(op->gaps->removed));
			break;

		case RMI_OP_SET_LEFT:
		case RMI_OP_LOG_NEXT:
			at = put(out, at, &op->block, sizeof(op->block));
			break;

		case RMI_OP_SET_RIGHT:
			at = put(out, at, &op->block, sizeof(op->block));
			at = put(out, at, &op->fence.key, sizeof(op->fence.key));
			at = put(out, at, &op->fence.tid, sizeof(op->fence.tid));
			out[at++] = op->fence.isnull;
			break;

		case RMI_OP_FREE:
		case RMI_OP_RELEASE:
			at = put(out, at, &op->index_id, sizeof(op->index_id));
			if (op->unswept)
				out[at++] = 1;
			break;

		case RMI_OP_IMAGE:
		case RMI_OP_META:
		case RMI_OP_LOG_ADD:
			break;
	}
	Assert(at <= RMI_OP_BYTES);
	return at;
}

const void *
rmi_op_tail(const RmiOp *op, Size *len)
{
	switch (op->kind)
	{
		case RMI_OP_VACUUM:
		case RMI_OP_DELETE:
			*len = op->gaps->len;
			return op->gaps->data;
		case RMI_OP_INSERT:
			*len = op->entries->len;
			return op->entries->data;
		case RMI_OP_META:
			*len = sizeof(*op->meta);
			return op->meta;
		case RMI_OP_LOG_ADD:
			*len = sizeof(*op->item);
			return op->item;
		default:
			*len = 0;
			return NULL;
	}
}

/* Take so many bytes from the front. */
static bool
take(const uint8 **data, Size *len, void *value, Size n)
{
	if (*len < n)
		return false;
	memcpy(value, *data, n);
	*data += n;
	*len -= n;
	return true;
}

/* Take a count, and all that follows it, into room[size]; false if it is too short or too long. */
static bool
take_rest(const uint8 *data, Size len, uint32 *count, uint8 *room, Size size, uint32 *rest)
{
	if (!take(&data, &len, count, sizeof(*count)) || len > size)
		return false;
	*rest = (uint32) len;
	memcpy(room, data, len);
	return true;
}

/* Take the state of a leaf and compare it with this one. */
static const char *
take_state(const uint8 **data, Size *len, Page page)
{
	LeafState	then;
	LeafState	now = state_of(page, LEAF_ENCODER);

	if (!take(data, len, &then, sizeof(then)))
		return "it is too short";
	if (then.encoder != LEAF_ENCODER)
		return "it was written by another version of kyrodb";
	if (memcmp(&then, &now, sizeof(now)) != 0)
		return "the leaf is not as it was then";
	return NULL;
}

const char *
rmi_op_decode(RmiOp *op, RmiOpKind kind, Page page, const uint8 *data, Size len, RmiOpSpace *space)
{
	const char *problem;
	bool		ok = true;

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	switch (kind)
	{
		case RMI_OP_APPEND:
			if (len < 1 || data[0] != LEAF_ENCODER)
				return "it was written by another version of kyrodb";
			if (!entry_decode(&op->entry, page, data + 1, len - 1))
				return "its entry is not valid";
			return NULL;

		case RMI_OP_RUN_ADD:
			if (!entry_decode(&op->entry, page, data, len))
				return "its entry is not valid";
			return NULL;

		case RMI_OP_MERGE:
			if ((problem = take_state(&data, &len, page)) != NULL)
				return problem;
			op->add = len > 0;
			if (op->add && !entry_decode(&op->entry, page, data, len))
				return "its entry is not valid";
			return NULL;

		case RMI_OP_INSERT:
			if ((problem = take_state(&data, &len, page)) != NULL)
				return problem;
			if (!take_rest(data, len, &space->entries.n, space->entries.data, sizeof(space->entries.data), &space->entries.len))
				return "it is too short or too long";
			op->entries = &space->entries;
			return NULL;

		case RMI_OP_SPLIT:
			if ((problem = take_state(&data, &len, page)) != NULL)
				return problem;
			ok = take(&data, &len, &op->block, sizeof(op->block));
			break;

		case RMI_OP_VACUUM:
		case RMI_OP_DELETE:
			if ((problem = take_state(&data, &len, page)) != NULL)
				return problem;
			if (!take_rest(data, len, &space->gaps.removed, space->gaps.data, sizeof(space->gaps.data), &space->gaps.len))
				return "it is too short or too long";
			op->gaps = &space->gaps;
			return NULL;

		case RMI_OP_SET_LEFT:
		case RMI_OP_LOG_NEXT:
			ok = take(&data, &len, &op->block, sizeof(op->block));
			break;

		case RMI_OP_SET_RIGHT:
			{
				uint8		isnull = 0;

				ok = take(&data, &len, &op->block, sizeof(op->block)) &&
					take(&data, &len, &op->fence.key, sizeof(op->fence.key)) &&
					take(&data, &len, &op->fence.tid, sizeof(op->fence.tid)) &&
					take(&data, &len, &isnull, 1);
				op->fence.isnull = isnull != 0;
			}
			break;

		case RMI_OP_META:
			ok = take(&data, &len, &space->meta, sizeof(space->meta));
			op->meta = &space->meta;
			break;

		case RMI_OP_LOG_ADD:
			ok = take(&data, &len, &space->item, sizeof(space->item));
			op->item = &space->item;
			break;

		case RMI_OP_FREE:
		case RMI_OP_RELEASE:
			ok = take(&data, &len, &op->index_id, sizeof(op->index_id));
			op->unswept = ok && len == 1 && data[0] == 1;
			len -= op->unswept;
			break;

		default:
			return "it is of an unknown kind";
	}
	return ok && len == 0 ? NULL : "it is too short or too long";
}
