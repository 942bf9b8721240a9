/*
 * SentencePiece unigram (Kudo 2018, arXiv 1804.10959): of all ways to cut a text into pieces the
 * one whose scores add up to most.
 *
 * Text is normalised first: the file's own rules replace characters, spaces become U+2581, and
 * where the file wants it, runs of them become one, and those at either end of a text none. A
 * character that begins no piece of its own length is unknown, at a score lower than any piece's;
 * unknowns in a row are one token, or with byte tokens, their bytes. A byte that is no UTF-8 is a
 * character.
 *
 * Where no piece has a mark inside, the best way leads through every border before a mark, so the
 * text is cut there into words. Scores are floats that add up from the beginning of a text, as
 * SentencePiece has it: equal sums are decided by rounding. Since a text may be endless, the sum
 * begins again at a word's border before rounding eats the scores.
 *
 *   raw          a  U+00A0 b            source[i]: the byte of raw text from which normalised
 *   normalised   a    ▁    b            byte i came
 */
#include <float.h>
#include <string.h>

#include "text/kinds/charsmap.h"
#include "text/kinds/marks.h"
#include "text/utf8.h"

#define UNKNOWN_PENALTY 10.0f
#define LARGEST_SUM 32768.0f    /* some 25 KB of text */
#define ROOM (3 * WR_RUN_BYTES) /* bytes of a normalised run: one token each at most */

typedef struct unigram {
    wr_charsmap map;
    wr_literals pieces;    /* that text may become */
    float lowest, highest; /* scores of normal pieces */
    bool squeezes;         /* runs of spaces are one, and none at the ends */
} unigram;

/* The best way to here. */
typedef struct node {
    float score;
    int32_t token; /* that ends here; -1: unknown */
    int32_t begin; /* where it begins; -1: no way leads here */
} node;

typedef struct scratch {
    const wr_vocab *vocab;
    char text[3 + ROOM];
    uint16_t source[3 + ROOM];
    size_t size;
    bool after_space; /* another one goes */
    node nodes[3 + ROOM + 1];
} scratch;

static void *layout(wr_arena *arena, const wr_vocab *vocab) {
    (void)vocab;
    return wr_arena_take(arena, 1, sizeof(scratch));
}

/* ---- normalising ----------------------------------------------------------------------------- */

static void put(scratch *s, const char *bytes, size_t size, size_t source) {
    for (size_t i = 0; i < size; i++) {
        s->text[s->size] = bytes[i];
        s->source[s->size++] = (uint16_t)source;
    }
}

/* Append what a rule gave; false when there is no room. */
static bool append(scratch *s, wr_string out, size_t source) {
    if (s->size + 3 * out.size > ROOM) return false;
    while (s->after_space && out.size > 0 && out.data[0] == ' ') {
        out.data++;
        out.size--;
    }
    if (out.size == 0) return true;
    for (size_t i = 0; i < out.size; i++) {
        bool space = out.data[i] == ' ';
        put(s, space ? WR_SPACE_MARK : out.data + i, space ? 3 : 1, source);
    }
    const unigram *own = s->vocab->own;
    s->after_space = own->squeezes && out.data[out.size - 1] == ' ';
    return true;
}

/* Spaces before a text, which count for nothing; returns the bytes. */
static size_t skip_spaces(const unigram *own, const wr_run *run, bool *undecided) {
    size_t at = 0;
    while (at < run->size) {
        wr_string out = {0};
        size_t taken = wr_charsmap_step(&own->map, run->text + at, run->size - at,
                                        run->end == WR_RUN_OPEN, &out);
        *undecided = taken == 0;
        if (taken == 0 || !wr_string_is(out, " ")) break;
        at += taken;
    }
    return at;
}

/* Normalise run->text from `at` as far as it is certain and there is room; returns where it ends.
 */
static size_t normalize(scratch *s, const wr_run *run, size_t at, bool *full) {
    const unigram *own = s->vocab->own;
    *full = false;
    while (at < run->size) {
        wr_string out = {0};
        size_t taken = wr_charsmap_step(&own->map, run->text + at, run->size - at,
                                        run->end == WR_RUN_OPEN, &out);
        if (taken == 0) break;
        if (!append(s, out, at)) {
            *full = true;
            break;
        }
        at += taken;
    }
    return at;
}

/* ---- the best way ---------------------------------------------------------------------------- */

static void reach(node *to, double score, int32_t token, int32_t begin) {
    if (to->begin >= 0 && (float)score <= to->score) return;
    *to = (node){(float)score, token, begin};
}

/* Of a user-defined piece it is certain that it is taken. */
static double score_of(const wr_vocab *vocab, int32_t token, size_t size) {
    const unigram *own = vocab->own;
    if (vocab->types[token] != WR_TOKEN_USER_DEFINED) return (double)vocab->scores[token];
    return (double)((float)size * own->highest) - 0.1;
}

static bool may_be_text(const wr_vocab *vocab, int32_t token) {
    uint8_t type = vocab->types[token];
    return type == WR_TOKEN_NORMAL || type == WR_TOKEN_USER_DEFINED;
}

/* All pieces that begin at word[at], and the unknown character where none is just that. */
static size_t reach_on(scratch *s, const char *word, size_t size, size_t at) {
    const wr_vocab *vocab = s->vocab;
    const unigram *own = vocab->own;
    const uint8_t *text = (const uint8_t *)word + at;
    int length = wr_utf8_length(text, size - at);
    size_t character = length > 0 ? (size_t)length : 1;
    double here = (double)s->nodes[at].score;
    bool single = false;
    wr_literal_walk walk = wr_literals_begin(&own->pieces, text[0]);
    while (walk.low < walk.high && walk.at < size - at) {
        int32_t token = wr_literals_step(vocab, &own->pieces, &walk, text[walk.at]);
        if (token < 0 || !may_be_text(vocab, token)) continue; /* a chat's mark is none any more */
        reach(&s->nodes[at + walk.at], score_of(vocab, token, walk.at) + here, token, (int32_t)at);
        single = single || walk.at == character;
    }
    float unknown = own->lowest - UNKNOWN_PENALTY + s->nodes[at].score;
    if (!single) reach(&s->nodes[at + character], (double)unknown, -1, (int32_t)at);
    return character;
}

/* The pieces of the best way back from the end, written forwards; unknowns in a row are one. */
static size_t write_way(scratch *s, const char *word, size_t size, int32_t *tokens) {
    const wr_vocab *vocab = s->vocab;
    size_t written = 0;
    bool after_unknown = false;
    for (size_t at = size; at > 0; at = (size_t)s->nodes[at].begin) {
        const node *n = &s->nodes[at];
        bool unknown = n->token < 0;
        if (!unknown) tokens[written++] = n->token;
        if (unknown && !vocab->has_bytes && !after_unknown) tokens[written++] = vocab->unknown;
        for (size_t i = at; unknown && vocab->has_bytes && i > (size_t)n->begin; i--)
            tokens[written++] = vocab->byte_tokens[(uint8_t)word[i - 1]];
        after_unknown = unknown;
    }
    for (size_t i = 0; i < written / 2; i++) {
        int32_t token = tokens[i];
        tokens[i] = tokens[written - 1 - i];
        tokens[written - 1 - i] = token;
    }
    return written;
}

static size_t encode_word(scratch *s, const char *word, size_t size, wr_carried *carried,
                          int32_t *tokens) {
    for (size_t i = 0; i <= size; i++) s->nodes[i] = (node){0, -1, -1};
    s->nodes[0].score = carried->score;
    for (size_t at = 0; at < size;) at += reach_on(s, word, size, at);
    carried->score = s->nodes[size].score;
    /* Not a number never compares: it begins again too. */
    if (!(carried->score > -LARGEST_SUM && carried->score < LARGEST_SUM)) carried->score = 0;
    return write_way(s, word, size, tokens);
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Whether a word begins at s->text[at], at > 0. */
static bool begins_word(const scratch *s, size_t at) {
    if (s->size - at < 3 || !wr_is_mark(s->text + at)) return false;
    return at < 3 || !wr_is_mark(s->text + at - 3);
}

/* The last border of words that is one of raw characters too; 0 when there is none. */
static size_t last_border(const scratch *s) {
    size_t at = s->vocab->cuts_at_spaces ? s->size : 0;
    while (at > 0 && !(at < s->size && begins_word(s, at) && s->source[at] > s->source[at - 1]))
        at--;
    return at;
}

static size_t encode_words(scratch *s, size_t size, wr_carried *carried, int32_t *tokens) {
    size_t written = 0, begin = 0;
    for (size_t at = 1; at <= size; at++) {
        if (at < size && !(s->vocab->cuts_at_spaces && begins_word(s, at))) continue;
        written += encode_word(s, s->text + begin, at - begin, carried, tokens + written);
        begin = at;
    }
    return written;
}

static size_t encode(void *of_tokenizer, const wr_vocab *vocab, const wr_run *run,
                     wr_carried *carried, int32_t *tokens, size_t *taken) {
    scratch *s = of_tokenizer;
    const unigram *own = vocab->own;
    bool undecided = false, full = false;
    s->vocab = vocab;
    s->size = 0;
    size_t at = own->squeezes && !carried->begun ? skip_spaces(own, run, &undecided) : 0;
    *taken = at;
    if (undecided || at == run->size) return 0;
    if (!carried->begun && vocab->adds_space) put(s, WR_SPACE_MARK, 3, at);
    s->after_space = own->squeezes && !carried->begun;
    at = normalize(s, run, at, &full);
    if (run->end == WR_RUN_OPEN || full) {
        size_t border = last_border(s);
        if (border == 0 && !full) return 0;
        if (border > 0) {
            s->size = border;
            at = s->source[border];
        }
    } else if (run->end == WR_RUN_OVER && own->squeezes) {
        while (s->size >= 3 && wr_is_mark(s->text + s->size - 3)) s->size -= 3;
    }
    *taken = at;
    carried->begun = true;
    return encode_words(s, s->size, carried, tokens);
}

/* ---- what the file must give ----------------------------------------------------------------- */

static weir_status prepare_pieces(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    unigram *own = vocab->own;
    own->lowest = FLT_MAX;
    own->highest = -FLT_MAX;
    for (int32_t token = 0; token < vocab->size; token++) {
        if (vocab->types[token] != WR_TOKEN_NORMAL) continue;
        float score = vocab->scores[token];
        if (score < own->lowest) own->lowest = score;
        if (score > own->highest) own->highest = score;
    }
    weir_status status = wr_marks_prepare(vocab, gguf, error);
    if (status != WEIR_OK) return status;
    /* A mark that is no piece would be unknown, and one with the unknowns before it. */
    int32_t mark = wr_vocab_find(vocab, WR_SPACE_MARK, 3);
    if (mark < 0 || !may_be_text(vocab, mark)) vocab->cuts_at_spaces = false;
    return wr_literals_collect(vocab, &own->pieces, may_be_text, error);
}

static weir_status prepare(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    if (!vocab->scored)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: key tokenizer.ggml.scores is missing, which %s needs",
                              wr_gguf_path(gguf), vocab->name);
    unigram *own = wr_allocate_array(vocab->allocator, 1, sizeof *own);
    if (!own) return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    vocab->own = own;
    weir_status status =
        wr_gguf_get_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces", &own->squeezes, error);
    if (status == WEIR_OK) status = wr_charsmap_read(&own->map, gguf, error);
    return status == WEIR_OK ? prepare_pieces(vocab, gguf, error) : status;
}

static void release(wr_vocab *vocab) {
    unigram *own = vocab->own;
    wr_release(vocab->allocator, own->pieces.ids, (size_t)own->pieces.count * sizeof(int32_t));
    wr_release(vocab->allocator, own, sizeof *own);
}

const wr_tokenizer_kind wr_kind_unigram = {
    .model = "t5",
    .name = "SentencePiece unigram",
    .adds_eos = true,
    .adds_space = true,
    .bos = -1,
    .eos = 1,
    .unknown = 2,
    .prepare = prepare,
    .release = release,
    .usable = wr_marks_usable,
    .layout = layout,
    .encode = encode,
    .decode = wr_marks_decode,
};
