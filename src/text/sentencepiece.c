/*
 * SentencePiece BPE as GGUF stores it (Kudo and Richardson 2018, arXiv 1808.06226; the merging of
 * Sennrich et al. 2016, arXiv 1508.07909).
 *
 * A segment's characters are the first symbols; a space is U+2581. As long as two neighbours
 * together are a piece, the pair whose piece has the highest score is merged, the leftmost among
 * equals. A symbol that is no piece in the end becomes its bytes, or where the vocabulary has no
 * byte tokens, the unknown token. Bytes that are not UTF-8 are symbols of one byte each.
 *
 * Text never becomes a control, unknown or byte token by merging, whatever is written in it.
 *
 *   symbols   [▁] [t] [h] [e]     linked by prev and next; a merge widens the left one
 *   heap       left symbols of mergeable pairs, the best pair first; each symbol is in it once at
 *              most and knows its place, so a pair that ceases to exist is taken out at once
 */
#include <string.h>

#include "text/utf8.h"
#include "text/vocab_inside.h"

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */
#define MAX_SYMBOLS (WR_SEGMENT_BYTES + 1)

typedef struct symbol {
    int32_t at, size;   /* bytes of text */
    int32_t prev, next; /* -1 at the ends */
    int32_t token;      /* -1 when these bytes are no piece; -2 when it was not looked up yet */
    int32_t pair;       /* the token that this and the next one make together, or -1 */
    int32_t place;      /* in the heap, or -1 */
} symbol;

typedef struct merger {
    const wr_vocab *vocab;
    char text[WR_SEGMENT_TOKENS]; /* the segment with its spaces marked */
    symbol symbols[MAX_SYMBOLS];
    int32_t heap[MAX_SYMBOLS]; /* symbols */
    int32_t heap_count;
} merger;

static void *layout(wr_arena *arena) { return wr_arena_take(arena, 1, sizeof(merger)); }

/* ---- the heap of pairs ----------------------------------------------------------------------- */

static bool before(const merger *m, int32_t a, int32_t b) {
    float left = m->vocab->scores[m->symbols[a].pair];
    float right = m->vocab->scores[m->symbols[b].pair];
    return left > right || (left == right && a < b);
}

static void put(merger *m, int32_t place, int32_t s) {
    m->heap[place] = s;
    m->symbols[s].place = place;
}

/* Move the symbol at `place` to where it belongs. */
static void settle(merger *m, int32_t place) {
    int32_t s = m->heap[place];
    while (place > 0 && before(m, s, m->heap[(place - 1) / 2])) {
        put(m, place, m->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        int32_t child = 2 * place + 1;
        if (child >= m->heap_count) break;
        if (child + 1 < m->heap_count && before(m, m->heap[child + 1], m->heap[child])) child++;
        if (!before(m, m->heap[child], s)) break;
        put(m, place, m->heap[child]);
        place = child;
    }
    put(m, place, s);
}

static void leave_heap(merger *m, int32_t s) {
    int32_t place = m->symbols[s].place;
    if (place < 0) return;
    m->symbols[s].place = -1;
    int32_t last = m->heap[--m->heap_count];
    if (last == s) return;
    put(m, place, last);
    settle(m, place);
}

/* ---- merging --------------------------------------------------------------------------------- */

static int32_t find_plain(const merger *m, int32_t at, int32_t size) {
    int32_t token = wr_vocab_find(m->vocab, m->text + at, (size_t)size);
    return token >= 0 && wr_is_plain(m->vocab, token) ? token : -1;
}

/* Symbol s has got another neighbour or size: look its pair up anew. */
static void pair_up(merger *m, int32_t s) {
    if (s < 0) return;
    symbol *left = &m->symbols[s];
    int32_t pair = -1;
    if (left->next >= 0) pair = find_plain(m, left->at, left->size + m->symbols[left->next].size);
    if (pair < 0) {
        leave_heap(m, s);
        left->pair = -1;
        return;
    }
    left->pair = pair;
    if (left->place < 0) put(m, m->heap_count++, s);
    settle(m, left->place);
}

static void merge_best(merger *m) {
    int32_t s = m->heap[0];
    symbol *left = &m->symbols[s];
    int32_t gone = left->next;
    symbol *right = &m->symbols[gone];
    left->token = left->pair;
    left->size += right->size;
    left->next = right->next;
    if (right->next >= 0) m->symbols[right->next].prev = s;
    leave_heap(m, gone);
    pair_up(m, s);
    pair_up(m, left->prev);
}

/* ---- the ends of the way --------------------------------------------------------------------- */

static int32_t add_symbol(merger *m, int32_t count, int32_t at, const void *bytes, size_t size) {
    memcpy(m->text + at, bytes, size);
    m->symbols[count] = (symbol){.at = at,
                                 .size = (int32_t)size,
                                 .prev = count - 1,
                                 .next = count + 1,
                                 .token = -2,
                                 .pair = -1,
                                 .place = -1};
    return at + (int32_t)size;
}

static int32_t divide(merger *m, const uint8_t *segment, size_t size, bool prefix) {
    int32_t count = 0, at = 0;
    if (prefix) at = add_symbol(m, count++, at, SPACE_MARK, 3);
    for (size_t i = 0; i < size;) {
        int length = wr_utf8_length(segment + i, size - i);
        size_t bytes = length > 0 ? (size_t)length : 1;
        if (segment[i] == ' ')
            at = add_symbol(m, count++, at, SPACE_MARK, 3);
        else
            at = add_symbol(m, count++, at, segment + i, bytes);
        i += bytes;
    }
    m->symbols[count - 1].next = -1;
    return count;
}

static size_t write_symbol(const merger *m, const symbol *s, int32_t *tokens) {
    int32_t token = s->token == -2 ? find_plain(m, s->at, s->size) : s->token;
    if (token >= 0) {
        tokens[0] = token;
        return 1;
    }
    for (int32_t i = 0; i < s->size; i++) {
        tokens[i] = m->vocab->byte_tokens[(uint8_t)m->text[s->at + i]];
        if (tokens[i] >= 0) continue;
        tokens[0] = m->vocab->unknown; /* one for the character, whole */
        return 1;
    }
    return (size_t)s->size;
}

static size_t encode(void *scratch, const wr_vocab *vocab, const uint8_t *segment, size_t size,
                     bool prefix, int32_t *tokens) {
    merger *m = scratch;
    m->vocab = vocab;
    m->heap_count = 0;
    int32_t count = divide(m, segment, size, prefix);
    for (int32_t s = 0; s < count - 1; s++) pair_up(m, s);
    while (m->heap_count > 0) merge_best(m);
    size_t written = 0;
    for (int32_t s = 0; s >= 0; s = m->symbols[s].next)
        written += write_symbol(m, &m->symbols[s], tokens + written);
    return written;
}

static bool is_mark(const uint8_t *text) { return memcmp(text, SPACE_MARK, 3) == 0; }

static bool border(const wr_vocab *vocab, const uint8_t *segment, size_t at, size_t size) {
    if (!vocab->cuts_at_spaces) return false;
    if (segment[at] != ' ' && !(size == 3 && is_mark(segment + at))) return false;
    return segment[at - 1] != ' ' && !(at >= 3 && is_mark(segment + at - 3));
}

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
static size_t decode(const wr_vocab *vocab, int32_t token, char *out) {
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
        bool mark = piece.size - i >= 3 && is_mark((const uint8_t *)piece.data + i);
        out[size++] = mark ? ' ' : piece.data[i];
        i += mark ? 3 : 1;
    }
    return size;
}

/* ---- what the file must give ----------------------------------------------------------------- */

static bool has_inner_mark(wr_string piece) {
    const uint8_t *bytes = (const uint8_t *)piece.data;
    for (size_t i = 1; i + 3 <= piece.size; i++)
        if (is_mark(bytes + i) && !(i >= 3 && is_mark(bytes + i - 3))) return true;
    return false;
}

static weir_status prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    if (!vocab->scored)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: key tokenizer.ggml.scores is missing, which %s needs",
                              wr_gguf_path(gguf), vocab->name);
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

static weir_status usable(const wr_vocab *vocab, weir_error *error) {
    if (vocab->has_bytes || vocab->unknown >= 0) return WEIR_OK;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "the vocabulary has neither all byte tokens nor an unknown token, so "
                          "not every text can be encoded; info, plan and logits still work");
}

const wr_tokenizer_kind wr_kind_sentencepiece = {
    .model = "llama",
    .name = "SentencePiece BPE",
    .adds_bos = true,
    .adds_eos = false,
    .adds_space = true,
    .bos = 1,
    .eos = 2,
    .unknown = 0,
    .prepare = prepare,
    .usable = usable,
    .layout = layout,
    .border = border,
    .encode = encode,
    .decode = decode,
};
