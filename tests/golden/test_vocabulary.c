/* Vocabularies that SentencePiece trained on the same texts: the same pieces in the same order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "support/scratch.h"
#include "text/vocab.h"
#include "train/vocabulary/vocabulary.h"

static const char *source_path(const char *name, char path[1024]) {
    const char *root = getenv("WEIR_ROOT");
    snprintf(path, 1024, "%s/%s", root ? root : ".", name);
    return path;
}

static void compare(const char *path, const json_t *pieces) {
    wr_gguf *gguf;
    wr_vocab *vocab;
    assert_int_equal(wr_gguf_open(path, NULL, &gguf, NULL), WEIR_OK);
    assert_int_equal(wr_vocab_open(gguf, NULL, &vocab, NULL), WEIR_OK);
    assert_int_equal(wr_vocab_size(vocab), json_array_size(pieces));
    for (int32_t i = 0; i < wr_vocab_size(vocab); i++) {
        wr_string piece = wr_vocab_piece(vocab, i);
        const char *want = json_string_value(json_array_get(pieces, (size_t)i));
        if (!wr_string_is(piece, want))
            fail_msg("piece %d is \"%.*s\", not \"%s\"", i, (int)piece.size, piece.data, want);
    }
    wr_vocab_close(vocab);
    wr_gguf_close(gguf);
}

static void pieces_are_those_of_sentencepiece(void **state) {
    (void)state;
    char path[1024];
    json_t *cases = json_load_file(source_path("tests/golden/vocabulary.json", path), 0, NULL);
    assert_true(json_array_size(cases) == 5);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *file = json_object_get(one, "file");
        const char *text =
            file ? source_path(json_string_value(file), path)
                 : scratch_text("text", json_string_value(json_object_get(one, "text")));
        wr_vocabulary_options options = {.paths = &text,
                                         .count = 1,
                                         .size = json_integer_value(json_object_get(one, "size")),
                                         .coverage =
                                             json_number_value(json_object_get(one, "coverage"))};
        weir_error error;
        if (wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, &error) != WEIR_OK)
            fail_msg("%s", error.message);
        compare(scratch_path("out.gguf"), json_object_get(one, "pieces"));
    }
    json_decref(cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces_are_those_of_sentencepiece)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
