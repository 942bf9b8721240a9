/* Products of float weights with AVX2. */
#define WR_WIDE_TILE 0

#include "tensor/lanes/floats.h"
#include "tensor/x86/simd_avx2.h"

#include "tensor/lanes/floats_lanes.h"

void wr_avx2_floats_product(const wr_product *job) { multiply_floats(job); }
