/*
 * Blocks of 256 in runs of 16 or 32, each with a scale of few bits, and in some formats an offset,
 * in units of the block's own two halves:
 *
 *     x = (d s) q - (m o)            Q2_K, Q4_K, Q5_K: s and o from 0, q from 0
 *     x = (d s) q                    Q3_K, Q6_K: s and q of either sign
 *
 * Each run is fitted by itself; then units are chosen that hold the largest scale, scales rounded
 * to them, and all improved in turn: every run's scale and offset among their neighbours, the units
 * by least squares over the block.
 */
#include <math.h>
#include <string.h>

#include "tensor/half.h"
#include "tensor/quantise.h"
#include "tensor/quantise_fit.h"

enum { BLOCK = 256, MOST_RUNS = 16, ROUNDS = 3 };

typedef struct run_codes {
    int scale, offset; /* in units */
} run_codes;

typedef struct block_fit {
    grid g;      /* of a run */
    int runs;    /* of g.n numbers each */
    int lowest;  /* scale */
    int highest; /* scale, and offset */
    float d, m;  /* the units, as the halves hold them */
    run_codes run[MOST_RUNS];
} block_fit;

/* To the nearest half; what is not 0 does not become it. */
static float as_half(float x) {
    const float half = float_of_half(half_of_float(x));
    return half == 0 && x != 0 ? copysignf(0x1p-24f, x) : half;
}

static int bounded(float x, int low, int high) {
    return x <= (float)low ? low : x >= (float)high ? high : (int)rintf(x);
}

static float run_error(const block_fit *b, const float *x, int i, run_codes codes) {
    return error_of(&b->g, x + i * b->g.n, b->d * (float)codes.scale,
                    -(b->m * (float)codes.offset));
}

static float block_error(const block_fit *b, const float *x) {
    float sum = 0;
    for (int i = 0; i < b->runs; i++) sum += run_error(b, x, i, b->run[i]);
    return sum;
}

/* ---- codes for given units ---------------------------------------------------------------------
 */

/* The best scale and offset of a run among the neighbours of what it has, until there is none. */
static void improve_run(block_fit *b, const float *x, int i) {
    float least = run_error(b, x, i, b->run[i]);
    for (int step = 0; step < 3; step++) {
        const run_codes from = b->run[i];
        for (int move = 0; move < 9; move++) {
            const run_codes to = {from.scale + move / 3 - 1, from.offset + move % 3 - 1};
            const bool outside = to.scale < b->lowest || to.scale > b->highest || to.offset < 0 ||
                                 to.offset > b->highest;
            if (move == 4 || outside || (b->m == 0 && to.offset != from.offset)) continue;
            const float error = run_error(b, x, i, to);
            if (error >= least) continue;
            least = error;
            b->run[i] = to;
        }
        if (b->run[i].scale == from.scale && b->run[i].offset == from.offset) return;
    }
}

static void round_runs(block_fit *b, const float *x, const fit *fits) {
    for (int i = 0; i < b->runs; i++) {
        b->run[i] =
            (run_codes){b->d != 0 ? bounded(fits[i].scale / b->d, b->lowest, b->highest) : 0,
                        b->m != 0 ? bounded(-fits[i].offset / b->m, 0, b->highest) : 0};
        improve_run(b, x, i);
    }
}

/* ---- units for given codes ---------------------------------------------------------------------
 */

/* Least squares over the block: x ~ d (s q) - m o, two unknowns. */
static void solve_units(block_fit *b, const float *x) {
    double aa = 0, ao = 0, oo = 0, xa = 0, xo = 0;
    for (int i = 0; i < b->runs; i++) {
        const float *part = x + i * b->g.n;
        const float scale = b->d * (float)b->run[i].scale, offset = b->m * (float)b->run[i].offset;
        const sums s = sums_of(&b->g, part, scale != 0 ? 1 / scale : 0, -offset);
        const double code = b->run[i].scale, o = b->run[i].offset;
        float sum = 0;
        for (int j = 0; j < b->g.n; j++) sum += part[j];
        aa += code * code * (double)s.qq;
        ao += code * o * (double)s.q;
        oo += o * o * b->g.n;
        xa += code * (double)s.xq;
        xo += o * (double)sum;
    }
    const double determinant = aa * oo - ao * ao;
    double d = aa > 0 ? xa / aa : 0, m = 0;
    if (b->m != 0 && determinant > 1e-9 * aa * oo) {
        d = (xa * oo - ao * xo) / determinant;
        m = (ao * xa - aa * xo) / determinant;
    }
    if (d != 0 && isfinite(d)) b->d = as_half((float)d);
    if (m > 0 && isfinite(m)) b->m = as_half((float)m);
}

/* Rounds of both; what is best stays. */
static void improve(block_fit *b, const float *x) {
    float least = block_error(b, x);
    for (int round = 0; round < ROUNDS; round++) {
        block_fit tried = *b;
        solve_units(&tried, x);
        for (int i = 0; i < b->runs; i++) improve_run(&tried, x, i);
        const float error = block_error(&tried, x);
        if (!(error < least)) return;
        least = error;
        *b = tried;
    }
}

/* The same from several units: what is best stays. */
static void fit_block(block_fit *b, const float *x, const fit *fits, const float *units,
                      int count) {
    block_fit best = *b;
    float least = INFINITY;
    const float m = b->m;
    for (int i = 0; i < count; i++) {
        block_fit tried = *b;
        tried.d = as_half(units[i]);
        tried.m = m;
        round_runs(&tried, x, fits);
        improve(&tried, x);
        const float error = block_error(&tried, x);
        if (!(error < least)) continue;
        least = error;
        best = tried;
    }
    *b = best;
}

/* Q2_K, Q4_K, Q5_K */
static void fit_offsets(block_fit *b, const float *x) {
    fit fits[MOST_RUNS];
    float scale = 0, offset = 0;
    for (int i = 0; i < b->runs; i++) {
        fits[i] = wr_fit_offset(&b->g, x + i * b->g.n, 1);
        scale = fmaxf(scale, fits[i].scale);
        offset = fmaxf(offset, -fits[i].offset);
    }
    b->m = as_half(offset / (float)b->highest);
    fit_block(b, x, fits, (float[]){scale / (float)b->highest}, 1);
}

/* Q3_K, Q6_K: the largest scale becomes the lowest code, on whose side there is one more. */
static void fit_scales(block_fit *b, const float *x) {
    fit fits[MOST_RUNS];
    float most = 0;
    for (int i = 0; i < b->runs; i++) {
        fits[i] = wr_fit_scale(&b->g, x + i * b->g.n);
        if (fabsf(fits[i].scale) > fabsf(most)) most = fits[i].scale;
    }
    b->m = 0;
    fit_block(b, x, fits, (float[]){most / (float)b->lowest, most / (float)b->highest}, 2);
}

/* Codes of all 256, from the grid's own. */
static void codes_of_block(const block_fit *b, const float *x, int32_t codes[BLOCK]) {
    for (int i = 0; i < BLOCK; i += 4) {
        const run_codes run = b->run[i / b->g.n];
        const float scale = b->d * (float)run.scale, offset = -(b->m * (float)run.offset);
        const f4 q = codes_of(&b->g, f4_at(x + i), scale != 0 ? 1 / scale : 0, offset);
        for (int j = 0; j < 4; j++) codes[i + j] = (int32_t)q[j];
    }
}

/* ---- the formats: layouts as decode_blocks.h reads them ----------------------------------------
 */

static void store_half(float value, uint8_t *out) {
    const uint16_t half = half_of_float(value);
    memcpy(out, &half, sizeof half);
}

/* Two bits of each code, four planes of 32 to 32 bytes. */
static void store_two_bits(const int32_t *codes, uint8_t *out) {
    memset(out, 0, BLOCK / 4);
    for (int i = 0; i < BLOCK; i++)
        out[i / 128 * 32 + i % 32] |= (uint8_t)((codes[i] & 3) << (i % 128 / 32 * 2));
}

/* Four bits of each, two planes of 32 to 32 bytes. */
static void store_four_bits(const int32_t *codes, uint8_t *out) {
    memset(out, 0, BLOCK / 2);
    for (int i = 0; i < BLOCK; i++)
        out[i / 64 * 32 + i % 32] |= (uint8_t)((codes[i] & 15) << (i % 64 / 32 * 4));
}

void wr_quantise_q2_k(const float *x, uint8_t *out) {
    block_fit b = {.g = {16, 0, 3}, .runs = 16, .lowest = 0, .highest = 15};
    int32_t codes[BLOCK];
    fit_offsets(&b, x);
    codes_of_block(&b, x, codes);
    for (int i = 0; i < b.runs; i++) out[i] = (uint8_t)(b.run[i].scale | b.run[i].offset << 4);
    store_two_bits(codes, out + 16);
    store_half(b.d, out + 80);
    store_half(b.m, out + 82);
}

/* Eight scales and offsets of six bits in twelve bytes. */
static void store_six_bits(const block_fit *b, uint8_t *out) {
    for (int i = 0; i < 4; i++) {
        const run_codes low = b->run[i], high = b->run[i + 4];
        out[i] = (uint8_t)(low.scale | high.scale >> 4 << 6);
        out[i + 4] = (uint8_t)(low.offset | high.offset >> 4 << 6);
        out[i + 8] = (uint8_t)((high.scale & 15) | (high.offset & 15) << 4);
    }
}

static void fit_planes(const float *x, int bits, uint8_t *out, int32_t codes[BLOCK]) {
    block_fit b = {.g = {32, 0, (float)((1 << bits) - 1)}, .runs = 8, .lowest = 0, .highest = 63};
    fit_offsets(&b, x);
    codes_of_block(&b, x, codes);
    store_half(b.d, out);
    store_half(b.m, out + 2);
    store_six_bits(&b, out + 4);
}

void wr_quantise_q4_k(const float *x, uint8_t *out) {
    int32_t codes[BLOCK];
    fit_planes(x, 4, out, codes);
    store_four_bits(codes, out + 16);
}

void wr_quantise_q5_k(const float *x, uint8_t *out) {
    int32_t codes[BLOCK];
    fit_planes(x, 5, out, codes);
    memset(out + 16, 0, 32);
    for (int i = 0; i < BLOCK; i++) out[16 + i % 32] |= (uint8_t)((codes[i] >> 4 & 1) << (i / 32));
    store_four_bits(codes, out + 48);
}

void wr_quantise_q3_k(const float *x, uint8_t *out) {
    block_fit b = {.g = {16, -4, 3}, .runs = 16, .lowest = -32, .highest = 31};
    int32_t codes[BLOCK];
    fit_scales(&b, x);
    codes_of_block(&b, x, codes);
    memset(out, 0, 32);
    for (int i = 0; i < BLOCK; i++) {
        codes[i] += 4;
        out[i % 32] |= (uint8_t)((codes[i] >> 2 & 1) << (i / 32));
    }
    store_two_bits(codes, out + 32);
    memset(out + 96, 0, 12);
    for (int i = 0; i < b.runs; i++) {
        const int scale = b.run[i].scale + 32;
        out[96 + i % 8] |= (uint8_t)((scale & 15) << (i / 8 * 4));
        out[104 + i % 4] |= (uint8_t)((scale >> 4) << (i / 4 * 2));
    }
    store_half(b.d, out + 108);
}

void wr_quantise_q6_k(const float *x, uint8_t *out) {
    block_fit b = {.g = {16, -32, 31}, .runs = 16, .lowest = -128, .highest = 127};
    int32_t codes[BLOCK];
    fit_scales(&b, x);
    codes_of_block(&b, x, codes);
    memset(out, 0, 192);
    for (int i = 0; i < BLOCK; i++) {
        const int code = codes[i] + 32, half = i / 128, plane = i % 128 / 32;
        out[half * 64 + plane % 2 * 32 + i % 32] |= (uint8_t)((code & 15) << (plane / 2 * 4));
        out[128 + half * 32 + i % 32] |= (uint8_t)((code >> 4) << (plane * 2));
    }
    for (int i = 0; i < b.runs; i++) out[192 + i] = (uint8_t)(int8_t)b.run[i].scale;
    store_half(b.d, out + 208);
}
