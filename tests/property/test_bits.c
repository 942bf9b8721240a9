/*
 * The bits are equal: the logits of a stream of 2,000 tokens, for every policy and page type, do
 * not depend on the chunk, on the number of threads, on a fork in between, or on a save and a
 * restore in a new process (STREAMING.md, "However it arrives").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/random.h"
#include "weir/weir.h"

enum { TOKENS = 2000, HALF = 777 };

/* The models: one of each kind of attention. */
static const struct {
    const char *sink, *positions;
} kinds[] = {{"none", "rope"}, {"logit", "alibi"}, {"zero", "rope"}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static char model_path[64];
static char stream_path[64];
static char result_path[64];
static int32_t tokens[TOKENS];

typedef struct policy_case {
    const char *name;
    weir_stream_options options;
} policy_case;

static int make_cases(policy_case *cases) {
    static const struct {
        const char *name;
        weir_policy policy;
        int64_t sinks, window;
        weir_eviction eviction;
    } table[] = {
        {"sink 4+60", WEIR_SINK, 4, 60, WEIR_EVICT_TOKEN},
        {"sink 40+130 by message", WEIR_SINK, 40, 130, WEIR_EVICT_MESSAGE},
        {"window 64", WEIR_WINDOW, -1, 64, WEIR_EVICT_TOKEN},
        {"dense", WEIR_DENSE, -1, 0, WEIR_EVICT_TOKEN},
        {"recompute 24", WEIR_RECOMPUTE, -1, 24, WEIR_EVICT_TOKEN},
    };
    int count = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        weir_stream_options o = weir_stream_options_default();
        o.policy = table[i].policy;
        o.sinks = table[i].sinks;
        o.window = table[i].window;
        o.eviction = table[i].eviction;
        if (o.policy == WEIR_DENSE) {
            o.context = TOKENS;
            o.beyond = true;
        }
        cases[count++] = (policy_case){table[i].name, o};
    }
    return count;
}

static weir_status add_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    uint64_t *sum = context;
    *sum = wr_checksum(*sum, &index, sizeof index);
    *sum = wr_checksum(*sum, logits, (size_t)n_vocab * sizeof *logits);
    return WEIR_OK;
}

static void must(weir_status status, const weir_error *error) {
    if (status != WEIR_OK) fail_msg("%s", error->message);
}

/* Feed tokens [begin, end) with a message border every 50 tokens, and add their logits to *sum. */
static void feed(weir_stream *stream, int64_t begin, int64_t end, uint64_t *sum) {
    weir_error error;
    while (begin < end) {
        int64_t next = (begin / 50 + 1) * 50;
        next = next < end ? next : end;
        if (begin % 50 == 0) must(weir_stream_border(stream, &error), &error);
        must(weir_stream_feed_scored(stream, tokens + begin, next - begin, add_row, sum, &error),
             &error);
        begin = next;
    }
}

static weir_stream *create(const weir_model *model, weir_stream_options options, int64_t chunk,
                           int threads) {
    weir_error error;
    weir_stream *stream;
    options.chunk = chunk;
    options.threads = threads;
    must(weir_stream_create(model, &options, &stream, &error), &error);
    return stream;
}

static uint64_t run_whole(const weir_model *model, weir_stream_options options, int64_t chunk,
                          int threads) {
    uint64_t sum = 1;
    weir_stream *stream = create(model, options, chunk, threads);
    feed(stream, 0, TOKENS, &sum);
    weir_stream_destroy(stream);
    return sum;
}

/* The parent goes on with other tokens while the child goes on with ours. */
static uint64_t run_forked(const weir_model *model, weir_stream_options options) {
    uint64_t sum = 1;
    uint64_t ignored = 0;
    weir_error error;
    weir_stream *child;
    weir_stream *parent = create(model, options, 3, 2);
    feed(parent, 0, HALF, &sum);
    must(weir_stream_fork(parent, &child, &error), &error);
    feed(parent, HALF - 100, HALF + 150, &ignored);
    feed(child, HALF, HALF + 200, &sum);
    feed(parent, 0, 100, &ignored);
    weir_stream_destroy(parent);
    feed(child, HALF + 200, TOKENS, &sum);
    weir_stream_destroy(child);
    return sum;
}

/* In a process of its own: exit code 0 when all went well. */
static bool in_process(void (*work)(const weir_stream_options *),
                       const weir_stream_options *options) {
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work(options);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void write_sum(uint64_t sum) {
    FILE *file = fopen(result_path, "wb");
    if (!file || fwrite(&sum, sizeof sum, 1, file) != 1 || fclose(file) != 0) _exit(3);
}

static uint64_t read_sum(void) {
    uint64_t sum = 0;
    FILE *file = fopen(result_path, "rb");
    if (file) {
        if (fread(&sum, sizeof sum, 1, file) != 1) sum = 0;
        fclose(file);
    }
    return sum;
}

static void first_half(const weir_stream_options *options) {
    uint64_t sum = 1;
    weir_model *model;
    if (weir_model_open(model_path, NULL, &model, NULL) != WEIR_OK) _exit(1);
    weir_stream *stream = create(model, *options, 64, 2);
    feed(stream, 0, HALF, &sum);
    if (weir_stream_save(stream, stream_path, NULL) != WEIR_OK) _exit(2);
    write_sum(sum);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

static void second_half(const weir_stream_options *options) {
    uint64_t sum = read_sum();
    weir_model *model;
    weir_stream *stream;
    weir_stream_options machine = weir_stream_options_default();
    (void)options;
    machine.chunk = 7; /* a smaller ring than the one that was saved */
    machine.threads = 1;
    if (weir_model_open(model_path, NULL, &model, NULL) != WEIR_OK ||
        weir_stream_load(model, stream_path, &machine, &stream, NULL) != WEIR_OK)
        _exit(1);
    feed(stream, HALF, TOKENS, &sum);
    write_sum(sum);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

static void check(const weir_model *model, const char *name, weir_stream_options options) {
    static const int64_t chunks[] = {1, 3, 64, 512};
    uint64_t expected = run_whole(model, options, 1, 1);
    for (size_t c = 0; c < 4; c++)
        for (int threads = 1; threads <= 2; threads++)
            if (run_whole(model, options, chunks[c], threads) != expected)
                fail_msg("%s, pages %d: other bits with chunk %d and %d threads", name,
                         (int)options.cache_type, (int)chunks[c], threads);
    if (run_forked(model, options) != expected)
        fail_msg("%s, pages %d: other bits after a fork", name, (int)options.cache_type);
    assert_true(in_process(first_half, &options));
    assert_true(in_process(second_half, &options));
    if (read_sum() != expected)
        fail_msg("%s, pages %d: other bits after save and restore", name, (int)options.cache_type);
}

static void make_model(const char *sink, const char *positions) {
    weir_error error;
    weir_random_model shape = weir_random_model_default();
    shape.head_dim = 24; /* no multiple of any vector */
    shape.format = "Q8_0";
    shape.sink = sink;
    shape.positions = positions;
    must(weir_make_random(model_path, &shape, &error), &error);
}

/* All page types of the first kind; of the others one that changes from policy to policy. */
static void test_bits_of(int kind) {
    weir_error error;
    policy_case cases[8];
    int count = make_cases(cases);
    make_model(kinds[kind].sink, kinds[kind].positions);
    for (int i = 0; i < count; i++)
        for (int type = WEIR_CACHE_F16; type <= WEIR_CACHE_Q8_0; type++) {
            weir_model *model; /* opened anew: no thread is alive when a process is forked off */
            if (kind > 0 && type != (i + kind) % 3) continue;
            must(weir_model_open(model_path, NULL, &model, &error), &error);
            cases[i].options.cache_type = (weir_cache_type)type;
            check(model, cases[i].name, cases[i].options);
            weir_model_close(model);
        }
}

static void test_bits(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) test_bits_of(kind);
}

static int set_up(void **state) {
    (void)state;
    snprintf(model_path, sizeof model_path, "/tmp/weir-bits-%d.gguf", (int)getpid());
    snprintf(stream_path, sizeof stream_path, "/tmp/weir-bits-%d.stream", (int)getpid());
    snprintf(result_path, sizeof result_path, "/tmp/weir-bits-%d.sum", (int)getpid());
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = (int32_t)(wr_random_unit(5, 0, (uint64_t)i) * 320.0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(model_path);
    unlink(stream_path);
    unlink(result_path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bits, set_up, tear_down)};
    return cmocka_run_group_tests_name("equal bits", tests, NULL, NULL);
}
