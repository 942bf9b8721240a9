/*
 * Opening a model: what is missing, misshapen or unknown is one sentence that names it; and what an
 * observer sees of the forward pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "model/network.h"
#include "support/random_model.h"
#include "support/vocab_sample.h"

static uint8_t original[1 << 20];
static size_t original_size;

/* --- Files with one thing wrong --------------------------------------------------------------- */

/* The file with `from` replaced by `to` (of equal size) `skip` bytes after the first `anchor`. */
static void patched(char path[64], const char *anchor, size_t skip, const void *to, size_t size) {
    static uint8_t bytes[sizeof original];
    memcpy(bytes, original, original_size);
    uint8_t *at = memmem(bytes, original_size, anchor, strlen(anchor));
    assert_non_null(at);
    memcpy(at + strlen(anchor) + skip, to, size);
    snprintf(path, 64, "/tmp/weir-open-%d.gguf", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, original_size, file), original_size);
    fclose(file);
}

static void check_flawed(const char *anchor, size_t skip, const void *to, size_t size,
                         weir_status status, const char *remedy, bool of_metadata) {
    char path[64];
    weir_error error = {.message = ""};
    weir_model *model = (weir_model *)path;
    weir_model_options options = {.metadata_only = true};
    patched(path, anchor, skip, to, size);
    assert_refused(weir_model_open(path, NULL, &model, &error), status, &error, remedy);
    assert_non_null(strstr(error.message, path));
    assert_null(model);
    if (of_metadata) { /* info still describes it, and nothing else does */
        weir_plan plan;
        weir_stream *stream;
        must(weir_model_open(path, &options, &model, &error), &error);
        assert_refused(weir_stream_plan(model, NULL, &plan, &error), status, &error, remedy);
        assert_refused(weir_stream_create(model, NULL, &stream, &error), status, &error, remedy);
        weir_model_close(model);
    }
    unlink(path);
}

/* A key's name ends where its type begins; a tensor's where its dimensions do. */
static void test_metadata(void **state) {
    (void)state;
    const uint64_t zero = 0, seven = 7;
    const float nan = NAN;
    check_flawed("general.architecture", 12, "llamb", 5, WEIR_UNSUPPORTED, "supported: llama",
                 true);
    check_flawed("general.architectur", 0, "x", 1, WEIR_DAMAGED, "general.architecture", true);
    check_flawed("llama.block_coun", 0, "x", 1, WEIR_DAMAGED, "llama.block_count", true);
    check_flawed("llama.embedding_lengt", 0, "x", 1, WEIR_DAMAGED, "embedding_length", true);
    check_flawed("llama.context_lengt", 0, "x", 1, WEIR_DAMAGED, "context_length", true);
    check_flawed("llama.attention.head_coun", 0, "x", 1, WEIR_DAMAGED, "head_count", true);
    check_flawed("llama.block_count", 4, &zero, 4, WEIR_DAMAGED, "block_count", true);
    check_flawed("llama.context_length", 4, &zero, 4, WEIR_DAMAGED, "context_length", true);
    check_flawed("llama.embedding_length", 0, "\x0a\0\0\0", 4, WEIR_DAMAGED, "", false);
    check_flawed("llama.attention.head_count", 4, &seven, 4, WEIR_DAMAGED, "", false);
    check_flawed("layer_norm_rms_epsilon", 4, &nan, 4, WEIR_DAMAGED, "epsilon", true);
}

static void test_tensors(void **state) {
    (void)state;
    const uint64_t swapped[] = {32, 16};
    const uint64_t wider[] = {16, 31};
    const uint32_t foreign = 24; /* I8 */
    check_flawed("blk.1.ffn_up.weigh", 0, "x", 1, WEIR_DAMAGED, "blk.1.ffn_up.weight is missing",
                 false);
    check_flawed("blk.1.attn_norm.weigh", 0, "x", 1, WEIR_DAMAGED,
                 "blk.1.attn_norm.weight is missing", false);
    check_flawed("token_embd.weigh", 0, "x", 1, WEIR_DAMAGED, "token_embd.weight is missing",
                 false);
    check_flawed("output_norm.weigh", 0, "x", 1, WEIR_DAMAGED, "output_norm.weight is missing",
                 false);
    check_flawed("blk.0.ffn_up.weight", 4, swapped, 16, WEIR_DAMAGED,
                 "blk.0.ffn_up.weight: expected [32, 16], the file has [16, 32]", false);
    check_flawed("blk.0.ffn_up.weight", 4, wider, 16, WEIR_DAMAGED,
                 "expected [32, 16], the file has [31, 16]", false);
    check_flawed("blk.0.ffn_up.weight", 20, &foreign, 4, WEIR_UNSUPPORTED,
                 "blk.0.ffn_up.weight: the tensor format I8", false);
}

static void keep_original(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    original_size = fread(original, 1, sizeof original, file);
    fclose(file);
    assert_true(original_size < sizeof original);
}

/* A string value lies behind its type and its length. */
static void test_sinks_and_positions(void **state) {
    (void)state;
    const uint64_t three = 3;
    random_model made;
    weir_random_model shape = random_tiny();
    shape.sink = "logit";
    shape.positions = "alibi";
    random_model_open(&made, &shape, NULL);
    keep_original(made.path);
    check_flawed(
        "weir.attention.sink", 12, "magic", 5, WEIR_UNSUPPORTED,
        "the key weir.attention.sink is \"magic\", which is not supported (supported: none, "
        "zero, logit)",
        true);
    check_flawed(
        "weir.attention.positions", 12, "ALIBI", 5, WEIR_UNSUPPORTED,
        "the key weir.attention.positions is \"ALIBI\", which is not supported (supported: "
        "rope, alibi)",
        true);
    check_flawed("blk.1.attn_sinks.weigh", 0, "x", 1, WEIR_DAMAGED,
                 "blk.1.attn_sinks.weight is missing", false);
    check_flawed("blk.1.attn_sinks.weight", 4, &three, 8, WEIR_DAMAGED,
                 "blk.1.attn_sinks.weight: expected [2], the file has [3]", false);
    random_model_close(&made);
    keep_original(tiny.path);
    check_flawed("general.architecture", 12, "weird", 5, WEIR_UNSUPPORTED, "supported: llama, weir",
                 true);
}

/* A file that holds nothing but a vocabulary: it tokenises, and no stream comes of it. */
static void test_vocabulary_only(void **state) {
    (void)state;
    static sample_vocab vocab;
    char path[64];
    wr_writer bytes = {0};
    weir_error error;
    weir_plan plan;
    weir_model *model;
    weir_stream *stream;
    weir_model_options options = {.metadata_only = true};
    sample_make(&vocab, 1, SAMPLE_BYTES, 100);
    sample_write(&vocab, &bytes);
    snprintf(path, sizeof path, "/tmp/weir-vocabulary-%d.gguf", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    fclose(file);
    wr_writer_release(&bytes);
    assert_refused(weir_model_open(path, NULL, &model, &error), WEIR_DAMAGED, &error, "missing");
    must(weir_model_open(path, &options, &model, &error), &error);
    assert_true(weir_model_get_info(model)->tokenizer_usable);
    assert_int_equal(weir_model_get_info(model)->layers, 0);
    assert_refused(weir_stream_plan(model, NULL, &plan, &error), WEIR_DAMAGED, &error, "missing");
    assert_refused(weir_stream_create(model, NULL, &stream, &error), WEIR_DAMAGED, &error,
                   "missing");
    weir_model_close(model);
    unlink(path);
}

/* A tied output is the embedding, and a layer window is a group of its own. */
static void test_shapes(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        random_model made;
        weir_random_model shape = random_tiny();
        shape.tied = i & 1;
        shape.layer_window = i & 2 ? 20 : 0;
        shape.head_dim = 6;
        random_model_open(&made, &shape, NULL);
        const weir_model_info *info = weir_model_get_info(made.model);
        assert_int_equal(info->layers, 2);
        assert_int_equal(info->key_dim, 6);
        assert_int_equal(info->trained_context, RANDOM_CONTEXT);
        assert_int_equal(info->layer_window, shape.layer_window);
        assert_int_equal(info->vocabulary, RANDOM_VOCABULARY);
        assert_string_equal(info->family, "llama");
        assert_string_equal(info->path, made.path);
        weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
        weir_stream *stream = stream_make(made.model, &options);
        stream_feed(stream, 0, 200);
        stream_bits(stream);
        weir_stream_destroy(stream);
        random_model_close(&made);
    }
}

/* --- Observing -------------------------------------------------------------------------------- */

typedef struct seen {
    int calls[5];
    int64_t next[5][2]; /* the next row of each point and layer */
    float final[64][16];
    int64_t final_first, final_rows;
} seen;

static void look(void *context, weir_point point, int layer, int64_t first, const float *data,
                 int64_t rows, int64_t columns) {
    seen *s = context;
    static const int64_t width[] = {16, 8, 16, 16, 16};
    bool outside = point == WEIR_POINT_EMBEDDING || point == WEIR_POINT_FINAL;
    assert_in_range(point, 0, 4);
    assert_int_equal(columns, width[point]);
    assert_in_range(rows, 1, 16);
    if (outside)
        assert_int_equal(layer, -1);
    else
        assert_in_range(layer, 0, 1);
    s->calls[point]++;
    for (int64_t i = 0; i < rows * columns; i++) assert_true(isfinite(data[i]));
    if (point == WEIR_POINT_FINAL) {
        s->final_first = first;
        s->final_rows = rows;
        memcpy(s->final, data, (size_t)(rows * columns) * sizeof *data);
        return;
    }
    int64_t *next = &s->next[point][outside ? 0 : layer];
    assert_int_equal(first, *next);
    *next += rows;
}

/* logits = W f, from the rows that the observer saw. */
static weir_status check_logits(void *context, int64_t index, const float *logits,
                                int32_t n_vocab) {
    const seen *s = context;
    assert_in_range(index, s->final_first, s->final_first + s->final_rows - 1);
    const float *row = s->final[index - s->final_first];
    const float *head = tiny.model->head.matrix.data;
    for (int32_t v = 0; v < n_vocab; v++) {
        double sum = 0.0;
        for (int i = 0; i < 16; i++) sum += (double)head[v * 16 + i] * (double)row[i];
        assert_true(fabs(sum - (double)logits[v]) < 1e-4);
    }
    return WEIR_OK;
}

static void test_observer(void **state) {
    (void)state;
    weir_error error;
    static seen s;
    int32_t tokens[100];
    random_tokens(tokens, 0, 100);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 30);
    weir_stream *stream = stream_make(tiny.model, &options);
    weir_stream_observe(stream, look, &s);
    must(weir_stream_feed_tokens(stream, tokens, 40, &error), &error);
    assert_int_equal(s.calls[WEIR_POINT_FINAL], 0); /* nobody asked for logits */
    must(weir_stream_feed_scored(stream, tokens + 40, 60, check_logits, &s, &error), &error);
    assert_int_equal(s.next[WEIR_POINT_EMBEDDING][0], 100);
    for (int layer = 0; layer < 2; layer++)
        for (int point = WEIR_POINT_VALUE; point <= WEIR_POINT_LAYER; point++)
            assert_int_equal(s.next[point][layer], 100);
    assert_int_equal(s.calls[WEIR_POINT_EMBEDDING], 3 + 4);
    assert_int_equal(s.calls[WEIR_POINT_LAYER], 2 * (3 + 4));
    uint64_t bits = stream_bits(stream);
    assert_int_equal(s.final_first, 99);
    assert_int_equal(s.final_rows, 1);
    int calls = s.calls[WEIR_POINT_LAYER];
    weir_stream_observe(stream, NULL, NULL);
    stream_feed(stream, 100, 110);
    assert_int_equal(s.calls[WEIR_POINT_LAYER], calls);
    must(weir_stream_rewind(stream, 100, &error), &error);
    assert_true(stream_bits(stream) == bits); /* seen or not: the same */
    weir_stream_destroy(stream);
}

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    random_model_open(&tiny, &shape, NULL);
    keep_original(tiny.path);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    random_model_close(&tiny);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_metadata),
                                       cmocka_unit_test(test_tensors),
                                       cmocka_unit_test(test_sinks_and_positions),
                                       cmocka_unit_test(test_vocabulary_only),
                                       cmocka_unit_test(test_shapes),
                                       cmocka_unit_test(test_observer)};
    return cmocka_run_group_tests_name("opening a model", tests, set_up, tear_down);
}
