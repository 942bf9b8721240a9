/* model/pack: weights rearranged at load, or left in the file; the bits are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "support/random_model.h"
#include "tensor/kernels.h"

enum { TOKENS = 40 };

/* The bits of the logits after a short text. */
static uint64_t bits_of(const char *path, const weir_model_options *how) {
    weir_error error;
    weir_model *model;
    must(weir_model_open(path, how, &model, &error), &error);
    weir_stream_options options = stream_options(WEIR_SINK, 2, 20);
    weir_stream *stream = stream_make(model, &options);
    stream_feed(stream, 0, TOKENS);
    uint64_t bits = stream_bits(stream);
    weir_stream_destroy(stream);
    weir_model_close(model);
    return bits;
}

static bool packs(void) { return wr_kernels_get(wr_cpu_detect())->reads_panels; }

/* Rows that fill no panel, rows that fill less than one (kept in the file), every kind of input. */
static void same_bits_either_way(void **state) {
    (void)state;
    static const char *const formats[] = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        random_model made;
        weir_random_model shape = random_tiny();
        shape.format = formats[i];
        shape.width = 256;
        shape.heads = 8;
        shape.kv_heads = 2;
        shape.head_dim = 32;
        shape.feed_forward = 512;
        shape.vocabulary = 333;
        random_model_open(&made, &shape, NULL);
        uint64_t packed = bits_of(made.path, NULL);
        uint64_t mapped = bits_of(made.path, &(weir_model_options){.no_repack = true});
        if (packed != mapped) fail_msg("%s: the bits differ", formats[i]);
        random_model_close(&made);
    }
}

static void thin_matrices_stay_in_the_file(void **state) {
    (void)state;
    random_model made;
    weir_random_model shape = random_tiny(); /* one KV head of 8: half a panel */
    random_model_open(&made, &shape, NULL);
    int64_t all = 0;
    for (int64_t i = 0; i < weir_model_get_info(made.model)->tensors; i++) {
        weir_tensor_info tensor;
        weir_model_get_tensor(made.model, i, &tensor);
        bool product = tensor.dims == 2 && tensor.dim[1] >= WR_PANEL_ROWS;
        bool embedding =
            tensor.name_size == 17 && memcmp(tensor.name, "token_embd.weight", 17) == 0;
        if (product && !embedding) all += tensor.bytes;
    }
    int64_t packed = weir_model_get_info(made.model)->packed_bytes;
    assert_int_equal(packed, packs() ? all : 0);
    assert_int_equal(bits_of(made.path, NULL),
                     bits_of(made.path, &(weir_model_options){.no_repack = true}));
    random_model_close(&made);
}

typedef struct progress {
    int64_t calls, done, total;
} progress;

static void note(void *context, int64_t done, int64_t total) {
    progress *p = context;
    assert_true(done > p->done && done <= total);
    assert_true(p->calls == 0 || total == p->total);
    *p = (progress){p->calls + 1, done, total};
}

static void progress_is_told(void **state) {
    (void)state;
    if (!packs()) skip();
    random_model made;
    weir_random_model shape = random_tiny();
    shape.vocabulary = 5000;
    random_model_open(&made, &shape, NULL);
    progress told = {0};
    weir_error error;
    weir_model *model;
    weir_model_options how = {.progress = note, .progress_context = &told};
    must(weir_model_open(made.path, &how, &model, &error), &error);
    assert_true(told.calls > 0);
    assert_int_equal(told.total, weir_model_get_info(model)->packed_bytes);
    weir_model_close(model);

    told = (progress){0};
    how.no_repack = true;
    must(weir_model_open(made.path, &how, &model, &error), &error);
    assert_int_equal(told.calls, 0);
    assert_int_equal(weir_model_get_info(model)->packed_bytes, 0);
    weir_model_close(model);
    random_model_close(&made);
}

static void no_memory_says_what_helps(void **state) {
    (void)state;
    if (!packs()) skip();
    failing_allocator memory;
    failing_allocator_init(&memory);
    bool said = false;
    for (int64_t n = 1;; n++) {
        weir_error error;
        weir_model *model;
        weir_model_options how = {.allocator = &memory.allocator};
        memory.fail_at = n;
        memory.failures = 0;
        weir_status status = weir_model_open(tiny.path, &how, &model, &error);
        if (status == WEIR_OK) weir_model_close(model);
        assert_true(failing_allocator_clean(&memory));
        if (memory.failures == 0) break;
        assert_int_equal(status, WEIR_MEMORY);
        said = said || strstr(error.message, "--no-repack") != NULL;
    }
    assert_true(said);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_either_way),
        cmocka_unit_test(thin_matrices_stay_in_the_file),
        cmocka_unit_test(progress_is_told),
        cmocka_unit_test(no_memory_says_what_helps),
    };
    return cmocka_run_group_tests_name("packing at load", tests, tiny_set_up, tiny_tear_down);
}
