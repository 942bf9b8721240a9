/*
 * The feed-forward block of bfloat16: memory and threads. x86/feed_amx.c computes.
 */
#include "base/arena.h"
#include "train/kernels/products_bf16.h"

#if defined(WR_X86_KERNELS)

#include "train/kernels/x86/feed_amx.h"
#include "train/kernels/x86/tiles.h"

/* Both sides of dW for all rows, and what threads need. Returns its size. */
static size_t lay_out(wr_feed_job *job, int threads, void *scratch) {
    wr_arena arena = {.base = scratch, .size = SIZE_MAX}; /* measures where there is no base */
    job->gated_left = wr_arena_take(&arena, wr_tiles_bytes(2 * job->hidden, job->n), 1);
    job->dy_left = wr_arena_take(&arena, wr_tiles_bytes(job->width, job->n), 1);
    job->normed_right = wr_arena_take(&arena, wr_tiles_bytes(job->width, job->n), 1);
    job->hidden_right = wr_arena_take(&arena, wr_tiles_bytes(job->hidden, job->n), 1);
    job->scratch_size = wr_amx_feed_scratch(job->width, job->hidden);
    job->scratch = wr_arena_take(&arena, (size_t)threads * job->scratch_size, 1);
    return arena.used;
}

static size_t scratch_size(int64_t n, int64_t width, int64_t hidden, int threads) {
    wr_feed_job job = {.n = n, .width = width, .hidden = hidden};
    return lay_out(&job, threads, NULL);
}

static wr_feed_job job_of(const wr_feed *feed) {
    wr_feed_job job = {.n = feed->n,
                       .width = feed->width,
                       .hidden = feed->hidden,
                       .gates_forward = wr_bf16_forward_side(feed->gates),
                       .gates_inputs = wr_bf16_inputs_side(feed->gates),
                       .down_forward = wr_bf16_forward_side(feed->down),
                       .down_inputs = wr_bf16_inputs_side(feed->down),
                       .kept = feed->kept};
    lay_out(&job, feed->threads, feed->scratch);
    return job;
}

static void forward(const wr_feed *feed, const wr_feed_rows *rows) {
    const wr_feed_job job = job_of(feed);
    wr_amx_feed_forward(&job, rows);
}

static void backward(const wr_feed *feed, const wr_feed_rows *rows) {
    const wr_feed_job job = job_of(feed);
    wr_amx_feed_backward(&job, rows);
}

static void weights(wr_threads *threads, const wr_feed *feed, real *dgates, real *ddown) {
    const wr_feed_job job = job_of(feed);
    const int64_t n = feed->n, width = feed->width, hidden = feed->hidden;
    wr_bf16_add_weights(threads, job.gated_left, job.normed_right, n, 2 * hidden, width, dgates);
    wr_bf16_add_weights(threads, job.dy_left, job.hidden_right, n, width, hidden, ddown);
}

const wr_feed_kernels wr_bf16_feed = {
    .fits = wr_amx_feed_fits,
    .kept_size = wr_amx_feed_kept,
    .scratch_size = scratch_size,
    .forward = forward,
    .backward = backward,
    .weights = weights,
};

#endif
