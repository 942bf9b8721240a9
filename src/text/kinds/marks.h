/*
 * What the kinds of SentencePiece share: spaces written as U+2581, bytes as pieces like <0x0A>.
 */
#ifndef WR_MARKS_H
#define WR_MARKS_H

#include <string.h>

#include "text/vocab_inside.h"

#define WR_SPACE_MARK "\xE2\x96\x81" /* U+2581 */

static inline bool wr_is_mark(const void *text) { return memcmp(text, WR_SPACE_MARK, 3) == 0; }

/* Find the byte tokens, and whether no ordinary piece has a mark after anything else than a mark
 * (cuts_at_spaces): then no token crosses the border before a run of spaces. */
weir_status wr_marks_prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error);
/* Every text has tokens: byte tokens or an unknown one. */
weir_status wr_marks_usable(const wr_vocab *vocab, weir_error *error);
/* A kind's decode: marks are spaces again, a byte token is its byte. */
size_t wr_marks_decode(const wr_vocab *vocab, int32_t token, char *out);

#endif
