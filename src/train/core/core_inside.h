/*
 * The inside of core.h: what the files core_*.c share.
 *
 * Memory of a batch of n = samples * context rows:
 *
 *     kept for backward, each layer   x, projected, attended, l, mixed, gated, r of both norms
 *     backward, one layer at a time   gradients of x, mixed and attended; both norms' results and
 *                                     silu(gate) * up, computed again
 *     a worker's rows                 normed, change, hidden
 *     a chunk of rows                 logits [chunk, vocabulary]
 *
 * Gradients replace what they are of where nobody needs that any more: dq, dk, dv lie where q, k, v
 * were; those of gate and up likewise.
 */
#ifndef WR_CORE_INSIDE_H
#define WR_CORE_INSIDE_H

#include "base/arena.h"
#include "train/core/core.h"
#include "train/kernels/feed.h"
#include "train/kernels/head.h"
#include "train/kernels/train_kernels.h"

enum { WR_LINEAR_MAX = 3 };

/* Matrices that read the same input: q, k and v; gate and up. Where they lie one after another
 * without padding they are one matrix, and their results lie beside each other in a row; otherwise
 * each has an array [n, rows] of its own, one after another. */
typedef struct wr_linear {
    const wr_products *products;
    int64_t count;   /* of matrices as they are multiplied */
    int64_t columns; /* of the input */
    int64_t rows;    /* of all */
    wr_product_weight weight[WR_LINEAR_MAX];
    size_t offset[WR_LINEAR_MAX]; /* in parameters and gradients */
    int64_t parts;                /* of matrices as they are named */
    int64_t part_rows[WR_LINEAR_MAX];
} wr_linear;

/* Where the result of one part lies. */
typedef struct wr_part {
    real *x;
    int64_t stride;
} wr_part;

typedef struct wr_core_layer {
    size_t attention_norm, feed_norm, sinks; /* offsets; sinks only with the sink "logit" */
    wr_linear projection;                    /* q, k, v */
    wr_linear output;
    wr_linear gates; /* gate, up */
    wr_linear down;

    real *x;         /* [n, width] the residual stream at the beginning */
    real *projected; /* q, k, v, not turned */
    real *attended;  /* [n, width] */
    real *l;         /* [n, heads] log-sum-exps */
    real *mixed;     /* [n, width] the stream after attention */
    void *gated;     /* gate, up; or what core.feed keeps */
    real *r[2];      /* [n] of the two norms */
} wr_core_layer;

/* One worker's rows between two attentions: [rows_most, ...]. */
typedef struct wr_core_room {
    real *normed, *change, *hidden;
    void *products; /* their scratch */
} wr_core_room;

struct wr_core {
    weir_allocator own_allocator;
    const weir_allocator *allocator;
    weir_train_shape shape;
    int64_t samples, head_dim;
    const wr_products *products;
    const wr_train_kernels *kernels;
    const wr_attention_kernels *attention;
    const wr_feed_kernels *feed; /* the block as a whole, or NULL */
    wr_threads *threads;
    wr_arena arena;

    size_t numbers; /* in each of the four */
    real *parameters, *gradients, *moments[2];

    wr_core_layer *layers;
    size_t output_norm;
    wr_linear head;

    real *stream;            /* [n, width] after the last layer */
    real *stream_r;          /* [n] */
    real *normed;            /* [n, width] the last norm's result; backward: attention's norm's */
    real *feed_normed;       /* [n, width] backward: the feed-forward norm's result */
    real *normed_gradient;   /* [n, width] of what the head reads; the same memory as the next */
    real *attended_gradient; /* [n, width] */
    real *gradient;          /* [n, width] of x, between blocks */
    real *mixed_gradient;    /* [n, width] of mixed, inside one */
    real *hidden;            /* [n, feed_forward] backward: silu(gate) * up */
    int64_t rows_most;       /* that a worker takes at a time */
    wr_core_room *rooms;     /* [threads] */
    real *cosines, *sines;   /* [context, padded head] or NULL */
    real *slopes;            /* [heads] */
    real *zeros;             /* [heads] the sink logits of the sink "zero" */
    real *sink_gradients;    /* [samples, heads] */
    real *logits;            /* [chunk, vocabulary]; none where products have a head */
    int64_t chunk;           /* rows whose logits stand at once */
    real *nll;               /* [n] */
    int32_t *fed, *targets;  /* [n] */
    real *gain_partial[2];   /* [blocks of n, width] */
    double *sums;            /* [blocks of numbers] */
    real *attention_scratch; /* [threads, attention_size] */
    int64_t attention_size;
    void *product_scratch, *feed_scratch, *head_scratch;
};

/* Run a kernel over items. */
void wr_core_run(wr_core *core, int64_t items, int64_t grain, wr_task task, void *job);

/* ---- core_linear.c --------------------------------------------------------------------------- */

/* Describe matrices number `first` ... of the table of parameters. */
void wr_linear_init(wr_linear *linear, const weir_train_shape *shape, int64_t first, int64_t parts);
void wr_linear_lay_out(wr_linear *linear, const wr_core *core, wr_arena *arena);
size_t wr_linear_scratch(const wr_linear *linear, int64_t n, int threads);
void wr_linear_prepare(wr_linear *linear, wr_threads *threads);
wr_part wr_linear_part(const wr_linear *linear, real *y, int64_t part, int64_t n);

/* Rows `first` ... first + count - 1 of arrays of n, and who multiplies them. */
typedef struct wr_linear_rows {
    int64_t n, first, count;
    wr_threads *threads; /* NULL: the caller alone */
    void *scratch;
} wr_linear_rows;

/* y = x W^T; dx = dy W; dW += dy^T x. y and dy are arrays of n rows, x and dx begin with the first
 * row. */
void wr_linear_forward(const wr_linear *linear, const wr_linear_rows *rows, const real *x, real *y);
void wr_linear_inputs(const wr_linear *linear, const wr_linear_rows *rows, const real *dy,
                      real *dx);
void wr_linear_weights(const wr_linear *linear, const wr_linear_rows *rows, const real *dy,
                       const real *x, real *gradients);

/* ---- core_block.c ---------------------------------------------------------------------------- */

/* All blocks: from fed tokens to `normed`; and back from `normed_gradient`. */
void wr_core_forward(wr_core *core, int64_t samples);
void wr_core_backward(wr_core *core, int64_t samples);

/* ---- core_loss.c ----------------------------------------------------------------------------- */

/* Rows whose logits stand in memory at once. */
int64_t wr_core_chunk(const weir_train_shape *shape, int64_t rows);
/* Head and cross entropy: nll of every row; with `gradients` also `normed_gradient`. */
void wr_core_loss(wr_core *core, int64_t samples, bool gradients);

/* ---- core_report.c --------------------------------------------------------------------------- */

/* Where the first number went wrong: forward by the activations, backward by the gradients. */
weir_status wr_core_report_forward(const wr_core *core, int64_t samples, weir_error *error);
weir_status wr_core_report_backward(const wr_core *core, weir_error *error);
bool wr_core_finite(const real *x, int64_t count);

#endif
