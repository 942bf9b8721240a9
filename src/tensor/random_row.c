/*
 * Random blocks that decode to weights of about a given standard deviation and mean zero.
 *
 * The codes are uniform; the scales follow from the mean square of the codes. A block's own scale
 * varies by up to a quarter, so that no two blocks are alike.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tensor/decode_blocks.h"
#include "tensor/format.h"

/* Numbers drawn one after the other from (seed, row). */
typedef struct source {
    uint64_t seed, row, counter;
    uint32_t words[4];
    int left; /* words not yet used */
} source;

static uint32_t draw(source *from) {
    if (from->left == 0) {
        wr_random_block(from->seed, from->row, from->counter++, from->words);
        from->left = 4;
    }
    return from->words[--from->left];
}

static void draw_bytes(source *from, uint8_t *to, int count) {
    for (int i = 0; i < count; i += 4) {
        uint32_t word = draw(from);
        memcpy(to + i, &word, count - i < 4 ? (size_t)(count - i) : 4);
    }
}

/* Uniform in [low, high). */
static double between(source *from, double low, double high) {
    return low + (high - low) * (double)draw(from) * 0x1p-32;
}

static int whole_between(source *from, int low, int high) { /* both included */
    return low + (int)(draw(from) % (uint32_t)(high - low + 1));
}

static int with_random_sign(source *from, int value) { return draw(from) & 1u ? value : -value; }

/* Store a half; return what was stored. */
static float put_half(uint8_t *to, double value) {
    uint16_t h = half_of_float((float)fmin(fmax(value, -60000.0), 60000.0));
    memcpy(to, &h, sizeof h);
    return float_of_half(h);
}

/* A block's scale when its codes have the given mean square. */
static double block_scale(source *from, double deviation, double mean_square) {
    return deviation / sqrt(mean_square) * between(from, 0.75, 1.25);
}

static double mean_square_of(const int8_t values[16]) {
    double sum = 0;
    for (int i = 0; i < 16; i++) sum += (double)values[i] * (double)values[i];
    return sum / 16;
}

/* ---- blocks of 32: the codes are random bytes already ---------------------------------------- */

/* d * value, where the values' mean is not quite zero: so that the weights' is, d has either
 * sign. */
static void scale_lopsided(source *from, uint8_t *b, double deviation, double mean_square) {
    double d = block_scale(from, deviation, mean_square);
    put_half(b, draw(from) & 1u ? d : -d);
}

/* Mean square of q - codes/2, q uniform in [0, codes). */
static double off_centre(int codes) { return ((double)codes * codes + 2) / 12; }

/* d * q + m */
static void scale_with_minimum(source *from, uint8_t *b, double deviation, int codes) {
    float d = put_half(b, block_scale(from, deviation, ((double)codes * codes - 1) / 12));
    put_half(b + 2, -(double)d * (codes - 1) / 2);
}

/* 2^(e-128) * value: of the two exponents around the wanted scale, each so often that the mean
 * square comes out. */
static void scale_mxfp4(source *from, uint8_t *b, double deviation) {
    double wanted = deviation / sqrt(mean_square_of(mxfp4_values));
    double lower = wanted > 0 ? fmin(fmax(floor(log2(wanted)), -128), 100) : -128;
    double ratio = wanted / exp2(lower);
    bool upper = between(from, 0, 1) * 3 < ratio * ratio - 1;
    b[0] = (uint8_t)(lower + 128 + upper);
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

/* A minimum beside its scale that is nearly what makes the mean zero, within [0, most]. */
static int minimum_near(source *from, int scale, int most) {
    int m = scale + whole_between(from, -1, 1);
    return m > most ? most : m;
}

/* (d s) q - (dmin m), s in [most/2 + 1, most], q uniform in [0, codes): m is near s, and dmin is
 * d times the mean of q. */
static void scale_pair(source *from, uint8_t *at, double deviation, int codes, int most) {
    double low = most / 2 + 1, high = most;
    double mean = (codes - 1) / 2.0, s_square = (low * low + low * high + high * high) / 3;
    double q_square = ((double)codes * codes - 1) / 12;
    double d = block_scale(from, deviation, s_square * q_square + mean * mean * 2 / 3);
    float stored = put_half(at, d);
    put_half(at + 2, (double)stored * mean);
}

static void fill_q2_k(source *from, uint8_t *b, double deviation) {
    for (int run = 0; run < 16; run++) {
        int s = whole_between(from, 8, 15);
        b[run] = (uint8_t)(s | minimum_near(from, s, 15) << 4);
    }
    scale_pair(from, b + 80, deviation, 4, 15);
}

/* The 12 bytes of scales and minima that q4_k_scale reads. */
static void put_q4_k_scales(source *from, uint8_t *at) {
    int s[8], m[8];
    for (int i = 0; i < 8; i++) {
        s[i] = whole_between(from, 32, 63);
        m[i] = minimum_near(from, s[i], 63);
    }
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(s[i] | s[i + 4] >> 4 << 6);
        at[i + 4] = (uint8_t)(m[i] | m[i + 4] >> 4 << 6);
        at[i + 8] = (uint8_t)((s[i + 4] & 15) | (m[i + 4] & 15) << 4);
    }
}

/* Sixteen six-bit scales as q3_k_scale reads them: far from zero, of either sign. */
static void fill_q3_k(source *from, uint8_t *b, double deviation) {
    uint8_t *at = b + 96;
    memset(at, 0, 12);
    for (int run = 0; run < 16; run++) {
        unsigned s = (unsigned)(32 + with_random_sign(from, whole_between(from, 16, 31)));
        at[run % 8] |= (uint8_t)((s & 15u) << (run / 8 * 4));
        at[8 + run % 4] |= (uint8_t)(s >> 4 << (run / 4 * 2));
    }
    double s_square = (16.0 * 16 + 16 * 31 + 31 * 31) / 3;
    put_half(b + 108, block_scale(from, deviation, s_square * 5.5));
}

static void fill_q6_k(source *from, uint8_t *b, double deviation) {
    for (int run = 0; run < 16; run++) {
        b[192 + run] = (uint8_t)(int8_t)with_random_sign(from, whole_between(from, 64, 127));
    }
    double s_square = (64.0 * 64 + 64 * 127 + 127 * 127) / 3;
    put_half(b + 208, block_scale(from, deviation, s_square * 341.5));
}

static void fill_iq4_xs(source *from, uint8_t *b, double deviation) {
    unsigned upper = 0;
    memset(b + 4, 0, 4);
    for (int plane = 0; plane < 8; plane++) {
        unsigned s = (unsigned)(32 + with_random_sign(from, whole_between(from, 16, 31)));
        b[4 + plane / 2] |= (uint8_t)((s & 15u) << (plane % 2 * 4));
        upper |= s >> 4 << (plane * 2);
    }
    uint16_t stored = (uint16_t)upper;
    memcpy(b + 2, &stored, sizeof stored);
    double s_square = (16.0 * 16 + 16 * 31 + 31 * 31) / 3;
    put_half(b, block_scale(from, deviation, s_square * mean_square_of(iq4_values)));
}

/* b holds random bytes; give it scales. */
static void scale_block(wr_format format, source *from, uint8_t *b, double deviation) {
    switch (format) {
    case WR_Q8_0:
        put_half(b, block_scale(from, deviation, 65536.0 / 12));
        return;
    case WR_Q4_0:
        scale_lopsided(from, b, deviation, off_centre(16));
        return;
    case WR_Q5_0:
        scale_lopsided(from, b, deviation, off_centre(32));
        return;
    case WR_Q4_1:
        scale_with_minimum(from, b, deviation, 16);
        return;
    case WR_Q5_1:
        scale_with_minimum(from, b, deviation, 32);
        return;
    case WR_IQ4_NL:
        scale_lopsided(from, b, deviation, mean_square_of(iq4_values));
        return;
    case WR_MXFP4:
        scale_mxfp4(from, b, deviation);
        return;
    case WR_Q2_K:
        fill_q2_k(from, b, deviation);
        return;
    case WR_Q3_K:
        fill_q3_k(from, b, deviation);
        return;
    case WR_Q4_K:
        put_q4_k_scales(from, b + 4);
        scale_pair(from, b, deviation, 16, 63);
        return;
    case WR_Q5_K:
        put_q4_k_scales(from, b + 4);
        scale_pair(from, b, deviation, 32, 63);
        return;
    case WR_Q6_K:
        fill_q6_k(from, b, deviation);
        return;
    case WR_IQ4_XS:
        fill_iq4_xs(from, b, deviation);
        return;
    case WR_F32:
    case WR_F16:
    case WR_BF16:
        break;
    }
    assert(false && "a format with blocks");
}

/* F32, F16, BF16: normal numbers (Box-Muller, two words each). */
static void put_float(wr_format format, source *from, double deviation, uint8_t *to) {
    const double two_pi = 6.283185307179586476925;
    double radius = sqrt(-2 * log(((double)draw(from) + 1) * 0x1p-32));
    float value = (float)(deviation * radius * cos(two_pi * between(from, 0, 1)));
    if (format == WR_F32) {
        memcpy(to, &value, sizeof value);
    } else if (format == WR_F16) {
        put_half(to, (double)value);
    } else {
        uint16_t upper = (uint16_t)(float_bits(value) >> 16);
        memcpy(to, &upper, sizeof upper);
    }
}

void wr_format_random_row(wr_format format, uint64_t seed, uint64_t row, float deviation,
                          int64_t weights, void *out) {
    const wr_format_info *info = wr_format_find((uint32_t)format);
    assert(info != NULL && weights % info->block == 0 && deviation >= 0);
    source from = {.seed = seed, .row = row};
    uint8_t *to = out;
    for (int64_t i = 0; i < weights; i += info->block, to += info->bytes) {
        if (info->block == 1) {
            put_float(format, &from, (double)deviation, to);
        } else {
            draw_bytes(&from, to, info->bytes);
            scale_block(format, &from, to, (double)deviation);
        }
    }
}
