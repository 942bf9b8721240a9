/*
 * Packed weights: a matrix rearranged so that the lanes of a vector are rows.
 *
 * A panel is 16 rows; a matrix is its panels one after another, the last filled up with zero rows.
 * A panel has two parts, each padded to 64 bytes, and inside both, the blocks of the format follow
 * in the order of the columns:
 *
 *     codes    the bytes of a block's codes as GGUF has them, transposed by words of four bytes:
 *              word 0 of rows 0 ... 15, word 1 of rows 0 ... 15, ...
 *     scales   one array of 16 rows after another (see the list below)
 *
 * So one vector of 64 bytes holds four columns of each of 16 rows, as the integer units want it,
 * and codes are read from the first to the last byte: where a code's bits are in two places, those
 * that more columns share come first. What differs from GGUF's bytes:
 *
 *     format        codes of a block                          scales of a block
 *     Q8_0          as they are                               d
 *     Q4_0 IQ4_NL   as they are                               d
 *     Q4_1          as they are                               d, m
 *     Q5_0          16 bytes; then for word g = 0 ... 7 a     d
 *     Q5_1          64-bit mask: bit 4r + i is the fifth      d, m
 *                   bit of column 4g + i of row r
 *     MXFP4         as they are                               e (one byte)
 *     Q2_K          64 bytes                                  16 bytes (s, m), d, dmin
 *     Q3_K          32 bytes of mask, 64 of low bits          16 signed s - 32, d
 *     Q4_K          128 bytes                                 8 s, 8 m, d, dmin
 *     Q5_K          32 bytes of fifth bits, 128               8 s, 8 m, d, dmin
 *     Q6_K          for each half 32 bytes of upper bits,     16 signed s, d
 *                   64 of low ones
 *     IQ4_XS        128 bytes                                 8 signed s - 32, d
 *     F32 F16       column by column                          none
 *     BF16          pairs of columns, an odd one with a zero  none
 *
 * d, m, dmin are half floats, s and m of the K formats bytes, whatever bits the file packs them in.
 */
#ifndef WR_PACKED_H
#define WR_PACKED_H

#include "tensor/format.h"

#define WR_PANEL_ROWS 16

/* A panel's measures, for rows of `columns`. */
typedef struct wr_panel {
    int64_t blocks;      /* of columns; for floats: columns, or pairs of them for BF16 */
    size_t block_codes;  /* bytes of codes of 16 rows of a block */
    size_t block_scales; /* bytes of scales of 16 rows of a block */
    size_t scales;       /* where the scales begin */
    size_t bytes;        /* the whole panel, a multiple of 64 */
} wr_panel;

wr_panel wr_panel_measure(wr_format format, int64_t columns);

static inline int64_t wr_panel_count(int64_t rows) {
    return (rows + WR_PANEL_ROWS - 1) / WR_PANEL_ROWS;
}

/* Pack one panel: rows [16 panel, 16 panel + 16) of a matrix [rows, columns] whose rows, in GGUF's
 * layout, begin at `data`. `out`: wr_panel_measure().bytes, aligned to 64. */
void wr_panel_pack(wr_format format, const void *data, int64_t rows, int64_t columns, int64_t panel,
                   void *out);

#endif
