/*
 * The nearest points of a grid: n numbers x (n = 16 or 32) as scale * q + offset with whole q from
 * low to high.
 *
 *     given q, least squares:     scale = (n S_xq - S_x S_q) / (n S_qq - S_q^2)
 *                                 offset = (S_x - scale S_q) / n;   without offset S_xq / S_qq
 *     given scale and offset:     q = round((x - offset) / scale), within the grid
 *
 * Each step can only lessen the error, so the two in turn end in some minimum; a few beginnings,
 * coarser and finer grids, find a good one.
 */
#ifndef WR_QUANTISE_FIT_H
#define WR_QUANTISE_FIT_H

#include <stdint.h>

/* Four lanes, which every processor has; at any address of floats. */
typedef float f4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i4 __attribute__((vector_size(16), aligned(4), may_alias));

typedef struct grid {
    int n;
    float low, high;
} grid;

typedef struct fit {
    float scale, offset;
    float error; /* sum of squared differences */
} fit;

static inline f4 f4_of(float x) { return (f4){x, x, x, x}; }

static inline f4 f4_pick(i4 mask, f4 a, f4 b) { return (f4)((mask & (i4)a) | (~mask & (i4)b)); }

static inline f4 f4_bound(f4 x, f4 low, f4 high) {
    x = f4_pick(x < low, low, x);
    return f4_pick(x > high, high, x);
}

/* To the nearest, ties to even: beyond 2^23 a float has no fraction. |x| < 2^22. */
static inline f4 f4_round(f4 x) {
    const f4 large = f4_of(12582912.0f);
    return (x + large) - large;
}

static inline float f4_sum(f4 x) { return (x[0] + x[2]) + (x[1] + x[3]); }

static inline f4 f4_at(const float *x) { return *(const f4 *)x; }

/* The codes of x under a scale, as floats. The quotient is bounded before it is rounded. */
static inline f4 codes_of(const grid *g, f4 x, float inverse, float offset) {
    return f4_round(f4_bound((x - f4_of(offset)) * f4_of(inverse), f4_of(g->low), f4_of(g->high)));
}

static inline float error_of(const grid *g, const float *x, float scale, float offset) {
    const float inverse = scale != 0 ? 1 / scale : 0;
    f4 sum = {0};
    for (int i = 0; i < g->n; i += 4) {
        const f4 off = f4_at(x + i) -
                       (codes_of(g, f4_at(x + i), inverse, offset) * f4_of(scale) + f4_of(offset));
        sum += off * off;
    }
    return f4_sum(sum);
}

typedef struct sums {
    float q, qq, xq;
} sums;

static inline sums sums_of(const grid *g, const float *x, float inverse, float offset) {
    f4 q = {0}, qq = {0}, xq = {0};
    for (int i = 0; i < g->n; i += 4) {
        const f4 code = codes_of(g, f4_at(x + i), inverse, offset);
        q += code;
        qq += code * code;
        xq += code * f4_at(x + i);
    }
    return (sums){f4_sum(q), f4_sum(qq), f4_sum(xq)};
}

/* The best for x ~ scale * q, with a scale of either sign. */
fit wr_fit_scale(const grid *g, const float *x);
/* The best for x ~ scale * q + offset; `below`: the offset may not be positive. */
fit wr_fit_offset(const grid *g, const float *x, int below);

#endif
