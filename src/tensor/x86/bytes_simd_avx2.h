/*
 * What the templates of integer products need of AVX2, FMA and F16C: as bytes_simd_avx512.h, every
 * vector in two halves of 8 rows.
 */
#ifndef WR_BYTES_SIMD_AVX2_H
#define WR_BYTES_SIMD_AVX2_H

#include <stdint.h>

#include "tensor/x86/lanes.h"

typedef struct codes {
    __m256i low, high; /* rows 0-7, 8-15 */
} codes;
typedef codes sums;
typedef __m256i words;
typedef struct floats {
    __m256 low, high;
} floats;

INLINE codes c_load(const void *p) {
    return (codes){_mm256_load_si256(p), _mm256_load_si256((const __m256i *)p + 1)};
}
INLINE void c_store(void *p, codes c) {
    _mm256_store_si256(p, c.low);
    _mm256_store_si256((__m256i *)p + 1, c.high);
}
INLINE codes c_and(codes c, int mask) {
    const __m256i all = _mm256_set1_epi8((char)mask);
    return (codes){_mm256_and_si256(c.low, all), _mm256_and_si256(c.high, all)};
}
INLINE codes c_or(codes a, codes b) {
    return (codes){_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
INLINE codes c_add(codes c, int n) {
    const __m256i all = _mm256_set1_epi8((char)n);
    return (codes){_mm256_add_epi8(c.low, all), _mm256_add_epi8(c.high, all)};
}
INLINE codes c_flip(codes c) {
    const __m256i all = _mm256_set1_epi8((char)128);
    return (codes){_mm256_xor_si256(c.low, all), _mm256_xor_si256(c.high, all)};
}
INLINE codes c_shift(codes c, int n) {
    if (n == 0) return c;
    if (n > 0) return (codes){_mm256_srli_epi16(c.low, n), _mm256_srli_epi16(c.high, n)};
    return (codes){_mm256_slli_epi16(c.low, -n), _mm256_slli_epi16(c.high, -n)};
}
INLINE codes c_shift_by(codes c, int64_t n) {
    const __m128i count = _mm_cvtsi64_si128(n);
    return (codes){_mm256_srl_epi16(c.low, count), _mm256_srl_epi16(c.high, count)};
}
INLINE codes c_bits(codes c, int n, int mask) { return c_and(c_shift(c, n), mask); }
INLINE codes c_lookup(const uint8_t table[16], codes c) {
    const __m256i t =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    return (codes){_mm256_shuffle_epi8(t, c.low), _mm256_shuffle_epi8(t, c.high)};
}
/* n in the bytes whose bit of 32 is set */
INLINE __m256i bytes_where(uint32_t mask, int n) {
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), which);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8((char)n));
}
INLINE codes c_add_where(codes c, const uint8_t *mask, int n) {
    uint32_t halves[2];
    __builtin_memcpy(halves, mask, 8);
    return (codes){_mm256_add_epi8(c.low, bytes_where(halves[0], n)),
                   _mm256_add_epi8(c.high, bytes_where(halves[1], n))};
}

INLINE words c_words(const void *q) {
    int32_t word;
    __builtin_memcpy(&word, q, 4);
    return _mm256_set1_epi32(word);
}

INLINE sums i_zero(void) { return (sums){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
INLINE sums i_all(const void *number) {
    const __m256i all = c_words(number);
    return (sums){all, all};
}
INLINE sums i_load(const void *p) { return c_load(p); }
INLINE void i_keep(void *p, sums a) { c_store(p, a); }
INLINE sums i_add(sums a, sums b) {
    return (sums){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
INLINE sums i_mul(sums a, sums b) {
    return (sums){_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}
INLINE sums i_shift(sums a, int n) {
    return (sums){_mm256_srai_epi32(a.low, n), _mm256_srai_epi32(a.high, n)};
}

INLINE floats f_zero(void) { return (floats){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE floats f_all(const void *number) {
    float value;
    __builtin_memcpy(&value, number, 4);
    return (floats){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}
INLINE floats f_load(const void *p) {
    return (floats){_mm256_load_ps(p), _mm256_load_ps((const float *)p + 8)};
}
INLINE void f_keep(void *p, floats a) {
    _mm256_store_ps(p, a.low);
    _mm256_store_ps((float *)p + 8, a.high);
}
INLINE void f_store(float *p, floats a, int n) {
    if (n >= 16) {
        _mm256_storeu_ps(p, a.low);
        _mm256_storeu_ps(p + 8, a.high);
        return;
    }
    float all[16];
    _mm256_storeu_ps(all, a.low);
    _mm256_storeu_ps(all + 8, a.high);
    for (int i = 0; i < n; i++) p[i] = all[i];
}
INLINE floats f_mul(floats a, floats b) {
    return (floats){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
INLINE floats f_fma(floats a, floats b, floats c) {
    return (floats){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
INLINE floats f_negative(floats a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (floats){_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}
INLINE floats f_of_sums(sums a) {
    return (floats){_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
INLINE floats f_halves(const void *p) {
    return (floats){_mm256_cvtph_ps(_mm_load_si128(p)),
                    _mm256_cvtph_ps(_mm_load_si128((const __m128i *)p + 1))};
}
INLINE __m256i bits_of_8(__m256i wide, int shift, int mask) {
    return _mm256_and_si256(_mm256_srli_epi32(wide, shift), _mm256_set1_epi32(mask));
}
INLINE sums i_bytes(const void *p, int shift, int mask) {
    const __m128i all = _mm_load_si128(p);
    return (sums){bits_of_8(_mm256_cvtepu8_epi32(all), shift, mask),
                  bits_of_8(_mm256_cvtepu8_epi32(_mm_srli_si128(all, 8)), shift, mask)};
}
INLINE sums i_signed_bytes(const void *p) {
    const __m128i all = _mm_load_si128(p);
    return (sums){_mm256_cvtepi8_epi32(all), _mm256_cvtepi8_epi32(_mm_srli_si128(all, 8))};
}
INLINE __m256 powers_of_8(__m256i e) {
    const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i usual = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(usual, tiny, small));
}
INLINE floats f_powers(const void *p) {
    const __m128i all = _mm_load_si128(p);
    return (floats){powers_of_8(_mm256_cvtepu8_epi32(all)),
                    powers_of_8(_mm256_cvtepu8_epi32(_mm_srli_si128(all, 8)))};
}

#endif
