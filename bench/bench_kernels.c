/*
 * Matrix products by format, level and batch, beside what the machine itself can do.
 *
 *     bench_kernels [-t THREADS] [FORMAT ...]
 *
 * batch 1 is held against the read bandwidth (it touches every weight once), batch 512 against the
 * peak of fused multiply-adds; both limits are measured in the same run. Times are the best of
 * several runs: on a shared machine the others' noise only ever adds.
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

enum { COLUMNS = 4096, BATCH = 512, MEGABYTE = 1000000 };

static volatile float result_sink; /* so that nothing is optimised away */

/* ---- the machine's limits ----------------------------------------------------------------------- */

typedef struct reading {
    const uint64_t *words;
    uint64_t sums[256]; /* by worker, a cache line apart */
} reading;

typedef uint64_t line __attribute__((vector_size(64), aligned(8)));

/* Items are megabytes. Four lines at a time, from four places: the processor fetches ahead in each. */
static void read_words(void *context, int64_t begin, int64_t end, int worker) {
    enum { LINES = MEGABYTE / 64 / 4 };
    reading *r = context;
    line sums[4] = {0};
    for (int64_t item = begin; item < end; item++) {
        const line *at = (const line *)(r->words + item * (MEGABYTE / 8));
        for (int i = 0; i < LINES; i++) {
            sums[0] += at[i];
            sums[1] += at[i + LINES];
            sums[2] += at[i + 2 * LINES];
            sums[3] += at[i + 3 * LINES];
        }
    }
    r->sums[worker * 8 % 256] += (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

/* Gigabytes per second over half a gigabyte. */
static double read_bandwidth(wr_threads *threads) {
    enum { MEGABYTES = 512 };
    uint64_t *words = malloc((size_t)MEGABYTES * MEGABYTE);
    if (words == NULL) return 0;
    memset(words, 1, (size_t)MEGABYTES * MEGABYTE);
    reading r = {.words = words};
    double best = 1e9;
    for (int i = 0; i < 7; i++) {
        double start = wr_clock_seconds();
        wr_threads_run(threads, MEGABYTES, 4, read_words, &r);
        double seconds = wr_clock_seconds() - start;
        if (seconds < best) best = seconds;
    }
    result_sink = (float)r.sums[0];
    free(words);
    return MEGABYTES * 1e-3 / best;
}

enum { CHAINS = 12, ROUNDS = 1000000 }; /* more chains than two units times four cycles */

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
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = wr_clock_seconds();
        wr_threads_run(threads, runs, 1, run_peak, &p);
        double seconds = wr_clock_seconds() - start;
        if (seconds < best) best = seconds;
    }
    return 2.0 * p.lanes * CHAINS * ROUNDS * runs / best * 1e-9;
}

/* ---- products ----------------------------------------------------------------------------------- */

typedef struct product {
    const wr_kernels *kernels;
    wr_matrix w;
    const float *x;
    float *y, *scratch;
    int64_t batch;
} product;

static void multiply_rows(void *context, int64_t begin, int64_t end, int worker) {
    const product *p = context;
    p->kernels->matmul(&p->w, begin, end, p->x, COLUMNS, p->batch, p->y, p->w.rows,
                       p->scratch + worker * wr_matmul_scratch(COLUMNS));
}

/* The best time of at least five runs and a second of them. */
static double time_product(product *p, wr_threads *threads) {
    double best = 1e9, total = 0;
    for (int i = 0; i < 5 || (total < 1 && i < 200); i++) {
        double start = wr_clock_seconds();
        wr_threads_run(threads, p->w.rows, WR_MATMUL_GRAIN, multiply_rows, p);
        double seconds = wr_clock_seconds() - start;
        if (seconds < best) best = seconds;
        total += seconds;
    }
    return best;
}

typedef struct limits {
    double bandwidth, peak[WR_CPU_LEVELS];
} limits;

/* Rows enough for 512 megabytes, which no cache holds, at batch 1; few at batch 512, where the work is per weight. */
static int64_t rows_for(wr_format format, int64_t batch) {
    if (batch > 1) return 512;
    return 512 * (int64_t)MEGABYTE / (int64_t)wr_format_row_bytes(format, COLUMNS) / 16 * 16;
}

/* As the engine's arena gives them: loads that straddle cache lines cost a third at 64 bytes. */
static float *aligned_floats(int64_t count) {
    return aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
}

static void bench_product(wr_format format, wr_cpu_level level, int64_t batch, wr_threads *threads,
                          const limits *limit) {
    const int64_t rows = rows_for(format, batch), one = wr_matmul_scratch(COLUMNS);
    const size_t row_bytes = wr_format_row_bytes(format, COLUMNS);
    uint8_t *data = malloc((size_t)rows * row_bytes);
    float *x = aligned_floats(batch * COLUMNS), *y = aligned_floats(batch * rows);
    float *scratch = aligned_floats(one * wr_threads_count(threads));
    if (data == NULL || x == NULL || y == NULL || scratch == NULL) abort();
    for (int64_t r = 0; r < rows; r++) { /* distinct bytes; 64 distinct rows are enough */
        uint8_t *to = data + (size_t)r * row_bytes;
        if (r < 64) wr_format_random_row(format, 1, (uint64_t)r, 0.02f, COLUMNS, to);
        else memcpy(to, data + (size_t)(r % 64) * row_bytes, row_bytes);
    }
    for (int64_t i = 0; i < batch * COLUMNS; i++) x[i] = (float)(i % 17) - 8;
    product p = {wr_kernels_get(level), {data, format, rows, COLUMNS}, x, y, scratch, batch};
    const double seconds = time_product(&p, threads);
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

/* ---- main --------------------------------------------------------------------------------------- */

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
