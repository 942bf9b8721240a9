/*
 * Products of panels of words: the weights of a column, or of a pair of bfloat16 columns, are one
 * 32-bit word per row, and so is what stands beside it in an input. A template over the vector of
 * simd_*.h and over multiply(w, x, acc), which adds the product of two vectors of words.
 *
 *     panel   word 0 of rows 0 ... 15, word 1 of rows 0 ... 15, ...
 *     input   word 0, word 1, ...
 *
 * Lanes are rows and every sum has one accumulator, so a row's bits depend on its weights and one
 * input alone: whatever is done side by side (panels, inputs) or cut up (columns) changes nothing.
 */
#ifndef WR_WORDS_LANES_H
#define WR_WORDS_LANES_H

#include "tensor/kernels.h"

enum {
    PANEL_VECS = WR_PANEL_ROWS / LANES,
    TILE_INPUTS = 6,
    TILE_PANELS = LANES == 16 ? 4 : 1, /* 24 accumulators of 32 registers, or 12 of 16 */
    LINE_WORDS = 16,
    PIECE_WORDS = 256,
    PIECE_PANELS = 8,
    BLOCK_INPUTS = 480, /* whose words of a piece stay in cache while its panels pass */
    STREAM_PANELS = LANES == 16 ? 8 : 4,
    AHEAD = 1024 /* bytes that a panel's weights are asked for before their turn */
};

/* Panels side by side times a few inputs. */
typedef struct tile {
    const float *w; /* word 0 of the first panel */
    size_t w_step;  /* words from one panel to the next */
    const uint8_t *x;
    size_t x_stride; /* bytes */
    int64_t words;
    float *y; /* row 0 of the first panel, input 0 */
    int64_t y_stride;
    int64_t rows; /* from there to the matrix's end; may exceed the tile */
    bool resume;  /* go on with the sums in y */
} tile;

/* ---- rows of y: a panel's last rows may lie beyond the matrix -------------------------------- */

INLINE vec load_rows(const float *y, int64_t rows) {
    if (rows >= LANES) return v_load(y);
    return rows > 0 ? v_load_part(y, rows) : v_zero();
}

INLINE void store_rows(float *y, vec sums, int64_t rows) {
    if (rows >= LANES)
        v_store(y, sums);
    else if (rows > 0)
        v_store_part(y, sums, rows);
}

/* ---- many inputs ----------------------------------------------------------------------------- */

/* Pointers to every third input, so that three registers reach six of them. */
INLINE const float *input_word(const uint8_t *const x[2], size_t stride, int input, int word) {
    return (const float *)(const void *)(x[input / 3] + (size_t)(input % 3) * stride) + word;
}

/* While a line of every input is multiplied: ask for those of the next inputs, and for what was
 * summed for one of them. */
INLINE void prefetch_next(const tile *t, int64_t word, int inputs) {
    const uint8_t *x = t->x + TILE_INPUTS * t->x_stride + 4 * word;
    UNROLLED for (int k = 0; k < inputs; k++) prefetch(x + (size_t)k * t->x_stride);
    const float *y = t->y + (TILE_INPUTS + word / LINE_WORDS) * t->y_stride;
    UNROLLED for (int i = 0; i < TILE_PANELS; i++) prefetch(y + i * WR_PANEL_ROWS);
}

INLINE void multiply_tile(const int panels, const int inputs, const tile *t) {
    vec sums[TILE_INPUTS][TILE_PANELS * PANEL_VECS];
    const int vecs = panels * PANEL_VECS;
    UNROLLED for (int k = 0; k < inputs; k++) UNROLLED for (int i = 0; i < vecs; i++) {
        const float *y = t->y + k * t->y_stride + i * LANES;
        sums[k][i] = t->resume ? load_rows(y, t->rows - i * LANES) : v_zero();
    }
    const uint8_t *x[2] = {t->x, t->x + 3 * t->x_stride};
    const float *w = t->w;
    const size_t step = t->w_step, stride = t->x_stride;
    for (int64_t done = 0; done < t->words; done += LINE_WORDS) {
        const int64_t here = t->words - done < LINE_WORDS ? t->words - done : LINE_WORDS;
        prefetch_next(t, done, inputs);
        for (int64_t left = here; left > 0; left--) {
            vec weights[TILE_PANELS * PANEL_VECS];
            UNROLLED for (int i = 0; i < vecs; i++) {
                weights[i] = v_load(w + (size_t)(i / PANEL_VECS) * step + i % PANEL_VECS * LANES);
            }
            UNROLLED for (int k = 0; k < inputs; k++) {
                const vec all = v_all(*input_word(x, stride, k, 0));
                UNROLLED for (int i = 0; i < vecs; i++) {
                    sums[k][i] = multiply(weights[i], all, sums[k][i]);
                }
            }
            w += WR_PANEL_ROWS;
            x[0] += 4;
            x[1] += 4;
        }
    }
    UNROLLED for (int k = 0; k < inputs; k++) UNROLLED for (int i = 0; i < vecs; i++)
        store_rows(t->y + k * t->y_stride + i * LANES, sums[k][i], t->rows - i * LANES);
}

/* One function for each shape of tile. */
#define WR_TILES(name, panels)                                                                     \
    static void name(const tile *t, int64_t inputs) {                                              \
        switch (inputs) {                                                                          \
        case 1:                                                                                    \
            multiply_tile(panels, 1, t);                                                           \
            return;                                                                                \
        case 2:                                                                                    \
            multiply_tile(panels, 2, t);                                                           \
            return;                                                                                \
        case 3:                                                                                    \
            multiply_tile(panels, 3, t);                                                           \
            return;                                                                                \
        case 4:                                                                                    \
            multiply_tile(panels, 4, t);                                                           \
            return;                                                                                \
        case 5:                                                                                    \
            multiply_tile(panels, 5, t);                                                           \
            return;                                                                                \
        default:                                                                                   \
            multiply_tile(panels, 6, t);                                                           \
        }                                                                                          \
    }
WR_TILES(tile_of_1, 1)
#if WR_WIDE_TILE
WR_TILES(tile_of_2, 2)
WR_TILES(tile_of_4, 4)
#endif

/* As many of `panels` as a tile takes. */
static inline int64_t tile_panels(int64_t panels) {
    if (TILE_PANELS == 1) return 1;
    return panels >= 4 ? 4 : panels >= 2 ? 2 : 1;
}

/* A few panels times a block of inputs. */
static void multiply_inputs(tile t, int64_t panels, int64_t inputs) {
    for (; inputs > 0; inputs -= TILE_INPUTS) {
        const int64_t here = inputs < TILE_INPUTS ? inputs : TILE_INPUTS;
        if (panels == 1) tile_of_1(&t, here);
#if WR_WIDE_TILE
        if (panels == 2) tile_of_2(&t, here);
        if (panels == 4) tile_of_4(&t, here);
#endif
        t.x += TILE_INPUTS * t.x_stride;
        t.y += TILE_INPUTS * t.y_stride;
    }
}

/* Panels times all inputs, over words [first, first + words) of the rows. */
typedef struct piece {
    int64_t panel, panels, first, words;
    const float *w;
    size_t w_step; /* words */
} piece;

static void multiply_piece(const wr_product *job, const piece *p) {
    for (int64_t b = 0; b < job->batch; b += BLOCK_INPUTS) {
        const int64_t inputs = job->batch - b < BLOCK_INPUTS ? job->batch - b : BLOCK_INPUTS;
        for (int64_t i = 0, few; i < p->panels; i += few) {
            few = tile_panels(p->panels - i);
            const int64_t row = (p->panel + i) * WR_PANEL_ROWS;
            const tile t = {.w = p->w + (size_t)i * p->w_step,
                            .w_step = p->w_step,
                            .x = (const uint8_t *)wr_product_input(job, b) + p->first * 4,
                            .x_stride = job->x_stride,
                            .words = p->words,
                            .y = job->y + b * job->y_stride + row,
                            .y_stride = job->y_stride,
                            .rows = job->w->rows - row,
                            .resume = p->first > 0};
            multiply_inputs(t, few, inputs);
        }
    }
}

/*
 * A job in pieces. stage(job, panel, first word, words, out) writes a panel's words to `out`, or
 * returns where they lie already.
 */
typedef const float *(*stage_words)(const wr_product *job, int64_t panel, int64_t first,
                                    int64_t words, float *out);

static void multiply_tiles(const wr_product *job, int64_t words, stage_words stage,
                           size_t panel_bytes) {
    float *staged = job->scratch;
    for (int64_t panel = job->panel_begin; panel < job->panel_end; panel += PIECE_PANELS) {
        const int64_t left = job->panel_end - panel;
        piece p = {.panel = panel, .panels = left < PIECE_PANELS ? left : PIECE_PANELS};
        for (p.first = 0; p.first < words; p.first += p.words) {
            p.words = words - p.first < PIECE_WORDS ? words - p.first : PIECE_WORDS;
            const size_t room = (size_t)p.words * WR_PANEL_ROWS;
            p.w = stage(job, panel, p.first, p.words, staged);
            for (int64_t i = 1; i < p.panels; i++)
                stage(job, panel + i, p.first, p.words, staged + (size_t)i * room);
            p.w_step = p.w == staged ? room : panel_bytes / sizeof(float);
            multiply_piece(job, &p);
        }
    }
}

/* ---- turning rows into panels ---------------------------------------------------------------- */

/* The rows of one panel, which may end before the panel does. */
typedef struct panel_rows {
    const uint8_t *data;
    size_t row_bytes;
    int64_t rows;
} panel_rows;

static panel_rows rows_of_panel(const wr_matrix *w, int64_t panel) {
    const size_t row_bytes = wr_format_row_bytes(w->format, w->columns);
    const int64_t first = panel * WR_PANEL_ROWS;
    return (panel_rows){(const uint8_t *)w->data + (size_t)first * row_bytes, row_bytes,
                        w->rows - first};
}

/* Store n <= LANES words of LANES rows, given by rows, as words of a panel. */
INLINE void store_turned(vec rows[LANES], int64_t n, float *out) {
    v_transpose(rows);
    if (n == LANES) {
        UNROLLED_16 for (int j = 0; j < LANES; j++) v_store(out + j * WR_PANEL_ROWS, rows[j]);
        return;
    }
    float all[LANES][LANES];
    UNROLLED_16 for (int j = 0; j < LANES; j++) v_store(all[j], rows[j]);
    for (int64_t j = 0; j < n; j++) v_store(out + j * WR_PANEL_ROWS, v_load(all[j]));
}

#endif
