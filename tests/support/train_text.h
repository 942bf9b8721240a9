/* Texts and a vocabulary for the tests of training data. Header only: include it after cmocka. */
#ifndef TRAIN_TEXT_H
#define TRAIN_TEXT_H

#include "support/scratch.h"
#include "support/token_list.h"
#include "support/vocab_sample.h"
#include "train/data/data.h"

/* A GGUF file with the vocabulary of a seed. */
static inline const char *train_vocabulary(const char *name, uint64_t seed, int options,
                                           int32_t merges) {
    static sample_vocab sample;
    wr_writer bytes = {0};
    sample_make(&sample, seed, options, merges);
    sample_write(&sample, &bytes);
    const char *path = scratch_write(name, bytes.data, bytes.size);
    wr_writer_release(&bytes);
    return path;
}

/* The tokens of documents, each by itself, EOS after each. */
static inline void train_tokens(token_list *list, const char *vocabulary,
                                const char *const *documents, size_t count) {
    wr_gguf *gguf;
    wr_vocab *vocab;
    assert_int_equal(wr_gguf_open(vocabulary, NULL, &gguf, NULL), WEIR_OK);
    assert_int_equal(wr_vocab_open(gguf, NULL, &vocab, NULL), WEIR_OK);
    for (size_t i = 0; i < count; i++) {
        token_list_encode(list, vocab, documents[i], strlen(documents[i]), false);
        token_list_add(list, wr_vocab_eos(vocab));
    }
    wr_vocab_close(vocab);
    wr_gguf_close(gguf);
}

/* "[000000][000001]...": every stretch of 15 characters tells where it stands. */
static inline const char *train_counter(const char *name, int count) {
    char *text = malloc((size_t)count * 8 + 1);
    for (int i = 0; i < count; i++) snprintf(text + 8 * i, 9, "[%06d]", i);
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

static inline wr_data *train_open(const wr_data_options *options) {
    wr_data *data;
    weir_error error;
    if (wr_data_open(options, NULL, &data, &error) != WEIR_OK) fail_msg("%s", error.message);
    return data;
}

#endif
