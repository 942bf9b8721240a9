/*
 * Members whose bits every table shares: rotation, cache rows. Plain C, compiled into each table
 * with that table's instructions; what is summed has an order of its own, so the compiler may use
 * vectors freely.
 */
#ifndef WR_EXACT_ROWS_H
#define WR_EXACT_ROWS_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tensor/half.h"
#include "tensor/kernels.h"

static void rotate(float *y, const float *x, const float *cos_sin, int32_t heads, int32_t dim,
                   int32_t rotary_dim, wr_rotary_pairing pairing) {
    const int32_t half = rotary_dim / 2;
    const int32_t step = pairing == WR_ROTARY_ADJACENT ? 2 : 1; /* from pair to pair */
    const int32_t apart = pairing == WR_ROTARY_ADJACENT ? 1 : half;
    for (int32_t head = 0; head < heads; head++) {
        const float *from = x + (int64_t)head * dim;
        float *to = y + (int64_t)head * dim;
        for (int32_t i = 0; i < half; i++) {
            const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
            const float a = from[i * step], b = from[i * step + apart];
            to[i * step] = a * c - b * s;
            to[i * step + apart] = a * s + b * c;
        }
        for (int32_t i = 2 * half; i < dim; i++) to[i] = from[i];
    }
}

enum { WR_KV_RUN = 32, WR_KV_SCALES = 32, WR_KV_SUMS = 8 };

/* To the nearest integer, ties to even, for |x| < 2^22: what lies behind the point is rounded
 * away. */
static inline float nearest(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

/* x / scale as an integer of 8 bits. The scale may be smaller than max|x| / 127 by half a place. */
static inline float quantised(float x, float inverse) {
    float value = nearest(x * inverse);
    value = value < 127.0f ? value : 127.0f;
    return value > -127.0f ? value : -127.0f;
}

/* Sum of (x - scale * q)^2 over a whole run, in eight partial sums, folded in order. */
static float run_error(const float *x, float scale) {
    const float inverse = 1.0f / scale;
    float sums[WR_KV_SUMS] = {0};
    for (int i = 0; i < WR_KV_RUN; i += WR_KV_SUMS) {
        for (int lane = 0; lane < WR_KV_SUMS; lane++) {
            float off = x[i + lane] - scale * quantised(x[i + lane], inverse);
            sums[lane] += off * off;
        }
    }
    float total = 0;
    for (int lane = 0; lane < WR_KV_SUMS; lane++) total += sums[lane];
    return total;
}

/*
 * One run of up to 32: its scale as stored, and q. Of the 32 half floats from max|x| / 127 upwards
 * (3% in all) the one with the least squared error is taken: on a trained model that lowers the
 * error of a token's likelihood by a quarter. An infinity or a NaN makes the scale one, so that
 * reading gives NaN: it is to be found, not hidden.
 */
static uint16_t quantise_run(const float *x, int32_t n, uint8_t *q) {
    float run[WR_KV_RUN] = {0};
    uint32_t largest_bits = 0; /* of |x|, in which order bits and numbers agree and NaN is above */
    for (int32_t i = 0; i < n; i++) {
        uint32_t bits = float_bits(x[i]) & 0x7fffffffu;
        if (bits > largest_bits) largest_bits = bits;
        run[i] = x[i];
    }
    const uint16_t first = half_of_float(float_of_bits(largest_bits) / 127.0f);
    uint16_t stored = first;
    if (first == 0 || first >= 0x7c00u - WR_KV_SCALES) {
        memset(q, 0, (size_t)n);
        return first == 0 || first >= 0x7c00u ? first : 0x7c00u;
    }
    float least = run_error(run, float_of_half(first));
    for (uint16_t scale = first + 1; scale < first + WR_KV_SCALES; scale++) {
        float error = run_error(run, float_of_half(scale));
        if (error < least) {
            least = error;
            stored = scale;
        }
    }
    const float inverse = 1.0f / float_of_half(stored);
    for (int32_t i = 0; i < n; i++) q[i] = (uint8_t)(int8_t)quantised(run[i], inverse);
    return stored;
}

static void kv_write(wr_kv_type type, void *row, const float *x, int32_t dim) {
    uint8_t *to = row;
    if (type == WR_KV_F32) {
        memcpy(to, x, (size_t)dim * sizeof *x);
    } else if (type == WR_KV_F16) {
        for (int32_t i = 0; i < dim; i++) {
            uint16_t h = half_of_float(x[i]);
            memcpy(to + 2 * (size_t)i, &h, sizeof h);
        }
    } else {
        uint8_t *q = to + (size_t)(dim + 31) / 32 * 2;
        for (int32_t i = 0; i < dim; i += 32) {
            uint16_t s = quantise_run(x + i, dim - i < 32 ? dim - i : 32, q + i);
            memcpy(to + i / 32 * 2, &s, sizeof s);
        }
    }
}

static void kv_read(wr_kv_type type, const void *row, float *x, int32_t dim) {
    const uint8_t *from = row;
    if (type == WR_KV_F32) {
        memcpy(x, from, (size_t)dim * sizeof *x);
    } else if (type == WR_KV_F16) {
        for (int32_t i = 0; i < dim; i++) x[i] = float_of_half(load_u16(from + 2 * (size_t)i));
    } else {
        const uint8_t *q = from + (size_t)(dim + 31) / 32 * 2;
        for (int32_t i = 0; i < dim; i++) {
            x[i] = float_of_half(load_u16(from + i / 32 * 2)) * (float)(int8_t)q[i];
        }
    }
}

/* Keys: the elements that a row would have, a page's width apart. */

static void kv_write_key(wr_kv_type type, void *keys, int32_t place, const float *x, int32_t dim) {
    uint8_t *to = keys;
    if (type == WR_KV_F32) {
        for (size_t i = 0; i < (size_t)dim; i++)
            memcpy(to + 4 * (i * WR_PAGE_TOKENS + (size_t)place), x + i, sizeof *x);
    } else if (type == WR_KV_F16) {
        for (size_t i = 0; i < (size_t)dim; i++) {
            uint16_t h = half_of_float(x[i]);
            memcpy(to + 2 * (i * WR_PAGE_TOKENS + (size_t)place), &h, sizeof h);
        }
    } else {
        uint8_t *q = to + (size_t)(dim + 31) / 32 * 2 * WR_PAGE_TOKENS;
        for (int32_t i = 0; i < dim; i += WR_KV_RUN) {
            const int32_t n = dim - i < WR_KV_RUN ? dim - i : WR_KV_RUN;
            uint8_t run[WR_KV_RUN];
            uint16_t s = quantise_run(x + i, n, run);
            memcpy(to + 2 * (i / WR_KV_RUN * WR_PAGE_TOKENS + place), &s, sizeof s);
            for (int32_t j = 0; j < n; j++) q[(i + j) * WR_PAGE_TOKENS + place] = run[j];
        }
    }
}

static void kv_read_key(wr_kv_type type, const void *keys, int32_t place, float *x, int32_t dim) {
    const uint8_t *from = keys;
    const uint8_t *q = from + (size_t)(dim + 31) / 32 * 2 * WR_PAGE_TOKENS;
    for (int32_t i = 0; i < dim; i++) {
        const size_t at = (size_t)i * WR_PAGE_TOKENS + (size_t)place;
        if (type == WR_KV_F32) {
            memcpy(x + i, from + 4 * at, sizeof *x);
        } else if (type == WR_KV_F16) {
            x[i] = float_of_half(load_u16(from + 2 * at));
        } else {
            const uint8_t *scale = from + 2 * (i / WR_KV_RUN * WR_PAGE_TOKENS + place);
            x[i] = float_of_half(load_u16(scale)) * (float)(int8_t)q[at];
        }
    }
}

#endif
