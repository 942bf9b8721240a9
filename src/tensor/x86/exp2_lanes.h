/*
 * Powers of two: what attention weighs with, in streams and in training. A template over the vector
 * of simd_*.h.
 */
#ifndef WR_EXP2_LANES_H
#define WR_EXP2_LANES_H

#define LOG2_OF_E 1.44269504088896341f
#define LN_OF_2 0.693147180559945309f

/* 2^x for x below 128 as 2^floor(x) times the minimax polynomial of 2^r on [0, 1] (relative
 * error 7.5e-8 before rounding, as much as a rounding). 0 for minus infinity, NaN for NaN. */
static inline vec v_exp2(vec x) {
    const vec r = v_fraction(x);
    vec p = v_all(0x1.ec320ap-10f);
    p = v_fma(p, r, v_all(0x1.26900cp-7f));
    p = v_fma(p, r, v_all(0x1.c95446p-5f));
    p = v_fma(p, r, v_all(0x1.ebd5a8p-3f));
    p = v_fma(p, r, v_all(0x1.62e4f6p-1f));
    p = v_fma(p, r, v_all(0x1.fffffep-1f));
    return v_scale_by_floor(p, x);
}

#endif
