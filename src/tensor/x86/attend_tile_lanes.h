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

/* How a block meets a page. */
typedef enum meeting {
    MEET_WHOLE, /* every query sees all places */
    MEET_SOME,  /* every query sees the same places */
    MEET_EDGE,  /* each sees its own */
} meeting;

/* Queries are numbered token by token, the heads of a token side by side. */
typedef struct query_tile {
    const wr_attention *job;
    int32_t queries;
    int32_t value_dim; /* padded to WR_VALUE_BLOCK */
    float *query;      /* [blocks][key_dim][QUERY_BLOCK] in base 2 */
    float *out;        /* [blocks][value_dim][QUERY_BLOCK] */
    float *max;        /* [blocks * QUERY_BLOCK] m, in base 2 */
    float *sum;        /* [blocks * QUERY_BLOCK] l */
    int32_t *begin;    /* [blocks * QUERY_BLOCK] what each sees of the sequence at hand; */
    int32_t *end;      /* 0 and 0 where that is nothing, or where there is no query */
    float *slope;      /* [blocks * QUERY_BLOCK] in base 2, and */
    int32_t *at;       /* [blocks * QUERY_BLOCK] its own number there: where there are slopes */
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
    const int32_t *begin, *end; /* [QUERY_BLOCK] */
    const float *slope;         /* [QUERY_BLOCK] */
    const int32_t *at;          /* [QUERY_BLOCK] */
    int32_t first;              /* number of the page's first key */
    wr_kv_span any;             /* places that some query sees */
} block_step;

/* ---- the arithmetic -------------------------------------------------------------------------- */

/* The places that are computed: those that some query sees, in whole groups of TILE_KEYS. */
INLINE wr_kv_span computed(const block_step *p, const meeting how) {
    if (how == MEET_WHOLE) return (wr_kv_span){0, WR_PAGE_TOKENS};
    return (wr_kv_span){p->any.begin / TILE_KEYS * TILE_KEYS,
                        (p->any.end + TILE_KEYS - 1) / TILE_KEYS * TILE_KEYS};
}

/* sums + the biases of keys j, j + 1, ... */
INLINE void bias_tile(const block_step *p, const int vecs, int32_t j, vec sums[TILE_KEYS][2]) {
    UNROLLED for (int v = 0; v < vecs; v++) {
        const vec slope = v_load(p->slope + v * LANES);
        const vec at = v_load_distance(p->at + v * LANES, p->first);
        UNROLLED for (int k = 0; k < TILE_KEYS; k++) sums[k][v] =
            v_biased(sums[k][v], slope, v_all((float)(j + k)), at);
    }
}

/* scores[j][...] = query . key[j], and its bias; minus infinity at places that a query does not
 * see; best the largest of them. */
INLINE void score_block(const block_step *p, const int vecs, const wr_kv_span places,
                        const meeting how, const bool biased, vec best[2]) {
    vec begin[2], end[2];
    UNROLLED for (int v = 0; v < vecs; v++) {
        begin[v] = how == MEET_EDGE ? v_load_distance(p->begin + v * LANES, p->first)
                                    : v_all((float)p->any.begin);
        end[v] = how == MEET_EDGE ? v_load_distance(p->end + v * LANES, p->first)
                                  : v_all((float)p->any.end);
        best[v] = v_all(-INFINITY);
    }
    for (int32_t j = places.begin; j < places.end; j += TILE_KEYS) {
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
        if (biased) bias_tile(p, vecs, j, sums);
        UNROLLED for (int k = 0; k < TILE_KEYS; k++) UNROLLED for (int v = 0; v < vecs; v++) {
            if (how != MEET_WHOLE)
                sums[k][v] = v_select(v_within(v_all((float)(j + k)), begin[v], end[v]), sums[k][v],
                                      v_all(-INFINITY));
            v_store(p->scores + (j + k) * QUERY_BLOCK + v * LANES, sums[k][v]);
        }
        UNROLLED for (int v = 0; v < vecs; v++) {
            UNROLLED for (int k = 0; k < TILE_KEYS / 2; k++) sums[k][v] =
                v_max(sums[k][v], sums[k + TILE_KEYS / 2][v]);
            UNROLLED for (int k = 0; k < TILE_KEYS / 2; k++) best[v] = v_max(sums[k][v], best[v]);
        }
    }
}

/* The sum of the weights of 32 places: halves folded onto each other. */
INLINE vec fold_places(const float *weights) {
    enum { Q = WR_PAGE_TOKENS / 8 };
    static const int32_t order[8] = {0, 4 * Q, 2 * Q, 6 * Q, Q, 5 * Q, 3 * Q, 7 * Q};
    vec folded[Q];
    UNROLLED for (int k = 0; k < Q; k++) {
        vec w[8];
        UNROLLED for (int i = 0; i < 8; i++) w[i] = v_load(weights + (k + order[i]) * QUERY_BLOCK);
        folded[k] = v_add(v_add(v_add(w[0], w[1]), v_add(w[2], w[3])),
                          v_add(v_add(w[4], w[5]), v_add(w[6], w[7])));
    }
    return v_add(v_add(folded[0], folded[2]), v_add(folded[1], folded[3]));
}

/* Scores to weights, 0 at places that are not computed; m and l advance. */
INLINE void weigh_block(const block_step *p, const int vecs, const wr_kv_span places,
                        const vec best[2]) {
    vec base[2], shrink[2];
    UNROLLED for (int v = 0; v < vecs; v++) {
        const vec old = v_load(p->max + v * LANES), max = next_max(best[v], old);
        base[v] = subtracted(max);
        shrink[v] = shrinkage(old, max);
        v_store(p->max + v * LANES, max);
        v_store(p->shrink + v * LANES, shrink[v]);
    }
    for (int32_t j = places.begin; j < places.end; j += TILE_KEYS / 2) {
        UNROLLED for (int k = 0; k < TILE_KEYS / 2; k++) UNROLLED for (int v = 0; v < vecs; v++) {
            float *score = p->scores + (j + k) * QUERY_BLOCK + v * LANES;
            v_store(score, v_exp2(v_sub(v_load(score), base[v])));
        }
    }
    for (int32_t j = 0; j < places.begin; j++)
        UNROLLED for (int v = 0; v < vecs; v++)
            v_store(p->scores + j * QUERY_BLOCK + v * LANES, v_zero());
    for (int32_t j = places.end; j < WR_PAGE_TOKENS; j++)
        UNROLLED for (int v = 0; v < vecs; v++)
            v_store(p->scores + j * QUERY_BLOCK + v * LANES, v_zero());
    UNROLLED for (int v = 0; v < vecs; v++) {
        float *sum = p->sum + v * LANES;
        v_store(sum, v_fma(v_load(sum), shrink[v], fold_places(p->scores + v * LANES)));
    }
}

/* out[d][...] = shrink * out[d][...] + sum_j weight[j] * value[j][d] over the keys seen */
INLINE void add_block(const block_step *p, const int vecs, const meeting how) {
    const wr_kv_span seen = how == MEET_WHOLE ? (wr_kv_span){0, WR_PAGE_TOKENS} : p->any;
    for (int32_t d = 0; d < p->value_dim; d += TILE_VALUES) {
        vec sums[TILE_VALUES][2], begin[2], end[2];
        UNROLLED for (int v = 0; v < vecs; v++) {
            const vec shrink = v_load(p->shrink + v * LANES);
            begin[v] = v_load_distance(p->begin + v * LANES, p->first);
            end[v] = v_load_distance(p->end + v * LANES, p->first);
            UNROLLED for (int i = 0; i < TILE_VALUES; i++) sums[i][v] =
                v_mul(shrink, v_load(p->out + (d + i) * QUERY_BLOCK + v * LANES));
        }
        for (int32_t j = seen.begin; j < seen.end; j++) {
            const float *value = p->values + j * p->value_dim + d;
            vec weight[2];
            lane_mask sees[2];
            UNROLLED for (int v = 0; v < vecs; v++) {
                weight[v] = v_load(p->scores + j * QUERY_BLOCK + v * LANES);
                sees[v] = v_within(v_all((float)j), begin[v], end[v]);
            }
            UNROLLED for (int i = 0; i < TILE_VALUES; i++) {
                const vec x = v_all(value[i]);
                UNROLLED for (int v = 0; v < vecs; v++) sums[i][v] =
                    how == MEET_EDGE ? v_fma_where(sees[v], weight[v], x, sums[i][v])
                                     : v_fma(weight[v], x, sums[i][v]);
            }
        }
        UNROLLED for (int i = 0; i < TILE_VALUES; i++) UNROLLED for (int v = 0; v < vecs; v++)
            v_store(p->out + (d + i) * QUERY_BLOCK + v * LANES, sums[i][v]);
    }
}

INLINE void step_block(const block_step *step, const int vecs, const meeting how,
                       const bool biased) {
    const block_step here = *step, *p = &here; /* its members stay in registers */
    const wr_kv_span places = computed(p, how);
    vec best[2];
    score_block(p, vecs, places, how, biased, best);
    weigh_block(p, vecs, places, best);
    add_block(p, vecs, how);
}

/* By bias, meeting and vectors. */
#define INSTANCES(name, biased)                                                                    \
    static void name##_whole_1(const block_step *p) { step_block(p, 1, MEET_WHOLE, biased); }      \
    static void name##_whole_2(const block_step *p) { step_block(p, 2, MEET_WHOLE, biased); }      \
    static void name##_some_1(const block_step *p) { step_block(p, 1, MEET_SOME, biased); }        \
    static void name##_some_2(const block_step *p) { step_block(p, 2, MEET_SOME, biased); }        \
    static void name##_edge_1(const block_step *p) { step_block(p, 1, MEET_EDGE, biased); }        \
    static void name##_edge_2(const block_step *p) { step_block(p, 2, MEET_EDGE, biased); }
#define TABLE(name)                                                                                \
    {                                                                                              \
        [MEET_WHOLE] = {name##_whole_1, name##_whole_2},                                           \
        [MEET_SOME] = {name##_some_1, name##_some_2},                                              \
        [MEET_EDGE] = {name##_edge_1, name##_edge_2},                                              \
    }
INSTANCES(step, false)
INSTANCES(biased_step, true)
static void (*const block_steps[2][3][2])(const block_step *) = {TABLE(step), TABLE(biased_step)};
#undef INSTANCES
#undef TABLE

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
    if (type != WR_KV_Q8_0 && dim == stride) { /* one long row */
        const int32_t all = WR_PAGE_TOKENS * dim;
        for (int32_t i = 0; i < all; i += LANES)
            v_store(to + i, load_value(type, values, all, i, LANES));
        return;
    }
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

/* What each query sees of a sequence. */
static void find_spans(const query_tile *t, bool pinned) {
    const int32_t heads = t->job->heads;
    int32_t query = 0;
    for (int32_t i = 0; i < t->job->token_count; i++) {
        const wr_attention_token *token = &t->job->tokens[i];
        wr_kv_span span = pinned ? token->pinned : token->recent;
        if (span.begin >= span.end) span = (wr_kv_span){0, 0};
        for (int32_t h = 0; h < heads; h++, query++) {
            t->begin[query] = span.begin;
            t->end[query] = span.end;
            t->at[query] = pinned ? token->pinned_at : token->recent_at;
        }
    }
    for (; query < blocks_of(t->queries) * QUERY_BLOCK; query++)
        t->begin[query] = t->end[query] = t->at[query] = 0;
}

static block_range range_of(const int32_t *begin, const int32_t *end, int32_t count) {
    block_range range = {{INT32_MAX, 0}, {0, INT32_MAX}};
    for (int32_t i = 0; i < count; i++) {
        if (begin[i] > range.all.begin) range.all.begin = begin[i];
        if (end[i] < range.all.end) range.all.end = end[i];
        if (end[i] > range.any.end) range.any.end = end[i];
        if (begin[i] < range.any.begin && end[i] > 0) range.any.begin = begin[i];
    }
    return range;
}

/* What each block sees; returns what any of them does. */
static wr_kv_span find_ranges(query_tile *t, bool pinned) {
    wr_kv_span whole = {INT32_MAX, 0};
    find_spans(t, pinned);
    for (int32_t b = 0; b < blocks_of(t->queries); b++) {
        block_range *range = &t->ranges[b];
        const int32_t first = b * QUERY_BLOCK, left = t->queries - first;
        *range =
            range_of(t->begin + first, t->end + first, left < QUERY_BLOCK ? left : QUERY_BLOCK);
        if (range->any.begin < whole.begin) whole.begin = range->any.begin;
        if (range->any.end > whole.end) whole.end = range->any.end;
    }
    return whole;
}

/* Elements [d, d + LANES) of the queries from `query` on, by lanes. Zeros where there is none. */
static void copy_square(const query_tile *t, bool pinned, int32_t query, int32_t d) {
    const wr_attention *job = t->job;
    const int32_t left = job->key_dim - d < LANES ? job->key_dim - d : LANES;
    const vec factor = v_all(job->scale * LOG2_OF_E);
    int32_t token = query / job->heads, head = query % job->heads;
    float *to = t->query + (int64_t)(query / QUERY_BLOCK) * QUERY_BLOCK * job->key_dim +
                query % QUERY_BLOCK + d * QUERY_BLOCK;
    vec square[LANES];
    for (int32_t i = 0; i < LANES; i++) {
        square[i] = v_zero();
        if (query + i < t->queries && t->end[query + i] > 0) {
            const wr_attention_token *at = &job->tokens[token];
            const float *from = pinned ? at->query_pinned : at->query_recent;
            square[i] = v_mul(load_up_to(from + (int64_t)head * job->key_dim + d, left), factor);
        }
        if (++head == job->heads) {
            head = 0;
            token++;
        }
    }
    v_transpose(square);
    for (int32_t i = 0; i < left; i++) v_store(to + i * QUERY_BLOCK, square[i]);
}

/* Queries to lanes, in base 2. */
static void copy_queries(const query_tile *t, bool pinned) {
    for (int32_t query = 0; query < blocks_of(t->queries) * QUERY_BLOCK; query += LANES)
        for (int32_t d = 0; d < t->job->key_dim; d += LANES) copy_square(t, pinned, query, d);
}

/* Outputs from lanes, divided by the sums. */
static void tell_square(const query_tile *t, int32_t query, int32_t d) {
    const wr_attention *job = t->job;
    const int32_t left = job->value_dim - d < LANES ? job->value_dim - d : LANES;
    const vec factor = v_div(v_all(1), v_load(t->sum + query));
    const float *from = t->out + (int64_t)(query / QUERY_BLOCK) * QUERY_BLOCK * t->value_dim +
                        query % QUERY_BLOCK + d * QUERY_BLOCK;
    int32_t token = query / job->heads, head = query % job->heads;
    vec square[LANES];
    for (int32_t i = 0; i < LANES; i++)
        square[i] = i < left ? v_mul(v_load(from + i * QUERY_BLOCK), factor) : v_zero();
    v_transpose(square);
    for (int32_t i = 0; i < LANES && query + i < t->queries; i++) {
        store_up_to(job->tokens[token].out + (int64_t)head * job->value_dim + d, square[i], left);
        if (++head == job->heads) {
            head = 0;
            token++;
        }
    }
}

static void tell_outputs(const query_tile *t) {
    for (int32_t query = 0; query < t->queries; query += LANES)
        for (int32_t d = 0; d < t->job->value_dim; d += LANES) tell_square(t, query, d);
}

static meeting meeting_of(const block_range *range, wr_kv_span any, int32_t page) {
    const wr_kv_span all = places_of(range->all, page);
    if (any.begin < all.begin || all.end < any.end) return MEET_EDGE;
    return any.begin == 0 && any.end == WR_PAGE_TOKENS ? MEET_WHOLE : MEET_SOME;
}

static void attend_block(const query_tile *t, int32_t b, int32_t page, block_step *p) {
    const block_range *range = &t->ranges[b];
    const int32_t query = b * QUERY_BLOCK;
    p->any = places_of(range->any, page);
    if (p->any.begin >= p->any.end) return;
    p->query = t->query + (int64_t)query * p->key_dim;
    p->out = t->out + (int64_t)query * p->value_dim;
    p->max = t->max + query;
    p->sum = t->sum + query;
    p->begin = t->begin + query;
    p->end = t->end + query;
    p->slope = t->slope + query;
    p->at = t->at + query;
    p->first = page * WR_PAGE_TOKENS;
    block_steps[t->job->slope != NULL][meeting_of(range, p->any, page)][t->queries - query > LANES](
        p);
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
        for (int32_t b = 0; b < blocks_of(t->queries); b++) attend_block(t, b, i, &p);
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
    t->begin = (int32_t *)(void *)(t->sum + padded);
    t->end = t->begin + padded;
    t->at = t->end + padded;
    t->slope = (float *)(void *)(t->at + padded);
    t->shrink = t->slope + padded;
    memset(t->out, 0, (size_t)padded * (size_t)t->value_dim * sizeof *t->out);
    for (int32_t query = 0; query < padded; query++) {
        const float *sink = job->sink_logit;
        if (sink != NULL) sink += query % job->heads;
        start_softmax(sink, &t->max[query], &t->sum[query]);
        t->slope[query] = job->slope != NULL ? job->slope[query % job->heads] * LOG2_OF_E : 0;
    }
}

static void attend_tile(const wr_attention *job) {
    query_tile t;
    begin_tile(&t, job);
    attend_pages(&t, true);
    attend_pages(&t, false);
    tell_outputs(&t);
}

#endif
