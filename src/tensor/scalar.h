/*
 * The tables, what they share of the scalar one, and the constants in every table's formulas.
 */
#ifndef WR_SCALAR_H
#define WR_SCALAR_H

#include "tensor/kernels.h"

extern const wr_kernels wr_kernels_scalar;
#ifdef WR_X86_KERNELS
extern const wr_kernels wr_kernels_avx2;
extern const wr_kernels wr_kernels_avx512;
extern const wr_kernels wr_kernels_avx512vnni;
extern const wr_kernels wr_kernels_amx;
#endif
#ifdef WR_ARM_KERNELS
extern const wr_kernels wr_kernels_neon;
extern const wr_kernels wr_kernels_dotprod;
#endif

enum {
    WR_LANES = 16,         /* of the widest vector: scratch is padded to it */
    WR_TILE_QUERIES = 128, /* queries, tokens times heads, that one tile of attention aims at */
    WR_QUERY_BLOCK = 32,   /* queries that it computes together at most */
    WR_VALUE_BLOCK = 8     /* elements of a value that it sums together */
};

#define WR_GELU_ROOT 0.797884560802865355879892f /* sqrt(2 / pi) */
#define WR_GELU_CUBE 0.044715f

wr_input wr_scalar_input_of(wr_format format);
void wr_scalar_prepare(wr_input input, const float *x, int64_t columns, void *out);
void wr_scalar_product(const wr_product *job);
void wr_scalar_kv_read(wr_kv_type type, const void *row, float *x, int32_t dim);
void wr_scalar_kv_read_key(wr_kv_type type, const void *keys, int32_t place, float *x, int32_t dim);
void wr_scalar_attend(const wr_attention *job);

#endif
