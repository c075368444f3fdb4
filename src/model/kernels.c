/*-------------------------------------------------------------------------
 *
 * kernels.c
 *	  Inner loops of the leaf page, for the CPU at hand.
 *
 * The best variant is chosen at the first call.  All variants give the same
 * bytes: pages do not depend on the machine that wrote them.
 *
 * IDENTIFICATION
 *	  src/model/kernels.c
 *
 *-------------------------------------------------------------------------
 */
#include "leaf_internal.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(KYRO_NO_SIMD)
#define KERNELS_X86 1
#include <immintrin.h>
#endif

/* ---- scalar ---- */

static uint64_t
run_match_scalar(const uint8_t *end, int nrun, int64_t key)
{
	uint64_t	mask = 0;

	for (int j = 0; j < nrun; j++)
	{
		const uint8_t *p = end - (j / 8 + 1) * KYRO_RUN_CHUNK + j % 8 * 8;

		mask |= (uint64_t) (load64(p) == (uint64_t) key) << j;
	}
	return mask;
}

static int
count_le_scalar(const int64_t *a, int n, int64_t key)
{
	int			count = 0;

	for (int i = 0; i < n; i++)
		count += a[i] <= key;
	return count;
}

static void
line_range_scalar(const uint64_t *k, int n, unsigned m, int e, int64_t *min, int64_t *max)
{
	int64_t		lo = 0;
	int64_t		hi = 0;
	uint64_t	x = 0;

	for (int i = 0; i < n; i++, x += m)
	{
		int64_t		r = (int64_t) (k[i] - k[0] - (e >= 0 ? x << e : x >> -e));

		lo = r < lo ? r : lo;
		hi = r > hi ? r : hi;
	}
	*min = lo;
	*max = hi;
}

static void
unpack_scalar(const uint8_t *base, uint32_t pos, int stride, int width,
			  unsigned m, int e, unsigned from, uint64_t add, int n, uint64_t *out)
{
	uint64_t	mask = bit_mask(width);
	uint64_t	x = (uint64_t) m * from;

	pos += from * (unsigned) stride;

	if (width == 0)
	{
		for (int i = 0; i < n; i++, x += m)
			out[i] = add + (e >= 0 ? x << e : x >> -e);
	}
	else if (width <= 57)
	{
		for (int i = 0; i < n; i++, x += m, pos += (uint32_t) stride)
			out[i] = add + (e >= 0 ? x << e : x >> -e) +
				(load64(base + (pos >> 3)) >> (pos & 7) & mask);
	}
	else
	{
		for (int i = 0; i < n; i++, x += m, pos += (uint32_t) stride)
			out[i] = add + (e >= 0 ? x << e : x >> -e) + get_bits(base, pos, width);
	}
}

static const LeafKernels kernels_scalar = {
	"scalar", run_match_scalar, count_le_scalar, line_range_scalar, unpack_scalar
};

#ifdef KERNELS_X86

/* ---- SSE2: every x86-64 has it ---- */

static uint64_t
run_match_sse2(const uint8_t *end, int nrun, int64_t key)
{
	__m128i		k = _mm_set1_epi64x(key);
	uint64_t	mask = 0;

	for (int j = 0; j < nrun; j += 8)
	{
		const uint8_t *p = end - (j / 8 + 1) * KYRO_RUN_CHUNK;
		uint64_t	m = 0;

		for (int i = 0; i < 4; i++)
		{
			/* both halves of a key must match */
			__m128i		eq = _mm_cmpeq_epi32(k, _mm_loadu_si128((const __m128i *) (p + 16 * i)));

			eq = _mm_and_si128(eq, _mm_shuffle_epi32(eq, _MM_SHUFFLE(2, 3, 0, 1)));
			m |= (uint64_t) _mm_movemask_pd(_mm_castsi128_pd(eq)) << (2 * i);
		}
		mask |= m << j;
	}
	return mask & bit_mask(nrun);
}

static const LeafKernels kernels_sse2 = {
	"sse2", run_match_sse2, count_le_scalar, line_range_scalar, unpack_scalar
};

/* ---- AVX2 ---- */

__attribute__((target("avx2")))
static uint64_t
run_match_avx2(const uint8_t *end, int nrun, int64_t key)
{
	__m256i		k = _mm256_set1_epi64x(key);
	uint64_t	mask = 0;

	for (int j = 0; j < nrun; j += 8)
	{
		const uint8_t *p = end - (j / 8 + 1) * KYRO_RUN_CHUNK;
		__m256i		lo = _mm256_cmpeq_epi64(k, _mm256_loadu_si256((const __m256i *) p));
		__m256i		hi = _mm256_cmpeq_epi64(k, _mm256_loadu_si256((const __m256i *) (p + 32)));
		uint64_t	m = ((uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(lo)) |
						 (uint64_t) _mm256_movemask_pd(_mm256_castsi256_pd(hi)) << 4);

		mask |= m << j;
	}
	return mask & bit_mask(nrun);
}

__attribute__((target("avx2,popcnt")))
static int
count_le_avx2(const int64_t *a, int n, int64_t key)
{
	__m256i		k = _mm256_set1_epi64x(key);
	int			greater = 0;
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		__m256i		gt = _mm256_cmpgt_epi64(_mm256_loadu_si256((const __m256i *) (a + i)), k);

		greater += __builtin_popcount((unsigned) _mm256_movemask_pd(_mm256_castsi256_pd(gt)));
	}
	for (; i < n; i++)
		greater += a[i] > key;
	return n - greater;
}

__attribute__((target("avx2")))
static void
line_range_avx2(const uint64_t *k, int n, unsigned m, int e, int64_t *min, int64_t *max)
{
	__m256i		k0 = _mm256_set1_epi64x((long long) k[0]);
	__m256i		x = _mm256_set_epi64x(3 * (long long) m, 2 * (long long) m, m, 0);
	__m256i		step = _mm256_set1_epi64x(4 * (long long) m);
	__m128i		left = _mm_cvtsi32_si128(e > 0 ? e : 0);
	__m128i		right = _mm_cvtsi32_si128(e < 0 ? -e : 0);
	__m256i		vlo = _mm256_setzero_si256();
	__m256i		vhi = _mm256_setzero_si256();
	int64_t		lo[4];
	int64_t		hi[4];
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		__m256i		line = _mm256_srl_epi64(_mm256_sll_epi64(x, left), right);
		__m256i		r = _mm256_sub_epi64(_mm256_loadu_si256((const __m256i *) (k + i)), k0);

		r = _mm256_sub_epi64(r, line);
		vlo = _mm256_blendv_epi8(vlo, r, _mm256_cmpgt_epi64(vlo, r));
		vhi = _mm256_blendv_epi8(vhi, r, _mm256_cmpgt_epi64(r, vhi));
		x = _mm256_add_epi64(x, step);
	}
	_mm256_storeu_si256((__m256i *) lo, vlo);
	_mm256_storeu_si256((__m256i *) hi, vhi);
	for (int j = 1; j < 4; j++)
	{
		lo[0] = lo[j] < lo[0] ? lo[j] : lo[0];
		hi[0] = hi[j] > hi[0] ? hi[j] : hi[0];
	}
	for (; i < n; i++)
	{
		int64_t		r = (int64_t) (k[i] - k[0] - line_at(m, e, (unsigned) i));

		lo[0] = r < lo[0] ? r : lo[0];
		hi[0] = r > hi[0] ? r : hi[0];
	}
	*min = lo[0];
	*max = hi[0];
}

__attribute__((target("avx2")))
static void
unpack_avx2(const uint8_t *base, uint32_t pos, int stride, int width,
			unsigned m, int e, unsigned from, uint64_t add, int n, uint64_t *out)
{
	long long	x0 = (long long) m * from;
	__m256i		x = _mm256_set_epi64x(x0 + 3 * (long long) m, x0 + 2 * (long long) m, x0 + m, x0);
	__m256i		step = _mm256_set1_epi64x(4 * (long long) m);
	__m128i		left = _mm_cvtsi32_si128(e > 0 ? e : 0);
	__m128i		right = _mm_cvtsi32_si128(e < 0 ? -e : 0);
	__m256i		vadd = _mm256_set1_epi64x((long long) add);
	__m256i		mask = _mm256_set1_epi64x((long long) bit_mask(width));
	int			pos0 = (int) (pos + from * (unsigned) stride);
	__m128i		p = _mm_setr_epi32(pos0, pos0 + stride, pos0 + 2 * stride, pos0 + 3 * stride);
	__m128i		pstep = _mm_set1_epi32(4 * stride);
	__m128i		seven = _mm_set1_epi32(7);
	int			i = 0;

	if (width > 57)
	{
		unpack_scalar(base, pos, stride, width, m, e, from, add, n, out);
		return;
	}
	for (; i + 4 <= n; i += 4)
	{
		__m256i		line = _mm256_srl_epi64(_mm256_sll_epi64(x, left), right);

		line = _mm256_add_epi64(line, vadd);
		if (width > 0)
		{
			__m256i		v = _mm256_i32gather_epi64((const long long *) base,
												   _mm_srli_epi32(p, 3), 1);

			v = _mm256_srlv_epi64(v, _mm256_cvtepu32_epi64(_mm_and_si128(p, seven)));
			line = _mm256_add_epi64(line, _mm256_and_si256(v, mask));
			p = _mm_add_epi32(p, pstep);
		}
		_mm256_storeu_si256((__m256i *) (out + i), line);
		x = _mm256_add_epi64(x, step);
	}
	for (; i < n; i++)
		out[i] = add + line_at(m, e, from + (unsigned) i) +
			get_bits(base, (uint32_t) (pos0 + i * stride), width);
}

static const LeafKernels kernels_avx2 = {
	"avx2", run_match_avx2, count_le_avx2, line_range_avx2, unpack_avx2
};

#endif							/* KERNELS_X86 */

/* ---- dispatch ---- */

static const LeafKernels *
kernels_choose(void)
{
#ifdef KERNELS_X86
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
		return &kernels_avx2;
	return &kernels_sse2;
#else
	return &kernels_scalar;
#endif
}

const LeafKernels *leaf_kernels = &kernels_scalar;

/* When the library is loaded; until then the scalar variant serves. */
__attribute__((constructor))
static void
kernels_init(void)
{
	leaf_kernels = kernels_choose();
}

const char *
leaf_kernel_name(void)
{
	return leaf_kernels->name;
}

bool
leaf_kernel_force(const char *name)
{
	const LeafKernels *all[3];
	int			n = 0;

	all[n++] = &kernels_scalar;
#ifdef KERNELS_X86
	all[n++] = &kernels_sse2;
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
		all[n++] = &kernels_avx2;
#endif
	for (int i = 0; i < n; i++)
	{
		if (strcmp(all[i]->name, name) == 0)
		{
			leaf_kernels = all[i];
			return true;
		}
	}
	return false;
}
