/*
 * Floats to the formats that models are written in.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/format.h"
#include "tensor/half.h"

bool wr_format_encodes(wr_format format) {
    return format == WR_F32 || format == WR_F16 || format == WR_BF16 || format == WR_Q8_0;
}

/* To nearest, ties to even. */
static uint16_t bf16_of_float(float x) {
    const uint32_t bits = float_bits(x);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* false where the format has no number near x. */
static bool encode_one(wr_format format, float x, uint8_t *to) {
    uint16_t bits;
    if (format == WR_F32) {
        memcpy(to, &x, sizeof x);
        return isfinite(x);
    }
    bits = format == WR_F16 ? half_of_float(x) : bf16_of_float(x);
    memcpy(to, &bits, sizeof bits);
    return isfinite(x) && isfinite(format == WR_F16 ? float_of_half(bits) : float_of_bf16(bits));
}

/* 32 numbers as a half scale and 32 codes. */
static bool encode_q8_0(const float *x, uint8_t *to) {
    float largest = 0;
    for (int i = 0; i < 32; i++) {
        if (!isfinite(x[i])) return false;
        largest = fmaxf(largest, fabsf(x[i]));
    }
    const uint16_t stored = half_of_float(largest / 127.0f);
    const float scale = float_of_half(stored);
    if (!isfinite(scale)) return false;
    memcpy(to, &stored, sizeof stored);
    for (int i = 0; i < 32; i++) {
        /* a scale that was rounded down, or to nothing, would take the largest beyond 127 */
        const float code = scale > 0 ? fminf(fmaxf(rintf(x[i] / scale), -127.0f), 127.0f) : 0;
        to[2 + i] = (uint8_t)(int8_t)code;
    }
    return true;
}

int64_t wr_format_encode_row(wr_format format, const float *x, int64_t weights, void *out) {
    const wr_format_info *info = wr_format_find((uint32_t)format);
    uint8_t *to = out;
    assert(info != NULL && wr_format_encodes(format) && weights % info->block == 0);
    for (int64_t i = 0; i < weights; i += info->block, to += info->bytes) {
        const bool fits = format == WR_Q8_0 ? encode_q8_0(x + i, to) : encode_one(format, x[i], to);
        if (!fits) return i;
    }
    return -1;
}
