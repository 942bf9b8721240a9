/*
 * Matrix products by format, level and batch, beside what the machine itself can do.
 *
 *     bench_kernels [-t THREADS] [FORMAT ...]
 *
 * batch 1 is held against the read bandwidth (it touches every weight once), batch 512 against the
 * peak of fused multiply-adds; both limits are measured in the same run. Everything is timed in
 * pieces of a few milliseconds, of which the best counts: on a shared machine the others' noise
 * only adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/threads.h"
#include "tensor/kernels.h"
#include "weir/machine.h"

enum {
    COLUMNS = 4096,
    BATCH = 512,
    MEGABYTE = 1000000,
    MEGABYTES = 512, /* of weights: more than a cache holds */
    PIECES = 32      /* that a pass is timed in */
};

/* The best seconds of a pass's pieces of `items` / PIECES items, over a few passes. */
static double best_piece(wr_threads *threads, int64_t items, int64_t grain, wr_task task,
                         void *context, int64_t *first) {
    const int64_t piece = items / PIECES;
    double best = 1e9, total = 0;
    for (int pass = 0; pass < 3 || (total < 1.5 && pass < 200); pass++) {
        for (*first = 0; *first + piece <= items; *first += piece) {
            double start = wr_clock_seconds();
            wr_threads_run(threads, piece, grain, task, context);
            double seconds = wr_clock_seconds() - start;
            if (seconds < best) best = seconds;
            total += seconds;
        }
    }
    return best;
}

/* ---- products -------------------------------------------------------------------------------- */

typedef struct product {
    wr_product job;
    const wr_kernels *kernels;
    uint8_t *scratch;
    int64_t first; /* panel of the piece */
} product;

static void multiply_panels(void *context, int64_t begin, int64_t end, int worker) {
    const product *p = context;
    wr_product job = p->job;
    job.panel_begin = p->first + begin;
    job.panel_end = p->first + end;
    job.scratch = p->scratch + (size_t)worker * wr_product_scratch(COLUMNS);
    p->kernels->product(&job);
}

typedef struct limits {
    double bandwidth, int8_peak, peak[WR_CPU_LEVELS];
} limits;

/* As much to read as for the bandwidth at batch 1; little at batch 512, which is work. */
static int64_t panels_for(wr_format format, int64_t batch, int threads) {
    if (batch > 1) return (int64_t)PIECES * 8 * threads;
    return MEGABYTES * (int64_t)MEGABYTE / (int64_t)wr_panel_measure(format, COLUMNS).bytes / 512 *
           512;
}

static void *aligned(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory == NULL) abort();
    return memory;
}

/* Packed rows, distinct bytes; 64 distinct rows are enough. */
static uint8_t *random_panels(wr_format format, int64_t panels) {
    const size_t row_bytes = wr_format_row_bytes(format, COLUMNS);
    const size_t bytes = wr_panel_measure(format, COLUMNS).bytes;
    uint8_t *rows = aligned(64 * row_bytes), *out = aligned((size_t)panels * bytes);
    for (int64_t r = 0; r < 64; r++)
        wr_format_random_row(format, 1, (uint64_t)r, 0.02f, COLUMNS, rows + (size_t)r * row_bytes);
    for (int64_t i = 0; i < panels; i++) {
        if (i < 4)
            wr_panel_pack(format, rows, 64, COLUMNS, i, out + (size_t)i * bytes);
        else
            memcpy(out + (size_t)i * bytes, out + (size_t)(i % 4) * bytes, bytes);
    }
    free(rows);
    return out;
}

static void *random_input(const wr_kernels *kernels, wr_input input, int64_t batch, size_t stride) {
    static float x[COLUMNS];
    uint8_t *out = aligned((size_t)batch * stride);
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t i = 0; i < COLUMNS; i++) x[i] = (float)((i + b) % 17) - 8;
        if (input == WR_INPUT_FLOATS)
            memcpy(out + (size_t)b * stride, x, sizeof x);
        else
            kernels->prepare(input, x, COLUMNS, out + (size_t)b * stride);
    }
    return out;
}

static void bench_product(wr_format format, wr_cpu_level level, int64_t batch, wr_threads *threads,
                          const limits *limit) {
    const int count = wr_threads_count(threads);
    const int64_t panels = panels_for(format, batch, count), rows = panels * WR_PANEL_ROWS;
    const wr_kernels *kernels = wr_kernels_get(level);
    const wr_input input = kernels->input_of(format);
    const size_t stride = wr_input_bytes(input, COLUMNS);
    uint8_t *weights = random_panels(format, panels);
    const wr_matrix w = {.panels = weights, .format = format, .rows = rows, .columns = COLUMNS};
    void *x = random_input(kernels, input, batch, stride);
    float *y = aligned((size_t)(batch * rows) * sizeof *y);
    product p = {.kernels = kernels,
                 .scratch = aligned(wr_product_scratch(COLUMNS) * (size_t)count)};
    p.job =
        (wr_product){.w = &w, .x = x, .x_stride = stride, .batch = batch, .y = y, .y_stride = rows};
    const double seconds = PIECES * best_piece(threads, panels, 2, multiply_panels, &p, &p.first);
    const double bytes =
        (double)panels * (double)wr_panel_measure(format, COLUMNS).bytes / seconds * 1e-9;
    const double work = 2.0 * (double)rows * COLUMNS * (double)batch / seconds * 1e-9;
    const double peak = input == WR_INPUT_BYTES ? limit->int8_peak : limit->peak[level];
    printf("%-7s %-7s %5d  %8.2f GB/s %4.0f%%  %8.1f GOP/s %4.0f%%\n",
           wr_format_find((uint32_t)format)->name, p.kernels->name, (int)batch, bytes,
           100 * bytes / limit->bandwidth, work, 100 * work / peak);
    fflush(stdout);
    free(weights);
    free(x);
    free(y);
    free(p.scratch);
}

/* ---- main ------------------------------------------------------------------------------------ */

static limits measure_limits(wr_threads *threads) {
    limits limit = {0};
    for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
        weir_machine machine;
        weir_error error;
        if (weir_machine_measure(wr_cpu_name((wr_cpu_level)level), wr_threads_count(threads), 0.7,
                                 &machine, &error) != WEIR_OK) {
            fprintf(stderr, "bench_kernels: %s\n", error.message);
            exit(1);
        }
        double bandwidth = machine.read_bytes * 1e-9;
        if (bandwidth > limit.bandwidth) limit.bandwidth = bandwidth;
        limit.peak[level] = machine.float_operations * 1e-9;
        limit.int8_peak = machine.int8_operations * 1e-9;
    }
    printf("threads %d: reads %.1f GB/s", wr_threads_count(threads), limit.bandwidth);
    for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
        printf(", %s %.0f GFLOP/s", wr_cpu_name((wr_cpu_level)level), limit.peak[level]);
    }
    printf("\nformat  level   batch\n");
    return limit;
}

static void bench_format(wr_format format, wr_threads *threads, const limits *limit) {
    for (int level = (int)wr_cpu_detect(); level >= 0; level--) {
        if (level > 0) bench_product(format, (wr_cpu_level)level, 1, threads, limit);
        if (level > 0) bench_product(format, (wr_cpu_level)level, BATCH, threads, limit);
    }
}

static void bench_formats(int threads_count, int count, char **names) {
    static const wr_format usual[] = {WR_F32,  WR_F16,  WR_BF16, WR_Q8_0,
                                      WR_Q4_0, WR_Q4_K, WR_Q6_K, WR_MXFP4};
    wr_threads *threads = NULL;
    if (wr_threads_create(threads_count, NULL, &threads, NULL) != WEIR_OK) exit(1);
    const limits limit = measure_limits(threads);
    for (int i = 0; i < count; i++) {
        const wr_format_info *info = wr_format_named(names[i]);
        if (info == NULL) {
            fprintf(stderr, "bench_kernels: no format \"%s\"\n", names[i]);
            exit(2);
        }
        bench_format(info->format, threads, &limit);
    }
    for (size_t i = 0; count == 0 && i < sizeof usual / sizeof usual[0]; i++) {
        bench_format(usual[i], threads, &limit);
    }
    wr_threads_release(threads);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        bench_formats(atoi(argv[2]) > 0 ? atoi(argv[2]) : 1, argc - 3, argv + 3);
        return 0;
    }
    bench_formats(1, argc - 1, argv + 1);
    bench_formats(2, argc - 1, argv + 1);
    return 0;
}
