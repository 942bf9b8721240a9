/*
 * Numbers that go with the rows of tiles, such as the scales of inputs.
 */
#ifndef WR_TILE_NUMBERS_H
#define WR_TILE_NUMBERS_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/lanes/inline.h"

/* Lane j of vector i becomes lane i of vector j. */
INLINE void transpose(__m512 v[16]) {
    __m512 t[16];
    UNROLLED_16 for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    UNROLLED_16 for (int i = 0; i < 16; i += 4) { /* lane l of v[i + c]: column 4l + c of 4 rows */
        v[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        v[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLLED_16 for (int c = 0; c < 4; c++) {
        t[c] = _mm512_shuffle_f32x4(v[c], v[4 + c], 0x88);
        t[4 + c] = _mm512_shuffle_f32x4(v[c], v[4 + c], 0xdd);
        t[8 + c] = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], 0x88);
        t[12 + c] = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], 0xdd);
    }
    UNROLLED_16 for (int c = 0; c < 4; c++) {
        v[c] = _mm512_shuffle_f32x4(t[c], t[8 + c], 0x88);
        v[4 + c] = _mm512_shuffle_f32x4(t[4 + c], t[12 + c], 0x88);
        v[8 + c] = _mm512_shuffle_f32x4(t[c], t[8 + c], 0xdd);
        v[12 + c] = _mm512_shuffle_f32x4(t[4 + c], t[12 + c], 0xdd);
    }
}

/* numbers [inputs][count] (rows `stride` bytes apart, 16 of them at most) to [count][16], the
 * rows `step` apart, zeros beyond. */
INLINE void gather_numbers(float *to, const void *numbers, size_t stride, int64_t inputs,
                           int64_t count, int64_t step) {
    for (int64_t j = 0; j < count; j += 16) {
        const int here = count - j < 16 ? (int)(count - j) : 16;
        const __mmask16 mask = (__mmask16)((1u << here) - 1u);
        __m512 v[16];
        UNROLLED_16 for (int i = 0; i < 16; i++) {
            const float *from = (const float *)numbers + (size_t)i * (stride / 4) + j;
            v[i] = i < inputs ? _mm512_maskz_loadu_ps(mask, from) : _mm512_setzero_ps();
        }
        transpose(v);
        UNROLLED_16 for (int i = 0; i < 16; i++) {
            if (i < here) _mm512_store_ps(to + (j + i) * step, v[i]);
        }
    }
}

#endif
