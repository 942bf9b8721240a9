/* Positions, cache and attention of the forward pass. */
#include "model/forward_inside.h"

/* --- Positions, pages, spans and tiles, once per chunk
 * ----------------------------------------------- */

static wr_cache_view *view_at(const wr_forward *f, int32_t segment, int32_t group) {
    return &f->views[segment * f->groups + group];
}

/* A token of an encoder's text: all of the text, and nothing beside it. */
static void place_in_text(const wr_forward *f, int64_t row) {
    const wr_segment *s = wr_segment_at(f, row);
    f->turned[row] = false;
    for (int32_t r = 0; r < f->model->rope_count; r++)
        wr_rope_angles(&s->ropes[r], (uint64_t)(row - s->row), wr_angles_at(f, row, r));
    for (int32_t g = 0; g < wr_cache_groups(s->cache); g++) {
        const int64_t begin = s->first - view_at(f, f->segment_of[row], g)->recent_first;
        f->spans[g * f->chunk + row] =
            (wr_token_spans){.recent = {(int32_t)begin, (int32_t)(begin + s->count)},
                             .recent_at = (int32_t)(begin + row - s->row)};
    }
}

static void place_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_forward *f = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const wr_cache *cache = wr_segment_at(f, i)->cache;
        if (wr_segment_at(f, i)->both_ways) {
            place_in_text(f, i);
            continue;
        }
        int64_t t = wr_index_at(f, i);
        int64_t position = wr_cache_position(cache, t);
        f->turned[i] = position != t && wr_cache_pinned(cache) > 0;
        for (int32_t r = 0; r < f->model->rope_count; r++) {
            const wr_rope *rope = &wr_segment_at(f, i)->ropes[r];
            float *angles = wr_angles_at(f, i, r);
            wr_rope_angles(rope, (uint64_t)t, angles);
            if (f->turned[i]) wr_rope_angles(rope, (uint64_t)position, angles + rope->dim);
        }
        for (int32_t g = 0; g < wr_cache_groups(cache); g++) {
            wr_token_spans *spans = &f->spans[g * f->chunk + i];
            const wr_cache_view *view = view_at(f, f->segment_of[i], g);
            wr_cache_spans(cache, g, view, t, &spans->pinned, &spans->recent);
            spans->pinned_at = (int32_t)position;
            spans->recent_at = (int32_t)(t - view->recent_first);
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
        f->tiles[f->tile_count++] = (wr_token_tile){at, at + tile < end ? at + tile : end};
}

void wr_forward_place(wr_forward *f) {
    const int64_t tile = choose_tile(f);
    f->tile_count = 0;
    for (int32_t i = 0; i < f->segment_count; i++) place_segment(f, i, tile);
    wr_forward_run(f, f->count, f->count * (wr_angles_of_row(f->model) / 2 + 1) * 50, place_task,
                   f);
}

/* --- Attention -------------------------------------------------------------------------------- */

typedef struct layer_step {
    wr_forward *f;
    int32_t layer;
    int32_t kv_parts; /* that KV heads are divided into */
    int32_t parts;    /* that the heads of a KV head are divided into */
} layer_step;

static void write_cache(const wr_forward *f, int32_t layer, int64_t i) {
    const weir_model *m = f->model;
    wr_cache_row row = wr_cache_row_at(wr_segment_at(f, i)->cache, layer, wr_index_at(f, i));
    const float *k = f->k + i * m->kv_heads * m->key_dim;
    const float *v = f->v + i * m->kv_heads * m->value_dim;
    for (int32_t h = 0; h < m->kv_heads; h++) {
        size_t at = row.head_stride * (size_t)h;
        m->kernels->kv_write_key(row.type, row.keys + at, row.place, k + (int64_t)h * m->key_dim,
                                 m->key_dim);
        m->kernels->kv_write(row.type, row.value + at, v + (int64_t)h * m->value_dim, m->value_dim);
    }
}

static void cut(float *x, int64_t n, float limit) {
    for (int64_t i = 0; i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

/* Queries or keys of a row [heads, key_dim], as the family norms them. */
static void norm_heads(const weir_model *m, float *x, const wr_norm *norm, int32_t heads) {
    const wr_head_norm kind = m->family->head_norm;
    const int64_t n = (int64_t)heads * m->key_dim;
    const int64_t span = kind == WR_HEAD_NORM_WHOLE ? n : m->key_dim;
    if (!norm->weight) return;
    for (int64_t at = 0; at < n; at += span) {
        wr_norm own = {.weight = norm->weight + (kind == WR_HEAD_NORM_OWN ? at : 0)};
        wr_normalise(m, x + at, x + at, &own, span);
    }
}

/* Where the layer rotates: q at t in its place, at c(t) beside it, k at t. */
static void rotate_row(const wr_forward *f, const wr_block *block, int64_t i, float *q, float *k) {
    const weir_model *m = f->model;
    if (block->rope < 0) return;
    const wr_rope *rope = &wr_segment_at(f, i)->ropes[block->rope];
    const float *angles = wr_angles_at(f, i, block->rope);
    if (f->turned[i])
        m->kernels->rotate(f->q_pinned + i * m->heads * m->key_dim, q, angles + rope->dim, m->heads,
                           m->key_dim, rope->dim, rope->pairing);
    m->kernels->rotate(q, q, angles, m->heads, m->key_dim, rope->dim, rope->pairing);
    m->kernels->rotate(k, k, angles, m->kv_heads, m->key_dim, rope->dim, rope->pairing);
}

static void rotate_task(void *context, int64_t begin, int64_t end, int worker) {
    const layer_step *step = context;
    wr_forward *f = step->f;
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[step->layer];
    const int64_t query = (int64_t)m->heads * m->key_dim;
    const int64_t key = (int64_t)m->kv_heads * m->key_dim;
    const int64_t value = (int64_t)m->kv_heads * m->value_dim;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        float *q = f->q + i * query, *k = f->k + i * key;
        if (m->qkv_limit > 0) {
            cut(q, query, m->qkv_limit);
            cut(k, key, m->qkv_limit);
            cut(f->v + i * value, value, m->qkv_limit);
        }
        norm_heads(m, q, &block->q_norm, m->heads);
        norm_heads(m, k, &block->k_norm, m->kv_heads);
        rotate_row(f, block, i, q, k);
        write_cache(f, step->layer, i);
    }
}

static wr_attention_token attention_token(const wr_forward *f, int32_t layer, int64_t i,
                                          int32_t head) {
    const weir_model *m = f->model;
    const wr_token_spans *spans =
        &f->spans[wr_cache_group_of(wr_segment_at(f, i)->cache, layer) * f->chunk + i];
    int64_t query = (i * m->heads + head) * m->key_dim;
    const bool apart = f->turned[i] && m->blocks[layer].rope >= 0;
    return (wr_attention_token){.query_recent = f->q + query,
                                .query_pinned = (apart ? f->q_pinned : f->q) + query,
                                .out = f->attended + (i * m->heads + head) * m->value_dim,
                                .pinned = spans->pinned,
                                .recent = spans->recent,
                                .pinned_at = spans->pinned_at,
                                .recent_at = spans->recent_at};
}

/* A job for query heads [head, head_end), of one KV head or of several whole ones; its tokens are
 * the caller's to give. */
static wr_attention attention_job(const wr_forward *f, int32_t layer, int32_t segment, int32_t head,
                                  int32_t head_end, int worker) {
    const weir_model *m = f->model;
    const float *sink_logits = m->blocks[layer].sink_logits;
    const wr_cache *cache = f->segments[segment].cache;
    const wr_cache_view *view = view_at(f, segment, wr_cache_group_of(cache, layer));
    const int32_t group = m->heads / m->kv_heads, tile = wr_attention_tile(group);
    wr_attention job = {.tokens = f->tokens + (int64_t)worker * tile,
                        .heads = head_end - head,
                        .kv_heads = (head_end - head + group - 1) / group,
                        .key_dim = m->key_dim,
                        .value_dim = m->value_dim,
                        .scale = m->attention_scale,
                        .cap = m->attention_cap,
                        .sink_logit = sink_logits ? sink_logits + head : NULL,
                        .slope = m->slopes ? m->slopes + head : NULL,
                        .scratch =
                            (float *)(void *)(f->scratch + (size_t)worker * f->scratch_bytes)};
    wr_cache_offsets(cache, layer, head / group, &job.pinned, &job.recent);
    job.pinned.pages = view->pages;
    job.recent.pages = view->pages + view->pinned;
    return job;
}

/* Where a tile of one token, if it is one, begins to read for query heads from `head` on. */
static const uint8_t *first_page(const layer_step *step, int64_t tile, int32_t head) {
    const wr_forward *f = step->f;
    if (tile >= f->tile_count) return NULL;
    const int64_t i = f->tiles[tile].begin;
    const wr_attention_token token = attention_token(f, step->layer, i, head);
    const wr_cache *cache = wr_segment_at(f, i)->cache;
    const wr_cache_view *view = view_at(f, f->segment_of[i], wr_cache_group_of(cache, step->layer));
    wr_kv_sequence pinned, recent;
    wr_cache_offsets(cache, step->layer, head / (f->model->heads / f->model->kv_heads), &pinned,
                     &recent);
    if (token.pinned.begin < token.pinned.end)
        return view->pages[token.pinned.begin / WR_PAGE_TOKENS] + pinned.key_offset;
    return view->pages[view->pinned + token.recent.begin / WR_PAGE_TOKENS] + recent.key_offset;
}

/* The tokens of a tile for query heads [head, head_end): those of one KV head or a part of them, or
 * of several, if there is one token. */
static void attend_tile(const layer_step *step, int64_t number, int32_t head, int32_t head_end,
                        int worker) {
    const wr_forward *f = step->f;
    const wr_token_tile tile = f->tiles[number];
    int32_t group = f->model->heads / f->model->kv_heads;
    wr_attention_token *tokens = f->tokens + (int64_t)worker * wr_attention_tile(group);
    wr_attention job =
        attention_job(f, step->layer, f->segment_of[tile.begin], head, head_end, worker);
    for (int64_t i = tile.begin; i < tile.end; i++)
        tokens[job.token_count++] = attention_token(f, step->layer, i, head);
    if (job.token_count == 1) job.next = first_page(step, number + 1, head);
    f->model->kernels->attend(&job);
}

/* The tokens of a tile for KV heads [kv, kv_end). */
static void attend_heads(const layer_step *step, int64_t number, int32_t kv, int32_t kv_end,
                         int worker) {
    const wr_token_tile tile = step->f->tiles[number];
    const int32_t group = step->f->model->heads / step->f->model->kv_heads;
    const int32_t together = tile.end - tile.begin == 1 ? kv_end - kv : 1;
    for (; kv < kv_end; kv += together)
        attend_tile(step, number, kv * group, (kv + together) * group, worker);
}

/* Item = (part of the KV heads * parts + part) * tiles + tile: neighbours read the same pages. */
static void attend_task(void *context, int64_t begin, int64_t end, int worker) {
    const layer_step *step = context;
    const weir_model *m = step->f->model;
    int32_t group = m->heads / m->kv_heads;
    int64_t tiles = step->f->tile_count;
    for (int64_t item = begin; item < end; item++) {
        int32_t part = (int32_t)(item / tiles % step->parts);
        int32_t kv_part = (int32_t)(item / tiles / step->parts);
        int32_t kv = m->kv_heads * kv_part / step->kv_parts;
        if (step->parts == 1)
            attend_heads(step, item % tiles, kv, m->kv_heads * (kv_part + 1) / step->kv_parts,
                         worker);
        else
            attend_tile(step, item % tiles, kv * group + group * part / step->parts,
                        kv * group + group * (part + 1) / step->parts, worker);
    }
}

/* Every tile is a token of a stream of its own. */
static bool tokens_are_apart(const wr_forward *f) {
    return f->tile_count == f->segment_count && f->tile_count == f->count;
}

/* Tiles are smaller, down to enough queries for full vectors, where large ones would leave threads
 * without work. Where every tile is a token of a stream of its own, nothing is read twice, and the
 * KV heads of each are taken together if the tiles are enough for the threads. For a few tokens the
 * heads that share a KV head are divided as well, though each part reads the keys again. */
static void divide_attention(layer_step *step) {
    const weir_model *m = step->f->model;
    const int64_t tiles = step->f->tile_count;
    int32_t group = m->heads / m->kv_heads;
    int64_t threads = wr_threads_count(step->f->threads);
    int64_t wanted = threads == 1 ? 1 : 4 * threads;
    step->parts = 1;
    step->kv_parts = m->kv_heads;
    if (tokens_are_apart(step->f) && (wanted + tiles - 1) / tiles < m->kv_heads)
        step->kv_parts = (int32_t)((wanted + tiles - 1) / tiles);
    for (int64_t items = step->kv_parts * tiles;
         items % threads != 0 && items < 4 * threads && step->parts * 2 <= group; items *= 2)
        step->parts *= 2;
    if (step->parts > 1) step->kv_parts = m->kv_heads;
}

/* For the observer every query of the segment attends once more, now keeping its scores; the output
 * is the same. */
static void show_scores(const wr_forward *f, int32_t layer, const wr_segment *segment) {
    const weir_model *m = f->model;
    const wr_observer *observer = segment->observer;
    int32_t group = m->heads / m->kv_heads;
    for (int64_t i = segment->row; i < segment->row + segment->count; i++) {
        wr_attention_token token = attention_token(f, layer, i, 0);
        const wr_cache_view *view =
            view_at(f, f->segment_of[i], wr_cache_group_of(segment->cache, layer));
        weir_scores seen = {.layer = layer,
                            .index = wr_index_at(f, i),
                            .scores = observer->scores,
                            .sink = m->blocks[layer].sink_logits,
                            .heads = m->heads,
                            .pinned = token.pinned.end - token.pinned.begin};
        int32_t recent = token.recent.end - token.recent.begin;
        int64_t pinned_end = wr_cache_pinned(segment->cache);
        pinned_end = pinned_end < seen.index + 1 ? pinned_end : seen.index + 1;
        seen.keys = seen.pinned + recent;
        seen.pinned_first = pinned_end - seen.pinned;
        seen.recent_first = view->recent_first + token.recent.begin;
        for (int32_t head = 0; head < m->heads; head += group) {
            wr_attention job = attention_job(f, layer, f->segment_of[i], head, head + group, 0);
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

void wr_forward_rotate_rows(wr_forward *f, int32_t layer, const wr_rows *rows) {
    layer_step step = {.f = f, .layer = layer};
    rotate_task(&step, rows->begin, rows->end, rows->worker);
}

void wr_forward_attend_rows(wr_forward *f, int32_t layer, const wr_rows *rows) {
    layer_step step = {.f = f, .layer = layer};
    const int32_t together = tokens_are_apart(f) ? f->model->kv_heads : 1;
    for (int32_t kv = 0; kv < f->model->kv_heads; kv += together)
        for (int64_t tile = rows->tile; tile < rows->tile_end; tile++)
            attend_heads(&step, tile, kv, kv + together, rows->worker);
}

void wr_forward_attend(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    layer_step step = {.f = f, .layer = layer};
    const int64_t numbers =
        (int64_t)(2 * m->heads + m->kv_heads) * m->key_dim + (int64_t)m->kv_heads * m->value_dim;
    wr_forward_run(f, f->count, f->count * numbers * 32, rotate_task, &step);
    wr_forward_show(f, WEIR_POINT_VALUE, layer, f->v, (int64_t)m->kv_heads * m->value_dim);
    divide_attention(&step);
    wr_forward_run(f, step.kv_parts * step.parts * f->tile_count, attention_work(f), attend_task,
                   &step);
    for (int32_t i = 0; i < f->segment_count; i++)
        if (f->segments[i].observer && f->segments[i].observer->scores_fn)
            show_scores(f, layer, &f->segments[i]);
}
