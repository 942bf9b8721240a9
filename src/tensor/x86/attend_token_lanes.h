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
    CHAINS = 4,     /* heads at a time, times TOKEN_VECS: as many sums hide an addition's latency */
    SEQUENCES = 4,  /* of lines that are asked for */
    RUN = 4         /* elements of keys, or values, between two looks at the end of a loop */
};

/* What is asked for while a page is computed: the next one, in SEQUENCES parts side by side, as the
 * prefetcher of the second cache follows each by itself; `lines` of a part at each step. Steps are
 * runs of elements or values, and pairs of heads whose weights are computed. */
typedef struct asking {
    const uint8_t *at; /* never read */
    int64_t left;      /* lines of a part */
    int64_t lines, apart;
} asking;

/* A page, for heads that are computed together: those of some KV heads, or some of one. */
typedef struct page_step {
    const uint8_t *keys, *values; /* of the first KV head */
    size_t kv_stride;             /* bytes to the next */
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

/* Heads that are computed together: of `kvs` KV heads `group` each. Constants of an instance. */
typedef struct part {
    int group, kvs;
} part;

/* KV heads whose sums are in registers at the same time: as one has few, several. */
INLINE int kvs_at_once(const part of) {
    const int most = of.group < CHAINS ? CHAINS / of.group : 1;
    return of.kvs < most ? of.kvs : most;
}

INLINE void ask(asking *next) {
    for (int64_t i = 0; i < next->lines && next->left > 0; i++, next->left--, next->at += 64)
        UNROLLED for (int k = 0; k < SEQUENCES; k++)
            __builtin_prefetch(next->at + k * next->apart, 0, 2);
}

/* Element d of the keys from place `at` on, TOKEN_VECS vectors, of KV heads kv, kv + 1, ..., for
 * all their heads. */
INLINE void score_element(wr_kv_type type, const page_step *p, const part of, int32_t at, int32_t d,
                          int kv, vec scales[CHAINS][TOKEN_VECS],
                          vec sums[TOKEN_HEADS][TOKEN_VECS]) {
    const float *query = p->query + d * of.group * of.kvs + kv * of.group;
    UNROLLED for (int k = 0; k < kvs_at_once(of); k++) {
        const uint8_t *keys = p->keys + (size_t)(kv + k) * p->kv_stride;
        vec key[TOKEN_VECS];
        UNROLLED for (int v = 0; v < TOKEN_VECS; v++) key[v] =
            load_keys(type, key_at(type, keys, p->key_dim, d, at + v * LANES), scales[k][v]);
        UNROLLED for (int h = k * of.group; h < (k + 1) * of.group; h++) {
            const vec q = v_all(query[h]);
            UNROLLED for (int v = 0; v < TOKEN_VECS; v++) sums[h][v] = v_fma(q, key[v], sums[h][v]);
        }
    }
}

/* scores[h][at ...] = query[h] . key, for TOKEN_VECS vectors of keys of KV heads kv, kv + 1, ...;
 * the order is that of d. A run of the loop is long, so that the end of the loop is foreseen. */
INLINE void score_pair(wr_kv_type type, page_step *p, const part of, int32_t at, int kv) {
    const int heads = of.group * kvs_at_once(of);
    float *scores = p->scores + kv * of.group * WR_PAGE_TOKENS + at;
    vec sums[TOKEN_HEADS][TOKEN_VECS], scales[CHAINS][TOKEN_VECS];
    UNROLLED for (int k = 0; k < CHAINS; k++) scales[k][0] = scales[k][1] = v_zero();
    UNROLLED for (int h = 0; h < heads; h++) sums[h][0] = sums[h][1] = v_zero();
    for (int32_t d = 0; d < p->key_dim; d += RUN) {
        if (type == WR_KV_Q8_0 && d % WR_KV_RUN == 0)
            UNROLLED for (int k = 0; k < kvs_at_once(of); k++)
                UNROLLED for (int v = 0; v < TOKEN_VECS; v++) scales[k][v] =
                    load_key_scales(p->keys + (size_t)(kv + k) * p->kv_stride, d, at + v * LANES);
        ask(&p->next);
        if (d + RUN <= p->key_dim) {
            UNROLLED for (int32_t i = 0; i < RUN; i++)
                score_element(type, p, of, at, d + i, kv, scales, sums);
        } else {
            for (int32_t i = d; i < p->key_dim; i++)
                score_element(type, p, of, at, i, kv, scales, sums);
        }
    }
    UNROLLED for (int h = 0; h < heads; h++) {
        v_store(scores + h * WR_PAGE_TOKENS, sums[h][0]);
        v_store(scores + h * WR_PAGE_TOKENS + LANES, sums[h][1]);
    }
}

INLINE void score_page(wr_kv_type type, page_step *p, const part of) {
    for (int kv = 0; kv < of.kvs; kv += kvs_at_once(of))
        for (int32_t at = 0; at < WR_PAGE_TOKENS; at += TOKEN_VECS * LANES)
            score_pair(type, p, of, at, kv);
}

/* Values `row` and the same of the next KV heads, of which TOKEN_VECS or fewer vectors from element
 * i on are at hand, for all heads. */
INLINE void add_value(wr_kv_type type, const page_step *p, const part of, const uint8_t *row,
                      const float *weights, int32_t i, const int vecs, int32_t left,
                      vec sums[TOKEN_HEADS][TOKEN_VECS]) {
    UNROLLED for (int k = 0; k < kvs_at_once(of); k++) {
        vec value[TOKEN_VECS];
        UNROLLED for (int v = 0; v < vecs; v++) value[v] =
            load_value(type, row + (size_t)k * p->kv_stride, p->value_dim, i + v * LANES, left);
        UNROLLED for (int h = k * of.group; h < (k + 1) * of.group; h++) {
            const vec weight = v_all(weights[h * WR_PAGE_TOKENS]);
            UNROLLED for (int v = 0; v < vecs; v++) sums[h][v] =
                v_fma(weight, value[v], sums[h][v]);
        }
    }
}

/* out[h][i ...] = shrink[h] * out[h][i ...] + sum_j weight[h][j] * value[j][i ...], j in order, for
 * `vecs` vectors, of which a single one may be a part, and KV heads kv, kv + 1, ... */
INLINE void add_columns(wr_kv_type type, page_step *p, const part of, int kv, int32_t i,
                        const int vecs, int32_t left) {
    const int heads = of.group * kvs_at_once(of), first = kv * of.group;
    const int32_t dim = p->value_dim, end = p->seen.end;
    const size_t stride = p->value_stride;
    int32_t j = p->seen.begin;
    const uint8_t *row = p->values + (size_t)kv * p->kv_stride + (size_t)j * stride;
    const float *weights = p->scores + first * WR_PAGE_TOKENS;
    float *out = p->out + (int64_t)first * dim + i;
    vec sums[TOKEN_HEADS][TOKEN_VECS];
    UNROLLED for (int h = 0; h < heads; h++) UNROLLED for (int v = 0; v < vecs; v++) {
        const float *old = out + (int64_t)h * dim + v * LANES;
        sums[h][v] =
            v_mul(v_all(p->shrink[first + h]), left < LANES ? v_load_part(old, left) : v_load(old));
    }
    for (; j + RUN <= end; j += RUN) {
        ask(&p->next);
        UNROLLED for (int32_t n = 0; n < RUN; n++, row += stride)
            add_value(type, p, of, row, weights + j + n, i, vecs, left, sums);
    }
    for (; j < end; j++, row += stride)
        add_value(type, p, of, row, weights + j, i, vecs, left, sums);
    UNROLLED for (int h = 0; h < heads; h++) UNROLLED for (int v = 0; v < vecs; v++) {
        float *to = out + (int64_t)h * dim + v * LANES;
        if (left < LANES)
            v_store_part(to, sums[h][v], left);
        else
            v_store(to, sums[h][v]);
    }
}

INLINE void add_page(wr_kv_type type, page_step *p, const part of) {
    const int32_t dim = p->value_dim;
    for (int kv = 0; kv < of.kvs; kv += kvs_at_once(of)) {
        int32_t i = 0;
        for (; i + TOKEN_VECS * LANES <= dim; i += TOKEN_VECS * LANES)
            add_columns(type, p, of, kv, i, TOKEN_VECS, LANES);
        if (i + LANES <= dim) {
            add_columns(type, p, of, kv, i, 1, LANES);
            i += LANES;
        }
        if (i < dim) add_columns(type, p, of, kv, i, 1, dim - i);
    }
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

INLINE void take_page(wr_kv_type type, page_step *p, const part of) {
    const int heads = of.group * of.kvs;
    score_page(type, p, of);
    if (p->cap > 0) cap_page(p, heads);
    if (p->slope != NULL) bias_page(p, heads);
    if (p->seen.end - p->seen.begin < WR_PAGE_TOKENS || p->told != NULL) show_and_hide(p, heads);
    weigh_page(p, heads);
    add_page(type, p, of);
}

/* The instances: type by heads of one KV head, a power of two; then by heads of as many KV heads as
 * make TOKEN_HEADS. */
#define INSTANCE(type, group, kvs)                                                                 \
    static void take_##type##_##group##_##kvs(page_step *p) {                                      \
        take_page(WR_KV_##type, p, (part){group, kvs});                                            \
    }
#if WR_WIDE_TILE
#define INSTANCES(type)                                                                            \
    INSTANCE(type, 1, 1)                                                                           \
    INSTANCE(type, 2, 1)                                                                           \
    INSTANCE(type, 4, 1)                                                                           \
    INSTANCE(type, 8, 1) INSTANCE(type, 1, 8) INSTANCE(type, 2, 4) INSTANCE(type, 4, 2)
#define TABLE(type)                                                                                \
    {                                                                                              \
        {take_##type##_1_1, take_##type##_2_1, take_##type##_4_1, take_##type##_8_1},              \
            {take_##type##_1_8, take_##type##_2_4, take_##type##_4_2, take_##type##_8_1},          \
    }
#else
#define INSTANCES(type)                                                                            \
    INSTANCE(type, 1, 1)                                                                           \
    INSTANCE(type, 2, 1) INSTANCE(type, 4, 1) INSTANCE(type, 1, 4) INSTANCE(type, 2, 2)
#define TABLE(type)                                                                                \
    {                                                                                              \
        {take_##type##_1_1, take_##type##_2_1, take_##type##_4_1},                                 \
            {take_##type##_1_4, take_##type##_2_2, take_##type##_4_1},                             \
    }
#endif
INSTANCES(F32)
INSTANCES(F16)
INSTANCES(Q8_0)

typedef void (*page_function)(page_step *p);
/* By type; whether of several KV heads; the binary logarithm of heads of one. */
static const page_function page_functions[WR_KV_TYPES][2][4] = {TABLE(F32), TABLE(F16),
                                                                TABLE(Q8_0)};
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

/* The part that begins with query head `head`, and its place in the table of instances. */
typedef struct part_place {
    part of;
    int32_t heads;
    int several, log2;
} part_place;

static int32_t group_of(const wr_attention *job) {
    return job->kv_heads > 1 ? job->heads / job->kv_heads : job->heads;
}

/* As many KV heads as make TOKEN_HEADS; or of one the largest power of two. */
static part_place part_at(const wr_attention *job, int32_t head) {
    const int32_t group = group_of(job), left = group - head % group;
    part_place at = {.of = {TOKEN_HEADS, 1}, .log2 = WR_WIDE_TILE ? 3 : 2};
    for (; at.of.group > left; at.of.group /= 2) --at.log2;
    if (at.of.group == group && group < TOKEN_HEADS && job->heads - head >= TOKEN_HEADS) {
        at.of.kvs = TOKEN_HEADS / group;
        at.several = 1;
    }
    at.heads = at.of.group * at.of.kvs;
    return at;
}

/* Queries in base 2, the heads of a part side by side. */
static void copy_query(token_state *at, const float *query) {
    const int32_t dim = at->job->key_dim;
    const float factor = at->job->scale * LOG2_OF_E;
    float *to = at->query;
    for (int32_t head = 0, heads; head < at->job->heads; head += heads, to += heads * dim) {
        heads = part_at(at->job, head).heads;
        for (int32_t h = 0; h < heads; h++)
            for (int32_t d = 0; d < dim; d++)
                to[d * heads + h] = query[(int64_t)(head + h) * dim + d] * factor;
    }
}

static void attend_page(token_state *at, const wr_kv_sequence *from, page_step *p) {
    const wr_attention *job = at->job;
    const uint8_t *const keys = p->keys, *const values = p->values;
    p->query = at->query;
    p->told_keys = at->keys;
    p->max = at->max;
    p->sum = at->sum;
    p->kv_stride = from->head_stride;
    for (int32_t head = 0; head < job->heads;) {
        const part_place here = part_at(job, head);
        const size_t kv_at = (size_t)(head / group_of(job)) * from->head_stride;
        p->keys = keys + kv_at;
        p->values = values + kv_at;
        p->out = at->token->out + (int64_t)head * job->value_dim;
        if (job->slope != NULL) p->slope = job->slope + head;
        if (at->token->scores != NULL) p->told = at->token->scores + head * at->keys + at->told;
        page_functions[from->type][here.several][here.log2](p);
        p->query += here.heads * job->key_dim;
        p->max += LANES;
        p->sum += LANES;
        head += here.heads;
    }
    at->told += p->seen.end - p->seen.begin;
}

/* Bytes of a page's keys and values, which as a rule follow one another, and so do KV heads. */
static int64_t page_bytes(const wr_attention *job, wr_kv_type type) {
    return WR_PAGE_TOKENS * (int64_t)(job->kv_heads > 1 ? job->kv_heads : 1) *
           (int64_t)(wr_kv_row_bytes(type, job->key_dim) + wr_kv_row_bytes(type, job->value_dim));
}

/* How pages are asked for. */
static asking asking_of(const wr_attention *job, wr_kv_type type) {
    const int64_t columns = TOKEN_VECS * LANES;
    const int64_t score = (job->key_dim + RUN - 1) / RUN * (WR_PAGE_TOKENS / columns);
    const int64_t add = WR_PAGE_TOKENS / RUN * ((job->value_dim + columns - 1) / columns);
    const int64_t lines = (page_bytes(job, type) / 64 + SEQUENCES - 1) / SEQUENCES;
    int64_t steps = 0;
    for (int32_t head = 0; head < job->heads;) {
        const part_place here = part_at(job, head);
        steps += (score + add) * (here.of.kvs / kvs_at_once(here.of)) + here.heads / 2;
        head += here.heads;
    }
    return (asking){.left = lines, .lines = (lines + steps - 1) / steps, .apart = lines * 64};
}

/* `next`: what is read after the sequence, or NULL. */
static void attend_sequence(token_state *at, const wr_kv_sequence *from, const float *query,
                            wr_kv_span span, int32_t query_at, const uint8_t *then) {
    if (span.begin >= span.end) return;
    copy_query(at, query);
    const int32_t last = (span.end - 1) / WR_PAGE_TOKENS;
    const size_t stride = wr_kv_row_bytes(from->type, at->job->value_dim);
    const asking each = asking_of(at->job, from->type);
    for (int32_t i = span.begin / WR_PAGE_TOKENS; i <= last; i++) {
        const uint8_t *page = from->pages[i];
        asking next = each;
        next.at = i < last ? from->pages[i + 1] + from->key_offset : then;
        if (next.at == NULL) next.left = 0;
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

/* m and l before any key. */
static void begin_token(token_state *at) {
    const wr_attention *job = at->job;
    float *max = at->max, *sum = at->sum;
    for (int32_t head = 0, heads; head < job->heads; head += heads, max += LANES, sum += LANES) {
        heads = part_at(job, head).heads;
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
    for (int32_t head = 0, heads; head < job->heads; head += heads, sum += LANES) {
        heads = part_at(job, head).heads;
        for (int32_t h = 0; h < heads; h++, out += job->value_dim)
            scale(out, 1.0f / sum[h], job->value_dim);
    }
}

static int32_t count_parts(const wr_attention *job) {
    int32_t parts = 0;
    for (int32_t head = 0; head < job->heads; parts++) head += part_at(job, head).heads;
    return parts;
}

/* Scratch: wr_attention_scratch(). */
static void attend_token(const wr_attention *job, const wr_attention_token *token) {
    const int32_t parts = count_parts(job);
    token_state at = {.job = job, .token = token, .scores = job->scratch};
    const wr_kv_span recent = token->recent;
    const uint8_t *first =
        recent.begin < recent.end
            ? job->recent.pages[recent.begin / WR_PAGE_TOKENS] + job->recent.key_offset
            : NULL;
    at.shrink = at.scores + TOKEN_HEADS * WR_PAGE_TOKENS;
    at.base = at.shrink + LANES;
    at.max = at.base + LANES;
    at.sum = at.max + parts * LANES;
    at.query = at.sum + parts * LANES;
    at.keys = (int64_t)(token->pinned.end - token->pinned.begin) + (recent.end - recent.begin);
    begin_token(&at);
    attend_sequence(&at, &job->pinned, token->query_pinned, token->pinned, token->pinned_at, first);
    attend_sequence(&at, &job->recent, token->query_recent, recent, token->recent_at, job->next);
    end_token(&at);
}

#endif
