/*
 * What the templates of integer products need of NEON: as x86/bytes_simd_avx512.h, every vector in
 * four quarters of 4 rows.
 */
#ifndef WR_BYTES_SIMD_NEON_H
#define WR_BYTES_SIMD_NEON_H

#include <arm_neon.h>
#include <stdint.h>

#include "tensor/lanes/inline.h"

/* Rows 0-3, 4-7, 8-11, 12-15. */
typedef struct codes {
    uint8x16_t a, b, c, d;
} codes;
typedef struct sums {
    int32x4_t a, b, c, d;
} sums;
typedef struct floats {
    float32x4_t a, b, c, d;
} floats;
typedef int8x16_t words;

/* f of each quarter of x, or of x and y. */
#define QUARTERS(type, f, x)                                                                       \
    (type) { f((x).a), f((x).b), f((x).c), f((x).d) }
#define QUARTERS_2(type, f, x, y)                                                                  \
    (type) { f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d) }
#define QUARTERS_ALL(type, f, x, all)                                                              \
    (type) { f((x).a, all), f((x).b, all), f((x).c, all), f((x).d, all) }

INLINE codes c_load(const void *p) {
    const uint8_t *from = p;
    return (codes){vld1q_u8(from), vld1q_u8(from + 16), vld1q_u8(from + 32), vld1q_u8(from + 48)};
}
INLINE void c_store(void *p, codes c) {
    uint8_t *to = p;
    vst1q_u8(to, c.a);
    vst1q_u8(to + 16, c.b);
    vst1q_u8(to + 32, c.c);
    vst1q_u8(to + 48, c.d);
}
INLINE codes c_and(codes c, int mask) {
    return QUARTERS_ALL(codes, vandq_u8, c, vdupq_n_u8((uint8_t)mask));
}
INLINE codes c_or(codes x, codes y) { return QUARTERS_2(codes, vorrq_u8, x, y); }
INLINE codes c_add(codes c, int n) {
    return QUARTERS_ALL(codes, vaddq_u8, c, vdupq_n_u8((uint8_t)n));
}
INLINE codes c_flip(codes c) { return QUARTERS_ALL(codes, veorq_u8, c, vdupq_n_u8(128)); }
INLINE codes c_shift_by(codes c, int64_t n) {
    return QUARTERS_ALL(codes, vshlq_u8, c, vdupq_n_s8((int8_t)-n));
}
INLINE codes c_shift(codes c, int n) { return n == 0 ? c : c_shift_by(c, n); }
INLINE codes c_bits(codes c, int n, int mask) { return c_and(c_shift(c, n), mask); }
INLINE codes c_lookup(const uint8_t table[16], codes c) {
    const uint8x16_t t = vld1q_u8(table);
    return (codes){vqtbl1q_u8(t, c.a), vqtbl1q_u8(t, c.b), vqtbl1q_u8(t, c.c), vqtbl1q_u8(t, c.d)};
}
/* c + n where the mask's bit is set, two bytes of the mask */
INLINE uint8x16_t add_where(uint8x16_t c, const uint8_t *mask, int n) {
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t spread = vcombine_u8(vdup_n_u8(mask[0]), vdup_n_u8(mask[1]));
    const uint8x16_t set = vtstq_u8(spread, vld1q_u8(bits));
    return vaddq_u8(c, vandq_u8(set, vdupq_n_u8((uint8_t)n)));
}
INLINE codes c_add_where(codes c, const uint8_t *mask, int n) {
    return (codes){add_where(c.a, mask, n), add_where(c.b, mask + 2, n),
                   add_where(c.c, mask + 4, n), add_where(c.d, mask + 6, n)};
}

INLINE int32x4_t all_of(const void *number) {
    int32_t word;
    __builtin_memcpy(&word, number, 4);
    return vdupq_n_s32(word);
}
INLINE words c_words(const void *q) { return vreinterpretq_s8_s32(all_of(q)); }

INLINE sums i_zero(void) {
    const int32x4_t zero = vdupq_n_s32(0);
    return (sums){zero, zero, zero, zero};
}
INLINE sums i_all(const void *number) {
    const int32x4_t all = all_of(number);
    return (sums){all, all, all, all};
}
INLINE sums i_load(const void *p) {
    const int32_t *from = p;
    return (sums){vld1q_s32(from), vld1q_s32(from + 4), vld1q_s32(from + 8), vld1q_s32(from + 12)};
}
INLINE void i_keep(void *p, sums x) {
    int32_t *to = p;
    vst1q_s32(to, x.a);
    vst1q_s32(to + 4, x.b);
    vst1q_s32(to + 8, x.c);
    vst1q_s32(to + 12, x.d);
}
INLINE sums i_add(sums x, sums y) { return QUARTERS_2(sums, vaddq_s32, x, y); }
INLINE sums i_mul(sums x, sums y) { return QUARTERS_2(sums, vmulq_s32, x, y); }
INLINE sums i_shift(sums x, int n) { return QUARTERS_ALL(sums, vshlq_s32, x, vdupq_n_s32(-n)); }

INLINE floats f_zero(void) {
    const float32x4_t zero = vdupq_n_f32(0);
    return (floats){zero, zero, zero, zero};
}
INLINE floats f_all(const void *number) {
    const float32x4_t all = vreinterpretq_f32_s32(all_of(number));
    return (floats){all, all, all, all};
}
INLINE floats f_load(const void *p) {
    const float *from = p;
    return (floats){vld1q_f32(from), vld1q_f32(from + 4), vld1q_f32(from + 8),
                    vld1q_f32(from + 12)};
}
INLINE void f_keep(void *p, floats x) {
    float *to = p;
    vst1q_f32(to, x.a);
    vst1q_f32(to + 4, x.b);
    vst1q_f32(to + 8, x.c);
    vst1q_f32(to + 12, x.d);
}
INLINE void f_store(float *p, floats x, int n) {
    if (n >= 16) {
        f_keep(p, x);
        return;
    }
    float all[16];
    f_keep(all, x);
    for (int i = 0; i < n; i++) p[i] = all[i];
}
INLINE floats f_mul(floats x, floats y) { return QUARTERS_2(floats, vmulq_f32, x, y); }
INLINE floats f_fma(floats x, floats y, floats z) {
    return (floats){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                    vfmaq_f32(z.d, x.d, y.d)};
}
INLINE floats f_negative(floats x) { return QUARTERS(floats, vnegq_f32, x); }
INLINE floats f_of_sums(sums x) { return QUARTERS(floats, vcvtq_f32_s32, x); }
INLINE floats f_halves(const void *p) {
    const uint16x8_t low = vld1q_u16(p), high = vld1q_u16((const uint16_t *)p + 8);
    return (floats){vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(low))),
                    vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(low))),
                    vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(high))),
                    vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(high)))};
}

/* 16 bytes, each a number of 32 bits. */
typedef struct widened {
    uint32x4_t a, b, c, d;
} widened;
INLINE widened widen_bytes(uint8x16_t bytes) {
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    return (widened){vmovl_u16(vget_low_u16(low)), vmovl_u16(vget_high_u16(low)),
                     vmovl_u16(vget_low_u16(high)), vmovl_u16(vget_high_u16(high))};
}
INLINE sums i_bytes(const void *p, int shift, int mask) {
    uint8x16_t bytes = vshlq_u8(vld1q_u8(p), vdupq_n_s8((int8_t)-shift));
    const widened wide = widen_bytes(vandq_u8(bytes, vdupq_n_u8((uint8_t)mask)));
    return QUARTERS(sums, vreinterpretq_s32_u32, wide);
}
INLINE sums i_signed_bytes(const void *p) {
    const int8x16_t bytes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    return (sums){vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)),
                  vmovl_s16(vget_low_s16(high)), vmovl_s16(vget_high_s16(high))};
}
/* 2^(e - 128): mxfp4_scale */
INLINE float32x4_t power_of(uint32x4_t e) {
    const uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    const uint32x4_t usual = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, usual));
}
INLINE floats f_powers(const void *p) {
    const widened wide = widen_bytes(vld1q_u8(p));
    return QUARTERS(floats, power_of, wide);
}

#endif
