/*
 * A stream's options: every refusal with its status and its remedy, every default, and a plan that
 * is what creation really takes. After creation the token loop asks for no memory at all.
 *
 * Calls that may allocate: create, fork, mark, save, load; pin (pages for what is newly pinned);
 * return and rewind to before S where a fork or a mark shares the pinned pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <limits.h>

#include "support/random_model.h"

typedef struct refusal {
    weir_stream_options options;
    weir_status status;
    const char *remedy;
} refusal;

static void check_refusals(const weir_model *model, const refusal *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        weir_error error = {.message = ""};
        weir_plan plan;
        weir_stream *stream = (weir_stream *)&plan;
        assert_refused(weir_stream_plan(model, &list[i].options, &plan, &error), list[i].status,
                       &error, list[i].remedy);
        assert_refused(weir_stream_create(model, &list[i].options, &stream, &error), list[i].status,
                       &error, list[i].remedy);
        assert_null(stream);
        assert_int_equal(weir_stream_plan(model, &list[i].options, &plan, NULL), list[i].status);
    }
}

#define SINK .policy = WEIR_SINK

static void test_usage(void **state) {
    (void)state;
    const refusal list[] = {
        {{.policy = (weir_policy)4}, WEIR_USAGE, "unknown policy"},
        {{.policy = (weir_policy)-1}, WEIR_USAGE, "unknown policy"},
        {{SINK, .cache_type = (weir_cache_type)3}, WEIR_USAGE, "cache type"},
        {{SINK, .eviction = (weir_eviction)2}, WEIR_USAGE, "eviction"},
        {{.policy = WEIR_DENSE, .sinks = 4}, WEIR_USAGE, "keeps every token"},
        {{.policy = WEIR_DENSE, .window = 9}, WEIR_USAGE, "give its capacity as context"},
        {{.policy = WEIR_DENSE, .cache = 9}, WEIR_USAGE, "give its capacity as context"},
        {{.policy = WEIR_DENSE, .context = -1}, WEIR_USAGE, "give 1 or more"},
        {{.policy = WEIR_DENSE, .eviction = WEIR_EVICT_MESSAGE}, WEIR_USAGE, "sink and window"},
        {{.policy = WEIR_RECOMPUTE, .eviction = WEIR_EVICT_MESSAGE}, WEIR_USAGE, "sink and window"},
        {{.policy = WEIR_WINDOW, .sinks = 4}, WEIR_USAGE, "sinks apply to the sink policy only"},
        {{.policy = WEIR_RECOMPUTE, .sinks = 1}, WEIR_USAGE, "sinks apply to the sink policy only"},
        {{SINK, .context = 100}, WEIR_USAGE, "give a window or a cache size"},
        {{.policy = WEIR_WINDOW, .sinks = -1, .context = 100}, WEIR_USAGE, "give a window"},
        {{SINK, .beyond = true}, WEIR_USAGE, "dense policy only"},
        {{SINK, .window = 9, .cache = 13}, WEIR_USAGE, "not both"},
        {{SINK, .sinks = -2}, WEIR_USAGE, "give 0 or more"},
        {{SINK, .window = -1}, WEIR_USAGE, "give 1 or more"},
        {{SINK, .cache = -5}, WEIR_USAGE, "give 1 or more"},
        {{SINK, .sinks = 4, .cache = 4}, WEIR_USAGE, "choose at least 5"},
        {{SINK, .chunk = -1}, WEIR_USAGE, "1 to 65536"},
        {{SINK, .chunk = 65537}, WEIR_USAGE, "1 to 65536"},
        {{SINK, .threads = -1}, WEIR_USAGE, "1 to 256"},
        {{SINK, .threads = 257}, WEIR_USAGE, "1 to 256"},
    };
    check_refusals(tiny.model, list, sizeof list / sizeof list[0]);
}

static void test_limits(void **state) {
    (void)state;
    const refusal list[] = {
        {{SINK, .sinks = 4, .window = 253}, WEIR_LIMIT, "at most 252"},
        {{SINK, .sinks = 4, .window = 5000}, WEIR_LIMIT, "at most 252"},
        {{SINK, .sinks = 4, .cache = 257}, WEIR_LIMIT, "at most 252"},
        {{SINK, .sinks = 4, .window = INT64_MAX}, WEIR_LIMIT, "at most 252"},
        {{SINK, .sinks = 4, .cache = INT64_MAX}, WEIR_LIMIT, "at most 252"},
        {{SINK, .sinks = 256}, WEIR_LIMIT, "at most 255"},
        {{SINK, .sinks = INT64_MAX, .window = 1}, WEIR_LIMIT, "at most 255"},
        {{.policy = WEIR_WINDOW, .window = 257}, WEIR_LIMIT, "at most 256"},
        {{.policy = WEIR_RECOMPUTE, .window = 257}, WEIR_LIMIT, "at most 256"},
        {{.policy = WEIR_DENSE, .context = 257}, WEIR_LIMIT, "--beyond"},
        {{.policy = WEIR_DENSE, .context = (int64_t)1 << 40, .beyond = true}, WEIR_LIMIT, "1 to"},
    };
    check_refusals(tiny.model, list, sizeof list / sizeof list[0]);
}

static void test_metadata_only(void **state) {
    (void)state;
    weir_error error;
    weir_plan plan;
    weir_model *model;
    weir_stream *stream;
    weir_model_options options = {.metadata_only = true};
    must(weir_model_open(tiny.path, &options, &model, &error), &error);
    must(weir_stream_plan(model, NULL, &plan, &error), &error);
    assert_refused(weir_stream_create(model, NULL, &stream, &error), WEIR_USAGE, &error,
                   "metadata only");
    assert_null(stream);
    weir_model_close(model);
}

/* --- Defaults --------------------------------------------------------------------------------- */

static void check_plan(const weir_model *model, weir_stream_options options, int64_t sinks,
                       int64_t window) {
    weir_error error;
    weir_plan plan;
    must(weir_stream_plan(model, &options, &plan, &error), &error);
    assert_int_equal(plan.policy, options.policy);
    assert_int_equal(plan.sinks, sinks);
    assert_int_equal(plan.window, window);
    assert_int_equal(plan.slots, sinks + window);
    assert_int_equal(plan.reserved_bytes, plan.page_bytes + plan.scratch_bytes);
    assert_true(plan.kv_bytes <= plan.page_bytes);
    weir_stream *stream = stream_make(model, &options);
    weir_stream_state now = stream_state(stream);
    assert_int_equal(now.sinks, sinks);
    assert_int_equal(now.window, window);
    assert_int_equal(now.reserved_bytes, plan.reserved_bytes);
    assert_int_equal(now.index, 0);
    assert_int_equal(now.evicted, 0);
    assert_int_equal(now.oldest, sinks);
    assert_int_equal(now.reachable, 0);
    assert_int_equal(now.held, 0);
    weir_stream_destroy(stream);
}

static void test_defaults(void **state) {
    (void)state;
    weir_stream_options sink = weir_stream_options_default();
    assert_int_equal(sink.policy, WEIR_SINK);
    assert_int_equal(sink.sinks, -1);
    check_plan(tiny.model, sink, 4, 252);
    weir_stream_options cache = sink;
    cache.cache = 100;
    check_plan(tiny.model, cache, 4, 96);
    weir_stream_options none = {SINK, .sinks = 0};
    check_plan(tiny.model, none, 0, 256);
    weir_stream_options one = {SINK, .sinks = 255, .window = 1};
    check_plan(tiny.model, one, 255, 1);
    weir_stream_options dense = {.policy = WEIR_DENSE, .sinks = -1};
    check_plan(tiny.model, dense, 0, 256);
    dense.context = 1000;
    dense.beyond = true;
    check_plan(tiny.model, dense, 0, 1000);
    weir_stream_options window = {.policy = WEIR_WINDOW, .sinks = -1};
    check_plan(tiny.model, window, 0, 256);
    weir_stream_options recompute = {.policy = WEIR_RECOMPUTE, .window = 17};
    check_plan(tiny.model, recompute, 0, 17);
    weir_error error;
    weir_plan plan;
    must(weir_stream_plan(tiny.model, NULL, &plan, &error), &error);
    assert_int_equal(plan.slots, 256);
    /* 2 layers, 1 KV head, keys and values of 8 in f16 */
    assert_int_equal(plan.bytes_per_token, 2 * 1 * (8 + 8) * 2);
    assert_int_equal(plan.kv_bytes, 256 * plan.bytes_per_token);
}

static void test_sink_token(void **state) {
    (void)state;
    random_model marked;
    weir_random_model shape = random_tiny();
    shape.sink = "token";
    random_model_open(&marked, &shape, NULL);
    assert_true(weir_model_get_info(marked.model)->sink_token);
    check_plan(marked.model, weir_stream_options_default(), 1, 255);
    weir_stream_options more = {SINK, .sinks = 2};
    check_plan(marked.model, more, 2, 254);
    random_model_close(&marked);
    shape.sink = "logit"; /* a sink in the softmax is no token: the paper's four stay */
    random_model_open(&marked, &shape, NULL);
    check_plan(marked.model, weir_stream_options_default(), 4, 252);
    random_model_close(&marked);
}

/* --- The plan is what is taken ---------------------------------------------------------------- */

static void check_taken(weir_stream_options options) {
    failing_allocator memory;
    weir_error error;
    weir_plan plan;
    failing_allocator_init(&memory);
    options.allocator = &memory.allocator;
    must(weir_stream_plan(tiny.model, &options, &plan, &error), &error);
    assert_int_equal(memory.requests, 0);
    weir_stream *stream = stream_make(tiny.model, &options);
    assert_true((int64_t)memory.live_bytes >= plan.reserved_bytes);
    /* pools, the table of threads: no more than this, whatever the size */
    assert_true((int64_t)memory.live_bytes <= plan.reserved_bytes + 4096 + 512 * options.threads);
    weir_stream_destroy(stream);
    assert_true(failing_allocator_clean(&memory));
}

static void test_taken(void **state) {
    (void)state;
    for (int type = WEIR_CACHE_F16; type <= WEIR_CACHE_Q8_0; type++) {
        weir_stream_options list[] = {
            stream_options(WEIR_SINK, 4, 252), stream_options(WEIR_SINK, 33, 1),
            stream_options(WEIR_WINDOW, -1, 64), stream_options(WEIR_DENSE, -1, 200),
            stream_options(WEIR_RECOMPUTE, -1, 31)};
        for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
            list[i].cache_type = (weir_cache_type)type;
            check_taken(list[i]);
            list[i].chunk = 1;
            list[i].threads = 3;
            check_taken(list[i]);
        }
    }
}

static bool take_text(void *context, int32_t token, const char *text, size_t size) {
    (void)token;
    (void)text;
    *(size_t *)context += size;
    return true;
}

/* Every request for memory fails from here on, and nothing notices. */
static void live_without_memory(weir_stream *stream, weir_policy policy) {
    weir_error error;
    size_t size = 0;
    const char *stop[] = {"never in the text", "\xC3"};
    weir_generate generate = {.tokens = 40, .stop = stop, .stop_count = 2};
    for (int round = 0; round < 3; round++) {
        stream_feed(stream, stream_state(stream).index, stream_state(stream).index + 50);
        must(weir_stream_feed_text(stream, "some text, held", 15, &error), &error);
        must(weir_stream_generate(stream, &generate, take_text, &size, NULL, &error), &error);
        must(weir_stream_feed_text(stream, "and more", 8, &error), &error);
        if (policy == WEIR_SINK || policy == WEIR_WINDOW)
            must(weir_stream_border(stream, &error), &error);
        stream_bits(stream);
        must(weir_stream_rewind(stream, stream_state(stream).index - 3, &error), &error);
        stream_bits(stream);
    }
    must(weir_stream_rewind(stream, 2, &error), &error);
    stream_bits(stream);
    stream_feed(stream, 2, 100);
    stream_bits(stream);
}

static void test_no_allocation(void **state) {
    (void)state;
    weir_stream_options list[] = {
        stream_options(WEIR_SINK, 4, 60), stream_options(WEIR_SINK, 40, 50),
        stream_options(WEIR_WINDOW, -1, 64), stream_options(WEIR_DENSE, -1, 2000),
        stream_options(WEIR_RECOMPUTE, -1, 24)};
    list[1].eviction = WEIR_EVICT_MESSAGE;
    list[3].beyond = true;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        failing_allocator memory;
        failing_allocator_init(&memory);
        list[i].allocator = &memory.allocator;
        weir_stream *stream = stream_make(tiny.model, &list[i]);
        memory.fail_all = true;
        int64_t before = memory.requests;
        if (list[i].policy == WEIR_WINDOW) { /* index 2 is out of reach: never further than that */
            stream_feed(stream, 0, 500);
            stream_bits(stream);
        } else {
            live_without_memory(stream, list[i].policy);
        }
        assert_int_equal(memory.requests, before);
        weir_stream_destroy(stream);
        assert_true(failing_allocator_clean(&memory));
    }
}

/* --- Set-up ----------------------------------------------------------------------------------- */

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_metadata_only),
        cmocka_unit_test(test_sink_token),   cmocka_unit_test(test_taken),
        cmocka_unit_test(test_no_allocation)};
    return cmocka_run_group_tests_name("stream options", tests, tiny_set_up, tiny_tear_down);
}
