/*
 * Tokenizers of every kind as Hugging Face keeps them, converted: the tokens of the packages that
 * trained them (tools/reference/hf_tokenizers.py), what is put around a text, types, the template.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "support/random_model.h"
#include "support/scratch.h"
#include "support/token_list.h"
#include "weir/convert.h"

static json_t *figures;
static char folder[512];

static void same_tokens(const token_list *ours, const json_t *theirs, const char *kind,
                        const char *text) {
    bool same = ours->count == (int64_t)json_array_size(theirs);
    for (int64_t i = 0; i < ours->count && same; i++)
        same = ours->ids[i] == json_integer_value(json_array_get(theirs, (size_t)i));
    if (!same) fail_msg("%s: other tokens of \"%s\"", kind, text);
}

/* What a stream would put around the text. */
static void check_text(const wr_vocab *vocab, const json_t *at, const char *kind) {
    const json_t *text = json_object_get(at, "text");
    token_list plain = {0}, whole = {0};
    token_list_encode(&plain, vocab, json_string_value(text), json_string_length(text), false);
    same_tokens(&plain, json_object_get(at, "tokens"), kind, json_string_value(text));
    if (wr_vocab_adds_bos(vocab)) token_list_add(&whole, wr_vocab_bos(vocab));
    for (int64_t i = 0; i < plain.count; i++) token_list_add(&whole, plain.ids[i]);
    if (wr_vocab_adds_eos(vocab)) token_list_add(&whole, wr_vocab_eos(vocab));
    same_tokens(&whole, json_object_get(at, "with_special"), kind, json_string_value(text));
    token_list_free(&plain);
    token_list_free(&whole);
}

static void check(const char *kind, const json_t *cases) {
    char source[700];
    weir_error error = {0};
    wr_gguf *gguf = NULL;
    wr_vocab *vocab = NULL;
    weir_model *model = NULL;
    wr_string template = {0};
    weir_convert_options options = weir_convert_options_default();
    options.out = scratch_path("m.gguf");
    snprintf(source, sizeof source, "%s/%s", folder, kind);
    must(weir_convert(source, &options, NULL, &error), &error);
    must(weir_model_open(options.out, NULL, &model, &error), &error);
    weir_model_close(model);
    must(wr_gguf_open(options.out, NULL, &gguf, &error), &error);
    must(wr_vocab_open(gguf, NULL, &vocab, &error), &error);
    must(wr_vocab_usable(vocab, &error), &error);
    must(wr_gguf_get_string(gguf, "tokenizer.chat_template", &template, &error), &error);
    assert_non_null(memmem(template.data, template.size, "<|im_start|>", 12));
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_text(vocab, json_array_get(cases, i), kind);
    /* the embedding of some has more rows than there are tokens */
    const int32_t last = wr_vocab_size(vocab) - 1;
    if (strcmp(kind, "byte-level") == 0 || strcmp(kind, "sentencepiece") == 0)
        assert_int_equal(wr_vocab_type(vocab, last), WR_TOKEN_UNUSED);
    if (strcmp(kind, "byte-level") == 0)
        assert_int_equal(wr_vocab_type(vocab, wr_vocab_find(vocab, "<|im_end|>", 10)),
                         WR_TOKEN_CONTROL);
    wr_vocab_close(vocab);
    wr_gguf_close(gguf);
}

static void tokens_are_those_of_the_originals(void **state) {
    (void)state;
    const char *kind;
    json_t *cases;
    assert_int_equal(json_object_size(figures), 5);
    json_object_foreach(figures, kind, cases) check(kind, cases);
}

static int set_up(void **state) {
    char path[600];
    const char *root = getenv("WEIR_ROOT");
    snprintf(folder, sizeof folder, "%s/tests/golden/hf_tokenizers", root != NULL ? root : ".");
    snprintf(path, sizeof path, "%s.json", folder);
    figures = json_load_file(path, 0, NULL);
    return figures != NULL ? scratch_make(state) : -1;
}

static int tear_down(void **state) {
    json_decref(figures);
    return scratch_remove(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_are_those_of_the_originals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
