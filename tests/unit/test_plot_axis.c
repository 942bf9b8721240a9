/* plot/axis, ticks, series_path, colour: ranges, round ticks, reduction to pixels, the colour map.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot/axis.h"
#include "plot/colour.h"
#include "plot/legend.h"
#include "plot/series_path.h"

static wr_plot_axis axis_over(weir_plot_scale scale, double low, double high, wr_plot_room room,
                              int wanted) {
    wr_plot_axis axis = {.start = 0, .end = 100};
    weir_plot_axis asked = {.scale = scale};
    wr_plot_span span = wr_plot_span_begin(scale);
    wr_plot_span_add(&span, low);
    wr_plot_span_add(&span, high);
    wr_plot_axis_range(&axis, &asked, &span, room);
    wr_plot_axis_ticks(&axis, wanted);
    return axis;
}

/* The texts of an axis, with a blank between; small ticks left out. */
static const char *texts(const wr_plot_axis *axis) {
    static char all[4096];
    all[0] = '\0';
    for (size_t i = 0; i < axis->tick_count; i++) {
        if (axis->ticks[i].text[0] == '\0') continue;
        if (all[0] != '\0') strcat(all, " ");
        strcat(all, axis->ticks[i].text);
    }
    return all;
}

static void linear_ticks_are_round(void **state) {
    (void)state;
    wr_plot_axis axis = axis_over(WEIR_PLOT_LINEAR, 0, 999999, WR_PLOT_EXACT, 5);
    assert_string_equal(texts(&axis), "0 200k 400k 600k 800k 1M");
    axis = axis_over(WEIR_PLOT_LINEAR, 0, 4e6, WR_PLOT_EXACT, 4);
    assert_string_equal(texts(&axis), "0 1M 2M 3M 4M");
    axis = axis_over(WEIR_PLOT_LINEAR, -0.31, 0.28, WR_PLOT_ROUND, 8);
    assert_string_equal(texts(&axis), "-0.4 -0.3 -0.2 -0.1 0 0.1 0.2 0.3");
    axis = axis_over(WEIR_PLOT_LINEAR, 1e-7, 9e-7, WR_PLOT_ROUND, 5);
    assert_string_equal(texts(&axis), "0 0.2×10⁻⁶ 0.4×10⁻⁶ 0.6×10⁻⁶ 0.8×10⁻⁶ 1.0×10⁻⁶");
}

static void log_ticks_are_decades_or_doublings(void **state) {
    (void)state;
    wr_plot_axis axis = axis_over(WEIR_PLOT_LOG, 5.4, 5158, WR_PLOT_ROUND, 4);
    assert_string_equal(texts(&axis), "10 100 1000 10k");
    assert_true(axis.tick_count > 20); /* the small ones between */
    axis = axis_over(WEIR_PLOT_LOG, 1e-5, 1e5, WR_PLOT_EXACT, 11);
    assert_string_equal(texts(&axis), "10⁻⁵ 10⁻⁴ 0.001 0.01 0.1 1 10 100 1000 10k 100k");
    axis = axis_over(WEIR_PLOT_LOG2, 256, 4096, WR_PLOT_EXACT, 8);
    assert_string_equal(texts(&axis), "256 512 1024 2048 4096");
    axis = axis_over(WEIR_PLOT_LOG, 10.2, 10.9, WR_PLOT_EXACT, 6); /* less than a decade */
    assert_true(axis.tick_count >= 3);
}

static void check_sane(const wr_plot_axis *axis) {
    assert_true(isfinite(axis->low) && isfinite(axis->high) && axis->low < axis->high);
    double last = -(double)INFINITY;
    int named = 0;
    for (size_t i = 0; i < axis->tick_count; i++) {
        double at = wr_plot_axis_at(axis, axis->ticks[i].value);
        assert_true(at > last && at >= -0.01 && at <= 100.01);
        last = at;
        named += axis->ticks[i].text[0] != '\0';
        assert_null(strstr(axis->ticks[i].text, "nan"));
        assert_null(strstr(axis->ticks[i].text, "inf"));
    }
    assert_true(named >= 1 && named <= 30);
}

static void any_range_has_ticks(void **state) {
    (void)state;
    static const double values[] = {0,      1e-300, 3e-300,  1e-30, 0.1,   1,    1.0000001,
                                    999.99, 1e9,    1e9 + 1, 1e15,  1e100, 1e300};
    size_t count = sizeof values / sizeof *values;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i; j < count; j++)
            for (int room = WR_PLOT_EXACT; room <= WR_PLOT_ROUND; room++)
                for (int wanted = 2; wanted < 12; wanted += 3) {
                    double a = values[i], b = values[j];
                    wr_plot_axis axis =
                        axis_over(WEIR_PLOT_LINEAR, a, b, (wr_plot_room)room, wanted);
                    check_sane(&axis);
                    axis = axis_over(WEIR_PLOT_LINEAR, -b, a, (wr_plot_room)room, wanted);
                    check_sane(&axis);
                    if (b == 0) continue;
                    for (int scale = WEIR_PLOT_LOG; scale <= WEIR_PLOT_LOG2; scale++) {
                        axis = axis_over((weir_plot_scale)scale, a, b, (wr_plot_room)room, wanted);
                        assert_true(axis.low > 0 && axis.low < axis.high && isfinite(axis.high));
                        assert_true(axis.tick_count <= WR_PLOT_TICKS);
                    }
                }
}

static void spans_leave_out_what_cannot_be_shown(void **state) {
    (void)state;
    wr_plot_span span = wr_plot_span_begin(WEIR_PLOT_LOG);
    assert_false(wr_plot_span_add(&span, 0));
    assert_false(wr_plot_span_add(&span, -3));
    assert_false(wr_plot_span_add(&span, (double)NAN));
    assert_false(wr_plot_span_add(&span, (double)INFINITY));
    assert_true(wr_plot_span_add(&span, 2));
    assert_int_equal(span.not_positive, 2);
    assert_true(span.low == 2 && span.high == 2);
}

/* ---- reduction ------------------------------------------------------------------------------- */

enum { MANY = 1000000, COLUMNS = 500 };

static wr_plot_path reduced(double *y, size_t count, weir_plot_reduce reduce) {
    wr_plot_axis x = {.high = (double)count, .end = COLUMNS};
    wr_plot_axis y_axis = {.low = -2, .high = 2, .end = 100};
    weir_plot_series series = {.y = y, .count = count, .reduce = reduce};
    wr_plot_path path = {0};
    wr_plot_series_path(&series, &x, &y_axis, COLUMNS, &path);
    assert_false(path.failed);
    return path;
}

static void a_million_points_become_a_few_thousand(void **state) {
    (void)state;
    double *y = calloc(MANY, sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; i < MANY; i++) y[i] = i % 2 == 0 ? 1 : -1;
    y[777777] = 2; /* one that may not be lost */
    wr_plot_path path = reduced(y, MANY, WEIR_PLOT_ENVELOPE);
    assert_true(path.count > COLUMNS && path.count <= 4 * COLUMNS + 1);
    double highest = 0;
    for (size_t i = 0; i < path.count; i++)
        if (!isnan(path.points[i].x)) highest = fmax(highest, path.points[i].y);
    assert_true(highest == 100);
    wr_plot_path_release(&path);

    path = reduced(y, MANY, WEIR_PLOT_MEAN);
    assert_true(path.count <= COLUMNS + 1);
    assert_true(fabs(path.points[10].y - 50) < 0.1);
    wr_plot_path_release(&path);

    for (size_t i = 0; i < MANY; i += 2) y[i] = (double)NAN; /* gaps too small to see */
    path = reduced(y, MANY, WEIR_PLOT_ENVELOPE);
    assert_true(path.count <= 4 * COLUMNS + 1);
    int lifts = 0;
    for (size_t i = 0; i < path.count; i++) lifts += isnan(path.points[i].x);
    assert_int_equal(lifts, 1); /* at the end */
    wr_plot_path_release(&path);
    free(y);
}

static void gaps_lift_the_pen(void **state) {
    (void)state;
    double y[] = {1, 1, (double)NAN, 1, (double)INFINITY, (double)NAN, 1, 1};
    wr_plot_path path = reduced(y, 8, WEIR_PLOT_ENVELOPE);
    int lifts = 0;
    for (size_t i = 0; i < path.count; i++) lifts += isnan(path.points[i].x);
    assert_int_equal(lifts, 3);
    assert_int_equal(path.count, 2 + 2 + 2 + 3); /* the lone point is drawn as two */
    wr_plot_path_release(&path);
}

/* ---- colours, legend ------------------------------------------------------------------------ */

static void the_colour_map_grows_lighter(void **state) {
    (void)state;
    double last = -1;
    for (int i = 0; i <= 100; i++) {
        uint32_t colour = wr_plot_map_colour(i / 100.0);
        double light = 0.2126 * pow((colour >> 16 & 255) / 255.0, 2.2) +
                       0.7152 * pow((colour >> 8 & 255) / 255.0, 2.2) +
                       0.0722 * pow((colour & 255) / 255.0, 2.2);
        assert_true(light > last);
        last = light;
    }
    assert_int_equal(wr_plot_map_colour(-5), wr_plot_map_colour(0));
    assert_int_equal(wr_plot_map_colour(5), wr_plot_map_colour(1));
}

static void a_segment_touches_a_box_or_not(void **state) {
    (void)state;
    wr_plot_box box = {10, 10, 20, 20};
    assert_true(wr_plot_segment_touches((wr_plot_point){0, 15}, (wr_plot_point){30, 15}, &box));
    assert_true(wr_plot_segment_touches((wr_plot_point){12, 12}, (wr_plot_point){12, 12}, &box));
    assert_false(wr_plot_segment_touches((wr_plot_point){0, 0}, (wr_plot_point){5, 30}, &box));
    assert_false(wr_plot_segment_touches((wr_plot_point){0, 25}, (wr_plot_point){25, 50}, &box));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_ticks_are_round),
        cmocka_unit_test(log_ticks_are_decades_or_doublings),
        cmocka_unit_test(any_range_has_ticks),
        cmocka_unit_test(spans_leave_out_what_cannot_be_shown),
        cmocka_unit_test(a_million_points_become_a_few_thousand),
        cmocka_unit_test(gaps_lift_the_pen),
        cmocka_unit_test(the_colour_map_grows_lighter),
        cmocka_unit_test(a_segment_touches_a_box_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
