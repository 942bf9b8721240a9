/* A block of the forward pass: norms, halves, and who computes what of them. */
#include "model/forward_inside.h"

/* --- Rows ------------------------------------------------------------------------------------- */

void wr_normalise(const weir_model *m, float *y, const float *x, const wr_norm *norm, int64_t n) {
    if (m->family->norm == WR_NORM_RMS)
        m->kernels->rms_norm(y, x, norm->weight, n, m->norm_epsilon);
    else
        m->kernels->layer_norm(y, x, norm->weight, norm->bias, n, m->norm_epsilon);
}

/* What lies between two halves: x = sum(x + after(added)), and normed = norm(x), where there are
 * norms. In parallel blocks the second half reads x as it was before. */
typedef struct between {
    wr_forward *f;
    bool add;
    const wr_norm *after, *sum;
    bool before_adding; /* the next half's norm */
    const wr_norm *norm;
} between;

static void between_task(void *context, int64_t begin, int64_t end, int worker) {
    const between *step = context;
    wr_forward *f = step->f;
    const weir_model *m = f->model;
    const bool norms = step->norm && step->norm->weight;
    const bool after = step->add && step->after->weight;
    const bool sum = step->add && step->sum->weight;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        float *x = f->x + i * m->width, *added = f->added + i * m->width;
        float *normed = f->normed + i * m->width;
        if (norms && step->before_adding) wr_normalise(m, normed, x, step->norm, m->width);
        if (after) wr_normalise(m, added, added, step->after, m->width);
        if (step->add) m->kernels->add(x, added, m->width);
        if (sum) wr_normalise(m, x, x, step->sum, m->width);
        if (norms && !step->before_adding) wr_normalise(m, normed, x, step->norm, m->width);
    }
}

static between before_attention(wr_forward *f, int32_t layer) {
    const wr_block *blocks = f->model->blocks;
    return (between){.f = f,
                     .add = layer > 0,
                     .after = layer > 0 ? &blocks[layer - 1].feed_forward_after : NULL,
                     .sum = layer > 0 ? &blocks[layer - 1].feed_forward_sum : NULL,
                     .norm = &blocks[layer].attention_norm};
}

static between before_feed_forward(wr_forward *f, int32_t layer) {
    const wr_block *block = &f->model->blocks[layer];
    return (between){.f = f,
                     .add = true,
                     .after = &block->attention_after,
                     .sum = &block->attention_sum,
                     .before_adding = f->model->parallel,
                     .norm = &block->feed_forward_norm};
}

static void run_between(wr_forward *f, between step) {
    wr_forward_run(f, f->count, f->count * f->model->width * 16, between_task, &step);
}

void wr_forward_finish(wr_forward *f) {
    const wr_block *last = &f->model->blocks[f->model->layers - 1];
    run_between(f, (between){.f = f,
                             .add = true,
                             .after = &last->feed_forward_after,
                             .sum = &last->feed_forward_sum});
}

/* What the halves read. In parallel blocks without a norm of its own the second half reads what
 * attention read. */
static const float *attention_input(const wr_forward *f, const wr_block *block) {
    return block->attention_norm.weight ? f->normed : f->x;
}
static const float *feed_forward_input(const wr_forward *f, const wr_block *block) {
    return block->feed_forward_norm.weight || f->model->parallel ? f->normed : f->x;
}

#define CUT 7.0f
#define SHARPNESS 1.702f

static void activate(const weir_model *m, float *row, int64_t n) {
    switch (m->family->activation) {
    case WR_ACTIVATION_SILU:
        m->kernels->silu(row, row, n);
        break;
    case WR_ACTIVATION_GELU:
        m->kernels->gelu(row, row, n);
        break;
    case WR_ACTIVATION_GELU_TANH:
        m->kernels->gelu_tanh(row, row, n);
        break;
    case WR_ACTIVATION_CUT_SILU: /* its gate has been multiplied by SHARPNESS */
        m->kernels->silu(row, row, n);
        m->kernels->scale(row, 1.0f / SHARPNESS, n);
        break;
    }
}

/* What gpt-oss does to gate and up first. NaN stays NaN. */
static void cut_row(float *gate, float *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float cut = up[i] > CUT ? CUT : up[i] < -CUT ? -CUT : up[i];
        gate[i] = (gate[i] > CUT ? CUT : gate[i]) * SHARPNESS;
        up[i] = cut + 1.0f;
    }
}

void wr_forward_activate(wr_forward *f, int64_t begin, int64_t end) {
    const weir_model *m = f->model;
    int64_t n = m->feed_forward;
    float *acted = m->family->gated ? f->gate : f->up;
    for (int64_t i = begin; i < end; i++) {
        float *row = acted + i * n;
        if (m->family->activation == WR_ACTIVATION_CUT_SILU) cut_row(row, f->up + i * n, n);
        activate(m, row, n);
        if (m->family->gated) m->kernels->multiply(row, f->up + i * n, n);
    }
}

static void activation_task(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    wr_forward_activate(context, begin, end);
}

/* --- One block -------------------------------------------------------------------------------- */

static void run_attention(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    wr_weighted projections[] = {{&block->q, f->q}, {&block->k, f->k}, {&block->v, f->v}};
    wr_forward_expect(f, (const wr_linear *const[]){&block->out}, 1);
    wr_forward_linear(f, attention_input(f, block), f->count, projections, 3);
    wr_forward_attend(f, layer);
    wr_forward_show(f, WEIR_POINT_ATTENTION, layer, f->attended, (int64_t)m->heads * m->value_dim);
    wr_forward_expect(f, (const wr_linear *const[]){&block->up, &block->gate}, 2);
    wr_forward_linear(f, f->attended, f->count, &(wr_weighted){&block->out, f->added}, 1);
}

static void run_feed_forward(wr_forward *f, int32_t layer) {
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[layer];
    wr_weighted products[] = {{&block->up, f->up}, {&block->gate, f->gate}};
    if (block->experts) {
        wr_forward_experts(f, block, feed_forward_input(f, block));
        return;
    }
    wr_forward_expect(f, (const wr_linear *const[]){&block->down}, 1);
    wr_forward_linear(f, feed_forward_input(f, block), f->count, products,
                      m->family->gated ? 2 : 1);
    wr_forward_run(f, f->count, f->count * m->feed_forward * 32, activation_task, f);
    wr_forward_expect_block(f, layer + 1);
    wr_forward_linear(f, m->family->gated ? f->gate : f->up, f->count,
                      &(wr_weighted){&block->down, f->added}, 1);
}

/* --- Shares of the rows -----------------------------------------------------------------------
 *
 * Where a block's weights lie in a processor's own cache, threads that divide each step by weights
 * hand the activations of all rows to each other at every step, which takes as long as computing
 * them. So each takes a share of the rows through half a block: they meet only where queries need
 * the keys of all rows. */

enum {
    SHARE_WEIGHTS = 3 << 19, /* bytes of a block's weights that a thread keeps in its cache */
    SHARE_ROWS = 16          /* for each thread, at least */
};

static int64_t block_weights(const weir_model *m) {
    const wr_block *b = &m->blocks[0];
    const wr_linear *const linears[] = {&b->q, &b->k, &b->v, &b->out, &b->gate, &b->up, &b->down};
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        const wr_matrix *w = &linears[i]->matrix;
        if (w->data) bytes += w->rows * (int64_t)wr_format_row_bytes(w->format, w->columns);
    }
    return bytes;
}

static bool is_observed(const wr_forward *f) {
    for (int32_t i = 0; i < f->segment_count; i++) {
        const wr_observer *observer = f->segments[i].observer;
        if (observer && (observer->fn || observer->scores_fn)) return true;
    }
    return false;
}

/* Shares that the chunk is divided into; 0: steps are divided instead. */
int64_t wr_forward_count_shares(const wr_forward *f) {
    int64_t threads = wr_threads_count(f->threads);
    if (threads == 1 || f->count < threads * SHARE_ROWS || f->tile_count < threads) return 0;
    if (f->model->experts > 0 || is_observed(f) || block_weights(f->model) > SHARE_WEIGHTS)
        return 0;
    return threads;
}

typedef struct share_step {
    wr_forward *f;
    int32_t layer;
    int64_t shares;
} share_step;

static wr_rows share_at(const share_step *step, int64_t share, int worker) {
    const wr_forward *f = step->f;
    wr_rows rows = {.tile = f->tile_count * share / step->shares,
                    .tile_end = f->tile_count * (share + 1) / step->shares,
                    .worker = worker};
    rows.begin = f->tiles[rows.tile].begin;
    rows.end = f->tiles[rows.tile_end - 1].end;
    return rows;
}

/* As far as the keys. */
static void first_half_task(void *context, int64_t begin, int64_t end, int worker) {
    const share_step *step = context;
    wr_forward *f = step->f;
    const wr_block *block = &f->model->blocks[step->layer];
    const wr_weighted projections[] = {{&block->q, f->q}, {&block->k, f->k}, {&block->v, f->v}};
    between into = before_attention(f, step->layer);
    for (int64_t share = begin; share < end; share++) {
        const wr_rows rows = share_at(step, share, worker);
        between_task(&into, rows.begin, rows.end, worker);
        wr_forward_linear_rows(f, &rows, attention_input(f, block), projections, 3);
        wr_forward_rotate_rows(f, step->layer, &rows);
    }
}

static void second_half_task(void *context, int64_t begin, int64_t end, int worker) {
    const share_step *step = context;
    wr_forward *f = step->f;
    const weir_model *m = f->model;
    const wr_block *block = &m->blocks[step->layer];
    const wr_weighted products[] = {{&block->up, f->up}, {&block->gate, f->gate}};
    between into = before_feed_forward(f, step->layer);
    for (int64_t share = begin; share < end; share++) {
        const wr_rows rows = share_at(step, share, worker);
        wr_forward_attend_rows(f, step->layer, &rows);
        wr_forward_linear_rows(f, &rows, f->attended, &(wr_weighted){&block->out, f->added}, 1);
        between_task(&into, rows.begin, rows.end, worker);
        wr_forward_linear_rows(f, &rows, feed_forward_input(f, block), products,
                               m->family->gated ? 2 : 1);
        wr_forward_activate(f, rows.begin, rows.end);
        wr_forward_linear_rows(f, &rows, m->family->gated ? f->gate : f->up,
                               &(wr_weighted){&block->down, f->added}, 1);
    }
}

static void run_shares(wr_forward *f, int32_t layer, int64_t shares) {
    share_step step = {.f = f, .layer = layer, .shares = shares};
    wr_threads_run(f->threads, shares, 1, first_half_task, &step);
    wr_threads_run(f->threads, shares, 1, second_half_task, &step);
}

void wr_forward_block(wr_forward *f, int32_t layer, int64_t shares) {
    if (shares > 0) {
        run_shares(f, layer, shares);
        return;
    }
    run_between(f, before_attention(f, layer));
    if (layer > 0) wr_forward_show(f, WEIR_POINT_LAYER, layer - 1, f->x, f->model->width);
    run_attention(f, layer);
    run_between(f, before_feed_forward(f, layer));
    run_feed_forward(f, layer);
}
