/*
 * One random model in eight GGUF formats against logits that llama.cpp computed in float32 from the
 * dequantised weights: what arithmetic without activation rounding gives. Our products decode
 * weights exactly and multiply in float32, so every format must agree to float32 rounding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "weir/weir.h"

enum { TOKENS = 96, VOCABULARY = 512 };

static const char *const formats[] = {"F16",    "BF16", "Q8_0", "Q4_0",
                                      "Q4_K_M", "Q5_0", "Q6_K", "Q2_K"};

static float expected[TOKENS * VOCABULARY];
static int32_t tokens[TOKENS];

typedef struct difference {
    double squares;
    double total;
} difference;

static weir_status compare_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    difference *d = context;
    assert_int_equal(n_vocab, VOCABULARY);
    for (int32_t i = 0; i < n_vocab; i++) {
        double e = (double)expected[index * VOCABULARY + i];
        double off = (double)logits[i] - e;
        d->squares += off * off;
        d->total += e * e;
    }
    return WEIR_OK;
}

static bool read_golden(const char *folder, const char *format) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s.exact.f32", folder, format);
    FILE *file = fopen(path, "rb");
    size_t got = file ? fread(expected, sizeof *expected, TOKENS * VOCABULARY, file) : 0;
    if (file) fclose(file);
    snprintf(path, sizeof path, "%s/tokens.txt", folder);
    file = fopen(path, "r");
    int count = 0;
    while (file && count < TOKENS && fscanf(file, "%d%*[, \n]", &tokens[count]) == 1) count++;
    if (file) fclose(file);
    return got == TOKENS * VOCABULARY && count == TOKENS;
}

static void check(const char *folder, const char *format, const char *cpu) {
    char path[4200];
    weir_error error;
    weir_model *model;
    weir_stream *stream;
    weir_model_options how = {.cpu = cpu};
    weir_stream_options options = weir_stream_options_default();
    difference d = {0};
    options.policy = WEIR_DENSE;
    options.cache_type = WEIR_CACHE_F32;
    options.chunk = 41;
    snprintf(path, sizeof path, "%s/%s.gguf", folder, format);
    if (weir_model_open(path, &how, &model, &error) != WEIR_OK ||
        weir_stream_create(model, &options, &stream, &error) != WEIR_OK ||
        weir_stream_feed_scored(stream, tokens, TOKENS, compare_row, &d, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    double relative = sqrt(d.squares / d.total);
    printf("%-7s %-7s relative error %.1e\n", weir_model_get_info(model)->cpu, format, relative);
    assert_true(relative <= 1e-5);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

static void test_formats(void **state) {
    (void)state;
    char folder[4096];
    const char *shared = getenv("WEIR_SHARED");
    const char *root = getenv("WEIR_ROOT");
    if (shared)
        snprintf(folder, sizeof folder, "%s/golden/quants", shared);
    else
        snprintf(folder, sizeof folder, "%s/../shared/golden/quants", root);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (!read_golden(folder, formats[i])) {
            printf("skipped: %s/%s.exact.f32 is not there\n", folder, formats[i]);
            skip();
        }
        check(folder, formats[i], "scalar");
        check(folder, formats[i], NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats)};
    return cmocka_run_group_tests_name("logits of quantised models", tests, NULL, NULL);
}
