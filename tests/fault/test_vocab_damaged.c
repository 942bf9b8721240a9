/* Vocabularies of every kind with a byte changed, or cut: one sentence, or tokens in range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "support/small_vocabulary.h"
#include "support/token_list.h"

static const char text[] =
    "The weir's level,\n\n didn't CHANGE 123 caf\xC3\xA9 \xEF\xAC\x81 \xE6\xBC\xA2 "
    "e\xCC\x81 \xFF \xF0\x9F\x98\x80 the water and the weir ";

static uint8_t *read_file(const char *name, size_t *size) {
    char path[1024];
    FILE *file = fopen(small_path(name, "gguf", path), "rb");
    if (!file) fail_msg("%s is not here", path);
    uint8_t *bytes = malloc((size_t)1 << 20);
    assert_non_null(bytes);
    *size = fread(bytes, 1, (size_t)1 << 20, file);
    fclose(file);
    return bytes;
}

static void encode(const wr_vocab *vocab) {
    token_list tokens = {0};
    token_list_encode(&tokens, vocab, text, sizeof text - 1, false);
    for (int64_t i = 0; i < tokens.count; i++)
        assert_true(tokens.ids[i] >= 0 && tokens.ids[i] < wr_vocab_size(vocab));
    token_list_free(&tokens);
}

/* Whether it opened as a vocabulary. */
static bool try_bytes(const uint8_t *bytes, size_t size) {
    wr_gguf *gguf;
    wr_vocab *vocab = NULL;
    weir_error error = {0};
    weir_status status = wr_gguf_parse("damaged", bytes, size, NULL, &gguf, &error);
    if (status == WEIR_OK) status = wr_vocab_open(gguf, NULL, &vocab, &error);
    if (status == WEIR_OK) status = wr_vocab_usable(vocab, &error);
    bool good = status == WEIR_OK;
    if (good) encode(vocab);
    if (!good) assert_true(strlen(error.message) > 10 && !strchr(error.message, '\n'));
    wr_vocab_close(vocab);
    wr_gguf_close(gguf);
    return good;
}

static void changed_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        size_t size;
        uint8_t *bytes = read_file(small_vocabularies[i], &size);
        assert_true(try_bytes(bytes, size));
        int refused = 0;
        for (uint64_t n = 0; n < 400; n++) {
            uint32_t random[4];
            wr_random_block(i, 6, n, random);
            size_t at = random[0] % (n % 4 == 0 ? 400 : size); /* often the header */
            uint8_t kept = bytes[at];
            bytes[at] = n % 2 ? (uint8_t)random[1] : (uint8_t)(kept ^ 1u << random[1] % 8);
            refused += !try_bytes(bytes, size);
            bytes[at] = kept;
        }
        assert_true(refused > 0);
        free(bytes);
    }
}

static void files_cut_short(void **state) {
    (void)state;
    for (size_t i = 0; i < SMALL_VOCABULARIES; i++) {
        size_t size;
        uint8_t *bytes = read_file(small_vocabularies[i], &size);
        for (size_t cut = 0; cut < size; cut += 1 + size / 200) assert_false(try_bytes(bytes, cut));
        free(bytes);
    }
}

/* The normaliser's trie and strings, thoroughly: nothing else in the file says whether they are
 * right. */
static void a_charsmap_of_any_bytes(void **state) {
    (void)state;
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    size_t size, at = 0;
    uint8_t *bytes = read_file("unigram", &size);
    while (memcmp(bytes + at, key, sizeof key - 1) != 0) at++;
    at += sizeof key - 1 + 4 + 4 + 8; /* types, count */
    uint8_t *damaged = malloc(size);
    assert_non_null(damaged);
    for (uint64_t n = 0; n < 3000; n++) {
        memcpy(damaged, bytes, size);
        for (uint64_t k = 0; k <= n % 40; k++) {
            uint32_t random[4];
            wr_random_block(n, 7, k, random);
            size_t where = at + 4 + random[0] % (n % 2 ? 2000 : size - at - 4);
            damaged[where] = (uint8_t)random[1];
        }
        try_bytes(damaged, size);
    }
    free(damaged);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_bytes),
        cmocka_unit_test(files_cut_short),
        cmocka_unit_test(a_charsmap_of_any_bytes),
    };
    return cmocka_run_group_tests_name("damaged vocabularies", tests, NULL, NULL);
}
