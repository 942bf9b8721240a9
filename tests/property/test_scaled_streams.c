/*
 * RoPE scaling as streams have it: an option does to the bit what the same words in the file do;
 * frequencies are constants of a stream, whatever it goes through and whoever is in its batch; the
 * context that they reach takes the place of the trained one; and every refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "support/changed_model.h"
#include "support/random_model.h"

enum { ORIGINAL = 64, PAIRS = 4, TOKENS = 300 };

/* --- One recipe, from the file and by options ---------------------------------------------------
 */

static const char *file_word;

static void put_scaling(wr_gguf_writer *writer) {
    wr_gguf_put_string(writer, "llama.rope.scaling.type", file_word);
    wr_gguf_put_float(writer, "llama.rope.scaling.factor", 4.0f);
    wr_gguf_put_int(writer, "llama.rope.scaling.original_context_length", WR_GGUF_U32, ORIGINAL);
}

static const float short_list[PAIRS] = {1.0f, 1.1f, 1.25f, 1.5f};
static const float long_list[PAIRS] = {1.0f, 2.0f, 5.5f, 9.0f};
static const extra_tensor rope_lists[] = {{"rope_factors_short.weight", short_list, PAIRS},
                                          {"rope_factors_long.weight", long_list, PAIRS},
                                          {NULL, NULL, 0}};

/* The tiny model with `word` for its scaling. */
static weir_model *scaled_model(const char *word, const extra_tensor *tensors) {
    char path[96];
    weir_error error;
    weir_model *model = NULL;
    file_word = word;
    snprintf(path, sizeof path, "/tmp/weir-scaled-%d.gguf", (int)getpid());
    changed_model(tiny.path, path, NULL, put_scaling, tensors);
    must(weir_model_open(path, NULL, &model, &error), &error);
    unlink(path);
    return model;
}

static weir_stream_options scaled(weir_rope_scaling scaling, double factor, int64_t original) {
    weir_stream_options options = stream_options(WEIR_SINK, 4, 96);
    options.rope =
        (weir_rope_options){.scaling = scaling, .factor = factor, .original_context = original};
    return options;
}

static uint64_t bits_of(const weir_model *model, const weir_stream_options *options) {
    weir_stream *stream = stream_make(model, options);
    stream_feed(stream, 0, TOKENS);
    uint64_t bits = stream_bits(stream);
    weir_stream_destroy(stream);
    return bits;
}

static void test_file_and_option(void **state) {
    (void)state;
    static const struct {
        const char *word;
        weir_rope_scaling scaling;
    } list[] = {{"linear", WEIR_ROPE_LINEAR},
                {"dynamic", WEIR_ROPE_DYNAMIC},
                {"yarn", WEIR_ROPE_YARN},
                {"llama3", WEIR_ROPE_LLAMA3}};
    const weir_stream_options plain = scaled(WEIR_ROPE_FILE, 0, 0);
    uint64_t seen[5] = {bits_of(tiny.model, &plain)};
    for (int i = 0; i < 4; i++) {
        weir_model *model = scaled_model(list[i].word, NULL);
        const weir_stream_options chosen = scaled(list[i].scaling, 4, ORIGINAL);
        const weir_stream_options none = scaled(WEIR_ROPE_NONE, 0, 512);
        assert_string_equal(weir_model_get_info(model)->rope_scaling, list[i].word);
        seen[1 + i] = bits_of(model, &plain);
        assert_int_equal(seen[1 + i], bits_of(tiny.model, &chosen));
        assert_int_equal(bits_of(model, &none), seen[0]);
        for (int j = 0; j <= i; j++) assert_int_not_equal(seen[1 + i], seen[j]);
        weir_model_close(model);
    }
}

static void test_longrope(void **state) {
    (void)state;
    weir_model *model = scaled_model("longrope", rope_lists);
    weir_stream_options small = stream_options(WEIR_SINK, 4, ORIGINAL - 4);
    weir_stream_options large = stream_options(WEIR_SINK, 4, ORIGINAL - 3);
    const uint64_t bits[] = {bits_of(model, &small), bits_of(model, &large)};
    small.rope.scaling = large.rope.scaling = WEIR_ROPE_LONGROPE;
    assert_int_equal(bits_of(model, &small), bits[0]);
    assert_int_equal(bits_of(model, &large), bits[1]);
    /* A small cache of a file whose short list stands for both knows no difference but the window.
     */
    const extra_tensor both[] = {{"rope_factors_short.weight", short_list, PAIRS},
                                 {"rope_factors_long.weight", short_list, PAIRS},
                                 {NULL, NULL, 0}};
    weir_model *alike = scaled_model("longrope", both);
    assert_int_equal(bits_of(alike, &small), bits[0]);
    assert_int_not_equal(bits_of(alike, &large), bits[1]);
    weir_model_close(alike);
    weir_model_close(model);
}

/* A cache within the original context leaves dynamic NTK as it was. */
static void test_dynamic(void **state) {
    (void)state;
    weir_stream_options within = scaled(WEIR_ROPE_DYNAMIC, 4, 100);
    weir_stream_options beyond = scaled(WEIR_ROPE_DYNAMIC, 4, 99);
    const weir_stream_options plain = scaled(WEIR_ROPE_FILE, 0, 0);
    assert_int_equal(bits_of(tiny.model, &within), bits_of(tiny.model, &plain));
    assert_int_not_equal(bits_of(tiny.model, &beyond), bits_of(tiny.model, &plain));
}

/* Divisors as Llama 3.1 files have them are those of its formula. */
static void test_llama3_tensor(void **state) {
    (void)state;
    float divisor[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        const double times = ORIGINAL * pow(10000.0, -2.0 * i / (2 * PAIRS)) / 6.283185307179586;
        const double kept = fmin(fmax((times - 1.0) / 3.0, 0.0), 1.0);
        divisor[i] = (float)(1.0 / ((1.0 - kept) / 4.0 + kept));
    }
    const extra_tensor tensors[] = {{"rope_freqs.weight", divisor, PAIRS}, {NULL, NULL, 0}};
    char path[96];
    weir_error error;
    weir_model *model = NULL;
    snprintf(path, sizeof path, "/tmp/weir-divisors-%d.gguf", (int)getpid());
    changed_model(tiny.path, path, NULL, NULL, tensors);
    must(weir_model_open(path, NULL, &model, &error), &error);
    unlink(path);
    assert_string_equal(weir_model_get_info(model)->rope_scaling, "llama3");
    const weir_stream_options plain = stream_options(WEIR_DENSE, 0, 200);
    weir_stream_options chosen = plain;
    chosen.rope = scaled(WEIR_ROPE_LLAMA3, 4, ORIGINAL).rope;
    const float *logits[2];
    weir_stream *streams[2] = {stream_make(model, &plain), stream_make(tiny.model, &chosen)};
    for (int s = 0; s < 2; s++) {
        stream_feed(streams[s], 0, 200);
        must(weir_stream_logits(streams[s], &logits[s], &error), &error);
    }
    for (int i = 0; i < RANDOM_VOCABULARY; i++) /* the file's divisors are floats */
        assert_true(fabsf(logits[0][i] - logits[1][i]) <= 1e-4f);
    for (int s = 0; s < 2; s++) weir_stream_destroy(streams[s]);
    const weir_stream_options other = scaled(WEIR_ROPE_YARN, 4, 0);
    weir_plan plan;
    assert_refused(weir_stream_plan(model, &other, &plan, &error), WEIR_USAGE, &error,
                   "--rope-context");
    weir_model_close(model);
}

/* --- Constants of a stream ----------------------------------------------------------------------
 */

static const weir_rope_options some[] = {
    {.scaling = WEIR_ROPE_FILE},
    {.scaling = WEIR_ROPE_YARN, .factor = 4},
    {.scaling = WEIR_ROPE_DYNAMIC, .factor = 2, .original_context = 50},
    {.scaling = WEIR_ROPE_LINEAR, .factor = 3},
    {.scaling = WEIR_ROPE_NONE, .base = 300}};
enum { SOME = sizeof some / sizeof some[0] };

static void test_batch(void **state) {
    (void)state;
    weir_error error;
    weir_batch *batch;
    const weir_batch_options sizes = {.rows = 64, .streams = SOME, .slots = 128, .threads = 2};
    must(weir_batch_create(tiny.model, &sizes, &batch, &error), &error);
    weir_stream *streams[SOME];
    weir_turn turns[SOME];
    int32_t tokens[TOKENS];
    random_tokens(tokens, 0, TOKENS);
    for (int s = 0; s < SOME; s++) {
        weir_stream_options options = stream_options(WEIR_SINK, 4, 96);
        options.rope = some[s];
        options.threads = 0;
        options.batch = batch;
        streams[s] = stream_make(tiny.model, &options);
        turns[s] = (weir_turn){.stream = streams[s]};
    }
    for (int at = 0; at < TOKENS; at += 12) {
        for (int s = 0; s < SOME; s++) {
            turns[s].tokens = tokens + at;
            turns[s].count = 12;
        }
        must(weir_batch_step(batch, turns, SOME, &error), &error);
        for (int s = 0; s < SOME; s++) must(turns[s].error.status, &turns[s].error);
    }
    for (int s = 0; s < SOME; s++) {
        weir_stream_options alone = stream_options(WEIR_SINK, 4, 96);
        alone.rope = some[s];
        assert_int_equal(stream_bits(streams[s]), bits_of(tiny.model, &alone));
        weir_stream_destroy(streams[s]);
    }
    weir_batch_destroy(batch);
}

/* Saved and loaded, forked, rewound: the same frequencies. */
static void test_branches(void **state) {
    (void)state;
    char path[96];
    weir_error error;
    snprintf(path, sizeof path, "/tmp/weir-scaled-%d.stream", (int)getpid());
    for (int s = 0; s < SOME; s++) {
        weir_stream *fork, *loaded;
        weir_stream_options options = stream_options(WEIR_SINK, 4, 96);
        options.rope = some[s];
        const uint64_t bits = bits_of(tiny.model, &options);
        weir_stream *stream = stream_make(tiny.model, &options);
        stream_feed(stream, 0, 200);
        must(weir_stream_fork(stream, &fork, &error), &error);
        must(weir_stream_save(stream, path, &error), &error);
        must(weir_stream_rewind(stream, 195, &error), &error);
        stream_feed(stream, 195, TOKENS);
        stream_feed(fork, 200, TOKENS);
        must(weir_stream_load(tiny.model, path, NULL, &loaded, &error), &error);
        stream_feed(loaded, 200, TOKENS);
        assert_int_equal(stream_bits(stream), bits);
        assert_int_equal(stream_bits(fork), bits);
        assert_int_equal(stream_bits(loaded), bits);
        weir_stream_destroy(stream);
        weir_stream_destroy(fork);
        weir_stream_destroy(loaded);
    }
    unlink(path);
}

/* --- Limits and refusals ------------------------------------------------------------------------
 */

static void test_context(void **state) {
    (void)state;
    weir_error error;
    weir_plan plan;
    weir_stream_options longer = weir_stream_options_default();
    longer.rope = (weir_rope_options){.scaling = WEIR_ROPE_YARN, .factor = 4};
    must(weir_stream_plan(tiny.model, &longer, &plan, &error), &error);
    assert_int_equal(plan.context, 4 * RANDOM_CONTEXT);
    assert_int_equal(plan.slots, 4 * RANDOM_CONTEXT);
    longer.cache = 4 * RANDOM_CONTEXT + 1;
    assert_refused(weir_stream_plan(tiny.model, &longer, &plan, &error), WEIR_LIMIT, &error,
                   "RoPE scaling reaches: choose a window of at most 1020");
    longer = (weir_stream_options){.policy = WEIR_DENSE, .sinks = -1, .rope = longer.rope};
    longer.context = 4 * RANDOM_CONTEXT + 1;
    assert_refused(weir_stream_plan(tiny.model, &longer, &plan, &error), WEIR_LIMIT, &error,
                   "--beyond");
    longer.context = 0;
    must(weir_stream_plan(tiny.model, &longer, &plan, &error), &error);
    assert_int_equal(plan.window, 4 * RANDOM_CONTEXT);
    weir_model *model = scaled_model("dynamic", NULL);
    longer = weir_stream_options_default();
    must(weir_stream_plan(model, &longer, &plan, &error), &error);
    assert_int_equal(plan.context, 4 * ORIGINAL);
    longer.rope.scaling = WEIR_ROPE_NONE;
    must(weir_stream_plan(model, &longer, &plan, &error), &error);
    assert_int_equal(plan.context, ORIGINAL);
    weir_model_close(model);
}

static void test_refusals(void **state) {
    (void)state;
    const struct {
        weir_rope_options rope;
        const char *remedy;
    } list[] = {
        {{.scaling = (weir_rope_scaling)7}, "unknown RoPE scaling"},
        {{.scaling = WEIR_ROPE_YARN}, "give --rope-factor"},
        {{.scaling = WEIR_ROPE_LINEAR, .factor = 0.5}, "out of range (1 to 1e6)"},
        {{.scaling = WEIR_ROPE_LINEAR, .factor = (double)NAN}, "out of range (1 to 1e6)"},
        {{.scaling = WEIR_ROPE_NONE, .base = -1}, "out of range (1 to 1e15)"},
        {{.scaling = WEIR_ROPE_NONE, .factor = 4}, "choose linear"},
        {{.factor = 4}, "choose linear"},
        {{.original_context = 4}, "choose one too"},
        {{.scaling = WEIR_ROPE_YARN, .factor = 2, .original_context = -1}, "give 1 or more"},
        {{.scaling = WEIR_ROPE_LONGROPE}, "needs lists of factors"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        weir_error error;
        weir_plan plan;
        weir_stream_options options = weir_stream_options_default();
        options.rope = list[i].rope;
        assert_refused(weir_stream_plan(tiny.model, &options, &plan, &error), WEIR_USAGE, &error,
                       list[i].remedy);
    }
    random_model biased;
    weir_random_model shape = random_tiny();
    shape.positions = "alibi";
    random_model_open(&biased, &shape, NULL);
    weir_error error;
    weir_plan plan;
    const weir_stream_options options = scaled(WEIR_ROPE_YARN, 4, 0);
    assert_refused(weir_stream_plan(biased.model, &options, &plan, &error), WEIR_USAGE, &error,
                   "no rotary positions");
    random_model_close(&biased);
}

/* What a file may have wrong. */
static void put_nonsense(wr_gguf_writer *writer) {
    wr_gguf_put_string(writer, "llama.rope.scaling.type", "mystery");
}
static void put_extrapolation(wr_gguf_writer *writer) {
    wr_gguf_put_string(writer, "llama.rope.scaling.type", "yarn");
    wr_gguf_put_float(writer, "llama.rope.scaling.yarn_ext_factor", 0.5f);
}
static void put_small_factor(wr_gguf_writer *writer) {
    wr_gguf_put_string(writer, "llama.rope.scaling.type", "yarn");
    wr_gguf_put_float(writer, "llama.rope.scaling.factor", 0.25f);
}
static void put_beta(wr_gguf_writer *writer) {
    wr_gguf_put_string(writer, "llama.rope.scaling.type", "yarn");
    wr_gguf_put_float(writer, "llama.rope.scaling.factor", 2.0f);
    wr_gguf_put_float(writer, "llama.rope.scaling.yarn_beta_slow", 64.0f);
}
static void put_longrope(wr_gguf_writer *writer) {
    wr_gguf_put_string(writer, "llama.rope.scaling.type", "longrope");
}

static void test_damaged(void **state) {
    (void)state;
    static const float zero[PAIRS] = {1.0f, 0.0f, 1.0f, 1.0f};
    const extra_tensor bad[] = {{"rope_freqs.weight", zero, PAIRS}, {NULL, NULL, 0}};
    const extra_tensor odd[] = {{"rope_freqs.weight", short_list, PAIRS - 1}, {NULL, NULL, 0}};
    const struct {
        extra_keys_fn keys;
        const extra_tensor *tensors;
        weir_status status;
        const char *words;
    } list[] = {
        {put_nonsense, NULL, WEIR_UNSUPPORTED, "\"mystery\" is not supported"},
        {put_extrapolation, NULL, WEIR_UNSUPPORTED, "yarn_ext_factor is 0.5"},
        {put_small_factor, NULL, WEIR_DAMAGED, "scaling factor of 0.25"},
        {put_beta, NULL, WEIR_DAMAGED, "beta of 32"},
        {put_longrope, NULL, WEIR_DAMAGED, "rope_factors_short.weight"},
        {put_longrope, rope_lists + 1, WEIR_DAMAGED, "rope_factors_short.weight is missing"},
        {NULL, bad, WEIR_DAMAGED, "RoPE factor 1 is 0"},
        {NULL, odd, WEIR_DAMAGED, "expected [4], the file has [3]"},
    };
    char path[96];
    snprintf(path, sizeof path, "/tmp/weir-rope-damaged-%d.gguf", (int)getpid());
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        weir_error error;
        weir_model *model;
        changed_model(tiny.path, path, NULL, list[i].keys, list[i].tensors);
        assert_refused(weir_model_open(path, NULL, &model, &error), list[i].status, &error,
                       list[i].words);
        unlink(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_and_option), cmocka_unit_test(test_longrope),
        cmocka_unit_test(test_dynamic),         cmocka_unit_test(test_llama3_tensor),
        cmocka_unit_test(test_batch),           cmocka_unit_test(test_branches),
        cmocka_unit_test(test_context),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests_name("scaled streams", tests, tiny_set_up, tiny_tear_down);
}
