/*
 * Decoding, dot products and matrix products. A template over the vector of simd_*.h.
 *
 * One order of sums everywhere: column j goes into lane j mod LANES of one vector per output, in
 * ascending order by fused multiply-adds; at the end the lanes are folded in halves. So a product
 * by one input, which decodes in registers, has the bits of a product by many, which decodes a tile
 * of rows into scratch and multiplies 4 rows by MATMUL_INPUTS inputs at a time.
 */
#ifndef WR_MATMUL_LANES_H
#define WR_MATMUL_LANES_H

#include <assert.h>
#include <string.h>

#include "tensor/scalar.h"
#include "tensor/x86/weights_lanes.h"

/* ---- decode ---------------------------------------------------------------------------------- */

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

/* ---- one input: rows decoded in registers ---------------------------------------------------- */

/* Rows whose sums run side by side, to hide the latency of an addition. */
enum { ROWS_AT_ONCE = 4 };

/* Ask for what the next rows have in the same place. (As a number: it may lie past the end.) */
INLINE void fetch_ahead(const uint8_t *row, size_t stride, int64_t at) {
    _mm_prefetch((const char *)((uintptr_t)row + ROWS_AT_ONCE * stride + (uintptr_t)at),
                 _MM_HINT_T1);
}

#define DOT_FLOATS(NAME, whole, part, bytes)                                                       \
    INLINE void dot_rows_##NAME(const uint8_t *rows, size_t stride, const float *x, int64_t n,     \
                                int count, vec *sums) {                                            \
        int64_t i = 0;                                                                             \
        for (; i + LANES <= n; i += LANES) {                                                       \
            for (int r = 0; r < count; r++) {                                                      \
                vec w = whole(rows + (size_t)r * stride + i * bytes);                              \
                fetch_ahead(rows + (size_t)r * stride, stride, i * bytes);                         \
                sums[r] = v_fma(w, v_load(x + i), sums[r]);                                        \
            }                                                                                      \
        }                                                                                          \
        if (i == n) return;                                                                        \
        for (int r = 0; r < count; r++) {                                                          \
            vec w = part(rows + (size_t)r * stride + i * bytes, n - i);                            \
            sums[r] = v_fma(w, v_load_part(x + i, n - i), sums[r]);                                \
        }                                                                                          \
    }
WR_LANES_FLOATS(DOT_FLOATS)
#undef DOT_FLOATS

#define DOT_BLOCKS(NAME, name, block, bytes)                                                       \
    INLINE vec dot_block_##name(const uint8_t *b, const float *x, vec sum) {                       \
        shared s;                                                                                  \
        prepare_##name(b, &s);                                                                     \
        UNROLLED for (int piece = 0; piece < block / 32; piece++, x += 32) {                       \
            vec w[PIECE_VECS];                                                                     \
            weights_##name(b, piece, &s, w);                                                       \
            for (int i = 0; i < PIECE_VECS; i++) sum = v_fma(w[i], v_load(x + i * LANES), sum);    \
        }                                                                                          \
        return sum;                                                                                \
    }                                                                                              \
    INLINE void dot_rows_##NAME(const uint8_t *rows, size_t stride, const float *x, int64_t n,     \
                                int count, vec *sums) {                                            \
        for (int64_t i = 0; i < n; i += block, rows += bytes) {                                    \
            for (int r = 0; r < count; r++) {                                                      \
                const uint8_t *b = rows + (size_t)r * stride;                                      \
                for (int at = 0; at < bytes; at += 64) fetch_ahead(b, stride, at);                 \
                sums[r] = dot_block_##name(b, x + i, sums[r]);                                     \
            }                                                                                      \
        }                                                                                          \
    }
WR_LANES_FORMATS(DOT_BLOCKS)
#undef DOT_BLOCKS

/* y[r] = rows[r] . x for one row, or for ROWS_AT_ONCE of them. */
#define DOT_FUNCTIONS(NAME, ...)                                                                   \
    static void dot_one_##NAME(const uint8_t *rows, size_t stride, const float *x, int64_t n,      \
                               float *y) {                                                         \
        vec sums[1] = {v_zero()};                                                                  \
        dot_rows_##NAME(rows, stride, x, n, 1, sums);                                              \
        y[0] = v_sum(sums[0]);                                                                     \
    }                                                                                              \
    static void dot_four_##NAME(const uint8_t *rows, size_t stride, const float *x, int64_t n,     \
                                float *y) {                                                        \
        vec sums[ROWS_AT_ONCE] = {v_zero(), v_zero(), v_zero(), v_zero()};                         \
        dot_rows_##NAME(rows, stride, x, n, ROWS_AT_ONCE, sums);                                   \
        _mm_storeu_ps(y, v_sum4(sums[0], sums[1], sums[2], sums[3]));                              \
    }
WR_LANES_FLOATS(DOT_FUNCTIONS)
WR_LANES_FORMATS(DOT_FUNCTIONS)
#undef DOT_FUNCTIONS

typedef void (*dot_function)(const uint8_t *rows, size_t stride, const float *x, int64_t n,
                             float *y);

typedef struct dot_pair {
    dot_function one, four;
} dot_pair;

static dot_pair dot_functions(wr_format format) {
    switch (format) {
#define CASE(NAME, ...)                                                                            \
    case WR_##NAME:                                                                                \
        return (dot_pair){dot_one_##NAME, dot_four_##NAME};
        WR_LANES_FLOATS(CASE)
        WR_LANES_FORMATS(CASE)
#undef CASE
    }
    assert(false && "a format");
    return (dot_pair){0};
}

static float dot(wr_format format, const void *blocks, const float *x, int64_t weights) {
    float y;
    dot_functions(format).one(blocks, 0, x, weights, &y);
    return y;
}

static void multiply_one(const wr_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                         float *y) {
    const size_t stride = wr_format_row_bytes(w->format, w->columns);
    const uint8_t *rows = w->data;
    const dot_pair functions = dot_functions(w->format);
    int64_t r = row_begin;
    for (; r + ROWS_AT_ONCE <= row_end; r += ROWS_AT_ONCE) {
        functions.four(rows + (size_t)r * stride, stride, x, w->columns, y + r);
    }
    for (; r < row_end; r++) functions.one(rows + (size_t)r * stride, stride, x, w->columns, y + r);
}

/* ---- many inputs: a tile of rows decoded once ------------------------------------------------ */

enum { TILE_ROWS_AT_ONCE = 4 };

/* Part of a product: 4 rows of the tile by up to MATMUL_INPUTS inputs over some of the columns. */
typedef struct part {
    const float *w; /* [4][WR_TILE_COLUMNS], zeros after the last column */
    const float *x; /* [inputs], x_stride apart */
    int64_t x_stride;
    int64_t columns;
    float *sums; /* [inputs][WR_TILE_ROWS][LANES], from the columns before and for those after */
    float *y;    /* [inputs], y_stride apart: 4 results, or fewer */
    int64_t y_stride;
    int rows;         /* of the 4, those that exist */
    bool first, last; /* the columns are the first, the last */
} part;

INLINE void finish_part(const part *p, vec sums[TILE_ROWS_AT_ONCE], float *y) {
    __m128 four = v_sum4(sums[0], sums[1], sums[2], sums[3]);
    if (p->rows == TILE_ROWS_AT_ONCE) {
        _mm_storeu_ps(y, four);
    } else {
        float results[TILE_ROWS_AT_ONCE];
        _mm_storeu_ps(results, four);
        memcpy(y, results, (size_t)p->rows * sizeof *y);
    }
}

/* sums += 4 rows by the inputs at column i, `left` columns of which exist. */
INLINE void multiply_step(const part *p, const int inputs, int64_t i, int64_t left,
                          vec sums[MATMUL_INPUTS][TILE_ROWS_AT_ONCE]) {
    vec x[MATMUL_INPUTS];
    UNROLLED for (int b = 0; b < inputs; b++) {
        const float *from = p->x + b * p->x_stride + i;
        x[b] = left < LANES ? v_load_part(from, left) : v_load(from);
    }
    UNROLLED for (int r = 0; r < TILE_ROWS_AT_ONCE; r++) {
        const vec w = v_load(p->w + r * WR_TILE_COLUMNS + i);
        UNROLLED for (int b = 0; b < inputs; b++) sums[b][r] = v_fma(w, x[b], sums[b][r]);
    }
}

/* The loops are unrolled so that the sums stay in registers from the first line to the last. */
INLINE void multiply_part(const part *p, const int inputs) {
    vec sums[MATMUL_INPUTS][TILE_ROWS_AT_ONCE];
    UNROLLED for (int b = 0; b < inputs; b++) {
        UNROLLED for (int r = 0; r < TILE_ROWS_AT_ONCE; r++) {
            const float *from = p->sums + (b * WR_TILE_ROWS + r) * LANES;
            sums[b][r] = p->first ? v_zero() : v_load(from);
        }
    }
    const int64_t rest = p->columns % LANES, whole = p->columns - rest;
    for (int64_t i = 0; i < whole; i += LANES) multiply_step(p, inputs, i, LANES, sums);
    if (rest != 0) multiply_step(p, inputs, whole, rest, sums);
    if (p->last) {
        UNROLLED for (int b = 0; b < inputs; b++) finish_part(p, sums[b], p->y + b * p->y_stride);
        return;
    }
    UNROLLED for (int b = 0; b < inputs; b++) {
        UNROLLED for (int r = 0; r < TILE_ROWS_AT_ONCE; r++) {
            v_store(p->sums + (b * WR_TILE_ROWS + r) * LANES, sums[b][r]);
        }
    }
}

static void multiply_part_of(const part *p, int64_t inputs) {
    switch (inputs) {
    case 1:
        multiply_part(p, 1);
        return;
    case 2:
        multiply_part(p, 2);
        return;
    case 3:
        multiply_part(p, 3);
        return;
#if WR_WIDE_TILE
    case 4:
        multiply_part(p, 4);
        return;
    case 5:
        multiply_part(p, 5);
        return;
    case 6:
        multiply_part(p, 6);
        return;
#endif
    default:
        assert(false && "at most MATMUL_INPUTS");
    }
}

/* A decoded tile by up to WR_TILE_BATCH inputs: x [batch] inputs, y [batch] results of `rows`. */
typedef struct tile {
    const float *w; /* [columns / WR_TILE_COLUMNS, rounded up][WR_TILE_ROWS][WR_TILE_COLUMNS] */
    int64_t columns;
    int64_t rows;
    float *sums; /* [WR_TILE_BATCH][WR_TILE_ROWS][LANES] */
} tile;

static void multiply_tile(const tile *t, const float *x, int64_t x_stride, int64_t batch, float *y,
                          int64_t y_stride) {
    part p = {.x_stride = x_stride, .y_stride = y_stride};
    for (int64_t c = 0; c < t->columns; c += WR_TILE_COLUMNS) {
        p.columns = t->columns - c < WR_TILE_COLUMNS ? t->columns - c : WR_TILE_COLUMNS;
        p.first = c == 0;
        p.last = c + p.columns == t->columns;
        for (int64_t b = 0; b < batch; b += MATMUL_INPUTS) {
            p.x = x + b * x_stride + c;
            for (int64_t r = 0; r < t->rows; r += TILE_ROWS_AT_ONCE) {
                p.w = t->w + c * WR_TILE_ROWS + r * WR_TILE_COLUMNS;
                p.sums = t->sums + (b * WR_TILE_ROWS + r) * LANES;
                p.y = y + b * y_stride + r;
                p.rows = (int)(t->rows - r < TILE_ROWS_AT_ONCE ? t->rows - r : TILE_ROWS_AT_ONCE);
                multiply_part_of(&p, batch - b < MATMUL_INPUTS ? batch - b : MATMUL_INPUTS);
            }
        }
    }
}

/* Decode t->rows rows, with zeros after the last column and up to a whole group of rows. Pieces of
 * rows lie together as they are used: rows a power of two apart would fight for the same places in
 * the first cache. */
static void decode_tile(const wr_matrix *w, int64_t row, const tile *t, float *to) {
    const size_t stride = wr_format_row_bytes(w->format, w->columns);
    const size_t piece = wr_format_row_bytes(w->format, WR_TILE_COLUMNS);
    const uint8_t *rows = (const uint8_t *)w->data + (size_t)row * stride;
    for (int64_t c = 0; c < t->columns; c += WR_TILE_COLUMNS, rows += piece) {
        const int64_t left = t->columns - c, n = left < WR_TILE_COLUMNS ? left : WR_TILE_COLUMNS;
        for (int64_t r = 0; r < WR_TILE_ROWS; r++, to += WR_TILE_COLUMNS) {
            const int64_t decoded = r < t->rows ? n : 0;
            if (decoded > 0) decode(w->format, rows + (size_t)r * stride, to, n);
            if (decoded < n || n % LANES != 0) {
                memset(to + decoded, 0, (size_t)(WR_TILE_COLUMNS - decoded) * sizeof *to);
            }
        }
    }
}

static void matmul(const wr_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                   int64_t x_stride, int64_t batch, float *y, int64_t y_stride, float *scratch) {
    if (batch == 1) {
        multiply_one(w, row_begin, row_end, x, y);
        return;
    }
    tile t = {.w = scratch, .columns = w->columns};
    t.sums = scratch + WR_TILE_ROWS * WR_TILE_COLUMNS *
                           ((w->columns + WR_TILE_COLUMNS - 1) / WR_TILE_COLUMNS);
    for (int64_t r = row_begin; r < row_end; r += WR_TILE_ROWS) {
        t.rows = row_end - r < WR_TILE_ROWS ? row_end - r : WR_TILE_ROWS;
        decode_tile(w, r, &t, scratch);
        for (int64_t b = 0; b < batch; b += WR_TILE_BATCH) {
            multiply_tile(&t, x + b * x_stride, x_stride,
                          batch - b < WR_TILE_BATCH ? batch - b : WR_TILE_BATCH,
                          y + b * y_stride + r, y_stride);
        }
    }
}

#endif
