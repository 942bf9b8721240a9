/*
 * Any bytes as text, for the small vocabularies of every kind (tests/golden/tokenizers): the tokens
 * must not depend on how it arrives, and byte-level ones must be its bytes again.
 *
 *   byte 0   which vocabulary
 *   byte 1   1: parse_special; above, how often the text is repeated
 *   byte 2   how the text is divided
 *   rest     the text
 */
#include <stdint.h>
#include <stdlib.h>

#include "../tests/support/small_vocabulary.h"
#include "../tests/support/token_list.h"
#include "base/random.h"
#include "text/vocab_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_BYTES 20000

typedef struct bench {
    small_vocabulary small;
    wr_arena arena;
    wr_tokenizer *tokenizer;
} bench;

static void require(bool truth) {
    if (!truth) abort();
}

/* Vocabularies are opened once and kept. */
static bench *choose(uint8_t which) {
    static bench benches[SMALL_VOCABULARIES];
    bench *b = &benches[which % SMALL_VOCABULARIES];
    if (b->tokenizer) return b;
    b->small = small_open(small_vocabularies[which % SMALL_VOCABULARIES]);
    b->tokenizer = token_list_tokenizer(&b->arena, b->small.vocab);
    return b;
}

static void encode(bench *b, const char *text, size_t size, bool special, size_t largest,
                   token_list *out) {
    wr_tokenizer_reset(b->tokenizer, true);
    for (size_t at = 0; at < size;) {
        uint32_t random[4];
        wr_random_block(largest, 9, at, random);
        size_t piece = 1 + random[0] % largest;
        if (piece > size - at || largest > MOST_BYTES) piece = size - at;
        require(wr_tokenizer_feed(b->tokenizer, text + at, piece, special, token_list_emit, out,
                                  NULL) == WEIR_OK);
        at += piece;
    }
    require(wr_tokenizer_flush(b->tokenizer, token_list_emit, out, NULL) == WEIR_OK);
}

static void require_bytes(const wr_vocab *vocab, const token_list *tokens, const char *text,
                          size_t size) {
    char *out = malloc(wr_vocab_longest(vocab) + 1);
    size_t at = 0;
    require(out != NULL);
    for (int64_t i = 0; i < tokens->count; i++) {
        size_t more = vocab->kind->decode(vocab, tokens->ids[i], out);
        require(at + more <= size && memcmp(text + at, out, more) == 0);
        at += more;
    }
    require(at == size);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char text[MOST_BYTES];
    static const size_t largest[] = {1, 9, 300, 9000};
    if (size < 4) return 0;
    bench *b = choose(data[0]);
    const wr_vocab *vocab = b->small.vocab;
    bool special = data[1] & 1;
    size_t repeat = 1 + (size_t)(data[1] >> 1), filled = 0;
    for (; repeat > 0 && filled + size - 3 <= MOST_BYTES; repeat--) {
        memcpy(text + filled, data + 3, size - 3);
        filled += size - 3;
    }
    token_list whole = {0}, divided = {0};
    encode(b, text, filled, special, MOST_BYTES + 1, &whole);
    encode(b, text, filled, special, largest[data[2] % 4], &divided);
    require(token_list_equal(&whole, &divided));
    if (vocab->kind == &wr_kind_byte_level && !vocab->adds_space)
        require_bytes(vocab, &whole, text, filled);
    token_list_free(&whole);
    token_list_free(&divided);
    return 0;
}
