/*
 * Norms, activations, softmax. A template over the vector of simd_*.h.
 */
#ifndef WR_ROWS_LANES_H
#define WR_ROWS_LANES_H

#include <math.h>

#include "tensor/exact_rows.h"
#include "tensor/scalar.h"

/*
 * e^x = 2^n e^r, n whole and |r| <= ln(2)/2, e^r by its series to r^7 (the rest is below 6e-9).
 * Within 2 units in the last place; 0 for -infinity, infinity above 88.73, NaN for NaN: v_min and
 * v_max give their second operand then. ln 2 is in two parts, of which the first has few bits.
 */
static inline vec v_exp(vec x) {
    x = v_max(v_all(-150.0f), v_min(v_all(130.0f), x));
    const vec n = v_round(v_mul(x, v_all(1.44269504088896341f)));
    vec r = v_fma(n, v_all(-0.693359375f), x);
    r = v_fma(n, v_all(2.12194440e-4f), r);
    vec series = v_all(1.0f / 5040);
    series = v_fma(series, r, v_all(1.0f / 720));
    series = v_fma(series, r, v_all(1.0f / 120));
    series = v_fma(series, r, v_all(1.0f / 24));
    series = v_fma(series, r, v_all(1.0f / 6));
    series = v_fma(series, r, v_all(0.5f));
    series = v_fma(v_mul(r, r), series, r);
    return v_scale_by_power(v_add(series, v_all(1)), n);
}

static inline vec load_up_to(const float *p, int64_t left) {
    return left >= LANES ? v_load(p) : v_load_part(p, left);
}
static inline void store_up_to(float *p, vec a, int64_t left) {
    if (left >= LANES)
        v_store(p, a);
    else
        v_store_part(p, a, left);
}

static void rms_norm(float *y, const float *x, const float *weight, int64_t n, float epsilon) {
    wide squares = wide_zero();
    for (int64_t i = 0; i < n; i += LANES)
        squares = wide_add_square(squares, load_up_to(x + i, n - i));
    const double mean = wide_sum(squares) / (double)n;
    const vec factor = v_all((float)(1.0 / sqrt(mean + (double)epsilon)));
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = v_mul(load_up_to(x + i, n - i), factor);
        store_up_to(y + i, v_mul(a, load_up_to(weight + i, n - i)), n - i);
    }
}

static void layer_norm(float *y, const float *x, const float *weight, const float *bias, int64_t n,
                       float epsilon) {
    wide sum = wide_zero(), squares = wide_zero();
    for (int64_t i = 0; i < n; i += LANES) sum = wide_add(sum, load_up_to(x + i, n - i));
    const vec mean = v_all((float)(wide_sum(sum) / (double)n));
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = v_sub(load_up_to(x + i, n - i), mean);
        if (n - i < LANES) { /* lanes beyond the row would add the mean's square */
            float kept[LANES];
            v_store(kept, a);
            a = v_load_part(kept, n - i);
        }
        squares = wide_add_square(squares, a);
    }
    const double variance = wide_sum(squares) / (double)n;
    const vec factor = v_all((float)(1.0 / sqrt(variance + (double)epsilon)));
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = v_mul(v_sub(load_up_to(x + i, n - i), mean), factor);
        a = v_mul(a, load_up_to(weight + i, n - i));
        if (bias != NULL) a = v_add(a, load_up_to(bias + i, n - i));
        store_up_to(y + i, a, n - i);
    }
}

static void add(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        store_up_to(y + i, v_add(load_up_to(y + i, n - i), load_up_to(x + i, n - i)), n - i);
    }
}

static void multiply(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        store_up_to(y + i, v_mul(load_up_to(y + i, n - i), load_up_to(x + i, n - i)), n - i);
    }
}

static void scale(float *y, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        store_up_to(y + i, v_mul(load_up_to(y + i, n - i), v_all(factor)), n - i);
}

/* x / (1 + exp(u)) */
static inline vec gated(vec x, vec u) { return v_div(x, v_add(v_all(1), v_exp(u))); }

/* u = -x */
static void silu(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = load_up_to(x + i, n - i);
        store_up_to(y + i, gated(a, v_sub(v_zero(), a)), n - i);
    }
}

/*
 * The share of a normal distribution beyond |x|: e^(-x^2/2) times a series in 1 / (1 + 0.3125 |x|),
 * fitted here by least squares, reweighted until its largest relative error is 6e-9 (0 <= x <= 14;
 * beyond, e^ is 0).
 */
static inline vec v_beyond(vec size) {
    const vec t = v_div(v_all(1), v_fma(v_all(0.3125f), size, v_all(1)));
    vec series = v_all(-0.014674455858767033f);
    series = v_fma(series, t, v_all(0.06642786413431168f));
    series = v_fma(series, t, v_all(-0.0882236436009407f));
    series = v_fma(series, t, v_all(-0.016545116901397705f));
    series = v_fma(series, t, v_all(0.08080872893333435f));
    series = v_fma(series, t, v_all(0.004910231102257967f));
    series = v_fma(series, t, v_all(0.11066485196352005f));
    series = v_fma(series, t, v_all(0.10637087374925613f));
    series = v_fma(series, t, v_all(0.12568089365959167f));
    series = v_fma(series, t, v_all(0.12457606941461563f));
    series = v_fma(series, t, v_all(3.697193733387394e-06f));
    return v_mul(series, v_exp(v_mul(v_mul(v_all(-0.5f), size), size)));
}

/* max(x, 0) - |x| beyond(|x|) */
static void gelu(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        const vec a = load_up_to(x + i, n - i);
        const vec size = v_max(a, v_sub(v_zero(), a));
        const vec beyond = v_mul(size, v_beyond(size));
        store_up_to(y + i, v_sub(v_max(a, v_zero()), beyond), n - i);
    }
}

/* u = -2 sqrt(2/pi) (x + 0.044715 x^3) */
static void gelu_tanh(float *y, const float *x, int64_t n) {
    const vec root = v_all(-2 * WR_GELU_ROOT), cube = v_all(WR_GELU_CUBE);
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = load_up_to(x + i, n - i);
        vec u = v_mul(v_mul(root, a), v_fma(v_mul(cube, a), a, v_all(1)));
        store_up_to(y + i, gated(a, u), n - i);
    }
}

/* The largest of x; a NaN may be passed over. */
static inline float largest(const float *x, int64_t n) {
    vec max = v_all(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) max = v_max(max, v_load(x + i));
    float result = v_largest(max);
    for (; i < n; i++) result = x[i] > result ? x[i] : result;
    return result;
}

/* The terms as floats, their sum in double precision. */
static double log_sum_exp(const float *x, int64_t n) {
    const float max = largest(x, n);
    wide sum = wide_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = v_exp(v_sub(load_up_to(x + i, n - i), v_all(max)));
        if (n - i < LANES) { /* lanes beyond the row would add their own */
            float kept[LANES];
            v_store(kept, a);
            a = v_load_part(kept, n - i);
        }
        sum = wide_add(sum, a);
    }
    return (double)max + log(wide_sum(sum));
}

static void softmax(float *x, int64_t n) {
    const vec max = v_all(largest(x, n));
    wide sum = wide_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        vec a = v_exp(v_sub(load_up_to(x + i, n - i), max));
        store_up_to(x + i, a, n - i);
        sum = wide_add(sum, n - i < LANES ? v_load_part(x + i, n - i) : a);
    }
    scale(x, (float)(1.0 / wide_sum(sum)), n);
}

#endif
