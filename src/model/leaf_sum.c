/*-------------------------------------------------------------------------
 *
 * leaf_sum.c
 *	  The checksum of a leaf.
 *
 * It is a sum of hashes, one of the header and one of each kilobyte of the
 * rest, so that a small change costs the hashes of what changed only.  And
 * such an update keeps damage elsewhere on the page visible, where a new
 * checksum of the whole page would make it look sound: a writer need not
 * check what it does not read.
 *
 * IDENTIFICATION
 *	  src/model/leaf_sum.c
 *
 *-------------------------------------------------------------------------
 */
#include "model/leaf.h"

#include <string.h>

#include "model/hash.h"

#define PIECE	1024
#define PIECES	((KYRO_PAGE_END + PIECE - 1) / PIECE)

/* The checksum closes the header; the pieces begin behind it. */
_Static_assert(offsetof(LeafHeader, sum) + sizeof(uint64_t) == sizeof(LeafHeader), "sum is last");
#define HEADER_BYTES	offsetof(LeafHeader, sum)

static inline const uint8_t *
piece(const void *page, int i, size_t *len)
{
	int			from = i == 0 ? KYRO_LEAF_FIRST : i * PIECE;
	int			to = i == PIECES - 1 ? KYRO_PAGE_END : (i + 1) * PIECE;

	*len = to - from;
	return (const uint8_t *) page + from;
}

static inline uint64_t
header_hash(const void *page)
{
	return kyro_hash(leaf_header_const(page), HEADER_BYTES, PIECES);
}

static uint64_t
leaf_sum(const void *page)
{
	uint64_t	sum = header_hash(page);

	for (int i = 0; i < PIECES; i++)
	{
		size_t		len;
		const uint8_t *p = piece(page, i, &len);

		sum += kyro_hash(p, len, i);
	}
	return sum;
}

void
leaf_sum_set(void *page)
{
	leaf_header(page)->sum = leaf_sum(page);
}

void
leaf_sum_update(void *page, const void *before)
{
	uint64_t	sum = leaf_header_const(before)->sum;

	sum += header_hash(page) - header_hash(before);
	for (int i = 0; i < PIECES; i++)
	{
		size_t		len;
		const uint8_t *old = piece(before, i, &len);
		const uint8_t *new = piece(page, i, &len);

		if (memcmp(old, new, len) != 0)
			sum += kyro_hash(new, len, i) - kyro_hash(old, len, i);
	}
	leaf_header(page)->sum = sum;
}

bool
leaf_sum_ok(const void *page)
{
	return leaf_header_const(page)->sum == leaf_sum(page);
}
