/*
 * C[m, n] (+)= A[m, k] B[k, n] in registers: TILE_ROWS rows of A by up to TILE_VECTORS vectors of
 * B's columns. Numbers of A are broadcast, so A may lie either way; B is read in vectors.
 *
 * Every number of C is one chain of multiply-adds over k, whatever tile it falls in.
 */
#include "train/kernels/lanes/train_simd.h"

/* What fits the registers: 24 sums, three vectors of B and a number of A in 32 of them. */
#ifdef WR_FEW_REGISTERS
enum { TILE_ROWS = 4, TILE_VECTORS = 3 };
#else
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#endif

/* `some` numbers of the last vector exist. */
INLINE lanes tile_load(const real *x, int v, int vectors, int64_t some) {
    const real *at = x + v * (int)LANES;
    return v == vectors - 1 && some < (int)LANES ? load_some(at, some) : load(at);
}
INLINE void tile_store(real *x, lanes value, int v, int vectors, int64_t some) {
    real *at = x + v * (int)LANES;
    if (v == vectors - 1 && some < (int)LANES)
        store_some(at, value, some);
    else
        store(at, value);
}

INLINE void product_tile(const wr_small_product *job, int64_t i, int64_t j, int rows, int vectors,
                         int64_t some) {
    const real *a = job->a + i * job->a_row, *b = job->b + j;
    const int64_t a_row = job->a_row, a_step = job->a_step, b_step = job->b_step;
    real *c = job->c + i * job->c_row + j;
    lanes sum[TILE_ROWS][TILE_VECTORS];
    UNROLLED for (int r = 0; r < rows; r++) {
        UNROLLED for (int v = 0; v < vectors; v++) {
            sum[r][v] = job->add ? tile_load(c + r * job->c_row, v, vectors, some) : (lanes){0};
        }
    }
    for (int64_t k = job->k; k > 0; k--, a += a_step, b += b_step) {
        lanes column[TILE_VECTORS];
        UNROLLED for (int v = 0; v < vectors; v++) column[v] = tile_load(b, v, vectors, some);
        UNROLLED for (int r = 0; r < rows; r++) {
            const lanes x = all(a[r * a_row]);
            UNROLLED for (int v = 0; v < vectors; v++) sum[r][v] += x * column[v];
        }
    }
    UNROLLED for (int r = 0; r < rows; r++) {
        UNROLLED for (int v = 0; v < vectors; v++) {
            tile_store(c + r * job->c_row, sum[r][v], v, vectors, some);
        }
    }
}

INLINE void product_columns(const wr_small_product *job, int64_t j, int vectors, int64_t some) {
    int64_t i = 0;
    for (; i + TILE_ROWS <= job->m; i += TILE_ROWS)
        product_tile(job, i, j, TILE_ROWS, vectors, some);
    for (; i < job->m; i++) product_tile(job, i, j, 1, vectors, some);
}

static void small_product(const wr_small_product *job) {
    int64_t j = 0;
    for (; j + TILE_VECTORS * (int)LANES <= job->n; j += TILE_VECTORS * (int)LANES)
        product_columns(job, j, TILE_VECTORS, LANES);
    if (j + 2 * (int)LANES <= job->n) {
        product_columns(job, j, 2, LANES);
        j += 2 * (int)LANES;
    }
    if (j + (int)LANES <= job->n) {
        product_columns(job, j, 1, LANES);
        j += (int)LANES;
    }
    if (j < job->n) product_columns(job, j, 1, job->n - j);
}
