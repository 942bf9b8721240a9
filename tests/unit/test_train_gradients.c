/*
 * Every hand-written gradient against differences of the loss, in double precision: four sinks, two
 * position schemes, tied and not, on odd shapes.
 */
#include "support/train_sample.h"

#include <math.h>
#include <stdio.h>

#include "train/kernels/train_kernels.h"

enum { SAMPLES = 2, ALL_BELOW = 64, DRAWN = 16 };

typedef struct checked {
    wr_core *core;
    const weir_train_shape *shape;
    const int32_t *tokens;
    double worst;
} checked;

static double loss(const checked *of) {
    double nll;
    int64_t scored;
    weir_error error;
    wr_core_parameters_changed(of->core);
    if (wr_core_score(of->core, of->tokens, SAMPLES, &nll, &scored, NULL, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return nll;
}

/* (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h: its error is of the order h^4. */
static double difference(const checked *of, size_t at) {
    const double h = 1e-3;
    real *x = wr_core_parameters(of->core) + at;
    const double before = *x;
    double f[5];
    for (int i = -2; i <= 2; i++) {
        if (i == 0) continue;
        *x = before + i * h;
        f[i + 2] = loss(of);
    }
    *x = before;
    return (8 * (f[3] - f[1]) - (f[4] - f[0])) / (12 * h);
}

/* The error counts relative to the gradient, or to the tensor's typical one where that is larger by
 * far. */
static void check_tensor(checked *of, const wr_parameter *parameter, const real *gradients) {
    const int64_t count = parameter->rows * parameter->columns;
    const real *gradient = gradients + parameter->offset;
    double squares = 0;
    for (int64_t i = 0; i < count; i++) squares += gradient[i] * gradient[i];
    const double typical = sqrt(squares / (double)count);
    assert_true(typical > 0);
    const int64_t checks = count <= ALL_BELOW ? count : DRAWN;
    for (int64_t i = 0; i < checks; i++) {
        int64_t at = i;
        if (count > ALL_BELOW)
            at = (int64_t)(wr_random_unit(3, parameter->offset, (uint64_t)i) * (double)count);
        const double expected = difference(of, parameter->offset + (size_t)at);
        double error = fabs(gradient[at] - expected);
        error /= fmax(fabs(expected), 0.01 * typical);
        if (!(error < 1e-5))
            fail_msg("%s[%lld]: gradient %.12g, differences say %.12g", parameter->name,
                     (long long)at, gradient[at], expected);
        if (error > of->worst) of->worst = error;
    }
}

static double check_shape(const weir_train_shape *shape) {
    checked of = {.core = open_core(shape, SAMPLES, 1), .shape = shape};
    int32_t *tokens = draw_tokens(shape, SAMPLES, 11);
    of.tokens = tokens;
    disturb(of.core, shape, 5);
    const size_t size = wr_parameters_size(shape);
    double nll;
    int64_t scored;
    assert_int_equal(wr_core_learn(of.core, tokens, SAMPLES, &nll, &scored, NULL), WEIR_OK);
    assert_int_equal(scored, SAMPLES * shape->context);
    real *gradients = malloc(size * sizeof(real));
    assert_non_null(gradients);
    for (size_t i = 0; i < size; i++) gradients[i] = wr_core_gradients(of.core)[i];
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, i, &parameter);
        check_tensor(&of, &parameter, gradients);
    }
    free(gradients);
    free(tokens);
    wr_core_destroy(of.core);
    return of.worst;
}

static void check_variants(const weir_train_shape *base) {
    for (int sink = WEIR_TRAIN_SINK_NONE; sink <= WEIR_TRAIN_SINK_TOKEN; sink++) {
        for (int positions = WEIR_TRAIN_ROPE; positions <= WEIR_TRAIN_ALIBI; positions++) {
            weir_train_shape shape = *base;
            shape.sink = (weir_train_sink)sink;
            shape.positions = (weir_train_positions)positions;
            const double worst = check_shape(&shape);
            printf("%s, sink %d, positions %d, %s: worst relative error %.1e\n",
                   wr_train_kernels_get()->name, sink, positions, base->tied ? "tied" : "untied",
                   worst);
        }
    }
}

static void odd_shapes(void **state) {
    (void)state;
    check_variants(&odd_shape);
}

static void odd_shapes_tied(void **state) {
    (void)state;
    weir_train_shape shape = odd_shape;
    shape.tied = true;
    check_variants(&shape);
}

static void whole_vectors(void **state) {
    (void)state;
    weir_train_shape shape = even_shape;
    shape.sink = WEIR_TRAIN_SINK_LOGIT;
    check_shape(&shape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_shapes),
        cmocka_unit_test(odd_shapes_tied),
        cmocka_unit_test(whole_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
