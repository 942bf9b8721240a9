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

/* Rows of one segment. */
typedef struct token_tile {
    int64_t begin, end;
} token_tile;

struct wr_forward {
    const weir_model *model;
    wr_threads *threads;
    int64_t chunk;
    float *x;                   /* [chunk, width] the residual stream */
    float *normed;              /* [chunk, width] */
    float *added;               /* [chunk, width] what a half block adds to x */
    float *q;                   /* [chunk, heads * key_dim] rotated at t */
    float *q_pinned;            /* [chunk, heads * key_dim] rotated at c(t) */
    float *k;                   /* [chunk, kv_heads * key_dim] */
    float *v;                   /* [chunk, kv_heads * value_dim] */
    float *attended;            /* [chunk, heads * value_dim] */
    float *gate;                /* [chunk, feed_forward] */
    float *up;                  /* [chunk, feed_forward] */
    float *angles;              /* [chunk, 2, rotary_dim]: at t, at c(t) */
    bool *turned;               /* [chunk] c(t) differs from t */
    uint8_t *inputs[WR_INPUTS]; /* [chunk] rows of what products read; NULL: no weight takes it */
    size_t input_bytes[WR_INPUTS];
    uint8_t *scratch; /* [threads, scratch_bytes] */
    size_t scratch_bytes;
    wr_cache_view *views;       /* [segments, groups] the pages of a segment */
    const uint8_t **pages;      /* [segments, groups, max_pages] */
    token_spans *spans;         /* [groups, chunk] */
    wr_attention_token *tokens; /* [threads, tile] */
    int32_t max_pages;
    int32_t groups;
    int32_t *segment_of; /* [chunk] the segment that a row belongs to */
    token_tile *tiles;   /* [chunk] whose queries attend together */

    /* The chunk at hand. */
    wr_segment *segments; /* borrowed */
    int32_t segment_count;
    int64_t count; /* rows of all segments */
    int64_t tile_count;
};

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t most_columns(const weir_model *m) {
    return larger(m->width, larger(m->feed_forward, (int64_t)m->heads * m->value_dim));
}

static size_t scratch_bytes(const weir_model *m) {
    size_t attention = sizeof(float) * (size_t)wr_attention_scratch(m->heads / m->kv_heads,
                                                                    m->key_dim, m->value_dim);
    size_t product = wr_product_scratch(most_columns(m));
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
        f->input_bytes[i] = wr_input_bytes((wr_input)i, most_columns(model));
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

static const wr_segment *segment_at(const wr_forward *f, int64_t row) {
    return &f->segments[f->segment_of[row]];
}

/* The stream index of a row. */
static int64_t index_at(const wr_forward *f, int64_t row) {
    const wr_segment *segment = segment_at(f, row);
    return segment->first + (row - segment->row);
}

/* Every segment's rows of [count, columns] to its observer. */
static void show(const wr_forward *f, weir_point point, int layer, const float *data,
                 int64_t columns) {
    for (int32_t i = 0; i < f->segment_count; i++) {
        const wr_segment *s = &f->segments[i];
        if (s->observer && s->observer->fn)
            s->observer->fn(s->observer->context, point, layer, s->first, data + s->row * columns,
                            s->count, columns);
    }
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

/* Prepare rows of x as input[kind]: for every product that takes it. */
typedef struct input_step {
    wr_forward *f;
    const float *x; /* [batch, columns] */
    int64_t columns;
    wr_input kind;
} input_step;

static void input_task(void *context, int64_t begin, int64_t end, int worker) {
    const input_step *step = context;
    wr_forward *f = step->f;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        f->model->kernels->prepare(step->kind, step->x + i * step->columns, step->columns,
                                   f->inputs[step->kind] + (size_t)i * f->input_bytes[step->kind]);
}

static void prepare_inputs(wr_forward *f, const float *x, int64_t batch, const product *products,
                           int count) {
    bool done[WR_INPUTS] = {[WR_INPUT_FLOATS] = true};
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        input_step step = {
            .f = f, .x = x, .columns = w->columns, .kind = f->model->kernels->input_of(w->format)};
        if (done[step.kind]) continue;
        done[step.kind] = true;
        run(f, batch, batch * w->columns, input_task, &step);
    }
}

static void multiply_panels(const linear_step *step, const product *p, int64_t begin, int64_t end,
                            uint8_t *scratch) {
    const wr_forward *f = step->f;
    const wr_matrix *w = &p->linear->matrix;
    wr_input kind = f->model->kernels->input_of(w->format);
    bool floats = kind == WR_INPUT_FLOATS;
    f->model->kernels->product(&(wr_product){.w = w,
                                             .panel_begin = begin,
                                             .panel_end = end,
                                             .x = floats ? (const void *)step->x : f->inputs[kind],
                                             .x_stride = floats ? (size_t)w->columns * sizeof(float)
                                                                : f->input_bytes[kind],
                                             .batch = step->batch,
                                             .y = p->y,
                                             .y_stride = w->rows,
                                             .scratch = scratch});
    if (!p->linear->bias) return;
    int64_t row = begin * WR_PANEL_ROWS;
    int64_t stop = end * WR_PANEL_ROWS < w->rows ? end * WR_PANEL_ROWS : w->rows;
    for (int64_t b = 0; b < step->batch; b++)
        f->model->kernels->add(p->y + b * w->rows + row, p->linear->bias + row, stop - row);
}

/* Items are panels, those of the first product first. */
static void linear_task(void *context, int64_t begin, int64_t end, int worker) {
    const linear_step *step = context;
    uint8_t *scratch = step->f->scratch + (size_t)worker * step->f->scratch_bytes;
    int64_t base = 0;
    for (int i = 0; i < step->count; i++) {
        int64_t panels = wr_panel_count(step->products[i].linear->matrix.rows);
        int64_t low = larger(begin, base) - base;
        int64_t high = (end < base + panels ? end : base + panels) - base;
        if (low < high) multiply_panels(step, &step->products[i], low, high, scratch);
        base += panels;
    }
}

static void linear(wr_forward *f, const float *x, int64_t batch, const product *products,
                   int count) {
    linear_step step = {.f = f, .x = x, .batch = batch, .products = products, .count = count};
    int64_t panels = 0;
    int64_t work = 0;
    prepare_inputs(f, x, batch, products, count);
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        panels += wr_panel_count(w->rows);
        work += w->rows * w->columns * batch;
    }
    run(f, panels, work, linear_task, &step);
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

/* --- Positions, pages, spans and tiles, once per chunk
 * ----------------------------------------------- */

static wr_cache_view *view_at(const wr_forward *f, int32_t segment, int32_t group) {
    return &f->views[segment * f->groups + group];
}

static void place_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_forward *f = context;
    const wr_rope *rope = &f->model->rope;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const wr_cache *cache = segment_at(f, i)->cache;
        int64_t t = index_at(f, i);
        int64_t position = wr_cache_position(cache, t);
        float *angles = f->angles + i * 2 * rope->dim;
        f->turned[i] = position != t && wr_cache_pinned(cache) > 0;
        wr_rope_angles(rope, (uint64_t)t, angles);
        if (f->turned[i]) wr_rope_angles(rope, (uint64_t)position, angles + rope->dim);
        for (int32_t g = 0; g < wr_cache_groups(cache); g++) {
            token_spans *spans = &f->spans[g * f->chunk + i];
            wr_cache_spans(cache, g, view_at(f, f->segment_of[i], g), t, &spans->pinned,
                           &spans->recent);
        }
    }
}

/* Tokens of a tile: fewer where threads would idle, as long as vectors stay full. */
static int64_t choose_tile(const wr_forward *f) {
    const weir_model *m = f->model;
    int64_t group = m->heads / m->kv_heads;
    int64_t wanted = 4 * wr_threads_count(f->threads);
    int64_t tile = wr_attention_tile((int32_t)group);
    while (tile > 1 && tile * group > 32 && m->kv_heads * ((f->count + tile - 1) / tile) < wanted)
        tile = (tile + 1) / 2;
    return tile;
}

static void place_segment(wr_forward *f, int32_t segment, int64_t tile) {
    const wr_segment *s = &f->segments[segment];
    for (int32_t g = 0; g < f->groups; g++) {
        wr_cache_view *view = view_at(f, segment, g);
        view->pages = f->pages + (int64_t)(segment * f->groups + g) * f->max_pages;
        wr_cache_view_of(s->cache, g, s->first, s->first + s->count, view);
    }
    for (int64_t at = s->row, end = s->row + s->count; at < end; at += tile)
        f->tiles[f->tile_count++] = (token_tile){at, at + tile < end ? at + tile : end};
}

static void place_chunk(wr_forward *f) {
    const int64_t tile = choose_tile(f);
    f->tile_count = 0;
    for (int32_t i = 0; i < f->segment_count; i++) place_segment(f, i, tile);
    run(f, f->count, f->count * (f->model->rotary_dim + 1) * 50, place_task, f);
}

/* --- Attention -------------------------------------------------------------------------------- */

typedef struct layer_step {
    wr_forward *f;
    int32_t layer;
    int32_t parts; /* that the heads of a KV head are divided into */
} layer_step;

static void write_cache(const wr_forward *f, int32_t layer, int64_t i) {
    const weir_model *m = f->model;
    wr_cache_row row = wr_cache_row_at(segment_at(f, i)->cache, layer, index_at(f, i));
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
    const token_spans *spans =
        &f->spans[wr_cache_group_of(segment_at(f, i)->cache, layer) * f->chunk + i];
    int64_t query = (i * m->heads + head) * m->key_dim;
    return (wr_attention_token){.query_recent = f->q + query,
                                .query_pinned = (f->turned[i] ? f->q_pinned : f->q) + query,
                                .out = f->attended + (i * m->heads + head) * m->value_dim,
                                .pinned = spans->pinned,
                                .recent = spans->recent};
}

/* A job for `heads` query heads of one KV head; its tokens are the caller's to give. */
static wr_attention attention_job(const wr_forward *f, int32_t layer, int32_t segment,
                                  int32_t kv_head, int32_t heads, int worker) {
    const weir_model *m = f->model;
    const wr_cache *cache = f->segments[segment].cache;
    const wr_cache_view *view = view_at(f, segment, wr_cache_group_of(cache, layer));
    int32_t tile = wr_attention_tile(m->heads / m->kv_heads);
    wr_attention job = {.tokens = f->tokens + (int64_t)worker * tile,
                        .heads = heads,
                        .key_dim = m->key_dim,
                        .value_dim = m->value_dim,
                        .scale = m->attention_scale,
                        .scratch =
                            (float *)(void *)(f->scratch + (size_t)worker * f->scratch_bytes)};
    wr_cache_offsets(cache, layer, kv_head, &job.pinned, &job.recent);
    job.pinned.pages = view->pages;
    job.recent.pages = view->pages + view->pinned;
    return job;
}

/* The tokens of a tile for query heads [head, head_end), which share a KV head. */
static void attend_tile(const layer_step *step, token_tile tile, int32_t head, int32_t head_end,
                        int worker) {
    const wr_forward *f = step->f;
    int32_t group = f->model->heads / f->model->kv_heads;
    wr_attention_token *tokens = f->tokens + (int64_t)worker * wr_attention_tile(group);
    wr_attention job = attention_job(f, step->layer, f->segment_of[tile.begin], head / group,
                                     head_end - head, worker);
    for (int64_t i = tile.begin; i < tile.end; i++)
        tokens[job.token_count++] = attention_token(f, step->layer, i, head);
    f->model->kernels->attend(&job);
}

/* Item = (KV head * parts + part) * tiles + tile: neighbours read the same pages. */
static void attend_task(void *context, int64_t begin, int64_t end, int worker) {
    const layer_step *step = context;
    const wr_forward *f = step->f;
    int32_t group = f->model->heads / f->model->kv_heads;
    int64_t tiles = f->tile_count;
    for (int64_t item = begin; item < end; item++) {
        int32_t part = (int32_t)(item / tiles % step->parts);
        int32_t head = (int32_t)(item / tiles / step->parts) * group;
        attend_tile(step, f->tiles[item % tiles], head + group * part / step->parts,
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
    step->parts = 1;
    for (int64_t items = m->kv_heads * step->f->tile_count;
         items % threads != 0 && items < 4 * threads && step->parts * 2 <= group; items *= 2)
        step->parts *= 2;
}

/* For the observer every query of the segment attends once more, now keeping its scores; the output
 * is the same. */
static void show_scores(const wr_forward *f, int32_t layer, const wr_segment *segment) {
    const weir_model *m = f->model;
    const wr_observer *observer = segment->observer;
    int32_t group = m->heads / m->kv_heads;
    for (int64_t i = segment->row; i < segment->row + segment->count; i++) {
        wr_attention_token token = attention_token(f, layer, i, 0);
        weir_scores seen = {.layer = layer,
                            .index = index_at(f, i),
                            .scores = observer->scores,
                            .heads = m->heads,
                            .pinned = token.pinned.end - token.pinned.begin};
        int32_t recent = token.recent.end - token.recent.begin;
        int64_t pinned_end = wr_cache_pinned(segment->cache);
        pinned_end = pinned_end < seen.index + 1 ? pinned_end : seen.index + 1;
        seen.keys = seen.pinned + recent;
        seen.pinned_first = pinned_end - seen.pinned;
        seen.recent_first = seen.index + 1 - recent;
        for (int32_t head = 0; head < m->heads; head += group) {
            wr_attention job = attention_job(f, layer, f->segment_of[i], head / group, group, 0);
            token = attention_token(f, layer, i, head);
            token.scores = observer->scores + (int64_t)head * seen.keys;
            job.tokens = &token;
            job.token_count = 1;
            m->kernels->attend(&job);
        }
        observer->scores_fn(observer->scores_context, &seen);
    }
}

/* Multiplications of attention over the chunk, roughly: for deciding who computes. */
static int64_t attention_work(const wr_forward *f) {
    const weir_model *m = f->model;
    int64_t pairs = 0;
    for (int32_t i = 0; i < f->segment_count; i++) {
        const wr_segment *s = &f->segments[i];
        pairs += s->count * (wr_cache_position(s->cache, s->first + s->count - 1) + 1);
    }
    return pairs * m->heads * (m->key_dim + m->value_dim);
}

/* --- One block -------------------------------------------------------------------------------- */

static void run_attention(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    layer_step step = {.f = f, .layer = layer};
    product projections[] = {{&block->q, f->q}, {&block->k, f->k}, {&block->v, f->v}};
    linear(f, f->normed, f->count, projections, 3);
    show(f, WEIR_POINT_VALUE, layer, f->v, (int64_t)m->kv_heads * m->value_dim);
    run(f, f->count, f->count * m->width * 4, rotate_task, &step);
    divide_attention(&step);
    run(f, m->kv_heads * step.parts * f->tile_count, attention_work(f), attend_task, &step);
    for (int32_t i = 0; i < f->segment_count; i++)
        if (f->segments[i].observer && f->segments[i].observer->scores_fn)
            show_scores(f, layer, &f->segments[i]);
    show(f, WEIR_POINT_ATTENTION, layer, f->attended, (int64_t)m->heads * m->value_dim);
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
    place_chunk(f);
    for (int32_t layer = 0; layer < m->layers; layer++) {
        if (all_cancelled(f)) return WEIR_CANCELLED;
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
    linear(f, f->normed, count, &(product){&m->head, logits}, 1);
}

bool wr_logits_finite(const float *logits, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(logits[i])) return false;
    return true;
}
