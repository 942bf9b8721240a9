/* text/splitter, text/pretokenizer: the pieces of a text are those of its whole, and what was said
 * to be certain stays so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/random.h"
#include "text/kinds/splitter.h"
#include "text/utf8.h"

typedef struct bench {
    wr_splitter *splitter;
    wr_arena arena;
    wr_splitter_scratch *scratch;
} bench;

static bench open_row(const wr_pretokenizer *row) {
    bench b = {0};
    weir_error error = {0};
    if (wr_splitter_open(row, NULL, &b.splitter, &error) != WEIR_OK) fail_msg("%s", error.message);
    wr_splitter_layout(&b.arena);
    assert_int_equal(wr_arena_bind(&b.arena, NULL), WEIR_OK);
    b.scratch = wr_splitter_layout(&b.arena);
    return b;
}

static void close_row(bench *b) {
    wr_splitter_close(b->splitter);
    wr_arena_release(&b->arena, NULL);
}

static int32_t split(const bench *b, const char *text, size_t size, bool open, uint32_t *copy) {
    const uint32_t *ends;
    int32_t count = wr_splitter_run(b->splitter, b->scratch, text, size, open, &ends);
    for (int32_t i = 0; i < count; i++) {
        assert_true(ends[i] > (i > 0 ? ends[i - 1] : 0) && ends[i] <= size);
        copy[i] = ends[i];
    }
    if (!open) assert_int_equal(count > 0 ? copy[count - 1] : 0, size);
    return count;
}

static const char *const snippets[] = {"a",
                                       "B",
                                       "z",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r\n",
                                       "\t",
                                       "1",
                                       "23",
                                       "'s",
                                       "'LL",
                                       "'",
                                       ".",
                                       "...",
                                       "/",
                                       "/\n",
                                       "$",
                                       "\xC3\xA9",
                                       "\xC3\x89",
                                       "\xE6\xBC\xA2",
                                       "\xE3\x81\x82",
                                       "\xE2\x80\xA6",
                                       "\xC2\xA0",
                                       "\xE3\x80\x80",
                                       "\xE1\xA0\x8E",
                                       "e\xCC\x81",
                                       "\xF0\x9F\x98\x80",
                                       "\xD9\xA3",
                                       "\xC7\x85",
                                       "\xEA\xB0\x80",
                                       "\x01",
                                       "(",
                                       "|",
                                       "word",
                                       " the"};

static size_t random_text(uint64_t seed, char *text, size_t room) {
    size_t size = 0;
    for (uint64_t n = 0; size + 8 < room; n++) {
        uint32_t random[4];
        wr_random_block(seed, 3, n, random);
        size_t count = sizeof snippets / sizeof snippets[0];
        const char *one = snippets[random[0] % (random[1] % 2 ? count : 9)];
        memcpy(text + size, one, strlen(one));
        size += strlen(one);
    }
    return size;
}

/* Every beginning of a text says what is certain of the whole; and what follows a certain border is
 * divided as if it stood alone. */
static void check_beginnings(const bench *b, const char *text, size_t size) {
    uint32_t whole[256], certain[256], rest[256];
    int32_t count = split(b, text, size, false, whole);
    int32_t before = 0;
    for (size_t end = 1; end <= size; end++) {
        if (end < size && ((uint8_t)text[end] & 0xC0) == 0x80) continue;
        int32_t known = split(b, text, end, true, certain);
        assert_true(known >= before && known <= count);
        assert_memory_equal(whole, certain, (size_t)known * sizeof *whole);
        if (known == before) continue;
        uint32_t from = certain[known - 1];
        assert_int_equal(split(b, text + from, size - from, false, rest), count - known);
        for (int32_t i = known; i < count; i++) assert_int_equal(rest[i - known] + from, whole[i]);
        before = known;
    }
    assert_true(before > 0);
}

static void certain_pieces_stay(void **state) {
    (void)state;
    static char text[200];
    const wr_pretokenizer *row;
    for (size_t r = 0; (row = wr_pretokenizer_at(r)) != NULL; r++) {
        bench b = open_row(row);
        for (uint64_t seed = 0; seed < 60; seed++)
            check_beginnings(&b, text, random_text(seed, text, 40 + seed % 150));
        close_row(&b);
    }
}

/* Runs as long as a run may be: whatever the pattern, time and stack stay bounded. */
static void long_runs_end(void **state) {
    (void)state;
    static char text[WR_SPLITTER_BYTES];
    static uint32_t ends[WR_SPLITTER_BYTES + 1];
    static const char *const runs[] = {" ",        "\n", "a",   "A",  "1",        "!",
                                       "\xC3\xA9", "'s", " \n", "Aa", "\xCC\x81", "/"};
    const wr_pretokenizer *row;
    for (size_t r = 0; (row = wr_pretokenizer_at(r)) != NULL; r++) {
        bench b = open_row(row);
        for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
            size_t size = 0, step = strlen(runs[i]);
            for (; size + step + 4 <= sizeof text; size += step) memcpy(text + size, runs[i], step);
            split(&b, text, size, false, ends);
            split(&b, text, size, true, ends);
            memcpy(text + size, "\xF0\x9F\x98\x80", 4);
            split(&b, text, size + 4, false, ends);
        }
        close_row(&b);
    }
}

static void expect(const char *name, const char *text, const char *joined) {
    bench b = open_row(wr_pretokenizer_find((wr_string){name, strlen(name)}));
    uint32_t ends[64];
    char out[256];
    size_t size = 0, begin = 0;
    int32_t count = split(&b, text, strlen(text), false, ends);
    for (int32_t i = 0; i < count; begin = ends[i++]) {
        memcpy(out + size, text + begin, ends[i] - begin);
        size += ends[i] - begin;
        out[size++] = '|';
    }
    out[size] = '\0';
    assert_string_equal(out, joined);
    close_row(&b);
}

static void pieces_of_some_texts(void **state) {
    (void)state;
    expect("gpt-2", "I'll pay 1234  now!\n\n x", "I|'ll| pay| 1234| | now|!|\n\n| x|");
    expect("llama-bpe", "I'LL pay 1234  now!\n\n x", "I|'LL| pay| |123|4| | now|!\n\n| x|");
    expect("qwen2", "a 12", "a| |1|2|");
    expect("gpt-4o", "HelloWORLD it's/\n", "Hello|WORLD| it's|/\n|");
    expect("starcoder", "a 12", "a| |1|2|");
    expect("falcon", "x.1234", "x|.|123|4|");
    expect("bloom", "it, is", "it|,| is|");
    expect("gpt-2",
           "a\xE1\xA0\x8E"
           "b",
           "a|\xE1\xA0\x8E|b|");                      /* U+180E is no white space */
    expect("gpt-2", "a\xC2\x85 b", "a|\xC2\x85| b|"); /* U+0085 is */
}

static void names_are_known_once(void **state) {
    (void)state;
    const wr_pretokenizer *row;
    size_t names = 0;
    for (size_t r = 0; (row = wr_pretokenizer_at(r)) != NULL; r++) {
        for (const char *at = row->names; *at; names++) {
            size_t size = strcspn(at, " ");
            assert_true(size > 0 && wr_pretokenizer_find((wr_string){at, size}) == row);
            at += size + (at[size] == ' ');
        }
    }
    assert_true(names > 30);
    assert_null(wr_pretokenizer_find((wr_string){"gpt", 3}));
    assert_null(wr_pretokenizer_find((wr_string){"", 0}));
    assert_null(wr_pretokenizer_find((wr_string){"mpt olmo", 8}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_once),
        cmocka_unit_test(pieces_of_some_texts),
        cmocka_unit_test(certain_pieces_stay),
        cmocka_unit_test(long_runs_end),
    };
    return cmocka_run_group_tests_name("splitter", tests, NULL, NULL);
}
