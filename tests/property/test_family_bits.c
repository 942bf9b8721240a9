/*
 * Every family, in both its forms: the logits of a stream have the same bits for every chunk and
 * thread count, after a fork, in a batch, and whether weights are rearranged or not; a stream takes
 * the memory of its plan and asks for no more; and where positions do not let it stream, one
 * sentence says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/family.h"
#include "support/random_model.h"

enum { TOKENS = 150, HALF = 67 };

static weir_status add_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    uint64_t *sum = context;
    *sum = wr_checksum(*sum, &index, sizeof index);
    *sum = wr_checksum(*sum, logits, (size_t)n_vocab * sizeof *logits);
    return WEIR_OK;
}

static void feed(weir_stream *stream, int64_t first, int64_t end, uint64_t *sum) {
    weir_error error;
    int32_t tokens[TOKENS];
    random_tokens(tokens, first, end - first);
    must(weir_stream_feed_scored(stream, tokens, end - first, add_row, sum, &error), &error);
}

/* The bits of all logits; with a fork in the middle, whose parent goes on otherwise. */
static uint64_t bits_of(const weir_model *model, weir_stream_options options, int64_t chunk,
                        int threads, bool forked) {
    weir_error error;
    uint64_t sum = 1, ignored = 0;
    options.chunk = chunk;
    options.threads = threads;
    weir_stream *stream = stream_make(model, &options);
    feed(stream, 0, HALF, &sum);
    if (forked) {
        weir_stream *child;
        must(weir_stream_fork(stream, &child, &error), &error);
        feed(stream, 3, 40, &ignored);
        weir_stream_destroy(stream);
        stream = child;
    }
    feed(stream, HALF, TOKENS, &sum);
    weir_stream_destroy(stream);
    return sum;
}

/* Five layers, so that patterns of layers show; heads of which a part is rotated, and of which some
 * layers see a window. */
static weir_random_model shape_of(const wr_family *family, bool variant) {
    weir_random_model shape = weir_random_model_default();
    shape.family = family->name;
    shape.variant = variant;
    shape.format = variant ? "F32" : "Q8_0";
    shape.layers = 5;
    shape.head_dim = 24; /* no multiple of any vector */
    shape.rotary_dim = 10;
    shape.layer_window = variant ? 11 : 0;
    shape.tied = variant;
    if (family->experts == WR_EXPERTS_ALWAYS || (family->experts == WR_EXPERTS_MAY && variant)) {
        shape.experts = variant ? 5 : 8;
        shape.experts_used = variant ? 3 : 2;
        if (!variant) shape.format = "MXFP4";
    }
    return shape;
}

static void check(const char *path, const char *name, weir_stream_options options) {
    static const struct {
        int64_t chunk;
        int threads;
        bool forked, mapped;
    } ways[] = {{3, 2, false, false},
                {64, 1, false, true},
                {64, 2, false, false},
                {128, 2, false, true},
                {7, 1, true, false}};
    uint64_t expected = 0;
    for (int mapped = 0; mapped < 2; mapped++) {
        weir_error error;
        weir_model *model;
        weir_model_options how = {.no_repack = mapped > 0};
        must(weir_model_open(path, &how, &model, &error), &error);
        if (!mapped) expected = bits_of(model, options, 1, 1, false);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
            if (ways[i].mapped == (mapped > 0) &&
                bits_of(model, options, ways[i].chunk, ways[i].threads, ways[i].forked) != expected)
                fail_msg("%s, policy %d: other bits with chunk %d and %d threads", name,
                         (int)options.policy, (int)ways[i].chunk, ways[i].threads);
        weir_model_close(model);
    }
}

/* A stream takes what its plan says and, once it lives, asks for no more. */
static void check_memory(const weir_model *model, weir_stream_options options) {
    weir_error error;
    weir_plan plan;
    weir_stream *stream;
    failing_allocator memory;
    uint64_t sum = 1;
    failing_allocator_init(&memory);
    options.allocator = &memory.allocator;
    must(weir_stream_plan(model, &options, &plan, &error), &error);
    must(weir_stream_create(model, &options, &stream, &error), &error);
    assert_int_equal(stream_state(stream).reserved_bytes, plan.reserved_bytes);
    memory.fail_all = true;
    const int64_t requests = memory.requests;
    feed(stream, 0, TOKENS, &sum);
    assert_int_equal(memory.requests, requests);
    weir_stream_destroy(stream);
    assert_true(failing_allocator_clean(&memory));
}

/* Two streams side by side in a batch, in pieces of 5 and 9 tokens. */
static void check_batch(const weir_model *model, const char *name,
                        const weir_stream_options policies[2]) {
    const weir_batch_options sizes = {.rows = 32, .streams = 2, .slots = TOKENS, .threads = 2};
    weir_error error;
    weir_batch *batch;
    weir_turn turns[2];
    int32_t tokens[2][TOKENS];
    int64_t fed[2] = {0, 0};
    uint64_t sums[2] = {1, 1};
    must(weir_batch_create(model, &sizes, &batch, &error), &error);
    for (int i = 0; i < 2; i++) {
        weir_stream_options options = policies[i];
        options.batch = batch;
        options.threads = 0;
        turns[i] = (weir_turn){
            .stream = stream_make(model, &options), .logits = add_row, .logits_context = &sums[i]};
        random_tokens(tokens[i], 0, TOKENS);
    }
    while (fed[0] < TOKENS || fed[1] < TOKENS) {
        int32_t count = 0;
        weir_turn step[2];
        for (int i = 0; i < 2; i++) {
            const int64_t piece = i == 0 ? 5 : 9, left = TOKENS - fed[i];
            if (left == 0) continue;
            step[count] = turns[i];
            step[count].tokens = tokens[i] + fed[i];
            step[count++].count = piece < left ? piece : left;
            fed[i] += piece < left ? piece : left;
        }
        must(weir_batch_step(batch, step, count, &error), &error);
        for (int i = 0; i < count; i++) assert_int_equal(step[i].error.status, WEIR_OK);
    }
    for (int i = 0; i < 2; i++) {
        weir_stream_destroy(turns[i].stream);
        if (sums[i] != bits_of(model, policies[i], 1, 1, false))
            fail_msg("%s, policy %d: other bits in a batch", name, (int)policies[i].policy);
    }
    weir_batch_destroy(batch);
}

static void refuses_to_stream(const weir_model *model) {
    static const weir_policy policies[] = {WEIR_SINK, WEIR_WINDOW};
    for (int i = 0; i < 2; i++) {
        weir_error error;
        weir_plan plan;
        weir_stream_options options = stream_options(policies[i], 4, 30);
        assert_refused(weir_stream_plan(model, &options, &plan, &error), WEIR_USAGE, &error,
                       "choose the policy recompute");
    }
    weir_error error;
    weir_plan plan;
    weir_stream_options options = stream_options(WEIR_DENSE, 0, RANDOM_CONTEXT + 1);
    options.beyond = true;
    assert_refused(weir_stream_plan(model, &options, &plan, &error), WEIR_LIMIT, &error,
                   "choose the policy recompute");
}

static void check_family(const wr_family *family, bool variant) {
    const weir_random_model shape = shape_of(family, variant);
    const weir_stream_options policies[] = {
        stream_options(WEIR_DENSE, 0, TOKENS), stream_options(WEIR_RECOMPUTE, -1, 20),
        stream_options(WEIR_SINK, 4, 33), stream_options(WEIR_WINDOW, -1, 40)};
    random_model made;
    random_model_open(&made, &shape, NULL);
    const bool learned = strcmp(weir_model_get_info(made.model)->positions, "learned") == 0;
    assert_true(learned == (family->positions == WR_POSITIONS_LEARNED));
    if (learned) refuses_to_stream(made.model);
    const weir_stream_options pair[2] = {policies[learned ? 0 : 2], policies[learned ? 0 : 3]};
    check_batch(made.model, family->name, pair);
    for (int i = 0; i < (learned ? 2 : 4); i++) {
        check_memory(made.model, policies[i]);
        check(made.path, family->name, policies[i]);
    }
    random_model_close(&made);
}

static void test_families(void **state) {
    (void)state;
    int count = 0;
    for (const wr_family *family; (family = wr_family_at(count)) != NULL; count++) {
        if (family->encoder) continue; /* unit/test_embed */
        check_family(family, false);
        check_family(family, true);
    }
    assert_true(count > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families)};
    return cmocka_run_group_tests_name("equal bits over families", tests, NULL, NULL);
}
