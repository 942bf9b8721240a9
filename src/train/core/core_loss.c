/*
 * The end of the model: the head and cross entropy, some rows at a time, so that the logits of a
 * whole batch never stand in memory.
 */
#include "train/core/core_inside.h"

int64_t wr_core_chunk(const weir_train_shape *shape, int64_t rows) {
    const int64_t numbers = 1 << 20, least = 64; /* four megabytes, mostly */
    int64_t chunk = numbers / shape->vocabulary / 32 * 32;
    if (chunk < least) chunk = least;
    return chunk < rows ? chunk : rows;
}

static void head_in_chunks(wr_core *core, int64_t n, bool gradients) {
    const weir_train_shape *shape = &core->shape;
    const int64_t width = shape->width;
    for (int64_t first = 0; first < n; first += core->chunk) {
        const int64_t rows = n - first < core->chunk ? n - first : core->chunk;
        const real *normed = core->normed + first * width;
        const wr_linear_rows part = {rows, 0, rows, core->threads, core->product_scratch};
        wr_linear_forward(&core->head, &part, normed, core->logits);
        wr_loss_job job = {.vocabulary = shape->vocabulary,
                           .logits = core->logits,
                           .targets = core->targets + first,
                           .nll = core->nll + first,
                           .gradients = gradients};
        wr_core_run(core, rows, 4, core->kernels->loss, &job);
        if (!gradients) continue;
        /* dnormed = dlogits W, dW += dlogits^T normed */
        wr_linear_inputs(&core->head, &part, core->logits, core->normed_gradient + first * width);
        wr_linear_weights(&core->head, &part, core->logits, normed, core->gradients);
    }
}

void wr_core_loss(wr_core *core, int64_t samples, bool gradients) {
    const int64_t n = samples * core->shape.context;
    const wr_head head = {.n = n,
                          .width = core->shape.width,
                          .weight = &core->head.weight[0],
                          .x = core->normed,
                          .targets = core->targets,
                          .nll = core->nll,
                          .dx = gradients ? core->normed_gradient : NULL,
                          .dw = core->gradients + core->head.offset[0],
                          .scratch = core->head_scratch};
    if (core->products->head != NULL)
        core->products->head->run(core->threads, &head);
    else
        head_in_chunks(core, n, gradients);
}
