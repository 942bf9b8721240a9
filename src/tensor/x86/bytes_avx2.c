/*
 * Inputs as bytes, and products of quantised weights, with AVX2: pairs of products in 16 bits, as
 * bytes_avx512.c has them.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/x86/bytes_simd_avx2.h"

#define UNPACKED_OFFSET 32
#define SIGNED_WIDE 1
#define TILE_PANELS 2
#define TILE_INPUTS 2
#define DIRECT_INPUTS 2
#define DIRECT_BATCH 2
#define SIDE_BY_SIDE(KIND) 2
#define EACH_DIRECT(X, K, n, p) X(K, n, p, 1) X(K, n, p, 2)
#define EACH_UNPACKED EACH_DIRECT

#include <stdbool.h>

INLINE __m256i dot_of_8(__m256i sum, __m256i w, __m256i x, bool wide) {
    if (wide) {
        w = _mm256_xor_si256(w, _mm256_set1_epi8((char)128));
        x = _mm256_sign_epi8(x, w);
        w = _mm256_abs_epi8(w);
    }
    const __m256i pairs = _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE sums c_dot(sums sum, codes w, words x, bool wide) {
    return (sums){dot_of_8(sum.low, w.low, x, wide), dot_of_8(sum.high, w.high, x, wide)};
}

#include "tensor/lanes/tiles_lanes.h"

void wr_avx2_bytes_product(const wr_product *job) { multiply_bytes(job); }

/* ---- inputs ---------------------------------------------------------------------------------- */

/* The scale of a run, and what its numbers are multiplied with before they are rounded; 0 where
 * they count as zeros. */
static float scale_of(const __m256 x[4], float *inverse) {
    const __m256i sign = _mm256_set1_epi32(INT32_MIN);
    __m256i most = _mm256_setzero_si256(); /* the bits of |x| are in the order of |x| */
    for (int i = 0; i < 4; i++)
        most = _mm256_max_epi32(most, _mm256_andnot_si256(sign, _mm256_castps_si256(x[i])));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    const float largest = _mm_cvtss_f32(_mm_castsi128_ps(four));
    const bool finite = _mm_cvtsi128_si32(four) < 0x7f800000;
    const bool counts = finite && largest >= 0x1p-100f;
    *inverse = counts ? 127.0f / largest : 0.0f;
    if (!finite) return __builtin_nanf("");
    return counts ? largest / 127.0f : 0.0f;
}

static int32_t sum_of_16(__m128i bytes) {
    const __m256i wide = _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), _mm256_set1_epi16(1));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

static void round_run(const wr_bytes *to, int64_t run, const float *from) {
    __m256 x[4];
    __m256i q[4];
    float inverse;
    for (int i = 0; i < 4; i++) x[i] = _mm256_loadu_ps(from + 8 * i);
    const float a = scale_of(x, &inverse);
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], _mm256_set1_ps(inverse)));
        if (!(inverse > 0)) q[i] = _mm256_setzero_si256();
    }
    /* packing works within halves of 16 bytes: words of four columns come out of order */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), //
                                       _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)(to->q + 32 * run), bytes);
    const int32_t halves[2] = {sum_of_16(_mm256_castsi256_si128(bytes)),
                               sum_of_16(_mm256_extracti128_si256(bytes, 1))};
    to->a[run] = a;
    to->sum[run] = a * (float)(halves[0] + halves[1]);
    to->start[run] = -128 * (halves[0] + halves[1]);
    for (int half = 0; half < 2; half++) {
        to->half_sum[2 * run + half] = a * (float)halves[half];
        to->half_start[2 * run + half] = -128 * halves[half];
    }
}

void wr_avx2_prepare_bytes(const float *x, int64_t columns, void *out) {
    assert(columns % 32 == 0);
    const wr_bytes to = wr_bytes_of(out, columns);
    for (int64_t run = 0; run < columns / 32; run++) round_run(&to, run, x + run * 32);
}
