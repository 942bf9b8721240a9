/*
 * Attention of one token: lanes are keys, then elements of a value. Keys and values go from the
 * page's type to registers, where they serve up to TOKEN_HEADS heads, while the next page is asked
 * for.
 */
#ifndef WR_ATTEND_TOKEN_LANES_H
#define WR_ATTEND_TOKEN_LANES_H

#include "tensor/x86/attend_softmax_lanes.h"

enum { TOKEN_VECS = 2 /* vectors of keys, or of a value, at a time */ };

/* A page, for heads that are computed together. */
typedef struct page_step {
    const uint8_t *keys, *values;
    uintptr_t ahead; /* bytes to the next page */
    int32_t key_dim, value_dim;
    wr_kv_span seen;     /* places */
    const float *query;  /* [key_dim][heads] */
    float *scores;       /* [heads][32], then weights */
    const float *shrink; /* [heads] */
    float *out;          /* [heads, value_dim] */
} page_step;

INLINE void ask_for(const void *address, uintptr_t ahead) {
    __builtin_prefetch((const void *)((uintptr_t)address + ahead), 0, 2);
}

/* scores[h][at ...] = query[h] . key, for TOKEN_VECS vectors of keys; the order is that of d */
INLINE void score_pair(wr_kv_type type, const page_step *p, int32_t at, const int heads) {
    vec sums[TOKEN_HEADS][TOKEN_VECS], scales[TOKEN_VECS] = {v_zero(), v_zero()};
    UNROLLED for (int h = 0; h < heads; h++) sums[h][0] = sums[h][1] = v_zero();
    for (int32_t d = 0; d < p->key_dim; d++) {
        vec key[TOKEN_VECS];
        UNROLLED for (int v = 0; v < TOKEN_VECS; v++) {
            const uint8_t *from = key_at(type, p->keys, p->key_dim, d, at + v * LANES);
            if (type == WR_KV_Q8_0 && d % WR_KV_RUN == 0)
                scales[v] = load_key_scales(p->keys, d, at + v * LANES);
            if (v == 0 || (type == WR_KV_F32 && LANES == 16)) ask_for(from, p->ahead);
            key[v] = load_keys(type, from, scales[v]);
        }
        UNROLLED for (int h = 0; h < heads; h++) {
            const vec q = v_all(p->query[d * heads + h]);
            sums[h][0] = v_fma(q, key[0], sums[h][0]);
            sums[h][1] = v_fma(q, key[1], sums[h][1]);
        }
    }
    UNROLLED for (int h = 0; h < heads; h++) {
        v_store(p->scores + h * WR_PAGE_TOKENS + at, sums[h][0]);
        v_store(p->scores + h * WR_PAGE_TOKENS + at + LANES, sums[h][1]);
    }
}

INLINE void score_page(wr_kv_type type, const page_step *p, const int heads) {
    for (int32_t at = 0; at < WR_PAGE_TOKENS; at += TOKEN_VECS * LANES)
        score_pair(type, p, at, heads);
}

/* out[h][i ...] = shrink[h] * out[h][i ...] + sum_j weight[h][j] * value[j][i ...], j in order, for
 * `vecs` vectors, of which a single one may be a part */
INLINE void add_columns(wr_kv_type type, const page_step *p, int32_t i, const int vecs,
                        int32_t left, const int heads) {
    const int32_t dim = p->value_dim;
    const size_t stride = wr_kv_row_bytes(type, dim);
    vec sums[TOKEN_HEADS][TOKEN_VECS];
    UNROLLED for (int h = 0; h < heads; h++) {
        const float *out = p->out + (int64_t)h * dim + i;
        UNROLLED for (int v = 0; v < vecs; v++) {
            vec old = left < LANES ? v_load_part(out, left) : v_load(out + v * LANES);
            sums[h][v] = v_mul(v_all(p->shrink[h]), old);
        }
    }
    for (int32_t j = p->seen.begin; j < p->seen.end; j++) {
        const uint8_t *row = p->values + (size_t)j * stride;
        vec value[TOKEN_VECS];
        ask_for(row + stride / (size_t)dim * (size_t)i, p->ahead);
        UNROLLED for (int v = 0; v < vecs; v++) value[v] =
            load_value(type, row, dim, i + v * LANES, left < LANES ? left : LANES);
        UNROLLED for (int h = 0; h < heads; h++) {
            const vec weight = v_all(p->scores[h * WR_PAGE_TOKENS + j]);
            UNROLLED for (int v = 0; v < vecs; v++) sums[h][v] =
                v_fma(weight, value[v], sums[h][v]);
        }
    }
    UNROLLED for (int h = 0; h < heads; h++) {
        float *out = p->out + (int64_t)h * dim + i;
        UNROLLED for (int v = 0; v < vecs; v++) {
            if (left < LANES)
                v_store_part(out, sums[h][v], left);
            else
                v_store(out + v * LANES, sums[h][v]);
        }
    }
}

INLINE void add_page(wr_kv_type type, const page_step *p, const int heads) {
    const int32_t dim = p->value_dim;
    int32_t i = 0;
    for (; i + TOKEN_VECS * LANES <= dim; i += TOKEN_VECS * LANES)
        add_columns(type, p, i, TOKEN_VECS, LANES, heads);
    if (i + LANES <= dim) {
        add_columns(type, p, i, 1, LANES, heads);
        i += LANES;
    }
    if (i < dim) add_columns(type, p, i, 1, dim - i, heads);
}

/* The instances: type by count of heads, a power of two. */
#define INSTANCE(type, heads)                                                                      \
    static void score_##type##_##heads(const page_step *p) { score_page(WR_KV_##type, p, heads); } \
    static void add_##type##_##heads(const page_step *p) { add_page(WR_KV_##type, p, heads); }
#if WR_WIDE_TILE
#define INSTANCES(type) INSTANCE(type, 1) INSTANCE(type, 2) INSTANCE(type, 4) INSTANCE(type, 8)
#define TABLE(what, type)                                                                          \
    { what##_##type##_1, what##_##type##_2, what##_##type##_4, what##_##type##_8 }
#else
#define INSTANCES(type) INSTANCE(type, 1) INSTANCE(type, 2) INSTANCE(type, 4)
#define TABLE(what, type)                                                                          \
    { what##_##type##_1, what##_##type##_2, what##_##type##_4 }
#endif
INSTANCES(F32)
INSTANCES(F16)
INSTANCES(Q8_0)

typedef void (*page_function)(const page_step *p);
static const page_function score_functions[WR_KV_TYPES][4] = {TABLE(score, F32), TABLE(score, F16),
                                                              TABLE(score, Q8_0)};
static const page_function add_functions[WR_KV_TYPES][4] = {TABLE(add, F32), TABLE(add, F16),
                                                            TABLE(add, Q8_0)};
#undef INSTANCE
#undef INSTANCES
#undef TABLE

/* ---- one token ------------------------------------------------------------------------------- */

/* What each head carries from page to page. */
typedef struct token_state {
    const wr_attention *job;
    const wr_attention_token *token;
    float *query;  /* [key_dim][heads] of each part, one part after the other */
    float *max;    /* [heads] m, in base 2 */
    float *sum;    /* [heads] l */
    float *shrink; /* [heads] */
    float *scores; /* [TOKEN_HEADS][32] */
    int64_t keys;  /* that the token sees */
    int64_t told;  /* of them, scores told */
} token_state;

/* Heads computed together when `left` are left: the largest power of two; *log2 is its place in the
 * tables. */
static int32_t part_of(int32_t left, int *log2) {
    int32_t heads = TOKEN_HEADS;
    *log2 = WR_WIDE_TILE ? 3 : 2;
    for (; heads > left; heads /= 2) --*log2;
    return heads;
}

/* Queries in base 2, the heads of a part side by side. */
static void copy_query(token_state *at, const float *query) {
    const int32_t dim = at->job->key_dim;
    const float factor = at->job->scale * LOG2_OF_E;
    float *to = at->query;
    int log2;
    for (int32_t head = 0, heads; head < at->job->heads; head += heads, to += heads * dim) {
        heads = part_of(at->job->heads - head, &log2);
        for (int32_t h = 0; h < heads; h++)
            for (int32_t d = 0; d < dim; d++)
                to[d * heads + h] = query[(int64_t)(head + h) * dim + d] * factor;
    }
}

/* Scores of places that are not seen become minus infinity; others are told. */
static void show_and_hide(token_state *at, const page_step *p, int32_t head, int32_t heads) {
    for (int32_t h = 0; h < heads; h++) {
        float *scores = p->scores + h * WR_PAGE_TOKENS;
        for (int32_t j = 0; j < p->seen.begin; j++) scores[j] = -INFINITY;
        for (int32_t j = p->seen.end; j < WR_PAGE_TOKENS; j++) scores[j] = -INFINITY;
        if (at->token->scores == NULL) continue;
        float *told = at->token->scores + (head + h) * at->keys + at->told;
        for (int32_t j = p->seen.begin; j < p->seen.end; j++) *told++ = scores[j] * LN_OF_2;
    }
}

/* The sum of 32 weights: halves folded onto each other. */
static inline float fold_weights(const vec w[WR_PAGE_TOKENS / LANES]) {
    if (LANES == 16) return v_sum(v_add(w[0], w[WR_PAGE_TOKENS / LANES - 1]));
    return v_sum(v_add(v_add(w[0], w[2 % (32 / LANES)]), v_add(w[1], w[3 % (32 / LANES)])));
}

/* Scores to weights; m and l advance. */
static void weigh_heads(token_state *at, int32_t head, int32_t heads) {
    enum { COUNT = WR_PAGE_TOKENS / LANES };
    float best[LANES] = {0}, sums[LANES] = {0};
    for (int32_t h = 0; h < heads; h++) {
        const float *scores = at->scores + h * WR_PAGE_TOKENS;
        vec largest_ones = v_load(scores);
        UNROLLED for (int v = 1; v < COUNT; v++) largest_ones =
            v_max(largest_ones, v_load(scores + v * LANES));
        best[h] = v_largest(largest_ones);
    }
    const vec old = load_up_to(at->max + head, heads), max = v_max(v_load(best), old);
    const vec shrink = shrinkage(old, max);
    store_up_to(at->max + head, max, heads);
    store_up_to(at->shrink + head, shrink, heads);
    v_store(best, subtracted(max));
    for (int32_t h = 0; h < heads; h++) {
        float *scores = at->scores + h * WR_PAGE_TOKENS;
        vec w[COUNT];
        UNROLLED for (int v = 0; v < COUNT; v++) {
            w[v] = v_exp2(v_sub(v_load(scores + v * LANES), v_all(best[h])));
            v_store(scores + v * LANES, w[v]);
        }
        sums[h] = fold_weights(w);
    }
    const vec sum = v_fma(load_up_to(at->sum + head, heads), shrink, v_load(sums));
    store_up_to(at->sum + head, sum, heads);
}

static void attend_page(token_state *at, const wr_kv_sequence *from, page_step *p) {
    const wr_attention *job = at->job;
    int log2;
    p->query = at->query;
    for (int32_t head = 0, heads; head < job->heads; head += heads) {
        heads = part_of(job->heads - head, &log2);
        p->shrink = at->shrink + head;
        p->out = at->token->out + (int64_t)head * job->value_dim;
        score_functions[from->type][log2](p);
        if (p->seen.end - p->seen.begin < WR_PAGE_TOKENS || at->token->scores != NULL)
            show_and_hide(at, p, head, heads);
        weigh_heads(at, head, heads);
        add_functions[from->type][log2](p);
        p->query += heads * job->key_dim;
    }
    at->told += p->seen.end - p->seen.begin;
}

static void attend_sequence(token_state *at, const wr_kv_sequence *from, const float *query,
                            wr_kv_span span) {
    if (span.begin >= span.end) return;
    copy_query(at, query);
    const int32_t last = (span.end - 1) / WR_PAGE_TOKENS;
    for (int32_t i = span.begin / WR_PAGE_TOKENS; i <= last; i++) {
        const uint8_t *page = from->pages[i], *next = from->pages[i < last ? i + 1 : i];
        page_step p = {.keys = page + from->key_offset,
                       .values = page + from->value_offset,
                       .ahead = (uintptr_t)next - (uintptr_t)page,
                       .key_dim = at->job->key_dim,
                       .value_dim = at->job->value_dim,
                       .seen = places_of(span, i),
                       .scores = at->scores};
        attend_page(at, from, &p);
    }
}

static void attend_token(const wr_attention *job, const wr_attention_token *token) {
    token_state at = {.job = job, .token = token, .query = job->scratch};
    at.max = at.query + (int64_t)job->heads * job->key_dim;
    at.sum = at.max + job->heads;
    at.shrink = at.sum + job->heads;
    at.scores = at.shrink + job->heads;
    at.keys = (int64_t)(token->pinned.end - token->pinned.begin) +
              (token->recent.end - token->recent.begin);
    for (int32_t h = 0; h < job->heads; h++) {
        at.max[h] = job->sink_logit != NULL ? job->sink_logit[h] * LOG2_OF_E : -INFINITY;
        at.sum[h] = job->sink_logit != NULL ? 1 : 0;
    }
    memset(token->out, 0, (size_t)job->heads * (size_t)job->value_dim * sizeof *token->out);
    attend_sequence(&at, &job->pinned, token->query_pinned, token->pinned);
    attend_sequence(&at, &job->recent, token->query_recent, token->recent);
    for (int32_t h = 0; h < job->heads; h++)
        scale(token->out + (int64_t)h * job->value_dim, 1.0f / at.sum[h], job->value_dim);
}

#endif
