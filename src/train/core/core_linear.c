/*
 * Matrices that share an input, and their three products.
 */
#include "train/core/core_inside.h"

static void add_matrix(wr_linear *linear, const wr_parameter *parameter) {
    linear->offset[linear->count] = parameter->offset;
    linear->weight[linear->count++] =
        (wr_product_weight){.rows = parameter->rows, .columns = parameter->columns};
}

/* Matrices that all lie side by side are one; otherwise each is its own. */
void wr_linear_init(wr_linear *linear, const weir_train_shape *shape, int64_t first,
                    int64_t parts) {
    *linear = (wr_linear){.parts = parts};
    bool together = true;
    size_t end = 0; /* of the matrix before, in the array of parameters */
    wr_parameter parameter;
    for (int64_t i = 0; i < parts; i++) {
        wr_parameters_get(shape, first + i, &parameter);
        together = together && (i == 0 || parameter.offset == end);
        end = parameter.offset + (size_t)(parameter.rows * parameter.columns);
        linear->columns = parameter.columns;
        linear->rows += parameter.rows;
        linear->part_rows[i] = parameter.rows;
    }
    for (int64_t i = 0; i < (together ? 1 : parts); i++) {
        wr_parameters_get(shape, first + i, &parameter);
        add_matrix(linear, &parameter);
    }
    if (together) linear->weight[0].rows = linear->rows;
}

void wr_linear_lay_out(wr_linear *linear, const wr_core *core, wr_arena *arena) {
    linear->products = core->products;
    for (int64_t i = 0; i < linear->count; i++) {
        wr_product_weight *weight = &linear->weight[i];
        size_t size = linear->products->prepared_size(weight->rows, weight->columns);
        weight->prepared = size > 0 ? wr_arena_take(arena, size, 1) : NULL;
        if (core->parameters != NULL) weight->master = core->parameters + linear->offset[i];
    }
}

size_t wr_linear_scratch(const wr_linear *linear, int64_t n, int threads) {
    size_t most = 0;
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        size_t size = linear->products->scratch_size(weight->rows, weight->columns, n, threads);
        if (size > most) most = size;
    }
    return most;
}

void wr_linear_prepare(wr_linear *linear, wr_threads *threads) {
    if (linear->products->prepare == NULL) return;
    for (int64_t i = 0; i < linear->count; i++)
        linear->products->prepare(threads, &linear->weight[i]);
}

wr_part wr_linear_part(const wr_linear *linear, real *y, int64_t part, int64_t n) {
    int64_t before = 0;
    for (int64_t i = 0; i < part; i++) before += linear->part_rows[i];
    if (linear->count == 1) return (wr_part){y + before, linear->rows};
    return (wr_part){y + before * n, linear->part_rows[part]};
}

/* Where the rows begin in the array of matrix i. */
static int64_t rows_at(const wr_linear_rows *rows, int64_t before, int64_t width) {
    return rows->n * before + rows->first * width;
}

void wr_linear_forward(const wr_linear *linear, const wr_linear_rows *rows, const real *x,
                       real *y) {
    int64_t before = 0;
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        real *at = y + rows_at(rows, before, weight->rows);
        linear->products->forward(rows->threads, weight, x, at, rows->count, rows->scratch);
        before += weight->rows;
    }
}

void wr_linear_inputs(const wr_linear *linear, const wr_linear_rows *rows, const real *dy,
                      real *dx) {
    int64_t before = 0;
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        const real *at = dy + rows_at(rows, before, weight->rows);
        linear->products->inputs(rows->threads, weight, at, dx, rows->count, i > 0, rows->scratch);
        before += weight->rows;
    }
}

void wr_linear_weights(const wr_linear *linear, const wr_linear_rows *rows, const real *dy,
                       const real *x, real *gradients) {
    int64_t before = 0;
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        const real *at = dy + rows_at(rows, before, weight->rows);
        linear->products->weights(rows->threads, weight, at, x, gradients + linear->offset[i],
                                  rows->count, rows->scratch);
        before += weight->rows;
    }
}
