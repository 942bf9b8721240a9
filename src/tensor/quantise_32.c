/*
 * Blocks of 32: one scale, a half, and in some formats an offset, another. The fit is of floats;
 * what it gives is rounded to halves, and the codes follow from those.
 */
#include <math.h>
#include <string.h>

#include "tensor/half.h"
#include "tensor/quantise.h"
#include "tensor/quantise_fit.h"

enum { BLOCK = 32 };

static void store_half(uint16_t half, uint8_t *out) { memcpy(out, &half, sizeof half); }

static void codes_at(const grid *g, const float *x, float scale, float offset, int32_t *codes) {
    for (int i = 0; i < g->n; i += 4) {
        const f4 q = codes_of(g, f4_at(x + i), scale != 0 ? 1 / scale : 0, offset);
        for (int j = 0; j < 4; j++) codes[i + j] = (int32_t)q[j];
    }
}

/* 16 bytes of low halves, and where there are fifth bits, those. */
static void store_codes(const int32_t *codes, uint8_t *fifth, uint8_t *out) {
    uint32_t bits = 0;
    for (int i = 0; i < BLOCK / 2; i++)
        out[i] = (uint8_t)((codes[i] & 15) | (codes[i + BLOCK / 2] & 15) << 4);
    for (int i = 0; i < BLOCK; i++) bits |= (uint32_t)(codes[i] >> 4 & 1) << i;
    if (fifth != NULL) memcpy(fifth, &bits, sizeof bits);
}

/* A scale, among the halves next to it, that leaves the least. */
static uint16_t best_half(const grid *g, const float *x, float scale) {
    const uint16_t middle = half_of_float(scale);
    uint16_t best = middle;
    float least = error_of(g, x, float_of_half(middle), 0);
    for (int step = -2; step <= 2; step++) {
        const uint16_t tried = (uint16_t)(middle + step);
        const float value = float_of_half(tried);
        if (!isfinite(value) || (value < 0) != (scale < 0)) continue;
        const float error = error_of(g, x, value, 0);
        if (error < least) {
            least = error;
            best = tried;
        }
    }
    return best;
}

static void quantise_scale(const float *x, int bits, uint8_t *out) {
    const float reach = (float)(1 << (bits - 1));
    const grid g = {.n = BLOCK, .low = -reach, .high = reach - 1};
    int32_t codes[BLOCK];
    const uint16_t half = best_half(&g, x, wr_fit_scale(&g, x).scale);
    codes_at(&g, x, float_of_half(half), 0, codes);
    for (int i = 0; i < BLOCK; i++) codes[i] += 1 << (bits - 1);
    store_half(half, out);
    store_codes(codes, bits == 5 ? out + 2 : NULL, out + (bits == 5 ? 6 : 2));
}

void wr_quantise_q4_0(const float *x, uint8_t *out) { quantise_scale(x, 4, out); }
void wr_quantise_q5_0(const float *x, uint8_t *out) { quantise_scale(x, 5, out); }

static void quantise_offset(const float *x, int bits, uint8_t *out) {
    const grid g = {.n = BLOCK, .low = 0, .high = (float)((1 << bits) - 1)};
    int32_t codes[BLOCK];
    const fit best = wr_fit_offset(&g, x, 0);
    const uint16_t scale = half_of_float(best.scale), offset = half_of_float(best.offset);
    codes_at(&g, x, float_of_half(scale), float_of_half(offset), codes);
    store_half(scale, out);
    store_half(offset, out + 2);
    store_codes(codes, bits == 5 ? out + 4 : NULL, out + (bits == 5 ? 8 : 4));
}

void wr_quantise_q4_1(const float *x, uint8_t *out) { quantise_offset(x, 4, out); }
void wr_quantise_q5_1(const float *x, uint8_t *out) { quantise_offset(x, 5, out); }

void wr_quantise_q8_0(const float *x, uint8_t *out) {
    const grid g = {.n = BLOCK, .low = -128, .high = 127};
    int32_t codes[BLOCK];
    const uint16_t half = best_half(&g, x, wr_fit_scale(&g, x).scale);
    codes_at(&g, x, float_of_half(half), 0, codes);
    store_half(half, out);
    for (int i = 0; i < BLOCK; i++) out[2 + i] = (uint8_t)(int8_t)codes[i];
}
