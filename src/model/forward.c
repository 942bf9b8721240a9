/* The forward pass: see forward.h. */
#include "model/forward.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Below this many multiplications a step is done by the calling thread: waking others costs more.
 */
#define ALONE 200000

/* What a token may attend, as numbers in its group's sequences of pages. */
typedef struct token_spans {
    wr_kv_span pinned;
    wr_kv_span recent;
} token_spans;

struct wr_forward {
    const weir_model *model;
    wr_threads *threads;
    int64_t chunk;
    float *x;        /* [chunk, width] the residual stream */
    float *normed;   /* [chunk, width] */
    float *added;    /* [chunk, width] what a half block adds to x */
    float *q;        /* [chunk, heads * key_dim] rotated at t */
    float *q_pinned; /* [chunk, heads * key_dim] rotated at c(t) */
    float *k;        /* [chunk, kv_heads * key_dim] */
    float *v;        /* [chunk, kv_heads * value_dim] */
    float *attended; /* [chunk, heads * value_dim] */
    float *gate;     /* [chunk, feed_forward] */
    float *up;       /* [chunk, feed_forward] */
    float *angles;   /* [chunk, 2, rotary_dim]: at t, at c(t) */
    bool *turned;    /* [chunk] c(t) differs from t */
    float *scratch;  /* [threads, scratch_floats] */
    int64_t scratch_floats;
    wr_cache_view *views;       /* [groups] the chunk's pages */
    const uint8_t **pages;      /* [groups, max_pages] */
    token_spans *spans;         /* [groups, chunk] */
    wr_attention_token *tokens; /* [threads, tile] */
    int32_t max_pages;

    weir_observer_fn observer;
    void *observer_context;
    weir_scores_fn scores_fn;
    void *scores_context;
    float *scores; /* [heads, S + W] while there is a scores_fn */

    /* The chunk at hand. */
    wr_cache *cache;
    int64_t first; /* stream index of row 0 */
    int64_t count;
};

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t scratch_floats(const weir_model *m) {
    int64_t columns = larger(m->width, larger(m->feed_forward, (int64_t)m->heads * m->value_dim));
    int64_t attention = wr_attention_scratch(m->heads / m->kv_heads, m->key_dim, m->value_dim);
    /* A line apart, so that workers never share one. */
    return (larger(wr_matmul_scratch(columns), attention) + 31) / 16 * 16;
}

wr_forward *wr_forward_layout(wr_arena *arena, const weir_model *model, int64_t chunk, int threads,
                              const wr_cache_options *cache) {
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
    f->scratch_floats = scratch_floats(model);
    f->x = wr_arena_take(arena, rows * width, sizeof(float));
    f->normed =
        wr_arena_take(arena, (rows > WR_LOGIT_ROWS ? rows : WR_LOGIT_ROWS) * width, sizeof(float));
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
    f->scratch = wr_arena_take(arena, (size_t)threads * (size_t)f->scratch_floats, sizeof(float));
    f->views = wr_arena_take(arena, groups, sizeof *f->views);
    f->pages = wr_arena_take(arena, groups * (size_t)f->max_pages, sizeof *f->pages);
    f->spans = wr_arena_take(arena, groups * rows, sizeof *f->spans);
    f->tokens = wr_arena_take(arena, (size_t)threads * tile, sizeof *f->tokens);
    return forward;
}

void wr_forward_use_threads(wr_forward *forward, wr_threads *threads) {
    forward->threads = threads;
}

void wr_forward_observe(wr_forward *forward, weir_observer_fn fn, void *context) {
    forward->observer = fn;
    forward->observer_context = context;
}

void wr_forward_observe_scores(wr_forward *forward, weir_scores_fn fn, void *context, float *room) {
    forward->scores_fn = fn;
    forward->scores_context = context;
    forward->scores = room;
}

static void show(const wr_forward *f, weir_point point, int layer, int64_t first, const float *data,
                 int64_t rows, int64_t columns) {
    if (f->observer) f->observer(f->observer_context, point, layer, first, data, rows, columns);
}

/* Run a task over items; alone when all of it is `work` < ALONE multiplications. Items are claimed
 * in enough runs that a slow thread only claims fewer. */
static void run(wr_forward *f, int64_t items, int64_t work, wr_task task, void *context) {
    int threads = wr_threads_count(f->threads);
    if (threads == 1 || work < ALONE) {
        task(context, 0, items, 0);
        return;
    }
    int64_t grain = items / ((int64_t)threads * 8);
    wr_threads_run(f->threads, items, grain > 0 ? grain : 1, task, context);
}

/* --- Linear: up to three products of the same rows -------------------------------------------- */

typedef struct product {
    const wr_linear *linear;
    float *y; /* [batch, rows] */
} product;

typedef struct linear_step {
    wr_forward *f;
    const float *x; /* [batch, columns] */
    int64_t batch;
    const product *products;
    int count;
} linear_step;

static int64_t grains_of(const wr_linear *linear) {
    return (linear->matrix.rows + WR_MATMUL_GRAIN - 1) / WR_MATMUL_GRAIN;
}

static void multiply_rows(const linear_step *step, const product *p, int64_t begin, int64_t end,
                          float *scratch) {
    const wr_matrix *w = &p->linear->matrix;
    const wr_kernels *kernels = step->f->model->kernels;
    int64_t row = begin * WR_MATMUL_GRAIN;
    int64_t stop = end * WR_MATMUL_GRAIN < w->rows ? end * WR_MATMUL_GRAIN : w->rows;
    kernels->matmul(w, row, stop, step->x, w->columns, step->batch, p->y, w->rows, scratch);
    if (!p->linear->bias) return;
    for (int64_t b = 0; b < step->batch; b++)
        kernels->add(p->y + b * w->rows + row, p->linear->bias + row, stop - row);
}

/* Items are grains of rows, those of the first product first. */
static void linear_task(void *context, int64_t begin, int64_t end, int worker) {
    const linear_step *step = context;
    float *scratch = step->f->scratch + worker * step->f->scratch_floats;
    int64_t base = 0;
    for (int i = 0; i < step->count; i++) {
        int64_t grains = grains_of(step->products[i].linear);
        int64_t low = larger(begin, base) - base;
        int64_t high = (end < base + grains ? end : base + grains) - base;
        if (low < high) multiply_rows(step, &step->products[i], low, high, scratch);
        base += grains;
    }
}

static void linear(wr_forward *f, const float *x, int64_t batch, const product *products,
                   int count) {
    linear_step step = {.f = f, .x = x, .batch = batch, .products = products, .count = count};
    int64_t grains = 0;
    int64_t work = 0;
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        grains += grains_of(products[i].linear);
        work += w->rows * w->columns * batch;
    }
    run(f, grains, work, linear_task, &step);
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
    run(f, f->count, f->count * f->model->width * 4, norm_task, &step);
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

/* --- Positions, pages and spans, once per chunk ----------------------------------------------- */

static void place_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_forward *f = context;
    const wr_rope *rope = &f->model->rope;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t t = f->first + i;
        int64_t position = wr_cache_position(f->cache, t);
        float *angles = f->angles + i * 2 * rope->dim;
        f->turned[i] = position != t && wr_cache_pinned(f->cache) > 0;
        wr_rope_angles(rope, (uint64_t)t, angles);
        if (f->turned[i]) wr_rope_angles(rope, (uint64_t)position, angles + rope->dim);
        for (int32_t g = 0; g < wr_cache_groups(f->cache); g++) {
            token_spans *spans = &f->spans[g * f->chunk + i];
            wr_cache_spans(f->cache, g, &f->views[g], t, &spans->pinned, &spans->recent);
        }
    }
}

static void place_chunk(wr_forward *f) {
    for (int32_t g = 0; g < wr_cache_groups(f->cache); g++) {
        f->views[g].pages = f->pages + (int64_t)g * f->max_pages;
        wr_cache_view_of(f->cache, g, f->first, f->first + f->count, &f->views[g]);
    }
    run(f, f->count, f->count * (f->model->rotary_dim + 1) * 50, place_task, f);
}

/* --- Attention -------------------------------------------------------------------------------- */

typedef struct layer_step {
    wr_forward *f;
    int32_t layer;
    int32_t tile;  /* tokens of an attention job */
    int32_t parts; /* that the heads of a KV head are divided into */
} layer_step;

static void write_cache(const wr_forward *f, int32_t layer, int64_t i) {
    const weir_model *m = f->model;
    wr_cache_row row = wr_cache_row_at(f->cache, layer, f->first + i);
    const float *k = f->k + i * m->kv_heads * m->key_dim;
    const float *v = f->v + i * m->kv_heads * m->value_dim;
    for (int32_t h = 0; h < m->kv_heads; h++) {
        size_t at = row.head_stride * (size_t)h;
        m->kernels->kv_write_key(row.type, row.keys + at, row.place, k + (int64_t)h * m->key_dim,
                                 m->key_dim);
        m->kernels->kv_write(row.type, row.value + at, v + (int64_t)h * m->value_dim, m->value_dim);
    }
}

static void rotate_task(void *context, int64_t begin, int64_t end, int worker) {
    const layer_step *step = context;
    wr_forward *f = step->f;
    const weir_model *m = f->model;
    const wr_rope *rope = &m->rope;
    int64_t query = (int64_t)m->heads * m->key_dim;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const float *angles = f->angles + i * 2 * rope->dim;
        float *q = f->q + i * query;
        float *k = f->k + i * m->kv_heads * m->key_dim;
        if (f->turned[i])
            m->kernels->rotate(f->q_pinned + i * query, q, angles + rope->dim, m->heads, m->key_dim,
                               rope->dim, rope->pairing);
        m->kernels->rotate(q, q, angles, m->heads, m->key_dim, rope->dim, rope->pairing);
        m->kernels->rotate(k, k, angles, m->kv_heads, m->key_dim, rope->dim, rope->pairing);
        write_cache(f, step->layer, i);
    }
}

static wr_attention_token attention_token(const wr_forward *f, int32_t layer, int64_t i,
                                          int32_t head) {
    const weir_model *m = f->model;
    const token_spans *spans = &f->spans[wr_cache_group_of(f->cache, layer) * f->chunk + i];
    int64_t query = (i * m->heads + head) * m->key_dim;
    return (wr_attention_token){.query_recent = f->q + query,
                                .query_pinned = (f->turned[i] ? f->q_pinned : f->q) + query,
                                .out = f->attended + (i * m->heads + head) * m->value_dim,
                                .pinned = spans->pinned,
                                .recent = spans->recent};
}

/* A job for `heads` query heads of one KV head; its tokens are the caller's to give. */
static wr_attention attention_job(const wr_forward *f, int32_t layer, int32_t kv_head,
                                  int32_t heads, int worker) {
    const weir_model *m = f->model;
    const wr_cache_view *view = &f->views[wr_cache_group_of(f->cache, layer)];
    int32_t tile = wr_attention_tile(m->heads / m->kv_heads);
    wr_attention job = {.tokens = f->tokens + (int64_t)worker * tile,
                        .heads = heads,
                        .key_dim = m->key_dim,
                        .value_dim = m->value_dim,
                        .scale = m->attention_scale,
                        .scratch = f->scratch + worker * f->scratch_floats};
    wr_cache_offsets(f->cache, layer, kv_head, &job.pinned, &job.recent);
    job.pinned.pages = view->pages;
    job.recent.pages = view->pages + view->pinned;
    return job;
}

/* Tokens [begin, end) of the chunk for query heads [head, head_end), which share a KV head. */
static void attend_tile(const layer_step *step, int64_t begin, int64_t end, int32_t head,
                        int32_t head_end, int worker) {
    const wr_forward *f = step->f;
    int32_t group = f->model->heads / f->model->kv_heads;
    wr_attention_token *tokens = f->tokens + (int64_t)worker * wr_attention_tile(group);
    wr_attention job = attention_job(f, step->layer, head / group, head_end - head, worker);
    for (int64_t i = begin; i < end; i++)
        tokens[job.token_count++] = attention_token(f, step->layer, i, head);
    f->model->kernels->attend(&job);
}

static int64_t tiles_of(const layer_step *step) {
    return (step->f->count + step->tile - 1) / step->tile;
}

/* Item = (KV head * parts + part) * tiles + tile: neighbours read the same pages. */
static void attend_task(void *context, int64_t begin, int64_t end, int worker) {
    const layer_step *step = context;
    const wr_forward *f = step->f;
    int32_t group = f->model->heads / f->model->kv_heads;
    int64_t tiles = tiles_of(step);
    for (int64_t item = begin; item < end; item++) {
        int64_t token = item % tiles * step->tile;
        int64_t stop = token + step->tile < f->count ? token + step->tile : f->count;
        int32_t part = (int32_t)(item / tiles % step->parts);
        int32_t head = (int32_t)(item / tiles / step->parts) * group;
        attend_tile(step, token, stop, head + group * part / step->parts,
                    head + group * (part + 1) / step->parts, worker);
    }
}

/* Tiles are smaller, down to enough queries for full vectors, where large ones would leave threads
 * without work. For a few tokens the heads that share a KV head are divided as well, though each
 * part reads the keys again. */
static void divide_attention(layer_step *step) {
    const weir_model *m = step->f->model;
    int32_t group = m->heads / m->kv_heads;
    int64_t threads = wr_threads_count(step->f->threads);
    step->tile = wr_attention_tile(group);
    step->parts = 1;
    while (m->kv_heads * tiles_of(step) < 4 * threads && step->tile * group > 32 && step->tile > 1)
        step->tile = (step->tile + 1) / 2;
    for (int64_t items = m->kv_heads * tiles_of(step);
         items % threads != 0 && items < 4 * threads && step->parts * 2 <= group; items *= 2)
        step->parts *= 2;
}

/* For the observer every query attends once more, now keeping its scores; the output is the same.
 */
static void show_scores(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    int32_t group = m->heads / m->kv_heads;
    for (int64_t i = 0; i < f->count; i++) {
        wr_attention_token token = attention_token(f, layer, i, 0);
        weir_scores seen = {.layer = layer,
                            .index = f->first + i,
                            .scores = f->scores,
                            .heads = m->heads,
                            .pinned = token.pinned.end - token.pinned.begin};
        int32_t recent = token.recent.end - token.recent.begin;
        int64_t pinned_end = wr_cache_pinned(f->cache);
        pinned_end = pinned_end < seen.index + 1 ? pinned_end : seen.index + 1;
        seen.keys = seen.pinned + recent;
        seen.pinned_first = pinned_end - seen.pinned;
        seen.recent_first = seen.index + 1 - recent;
        for (int32_t head = 0; head < m->heads; head += group) {
            wr_attention job = attention_job(f, layer, head / group, group, 0);
            token = attention_token(f, layer, i, head);
            token.scores = f->scores + (int64_t)head * seen.keys;
            job.tokens = &token;
            job.token_count = 1;
            m->kernels->attend(&job);
        }
        f->scores_fn(f->scores_context, &seen);
    }
}

/* Multiplications of attention over the chunk, roughly: for deciding who computes. */
static int64_t attention_work(const wr_forward *f) {
    const weir_model *m = f->model;
    int64_t last = f->first + f->count - 1;
    int64_t keys = wr_cache_position(f->cache, last) + 1;
    return f->count * keys * m->heads * (m->key_dim + m->value_dim);
}

/* --- One block -------------------------------------------------------------------------------- */

static void run_attention(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    layer_step step = {.f = f, .layer = layer};
    product projections[] = {{&block->q, f->q}, {&block->k, f->k}, {&block->v, f->v}};
    linear(f, f->normed, f->count, projections, 3);
    show(f, WEIR_POINT_VALUE, layer, f->first, f->v, f->count, (int64_t)m->kv_heads * m->value_dim);
    run(f, f->count, f->count * m->width * 4, rotate_task, &step);
    divide_attention(&step);
    run(f, m->kv_heads * step.parts * tiles_of(&step), attention_work(f), attend_task, &step);
    if (f->scores_fn) show_scores(f, layer);
    show(f, WEIR_POINT_ATTENTION, layer, f->first, f->attended, f->count,
         (int64_t)m->heads * m->value_dim);
    linear(f, f->attended, f->count, &(product){&block->out, f->added}, 1);
}

static void run_feed_forward(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    product products[] = {{&block->up, f->up}, {&block->gate, f->gate}};
    linear(f, f->normed, f->count, products, m->family->gated ? 2 : 1);
    run(f, f->count, f->count * m->feed_forward * 8, activation_task, f);
    linear(f, m->family->gated ? f->gate : f->up, f->count, &(product){&block->down, f->added}, 1);
}

static void embed(wr_forward *f, const int32_t *tokens) {
    const wr_matrix *e = &f->model->embedding;
    size_t row_bytes = wr_format_row_bytes(e->format, e->columns);
    for (int64_t i = 0; i < f->count; i++)
        f->model->kernels->decode(e->format,
                                  (const uint8_t *)e->data + row_bytes * (size_t)tokens[i],
                                  f->x + i * e->columns, e->columns);
}

weir_status wr_forward_chunk(wr_forward *f, wr_cache *cache, const int32_t *tokens, int64_t count,
                             const atomic_bool *cancel) {
    const weir_model *m = f->model;
    assert(count >= 1 && count <= f->chunk);
    f->cache = cache;
    f->first = wr_cache_length(cache);
    f->count = count;
    embed(f, tokens);
    show(f, WEIR_POINT_EMBEDDING, -1, f->first, f->x, count, m->width);
    place_chunk(f);
    for (int32_t layer = 0; layer < m->layers; layer++) {
        if (atomic_load_explicit(cancel, memory_order_relaxed)) return WEIR_CANCELLED;
        add_and_norm(f, layer > 0, &m->blocks[layer].attention_norm);
        if (layer > 0) show(f, WEIR_POINT_LAYER, layer - 1, f->first, f->x, count, m->width);
        run_attention(f, layer);
        add_and_norm(f, true, &m->blocks[layer].feed_forward_norm);
        run_feed_forward(f, layer);
    }
    add_and_norm(f, true, NULL);
    show(f, WEIR_POINT_LAYER, m->layers - 1, f->first, f->x, count, m->width);
    return WEIR_OK;
}

const float *wr_forward_hidden(const wr_forward *f, int64_t row) {
    return f->x + row * f->model->width;
}

/* --- Logits ----------------------------------------------------------------------------------- */

weir_status wr_forward_logits(wr_forward *f, const float *hidden, int64_t first, int64_t count,
                              float *logits) {
    const weir_model *m = f->model;
    assert(count <= WR_LOGIT_ROWS);
    for (int64_t i = 0; i < count; i++)
        normalise(m, f->normed + i * m->width, hidden + i * m->width, &m->final_norm);
    show(f, WEIR_POINT_FINAL, -1, first, f->normed, count, m->width);
    linear(f, f->normed, count, &(product){&m->head, logits}, 1);
    for (int64_t i = 0; i < count * m->vocabulary; i++)
        if (!isfinite(logits[i])) return WEIR_NAN;
    return WEIR_OK;
}
