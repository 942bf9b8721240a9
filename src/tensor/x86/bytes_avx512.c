/*
 * Products of quantised weights with AVX-512 without VNNI: pairs of products in 16 bits.
 *
 * VPMADDUBSW adds two products of an unsigned and a signed byte, and saturates. Codes of 6 bits at
 * most (offset 32) cannot: 2 * 63 * 127. Codes of 8 bits give |w| <= 128 and their sign to the
 * input: 2 * 128 * 127 = 32512 is just below 2^15.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/x86/bytes_simd_avx512.h"

#define UNPACKED_OFFSET 32
#define SIGNED_WIDE 1
#define TILE_PANELS 2
#define TILE_INPUTS 4
#define DIRECT_INPUTS 4
#define DIRECT_BATCH 4
#define SIDE_BY_SIDE(KIND) 4
#define EACH_DIRECT(X, K, n, p) X(K, n, p, 1) X(K, n, p, 2) X(K, n, p, 4)
#define EACH_UNPACKED(X, K, n, p) X(K, n, p, 1) X(K, n, p, 2) X(K, n, p, 3) X(K, n, p, 4)

#include <stdbool.h>

INLINE sums c_dot(sums sum, codes w, words x, bool wide) {
    if (wide) {
        w = _mm512_xor_si512(w, _mm512_set1_epi8((char)128));
        x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
        w = _mm512_abs_epi8(w);
    }
    const __m512i pairs = _mm512_maddubs_epi16(w, x);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#include "tensor/lanes/tiles_lanes.h"

void wr_avx512_bytes_product(const wr_product *job) { multiply_bytes(job); }
