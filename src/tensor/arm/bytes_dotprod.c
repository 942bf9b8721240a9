/*
 * Products of quantised weights with NEON's dot products: four products of signed bytes and their
 * sum at once.
 */
#include <stdbool.h>

#include "tensor/arm/bytes_simd_neon.h"
#include "tensor/arm/products_neon.h"
#include "tensor/arm/tile_sizes.h"

/* Codes of 8 bits are taken as u - 128; others fit a signed byte as they are. */
INLINE int32x4_t dot_of_4(int32x4_t sum, uint8x16_t w, words x, bool wide) {
    return vdotq_s32(sum, vreinterpretq_s8_u8(wide ? veorq_u8(w, vdupq_n_u8(128)) : w), x);
}

INLINE sums c_dot(sums sum, codes w, words x, bool wide) {
    return (sums){dot_of_4(sum.a, w.a, x, wide), dot_of_4(sum.b, w.b, x, wide),
                  dot_of_4(sum.c, w.c, x, wide), dot_of_4(sum.d, w.d, x, wide)};
}

#include "tensor/lanes/tiles_lanes.h"

void wr_dotprod_bytes_product(const wr_product *job) { multiply_bytes(job); }
