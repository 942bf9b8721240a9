/* Matrix products of the forward pass: up to three weights that read the same rows. */
#include "model/forward_inside.h"

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t wr_most_columns(const weir_model *m) {
    return larger(m->width, larger(m->feed_forward, (int64_t)m->heads * m->value_dim));
}

enum {
    GROUP = 4,     /* panels that kernels compute side by side */
    BLOCK = 48,    /* rows of x that fill every kernel's tiles */
    SHARE = 4,     /* items for each thread, at least */
    EXPECTING = 16 /* rows: with more, reading is not what takes time */
};

/* An item is a group of panels and a block of rows. Groups come first, those of the first product
 * before those of the next; then the next block. */
typedef struct linear_step {
    wr_forward *f;
    const float *x; /* [batch, columns] */
    int64_t batch;
    const wr_weighted *products;
    int count;
    int64_t group;  /* panels */
    int64_t groups; /* of all products */
    int64_t block;  /* rows */
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

/* What has to be prepared of x for these products: each input that they take, once. */
static int list_inputs(wr_forward *f, const float *x, const wr_weighted *products, int count,
                       input_step out[WR_INPUTS]) {
    bool listed[WR_INPUTS] = {[WR_INPUT_FLOATS] = true}; /* read as they are */
    int inputs = 0;
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        wr_input kind = f->model->kernels->input_of(w->format);
        if (listed[kind]) continue;
        listed[kind] = true;
        out[inputs++] = (input_step){.f = f, .x = x, .columns = w->columns, .kind = kind};
    }
    return inputs;
}

void wr_forward_multiply(const wr_forward *f, const float *x, const wr_weighted *p, wr_piece at,
                         int worker) {
    const wr_matrix *w = &p->linear->matrix;
    const wr_input kind = f->model->kernels->input_of(w->format);
    wr_product job = {.w = w,
                      .panel_begin = at.panel_begin,
                      .panel_end = at.panel_end,
                      .batch = at.end - at.begin,
                      .y = p->y + at.begin * w->rows,
                      .y_stride = w->rows,
                      .scratch = f->scratch + (size_t)worker * f->scratch_bytes};
    if (kind == WR_INPUT_FLOATS) {
        job.x = x + at.begin * w->columns;
        job.x_stride = (size_t)w->columns * sizeof(float);
    } else {
        job.x = f->inputs[kind] + (size_t)at.begin * f->input_bytes[kind];
        job.x_stride = f->input_bytes[kind];
    }
    f->model->kernels->product(&job);
    if (!p->linear->bias) return;
    int64_t row = at.panel_begin * WR_PANEL_ROWS;
    int64_t stop = at.panel_end * WR_PANEL_ROWS;
    if (stop > w->rows) stop = w->rows;
    for (int64_t b = 0; b < job.batch; b++)
        f->model->kernels->add(job.y + b * w->rows + row, p->linear->bias + row, stop - row);
}

static int64_t groups_of(const linear_step *step, int product) {
    int64_t panels = wr_panel_count(step->products[product].linear->matrix.rows);
    return (panels + step->group - 1) / step->group;
}

static int64_t count_groups(const linear_step *step) {
    int64_t groups = 0;
    for (int i = 0; i < step->count; i++) groups += groups_of(step, i);
    return groups;
}

/* Groups [begin, end) of one block: a run of panels of each product that they touch. */
static void multiply_groups(const linear_step *step, int64_t begin, int64_t end, int64_t block,
                            int worker) {
    int64_t base = 0;
    for (int i = 0; i < step->count; i++) {
        const wr_weighted *p = &step->products[i];
        int64_t panels = wr_panel_count(p->linear->matrix.rows);
        int64_t groups = groups_of(step, i);
        int64_t low = larger(begin, base) - base;
        int64_t high = (end < base + groups ? end : base + groups) - base;
        int64_t stop = high * step->group < panels ? high * step->group : panels;
        wr_piece at = {low * step->group, stop, block * step->block, (block + 1) * step->block};
        if (at.end > step->batch) at.end = step->batch;
        if (low < high) wr_forward_multiply(step->f, step->x, p, at, worker);
        base += groups;
    }
}

static void linear_task(void *context, int64_t begin, int64_t end, int worker) {
    const linear_step *step = context;
    while (begin < end) {
        int64_t block = begin / step->groups, first = block * step->groups;
        int64_t stop = end < first + step->groups ? end : first + step->groups;
        multiply_groups(step, begin - first, stop - first, block, worker);
        begin = stop;
    }
}

void wr_forward_linear_rows(wr_forward *f, const wr_rows *rows, const float *x,
                            const wr_weighted *products, int count) {
    input_step inputs[WR_INPUTS];
    int input_count = list_inputs(f, x, products, count, inputs);
    for (int i = 0; i < input_count; i++)
        input_task(&inputs[i], rows->begin, rows->end, rows->worker);
    for (int i = 0; i < count; i++) {
        int64_t panels = wr_panel_count(products[i].linear->matrix.rows);
        const wr_piece all = {0, panels, rows->begin, rows->end};
        wr_forward_multiply(f, x, &products[i], all, rows->worker);
    }
}

/* Panels of a group: no thread should go without. */
static int64_t group_panels(linear_step *step, int64_t wanted) {
    step->group = GROUP;
    while (step->batch == 1 && step->group > 1 && count_groups(step) < wanted) step->group /= 2;
    return step->group;
}

/* Whole groups, and blocks of rows only where groups are too few for the threads: each block reads
 * the panels again. */
static void divide(linear_step *step) {
    const int64_t wanted = (int64_t)SHARE * wr_threads_count(step->f->threads);
    step->block = step->batch;
    step->group = group_panels(step, wanted);
    step->groups = count_groups(step);
    int64_t blocks = (wanted + step->groups - 1) / step->groups;
    if (blocks <= 1 || step->batch < 2 * BLOCK) return;
    int64_t rows = (step->batch + blocks - 1) / blocks;
    step->block = (rows + BLOCK - 1) / BLOCK * BLOCK;
}

/* Where group `group` begins, and how many bytes of its product come from there on. */
static const uint8_t *panels_at(const linear_step *step, int64_t group, size_t *bytes) {
    int i = 0;
    for (; group >= groups_of(step, i); i++) group -= groups_of(step, i);
    const wr_matrix *w = &step->products[i].linear->matrix;
    const size_t panel = wr_panel_measure(w->format, w->columns).bytes;
    *bytes = (size_t)(wr_panel_count(w->rows) - group * step->group) * panel;
    return (const uint8_t *)w->panels + (size_t)(group * step->group) * panel;
}

void wr_forward_expect(wr_forward *f, const wr_linear *const *linears, int count) {
    const int threads = wr_threads_count(f->threads);
    if (threads == 1 || f->count > EXPECTING) return;
    wr_weighted products[3];
    linear_step step = {.f = f, .batch = f->count, .products = products};
    for (int i = 0; i < count; i++) {
        if (linears[i]->matrix.panels) products[step.count++].linear = linears[i];
    }
    if (step.count == 0) return;
    divide(&step);
    for (int i = 0; i < threads; i++) {
        size_t bytes;
        const uint8_t *at = panels_at(&step, step.groups * i / threads, &bytes);
        wr_threads_expect(f->threads, i, at, bytes);
    }
}

void wr_forward_expect_block(wr_forward *f, int32_t layer) {
    const wr_block *block = &f->model->blocks[layer];
    if (layer < f->model->layers)
        wr_forward_expect(f, (const wr_linear *const[]){&block->q, &block->k, &block->v}, 3);
    else
        wr_forward_expect(f, (const wr_linear *const[]){&f->model->head}, 1);
}

void wr_forward_linear(wr_forward *f, const float *x, int64_t batch, const wr_weighted *products,
                       int count) {
    linear_step step = {.f = f, .x = x, .batch = batch, .products = products, .count = count};
    int64_t work = 0;
    input_step inputs[WR_INPUTS];
    int input_count = list_inputs(f, x, products, count, inputs);
    for (int i = 0; i < input_count; i++)
        wr_forward_run(f, batch, batch * inputs[i].columns * 16, input_task, &inputs[i]);
    divide(&step);
    for (int i = 0; i < count; i++) {
        const wr_matrix *w = &products[i].linear->matrix;
        work += w->rows * w->columns * batch;
    }
    int64_t blocks = (batch + step.block - 1) / step.block;
    wr_forward_run(f, step.groups * blocks, work, linear_task, &step);
}
