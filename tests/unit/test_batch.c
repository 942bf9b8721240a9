/*
 * A batch: what it plans and refuses, generations by turns, memory that fails, and streams that
 * fail, are cancelled or damaged beside others that are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "model/network.h"
#include "support/random_model.h"

static weir_batch *batch_make(const weir_model *model, weir_batch_options sizes) {
    weir_error error;
    weir_batch *batch = NULL;
    must(weir_batch_create(model, &sizes, &batch, &error), &error);
    return batch;
}

static weir_batch *batch_of(int64_t rows, int32_t streams) {
    return batch_make(tiny.model,
                      (weir_batch_options){.rows = rows, .streams = streams, .threads = 1});
}

static weir_stream_options options_in(weir_batch *batch, weir_policy policy, int64_t window) {
    weir_stream_options options = stream_options(policy, 4, window);
    options.batch = batch;
    options.threads = 0;
    return options;
}

static weir_stream *stream_in(weir_batch *batch, weir_policy policy, int64_t window) {
    weir_stream_options options = options_in(batch, policy, window);
    return stream_make(tiny.model, &options);
}

static void step(weir_batch *batch, weir_turn *turns, int32_t count) {
    weir_error error;
    must(weir_batch_step(batch, turns, count, &error), &error);
}

/* --- Sizes ------------------------------------------------------------------------------------ */

static void test_plan(void **state) {
    (void)state;
    weir_error error;
    failing_allocator memory;
    failing_allocator_init(&memory);
    weir_batch_options sizes = {
        .rows = 48, .streams = 5, .slots = 100, .threads = 1, .allocator = &memory.allocator};
    weir_batch_plan plan;
    weir_batch *batch;
    must(weir_batch_plan_sizes(tiny.model, &sizes, &plan, &error), &error);
    assert_int_equal(memory.requests, 0);
    assert_int_equal(plan.rows, 48);
    assert_int_equal(plan.streams, 5);
    assert_int_equal(plan.slots, 100);
    must(weir_batch_create(tiny.model, &sizes, &batch, &error), &error);
    assert_in_range(memory.live_bytes - (size_t)plan.reserved_bytes, 0, 1024); /* the workers' */
    weir_batch_destroy(batch);
    assert_true(failing_allocator_clean(&memory));
    must(weir_batch_plan_sizes(tiny.model, NULL, &plan, &error), &error);
    assert_int_equal(plan.rows, 256);
    assert_int_equal(plan.streams, 64);
    assert_int_equal(plan.slots, RANDOM_CONTEXT);
}

/* A stream of a batch has no scratch of its own, and its plan says so. */
static void test_stream_plan(void **state) {
    (void)state;
    weir_error error;
    weir_plan own, lent;
    weir_batch *batch = batch_of(100, 4);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    must(weir_stream_plan(tiny.model, &options, &own, &error), &error);
    options.batch = batch;
    options.threads = 0;
    must(weir_stream_plan(tiny.model, &options, &lent, &error), &error);
    assert_int_equal(own.page_bytes, lent.page_bytes);
    int64_t rows = 16 * RANDOM_VOCABULARY * (int64_t)sizeof(float);
    assert_in_range(lent.scratch_bytes, 1, own.scratch_bytes - rows - 16 * 16 * 4 * 5);
    weir_stream *stream = stream_make(tiny.model, &options);
    assert_int_equal(stream_state(stream).reserved_bytes, lent.reserved_bytes);
    weir_stream_destroy(stream);
    weir_batch_destroy(batch);
}

static void refused_batch(weir_batch_options sizes, const char *remedy) {
    weir_error error;
    weir_batch *batch = (weir_batch *)&sizes;
    assert_refused(weir_batch_create(tiny.model, &sizes, &batch, &error), WEIR_USAGE, &error,
                   remedy);
    assert_null(batch);
}

static void refused_stream(weir_stream_options options, weir_status status, const char *remedy) {
    weir_error error;
    weir_stream *stream = (weir_stream *)&options;
    assert_refused(weir_stream_create(tiny.model, &options, &stream, &error), status, &error,
                   remedy);
    assert_null(stream);
}

static void test_refused(void **state) {
    (void)state;
    refused_batch((weir_batch_options){.rows = -1}, "1 to 65536");
    refused_batch((weir_batch_options){.rows = 65537}, "1 to 65536");
    refused_batch((weir_batch_options){.rows = 4, .streams = 5}, "4 rows");
    refused_batch((weir_batch_options){.streams = -1}, "streams");
    refused_batch((weir_batch_options){.slots = -1}, "slots");
    refused_batch((weir_batch_options){.threads = 257}, "1 to 256");
    weir_batch *batch =
        batch_make(tiny.model, (weir_batch_options){.rows = 20, .slots = 64, .threads = 1});
    weir_stream_options options = options_in(batch, WEIR_SINK, 60);
    options.threads = 1;
    refused_stream(options, WEIR_USAGE, "threads");
    refused_stream(options_in(batch, WEIR_SINK, 61), WEIR_USAGE, "64");
    refused_stream(options_in(batch, WEIR_RECOMPUTE, 20), WEIR_USAGE, "recompute");
    options = options_in(batch, WEIR_SINK, 60);
    options.chunk = 21;
    refused_stream(options, WEIR_USAGE, "20 rows");
    options.chunk = 0; /* the default is one that fits */
    weir_stream_destroy(stream_make(tiny.model, &options));
    random_model other;
    weir_random_model shape = random_tiny();
    random_model_open(&other, &shape, NULL);
    weir_batch *others = batch_make(other.model, (weir_batch_options){.threads = 1});
    refused_stream(options_in(others, WEIR_SINK, 60), WEIR_MISMATCH, "another model");
    weir_batch_destroy(others);
    random_model_close(&other);
    weir_batch_destroy(batch);
}

static void refused_step(weir_batch *batch, weir_turn *turns, int32_t count, const char *remedy) {
    weir_error error;
    int64_t before = stream_state(turns[0].stream).index;
    assert_refused(weir_batch_step(batch, turns, count, &error), WEIR_USAGE, &error, remedy);
    assert_int_equal(stream_state(turns[0].stream).index, before);
}

static void test_refused_steps(void **state) {
    (void)state;
    int32_t tokens[20];
    weir_batch *batch = batch_of(20, 2);
    weir_stream *a = stream_in(batch, WEIR_SINK, 60), *b = stream_in(batch, WEIR_WINDOW, 9);
    random_tokens(tokens, 0, 20);
    weir_turn turns[] = {{.stream = a, .tokens = tokens, .count = 16},
                         {.stream = b, .tokens = tokens, .count = 5},
                         {.stream = b}};
    refused_step(batch, turns, 2, "20 rows");
    refused_step(batch, turns, 3, "2 streams");
    refused_step(batch, turns, -1, "turns");
    turns[0].count = 17;
    refused_step(batch, turns, 1, "chunk is 16");
    turns[0].count = 3;
    turns[1].stream = a;
    refused_step(batch, turns, 2, "already");
    turns[1].stream = b;
    step(batch, turns, 2); /* and now it works */
    assert_int_equal(stream_state(a).index, 3);
    assert_int_equal(stream_state(b).index, 5);
    step(batch, turns, 0);
    random_model other;
    weir_random_model shape = random_tiny();
    random_model_open(&other, &shape, NULL);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stranger = stream_make(other.model, &options);
    turns[1].stream = stranger;
    refused_step(batch, turns, 2, "another model");
    weir_stream_destroy(stranger);
    random_model_close(&other);
    options.window = 200;
    weir_batch *small = batch_make(tiny.model, (weir_batch_options){.slots = 100, .threads = 1});
    weir_stream *wide = stream_make(tiny.model, &options);
    turns[1].stream = wide;
    refused_step(small, turns, 2, "204 slots");
    weir_stream_destroy(wide);
    weir_batch_destroy(small);
    weir_stream_destroy(a);
    weir_stream_destroy(b);
    weir_batch_destroy(batch);
}

/* --- Generating ------------------------------------------------------------------------------- */

typedef struct heard {
    char text[4096];
    size_t size;
    int64_t calls, most; /* most: calls until it says stop; 0: never */
} heard;

static bool hear(void *context, int32_t token, const char *text, size_t size) {
    heard *h = context;
    assert_true(token >= -1 && h->size + size < sizeof h->text);
    memcpy(h->text + h->size, text, size);
    h->size += size;
    return ++h->calls != h->most;
}

static void set_seed(weir_stream *stream, uint64_t number) {
    weir_error error;
    weir_sampling sampling = weir_sampling_default();
    sampling.seed = number;
    must(weir_stream_set_sampling(stream, &sampling, &error), &error);
}

enum { GENERATIONS = 6 };

/* The ways a generation may end, and the text of each, are those of weir_stream_generate. */
static void test_generate(void **state) {
    (void)state;
    weir_error error;
    static const char *const stop[] = {"a", "e", "qu"};
    const weir_generate rules[GENERATIONS] = {
        {.tokens = 40},
        {.tokens = 0},
        {.tokens = -1, .stop = stop, .stop_count = 3},
        {.tokens = 25, .stop_at_end = true},
        {.tokens = -1},
        {.tokens = 200, .stop = stop + 2, .stop_count = 1},
    };
    weir_batch *batch = batch_of(64, GENERATIONS);
    weir_turn turns[GENERATIONS];
    static heard alone[GENERATIONS], beside[GENERATIONS];
    weir_generated expected[GENERATIONS];
    for (int i = 0; i < GENERATIONS; i++) {
        weir_stream *stream = stream_in(batch, WEIR_SINK, 30 + i);
        alone[i] = beside[i] = (heard){.most = i == 4 ? 33 : 0};
        stream_feed(stream, 0, 3 + i);
        set_seed(stream, (uint64_t)i);
        turns[i] = (weir_turn){.stream = stream};
        weir_stream *same;
        must(weir_stream_fork(stream, &same, &error), &error);
        must(weir_stream_generate(same, &rules[i], hear, &alone[i], &expected[i], &error), &error);
        weir_stream_destroy(same);
        must(weir_batch_generate(stream, &rules[i], hear, &beside[i], &error), &error);
    }
    turns[1].done = true; /* no tokens at all: ended before it began */
    for (int left = GENERATIONS; left > 0;) {
        weir_turn now[GENERATIONS];
        int whose[GENERATIONS];
        left = 0;
        for (int i = 0; i < GENERATIONS; i++) {
            if (turns[i].done) continue;
            whose[left] = i;
            now[left++] = turns[i];
        }
        step(batch, now, left);
        for (int k = 0; k < left; k++) {
            assert_int_equal(now[k].error.status, WEIR_OK);
            turns[whose[k]] = now[k];
        }
    }
    for (int i = 0; i < GENERATIONS; i++) {
        if (i != 1) {
            assert_int_equal(turns[i].generated.tokens, expected[i].tokens);
            assert_int_equal(turns[i].generated.reason, expected[i].reason);
        }
        assert_int_equal(beside[i].size, alone[i].size);
        assert_int_equal(beside[i].calls, alone[i].calls);
        assert_memory_equal(beside[i].text, alone[i].text, alone[i].size);
        weir_stream_destroy(turns[i].stream);
    }
    assert_int_equal(expected[2].reason, WEIR_STOP_STRING);
    assert_int_equal(expected[4].reason, WEIR_STOP_CALLER);
    weir_batch_destroy(batch);
}

static void test_generate_refused(void **state) {
    (void)state;
    weir_error error;
    weir_batch *batch = batch_of(16, 2);
    weir_stream *stream = stream_in(batch, WEIR_SINK, 30);
    weir_generate rules = {.tokens = -2};
    assert_refused(weir_batch_generate(stream, &rules, NULL, NULL, &error), WEIR_USAGE, &error,
                   "-1");
    rules = (weir_generate){.tokens = 5, .stop = (const char *const[]){""}, .stop_count = 1};
    assert_int_equal(weir_batch_generate(stream, &rules, NULL, NULL, &error), WEIR_USAGE);
    weir_stream_destroy(stream);
    weir_batch_destroy(batch);
}

/* Text that is held back goes first, as in weir_stream_feed_tokens and weir_stream_next. */
typedef struct seen_draws {
    weir_stream *twin;
    int draws;
    weir_status answer;
} seen_draws;

/* The logits of the twin, which is a step behind, to the bit. */
static weir_status see_draw(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    seen_draws *seen = context;
    const float *wanted;
    weir_error error;
    assert_int_equal(index, stream_state(seen->twin).index - 1);
    must(weir_stream_logits(seen->twin, &wanted, &error), &error);
    assert_memory_equal(logits, wanted, (size_t)n_vocab * sizeof *logits);
    seen->draws++;
    return seen->answer;
}

/* What tokens are drawn from is handed over, of the draws that ask; nothing else changes. */
static void test_draws_from(void **state) {
    (void)state;
    weir_error error;
    weir_batch *batch = batch_of(32, 4);
    weir_stream *a = stream_in(batch, WEIR_SINK, 12), *b = stream_in(batch, WEIR_SINK, 12);
    weir_stream_options alone = stream_options(WEIR_SINK, 4, 12);
    weir_stream *twin = stream_make(tiny.model, &alone);
    const int32_t tokens[] = {5, 9, 2, 7};
    must(weir_stream_feed_tokens(a, tokens, 4, &error), &error);
    must(weir_stream_feed_tokens(b, tokens, 2, &error), &error);
    must(weir_stream_feed_tokens(twin, tokens, 4, &error), &error);
    seen_draws seen = {.twin = twin};
    for (int i = 0; i < 30; i++) {
        const float *ready;
        weir_turn turns[] = {{.stream = b},
                             {.stream = a, .draws_from = see_draw, .draws_context = &seen}};
        if (i % 7 == 3) must(weir_stream_logits(a, &ready, &error), &error); /* they are there */
        step(batch, turns, 2);
        assert_int_equal(turns[1].error.status, WEIR_OK);
        must(weir_stream_feed_tokens(twin, &turns[1].token, 1, &error), &error);
    }
    assert_int_equal(seen.draws, 30);
    assert_int_equal(stream_state(a).index, stream_state(twin).index);

    /* who refuses them has no turn, and the other one has */
    seen.answer = WEIR_LIMIT;
    int64_t index = stream_state(a).index, other = stream_state(b).index;
    weir_turn turns[] = {{.stream = b},
                         {.stream = a, .draws_from = see_draw, .draws_context = &seen}};
    step(batch, turns, 2);
    assert_int_equal(turns[1].error.status, WEIR_LIMIT);
    assert_int_equal(turns[1].token, -1);
    assert_int_equal(stream_state(a).index, index);
    assert_int_equal(stream_state(b).index, other + 1);
    weir_stream_destroy(a);
    weir_stream_destroy(b);
    weir_stream_destroy(twin);
    weir_batch_destroy(batch);
}

static void test_held_text(void **state) {
    (void)state;
    weir_error error;
    weir_batch *batch = batch_of(16, 2);
    weir_stream *beside = stream_in(batch, WEIR_SINK, 30);
    weir_stream *alone = stream_in(batch, WEIR_SINK, 30);
    int32_t token;
    must(weir_stream_feed_text(beside, "once upon", 9, &error), &error);
    must(weir_stream_feed_text(alone, "once upon", 9, &error), &error);
    assert_true(stream_state(beside).held > 0);
    weir_turn turn = {.stream = beside};
    step(batch, &turn, 1);
    must(weir_stream_next(alone, &token, &error), &error);
    assert_int_equal(turn.token, token);
    assert_true(turn.done);
    assert_int_equal(stream_state(beside).held, 0);
    assert_int_equal(stream_state(beside).index, stream_state(alone).index);
    assert_true(stream_bits(beside) == stream_bits(alone));
    weir_stream_destroy(beside);
    weir_stream_destroy(alone);
    weir_batch_destroy(batch);
}

/* After a rewind the hidden state is computed again, and a file is loaded into the batch. */
static void test_rewound_and_loaded(void **state) {
    (void)state;
    weir_error error;
    char path[128];
    snprintf(path, sizeof path, "%s.stream", tiny.path);
    weir_batch *batch = batch_of(40, 3);
    weir_stream *a = stream_in(batch, WEIR_SINK, 60), *b;
    stream_feed(a, 0, 90);
    must(weir_stream_rewind(a, 80, &error), &error);
    must(weir_stream_save(a, path, &error), &error);
    weir_stream_options options = {.batch = batch, .chunk = 7};
    must(weir_stream_load(tiny.model, path, &options, &b, &error), &error);
    unlink(path);
    weir_turn turns[] = {{.stream = a}, {.stream = b}};
    for (int i = 0; i < 30; i++) {
        step(batch, turns, 2);
        assert_int_equal(turns[0].token, turns[1].token);
        assert_true(turns[0].token >= 0);
    }
    assert_int_equal(stream_state(b).index, 110);
    weir_batch_destroy(batch); /* the streams keep it */
    assert_true(stream_bits(a) == stream_bits(b));
    weir_stream_destroy(a);
    weir_stream_destroy(b);
}

/* --- One fails, the others do not --------------------------------------------------------------
 */

static weir_status refuse(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    (void)logits;
    (void)n_vocab;
    return index < *(int64_t *)context ? WEIR_OK : WEIR_LIMIT;
}

static weir_status no_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    (void)context;
    (void)index;
    (void)logits;
    (void)n_vocab;
    fail_msg("a row was handed over");
    return WEIR_OK;
}

static void test_one_fails(void **state) {
    (void)state;
    weir_error error;
    int32_t tokens[16], wrong[2] = {5, RANDOM_VOCABULARY};
    int64_t last = 2;
    weir_batch *batch = batch_of(64, 8);
    weir_stream *good = stream_in(batch, WEIR_SINK, 60), *fresh = stream_in(batch, WEIR_SINK, 60);
    weir_stream *bad = stream_in(batch, WEIR_SINK, 60), *empty = stream_in(batch, WEIR_SINK, 60);
    weir_stream *full = stream_in(batch, WEIR_DENSE, 6), *said = stream_in(batch, WEIR_SINK, 60);
    weir_stream_options recompute = stream_options(WEIR_RECOMPUTE, -1, 30);
    weir_stream *oracle = stream_make(tiny.model, &recompute);
    random_tokens(tokens, 0, 16);
    stream_feed(full, 0, 6);
    stream_feed(oracle, 0, 6);
    weir_turn turns[] = {
        {.stream = bad, .tokens = wrong, .count = 2},
        {.stream = good, .tokens = tokens, .count = 16},
        {.stream = empty},
        {.stream = full},
        {.stream = said, .tokens = tokens, .count = 5, .logits = refuse, .logits_context = &last},
        {.stream = oracle},
    };
    step(batch, turns, 6);
    assert_refused(turns[0].error.status, WEIR_USAGE, &turns[0].error, "vocabulary");
    assert_int_equal(turns[1].error.status, WEIR_OK);
    assert_refused(turns[2].error.status, WEIR_USAGE, &turns[2].error, "empty");
    assert_refused(turns[3].error.status, WEIR_LIMIT, &turns[3].error, "do not fit");
    assert_refused(turns[4].error.status, WEIR_LIMIT, &turns[4].error, "stopped by the caller");
    assert_refused(turns[5].error.status, WEIR_UNSUPPORTED, &turns[5].error, "recompute");
    const int64_t indices[] = {0, 16, 0, 6, 5, 6};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(stream_state(turns[i].stream).index, indices[i]);
        assert_int_equal(turns[i].token, -1);
    }
    must(weir_stream_feed_tokens(fresh, tokens, 16, &error), &error);
    assert_true(stream_bits(good) == stream_bits(fresh));
    for (int i = 0; i < 6; i++) weir_stream_destroy(turns[i].stream);
    weir_stream_destroy(fresh);
    weir_batch_destroy(batch);
}

/* One stream's memory of its last token is damaged: it says so, the others do not notice. */
static void test_not_a_number(void **state) {
    (void)state;
    static const float values[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        random_model spoilt = {.path = ""};
        weir_error error;
        weir_random_model shape = random_tiny();
        random_model_open(&spoilt, &shape, NULL);
        weir_batch *batch = batch_make(spoilt.model, (weir_batch_options){.threads = 1});
        weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
        options.batch = batch;
        options.threads = 0;
        weir_stream *bad = stream_make(spoilt.model, &options);
        weir_stream *good = stream_make(spoilt.model, &options), *same;
        stream_feed(good, 0, 30);
        must(weir_stream_fork(good, &same, &error), &error);
        /* the embedding of token 9 alone, in a private copy of the weights */
        int64_t floats = (int64_t)RANDOM_VOCABULARY * 16;
        float *weights = malloc((size_t)floats * sizeof *weights);
        assert_non_null(weights);
        memcpy(weights, spoilt.model->embedding.data, (size_t)floats * sizeof *weights);
        weights[9 * 16 + 3] = values[i];
        spoilt.model->embedding.data = weights;
        int32_t token = 9, other = 12;
        weir_turn turns[] = {{.stream = bad, .tokens = &token, .count = 1},
                             {.stream = good, .tokens = &other, .count = 1}};
        step(batch, turns, 2);
        turns[0].count = turns[1].count = 0;
        step(batch, turns, 2);
        assert_refused(turns[0].error.status, WEIR_NAN, &turns[0].error, "weights");
        assert_int_equal(turns[0].token, -1);
        assert_int_equal(turns[1].error.status, WEIR_OK);
        turns[0] = (weir_turn){.stream = bad, .tokens = &other, .count = 1, .logits = no_row};
        step(batch, turns, 2);
        assert_refused(turns[0].error.status, WEIR_NAN, &turns[0].error, "weights");
        assert_int_equal(turns[1].error.status, WEIR_OK);
        must(weir_stream_feed_tokens(same, &other, 1, &error), &error);
        for (int k = 0; k < 2; k++) must(weir_stream_next(same, &token, &error), &error);
        assert_int_equal(turns[1].token, token);
        assert_true(stream_bits(good) == stream_bits(same));
        weir_stream_destroy(bad);
        weir_stream_destroy(good);
        weir_stream_destroy(same);
        weir_batch_destroy(batch);
        random_model_close(&spoilt);
        free(weights);
    }
}

/* --- Cancelled -------------------------------------------------------------------------------- */

/* Cancels a stream when the pass has come to layer 1. */
static void cancel_inside(void *context, weir_point point, int layer, int64_t first,
                          const float *data, int64_t rows, int64_t columns) {
    (void)first;
    (void)data;
    (void)rows;
    (void)columns;
    weir_stream **streams = context;
    if (point != WEIR_POINT_ATTENTION || layer != 0) return;
    for (; *streams; streams++) weir_stream_cancel(*streams);
}

static void test_cancelled(void **state) {
    (void)state;
    weir_error error;
    int32_t tokens[16];
    random_tokens(tokens, 0, 16);
    for (int all = 0; all < 2; all++) {
        weir_batch *batch = batch_of(64, 4);
        weir_stream *a = stream_in(batch, WEIR_SINK, 20), *b = stream_in(batch, WEIR_SINK, 20);
        weir_stream *fresh = stream_in(batch, WEIR_SINK, 20);
        weir_stream *cancels[] = {a, all ? b : NULL, NULL};
        stream_feed(a, 0, 30);
        stream_feed(b, 0, 30);
        stream_feed(fresh, 0, 30);
        weir_turn turns[] = {{.stream = a}, {.stream = b, .tokens = tokens, .count = 16}};
        weir_stream_cancel(a); /* before the step */
        step(batch, turns, 1);
        assert_int_equal(turns[0].error.status, WEIR_CANCELLED);
        weir_stream_observe(b, cancel_inside, cancels);
        step(batch, turns, 2);
        assert_refused(turns[0].error.status, WEIR_CANCELLED, &turns[0].error, "cancelled");
        assert_int_equal(turns[0].token, -1);
        assert_int_equal(turns[1].error.status, all ? WEIR_CANCELLED : WEIR_OK);
        assert_int_equal(stream_state(a).index, 30);
        assert_int_equal(stream_state(b).index, all ? 30 : 46);
        weir_stream_observe(b, NULL, NULL);
        if (all) step(batch, turns + 1, 1);
        step(batch, turns, 1); /* what was cancelled goes on as if nothing had been */
        int32_t token;
        must(weir_stream_next(fresh, &token, &error), &error);
        assert_int_equal(turns[0].token, token);
        assert_true(stream_bits(a) == stream_bits(fresh));
        must(weir_stream_rewind(fresh, 30, &error), &error);
        must(weir_stream_feed_tokens(fresh, tokens, 16, &error), &error);
        assert_true(stream_bits(b) == stream_bits(fresh));
        weir_stream_destroy(a);
        weir_stream_destroy(b);
        weir_stream_destroy(fresh);
        weir_batch_destroy(batch);
    }
}

/* --- Memory ----------------------------------------------------------------------------------- */

static void test_memory_fails(void **state) {
    (void)state;
    int64_t n = 0;
    weir_status status;
    do {
        weir_error error = {.message = ""};
        failing_allocator memory;
        weir_stream *stream = NULL;
        weir_batch *batch = (weir_batch *)&memory;
        failing_allocator_init(&memory);
        memory.fail_at = ++n;
        weir_batch_options sizes = {.rows = 40, .threads = 3, .allocator = &memory.allocator};
        status = weir_batch_create(tiny.model, &sizes, &batch, &error);
        if (status == WEIR_OK) {
            weir_stream_options options = options_in(batch, WEIR_SINK, 60);
            options.allocator = &memory.allocator;
            status = weir_stream_create(tiny.model, &options, &stream, &error);
            weir_batch_destroy(batch);
            weir_stream_destroy(stream);
        } else {
            assert_null(batch);
        }
        if (status != WEIR_OK) assert_refused(status, WEIR_MEMORY, &error, "memory");
        assert_true(failing_allocator_clean(&memory));
    } while (status != WEIR_OK);
    assert_in_range(n, 6, 100);
}

static void test_steps_allocate_nothing(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    weir_batch_options sizes = {.rows = 40, .threads = 2, .allocator = &memory.allocator};
    weir_batch *batch = batch_make(tiny.model, sizes);
    int32_t tokens[16];
    weir_turn turns[4];
    for (int i = 0; i < 4; i++) {
        weir_stream_options options = options_in(batch, i % 2 ? WEIR_WINDOW : WEIR_SINK, 20 + i);
        if (i % 2) options.sinks = -1;
        options.allocator = &memory.allocator;
        turns[i] = (weir_turn){.stream = stream_make(tiny.model, &options), .tokens = tokens};
    }
    memory.fail_all = true;
    for (int64_t round = 0; round < 100; round++) {
        random_tokens(tokens, round, 16);
        for (int64_t i = 0; i < 4; i++) turns[i].count = round == 0 ? 9 : (round + i) % 5 * 3 % 11;
        step(batch, turns, 4);
        for (int i = 0; i < 4; i++) assert_int_equal(turns[i].error.status, WEIR_OK);
    }
    for (int i = 0; i < 4; i++) weir_stream_destroy(turns[i].stream);
    weir_batch_destroy(batch);
    assert_true(failing_allocator_clean(&memory));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_stream_plan),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_steps),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_generate_refused),
        cmocka_unit_test(test_draws_from),
        cmocka_unit_test(test_held_text),
        cmocka_unit_test(test_rewound_and_loaded),
        cmocka_unit_test(test_one_fails),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_memory_fails),
        cmocka_unit_test(test_steps_allocate_nothing),
    };
    return cmocka_run_group_tests_name("a batch", tests, tiny_set_up, tiny_tear_down);
}
