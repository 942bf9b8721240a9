/*
 * Learning, in tokens per second, by size of model and way to multiply, beside the machine's peak.
 *
 *     bench_train [-t THREADS] [-s SAMPLES] [-n SECONDS] [-p PRODUCTS] [SIZE ...]
 *
 * A line for each size and way: tokens per second of the fastest round of wr_core_learn over 16
 * samples or more and a step; the operations that are (wr_core_operations) beside the float32 peak
 * of all threads; then the same by processor time, which a busy machine changes little, and the
 * share of that time that went to products. With several threads those who wait count too.
 * tools/reference/train_speed.py measures the same model in PyTorch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "train/core/core.h"
#include "weir/machine.h"

typedef struct size {
    const char *name;
    weir_train_shape shape;
} size;

#define SHAPE(l, w, h, kv, ff, c, v)                                                               \
    {                                                                                              \
        .layers = l, .width = w, .heads = h, .kv_heads = kv, .feed_forward = ff, .context = c,     \
        .vocabulary = v, .tied = true, .sink = WEIR_TRAIN_SINK_LOGIT, .rope_base = 10000,          \
        .norm_epsilon = 1e-5                                                                       \
    }

/* As src/train/presets.c has them. */
static const size sizes[] = {
    {"1m", SHAPE(4, 128, 4, 2, 256, 256, 4096)},
    {"3m", SHAPE(6, 192, 6, 3, 512, 256, 4096)},
    {"10m", SHAPE(8, 288, 9, 3, 768, 512, 8192)},
    {"30m", SHAPE(8, 512, 8, 4, 1408, 512, 16384)},
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

typedef struct setting {
    int threads;
    int64_t samples;
    double seconds;
    const char *products; /* NULL: each */
    double peak;          /* operations per second */
} setting;

static double processor_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- products that are timed ----------------------------------------------------------------- */

static const wr_products *inner;
static double product_seconds; /* of the processors */

static void timed_prepare(wr_threads *threads, wr_product_weight *weight) {
    const double start = processor_seconds();
    inner->prepare(threads, weight);
    product_seconds += processor_seconds() - start;
}
static void timed_forward(wr_threads *threads, const wr_product_weight *weight, const real *x,
                          real *y, int64_t n, void *scratch) {
    const double start = processor_seconds();
    inner->forward(threads, weight, x, y, n, scratch);
    product_seconds += processor_seconds() - start;
}
static void timed_inputs(wr_threads *threads, const wr_product_weight *weight, const real *dy,
                         real *dx, int64_t n, bool add, void *scratch) {
    const double start = processor_seconds();
    inner->inputs(threads, weight, dy, dx, n, add, scratch);
    product_seconds += processor_seconds() - start;
}
static void timed_weights(wr_threads *threads, const wr_product_weight *weight, const real *dy,
                          const real *x, real *dw, int64_t n, void *scratch) {
    const double start = processor_seconds();
    inner->weights(threads, weight, dy, x, dw, n, scratch);
    product_seconds += processor_seconds() - start;
}

static wr_products timed(const wr_products *products) {
    wr_products table = *products;
    inner = products;
    table.prepare = timed_prepare;
    table.forward = timed_forward;
    table.inputs = timed_inputs;
    table.weights = timed_weights;
    return table;
}

/* ---- learning -------------------------------------------------------------------------------- */

static wr_core *open_core(const size *of, const setting *set, const char *products) {
    weir_error error;
    wr_threads *threads;
    wr_core *core;
    wr_core_options options = {.shape = of->shape, .samples = set->samples};
    const wr_products *found = wr_products_find(products, &error);
    static wr_products table;
    if (found == NULL) return NULL;
    product_seconds = 0;
    table = set->threads == 1 ? timed(found) : *found;
    options.products = &table;
    if (wr_threads_create(set->threads, NULL, &threads, &error) != WEIR_OK) abort();
    options.threads = threads;
    if (wr_core_create(&options, &core, &error) != WEIR_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    wr_threads_release(threads);
    wr_core_start(core, 1);
    return core;
}

static void report(const size *of, const char *products, const setting *set, double seconds,
                   double used, double share) {
    const double operations = wr_core_operations(&of->shape);
    const double peak = set->peak / set->threads;
    printf("%-4s %-9s %8.0f tokens/s %6.1f Gop/s %4.0f%% of peak;", of->name, products, 1 / seconds,
           operations / seconds * 1e-9, 100 * operations / seconds / set->peak);
    printf(" per processor %8.0f tokens/s %4.0f%%", 1 / used, 100 * operations / used / peak);
    if (set->threads == 1) printf(", single products %2.0f%%", 100 * share);
}

static void measure(const size *of, const setting *set, const char *products) {
    wr_core *core = open_core(of, set, products);
    if (core == NULL) return;
    const weir_train_shape *shape = &of->shape;
    const int64_t fed = set->samples * shape->context;
    int32_t *tokens = malloc((size_t)(set->samples * (shape->context + 1)) * sizeof *tokens);
    for (int64_t i = 0; i < set->samples * (shape->context + 1); i++)
        tokens[i] = (int32_t)((i * 7919 + i / 3) % shape->vocabulary);
    const wr_core_update update = {.rate = 1e-4,
                                   .beta1 = 0.9,
                                   .beta2 = 0.95,
                                   .epsilon = 1e-8,
                                   .decay = 0.1,
                                   .clip = 1,
                                   .gradient_scale = 1.0 / (double)fed,
                                   .step = 1};
    double best = 1e9, least = 1e9, share = 0, first = 0, last = 0, nll, norm;
    const double start = wr_clock_seconds();
    for (int64_t round = 0; round < 3 || wr_clock_seconds() - start < set->seconds; round++) {
        weir_error error;
        int64_t scored, learned = 0;
        const double from = wr_clock_seconds(), used_from = processor_seconds();
        product_seconds = 0;
        for (; learned < 16; learned += set->samples) {
            if (wr_core_learn(core, tokens, set->samples, &nll, &scored, &error) != WEIR_OK) {
                fprintf(stderr, "%s\n", error.message);
                exit(1);
            }
        }
        if (wr_core_step(core, &update, &norm, &error) != WEIR_OK) exit(1);
        const double count = (double)(learned * shape->context);
        const double seconds = (wr_clock_seconds() - from) / count;
        const double used = (processor_seconds() - used_from) / count;
        if (seconds < best) best = seconds;
        if (used < least) {
            least = used;
            share = product_seconds / (processor_seconds() - used_from);
        }
        if (round == 0) first = nll / (double)scored;
        last = nll / (double)scored;
    }
    report(of, products, set, best, least, share);
    printf("   loss %.3f to %.3f\n", first, last);
    free(tokens);
    wr_core_destroy(core);
}

static bool wanted(const char *name, int count, char *const *names) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return count == 0 && strcmp(name, "30m") != 0;
}

int main(int count, char **arguments) {
    setting set = {.threads = 2, .samples = 4, .seconds = 3};
    int at = 1;
    for (; at + 1 < count && arguments[at][0] == '-'; at += 2) {
        const char *value = arguments[at + 1];
        if (arguments[at][1] == 't') set.threads = atoi(value);
        if (arguments[at][1] == 's') set.samples = atoi(value);
        if (arguments[at][1] == 'n') set.seconds = atof(value);
        if (arguments[at][1] == 'p') set.products = value;
    }
    weir_machine machine;
    weir_error error;
    if (weir_machine_measure(NULL, set.threads, 0.5, &machine, &error) != WEIR_OK) return 1;
    set.peak = machine.float_operations;
    printf("%d threads, float32 peak %.1f Gop/s, %d samples at a time\n", set.threads,
           set.peak * 1e-9, (int)set.samples);
    for (int i = 0; i < SIZES; i++) {
        if (!wanted(sizes[i].name, count - at, arguments + at)) continue;
        for (int way = 0; way < 2; way++) {
            const char *products = way == 0 ? "float32" : "bfloat16";
            if (set.products == NULL || strcmp(set.products, products) == 0)
                measure(&sizes[i], &set, products);
        }
    }
    return 0;
}
