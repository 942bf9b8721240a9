/* text/detokenizer and text/utf8: whole characters only, and U+FFFD for what can be none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/token_list.h"
#include "support/vocab_sample.h"
#include "text/detokenizer.h"
#include "text/utf8.h"

#define FFFD "\xEF\xBF\xBD"

static sample_vocab sample;
static sample_open opened;

static int open_sample(void **state) {
    (void)state;
    sample_make(&sample, 9, SAMPLE_BYTES | SAMPLE_USER_DEFINED, 200);
    return sample_vocab_open(&sample, &opened, NULL) == WEIR_OK ? 0 : -1;
}

static int close_sample(void **state) {
    (void)state;
    sample_vocab_close(&opened);
    return 0;
}

/* Every character that exists, and what stands next to the borders of existence. */
static void every_character_is_known(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        uint8_t text[4];
        int size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        uint32_t rest = code;
        for (int i = size - 1; i > 0; i--, rest >>= 6) text[i] = (uint8_t)(0x80 | (rest & 0x3F));
        static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
        text[0] = (uint8_t)(lead[size] | rest);
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        assert_int_equal(wr_utf8_length(text, (size_t)size), surrogate ? -1 : size);
        for (int part = 1; part < size && !surrogate; part++)
            assert_int_equal(wr_utf8_length(text, (size_t)part), 0);
    }
    static const struct {
        const char *text;
        int length;
    } bad[] = {{"\x80", -1},         {"\xC0\x80", -1},     {"\xC1\xBF", -1},
               {"\xE0\x9F\xBF", -1}, {"\xF0\x8F\xBF", -1}, {"\xF4\x90\x80", -1},
               {"\xF5\x80", -1},     {"\xFF", -1},         {"\xC3(", -1},
               {"\xE2\x96(", -2},    {"\xF0\x9F\x98(", -3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(wr_utf8_length((const uint8_t *)bad[i].text, strlen(bad[i].text)),
                         bad[i].length);
}

/* The text of some bytes, each a byte token of its own. */
static size_t text_of_bytes(const char *bytes, size_t size, char *out) {
    wr_detokenizer state = {.begun = true};
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)(uint8_t)bytes[i]);
        int32_t token = wr_vocab_find(opened.vocab, name, 6);
        size_t more = wr_detokenize(opened.vocab, &state, token, false, out + written);
        /* Never a part of a character. */
        for (size_t at = 0; at < more;) {
            int length = wr_utf8_length((uint8_t *)out + written + at, more - at);
            assert_true(length > 0);
            at += (size_t)length;
        }
        written += more;
    }
    written += wr_detokenize_flush(&state, out + written);
    out[written] = '\0';
    return written;
}

/* The Unicode Standard's own examples of maximal subparts (tables 3-8 to 3-11), and some more. */
static void ill_formed_bytes_are_replaced_by_maximal_parts(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", FFFD FFFD FFFD FFFD "A"},
        {"\xE6\xBC\xA2\xF0\x9F\x98\x80", "\xE6\xBC\xA2\xF0\x9F\x98\x80"},
        {"a\xF0\x9F\x98", "a" FFFD},
        {"a\xE6\xBC\xE6\xBC\xA2", "a" FFFD "\xE6\xBC\xA2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[200];
        text_of_bytes(cases[i].bytes, strlen(cases[i].bytes), out);
        assert_string_equal(out, cases[i].text);
    }
}

static size_t decode(const token_list *list, bool control, char *out) {
    wr_detokenizer state = {0};
    size_t size = 0;
    for (int64_t i = 0; i < list->count; i++)
        size += wr_detokenize(opened.vocab, &state, list->ids[i], control, out + size);
    size += wr_detokenize_flush(&state, out + size);
    out[size] = '\0';
    return size;
}

static void texts_come_back(void **state) {
    (void)state;
    static const char *const texts[] = {"abc",  " abc", "  a",   "a  b   c",
                                        "\n a", "<u>a", "<u> a", "caf\xC3\xA9 \xF0\x9F\x98\x80 Z!",
                                        "<s>",  "   ",  ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char out[400];
        token_list list = {0};
        token_list_encode(&list, opened.vocab, texts[i], strlen(texts[i]), false);
        decode(&list, false, out);
        assert_string_equal(out, texts[i]);
        token_list_free(&list);
    }
}

static void the_leading_space_goes_once(void **state) {
    (void)state;
    char out[200];
    wr_detokenizer first = {0}, later = {.begun = true};
    int32_t mark = wr_vocab_find(opened.vocab, SAMPLE_MARK, 3);
    assert_int_equal(wr_detokenize(opened.vocab, &first, 1, false, out), 0); /* BOS hides nothing */
    assert_int_equal(wr_detokenize(opened.vocab, &first, mark, false, out), 0);
    assert_int_equal(wr_detokenize(opened.vocab, &first, mark, false, out), 1);
    assert_int_equal(wr_detokenize(opened.vocab, &later, mark, false, out), 1);
    assert_int_equal(out[0], ' ');
}

static void control_tokens_show_when_asked(void **state) {
    (void)state;
    char out[200];
    wr_detokenizer text = {0};
    assert_int_equal(wr_detokenize(opened.vocab, &text, 2, false, out), 0);
    assert_int_equal(wr_detokenize(opened.vocab, &text, 2, true, out), 4);
    assert_memory_equal(out, "</s>", 4);
    assert_int_equal(wr_detokenize(opened.vocab, &text, 0, false, out), 3);
    assert_memory_equal(out, FFFD, 3);
    static const int32_t outside[] = {-1, SAMPLE_TOKENS, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wr_detokenize(opened.vocab, &text, outside[i], true, out), 0);
}

/* The room that the header promises to be enough: any token after any held bytes. */
static void the_room_is_enough(void **state) {
    (void)state;
    size_t room = wr_detokenizer_room(opened.vocab);
    for (int32_t token = 0; token < wr_vocab_size(opened.vocab); token++) {
        wr_detokenizer text = {{0xF0, 0x9F, 0x98}, 3, true};
        char *out = malloc(room);
        assert_non_null(out);
        assert_true(wr_detokenize(opened.vocab, &text, token, true, out) <= room);
        free(out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_known),
        cmocka_unit_test(ill_formed_bytes_are_replaced_by_maximal_parts),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(the_leading_space_goes_once),
        cmocka_unit_test(control_tokens_show_when_asked),
        cmocka_unit_test(the_room_is_enough),
    };
    return cmocka_run_group_tests_name("detokenizer", tests, open_sample, close_sample);
}
