/*
 * Causal attention of one sample and one KV head, forward and backward; the formulas stand at
 * wr_attention_job.
 *
 * Keys and values of the head are copied once, turned to their positions, so that products read
 * them in vectors: K and V as rows [context, padded], and both transposed in panels of PANEL keys
 * [panel][head_dim][PANEL]. Then QUERIES queries at a time: forward against all keys that they see,
 * backward against KEYS keys at a time, so that what is computed again stays in the first cache.
 */
#include "train/kernels/lanes/train_product_lanes.h"

enum { PANEL = 2 * LANES, QUERIES = 32, KEYS = 4 * PANEL };

/* One worker's scratch. */
typedef struct attention_room {
    int64_t padded;                        /* head_dim in whole vectors */
    int64_t keys;                          /* context in whole panels */
    real *key_panels, *value_panels;       /* [keys / PANEL, head_dim, PANEL] */
    real *key_rows, *value_rows;           /* [keys, padded] */
    real *key_gradients, *value_gradients; /* [keys, padded] */
    real *query, *dout, *result;           /* [QUERIES, padded] */
    real *scores;                          /* [QUERIES, keys] */
    real *changes;                         /* [QUERIES, KEYS] */
} attention_room;

INLINE int64_t whole(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

typedef struct room_cut {
    real *scratch; /* NULL while measuring */
    int64_t used;
} room_cut;

static real *room_take(room_cut *cut, int64_t numbers) {
    real *taken = cut->scratch == NULL ? NULL : cut->scratch + cut->used;
    cut->used += whole(numbers, LANES);
    return taken;
}

/* Returns how many numbers the scratch has. */
static int64_t room_lay_out(attention_room *room, int64_t context, int64_t head_dim,
                            real *scratch) {
    room_cut cut = {.scratch = scratch};
    room->padded = whole(head_dim, LANES);
    room->keys = whole(context, PANEL);
    const int64_t rows = room->keys * room->padded;
    room->key_panels = room_take(&cut, room->keys * head_dim);
    room->value_panels = room_take(&cut, room->keys * head_dim);
    room->key_rows = room_take(&cut, rows);
    room->value_rows = room_take(&cut, rows);
    room->key_gradients = room_take(&cut, rows);
    room->value_gradients = room_take(&cut, rows);
    room->query = room_take(&cut, QUERIES * room->padded);
    room->dout = room_take(&cut, QUERIES * room->padded);
    room->result = room_take(&cut, QUERIES * room->padded);
    room->scores = room_take(&cut, QUERIES * (room->keys > KEYS ? room->keys : (int64_t)KEYS));
    room->changes = room_take(&cut, QUERIES * KEYS);
    return cut.used;
}

static int64_t attention_scratch(int64_t context, int64_t head_dim) {
    attention_room room;
    return room_lay_out(&room, context, head_dim, NULL);
}

/* ---- copying in and out ---------------------------------------------------------------------- */

/* Neighbours change places: (x1, x0, x3, x2, ...). */
INLINE lanes swap_pairs(lanes x) { return __builtin_shuffle(x, lane_numbers() ^ 1); }

/* A row of a head, padded with zeros, times `scale`, turned to position t (backwards: direction
 * -1). */
INLINE void copy_row(const wr_attention_job *job, const real *x, int64_t t, real scale,
                     real direction, real *out) {
    const int64_t dim = job->head_dim;
    for (int64_t i = 0; i < dim; i += LANES) {
        lanes v = row_load(x + i, dim - i) * scale;
        if (job->cosines != NULL) {
            const int64_t at = t * whole(dim, WR_HEAD_PADDING) + i;
            v = v * load(job->cosines + at) + swap_pairs(v) * (load(job->sines + at) * direction);
        }
        store(out + i, v);
    }
}

INLINE void read_row(const wr_attention_job *job, const real *x, real *out) {
    for (int64_t i = 0; i < job->head_dim; i += LANES)
        store(out + i, row_load(x + i, job->head_dim - i));
}

INLINE void write_row(const wr_attention_job *job, const real *x, real *out) {
    const int64_t dim = job->head_dim;
    for (int64_t i = 0; i < dim; i += LANES) row_store(out + i, load(x + i), dim - i);
}

/* Transpose rows [context, padded] into panels; keys past the end are zeros. */
static void make_panels(const attention_room *room, int64_t context, int64_t dim, const real *rows,
                        real *panels) {
    for (int64_t first = 0; first < context; first += PANEL, panels += dim * PANEL) {
        for (int64_t d = 0; d < dim; d++) {
            for (int64_t j = 0; j < (int64_t)PANEL; j++) {
                const int64_t key = first + j;
                panels[d * PANEL + j] = key < context ? rows[key * room->padded + d] : 0;
            }
        }
    }
}

/* ---- the parts of an item -------------------------------------------------------------------- */

/* What an item is about: its rows in the job's arrays. */
typedef struct attention_item {
    const wr_attention_job *job;
    attention_room room;
    int64_t row; /* of the sample's first token */
    int64_t kv_head, sample;
    real scale; /* 1 / sqrt(head_dim) */
} attention_item;

static void begin_item(attention_item *item, const wr_attention_job *job, int64_t number,
                       int worker) {
    item->job = job;
    room_lay_out(&item->room, job->context, job->head_dim,
                 job->scratch + worker * job->scratch_size);
    item->sample = number / job->kv_heads;
    item->kv_head = number % job->kv_heads;
    item->row = item->sample * job->context;
    item->scale = 1 / root_of((real)job->head_dim);
    const attention_room *room = &item->room;
    for (int64_t t = 0; t < job->context; t++) {
        const int64_t at = (item->row + t) * job->kv_stride + item->kv_head * job->head_dim;
        copy_row(job, job->k + at, t, 1, 1, room->key_rows + t * room->padded);
        read_row(job, job->v + at, room->value_rows + t * room->padded);
    }
    make_panels(room, job->context, job->head_dim, room->key_rows, room->key_panels);
}

static real *query_at(const attention_item *item, int64_t t, int64_t head) {
    return item->job->q + (item->row + t) * item->job->q_stride + head * item->job->head_dim;
}
/* Of `out` and `dout`. */
static int64_t out_at(const attention_item *item, int64_t t, int64_t head) {
    const wr_attention_job *job = item->job;
    return ((item->row + t) * job->heads + head) * job->head_dim;
}

/* scores[queries, `stride`] = rows . (keys first ... last - 1) of panels; whole panels. */
static void against_panels(const attention_item *item, const real *rows, int64_t queries,
                           const real *panels, int64_t first, int64_t last, real *scores,
                           int64_t stride) {
    const attention_room *room = &item->room;
    const int64_t dim = item->job->head_dim;
    for (int64_t key = first; key < last; key += PANEL) {
        small_product(&(wr_small_product){.m = queries,
                                          .n = PANEL,
                                          .k = dim,
                                          .a = rows,
                                          .a_row = room->padded,
                                          .a_step = 1,
                                          .b = panels + key * dim,
                                          .b_step = PANEL,
                                          .c = scores + key - first,
                                          .c_row = stride});
    }
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Scores of query t against keys 0 ... t become exp(score - m), later ones up to `keys` become 0.
 * Returns the sum, with the sink term; *log_sum is l. */
static real softmax_row(const wr_attention_job *job, int64_t head, int64_t t, int64_t keys,
                        real *scores, real *log_sum) {
    const real slope = job->slopes[head];
    const integers number = lane_numbers();
    const lanes none = all(exp_low - exp_high);
    lanes most = none;
    for (int64_t j = 0; j < keys; j += LANES) {
        const integers key = number + (integer)(j - t); /* minus the distance */
        const lanes biased = load(scores + j) + __builtin_convertvector(key, lanes) * slope;
        const lanes s = select(key > 0, none, biased);
        store(scores + j, biased);
        most = select(s > most, s, most);
    }
    real m = largest_of(most);
    if (job->z != NULL && job->z[head] > m) m = job->z[head];
    lanes sum = {0};
    for (int64_t j = 0; j < keys; j += LANES) {
        const integers key = number + (integer)(j - t);
        const lanes e = select(key > 0, (lanes){0}, exp_of(load(scores + j) - m));
        store(scores + j, e);
        sum += e;
    }
    real total = sum_of(sum);
    if (job->z != NULL) total += exp_of(all(job->z[head] - m))[0];
    *log_sum = m + log_of(total);
    return total;
}

/* Queries first ... first + queries - 1 of a head. */
static void attend_queries(const attention_item *item, int64_t head, int64_t first,
                           int64_t queries) {
    const wr_attention_job *job = item->job;
    const attention_room *room = &item->room;
    const int64_t seen = first + queries, keys = whole(seen, PANEL);
    real total[QUERIES];
    for (int64_t i = 0; i < queries; i++)
        copy_row(job, query_at(item, first + i, head), first + i, item->scale, 1,
                 room->query + i * room->padded);
    against_panels(item, room->query, queries, room->key_panels, 0, keys, room->scores, room->keys);
    for (int64_t i = 0; i < queries; i++) {
        real *l = job->l + (item->row + first + i) * job->heads + head;
        total[i] = softmax_row(job, head, first + i, keys, room->scores + i * room->keys, l);
    }
    small_product(&(wr_small_product){.m = queries,
                                      .n = room->padded,
                                      .k = seen,
                                      .a = room->scores,
                                      .a_row = room->keys,
                                      .a_step = 1,
                                      .b = room->value_rows,
                                      .b_step = room->padded,
                                      .c = room->result,
                                      .c_row = room->padded});
    for (int64_t i = 0; i < queries; i++) {
        real *result = room->result + i * room->padded;
        for (int64_t d = 0; d < room->padded; d += LANES)
            store(result + d, load(result + d) * (1 / total[i]));
        write_row(job, result, job->out + out_at(item, first + i, head));
    }
}

static void attention(void *context, int64_t begin, int64_t end, int worker) {
    const wr_attention_job *job = context;
    const int64_t group = job->heads / job->kv_heads;
    for (int64_t number = begin; number < end; number++) {
        attention_item item;
        begin_item(&item, job, number, worker);
        for (int64_t head = item.kv_head * group; head < (item.kv_head + 1) * group; head++) {
            for (int64_t first = 0; first < job->context; first += QUERIES) {
                const int64_t left = job->context - first;
                attend_queries(&item, head, first, left < QUERIES ? left : QUERIES);
            }
        }
    }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* For one query and keys first ... first + KEYS - 1 (padded): scores become p, changes become ds.
 */
INLINE void change_row(const wr_attention_job *job, int64_t head, int64_t t, int64_t first,
                       int64_t keys, real l, real d, real *scores, real *changes) {
    const real slope = job->slopes[head];
    const integers number = lane_numbers();
    for (int64_t j = 0; j < keys; j += LANES) {
        const integers key = number + (integer)(first + j - t);
        const lanes s = load(scores + j) + __builtin_convertvector(key, lanes) * slope;
        const lanes p = select(key > 0, (lanes){0}, exp_of(s - l));
        store(scores + j, p);
        store(changes + j, p * (load(changes + j) - d));
    }
}

/* gradients[keys, padded] += of[queries, keys]^T rows[queries, padded] */
static void onto_keys(const attention_room *room, const real *of, int64_t queries, int64_t keys,
                      const real *rows, real *gradients) {
    small_product(&(wr_small_product){.m = keys,
                                      .n = room->padded,
                                      .k = queries,
                                      .a = of,
                                      .a_row = 1,
                                      .a_step = KEYS,
                                      .b = rows,
                                      .b_step = room->padded,
                                      .c = gradients,
                                      .c_row = room->padded,
                                      .add = true});
}

/* Keys first ... last - 1 and some queries: gradients of keys and values are added to, and so is
 * dq in `result`. d[i] and l[i] are of query i. */
static void change_keys(const attention_item *item, int64_t head, int64_t query, int64_t queries,
                        int64_t first, int64_t last, const real *l, const real *d) {
    const wr_attention_job *job = item->job;
    const attention_room *room = &item->room;
    const int64_t keys = last - first, padded_keys = whole(keys, PANEL);
    against_panels(item, room->query, queries, room->key_panels, first, first + padded_keys,
                   room->scores, KEYS);
    against_panels(item, room->dout, queries, room->value_panels, first, first + padded_keys,
                   room->changes, KEYS);
    for (int64_t i = 0; i < queries; i++)
        change_row(job, head, query + i, first, padded_keys, l[i], d[i], room->scores + i * KEYS,
                   room->changes + i * KEYS);
    onto_keys(room, room->scores, queries, keys, room->dout,
              room->value_gradients + first * room->padded);
    onto_keys(room, room->changes, queries, keys, room->query,
              room->key_gradients + first * room->padded);
    small_product(&(wr_small_product){.m = queries,
                                      .n = room->padded,
                                      .k = keys,
                                      .a = room->changes,
                                      .a_row = KEYS,
                                      .a_step = 1,
                                      .b = room->key_rows + first * room->padded,
                                      .b_step = room->padded,
                                      .c = room->result,
                                      .c_row = room->padded,
                                      .add = first > 0});
}

/* One head's queries first ... first + queries - 1; returns what they add to dz. */
static real attend_queries_back(const attention_item *item, int64_t head, int64_t first,
                                int64_t queries) {
    const wr_attention_job *job = item->job;
    const attention_room *room = &item->room;
    const int64_t padded = room->padded, seen = first + queries;
    real l[QUERIES], d[QUERIES], dz = 0;
    for (int64_t i = 0; i < queries; i++) {
        const int64_t at = out_at(item, first + i, head);
        real *dout = room->dout + i * padded;
        copy_row(job, query_at(item, first + i, head), first + i, item->scale, 1,
                 room->query + i * padded);
        lanes dot = {0};
        for (int64_t j = 0; j < job->head_dim; j += LANES) {
            const int64_t some = job->head_dim - j;
            store(dout + j, row_load(job->dout + at + j, some));
            dot += load(dout + j) * row_load(job->out + at + j, some);
        }
        d[i] = sum_of(dot);
        l[i] = job->l[(item->row + first + i) * job->heads + head];
        if (job->z != NULL) dz -= exp_of(all(job->z[head] - l[i]))[0] * d[i];
    }
    for (int64_t key = 0; key < seen; key += KEYS)
        change_keys(item, head, first, queries, key, key + KEYS < seen ? key + KEYS : seen, l, d);
    for (int64_t i = 0; i < queries; i++) {
        real *result = room->result + i * padded;
        copy_row(job, result, first + i, item->scale, -1, result);
        write_row(job, result, query_at(item, first + i, head));
    }
    return dz;
}

/* What the group's queries did to the item's keys and values. */
static void write_key_gradients(const attention_item *item) {
    const wr_attention_job *job = item->job;
    const attention_room *room = &item->room;
    for (int64_t t = 0; t < job->context; t++) {
        const int64_t at = (item->row + t) * job->kv_stride + item->kv_head * job->head_dim;
        real *gradient = room->key_gradients + t * room->padded;
        copy_row(job, gradient, t, 1, -1, gradient);
        write_row(job, gradient, job->k + at);
        write_row(job, room->value_gradients + t * room->padded, job->v + at);
    }
}

static void attention_back(void *context, int64_t begin, int64_t end, int worker) {
    const wr_attention_job *job = context;
    const int64_t group = job->heads / job->kv_heads;
    for (int64_t number = begin; number < end; number++) {
        attention_item item;
        begin_item(&item, job, number, worker);
        const attention_room *room = &item.room;
        const size_t bytes = (size_t)(room->keys * room->padded) * sizeof(real);
        memset(room->key_gradients, 0, bytes);
        memset(room->value_gradients, 0, bytes);
        make_panels(room, job->context, job->head_dim, room->value_rows, room->value_panels);
        for (int64_t head = item.kv_head * group; head < (item.kv_head + 1) * group; head++) {
            real dz = 0;
            for (int64_t first = 0; first < job->context; first += QUERIES) {
                const int64_t left = job->context - first;
                dz += attend_queries_back(&item, head, first, left < QUERIES ? left : QUERIES);
            }
            if (job->dz != NULL) job->dz[item.sample * job->heads + head] = dz;
        }
        write_key_gradients(&item);
    }
}
