/*
 * Attention of one sample and one KV head in tiles of bfloat16, forward and backward; the formulas
 * stand at wr_attention_job. Scores are in base 2: queries are multiplied by log2(e) / sqrt(dim)
 * when they are read.
 *
 * Forward, QUERIES at a time: scores of all keys that they see, their softmax, written as the left
 * side of the next product as it is computed, times the values. Backward: probabilities and the
 * changes of scores are computed again for QUERIES at a time and kept, transposed, for SPAN of
 * them; so what they add to keys and values is two products over SPAN queries.
 */
#include "train/kernels/x86/attention_amx.h"

#include <math.h>

#include "train/kernels/x86/bf16_tiles_lanes.h"
#include "train/kernels/x86/tiles.h"

enum { QUERIES = WR_TILE_SIDE, SPAN = 256 };

/* One worker's scratch. */
typedef struct room {
    int64_t dim, keys;       /* head_dim and context, padded to 32 */
    float *rows;             /* [longer of keys and SPAN, dim]: turned, before they become tiles */
    float *scores, *changes; /* [QUERIES, keys] */
    float *result;           /* [QUERIES, dim] */
    float *key_gradients, *value_gradients; /* [keys, dim] */
    uint8_t *keys_right_turned;             /* for scores: K^T */
    uint8_t *values_right_turned;           /* for dout V^T */
    uint8_t *keys_right, *values_right;     /* for ds K and p V */
    uint8_t *queries_left, *queries_right;  /* of SPAN queries */
    uint8_t *dout_left, *dout_right;
    uint8_t *weights_left;         /* [QUERIES, keys]: p, or ds */
    uint8_t *p_turned, *ds_turned; /* [keys, SPAN]: left sides */
} room;

static int64_t padded(int64_t n) { return (n + WR_TILE_SIDE - 1) / WR_TILE_SIDE * WR_TILE_SIDE; }

static size_t lay_out(room *r, int64_t context, int64_t head_dim, void *scratch) {
    uint8_t *at = scratch;
    const int64_t dim = r->dim = padded(head_dim), keys = r->keys = padded(context);
    const size_t key_bytes = wr_tiles_bytes(keys, dim), span_bytes = wr_tiles_bytes(SPAN, dim);
    r->rows = tiles_take(&at, sizeof(float) * (size_t)((keys > SPAN ? keys : SPAN) * dim));
    r->scores = tiles_take(&at, sizeof(float) * (size_t)(QUERIES * keys));
    r->changes = tiles_take(&at, sizeof(float) * (size_t)(QUERIES * keys));
    r->result = tiles_take(&at, sizeof(float) * (size_t)(QUERIES * dim));
    r->key_gradients = tiles_take(&at, sizeof(float) * (size_t)(keys * dim));
    r->value_gradients = tiles_take(&at, sizeof(float) * (size_t)(keys * dim));
    r->keys_right_turned = tiles_take(&at, key_bytes);
    r->values_right_turned = tiles_take(&at, key_bytes);
    r->keys_right = tiles_take(&at, key_bytes);
    r->values_right = tiles_take(&at, key_bytes);
    r->queries_left = tiles_take(&at, span_bytes);
    r->queries_right = tiles_take(&at, span_bytes);
    r->dout_left = tiles_take(&at, span_bytes);
    r->dout_right = tiles_take(&at, span_bytes);
    r->weights_left = tiles_take(&at, wr_tiles_bytes(QUERIES, keys));
    r->p_turned = tiles_take(&at, wr_tiles_bytes(keys, SPAN));
    r->ds_turned = tiles_take(&at, wr_tiles_bytes(keys, SPAN));
    return (size_t)(at - (uint8_t *)scratch);
}

int64_t wr_amx_attention_scratch(int64_t context, int64_t head_dim) {
    static uint8_t nothing[64];
    room r;
    return (int64_t)(lay_out(&r, context, head_dim, nothing) / sizeof(float));
}

/* ---- an item --------------------------------------------------------------------------------- */

typedef struct item {
    const wr_attention_job *job;
    room r;
    int64_t row; /* of the sample's first token */
    int64_t kv_head, sample;
    float scale; /* 1 / sqrt(head_dim) */
} item;

/* Rows of a head times `scale`, turned to positions first ..., or back (direction -1). */
INLINE void turn_rows(const wr_attention_job *job, const float *x, int64_t stride, int64_t first,
                      int64_t count, float scale, float direction, float *out, int64_t out_stride) {
    const int64_t dim = job->head_dim;
    const int64_t angles = (dim + WR_HEAD_PADDING - 1) / WR_HEAD_PADDING * WR_HEAD_PADDING;
    for (int64_t i = 0; i < count; i++, x += stride, out += out_stride) {
        const float *cosines = job->cosines + (first + i) * angles;
        const float *sines = job->sines + (first + i) * angles;
        for (int64_t d = 0; d < dim; d += LANES) {
            const int64_t left = dim - d;
            vec v = v_mul(tiles_row_part(x + d, left), v_all(scale));
            if (job->cosines != NULL) {
                const vec swapped = _mm512_permute_ps(v, 0xb1);
                const vec sine = v_mul(v_load(sines + d), v_all(direction));
                v = v_fma(swapped, sine, v_mul(v, v_load(cosines + d)));
            }
            if (left >= LANES)
                v_store(out + d, v);
            else
                v_store_part(out + d, v, left);
        }
    }
}

static float *key_at(const item *it, float *of, int64_t t) {
    return of + (it->row + t) * it->job->kv_stride + it->kv_head * it->job->head_dim;
}

static float *query_at(const item *it, int64_t t, int64_t head) {
    return it->job->q + (it->row + t) * it->job->q_stride + head * it->job->head_dim;
}

/* Of `out` and `dout`. */
static int64_t out_at(const item *it, int64_t t, int64_t head) {
    const wr_attention_job *job = it->job;
    return ((it->row + t) * job->heads + head) * job->head_dim;
}

static wr_tiles_source turned_rows(const item *it, int64_t count) {
    return (wr_tiles_source){it->r.rows, it->r.dim, count, it->job->head_dim, 0};
}

static void begin_item(item *it, const wr_attention_job *job, int64_t number, int worker,
                       bool backward) {
    room *r = &it->r;
    it->job = job;
    lay_out(r, job->context, job->head_dim, job->scratch + worker * job->scratch_size);
    it->sample = number / job->kv_heads;
    it->kv_head = number % job->kv_heads;
    it->row = it->sample * job->context;
    it->scale = 1 / sqrtf((float)job->head_dim);
    const int64_t key_panels = r->keys / 16, dim_panels = r->dim / 16;
    turn_rows(job, key_at(it, job->k, 0), job->kv_stride, 0, job->context, 1, 1, r->rows, r->dim);
    const wr_tiles_source k = turned_rows(it, job->context);
    const wr_tiles_source v = {key_at(it, job->v, 0), job->kv_stride, job->context, job->head_dim,
                               0};
    wr_tiles_pack(WR_TILES_RIGHT_TRANSPOSED, &k, 0, key_panels, r->keys_right_turned);
    if (backward) {
        wr_tiles_pack(WR_TILES_RIGHT, &k, 0, dim_panels, r->keys_right);
        wr_tiles_pack(WR_TILES_RIGHT_TRANSPOSED, &v, 0, key_panels, r->values_right_turned);
    } else {
        wr_tiles_pack(WR_TILES_RIGHT, &v, 0, dim_panels, r->values_right);
    }
}

/* Queries first ... of a head as tiles. */
static void read_queries(const item *it, int64_t head, int64_t first, int64_t count) {
    turn_rows(it->job, query_at(it, first, head), it->job->q_stride, first, count,
              it->scale * LOG2_OF_E, 1, it->r.rows, it->r.dim);
    const wr_tiles_source q = turned_rows(it, count);
    wr_tiles_pack(WR_TILES_LEFT, &q, 0, padded(count) / 16, it->r.queries_left);
}

/* Panels of QUERIES of what was made of SPAN. */
static const uint8_t *queries_from(const item *it, const uint8_t *left, int64_t query) {
    return left + wr_tiles_bytes(query, it->r.dim);
}

/* scores[QUERIES, keys] = left . right^T */
static void multiply_keys(const item *it, const uint8_t *left, const uint8_t *right, int64_t keys,
                          float *scores) {
    wr_tiles_multiply(&(wr_tiles_product){.left = left,
                                          .right = right,
                                          .k = it->r.dim,
                                          .m = QUERIES,
                                          .n = keys,
                                          .c = scores,
                                          .stride = it->r.keys});
}

/* result[QUERIES, dim] = weights . right */
static void multiply_weights(const item *it, const uint8_t *right, int64_t keys) {
    wr_tiles_multiply(&(wr_tiles_product){.left = it->r.weights_left,
                                          .right = right,
                                          .k = keys,
                                          .left_room = it->r.keys,
                                          .right_room = it->r.keys,
                                          .m = QUERIES,
                                          .n = it->r.dim,
                                          .c = it->r.result,
                                          .stride = it->r.dim});
}

/* ---- forward --------------------------------------------------------------------------------- */

INLINE vec key_numbers(int64_t first) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_cvtepi32_ps(_mm512_add_epi32(lane, _mm512_set1_epi32((int)first)));
}

/* Keys 0 ... t of [at, at + 16). */
INLINE __mmask16 seen_keys(int64_t at, int64_t t) {
    const int64_t seen = t + 1 - at;
    return seen >= LANES ? (__mmask16)0xffff : seen > 0 ? first_lanes(seen) : (__mmask16)0;
}

/* Where number `key` of row i of a left side with two panels lies. */
INLINE uint8_t *weight_at(const room *r, int64_t i, int64_t key) {
    const size_t panel = wr_tiles_bytes(WR_TILE_SIDE, r->keys) / 2;
    return r->weights_left + (size_t)(i / 16) * panel + (size_t)(key / 32) * WR_TILE_BYTES +
           (size_t)(i % 16) * 64 + (size_t)(key % 32) * 2;
}

/* Row i of the scores, of query t: its weights 2^(s - m), zeros up to `keys`. Returns their sum,
 * with the sink; *log_sum is l. */
static float softmax_row(const item *it, int64_t head, int64_t i, int64_t t, int64_t keys,
                         float *log_sum) {
    const wr_attention_job *job = it->job;
    float *s = it->r.scores + i * it->r.keys;
    const vec slope = v_all(job->slopes[head] * LOG2_OF_E);
    vec most = v_all(-INFINITY);
    for (int64_t j = 0; j <= t; j += LANES) {
        const vec biased = v_fma(key_numbers(j - t), slope, v_load(s + j));
        v_store(s + j, biased);
        most = _mm512_mask_max_ps(most, seen_keys(j, t), most, biased);
    }
    float m = v_largest(most);
    if (job->z != NULL) m = fmaxf(m, job->z[head] * LOG2_OF_E);
    vec sum = v_zero();
    for (int64_t j = 0; j < keys; j += LANES) {
        vec p = v_zero();
        if (j <= t)
            p = _mm512_maskz_mov_ps(seen_keys(j, t), v_exp2(v_sub(v_load(s + j), v_all(m))));
        sum = v_add(sum, p);
        _mm256_storeu_si256((__m256i *)(void *)weight_at(&it->r, i, j),
                            (__m256i)_mm512_cvtneps_pbh(p));
    }
    float total = v_sum(sum);
    if (job->z != NULL) total += exp2f(job->z[head] * LOG2_OF_E - m);
    *log_sum = (m + log2f(total)) * LN_OF_2;
    return total;
}

static void attend(const item *it, int64_t head, int64_t first, int64_t count) {
    const wr_attention_job *job = it->job;
    const room *r = &it->r;
    const int64_t keys = padded(first + count);
    float total[QUERIES];
    read_queries(it, head, first, count);
    multiply_keys(it, r->queries_left, r->keys_right_turned, keys, r->scores);
    for (int64_t i = 0; i < count; i++)
        total[i] = softmax_row(it, head, i, first + i, keys,
                               job->l + (it->row + first + i) * job->heads + head);
    multiply_weights(it, r->values_right, keys);
    for (int64_t i = 0; i < count; i++) {
        float *out = job->out + out_at(it, first + i, head);
        const float *result = r->result + i * r->dim;
        const vec part = v_all(1 / total[i]);
        for (int64_t d = 0; d < job->head_dim; d += LANES) {
            const int64_t left = job->head_dim - d;
            const vec v = v_mul(v_load(result + d), part);
            if (left >= LANES)
                v_store(out + d, v);
            else
                v_store_part(out + d, v, left);
        }
    }
}

void wr_amx_attention(void *context, int64_t begin, int64_t end, int worker) {
    const wr_attention_job *job = context;
    const int64_t group = job->heads / job->kv_heads;
    wr_tiles_begin();
    for (int64_t number = begin; number < end; number++) {
        item it;
        begin_item(&it, job, number, worker, false);
        for (int64_t head = it.kv_head * group; head < (it.kv_head + 1) * group; head++) {
            for (int64_t first = 0; first < job->context; first += QUERIES) {
                const int64_t left = job->context - first;
                attend(&it, head, first, left < QUERIES ? left : QUERIES);
            }
        }
    }
    wr_tiles_end();
}

/* ---- backward -------------------------------------------------------------------------------- */

/* SPAN queries of a head: which, what their softmax had, where their transposed weights lie. */
typedef struct span {
    int64_t head, first, count;
    float l[SPAN]; /* in base 2; infinite where there is no query */
    float d[SPAN];
} span;

/* Queries and dout as tiles; l and D. Returns what they add to dz. */
static float read_span(const item *it, span *s) {
    const wr_attention_job *job = it->job;
    const room *r = &it->r;
    const int64_t dim = job->head_dim;
    float dz = 0;
    read_queries(it, s->head, s->first, s->count);
    const wr_tiles_source q = turned_rows(it, s->count);
    wr_tiles_pack(WR_TILES_RIGHT, &q, 0, r->dim / 16, r->queries_right);
    const wr_tiles_source dout = {job->dout + out_at(it, s->first, s->head), job->heads * dim,
                                  s->count, dim, 0};
    wr_tiles_pack(WR_TILES_LEFT, &dout, 0, padded(s->count) / 16, r->dout_left);
    wr_tiles_pack(WR_TILES_RIGHT, &dout, 0, r->dim / 16, r->dout_right);
    for (int64_t i = 0; i < SPAN; i++) {
        s->l[i] = INFINITY;
        s->d[i] = 0;
        if (i >= s->count) continue;
        const int64_t at = out_at(it, s->first + i, s->head);
        vec dot = v_zero();
        for (int64_t j = 0; j < dim; j += LANES)
            dot = v_fma(tiles_row_part(job->dout + at + j, dim - j),
                        tiles_row_part(job->out + at + j, dim - j), dot);
        const float l = job->l[(it->row + s->first + i) * job->heads + s->head];
        s->d[i] = v_sum(dot);
        s->l[i] = l * LOG2_OF_E;
        if (job->z != NULL) dz -= exp2f((job->z[s->head] - l) * LOG2_OF_E) * s->d[i];
    }
    return dz;
}

/* Of queries i ... i + 31 of a span and 16 keys from `key`: ds as left side, p and ds transposed.
 */
INLINE void change_tile(const item *it, const span *s, int64_t i, int64_t key) {
    const room *r = &it->r;
    const vec slope = v_all(it->job->slopes[s->head] * LOG2_OF_E);
    vec p[LANES], ds[LANES];
    UNROLLED_16 for (int pair = 0; pair < LANES; pair++) {
        vec p_of[2], ds_of[2];
        UNROLLED for (int half = 0; half < 2; half++) {
            const int64_t row = 2 * pair + half, t = s->first + i + row;
            const vec score =
                v_fma(key_numbers(key - t), slope, v_load(r->scores + row * r->keys + key));
            const vec weight = v_exp2(v_sub(score, v_all(s->l[i + row])));
            p_of[half] = _mm512_maskz_mov_ps(seen_keys(key, t), weight);
            ds_of[half] = v_mul(
                p_of[half], v_sub(v_load(r->changes + row * r->keys + key), v_all(s->d[i + row])));
            _mm256_storeu_si256((__m256i *)(void *)weight_at(r, row, key),
                                (__m256i)_mm512_cvtneps_pbh(ds_of[half]));
        }
        p[pair] = tiles_pair(p_of[1], p_of[0]);
        ds[pair] = tiles_pair(ds_of[1], ds_of[0]);
    }
    const size_t at = (size_t)(key / 16 * (SPAN / 32) + i / 32) * WR_TILE_BYTES;
    v_transpose(p);
    UNROLLED_16 for (int k = 0; k < LANES; k++) v_store(r->p_turned + at + k * 64, p[k]);
    v_transpose(ds);
    UNROLLED_16 for (int k = 0; k < LANES; k++) v_store(r->ds_turned + at + k * 64, ds[k]);
}

/* Queries i ... i + 31 of a span: dq is written, weights wait in p_turned and ds_turned. */
static void change_queries(const item *it, const span *s, int64_t i) {
    const wr_attention_job *job = it->job;
    const room *r = &it->r;
    const int64_t left = s->count - i, count = left < QUERIES ? left : QUERIES;
    const int64_t keys = padded(s->first + i + count);
    multiply_keys(it, queries_from(it, r->queries_left, i), r->keys_right_turned, keys, r->scores);
    multiply_keys(it, queries_from(it, r->dout_left, i), r->values_right_turned, keys, r->changes);
    for (int64_t key = 0; key < keys; key += LANES) change_tile(it, s, i, key);
    multiply_weights(it, r->keys_right, keys);
    turn_rows(job, r->result, r->dim, s->first + i, count, it->scale, -1,
              query_at(it, s->first + i, s->head), job->q_stride);
}

/* gradients[keys, dim] (+)= weights[keys, SPAN] rows[SPAN, dim]; keys see queries from their own
 * on. */
static void add_to_keys(const item *it, const span *s, const uint8_t *weights, const uint8_t *rows,
                        bool add, float *gradients) {
    const room *r = &it->r;
    const int64_t count = padded(s->count);
    for (int64_t key = 0; key < padded(s->first + s->count); key += WR_TILE_SIDE) {
        const int64_t from = key > s->first ? key - s->first : 0, tile = from / WR_TILE_SIDE;
        wr_tiles_multiply(&(wr_tiles_product){
            .left = weights + (size_t)(key / 16 * (SPAN / 32) + tile) * WR_TILE_BYTES,
            .right = rows + (size_t)tile * WR_TILE_BYTES,
            .k = count - from,
            .left_room = SPAN,
            .right_room = count,
            .m = WR_TILE_SIDE,
            .n = r->dim,
            .c = gradients + key * r->dim,
            .stride = r->dim,
            .add = add || key < s->first});
    }
}

/* One head; returns dz. `add`: keys have gradients of another head already. */
static float attend_back(const item *it, int64_t head, bool add) {
    const room *r = &it->r;
    const int64_t context = it->job->context;
    float dz = 0;
    span s = {.head = head};
    for (s.first = 0; s.first < context; s.first += SPAN) {
        s.count = context - s.first < SPAN ? context - s.first : SPAN;
        dz += read_span(it, &s);
        for (int64_t i = 0; i < s.count; i += QUERIES) change_queries(it, &s, i);
        add_to_keys(it, &s, r->p_turned, r->dout_right, add, r->value_gradients);
        add_to_keys(it, &s, r->ds_turned, r->queries_right, add, r->key_gradients);
    }
    return dz;
}

static void write_key_gradients(const item *it) {
    const wr_attention_job *job = it->job;
    const room *r = &it->r;
    /* queries were read with the factor of base 2 */
    turn_rows(job, r->key_gradients, r->dim, 0, job->context, LN_OF_2, -1, key_at(it, job->k, 0),
              job->kv_stride);
    for (int64_t t = 0; t < job->context; t++) {
        float *dv = key_at(it, job->v, t);
        const float *from = r->value_gradients + t * r->dim;
        for (int64_t d = 0; d < job->head_dim; d++) dv[d] = from[d];
    }
}

void wr_amx_attention_back(void *context, int64_t begin, int64_t end, int worker) {
    const wr_attention_job *job = context;
    const int64_t group = job->heads / job->kv_heads;
    wr_tiles_begin();
    for (int64_t number = begin; number < end; number++) {
        item it;
        begin_item(&it, job, number, worker, true);
        for (int64_t i = 0; i < group; i++) {
            const int64_t head = it.kv_head * group + i;
            const float dz = attend_back(&it, head, i > 0);
            if (job->dz != NULL) job->dz[it.sample * job->heads + head] = dz;
        }
        write_key_gradients(&it);
    }
    wr_tiles_end();
}
