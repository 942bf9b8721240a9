/*
 * The blocks, forward and backward:
 *
 *     h = norm(x)    x += W_o attention(W_q h, W_k h, W_v h)
 *     h = norm(x)    x += W_down (silu(W_gate h) * (W_up h))
 *
 * Each backward function stands below its forward one and goes through it from the end: `gradient`
 * holds dx after the block, and then before it.
 */
#include "train/core_inside.h"

enum { ROW_GRAIN = 16 };

static int64_t rows_of(const wr_core *core, int64_t samples) {
    return samples * core->shape.context;
}

/* x (+= added where there is some) and its norm into `normed`. */
static void norm_into(wr_core *core, const real *x, real *sum, const real *added, size_t gain,
                      real *r, int64_t n) {
    wr_norm_job job = {.width = core->shape.width,
                       .epsilon = (real)core->shape.norm_epsilon,
                       .x = x,
                       .added = added,
                       .sum = sum,
                       .gain = core->parameters + gain,
                       .y = core->normed,
                       .r = r};
    wr_core_run(core, n, ROW_GRAIN, core->kernels->norm, &job);
}

/* From dy in `change`: `gradient` += dx, and `normed` is there again. */
static void norm_back(wr_core *core, const real *x, size_t gain, const real *r, int64_t n) {
    wr_norm_back job = {.width = core->shape.width,
                        .rows = n,
                        .x = x,
                        .gain = core->parameters + gain,
                        .r = r,
                        .dy = core->change,
                        .y = core->normed,
                        .dx = core->gradient,
                        .partial = core->gain_partial};
    wr_core_norm_back(core, &job, gain, n);
}

/* ---- attention ------------------------------------------------------------------------------- */

static wr_attention_job attention_job(wr_core *core, wr_core_layer *layer, int64_t n) {
    const weir_train_shape *shape = &core->shape;
    const wr_part q = wr_linear_part(&layer->projection, layer->projected, 0, n);
    const wr_part k = wr_linear_part(&layer->projection, layer->projected, 1, n);
    const wr_part v = wr_linear_part(&layer->projection, layer->projected, 2, n);
    const real *z = NULL;
    if (shape->sink == WEIR_TRAIN_SINK_ZERO) z = core->zeros;
    if (shape->sink == WEIR_TRAIN_SINK_LOGIT) z = core->parameters + layer->sinks;
    return (wr_attention_job){.context = shape->context,
                              .heads = shape->heads,
                              .kv_heads = shape->kv_heads,
                              .head_dim = core->head_dim,
                              .q = q.x,
                              .k = k.x,
                              .v = v.x,
                              .q_stride = q.stride,
                              .kv_stride = k.stride,
                              .cosines = core->cosines,
                              .sines = core->sines,
                              .slopes = core->slopes,
                              .z = z,
                              .out = layer->attended,
                              .l = layer->l,
                              .scratch = core->attention_scratch,
                              .scratch_size = core->attention_size};
}

/* From `normed` to `change`. */
static void attention_forward(wr_core *core, wr_core_layer *layer, int64_t samples) {
    const int64_t n = rows_of(core, samples);
    wr_linear_forward(&layer->projection, core, core->normed, layer->projected, n);
    wr_attention_job job = attention_job(core, layer, n);
    wr_core_run(core, samples * core->shape.kv_heads, 1, core->attention->forward, &job);
    wr_linear_forward(&layer->output, core, layer->attended, core->change, n);
}

static void attention_backward(wr_core *core, wr_core_layer *layer, int64_t samples) {
    const weir_train_shape *shape = &core->shape;
    const int64_t n = rows_of(core, samples);
    /* dattended = dx W_o, dW_o += dx^T attended */
    wr_linear_inputs(&layer->output, core, core->gradient, core->change, n);
    wr_linear_weights(&layer->output, core, core->gradient, layer->attended, n);
    wr_attention_job job = attention_job(core, layer, n);
    job.dout = core->change;
    job.dz = shape->sink == WEIR_TRAIN_SINK_LOGIT ? core->sink_gradients : NULL;
    wr_core_run(core, samples * shape->kv_heads, 1, core->attention->backward, &job);
    for (int64_t i = 0; job.dz != NULL && i < samples * shape->heads; i++)
        core->gradients[layer->sinks + (size_t)(i % shape->heads)] += job.dz[i];
    /* dh = dq W_q + dk W_k + dv W_v, through the norm, dW += dq^T h and so on */
    wr_linear_inputs(&layer->projection, core, layer->projected, core->change, n);
    norm_back(core, layer->x, layer->attention_norm, layer->r[0], n);
    wr_linear_weights(&layer->projection, core, layer->projected, core->normed, n);
}

/* ---- feed-forward ---------------------------------------------------------------------------- */

static wr_swiglu_job swiglu_job(wr_core *core, wr_core_layer *layer, int64_t n) {
    const wr_part gate = wr_linear_part(&layer->gates, layer->gated, 0, n);
    const wr_part up = wr_linear_part(&layer->gates, layer->gated, 1, n);
    return (wr_swiglu_job){.width = core->shape.feed_forward,
                           .stride = gate.stride,
                           .gate = gate.x,
                           .up = up.x,
                           .hidden = core->hidden};
}

/* The same for what has the block as a whole. */
static wr_feed feed_of(wr_core *core, wr_core_layer *layer, int64_t n) {
    const real *gain = core->parameters + layer->feed_norm;
    return (wr_feed){.n = n,
                     .width = core->shape.width,
                     .hidden = core->shape.feed_forward,
                     .gates = &layer->gates.weight[0],
                     .down = &layer->down.weight[0],
                     .run_norm = core->kernels->norm,
                     .run_norm_back = core->kernels->norm_back,
                     .norm = {.width = core->shape.width,
                              .epsilon = (real)core->shape.norm_epsilon,
                              .x = layer->x,
                              .added = core->change,
                              .sum = layer->mixed,
                              .gain = gain,
                              .r = layer->r[1]},
                     .norm_back = {.width = core->shape.width,
                                   .rows = n,
                                   .x = layer->mixed,
                                   .gain = gain,
                                   .r = layer->r[1],
                                   .dx = core->gradient,
                                   .partial = core->gain_partial},
                     .kept = layer->gated,
                     .out = core->change,
                     .dgates = core->gradients + layer->gates.offset[0],
                     .ddown = core->gradients + layer->down.offset[0],
                     .scratch = core->feed_scratch};
}

/* `mixed` and its norm; from there to `change`. */
static void feed_forward(wr_core *core, wr_core_layer *layer, int64_t n) {
    if (core->feed != NULL) {
        const wr_feed feed = feed_of(core, layer, n);
        core->feed->forward(core->threads, &feed);
        return;
    }
    norm_into(core, layer->x, layer->mixed, core->change, layer->feed_norm, layer->r[1], n);
    wr_linear_forward(&layer->gates, core, core->normed, layer->gated, n);
    wr_swiglu_job job = swiglu_job(core, layer, n);
    wr_core_run(core, n, ROW_GRAIN, core->kernels->swiglu, &job);
    wr_linear_forward(&layer->down, core, core->hidden, core->change, n);
}

static void feed_backward(wr_core *core, wr_core_layer *layer, int64_t n) {
    if (core->feed != NULL) {
        const wr_feed feed = feed_of(core, layer, n);
        core->feed->backward(core->threads, &feed);
        wr_core_add_gain(core, layer->feed_norm, n);
        return;
    }
    /* dhidden = dx W_down; then dgate and dup, and hidden again; dW_down += dx^T hidden */
    wr_linear_inputs(&layer->down, core, core->gradient, core->hidden, n);
    wr_swiglu_job job = swiglu_job(core, layer, n);
    wr_core_run(core, n, ROW_GRAIN, core->kernels->swiglu_back, &job);
    wr_linear_weights(&layer->down, core, core->gradient, core->hidden, n);
    /* dh = dgate W_gate + dup W_up, through the norm, dW += dgate^T h and so on */
    wr_linear_inputs(&layer->gates, core, layer->gated, core->change, n);
    norm_back(core, layer->mixed, layer->feed_norm, layer->r[1], n);
    wr_linear_weights(&layer->gates, core, layer->gated, core->normed, n);
}

/* ---- all of them, and the embedding ---------------------------------------------------------- */

static void embed_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_core *core = context;
    const int64_t width = core->shape.width;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const real *from = core->parameters + core->fed[row] * width;
        real *to = core->layers[0].x + row * width;
        for (int64_t i = 0; i < width; i++) to[i] = from[i];
    }
}

void wr_core_forward(wr_core *core, int64_t samples) {
    const int64_t n = rows_of(core, samples), layers = core->shape.layers;
    wr_core_run(core, n, ROW_GRAIN, embed_task, core);
    const real *added = NULL; /* what the block before has not added to its stream yet */
    const real *x = core->layers[0].x;
    for (int64_t i = 0; i < layers; i++) {
        wr_core_layer *layer = &core->layers[i];
        norm_into(core, x, layer->x, added, layer->attention_norm, layer->r[0], n);
        attention_forward(core, layer, samples);
        feed_forward(core, layer, n);
        added = core->change;
        x = layer->mixed;
    }
    norm_into(core, x, core->stream, added, core->output_norm, core->stream_r, n);
}

/* dE[token] += dx[row]: a thread has some columns, and goes through the rows in order. */
enum { EMBED_COLUMNS = 64 };

static void embed_back_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_core *core = context;
    const int64_t width = core->shape.width;
    const int64_t first = begin * EMBED_COLUMNS;
    const int64_t last = end * EMBED_COLUMNS < width ? end * EMBED_COLUMNS : width;
    (void)worker;
    for (int64_t row = 0; core->fed[row] >= 0; row++) {
        const real *from = core->gradient + row * width;
        real *to = core->gradients + core->fed[row] * width;
        for (int64_t i = first; i < last; i++) to[i] += from[i];
    }
}

void wr_core_backward(wr_core *core, int64_t samples) {
    const int64_t n = rows_of(core, samples);
    for (int64_t i = core->shape.layers - 1; i >= 0; i--) {
        wr_core_layer *layer = &core->layers[i];
        feed_backward(core, layer, n);
        attention_backward(core, layer, samples);
    }
    core->fed[n] = -1;
    const int64_t cuts = (core->shape.width + EMBED_COLUMNS - 1) / EMBED_COLUMNS;
    wr_core_run(core, cuts, 1, embed_back_task, core);
}
