/*
 * What the lanes templates need of AVX-512 (F, BW, DQ, VL): a vector of 16 floats.
 *
 * No pointer has an alignment. *_part functions touch n (< LANES) elements and read zeros beyond.
 */
#ifndef WR_SIMD_AVX512_H
#define WR_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#include "tensor/x86/lanes.h"

enum {
    LANES = 16,
    VECS = 1,        /* vectors per 16 weights */
    TOKEN_HEADS = 8, /* of one token, which share the reading of keys and values */
};

typedef __m512 vec;

static inline vec v_zero(void) { return _mm512_setzero_ps(); }
static inline vec v_all(float a) { return _mm512_set1_ps(a); }
static inline vec v_load(const void *p) { return _mm512_loadu_ps(p); }
static inline void v_store(void *p, vec a) { _mm512_storeu_ps(p, a); }
static inline vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); } /* ab + c */
static inline vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); } /* b if either is NaN */
static inline vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); } /* b if either is NaN */
static inline vec v_round(vec a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a * 2^n, n whole */
static inline vec v_scale_by_power(vec a, vec n) { return _mm512_scalef_ps(a, n); }

static inline __mmask16 first_lanes(int64_t n) { return (__mmask16)((1u << n) - 1u); }
static inline vec v_load_part(const void *p, int64_t n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
static inline void v_store_part(void *p, vec a, int64_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
}

/* The order of every sum over lanes: halves folded onto each other. */
static inline __m128 fold_to_4(vec a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    return _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
}
static inline float v_sum(vec a) { return sum_of_4(fold_to_4(a)); }

/* Four such sums. */
static inline __m128 v_sum4(vec a, vec b, vec c, vec d) {
    return sum_columns(fold_to_4(a), fold_to_4(b), fold_to_4(c), fold_to_4(d));
}

/* 16 sums in double precision. */
typedef struct wide {
    __m512d low, high;
} wide;
static inline wide wide_zero(void) { return (wide){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
static inline wide wide_low_high(vec a) {
    return (wide){_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
                  _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
}
static inline wide wide_add(wide sum, vec a) {
    wide b = wide_low_high(a);
    return (wide){_mm512_add_pd(sum.low, b.low), _mm512_add_pd(sum.high, b.high)};
}
static inline wide wide_add_square(wide sum, vec a) {
    wide b = wide_low_high(a);
    return (wide){_mm512_fmadd_pd(b.low, b.low, sum.low),
                  _mm512_fmadd_pd(b.high, b.high, sum.high)};
}
static inline double wide_sum(wide a) { return _mm512_reduce_add_pd(_mm512_add_pd(a.low, a.high)); }

typedef __mmask16 lane_mask;
/* low <= a < high */
static inline lane_mask v_within(vec a, vec low, vec high) {
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(low, a, _CMP_LE_OQ), a, high, _CMP_LT_OQ);
}
/* ab + c, or c where m is not set */
static inline vec v_fma_where(lane_mask m, vec a, vec b, vec c) {
    return _mm512_mask3_fmadd_ps(a, b, c, m);
}
/* Integers less `first`, as floats. */
static inline vec v_load_distance(const int32_t *p, int32_t first) {
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(p), _mm512_set1_epi32(first)));
}
static inline lane_mask v_equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vec v_select(lane_mask m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); }

static inline vec v_ceil(vec a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
/* x - floor(x), in [0, 1]; 0 for minus infinity */
static inline vec v_fraction(vec x) {
    return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
/* a * 2^floor(x) for a in [1, 2] and x <= 0. 0 below 2^-126: what multiplies subnormal numbers
 * takes a hundred times as long. */
static inline vec v_scale_by_floor(vec a, vec x) {
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, v_all(-126.0f), _CMP_NLT_UQ), a, x);
}

static inline float v_largest(vec a) { return _mm512_reduce_max_ps(a); }

/* Lane h: the largest, or the sum, of a[h]; sums in the order of v_sum. Halves are folded onto each
 * other for two vectors at once. */
#define FOLD_EACH(name, op)                                                                        \
    INLINE vec name(const vec a[TOKEN_HEADS]) {                                                    \
        vec b[4], c[2];                                                                            \
        UNROLLED for (int i = 0; i < 4; i++) b[i] =                                                \
            op(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x44),                                 \
               _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xee));                                \
        UNROLLED for (int i = 0; i < 2; i++) c[i] =                                                \
            op(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),                                 \
               _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));                                \
        const vec d = op(_mm512_unpacklo_ps(c[0], c[1]), _mm512_unpackhi_ps(c[0], c[1]));          \
        const vec e = op(d, _mm512_permute_ps(d, 0x4e)); /* 0 4 . . 1 5 . . 2 6 . . 3 7 . . */     \
        return _mm512_permutexvar_ps(                                                              \
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0), e);               \
    }
FOLD_EACH(v_largest_of_each, v_max)
FOLD_EACH(v_sum_of_each, v_add)
#undef FOLD_EACH

/* 16 halves, bfloat16s or signed bytes as floats. */
static inline vec v_load_half(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline vec v_load_half_part(const void *p, int64_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
static inline vec v_of_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
static inline vec v_load_bf16(const void *p) {
    return v_of_bf16(_mm256_loadu_si256((const __m256i *)p));
}
static inline vec v_load_bf16_part(const void *p, int64_t n) {
    return v_of_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
static inline vec v_load_i8(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline vec v_load_i8_part(const void *p, int64_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)));
}

/* The lower, or the upper, bfloat16 of each lane. */
static inline vec v_bf16_low(vec pair) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pair), 16));
}
static inline vec v_bf16_high(vec pair) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pair), upper));
}

/* Lane j of vector i becomes lane i of vector j. */
INLINE void v_transpose(vec r[LANES]) {
    vec t[LANES];
    UNROLLED_16 for (int i = 0; i < LANES; i += 4) {
        const vec ab = _mm512_unpacklo_ps(r[i], r[i + 1]), AB = _mm512_unpackhi_ps(r[i], r[i + 1]);
        const vec cd = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
        const vec CD = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(ab, cd, 0x44);
        t[i + 1] = _mm512_shuffle_ps(ab, cd, 0xee);
        t[i + 2] = _mm512_shuffle_ps(AB, CD, 0x44);
        t[i + 3] = _mm512_shuffle_ps(AB, CD, 0xee);
    }
    /* t[4 g + j]: of rows 4 g ... 4 g + 3, columns j, 4 + j, 8 + j, 12 + j */
    UNROLLED_16 for (int j = 0; j < 4; j++) {
        const vec a = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x88);
        const vec b = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xdd);
        const vec c = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x88);
        const vec d = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xdd);
        r[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[8 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

/* 16 signed bytes as floats. */
static inline void v_of_bytes(__m128i q, vec w[VECS]) {
    w[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
}

/* A table of what each code of four bits is worth: values[q] * d - m. */
typedef struct code_table {
    vec worth;
} code_table;

static inline code_table table_of(const int8_t values[16], float d, float m) {
    vec v = v_load_i8(values);
    return (code_table){v_sub(v_mul(v_all(d), v), v_all(m))};
}

/* The weights of the lower, or of the upper, codes of 16 bytes. (The permutation looks at four bits
 * of an index only.) */
static inline __m512i widened(const uint8_t *q) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)q));
}
static inline void low_codes(const uint8_t *q, code_table t, vec w[VECS]) {
    w[0] = _mm512_permutexvar_ps(widened(q), t.worth);
}
static inline void high_codes(const uint8_t *q, code_table t, vec w[VECS]) {
    w[0] = _mm512_permutexvar_ps(_mm512_srli_epi32(widened(q), 4), t.worth);
}

#endif
