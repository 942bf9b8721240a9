/*
 * SentencePiece BPE as GGUF stores it (Kudo and Richardson 2018, arXiv 1808.06226).
 *
 * The characters of a run are the first symbols; a space is U+2581. As long as two neighbours
 * together are a piece, the pair whose piece has the highest score is merged, the leftmost among
 * equals. A symbol that is no piece in the end becomes its bytes, or where the vocabulary has no
 * byte tokens, the unknown token. Bytes that are not UTF-8 are symbols of one byte each.
 *
 * Text never becomes a control, unknown or byte token by merging, whatever is written in it. Where
 * no piece has a mark inside, no merge crosses the border before a run of spaces: an open run is
 * encoded up to its last such border.
 */
#include <string.h>

#include "text/kinds/marks.h"
#include "text/kinds/merger.h"
#include "text/utf8.h"
#include "text/vocab_inside.h"

#define LOOK_UP (-2) /* a symbol whose token was not looked up yet; -1 when it is no piece */

typedef struct scratch {
    const wr_vocab *vocab;
    char text[WR_RUN_TOKENS]; /* a word with its spaces marked */
    wr_merger merger;
} scratch;

static void *layout(wr_arena *arena, const wr_vocab *vocab) {
    (void)vocab;
    return wr_arena_take(arena, 1, sizeof(scratch));
}

static int32_t find_plain(const scratch *s, int32_t at, int32_t size) {
    int32_t token = wr_vocab_find(s->vocab, s->text + at, (size_t)size);
    return token >= 0 && wr_is_plain(s->vocab, token) ? token : -1;
}

static int32_t pair_of(const void *context, const wr_symbol *left, const wr_symbol *right,
                       float *rank) {
    const scratch *s = context;
    int32_t pair = find_plain(s, left->at, left->size + right->size);
    if (pair >= 0) *rank = -s->vocab->scores[pair];
    return pair;
}

static void divide(scratch *s, const uint8_t *word, size_t size, bool prefix) {
    int32_t at = 0;
    for (size_t i = 0; i < size || prefix;) {
        int length = prefix ? 0 : wr_utf8_length(word + i, size - i);
        size_t bytes = length > 0 ? (size_t)length : 1;
        bool mark = prefix || word[i] == ' ';
        int32_t taken = mark ? 3 : (int32_t)bytes;
        memcpy(s->text + at, mark ? WR_SPACE_MARK : (const char *)word + i, (size_t)taken);
        wr_merger_add(&s->merger, at, taken, LOOK_UP);
        at += taken;
        if (!prefix) i += bytes;
        prefix = false;
    }
}

static size_t write_symbol(const scratch *s, const wr_symbol *symbol, int32_t *tokens) {
    int32_t token = symbol->token;
    if (token == LOOK_UP) token = find_plain(s, symbol->at, symbol->size);
    if (token >= 0) {
        tokens[0] = token;
        return 1;
    }
    for (int32_t i = 0; i < symbol->size; i++) {
        tokens[i] = s->vocab->byte_tokens[(uint8_t)s->text[symbol->at + i]];
        if (tokens[i] >= 0) continue;
        tokens[0] = s->vocab->unknown; /* one for the character, whole */
        return 1;
    }
    return (size_t)symbol->size;
}

static size_t encode_word(scratch *s, const uint8_t *word, size_t size, wr_carried *carried,
                          int32_t *tokens) {
    wr_merger_begin(&s->merger, pair_of, s);
    divide(s, word, size, s->vocab->adds_space && !carried->begun);
    carried->begun = true;
    wr_merger_run(&s->merger);
    size_t written = 0;
    for (int32_t i = 0; i >= 0; i = s->merger.symbols[i].next)
        written += write_symbol(s, &s->merger.symbols[i], tokens + written);
    return written;
}

/* Whether a word begins at text[at], at > 0: a space or mark after something else. */
static bool begins_word(const uint8_t *text, size_t at, size_t size) {
    if (text[at] != ' ' && !(size - at >= 3 && wr_is_mark(text + at))) return false;
    return text[at - 1] != ' ' && !(at >= 3 && wr_is_mark(text + at - 3));
}

static size_t encode(void *of_tokenizer, const wr_vocab *vocab, const wr_run *run,
                     wr_carried *carried, int32_t *tokens, size_t *taken) {
    scratch *s = of_tokenizer;
    s->vocab = vocab;
    size_t written = 0, begin = 0;
    for (size_t at = 1; at < run->size && vocab->cuts_at_spaces; at++) {
        if (!begins_word(run->text + begin, at - begin, run->size - begin)) continue;
        written += encode_word(s, run->text + begin, at - begin, carried, tokens + written);
        begin = at;
    }
    if (run->end != WR_RUN_OPEN) {
        written += encode_word(s, run->text + begin, run->size - begin, carried, tokens + written);
        begin = run->size;
    }
    *taken = begin;
    return written;
}

static weir_status prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    if (!vocab->scored)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: key tokenizer.ggml.scores is missing, which %s needs",
                              wr_gguf_path(gguf), vocab->name);
    return wr_marks_prepare(vocab, gguf, error);
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
    .usable = wr_marks_usable,
    .layout = layout,
    .encode = encode,
    .decode = wr_marks_decode,
};
