/*
 * Byte-level BPE as GPT-2 introduced it: text is cut into pieces by a pre-tokenizer's patterns, a
 * piece's bytes are the first symbols, and the pair that was merged first in training merges first.
 *
 * In the file each byte of a piece is a character: itself where it is printable, else U+0100 and
 * on. User-defined and control tokens are written as they are.
 *
 * Any bytes are a text: a byte that is no UTF-8 is, to the patterns, a control character (neither
 * letter, digit, punctuation nor space), and merges as itself, so the tokens' bytes are the text's.
 * Where a vocabulary lacks a byte, that byte is the unknown token, or without one, U+FFFD.
 */
#include <stdio.h>
#include <string.h>

#include "text/kinds/merger.h"
#include "text/kinds/merges.h"
#include "text/kinds/splitter.h"
#include "text/kinds/unicode.h"
#include "text/utf8.h"
#include "text/vocab_inside.h"

#define STANDS_FOR_A_BYTE 0x01 /* U+0001, in what the patterns see */

typedef struct byte_level {
    const wr_pretokenizer *row; /* NULL: weir does not know its name */
    char name[64];
    wr_splitter *splitter;
    wr_merges merges;
    /* Bytes and the characters that stand for them: 0 ... 255 in order, and back. */
    char characters[256][2];
    uint8_t sizes[256];   /* 1 or 2 bytes */
    int16_t bytes[0x144]; /* by code point; -1 where it stands for none */
} byte_level;

typedef struct scratch {
    wr_splitter_scratch *split;
    char seen[WR_SPLITTER_BYTES];    /* the run as the patterns see it */
    uint8_t text[WR_SPLITTER_BYTES]; /* the run itself, the space prefix before it */
    char piece[2 * WR_SPLITTER_BYTES];
    wr_merger merger;
} scratch;

static void *layout(wr_arena *arena, const wr_vocab *vocab) {
    (void)vocab;
    scratch *s = wr_arena_take(arena, 1, sizeof *s);
    wr_splitter_scratch *split = wr_splitter_layout(arena);
    if (s) s->split = split;
    return s;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The piece as the file writes it is a token as a whole. */
static int32_t whole_token(scratch *s, const wr_vocab *vocab, size_t begin, size_t end) {
    const byte_level *own = vocab->own;
    size_t size = 0;
    for (size_t i = begin; i < end; i++) {
        memcpy(s->piece + size, own->characters[s->text[i]], 2);
        size += own->sizes[s->text[i]];
    }
    int32_t token = wr_vocab_find(vocab, s->piece, size);
    return token >= 0 && wr_is_plain(vocab, token) ? token : -1;
}

static int32_t pair_of(const void *context, const wr_symbol *left, const wr_symbol *right,
                       float *rank) {
    const wr_merges *merges = context;
    int32_t merge = wr_merges_find(merges, left->token, right->token);
    *rank = (float)merge;
    return merge < 0 ? -1 : merges->merged[merge];
}

/* A byte that the vocabulary lacks, after the merging that it took no part in. */
static size_t write_missing(const wr_vocab *vocab, int32_t *tokens) {
    if (vocab->unknown >= 0) {
        tokens[0] = vocab->unknown;
        return 1;
    }
    for (int i = 0; i < 3; i++) tokens[i] = vocab->byte_tokens[(uint8_t)WR_REPLACEMENT[i]];
    return 3;
}

static size_t encode_piece(scratch *s, const wr_vocab *vocab, size_t begin, size_t end,
                           int32_t *tokens) {
    const byte_level *own = vocab->own;
    if (own->row->ignores_merges && (tokens[0] = whole_token(s, vocab, begin, end)) >= 0) return 1;
    wr_merger_begin(&s->merger, pair_of, &own->merges);
    for (size_t i = begin; i < end; i++)
        wr_merger_add(&s->merger, (int32_t)i, 1, vocab->byte_tokens[s->text[i]]);
    wr_merger_run(&s->merger);
    size_t written = 0;
    for (int32_t i = 0; i >= 0; i = s->merger.symbols[i].next) {
        int32_t token = s->merger.symbols[i].token;
        if (token < 0)
            written += write_missing(vocab, tokens + written);
        else
            tokens[written++] = token;
    }
    return written;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* What the patterns see of a character that is not ASCII (length <= 0: a byte that is no UTF-8),
 * where it is not itself: controls, or ASCII punctuation, as many as it has bytes. */
static int stand_in(const byte_level *own, const uint8_t *text, int length) {
    if (length <= 0) return STANDS_FOR_A_BYTE;
    if (!own->row->old_punctuation) return -1;
    uint32_t code = wr_utf8_code(text, length);
    if (!wr_unicode_differs(code)) return -1;
    return wr_unicode_class(code) == WR_CHARACTER_PUNCTUATION ? '!' : STANDS_FOR_A_BYTE;
}

/* The run and what the patterns see of it; returns the bytes of the space prefix: one before the
 * beginning of a text, where it is wanted and there is none yet. */
static size_t prepare_run(scratch *s, const wr_vocab *vocab, const wr_run *run, bool begun) {
    size_t prefix = vocab->adds_space && !begun && run->text[0] != ' ';
    s->text[0] = ' ';
    memcpy(s->text + prefix, run->text, run->size);
    memcpy(s->seen, s->text, prefix + run->size);
    for (size_t i = 0, size; i < run->size; i += size) {
        size = 1;
        if (run->text[i] < 0x80) continue;
        int length = wr_utf8_length(run->text + i, run->size - i);
        if (length > 0) size = (size_t)length;
        int seen = stand_in(vocab->own, run->text + i, length);
        if (seen >= 0) memset(s->seen + prefix + i, seen, size);
    }
    return prefix;
}

static size_t encode(void *of_tokenizer, const wr_vocab *vocab, const wr_run *run,
                     wr_carried *carried, int32_t *tokens, size_t *taken) {
    scratch *s = of_tokenizer;
    const byte_level *own = vocab->own;
    size_t prefix = prepare_run(s, vocab, run, carried->begun);
    const uint32_t *ends;
    int32_t pieces = wr_splitter_run(own->splitter, s->split, s->seen, prefix + run->size,
                                     run->end == WR_RUN_OPEN, &ends);
    size_t written = 0, begin = 0;
    *taken = 0;
    if (pieces == 0 || ends[pieces - 1] == prefix) return 0; /* a prefix does not go alone */
    for (int32_t i = 0; i < pieces; begin = ends[i++])
        written += encode_piece(s, vocab, begin, ends[i], tokens + written);
    carried->begun = true;
    *taken = begin - prefix;
    return written;
}

/* ---- back to text ---------------------------------------------------------------------------- */

/* The byte that the character at text[0] stands for, or -1; its bytes in *length. */
static int byte_of(const byte_level *own, const uint8_t *text, size_t size, size_t *length) {
    int bytes = wr_utf8_length(text, size);
    *length = bytes > 0 ? (size_t)bytes : 1;
    if (bytes <= 0) return -1;
    uint32_t code = wr_utf8_code(text, bytes);
    return code < sizeof own->bytes / sizeof own->bytes[0] ? own->bytes[code] : -1;
}

static size_t decode(const wr_vocab *vocab, int32_t token, char *out) {
    wr_string piece = wr_piece_of(vocab, token);
    uint8_t type = vocab->types[token];
    if (type == WR_TOKEN_UNKNOWN) {
        memcpy(out, WR_REPLACEMENT, 3);
        return 3;
    }
    if (type == WR_TOKEN_CONTROL || type == WR_TOKEN_USER_DEFINED) {
        memcpy(out, piece.data, piece.size);
        return piece.size;
    }
    size_t size = 0;
    for (size_t i = 0, length; i < piece.size; i += length) {
        const uint8_t *at = (const uint8_t *)piece.data + i;
        int byte = byte_of(vocab->own, at, piece.size - i, &length);
        if (byte >= 0) {
            out[size++] = (char)byte;
            continue;
        }
        memcpy(out + size, at, length);
        size += length;
    }
    return size;
}

/* ---- what the file must give ----------------------------------------------------------------- */

static bool is_printable(int byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

static void map_bytes(byte_level *own) {
    memset(own->bytes, 0xFF, sizeof own->bytes); /* all -1 */
    int next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        int code = is_printable(byte) ? byte : next++;
        own->bytes[code] = (int16_t)byte;
        own->sizes[byte] = code < 0x80 ? 1 : 2;
        own->characters[byte][0] = (char)(code < 0x80 ? code : 0xC0 | code >> 6);
        own->characters[byte][1] = (char)(code < 0x80 ? 0 : 0x80 | (code & 0x3F));
    }
}

static void find_bytes(wr_vocab *vocab) {
    const byte_level *own = vocab->own;
    vocab->has_bytes = true;
    for (int byte = 0; byte < 256; byte++) {
        int32_t token = wr_vocab_find(vocab, own->characters[byte], own->sizes[byte]);
        bool plain = token >= 0 && wr_is_plain(vocab, token);
        vocab->byte_tokens[byte] = plain ? token : -1;
        vocab->has_bytes = vocab->has_bytes && plain;
    }
}

static weir_status read_row(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    byte_level *own = vocab->own;
    wr_string name = {"default", 7};
    weir_status status = wr_gguf_get_string(gguf, "tokenizer.ggml.pre", &name, error);
    if (status != WEIR_OK) return status;
    wr_vocab_printable(own->name, name);
    own->row = wr_pretokenizer_find(name);
    if (!own->row) return WEIR_OK; /* usable says so, when text comes */
    if (!wr_gguf_find(gguf, "tokenizer.ggml.add_bos_token"))
        vocab->adds_bos = own->row->adds_bos && vocab->bos >= 0;
    if (!wr_gguf_find(gguf, "tokenizer.ggml.add_eos_token") &&
        !wr_gguf_find(gguf, "tokenizer.ggml.add_sep_token"))
        vocab->adds_eos = own->row->adds_eos && vocab->eos >= 0;
    return wr_splitter_open(own->row, vocab->allocator, &own->splitter, error);
}

static weir_status prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    byte_level *own = wr_allocate_array(vocab->allocator, 1, sizeof *own);
    if (!own) return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    vocab->own = own;
    map_bytes(own);
    find_bytes(vocab);
    weir_status status = read_row(vocab, gguf, error);
    return status == WEIR_OK ? wr_merges_read(&own->merges, vocab, gguf, error) : status;
}

static void release(wr_vocab *vocab) {
    byte_level *own = vocab->own;
    wr_splitter_close(own->splitter);
    wr_merges_release(&own->merges);
    wr_release(vocab->allocator, own, sizeof *own);
}

static weir_status usable(const wr_vocab *vocab, weir_error *error) {
    const byte_level *own = vocab->own;
    if (!own->row)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "the pre-tokenizer \"%s\" is none that weir knows, so text cannot be "
                              "used; info, plan and logits (with token ids) still work",
                              own->name);
    if (own->merges.count == 0)
        return weir_error_set(
            error, WEIR_UNSUPPORTED,
            "the file has no tokenizer.ggml.merges, so text cannot be used; info, "
            "plan and logits (with token ids) still work");
    bool replaceable = true;
    for (int i = 0; i < 3; i++)
        if (vocab->byte_tokens[(uint8_t)WR_REPLACEMENT[i]] < 0) replaceable = false;
    if (vocab->has_bytes || vocab->unknown >= 0 || replaceable) return WEIR_OK;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "the vocabulary has neither a token for every byte nor one for what is "
                          "unknown, so not every text can be encoded; info, plan and logits still "
                          "work");
}

const wr_tokenizer_kind wr_kind_byte_level = {
    .model = "gpt2",
    .name = "byte-level BPE",
    .bos = 11,
    .eos = 11,
    .unknown = -1,
    .prepare = prepare,
    .release = release,
    .usable = usable,
    .layout = layout,
    .encode = encode,
    .decode = decode,
};
