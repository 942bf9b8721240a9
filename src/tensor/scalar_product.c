/*
 * Products and their inputs, the scalar way: the specification (kernels.h has the formulas).
 *
 * Works on the rows as GGUF has them, never on panels, so that the tests which hold the other
 * tables against this one also prove the packing.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/decode_blocks.h"
#include "tensor/scalar.h"

/* ---- inputs ---------------------------------------------------------------------------------- */

wr_input wr_scalar_input_of(wr_format format) {
    bool floats = format == WR_F32 || format == WR_F16 || format == WR_BF16;
    if (floats) return WR_INPUT_FLOATS;
    return wr_format_find((uint32_t)format)->block == 256 ? WR_INPUT_BLOCKS : WR_INPUT_BYTES;
}

/* The scale of a run or a block, and what a number is multiplied with before it is rounded. */
static float scale_of(const float *x, int n, float *inverse) {
    float largest = 0;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        float size = fabsf(x[i]);
        finite = finite && size < INFINITY;
        if (size > largest) largest = size;
    }
    *inverse = finite && largest >= 0x1p-100f ? 127.0f / largest : 0.0f;
    if (!finite) return NAN;
    return largest >= 0x1p-100f ? largest / 127.0f : 0.0f;
}

/* n numbers; returns the sum. */
static int32_t round_all(const float *x, int n, float inverse, int8_t *q) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) {
        float rounded = inverse > 0 ? nearbyintf(x[i] * inverse) : 0.0f;
        q[i] = (int8_t)rounded;
        sum += (int32_t)rounded;
    }
    return sum;
}

static void round_run(const wr_bytes *to, int64_t run, const float x[32]) {
    float inverse;
    const float a = scale_of(x, 32, &inverse);
    const int32_t sum = round_all(x, 32, inverse, to->q + run * 32);
    to->a[run] = a;
    to->sum[run] = a * (float)sum;
    to->start[run] = -128 * sum;
}

static uint16_t bf16_of_float(float x) {
    const uint32_t bits = float_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static void round_block(const wr_blocks *to, int64_t block, const float x[256]) {
    float inverse;
    to->a[block] = scale_of(x, 256, &inverse);
    for (int i = 0; i < 16; i++) {
        const int64_t half = block * 16 + i;
        const int32_t sum = round_all(x + i * 16, 16, inverse, to->q + half * 16);
        to->half_sum[half] = (float)sum;
        to->half_start[half] = -128 * sum;
        to->digits[2 * half] = bf16_of_float((float)(sum & 15));
        to->digits[2 * half + 1] = bf16_of_float((float)(sum - (sum & 15)));
    }
    for (int64_t run = block * 8; run < block * 8 + 8; run++) {
        to->sum[run] = to->half_sum[2 * run] + to->half_sum[2 * run + 1];
        to->start[run] = to->half_start[2 * run] + to->half_start[2 * run + 1];
    }
}

void wr_scalar_prepare(wr_input input, const float *x, int64_t columns, void *out) {
    if (input == WR_INPUT_BYTES) {
        assert(columns % 32 == 0);
        const wr_bytes to = wr_bytes_of(out, columns);
        for (int64_t run = 0; run < columns / 32; run++) round_run(&to, run, x + run * 32);
        return;
    }
    if (input == WR_INPUT_BLOCKS) {
        assert(columns % 256 == 0);
        const wr_blocks to = wr_blocks_of(out, columns);
        for (int64_t i = 0; i < columns / 256; i++) round_block(&to, i, x + i * 256);
        return;
    }
    uint16_t *to = out;
    for (int64_t i = 0; i < columns; i++) to[i] = bf16_of_float(x[i]);
    memset(to + columns, 0, wr_input_bytes(input, columns) - (size_t)columns * 2);
}

/* ---- codes: a block's integers, scales and minima -------------------------------------------- */

typedef struct codes {
    int columns; /* of the block: 32 or 256 */
    int run;     /* columns that share a scale: 32 or 16 */
    bool minima;
    int16_t w[256];
    float d, m;    /* the factor of scales, and of minima, the sign included */
    int32_t s[16]; /* scales and minima of the runs of 256 columns */
    int32_t min[16];
} codes;

static void split_nibbles(const uint8_t *q, int16_t *w, const int8_t *values) {
    for (int i = 0; i < 16; i++) {
        w[i] = values ? values[q[i] & 15] : q[i] & 15;
        w[16 + i] = values ? values[q[i] >> 4] : q[i] >> 4;
    }
}

static void add_fifth(uint32_t fifth, int16_t w[32]) {
    for (int i = 0; i < 32; i++) w[i] = (int16_t)(w[i] + (int)(fifth >> i & 1u) * 16);
}

static void add_all(int16_t *w, int n, int offset) {
    for (int i = 0; i < n; i++) w[i] = (int16_t)(w[i] + offset);
}

static void codes_of_32(wr_format format, const uint8_t *b, codes *c) {
    c->columns = c->run = 32;
    c->minima = format == WR_Q4_1 || format == WR_Q5_1;
    c->d = format == WR_MXFP4 ? mxfp4_scale(b[0]) : half_at(b);
    c->m = c->minima ? half_at(b + 2) : 0.0f;
    switch (format) {
    case WR_Q8_0:
        for (int i = 0; i < 32; i++) c->w[i] = (int8_t)b[2 + i];
        return;
    case WR_Q4_0:
        split_nibbles(b + 2, c->w, NULL);
        add_all(c->w, 32, -8);
        return;
    case WR_Q4_1:
        split_nibbles(b + 4, c->w, NULL);
        return;
    case WR_Q5_0:
        split_nibbles(b + 6, c->w, NULL);
        add_fifth(load_u32(b + 2), c->w);
        add_all(c->w, 32, -16);
        return;
    case WR_Q5_1:
        split_nibbles(b + 8, c->w, NULL);
        add_fifth(load_u32(b + 4), c->w);
        return;
    case WR_IQ4_NL:
        split_nibbles(b + 2, c->w, iq4_values);
        return;
    default:
        split_nibbles(b + 1, c->w, mxfp4_values);
    }
}

static void codes_of_q2_k(const uint8_t *b, codes *c) {
    c->d = half_at(b + 80);
    c->m = -half_at(b + 82);
    for (int run = 0; run < 16; run++) {
        const uint8_t *q = b + 16 + run / 8 * 32 + run % 2 * 16;
        for (int i = 0; i < 16; i++) c->w[run * 16 + i] = q[i] >> (run % 8 / 2 * 2) & 3;
        c->s[run] = b[run] & 15;
        c->min[run] = b[run] >> 4;
    }
}

static void codes_of_q3_k(const uint8_t *b, codes *c) {
    c->d = half_at(b + 108);
    for (int run = 0; run < 16; run++) {
        const uint8_t *q = b + 32 + run / 8 * 32 + run % 2 * 16, *mask = b + run % 2 * 16;
        for (int i = 0; i < 16; i++) {
            int third = (mask[i] >> (run / 2) & 1) * 4;
            c->w[run * 16 + i] = (int16_t)((q[i] >> (run % 8 / 2 * 2) & 3) + third - 4);
        }
        c->s[run] = q3_k_scale(b + 96, run);
    }
}

static void codes_of_q4_and_5_k(wr_format format, const uint8_t *b, codes *c) {
    const uint8_t *fifth = format == WR_Q5_K ? b + 16 : NULL;
    c->d = half_at(b);
    c->m = -half_at(b + 2);
    for (int plane = 0; plane < 8; plane++) {
        const uint8_t *q = b + (fifth ? 48 : 16) + plane / 2 * 32;
        uint8_t scale, minimum;
        q4_k_scale(b + 4, plane, &scale, &minimum);
        for (int i = 0; i < 32; i++) {
            int high = fifth ? (fifth[i] >> plane & 1) * 16 : 0;
            c->w[plane * 32 + i] = (int16_t)((q[i] >> (plane % 2 * 4) & 15) + high);
        }
        c->s[plane] = scale;
        c->min[plane] = minimum;
    }
}

static void codes_of_q6_k(const uint8_t *b, codes *c) {
    c->d = half_at(b + 208);
    for (int run = 0; run < 16; run++) {
        const int half = run / 8, plane = run % 8 / 2, at = run % 2 * 16;
        const uint8_t *low = b + half * 64 + plane % 2 * 32 + at;
        const uint8_t *high = b + 128 + half * 32 + at;
        for (int i = 0; i < 16; i++) {
            int value = (low[i] >> (plane / 2 * 4) & 15) | (high[i] >> (plane * 2) & 3) << 4;
            c->w[run * 16 + i] = (int16_t)(value - 32);
        }
        c->s[run] = (int8_t)b[192 + run];
    }
}

static void codes_of_256(wr_format format, const uint8_t *b, codes *c) {
    c->columns = 256;
    c->run = format == WR_Q4_K || format == WR_Q5_K || format == WR_IQ4_XS ? 32 : 16;
    c->minima = format == WR_Q2_K || format == WR_Q4_K || format == WR_Q5_K;
    switch (format) {
    case WR_Q2_K:
        codes_of_q2_k(b, c);
        return;
    case WR_Q3_K:
        codes_of_q3_k(b, c);
        return;
    case WR_Q4_K:
    case WR_Q5_K:
        codes_of_q4_and_5_k(format, b, c);
        return;
    case WR_Q6_K:
        codes_of_q6_k(b, c);
        return;
    default:
        c->d = half_at(b);
        for (int plane = 0; plane < 8; plane++) {
            split_nibbles(b + 8 + plane * 16, c->w + plane * 32, iq4_values);
            c->s[plane] = iq4_xs_scale(b, plane);
        }
    }
}

/* ---- products -------------------------------------------------------------------------------- */

static int32_t dot(const int16_t *w, const int8_t *q, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += w[i] * q[i];
    return sum;
}

/* acc += a block of 32 weights times columns [at, at + 32) of x. */
static float add_run(float acc, const codes *c, const wr_bytes *x, int64_t at) {
    acc = fmaf((float)dot(c->w, x->q + at, 32), c->d * x->a[at / 32], acc);
    return c->minima ? fmaf(x->sum[at / 32], c->m, acc) : acc;
}

/* The same of 256. */
static float add_block(float acc, const codes *c, const wr_blocks *x, int64_t at) {
    const float a = x->a[at / 256];
    int32_t total = 0, minima = 0;
    for (int i = 0; i < 256; i += c->run) {
        const int run = i / c->run;
        const float *half = x->half_sum + (at + i) / 16;
        total += c->s[run] * dot(c->w + i, x->q + at + i, c->run);
        if (c->minima)
            minima += c->min[run] * (int32_t)(c->run == 32 ? half[0] + half[1] : half[0]);
    }
    float value = c->d * (float)total;
    if (c->minima) value = fmaf(c->m, (float)minima, value);
    return fmaf(value, a, acc);
}

/* y[b] = row . x[b], with y holding the sums on the way. */
static void multiply_codes(const wr_product *job, const uint8_t *row, float *y) {
    const wr_matrix *w = job->w;
    const wr_format_info *info = wr_format_find((uint32_t)w->format);
    codes c;
    for (int64_t b = 0; b < job->batch; b++) y[b * job->y_stride] = 0;
    for (int64_t at = 0; at < w->columns; at += info->block, row += info->bytes) {
        if (info->block == 32)
            codes_of_32(w->format, row, &c);
        else
            codes_of_256(w->format, row, &c);
        for (int64_t b = 0; b < job->batch; b++) {
            const void *input = wr_product_input(job, b);
            const wr_bytes bytes = wr_bytes_of(input, w->columns);
            const wr_blocks blocks = wr_blocks_of(input, w->columns);
            float *acc = &y[b * job->y_stride];
            *acc =
                c.columns == 32 ? add_run(*acc, &c, &bytes, at) : add_block(*acc, &c, &blocks, at);
        }
    }
}

static float weight_at(wr_format format, const uint8_t *row, int64_t i) {
    float weight;
    if (format == WR_F16) return float_of_half(load_u16(row + 2 * i));
    if (format == WR_BF16) return float_of_bf16(load_u16(row + 2 * i));
    memcpy(&weight, row + 4 * i, sizeof weight);
    return weight;
}

static void multiply_floats(const wr_product *job, const uint8_t *row, float *y) {
    for (int64_t b = 0; b < job->batch; b++) {
        const float *x = wr_product_input(job, b);
        float acc = 0;
        for (int64_t i = 0; i < job->w->columns; i++)
            acc += weight_at(job->w->format, row, i) * x[i];
        y[b * job->y_stride] = acc;
    }
}

void wr_scalar_product(const wr_product *job) {
    const wr_matrix *w = job->w;
    const size_t row_bytes = wr_format_row_bytes(w->format, w->columns);
    const int64_t end = job->panel_end * WR_PANEL_ROWS;
    for (int64_t r = job->panel_begin * WR_PANEL_ROWS; r < end && r < w->rows; r++) {
        const uint8_t *row = (const uint8_t *)w->data + (size_t)r * row_bytes;
        if (wr_scalar_input_of(w->format) == WR_INPUT_FLOATS)
            multiply_floats(job, row, job->y + r);
        else
            multiply_codes(job, row, job->y + r);
    }
}
