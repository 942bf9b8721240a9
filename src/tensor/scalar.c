/*
 * The scalar kernels: plain, complete, and the specification of every other table.
 *
 * Attention is in scalar_attend.c.
 */
#include "tensor/scalar.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/decode_blocks.h"
#include "tensor/exact_rows.h"

/* ---- decode ---------------------------------------------------------------------------------- */

static void decode(wr_format format, const void *blocks, float *out, int64_t weights) {
    const uint8_t *b = blocks;
    switch (format) {
    case WR_F32:
        memcpy(out, b, (size_t)weights * sizeof *out);
        return;
    case WR_F16:
        for (int64_t i = 0; i < weights; i++) out[i] = float_of_half(load_u16(b + 2 * i));
        return;
    case WR_BF16:
        for (int64_t i = 0; i < weights; i++) out[i] = float_of_bf16(load_u16(b + 2 * i));
        return;
#define ROW(name, decoder, block, bytes)                                                           \
    case WR_##name:                                                                                \
        for (int64_t i = 0; i < weights; i += block, b += bytes) decoder(b, out + i);              \
        return;
        WR_BLOCK_DECODERS(ROW)
#undef ROW
    }
    assert(false && "a format");
}

/* ---- norms: the sums in double precision ----------------------------------------------------- */

static void rms_norm(float *y, const float *x, const float *weight, int64_t n, float epsilon) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    const float factor = (float)(1.0 / sqrt(squares / (double)n + (double)epsilon));
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor * weight[i];
}

static void layer_norm(float *y, const float *x, const float *weight, const float *bias, int64_t n,
                       float epsilon) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double factor = 1.0 / sqrt(squares / (double)n + (double)epsilon);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)(((double)x[i] - mean) * factor) * weight[i] + (bias != NULL ? bias[i] : 0);
    }
}

/* ---- element by element ---------------------------------------------------------------------- */

static void add(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static void multiply(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] *= x[i];
}

static void scale(float *y, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] *= factor;
}

/* x / (1 + exp(-x)) */
static void silu(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / (1.0f + expf(-x[i]));
}

/* x/2 erfc(-x / sqrt(2)) */
static void gelu(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double a = (double)x[i];
        y[i] = (float)(0.5 * a * erfc(-0.70710678118654752440 * a));
    }
}

/* x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3), which is x / (1 + exp(-2u)) */
static void gelu_tanh(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float u = WR_GELU_ROOT * x[i] * (1.0f + WR_GELU_CUBE * x[i] * x[i]);
        y[i] = x[i] / (1.0f + expf(-2.0f * u));
    }
}

/* ---- softmax --------------------------------------------------------------------------------- */

static float largest(const float *x, int64_t n) {
    float max = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (!(x[i] <= max)) max = x[i]; /* a NaN wins, and stays unless a larger number follows */
    }
    return max;
}

static void softmax(float *x, int64_t n) {
    const float max = largest(x, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        sum += (double)x[i];
    }
    const float factor = (float)(1.0 / sum);
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static double log_sum_exp(const float *x, int64_t n) {
    const double max = (double)largest(x, n);
    if (isinf(max) && max < 0) return max; /* not NaN: exp of all of them is 0 */
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

void wr_scalar_kv_read(wr_kv_type type, const void *row, float *x, int32_t dim) {
    kv_read(type, row, x, dim);
}

void wr_scalar_kv_read_key(wr_kv_type type, const void *keys, int32_t place, float *x,
                           int32_t dim) {
    kv_read_key(type, keys, place, x, dim);
}

const wr_kernels wr_kernels_scalar = {
    .name = "scalar",
    .level = WR_CPU_SCALAR,
    .decode = decode,
    .input_of = wr_scalar_input_of,
    .prepare = wr_scalar_prepare,
    .product = wr_scalar_product,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .multiply = multiply,
    .scale = scale,
    .silu = silu,
    .gelu = gelu,
    .gelu_tanh = gelu_tanh,
    .softmax = softmax,
    .log_sum_exp = log_sum_exp,
    .rotate = rotate,
    .kv_write = kv_write,
    .kv_read = kv_read,
    .kv_write_key = kv_write_key,
    .kv_read_key = kv_read_key,
    .attend = wr_scalar_attend,
};
