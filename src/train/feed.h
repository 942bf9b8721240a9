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

#include "train/products.h"
#include "train/train_kernels.h"

typedef struct wr_feed {
    int64_t n, width, hidden;
    const wr_product_weight *gates; /* [2 hidden, width]: W_gate, then W_up */
    const wr_product_weight *down;  /* [width, hidden] */
    wr_task run_norm, run_norm_back;
    wr_norm_job norm;       /* of all rows; `y` is not used */
    wr_norm_back norm_back; /* likewise; `before` is dout; `dy` and `y` are not used */
    void *kept;             /* from forward to backward */
    real *out;              /* [n, width] */
    real *dgates, *ddown;   /* of the weights: added to */
    void *scratch;
} wr_feed;

typedef struct wr_feed_kernels {
    bool (*fits)(int64_t hidden); /* whether it can be used at all */
    size_t (*kept_size)(int64_t n, int64_t hidden);
    size_t (*scratch_size)(int64_t n, int64_t width, int64_t hidden, int threads);
    void (*forward)(wr_threads *threads, const wr_feed *feed);
    void (*backward)(wr_threads *threads, const wr_feed *feed);
} wr_feed_kernels;

#endif
