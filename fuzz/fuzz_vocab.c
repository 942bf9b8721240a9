/*
 * Any bytes as a GGUF file with a vocabulary: when it opens and is usable, a text of many kinds of
 * characters has the same tokens whole and in pieces, all in range, and they have a text.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../tests/support/token_list.h"
#include "text/detokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "The weir's  level,\n\n wouldn't CHANGE: 12345 \t\xC2\xA0 caf\xC3\xA9 cafe\xCC\x81 "
    "\xEF\xAC\x81 "
    "\xEF\xBC\xA1\xEF\xBD\x82 \xE6\xBC\xA2\xE5\xAD\x97\xE3\x81\x8B\xE3\x80\x82 \xED\x95\x9C "
    "\xF0\x9F\x98\x80\xF0\x9F\x87\xAC\xF0\x9F\x87\xA7 \xE2\x96\x81<s>[UNK]<|end|> \xFF\x80\xF0\x9F "
    "\xEF\xB7\xBA aaaaaaaabbbbbbbbababababab \x01\x7F\xC2\x85 \xE2\x80\xA8 it'S //\r\n/ ";

static void require(bool truth) {
    if (!truth) abort();
}

static void encode(wr_tokenizer *t, size_t step, token_list *out) {
    wr_tokenizer_reset(t, true);
    for (size_t at = 0; at < sizeof text; at += step)
        require(wr_tokenizer_feed(t, text + at, sizeof text - at < step ? sizeof text - at : step,
                                  false, token_list_emit, out, NULL) == WEIR_OK);
    require(wr_tokenizer_flush(t, token_list_emit, out, NULL) == WEIR_OK);
}

static void visit(const wr_vocab *vocab) {
    token_list whole = {0}, divided = {0};
    wr_arena arena;
    wr_tokenizer *tokenizer = token_list_tokenizer(&arena, vocab);
    encode(tokenizer, sizeof text, &whole);
    encode(tokenizer, 7, &divided);
    require(token_list_equal(&whole, &divided));
    wr_detokenizer state = {0};
    char *out = malloc(wr_detokenizer_room(vocab));
    require(out != NULL);
    for (int64_t i = 0; i < whole.count; i++) {
        require(whole.ids[i] >= 0 && whole.ids[i] < wr_vocab_size(vocab));
        require(wr_detokenize(vocab, &state, whole.ids[i], i % 2, out) <=
                wr_detokenizer_room(vocab));
    }
    wr_detokenize_flush(&state, out);
    free(out);
    wr_arena_release(&arena, NULL);
    token_list_free(&whole);
    token_list_free(&divided);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wr_gguf *gguf;
    wr_vocab *vocab = NULL;
    weir_error error = {0};
    if (wr_gguf_parse("fuzz", data, size, NULL, &gguf, &error) != WEIR_OK) return 0;
    if (wr_vocab_open(gguf, NULL, &vocab, &error) != WEIR_OK) {
        require(vocab == NULL && error.message[0] != '\0' && !strchr(error.message, '\n'));
    } else if (wr_vocab_usable(vocab, &error) != WEIR_OK) {
        require(error.message[0] != '\0' && !strchr(error.message, '\n'));
    } else {
        visit(vocab);
    }
    wr_vocab_close(vocab);
    wr_gguf_close(gguf);
    return 0;
}
