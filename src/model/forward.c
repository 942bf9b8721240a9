/* The forward pass: see forward.h. */
#include "model/forward_inside.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Below this many multiplications, or what takes as long, a step is done by the calling thread:
 * company costs more. */
#define ALONE 100000

static size_t scratch_bytes(const weir_model *m) {
    size_t attention = sizeof(float) * (size_t)wr_attention_scratch(m->heads / m->kv_heads,
                                                                    m->key_dim, m->value_dim);
    size_t product = wr_product_scratch(wr_most_columns(m));
    /* A line apart, so that workers never share one. */
    return ((attention > product ? attention : product) + 127) / 64 * 64;
}

wr_forward *wr_forward_layout(wr_arena *arena, const weir_model *model, int64_t chunk, int threads,
                              int32_t segments, const wr_cache_options *cache) {
    wr_forward *forward = wr_arena_take(arena, 1, sizeof *forward);
    wr_forward measured;
    wr_forward *f = forward ? forward : &measured; /* one list of takes for both passes */
    size_t rows = (size_t)chunk;
    size_t width = (size_t)model->width;
    size_t query = (size_t)model->heads * (size_t)model->key_dim;
    size_t groups = (size_t)wr_cache_count_groups(&cache->shape);
    size_t tile = (size_t)wr_attention_tile(model->heads / model->kv_heads);
    f->model = model;
    f->chunk = chunk;
    f->max_pages = wr_cache_max_pages(cache);
    f->groups = (int32_t)groups;
    f->scratch_bytes = scratch_bytes(model);
    f->x = wr_arena_take(arena, rows * width, sizeof(float));
    f->normed = wr_arena_take(arena, rows * width, sizeof(float));
    f->added = wr_arena_take(arena, rows * width, sizeof(float));
    f->q = wr_arena_take(arena, rows * query, sizeof(float));
    f->q_pinned = wr_arena_take(arena, rows * query, sizeof(float));
    f->k = wr_arena_take(arena, rows * (size_t)(model->kv_heads * model->key_dim), sizeof(float));
    f->v = wr_arena_take(arena, rows * (size_t)(model->kv_heads * model->value_dim), sizeof(float));
    f->attended =
        wr_arena_take(arena, rows * (size_t)(model->heads * model->value_dim), sizeof(float));
    f->gate = wr_arena_take(arena, rows * (size_t)model->feed_forward, sizeof(float));
    f->up = wr_arena_take(arena, rows * (size_t)model->feed_forward, sizeof(float));
    f->angles = wr_arena_take(arena, rows * 2 * (size_t)model->rotary_dim, sizeof(float));
    f->turned = wr_arena_take(arena, rows, sizeof(bool));
    for (int i = WR_INPUT_FLOATS + 1; i < WR_INPUTS; i++) {
        f->input_bytes[i] = wr_input_bytes((wr_input)i, wr_most_columns(model));
        f->inputs[i] = model->takes[i] ? wr_arena_take(arena, rows, f->input_bytes[i]) : NULL;
    }
    f->scratch = wr_arena_take(arena, (size_t)threads, f->scratch_bytes);
    f->views = wr_arena_take(arena, (size_t)segments * groups, sizeof *f->views);
    f->pages =
        wr_arena_take(arena, (size_t)segments * groups * (size_t)f->max_pages, sizeof *f->pages);
    f->spans = wr_arena_take(arena, groups * rows, sizeof *f->spans);
    f->tokens = wr_arena_take(arena, (size_t)threads * tile, sizeof *f->tokens);
    f->segment_of = wr_arena_take(arena, rows, sizeof *f->segment_of);
    f->tiles = wr_arena_take(arena, rows, sizeof *f->tiles);
    return forward;
}

void wr_forward_use_threads(wr_forward *forward, wr_threads *threads) {
    forward->threads = threads;
}

static void show(const wr_forward *f, weir_point point, int layer, const float *data,
                 int64_t columns) {
    for (int32_t i = 0; i < f->segment_count; i++) {
        const wr_segment *s = &f->segments[i];
        if (s->observer && s->observer->fn)
            s->observer->fn(s->observer->context, point, layer, s->first, data + s->row * columns,
                            s->count, columns);
    }
}

void wr_forward_run(wr_forward *f, int64_t items, int64_t work, wr_task task, void *context) {
    int threads = wr_threads_count(f->threads);
    if (threads == 1 || work < ALONE) {
        task(context, 0, items, 0);
        return;
    }
    /* Runs of one token's products follow one another in memory: small ones only end more evenly.
     */
    int64_t grain = items / ((int64_t)threads * (f->count == 1 ? 64 : 8));
    wr_threads_run(f->threads, items, grain > 0 ? grain : 1, task, context);
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void normalise(const weir_model *m, float *y, const float *x, const wr_norm *norm) {
    if (m->family->norm == WR_NORM_RMS)
        m->kernels->rms_norm(y, x, norm->weight, m->width, m->norm_epsilon);
    else
        m->kernels->layer_norm(y, x, norm->weight, norm->bias, m->width, m->norm_epsilon);
}

typedef struct norm_step {
    wr_forward *f;
    const wr_norm *norm; /* NULL: only add */
    bool add;            /* x += added first */
} norm_step;

static void norm_task(void *context, int64_t begin, int64_t end, int worker) {
    const norm_step *step = context;
    wr_forward *f = step->f;
    int64_t width = f->model->width;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        if (step->add) f->model->kernels->add(f->x + i * width, f->added + i * width, width);
        if (step->norm) normalise(f->model, f->normed + i * width, f->x + i * width, step->norm);
    }
}

/* x += added (when `add`), then normed = norm(x) (when `norm`). */
static void add_and_norm(wr_forward *f, bool add, const wr_norm *norm) {
    norm_step step = {.f = f, .norm = norm, .add = add};
    wr_forward_run(f, f->count, f->count * f->model->width * 16, norm_task, &step);
}

static void activation_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_forward *f = context;
    const weir_model *m = f->model;
    int64_t n = m->feed_forward;
    float *acted = m->family->gated ? f->gate : f->up;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        float *row = acted + i * n;
        if (m->family->activation == WR_ACTIVATION_SILU)
            m->kernels->silu(row, row, n);
        else
            m->kernels->gelu(row, row, n);
        if (m->family->gated) m->kernels->multiply(row, f->up + i * n, n);
    }
}

/* --- One block -------------------------------------------------------------------------------- */

static void run_attention(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    wr_weighted projections[] = {{&block->q, f->q}, {&block->k, f->k}, {&block->v, f->v}};
    wr_forward_linear(f, f->normed, f->count, projections, 3);
    show(f, WEIR_POINT_VALUE, layer, f->v, (int64_t)m->kv_heads * m->value_dim);
    wr_forward_attend(f, layer);
    show(f, WEIR_POINT_ATTENTION, layer, f->attended, (int64_t)m->heads * m->value_dim);
    wr_forward_linear(f, f->attended, f->count, &(wr_weighted){&block->out, f->added}, 1);
}

static void run_feed_forward(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    wr_weighted products[] = {{&block->up, f->up}, {&block->gate, f->gate}};
    wr_forward_linear(f, f->normed, f->count, products, m->family->gated ? 2 : 1);
    wr_forward_run(f, f->count, f->count * m->feed_forward * 32, activation_task, f);
    wr_forward_linear(f, m->family->gated ? f->gate : f->up, f->count,
                      &(wr_weighted){&block->down, f->added}, 1);
}

/* --- Shares of the rows -----------------------------------------------------------------------
 *
 * Where a block's weights lie in a processor's own cache, threads that divide each step by weights
 * hand the activations of all rows to each other at every step, which takes as long as computing
 * them. So each takes a share of the rows through half a block: they meet only where queries need
 * the keys of all rows. */

enum {
    SHARE_WEIGHTS = 3 << 19, /* bytes of a block's weights that a thread keeps in its cache */
    SHARE_ROWS = 16          /* for each thread, at least */
};

static int64_t block_weights(const weir_model *m) {
    const wr_block *b = &m->blocks[0];
    const wr_linear *const linears[] = {&b->q, &b->k, &b->v, &b->out, &b->gate, &b->up, &b->down};
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        const wr_matrix *w = &linears[i]->matrix;
        if (w->data) bytes += w->rows * (int64_t)wr_format_row_bytes(w->format, w->columns);
    }
    return bytes;
}

static bool is_observed(const wr_forward *f) {
    for (int32_t i = 0; i < f->segment_count; i++) {
        const wr_observer *observer = f->segments[i].observer;
        if (observer && (observer->fn || observer->scores_fn)) return true;
    }
    return false;
}

/* Shares that the chunk is divided into; 0: steps are divided instead. */
static int64_t count_shares(const wr_forward *f) {
    int64_t threads = wr_threads_count(f->threads);
    if (threads == 1 || f->count < threads * SHARE_ROWS || f->tile_count < threads) return 0;
    if (is_observed(f) || block_weights(f->model) > SHARE_WEIGHTS) return 0;
    return threads;
}

typedef struct share_step {
    wr_forward *f;
    int32_t layer;
    int64_t shares;
} share_step;

static wr_rows share_at(const share_step *step, int64_t share, int worker) {
    const wr_forward *f = step->f;
    wr_rows rows = {.tile = f->tile_count * share / step->shares,
                    .tile_end = f->tile_count * (share + 1) / step->shares,
                    .worker = worker};
    rows.begin = f->tiles[rows.tile].begin;
    rows.end = f->tiles[rows.tile_end - 1].end;
    return rows;
}

/* As far as the keys. */
static void first_half_task(void *context, int64_t begin, int64_t end, int worker) {
    const share_step *step = context;
    wr_forward *f = step->f;
    const wr_block *block = &f->model->blocks[step->layer];
    const wr_weighted projections[] = {{&block->q, f->q}, {&block->k, f->k}, {&block->v, f->v}};
    norm_step norm = {.f = f, .norm = &block->attention_norm, .add = step->layer > 0};
    for (int64_t share = begin; share < end; share++) {
        const wr_rows rows = share_at(step, share, worker);
        norm_task(&norm, rows.begin, rows.end, worker);
        wr_forward_linear_rows(f, &rows, f->normed, projections, 3);
        wr_forward_rotate_rows(f, step->layer, &rows);
    }
}

static void second_half_task(void *context, int64_t begin, int64_t end, int worker) {
    const share_step *step = context;
    wr_forward *f = step->f;
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[step->layer];
    const wr_weighted products[] = {{&block->up, f->up}, {&block->gate, f->gate}};
    norm_step norm = {.f = f, .norm = &block->feed_forward_norm, .add = true};
    for (int64_t share = begin; share < end; share++) {
        const wr_rows rows = share_at(step, share, worker);
        wr_forward_attend_rows(f, step->layer, &rows);
        wr_forward_linear_rows(f, &rows, f->attended, &(wr_weighted){&block->out, f->added}, 1);
        norm_task(&norm, rows.begin, rows.end, worker);
        wr_forward_linear_rows(f, &rows, f->normed, products, m->family->gated ? 2 : 1);
        activation_task(f, rows.begin, rows.end, worker);
        wr_forward_linear_rows(f, &rows, m->family->gated ? f->gate : f->up,
                               &(wr_weighted){&block->down, f->added}, 1);
    }
}

static void run_shares(wr_forward *f, int32_t layer, int64_t shares) {
    share_step step = {.f = f, .layer = layer, .shares = shares};
    wr_threads_run(f->threads, shares, 1, first_half_task, &step);
    wr_threads_run(f->threads, shares, 1, second_half_task, &step);
}

/* --- One chunk -------------------------------------------------------------------------------- */

/* Rows for the segments, one after another, and their embeddings. */
static void embed(wr_forward *f, wr_segment *segments, int32_t count) {
    const wr_matrix *e = &f->model->embedding;
    size_t row_bytes = wr_format_row_bytes(e->format, e->columns);
    f->segments = segments;
    f->segment_count = count;
    f->count = 0;
    for (int32_t i = 0; i < count; i++) {
        wr_segment *s = &segments[i];
        assert(s->count >= 1 && s->count <= f->chunk - f->count);
        s->row = f->count;
        s->first = wr_cache_length(s->cache);
        f->count += s->count;
        for (int64_t j = 0; j < s->count; j++) {
            f->segment_of[s->row + j] = i;
            f->model->kernels->decode(e->format,
                                      (const uint8_t *)e->data + row_bytes * (size_t)s->tokens[j],
                                      f->x + (s->row + j) * e->columns, e->columns);
        }
    }
}

static bool all_cancelled(const wr_forward *f) {
    for (int32_t i = 0; i < f->segment_count; i++) {
        const atomic_bool *cancel = f->segments[i].cancel;
        if (!cancel || !atomic_load_explicit(cancel, memory_order_relaxed)) return false;
    }
    return true;
}

weir_status wr_forward_chunk(wr_forward *f, wr_segment *segments, int32_t count) {
    const weir_model *m = f->model;
    assert(count >= 1);
    embed(f, segments, count);
    show(f, WEIR_POINT_EMBEDDING, -1, f->x, m->width);
    wr_forward_place(f);
    const int64_t shares = count_shares(f);
    for (int32_t layer = 0; layer < m->layers; layer++) {
        if (all_cancelled(f)) return WEIR_CANCELLED;
        if (shares > 0) {
            run_shares(f, layer, shares);
            continue;
        }
        add_and_norm(f, layer > 0, &m->blocks[layer].attention_norm);
        if (layer > 0) show(f, WEIR_POINT_LAYER, layer - 1, f->x, m->width);
        run_attention(f, layer);
        add_and_norm(f, true, &m->blocks[layer].feed_forward_norm);
        run_feed_forward(f, layer);
    }
    add_and_norm(f, true, NULL);
    show(f, WEIR_POINT_LAYER, m->layers - 1, f->x, m->width);
    return WEIR_OK;
}

const float *wr_forward_hidden(const wr_forward *f, int64_t row) {
    return f->x + row * f->model->width;
}

/* --- Logits ----------------------------------------------------------------------------------- */

/* Rows of consecutive tokens of one stream are shown together. */
static void show_final(const wr_forward *f, const wr_logit_row *rows, int64_t count) {
    int64_t width = f->model->width;
    for (int64_t i = 0, next; i < count; i = next) {
        const wr_observer *observer = rows[i].observer;
        for (next = i + 1; next < count && rows[next].observer == observer; next++)
            if (rows[next].index != rows[next - 1].index + 1) break;
        if (observer && observer->fn)
            observer->fn(observer->context, WEIR_POINT_FINAL, -1, rows[i].index,
                         f->normed + i * width, next - i, width);
    }
}

void wr_forward_logits(wr_forward *f, const wr_logit_row *rows, int64_t count, float *logits) {
    const weir_model *m = f->model;
    assert(count >= 1 && count <= f->chunk);
    for (int64_t i = 0; i < count; i++)
        normalise(m, f->normed + i * m->width, rows[i].hidden, &m->final_norm);
    show_final(f, rows, count);
    wr_forward_linear(f, f->normed, count, &(wr_weighted){&m->head, logits}, 1);
}

bool wr_logits_finite(const float *logits, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(logits[i])) return false;
    return true;
}
