/*
 * Which table a level has, and how much scratch their members share.
 */
#include "tensor/kernels.h"

#include "tensor/scalar.h"

/* To add a table: its file, its level in base/cpu.h, its line here. */
static const wr_kernels *const tables[WR_CPU_LEVELS] = {
    [WR_CPU_SCALAR] = &wr_kernels_scalar,
#ifdef WR_X86_KERNELS
    [WR_CPU_AVX2] = &wr_kernels_avx2,
    [WR_CPU_AVX512] = &wr_kernels_avx512,
#endif
};

const wr_kernels *wr_kernels_get(wr_cpu_level level) {
    int at = (unsigned)level < WR_CPU_LEVELS ? (int)level : WR_CPU_LEVELS - 1;
    while (tables[at] == NULL) at--;
    return tables[at];
}

int64_t wr_matmul_scratch(int64_t columns) {
    int64_t padded = (columns + WR_TILE_COLUMNS - 1) / WR_TILE_COLUMNS * WR_TILE_COLUMNS;
    return WR_TILE_ROWS * padded + (int64_t)WR_TILE_ROWS * WR_TILE_BATCH * WR_LANES;
}

int64_t wr_attention_scratch(int32_t heads, int32_t key_dim, int32_t value_dim, int32_t tile) {
    int64_t padded = ((int64_t)tile + WR_LANES - 1) / WR_LANES * WR_LANES;
    int64_t row = key_dim > value_dim ? key_dim : value_dim;
    /* scores of a tile; maximum, sum and shrinkage of each head; one row in floats */
    return heads * padded + 3 * (int64_t)heads + row;
}
