/*
 * Products of BF16 weights in AMX tiles: 16 inputs by 16 rows by 16 pairs of columns at once.
 *
 * A packed panel is a row of tiles as it is: a line of memory is a pair of columns of 16 rows. An
 * input's row is a tile's row. A tile's sums depend on the two rows that meet in each and on their
 * order alone, so one input, whose tiles have one row, gets the bits that it gets among others.
 *
 * Rows are taken in pieces, so that inputs and weights stay in cache while they meet; the sums wait
 * in y. Tiles are configured and released within a call, so other code never meets them.
 */
#include <immintrin.h>
#include <string.h>

#include "tensor/lanes/floats.h"
#include "tensor/x86/simd_avx512.h"
#include "tensor/x86/tile_shapes.h"

enum {
    SIDE = 16,         /* of a tile: inputs, rows of weights, pairs */
    TILE_BYTES = 1024, /* of weights */
    PIECE_PAIRS = 256, /* of a row */
    PIECE_PANELS = 8,  /* whose piece is staged, where it must be */
    BLOCK_INPUTS = 32, /* two tiles */
    STREAM_PANELS = 4, /* side by side for one input */
    AHEAD = 2048       /* bytes that weights are asked for before their turn */
};

/* ---- inputs ---------------------------------------------------------------------------------- */

/* To nearest, ties to even; NaNs quiet: bf16_of_float() of the scalar table. */
static __m256i rounded(__m512i bits) {
    const __m512i size = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(size, _mm512_set1_epi32(0x7f800000));
    const __m512i upper = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(upper, nan, quiet));
}

void wr_amx_pairs_prepare(const float *x, int64_t columns, void *out) {
    uint16_t *to = out;
    const int64_t room = (int64_t)wr_input_bytes(WR_INPUT_BF16, columns) / 2;
    for (int64_t i = 0; i < room; i += 16) {
        const int64_t left = columns - i;
        const vec row = left >= 16 ? v_load(x + i) : left > 0 ? v_load_part(x + i, left) : v_zero();
        _mm256_storeu_si256((__m256i *)(void *)(to + i), rounded(_mm512_castps_si512(row)));
    }
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Sums: tiles 0 and 1 of the first inputs, 2 and 3 of the second. Inputs: 4 and 5. Weights: 6
 * and 7. For `inputs` <= 32. A tile that these do not need keeps one row. */
static void configure(int64_t inputs) {
    tile_shapes shapes = {.palette = 1};
    const int64_t first = inputs < SIDE ? inputs : SIDE;
    const int64_t second = inputs > SIDE ? inputs - SIDE : 1;
    for (int i = 0; i < 8; i++) {
        const bool of_first = i < 2 || i == 4, of_weights = i >= 6;
        shapes.rows[i] = (uint8_t)(of_weights ? SIDE : of_first ? first : second);
        shapes.row_bytes[i] = 64;
    }
    load_shapes(&shapes);
}

/* Up to 32 inputs times one or two panels. */
typedef struct block {
    const uint8_t *w; /* tiles of the first panel */
    size_t w_step;    /* bytes to the second */
    const uint8_t *x; /* 32 lines for each tile of weights: those of the inputs */
    int64_t tiles;
    float *y;
    size_t y_stride; /* bytes */
    bool resume;     /* go on with the sums in y */
} block;

INLINE void multiply_block(const int panels, const int halves, const block *b) {
    float *second = b->y + SIDE * b->y_stride / sizeof(float);
    settle_memory();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (b->resume) {
        _tile_loadd(0, b->y, b->y_stride);
        if (panels == 2) _tile_loadd(1, b->y + SIDE, b->y_stride);
        if (halves == 2) _tile_loadd(2, second, b->y_stride);
        if (panels == 2 && halves == 2) _tile_loadd(3, second + SIDE, b->y_stride);
    }
    for (int64_t i = 0; i < b->tiles; i++) {
        const uint8_t *w = b->w + i * TILE_BYTES, *x = b->x + i * BLOCK_INPUTS * 64;
        _tile_loadd(4, x, 64);
        _tile_loadd(6, w, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (panels == 2) _tile_loadd(7, w + b->w_step, 64);
        if (panels == 2) _tile_dpbf16ps(1, 4, 7);
        if (halves == 2) _tile_loadd(5, x + SIDE * 64, 64);
        if (halves == 2) _tile_dpbf16ps(2, 5, 6);
        if (panels == 2 && halves == 2) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, b->y, b->y_stride);
    if (panels == 2) _tile_stored(1, b->y + SIDE, b->y_stride);
    if (halves == 2) _tile_stored(2, second, b->y_stride);
    if (panels == 2 && halves == 2) _tile_stored(3, second + SIDE, b->y_stride);
    settle_memory();
}

static void multiply(const block *b, int panels, int64_t inputs) {
    if (panels == 2 && inputs > SIDE) multiply_block(2, 2, b);
    if (panels == 2 && inputs <= SIDE) multiply_block(2, 1, b);
    if (panels == 1 && inputs > SIDE) multiply_block(1, 2, b);
    if (panels == 1 && inputs <= SIDE) multiply_block(1, 1, b);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Rows as GGUF has them: pairs [first, first + 16 tiles) of a panel, zeros beyond the row's end. */
static void turn_panel(const wr_matrix *w, int64_t panel, int64_t first, int64_t tiles,
                       uint8_t *out) {
    const size_t row_bytes = wr_format_row_bytes(WR_BF16, w->columns);
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t column = (first + t * SIDE) * 2, left = w->columns - column;
        const __mmask32 mask = left >= 32 ? 0xffffffffu : (__mmask32)((1ull << left) - 1);
        vec rows[LANES];
        UNROLLED_16 for (int i = 0; i < LANES; i++) {
            const int64_t r = panel * SIDE + i;
            const uint8_t *row = (const uint8_t *)w->data + (size_t)r * row_bytes + 2 * column;
            rows[i] =
                r < w->rows ? _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, row)) : v_zero();
        }
        v_transpose(rows);
        UNROLLED_16 for (int i = 0; i < LANES; i++) v_store(out + t * TILE_BYTES + i * 64, rows[i]);
    }
}

/* Some words of each row, of some panels. */
typedef struct piece {
    const wr_product *job;
    int64_t panel, panels, first, pairs, tiles;
    const uint8_t *w;
    size_t w_step;     /* bytes */
    uint8_t *near;     /* [tiles][32 inputs][64] */
    float *last_panel; /* [32][16]: where the sums of a panel that the matrix cuts go first */
} piece;

static const uint8_t *packed_panel(const wr_matrix *w, int64_t panel) {
    return (const uint8_t *)w->panels + (size_t)panel * wr_panel_measure(WR_BF16, w->columns).bytes;
}

/* Whole tiles of packed panels are used as they lie; others are made in `staged`. */
static void stage(piece *p, uint8_t *staged) {
    const wr_matrix *w = p->job->w;
    const size_t bytes = (size_t)p->tiles * TILE_BYTES, from = (size_t)p->first * 64;
    p->w = staged;
    p->w_step = bytes;
    if (w->panels != NULL && p->pairs % SIDE == 0) {
        p->w = packed_panel(w, p->panel) + from;
        p->w_step = wr_panel_measure(WR_BF16, w->columns).bytes;
        return;
    }
    for (int64_t i = 0; i < p->panels; i++, staged += bytes) {
        if (w->panels == NULL) {
            turn_panel(w, p->panel + i, p->first, p->tiles, staged);
        } else {
            memcpy(staged, packed_panel(w, p->panel + i) + from, (size_t)p->pairs * 64);
            memset(staged + p->pairs * 64, 0, bytes - (size_t)p->pairs * 64);
        }
    }
}

/* ---- products -------------------------------------------------------------------------------- */

static void gather_inputs(const piece *p, int64_t input, int64_t inputs) {
    for (int64_t k = 0; k < inputs; k++) {
        const uint8_t *x = (const uint8_t *)wr_product_input(p->job, input + k) + p->first * 4;
        for (int64_t t = 0; t < p->tiles; t++)
            v_store(p->near + (t * BLOCK_INPUTS + k) * 64, v_load(x + t * 64));
    }
}

/* A panel whose last rows the matrix lacks: its sums reach y by way of a buffer. */
static void multiply_last(const piece *p, block b, int64_t inputs, int64_t rows) {
    float *y = b.y;
    const size_t stride = b.y_stride / sizeof(float);
    b.y = p->last_panel;
    b.y_stride = 64;
    for (int64_t k = 0; k < inputs && b.resume; k++)
        v_store(b.y + k * SIDE, v_load_part(y + (size_t)k * stride, rows));
    multiply(&b, 1, inputs);
    for (int64_t k = 0; k < inputs; k++)
        v_store_part(y + (size_t)k * stride, v_load(b.y + k * SIDE), rows);
}

static void multiply_inputs(const piece *p, int64_t input, int64_t inputs) {
    const wr_product *job = p->job;
    block b = {.w_step = p->w_step,
               .x = p->near,
               .tiles = p->tiles,
               .y_stride = (size_t)job->y_stride * sizeof(float),
               .resume = p->first > 0};
    gather_inputs(p, input, inputs);
    for (int64_t i = 0, panels; i < p->panels; i += panels) {
        const int64_t row = (p->panel + i) * SIDE, rows = job->w->rows - row;
        panels = p->panels - i >= 2 && rows >= 2 * SIDE ? 2 : 1;
        b.w = p->w + (size_t)i * p->w_step;
        b.y = job->y + input * job->y_stride + row;
        if (rows < SIDE)
            multiply_last(p, b, inputs, rows);
        else
            multiply(&b, (int)panels, inputs);
    }
}

static void multiply_piece(const piece *p) {
    int64_t configured = 0;
    for (int64_t input = 0, inputs; input < p->job->batch; input += inputs) {
        const int64_t left = p->job->batch - input;
        inputs = left < BLOCK_INPUTS ? left : BLOCK_INPUTS;
        if (inputs != configured) configure(inputs);
        configured = inputs;
        multiply_inputs(p, input, inputs);
    }
}

static void multiply_panels(piece *p, int64_t pairs) {
    const int64_t most = pairs < PIECE_PAIRS ? pairs : PIECE_PAIRS;
    const size_t tiles = (size_t)(most + SIDE - 1) / SIDE;
    uint8_t *staged = p->job->scratch;
    p->last_panel = (float *)(void *)staged;
    staged += BLOCK_INPUTS * 64;
    p->near = staged + PIECE_PANELS * tiles * TILE_BYTES;
    for (p->first = 0; p->first < pairs; p->first += p->pairs) {
        p->pairs = pairs - p->first < PIECE_PAIRS ? pairs - p->first : PIECE_PAIRS;
        p->tiles = (p->pairs + SIDE - 1) / SIDE;
        stage(p, staged);
        multiply_piece(p);
    }
}

/* ---- one input ------------------------------------------------------------------------------- */

INLINE void prefetch_tile(const uint8_t *w) {
    UNROLLED_16 for (int line = 0; line < 16; line++) prefetch(w + AHEAD + line * 64);
}

/* One row of four panels, the tiles beside each other. */
static void stream(const wr_product *job, int64_t panel) {
    const size_t bytes = wr_panel_measure(WR_BF16, job->w->columns).bytes;
    const uint8_t *w = packed_panel(job->w, panel), *x = job->x;
    settle_memory();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < job->w->columns / 32; i++, w += TILE_BYTES, x += 64) {
        _tile_loadd(4, x, 64);
        prefetch_tile(w);
        _tile_loadd(6, w, 64);
        _tile_dpbf16ps(0, 4, 6);
        prefetch_tile(w + bytes);
        _tile_loadd(7, w + bytes, 64);
        _tile_dpbf16ps(1, 4, 7);
        prefetch_tile(w + 2 * bytes);
        _tile_loadd(6, w + 2 * bytes, 64);
        _tile_dpbf16ps(2, 4, 6);
        prefetch_tile(w + 3 * bytes);
        _tile_loadd(7, w + 3 * bytes, 64);
        _tile_dpbf16ps(3, 4, 7);
    }
    float *y = job->y + panel * SIDE;
    _tile_stored(0, y, 64);
    _tile_stored(1, y + SIDE, 64);
    _tile_stored(2, y + 2 * SIDE, 64);
    _tile_stored(3, y + 3 * SIDE, 64);
    settle_memory();
}

/* Whole panels of whole tiles by one input; returns how far it came. */
static int64_t stream_all(const wr_product *job) {
    int64_t panel = job->panel_begin;
    if (job->batch > 1 || job->w->panels == NULL || job->w->columns % 32 != 0) return panel;
    configure(1);
    for (;
         panel + STREAM_PANELS <= job->panel_end && (panel + STREAM_PANELS) * SIDE <= job->w->rows;
         panel += STREAM_PANELS)
        stream(job, panel);
    return panel;
}

void wr_amx_pairs_product(const wr_product *job) {
    piece p = {.job = job};
    for (p.panel = stream_all(job); p.panel < job->panel_end; p.panel += p.panels) {
        const int64_t panels = job->panel_end - p.panel;
        p.panels = panels < PIECE_PANELS ? panels : PIECE_PANELS;
        multiply_panels(&p, (job->w->columns + 1) / 2);
    }
    _tile_release();
}
