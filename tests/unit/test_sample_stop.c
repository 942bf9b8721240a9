/* sample/stop: stop strings over text in pieces, against a search in the whole text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/random.h"
#include "sample/stop.h"

typedef struct text {
    char bytes[4096];
    size_t size;
} text;

static void gather(void *context, const char *bytes, size_t size) {
    text *out = context;
    assert_true(size > 0 && out->size + size <= sizeof out->bytes);
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
}

/* Bytes before the match that is complete first (the longest of those that end together), or -1. */
static long naive_stop(const char *bytes, size_t size, const char *const *strings, int count) {
    for (size_t end = 1; end <= size; end++) {
        size_t longest = 0;
        for (int i = 0; i < count; i++) {
            size_t length = strlen(strings[i]);
            if (length > longest && length <= end &&
                memcmp(bytes + end - length, strings[i], length) == 0)
                longest = length;
        }
        if (longest > 0) return (long)(end - longest);
    }
    return -1;
}

static void require(const char *bytes, const char *const *strings, int count, uint64_t seed) {
    size_t size = strlen(bytes);
    long want = naive_stop(bytes, size, strings, count);
    for (uint64_t division = 0; division < 6; division++) {
        wr_stop stop;
        static text out;
        out.size = 0;
        bool stopped = false;
        assert_int_equal(wr_stop_init(&stop, strings, count, NULL), WEIR_OK);
        for (size_t at = 0; at < size && !stopped;) {
            double unit = wr_random_unit(seed, division, at);
            size_t piece = division == 0 ? 1 : 1 + (size_t)(unit * (double)(division * 7));
            if (piece > size - at) piece = size - at;
            stopped = wr_stop_feed(&stop, bytes + at, piece, gather, &out);
            at += piece;
            /* What was shown is never a part of the match that comes. */
            if (want >= 0) assert_true(out.size <= (size_t)want);
        }
        assert_int_equal(stopped, want >= 0);
        if (!stopped) wr_stop_flush(&stop, gather, &out);
        assert_int_equal(out.size, want >= 0 ? (size_t)want : size);
        assert_memory_equal(out.bytes, bytes, out.size);
    }
}

static void known_cases(void **state) {
    (void)state;
    static const char *const user[] = {"\nUser:", "###", "</s>"};
    require("hello\nUser: hi", user, 3, 1);
    require("a ## b ### c", user, 3, 1);
    require("\nUse\nUser", user, 3, 1);
    require("\nUse\nUser:", user, 3, 1);
    require("####", user, 3, 1);
    require("", user, 3, 1);
    require("nothing here", user, 0, 1);
    static const char *const overlapping[] = {"abcd", "bc", "c", "xbc"};
    require("abcd", overlapping, 4, 1);
    require("aabxbcd", overlapping, 4, 1);
    static const char *const periodic[] = {"aabaab", "aabaac"};
    require("aabaaabaabaac", periodic, 2, 1);
}

static void random_cases(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        uint32_t r[4];
        char strings[4][8], bytes[200];
        const char *pointers[4];
        wr_random_block(seed, 3, 0, r);
        int count = (int)(r[0] % 5);
        for (int i = 0; i < count; i++) {
            wr_random_block(seed, 4, (uint64_t)i, r);
            size_t length = 1 + r[0] % 7;
            for (size_t k = 0; k < length; k++) strings[i][k] = (char)('a' + (r[1] >> k & 1));
            strings[i][length] = '\0';
            pointers[i] = strings[i];
        }
        wr_random_block(seed, 5, 0, r);
        size_t length = r[0] % (sizeof bytes - 1);
        for (size_t k = 0; k < length; k++)
            bytes[k] = (char)('a' + (wr_random_unit(seed, 6, k) < (seed % 2 ? 0.5 : 0.1)));
        bytes[length] = '\0';
        require(bytes, pointers, count, seed);
    }
}

static void the_longest_strings_fit(void **state) {
    (void)state;
    static char big[WR_STOP_MAX_BYTES + 1], bytes[1200];
    memset(big, 'a', WR_STOP_MAX_BYTES);
    big[WR_STOP_MAX_BYTES - 1] = 'b';
    memset(bytes, 'a', sizeof bytes - 1);
    bytes[1000] = 'b';
    const char *strings[] = {big};
    require(bytes, strings, 1, 1);
    bytes[1000] = 'c';
    require(bytes, strings, 1, 1);
}

static void bad_strings_are_refused(void **state) {
    (void)state;
    static char big[WR_STOP_MAX_BYTES + 2];
    memset(big, 'a', WR_STOP_MAX_BYTES + 1);
    const char *many[WR_STOP_MAX + 1], *empty[] = {"a", ""}, *longer[] = {big};
    for (int i = 0; i <= WR_STOP_MAX; i++) many[i] = "x";
    wr_stop stop;
    weir_error error;
    assert_int_equal(wr_stop_init(&stop, many, WR_STOP_MAX, &error), WEIR_OK);
    assert_int_equal(wr_stop_init(&stop, many, WR_STOP_MAX + 1, &error), WEIR_USAGE);
    assert_int_equal(wr_stop_init(&stop, many, -1, &error), WEIR_USAGE);
    assert_int_equal(wr_stop_init(&stop, empty, 2, &error), WEIR_USAGE);
    assert_int_equal(wr_stop_init(&stop, longer, 1, &error), WEIR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_cases),
        cmocka_unit_test(random_cases),
        cmocka_unit_test(the_longest_strings_fit),
        cmocka_unit_test(bad_strings_are_refused),
    };
    return cmocka_run_group_tests_name("stop strings", tests, NULL, NULL);
}
