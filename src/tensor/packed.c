/*
 * Packing panels: see packed.h. Plain copies of words, so one file serves every level.
 */
#include "tensor/packed.h"

#include <assert.h>
#include <string.h>

#include "tensor/decode_blocks.h"

enum { ROWS = WR_PANEL_ROWS, WORD = 4 };

/* ---- measures -------------------------------------------------------------------------------- */

/* Formats with blocks: how a row of a block is packed, its bytes of codes, of scales. */
#define PACKED_BLOCKS(X)                                                                           \
    X(Q8_0, pack_q8_0, 32, 2)                                                                      \
    X(Q4_0, pack_q4_0, 16, 2)                                                                      \
    X(Q4_1, pack_q4_1, 16, 4)                                                                      \
    X(Q5_0, pack_q5_0, 20, 2)                                                                      \
    X(Q5_1, pack_q5_1, 20, 4)                                                                      \
    X(IQ4_NL, pack_q4_0, 16, 2)                                                                    \
    X(MXFP4, pack_mxfp4, 16, 1)                                                                    \
    X(Q2_K, pack_q2_k, 64, 20)                                                                     \
    X(Q3_K, pack_q3_k, 96, 18)                                                                     \
    X(Q4_K, pack_q4_k, 128, 20)                                                                    \
    X(Q5_K, pack_q5_k, 160, 20)                                                                    \
    X(Q6_K, pack_q6_k, 192, 18)                                                                    \
    X(IQ4_XS, pack_iq4_xs, 128, 10)

static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

wr_panel wr_panel_measure(wr_format format, int64_t columns) {
    wr_panel panel = {0};
    int64_t block = format == WR_BF16 ? 2 : wr_format_find((uint32_t)format)->block;
    panel.blocks = (columns + block - 1) / block;
    switch (format) {
    case WR_F32:
    case WR_BF16: /* a pair */
        panel.block_codes = 4 * ROWS;
        break;
    case WR_F16:
        panel.block_codes = 2 * ROWS;
        break;
#define CASE(name, pack, codes, scales)                                                            \
    case WR_##name:                                                                                \
        panel.block_codes = (codes)*ROWS;                                                          \
        panel.block_scales = (scales)*ROWS;                                                        \
        break;
        PACKED_BLOCKS(CASE)
#undef CASE
    }
    panel.scales = padded((size_t)panel.blocks * panel.block_codes);
    panel.bytes = panel.scales + padded((size_t)panel.blocks * panel.block_scales);
    return panel;
}

/* ---- pieces of a row ------------------------------------------------------------------------- */

/* Words [0, words) of `from` to the column of words of one row. */
static void put_words(uint8_t *to, const uint8_t *from, int words, int row) {
    for (int i = 0; i < words; i++) memcpy(to + (i * ROWS + row) * WORD, from + i * WORD, WORD);
}

/* Number i of a row's scales, of one or two bytes. */
static void put_byte(uint8_t *array, int i, int row, uint8_t value) {
    array[i * ROWS + row] = value;
}
static void put_half(uint8_t *arrays, int i, int row, const uint8_t *from) {
    memcpy(arrays + (i * ROWS + row) * 2, from, 2);
}

/* Bit i of `fifth` to the masks of one row. */
static void put_fifth(uint8_t *masks, uint32_t fifth, int row) {
    for (int g = 0; g < 8; g++)
        masks[g * 8 + row / 2] |= (uint8_t)((fifth >> (g * 4) & 15u) << (row % 2 * 4));
}

/* ---- one row of one block -------------------------------------------------------------------- */

/* c: the block's codes, s: its scales, b: the row's block as GGUF has it. */
static void pack_q8_0(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 2, 8, row);
    put_half(s, 0, row, b);
}

static void pack_q4_0(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 2, 4, row);
    put_half(s, 0, row, b);
}

static void pack_q4_1(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 4, 4, row);
    put_half(s, 0, row, b);
    put_half(s, 1, row, b + 2);
}

static void pack_q5_0(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 6, 4, row);
    put_fifth(c + 16 * ROWS, load_u32(b + 2), row);
    put_half(s, 0, row, b);
}

static void pack_q5_1(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 8, 4, row);
    put_fifth(c + 16 * ROWS, load_u32(b + 4), row);
    put_half(s, 0, row, b);
    put_half(s, 1, row, b + 2);
}

static void pack_mxfp4(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 1, 4, row);
    put_byte(s, 0, row, b[0]);
}

static void pack_q2_k(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 16, 16, row);
    for (int run = 0; run < 16; run++) put_byte(s, run, row, b[run]);
    put_half(s + 16 * ROWS, 0, row, b + 80);
    put_half(s + 16 * ROWS, 1, row, b + 82);
}

static void pack_q3_k(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b, 8, row);
    put_words(c + 32 * ROWS, b + 32, 16, row);
    for (int run = 0; run < 16; run++) put_byte(s, run, row, (uint8_t)q3_k_scale(b + 96, run));
    put_half(s + 16 * ROWS, 0, row, b + 108);
}

static void pack_k_scales(uint8_t *s, const uint8_t *b, int row) {
    for (int plane = 0; plane < 8; plane++) {
        uint8_t scale, minimum;
        q4_k_scale(b + 4, plane, &scale, &minimum);
        put_byte(s, plane, row, scale);
        put_byte(s, 8 + plane, row, minimum);
    }
    put_half(s + 16 * ROWS, 0, row, b);
    put_half(s + 16 * ROWS, 1, row, b + 2);
}

static void pack_q4_k(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 16, 32, row);
    pack_k_scales(s, b, row);
}

static void pack_q5_k(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 16, 8, row);
    put_words(c + 32 * ROWS, b + 48, 32, row);
    pack_k_scales(s, b, row);
}

static void pack_q6_k(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    for (int half = 0; half < 2; half++, c += 96 * ROWS) {
        put_words(c, b + 128 + 32 * half, 8, row);
        put_words(c + 32 * ROWS, b + 64 * half, 16, row);
    }
    for (int run = 0; run < 16; run++) put_byte(s, run, row, b[192 + run]);
    put_half(s + 16 * ROWS, 0, row, b + 208);
}

static void pack_iq4_xs(uint8_t *c, uint8_t *s, const uint8_t *b, int row) {
    put_words(c, b + 8, 32, row);
    for (int plane = 0; plane < 8; plane++)
        put_byte(s, plane, row, (uint8_t)iq4_xs_scale(b, plane));
    put_half(s + 8 * ROWS, 0, row, b);
}

/* ---- one row of a panel ---------------------------------------------------------------------- */

typedef void (*pack_block)(uint8_t *codes, uint8_t *scales, const uint8_t *block, int row);

static pack_block packer_of(wr_format format) {
    switch (format) {
#define CASE(name, pack, codes, scales)                                                            \
    case WR_##name:                                                                                \
        return pack;
        PACKED_BLOCKS(CASE)
#undef CASE
    default:
        return NULL;
    }
}

/* ---- numbers: column by column, so that the panel is written from its first to its last byte ----
 */

/* F32, or pairs of BF16. */
static void pack_words(uint8_t *out, const uint8_t *from, size_t row_bytes, int rows,
                       int64_t words) {
    for (int64_t i = 0; i < words; i++) {
        for (int row = 0; row < rows; row++)
            memcpy(out + (i * ROWS + row) * 4, from + (size_t)row * row_bytes + 4 * i, 4);
    }
}

static void pack_halves(uint8_t *out, const uint8_t *from, size_t row_bytes, int rows,
                        int64_t columns) {
    for (int64_t i = 0; i < columns; i++) {
        for (int row = 0; row < rows; row++)
            memcpy(out + (i * ROWS + row) * 2, from + (size_t)row * row_bytes + 2 * i, 2);
    }
}

static void pack_numbers(wr_format format, uint8_t *out, const uint8_t *from, size_t row_bytes,
                         int rows, int64_t columns) {
    if (format == WR_F16) {
        pack_halves(out, from, row_bytes, rows, columns);
        return;
    }
    pack_words(out, from, row_bytes, rows, format == WR_F32 ? columns : columns / 2);
    if (format == WR_F32 || columns % 2 == 0) return;
    for (int row = 0; row < rows; row++) /* the last one alone */
        memcpy(out + (columns / 2 * ROWS + row) * 4,
               from + (size_t)row * row_bytes + 2 * (columns - 1), 2);
}

/* ---- panels ---------------------------------------------------------------------------------- */

static void pack_row(wr_format format, const wr_panel *m, const uint8_t *from, int row,
                     uint8_t *out) {
    const pack_block pack = packer_of(format);
    const size_t block_bytes = (size_t)wr_format_find((uint32_t)format)->bytes;
    uint8_t *codes = out, *scales = out + m->scales;
    for (int64_t i = 0; i < m->blocks; i++) {
        pack(codes, scales, from, row);
        from += block_bytes;
        codes += m->block_codes;
        scales += m->block_scales;
    }
}

void wr_panel_pack(wr_format format, const void *data, int64_t rows, int64_t columns, int64_t panel,
                   void *out) {
    const wr_panel m = wr_panel_measure(format, columns);
    const size_t row_bytes = wr_format_row_bytes(format, columns);
    const int64_t first = panel * ROWS;
    const int64_t left = rows - first;
    const int here = left < ROWS ? (int)left : ROWS;
    const uint8_t *from = (const uint8_t *)data + (size_t)first * row_bytes;
    assert(here > 0);
    memset(out, 0, m.bytes);
    if (packer_of(format) == NULL) {
        pack_numbers(format, out, from, row_bytes, here, columns);
        return;
    }
    for (int row = 0; row < here; row++)
        pack_row(format, &m, from + (size_t)row * row_bytes, row, out);
}
