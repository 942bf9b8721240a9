/*
 * Products of float weights by CPU level. Each takes every job whose format is among those named.
 */
#ifndef WR_FLOATS_H
#define WR_FLOATS_H

#include "tensor/kernels.h"

static inline bool wr_is_floats(wr_format format) {
    return format == WR_F32 || format == WR_F16 || format == WR_BF16;
}

/* F32, F16, BF16; inputs are floats. */
void wr_avx2_floats_product(const wr_product *job);
void wr_avx512_floats_product(const wr_product *job);

/* BF16; inputs are bf16. */
void wr_amx_pairs_prepare(const float *x, int64_t columns, void *out);
void wr_amx_pairs_product(const wr_product *job);

#endif
