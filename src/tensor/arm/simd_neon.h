/*
 * What the templates of float products need of NEON: a vector of 4 floats. As x86/simd_*.h.
 */
#ifndef WR_SIMD_NEON_H
#define WR_SIMD_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "tensor/lanes/inline.h"

enum { LANES = 4 };

typedef float32x4_t vec;

static inline vec v_zero(void) { return vdupq_n_f32(0); }
static inline vec v_all(float a) { return vdupq_n_f32(a); }
static inline vec v_load(const void *p) { return vld1q_f32(p); }
static inline void v_store(void *p, vec a) { vst1q_f32(p, a); }
static inline vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); } /* ab + c */

static inline vec v_load_part(const void *p, int64_t n) {
    float all[LANES] = {0};
    memcpy(all, p, (size_t)n * sizeof *all);
    return v_load(all);
}
static inline void v_store_part(void *p, vec a, int64_t n) {
    float all[LANES];
    v_store(all, a);
    memcpy(p, all, (size_t)n * sizeof *all);
}

/* 4 halves or bfloat16s as floats. */
static inline vec v_load_half(const void *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline vec v_load_half_part(const void *p, int64_t n) {
    uint16_t all[LANES] = {0};
    memcpy(all, p, (size_t)n * sizeof *all);
    return v_load_half(all);
}
static inline vec v_load_bf16(const void *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline vec v_load_bf16_part(const void *p, int64_t n) {
    uint16_t all[LANES] = {0};
    memcpy(all, p, (size_t)n * sizeof *all);
    return v_load_bf16(all);
}

/* The lower, or the upper, bfloat16 of each lane. */
static inline vec v_bf16_low(vec pair) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pair), 16));
}
static inline vec v_bf16_high(vec pair) {
    const uint32x4_t upper = vdupq_n_u32(0xffff0000u);
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pair), upper));
}

/* Lane j of vector i becomes lane i of vector j. */
INLINE void v_transpose(vec r[LANES]) {
    const float32x4x2_t ab = vtrnq_f32(r[0], r[1]), cd = vtrnq_f32(r[2], r[3]);
    r[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    r[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    r[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    r[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}

#endif
