/*
 * Products of quantised weights with NEON alone: products in 16 bits, summed by pairs, twice.
 */
#include <stdbool.h>

#include "tensor/arm/bytes_simd_neon.h"
#include "tensor/arm/products_neon.h"
#include "tensor/arm/tile_sizes.h"

/* Codes of 8 bits are taken as u - 128; others fit a signed byte as they are. */
INLINE int32x4_t dot_of_4(int32x4_t sum, uint8x16_t w, words x, bool wide) {
    const int8x16_t q = vreinterpretq_s8_u8(wide ? veorq_u8(w, vdupq_n_u8(128)) : w);
    const int16x8_t low = vmull_s8(vget_low_s8(q), vget_low_s8(x));
    const int16x8_t high = vmull_s8(vget_high_s8(q), vget_high_s8(x));
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

INLINE sums c_dot(sums sum, codes w, words x, bool wide) {
    return (sums){dot_of_4(sum.a, w.a, x, wide), dot_of_4(sum.b, w.b, x, wide),
                  dot_of_4(sum.c, w.c, x, wide), dot_of_4(sum.d, w.d, x, wide)};
}

#include "tensor/lanes/tiles_lanes.h"

void wr_neon_bytes_product(const wr_product *job) { multiply_bytes(job); }
