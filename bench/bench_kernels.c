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

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    COLUMNS = 4096,
    BATCH = 512,
    MEGABYTE = 1000000,
    MEGABYTES = 512, /* read in one pass: more than a cache holds */
    PIECES = 32      /* that a pass is timed in */
};

static volatile float result_sink; /* so that nothing is optimised away */

/* ---- the machine's limits -------------------------------------------------------------------- */

typedef struct reading {
    const uint64_t *words;
    int64_t first;      /* megabyte of the piece */
    uint64_t sums[256]; /* by worker, a cache line apart */
} reading;

typedef uint64_t line __attribute__((vector_size(64), aligned(8)));

/* Items are megabytes. Four lines at a time, from four places, each asked for ahead of time. */
static void read_words(void *context, int64_t begin, int64_t end, int worker) {
    enum { LINES = MEGABYTE / 64 / 4, AHEAD = 256 };
    reading *r = context;
    line sums[4] = {0};
    for (int64_t item = begin; item < end; item++) {
        const line *at = (const line *)(r->words + (r->first + item) * (MEGABYTE / 8));
        for (int i = 0; i < LINES; i++) {
            for (int place = 0; place < 4; place++) {
                __builtin_prefetch((const void *)((uintptr_t)(at + i + place * LINES) + 64 * AHEAD),
                                   0, 2);
                sums[place] += at[i + place * LINES];
            }
        }
    }
    r->sums[worker * 8 % 256] += (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

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

/* Gigabytes per second. */
static double read_bandwidth(wr_threads *threads) {
    uint64_t *words = malloc((size_t)MEGABYTES * MEGABYTE);
    if (words == NULL) return 0;
    memset(words, 1, (size_t)MEGABYTES * MEGABYTE);
    reading r = {.words = words};
    double best = best_piece(threads, MEGABYTES, 1, read_words, &r, &r.first);
    result_sink = (float)r.sums[0];
    free(words);
    return MEGABYTES / PIECES * 1e-3 / best;
}

enum { CHAINS = 12, ROUNDS = 100000 }; /* more chains than two units times four cycles */

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void multiply_add_avx2(void) {
    __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f), sums[CHAINS];
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_set1_ps((float)c);
    for (int i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_fmadd_ps(sums[c], a, b);
    }
#pragma GCC unroll 12
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm256_add_ps(sums[0], sums[c]);
    result_sink = _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) static void multiply_add_avx512(void) {
    __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f), sums[CHAINS];
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
    for (int i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_fmadd_ps(sums[c], a, b);
    }
#pragma GCC unroll 12
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_ps(sums[0], sums[c]);
    result_sink = _mm512_cvtss_f32(sums[0]);
}
#endif

/* One multiply and one add: what a level without fused instructions does per lane of 128 bits. */
static void multiply_add_scalar(void) {
    float sums[CHAINS * 4];
    for (int c = 0; c < CHAINS * 4; c++) sums[c] = (float)c;
    for (int i = 0; i < ROUNDS; i++) {
        for (int c = 0; c < CHAINS * 4; c++) sums[c] = sums[c] * 0.999f + 1e-3f;
    }
    for (int c = 1; c < CHAINS * 4; c++) sums[0] += sums[c];
    result_sink = sums[0];
}

typedef struct peak {
    void (*run)(void);
    int lanes;
} peak;

static peak peak_of(wr_cpu_level level) {
#if defined(__x86_64__)
    if (level == WR_CPU_AVX2) return (peak){multiply_add_avx2, 8};
    if (level == WR_CPU_AVX512) return (peak){multiply_add_avx512, 16};
#endif
    (void)level;
    return (peak){multiply_add_scalar, 4};
}

static void run_peak(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    for (int64_t i = begin; i < end; i++) ((const peak *)context)->run();
}

/* Billions of multiplications and additions per second. */
static double multiply_add_peak(wr_threads *threads, wr_cpu_level level) {
    peak p = peak_of(level);
    const int runs = 4 * wr_threads_count(threads);
    int64_t first;
    double best = best_piece(threads, runs * PIECES, 1, run_peak, &p, &first);
    return 2.0 * p.lanes * CHAINS * ROUNDS * runs / best * 1e-9;
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
    limits limit = {.bandwidth = read_bandwidth(threads)};
    printf("threads %d: reads %.1f GB/s", wr_threads_count(threads), limit.bandwidth);
    for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
        limit.peak[level] = multiply_add_peak(threads, (wr_cpu_level)level);
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
