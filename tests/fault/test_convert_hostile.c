/*
 * Folders that lie: config.json, safetensors, their index and tokenizers, broken in every way that
 * comes to mind. Each is one sentence with a status, and no file is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "convert/safetensors.h"
#include "support/random_model.h"
#include "support/scratch.h"
#include "weir/convert.h"

static char out[300], here[300];
static char config[8192];
static uint8_t weights[200000];
static size_t weights_size;

static weir_status convert(const weir_convert_options *given, weir_error *error) {
    weir_convert_options options = given != NULL ? *given : weir_convert_options_default();
    options.out = out;
    if (given == NULL) options.no_vocab = true;
    *error = (weir_error){0};
    const weir_status status = weir_convert(here, &options, NULL, error);
    assert_int_equal(access(out, F_OK) == 0, status == WEIR_OK);
    unlink(out);
    return status;
}

static void refused(weir_status wanted, const char *words) {
    weir_error error;
    const weir_status status = convert(NULL, &error);
    assert_refused(status, wanted, &error, words);
}

static void restore(void) {
    scratch_text("config.json", config);
    scratch_write("model.safetensors", weights, weights_size);
}

/* ---- config.json -------------------------------------------------------------------------------
 */

/* The configuration with one part of its text replaced. */
static void with(const char *part, const char *other) {
    char changed[sizeof config + 8192];
    const char *at = strstr(config, part);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - config), config, other,
             at + strlen(part));
    scratch_text("config.json", changed);
}

static void configurations(void **state) {
    (void)state;
    static const struct {
        const char *part, *other;
        weir_status status;
        const char *words;
    } cases[] = {
        {"\"LlamaForCausalLM\"", "\"GrokForCausalLM\"", WEIR_UNSUPPORTED, "GrokForCausalLM"},
        {"\"LlamaForCausalLM\"", "7", WEIR_DAMAGED, "architectures"},
        {"\"architectures\"", "\"architecture\"", WEIR_DAMAGED, "architectures"},
        {"\"hidden_size\": 48", "\"hidden_size\": \"48\"", WEIR_DAMAGED, "hidden_size"},
        {"\"hidden_size\": 48", "\"hidden_size\": 48.5", WEIR_DAMAGED, "hidden_size"},
        {"\"hidden_size\": 48", "\"hidden_size\": 1e300", WEIR_DAMAGED, "hidden_size"},
        {"\"hidden_size\": 48", "\"hidden_size\": -48", WEIR_DAMAGED, "hidden_size"},
        {"\"hidden_size\": 48", "\"hidden_size\": NaN", WEIR_DAMAGED, "JSON"},
        {"\"hidden_size\": 48", "\"hidden_size\": 1e999", WEIR_DAMAGED, "JSON"},
        {"\"hidden_size\"", "\"head_dim\"", WEIR_DAMAGED, "uplicate"},
        {"\"hidden_size\"", "\"hidden\"", WEIR_DAMAGED, "hidden_size is missing"},
        {"\"num_attention_heads\": 6", "\"num_attention_heads\": 0", WEIR_DAMAGED, "num_attention"},
        {"\"num_attention_heads\": 6", "\"num_attention_heads\": 8", WEIR_DAMAGED, "multiple"},
        {"\"num_attention_heads\": 6", "\"num_attention_heads\": 9", WEIR_DAMAGED, "q_proj"},
        {"\"head_dim\": 10", "\"head_dim\": 100000", WEIR_DAMAGED, "beyond any model"},
        {"\"head_dim\": 10", "\"head_dim\": 9", WEIR_UNSUPPORTED, "no even number"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"", WEIR_UNSUPPORTED, "relu"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": [[]]", WEIR_UNSUPPORTED, "activation"},
        {"\"rope_type\": \"default\"", "\"rope_type\": \"spiral\"", WEIR_UNSUPPORTED, "spiral"},
        {"\"rope_type\": \"default\"", "\"rope_type\": \"longrope\"", WEIR_DAMAGED, "long_factor"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", WEIR_DAMAGED, "layers.2"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", WEIR_UNSUPPORTED, "layers.1"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 100000", WEIR_DAMAGED, "beyond"},
        {"{", "[", WEIR_DAMAGED, "JSON"},
        {"}", "", WEIR_DAMAGED, "JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        with(cases[i].part, cases[i].other);
        refused(cases[i].status, cases[i].words);
    }
    char deep[6001];
    memset(deep, '[', sizeof deep - 1);
    deep[6000] = '\0';
    with("\"silu\"", deep);
    refused(WEIR_DAMAGED, "JSON");
    scratch_text("config.json", "\"\\ud800\"");
    refused(WEIR_DAMAGED, "JSON");
    scratch_text("config.json", "7");
    refused(WEIR_DAMAGED, "architectures");
    unlink(scratch_path("config.json"));
    refused(WEIR_IO, "config.json");
    restore();
}

/* ---- safetensors -------------------------------------------------------------------------------
 */

static weir_status parse(const char *header, uint64_t claimed, size_t data, weir_error *error) {
    static uint8_t bytes[70000];
    wr_safetensors *file = NULL;
    const size_t size = strlen(header);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(claimed >> (8 * i));
    memcpy(bytes + 8, header, size);
    const weir_status status =
        wr_safetensors_parse("file", bytes, 8 + size + data, NULL, &file, error);
    assert_int_equal(file != NULL, status == WEIR_OK);
    wr_safetensors_close(file);
    return status;
}

#define TENSOR(type, shape, place)                                                                 \
    "{\"a\":{\"dtype\":" type ",\"shape\":" shape ",\"data_offsets\":" place "}}"

static void headers(void **state) {
    (void)state;
    static const struct {
        const char *header, *words;
    } cases[] = {
        {TENSOR("\"F32\"", "[2,2]", "[0,17]"), "ends at byte 17"},
        {TENSOR("\"F32\"", "[2,2]", "[1,16]"), "its shape wants 16"},
        {TENSOR("\"F32\"", "[2,2]", "[16,0]"), "data_offsets"},
        {TENSOR("\"F32\"", "[2,2]", "[-16,0]"), "data_offsets"},
        {TENSOR("\"F32\"", "[2,2]", "[0.5,16.5]"), "data_offsets"},
        {TENSOR("\"F32\"", "[2,2]", "[0,16,32]"), "data_offsets"},
        {TENSOR("\"F32\"", "[2,2]", "{}"), "data_offsets"},
        {TENSOR("\"F32\"", "[2,2]", "[0,18446744073709551616]"), "data_offsets"},
        {TENSOR("\"F32\"", "[-2,-2]", "[0,16]"), "no count"},
        {TENSOR("\"F32\"", "[9007199254740992,9007199254740992]", "[0,16]"), "more elements"},
        {TENSOR("\"F32\"", "[1,1,1,1,1,4]", "[0,16]"), "dimensions"},
        {TENSOR("\"F32\"", "4", "[0,16]"), "no shape"},
        {TENSOR("\"F33\"", "[4]", "[0,16]"), "unknown dtype"},
        {TENSOR("7", "[4]", "[0,16]"), "no dtype"},
        {"{\"a\":7}", "no object"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
         "shares bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         "uplicate"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", "empty"},
        {"{\"\\u0007\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", "control"},
        {"[]", "safetensors"},
        {"{\"a\":", "JSON"},
    };
    weir_error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const weir_status status = parse(cases[i].header, strlen(cases[i].header), 16, &error);
        assert_true(status == WEIR_DAMAGED || status == WEIR_UNSUPPORTED);
        assert_refused(status, status, &error, cases[i].words);
    }
    const char *good = TENSOR("\"F32\"", "[2,2]", "[0,16]");
    must(parse(good, strlen(good), 16, &error), &error);
    must(parse("{}", 2, 0, &error), &error);
    static const uint64_t claimed[] = {0, 1, 1000, UINT32_MAX, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof claimed / sizeof claimed[0]; i++)
        assert_refused(parse(good, claimed[i], 16, &error), WEIR_DAMAGED, &error, "file");
}

static void cut_and_flipped_files(void **state) {
    (void)state;
    weir_error error;
    for (size_t size = 1; size < weights_size; size += 1 + size / 7) {
        scratch_write("model.safetensors", weights, size);
        assert_refused(convert(NULL, &error), WEIR_DAMAGED, &error, "model.safetensors");
    }
    uint8_t *copy = malloc(weights_size);
    for (size_t i = 0; i < 3000; i += 7) {
        memcpy(copy, weights, weights_size);
        copy[i] ^= (uint8_t)(1 << i % 8);
        scratch_write("model.safetensors", copy, weights_size);
        if (convert(NULL, &error) != WEIR_OK) assert_sentence(&error);
    }
    /* what no number is */
    memcpy(copy, weights, weights_size);
    copy[weights_size - 1] = 0x7f;
    copy[weights_size - 2] = 0xc0;
    scratch_write("model.safetensors", copy, weights_size);
    assert_refused(convert(NULL, &error), WEIR_NAN, &error, "cannot hold");
    free(copy);
    restore();
}

/* ---- the index ---------------------------------------------------------------------------------
 */

static void indices(void **state) {
    (void)state;
    static const struct {
        const char *map;
        weir_status status;
        const char *words;
    } cases[] = {
        {"{}", WEIR_DAMAGED, "weight_map"},
        {"{\"weight_map\":{}}", WEIR_DAMAGED, "no tensors"},
        {"{\"weight_map\":{\"a\":\"../model.safetensors\"}}", WEIR_DAMAGED, "no file's name"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", WEIR_DAMAGED, "no file's name"},
        {"{\"weight_map\":{\"a\":7}}", WEIR_DAMAGED, "no file's name"},
        {"{\"weight_map\":{\"a\":\"none.safetensors\"}}", WEIR_IO, "none.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\"}}", WEIR_DAMAGED, "in none of its files"},
        {"{\"weight_map\":{\"model.norm.weight\":\"one.safetensors\",\"lm_head.weight\":"
         "\"two.safetensors\"}}",
         WEIR_DAMAGED, "two files"},
    };
    weir_error error;
    unlink(scratch_path("model.safetensors"));
    refused(WEIR_IO, "model.safetensors.index.json");
    scratch_text("pytorch_model.bin", "");
    refused(WEIR_UNSUPPORTED, "pickles");
    unlink(scratch_path("pytorch_model.bin"));
    scratch_write("one.safetensors", weights, weights_size);
    scratch_write("two.safetensors", weights, weights_size);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_text("model.safetensors.index.json", cases[i].map);
        refused(cases[i].status, cases[i].words);
    }
    scratch_text("model.safetensors.index.json",
                 "{\"weight_map\":{\"lm_head.weight\":\"one.safetensors\"}}");
    must(convert(NULL, &error), &error);
    unlink(scratch_path("model.safetensors.index.json"));
    restore();
}

/* ---- tokenizers --------------------------------------------------------------------------------
 */

#define BPE(vocab, merges)                                                                         \
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":" vocab     \
    ",\"merges\":" merges "}}"

static void tokenizers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        weir_status status;
        const char *words;
    } cases[] = {
        {"{}", WEIR_DAMAGED, "no model"},
        {"{\"model\":{\"type\":\"Words\"}}", WEIR_UNSUPPORTED, "Words"},
        {BPE("[]", "[]"), WEIR_DAMAGED, "vocab"},
        {BPE("{\"a\":-1}", "[]"), WEIR_DAMAGED, "token -1"},
        {BPE("{\"a\":96}", "[]"), WEIR_DAMAGED, "token 96"},
        {BPE("{\"a\":1e15}", "[]"), WEIR_DAMAGED, "has token"},
        {BPE("{\"a\":0,\"b\":0}", "[]"), WEIR_DAMAGED, "same id"},
        {BPE("{\"a\":\"0\"}", "[]"), WEIR_DAMAGED, "no id"},
        {BPE("{\"a\":0}", "{}"), WEIR_DAMAGED, "merges"},
        {BPE("{\"a\":0}", "[\"a\"]"), WEIR_DAMAGED, "no pair"},
        {BPE("{\"a\":0}", "[[\"a\"]]"), WEIR_DAMAGED, "no pair"},
        {BPE("{\"a\":0}", "[[\"a b\",\"c\"]]"), WEIR_DAMAGED, "space"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
         "{\"type\":\"Odd\"}]},\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
         WEIR_UNSUPPORTED, "--pre"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", WEIR_DAMAGED, "score"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}", WEIR_DAMAGED, "no list"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"a?\"},\"model\":"
         "{\"type\":\"Unigram\",\"vocab\":[]}}",
         WEIR_DAMAGED, "base64"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", WEIR_DAMAGED, "BERT"},
        {"{\"added_tokens\":[{\"content\":\"x\"}],\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
         "\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
         WEIR_DAMAGED, "no id"},
        {"{\"added_tokens\":[{\"id\":3}],\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
         "\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
         WEIR_DAMAGED, "no content"},
        {"{", WEIR_DAMAGED, "JSON"},
    };
    weir_error error;
    const weir_convert_options options = weir_convert_options_default();
    assert_refused(convert(&options, &error), WEIR_IO, &error, "--no-vocab");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_text("tokenizer.json", cases[i].text);
        assert_refused(convert(&options, &error), cases[i].status, &error, cases[i].words);
    }
    unlink(scratch_path("tokenizer.json"));
    /* protocol buffers: no field, an endless varint, a length beyond the end, a group, a bad type
     */
    static const struct {
        const char *bytes;
        size_t size;
    } buffers[] = {{"hello", 5},
                   {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11},
                   {"\x0a\x7f", 2},
                   {"\x0b", 1},
                   {"\x0a\x02\x18\x09", 4},
                   {"\x1a\x02\x12\xff", 4},
                   {"\x12\x02\x18\x03\x0a\x03\x0a\x01x", 9}};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        scratch_write("tokenizer.model", buffers[i].bytes, buffers[i].size);
        const weir_status status = convert(&options, &error);
        assert_true(status == WEIR_DAMAGED || status == WEIR_UNSUPPORTED);
        assert_sentence(&error);
    }
    unlink(scratch_path("tokenizer.model"));
}

/* ---- the machine -------------------------------------------------------------------------------
 */

static bool stop(void *context, int64_t done, int64_t total) {
    assert_true(done >= 0 && done <= total);
    return ++*(int *)context < 3;
}

static void full_disk_no_memory_and_cancelled(void **state) {
    (void)state;
    weir_error error;
    failing_allocator memory;
    int calls = 0;
    weir_convert_options options = weir_convert_options_default();
    options.no_vocab = true;
    options.type = "q8_0";
    assert_refused(convert(&options, &error), WEIR_USAGE, &error, "quantize");
    options.type = "f32";
    scratch_disk_holds(100000);
    assert_refused(convert(&options, &error), WEIR_IO, &error, "out.gguf");
    scratch_disk_holds(0);
    options.progress = stop;
    options.progress_context = &calls;
    assert_int_equal(convert(&options, &error), WEIR_CANCELLED);
    options.progress = NULL;
    weir_status status = WEIR_MEMORY;
    for (int64_t n = 1; status != WEIR_OK; n++) {
        failing_allocator_init(&memory);
        memory.fail_at = n;
        options.allocator = &memory.allocator;
        status = convert(&options, &error);
        if (status != WEIR_OK) assert_refused(status, WEIR_MEMORY, &error, "memory");
        assert_true(failing_allocator_clean(&memory));
        assert_in_range(n, 1, 2000);
    }
}

static int set_up(void **state) {
    char path[600];
    weir_error error;
    wr_map map;
    const char *root = getenv("WEIR_ROOT");
    if (scratch_make(state) != 0) return -1;
    snprintf(here, sizeof here, "%s", scratch_folder);
    snprintf(out, sizeof out, "%s", scratch_path("out.gguf"));
    snprintf(path, sizeof path, "%s/tests/golden/families/llama/config.json", root ? root : ".");
    if (wr_map_open(path, &map, &error) != WEIR_OK || map.size >= sizeof config) return -1;
    memcpy(config, map.data, map.size);
    wr_map_close(&map);
    snprintf(path, sizeof path, "%s/tests/golden/families/llama/model.safetensors",
             root ? root : ".");
    if (wr_map_open(path, &map, &error) != WEIR_OK || map.size > sizeof weights) return -1;
    memcpy(weights, map.data, map.size);
    weights_size = map.size;
    wr_map_close(&map);
    restore();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations),
        cmocka_unit_test(headers),
        cmocka_unit_test(cut_and_flipped_files),
        cmocka_unit_test(indices),
        cmocka_unit_test(tokenizers),
        cmocka_unit_test(full_disk_no_memory_and_cancelled),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_remove);
}
