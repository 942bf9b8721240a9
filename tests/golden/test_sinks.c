/*
 * Logits of every sink term and position scheme under every policy, against those of an independent
 * float64 implementation that keeps unrotated keys and places them anew at every step
 * (tools/reference/sink_logits.py): with f32 pages within 1e-4 of their size, at every CPU level,
 * in chunks and token by token; with f16 and q8_0 pages within 5e-3 and 5e-2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "support/random_model.h"

enum { COLUMNS = 24, TOKENS = 48 };

static json_t *figures;
static int32_t tokens[TOKENS];

static int64_t number(const json_t *object, const char *key) {
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static void model_of(const json_t *at, const char *path) {
    weir_error error;
    const json_t *shape = json_object_get(figures, "shape");
    const weir_random_model options = {.format = "F32",
                                       .seed = (uint64_t)number(shape, "seed"),
                                       .layers = number(shape, "layers"),
                                       .width = number(shape, "width"),
                                       .heads = number(shape, "heads"),
                                       .kv_heads = number(shape, "kv_heads"),
                                       .head_dim = number(shape, "head_dim"),
                                       .feed_forward = number(shape, "feed_forward"),
                                       .vocabulary = number(shape, "vocabulary"),
                                       .context = number(shape, "context"),
                                       .sink = word(at, "sink"),
                                       .positions = word(at, "positions")};
    must(weir_make_random(path, &options, &error), &error);
}

/* |ours - theirs| / |theirs| over the columns that are kept. */
static double distance(const float *logits, const json_t *at) {
    const json_t *columns = json_object_get(figures, "columns"),
                 *wanted = json_object_get(at, "logits");
    double off = 0, size = 0;
    assert_int_equal(json_array_size(wanted), COLUMNS);
    for (size_t i = 0; i < COLUMNS; i++) {
        double theirs = json_real_value(json_array_get(wanted, i));
        double ours = (double)logits[json_integer_value(json_array_get(columns, i))];
        off += (ours - theirs) * (ours - theirs);
        size += theirs * theirs;
    }
    return sqrt(off / size);
}

static weir_stream_options options_of(const json_t *at) {
    static const char *const policies[] = {
        [WEIR_DENSE] = "dense",
        [WEIR_WINDOW] = "window",
        [WEIR_RECOMPUTE] = "recompute",
        [WEIR_SINK] = "sink",
    };
    size_t policy = 0;
    while (strcmp(policies[policy], word(at, "policy")) != 0) policy++;
    return stream_options((weir_policy)policy, number(at, "sinks"), number(at, "window"));
}

static double run(const weir_model *model, const json_t *at, weir_cache_type type, int64_t chunk) {
    weir_error error;
    const float *logits = NULL;
    weir_stream_options options = options_of(at);
    options.cache_type = type;
    options.chunk = chunk;
    options.threads = chunk > 1 ? 2 : 1;
    weir_stream *stream = stream_make(model, &options);
    must(weir_stream_feed_tokens(stream, tokens, number(at, "index") + 1, &error), &error);
    must(weir_stream_logits(stream, &logits, &error), &error);
    double off = distance(logits, at);
    weir_stream_destroy(stream);
    return off;
}

static void check(const weir_model *model, const json_t *at, const char *level, double *worst) {
    static const struct {
        weir_cache_type type;
        double most;
    } pages[] = {{WEIR_CACHE_F32, 1e-4}, {WEIR_CACHE_F16, 0.005}, {WEIR_CACHE_Q8_0, 0.05}};
    for (size_t i = 0; i < 3; i++)
        for (int64_t chunk = 1; chunk <= 16; chunk += 15) {
            double off = run(model, at, pages[i].type, chunk);
            worst[i] = fmax(worst[i], off);
            if (!(off <= pages[i].most))
                fail_msg("%s, %s, %s, %s, token %lld, pages %d, chunk %lld: off by %g", level,
                         word(at, "sink"), word(at, "positions"), word(at, "policy"),
                         (long long)number(at, "index"), (int)pages[i].type, (long long)chunk, off);
        }
}

static void logits_are_those_of_the_reference(void **state) {
    (void)state;
    const json_t *cases = json_object_get(figures, "cases");
    char path[64];
    double worst[3] = {0};
    assert_int_equal(json_array_size(cases), 3 * 2 * 4 * 4);
    snprintf(path, sizeof path, "/tmp/weir-sinks-%d.gguf", (int)getpid());
    for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
        const char *made = NULL, *placed = NULL; /* of the model that is open */
        weir_model *model = NULL;
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const json_t *at = json_array_get(cases, i);
            if (made == NULL || strcmp(made, word(at, "sink")) != 0 ||
                strcmp(placed, word(at, "positions")) != 0) {
                weir_error error;
                weir_model_options options = {.cpu = wr_cpu_name((wr_cpu_level)level)};
                weir_model_close(model);
                model_of(at, path);
                made = word(at, "sink");
                placed = word(at, "positions");
                must(weir_model_open(path, &options, &model, &error), &error);
                assert_string_equal(weir_model_get_info(model)->sink_term, made);
                assert_string_equal(weir_model_get_info(model)->positions, placed);
            }
            check(model, at, wr_cpu_name((wr_cpu_level)level), worst);
        }
        weir_model_close(model);
    }
    unlink(path);
    print_message("             at most: f32 %.1e, f16 %.1e, q8_0 %.1e\n", worst[0], worst[1],
                  worst[2]);
}

static int set_up(void **state) {
    (void)state;
    char path[512];
    const char *root = getenv("WEIR_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/sinks.json", root != NULL ? root : ".");
    figures = json_load_file(path, 0, NULL);
    const json_t *fed = json_object_get(figures, "tokens");
    if (json_array_size(fed) != TOKENS) return -1;
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(fed, i));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(figures);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_those_of_the_reference)};
    return cmocka_run_group_tests_name("sink terms and positions", tests, set_up, tear_down);
}
