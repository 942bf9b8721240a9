/* Marks, byte tokens, and the way back to text. */
#include "text/kinds/marks.h"

#include "text/utf8.h"

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* The byte that a piece like <0x0A> stands for, or -1. */
static int byte_of(wr_string piece) {
    if (piece.size != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>') return -1;
    int high = hex_digit(piece.data[3]), low = hex_digit(piece.data[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* A byte token's text is its byte; of any other piece its marks are spaces again. An unknown token
 * stands for a character that nobody knows any more. */
size_t wr_marks_decode(const wr_vocab *vocab, int32_t token, char *out) {
    wr_string piece = wr_piece_of(vocab, token);
    switch (vocab->types[token]) {
    case WR_TOKEN_BYTE:
        out[0] = (char)byte_of(piece);
        return 1;
    case WR_TOKEN_UNKNOWN:
        memcpy(out, WR_REPLACEMENT, 3);
        return 3;
    case WR_TOKEN_CONTROL: /* a name, not text */
        memcpy(out, piece.data, piece.size);
        return piece.size;
    default:
        break;
    }
    size_t size = 0;
    for (size_t i = 0; i < piece.size;) {
        bool mark = piece.size - i >= 3 && wr_is_mark(piece.data + i);
        out[size++] = mark ? ' ' : piece.data[i];
        i += mark ? 3 : 1;
    }
    return size;
}

static bool has_inner_mark(wr_string piece) {
    const uint8_t *bytes = (const uint8_t *)piece.data;
    for (size_t i = 1; i + 3 <= piece.size; i++)
        if (wr_is_mark(bytes + i) && !(i >= 3 && wr_is_mark(bytes + i - 3))) return true;
    return false;
}

weir_status wr_marks_prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    vocab->cuts_at_spaces = true;
    for (int32_t token = 0; token < vocab->size; token++) {
        wr_string piece = wr_piece_of(vocab, token);
        int byte = byte_of(piece);
        if (!vocab->typed && byte >= 0) vocab->types[token] = WR_TOKEN_BYTE;
        if (vocab->types[token] == WR_TOKEN_BYTE) {
            if (byte < 0)
                return weir_error_set(error, WEIR_DAMAGED,
                                      "%s: key tokenizer.ggml.token_type: token %d is a byte, "
                                      "but its piece does not name one",
                                      wr_gguf_path(gguf), (int)token);
            vocab->byte_tokens[byte] = token;
        } else if (wr_is_plain(vocab, token) && has_inner_mark(piece)) {
            vocab->cuts_at_spaces = false;
        }
    }
    vocab->has_bytes = true;
    for (int byte = 0; byte < 256; byte++)
        if (vocab->byte_tokens[byte] < 0) vocab->has_bytes = false;
    return WEIR_OK;
}

weir_status wr_marks_usable(const wr_vocab *vocab, weir_error *error) {
    if (vocab->has_bytes || vocab->unknown >= 0) return WEIR_OK;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "the vocabulary has neither all byte tokens nor an unknown token, so "
                          "not every text can be encoded; info, plan and logits still work");
}
