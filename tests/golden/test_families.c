/*
 * Tiny models of Hugging Face's transformers, converted and run, against its own logits
 * (tools/reference/families.py): dense, and for families whose positions differ under `window` and
 * `sink`, with f32 pages within 1e-4 of their size, in one chunk and token by token. Of encoders
 * the last hidden states.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "support/random_model.h"
#include "weir/convert.h"
#include "weir/embed.h"

#define MOST 1e-4

static json_t *figures;
static char folder[512];

static int64_t number(const json_t *object, const char *key) {
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static const json_t *list(const char *key) { return json_object_get(figures, key); }

static weir_stream_options options_of(const json_t *at, int64_t chunk) {
    const char *word = json_string_value(json_object_get(at, "policy"));
    const weir_policy policy = strcmp(word, "dense") == 0    ? WEIR_DENSE
                               : strcmp(word, "window") == 0 ? WEIR_WINDOW
                                                             : WEIR_SINK;
    weir_stream_options options = stream_options(policy, number(at, "sinks"), number(at, "window"));
    options.cache_type = WEIR_CACHE_F32;
    options.chunk = chunk;
    return options;
}

/* |ours - theirs| / |theirs| over the columns that are kept. */
static double distance(const float *logits, const json_t *wanted) {
    const json_t *columns = list("columns");
    double off = 0, size = 0;
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const double theirs = json_number_value(json_array_get(wanted, i));
        const double ours = (double)logits[json_integer_value(json_array_get(columns, i))];
        off += (ours - theirs) * (ours - theirs);
        size += theirs * theirs;
    }
    return sqrt(off / size);
}

/* The largest distance over the indices whose logits are kept. */
static double run(const weir_model *model, const json_t *at, int64_t chunk) {
    weir_error error;
    const json_t *rows = json_object_get(at, "rows"), *places = list("at"), *fed = list("tokens");
    const weir_stream_options options = options_of(at, chunk);
    weir_stream *stream = stream_make(model, &options);
    double worst = 0;
    size_t next = 0;
    for (size_t i = 0; i < json_array_size(places); i++) {
        int32_t tokens[64];
        int64_t count = 0;
        const float *logits = NULL;
        while ((json_int_t)next <= json_integer_value(json_array_get(places, i)))
            tokens[count++] = (int32_t)json_integer_value(json_array_get(fed, next++));
        must(weir_stream_feed_tokens(stream, tokens, count, &error), &error);
        must(weir_stream_logits(stream, &logits, &error), &error);
        worst = fmax(worst, distance(logits, json_array_get(rows, i)));
    }
    weir_stream_destroy(stream);
    return worst;
}

static weir_model *converted(const char *name, const char *path) {
    weir_error error = {0};
    weir_model *model = NULL;
    char source[700];
    weir_convert_options options = weir_convert_options_default();
    options.out = path;
    options.type = "f32";
    options.no_vocab = true;
    snprintf(source, sizeof source, "%s/%s", folder, name);
    must(weir_convert(source, &options, NULL, &error), &error);
    must(weir_model_open(path, NULL, &model, &error), &error);
    return model;
}

/* An encoder reads all tokens at once; what is compared is their last hidden states. */
static double run_encoder(const weir_model *model, const json_t *at) {
    weir_error error;
    weir_embedder *embedder = NULL;
    const weir_embed_options options = weir_embed_options_default();
    const json_t *rows = json_object_get(at, "rows"), *places = list("at"), *fed = list("tokens");
    int32_t tokens[64];
    static float states[64 * 1024];
    const size_t count = json_array_size(fed);
    const int64_t width = weir_model_get_info(model)->width;
    double worst = 0;
    assert_true(width <= 1024);
    for (size_t i = 0; i < count; i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(fed, i));
    must(weir_embedder_create(model, &options, &embedder, &error), &error);
    must(weir_embed_tokens(embedder, tokens, (int64_t)count, NULL, states, &error), &error);
    for (size_t i = 0; i < json_array_size(places); i++) {
        const int64_t row = json_integer_value(json_array_get(places, i));
        worst = fmax(worst, distance(states + row * width, json_array_get(rows, i)));
    }
    weir_embedder_destroy(embedder);
    return worst;
}

static void check(const char *name, const json_t *cases, const char *path) {
    weir_model *model = converted(name, path);
    const bool encoder = json_is_true(json_object_get(json_array_get(cases, 0), "encoder"));
    double worst = 0;
    assert_true(json_array_size(cases) > 0);
    for (size_t i = 0; i < json_array_size(cases); i++)
        for (int64_t chunk = 1; chunk <= 16; chunk += 15) {
            const json_t *at = json_array_get(cases, i);
            const double off = encoder ? run_encoder(model, at) : run(model, at, chunk);
            worst = fmax(worst, off);
            if (!(off <= MOST))
                fail_msg("%s, %s, chunk %lld: off by %g", name,
                         json_string_value(json_object_get(at, "policy")), (long long)chunk, off);
        }
    print_message("             %s: at most %.1e\n", name, worst);
    weir_model_close(model);
}

static void logits_are_those_of_transformers(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/weir-families-%d.gguf", (int)getpid());
    const char *name;
    json_t *at;
    assert_in_range(json_object_size(list("models")), 28, 1000);
    json_object_foreach(json_object_get(figures, "models"), name, at)
        check(name, json_object_get(at, "cases"), path);
    unlink(path);
}

static int set_up(void **state) {
    (void)state;
    char path[600];
    const char *root = getenv("WEIR_ROOT");
    snprintf(folder, sizeof folder, "%s/tests/golden/families", root != NULL ? root : ".");
    snprintf(path, sizeof path, "%s.json", folder);
    figures = json_load_file(path, 0, NULL);
    return figures != NULL && json_array_size(list("tokens")) <= 64 ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(figures);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_those_of_transformers)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
