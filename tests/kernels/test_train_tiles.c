/* train: the whole model by every way to multiply: each tensor's gradient, and the loss, against
 * those of float32, within the rounding of bfloat16; on shapes for which blocks go as a whole and
 * on others, a part of a tile at the end. */
#include "support/train_sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const weir_train_shape shapes[] = {
    {3, 64, 4, 2, 96, 75, 64, false, WEIR_TRAIN_SINK_LOGIT, WEIR_TRAIN_ROPE, 10000, 1e-5},
    {2, 96, 2, 1, 160, 64, 500, true, WEIR_TRAIN_SINK_TOKEN, WEIR_TRAIN_ROPE, 10000, 1e-5},
    {1, 40, 5, 5, 288, 33, 1100, false, WEIR_TRAIN_SINK_ZERO, WEIR_TRAIN_ALIBI, 10000, 1e-5},
    {2, 18, 3, 1, 23, 13, 29, true, WEIR_TRAIN_SINK_LOGIT, WEIR_TRAIN_ROPE, 10000, 1e-5},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0], SAMPLES = 3 };

static wr_core *learned(const weir_train_shape *shape, const char *products, const int32_t *tokens,
                        double *nll) {
    weir_error error;
    int64_t scored;
    wr_core *core = open_core_of(shape, SAMPLES, 2, wr_products_find(products, NULL));
    wr_core_start(core, 5);
    if (wr_core_learn(core, tokens, SAMPLES, nll, &scored, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return core;
}

/* The root of the mean square of the difference, in parts of that of b. */
static double distance(const float *a, const float *b, int64_t count) {
    double squares = 0, differences = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        squares += (double)b[i] * (double)b[i];
        differences += d * d;
    }
    return sqrt(differences / (squares + 1e-20));
}

static void agrees(const weir_train_shape *shape) {
    double nll, expected;
    int32_t *tokens = draw_tokens(shape, SAMPLES, 3);
    wr_core *core = learned(shape, "bfloat16", tokens, &nll);
    wr_core *other = learned(shape, "float32", tokens, &expected);
    double worst = 0;
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter p;
        wr_parameters_get(shape, i, &p);
        const double d = distance(wr_core_gradients(core) + p.offset,
                                  wr_core_gradients(other) + p.offset, p.rows * p.columns);
        /* each is a sum of thousands of numbers with a rounding of 2^-9 or several */
        if (!(d <= 0.03)) fail_msg("width %d: %s is off by %g", (int)shape->width, p.name, d);
        if (d > worst) worst = d;
    }
    printf("width %d: loss off by %.1e, gradients by %.1e at most\n", (int)shape->width,
           fabs(nll / expected - 1), worst);
    assert_true(fabs(nll / expected - 1) < 2e-3);
    wr_core_destroy(core);
    wr_core_destroy(other);
    free(tokens);
}

static void test_gradients(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) agrees(&shapes[i]);
}

int main(void) {
    if (wr_products_find("bfloat16", NULL) == NULL) {
        puts("skipped: products of bfloat16 need a CPU with AMX");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
