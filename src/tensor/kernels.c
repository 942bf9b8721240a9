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

int32_t wr_attention_tile(int32_t heads) {
    return heads < WR_TILE_QUERIES ? WR_TILE_QUERIES / heads : 1;
}

static int64_t padded(int64_t n, int64_t block) { return (n + block - 1) / block * block; }

int64_t wr_attention_scratch(int32_t heads, int32_t key_dim, int32_t value_dim) {
    const int64_t queries = padded((int64_t)heads * wr_attention_tile(heads), WR_QUERY_BLOCK);
    const int64_t value = padded(value_dim, WR_VALUE_BLOCK);
    /* Of each query itself, its output, and its maximum, sum and shrinkage; a page's keys and
     * values in floats; the scores of a block of queries against a page. */
    return queries * (key_dim + value + 3) + WR_PAGE_TOKENS * (key_dim + value) +
           WR_PAGE_TOKENS * WR_QUERY_BLOCK;
}
