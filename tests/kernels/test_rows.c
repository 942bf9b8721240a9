/* tensor/kernels: norms, activations, softmax, rotation and cache rows at every level. */
#include "kernels/check.h"

#include <math.h>

/* ---- norms ----------------------------------------------------------------------------------- */

/* Input, weight, bias and output of a row of n. */
typedef struct row {
    guarded x, weight, bias, y;
} row;

static row row_make(int64_t n, double mean, double deviation) {
    row r = {fenced_floats(n), fenced_floats(n), fenced_floats(n), guarded_floats(n, 4)};
    fill_normal(r.x.data, n, 21, deviation);
    for (int64_t i = 0; i < n; i++) ((float *)r.x.data)[i] += (float)mean;
    fill_normal(r.weight.data, n, 22, 1);
    fill_normal(r.bias.data, n, 23, 1);
    return r;
}

static void row_free(row *r) {
    guarded_free(&r->x);
    guarded_free(&r->weight);
    guarded_free(&r->bias);
    guarded_free(&r->y);
}

static void check_near(const char *what, int64_t n, int64_t i, double ours, double expected,
                       double tolerance) {
    if (!(fabs(ours - expected) <= tolerance)) {
        fail_msg("%s of %d: element %d is %.9g, not %.9g", what, (int)n, (int)i, ours, expected);
    }
}

static void rms_norm_is_near_double_at(const wr_kernels *kernels) {
    for (int k = 0; k < COUNT(sizes); k++) {
        const int64_t n = sizes[k];
        row r = row_make(n, 0.1, 3);
        const float *x = r.x.data, *weight = r.weight.data, *y = r.y.data;
        kernels->rms_norm(r.y.data, x, weight, n, 1e-5f);
        double squares = 0;
        for (int64_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
        for (int64_t i = 0; i < n; i++) {
            double expected =
                (double)x[i] / sqrt(squares / (double)n + (double)1e-5f) * (double)weight[i];
            check_near("rms_norm", n, i, (double)y[i], expected, 4 * UNIT * fabs(expected));
        }
        kernels->rms_norm(r.x.data, x, weight, n, 1e-5f); /* in place */
        assert_memory_equal(x, y, r.y.size);
        row_free(&r);
    }
}
FOR_EACH_LEVEL(rms_norm_is_near_double)

static void check_layer_norm(const wr_kernels *kernels, int64_t n, bool biased) {
    row r = row_make(n, 0.5, 2);
    const float *x = r.x.data, *weight = r.weight.data, *y = r.y.data, *bias = r.bias.data;
    kernels->layer_norm(r.y.data, x, weight, biased ? bias : NULL, n, 1e-5f);
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double factor = 1 / sqrt(squares / (double)n + (double)1e-5f);
    for (int64_t i = 0; i < n; i++) {
        double expected = ((double)x[i] - mean) * factor * (double)weight[i];
        double size = (fabs((double)x[i]) + 2 * fabs(mean)) * factor * fabs((double)weight[i]);
        if (biased) {
            expected += (double)bias[i];
            size += fabs((double)bias[i]);
        }
        check_near("layer_norm", n, i, (double)y[i], expected, 6 * UNIT * size);
    }
    kernels->layer_norm(r.x.data, x, weight, biased ? bias : NULL, n, 1e-5f);
    assert_memory_equal(x, y, r.y.size);
    row_free(&r);
}

static void layer_norm_is_near_double_at(const wr_kernels *kernels) {
    for (int k = 0; k < COUNT(sizes); k++) {
        check_layer_norm(kernels, sizes[k], true);
        check_layer_norm(kernels, sizes[k], false);
    }
}
FOR_EACH_LEVEL(layer_norm_is_near_double)

/* ---- element by element ---------------------------------------------------------------------- */

static void sums_and_products_are_exact_at(const wr_kernels *kernels) {
    for (int k = 0; k < COUNT(sizes); k++) {
        const int64_t n = sizes[k];
        row r = row_make(n, 0, 1);
        const float *x = r.x.data, *weight = r.weight.data, *y = r.y.data;
        memcpy(r.y.data, weight, r.y.size);
        kernels->add(r.y.data, x, n);
        for (int64_t i = 0; i < n; i++) assert_true(y[i] == weight[i] + x[i]);
        memcpy(r.y.data, weight, r.y.size);
        kernels->multiply(r.y.data, x, n);
        for (int64_t i = 0; i < n; i++) assert_true(y[i] == weight[i] * x[i]);
        memcpy(r.y.data, weight, r.y.size);
        kernels->scale(r.y.data, 0.3f, n);
        for (int64_t i = 0; i < n; i++) assert_true(y[i] == weight[i] * 0.3f);
        row_free(&r);
    }
}
FOR_EACH_LEVEL(sums_and_products_are_exact)

/* exp magnifies the error of its argument u by u itself. Below the smallest normal float nothing is
 * promised but that it stays small. */
static void check_activation(const char *name, void (*kernel)(float *, const float *, int64_t),
                             int64_t n, double (*argument)(double)) {
    row r = row_make(n, 0, 8);
    float *x = r.x.data, *y = r.y.data;
    static const float special[] = {0, -0.0f, 100, -100, 1e30f, -1e30f, 87.5f, -87.5f, -89, 1e-30f};
    for (int i = 0; i < COUNT(special) && i < n; i++) x[n - 1 - i] = special[i];
    kernel(y, x, n);
    for (int64_t i = 0; i < n; i++) {
        double u = argument((double)x[i]), expected = (double)x[i] / (1 + exp(u));
        double relative = (8 + 5 * fmin(fabs(u), 90)) * UNIT;
        check_near(name, n, i, (double)y[i], expected, relative * fabs(expected) + 1e-36);
    }
    x[n / 2] = NAN;
    kernel(x, x, n);
    for (int64_t i = 0; i < n; i++) assert_true(i == n / 2 ? isnan(x[i]) : x[i] == y[i]);
    row_free(&r);
}

/* The same, of e^(-x^2/2). */
static void check_gelu(void (*kernel)(float *, const float *, int64_t), int64_t n) {
    row r = row_make(n, 0, 4);
    float *x = r.x.data, *y = r.y.data;
    static const float special[] = {0, -0.0f, 100, -100, 1e30f, -1e30f, 13.5f, -13.5f, 1e-30f};
    for (int i = 0; i < COUNT(special) && i < n; i++) x[n - 1 - i] = special[i];
    kernel(y, x, n);
    for (int64_t i = 0; i < n; i++) {
        double a = (double)x[i], expected = 0.5 * a * erfc(-a / sqrt(2));
        double relative = (16 + 5 * fmin(a * a / 2, 90)) * UNIT;
        check_near("gelu", n, i, (double)y[i], expected, relative * fabs(expected) + 1e-35);
    }
    x[n / 2] = NAN;
    kernel(x, x, n);
    for (int64_t i = 0; i < n; i++) assert_true(i == n / 2 ? isnan(x[i]) : x[i] == y[i]);
    row_free(&r);
}

static double silu_argument(double x) { return -x; }
static double gelu_argument(double x) {
    return -2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
}

static void activations_are_near_double_at(const wr_kernels *kernels) {
    for (int k = 0; k < COUNT(sizes); k++) {
        check_activation("silu", kernels->silu, sizes[k], silu_argument);
        check_activation("gelu_tanh", kernels->gelu_tanh, sizes[k], gelu_argument);
        check_gelu(kernels->gelu, sizes[k]);
    }
}
FOR_EACH_LEVEL(activations_are_near_double)

/* ---- softmax --------------------------------------------------------------------------------- */

static void check_softmax(const wr_kernels *kernels, int64_t n, double deviation) {
    row r = row_make(n, 5, deviation);
    float *x = r.x.data;
    if (n > 2) x[1] = -INFINITY; /* a token that is ruled out */
    double max = (double)-INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    check_near("log_sum_exp", n, 0, kernels->log_sum_exp(x, n), max + log(sum), 4 * UNIT);
    memcpy(r.y.data, x, r.y.size);
    kernels->softmax(r.y.data, n);
    for (int64_t i = 0; i < n; i++) {
        double below = max - (double)x[i], expected = exp(-below) / sum;
        double ours = (double)((float *)r.y.data)[i];
        if (isinf(below))
            assert_true(ours == 0);
        else
            check_near("softmax", n, i, ours, expected, (10 + 2 * below) * UNIT * expected + 1e-37);
    }
    x[n - 1] = NAN;
    kernels->softmax(x, n);
    for (int64_t i = 0; i < n; i++) assert_true(isnan(x[i]));
    row_free(&r);
}

static void softmax_is_near_double_at(const wr_kernels *kernels) {
    for (int k = 0; k < COUNT(sizes); k++) {
        check_softmax(kernels, sizes[k], 1);
        check_softmax(kernels, sizes[k], 40);
    }
}
FOR_EACH_LEVEL(softmax_is_near_double)

/* ---- rotation -------------------------------------------------------------------------------- */

static void check_rotation(const wr_kernels *kernels, int32_t heads, int32_t dim, int32_t rotary,
                           wr_rotary_pairing pairing) {
    float cos_sin[256];
    for (int32_t i = 0; i < rotary / 2; i++) {
        cos_sin[2 * i] = (float)cos(i * 0.7 + 1);
        cos_sin[2 * i + 1] = (float)sin(i * 0.7 + 1);
    }
    row r = row_make(heads * dim, 0, 1);
    const float *x = r.x.data, *y = r.y.data;
    kernels->rotate(r.y.data, x, cos_sin, heads, dim, rotary, pairing);
    for (int32_t h = 0; h < heads; h++) {
        for (int32_t i = 0; i < rotary / 2; i++) {
            int32_t first = h * dim + (pairing == WR_ROTARY_ADJACENT ? 2 * i : i);
            int32_t second = first + (pairing == WR_ROTARY_ADJACENT ? 1 : rotary / 2);
            double a = (double)x[first], b = (double)x[second];
            double c = (double)cos_sin[2 * i], s = (double)cos_sin[2 * i + 1];
            double size = 2 * UNIT * (fabs(a) + fabs(b));
            check_near("rotate", dim, i, (double)y[first], a * c - b * s, size);
            check_near("rotate", dim, i, (double)y[second], a * s + b * c, size);
        }
        for (int32_t i = rotary; i < dim; i++) assert_true(y[h * dim + i] == x[h * dim + i]);
    }
    kernels->rotate(r.x.data, x, cos_sin, heads, dim, rotary, pairing);
    assert_memory_equal(x, y, r.y.size);
    row_free(&r);
}

static void rotate_is_near_double_at(const wr_kernels *kernels) {
    static const int32_t shapes[][3] = {{1, 2, 2},    {3, 8, 8},     {2, 33, 32},
                                        {4, 64, 64},  {2, 80, 20},   {5, 48, 48},
                                        {1, 128, 32}, {3, 200, 100}, {2, 7, 0}};
    for (int i = 0; i < COUNT(shapes); i++) {
        check_rotation(kernels, shapes[i][0], shapes[i][1], shapes[i][2], WR_ROTARY_ADJACENT);
        check_rotation(kernels, shapes[i][0], shapes[i][1], shapes[i][2], WR_ROTARY_HALVES);
    }
}
FOR_EACH_LEVEL(rotate_is_near_double)

/* ---- cache rows ------------------------------------------------------------------------------ */

/* Numbers of every size, and in some runs what float32 has of odd ones. */
static void fill_odd(float *x, int32_t n, uint32_t round) {
    static const float odd[] = {0,     -0.0f,     1e-45f,   1e-40f, 6e-8f, 2.9e-8f, 65504,
                                65519, 65520,     1e10f,    3e38f,  NAN,   -NAN,    INFINITY,
                                8e6f,  -INFINITY, 6.09e-5f, 1e-5f,  1e-9f, -127,    127};
    for (int32_t i = 0; i < n; i++) {
        x[i] = (float)(ldexp(1, (int)(round % 40) - 20) * wr_random_normal(round, 9, (uint64_t)i));
        if (round % 3 == 2 && random_below(16) == 0) x[i] = odd[random_below(COUNT(odd))];
    }
}

static void kv_rows_are_scalars_at(const wr_kernels *kernels) {
    const wr_kernels *scalar = wr_kernels_get(WR_CPU_SCALAR);
    for (uint32_t round = 0; round < 600; round++) {
        const int32_t dim = sizes[round % COUNT(sizes)];
        const wr_kv_type type = (wr_kv_type)(round / COUNT(sizes) % WR_KV_TYPES);
        const size_t size = wr_kv_row_bytes(type, dim);
        float x[1000];
        guarded ours = fenced_make(size), expected = guarded_make(size, 3);
        guarded back = guarded_floats(dim, 4), expected_back = guarded_floats(dim, 8);
        fill_odd(x, dim, round);
        kernels->kv_write(type, ours.data, x, dim);
        scalar->kv_write(type, expected.data, x, dim);
        assert_memory_equal(ours.data, expected.data, size);
        kernels->kv_read(type, ours.data, back.data, dim);
        scalar->kv_read(type, ours.data, expected_back.data, dim);
        for (int32_t i = 0; i < dim; i++) { /* which of two NaNs a product gives is open */
            float a = ((float *)back.data)[i], b = ((float *)expected_back.data)[i];
            if (!isnan(a) || !isnan(b)) assert_memory_equal(&a, &b, sizeof a);
            if (isnan(x[i])) assert_true(isnan(a));
        }
        guarded_free(&ours);
        guarded_free(&expected);
        guarded_free(&back);
        guarded_free(&expected_back);
    }
}
FOR_EACH_LEVEL(kv_rows_are_scalars)

/* The key at a place is the row that kv_write makes, a page's width apart: it reads back the same,
 * and other places keep what they had. */
static void kv_keys_are_rows_at(const wr_kernels *kernels) {
    for (uint32_t round = 0; round < 300; round++) {
        const int32_t dim = sizes[round % COUNT(sizes)];
        const wr_kv_type type = (wr_kv_type)(round / COUNT(sizes) % WR_KV_TYPES);
        const size_t size = wr_kv_row_bytes(type, dim);
        float x[1000], expected[1000], back[1000];
        guarded alone = guarded_make(size, 3), keys = fenced_make(WR_PAGE_TOKENS * size);
        int32_t changed = 0;
        fill_odd(x, dim, round);
        kernels->kv_write(type, alone.data, x, dim);
        kernels->kv_read(type, alone.data, expected, dim);
        const int32_t place = (int32_t)random_below(WR_PAGE_TOKENS);
        memset(keys.data, 0xa5, WR_PAGE_TOKENS * size);
        kernels->kv_write_key(type, keys.data, place, x, dim);
        kernels->kv_read_key(type, keys.data, place, back, dim);
        for (int32_t i = 0; i < dim; i++) {
            if (!isnan(expected[i]) || !isnan(back[i]))
                assert_memory_equal(&expected[i], &back[i], sizeof(float));
        }
        for (size_t i = 0; i < WR_PAGE_TOKENS * size; i++) {
            bool other = ((uint8_t *)keys.data)[i] != 0xa5;
            size_t width = type == WR_KV_F32 ? 4 : type == WR_KV_F16 ? 2 : 1;
            const size_t scales = type == WR_KV_Q8_0 ? (size_t)(dim + 31) / 32 * 2 * 32 : 0;
            size_t at = i < scales ? i / 2 : (i - scales) / width;
            if (other) assert_int_equal(at % WR_PAGE_TOKENS, place);
            changed += other;
        }
        assert_true(changed > 0);
        guarded_free(&alone);
        guarded_free(&keys);
    }
}
FOR_EACH_LEVEL(kv_keys_are_rows)

/* f32: equal. f16: half a unit in the last place of a half. q8_0: half a step, and the rounding of
 * the scale to a half (2^-11 of 127 steps). */
static void kv_rows_keep_the_numbers_at(const wr_kernels *kernels) {
    static const double step[] = {0, 0x1p-11, (0.5 + 127 * 0x1p-11) / 127};
    for (int type = 0; type < WR_KV_TYPES; type++) {
        for (int k = 0; k < COUNT(sizes); k++) {
            const int32_t dim = sizes[k];
            float x[1000], back[1000];
            uint8_t bytes[4000];
            fill_normal(x, dim, 31, 1);
            kernels->kv_write((wr_kv_type)type, bytes, x, dim);
            kernels->kv_read((wr_kv_type)type, bytes, back, dim);
            for (int32_t i = 0; i < dim; i++) {
                double size = fabs((double)x[i]);
                for (int32_t j = i / 32 * 32; type == WR_KV_Q8_0 && j < i / 32 * 32 + 32; j++) {
                    if (j < dim) size = fmax(size, fabs((double)x[j]));
                }
                check_near("a cache row", dim, i, (double)back[i], (double)x[i], step[type] * size);
            }
        }
    }
}
FOR_EACH_LEVEL(kv_rows_keep_the_numbers)

/* Every half is read as at the scalar level (whose reading the golden weights prove), and written
 * back as it was; NaNs come out quiet. */
static void every_half_survives_at(const wr_kernels *kernels) {
    enum { HALVES = 65536 };
    uint16_t *halves = malloc(HALVES * sizeof *halves), *back = malloc(HALVES * sizeof *back);
    float *ours = malloc(HALVES * sizeof *ours), *expected = malloc(HALVES * sizeof *expected);
    for (int i = 0; i < HALVES; i++) halves[i] = (uint16_t)i;
    kernels->kv_read(WR_KV_F16, halves, ours, HALVES);
    wr_kernels_get(WR_CPU_SCALAR)->kv_read(WR_KV_F16, halves, expected, HALVES);
    assert_memory_equal(ours, expected, HALVES * sizeof *ours);
    kernels->kv_write(WR_KV_F16, back, ours, HALVES);
    for (int i = 0; i < HALVES; i++) {
        bool nan = (i & 0x7fff) > 0x7c00;
        assert_int_equal(back[i], nan ? (i | 0x0200) : i);
    }
    free(halves);
    free(back);
    free(ours);
    free(expected);
}
FOR_EACH_LEVEL(every_half_survives)

static void kv_rows_have_their_size(void **state) {
    (void)state;
    assert_int_equal(wr_kv_row_bytes(WR_KV_F32, 33), 132);
    assert_int_equal(wr_kv_row_bytes(WR_KV_F16, 33), 66);
    assert_int_equal(wr_kv_row_bytes(WR_KV_Q8_0, 33), 37);
    assert_int_equal(wr_kv_row_bytes(WR_KV_Q8_0, 128), 136);
    assert_string_equal(wr_kv_type_name(WR_KV_Q8_0), "q8_0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_is_near_double),
        cmocka_unit_test(layer_norm_is_near_double),
        cmocka_unit_test(sums_and_products_are_exact),
        cmocka_unit_test(activations_are_near_double),
        cmocka_unit_test(softmax_is_near_double),
        cmocka_unit_test(rotate_is_near_double),
        cmocka_unit_test(kv_rows_have_their_size),
        cmocka_unit_test(kv_rows_are_scalars),
        cmocka_unit_test(kv_keys_are_rows),
        cmocka_unit_test(kv_rows_keep_the_numbers),
        cmocka_unit_test(every_half_survives),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
