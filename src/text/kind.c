/*
 * The kinds of tokenizers, and the facts that hold where a file does not say.
 *
 * To add one: implement prepare, usable, layout, border, encode and decode in a file of its own
 * (sentencepiece.c is the example), export the struct in kind.h and list it here in place of its
 * row of facts.
 */
#include "text/kind.h"

static const wr_tokenizer_kind byte_level = {
    .model = "gpt2", .name = "byte-level BPE", .bos = 11, .eos = 11, .unknown = -1};

static const wr_tokenizer_kind word_piece = {
    .model = "bert", .name = "WordPiece", .adds_bos = true, .bos = 101, .eos = -1, .unknown = 100};

static const wr_tokenizer_kind unigram = {.model = "t5",
                                          .name = "SentencePiece unigram",
                                          .adds_eos = true,
                                          .adds_space = true,
                                          .bos = -1,
                                          .eos = 1,
                                          .unknown = 2};

static const wr_tokenizer_kind *const kinds[] = {
    &wr_kind_sentencepiece,
    &byte_level,
    &word_piece,
    &unigram,
};

const wr_tokenizer_kind *wr_tokenizer_kind_find(wr_string model) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (wr_string_is(model, kinds[i]->model)) return kinds[i];
    return NULL;
}
