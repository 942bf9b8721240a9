/*
 * Feeding: text in pieces is the whole text, BOS and the space prefix come once, nothing is fed
 * when a call is refused, and what was evicted is told exactly once, in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/random_model.h"

static const char text[] =
    "Once upon a time there was a weir in a river; the water went over it, and over it, without "
    "end.  Two  spaces, na\xC3\xAFve caf\xC3\xA9, \xE6\xBC\xA2\xE5\xAD\x97, \xF0\x9F\x98\x80!\n\n"
    "\ttabs and \xFF\xFE bytes that are not UTF-8 (\xC3), and \"quotes\" -- the end of the text.";

static weir_stream_options plain(void) { return stream_options(WEIR_SINK, 4, 252); }

/* --- Text ------------------------------------------------------------------------------------- */

static weir_status count_tokens(void *context, const int32_t *tokens, int64_t count) {
    (void)tokens;
    *(int64_t *)context += count;
    return WEIR_OK;
}

static weir_status feed_them(void *context, const int32_t *tokens, int64_t count) {
    return weir_stream_feed_tokens(context, tokens, count, NULL);
}

static void test_pieces(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 7, 64, sizeof text};
    weir_error error;
    weir_stream_options options = plain();
    weir_stream *by_tokens = stream_make(tiny.model, &options);
    int64_t count = 0;
    must(weir_model_tokenize(tiny.model, text, sizeof text - 1, true, count_tokens, &count, &error),
         &error);
    must(weir_model_tokenize(tiny.model, text, sizeof text - 1, true, feed_them, by_tokens, &error),
         &error);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        weir_stream *stream = stream_make(tiny.model, &options);
        for (size_t at = 0; at < sizeof text - 1; at += sizes[s]) {
            size_t left = sizeof text - 1 - at;
            size_t size = sizes[s] < left ? sizes[s] : left;
            must(weir_stream_feed_text(stream, text + at, size, &error), &error);
            must(weir_stream_feed_text(stream, text, 0, &error), &error); /* nothing is nothing */
        }
        must(weir_stream_flush(stream, &error), &error);
        must(weir_stream_flush(stream, &error), &error);
        assert_int_equal(stream_state(stream).held, 0);
        assert_int_equal(stream_state(stream).index, count);
        assert_true(stream_bits(stream) == stream_bits(by_tokens));
        weir_stream_destroy(stream);
    }
    weir_stream_destroy(by_tokens);
}

/* BOS stands at index 0 when text comes first, and never again; tokens bring none. */
static void test_bos(void **state) {
    (void)state;
    weir_error error;
    const weir_model_info *info = weir_model_get_info(tiny.model);
    assert_true(info->adds_bos && info->bos >= 0);
    weir_stream_options options = plain();
    weir_stream *stream = stream_make(tiny.model, &options);
    weir_stream *other = stream_make(tiny.model, &options);
    must(weir_stream_feed_text(stream, "", 0, &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    int64_t bos = stream_state(stream).index; /* 1: the empty text begins the stream too */
    assert_int_equal(bos, 1);
    must(weir_stream_feed_tokens(other, &info->bos, 1, &error), &error);
    assert_true(stream_bits(stream) == stream_bits(other));
    must(weir_stream_feed_text(stream, "a b", 3, &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    int64_t first = stream_state(stream).index;
    must(weir_stream_feed_text(stream, " a b", 4, &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    assert_int_equal(stream_state(stream).index - first, first - bos); /* no BOS, the same words */
    must(weir_stream_rewind(stream, 0, &error), &error);
    must(weir_stream_feed_text(stream, "a b", 3, &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    assert_int_equal(stream_state(stream).index, first); /* from the beginning again */
    must(weir_stream_rewind(stream, 1, &error),
         &error); /* behind BOS: the prefix is still to come */
    must(weir_stream_feed_text(stream, "a b", 3, &error), &error);
    must(weir_stream_feed_text(other, "a b", 3, &error), &error);
    assert_true(stream_bits(stream) == stream_bits(other));
    weir_stream_destroy(stream);
    stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 1);
    must(weir_stream_feed_text(stream, "a b", 3, &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    assert_int_equal(stream_state(stream).index, 1 + first - bos);
    weir_stream_destroy(stream);
    weir_stream_destroy(other);
}

/* Tokens, a border and a pin put held text first; a rewind drops it. */
static void test_held_text(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = plain();
    weir_stream *whole = stream_make(tiny.model, &options);
    must(weir_stream_feed_text(whole, "held", 4, &error), &error);
    must(weir_stream_flush(whole, &error), &error);
    int64_t index = stream_state(whole).index;
    for (int how = 0; how < 5; how++) {
        int32_t token = 7;
        weir_stream *stream = stream_make(tiny.model, &options);
        must(weir_stream_feed_text(stream, "held", 4, &error), &error);
        assert_true(stream_state(stream).held > 0);
        int64_t before = stream_state(stream).index;
        if (how == 0) must(weir_stream_feed_tokens(stream, &token, 0, &error), &error);
        if (how == 1) must(weir_stream_border(stream, &error), &error);
        if (how == 2) must(weir_stream_pin(stream, 2, &error), &error);
        if (how == 3) must(weir_stream_rewind(stream, before, &error), &error);
        if (how < 3) assert_true(stream_bits(stream) == stream_bits(whole));
        if (how == 4) {
            must(weir_stream_feed_tokens(stream, &token, 1, &error), &error);
            assert_int_equal(stream_state(stream).index, index + 1);
        } else {
            assert_int_equal(stream_state(stream).index, how == 3 ? before : index);
        }
        assert_int_equal(stream_state(stream).held, 0);
        weir_stream_destroy(stream);
    }
    weir_stream_destroy(whole);
}

/* --- Tokens ----------------------------------------------------------------------------------- */

static weir_status stop_at(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    (void)logits;
    (void)n_vocab;
    return index == *(int64_t *)context ? WEIR_LIMIT : WEIR_OK;
}

static void test_refused_tokens(void **state) {
    (void)state;
    weir_error error;
    weir_stream_options options = plain();
    weir_stream *stream = stream_make(tiny.model, &options);
    int32_t tokens[40];
    random_tokens(tokens, 0, 40);
    must(weir_stream_feed_tokens(stream, NULL, 0, &error), &error);
    const float *logits = (const float *)tokens;
    assert_refused(weir_stream_logits(stream, &logits, &error), WEIR_USAGE, &error, "feed it");
    assert_null(logits);
    stream_feed(stream, 0, 10);
    uint64_t bits = stream_bits(stream);
    assert_refused(weir_stream_feed_tokens(stream, tokens, -1, &error), WEIR_USAGE, &error, "-1");
    static const int32_t wrong[] = {-1, RANDOM_VOCABULARY, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        tokens[39] = wrong[i]; /* in the third chunk */
        assert_refused(weir_stream_feed_tokens(stream, tokens, 40, &error), WEIR_USAGE, &error,
                       "outside the vocabulary");
        assert_int_equal(stream_state(stream).index, 10);
        assert_true(stream_bits(stream) == bits);
    }
    random_tokens(tokens, 10, 40);
    int64_t where = 20; /* the caller stops: chunks that were complete stay */
    assert_refused(weir_stream_feed_scored(stream, tokens, 40, stop_at, &where, &error), WEIR_LIMIT,
                   &error, "stopped by the caller");
    int64_t index = stream_state(stream).index;
    assert_int_equal(index, 26);
    stream_feed(stream, index, 50);
    weir_stream *fresh = stream_make(tiny.model, &options);
    stream_feed(fresh, 0, 50);
    assert_true(stream_bits(stream) == stream_bits(fresh));
    weir_stream_destroy(fresh);
    weir_stream_destroy(stream);
}

static void test_dense_is_full(void **state) {
    (void)state;
    weir_error error;
    int32_t tokens[64];
    random_tokens(tokens, 0, 64);
    weir_stream_options options = stream_options(WEIR_DENSE, -1, 50);
    weir_stream *stream = stream_make(tiny.model, &options);
    assert_refused(weir_stream_feed_tokens(stream, tokens, 51, &error), WEIR_LIMIT, &error,
                   "sink policy");
    assert_int_equal(stream_state(stream).index, 0);
    stream_feed(stream, 0, 50);
    uint64_t bits = stream_bits(stream);
    assert_refused(weir_stream_feed_tokens(stream, tokens, 1, &error), WEIR_LIMIT, &error,
                   "room for 0 of its 50");
    assert_int_equal(weir_stream_feed_text(stream, "and some more text", 18, &error), WEIR_LIMIT);
    assert_refused(weir_stream_next(stream, tokens, &error), WEIR_LIMIT, &error, "--context");
    assert_int_equal(stream_state(stream).index, 50);
    assert_true(stream_bits(stream) == bits);
    must(weir_stream_rewind(stream, 40, &error), &error);
    stream_feed(stream, 40, 50);
    assert_true(stream_bits(stream) == bits);
    weir_stream_destroy(stream);
}

/* --- What was evicted ------------------------------------------------------------------------- */

typedef struct told {
    int64_t next; /* everything before was told */
    int64_t calls;
} told;

static void note_evicted(void *context, int64_t first, int64_t end) {
    told *t = context;
    assert_int_equal(first, t->next);
    assert_true(end > first);
    t->next = end;
    t->calls++;
}

/* One token at a time or many; the state is right at every step. */
static void check_evicted(weir_stream_options options, int64_t step, bool by_message) {
    weir_error error;
    int64_t sinks = options.policy == WEIR_SINK ? options.sinks : 0;
    told seen = {.next = sinks};
    options.evicted = note_evicted;
    options.evicted_context = &seen;
    if (by_message) options.eviction = WEIR_EVICT_MESSAGE;
    weir_stream *stream = stream_make(tiny.model, &options);
    for (int64_t at = 0; at < 300; at += step) {
        if (at % 21 == 0 && by_message) must(weir_stream_border(stream, &error), &error);
        stream_feed(stream, at, at + step);
        weir_stream_state now = stream_state(stream);
        int64_t low = at + step - now.window;
        low = low > sinks ? low : sinks;
        assert_int_equal(now.index, at + step);
        assert_int_equal(now.sinks, sinks);
        assert_int_equal(now.oldest, seen.next);
        assert_int_equal(now.evicted, seen.next - sinks);
        assert_true(now.reachable <= now.index && now.held == 0);
        if (by_message)
            assert_true(now.oldest >= low);
        else
            assert_int_equal(now.oldest, low);
    }
    if (options.policy == WEIR_DENSE)
        assert_int_equal(seen.calls, 0);
    else
        assert_true(seen.calls > 3);
    weir_stream_destroy(stream);
}

static void test_evicted(void **state) {
    (void)state;
    static const int64_t steps[] = {1, 3, 20, 60};
    for (size_t s = 0; s < 4; s++) {
        check_evicted(stream_options(WEIR_SINK, 4, 60), steps[s], false);
        check_evicted(stream_options(WEIR_SINK, 40, 1), steps[s], false);
        check_evicted(stream_options(WEIR_WINDOW, -1, 40), steps[s], false);
        check_evicted(stream_options(WEIR_RECOMPUTE, -1, 20), steps[s], false);
        check_evicted(stream_options(WEIR_SINK, 4, 60), steps[s], true);
        check_evicted(stream_options(WEIR_WINDOW, -1, 50), steps[s], true);
    }
    weir_stream_options dense = stream_options(WEIR_DENSE, -1, 300);
    dense.beyond = true;
    check_evicted(dense, 10, false);
}

/* The first S + W, and the last ones however far the stream went; nothing between, nothing beyond.
 */
static void tokens_are_remembered(void **state) {
    (void)state;
    enum { LENGTH = 9000 };
    weir_error error;
    int32_t got[64], wanted[64];
    weir_stream_options options = stream_options(WEIR_SINK, 2, 30);
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, LENGTH);
    static const int64_t firsts[] = {0, 10, LENGTH - 64, LENGTH - 4000};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        const int64_t count = firsts[i] < 20 ? 20 : 64;
        must(weir_stream_get_tokens(stream, firsts[i], firsts[i] + count, got, &error), &error);
        random_tokens(wanted, firsts[i], count);
        assert_memory_equal(got, wanted, (size_t)count * sizeof *got);
    }
    must(weir_stream_get_tokens(stream, LENGTH, LENGTH, got, &error), &error);
    assert_refused(weir_stream_get_tokens(stream, 1000, 1001, got, &error), WEIR_EVICTED, &error,
                   "no longer remembered");
    assert_refused(weir_stream_get_tokens(stream, LENGTH, LENGTH + 1, got, &error), WEIR_USAGE,
                   &error, "has no tokens");
    weir_stream_destroy(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_are_remembered),
                                       cmocka_unit_test(test_pieces),
                                       cmocka_unit_test(test_bos),
                                       cmocka_unit_test(test_held_text),
                                       cmocka_unit_test(test_refused_tokens),
                                       cmocka_unit_test(test_dense_is_full),
                                       cmocka_unit_test(test_evicted)};
    return cmocka_run_group_tests_name("feeding", tests, tiny_set_up, tiny_tear_down);
}
