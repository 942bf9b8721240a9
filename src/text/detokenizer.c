/* Tokens to text: the bytes of a token pass through a gate that opens at whole characters. */
#include "text/detokenizer.h"

#include <assert.h>
#include <string.h>

#include "text/utf8.h"
#include "text/vocab_inside.h"

size_t wr_detokenizer_room(const wr_vocab *vocab) { return vocab->longest * 3 + 12; }

/* Take one byte more. What is held always begins a character that could still become whole. */
static size_t pass(wr_detokenizer *state, uint8_t byte, char *out) {
    size_t written = 0;
    state->held[state->held_size++] = byte;
    int length = wr_utf8_length(state->held, state->held_size);
    if (length < 0 && state->held_size > 1) {
        /* All but the new byte were the maximal part; the new byte begins something of its own. */
        memcpy(out, WR_REPLACEMENT, 3);
        written = 3;
        state->held[0] = byte;
        state->held_size = 1;
        length = wr_utf8_length(state->held, 1);
    }
    if (length == 0) return written;
    if (length > 0) {
        memcpy(out + written, state->held, state->held_size);
        written += state->held_size;
    } else {
        memcpy(out + written, WR_REPLACEMENT, 3);
        written += 3;
    }
    state->held_size = 0;
    return written;
}

size_t wr_detokenize(const wr_vocab *vocab, wr_detokenizer *state, int32_t token, bool show_control,
                     char *out) {
    if (token < 0 || token >= vocab->size || !vocab->kind) return 0;
    uint8_t type = vocab->types[token];
    if (type == WR_TOKEN_CONTROL && !show_control) return 0;
    /* The token's bytes go to the end of `out`: they are overtaken only after they were read, since
     * every byte read writes three at most and the room is three times as long. */
    size_t room = wr_detokenizer_room(vocab);
    size_t size = vocab->kind->decode(vocab, token, out + room - vocab->longest);
    const uint8_t *bytes = (const uint8_t *)out + room - vocab->longest;
    assert(size <= vocab->longest);
    bool text = type != WR_TOKEN_CONTROL && type != WR_TOKEN_USER_DEFINED;
    if (text && size > 0 && !state->begun) {
        state->begun = true;
        if (vocab->adds_space && bytes[0] == ' ') {
            bytes++;
            size--;
        }
    }
    size_t written = 0;
    for (size_t i = 0; i < size; i++) written += pass(state, bytes[i], out + written);
    return written;
}

size_t wr_detokenize_flush(wr_detokenizer *state, char *out) {
    if (state->held_size == 0) return 0;
    state->held_size = 0;
    memcpy(out, WR_REPLACEMENT, 3);
    return 3;
}
