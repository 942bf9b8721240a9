/*
 * Save and load: the rest of a stream has the bits that it would have had, whatever was going on,
 * for every policy, page type and eviction, and with another chunk and more threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/random_model.h"

static char path[64];

static weir_stream *save_and_load(weir_stream *stream, int64_t chunk, int threads) {
    weir_error error;
    weir_stream *loaded;
    weir_stream_options options = weir_stream_options_default();
    options.chunk = chunk;
    options.threads = threads;
    must(weir_stream_save(stream, path, &error), &error);
    weir_stream_destroy(stream);
    must(weir_stream_load(tiny.model, path, &options, &loaded, &error), &error);
    return loaded;
}

static weir_status add_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    uint64_t *sum = context;
    *sum = wr_checksum(*sum, &index, sizeof index);
    *sum = wr_checksum(*sum, logits, (size_t)n_vocab * sizeof *logits);
    return WEIR_OK;
}

/* A border before every 11th token. */
static void feed_scored(weir_stream *stream, int64_t first, int64_t end, uint64_t *sum) {
    weir_error error;
    for (int64_t i = first; i < end; i++) {
        int32_t token = random_token(i);
        if (i % 11 == 0) must(weir_stream_border(stream, &error), &error);
        must(weir_stream_feed_scored(stream, &token, 1, add_row, sum, &error), &error);
    }
}

static int make_options(weir_stream_options *list) {
    int count = 0;
    list[count++] = stream_options(WEIR_SINK, 4, 60);
    list[count++] = stream_options(WEIR_SINK, 37, 50);
    list[count] = stream_options(WEIR_SINK, 4, 60);
    list[count++].eviction = WEIR_EVICT_MESSAGE;
    list[count++] = stream_options(WEIR_WINDOW, -1, 40);
    list[count] = stream_options(WEIR_WINDOW, -1, 40);
    list[count++].eviction = WEIR_EVICT_MESSAGE;
    list[count++] = stream_options(WEIR_DENSE, -1, 256);
    list[count++] = stream_options(WEIR_RECOMPUTE, -1, 20);
    return count;
}

/* --- Bits ------------------------------------------------------------------------------------- */

static void check_continues(weir_stream_options options) {
    static const int64_t moments[] = {0, 1, 4, 33, 64, 121, 200};
    uint64_t whole = 1;
    weir_stream *stream = stream_make(tiny.model, &options);
    feed_scored(stream, 0, 240, &whole);
    weir_stream_destroy(stream);
    for (size_t m = 0; m < sizeof moments / sizeof moments[0]; m++)
        for (int machine = 0; machine < 2; machine++) {
            uint64_t sum = 1;
            stream = stream_make(tiny.model, &options);
            feed_scored(stream, 0, moments[m], &sum);
            weir_stream_state before = stream_state(stream);
            stream = save_and_load(stream, machine ? 3 : 70, machine ? 1 : 2);
            weir_stream_state after = stream_state(stream);
            assert_int_equal(after.index, before.index);
            assert_int_equal(after.evicted, before.evicted);
            assert_int_equal(after.sinks, before.sinks);
            assert_int_equal(after.window, before.window);
            assert_int_equal(after.oldest, before.oldest);
            feed_scored(stream, moments[m], 240, &sum);
            weir_stream_destroy(stream);
            if (sum != whole)
                fail_msg("policy %d, pages %d, saved after %lld: other bits", (int)options.policy,
                         (int)options.cache_type, (long long)moments[m]);
        }
}

static void test_continues(void **state) {
    (void)state;
    weir_stream_options list[8];
    int count = make_options(list);
    for (int i = 0; i < count; i++)
        for (int type = WEIR_CACHE_F16; type <= WEIR_CACHE_Q8_0; type++) {
            list[i].cache_type = (weir_cache_type)type;
            check_continues(list[i]);
        }
}

/* Saved, loaded and saved again every few tokens, pinned on the way: still the same. */
static void test_again_and_again(void **state) {
    (void)state;
    weir_error error;
    uint64_t whole = 1;
    uint64_t sum = 1;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    feed_scored(stream, 0, 40, &whole);
    must(weir_stream_pin(stream, 35, &error), &error);
    feed_scored(stream, 40, 200, &whole);
    weir_stream_destroy(stream);
    stream = stream_make(tiny.model, &options);
    for (int64_t i = 0; i < 200; i++) {
        if (i == 40) must(weir_stream_pin(stream, 35, &error), &error);
        if (i % 3 == 0) stream = save_and_load(stream, 1 + i % 20, 1);
        feed_scored(stream, i, i + 1, &sum);
    }
    assert_int_equal(stream_state(stream).sinks, 35);
    assert_int_equal(stream_state(stream).window, 29);
    weir_stream_destroy(stream);
    assert_true(sum == whole);
}

/* The same stream saved twice is the same file; loading and saving changes nothing but the room for
 * tokens (the chunk is kept equal here). */
static size_t read_file(uint8_t *out, size_t capacity) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(out, 1, capacity, file);
    fclose(file);
    assert_true(size < capacity);
    return size;
}

static void test_same_bytes(void **state) {
    (void)state;
    static uint8_t first[1 << 18], second[1 << 18];
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 150);
    must(weir_stream_save(stream, path, &error), &error);
    size_t size = read_file(first, sizeof first);
    stream = save_and_load(stream, 16, 1);
    must(weir_stream_save(stream, path, &error), &error);
    assert_int_equal(read_file(second, sizeof second), size);
    assert_memory_equal(first, second, size);
    weir_stream_destroy(stream);
}

/* --- Text and sampling ------------------------------------------------------------------------ */

typedef struct collected {
    char text[65536];
    size_t size;
} collected;

static bool collect(void *context, int32_t token, const char *text, size_t size) {
    collected *out = context;
    (void)token;
    assert_true(out->size + size <= sizeof out->text);
    memcpy(out->text + out->size, text, size);
    out->size += size;
    return true;
}

/* Words in pieces, with a break in the middle of a word and of a character; then generated text
 * with penalties, a bias and a seed, with a break after every few tokens. */
static void run_text(bool breaks, collected *out) {
    weir_error error;
    static const char *const pieces[] = {"the wor",  "ld is a gr\xC3", "\xA9",
                                         "at place", " to b",          "e in, and"};
    weir_logit_bias bias[] = {{5, 1.5f}, {300, -2.0f}};
    weir_sampling rules = weir_sampling_default();
    rules.temperature = 1.5f;
    rules.top_k = 0;
    rules.seed = 42;
    rules.frequency_penalty = 0.7f;
    rules.repetition_penalty = 1.2f;
    rules.penalty_window = 30;
    rules.bias = bias;
    rules.bias_count = 2;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    must(weir_stream_set_sampling(stream, &rules, &error), &error);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        must(weir_stream_feed_text(stream, pieces[i], strlen(pieces[i]), &error), &error);
        if (!breaks) continue;
        size_t held = stream_state(stream).held;
        stream = save_and_load(stream, 5, 1);
        assert_int_equal(stream_state(stream).held, held);
    }
    weir_generate generate = {.tokens = 7};
    out->size = 0;
    for (int i = 0; i < 60; i++) {
        must(weir_stream_generate(stream, &generate, collect, out, NULL, &error), &error);
        if (breaks) stream = save_and_load(stream, 16, 1);
    }
    weir_stream_destroy(stream);
}

static void test_text_survives(void **state) {
    (void)state;
    static collected whole, broken;
    run_text(false, &whole);
    run_text(true, &broken);
    assert_true(whole.size > 200);
    assert_int_equal(whole.size, broken.size);
    assert_memory_equal(whole.text, broken.text, whole.size);
}

/* --- What does not go ------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    weir_error error;
    random_model other;
    weir_stream *loaded = (weir_stream *)path;
    weir_random_model shape = random_tiny();
    shape.seed = 2;
    random_model_open(&other, &shape, NULL);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 100);
    must(weir_stream_save(stream, path, &error), &error);
    assert_refused(weir_stream_load(other.model, path, NULL, &loaded, &error), WEIR_MISMATCH,
                   &error, "load it with the model that made it");
    assert_null(loaded);
    assert_refused(weir_stream_load(tiny.model, "/nowhere/at/all", NULL, &loaded, &error), WEIR_IO,
                   &error, "no such file");
    assert_refused(weir_stream_load(tiny.model, "/tmp", NULL, &loaded, &error), WEIR_IO, &error,
                   "folder");
    assert_refused(weir_stream_load(tiny.model, tiny.path, NULL, &loaded, &error), WEIR_DAMAGED,
                   &error, "not a saved stream");
    assert_refused(weir_stream_save(stream, "/nowhere/at/all", &error), WEIR_IO, &error,
                   "/nowhere/at/all");
    assert_refused(weir_stream_save(stream, "/tmp", &error), WEIR_IO, &error, "folder");
    assert_refused(weir_stream_save(stream, "/dev/full", &error), WEIR_IO, &error, "regular");
    options.chunk = -1;
    assert_refused(weir_stream_load(tiny.model, path, &options, &loaded, &error), WEIR_USAGE,
                   &error, "chunk");
    options.chunk = 0;
    options.threads = 300;
    assert_refused(weir_stream_load(tiny.model, path, &options, &loaded, &error), WEIR_USAGE,
                   &error, "threads");
    uint64_t bits = stream_bits(stream);
    must(weir_stream_load(tiny.model, path, NULL, &loaded, &error), &error);
    assert_true(stream_bits(loaded) == bits); /* a save that failed left the old file alone */
    weir_stream_destroy(loaded);
    weir_stream_destroy(stream);
    random_model_close(&other);
}

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    random_model_open(&tiny, &shape, NULL);
    snprintf(path, sizeof path, "/tmp/weir-saved-%d.stream", (int)getpid());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    random_model_close(&tiny);
    unlink(path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_continues), cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_text_survives),
        cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests_name("saved streams", tests, set_up, tear_down);
}
