/*
 * Whole steps of training beside the machine's float32 peak, by size and way to multiply.
 *
 *     bench_train_step [-t THREADS] [-s SAMPLES] [-n NUMBER] [PRODUCTS ...]
 *
 * The best of several steps counts; operations are the model's own, attention included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "train/core.h"
#include "weir/machine.h"

typedef struct size {
    int64_t layers, width, heads, feed_forward;
} size;

static const size sizes[] = {{4, 128, 4, 352}, {6, 192, 6, 512}, {8, 320, 5, 864}};

static weir_train_shape shape_of(size s) {
    return (weir_train_shape){.layers = s.layers,
                              .width = s.width,
                              .heads = s.heads,
                              .kv_heads = s.heads,
                              .feed_forward = s.feed_forward,
                              .context = 256,
                              .vocabulary = 4096,
                              .tied = true,
                              .sink = WEIR_TRAIN_SINK_TOKEN,
                              .rope_base = 10000,
                              .norm_epsilon = 1e-5};
}

static void fail(const weir_error *error) {
    fprintf(stderr, "bench_train_step: %s\n", error->message);
    exit(1);
}

/* Of one thread its processor time, which others on the machine do not lengthen. */
static double seconds_now(int threads) {
    struct timespec now;
    if (threads > 1) return wr_clock_seconds();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds of learning and of the update, each the best. */
static void measure(wr_core *core, int threads, const int32_t *tokens, int64_t samples,
                    double best[2], double *loss) {
    weir_error error;
    double spent = 0;
    best[0] = best[1] = 1e9;
    for (int64_t step = 1; step <= 4 || (spent < 6 && step < 40); step++) {
        const wr_core_update update = {.rate = 1e-3,
                                       .beta1 = 0.9,
                                       .beta2 = 0.95,
                                       .epsilon = 1e-8,
                                       .clip = 1,
                                       .gradient_scale = 1e-3,
                                       .step = step};
        double nll, norm;
        int64_t scored;
        const double start = seconds_now(threads);
        if (wr_core_learn(core, tokens, samples, &nll, &scored, &error) != WEIR_OK) fail(&error);
        const double learned = seconds_now(threads);
        if (wr_core_step(core, &update, &norm, &error) != WEIR_OK) fail(&error);
        const double end = seconds_now(threads);
        if (learned - start < best[0]) best[0] = learned - start;
        if (end - learned < best[1]) best[1] = end - learned;
        spent += end - start;
        *loss = nll / (double)scored;
    }
}

static void run(size s, int64_t samples, wr_threads *threads, const char *name, double peak) {
    const weir_train_shape shape = shape_of(s);
    weir_error error;
    wr_core *core;
    const wr_products *products = wr_products_find(name, &error);
    if (products == NULL) fail(&error);
    const wr_core_options options = {
        .shape = shape, .samples = samples, .products = products, .threads = threads};
    if (wr_core_create(&options, &core, &error) != WEIR_OK) fail(&error);
    wr_core_start(core, 1);
    const int64_t n = samples * shape.context;
    int32_t *tokens = calloc((size_t)(samples * (shape.context + 1)), sizeof *tokens);
    for (int64_t i = 0; i < samples * (shape.context + 1); i++)
        tokens[i] = (int32_t)(wr_random_unit(1, 2, (uint64_t)i) * (double)shape.vocabulary);
    double best[2], loss;
    measure(core, wr_threads_count(threads), tokens, samples, best, &loss);
    const double seconds = best[0] + best[1];
    const double work = wr_core_operations(&shape) * (double)n;
    printf("%2d x %4d (%5.2f M) %-9s %8.0f tokens/s  %7.1f GFLOP/s, %4.2f of the peak; "
           "%.1f ms learning, %.1f ms updating; loss %.3f\n",
           (int)shape.layers, (int)shape.width, (double)wr_parameters_learned(&shape) * 1e-6, name,
           (double)n / seconds, work / seconds * 1e-9, work / seconds / peak, best[0] * 1e3,
           best[1] * 1e3, loss);
    fflush(stdout);
    free(tokens);
    wr_core_destroy(core);
}

int main(int argc, char **argv) {
    static const char *const all[] = {"float32", "bfloat16"};
    int threads = 2, only = -1;
    int64_t samples = 16;
    for (int option; (option = getopt(argc, argv, "t:s:n:")) != -1;) {
        if (option == 't') threads = atoi(optarg);
        if (option == 's') samples = atoi(optarg);
        if (option == 'n') only = atoi(optarg);
        if (option == '?') return 2;
    }
    weir_error error;
    weir_machine machine;
    wr_threads *pool;
    if (weir_machine_measure(NULL, threads, 0.3, &machine, &error) != WEIR_OK) fail(&error);
    if (wr_threads_create(threads, NULL, &pool, &error) != WEIR_OK) fail(&error);
    printf("%d threads, %d samples of 256; float32 peak %.0f GFLOP/s\n", threads, (int)samples,
           machine.float_operations * 1e-9);
    for (int i = 0; i < (int)(sizeof sizes / sizeof sizes[0]); i++) {
        if (only >= 0 && i != only) continue;
        if (optind < argc) {
            for (int k = optind; k < argc; k++)
                run(sizes[i], samples, pool, argv[k], machine.float_operations);
        } else {
            for (int k = 0; k < 2; k++)
                if (wr_products_find(all[k], NULL) != NULL)
                    run(sizes[i], samples, pool, all[k], machine.float_operations);
        }
    }
    wr_threads_release(pool);
    return 0;
}
