/*
 * What every kind of tokenizer promises: the tokens of a text do not depend on how it arrives, text
 * never becomes a control token, and bytes that are no UTF-8 follow the rule of their kind. The
 * vocabularies are those of tests/golden/tokenizers; their tokens are proved there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/small_vocabulary.h"
#include "support/token_list.h"
#include "support/vocab_sample.h"
#include "text/detokenizer.h"
#include "text/vocab_inside.h"

/* ---- texts ----------------------------------------------------------------------------------- */

static const char *const snippets[] = {" the",
                                       "weir",
                                       " ",
                                       "  ",
                                       "a",
                                       "B",
                                       "aaaa",
                                       "\n",
                                       "\r\n",
                                       "\t",
                                       "1",
                                       "234",
                                       "'s",
                                       "!?",
                                       ".",
                                       "<s>",
                                       "<|end|>",
                                       "[UNK]",
                                       "\xC3\xA9",
                                       "e\xCC\x81",
                                       "\xE6\xBC\xA2",
                                       "\xEF\xBC\xA1",
                                       "\xE2\x96\x81",
                                       "\xC2\xA0",
                                       "\xEF\xAC\x81",
                                       "\xF0\x9F\x98\x80",
                                       "\xF0\x9F\x98",
                                       "\xFF",
                                       "\x80",
                                       "\xED\xA0\x80",
                                       "\xE2\x96",
                                       "\x01",
                                       "\xE2\x89\xAE",
                                       "\xC2\xAD",
                                       "\xD0\x96"};

static size_t random_text(uint64_t seed, char *text, size_t room, bool cuts) {
    size_t size = 0, count = sizeof snippets / sizeof snippets[0];
    for (uint64_t n = 0; size + 8 < room; n++) {
        uint32_t random[4];
        wr_random_block(seed, 3, n, random);
        const char *one = snippets[random[0] % (random[1] % 2 ? count : 7)];
        if (!cuts && (one[0] == ' ' || one[0] == '\n')) one = "ab";
        memcpy(text + size, one, strlen(one));
        size += strlen(one);
    }
    return size;
}

static void feed(wr_tokenizer *t, const char *text, size_t size, token_list *out) {
    assert_int_equal(wr_tokenizer_feed(t, text, size, false, token_list_emit, out, NULL), WEIR_OK);
    assert_true(wr_tokenizer_held(t) <= WR_HELD_BYTES + WR_LITERAL_BYTES);
}

/* In random pieces, and now and then through bytes into another tokenizer. */
static void encode_divided(const wr_vocab *vocab, const char *text, size_t size, uint32_t largest,
                           token_list *out) {
    wr_arena arenas[2];
    wr_tokenizer *t[2] = {token_list_tokenizer(&arenas[0], vocab),
                          token_list_tokenizer(&arenas[1], vocab)};
    int active = 0;
    for (size_t at = 0; at < size;) {
        uint32_t random[4];
        wr_random_block(largest, 4, at, random);
        size_t piece = 1 + random[0] % largest;
        if (piece > size - at) piece = size - at;
        feed(t[active], text + at, piece, out);
        at += piece;
        if (random[1] % 30 > 0) continue;
        wr_writer writer = {0};
        wr_tokenizer_save(t[active], &writer);
        wr_reader reader = {.data = writer.data, .size = writer.size};
        assert_int_equal(wr_tokenizer_load(t[!active], &reader, NULL), WEIR_OK);
        assert_int_equal(wr_reader_left(&reader), 0);
        wr_writer_release(&writer);
        active = !active;
    }
    wr_tokenizer_flush(t[active], token_list_emit, out, NULL);
    wr_arena_release(&arenas[0], NULL);
    wr_arena_release(&arenas[1], NULL);
}

static void check_arrival(const char *name, const wr_vocab *vocab, const char *text, size_t size) {
    static const uint32_t largest[] = {1, 9, 300, 5000};
    token_list whole = {0};
    token_list_encode(&whole, vocab, text, size, false);
    for (size_t i = size > 5000 ? 1 : 0; i < 4; i++) {
        token_list divided = {0};
        encode_divided(vocab, text, size, largest[i], &divided);
        if (!token_list_equal(&whole, &divided))
            fail_msg("%s: pieces of up to %u", name, largest[i]);
        token_list_free(&divided);
    }
    token_list_free(&whole);
}

static void arrival_does_not_matter(void **state) {
    (void)state;
    static char text[12000];
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        small_vocabulary small = small_open(small_vocabularies[i]);
        for (uint64_t seed = 0; seed < 20; seed++)
            check_arrival(small_vocabularies[i], small.vocab, text,
                          random_text(seed, text, 20 + seed * 40, seed % 4 > 0));
        for (uint64_t seed = 20; seed < 22; seed++)
            check_arrival(small_vocabularies[i], small.vocab, text,
                          random_text(seed, text, sizeof text, seed % 2));
        small_close(&small);
    }
}

/* Long runs of one thing, longer than what is held. */
static void long_runs_arrive_alike(void **state) {
    (void)state;
    static char text[9000];
    static const char *const runs[] = {" ", "a",           "\n", "\xCC\x81", "\xFF", "\xEF\xB7\xBA",
                                       "1", "\xE2\x96\x81"};
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        small_vocabulary small = small_open(small_vocabularies[i]);
        for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++) {
            size_t size = 1, step = strlen(runs[r]);
            text[0] = 'x';
            for (; size + step <= sizeof text; size += step) memcpy(text + size, runs[r], step);
            check_arrival(runs[r], small.vocab, text, size);
        }
        small_close(&small);
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* What the tokens mean, byte for byte. */
static size_t bytes_of(const wr_vocab *vocab, const token_list *tokens, char *out) {
    size_t size = 0;
    for (int64_t i = 0; i < tokens->count; i++)
        size += vocab->kind->decode(vocab, tokens->ids[i], out + size);
    return size;
}

static void byte_level_text_keeps_its_bytes(void **state) {
    (void)state;
    static char text[3000], out[9000];
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        small_vocabulary small = small_open(small_vocabularies[i]);
        bool byte_level = strcmp(wr_vocab_kind(small.vocab), "byte-level BPE") == 0;
        for (uint64_t seed = 0; seed < 20 && byte_level; seed++) {
            size_t size = random_text(seed, text, 200 + seed * 100, true);
            size_t prefix = wr_vocab_adds_space(small.vocab) && text[0] != ' ';
            token_list tokens = {0};
            token_list_encode(&tokens, small.vocab, text, size, false);
            assert_int_equal(bytes_of(small.vocab, &tokens, out), size + prefix);
            assert_memory_equal(out + prefix, text, size);
            token_list_free(&tokens);
        }
        small_close(&small);
    }
}

/* A byte that is no UTF-8 is to the patterns what a control character is. */
static void a_lone_byte_divides_like_a_control(void **state) {
    (void)state;
    static const char *const with[] = {"ab\xFF"
                                       "cd",
                                       " \xFF!",
                                       "1\xFF"
                                       "2",
                                       "\xFF\n\n x"};
    static const char *const like[] = {"ab\x01"
                                       "cd",
                                       " \x01!",
                                       "1\x01"
                                       "2",
                                       "\x01\n\n x"};
    small_vocabulary small = small_open("llama-bpe");
    int32_t byte = small.vocab->byte_tokens[0xFF], control = small.vocab->byte_tokens[0x01];
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        token_list have = {0}, want = {0};
        token_list_encode(&have, small.vocab, with[i], strlen(with[i]), false);
        token_list_encode(&want, small.vocab, like[i], strlen(like[i]), false);
        for (int64_t n = 0; n < want.count; n++)
            if (want.ids[n] == control) want.ids[n] = byte;
        assert_true(token_list_equal(&have, &want));
        token_list_free(&have);
        token_list_free(&want);
    }
    small_close(&small);
}

static void lone_bytes_of_the_other_kinds(void **state) {
    (void)state;
    static const struct {
        const char *name, *text;
        int32_t tokens[4]; /* -1: the byte token of 0xFF; -2: the unknown token */
        int64_t count;
    } cases[] = {{"unigram-fallback", "\xFF", {-1}, 1},
                 {"unigram", "\xFF\xFF", {-2}, 1}, /* unknowns in a row are one; the prefix is ▁ */
                 {"wordpiece-uncased", "\xFF", {-2}, 1},
                 {"wordpiece-uncased", "the\xFF", {-2}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        small_vocabulary small = small_open(cases[i].name);
        token_list have = {0};
        token_list_encode(&have, small.vocab, cases[i].text, strlen(cases[i].text), false);
        int32_t last = have.count > 0 ? have.ids[have.count - 1] : -5;
        assert_int_equal(last, cases[i].tokens[0] == -1 ? small.vocab->byte_tokens[0xFF]
                                                        : wr_vocab_unknown(small.vocab));
        assert_int_equal(have.count, cases[i].count + (i == 1));
        token_list_free(&have);
        small_close(&small);
    }
}

/* ---- control tokens -------------------------------------------------------------------------- */

static void text_never_becomes_a_control_token(void **state) {
    (void)state;
    static const char text[] = "a <|end|> [SEP] [CLS] <s> </s> [UNK] <unk> <pad> <0x41> b";
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        small_vocabulary small = small_open(small_vocabularies[i]);
        token_list plain = {0}, special = {0};
        token_list_encode(&plain, small.vocab, text, sizeof text - 1, false);
        for (int64_t n = 0; n < plain.count; n++)
            assert_int_not_equal(wr_vocab_type(small.vocab, plain.ids[n]), WR_TOKEN_CONTROL);
        token_list_encode(&special, small.vocab, text, sizeof text - 1, true);
        int controls = 0;
        for (int64_t n = 0; n < special.count; n++)
            controls += wr_vocab_type(small.vocab, special.ids[n]) == WR_TOKEN_CONTROL;
        assert_true(controls > 0);
        token_list_free(&plain);
        token_list_free(&special);
        small_close(&small);
    }
}

/* ---- ways back to text ----------------------------------------------------------------------- */

static void expect_text(const char *name, const char *text, const char *back) {
    small_vocabulary small = small_open(name);
    token_list tokens = {0};
    wr_detokenizer detokenizer = {0};
    char out[400];
    size_t size = 0;
    token_list_encode(&tokens, small.vocab, text, strlen(text), false);
    for (int64_t i = 0; i < tokens.count; i++)
        size += wr_detokenize(small.vocab, &detokenizer, tokens.ids[i], false, out + size);
    size += wr_detokenize_flush(&detokenizer, out + size);
    out[size] = '\0';
    assert_string_equal(out, back);
    token_list_free(&tokens);
    small_close(&small);
}

static void texts_come_back(void **state) {
    (void)state;
    static const char whole[] = " The weir,\n\n \xF0\x9F\x98\x80 caf\xC3\xA9\t!";
    expect_text("gpt-2", whole, whole);
    expect_text("gpt-4o", whole, whole);
    expect_text("gpt-2-prefix", "the weir", "the weir");
    expect_text("bpe-fallback", whole, whole);
    expect_text("gpt-2",
                "a\xFF"
                "b",
                "a\xEF\xBF\xBD"
                "b");
    expect_text("unigram", "  the   weir  ", "the weir");
    expect_text("unigram",
                "\xEF\xBC\xA1\xE2\x80\x83"
                "b",
                "A b"); /* compatibility forms */
    expect_text("unigram-fallback", "the \xF0\x9F\xA6\x99.", "the \xF0\x9F\xA6\x99.");
    expect_text("wordpiece-uncased", "The WATER,\nand  the", "the water , and the");
    expect_text("wordpiece-cased", "The water", "The water");
    expect_text("wordpiece-uncased", "caf\xC3\xA9 cafe\xCC\x81", "cafe cafe");
}

/* ---- odd vocabularies ------------------------------------------------------------------------ */

/* A byte-level vocabulary of these pieces; the last `controls` of them are control tokens. */
static void open_pieces(sample_open *open, const char *const *pieces, uint64_t count,
                        uint64_t controls, const char *const *merges, uint64_t merge_count) {
    memset(open, 0, sizeof *open);
    wr_writer *out = &open->bytes;
    wr_write_bytes(out, "GGUF", 4);
    wr_write_u32(out, 3);
    wr_write_u64(out, 0);
    wr_write_u64(out, 5);
    sample_entry(out, "tokenizer.ggml.model", WR_GGUF_STRING);
    sample_text(out, "gpt2", 4);
    sample_entry(out, "tokenizer.ggml.pre", WR_GGUF_STRING);
    sample_text(out, "gpt-2", 5);
    sample_items(out, "tokenizer.ggml.tokens", WR_GGUF_STRING, count);
    for (uint64_t i = 0; i < count; i++) sample_text(out, pieces[i], strlen(pieces[i]));
    sample_items(out, "tokenizer.ggml.token_type", WR_GGUF_I32, count);
    for (uint64_t i = 0; i < count; i++) wr_write_u32(out, i + controls < count ? 1 : 3);
    sample_items(out, "tokenizer.ggml.merges", WR_GGUF_STRING, merge_count);
    for (uint64_t i = 0; i < merge_count; i++) sample_text(out, merges[i], strlen(merges[i]));
    weir_error error = {0};
    if (wr_gguf_parse("pieces", out->data, out->size, NULL, &open->gguf, &error) != WEIR_OK ||
        wr_vocab_open(open->gguf, NULL, &open->vocab, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static void expect_tokens(const wr_vocab *vocab, const char *text, const int32_t *want,
                          int64_t count) {
    token_list have = {0};
    token_list_encode(&have, vocab, text, strlen(text), false);
    assert_int_equal(have.count, count);
    assert_memory_equal(have.ids, want, (size_t)count * sizeof *want);
    token_list_free(&have);
}

/* Of one pair merged twice the first counts; a merge that makes a control token is left out; a byte
 * without a token is U+FFFD. */
static void odd_merges(void **state) {
    (void)state;
    /* U+FFFD is EF BF BD, which are printable and so stand for themselves as characters. */
    static const char *const pieces[] = {"a",        "b",  "c",   "\xC3\xAF", "\xC2\xBF",
                                         "\xC2\xBD", "ab", "abc", "bc",       "ca"};
    static const char *const merges[] = {"a b", "ab c", "b c", "a b", "c a"};
    sample_open open;
    open_pieces(&open, pieces, 10, 1, merges, 5);
    assert_int_equal(wr_vocab_usable(open.vocab, NULL), WEIR_OK);
    assert_false(wr_vocab_has_bytes(open.vocab));
    expect_tokens(open.vocab, "abc", (int32_t[]){7}, 1);
    expect_tokens(open.vocab, "bcb", (int32_t[]){8, 1}, 2);
    expect_tokens(open.vocab, "ca", (int32_t[]){2, 0}, 2);
    expect_tokens(open.vocab, "aZb", (int32_t[]){0, 3, 4, 5, 1}, 5);
    sample_vocab_close(&open);
    open_pieces(&open, pieces, 3, 0, merges + 4, 0);
    assert_int_equal(wr_vocab_usable(open.vocab, NULL), WEIR_UNSUPPORTED);
    sample_vocab_close(&open);
    static const char *const few[] = {"a", "b", "ab"};
    open_pieces(&open, few, 3, 0, merges, 1); /* neither bytes nor U+FFFD */
    assert_int_equal(wr_vocab_usable(open.vocab, NULL), WEIR_UNSUPPORTED);
    sample_vocab_close(&open);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrival_does_not_matter),
        cmocka_unit_test(long_runs_arrive_alike),
        cmocka_unit_test(byte_level_text_keeps_its_bytes),
        cmocka_unit_test(a_lone_byte_divides_like_a_control),
        cmocka_unit_test(lone_bytes_of_the_other_kinds),
        cmocka_unit_test(text_never_becomes_a_control_token),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(odd_merges),
    };
    return cmocka_run_group_tests_name("kinds of tokenizers", tests, NULL, NULL);
}
