/*
 * The feed-forward block in tiles of bfloat16.
 */
#ifndef WR_TRAIN_FEED_AMX_H
#define WR_TRAIN_FEED_AMX_H

#include "train/kernels/feed.h"

/* Right sides are those of a prepared weight; operands of dW are tiles over all rows. */
typedef struct wr_feed_job {
    int64_t n, width, hidden;
    const uint8_t *gates_forward, *gates_inputs, *down_forward, *down_inputs;
    uint8_t *kept;                        /* wr_amx_feed_kept() bytes */
    uint8_t *gated_left, *dy_left;        /* [2 hidden, n], [width, n] */
    uint8_t *normed_right, *hidden_right; /* [n, width], [n, hidden] */
    uint8_t *scratch;
    size_t scratch_size; /* of a worker: wr_amx_feed_scratch() */
} wr_feed_job;

bool wr_amx_feed_fits(int64_t hidden);
size_t wr_amx_feed_kept(int64_t n, int64_t hidden);
size_t wr_amx_feed_scratch(int64_t width, int64_t hidden);
void wr_amx_feed_forward(const wr_feed_job *job, const wr_feed_rows *rows);
void wr_amx_feed_backward(const wr_feed_job *job, const wr_feed_rows *rows);

#endif
