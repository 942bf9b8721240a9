/* Products of float weights with NEON. */
#define WR_WIDE_TILE 0

#include "tensor/arm/products_neon.h"
#include "tensor/arm/simd_neon.h"

#include "tensor/lanes/floats_lanes.h"

void wr_neon_floats_product(const wr_product *job) { multiply_floats(job); }
