/*
 * The three products of training, by table and shape, beside OpenBLAS.
 *
 *     bench_train_products [-t THREADS] [-n TOKENS]
 *
 * GFLOP/s of the best of several calls: on a shared machine the others' noise only adds. Operands
 * are float32 in memory, as training has them. OpenBLAS computes in the calling thread alone.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/random.h"
#include "train/kernels/products.h"
#include "train/kernels/products_inside.h"

typedef struct operands {
    int64_t n, rows, columns;
    float *x, *dy, *w, *y, *dx, *dw;
    const wr_products *table; /* NULL: OpenBLAS */
    wr_threads *threads;
    wr_product_weight weight;
    void *scratch;
} operands;

enum { FORWARD, INPUTS, WEIGHTS, PREPARE, PRODUCTS };

static void by_blas(const operands *o, int which) {
    const int n = (int)o->n, rows = (int)o->rows, columns = (int)o->columns;
    if (which == FORWARD)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, rows, columns, 1, o->x, columns,
                    o->w, columns, 0, o->y, rows);
    if (which == INPUTS)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, columns, rows, 1, o->dy, rows,
                    o->w, columns, 0, o->dx, columns);
    if (which == WEIGHTS)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, columns, n, 1, o->dy, rows, o->x,
                    columns, 1, o->dw, columns);
}

static void call(operands *o, int which) {
    if (o->table == NULL) {
        by_blas(o, which);
        return;
    }
    if (which == FORWARD) o->table->forward(o->threads, &o->weight, o->x, o->y, o->n, o->scratch);
    if (which == INPUTS)
        o->table->inputs(o->threads, &o->weight, o->dy, o->dx, o->n, false, o->scratch);
    if (which == WEIGHTS)
        o->table->weights(o->threads, &o->weight, o->dy, o->x, o->dw, o->n, o->scratch);
    if (which == PREPARE && o->table->prepare != NULL) o->table->prepare(o->threads, &o->weight);
}

/* One thread is timed by its processor time, which others on the machine do not lengthen. */
static double seconds_now(const operands *o) {
    struct timespec now;
    if (wr_threads_count(o->threads) > 1) return wr_clock_seconds();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double best_seconds(operands *o, int which) {
    double best = 1e9, total = 0;
    for (int i = 0; i < 3 || (total < 0.3 && i < 1000); i++) {
        const double start = seconds_now(o);
        call(o, which);
        const double seconds = seconds_now(o) - start;
        if (seconds < best) best = seconds;
        total += seconds;
    }
    return best;
}

static float *random_matrix(int64_t rows, int64_t columns) {
    float *a = aligned_alloc(64, (size_t)(rows * columns + 16) / 16 * 64);
    if (a == NULL) exit(1);
    for (int64_t i = 0; i < rows * columns; i++)
        a[i] = (float)wr_random_unit(1, 1, (uint64_t)i) - 0.5f;
    return a;
}

static void measure(operands *o, const wr_products *table) {
    o->table = table;
    void *prepared = NULL;
    if (table != NULL) {
        const int threads = wr_threads_count(o->threads);
        o->scratch = wr_allocate(NULL, table->scratch_size(o->rows, o->columns, o->n, threads));
        prepared = wr_allocate(NULL, table->prepared_size(o->rows, o->columns));
        if (o->scratch == NULL || prepared == NULL) exit(1);
        o->weight = (wr_product_weight){o->rows, o->columns, o->w, prepared};
        call(o, PREPARE);
    }
    const double work = 2e-9 * (double)o->n * (double)o->rows * (double)o->columns;
    printf("  %8s", table == NULL ? "OpenBLAS" : table->name);
    for (int which = FORWARD; which < PREPARE; which++)
        printf(" %8.0f", work / best_seconds(o, which));
    if (table != NULL) {
        printf("    prepare %.1f us", 1e6 * best_seconds(o, PREPARE));
        wr_release(NULL, prepared, table->prepared_size(o->rows, o->columns));
        wr_release(NULL, o->scratch,
                   table->scratch_size(o->rows, o->columns, o->n, wr_threads_count(o->threads)));
    }
    printf("\n");
}

static const int64_t shapes[][2] = {
    {128, 128}, {352, 128},  {192, 192}, {512, 192},  {320, 320},  {64, 320},    {864, 320},
    {320, 864}, {4096, 320}, {512, 512}, {2048, 512}, {512, 2048}, {2048, 2048}, {32768, 512},
};

int main(int argc, char **argv) {
    int threads = 1;
    operands o = {.n = 4096};
    for (int option; (option = getopt(argc, argv, "t:n:")) != -1;) {
        if (option == 't') threads = atoi(optarg);
        if (option == 'n') o.n = atoi(optarg);
        if (option == '?') return 2;
    }
    if (wr_threads_create(threads, NULL, &o.threads, NULL) != WEIR_OK) return 1;
    printf("%d threads, %d tokens, GFLOP/s: forward, inputs, weights\n", threads, (int)o.n);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        o.rows = shapes[i][0];
        o.columns = shapes[i][1];
        o.x = random_matrix(o.n, o.columns);
        o.dy = random_matrix(o.n, o.rows);
        o.w = random_matrix(o.rows, o.columns);
        o.y = random_matrix(o.n, o.rows);
        o.dx = random_matrix(o.n, o.columns);
        o.dw = random_matrix(o.rows, o.columns);
        printf("%d x %d\n", (int)o.rows, (int)o.columns);
        measure(&o, NULL);
        if (wr_products_bf16.runs_here()) measure(&o, &wr_products_bf16);
        float *all[] = {o.x, o.dy, o.w, o.y, o.dx, o.dw};
        for (int k = 0; k < 6; k++) free(all[k]);
    }
    wr_threads_release(o.threads);
    return 0;
}
