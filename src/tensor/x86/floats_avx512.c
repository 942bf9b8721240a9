/* Products of float weights with AVX-512. */
#define WR_WIDE_TILE 1

#include "tensor/lanes/floats.h"
#include "tensor/x86/simd_avx512.h"

#include "tensor/lanes/floats_lanes.h"

void wr_avx512_floats_product(const wr_product *job) { multiply_floats(job); }
