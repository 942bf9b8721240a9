/*
 * Decoding rows to floats. A template over the vector of simd_*.h.
 */
#ifndef WR_DECODE_LANES_H
#define WR_DECODE_LANES_H

#include <assert.h>
#include <string.h>

#include "tensor/scalar.h"
#include "tensor/x86/weights_lanes.h"

#define DECODE_BLOCKS(NAME, name, block, bytes)                                                    \
    static void decode_row_##name(const uint8_t *b, float *out, int64_t n) {                       \
        for (; n > 0; n -= block, b += bytes) {                                                    \
            shared s;                                                                              \
            prepare_##name(b, &s);                                                                 \
            UNROLLED for (int piece = 0; piece < block / 32; piece++, out += 32) {                 \
                vec w[PIECE_VECS];                                                                 \
                weights_##name(b, piece, &s, w);                                                   \
                for (int i = 0; i < PIECE_VECS; i++) v_store(out + i * LANES, w[i]);               \
            }                                                                                      \
        }                                                                                          \
    }
WR_LANES_FORMATS(DECODE_BLOCKS)
#undef DECODE_BLOCKS

static void decode(wr_format format, const void *blocks, float *out, int64_t weights) {
    const uint8_t *b = blocks;
    int64_t i = 0;
    switch (format) {
#define CASE(NAME, whole, part, bytes)                                                             \
    case WR_##NAME:                                                                                \
        for (; i + LANES <= weights; i += LANES) v_store(out + i, whole(b + i * bytes));           \
        if (i < weights) v_store_part(out + i, part(b + i * bytes, weights - i), weights - i);     \
        return;
        WR_LANES_FLOATS(CASE)
#undef CASE
#define CASE(NAME, name, block, bytes)                                                             \
    case WR_##NAME:                                                                                \
        decode_row_##name(b, out, weights);                                                        \
        return;
        WR_LANES_FORMATS(CASE)
#undef CASE
    }
    assert(false && "a format");
}

#endif
