/*
 * Attention of one token: lanes are keys, then elements of a value. Keys and values go from the
 * page's type to registers, where they serve up to TOKEN_HEADS heads, while the next page is asked
 * for: line by line in the order of memory, which the processor then guesses ahead, and evenly over
 * everything that is computed, so that memory never rests.
 */
#ifndef WR_ATTEND_TOKEN_LANES_H
#define WR_ATTEND_TOKEN_LANES_H

#include "tensor/x86/attend_softmax_lanes.h"

enum {
    TOKEN_VECS = 2, /* vectors of keys, or of a value, at a time */
    RUN = 4         /* elements of keys, or values, between two looks at the end of a loop */
};

/* What is asked for while a page is computed: the keys of the next one, then its values, `lines` at
 * each step. Steps are runs of elements or values, and pairs of heads whose weights are computed.
 */
typedef struct asking {
    const uint8_t *at, *end; /* never read */
    int64_t lines;
} asking;

/* A page, for heads that are computed together. */
typedef struct page_step {
    const uint8_t *keys, *values;
    asking next;
    int32_t key_dim, value_dim;
    size_t value_stride; /* bytes from value to value */
    wr_kv_span seen;     /* places */
    const float *query;  /* [key_dim][heads] */
    float *scores;       /* [heads][32], then weights */
    float *max, *sum;    /* [LANES] m, in base 2, and l, a head to a lane */
    float *shrink;       /* [LANES] */
    float *base;         /* [LANES] what is subtracted from scores */
    float *out;          /* [heads, value_dim] */
    float *told;         /* NULL, or where head 0's scores of this page go */
    int64_t told_keys;   /* from head to head there */
    const float *slope;  /* NULL, or [heads] */
    float cap;           /* in base 2; 0: none */
    float at;            /* where the query stands, counted from the page's first place */
} page_step;

INLINE void ask(asking *next) {
    for (int64_t i = 0; i < next->lines && next->at < next->end; i++, next->at += 64)
        __builtin_prefetch(next->at, 0, 2);
}

/* Element d of the keys from place `at` on, TOKEN_VECS vectors, for all heads. */
INLINE void score_element(wr_kv_type type, const page_step *p, int32_t at, int32_t d,
                          vec scales[TOKEN_VECS], const int heads,
                          vec sums[TOKEN_HEADS][TOKEN_VECS]) {
    vec key[TOKEN_VECS];
    UNROLLED for (int v = 0; v < TOKEN_VECS; v++) {
        const uint8_t *from = key_at(type, p->keys, p->key_dim, d, at + v * LANES);
        key[v] = load_keys(type, from, scales[v]);
    }
    UNROLLED for (int h = 0; h < heads; h++) {
        const vec q = v_all(p->query[d * heads + h]);
        UNROLLED for (int v = 0; v < TOKEN_VECS; v++) sums[h][v] = v_fma(q, key[v], sums[h][v]);
    }
}

/* scores[h][at ...] = query[h] . key, for TOKEN_VECS vectors of keys; the order is that of d. A
 * run of the loop is long, so that the end of the loop is foreseen. */
INLINE void score_pair(wr_kv_type type, page_step *p, int32_t at, const int heads) {
    vec sums[TOKEN_HEADS][TOKEN_VECS], scales[TOKEN_VECS] = {v_zero(), v_zero()};
    UNROLLED for (int h = 0; h < heads; h++) sums[h][0] = sums[h][1] = v_zero();
    for (int32_t d = 0; d < p->key_dim; d += RUN) {
        if (type == WR_KV_Q8_0 && d % WR_KV_RUN == 0)
            UNROLLED for (int v = 0; v < TOKEN_VECS; v++) scales[v] =
                load_key_scales(p->keys, d, at + v * LANES);
        ask(&p->next);
        if (d + RUN <= p->key_dim) {
            UNROLLED for (int32_t i = 0; i < RUN; i++)
                score_element(type, p, at, d + i, scales, heads, sums);
        } else {
            for (int32_t i = d; i < p->key_dim; i++)
                score_element(type, p, at, i, scales, heads, sums);
        }
    }
    UNROLLED for (int h = 0; h < heads; h++) {
        v_store(p->scores + h * WR_PAGE_TOKENS + at, sums[h][0]);
        v_store(p->scores + h * WR_PAGE_TOKENS + at + LANES, sums[h][1]);
    }
}

INLINE void score_page(wr_kv_type type, page_step *p, const int heads) {
    for (int32_t at = 0; at < WR_PAGE_TOKENS; at += TOKEN_VECS * LANES)
        score_pair(type, p, at, heads);
}

/* Value `row`, of which TOKEN_VECS or fewer vectors from element i on are at hand, for all heads.
 */
INLINE void add_value(wr_kv_type type, const page_step *p, const uint8_t *row, int32_t j, int32_t i,
                      const int vecs, int32_t left, const int heads,
                      vec sums[TOKEN_HEADS][TOKEN_VECS]) {
    vec value[TOKEN_VECS];
    UNROLLED for (int v = 0; v < vecs; v++) value[v] =
        load_value(type, row, p->value_dim, i + v * LANES, left);
    UNROLLED for (int h = 0; h < heads; h++) {
        const vec weight = v_all(p->scores[h * WR_PAGE_TOKENS + j]);
        UNROLLED for (int v = 0; v < vecs; v++) sums[h][v] = v_fma(weight, value[v], sums[h][v]);
    }
}

/* out[h][i ...] = shrink[h] * out[h][i ...] + sum_j weight[h][j] * value[j][i ...], j in order, for
 * `vecs` vectors, of which a single one may be a part */
INLINE void add_columns(wr_kv_type type, page_step *p, int32_t i, const int vecs, int32_t left,
                        const int heads) {
    const int32_t dim = p->value_dim, begin = p->seen.begin, end = p->seen.end;
    const size_t stride = p->value_stride;
    const uint8_t *row = p->values + (size_t)begin * stride;
    float *out = p->out + i;
    vec sums[TOKEN_HEADS][TOKEN_VECS];
    UNROLLED for (int h = 0; h < heads; h++) UNROLLED for (int v = 0; v < vecs; v++) {
        const float *old = out + (int64_t)h * dim + v * LANES;
        sums[h][v] =
            v_mul(v_all(p->shrink[h]), left < LANES ? v_load_part(old, left) : v_load(old));
    }
    int32_t j = begin;
    for (; j + RUN <= end; j += RUN) {
        ask(&p->next);
        UNROLLED for (int32_t k = 0; k < RUN; k++, row += stride)
            add_value(type, p, row, j + k, i, vecs, left, heads, sums);
    }
    for (; j < end; j++, row += stride) add_value(type, p, row, j, i, vecs, left, heads, sums);
    UNROLLED for (int h = 0; h < heads; h++) UNROLLED for (int v = 0; v < vecs; v++) {
        float *to = out + (int64_t)h * dim + v * LANES;
        if (left < LANES)
            v_store_part(to, sums[h][v], left);
        else
            v_store(to, sums[h][v]);
    }
}

INLINE void add_page(wr_kv_type type, page_step *p, const int heads) {
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

/* Scores of places that are not seen become minus infinity; others are told. */
static void show_and_hide(const page_step *p, int32_t heads) {
    for (int32_t h = 0; h < heads; h++) {
        float *scores = p->scores + h * WR_PAGE_TOKENS;
        for (int32_t j = 0; j < p->seen.begin; j++) scores[j] = -INFINITY;
        for (int32_t j = p->seen.end; j < WR_PAGE_TOKENS; j++) scores[j] = -INFINITY;
        if (p->told == NULL) continue;
        float *told = p->told + h * p->told_keys;
        for (int32_t j = p->seen.begin; j < p->seen.end; j++) *told++ = scores[j] * LN_OF_2;
    }
}

/* Lane h: the largest number, or the sum, of a[h]. Other lanes are arbitrary. */
INLINE vec largest_of_each(vec a[TOKEN_HEADS], const int heads) {
    if (heads == 1) return v_all(v_largest(a[0]));
    UNROLLED for (int h = heads; h < TOKEN_HEADS; h++) a[h] = a[0]; /* nothing is done twice */
    return v_largest_of_each(a);
}
INLINE vec sum_of_each(vec a[TOKEN_HEADS], const int heads) {
    if (heads == 1) return v_all(v_sum(a[0]));
    UNROLLED for (int h = heads; h < TOKEN_HEADS; h++) a[h] = a[0];
    return v_sum_of_each(a);
}

/* 32 weights by lanes: halves folded onto each other. */
INLINE vec fold_weights(const vec w[WR_PAGE_TOKENS / LANES]) {
    if (LANES == 16) return v_add(w[0], w[WR_PAGE_TOKENS / LANES - 1]);
    return v_add(v_add(w[0], w[2 % (32 / LANES)]), v_add(w[1], w[3 % (32 / LANES)]));
}

/* Scores to weights; m and l advance. */
INLINE void weigh_page(page_step *p, const int heads) {
    enum { COUNT = WR_PAGE_TOKENS / LANES };
    vec each[TOKEN_HEADS];
    float *const scores = p->scores, *const base = p->base;
    UNROLLED for (int h = 0; h < heads; h++) {
        const float *at = scores + h * WR_PAGE_TOKENS;
        each[h] = v_max(v_load(at), v_load(at + (COUNT - 1) * LANES));
        if (COUNT == 4) each[h] = v_max(each[h], v_max(v_load(at + LANES), v_load(at + 2 * LANES)));
    }
    const vec old = v_load(p->max), max = next_max(largest_of_each(each, heads), old);
    const vec shrink = shrinkage(old, max);
    v_store(base, subtracted(max));
    v_store(p->max, max);
    v_store(p->shrink, shrink);
    UNROLLED for (int h = 0; h < heads; h++) {
        float *at = scores + h * WR_PAGE_TOKENS;
        vec w[COUNT];
        if (h % 2 == 1) ask(&p->next);
        UNROLLED for (int v = 0; v < COUNT; v++) {
            w[v] = v_exp2(v_sub(v_load(at + v * LANES), v_all(base[h])));
            v_store(at + v * LANES, w[v]);
        }
        each[h] = fold_weights(w);
    }
    v_store(p->sum, v_fma(v_load(p->sum), shrink, sum_of_each(each, heads)));
}

/* c tanh(s / c) as c - 2 c / (1 + e^(2 s / c)). */
static void cap_page(const page_step *p, int32_t heads) {
    const vec cap = v_all(p->cap), twice = v_all(2 * p->cap), factor = v_all(2 / p->cap);
    for (int32_t i = 0; i < heads * WR_PAGE_TOKENS; i += LANES) {
        const vec grown = v_exp(v_mul(v_load(p->scores + i), factor));
        v_store(p->scores + i, v_sub(cap, v_div(twice, v_add(v_all(1), grown))));
    }
}

static void bias_page(const page_step *p, int32_t heads) {
    for (int32_t h = 0; h < heads; h++) {
        const vec slope = v_all(p->slope[h] * LOG2_OF_E);
        for (int32_t j = 0; j < WR_PAGE_TOKENS; j += LANES) {
            float *score = p->scores + h * WR_PAGE_TOKENS + j;
            v_store(score, v_biased(v_load(score), slope, v_load(place_numbers + j), v_all(p->at)));
        }
    }
}

INLINE void take_page(wr_kv_type type, page_step *p, const int heads) {
    score_page(type, p, heads);
    if (p->cap > 0) cap_page(p, heads);
    if (p->slope != NULL) bias_page(p, heads);
    if (p->seen.end - p->seen.begin < WR_PAGE_TOKENS || p->told != NULL) show_and_hide(p, heads);
    weigh_page(p, heads);
    add_page(type, p, heads);
}

/* The instances: type by count of heads, a power of two. */
#define INSTANCE(type, heads)                                                                      \
    static void take_##type##_##heads(page_step *p) { take_page(WR_KV_##type, p, heads); }
#if WR_WIDE_TILE
#define INSTANCES(type) INSTANCE(type, 1) INSTANCE(type, 2) INSTANCE(type, 4) INSTANCE(type, 8)
#define TABLE(type)                                                                                \
    { take_##type##_1, take_##type##_2, take_##type##_4, take_##type##_8 }
#else
#define INSTANCES(type) INSTANCE(type, 1) INSTANCE(type, 2) INSTANCE(type, 4)
#define TABLE(type)                                                                                \
    { take_##type##_1, take_##type##_2, take_##type##_4 }
#endif
INSTANCES(F32)
INSTANCES(F16)
INSTANCES(Q8_0)

typedef void (*page_function)(page_step *p);
static const page_function page_functions[WR_KV_TYPES][4] = {TABLE(F32), TABLE(F16), TABLE(Q8_0)};
#undef INSTANCE
#undef INSTANCES
#undef TABLE

/* ---- one token ------------------------------------------------------------------------------- */

/* What each head carries from page to page. */
typedef struct token_state {
    const wr_attention *job;
    const wr_attention_token *token;
    float *scores; /* [TOKEN_HEADS][32] */
    float *shrink; /* [LANES] */
    float *base;   /* [LANES] */
    float *max;    /* [parts][LANES] m, in base 2 */
    float *sum;    /* [parts][LANES] l */
    float *query;  /* [key_dim][heads] of each part, one part after the other */
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

static void attend_page(token_state *at, const wr_kv_sequence *from, page_step *p) {
    const wr_attention *job = at->job;
    int log2;
    p->query = at->query;
    p->told_keys = at->keys;
    p->max = at->max;
    p->sum = at->sum;
    for (int32_t head = 0, heads; head < job->heads; head += heads) {
        heads = part_of(job->heads - head, &log2);
        p->out = at->token->out + (int64_t)head * job->value_dim;
        if (job->slope != NULL) p->slope = job->slope + head;
        if (at->token->scores != NULL) p->told = at->token->scores + head * at->keys + at->told;
        page_functions[from->type][log2](p);
        p->query += heads * job->key_dim;
        p->max += LANES;
        p->sum += LANES;
    }
    at->told += p->seen.end - p->seen.begin;
}

/* Bytes of a page's keys and values, which as a rule follow one another. */
static int64_t page_bytes(const wr_attention *job, wr_kv_type type) {
    return WR_PAGE_TOKENS *
           (int64_t)(wr_kv_row_bytes(type, job->key_dim) + wr_kv_row_bytes(type, job->value_dim));
}

/* Lines of the next page that a step asks for. */
static int64_t lines_of_step(const wr_attention *job, wr_kv_type type) {
    const int64_t columns = TOKEN_VECS * LANES;
    const int64_t parts = (job->heads + TOKEN_HEADS - 1) / TOKEN_HEADS;
    const int64_t score = (job->key_dim + RUN - 1) / RUN * (WR_PAGE_TOKENS / columns);
    const int64_t add = WR_PAGE_TOKENS / RUN * ((job->value_dim + columns - 1) / columns);
    const int64_t weigh = (job->heads < TOKEN_HEADS ? job->heads : TOKEN_HEADS) / 2;
    const int64_t steps = parts * (score + weigh + add);
    return (page_bytes(job, type) / 64 + steps - 1) / steps;
}

static void attend_sequence(token_state *at, const wr_kv_sequence *from, const float *query,
                            wr_kv_span span, int32_t query_at) {
    if (span.begin >= span.end) return;
    copy_query(at, query);
    const int32_t last = (span.end - 1) / WR_PAGE_TOKENS;
    const size_t stride = wr_kv_row_bytes(from->type, at->job->value_dim);
    const int64_t bytes = page_bytes(at->job, from->type);
    asking next = {.lines = lines_of_step(at->job, from->type)};
    for (int32_t i = span.begin / WR_PAGE_TOKENS; i <= last; i++) {
        const uint8_t *page = from->pages[i];
        next.at = i < last ? from->pages[i + 1] + from->key_offset : NULL;
        next.end = i < last ? next.at + bytes : NULL;
        page_step p = {.keys = page + from->key_offset,
                       .values = page + from->value_offset,
                       .next = next,
                       .key_dim = at->job->key_dim,
                       .value_dim = at->job->value_dim,
                       .value_stride = stride,
                       .seen = places_of(span, i),
                       .scores = at->scores,
                       .shrink = at->shrink,
                       .base = at->base,
                       .cap = at->job->cap * LOG2_OF_E,
                       .at = (float)(query_at - i * WR_PAGE_TOKENS)};
        attend_page(at, from, &p);
    }
}

/* Parts that heads are divided into: whole ones, then one for each binary digit. */
static int32_t most_parts(int32_t heads) { return heads / TOKEN_HEADS + (WR_WIDE_TILE ? 3 : 2); }

/* m and l before any key. */
static void begin_token(token_state *at) {
    const wr_attention *job = at->job;
    int log2;
    float *max = at->max, *sum = at->sum;
    for (int32_t head = 0, heads; head < job->heads; head += heads, max += LANES, sum += LANES) {
        heads = part_of(job->heads - head, &log2);
        for (int32_t h = 0; h < LANES; h++) {
            const bool sink = h < heads && job->sink_logit != NULL;
            start_softmax(sink ? job->sink_logit + head + h : NULL, &max[h], &sum[h]);
        }
    }
    memset(at->token->out, 0, (size_t)job->heads * (size_t)job->value_dim * sizeof *at->token->out);
}

/* Outputs are divided by l. */
static void end_token(const token_state *at) {
    const wr_attention *job = at->job;
    const float *sum = at->sum;
    float *out = at->token->out;
    int log2;
    for (int32_t head = 0, heads; head < job->heads; head += heads, sum += LANES) {
        heads = part_of(job->heads - head, &log2);
        for (int32_t h = 0; h < heads; h++, out += job->value_dim)
            scale(out, 1.0f / sum[h], job->value_dim);
    }
}

static void attend_token(const wr_attention *job, const wr_attention_token *token) {
    token_state at = {.job = job, .token = token, .scores = job->scratch};
    at.shrink = at.scores + TOKEN_HEADS * WR_PAGE_TOKENS;
    at.base = at.shrink + LANES;
    at.max = at.base + LANES;
    at.sum = at.max + most_parts(job->heads) * LANES;
    at.query = at.sum + most_parts(job->heads) * LANES;
    at.keys = (int64_t)(token->pinned.end - token->pinned.begin) +
              (token->recent.end - token->recent.begin);
    begin_token(&at);
    attend_sequence(&at, &job->pinned, token->query_pinned, token->pinned, token->pinned_at);
    attend_sequence(&at, &job->recent, token->query_recent, token->recent, token->recent_at);
    end_token(&at);
}

#endif
