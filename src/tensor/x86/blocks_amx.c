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
 * A block is unpacked to the first cache, and all inputs pass by it before the next one, two tiles
 * at a time, so that four sums are under way; meanwhile those of the two before are stored and
 * scaled.
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
    FEWEST = 9,  /* inputs for which tiles pay */
    COLUMNS = 256,
    TILE_BYTES = 1024,
    DIGIT_BYTES = 4 * TILE_BYTES, /* of a block of 16 rows */
    SUMS = INPUTS * 16,
    MOST_TILES = 8 /* of inputs that pass by a panel together */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* How a format is unpacked: bytes of digits, then pairs of minima. */
typedef struct digits {
    int count;  /* of a number */
    int shift;  /* number = lower + (upper << shift) */
    bool whole; /* the upper one has no sign; the lower one never has */
    bool minima;
} digits;

INLINE digits digits_of(int kind) {
    const bool minima = info_of(kind).minima;
    digits d = {.count = 2, .shift = 8, .whole = minima, .minima = minima};
    if (kind == WR_Q2_K) d.count = 1;                    /* 3 * 15 */
    if (kind == WR_Q4_K || kind == WR_Q5_K) d.shift = 3; /* 31 * 7 */
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

/* One block of a panel; the factors go apart. */
INLINE void unpack_block(int kind, const uint8_t *codes_at, const uint8_t *scales_at, uint8_t *to,
                         float factors[2][16]) {
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
    for (int run = 0; run < 256 / info.run && d.minima; run++) {
        const __m512i bits = _mm512_castps_si512(run_minimum_of(kind, scales_at, run));
        const __m512i pair = _mm512_or_si512(bits, _mm512_srli_epi32(bits, 16));
        for (int half = 0; half < info.run / 16; half++, at += 64) c_store(at, pair);
    }
    const scales s = scales_of(kind, scales_at);
    f_keep(factors[0], s.s);
    f_keep(factors[1], s.m);
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

/* A panel by some inputs: `tiles` tiles of them, one or an even number, `inputs` in each. They
 * overlap where they do not divide evenly. */
typedef struct sweep {
    const uint8_t *codes_at, *scales_at; /* packed */
    const uint8_t *x[MOST_TILES];        /* q */
    size_t x_stride;
    int64_t blocks, inputs, tiles;
    const float *a;          /* [blocks][MOST_TILES][INPUTS] */
    uint8_t *weights;        /* a block, unpacked */
    float (*factors)[2][16]; /* of this block and the one before */
    stored *stored;
    float *acc;     /* [tiles][SUMS] */
    wr_ahead ahead; /* a step for two tiles of each block */
} sweep;

/* A block by one or two tiles. */
typedef struct step {
    int64_t block, tile;
} step;

/* acc += the sums of a step's first tile or second, which have been stored. */
INLINE void scale_sums(digits d, const sweep *v, step at, int half) {
    const floats s = f_load(v->factors[at.block % 2][0]), m = f_load(v->factors[at.block % 2][1]);
    const float *a = v->a + (at.block * MOST_TILES + at.tile + half) * INPUTS;
    float *acc = v->acc + (at.tile + half) * SUMS;
    const stored *from = v->stored;
    for (int64_t i = 0; i < v->inputs; i++) {
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
INLINE void multiply_columns(digits d, int halves, const sweep *v, step at, int k, bool store) {
    const int64_t column = at.block * COLUMNS + k * 64;
    stored *to = v->stored;
    settle_memory();
    _tile_loadd(4, v->x[at.tile] + column, v->x_stride);
    _tile_loadd(6, v->weights + k * TILE_BYTES, 64);
    STORE(0, to->lower[0]);
    _tile_dpbsud(0, 4, 6);
    if (d.count == 2) {
        _tile_loadd(7, v->weights + DIGIT_BYTES + k * TILE_BYTES, 64);
        STORE(1, to->upper[0]);
        UPPER(1);
    }
    if (halves == 2) {
        _tile_loadd(4, v->x[at.tile + 1] + column, v->x_stride);
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

/* The minima of a step's first tile or second, when those in the tile have been stored to `before`
 * (unless NULL). */
INLINE void multiply_minima(digits d, const sweep *v, step at, int half, float *before) {
    if (!d.minima) return;
    settle_memory();
    _tile_loadd(4, v->x[at.tile + half] + v->blocks * COLUMNS + at.block * 64, v->x_stride);
    _tile_loadd(6, v->weights + d.count * DIGIT_BYTES, 64);
    if (before != NULL) _tile_stored(5, before, 64);
    _tile_zero(5);
    _tile_dpbf16ps(5, 4, 6);
    settle_memory();
}

INLINE void store_sums(digits d, int halves, const sweep *v) {
    stored *to = v->stored;
    settle_memory();
    _tile_stored(0, to->lower[0], 64);
    if (d.count == 2) _tile_stored(1, to->upper[0], 64);
    if (halves == 2) _tile_stored(2, to->lower[1], 64);
    if (halves == 2 && d.count == 2) _tile_stored(3, to->upper[1], 64);
    if (d.minima) _tile_stored(5, to->minima[halves - 1], 64);
    settle_memory();
}

/* A step, while the one before it (`store`) is stored and scaled. */
INLINE void multiply_step(digits d, int halves, const sweep *v, step at, step before, bool store) {
    stored *to = v->stored;
    multiply_columns(d, halves, v, at, 0, store);
    multiply_minima(d, v, at, 0, store ? to->minima[halves - 1] : NULL);
    multiply_columns(d, halves, v, at, 1, store);
    if (store) scale_sums(d, v, before, 0);
    if (halves == 2) multiply_minima(d, v, at, 1, to->minima[0]);
    multiply_columns(d, halves, v, at, 2, store);
    if (store && halves == 2) scale_sums(d, v, before, 1);
    multiply_columns(d, halves, v, at, 3, store);
}

INLINE void multiply_panel(int kind, int halves, const sweep *v) {
    const kind_info info = info_of(kind);
    const digits d = digits_of(kind);
    wr_ahead ahead = v->ahead;
    step at = {0, 0}, before = at;
    while (at.block < v->blocks) {
        unpack_block(kind, v->codes_at + at.block * info.codes,
                     v->scales_at + at.block * info.scales, v->weights, v->factors[at.block % 2]);
        for (at.tile = 0; at.tile < v->tiles; at.tile += halves) {
            if (at.block + at.tile == 0)
                multiply_step(d, halves, v, at, before, false);
            else
                multiply_step(d, halves, v, at, before, true);
            before = at;
            wr_ahead_step(&ahead);
        }
        at.block++;
    }
    store_sums(d, halves, v);
    for (int half = 0; half < halves; half++) scale_sums(d, v, before, half);
}

/* ---- formats --------------------------------------------------------------------------------- */

#define BLOCKS_FORMATS(X) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_XS)

#define FUNCTIONS(NAME)                                                                            \
    static void multiply_##NAME(const sweep *v) {                                                  \
        if (v->tiles > 1)                                                                          \
            multiply_panel(WR_##NAME, 2, v);                                                       \
        else                                                                                       \
            multiply_panel(WR_##NAME, 1, v);                                                       \
    }
BLOCKS_FORMATS(FUNCTIONS)
#undef FUNCTIONS

/* NULL: another format. */
static void (*multiply_of(wr_format format))(const sweep *v) {
    switch (format) {
#define CASE(NAME)                                                                                 \
    case WR_##NAME:                                                                                \
        return multiply_##NAME;
        BLOCKS_FORMATS(CASE)
#undef CASE
    default:
        return NULL;
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* Divide scratch. Its first part is for a panel on its way (wr_product_panel). */
static sweep sweep_of(const wr_product *job, const wr_panel *m, float **a) {
    uint8_t *scratch = job->scratch;
    sweep v = {.x_stride = job->x_stride, .blocks = m->blocks};
    *a = (float *)(void *)(scratch + (job->w->panels == NULL ? m->bytes : 0));
    v.a = *a;
    v.acc = *a + m->blocks * MOST_TILES * INPUTS;
    v.stored = (stored *)(void *)(v.acc + MOST_TILES * SUMS);
    v.factors = (float(*)[2][16])(void *)(v.stored + 1);
    v.weights = (uint8_t *)(v.factors + 2);
    return v;
}

/* Where the inputs of tile i begin, of `count` inputs. */
static int64_t first_input(const sweep *v, int64_t i, int64_t count) {
    return i * v->inputs < count - v->inputs ? i * v->inputs : count - v->inputs;
}

static void take_inputs(sweep *v, const wr_product *job, int64_t first, int64_t count, float *a) {
    const int64_t tiles = (count + INPUTS - 1) / INPUTS, columns = job->w->columns;
    v->tiles = tiles > 1 ? (tiles + 1) / 2 * 2 : 1;
    v->inputs = (count + v->tiles - 1) / v->tiles;
    for (int64_t i = 0; i < v->tiles; i++) {
        v->x[i] = wr_product_input(job, first + first_input(v, i, count));
        gather_numbers(a + i * INPUTS, wr_blocks_of(v->x[i], columns).a, job->x_stride, v->inputs,
                       v->blocks, MOST_TILES * INPUTS);
    }
    configure(v->inputs);
}

/* What has been added up goes to y. */
static void put_sums(const sweep *v, const wr_product *job, int64_t first, int64_t count,
                     int64_t panel) {
    const int64_t row = panel * WR_PANEL_ROWS, rows = job->w->rows - row;
    for (int64_t i = 0; i < v->tiles; i++) {
        float *y = job->y + (first + first_input(v, i, count)) * job->y_stride + row;
        for (int64_t j = 0; j < v->inputs; j++, y += job->y_stride)
            f_store(y, f_load(v->acc + i * SUMS + j * 16), rows < 16 ? (int)rows : 16);
    }
}

bool wr_amx_blocks_product(const wr_product *job) {
    void (*const multiply)(const sweep *v) = multiply_of(job->w->format);
    const wr_panel m = wr_panel_measure(job->w->format, job->w->columns);
    float *a;
    if (job->batch < FEWEST || multiply == NULL) return false;
    sweep v = sweep_of(job, &m, &a);
    for (int64_t input = 0, count; input < job->batch; input += count) {
        const int64_t left = job->batch - input, most = MOST_TILES * INPUTS;
        const int64_t parts = (left + most - 1) / most;
        count = (left + parts - 1) / parts;
        take_inputs(&v, job, input, count, a);
        for (int64_t panel = job->panel_begin; panel < job->panel_end; panel++) {
            v.codes_at = wr_product_panel(job, &m, panel);
            v.scales_at = v.codes_at + m.scales;
            v.ahead = wr_ahead_of(wr_product_behind(job, &m, panel, 1), m.bytes,
                                  m.blocks * (v.tiles + 1) / 2);
            for (int64_t i = 0; i < v.tiles * SUMS; i += 16) f_keep(v.acc + i, f_zero());
            multiply(&v);
            put_sums(&v, job, input, count, panel);
        }
    }
    _tile_release();
    return true;
}
