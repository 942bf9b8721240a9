/*
 * Attention of one token over a cache view, with an online softmax (Milakov and Gimelshein,
 * "Online normalizer calculation for softmax", 2018): every run of keys is a tile.
 *
 *   m' = max(m, max_j s_j)      s_j = scale * (q . k_j) for the keys j of the tile
 *   l' = l e^(m-m') + sum_j e^(s_j-m')
 *   o' = o e^(m-m') + sum_j e^(s_j-m') v_j
 *
 * At the end out = o / l. A sink logit z is a key that has no value: the start is m = z, l = 1
 * instead of m = -infinity, l = 0.
 */
#include <math.h>
#include <stddef.h>

#include "tensor/scalar.h"

/* What one head carries from tile to tile, and the scratch. Heads are computed one by one. */
typedef struct state {
    float max;     /* m */
    double sum;    /* l */
    float *scores; /* [tile], then the weights e^(s-m') */
    float *row;    /* [max(key_dim, value_dim)] a key or value as floats */
} state;

/* scores[j] = scale * (q . k_j); the largest is returned, or NaN if any is. */
static float score_run(const wr_attention *job, const wr_kv_view *view, const wr_kv_run *run,
                       const float *query, state *at) {
    const size_t stride = wr_kv_row_bytes(view->type, job->key_dim);
    const uint8_t *keys = run->page + view->key_offset + (size_t)run->first * stride;
    float max = -INFINITY;
    for (int32_t j = 0; j < run->count; j++) {
        wr_scalar_kv_read(view->type, keys + (size_t)j * stride, at->row, job->key_dim);
        at->scores[j] = job->scale * wr_scalar_dot_floats(query, at->row, job->key_dim);
        if (!(at->scores[j] <= max)) max = at->scores[j];
    }
    return max;
}

/* Take the tile into max, sum and out. */
static void add_values(const wr_attention *job, const wr_kv_view *view, const wr_kv_run *run,
                       float *out, float tile_max, state *at) {
    const size_t stride = wr_kv_row_bytes(view->type, job->value_dim);
    const uint8_t *values = run->page + view->value_offset + (size_t)run->first * stride;
    const float max = tile_max <= at->max ? at->max : tile_max;
    const float shrink = at->max == max ? 1.0f : expf(at->max - max);
    at->max = max;
    at->sum *= (double)shrink;
    for (int32_t d = 0; d < job->value_dim; d++) out[d] *= shrink;
    for (int32_t j = 0; j < run->count; j++) {
        const float weight = expf(at->scores[j] - max);
        at->sum += (double)weight;
        wr_scalar_kv_read(view->type, values + (size_t)j * stride, at->row, job->value_dim);
        for (int32_t d = 0; d < job->value_dim; d++) out[d] += weight * at->row[d];
    }
}

/* One head over one view; `told` is where its scores go, or NULL. Returns where the next go. */
static float *attend_view(const wr_attention *job, const wr_kv_view *view, const float *query,
                          float *out, float *told, state *at) {
    for (int32_t i = 0; i < view->run_count; i++) {
        const wr_kv_run *run = &view->runs[i];
        float max = score_run(job, view, run, query, at);
        for (int32_t j = 0; told != NULL && j < run->count; j++) *told++ = at->scores[j];
        add_values(job, view, run, out, max, at);
    }
    return told;
}

static int64_t count_keys(const wr_kv_view *view) {
    int64_t count = 0;
    for (int32_t i = 0; i < view->run_count; i++) count += view->runs[i].count;
    return count;
}

void wr_scalar_attend(const wr_attention *job) {
    const int64_t keys = count_keys(&job->pinned) + count_keys(&job->recent);
    const int64_t key_dim = job->key_dim, value_dim = job->value_dim;
    for (int32_t head = 0; head < job->heads; head++) {
        state at = {.max = -INFINITY, .scores = job->scratch, .row = job->scratch + job->tile};
        if (job->sink_logit != NULL) {
            at.max = job->sink_logit[head];
            at.sum = 1;
        }
        float *out = job->out + head * value_dim;
        for (int64_t d = 0; d < value_dim; d++) out[d] = 0;
        float *told = job->scores != NULL ? job->scores + head * keys : NULL;
        if (job->pinned.run_count > 0) {
            const float *query = job->query_pinned + head * key_dim;
            told = attend_view(job, &job->pinned, query, out, told, &at);
        }
        attend_view(job, &job->recent, job->query_recent + head * key_dim, out, told, &at);
        const float factor = (float)(1.0 / at.sum);
        for (int64_t d = 0; d < value_dim; d++) out[d] *= factor;
    }
}
