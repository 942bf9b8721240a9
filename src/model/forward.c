/* The forward pass: see forward.h. */
#include "model/forward_inside.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Below this many multiplications, or what takes as long, a step is done by the calling thread:
 * company costs more. */
#define ALONE 100000

static size_t scratch_bytes(const weir_model *m) {
    /* A tile for the heads of one KV head, or a token for all. */
    int64_t tile = wr_attention_scratch(m->heads / m->kv_heads, m->key_dim, m->value_dim);
    int64_t token = wr_attention_scratch(m->heads, m->key_dim, m->value_dim);
    size_t attention = sizeof(float) * (size_t)(tile > token ? tile : token);
    size_t product = wr_product_scratch(wr_most_columns(m));
    /* A line apart, so that workers never share one. */
    return ((attention > product ? attention : product) + 127) / 64 * 64;
}

/* What forward_experts.c needs. */
static void lay_experts(wr_arena *arena, wr_forward *f, size_t slots) {
    const weir_model *m = f->model;
    const size_t experts = (size_t)m->experts;
    f->routed = wr_arena_take(arena, (size_t)f->chunk * experts, sizeof *f->routed);
    f->chosen = wr_arena_take(arena, slots, sizeof *f->chosen);
    f->expert_shares = wr_arena_take(arena, slots, sizeof *f->expert_shares);
    f->slots = wr_arena_take(arena, slots, sizeof *f->slots);
    f->slot_rows = wr_arena_take(arena, slots, sizeof *f->slot_rows);
    f->first_slots = wr_arena_take(arena, experts + 1, sizeof *f->first_slots);
    f->active = wr_arena_take(arena, experts, sizeof *f->active);
    f->gathered = wr_arena_take(arena, slots * (size_t)m->width, sizeof *f->gathered);
}

wr_forward *wr_forward_layout(wr_arena *arena, const weir_model *model, int64_t chunk, int threads,
                              int32_t segments, const wr_cache_options *cache) {
    wr_forward *forward = wr_arena_take(arena, 1, sizeof *forward);
    wr_forward measured;
    wr_forward *f = forward ? forward : &measured; /* one list of takes for both passes */
    size_t rows = (size_t)chunk;
    size_t slots = rows * (size_t)(model->experts > 0 ? model->experts_used : 1);
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
    f->gate = wr_arena_take(arena, slots * (size_t)model->feed_forward, sizeof(float));
    f->up = wr_arena_take(arena, slots * (size_t)model->feed_forward, sizeof(float));
    f->angles = wr_arena_take(arena, rows * (size_t)wr_angles_of_row(model), sizeof(float));
    f->turned = wr_arena_take(arena, rows, sizeof(bool));
    for (int i = WR_INPUT_FLOATS + 1; i < WR_INPUTS; i++) {
        f->input_bytes[i] = wr_input_bytes((wr_input)i, wr_most_columns(model));
        f->inputs[i] = model->takes[i] ? wr_arena_take(arena, slots, f->input_bytes[i]) : NULL;
    }
    f->scratch = wr_arena_take(arena, (size_t)threads, f->scratch_bytes);
    f->views = wr_arena_take(arena, (size_t)segments * groups, sizeof *f->views);
    f->pages =
        wr_arena_take(arena, (size_t)segments * groups * (size_t)f->max_pages, sizeof *f->pages);
    f->spans = wr_arena_take(arena, groups * rows, sizeof *f->spans);
    f->tokens = wr_arena_take(arena, (size_t)threads * tile, sizeof *f->tokens);
    f->segment_of = wr_arena_take(arena, rows, sizeof *f->segment_of);
    f->tiles = wr_arena_take(arena, rows, sizeof *f->tiles);
    if (model->experts > 0) lay_experts(arena, f, slots);
    return forward;
}

void wr_forward_use_threads(wr_forward *forward, wr_threads *threads) {
    forward->threads = threads;
}

void wr_forward_show(const wr_forward *f, weir_point point, int layer, const float *data,
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

/* --- One chunk -------------------------------------------------------------------------------- */

static void look_up(const wr_forward *f, const wr_matrix *table, int64_t row, float *out) {
    const size_t bytes = wr_format_row_bytes(table->format, table->columns);
    f->model->kernels->decode(table->format, (const uint8_t *)table->data + bytes * (size_t)row,
                              out, table->columns);
}

/* A learned position, on top of a row's embedding. */
static void add_position(wr_forward *f, int64_t row, int64_t position) {
    const wr_matrix *table = &f->model->position_embedding;
    float *vector = f->normed + row * table->columns;
    assert(position < table->rows);
    look_up(f, table, position, vector);
    f->model->kernels->add(f->x + row * table->columns, vector, table->columns);
}

/* Where token `j` of a segment stands in its text. */
static int64_t position_of(const wr_segment *s, int64_t j) {
    return s->both_ways ? j : s->first + j;
}

static void embed_token(wr_forward *f, const wr_segment *s, int64_t j) {
    const weir_model *m = f->model;
    const int64_t row = s->row + j;
    float *x = f->x + row * m->width;
    look_up(f, &m->embedding, s->tokens[j], x);
    if (m->embedding_scale != 1.0f) m->kernels->scale(x, m->embedding_scale, m->width);
    if (m->token_type) m->kernels->add(x, m->token_type, m->width);
    if (m->position_embedding.data) add_position(f, row, position_of(s, j));
    if (m->embedding_norm.weight) wr_normalise(m, x, x, &m->embedding_norm, m->width);
}

/* Rows for the segments, one after another, and their embeddings. */
static void embed(wr_forward *f, wr_segment *segments, int32_t count) {
    f->segments = segments;
    f->segment_count = count;
    f->count = 0;
    for (int32_t i = 0; i < count; i++) {
        wr_segment *s = &segments[i];
        assert(s->count >= 1 && s->count <= f->chunk - f->count);
        s->row = f->count;
        if (!s->both_ways) s->first = wr_cache_length(s->cache);
        f->count += s->count;
        for (int64_t j = 0; j < s->count; j++) {
            f->segment_of[s->row + j] = i;
            embed_token(f, s, j);
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
    wr_forward_show(f, WEIR_POINT_EMBEDDING, -1, f->x, m->width);
    wr_forward_place(f);
    const int64_t shares = wr_forward_count_shares(f);
    for (int32_t layer = 0; layer < m->layers; layer++) {
        if (all_cancelled(f)) return WEIR_CANCELLED;
        wr_forward_block(f, layer, shares);
    }
    wr_forward_finish(f);
    wr_forward_show(f, WEIR_POINT_LAYER, m->layers - 1, f->x, m->width);
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

typedef struct cap_step {
    float *logits;
    float cap;
} cap_step;

static void cap_task(void *context, int64_t begin, int64_t end, int worker) {
    const cap_step *step = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        step->logits[i] = step->cap * tanhf(step->logits[i] / step->cap);
}

void wr_forward_logits(wr_forward *f, const wr_logit_row *rows, int64_t count, float *logits) {
    const weir_model *m = f->model;
    assert(count >= 1 && count <= f->chunk);
    for (int64_t i = 0; i < count; i++)
        wr_normalise(m, f->normed + i * m->width, rows[i].hidden, &m->final_norm, m->width);
    show_final(f, rows, count);
    wr_forward_expect_block(f, 0);
    wr_forward_linear(f, f->normed, count, &(wr_weighted){&m->head, logits}, 1);
    if (m->final_cap > 0) {
        cap_step step = {.logits = logits, .cap = m->final_cap};
        wr_forward_run(f, count * m->vocabulary, count * m->vocabulary * 32, cap_task, &step);
    }
}
