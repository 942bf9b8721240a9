/*
 * WordPiece with BERT's way of reading text (Devlin et al. 2018, arXiv 1810.04805).
 *
 * Controls vanish; white space, punctuation and ideographs divide the text into words, of which
 * punctuation and ideographs are one each. In an uncased vocabulary letters become small and lose
 * their nonspacing marks, after canonical decomposition. A word is the longest piece that begins
 * it, then the longest that goes on, and so on; if that comes to no end, or the word has more than
 * 100 characters, all of it is the unknown token.
 *
 * GGUF writes a piece that begins a word with U+2581 before it, and one that goes on without the
 * ## of the original. A vocabulary is uncased where no piece has a capital letter from A to Z: no
 * such letter could become a token.
 *
 * A byte that is no UTF-8 is an unknown character: the word that it stands in is unknown.
 */
#include <string.h>

#include "text/kinds/marks.h"
#include "text/kinds/unicode.h"
#include "text/utf8.h"

#define WORD_CHARACTERS 100
#define NO_CHARACTER 0x110000 /* a byte that is no UTF-8: in no piece */

typedef struct wordpiece {
    bool uncased;
} wordpiece;

/* The word that is being read. */
typedef struct word {
    const wr_vocab *vocab;
    uint32_t codes[WORD_CHARACTERS];
    int count;  /* WORD_CHARACTERS + 1: too long */
    int marked; /* codes[marked, count) are marks after the last starter, in order */
    char text[3 + 4 * WORD_CHARACTERS];
    size_t ends[WORD_CHARACTERS + 1]; /* of characters in the text */
    int32_t *tokens;
    size_t written;
} word;

static void *layout(wr_arena *arena, const wr_vocab *vocab) {
    (void)vocab;
    return wr_arena_take(arena, 1, sizeof(word));
}

/* ---- from a word to tokens ------------------------------------------------------------------- */

static size_t write_utf8(uint32_t code, char *out) {
    int size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = size - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[size] | code);
    return (size_t)size;
}

/* A piece that goes on never begins with a mark: that would be one that begins a word. (The mark
 * alone can only go on.) */
static int32_t find_piece(const word *w, size_t begin, size_t end) {
    const char *text = w->text + begin;
    if (begin > 0 && end - begin > 3 && wr_is_mark(text)) return -1;
    if (begin == 0 && end == 3) return -1;
    int32_t token = wr_vocab_find(w->vocab, text, end - begin);
    return token >= 0 && wr_is_plain(w->vocab, token) ? token : -1;
}

/* The longest pieces one after another; false where none goes on. */
static bool match_pieces(word *w) {
    size_t written = w->written;
    for (int first = 0; first < w->count;) {
        size_t begin = first == 0 ? 0 : w->ends[first];
        int last = w->count;
        int32_t token = -1;
        while (last > first && (token = find_piece(w, begin, w->ends[last])) < 0) last--;
        if (token < 0) return false;
        w->tokens[written++] = token;
        first = last;
    }
    w->written = written;
    return true;
}

static void end_word(word *w) {
    if (w->count == 0) return;
    bool known = w->count <= WORD_CHARACTERS;
    memcpy(w->text, WR_SPACE_MARK, 3);
    w->ends[0] = 3;
    for (int i = 0; known && i < w->count; i++) {
        known = w->codes[i] != NO_CHARACTER;
        w->ends[i + 1] = w->ends[i] + (known ? write_utf8(w->codes[i], w->text + w->ends[i]) : 0);
    }
    if (!known || !match_pieces(w)) w->tokens[w->written++] = w->vocab->unknown;
    w->count = w->marked = 0;
}

/* ---- from text to words ---------------------------------------------------------------------- */

/* Marks come in canonical order: behind those of a lower or the same class since the last starter.
 */
static void add_code(word *w, uint32_t code, int order) {
    if (w->count >= WORD_CHARACTERS) {
        w->count = WORD_CHARACTERS + 1;
        return;
    }
    int at = w->count++;
    while (order > 0 && at > w->marked && wr_unicode_order(w->codes[at - 1]) > order) {
        w->codes[at] = w->codes[at - 1];
        at--;
    }
    w->codes[at] = code;
    if (order == 0) w->marked = w->count;
}

static void add_alone(word *w, uint32_t code) {
    end_word(w);
    add_code(w, code, 0);
    end_word(w);
}

static void add_normalized(word *w, uint32_t code) {
    const wordpiece *own = w->vocab->own;
    wr_character class = wr_unicode_class(code);
    int order = wr_unicode_order(code);
    if (class == WR_CHARACTER_MARK && own->uncased) {
        if (order == 0) w->marked = w->count; /* a starter, though it vanishes */
        return;
    }
    if (own->uncased) code = wr_unicode_lower(code);
    if (class == WR_CHARACTER_PUNCTUATION)
        add_alone(w, code);
    else
        add_code(w, code, own->uncased ? order : 0);
}

static void add_character(word *w, uint32_t code, wr_character class) {
    const wordpiece *own = w->vocab->own;
    uint32_t parts[WR_DECOMPOSED] = {code};
    int count = own->uncased ? wr_unicode_decompose(code, parts) : 1;
    if (class == WR_CHARACTER_IDEOGRAPH) end_word(w);
    for (int i = 0; i < count; i++) add_normalized(w, parts[i]);
    if (class == WR_CHARACTER_IDEOGRAPH) end_word(w);
}

/* Where a word ends, all before is certain; where the text is not open, it ends too. */
static size_t encode(void *scratch, const wr_vocab *vocab, const wr_run *run, wr_carried *carried,
                     int32_t *tokens, size_t *taken) {
    word *w = scratch;
    w->vocab = vocab;
    w->count = w->marked = 0;
    w->tokens = tokens;
    w->written = *taken = 0;
    size_t certain = 0; /* tokens of the bytes taken */
    carried->begun = true;
    for (size_t i = 0, size; i < run->size; i += size) {
        int length = wr_utf8_length(run->text + i, run->size - i);
        size = length > 0 ? (size_t)length : 1;
        uint32_t code = length > 0 ? wr_utf8_code(run->text + i, length) : NO_CHARACTER;
        wr_character class = length > 0 ? wr_unicode_class(code) : WR_CHARACTER_PLAIN;
        bool divides = class == WR_CHARACTER_WHITE || class == WR_CHARACTER_PUNCTUATION ||
                       class == WR_CHARACTER_IDEOGRAPH;
        if (divides) {
            end_word(w);
            certain = w->written;
            *taken = i;
        }
        if (length <= 0)
            add_code(w, NO_CHARACTER, 0);
        else if (class != WR_CHARACTER_WHITE && class != WR_CHARACTER_REMOVED)
            add_character(w, code, class);
        if (w->count > 0) continue;
        certain = w->written;
        *taken = i + size;
    }
    if (run->end == WR_RUN_OPEN) return certain;
    end_word(w);
    *taken = run->size;
    return w->written;
}

/* A piece that begins a word has a space before it. */
static size_t decode(const wr_vocab *vocab, int32_t token, char *out) {
    wr_string piece = wr_piece_of(vocab, token);
    if (vocab->types[token] == WR_TOKEN_UNKNOWN) {
        memcpy(out, " " WR_REPLACEMENT, 4);
        return 4;
    }
    bool begins = piece.size > 3 && wr_is_mark(piece.data);
    if (begins) *out++ = ' ';
    size_t from = begins ? 3 : 0;
    memcpy(out, piece.data + from, piece.size - from);
    return piece.size - from + begins;
}

/* ---- what the file must give ----------------------------------------------------------------- */

static bool has_capital(const wr_vocab *vocab, int32_t token) {
    wr_string piece = wr_piece_of(vocab, token);
    if (!wr_is_plain(vocab, token) || piece.size == 0) return false;
    if (piece.data[0] == '[' && piece.data[piece.size - 1] == ']') return false; /* [MASK] */
    for (size_t i = 0; i < piece.size; i++)
        if (piece.data[i] >= 'A' && piece.data[i] <= 'Z') return true;
    return false;
}

static weir_status prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    wordpiece *own = wr_allocate_array(vocab->allocator, 1, sizeof *own);
    if (!own) return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    vocab->own = own;
    own->uncased = true;
    for (int32_t token = 0; token < vocab->size && own->uncased; token++)
        own->uncased = !has_capital(vocab, token);
    /* Files call it a control token. */
    if (vocab->unknown >= 0) vocab->types[vocab->unknown] = WR_TOKEN_UNKNOWN;
    return wr_gguf_get_bool(gguf, "tokenizer.ggml.normalizer.lowercase", &own->uncased, error);
}

static void release(wr_vocab *vocab) {
    wr_release(vocab->allocator, vocab->own, sizeof(wordpiece));
}

static weir_status usable(const wr_vocab *vocab, weir_error *error) {
    if (vocab->unknown >= 0) return WEIR_OK;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "the vocabulary has no unknown token, so not every text can be encoded; "
                          "info, plan and logits still work");
}

const wr_tokenizer_kind wr_kind_wordpiece = {
    .model = "bert",
    .name = "WordPiece",
    .adds_bos = true,
    .adds_eos = true,
    .adds_space = true,
    .bos = 101,
    .eos = 102,
    .unknown = 100,
    .prepare = prepare,
    .release = release,
    .usable = usable,
    .layout = layout,
    .encode = encode,
    .decode = decode,
};
