/*
 * Inputs as bytes and products of quantised weights, by level: each in a file of its own, as their
 * compilation takes long and needs its own flags.
 */
#ifndef WR_BYTES_H
#define WR_BYTES_H

#include "tensor/kernels.h"

void wr_avx2_prepare_bytes(const float *x, int64_t columns, void *out);

void wr_avx2_bytes_product(const wr_product *job);
void wr_avx512_bytes_product(const wr_product *job);
void wr_vnni_bytes_product(const wr_product *job);
void wr_amx_bytes_product(const wr_product *job);

#endif
