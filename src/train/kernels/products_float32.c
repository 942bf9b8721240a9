/*
 * Products in the type of the parameters, by the kernel `product` of the machine's level.
 *
 * That kernel reads B in vectors, fastest from a panel [k][panel]. So a weight is kept twice beside
 * its master, made once per update:
 *
 *     across   panels of W^T: [rows / panel][columns][panel]        forward   Y = X W^T
 *     along    panels of W:   [columns / panel][rows][panel]        inputs   dX = dY W
 *
 * and dW += dY^T X packs both as it goes. The result is cut into cells by its shape alone, and a
 * sum is cut into runs of DEPTH, so that a panel's run stays in the first cache.
 */
#include <string.h>

#include "train/kernels/products_inside.h"
#include "train/kernels/train_kernels.h"

enum {
    DEPTH = 192,       /* of a sum, at a time */
    CELL_TOKENS = 128, /* of a cell of Y and dX */
    CELL_PANELS = 8,
    CELL_ROWS = 64, /* of a cell of dW */
};

static int64_t parts(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool runs_here(void) { return true; }

static int64_t panel_numbers(int64_t width, int64_t depth, int64_t panel) {
    return parts(width, panel) * panel * depth;
}

static size_t prepared_size(int64_t rows, int64_t columns) {
    const int64_t panel = wr_train_kernels_get()->panel;
    return (size_t)(panel_numbers(rows, columns, panel) + panel_numbers(columns, rows, panel)) *
           sizeof(real);
}

/* For each worker of `weights`: a run of dY^T and of X. */
static size_t worker_numbers(int64_t panel) { return (size_t)(DEPTH * (CELL_ROWS + panel)); }

static size_t scratch_size(int64_t rows, int64_t columns, int64_t n, int threads) {
    (void)rows, (void)columns, (void)n;
    return (size_t)threads * worker_numbers(wr_train_kernels_get()->panel) * sizeof(real);
}

/* ---- preparing ------------------------------------------------------------------------------- */

typedef struct preparation {
    const wr_product_weight *weight;
    int64_t panel;
    real *across, *along;
} preparation;

static real *across_of(const wr_product_weight *weight) { return weight->prepared; }
static real *along_of(const wr_product_weight *weight, int64_t panel) {
    return across_of(weight) + panel_numbers(weight->rows, weight->columns, panel);
}

/* One panel of W^T: its columns are rows of W. */
static void across_task(void *context, int64_t begin, int64_t end, int worker) {
    const preparation *made = context;
    const int64_t rows = made->weight->rows, columns = made->weight->columns, panel = made->panel;
    (void)worker;
    for (int64_t p = begin; p < end; p++) {
        real *out = made->across + p * panel * columns;
        for (int64_t r = 0; r < panel; r++) {
            const int64_t row = p * panel + r;
            const real *from = made->weight->master + row * columns;
            for (int64_t c = 0; c < columns; c++) out[c * panel + r] = row < rows ? from[c] : 0;
        }
    }
}

/* One panel of W. */
static void along_task(void *context, int64_t begin, int64_t end, int worker) {
    const preparation *made = context;
    const int64_t rows = made->weight->rows, columns = made->weight->columns, panel = made->panel;
    (void)worker;
    for (int64_t p = begin; p < end; p++) {
        real *out = made->along + p * panel * rows;
        const int64_t first = p * panel, some = least(panel, columns - first);
        for (int64_t r = 0; r < rows; r++, out += panel) {
            memcpy(out, made->weight->master + r * columns + first, (size_t)some * sizeof(real));
            memset(out + some, 0, (size_t)(panel - some) * sizeof(real));
        }
    }
}

static void prepare(wr_threads *threads, wr_product_weight *weight) {
    const int64_t panel = wr_train_kernels_get()->panel;
    preparation made = {weight, panel, across_of(weight), along_of(weight, panel)};
    wr_threads_run(threads, parts(weight->rows, panel), 1, across_task, &made);
    wr_threads_run(threads, parts(weight->columns, panel), 1, along_task, &made);
}

/* ---- Y = X W^T and dX = dY W ----------------------------------------------------------------- */

typedef struct by_panels {
    const wr_train_kernels *kernels;
    const real *a;      /* [n, depth] */
    const real *panels; /* [width / panel][depth][panel] */
    real *c;            /* [n, width] */
    int64_t n, depth, width;
    int64_t across; /* cells beside each other */
    bool add;
} by_panels;

/* Item = cell of CELL_TOKENS rows and CELL_PANELS panels. */
static void by_panels_task(void *context, int64_t begin, int64_t end, int worker) {
    const by_panels *job = context;
    const int64_t panel = job->kernels->panel;
    (void)worker;
    for (int64_t cell = begin; cell < end; cell++) {
        const int64_t row = cell / job->across * CELL_TOKENS;
        const int64_t first = cell % job->across * CELL_PANELS * panel;
        const int64_t last = least(first + CELL_PANELS * panel, job->width);
        for (int64_t k = 0; k < job->depth; k += DEPTH) {
            for (int64_t column = first; column < last; column += panel) {
                const wr_small_product product = {
                    .m = least(CELL_TOKENS, job->n - row),
                    .n = least(panel, last - column),
                    .k = least(DEPTH, job->depth - k),
                    .a = job->a + row * job->depth + k,
                    .a_row = job->depth,
                    .a_step = 1,
                    .b = job->panels + column * job->depth + k * panel,
                    .b_step = panel,
                    .c = job->c + row * job->width + column,
                    .c_row = job->width,
                    .add = job->add || k > 0,
                };
                job->kernels->product(&product);
            }
        }
    }
}

static void run_by_panels(wr_threads *threads, by_panels *job) {
    job->kernels = wr_train_kernels_get();
    job->across = parts(job->width, CELL_PANELS * job->kernels->panel);
    wr_threads_run(threads, parts(job->n, CELL_TOKENS) * job->across, 1, by_panels_task, job);
}

static void forward(wr_threads *threads, const wr_product_weight *weight, const real *x, real *y,
                    int64_t n, void *scratch) {
    (void)scratch;
    by_panels job = {.a = x,
                     .panels = across_of(weight),
                     .c = y,
                     .n = n,
                     .depth = weight->columns,
                     .width = weight->rows};
    run_by_panels(threads, &job);
}

static void inputs(wr_threads *threads, const wr_product_weight *weight, const real *dy, real *dx,
                   int64_t n, bool add, void *scratch) {
    (void)scratch;
    by_panels job = {.a = dy,
                     .panels = along_of(weight, wr_train_kernels_get()->panel),
                     .c = dx,
                     .n = n,
                     .depth = weight->rows,
                     .width = weight->columns,
                     .add = add};
    run_by_panels(threads, &job);
}

/* ---- dW += dY^T X ---------------------------------------------------------------------------- */

typedef struct outer {
    const wr_train_kernels *kernels;
    const real *dy; /* [n, rows] */
    const real *x;  /* [n, columns] */
    real *dw;       /* [rows, columns] */
    int64_t n, rows, columns;
    real *scratch;
} outer;

/* from[k, 0 ... width - 1] of rows `stride` apart, packed. */
static void pack(const real *from, int64_t stride, int64_t depth, int64_t width, real *to) {
    for (int64_t k = 0; k < depth; k++, from += stride, to += width)
        memcpy(to, from, (size_t)width * sizeof(real));
}

/* Item = cell of CELL_ROWS rows of dW, all its columns. */
static void outer_task(void *context, int64_t begin, int64_t end, int worker) {
    const outer *job = context;
    const int64_t panel = job->kernels->panel;
    real *a = job->scratch + (size_t)worker * worker_numbers(panel);
    real *b = a + DEPTH * CELL_ROWS;
    for (int64_t cell = begin; cell < end; cell++) {
        const int64_t row = cell * CELL_ROWS, rows = least(CELL_ROWS, job->rows - row);
        for (int64_t k = 0; k < job->n; k += DEPTH) {
            const int64_t depth = least(DEPTH, job->n - k);
            pack(job->dy + k * job->rows + row, job->rows, depth, rows, a);
            for (int64_t column = 0; column < job->columns; column += panel) {
                const int64_t width = least(panel, job->columns - column);
                pack(job->x + k * job->columns + column, job->columns, depth, width, b);
                const wr_small_product product = {
                    .m = rows,
                    .n = width,
                    .k = depth,
                    .a = a,
                    .a_row = 1,
                    .a_step = rows,
                    .b = b,
                    .b_step = width,
                    .c = job->dw + row * job->columns + column,
                    .c_row = job->columns,
                    .add = true,
                };
                job->kernels->product(&product);
            }
        }
    }
}

static void weights(wr_threads *threads, const wr_product_weight *weight, const real *dy,
                    const real *x, real *dw, int64_t n, void *scratch) {
    outer job = {.kernels = wr_train_kernels_get(),
                 .dy = dy,
                 .x = x,
                 .dw = dw,
                 .n = n,
                 .rows = weight->rows,
                 .columns = weight->columns,
                 .scratch = scratch};
    wr_threads_run(threads, parts(weight->rows, CELL_ROWS), 1, outer_task, &job);
}

const wr_products wr_products_float32 = {
    .name = "float32",
    .runs_here = runs_here,
    .prepared_size = prepared_size,
    .scratch_size = scratch_size,
    .prepare = prepare,
    .forward = forward,
    .inputs = inputs,
    .weights = weights,
};
