/* train/products: a table's own attention against the level's, forward and backward, for every kind
 * of softmax: within the rounding to bfloat16, at odd sizes, the same bits for 1 to 3 threads. */
#include "kernels/check.h"

#include "train/kernels/products.h"
#include "train/kernels/train_kernels.h"

typedef struct shape {
    int64_t samples, context, heads, kv_heads, head_dim;
    bool turned, biased, sink;
} shape;

static const shape shapes[] = {
    {4, 5, 1, 1, 2, true, false, false},    {2, 13, 3, 1, 6, true, false, true},
    {1, 32, 2, 2, 32, true, false, false},  {2, 75, 4, 2, 18, false, true, true},
    {1, 256, 3, 3, 64, true, false, true},  {1, 257, 2, 1, 40, false, true, false},
    {3, 300, 2, 2, 80, true, false, false}, {1, 600, 4, 1, 16, true, false, true},
    {1, 33, 2, 1, 100, false, false, true},
};

typedef struct fixture {
    shape s;
    int64_t n, padded;
    float *q, *k, *v, *dout, *cosines, *sines, *slopes, *z;
} fixture;

/* What attention computes. */
typedef struct results {
    guarded out, l, q, k, v, dz;
} results;

static float *random_floats(int64_t count, uint64_t seed, double deviation) {
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    fill_normal(x, count, seed, deviation);
    return x;
}

static fixture make(shape s) {
    fixture f = {.s = s, .n = s.samples * s.context};
    f.padded = (s.head_dim + WR_HEAD_PADDING - 1) / WR_HEAD_PADDING * WR_HEAD_PADDING;
    f.q = random_floats(f.n * s.heads * s.head_dim, 1, 1.5);
    f.k = random_floats(f.n * s.kv_heads * s.head_dim, 2, 1.5);
    f.v = random_floats(f.n * s.kv_heads * s.head_dim, 3, 1);
    f.dout = random_floats(f.n * s.heads * s.head_dim, 4, 1);
    f.cosines = random_floats(s.context * f.padded, 5, 0);
    f.sines = random_floats(s.context * f.padded, 5, 0);
    f.slopes = random_floats(s.heads, 6, 0);
    f.z = random_floats(s.heads, 7, 1);
    for (int64_t t = 0; t < s.context; t++) {
        for (int64_t i = 0; i < s.head_dim; i++) {
            const double angle = (double)t * pow(10000, -(double)(i / 2 * 2) / (double)s.head_dim);
            f.cosines[t * f.padded + i] = (float)cos(angle);
            f.sines[t * f.padded + i] = (float)(i % 2 == 0 ? -sin(angle) : sin(angle));
        }
    }
    for (int64_t h = 0; s.biased && h < s.heads; h++) f.slopes[h] = (float)exp2(-(double)h - 1);
    return f;
}

static void drop(fixture *f) {
    float *all[] = {f->q, f->k, f->v, f->dout, f->cosines, f->sines, f->slopes, f->z};
    for (int i = 0; i < COUNT(all); i++) free(all[i]);
}

static guarded copy_of(const float *x, int64_t count) {
    guarded g = guarded_floats(count, 4);
    memcpy(g.data, x, g.size);
    return g;
}

static results attend(const fixture *f, const wr_attention_kernels *kernels, int count) {
    const shape s = f->s;
    wr_threads *threads;
    assert_int_equal(wr_threads_create(count, NULL, &threads, NULL), WEIR_OK);
    results r = {.out = guarded_floats(f->n * s.heads * s.head_dim, 4),
                 .l = guarded_floats(f->n * s.heads, 4),
                 .q = copy_of(f->q, f->n * s.heads * s.head_dim),
                 .k = copy_of(f->k, f->n * s.kv_heads * s.head_dim),
                 .v = copy_of(f->v, f->n * s.kv_heads * s.head_dim),
                 .dz = guarded_floats(s.samples * s.heads, 4)};
    const int64_t room = kernels->scratch(s.context, s.head_dim);
    guarded scratch = guarded_floats(room * count, 0);
    wr_attention_job job = {.context = s.context,
                            .heads = s.heads,
                            .kv_heads = s.kv_heads,
                            .head_dim = s.head_dim,
                            .q = r.q.data,
                            .k = r.k.data,
                            .v = r.v.data,
                            .q_stride = s.heads * s.head_dim,
                            .kv_stride = s.kv_heads * s.head_dim,
                            .cosines = s.turned ? f->cosines : NULL,
                            .sines = s.turned ? f->sines : NULL,
                            .slopes = f->slopes,
                            .z = s.sink ? f->z : NULL,
                            .out = r.out.data,
                            .l = r.l.data,
                            .dout = f->dout,
                            .dz = s.sink ? r.dz.data : NULL,
                            .scratch = scratch.data,
                            .scratch_size = room};
    wr_threads_run(threads, s.samples * s.kv_heads, 1, kernels->forward, &job);
    wr_threads_run(threads, s.samples * s.kv_heads, 1, kernels->backward, &job);
    if (!s.sink) memset(r.dz.data, 0, r.dz.size);
    guarded_free(&scratch);
    wr_threads_release(threads);
    return r;
}

static void list(results *r, guarded *all[6]) {
    guarded *these[] = {&r->out, &r->l, &r->q, &r->k, &r->v, &r->dz};
    memcpy(all, these, sizeof these);
}

/* The root of the mean square of the difference, in parts of that of b; and the largest. */
static void distance(const guarded *a, const guarded *b, double *mean, double *most) {
    const float *x = a->data, *y = b->data;
    const size_t count = a->size / sizeof(float);
    double squares = 0, differences = 0;
    *most = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)x[i] - (double)y[i]);
        squares += (double)y[i] * (double)y[i];
        differences += d * d;
        if (!(d <= *most)) *most = d;
    }
    *mean = sqrt(differences / (squares + 1e-12));
    *most /= sqrt(squares / (double)count) + 1e-6;
}

static void agrees(const fixture *f, const wr_attention_kernels *ours) {
    static const char *const names[] = {"out", "l", "dq", "dk", "dv", "dz"};
    results a = attend(f, ours, 1), b = attend(f, &wr_train_kernels_get()->attention, 1);
    guarded *x[6], *y[6];
    list(&a, x);
    list(&b, y);
    for (int i = 0; i < 6; i++) {
        double mean, most;
        distance(x[i], y[i], &mean, &most);
        /* a few roundings of 2^-9; the largest of thousands is some ten times that */
        if (!(mean <= 0.01 && most <= 0.15))
            fail_msg("%s of %d x %d heads of %d: off by %g of its size, at most %g", names[i],
                     (int)f->s.context, (int)f->s.heads, (int)f->s.head_dim, mean, most);
    }
    for (int threads = 2; threads <= 3; threads++) {
        results c = attend(f, ours, threads);
        guarded *more[6];
        list(&c, more);
        for (int i = 0; i < 6; i++) {
            assert_memory_equal(x[i]->data, more[i]->data, x[i]->size);
            guarded_free(more[i]);
        }
    }
    for (int i = 0; i < 6; i++) {
        guarded_free(x[i]);
        guarded_free(y[i]);
    }
}

static void test_attention(void **state) {
    (void)state;
    const wr_products *table = wr_products_find("bfloat16", NULL);
    for (int i = 0; i < COUNT(shapes); i++) {
        fixture f = make(shapes[i]);
        agrees(&f, table->attention);
        drop(&f);
    }
}

int main(void) {
    if (wr_products_find("bfloat16", NULL) == NULL) {
        puts("skipped: attention in bfloat16 needs a CPU with AMX");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
