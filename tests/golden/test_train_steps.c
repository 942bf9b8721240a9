/*
 * A hundred steps of AdamW, each of two halves of a batch, against the same recipe in PyTorch's
 * float32 from the same start (tools/reference/train_golden.py): the mean loss of every step within
 * 1e-4 of PyTorch's, for each kind of sink.
 */
#include "support/train_sample.h"

#include <math.h>
#include <stdio.h>

enum { SAMPLES = 8, HALF = 4, STEPS = 100 };

static const weir_train_shape shape_of_steps = {.layers = 2,
                                                .width = 32,
                                                .heads = 4,
                                                .kv_heads = 2,
                                                .feed_forward = 48,
                                                .context = 40,
                                                .vocabulary = 64,
                                                .tied = true,
                                                .rope_base = 10000,
                                                .norm_epsilon = 1e-5};

/* A rule with a little noise, so that there is something to learn. */
static void learnable_tokens(const weir_train_shape *shape, int step, int32_t *tokens) {
    const int64_t row = shape->context + 1;
    for (int64_t i = 0; i < SAMPLES * row; i++) {
        const double draw = wr_random_unit(1000 + (uint64_t)step, 7, (uint64_t)i);
        const bool noisy = draw < 0.25 || i % row == 0;
        const int64_t drawn = (int64_t)(draw * 4 * (double)shape->vocabulary);
        const int64_t next = noisy ? drawn : 5 * tokens[i - 1] + 3;
        tokens[i] = (int32_t)(next % shape->vocabulary);
    }
    for (int64_t i = 0; shape->sink == WEIR_TRAIN_SINK_TOKEN && i < SAMPLES; i++)
        tokens[i * row] = 1;
}

/* Mean loss of a step's batch, before the step. */
static double take_step(wr_core *core, const weir_train_shape *shape, int step) {
    int32_t tokens[SAMPLES * 41];
    double total = 0, norm;
    int64_t all = 0;
    assert_int_equal(shape->context + 1, 41);
    learnable_tokens(shape, step, tokens);
    for (int half = 0; half < 2; half++) {
        double nll;
        int64_t scored;
        const int32_t *from = tokens + half * HALF * 41;
        assert_int_equal(wr_core_learn(core, from, HALF, &nll, &scored, NULL), WEIR_OK);
        total += nll;
        all += scored;
    }
    const double pi = 3.14159265358979323846;
    const double warm = step < 10 ? step / 10.0 : 1;
    const wr_core_update update = {.rate = 1e-2 * warm * 0.5 * (1 + cos(pi * step / STEPS)),
                                   .beta1 = 0.9,
                                   .beta2 = 0.95,
                                   .epsilon = 1e-8,
                                   .decay = 0.1,
                                   .clip = 1,
                                   .gradient_scale = 1 / (double)all,
                                   .step = step};
    assert_int_equal(wr_core_step(core, &update, &norm, NULL), WEIR_OK);
    return total / (double)all;
}

static void like_pytorch(void **state) {
    char path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/tests/golden/train-steps.csv", getenv("WEIR_ROOT"));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int sink = WEIR_TRAIN_SINK_NONE; sink <= WEIR_TRAIN_SINK_TOKEN; sink++) {
        weir_train_shape shape = shape_of_steps;
        shape.sink = (weir_train_sink)sink;
        wr_core *core = open_core(&shape, HALF, 2);
        wr_core_start(core, 5);
        double worst = 0, loss = 0;
        for (int step = 1; step <= STEPS; step++) {
            int of_sink, of_step;
            double expected;
            assert_int_equal(fscanf(file, "%d,%d,%lf", &of_sink, &of_step, &expected), 3);
            assert_int_equal(of_sink, sink);
            assert_int_equal(of_step, step);
            loss = take_step(core, &shape, step);
            const double error = fabs(loss - expected) / expected;
            if (!(error < 1e-4))
                fail_msg("sink %d, step %d: loss %.7f, PyTorch's %.7f", sink, step, loss, expected);
            worst = fmax(worst, error);
        }
        printf("sink %d: loss %.4f after %d steps, worst relative error %.1e\n", sink, loss, STEPS,
               worst);
        wr_core_destroy(core);
    }
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(like_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
