/* tensor/format: the table, names, random rows; and every decoder against golden weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "tensor/kernels.h"

static const wr_format all_formats[] = {
#define NUMBER(name, number, block, bytes) WR_##name,
    WR_FORMAT_MAP(NUMBER)
#undef NUMBER
};
enum { FORMATS = sizeof all_formats / sizeof all_formats[0] };

static void finds_by_number_and_name(void **state) {
    (void)state;
    assert_int_equal(FORMATS, 16);
    for (int i = 0; i < FORMATS; i++) {
        const wr_format_info *info = wr_format_find((uint32_t)all_formats[i]);
        assert_non_null(info);
        assert_int_equal(info->format, all_formats[i]);
        assert_ptr_equal(wr_format_named(info->name), info);
        assert_null(wr_format_foreign_name((uint32_t)info->format));
    }
    assert_int_equal(wr_format_named("q4_k")->format, WR_Q4_K);
    assert_int_equal(wr_format_named("bf16")->format, WR_BF16);
    assert_null(wr_format_named("Q4_K_M"));
    assert_null(wr_format_named(""));
    assert_null(wr_format_find(4));
    assert_null(wr_format_find(UINT32_MAX));
}

static void names_foreign_formats(void **state) {
    (void)state;
    assert_string_equal(wr_format_foreign_name(16), "IQ2_XXS");
    assert_string_equal(wr_format_foreign_name(9), "Q8_1");
    assert_string_equal(wr_format_foreign_name(40), "NVFP4");
    assert_null(wr_format_foreign_name(1000));
    for (uint32_t number = 0; number <= 42; number++) { /* no number below the last is unnamed */
        assert_true((wr_format_find(number) != NULL) != (wr_format_foreign_name(number) != NULL));
    }
}

static void measures_rows(void **state) {
    (void)state;
    assert_int_equal(wr_format_row_bytes(WR_F32, 3), 12);
    assert_int_equal(wr_format_row_bytes(WR_BF16, 3), 6);
    assert_int_equal(wr_format_row_bytes(WR_Q8_0, 64), 68);
    assert_int_equal(wr_format_row_bytes(WR_Q6_K, 512), 420);
    assert_int_equal(wr_format_row_bytes(WR_Q4_K, 0), 0);
}

static void decoders_match_golden_weights(void **state) {
    (void)state;
    char path[4096];
    const char *root = getenv("WEIR_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/formats.bin", root != NULL ? root : ".");
    wr_map map;
    assert_int_equal(wr_map_open(path, &map, NULL), WEIR_OK);
    wr_reader reader = {.data = map.data, .size = map.size};
    assert_memory_equal(wr_read_bytes(&reader, 4), "WRFM", 4);
    assert_int_equal(wr_read_u32(&reader), FORMATS);
    for (int i = 0; i < FORMATS; i++) {
        uint32_t number = wr_read_u32(&reader), weights = wr_read_u32(&reader);
        uint32_t size = wr_read_u32(&reader);
        const wr_format_info *info = wr_format_find(number);
        assert_non_null(info);
        assert_int_equal(wr_format_row_bytes(info->format, weights), size);
        const void *blocks = wr_read_bytes(&reader, size);
        const void *expected = wr_read_bytes(&reader, weights * sizeof(float));
        assert_false(reader.failed);
        float *decoded = malloc(weights * sizeof *decoded);
        for (int level = 0; level <= (int)wr_cpu_detect(); level++) {
            wr_kernels_get((wr_cpu_level)level)->decode(info->format, blocks, decoded, weights);
            if (memcmp(decoded, expected, weights * sizeof *decoded) != 0) {
                fail_msg("%s at level %s", info->name, wr_cpu_name((wr_cpu_level)level));
            }
        }
        free(decoded);
    }
    assert_int_equal(wr_reader_left(&reader), 0);
    wr_map_close(&map);
}

/* Mean and deviation of one long random row. */
static void check_random_row(wr_format format, float deviation, double tolerance) {
    enum { WEIGHTS = 65536 };
    size_t size = wr_format_row_bytes(format, WEIGHTS);
    uint8_t *blocks = malloc(size);
    float *weights = malloc(WEIGHTS * sizeof *weights);
    wr_format_random_row(format, 7, 3, deviation, WEIGHTS, blocks);
    wr_kernels_get(WR_CPU_SCALAR)->decode(format, blocks, weights, WEIGHTS);
    double sum = 0, squares = 0;
    for (int i = 0; i < WEIGHTS; i++) {
        assert_true(isfinite(weights[i]));
        sum += (double)weights[i];
        squares += (double)weights[i] * (double)weights[i];
    }
    double mean = sum / WEIGHTS / (double)deviation;
    double measured = sqrt(squares / WEIGHTS) / (double)deviation;
    if (fabs(measured - 1) > tolerance || fabs(mean) > 0.1) {
        fail_msg("%s: deviation %g is %g of what was asked, mean %g",
                 wr_format_find((uint32_t)format)->name, (double)deviation, measured, mean);
    }
    free(blocks);
    free(weights);
}

static void random_rows_have_their_deviation(void **state) {
    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        check_random_row(all_formats[i], 1.0f, 0.05);
        check_random_row(all_formats[i], 0.02f, 0.05);
        check_random_row(all_formats[i], 0.003f, 0.08); /* Q6_K's d is a subnormal half here */
    }
}

static void random_rows_are_a_function_of_seed_and_row(void **state) {
    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        uint8_t a[4096], b[4096];
        size_t size = wr_format_row_bytes(all_formats[i], 512);
        wr_format_random_row(all_formats[i], 1, 2, 0.1f, 512, a);
        wr_format_random_row(all_formats[i], 1, 2, 0.1f, 512, b);
        assert_memory_equal(a, b, size);
        wr_format_random_row(all_formats[i], 1, 3, 0.1f, 512, b);
        assert_memory_not_equal(a, b, size);
        wr_format_random_row(all_formats[i], 2, 2, 0.1f, 512, b);
        assert_memory_not_equal(a, b, size);
    }
}

static void random_rows_survive_extreme_deviations(void **state) {
    (void)state;
    static const float extremes[] = {0, 1e-30f, 1e20f};
    for (int i = 0; i < FORMATS; i++) {
        for (int k = 0; k < 3; k++) {
            uint8_t blocks[2048];
            float weights[512];
            if (all_formats[i] == WR_F32 && k == 2) continue;
            wr_format_random_row(all_formats[i], 5, 0, extremes[k], 512, blocks);
            wr_kernels_get(WR_CPU_SCALAR)->decode(all_formats[i], blocks, weights, 512);
            for (int w = 0; w < 512; w++) assert_true(isfinite(weights[w]));
        }
    }
}

/* What a number becomes in a format of one number each, as bits. */
static uint32_t encoded(wr_format format, float x) {
    uint32_t bits = 0;
    assert_int_equal(wr_format_encode_row(format, &x, 1, &bits), -1);
    return bits;
}

static void encodes_to_the_nearest(void **state) {
    (void)state;
    assert_int_equal(encoded(WR_F32, -1.5f), 0xbfc00000);
    assert_int_equal(encoded(WR_F16, 1.0f), 0x3c00);
    assert_int_equal(encoded(WR_F16, 1.0f + 0x1p-11f), 0x3c00); /* a tie goes to even: down */
    assert_int_equal(encoded(WR_F16, 1.0f + 0x3p-11f), 0x3c02); /* and up */
    assert_int_equal(encoded(WR_F16, -0x1p-25f), 0x8000);
    assert_int_equal(encoded(WR_BF16, 1.0f + 0x1p-8f), 0x3f80);
    assert_int_equal(encoded(WR_BF16, 1.0f + 0x3p-8f), 0x3f82);
    assert_int_equal(encoded(WR_BF16, -3.0f), 0xc040);
}

static void encodes_blocks(void **state) {
    (void)state;
    float x[64] = {0}; /* the second block is all 0 */
    uint8_t row[68];
    for (int i = 0; i < 32; i++) x[i] = (float)(i - 16) * 0.5f; /* -8 ... 7.5: a scale of 8 / 127 */
    assert_int_equal(wr_format_encode_row(WR_Q8_0, x, 64, row), -1);
    assert_int_equal((int8_t)row[2], -127);
    assert_int_equal((int8_t)row[2 + 16], 0);
    assert_int_equal((int8_t)row[2 + 31], 119);
    for (int i = 34; i < 68; i++) assert_int_equal(row[i], 0);
    for (int i = 0; i < 32; i++) x[i] = 1e-8f; /* no half is small enough for a scale */
    assert_int_equal(wr_format_encode_row(WR_Q8_0, x, 32, row), -1);
    for (int i = 0; i < 34; i++) assert_int_equal(row[i], 0);
}

static void names_what_cannot_be_encoded(void **state) {
    (void)state;
    float x[64] = {0};
    uint8_t row[256];
    for (int f = 0; f < FORMATS; f++) {
        const bool known = all_formats[f] == WR_F32 || all_formats[f] == WR_F16 ||
                           all_formats[f] == WR_BF16 || all_formats[f] == WR_Q8_0;
        assert_int_equal(wr_format_encodes(all_formats[f]), known);
    }
    x[40] = -65520.0f;
    assert_int_equal(wr_format_encode_row(WR_F16, x, 64, row), 40);
    assert_int_equal(wr_format_encode_row(WR_F32, x, 64, row), -1);
    x[40] = -INFINITY;
    assert_int_equal(wr_format_encode_row(WR_F32, x, 64, row), 40);
    assert_int_equal(wr_format_encode_row(WR_BF16, x, 64, row), 40);
    assert_int_equal(wr_format_encode_row(WR_Q8_0, x, 64, row), 32); /* its block */
    x[40] = NAN;
    assert_int_equal(wr_format_encode_row(WR_BF16, x, 64, row), 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_by_number_and_name),
        cmocka_unit_test(names_foreign_formats),
        cmocka_unit_test(measures_rows),
        cmocka_unit_test(encodes_to_the_nearest),
        cmocka_unit_test(encodes_blocks),
        cmocka_unit_test(names_what_cannot_be_encoded),
        cmocka_unit_test(decoders_match_golden_weights),
        cmocka_unit_test(random_rows_have_their_deviation),
        cmocka_unit_test(random_rows_are_a_function_of_seed_and_row),
        cmocka_unit_test(random_rows_survive_extreme_deviations),
    };
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
