/* plot: line charts, bar charts and heat maps as files; hostile figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "support/figure_sample.h"
#include "weir/plot.h"

#define NO ((double)NAN)

/* Saves as SVG: its text. Its coordinates are numbers, its tags balance. */
#define SKETCH(kind, figure)                                                                       \
    (assert_int_equal(weir_plot_##kind##_save(figure, figure_path("f.svg"), NULL), WEIR_OK),       \
     take_svg())

/* The same, and as PNG too. */
#define DRAW(kind, figure)                                                                         \
    (assert_int_equal(weir_plot_##kind##_save(figure, figure_path("f.png"), NULL), WEIR_OK),       \
     check_png(0, 0), SKETCH(kind, figure))

static uint32_t big_endian(const char *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void check_png(uint32_t width, uint32_t height) {
    size_t size;
    char *bytes = figure_take("f.png", &size);
    assert_non_null(bytes);
    assert_true(size > 100);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(bytes + 12, "IHDR", 4);
    if (width > 0) assert_int_equal(big_endian(bytes + 16), width);
    if (height > 0) assert_int_equal(big_endian(bytes + 20), height);
    free(bytes);
}

/* Images aside: base64 may spell anything. */
static void check_svg(const char *text) {
    assert_memory_equal(text, "<svg ", 5);
    assert_non_null(strstr(text, "</svg>\n"));
    assert_int_equal(figure_count(text, "<g "), figure_count(text, "</g>"));
    assert_int_equal(figure_count(text, "<text"), figure_count(text, "</text>"));
    if (strstr(text, "<image") != NULL) return;
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_null(strstr(text, "NaN"));
}

static char *take_svg(void) {
    size_t size;
    char *text = figure_take("f.svg", &size);
    assert_non_null(text);
    assert_int_equal(strlen(text), size);
    check_svg(text);
    return text;
}

static void assert_has(const char *text, const char *part) {
    if (strstr(text, part) == NULL) fail_msg("the figure has no %s", part);
}

/* ---- line charts ---------------------------------------------------------------------------- */

static void a_line_chart_has_its_parts(void **state) {
    (void)state;
    double x[] = {0, 1, 2, 4, 8}, a[] = {5158, 11.9, 11.2, 10.9, 10.9}, e[] = {9, 1, 1, 1, 1};
    weir_plot_series series[] = {{.label = "cache 256 & <more>", .x = x, .y = a, .count = 5},
                                 {.label = "cache 512", .x = x, .y = a, .error = e, .count = 5}};
    weir_plot_marker markers[] = {{.label = "trained context", .at = 3},
                                  {.label = "chance", .at = 100, .on_y = true}};
    weir_plot_lines figure = {.title = "Perplexity by sinks",
                              .x = {.label = "sinks (tokens)"},
                              .y = {.label = "perplexity", .scale = WEIR_PLOT_LOG},
                              .series = series,
                              .series_count = 2,
                              .markers = markers,
                              .marker_count = 2};
    char *text = DRAW(lines, &figure);
    static const char *const parts[] = {">Perplexity by sinks<",
                                        ">sinks (tokens)<",
                                        ">perplexity<",
                                        ">cache 256 &amp; &lt;more&gt;<",
                                        ">cache 512<",
                                        ">trained context<",
                                        ">chance<",
                                        ">1000<",
                                        ">10k<",
                                        "stroke-dasharray"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(text, parts[i]);
    /* line, legend: blue; the second also its error bars */
    assert_int_equal(figure_count(text, "stroke=\"#0072b2\""), 2);
    assert_int_equal(figure_count(text, "stroke=\"#d55e00\""), 3);
    free(text);
    figure.width = 800;
    figure.height = 500;
    assert_int_equal(weir_plot_lines_save(&figure, figure_path("f.png"), NULL), WEIR_OK);
    check_png(1600, 1000);
}

static char *draw_errors(const double *above, const double *below) {
    static const double y[] = {10, 10, 10};
    weir_plot_series series = {.y = y, .error = above, .error_below = below, .count = 3};
    weir_plot_lines figure = {.series = &series, .series_count = 1};
    return DRAW(lines, &figure);
}

static void the_halves_of_an_error_bar_may_differ(void **state) {
    (void)state;
    double none[] = {0, 0, 0}, some[] = {8, 8, 8};
    char *even = draw_errors(some, NULL), *both = draw_errors(some, some);
    assert_string_equal(even, both);
    char *above = draw_errors(some, none), *below = draw_errors(none, some);
    assert_has(above, ">18<");
    assert_null(strstr(above, ">2<"));
    assert_has(below, ">2<");
    assert_null(strstr(below, ">18<"));
    assert_int_equal(figure_count(above, "stroke=\"#0072b2\""), 2);
    char *flat = draw_errors(none, none);
    assert_int_equal(figure_count(flat, "stroke=\"#0072b2\""), 1);
    free(even);
    free(both);
    free(above);
    free(below);
    free(flat);
}

static char *draw_values(const double *y, size_t count, weir_plot_scale scale) {
    weir_plot_series series = {.label = "series", .y = y, .count = count};
    weir_plot_lines figure = {.y = {.scale = scale}, .series = &series, .series_count = 1};
    return count == 3 ? DRAW(lines, &figure) : SKETCH(lines, &figure);
}

static void strange_values_are_drawn(void **state) {
    (void)state;
    static const double sets[][4] = {
        {1, 1, 1, 1},           {0, 0, 0, 0},           {NO, NO, NO, NO},     {7, NO, NO, NO},
        {-1e300, 1e300, 0, NO}, {1e-300, 2e-300, 0, 0}, {1e9, 1e9 + 1, 0, 0}, {-5, -4, 0, 3},
        {1e308, -1e308, 1, 2},  {5e-324, 1e-310, 0, 0}, {NO, 3, NO, 4},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        for (int scale = WEIR_PLOT_LINEAR; scale <= WEIR_PLOT_LOG2; scale++)
            for (size_t count = 0; count <= 4; count++)
                free(draw_values(sets[i], count, (weir_plot_scale)scale));
    char *text = draw_values(sets[2], 4, WEIR_PLOT_LINEAR);
    assert_has(text, ">no data<");
    free(text);
    text = draw_values(sets[7], 4, WEIR_PLOT_LOG);
    assert_has(text, "3 values at or below zero are not on the logarithmic axis");
    free(text);
}

static void a_million_points_stay_small(void **state) {
    (void)state;
    enum { COUNT = 1000000 };
    double *y = calloc(COUNT, sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; i < COUNT; i++) y[i] = 10 + sin((double)i) + (i > 2048 ? 1000 : 0);
    char *text = draw_values(y, COUNT, WEIR_PLOT_LOG);
    assert_true(strlen(text) < 100000);
    assert_has(text, ">1M<");
    free(text);
    free(y);
}

static void labels_of_any_length_and_bytes(void **state) {
    (void)state;
    char wide[1001];
    memset(wide, 'W', 1000);
    wide[1000] = '\0';
    double y[] = {1, 2, 1e-3, 5e5};
    weir_plot_series series[WEIR_PLOT_SERIES_MAX];
    weir_plot_marker markers[WEIR_PLOT_MARKERS_MAX];
    for (int i = 0; i < WEIR_PLOT_SERIES_MAX; i++)
        series[i] =
            (weir_plot_series){.label = i % 2 ? wide : "\xff\xc0 <&>\n", .y = y, .count = 4};
    for (int i = 0; i < WEIR_PLOT_MARKERS_MAX; i++)
        markers[i] = (weir_plot_marker){wide, 0.3 * i, i % 2 == 1};
    weir_plot_lines figure = {.title = wide,
                              .x = {.label = wide},
                              .y = {.label = wide},
                              .series = series,
                              .series_count = WEIR_PLOT_SERIES_MAX,
                              .markers = markers,
                              .marker_count = WEIR_PLOT_MARKERS_MAX};
    char *text = DRAW(lines, &figure);
    assert_has(text, "W…<");
    assert_has(text, "\xef\xbf\xbd\xef\xbf\xbd &lt;&amp;&gt; <");
    free(text);
    figure.width = figure.height = 400;
    free(DRAW(lines, &figure));
}

static void line_charts_say_what_is_wrong(void **state) {
    (void)state;
    weir_error error;
    double y[] = {1, 2};
    weir_plot_series series = {.y = y, .count = 2}, none = {.count = 2};
    const weir_plot_lines wrong[] = {
        {.series = &series, .series_count = 0},
        {.series = &series, .series_count = WEIR_PLOT_SERIES_MAX + 1},
        {.series = NULL, .series_count = 1},
        {.series = &none, .series_count = 1},
        {.series = &series, .series_count = 1, .marker_count = 1},
        {.series = &series, .series_count = 1, .width = 100},
        {.series = &series, .series_count = 1, .height = 5000},
        {.series = &series, .series_count = 1, .height = -1},
        {.series = &series, .series_count = 1, .x = {.from = 2, .to = 1}},
        {.series = &series, .series_count = 1, .x = {.from = NO, .to = 1}},
        {.series = &series, .series_count = 1, .y = {.from = 1e15, .to = 1e15 + 1}},
        {.series = &series, .series_count = 1, .y = {.scale = WEIR_PLOT_LOG, .to = 1}},
        {.series = &series, .series_count = 1, .y = {.scale = (weir_plot_scale)9}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(weir_plot_lines_save(&wrong[i], figure_path("f.svg"), &error), WEIR_USAGE);
        assert_true(strlen(error.message) > 10);
        assert_int_not_equal(access(figure_path("f.svg"), F_OK), 0);
    }
}

/* ---- bar charts ----------------------------------------------------------------------------- */

static void a_bar_chart_has_its_parts(void **state) {
    (void)state;
    static const char *const sinks[] = {"0", "1", "2"}, *const caches[] = {"256", "512"};
    double values[] = {5158, 4711, 11.9, 11.2, NO, 10.9};
    weir_plot_bars figure = {.title = "Perplexity",
                             .x_label = "sinks (tokens)",
                             .y = {.label = "perplexity", .scale = WEIR_PLOT_LOG},
                             .groups = sinks,
                             .group_count = 3,
                             .series = caches,
                             .series_title = "cache (tokens)",
                             .series_count = 2,
                             .values = values};
    char *text = DRAW(bars, &figure);
    static const char *const parts[] = {">5158<", ">4711<",  ">11.90<",          ">11.20<",
                                        ">n/a<",  ">10.90<", ">cache (tokens)<", ">512<"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(text, parts[i]);
    assert_int_equal(figure_count(text, "fill=\"#0072b2\""), 3); /* two bars and the legend */
    assert_int_equal(figure_count(text, "fill=\"#d55e00\""), 4);
    free(text);
    figure.hide_values = true;
    text = DRAW(bars, &figure);
    assert_null(strstr(text, ">5158<"));
    free(text);
}

static void strange_bars_are_drawn(void **state) {
    (void)state;
    double values[WEIR_PLOT_GROUPS_MAX * WEIR_PLOT_SERIES_MAX];
    static const double kinds[] = {1, 0, -3, NO, 1e300, 1e-300, (double)INFINITY};
    weir_plot_bars figure = {.values = values, .errors = values};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (int scale = WEIR_PLOT_LINEAR; scale <= WEIR_PLOT_LOG2; scale++)
            for (size_t count = 1; count <= 200; count *= 14) {
                for (size_t i = 0; i < 2000; i++) values[i] = kinds[(i + kind * i % 3) % 7];
                values[0] = kinds[kind];
                figure.y.scale = (weir_plot_scale)scale;
                figure.group_count = count;
                figure.series_count = count == 1 ? 1 : WEIR_PLOT_SERIES_MAX;
                free(SKETCH(bars, &figure));
            }
    weir_error error;
    figure.group_count = 0;
    assert_int_equal(weir_plot_bars_save(&figure, figure_path("f.svg"), &error), WEIR_USAGE);
    figure.group_count = WEIR_PLOT_GROUPS_MAX + 1;
    assert_int_equal(weir_plot_bars_save(&figure, figure_path("f.svg"), &error), WEIR_USAGE);
}

/* ---- heat maps ------------------------------------------------------------------------------ */

static void a_grid_of_maps_has_its_parts(void **state) {
    (void)state;
    enum { ROWS = 3, COLUMNS = 4, SIDE = 16 };
    float values[ROWS * COLUMNS * SIDE * SIDE];
    for (int i = 0; i < ROWS * COLUMNS * SIDE * SIDE; i++)
        values[i] = i % SIDE > i / SIDE % SIDE ? NAN : (float)(i % 7) / 7;
    static const char *const layers[] = {"0", "1", "31"};
    weir_plot_maps figure = {.title = "Mean attention",
                             .rows = ROWS,
                             .columns = COLUMNS,
                             .map_height = SIDE,
                             .map_width = SIDE,
                             .values = values,
                             .row_label = "layer",
                             .column_label = "head",
                             .row_names = layers,
                             .x_label = "key (index)",
                             .y_label = "query (index)",
                             .colour = {.label = "probability", .from = 0, .to = 1}};
    char *text = DRAW(maps, &figure);
    static const char *const parts[] = {
        ">Mean attention<", ">layer<",         ">head<",       ">31<",
        ">key (index)<",    ">query (index)<", ">probability<"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(text, parts[i]);
    assert_int_equal(figure_count(text, "<image"), ROWS * COLUMNS + 1); /* and the colour bar */
    free(text);
}

static void strange_maps_are_drawn(void **state) {
    (void)state;
    static float values[4096];
    static const float kinds[] = {0, 1, -1, NAN, INFINITY, 3e38F, 1e-45F};
    static const struct {
        size_t rows, columns, height, width;
    } shapes[] = {{1, 1, 1, 1},   {1, 1, 64, 64}, {1, 1, 1, 4096}, {1, 1, 4096, 1},
                  {64, 64, 1, 1}, {1, 256, 4, 4}, {256, 1, 2, 8},  {16, 16, 4, 4}};
    char wide[1001];
    memset(wide, 'W', 1000);
    wide[1000] = '\0';
    for (size_t kind = 0; kind < 7; kind++) {
        for (size_t i = 0; i < 4096; i++) values[i] = kind == 6 ? kinds[i % 7] : kinds[kind];
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            weir_plot_maps figure = {.rows = shapes[s].rows,
                                     .columns = shapes[s].columns,
                                     .map_height = shapes[s].height,
                                     .map_width = shapes[s].width,
                                     .values = values,
                                     .title = wide,
                                     .row_label = s % 2 ? wide : "layer",
                                     .x_label = wide,
                                     .colour = {.label = wide, .scale = (weir_plot_scale)(s % 3)}};
            free(kind == 6 ? DRAW(maps, &figure) : SKETCH(maps, &figure));
        }
    }
    weir_plot_maps empty = {.values = values};
    assert_int_equal(weir_plot_maps_save(&empty, figure_path("f.svg"), NULL), WEIR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_chart_has_its_parts),
        cmocka_unit_test(the_halves_of_an_error_bar_may_differ),
        cmocka_unit_test(strange_values_are_drawn),
        cmocka_unit_test(a_million_points_stay_small),
        cmocka_unit_test(labels_of_any_length_and_bytes),
        cmocka_unit_test(line_charts_say_what_is_wrong),
        cmocka_unit_test(a_bar_chart_has_its_parts),
        cmocka_unit_test(strange_bars_are_drawn),
        cmocka_unit_test(a_grid_of_maps_has_its_parts),
        cmocka_unit_test(strange_maps_are_drawn),
    };
    return cmocka_run_group_tests(tests, figure_folder_make, figure_folder_remove);
}
