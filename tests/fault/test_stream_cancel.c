/*
 * Interruptions: a call is cancelled from another thread, forks run at the same time, and a weight
 * is not a number. The stream is at a token border and goes on with the bits that it would have
 * had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "stream/stream_private.h"
#include "support/random_model.h"

enum { LONG = 400000 };

/* --- Cancelled from another thread ------------------------------------------------------------ */

typedef struct canceller {
    weir_stream *stream;
    atomic_bool go, done;
} canceller;

static void *cancel_when_told(void *context) {
    canceller *c = context;
    while (!atomic_load(&c->go)) usleep(100);
    weir_stream_cancel(c->stream);
    atomic_store(&c->done, true);
    return NULL;
}

/* However long the other thread sleeps, the text does not end before it has been cancelled. */
static void tell_canceller(void *context, int64_t first, int64_t end) {
    canceller *c = context;
    (void)first;
    if (end >= 1000) atomic_store(&c->go, true);
    while (end >= LONG / 2 && !atomic_load(&c->done)) usleep(100);
}

static void check_cancelled_feed(weir_stream_options options) {
    weir_error error;
    pthread_t thread;
    canceller c = {.stream = NULL};
    int32_t *tokens = malloc(LONG * sizeof *tokens);
    assert_non_null(tokens);
    random_tokens(tokens, 0, LONG);
    options.evicted = tell_canceller;
    options.evicted_context = &c;
    c.stream = stream_make(tiny.model, &options);
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_told, &c), 0);
    weir_status status = weir_stream_feed_tokens(c.stream, tokens, LONG, &error);
    pthread_join(thread, NULL);
    assert_refused(status, WEIR_CANCELLED, &error, "cancelled");
    int64_t index = stream_state(c.stream).index;
    assert_in_range(index, 1000, LONG - 1);
    assert_int_equal(index % options.chunk, 0);
    must(weir_stream_feed_tokens(c.stream, tokens + index, 333, &error), &error);
    options.evicted = NULL;
    weir_stream *fresh = stream_make(tiny.model, &options);
    must(weir_stream_feed_tokens(fresh, tokens, index + 333, &error), &error);
    assert_true(stream_bits(fresh) == stream_bits(c.stream));
    weir_stream_destroy(fresh);
    weir_stream_destroy(c.stream);
    free(tokens);
}

static void test_cancelled_feed(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    check_cancelled_feed(options);
    options.threads = 2;
    options.chunk = 64;
    check_cancelled_feed(options);
}

/* --- Cancelled while it drafts ---------------------------------------------------------------- */

static bool count_token(void *context, int32_t token, const char *text, size_t size) {
    canceller *c = context;
    (void)text, (void)size;
    if (token >= 0 && stream_state(c->stream).index > 300) atomic_store(&c->go, true);
    return true;
}

/* A rewind reaches as far, but for a page that the token which was cancelled was to begin. */
static void check_reachable(const weir_stream *cancelled, const weir_stream *fresh) {
    const weir_stream_state state = stream_state(cancelled);
    int64_t lost = state.reachable - stream_state(fresh).reachable;
    assert_true(lost == 0 || (lost == WR_PAGE_TOKENS && state.index % WR_PAGE_TOKENS == 0));
}

/* Whenever the end comes, the stream is the one that made as many tokens without a draft. */
static void test_cancelled_draft(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        weir_error error;
        pthread_t thread;
        canceller c = {.stream = NULL};
        weir_generated made;
        weir_sampling rules = weir_sampling_default();
        const weir_logit_bias bias[] = {{7, 100}, {8, 99.5f}, {9, 99}};
        weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
        rules.bias = bias;
        rules.bias_count = 3;
        options.threads = 1 + round % 2;
        weir_stream *fresh = stream_make(tiny.model, &options);
        c.stream = stream_make(tiny.model, &options);
        stream_feed(c.stream, 0, 50);
        stream_feed(fresh, 0, 50);
        must(weir_stream_set_sampling(c.stream, &rules, &error), &error);
        must(weir_stream_set_sampling(fresh, &rules, &error), &error);
        c.stream->pace.always = true;
        assert_int_equal(pthread_create(&thread, NULL, cancel_when_told, &c), 0);
        weir_generate endless = {.tokens = -1, .lookup = 15};
        weir_status status =
            weir_stream_generate(c.stream, &endless, count_token, &c, &made, &error);
        pthread_join(thread, NULL);
        assert_refused(status, WEIR_CANCELLED, &error, "cancelled");
        assert_true(made.accepted > 0);
        assert_int_equal(stream_state(c.stream).index, 50 + made.tokens);
        weir_generate same = {.tokens = made.tokens};
        must(weir_stream_generate(fresh, &same, NULL, NULL, &made, &error), &error);
        check_reachable(c.stream, fresh);
        assert_true(stream_bits(fresh) == stream_bits(c.stream));
        stream_feed(c.stream, 0, 33);
        stream_feed(fresh, 0, 33);
        assert_true(stream_bits(fresh) == stream_bits(c.stream));
        weir_stream_destroy(fresh);
        weir_stream_destroy(c.stream);
    }
}

/* --- Cancelled before it begins --------------------------------------------------------------- */

static void test_cancelled_before(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    weir_stream *fresh = stream_make(tiny.model, &options);
    weir_generated made;
    weir_generate generate = {.tokens = 10};
    /* the first text of all: what comes instead is the first text */
    weir_stream_cancel(stream);
    assert_int_equal(weir_stream_feed_text(stream, "not this", 8, &error), WEIR_CANCELLED);
    assert_int_equal(stream_state(stream).index, 0);
    assert_int_equal(stream_state(stream).held, 0);
    must(weir_stream_feed_text(stream, "once upon", 9, &error), &error);
    must(weir_stream_feed_text(fresh, "once upon", 9, &error), &error);
    assert_true(stream_bits(stream) == stream_bits(fresh));
    assert_int_equal(stream_state(stream).index, stream_state(fresh).index);
    /* generation: nothing was made, and what follows is the same */
    weir_stream_cancel(stream);
    assert_int_equal(weir_stream_generate(stream, &generate, NULL, NULL, &made, &error),
                     WEIR_CANCELLED);
    assert_int_equal(made.tokens, 0);
    must(weir_stream_generate(stream, &generate, NULL, NULL, &made, &error), &error);
    assert_int_equal(made.tokens, 10);
    must(weir_stream_generate(fresh, &generate, NULL, NULL, NULL, &error), &error);
    assert_true(stream_bits(stream) == stream_bits(fresh));
    weir_stream_destroy(stream);
    weir_stream_destroy(fresh);
}

/* Held text with the first space in it, lost at a flush. */
static void test_cancelled_flush(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    weir_stream *fresh = stream_make(tiny.model, &options);
    must(weir_stream_feed_text(stream, "held", 4, &error), &error);
    if (stream_state(stream).held > 0) {
        int64_t index = stream_state(stream).index;
        weir_stream_cancel(stream);
        assert_int_equal(weir_stream_flush(stream, &error), WEIR_CANCELLED);
        assert_int_equal(stream_state(stream).index, index);
        must(weir_stream_feed_text(stream, "once", 4, &error), &error);
        must(weir_stream_feed_text(fresh, "once", 4, &error), &error);
        assert_true(stream_bits(stream) == stream_bits(fresh));
    }
    weir_stream_destroy(stream);
    weir_stream_destroy(fresh);
}

static void test_cancelled_recompute(void **state) {
    (void)state;
    weir_error error;
    const float *logits;
    weir_stream_options options = stream_options(WEIR_RECOMPUTE, -1, 40);
    weir_stream *stream = stream_make(tiny.model, &options);
    weir_stream *fresh = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 100);
    stream_feed(fresh, 0, 100);
    weir_stream_cancel(stream);
    assert_int_equal(weir_stream_logits(stream, &logits, &error), WEIR_CANCELLED);
    assert_null(logits);
    assert_int_equal(stream_state(stream).index, 100);
    assert_true(stream_bits(stream) == stream_bits(fresh));
    weir_stream_destroy(stream);
    weir_stream_destroy(fresh);
}

/* Windows scored side by side: cancelled between two groups of them, and inside one. */
typedef struct scoring {
    weir_stream *stream;
    int64_t rows;
    int64_t cancel_at;    /* by the callback of that row; -1: not there */
    int64_t cancel_after; /* in the first layer after so many rows */
} scoring;

static weir_status cancel_at_row(void *context, int64_t index, const float *logits,
                                 int32_t n_vocab) {
    scoring *s = context;
    (void)logits;
    (void)n_vocab;
    assert_int_equal(index, s->rows++);
    if (index == s->cancel_at) weir_stream_cancel(s->stream);
    return WEIR_OK;
}

static void cancel_in_layer(void *context, weir_point point, int layer, int64_t first,
                            const float *data, int64_t rows, int64_t columns) {
    scoring *s = context;
    (void)first;
    (void)data;
    (void)rows;
    (void)columns;
    if (point == WEIR_POINT_VALUE && layer == 0 && s->rows >= s->cancel_after)
        weir_stream_cancel(s->stream);
}

static void test_cancelled_scoring(void **state) {
    (void)state;
    weir_error error;
    int32_t tokens[150];
    random_tokens(tokens, 0, 150);
    for (int inside = 0; inside < 2; inside++) {
        weir_stream_options options = stream_options(WEIR_RECOMPUTE, -1, 10);
        options.chunk = 64; /* six windows */
        scoring s = {.stream = stream_make(tiny.model, &options),
                     .cancel_at = inside ? -1 : 57,
                     .cancel_after = 58};
        weir_stream *fresh = stream_make(tiny.model, &options);
        if (inside) weir_stream_observe(s.stream, cancel_in_layer, &s);
        assert_int_equal(weir_stream_feed_scored(s.stream, tokens, 150, cancel_at_row, &s, &error),
                         WEIR_CANCELLED);
        int64_t index = stream_state(s.stream).index;
        assert_in_range(index, 58, 58 + 2 * 6);
        assert_in_range(s.rows, 58, index);
        weir_stream_observe(s.stream, NULL, NULL);
        must(weir_stream_feed_tokens(fresh, tokens, index, &error), &error);
        assert_true(stream_bits(s.stream) == stream_bits(fresh));
        s = (scoring){.stream = s.stream, .rows = index, .cancel_at = -1};
        must(weir_stream_feed_scored(s.stream, tokens + index, 150 - index, cancel_at_row, &s,
                                     &error),
             &error);
        must(weir_stream_feed_tokens(fresh, tokens + index, 150 - index, &error), &error);
        assert_int_equal(s.rows, 150);
        assert_true(stream_bits(s.stream) == stream_bits(fresh));
        weir_stream_destroy(s.stream);
        weir_stream_destroy(fresh);
    }
}

/* --- Forks at the same time ------------------------------------------------------------------- */

typedef struct runner {
    weir_stream *stream;
    int64_t first, end;
    uint64_t bits;
} runner;

static void *run_on(void *context) {
    runner *r = context;
    weir_generate generate = {.tokens = 20};
    stream_feed(r->stream, r->first, r->end);
    weir_stream_generate(r->stream, &generate, NULL, NULL, NULL, NULL);
    r->bits = stream_bits(r->stream);
    return NULL;
}

static void test_forks_at_once(void **state) {
    (void)state;
    weir_error error;
    for (int threads = 1; threads <= 2; threads++) {
        weir_stream_options options = stream_options(WEIR_SINK, 36, 60);
        options.threads = threads;
        runner at_once[4], one_by_one[4];
        for (int alone = 0; alone < 2; alone++) {
            runner *runners = alone ? one_by_one : at_once;
            pthread_t ids[4];
            runners[0] = (runner){.stream = stream_make(tiny.model, &options), .end = 400};
            stream_feed(runners[0].stream, 0, 34);
            runners[0].first = 34;
            for (int i = 1; i < 4; i++) {
                runners[i] = (runner){.first = 1000 * i, .end = 1000 * i + 300};
                must(weir_stream_fork(runners[i - 1].stream, &runners[i].stream, &error), &error);
            }
            for (int i = 0; i < 4; i++)
                if (alone)
                    run_on(&runners[i]);
                else
                    assert_int_equal(pthread_create(&ids[i], NULL, run_on, &runners[i]), 0);
            for (int i = 0; i < 4 && !alone; i++) pthread_join(ids[i], NULL);
            for (int i = 0; i < 4; i++) weir_stream_destroy(runners[i].stream);
        }
        for (int i = 0; i < 4; i++) assert_true(at_once[i].bits == one_by_one[i].bits);
    }
}

/* --- Not a number
 * --------------------------------------------------------------------------------*/

/* A copy of the file with the float at `where`, a place in the mapped weights, replaced. */
static void spoil(random_model *out, const random_model *good, const void *where, float value) {
    static uint8_t bytes[1 << 20];
    weir_error error;
    FILE *file = fopen(good->path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(size < sizeof bytes);
    uint8_t *place = memmem(bytes, size, where, 16 * sizeof(float));
    assert_non_null(place);
    memcpy(place + 5 * sizeof value, &value, sizeof value);
    snprintf(out->path, sizeof out->path, "/tmp/weir-spoilt-%d.gguf", (int)getpid());
    file = fopen(out->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    must(weir_model_open(out->path, NULL, &out->model, &error), &error);
}

static void spoil_norm(random_model *out, float value) {
    spoil(out, &tiny, tiny.model->final_norm.weight, value);
}

static bool no_text(void *context, int32_t token, const char *text, size_t size) {
    (void)context;
    (void)token;
    (void)text;
    (void)size;
    fail_msg("text was made of NaN");
    return true;
}

static weir_status no_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    (void)context;
    (void)index;
    (void)logits;
    (void)n_vocab;
    fail_msg("a row was handed over");
    return WEIR_OK;
}

static void test_not_a_number(void **state) {
    (void)state;
    static const float values[] = {NAN, INFINITY};
    weir_policy policies[] = {WEIR_SINK, WEIR_RECOMPUTE};
    for (int i = 0; i < 4; i++) {
        random_model spoilt;
        weir_error error;
        const float *logits;
        int32_t token = 9;
        weir_generated made;
        weir_generate generate = {.tokens = 10};
        spoil_norm(&spoilt, values[i % 2]);
        weir_stream_options options = stream_options(policies[i / 2], 4, 60);
        weir_stream *stream = stream_make(spoilt.model, &options);
        stream_feed(stream, 0, 100);
        assert_refused(weir_stream_logits(stream, &logits, &error), WEIR_NAN, &error, "weights");
        assert_null(logits);
        assert_refused(weir_stream_next(stream, &token, &error), WEIR_NAN, &error, "weights");
        assert_refused(weir_stream_generate(stream, &generate, no_text, NULL, &made, &error),
                       WEIR_NAN, &error, "weights");
        assert_int_equal(made.tokens, 0);
        assert_int_equal(stream_state(stream).index, 100);
        assert_refused(weir_stream_feed_scored(stream, &token, 1, no_row, NULL, &error), WEIR_NAN,
                       &error, "");
        assert_int_equal(stream_state(stream).index, 101);
        weir_stream_destroy(stream);
        random_model_close(&spoilt);
    }
}

/* The row of token 9 is not a number. It was said long ago, after 7 8, and has left the window, and
 * so has all that it spoilt; it is drafted when 7 8 come again. */
static weir_stream *stream_with_spoilt_past(const weir_model *model, int32_t drawn) {
    static const int32_t past[] = {5, 7, 8, 9, 9, 9, 9};
    static const int32_t now[] = {5, 7};
    static weir_logit_bias bias[2];
    weir_error error;
    weir_sampling rules = weir_sampling_default();
    weir_stream_options options = stream_options(WEIR_WINDOW, -1, 10);
    weir_stream *stream = stream_make(model, &options);
    must(weir_stream_feed_tokens(stream, past, 7, &error), &error);
    for (int64_t i = 0; i < 60; i++) {
        const int32_t token = (int32_t)(20 + i);
        must(weir_stream_feed_tokens(stream, &token, 1, &error), &error);
    }
    must(weir_stream_feed_tokens(stream, now, 2, &error), &error);
    bias[0] = (weir_logit_bias){8, 100};
    bias[1] = (weir_logit_bias){drawn, drawn == 8 ? 0 : 200};
    rules.bias = bias;
    rules.bias_count = 2;
    rules.temperature = 0;
    must(weir_stream_set_sampling(stream, &rules, &error), &error);
    stream->pace.always = true;
    return stream;
}

static void test_draft_not_a_number(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    random_model good, spoilt;
    shape.tied = false;
    random_model_open(&good, &shape, NULL);
    const float *row = (const float *)good.model->embedding.data + 9 * shape.width;
    spoil(&spoilt, &good, row, NAN);
    for (int drawn = 8; drawn <= 9; drawn++) { /* 9: the row is fed after all, and looked at */
        weir_error errors[2];
        weir_generated made[2];
        weir_status statuses[2];
        weir_stream *streams[2];
        for (int i = 0; i < 2; i++) {
            weir_generate options = {.tokens = 5, .lookup = i * 4};
            streams[i] = stream_with_spoilt_past(spoilt.model, drawn);
            if (drawn == 9) { /* 7 8 | 9: the draft begins with what is to be drawn */
                const int32_t eight = 8;
                must(weir_stream_feed_tokens(streams[i], &eight, 1, &errors[i]), &errors[i]);
            }
            statuses[i] =
                weir_stream_generate(streams[i], &options, NULL, NULL, &made[i], &errors[i]);
        }
        assert_true(made[1].drafted > 0);
        assert_int_equal(made[0].tokens, made[1].tokens);
        assert_int_equal(statuses[0], drawn == 8 ? WEIR_OK : WEIR_NAN);
        assert_int_equal(statuses[1], statuses[0]);
        if (drawn == 9) assert_string_equal(errors[0].message, errors[1].message);
        if (drawn == 8) assert_true(stream_bits(streams[0]) == stream_bits(streams[1]));
        assert_int_equal(stream_state(streams[0]).index, stream_state(streams[1]).index);
        for (int i = 0; i < 2; i++) weir_stream_destroy(streams[i]);
    }
    random_model_close(&spoilt);
    random_model_close(&good);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancelled_feed),    cmocka_unit_test(test_cancelled_before),
        cmocka_unit_test(test_cancelled_flush),   cmocka_unit_test(test_cancelled_recompute),
        cmocka_unit_test(test_cancelled_scoring), cmocka_unit_test(test_forks_at_once),
        cmocka_unit_test(test_not_a_number),      cmocka_unit_test(test_cancelled_draft),
        cmocka_unit_test(test_draft_not_a_number)};
    return cmocka_run_group_tests_name("interruptions", tests, tiny_set_up, tiny_tear_down);
}
