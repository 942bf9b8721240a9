/*
 * Element and block formats: one table, with GGUF's numbers and names.
 *
 * A row of n weights is n / block blocks of `bytes` bytes, and n is always a multiple of block.
 * Formats without blocks (F32, F16, BF16) have block 1.
 */
#ifndef WR_FORMAT_H
#define WR_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* number as GGUF stores it, name, weights per block, bytes per block */
#define WR_FORMAT_MAP(X)                                                                           \
    X(F32, 0, 1, 4)                                                                                \
    X(F16, 1, 1, 2)                                                                                \
    X(Q4_0, 2, 32, 18)                                                                             \
    X(Q4_1, 3, 32, 20)                                                                             \
    X(Q5_0, 6, 32, 22)                                                                             \
    X(Q5_1, 7, 32, 24)                                                                             \
    X(Q8_0, 8, 32, 34)                                                                             \
    X(Q2_K, 10, 256, 84)                                                                           \
    X(Q3_K, 11, 256, 110)                                                                          \
    X(Q4_K, 12, 256, 144)                                                                          \
    X(Q5_K, 13, 256, 176)                                                                          \
    X(Q6_K, 14, 256, 210)                                                                          \
    X(IQ4_NL, 20, 32, 18)                                                                          \
    X(IQ4_XS, 23, 256, 136)                                                                        \
    X(BF16, 30, 1, 2)                                                                              \
    X(MXFP4, 39, 32, 17)

typedef enum wr_format {
#define WR_FORMAT_ENUM(name, number, block, bytes) WR_##name = number,
    WR_FORMAT_MAP(WR_FORMAT_ENUM)
#undef WR_FORMAT_ENUM
} wr_format;

typedef struct wr_format_info {
    wr_format format;
    const char *name; /* "Q4_K" */
    int32_t block;    /* weights per block */
    int32_t bytes;    /* bytes per block */
} wr_format_info;

/* NULL when weir does not know the format. `number` is whatever a file said. */
const wr_format_info *wr_format_find(uint32_t number);
const wr_format_info *wr_format_named(const char *name); /* any case */

/* Bytes of a row of `weights`, which must be a multiple of the block. */
size_t wr_format_row_bytes(wr_format format, int64_t weights);

/* Whether wr_format_encode_row() writes it: F32, F16, BF16, Q8_0. */
bool wr_format_encodes(wr_format format);

/* A row of floats to blocks of a format that it writes, each number to the nearest, ties to even;
 * Q8_0 as ggml defines it: scale max|x| / 127, rounded to a half, and whole multiples of it.
 * Returns the number, or in blocks the first of the block, that the format cannot hold (NaN,
 * infinite, too large), or -1. */
int64_t wr_format_encode_row(wr_format format, const float *x, int64_t weights, void *out);

/* What GGUF calls the format when weir does not know it ("IQ2_XXS"), or NULL. */
const char *wr_format_foreign_name(uint32_t number);

/* A row of random but valid blocks whose weights have about the given standard deviation: a pure
 * function of (seed, row). For `make-random`, tests and benchmarks. */
void wr_format_random_row(wr_format format, uint64_t seed, uint64_t row, float deviation,
                          int64_t weights, void *out);

#endif
