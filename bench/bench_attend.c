/*
 * Attention by head size, page type and level, beside what the machine itself can do.
 *
 *     bench_attend [-t THREADS] [-a] [WORD]    only lines that hold the word, say f16 or "of 64";
 *                                              -a: with linear biases (ALiBi)
 *
 * decode: one token against a full window; the bound is the larger of its bytes over the read
 * bandwidth and its multiplications over the peak. prefill: tiles of a chunk in the middle of the
 * same window, against the peak. One operation is a multiplication or an addition of q.k and of
 * weight * v; exponentials are extra. Items are timed in pieces, of which the best counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/threads.h"
#include "tensor/kernels.h"
#include "weir/machine.h"

enum { MEGABYTE = 1000000 };

/* Sizes of a model: what one layer's attention is. */
typedef struct setting {
    const char *name;
    int32_t kv_heads, heads; /* heads: of a group */
    int32_t dim;
    int32_t window;
    bool streams; /* decoding for many, whose windows no cache holds together */
} setting;

static const setting settings[] = {
    {"8 heads of 8, 4 KV", 4, 2, 8, 256, false},
    {"32 heads of 64, 4 KV", 4, 8, 64, 256, false},
    {"32 heads of 64, 4 KV", 4, 8, 64, 4096, false},
    {"32 heads of 128, 8 KV", 8, 4, 128, 4096, false},
    {"8 heads of 64, 8 KV", 8, 1, 64, 4096, false},
    {"8 heads of 32, 4 KV", 4, 2, 32, 256, false},
    {"8 of 32, 4 KV, streams", 4, 2, 32, 256, true},
    {"32 of 64, 4 KV, streams", 4, 8, 64, 256, true},
};

static float slopes[64]; /* of all query heads */

typedef struct bench {
    const wr_kernels *kernels;
    setting set;
    wr_kv_type type;
    bool decode, biased;
    int32_t tokens;     /* of a job */
    int32_t page_count; /* of a layer */
    size_t head_bytes;  /* keys and values of a KV head in a page */
    int64_t layer;      /* at hand: decoding goes through layers, as a model does */
    int64_t layers;
    int64_t first;         /* KV head of the piece */
    int32_t together;      /* KV heads of a job: all of a thread's where there is one token */
    uint8_t *data;         /* [layers, page_count, kv_heads, head_bytes] */
    const uint8_t **pages; /* [layers, page_count] */
    float *query, *out, *scratch;
    int64_t scratch_floats;
} bench;

static float *aligned_floats(int64_t count) {
    float *floats = aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
    if (floats == NULL) abort();
    return floats;
}

/* Item = KV heads of a job, from b->first on. */
static void attend_task(void *context, int64_t begin, int64_t end, int worker) {
    const bench *b = context;
    const setting *s = &b->set;
    const int64_t row = (int64_t)s->heads * s->dim;
    for (int64_t head = b->first + begin * b->together; head < b->first + end * b->together;
         head += b->together) {
        wr_attention_token tokens[128];
        const size_t key_bytes = WR_PAGE_TOKENS * wr_kv_row_bytes(b->type, s->dim);
        wr_attention job = {.tokens = tokens,
                            .token_count = b->tokens,
                            .heads = s->heads * b->together,
                            .kv_heads = b->together,
                            .key_dim = s->dim,
                            .value_dim = s->dim,
                            .scale = 0.1f,
                            .slope = b->biased ? slopes : NULL,
                            .scratch = b->scratch + worker * b->scratch_floats};
        job.recent.pages = b->pages + b->layer * b->page_count;
        job.recent.type = b->type;
        job.recent.key_offset = (size_t)head * b->head_bytes;
        job.recent.value_offset = job.recent.key_offset + key_bytes;
        job.recent.head_stride = b->head_bytes;
        if (b->layer + 1 < b->layers)
            job.next = job.recent.pages[b->page_count] + job.recent.key_offset;
        for (int32_t i = 0; i < b->tokens; i++) {
            tokens[i] = (wr_attention_token){
                .query_recent = b->query + (head * b->tokens + i) * row,
                .out = b->out + (head * b->tokens + i) * row,
                .recent = {i + 17, i + 17 + s->window}, /* a window begins anywhere in a page */
                .recent_at = i + 16 + s->window,
            };
        }
        b->kernels->attend(&job);
    }
}

/* Of the whole layer, from its fastest piece: as many jobs as there are threads. */
static double best_seconds(bench *b, wr_threads *threads) {
    const int64_t count = wr_threads_count(threads);
    const int64_t jobs = b->set.kv_heads < count ? b->set.kv_heads : count;
    const int64_t piece = jobs * b->together;
    double best = 1e9, total = 0;
    for (int round = 0; total < 0.5; round++) {
        b->layer = round % b->layers;
        for (b->first = 0; b->first + piece <= b->set.kv_heads; b->first += piece) {
            double start = wr_clock_seconds();
            wr_threads_run(threads, jobs, 1, attend_task, b);
            double seconds = wr_clock_seconds() - start;
            best = seconds < best ? seconds : best;
            total += seconds;
        }
    }
    return best * b->set.kv_heads / (double)piece;
}

static void fill_head(const bench *b, uint8_t *to) {
    float x[256];
    uint8_t *values = to + b->head_bytes / 2;
    for (int32_t j = 0; j < WR_PAGE_TOKENS; j++) {
        for (int32_t d = 0; d < b->set.dim; d++)
            x[d] = (float)((j * 31 + d * 7) % 101 - 50) * 0.02f;
        b->kernels->kv_write_key(b->type, to, j, x, b->set.dim);
        b->kernels->kv_write(b->type, values + (size_t)j * b->head_bytes / 64, x, b->set.dim);
    }
}

/* Decoding reads other layers in between: as many as no cache holds, when a window is large. */
static void make(bench *b, int threads) {
    const setting *s = &b->set;
    b->tokens = b->decode ? 1 : wr_attention_tile(s->heads);
    b->page_count = (s->window + b->tokens) / WR_PAGE_TOKENS + 2;
    b->head_bytes = 2 * WR_PAGE_TOKENS * wr_kv_row_bytes(b->type, s->dim);
    const size_t layer = (size_t)b->page_count * b->head_bytes * (size_t)s->kv_heads;
    b->layers = b->decode && (s->window > 1000 || s->streams) ? 600 * MEGABYTE / (int64_t)layer : 5;
    b->together = !b->decode || s->kv_heads < threads ? 1 : s->kv_heads / threads;
    const size_t pages = (size_t)(b->layers * b->page_count);
    const size_t bytes = pages * b->head_bytes * (size_t)s->kv_heads;
    b->data = aligned_alloc(64, bytes);
    b->pages = malloc(pages * sizeof *b->pages);
    if (b->data == NULL || b->pages == NULL) abort();
    wr_advise_huge(b->data, bytes); /* as a pool does */
    fill_head(b, b->data);
    for (size_t i = 1; i < pages * (size_t)s->kv_heads; i++)
        memcpy(b->data + i * b->head_bytes, b->data, b->head_bytes);
    for (size_t i = 0; i < pages; i++) /* a page holds all layers */
        b->pages[i] =
            b->data + (i % (size_t)b->page_count * (size_t)b->layers + i / (size_t)b->page_count) *
                          b->head_bytes * (size_t)s->kv_heads;
    const int64_t row = (int64_t)s->heads * s->dim * b->tokens * s->kv_heads;
    b->query = aligned_floats(row);
    b->out = aligned_floats(row);
    for (int64_t i = 0; i < row; i++) b->query[i] = (float)(i % 17 - 8) * 0.1f;
    b->scratch_floats =
        (wr_attention_scratch(s->heads * b->together, s->dim, s->dim) + 31) / 16 * 16;
    b->scratch = aligned_floats(threads * b->scratch_floats);
}

typedef struct limits {
    double bandwidth, peak[WR_CPU_LEVELS];
} limits;

static void measure(const setting *set, wr_kv_type type, wr_cpu_level level, bool decode,
                    bool biased, wr_threads *threads, const limits *limit) {
    bench b = {wr_kernels_get(level), *set, type, decode, biased, .layer = 0};
    make(&b, wr_threads_count(threads));
    const double seconds = best_seconds(&b, threads);
    const double pairs = (double)set->window * b.tokens * set->heads * set->kv_heads;
    const double work = pairs * 4 * set->dim, bytes = (double)set->window * set->kv_heads * 2 *
                                                      (double)wr_kv_row_bytes(type, set->dim);
    const double computing = work / limit->peak[level] * 1e-9;
    const double reading = decode ? bytes / limit->bandwidth * 1e-9 : 0;
    const double bound = computing > reading ? computing : reading;
    printf("%-23s %5d  %-5s %-7s %-8s %9.2f us/token %8.1f GFLOP/s %6.2f GB/s  %5.2f x %s\n",
           set->name, set->window, wr_kv_type_name(type), b.kernels->name,
           decode ? "decode" : "prefill", seconds / b.tokens * 1e6, work / seconds * 1e-9,
           decode ? bytes / seconds * 1e-9 : 0, seconds / bound,
           computing > reading ? "computing" : "reading");
    fflush(stdout);
    free(b.data);
    free(b.pages);
    free(b.query);
    free(b.out);
    free(b.scratch);
}

/* Levels above AVX-512 differ in products alone. */
static bool attends(wr_cpu_level level) {
    return level <= WR_CPU_AVX512 && wr_kernels_get(level)->level == level;
}

static limits measure_limits(int threads) {
    limits limit = {0};
    printf("threads %d:", threads);
    for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
        if (!attends((wr_cpu_level)level)) continue;
        weir_machine machine;
        weir_error error;
        if (weir_machine_measure(wr_cpu_name((wr_cpu_level)level), threads, 0.7, &machine,
                                 &error) != WEIR_OK) {
            fprintf(stderr, "bench_attend: %s\n", error.message);
            exit(1);
        }
        const double bandwidth = machine.read_bytes * 1e-9;
        if (bandwidth > limit.bandwidth) limit.bandwidth = bandwidth;
        limit.peak[level] = machine.float_operations * 1e-9;
        printf(" %s %.0f GFLOP/s,", machine.cpu, limit.peak[level]);
    }
    printf(" reads %.1f GB/s\n", limit.bandwidth);
    return limit;
}

static void bench_all(int count, bool biased, const char *word) {
    wr_threads *threads = NULL;
    if (wr_threads_create(count, NULL, &threads, NULL) != WEIR_OK) exit(1);
    const limits limit = measure_limits(count);
    const int modes = 2 * WR_KV_TYPES * WR_CPU_LEVELS;
    for (int i = 0; i < modes * (int)(sizeof settings / sizeof settings[0]); i++) {
        const setting *set = &settings[i / modes];
        const wr_kv_type type = (wr_kv_type)(i / WR_CPU_LEVELS % WR_KV_TYPES);
        const int level = WR_CPU_LEVELS - 1 - i % WR_CPU_LEVELS;
        char line[64];
        if (level == 0 || level > (int)wr_cpu_detect() || !attends((wr_cpu_level)level)) continue;
        snprintf(line, sizeof line, "%s %s %s", set->name, wr_kv_type_name(type),
                 wr_cpu_name((wr_cpu_level)level));
        if (word != NULL && strstr(line, word) == NULL) continue;
        measure(set, type, (wr_cpu_level)level, i % modes < modes / 2, biased, threads, &limit);
    }
    wr_threads_release(threads);
}

int main(int argc, char **argv) {
    int threads = 1;
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        threads = atoi(argv[2]) > 0 ? atoi(argv[2]) : 1;
        argc -= 2;
        argv += 2;
    }
    for (int i = 0; i < 64; i++) slopes[i] = 1.0f / (float)(2 + i % 8 * 30);
    const bool biased = argc > 1 && strcmp(argv[1], "-a") == 0;
    bench_all(threads, biased, argc > 1 + biased ? argv[1 + biased] : NULL);
    return 0;
}
