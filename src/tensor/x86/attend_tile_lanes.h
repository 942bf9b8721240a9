/*
 * Attention of many queries: lanes are queries, QUERY_BLOCK of them at a time.
 *
 * A page becomes floats once for the whole tile and its numbers are broadcast, so every vector is
 * full whatever the head's size, and nothing is ever summed across lanes. For each query it is the
 * same sequence of operations as in attend_token_lanes.h, so the bits are equal:
 *
 *   scores    d in order
 *   weights   2^(s - m); their sum: halves of the page folded onto each other
 *   output    o 2^(m-m') first, then the keys in order, only those that the query sees
 */
#ifndef WR_ATTEND_TILE_LANES_H
#define WR_ATTEND_TILE_LANES_H

#include "tensor/x86/attend_softmax_lanes.h"

enum {
    QUERY_BLOCK = 2 * LANES, /* queries computed together */
    MAX_QUERY_BLOCKS = 32,   /* of a tile */
    TILE_KEYS = LANES == 16 ? 8 : 4,
    TILE_VALUES = LANES == 16 ? 8 : 4, /* divides WR_VALUE_BLOCK */
};

/* What the queries of a block see of a sequence. */
typedef struct block_range {
    wr_kv_span any; /* at least one does */
    wr_kv_span all; /* every one does; maybe empty */
} block_range;

/* Queries are numbered token by token, the heads of a token side by side. */
typedef struct query_tile {
    const wr_attention *job;
    int32_t queries;
    int32_t value_dim; /* padded to WR_VALUE_BLOCK */
    float *query;      /* [blocks][key_dim][QUERY_BLOCK] in base 2 */
    float *out;        /* [blocks][value_dim][QUERY_BLOCK] */
    float *max;        /* [blocks * QUERY_BLOCK] m, in base 2 */
    float *sum;        /* [blocks * QUERY_BLOCK] l */
    float *shrink;     /* [QUERY_BLOCK] */
    float *scores;     /* [32][QUERY_BLOCK], then weights */
    float *keys;       /* [key_dim][32] room for a page's keys in floats */
    float *values;     /* [32][value_dim] and its values */
    block_range ranges[MAX_QUERY_BLOCKS];
} query_tile;

/* One page for one block. */
typedef struct block_step {
    const float *keys;   /* [key_dim][32] */
    const float *values; /* [32][value_dim] */
    const float *query;  /* [key_dim][QUERY_BLOCK] */
    float *out;          /* [value_dim][QUERY_BLOCK] */
    float *max, *sum;    /* [QUERY_BLOCK] */
    float *shrink, *scores;
    int32_t key_dim, value_dim;
    wr_kv_span any;           /* places that some query sees */
    float begin[QUERY_BLOCK]; /* when `part`: the places that each sees */
    float end[QUERY_BLOCK];
} block_step;

/* ---- the arithmetic -------------------------------------------------------------------------- */

/* scores[j][...] = query . key[j] */
INLINE void score_block(const block_step *p, const int vecs) {
    for (int32_t j = 0; j < WR_PAGE_TOKENS; j += TILE_KEYS) {
        vec sums[TILE_KEYS][2];
        UNROLLED for (int k = 0; k < TILE_KEYS; k++) sums[k][0] = sums[k][1] = v_zero();
        for (int32_t d = 0; d < p->key_dim; d++) {
            vec q[2];
            UNROLLED for (int v = 0; v < vecs; v++) q[v] =
                v_load(p->query + d * QUERY_BLOCK + v * LANES);
            UNROLLED for (int k = 0; k < TILE_KEYS; k++) {
                const vec key = v_all(p->keys[d * WR_PAGE_TOKENS + j + k]);
                UNROLLED for (int v = 0; v < vecs; v++) sums[k][v] = v_fma(q[v], key, sums[k][v]);
            }
        }
        UNROLLED for (int k = 0; k < TILE_KEYS; k++) UNROLLED for (int v = 0; v < vecs; v++)
            v_store(p->scores + (j + k) * QUERY_BLOCK + v * LANES, sums[k][v]);
    }
}

/* Scores of places that a query does not see become minus infinity. */
INLINE void hide_unseen(const block_step *p, const int vecs) {
    for (int v = 0; v < vecs; v++) {
        const vec begin = v_load(p->begin + v * LANES), end = v_load(p->end + v * LANES);
        for (int32_t j = 0; j < WR_PAGE_TOKENS; j++) {
            float *score = p->scores + j * QUERY_BLOCK + v * LANES;
            const lane_mask seen = v_within(v_all((float)j), begin, end);
            v_store(score, v_select(seen, v_load(score), v_all(-INFINITY)));
        }
    }
}

/* Scores to weights; m and l advance. */
INLINE void weigh_block(const block_step *p, const int vecs) {
    enum { Q = WR_PAGE_TOKENS / 8 };
    /* Four at a time are folded from these: (((k, k+16), (k+8, k+24)), ((k+4, ...), ...)). */
    static const int32_t order[8] = {0, 4 * Q, 2 * Q, 6 * Q, Q, 5 * Q, 3 * Q, 7 * Q};
    for (int v = 0; v < vecs; v++) {
        float *scores = p->scores + v * LANES;
        const vec old = v_load(p->max + v * LANES);
        vec best = v_load(scores), other = v_load(scores + QUERY_BLOCK), folded[Q];
        for (int32_t j = 2; j < WR_PAGE_TOKENS; j += 2) {
            best = v_max(best, v_load(scores + j * QUERY_BLOCK));
            other = v_max(other, v_load(scores + (j + 1) * QUERY_BLOCK));
        }
        const vec max = v_max(v_max(best, other), old), base = subtracted(max);
        const vec shrink = shrinkage(old, max);
        UNROLLED for (int k = 0; k < Q; k++) {
            vec w[8];
            UNROLLED for (int i = 0; i < 8; i++) {
                float *score = scores + (k + order[i]) * QUERY_BLOCK;
                w[i] = v_exp2(v_sub(v_load(score), base));
                v_store(score, w[i]);
            }
            folded[k] = v_add(v_add(v_add(w[0], w[1]), v_add(w[2], w[3])),
                              v_add(v_add(w[4], w[5]), v_add(w[6], w[7])));
        }
        const vec sum = v_add(v_add(folded[0], folded[2]), v_add(folded[1], folded[3]));
        v_store(p->max + v * LANES, max);
        v_store(p->shrink + v * LANES, shrink);
        v_store(p->sum + v * LANES, v_fma(v_load(p->sum + v * LANES), shrink, sum));
    }
}

/* out[d][...] = shrink * out[d][...] + sum_j weight[j] * value[j][d] over the keys seen */
INLINE void add_block(const block_step *p, const int vecs, const bool part) {
    for (int32_t d = 0; d < p->value_dim; d += TILE_VALUES) {
        vec sums[TILE_VALUES][2], begin[2], end[2];
        UNROLLED for (int v = 0; v < vecs; v++) {
            const vec shrink = v_load(p->shrink + v * LANES);
            begin[v] = part ? v_load(p->begin + v * LANES) : v_zero();
            end[v] = part ? v_load(p->end + v * LANES) : v_zero();
            UNROLLED for (int i = 0; i < TILE_VALUES; i++) sums[i][v] =
                v_mul(shrink, v_load(p->out + (d + i) * QUERY_BLOCK + v * LANES));
        }
        for (int32_t j = p->any.begin; j < p->any.end; j++) {
            const float *value = p->values + j * p->value_dim + d;
            UNROLLED for (int v = 0; v < vecs; v++) {
                const vec weight = v_load(p->scores + j * QUERY_BLOCK + v * LANES);
                lane_mask seen;
                if (part) seen = v_within(v_all((float)j), begin[v], end[v]);
                UNROLLED for (int i = 0; i < TILE_VALUES; i++) {
                    const vec sum = v_fma(weight, v_all(value[i]), sums[i][v]);
                    sums[i][v] = part ? v_select(seen, sum, sums[i][v]) : sum;
                }
            }
        }
        UNROLLED for (int i = 0; i < TILE_VALUES; i++) UNROLLED for (int v = 0; v < vecs; v++)
            v_store(p->out + (d + i) * QUERY_BLOCK + v * LANES, sums[i][v]);
    }
}

INLINE void step_block(const block_step *p, const int vecs, const bool part) {
    score_block(p, vecs);
    if (part) hide_unseen(p, vecs);
    weigh_block(p, vecs);
    add_block(p, vecs, part);
}

static void step_whole(const block_step *p, bool narrow) {
    if (narrow)
        step_block(p, 1, false);
    else
        step_block(p, 2, false);
}

static void step_part(const block_step *p, bool narrow) {
    if (narrow)
        step_block(p, 1, true);
    else
        step_block(p, 2, true);
}

/* ---- a page in floats ------------------------------------------------------------------------ */

INLINE void keys_in_floats(wr_kv_type type, const uint8_t *keys, int32_t dim, float *to) {
    for (int32_t at = 0; at < WR_PAGE_TOKENS; at += LANES) {
        vec scales = v_zero();
        for (int32_t d = 0; d < dim; d++) {
            if (type == WR_KV_Q8_0 && d % WR_KV_RUN == 0) scales = load_key_scales(keys, d, at);
            v_store(to + d * WR_PAGE_TOKENS + at,
                    load_keys(type, key_at(type, keys, dim, d, at), scales));
        }
    }
}

INLINE void values_in_floats(wr_kv_type type, const uint8_t *values, int32_t dim, int32_t stride,
                             float *to) {
    const size_t row_bytes = wr_kv_row_bytes(type, dim);
    for (int32_t j = 0; j < WR_PAGE_TOKENS; j++, values += row_bytes, to += stride) {
        int32_t i = 0;
        for (; i + LANES <= dim; i += LANES)
            v_store(to + i, load_value(type, values, dim, i, LANES));
        if (i < dim) v_store_part(to + i, load_value(type, values, dim, i, dim - i), dim - i);
        for (i = dim; i < stride; i++) to[i] = 0;
    }
}

/* Keys and values of a page: as they lie when they are floats, else converted. */
static void open_page(const query_tile *t, const wr_kv_sequence *from, int32_t number,
                      block_step *p) {
    const uint8_t *keys = from->pages[number] + from->key_offset;
    const uint8_t *values = from->pages[number] + from->value_offset;
    const int32_t key_dim = t->job->key_dim, dim = t->job->value_dim, stride = t->value_dim;
    p->keys = t->keys;
    p->values = t->values;
    switch (from->type) {
    case WR_KV_F16:
        keys_in_floats(WR_KV_F16, keys, key_dim, t->keys);
        values_in_floats(WR_KV_F16, values, dim, stride, t->values);
        return;
    case WR_KV_Q8_0:
        keys_in_floats(WR_KV_Q8_0, keys, key_dim, t->keys);
        values_in_floats(WR_KV_Q8_0, values, dim, stride, t->values);
        return;
    default:
        memcpy(t->keys, keys, WR_PAGE_TOKENS * wr_kv_row_bytes(WR_KV_F32, key_dim));
        values_in_floats(WR_KV_F32, values, dim, stride, t->values);
    }
}

/* ---- the tile -------------------------------------------------------------------------------- */

static int32_t blocks_of(int32_t queries) { return (queries + QUERY_BLOCK - 1) / QUERY_BLOCK; }

static wr_kv_span span_of(const query_tile *t, int32_t query, bool pinned) {
    const wr_attention_token *token = &t->job->tokens[query / t->job->heads];
    const wr_kv_span span = pinned ? token->pinned : token->recent;
    return span.begin < span.end ? span : (wr_kv_span){0, 0};
}

/* What each block sees; returns what any of them does. */
static wr_kv_span find_ranges(query_tile *t, bool pinned) {
    wr_kv_span whole = {INT32_MAX, 0};
    for (int32_t b = 0; b < blocks_of(t->queries); b++) {
        block_range *range = &t->ranges[b];
        const int32_t last =
            (b + 1) * QUERY_BLOCK < t->queries ? (b + 1) * QUERY_BLOCK : t->queries;
        *range = (block_range){{INT32_MAX, 0}, {0, INT32_MAX}};
        for (int32_t query = b * QUERY_BLOCK; query < last;) {
            const wr_kv_span span = span_of(t, query, pinned);
            if (span.begin > range->all.begin) range->all.begin = span.begin;
            if (span.end < range->all.end) range->all.end = span.end;
            if (span.end > range->any.end) range->any.end = span.end;
            if (span.begin < range->any.begin && span.end > 0) range->any.begin = span.begin;
            query = (query / t->job->heads + 1) * t->job->heads;
        }
        if (range->any.begin < whole.begin) whole.begin = range->any.begin;
        if (range->any.end > whole.end) whole.end = range->any.end;
    }
    return whole;
}

static float *query_place(const query_tile *t, int32_t query) {
    return t->query + (int64_t)(query / QUERY_BLOCK) * QUERY_BLOCK * t->job->key_dim +
           query % QUERY_BLOCK;
}

/* Queries to lanes, in base 2; zeros where there is none. */
static void copy_queries(const query_tile *t, bool pinned) {
    const wr_attention *job = t->job;
    const float factor = job->scale * LOG2_OF_E;
    for (int32_t query = 0; query < blocks_of(t->queries) * QUERY_BLOCK; query++) {
        float *to = query_place(t, query);
        const bool seen = query < t->queries && span_of(t, query, pinned).end > 0;
        const float *from = NULL;
        if (seen) {
            const wr_attention_token *token = &job->tokens[query / job->heads];
            from = pinned ? token->query_pinned : token->query_recent;
            from += (int64_t)(query % job->heads) * job->key_dim;
        }
        for (int32_t d = 0; d < job->key_dim; d++)
            to[d * QUERY_BLOCK] = seen ? from[d] * factor : 0.0f;
    }
}

/* The places of a page that each query of a block sees. */
static void find_places(const query_tile *t, int32_t b, bool pinned, int32_t page, block_step *p) {
    for (int32_t i = 0; i < QUERY_BLOCK; i++) {
        const int32_t query = b * QUERY_BLOCK + i;
        wr_kv_span seen = {0, 0};
        if (query < t->queries) seen = places_of(span_of(t, query, pinned), page);
        p->begin[i] = (float)seen.begin;
        p->end[i] = (float)seen.end;
    }
}

static void attend_block(const query_tile *t, int32_t b, bool pinned, int32_t page, block_step *p) {
    const block_range *range = &t->ranges[b];
    const bool narrow = t->queries - b * QUERY_BLOCK <= LANES;
    const int32_t first = page * WR_PAGE_TOKENS, end = first + WR_PAGE_TOKENS;
    p->any = places_of(range->any, page);
    if (p->any.begin >= p->any.end) return;
    p->query = t->query + (int64_t)b * QUERY_BLOCK * p->key_dim;
    p->out = t->out + (int64_t)b * QUERY_BLOCK * p->value_dim;
    p->max = t->max + b * QUERY_BLOCK;
    p->sum = t->sum + b * QUERY_BLOCK;
    if (range->all.begin <= first && end <= range->all.end) {
        step_whole(p, narrow);
    } else {
        find_places(t, b, pinned, page, p);
        step_part(p, narrow);
    }
}

/* Into the second cache, while the page before is computed. */
static void ask_for_page(const query_tile *t, const wr_kv_sequence *from, int32_t number) {
    const uint8_t *keys = from->pages[number] + from->key_offset;
    const uint8_t *values = from->pages[number] + from->value_offset;
    const size_t key_bytes = WR_PAGE_TOKENS * wr_kv_row_bytes(from->type, t->job->key_dim);
    const size_t value_bytes = WR_PAGE_TOKENS * wr_kv_row_bytes(from->type, t->job->value_dim);
    for (size_t i = 0; i < key_bytes; i += 64) __builtin_prefetch(keys + i, 0, 2);
    for (size_t i = 0; i < value_bytes; i += 64) __builtin_prefetch(values + i, 0, 2);
}

static void attend_pages(query_tile *t, bool pinned) {
    const wr_kv_sequence *from = pinned ? &t->job->pinned : &t->job->recent;
    const wr_kv_span whole = find_ranges(t, pinned);
    if (whole.begin >= whole.end) return;
    copy_queries(t, pinned);
    block_step p = {.shrink = t->shrink,
                    .scores = t->scores,
                    .key_dim = t->job->key_dim,
                    .value_dim = t->value_dim};
    for (int32_t i = whole.begin / WR_PAGE_TOKENS; i * WR_PAGE_TOKENS < whole.end; i++) {
        open_page(t, from, i, &p);
        if ((i + 1) * WR_PAGE_TOKENS < whole.end) ask_for_page(t, from, i + 1);
        for (int32_t b = 0; b < blocks_of(t->queries); b++) attend_block(t, b, pinned, i, &p);
    }
}

static void begin_tile(query_tile *t, const wr_attention *job) {
    t->job = job;
    t->queries = job->token_count * job->heads;
    t->value_dim = (job->value_dim + WR_VALUE_BLOCK - 1) / WR_VALUE_BLOCK * WR_VALUE_BLOCK;
    const int64_t padded = (int64_t)blocks_of(t->queries) * QUERY_BLOCK;
    t->scores = job->scratch;
    t->keys = t->scores + WR_PAGE_TOKENS * QUERY_BLOCK;
    t->values = t->keys + WR_PAGE_TOKENS * job->key_dim;
    t->query = t->values + WR_PAGE_TOKENS * t->value_dim;
    t->out = t->query + padded * job->key_dim;
    t->max = t->out + padded * t->value_dim;
    t->sum = t->max + padded;
    t->shrink = t->sum + padded;
    memset(t->out, 0, (size_t)padded * (size_t)t->value_dim * sizeof *t->out);
    for (int32_t query = 0; query < padded; query++) {
        const bool sink = job->sink_logit != NULL;
        t->max[query] = sink ? job->sink_logit[query % job->heads] * LOG2_OF_E : -INFINITY;
        t->sum[query] = sink ? 1 : 0;
    }
}

static void attend_tile(const wr_attention *job) {
    query_tile t;
    begin_tile(&t, job);
    attend_pages(&t, true);
    attend_pages(&t, false);
    for (int32_t query = 0; query < t.queries; query++) {
        const float *from = t.out + (int64_t)(query / QUERY_BLOCK) * QUERY_BLOCK * t.value_dim +
                            query % QUERY_BLOCK;
        float *to = job->tokens[query / job->heads].out;
        const float factor = 1.0f / t.sum[query];
        to += (int64_t)(query % job->heads) * job->value_dim;
        for (int32_t d = 0; d < job->value_dim; d++) to[d] = from[d * QUERY_BLOCK] * factor;
    }
}

#endif
