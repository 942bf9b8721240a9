/*
 * What products of bfloat16 share with the blocks that are made of them.
 */
#ifndef WR_PRODUCTS_BF16_H
#define WR_PRODUCTS_BF16_H

#include "train/kernels/feed.h"
#include "train/kernels/head.h"

/* A prepared weight as the right side of `forward`, [columns, rows], and of `inputs`, [rows,
 * columns]. */
const uint8_t *wr_bf16_forward_side(const wr_product_weight *weight);
const uint8_t *wr_bf16_inputs_side(const wr_product_weight *weight);

/* dw[rows, columns] += left[rows, n] right[n, columns] of tiles. */
void wr_bf16_add_weights(wr_threads *threads, const void *left, const void *right, int64_t n,
                         int64_t rows, int64_t columns, real *dw);

extern const wr_feed_kernels wr_bf16_feed;
extern const wr_head_kernels wr_bf16_head;

#endif
