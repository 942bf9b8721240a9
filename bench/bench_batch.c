/*
 * Streams stepped as one batch, each past its window, beside a prompt of the same model.
 *
 *     bench_batch MODEL.gguf [STREAMS [CACHE [TYPE [THREADS]]]]      16, 256, f16, 1
 *
 * TYPE: f16, f32 or q8_0 pages. Every stream keeps 4 sinks (1 where the model has a sink token) and
 * draws its likeliest token in each step; the prompt goes through one more stream with as large a
 * cache, 512 tokens at a time. Steps and pieces of the prompt are taken in turn, so that what else
 * the machine does falls on both. Times are the process's, not the wall's, medians; with several
 * threads they include what threads wait for each other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH "bench_batch"
#include "measure.h"
#include "weir/batch.h"
#include "weir/weir.h"

enum { PROMPT = 512, ROUNDS = 400 };

static void feed(const weir_model *model, weir_stream *stream, int64_t count) {
    static uint32_t random = 1;
    int32_t tokens[PROMPT];
    weir_error error;
    for (int64_t left = count, now; left > 0; left -= now) {
        now = left < PROMPT ? left : PROMPT;
        for (int64_t i = 0; i < now; i++) {
            random = random * 1664525u + 1013904223u;
            tokens[i] = (int32_t)((random >> 8) % (uint32_t)weir_model_get_info(model)->vocabulary);
        }
        must(weir_stream_feed_tokens(stream, tokens, now, &error), &error);
    }
}

static weir_cache_type type_of(const char *name) {
    if (strcmp(name, "f32") == 0) return WEIR_CACHE_F32;
    return strcmp(name, "q8_0") == 0 ? WEIR_CACHE_Q8_0 : WEIR_CACHE_F16;
}

/* A stream of `batch` whose next token evicts one. */
static weir_stream *make_stream(const weir_model *model, weir_stream_options options,
                                weir_batch *batch) {
    weir_error error;
    weir_stream *stream;
    weir_sampling sampling = weir_sampling_default();
    options.batch = batch;
    if (batch != NULL) options.threads = 0;
    sampling.temperature = 0;
    must(weir_stream_create(model, &options, &stream, &error), &error);
    must(weir_stream_set_sampling(stream, &sampling, &error), &error);
    feed(model, stream, options.cache);
    return stream;
}

static double step(weir_batch *batch, weir_turn *turns, int32_t streams) {
    weir_error error;
    const double begun = seconds_used();
    must(weir_batch_step(batch, turns, streams, &error), &error);
    const double taken = seconds_used() - begun;
    for (int32_t i = 0; i < streams; i++) must(turns[i].error.status, &turns[i].error);
    return taken / streams;
}

static double read_prompt(const weir_model *model, weir_stream *stream) {
    const double begun = seconds_used();
    feed(model, stream, PROMPT);
    return (seconds_used() - begun) / PROMPT;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* For five seconds at least, and seven rounds. */
static void measure(const weir_model *model, weir_stream *prompt, weir_batch *batch,
                    weir_turn *turns, int32_t streams) {
    static double reading[ROUNDS], stepping[ROUNDS], ratio[ROUNDS];
    int rounds = 0;
    double total = 0;
    step(batch, turns, streams);
    for (; rounds < ROUNDS && (total < 5 || rounds < 7); rounds++) {
        reading[rounds] = read_prompt(model, prompt);
        for (int i = 0; i < 8; i++) stepping[rounds] += step(batch, turns, streams) / 8;
        ratio[rounds] = reading[rounds] / stepping[rounds];
        total += reading[rounds] * PROMPT + stepping[rounds] * streams * 8;
    }
    qsort(reading, (size_t)rounds, sizeof *reading, compare);
    qsort(stepping, (size_t)rounds, sizeof *stepping, compare);
    qsort(ratio, (size_t)rounds, sizeof *ratio, compare);
    printf("prompt %8.4f ms a token, batch %8.4f (fastest %.4f, %.4f): %5.1f%% of the prompt's "
           "rate (median of ratios; fastest %.1f%%)\n",
           reading[rounds / 2] * 1e3, stepping[rounds / 2] * 1e3, reading[0] * 1e3,
           stepping[0] * 1e3, ratio[rounds / 2] * 100, reading[0] / stepping[0] * 100);
}

int main(int argc, char **argv) {
    weir_error error;
    weir_model *model;
    weir_batch *batch;
    weir_stream_options options = weir_stream_options_default();
    if (argc < 2) {
        fprintf(stderr, "usage: bench_batch MODEL.gguf [STREAMS [CACHE [TYPE [THREADS]]]]\n");
        return 2;
    }
    const int32_t streams = argc > 2 ? atoi(argv[2]) : 16;
    options.cache = argc > 3 ? atoll(argv[3]) : 256;
    options.cache_type = type_of(argc > 4 ? argv[4] : "f16");
    options.threads = argc > 5 ? atoi(argv[5]) : 1;
    must(weir_model_open(argv[1], NULL, &model, &error), &error);
    const weir_batch_options sizes = {.rows = streams > 128 ? streams : 128,
                                      .streams = streams,
                                      .slots = options.cache,
                                      .threads = options.threads};
    must(weir_batch_create(model, &sizes, &batch, &error), &error);
    weir_turn *turns = calloc((size_t)streams, sizeof *turns);
    if (turns == NULL) return 1;
    for (int32_t i = 0; i < streams; i++) turns[i].stream = make_stream(model, options, batch);
    weir_stream *prompt = make_stream(model, options, NULL);
    printf("%s, %d streams, cache of %lld, %s pages, %d threads\n", argv[1], (int)streams,
           (long long)options.cache, argc > 4 ? argv[4] : "f16", (int)options.threads);
    measure(model, prompt, batch, turns, streams);
    weir_stream_destroy(prompt);
    for (int32_t i = 0; i < streams; i++) weir_stream_destroy(turns[i].stream);
    weir_batch_destroy(batch);
    weir_model_close(model);
    free(turns);
    return 0;
}
