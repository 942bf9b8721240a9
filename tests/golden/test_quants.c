/*
 * One random model in eight GGUF formats against logits that llama.cpp computed in float32 from the
 * dequantised weights: what arithmetic without activation rounding gives.
 *
 * Quantised weights multiply inputs rounded to 8 bits, so each format has the error of that
 * rounding, and may have no more than llama.cpp's own (data/README.md of the golden files has the
 * figures). The same model with its weights decoded to F32 first must agree to float32 rounding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <unistd.h>

#include "support/decoded_model.h"
#include "weir/weir.h"

enum { TOKENS = 96, VOCABULARY = 512 };

/* The largest relative error of all logits: llama.cpp's, to the digits that are given. */
static const struct {
    const char *name;
    double error;
} formats[] = {{"F16", 0.0007},  {"BF16", 0.0065},   {"Q8_0", 0.0205}, {"Q4_0", 0.0205},
               {"Q5_0", 0.0205}, {"Q4_K_M", 0.0295}, {"Q6_K", 0.0295}, {"Q2_K", 0.0295}};

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

static void check(const char *path, const char *format, const char *cpu, bool no_repack,
                  double bound) {
    weir_error error;
    weir_model *model;
    weir_stream *stream = NULL;
    weir_model_options how = {.cpu = cpu, .no_repack = no_repack};
    weir_stream_options options = weir_stream_options_default();
    difference d = {0};
    options.policy = WEIR_DENSE;
    options.cache_type = WEIR_CACHE_F32;
    options.chunk = 41;
    if (weir_model_open(path, &how, &model, &error) != WEIR_OK ||
        weir_stream_create(model, &options, &stream, &error) != WEIR_OK ||
        weir_stream_feed_scored(stream, tokens, TOKENS, compare_row, &d, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    double relative = sqrt(d.squares / d.total);
    printf("%-10s %-7s %srelative error %.2e\n", weir_model_get_info(model)->cpu, format,
           no_repack ? "not packed, " : "", relative);
    if (!(relative <= bound)) fail_msg("%s: %.2e is more than %.2e", format, relative, bound);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

static void check_format(const char *folder, const char *format, double bound) {
    char path[4200];
    char decoded[DECODED_PATH];
    snprintf(path, sizeof path, "%s/%s.gguf", folder, format);
    check(path, format, "scalar", false, bound);
    check(path, format, NULL, false, bound);
    check(path, format, NULL, true, bound);
    decoded_model(path, decoded);
    check(decoded, "decoded", "scalar", false, 1e-5);
    check(decoded, "decoded", NULL, false, 1e-5);
    unlink(decoded);
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
        if (!read_golden(folder, formats[i].name)) {
            printf("skipped: %s/%s.exact.f32 is not there\n", folder, formats[i].name);
            skip();
        }
        check_format(folder, formats[i].name, formats[i].error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats)};
    return cmocka_run_group_tests_name("logits of quantised models", tests, NULL, NULL);
}
