/*
 * The end of the model: the head and cross entropy, some rows at a time, so that the logits of a
 * whole batch never stand in memory; and the gradients of norms.
 */
#include "train/core_inside.h"

int64_t wr_core_chunk(const weir_train_shape *shape, int64_t rows) {
    const int64_t numbers = 1 << 20, least = 64; /* four megabytes, mostly */
    int64_t chunk = numbers / shape->vocabulary / 32 * 32;
    if (chunk < least) chunk = least;
    return chunk < rows ? chunk : rows;
}

void wr_core_norm_back(wr_core *core, wr_norm_back *job, size_t gain, int64_t n) {
    const int64_t blocks = (n + WR_NORM_BLOCK - 1) / WR_NORM_BLOCK;
    wr_core_run(core, blocks, 1, core->kernels->norm_back, job);
    wr_core_add_gain(core, gain, n);
}

void wr_core_add_gain(wr_core *core, size_t gain, int64_t n) {
    const int64_t blocks = (n + WR_NORM_BLOCK - 1) / WR_NORM_BLOCK, width = core->shape.width;
    real *gradient = core->gradients + gain;
    for (int64_t block = 0; block < blocks; block++) {
        const real *partial = core->gain_partial + block * width;
        for (int64_t i = 0; i < width; i++) gradient[i] += partial[i];
    }
}

static void head_in_chunks(wr_core *core, int64_t n, bool gradients) {
    const weir_train_shape *shape = &core->shape;
    const int64_t width = shape->width;
    for (int64_t first = 0; first < n; first += core->chunk) {
        const int64_t rows = n - first < core->chunk ? n - first : core->chunk;
        const real *normed = core->normed + first * width;
        wr_linear_forward(&core->head, core, normed, core->logits, rows);
        wr_loss_job job = {.vocabulary = shape->vocabulary,
                           .logits = core->logits,
                           .targets = core->targets + first,
                           .nll = core->nll + first,
                           .gradients = gradients};
        wr_core_run(core, rows, 4, core->kernels->loss, &job);
        if (!gradients) continue;
        /* dnormed = dlogits W, dW += dlogits^T normed */
        wr_linear_inputs(&core->head, core, core->logits, core->change + first * width, rows);
        wr_linear_weights(&core->head, core, core->logits, normed, rows);
    }
}

static void head_as_a_whole(wr_core *core, int64_t n, bool gradients) {
    const wr_head head = {.n = n,
                          .width = core->shape.width,
                          .weight = &core->head.weight[0],
                          .x = core->normed,
                          .targets = core->targets,
                          .nll = core->nll,
                          .dx = gradients ? core->change : NULL,
                          .dw = core->gradients + core->head.offset[0],
                          .scratch = core->head_scratch};
    core->products->head->run(core->threads, &head);
}

void wr_core_loss(wr_core *core, int64_t samples, bool gradients) {
    const int64_t n = samples * core->shape.context, width = core->shape.width;
    if (core->products->head != NULL)
        head_as_a_whole(core, n, gradients);
    else
        head_in_chunks(core, n, gradients);
    if (!gradients) return;
    wr_norm_back job = {.width = width,
                        .rows = n,
                        .x = core->stream,
                        .gain = core->parameters + core->output_norm,
                        .r = core->stream_r,
                        .dy = core->change,
                        .y = core->normed,
                        .dx = core->gradient,
                        .first = true,
                        .partial = core->gain_partial};
    wr_core_norm_back(core, &job, core->output_norm, n);
}
