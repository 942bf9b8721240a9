/* Matrix products of the forward pass: up to three weights that read the same rows. */
#include "model/forward_inside.h"

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t wr_most_columns(const weir_model *m) {
    return larger(m->width, larger(m->feed_forward, (int64_t)m->heads * m->value_dim));
}

typedef struct linear_step {
    wr_forward *f;
    const float *x; /* [batch, columns] */
    int64_t batch;
    const wr_weighted *products;
    int count;
} linear_step;

/* Prepare rows of x as input[kind]: for every product that takes it. */
typedef struct input_step {
    wr_forward *f;
    const float *x; /* [batch, columns] */
    int64_t columns;
    wr_input kind;
} input_step;

static void input_task(void *context, int64_t begin, int64_t end, int worker) {
    const input_step *step = context;
    wr_forward *f = step->f;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        f->model->kernels->prepare(step->kind, step->x + i * step->columns, step->columns,
                                   f->inputs[step->kind] + (size_t)i * f->input_bytes[step->kind]);
}

static void prepare_inputs(wr_forward *f, const float *x, int64_t batch,
                           const wr_weighted *products, int count) {
    bool done[WR_INPUTS] = {[WR_INPUT_FLOATS] = true};
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        input_step step = {
            .f = f, .x = x, .columns = w->columns, .kind = f->model->kernels->input_of(w->format)};
        if (done[step.kind]) continue;
        done[step.kind] = true;
        wr_forward_run(f, batch, batch * w->columns, input_task, &step);
    }
}

static void multiply_panels(const linear_step *step, const wr_weighted *p, int64_t begin,
                            int64_t end, uint8_t *scratch) {
    const wr_forward *f = step->f;
    const wr_matrix *w = &p->linear->matrix;
    wr_input kind = f->model->kernels->input_of(w->format);
    bool floats = kind == WR_INPUT_FLOATS;
    f->model->kernels->product(&(wr_product){.w = w,
                                             .panel_begin = begin,
                                             .panel_end = end,
                                             .x = floats ? (const void *)step->x : f->inputs[kind],
                                             .x_stride = floats ? (size_t)w->columns * sizeof(float)
                                                                : f->input_bytes[kind],
                                             .batch = step->batch,
                                             .y = p->y,
                                             .y_stride = w->rows,
                                             .scratch = scratch});
    if (!p->linear->bias) return;
    int64_t row = begin * WR_PANEL_ROWS;
    int64_t stop = end * WR_PANEL_ROWS < w->rows ? end * WR_PANEL_ROWS : w->rows;
    for (int64_t b = 0; b < step->batch; b++)
        f->model->kernels->add(p->y + b * w->rows + row, p->linear->bias + row, stop - row);
}

/* Items are panels, those of the first product first. */
static void linear_task(void *context, int64_t begin, int64_t end, int worker) {
    const linear_step *step = context;
    uint8_t *scratch = step->f->scratch + (size_t)worker * step->f->scratch_bytes;
    int64_t base = 0;
    for (int i = 0; i < step->count; i++) {
        int64_t panels = wr_panel_count(step->products[i].linear->matrix.rows);
        int64_t low = larger(begin, base) - base;
        int64_t high = (end < base + panels ? end : base + panels) - base;
        if (low < high) multiply_panels(step, &step->products[i], low, high, scratch);
        base += panels;
    }
}

void wr_forward_linear(wr_forward *f, const float *x, int64_t batch, const wr_weighted *products,
                       int count) {
    linear_step step = {.f = f, .x = x, .batch = batch, .products = products, .count = count};
    int64_t panels = 0;
    int64_t work = 0;
    prepare_inputs(f, x, batch, products, count);
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        panels += wr_panel_count(w->rows);
        work += w->rows * w->columns * batch;
    }
    wr_forward_run(f, panels, work, linear_task, &step);
}
