/*
 * A small vocabulary made from a seed, as the bytes of a GGUF file, and a plain copy of it that a
 * naive model can search. Header only: the fuzz targets use it too.
 */
#ifndef VOCAB_SAMPLE_H
#define VOCAB_SAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "text/vocab.h"

#define SAMPLE_MARK "\xE2\x96\x81"
#define SAMPLE_TOKENS 768
#define SAMPLE_PIECE 32 /* bytes of the longest piece */

typedef struct sample_token {
    char text[SAMPLE_PIECE + 1];
    size_t size;
    float score;
    int32_t type;
} sample_token;

typedef struct sample_vocab {
    const char *model; /* tokenizer.ggml.model */
    int32_t count;
    bool space_prefix;
    sample_token tokens[SAMPLE_TOKENS];
} sample_vocab;

/* What a sample has besides its characters and merged pieces. */
enum { SAMPLE_BYTES = 1, SAMPLE_INNER_MARKS = 2, SAMPLE_USER_DEFINED = 4, SAMPLE_NO_PREFIX = 8 };

static inline int32_t sample_add(sample_vocab *v, const char *text, size_t size, float score,
                                 int32_t type) {
    sample_token *token = &v->tokens[v->count];
    memcpy(token->text, text, size);
    token->size = size;
    token->score = score;
    token->type = type;
    return v->count++;
}

static inline bool sample_has_inner_mark(const char *text, size_t size) {
    for (size_t i = 1; i + 3 <= size; i++)
        if (memcmp(text + i, SAMPLE_MARK, 3) == 0 &&
            !(i >= 3 && memcmp(text + i - 3, SAMPLE_MARK, 3) == 0))
            return true;
    return false;
}

static inline int32_t sample_find(const sample_vocab *v, const char *text, size_t size) {
    for (int32_t i = 0; i < v->count; i++)
        if (v->tokens[i].size == size && memcmp(v->tokens[i].text, text, size) == 0) return i;
    return -1;
}

static inline void sample_add_basics(sample_vocab *v, int options) {
    static const char *const characters[] = {
        SAMPLE_MARK,       "a", "b", "c", "<", ">", "u", "\n", "\xC3\xA9", "\xE6\xBC\xA2",
        "\xF0\x9F\x98\x80"};
    sample_add(v, "<unk>", 5, 0, WR_TOKEN_UNKNOWN);
    sample_add(v, "<s>", 3, 0, WR_TOKEN_CONTROL);
    sample_add(v, "</s>", 4, 0, WR_TOKEN_CONTROL);
    for (int byte = 0; byte < 256 && (options & SAMPLE_BYTES); byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        sample_add(v, text, 6, 0, WR_TOKEN_BYTE);
    }
    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++)
        sample_add(v, characters[i], strlen(characters[i]), -1000, WR_TOKEN_NORMAL);
    if (!(options & SAMPLE_USER_DEFINED)) return;
    static const char *const user[] = {"<u>", "<u>>", "<ucab",        "   ",
                                       "ab<", "\n\n", "c\xE6\xBC\xA2"};
    for (size_t i = 0; i < sizeof user / sizeof user[0]; i++)
        sample_add(v, user[i], strlen(user[i]), 0, WR_TOKEN_USER_DEFINED);
}

/* Fill `v`: pieces are pairs of earlier ones, their scores from a small set so that there are ties.
 */
static inline void sample_make(sample_vocab *v, uint64_t seed, int options, int32_t merges) {
    memset(v, 0, sizeof *v);
    v->model = "llama";
    v->space_prefix = !(options & SAMPLE_NO_PREFIX);
    int32_t first = options & SAMPLE_BYTES ? 259 : 3;
    sample_add_basics(v, options);
    for (uint64_t n = 0; merges > 0 && n < 20000 && v->count < SAMPLE_TOKENS; n++) {
        uint32_t random[4];
        char text[2 * SAMPLE_PIECE];
        wr_random_block(seed, 1, n, random);
        uint32_t range = (uint32_t)(v->count - first);
        if (random[3] % 2 == 0) range = n % 3 ? 5 : 16; /* often short ones: merges that compete */
        if (range > (uint32_t)(v->count - first)) range = (uint32_t)(v->count - first);
        const sample_token *a = &v->tokens[(uint32_t)first + random[0] % range];
        const sample_token *b = &v->tokens[(uint32_t)first + random[1] % range];
        size_t size = a->size + b->size;
        if (a->type != WR_TOKEN_NORMAL || b->type != WR_TOKEN_NORMAL || size > SAMPLE_PIECE)
            continue;
        memcpy(text, a->text, a->size);
        memcpy(text + a->size, b->text, b->size);
        if (sample_find(v, text, size) >= 0) continue;
        if (!(options & SAMPLE_INNER_MARKS) && sample_has_inner_mark(text, size)) continue;
        sample_add(v, text, size, -(float)(random[2] % 24), WR_TOKEN_NORMAL);
        merges--;
    }
}

static inline void sample_text(wr_writer *out, const char *text, size_t size) {
    wr_write_u64(out, size);
    wr_write_bytes(out, text, size);
}

static inline void sample_entry(wr_writer *out, const char *key, wr_gguf_type type) {
    sample_text(out, key, strlen(key));
    wr_write_u32(out, type);
}

static inline void sample_items(wr_writer *out, const char *key, wr_gguf_type type,
                                uint64_t count) {
    sample_entry(out, key, WR_GGUF_ARRAY);
    wr_write_u32(out, type);
    wr_write_u64(out, count);
}

/* The bytes of a file that holds nothing but this vocabulary. */
static inline void sample_write(const sample_vocab *v, wr_writer *out) {
    wr_write_bytes(out, "GGUF", 4);
    wr_write_u32(out, 3);
    wr_write_u64(out, 0);
    wr_write_u64(out, 6);
    sample_entry(out, "general.architecture", WR_GGUF_STRING);
    sample_text(out, "llama", 5);
    sample_entry(out, "tokenizer.ggml.model", WR_GGUF_STRING);
    sample_text(out, v->model, strlen(v->model));
    sample_items(out, "tokenizer.ggml.tokens", WR_GGUF_STRING, (uint64_t)v->count);
    for (int32_t i = 0; i < v->count; i++) sample_text(out, v->tokens[i].text, v->tokens[i].size);
    sample_items(out, "tokenizer.ggml.scores", WR_GGUF_F32, (uint64_t)v->count);
    for (int32_t i = 0; i < v->count; i++) wr_write_f32(out, v->tokens[i].score);
    sample_items(out, "tokenizer.ggml.token_type", WR_GGUF_I32, (uint64_t)v->count);
    for (int32_t i = 0; i < v->count; i++) wr_write_u32(out, (uint32_t)v->tokens[i].type);
    sample_entry(out, "tokenizer.ggml.add_space_prefix", WR_GGUF_BOOL);
    wr_write_u8(out, v->space_prefix);
}

/* A vocabulary that is open, with what it stands on. */
typedef struct sample_open {
    wr_writer bytes;
    wr_gguf *gguf;
    wr_vocab *vocab;
} sample_open;

static inline weir_status sample_vocab_open(const sample_vocab *v, sample_open *out,
                                            weir_error *error) {
    memset(out, 0, sizeof *out);
    sample_write(v, &out->bytes);
    weir_status status =
        wr_gguf_parse("sample", out->bytes.data, out->bytes.size, NULL, &out->gguf, error);
    return status == WEIR_OK ? wr_vocab_open(out->gguf, NULL, &out->vocab, error) : status;
}

static inline void sample_vocab_close(sample_open *open) {
    wr_vocab_close(open->vocab);
    wr_gguf_close(open->gguf);
    wr_writer_release(&open->bytes);
}

#endif
