/*
 * Floats on their way into tiles.
 */
#ifndef WR_BF16_TILES_LANES_H
#define WR_BF16_TILES_LANES_H

#include "tensor/x86/simd_avx512.h"

#include "tensor/x86/exp2_lanes.h" /* over its vectors */

/* 32 words: those of `low`, then those of `high`; to nearest, ties to even. */
INLINE vec tiles_words(vec high, vec low) {
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* 16 pairs: of each lane the words of `low` and `high`. */
INLINE vec tiles_pair(vec high, vec low) {
    const __m512i interleave =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i words = _mm512_castps_si512(tiles_words(high, low));
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(interleave, words));
}

/* The next `left` numbers of a row, zeros beyond. */
INLINE vec tiles_row_part(const float *row, int64_t left) {
    return left >= LANES ? v_load(row) : left > 0 ? v_load_part(row, left) : v_zero();
}

/* The next `bytes` of a scratch, on a line of their own; over NULL it only measures. */
static inline void *tiles_take(uint8_t **at, size_t bytes) {
    uint8_t *taken = *at;
    *at += (bytes + 63) / 64 * 64;
    return taken;
}

#endif
