/*
 * Attention over pages of keys with an online softmax (Milakov and Gimelshein, "Online normalizer
 * calculation for softmax", 2018): every page is one step.
 *
 *   m' = max(m, max_j s_j)      s_j = cap(scale * (q . k_j)) - slope * distance for the keys j of
 *                               the page that are seen
 *   l' = l e^(m-m') + sum_j e^(s_j-m')
 *   o' = o e^(m-m') + sum_j e^(s_j-m') v_j
 *
 * At the end out = o / l. A sink logit z is a key that has no value: the start is m = z, l = 1
 * instead of m = -infinity, l = 0.
 */
#include <math.h>
#include <stddef.h>

#include "tensor/scalar.h"

/* One query: what it carries from page to page. */
typedef struct state {
    const wr_attention *job;
    const float *query;
    float *out;
    float max;                    /* m */
    double sum;                   /* l */
    float scores[WR_PAGE_TOKENS]; /* s_j of a page */
    float *row;                   /* [max(key_dim, value_dim)] a key or value as floats */
    float *told;                  /* where the next scores go, or NULL */
    float slope;                  /* 0 without slopes */
    int32_t at;                   /* the query's own number in the sequence */
} state;

/* The scores of places [begin, end) of a page that begins with number `first`. */
static void score_page(state *at, const wr_kv_sequence *from, int32_t first, int32_t begin,
                       int32_t end) {
    const wr_attention *job = at->job;
    const uint8_t *page = from->pages[first / WR_PAGE_TOKENS];
    for (int32_t j = begin; j < end; j++) {
        float sum = 0;
        wr_scalar_kv_read_key(from->type, page + from->key_offset, j, at->row, job->key_dim);
        for (int32_t d = 0; d < job->key_dim; d++) sum += at->query[d] * at->row[d];
        sum *= job->scale;
        if (job->cap > 0) sum = job->cap * tanhf(sum / job->cap);
        at->scores[j] = sum - at->slope * (float)(at->at - (first + j));
        if (at->told != NULL) *at->told++ = at->scores[j];
    }
}

/* Take the page into max, sum and out. */
static void add_page(state *at, const wr_kv_sequence *from, const uint8_t *page, int32_t begin,
                     int32_t end) {
    const int32_t dim = at->job->value_dim;
    const size_t stride = wr_kv_row_bytes(from->type, dim);
    float max = at->max;
    for (int32_t j = begin; j < end; j++)
        if (!(at->scores[j] <= max)) max = at->scores[j]; /* a NaN wins */
    const float shrink = at->max == max ? 1.0f : expf(at->max - max);
    at->max = max;
    at->sum *= (double)shrink;
    for (int32_t d = 0; d < dim; d++) at->out[d] *= shrink;
    for (int32_t j = begin; j < end; j++) {
        const float weight = expf(at->scores[j] - max);
        const uint8_t *value = page + from->value_offset + (size_t)j * stride;
        at->sum += (double)weight;
        wr_scalar_kv_read(from->type, value, at->row, dim);
        for (int32_t d = 0; d < dim; d++) at->out[d] += weight * at->row[d];
    }
}

static void attend_sequence(state *at, const wr_kv_sequence *from, wr_kv_span seen) {
    for (int32_t i = seen.begin; i < seen.end;) {
        const int32_t first = i / WR_PAGE_TOKENS * WR_PAGE_TOKENS, next = first + WR_PAGE_TOKENS;
        const int32_t end = seen.end < next ? seen.end : next;
        const uint8_t *page = from->pages[i / WR_PAGE_TOKENS];
        score_page(at, from, first, i - first, end - first);
        add_page(at, from, page, i - first, end - first);
        i = end;
    }
}

/* A sequence as query head `head` sees it. */
static wr_kv_sequence sequence_of(const wr_attention *job, const wr_kv_sequence *from,
                                  int32_t head) {
    wr_kv_sequence own = *from;
    if (job->kv_heads < 2) return own;
    own.key_offset += (size_t)(head / (job->heads / job->kv_heads)) * from->head_stride;
    own.value_offset += own.key_offset - from->key_offset;
    return own;
}

static void attend_head(const wr_attention *job, const wr_attention_token *token, int32_t head) {
    const int64_t keys = (int64_t)(token->pinned.end - token->pinned.begin) + token->recent.end -
                         token->recent.begin;
    const wr_kv_sequence pinned = sequence_of(job, &job->pinned, head);
    const wr_kv_sequence recent = sequence_of(job, &job->recent, head);
    state at = {.job = job, .max = -INFINITY, .row = job->scratch};
    if (job->sink_logit != NULL) {
        at.max = job->sink_logit[head];
        at.sum = 1;
    }
    if (job->slope != NULL) at.slope = job->slope[head];
    at.out = token->out + (int64_t)head * job->value_dim;
    at.told = token->scores != NULL ? token->scores + head * keys : NULL;
    for (int32_t d = 0; d < job->value_dim; d++) at.out[d] = 0;
    if (token->pinned.begin < token->pinned.end) {
        at.query = token->query_pinned + (int64_t)head * job->key_dim;
        at.at = token->pinned_at;
        attend_sequence(&at, &pinned, token->pinned);
    }
    at.query = token->query_recent + (int64_t)head * job->key_dim;
    at.at = token->recent_at;
    attend_sequence(&at, &recent, token->recent);
    const float factor = (float)(1.0 / at.sum);
    for (int32_t d = 0; d < job->value_dim; d++) at.out[d] *= factor;
}

void wr_scalar_attend(const wr_attention *job) {
    for (int32_t i = 0; i < job->token_count; i++)
        for (int32_t head = 0; head < job->heads; head++) attend_head(job, &job->tokens[i], head);
}
