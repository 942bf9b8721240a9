/*
 * Matrices that share an input, and their three products.
 */
#include "train/core_inside.h"

void wr_linear_init(wr_linear *linear, const weir_train_shape *shape, int64_t first,
                    int64_t parts) {
    *linear = (wr_linear){.parts = parts};
    size_t end = 0; /* of the matrix before, in the array of parameters */
    for (int64_t i = 0; i < parts; i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, first + i, &parameter);
        linear->columns = parameter.columns;
        linear->rows += parameter.rows;
        linear->part_rows[i] = parameter.rows;
        if (i > 0 && parameter.offset == end && linear->count == 1) {
            linear->weight[0].rows += parameter.rows;
        } else {
            linear->offset[linear->count] = parameter.offset;
            linear->weight[linear->count++] =
                (wr_product_weight){.rows = parameter.rows, .columns = parameter.columns};
        }
        end = parameter.offset + (size_t)(parameter.rows * parameter.columns);
    }
    if (linear->count == 1 || linear->count == parts) return;
    /* only some would lie together: none does */
    linear->count = 0;
    for (int64_t i = 0; i < parts; i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, first + i, &parameter);
        linear->offset[linear->count] = parameter.offset;
        linear->weight[linear->count++] =
            (wr_product_weight){.rows = parameter.rows, .columns = parameter.columns};
    }
}

void wr_linear_lay_out(wr_linear *linear, wr_core *core, wr_arena *arena) {
    for (int64_t i = 0; i < linear->count; i++) {
        wr_product_weight *weight = &linear->weight[i];
        size_t size = core->products->prepared_size(weight->rows, weight->columns);
        weight->prepared = size > 0 ? wr_arena_take(arena, size, 1) : NULL;
        if (core->parameters != NULL) weight->master = core->parameters + linear->offset[i];
    }
}

size_t wr_linear_scratch(const wr_linear *linear, const wr_core *core, int64_t n) {
    size_t most = 0;
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        size_t size = core->products->scratch_size(weight->rows, weight->columns, n,
                                                   wr_threads_count(core->threads));
        if (size > most) most = size;
    }
    return most;
}

void wr_linear_prepare(wr_linear *linear, wr_core *core) {
    if (core->products->prepare == NULL) return;
    for (int64_t i = 0; i < linear->count; i++)
        core->products->prepare(core->threads, &linear->weight[i]);
}

wr_part wr_linear_part(const wr_linear *linear, real *y, int64_t part, int64_t n) {
    int64_t before = 0;
    for (int64_t i = 0; i < part; i++) before += linear->part_rows[i];
    if (linear->count == 1) return (wr_part){y + before, linear->rows};
    return (wr_part){y + before * n, linear->part_rows[part]};
}

void wr_linear_forward(wr_linear *linear, wr_core *core, const real *x, real *y, int64_t n) {
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        core->products->forward(core->threads, weight, x, y, n, core->product_scratch);
        y += n * weight->rows;
    }
}

void wr_linear_inputs(wr_linear *linear, wr_core *core, const real *dy, real *dx, int64_t n) {
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        core->products->inputs(core->threads, weight, dy, dx, n, i > 0, core->product_scratch);
        dy += n * weight->rows;
    }
}

void wr_linear_weights(wr_linear *linear, wr_core *core, const real *dy, const real *x, int64_t n) {
    for (int64_t i = 0; i < linear->count; i++) {
        const wr_product_weight *weight = &linear->weight[i];
        core->products->weights(core->threads, weight, dy, x, core->gradients + linear->offset[i],
                                n, core->product_scratch);
        dy += n * weight->rows;
    }
}
