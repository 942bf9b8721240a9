/*
 * Any bytes as text: the tokens must not depend on how it arrives, and must mean the text again.
 *
 *   byte 0   which generated vocabulary: its options, and one of four seeds
 *   byte 1   1: parse_special, 2: the rest is a saved state; above, how often the text is repeated
 *   byte 2   how the text is divided
 *   rest     the text
 */
#include <stdint.h>
#include <stdlib.h>

#include "../tests/support/token_list.h"
#include "../tests/support/vocab_sample.h"
#include "text/detokenizer.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_BYTES 40000

typedef struct bench {
    sample_open open;
    wr_arena arenas[3];
    wr_tokenizer *tokenizers[3];
    char *text; /* what a token means */
} bench;

static void require(bool truth) {
    if (!truth) abort();
}

/* Vocabularies are made once and kept. */
static bench *choose(uint8_t which) {
    static bench *benches[64];
    static sample_vocab sample;
    which %= 64;
    if (benches[which]) return benches[which];
    bench *b = calloc(1, sizeof *b);
    require(b != NULL);
    sample_make(&sample, which / 16, which % 16, 50 + which * 5);
    require(sample_vocab_open(&sample, &b->open, NULL) == WEIR_OK);
    for (int i = 0; i < 3; i++)
        b->tokenizers[i] = token_list_tokenizer(&b->arenas[i], b->open.vocab);
    b->text = malloc(wr_detokenizer_room(b->open.vocab));
    require(b->text != NULL);
    return benches[which] = b;
}

static void feed(wr_tokenizer *t, const char *text, size_t size, bool special, token_list *out) {
    require(wr_tokenizer_feed(t, text, size, special, token_list_emit, out, NULL) == WEIR_OK);
}

static void flush(wr_tokenizer *t, token_list *out) {
    require(wr_tokenizer_flush(t, token_list_emit, out, NULL) == WEIR_OK);
    require(wr_tokenizer_held(t) == 0);
}

/* In pieces, and somewhere on the way through bytes into another tokenizer. */
static void encode_divided(bench *b, const char *text, size_t size, bool special, uint8_t division,
                           token_list *out) {
    wr_tokenizer *t = b->tokenizers[1];
    wr_tokenizer_reset(t, true);
    size_t largest = division % 4 == 0 ? 1 : division % 4 == 1 ? 9 : division % 4 == 2 ? 300 : 9000;
    size_t save_at = size * (division / 4) / 64;
    for (size_t at = 0; at < size;) {
        uint32_t random[4];
        wr_random_block(division, 9, at, random);
        size_t piece = 1 + random[0] % largest;
        if (piece > size - at) piece = size - at;
        feed(t, text + at, piece, special, out);
        if (at <= save_at && at + piece > save_at) {
            wr_writer writer = {0};
            wr_tokenizer_save(t, &writer);
            wr_reader reader = {.data = writer.data, .size = writer.size};
            require(wr_tokenizer_load(b->tokenizers[2], &reader, NULL) == WEIR_OK);
            wr_writer_release(&writer);
            wr_tokenizer_copy(t, b->tokenizers[2]);
        }
        at += piece;
    }
    flush(t, out);
}

/* The text with its marks as spaces and what is no UTF-8 as U+FFFD. */
static size_t expected_text(const char *text, size_t size, char *out) {
    const uint8_t *bytes = (const uint8_t *)text;
    size_t written = 0;
    for (size_t at = 0; at < size;) {
        int length = wr_utf8_length(bytes + at, size - at);
        if (length == 3 && memcmp(bytes + at, SAMPLE_MARK, 3) == 0) {
            out[written++] = ' ';
        } else if (length > 0) {
            memcpy(out + written, bytes + at, (size_t)length);
            written += (size_t)length;
        } else {
            memcpy(out + written, WR_REPLACEMENT, 3);
            written += 3;
        }
        at += length == 0 ? size - at : (size_t)abs(length);
    }
    return written;
}

static void require_text(bench *b, const token_list *tokens, const char *text, size_t size) {
    static char want[3 * MOST_BYTES + 64];
    size_t want_size = expected_text(text, size, want), at = 0;
    wr_detokenizer state = {0};
    for (int64_t i = 0; i <= tokens->count; i++) {
        size_t more = i < tokens->count
                          ? wr_detokenize(b->open.vocab, &state, tokens->ids[i], false, b->text)
                          : wr_detokenize_flush(&state, b->text);
        require(at + more <= want_size && memcmp(want + at, b->text, more) == 0);
        at += more;
    }
    require(at == want_size);
}

static void load_state(bench *b, const uint8_t *data, size_t size) {
    wr_reader reader = {.data = data, .size = size};
    token_list list = {0};
    if (wr_tokenizer_load(b->tokenizers[0], &reader, NULL) == WEIR_OK) {
        feed(b->tokenizers[0], "a <u> b", 7, false, &list);
        flush(b->tokenizers[0], &list);
    }
    token_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char text[MOST_BYTES];
    if (size < 3) return 0;
    bench *b = choose(data[0]);
    bool special = data[1] & 1;
    size_t repeat = 1 + (size_t)(data[1] >> 2) * 8;
    uint8_t division = data[2];
    if (data[1] & 2) {
        load_state(b, data + 3, size - 3);
        return 0;
    }
    size_t filled = 0;
    for (; repeat > 0 && filled + size - 3 <= MOST_BYTES; repeat--) {
        memcpy(text + filled, data + 3, size - 3);
        filled += size - 3;
    }
    token_list whole = {0}, divided = {0};
    wr_tokenizer_reset(b->tokenizers[0], true);
    feed(b->tokenizers[0], text, filled, special, &whole);
    flush(b->tokenizers[0], &whole);
    encode_divided(b, text, filled, special, division, &divided);
    require(token_list_equal(&whole, &divided));
    if (!special && wr_vocab_has_bytes(b->open.vocab)) require_text(b, &whole, text, filled);
    token_list_free(&whole);
    token_list_free(&divided);
    return 0;
}
