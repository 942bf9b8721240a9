/* train/products: the three products of every table that runs here, against sums in double
 * precision of the same rounded inputs: odd sizes, canaries, and the same bits for 1 to 3 threads.
 */
#include "kernels/check.h"

#include "train/kernels/products.h"
#include "train/kernels/products_inside.h"

static const wr_products *const tables[] = {&wr_products_bf16};

typedef struct shape {
    int64_t n, rows, columns;
} shape;

static const shape shapes[] = {
    {1, 1, 1},     {1, 2, 33},    {3, 17, 5},     {31, 32, 64},   {32, 64, 32},   {33, 31, 65},
    {100, 64, 96}, {257, 96, 64}, {65, 200, 130}, {513, 72, 100}, {700, 33, 257}, {64, 1030, 40},
};

/* ---- the specification ----------------------------------------------------------------------- */

/* To nearest, ties to even. */
static double rounded(const wr_products *table, float a) {
    uint32_t bits;
    if (strcmp(table->name, "bfloat16") != 0) return (double)a;
    memcpy(&bits, &a, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&a, &bits, sizeof a);
    return (double)a;
}

/* A matrix seen row by row or column by column. */
typedef struct view {
    const float *a;
    int64_t down, across;
} view;

/* c[m, n] against before + L[m, k] R[k, n], within the rounding that k additions may bring. */
static void check(const wr_products *table, const char *what, const float *c, const float *before,
                  view left, view right, const int64_t size[3]) {
    const int64_t m = size[0], n = size[1], k = size[2];
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = before == NULL ? 0 : (double)before[i * n + j], all = fabs(sum);
            for (int64_t l = 0; l < k; l++) {
                const double p = rounded(table, left.a[i * left.down + l * left.across]) *
                                 rounded(table, right.a[l * right.down + j * right.across]);
                sum += p;
                all += fabs(p);
            }
            const double wrong = fabs((double)c[i * n + j] - sum);
            if (!(wrong <= 2 * UNIT * sqrt((double)k + 4) * all + 1e-30))
                fail_msg("%s, %s of %d x %d x %d: [%d, %d] is %g, not %g", table->name, what,
                         (int)m, (int)n, (int)k, (int)i, (int)j, (double)c[i * n + j], sum);
        }
    }
}

/* ---- what a product is called with ------------------------------------------------------------
 */

enum { INPUTS = 3, RESULTS = 4, MOST_THREADS = 3 };

typedef struct fixture {
    const wr_products *table;
    shape s;
    guarded x, dy, w; /* fenced: nothing beyond is read */
    guarded prepared, y, dx, more, dw;
    float *dx_before, *dw_before;
} fixture;

static guarded random_floats(int64_t count, uint64_t seed) {
    guarded g = fenced_floats(count);
    fill_normal(g.data, count, seed, 1.0);
    return g;
}

static fixture make(const wr_products *table, shape s) {
    fixture f = {.table = table, .s = s};
    f.x = random_floats(s.n * s.columns, 1);
    f.dy = random_floats(s.n * s.rows, 2);
    f.w = random_floats(s.rows * s.columns, 3);
    f.prepared = guarded_make(table->prepared_size(s.rows, s.columns), 0);
    f.y = guarded_floats(s.n * s.rows, 4);
    f.dx = guarded_floats(s.n * s.columns, 8);
    f.more = guarded_floats(s.n * s.columns, 12);
    f.dw = guarded_floats(s.rows * s.columns, 16);
    f.dx_before = malloc(f.dx.size);
    f.dw_before = malloc(f.dw.size);
    fill_normal(f.dx_before, s.n * s.columns, 4, 3.0);
    fill_normal(f.dw_before, s.rows * s.columns, 5, 3.0);
    return f;
}

static void drop(fixture *f) {
    guarded *all[] = {&f->x, &f->dy, &f->w, &f->prepared, &f->y, &f->dx, &f->more, &f->dw};
    for (int i = 0; i < COUNT(all); i++) guarded_free(all[i]);
    free(f->dx_before);
    free(f->dw_before);
}

static void multiply(fixture *f, int count) {
    const shape s = f->s;
    wr_threads *threads;
    assert_int_equal(wr_threads_create(count, NULL, &threads, NULL), WEIR_OK);
    guarded scratch = guarded_make(f->table->scratch_size(s.rows, s.columns, s.n, count), 0);
    wr_product_weight w = {s.rows, s.columns, f->w.data, f->prepared.data};
    memcpy(f->more.data, f->dx_before, f->more.size);
    memcpy(f->dw.data, f->dw_before, f->dw.size);
    if (f->table->prepare != NULL) f->table->prepare(threads, &w);
    f->table->forward(threads, &w, f->x.data, f->y.data, s.n, scratch.data);
    f->table->inputs(threads, &w, f->dy.data, f->dx.data, s.n, false, scratch.data);
    f->table->inputs(threads, &w, f->dy.data, f->more.data, s.n, true, scratch.data);
    f->table->weights(threads, &w, f->dy.data, f->x.data, f->dw.data, s.n, scratch.data);
    guarded_free(&scratch);
    wr_threads_release(threads);
}

static void is_exact(fixture *f) {
    const int64_t n = f->s.n, rows = f->s.rows, columns = f->s.columns;
    const float *x = f->x.data, *dy = f->dy.data, *w = f->w.data;
    check(f->table, "forward", f->y.data, NULL, (view){x, columns, 1}, (view){w, 1, columns},
          (int64_t[]){n, rows, columns});
    check(f->table, "inputs", f->dx.data, NULL, (view){dy, rows, 1}, (view){w, columns, 1},
          (int64_t[]){n, columns, rows});
    check(f->table, "inputs added", f->more.data, f->dx_before, (view){dy, rows, 1},
          (view){w, columns, 1}, (int64_t[]){n, columns, rows});
    check(f->table, "weights", f->dw.data, f->dw_before, (view){dy, 1, rows}, (view){x, columns, 1},
          (int64_t[]){rows, columns, n});
}

/* The results of 1 thread are kept; those of more are held against them. */
static void same_bits(fixture *f) {
    const guarded results[RESULTS] = {f->y, f->dx, f->more, f->dw};
    void *kept[RESULTS];
    for (int i = 0; i < RESULTS; i++) {
        kept[i] = malloc(results[i].size);
        memcpy(kept[i], results[i].data, results[i].size);
    }
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        multiply(f, threads);
        for (int i = 0; i < RESULTS; i++)
            assert_memory_equal(kept[i], results[i].data, results[i].size);
    }
    for (int i = 0; i < RESULTS; i++) free(kept[i]);
}

static bool runs(const wr_products *table) {
    if (table->runs_here()) return true;
    print_message("             skipped: %s\n", table->name);
    return false;
}

static void test_products(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(tables); t++) {
        if (!runs(tables[t])) continue;
        for (int i = 0; i < COUNT(shapes); i++) {
            fixture f = make(tables[t], shapes[i]);
            multiply(&f, 1);
            is_exact(&f);
            same_bits(&f);
            drop(&f);
        }
    }
}

int main(void) {
    if (!wr_products_bf16.runs_here()) {
        puts("skipped: products of bfloat16 need a CPU with AMX");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
