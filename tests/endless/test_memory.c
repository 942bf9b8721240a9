/*
 * Constant memory: a million tokens through a sink stream at 4+252. RssAnon + VmSwap after the
 * first ten thousand and at the end differ by no more than 64 KiB, and from the ten thousandth
 * token on an allocator that refuses everything is never asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/random.h"
#include "support/failing_allocator.h"
#include "weir/weir.h"

enum { WARM = 10000, GENERATED = 2000, PIECE = 4000 };

static const int64_t total = 1000000;

static void must(weir_status status, const weir_error *error) {
    if (status != WEIR_OK) fail_msg("%s", error->message);
}

static void feed_until(weir_stream *stream, int32_t vocabulary, int64_t index) {
    static int32_t tokens[PIECE];
    weir_error error;
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    while (state.index < index) {
        int64_t count = index - state.index < PIECE ? index - state.index : PIECE;
        for (int64_t i = 0; i < count; i++)
            tokens[i] = (int32_t)(wr_random_unit(3, 0, (uint64_t)(state.index + i)) * vocabulary);
        must(weir_stream_feed_tokens(stream, tokens, count, &error), &error);
        weir_stream_get_state(stream, &state);
    }
}

static void feed_text(weir_stream *stream) {
    static const char text[] = "Once there was a weir, and the water stayed level behind it.\n";
    weir_error error;
    for (int i = 0; i < 50; i++)
        must(weir_stream_feed_text(stream, text, sizeof text - 1, &error), &error);
}

static void run(const char *path) {
    failing_allocator memory;
    weir_error error;
    weir_model *model;
    weir_stream *stream;
    weir_generate generate = weir_generate_default();
    weir_stream_options options = weir_stream_options_default();
    failing_allocator_init(&memory);
    weir_model_options how = {.allocator = &memory.allocator};
    options.sinks = 4;
    options.window = 252;
    options.threads = 2; /* each has a stack, touched when it first gets to work */
    generate.tokens = GENERATED;
    generate.stop_at_end = false;
    generate.lookup = 15;
    must(weir_model_open(path, &how, &model, &error), &error);
    must(weir_stream_create(model, &options, &stream, &error), &error);
    int32_t vocabulary = (int32_t)weir_model_get_info(model)->pieces;

    feed_text(stream);
    feed_until(stream, vocabulary, WARM - GENERATED);
    must(weir_stream_generate(stream, &generate, NULL, NULL, NULL, &error), &error);
    int64_t requests = memory.requests;
    memory.fail_all = true;
    malloc_trim(0);
    int64_t early = weir_memory_resident();

    feed_until(stream, vocabulary, total - GENERATED - 10000);
    feed_text(stream);
    must(weir_stream_generate(stream, &generate, NULL, NULL, NULL, &error), &error);
    feed_until(stream, vocabulary, total);
    int64_t late = weir_memory_resident();

    printf("%s: %lld bytes after %d tokens, %lld after %lld\n", path, (long long)early, WARM,
           (long long)late, (long long)total);
    assert_int_equal(memory.requests, requests);
    assert_true(early > 0);
    assert_true(late - early <= 64 * 1024 && early - late <= 64 * 1024);
    weir_stream_destroy(stream);
    weir_model_close(model);
    assert_true(failing_allocator_clean(&memory));
}

static void test_random_model(void **state) {
    (void)state;
    char path[64];
    weir_error error;
    weir_random_model shape = weir_random_model_default();
    snprintf(path, sizeof path, "/tmp/weir-endless-%d.gguf", (int)getpid());
    must(weir_make_random(path, &shape, &error), &error);
    run(path);
    unlink(path);
}

static void test_trained_model(void **state) {
    (void)state;
    char path[4200];
    const char *shared = getenv("WEIR_SHARED");
    if (shared)
        snprintf(path, sizeof path, "%s/data/models/stories260K.gguf", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/data/models/stories260K.gguf",
                 getenv("WEIR_ROOT"));
    if (access(path, R_OK) != 0) {
        printf("skipped: %s is not there\n", path);
        skip();
    }
    run(path);
}

int main(void) {
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* the kernel joins pages whenever it likes */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_model),
                                       cmocka_unit_test(test_trained_model)};
    return cmocka_run_group_tests_name("constant memory over a million tokens", tests, NULL, NULL);
}
