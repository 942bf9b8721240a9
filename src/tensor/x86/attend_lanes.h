/*
 * Attention of one token, as scalar_attend.c defines it. A template over the vector of simd_*.h.
 *
 * A key or value row becomes floats in registers and serves up to ATTEND_HEADS heads at once. The
 * order of sums: a score adds dimension d into lane d mod LANES and folds the lanes as dot products
 * do; the weights of a tile add key j into lane j mod LANES; an element of a value adds key by key.
 */
#ifndef WR_ATTEND_LANES_H
#define WR_ATTEND_LANES_H

#include "tensor/x86/rows_lanes.h"

enum {
    KEYS_AT_ONCE = 4,
    VALUE_VECS = 4 /* vectors of a value that are summed in registers together */
};

/* Elements [i, i + LANES) of a row, or the `left` ones that are there. */
INLINE vec load_cache(wr_kv_type type, const uint8_t *row, int32_t dim, int32_t i, int32_t left) {
    if (type == WR_KV_F32) {
        return left < LANES ? v_load_part(row + 4 * i, left) : v_load(row + 4 * i);
    }
    if (type == WR_KV_F16) {
        return left < LANES ? v_load_half_part(row + 2 * i, left) : v_load_half(row + 2 * i);
    }
    const uint8_t *q = row + (dim + 31) / 32 * 2 + i;
    const vec s = v_all(float_of_half(load_u16(row + i / 32 * 2)));
    return v_mul(s, left < LANES ? v_load_i8_part(q, left) : v_load_i8(q));
}

/* One run as a tile, for heads [head, head + heads). */
typedef struct tile_job {
    const wr_attention *job;
    const uint8_t *rows; /* its first key, or value */
    int32_t stride;      /* bytes from row to row */
    int32_t count;
    float *scores; /* [heads, padded], from this head on */
    int32_t padded;
    const float *query;  /* [heads, key_dim], from this head on */
    const float *shrink; /* [heads], from this head on */
    float *out;          /* [heads, value_dim], from this head on */
} tile_job;

/* scores[h][j + k] = scale * (query[h] . key[j + k]), k < keys */
INLINE void score_keys(wr_kv_type type, const tile_job *t, int32_t j, const int keys,
                       const int heads) {
    const int32_t dim = t->job->key_dim;
    const uint8_t *rows = t->rows + (int64_t)j * t->stride;
    vec sums[KEYS_AT_ONCE][ATTEND_HEADS];
    for (int k = 0; k < keys; k++) {
        for (int h = 0; h < heads; h++) sums[k][h] = v_zero();
    }
    int32_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        for (int k = 0; k < keys; k++) {
            const vec key = load_cache(type, rows + (int64_t)k * t->stride, dim, i, LANES);
            for (int h = 0; h < heads; h++) {
                sums[k][h] = v_fma(v_load(t->query + (int64_t)h * dim + i), key, sums[k][h]);
            }
        }
    }
    if (i < dim) {
        for (int k = 0; k < keys; k++) {
            const vec key = load_cache(type, rows + (int64_t)k * t->stride, dim, i, dim - i);
            for (int h = 0; h < heads; h++) {
                const vec q = v_load_part(t->query + (int64_t)h * dim + i, dim - i);
                sums[k][h] = v_fma(q, key, sums[k][h]);
            }
        }
    }
    for (int h = 0; h < heads; h++) {
        float *to = t->scores + (int64_t)h * t->padded + j;
        if (keys == KEYS_AT_ONCE) {
            __m128 four = v_sum4(sums[0][h], sums[1][h], sums[2][h], sums[3][h]);
            _mm_storeu_ps(to, _mm_mul_ps(_mm_set1_ps(t->job->scale), four));
        } else {
            to[0] = t->job->scale * v_sum(sums[0][h]);
        }
    }
}

INLINE void score_run(wr_kv_type type, const tile_job *t, const int heads) {
    int32_t j = 0;
    for (; j + KEYS_AT_ONCE <= t->count; j += KEYS_AT_ONCE) {
        score_keys(type, t, j, KEYS_AT_ONCE, heads);
    }
    for (; j < t->count; j++) score_keys(type, t, j, 1, heads);
}

/* out[h][i ...] = shrink[h] * out[h][i ...] + sum_j weight[h][j] * value[j][i ...], for `vecs`
 * vectors, of which a single one may be a part. */
INLINE void add_columns(wr_kv_type type, const tile_job *t, int32_t i, const int vecs, int32_t left,
                        const int heads) {
    const int32_t dim = t->job->value_dim;
    vec sums[ATTEND_HEADS][VALUE_VECS];
    for (int h = 0; h < heads; h++) {
        const float *out = t->out + (int64_t)h * dim + i;
        for (int v = 0; v < vecs; v++) {
            vec old = left < LANES ? v_load_part(out, left) : v_load(out + v * LANES);
            sums[h][v] = v_mul(v_all(t->shrink[h]), old);
        }
    }
    for (int32_t j = 0; j < t->count; j++) {
        const uint8_t *row = t->rows + (int64_t)j * t->stride;
        vec value[VALUE_VECS];
        for (int v = 0; v < vecs; v++) {
            value[v] = load_cache(type, row, dim, i + v * LANES, left < LANES ? left : LANES);
        }
        for (int h = 0; h < heads; h++) {
            const vec weight = v_all(t->scores[(int64_t)h * t->padded + j]);
            for (int v = 0; v < vecs; v++) sums[h][v] = v_fma(weight, value[v], sums[h][v]);
        }
    }
    for (int h = 0; h < heads; h++) {
        float *out = t->out + (int64_t)h * dim + i;
        for (int v = 0; v < vecs; v++) {
            if (left < LANES)
                v_store_part(out, sums[h][v], left);
            else
                v_store(out + v * LANES, sums[h][v]);
        }
    }
}

INLINE void add_values(wr_kv_type type, const tile_job *t, const int heads) {
    const int32_t dim = t->job->value_dim;
    int32_t i = 0;
    for (; i + VALUE_VECS * LANES <= dim; i += VALUE_VECS * LANES) {
        add_columns(type, t, i, VALUE_VECS, LANES, heads);
    }
    if (i + 2 * LANES <= dim) {
        add_columns(type, t, i, 2, LANES, heads);
        i += 2 * LANES;
    }
    for (; i + LANES <= dim; i += LANES) add_columns(type, t, i, 1, LANES, heads);
    if (i < dim) add_columns(type, t, i, 1, dim - i, heads);
}

/* The instances: type by count of heads. */
#define INSTANCE(type, heads)                                                                      \
    static void score_##type##_##heads(const tile_job *t) { score_run(WR_KV_##type, t, heads); }   \
    static void values_##type##_##heads(const tile_job *t) { add_values(WR_KV_##type, t, heads); }
#if WR_WIDE_TILE
#define INSTANCES(type) INSTANCE(type, 1) INSTANCE(type, 2) INSTANCE(type, 3) INSTANCE(type, 4)
#define TABLE(what, type)                                                                          \
    { what##_##type##_1, what##_##type##_2, what##_##type##_3, what##_##type##_4 }
#else
#define INSTANCES(type) INSTANCE(type, 1) INSTANCE(type, 2)
#define TABLE(what, type)                                                                          \
    { what##_##type##_1, what##_##type##_2 }
#endif
INSTANCES(F32)
INSTANCES(F16)
INSTANCES(Q8_0)

typedef void (*tile_function)(const tile_job *t);
static const tile_function score_functions[WR_KV_TYPES][ATTEND_HEADS] = {
    TABLE(score, F32), TABLE(score, F16), TABLE(score, Q8_0)};
static const tile_function value_functions[WR_KV_TYPES][ATTEND_HEADS] = {
    TABLE(values, F32), TABLE(values, F16), TABLE(values, Q8_0)};
#undef INSTANCE
#undef INSTANCES
#undef TABLE

/* The scratch of one token: what each head carries from tile to tile. */
typedef struct running {
    float *scores; /* [heads, padded] of a tile, then its weights */
    float *max;    /* [heads] m */
    float *sum;    /* [heads] l */
    float *shrink; /* [heads] e^(m-m') */
    int32_t padded;
    int64_t told; /* keys whose scores have been told */
    int64_t keys;
} running;

/* Scores of one head to weights; m and l advance. */
static void weigh(running *at, int32_t head, int32_t count) {
    float *scores = at->scores + (int64_t)head * at->padded;
    const float tile_max = largest(scores, count), old = at->max[head];
    const float max = tile_max <= old ? old : tile_max;
    at->shrink[head] = old == max ? 1.0f : v_first(v_exp(v_all(old - max)));
    at->max[head] = max;
    vec sum = v_zero();
    for (int64_t i = 0; i < count; i += LANES) {
        vec a = v_exp(v_sub(load_up_to(scores + i, count - i), v_all(max)));
        store_up_to(scores + i, a, count - i);
        sum = v_add(sum, count - i < LANES ? v_load_part(scores + i, count - i) : a);
    }
    at->sum[head] = at->sum[head] * at->shrink[head] + v_sum(sum);
}

static void attend_run(const wr_attention *job, const wr_kv_view *view, const wr_kv_run *run,
                       const float *query, running *at) {
    tile_job t = {.job = job, .count = run->count, .padded = at->padded};
    t.stride = (int32_t)wr_kv_row_bytes(view->type, job->key_dim);
    t.rows = run->page + view->key_offset + (size_t)run->first * (size_t)t.stride;
    for (int32_t h = 0; h < job->heads; h += ATTEND_HEADS) {
        const int32_t heads = job->heads - h < ATTEND_HEADS ? job->heads - h : ATTEND_HEADS;
        t.scores = at->scores + (int64_t)h * at->padded;
        t.query = query + (int64_t)h * job->key_dim;
        score_functions[view->type][heads - 1](&t);
    }
    for (int32_t h = 0; h < job->heads; h++) {
        if (job->scores != NULL) {
            memcpy(job->scores + h * at->keys + at->told, at->scores + (int64_t)h * at->padded,
                   (size_t)run->count * sizeof *job->scores);
        }
        weigh(at, h, run->count);
    }
    at->told += run->count;
    t.stride = (int32_t)wr_kv_row_bytes(view->type, job->value_dim);
    t.rows = run->page + view->value_offset + (size_t)run->first * (size_t)t.stride;
    for (int32_t h = 0; h < job->heads; h += ATTEND_HEADS) {
        const int32_t heads = job->heads - h < ATTEND_HEADS ? job->heads - h : ATTEND_HEADS;
        t.scores = at->scores + (int64_t)h * at->padded;
        t.shrink = at->shrink + h;
        t.out = job->out + (int64_t)h * job->value_dim;
        value_functions[view->type][heads - 1](&t);
    }
}

static int64_t count_keys(const wr_kv_view *view) {
    int64_t count = 0;
    for (int32_t i = 0; i < view->run_count; i++) count += view->runs[i].count;
    return count;
}

static void attend(const wr_attention *job) {
    running at = {.scores = job->scratch};
    at.padded = (job->tile + WR_LANES - 1) / WR_LANES * WR_LANES;
    at.max = at.scores + (int64_t)job->heads * at.padded;
    at.sum = at.max + job->heads;
    at.shrink = at.sum + job->heads;
    at.keys = count_keys(&job->pinned) + count_keys(&job->recent);
    for (int32_t h = 0; h < job->heads; h++) {
        at.max[h] = job->sink_logit != NULL ? job->sink_logit[h] : -INFINITY;
        at.sum[h] = job->sink_logit != NULL ? 1 : 0;
    }
    memset(job->out, 0, (size_t)job->heads * (size_t)job->value_dim * sizeof *job->out);
    for (int32_t i = 0; i < job->pinned.run_count; i++) {
        attend_run(job, &job->pinned, &job->pinned.runs[i], job->query_pinned, &at);
    }
    for (int32_t i = 0; i < job->recent.run_count; i++) {
        attend_run(job, &job->recent, &job->recent.runs[i], job->query_recent, &at);
    }
    for (int32_t h = 0; h < job->heads; h++) {
        scale(job->out + (int64_t)h * job->value_dim, 1.0f / at.sum[h], job->value_dim);
    }
}

#endif
