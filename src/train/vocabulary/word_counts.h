/*
 * The different words of texts, and how often each occurs.
 *
 * A word is what the tokenizer never looks beyond: it begins with a run of spaces (the first one of
 * a document has one in front), and reaches to the next. It may hold line ends. What is longer than
 * WR_HELD_BYTES is cut where the tokenizer cuts it.
 */
#ifndef WR_WORD_COUNTS_H
#define WR_WORD_COUNTS_H

#include "base/bytes.h"

typedef struct wr_word {
    const char *text; /* borrowed from the texts; without the first space */
    uint32_t size;
    bool marked; /* a space stands in front */
    int64_t count;
} wr_word;

typedef struct wr_words {
    const weir_allocator *allocator;
    wr_writer list;  /* of wr_word, in the order of their first places */
    uint32_t *slots; /* open addressing; a slot holds the number of a word + 1, or 0 */
    size_t slot_count;
} wr_words;

void wr_words_init(wr_words *words, const weir_allocator *allocator);
void wr_words_deinit(wr_words *words);

/* Count the words of a document, which must outlive `words`. */
weir_status wr_words_add(wr_words *words, wr_string document, weir_error *error);

size_t wr_words_count(const wr_words *words);
const wr_word *wr_words_at(const wr_words *words, size_t i);

#endif
