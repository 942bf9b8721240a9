/* tensor/kernels: decode, dot and matmul at every level and for every format. */
#include "kernels/check.h"

static const wr_format formats[] = {
#define NUMBER(name, number, block, bytes) WR_##name,
    WR_FORMAT_MAP(NUMBER)
#undef NUMBER
};

/* Row lengths to try: any for formats without blocks, else one, two, three and nine blocks. */
static int lengths_of(wr_format format, int64_t lengths[COUNT(sizes)]) {
    static const int blocks[] = {1, 2, 3, 9};
    const int32_t block = wr_format_find((uint32_t)format)->block;
    if (block == 1) {
        for (int i = 0; i < COUNT(sizes); i++) lengths[i] = sizes[i];
        return COUNT(sizes);
    }
    for (int i = 0; i < COUNT(blocks); i++) lengths[i] = (int64_t)blocks[i] * block;
    return COUNT(blocks);
}

typedef void (*shape_test)(const wr_kernels *kernels, wr_format format, int64_t columns);

static void for_each_shape(const wr_kernels *kernels, shape_test test) {
    for (int f = 0; f < COUNT(formats); f++) {
        int64_t lengths[COUNT(sizes)];
        int count = lengths_of(formats[f], lengths);
        for (int i = 0; i < count; i++) test(kernels, formats[f], lengths[i]);
    }
}

static const char *name_of(wr_format format) { return wr_format_find((uint32_t)format)->name; }

/* `rows` random rows, at whatever alignment their end on a fence gives. */
static guarded random_rows(wr_format format, int64_t rows, int64_t columns, uint64_t seed) {
    const size_t size = wr_format_row_bytes(format, columns);
    guarded g = fenced_make((size_t)rows * size);
    for (int64_t r = 0; r < rows; r++) {
        wr_format_random_row(format, seed, (uint64_t)r, 0.3f, columns,
                             (uint8_t *)g.data + (size_t)r * size);
    }
    return g;
}

/* ---- decode ---------------------------------------------------------------------------------- */

static void decodes_alike(const wr_kernels *kernels, wr_format format, int64_t columns) {
    guarded blocks = random_rows(format, 1, columns, 11);
    guarded ours = guarded_floats(columns, 4), expected = guarded_floats(columns, 0);
    kernels->decode(format, blocks.data, ours.data, columns);
    wr_kernels_get(WR_CPU_SCALAR)->decode(format, blocks.data, expected.data, columns);
    if (memcmp(ours.data, expected.data, ours.size) != 0) {
        fail_msg("%s: %s of %d weights differs from scalar", kernels->name, name_of(format),
                 (int)columns);
    }
    guarded_free(&blocks);
    guarded_free(&ours);
    guarded_free(&expected);
}

static void decode_is_scalars_at(const wr_kernels *kernels) {
    for_each_shape(kernels, decodes_alike);
}
FOR_EACH_LEVEL(decode_is_scalars)

/* Any bytes at all: the scales may be NaN or infinite, the codes anything. */
static void decode_of_any_bytes_at(const wr_kernels *kernels) {
    for (int f = 0; f < COUNT(formats); f++) {
        enum { WEIGHTS = 1024 };
        uint8_t blocks[4 * WEIGHTS];
        static float ours[WEIGHTS], expected[WEIGHTS];
        for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (uint8_t)random_below(256);
        kernels->decode(formats[f], blocks, ours, WEIGHTS);
        wr_kernels_get(WR_CPU_SCALAR)->decode(formats[f], blocks, expected, WEIGHTS);
        for (int i = 0; i < WEIGHTS; i++) { /* which of two NaNs a product gives is open */
            if (isnan(ours[i]) && isnan(expected[i])) continue;
            assert_memory_equal(&ours[i], &expected[i], sizeof(float));
        }
    }
}
FOR_EACH_LEVEL(decode_of_any_bytes)

/* ---- dot ------------------------------------------------------------------------------------- */

/* At most columns/8 + 8 roundings happen to any term: eight lanes are the fewest. */
static void dot_is_near(const wr_kernels *kernels, wr_format format, int64_t columns) {
    guarded blocks = random_rows(format, 1, columns, 12);
    guarded x = fenced_floats(columns), weights = guarded_floats(columns, 0);
    fill_normal(x.data, columns, 3, 1);
    wr_kernels_get(WR_CPU_SCALAR)->decode(format, blocks.data, weights.data, columns);
    double expected = 0, size = 0;
    for (int64_t i = 0; i < columns; i++) {
        double product = (double)((float *)x.data)[i] * (double)((float *)weights.data)[i];
        expected += product;
        size += fabs(product);
    }
    double ours = (double)kernels->dot(format, blocks.data, x.data, columns);
    if (!(fabs(ours - expected) <= ((double)columns / 8 + 8) * UNIT * size)) {
        fail_msg("%s: %s of %d: %.9g, not %.9g", kernels->name, name_of(format), (int)columns, ours,
                 expected);
    }
    guarded_free(&blocks);
    guarded_free(&x);
    guarded_free(&weights);
}

static void dot_is_near_double_at(const wr_kernels *kernels) {
    for_each_shape(kernels, dot_is_near);
}
FOR_EACH_LEVEL(dot_is_near_double)

/* ---- matmul ---------------------------------------------------------------------------------- */

/* One product: canaries between the rows of y too, and every number dot()'s. */
typedef struct product {
    const wr_kernels *kernels;
    wr_matrix w;
    int64_t x_stride, y_stride;
    guarded x, y, scratch;
    int64_t batch;
} product;

static void fail_product(const product *p, int64_t r, int64_t b, float ours, float expected) {
    fail_msg("%s: %s [%d, %d] by %d: row %d of input %d is %.9g, dot says %.9g", p->kernels->name,
             name_of(p->w.format), (int)p->w.rows, (int)p->w.columns, (int)p->batch, (int)r, (int)b,
             (double)ours, (double)expected);
}

static void check_product(const product *p) {
    const size_t size = wr_format_row_bytes(p->w.format, p->w.columns);
    const float *x = p->x.data, *y = p->y.data;
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = 0; r < p->w.rows; r++) {
            float expected =
                p->kernels->dot(p->w.format, (const uint8_t *)p->w.data + size * (size_t)r,
                                x + b * p->x_stride, p->w.columns);
            float ours = y[b * p->y_stride + r];
            if (memcmp(&ours, &expected, sizeof ours) != 0) fail_product(p, r, b, ours, expected);
        }
        for (int64_t r = p->w.rows; r < p->y_stride && b + 1 < p->batch; r++) {
            if (!isnan(y[b * p->y_stride + r])) fail_msg("y was written between its rows");
        }
    }
    guarded_check(&p->y);
    guarded_check(&p->scratch);
}

/* All rows at once, then in pieces as threads would take them, the last first. */
static void multiply_whole_and_split(product *p) {
    memset(p->y.data, 0xff, p->y.size);
    p->kernels->matmul(&p->w, 0, p->w.rows, p->x.data, p->x_stride, p->batch, p->y.data,
                       p->y_stride, p->scratch.data);
    check_product(p);
    memset(p->y.data, 0xff, p->y.size);
    for (int64_t end = p->w.rows; end > 0;) {
        int64_t begin = end - 1 - random_below((uint32_t)end);
        if (begin < 0) begin = 0;
        memset(p->scratch.data, 0xff, p->scratch.size);
        p->kernels->matmul(&p->w, begin, end, p->x.data, p->x_stride, p->batch, p->y.data,
                           p->y_stride, p->scratch.data);
        end = begin;
    }
    check_product(p);
}

static void multiply(const wr_kernels *kernels, wr_format format, int64_t rows, int64_t columns,
                     int64_t batch) {
    guarded blocks = random_rows(format, rows, columns, 13);
    product p = {.kernels = kernels, .w = {blocks.data, format, rows, columns}, .batch = batch};
    p.x_stride = columns + 3;
    p.y_stride = rows + 5;
    p.x = fenced_floats(batch * p.x_stride - 3);
    p.y = guarded_floats(batch * p.y_stride - 5, 4);
    p.scratch = guarded_floats(wr_matmul_scratch(columns), 4);
    fill_normal(p.x.data, batch * p.x_stride - 3, 5, 1);
    multiply_whole_and_split(&p);
    guarded_free(&blocks);
    guarded_free(&p.x);
    guarded_free(&p.y);
    guarded_free(&p.scratch);
}

static void matmul_has_dots_bits(const wr_kernels *kernels, wr_format format, int64_t columns) {
    static const int rows[] = {1, 3, 4, 16, 19, 37};
    multiply(kernels, format, rows[random_below(COUNT(rows))], columns,
             1 + (int64_t)random_below(9));
    multiply(kernels, format, rows[random_below(COUNT(rows))], columns, 1);
}

static void matmul_is_dot_at(const wr_kernels *kernels) {
    for_each_shape(kernels, matmul_has_dots_bits);
    for (int f = 0; f < COUNT(formats); f++) {
        for (int batch = 1; batch <= 9; batch++) multiply(kernels, formats[f], 19, 256, batch);
        multiply(kernels, formats[f], 33, 768, 16);
        multiply(kernels, formats[f], 21, 512, 33);
        multiply(kernels, formats[f], 5, 1024, 101); /* more inputs than a tile takes at a time */
    }
}
FOR_EACH_LEVEL(matmul_is_dot)

/* A NaN or an infinity reaches every result that it enters, and no other. */
static void matmul_hides_no_nan_at(const wr_kernels *kernels) {
    enum { ROWS = 18, COLUMNS = 320, BATCH = 7 };
    static float x[BATCH * COLUMNS], y[BATCH * ROWS];
    guarded blocks = random_rows(WR_Q8_0, ROWS, COLUMNS, 14);
    guarded scratch = guarded_floats(wr_matmul_scratch(COLUMNS), 0);
    fill_normal(x, BATCH * COLUMNS, 6, 1);
    x[3 * COLUMNS + 319] = NAN;
    const wr_matrix w = {blocks.data, WR_Q8_0, ROWS, COLUMNS};
    kernels->matmul(&w, 0, ROWS, x, COLUMNS, BATCH, y, ROWS, scratch.data);
    for (int i = 0; i < BATCH * ROWS; i++) assert_true(isnan(y[i]) == (i / ROWS == 3));
    guarded_free(&blocks);
    guarded_free(&scratch);
}
FOR_EACH_LEVEL(matmul_hides_no_nan)

static void a_level_that_is_lacking_gives_the_one_below(void **state) {
    (void)state;
    assert_int_equal(wr_kernels_get(WR_CPU_SCALAR)->level, WR_CPU_SCALAR);
    for (int level = 0; level < WR_CPU_LEVELS; level++) {
        assert_true((int)wr_kernels_get((wr_cpu_level)level)->level <= level);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_that_is_lacking_gives_the_one_below),
        cmocka_unit_test(decode_is_scalars),
        cmocka_unit_test(decode_of_any_bytes),
        cmocka_unit_test(dot_is_near_double),
        cmocka_unit_test(matmul_is_dot),
        cmocka_unit_test(matmul_hides_no_nan),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
