/*
 * Text to tokens, however the text arrives.
 *
 * The tokens of a stream are those of its whole text: feed() holds back the tail that later bytes
 * could still change, flush() (end of input, a message border, a request to generate) ends it
 * (STREAMING.md, "However it arrives"). A held tail that reaches WR_HELD_BYTES is cut at a fixed
 * offset of the text since the last certain cut, never where an arrival happened to end.
 * All memory comes from the arena once; feeding allocates nothing.
 *
 * Literals (user-defined tokens, and control tokens where they are wanted) are found from left to
 * right, the longest first. The space prefix stands once, before the first text that is no literal.
 * Bytes that are not UTF-8 are kept as they are, each by itself: byte tokens where the vocabulary
 * has them, so that the bytes of the tokens are the bytes of the text, else the unknown token.
 */
#ifndef WR_TOKENIZER_H
#define WR_TOKENIZER_H

#include "base/arena.h"
#include "text/vocab.h"

#define WR_HELD_BYTES 4096

typedef struct wr_tokenizer wr_tokenizer;

/* Receives tokens in order; a failure stops the feeding and is passed on. Nothing is held then: the
 * text of that call whose tokens were not accepted is lost. */
typedef weir_status (*wr_token_emit)(void *context, const int32_t *tokens, int64_t count,
                                     weir_error *error);

/* `vocab` must be usable. NULL while measuring. */
wr_tokenizer *wr_tokenizer_layout(wr_arena *arena, const wr_vocab *vocab);

/* Begin a new text: nothing held, and the next bytes are the beginning of a stream. `prefix`:
 * whether this text begins with the space prefix (where the vocabulary wants one). BOS and EOS are
 * the caller's. */
void wr_tokenizer_reset(wr_tokenizer *tokenizer, bool prefix);

/* `parse_special`: control tokens written in the text become control tokens (default in weir:
 * never). User-defined tokens are always matched. A change of parse_special flushes first. */
weir_status wr_tokenizer_feed(wr_tokenizer *tokenizer, const char *text, size_t size,
                              bool parse_special, wr_token_emit emit, void *context,
                              weir_error *error);
weir_status wr_tokenizer_flush(wr_tokenizer *tokenizer, wr_token_emit emit, void *context,
                               weir_error *error);
/* Bytes held back: at most WR_HELD_BYTES, and what may still become a literal (a saved state that
 * is not ours may hold more until the next call). */
size_t wr_tokenizer_held(const wr_tokenizer *tokenizer);

/* The same state in another tokenizer of the same vocabulary; and to bytes and back. */
void wr_tokenizer_copy(wr_tokenizer *to, const wr_tokenizer *from);
void wr_tokenizer_save(const wr_tokenizer *tokenizer, wr_writer *writer);
weir_status wr_tokenizer_load(wr_tokenizer *tokenizer, wr_reader *reader, weir_error *error);

#endif
