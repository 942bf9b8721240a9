/*
 * Decoders: one block of each format to floats, in GGUF's layout.
 *
 * Every weight is computed in float32 by the formula in front of its decoder, in that order and
 * without fused operations, so the bits are the same in every file that includes this one.
 * b is the block, y its weights. Fields are little-endian; d, m and dmin are halves.
 *
 * Where an array of bytes packs several weights, "planes" of 32 consecutive weights share the same
 * bytes at different shifts.
 */
#ifndef WR_DECODE_BLOCKS_H
#define WR_DECODE_BLOCKS_H

#include "tensor/half.h"

static inline float half_at(const uint8_t *b) { return float_of_half(load_u16(b)); }

/* The sixteen values of a 4-bit code: IQ4_NL's non-linear grid, and E2M1 doubled for MXFP4. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* ---- blocks of 32: 16 bytes hold weights 0-15 in their low and 16-31 in their high halves ---- */

/* d * q: d, 32 signed bytes */
static inline void decode_q8_0(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b);
    for (int i = 0; i < 32; i++) y[i] = d * (float)(int8_t)b[2 + i];
}

/* d * (q - 8): d, 16 bytes */
static inline void decode_q4_0(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b);
    for (int i = 0; i < 16; i++) y[i] = d * (float)((b[2 + i] & 15) - 8);
    for (int i = 0; i < 16; i++) y[16 + i] = d * (float)((b[2 + i] >> 4) - 8);
}

/* d * q + m: d, m, 16 bytes */
static inline void decode_q4_1(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b), m = half_at(b + 2);
    for (int i = 0; i < 16; i++) y[i] = d * (float)(b[4 + i] & 15) + m;
    for (int i = 0; i < 16; i++) y[16 + i] = d * (float)(b[4 + i] >> 4) + m;
}

static inline uint32_t load_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* d * (q - 16): d, the fifth bits (bit i for weight i), 16 bytes */
static inline void decode_q5_0(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b);
    const uint32_t fifth = load_u32(b + 2);
    for (int i = 0; i < 16; i++) {
        int32_t low = (int32_t)((b[6 + i] & 15u) | (fifth >> i & 1u) << 4);
        int32_t high = (int32_t)((b[6 + i] >> 4) | (fifth >> (16 + i) & 1u) << 4);
        y[i] = d * (float)(low - 16);
        y[16 + i] = d * (float)(high - 16);
    }
}

/* d * q + m: d, m, the fifth bits, 16 bytes */
static inline void decode_q5_1(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b), m = half_at(b + 2);
    const uint32_t fifth = load_u32(b + 4);
    for (int i = 0; i < 16; i++) {
        int32_t low = (int32_t)((b[8 + i] & 15u) | (fifth >> i & 1u) << 4);
        int32_t high = (int32_t)((b[8 + i] >> 4) | (fifth >> (16 + i) & 1u) << 4);
        y[i] = d * (float)low + m;
        y[16 + i] = d * (float)high + m;
    }
}

/* d * value[q]: d, 16 bytes */
static inline void decode_iq4_nl(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b);
    for (int i = 0; i < 16; i++) y[i] = d * (float)iq4_values[b[2 + i] & 15];
    for (int i = 0; i < 16; i++) y[16 + i] = d * (float)iq4_values[b[2 + i] >> 4];
}

/* 2^(e - 128), half of what the exponent byte says because the table of values is doubled. */
static inline float mxfp4_scale(uint8_t e) {
    return float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* 2^(e - 128) * value[q]: e, 16 bytes */
static inline void decode_mxfp4(const uint8_t *restrict b, float *restrict y) {
    const float d = mxfp4_scale(b[0]);
    for (int i = 0; i < 16; i++) y[i] = d * (float)mxfp4_values[b[1 + i] & 15];
    for (int i = 0; i < 16; i++) y[16 + i] = d * (float)mxfp4_values[b[1 + i] >> 4];
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

/* (d * s) * q - (dmin * m), s and m per 16 weights: 16 bytes of s (low) and m (high), 64 bytes of
 * 2-bit q (four planes of 32 share 32 bytes), d, dmin */
static inline void decode_q2_k(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    for (int run = 0; run < 16; run++) {
        const uint8_t *q = b + 16 + run / 8 * 32 + run % 2 * 16;
        const int shift = run % 8 / 2 * 2;
        const float scale = d * (float)(b[run] & 15);
        const float offset = dmin * (float)(b[run] >> 4);
        for (int i = 0; i < 16; i++) y[run * 16 + i] = scale * (float)(q[i] >> shift & 3) - offset;
    }
}

/* The run-th of sixteen 6-bit scales in 12 bytes: low four bits in two halves of 8 bytes, upper two
 * bits in four quarters of 4 bytes. */
static inline int q3_k_scale(const uint8_t *s, int run) {
    int low = s[run % 8] >> (run / 8 * 4) & 15;
    int high = s[8 + run % 4] >> (run / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

/* (d * s) * q, q = 2 bits and, unless the mask has the third, minus 4: 32 bytes of mask (bit p of
 * byte i for plane p), 64 bytes of 2-bit q as in Q2_K, 12 bytes of s, d */
static inline void decode_q3_k(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b + 108);
    for (int run = 0; run < 16; run++) {
        const uint8_t *q = b + 32 + run / 8 * 32 + run % 2 * 16;
        const uint8_t *mask = b + run % 2 * 16;
        const int shift = run % 8 / 2 * 2, bit = run / 2;
        const float scale = d * (float)q3_k_scale(b + 96, run);
        for (int i = 0; i < 16; i++) {
            int third = (mask[i] >> bit & 1) * 4;
            y[run * 16 + i] = scale * (float)((q[i] >> shift & 3) + third - 4);
        }
    }
}

/* Scale and minimum of plane 0-7, 6 bits each, in the 12 bytes that Q4_K and Q5_K share: those of
 * planes 4-7 have their upper bits where the bytes of planes 0-3 have room. */
static inline void q4_k_scale(const uint8_t *s, int plane, uint8_t *scale, uint8_t *minimum) {
    if (plane < 4) {
        *scale = s[plane] & 63;
        *minimum = s[plane + 4] & 63;
    } else {
        *scale = (uint8_t)((s[plane + 4] & 15) | s[plane - 4] >> 6 << 4);
        *minimum = (uint8_t)(s[plane + 4] >> 4 | s[plane] >> 6 << 4);
    }
}

/* (d * s) * q - (dmin * m), s and m per plane of 32: d, dmin, 12 bytes of s and m, 128 bytes (two
 * planes share 32: low and high halves) */
static inline void decode_q4_k(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b), dmin = half_at(b + 2);
    for (int plane = 0; plane < 8; plane++) {
        const uint8_t *q = b + 16 + plane / 2 * 32;
        const int shift = plane % 2 * 4;
        uint8_t s, m;
        q4_k_scale(b + 4, plane, &s, &m);
        const float scale = d * (float)s, offset = dmin * (float)m;
        for (int i = 0; i < 32; i++)
            y[plane * 32 + i] = scale * (float)(q[i] >> shift & 15) - offset;
    }
}

/* As Q4_K, with a fifth bit: d, dmin, 12 bytes of s and m, 32 bytes (bit p for plane p), 128
 * bytes */
static inline void decode_q5_k(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b), dmin = half_at(b + 2);
    for (int plane = 0; plane < 8; plane++) {
        const uint8_t *q = b + 48 + plane / 2 * 32, *fifth = b + 16;
        const int shift = plane % 2 * 4;
        uint8_t s, m;
        q4_k_scale(b + 4, plane, &s, &m);
        const float scale = d * (float)s, offset = dmin * (float)m;
        for (int i = 0; i < 32; i++) {
            int value = (q[i] >> shift & 15) + (fifth[i] >> plane & 1) * 16;
            y[plane * 32 + i] = scale * (float)value - offset;
        }
    }
}

/* (d * s) * (q - 32), s per 16 weights: 128 bytes of low four bits (planes 0 and 2, then 1 and 3 of
 * each half share 32), 64 bytes of upper two bits (four planes share 32), 16 signed s, d */
static inline void decode_q6_k(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b + 208);
    for (int run = 0; run < 16; run++) {
        const int half = run / 8, plane = run % 8 / 2, at = run % 2 * 16;
        const uint8_t *low = b + half * 64 + plane % 2 * 32 + at;
        const uint8_t *high = b + 128 + half * 32 + at;
        const int low_shift = plane / 2 * 4, high_shift = plane * 2;
        const float scale = d * (float)(int8_t)b[192 + run];
        for (int i = 0; i < 16; i++) {
            int value = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
            y[run * 16 + i] = scale * (float)(value - 32);
        }
    }
}

/* (s - 32) of plane 0-7: low four bits in 4 bytes, upper two in 16 bits. */
static inline int iq4_xs_scale(const uint8_t *b, int plane) {
    int low = b[4 + plane / 2] >> (plane % 2 * 4) & 15;
    int high = load_u16(b + 2) >> (plane * 2) & 3;
    return (low | high << 4) - 32;
}

/* (d * (s - 32)) * value[q], s per plane of 32: d, 2 + 4 bytes of s, 8 times 16 bytes as in
 * IQ4_NL */
static inline void decode_iq4_xs(const uint8_t *restrict b, float *restrict y) {
    const float d = half_at(b);
    for (int plane = 0; plane < 8; plane++) {
        const uint8_t *q = b + 8 + plane * 16;
        const float scale = d * (float)iq4_xs_scale(b, plane);
        float *to = y + plane * 32;
        for (int i = 0; i < 16; i++) to[i] = scale * (float)iq4_values[q[i] & 15];
        for (int i = 0; i < 16; i++) to[16 + i] = scale * (float)iq4_values[q[i] >> 4];
    }
}

/* ---- rows
 * ---------------------------------------------------------------------------------------- */

/* Formats with blocks: name, its decoder, weights and bytes per block. */
#define WR_BLOCK_DECODERS(X)                                                                       \
    X(Q4_0, decode_q4_0, 32, 18)                                                                   \
    X(Q4_1, decode_q4_1, 32, 20)                                                                   \
    X(Q5_0, decode_q5_0, 32, 22)                                                                   \
    X(Q5_1, decode_q5_1, 32, 24)                                                                   \
    X(Q8_0, decode_q8_0, 32, 34)                                                                   \
    X(Q2_K, decode_q2_k, 256, 84)                                                                  \
    X(Q3_K, decode_q3_k, 256, 110)                                                                 \
    X(Q4_K, decode_q4_k, 256, 144)                                                                 \
    X(Q5_K, decode_q5_k, 256, 176)                                                                 \
    X(Q6_K, decode_q6_k, 256, 210)                                                                 \
    X(IQ4_NL, decode_iq4_nl, 32, 18)                                                               \
    X(IQ4_XS, decode_iq4_xs, 256, 136)                                                             \
    X(MXFP4, decode_mxfp4, 32, 17)

#endif
