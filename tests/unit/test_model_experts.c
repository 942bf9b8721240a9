/*
 * Experts: what a file may not say of them, each refusal one sentence; experts that are all alike
 * are one feed-forward part; and a router that ties or is not a number still chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "support/changed_model.h"
#include "support/random_model.h"

enum { EXPERTS = 3, USED = 2 };

static random_model mixture;
static char changed[96];

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    shape.experts = EXPERTS;
    shape.experts_used = USED;
    random_model_open(&mixture, &shape, NULL);
    snprintf(changed, sizeof changed, "/tmp/weir-experts-%d.gguf", (int)getpid());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    random_model_close(&mixture);
    unlink(changed);
    return 0;
}

/* --- Refusals -----------------------------------------------------------------------------------
 */

static const char *whole_key, *flag_key, *real_key;
static int64_t whole;

static void put_keys(wr_gguf_writer *writer) {
    if (whole_key) wr_gguf_put_int(writer, whole_key, WR_GGUF_U32, whole);
    if (flag_key) wr_gguf_put_bool(writer, flag_key, false);
    if (real_key) wr_gguf_put_float(writer, real_key, 2.5f);
}

static void refused(const char *without, weir_status status, const char *words) {
    weir_error error = {.message = ""};
    weir_model *model;
    changed_model(mixture.path, changed, without, put_keys, NULL);
    assert_refused(weir_model_open(changed, NULL, &model, &error), status, &error, words);
    whole_key = flag_key = real_key = NULL;
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *key;
        bool there; /* the file has it already */
        int64_t value;
        weir_status status;
        const char *words;
    } list[] = {
        {"llama.expert_count", true, 1025, WEIR_DAMAGED, "0 to 1024 is possible"},
        {"llama.expert_count", true, 4, WEIR_DAMAGED, "expected [4, 16], the file has [3, 16]"},
        {"llama.expert_count", true, 0, WEIR_DAMAGED, "ffn_gate.weight is missing"},
        {"llama.expert_used_count", true, 0, WEIR_DAMAGED, "1 to 3 is possible"},
        {"llama.expert_used_count", true, 4, WEIR_DAMAGED, "1 to 3 is possible"},
        {"llama.expert_feed_forward_length", true, 16, WEIR_DAMAGED,
         "expected [3, 16, 16], the file has [3, 32, 16]"},
        {"llama.expert_shared_count", false, 1, WEIR_UNSUPPORTED, "expert_shared_count is 1"},
        {"llama.expert_group_count", false, 4, WEIR_UNSUPPORTED, "expert_group_count is 4"},
        {"llama.leading_dense_block_count", false, 1, WEIR_UNSUPPORTED, "dense_block_count is 1"},
        {"llama.expert_gating_func", false, 2, WEIR_UNSUPPORTED, "shares are a softmax"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        whole_key = list[i].key;
        whole = list[i].value;
        refused(list[i].there ? list[i].key : NULL, list[i].status, list[i].words);
    }
    refused("llama.expert_used_count", WEIR_DAMAGED, "expert_used_count is missing");
    flag_key = "llama.expert_weights_norm";
    refused(NULL, WEIR_UNSUPPORTED, "add up to 1");
    real_key = "llama.expert_weights_scale";
    refused(NULL, WEIR_UNSUPPORTED, "add up to 1");
}

static void test_other_family(void **state) {
    (void)state;
    weir_error error;
    weir_random_model shape = random_tiny();
    shape.family = "qwen2";
    shape.experts = 4;
    assert_refused(weir_make_random(changed, &shape, &error), WEIR_USAGE, &error, "no experts");
    shape.experts = 0;
    random_model plain;
    weir_model *model;
    shape.family = "qwen2";
    random_model_open(&plain, &shape, NULL);
    whole_key = "qwen2.expert_count";
    whole = 4;
    changed_model(plain.path, changed, NULL, put_keys, NULL);
    assert_refused(weir_model_open(changed, NULL, &model, &error), WEIR_UNSUPPORTED, &error,
                   "experts are not supported in the family qwen2");
    whole_key = NULL;
    random_model_close(&plain);
    shape.family = NULL;
    shape.experts = 4;
    shape.experts_used = 5;
    assert_refused(weir_make_random(changed, &shape, &error), WEIR_USAGE, &error, "cannot be used");
}

/* --- What they compute --------------------------------------------------------------------------
 */

/* Copies the file; `edit` is handed each tensor's floats first. */
typedef void (*edit_fn)(const char *name, float *numbers, int64_t count);

static void edited_model(edit_fn edit) {
    weir_error error;
    wr_gguf *from;
    wr_gguf_writer *to;
    must(wr_gguf_open(mixture.path, NULL, &from, &error), &error);
    must(wr_gguf_writer_open(changed, NULL, &to, &error), &error);
    for (int64_t i = 0; i < wr_gguf_value_count(from); i++)
        wr_gguf_put_value(to, wr_gguf_value_at(from, i));
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
            const wr_gguf_tensor *t = wr_gguf_tensor_at(from, i);
            char name[256];
            snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
            if (pass == 0) {
                wr_gguf_put_tensor(to, name, t->format, t->dims, t->dim);
                continue;
            }
            float *numbers = malloc(t->bytes);
            memcpy(numbers, t->data, t->bytes);
            edit(name, numbers, (int64_t)(t->bytes / sizeof *numbers));
            must(wr_gguf_write_data(to, numbers, t->bytes, &error), &error);
            free(numbers);
        }
    must(wr_gguf_writer_commit(to, &error), &error);
    wr_gguf_writer_close(to);
    wr_gguf_close(from);
}

/* Every expert becomes the first. */
static void make_alike(const char *name, float *numbers, int64_t count) {
    if (strstr(name, "_exps.") == NULL) return;
    const int64_t each = count / EXPERTS;
    for (int64_t i = each; i < count; i++) numbers[i] = numbers[i % each];
}

static void tie(const char *name, float *numbers, int64_t count) {
    make_alike(name, numbers, count);
    if (strstr(name, "ffn_gate_inp") != NULL) memset(numbers, 0, (size_t)count * sizeof *numbers);
}

static void logits_of(edit_fn edit, float out[RANDOM_VOCABULARY]) {
    weir_error error;
    weir_model *model;
    const float *logits;
    edited_model(edit);
    must(weir_model_open(changed, NULL, &model, &error), &error);
    const weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(model, &options);
    stream_feed(stream, 0, 100);
    must(weir_stream_logits(stream, &logits, &error), &error);
    memcpy(out, logits, RANDOM_VOCABULARY * sizeof *out);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

static void keep(const char *name, float *numbers, int64_t count) {
    (void)name;
    (void)numbers;
    (void)count;
}

/* Whichever of them are chosen, and however the shares are divided. */
static void test_alike(void **state) {
    (void)state;
    static float alike[RANDOM_VOCABULARY], tied[RANDOM_VOCABULARY], own[RANDOM_VOCABULARY];
    logits_of(make_alike, alike);
    logits_of(tie, tied);
    logits_of(keep, own);
    double off = 0, size = 0, apart = 0;
    for (int i = 0; i < RANDOM_VOCABULARY; i++) {
        off += pow((double)(alike[i] - tied[i]), 2);
        apart += pow((double)(alike[i] - own[i]), 2);
        size += pow((double)alike[i], 2);
    }
    assert_true(sqrt(off / size) < 1e-5);
    assert_true(sqrt(apart / size) > 1e-2);
}

static void poison(const char *name, float *numbers, int64_t count) {
    if (strcmp(name, "blk.1.ffn_gate_inp.weight") == 0)
        for (int64_t i = 0; i < count; i++) numbers[i] = NAN;
}

static void test_not_a_number(void **state) {
    (void)state;
    weir_error error;
    weir_model *model;
    const float *logits;
    edited_model(poison);
    must(weir_model_open(changed, NULL, &model, &error), &error);
    const weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *stream = stream_make(model, &options);
    stream_feed(stream, 0, 20);
    assert_refused(weir_stream_logits(stream, &logits, &error), WEIR_NAN, &error, "");
    weir_stream_destroy(stream);
    weir_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_other_family),
        cmocka_unit_test(test_alike), cmocka_unit_test(test_not_a_number)};
    return cmocka_run_group_tests_name("experts", tests, set_up, tear_down);
}
