/*
 * The kinds of tokenizers.
 *
 * To add one: implement prepare, usable, layout, encode and decode in a file of its own
 * (sentencepiece.c is the example), export the struct in kind.h and list it here.
 */
#include "text/kinds/kind.h"

static const wr_tokenizer_kind *const kinds[] = {
    &wr_kind_sentencepiece,
    &wr_kind_byte_level,
    &wr_kind_unigram,
    &wr_kind_wordpiece,
};

const wr_tokenizer_kind *wr_tokenizer_kind_find(wr_string model) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (wr_string_is(model, kinds[i]->model)) return kinds[i];
    return NULL;
}
