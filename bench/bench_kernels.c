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
    const wr_kernels *kernels;
    wr_matrix w;
    const float *x;
    float *y, *scratch;
    int64_t batch;
    int64_t first; /* row of the piece */
} product;

static void multiply_rows(void *context, int64_t begin, int64_t end, int worker) {
    const product *p = context;
    p->kernels->matmul(&p->w, p->first + begin, p->first + end, p->x, COLUMNS, p->batch, p->y,
                       p->w.rows, p->scratch + worker * wr_matmul_scratch(COLUMNS));
}

typedef struct limits {
    double bandwidth, peak[WR_CPU_LEVELS];
} limits;

/* As much to read as for the bandwidth at batch 1; little at batch 512, which is work. */
static int64_t rows_for(wr_format format, int64_t batch, int threads) {
    if (batch > 1) return (int64_t)PIECES * WR_MATMUL_GRAIN * 2 * threads;
    return MEGABYTES * (int64_t)MEGABYTE / (int64_t)wr_format_row_bytes(format, COLUMNS) / 512 *
           512;
}

/* As the engine's arena gives them: loads that straddle cache lines cost a third at 64 bytes. */
static float *aligned_floats(int64_t count) {
    return aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
}

static void bench_product(wr_format format, wr_cpu_level level, int64_t batch, wr_threads *threads,
                          const limits *limit) {
    const int64_t rows = rows_for(format, batch, wr_threads_count(threads)),
                  one = wr_matmul_scratch(COLUMNS);
    const size_t row_bytes = wr_format_row_bytes(format, COLUMNS);
    uint8_t *data = malloc((size_t)rows * row_bytes);
    float *x = aligned_floats(batch * COLUMNS), *y = aligned_floats(batch * rows);
    float *scratch = aligned_floats(one * wr_threads_count(threads));
    if (data == NULL || x == NULL || y == NULL || scratch == NULL) abort();
    for (int64_t r = 0; r < rows; r++) { /* distinct bytes; 64 distinct rows are enough */
        uint8_t *to = data + (size_t)r * row_bytes;
        if (r < 64)
            wr_format_random_row(format, 1, (uint64_t)r, 0.02f, COLUMNS, to);
        else
            memcpy(to, data + (size_t)(r % 64) * row_bytes, row_bytes);
    }
    for (int64_t i = 0; i < batch * COLUMNS; i++) x[i] = (float)(i % 17) - 8;
    product p = {wr_kernels_get(level), {data, format, rows, COLUMNS}, x, y, scratch, batch, 0};
    const double seconds =
        PIECES * best_piece(threads, rows, WR_MATMUL_GRAIN, multiply_rows, &p, &p.first);
    const double bytes = (double)rows * (double)row_bytes / seconds * 1e-9;
    const double work = 2.0 * (double)rows * COLUMNS * (double)batch / seconds * 1e-9;
    printf("%-7s %-7s %5d  %8.2f GB/s %4.0f%%  %8.1f GFLOP/s %4.0f%%\n",
           wr_format_find((uint32_t)format)->name, p.kernels->name, (int)batch, bytes,
           100 * bytes / limit->bandwidth, work, 100 * work / limit->peak[level]);
    fflush(stdout);
    free(data);
    free(x);
    free(y);
    free(scratch);
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
        bench_product(format, (wr_cpu_level)level, 1, threads, limit);
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
