/*
 * The streaming tokenizer.
 *
 *   text     [ run            ............ ][ not decided yet ][ free ]
 *            0                              at                 size
 *
 * A decision moves `at` over one character, or over a literal (a user-defined token, or a control
 * token where those are wanted), and is made only when no later byte could change it:
 *
 *   - the longest literal that begins here is a token of its own, and ends the run before it;
 *     literals are found from left to right, as SentencePiece does it;
 *   - a character makes the run longer. What the kind is certain of leaves at its front.
 *
 * A run that another character would make longer than WR_HELD_BYTES, though the kind is certain of
 * nothing, is cut before it. Whether that happens depends on the text alone: the kind is certain of
 * a border by the text that follows, and whoever waits for more text finds the same borders one
 * after another. So the tokens are the same however the text arrived.
 *
 * Bytes that are not UTF-8 are taken one at a time and go to the kind unchanged.
 */
#include "text/tokenizer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "text/utf8.h"
#include "text/vocab_inside.h"

#define BUFFER_BYTES (2 * WR_HELD_BYTES + WR_LITERAL_BYTES)
#define BATCH_TOKENS (WR_RUN_TOKENS + 1024)

_Static_assert(WR_HELD_BYTES <= WR_RUN_BYTES, "a held tail is one run");

struct wr_tokenizer {
    const wr_vocab *vocab;
    void *scratch; /* the kind's */
    size_t at;     /* decided bytes: the run so far */
    size_t size;   /* bytes held */
    size_t futile; /* bytes of the run when nothing more of it was certain */
    wr_carried carried;
    bool parse_special;
    size_t batch; /* tokens waiting to be emitted; 0 between calls */
    uint8_t text[BUFFER_BYTES];
    int32_t tokens[BATCH_TOKENS];
};

typedef struct sink {
    wr_token_emit emit;
    void *context;
    weir_error *error;
} sink;

wr_tokenizer *wr_tokenizer_layout(wr_arena *arena, const wr_vocab *vocab) {
    assert(vocab->kind && vocab->kind->layout && "the vocabulary is usable");
    wr_tokenizer *tokenizer = wr_arena_take(arena, 1, sizeof *tokenizer);
    void *scratch = vocab->kind->layout(arena, vocab);
    if (!tokenizer) return NULL;
    tokenizer->vocab = vocab;
    tokenizer->scratch = scratch;
    wr_tokenizer_reset(tokenizer, true);
    return tokenizer;
}

void wr_tokenizer_reset(wr_tokenizer *tokenizer, bool prefix) {
    tokenizer->at = tokenizer->size = tokenizer->batch = tokenizer->futile = 0;
    tokenizer->carried = (wr_carried){.begun = !prefix};
    tokenizer->parse_special = false;
}

size_t wr_tokenizer_held(const wr_tokenizer *tokenizer) { return tokenizer->size; }

/* ---- tokens that leave ----------------------------------------------------------------------- */

static weir_status emit_batch(wr_tokenizer *t, const sink *out) {
    size_t count = t->batch;
    t->batch = 0;
    return count == 0 ? WEIR_OK : out->emit(out->context, t->tokens, (int64_t)count, out->error);
}

static weir_status make_room(wr_tokenizer *t, size_t tokens, const sink *out) {
    return t->batch + tokens > BATCH_TOKENS ? emit_batch(t, out) : WEIR_OK;
}

/* Encode what can be encoded of the run text[*begin, end), and move *begin over it. */
static weir_status encode_run(wr_tokenizer *t, size_t *begin, size_t end, wr_run_end run_end,
                              const sink *out) {
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && *begin < end) {
        if ((status = make_room(t, WR_RUN_TOKENS, out)) != WEIR_OK) break;
        wr_run run = {t->text + *begin, end - *begin, run_end};
        size_t taken = 0;
        t->batch += t->vocab->kind->encode(t->scratch, t->vocab, &run, &t->carried,
                                           t->tokens + t->batch, &taken);
        *begin += taken;
        if (taken == 0) break;
    }
    assert(status != WEIR_OK || run_end == WR_RUN_OPEN || *begin == end);
    return status;
}

/* The run text[*begin, at) is as long as a run may be: what is certain leaves, or else all. */
static weir_status shorten_run(wr_tokenizer *t, size_t *begin, const sink *out) {
    size_t before = *begin;
    weir_status status = encode_run(t, begin, t->at, WR_RUN_OPEN, out);
    if (status != WEIR_OK || *begin > before) return status;
    return encode_run(t, begin, t->at, WR_RUN_CUT, out);
}

/* ---- decisions ------------------------------------------------------------------------------- */

typedef enum step_kind { STEP_WAIT, STEP_LITERAL, STEP_CHARACTER } step_kind;

typedef struct step {
    step_kind kind;
    int32_t token; /* of a literal */
    size_t size;   /* bytes */
} step;

/* What stands at the undecided position; `final`: no more bytes will come. */
static step look(const wr_tokenizer *t, bool final) {
    const wr_literals *literals = t->parse_special ? &t->vocab->special : &t->vocab->user_defined;
    const uint8_t *here = t->text + t->at;
    size_t left = t->size - t->at;
    wr_literal_match match = wr_literals_match(t->vocab, literals, here, left);
    if (match.undecided && !final) return (step){.kind = STEP_WAIT};
    if (match.token >= 0)
        return (step){STEP_LITERAL, match.token, wr_piece_of(t->vocab, match.token).size};
    int length = wr_utf8_length(here, left);
    if (length == 0 && !final) return (step){.kind = STEP_WAIT};
    return (step){.kind = STEP_CHARACTER, .size = length > 0 ? (size_t)length : 1};
}

/* A short run is tried with every byte more; a long one only when it has grown, so that a text that
 * comes byte by byte and has no border takes no time that grows with the square of what is held. */
static bool is_worth_a_try(wr_tokenizer *t, size_t begin) {
    size_t size = t->at - begin;
    if (begin == 0 && t->futile >= 512 && size >= t->futile && size - t->futile < t->futile / 16)
        return false;
    t->futile = size;
    return true;
}

/* Decide all that can be decided, and move what is left to the front. */
static weir_status scan(wr_tokenizer *t, bool final, const sink *out) {
    weir_status status = WEIR_OK;
    size_t begin = 0;
    while (status == WEIR_OK && t->at < t->size) {
        step next = look(t, final);
        if (next.kind == STEP_WAIT) break;
        if (next.kind == STEP_LITERAL) {
            status = encode_run(t, &begin, t->at, WR_RUN_CUT, out);
            if (status == WEIR_OK) status = make_room(t, 1, out);
            if (status == WEIR_OK) t->tokens[t->batch++] = next.token;
            begin = t->at + next.size;
        }
        while (status == WEIR_OK && next.kind == STEP_CHARACTER &&
               t->at + next.size - begin > WR_HELD_BYTES)
            status = shorten_run(t, &begin, out);
        t->at += next.size;
    }
    if (status == WEIR_OK && (final || is_worth_a_try(t, begin)))
        status = encode_run(t, &begin, t->at, final ? WR_RUN_OVER : WR_RUN_OPEN, out);
    if (begin > 0 || final) t->futile = 0;
    t->at -= begin;
    t->size -= begin;
    if (begin > 0) memmove(t->text, t->text + begin, t->size);
    return status;
}

/* After a failure nothing is held: the text that was not passed on is lost, whole. */
static weir_status finish(wr_tokenizer *t, weir_status status, const sink *out) {
    if (status == WEIR_OK) status = emit_batch(t, out);
    if (status != WEIR_OK) t->at = t->size = t->batch = 0;
    return status;
}

weir_status wr_tokenizer_feed(wr_tokenizer *tokenizer, const char *text, size_t size,
                              bool parse_special, wr_token_emit emit, void *context,
                              weir_error *error) {
    sink out = {emit, context, error};
    weir_status status = WEIR_OK;
    if (parse_special != tokenizer->parse_special) status = scan(tokenizer, true, &out);
    tokenizer->parse_special = parse_special;
    while (status == WEIR_OK && size > 0) {
        /* What waits is shorter than a run and a literal, so there is always room. */
        size_t take = BUFFER_BYTES - tokenizer->size;
        assert(take > 0);
        if (take > size) take = size;
        memcpy(tokenizer->text + tokenizer->size, text, take);
        tokenizer->size += take;
        text += take;
        size -= take;
        status = scan(tokenizer, false, &out);
    }
    return finish(tokenizer, status, &out);
}

weir_status wr_tokenizer_flush(wr_tokenizer *tokenizer, wr_token_emit emit, void *context,
                               weir_error *error) {
    sink out = {emit, context, error};
    return finish(tokenizer, scan(tokenizer, true, &out), &out);
}

/* ---- the state elsewhere --------------------------------------------------------------------- */

/* `at` need not be kept: what was decided is decided the same way again. */

void wr_tokenizer_copy(wr_tokenizer *to, const wr_tokenizer *from) {
    assert(to->vocab == from->vocab);
    to->at = from->at;
    to->size = from->size;
    to->futile = from->futile;
    to->carried = from->carried;
    to->parse_special = from->parse_special;
    to->batch = 0;
    memcpy(to->text, from->text, from->size);
}

void wr_tokenizer_save(const wr_tokenizer *tokenizer, wr_writer *writer) {
    wr_write_u8(writer, tokenizer->carried.begun);
    wr_write_u8(writer, tokenizer->parse_special);
    wr_write_u32(writer, (uint32_t)tokenizer->size);
    wr_write_bytes(writer, tokenizer->text, tokenizer->size);
    wr_write_f32(writer, tokenizer->carried.score);
}

weir_status wr_tokenizer_load(wr_tokenizer *tokenizer, wr_reader *reader, weir_error *error) {
    uint8_t begun = wr_read_u8(reader);
    uint8_t parse_special = wr_read_u8(reader);
    uint32_t size = wr_read_u32(reader);
    const void *text = size < BUFFER_BYTES ? wr_read_bytes(reader, size) : NULL;
    float score = wr_read_f32(reader);
    if (reader->failed || !text || begun > 1 || parse_special > 1 || !isfinite(score))
        return weir_error_set(error, WEIR_DAMAGED, "the saved text that was held is damaged");
    wr_tokenizer_reset(tokenizer, !begun);
    tokenizer->carried.score = score;
    tokenizer->parse_special = parse_special;
    tokenizer->size = size;
    memcpy(tokenizer->text, text, size);
    return WEIR_OK;
}
