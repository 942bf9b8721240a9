/*
 * The head and the cross entropy in tiles of bfloat16.
 */
#ifndef WR_TRAIN_HEAD_AMX_H
#define WR_TRAIN_HEAD_AMX_H

#include <stddef.h>
#include <stdint.h>

/* Item = block of `block` rows, a multiple of 32. */
typedef struct wr_head_job {
    int64_t n, width, vocabulary, block;
    const uint8_t *forward, *inputs; /* right sides of the weight */
    const float *x;                  /* [n, width] */
    const int32_t *targets;
    float *nll;
    float *dx;            /* NULL: no gradients */
    uint8_t *logits_left; /* [vocabulary, n]: their gradients, for dW */
    uint8_t *x_right;     /* [n, width] */
    uint8_t *scratch;
    size_t scratch_size; /* of a worker */
} wr_head_job;

size_t wr_amx_head_scratch(int64_t width, int64_t block);
void wr_amx_head(void *job, int64_t begin, int64_t end, int worker);

#endif
