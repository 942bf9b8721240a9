/*
 * Tiles made and multiplied with AMX and AVX512-BF16.
 *
 * A tile of left rows is converted as it lies; a tile of right pairs interleaves two rows. Either
 * becomes the other kind by exchanging its 16 x 16 pairs, so there are two ways to read and one
 * transposition. Two panels of L meet two of R in four tiles of sums: four tiles are read for four
 * products, half of what the tile unit could wait for.
 */
#include "train/kernels/x86/tiles.h"

#include <immintrin.h>

#include "tensor/x86/simd_avx512.h"
#include "tensor/x86/tile_shapes.h"
#include "train/kernels/x86/bf16_tiles_lanes.h"

enum {
    SIDE = 16,
    NEAR_BYTES = 768 * 1024, /* of right panels in the second cache */
};

/* ---- making tiles ---------------------------------------------------------------------------- */

/* 16 rows of 32 columns, from (row, column). */
INLINE void read_rows(const wr_tiles_source *s, int64_t row, int64_t column, vec tile[LANES]) {
    const float *a = s->a + row * s->stride + column;
    const int64_t left = s->columns - column;
    if (row + SIDE <= s->rows && left >= 2 * LANES) {
        UNROLLED_16 for (int i = 0; i < LANES; i++) tile[i] =
            tiles_words(v_load(a + i * s->stride + LANES), v_load(a + i * s->stride));
        return;
    }
    for (int i = 0; i < LANES; i++) {
        tile[i] = v_zero();
        if (row + i < s->rows)
            tile[i] = tiles_words(tiles_row_part(a + i * s->stride + LANES, left - LANES),
                                  tiles_row_part(a + i * s->stride, left));
    }
}

/* 32 rows of 16 columns, from (row, column), as pairs: vector i holds rows 2 i and 2 i + 1. */
INLINE void read_pairs(const wr_tiles_source *s, int64_t row, int64_t column, vec tile[LANES]) {
    const float *a = s->a + row * s->stride + column;
    const int64_t left = s->columns - column;
    const bool whole = row + 2 * SIDE <= s->rows && left >= LANES;
    UNROLLED_16 for (int i = 0; i < LANES; i++) {
        vec low = v_zero(), high = v_zero();
        if (whole) {
            low = v_load(a + 2 * i * s->stride);
            high = v_load(a + (2 * i + 1) * s->stride);
        } else {
            if (row + 2 * i < s->rows) low = tiles_row_part(a + 2 * i * s->stride, left);
            if (row + 2 * i + 1 < s->rows) high = tiles_row_part(a + (2 * i + 1) * s->stride, left);
        }
        tile[i] = tiles_pair(high, low);
    }
}

/* Tile t of a panel. */
INLINE void pack_tile(const bool pairs, const bool turn, const wr_tiles_source *s, int64_t panel,
                      int64_t t, uint8_t *to) {
    vec tile[LANES];
    if (pairs)
        read_pairs(s, t * WR_TILE_SIDE, panel * SIDE, tile);
    else
        read_rows(s, panel * SIDE, t * WR_TILE_SIDE, tile);
    if (turn) v_transpose(tile);
    UNROLLED_16 for (int i = 0; i < LANES; i++) v_store(to + i * 64, tile[i]);
}

INLINE int64_t whole_tiles(int64_t k) { return (k + WR_TILE_SIDE - 1) / WR_TILE_SIDE; }

/* Either way along the rows of `a`, as memory likes to be read. */
INLINE void pack(const bool pairs, const bool turn, const wr_tiles_source *s, int64_t begin,
                 int64_t end, void *out) {
    const int64_t k = pairs ? s->rows : s->columns;
    const int64_t tiles = whole_tiles(k);
    const int64_t panels = end - begin;
    const size_t room = (size_t)whole_tiles(s->room > 0 ? s->room : k) * WR_TILE_BYTES;
    for (int64_t i = 0; i < panels * tiles; i++) {
        const int64_t panel = begin + (pairs ? i % panels : i / tiles);
        const int64_t t = pairs ? i / panels : i % tiles;
        pack_tile(pairs, turn, s, panel, t,
                  (uint8_t *)out + (size_t)panel * room + (size_t)t * WR_TILE_BYTES);
    }
}

void wr_tiles_pack(wr_tiles_as as, const wr_tiles_source *from, int64_t begin, int64_t end,
                   void *out) {
    switch (as) {
    case WR_TILES_LEFT:
        pack(false, false, from, begin, end, out);
        break;
    case WR_TILES_LEFT_TRANSPOSED:
        pack(true, true, from, begin, end, out);
        break;
    case WR_TILES_RIGHT:
        pack(true, false, from, begin, end, out);
        break;
    case WR_TILES_RIGHT_TRANSPOSED:
        pack(false, true, from, begin, end, out);
        break;
    }
}

/* ---- multiplying them ------------------------------------------------------------------------ */

/* Sums: tiles 0 to 3. Left: 4 and 5. Right: 6 and 7. */
void wr_tiles_begin(void) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = SIDE;
        shapes.row_bytes[i] = 64;
    }
    load_shapes(&shapes);
}

void wr_tiles_end(void) { _tile_release(); }

/* 32 rows by 32 columns of c. */
typedef struct block {
    const uint8_t *left, *right;
    size_t left_step, right_step; /* bytes to the second panel */
    int64_t tiles;
    float *c;
    size_t stride; /* bytes */
    bool add;
} block;

INLINE void multiply_block(const block *b) {
    float *below = b->c + SIDE * b->stride / sizeof(float);
    settle_memory();
    if (b->add) {
        _tile_loadd(0, b->c, b->stride);
        _tile_loadd(1, b->c + SIDE, b->stride);
        _tile_loadd(2, below, b->stride);
        _tile_loadd(3, below + SIDE, b->stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    const uint8_t *left = b->left, *right = b->right;
    for (int64_t i = 0; i < b->tiles; i++, left += WR_TILE_BYTES, right += WR_TILE_BYTES) {
        _tile_loadd(4, left, 64);
        _tile_loadd(6, right, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right + b->right_step, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, left + b->left_step, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, b->c, b->stride);
    _tile_stored(1, b->c + SIDE, b->stride);
    _tile_stored(2, below, b->stride);
    _tile_stored(3, below + SIDE, b->stride);
    settle_memory();
}

/* A block that c's edge cuts goes by way of a buffer. */
static void multiply_edge(block b, int64_t rows, int64_t columns) {
    float near[WR_TILE_SIDE * WR_TILE_SIDE];
    float *c = b.c;
    const size_t stride = b.stride / sizeof(float);
    b.c = near;
    b.stride = WR_TILE_SIDE * sizeof(float);
    for (int64_t i = 0; i < WR_TILE_SIDE && b.add; i++)
        for (int64_t j = 0; j < WR_TILE_SIDE; j++)
            near[i * WR_TILE_SIDE + j] =
                i < rows && j < columns ? c[(size_t)i * stride + (size_t)j] : 0.0f;
    multiply_block(&b);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            c[(size_t)i * stride + (size_t)j] = near[i * WR_TILE_SIDE + j];
}

static size_t panel_bytes(int64_t k) { return (size_t)whole_tiles(k) * WR_TILE_BYTES; }

/* Ask for the sums of a block, which will be written. */
INLINE void ask(const float *c, int64_t stride) {
    for (int i = 0; i < WR_TILE_SIDE; i++) {
        __builtin_prefetch(c + i * stride, 1, 3);
        __builtin_prefetch(c + i * stride + SIDE, 1, 3);
    }
}

/* Columns [first, last) of c: a pair of left panels stays in the first cache while the right ones
 * pass, again and again from the second. */
static void multiply_columns(const wr_tiles_product *p, block b, int64_t first, int64_t last) {
    for (int64_t i = 0; i < p->m; i += WR_TILE_SIDE) {
        const int64_t rows = p->m - i;
        b.left = (const uint8_t *)p->left + (size_t)(i / SIDE) * b.left_step;
        for (int64_t j = first; j < last; j += WR_TILE_SIDE) {
            const int64_t columns = p->n - j;
            b.right = (const uint8_t *)p->right + (size_t)(j / SIDE) * b.right_step;
            b.c = p->c + i * p->stride + j;
            if (rows >= WR_TILE_SIDE && columns >= WR_TILE_SIDE) {
                if (columns >= 2 * WR_TILE_SIDE) ask(b.c + WR_TILE_SIDE, p->stride);
                multiply_block(&b);
            } else {
                multiply_edge(b, rows < WR_TILE_SIDE ? rows : WR_TILE_SIDE,
                              columns < WR_TILE_SIDE ? columns : WR_TILE_SIDE);
            }
        }
    }
}

void wr_tiles_multiply(const wr_tiles_product *p) {
    block b = {.left_step = panel_bytes(p->left_room > 0 ? p->left_room : p->k),
               .right_step = panel_bytes(p->right_room > 0 ? p->right_room : p->k),
               .tiles = whole_tiles(p->k),
               .stride = (size_t)p->stride * sizeof(float),
               .add = p->add};
    const int64_t pairs = NEAR_BYTES / (int64_t)(2 * b.right_step);
    const int64_t near = (pairs > 1 ? pairs : 1) * WR_TILE_SIDE;
    for (int64_t first = 0; first < p->n; first += near)
        multiply_columns(p, b, first, first + near < p->n ? first + near : p->n);
}
