/* Text and messages of a batch's streams, tokenized apart from the steps that compute them: the
 * bits are those of feeding. And tokens back to text, beside a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/random_model.h"

static const char text[] = "the river runs on, and the mill hums by the weir \xe2\x82\xac all day "
                           "and all night; hum, hum, says the mill, and the river runs on";

/* A stream in a batch, and what waits to be fed to it. */
typedef struct fed_by_turns {
    weir_batch *batch;
    weir_stream *stream;
    int32_t tokens[512]; /* -1: a border */
    int64_t at, end;
} fed_by_turns;

static fed_by_turns by_turns(void) {
    weir_error error;
    fed_by_turns made = {.at = 0};
    weir_batch_options sizes = {.rows = 16, .streams = 2, .threads = 1};
    must(weir_batch_create(tiny.model, &sizes, &made.batch, &error), &error);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 28);
    options.threads = 0;
    options.batch = made.batch;
    made.stream = stream_make(tiny.model, &options);
    return made;
}

static void end(fed_by_turns *fed) {
    weir_stream_destroy(fed->stream);
    weir_batch_destroy(fed->batch);
}

static weir_status take(void *context, const int32_t *tokens, int64_t count) {
    fed_by_turns *fed = context;
    for (int64_t i = 0; i < count; i++) fed->tokens[fed->end++] = tokens[i];
    return WEIR_OK;
}

static weir_status take_or_border(void *context, const int32_t *tokens, int64_t count,
                                  bool border) {
    const int32_t mark = -1;
    return border ? take(context, &mark, 1) : take(context, tokens, count);
}

/* In turns of at most `most` tokens. */
static void step(fed_by_turns *fed, int64_t most, bool holds) {
    weir_error error;
    while (fed->at < fed->end) {
        int64_t count = 0;
        if (fed->tokens[fed->at] < 0) {
            must(weir_stream_border(fed->stream, &error), &error);
            fed->at++;
            continue;
        }
        while (count < most && fed->at + count < fed->end && fed->tokens[fed->at + count] >= 0)
            count++;
        weir_turn turn = {
            .stream = fed->stream, .tokens = fed->tokens + fed->at, .count = count, .holds = holds};
        must(weir_batch_step(fed->batch, &turn, 1, &error), &error);
        must(turn.error.status, &turn.error);
        fed->at += count;
    }
    fed->at = fed->end = 0;
}

static weir_stream *alone(void) {
    weir_stream_options options = stream_options(WEIR_SINK, 4, 28);
    return stream_make(tiny.model, &options);
}

static void assert_same_place(weir_stream *a, weir_stream *b) {
    weir_stream_state one, other;
    weir_stream_get_state(a, &one);
    weir_stream_get_state(b, &other);
    assert_int_equal(one.index, other.index);
    assert_int_equal(one.held, other.held);
}

static void test_text_by_turns(void **state) {
    (void)state;
    weir_error error;
    weir_stream *whole = alone();
    must(weir_stream_feed_text(whole, text, sizeof text - 1, &error), &error);
    for (size_t piece = 1; piece < 40; piece += 3) {
        fed_by_turns fed = by_turns();
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            must(weir_batch_tokenize(fed.stream, text + at, left < piece ? left : piece, false,
                                     take, &fed, &error),
                 &error);
            step(&fed, 1 + (int64_t)piece % 16, true);
        }
        assert_same_place(fed.stream, whole);
        /* what is held comes with the flush, and not twice */
        must(weir_batch_tokenize(fed.stream, "", 0, true, take, &fed, &error), &error);
        step(&fed, 16, false);
        weir_stream *flushed;
        must(weir_stream_fork(whole, &flushed, &error), &error);
        must(weir_stream_flush(flushed, &error), &error);
        assert_same_place(fed.stream, flushed);
        assert_int_equal(stream_bits(fed.stream), stream_bits(flushed));
        weir_stream_destroy(flushed);
        end(&fed);
    }
    weir_stream_destroy(whole);
}

/* A turn that does not hold feeds what is held first, as before. */
static void test_held_text_goes_first(void **state) {
    (void)state;
    weir_error error;
    const int32_t next = random_token(0);
    fed_by_turns fed = by_turns();
    weir_stream *whole = alone();
    must(weir_batch_tokenize(fed.stream, "hum", 3, false, take, &fed, &error), &error);
    step(&fed, 16, true);
    take(&fed, &next, 1);
    step(&fed, 16, false);
    must(weir_stream_feed_text(whole, "hum", 3, &error), &error);
    must(weir_stream_feed_tokens(whole, &next, 1, &error), &error);
    assert_same_place(fed.stream, whole);
    assert_int_equal(stream_bits(fed.stream), stream_bits(whole));
    weir_stream_destroy(whole);
    end(&fed);
}

static weir_status refuse_tokens(void *context, const int32_t *tokens, int64_t count) {
    (void)context, (void)tokens, (void)count;
    return WEIR_MEMORY;
}

static void test_a_failure_is_passed_on(void **state) {
    (void)state;
    weir_error error;
    fed_by_turns fed = by_turns();
    weir_status status =
        weir_batch_tokenize(fed.stream, text, 20, true, refuse_tokens, NULL, &error);
    assert_refused(status, WEIR_MEMORY, &error, "memory");
    end(&fed);
}

/* Two turns of a talk with an answer between them. */
static void test_messages_by_turns(void **state) {
    (void)state;
    weir_error error;
    weir_message first[] = {{WEIR_ROLE_SYSTEM, "the mill", 8}, {WEIR_ROLE_USER, "hums", 4}};
    weir_message second = {WEIR_ROLE_USER, "and then?", 9};
    weir_generate generate = weir_generate_default();
    generate.tokens = 5;
    fed_by_turns fed = by_turns();
    weir_stream *whole = alone();
    for (int turn = 0; turn < 2; turn++) {
        const weir_message *messages = turn == 0 ? first : &second;
        int64_t count = turn == 0 ? 2 : 1;
        must(weir_stream_feed_chat(whole, messages, count, &error), &error);
        must(weir_batch_tokenize_chat(fed.stream, messages, count, take_or_border, &fed, &error),
             &error);
        step(&fed, 7, false);
        assert_same_place(fed.stream, whole);
        assert_int_equal(stream_bits(fed.stream), stream_bits(whole));
        must(weir_stream_generate(whole, &generate, NULL, NULL, NULL, &error), &error);
        must(weir_stream_generate(fed.stream, &generate, NULL, NULL, NULL, &error), &error);
    }
    weir_stream_destroy(whole);
    end(&fed);
}

typedef struct made_text {
    weir_detokenizer state;
    char text[4000], again[4000];
    size_t size, again_size;
} made_text;

static bool compare(void *context, int32_t token, const char *piece, size_t size) {
    made_text *made = context;
    memcpy(made->text + made->size, piece, size);
    made->size += size;
    assert_true(made->again_size + weir_detokenize_room(tiny.model) < sizeof made->again);
    made->again_size +=
        weir_detokenize(tiny.model, &made->state, token, made->again + made->again_size);
    return true;
}

static void test_detokenize(void **state) {
    (void)state;
    weir_error error;
    made_text made = {.size = 0};
    weir_generate generate = {.tokens = 200};
    weir_stream *stream = alone();
    must(weir_stream_feed_text(stream, "hum", 3, &error), &error);
    made.state.begun = true;
    must(weir_stream_generate(stream, &generate, compare, &made, NULL, &error), &error);
    assert_true(made.size > 0);
    assert_int_equal(made.size, made.again_size);
    assert_memory_equal(made.text, made.again, made.size);
    assert_int_equal(weir_detokenize(tiny.model, &made.state, -1, made.again), 0);
    assert_int_equal(weir_detokenize(tiny.model, &made.state, INT32_MAX, made.again), 0);
    made.state = (weir_detokenizer){.held = {0xe2, 0x82}, .held_size = 2};
    assert_int_equal(weir_detokenize_end(&made.state, made.again), 3);
    assert_memory_equal(made.again, "\xef\xbf\xbd", 3);
    assert_int_equal(weir_detokenize_end(&made.state, made.again), 0);
    weir_stream_destroy(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_by_turns),
        cmocka_unit_test(test_held_text_goes_first),
        cmocka_unit_test(test_a_failure_is_passed_on),
        cmocka_unit_test(test_messages_by_turns),
        cmocka_unit_test(test_detokenize),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
