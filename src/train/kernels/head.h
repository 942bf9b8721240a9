/*
 * The head and the cross entropy as a whole, where a way to multiply has them (products.h):
 *
 *     logits = x W^T    nll = log(sum exp(logits)) - logits[target]
 *     dx = dlogits W    dW += dlogits^T x         dlogits = softmax(logits) - [target]
 *
 * The logits of a few rows and a part of the vocabulary stand at a time, and are computed twice. A
 * row with a negative target is not scored: nll and gradient are 0.
 */
#ifndef WR_HEAD_H
#define WR_HEAD_H

#include "train/kernels/products.h"

typedef struct wr_head {
    int64_t n, width;
    const wr_product_weight *weight; /* [vocabulary, width] */
    const real *x;                   /* [n, width] */
    const int32_t *targets;
    real *nll; /* [n] */
    real *dx;  /* [n, width]; NULL: no gradients */
    real *dw;
    void *scratch;
} wr_head;

typedef struct wr_head_kernels {
    size_t (*scratch_size)(int64_t n, int64_t width, int64_t vocabulary, int threads);
    void (*run)(wr_threads *threads, const wr_head *head);
} wr_head_kernels;

#endif
