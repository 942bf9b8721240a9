/*
 * A kind of tokenizer: the way from text to tokens and back that tokenizer.ggml.model names.
 *
 * The streaming tokenizer (tokenizer.c) is the same for all kinds: it finds tokens that stand
 * literally in the text, and hands the text between them to the kind as runs. A run that is still
 * open may go on: the kind then encodes only what no later byte can change, and is given the rest
 * again with more behind it.
 */
#ifndef WR_KIND_H
#define WR_KIND_H

#include "base/arena.h"
#include "text/vocab.h"

#define WR_RUN_BYTES 4096 /* no run is longer */
/* No call of encode gives more tokens: each byte of a full run at most three (a space without a
 * piece), and the prefix. */
#define WR_RUN_TOKENS (3 * WR_RUN_BYTES + 3)

/* What stands behind a run. */
typedef enum wr_run_end {
    WR_RUN_OPEN, /* nobody knows yet */
    WR_RUN_CUT,  /* something that is no part of it: a literal, or more text after a fixed cut */
    WR_RUN_OVER  /* nothing: the text ends here */
} wr_run_end;

typedef struct wr_run {
    const uint8_t *text;
    size_t size; /* 1 ... WR_RUN_BYTES; whole characters, and bytes that are none */
    wr_run_end end;
} wr_run;

/* What one run of a text leaves for the next. */
typedef struct wr_carried {
    bool begun;  /* text came already: there is no more space prefix */
    float score; /* of all text so far, where a kind adds up scores */
} wr_carried;

typedef struct wr_tokenizer_kind {
    const char *model; /* as tokenizer.ggml.model has it */
    const char *name;  /* in the field's words */

    /* What holds where the file does not say; ids are -1 where there is no default. */
    bool adds_bos, adds_eos, adds_space;
    int32_t bos, eos, unknown;

    /* Check what the kind needs of the file, and prepare the vocabulary: vocab->own is the kind's,
     * and release gives it back (NULL where there is none), also when prepare fails. */
    weir_status (*prepare)(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error);
    void (*release)(wr_vocab *vocab);
    /* One sentence when text cannot be encoded with this vocabulary. */
    weir_status (*usable)(const wr_vocab *vocab, weir_error *error);
    /* Scratch of one tokenizer; NULL while measuring. */
    void *(*layout)(wr_arena *arena, const wr_vocab *vocab);
    /* Encode the beginning of a run; returns the count of tokens, at most WR_RUN_TOKENS, and the
     * bytes that they stand for in *taken. How an open run is divided must depend on its text
     * alone: a border that was found stays one whatever comes. A run that is not open may also be
     * taken in parts, each of at least a byte. */
    size_t (*encode)(void *scratch, const wr_vocab *vocab, const wr_run *run, wr_carried *carried,
                     int32_t *tokens, size_t *taken);
    /* The bytes that a token in range means as text (control tokens are the caller's matter);
     * returns their count, at most max(wr_vocab_longest, 4). */
    size_t (*decode)(const wr_vocab *vocab, int32_t token, char *out);
} wr_tokenizer_kind;

/* The kind that a file calls `model`; NULL when weir has never heard of it. */
const wr_tokenizer_kind *wr_tokenizer_kind_find(wr_string model);

extern const wr_tokenizer_kind wr_kind_sentencepiece;
extern const wr_tokenizer_kind wr_kind_byte_level;
extern const wr_tokenizer_kind wr_kind_unigram;
extern const wr_tokenizer_kind wr_kind_wordpiece;

#endif
