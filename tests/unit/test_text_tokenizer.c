/*
 * text/tokenizer: the tokens of a text are those of its whole text, however it arrives.
 *
 * The naive model below knows nothing of streams, heaps or hash tables: it finds literals from left
 * to right, and merges the best pair of a whole run until there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/token_list.h"
#include "support/vocab_sample.h"

/* ---- the naive model ------------------------------------------------------------------------- */

typedef struct part {
    char text[SAMPLE_PIECE * 4];
    size_t size;
} part;

/* Bytes of the character at text[0], 1 for a byte that begins none. */
static size_t naive_length(const uint8_t *t, size_t size) {
    size_t want = t[0] < 0x80 ? 1 : t[0] < 0xE0 ? 2 : t[0] < 0xF0 ? 3 : 4;
    if (want == 1 || want > size || t[0] < 0xC2 || t[0] > 0xF4) return 1;
    uint32_t code = want == 2 ? t[0] & 0x1Fu : want == 3 ? t[0] & 0x0Fu : t[0] & 0x07u;
    for (size_t i = 1; i < want; i++) {
        if ((t[i] & 0xC0) != 0x80) return 1;
        code = code << 6 | (t[i] & 0x3Fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool good = code >= least[want] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    return good ? want : 1;
}

static int32_t naive_mergeable(const sample_vocab *v, const part *a, const part *b) {
    char text[2 * sizeof a->text];
    size_t size = a->size + b->size;
    if (size > SAMPLE_PIECE) return -1;
    memcpy(text, a->text, a->size);
    memcpy(text + a->size, b->text, b->size);
    int32_t id = sample_find(v, text, size);
    if (id < 0) return -1;
    int32_t type = v->tokens[id].type;
    return type == WR_TOKEN_NORMAL || type == WR_TOKEN_USER_DEFINED ? id : -1;
}

static void naive_finish(const sample_vocab *v, const part *p, token_list *out) {
    int32_t id = sample_find(v, p->text, p->size);
    if (id >= 0 && v->tokens[id].type != WR_TOKEN_CONTROL && v->tokens[id].type != WR_TOKEN_BYTE &&
        v->tokens[id].type != WR_TOKEN_UNKNOWN) {
        token_list_add(out, id);
        return;
    }
    bool bytes = sample_find(v, "<0x00>", 6) >= 0;
    if (!bytes) token_list_add(out, 0);
    for (size_t i = 0; i < p->size && bytes; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)(uint8_t)p->text[i]);
        token_list_add(out, sample_find(v, text, 6));
    }
}

static void naive_run(const sample_vocab *v, const char *text, size_t size, bool prefix,
                      token_list *out) {
    if (size == 0) return;
    part *parts = calloc(size + 1, sizeof *parts);
    int32_t *pairs = calloc(size + 1, sizeof *pairs);
    size_t count = 0;
    if (prefix) parts[count++] = (part){SAMPLE_MARK, 3};
    for (size_t i = 0; i < size;) {
        size_t length = naive_length((const uint8_t *)text + i, size - i);
        part *p = &parts[count++];
        p->size = text[i] == ' ' ? 3 : length;
        memcpy(p->text, text[i] == ' ' ? SAMPLE_MARK : text + i, p->size);
        i += length;
    }
    for (size_t i = 0; i + 1 < count; i++) pairs[i] = naive_mergeable(v, &parts[i], &parts[i + 1]);
    for (;;) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i + 1 < count; i++)
            if (pairs[i] >= 0 &&
                (best == SIZE_MAX || v->tokens[pairs[i]].score > v->tokens[pairs[best]].score))
                best = i;
        if (best == SIZE_MAX) break;
        memcpy(parts[best].text + parts[best].size, parts[best + 1].text, parts[best + 1].size);
        parts[best].size += parts[best + 1].size;
        memmove(&parts[best + 1], &parts[best + 2], (count - best - 2) * sizeof *parts);
        memmove(&pairs[best + 1], &pairs[best + 2], (count - best - 2) * sizeof *pairs);
        count--;
        if (best + 1 < count) pairs[best] = naive_mergeable(v, &parts[best], &parts[best + 1]);
        if (best > 0) pairs[best - 1] = naive_mergeable(v, &parts[best - 1], &parts[best]);
    }
    for (size_t i = 0; i < count; i++) naive_finish(v, &parts[i], out);
    free(parts);
    free(pairs);
}

static int32_t naive_literal(const sample_vocab *v, const char *text, size_t size, bool special) {
    int32_t found = -1;
    for (int32_t id = 0; id < v->count; id++) {
        const sample_token *token = &v->tokens[id];
        bool wanted =
            token->type == WR_TOKEN_USER_DEFINED ||
            (special && (token->type == WR_TOKEN_CONTROL || token->type == WR_TOKEN_UNKNOWN));
        if (!wanted || token->size > size || memcmp(token->text, text, token->size) != 0) continue;
        if (found < 0 || token->size > v->tokens[found].size) found = id;
    }
    return found;
}

static void naive_encode(const sample_vocab *v, const char *text, size_t size, bool special,
                         token_list *out) {
    bool prefix = v->space_prefix;
    size_t begin = 0;
    for (size_t at = 0; at < size;) {
        int32_t literal = naive_literal(v, text + at, size - at, special);
        if (literal < 0) {
            at += naive_length((const uint8_t *)text + at, size - at);
            continue;
        }
        naive_run(v, text + begin, at - begin, prefix, out);
        prefix = prefix && at == begin;
        token_list_add(out, literal);
        begin = at += v->tokens[literal].size;
    }
    naive_run(v, text + begin, size - begin, prefix, out);
}

/* ---- random texts and divisions -------------------------------------------------------------- */

typedef struct dice {
    uint64_t seed, throws;
} dice;

static uint32_t dice_below(dice *d, uint32_t range) {
    uint32_t random[4];
    wr_random_block(d->seed, 77, d->throws++, random);
    return random[0] % range;
}

static const char *const snippets[] = {"a",
                                       "b",
                                       "c",
                                       "u",
                                       "<",
                                       ">",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\n\n",
                                       "\xC3\xA9",
                                       "\xE6\xBC\xA2",
                                       "\xF0\x9F\x98\x80",
                                       "<u>",
                                       "<u>>",
                                       "<uca",
                                       "<ucab",
                                       "ab<",
                                       "<s",
                                       "<s>",
                                       "</s>",
                                       "<unk>",
                                       "\xE2\x96\x81",
                                       "\xE2\x96",
                                       "\xF0\x9F\x98",
                                       "\xFF",
                                       "\x80",
                                       "\xED\xA0\x80",
                                       "\xC0\xAF",
                                       "<0x41>",
                                       "abcab",
                                       "Z"};

static size_t random_text(dice *d, char *text, size_t room) {
    size_t size = 0;
    uint32_t plain = dice_below(d, 2); /* half of the texts are mostly letters */
    while (size + 8 < room) {
        uint32_t range = plain && dice_below(d, 8) > 0 ? 9 : sizeof snippets / sizeof snippets[0];
        const char *snippet = snippets[dice_below(d, range)];
        memcpy(text + size, snippet, strlen(snippet));
        size += strlen(snippet);
    }
    return size;
}

/* Feed `text` in random pieces; now and then through a save or a copy in between. */
static void encode_divided(token_list *out, const wr_vocab *vocab, const char *text, size_t size,
                           bool special, uint32_t largest, dice *d) {
    wr_arena arenas[2];
    wr_tokenizer *tokenizers[2] = {token_list_tokenizer(&arenas[0], vocab),
                                   token_list_tokenizer(&arenas[1], vocab)};
    int active = 0;
    for (size_t at = 0; at < size;) {
        size_t piece = 1 + dice_below(d, largest);
        if (piece > size - at) piece = size - at;
        assert_int_equal(wr_tokenizer_feed(tokenizers[active], text + at, piece, special,
                                           token_list_emit, out, NULL),
                         WEIR_OK);
        at += piece;
        uint32_t turn = dice_below(d, 20);
        if (turn == 0) {
            wr_tokenizer_copy(tokenizers[!active], tokenizers[active]);
            wr_tokenizer_reset(tokenizers[active], true);
            active = !active;
        } else if (turn == 1) {
            wr_writer writer = {0};
            wr_tokenizer_save(tokenizers[active], &writer);
            wr_reader reader = {.data = writer.data, .size = writer.size};
            assert_int_equal(wr_tokenizer_load(tokenizers[!active], &reader, NULL), WEIR_OK);
            assert_int_equal(wr_reader_left(&reader), 0);
            wr_writer_release(&writer);
            active = !active;
        }
    }
    wr_tokenizer_flush(tokenizers[active], token_list_emit, out, NULL);
    assert_int_equal(wr_tokenizer_held(tokenizers[active]), 0);
    wr_arena_release(&arenas[0], NULL);
    wr_arena_release(&arenas[1], NULL);
}

static void require_equal(const token_list *want, const token_list *have, uint64_t seed,
                          const char *what) {
    if (token_list_equal(want, have)) return;
    int64_t at = 0;
    while (at < want->count && at < have->count && want->ids[at] == have->ids[at]) at++;
    fail_msg("%s, seed %llu: token %lld of %lld/%lld differs", what, (unsigned long long)seed,
             (long long)at, (long long)want->count, (long long)have->count);
}

static void try_text(const sample_vocab *v, const wr_vocab *vocab, const char *text, size_t size,
                     bool naive, dice *d) {
    static const uint32_t largest[] = {1, 7, 64, 5000};
    for (int special = 0; special < 2; special++) {
        token_list whole = {0}, want = {0};
        token_list_encode(&whole, vocab, text, size, special);
        if (naive) {
            naive_encode(v, text, size, special, &want);
            require_equal(&want, &whole, d->seed, "against the naive model");
        }
        for (size_t i = 0; i < 4; i++) {
            token_list have = {0};
            encode_divided(&have, vocab, text, size, special, largest[i], d);
            require_equal(&whole, &have, d->seed, "in pieces");
            token_list_free(&have);
        }
        token_list_free(&whole);
        token_list_free(&want);
    }
}

static sample_vocab sample;

static sample_open open_sample(uint64_t seed, int options, int32_t merges) {
    sample_open open;
    weir_error error;
    sample_make(&sample, seed, options, merges);
    if (sample_vocab_open(&sample, &open, &error) != WEIR_OK) fail_msg("%s", error.message);
    assert_int_equal(wr_vocab_usable(open.vocab, &error), WEIR_OK);
    return open;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void random_texts_match_the_naive_model(void **state) {
    (void)state;
    static char text[600];
    for (uint64_t seed = 0; seed < 48; seed++) {
        sample_open open = open_sample(seed, (int)(seed % 16), 40 + (int32_t)(seed * 7 % 300));
        dice d = {.seed = seed};
        for (int i = 0; i < 6; i++) {
            size_t size = random_text(&d, text, 16 + dice_below(&d, sizeof text - 16));
            try_text(&sample, open.vocab, text, size, true, &d);
        }
        sample_vocab_close(&open);
    }
}

/* Longer than what is held: with certain cuts still the whole text's tokens, without them at least
 * the same for every division. */
static void long_texts_do_not_depend_on_arrival(void **state) {
    (void)state;
    static char text[12000];
    for (uint64_t seed = 100; seed < 108; seed++) {
        sample_open open = open_sample(seed, (int)(seed % 8) | SAMPLE_BYTES, 200);
        dice d = {.seed = seed};
        size_t size = random_text(&d, text, sizeof text);
        try_text(&sample, open.vocab, text, size, false, &d);
        for (size_t i = 0; i < size; i++)
            if (text[i] == ' ') text[i] = 'a';
        try_text(&sample, open.vocab, text, size, false, &d);
        sample_vocab_close(&open);
    }
}

static void certain_cuts_give_the_whole_text(void **state) {
    (void)state;
    static char text[6000];
    for (uint64_t seed = 200; seed < 204; seed++) {
        sample_open open = open_sample(seed, SAMPLE_BYTES, 120);
        dice d = {.seed = seed};
        size_t size = random_text(&d, text, sizeof text);
        for (size_t i = 300; i + 1 < size; i += 300) text[i] = 'b', text[i + 1] = ' ';
        try_text(&sample, open.vocab, text, size, true, &d);
        sample_vocab_close(&open);
    }
}

/* 10 KB without a space: cut at the character border at or before each 4096th byte. */
static void a_text_without_cuts_is_cut_at_fixed_offsets(void **state) {
    (void)state;
    static char text[10000];
    sample_open open = open_sample(5, SAMPLE_BYTES, 200);
    size_t size = 0;
    text[size++] = 'a';
    while (size + 3 <= sizeof text) {
        memcpy(text + size, size % 2 ? "\xE6\xBC\xA2" : "abc", 3);
        size += 3;
    }
    token_list want = {0}, whole = {0};
    /* 4096 = 1 + 3 * 1365, then 4095 = 3 * 1365 at a time: borders of characters */
    naive_run(&sample, text, 4096, true, &want);
    naive_run(&sample, text + 4096, 4095, false, &want);
    naive_run(&sample, text + 8191, size - 8191, false, &want);
    token_list_encode(&whole, open.vocab, text, size, false);
    require_equal(&want, &whole, 5, "fixed offsets");
    dice d = {.seed = 5};
    try_text(&sample, open.vocab, text, size, false, &d);
    token_list_free(&want);
    token_list_free(&whole);
    sample_vocab_close(&open);
}

static void what_is_certain_leaves_at_once(void **state) {
    (void)state;
    sample_open open = open_sample(1, SAMPLE_BYTES | SAMPLE_USER_DEFINED, 0);
    wr_arena arena;
    wr_tokenizer *t = token_list_tokenizer(&arena, open.vocab);
    token_list list = {0};
    wr_tokenizer_feed(t, "ab", 2, false, token_list_emit, &list, NULL);
    assert_int_equal(list.count, 0);
    assert_int_equal(wr_tokenizer_held(t), 2);
    wr_tokenizer_feed(t, " b", 2, false, token_list_emit, &list, NULL); /* a certain cut */
    assert_int_equal(list.count, 3);                                    /* prefix, a, b */
    assert_int_equal(wr_tokenizer_held(t), 2);
    wr_tokenizer_feed(t, "<u>", 3, false, token_list_emit, &list, NULL); /* may become <u>> */
    assert_int_equal(list.count, 3);
    wr_tokenizer_feed(t, "a", 1, false, token_list_emit, &list, NULL); /* it did not */
    assert_int_equal(list.count, 6);
    assert_true(wr_vocab_type(open.vocab, list.ids[5]) == WR_TOKEN_USER_DEFINED);
    assert_int_equal(wr_tokenizer_held(t), 1);
    token_list_free(&list);
    wr_arena_release(&arena, NULL);
    sample_vocab_close(&open);
}

/* That a long text could not be cut says nothing about the next one. */
static void a_text_without_cuts_leaves_no_trace(void **state) {
    (void)state;
    sample_open open = open_sample(1, SAMPLE_BYTES, 200);
    static char without[600], with[610];
    memset(without, 'a', sizeof without);
    for (size_t i = 0; i < sizeof with; i++) with[i] = i % 2 ? 'b' : ' ';
    wr_arena arena;
    wr_tokenizer *t = token_list_tokenizer(&arena, open.vocab);
    token_list list = {0};
    wr_tokenizer_feed(t, without, sizeof without, false, token_list_emit, &list, NULL);
    assert_int_equal(wr_tokenizer_held(t), sizeof without);
    wr_tokenizer_flush(t, token_list_emit, &list, NULL);
    wr_tokenizer_feed(t, with, sizeof with, false, token_list_emit, &list, NULL);
    assert_true(wr_tokenizer_held(t) < 16);
    token_list_free(&list);
    wr_arena_release(&arena, NULL);
    sample_vocab_close(&open);
}

static void the_space_prefix_comes_once(void **state) {
    (void)state;
    sample_open open = open_sample(1, SAMPLE_BYTES, 0);
    int32_t mark = wr_vocab_find(open.vocab, SAMPLE_MARK, 3);
    int32_t a = wr_vocab_find(open.vocab, "a", 1);
    wr_arena arena;
    wr_tokenizer *t = token_list_tokenizer(&arena, open.vocab);
    token_list list = {0};
    wr_tokenizer_flush(t, token_list_emit, &list, NULL); /* nothing: no prefix either */
    assert_int_equal(list.count, 0);
    for (int i = 0; i < 2; i++) {
        wr_tokenizer_feed(t, "a", 1, false, token_list_emit, &list, NULL);
        wr_tokenizer_flush(t, token_list_emit, &list, NULL);
    }
    wr_tokenizer_reset(t, false);
    wr_tokenizer_feed(t, "a", 1, false, token_list_emit, &list, NULL);
    wr_tokenizer_flush(t, token_list_emit, &list, NULL);
    int32_t want[] = {mark, a, a, a};
    assert_int_equal(list.count, 4);
    assert_memory_equal(list.ids, want, sizeof want);
    token_list_free(&list);
    wr_arena_release(&arena, NULL);
    sample_vocab_close(&open);
}

/* Whatever is written, text becomes no control token unless that was asked for. */
static void text_never_becomes_a_control_token(void **state) {
    (void)state;
    sample_make(&sample, 3, SAMPLE_BYTES, 0);
    sample_add(&sample, "<s", 2, 5, WR_TOKEN_NORMAL); /* merges that lead to <s> and to a byte */
    sample_add(&sample, "s", 1, -5, WR_TOKEN_NORMAL);
    sample_add(&sample, "<0x41", 5, 5, WR_TOKEN_NORMAL);
    sample_open open;
    assert_int_equal(sample_vocab_open(&sample, &open, NULL), WEIR_OK);
    token_list plain = {0}, special = {0};
    token_list_encode(&plain, open.vocab, "<s>", 3, false);
    token_list_encode(&special, open.vocab, "a<s>", 4, true);
    for (int64_t i = 0; i < plain.count; i++)
        assert_int_equal(wr_vocab_type(open.vocab, plain.ids[i]), WR_TOKEN_NORMAL);
    assert_int_equal(special.ids[special.count - 1], 1);
    token_list_free(&plain);
    token_list_free(&special);
    sample_vocab_close(&open);
}

static void changing_parse_special_flushes(void **state) {
    (void)state;
    sample_open open = open_sample(1, SAMPLE_BYTES, 0);
    wr_arena arena;
    wr_tokenizer *t = token_list_tokenizer(&arena, open.vocab);
    token_list list = {0};
    wr_tokenizer_feed(t, "a<", 2, false, token_list_emit, &list, NULL);
    wr_tokenizer_feed(t, "s>", 2, true, token_list_emit, &list, NULL);
    assert_int_equal(list.count, 3); /* prefix, a, < : the border is between them */
    wr_tokenizer_flush(t, token_list_emit, &list, NULL);
    for (int64_t i = 0; i < list.count; i++) assert_int_not_equal(list.ids[i], 1);
    token_list_free(&list);
    wr_arena_release(&arena, NULL);
    sample_vocab_close(&open);
}

static weir_status refuse(void *context, const int32_t *tokens, int64_t count, weir_error *error) {
    (void)tokens;
    (void)count;
    ++*(int *)context;
    return weir_error_set(error, WEIR_CANCELLED, "enough");
}

static void a_failure_stops_the_feeding(void **state) {
    (void)state;
    static char text[100000];
    memset(text, 'a', sizeof text);
    sample_open open = open_sample(1, SAMPLE_BYTES, 0);
    wr_arena arena;
    wr_tokenizer *t = token_list_tokenizer(&arena, open.vocab);
    weir_error error;
    int calls = 0;
    assert_int_equal(wr_tokenizer_feed(t, text, sizeof text, false, refuse, &calls, &error),
                     WEIR_CANCELLED);
    assert_string_equal(error.message, "enough");
    assert_int_equal(calls, 1);
    assert_int_equal(wr_tokenizer_held(t), 0);
    wr_arena_release(&arena, NULL);
    sample_vocab_close(&open);
}

static void damaged_states_are_refused(void **state) {
    (void)state;
    sample_open open = open_sample(1, SAMPLE_BYTES, 0);
    wr_arena arena;
    wr_tokenizer *t = token_list_tokenizer(&arena, open.vocab);
    token_list list = {0};
    wr_tokenizer_feed(t, "abc", 3, true, token_list_emit, &list, NULL);
    wr_writer writer = {0};
    wr_tokenizer_save(t, &writer);
    for (size_t size = 0; size < writer.size; size++) {
        wr_reader reader = {.data = writer.data, .size = size};
        assert_int_equal(wr_tokenizer_load(t, &reader, NULL), WEIR_DAMAGED);
    }
    for (size_t i = 0; i < 6; i++) {
        uint8_t kept = writer.data[i];
        writer.data[i] = 0xFF;
        wr_reader reader = {.data = writer.data, .size = writer.size};
        assert_int_equal(wr_tokenizer_load(t, &reader, NULL), WEIR_DAMAGED);
        writer.data[i] = kept;
    }
    wr_writer_release(&writer);
    token_list_free(&list);
    wr_arena_release(&arena, NULL);
    sample_vocab_close(&open);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_texts_match_the_naive_model),
        cmocka_unit_test(long_texts_do_not_depend_on_arrival),
        cmocka_unit_test(certain_cuts_give_the_whole_text),
        cmocka_unit_test(a_text_without_cuts_is_cut_at_fixed_offsets),
        cmocka_unit_test(what_is_certain_leaves_at_once),
        cmocka_unit_test(a_text_without_cuts_leaves_no_trace),
        cmocka_unit_test(the_space_prefix_comes_once),
        cmocka_unit_test(text_never_becomes_a_control_token),
        cmocka_unit_test(changing_parse_special_flushes),
        cmocka_unit_test(a_failure_stops_the_feeding),
        cmocka_unit_test(damaged_states_are_refused),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
