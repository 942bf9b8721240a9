/*
 * A vocabulary: which token is which text, and the way from text to tokens that its file names.
 * Immutable once open, shared by every stream of a model.
 *
 * Strings of pieces are borrowed from the GGUF mapping, which must outlive the vocabulary.
 */
#ifndef WR_VOCAB_H
#define WR_VOCAB_H

#include "file/gguf.h"

/* As tokenizer.ggml.token_type numbers them. */
typedef enum wr_token_type {
    WR_TOKEN_NORMAL = 1,
    WR_TOKEN_UNKNOWN = 2,
    WR_TOKEN_CONTROL = 3,
    WR_TOKEN_USER_DEFINED = 4,
    WR_TOKEN_UNUSED = 5,
    WR_TOKEN_BYTE = 6
} wr_token_type;

typedef struct wr_vocab wr_vocab;

/* Read tokenizer.ggml.*. A file without a tokenizer gives a vocabulary of size 0 with kind "none";
 * one whose kind weir cannot apply opens too, and wr_vocab_usable says so when text comes. */
weir_status wr_vocab_open(const wr_gguf *gguf, const weir_allocator *allocator, wr_vocab **out,
                          weir_error *error);
void wr_vocab_close(wr_vocab *vocab);

/* WEIR_OK, or WEIR_UNSUPPORTED and one sentence naming the tokenizer and what still works. */
weir_status wr_vocab_usable(const wr_vocab *vocab, weir_error *error);

/* What kind it is, in the field's words: "SentencePiece BPE", "byte-level BPE", "WordPiece",
 * "SentencePiece unigram", "none", or "unknown (NAME)" */
const char *wr_vocab_kind(const wr_vocab *vocab);
int32_t wr_vocab_size(const wr_vocab *vocab); /* pieces in the file; a model may pad its logits */
int32_t wr_vocab_bos(const wr_vocab *vocab);  /* -1 when there is none; so for the next two */
int32_t wr_vocab_eos(const wr_vocab *vocab);
int32_t wr_vocab_unknown(const wr_vocab *vocab);
bool wr_vocab_adds_bos(const wr_vocab *vocab);
bool wr_vocab_adds_eos(const wr_vocab *vocab);
bool wr_vocab_adds_space(const wr_vocab *vocab); /* the space prefix, once per stream */
bool wr_vocab_ends_text(const wr_vocab *vocab, int32_t token); /* EOS, EOT or EOM */
/* The piece as the file has it, and its type. Tokens out of range give an empty piece. */
wr_string wr_vocab_piece(const wr_vocab *vocab, int32_t token);
wr_token_type wr_vocab_type(const wr_vocab *vocab, int32_t token);
/* The token whose piece is exactly these bytes, or -1. Of equal pieces the last one, but text
 * before control tokens. */
int32_t wr_vocab_find(const wr_vocab *vocab, const char *text, size_t size);
/* Whether text cannot be encoded without loss: no byte fallback (STREAMING.md). For `info`. */
bool wr_vocab_has_bytes(const wr_vocab *vocab);
/* No token's text is longer than this many bytes. */
size_t wr_vocab_longest(const wr_vocab *vocab);

#endif
