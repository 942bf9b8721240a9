/*
 * Pre-tokenizers: how a byte-level vocabulary wants text divided before it merges anything, by the
 * names that GGUF gives them (tokenizer.ggml.pre). One table of rows.
 */
#ifndef WR_PRETOKENIZER_H
#define WR_PRETOKENIZER_H

#include "base/bytes.h"

#define WR_SPLIT_STAGES 6

typedef struct wr_pretokenizer {
    const char *names; /* separated by spaces */
    /* Applied one after another, each to every piece that the ones before it left: what matches is
     * a piece, and what lies between matches is one. Unused ones are NULL. */
    const char *patterns[WR_SPLIT_STAGES];
    bool ignores_merges;  /* a piece that is a token as a whole is that token */
    bool old_punctuation; /* what is punctuation says the reference (unicode.h), not PCRE2 */
    bool adds_bos;        /* where the file does not say */
    bool adds_eos;
} wr_pretokenizer;

/* NULL when weir does not know the name. */
const wr_pretokenizer *wr_pretokenizer_find(wr_string name);
/* The rows, one after another from 0; NULL after the last. */
const wr_pretokenizer *wr_pretokenizer_at(size_t i);

#endif
