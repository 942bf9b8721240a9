/*
 * StreamEval: the text is a function of its seed, the answer is what the text says at that
 * distance, who does not see it is right once in 90, the stream is not disturbed by its questions,
 * and the scores are those of a naive evaluator that reads everything again for every question.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "support/random_model.h"
#include "weir/streameval.h"

static weir_model *recall; /* NULL: the model is not there */

static weir_streameval_options make_options(int64_t questions, int32_t count,
                                            const int64_t *distances) {
    weir_streameval_options options = weir_streameval_options_default();
    options.questions = questions;
    options.seed = 7;
    options.count = count;
    memcpy(options.distances, distances, (size_t)count * sizeof *distances);
    return options;
}

/* ---- the text ------------------------------------------------------------------------------- */

/* If these change, figures of old evaluations can no longer be compared with new ones. */
static void test_text_is_fixed(void **state) {
    (void)state;
    static const char *const facts[] = {"dj: 15\n", "io: 83\n", "vc: 77\n", "gu: 69\n"};
    static const char *const needle[] = {"dj: 15\n", "- the moon rests below\n",
                                         "- the rain stays today\n", "io: 83\n"};
    weir_streameval_line line;
    for (int64_t i = 0; i < 4; i++) {
        weir_streameval_get_line(&(weir_streameval_text){1, 2, 1}, i, &line);
        assert_string_equal(line.text, facts[i]);
        weir_streameval_get_line(&(weir_streameval_text){1, 2, 3}, i, &line);
        assert_string_equal(line.text, needle[i]);
    }
    weir_streameval_get_line(&(weir_streameval_text){1, 4, 1}, 1000000000000, &line);
    assert_string_equal(line.text, "otef: 24\n");
}

static void test_lines_are_whole(void **state) {
    (void)state;
    for (int64_t i = 0; i < 2000; i++) {
        weir_streameval_text text = {(uint64_t)i * 977, 2 + (int32_t)(i % 3), 1 + i % 4};
        weir_streameval_line line, again;
        char both[64];
        weir_streameval_get_line(&text, i, &line);
        weir_streameval_get_line(&text, i, &again);
        assert_memory_equal(&line, &again, sizeof line);
        if (i % text.period == 0) {
            snprintf(both, sizeof both, "%s %s\n", line.question, line.answer);
            assert_string_equal(line.text, both);
            assert_int_equal(strspn(line.question, "abcdefghijklmnopqrstuvwxyz"), text.letters);
            assert_in_range(atoi(line.answer), 10, 99);
        } else {
            assert_int_equal(line.question[0], '\0');
            assert_int_equal(line.answer[0], '\0');
            assert_memory_equal(line.text, "- the ", 6);
            assert_ptr_equal(strchr(line.text, '\n'), line.text + strlen(line.text) - 1);
        }
    }
}

static int64_t key_number(const char *question) {
    int64_t number = 0;
    for (; *question != ':'; question++) number = number * 26 + (*question - 'a');
    return number;
}

/* Each key once, then all again in the same order: nothing between a line and its question has the
 * same key. */
static void check_keys(uint64_t seed, int32_t letters, int64_t keys) {
    weir_streameval_text text = {seed, letters, 1};
    weir_streameval_line line;
    int64_t *seen = calloc((size_t)keys, sizeof *seen);
    assert_non_null(seen);
    for (int64_t i = 0; i < keys + 100; i++) {
        weir_streameval_get_line(&text, i, &line);
        int64_t *last = &seen[key_number(line.question)];
        assert_int_equal(*last, i < keys ? 0 : i - keys + 1);
        *last = i + 1;
    }
    free(seen);
}

static void test_keys_do_not_repeat(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) check_keys(seed, 2, 26 * 26);
    check_keys(3, 3, 26 * 26 * 26);
    check_keys(4, 4, 26 * 26 * 26 * 26);
}

static void test_keys_are_long_enough(void **state) {
    (void)state;
    static const int64_t farthest[] = {1, 675, 676, 17575, 17576, WEIR_STREAMEVAL_FARTHEST};
    static const int32_t letters[] = {2, 2, 3, 3, 4, 4};
    for (int i = 0; i < 6; i++) {
        weir_streameval_options options = make_options(1, 2, (int64_t[]){1, farthest[i]});
        weir_streameval_text text = weir_streameval_get_text(&options);
        assert_int_equal(text.letters, letters[i]);
        assert_int_equal(text.period, 1);
        assert_int_equal(text.seed, 7);
        options.needle = true;
        text = weir_streameval_get_text(&options);
        assert_int_equal(text.letters, 2);
        assert_int_equal(text.period, farthest[i]);
    }
}

/* Values are uniform, and one says nothing about another: five standard deviations of chance. */
static void test_chance(void **state) {
    (void)state;
    enum { LINES = 90000, LAGS = 8 };
    weir_streameval_text text = {12, 2, 1};
    weir_streameval_line line;
    int64_t count[100] = {0}, same[LAGS] = {0};
    int value[LAGS] = {0};
    for (int64_t i = 0; i < LINES; i++) {
        weir_streameval_get_line(&text, i, &line);
        int now = atoi(line.answer);
        count[now]++;
        for (int lag = 0; lag < LAGS; lag++)
            same[lag] += i >= LAGS && value[(i - 1 - lag) % LAGS] == now;
        value[i % LAGS] = now;
    }
    double expected = LINES * WEIR_STREAMEVAL_CHANCE;
    double most = 5 * sqrt(expected);
    for (int v = 10; v < 100; v++) assert_true(fabs((double)count[v] - expected) < most);
    for (int lag = 0; lag < LAGS; lag++) assert_true(fabs((double)same[lag] - expected) < most);
}

static void test_interval(void **state) {
    (void)state;
    /* asked, right, low, high: statsmodels' proportion_confint(method="wilson") gives the same */
    static const double cases[][4] = {{10, 8, 0.4901624715366418, 0.9433178485456248},
                                      {100, 95, 0.8882495307680808, 0.9784563208456319},
                                      {90, 1, 0.0019640841009183445, 0.06028408311753451},
                                      {20, 0, 0, 0.16112515805281938},
                                      {20, 20, 0.8388748419471806, 1},
                                      {0, 0, 0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double low, high;
        weir_streameval_score score = {(int64_t)cases[i][0], (int64_t)cases[i][1]};
        weir_streameval_interval(score, &low, &high);
        assert_true(fabs(low - cases[i][2]) < 1e-12);
        assert_true(fabs(high - cases[i][3]) < 1e-12);
    }
}

/* ---- the evaluation ------------------------------------------------------------------------- */

static int32_t line_tokens[64];
static int64_t line_size;

static weir_status keep(void *context, const int32_t *tokens, int64_t count) {
    (void)context;
    memcpy(line_tokens + line_size, tokens, (size_t)count * sizeof *tokens);
    line_size += count;
    return WEIR_OK;
}

static int64_t tokenize(const weir_model *model, const char *text) {
    weir_error error;
    line_size = 0;
    must(weir_model_tokenize(model, text, strlen(text), false, keep, NULL, &error), &error);
    return line_size;
}

static void feed(weir_stream *stream, const char *text) {
    weir_error error;
    int64_t count = tokenize(weir_stream_get_model(stream), text);
    must(weir_stream_feed_tokens(stream, line_tokens, count, &error), &error);
}

static void feed_bos(weir_stream *stream) {
    weir_error error;
    const weir_model_info *info = weir_model_get_info(weir_stream_get_model(stream));
    if (info->adds_bos) must(weir_stream_feed_tokens(stream, &info->bos, 1, &error), &error);
}

/* The text of one of this model's tokens: a line end is a byte token, a space is U+2581. */
static size_t piece_text(const weir_model *model, int32_t token, char *out) {
    char piece[16];
    size_t size = weir_model_token_piece(model, token, piece, sizeof piece);
    if (size == 6 && memcmp(piece, "<0x0A>", 6) == 0) {
        out[0] = '\n';
        return 1;
    }
    bool space = size >= 3 && memcmp(piece, "\xE2\x96\x81", 3) == 0;
    if (space) out[0] = ' ';
    size_t skipped = space ? 3 : 0, at = space ? 1 : 0;
    memcpy(out + at, piece + skipped, size - skipped);
    return size - skipped + at;
}

/* Lines 0 ... lines - 1 and a question in a new stream; greedy, token by token. */
static bool naive_answer(const weir_model *model, const weir_stream_options *options,
                         const weir_streameval_text *text, int64_t lines, int64_t distance) {
    weir_stream *stream = stream_make(model, options);
    weir_streameval_line line;
    char answer[96] = "";
    size_t size = 0;
    feed_bos(stream);
    for (int64_t i = 0; i < lines; i++) {
        weir_streameval_get_line(text, i, &line);
        feed(stream, line.text);
    }
    weir_streameval_get_line(text, lines - distance, &line);
    feed(stream, line.question);
    for (int step = 0; step < 8 && strchr(answer, '\n') == NULL; step++) {
        weir_error error;
        const float *logits;
        must(weir_stream_logits(stream, &logits, &error), &error);
        int32_t best = 0;
        for (int32_t v = 1; v < weir_model_get_info(model)->vocabulary; v++)
            best = logits[v] > logits[best] ? v : best;
        if (best == weir_model_get_info(model)->eos) break;
        size += piece_text(model, best, answer + size);
        must(weir_stream_feed_tokens(stream, &best, 1, &error), &error);
    }
    weir_stream_destroy(stream);
    char wanted[16];
    snprintf(wanted, sizeof wanted, " %s", line.answer);
    return strncmp(answer, wanted, strlen(wanted)) == 0 && strchr("\n", answer[strlen(wanted)]);
}

static void compare_with_naive(bool needle, const weir_stream_options *stream_options) {
    static const int64_t distances[] = {1, 9, 25, 40, 90};
    weir_streameval_options options = make_options(4, 5, distances);
    weir_streameval_result result;
    weir_error error;
    options.needle = needle;
    weir_stream *stream = stream_make(recall, stream_options);
    must(weir_streameval(stream, &options, &result, &error), &error);
    weir_stream_destroy(stream);
    weir_streameval_text text = weir_streameval_get_text(&options);
    for (int d = 0; d < 5; d++) {
        int64_t right = 0;
        for (int64_t q = 0; q < 4; q++) {
            /* from the first line number at or after the largest distance at which it is asked */
            int64_t first = needle && distances[d] < 90 ? 90 : 0;
            int64_t lines = needle ? first + 90 * q + distances[d] : 90 + 10 * q;
            right += naive_answer(recall, stream_options, &text, lines, distances[d]);
        }
        assert_int_equal(result.distances[d].all.asked, 4);
        assert_int_equal(result.distances[d].all.right, right);
    }
}

static void test_scores_are_the_naive_ones(void **state) {
    (void)state;
    if (recall == NULL) skip();
    weir_stream_options options = stream_options(WEIR_SINK, 1, 120);
    compare_with_naive(false, &options);
    compare_with_naive(true, &options);
    options = stream_options(WEIR_WINDOW, 0, 64);
    compare_with_naive(false, &options);
}

static int64_t sum(const weir_streameval_score *scores, bool right) {
    int64_t total = 0;
    for (int i = 0; i < WEIR_STREAMEVAL_PLACES; i++)
        total += right ? scores[i].right : scores[i].asked;
    return total;
}

/* The stream ends as if nothing had been asked: the same tokens, the same bits. */
static void check_undisturbed(bool needle, int64_t sinks, int64_t window) {
    static const int64_t distances[] = {1, 3, 5, 12, 30};
    weir_streameval_options options = make_options(6, 5, distances);
    weir_stream_options shape = stream_options(WEIR_SINK, sinks, window);
    weir_stream *asked = stream_make(tiny.model, &shape), *plain = stream_make(tiny.model, &shape);
    weir_streameval_result result;
    weir_error error;
    options.needle = needle;
    must(weir_streameval(asked, &options, &result, &error), &error);
    weir_streameval_text text = weir_streameval_get_text(&options);
    feed_bos(plain);
    for (int64_t i = 0; i < result.lines; i++) {
        weir_streameval_line line;
        weir_streameval_get_line(&text, i, &line);
        feed(plain, line.text);
    }
    assert_int_equal(result.tokens, stream_state(plain).index);
    assert_int_equal(stream_state(asked).index, stream_state(plain).index);
    assert_int_equal(stream_bits(asked), stream_bits(plain));
    assert_int_equal(result.all.asked, 30);
    assert_int_equal(sum(result.at, false), 30);
    assert_int_equal(sum(result.at, true), result.all.right);
    for (int d = 0; d < 5; d++) {
        const weir_streameval_distance *distance = &result.distances[d];
        assert_int_equal(distance->lines, distances[d]);
        assert_int_equal(distance->all.asked, 6);
        assert_int_equal(sum(distance->at, false), 6);
        /* a line is inside where the window is as wide as its distance */
        if (distance->at[WEIR_STREAMEVAL_INSIDE].asked == 6)
            assert_true(distance->tokens <= (double)window);
        if (distance->at[WEIR_STREAMEVAL_OUTSIDE].asked == 6)
            assert_true(distance->tokens > (double)window);
    }
    assert_int_equal(result.distances[0].at[WEIR_STREAMEVAL_INSIDE].asked, 6);
    assert_int_equal(result.distances[4].at[WEIR_STREAMEVAL_OUTSIDE].asked, 6);
    weir_stream_destroy(asked);
    weir_stream_destroy(plain);
}

static void test_stream_is_not_disturbed(void **state) {
    (void)state;
    check_undisturbed(false, 4, 60);
    check_undisturbed(false, 0, 100);
    check_undisturbed(true, 4, 100);
    check_undisturbed(false, 50, 60); /* lines that touch a sink are not asked about */
}

/* What dense needs is known before. */
static void test_count(void **state) {
    (void)state;
    weir_streameval_options options = make_options(2, 2, (int64_t[]){1, 10});
    weir_streameval_result result;
    weir_error error;
    int64_t tokens;
    must(weir_streameval_count(tiny.model, &options, &tokens, &error), &error);
    for (int64_t room = tokens; room >= tokens - 1; room--) {
        weir_stream_options shape = stream_options(WEIR_DENSE, 0, room);
        weir_stream *stream = stream_make(tiny.model, &shape);
        weir_status status = weir_streameval(stream, &options, &result, &error);
        assert_true(room < tokens || status == WEIR_OK);
        weir_stream_destroy(stream);
    }
    assert_in_range(tokens, (uint64_t)result.tokens, (uint64_t)result.tokens + 20);
}

static void test_spread(void **state) {
    (void)state;
    weir_error error;
    for (int needle = 0; needle < 2; needle++) {
        weir_streameval_options options = weir_streameval_options_default();
        options.needle = needle == 1;
        must(weir_streameval_spread(tiny.model, 2000, &options, &error), &error);
        assert_in_range(options.count, 5, WEIR_STREAMEVAL_DISTANCES);
        for (int i = 1; i < options.count; i++)
            assert_true(options.distances[i] > options.distances[i - 1]);
        must(weir_streameval_spread(tiny.model, 1, &options, &error), &error);
        assert_int_equal(options.distances[0], 1);
        must(weir_streameval_spread(tiny.model, INT64_MAX, &options, &error), &error);
        assert_int_equal(options.count, 1);
        assert_int_equal(options.distances[0], WEIR_STREAMEVAL_FARTHEST);
    }
}

static bool stop_at_seven(void *context, int64_t asked, int64_t total) {
    assert_int_equal(total, 200);
    *(int64_t *)context = asked;
    return asked < 7;
}

static void test_ends_early(void **state) {
    (void)state;
    weir_streameval_options options = make_options(100, 2, (int64_t[]){2, 4});
    weir_streameval_result result;
    weir_error error;
    int64_t asked = 0;
    options.progress = stop_at_seven;
    options.progress_context = &asked;
    weir_stream_options shape = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &shape);
    must(weir_streameval(stream, &options, &result, &error), &error);
    assert_int_equal(asked, 7);
    assert_int_equal(result.all.asked, 7);
    weir_stream_destroy(stream);
    /* and when the stream is cancelled from elsewhere */
    options.progress = NULL;
    stream = stream_make(tiny.model, &shape);
    weir_stream_cancel(stream);
    assert_int_equal(weir_streameval(stream, &options, &result, &error), WEIR_CANCELLED);
    assert_int_equal(result.all.asked, 0);
    weir_stream_destroy(stream);
}

static void test_refusals(void **state) {
    (void)state;
    weir_stream_options shape = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(tiny.model, &shape);
    static const struct {
        weir_streameval_options options;
        const char *remedy;
    } cases[] = {
        {{.questions = 1}, "1 to 16 distances"},
        {{.questions = 1, .count = 17}, "1 to 16 distances"},
        {{.questions = 1, .count = 1, .distances = {0}}, "out of range"},
        {{.questions = 1, .count = 2, .distances = {1, -4}}, "out of range"},
        {{.questions = 1, .count = 1, .distances = {456976}}, "1 to 456975"},
        {{.questions = 0, .count = 1, .distances = {1}}, "1 to 1000000"},
        {{.questions = 1, .count = 1, .distances = {1}, .lines = -1}, "give 0 or more"},
    };
    weir_streameval_result result;
    weir_error error;
    int64_t tokens;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(weir_streameval(stream, &cases[i].options, &result, &error), WEIR_USAGE,
                       &error, cases[i].remedy);
        assert_refused(weir_streameval_count(tiny.model, &cases[i].options, &tokens, &error),
                       WEIR_USAGE, &error, cases[i].remedy);
        assert_int_equal(result.all.asked, 0);
    }
    stream_feed(stream, 0, 1);
    weir_streameval_options good = make_options(1, 1, (int64_t[]){1});
    assert_refused(weir_streameval(stream, &good, &result, &error), WEIR_USAGE, &error,
                   "not empty");
    weir_stream_destroy(stream);
}

/* The model's vocabulary was made for this text by tools/reference/train_streameval.py: a format
 * that differs would fall apart into letters. */
static void test_model_knows_the_words(void **state) {
    (void)state;
    if (recall == NULL) skip();
    weir_streameval_line line;
    for (int64_t i = 0; i < 1000; i++) {
        weir_streameval_get_line(&(weir_streameval_text){5, 2, 3}, i, &line);
        assert_int_equal(tokenize(recall, line.text), i % 3 == 0 ? 3 : 6);
        if (i % 3 == 0) assert_int_equal(tokenize(recall, line.question), 1);
    }
}

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    char path[4096];
    random_model_open(&tiny, &shape, NULL);
    const char *root = getenv("WEIR_ROOT");
    snprintf(path, sizeof path, "%s/models/weir-recall.gguf", root != NULL ? root : ".");
    if (weir_model_open(path, NULL, &recall, NULL) != WEIR_OK)
        print_message("%s is not there: two tests are skipped\n", path);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    random_model_close(&tiny);
    weir_model_close(recall);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_fixed),
        cmocka_unit_test(test_lines_are_whole),
        cmocka_unit_test(test_keys_do_not_repeat),
        cmocka_unit_test(test_keys_are_long_enough),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_scores_are_the_naive_ones),
        cmocka_unit_test(test_stream_is_not_disturbed),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_ends_early),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_model_knows_the_words),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
