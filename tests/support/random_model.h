/*
 * A tiny random model in a temporary file, and the few things that every test of a stream does with
 * one: make a stream or fail, known tokens, and logits as one number. Header only.
 */
#ifndef RANDOM_MODEL_H
#define RANDOM_MODEL_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/random.h"
#include "support/failing_allocator.h"
#include "weir/weir.h"

enum { RANDOM_VOCABULARY = 320, RANDOM_CONTEXT = 256 };

typedef struct random_model {
    char path[96];
    weir_model *model;
} random_model;

static inline void must(weir_status status, const weir_error *error) {
    if (status != WEIR_OK) fail_msg("%s", error->message);
}

/* What every refusal is: one sentence, whole. */
static inline void assert_sentence(const weir_error *error) {
    size_t size = strlen(error->message);
    assert_in_range(size, 9, sizeof error->message - 2);
    assert_null(strchr(error->message, '\n'));
    assert_true(error->message[size - 1] != '.' && error->message[size - 1] != ' ');
}

static inline void assert_refused(weir_status got, weir_status wanted, const weir_error *error,
                                  const char *remedy) {
    if (got != wanted)
        fail_msg("%s instead of %s: %s", weir_status_name(got), weir_status_name(wanted),
                 got == WEIR_OK ? "" : error->message);
    assert_int_equal(error->status, wanted);
    assert_sentence(error);
    if (!strstr(error->message, remedy))
        fail_msg("\"%s\" does not say \"%s\"", error->message, remedy);
}

/* Two layers, 16 wide: pages of a few hundred bytes, so that whole files can be damaged. */
static inline weir_random_model random_tiny(void) {
    weir_random_model shape = weir_random_model_default();
    shape.width = 16;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.feed_forward = 32;
    shape.vocabulary = RANDOM_VOCABULARY;
    shape.context = RANDOM_CONTEXT;
    return shape;
}

/* Write the file and open it. `allocator` may be NULL. */
static inline void random_model_open(random_model *out, const weir_random_model *shape,
                                     const weir_allocator *allocator) {
    static int made;
    weir_error error;
    weir_model_options options = {.allocator = allocator};
    snprintf(out->path, sizeof out->path, "/tmp/weir-random-%d-%d.gguf", (int)getpid(), made++);
    must(weir_make_random(out->path, shape, &error), &error);
    must(weir_model_open(out->path, &options, &out->model, &error), &error);
}

static inline void random_model_close(random_model *made) {
    weir_model_close(made->model);
    unlink(made->path);
    made->model = NULL;
}

/* The tiny model that the tests of one program share, as cmocka's group set-up and tear-down. */
static random_model tiny;

static inline int tiny_set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    random_model_open(&tiny, &shape, NULL);
    return 0;
}

static inline int tiny_tear_down(void **state) {
    (void)state;
    random_model_close(&tiny);
    return 0;
}

/* Token `index` of the text that all tests feed: no control token. */
static inline int32_t random_token(int64_t index) {
    uint32_t block[4];
    wr_random_block(77, 0, (uint64_t)index, block);
    return (int32_t)(3 + block[0] % (RANDOM_VOCABULARY - 3));
}

static inline void random_tokens(int32_t *out, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = random_token(first + i);
}

/* --- Streams ---------------------------------------------------------------------------------- */

static inline weir_stream_options stream_options(weir_policy policy, int64_t sinks,
                                                 int64_t window) {
    weir_stream_options options = weir_stream_options_default();
    options.policy = policy;
    options.sinks = policy == WEIR_SINK ? sinks : -1;
    if (policy == WEIR_DENSE)
        options.context = window;
    else
        options.window = window;
    options.cache_type = WEIR_CACHE_F32;
    options.chunk = 16;
    options.threads = 1;
    return options;
}

static inline weir_stream *stream_make(const weir_model *model,
                                       const weir_stream_options *options) {
    weir_error error;
    weir_stream *stream = NULL;
    must(weir_stream_create(model, options, &stream, &error), &error);
    return stream;
}

/* Tokens [first, end) of the common text. */
static inline void stream_feed(weir_stream *stream, int64_t first, int64_t end) {
    weir_error error;
    int32_t tokens[64];
    while (first < end) {
        int64_t count = end - first < 64 ? end - first : 64;
        random_tokens(tokens, first, count);
        must(weir_stream_feed_tokens(stream, tokens, count, &error), &error);
        first += count;
    }
}

static inline uint64_t logits_sum(const float *logits, int32_t count) {
    return wr_checksum(1, logits, (size_t)count * sizeof *logits);
}

/* The bits of the logits after the last token. */
static inline uint64_t stream_bits(weir_stream *stream) {
    weir_error error;
    const float *logits = NULL;
    must(weir_stream_logits(stream, &logits, &error), &error);
    return logits_sum(logits,
                      (int32_t)weir_model_get_info(weir_stream_get_model(stream))->vocabulary);
}

static inline weir_stream_state stream_state(const weir_stream *stream) {
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    return state;
}

#endif
