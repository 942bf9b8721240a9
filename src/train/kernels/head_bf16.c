/*
 * The head and the cross entropy of bfloat16: memory and threads. x86/head_amx.c computes.
 */
#include "base/arena.h"
#include "train/kernels/products_bf16.h"

#if defined(WR_X86_KERNELS)

#include "train/kernels/x86/head_amx.h"
#include "train/kernels/x86/tiles.h"

enum {
    BLOCK = 256,             /* tokens, for which a weight is read once */
    BLOCKS_AT_LEAST = 8,     /* for threads to share */
    CHANGES_MOST = 16 << 20, /* bytes of the logits' gradients that stand at once */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t whole(int64_t n) { return (n + WR_TILE_SIDE - 1) / WR_TILE_SIDE * WR_TILE_SIDE; }

/* Rows whose gradients stand at once: between forward and dW. */
static int64_t rows_at_once(int64_t n, int64_t vocabulary) {
    return least(whole(n), most(BLOCK, CHANGES_MOST / (2 * vocabulary) / BLOCK * BLOCK));
}

static size_t lay_out(wr_head_job *job, int64_t rows, int threads, void *scratch) {
    wr_arena arena = {.base = scratch, .size = SIZE_MAX}; /* measures where there is no base */
    job->block = most(WR_TILE_SIDE, least(BLOCK, whole(rows / BLOCKS_AT_LEAST)));
    job->logits_left = wr_arena_take(&arena, wr_tiles_bytes(job->vocabulary, rows), 1);
    job->x_right = wr_arena_take(&arena, wr_tiles_bytes(job->width, rows), 1);
    job->scratch_size = wr_amx_head_scratch(job->width, job->block);
    job->scratch = wr_arena_take(&arena, (size_t)threads * job->scratch_size, 1);
    return arena.used;
}

static size_t scratch_size(int64_t n, int64_t width, int64_t vocabulary, int threads) {
    wr_head_job job = {.width = width, .vocabulary = vocabulary};
    return lay_out(&job, rows_at_once(n, vocabulary), threads, NULL);
}

static void run(wr_threads *threads, const wr_head *head) {
    const wr_product_weight *weight = head->weight;
    wr_head_job job = {.width = head->width,
                       .vocabulary = weight->rows,
                       .forward = wr_bf16_forward_side(weight),
                       .inputs = wr_bf16_inputs_side(weight)};
    const int64_t rows = rows_at_once(head->n, weight->rows);
    lay_out(&job, rows, wr_threads_count(threads), head->scratch);
    for (int64_t first = 0; first < head->n; first += rows) {
        job.n = least(rows, head->n - first);
        job.x = head->x + first * head->width;
        job.targets = head->targets + first;
        job.nll = head->nll + first;
        job.dx = head->dx != NULL ? head->dx + first * head->width : NULL;
        wr_threads_run(threads, (job.n + job.block - 1) / job.block, 1, wr_amx_head, &job);
        if (job.dx != NULL)
            wr_bf16_add_weights(threads, job.logits_left, job.x_right, job.n, weight->rows,
                                head->width, head->dw);
    }
}

const wr_head_kernels wr_bf16_head = {.scratch_size = scratch_size, .run = run};

#endif
