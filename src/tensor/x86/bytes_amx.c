/*
 * Products of quantised weights in AMX tiles: 16 inputs by 16 rows by one run of columns at once.
 *
 * A panel is unpacked to signed bytes, whose order in memory is just that of a tile of weights:
 * four columns of 16 rows in each line. Inputs are loaded as they are. What the tiles hand out are
 * the sums of a run, the same integers as everywhere; they go through a small buffer to vectors of
 * 16 rows, which scale and add them up.
 *
 * A run has its own scale, so tiles are filled by half, and handing out takes longer than
 * multiplying; four runs are under way at once, in four tiles of sums. That pays for runs of 32
 * columns without minima, from 9 inputs on; blocks of 256 columns have tiles of their own
 * (blocks_amx.c), and all else is left to VNNI. Up to 32 inputs a panel is unpacked on the way,
 * piece by piece, to the first cache; for more a group of panels is unpacked once to the second,
 * but Q8_0, whose packed codes are signed bytes as they are.
 * Tiles are configured and released within a call, so other code never meets them.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/x86/bytes_simd_avx512.h"
#include "tensor/x86/tile_numbers.h"
#include "tensor/x86/tile_shapes.h"

#define UNPACKED_OFFSET 0 /* signed */
#define SIGNED_WIDE 0
#include "tensor/lanes/codes_lanes.h"

enum {
    INPUTS = 16,      /* of a tile */
    FEWEST = 9,       /* inputs for which tiles pay */
    MOST_DIRECT = 32, /* for which a group of panels is not unpacked first */
    RUN = 32,         /* columns */
    AHEAD = 4,        /* sequences of lines that are asked for side by side */
    STRETCH = 4,      /* runs that are under way at once, each in a tile of sums */
    PIECE = 4,        /* runs that are unpacked together where a group is not */
    PIECE_BYTES = PIECE * (RUN * 16 + 64),
    SUMS = INPUTS * 16,
    GROUP_BYTES = 384 * 1024
};

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Tiles 0-3: sums; 4, 5: inputs; 6, 7: weights. */
static void configure(int64_t inputs) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = (uint8_t)(i < 6 ? inputs : RUN / 4);
        shapes.row_bytes[i] = i / 2 == 2 ? RUN : 64;
    }
    load_shapes(&shapes);
}

/* Panels to come, asked for while others are multiplied, in AHEAD parts side by side: the
 * prefetcher of the second cache follows each by itself, and what it has not brought waits in the
 * few buffers of the first, which the inputs need as well. */
typedef struct asking {
    const uint8_t *at;    /* never read, so it may lead anywhere */
    int64_t lines, apart; /* of a part; bytes from one to the next */
    int64_t steps, due;   /* in how many they are asked for; what is due, in parts of a step */
} asking;

static asking asking_of(const uint8_t *at, size_t bytes, int64_t steps) {
    const int64_t lines = ((int64_t)bytes + 64 * AHEAD - 1) / (64 * AHEAD);
    return (asking){at, at != NULL ? lines : 0, lines * 64, steps, 0};
}

typedef void (*unpack_function)(const uint8_t *codes_at, const uint8_t *scales_at, int64_t blocks,
                                uint8_t *to);

/* Where a panel's codes and scales are read from. */
typedef enum source { UNPACKED, PIECES, PACKED } source;

/* A panel by up to 16 inputs. */
typedef struct block {
    source from;
    const uint8_t *codes_at, *scales_at;
    unpack_function unpack; /* of pieces */
    int64_t codes, scales;  /* packed bytes of a run */
    uint8_t *pieces;        /* [2][PIECE_BYTES] the last two, in turn */
    const uint8_t *x;
    size_t x_stride;
    int64_t columns;
    const float *a; /* [runs][INPUTS] */
    int32_t *sums;  /* [STRETCH][SUMS] */
    float *y;
    int64_t y_stride;
    int64_t inputs, rows;
    asking *ahead;       /* a step for each run */
    const uint8_t *next; /* rows of inputs, asked for alike */
    int64_t next_rows;
} block;

/* Where the codes of run j lie, and its scales. */
INLINE const uint8_t *codes_of_run(const block *b, source from, int64_t j) {
    if (from != PIECES) return b->codes_at + j * RUN * WR_PANEL_ROWS;
    return b->pieces + j / PIECE % 2 * PIECE_BYTES + j % PIECE * RUN * WR_PANEL_ROWS;
}
INLINE int64_t runs_of_piece(const block *b, int64_t first) {
    const int64_t left = b->columns / RUN - first;
    return left < PIECE ? left : PIECE;
}
INLINE const uint8_t *unpacked_scales(const block *b, source from, int64_t j) {
    if (from != PIECES) return b->scales_at + 64 * j;
    const int64_t first = j / PIECE * PIECE;
    return codes_of_run(b, PIECES, first) + runs_of_piece(b, first) * RUN * WR_PANEL_ROWS +
           (j - first) * 64;
}
INLINE floats scales_of_run(const block *b, source from, int64_t j) {
    if (from == PACKED) return scales_of(WR_Q8_0, b->scales_at + 32 * j).s;
    return scales_of(UNPACKED_32, unpacked_scales(b, from, j)).s;
}

/* Unpack the piece that begins with run j. */
INLINE void unpack_piece(const block *b, int64_t j) {
    b->unpack(b->codes_at + j * b->codes, b->scales_at + j * b->scales, runs_of_piece(b, j),
              b->pieces + j / PIECE % 2 * PIECE_BYTES);
}

/* acc[i] += the sums of run j, which tile `tile` has stored, scaled. */
INLINE void scale_run(const block *b, source from, int inputs, int64_t j, int tile,
                      floats acc[INPUTS]) {
    const int32_t *stored = b->sums + tile * SUMS;
    const float *a = b->a + j * INPUTS;
    const floats s = scales_of_run(b, from, j);
    UNROLLED_16 for (int i = 0; i < inputs; i++) acc[i] =
        f_fma(f_of_sums(c_load(stored + 16 * i)), f_mul(s, f_all(a + i)), acc[i]);
}

/* Tile i becomes the sums of run j. What it held, the sums of a run before, is stored only now:
 * instructions that wait for a product would hold up all those behind them. */
#define MULTIPLY(i, x_tile, w_tile, j)                                                             \
    _tile_loadd(x_tile, b->x + (j)*RUN, b->x_stride);                                              \
    _tile_loadd(w_tile, codes_of_run(b, from, j), 64);                                             \
    if (store) _tile_stored(i, b->sums + (i)*SUMS, 64);                                            \
    _tile_zero(i);                                                                                 \
    _tile_dpbssd(i, x_tile, w_tile)

/* With each run a few lines: twenty at once would hold up the loads behind them. */
INLINE void ask_ahead(const block *b, int64_t j) {
    asking *ahead = b->ahead;
    for (ahead->due += ahead->lines; ahead->due >= ahead->steps; ahead->due -= ahead->steps) {
        UNROLLED for (int i = 0; i < AHEAD; i++)
            __builtin_prefetch(ahead->at + i * ahead->apart, 0, 2);
        ahead->at += 64;
    }
    if (j * RUN % 64 != 0) return;
    for (int64_t i = 0; i < b->next_rows; i++)
        __builtin_prefetch(b->next + (size_t)i * b->x_stride + j * RUN, 0, 2);
}

/* Runs j ... j + 3, while those before them are stored and scaled (`store`). */
INLINE void multiply_stretch(const block *b, source from, int inputs, int64_t j, bool store,
                             floats acc[INPUTS]) {
#define SCALE(i)                                                                                   \
    settle_memory();                                                                               \
    if (store) scale_run(b, from, inputs, j - STRETCH + (i), i, acc);                              \
    ask_ahead(b, j + (i));                                                                         \
    settle_memory()
    settle_memory();
    MULTIPLY(0, 4, 6, j);
    MULTIPLY(1, 5, 7, j + 1);
    SCALE(0);
    MULTIPLY(2, 4, 6, j + 2);
    SCALE(1);
    MULTIPLY(3, 5, 7, j + 3);
    SCALE(2);
    SCALE(3);
#undef SCALE
}

/* The last stretch of a row, from run j on. */
INLINE void finish_stretch(const block *b, source from, int inputs, int64_t j, floats acc[INPUTS]) {
    settle_memory();
    _tile_stored(0, b->sums, 64);
    _tile_stored(1, b->sums + SUMS, 64);
    _tile_stored(2, b->sums + 2 * SUMS, 64);
    _tile_stored(3, b->sums + 3 * SUMS, 64);
    settle_memory();
    for (int i = 0; i < STRETCH; i++) scale_run(b, from, inputs, j + i, i, acc);
}

/* One run alone, at the end of a row. */
INLINE void multiply_run(const block *b, source from, int64_t j) {
    const bool store = false;
    settle_memory();
    MULTIPLY(0, 4, 6, j);
    _tile_stored(0, b->sums, 64);
    settle_memory();
}
#undef MULTIPLY

/* `inputs`: b->inputs rounded up; what is beyond is scaled and forgotten. */
INLINE void multiply_block_of(const block *b, source from, int inputs) {
    const int64_t runs = b->columns / RUN, whole = runs / STRETCH * STRETCH;
    floats acc[INPUTS];
    UNROLLED_16 for (int i = 0; i < inputs; i++) acc[i] = f_zero();
    for (int64_t j = 0; j < whole; j += STRETCH) {
        if (from == PIECES && j % PIECE == 0) unpack_piece(b, j);
        if (j == 0)
            multiply_stretch(b, from, inputs, j, false, acc);
        else
            multiply_stretch(b, from, inputs, j, true, acc);
    }
    if (whole > 0) finish_stretch(b, from, inputs, whole - STRETCH, acc);
    for (int64_t j = whole; j < runs; j++) {
        if (from == PIECES && j % PIECE == 0) unpack_piece(b, j);
        multiply_run(b, from, j);
        scale_run(b, from, inputs, j, 0, acc);
    }
    UNROLLED_16 for (int i = 0; i < inputs; i++) {
        if (i < b->inputs)
            f_store(b->y + i * b->y_stride, acc[i], b->rows < 16 ? (int)b->rows : 16);
    }
}

static void multiply_block(const block *b) {
    const bool many = b->inputs > 12; /* FEWEST leaves no fewer than 9 */
    switch (b->from) {
    case UNPACKED:
        if (many)
            multiply_block_of(b, UNPACKED, 16);
        else
            multiply_block_of(b, UNPACKED, 12);
        return;
    case PIECES:
        if (many)
            multiply_block_of(b, PIECES, 16);
        else
            multiply_block_of(b, PIECES, 12);
        return;
    case PACKED:
        if (many)
            multiply_block_of(b, PACKED, 16);
        else
            multiply_block_of(b, PACKED, 12);
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* n - 8 for the low nibbles of bytes, or the high ones (4): bits 0 to 2 as they are, 3 to 7 the
 * opposite of bit 3. One instruction, where shifting, masking and adding are three. */
INLINE codes nibbles_less_8(codes c, const int shift) {
    const long long rows = 0x0102040808080808LL;
    return _mm512_gf2p8affine_epi64_epi8(c, _mm512_set1_epi64(rows << shift), 0xf8);
}

/* unpack_Q4_0, faster. */
static void unpack_nibbles(const uint8_t *codes_at, const uint8_t *scales_at, int64_t blocks,
                           uint8_t *to) {
    uint8_t *scales_to = to + blocks * 512;
    for (int64_t i = 0; i < blocks; i++, to += 512, codes_at += 256) {
        UNROLLED for (int k = 0; k < 4; k++) {
            const codes c = vector_of(codes_at, k);
            c_store(to + 64 * k, nibbles_less_8(c, 0));
            c_store(to + 64 * (4 + k), nibbles_less_8(c, 4));
        }
        f_keep(scales_to + 64 * i, f_halves(scales_at + 32 * i));
    }
}

/* NULL: a format that is left to VNNI. */
static unpack_function unpack_of(wr_format format) {
    if (format == WR_Q4_0) return unpack_nibbles;
    switch (format) {
#define CASE(NAME)                                                                                 \
    case WR_##NAME:                                                                                \
        return unpacked_kind(WR_##NAME) == UNPACKED_32 ? unpack_##NAME : NULL;
        WR_BYTES_FORMATS(CASE)
#undef CASE
    default:
        return NULL;
    }
}

/* How scratch is divided. */
typedef struct places {
    uint8_t *unpacked; /* a group, behind a panel on its way (wr_product_panel) */
    float *a;
    int32_t *sums;
    int64_t group; /* panels */
    size_t bytes;  /* of an unpacked panel */
} places;

static places divide(const wr_product *job, const wr_panel *m) {
    const int64_t columns = job->w->columns, runs = columns / RUN;
    uint8_t *scratch = job->scratch;
    places at = {.bytes = (size_t)(columns * WR_PANEL_ROWS + runs * 64)};
    at.a = (float *)(void *)(scratch + (job->w->panels == NULL ? m->bytes : 0));
    at.sums = (int32_t *)(void *)(at.a + 2 * runs * INPUTS);
    at.unpacked = (uint8_t *)(at.sums + STRETCH * SUMS);
    const uint8_t *end = scratch + wr_product_scratch(columns);
    const size_t left = (size_t)(end - at.unpacked), room = left < GROUP_BYTES ? left : GROUP_BYTES;
    at.group = room > at.bytes ? (int64_t)(room / at.bytes) : 1;
    return at;
}

/* Panel i of a group asks for its part of the next inputs. */
static void share_next(block *b, const wr_product *job, int64_t next, int64_t i, int64_t count) {
    const int64_t most = job->batch - next < INPUTS ? job->batch - next : INPUTS;
    const int64_t begin = most * i / count, end = most * (i + 1) / count;
    b->next = (const uint8_t *)job->x + (size_t)(next + begin) * job->x_stride;
    b->next_rows = end - begin;
}

/* The next panel, also of the next job: as a rule the same thread takes it. */
static const uint8_t *panel_behind(const wr_product *job, const wr_panel *m, int64_t panel) {
    const wr_matrix *w = job->w;
    if (w->panels == NULL || panel + 1 >= wr_panel_count(w->rows)) return NULL;
    return (const uint8_t *)w->panels + (size_t)(panel + 1) * m->bytes;
}

/* Few inputs, by which each panel passes once or twice: it is unpacked on the way. */
static void multiply_directly(const wr_product *job, const wr_panel *m, const places *at,
                              unpack_function to_bytes) {
    const int64_t columns = job->w->columns, runs = columns / RUN;
    const int64_t tiles = (job->batch + INPUTS - 1) / INPUTS;
    block b = {.x_stride = job->x_stride,
               .from = PIECES,
               .unpack = to_bytes,
               .codes = (int64_t)m->block_codes,
               .scales = (int64_t)m->block_scales,
               .pieces = at->unpacked,
               .columns = columns,
               .sums = at->sums,
               .y_stride = job->y_stride,
               .inputs = (job->batch + tiles - 1) / tiles};
    const int64_t second = job->batch - b.inputs;
    configure(b.inputs);
    for (int64_t i = 0; i < tiles; i++)
        gather_numbers(at->a + i * runs * INPUTS,
                       wr_bytes_of(wr_product_input(job, i * second), columns).a, job->x_stride,
                       b.inputs, runs, INPUTS);
    for (int64_t panel = job->panel_begin; panel < job->panel_end; panel++) {
        b.codes_at = wr_product_panel(job, m, panel);
        b.scales_at = b.codes_at + m->scales;
        b.rows = job->w->rows - panel * WR_PANEL_ROWS;
        asking ahead = asking_of(panel_behind(job, m, panel), m->bytes, tiles * runs);
        b.ahead = &ahead;
        for (int64_t i = 0; i < tiles; i++) {
            b.x = wr_product_input(job, i * second);
            b.a = at->a + i * runs * INPUTS;
            b.y = job->y + i * second * job->y_stride + panel * WR_PANEL_ROWS;
            multiply_block(&b);
        }
    }
}

/* Panels one after another: unpacked, or as they are. */
typedef struct group {
    source from;
    const uint8_t *at;
    size_t bytes, scales; /* of a panel; where its scales begin */
    int64_t first, count;
} group;

static void multiply_group(const wr_product *job, const wr_panel *m, const places *at,
                           const group *g) {
    const int64_t first = g->first, count = g->count;
    const int64_t columns = job->w->columns, runs = columns / RUN;
    const int64_t tiles = (job->batch + INPUTS - 1) / INPUTS;
    const uint8_t *behind = wr_product_behind(job, m, first, count);
    asking ahead = asking_of(behind, (size_t)count * m->bytes, tiles * count * runs);
    block b = {.from = g->from,
               .x_stride = job->x_stride,
               .columns = columns,
               .a = at->a,
               .sums = at->sums,
               .y_stride = job->y_stride,
               .ahead = &ahead};
    for (int64_t input = 0; input < job->batch; input += b.inputs) {
        const int64_t left = job->batch - input, parts = (left + INPUTS - 1) / INPUTS;
        b.inputs = (left + parts - 1) / parts;
        b.x = wr_product_input(job, input);
        gather_numbers(at->a, wr_bytes_of(b.x, columns).a, job->x_stride, b.inputs, runs, INPUTS);
        configure(b.inputs);
        for (int64_t i = 0; i < count; i++) {
            b.codes_at = g->at + (size_t)i * g->bytes;
            b.scales_at = b.codes_at + g->scales;
            b.y = job->y + input * job->y_stride + (first + i) * WR_PANEL_ROWS;
            b.rows = job->w->rows - (first + i) * WR_PANEL_ROWS;
            share_next(&b, job, input + b.inputs, i, count);
            multiply_block(&b);
        }
    }
}

static void unpack_group(const wr_product *job, const wr_panel *m, const places *at,
                         unpack_function to_bytes, const group *g) {
    for (int64_t i = 0; i < g->count; i++) {
        const uint8_t *packed = wr_product_panel(job, m, g->first + i);
        to_bytes(packed, packed + m->scales, m->blocks, at->unpacked + (size_t)i * at->bytes);
    }
}

void wr_amx_bytes_product(const wr_product *job) {
    const wr_matrix *w = job->w;
    if (wr_amx_blocks_product(job)) return;
    const unpack_function to_bytes = unpack_of(w->format);
    if (job->batch < FEWEST || to_bytes == NULL) {
        wr_vnni_bytes_product(job);
        return;
    }
    const wr_panel m = wr_panel_measure(w->format, w->columns);
    const places at = divide(job, &m);
    if (job->batch <= MOST_DIRECT) {
        multiply_directly(job, &m, &at, to_bytes);
        _tile_release();
        return;
    }
    group g = {.from = UNPACKED, .at = at.unpacked, .bytes = at.bytes, .first = job->panel_begin};
    g.scales = (size_t)w->columns * WR_PANEL_ROWS;
    if (w->format == WR_Q8_0 && w->panels != NULL) {
        g.from = PACKED;
        g.bytes = m.bytes;
        g.scales = m.scales;
    }
    for (; g.first < job->panel_end; g.first += g.count) {
        const int64_t left = job->panel_end - g.first;
        g.count = left < at.group ? left : at.group;
        if (g.from == PACKED)
            g.at = wr_product_panel(job, &m, g.first);
        else
            unpack_group(job, &m, &at, to_bytes, &g);
        multiply_group(job, &m, &at, &g);
    }
    _tile_release();
}
