/*
 * Reading: the same logits by every way to them, and text that depends on the stream and the seed
 * alone, ends where it should, and never ends inside a character.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "support/random_model.h"

enum { FIRST_BYTE = 3, EOS = 2 }; /* as random models have them */

/* --- Logits ----------------------------------------------------------------------------------- */

typedef struct rows {
    uint64_t bits[256];
    int64_t next;
} rows;

static weir_status note_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    rows *r = context;
    assert_int_equal(index, r->next);
    assert_int_equal(n_vocab, RANDOM_VOCABULARY);
    r->bits[r->next++] = logits_sum(logits, n_vocab);
    return WEIR_OK;
}

static void test_scored_rows(void **state) {
    (void)state;
    weir_stream_options list[] = {
        stream_options(WEIR_SINK, 4, 60), stream_options(WEIR_WINDOW, -1, 33),
        stream_options(WEIR_DENSE, -1, 200), stream_options(WEIR_RECOMPUTE, -1, 20)};
    for (int i = 0; i < 4; i++)
        for (int64_t chunk = 1; chunk <= 100; chunk += 33) {
            weir_error error;
            int32_t tokens[150];
            rows scored = {.next = 0};
            random_tokens(tokens, 0, 150);
            list[i].chunk = chunk;
            weir_stream *stream = stream_make(tiny.model, &list[i]);
            must(weir_stream_feed_scored(stream, tokens, 150, note_row, &scored, &error), &error);
            assert_int_equal(scored.next, 150);
            assert_true(stream_bits(stream) == scored.bits[149]);
            weir_stream_destroy(stream);
            stream = stream_make(tiny.model, &list[i]);
            for (int64_t t = 0; t < 150; t++) {
                stream_feed(stream, t, t + 1);
                assert_true(stream_bits(stream) == scored.bits[t]);
                assert_true(stream_bits(stream) == scored.bits[t]); /* asked twice */
            }
            weir_stream_destroy(stream);
        }
}

/* --- Text ------------------------------------------------------------------------------------- */

typedef struct collected {
    char text[16384];
    size_t size;
    int64_t tokens; /* calls with a token */
    int64_t limit;  /* false after so many; 0: never */
    int64_t rests;  /* calls with token -1 */
} collected;

static bool collect(void *context, int32_t token, const char *text, size_t size) {
    collected *out = context;
    assert_true(out->size + size < sizeof out->text);
    assert_int_equal(out->rests, 0); /* the rest comes last */
    memcpy(out->text + out->size, text, size);
    out->size += size;
    out->text[out->size] = '\0';
    if (token < 0)
        out->rests++;
    else
        out->tokens++;
    return out->limit == 0 || out->tokens < out->limit;
}

static weir_sampling lively(uint64_t seed) {
    weir_sampling rules = weir_sampling_default();
    rules.temperature = 1.2f;
    rules.top_k = 0;
    rules.seed = seed;
    return rules;
}

static weir_stream *prompted(int64_t chunk, int32_t threads, const weir_sampling *rules) {
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    options.chunk = chunk;
    options.threads = threads;
    weir_stream *stream = stream_make(tiny.model, &options);
    must(weir_stream_set_sampling(stream, rules, &error), &error);
    must(weir_stream_feed_text(stream, "a long time ago", 15, &error), &error);
    return stream;
}

static weir_generated run(weir_stream *stream, weir_generate generate, collected *out) {
    weir_error error;
    weir_generated made;
    must(weir_stream_generate(stream, &generate, collect, out, &made, &error), &error);
    return made;
}

static void same_text(const weir_sampling *rules) {
    static collected first;
    weir_generate generate = {.tokens = 200};
    for (int i = 0; i < 4; i++) {
        static const int64_t chunks[] = {16, 1, 128, 7};
        collected again = {.size = 0};
        weir_stream *stream = prompted(chunks[i], i % 2 + 1, rules);
        if (i == 3) { /* in many calls */
            generate.tokens = 8;
            for (int n = 0; n < 25; n++) run(stream, generate, &again);
        } else {
            assert_int_equal(run(stream, generate, &again).tokens, 200);
        }
        weir_stream_destroy(stream);
        if (i == 0) first = again;
        assert_string_equal(first.text, again.text);
        assert_true(first.size > 100);
    }
}

static void test_same_text(void **state) {
    (void)state;
    weir_sampling greedy = weir_sampling_default();
    greedy.temperature = 0;
    greedy.frequency_penalty = 0.5f;
    same_text(&greedy);
    weir_sampling rules = lively(3);
    same_text(&rules);
    rules.seed = 4;
    collected a = {.size = 0}, b = {.size = 0};
    weir_stream *stream = prompted(16, 1, &rules);
    run(stream, (weir_generate){.tokens = 60}, &a);
    weir_stream_destroy(stream);
    rules.seed = 5;
    stream = prompted(16, 1, &rules);
    run(stream, (weir_generate){.tokens = 60}, &b);
    weir_stream_destroy(stream);
    assert_string_not_equal(a.text, b.text);
}

/* --- Where it ends ---------------------------------------------------------------------------- */

static void test_stop_strings(void **state) {
    (void)state;
    weir_sampling rules = lively(9);
    collected whole = {.size = 0};
    weir_stream *stream = prompted(16, 1, &rules);
    run(stream, (weir_generate){.tokens = 120}, &whole);
    weir_stream_destroy(stream);
    for (size_t at = 20; at + 12 < whole.size; at += 9)
        for (size_t size = 1; size <= 11; size += 5) {
            char wanted[16] = "";
            memcpy(wanted, whole.text + at, size);
            if (strlen(wanted) != size) continue;
            const char *stop[] = {"\x01 is not there", wanted};
            collected out = {.size = 0};
            stream = prompted(16, 1, &rules);
            weir_generated made =
                run(stream, (weir_generate){.tokens = 120, .stop = stop, .stop_count = 2}, &out);
            weir_stream_destroy(stream);
            assert_int_equal(made.reason, WEIR_STOP_STRING);
            size_t end =
                (size_t)((char *)memmem(whole.text, whole.size, wanted, size) - whole.text);
            assert_int_equal(out.size, end);
            assert_memory_equal(out.text, whole.text, end);
            assert_int_equal(out.rests, 0);
        }
    /* what only began a stop string is handed over at the end */
    char begun[16];
    snprintf(begun, sizeof begun, "%s\x01", whole.text + whole.size - 4);
    const char *stop[] = {begun};
    collected out = {.size = 0};
    stream = prompted(16, 1, &rules);
    weir_generated made =
        run(stream, (weir_generate){.tokens = 120, .stop = stop, .stop_count = 1}, &out);
    weir_stream_destroy(stream);
    assert_int_equal(made.reason, WEIR_STOP_LENGTH);
    assert_int_equal(out.rests, 1);
    assert_string_equal(out.text, whole.text);
}

static weir_sampling forced(int32_t token) {
    static weir_logit_bias bias[1];
    bias[0] = (weir_logit_bias){token, 1000.0f};
    weir_sampling rules = weir_sampling_default();
    rules.temperature = 0;
    rules.bias = bias;
    rules.bias_count = 1;
    return rules;
}

static void test_reasons(void **state) {
    (void)state;
    weir_error error;
    weir_sampling rules = forced(EOS);
    weir_stream *stream = prompted(16, 1, &rules);
    collected out = {.size = 0};
    weir_generated made = run(stream, (weir_generate){.tokens = 0}, &out);
    assert_int_equal(made.tokens, 0);
    assert_int_equal(made.reason, WEIR_STOP_LENGTH);
    assert_int_equal(stream_state(stream).held, 0); /* it flushed */
    int64_t index = stream_state(stream).index;
    made = run(stream, (weir_generate){.tokens = 9, .stop_at_end = true}, &out);
    assert_int_equal(made.tokens, 1);
    assert_int_equal(made.reason, WEIR_STOP_END);
    assert_int_equal(out.tokens, 0); /* fed, not shown */
    assert_int_equal(stream_state(stream).index, index + 1);
    made = run(stream, (weir_generate){.tokens = 9}, &out);
    assert_int_equal(made.tokens, 9);
    assert_int_equal(made.reason, WEIR_STOP_LENGTH);
    assert_int_equal(out.size, 0);
    out = (collected){.limit = 5};
    made = run(stream, (weir_generate){.tokens = -1}, &out);
    assert_int_equal(made.tokens, 5);
    assert_int_equal(made.reason, WEIR_STOP_CALLER);
    assert_true(weir_generate_default().stop_at_end);
    assert_int_equal(weir_generate_default().tokens, 0);
    must(weir_stream_generate(stream, NULL, NULL, NULL, NULL, &error), &error);
    const char *empty[] = {""};
    const weir_generate wrong[] = {{.tokens = -2},
                                   {.stop = empty, .stop_count = 1},
                                   {.stop = empty, .stop_count = -1},
                                   {.stop = empty, .stop_count = 10000}};
    for (size_t i = 0; i < 4; i++) {
        assert_refused(weir_stream_generate(stream, &wrong[i], NULL, NULL, &made, &error),
                       WEIR_USAGE, &error, "");
        assert_int_equal(made.tokens, 0);
    }
    assert_int_equal(stream_state(stream).index, index + 15);
    rules.bias_count = -1;
    assert_int_equal(weir_stream_set_sampling(stream, &rules, &error), WEIR_USAGE);
    weir_stream_destroy(stream);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    stream = stream_make(tiny.model, &options);
    made.tokens = 7;
    assert_refused(
        weir_stream_generate(stream, &(weir_generate){.tokens = 3}, NULL, NULL, &made, &error),
        WEIR_USAGE, &error, "empty");
    assert_int_equal(made.tokens, 0);
    weir_stream_destroy(stream);
}

/* A character of several tokens comes whole, though every token is a call of its own. */
static void test_characters(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0xF0, 0x9F, 0x98, 0x80, 'x', 0xC3, 0xA9, 0xC3, 'y'};
    static const char *const shown[] = {"", "",         "", "\xF0\x9F\x98\x80", "x",
                                        "", "\xC3\xA9", "", "\xEF\xBF\xBDy"};
    weir_error error;
    weir_sampling rules = weir_sampling_default();
    weir_stream *stream = prompted(16, 1, &rules);
    for (int stops = 0; stops < 2; stops++)
        for (size_t i = 0; i < sizeof bytes; i++) {
            const char *stop[] = {"nowhere"};
            collected out = {.size = 0};
            rules = forced(FIRST_BYTE + bytes[i]);
            must(weir_stream_set_sampling(stream, &rules, &error), &error);
            run(stream, (weir_generate){.tokens = 1, .stop = stop, .stop_count = stops}, &out);
            out.text[out.size] = '\0';
            assert_string_equal(out.text, shown[i]);
        }
    /* text that comes between begins anew */
    collected out = {.size = 0};
    rules = forced(FIRST_BYTE + 0xC3);
    must(weir_stream_set_sampling(stream, &rules, &error), &error);
    run(stream, (weir_generate){.tokens = 1}, &out);
    must(weir_stream_feed_text(stream, "and", 3, &error), &error);
    rules = forced(FIRST_BYTE + 'z');
    must(weir_stream_set_sampling(stream, &rules, &error), &error);
    run(stream, (weir_generate){.tokens = 1}, &out);
    assert_string_equal(out.text, "z");
    weir_stream_destroy(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scored_rows), cmocka_unit_test(test_same_text),
        cmocka_unit_test(test_stop_strings), cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_characters)};
    return cmocka_run_group_tests_name("reading and generating", tests, tiny_set_up,
                                       tiny_tear_down);
}
