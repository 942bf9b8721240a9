/* Small vocabularies of every kind, and the tokens that the packages `tokenizers` and
 * `sentencepiece` give for some strings (tools/reference/golden_tokenizers.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "support/small_vocabulary.h"
#include "support/token_list.h"

static json_t *read_list(const char *name) {
    char path[1024];
    json_t *list = json_load_file(small_path(name, "json", path), JSON_ALLOW_NUL, NULL);
    if (!json_is_array(list)) fail_msg("%s is no JSON list", path);
    return list;
}

static void check_tokens(const char *name, const token_list *have, const json_t *want, size_t n) {
    if ((size_t)have->count != json_array_size(want))
        fail_msg("%s, string %zu: %lld tokens, not %zu", name, n, (long long)have->count,
                 json_array_size(want));
    for (int64_t i = 0; i < have->count; i++)
        if (have->ids[i] != json_integer_value(json_array_get(want, (size_t)i)))
            fail_msg("%s, string %zu: token %lld is %d", name, n, (long long)i, have->ids[i]);
}

static void the_reference_agrees(void **state) {
    (void)state;
    json_t *strings = read_list("strings");
    assert_true(json_array_size(strings) > 150);
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        small_vocabulary small = small_open(small_vocabularies[i]);
        json_t *tokens = read_list(small_vocabularies[i]);
        assert_int_equal(json_array_size(tokens), json_array_size(strings));
        for (size_t n = 0; n < json_array_size(strings); n++) {
            const json_t *string = json_array_get(strings, n);
            token_list have = {0};
            token_list_encode(&have, small.vocab, json_string_value(string),
                              json_string_length(string), false);
            check_tokens(small_vocabularies[i], &have, json_array_get(tokens, n), n);
            token_list_free(&have);
        }
        json_decref(tokens);
        small_close(&small);
    }
    json_decref(strings);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_reference_agrees)};
    return cmocka_run_group_tests_name("small vocabularies", tests, NULL, NULL);
}
