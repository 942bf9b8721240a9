/*
 * Matrix products by format, level and batch, beside what the machine itself can do.
 *
 *     bench_kernels [-t THREADS] [-l LEVEL] [-b BATCH] [FORMAT ...]
 *
 * Small batches are held against the read bandwidth (they touch every weight once), large ones
 * against the peaks of fused multiply-adds or of products of bytes, as vectors and as tiles; all
 * limits are measured in the same run. Everything is timed in pieces of a few milliseconds, of
 * which the best counts: on a shared machine the others' noise only adds. Packing is measured
 * beside them, in bytes of panels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/threads.h"
#include "tensor/kernels.h"
#include "weir/machine.h"

enum {
    COLUMNS = 4096,
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
    double bandwidth, peak[WR_CPU_LEVELS], bytes[WR_CPU_LEVELS], tiles[WR_CPU_LEVELS];
} limits;

/* What a person asks for; 0 and -1 mean all. */
typedef struct request {
    int threads, level, batch;
} request;

/* As much to read as for the bandwidth at batch 1; little at batch 512, which is work. */
static int64_t panels_for(wr_format format, int64_t batch, int threads) {
    if (batch > 16) return (int64_t)PIECES * 16 * threads;
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
    const int64_t grain = panels / PIECES / count / 4;
    const double seconds = PIECES * best_piece(threads, panels, grain > 16 ? 16 : grain,
                                               multiply_panels, &p, &p.first);
    const double bytes =
        (double)panels * (double)wr_panel_measure(format, COLUMNS).bytes / seconds * 1e-9;
    const double work = 2.0 * (double)rows * COLUMNS * (double)batch / seconds * 1e-9;
    const bool of_bytes = input == WR_INPUT_BYTES || input == WR_INPUT_BLOCKS;
    const bool floats = !of_bytes || limit->bytes[level] == 0;
    printf("%-7s %-10s %5d %8.2f GB/s %4.0f%% %9.1f GOP/s %4.0f%%",
           wr_format_find((uint32_t)format)->name, p.kernels->name, (int)batch, bytes,
           100 * bytes / limit->bandwidth, work,
           100 * work / (floats ? limit->peak[level] : limit->bytes[level]));
    if (!floats && limit->tiles[level] > 0) printf(" %4.0f%%", 100 * work / limit->tiles[level]);
    printf("\n");
    fflush(stdout);
    free(weights);
    free(x);
    free(y);
    free(p.scratch);
}

/* ---- packing --------------------------------------------------------------------------------- */

typedef struct packing {
    wr_format format;
    const uint8_t *rows; /* 64 of them */
    uint8_t *out;        /* a panel for each worker */
    size_t bytes;
    int64_t first;
} packing;

static void pack_panels(void *context, int64_t begin, int64_t end, int worker) {
    const packing *p = context;
    for (int64_t i = begin; i < end; i++)
        wr_panel_pack(p->format, p->rows, 64, COLUMNS, i % 4, p->out + (size_t)worker * p->bytes);
}

static void bench_packing(wr_format format, wr_threads *threads) {
    const size_t row_bytes = wr_format_row_bytes(format, COLUMNS);
    const int64_t panels = PIECES * 32;
    packing p = {.format = format, .bytes = wr_panel_measure(format, COLUMNS).bytes};
    uint8_t *rows = aligned(64 * row_bytes);
    for (int64_t r = 0; r < 64; r++)
        wr_format_random_row(format, 1, (uint64_t)r, 0.02f, COLUMNS, rows + (size_t)r * row_bytes);
    p.rows = rows;
    p.out = aligned(p.bytes * (size_t)wr_threads_count(threads));
    const double seconds = PIECES * best_piece(threads, panels, 4, pack_panels, &p, &p.first);
    printf("%-7s packing          %8.2f GB/s\n", wr_format_find((uint32_t)format)->name,
           (double)panels * (double)p.bytes / seconds * 1e-9);
    free(rows);
    free(p.out);
}

/* ---- main ------------------------------------------------------------------------------------ */

static limits measure_limits(wr_threads *threads, const request *r) {
    limits limit = {0};
    printf("threads %d:", wr_threads_count(threads));
    for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
        weir_machine machine;
        weir_error error;
        if (r->level >= 0 && level != r->level) continue;
        if (weir_machine_measure(wr_cpu_name((wr_cpu_level)level), wr_threads_count(threads), 0.7,
                                 &machine, &error) != WEIR_OK) {
            fprintf(stderr, "bench_kernels: %s\n", error.message);
            exit(1);
        }
        double bandwidth = machine.read_bytes * 1e-9;
        if (bandwidth > limit.bandwidth) limit.bandwidth = bandwidth;
        limit.peak[level] = machine.float_operations * 1e-9;
        limit.bytes[level] = machine.int8_operations * 1e-9;
        limit.tiles[level] = machine.tile_operations * 1e-9;
        printf(" %s %.0f GFLOP/s, %.0f of bytes, %.0f in tiles;", machine.cpu, limit.peak[level],
               limit.bytes[level], limit.tiles[level]);
    }
    printf(" reads %.1f GB/s\nformat  level      batch\n", limit.bandwidth);
    return limit;
}

static void bench_format(wr_format format, wr_threads *threads, const request *r,
                         const limits *limit) {
    static const int batches[] = {1, 4, 16, 512};
    bench_packing(format, threads);
    for (int level = (int)wr_cpu_detect(); level > 0; level--) {
        if (r->level >= 0 && level != r->level) continue;
        for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
            if (r->batch == 0)
                bench_product(format, (wr_cpu_level)level, batches[i], threads, limit);
        }
        if (r->batch > 0) bench_product(format, (wr_cpu_level)level, r->batch, threads, limit);
    }
}

static void bench_formats(int threads_count, const request *r, int count, char **names) {
    static const wr_format usual[] = {WR_F32,  WR_F16,  WR_BF16, WR_Q8_0,
                                      WR_Q4_0, WR_Q4_K, WR_Q6_K, WR_MXFP4};
    wr_threads *threads = NULL;
    if (wr_threads_create(threads_count, NULL, &threads, NULL) != WEIR_OK) exit(1);
    const limits limit = measure_limits(threads, r);
    for (int i = 0; i < count; i++) {
        const wr_format_info *info = wr_format_named(names[i]);
        if (info == NULL) {
            fprintf(stderr, "bench_kernels: no format \"%s\"\n", names[i]);
            exit(2);
        }
        bench_format(info->format, threads, r, &limit);
    }
    for (size_t i = 0; count == 0 && i < sizeof usual / sizeof usual[0]; i++) {
        bench_format(usual[i], threads, r, &limit);
    }
    wr_threads_release(threads);
}

static int level_named(const char *name) {
    wr_cpu_level level;
    weir_error error;
    if (wr_cpu_choose(name, &level, &error) == WEIR_OK) return (int)level;
    fprintf(stderr, "bench_kernels: %s\n", error.message);
    exit(2);
}

int main(int argc, char **argv) {
    request r = {.level = -1};
    int option;
    while ((option = getopt(argc, argv, "t:l:b:")) != -1) {
        if (option == 't') r.threads = atoi(optarg);
        if (option == 'b') r.batch = atoi(optarg);
        if (option == 'l') r.level = level_named(optarg);
        if (option == '?') return 2;
    }
    if (r.threads != 2)
        bench_formats(r.threads > 0 ? r.threads : 1, &r, argc - optind, argv + optind);
    if (r.threads == 0 || r.threads == 2) bench_formats(2, &r, argc - optind, argv + optind);
    return 0;
}
