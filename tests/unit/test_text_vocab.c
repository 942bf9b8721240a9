/* text/vocab: what a file may say about its tokens, and what it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "support/failing_allocator.h"
#include "support/small_vocabulary.h"
#include "support/vocab_sample.h"
#include "text/vocab_inside.h"

static sample_vocab sample;

static void the_file_answers(void **state) {
    (void)state;
    sample_open open;
    sample_make(&sample, 1, SAMPLE_BYTES | SAMPLE_USER_DEFINED, 100);
    assert_int_equal(sample_vocab_open(&sample, &open, NULL), WEIR_OK);
    const wr_vocab *v = open.vocab;
    assert_string_equal(wr_vocab_kind(v), "SentencePiece BPE");
    assert_int_equal(wr_vocab_size(v), sample.count);
    assert_int_equal(wr_vocab_bos(v), 1); /* the kind's usual ids: the file has no keys for them */
    assert_int_equal(wr_vocab_eos(v), 2);
    assert_int_equal(wr_vocab_unknown(v), 0);
    assert_true(wr_vocab_adds_bos(v) && !wr_vocab_adds_eos(v) && wr_vocab_adds_space(v));
    assert_true(wr_vocab_has_bytes(v) && wr_vocab_ends_text(v, 2) && !wr_vocab_ends_text(v, 1));
    assert_false(wr_vocab_ends_text(v, -1));
    for (int32_t i = 0; i < sample.count; i++) {
        const sample_token *token = &sample.tokens[i];
        wr_string piece = wr_vocab_piece(v, i);
        assert_int_equal(piece.size, token->size);
        assert_memory_equal(piece.data, token->text, token->size);
        assert_int_equal(wr_vocab_type(v, i), token->type);
        assert_int_equal(wr_vocab_find(v, token->text, token->size), i);
    }
    assert_int_equal(wr_vocab_find(v, "no such piece", 13), -1);
    assert_int_equal(wr_vocab_find(v, "", 0), -1);
    assert_int_equal(wr_vocab_piece(v, -1).size, 0);
    assert_int_equal(wr_vocab_piece(v, sample.count).size, 0);
    sample_vocab_close(&open);
}

/* As llama.cpp has it, except that a control token never hides a piece of text. */
static void of_equal_pieces_the_last_one_counts(void **state) {
    (void)state;
    sample_open open;
    sample_make(&sample, 1, 0, 0);
    int32_t first = sample_add(&sample, "twice", 5, 0, WR_TOKEN_NORMAL);
    int32_t last = sample_add(&sample, "twice", 5, 0, WR_TOKEN_NORMAL);
    sample_add(&sample, "twice", 5, 0, WR_TOKEN_CONTROL);
    sample_add(&sample, "", 0, 0, WR_TOKEN_NORMAL);
    assert_int_equal(sample_vocab_open(&sample, &open, NULL), WEIR_OK);
    assert_int_equal(wr_vocab_find(open.vocab, "twice", 5), last);
    assert_int_not_equal(first, last);
    sample_vocab_close(&open);
}

/* ---- files put together by hand -------------------------------------------------------------- */

typedef struct entry {
    const char *key;
    wr_gguf_type type; /* of the value; of the items when count >= 0 */
    int64_t count;     /* -1: no array */
    double number;     /* the value; all items */
    const char *text;
} entry;

static void write_value(wr_writer *out, const entry *e) {
    switch (e->type) {
    case WR_GGUF_STRING:
        sample_text(out, e->text, strlen(e->text));
        break;
    case WR_GGUF_F32:
        wr_write_f32(out, (float)e->number);
        break;
    case WR_GGUF_BOOL:
    case WR_GGUF_U8:
        wr_write_u8(out, (uint8_t)e->number);
        break;
    default:
        wr_write_u32(out, (uint32_t)(int64_t)e->number);
    }
}

static weir_status open_entries(const entry *entries, size_t count, sample_open *open,
                                weir_error *error) {
    memset(open, 0, sizeof *open);
    wr_writer *out = &open->bytes;
    wr_write_bytes(out, "GGUF", 4);
    wr_write_u32(out, 3);
    wr_write_u64(out, 0);
    wr_write_u64(out, count);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].count < 0)
            sample_entry(out, entries[i].key, entries[i].type);
        else
            sample_items(out, entries[i].key, entries[i].type, (uint64_t)entries[i].count);
        for (int64_t n = 0; n < (entries[i].count < 0 ? 1 : entries[i].count); n++)
            write_value(out, &entries[i]);
    }
    if (wr_gguf_parse("by hand", out->data, out->size, NULL, &open->gguf, error) != WEIR_OK)
        fail_msg("%s", error->message);
    return wr_vocab_open(open->gguf, NULL, &open->vocab, error);
}

#define MODEL(name)                                                                                \
    { "tokenizer.ggml.model", WR_GGUF_STRING, -1, 0, name }
#define TOKENS(n)                                                                                  \
    { "tokenizer.ggml.tokens", WR_GGUF_STRING, n, 0, "x" }
#define SCORES(n, score)                                                                           \
    { "tokenizer.ggml.scores", WR_GGUF_F32, n, score, NULL }
#define TYPES(n, type)                                                                             \
    { "tokenizer.ggml.token_type", WR_GGUF_I32, n, type, NULL }
#define ID(name, id)                                                                               \
    { "tokenizer.ggml." name "_token_id", WR_GGUF_U32, -1, id, NULL }

#define MERGES(type, n, text)                                                                      \
    { "tokenizer.ggml.merges", type, n, 0, text }
#define CHARSMAP(type, n, byte)                                                                    \
    { "tokenizer.ggml.precompiled_charsmap", type, n, byte, NULL }
#define SQUEEZES(type)                                                                             \
    { "tokenizer.ggml.remove_extra_whitespaces", type, -1, 1, NULL }

static void damaged_vocabularies_are_one_sentence(void **state) {
    (void)state;
    static const struct {
        const char *names; /* what the sentence must name */
        entry entries[5];
        size_t count;
    } cases[] = {
        {"tokens", {MODEL("llama")}, 1},
        {"tokens", {MODEL("llama"), {"tokenizer.ggml.tokens", WR_GGUF_I32, 4, 0, NULL}}, 2},
        {"tokens", {MODEL("llama"), {"tokenizer.ggml.tokens", WR_GGUF_STRING, -1, 0, "x"}}, 2},
        {"scores is missing", {MODEL("llama"), TOKENS(4)}, 2},
        {"scores has 3 items", {MODEL("llama"), TOKENS(4), SCORES(3, 0)}, 3},
        {"scores", {MODEL("llama"), TOKENS(4), SCORES(4, (double)NAN)}, 3},
        {"scores", {MODEL("llama"), TOKENS(4), {"tokenizer.ggml.scores", WR_GGUF_I32, 4, 0, 0}}, 3},
        {"token_type has 5", {MODEL("llama"), TOKENS(4), SCORES(4, 0), TYPES(5, 1)}, 4},
        {"type 7", {MODEL("llama"), TOKENS(4), SCORES(4, 0), TYPES(4, 7)}, 4},
        {"type -1", {MODEL("llama"), TOKENS(4), SCORES(4, 0), TYPES(4, -1)}, 4},
        {"is a byte", {MODEL("llama"), TOKENS(4), SCORES(4, 0), TYPES(4, 6)}, 4},
        {"token_type",
         {MODEL("llama"),
          TOKENS(4),
          SCORES(4, 0),
          {"tokenizer.ggml.token_type", WR_GGUF_F32, 4, 0, 0}},
         4},
        {"bos_token_id", {MODEL("llama"), TOKENS(4), SCORES(4, 0), TYPES(4, 1), ID("bos", 4)}, 5},
        {"eot_token_id", {MODEL("llama"), TOKENS(4), SCORES(4, 0), TYPES(4, 1), ID("eot", 99)}, 5},
        {"unknown_token_id", {MODEL("gpt2"), TOKENS(4), ID("unknown", 70000)}, 3},
        {"tokenizer.ggml.model", {{"tokenizer.ggml.model", WR_GGUF_F32, -1, 1, NULL}}, 1},
        {"merges is not an array", {MODEL("gpt2"), TOKENS(4), MERGES(WR_GGUF_I32, 3, NULL)}, 3},
        {"merges is not an array", {MODEL("gpt2"), TOKENS(4), MERGES(WR_GGUF_STRING, -1, "")}, 3},
        {"merge 0 is not", {MODEL("gpt2"), TOKENS(4), MERGES(WR_GGUF_STRING, 3, "x x")}, 3},
        {"merge 0 is not", {MODEL("gpt2"), TOKENS(4), MERGES(WR_GGUF_STRING, 3, "")}, 3},
        {"merge 0 is not", {MODEL("gpt2"), TOKENS(4), MERGES(WR_GGUF_STRING, 1, "x ")}, 3},
        {"tokenizer.ggml.pre", {MODEL("gpt2"), TOKENS(4), {"tokenizer.ggml.pre", 4, -1, 1, 0}}, 3},
        {"scores is missing", {MODEL("t5"), TOKENS(4)}, 2},
        {"array of bytes", {MODEL("t5"), TOKENS(4), SCORES(4, 0), CHARSMAP(WR_GGUF_I32, 8, 0)}, 4},
        {"too short", {MODEL("t5"), TOKENS(4), SCORES(4, 0), CHARSMAP(WR_GGUF_U8, 3, 0)}, 4},
        {"impossible size", {MODEL("t5"), TOKENS(4), SCORES(4, 0), CHARSMAP(WR_GGUF_U8, 9, 0)}, 4},
        {"impossible size",
         {MODEL("t5"), TOKENS(4), SCORES(4, 0), CHARSMAP(WR_GGUF_U8, 9, 255)},
         4},
        {"remove_extra", {MODEL("t5"), TOKENS(4), SCORES(4, 0), SQUEEZES(WR_GGUF_F32)}, 4},
        {"lowercase",
         {MODEL("bert"), TOKENS(4), {"tokenizer.ggml.normalizer.lowercase", WR_GGUF_F32, -1, 1, 0}},
         3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sample_open open;
        weir_error error = {0};
        assert_int_equal(open_entries(cases[i].entries, cases[i].count, &open, &error),
                         WEIR_DAMAGED);
        assert_null(open.vocab);
        if (!strstr(error.message, cases[i].names) || !strstr(error.message, "by hand"))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, error.message, cases[i].names);
        sample_vocab_close(&open);
    }
}

/* What weir cannot apply opens all the same: for everything that needs no text. */
static void unusable_kinds_open_and_say_so(void **state) {
    (void)state;
    static const struct {
        const char *model, *kind, *says;
        entry more;
    } cases[] = {
        {"gpt2", "byte-level BPE", "has no tokenizer.ggml.merges", {"a", WR_GGUF_BOOL, -1, 0, 0}},
        {"gpt2",
         "byte-level BPE",
         "pre-tokenizer \"new?one\"",
         {"tokenizer.ggml.pre", WR_GGUF_STRING, -1, 0, "new\none"}},
        {"bert", "WordPiece", "no unknown token", {"a", WR_GGUF_BOOL, -1, 0, 0}},
        {"t5", "SentencePiece unigram", "neither all byte tokens", SCORES(3, 0)},
        {"rwkv\n", "unknown (rwkv?)", "\"rwkv?\"", {"a", WR_GGUF_BOOL, -1, 0, 0}},
        {"none", "none", "no tokenizer", {"a", WR_GGUF_BOOL, -1, 0, 0}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        entry entries[] = {MODEL(cases[i].model), TOKENS(3), cases[i].more, TYPES(3, 1)};
        sample_open open;
        weir_error error = {0};
        assert_int_equal(open_entries(entries, 4, &open, &error), WEIR_OK);
        assert_string_equal(wr_vocab_kind(open.vocab), cases[i].kind);
        assert_int_equal(wr_vocab_usable(open.vocab, &error), WEIR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "still work"));
        assert_non_null(strstr(error.message, cases[i].says));
        assert_false(wr_vocab_adds_bos(open.vocab));
        sample_vocab_close(&open);
    }
    sample_open open;
    weir_error error = {0};
    entry entries[] = {{"general.architecture", WR_GGUF_STRING, -1, 0, "llama"}};
    assert_int_equal(open_entries(entries, 1, &open, &error), WEIR_OK);
    assert_string_equal(wr_vocab_kind(open.vocab), "none");
    assert_int_equal(wr_vocab_size(open.vocab), 0);
    sample_vocab_close(&open);
}

static void ids_and_flags_of_the_file_win(void **state) {
    (void)state;
    sample_open open;
    weir_error error = {0};
    entry entries[] = {MODEL("llama"),
                       TOKENS(9),
                       SCORES(9, 0),
                       TYPES(9, 1),
                       ID("bos", 5),
                       ID("eos", 4294967295.0),
                       ID("eot", 7),
                       ID("eom", 8),
                       ID("unknown", 3),
                       {"tokenizer.ggml.add_bos_token", WR_GGUF_BOOL, -1, 0, NULL},
                       {"tokenizer.ggml.add_eos_token", WR_GGUF_BOOL, -1, 1, NULL},
                       {"tokenizer.ggml.add_space_prefix", WR_GGUF_BOOL, -1, 0, NULL}};
    assert_int_equal(open_entries(entries, sizeof entries / sizeof *entries, &open, &error),
                     WEIR_OK);
    assert_int_equal(wr_vocab_bos(open.vocab), 5);
    assert_int_equal(wr_vocab_eos(open.vocab), -1);
    assert_int_equal(wr_vocab_unknown(open.vocab), 3);
    assert_true(wr_vocab_ends_text(open.vocab, 7) && wr_vocab_ends_text(open.vocab, 8));
    assert_false(wr_vocab_adds_bos(open.vocab));
    assert_false(wr_vocab_adds_eos(open.vocab)); /* there is none to add */
    assert_false(wr_vocab_adds_space(open.vocab));
    sample_vocab_close(&open);
    /* Neither bytes nor an unknown token: not every text has tokens. */
    entry bare[] = {MODEL("llama"), TOKENS(9), SCORES(9, 0), TYPES(9, 1)};
    assert_int_equal(open_entries(bare, 4, &open, &error), WEIR_OK);
    assert_int_equal(wr_vocab_usable(open.vocab, &error), WEIR_UNSUPPORTED);
    sample_vocab_close(&open);
}

static void require_safe_opening(const wr_gguf *gguf) {
    failing_allocator memory;
    for (int64_t n = 1;; n++) {
        failing_allocator_init(&memory);
        memory.fail_at = n;
        wr_vocab *vocab;
        weir_status status = wr_vocab_open(gguf, &memory.allocator, &vocab, NULL);
        if (status == WEIR_OK) {
            wr_vocab_close(vocab);
            assert_true(failing_allocator_clean(&memory));
            assert_true(memory.largest <= (size_t)1 << 20);
            assert_true(n > 5);
            break;
        }
        assert_int_equal(status, WEIR_MEMORY);
        assert_null(vocab);
        assert_true(failing_allocator_clean(&memory));
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    sample_open open;
    sample_make(&sample, 2, SAMPLE_BYTES | SAMPLE_USER_DEFINED, 200);
    assert_int_equal(sample_vocab_open(&sample, &open, NULL), WEIR_OK);
    require_safe_opening(open.gguf);
    sample_vocab_close(&open);
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        small_vocabulary small = small_open(small_vocabularies[i]);
        require_safe_opening(small.gguf);
        small_close(&small);
    }
}

/* Empty strings are the smallest tokens that a file can hold: 8 bytes each. */
static void no_allocation_is_larger_than_the_file(void **state) {
    (void)state;
    enum { MANY = 1000000 };
    sample_open open;
    weir_error error = {0};
    entry entries[] = {MODEL("gpt2"), {"tokenizer.ggml.tokens", WR_GGUF_STRING, MANY, 0, ""}};
    assert_int_equal(open_entries(entries, 2, &open, &error), WEIR_OK);
    wr_vocab_close(open.vocab);
    failing_allocator memory;
    failing_allocator_init(&memory);
    assert_int_equal(wr_vocab_open(open.gguf, &memory.allocator, &open.vocab, NULL), WEIR_OK);
    assert_true(memory.largest <= open.bytes.size);
    wr_vocab_close(open.vocab);
    open.vocab = NULL;
    assert_true(failing_allocator_clean(&memory));
    sample_vocab_close(&open);
}

/* The hash of pieces.c under its first seed. */
static uint32_t first_slot(const char *text, size_t size, uint32_t slots) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001B3u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    return (uint32_t)(((hash & 0xFFFFFFFFu) * slots) >> 32);
}

/* Hundreds of pieces chosen to stand in one slot: another seed is taken, and lookups stay short. */
static void chosen_collisions_do_not_matter(void **state) {
    (void)state;
    sample_open open;
    sample_make(&sample, 1, 0, 0);
    for (unsigned n = 0; sample.count < SAMPLE_TOKENS; n++) {
        char text[16];
        size_t size = (size_t)snprintf(text, sizeof text, "k%u", n);
        if (first_slot(text, size, SAMPLE_TOKENS + SAMPLE_TOKENS / 2 + 1) == 7)
            sample_add(&sample, text, size, 0, WR_TOKEN_NORMAL);
    }
    assert_int_equal(sample_vocab_open(&sample, &open, NULL), WEIR_OK);
    assert_true(open.vocab->hash_seed > 0);
    for (int32_t i = 0; i < sample.count; i++)
        assert_int_equal(wr_vocab_find(open.vocab, sample.tokens[i].text, sample.tokens[i].size),
                         i);
    sample_vocab_close(&open);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_answers),
        cmocka_unit_test(of_equal_pieces_the_last_one_counts),
        cmocka_unit_test(damaged_vocabularies_are_one_sentence),
        cmocka_unit_test(unusable_kinds_open_and_say_so),
        cmocka_unit_test(ids_and_flags_of_the_file_win),
        cmocka_unit_test(chosen_collisions_do_not_matter),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(no_allocation_is_larger_than_the_file),
    };
    return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}
