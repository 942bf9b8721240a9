/*
 * Unaligned little-endian fields and the 16-bit floats: binary16 ("half") and bfloat16.
 *
 * Conversions are exact or rounded to nearest, ties to even, and NaNs come out quiet with the upper
 * bits of their payload, as the processor's own instructions have it: the bits are the same
 * whichever does the work.
 */
#ifndef WR_HALF_H
#define WR_HALF_H

#include <stdint.h>
#include <string.h>

#ifdef __F16C__
#include <immintrin.h>
#endif

static inline uint16_t load_u16(const void *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float float_of_bf16(uint16_t b) { return float_of_bits((uint32_t)b << 16); }

#ifdef __F16C__

static inline float float_of_half(uint16_t h) { return _cvtsh_ss(h); }
static inline uint16_t half_of_float(float f) { return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT); }

#else

static inline float float_of_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t rest = h & 0x7fffu;
    if (rest > 0x7c00u) return float_of_bits(sign | 0x7fc00000u | rest << 13);
    if (rest == 0x7c00u) return float_of_bits(sign | 0x7f800000u);
    /* The exponents' biases differ by 112; a product by a power of two also sets subnormals
     * right. */
    return float_of_bits(sign | float_bits(float_of_bits(rest << 13) * 0x1p112f));
}

static inline uint16_t half_of_float(float f) {
    uint32_t sign = float_bits(f) >> 16 & 0x8000u;
    uint32_t rest = float_bits(f) & 0x7fffffffu;
    if (rest > 0x7f800000u) {
        rest = 0x7e00u | (rest >> 13 & 0x3ffu);
    } else if (rest >= 0x477ff000u) { /* 65520: halfway between the largest half and the next */
        rest = 0x7c00u;
    } else if (rest < 0x38800000u) { /* below 2^-14: a float in [0.5, 1) has the same last place */
        rest = float_bits(float_of_bits(rest) + 0.5f) - float_bits(0.5f);
    } else {
        rest = (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13;
    }
    return (uint16_t)(sign | rest);
}

#endif

#endif
