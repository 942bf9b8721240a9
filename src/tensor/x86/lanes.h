/*
 * What the templates and both vectors share: how code is unrolled, and the last two steps of a sum
 * over lanes, (a0 + a2) + (a1 + a3), for one vector or four at once.
 */
#ifndef WR_LANES_H
#define WR_LANES_H

#include <immintrin.h>

#include "tensor/lanes/inline.h"

static inline float sum_of_4(__m128 a) {
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}

/* sum_of_4 of each, with the same bits. */
static inline __m128 sum_columns(__m128 a, __m128 b, __m128 c, __m128 d) {
    __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)); /* a02 b02 a13 b13 */
    __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

#endif
