/* The small vocabularies of tests/golden/tokenizers, by name. Header only. */
#ifndef SMALL_VOCABULARY_H
#define SMALL_VOCABULARY_H

#include <stdio.h>
#include <stdlib.h>

#include "text/vocab.h"

static const char *const small_vocabularies[] = {
    "gpt-2",          "gpt-2-prefix", "falcon",           "llama-bpe",
    "qwen2",          "gpt-4o",       "deepseek-llm",     "deepseek-v3",
    "bpe-fallback",   "unigram",      "unigram-fallback", "wordpiece-uncased",
    "wordpiece-cased"};

#define SMALL_VOCABULARIES (sizeof small_vocabularies / sizeof small_vocabularies[0])

typedef struct small_vocabulary {
    wr_gguf *gguf;
    wr_vocab *vocab;
} small_vocabulary;

static inline const char *small_path(const char *name, const char *ending, char path[1024]) {
    const char *root = getenv("WEIR_ROOT");
    snprintf(path, 1024, "%s/tests/golden/tokenizers/%s.%s", root ? root : ".", name, ending);
    return path;
}

static inline small_vocabulary small_open(const char *name) {
    small_vocabulary small = {0};
    weir_error error = {0};
    char path[1024];
    if (wr_gguf_open(small_path(name, "gguf", path), NULL, &small.gguf, &error) != WEIR_OK ||
        wr_vocab_open(small.gguf, NULL, &small.vocab, &error) != WEIR_OK ||
        wr_vocab_usable(small.vocab, &error) != WEIR_OK) {
        fprintf(stderr, "%s: %s\n", path, error.message);
        abort();
    }
    return small;
}

static inline void small_close(small_vocabulary *small) {
    wr_vocab_close(small->vocab);
    wr_gguf_close(small->gguf);
}

#endif
