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

/* Beside the formats, what unpack() makes of them: a byte a code, scales as floats. The offset is
 * UNPACKED_OFFSET (which the including file defines) but for those with minima, and WIDE. */
enum {
    UNPACKED_32 = 1000, /* runs of 32 columns: s */
    UNPACKED_32_WIDE,   /* the same with codes of 8 bits: offset 128 */
    UNPACKED_32_MINIMA, /* s, m: offset 0 */
    UNPACKED_16,        /* runs of 16 columns: s, s */
    UNPACKED_16_MINIMA, /* s, m, s, m: offset 0 */
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
    case UNPACKED_16:
        return (kind_info){32, 1, 16, UNPACKED_OFFSET, false, false, 512, 128};
    default: /* UNPACKED_16_MINIMA */
        return (kind_info){32, 1, 16, 0, true, false, 512, 256};
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Vector i of a block's codes. */
INLINE codes vector_of(const uint8_t *block, int i) { return c_load(block + 64 * i); }

/* 16 bytes hold columns 0-15 in their low and 16-31 in their high halves. */
INLINE codes nibbles_of(const uint8_t *block, int i) {
    return c_bits(vector_of(block, i % 4), i / 4 * 4, 15);
}

/* The third bits are 8 to a byte, one of each piece of both parts. */
INLINE codes codes_of_q3_k(const uint8_t *block, int64_t part, int piece, int i) {
    const codes low = c_bits(vector_of(block + 512 * part, i), piece * 2, 3);
    const codes third = c_shift_by(vector_of(block, 16 + i), 4 * part);
    return c_or(low, c_bits(third, piece - 2, 4));
}

INLINE codes codes_of_q4_k(const uint8_t *block, int64_t part, int piece, int i) {
    return c_bits(vector_of(block + 512 * part, i), piece * 4, 15);
}

INLINE codes codes_of_q5_k(const uint8_t *block, int64_t part, int piece, int i) {
    const codes fifth = c_shift_by(vector_of(block, 32 + i), 2 * part);
    return c_or(codes_of_q4_k(block, part, piece, i), c_bits(fifth, piece - 4, 16));
}

INLINE codes codes_of_q6_k(const uint8_t *block, int64_t part, int piece, int i) {
    const codes low = vector_of(block + 1024 * part, piece % 2 * 8 + i);
    const codes high = vector_of(block + 512 * part, 32 + i);
    return c_or(c_bits(low, piece / 2 * 4, 15), c_bits(high, piece * 2 - 4, 0x30));
}

/* Columns 4i ... 4i + 3 of a piece. */
INLINE codes codes_of(int kind, const uint8_t *block, int64_t part, int piece, int i) {
    switch (kind) {
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
    default: /* Q8_0 and what is unpacked */
        return vector_of(block, i);
    }
}

/* ---- scales ---------------------------------------------------------------------------------- */

/* What a run's sum is multiplied with, and what the sum of its inputs is, sign included. */
typedef struct scales {
    floats s, m;
} scales;

INLINE scales scales_of_k(const uint8_t *block, int64_t run) {
    const floats d = f_halves(block + 256), dmin = f_halves(block + 288);
    return (scales){f_mul(d, f_bytes(block + 16 * run, 0, 255)),
                    f_negative(f_mul(dmin, f_bytes(block + 16 * (8 + run), 0, 255)))};
}

INLINE scales scales_of_q2_k(const uint8_t *block, int64_t run) {
    const floats d = f_halves(block + 256), dmin = f_halves(block + 288);
    return (scales){f_mul(d, f_bytes(block + 16 * run, 0, 15)),
                    f_negative(f_mul(dmin, f_bytes(block + 16 * run, 4, 15)))};
}

/* Of the run-th run of a block. */
INLINE scales scales_of(int kind, const uint8_t *block, int64_t run) {
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
        return scales_of_q2_k(block, run);
    case WR_Q4_K:
    case WR_Q5_K:
        return scales_of_k(block, run);
    case WR_Q3_K:
    case WR_Q6_K:
        return (scales){f_mul(f_halves(block + 256), f_signed_bytes(block + 16 * run)), none};
    case WR_IQ4_XS:
        return (scales){f_mul(f_halves(block + 128), f_signed_bytes(block + 16 * run)), none};
    case UNPACKED_32_MINIMA:
    case UNPACKED_16_MINIMA:
        return (scales){f_load(block + 128 * run), f_load(block + 128 * run + 64)};
    default:
        return (scales){f_load(block + 64 * run), none};
    }
}

/* ---- unpacking ------------------------------------------------------------------------------- */

/* The kind that a format is unpacked to. */
INLINE int unpacked_kind(int kind) {
    const kind_info info = info_of(kind);
    if (info.run == 16) return info.minima ? UNPACKED_16_MINIMA : UNPACKED_16;
    if (info.minima) return UNPACKED_32_MINIMA;
    return info.wide && SIGNED_WIDE ? UNPACKED_32_WIDE : UNPACKED_32;
}

/* Where pieces come from, and where they are stored one after another. */
typedef struct unpacking {
    const uint8_t *codes_at, *scales_at;
    uint8_t *codes_to, *scales_to;
} unpacking;

INLINE void unpack_piece(int kind, unpacking *u, int64_t part, int piece) {
    const kind_info from = info_of(kind), to = info_of(unpacked_kind(kind));
    const int runs = 32 / from.run, pieces = from.columns / 32 / from.parts;
    UNROLLED for (int i = 0; i < 8; i++) {
        codes c = codes_of(kind, u->codes_at, part, piece, i);
        if (to.offset != from.offset) c = c_add(c, to.offset - from.offset);
        c_store(u->codes_to + 64 * i, c);
    }
    for (int run = 0; run < runs; run++) {
        const scales s = scales_of(kind, u->scales_at, (part * pieces + piece) * runs + run);
        const int step = to.scales / runs;
        f_keep(u->scales_to + run * step, s.s);
        if (from.minima) f_keep(u->scales_to + run * step + 64, s.m);
    }
    u->codes_to += to.codes;
    u->scales_to += to.scales;
}

/* A panel's `blocks` blocks; `to` has the codes first, then the scales, as a panel has. */
INLINE void unpack(int kind, const uint8_t *codes_at, const uint8_t *scales_at, int64_t blocks,
                   uint8_t *to) {
    const kind_info info = info_of(kind);
    const int pieces = info.columns / 32 / info.parts;
    unpacking u = {codes_at, scales_at, to, to + blocks * info.columns * WR_PANEL_ROWS};
    for (int64_t i = 0; i < blocks; i++) {
        for (int64_t part = 0; part < info.parts; part++) {
            UNROLLED for (int piece = 0; piece < pieces; piece++)
                unpack_piece(kind, &u, part, piece);
        }
        u.codes_at += info.codes;
        u.scales_at += info.scales;
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

#define UNPACK(NAME)                                                                               \
    static void unpack_##NAME(const uint8_t *c, const uint8_t *s, int64_t blocks, uint8_t *to) {   \
        unpack(WR_##NAME, c, s, blocks, to);                                                       \
    }
WR_BYTES_FORMATS(UNPACK)
#undef UNPACK

#endif
