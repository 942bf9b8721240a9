/*
 * Pins, forks and marks. A pin makes a stream that always had those sinks; a fork disturbs nobody
 * and is disturbed by nobody; a mark is a moment that stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "support/random_model.h"

/* Every kind of stream, for what must hold under all of them. */
static int make_options(weir_stream_options *list) {
    int count = 0;
    for (int type = WEIR_CACHE_F16; type <= WEIR_CACHE_Q8_0; type++) {
        int first = count;
        list[count++] = stream_options(WEIR_SINK, 4, 60);
        list[count++] = stream_options(WEIR_SINK, 37, 40);
        list[count] = stream_options(WEIR_SINK, 4, 60);
        list[count++].eviction = WEIR_EVICT_MESSAGE;
        list[count++] = stream_options(WEIR_WINDOW, -1, 40);
        list[count++] = stream_options(WEIR_DENSE, -1, 256);
        list[count++] = stream_options(WEIR_RECOMPUTE, -1, 20);
        for (int i = first; i < count; i++) list[i].cache_type = (weir_cache_type)type;
    }
    return count;
}

/* --- Pin -------------------------------------------------------------------------------------- */

static double distance(weir_stream *a, weir_stream *b) {
    weir_error error;
    double worst = 0.0;
    const float *x, *y;
    must(weir_stream_logits(a, &x, &error), &error);
    must(weir_stream_logits(b, &y, &error), &error);
    for (int i = 0; i < RANDOM_VOCABULARY; i++) worst = fmax(worst, fabs((double)(x[i] - y[i])));
    return worst;
}

/* The same bits where no token stood between the old S and the new one. Otherwise the tokens that
 * stood there were computed with sums cut at the old S (pinned and recent keys are summed apart):
 * equal but for rounding; keys rounded to f16 carry that on. */
static const double rounding[] = {[WEIR_CACHE_F16] = 2e-2, [WEIR_CACHE_F32] = 1e-4};

/* S + W = 64; `fed` tokens stand when the first `pinned` are pinned. */
static void check_pin(weir_cache_type type, int64_t sinks, int64_t fed, int64_t pinned) {
    weir_error error;
    double tolerance = type == WEIR_CACHE_Q8_0 ? 0.0 : rounding[type];
    weir_stream_options before = stream_options(WEIR_SINK, sinks, 64 - sinks);
    weir_stream_options after = stream_options(WEIR_SINK, pinned, 64 - pinned);
    before.cache_type = after.cache_type = type;
    weir_stream *stream = stream_make(tiny.model, &before);
    weir_stream *always = stream_make(tiny.model, &after);
    stream_feed(stream, 0, fed);
    stream_feed(always, 0, fed);
    must(weir_stream_pin(stream, pinned, &error), &error);
    weir_stream_state now = stream_state(stream);
    assert_int_equal(now.sinks, pinned);
    assert_int_equal(now.window, 64 - pinned);
    assert_int_equal(now.index, fed);
    for (int64_t at = fed; at < 500; at += 49) {
        stream_feed(stream, at, at + 49);
        stream_feed(always, at, at + 49);
        if (fed <= sinks ? stream_bits(stream) != stream_bits(always)
                         : distance(stream, always) > tolerance)
            fail_msg("pages %d: %lld pinned after %lld tokens: other logits at %lld", (int)type,
                     (long long)pinned, (long long)fed, (long long)at);
    }
    weir_stream_destroy(stream);
    weir_stream_destroy(always);
}

static void test_pin_is_as_always(void **state) {
    (void)state;
    static const int64_t cases[][3] = {{4, 0, 20},   {4, 3, 40},   {4, 10, 10}, {0, 50, 33},
                                       {4, 63, 32},  {33, 40, 40}, {4, 20, 63}, {32, 64, 50},
                                       {40, 40, 45}, {4, 5, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_pin(WEIR_CACHE_F32, cases[i][0], cases[i][1], cases[i][2]);
        check_pin(WEIR_CACHE_F16, cases[i][0], cases[i][1], cases[i][2]);
    }
    /* q8_0 rows that stood in recent pages were rounded: only what comes before them is equal */
    check_pin(WEIR_CACHE_Q8_0, 4, 0, 20);
    check_pin(WEIR_CACHE_Q8_0, 4, 4, 40);
}

static void test_pin_refusals(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 64);
    assert_refused(weir_stream_pin(stream, -1, &error), WEIR_USAGE, &error, "cannot pin -1");
    assert_refused(weir_stream_pin(stream, 64, &error), WEIR_LIMIT, &error, "larger cache");
    assert_refused(weir_stream_pin(stream, INT64_MAX, &error), WEIR_LIMIT, &error, "cache");
    must(weir_stream_pin(stream, 2, &error), &error);
    assert_int_equal(stream_state(stream).sinks, 4);
    stream_feed(stream, 64, 65);
    assert_refused(weir_stream_pin(stream, 10, &error), WEIR_EVICTED, &error, "forgotten");
    assert_int_equal(stream_state(stream).sinks, 4);
    assert_int_equal(stream_state(stream).index, 65);
    weir_stream_destroy(stream);
    weir_stream_options others[] = {stream_options(WEIR_WINDOW, -1, 60),
                                    stream_options(WEIR_DENSE, -1, 60),
                                    stream_options(WEIR_RECOMPUTE, -1, 60)};
    for (size_t i = 0; i < 3; i++) {
        stream = stream_make(tiny.model, &others[i]);
        assert_refused(weir_stream_pin(stream, 3, &error), WEIR_USAGE, &error, "sink policy");
        weir_stream_destroy(stream);
    }
}

/* --- Fork ------------------------------------------------------------------------------------- */

static uint64_t bits_of_run(const weir_stream_options *options, int64_t first, int64_t fork,
                            int64_t second, int64_t count) {
    weir_stream *stream = stream_make(tiny.model, options);
    stream_feed(stream, first, first + fork);
    stream_feed(stream, second, second + count);
    uint64_t bits = stream_bits(stream);
    weir_stream_destroy(stream);
    return bits;
}

static void check_fork(const weir_stream_options *options, int64_t fed, bool child_first) {
    weir_error error;
    weir_stream *child, *grandchild;
    failing_allocator memory;
    weir_stream_options counted = *options;
    failing_allocator_init(&memory);
    counted.allocator = &memory.allocator;
    uint64_t parent_bits = bits_of_run(options, 0, fed, 5000, 120);
    uint64_t child_bits = bits_of_run(options, 0, fed, 7000, 110);
    weir_stream *stream = stream_make(tiny.model, &counted);
    stream_feed(stream, 0, fed);
    must(weir_stream_fork(stream, &child, &error), &error);
    must(weir_stream_fork(child, &grandchild, &error), &error);
    assert_true(fed == 0 || stream_bits(child) == stream_bits(stream));
    stream_feed(grandchild, 9000, 9100);
    for (int64_t i = 0; i < 110; i += 10) { /* side by side */
        stream_feed(stream, 5000 + i, 5010 + i);
        stream_feed(child, 7000 + i, 7010 + i);
    }
    if (child_first) {
        assert_true(stream_bits(child) == child_bits);
        weir_stream_destroy(child);
        weir_stream_destroy(grandchild);
        stream_feed(stream, 5110, 5120);
        assert_true(stream_bits(stream) == parent_bits);
        weir_stream_destroy(stream);
    } else {
        stream_feed(stream, 5110, 5120);
        assert_true(stream_bits(stream) == parent_bits);
        weir_stream_destroy(stream);
        assert_true(stream_bits(child) == child_bits);
        weir_stream_destroy(grandchild);
        weir_stream_destroy(child);
    }
    assert_true(failing_allocator_clean(&memory));
}

static void test_fork(void **state) {
    (void)state;
    static const int64_t moments[] = {0, 3, 35, 61, 130};
    weir_stream_options list[24];
    int count = make_options(list);
    for (int i = 0; i < count; i++)
        for (size_t m = 0; m < 5; m++) check_fork(&list[i], moments[m], (i + (int)m) % 2 == 0);
}

/* After the fork no request for memory can starve the child, nor the parent. */
static void test_fork_is_reserved(void **state) {
    (void)state;
    weir_stream_options list[24];
    int count = make_options(list);
    for (int i = 0; i < count; i++) {
        weir_error error;
        weir_stream *child;
        failing_allocator memory;
        failing_allocator_init(&memory);
        list[i].allocator = &memory.allocator;
        weir_stream *stream = stream_make(tiny.model, &list[i]);
        stream_feed(stream, 0, 30);
        must(weir_stream_fork(stream, &child, &error), &error);
        memory.fail_all = true;
        stream_feed(child, 500, 650);
        stream_feed(stream, 30, 200);
        stream_bits(child);
        stream_bits(stream);
        assert_int_equal(memory.failures, 0);
        weir_stream_destroy(stream);
        weir_stream_destroy(child);
        assert_true(failing_allocator_clean(&memory));
    }
}

static void test_thousand_forks(void **state) {
    (void)state;
    enum { FORKS = 1000 };
    static weir_stream *children[FORKS];
    weir_error error;
    failing_allocator memory;
    failing_allocator_init(&memory);
    weir_stream_options options = stream_options(WEIR_SINK, 224, 32);
    options.allocator = &memory.allocator;
    options.chunk = 1;
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 224);
    must(weir_stream_fork(stream, &children[0], &error), &error);
    size_t before = memory.live_bytes;
    must(weir_stream_fork(stream, &children[1], &error), &error);
    size_t each = memory.live_bytes - before;
    for (int i = 2; i < FORKS; i++) must(weir_stream_fork(stream, &children[i], &error), &error);
    for (int i = 0; i < FORKS; i += 37) stream_feed(children[i], 1000 + i, 1010 + i);
    assert_int_equal(memory.live_bytes, before + (FORKS - 1) * each);
    weir_plan plan;
    must(weir_stream_plan(tiny.model, &options, &plan, &error), &error);
    int64_t pinned = 224 / 32 * 2 * 32 * 2 * 8 * 4; /* pages, layers, rows, keys and values, f32 */
    assert_true((int64_t)each <= plan.reserved_bytes - pinned);
    weir_stream_destroy(stream);
    for (int i = 0; i < FORKS; i++) weir_stream_destroy(children[i]);
    assert_true(failing_allocator_clean(&memory));
}

/* --- Marks ------------------------------------------------------------------------------------ */

static void check_mark(const weir_stream_options *options, int64_t fed, int64_t far) {
    weir_error error;
    weir_mark *mark;
    weir_stream *child;
    failing_allocator memory;
    weir_stream_options counted = *options;
    failing_allocator_init(&memory);
    counted.allocator = &memory.allocator;
    weir_stream *stream = stream_make(tiny.model, &counted);
    stream_feed(stream, 0, fed);
    weir_stream_state then = stream_state(stream);
    must(weir_stream_mark(stream, &mark, &error), &error);
    uint64_t here = fed > 0 ? stream_bits(stream) : 0;
    uint64_t later = 0;
    for (int round = 0; round < 3; round++) {
        stream_feed(stream, fed, fed + far);
        uint64_t bits = stream_bits(stream);
        assert_true(round == 0 || bits == later);
        later = bits;
        must(weir_stream_return(stream, mark, &error), &error);
        weir_stream_state now = stream_state(stream);
        assert_memory_equal(&now, &then, sizeof now);
        if (round > 0 && fed > 0) assert_true(stream_bits(stream) == here);
    }
    must(weir_stream_fork(stream, &child, &error), &error);
    weir_stream_destroy(stream); /* the mark is good in a fork, and outlives the stream */
    stream_feed(child, 9000, 9090);
    must(weir_stream_return(child, mark, &error), &error);
    weir_mark_destroy(mark);
    stream_feed(child, fed, fed + far);
    assert_true(stream_bits(child) == later);
    weir_stream_destroy(child);
    assert_true(failing_allocator_clean(&memory));
}

static void test_mark(void **state) {
    (void)state;
    weir_stream_options list[24];
    int count = make_options(list);
    for (int i = 0; i < count; i++) {
        check_mark(&list[i], 0, 90);
        check_mark(&list[i], 30, 100);
        check_mark(&list[i], 140, 110);
    }
    check_mark(&list[0], 100, 20000); /* the tokens' history has gone round many times */
}

static void test_mark_of_another(void **state) {
    (void)state;
    weir_error error;
    weir_mark *mark;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    weir_stream *other = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 50);
    stream_feed(other, 0, 20);
    uint64_t bits = stream_bits(other);
    must(weir_stream_mark(stream, &mark, &error), &error);
    assert_refused(weir_stream_return(other, mark, &error), WEIR_USAGE, &error, "another stream");
    assert_int_equal(stream_state(other).index, 20);
    assert_true(stream_bits(other) == bits);
    weir_mark_destroy(mark);
    weir_mark_destroy(NULL);
    weir_stream_destroy(stream);
    weir_stream_destroy(other);
    weir_stream_destroy(NULL);
}

/* A pin between the mark and the return is undone with the rest. */
static void test_mark_before_pin(void **state) {
    (void)state;
    weir_error error;
    weir_mark *mark;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    uint64_t unpinned = bits_of_run(&options, 0, 40, 40, 100);
    stream_feed(stream, 0, 40);
    must(weir_stream_mark(stream, &mark, &error), &error);
    for (int64_t pin = 5; pin < 60; pin += 9) {
        must(weir_stream_pin(stream, pin, &error), &error);
        stream_feed(stream, 40, 200);
        must(weir_stream_return(stream, mark, &error), &error);
        assert_int_equal(stream_state(stream).sinks, 4);
        assert_int_equal(stream_state(stream).window, 60);
    }
    stream_feed(stream, 40, 140);
    assert_true(stream_bits(stream) == unpinned);
    weir_mark_destroy(mark);
    weir_stream_destroy(stream);
}

/* --- Set-up ----------------------------------------------------------------------------------- */

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pin_is_as_always),
                                       cmocka_unit_test(test_pin_refusals),
                                       cmocka_unit_test(test_fork),
                                       cmocka_unit_test(test_fork_is_reserved),
                                       cmocka_unit_test(test_thousand_forks),
                                       cmocka_unit_test(test_mark),
                                       cmocka_unit_test(test_mark_of_another),
                                       cmocka_unit_test(test_mark_before_pin)};
    return cmocka_run_group_tests_name("pins, forks and marks", tests, tiny_set_up, tiny_tear_down);
}
