/* tensor/kernels: attention against a naive one in double precision, at every level. */
#include "kernels/check.h"

enum { PAGE_ROWS = 24, MAX_RUNS = 12 };

/* A job with everything that it borrows. Keys and values of all pages are random; what no run
 * covers is NaN, so that reading it shows. */
typedef struct scene {
    wr_attention job;
    guarded pages, queries[2], out, scratch, scores;
    wr_kv_run runs[2][MAX_RUNS];
    float sink[16];
    int64_t keys;
    size_t page_bytes;
} scene;

typedef struct shape {
    wr_kv_type pinned_type, type;
    int32_t heads, key_dim, value_dim;
    int32_t pinned_runs, recent_runs;
    bool sink;
} shape;

static wr_kv_view *view_of(scene *s, int which) {
    return which == 0 ? &s->job.pinned : &s->job.recent;
}

/* Rows of one view's page: all keys, then all values, and an odd gap. */
static void lay_view(scene *s, int which, wr_kv_type type, int32_t runs) {
    wr_kv_view *view = view_of(s, which);
    *view = (wr_kv_view){.runs = s->runs[which], .run_count = runs, .type = type, .key_offset = 3};
    view->value_offset = 3 + 5 + PAGE_ROWS * wr_kv_row_bytes(type, s->job.key_dim);
    size_t end = view->value_offset + PAGE_ROWS * wr_kv_row_bytes(type, s->job.value_dim);
    if (runs > 0 && end > s->page_bytes) s->page_bytes = end;
}

static void write_row(wr_kv_type type, uint8_t *row, int32_t dim, uint64_t seed) {
    float x[512];
    fill_normal(x, dim, seed, 1);
    wr_kernels_get(WR_CPU_SCALAR)->kv_write(type, row, x, dim);
}

static void fill_run(scene *s, int which, int32_t i, uint64_t seed) {
    const wr_kv_view *view = view_of(s, which);
    wr_kv_run *run = &s->runs[which][i];
    /* The first recent run ends where the memory does. */
    const int32_t at = which == 0 ? i : 2 * MAX_RUNS - 1 - i;
    uint8_t *page = (uint8_t *)s->pages.data + (size_t)at * s->page_bytes;
    run->page = page;
    run->first = (int32_t)random_below(PAGE_ROWS);
    run->count = 1 + (int32_t)random_below((uint32_t)(PAGE_ROWS - run->first));
    if (which == 1 && i == 0) run->count = PAGE_ROWS - run->first;
    const size_t key = wr_kv_row_bytes(view->type, s->job.key_dim);
    const size_t value = wr_kv_row_bytes(view->type, s->job.value_dim);
    for (int32_t j = run->first; j < run->first + run->count; j++) {
        write_row(view->type, page + view->key_offset + key * (size_t)j, s->job.key_dim,
                  seed + (uint64_t)(2 * j));
        write_row(view->type, page + view->value_offset + value * (size_t)j, s->job.value_dim,
                  seed + (uint64_t)(2 * j + 1));
    }
    s->keys += run->count;
}

static void scene_make(scene *s, const shape *a, uint64_t seed) {
    *s = (scene){0};
    wr_attention *job = &s->job;
    job->heads = a->heads;
    job->key_dim = a->key_dim;
    job->value_dim = a->value_dim;
    job->scale = 1.5f / sqrtf((float)a->key_dim);
    job->tile = PAGE_ROWS;
    lay_view(s, 0, a->pinned_type, a->pinned_runs);
    lay_view(s, 1, a->type, a->recent_runs);
    s->pages = fenced_make(2 * MAX_RUNS * s->page_bytes);
    for (int which = 0; which < 2; which++) {
        const int32_t count = view_of(s, which)->run_count;
        for (int32_t i = 0; i < count; i++) {
            fill_run(s, which, i, seed + 1000u * (uint64_t)(which * MAX_RUNS + i));
        }
        s->queries[which] = fenced_floats(a->heads * a->key_dim);
        fill_normal(s->queries[which].data, a->heads * a->key_dim, seed + (uint64_t)which, 1);
    }
    job->query_pinned = a->pinned_runs > 0 ? s->queries[0].data : NULL;
    job->query_recent = s->queries[1].data;
    for (int h = 0; h < a->heads; h++) s->sink[h] = (float)(h * 7) - 4; /* beyond any score, too */
    job->sink_logit = a->sink ? s->sink : NULL;
    s->out = guarded_floats(a->heads * a->value_dim, 4);
    s->scores = guarded_floats(a->heads * s->keys, 4);
    s->scratch =
        guarded_floats(wr_attention_scratch(a->heads, a->key_dim, a->value_dim, PAGE_ROWS), 4);
    job->out = s->out.data;
    job->scores = s->scores.data;
    job->scratch = s->scratch.data;
}

static void scene_free(scene *s) {
    guarded_free(&s->pages);
    guarded_free(&s->queries[0]);
    guarded_free(&s->queries[1]);
    guarded_free(&s->out);
    guarded_free(&s->scores);
    guarded_free(&s->scratch);
}

/* ---- the naive attention --------------------------------------------------------------------- */

typedef struct naive {
    double *scores, *out; /* of one head: [keys], [value_dim] */
    double score_size;    /* the largest scale * sum |q k| */
    double value_size;    /* the largest |v| */
} naive;

static void read_row(const scene *s, int which, int64_t run, int32_t j, bool key, float *to) {
    const wr_kv_view *view = which == 0 ? &s->job.pinned : &s->job.recent;
    const int32_t dim = key ? s->job.key_dim : s->job.value_dim;
    const uint8_t *rows = view->runs[run].page + (key ? view->key_offset : view->value_offset);
    const size_t at = (size_t)(view->runs[run].first + j) * wr_kv_row_bytes(view->type, dim);
    wr_kernels_get(WR_CPU_SCALAR)->kv_read(view->type, rows + at, to, dim);
}

static void naive_scores(const scene *s, int32_t head, naive *n) {
    int64_t at = 0;
    for (int which = 0; which < 2; which++) {
        const wr_kv_view *view = which == 0 ? &s->job.pinned : &s->job.recent;
        const float *q = (which == 0 ? s->job.query_pinned : s->job.query_recent);
        for (int32_t i = 0; i < view->run_count; i++) {
            for (int32_t j = 0; j < view->runs[i].count; j++, at++) {
                float key[512];
                read_row(s, which, i, j, true, key);
                double sum = 0, size = 0;
                for (int32_t d = 0; d < s->job.key_dim; d++) {
                    double p = (double)q[head * s->job.key_dim + d] * (double)key[d];
                    sum += p;
                    size += fabs(p);
                }
                n->scores[at] = sum * (double)s->job.scale;
                n->score_size = fmax(n->score_size, size * (double)s->job.scale);
            }
        }
    }
}

static void naive_values(const scene *s, int32_t head, naive *n) {
    double max = s->job.sink_logit != NULL ? (double)s->job.sink_logit[head] : (double)-INFINITY;
    for (int64_t j = 0; j < s->keys; j++) max = fmax(max, n->scores[j]);
    double sum = s->job.sink_logit != NULL ? exp((double)s->job.sink_logit[head] - max) : 0;
    for (int32_t d = 0; d < s->job.value_dim; d++) n->out[d] = 0;
    int64_t at = 0;
    for (int which = 0; which < 2; which++) {
        const wr_kv_view *view = which == 0 ? &s->job.pinned : &s->job.recent;
        for (int32_t i = 0; i < view->run_count; i++) {
            for (int32_t j = 0; j < view->runs[i].count; j++, at++) {
                float value[512];
                read_row(s, which, i, j, false, value);
                double weight = exp(n->scores[at] - max);
                sum += weight;
                for (int32_t d = 0; d < s->job.value_dim; d++) {
                    n->out[d] += weight * (double)value[d];
                    n->value_size = fmax(n->value_size, fabs((double)value[d]));
                }
            }
        }
    }
    for (int32_t d = 0; d < s->job.value_dim; d++) n->out[d] /= sum;
}

/* A score takes dim/8 + 8 roundings (eight lanes are the fewest). A weight's relative error is its
 * score's error, the rounding of the subtraction of the maximum, and exp's; those of numerator and
 * denominator may add up; sums over the keys add at most a rounding per key and tile. */
static void check_against_naive(const char *name, const scene *s) {
    naive n = {malloc((size_t)s->keys * sizeof(double)), malloc(512 * sizeof(double)), 0, 0};
    const float *out = s->out.data, *scores = s->scores.data;
    for (int32_t h = 0; h < s->job.heads; h++) {
        naive_scores(s, h, &n);
        naive_values(s, h, &n);
        const double score_error = (s->job.key_dim / 8.0 + 8) * UNIT * n.score_size;
        for (int64_t j = 0; j < s->keys; j++) {
            double ours = (double)scores[h * s->keys + j];
            if (!(fabs(ours - n.scores[j]) <= score_error)) {
                fail_msg("%s: score %d of head %d is %g, not %g", name, (int)j, h, ours,
                         n.scores[j]);
            }
        }
        const double sink = s->job.sink_logit != NULL ? fabs((double)s->sink[h]) : 0;
        const double relative = 2 * score_error + UNIT * (2 * (n.score_size + sink) +
                                                          (double)s->keys + 4 * MAX_RUNS + 16);
        for (int32_t d = 0; d < s->job.value_dim; d++) {
            double ours = (double)out[h * s->job.value_dim + d];
            if (!(fabs(ours - n.out[d]) <= relative * n.value_size)) {
                fail_msg("%s: out %d of head %d is %.9g, not %.9g", name, d, h, ours, n.out[d]);
            }
        }
    }
    free(n.scores);
    free(n.out);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const int head_counts[] = {1, 2, 3, 4, 5, 8};
static const int dims[] = {1, 7, 16, 33, 48, 64, 80, 128, 200};

static shape random_shape(int type) {
    shape a = {.type = (wr_kv_type)type};
    a.pinned_type = type == WR_KV_F32 ? WR_KV_F32 : WR_KV_F16; /* pinned rows are at least halves */
    a.heads = head_counts[random_below(COUNT(head_counts))];
    a.key_dim = dims[random_below(COUNT(dims))];
    a.value_dim = random_below(2) ? a.key_dim : dims[random_below(COUNT(dims))];
    a.pinned_runs = (int32_t)random_below(3);
    a.recent_runs = 1 + (int32_t)random_below(MAX_RUNS);
    a.sink = random_below(2) == 0;
    return a;
}

static void attend_is_near_double_at(const wr_kernels *kernels) {
    for (int round = 0; round < 360; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        check_against_naive(kernels->name, &s);
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_is_near_double)

/* From NaN to another pattern. */
static void replace_what_no_run_covers(scene *s) {
    uint8_t *pages = s->pages.data, *old = malloc(s->pages.size);
    memcpy(old, pages, s->pages.size);
    memset(pages, 0x3c, s->pages.size);
    for (int which = 0; which < 2; which++) {
        const wr_kv_view *view = view_of(s, which);
        const size_t key = wr_kv_row_bytes(view->type, s->job.key_dim);
        const size_t value = wr_kv_row_bytes(view->type, s->job.value_dim);
        for (int32_t i = 0; i < view->run_count; i++) {
            const wr_kv_run *run = &view->runs[i];
            const size_t page = (size_t)(run->page - pages), count = (size_t)run->count;
            const size_t keys = page + view->key_offset + key * (size_t)run->first;
            const size_t values = page + view->value_offset + value * (size_t)run->first;
            memcpy(pages + keys, old + keys, key * count);
            memcpy(pages + values, old + values, value * count);
        }
    }
    free(old);
}

/* The result has the same bits whatever lies in rows that no run covers, whatever the scratch held,
 * and whether the scores are asked for. */
static void attend_sees_its_runs_only_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        float *first = malloc(s.out.size);
        memcpy(first, s.out.data, s.out.size);
        replace_what_no_run_covers(&s);
        memset(s.scratch.data, 0x3c, s.scratch.size);
        s.job.scores = NULL;
        kernels->attend(&s.job);
        assert_memory_equal(first, s.out.data, s.out.size);
        free(first);
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_sees_its_runs_only)

/* f16 and q8_0 rows give the bits of f32 rows that hold the same numbers: what the engine reads is
 * what kv_read says. */
static void attend_reads_as_kv_read_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        a.pinned_runs = 0;
        scene s, t;
        scene_make(&s, &a, (uint64_t)round << 32);
        a.type = WR_KV_F32;
        scene_make(&t, &a, (uint64_t)round << 32);
        for (int32_t i = 0; i < a.recent_runs; i++) {
            t.runs[1][i].first = s.runs[1][i].first;
            t.runs[1][i].count = s.runs[1][i].count;
            for (int32_t j = 0; j < s.runs[1][i].count; j++) {
                size_t row = (size_t)(s.runs[1][i].first + j) * 4;
                uint8_t *page =
                    (uint8_t *)t.pages.data + (t.runs[1][i].page - (uint8_t *)t.pages.data);
                float x[512];
                read_row(&s, 1, i, j, true, x);
                memcpy(page + t.job.recent.key_offset + row * (size_t)a.key_dim, x,
                       (size_t)a.key_dim * 4);
                read_row(&s, 1, i, j, false, x);
                memcpy(page + t.job.recent.value_offset + row * (size_t)a.value_dim, x,
                       (size_t)a.value_dim * 4);
            }
        }
        t.job.scores = s.job.scores = NULL;
        kernels->attend(&s.job);
        kernels->attend(&t.job);
        assert_memory_equal(s.out.data, t.out.data, s.out.size);
        scene_free(&s);
        scene_free(&t);
    }
}
FOR_EACH_LEVEL(attend_reads_as_kv_read)

/* The heads of a group give the bits that each gives alone. */
static void attend_of_a_group_is_its_heads_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        s.job.scores = NULL;
        kernels->attend(&s.job);
        for (int32_t h = 0; h < a.heads; h++) {
            float out[512];
            wr_attention one = s.job;
            one.heads = 1;
            one.out = out;
            if (one.query_pinned != NULL) one.query_pinned += h * a.key_dim;
            one.query_recent += h * a.key_dim;
            if (one.sink_logit != NULL) one.sink_logit += h;
            kernels->attend(&one);
            assert_memory_equal(out, (float *)s.out.data + h * a.value_dim,
                                (size_t)a.value_dim * sizeof *out);
        }
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_of_a_group_is_its_heads)

/* Scores of +-300: exponentials of differences far outside float32's range. And a sink logit of
 * minus infinity is as good as none. */
static void attend_survives_extremes_at(const wr_kernels *kernels) {
    for (int round = 0; round < 30; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        a.sink = round % 2 == 0;
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        s.job.scale = 100;
        for (int h = 0; h < a.heads; h++) s.sink[h] = round % 4 == 0 ? -INFINITY : 1e30f;
        kernels->attend(&s.job);
        for (int i = 0; i < a.heads * a.value_dim; i++) {
            float value = ((float *)s.out.data)[i];
            assert_true(isfinite(value));
            if (a.sink && round % 4 != 0) assert_true(value == 0);
        }
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_survives_extremes)

static bool any_nan(const scene *s) {
    for (int32_t i = 0; i < s->job.heads * s->job.value_dim; i++) {
        if (isnan(((float *)s->out.data)[i])) return true;
    }
    return false;
}

static void attend_hides_no_nan_at(const wr_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        shape a = random_shape(round % WR_KV_TYPES);
        a.sink = true;
        scene s;
        scene_make(&s, &a, (uint64_t)round << 32);
        kernels->attend(&s.job);
        assert_false(any_nan(&s));
        if (round % 3 == 0) {
            s.sink[a.heads - 1] = NAN;
        } else if (round % 3 == 1) {
            ((float *)s.queries[1].data)[a.key_dim - 1] = NAN;
        } else {
            const wr_kv_run *run = &s.runs[1][a.recent_runs - 1];
            size_t size = wr_kv_row_bytes(a.type, a.value_dim);
            float x[512];
            fill_normal(x, a.value_dim, 1, 1);
            x[a.value_dim / 2] = NAN;
            uint8_t *row = (uint8_t *)s.pages.data + (run->page - (uint8_t *)s.pages.data);
            row += s.job.recent.value_offset + size * (size_t)(run->first + run->count - 1);
            kernels->kv_write(a.type, row, x, a.value_dim);
        }
        kernels->attend(&s.job);
        assert_true(any_nan(&s));
        scene_free(&s);
    }
}
FOR_EACH_LEVEL(attend_hides_no_nan)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attend_is_near_double),
        cmocka_unit_test(attend_sees_its_runs_only),
        cmocka_unit_test(attend_reads_as_kv_read),
        cmocka_unit_test(attend_of_a_group_is_its_heads),
        cmocka_unit_test(attend_survives_extremes),
        cmocka_unit_test(attend_hides_no_nan),
    };
    return cmocka_run_group_tests_name("attend", tests, NULL, NULL);
}
