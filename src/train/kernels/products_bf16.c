/*
 * Products of bfloat16: both inputs are rounded to it, sums and results are float32.
 *
 * A weight is kept in tiles twice, as the right side of `forward` (W^T) and of `inputs` (W), and
 * made anew after every update. Activations become tiles in pieces that stay in the second cache,
 * in the thread that multiplies them.
 */
#include "train/kernels/products_bf16.h"
#include "base/cpu.h"
#include "train/kernels/products_inside.h"
#include "train/kernels/train_kernels.h"
#include "train/kernels/x86/attention_amx.h"
#include "train/kernels/x86/tiles.h"

#if defined(WR_X86_KERNELS)

enum {
    NEAR_NUMBERS = 1 << 17, /* of one operand in the second cache: a quarter of a megabyte */
    MOST_TOKENS = 512,      /* in a piece */
    MOST_SUMS = 1 << 18,    /* of dW in the second cache: a megabyte */
    NEAR_WEIGHTS = 5 << 18, /* bytes of a weight that stays in the second cache */
    FEW_TOKENS = 128,       /* that a thread takes at a time, at least */
};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t rounded_up(int64_t n) {
    return (n + WR_TILE_SIDE - 1) / WR_TILE_SIDE * WR_TILE_SIDE;
}

/* Tokens in a piece whose rows are `wide`: a multiple of 32. */
static int64_t piece_tokens(int64_t wide) {
    const int64_t tokens = NEAR_NUMBERS / rounded_up(wide) / WR_TILE_SIDE * WR_TILE_SIDE;
    return tokens < WR_TILE_SIDE ? WR_TILE_SIDE : smaller(tokens, MOST_TOKENS);
}

static bool runs_here(void) {
    wr_cpu_level level;
    return wr_cpu_choose(NULL, &level, NULL) == WEIR_OK && level == WR_CPU_AMX;
}

/* ---- weights --------------------------------------------------------------------------------- */

static size_t prepared_size(int64_t rows, int64_t columns) {
    return wr_tiles_bytes(rows, columns) + wr_tiles_bytes(columns, rows);
}

const uint8_t *wr_bf16_forward_side(const wr_product_weight *weight) { return weight->prepared; }

const uint8_t *wr_bf16_inputs_side(const wr_product_weight *weight) {
    return (const uint8_t *)weight->prepared + wr_tiles_bytes(weight->rows, weight->columns);
}

static uint8_t *for_inputs(const wr_product_weight *weight) {
    return (uint8_t *)weight->prepared + wr_tiles_bytes(weight->rows, weight->columns);
}

/* Items are panels: those of W^T, then those of W. */
static void prepare_panels(void *context, int64_t begin, int64_t end, int worker) {
    const wr_product_weight *weight = context;
    const wr_tiles_source from = {weight->master, weight->columns, weight->rows, weight->columns,
                                  0};
    const int64_t turned = rounded_up(weight->rows) / 16;
    (void)worker;
    if (begin < turned)
        wr_tiles_pack(WR_TILES_RIGHT_TRANSPOSED, &from, begin, smaller(end, turned),
                      weight->prepared);
    if (end > turned)
        wr_tiles_pack(WR_TILES_RIGHT, &from, begin > turned ? begin - turned : 0, end - turned,
                      for_inputs(weight));
}

static void prepare(wr_threads *threads, wr_product_weight *weight) {
    const int64_t panels = (rounded_up(weight->rows) + rounded_up(weight->columns)) / 16;
    wr_threads_run(threads, panels, 8, prepare_panels, weight);
}

/* ---- forward and inputs: tokens by pieces ---------------------------------------------------- */

typedef struct by_tokens {
    const float *x; /* [n, k] */
    const void *right;
    float *y; /* [n, wide] */
    int64_t n, k, wide, piece;
    bool add;
    uint8_t *scratch;
} by_tokens;

static void multiply_tokens(void *context, int64_t begin, int64_t end, int worker) {
    const by_tokens *job = context;
    uint8_t *left = job->scratch + (size_t)worker * wr_tiles_bytes(job->piece, job->k);
    wr_tiles_begin();
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i * job->piece, tokens = smaller(job->piece, job->n - first);
        const wr_tiles_source from = {job->x + first * job->k, job->k, tokens, job->k, 0};
        wr_tiles_pack(WR_TILES_LEFT, &from, 0, rounded_up(tokens) / 16, left);
        wr_tiles_multiply(&(wr_tiles_product){.left = left,
                                              .right = job->right,
                                              .k = job->k,
                                              .m = tokens,
                                              .n = job->wide,
                                              .c = job->y + first * job->wide,
                                              .stride = job->wide,
                                              .add = job->add});
    }
    wr_tiles_end();
}

/* Where the weight stays near, few tokens in the first cache meet all of it; else many tokens in
 * the second cache meet a part of it at a time. */
static void by_pieces(wr_threads *threads, by_tokens *job) {
    const bool near = wr_tiles_bytes(job->wide, job->k) <= NEAR_WEIGHTS;
    job->piece = near ? WR_TILE_SIDE : piece_tokens(job->k);
    const int64_t grain = job->piece < FEW_TOKENS ? FEW_TOKENS / job->piece : 1;
    wr_threads_run(threads, (job->n + job->piece - 1) / job->piece, grain, multiply_tokens, job);
}

static void forward(wr_threads *threads, const wr_product_weight *weight, const real *x, real *y,
                    int64_t n, void *scratch) {
    by_tokens job = {.x = x,
                     .right = wr_bf16_forward_side(weight),
                     .y = y,
                     .n = n,
                     .k = weight->columns,
                     .wide = weight->rows,
                     .scratch = scratch};
    by_pieces(threads, &job);
}

static void inputs(wr_threads *threads, const wr_product_weight *weight, const real *dy, real *dx,
                   int64_t n, bool add, void *scratch) {
    by_tokens job = {.x = dy,
                     .right = wr_bf16_inputs_side(weight),
                     .y = dx,
                     .n = n,
                     .k = weight->rows,
                     .wide = weight->columns,
                     .add = add,
                     .scratch = scratch};
    by_pieces(threads, &job);
}

/* ---- weights: rows of dW by blocks, each over all tokens --------------------------------------
 */

typedef struct by_rows {
    const float *dy; /* [n, rows] */
    const float *x;  /* [n, columns] */
    float *dw;       /* [rows, columns] */
    int64_t n, rows, columns, block, piece;
    uint8_t *scratch;
    size_t scratch_size; /* of a worker */
} by_rows;

/* Inputs become tiles once for each block, so there are few: one for each thread, as long as its
 * sums stay in the second cache. An element's sum goes along the tokens in any case: where rows are
 * cut changes no bits. */
static int64_t block_rows(int64_t rows, int64_t columns, int threads) {
    const int64_t share = rounded_up((rows + threads - 1) / threads);
    const int64_t near = MOST_SUMS / columns / WR_TILE_SIDE * WR_TILE_SIDE;
    return near < 64 ? smaller(share, 64) : smaller(share, near);
}

static size_t block_scratch(int64_t rows, int64_t columns, int threads) {
    const int64_t piece = piece_tokens(columns);
    return wr_tiles_bytes(columns, piece) +
           wr_tiles_bytes(block_rows(rows, columns, threads), piece);
}

static void add_piece(const by_rows *job, int64_t row, int64_t first, uint8_t *scratch) {
    const int64_t tokens = smaller(job->piece, job->n - first);
    const int64_t rows = smaller(job->block, job->rows - row);
    uint8_t *right = scratch, *left = scratch + wr_tiles_bytes(job->columns, job->piece);
    const wr_tiles_source x = {job->x + first * job->columns, job->columns, tokens, job->columns,
                               0};
    const wr_tiles_source dy = {job->dy + first * job->rows + row, job->rows, tokens, rows, 0};
    wr_tiles_pack(WR_TILES_RIGHT, &x, 0, rounded_up(job->columns) / 16, right);
    wr_tiles_pack(WR_TILES_LEFT_TRANSPOSED, &dy, 0, rounded_up(rows) / 16, left);
    wr_tiles_multiply(&(wr_tiles_product){.left = left,
                                          .right = right,
                                          .k = tokens,
                                          .m = rows,
                                          .n = job->columns,
                                          .c = job->dw + row * job->columns,
                                          .stride = job->columns,
                                          .add = true});
}

static void multiply_rows(void *context, int64_t begin, int64_t end, int worker) {
    const by_rows *job = context;
    uint8_t *scratch = job->scratch + (size_t)worker * job->scratch_size;
    wr_tiles_begin();
    for (int64_t i = begin; i < end; i++)
        for (int64_t first = 0; first < job->n; first += job->piece)
            add_piece(job, i * job->block, first, scratch);
    wr_tiles_end();
}

static void weights(wr_threads *threads, const wr_product_weight *weight, const real *dy,
                    const real *x, real *dw, int64_t n, void *scratch) {
    const int count = wr_threads_count(threads);
    by_rows job = {.dy = dy,
                   .x = x,
                   .dw = dw,
                   .n = n,
                   .rows = weight->rows,
                   .columns = weight->columns,
                   .block = block_rows(weight->rows, weight->columns, count),
                   .piece = piece_tokens(weight->columns),
                   .scratch = scratch,
                   .scratch_size = block_scratch(weight->rows, weight->columns, count)};
    wr_threads_run(threads, (job.rows + job.block - 1) / job.block, 1, multiply_rows, &job);
}

/* ---- weights, from tiles that are there already -----------------------------------------------
 */

typedef struct from_tiles {
    const uint8_t *left, *right;
    float *dw;
    int64_t n, rows, columns, block;
} from_tiles;

static void multiply_tiles(void *context, int64_t begin, int64_t end, int worker) {
    const from_tiles *job = context;
    const size_t panel = wr_tiles_bytes(WR_TILE_SIDE, job->n) / 2;
    (void)worker;
    wr_tiles_begin();
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i * job->block;
        wr_tiles_product product = {.left_room = job->n,
                                    .right_room = job->n,
                                    .m = smaller(job->block, job->rows - row),
                                    .n = job->columns,
                                    .c = job->dw + row * job->columns,
                                    .stride = job->columns,
                                    .add = true};
        for (int64_t token = 0; token < job->n; token += MOST_TOKENS) {
            const size_t tile = (size_t)(token / WR_TILE_SIDE) * WR_TILE_BYTES;
            product.left = job->left + (size_t)(row / 16) * panel + tile;
            product.right = job->right + tile;
            product.k = smaller(MOST_TOKENS, job->n - token);
            wr_tiles_multiply(&product);
        }
    }
    wr_tiles_end();
}

void wr_bf16_add_weights(wr_threads *threads, const void *left, const void *right, int64_t n,
                         int64_t rows, int64_t columns, real *dw) {
    from_tiles job = {.left = left,
                      .right = right,
                      .dw = dw,
                      .n = n,
                      .rows = rows,
                      .columns = columns,
                      .block = block_rows(rows, columns, wr_threads_count(threads))};
    wr_threads_run(threads, (rows + job.block - 1) / job.block, 1, multiply_tiles, &job);
}

/* ---- the table ------------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t scratch_size(int64_t rows, int64_t columns, int64_t n, int threads) {
    size_t bytes = wr_tiles_bytes(piece_tokens(columns), columns);
    (void)n;
    bytes = larger(bytes, wr_tiles_bytes(piece_tokens(rows), rows));
    return larger(bytes, block_scratch(rows, columns, threads)) * (size_t)threads;
}

static const wr_attention_kernels attention = {
    .scratch = wr_amx_attention_scratch,
    .forward = wr_amx_attention,
    .backward = wr_amx_attention_back,
};
#define ATTENTION &attention
#define FEED &wr_bf16_feed
#define HEAD &wr_bf16_head

#else

static bool runs_here(void) { return false; }
#define prepared_size NULL
#define scratch_size NULL
#define prepare NULL
#define forward NULL
#define inputs NULL
#define weights NULL
#define ATTENTION NULL
#define FEED NULL
#define HEAD NULL

#endif

const wr_products wr_products_bf16 = {
    .name = "bfloat16",
    .runs_here = runs_here,
    .prepared_size = prepared_size,
    .scratch_size = scratch_size,
    .prepare = prepare,
    .forward = forward,
    .inputs = inputs,
    .weights = weights,
    .attention = ATTENTION,
    .feed = FEED,
    .head = HEAD,
};
