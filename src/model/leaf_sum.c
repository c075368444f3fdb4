/*-------------------------------------------------------------------------
 *
 * leaf_sum.c
 *	  The checksum of a leaf.
 *
 * It is a sum of hashes, one of the header and one of each piece of the
 * rest, so that a small change costs the hashes of what changes only.  And
 * such an update keeps damage elsewhere on the page visible, where a new
 * checksum of the whole page would make it look sound: a writer need not
 * check what it does not read.
 *
 * IDENTIFICATION
 *	  src/model/leaf_sum.c
 *
 *-------------------------------------------------------------------------
 */
/* short inputs: the library's code, but without a call */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "leaf_internal.h"

#define PIECE	128
#define PIECES	((KYRO_PAGE_END + PIECE - 1) / PIECE)

_Static_assert(PIECES <= 64 && KYRO_LEAF_FIRST < PIECE, "pieces fit a mask");

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
	return XXH3_64bits_withSeed(leaf_header_const(page), HEADER_BYTES, PIECES);
}

uint64_t
leaf_sum_pieces(int from, int to)
{
	return from >= to ? 0 : (UINT64_C(2) << (to - 1) / PIECE) - (UINT64_C(1) << from / PIECE);
}

uint64_t
leaf_sum_part(const void *page, uint64_t pieces)
{
	uint64_t	sum = header_hash(page);

	for (; pieces != 0; pieces &= pieces - 1)
	{
		int			i = __builtin_ctzll(pieces);
		size_t		len;
		const uint8_t *p = piece(page, i, &len);

		sum += XXH3_64bits_withSeed(p, len, (XXH64_hash_t) i);
	}
	return sum;
}

#define ALL_PIECES	leaf_sum_pieces(KYRO_LEAF_FIRST, KYRO_PAGE_END)

void
leaf_sum_set(void *page)
{
	leaf_header(page)->sum = leaf_sum_part(page, ALL_PIECES);
}

bool
leaf_sum_ok(const void *page)
{
	return leaf_header_const(page)->sum == leaf_sum_part(page, ALL_PIECES);
}
