/*
 * Perplexity: the same bits for every chunk and number of threads as token by token, means and
 * errors as a naive sum has them, the cut between before and after, and an early end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "support/random_model.h"
#include "weir/eval.h"

enum { TOKENS = 150, WINDOW = 20, SINKS = 3, CUT = 23 };

static int32_t text[TOKENS];

typedef struct scores {
    double nll[TOKENS];
    int64_t count;
} scores;

static weir_status take(void *context, int64_t index, int32_t token, double nll) {
    scores *to = context;
    assert_int_equal(index, to->count + 1);
    assert_int_equal(token, text[index]);
    to->nll[to->count++] = nll;
    return WEIR_OK;
}

static weir_eval_result evaluate(const weir_stream_options *options, scores *to) {
    weir_eval_options wanted = {.after = CUT, .fn = take, .context = to};
    weir_eval_result result;
    weir_error error;
    to->count = 0;
    weir_stream *stream = stream_make(tiny.model, options);
    must(weir_eval(stream, text, TOKENS, &wanted, &result, &error), &error);
    weir_stream_destroy(stream);
    return result;
}

/* Token by token, with logits that somebody looked at. */
static void evaluate_slowly(const weir_stream_options *options, scores *to) {
    weir_error error;
    weir_stream *stream = stream_make(tiny.model, options);
    to->count = 0;
    for (int i = 0; i + 1 < TOKENS; i++) {
        const float *logits;
        must(weir_stream_feed_tokens(stream, &text[i], 1, &error), &error);
        must(weir_stream_logits(stream, &logits, &error), &error);
        float largest = logits[0];
        for (int v = 1; v < RANDOM_VOCABULARY; v++) {
            largest = fmaxf(largest, logits[v]);
        }
        double sum = 0;
        for (int v = 0; v < RANDOM_VOCABULARY; v++) {
            sum += exp((double)logits[v] - (double)largest);
        }
        double naive = log(sum) - ((double)logits[text[i + 1]] - (double)largest);
        double nll = weir_model_nll(tiny.model, logits, text[i + 1]);
        assert_true(fabs(nll - naive) <= 3e-7 + 1e-7 * fabs(naive));
        to->nll[to->count++] = nll;
    }
    weir_stream_destroy(stream);
}

static void test_chunks_give_the_same_bits(void **state) {
    (void)state;
    static const weir_policy policies[] = {WEIR_SINK, WEIR_WINDOW, WEIR_DENSE, WEIR_RECOMPUTE};
    static const int64_t chunks[] = {1, 2, 7, 16, 128, 4096};
    scores slow, fast;
    for (size_t p = 0; p < 4; p++) {
        weir_stream_options options =
            stream_options(policies[p], SINKS, policies[p] == WEIR_DENSE ? TOKENS : WINDOW);
        evaluate_slowly(&options, &slow);
        for (size_t c = 0; c < 12; c++) {
            options.chunk = chunks[c / 2];
            options.threads = 1 + (int32_t)(c % 2);
            evaluate(&options, &fast);
            assert_int_equal(fast.count, TOKENS - 1);
            assert_memory_equal(fast.nll, slow.nll, (TOKENS - 1) * sizeof fast.nll[0]);
        }
    }
}

static void naive(const double *values, int64_t count, double *mean, double *error) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
    }
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        squares += (values[i] - *mean) * (values[i] - *mean);
    }
    *error = sqrt(squares / (double)(count - 1) / (double)count);
}

static void near(double got, double wanted) { assert_true(fabs(got - wanted) < 1e-12); }

static void test_means(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, SINKS, WINDOW);
    scores all;
    weir_eval_result result = evaluate(&options, &all);
    double mean, error;
    assert_int_equal(result.tokens, TOKENS);
    assert_int_equal(result.scored, TOKENS - 1);
    naive(all.nll, TOKENS - 1, &mean, &error);
    near(result.nll, mean);
    near(result.error, error);
    naive(all.nll, CUT, &mean, &error); /* indices 1 ... CUT */
    assert_int_equal(result.scored_before, CUT);
    near(result.nll_before, mean);
    naive(all.nll + CUT, TOKENS - 1 - CUT, &mean, &error);
    assert_int_equal(result.scored_after, TOKENS - 1 - CUT);
    near(result.nll_after, mean);
    near(result.error_after, error);
}

/* The text in pieces that grow and shrink, then a failure where there is one to be. */
typedef struct pieces {
    int64_t size;
    weir_status end;
} pieces;

static weir_status emit_pieces(void *context, weir_token_fn emit, void *emit_context) {
    pieces *how = context;
    for (int64_t at = 0; at < TOKENS;) {
        int64_t size = at % 3 == 0 ? how->size : 1;
        size = size < TOKENS - at ? size : TOKENS - at;
        weir_status status = emit(emit_context, text + at, size);
        if (status != WEIR_OK) return status;
        at += size;
    }
    return how->end;
}

static void test_pieces_give_the_same_bits(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, SINKS, WINDOW);
    scores whole, some;
    weir_eval_result wanted = evaluate(&options, &whole), result;
    weir_eval_options how = {.after = CUT, .fn = take, .context = &some};
    weir_error error;
    for (int64_t size = 1; size <= TOKENS; size += 1 + size / 2) {
        pieces source = {size, WEIR_OK};
        some.count = 0;
        weir_stream *stream = stream_make(tiny.model, &options);
        must(weir_eval_from(stream, emit_pieces, &source, TOKENS, &how, &result, &error), &error);
        weir_stream_destroy(stream);
        assert_int_equal(result.tokens, TOKENS);
        assert_memory_equal(&result.nll_after, &wanted.nll_after, sizeof result.nll_after);
        assert_memory_equal(some.nll, whole.nll, (TOKENS - 1) * sizeof some.nll[0]);
    }
}

static void test_failing_source(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, SINKS, WINDOW);
    pieces source = {7, WEIR_IO};
    weir_eval_result result;
    weir_error error;
    weir_stream *stream = stream_make(tiny.model, &options);
    assert_int_equal(weir_eval_from(stream, emit_pieces, &source, TOKENS, NULL, &result, &error),
                     WEIR_IO);
    assert_true(error.status == WEIR_IO && error.message[0] != '\0');
    weir_stream_destroy(stream);
}

/* More than are gathered at once: every token is scored once, by the one before it. */
static weir_status count_scores(void *context, int64_t index, int32_t token, double nll) {
    int64_t *count = context;
    assert_int_equal(index, ++*count);
    assert_int_equal(token, text[index % TOKENS]);
    assert_true(isfinite(nll));
    return WEIR_OK;
}

static void test_many_tokens(void **state) {
    (void)state;
    enum { MANY = 2 * 1024 + 1 }; /* the last piece ends with the text, or is one token */
    static int32_t many[MANY];
    for (int i = 0; i < MANY; i++) {
        many[i] = text[i % TOKENS];
    }
    weir_stream_options options = stream_options(WEIR_SINK, SINKS, WINDOW);
    for (int64_t count = MANY - 2; count <= MANY; count++) {
        int64_t scored = 0;
        weir_eval_options how = {.after = CUT, .fn = count_scores, .context = &scored};
        weir_eval_result result;
        weir_error error;
        weir_stream *stream = stream_make(tiny.model, &options);
        must(weir_eval(stream, many, count, &how, &result, &error), &error);
        weir_stream_destroy(stream);
        assert_int_equal(result.tokens, count);
        assert_int_equal(result.scored, count - 1);
        assert_int_equal(scored, count - 1);
    }
}

static void test_few_tokens(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, SINKS, WINDOW);
    weir_eval_options wanted = {.after = CUT};
    weir_error error;
    for (int64_t count = 0; count < 3; count++) {
        weir_eval_result result;
        weir_stream *stream = stream_make(tiny.model, &options);
        must(weir_eval(stream, text, count, &wanted, &result, &error), &error);
        assert_int_equal(result.tokens, count);
        assert_int_equal(result.scored, count > 0 ? count - 1 : 0);
        assert_true(count < 2 ? isnan(result.nll) : isfinite(result.nll));
        assert_true(isnan(result.error) && isnan(result.nll_after));
        weir_stream_destroy(stream);
    }
}

static bool never(void *context, int64_t done, int64_t total) {
    assert_true(done >= 1 && done <= total);
    ++*(int *)context;
    return false;
}

/* The first report comes 50 ms after the beginning; a run that is over by then was not asked. */
static void test_ends_early(void **state) {
    (void)state;
    enum { MANY = 4000 };
    int32_t *long_text = malloc(MANY * sizeof *long_text);
    assert_non_null(long_text);
    random_tokens(long_text, 0, MANY);
    int asked = 0;
    weir_stream_options options = stream_options(WEIR_RECOMPUTE, 0, 200);
    weir_eval_options wanted = {.after = CUT, .progress = never, .progress_context = &asked};
    weir_eval_result result;
    weir_error error;
    weir_stream *stream = stream_make(tiny.model, &options);
    must(weir_eval(stream, long_text, MANY, &wanted, &result, &error), &error);
    assert_true(asked == 1 ? result.tokens < MANY : result.tokens == MANY);
    assert_int_equal(result.scored, asked == 1 ? result.tokens : MANY - 1);
    weir_stream_destroy(stream);
    free(long_text);
}

static void test_stream_must_be_empty(void **state) {
    (void)state;
    weir_stream_options options = stream_options(WEIR_SINK, SINKS, WINDOW);
    weir_eval_result result;
    weir_error error;
    weir_stream *stream = stream_make(tiny.model, &options);
    stream_feed(stream, 0, 1);
    assert_refused(weir_eval(stream, text, TOKENS, NULL, &result, &error), WEIR_USAGE, &error,
                   "not empty");
    weir_stream_destroy(stream);
}

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    random_model_open(&tiny, &shape, NULL);
    random_tokens(text, 0, TOKENS);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    random_model_close(&tiny);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_give_the_same_bits),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_pieces_give_the_same_bits),
        cmocka_unit_test(test_failing_source),
        cmocka_unit_test(test_many_tokens),
        cmocka_unit_test(test_few_tokens),
        cmocka_unit_test(test_ends_early),
        cmocka_unit_test(test_stream_must_be_empty),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
