/*
 * Weights of a block in vectors. A template over the vector of simd_*.h; included by each table.
 *
 * For every format with blocks: prepare_X computes what a block's weights share, weights_X gives
 * 32 of its weights ("piece" is which 32), by the same float32 operations as decode_blocks.h, so
 * with the same bits; the layouts are explained there.
 */
#ifndef WR_WEIGHTS_LANES_H
#define WR_WEIGHTS_LANES_H

#include "tensor/decode_blocks.h"

/* Scale and minimum of up to 16 runs: w = d * q - m. */
typedef struct shared {
    float d[16], m[16];
} shared;

enum { PIECE_VECS = 2 * VECS };

static const int8_t values_from_0[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const int8_t values_from_8[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

INLINE __m128i load_16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

/* (bytes >> shift) & mask */
INLINE __m128i bits_of(__m128i bytes, int shift, int mask) {
    __m128i shifted = _mm_srl_epi16(bytes, _mm_cvtsi32_si128(shift));
    return _mm_and_si128(shifted, _mm_set1_epi8((char)mask));
}

/* 16 weights d * q, or d * q - m. */
INLINE void scaled(__m128i q, float d, vec *w) {
    v_of_bytes(q, w);
    for (int i = 0; i < VECS; i++) w[i] = v_mul(v_all(d), w[i]);
}
INLINE void scaled_less(__m128i q, float d, float m, vec *w) {
    scaled(q, d, w);
    for (int i = 0; i < VECS; i++) w[i] = v_sub(w[i], v_all(m));
}

/* 32 weights by 16 bytes of codes. */
INLINE void coded(const uint8_t *q, code_table table, vec *w) {
    low_codes(q, table, w);
    high_codes(q, table, w + VECS);
}

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

INLINE void prepare_d(const uint8_t *b, shared *s) { s->d[0] = half_at(b); }
INLINE void prepare_d_m(const uint8_t *b, shared *s) {
    s->d[0] = half_at(b);
    s->m[0] = -half_at(b + 2); /* x - (-m) is x + m */
}

#define prepare_q8_0 prepare_d
INLINE void weights_q8_0(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    const vec d = v_all(s->d[0]);
    for (int i = 0; i < PIECE_VECS; i++) w[i] = v_mul(d, v_load_i8(b + 2 + i * LANES));
}

#define prepare_q4_0 prepare_d
INLINE void weights_q4_0(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    coded(b + 2, table_of(values_from_8, s->d[0], 0), w);
}

#define prepare_q4_1 prepare_d_m
INLINE void weights_q4_1(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    coded(b + 4, table_of(values_from_0, s->d[0], s->m[0]), w);
}

#define prepare_iq4_nl prepare_d
INLINE void weights_iq4_nl(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    coded(b + 2, table_of(iq4_values, s->d[0], 0), w);
}

INLINE void prepare_mxfp4(const uint8_t *b, shared *s) { s->d[0] = mxfp4_scale(b[0]); }
INLINE void weights_mxfp4(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    coded(b + 1, table_of(mxfp4_values, s->d[0], 0), w);
}

/* 16 in the bytes whose bit is set. */
INLINE __m128i fifth_bits(uint32_t bits) {
    const __m128i which = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m128i mask = _mm_set1_epi64x((int64_t)0x8040201008040201u);
    __m128i spread = _mm_shuffle_epi8(_mm_cvtsi32_si128((int)bits), which);
    __m128i set = _mm_cmpeq_epi8(_mm_and_si128(spread, mask), mask);
    return _mm_and_si128(set, _mm_set1_epi8(16));
}

#define prepare_q5_0 prepare_d
INLINE void weights_q5_0(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    const uint32_t fifth = load_u32(b + 2);
    const __m128i q = load_16(b + 6), middle = _mm_set1_epi8(16);
    __m128i low = _mm_or_si128(bits_of(q, 0, 15), fifth_bits(fifth));
    __m128i high = _mm_or_si128(bits_of(q, 4, 15), fifth_bits(fifth >> 16));
    scaled(_mm_sub_epi8(low, middle), s->d[0], w);
    scaled(_mm_sub_epi8(high, middle), s->d[0], w + VECS);
}

#define prepare_q5_1 prepare_d_m
INLINE void weights_q5_1(const uint8_t *b, int piece, const shared *s, vec *w) {
    (void)piece;
    const uint32_t fifth = load_u32(b + 4);
    const __m128i q = load_16(b + 8);
    __m128i low = _mm_or_si128(bits_of(q, 0, 15), fifth_bits(fifth));
    __m128i high = _mm_or_si128(bits_of(q, 4, 15), fifth_bits(fifth >> 16));
    scaled_less(low, s->d[0], s->m[0], w);
    scaled_less(high, s->d[0], s->m[0], w + VECS);
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

INLINE void prepare_q2_k(const uint8_t *b, shared *s) {
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    for (int i = 0; i < 16; i++) s->d[i] = d * (float)(b[i] & 15);
    for (int i = 0; i < 16; i++) s->m[i] = dmin * (float)(b[i] >> 4);
}
INLINE void weights_q2_k(const uint8_t *b, int piece, const shared *s, vec *w) {
    const uint8_t *q = b + 16 + piece / 4 * 32;
    for (int i = 0; i < 2; i++) {
        int run = 2 * piece + i;
        scaled_less(bits_of(load_16(q + 16 * i), piece % 4 * 2, 3), s->d[run], s->m[run],
                    w + i * VECS);
    }
}

/* Four bytes of scales at a time, as q3_k_scale and q4_k_scale read them one by one. */
INLINE void prepare_q3_k(const uint8_t *b, shared *s) {
    const float d = half_at(b + 108);
    const int first = (int)load_u32(b + 96), second = (int)load_u32(b + 100);
    const int upper = (int)load_u32(b + 104);
    __m128i low = _mm_setr_epi32(first, second, first >> 4, second >> 4);
    __m128i high = _mm_setr_epi32(upper, upper >> 2, upper >> 4, upper >> 6);
    low = bits_of(low, 0, 15);
    high = _mm_slli_epi16(bits_of(high, 0, 3), 4);
    vec all[VECS];
    scaled(_mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32)), d, all);
    for (int i = 0; i < VECS; i++) v_store(s->d + i * LANES, all[i]);
}
INLINE void weights_q3_k(const uint8_t *b, int piece, const shared *s, vec *w) {
    const uint8_t *q = b + 32 + piece / 4 * 32;
    for (int i = 0; i < 2; i++) {
        __m128i third = _mm_slli_epi16(bits_of(load_16(b + 16 * i), piece, 1), 2);
        __m128i low = bits_of(load_16(q + 16 * i), piece % 4 * 2, 3);
        __m128i value = _mm_sub_epi8(_mm_add_epi8(low, third), _mm_set1_epi8(4));
        scaled(value, s->d[2 * piece + i], w + i * VECS);
    }
}

/* d, dmin and the 12 bytes, which Q4_K and Q5_K have alike. */
INLINE void prepare_q4_k(const uint8_t *b, shared *s) {
    const uint32_t first = load_u32(b + 4), second = load_u32(b + 8), third = load_u32(b + 12);
    const uint32_t six = 0x3f3f3f3fu, four = 0x0f0f0f0fu, upper = 0x30303030u;
    const uint32_t scale = (third & four) | (first >> 2 & upper);
    const uint32_t minimum = (third >> 4 & four) | (second >> 2 & upper);
    __m128i q = _mm_setr_epi32((int)(first & six), (int)scale, (int)(second & six), (int)minimum);
    __m256 scales = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(q));
    __m256 minima = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(q, 8)));
    _mm256_storeu_ps(s->d, _mm256_mul_ps(_mm256_set1_ps(half_at(b)), scales));
    _mm256_storeu_ps(s->m, _mm256_mul_ps(_mm256_set1_ps(half_at(b + 2)), minima));
}
INLINE void weights_q4_k(const uint8_t *b, int piece, const shared *s, vec *w) {
    const uint8_t *q = b + 16 + piece / 2 * 32;
    const code_table table = table_of(values_from_0, s->d[piece], s->m[piece]);
    for (int i = 0; i < 2; i++) {
        if (piece % 2 == 0) low_codes(q + 16 * i, table, w + i * VECS);
        if (piece % 2 == 1) high_codes(q + 16 * i, table, w + i * VECS);
    }
}

#define prepare_q5_k prepare_q4_k
INLINE void weights_q5_k(const uint8_t *b, int piece, const shared *s, vec *w) {
    const uint8_t *q = b + 48 + piece / 2 * 32;
    for (int i = 0; i < 2; i++) {
        __m128i fifth = _mm_slli_epi16(bits_of(load_16(b + 16 + 16 * i), piece, 1), 4);
        __m128i low = bits_of(load_16(q + 16 * i), piece % 2 * 4, 15);
        scaled_less(_mm_or_si128(low, fifth), s->d[piece], s->m[piece], w + i * VECS);
    }
}

INLINE void prepare_q6_k(const uint8_t *b, shared *s) {
    const float d = half_at(b + 208);
    for (int i = 0; i < 16; i++) s->d[i] = d * (float)(int8_t)b[192 + i];
}
INLINE void weights_q6_k(const uint8_t *b, int piece, const shared *s, vec *w) {
    const int half = piece / 4, plane = piece % 4;
    for (int i = 0; i < 2; i++) {
        __m128i low = load_16(b + half * 64 + plane % 2 * 32 + 16 * i);
        __m128i high = load_16(b + 128 + half * 32 + 16 * i);
        low = bits_of(low, plane / 2 * 4, 15);
        high = _mm_slli_epi16(bits_of(high, plane * 2, 3), 4);
        __m128i value = _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
        scaled(value, s->d[2 * piece + i], w + i * VECS);
    }
}

INLINE void prepare_iq4_xs(const uint8_t *b, shared *s) {
    const float d = half_at(b);
    for (int i = 0; i < 8; i++) s->d[i] = d * (float)iq4_xs_scale(b, i);
}
INLINE void weights_iq4_xs(const uint8_t *b, int piece, const shared *s, vec *w) {
    coded(b + 8 + piece * 16, table_of(iq4_values, s->d[piece], 0), w);
}

/* Formats with blocks: name, functions, weights and bytes per block. */
#define WR_LANES_FORMATS(X)                                                                        \
    X(Q4_0, q4_0, 32, 18)                                                                          \
    X(Q4_1, q4_1, 32, 20)                                                                          \
    X(Q5_0, q5_0, 32, 22)                                                                          \
    X(Q5_1, q5_1, 32, 24)                                                                          \
    X(Q8_0, q8_0, 32, 34)                                                                          \
    X(Q2_K, q2_k, 256, 84)                                                                         \
    X(Q3_K, q3_k, 256, 110)                                                                        \
    X(Q4_K, q4_k, 256, 144)                                                                        \
    X(Q5_K, q5_k, 256, 176)                                                                        \
    X(Q6_K, q6_k, 256, 210)                                                                        \
    X(IQ4_NL, iq4_nl, 32, 18)                                                                      \
    X(IQ4_XS, iq4_xs, 256, 136)                                                                    \
    X(MXFP4, mxfp4, 32, 17)

/* Formats of single weights: name, loads of a whole and of a part of a vector, bytes per weight. */
#define WR_LANES_FLOATS(X)                                                                         \
    X(F32, v_load, v_load_part, 4)                                                                 \
    X(F16, v_load_half, v_load_half_part, 2)                                                       \
    X(BF16, v_load_bf16, v_load_bf16_part, 2)

#endif
