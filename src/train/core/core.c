/*
 * The core's memory, and its calls: see core.h.
 */
#include "train/core/core_inside.h"

#include <math.h>
#include <string.h>

#include "position/alibi.h"

void wr_core_run(wr_core *core, int64_t items, int64_t grain, wr_task task, void *job) {
    wr_threads_run(core->threads, items, grain, task, job);
}

/* ---- the plan of memory ---------------------------------------------------------------------- */

static real *take(wr_arena *arena, int64_t rows, int64_t columns) {
    return wr_arena_take(arena, (size_t)(rows * columns), sizeof(real));
}

static void lay_out_layer(wr_core *core, wr_core_layer *layer, wr_arena *arena) {
    const weir_train_shape *shape = &core->shape;
    const int64_t n = core->samples * shape->context;
    wr_linear_lay_out(&layer->projection, core, arena);
    wr_linear_lay_out(&layer->output, core, arena);
    wr_linear_lay_out(&layer->gates, core, arena);
    wr_linear_lay_out(&layer->down, core, arena);
    layer->x = take(arena, n, shape->width);
    layer->projected = take(arena, n, layer->projection.rows);
    layer->attended = take(arena, n, shape->width);
    layer->l = take(arena, n, shape->heads);
    layer->mixed = take(arena, n, shape->width);
    layer->gated = core->feed == NULL
                       ? (void *)take(arena, n, layer->gates.rows)
                       : wr_arena_take(arena, core->feed->kept_size(n, shape->feed_forward), 1);
    layer->r[0] = take(arena, n, 1);
    layer->r[1] = take(arena, n, 1);
}

/* For the products of a layer. */
static size_t scratch_of_layer(const wr_core *core, int64_t n, int threads) {
    const wr_core_layer *layer = &core->layers[0]; /* all alike */
    const wr_linear *const linears[] = {&layer->projection, &layer->output, &layer->gates,
                                        &layer->down};
    size_t most = 0;
    for (int i = 0; i < 4; i++) {
        size_t size = wr_linear_scratch(linears[i], n, threads);
        if (size > most) most = size;
    }
    return most;
}

static void lay_out_room(const wr_core *core, wr_core_room *room, wr_arena *arena) {
    const int64_t rows = core->rows_most;
    wr_core_room unused;
    if (room == NULL) room = &unused;
    room->normed = take(arena, rows, core->shape.width);
    room->change = take(arena, rows, core->shape.width);
    room->hidden = core->feed == NULL ? take(arena, rows, core->shape.feed_forward) : NULL;
    room->products = wr_arena_take(arena, scratch_of_layer(core, rows, 1), 1);
}

/* For what products have as a whole. */
static void lay_out_blocks(wr_core *core, wr_arena *arena) {
    const weir_train_shape *shape = &core->shape;
    const int64_t n = core->samples * shape->context;
    const int threads = wr_threads_count(core->threads);
    const wr_head_kernels *head = core->products->head;
    size_t bytes = 0;
    if (head != NULL) bytes = head->scratch_size(n, shape->width, shape->vocabulary, threads);
    core->head_scratch = wr_arena_take(arena, bytes, 1);
    bytes = 0;
    if (core->feed != NULL)
        bytes = core->feed->scratch_size(n, shape->width, shape->feed_forward, threads);
    core->feed_scratch = wr_arena_take(arena, bytes, 1);
}

/* What threads compute with, one by one and together. */
static void lay_out_scratch(wr_core *core, wr_arena *arena) {
    const int64_t n = core->samples * core->shape.context;
    const int threads = wr_threads_count(core->threads);
    core->rooms = wr_arena_take(arena, (size_t)threads, sizeof *core->rooms);
    for (int i = 0; i < threads; i++)
        lay_out_room(core, core->rooms != NULL ? &core->rooms[i] : NULL, arena);
    core->attention_scratch = take(arena, threads, core->attention_size);
    const size_t layer = scratch_of_layer(core, n, threads);
    const size_t head = wr_linear_scratch(&core->head, core->chunk, threads);
    core->product_scratch = wr_arena_take(arena, layer > head ? layer : head, 1);
    lay_out_blocks(core, arena);
}

static void lay_out_tables(wr_core *core, wr_arena *arena) {
    const weir_train_shape *shape = &core->shape;
    const int64_t padded = (core->head_dim + WR_HEAD_PADDING - 1) / WR_HEAD_PADDING;
    const bool turning = shape->positions == WEIR_TRAIN_ROPE;
    core->cosines = turning ? take(arena, shape->context, padded * WR_HEAD_PADDING) : NULL;
    core->sines = turning ? take(arena, shape->context, padded * WR_HEAD_PADDING) : NULL;
    core->slopes = take(arena, shape->heads, 1);
    core->zeros = take(arena, shape->heads, 1);
}

/* Runs twice: measuring, and over memory. */
static void lay_out(wr_core *core, wr_arena *arena) {
    const weir_train_shape *shape = &core->shape;
    const int64_t n = core->samples * shape->context, width = shape->width;
    core->parameters = take(arena, (int64_t)core->numbers, 1);
    core->gradients = take(arena, (int64_t)core->numbers, 1);
    core->moments[0] = take(arena, (int64_t)core->numbers, 1);
    core->moments[1] = take(arena, (int64_t)core->numbers, 1);
    for (int64_t i = 0; i < shape->layers; i++) lay_out_layer(core, &core->layers[i], arena);
    wr_linear_lay_out(&core->head, core, arena);
    lay_out_tables(core, arena);
    core->stream = take(arena, n, width);
    core->stream_r = take(arena, n, 1);
    core->normed = take(arena, n, width);
    core->feed_normed = core->feed == NULL ? take(arena, n, width) : NULL;
    core->attended_gradient = take(arena, n, width);
    core->normed_gradient = core->attended_gradient; /* read before the other is written */
    core->gradient = take(arena, n, width);
    core->mixed_gradient = take(arena, n, width);
    core->hidden = core->feed == NULL ? take(arena, n, shape->feed_forward) : NULL;
    core->sink_gradients = take(arena, core->samples, shape->heads);
    core->logits =
        core->products->head == NULL ? take(arena, core->chunk, shape->vocabulary) : NULL;
    core->nll = take(arena, n, 1);
    core->fed = wr_arena_take(arena, (size_t)n, sizeof(int32_t));
    core->targets = wr_arena_take(arena, (size_t)n, sizeof(int32_t));
    for (int i = 0; i < 2; i++)
        core->gain_partial[i] = take(arena, (n + WR_NORM_BLOCK - 1) / WR_NORM_BLOCK, width);
    core->sums = wr_arena_take(arena, core->numbers / WR_UPDATE_BLOCK + 1, sizeof(double));
    lay_out_scratch(core, arena);
}

/* ---- creation -------------------------------------------------------------------------------- */

/* The number of a tensor in the table. */
static int64_t tensor_number(const weir_train_shape *shape, const char *name) {
    const int64_t count = wr_parameters_count(shape);
    for (int64_t i = 0; i < count; i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, i, &parameter);
        if (strcmp(parameter.name, name) == 0) return i;
    }
    return -1;
}

static void describe_layer(wr_core *core, int64_t number) {
    const weir_train_shape *shape = &core->shape;
    const int64_t per_layer = WR_PARAMETERS_PER_LAYER - (shape->sink != WEIR_TRAIN_SINK_LOGIT);
    int64_t i = 1 + number * per_layer;
    wr_core_layer *layer = &core->layers[number];
    wr_parameter parameter;
    wr_parameters_get(shape, i++, &parameter);
    layer->attention_norm = parameter.offset;
    wr_linear_init(&layer->projection, shape, i, 3);
    i += 3;
    wr_linear_init(&layer->output, shape, i++, 1);
    if (shape->sink == WEIR_TRAIN_SINK_LOGIT) {
        wr_parameters_get(shape, i++, &parameter);
        layer->sinks = parameter.offset;
    }
    wr_parameters_get(shape, i++, &parameter);
    layer->feed_norm = parameter.offset;
    wr_linear_init(&layer->gates, shape, i, 2);
    wr_linear_init(&layer->down, shape, i + 2, 1);
}

/* Rows that go together through a block's end: as many as a second cache holds beside the weights,
 * or, where it does not hold those, enough to pay for reading them. */
static int64_t rows_most(const weir_train_shape *shape) {
    return shape->width * shape->feed_forward <= 1 << 18 ? 128 : 512;
}

/* Everything but the arena. `layers` is given. */
static void describe(wr_core *core, const wr_core_options *options, wr_core_layer *layers) {
    *core = (wr_core){.shape = options->shape,
                      .samples = options->samples,
                      .products = options->products,
                      .kernels = wr_train_kernels_get(),
                      .threads = options->threads,
                      .layers = layers};
    const weir_train_shape *shape = &core->shape;
    wr_parameter parameter;
    core->head_dim = shape->width / shape->heads;
    core->numbers = wr_parameters_size(shape);
    core->chunk = wr_core_chunk(shape, core->samples * shape->context);
    core->rows_most = rows_most(shape);
    core->attention =
        core->products->attention != NULL ? core->products->attention : &core->kernels->attention;
    core->attention_size = core->attention->scratch(shape->context, core->head_dim);
    for (int64_t i = 0; i < shape->layers; i++) describe_layer(core, i);
    if (core->products->feed != NULL && core->products->feed->fits(shape->feed_forward) &&
        core->layers[0].gates.count == 1)
        core->feed = core->products->feed;
    wr_parameters_get(shape, tensor_number(shape, "output_norm.weight"), &parameter);
    core->output_norm = parameter.offset;
    wr_linear_init(&core->head, shape, shape->tied ? 0 : tensor_number(shape, "output.weight"), 1);
}

/* cos in every place of a pair; -sin, sin. */
static void fill_angles(wr_core *core) {
    const int64_t dim = core->head_dim;
    const int64_t padded = (dim + WR_HEAD_PADDING - 1) / WR_HEAD_PADDING * WR_HEAD_PADDING;
    for (int64_t t = 0; core->cosines != NULL && t < core->shape.context; t++) {
        for (int64_t i = 0; i < dim; i++) {
            double turns = pow(core->shape.rope_base, -(double)(i / 2 * 2) / (double)dim);
            double angle = (double)t * turns;
            core->cosines[t * padded + i] = (real)cos(angle);
            core->sines[t * padded + i] = (real)(i % 2 == 0 ? -sin(angle) : sin(angle));
        }
    }
}

static void fill_slopes(wr_core *core) {
    const int32_t heads = (int32_t)core->shape.heads;
    if (core->shape.positions != WEIR_TRAIN_ALIBI) return;
    for (int32_t i = 0; i < heads; i++) core->slopes[i] = (real)wr_alibi_slope(i, heads, 8.0);
}

static size_t layers_bytes(const weir_train_shape *shape) {
    return (size_t)shape->layers * sizeof(wr_core_layer);
}

size_t wr_core_plan(const wr_core_options *options) {
    wr_core_layer *layers = wr_allocate_array(NULL, 1, layers_bytes(&options->shape));
    if (layers == NULL) return SIZE_MAX;
    wr_core core;
    wr_arena arena = {0};
    describe(&core, options, layers);
    lay_out(&core, &arena);
    wr_release(NULL, layers, layers_bytes(&options->shape));
    return arena.used + sizeof(wr_core) + layers_bytes(&options->shape);
}

weir_status wr_core_create(const wr_core_options *options, wr_core **out, weir_error *error) {
    const weir_allocator *allocator = options->allocator;
    *out = NULL;
    weir_status status = wr_shape_check(&options->shape, error);
    if (status != WEIR_OK) return status;
    wr_core *core = wr_allocate(allocator, sizeof *core);
    wr_core_layer *layers = wr_allocate_array(allocator, 1, layers_bytes(&options->shape));
    if (core == NULL || layers == NULL) {
        wr_release(allocator, core, sizeof *core);
        wr_release(allocator, layers, layers_bytes(&options->shape));
        return weir_error_set(error, WEIR_MEMORY, "out of memory for a model in training");
    }
    describe(core, options, layers);
    wr_arena arena = {0};
    lay_out(core, &arena);
    const size_t needed = arena.used;
    if (wr_arena_bind(&arena, allocator) != WEIR_OK) {
        wr_release(allocator, layers, layers_bytes(&options->shape));
        wr_release(allocator, core, sizeof *core);
        return weir_error_set(error, WEIR_MEMORY,
                              "out of memory: %.1f MB for a model in training, with %lld samples "
                              "at a time",
                              (double)needed * 1e-6, (long long)options->samples);
    }
    wr_advise_huge(arena.base, arena.size);
    lay_out(core, &arena);
    core->arena = arena;
    if (allocator != NULL) core->own_allocator = *allocator;
    core->allocator = allocator != NULL ? &core->own_allocator : NULL;
    wr_threads_share(core->threads);
    fill_angles(core);
    fill_slopes(core);
    *out = core;
    return WEIR_OK;
}

void wr_core_destroy(wr_core *core) {
    if (core == NULL) return;
    const weir_allocator own = core->own_allocator;
    const weir_allocator *allocator = core->allocator != NULL ? &own : NULL;
    wr_threads_release(core->threads);
    wr_arena_release(&core->arena, allocator);
    wr_release(allocator, core->layers, layers_bytes(&core->shape));
    wr_release(allocator, core, sizeof *core);
}

real *wr_core_parameters(wr_core *core) { return core->parameters; }
real *wr_core_gradients(wr_core *core) { return core->gradients; }
real *wr_core_moments(wr_core *core, int which) { return core->moments[which]; }

/* ---- learning -------------------------------------------------------------------------------- */

void wr_core_parameters_changed(wr_core *core) {
    for (int64_t i = 0; i < core->shape.layers; i++) {
        wr_core_layer *layer = &core->layers[i];
        wr_linear_prepare(&layer->projection, core->threads);
        wr_linear_prepare(&layer->output, core->threads);
        wr_linear_prepare(&layer->gates, core->threads);
        wr_linear_prepare(&layer->down, core->threads);
    }
    wr_linear_prepare(&core->head, core->threads);
}

static weir_status feed(wr_core *core, const int32_t *tokens, int64_t samples, weir_error *error) {
    const weir_train_shape *shape = &core->shape;
    if (samples < 1 || samples > core->samples) {
        return weir_error_set(error, WEIR_USAGE, "%lld samples: from 1 to %lld fit",
                              (long long)samples, (long long)core->samples);
    }
    for (int64_t i = 0; i < samples * (shape->context + 1); i++) {
        if (tokens[i] < 0 || tokens[i] >= shape->vocabulary) {
            return weir_error_set(error, WEIR_USAGE,
                                  "sample %lld has token %d: the vocabulary has 0 to %lld",
                                  (long long)(i / (shape->context + 1)), (int)tokens[i],
                                  (long long)shape->vocabulary - 1);
        }
    }
    for (int64_t sample = 0; sample < samples; sample++) {
        for (int64_t t = 0; t < shape->context; t++) {
            const int32_t *at = tokens + sample * (shape->context + 1) + t;
            const int64_t row = sample * shape->context + t;
            core->fed[row] = at[0];
            core->targets[row] = at[1];
        }
    }
    return WEIR_OK;
}

/* Forward with loss; sums nll. */
static weir_status evaluate(wr_core *core, int64_t samples, bool gradients, double *nll,
                            int64_t *scored, weir_error *error) {
    const int64_t n = samples * core->shape.context;
    wr_core_forward(core, samples);
    wr_core_loss(core, samples, gradients);
    double sum = 0;
    int64_t count = 0;
    for (int64_t row = 0; row < n; row++) {
        sum += (double)core->nll[row];
        count += core->targets[row] >= 0;
    }
    *nll = sum;
    *scored = count;
    return isfinite(sum) ? WEIR_OK : wr_core_report_forward(core, samples, error);
}

weir_status wr_core_learn(wr_core *core, const int32_t *tokens, int64_t samples, double *nll,
                          int64_t *scored, weir_error *error) {
    weir_status status = feed(core, tokens, samples, error);
    if (status == WEIR_OK) status = evaluate(core, samples, true, nll, scored, error);
    if (status != WEIR_OK) return status;
    wr_core_backward(core, samples);
    const int64_t numbers = samples * core->shape.context * core->shape.width;
    if (wr_core_finite(core->gradient, numbers)) return WEIR_OK;
    return wr_core_report_backward(core, error);
}

weir_status wr_core_score(wr_core *core, const int32_t *tokens, int64_t samples, double *nll,
                          int64_t *scored, float *scores, weir_error *error) {
    weir_status status = feed(core, tokens, samples, error);
    if (status == WEIR_OK) status = evaluate(core, samples, false, nll, scored, error);
    if (status != WEIR_OK || scores == NULL) return status;
    for (int64_t row = 0; row < samples * core->shape.context; row++)
        scores[row] = (float)core->nll[row];
    return WEIR_OK;
}
