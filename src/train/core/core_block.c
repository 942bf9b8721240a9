/*
 * The blocks, forward and backward:
 *
 *     h = norm(x)        q, k, v = W_q h, W_k h, W_v h             begin
 *     a = attention(q, k, v)
 *     mixed = x + W_o a
 *     h = norm(mixed)    x = mixed + W_down (silu(W_gate h) * (W_up h))   finish
 *
 * Only attention needs the other rows of a sample. So a worker takes some rows through everything
 * between two attentions, the end of a block and the beginning of the next, while they stay in its
 * cache; threads meet around attention, and in backward for gradients of weights, which are sums
 * over all rows. Each backward function stands below its forward one and goes through it from the
 * end.
 */
#include <string.h>

#include "train/core/core_inside.h"

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Some rows of a batch, and who computes them. */
typedef struct rows {
    wr_core *core;
    int64_t n;     /* of the batch */
    int64_t first; /* a multiple of WR_NORM_BLOCK */
    int64_t count;
    int worker;
    wr_core_room *room;
} rows;

/* The numbers of the first row in an array of the batch. */
static int64_t at(const rows *of) { return of->first * of->core->shape.width; }

/* Part of a product's rows; those of `y` and `dy` are in an array of the whole batch. */
static wr_linear_rows among(const rows *of) {
    return (wr_linear_rows){of->n, of->first, of->count, NULL, of->room->products};
}
/* The same where `y` or `dy` begins with the first row. */
static wr_linear_rows alone(const rows *of) {
    return (wr_linear_rows){of->count, 0, of->count, NULL, of->room->products};
}

/* ---- norms ----------------------------------------------------------------------------------- */

/* Into y: the norm of x, or of x + what the room's `change` holds, which goes to `sum`. */
static wr_norm_job norm_job(const rows *of, const real *x, real *sum, size_t gain, real *r,
                            real *y) {
    const wr_core *core = of->core;
    return (wr_norm_job){.width = core->shape.width,
                         .epsilon = (real)core->shape.norm_epsilon,
                         .x = x + at(of),
                         .added = sum != NULL ? of->room->change : NULL,
                         .sum = sum != NULL ? sum + at(of) : NULL,
                         .gain = core->parameters + gain,
                         .y = y,
                         .r = r + of->first};
}

static void norm_rows(const rows *of, const real *x, real *sum, size_t gain, real *r, real *y) {
    wr_norm_job job = norm_job(of, x, sum, gain, r, y);
    of->core->kernels->norm(&job, 0, of->count, of->worker);
}

/* What a norm's backward reads and writes beside dy: arrays of the batch. */
typedef struct norm_arrays {
    const real *x, *r;
    const real *before;
    real *dx;
    real *partial;
} norm_arrays;

/* From dy, of these rows; y gets the norm's result again. */
static wr_norm_back norm_back_job(const rows *of, const norm_arrays *arrays, size_t gain,
                                  const real *dy, real *y) {
    const wr_core *core = of->core;
    return (wr_norm_back){
        .width = core->shape.width,
        .rows = of->count,
        .x = arrays->x + at(of),
        .gain = core->parameters + gain,
        .r = arrays->r + of->first,
        .dy = dy,
        .y = y,
        .before = arrays->before != NULL ? arrays->before + at(of) : NULL,
        .dx = arrays->dx + at(of),
        .partial = arrays->partial + at(of) / WR_NORM_BLOCK,
    };
}

static void norm_rows_back(const rows *of, const norm_arrays *arrays, size_t gain, const real *dy,
                           real *y) {
    wr_norm_back job = norm_back_job(of, arrays, gain, dy, y);
    of->core->kernels->norm_back(&job, 0, (of->count + WR_NORM_BLOCK - 1) / WR_NORM_BLOCK,
                                 of->worker);
}

/* The gain's gradient: sums of blocks, in order. */
static void add_gain(wr_core *core, size_t gain, const real *partial, int64_t n) {
    const int64_t width = core->shape.width;
    real *gradient = core->gradients + gain;
    for (int64_t block = 0; block * WR_NORM_BLOCK < n; block++)
        for (int64_t i = 0; i < width; i++) gradient[i] += partial[block * width + i];
}

/* ---- the embedding --------------------------------------------------------------------------- */

static void embed_rows(const rows *of) {
    const wr_core *core = of->core;
    const int64_t width = core->shape.width;
    for (int64_t row = of->first; row < of->first + of->count; row++)
        memcpy(core->layers[0].x + row * width, core->parameters + core->fed[row] * width,
               (size_t)width * sizeof(real));
}

/* dE[token] += dx[row]: a thread has some columns, and goes through the rows in order. */
enum { EMBED_COLUMNS = 64 };

typedef struct embed_back {
    wr_core *core;
    int64_t n;
} embed_back;

static void embed_back_task(void *context, int64_t begin, int64_t end, int worker) {
    const embed_back *job = context;
    const wr_core *core = job->core;
    const int64_t width = core->shape.width;
    const int64_t first = begin * EMBED_COLUMNS, last = smaller(end * EMBED_COLUMNS, width);
    (void)worker;
    for (int64_t row = 0; row < job->n; row++) {
        const real *from = core->gradient + row * width;
        real *to = core->gradients + core->fed[row] * width;
        for (int64_t i = first; i < last; i++) to[i] += from[i];
    }
}

/* ---- a block's beginning: norm, queries, keys and values ------------------------------------- */

/* x is the layer's, or `from` + the room's change, and becomes the layer's. */
static void begin_rows(const rows *of, wr_core_layer *layer, const real *from) {
    const wr_linear_rows part = among(of);
    const real *x = from != NULL ? from : layer->x;
    norm_rows(of, x, from != NULL ? layer->x : NULL, layer->attention_norm, layer->r[0],
              of->room->normed);
    wr_linear_forward(&layer->projection, &part, of->room->normed, layer->projected);
}

/* dh = dq W_q + dk W_k + dv W_v; dx = dmixed + norm's. Leaves h in `normed`, for the weights. */
static void begin_rows_back(const rows *of, wr_core_layer *layer) {
    wr_core *core = of->core;
    const wr_linear_rows part = among(of);
    const norm_arrays arrays = {layer->x, layer->r[0], core->mixed_gradient, core->gradient,
                                core->gain_partial[0]};
    wr_linear_inputs(&layer->projection, &part, layer->projected, of->room->change);
    norm_rows_back(of, &arrays, layer->attention_norm, of->room->change, core->normed + at(of));
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

static void attention_forward(wr_core *core, wr_core_layer *layer, int64_t samples) {
    wr_attention_job job = attention_job(core, layer, samples * core->shape.context);
    wr_core_run(core, samples * core->shape.kv_heads, 1, core->attention->forward, &job);
}

/* From `attended_gradient`: dq, dk, dv, in their places. */
static void attention_backward(wr_core *core, wr_core_layer *layer, int64_t samples) {
    const weir_train_shape *shape = &core->shape;
    wr_attention_job job = attention_job(core, layer, samples * shape->context);
    job.dout = core->attended_gradient;
    job.dz = shape->sink == WEIR_TRAIN_SINK_LOGIT ? core->sink_gradients : NULL;
    wr_core_run(core, samples * shape->kv_heads, 1, core->attention->backward, &job);
    for (int64_t i = 0; job.dz != NULL && i < samples * shape->heads; i++)
        core->gradients[layer->sinks + (size_t)(i % shape->heads)] += job.dz[i];
}

/* ---- a block's end: attention's output, and the feed-forward part ---------------------------- */

static wr_swiglu_job swiglu_job(const rows *of, wr_core_layer *layer, real *hidden) {
    const wr_part gate = wr_linear_part(&layer->gates, layer->gated, 0, of->n);
    const wr_part up = wr_linear_part(&layer->gates, layer->gated, 1, of->n);
    return (wr_swiglu_job){.width = of->core->shape.feed_forward,
                           .stride = gate.stride,
                           .gate = gate.x + of->first * gate.stride,
                           .up = up.x + of->first * up.stride,
                           .hidden = hidden};
}

/* The same for what products have as a whole. */
static wr_feed feed_of(const wr_core *core, const wr_core_layer *layer, int64_t n) {
    return (wr_feed){.n = n,
                     .width = core->shape.width,
                     .hidden = core->shape.feed_forward,
                     .gates = &layer->gates.weight[0],
                     .down = &layer->down.weight[0],
                     .kept = layer->gated,
                     .scratch = core->feed_scratch,
                     .threads = wr_threads_count(core->threads)};
}

static wr_feed_rows feed_rows_of(const rows *of) {
    const wr_train_kernels *kernels = of->core->kernels;
    return (wr_feed_rows){.first = of->first,
                          .count = of->count,
                          .worker = of->worker,
                          .run_norm = kernels->norm,
                          .run_norm_back = kernels->norm_back};
}

static void feed_rows(const rows *of, wr_core_layer *layer) {
    const wr_feed feed = feed_of(of->core, layer, of->n);
    wr_feed_rows part = feed_rows_of(of);
    part.norm = norm_job(of, layer->x, layer->mixed, layer->feed_norm, layer->r[1], NULL);
    part.out = of->room->change;
    of->core->feed->forward(&feed, &part);
}

static void feed_rows_back(const rows *of, wr_core_layer *layer, const norm_arrays *arrays) {
    const wr_feed feed = feed_of(of->core, layer, of->n);
    wr_feed_rows part = feed_rows_of(of);
    part.norm_back = norm_back_job(of, arrays, layer->feed_norm, NULL, NULL);
    part.dout = of->core->gradient + at(of);
    of->core->feed->backward(&feed, &part);
}

/* Leaves what is to be added to `mixed` in the room's change. */
static void finish_rows(const rows *of, wr_core_layer *layer) {
    const wr_core_room *room = of->room;
    const wr_linear_rows part = among(of), own = alone(of);
    wr_linear_forward(&layer->output, &own, layer->attended + at(of), room->change);
    if (of->core->feed != NULL) {
        feed_rows(of, layer);
        return;
    }
    norm_rows(of, layer->x, layer->mixed, layer->feed_norm, layer->r[1], room->normed);
    wr_linear_forward(&layer->gates, &part, room->normed, layer->gated);
    wr_swiglu_job job = swiglu_job(of, layer, room->hidden);
    of->core->kernels->swiglu(&job, 0, of->count, of->worker);
    wr_linear_forward(&layer->down, &own, room->hidden, room->change);
}

/* dhidden = dx W_down; dgate, dup in their places; dh = dgate W_gate + dup W_up; dmixed = dx +
 * norm's; dattended = dmixed W_o. Leaves hidden and h in `hidden` and `feed_normed`, for the
 * weights. */
static void finish_rows_back(const rows *of, wr_core_layer *layer) {
    wr_core *core = of->core;
    const wr_linear_rows part = among(of), own = alone(of);
    const norm_arrays arrays = {layer->mixed, layer->r[1], core->gradient, core->mixed_gradient,
                                core->gain_partial[1]};
    if (core->feed != NULL) {
        feed_rows_back(of, layer, &arrays);
    } else {
        real *hidden = core->hidden + of->first * core->shape.feed_forward;
        wr_linear_inputs(&layer->down, &own, core->gradient + at(of), hidden);
        wr_swiglu_job job = swiglu_job(of, layer, hidden);
        core->kernels->swiglu_back(&job, 0, of->count, of->worker);
        wr_linear_inputs(&layer->gates, &part, layer->gated, of->room->change);
        norm_rows_back(of, &arrays, layer->feed_norm, of->room->change, core->feed_normed + at(of));
    }
    wr_linear_inputs(&layer->output, &own, core->mixed_gradient + at(of),
                     core->attended_gradient + at(of));
}

/* ---- between two attentions ------------------------------------------------------------------ */

/* Stage i: from attention i - 1 to attention i. The first begins with the embedding, the last ends
 * with the last norm. */
typedef struct stage {
    wr_core *core;
    int64_t i, n, chunk;
} stage;

static rows rows_of(const stage *of, int64_t chunk, int worker) {
    const int64_t first = chunk * of->chunk;
    return (rows){.core = of->core,
                  .n = of->n,
                  .first = first,
                  .count = smaller(of->chunk, of->n - first),
                  .worker = worker,
                  .room = &of->core->rooms[worker]};
}

static void stage_task(void *context, int64_t begin, int64_t end, int worker) {
    const stage *of = context;
    wr_core *core = of->core;
    wr_core_layer *ends = of->i > 0 ? &core->layers[of->i - 1] : NULL;
    wr_core_layer *begins = of->i < core->shape.layers ? &core->layers[of->i] : NULL;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        const rows some = rows_of(of, chunk, worker);
        if (ends != NULL)
            finish_rows(&some, ends);
        else
            embed_rows(&some);
        if (begins != NULL)
            begin_rows(&some, begins, ends != NULL ? ends->mixed : NULL);
        else
            norm_rows(&some, ends->mixed, core->stream, core->output_norm, core->stream_r,
                      core->normed + at(&some));
    }
}

static void stage_back_task(void *context, int64_t begin, int64_t end, int worker) {
    const stage *of = context;
    wr_core *core = of->core;
    const norm_arrays last = {core->stream, core->stream_r, NULL, core->gradient,
                              core->gain_partial[0]};
    for (int64_t chunk = begin; chunk < end; chunk++) {
        const rows some = rows_of(of, chunk, worker);
        if (of->i < core->shape.layers)
            begin_rows_back(&some, &core->layers[of->i]);
        else
            norm_rows_back(&some, &last, core->output_norm, core->normed_gradient + at(&some),
                           some.room->normed);
        if (of->i > 0) finish_rows_back(&some, &core->layers[of->i - 1]);
    }
}

/* What stage i adds to the gradients: sums over all rows. */
static void add_gradients(wr_core *core, int64_t i, int64_t n) {
    const wr_linear_rows all = {n, 0, n, core->threads, core->product_scratch};
    if (i < core->shape.layers) {
        wr_core_layer *layer = &core->layers[i];
        wr_linear_weights(&layer->projection, &all, layer->projected, core->normed,
                          core->gradients);
        add_gain(core, layer->attention_norm, core->gain_partial[0], n);
    } else {
        add_gain(core, core->output_norm, core->gain_partial[0], n);
    }
    if (i == 0) return;
    wr_core_layer *layer = &core->layers[i - 1];
    if (core->feed != NULL) {
        const wr_feed feed = feed_of(core, layer, n);
        core->feed->weights(core->threads, &feed, core->gradients + layer->gates.offset[0],
                            core->gradients + layer->down.offset[0]);
    } else {
        wr_linear_weights(&layer->down, &all, core->gradient, core->hidden, core->gradients);
        wr_linear_weights(&layer->gates, &all, layer->gated, core->feed_normed, core->gradients);
    }
    wr_linear_weights(&layer->output, &all, core->mixed_gradient, layer->attended, core->gradients);
    add_gain(core, layer->feed_norm, core->gain_partial[1], n);
}

/* Rows that a worker takes at a time: each has several turns. Bits do not depend on it. */
static int64_t chunk_of(const wr_core *core, int64_t n) {
    const int64_t share = n / (4 * wr_threads_count(core->threads)) / WR_NORM_BLOCK;
    const int64_t chunk = smaller((share > 0 ? share : 1) * WR_NORM_BLOCK, core->rows_most);
    return chunk;
}

void wr_core_forward(wr_core *core, int64_t samples) {
    const int64_t n = samples * core->shape.context;
    stage of = {.core = core, .n = n, .chunk = chunk_of(core, n)};
    for (; of.i <= core->shape.layers; of.i++) {
        wr_core_run(core, (n + of.chunk - 1) / of.chunk, 1, stage_task, &of);
        if (of.i < core->shape.layers) attention_forward(core, &core->layers[of.i], samples);
    }
}

void wr_core_backward(wr_core *core, int64_t samples) {
    const int64_t n = samples * core->shape.context;
    stage of = {.core = core, .i = core->shape.layers, .n = n, .chunk = chunk_of(core, n)};
    for (; of.i >= 0; of.i--) {
        wr_core_run(core, (n + of.chunk - 1) / of.chunk, 1, stage_back_task, &of);
        add_gradients(core, of.i, n);
        if (of.i > 0) attention_backward(core, &core->layers[of.i - 1], samples);
    }
    embed_back job = {core, n};
    const int64_t cuts = (core->shape.width + EMBED_COLUMNS - 1) / EMBED_COLUMNS;
    wr_core_run(core, cuts, 1, embed_back_task, &job);
}
