/*
 * Which table a level has, and how much scratch their members share.
 */
#include "tensor/kernels.h"

#include <pthread.h>

#include "tensor/scalar.h"

/* To add a table: its file, its level in base/cpu.h, its line here. A member that a table leaves
 * out is that of the level below. */
static const wr_kernels *const tables[WR_CPU_LEVELS] = {
    [WR_CPU_SCALAR] = &wr_kernels_scalar,
#ifdef WR_X86_KERNELS
    [WR_CPU_AVX2] = &wr_kernels_avx2,       [WR_CPU_AVX512] = &wr_kernels_avx512,
    [WR_CPU_VNNI] = &wr_kernels_avx512vnni, [WR_CPU_AMX] = &wr_kernels_amx,
#endif
#ifdef WR_ARM_KERNELS
    [WR_CPU_NEON] = &wr_kernels_neon,       [WR_CPU_DOTPROD] = &wr_kernels_dotprod,
#endif
};

static wr_kernels whole[WR_CPU_LEVELS];
static pthread_once_t inherited = PTHREAD_ONCE_INIT;

#define INHERIT(member)                                                                            \
    if (at->member == NULL) at->member = below->member

static void inherit_from(wr_kernels *at, const wr_kernels *below) {
    at->reads_panels = at->reads_panels || below->reads_panels;
    INHERIT(decode);
    INHERIT(input_of);
    INHERIT(prepare);
    INHERIT(product);
    INHERIT(rms_norm);
    INHERIT(layer_norm);
    INHERIT(add);
    INHERIT(multiply);
    INHERIT(scale);
    INHERIT(silu);
    INHERIT(gelu);
    INHERIT(gelu_tanh);
    INHERIT(softmax);
    INHERIT(log_sum_exp);
    INHERIT(rotate);
    INHERIT(kv_write);
    INHERIT(kv_read);
    INHERIT(kv_write_key);
    INHERIT(kv_read_key);
    INHERIT(attend);
}

static void inherit_all(void) {
    whole[0] = *tables[0];
    for (int level = 1; level < WR_CPU_LEVELS; level++) {
        if (tables[level] == NULL) {
            whole[level] = whole[level - 1]; /* its name and level too */
            continue;
        }
        whole[level] = *tables[level];
        inherit_from(&whole[level], &whole[level - 1]);
    }
}

const wr_kernels *wr_kernels_get(wr_cpu_level level) {
    pthread_once(&inherited, inherit_all);
    return &whole[(unsigned)level < WR_CPU_LEVELS ? (int)level : WR_CPU_LEVELS - 1];
}

size_t wr_input_bytes(wr_input input, int64_t columns) {
    size_t n = (size_t)columns;
    size_t bytes = n * 4;
    if (input == WR_INPUT_BYTES) bytes = n / 32 * 44;    /* wr_bytes */
    if (input == WR_INPUT_BLOCKS) bytes = n / 256 * 516; /* wr_blocks */
    if (input == WR_INPUT_BF16) bytes = (n + 1) / 2 * 4;
    return (bytes + 63) / 64 * 64;
}

size_t wr_product_scratch(int64_t columns) {
    /* A panel packed on the way, at most floats; its codes as bytes; a tile of weights or sums. */
    size_t n = ((size_t)columns + 63) / 64 * 64;
    return n * WR_PANEL_ROWS * 4 + n * WR_PANEL_ROWS + (n < 256 ? n : 256) * 8 * WR_PANEL_ROWS * 4;
}

int32_t wr_attention_tile(int32_t heads) {
    return heads < WR_TILE_QUERIES ? WR_TILE_QUERIES / heads : 1;
}

static int64_t padded(int64_t n, int64_t block) { return (n + block - 1) / block * block; }

int64_t wr_attention_scratch(int32_t heads, int32_t key_dim, int32_t value_dim) {
    const int64_t queries = padded((int64_t)heads * wr_attention_tile(heads), WR_QUERY_BLOCK);
    const int64_t value = padded(value_dim, WR_VALUE_BLOCK);
    /* Of each query itself, its output, its maximum and sum, its span, its slope and place, and the
     * shrinkage of a block;
     * a page's keys and values in floats; the scores of a block of queries against a page. */
    const int64_t tile = queries * (key_dim + value + 7) + WR_PAGE_TOKENS * (key_dim + value) +
                         WR_PAGE_TOKENS * WR_QUERY_BLOCK;
    /* For a token alone its queries, a maximum and a sum for each lane of a part, one head or more;
     * the scores of up to 8 heads, and two vectors. */
    const int64_t token = heads * (key_dim + 2 * WR_PAGE_TOKENS) + 10 * WR_PAGE_TOKENS;
    return tile > token ? tile : token;
}
