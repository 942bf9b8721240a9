/* train/export: what a trained model is written as, and what is refused before anything is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "file/gguf.h"
#include "support/random_model.h"
#include "tensor/kernels.h"
#include "train/export.h"

static char out_path[64];

/* The parameters of a shape: the same numbers whatever it is. */
typedef struct made {
    wr_export export;
    float *parameters;
} made;

static weir_train_shape shape_of(weir_train_sink sink, weir_train_positions positions) {
    return (weir_train_shape){.layers = 2,
                              .width = 32,
                              .heads = 4,
                              .kv_heads = 2,
                              .feed_forward = 64,
                              .context = 48,
                              .vocabulary = RANDOM_VOCABULARY,
                              .tied = true,
                              .sink = sink,
                              .positions = positions,
                              .rope_base = 10000,
                              .norm_epsilon = 1e-5};
}

static made make(weir_train_shape shape, const char *format) {
    const size_t size = wr_parameters_size(&shape);
    made model = {.parameters = malloc(size * sizeof(float))};
    assert_non_null(model.parameters);
    for (size_t i = 0; i < size; i++)
        model.parameters[i] = (float)(0.1 * wr_random_normal(5, 0, (uint64_t)i));
    model.export = (wr_export){.shape = shape,
                               .parameters = model.parameters,
                               .vocabulary = tiny.path,
                               .format = format,
                               .name = "exported",
                               .steps = 7,
                               .tokens = 5000000000};
    return model;
}

static wr_gguf *reopen(void) {
    weir_error error;
    wr_gguf *file;
    must(wr_gguf_open(out_path, NULL, &file, &error), &error);
    return file;
}

static void has_string(const wr_gguf *file, const char *key, const char *wanted) {
    weir_error error;
    wr_string value = {"", 0};
    must(wr_gguf_get_string(file, key, &value, &error), &error);
    if (!wr_string_is(value, wanted))
        fail_msg("%s is \"%.*s\", not \"%s\"", key, (int)value.size, value.data, wanted);
}

static void has_int(const wr_gguf *file, const char *key, int64_t wanted) {
    weir_error error;
    int64_t value = INT64_MIN;
    must(wr_gguf_get_int(file, key, INT64_MIN, INT64_MAX, &value, &error), &error);
    if (value != wanted) fail_msg("%s is %lld, not %lld", key, (long long)value, (long long)wanted);
}

static void has_bool(const wr_gguf *file, const char *key, bool wanted) {
    weir_error error;
    bool value = !wanted;
    must(wr_gguf_get_bool(file, key, &value, &error), &error);
    if (value != wanted) fail_msg("%s is %s", key, value ? "true" : "false");
}

/* ---- what stands in the file ----------------------------------------------------------------- */

static void every_tensor_comes_back(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double relative; /* of a number; */
        double of_block; /* and of the largest of its block */
    } formats[] = {{"F32", 0, 0}, {"F16", 0x1p-11, 1e-6}, {"BF16", 0x1p-8, 0}, {"Q8_0", 0, 0.0042}};
    const wr_kernels *kernels = wr_kernels_get(WR_CPU_SCALAR);
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        weir_error error;
        made model = make(shape_of(WEIR_TRAIN_SINK_LOGIT, WEIR_TRAIN_ALIBI), formats[f].name);
        must(wr_export_write(out_path, &model.export, NULL, &error), &error);
        wr_gguf *file = reopen();
        int64_t count = wr_parameters_count(&model.export.shape);
        assert_int_equal(wr_gguf_tensor_count(file), count);
        for (int64_t i = 0; i < count; i++) {
            wr_parameter p;
            float row[64];
            wr_parameters_get(&model.export.shape, i, &p);
            const wr_gguf_tensor *tensor = wr_gguf_find_tensor(file, p.name);
            assert_non_null(tensor);
            const bool vector = p.kind == WR_PARAMETER_NORM || p.kind == WR_PARAMETER_SINK;
            assert_int_equal(tensor->format,
                             vector ? WR_F32 : wr_format_named(formats[f].name)->format);
            assert_int_equal(tensor->dims, vector ? 1 : 2);
            assert_int_equal(tensor->dim[0], p.columns);
            assert_int_equal(tensor->dim[1], p.rows);
            size_t bytes = wr_format_row_bytes(tensor->format, p.columns);
            for (int64_t r = 0; r < p.rows; r++) {
                const float *from = model.parameters + p.offset + r * p.columns;
                kernels->decode(tensor->format, tensor->data + (size_t)r * bytes, row, p.columns);
                for (int64_t c = 0; c < p.columns; c++) {
                    float largest = 0;
                    for (int64_t k = c / 32 * 32; k < c / 32 * 32 + 32 && k < p.columns; k++)
                        largest = fmaxf(largest, fabsf(from[k]));
                    double most = vector ? 0
                                         : formats[f].relative * fabs((double)from[c]) +
                                               formats[f].of_block * (double)largest;
                    if (!(fabs((double)(row[c] - from[c])) <= most))
                        fail_msg("%s %s [%d, %d]: %g became %g", formats[f].name, p.name, (int)r,
                                 (int)c, (double)from[c], (double)row[c]);
                }
            }
        }
        wr_gguf_close(file);
        free(model.parameters);
        unlink(out_path);
    }
}

static void keys_say_which_variant(void **state) {
    (void)state;
    static const struct {
        weir_train_sink sink;
        weir_train_positions positions;
        const char *architecture, *said, *placed;
    } variants[] = {
        {WEIR_TRAIN_SINK_NONE, WEIR_TRAIN_ROPE, "llama", "", ""},
        {WEIR_TRAIN_SINK_TOKEN, WEIR_TRAIN_ROPE, "llama", "", ""},
        {WEIR_TRAIN_SINK_ZERO, WEIR_TRAIN_ROPE, "weir", "zero", ""},
        {WEIR_TRAIN_SINK_LOGIT, WEIR_TRAIN_ROPE, "weir", "logit", ""},
        {WEIR_TRAIN_SINK_NONE, WEIR_TRAIN_ALIBI, "weir", "", "alibi"},
        {WEIR_TRAIN_SINK_TOKEN, WEIR_TRAIN_ALIBI, "weir", "", "alibi"},
        {WEIR_TRAIN_SINK_LOGIT, WEIR_TRAIN_ALIBI, "weir", "logit", "alibi"},
    };
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        weir_error error;
        char key[64];
        const bool token = variants[v].sink == WEIR_TRAIN_SINK_TOKEN;
        const bool rotary = variants[v].positions == WEIR_TRAIN_ROPE;
        made model = make(shape_of(variants[v].sink, variants[v].positions), "F16");
        must(wr_export_write(out_path, &model.export, NULL, &error), &error);
        wr_gguf *file = reopen();
        has_string(file, "general.architecture", variants[v].architecture);
        has_string(file, "general.name", "exported");
        has_int(file, "general.file_type", 1);
        has_string(file, "weir.attention.sink", variants[v].said);
        has_string(file, "weir.attention.positions", variants[v].placed);
        has_int(file, "weir.train.steps", 7);
        has_int(file, "weir.train.tokens", 5000000000);
        assert_int_equal(wr_gguf_find(file, "weir.sink_token") != NULL, token);
        has_bool(file, "tokenizer.ggml.add_bos_token", token);
        has_int(file, "tokenizer.ggml.bos_token_id", 1);
        const struct {
            const char *suffix;
            int64_t value;
        } counts[] = {{"vocab_size", RANDOM_VOCABULARY}, {"context_length", 48},
                      {"embedding_length", 32},          {"block_count", 2},
                      {"feed_forward_length", 64},       {"attention.head_count", 4},
                      {"attention.head_count_kv", 2},    {"rope.dimension_count", rotary ? 8 : 0}};
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            snprintf(key, sizeof key, "%s.%s", variants[v].architecture, counts[i].suffix);
            has_int(file, key, counts[i].value);
        }
        wr_gguf_close(file);
        free(model.parameters);
        unlink(out_path);
    }
}

static void the_vocabulary_is_taken_over(void **state) {
    (void)state;
    weir_error error;
    made model = make(shape_of(WEIR_TRAIN_SINK_NONE, WEIR_TRAIN_ROPE), "F32");
    must(wr_export_write(out_path, &model.export, NULL, &error), &error);
    wr_gguf *file = reopen(), *from;
    must(wr_gguf_open(tiny.path, NULL, &from, &error), &error);
    int taken = 0;
    for (int64_t i = 0; i < wr_gguf_value_count(from); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(from, i);
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)value->key.size, value->key.data);
        if (strncmp(key, "tokenizer.", 10) != 0 || strstr(key, "add_bos") != NULL) continue;
        const wr_gguf_value *copy = wr_gguf_find(file, key);
        assert_non_null(copy);
        assert_int_equal(copy->type, value->type);
        assert_int_equal(copy->item_type, value->item_type);
        assert_int_equal(copy->count, value->count);
        assert_int_equal(copy->size, value->size);
        assert_memory_equal(copy->bytes, value->bytes, value->size);
        taken++;
    }
    assert_true(taken >= 9);
    wr_gguf_close(from);
    wr_gguf_close(file);
    free(model.parameters);
    unlink(out_path);
}

/* The tied head is no tensor of its own, another one is; both are opened and run. */
static void the_head_may_be_the_embedding(void **state) {
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        weir_error error;
        weir_model *opened;
        weir_train_shape shape = shape_of(WEIR_TRAIN_SINK_TOKEN, WEIR_TRAIN_ROPE);
        shape.tied = tied != 0;
        made model = make(shape, "Q8_0");
        must(wr_export_write(out_path, &model.export, NULL, &error), &error);
        wr_gguf *file = reopen();
        assert_int_equal(wr_gguf_find_tensor(file, "output.weight") == NULL, tied);
        wr_gguf_close(file);
        must(weir_model_open(out_path, NULL, &opened, &error), &error);
        assert_true(weir_model_get_info(opened)->sink_token);
        assert_true(weir_model_get_info(opened)->adds_bos);
        weir_stream_options options = stream_options(WEIR_DENSE, 0, 32);
        weir_stream *stream = stream_make(opened, &options);
        stream_feed(stream, 0, 20);
        assert_true(stream_bits(stream) != 0);
        weir_stream_destroy(stream);
        weir_model_close(opened);
        free(model.parameters);
        unlink(out_path);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void refused(const wr_export *model, weir_status status, const char *says) {
    weir_error error;
    struct stat there;
    assert_refused(wr_export_write(out_path, model, NULL, &error), status, &error, says);
    assert_int_not_equal(stat(out_path, &there), 0);
    if (status == WEIR_NAN) return; /* which only the numbers can tell */
    assert_refused(wr_export_check(model, NULL, &error), status, &error, says);
}

static void refuses_in_a_sentence(void **state) {
    (void)state;
    weir_error error;
    made model = make(shape_of(WEIR_TRAIN_SINK_TOKEN, WEIR_TRAIN_ROPE), "Q8_0");
    must(wr_export_check(&model.export, NULL, &error), &error);
    wr_export wrong = model.export;
    wrong.format = "Q4_K";
    refused(&wrong, WEIR_USAGE, "F32, F16, BF16 or Q8_0");
    wrong = model.export;
    wrong.shape.feed_forward = 48;
    refused(&wrong, WEIR_USAGE, "blk.0.ffn_down.weight has rows of 48 numbers");
    wrong = model.export;
    wrong.shape.vocabulary = 300;
    refused(&wrong, WEIR_USAGE, "has 320 tokens, the model 300");
    wrong = model.export;
    wrong.vocabulary = "/nonexistent.gguf";
    refused(&wrong, WEIR_IO, "/nonexistent.gguf");
    wrong = model.export;
    wrong.shape.heads = 5;
    refused(&wrong, WEIR_USAGE, "width (32)");
    free(model.parameters);
}

static void refuses_what_a_format_cannot_hold(void **state) {
    (void)state;
    static const struct {
        const char *format;
        float number;
    } misfits[] = {
        {"F32", NAN}, {"F16", 70000}, {"BF16", 3.4e38f}, {"Q8_0", INFINITY}, {"Q8_0", 1e7f}};
    for (size_t i = 0; i < sizeof misfits / sizeof misfits[0]; i++) {
        made model = make(shape_of(WEIR_TRAIN_SINK_NONE, WEIR_TRAIN_ROPE), misfits[i].format);
        wr_parameter p;
        wr_parameters_get(&model.export.shape, 2, &p);
        model.parameters[p.offset + 3 * (size_t)p.columns + 5] = misfits[i].number;
        refused(&model.export, WEIR_NAN, "blk.0.attn_q.weight: row 3 has a number that");
        free(model.parameters);
    }
}

static void no_memory_leaves_nothing(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    made model = make(shape_of(WEIR_TRAIN_SINK_ZERO, WEIR_TRAIN_ROPE), "F16");
    weir_status status = WEIR_MEMORY;
    for (int64_t n = 1; status != WEIR_OK; n++) {
        weir_error error;
        struct stat there;
        memory.fail_at = n;
        status = wr_export_write(out_path, &model.export, &memory.allocator, &error);
        assert_true(failing_allocator_clean(&memory));
        if (status == WEIR_OK) break;
        assert_refused(status, WEIR_MEMORY, &error, "memory");
        assert_int_not_equal(stat(out_path, &there), 0);
    }
    assert_true(memory.failures >= 8);
    free(model.parameters);
    unlink(out_path);
}

int main(void) {
    snprintf(out_path, sizeof out_path, "/tmp/weir-export-%d.gguf", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_comes_back),
        cmocka_unit_test(keys_say_which_variant),
        cmocka_unit_test(the_vocabulary_is_taken_over),
        cmocka_unit_test(the_head_may_be_the_embedding),
        cmocka_unit_test(refuses_in_a_sentence),
        cmocka_unit_test(refuses_what_a_format_cannot_hold),
        cmocka_unit_test(no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
