/*
 * The three matrix products of training, for one weight matrix W [rows, columns] and n tokens:
 *
 *   forward   Y[n, rows]      = X[n, columns] W^T
 *   inputs    dX[n, columns] (+)= dY[n, rows] W
 *   weights   dW[rows, columns] += dY[n, rows]^T X[n, columns]
 *
 * All matrices are row-major, without gaps. A result has the same bits for any number of threads:
 * how the work is cut depends on the shape alone. One table for each way to multiply; to add one: a
 * table, and its row in products.c.
 */
#ifndef WR_PRODUCTS_H
#define WR_PRODUCTS_H

#include <stdbool.h>

#include "base/threads.h"
#include "train/kernels/real.h"

typedef struct wr_product_weight {
    int64_t rows, columns;
    const real *master; /* [rows, columns], what AdamW updates */
    void *prepared;     /* what the table made of it, `prepared_size` bytes, or NULL */
} wr_product_weight;

typedef struct wr_products {
    const char *name; /* "float32", "bfloat16" */
    bool (*runs_here)(void);
    /* Bytes that prepare() fills for one weight, and that one call needs for n tokens. */
    size_t (*prepared_size)(int64_t rows, int64_t columns);
    size_t (*scratch_size)(int64_t rows, int64_t columns, int64_t n, int threads);
    /* After every change of the master: once per update. May be NULL. */
    void (*prepare)(wr_threads *threads, wr_product_weight *weight);
    void (*forward)(wr_threads *threads, const wr_product_weight *weight, const real *x, real *y,
                    int64_t n, void *scratch);
    void (*inputs)(wr_threads *threads, const wr_product_weight *weight, const real *dy, real *dx,
                   int64_t n, bool add, void *scratch);
    void (*weights)(wr_threads *threads, const wr_product_weight *weight, const real *dy,
                    const real *x, real *dw, int64_t n, void *scratch);
    /* Attention with the same products; NULL: the kernels' own does. */
    const struct wr_attention_kernels *attention;
    /* The feed-forward block as a whole (feed.h); NULL: one step after another. */
    const struct wr_feed_kernels *feed;
    /* The head and the cross entropy likewise (head.h). */
    const struct wr_head_kernels *head;
} wr_products;

/* By name, or the fastest that runs here for "auto"; NULL and a sentence when there is none. */
const wr_products *wr_products_find(const char *name, weir_error *error);

#endif
