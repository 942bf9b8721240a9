/* tensor/quantise: how near the blocks are, what is exact, and what no block can hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tensor/kernels.h"
#include "tensor/quantise.h"

enum { WEIGHTS = 4096 };

/* |x - decoded| / |x| of normal numbers, at most; by the search that is there, with a little room.
 */
static const struct {
    wr_format format;
    double most;
} formats[] = {
    {WR_Q8_0, 0.0054}, {WR_Q6_K, 0.0168}, {WR_Q5_1, 0.0350}, {WR_Q5_0, 0.0410}, {WR_Q5_K, 0.0350},
    {WR_Q4_1, 0.0725}, {WR_Q4_0, 0.0830}, {WR_Q4_K, 0.0712}, {WR_Q3_K, 0.1480}, {WR_Q2_K, 0.2650},
    {WR_F16, 0.0003},  {WR_BF16, 0.002},  {WR_F32, 0},
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

static float x[WEIGHTS], y[WEIGHTS], z[WEIGHTS];
static uint8_t coded[WEIGHTS * 4];

static void draw(uint64_t seed) {
    for (int i = 0; i < WEIGHTS; i++) x[i] = (float)wr_random_normal(seed, 1, (uint64_t)i);
}

static void decode(wr_format format, float *out) {
    wr_kernels_get(WR_CPU_SCALAR)->decode(format, coded, out, WEIGHTS);
}

static double distance(const float *a, const float *b) {
    double off = 0, size = 0;
    for (int i = 0; i < WEIGHTS; i++) {
        const double d = (double)a[i] - (double)b[i];
        off += d * d;
        size += (double)a[i] * (double)a[i];
    }
    return size > 0 ? sqrt(off / size) : sqrt(off);
}

static void errors_are_small(void **state) {
    (void)state;
    draw(1);
    for (int i = 0; i < FORMATS; i++) {
        assert_true(wr_format_quantises(formats[i].format));
        assert_int_equal(wr_format_quantise_row(formats[i].format, x, WEIGHTS, coded), -1);
        decode(formats[i].format, y);
        const double off = distance(x, y);
        print_message("             %s: %.4f\n", wr_format_find((uint32_t)formats[i].format)->name,
                      off);
        assert_true(off <= formats[i].most);
    }
    assert_false(wr_format_quantises(WR_IQ4_XS));
    assert_false(wr_format_quantises(WR_MXFP4));
}

/* What a format holds exactly already stays nearly as it is when it is quantised again. */
static void a_second_time_loses_little(void **state) {
    (void)state;
    draw(2);
    for (int i = 0; i < FORMATS; i++) {
        const wr_format format = formats[i].format;
        assert_int_equal(wr_format_quantise_row(format, x, WEIGHTS, coded), -1);
        decode(format, y);
        const double first = distance(x, y);
        assert_int_equal(wr_format_quantise_row(format, y, WEIGHTS, coded), -1);
        decode(format, z);
        const double second = distance(y, z);
        print_message("             %s: %.1e after %.1e\n", wr_format_find((uint32_t)format)->name,
                      second, first);
        assert_true(second <= 0.5 * first);
    }
}

/* The rule that needs no search: the largest number at the end of the grid. */
static double plain_error(const float *block, double levels) {
    double most = 0, sum = 0;
    for (int i = 0; i < 32; i++)
        if (fabs((double)block[i]) > fabs(most)) most = (double)block[i];
    const double scale = most / -levels;
    for (int i = 0; i < 32; i++) {
        const double code = fmin(fmax(rint((double)block[i] / scale), -levels), levels - 1);
        sum += pow((double)block[i] - scale * code, 2);
    }
    return sum;
}

static void no_block_is_worse_than_the_plain_rule(void **state) {
    (void)state;
    static const struct {
        wr_format format;
        double levels;
    } plain[] = {{WR_Q4_0, 8}, {WR_Q5_0, 16}, {WR_Q8_0, 128}};
    for (uint64_t seed = 3; seed < 6; seed++) {
        draw(seed);
        for (int i = 0; i < WEIGHTS; i += 37) x[i] *= 6; /* some far from the others */
        for (size_t f = 0; f < 3; f++) {
            wr_format_quantise_row(plain[f].format, x, WEIGHTS, coded);
            decode(plain[f].format, y);
            for (int at = 0; at < WEIGHTS; at += 32) {
                double sum = 0;
                for (int i = at; i < at + 32; i++) sum += pow((double)x[i] - (double)y[i], 2);
                /* the plain rule's scale is no half here, so it has a little less to lose */
                assert_true(sum <= 1.01 * plain_error(x + at, plain[f].levels));
            }
        }
    }
}

static void special_blocks(void **state) {
    (void)state;
    static const float values[] = {0, 1, -1, 1e-6f, -3e4f, 1e-38f};
    for (int i = 0; i < FORMATS; i++) {
        const wr_format format = formats[i].format;
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            for (int j = 0; j < WEIGHTS; j++) x[j] = values[v];
            assert_int_equal(wr_format_quantise_row(format, x, WEIGHTS, coded), -1);
            decode(format, y);
            for (int j = 0; j < WEIGHTS; j++)
                if (!(fabsf(y[j] - x[j]) <= fmaxf(0.04f * fabsf(x[j]), 1.2e-7f)))
                    fail_msg("%s: %g became %g", wr_format_find((uint32_t)format)->name,
                             (double)x[j], (double)y[j]);
        }
        memset(x, 0, sizeof x);
        x[700] = -5; /* alone in its block: the others stay nothing */
        assert_int_equal(wr_format_quantise_row(format, x, WEIGHTS, coded), -1);
        decode(format, y);
        assert_true(fabsf(y[700] + 5) < 0.05f);
        for (int j = 0; j < WEIGHTS; j++) assert_true(j == 700 || fabsf(y[j]) < 0.02f);
    }
}

static void what_no_block_holds_is_found(void **state) {
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY, 1e30f};
    for (int i = 0; i < FORMATS; i++)
        for (size_t v = 0; v < 4; v++) {
            const int32_t block = wr_format_find((uint32_t)formats[i].format)->block;
            const bool holds =
                (formats[i].format == WR_F32 || formats[i].format == WR_BF16) && v == 3;
            draw(7);
            x[1000] = values[v];
            const int64_t at = wr_format_quantise_row(formats[i].format, x, WEIGHTS, coded);
            if (holds)
                assert_int_equal(at, -1);
            else
                assert_in_range(1000 - at, 0, block - 1);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(a_second_time_loses_little),
        cmocka_unit_test(no_block_is_worse_than_the_plain_rule),
        cmocka_unit_test(special_blocks),
        cmocka_unit_test(what_no_block_holds_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
