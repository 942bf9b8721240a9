/*
 * Products of weights with blocks of 256 columns, in AMX tiles: 16 inputs by 16 rows by 64 columns
 * at once.
 *
 * The scale of a run is a whole number, so a code times its scale is one too, and a panel is
 * unpacked to these, in two digits that are bytes each (one where a byte holds all): a block's sum
 * of products is then two sums in tiles, which run through all its columns and are stored,
 * converted and scaled but once. Minima are whole numbers that bfloat16 holds, the sums of inputs
 * are in two of its digits, and tiles of bfloat16 make one sum of floats of them, exact as all are
 * below 2^24.
 *
 * Two tiles of inputs pass by each panel, so that four sums are under way; while a block is
 * multiplied, the sums of the one before it are stored and scaled.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/x86/bytes_simd_avx512.h"
#include "tensor/x86/tile_numbers.h"
#include "tensor/x86/tile_shapes.h"

#define UNPACKED_OFFSET 0
#define SIGNED_WIDE 0
#define NOT_UNPACKED
#include "tensor/lanes/codes_lanes.h"

enum {
    INPUTS = 16, /* of a tile */
    FEWEST = 1,  /* inputs for which tiles pay */
    COLUMNS = 256,
    TILE_BYTES = 1024,
    DIGIT_BYTES = 4 * TILE_BYTES, /* of a block of 16 rows */
    SUMS = INPUTS * 16,
    PIECE = 8,      /* blocks of a row that are unpacked together */
    MOST_PANELS = 8 /* the same */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* How a format is unpacked: bytes of digits, then those of minima, then the two factors. */
typedef struct digits {
    int count;  /* of a number */
    int shift;  /* number = lower + (upper << shift) */
    bool whole; /* the upper one has no sign; the lower one never has */
    bool minima;
    int bytes; /* of a block of 16 rows */
} digits;

INLINE digits digits_of(int kind) {
    const bool minima = info_of(kind).minima;
    digits d = {.count = 2, .shift = 8, .whole = minima, .minima = minima};
    if (kind == WR_Q2_K) d.count = 1;                    /* 3 * 15 */
    if (kind == WR_Q4_K || kind == WR_Q5_K) d.shift = 3; /* 31 * 7 */
    d.bytes = d.count * DIGIT_BYTES + (minima ? TILE_BYTES : 0) + 2 * 64;
    return d;
}

INLINE __m512i twice(__m512i numbers) {
    return _mm512_mask_blend_epi16(0xaaaaaaaau, numbers, _mm512_slli_epi32(numbers, 16));
}

/* 4 columns of 16 rows times their scales (each twice, in 16 bits): two digits of a byte. */
INLINE void split(int offset, codes c, __m512i s, codes *lower, codes *upper) {
    const __m512i low = _mm512_set1_epi16(255), off = _mm512_set1_epi16((short)offset);
    const __m512i even = _mm512_sub_epi16(_mm512_and_si512(c, low), off);
    const __m512i odd = _mm512_sub_epi16(_mm512_srli_epi16(c, 8), off);
    const __m512i evens = _mm512_mullo_epi16(even, s), odds = _mm512_mullo_epi16(odd, s);
    *lower = _mm512_ternarylogic_epi32(low, evens, _mm512_slli_epi16(odds, 8), 0xca);
    *upper = _mm512_ternarylogic_epi32(low, _mm512_srli_epi16(evens, 8), odds, 0xca);
}

/* Columns that share a scale: `count` vectors from vector `first` of a piece on. */
INLINE void unpack_run(int kind, const uint8_t *block, int64_t part, int piece, int first,
                       int count, sums scale, uint8_t *to) {
    const digits d = digits_of(kind);
    const __m512i low = twice(d.shift == 3 ? _mm512_and_si512(scale, _mm512_set1_epi32(7)) : scale);
    const __m512i high = twice(_mm512_srli_epi32(scale, 3));
    UNROLLED for (int i = 0; i < count; i++) {
        const codes c = codes_of(kind, block, part, piece, first + i);
        codes lower, upper;
        if (d.shift == 3 || d.count == 1) { /* no byte carries into the next */
            lower = _mm512_mullo_epi16(c, low);
            upper = _mm512_mullo_epi16(c, high);
        } else {
            split(info_of(kind).offset, c, low, &lower, &upper);
        }
        c_store(to + 64 * i, lower);
        if (d.count == 2) c_store(to + DIGIT_BYTES + 64 * i, upper);
    }
}

INLINE void unpack_block(int kind, const uint8_t *codes_at, const uint8_t *scales_at, uint8_t *to) {
    const kind_info info = info_of(kind);
    const digits d = digits_of(kind);
    const int pieces = 8 / info.parts, runs = 32 / info.run, count = 8 / runs;
    uint8_t *at = to;
    for (int64_t part = 0; part < info.parts; part++) {
        UNROLLED for (int piece = 0; piece < pieces; piece++) {
            UNROLLED for (int half = 0; half < runs; half++) {
                const sums s = run_scale_of(kind, scales_at, (part * pieces + piece) * runs + half);
                unpack_run(kind, codes_at, part, piece, half * count, count, s, at);
                at += 64 * count;
            }
        }
    }
    at = to + d.count * DIGIT_BYTES;
    for (int half = 0; half < 16 && d.minima; half++, at += 64) {
        const floats m = run_minimum_of(kind, scales_at, half / (info.run / 16));
        const __m512i bits = _mm512_castps_si512(m);
        c_store(at, _mm512_or_si512(bits, _mm512_srli_epi32(bits, 16)));
    }
    const scales s = scales_of(kind, scales_at);
    f_keep(at, s.s);
    f_keep(at + 64, s.m);
}

/* `blocks` blocks, `stride` bytes from one to the next in `to`. */
INLINE void unpack_digits(int kind, const uint8_t *codes_at, const uint8_t *scales_at,
                          int64_t blocks, uint8_t *to, size_t stride) {
    const kind_info info = info_of(kind);
    for (int64_t i = 0; i < blocks; i++) {
        unpack_block(kind, codes_at, scales_at, to);
        codes_at += info.codes;
        scales_at += info.scales;
        to += stride;
    }
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Tiles 0-3: sums; 4: inputs; 5: minima; 6 and 7: weights. */
static void configure(int64_t inputs) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = (uint8_t)(i < 6 ? inputs : 16);
        shapes.row_bytes[i] = 64;
    }
    load_shapes(&shapes);
}

/* What tiles have stored of up to 32 inputs, of each 16: the sums of lower and upper digits, the
 * minima. */
typedef struct stored {
    int32_t lower[2][SUMS], upper[2][SUMS];
    float minima[2][SUMS];
} stored;

/* Some panels by one or two tiles of inputs, over some blocks of the rows: block by block, so that
 * inputs stay in the first cache while panels pass by. */
typedef struct pass {
    const uint8_t *weights;     /* unpacked: [blocks][panels] */
    const uint8_t *x[2];        /* q */
    const uint8_t *x_digits[2]; /* of the sums of q */
    size_t x_stride;
    int64_t blocks, panels;
    int64_t inputs; /* of each tile */
    const float *a; /* [2][blocks][INPUTS] */
    stored *stored;
    float *acc;          /* [panels][2][SUMS] */
    wr_ahead ahead;      /* a step for each panel of each block */
    const uint8_t *next; /* rows of inputs, asked for alike */
    int64_t next_rows;
} pass;

/* A panel's block by the inputs. */
typedef struct step {
    const uint8_t *weights;
    int64_t block;
    float *acc; /* [2][SUMS] */
} step;

/* acc += a step's sums, which have been stored. */
INLINE void scale_sums(digits d, const pass *p, const step *at, int half) {
    const uint8_t *factors = at->weights + d.bytes - 2 * 64;
    const float *a = p->a + (half * p->blocks + at->block) * INPUTS;
    const floats s = f_load(factors), m = f_load(factors + 64);
    const stored *from = p->stored;
    float *acc = at->acc + half * SUMS;
    for (int64_t i = 0; i < p->inputs; i++) {
        sums sum = c_load(from->lower[half] + 16 * i);
        if (d.count == 2)
            sum = i_add(sum,
                        _mm512_slli_epi32(c_load(from->upper[half] + 16 * i), (unsigned)d.shift));
        floats value = f_mul(s, f_of_sums(sum));
        if (d.minima) value = f_fma(m, f_load(from->minima[half] + 16 * i), value);
        f_keep(acc + 16 * i, f_fma(value, f_all(a + i), f_load(acc + 16 * i)));
    }
}

/* The k-th 64 columns of a step. Before a tile begins its sums, those of the step before are stored
 * (`store`). */
#define STORE(tile, to)                                                                            \
    if (k == 0 && store) _tile_stored(tile, to, 64);                                               \
    if (k == 0) _tile_zero(tile)
#define UPPER(tile)                                                                                \
    if (d.whole)                                                                                   \
        _tile_dpbsud(tile, 4, 7);                                                                  \
    else                                                                                           \
        _tile_dpbssd(tile, 4, 7)
INLINE void multiply_columns(digits d, int halves, const pass *p, const step *at, int k,
                             bool store) {
    const uint8_t *w = at->weights + k * TILE_BYTES;
    const int64_t column = at->block * COLUMNS + k * 64;
    stored *to = p->stored;
    settle_memory();
    _tile_loadd(4, p->x[0] + column, p->x_stride);
    _tile_loadd(6, w, 64);
    STORE(0, to->lower[0]);
    _tile_dpbsud(0, 4, 6);
    if (d.count == 2) {
        _tile_loadd(7, w + DIGIT_BYTES, 64);
        STORE(1, to->upper[0]);
        UPPER(1);
    }
    if (halves == 2) {
        _tile_loadd(4, p->x[1] + column, p->x_stride);
        STORE(2, to->lower[1]);
        _tile_dpbsud(2, 4, 6);
        if (d.count == 2) {
            STORE(3, to->upper[1]);
            UPPER(3);
        }
    }
    settle_memory();
}
#undef STORE
#undef UPPER

/* The minima of a step by one tile of inputs, when those in the tile have been stored to `before`
 * (unless NULL). */
INLINE void multiply_minima(digits d, const pass *p, const step *at, int half, float *before) {
    if (!d.minima) return;
    settle_memory();
    _tile_loadd(4, p->x_digits[half] + at->block * 64, p->x_stride);
    _tile_loadd(6, at->weights + d.count * DIGIT_BYTES, 64);
    if (before != NULL) _tile_stored(5, before, 64);
    _tile_zero(5);
    _tile_dpbf16ps(5, 4, 6);
    settle_memory();
}

INLINE void store_sums(digits d, int halves, const pass *p) {
    stored *to = p->stored;
    settle_memory();
    _tile_stored(0, to->lower[0], 64);
    if (d.count == 2) _tile_stored(1, to->upper[0], 64);
    if (halves == 2) _tile_stored(2, to->lower[1], 64);
    if (halves == 2 && d.count == 2) _tile_stored(3, to->upper[1], 64);
    if (d.minima) _tile_stored(5, to->minima[halves - 1], 64);
    settle_memory();
}

/* A step, while the one before it (`store`) is stored and scaled. */
INLINE void multiply_step(digits d, int halves, const pass *p, const step *at, const step *before,
                          bool store) {
    stored *to = p->stored;
    multiply_columns(d, halves, p, at, 0, store);
    multiply_minima(d, p, at, 0, store ? to->minima[halves - 1] : NULL);
    multiply_columns(d, halves, p, at, 1, store);
    if (store) scale_sums(d, p, before, 0);
    if (halves == 2) multiply_minima(d, p, at, 1, to->minima[0]);
    multiply_columns(d, halves, p, at, 2, store);
    if (store && halves == 2) scale_sums(d, p, before, 1);
    multiply_columns(d, halves, p, at, 3, store);
}

/* Ask for a block of the next inputs. */
INLINE void ask_for_inputs(const pass *p, int64_t block) {
    for (int64_t i = 0; i < p->next_rows; i++) {
        const uint8_t *row = p->next + (size_t)i * p->x_stride + block * COLUMNS;
        UNROLLED for (int line = 0; line < COLUMNS; line += 64)
            __builtin_prefetch(row + line, 0, 2);
    }
}

INLINE void multiply_pass(digits d, int halves, const pass *p) {
    wr_ahead ahead = p->ahead;
    step before = {0};
    for (int64_t j = 0; j < p->blocks; j++) {
        ask_for_inputs(p, j);
        for (int64_t i = 0; i < p->panels; i++) {
            const step at = {p->weights + (j * p->panels + i) * d.bytes, j, p->acc + i * 2 * SUMS};
            if (before.acc == NULL)
                multiply_step(d, halves, p, &at, &before, false);
            else
                multiply_step(d, halves, p, &at, &before, true);
            before = at;
            wr_ahead_step(&ahead);
        }
    }
    store_sums(d, halves, p);
    for (int half = 0; half < halves; half++) scale_sums(d, p, &before, half);
}

/* ---- formats --------------------------------------------------------------------------------- */

#define BLOCKS_FORMATS(X) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_XS)

#define FUNCTIONS(NAME)                                                                            \
    static void unpack_digits_##NAME(const uint8_t *codes_at, const uint8_t *scales_at,            \
                                     int64_t blocks, uint8_t *to, size_t stride) {                 \
        unpack_digits(WR_##NAME, codes_at, scales_at, blocks, to, stride);                         \
    }                                                                                              \
    static void multiply_##NAME(const pass *p, int halves) {                                       \
        if (halves == 2)                                                                           \
            multiply_pass(digits_of(WR_##NAME), 2, p);                                             \
        else                                                                                       \
            multiply_pass(digits_of(WR_##NAME), 1, p);                                             \
    }
BLOCKS_FORMATS(FUNCTIONS)
#undef FUNCTIONS

typedef struct blocks_format {
    /* NULL: another format */
    void (*unpack)(const uint8_t *codes_at, const uint8_t *scales_at, int64_t blocks, uint8_t *to,
                   size_t stride);
    void (*multiply)(const pass *p, int halves);
    int64_t bytes; /* of an unpacked block of 16 rows */
} blocks_format;

static blocks_format blocks_format_of(wr_format format) {
    switch (format) {
#define CASE(NAME)                                                                                 \
    case WR_##NAME:                                                                                \
        return (blocks_format){unpack_digits_##NAME, multiply_##NAME, digits_of(WR_##NAME).bytes};
        BLOCKS_FORMATS(CASE)
#undef CASE
    default:
        return (blocks_format){0};
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* Some blocks of some panels, and where they are unpacked. */
typedef struct group {
    const wr_product *job;
    blocks_format format;
    wr_panel m;
    float *a, *acc;
    stored *stored;
    uint8_t *unpacked;
    int64_t most;          /* panels */
    int64_t panel, panels; /* of these */
    int64_t block, blocks;
    const uint8_t *behind; /* what is asked for */
} group;

/* Divide scratch. Its first part is for a panel on its way (wr_product_panel). */
static void divide(group *g) {
    const wr_product *job = g->job;
    uint8_t *scratch = job->scratch;
    const uint8_t *end = scratch + wr_product_scratch(job->w->columns);
    const int64_t blocks = g->m.blocks < PIECE ? g->m.blocks : PIECE;
    g->a = (float *)(void *)(scratch + (job->w->panels == NULL ? g->m.bytes : 0));
    g->stored = (stored *)(void *)(g->a + 2 * PIECE * INPUTS);
    g->acc = (float *)(void *)(g->stored + 1);
    g->unpacked = (uint8_t *)(g->acc + MOST_PANELS * 2 * SUMS);
    g->most = (end - g->unpacked) / (blocks * g->format.bytes);
    if (g->most > MOST_PANELS) g->most = MOST_PANELS;
    if (job->w->panels == NULL && g->m.blocks > PIECE) g->most = 1; /* packed once */
}

/* The sums of the inputs of a tile by a panel, from y or to it. */
static void move_sums(const group *g, const pass *p, float *acc, int64_t input, int64_t panel,
                      bool load) {
    const wr_product *job = g->job;
    const int64_t row = panel * WR_PANEL_ROWS;
    const int rows = job->w->rows - row < 16 ? (int)(job->w->rows - row) : 16;
    float *y = job->y + input * job->y_stride + row;
    for (int64_t i = 0; i < p->inputs; i++, y += job->y_stride, acc += 16) {
        if (load)
            f_keep(acc, _mm512_maskz_loadu_ps((__mmask16)((1u << rows) - 1u), y));
        else
            f_store(y, f_load(acc), rows);
    }
}

static void move_all_sums(const group *g, const pass *p, int halves, const int64_t input[2],
                          bool load) {
    for (int64_t i = 0; i < g->panels; i++) {
        for (int half = 0; half < halves; half++)
            move_sums(g, p, g->acc + (2 * i + half) * SUMS, input[half], g->panel + i, load);
    }
}

/* Inputs [first, first + inputs) in one tile or two, which overlap where they are an odd number. */
static void multiply_inputs(const group *g, pass *p, int64_t first, int64_t inputs) {
    const wr_product *job = g->job;
    const int halves = inputs > INPUTS ? 2 : 1;
    p->inputs = (inputs + halves - 1) / halves;
    const int64_t input[2] = {first, first + inputs - p->inputs};
    for (int half = 0; half < halves; half++) {
        const wr_blocks x = wr_blocks_of(wr_product_input(job, input[half]), job->w->columns);
        p->x[half] = (const uint8_t *)x.q + g->block * COLUMNS;
        p->x_digits[half] = (const uint8_t *)x.digits + g->block * 64;
        gather_numbers(g->a + half * g->blocks * INPUTS, x.a + g->block, job->x_stride, p->inputs,
                       g->blocks);
    }
    configure(p->inputs);
    if (g->block > 0)
        move_all_sums(g, p, halves, input, true);
    else
        for (int64_t i = 0; i < g->panels * 2 * SUMS; i += 16) f_keep(g->acc + i, f_zero());
    g->format.multiply(p, halves);
    move_all_sums(g, p, halves, input, false);
}

static void multiply_group(const group *g) {
    const wr_product *job = g->job;
    const int64_t passes = (job->batch + 2 * INPUTS - 1) / (2 * INPUTS);
    const int64_t steps = g->panels * g->blocks;
    pass p = {.weights = g->unpacked,
              .x_stride = job->x_stride,
              .blocks = g->blocks,
              .panels = g->panels,
              .a = g->a,
              .stored = g->stored,
              .acc = g->acc,
              .ahead = wr_ahead_of(g->behind, (size_t)steps * g->m.block_codes, passes * steps)};
    for (int64_t input = 0, inputs; input < job->batch; input += inputs) {
        const int64_t left = job->batch - input, parts = (left + 2 * INPUTS - 1) / (2 * INPUTS);
        inputs = (left + parts - 1) / parts;
        p.next = (const uint8_t *)wr_product_input(job, input + inputs) + g->block * COLUMNS;
        p.next_rows = left - inputs < inputs ? left - inputs : inputs;
        multiply_inputs(g, &p, input, inputs);
        p.ahead.at += p.ahead.lines * steps * 64;
    }
}

static void unpack_group(const group *g) {
    const wr_product *job = g->job;
    const size_t stride = (size_t)(g->panels * g->format.bytes);
    for (int64_t i = 0; i < g->panels; i++) {
        const bool there = job->w->panels == NULL && g->block > 0; /* since the first block */
        const uint8_t *packed = there ? job->scratch : wr_product_panel(job, &g->m, g->panel + i);
        g->format.unpack(packed + (size_t)g->block * g->m.block_codes,
                         packed + g->m.scales + (size_t)g->block * g->m.block_scales, g->blocks,
                         g->unpacked + (size_t)(i * g->format.bytes), stride);
    }
}

bool wr_amx_blocks_product(const wr_product *job) {
    group g = {.job = job, .format = blocks_format_of(job->w->format)};
    if (job->batch < FEWEST || g.format.unpack == NULL) return false;
    g.m = wr_panel_measure(job->w->format, job->w->columns);
    divide(&g);
    for (g.panel = job->panel_begin; g.panel < job->panel_end; g.panel += g.panels) {
        const int64_t left = job->panel_end - g.panel;
        g.panels = left < g.most ? left : g.most;
        for (g.block = 0; g.block < g.m.blocks; g.block += g.blocks) {
            g.blocks = g.m.blocks - g.block < PIECE ? g.m.blocks - g.block : PIECE;
            g.behind = wr_product_behind(job, &g.m, g.panel, g.panels);
            unpack_group(&g);
            multiply_group(&g);
        }
    }
    _tile_release();
    return true;
}
