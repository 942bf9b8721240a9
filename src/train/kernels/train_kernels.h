/*
 * What training computes beside the large products: one table for each CPU level, all compiled from
 * the templates in lanes/.
 *
 * A kernel is a wr_task over a job, so that threads can share its items; `worker` chooses scratch
 * where a job has some. What an item gets is a function of the job alone.
 */
#ifndef WR_TRAIN_KERNELS_H
#define WR_TRAIN_KERNELS_H

#include <stddef.h>

#include "base/threads.h"
#include "train/kernels/real.h"
#include "weir/status.h"

/* C[m, n] (+)= A[m, k] B[k, n]: the sum runs over k in order, one multiply-add after another. */
typedef struct wr_small_product {
    int64_t m, n, k;
    const real *a;
    int64_t a_row, a_step; /* A[i, k] is a[i * a_row + k * a_step]: a matrix or its transpose */
    const real *b;
    int64_t b_step; /* from one row of B to the next; within a row there is no gap */
    real *c;
    int64_t c_row;
    bool add;
} wr_small_product;

/* Item = row. s = x + added, where something is added; y = gain * s * r,
 * r = 1 / sqrt(mean(s^2) + epsilon). */
typedef struct wr_norm_job {
    int64_t width;
    real epsilon;
    const real *x;     /* [n, width] */
    const real *added; /* [n, width] or NULL */
    real *sum;         /* [n, width]; used only with `added` */
    const real *gain;  /* [width] */
    real *y;           /* [n, width] */
    real *r;           /* [n] */
} wr_norm_job;

/* Item = block of WR_NORM_BLOCK rows. With u = gain * dy and x^ = x * r
 *
 *     dx = before + r * (u - x^ * mean(u x^))        dgain[block] = sum over its rows of dy x^
 *
 * and y = gain x^ is computed again. */
enum { WR_NORM_BLOCK = 32 };
typedef struct wr_norm_back {
    int64_t width, rows;
    const real *x, *gain, *r;
    const real *dy;
    real *y;            /* the norm's result, again */
    const real *before; /* [n, width]: what dx is beside the norm; NULL: nothing. May be dx. */
    real *dx;
    real *partial; /* [blocks, width] */
} wr_norm_back;

/* Item = row. out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). Rows of `gate` and `up` are
 * `stride` numbers apart.
 *
 * Backward: hidden is dout before and out after; gate and up become their gradients:
 *     s = 1 / (1 + exp(-gate))    dup = dout gate s    dgate = dout up s (1 + gate (1 - s)) */
typedef struct wr_swiglu_job {
    int64_t width, stride;
    real *gate, *up;
    real *hidden; /* [n, width] */
} wr_swiglu_job;

/* Causal attention of samples of `context` tokens. Item = sample * kv_heads + KV head.
 *
 *     s_tj = q_t . k_j / sqrt(head_dim) - slope (t - j)                        j = 0 ... t
 *     p_tj = exp(s_tj - l_t),  l_t = log(exp(z) + sum_j exp(s_tj))             z: see STREAMING.md
 *     out_t = sum_j p_tj v_j
 *
 * with q and k rotated first: (x0, x1) -> (x0 cos - x1 sin, x1 cos + x0 sin) for each pair.
 *
 * Backward: probabilities are computed again from l, some queries and keys at a time:
 *     D_t = dout_t . out_t            ds_tj = p_tj (dout_t . v_j - D_t)
 *     dv_j = sum_t p_tj dout_t        dq_t = sum_j ds_tj k_j / sqrt(head_dim), turned back;
 *     dz = - sum_t exp(z - l_t) D_t   dk_j likewise
 * q, k and v become their gradients. */
typedef struct wr_attention_job {
    int64_t context, heads, kv_heads, head_dim;
    real *q, *k, *v;             /* rows are the strides apart; heads head_dim */
    int64_t q_stride, kv_stride; /* numbers from one token to the next */
    const real *cosines, *sines; /* [context, padded]: see wr_attention_angles; NULL: no turning */
    const real *slopes;          /* [heads], 0 for none */
    const real *z;               /* [heads], or NULL: no sink term */
    real *out;                   /* [n, heads * head_dim] */
    real *l;                     /* [n, heads] */
    const real *dout;            /* backward: like out */
    real *dz;                    /* backward: [samples, heads], or NULL */
    real *scratch;               /* worker's part: scratch + worker * scratch_size */
    int64_t scratch_size;        /* numbers: attention_scratch(...) */
} wr_attention_job;

/* Item = row of logits, which becomes its gradient of the negative log-likelihood:
 *     nll = log(sum exp(logits)) - logits[target]     dlogits = softmax(logits) - [target]
 * A row with a negative target is not scored: nll and gradient are 0. */
typedef struct wr_loss_job {
    int64_t vocabulary;
    real *logits; /* [n, vocabulary] */
    const int32_t *targets;
    real *nll;      /* [n] */
    bool gradients; /* false: logits stay as they are */
} wr_loss_job;

/* Item = block of WR_UPDATE_BLOCK numbers. AdamW, with g = gradient * scale:
 *     p -= p * rate * decay
 *     m += (1 - beta1) (g - m)    v += (1 - beta2) (g^2 - v)
 *     p -= rate * (m / c1) / (sqrt(v / c2) + epsilon),   c = 1 - beta^step
 * and the gradient is cleared. */
enum { WR_UPDATE_BLOCK = 4096 };
typedef struct wr_update_job {
    int64_t count;
    real *parameter, *gradient, *first, *second;
    real scale, shrink;              /* shrink: 1 - rate * decay */
    real new1, beta2, new2, epsilon; /* new: 1 - beta, rounded once */
    real step_rate;                  /* rate / c1 */
    real second_unit;                /* 1 / sqrt(c2) */
} wr_update_job;

/* Item = block of WR_UPDATE_BLOCK numbers: the sum of their squares. */
typedef struct wr_squares_job {
    int64_t count;
    const real *x;
    double *sums;
} wr_squares_job;

/* wr_attention_job's, forward and backward. */
typedef struct wr_attention_kernels {
    int64_t (*scratch)(int64_t context, int64_t head_dim); /* numbers for one worker */
    wr_task forward, backward;
} wr_attention_kernels;

typedef struct wr_train_kernels {
    const char *name;
    int64_t panel; /* columns of B that `product` takes at a time */
    void (*product)(const wr_small_product *job);
    wr_attention_kernels attention;
    wr_task norm, norm_back;
    wr_task swiglu, swiglu_back;
    wr_task loss;
    wr_task squares, update;
} wr_train_kernels;

/* Of the machine's best level, or of the environment's WEIR_CPU as it was at the first call. */
const wr_train_kernels *wr_train_kernels_get(void);

/* Head sizes are padded to a multiple of this in tables of angles. */
enum { WR_HEAD_PADDING = 16 };

#endif
