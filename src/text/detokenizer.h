/*
 * Tokens to text, a piece at a time, without ever splitting a UTF-8 character: bytes of an
 * unfinished character are held (at most 3). Bytes that can never become a character come out as
 * U+FFFD, one per maximal ill-formed part (Unicode, "substitution of maximal subparts").
 */
#ifndef WR_DETOKENIZER_H
#define WR_DETOKENIZER_H

#include "text/vocab.h"

typedef struct wr_detokenizer {
    uint8_t held[4];
    uint8_t held_size;
    bool
        begun; /* ordinary text came: the space prefix, which stood before it, is dropped already */
} wr_detokenizer;

/* Enough room for any one token: wr_vocab_longest() * 3 + 12 bytes. */
size_t wr_detokenizer_room(const wr_vocab *vocab);

/* Write the text that `token` completes to `out` (at least wr_detokenizer_room bytes) and return
 * its bytes. Control tokens have no text unless `show_control`. A token out of range has none. An
 * unknown token is U+FFFD: a character that the vocabulary could not keep. */
size_t wr_detokenize(const wr_vocab *vocab, wr_detokenizer *state, int32_t token, bool show_control,
                     char *out);
/* The text ends here: an unfinished character comes out as U+FFFD (at most 3 bytes). */
size_t wr_detokenize_flush(wr_detokenizer *state, char *out);

#endif
