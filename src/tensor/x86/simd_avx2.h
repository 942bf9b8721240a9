/*
 * What the lanes templates need of AVX2, FMA and F16C: a vector of 8 floats.
 *
 * No pointer has an alignment. *_part functions touch n (< LANES) elements and read zeros beyond.
 */
#ifndef WR_SIMD_AVX2_H
#define WR_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "tensor/x86/lanes.h"

enum {
    LANES = 8,
    VECS = 2,        /* vectors per 16 weights */
    TOKEN_HEADS = 4, /* of one token, which share the reading of keys and values */
};

typedef __m256 vec;

static inline vec v_zero(void) { return _mm256_setzero_ps(); }
static inline vec v_all(float a) { return _mm256_set1_ps(a); }
static inline vec v_load(const void *p) { return _mm256_loadu_ps(p); }
static inline void v_store(void *p, vec a) { _mm256_storeu_ps(p, a); }
static inline vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); } /* ab + c */
static inline vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); } /* b if either is NaN */
static inline vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); } /* b if either is NaN */
static inline vec v_round(vec a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a * 2^n, n whole and within +-254: in two steps, for a result may need what a single power of two
 * cannot hold. */
static inline vec v_scale_by_power(vec a, vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n), bias = _mm256_set1_epi32(127);
    const __m256i half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    vec first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vec second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return v_mul(v_mul(a, first), second);
}

static inline __m256i first_lanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec v_load_part(const void *p, int64_t n) {
    return _mm256_maskload_ps(p, first_lanes(n));
}
static inline void v_store_part(void *p, vec a, int64_t n) {
    _mm256_maskstore_ps(p, first_lanes(n), a);
}

/* The order of every sum over lanes: halves folded onto each other. */
static inline __m128 fold_to_4(vec a) {
    return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}
static inline float v_sum(vec a) { return sum_of_4(fold_to_4(a)); }

/* Four such sums. */
static inline __m128 v_sum4(vec a, vec b, vec c, vec d) {
    return sum_columns(fold_to_4(a), fold_to_4(b), fold_to_4(c), fold_to_4(d));
}

/* 8 sums in double precision. */
typedef struct wide {
    __m256d low, high;
} wide;
static inline wide wide_zero(void) { return (wide){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
static inline wide wide_low_high(vec a) {
    return (wide){_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                  _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
}
static inline wide wide_add(wide sum, vec a) {
    wide b = wide_low_high(a);
    return (wide){_mm256_add_pd(sum.low, b.low), _mm256_add_pd(sum.high, b.high)};
}
static inline wide wide_add_square(wide sum, vec a) {
    wide b = wide_low_high(a);
    return (wide){_mm256_fmadd_pd(b.low, b.low, sum.low),
                  _mm256_fmadd_pd(b.high, b.high, sum.high)};
}
static inline double wide_sum(wide a) {
    __m256d b = _mm256_add_pd(a.low, a.high);
    __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}

typedef __m256 lane_mask;
/* low <= a < high */
static inline lane_mask v_within(vec a, vec low, vec high) {
    return _mm256_and_ps(_mm256_cmp_ps(low, a, _CMP_LE_OQ), _mm256_cmp_ps(a, high, _CMP_LT_OQ));
}
/* ab + c, or c where m is not set */
static inline vec v_fma_where(lane_mask m, vec a, vec b, vec c) {
    return _mm256_blendv_ps(c, _mm256_fmadd_ps(a, b, c), m);
}
/* Integers less `first`, as floats. */
static inline vec v_load_distance(const int32_t *p, int32_t first) {
    const __m256i a = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(a, _mm256_set1_epi32(first)));
}
static inline lane_mask v_equal(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vec v_select(lane_mask m, vec a, vec b) { return _mm256_blendv_ps(b, a, m); }

static inline vec v_ceil(vec a) { return _mm256_ceil_ps(a); }
/* x - floor(x), in [0, 1]; NaN for minus infinity */
static inline vec v_fraction(vec x) { return _mm256_sub_ps(x, _mm256_floor_ps(x)); }
/* a * 2^floor(x) for a in [1, 2] and x <= 0: a power is added to the exponent. 0 below 2^-126,
 * where it would not fit, also when a is NaN. */
static inline vec v_scale_by_floor(vec a, vec x) {
    const __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(_mm256_floor_ps(x)), 23);
    const vec scaled = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), power));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, v_all(-126.0f), _CMP_LT_OQ), scaled);
}

static inline float v_largest(vec a) {
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* Lane h: the largest, or the sum, of a[h]; sums in the order of v_sum. Halves are folded onto each
 * other for two vectors at once. */
#define FOLD_EACH(name, op)                                                                        \
    INLINE vec name(const vec a[TOKEN_HEADS]) {                                                    \
        const vec b = op(_mm256_permute2f128_ps(a[0], a[1], 0x20),                                 \
                         _mm256_permute2f128_ps(a[0], a[1], 0x31));                                \
        const vec c = op(_mm256_permute2f128_ps(a[2], a[3], 0x20),                                 \
                         _mm256_permute2f128_ps(a[2], a[3], 0x31));                                \
        const vec d = op(_mm256_unpacklo_ps(b, c), _mm256_unpackhi_ps(b, c));                      \
        const vec e = op(d, _mm256_permute_ps(d, 0x4e)); /* 0 2 . . 1 3 . . */                     \
        return _mm256_permutevar8x32_ps(e, _mm256_setr_epi32(0, 4, 1, 5, 0, 0, 0, 0));             \
    }
FOLD_EACH(v_largest_of_each, v_max)
FOLD_EACH(v_sum_of_each, v_add)
#undef FOLD_EACH

/* 8 halves, bfloat16s or signed bytes as floats. */
static inline vec v_load_half(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
static inline vec v_load_half_part(const void *p, int64_t n) {
    uint16_t all[LANES] = {0};
    memcpy(all, p, (size_t)n * 2);
    return v_load_half(all);
}
static inline vec v_load_bf16(const void *p) {
    __m256i h = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(h, 16));
}
static inline vec v_load_bf16_part(const void *p, int64_t n) {
    uint16_t all[LANES] = {0};
    memcpy(all, p, (size_t)n * 2);
    return v_load_bf16(all);
}
static inline vec v_of_i8(__m128i q) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)); }
static inline vec v_load_i8(const void *p) { return v_of_i8(_mm_loadl_epi64((const __m128i *)p)); }
static inline vec v_load_i8_part(const void *p, int64_t n) {
    int8_t all[LANES] = {0};
    memcpy(all, p, (size_t)n);
    return v_load_i8(all);
}

/* The lower, or the upper, bfloat16 of each lane. */
static inline vec v_bf16_low(vec pair) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pair), 16));
}
static inline vec v_bf16_high(vec pair) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(pair), upper));
}

/* Lane j of vector i becomes lane i of vector j. */
INLINE void v_transpose(vec r[LANES]) {
    vec t[LANES];
    UNROLLED for (int i = 0; i < LANES; i += 4) {
        const vec ab = _mm256_unpacklo_ps(r[i], r[i + 1]), AB = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const vec cd = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
        const vec CD = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(ab, cd, 0x44);
        t[i + 1] = _mm256_shuffle_ps(ab, cd, 0xee);
        t[i + 2] = _mm256_shuffle_ps(AB, CD, 0x44);
        t[i + 3] = _mm256_shuffle_ps(AB, CD, 0xee);
    }
    /* t[4 g + j]: of rows 4 g ... 4 g + 3, columns j, 4 + j */
    UNROLLED for (int j = 0; j < 4; j++) {
        r[j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x20);
        r[4 + j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x31);
    }
}

/* 16 signed bytes as floats. */
static inline void v_of_bytes(__m128i q, vec w[VECS]) {
    w[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
    w[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8)));
}

/* A table of what each code of four bits is worth: values[q] * d - m. */
typedef struct code_table {
    __m128i values;
    vec d, m;
} code_table;

static inline code_table table_of(const int8_t values[16], float d, float m) {
    return (code_table){_mm_loadu_si128((const __m128i *)values), v_all(d), v_all(m)};
}

static inline void worth_of(__m128i codes, code_table t, vec w[VECS]) {
    v_of_bytes(_mm_shuffle_epi8(t.values, _mm_and_si128(codes, _mm_set1_epi8(15))), w);
    for (int i = 0; i < VECS; i++) w[i] = v_sub(v_mul(t.d, w[i]), t.m);
}

/* The weights of the lower, or of the upper, codes of 16 bytes. */
static inline void low_codes(const uint8_t *q, code_table t, vec w[VECS]) {
    worth_of(_mm_loadu_si128((const __m128i *)q), t, w);
}
static inline void high_codes(const uint8_t *q, code_table t, vec w[VECS]) {
    worth_of(_mm_srli_epi16(_mm_loadu_si128((const __m128i *)q), 4), t, w);
}

#endif
