/*
 * The model in training, but for its gradients (test_train_gradients): the same bits for any number
 * of threads and any division into calls, a start that sinks share, what NaN says, sinks, memory.
 */
#include "support/train_sample.h"

#include <math.h>
#include <string.h>

#include "support/failing_allocator.h"

enum { SAMPLES = 3 };

static void learn(wr_core *core, const int32_t *tokens, int64_t samples, double *nll) {
    int64_t scored;
    weir_error error = {.message = ""};
    if (wr_core_learn(core, tokens, samples, nll, &scored, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static const wr_core_update recipe = {.rate = 0.01,
                                      .beta1 = 0.9,
                                      .beta2 = 0.95,
                                      .epsilon = 1e-8,
                                      .decay = 0.1,
                                      .clip = 1,
                                      .gradient_scale = 0.01,
                                      .step = 1};

static void take_step(wr_core *core) {
    double norm;
    assert_int_equal(wr_core_step(core, &recipe, &norm, NULL), WEIR_OK);
    assert_true(norm > 0);
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Gradients, a step, gradients again. */
static void check_threads(const weir_train_shape *shape, const wr_products *products) {
    const size_t bytes = wr_parameters_size(shape) * sizeof(real);
    real *gradients = malloc(bytes), *parameters = malloc(bytes);
    assert_true(gradients != NULL && parameters != NULL);
    int32_t *tokens = draw_tokens(shape, SAMPLES, 3);
    double first_nll = 0;
    for (int threads = 1; threads <= 3; threads++) {
        wr_core *core = open_core_of(shape, SAMPLES, threads, products);
        double nll;
        wr_core_start(core, 9);
        learn(core, tokens, SAMPLES, &nll);
        take_step(core);
        learn(core, tokens, SAMPLES, &nll);
        if (threads == 1) {
            first_nll = nll;
            memcpy(gradients, wr_core_gradients(core), bytes);
            memcpy(parameters, wr_core_parameters(core), bytes);
        }
        assert_true(nll == first_nll);
        assert_memory_equal(gradients, wr_core_gradients(core), bytes);
        assert_memory_equal(parameters, wr_core_parameters(core), bytes);
        wr_core_destroy(core);
    }
    free(tokens);
    free(gradients);
    free(parameters);
}

static void same_bits_for_any_threads(void **state) {
    const char *const names[] = {"float32", "bfloat16"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        const wr_products *products = wr_products_find(names[i], NULL);
        if (products == NULL) continue; /* not of this machine */
        for (int sink = WEIR_TRAIN_SINK_NONE; sink <= WEIR_TRAIN_SINK_TOKEN; sink++) {
            weir_train_shape odd = odd_shape, even = even_shape;
            odd.sink = even.sink = (weir_train_sink)sink;
            even.tied = true;
            check_threads(&odd, products);
            check_threads(&even, products);
        }
    }
}

/* Length of a tensor's gradient, and of its difference from another's. */
static void compare(const real *x, const real *y, int64_t count, double *length, double *apart) {
    *length = *apart = 0;
    for (int64_t i = 0; i < count; i++) {
        *length += (double)x[i] * (double)x[i];
        *apart += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    }
    *length = sqrt(*length);
    *apart = sqrt(*apart);
}

/* Gradients of rounded products point where the exact ones do. */
static void bfloat16_is_near_float32(void **state) {
    const wr_products *rounded = wr_products_find("bfloat16", NULL);
    (void)state;
    if (rounded == NULL) {
        print_message("this machine has no products of bfloat16\n");
        return;
    }
    for (int variant = 0; variant < 8; variant++) {
        weir_train_shape shape = even_shape;
        shape.sink = (weir_train_sink)(variant / 2);
        shape.positions = (weir_train_positions)(variant % 2);
        wr_core *exact = open_core(&shape, SAMPLES, 2);
        wr_core *core = open_core_of(&shape, SAMPLES, 2, rounded);
        int32_t *tokens = draw_tokens(&shape, SAMPLES, 3);
        double nll[2];
        wr_core_start(exact, 9);
        wr_core_start(core, 9);
        learn(exact, tokens, SAMPLES, &nll[0]);
        learn(core, tokens, SAMPLES, &nll[1]);
        assert_true(fabs(nll[1] / nll[0] - 1) < 1e-3);
        for (int64_t i = 0; i < wr_parameters_count(&shape); i++) {
            wr_parameter parameter;
            double length, apart;
            wr_parameters_get(&shape, i, &parameter);
            compare(wr_core_gradients(exact) + parameter.offset,
                    wr_core_gradients(core) + parameter.offset, parameter.rows * parameter.columns,
                    &length, &apart);
            if (!(apart < 0.03 * length))
                fail_msg("%s: %.2g of %.2g", parameter.name, apart, length);
        }
        wr_core_destroy(exact);
        wr_core_destroy(core);
        free(tokens);
    }
}

/* A core with room for more samples computes fewer all the same. */
static void room_for_more_changes_nothing(void **state) {
    (void)state;
    const size_t bytes = wr_parameters_size(&odd_shape) * sizeof(real);
    int32_t *tokens = draw_tokens(&odd_shape, 2, 3);
    double nll[2];
    wr_core *small = open_core(&odd_shape, 2, 1), *large = open_core(&odd_shape, 7, 2);
    wr_core_start(small, 9);
    wr_core_start(large, 9);
    learn(small, tokens, 2, &nll[0]);
    learn(large, tokens, 2, &nll[1]);
    assert_true(nll[0] == nll[1]);
    assert_memory_equal(wr_core_gradients(small), wr_core_gradients(large), bytes);
    wr_core_destroy(small);
    wr_core_destroy(large);
    free(tokens);
}

/* ---- the start ------------------------------------------------------------------------------- */

static const real *tensor(wr_core *core, const weir_train_shape *shape, const char *name,
                          wr_parameter *out) {
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameters_get(shape, i, out);
        if (strcmp(out->name, name) == 0) return wr_core_parameters(core) + out->offset;
    }
    return NULL;
}

static void sinks_share_the_start(void **state) {
    (void)state;
    weir_train_shape with = even_shape;
    with.sink = WEIR_TRAIN_SINK_LOGIT;
    wr_core *plain = open_core(&even_shape, 1, 1), *logit = open_core(&with, 1, 1);
    wr_core_start(plain, 42);
    wr_core_start(logit, 42);
    for (int64_t i = 0; i < wr_parameters_count(&even_shape); i++) {
        wr_parameter here, there;
        wr_parameters_get(&even_shape, i, &here);
        const real *x = wr_core_parameters(plain) + here.offset;
        const real *y = tensor(logit, &with, here.name, &there);
        assert_non_null(y);
        assert_memory_equal(x, y, (size_t)(here.rows * here.columns) * sizeof(real));
        if (here.deviation == 0) continue;
        double squares = 0;
        for (int64_t j = 0; j < here.rows * here.columns; j++)
            squares += (double)x[j] * (double)x[j];
        const double deviation = sqrt(squares / (double)(here.rows * here.columns));
        assert_true(fabs(deviation / here.deviation - 1) < 0.1);
    }
    wr_core_destroy(plain);
    wr_core_destroy(logit);
}

/* ---- NaN ------------------------------------------------------------------------------------- */

static void learn_says(const char *name, const char *expected) {
    wr_core *core = open_core(&odd_shape, 1, 1);
    int32_t *tokens = draw_tokens(&odd_shape, 1, 3);
    weir_error error;
    wr_parameter parameter;
    double nll;
    int64_t scored;
    wr_core_start(core, 1);
    real *x = wr_core_parameters(core);
    assert_non_null(tensor(core, &odd_shape, name, &parameter));
    x += parameter.offset;
    for (int64_t i = 0; i < parameter.rows * parameter.columns; i++) x[i] = (real)NAN;
    wr_core_parameters_changed(core);
    assert_int_equal(wr_core_learn(core, tokens, 1, &nll, &scored, &error), WEIR_NAN);
    if (strstr(error.message, expected) == NULL) fail_msg("%s: %s", name, error.message);
    wr_core_destroy(core);
    free(tokens);
}

static void nan_names_layer_and_part(void **state) {
    (void)state;
    learn_says("token_embd.weight", "the embedding");
    learn_says("blk.1.attn_k.weight", "layer 1, queries, keys and values");
    learn_says("blk.0.attn_output.weight", "layer 0, attention's output");
    learn_says("blk.1.ffn_up.weight", "layer 1, the feed-forward gates");
    learn_says("blk.0.ffn_down.weight", "layer 0, the feed-forward output");
    learn_says("output.weight", "the logits");
}

static void a_bad_gradient_changes_nothing(void **state) {
    (void)state;
    wr_core *core = open_core(&odd_shape, 1, 1);
    const size_t size = wr_parameters_size(&odd_shape);
    real *before = malloc(size * sizeof(real));
    weir_error error;
    double norm;
    assert_non_null(before);
    wr_core_start(core, 1);
    memcpy(before, wr_core_parameters(core), size * sizeof(real));
    wr_parameter parameter;
    tensor(core, &odd_shape, "blk.1.ffn_gate.weight", &parameter);
    wr_core_gradients(core)[parameter.offset + 5] = (real)INFINITY;
    assert_int_equal(wr_core_step(core, &recipe, &norm, &error), WEIR_NAN);
    assert_non_null(strstr(error.message, "blk.1.ffn_gate.weight"));
    assert_memory_equal(before, wr_core_parameters(core), size * sizeof(real));
    wr_core_gradients(core)[parameter.offset + 5] = 1;
    wr_core_update bad = recipe;
    bad.rate = (double)NAN;
    assert_int_equal(wr_core_step(core, &bad, &norm, &error), WEIR_USAGE);
    assert_memory_equal(before, wr_core_parameters(core), size * sizeof(real));
    take_step(core);
    for (size_t i = 0; i < size; i++) assert_true(wr_core_gradients(core)[i] == 0);
    wr_core_destroy(core);
    free(before);
}

static void foreign_tokens_are_refused(void **state) {
    (void)state;
    wr_core *core = open_core(&odd_shape, 1, 1);
    int32_t *tokens = draw_tokens(&odd_shape, 1, 3);
    double nll;
    int64_t scored;
    wr_core_start(core, 1);
    tokens[13] = 29;
    assert_int_equal(wr_core_learn(core, tokens, 1, &nll, &scored, NULL), WEIR_USAGE);
    tokens[13] = -1;
    assert_int_equal(wr_core_score(core, tokens, 1, &nll, &scored, NULL, NULL), WEIR_USAGE);
    tokens[13] = 0;
    assert_int_equal(wr_core_learn(core, tokens, 2, &nll, &scored, NULL), WEIR_USAGE);
    assert_int_equal(wr_core_learn(core, tokens, 1, &nll, &scored, NULL), WEIR_OK);
    wr_core_destroy(core);
    free(tokens);
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void scores_are_the_loss(void **state) {
    (void)state;
    weir_train_shape shape = odd_shape;
    shape.sink = WEIR_TRAIN_SINK_TOKEN;
    wr_core *core = open_core(&shape, SAMPLES, 2);
    int32_t *tokens = draw_tokens(&shape, SAMPLES, 3);
    float scores[SAMPLES * 13];
    double nll, learned, sum = 0;
    int64_t scored;
    disturb(core, &shape, 3);
    assert_int_equal(wr_core_score(core, tokens, SAMPLES, &nll, &scored, scores, NULL), WEIR_OK);
    assert_int_equal(scored, SAMPLES * 13);
    for (int i = 0; i < SAMPLES * 13; i++) sum += (double)scores[i];
    for (int i = 0; i < SAMPLES; i++) assert_true(scores[13 * i] > 0); /* the sink's too */
    assert_true(fabs(sum - nll) < 1e-4 * nll);
    learn(core, tokens, SAMPLES, &learned);
    assert_true(learned == nll);
    wr_core_destroy(core);
    free(tokens);
}

/* Keys of zero make all scores equal: attention is 1 / (t + 1), or 1 / (t + 2) beside a term. */
static void sinks_of_equal_scores(void **state) {
    (void)state;
    for (int sink = WEIR_TRAIN_SINK_NONE; sink <= WEIR_TRAIN_SINK_LOGIT; sink++) {
        weir_train_shape shape = odd_shape;
        shape.sink = (weir_train_sink)sink;
        wr_core *core = open_core(&shape, SAMPLES, 2);
        int32_t *tokens = draw_tokens(&shape, SAMPLES, 3);
        double out[2 * 3 * 2], first = 0;
        const double more = sink == WEIR_TRAIN_SINK_NONE ? 0 : 1;
        wr_core_start(core, 1);
        for (int layer = 0; layer < 2; layer++) {
            char name[32] = "blk.0.attn_k.weight";
            wr_parameter parameter;
            name[4] = (char)('0' + layer);
            tensor(core, &shape, name, &parameter);
            memset(wr_core_parameters(core) + parameter.offset, 0,
                   (size_t)(parameter.rows * parameter.columns) * sizeof(real));
        }
        wr_core_parameters_changed(core);
        assert_int_equal(wr_core_sinks(core, tokens, SAMPLES, out, NULL), WEIR_OK);
        for (int t = 1; t < 13; t++) first += 1 / (t + 1 + more) / 12;
        for (int i = 0; i < 6; i++) {
            assert_true(fabs(out[2 * i] - first) < 1e-6);
            assert_true(fabs(out[2 * i + 1] - more * first) < 1e-6);
        }
        wr_core_destroy(core);
        free(tokens);
    }
}

static void operations_are_counted(void **state) {
    (void)state;
    /* a layer: q, o 18 x 18; k, v 6 x 18; gate, up, down 18 x 23. The head: 29 x 18. */
    const double weights = 2 * (2 * 324 + 2 * 108 + 3 * 414) + 522;
    const double expected = 6 * weights + 12 * 18 * 7 * 2;
    assert_true(wr_core_operations(&odd_shape) == expected);
    weir_train_shape tied = odd_shape;
    tied.tied = true;
    assert_true(wr_core_operations(&tied) == expected);
}

/* The plan is exact, what fails leaves nothing behind, and learning allocates nothing. */
static void memory_is_planned(void **state) {
    (void)state;
    weir_error error;
    wr_threads *threads;
    wr_core *core = NULL;
    failing_allocator memory;
    assert_int_equal(wr_threads_create(2, NULL, &threads, &error), WEIR_OK);
    failing_allocator_init(&memory);
    const wr_core_options options = {.shape = odd_shape,
                                     .samples = 2,
                                     .products = wr_products_find("float32", NULL),
                                     .threads = threads,
                                     .allocator = &memory.allocator};
    int failures = 0;
    for (;; failures++) {
        memory.fail_at = failures + 1;
        if (wr_core_create(&options, &core, &error) == WEIR_OK) break;
        assert_int_equal(error.status, WEIR_MEMORY);
        assert_true(failing_allocator_clean(&memory));
    }
    assert_int_equal(failures, 3);
    assert_int_equal(memory.live_bytes, wr_core_plan(&options));
    memory.fail_all = true;
    int32_t *tokens = draw_tokens(&odd_shape, 2, 3);
    double nll;
    wr_core_start(core, 1);
    learn(core, tokens, 2, &nll);
    take_step(core);
    assert_int_equal(memory.failures, failures);
    wr_core_destroy(core);
    assert_true(failing_allocator_clean(&memory));
    wr_threads_release(threads);
    free(tokens);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(bfloat16_is_near_float32),
        cmocka_unit_test(room_for_more_changes_nothing),
        cmocka_unit_test(sinks_share_the_start),
        cmocka_unit_test(nan_names_layer_and_part),
        cmocka_unit_test(a_bad_gradient_changes_nothing),
        cmocka_unit_test(foreign_tokens_are_refused),
        cmocka_unit_test(scores_are_the_loss),
        cmocka_unit_test(sinks_of_equal_scores),
        cmocka_unit_test(operations_are_counted),
        cmocka_unit_test(memory_is_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
