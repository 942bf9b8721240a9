/*
 * What both ways of attention share: exponentials, and elements of a page.
 *
 * Everything is in base 2: queries are multiplied by scale / ln 2 when they are copied, once, so
 * that a weight is 2^(s - m).
 */
#ifndef WR_ATTEND_SOFTMAX_LANES_H
#define WR_ATTEND_SOFTMAX_LANES_H

#include "tensor/x86/exp2_lanes.h"
#include "tensor/x86/rows_lanes.h"

/* The next m: whole, so that shrinking by 2^(m-m') rounds nothing. */
static inline vec next_max(vec best, vec old) { return v_max(v_ceil(best), old); }

/* 2^(old - max); 1 when the maximum stays, also at minus infinity. */
static inline vec shrinkage(vec old, vec max) {
    return v_select(v_equal(old, max), v_all(1), v_scale_by_floor(v_all(1), v_sub(old, max)));
}

/* What is subtracted from scores: the maximum, or 0 where nothing was seen yet, so that scores of
 * minus infinity weigh 0 there as well. */
static inline vec subtracted(vec max) {
    return v_select(v_equal(max, v_all(-INFINITY)), v_zero(), max);
}

/* m and l before any key: those of the sink logit, or of nothing. */
static inline void start_softmax(const float *sink_logit, float *max, float *sum) {
    const float z = sink_logit != NULL ? *sink_logit * LOG2_OF_E : -INFINITY;
    *max = ceilf(z);
    *sum = z == -INFINITY ? 0 : exp2f(z - *max);
}

/* The scales (q8_0) of keys at, at + 1, ... for the run that dimension d lies in. */
INLINE vec load_key_scales(const uint8_t *keys, int32_t d, int32_t at) {
    return v_load_half(keys + 2 * (d / WR_KV_RUN * WR_PAGE_TOKENS + at));
}

/* Where element d of the keys from place `at` on lies. */
INLINE const uint8_t *key_at(wr_kv_type type, const uint8_t *keys, int32_t dim, int32_t d,
                             int32_t at) {
    const int32_t i = d * WR_PAGE_TOKENS + at;
    if (type == WR_KV_F32) return keys + 4 * i;
    if (type == WR_KV_F16) return keys + 2 * i;
    return keys + (dim + WR_KV_RUN - 1) / WR_KV_RUN * 2 * WR_PAGE_TOKENS + i;
}

INLINE vec load_keys(wr_kv_type type, const uint8_t *from, vec scales) {
    if (type == WR_KV_F32) return v_load(from);
    if (type == WR_KV_F16) return v_load_half(from);
    return v_mul(scales, v_load_i8(from));
}

/* Elements [i, i + LANES) of a value row, or the `left` ones that are there. */
INLINE vec load_value(wr_kv_type type, const uint8_t *row, int32_t dim, int32_t i, int32_t left) {
    if (type == WR_KV_F32) {
        return left < LANES ? v_load_part(row + 4 * i, left) : v_load(row + 4 * i);
    }
    if (type == WR_KV_F16) {
        return left < LANES ? v_load_half_part(row + 2 * i, left) : v_load_half(row + 2 * i);
    }
    const uint8_t *q = row + (dim + 31) / 32 * 2 + i;
    const vec s = v_all(float_of_half(load_u16(row + i / 32 * 2)));
    return v_mul(s, left < LANES ? v_load_i8_part(q, left) : v_load_i8(q));
}

/* The numbers of a page's places. */
static const float place_numbers[WR_PAGE_TOKENS] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                    11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                    22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* A score with its bias: `place` and `at`, where the query stands, count from the same place, and
 * the slope is in base 2. The distance is whole, so it is exact. */
INLINE vec v_biased(vec score, vec slope, vec place, vec at) {
    return v_fma(slope, v_sub(place, at), score);
}

/* The places of [page * 32, page * 32 + 32) that a span has. */
static inline wr_kv_span places_of(wr_kv_span span, int32_t page) {
    const int32_t first = page * WR_PAGE_TOKENS;
    wr_kv_span places = {span.begin - first, span.end - first};
    if (places.begin < 0) places.begin = 0;
    if (places.end > WR_PAGE_TOKENS) places.end = WR_PAGE_TOKENS;
    return places;
}

#endif
