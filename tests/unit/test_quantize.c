/*
 * weir_quantize: every type is a model that opens, the same bytes for any number of threads, keys
 * kept, mixes by name; what cannot be quantised, and a full disk, are one sentence and leave no
 * file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "file/gguf.h"
#include "support/random_model.h"
#include "support/scratch.h"
#include "weir/quantize.h"

static const char *const types[] = {"F32",    "F16",    "BF16",   "Q8_0",   "Q4_0",   "Q4_1",
                                    "Q5_0",   "Q5_1",   "Q2_K",   "Q3_K_S", "Q3_K_M", "Q3_K_L",
                                    "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K",   "q4_k"};
enum { TYPES = sizeof types / sizeof types[0] };

static const char *model_of(const char *name, const char *format, int64_t width, bool tied) {
    weir_error error;
    weir_random_model shape = weir_random_model_default();
    shape.layers = 3;
    shape.width = width;
    shape.feed_forward = width;
    shape.format = format;
    shape.tied = tied;
    const char *path = scratch_path(name);
    must(weir_make_random(path, &shape, &error), &error);
    return path;
}

static weir_status quantize(const char *from, const char *to, const char *type, int threads,
                            weir_quantize_result *result, weir_error *error) {
    weir_quantize_options options = weir_quantize_options_default();
    options.out = scratch_path(to);
    options.type = type;
    options.threads = threads;
    return weir_quantize(from, &options, result, error);
}

static wr_gguf *opened(const char *name) {
    weir_error error;
    wr_gguf *gguf = NULL;
    must(wr_gguf_open(scratch_path(name), NULL, &gguf, &error), &error);
    return gguf;
}

static void same_bytes(const char *a, const char *b) {
    weir_error error;
    wr_map x, y;
    must(wr_map_open(scratch_path(a), &x, &error), &error);
    must(wr_map_open(scratch_path(b), &y, &error), &error);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    wr_map_close(&x);
    wr_map_close(&y);
}

static void every_type_is_a_model(void **state) {
    (void)state;
    weir_error error;
    model_of("m.gguf", "F32", 256, false);
    double bits = 0;
    for (int i = 0; i < TYPES; i++) {
        weir_quantize_result result;
        weir_model *model = NULL;
        must(quantize(scratch_path("m.gguf"), "q.gguf", types[i], 1, &result, &error), &error);
        must(weir_model_open(scratch_path("q.gguf"), NULL, &model, &error), &error);
        weir_model_close(model);
        assert_int_equal(result.tensors, 3 + 3 * 9);
        assert_int_equal(result.changed, i == 0 ? 0 : 2 + 3 * 7);
        assert_int_equal(result.fallen_back, 0);
        assert_true(result.bits < 32.1 && result.bits > 2);
        bits += result.bits;
        for (int threads = 2; threads <= 5; threads += 3) {
            must(quantize(scratch_path("m.gguf"), "again.gguf", types[i], threads, NULL, &error),
                 &error);
            same_bytes("q.gguf", "again.gguf");
        }
    }
    assert_true(bits > 0);
}

static wr_format format_of(const wr_gguf *gguf, const char *name) {
    const wr_gguf_tensor *tensor = wr_gguf_find_tensor(gguf, name);
    assert_non_null(tensor);
    return tensor->format;
}

static void keys_stay_and_mixes_mix(void **state) {
    (void)state;
    weir_error error;
    int64_t file_type = 0, version = 0;
    model_of("m.gguf", "F16", 256, false);
    must(quantize(scratch_path("m.gguf"), "q.gguf", "Q4_K_M", 2, NULL, &error), &error);
    wr_gguf *before = opened("m.gguf"), *after = opened("q.gguf");
    for (int64_t i = 0; i < wr_gguf_value_count(before); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(before, i);
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)value->key.size, value->key.data);
        const wr_gguf_value *kept = wr_gguf_find(after, key);
        assert_non_null(kept);
        assert_int_equal(kept->size, value->size);
        assert_memory_equal(kept->bytes, value->bytes, value->size);
    }
    must(wr_gguf_get_int(after, "general.file_type", 0, 99, &file_type, &error), &error);
    must(wr_gguf_get_int(after, "general.quantization_version", 0, 9, &version, &error), &error);
    assert_int_equal(file_type, 15);
    assert_int_equal(version, 2);
    /* three layers: 7 * 3 / 8 = 2, and (2 - 0) % 3 == 2: the last has more bits */
    assert_int_equal(format_of(after, "output.weight"), WR_Q6_K);
    assert_int_equal(format_of(after, "token_embd.weight"), WR_Q4_K);
    assert_int_equal(format_of(after, "blk.0.attn_v.weight"), WR_Q4_K);
    assert_int_equal(format_of(after, "blk.2.attn_v.weight"), WR_Q6_K);
    assert_int_equal(format_of(after, "blk.2.ffn_down.weight"), WR_Q6_K);
    assert_int_equal(format_of(after, "blk.2.attn_q.weight"), WR_Q4_K);
    assert_int_equal(format_of(after, "blk.2.attn_norm.weight"), WR_F32);
    wr_gguf_close(before);
    wr_gguf_close(after);
}

static void rows_that_fit_no_block_fall_back(void **state) {
    (void)state;
    weir_error error;
    weir_quantize_result result;
    model_of("m.gguf", "F32", 96, true);
    must(quantize(scratch_path("m.gguf"), "q.gguf", "Q4_K_M", 2, &result, &error), &error);
    wr_gguf *after = opened("q.gguf");
    assert_int_equal(format_of(after, "token_embd.weight"), WR_Q8_0); /* it is the output too */
    assert_int_equal(format_of(after, "blk.0.attn_q.weight"), WR_Q5_0);
    assert_int_equal(format_of(after, "blk.2.ffn_down.weight"), WR_Q8_0);
    assert_int_equal(result.fallen_back, 3 * 7);
    wr_gguf_close(after);
    model_of("m.gguf", "F32", 40, true);
    must(quantize(scratch_path("m.gguf"), "q.gguf", "Q2_K", 1, &result, &error), &error);
    after = opened("q.gguf");
    assert_int_equal(format_of(after, "blk.0.attn_q.weight"), WR_F16);
    wr_gguf_close(after);
}

static void refusals(void **state) {
    (void)state;
    weir_error error;
    const char *model = model_of("m.gguf", "Q8_0", 256, false);
    assert_refused(quantize(model, "no.gguf", "Q9_K", 1, NULL, &error), WEIR_USAGE, &error,
                   "Q4_K_M");
    assert_refused(quantize(model, "no.gguf", "Q4_0", 1, NULL, &error), WEIR_UNSUPPORTED, &error,
                   "--requantize");
    assert_refused(quantize(model, "m.gguf", "Q8_0", 1, NULL, &error), WEIR_USAGE, &error,
                   "cannot replace itself");
    assert_refused(quantize(scratch_path("none.gguf"), "no.gguf", "Q8_0", 1, NULL, &error), WEIR_IO,
                   &error, "none.gguf");
    assert_refused(quantize(model, "no.gguf", "Q8_0", 1000, NULL, &error), WEIR_USAGE, &error,
                   "1 to 256");
    must(quantize(model, "q.gguf", "Q8_0", 1, NULL, &error), &error); /* nothing would change */
    model = model_of("m.gguf", "F32", 256, false);
    scratch_disk_holds(300000);
    assert_refused(quantize(model, "no.gguf", "Q8_0", 1, NULL, &error), WEIR_IO, &error, "no.gguf");
    scratch_disk_holds(0);
    assert_int_equal(scratch_files(".", "no.gguf", false, NULL), 0);
}

static bool stop(void *context, int64_t done, int64_t total) {
    assert_true(done > 0 && done <= total);
    return ++*(int *)context < 3;
}

static void cancelled_and_without_memory(void **state) {
    (void)state;
    weir_error error;
    failing_allocator memory;
    int calls = 0;
    weir_quantize_options options = weir_quantize_options_default();
    char model[256], out[256]; /* more paths are made than scratch_path() remembers */
    snprintf(model, sizeof model, "%s", model_of("m.gguf", "F32", 256, false));
    snprintf(out, sizeof out, "%s", scratch_path("no.gguf"));
    options.out = out;
    options.progress = stop;
    options.progress_context = &calls;
    assert_int_equal(weir_quantize(model, &options, NULL, &error), WEIR_CANCELLED);
    options.progress = NULL;
    options.threads = 2;
    weir_status status = WEIR_MEMORY;
    for (int64_t n = 1; status != WEIR_OK; n++) {
        failing_allocator_init(&memory);
        memory.fail_at = n;
        options.allocator = &memory.allocator;
        status = weir_quantize(model, &options, NULL, &error);
        if (status != WEIR_OK) {
            assert_refused(status, WEIR_MEMORY, &error, "memory");
            assert_int_equal(scratch_files(".", "no.gguf", false, NULL), 0);
        }
        assert_true(failing_allocator_clean(&memory));
        assert_in_range(n, 1, 2000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_a_model),
        cmocka_unit_test(keys_stay_and_mixes_mix),
        cmocka_unit_test(rows_that_fit_no_block_fall_back),
        cmocka_unit_test(refusals),
        cmocka_unit_test(cancelled_and_without_memory),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
