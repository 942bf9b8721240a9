/*
 * Products of F32, F16 and BF16 weights with inputs as they are: acc = fma(w, x, acc), column by
 * column. A template over the vector of simd_*.h; includes words_lanes.h.
 *
 * One input: the panels' weights are widened in registers as they come from memory. More: a piece
 * of a few panels is widened once into scratch, in cache, and multiplied with all of them. Widening
 * is exact, so it does not matter which.
 */
#ifndef WR_FLOATS_LANES_H
#define WR_FLOATS_LANES_H

INLINE vec multiply(vec w, vec x, vec acc) { return v_fma(w, x, acc); }

#include "tensor/lanes/words_lanes.h"

/* ---- pieces of panels as floats -------------------------------------------------------------- */

/* Column c of a packed panel, rows [v * LANES, (v + 1) * LANES). BF16: c is even, and column c + 1
 * comes along. */
INLINE void widen(wr_format format, const uint8_t *panel, int64_t c, int v, vec w[2]) {
    const int64_t at = c * WR_PANEL_ROWS + v * LANES;
    if (format == WR_F32) w[0] = v_load(panel + 4 * at);
    if (format == WR_F16) w[0] = v_load_half(panel + 2 * at);
    if (format == WR_BF16) {
        const vec pair = v_load(panel + 2 * c * WR_PANEL_ROWS + 4 * v * LANES);
        w[0] = v_bf16_low(pair);
        w[1] = v_bf16_high(pair);
    }
}

INLINE void widen_panel(wr_format format, const uint8_t *panel, int64_t first, int64_t columns,
                        float *out) {
    const int together = format == WR_BF16 ? 2 : 1;
    for (int64_t c = 0; c < columns; c += together) {
        UNROLLED for (int v = 0; v < PANEL_VECS; v++) {
            vec w[2];
            widen(format, panel, first + c, v, w);
            float *to = out + c * WR_PANEL_ROWS + v * LANES;
            v_store(to, w[0]);
            if (together == 2) v_store(to + WR_PANEL_ROWS, w[1]);
        }
    }
}

/* n <= LANES weights of a row from column c. */
INLINE vec row_part(wr_format format, const uint8_t *row, int64_t c, int64_t n) {
    if (format == WR_F16)
        return n == LANES ? v_load_half(row + 2 * c) : v_load_half_part(row + 2 * c, n);
    if (format == WR_BF16)
        return n == LANES ? v_load_bf16(row + 2 * c) : v_load_bf16_part(row + 2 * c, n);
    return n == LANES ? v_load(row + 4 * c) : v_load_part(row + 4 * c, n);
}

/* The same from rows as GGUF has them. */
INLINE void turn_panel(wr_format format, panel_rows from, int64_t first, int64_t columns,
                       float *out) {
    for (int64_t c = 0; c < columns; c += LANES) {
        const int64_t n = columns - c < LANES ? columns - c : LANES;
        for (int v = 0; v < PANEL_VECS; v++) {
            vec rows[LANES];
            UNROLLED_16 for (int i = 0; i < LANES; i++) {
                const int64_t r = v * LANES + i;
                rows[i] = v_zero();
                if (r < from.rows)
                    rows[i] =
                        row_part(format, from.data + (size_t)r * from.row_bytes, first + c, n);
            }
            store_turned(rows, n, out + c * WR_PANEL_ROWS + v * LANES);
        }
    }
}

/* See stage_words. A last column without its pair has room for a zero: pieces are even or last. */
INLINE const float *stage(wr_format format, const wr_product *job, int64_t panel, int64_t first,
                          int64_t columns, float *out) {
    if (job->w->panels == NULL) {
        turn_panel(format, rows_of_panel(job->w, panel), first, columns, out);
        return out;
    }
    const uint8_t *from = (const uint8_t *)job->w->panels +
                          (size_t)panel * wr_panel_measure(format, job->w->columns).bytes;
    if (format == WR_F32) return (const float *)(const void *)from + first * WR_PANEL_ROWS;
    widen_panel(format, from, first, columns, out);
    return out;
}

/* ---- one input ------------------------------------------------------------------------------- */

/* Panels side by side, so that one's additions do not wait for another's. */
INLINE void stream(wr_format format, const int panels, const wr_product *job, int64_t panel) {
    const int together = format == WR_BF16 ? 2 : 1, vecs = panels * PANEL_VECS;
    const int64_t columns = job->w->columns, even = columns / together * together;
    const size_t bytes = wr_panel_measure(format, columns).bytes;
    const uint8_t *w = (const uint8_t *)job->w->panels + (size_t)panel * bytes;
    const size_t column_bytes = format == WR_F32 ? 64 : 32;
    const float *x = job->x;
    vec sums[STREAM_PANELS * PANEL_VECS];
    UNROLLED_16 for (int i = 0; i < vecs; i++) sums[i] = v_zero();
    int64_t c = 0;
    for (; c < even; c += together) {
        const vec low = v_all(x[c]), high = v_all(x[c + together - 1]);
        UNROLLED_16 for (int i = 0; i < vecs; i++) {
            const uint8_t *from = w + (size_t)(i / PANEL_VECS) * bytes;
            vec weights[2];
            if (i % PANEL_VECS == 0) prefetch(from + (size_t)c * column_bytes + AHEAD);
            widen(format, from, c, i % PANEL_VECS, weights);
            sums[i] = multiply(weights[0], low, sums[i]);
            if (together == 2) sums[i] = multiply(weights[1], high, sums[i]);
        }
    }
    if (c < columns) {
        UNROLLED_16 for (int i = 0; i < vecs; i++) {
            vec weights[2];
            widen(format, w + (size_t)(i / PANEL_VECS) * bytes, c, i % PANEL_VECS, weights);
            sums[i] = multiply(weights[0], v_all(x[c]), sums[i]);
        }
    }
    const int64_t row = panel * WR_PANEL_ROWS;
    UNROLLED_16 for (int i = 0; i < vecs; i++)
        store_rows(job->y + row + i * LANES, sums[i], job->w->rows - row - i * LANES);
}

INLINE void stream_all(wr_format format, const wr_product *job) {
    int64_t p = job->panel_begin;
    for (; p + STREAM_PANELS <= job->panel_end; p += STREAM_PANELS)
        stream(format, STREAM_PANELS, job, p);
    for (; p + 4 <= job->panel_end; p += 4) stream(format, 4, job, p);
    for (; p + 2 <= job->panel_end; p += 2) stream(format, 2, job, p);
    if (p < job->panel_end) stream(format, 1, job, p);
}

/* ---- by format ------------------------------------------------------------------------------- */

#define WR_FLOATS(name)                                                                            \
    static const float *stage_##name(const wr_product *job, int64_t panel, int64_t first,          \
                                     int64_t columns, float *out) {                                \
        return stage(WR_##name, job, panel, first, columns, out);                                  \
    }                                                                                              \
    static void multiply_##name(const wr_product *job) {                                           \
        const wr_matrix *w = job->w;                                                               \
        if (job->batch == 1 && w->panels != NULL)                                                  \
            stream_all(WR_##name, job);                                                            \
        else                                                                                       \
            multiply_tiles(job, w->columns, stage_##name,                                          \
                           wr_panel_measure(w->format, w->columns).bytes);                         \
    }
WR_FLOATS(F32)
WR_FLOATS(F16)
WR_FLOATS(BF16)

static void multiply_floats(const wr_product *job) {
    switch (job->w->format) {
    case WR_F32:
        multiply_F32(job);
        return;
    case WR_F16:
        multiply_F16(job);
        return;
    default:
        multiply_BF16(job);
    }
}

#endif
