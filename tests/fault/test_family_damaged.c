/*
 * Files of every family, in both its forms, with one thing wrong: a tensor under another name, of
 * another shape, a key with an absurd number. Each opens and computes, or is one sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "file/gguf.h"
#include "model/family.h"
#include "support/random_model.h"

static uint8_t original[1 << 20], damaged[1 << 20];
static size_t size;
static const char *family; /* at hand */
static int refused;

static void read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size = fread(original, 1, sizeof original, file);
    fclose(file);
    assert_true(size < sizeof original);
    memcpy(damaged, original, size);
}

static void compute(const weir_model *model) {
    weir_error error;
    weir_stream *stream;
    weir_stream_options options = stream_options(WEIR_RECOMPUTE, -1, 8);
    if (weir_model_get_info(model)->vocabulary < RANDOM_VOCABULARY) return;
    weir_status status = weir_stream_create(model, &options, &stream, &error);
    if (status != WEIR_OK) { /* a context of fewer tokens */
        assert_sentence(&error);
        return;
    }
    stream_feed(stream, 0, 12);
    const float *logits;
    status = weir_stream_logits(stream, &logits, &error);
    if (status != WEIR_OK) assert_sentence(&error); /* NaN */
    weir_stream_destroy(stream);
}

/* The damaged bytes as a file; whether it opened. Then they are whole again. */
static bool try(const char *what) {
    char path[64];
    weir_error error = {.message = ""};
    weir_model *model;
    snprintf(path, sizeof path, "/tmp/weir-family-%d.gguf", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(damaged, 1, size, file), size);
    fclose(file);
    const weir_status status = weir_model_open(path, NULL, &model, &error);
    if (status == WEIR_OK) {
        compute(model);
        weir_model_close(model);
    } else {
        if (status != WEIR_DAMAGED && status != WEIR_UNSUPPORTED)
            fail_msg("%s, %s: %s", family, what, error.message);
        assert_sentence(&error);
        refused++;
    }
    unlink(path);
    memcpy(damaged, original, size);
    return status == WEIR_OK;
}

/* Another name in a block is always told: as one that is missing, or as one too many. */
static void rename_each(const wr_gguf *gguf) {
    for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++) {
        const wr_string name = wr_gguf_tensor_at(gguf, i)->name;
        uint8_t *at = memmem(damaged, size, name.data, name.size);
        assert_non_null(at);
        at[name.size - 1] = 'x';
        const bool opened = try(name.data);
        if (opened && memcmp(name.data, "blk.", 4) == 0)
            fail_msg("%s: opens with %.*s under another name", family, (int)name.size, name.data);
    }
}

static void reshape_each(const wr_gguf *gguf) {
    for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(gguf, i);
        const uint64_t lengths[] = {(uint64_t)tensor->dim[0] / 2, 1, 0, UINT64_C(1) << 61};
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            uint8_t *at = memmem(damaged, size, tensor->name.data, tensor->name.size);
            memcpy(at + tensor->name.size + 4, &lengths[k], 8); /* behind the count of dimensions */
            assert_false(try("a length"));
        }
    }
}

/* Every number among the family's own keys. */
static void absurd_keys(const wr_gguf *gguf) {
    for (int64_t i = 0; i < wr_gguf_value_count(gguf); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(gguf, i);
        static const uint32_t numbers[] = {0, 1, 3, 255, 1 << 20, UINT32_MAX, 0x7fc00000};
        const bool number = value->type == WR_GGUF_U32 || value->type == WR_GGUF_F32;
        if (!number || memcmp(value->key.data, family, strlen(family)) != 0) continue;
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            uint8_t *at = memmem(damaged, size, value->key.data, value->key.size);
            assert_non_null(at);
            memcpy(at + value->key.size + 4, &numbers[k], 4); /* behind its type */
            (void)try("a number");
        }
    }
}

static void damage_family(const wr_family *row, bool variant) {
    random_model made;
    weir_error error;
    wr_gguf *gguf;
    weir_random_model shape = random_tiny();
    shape.family = family = row->name;
    shape.variant = variant;
    shape.layer_window = variant && !row->encoder ? 5 : 0;
    shape.experts = variant && row->experts != WR_EXPERTS_NONE ? 3 : 0;
    random_model_open(&made, &shape, NULL);
    read_file(made.path);
    must(wr_gguf_open(made.path, NULL, &gguf, &error), &error);
    refused = 0;
    rename_each(gguf);
    reshape_each(gguf);
    absurd_keys(gguf);
    assert_true(refused > 50);
    wr_gguf_close(gguf);
    random_model_close(&made);
}

static void test_damaged(void **state) {
    (void)state;
    for (int i = 0; wr_family_at(i) != NULL; i++) {
        damage_family(wr_family_at(i), false);
        damage_family(wr_family_at(i), true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests_name("damaged files of every family", tests, NULL, NULL);
}
