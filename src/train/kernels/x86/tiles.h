/*
 * Matrices of bfloat16 in tiles, and their product: C[m, n] (+)= L[m, k] R[k, n].
 *
 * A panel is 16 rows of L or 16 columns of R; panels come in pairs, so a matrix is padded with
 * zeros to 32 of them and to 32 along k. A panel is one tile of 1024 bytes after another along k:
 *
 *   left    [m / 16][k / 32][16 rows][32 along k]
 *   right   [n / 16][k / 32][16 pairs along k][16 columns][2]
 *
 * Everything here computes in the calling thread.
 */
#ifndef WR_TRAIN_TILES_H
#define WR_TRAIN_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WR_TILE_SIDE = 32, /* what sides are padded to */
    WR_TILE_BYTES = 1024,
};

/* Bytes of an operand of m rows (or n columns) by k. */
static inline size_t wr_tiles_bytes(int64_t side, int64_t k) {
    const int64_t mask = WR_TILE_SIDE - 1;
    return (size_t)((side + mask) & ~mask) * (size_t)((k + mask) & ~mask) * 2;
}

/* Which operand to make of a matrix of floats a[rows, columns], rows `stride` numbers apart. */
typedef enum wr_tiles_as {
    WR_TILES_LEFT,             /* L = a */
    WR_TILES_LEFT_TRANSPOSED,  /* L = a^T: k are the rows of a */
    WR_TILES_RIGHT,            /* R = a: k are the rows of a */
    WR_TILES_RIGHT_TRANSPOSED, /* R = a^T */
} wr_tiles_as;

typedef struct wr_tiles_source {
    const float *a;
    int64_t stride;
    int64_t rows, columns;
    int64_t room; /* the k that panels have room for; 0: no more than there is */
} wr_tiles_source;

/* Panels [begin, end) of what wr_tiles_bytes() measures, rounded to nearest, ties to even; `out` is
 * where panel 0 lies. */
void wr_tiles_pack(wr_tiles_as as, const wr_tiles_source *from, int64_t begin, int64_t end,
                   void *out);

typedef struct wr_tiles_product {
    const void *left, *right;
    int64_t k;                     /* rounded up to 32 by zeros in the tiles */
    int64_t left_room, right_room; /* the k that panels have room for; 0: no more than k */
    int64_t m, n;
    float *c; /* [m, n], rows `stride` numbers apart */
    int64_t stride;
    bool add;
} wr_tiles_product;

/* Products stand between these two, in one thread. */
void wr_tiles_begin(void);
void wr_tiles_end(void);

/* Each sum goes along k in order, beginning with what is in c where `add`. */
void wr_tiles_multiply(const wr_tiles_product *product);

#endif
