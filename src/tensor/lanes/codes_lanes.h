/*
 * The formats of packed weights as integer products see them. A template over bytes_simd_*.h.
 *
 * Everything here is a function of constants (a kind, a piece of a block) and vanishes when
 * inlined. packed.h has the layouts, decode_blocks.h what the codes mean. A block has parts that
 * look alike, so that a loop over them stays a loop; a part has pieces of 32 columns. codes_of
 * gives one eighth of a piece, 4 columns of 16 rows, as unsigned bytes: the code plus its kind's
 * offset.
 */
#ifndef WR_CODES_LANES_H
#define WR_CODES_LANES_H

#include <assert.h>
#include <stdbool.h>

#include "tensor/decode_blocks.h"
#include "tensor/kernels.h"

/* Beside the formats, what unpack() makes of them: a byte a code, scales as floats, but in the
 * blocks of 256 columns as numbers of 32 bits. The offset is UNPACKED_OFFSET (which the including
 * file defines) but for those with minima, and WIDE. */
enum {
    UNPACKED_32 = 1000, /* runs of 32 columns: s */
    UNPACKED_32_WIDE,   /* the same with codes of 8 bits: offset 128 */
    UNPACKED_32_MINIMA, /* s, m: offset 0 */
    BLOCKS_32,          /* blocks of 256 columns, runs of 32: d, eight s */
    BLOCKS_32_WIDE,     /* the same with codes of 8 bits: offset 128 */
    BLOCKS_32_MINIMA,   /* d, dmin, eight s, eight m (these as floats): offset 0 */
    BLOCKS_16,          /* runs of 16: d, sixteen s */
    BLOCKS_16_MINIMA,   /* d, dmin, sixteen s, sixteen m: offset 0 */
};

/* What codes of four bits are worth, plus the offset that makes it unsigned. */
static const uint8_t iq4_unsigned[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                         129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t mxfp4_unsigned[16] = {32, 33, 34, 35, 36, 38, 40, 44,
                                           32, 31, 30, 29, 28, 26, 24, 20};

/* What a kind is: columns of a block and of a run; parts of a block; what its codes are off by;
 * whether it has minima; whether codes exceed 7 bits; bytes of codes and of scales of a block of 16
 * rows. */
typedef struct kind_info {
    int columns, parts, run, offset;
    bool minima, wide;
    int codes, scales;
} kind_info;

INLINE kind_info info_of(int kind) {
    switch (kind) {
    case WR_Q8_0:
        return (kind_info){32, 1, 32, 128, false, true, 512, 32};
    case WR_Q4_0:
        return (kind_info){32, 1, 32, 8, false, false, 256, 32};
    case WR_Q4_1:
        return (kind_info){32, 1, 32, 0, true, false, 256, 64};
    case WR_Q5_0:
        return (kind_info){32, 1, 32, 16, false, false, 320, 32};
    case WR_Q5_1:
        return (kind_info){32, 1, 32, 0, true, false, 320, 64};
    case WR_IQ4_NL:
        return (kind_info){32, 1, 32, 128, false, true, 256, 32};
    case WR_MXFP4:
        return (kind_info){32, 1, 32, 32, false, false, 256, 16};
    case WR_Q2_K:
        return (kind_info){256, 2, 16, 0, true, false, 1024, 320};
    case WR_Q3_K:
        return (kind_info){256, 2, 16, 4, false, false, 1536, 288};
    case WR_Q4_K:
        return (kind_info){256, 4, 32, 0, true, false, 2048, 320};
    case WR_Q5_K:
        return (kind_info){256, 4, 32, 0, true, false, 2560, 320};
    case WR_Q6_K:
        return (kind_info){256, 2, 16, 32, false, false, 3072, 288};
    case WR_IQ4_XS:
        return (kind_info){256, 8, 32, 128, false, true, 2048, 160};
    case UNPACKED_32:
        return (kind_info){32, 1, 32, UNPACKED_OFFSET, false, false, 512, 64};
    case UNPACKED_32_WIDE:
        return (kind_info){32, 1, 32, 128, false, true, 512, 64};
    case UNPACKED_32_MINIMA:
        return (kind_info){32, 1, 32, 0, true, false, 512, 128};
    case BLOCKS_32:
        return (kind_info){256, 8, 32, UNPACKED_OFFSET, false, false, 4096, 64 * 9};
    case BLOCKS_32_WIDE:
        return (kind_info){256, 8, 32, 128, false, true, 4096, 64 * 9};
    case BLOCKS_32_MINIMA:
        return (kind_info){256, 8, 32, 0, true, false, 4096, 64 * 18};
    case BLOCKS_16:
        return (kind_info){256, 8, 16, UNPACKED_OFFSET, false, false, 4096, 64 * 17};
    default: /* BLOCKS_16_MINIMA */
        return (kind_info){256, 8, 16, 0, true, false, 4096, 64 * 34};
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Vector i of a block's codes. */
INLINE codes vector_of(const uint8_t *block, int i) { return c_load(block + 64 * i); }

/* 16 bytes hold columns 0-15 in their low and 16-31 in their high halves. */
INLINE codes nibbles_of(const uint8_t *block, int i) {
    return c_bits(vector_of(block, i % 4), i / 4 * 4, 15);
}

/* The third bits, which come first, are 8 to a byte, one of each piece of both parts. */
INLINE codes codes_of_q3_k(const uint8_t *block, int64_t part, int piece, int i) {
    const codes low = c_bits(vector_of(block + 512 * part, 8 + i), piece * 2, 3);
    const codes third = c_shift_by(vector_of(block, i), 4 * part);
    return c_or(low, c_bits(third, piece - 2, 4));
}

INLINE codes codes_of_q4_k(const uint8_t *block, int64_t part, int piece, int i) {
    return c_bits(vector_of(block + 512 * part, i), piece * 4, 15);
}

INLINE codes codes_of_q5_k(const uint8_t *block, int64_t part, int piece, int i) {
    const codes fifth = c_shift_by(vector_of(block, i), 2 * part);
    return c_or(codes_of_q4_k(block + 512, part, piece, i), c_bits(fifth, piece - 4, 16));
}

INLINE codes codes_of_q6_k(const uint8_t *block, int64_t part, int piece, int i) {
    const codes low = vector_of(block + 1536 * part, 8 + piece % 2 * 8 + i);
    const codes high = vector_of(block + 1536 * part, i);
    return c_or(c_bits(low, piece / 2 * 4, 15), c_bits(high, piece * 2 - 4, 0x30));
}

/* Columns 4i ... 4i + 3 of a piece. */
INLINE codes codes_of(int kind, const uint8_t *block, int64_t part, int piece, int i) {
    switch (kind) {
    case BLOCKS_32:
    case BLOCKS_32_WIDE:
    case BLOCKS_32_MINIMA:
    case BLOCKS_16:
    case BLOCKS_16_MINIMA:
        return vector_of(block + 512 * part, i);
    case WR_Q4_0:
    case WR_Q4_1:
        return nibbles_of(block, i);
    case WR_Q5_0:
    case WR_Q5_1:
        return c_add_where(nibbles_of(block, i), block + 256 + 8 * i, 16);
    case WR_IQ4_NL:
        return c_lookup(iq4_unsigned, nibbles_of(block, i));
    case WR_MXFP4:
        return c_lookup(mxfp4_unsigned, nibbles_of(block, i));
    case WR_Q2_K:
        return c_bits(vector_of(block + 512 * part, i), piece * 2, 3);
    case WR_Q3_K:
        return codes_of_q3_k(block, part, piece, i);
    case WR_Q4_K:
        return codes_of_q4_k(block, part, piece, i);
    case WR_Q5_K:
        return codes_of_q5_k(block, part, piece, i);
    case WR_Q6_K:
        return codes_of_q6_k(block, part, piece, i);
    case WR_IQ4_XS:
        return c_lookup(iq4_unsigned, nibbles_of(block + 256 * part, i));
    case WR_Q8_0:
        return c_flip(vector_of(block, i));
    default: /* what is unpacked */
        return vector_of(block, i);
    }
}

/* ---- scales ---------------------------------------------------------------------------------- */

/* Of a block of 32 columns: what the sum is multiplied with, and what the sum of its inputs is. Of
 * one of 256: the factors of its runs' scales and minima, the sign included. */
typedef struct scales {
    floats s, m;
} scales;

INLINE scales scales_of(int kind, const uint8_t *block) {
    const floats none = f_zero();
    switch (kind) {
    case WR_Q8_0:
    case WR_Q4_0:
    case WR_Q5_0:
    case WR_IQ4_NL:
        return (scales){f_halves(block), none};
    case WR_Q4_1:
    case WR_Q5_1:
        return (scales){f_halves(block), f_halves(block + 32)};
    case WR_MXFP4:
        return (scales){f_powers(block), none};
    case WR_Q2_K:
    case WR_Q4_K:
    case WR_Q5_K:
        return (scales){f_halves(block + 256), f_negative(f_halves(block + 288))};
    case WR_Q3_K:
    case WR_Q6_K:
        return (scales){f_halves(block + 256), none};
    case WR_IQ4_XS:
        return (scales){f_halves(block + 128), none};
    case UNPACKED_32_MINIMA:
    case BLOCKS_32_MINIMA:
    case BLOCKS_16_MINIMA:
        return (scales){f_load(block), f_load(block + 64)};
    default:
        return (scales){f_load(block), none};
    }
}

/* The scale of the run-th run of 256 columns. */
INLINE sums run_scale_of(int kind, const uint8_t *block, int64_t run) {
    switch (kind) {
    case WR_Q2_K:
        return i_bytes(block + 16 * run, 0, 15);
    case WR_Q4_K:
    case WR_Q5_K:
        return i_bytes(block + 16 * run, 0, 255);
    case WR_Q3_K:
    case WR_Q6_K:
    case WR_IQ4_XS:
        return i_signed_bytes(block + 16 * run);
    case BLOCKS_32_MINIMA:
    case BLOCKS_16_MINIMA:
        return i_load(block + 128 + 64 * run);
    default:
        return i_load(block + 64 + 64 * run);
    }
}

/* Its minimum. */
INLINE floats run_minimum_of(int kind, const uint8_t *block, int64_t run) {
    switch (kind) {
    case WR_Q2_K:
        return f_of_sums(i_bytes(block + 16 * run, 4, 15));
    case WR_Q4_K:
    case WR_Q5_K:
        return f_of_sums(i_bytes(block + 16 * (8 + run), 0, 255));
    case BLOCKS_32_MINIMA:
        return f_load(block + 128 + 64 * (8 + run));
    default: /* BLOCKS_16_MINIMA */
        return f_load(block + 128 + 64 * (16 + run));
    }
}

/* ---- unpacking ------------------------------------------------------------------------------- */

/* The kind that a format is unpacked to. */
INLINE int unpacked_kind(int kind) {
    const kind_info info = info_of(kind);
    const bool wide = info.wide && SIGNED_WIDE;
    if (info.columns == 32)
        return info.minima ? UNPACKED_32_MINIMA : wide ? UNPACKED_32_WIDE : UNPACKED_32;
    if (info.run == 16) return info.minima ? BLOCKS_16_MINIMA : BLOCKS_16;
    return info.minima ? BLOCKS_32_MINIMA : wide ? BLOCKS_32_WIDE : BLOCKS_32;
}

INLINE void unpack_scales(int kind, const uint8_t *from, uint8_t *to) {
    const kind_info info = info_of(kind);
    const int runs = info.columns / info.run;
    const scales s = scales_of(kind, from);
    f_keep(to, s.s);
    to += 64;
    if (info.minima) {
        f_keep(to, s.m);
        to += 64;
    }
    if (info.columns == 32) return;
    for (int run = 0; run < runs; run++) i_keep(to + 64 * run, run_scale_of(kind, from, run));
    for (int run = 0; run < runs && info.minima; run++)
        f_keep(to + 64 * (runs + run), run_minimum_of(kind, from, run));
}

/* A panel's `blocks` blocks; `to` has the codes first, then the scales, as a panel has. */
INLINE void unpack(int kind, const uint8_t *codes_at, const uint8_t *scales_at, int64_t blocks,
                   uint8_t *to) {
    const kind_info from = info_of(kind), info = info_of(unpacked_kind(kind));
    const int pieces = from.columns / 32 / from.parts;
    uint8_t *scales_to = to + blocks * info.codes;
    for (int64_t block = 0; block < blocks; block++) {
        for (int64_t part = 0; part < from.parts; part++) {
            UNROLLED for (int piece = 0; piece < pieces; piece++) {
                UNROLLED for (int i = 0; i < 8; i++) {
                    codes c = codes_of(kind, codes_at, part, piece, i);
                    const int more = info.offset - from.offset;
                    if (more != 0) c = more == -128 ? c_flip(c) : c_add(c, more);
                    c_store(to + 64 * i, c);
                }
                to += 512;
            }
        }
        unpack_scales(kind, scales_at, scales_to);
        scales_to += info.scales;
        codes_at += from.codes;
        scales_at += from.scales;
    }
}

/* All formats that are bytes. */
#define WR_BYTES_FORMATS(X)                                                                        \
    X(Q8_0)                                                                                        \
    X(Q4_0)                                                                                        \
    X(Q4_1)                                                                                        \
    X(Q5_0)                                                                                        \
    X(Q5_1)                                                                                        \
    X(IQ4_NL)                                                                                      \
    X(MXFP4)                                                                                       \
    X(Q2_K)                                                                                        \
    X(Q3_K)                                                                                        \
    X(Q4_K)                                                                                        \
    X(Q5_K)                                                                                        \
    X(Q6_K)                                                                                        \
    X(IQ4_XS)

#ifndef NOT_UNPACKED
#define UNPACK(NAME)                                                                               \
    static void unpack_##NAME(const uint8_t *c, const uint8_t *s, int64_t blocks, uint8_t *to) {   \
        unpack(WR_##NAME, c, s, blocks, to);                                                       \
    }
WR_BYTES_FORMATS(UNPACK)
#undef UNPACK
#endif

#endif
