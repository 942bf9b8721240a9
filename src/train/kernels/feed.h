/*
 * The feed-forward block as a whole, where a way to multiply has it (products.h):
 *
 *     h = norm(x + added)    out = W_down (silu(W_gate h) * (W_up h))
 *
 * Its rows go from one end to the other a few at a time, so that what lies between never leaves the
 * caches; backward needs only `kept`.
 */
#ifndef WR_FEED_H
#define WR_FEED_H

#include "train/kernels/products.h"
#include "train/kernels/train_kernels.h"

typedef struct wr_feed {
    int64_t n; /* rows of the batch */
    int64_t width, hidden;
    const wr_product_weight *gates; /* [2 hidden, width]: W_gate, then W_up */
    const wr_product_weight *down;  /* [width, hidden] */
    void *kept;                     /* of the batch, from forward to backward */
    void *scratch;                  /* of the batch and of all workers */
    int threads;                    /* that scratch is for */
} wr_feed;

/* Rows `first` ... first + count - 1, a multiple of WR_NORM_BLOCK first; arrays begin with the
 * first of them. */
typedef struct wr_feed_rows {
    int64_t first, count;
    int worker;
    wr_task run_norm;
    wr_norm_job norm; /* `y` is not used */
    real *out;        /* [count, width] */
    const real *dout; /* backward: [count, width] */
    wr_task run_norm_back;
    wr_norm_back norm_back; /* `dy` and `y` are not used */
} wr_feed_rows;

typedef struct wr_feed_kernels {
    bool (*fits)(int64_t hidden); /* whether it can be used at all */
    size_t (*kept_size)(int64_t n, int64_t hidden);
    size_t (*scratch_size)(int64_t n, int64_t width, int64_t hidden, int threads);
    /* In the calling thread. */
    void (*forward)(const wr_feed *feed, const wr_feed_rows *rows);
    void (*backward)(const wr_feed *feed, const wr_feed_rows *rows);
    /* When all rows went backward: their gradients of the weights are added. */
    void (*weights)(wr_threads *threads, const wr_feed *feed, real *dgates, real *ddown);
} wr_feed_kernels;

#endif
