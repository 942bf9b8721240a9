/*
 * What the templates of integer products need of AVX-512 (F, BW, DQ, VL).
 *
 *   codes    64 unsigned bytes: 4 columns of each of 16 rows
 *   words    4 bytes of an input, for all rows the same
 *   sums     16 sums of products, one a row
 *   floats   16 floats, one a row
 *
 * The including file defines c_dot(), and SIGNED_WIDE (tiles_lanes.h) to go with it.
 */
#ifndef WR_BYTES_SIMD_AVX512_H
#define WR_BYTES_SIMD_AVX512_H

#include <stdint.h>

#include "tensor/x86/lanes.h"

typedef __m512i codes;
typedef __m512i words;
typedef __m512i sums;
typedef __m512 floats;

INLINE codes c_load(const void *p) { return _mm512_load_si512(p); }
INLINE void c_store(void *p, codes c) { _mm512_store_si512(p, c); }
INLINE codes c_and(codes c, int mask) { return _mm512_and_si512(c, _mm512_set1_epi8((char)mask)); }
INLINE codes c_or(codes a, codes b) { return _mm512_or_si512(a, b); }
INLINE codes c_add(codes c, int n) { return _mm512_add_epi8(c, _mm512_set1_epi8((char)n)); }
/* c +- 128: signed and unsigned bytes */
INLINE codes c_flip(codes c) { return _mm512_xor_si512(c, _mm512_set1_epi8((char)128)); }
/* To the right by n, to the left by -n; what crosses into the next byte must be masked. */
INLINE codes c_shift(codes c, int n) {
    const unsigned right = n > 0 ? (unsigned)n : 0, left = n < 0 ? (unsigned)(-n) : 0;
    if (n == 0) return c;
    return n > 0 ? _mm512_srli_epi32(c, right) : _mm512_slli_epi32(c, left);
}
/* To the right by an n that is no constant. */
INLINE codes c_shift_by(codes c, int64_t n) { return _mm512_srl_epi16(c, _mm_cvtsi64_si128(n)); }
/* (c shifted) & mask */
INLINE codes c_bits(codes c, int n, int mask) { return c_and(c_shift(c, n), mask); }
/* table[c], c < 16 */
INLINE codes c_lookup(const uint8_t table[16], codes c) {
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), c);
}
/* c + n where the mask's bit is set, bit i for byte i; c and n share no bit. */
INLINE codes c_add_where(codes c, const uint8_t *mask, int n) {
    __mmask64 where = _cvtu64_mask64(*(const uint64_t *)(const void *)mask);
    return _mm512_mask_add_epi8(c, where, c, _mm512_set1_epi8((char)n));
}

INLINE words c_words(const void *q) {
    int32_t word;
    __builtin_memcpy(&word, q, 4);
    return _mm512_set1_epi32(word);
}

INLINE sums i_zero(void) { return _mm512_setzero_si512(); }
INLINE sums i_all(const void *number) { return c_words(number); }
INLINE sums i_load(const void *p) { return _mm512_load_si512(p); }
INLINE void i_keep(void *p, sums a) { _mm512_store_si512(p, a); } /* aligned */
INLINE sums i_add(sums a, sums b) { return _mm512_add_epi32(a, b); }
INLINE sums i_mul(sums a, sums b) { return _mm512_mullo_epi32(a, b); }
INLINE sums i_shift(sums a, int n) { return n == 0 ? a : _mm512_srai_epi32(a, (unsigned)n); }

INLINE floats f_zero(void) { return _mm512_setzero_ps(); }
INLINE floats f_all(const void *number) {
    float value;
    __builtin_memcpy(&value, number, 4);
    return _mm512_set1_ps(value);
}
INLINE floats f_load(const void *p) { return _mm512_load_ps(p); }
INLINE void f_keep(void *p, floats a) { _mm512_store_ps(p, a); } /* aligned */
/* The first n of 16, to anywhere. */
INLINE void f_store(float *p, floats a, int n) {
    if (n >= 16)
        _mm512_storeu_ps(p, a);
    else
        _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a);
}
INLINE floats f_mul(floats a, floats b) { return _mm512_mul_ps(a, b); }
INLINE floats f_fma(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
INLINE floats f_negative(floats a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
INLINE floats f_of_sums(sums a) { return _mm512_cvtepi32_ps(a); }
INLINE floats f_halves(const void *p) { return _mm512_cvtph_ps(_mm256_load_si256(p)); }
/* 16 bytes, (unsigned) shifted and masked, or signed. */
INLINE sums i_bytes(const void *p, int shift, int mask) {
    __m512i wide = _mm512_cvtepu8_epi32(_mm_load_si128(p));
    if (shift > 0) wide = _mm512_srli_epi32(wide, (unsigned)shift);
    if (mask < 255) wide = _mm512_and_si512(wide, _mm512_set1_epi32(mask));
    return wide;
}
INLINE sums i_signed_bytes(const void *p) { return _mm512_cvtepi8_epi32(_mm_load_si128(p)); }
/* 2^(e - 128) for 16 bytes e (mxfp4_scale). */
INLINE floats f_powers(const void *p) {
    const __m512i e = _mm512_cvtepu8_epi32(_mm_load_si128(p)), two = _mm512_set1_epi32(2);
    const __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    const __m512i usual = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(e, two), usual, tiny));
}

#endif
