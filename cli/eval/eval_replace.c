/*
 * --replace-first: is it what the first tokens mean, or where they stand? The StreamingLLM paper's
 * table 1: copies of one token (a newline) in the place of the sinks, and the rest as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval_runs.h"

#define SPACE_PREFIX "\xe2\x96\x81" /* what SentencePiece puts before a text, maybe as a token */

static bool is_piece(const weir_model *model, int32_t token, const char *name, size_t size) {
    char piece[256];
    size_t length = weir_model_token_piece(model, token, piece, sizeof piece);
    return length == size && memcmp(piece, name, size) == 0;
}

/* The only token of a text, or -1. */
static int32_t only_token(const weir_model *model, const char *text, size_t size) {
    byte_buffer buffer = {.data = strdup(text), .size = size};
    token_list tokens = {0};
    weir_error ignored;
    int32_t found = -1;
    if (buffer.data != NULL &&
        input_tokenize(model, &buffer, false, &tokens, &ignored) == WEIR_OK) {
        bool prefix = tokens.count == 2 && is_piece(model, tokens.items[0], SPACE_PREFIX, 3);
        found = tokens.count == 1 + prefix ? tokens.items[prefix] : -1;
    }
    tokens_free(&tokens);
    bytes_free(&buffer);
    return found;
}

/* A piece as the vocabulary writes it ("\\n", "<s>", "<0x0A>"), or else a text. */
static int32_t token_by_text(const weir_model *model, const char *text) {
    size_t size = strlen(text);
    int32_t pieces = (int32_t)weir_model_get_info(model)->pieces;
    if (size == 0 || size > 255) {
        return -1;
    }
    for (int32_t i = 0; i < pieces; i++) {
        if (is_piece(model, i, text, size)) {
            return i;
        }
    }
    int32_t found = only_token(model, text, size);
    bool unknown = found >= 0 && (is_piece(model, found, "<unk>", 5) || /* no token has it */
                                  is_piece(model, found, "[UNK]", 5));
    return unknown ? -1 : found;
}

weir_status eval_find_token(const weir_model *model, const char *text, int32_t *token,
                            weir_error *error) {
    int64_t vocabulary = weir_model_get_info(model)->vocabulary;
    if (text[0] != '\0' && text[strspn(text, "0123456789")] == '\0') {
        errno = 0;
        long long number = strtoll(text, NULL, 10);
        if (errno != 0 || number >= vocabulary) {
            return weir_error_set(error, WEIR_USAGE,
                                  "--replace-first: there is no token %.40s: the model has 0 to "
                                  "%lld",
                                  text, (long long)vocabulary - 1);
        }
        *token = (int32_t)number;
        return WEIR_OK;
    }
    *token = token_by_text(model, strcmp(text, "newline") == 0 ? "\n" : text);
    if (*token < 0 || *token >= vocabulary) {
        return weir_error_set(error, WEIR_USAGE,
                              "--replace-first: \"%.40s\" is not one token of this model: give its "
                              "number (`weir tokenize` tells it), or newline",
                              text);
    }
    return WEIR_OK;
}
