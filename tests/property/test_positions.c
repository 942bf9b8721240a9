/*
 * Positions are exact however far the stream has gone.
 *
 * Angles against long double arithmetic, and the whole engine: after the sinks the counter is set
 * to P, and the same 600 tokens come; their likelihoods at P = 10^4 and P = 10^12 must agree, since
 * only differences of positions matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/random.h"
#include "position/alibi.h"
#include "position/rope.h"
#include "stream/stream_private.h"
#include "weir/weir.h"

enum { TOKENS = 600, PAIRS = 32 };

/* The angle of one turn fraction f at p, in radians, by arithmetic that keeps the whole product. */
static long double angle_of(uint64_t turns, uint64_t p) {
    unsigned __int128 product = (unsigned __int128)turns * p;
    return ldexpl((long double)(uint64_t)product, -64) * 2.0L * 3.14159265358979323846264338328L;
}

static void test_angles(void **state) {
    (void)state;
    static const uint64_t positions[] = {
        0, 1, 2, 10, 1000, 4096, 1000000, 4000000, 1000000000000, 1000000000000000, UINT64_MAX};
    wr_rope rope;
    float cos_sin[2 * PAIRS];
    assert_int_equal(wr_rope_init(&rope, WR_ROTARY_ADJACENT,
                                  &(wr_rope_recipe){.dim = 2 * PAIRS, .base = 10000.0}, 0, NULL),
                     WEIR_OK);
    for (size_t n = 0; n < sizeof positions / sizeof positions[0]; n++) {
        wr_rope_angles(&rope, positions[n], cos_sin);
        for (int i = 0; i < PAIRS; i++) {
            long double angle = angle_of(rope.turns[i], positions[n]);
            assert_float_equal(cos_sin[2 * i], (float)cosl(angle), 1.2e-7f);
            assert_float_equal(cos_sin[2 * i + 1], (float)sinl(angle), 1.2e-7f);
        }
    }
    /* Near the origin the frequencies are those of the definition. */
    wr_rope_angles(&rope, 100, cos_sin);
    for (int i = 0; i < PAIRS; i++)
        assert_float_equal(cos_sin[2 * i + 1],
                           (float)sinl(100.0L * powl(10000.0L, -2.0L * i / (2 * PAIRS))), 2e-7f);
}

static void test_refusals(void **state) {
    (void)state;
    wr_rope rope;
    weir_error error;
    const float bad[] = {1.0f, NAN};
    const wr_rope_recipe list[] = {
        {.dim = 7, .base = 1e4},
        {.dim = 4096, .base = 1e4},
        {.dim = 4, .base = (double)NAN},
        {.dim = 4, .base = 0.5},
        {.dim = 4, .base = 1e4, .divisors = bad},
        {.dim = 4, .base = 1e4, .scaling = WEIR_ROPE_LINEAR},
        {.dim = 4, .base = 1e4, .scaling = WEIR_ROPE_DYNAMIC, .factor = (double)NAN, .original = 9},
        {.dim = 4, .base = 1e4, .scaling = WEIR_ROPE_YARN, .factor = 2},
        {.dim = 4, .base = 1e4, .scaling = WEIR_ROPE_LLAMA3, .factor = 2, .original = 9, .low = 8},
        {.dim = 4, .base = 1e4, .scaling = WEIR_ROPE_LONGROPE, .factor = 2, .original = 9},
        {.dim = 4, .base = 1e4, .attention = (double)INFINITY},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        assert_int_equal(wr_rope_init(&rope, WR_ROTARY_HALVES, &list[i], 0, &error), WEIR_DAMAGED);
    const wr_rope_recipe none = {.base = 1e4};
    assert_int_equal(wr_rope_init(&rope, WR_ROTARY_HALVES, &none, 0, &error), WEIR_OK);
}

/* --- Far positions ---------------------------------------------------------------------------- */

static int32_t tokens[TOKENS + 1];

static weir_status keep_nll(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    double **next = context;
    double total = 0.0;
    int64_t at =
        (index - 4) % 10000; /* tokens[at] was fed last: P is a multiple of 10,000 plus 4 */
    for (int32_t i = 0; i < n_vocab; i++) total += exp((double)logits[i]);
    *(*next)++ = log(total) - (double)logits[tokens[(at + 1) % TOKENS]];
    return WEIR_OK;
}

static void run_at(const weir_model *model, int64_t position, double *nll) {
    weir_error error;
    weir_stream *stream;
    weir_stream_options options = weir_stream_options_default();
    options.sinks = 4;
    options.window = 252;
    options.cache_type = WEIR_CACHE_F32;
    if (weir_stream_create(model, &options, &stream, &error) != WEIR_OK ||
        weir_stream_feed_tokens(stream, (const int32_t[]){1, 5, 9, 13}, 4, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    wr_stream_skip_to(stream, position);
    if (weir_stream_feed_scored(stream, tokens, TOKENS, keep_nll, &nll, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    weir_stream_destroy(stream);
}

static void check_far(const char *positions) {
    static double near[TOKENS];
    static double far[TOKENS];
    char path[64];
    weir_error error;
    weir_model *model;
    weir_random_model shape = weir_random_model_default();
    shape.context = 512;
    shape.positions = positions;
    snprintf(path, sizeof path, "/tmp/weir-far-%d.gguf", (int)getpid());
    if (weir_make_random(path, &shape, &error) != WEIR_OK ||
        weir_model_open(path, NULL, &model, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = (int32_t)(wr_random_unit(11, 0, (uint64_t)i) * (double)shape.vocabulary);
    run_at(model, 10004, near);
    run_at(model, 1000000000004, far);
    double worst = 0.0;
    for (int i = 0; i < TOKENS; i++) worst = fmax(worst, fabs(near[i] - far[i]));
    printf("%s, P = 10^4 and P = 10^12: worst difference %.1e nats\n", positions, worst);
    assert_true(worst <= 2e-4);
    weir_model_close(model);
    unlink(path);
}

static void test_far(void **state) {
    (void)state;
    check_far("rope");
    check_far("alibi");
}

/* ---- Linear biases --------------------------------------------------------------------------- */

static void test_slopes(void **state) {
    (void)state;
    static const double of_8[] = {1.0 / 2,  1.0 / 4,  1.0 / 8,   1.0 / 16,
                                  1.0 / 32, 1.0 / 64, 1.0 / 128, 1.0 / 256};
    static const double of_6[] = {1.0 / 4, 1.0 / 16, 1.0 / 64, 1.0 / 256, 1.0 / 2, 1.0 / 8};
    static const double of_3[] = {1.0 / 16, 1.0 / 256, 1.0 / 4};
    for (int i = 0; i < 8; i++) assert_true(wr_alibi_slope(i, 8, 8.0) == of_8[i]);
    for (int i = 0; i < 6; i++) assert_true(wr_alibi_slope(i, 6, 8.0) == of_6[i]);
    for (int i = 0; i < 3; i++) assert_true(wr_alibi_slope(i, 3, 8.0) == of_3[i]);
    assert_true(wr_alibi_slope(0, 1, 8.0) == 1.0 / 256);
    assert_true(wr_alibi_slope(0, 16, 8.0) == sqrt(0.5));
    assert_true(wr_alibi_slope(0, 8, 16.0) == 1.0 / 4); /* another bias: the square */
    assert_true(wr_alibi_slope(2, 3, 16.0) == 1.0 / 16);
    for (int32_t heads = 1; heads < 300; heads++) /* no two alike, and none above 1 */
        for (int32_t i = 0; i < heads; i++) {
            double slope = wr_alibi_slope(i, heads, 8.0);
            assert_true(slope > 0 && slope < 1);
            for (int32_t j = 0; j < i; j++) assert_true(wr_alibi_slope(j, heads, 8.0) != slope);
        }
}

static void test_far_on_trained_model(void **state) {
    (void)state;
    static double near[TOKENS];
    static double far[TOKENS];
    char path[4200];
    weir_model *model;
    const char *shared = getenv("WEIR_SHARED");
    const char *root = getenv("WEIR_ROOT");
    if (shared)
        snprintf(path, sizeof path, "%s/data/models/stories260K.gguf", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/data/models/stories260K.gguf", root);
    if (weir_model_open(path, NULL, &model, NULL) != WEIR_OK) {
        printf("skipped: %s is not there\n", path);
        skip();
    }
    run_at(model, 10004, near);
    run_at(model, 1000000000004, far);
    double worst = 0.0;
    for (int i = 0; i < TOKENS; i++) worst = fmax(worst, fabs(near[i] - far[i]));
    printf("stories260K, P = 10^4 and P = 10^12: worst difference %.1e nats\n", worst);
    assert_true(worst <= 2e-4);
    weir_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_angles), cmocka_unit_test(test_refusals), cmocka_unit_test(test_far),
        cmocka_unit_test(test_slopes), cmocka_unit_test(test_far_on_trained_model)};
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
