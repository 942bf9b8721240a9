/*
 * Floats on their way into tiles.
 */
#ifndef WR_BF16_TILES_LANES_H
#define WR_BF16_TILES_LANES_H

#include "tensor/x86/simd_avx512.h"

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

#define LOG2_OF_E 1.44269504088896341f
#define LN_OF_2 0.693147180559945309f

/* 2^x: 2^floor(x) times the minimax polynomial of 2^r on [0, 1] (relative error 7.5e-8); 0 below
 * 2^-126. */
INLINE vec tiles_exp2(vec x) {
    const vec r = v_fraction(x);
    vec p = v_all(0x1.ec320ap-10f);
    p = v_fma(p, r, v_all(0x1.26900cp-7f));
    p = v_fma(p, r, v_all(0x1.c95446p-5f));
    p = v_fma(p, r, v_all(0x1.ebd5a8p-3f));
    p = v_fma(p, r, v_all(0x1.62e4f6p-1f));
    p = v_fma(p, r, v_all(0x1.fffffep-1f));
    return v_scale_by_floor(p, x);
}

#endif
