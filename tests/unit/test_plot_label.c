/* plot/label: whatever bytes a label has, clean UTF-8 that fits comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "plot/label.h"

static void becomes(const char *label, const char *expected) {
    char out[WR_PLOT_LABEL];
    wr_plot_label_clean(out, label);
    assert_string_equal(out, expected);
}

static void labels_become_clean(void **state) {
    (void)state;
    becomes(NULL, "");
    becomes("Verwirrung · 混乱 · 🌊", "Verwirrung · 混乱 · 🌊");
    becomes("a\nb\tc\x7f", "a b c ");
    becomes("a\xc2\x85z", "a z");                      /* a control character of two bytes */
    becomes("\xff", "\xef\xbf\xbd");                   /* never in UTF-8 */
    becomes("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");   /* overlong */
    becomes("x\xe2\x82", "x\xef\xbf\xbd\xef\xbf\xbd"); /* cut short */
    becomes("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* a surrogate */
    becomes("\xef\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* not in XML */
    becomes("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void long_labels_are_cut_between_characters(void **state) {
    (void)state;
    char label[4001], out[WR_PLOT_LABEL];
    for (int i = 0; i < 4000; i += 2) memcpy(label + i, "ü", 2);
    label[4000] = '\0';
    for (int from = 0; from < 2; from++) { /* from 1: begins in the middle of a character */
        wr_plot_label_clean(out, label + from);
        size_t size = strlen(out);
        assert_true(size < WR_PLOT_LABEL && size > WR_PLOT_LABEL - 10);
        assert_string_equal(out + size - 3, "…");
        assert_memory_equal(out + size - 5, "ü", 2);
    }
}

static void labels_fit_their_place(void **state) {
    (void)state;
    wr_plot_canvas canvas;
    wr_plot_style style = {.size = 16};
    char out[WR_PLOT_LABEL];
    assert_true(wr_plot_canvas_init(&canvas, &wr_plot_svg, 400, 400));
    double whole = wr_plot_label_fit(&canvas, out, "perplexity of novels", &style, 1000);
    assert_string_equal(out, "perplexity of novels");
    for (double room = 30; room < whole; room += 7) {
        assert_true(wr_plot_label_fit(&canvas, out, "perplexity of novels", &style, room) <= room);
        assert_non_null(strstr(out, "…"));
    }
    wr_plot_label_fit(&canvas, out, "abc", &style, 0); /* nothing fits: still a string */
    assert_string_equal(out, "…");
    wr_plot_canvas_deinit(&canvas);
}

static void value_is(double value, bool whole, const char *expected) {
    char out[32];
    wr_plot_value_text(out, value, whole);
    assert_string_equal(out, expected);
}

static void values_have_few_digits(void **state) {
    (void)state;
    value_is(5158.07, false, "5158");
    value_is(703.1, false, "703.1");
    value_is(10.9, false, "10.90");
    value_is(0.01234, false, "0.0123");
    value_is(0, false, "0");
    value_is(12, true, "12");
    value_is(-1.5, false, "-1.50");
    value_is(1.5e9, false, "1.5e+09");
    value_is(1e300, true, "1e+300");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_become_clean),
        cmocka_unit_test(long_labels_are_cut_between_characters),
        cmocka_unit_test(labels_fit_their_place),
        cmocka_unit_test(values_have_few_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
