/*
 * A vector of numbers, in gcc's vector extensions: the same source for float and double and for
 * every instruction set. WR_LANES_BYTES is the width of the level's registers.
 */
#ifndef WR_TRAIN_SIMD_H
#define WR_TRAIN_SIMD_H

#include <stdint.h>
#include <string.h>

#include "tensor/lanes/inline.h"
#include "train/kernels/real.h"

#ifdef WR_TRAIN_DOUBLE
typedef int64_t integer;
#else
typedef int32_t integer;
#endif

enum { LANES = WR_LANES_BYTES / sizeof(real) };

typedef real lanes __attribute__((vector_size(WR_LANES_BYTES)));
typedef integer integers __attribute__((vector_size(WR_LANES_BYTES)));
typedef real loose __attribute__((vector_size(WR_LANES_BYTES), aligned(sizeof(real)), may_alias));

INLINE lanes load(const real *x) { return *(const loose *)x; }
INLINE void store(real *x, lanes v) { *(loose *)x = v; }
INLINE lanes all(real x) { return x - (lanes){0}; }

/* The first `count` lanes; the others are 0, or left alone. */
INLINE lanes load_some(const real *x, int64_t count) {
    real part[LANES] = {0};
    memcpy(part, x, (size_t)count * sizeof(real));
    return load(part);
}
INLINE void store_some(real *x, lanes v, int64_t count) {
    real part[LANES];
    store(part, v);
    memcpy(x, part, (size_t)count * sizeof(real));
}

INLINE lanes select(integers mask, lanes yes, lanes no) {
    return (lanes)((mask & (integers)yes) | (~mask & (integers)no));
}
/* NaN in `a` stays. */
INLINE lanes at_most(lanes a, lanes limit) { return select(a > limit, limit, a); }
INLINE lanes at_least(lanes a, lanes limit) { return select(a < limit, limit, a); }

/* 0, 1, 2, ... */
INLINE integers lane_numbers(void) {
    integers number;
    for (int i = 0; i < (int)LANES; i++) number[i] = i;
    return number;
}

/* (a0 + a_half) and so on: always in this order. */
INLINE real sum_of(lanes v) {
    real part[LANES];
    store(part, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}
INLINE real largest_of(lanes v) {
    real part[LANES];
    store(part, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            part[i] = part[i + half] > part[i] ? part[i + half] : part[i];
    return part[0];
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), r in [-ln 2 / 2, ln 2 / 2]: Taylor's series, as long as
 * the type is precise. n is read off the low bits of n + 1.5 * 2^mantissa. Below the range the
 * result is the smallest normal number; NaN stays NaN. */
#ifdef WR_TRAIN_DOUBLE
enum { EXP_TERMS = 14, MANTISSA = 52, EXPONENT_BIAS = 1023 };
static const real exp_low = -708.0, exp_high = 709.0;
static const real round_shift = 0x1.8p52;
static const real ln2_high = 0x1.62e42fefa0000p-1, ln2_low = 0x1.cf79abc9e3b39p-40;
#else
enum { EXP_TERMS = 8, MANTISSA = 23, EXPONENT_BIAS = 127 };
static const real exp_low = -87.0f, exp_high = 88.0f;
static const real round_shift = 0x1.8p23f;
static const real ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
#endif
static const real log2_e = (real)1.44269504088896340736;

INLINE lanes exp_of(lanes x) {
    static const double inverse_factorial[14] = {1.0,
                                                 1.0,
                                                 1.0 / 2,
                                                 1.0 / 6,
                                                 1.0 / 24,
                                                 1.0 / 120,
                                                 1.0 / 720,
                                                 1.0 / 5040,
                                                 1.0 / 40320,
                                                 1.0 / 362880,
                                                 1.0 / 3628800,
                                                 1.0 / 39916800,
                                                 1.0 / 479001600,
                                                 1.0 / 6227020800};
    x = at_least(at_most(x, all(exp_high)), all(exp_low));
    lanes shifted = x * log2_e + round_shift;
    lanes n = shifted - round_shift;
    lanes r = (x - n * ln2_high) - n * ln2_low;
    lanes y = all((real)inverse_factorial[EXP_TERMS - 1]);
    UNROLLED_16
    for (int i = EXP_TERMS - 2; i >= 0; i--) y = y * r + (real)inverse_factorial[i];
    integers power = ((integers)shifted << MANTISSA) + ((integer)EXPONENT_BIAS << MANTISSA);
    return y * (lanes)power;
}

#endif
