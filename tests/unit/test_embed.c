/* Vectors of texts: the same bits in any company, pooling, what does not fit, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "support/failing_allocator.h"
#include "support/random_model.h"

enum { WIDTH = 16, TEXTS = 40 };

static const char *const families[] = {"bert", "nomic-bert", "llama", "gpt2"};

static weir_random_model shape_of(const char *family) {
    weir_random_model shape = random_tiny();
    shape.family = family;
    if (strstr(family, "bert")) shape.kv_heads = shape.heads;
    return shape;
}

static weir_embedder *embedder_with(const weir_model *model, weir_embed_options options) {
    weir_error error;
    weir_embedder *embedder;
    must(weir_embedder_create(model, &options, &embedder, &error), &error);
    return embedder;
}

/* Texts of 1 to about 200 bytes. */
static void make_texts(char *room, weir_embed_text texts[TEXTS]) {
    for (int i = 0; i < TEXTS; i++) {
        size_t size = 1 + (size_t)(i * 37 % 190);
        texts[i] = (weir_embed_text){room, size};
        for (size_t j = 0; j < size; j++)
            *room++ = (char)(j % 5 == 4 ? ' ' : 'a' + (int)(j * 7 + (size_t)i * 3) % 26);
    }
}

static void bits_do_not_depend_on_company(void **state) {
    (void)state;
    static char room[TEXTS * 200];
    static float all[TEXTS * WIDTH], other[TEXTS * WIDTH], one[WIDTH];
    weir_embed_text texts[TEXTS];
    make_texts(room, texts);
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        random_model made;
        weir_error error;
        weir_random_model shape = shape_of(families[f]);
        random_model_open(&made, &shape, NULL);
        weir_embedder *e = embedder_with(made.model, (weir_embed_options){.threads = 2});
        must(weir_embed_texts(e, texts, TEXTS, all, &error), &error);
        for (int i = 0; i < TEXTS; i++) {
            must(weir_embed_texts(e, &texts[i], 1, one, &error), &error);
            assert_memory_equal(one, all + i * WIDTH, sizeof one);
        }
        weir_embedder_destroy(e);
        for (int threads = 1; threads <= 3; threads += 2) {
            e = embedder_with(made.model, (weir_embed_options){.threads = threads, .tokens = 200});
            must(weir_embed_texts(e, texts, TEXTS, other, &error), &error);
            assert_memory_equal(all, other, sizeof all);
            weir_embedder_destroy(e);
        }
        random_model_close(&made);
    }
}

/* An encoder's token sees those behind it; a decoder's does not. */
static void encoders_look_both_ways(void **state) {
    (void)state;
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        random_model made;
        weir_error error;
        weir_random_model shape = shape_of(families[f]);
        static float a[9 * WIDTH], b[9 * WIDTH];
        int32_t tokens[9];
        random_model_open(&made, &shape, NULL);
        weir_embedder *e = embedder_with(made.model, weir_embed_options_default());
        random_tokens(tokens, 0, 9);
        must(weir_embed_tokens(e, tokens, 9, NULL, a, &error), &error);
        tokens[8] = tokens[8] == 10 ? 11 : 10;
        must(weir_embed_tokens(e, tokens, 9, NULL, b, &error), &error);
        bool same = memcmp(a, b, 8 * WIDTH * sizeof *a) == 0;
        assert_int_equal(same, !weir_model_get_info(made.model)->encoder);
        assert_int_equal(weir_model_get_info(made.model)->encoder,
                         strstr(families[f], "bert") != NULL);
        weir_embedder_destroy(e);
        random_model_close(&made);
    }
}

static void check_pooled(weir_embedder *e, const int32_t *tokens, weir_pooling how, bool raw) {
    static float states[9 * WIDTH], vector[WIDTH];
    weir_error error;
    double want[WIDTH] = {0}, squares = 0;
    must(weir_embed_tokens(e, tokens, 9, vector, states, &error), &error);
    for (int j = 0; j < WIDTH; j++) {
        for (int i = 0; i < 9 && how == WEIR_POOLING_MEAN; i++)
            want[j] += (double)states[i * WIDTH + j] / 9;
        if (how == WEIR_POOLING_CLS) want[j] = (double)states[j];
        if (how == WEIR_POOLING_LAST) want[j] = (double)states[8 * WIDTH + j];
        squares += want[j] * want[j];
    }
    for (int j = 0; j < WIDTH; j++)
        assert_true(fabs(want[j] / (raw ? 1 : sqrt(squares)) - (double)vector[j]) < 1e-5);
}

static void pooling(void **state) {
    (void)state;
    static const weir_pooling ways[] = {WEIR_POOLING_MEAN, WEIR_POOLING_CLS, WEIR_POOLING_LAST};
    random_model made;
    weir_random_model shape = shape_of("bert");
    int32_t tokens[9];
    random_model_open(&made, &shape, NULL);
    random_tokens(tokens, 0, 9);
    for (int i = 0; i < 6; i++) {
        weir_embed_options options = {.pooling = ways[i / 2], .raw = i % 2};
        weir_embedder *e = embedder_with(made.model, options);
        check_pooled(e, tokens, ways[i / 2], options.raw);
        weir_embedder_destroy(e);
    }
    random_model_close(&made);
}

static void what_does_not_fit(void **state) {
    (void)state;
    random_model made;
    weir_error error;
    weir_embedder *e = NULL;
    weir_random_model shape = shape_of("bert");
    random_model_open(&made, &shape, NULL);
    weir_embed_options options = {.tokens = RANDOM_CONTEXT + 1};
    assert_refused(weir_embedder_create(made.model, &options, &e, &error), WEIR_LIMIT, &error,
                   "longer than the");
    options = (weir_embed_options){.pooling = (weir_pooling)9};
    assert_refused(weir_embedder_create(made.model, &options, &e, &error), WEIR_USAGE, &error,
                   "unknown pooling");
    e = embedder_with(made.model, (weir_embed_options){.tokens = 5});
    weir_embed_text texts[] = {{"ab", 2}, {"a long text of many words", 25}};
    float vectors[2 * WIDTH], cut[WIDTH];
    int32_t tokens[] = {5, 6, 7, 8, 9, 10};
    assert_refused(weir_embed_texts(e, texts, 2, vectors, &error), WEIR_LIMIT, &error,
                   "text 1 has ");
    assert_refused(weir_embed_tokens(e, tokens, 6, cut, NULL, &error), WEIR_LIMIT, &error,
                   "1 to 5 can be read");
    tokens[1] = RANDOM_VOCABULARY;
    assert_refused(weir_embed_tokens(e, tokens, 3, cut, NULL, &error), WEIR_USAGE, &error,
                   "outside the vocabulary");
    weir_embedder_destroy(e);
    e = embedder_with(made.model, (weir_embed_options){.tokens = 5, .truncate = true});
    must(weir_embed_texts(e, texts, 2, vectors, &error), &error);
    weir_embedder_destroy(e);
    weir_stream_options stream = stream_options(WEIR_SINK, 4, 30);
    weir_stream *none;
    assert_refused(weir_stream_create(made.model, &stream, &none, &error), WEIR_UNSUPPORTED, &error,
                   "weir embed");
    random_model_close(&made);
}

/* An embedder takes what was planned; its threads come besides. */
static void planned_to_the_byte(void **state) {
    (void)state;
    static const char *const kinds[] = {"llama", "bert", "nomic-bert"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        random_model made;
        weir_error error;
        weir_embedder *e = NULL;
        failing_allocator memory;
        int64_t bytes = 0;
        weir_random_model shape = shape_of(kinds[i]);
        random_model_open(&made, &shape, NULL);
        failing_allocator_init(&memory);
        weir_embed_options options = {.threads = 1, .allocator = &memory.allocator};
        must(weir_embedder_plan(made.model, &options, &bytes, &error), &error);
        assert_int_equal(memory.requests, 0);
        must(weir_embedder_create(made.model, &options, &e, &error), &error);
        assert_in_range(memory.live_bytes - (size_t)bytes, 0, 1024);
        weir_embedder_destroy(e);
        options.tokens = RANDOM_CONTEXT + 1;
        assert_refused(weir_embedder_plan(made.model, &options, &bytes, &error), WEIR_LIMIT, &error,
                       "longer than the");
        random_model_close(&made);
    }
}

/* The n-th allocation fails, and nothing leaks; once made, an embedder takes no more. */
static void memory_runs_out(void **state) {
    (void)state;
    random_model made;
    weir_random_model shape = shape_of("nomic-bert");
    random_model_open(&made, &shape, NULL);
    weir_embed_text text = {"the river runs on", 17};
    float vector[WIDTH];
    for (int64_t n = 1;; n++) {
        failing_allocator memory;
        weir_error error;
        weir_embedder *e = NULL;
        failing_allocator_init(&memory);
        memory.fail_at = n;
        weir_embed_options options = {.threads = 2, .allocator = &memory.allocator};
        weir_status status = weir_embedder_create(made.model, &options, &e, &error);
        memory.fail_all = true;
        if (status == WEIR_OK) {
            must(weir_embed_texts(e, &text, 1, vector, &error), &error);
            weir_embedder_destroy(e);
            assert_true(failing_allocator_clean(&memory) && n >= 4);
            break;
        }
        assert_int_equal(status, WEIR_MEMORY);
        assert_null(e);
        assert_true(failing_allocator_clean(&memory));
    }
    random_model_close(&made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_company),
        cmocka_unit_test(encoders_look_both_ways),
        cmocka_unit_test(pooling),
        cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(planned_to_the_byte),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests_name("embeddings", tests, NULL, NULL);
}
