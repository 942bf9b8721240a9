/*
 * Products of quantised weights in tiles. A template over bytes_simd_*.h and c_dot().
 *
 * A tile is a few panels (16 rows each) by a few inputs; its sums stay in registers for the whole
 * length of the rows. Small batches read the packed codes directly, one input from several panels
 * side by side; for large batches a group of panels is unpacked first, small enough to stay in the
 * second-level cache, and all inputs pass by it. Either way every sum has the order of kernels.h.
 *
 * The including file defines UNPACKED_OFFSET (codes_lanes.h), SIGNED_WIDE (1: c_dot takes codes of
 * 8 bits as u - 128, so that sums start from 0), TILE_PANELS, TILE_INPUTS, DIRECT_INPUTS
 * (of a tile), DIRECT_BATCH, SIDE_BY_SIDE (panels for one input: 1, 2, 4 or 8) and
 *
 *     sums c_dot(sums sum, codes w, words x, bool wide)      sum of each row += 4 products
 */
#ifndef WR_TILES_LANES_H
#define WR_TILES_LANES_H

#include "tensor/lanes/codes_lanes.h"

enum {
    AHEAD_ALONE = 4096,       /* of one panel: bytes between what is multiplied and asked for */
    GROUP_BYTES = 384 * 1024, /* of unpacked panels */
    MOST_INPUTS = 8,
    MOST_PANELS = 8
};

/* Panels (the first; the next lies `step` bytes behind) by inputs. */
typedef struct tile {
    const uint8_t *codes_at, *scales_at;
    size_t step;
    int64_t columns;
    const uint8_t *x; /* the first input */
    size_t x_stride;
    float *y; /* of the first row and input */
    int64_t y_stride;
    int64_t rows; /* how many there are; more than the tile has count as all */
    wr_ahead ahead;
} tile;

/* Where the numbers of a run, or of a block of 256 columns, lie behind the start of an input. */
typedef struct run_places {
    int64_t q, a, totals, start;
} run_places;

INLINE run_places places_of(kind_info info, int64_t columns, int64_t column) {
    const int64_t run = column / 32, runs = columns / 32;
    if (info.columns == 32)
        return (run_places){column, columns + 4 * run, columns + 4 * (runs + run),
                            columns + 4 * (2 * runs + run)};
    const int64_t numbers = columns + columns / 4, totals = numbers + columns / 256 * 4;
    if (info.run == 32)
        return (run_places){column, numbers + column / 256 * 4, totals + 4 * run,
                            totals + 4 * (3 * runs + run)};
    return (run_places){column, numbers + column / 256 * 4, totals + 4 * (runs + column / 16),
                        totals + 4 * (4 * runs + column / 16)};
}

/* What the sums of a run start from. */
INLINE sums start_of(kind_info info, const uint8_t *start) {
    if (info.offset == 0 || (info.wide && SIGNED_WIDE)) return i_zero();
    int shift = 0;
    while (info.offset << shift < 128) shift++;
    return i_shift(i_all(start), shift);
}

/* A piece on its way: where a tile is in its panels. */
typedef struct place {
    const uint8_t *codes_at, *scales_at; /* of the block, in the first panel */
    int64_t part, column;
} place;

/* The sums of run `half` of a piece. */
INLINE void dot_run(int kind, const tile *t, int panels, int inputs, const uint8_t *const x[],
                    place from, int piece, int half, sums dot[MOST_PANELS][MOST_INPUTS]) {
    const kind_info info = info_of(kind);
    const int count = info.run / 4;
    const run_places at = places_of(info, t->columns, from.column + piece * 32 + half * 16);
    UNROLLED for (int b = 0; b < inputs; b++) {
        UNROLLED for (int p = 0; p < panels; p++) dot[p][b] = start_of(info, x[b] + at.start);
    }
    UNROLLED for (int i = 0; i < count; i++) {
        codes w[MOST_PANELS];
        UNROLLED for (int p = 0; p < panels; p++) {
            const uint8_t *codes_at = from.codes_at + (size_t)p * t->step;
            w[p] = codes_of(kind, codes_at, from.part, piece, half * count + i);
        }
        UNROLLED for (int b = 0; b < inputs; b++) {
            const words q = c_words(x[b] + at.q + 4 * i);
            UNROLLED for (int p = 0; p < panels; p++) dot[p][b] =
                c_dot(dot[p][b], w[p], q, info.wide);
        }
    }
}

/* acc += a block of 32 columns. */
INLINE void add_run(int kind, const tile *t, int panels, int inputs, const uint8_t *const x[],
                    place from, floats acc[MOST_PANELS][MOST_INPUTS]) {
    const kind_info info = info_of(kind);
    const run_places at = places_of(info, t->columns, from.column);
    sums dot[MOST_PANELS][MOST_INPUTS];
    dot_run(kind, t, panels, inputs, x, from, 0, 0, dot);
    UNROLLED for (int p = 0; p < panels; p++) {
        const scales s = scales_of(kind, from.scales_at + (size_t)p * t->step);
        UNROLLED for (int b = 0; b < inputs; b++) {
            const floats scale = f_mul(s.s, f_all(x[b] + at.a));
            acc[p][b] = f_fma(f_of_sums(dot[p][b]), scale, acc[p][b]);
            if (info.minima) acc[p][b] = f_fma(f_all(x[b] + at.totals), s.m, acc[p][b]);
        }
    }
}

/* total += a piece of a block of 256 columns. */
INLINE void add_piece(int kind, const tile *t, int panels, int inputs, const uint8_t *const x[],
                      place from, int piece, sums total[MOST_PANELS][MOST_INPUTS]) {
    const kind_info info = info_of(kind);
    const int runs = 32 / info.run, pieces = info.columns / 32 / info.parts;
    UNROLLED for (int half = 0; half < runs; half++) {
        sums dot[MOST_PANELS][MOST_INPUTS];
        dot_run(kind, t, panels, inputs, x, from, piece, half, dot);
        UNROLLED for (int p = 0; p < panels; p++) {
            const sums s = run_scale_of(kind, from.scales_at + (size_t)p * t->step,
                                        (from.part * pieces + piece) * runs + half);
            UNROLLED for (int b = 0; b < inputs; b++) total[p][b] =
                i_add(total[p][b], i_mul(dot[p][b], s));
        }
    }
}

/* value += the minima of a block of 256 columns: whole numbers below 2^24, so floats are exact. */
INLINE void add_minima(int kind, const tile *t, int panels, int inputs, const uint8_t *const x[],
                       place from, floats value[MOST_PANELS][MOST_INPUTS]) {
    const kind_info info = info_of(kind);
    const run_places at = places_of(info, t->columns, from.column);
    floats minima[MOST_PANELS][MOST_INPUTS];
    UNROLLED for (int p = 0; p < panels; p++) {
        UNROLLED for (int b = 0; b < inputs; b++) minima[p][b] = f_zero();
    }
    for (int64_t run = 0; run < 256 / info.run; run++) {
        UNROLLED for (int p = 0; p < panels; p++) {
            const floats m = run_minimum_of(kind, from.scales_at + (size_t)p * t->step, run);
            UNROLLED for (int b = 0; b < inputs; b++) minima[p][b] =
                f_fma(f_all(x[b] + at.totals + 4 * run), m, minima[p][b]);
        }
    }
    UNROLLED for (int p = 0; p < panels; p++) {
        const floats m = scales_of(kind, from.scales_at + (size_t)p * t->step).m;
        UNROLLED for (int b = 0; b < inputs; b++) value[p][b] = f_fma(m, minima[p][b], value[p][b]);
    }
}

/* acc += the total of a block of 256 columns, and its minima. */
INLINE void add_total(int kind, const tile *t, int panels, int inputs, const uint8_t *const x[],
                      place from, sums total[MOST_PANELS][MOST_INPUTS],
                      floats acc[MOST_PANELS][MOST_INPUTS]) {
    const kind_info info = info_of(kind);
    const run_places at = places_of(info, t->columns, from.column);
    floats value[MOST_PANELS][MOST_INPUTS];
    UNROLLED for (int p = 0; p < panels; p++) {
        const floats d = scales_of(kind, from.scales_at + (size_t)p * t->step).s;
        UNROLLED for (int b = 0; b < inputs; b++) {
            value[p][b] = f_mul(d, f_of_sums(total[p][b]));
            total[p][b] = i_zero();
        }
    }
    if (info.minima) add_minima(kind, t, panels, inputs, x, from, value);
    UNROLLED for (int p = 0; p < panels; p++) {
        UNROLLED for (int b = 0; b < inputs; b++) acc[p][b] =
            f_fma(value[p][b], f_all(x[b] + at.a), acc[p][b]);
    }
}

/* Codes or scales of a tile's panels that are read from memory, and asked for while they are
 * multiplied. */
typedef struct coming {
    const uint8_t *turn; /* of the first panel: from here on, what is ahead is in the next tile */
    uintptr_t near, far; /* bytes to what is ahead, before and from `turn` on */
} coming;

/* Bytes between what is multiplied and what is asked for. A block of 256 columns is read less
 * evenly, and least so where some bits are shared by all of its pieces. */
INLINE uintptr_t ahead_of(int kind, int panels) {
    if (panels == 1) return AHEAD_ALONE;
    if (info_of(kind).columns == 32) return 512;
    return kind == WR_Q3_K || kind == WR_Q5_K || kind == WR_Q6_K ? 1536 : 1280;
}

/* `bytes` of them begin at `at`. */
INLINE coming coming_of(const uint8_t *at, size_t bytes, const tile *t, int panels,
                        uintptr_t ahead) {
    const uintptr_t turn = bytes > ahead ? bytes - ahead : 0;
    return (coming){at + turn, ahead, ahead + (size_t)panels * t->step - bytes};
}

/* Ask for the lines that come after the `bytes` at `at` in each panel. */
INLINE void ask(const coming *c, const uint8_t *at, int bytes, const tile *t, int panels) {
    const uintptr_t to = (uintptr_t)at + (at < c->turn ? c->near : c->far);
    UNROLLED for (int p = 0; p < panels; p++) {
        UNROLLED for (int i = 0; i < bytes; i += 64)
            __builtin_prefetch((const void *)(to + (size_t)p * t->step + (size_t)i), 0, 2);
    }
}

/* `direct`: panels from memory, not of a group; unless the tile says what to ask for, it asks for
 * what is next. */
INLINE void multiply_tile(int kind, const tile *t, int panels, int inputs, bool direct) {
    const kind_info info = info_of(kind);
    const int pieces = info.columns / 32 / info.parts;
    const int bytes = info.codes / info.parts / pieces;
    const size_t blocks = (size_t)(t->columns / info.columns);
    const coming next_codes =
        coming_of(t->codes_at, blocks * (size_t)info.codes, t, panels, ahead_of(kind, panels));
    const coming next_scales =
        coming_of(t->scales_at, blocks * (size_t)info.scales, t, panels, ahead_of(kind, panels));
    const uint8_t *x[MOST_INPUTS];
    place at = {t->codes_at, t->scales_at, 0, 0};
    wr_ahead ahead = t->ahead;
    const bool next = direct && ahead.lines == 0;
    floats acc[MOST_PANELS][MOST_INPUTS];
    sums total[MOST_PANELS][MOST_INPUTS];
    UNROLLED for (int b = 0; b < inputs; b++) {
        x[b] = t->x + (size_t)b * t->x_stride;
        UNROLLED for (int p = 0; p < panels; p++) {
            acc[p][b] = f_zero();
            total[p][b] = i_zero();
        }
    }
    for (; at.column < t->columns; at.column += info.columns) {
        place part = at;
        for (; part.part < info.parts; part.part++, part.column += 32 * pieces) {
            UNROLLED for (int piece = 0; piece < pieces; piece++) {
                const uint8_t *here = at.codes_at + (part.part * pieces + piece) * bytes;
                if (next) ask(&next_codes, here, bytes, t, panels);
                if (info.columns == 32)
                    add_run(kind, t, panels, inputs, x, part, acc);
                else
                    add_piece(kind, t, panels, inputs, x, part, piece, total);
            }
            wr_ahead_step(&ahead);
        }
        if (info.columns == 256) add_total(kind, t, panels, inputs, x, at, total, acc);
        if (next) ask(&next_scales, at.scales_at, info.scales, t, panels);
        at.codes_at += info.codes;
        at.scales_at += info.scales;
    }
    UNROLLED for (int p = 0; p < panels; p++) {
        const int64_t rows = t->rows - 16 * p;
        UNROLLED for (int b = 0; b < inputs; b++)
            f_store(t->y + b * t->y_stride + 16 * p, acc[p][b], rows < 16 ? (int)rows : 16);
    }
}

/* ---- tiles of every kind and size ------------------------------------------------------------ */

#define TILE(KIND, name, panels, inputs)                                                           \
    static void tile_##name##_##panels##_##inputs(const tile *t) {                                 \
        multiply_tile(KIND, t, panels, inputs, false);                                             \
    }

typedef void (*tile_function)(const tile *t);

#define DIRECT_TILE(KIND, name, panels, inputs)                                                    \
    static void tile_##name##_##panels##_##inputs(const tile *t) {                                 \
        multiply_tile(KIND, t, panels, inputs, true);                                              \
    }
#define DIRECT_TILES(NAME)                                                                         \
    EACH_DIRECT(DIRECT_TILE, WR_##NAME, NAME, 1)                                                   \
    static void side_by_side_##NAME(const tile *t) {                                               \
        multiply_tile(WR_##NAME, t, SIDE_BY_SIDE(WR_##NAME), 1, true);                             \
    }
WR_BYTES_FORMATS(DIRECT_TILES)
#undef DIRECT_TILES

/* [panels - 1][inputs - 1] */
#define UNPACKED_TILES(KIND)                                                                       \
    EACH_UNPACKED(TILE, KIND, KIND, 1)                                                             \
    EACH_UNPACKED(TILE, KIND, KIND, 2)                                                             \
    static const tile_function tiles_##KIND[2][TILE_INPUTS] = {                                    \
        {EACH_UNPACKED(TILE_NAME, KIND, KIND, 1)}, {EACH_UNPACKED(TILE_NAME, KIND, KIND, 2)}};
#define TILE_NAME(KIND, name, panels, inputs) tile_##name##_##panels##_##inputs,
UNPACKED_TILES(UNPACKED_32)
UNPACKED_TILES(UNPACKED_32_MINIMA)
UNPACKED_TILES(BLOCKS_32)
UNPACKED_TILES(BLOCKS_32_MINIMA)
UNPACKED_TILES(BLOCKS_16)
UNPACKED_TILES(BLOCKS_16_MINIMA)
UNPACKED_TILES(WR_Q8_0) /* bytes as they are */
#if !SIGNED_WIDE
#define tiles_UNPACKED_32_WIDE tiles_UNPACKED_32
#define tiles_BLOCKS_32_WIDE tiles_BLOCKS_32
#else
UNPACKED_TILES(UNPACKED_32_WIDE)
UNPACKED_TILES(BLOCKS_32_WIDE)
#endif
#undef UNPACKED_TILES

/* What a format's products are made of. */
typedef struct format_tiles {
    const tile_function *direct; /* for 1, 2, 4 ... inputs */
    tile_function side_by_side;  /* one input, several panels */
    int panels;                  /* how many those are */
    /* NULL: a format whose packed codes are bytes as they are */
    void (*unpack)(const uint8_t *codes_at, const uint8_t *scales_at, int64_t blocks, uint8_t *to);
    const tile_function (*unpacked)[TILE_INPUTS];
    size_t scales; /* bytes of unpacked scales of a block */
    int parts;     /* of a block */
} format_tiles;

static const tile_function (*unpacked_tiles(int kind))[TILE_INPUTS] {
    switch (kind) {
    case UNPACKED_32:
        return tiles_UNPACKED_32;
    case UNPACKED_32_WIDE:
        return tiles_UNPACKED_32_WIDE;
    case UNPACKED_32_MINIMA:
        return tiles_UNPACKED_32_MINIMA;
    case BLOCKS_32:
        return tiles_BLOCKS_32;
    case BLOCKS_32_WIDE:
        return tiles_BLOCKS_32_WIDE;
    case BLOCKS_32_MINIMA:
        return tiles_BLOCKS_32_MINIMA;
    case BLOCKS_16:
        return tiles_BLOCKS_16;
    default:
        return tiles_BLOCKS_16_MINIMA;
    }
}

static format_tiles tiles_of(wr_format format) {
    if (format == WR_Q8_0) {
        static const tile_function direct[] = {EACH_DIRECT(TILE_NAME, WR_Q8_0, Q8_0, 1)};
        return (format_tiles){
            direct, side_by_side_Q8_0, SIDE_BY_SIDE(WR_Q8_0), NULL, tiles_WR_Q8_0, 32, 1};
    }
    switch (format) {
#define CASE(NAME)                                                                                 \
    case WR_##NAME: {                                                                              \
        static const tile_function direct[] = {EACH_DIRECT(TILE_NAME, WR_##NAME, NAME, 1)};        \
        const int kind = unpacked_kind(WR_##NAME);                                                 \
        return (format_tiles){direct,                                                              \
                              side_by_side_##NAME,                                                 \
                              SIDE_BY_SIDE(WR_##NAME),                                             \
                              unpack_##NAME,                                                       \
                              unpacked_tiles(kind),                                                \
                              (size_t)info_of(kind).scales,                                        \
                              info_of(WR_##NAME).parts};                                           \
    }
        WR_BYTES_FORMATS(CASE)
#undef CASE
    default:
        assert(false && "a quantised format");
        return (format_tiles){0};
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* The tile at a panel and an input, codes and scales left open. */
static tile tile_at(const wr_product *job, int64_t panel, int64_t input) {
    return (tile){.columns = job->w->columns,
                  .x = wr_product_input(job, input),
                  .x_stride = job->x_stride,
                  .y = job->y + input * job->y_stride + panel * WR_PANEL_ROWS,
                  .y_stride = job->y_stride,
                  .rows = job->w->rows - panel * WR_PANEL_ROWS};
}

/* How many inputs the next tile takes of `left`: as equal ones as can be. */
static int64_t inputs_of(int64_t left, int64_t most) {
    const int64_t tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

/* In tiles of equal size: the last one overlaps, and computes the same numbers again. */
static void multiply_directly(const wr_product *job, const wr_panel *m, const format_tiles *f) {
    int size = 0; /* 2^size inputs */
    while (2 << size <= DIRECT_INPUTS && 2 << size <= job->batch) size++;
    const int64_t tiles = (job->batch + (1 << size) - 1) >> size, steps = m->blocks * f->parts;
    const int64_t together = job->batch == 1 && job->w->panels != NULL ? f->panels : 1;
    int64_t count = 1;
    for (int64_t panel = job->panel_begin; panel < job->panel_end; panel += count) {
        count = job->panel_end - panel >= together ? together : 1;
        const uint8_t *packed = wr_product_panel(job, m, panel);
        const uint8_t *behind = tiles > 1 ? wr_product_behind(job, m, panel, 1) : NULL;
        wr_ahead ahead = wr_ahead_of(behind, m->bytes, tiles * steps);
        for (int64_t b = 0; b < job->batch; b += 1 << size) {
            const int64_t last = job->batch - (1 << size);
            tile t = tile_at(job, panel, b < last ? b : last);
            t.codes_at = packed;
            t.scales_at = packed + m->scales;
            t.step = m->bytes;
            t.ahead = ahead;
            if (count > 1)
                f->side_by_side(&t);
            else
                f->direct[size](&t);
            ahead.at += ahead.lines * steps * 64;
        }
    }
}

/* Panels one after another: unpacked, or as they are. */
typedef struct group {
    const uint8_t *at;
    int64_t first, count;
    size_t bytes, scales; /* of a panel; where its scales begin */
} group;

/* All inputs by a group, while the panels behind it are asked for. */
static void multiply_group(const wr_product *job, const wr_panel *m, const format_tiles *f,
                           const group *g) {
    const int64_t tiles = ((job->batch + TILE_INPUTS - 1) / TILE_INPUTS) *
                          ((g->count + TILE_PANELS - 1) / TILE_PANELS);
    const int64_t steps = job->w->columns / 32;
    const uint8_t *behind = wr_product_behind(job, m, g->first, g->count);
    wr_ahead ahead = wr_ahead_of(behind, (size_t)g->count * m->bytes, tiles * steps);
    for (int64_t b = 0, inputs; b < job->batch; b += inputs) {
        inputs = inputs_of(job->batch - b, TILE_INPUTS);
        for (int64_t i = 0, panels; i < g->count; i += panels) {
            panels = inputs_of(g->count - i, TILE_PANELS);
            tile t = tile_at(job, g->first + i, b);
            t.codes_at = g->at + (size_t)i * g->bytes;
            t.scales_at = t.codes_at + g->scales;
            t.step = g->bytes;
            t.ahead = ahead;
            f->unpacked[panels - 1][inputs - 1](&t);
            ahead.at += ahead.lines * steps * 64;
        }
    }
}

static void multiply_unpacked(const wr_product *job, const wr_panel *m, const format_tiles *f) {
    const int64_t columns = job->w->columns;
    const size_t used = job->w->panels == NULL ? m->bytes : 0;
    uint8_t *to = (uint8_t *)job->scratch + used;
    group g = {.first = job->panel_begin, .scales = (size_t)columns * WR_PANEL_ROWS};
    g.bytes = f->unpack ? g.scales + (size_t)m->blocks * f->scales : m->bytes;
    size_t room = wr_product_scratch(columns) - used;
    if (room > GROUP_BYTES) room = GROUP_BYTES;
    int64_t most = room >= 2 * g.bytes ? (int64_t)(room / g.bytes) : 1;
    if (f->unpack == NULL && used > 0) most = 1; /* there is room to pack one */
    for (; g.first < job->panel_end; g.first += g.count) {
        const int64_t left = job->panel_end - g.first;
        g.count = left < most ? left : most;
        g.at = f->unpack ? to : wr_product_panel(job, m, g.first);
        for (int64_t i = 0; i < g.count && f->unpack; i++) {
            const uint8_t *packed = wr_product_panel(job, m, g.first + i);
            f->unpack(packed, packed + m->scales, m->blocks, to + (size_t)i * g.bytes);
        }
        multiply_group(job, m, f, &g);
    }
}

static void multiply_bytes(const wr_product *job) {
    const wr_panel m = wr_panel_measure(job->w->format, job->w->columns);
    const format_tiles f = tiles_of(job->w->format);
    if (job->batch <= DIRECT_BATCH)
        multiply_directly(job, &m, &f);
    else
        multiply_unpacked(job, &m, &f);
}

#endif
