/*
 * Tokens back to text, one at a time, without ever splitting a character.
 *
 *     weir_detokenizer state = {0};                  at the beginning of a stream
 *     char *out = malloc(weir_detokenize_room(model));
 *     size_t size = weir_detokenize(model, &state, token, out);
 *
 * weir_stream_generate hands over text by itself; this is for tokens that came another way.
 */
#ifndef WEIR_DETOKENIZE_H
#define WEIR_DETOKENIZE_H

#include "weir/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_detokenizer {
    uint8_t held[4]; /* bytes of a character that is not whole yet */
    uint8_t held_size;
    bool begun; /* text came before: the space prefix of a vocabulary is not shown again */
} weir_detokenizer;

/* The most bytes that one call writes. */
WEIR_API size_t weir_detokenize_room(const weir_model *model);

/* Write the text that `token` completes, maybe none, and return its bytes (not NUL-terminated).
 * Control tokens and tokens outside the vocabulary have no text; bytes that can never become a
 * character come out as U+FFFD. */
WEIR_API size_t weir_detokenize(const weir_model *model, weir_detokenizer *state, int32_t token,
                                char *out);

/* The text ends: an unfinished character comes out as U+FFFD. */
WEIR_API size_t weir_detokenize_end(weir_detokenizer *state, char *out);

#ifdef __cplusplus
}
#endif
#endif
