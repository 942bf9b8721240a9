/* tensor/kernels: attention against a naive one in double precision, at every level; and that a
 * token gets the same bits alone and in any tile. */
#include "kernels/check.h"

enum { MAX_PAGES = 7, MAX_KEYS = MAX_PAGES * WR_PAGE_TOKENS, MAX_TOKENS = 128, MAX_DIM = 256 };

enum { PINNED, RECENT };

/* A job with everything that it borrows. Keys and values that some token sees are random; all
 * others are NaN, so that a look at them shows. */
typedef struct scene {
    wr_attention job;
    wr_attention_token tokens[MAX_TOKENS];
    guarded memory, queries[2], out, scratch;
    const uint8_t *pages[2][MAX_PAGES];
    float sink[96], slope[96];
    size_t page_bytes;
} scene;

typedef struct shape {
    wr_kv_type pinned_type, type;
    int32_t tokens, heads, key_dim, value_dim;
    int32_t kv_heads; /* that the heads share; 0: one */
    int32_t pinned_pages, recent_pages;
    bool sink, alibi;
    float cap; /* of scores; 0: none */
} shape;

static wr_kv_sequence *sequence_of(scene *s, int which) {
    return which == PINNED ? &s->job.pinned : &s->job.recent;
}

static wr_kv_span *span_of(scene *s, int token, int which) {
    return which == PINNED ? &s->tokens[token].pinned : &s->tokens[token].recent;
}

static uint8_t *page_of(scene *s, int which, int32_t key) {
    const uint8_t *page = s->pages[which][key / WR_PAGE_TOKENS];
    return (uint8_t *)s->memory.data + (page - (const uint8_t *)s->memory.data);
}

static uint8_t *value_row(scene *s, int which, int32_t key) {
    const wr_kv_sequence *from = sequence_of(s, which);
    return page_of(s, which, key) + from->value_offset +
           (size_t)(key % WR_PAGE_TOKENS) * wr_kv_row_bytes(from->type, s->job.value_dim);
}

static void write_key(scene *s, int which, int32_t key, const float *x) {
    const wr_kv_sequence *from = sequence_of(s, which);
    wr_kernels_get(WR_CPU_SCALAR)
        ->kv_write_key(from->type, page_of(s, which, key) + from->key_offset, key % WR_PAGE_TOKENS,
                       x, s->job.key_dim);
}

static void write_value(scene *s, int which, int32_t key, const float *x) {
    wr_kernels_get(WR_CPU_SCALAR)
        ->kv_write(sequence_of(s, which)->type, value_row(s, which, key), x, s->job.value_dim);
}

static void read_key(scene *s, int which, int32_t key, float *x) {
    const wr_kv_sequence *from = sequence_of(s, which);
    wr_kernels_get(WR_CPU_SCALAR)
        ->kv_read_key(from->type, page_of(s, which, key) + from->key_offset, key % WR_PAGE_TOKENS,
                      x, s->job.key_dim);
}

static void read_value(scene *s, int which, int32_t key, float *x) {
    wr_kernels_get(WR_CPU_SCALAR)
        ->kv_read(sequence_of(s, which)->type, value_row(s, which, key), x, s->job.value_dim);
}

/* ---- making a scene -------------------------------------------------------------------------- */

static int32_t between(int32_t low, int32_t high) {
    return low + (int32_t)random_below((uint32_t)(high - low + 1));
}

/* Half of the scenes as a stream's chunk has it, a window that slides; half at random. */
static void choose_spans(scene *s, const shape *a) {
    const int32_t pinned = a->pinned_pages * WR_PAGE_TOKENS;
    const int32_t recent = a->recent_pages * WR_PAGE_TOKENS;
    const bool chunk = random_below(2) == 0 && recent > a->tokens;
    const int32_t first = between(0, recent - a->tokens > 0 ? recent - a->tokens : 0);
    const int32_t window = between(1, recent), sinks = between(0, pinned);
    for (int i = 0; i < a->tokens; i++) {
        wr_kv_span *p = &s->tokens[i].pinned, *r = &s->tokens[i].recent;
        if (chunk) {
            *p = (wr_kv_span){0, sinks};
            *r = (wr_kv_span){first + i + 1 - window, first + i + 1};
            if (r->begin < 0) r->begin = 0;
        } else {
            p->begin = between(0, pinned);
            p->end = between(p->begin, pinned);
            r->begin = between(0, recent - 1);
            r->end = between(r->begin, recent);
            if (r->begin == r->end && p->begin == p->end) r->end++;
        }
        s->tokens[i].pinned_at = chunk ? sinks + window - 1 : p->end - 1 + between(0, 5000);
        s->tokens[i].recent_at = r->end - 1 + (chunk ? 0 : between(0, 5000));
    }
}

static bool anybody_sees(scene *s, int which, int32_t key) {
    for (int i = 0; i < s->job.token_count; i++) {
        const wr_kv_span *span = span_of(s, i, which);
        if (span->begin <= key && key < span->end) return true;
    }
    return false;
}

/* All keys, then all values, and odd gaps; pages stand in memory in another order. */
static void lay_pages(scene *s, const shape *a) {
    const int32_t counts[2] = {a->pinned_pages, a->recent_pages};
    const wr_kv_type types[2] = {a->pinned_type, a->type};
    for (int which = 0; which < 2; which++) {
        wr_kv_sequence *to = sequence_of(s, which);
        *to = (wr_kv_sequence){.pages = s->pages[which], .type = types[which], .key_offset = 3};
        to->value_offset = 3 + 5 + WR_PAGE_TOKENS * wr_kv_row_bytes(to->type, a->key_dim);
        size_t end =
            to->value_offset + WR_PAGE_TOKENS * wr_kv_row_bytes(types[which], a->value_dim);
        to->head_stride = end; /* a gap as large as the first offset */
        if (a->kv_heads > 1) end += (size_t)(a->kv_heads - 1) * to->head_stride;
        if (counts[which] > 0 && end > s->page_bytes) s->page_bytes = end;
    }
    const int32_t all = counts[0] + counts[1];
    s->memory = fenced_make((size_t)all * s->page_bytes);
    for (int32_t i = 0; i < all; i++) { /* the first recent page ends where the memory does */
        const uint8_t *page =
            (const uint8_t *)s->memory.data + (size_t)(all - 1 - i) * s->page_bytes;
        if (i < counts[RECENT])
            s->pages[RECENT][i] = page;
        else
            s->pages[PINNED][i - counts[RECENT]] = page;
    }
}

static void fill_pages(scene *s, const shape *a, uint64_t seed) {
    for (int which = 0; which < 2; which++) {
        const int32_t pages = which == PINNED ? a->pinned_pages : a->recent_pages;
        for (int32_t key = 0; key < pages * WR_PAGE_TOKENS; key++) {
            float x[MAX_DIM];
            if (!anybody_sees(s, which, key)) continue;
            fill_normal(x, a->key_dim, seed + (uint64_t)(4 * key + which), 1);
            write_key(s, which, key, x);
            fill_normal(x, a->value_dim, seed + (uint64_t)(4 * key + 2 + which), 1);
            write_value(s, which, key, x);
        }
    }
}

/* The job's sequences from the next KV head on. */
static void next_kv_head(wr_attention *job) {
    wr_kv_sequence *both[] = {&job->pinned, &job->recent};
    for (int i = 0; i < 2; i++) {
        both[i]->key_offset += both[i]->head_stride;
        both[i]->value_offset += both[i]->head_stride;
    }
}

static void fill_heads(scene *s, const shape *a, uint64_t seed) {
    const wr_attention first = s->job;
    for (int kv = 0; kv < (a->kv_heads > 1 ? a->kv_heads : 1); kv++) {
        fill_pages(s, a, seed + ((uint64_t)kv << 20));
        next_kv_head(&s->job);
    }
    s->job = first;
}

static void scene_make(scene *s, const shape *a, uint64_t seed) {
    *s = (scene){0};
    wr_attention *job = &s->job;
    *job = (wr_attention){.tokens = s->tokens,
                          .token_count = a->tokens,
                          .heads = a->heads,
                          .kv_heads = a->kv_heads,
                          .key_dim = a->key_dim,
                          .value_dim = a->value_dim,
                          .scale = 1.5f / sqrtf((float)a->key_dim)};
    choose_spans(s, a);
    lay_pages(s, a);
    fill_heads(s, a, seed);
    const int32_t query = a->heads * a->key_dim, out = a->heads * a->value_dim;
    for (int which = 0; which < 2; which++) {
        s->queries[which] = fenced_floats(a->tokens * query);
        fill_normal(s->queries[which].data, a->tokens * query, seed + (uint64_t)which, 1);
    }
    s->out = guarded_floats(a->tokens * out, 4);
    for (int i = 0; i < a->tokens; i++) {
        const wr_kv_span pinned = s->tokens[i].pinned;
        s->tokens[i].query_pinned =
            pinned.begin < pinned.end ? (float *)s->queries[PINNED].data + i * query : NULL;
        s->tokens[i].query_recent = (float *)s->queries[RECENT].data + i * query;
        s->tokens[i].out = (float *)s->out.data + i * out;
    }
    for (int h = 0; h < a->heads; h++)
        s->sink[h] = (float)(h % 16 * 7) - 4; /* beyond any score, too */
    job->sink_logit = a->sink ? s->sink : NULL;
    for (int h = 0; h < a->heads; h++)
        s->slope[h] = exp2f(-8.0f * (float)(h + 1) / (float)a->heads);
    job->slope = a->alibi ? s->slope : NULL;
    job->cap = a->cap;
    s->scratch = guarded_floats(wr_attention_scratch(a->heads, a->key_dim, a->value_dim), 4);
    job->scratch = s->scratch.data;
}

static void scene_free(scene *s) {
    guarded_free(&s->memory);
    guarded_free(&s->queries[0]);
    guarded_free(&s->queries[1]);
    guarded_free(&s->out);
    guarded_free(&s->scratch);
}

static const int head_counts[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 71};
static const int dims[] = {1, 7, 8, 16, 20, 33, 64, 80, 128, 256};

static shape random_shape(int type) {
    shape a = {.type = (wr_kv_type)type};
    a.pinned_type = type == WR_KV_F32 ? WR_KV_F32 : WR_KV_F16; /* pinned ones are at least halves */
    a.heads = head_counts[random_below(COUNT(head_counts))];
    a.key_dim = dims[random_below(COUNT(dims))];
    a.value_dim = random_below(2) ? a.key_dim : dims[random_below(COUNT(dims))];
    a.tokens = random_below(3) == 0 ? 1 : between(1, wr_attention_tile(a.heads));
    a.pinned_pages = (int32_t)random_below(3);
    a.recent_pages = between(1, MAX_PAGES);
    a.sink = random_below(2) == 0;
    a.alibi = random_below(2) == 0;
    a.cap = random_below(3) == 0 ? 0.5f + (float)random_below(60) : 0;
    return a;
}

/* ---- the naive attention --------------------------------------------------------------------- */

typedef struct naive {
    int64_t keys;
    double scores[2 * MAX_KEYS], out[MAX_DIM]; /* of one token and head */
    double score_size;                         /* the largest scale * sum |q k| + |bias| */
    double value_size;                         /* the largest |v| */
} naive;

static void naive_scores(scene *s, int token, int32_t head, naive *n) {
    for (int which = 0; which < 2; which++) {
        const wr_kv_span *span = span_of(s, token, which);
        const float *q =
            which == PINNED ? s->tokens[token].query_pinned : s->tokens[token].query_recent;
        for (int32_t j = span->begin; j < span->end; j++) {
            float key[MAX_DIM];
            double sum = 0, size = 0;
            read_key(s, which, j, key);
            for (int32_t d = 0; d < s->job.key_dim; d++) {
                double p = (double)q[head * s->job.key_dim + d] * (double)key[d];
                sum += p;
                size += fabs(p);
            }
            const wr_attention_token *at = &s->tokens[token];
            const int32_t distance = (which == PINNED ? at->pinned_at : at->recent_at) - j;
            const double bias = s->job.slope != NULL ? (double)s->slope[head] * distance : 0;
            const double cap = (double)s->job.cap, score = sum * (double)s->job.scale;
            n->scores[n->keys++] = (cap > 0 ? cap * tanh(score / cap) : score) - bias;
            n->score_size = fmax(n->score_size, size * (double)s->job.scale + fabs(bias) + cap);
        }
    }
}

static void naive_values(scene *s, int token, int32_t head, naive *n) {
    double max = s->job.sink_logit != NULL ? (double)s->job.sink_logit[head] : (double)-INFINITY;
    for (int64_t j = 0; j < n->keys; j++) max = fmax(max, n->scores[j]);
    double sum = s->job.sink_logit != NULL ? exp((double)s->job.sink_logit[head] - max) : 0;
    int64_t at = 0;
    for (int which = 0; which < 2; which++) {
        const wr_kv_span *span = span_of(s, token, which);
        for (int32_t j = span->begin; j < span->end; j++, at++) {
            float value[MAX_DIM];
            read_value(s, which, j, value);
            double weight = exp(n->scores[at] - max);
            sum += weight;
            for (int32_t d = 0; d < s->job.value_dim; d++) {
                n->out[d] += weight * (double)value[d];
                n->value_size = fmax(n->value_size, fabs((double)value[d]));
            }
        }
    }
    for (int32_t d = 0; d < s->job.value_dim; d++) n->out[d] /= sum;
}

/* A score takes dim + 8 roundings. A weight's relative error is its score's error, the rounding of
 * the subtraction of the maximum, and exp's; those of numerator and denominator may add up; sums
 * over the keys add at most a rounding per key and page. */
static double score_error(const scene *s, const naive *n) {
    return (s->job.key_dim + 8.0) * UNIT * n->score_size;
}

static void check_head(const char *name, scene *s, int token, int32_t head) {
    naive n = {0};
    const float *out = s->tokens[token].out + head * s->job.value_dim;
    naive_scores(s, token, head, &n);
    naive_values(s, token, head, &n);
    const double sink = s->job.sink_logit != NULL ? fabs((double)s->sink[head]) : 0;
    const double relative = 2 * score_error(s, &n) + UNIT * (2 * (n.score_size + sink) +
                                                             (double)n.keys + 4 * MAX_PAGES + 16);
    for (int32_t d = 0; d < s->job.value_dim; d++) {
        double ours = (double)out[d];
        if (!(fabs(ours - n.out[d]) <= relative * n.value_size))
            fail_msg("%s: out %d of token %d, head %d is %.9g, not %.9g", name, d, token, head,
                     ours, n.out[d]);
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void attend_is_near_double_at(const wr_kernels *kernels) {
    for (int round = 0; round < 240; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        for (int i = 0; i < 6; i++) {
            check_head(kernels->name, &s, i == 0 ? a.tokens - 1 : between(0, a.tokens - 1),
                       between(0, a.heads - 1));
        }
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_is_near_double)

/* Everything that one token does not see becomes NaN. */
static void hide_from(scene *s, const shape *a, int token) {
    float nan[MAX_DIM];
    for (int d = 0; d < MAX_DIM; d++) nan[d] = NAN;
    for (int which = 0; which < 2; which++) {
        const wr_kv_span *span = span_of(s, token, which);
        const int32_t pages = which == PINNED ? a->pinned_pages : a->recent_pages;
        for (int32_t key = 0; key < pages * WR_PAGE_TOKENS; key++) {
            if (span->begin <= key && key < span->end) continue;
            write_key(s, which, key, nan);
            write_value(s, which, key, nan);
        }
    }
}

/* A token and head gets the same bits in a tile and alone, with nothing else there to be seen,
 * whatever the scratch held. */
static void attend_of_a_tile_is_its_queries_at(const wr_kernels *kernels) {
    for (int round = 0; round < 180; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        const int token = between(0, a.tokens - 1), head = between(0, a.heads - 1);
        const int heads = between(1, a.heads - head);
        float *out = malloc((size_t)(heads * a.value_dim) * sizeof *out);
        wr_attention_token one = s.tokens[token];
        if (one.query_pinned != NULL) one.query_pinned += head * a.key_dim;
        one.query_recent += head * a.key_dim;
        one.out = out;
        hide_from(&s, &a, token);
        memset(s.scratch.data, 0x3c, s.scratch.size);
        s.job.tokens = &one;
        s.job.token_count = 1;
        s.job.heads = heads;
        if (a.sink) s.job.sink_logit += head;
        if (a.alibi) s.job.slope += head;
        kernels->attend(&s.job);
        assert_memory_equal(out, s.tokens[token].out + head * a.value_dim,
                            (size_t)(heads * a.value_dim) * sizeof *out);
        free(out);
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_of_a_tile_is_its_queries)

/* What a token's heads get of several KV heads at once has the bits of each KV head by itself. */
static void attend_of_kv_heads_is_that_of_each_at(const wr_kernels *kernels) {
    static const int groups[] = {1, 2, 3, 4, 8, 11};
    for (int round = 0; round < 180; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        const int group = groups[random_below(COUNT(groups))], kv_heads = between(2, 8);
        a.tokens = 1;
        a.kv_heads = kv_heads;
        a.heads = group * kv_heads;
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        s.job.next = s.job.recent.pages[0];
        kernels->attend(&s.job);
        wr_attention_token one = s.tokens[0];
        const size_t outs = (size_t)group * (size_t)a.value_dim;
        float *out = malloc(outs * sizeof *out);
        memset(s.scratch.data, 0x3c, s.scratch.size);
        s.job.tokens = &one;
        s.job.heads = group;
        s.job.kv_heads = 1;
        for (int kv = 0; kv < kv_heads; kv++) {
            one.out = out;
            kernels->attend(&s.job);
            assert_memory_equal(out, s.tokens[0].out + (size_t)kv * outs, outs * sizeof *out);
            if (one.query_pinned != NULL) one.query_pinned += group * a.key_dim;
            one.query_recent += group * a.key_dim;
            if (a.sink) s.job.sink_logit += group;
            if (a.alibi) s.job.slope += group;
            next_kv_head(&s.job);
        }
        free(out);
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_of_kv_heads_is_that_of_each)

/* Any part of a tile gives the bits of the whole one. */
static void attend_of_fewer_tokens_is_the_same_at(const wr_kernels *kernels) {
    for (int round = 0; round < 120; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        a.tokens = wr_attention_tile(a.heads);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        float *whole = malloc(s.out.size);
        memcpy(whole, s.out.data, s.out.size);
        memset(s.out.data, 0xff, s.out.size);
        for (int first = 0, count; first < a.tokens; first += count) {
            count = between(1, a.tokens - first);
            s.job.tokens = s.tokens + first;
            s.job.token_count = count;
            kernels->attend(&s.job);
        }
        assert_memory_equal(whole, s.out.data, s.out.size);
        free(whole);
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_of_fewer_tokens_is_the_same)

/* Observed scores are right, stay inside their room, and do not change the output. */
static void attend_tells_its_scores_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        float *first = malloc(s.out.size);
        memcpy(first, s.out.data, s.out.size);
        const int token = between(0, a.tokens - 1), head = between(0, a.heads - 1);
        naive n = {0};
        naive_scores(&s, token, head, &n);
        guarded told = guarded_floats(a.heads * n.keys, 4);
        s.tokens[token].scores = told.data;
        kernels->attend(&s.job);
        assert_memory_equal(first, s.out.data, s.out.size);
        for (int64_t j = 0; j < n.keys; j++) {
            double ours = (double)((float *)told.data)[head * n.keys + j];
            if (!(fabs(ours - n.scores[j]) <= score_error(&s, &n)))
                fail_msg("%s: score %d of head %d is %g, not %g", kernels->name, (int)j, head, ours,
                         n.scores[j]);
        }
        free(first);
        guarded_free(&told);
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_tells_its_scores)

/* f16 and q8_0 pages give the bits of f32 pages that hold the same numbers: what the engine reads
 * is what kv_read says. */
static void attend_reads_as_kv_read_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(1 + round % (WR_KV_TYPES - 1)), b = a;
        b.type = b.pinned_type = WR_KV_F32;
        scene s, t;
        scene_make(&s, &a, (uint64_t)round << 32);
        scene_make(&t, &b, (uint64_t)round << 32);
        memset(t.memory.data, 0xff, t.memory.size);
        for (int i = 0; i < a.tokens; i++) {
            float *out = t.tokens[i].out;
            t.tokens[i] = s.tokens[i];
            t.tokens[i].out = out;
        }
        for (int which = 0; which < 2; which++) {
            const int32_t pages = which == PINNED ? a.pinned_pages : a.recent_pages;
            for (int32_t key = 0; key < pages * WR_PAGE_TOKENS; key++) {
                float x[MAX_DIM];
                if (!anybody_sees(&s, which, key)) continue;
                read_key(&s, which, key, x);
                write_key(&t, which, key, x);
                read_value(&s, which, key, x);
                write_value(&t, which, key, x);
            }
        }
        kernels->attend(&s.job);
        kernels->attend(&t.job);
        assert_memory_equal(s.out.data, t.out.data, s.out.size);
        scene_free(&s);
        scene_free(&t);
    }
}
FOR_EACH_LEVEL(attend_reads_as_kv_read)

/* Scores of +-300: exponentials of differences far outside float32's range. And a sink logit of
 * minus infinity is as good as none. */
static void attend_survives_extremes_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        a.sink = round % 2 == 0;
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        s.job.scale = 100;
        for (int h = 0; h < a.heads; h++) s.sink[h] = round % 4 == 0 ? -INFINITY : 1e30f;
        kernels->attend(&s.job);
        for (int i = 0; i < a.tokens * a.heads * a.value_dim; i++) {
            float value = ((float *)s.out.data)[i];
            assert_true(isfinite(value));
            if (a.sink && round % 4 != 0) assert_true(value == 0);
        }
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_survives_extremes)

static bool any_nan(const scene *s, int token) {
    for (int32_t i = 0; i < s->job.heads * s->job.value_dim; i++)
        if (isnan(s->tokens[token].out[i])) return true;
    return false;
}

/* A NaN in what a token sees is found in its output, and in nobody else's. */
static void attend_hides_no_nan_at(const wr_kernels *kernels) {
    for (int round = 0; round < 90; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        a.sink = true;
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        const int token = between(0, a.tokens - 1);
        for (int i = 0; i < a.tokens; i++) assert_false(any_nan(&s, i));
        const wr_kv_span *seen = &s.tokens[token].recent;
        float x[MAX_DIM];
        if (round / 3 % 3 == 0) {
            s.sink[a.heads - 1] = NAN;
        } else if (round / 3 % 3 == 1 || seen->begin == seen->end) {
            float *query = (float *)s.queries[RECENT].data + token * a.heads * a.key_dim;
            query[a.key_dim - 1] = NAN;
            if (seen->begin == seen->end) s.sink[a.heads - 1] = NAN; /* it sees pinned keys only */
        } else {
            fill_normal(x, a.value_dim, 1, 1);
            x[a.value_dim / 2] = NAN;
            write_value(&s, RECENT, seen->end - 1, x);
        }
        kernels->attend(&s.job);
        assert_true(any_nan(&s, token));
        for (int i = 0; i < a.tokens && !isnan(s.sink[a.heads - 1]); i++) {
            const wr_kv_span *other = &s.tokens[i].recent;
            if (other->begin >= seen->end || other->end < seen->end)
                assert_true(!any_nan(&s, i) || i == token);
        }
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_hides_no_nan)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attend_is_near_double),
        cmocka_unit_test(attend_of_a_tile_is_its_queries),
        cmocka_unit_test(attend_of_kv_heads_is_that_of_each),
        cmocka_unit_test(attend_of_fewer_tokens_is_the_same),
        cmocka_unit_test(attend_tells_its_scores),
        cmocka_unit_test(attend_reads_as_kv_read),
        cmocka_unit_test(attend_survives_extremes),
        cmocka_unit_test(attend_hides_no_nan),
    };
    return cmocka_run_group_tests_name("attend", tests, NULL, NULL);
}
