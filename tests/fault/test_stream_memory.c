/*
 * Out of memory, everywhere: the n-th request of every call that may ask for memory fails, for
 * every n. The call says so, nothing leaks, and the stream goes on with the bits that it would have
 * had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/random_model.h"

static char path[64];

/* --- Opening and creating --------------------------------------------------------------------- */

static void test_model_open(void **state) {
    (void)state;
    int64_t n = 0;
    weir_status status;
    do {
        weir_error error = {.message = ""};
        failing_allocator memory;
        weir_model *model = (weir_model *)&memory;
        failing_allocator_init(&memory);
        memory.fail_at = ++n;
        weir_model_options options = {.allocator = &memory.allocator};
        status = weir_model_open(tiny.path, &options, &model, &error);
        if (status == WEIR_OK) {
            weir_model_close(model);
        } else {
            assert_refused(status, WEIR_MEMORY, &error, "memory");
            assert_null(model);
        }
        assert_true(failing_allocator_clean(&memory));
    } while (status != WEIR_OK);
    assert_in_range(n, 4, 100);
}

static void test_create(void **state) {
    (void)state;
    weir_stream_options list[] = {stream_options(WEIR_SINK, 40, 60),
                                  stream_options(WEIR_RECOMPUTE, -1, 60)};
    for (size_t i = 0; i < 2; i++) {
        int64_t n = 0;
        weir_status status;
        list[i].threads = 3;
        do {
            weir_error error = {.message = ""};
            failing_allocator memory;
            weir_stream *stream = (weir_stream *)&memory;
            failing_allocator_init(&memory);
            memory.fail_at = ++n;
            list[i].allocator = &memory.allocator;
            status = weir_stream_create(tiny.model, &list[i], &stream, &error);
            if (status == WEIR_OK) {
                stream_feed(stream, 0, 10);
                weir_stream_destroy(stream);
            } else {
                assert_refused(status, WEIR_MEMORY, &error, "memory");
                assert_null(stream);
            }
            assert_true(failing_allocator_clean(&memory));
        } while (status != WEIR_OK);
        assert_in_range(n, 6, 100);
    }
}

/* --- Calls on a stream that lives ------------------------------------------------------------- */

typedef weir_status (*attempt)(weir_stream *stream, weir_error *error);

static weir_status try_fork(weir_stream *stream, weir_error *error) {
    weir_stream *child = (weir_stream *)error;
    weir_status status = weir_stream_fork(stream, &child, error);
    if (status != WEIR_OK) assert_null(child);
    weir_stream_destroy(child);
    return status;
}

static weir_status try_mark(weir_stream *stream, weir_error *error) {
    weir_mark *mark = (weir_mark *)error;
    weir_status status = weir_stream_mark(stream, &mark, error);
    if (status != WEIR_OK) assert_null(mark);
    weir_mark_destroy(mark);
    return status;
}

/* The child feels the failure when it pins, and the parent's page is as before. */
static weir_status try_pin(weir_stream *stream, weir_error *error) {
    weir_stream *child;
    weir_status status = weir_stream_fork(stream, &child, error);
    if (status == WEIR_OK) status = weir_stream_pin(child, 50, error);
    if (status == WEIR_OK) stream_feed(child, 40, 120);
    weir_stream_destroy(child);
    return status;
}

static weir_status try_save(weir_stream *stream, weir_error *error) {
    return weir_stream_save(stream, path, error);
}

/* Pinned pages are shared with a child: to go back below S, copies are needed. */
static weir_status try_rewind_child(weir_stream *stream, weir_error *error) {
    weir_stream *child;
    weir_status status = weir_stream_fork(stream, &child, error);
    if (status == WEIR_OK) status = weir_stream_rewind(child, 3, error);
    if (status == WEIR_OK) stream_feed(child, 3, 120);
    weir_stream_destroy(child);
    return status;
}

static weir_status try_return(weir_stream *stream, weir_error *error) {
    weir_mark *mark = NULL;
    weir_stream *child = NULL;
    weir_status status = weir_stream_mark(stream, &mark, error);
    if (status == WEIR_OK) status = weir_stream_fork(stream, &child, error);
    if (status == WEIR_OK) stream_feed(child, 40, 90);
    if (status == WEIR_OK) status = weir_stream_return(child, mark, error);
    if (status == WEIR_OK) stream_feed(child, 40, 90);
    weir_stream_destroy(child);
    weir_mark_destroy(mark);
    return status;
}

static void check_attempts(attempt call, int64_t sinks, int64_t fed, int64_t least) {
    failing_allocator memory;
    weir_error error = {.message = ""};
    weir_model_options model_options = {.allocator = &memory.allocator};
    weir_stream_options options = stream_options(WEIR_SINK, sinks, 100 - sinks);
    failing_allocator_init(&memory);
    random_model own = tiny;
    must(weir_model_open(tiny.path, &model_options, &own.model, &error), &error);
    weir_stream *stream = stream_make(own.model, &options);
    stream_feed(stream, 0, 130);
    uint64_t expected = stream_bits(stream);
    must(weir_stream_rewind(stream, 0, &error), &error);
    stream_feed(stream, 0, fed);
    must(weir_stream_save(stream, path, &error), &error);
    int64_t n = 0;
    weir_status status;
    do {
        int64_t live = memory.live;
        size_t bytes = memory.live_bytes;
        memory.fail_at = ++n;
        status = call(stream, &error);
        memory.fail_at = 0;
        assert_int_equal(memory.live, live);
        assert_int_equal(memory.live_bytes, bytes);
        if (status != WEIR_OK) assert_refused(status, WEIR_MEMORY, &error, "memory");
        assert_int_equal(stream_state(stream).index, fed);
        assert_int_equal(stream_state(stream).sinks, sinks);
        if (n % 3 == 0) { /* it works in between as well */
            stream_feed(stream, fed, fed + 2);
            must(weir_stream_rewind(stream, fed, &error), &error);
        }
    } while (status != WEIR_OK);
    assert_in_range(n, least, 200);
    stream_feed(stream, fed, 130);
    assert_true(stream_bits(stream) == expected);
    weir_stream_destroy(stream);
    weir_model_close(own.model);
    assert_true(failing_allocator_clean(&memory));
}

static void test_fork(void **state) {
    (void)state;
    check_attempts(try_fork, 4, 70, 3);
    check_attempts(try_fork, 40, 20, 3); /* the last pinned page is not full: it is copied */
}

static void test_mark(void **state) {
    (void)state;
    check_attempts(try_mark, 4, 70, 3);
    check_attempts(try_mark, 40, 20, 3);
}

static void test_pin(void **state) {
    (void)state;
    check_attempts(try_pin, 4, 40, 5);
    check_attempts(try_pin, 40, 40, 4);
}

static void test_save(void **state) {
    (void)state;
    check_attempts(try_save, 4, 40, 4);
}

static void test_rewind_below_sinks(void **state) {
    (void)state;
    check_attempts(try_rewind_child, 40, 60, 4);
}

static void test_return(void **state) {
    (void)state;
    check_attempts(try_return, 4, 40, 6);
    check_attempts(try_return, 40, 40, 6);
    check_attempts(try_return, 70, 40, 6); /* mark below S */
}

/* Loading takes the model's allocator where none is given: here the test gives its own. */
static void test_load(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 40, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 150);
    must(weir_stream_save(stream, path, &error), &error);
    uint64_t expected = stream_bits(stream);
    weir_stream_destroy(stream);
    int64_t n = 0;
    weir_status status;
    do {
        failing_allocator memory;
        failing_allocator_init(&memory);
        memory.fail_at = ++n;
        options.allocator = &memory.allocator;
        status = weir_stream_load(tiny.model, path, &options, &stream, &error);
        if (status == WEIR_OK) {
            assert_true(stream_bits(stream) == expected);
            weir_stream_destroy(stream);
        } else {
            assert_refused(status, WEIR_MEMORY, &error, "memory");
            assert_null(stream);
        }
        assert_true(failing_allocator_clean(&memory));
    } while (status != WEIR_OK);
    assert_in_range(n, 6, 100);
}

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    shape.layer_window = 0;
    random_model_open(&tiny, &shape, NULL);
    snprintf(path, sizeof path, "/tmp/weir-memory-%d.stream", (int)getpid());
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
        cmocka_unit_test(test_model_open), cmocka_unit_test(test_create),
        cmocka_unit_test(test_fork),       cmocka_unit_test(test_mark),
        cmocka_unit_test(test_pin),        cmocka_unit_test(test_save),
        cmocka_unit_test(test_load),       cmocka_unit_test(test_rewind_below_sinks),
        cmocka_unit_test(test_return)};
    return cmocka_run_group_tests_name("out of memory", tests, set_up, tear_down);
}
