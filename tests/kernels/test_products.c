/* tensor/kernels: decoding, inputs, packing and products, at every level and for every format. */
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

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Numbers of every size, zeros, and what is not a number. */
static void fill_awkward(float *x, int64_t n) {
    fill_normal(x, n, 21, 1);
    for (int64_t i = 0; i < n; i++) {
        uint32_t kind = random_below(400);
        if (kind < 20) x[i] = 0;
        if (kind == 21) x[i] = -0.0f;
        if (kind == 22) x[i] *= 1e30f;
        if (kind == 23) x[i] *= 1e-42f;
        if (kind == 24) x[i] = 0.5f * (float)(int)random_below(9); /* ties */
        if (kind == 25 && i % 3 == 0) x[i] = i % 2 ? INFINITY : NAN;
    }
    for (int64_t i = 64; i + 32 <= n && i < 128; i++)
        x[i] *= 1e-36f; /* a run that counts as zero */
}

static bool same_or_both_nan(const void *a, const void *b, size_t floats) {
    for (size_t i = 0; i < floats; i++) {
        float x, y;
        memcpy(&x, (const uint8_t *)a + 4 * i, 4);
        memcpy(&y, (const uint8_t *)b + 4 * i, 4);
        if (memcmp(&x, &y, 4) != 0 && !(isnan(x) && isnan(y))) return false;
    }
    return true;
}

static void prepares_alike(const wr_kernels *kernels, wr_input input, int64_t columns) {
    guarded x = fenced_floats(columns);
    guarded ours = guarded_make(wr_input_bytes(input, columns), 0);
    guarded expected = guarded_make(wr_input_bytes(input, columns), 0);
    fill_awkward(x.data, columns);
    kernels->prepare(input, x.data, columns, ours.data);
    wr_kernels_get(WR_CPU_SCALAR)->prepare(input, x.data, columns, expected.data);
    size_t numbers = input == WR_INPUT_BYTES    ? (size_t)columns / 32 * 11
                     : input == WR_INPUT_BLOCKS ? (size_t)columns / 256 * 129
                                                : (size_t)columns / 2;
    bool same = same_or_both_nan(ours.data, expected.data, numbers);
    if (!same) fail_msg("%s: input %d of %d columns", kernels->name, (int)input, (int)columns);
    guarded_free(&x);
    guarded_free(&ours);
    guarded_free(&expected);
}

static void inputs_are_scalars_at(const wr_kernels *kernels) {
    for (int turn = 0; turn < 50; turn++) {
        prepares_alike(kernels, WR_INPUT_BYTES, 32 * (1 + (int64_t)random_below(40)));
        prepares_alike(kernels, WR_INPUT_BLOCKS, 256 * (1 + (int64_t)random_below(8)));
        prepares_alike(kernels, WR_INPUT_BF16, 1 + (int64_t)random_below(300));
    }
}
FOR_EACH_LEVEL(inputs_are_scalars)

/* A run's largest number is off by half a step at most, and so is every other. */
static void bytes_are_near(void **state) {
    enum { COLUMNS = 3200 };
    static float x[COLUMNS];
    (void)state;
    guarded row = guarded_make(wr_input_bytes(WR_INPUT_BYTES, COLUMNS), 0);
    fill_normal(x, COLUMNS, 22, 3);
    wr_kernels_get(WR_CPU_SCALAR)->prepare(WR_INPUT_BYTES, x, COLUMNS, row.data);
    const wr_bytes b = wr_bytes_of(row.data, COLUMNS);
    for (int i = 0; i < COLUMNS; i++) {
        double error = fabs((double)b.a[i / 32] * b.q[i] - (double)x[i]);
        assert_true(error <= 0.5001 * (double)b.a[i / 32]);
    }
    guarded_free(&row);
}

/* ---- products -------------------------------------------------------------------------------- */

/* One product: canaries between the rows of y too. */
typedef struct product {
    const wr_kernels *kernels;
    wr_matrix w;
    wr_input input;
    size_t x_stride;
    int64_t y_stride;
    guarded floats, x, y, scratch;
    int64_t batch;
    float *expected; /* [batch, rows] */
} product;

/* Rows of the input as the format takes it, from rows of floats. */
static void prepare_rows(product *p) {
    const int64_t columns = p->w.columns;
    p->input = p->kernels->input_of(p->w.format);
    p->x_stride =
        p->input == WR_INPUT_FLOATS ? (size_t)columns * 4 : wr_input_bytes(p->input, columns) + 64;
    size_t last = p->input == WR_INPUT_FLOATS ? p->x_stride : p->x_stride - 64;
    p->x = guarded_make((size_t)(p->batch - 1) * p->x_stride + last, 0);
    for (int64_t b = 0; b < p->batch; b++) {
        const float *from = (const float *)p->floats.data + b * columns;
        uint8_t *to = (uint8_t *)p->x.data + (size_t)b * p->x_stride;
        if (p->input == WR_INPUT_FLOATS)
            memcpy(to, from, (size_t)columns * 4);
        else
            p->kernels->prepare(p->input, from, columns, to);
    }
}

static wr_product job_of(const product *p, int64_t begin, int64_t end) {
    return (wr_product){.w = &p->w,
                        .panel_begin = begin,
                        .panel_end = end,
                        .x = p->x.data,
                        .x_stride = p->x_stride,
                        .batch = p->batch,
                        .y = p->y.data,
                        .y_stride = p->y_stride,
                        .scratch = p->scratch.data};
}

/* What the input stands for, in double precision. */
static double input_at(const product *p, int64_t b, int64_t i) {
    const uint8_t *row = (const uint8_t *)p->x.data + (size_t)b * p->x_stride;
    if (p->input == WR_INPUT_BYTES) {
        const wr_bytes x = wr_bytes_of(row, p->w.columns);
        return (double)x.a[i / 32] * x.q[i];
    }
    if (p->input == WR_INPUT_BLOCKS) {
        const wr_blocks x = wr_blocks_of(row, p->w.columns);
        return (double)x.a[i / 256] * x.q[i];
    }
    float value;
    if (p->input == WR_INPUT_BF16) {
        uint32_t bits = (uint32_t)(row[2 * i] | row[2 * i + 1] << 8) << 16;
        memcpy(&value, &bits, 4);
    } else {
        memcpy(&value, row + 4 * i, 4);
    }
    return (double)value;
}

static void check_near_double(const product *p) {
    const size_t size = wr_format_row_bytes(p->w.format, p->w.columns);
    float *weights = malloc((size_t)p->w.columns * sizeof *weights);
    for (int64_t r = 0; r < p->w.rows; r++) {
        wr_kernels_get(WR_CPU_SCALAR)
            ->decode(p->w.format, (const uint8_t *)p->w.data + size * (size_t)r, weights,
                     p->w.columns);
        for (int64_t b = 0; b < p->batch; b++) {
            double expected = 0, sum = 0;
            for (int64_t i = 0; i < p->w.columns; i++) {
                double term = input_at(p, b, i) * (double)weights[i];
                expected += term;
                sum += fabs(term);
            }
            /* Every term is rounded at most once per column; minima make terms up to four times
             * as large before they cancel. */
            double ours = (double)((float *)p->y.data)[b * p->y_stride + r];
            double allowed = 4 * ((double)p->w.columns + 8) * UNIT * (sum + 1e-30);
            if (!(fabs(ours - expected) <= allowed)) {
                fail_msg("%s: %s [%d, %d]: row %d of input %d is %.9g, not %.9g", p->kernels->name,
                         name_of(p->w.format), (int)p->w.rows, (int)p->w.columns, (int)r, (int)b,
                         ours, expected);
            }
        }
    }
    free(weights);
}

/* Every number has the bits expected; nothing between the rows of y was written. */
static void check_bits(const product *p, const char *what) {
    const float *y = p->y.data;
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = 0; r < p->w.rows; r++) {
            float ours = y[b * p->y_stride + r], expected = p->expected[b * p->w.rows + r];
            if (memcmp(&ours, &expected, sizeof ours) == 0) continue;
            fail_msg("%s: %s [%d, %d] by %d, %s: row %d of input %d is %.9g, not %.9g",
                     p->kernels->name, name_of(p->w.format), (int)p->w.rows, (int)p->w.columns,
                     (int)p->batch, what, (int)r, (int)b, (double)ours, (double)expected);
        }
        for (int64_t r = p->w.rows; r < p->y_stride && b + 1 < p->batch; r++) {
            if (!isnan(y[b * p->y_stride + r])) fail_msg("y was written between its rows");
        }
    }
    guarded_check(&p->x);
    guarded_check(&p->y);
    guarded_check(&p->scratch);
}

static void run_product(const product *p, int64_t begin, int64_t end) {
    memset(p->scratch.data, 0xff, p->scratch.size);
    wr_product job = job_of(p, begin, end);
    p->kernels->product(&job);
}

/* Input by input, which is what the batch must give. */
static void expect_single_inputs(product *p, const wr_kernels *kernels) {
    for (int64_t b = 0; b < p->batch; b++) {
        wr_product job = job_of(p, 0, wr_panel_count(p->w.rows));
        job.x = (const uint8_t *)p->x.data + (size_t)b * p->x_stride;
        job.batch = 1;
        job.y = p->expected + b * p->w.rows;
        kernels->product(&job);
    }
}

/* All panels at once, then in pieces as threads would take them, the last first. */
static void check_whole_and_split(product *p, const char *what) {
    const int64_t panels = wr_panel_count(p->w.rows);
    memset(p->y.data, 0xff, p->y.size);
    run_product(p, 0, panels);
    check_bits(p, what);
    memset(p->y.data, 0xff, p->y.size);
    for (int64_t end = panels; end > 0;) {
        int64_t begin = end - 1 - random_below((uint32_t)end);
        if (begin < 0) begin = 0;
        run_product(p, begin, end);
        end = begin;
    }
    check_bits(p, what);
}

static guarded pack_all(const wr_matrix *w) {
    const wr_panel m = wr_panel_measure(w->format, w->columns);
    const int64_t panels = wr_panel_count(w->rows);
    guarded packed = guarded_make((size_t)panels * m.bytes, 0);
    for (int64_t i = 0; i < panels; i++)
        wr_panel_pack(w->format, w->data, w->rows, w->columns, i,
                      (uint8_t *)packed.data + (size_t)i * m.bytes);
    return packed;
}

static void check_product(const wr_kernels *kernels, wr_format format, int64_t rows,
                          int64_t columns, int64_t batch) {
    guarded blocks = random_rows(format, rows, columns, 13);
    product p = {.kernels = kernels,
                 .w = {.data = blocks.data, .format = format, .rows = rows, .columns = columns},
                 .batch = batch};
    guarded packed = pack_all(&p.w);
    p.y_stride = rows + 5;
    p.floats = guarded_floats(batch * columns, 0);
    fill_normal(p.floats.data, batch * columns, 5, 1);
    prepare_rows(&p);
    p.y = guarded_floats(batch * p.y_stride - 5, 4);
    p.scratch = guarded_make(wr_product_scratch(columns), 0);
    p.expected = malloc((size_t)(batch * rows) * sizeof(float));
    p.w.panels = packed.data;
    expect_single_inputs(&p, kernels);
    check_whole_and_split(&p, "packed, beside single inputs");
    check_near_double(&p);
    p.w.panels = NULL;
    check_whole_and_split(&p, "not packed, beside packed");
    if (p.input == WR_INPUT_BYTES || p.input == WR_INPUT_BLOCKS) {
        expect_single_inputs(&p, wr_kernels_get(WR_CPU_SCALAR));
        check_bits(&p, "beside scalar");
    }
    free(p.expected);
    guarded_free(&blocks);
    guarded_free(&packed);
    guarded_free(&p.floats);
    guarded_free(&p.x);
    guarded_free(&p.y);
    guarded_free(&p.scratch);
}

static void products_of_a_length(const wr_kernels *kernels, wr_format format, int64_t columns) {
    static const int rows[] = {1, 3, 15, 16, 17, 37, 70};
    check_product(kernels, format, rows[random_below(COUNT(rows))], columns,
                  1 + (int64_t)random_below(9));
    check_product(kernels, format, rows[random_below(COUNT(rows))], columns, 1);
    check_product(kernels, format, rows[random_below(COUNT(rows))], columns,
                  24 + (int64_t)random_below(17)); /* in AMX tiles, with runs left over */
}

static void products_are_right_at(const wr_kernels *kernels) {
    for_each_shape(kernels, products_of_a_length);
    for (int f = 0; f < COUNT(formats); f++) {
        for (int batch = 1; batch <= 33; batch += batch < 18 ? 1 : 5)
            check_product(kernels, formats[f], 19, 256, batch);
        check_product(kernels, formats[f], 65, 768, 16);
        check_product(kernels, formats[f], 21, 512, 67);
        check_product(kernels, formats[f], 5, 1024, 101);
        check_product(kernels, formats[f], 18, 512, 150); /* more than pass by a panel at once */
    }
}
FOR_EACH_LEVEL(products_are_right)

/* Largest codes and inputs: no sum of integers saturates or overflows. */
static void nothing_saturates_at(const wr_kernels *kernels) {
    enum { COLUMNS = 512, ROWS = 16, BATCH = 5 };
    for (int f = 0; f < COUNT(formats); f++) {
        const wr_input input = kernels->input_of(formats[f]);
        if (input != WR_INPUT_BYTES && input != WR_INPUT_BLOCKS) continue;
        const size_t size = wr_format_row_bytes(formats[f], COLUMNS);
        for (int fill = 0; fill < 4; fill++) {
            guarded blocks = guarded_make(size * ROWS, 2);
            static const uint8_t bytes[] = {0x00, 0xff, 0x80, 0x7f};
            for (int64_t r = 0; r < ROWS; r++)
                wr_format_random_row(formats[f], 3, (uint64_t)r, 1, COLUMNS,
                                     (uint8_t *)blocks.data + (size_t)r * size);
            if (formats[f] == WR_Q8_0 || formats[f] == WR_Q4_0) { /* the codes alone */
                const size_t block = (size_t)wr_format_find((uint32_t)formats[f])->bytes;
                for (size_t at = 0; at < size * ROWS; at += block)
                    memset((uint8_t *)blocks.data + at + 2, bytes[fill], block - 2);
            }
            static float x[BATCH * COLUMNS], ours[BATCH * ROWS], expected[BATCH * ROWS];
            for (int i = 0; i < BATCH * COLUMNS; i++)
                x[i] = (i / COLUMNS + (fill == 2 ? i : 0)) % 2 ? -1.0f : 1.0f;
            product p = {
                .kernels = kernels,
                .w = {.data = blocks.data, .format = formats[f], .rows = ROWS, .columns = COLUMNS},
                .batch = BATCH,
                .y_stride = ROWS};
            p.floats = guarded_floats(BATCH * COLUMNS, 0);
            memcpy(p.floats.data, x, sizeof x);
            prepare_rows(&p);
            p.scratch = guarded_make(wr_product_scratch(COLUMNS), 0);
            wr_product job = job_of(&p, 0, 1);
            job.y = ours;
            kernels->product(&job);
            job.y = expected;
            wr_kernels_get(WR_CPU_SCALAR)->product(&job);
            assert_memory_equal(ours, expected, sizeof ours);
            guarded_free(&blocks);
            guarded_free(&p.floats);
            guarded_free(&p.x);
            guarded_free(&p.scratch);
        }
    }
}
FOR_EACH_LEVEL(nothing_saturates)

/* A NaN or an infinity reaches every result of its input, and no other. */
static void products_hide_no_nan_at(const wr_kernels *kernels) {
    enum { ROWS = 18, COLUMNS = 512, BATCH = 7 };
    for (int f = 0; f < COUNT(formats); f++) {
        for (int infinite = 0; infinite < 2; infinite++) {
            guarded blocks = random_rows(formats[f], ROWS, COLUMNS, 14);
            product p = {
                .kernels = kernels,
                .w = {.data = blocks.data, .format = formats[f], .rows = ROWS, .columns = COLUMNS},
                .batch = BATCH,
                .y_stride = ROWS};
            p.floats = guarded_floats(BATCH * COLUMNS, 0);
            fill_normal(p.floats.data, BATCH * COLUMNS, 6, 1);
            ((float *)p.floats.data)[3 * COLUMNS + 319] = infinite ? INFINITY : NAN;
            prepare_rows(&p);
            p.y = guarded_floats(BATCH * ROWS, 0);
            p.scratch = guarded_make(wr_product_scratch(COLUMNS), 0);
            run_product(&p, 0, 2);
            for (int i = 0; i < BATCH * ROWS; i++)
                assert_true(isfinite(((float *)p.y.data)[i]) == (i / ROWS != 3));
            guarded_free(&blocks);
            guarded_free(&p.floats);
            guarded_free(&p.x);
            guarded_free(&p.y);
            guarded_free(&p.scratch);
        }
    }
}
FOR_EACH_LEVEL(products_hide_no_nan)

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
        cmocka_unit_test(inputs_are_scalars),
        cmocka_unit_test(bytes_are_near),
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(nothing_saturates),
        cmocka_unit_test(products_hide_no_nan),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
