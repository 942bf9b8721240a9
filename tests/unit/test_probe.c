/*
 * The probe against what other observers see of the same tokens: probabilities times values are
 * what attention gave, the entries of a map are exactly the keys that the policy shows, and every
 * mean is that of a plain count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "probe/probe_private.h"
#include "support/random_model.h"

enum { MOST = 128, LAYERS = 2 };

static random_model model;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static weir_probe *probe_make(const weir_stream_options *stream,
                              const weir_probe_options *options) {
    weir_error error;
    weir_probe *probe = NULL;
    must(weir_probe_create(model.model, stream, options, &probe, &error), &error);
    return probe;
}

/* Tokens [first, first + count) of the common text as one sample. */
static void add(weir_probe *probe, int64_t first, int64_t count) {
    weir_error error;
    int32_t tokens[MOST];
    random_tokens(tokens, first, count);
    must(weir_probe_add(probe, tokens, count, &error), &error);
}

/* --- A second look at the same tokens --------------------------------------------------------- */

typedef struct rows {
    int64_t columns;
    float *data; /* [LAYERS, MOST, columns] */
} rows;

typedef struct look {
    rows value, attention, hidden;
} look;

static void keep(rows *to, int layer, int64_t first, const float *data, int64_t count,
                 int64_t columns) {
    if (to->data == NULL) to->data = calloc((size_t)(LAYERS * MOST * columns), sizeof *to->data);
    to->columns = columns;
    memcpy(to->data + (layer * MOST + first) * columns, data,
           (size_t)(count * columns) * sizeof *data);
}

static void see(void *context, weir_point point, int layer, int64_t first, const float *data,
                int64_t count, int64_t columns) {
    look *at = context;
    if (point == WEIR_POINT_VALUE) keep(&at->value, layer, first, data, count, columns);
    if (point == WEIR_POINT_ATTENTION) keep(&at->attention, layer, first, data, count, columns);
    if (point == WEIR_POINT_LAYER) keep(&at->hidden, layer, first, data, count, columns);
}

static const float *row_of(const rows *from, int layer, int64_t t) {
    return from->data + (layer * MOST + t) * from->columns;
}

static void look_at(look *at, const weir_stream_options *options, int64_t first, int64_t count) {
    *at = (look){0};
    weir_stream *stream = stream_make(model.model, options);
    weir_stream_observe(stream, see, at);
    stream_feed(stream, first, first + count);
    weir_stream_destroy(stream);
}

static void look_away(look *at) {
    free(at->value.data);
    free(at->attention.data);
    free(at->hidden.data);
}

/* --- One sample ------------------------------------------------------------------------------- */

typedef struct retention {
    int64_t sinks, window, layer_window;
} retention;

/* Whether query t sees key j: STREAMING.md, "Policies". */
static bool visible(const retention *keeps, int64_t t, int64_t j) {
    int64_t oldest = most(keeps->sinks, t - keeps->window + 1);
    int64_t position = t - (oldest - keeps->sinks);
    int64_t key = j < keeps->sinks ? j : j - (oldest - keeps->sinks);
    bool near = keeps->layer_window == 0 || position - key < keeps->layer_window;
    return j <= t && near && (j < keeps->sinks || j >= oldest);
}

static void check_row(const weir_probe *probe, const look *at, const retention *keeps, int layer,
                      int head, int64_t t) {
    const weir_model_info *info = weir_model_get_info(model.model);
    int64_t dim = info->value_dim, kv = head / (info->heads / info->kv_heads);
    double sum = 0, given[64] = {0};
    for (int64_t j = 0; j < MOST; j++) {
        double p = weir_probe_cell(probe, layer, head, t, j);
        if (isnan(p) == visible(keeps, t, j))
            fail_msg("%lld + %lld: layer %d, head %d, query %lld and key %lld",
                     (long long)keeps->sinks, (long long)keeps->window, layer, head, (long long)t,
                     (long long)j);
        if (isnan(p)) continue;
        assert_true(p >= 0 && p <= 1);
        sum += p;
        for (int64_t i = 0; i < dim; i++)
            given[i] += p * (double)row_of(&at->value, layer, j)[kv * dim + i];
    }
    double term = weir_probe_cell(probe, layer, head, t, WEIR_PROBE_SINK_TERM);
    assert_int_equal(isnan(term), !probe->sink_term);
    if (probe->sink_term) assert_true(term > 0 && term < 1);
    assert_true(fabs(sum + (probe->sink_term ? term : 0) - 1) < 1e-12);
    for (int64_t i = 0; i < dim; i++) {
        double seen = (double)row_of(&at->attention, layer, t)[head * dim + i];
        if (fabs(given[i] - seen) > 2e-6 * (1 + fabs(seen)))
            fail_msg("layer %d, head %d, query %lld: %.9g is not %.9g", layer, head, (long long)t,
                     given[i], seen);
    }
}

static void check_sample(weir_stream_options options, const retention *keeps, int64_t count) {
    weir_probe_options wanted = {.length = MOST, .maps = true};
    weir_probe *probe = probe_make(&options, &wanted);
    look at;
    look_at(&at, &options, 0, count);
    add(probe, 0, count);
    const weir_model_info *info = weir_model_get_info(model.model);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int head = 0; head < info->heads; head++)
            for (int64_t t = 0; t < count; t++) check_row(probe, &at, keeps, layer, head, t);
    assert_true(isnan(weir_probe_cell(probe, 0, 0, count, 0)) || count == MOST);
    look_away(&at);
    weir_probe_destroy(probe);
}

static const retention kept[] = {{0, MOST, 0}, {0, 20, 0}, {4, 20, 0}, {0, 33, 0},
                                 {40, 12, 0},  {3, 1, 0},  {9, 64, 0}, {1, 127, 0}};

static weir_stream_options options_for(size_t i) {
    weir_stream_options options = stream_options(i == 0   ? WEIR_DENSE
                                                 : i == 1 ? WEIR_WINDOW
                                                          : WEIR_SINK,
                                                 kept[i].sinks, kept[i].window);
    return options;
}

static void test_probabilities_times_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        weir_stream_options options = options_for(i);
        for (int64_t chunk = 1; chunk <= 128; chunk = chunk * 4 + 3) {
            options.chunk = chunk;
            check_sample(options, &kept[i], MOST);
        }
        check_sample(options, &kept[i], 37);
    }
    const retention window = {0, 40, 0};
    check_sample(stream_options(WEIR_RECOMPUTE, -1, 128), &kept[0], MOST);
    check_sample(stream_options(WEIR_WINDOW, -1, 40), &window, 41);
}

static void test_layer_window(void **state) {
    (void)state;
    random_model whole = model;
    weir_random_model shape = weir_random_model_default();
    shape.layer_window = 14;
    random_model_open(&model, &shape, NULL);
    const retention lists[] = {{0, MOST, 14}, {4, 20, 14}, {20, 10, 14}};
    check_sample(stream_options(WEIR_DENSE, -1, MOST), &lists[0], MOST);
    check_sample(stream_options(WEIR_SINK, 4, 20), &lists[1], MOST);
    check_sample(stream_options(WEIR_SINK, 20, 10), &lists[2], MOST);
    random_model_close(&model);
    model = whole;
}

/* The mean over the queries of each cell of the sink term is what is told of it. */
static void check_term(int64_t from) {
    weir_stream_options options = stream_options(WEIR_SINK, 4, 20);
    weir_probe_options wanted = {.length = 50, .from = from, .maps = true};
    weir_probe *probe = probe_make(&options, &wanted);
    double sums[LAYERS][4] = {{0}}, all = 0, least = 1;
    int above = 0;
    add(probe, 0, 50);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int head = 0; head < 4; head++) {
            for (int64_t t = from; t < 50; t++)
                sums[layer][head] += weir_probe_cell(probe, layer, head, t, WEIR_PROBE_SINK_TERM) /
                                     (double)(50 - from);
            double told = weir_probe_sink_term(probe, layer, head);
            assert_true(fabs(told - sums[layer][head]) < 1e-12);
            all += told / (LAYERS * 4);
            least = fmin(least, told);
        }
    for (int head = 0; head < 4; head++) above += sums[0][head] > least + 1e-9;
    assert_true(fabs(weir_probe_sink_term(probe, -1, -1) - all) < 1e-12);
    assert_true(weir_probe_sink_term_rate(probe, 0, least + 1e-9) == above / 4.0);
    assert_true(weir_probe_sink_term_rate(probe, -1, least + 1e-9) == 7 / 8.0);
    assert_true(weir_probe_sink_term_rate(probe, -1, 0) == 1);
    weir_probe_destroy(probe);
}

/* Sinks inside the softmax take their part of every row, and biases are part of the scores. */
static void test_sink_terms(void **state) {
    (void)state;
    random_model whole = model;
    static const struct {
        const char *sink, *positions;
        int64_t layer_window;
    } kinds[] = {
        {"zero", "rope", 0}, {"logit", "rope", 0}, {"none", "alibi", 14}, {"logit", "alibi", 0}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        weir_random_model shape = weir_random_model_default();
        shape.sink = kinds[k].sink;
        shape.positions = kinds[k].positions;
        shape.layer_window = kinds[k].layer_window;
        random_model_open(&model, &shape, NULL);
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
            retention keeps = kept[i];
            keeps.layer_window = kinds[k].layer_window;
            check_sample(options_for(i), &keeps, MOST);
        }
        if (strcmp(kinds[k].sink, "none") != 0) {
            check_term(0);
            check_term(30);
        }
        random_model_close(&model);
    }
    model = whole;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 20);
    weir_probe *probe = probe_make(&options, &(weir_probe_options){.length = 20, .maps = true});
    add(probe, 0, 20);
    assert_true(isnan(weir_probe_sink_term(probe, -1, -1)));
    assert_true(isnan(weir_probe_sink_term_rate(probe, 0, 0.3)));
    weir_probe_destroy(probe);
}

/* --- Columns and kinds ------------------------------------------------------------------------ */

/* The position in the cache of every key that is seen, and nothing else. */
static void test_positions(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        weir_stream_options options = options_for(i);
        weir_probe_options wanted = {.length = 100, .maps = true};
        weir_probe *by_index = probe_make(&options, &wanted);
        wanted.columns = WEIR_PROBE_POSITION;
        weir_probe *by_position = probe_make(&options, &wanted);
        add(by_index, 0, 100);
        add(by_position, 0, 100);
        weir_probe_shape shape;
        weir_probe_get_shape(by_position, &shape);
        int64_t slots = kept[i].sinks + kept[i].window;
        assert_int_equal(shape.columns, slots < 100 ? slots : 100);
        for (int64_t t = 0; t < 100; t++) {
            int64_t seen = 0;
            for (int64_t j = 0; j < 100; j++) {
                if (!visible(&kept[i], t, j)) continue;
                /* position = how many keys are in front */
                assert_true(weir_probe_cell(by_position, 1, 2, t, seen) ==
                            weir_probe_cell(by_index, 1, 2, t, j));
                seen++;
            }
            for (; seen < shape.columns; seen++)
                assert_true(isnan(weir_probe_cell(by_position, 1, 2, t, seen)));
        }
        weir_probe_destroy(by_index);
        weir_probe_destroy(by_position);
    }
}

static void test_scores(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 20);
    weir_probe_options wanted = {.length = 60, .maps = true};
    weir_probe *p = probe_make(&options, &wanted);
    wanted.kind = WEIR_PROBE_SCORE;
    weir_probe *s = probe_make(&options, &wanted);
    add(p, 0, 60);
    add(s, 0, 60);
    for (int64_t t = 0; t < 60; t++) {
        double sum = 0;
        for (int64_t j = 0; j <= t; j++) {
            double score = weir_probe_cell(s, 1, 3, t, j);
            sum += isnan(score) ? 0 : exp(score);
        }
        for (int64_t j = 0; j <= t; j++) {
            double score = weir_probe_cell(s, 1, 3, t, j);
            if (isnan(score))
                assert_true(isnan(weir_probe_cell(p, 1, 3, t, j)));
            else
                assert_true(fabs(exp(score) / sum - weir_probe_cell(p, 1, 3, t, j)) < 1e-12);
        }
    }
    weir_probe_destroy(p);
    weir_probe_destroy(s);
}

static void test_selection(void **state) {
    (void)state;
    const int32_t layers[] = {1}, heads[] = {3, 0, 3};
    weir_stream_options options = stream_options(WEIR_SINK, 4, 20);
    weir_probe_options wanted = {.length = 40, .maps = true};
    weir_probe *all = probe_make(&options, &wanted);
    wanted.layers = layers;
    wanted.layer_count = 1;
    wanted.heads = heads;
    wanted.head_count = 3;
    weir_probe *some = probe_make(&options, &wanted);
    wanted.maps = false;
    weir_probe *none = probe_make(&options, &wanted);
    weir_probe *probes[] = {all, some, none};
    double first[3][WEIR_PROBE_FIRST];
    for (int i = 0; i < 3; i++) {
        add(probes[i], 5, 40);
        weir_probe_first(probes[i], WEIR_PROBE_PROBABILITY, -1, -1, first[i]);
        assert_memory_equal(first[i], first[0], sizeof first[0]);
    }
    for (int32_t layer = 0; layer < 2; layer++)
        for (int32_t head = 0; head < 4; head++)
            for (int64_t cell = 0; cell < 40 * 40; cell++) {
                double a = weir_probe_cell(all, layer, head, cell / 40, cell % 40);
                double b = weir_probe_cell(some, layer, head, cell / 40, cell % 40);
                bool is = layer == 1 && (head == 0 || head == 3);
                assert_true(is ? a == b || (isnan(a) && isnan(b)) : isnan(b));
                assert_true(isnan(weir_probe_cell(none, layer, head, cell / 40, cell % 40)));
            }
    for (int i = 0; i < 3; i++) weir_probe_destroy(probes[i]);
}

/* --- Means ------------------------------------------------------------------------------------ */

static bool near(double a, double b) {
    return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * (1 + fabs(b));
}

/* The mean over samples and queries of the entries for key k, from maps of one sample each. */
static double naive_first(weir_probe *const *ones, int count, int32_t layer, int32_t head,
                          int64_t from, int64_t k) {
    double sum = 0;
    int64_t seen = 0;
    for (int i = 0; i < count; i++)
        for (int64_t t = from; t < MOST; t++) {
            double p = weir_probe_cell(ones[i], layer, head, t, k);
            sum += isnan(p) ? 0 : p;
            seen += !isnan(p);
        }
    return seen > 0 ? sum / (double)seen : (double)NAN;
}

static void check_firsts(const weir_probe *all, weir_probe *const *ones, int count, int64_t from) {
    double total[WEIR_PROBE_FIRST] = {0}, above[WEIR_PROBE_FIRST] = {0}, out[WEIR_PROBE_FIRST];
    for (int32_t layer = 0; layer < 2; layer++)
        for (int32_t head = 0; head < 4; head++) {
            weir_probe_first(all, WEIR_PROBE_PROBABILITY, layer, head, out);
            for (int64_t k = 0; k < WEIR_PROBE_FIRST; k++) {
                double mean = naive_first(ones, count, layer, head, from, k);
                assert_true(near(out[k], mean));
                total[k] += mean / 8;
                above[k] += mean > 0.04 ? 1.0 / 8 : 0;
            }
        }
    weir_probe_first(all, WEIR_PROBE_PROBABILITY, -1, -1, out);
    for (int k = 0; k < WEIR_PROBE_FIRST; k++) assert_true(near(out[k], total[k]));
    weir_probe_sink_rate(all, -1, 0.04, out);
    for (int k = 0; k < WEIR_PROBE_FIRST; k++)
        assert_true(near(out[k], isnan(total[k]) ? (double)NAN : above[k]));
}

/* Three samples of different lengths, the second one twice. */
static void check_means(weir_stream_options options, int64_t from) {
    static const int64_t firsts[] = {0, 300, 300, 57}, counts[] = {MOST, 70, 70, 5};
    weir_probe_options wanted = {.length = MOST, .maps = true, .from = from};
    weir_probe *ones[4], *all = probe_make(&options, &wanted);
    for (int i = 0; i < 4; i++) {
        ones[i] = probe_make(&options, &wanted);
        add(ones[i], firsts[i], counts[i]);
        add(all, firsts[i], counts[i]);
    }
    for (int64_t t = 0; t < MOST; t++)
        for (int64_t j = 0; j < MOST; j++) {
            double sum = 0, seen = 0;
            for (int i = 0; i < 4; i++) {
                double p = weir_probe_cell(ones[i], 1, 1, t, j);
                sum += isnan(p) ? 0 : p;
                seen += isnan(p) ? 0 : 1;
            }
            assert_true(near(weir_probe_cell(all, 1, 1, t, j), sum / seen));
        }
    check_firsts(all, ones, 4, from);
    weir_probe_shape shape;
    weir_probe_get_shape(all, &shape);
    assert_int_equal(shape.samples, 4);
    for (int i = 0; i < 4; i++) weir_probe_destroy(ones[i]);
    weir_probe_destroy(all);
}

static void test_means(void **state) {
    (void)state;
    check_means(stream_options(WEIR_SINK, 4, 20), 0);
    check_means(stream_options(WEIR_SINK, 4, 20), 50);
    check_means(stream_options(WEIR_WINDOW, -1, 20), 0);
    check_means(stream_options(WEIR_WINDOW, -1, 20), 50); /* no query sees a first token */
    check_means(stream_options(WEIR_DENSE, -1, MOST), 3);
    check_means(stream_options(WEIR_RECOMPUTE, -1, MOST), 0);
}

static double norm_of(const float *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void test_norms(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 20);
    weir_probe_options wanted = {.length = 60};
    weir_probe *probe = probe_make(&options, &wanted);
    look a, b;
    look_at(&a, &options, 0, 60);
    look_at(&b, &options, 500, 60);
    add(probe, 0, 60);
    add(probe, 500, 60);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int64_t t = 0; t < 60; t++) {
            weir_probe_norms norms;
            double value = 0, hidden = 0, largest = 0;
            const look *looks[] = {&a, &b};
            for (int i = 0; i < 2; i++) {
                const float *v = row_of(&looks[i]->value, layer, t);
                const float *x = row_of(&looks[i]->hidden, layer, t);
                value += (norm_of(v, 16) + norm_of(v + 16, 16)) / 4;
                hidden += norm_of(x, 64) / 2;
                double peak = 0;
                for (int k = 0; k < 64; k++) peak = fmax(peak, fabs((double)x[k]));
                largest += peak / 2;
            }
            weir_probe_get_norms(probe, layer, t, &norms);
            assert_true(near(norms.value, value) && near(norms.hidden, hidden));
            assert_true(near(norms.largest, largest));
        }
    look_away(&a);
    look_away(&b);
    weir_probe_destroy(probe);
}

/* --- Sink rate on made-up scores
 * ------------------------------------------------------------------ */

/* A query with three keys whose probabilities are wanted; head h has `p[h]` on key 0. */
static void show_query(weir_probe *probe, int layer, int64_t t, const double p[4]) {
    float scores[4 * 3];
    weir_scores seen = {.layer = layer,
                        .index = t,
                        .scores = scores,
                        .heads = 4,
                        .keys = 3,
                        .pinned_first = 0,
                        .pinned = 2,
                        .recent_first = t};
    for (int head = 0; head < 4; head++) {
        scores[head * 3] = (float)log(p[head]);
        scores[head * 3 + 1] = scores[head * 3 + 2] = (float)log((1 - p[head]) / 2);
    }
    wr_probe_take_scores(probe, &seen);
}

static void test_sink_rate(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, 2, 20);
    weir_probe_options wanted = {.length = 64, .maps = true, .from = 30};
    weir_probe *probe = probe_make(&options, &wanted);
    static const double even[4] = {0.2, 0.2, 0.2, 0.2};
    show_query(probe, 0, 29, even); /* before `from` */
    show_query(probe, 0, 30, (const double[]){0.9, 0.25, 0.3, 0.1});
    show_query(probe, 0, 31, (const double[]){0.7, 0.34, 0.52, 0.1});
    show_query(probe, 1, 30, even);
    double rate[WEIR_PROBE_FIRST], first[WEIR_PROBE_FIRST];
    weir_probe_sink_rate(probe, 0, 0.3, rate); /* 0.8, 0.295, 0.41, 0.1 */
    assert_true(rate[0] == 0.5 && rate[1] == 0.5 && isnan(rate[2]) && isnan(rate[7]));
    weir_probe_sink_rate(probe, 0, 0.29, rate);
    assert_true(rate[0] == 0.75);
    weir_probe_sink_rate(probe, 1, 0.3, rate);
    assert_true(rate[0] == 0 && rate[1] == 1);
    weir_probe_sink_rate(probe, -1, 0.3, rate);
    assert_true(rate[0] == 0.25 && rate[1] == 0.75);
    weir_probe_first(probe, WEIR_PROBE_PROBABILITY, 0, 0, first);
    assert_true(fabs(first[0] - 0.8) < 1e-6 && fabs(first[1] - 0.1) < 1e-6 && isnan(first[2]));
    weir_probe_first(probe, WEIR_PROBE_PROBABILITY, 0, -1, first);
    assert_true(fabs(first[0] - (0.8 + 0.295 + 0.41 + 0.1) / 4) < 1e-6);
    weir_probe_first(probe, WEIR_PROBE_SCORE, 0, 0, first);
    assert_true(fabs(first[0] - (log(0.9) + log(0.7)) / 2) < 1e-6);
    weir_probe_even(probe, 0, first);
    assert_true(fabs(first[0] - 1.0 / 3) < 1e-15 && isnan(first[2]));
    assert_true(isnan(weir_probe_cell(probe, 0, 0, 30, 2)));
    assert_true(fabs(weir_probe_cell(probe, 0, 1, 30, 30) - 0.375) < 1e-6);
    weir_probe_destroy(probe);
}

/* --- Failure
 * -------------------------------------------------------------------------------------- */

static void refused(weir_stream_options stream, weir_probe_options options, weir_status status,
                    const char *remedy) {
    weir_error error;
    weir_probe *probe = (weir_probe *)&error;
    assert_refused(weir_probe_create(model.model, &stream, &options, &probe, &error), status,
                   &error, remedy);
    assert_null(probe);
}

static void test_refusals(void **state) {
    (void)state;
    const int32_t two[] = {0, 2}, negative[] = {-1}, four[] = {4};
    weir_stream_options sink = stream_options(WEIR_SINK, 4, 20);
    weir_probe_options options = {.length = 16, .maps = true, .layers = two, .layer_count = 2};
    refused(sink, options, WEIR_USAGE, "there is no layer 2: the model has 2 of them, 0 to 1");
    options.layers = negative;
    options.layer_count = 1;
    refused(sink, options, WEIR_USAGE, "there is no layer -1");
    options = (weir_probe_options){.length = 16, .heads = four, .head_count = 1};
    refused(sink, options, WEIR_USAGE, "there is no head 4");
    refused(sink, (weir_probe_options){.length = 0}, WEIR_USAGE, "0 tokens");
    refused(sink, (weir_probe_options){.length = 16, .from = -1}, WEIR_USAGE, "cannot be probed");
    refused(sink, (weir_probe_options){.length = 100000, .maps = true}, WEIR_LIMIT, "fewer layers");
    refused(stream_options(WEIR_RECOMPUTE, -1, 20), (weir_probe_options){.length = 21}, WEIR_USAGE,
            "window policy");
    refused(stream_options(WEIR_SINK, 4, 1000), (weir_probe_options){.length = 16}, WEIR_LIMIT,
            "252"); /* the stream's own */
    weir_error error;
    int32_t tokens[21] = {5, RANDOM_VOCABULARY};
    weir_probe *probe = probe_make(&sink, &(weir_probe_options){.length = 20});
    assert_refused(weir_probe_add(probe, tokens, 0, &error), WEIR_USAGE, &error, "0 tokens");
    assert_refused(weir_probe_add(probe, tokens, 21, &error), WEIR_USAGE, &error, "1 to 20");
    assert_refused(weir_probe_add(probe, tokens, 2, &error), WEIR_USAGE, &error, "vocabulary");
    weir_stream_cancel(weir_probe_get_stream(probe));
    assert_int_equal(weir_probe_add(probe, tokens, 1, &error), WEIR_CANCELLED);
    weir_probe_shape shape;
    weir_probe_get_shape(probe, &shape);
    assert_int_equal(shape.samples, 0);
    must(weir_probe_add(probe, tokens, 1, &error), &error);
    weir_probe_destroy(probe);
    weir_probe_destroy(NULL);
}

static void test_not_a_number(void **state) {
    (void)state;
    weir_stream_options sink = stream_options(WEIR_SINK, 4, 20);
    weir_probe *probe = probe_make(&sink, &(weir_probe_options){.length = 20, .maps = true});
    float scores[4 * 1] = {0, NAN, 0, 0};
    weir_scores seen = {.scores = scores, .heads = 4, .keys = 1};
    wr_probe_take_scores(probe, &seen);
    assert_true(probe->broken);
    assert_true(isnan(weir_probe_cell(probe, 0, 0, 0, 0))); /* not counted */
    add(probe, 0, 3);
    assert_true(weir_probe_cell(probe, 0, 0, 0, 0) == 1);
    weir_probe_destroy(probe);
}

static void test_memory(void **state) {
    (void)state;
    weir_error error;
    failing_allocator memory;
    failing_allocator_init(&memory);
    weir_stream_options stream = stream_options(WEIR_SINK, 4, 20);
    weir_probe_options options = {.length = 60, .maps = true, .allocator = &memory.allocator};
    stream.allocator = &memory.allocator;
    weir_probe *probe = NULL;
    weir_status status = WEIR_MEMORY;
    for (int64_t n = 1; status != WEIR_OK; n++) {
        memory.fail_at = n;
        status = weir_probe_create(model.model, &stream, &options, &probe, &error);
        if (status != WEIR_OK) {
            assert_int_equal(status, WEIR_MEMORY);
            assert_sentence(&error);
            assert_null(probe);
            assert_true(failing_allocator_clean(&memory));
        }
        assert_true(n < 1000);
    }
    memory.fail_at = 0;
    memory.fail_all = true;
    add(probe, 0, 60);
    add(probe, 9, 60);
    weir_probe_destroy(probe);
    assert_true(failing_allocator_clean(&memory));
}

static int open_model(void **state) {
    (void)state;
    weir_random_model shape = weir_random_model_default();
    random_model_open(&model, &shape, NULL);
    return 0;
}

static int close_model(void **state) {
    (void)state;
    random_model_close(&model);
    return 0;
}

/* An encoder's query sees its whole sample, and the last token's column is weir_probe_last. */
static void test_encoder(void **state) {
    (void)state;
    random_model made;
    weir_error error;
    weir_random_model shape = random_tiny();
    shape.family = "bert";
    shape.kv_heads = shape.heads;
    random_model_open(&made, &shape, NULL);
    weir_stream_options stream = weir_stream_options_default();
    weir_probe_options options = {.length = 12, .maps = true};
    weir_probe *probe;
    int32_t tokens[12];
    must(weir_probe_create(made.model, &stream, &options, &probe, &error), &error);
    for (int sample = 0; sample < 3; sample++) {
        random_tokens(tokens, 12 * sample, 12);
        must(weir_probe_add(probe, tokens, 12, &error), &error);
    }
    double all = 0;
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < shape.heads; head++) {
            double last = 0;
            for (int64_t row = 0; row < 12; row++) {
                double sum = 0;
                for (int64_t key = 0; key < 12; key++)
                    sum += weir_probe_cell(probe, layer, head, row, key);
                assert_true(fabs(sum - 1) < 1e-9);
                last += weir_probe_cell(probe, layer, head, row, 11) / 12;
            }
            assert_true(fabs(last - weir_probe_last(probe, layer, head)) < 1e-9);
            all += last / (LAYERS * (double)shape.heads);
        }
    assert_true(fabs(all - weir_probe_last(probe, -1, -1)) < 1e-9);
    weir_probe_norms norms;
    weir_probe_get_norms(probe, 1, 11, &norms);
    assert_true(norms.value > 0 && norms.hidden > 0);
    weir_probe_destroy(probe);
    random_model_close(&made);
    /* A stream's last token is seen by itself alone. */
    stream = stream_options(WEIR_DENSE, 0, 12);
    probe = probe_make(&stream, &options);
    add(probe, 0, 12);
    assert_true(isnan(weir_probe_last(probe, -1, -1)));
    weir_probe_destroy(probe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probabilities_times_values),
        cmocka_unit_test(test_layer_window),
        cmocka_unit_test(test_sink_terms),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_sink_rate),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_encoder),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
