/*
 * Bar charts: groups of bars side by side, each with its value above it.
 *
 * Values are written level where they fit over their bar, upright where they do not, and not at all
 * where even that would touch its neighbours.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plot/colour.h"
#include "plot/figure_file.h"
#include "plot/frame.h"
#include "plot/legend.h"
#include "plot/series_path.h"

#define GROUP_SHARE 0.8 /* of its place that a group fills */
#define WIDEST_BAR 140.0

typedef struct bar_chart {
    const weir_plot_bars *figure;
    wr_plot_frame frame;
    wr_plot_legend legend;
    wr_plot_point legend_at;
    wr_plot_path obstacles, errors;
    wr_plot_style value_style;
    bool show_values, whole, empty;
    double widest_value; /* of the texts, level */
    double lift;         /* room above the tallest bar for its value */
    double bar;          /* width */
    char note[WR_PLOT_LABEL];
} bar_chart;

static double value_at(const bar_chart *chart, size_t group, size_t series) {
    return chart->figure->values[group * chart->figure->series_count + series];
}

static double error_at(const bar_chart *chart, size_t group, size_t series) {
    const weir_plot_bars *figure = chart->figure;
    double error =
        figure->errors != NULL ? figure->errors[group * figure->series_count + series] : 0;
    return error > 0 && isfinite(error) ? error : 0;
}

static void measure_data(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    wr_plot_span span = wr_plot_span_begin(figure->y.scale);
    size_t count = figure->group_count * figure->series_count, below = 0;
    chart->whole = true;
    for (size_t i = 0; i < count; i++) {
        double value = figure->values[i];
        if (!wr_plot_span_add(&span, value)) continue;
        chart->whole = chart->whole && value == floor(value);
        below = span.not_positive;
        double error = error_at(chart, i / figure->series_count, i % figure->series_count);
        if (error > 0) {
            wr_plot_span_add(&span, value + error);
            wr_plot_span_add(&span, value - error);
        }
        span.not_positive = below;
    }
    chart->empty = span.low > span.high;
    wr_plot_note_text(chart->note, span.not_positive);
    if (figure->y.scale == WEIR_PLOT_LINEAR)
        wr_plot_span_add(&span, 0);
    else if (!chart->empty) /* so that the smallest bar is one */
        wr_plot_span_add(&span, span.low / 1.5);
    wr_plot_axis_range(&chart->frame.y, &figure->y, &span, WR_PLOT_ROUND);
}

static void measure_values(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    chart->value_style = (wr_plot_style){.size = 15, .colour = wr_plot_ink};
    for (size_t i = 0; i < figure->group_count * figure->series_count; i++) {
        char text[32];
        if (!wr_plot_scale_shows(figure->y.scale, figure->values[i])) continue;
        wr_plot_value_text(text, figure->values[i], chart->whole);
        double width = wr_plot_text_width(chart->frame.canvas, text, &chart->value_style);
        chart->widest_value = fmax(chart->widest_value, width);
    }
}

/* Room for the values above the bars: the axis' ends move from the box's by `lift`. */
static void choose_values(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    double place = (chart->frame.box.right - chart->frame.box.left) / (double)figure->group_count;
    double bar = GROUP_SHARE * place / (double)figure->series_count;
    chart->bar = fmin(bar, WIDEST_BAR);
    double level = figure->series_count > 1 ? chart->bar : place; /* room for a level text */
    chart->show_values = !figure->hide_values && !chart->empty;
    chart->value_style.upright = chart->widest_value + 6 > level;
    if (chart->value_style.upright && chart->bar < 0.9 * chart->value_style.size)
        chart->show_values = false;
    chart->lift = !chart->show_values          ? 0
                  : chart->value_style.upright ? chart->widest_value + 8
                                               : chart->value_style.size + 6;
}

static wr_plot_box bar_box(const bar_chart *chart, size_t group, size_t series) {
    const weir_plot_bars *figure = chart->figure;
    const wr_plot_frame *frame = &chart->frame;
    double place = (frame->box.right - frame->box.left) / (double)figure->group_count;
    double left = frame->box.left + place * ((double)group + 0.5) -
                  chart->bar * (double)figure->series_count / 2 + chart->bar * (double)series;
    double foot = figure->y.scale == WEIR_PLOT_LINEAR ? 0 : frame->y.low;
    double value = value_at(chart, group, series);
    double a = wr_plot_axis_at(&frame->y, foot), b = wr_plot_axis_at(&frame->y, value);
    double gap = fmin(1.5, 0.1 * chart->bar);
    wr_plot_box box = {left + gap, fmin(a, b), left + chart->bar - gap, fmax(a, b)};
    box.top = fmin(fmax(box.top, frame->box.top), frame->box.bottom);
    box.bottom = fmax(fmin(box.bottom, frame->box.bottom), frame->box.top);
    return box;
}

/* What the legend may not cover: each bar, with its value, as lines close to each other. */
static void trace_obstacles(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    chart->obstacles.count = 0;
    for (size_t group = 0; group < figure->group_count; group++)
        for (size_t series = 0; series < figure->series_count; series++) {
            wr_plot_box box = {0};
            if (!wr_plot_scale_shows(figure->y.scale, value_at(chart, group, series))) continue;
            box = bar_box(chart, group, series);
            double error = error_at(chart, group, series);
            double top = wr_plot_axis_at(&chart->frame.y, value_at(chart, group, series) + error);
            for (double y = fmin(top, box.top) - chart->lift; y <= box.bottom; y += 12) {
                wr_plot_path_gap(&chart->obstacles);
                wr_plot_path_add(&chart->obstacles, box.left, y);
                wr_plot_path_add(&chart->obstacles, box.right, y);
            }
        }
}

/* What the values of the highest bars still need above the axis. */
static double missing_room(const bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    double highest = chart->frame.box.bottom;
    for (size_t i = 0; i < figure->group_count * figure->series_count; i++) {
        size_t group = i / figure->series_count, series = i % figure->series_count;
        if (!wr_plot_scale_shows(figure->y.scale, figure->values[i])) continue;
        double end = figure->values[i] + error_at(chart, group, series);
        highest = fmin(highest, wr_plot_axis_at(&chart->frame.y, end));
    }
    return fmax(0, chart->lift - (highest - chart->frame.box.top));
}

static void lay_out(bar_chart *chart, double right) {
    const weir_plot_bars *figure = chart->figure;
    wr_plot_frame *frame = &chart->frame;
    bool series_names = figure->groups != NULL;
    frame->box.top = wr_plot_frame_top(figure->title);
    frame->box.bottom =
        wr_plot_frame_bottom(frame->canvas, figure->x_label, chart->note[0] != '\0');
    if (!series_names) frame->box.bottom += WR_PLOT_TICK_SIZE;
    frame->box.right = frame->canvas->width - 24 - right;
    wr_plot_frame_fit_y(frame, figure->y.label);
    frame->box.right = fmax(frame->box.right, frame->box.left + 40);
    choose_values(chart);
    if (figure->y.from == 0 && figure->y.to == 0) {
        frame->box.top += missing_room(chart);
        wr_plot_frame_fit_y(frame, figure->y.label);
    }
    trace_obstacles(chart);
}

static void place_legend(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    wr_plot_canvas *canvas = chart->frame.canvas;
    chart->legend.bars = true;
    double longest = 0.35 * canvas->width;
    for (size_t s = 0; s < figure->series_count && figure->series != NULL; s++)
        wr_plot_legend_add(&chart->legend, canvas, s, figure->series[s], longest);
    wr_plot_legend_title(&chart->legend, canvas, figure->series_title, longest);
    lay_out(chart, 0);
    if (chart->legend.count == 0) return;
    const wr_plot_path *obstacles[] = {&chart->obstacles};
    if (wr_plot_legend_place(&chart->legend, &chart->frame.box, obstacles, 1, &chart->legend_at))
        return;
    lay_out(chart, chart->legend.width + 8);
    chart->legend_at =
        (wr_plot_point){canvas->width - WR_PLOT_PAD - chart->legend.width, chart->frame.box.top};
}

static void draw_value(bar_chart *chart, size_t group, size_t series, wr_plot_box box) {
    double value = value_at(chart, group, series), error = error_at(chart, group, series);
    bool shown = wr_plot_scale_shows(chart->figure->y.scale, value);
    char text[32];
    wr_plot_style style = chart->value_style;
    if (shown)
        wr_plot_value_text(text, value, chart->whole);
    else
        snprintf(text, sizeof text, "n/a");
    if (!shown) style.colour = wr_plot_soft_ink;
    double middle = (box.left + box.right) / 2;
    double above = fmin(box.top, wr_plot_axis_at(&chart->frame.y, shown ? value + error : 0)) - 5;
    if (!shown) above = box.bottom - 5;
    double width = wr_plot_text_width(chart->frame.canvas, text, &style), high = style.size * 0.8;
    wr_plot_box behind = {middle - width / 2, above - high, middle + width / 2, above + 1};
    if (style.upright)
        behind = (wr_plot_box){middle - high / 2, above - width, middle + high / 2, above + 1};
    wr_plot_rectangle(chart->frame.canvas, behind, wr_plot_paper); /* no grid behind it */
    style.anchor = style.upright ? WR_PLOT_START : WR_PLOT_MIDDLE;
    if (style.upright) middle += style.size * 0.36;
    wr_plot_text(chart->frame.canvas, middle, above, text, &style);
}

static void draw_bars(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    wr_plot_canvas *canvas = chart->frame.canvas;
    wr_plot_frame *frame = &chart->frame;
    for (size_t group = 0; group < figure->group_count; group++)
        for (size_t series = 0; series < figure->series_count; series++) {
            double value = value_at(chart, group, series);
            bool shown = wr_plot_scale_shows(figure->y.scale, value);
            wr_plot_box box = {0};
            box = bar_box(chart, group, series);
            if (!shown) box.top = box.bottom = frame->box.bottom;
            if (shown) wr_plot_rectangle(canvas, box, wr_plot_series_colour(series));
            double half = error_at(chart, group, series);
            if (shown && half > 0)
                wr_plot_error_bar(&chart->errors, &frame->y, (box.left + box.right) / 2,
                                  value - half, value + half, fmin(6, chart->bar / 3));
            if (chart->show_values) draw_value(chart, group, series, box);
        }
    wr_plot_stroke stroke = {.colour = wr_plot_ink, .width = 1.4};
    wr_plot_clip(canvas, &frame->box);
    wr_plot_line(canvas, &chart->errors, &stroke);
    wr_plot_clip(canvas, NULL);
}

/* Names that do not fit are cut; when there is room for next to nothing, some are left out. */
static void draw_groups(bar_chart *chart) {
    const weir_plot_bars *figure = chart->figure;
    const wr_plot_box *box = &chart->frame.box;
    wr_plot_canvas *canvas = chart->frame.canvas;
    double foot = figure->y.scale == WEIR_PLOT_LINEAR ? 0 : chart->frame.y.low;
    double line = fmin(fmax(wr_plot_axis_at(&chart->frame.y, foot), box->top), box->bottom);
    wr_plot_stroke stroke = {.colour = wr_plot_ink, .width = 1.2};
    wr_plot_segment(canvas, box->left, line, box->right, line, &stroke);
    if (figure->groups == NULL) return;
    double place = (box->right - box->left) / (double)figure->group_count;
    size_t stride = place < 40 ? (size_t)ceil(40 / place) : 1;
    wr_plot_style style = {
        .size = WR_PLOT_TICK_SIZE, .colour = wr_plot_ink, .anchor = WR_PLOT_MIDDLE};
    for (size_t group = 0; group < figure->group_count; group += stride) {
        char text[WR_PLOT_LABEL];
        wr_plot_label_fit(canvas, text, figure->groups[group], &style, place * (double)stride - 8);
        wr_plot_text(canvas, box->left + place * ((double)group + 0.5), box->bottom + 8 + 14, text,
                     &style);
    }
}

static void draw(wr_plot_canvas *canvas, const void *bars) {
    const weir_plot_bars *figure = bars;
    bar_chart *chart = calloc(1, sizeof *chart);
    if (chart == NULL) {
        canvas->failed = true;
        return;
    }
    chart->figure = figure;
    chart->frame.canvas = canvas;
    measure_data(chart);
    measure_values(chart);
    place_legend(chart);
    wr_plot_frame_title(canvas, figure->title);
    wr_plot_frame_grid(&chart->frame); /* the x axis has no ticks */
    draw_bars(chart);
    draw_groups(chart);
    wr_plot_frame_x_label(&chart->frame, figure->x_label, chart->note[0] != '\0');
    wr_plot_frame_y_axis(&chart->frame, figure->y.label);
    wr_plot_legend_draw(&chart->legend, canvas, chart->legend_at, NULL);
    wr_plot_frame_note(canvas, chart->note);
    if (chart->empty) wr_plot_frame_no_data(&chart->frame);
    if (chart->obstacles.failed) canvas->failed = true;
    wr_plot_path_release(&chart->obstacles);
    wr_plot_path_release(&chart->errors);
    free(chart);
}

static weir_status check(const weir_plot_bars *figure, weir_error *error) {
    if (figure->group_count < 1 || figure->group_count > WEIR_PLOT_GROUPS_MAX)
        return weir_error_set(error, WEIR_USAGE, "a bar chart has 1 to %d groups, not %zu",
                              WEIR_PLOT_GROUPS_MAX, figure->group_count);
    if (figure->series_count < 1 || figure->series_count > WEIR_PLOT_SERIES_MAX)
        return weir_error_set(error, WEIR_USAGE, "a bar chart has 1 to %d bars in a group, not %zu",
                              WEIR_PLOT_SERIES_MAX, figure->series_count);
    if (figure->values == NULL)
        return weir_error_set(error, WEIR_USAGE, "the bar chart has no values");
    return wr_plot_axis_check(&figure->y, "y axis", error);
}

weir_status weir_plot_bars_save(const weir_plot_bars *figure, const char *path, weir_error *error) {
    weir_status status = check(figure, error);
    if (status != WEIR_OK) return status;
    wr_plot_job job = {.title = figure->title,
                       .width = figure->width,
                       .height = figure->height,
                       .draw = draw,
                       .figure = figure};
    return wr_plot_save(&job, path, error);
}
