/* Tokens that other programs computed: llama.cpp's vectors, a text that SentencePiece and llama.cpp
 * agree on, and SentencePiece's own tokens of the model that ships. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>

#include "support/token_list.h"
#include "text/detokenizer.h"

static const char *shared_path(const char *name, char path[1024]) {
    const char *shared = getenv("WEIR_SHARED"), *root = getenv("WEIR_ROOT");
    if (shared)
        snprintf(path, 1024, "%s/%s", shared, name);
    else
        snprintf(path, 1024, "%s/../shared/%s", root ? root : ".", name);
    return path;
}

static const char *source_path(const char *name, char path[1024]) {
    const char *root = getenv("WEIR_ROOT");
    snprintf(path, 1024, "%s/%s", root ? root : ".", name);
    return path;
}

static int skipped;

/* A test whose file is not here is skipped by the file's name. */
static FILE *open_or_skip(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) return file;
    print_message("skipped: %s is not here\n", path);
    skipped++;
    skip();
    return NULL;
}

/* The whole file, NUL-terminated. */
static char *slurp(const char *path, size_t *size) {
    FILE *file = open_or_skip(path);
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    do {
        capacity = 2 * capacity + 4096;
        text = realloc(text, capacity + 1);
        assert_non_null(text);
        *size += fread(text + *size, 1, capacity - *size, file);
    } while (*size == capacity);
    fclose(file);
    text[*size] = '\0';
    return text;
}

typedef struct opened {
    wr_gguf *gguf;
    wr_vocab *vocab;
} opened;

static opened open_vocab(const char *path) {
    opened o = {0};
    weir_error error;
    fclose(open_or_skip(path));
    if (wr_gguf_open(path, NULL, &o.gguf, &error) != WEIR_OK ||
        wr_vocab_open(o.gguf, NULL, &o.vocab, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return o;
}

static void close_vocab(opened *o) {
    wr_vocab_close(o->vocab);
    wr_gguf_close(o->gguf);
}

/* The expected tokens: numbers after spaces, one line. */
static char *read_line(char *line, token_list *list) {
    while (*line && *line != '\n') {
        token_list_add(list, (int32_t)strtol(line, &line, 10));
        while (*line == ' ') line++;
    }
    return *line ? line + 1 : line;
}

static void check_vectors(const char *name, const char *kind) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[1024], beside[1100];
    size_t size, ignored;
    opened o = open_vocab(shared_path(name, path));
    assert_string_equal(wr_vocab_kind(o.vocab), kind);
    snprintf(beside, sizeof beside, "%s.inp", path);
    char *input = slurp(beside, &size);
    snprintf(beside, sizeof beside, "%s.out", path);
    char *output = slurp(beside, &ignored);
    char *text = input, *line = output;
    int count = 0;
    while (text < input + size) {
        char *end = strstr(text, mark);
        if (!end) break;
        token_list want = {0}, have = {0};
        line = read_line(line, &want);
        token_list_encode(&have, o.vocab, text, (size_t)(end - text), false);
        if (!token_list_equal(&want, &have)) fail_msg("vector %d differs: %s", count, text);
        token_list_free(&want);
        token_list_free(&have);
        text = end + sizeof mark - 1;
        count++;
    }
    assert_true(count >= 40 && *line == '\0');
    free(input);
    free(output);
    close_vocab(&o);
}

static void llama_cpp_vectors(void **state) {
    (void)state;
    check_vectors("golden/tokenizers/ggml-vocab-llama-spm.gguf", "SentencePiece BPE");
}

static void llama_cpp_vectors_of_gpt_2(void **state) {
    (void)state;
    check_vectors("golden/tokenizers/ggml-vocab-gpt-2.gguf", "byte-level BPE");
}

static void llama_cpp_vectors_of_bert(void **state) {
    (void)state;
    check_vectors("golden/tokenizers/ggml-vocab-bert-bge.gguf", "WordPiece");
}

static void story_of_stories260k(void **state) {
    (void)state;
    char path[1024];
    size_t size;
    opened o = open_vocab(shared_path("data/models/stories260K.gguf", path));
    char *text = slurp(shared_path("golden/stories260K.text.txt", path), &size);
    json_t *want = json_load_file(shared_path("golden/stories260K.tokens.json", path), 0, NULL);
    assert_true(json_is_array(want));
    token_list have = {0};
    token_list_add(&have, wr_vocab_bos(o.vocab));
    token_list_encode(&have, o.vocab, text, size, false);
    assert_int_equal(have.count, 2555);
    assert_int_equal(json_array_size(want), 1501);
    for (size_t i = 0; i < json_array_size(want); i++)
        assert_int_equal(have.ids[i], json_integer_value(json_array_get(want, i)));
    wr_detokenizer state_of_text = {0};
    char out[256];
    size_t at = 0;
    for (int64_t i = 0; i < have.count; i++) {
        size_t written = wr_detokenize(o.vocab, &state_of_text, have.ids[i], false, out);
        assert_true(at + written <= size && memcmp(text + at, out, written) == 0);
        at += written;
    }
    assert_int_equal(at, size);
    token_list_free(&have);
    json_decref(want);
    free(text);
    close_vocab(&o);
}

/* No byte fallback here: what the 102 characters do not cover is the unknown token. */
static void characters_of_babyllama(void **state) {
    (void)state;
    char path[1024];
    opened o = open_vocab(shared_path("data/models/babyllama-105.gguf", path));
    assert_int_equal(wr_vocab_usable(o.vocab, NULL), WEIR_OK);
    assert_false(wr_vocab_has_bytes(o.vocab));
    token_list have = {0};
    token_list_encode(&have, o.vocab, "eat \xE6\xBC\xA2\xFF", 8, false);
    static const int32_t want[] = {3, 4, 5, 6, 3, 0, 0};
    assert_int_equal(have.count, 7);
    assert_memory_equal(have.ids, want, sizeof want);
    token_list_free(&have);
    close_vocab(&o);
}

static void encoders_have_their_ends(void **state) {
    (void)state;
    char path[1024];
    opened o = open_vocab(shared_path("golden/tokenizers/ggml-vocab-bert-bge.gguf", path));
    assert_int_equal(wr_vocab_bos(o.vocab), 101); /* [CLS] and [SEP] */
    assert_int_equal(wr_vocab_eos(o.vocab), 102);
    assert_true(wr_vocab_adds_bos(o.vocab) && wr_vocab_adds_eos(o.vocab));
    assert_int_equal(wr_vocab_unknown(o.vocab), 100);
    assert_int_equal(wr_vocab_type(o.vocab, 100), WR_TOKEN_UNKNOWN);
    close_vocab(&o);
}

/* A real text on real vocabularies, in pieces. */
static void arrival_does_not_matter(void **state) {
    (void)state;
    static const char *const files[] = {
        "golden/tokenizers/ggml-vocab-llama-spm.gguf", "golden/tokenizers/ggml-vocab-gpt-2.gguf",
        "golden/tokenizers/ggml-vocab-bert-bge.gguf", "data/models/stories260K.gguf",
        "data/models/babyllama-105.gguf"};
    static const size_t pieces[] = {1, 7, 64, 4999};
    char path[1024];
    size_t size;
    char *text = slurp(shared_path("data/text/test/tinystories.txt", path), &size);
    if (size > 50000) size = 50000;
    for (size_t at = size / 2; at < size; at++) /* half of it without a certain cut */
        if (text[at] == ' ') text[at] = '_';
    for (size_t file = 0; file < sizeof files / sizeof files[0]; file++) {
        opened o = open_vocab(shared_path(files[file], path));
        token_list want = {0};
        token_list_encode(&want, o.vocab, text, size, false);
        for (size_t i = 0; i < 4; i++) {
            token_list have = {0};
            wr_arena arena;
            wr_tokenizer *tokenizer = token_list_tokenizer(&arena, o.vocab);
            for (size_t at = 0; at < size; at += pieces[i])
                wr_tokenizer_feed(tokenizer, text + at,
                                  size - at < pieces[i] ? size - at : pieces[i], false,
                                  token_list_emit, &have, NULL);
            wr_tokenizer_flush(tokenizer, token_list_emit, &have, NULL);
            assert_true(token_list_equal(&want, &have));
            wr_arena_release(&arena, NULL);
            token_list_free(&have);
        }
        token_list_free(&want);
        close_vocab(&o);
    }
    free(text);
}

static void check_case(const wr_vocab *vocab, const json_t *one) {
    const json_t *text = json_object_get(one, "text"), *want = json_object_get(one, "tokens");
    assert_true(json_is_string(text) && json_is_array(want));
    token_list have = {0};
    token_list_encode(&have, vocab, json_string_value(text), json_string_length(text), false);
    if ((size_t)have.count != json_array_size(want))
        fail_msg("%lld tokens, not %zu: %s", (long long)have.count, json_array_size(want),
                 json_string_value(text));
    for (int64_t i = 0; i < have.count; i++)
        if (have.ids[i] != json_integer_value(json_array_get(want, (size_t)i)))
            fail_msg("token %lld differs: %s", (long long)i, json_string_value(text));
    token_list_free(&have);
}

static void sentencepiece_on_weir_small(void **state) {
    (void)state;
    char path[1024];
    size_t size;
    fclose(open_or_skip(source_path("tests/golden/weir-small.tokenize.json", path)));
    opened o = open_vocab(source_path("models/weir-small.gguf", path));
    char *bytes = slurp(source_path("tests/golden/weir-small.tokenize.json", path), &size);
    json_t *cases = json_loadb(bytes, size, JSON_ALLOW_NUL, NULL);
    assert_true(json_is_array(cases) && json_array_size(cases) > 0);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(o.vocab, json_array_get(cases, i));
    json_decref(cases);
    free(bytes);
    close_vocab(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_cpp_vectors),         cmocka_unit_test(llama_cpp_vectors_of_gpt_2),
        cmocka_unit_test(llama_cpp_vectors_of_bert), cmocka_unit_test(story_of_stories260k),
        cmocka_unit_test(characters_of_babyllama),   cmocka_unit_test(encoders_have_their_ends),
        cmocka_unit_test(arrival_does_not_matter),   cmocka_unit_test(sentencepiece_on_weir_small),
    };
    int failed = cmocka_run_group_tests_name("golden tokenizers", tests, NULL, NULL);
    return failed == 0 && skipped == sizeof tests / sizeof tests[0] ? 77 : failed;
}
