/*
 * Looking back by itself: drafts compared with a plain search, and a pace that stops when drafts
 * lose, whatever the clock says; and what weir_generate accepts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "stream/stream_private.h"
#include "support/random_model.h"

/* --- Drafts ----------------------------------------------------------------------------------- */

static uint32_t random_number(uint64_t index) {
    uint32_t block[4];
    wr_random_block(5, 1, index, block);
    return block[0];
}

/* The specification: every earlier end, every length, in an unbroken copy of the text. */
static int64_t plain_draft(const int32_t *text, int64_t count, int32_t *draft, int64_t most) {
    int64_t best = -1, longest = 1;
    for (int64_t j = count - 2; j >= 0; j--) {
        int64_t length = 0;
        while (length <= j && length < 16 && text[j - length] == text[count - 1 - length]) length++;
        if (length > longest) {
            longest = length;
            best = j;
        }
    }
    if (best < 0) return 0;
    for (int64_t i = 0; i < most; i++) {
        int64_t from = best + 1 + i;
        draft[i] = from < count ? text[from] : draft[from - count];
    }
    return most;
}

static void test_drafts(void **state) {
    (void)state;
    enum { SIZE = 90 };
    int32_t text[4 * SIZE], ring[SIZE], draft[20], wanted[20];
    int64_t found = 0;
    for (uint64_t round = 0; round < 4000; round++) {
        int32_t letters = 2 + (int32_t)(random_number(10 * round) % 15);
        int64_t end = random_number(10 * round + 1) % (3 * SIZE);
        int64_t held = random_number(10 * round + 2) % (SIZE + 1);
        int64_t most = 1 + random_number(10 * round + 3) % 20;
        int64_t begin = end > held ? end - held : 0;
        for (int64_t i = 0; i <= end; i++)
            text[i] = (int32_t)random_number(1000000 + 1000 * round + (uint64_t)i) % letters;
        for (int64_t i = 0; i <= end; i++) text[i] = text[i] < 0 ? -text[i] : text[i];
        for (int64_t i = begin; i < end; i++) ring[i % SIZE] = text[i];
        wr_lookup_text past = {.ring = ring, .size = SIZE, .begin = begin, .end = end};
        wr_lookup_match match = wr_lookup_find(&past, text[end]);
        int64_t count = match.length > 0 ? most : 0;
        assert_int_equal(count, plain_draft(text + begin, end - begin + 1, wanted, most));
        wr_lookup_draft(&past, text[end], match, draft, count);
        assert_memory_equal(draft, wanted, (size_t)count * sizeof *draft);
        found += count > 0;
    }
    assert_in_range(found, 1000, 3999);
}

/* However strange the text is, a draft comes of few comparisons, and is one that was said. */
static void test_long_text(void **state) {
    (void)state;
    enum { SIZE = 20000 };
    static int32_t ring[SIZE];
    int32_t draft[4];
    for (int64_t i = 0; i < SIZE; i++) ring[i] = i % 15 == 0 ? 8 : 7;
    wr_lookup_text past = {.ring = ring, .size = SIZE, .end = SIZE};
    wr_lookup_match match = wr_lookup_find(&past, 7);
    assert_in_range(match.length, 2, WR_LOOKUP_LONGEST);
    wr_lookup_draft(&past, 7, match, draft, 4);
    for (int i = 0; i < 4; i++) assert_in_range(draft[i], 7, 8);
    assert_int_equal(wr_lookup_find(&past, 9).length, 0);
    past.end = 0;
    assert_int_equal(wr_lookup_find(&past, 7).length, 0);
}

/* --- Pace ------------------------------------------------------------------------------------- */

/* Steps of a stream in which a token alone takes 1, every row more `row`, looking `search`; matches
 * have the length `match`, and `right` of a draft's tokens are drawn. The time of 10,000 tokens. */
static double run_pace(wr_lookup_pace *pace, double row, double search, int64_t match,
                       int64_t right) {
    double time = 0;
    for (int64_t tokens = 0; tokens < 10000;) {
        wr_lookup_step step = {.timed = wr_lookup_begin(pace)};
        if (step.timed) {
            step.search = search;
            step.match = match;
            step.drafted = wr_lookup_length(pace, match, 15);
        }
        assert_in_range(step.drafted, 0, 15);
        step.accepted = right < step.drafted ? right : step.drafted;
        step.compute = 1 + row * (double)step.drafted;
        wr_lookup_end(pace, &step);
        tokens += 1 + step.accepted;
        time += step.search + step.compute;
    }
    return time;
}

static void test_pace(void **state) {
    (void)state;
    static const double rows[] = {0, 0.1, 0.5, 0.8};
    static const int64_t matches[] = {2, 4, 10, 16};
    for (int m = 0; m < 4; m++)
        for (int i = 0; i < 4; i++) {
            int64_t match = matches[m];
            wr_lookup_pace pace = {0}; /* repeats: as good as drafts can be, nearly */
            double best = 10000 * (1 + 15 * rows[i]) / 16;
            assert_true(run_pace(&pace, rows[i], 0.001, match, 15) < 1.05 * best);
            pace = (wr_lookup_pace){0}; /* never right, or never found: hardly any loss */
            assert_true(run_pace(&pace, rows[i], 0.01, match, 0) < 10250);
            pace = (wr_lookup_pace){0};
            assert_true(run_pace(&pace, rows[i], 0.01, 0, 0) < 10250);
            pace = (wr_lookup_pace){0}; /* right, and too dear all the same */
            assert_true(run_pace(&pace, 1.5, 0.001, match, 15) < 10300);
            /* after the worst of times what pays is found again, and the other way round */
            assert_true(run_pace(&pace, 0.1, 0.001, match, 15) < 4000);
            assert_true(run_pace(&pace, 1.5, 0.001, match, 0) < 10300);
        }
    wr_lookup_pace pace = {0}; /* short matches mislead, long ones are drafted all the same */
    run_pace(&pace, 0.5, 0.001, 2, 0);
    assert_true(run_pace(&pace, 0.1, 0.001, 16, 15) < 1700);
    pace = (wr_lookup_pace){0}; /* a dear look is rare */
    assert_true(run_pace(&pace, 0.1, 0.5, 0, 0) < 10300);
}

/* A clock that jumps: the pace stays within its bounds. */
static void test_strange_clock(void **state) {
    (void)state;
    static const double times[] = {0, -1, 1e-9, 1, 1e9};
    wr_lookup_pace pace = {0};
    for (uint64_t i = 0; i < 20000; i++) {
        wr_lookup_step step = {.timed = wr_lookup_begin(&pace)};
        if (step.timed) {
            step.match = random_number(4 * i) % 18;
            step.match = step.match > 1 ? step.match : 0;
            step.drafted = wr_lookup_length(&pace, step.match, 31);
        }
        assert_in_range(step.drafted, 0, step.match > 0 ? 31 : 0);
        step.accepted = random_number(4 * i + 1) % (step.drafted + 1);
        step.search = times[random_number(4 * i + 2) % 5];
        step.compute = times[random_number(4 * i + 3) % 5];
        wr_lookup_end(&pace, &step);
        assert_in_range(pace.wait, 0, 64);
        assert_true(pace.plain >= 0);
        for (int k = 0; k < WR_LOOKUP_KINDS; k++) {
            assert_in_range(pace.accounts[k].rest, 0, 1024);
            assert_in_range(pace.accounts[k].length, 0, 62);
            assert_true(pace.accounts[k].balance >= -1 && pace.accounts[k].balance <= 8);
        }
    }
}

/* --- What is accepted ------------------------------------------------------------------------- */

static weir_generated generate(weir_stream *stream, int64_t tokens, int lookup) {
    weir_error error;
    weir_generated made;
    weir_generate options = {.tokens = tokens, .lookup = lookup};
    must(weir_stream_generate(stream, &options, NULL, NULL, &made, &error), &error);
    return made;
}

static void test_options(void **state) {
    (void)state;
    weir_error error;
    weir_generated made = {.tokens = 1};
    weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 50);
    assert_int_equal(weir_generate_default().lookup, 0);
    for (int wrong = -1; wrong <= WEIR_MAX_LOOKUP + 1; wrong += WEIR_MAX_LOOKUP + 2)
        assert_refused(weir_stream_generate(stream, &(weir_generate){.tokens = 5, .lookup = wrong},
                                            NULL, NULL, &made, &error),
                       WEIR_USAGE, &error, "out of range");
    assert_int_equal(made.tokens, 0);
    made = generate(stream, 20, 0);
    assert_int_equal(made.drafted + made.accepted, 0);
    weir_stream_destroy(stream);
    options = stream_options(WEIR_RECOMPUTE, -1, 40);
    stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 50);
    assert_refused(weir_stream_generate(stream, &(weir_generate){.tokens = 5, .lookup = 4}, NULL,
                                        NULL, &made, &error),
                   WEIR_USAGE, &error, "recompute");
    assert_int_equal(stream_state(stream).index, 50);
    weir_stream_destroy(stream);
}

/* One token for ever: everything drafted is right, and no draft is longer than it may be. */
static void test_counts(void **state) {
    (void)state;
    weir_error error;
    const weir_logit_bias bias = {9, 1000};
    weir_sampling rules = weir_sampling_default();
    rules.bias = &bias;
    rules.bias_count = 1;
    for (int64_t chunk = 1; chunk <= 64; chunk *= 2) {
        weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
        options.chunk = chunk;
        weir_stream *stream = stream_make(tiny.model, &options);
        must(weir_stream_set_sampling(stream, &rules, &error), &error);
        stream_feed(stream, 0, 50);
        stream->pace.always = true;
        weir_generated made = generate(stream, 300, 7);
        assert_int_equal(made.tokens, 300);
        assert_int_equal(made.drafted, made.accepted);
        int64_t longest = chunk - 1 < 7 ? chunk - 1 : 7;
        if (chunk == 1)
            assert_int_equal(made.drafted, 0);
        else /* a few steps before anything repeats, and pages at whose end a draft is cut */
            assert_in_range(made.accepted, 290 * longest / (longest + 1) - 12,
                            300 * longest / (longest + 1));
        weir_stream_destroy(stream);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drafts),  cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_pace),    cmocka_unit_test(test_strange_clock),
        cmocka_unit_test(test_options), cmocka_unit_test(test_counts)};
    return cmocka_run_group_tests_name("looking back", tests, tiny_set_up, tiny_tear_down);
}
