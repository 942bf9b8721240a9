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

/* The largest |x| of 32, as bits, which are in the order of |x|. */
static __m256i sizes_of(const float *x, __m256i most) {
    const __m256i size = _mm256_set1_epi32(INT32_MAX);
    for (int i = 0; i < 4; i++) {
        const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(x + 8 * i));
        most = _mm256_max_epi32(most, _mm256_and_si256(size, bits));
    }
    return most;
}

/* The scale of a run or a block, and what its numbers are multiplied with before they are rounded;
 * 0 where they count as zeros. */
static float scale_of(__m256i most, float *inverse) {
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

/* 32 numbers in bytes; nothing of what is no number where `inverse` is 0. */
static __m256i bytes_of(const float *x, float inverse) {
    __m256i q[4];
    for (int i = 0; i < 4; i++)
        q[i] =
            _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
    /* packing works within halves of 16 bytes: words of four columns come out of order */
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), //
                                             _mm256_packs_epi32(q[2], q[3]));
    if (!(inverse > 0)) return _mm256_setzero_si256();
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The sums of fours. */
static __m256i sums_of_4(__m256i bytes) {
    const __m256i ones = _mm256_set1_epi8(1);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(ones, bytes), _mm256_set1_epi16(1));
}

static void round_run(const wr_bytes *to, int64_t run, const float *from) {
    float inverse;
    const float a = scale_of(sizes_of(from, _mm256_setzero_si256()), &inverse);
    const __m256i bytes = bytes_of(from, inverse), fours = sums_of_4(bytes);
    _mm256_storeu_si256((__m256i *)(void *)(to->q + 32 * run), bytes);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    const int32_t sum = _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
    to->a[run] = a;
    to->sum[run] = a * (float)sum;
    to->start[run] = -128 * sum;
}

/* Eight sums of 16 as all that a block wants of them. */
static void keep_sums(const wr_blocks *to, int64_t half, __m256i sum) {
    const __m256i low = _mm256_and_si256(sum, _mm256_set1_epi32(15));
    const __m256i rest = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, low)));
    const __m256i lowest = _mm256_castps_si256(_mm256_cvtepi32_ps(low));
    const __m256i digits = _mm256_blend_epi16(_mm256_srli_epi32(lowest, 16), rest, 0xaa);
    const __m256 whole = _mm256_cvtepi32_ps(sum);
    const __m256i start = _mm256_mullo_epi32(sum, _mm256_set1_epi32(-128));
    const __m256i starts = _mm256_permute4x64_epi64(_mm256_hadd_epi32(start, start), 0x08);
    const __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum, sum), 0x08);
    _mm256_storeu_ps(to->half_sum + half, whole);
    _mm256_storeu_si256((__m256i *)(void *)(to->half_start + half), start);
    _mm256_storeu_si256((__m256i *)(void *)(to->digits + 2 * half), digits);
    _mm_storeu_ps(to->sum + half / 2, _mm_cvtepi32_ps(_mm256_castsi256_si128(pairs)));
    _mm_storeu_si128((__m128i *)(void *)(to->start + half / 2), _mm256_castsi256_si128(starts));
}

static void round_block(const wr_blocks *to, int64_t block, const float *from) {
    __m256i most = _mm256_setzero_si256(), fours[4];
    float inverse;
    for (int i = 0; i < 8; i++) most = sizes_of(from + 32 * i, most);
    to->a[block] = scale_of(most, &inverse);
    for (int i = 0; i < 8; i++) {
        const __m256i bytes = bytes_of(from + 32 * i, inverse);
        _mm256_storeu_si256((__m256i *)(void *)(to->q + 256 * block + 32 * i), bytes);
        fours[i % 4] = sums_of_4(bytes);
        if (i % 4 < 3) continue;
        /* the sums of 128 columns in 16s: halves 0 2 4 6 | 1 3 5 7 */
        const __m256i eights = _mm256_hadd_epi32(_mm256_hadd_epi32(fours[0], fours[1]),
                                                 _mm256_hadd_epi32(fours[2], fours[3]));
        keep_sums(to, block * 16 + i / 4 * 8,
                  _mm256_permutevar8x32_epi32(eights, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    }
}

void wr_avx2_prepare_bytes(wr_input input, const float *x, int64_t columns, void *out) {
    if (input == WR_INPUT_BYTES) {
        assert(columns % 32 == 0);
        const wr_bytes to = wr_bytes_of(out, columns);
        for (int64_t run = 0; run < columns / 32; run++) round_run(&to, run, x + run * 32);
    } else {
        assert(columns % 256 == 0);
        const wr_blocks to = wr_blocks_of(out, columns);
        for (int64_t i = 0; i < columns / 256; i++) round_block(&to, i, x + i * 256);
    }
}
