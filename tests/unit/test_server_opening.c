/* What a stream began with: always a beginning of what it has, whatever comes later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "streams/opening.h"

#define B OPENING_BORDER
static const int32_t entries[] = {1, 2, B, 3, 4, 5, B, 6};
enum { COUNT = sizeof entries / sizeof entries[0], TOKENS = 6 };

static server_opening begun(int64_t more) {
    server_opening opening = {.entries = NULL};
    assert_true(opening_begin(&opening, entries, COUNT, more));
    return opening;
}

static void it_follows_what_is_fed(void **state) {
    (void)state;
    server_opening o = begun(2);
    assert_int_equal(o.count, COUNT);
    assert_int_equal(o.fed, 0);
    opening_fed(&o, 2);
    assert_int_equal(o.tokens, 2);
    opening_fed(&o, 1);
    assert_int_equal(o.fed, 3);
    assert_int_equal(o.tokens, 2); /* a border is no token */
    opening_fed(&o, 100);          /* what is not here is not counted */
    assert_int_equal(o.fed, COUNT);
    assert_int_equal(o.tokens, TOKENS);
    opening_free(&o);
    assert_null(o.entries);
    assert_int_equal(o.count, 0);
}

static void drawn_tokens_go_on_from_it(void **state) {
    (void)state;
    server_opening o = begun(2);
    opening_fed(&o, COUNT);
    opening_drew(&o, 7, TOKENS);
    opening_drew(&o, 8, TOKENS + 1);
    assert_int_equal(o.count, COUNT + 2);
    assert_int_equal(o.fed, COUNT + 2);
    assert_int_equal(o.entries[COUNT + 1], 8);
    opening_drew(&o, 9, TOKENS + 2); /* no room was promised for it */
    assert_int_equal(o.count, COUNT + 2);
    assert_true(o.closed);
    opening_free(&o);
}

static void what_it_missed_ends_it(void **state) {
    (void)state;
    server_opening o = begun(9);
    opening_fed(&o, COUNT);
    opening_drew(&o, 7, TOKENS + 1); /* a token came between */
    assert_int_equal(o.count, COUNT);
    opening_drew(&o, 7, TOKENS);
    assert_int_equal(o.count, COUNT);
    opening_free(&o);
    o = begun(9);
    opening_fed(&o, 4);
    opening_drew(&o, 7, 3); /* while tokens wait */
    assert_int_equal(o.count, COUNT);
    opening_close(&o); /* they never come */
    assert_int_equal(o.count, 4);
    assert_int_equal(o.tokens, 3);
    opening_free(&o);
    memset(&o, 0, sizeof o);
    opening_drew(&o, 7, 0); /* nothing is remembered */
    opening_fed(&o, 1);
    opening_close(&o);
    assert_null(o.entries);
    assert_int_equal(o.fed, 0);
}

static void what_two_begin_with(void **state) {
    (void)state;
    server_opening o = begun(0);
    const int32_t other[] = {1, 2, B, 3, 9};
    assert_int_equal(opening_common(&o, other, 5), 4);
    assert_int_equal(opening_common(&o, other, 2), 2);
    assert_int_equal(opening_common(&o, entries, COUNT), COUNT);
    assert_int_equal(opening_common(&o, other + 1, 4), 0);
    assert_int_equal(opening_common(&o, other, 0), 0);
    assert_int_equal(opening_tokens(entries, COUNT), TOKENS);
    assert_int_equal(opening_tokens(entries, 3), 2);
    assert_int_equal(opening_place(entries, 2), 2); /* the border behind it is not meant */
    assert_int_equal(opening_place(entries, 3), 4);
    assert_int_equal(opening_place(entries, 0), 0);
    assert_int_equal(opening_place(entries, TOKENS), COUNT);
    opening_free(&o);
}

static void it_is_bounded(void **state) {
    (void)state;
    assert_int_equal(opening_size(10, 5), 15);
    assert_int_equal(opening_size(10, -1), OPENING_MOST); /* endlessly */
    assert_int_equal(opening_size(10, INT64_MAX), OPENING_MOST);
    assert_int_equal(opening_size(OPENING_MOST + 1, 5), OPENING_MOST);
    assert_int_equal(opening_size(INT64_MAX, INT64_MAX), OPENING_MOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_what_is_fed), cmocka_unit_test(drawn_tokens_go_on_from_it),
        cmocka_unit_test(what_it_missed_ends_it), cmocka_unit_test(what_two_begin_with),
        cmocka_unit_test(it_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
