/*
 * The whole model's gradient, in double precision, against PyTorch's autograd
 * (tools/reference/train_golden.py): of every tensor its norm, its product with a wave, and some of
 * its numbers.
 */
#include "support/train_sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLES = 2, FIGURES = 10, VARIANTS = 16 };
static const double bound = 1e-5;

typedef struct row {
    int sink, positions, tied;
    char name[48];
    double figures[FIGURES]; /* norm, product, numbers */
} row;

static bool read_row(FILE *file, row *out) {
    if (fscanf(file, "%d,%d,%d,%47[^,]", &out->sink, &out->positions, &out->tied, out->name) != 4)
        return false;
    for (int i = 0; i < FIGURES; i++) assert_int_equal(fscanf(file, ",%lf", &out->figures[i]), 1);
    return true;
}

typedef struct model {
    weir_train_shape shape;
    wr_core *core;
    int64_t tensor; /* the next row's */
} model;

static void begin(model *of, const row *loss) {
    of->shape = odd_shape;
    of->shape.sink = (weir_train_sink)loss->sink;
    of->shape.positions = (weir_train_positions)loss->positions;
    of->shape.tied = loss->tied != 0;
    of->core = open_core(&of->shape, SAMPLES, 1);
    of->tensor = 0;
    disturb(of->core, &of->shape, 5);
    int32_t *tokens = draw_tokens(&of->shape, SAMPLES, 11);
    double nll;
    int64_t scored;
    assert_int_equal(wr_core_learn(of->core, tokens, SAMPLES, &nll, &scored, NULL), WEIR_OK);
    free(tokens);
    if (!(fabs(nll - loss->figures[0]) < bound * nll))
        fail_msg("loss %.12g, PyTorch says %.12g", nll, loss->figures[0]);
}

static void end(model *of) {
    if (of->core != NULL) assert_int_equal(of->tensor, wr_parameters_count(&of->shape));
    wr_core_destroy(of->core);
    of->core = NULL;
}

/* Largest error of a row, relative to the gradient's norm. */
static double compare(model *of, const row *expected) {
    wr_parameter parameter;
    wr_parameters_get(&of->shape, of->tensor++, &parameter);
    assert_string_equal(parameter.name, expected->name);
    const int64_t count = parameter.rows * parameter.columns;
    const real *gradient = wr_core_gradients(of->core) + parameter.offset;
    double squares = 0, product = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        squares += gradient[i] * gradient[i];
        product += gradient[i] * cos((double)i + 1);
    }
    const double norm = expected->figures[0], typical = norm / sqrt((double)count);
    assert_true(norm > 0);
    worst = fmax(fabs(sqrt(squares) - norm), fabs(product - expected->figures[1])) / norm;
    for (int64_t i = 0; i < 8; i++) {
        const double number = expected->figures[2 + i];
        const double error = fabs(gradient[i * 7919 % count] - number);
        worst = fmax(worst, error / fmax(fabs(number), typical));
    }
    if (!(worst < bound)) fail_msg("%s: relative error %.2e", parameter.name, worst);
    return worst;
}

static void every_variant(void **state) {
    char path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/tests/golden/train-gradients.csv", getenv("WEIR_ROOT"));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    model of = {.core = NULL};
    row next;
    double worst = 0;
    int variants = 0;
    while (read_row(file, &next)) {
        if (strcmp(next.name, "loss") == 0) {
            end(&of);
            begin(&of, &next);
            variants++;
        } else {
            worst = fmax(worst, compare(&of, &next));
        }
    }
    end(&of);
    fclose(file);
    assert_int_equal(variants, VARIANTS);
    printf("%d variants, worst relative error %.1e\n", variants, worst);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_variant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
