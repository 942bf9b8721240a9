/*
 * sample/: the rules against a naive model in double precision that sorts everything, the draw
 * against the probabilities it should have, the history against a plain list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sample/sampler.h"

#define VOCAB 200

typedef struct dice {
    uint64_t seed, throws;
} dice;

static double dice_unit(dice *d) { return wr_random_unit(d->seed, 5, d->throws++); }
static int32_t dice_below(dice *d, int32_t n) { return (int32_t)(dice_unit(d) * n); }

static wr_sampler *make_sampler(wr_arena *arena, int32_t n_vocab) {
    *arena = (wr_arena){0};
    assert_null(wr_sampler_layout(arena, n_vocab));
    assert_int_equal(wr_arena_bind(arena, NULL), WEIR_OK);
    return wr_sampler_layout(arena, n_vocab);
}

/* ---- the naive model ------------------------------------------------------------------------- */

typedef struct option {
    double logit, p, distance;
    int32_t token;
} option;

static int by_logit(const void *a, const void *b) {
    const option *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

static int by_distance(const void *a, const void *b) {
    const option *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return by_logit(a, b);
}

static void naive_softmax(option *o, int32_t count, double temperature) {
    double best = -(double)INFINITY, sum = 0;
    for (int32_t i = 0; i < count; i++) best = fmax(best, o[i].logit);
    for (int32_t i = 0; i < count; i++) sum += o[i].p = exp((o[i].logit - best) / temperature);
    for (int32_t i = 0; i < count; i++) o[i].p /= sum;
}

static int32_t naive_mass(const option *o, int32_t count, double mass) {
    double sum = 0;
    int32_t kept = 0;
    while (kept < count && (kept == 0 || sum < mass)) sum += o[kept++].p;
    return kept;
}

static double naive_logit(const weir_sampling *r, float logit, int32_t token, const int32_t *list,
                          int32_t listed) {
    double value = (double)logit;
    for (int32_t i = 0; i < r->bias_count; i++)
        if (r->bias[i].token == token) value = (double)(float)(value + (double)r->bias[i].bias);
    int32_t count = 0;
    for (int32_t i = listed > r->penalty_window ? listed - r->penalty_window : 0; i < listed; i++)
        count += list[i] == token;
    if (count == 0) return value;
    double repetition = (double)r->repetition_penalty;
    value = value > 0 ? value / repetition : value * repetition;
    value -= (double)r->presence_penalty + (double)r->frequency_penalty * count;
    return (double)(float)value;
}

/* p[VOCAB]: with which probability each token is drawn. */
static void naive_probabilities(const weir_sampling *r, const float *logits, const int32_t *list,
                                int32_t listed, double *p) {
    option o[VOCAB];
    int32_t count = 0;
    for (int32_t i = 0; i < VOCAB; i++) {
        double logit = naive_logit(r, logits[i], i, list, listed);
        if (logit != -(double)INFINITY) o[count++] = (option){.logit = logit, .token = i};
    }
    qsort(o, (size_t)count, sizeof *o, by_logit);
    if (r->temperature == 0) count = 1;
    if (r->top_k > 0 && r->top_k < count) count = r->top_k;
    naive_softmax(o, count, 1);
    double entropy = 0;
    for (int32_t i = 0; i < count; i++) entropy -= o[i].p > 0 ? o[i].p * log(o[i].p) : 0;
    for (int32_t i = 0; i < count; i++) o[i].distance = fabs(-log(o[i].p) - entropy);
    if (r->typical < 1) {
        qsort(o, (size_t)count, sizeof *o, by_distance);
        count = naive_mass(o, count, (double)r->typical);
        qsort(o, (size_t)count, sizeof *o, by_logit);
        naive_softmax(o, count, 1);
    }
    if (r->top_p < 1) count = naive_mass(o, count, (double)r->top_p);
    naive_softmax(o, count, 1);
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++)
        if (o[i].p >= (double)r->min_p * o[0].p) o[kept++] = o[i];
    naive_softmax(o, kept, r->temperature == 0 ? 1 : (double)r->temperature);
    memset(p, 0, VOCAB * sizeof *p);
    for (int32_t i = 0; i < kept; i++) p[o[i].token] = o[i].p;
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* Logits on a coarse grid, so that there are many ties, some tokens impossible. */
static void random_logits(dice *d, float *logits) {
    for (int32_t i = 0; i < VOCAB; i++) {
        logits[i] = (float)dice_below(d, 24) * 0.375f - 6;
        if (dice_below(d, 50) == 0) logits[i] = -INFINITY;
    }
    logits[dice_below(d, VOCAB)] = 4;
}

/* The masses are no sums of a few equal probabilities: no test hangs on the last bit of one. */
static weir_sampling random_rules(dice *d, weir_logit_bias bias[8]) {
    static const float masses[] = {1, 1, 0.97131f, 0.87317f, 0.51713f, 0.01f};
    static const float temperatures[] = {0, 0.25f, 0.8f, 1, 1, 2.5f};
    weir_sampling r = weir_sampling_default();
    r.temperature = temperatures[dice_below(d, 6)];
    r.top_k = dice_below(d, 2) ? 0 : dice_below(d, VOCAB + 20);
    r.top_p = masses[dice_below(d, 6)];
    r.typical = masses[dice_below(d, 6)];
    r.min_p = dice_below(d, 2) ? 0 : 0.0317f;
    r.repetition_penalty = dice_below(d, 2) ? 1 : 1.25f;
    r.presence_penalty = dice_below(d, 2) ? 0 : 0.5f;
    r.frequency_penalty = dice_below(d, 2) ? 0 : -0.25f;
    r.penalty_window = dice_below(d, 4) ? dice_below(d, 60) : 0;
    r.seed = d->seed;
    r.bias_count = dice_below(d, 9);
    for (int32_t i = 0; i < r.bias_count; i++)
        bias[i] = (weir_logit_bias){dice_below(d, VOCAB),
                                    dice_below(d, 3) ? (float)dice_below(d, 9) - 4 : -INFINITY};
    r.bias = bias;
    return r;
}

/* Pearson's chi-squared over tokens of expectation 5 or more (the rest pooled), as a z-value by
 * Wilson and Hilferty. The seed is fixed, so the outcome is too. */
static double surprise(const double *p, const int32_t *drawn, int32_t draws) {
    double chi = 0, rest_expected = 0, rest_drawn = 0;
    int32_t cells = 0;
    for (int32_t i = 0; i < VOCAB; i++) {
        double expected = p[i] * draws;
        if (expected < 5) {
            rest_expected += expected;
            rest_drawn += drawn[i];
            continue;
        }
        chi += (drawn[i] - expected) * (drawn[i] - expected) / expected;
        cells++;
    }
    if (rest_expected >= 5) {
        chi += (rest_drawn - rest_expected) * (rest_drawn - rest_expected) / rest_expected;
        cells++;
    }
    if (cells < 2) return 0;
    double f = cells - 1;
    return (cbrt(chi / f) - (1 - 2 / (9 * f))) / sqrt(2 / (9 * f));
}

static void draws_follow_the_naive_model(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, VOCAB);
    for (uint64_t seed = 0; seed < 150; seed++) {
        dice d = {.seed = seed};
        float logits[VOCAB];
        weir_logit_bias bias[8];
        int32_t list[100], drawn[VOCAB] = {0}, draws = 400;
        random_logits(&d, logits);
        weir_sampling rules = random_rules(&d, bias);
        wr_sampler_forget(sampler, INT64_MAX);
        assert_int_equal(wr_sampler_set(sampler, &rules, NULL), WEIR_OK);
        for (int32_t i = 0; i < 100; i++) {
            list[i] = dice_below(&d, 30);
            wr_sampler_accept(sampler, list[i]);
        }
        double p[VOCAB];
        naive_probabilities(&rules, logits, list, 100, p);
        for (int32_t i = 0; i < draws; i++) {
            int32_t token = -1;
            assert_int_equal(wr_sampler_draw(sampler, logits, i, &token, NULL), WEIR_OK);
            assert_in_range(token, 0, VOCAB - 1);
            if (p[token] <= 0)
                fail_msg("seed %llu: token %d should not be drawn", (unsigned long long)seed,
                         (int)token);
            drawn[token]++;
        }
        if (surprise(p, drawn, draws) > 4.5)
            fail_msg("seed %llu: the draws do not have their probabilities",
                     (unsigned long long)seed);
    }
    wr_arena_release(&arena, NULL);
}

static void long_runs_of_draws_have_their_probabilities(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, VOCAB);
    float logits[VOCAB];
    dice d = {.seed = 12};
    random_logits(&d, logits);
    for (int32_t top_k = 0; top_k <= 40; top_k += 40) {
        weir_sampling rules = weir_sampling_default();
        rules.top_k = top_k;
        rules.top_p = top_k ? 0.95f : 1.0f;
        rules.min_p = 0;
        rules.temperature = 1.3f;
        assert_int_equal(wr_sampler_set(sampler, &rules, NULL), WEIR_OK);
        int32_t drawn[VOCAB] = {0}, draws = 100000;
        double p[VOCAB];
        naive_probabilities(&rules, logits, NULL, 0, p);
        for (int32_t i = 0; i < draws; i++) {
            int32_t token;
            wr_sampler_draw(sampler, logits, i, &token, NULL);
            drawn[token]++;
        }
        assert_true(surprise(p, drawn, draws) < 3.5);
    }
    wr_arena_release(&arena, NULL);
}

static void a_draw_depends_on_seed_index_and_logits_alone(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, VOCAB);
    float logits[VOCAB] = {0};
    weir_sampling rules = weir_sampling_default();
    rules.top_k = 0, rules.top_p = 1, rules.min_p = 0;
    int32_t first[50], again, differing = 0;
    wr_sampler_set(sampler, &rules, NULL);
    for (int64_t i = 0; i < 50; i++) wr_sampler_draw(sampler, logits, i, &first[i], NULL);
    for (int64_t i = 50; i-- > 0;) {
        wr_sampler_draw(sampler, logits, i, &again, NULL);
        assert_int_equal(again, first[i]);
    }
    rules.seed = 1;
    wr_sampler_set(sampler, &rules, NULL);
    for (int64_t i = 0; i < 50; i++) {
        wr_sampler_draw(sampler, logits, i, &again, NULL);
        differing += again != first[i];
    }
    assert_true(differing > 40);
    wr_sampler_draw(sampler, logits, (int64_t)1 << 60, &again, NULL);
    wr_arena_release(&arena, NULL);
}

static void ties_go_to_the_lowest_id(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, VOCAB);
    float logits[VOCAB] = {0};
    logits[30] = logits[70] = logits[150] = 2;
    for (int rule = 0; rule < 4; rule++) {
        weir_sampling rules = weir_sampling_default();
        rules.top_k = rule == 1, rules.min_p = 0;
        rules.temperature = rule == 0 ? 0 : 1;
        rules.top_p = rule == 2 ? 0.001f : 1;
        rules.typical = 1;
        if (rule == 3) rules.top_k = 2, rules.top_p = 0.001f;
        wr_sampler_set(sampler, &rules, NULL);
        for (int64_t i = 0; i < 20; i++) {
            int32_t token = -1;
            wr_sampler_draw(sampler, logits, i, &token, NULL);
            assert_int_equal(token, 30);
        }
    }
    wr_arena_release(&arena, NULL);
}

static void bad_logits_are_errors(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, 4);
    int32_t token = -5;
    weir_error error;
    const float nan_logits[4] = {0, 1, NAN, 2}, infinite[4] = {0, INFINITY, 0, 0};
    const float none[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const float only_one[4] = {-INFINITY, -3e38f, -INFINITY, -INFINITY};
    assert_int_equal(wr_sampler_draw(sampler, nan_logits, 7, &token, &error), WEIR_NAN);
    assert_string_equal(error.message, "the logit of token 2 at stream index 7 is NaN");
    assert_int_equal(wr_sampler_draw(sampler, infinite, 7, &token, &error), WEIR_NAN);
    assert_int_equal(wr_sampler_draw(sampler, none, 7, &token, &error), WEIR_NAN);
    assert_int_equal(token, -5);
    assert_int_equal(wr_sampler_draw(sampler, only_one, 7, &token, &error), WEIR_OK);
    assert_int_equal(token, 1);
    weir_logit_bias bias = {1, -INFINITY};
    weir_sampling rules = weir_sampling_default();
    rules.bias = &bias;
    rules.bias_count = 1;
    wr_sampler_set(sampler, &rules, NULL);
    assert_int_equal(wr_sampler_draw(sampler, only_one, 7, &token, &error), WEIR_USAGE);
    wr_arena_release(&arena, NULL);
}

/* Nothing overflows into a NaN or an infinity: extreme but finite rules and logits. */
static void extremes_still_draw(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, 4);
    const float logits[4] = {3e38f, -3e38f, 3e38f, -INFINITY};
    weir_logit_bias bias[2] = {{0, 3e38f}, {1, -3e38f}};
    for (int i = 0; i < 16; i++) {
        weir_sampling rules = weir_sampling_default();
        rules.bias = bias;
        rules.bias_count = 2;
        rules.temperature = i & 1 ? 1e-45f : 3e38f;
        rules.repetition_penalty = i & 2 ? 1e-45f : 3e38f;
        rules.presence_penalty = i & 4 ? -3e38f : 3e38f;
        rules.frequency_penalty = i & 4 ? -3e38f : 3e38f;
        rules.typical = rules.top_p = i & 8 ? 0.5f : 1;
        assert_int_equal(wr_sampler_set(sampler, &rules, NULL), WEIR_OK);
        for (int32_t t = 0; t < 4; t++) wr_sampler_accept(sampler, t);
        int32_t token = -1;
        assert_int_equal(wr_sampler_draw(sampler, logits, i, &token, NULL), WEIR_OK);
        assert_in_range(token, 0, 2);
    }
    wr_arena_release(&arena, NULL);
}

/* ---- history --------------------------------------------------------------------------------- */

static double penalised(double logit, int32_t token, const int32_t *list, int64_t listed,
                        int32_t window) {
    for (int64_t i = listed > window ? listed - window : 0; i < listed; i++)
        if (list[i] == token) logit -= 0.0625;
    return logit;
}

/* What the sampler remembers shows in its greedy draws: one per token, that token a little ahead.
 */
static void require_window(wr_sampler *sampler, const int32_t *list, int64_t listed,
                           int32_t window) {
    for (int32_t ahead = 0; ahead < 12; ahead++) {
        float logits[12];
        int32_t want = 0, drawn = -1;
        double best = -1e9;
        for (int32_t i = 0; i < 12; i++) {
            logits[i] = i == ahead ? 1.0f : 0.75f;
            double value = penalised((double)logits[i], i, list, listed, window);
            if (value > best) best = value, want = i;
        }
        assert_int_equal(wr_sampler_draw(sampler, logits, 0, &drawn, NULL), WEIR_OK);
        assert_int_equal(drawn, want);
    }
}

static void the_window_slides_both_ways(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, 12);
    static int32_t list[3000];
    int64_t listed = 0;
    dice d = {.seed = 4};
    weir_sampling rules = weir_sampling_default();
    rules.temperature = 0;
    rules.frequency_penalty = 0.0625f;
    rules.penalty_window = 10;
    wr_sampler_set(sampler, &rules, NULL);
    for (int step = 0; step < 2000; step++) {
        int32_t what = dice_below(&d, 20);
        if (what < 16) {
            list[listed] = dice_below(&d, 12);
            wr_sampler_accept(sampler, list[listed++]);
        } else if (what < 19) {
            int64_t count = dice_below(&d, 15);
            wr_sampler_forget(sampler, count);
            listed = count > listed ? 0 : listed - count;
        } else {
            rules.penalty_window = dice_below(&d, 40);
            wr_sampler_set(sampler, &rules, NULL);
        }
        require_window(sampler, list, listed, rules.penalty_window);
    }
    wr_arena_release(&arena, NULL);
}

/* Far more tokens than the ring holds, at the largest window. */
static void history_is_bounded(void **state) {
    (void)state;
    wr_arena arena;
    wr_sampler *sampler = make_sampler(&arena, 12);
    weir_sampling rules = weir_sampling_default();
    rules.temperature = 0;
    rules.presence_penalty = 1;
    rules.penalty_window = WEIR_MAX_PENALTY_WINDOW;
    wr_sampler_set(sampler, &rules, NULL);
    float logits[12] = {0};
    int32_t token;
    wr_sampler_accept(sampler, 0);
    for (int32_t i = 1; i < WEIR_MAX_PENALTY_WINDOW; i++) wr_sampler_accept(sampler, 1);
    wr_sampler_draw(sampler, logits, 0, &token, NULL);
    assert_int_equal(token, 2);
    wr_sampler_accept(sampler, 99); /* no such token: it takes a place all the same */
    wr_sampler_draw(sampler, logits, 0, &token, NULL);
    assert_int_equal(token, 0);
    wr_sampler_forget(sampler, WEIR_MAX_PENALTY_WINDOW + 5);
    for (int32_t i = 0; i < 3; i++) wr_sampler_accept(sampler, i);
    wr_sampler_draw(sampler, logits, 0, &token, NULL);
    assert_int_equal(token, 3);
    wr_arena_release(&arena, NULL);
}

/* ---- save, load, copy, check ----------------------------------------------------------------- */

static void require_same(wr_sampler *a, wr_sampler *b, dice *d) {
    for (int64_t i = 0; i < 40; i++) {
        float logits[VOCAB];
        int32_t x, y;
        random_logits(d, logits);
        if (wr_sampler_draw(a, logits, i, &x, NULL) != WEIR_OK) continue;
        assert_int_equal(wr_sampler_draw(b, logits, i, &y, NULL), WEIR_OK);
        assert_int_equal(x, y);
        wr_sampler_accept(a, x);
        wr_sampler_accept(b, x);
        if (i % 10 == 9) {
            wr_sampler_forget(a, 25);
            wr_sampler_forget(b, 25);
        }
    }
}

static void the_state_travels(void **state) {
    (void)state;
    wr_arena arenas[3];
    wr_sampler *s[3];
    for (int i = 0; i < 3; i++) s[i] = make_sampler(&arenas[i], VOCAB);
    for (uint64_t seed = 0; seed < 20; seed++) {
        dice d = {.seed = 1000 + seed};
        weir_logit_bias bias[8];
        weir_sampling rules = random_rules(&d, bias);
        wr_sampler_set(s[0], &rules, NULL);
        for (int i = 0; i < 150; i++) wr_sampler_accept(s[0], dice_below(&d, VOCAB));
        wr_writer writer = {0};
        wr_sampler_save(s[0], &writer);
        wr_reader reader = {.data = writer.data, .size = writer.size};
        assert_int_equal(wr_sampler_load(s[1], &reader, NULL), WEIR_OK);
        assert_int_equal(wr_reader_left(&reader), 0);
        wr_sampler_copy(s[2], s[1]);
        assert_true(wr_sampler_get(s[2])->bias != wr_sampler_get(s[1])->bias);
        require_same(s[1], s[2], &d);
        wr_sampler_copy(s[1], s[0]);
        wr_sampler_copy(s[2], s[0]);
        require_same(s[1], s[2], &d);
        for (size_t size = 0; size < writer.size; size += 1 + size / 8) {
            reader = (wr_reader){.data = writer.data, .size = size};
            assert_int_equal(wr_sampler_load(s[1], &reader, NULL), WEIR_DAMAGED);
            assert_int_equal(wr_sampler_get(s[1])->top_k, 40);
        }
        for (size_t at = 0; at < 52; at++) { /* whatever stands there, it is checked */
            uint8_t kept = writer.data[at];
            writer.data[at] = 0xFF;
            reader = (wr_reader){.data = writer.data, .size = writer.size};
            if (wr_sampler_load(s[1], &reader, NULL) == WEIR_OK)
                assert_int_equal(weir_sampling_check(wr_sampler_get(s[1]), VOCAB, NULL), WEIR_OK);
            writer.data[at] = kept;
        }
        wr_writer_release(&writer);
    }
    for (int i = 0; i < 3; i++) wr_arena_release(&arenas[i], NULL);
}

static void values_out_of_range_are_named(void **state) {
    (void)state;
    weir_sampling good = weir_sampling_default();
    weir_error error;
    assert_int_equal(weir_sampling_check(&good, VOCAB, &error), WEIR_OK);
    weir_logit_bias bias = {3, 1};
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        weir_sampling bad = good;                                                                  \
        bad.bias = &bias;                                                                          \
        bad.field = value;                                                                         \
        assert_int_equal(weir_sampling_check(&bad, VOCAB, &error), WEIR_USAGE);                    \
        assert_non_null(strstr(error.message, strcmp(#field, "bias_count") ? #field : "bias"));    \
    } while (0)
    BAD(temperature, -0.1f);
    BAD(temperature, NAN);
    BAD(temperature, INFINITY);
    BAD(top_k, -1);
    BAD(top_p, 0);
    BAD(top_p, 1.01f);
    BAD(top_p, NAN);
    BAD(min_p, 1);
    BAD(min_p, -0.5f);
    BAD(typical, 0);
    BAD(typical, NAN);
    BAD(repetition_penalty, 0);
    BAD(repetition_penalty, -INFINITY);
    BAD(presence_penalty, INFINITY);
    BAD(frequency_penalty, NAN);
    BAD(penalty_window, -1);
    BAD(penalty_window, WEIR_MAX_PENALTY_WINDOW + 1);
    BAD(bias_count, -1);
    BAD(bias_count, WEIR_MAX_LOGIT_BIAS + 1);
    static const weir_logit_bias wrong[] = {{-1, 0}, {VOCAB, 0}, {1, NAN}, {1, INFINITY}};
    for (size_t i = 0; i < 4; i++) {
        bias = wrong[i];
        BAD(bias_count, 1);
    }
    weir_sampling missing = good;
    missing.bias_count = 1;
    assert_int_equal(weir_sampling_check(&missing, VOCAB, &error), WEIR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_naive_model),
        cmocka_unit_test(long_runs_of_draws_have_their_probabilities),
        cmocka_unit_test(a_draw_depends_on_seed_index_and_logits_alone),
        cmocka_unit_test(ties_go_to_the_lowest_id),
        cmocka_unit_test(bad_logits_are_errors),
        cmocka_unit_test(extremes_still_draw),
        cmocka_unit_test(the_window_slides_both_ways),
        cmocka_unit_test(history_is_bounded),
        cmocka_unit_test(the_state_travels),
        cmocka_unit_test(values_out_of_range_are_named),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
