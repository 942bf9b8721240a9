/*
 * tokenize_batch VOCABULARY.gguf: the tokens of many texts, for
 * tools/reference/compare_tokenizers.py. On standard input each text is a u32 of its bytes
 * (little-endian), then the bytes; on standard output each is a line of token ids. Every text is
 * encoded whole and in pieces; if the two differ, that is the end.
 */
#include <stdio.h>

#include "base/random.h"
#include "support/token_list.h"

#define MOST_BYTES (1 << 20)

typedef struct bench {
    wr_gguf *gguf;
    wr_vocab *vocab;
    wr_arena arena;
    wr_tokenizer *tokenizer;
} bench;

static int fail(const char *what) {
    fprintf(stderr, "tokenize_batch: %s\n", what);
    return 1;
}

static void encode(bench *b, const char *text, size_t size, uint64_t seed, token_list *out) {
    out->count = 0;
    wr_tokenizer_reset(b->tokenizer, true);
    for (size_t at = 0; at < size;) {
        uint32_t random[4];
        wr_random_block(seed, 5, at, random);
        size_t piece = seed == 0 ? size : 1 + random[0] % (1 + random[1] % 16);
        if (piece > size - at) piece = size - at;
        wr_tokenizer_feed(b->tokenizer, text + at, piece, false, token_list_emit, out, NULL);
        at += piece;
    }
    wr_tokenizer_flush(b->tokenizer, token_list_emit, out, NULL);
}

static int answer(bench *b, const char *text, size_t size, uint64_t seed) {
    static token_list whole, divided;
    encode(b, text, size, 0, &whole);
    encode(b, text, size, seed, &divided);
    if (!token_list_equal(&whole, &divided)) return fail("a text in pieces has other tokens");
    for (int64_t i = 0; i < whole.count; i++) printf("%s%d", i > 0 ? " " : "", whole.ids[i]);
    putchar('\n');
    return 0;
}

static int answer_all(bench *b) {
    static char text[MOST_BYTES];
    uint8_t head[4];
    for (uint64_t seed = 1; fread(head, 1, 4, stdin) == 4; seed++) {
        size_t size =
            head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        if (size > MOST_BYTES || fread(text, 1, size, stdin) != size) return fail("a text is cut");
        if (answer(b, text, size, seed) != 0) return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    bench b = {0};
    weir_error error = {0};
    if (argc != 2) return fail("which vocabulary?");
    if (wr_gguf_open(argv[1], NULL, &b.gguf, &error) != WEIR_OK ||
        wr_vocab_open(b.gguf, NULL, &b.vocab, &error) != WEIR_OK ||
        wr_vocab_usable(b.vocab, &error) != WEIR_OK)
        return fail(error.message);
    b.tokenizer = token_list_tokenizer(&b.arena, b.vocab);
    int result = answer_all(&b);
    wr_arena_release(&b.arena, NULL);
    wr_vocab_close(b.vocab);
    wr_gguf_close(b.gguf);
    return result;
}
