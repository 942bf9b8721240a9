/*
 * Per-token negative log-likelihood against figures of an independent float64 implementation that
 * re-rotates every cached key by its place in the cache at every step
 * (tools/reference/golden_nll.py and the shared golden files): with f32 pages every token within
 * 2e-4 nats, with f16 pages the mean within 1e-3, with q8_0 pages within 1e-2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/decoded_model.h"
#include "weir/weir.h"

enum { MAX_TOKENS = 4096, MAX_SETTINGS = 16 };

typedef struct setting {
    char policy[16];
    int sinks;
    int window;
    int64_t count;
    int64_t highest; /* the last index scored */
    double nll[MAX_TOKENS];
    bool known[MAX_TOKENS];
} setting;

typedef struct golden {
    int32_t tokens[MAX_TOKENS];
    int64_t token_count;
    setting settings[MAX_SETTINGS];
    int setting_count;
} golden;

static golden figures;

/* The numbers of a JSON array of integers. */
static int64_t read_tokens(const char *path, int32_t *tokens) {
    FILE *file = fopen(path, "r");
    int64_t count = 0;
    if (!file) return 0;
    for (int c = fgetc(file); c != EOF && count < MAX_TOKENS; c = fgetc(file)) {
        if (c < '0' || c > '9') continue;
        ungetc(c, file);
        int token = 0;
        if (fscanf(file, "%d", &token) == 1) tokens[count++] = token;
    }
    fclose(file);
    return count;
}

static setting *find_setting(golden *g, const char *policy, int sinks, int window) {
    for (int i = 0; i < g->setting_count; i++) {
        setting *s = &g->settings[i];
        if (strcmp(s->policy, policy) == 0 && s->sinks == sinks && s->window == window) return s;
    }
    assert_true(g->setting_count < MAX_SETTINGS);
    setting *s = &g->settings[g->setting_count++];
    memset(s, 0, sizeof *s);
    snprintf(s->policy, sizeof s->policy, "%s", policy);
    s->sinks = sinks;
    s->window = window;
    return s;
}

static bool read_golden(golden *g, const char *tokens, const char *csv) {
    memset(g, 0, sizeof *g);
    g->token_count = read_tokens(tokens, g->tokens);
    FILE *file = fopen(csv, "r");
    if (!file || g->token_count == 0) {
        if (file) fclose(file);
        return false;
    }
    char line[128];
    while (fgets(line, sizeof line, file)) {
        char policy[16];
        int sinks;
        int window;
        int index;
        double nll;
        if (sscanf(line, "%15[a-z],%d,%d,%d,%lf", policy, &sinks, &window, &index, &nll) != 5)
            continue;
        assert_in_range(index, 1, MAX_TOKENS - 1);
        setting *s = find_setting(g, policy, sinks, window);
        s->nll[index] = nll;
        s->known[index] = true;
        s->count++;
        s->highest = index > s->highest ? index : s->highest;
    }
    fclose(file);
    return g->setting_count > 0;
}

/* --- Scoring ---------------------------------------------------------------------------------- */

typedef struct scoring {
    const setting *expected;
    double sum;
    double expected_sum;
    double worst;
    int64_t scored;
} scoring;

static weir_status score(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    scoring *s = context;
    int64_t next = index + 1;
    if (next > s->expected->highest || !s->expected->known[next]) return WEIR_OK;
    double top = -(double)INFINITY;
    double total = 0.0;
    for (int32_t i = 0; i < n_vocab; i++) top = fmax(top, (double)logits[i]);
    for (int32_t i = 0; i < n_vocab; i++) total += exp((double)logits[i] - top);
    double nll = top + log(total) - (double)logits[figures.tokens[next]];
    s->sum += nll;
    s->expected_sum += s->expected->nll[next];
    s->worst = fmax(s->worst, fabs(nll - s->expected->nll[next]));
    s->scored++;
    return WEIR_OK;
}

static weir_stream_options options_for(const setting *s, weir_cache_type type) {
    weir_stream_options options = weir_stream_options_default();
    options.cache_type = type;
    options.chunk = 100; /* no divisor of any page or window */
    if (strcmp(s->policy, "dense") == 0)
        options.policy = WEIR_DENSE;
    else if (strcmp(s->policy, "window") == 0)
        options.policy = WEIR_WINDOW;
    else if (strcmp(s->policy, "recompute") == 0)
        options.policy = WEIR_RECOMPUTE;
    if (options.policy != WEIR_DENSE) options.window = s->window;
    if (options.policy == WEIR_SINK) options.sinks = s->sinks;
    return options;
}

static scoring run(const weir_model *model, const setting *s, weir_cache_type type) {
    weir_error error;
    weir_stream *stream;
    weir_stream_options options = options_for(s, type);
    scoring result = {.expected = s};
    if (weir_stream_create(model, &options, &stream, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    if (weir_stream_feed_scored(stream, figures.tokens, s->highest, score, &result, &error) !=
        WEIR_OK)
        fail_msg("%s", error.message);
    weir_stream_destroy(stream);
    assert_int_equal(result.scored, s->count);
    return result;
}

static void compare(const char *model_path, const char *cpu) {
    weir_error error;
    weir_model *model;
    weir_model_options options = {.cpu = cpu};
    if (weir_model_open(model_path, &options, &model, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    for (int i = 0; i < figures.setting_count; i++) {
        const setting *s = &figures.settings[i];
        scoring exact = run(model, s, WEIR_CACHE_F32);
        scoring half = run(model, s, WEIR_CACHE_F16);
        scoring eight = run(model, s, WEIR_CACHE_Q8_0);
        double n = (double)s->count;
        double half_mean = fabs(half.sum - half.expected_sum) / n;
        double eight_mean = fabs(eight.sum - eight.expected_sum) / n;
        printf("%-7s %-9s %d+%d: worst f32 %.2e; mean off by %.1e f16, %.1e q8_0\n",
               weir_model_get_info(model)->cpu, s->policy, s->sinks, s->window, exact.worst,
               half_mean, eight_mean);
        assert_true(exact.worst <= 2e-4);
        assert_true(half_mean <= 1e-3);
        assert_true(eight_mean <= 1e-2);
    }
    weir_model_close(model);
}

/* --- The two models --------------------------------------------------------------------------- */

static const char *levels[] = {"scalar", NULL}; /* NULL: the best of this machine */

static void compare_decoded(const char *path) {
    char decoded[DECODED_PATH];
    decoded_model(path, decoded);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) compare(decoded, levels[i]);
    unlink(decoded);
}

/* The file itself, whose products round their inputs to 8 bits: near, on average. */
static void compare_rounded(const char *path) {
    weir_error error;
    weir_model *model;
    if (weir_model_open(path, NULL, &model, &error) != WEIR_OK) fail_msg("%s", error.message);
    for (int i = 0; i < figures.setting_count; i++) {
        const setting *s = &figures.settings[i];
        scoring rounded = run(model, s, WEIR_CACHE_F32);
        double mean = (rounded.sum - rounded.expected_sum) / (double)s->count;
        printf("%-7s %-9s %d+%d: inputs rounded, worst %.2e, mean off by %.1e\n",
               weir_model_get_info(model)->cpu, s->policy, s->sinks, s->window, rounded.worst,
               mean);
        assert_true(fabs(mean) <= 5e-3);
    }
    weir_model_close(model);
}

static void compare_files(const char *folder, const char *model, const char *tokens,
                          const char *csv) {
    char paths[3][4096];
    const char *names[] = {model, tokens, csv};
    for (int i = 0; i < 3; i++) snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
    if (!read_golden(&figures, paths[1], paths[2])) {
        printf("skipped: %s is not there\n", paths[2]);
        skip();
    }
    compare_decoded(paths[0]);
    compare_rounded(paths[0]);
}

static void test_shipped_model(void **state) {
    (void)state;
    compare_files(getenv("WEIR_ROOT"), "models/weir-small.gguf",
                  "tests/golden/weir-small.tokens.json", "tests/golden/weir-small.nll.csv");
}

static void test_stories260k(void **state) {
    (void)state;
    char folder[4096];
    const char *shared = getenv("WEIR_SHARED");
    if (shared)
        snprintf(folder, sizeof folder, "%s", shared);
    else
        snprintf(folder, sizeof folder, "%s/../shared", getenv("WEIR_ROOT"));
    compare_files(folder, "data/models/stories260K.gguf", "golden/stories260K.tokens.json",
                  "golden/stories260K.nll.csv");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shipped_model),
                                       cmocka_unit_test(test_stories260k)};
    return cmocka_run_group_tests_name("golden likelihoods", tests, NULL, NULL);
}
