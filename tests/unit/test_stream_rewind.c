/*
 * Rewind: every index that a stream can reach gives the bits of a stream that was fed no more than
 * that; every other one is refused, and the stream goes on as if nobody had asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/random_model.h"

enum { MOST = 6000 };

static uint64_t expected[MOST + 1]; /* bits of the logits after `index` tokens */

static weir_status note_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    (void)context;
    expected[index + 1] = logits_sum(logits, n_vocab);
    return WEIR_OK;
}

/* With a message border before every 7th token. */
static void feed_range(weir_stream *stream, int64_t first, int64_t end, weir_logits_fn fn) {
    weir_error error;
    while (first < end) {
        int32_t tokens[7];
        int64_t next = (first / 7 + 1) * 7;
        next = next < end ? next : end;
        if (first % 7 == 0) must(weir_stream_border(stream, &error), &error);
        random_tokens(tokens, first, next - first);
        must(weir_stream_feed_scored(stream, tokens, next - first, fn, NULL, &error), &error);
        first = next;
    }
}

static void expect(const weir_stream_options *options, int64_t count) {
    weir_stream *stream = stream_make(tiny.model, options);
    feed_range(stream, 0, count, note_row);
    weir_stream_destroy(stream);
}

static void check_bits(weir_stream *stream, int64_t index) {
    assert_int_equal(stream_state(stream).index, index);
    if (index > 0 && stream_bits(stream) != expected[index])
        fail_msg("other bits after %lld tokens", (long long)index);
}

/* Rewind to `index`, read or not, and go on. */
static void check_reached(const weir_stream_options *options, int64_t count, int64_t index,
                          bool read) {
    weir_error error;
    weir_stream *stream = stream_make(tiny.model, options);
    feed_range(stream, 0, count, NULL);
    must(weir_stream_rewind(stream, index, &error), &error);
    assert_int_equal(stream_state(stream).index, index);
    if (read) check_bits(stream, index);
    int64_t border = index / 7 * 7 + 7; /* the border before `index` stands again */
    border = border < count + 30 ? border : count + 30;
    stream_feed(stream, index, border);
    feed_range(stream, border, count + 30, NULL);
    check_bits(stream, count + 30);
    weir_stream_destroy(stream);
}

static void check_refused(weir_stream *stream, int64_t index, weir_status status,
                          const char *remedy) {
    weir_error error;
    weir_stream_state before = stream_state(stream);
    assert_refused(weir_stream_rewind(stream, index, &error), status, &error, remedy);
    weir_stream_state after = stream_state(stream);
    assert_memory_equal(&before, &after, sizeof before);
}

static void check_every(weir_stream_options options, int64_t count) {
    expect(&options, count + 30);
    weir_stream *stream = stream_make(tiny.model, &options);
    feed_range(stream, 0, count, NULL);
    weir_stream_state now = stream_state(stream);
    for (int64_t index = 0; index <= count; index++) {
        if (index >= now.reachable || index <= now.sinks) {
            bool border = index == now.reachable || index == now.sinks;
            check_reached(&options, count, index, index % 2 == 0);
            if (border) check_reached(&options, count, index, index % 2 != 0);
        } else {
            check_refused(stream, index, WEIR_EVICTED, "cannot rewind");
        }
    }
    check_refused(stream, -1, WEIR_USAGE, "-1");
    check_refused(stream, count + 1, WEIR_USAGE, "cannot rewind");
    check_bits(stream, count);
    weir_stream_destroy(stream);
}

static void test_every_index(void **state) {
    (void)state;
    for (int type = WEIR_CACHE_F16; type <= WEIR_CACHE_Q8_0; type++) {
        weir_stream_options list[] = {
            stream_options(WEIR_SINK, 4, 40),    stream_options(WEIR_SINK, 40, 33),
            stream_options(WEIR_SINK, 5, 44),    stream_options(WEIR_WINDOW, -1, 33),
            stream_options(WEIR_DENSE, -1, 180), stream_options(WEIR_RECOMPUTE, -1, 20)};
        list[2].eviction = WEIR_EVICT_MESSAGE;
        for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
            list[i].cache_type = (weir_cache_type)type;
            check_every(list[i], 145);
        }
    }
}

/* Far on, when the history of tokens has been overwritten many times, step by step backwards. */
static void check_steps(weir_stream_options options, int64_t count, int64_t step) {
    weir_error error;
    expect(&options, count + 30);
    weir_stream *stream = stream_make(tiny.model, &options);
    feed_range(stream, 0, count, NULL);
    int64_t at = count;
    while (at > 0) {
        at = at > step ? at - step : 0;
        weir_status status = weir_stream_rewind(stream, at, &error);
        assert_true(status == WEIR_OK || status == WEIR_EVICTED);
        if (at >= stream_state(stream).reachable) assert_int_equal(status, WEIR_OK);
        if (status == WEIR_OK) check_bits(stream, at);
    }
    feed_range(stream, 0, count, NULL);
    check_bits(stream, count);
    must(weir_stream_rewind(stream, count - 1, &error), &error);
    check_bits(stream, count - 1);
    weir_stream_destroy(stream);
}

static void test_steps_back(void **state) {
    (void)state;
    check_steps(stream_options(WEIR_SINK, 4, 60), 300, 1);
    check_steps(stream_options(WEIR_WINDOW, -1, 60), 300, 3);
    check_steps(stream_options(WEIR_DENSE, -1, 256), 226, 5);
}

static void test_steps_back_recompute(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_RECOMPUTE, -1, 12);
    options.chunk = 64;
    expect(&options, 5030);
    static const int64_t counts[] = {4330, 4318, 5000};
    for (size_t c = 0; c < 3; c++) {
        weir_error error;
        weir_stream *stream = stream_make(tiny.model, &options);
        stream_feed(stream, 0, counts[c]);
        for (int64_t at = counts[c]; at > 0; at -= at > 40 ? 37 : 1) {
            weir_status status = weir_stream_rewind(stream, at, &error);
            assert_true(status == WEIR_OK || status == WEIR_EVICTED);
            if (at >= stream_state(stream).reachable) assert_int_equal(status, WEIR_OK);
            if (status == WEIR_OK) check_bits(stream, at);
        }
        weir_stream_destroy(stream);
    }
}

/* A loaded stream knows no more tokens than the file had; rewound to its beginning, it learns anew.
 */
static void test_after_load(void **state) {
    (void)state;
    weir_error error;
    char path[64];
    weir_stream *stream;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 20);
    expect(&options, 300);
    snprintf(path, sizeof path, "/tmp/weir-rewind-%d.stream", (int)getpid());
    stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 5500);
    must(weir_stream_save(stream, path, &error), &error);
    weir_stream_destroy(stream);
    must(weir_stream_load(tiny.model, path, NULL, &stream, &error), &error);
    must(weir_stream_rewind(stream, 3, &error), &error);
    check_bits(stream, 3);
    stream_feed(stream, 3, 200);
    must(weir_stream_rewind(stream, 195, &error), &error);
    check_bits(stream, 195);
    must(weir_stream_save(stream, path, &error), &error);
    weir_stream_destroy(stream);
    must(weir_stream_load(tiny.model, path, NULL, &stream, &error), &error);
    check_bits(stream, 195);
    must(weir_stream_rewind(stream, 192, &error), &error);
    check_bits(stream, 192);
    weir_stream_destroy(stream);
    unlink(path);
}

/* Penalties look back over the tokens that stand before, however wide their window becomes. */
static void test_penalties(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_sampling rules = weir_sampling_default();
    rules.temperature = 0;
    rules.penalty_window = 8;
    weir_stream *stream = stream_make(tiny.model, &options);
    must(weir_stream_set_sampling(stream, &rules, &error), &error);
    stream_feed(stream, 0, 120);
    must(weir_stream_rewind(stream, 110, &error), &error);
    weir_stream *fresh = stream_make(tiny.model, &options);
    stream_feed(fresh, 0, 110);
    rules.penalty_window = 100;
    rules.frequency_penalty = 3;
    rules.presence_penalty = 2;
    must(weir_stream_set_sampling(stream, &rules, &error), &error);
    must(weir_stream_set_sampling(fresh, &rules, &error), &error);
    for (int i = 0; i < 60; i++) {
        int32_t a, b;
        must(weir_stream_next(stream, &a, &error), &error);
        must(weir_stream_next(fresh, &b, &error), &error);
        assert_int_equal(a, b);
    }
    weir_stream_destroy(stream);
    weir_stream_destroy(fresh);
}

/* A cancelled reading after a rewind leaves the stream where it was. */
static void test_cancelled_reading(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    expect(&options, 140);
    for (int read_again = 0; read_again < 2; read_again++) {
        const float *logits;
        weir_stream *stream = stream_make(tiny.model, &options);
        stream_feed(stream, 0, 120);
        must(weir_stream_rewind(stream, 115, &error), &error);
        weir_stream_cancel(stream);
        weir_status status = weir_stream_logits(stream, &logits, &error);
        assert_true(status == WEIR_OK || status == WEIR_CANCELLED);
        assert_int_equal(stream_state(stream).index, 115);
        if (read_again) check_bits(stream, 115);
        int32_t tokens[25];
        random_tokens(tokens, 115, 25);
        if (status == WEIR_OK)
            assert_int_equal(weir_stream_feed_tokens(stream, tokens, 25, &error), WEIR_CANCELLED);
        assert_int_equal(stream_state(stream).index, 115);
        stream_feed(stream, 115, 140);
        check_bits(stream, 140);
        weir_stream_destroy(stream);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_index),
                                       cmocka_unit_test(test_steps_back),
                                       cmocka_unit_test(test_steps_back_recompute),
                                       cmocka_unit_test(test_after_load),
                                       cmocka_unit_test(test_penalties),
                                       cmocka_unit_test(test_cancelled_reading)};
    return cmocka_run_group_tests_name("stream rewind", tests, tiny_set_up, tiny_tear_down);
}
