/* A small model in training, with parameters large enough for every path to matter. */
#ifndef TRAIN_SAMPLE_H
#define TRAIN_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/random.h"
#include "train/core/core.h"

static const weir_train_shape odd_shape = {.layers = 2,
                                           .width = 18,
                                           .heads = 3,
                                           .kv_heads = 1,
                                           .feed_forward = 23,
                                           .context = 13,
                                           .vocabulary = 29,
                                           .rope_base = 10000,
                                           .norm_epsilon = 1e-5};

/* Whole vectors everywhere, so that matrices lie one after another; more than one tile of keys. */
static const weir_train_shape even_shape = {.layers = 2,
                                            .width = 32,
                                            .heads = 4,
                                            .kv_heads = 2,
                                            .feed_forward = 64,
                                            .context = 75,
                                            .vocabulary = 64,
                                            .rope_base = 10000,
                                            .norm_epsilon = 1e-5};

static inline wr_core *open_core_of(const weir_train_shape *shape, int64_t samples, int threads,
                                    const wr_products *products) {
    weir_error error = {.message = ""};
    wr_threads *pool = NULL;
    wr_core *core = NULL;
    assert_int_equal(wr_threads_create(threads, NULL, &pool, &error), WEIR_OK);
    assert_non_null(products);
    wr_core_options options = {
        .shape = *shape, .samples = samples, .products = products, .threads = pool};
    if (wr_core_create(&options, &core, &error) != WEIR_OK) fail_msg("%s", error.message);
    wr_threads_release(pool);
    return core;
}

static inline wr_core *open_core(const weir_train_shape *shape, int64_t samples, int threads) {
    return open_core_of(shape, samples, threads, wr_products_find("float32", NULL));
}

/* Parameters far from the start's small ones. */
static inline void disturb(wr_core *core, const weir_train_shape *shape, uint64_t seed) {
    wr_core_start(core, seed);
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, i, &parameter);
        real *x = wr_core_parameters(core) + parameter.offset;
        for (int64_t j = 0; j < parameter.rows * parameter.columns; j++)
            x[j] += (real)(0.3 * wr_random_normal(seed + 1, (uint64_t)i, (uint64_t)j));
    }
    wr_core_parameters_changed(core);
}

/* The caller frees. */
static inline int32_t *draw_tokens(const weir_train_shape *shape, int64_t samples, uint64_t seed) {
    const int64_t count = samples * (shape->context + 1);
    int32_t *tokens = malloc((size_t)count * sizeof *tokens);
    assert_non_null(tokens);
    for (int64_t i = 0; i < count; i++) {
        double unit = wr_random_unit(seed, 7, (uint64_t)i);
        tokens[i] = (int32_t)(unit * (double)shape->vocabulary);
        if (shape->sink == WEIR_TRAIN_SINK_TOKEN && i % (shape->context + 1) == 0) tokens[i] = 1;
    }
    return tokens;
}

#endif
