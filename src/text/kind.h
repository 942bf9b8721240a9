/*
 * A kind of tokenizer: the way from text to tokens and back that tokenizer.ggml.model names.
 *
 * The streaming tokenizer (tokenizer.c) is the same for all kinds: it finds tokens that stand
 * literally in the text, divides the rest into segments at certain cuts, and asks the kind where
 * those cuts are and which tokens a segment has. A kind that weir cannot apply yet has only its
 * facts: such a model still opens for everything that needs no text.
 */
#ifndef WR_KIND_H
#define WR_KIND_H

#include "base/arena.h"
#include "text/vocab.h"

#define WR_SEGMENT_BYTES 4096 /* no segment of text is longer */
/* No segment has more tokens: each byte at most three (a space without a piece), and the prefix. */
#define WR_SEGMENT_TOKENS (3 * WR_SEGMENT_BYTES + 3)

typedef struct wr_tokenizer_kind {
    const char *model; /* as tokenizer.ggml.model has it */
    const char *name;  /* in the field's words */

    /* What holds where the file does not say; ids are -1 where there is no default. */
    bool adds_bos, adds_eos, adds_space;
    int32_t bos, eos, unknown;

    /* The rest is NULL where weir cannot apply the kind yet. */

    /* Check what the kind needs of the file, and prepare the vocabulary. */
    weir_status (*prepare)(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error);
    /* One sentence when text cannot be encoded with this vocabulary. */
    weir_status (*usable)(const wr_vocab *vocab, weir_error *error);
    /* Scratch of one tokenizer; NULL while measuring. */
    void *(*layout)(wr_arena *arena);
    /* Whether no token can reach across the border before the character of `size` bytes at
     * segment[at], at > 0, whatever comes later. */
    bool (*border)(const wr_vocab *vocab, const uint8_t *segment, size_t at, size_t size);
    /* The tokens of a segment of 1 ... WR_SEGMENT_BYTES bytes, the space prefix before it if
     * `prefix`; returns their count, at most 3 * size + 3. */
    size_t (*encode)(void *scratch, const wr_vocab *vocab, const uint8_t *segment, size_t size,
                     bool prefix, int32_t *tokens);
    /* The bytes that a token in range means as text (control tokens are the caller's matter);
     * returns their count, at most max(wr_vocab_longest, 4). */
    size_t (*decode)(const wr_vocab *vocab, int32_t token, char *out);
} wr_tokenizer_kind;

/* The kind that a file calls `model`; NULL when weir has never heard of it. */
const wr_tokenizer_kind *wr_tokenizer_kind_find(wr_string model);

extern const wr_tokenizer_kind wr_kind_sentencepiece;

#endif
