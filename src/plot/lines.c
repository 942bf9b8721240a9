/*
 * Line charts.
 *
 * The layout is found in at most three passes: without names of markers above the frame, with the
 * rows that they turned out to need, and, if no corner is free for it, with the legend outside.
 */
#include <math.h>
#include <stdlib.h>

#include "plot/colour.h"
#include "plot/figure_file.h"
#include "plot/frame.h"
#include "plot/legend.h"
#include "plot/markers.h"
#include "plot/series_path.h"

typedef struct line_chart {
    const weir_plot_lines *figure;
    wr_plot_frame frame;
    wr_plot_legend legend;
    wr_plot_point legend_at;
    wr_plot_markers markers;
    wr_plot_path lines[WEIR_PLOT_SERIES_MAX], errors[WEIR_PLOT_SERIES_MAX];
    bool marked[WEIR_PLOT_SERIES_MAX];
    char note[WR_PLOT_LABEL];
    bool empty;
} line_chart;

/* The spans of what will be seen; points that an asked-for x range leaves out do not count. */
static void measure_data(line_chart *chart) {
    const weir_plot_lines *figure = chart->figure;
    bool fixed = figure->x.from != 0 || figure->x.to != 0;
    wr_plot_span x = wr_plot_span_begin(figure->x.scale), y = wr_plot_span_begin(figure->y.scale);
    bool few = true;
    for (size_t s = 0; s < figure->series_count; s++) {
        const weir_plot_series *series = &figure->series[s];
        chart->marked[s] = series->count <= WR_PLOT_MARKED;
        few = few && chart->marked[s];
        for (size_t i = 0; i < series->count; i++) {
            double at = wr_plot_series_x(series, i);
            if (fixed && !(at >= figure->x.from && at <= figure->x.to)) continue;
            if (!isfinite(series->y[i]) || !wr_plot_span_add(&x, at)) continue;
            if (!wr_plot_span_add(&y, series->y[i])) continue;
            double low, high;
            if (!wr_plot_error_ends(series, i, &low, &high)) continue;
            size_t count = y.not_positive; /* the end of an error bar is not a value */
            wr_plot_span_add(&y, low);
            wr_plot_span_add(&y, high);
            y.not_positive = count;
        }
    }
    chart->empty = y.low > y.high;
    wr_plot_note_text(chart->note, x.not_positive + y.not_positive);
    for (size_t i = 0; i < figure->marker_count; i++)
        if (!chart->empty)
            wr_plot_span_add(figure->markers[i].on_y ? &y : &x, figure->markers[i].at);
    wr_plot_axis_range(&chart->frame.x, &figure->x, &x, few ? WR_PLOT_MARGIN : WR_PLOT_EXACT);
    wr_plot_axis_range(&chart->frame.y, &figure->y, &y, WR_PLOT_ROUND);
}

static void trace_series(line_chart *chart) {
    const weir_plot_lines *figure = chart->figure;
    wr_plot_frame *frame = &chart->frame;
    int columns = (int)(frame->box.right - frame->box.left);
    for (size_t s = 0; s < figure->series_count; s++) {
        chart->lines[s].count = chart->errors[s].count = 0;
        wr_plot_series_path(&figure->series[s], &frame->x, &frame->y, columns, &chart->lines[s]);
        wr_plot_error_path(&figure->series[s], &frame->x, &frame->y, &chart->errors[s]);
    }
}

/* Sets the box and both axes. `right`: what the legend takes there. */
static void lay_out(line_chart *chart, double right) {
    const weir_plot_lines *figure = chart->figure;
    wr_plot_frame *frame = &chart->frame;
    frame->box.top = wr_plot_frame_top(figure->title) + wr_plot_markers_height(&chart->markers);
    frame->box.bottom =
        wr_plot_frame_bottom(frame->canvas, figure->x.label, chart->note[0] != '\0');
    frame->box.bottom = fmax(frame->box.bottom, frame->box.top + 40); /* on a tiny page */
    frame->box.right = frame->canvas->width - 30 - right - wr_plot_markers_width(&chart->markers);
    wr_plot_frame_fit_y(frame, figure->y.label);
    frame->box.right = fmax(frame->box.right, frame->box.left + 40);
    wr_plot_frame_fit_x(frame);
    wr_plot_markers_place(&chart->markers, frame);
}

static void place_legend(line_chart *chart) {
    const weir_plot_lines *figure = chart->figure;
    wr_plot_canvas *canvas = chart->frame.canvas;
    for (size_t s = 0; s < figure->series_count; s++)
        wr_plot_legend_add(&chart->legend, canvas, s, figure->series[s].label,
                           0.35 * canvas->width);
    lay_out(chart, 0);
    if (wr_plot_markers_height(&chart->markers) > 0) lay_out(chart, 0);
    trace_series(chart);
    if (chart->legend.count == 0) return;
    const wr_plot_path *obstacles[2 * WEIR_PLOT_SERIES_MAX + 1];
    size_t count = 0;
    for (size_t s = 0; s < figure->series_count; s++) {
        obstacles[count++] = &chart->lines[s];
        obstacles[count++] = &chart->errors[s];
    }
    obstacles[count++] = &chart->markers.lines;
    if (wr_plot_legend_place(&chart->legend, &chart->frame.box, obstacles, count,
                             &chart->legend_at))
        return;
    lay_out(chart, chart->legend.width + 10);
    trace_series(chart);
    chart->legend_at =
        (wr_plot_point){canvas->width - WR_PLOT_PAD - chart->legend.width, chart->frame.box.top};
}

static void draw_marks(line_chart *chart, size_t s) {
    wr_plot_path marks = {0};
    const wr_plot_path *line = &chart->lines[s];
    for (size_t i = 0; i < line->count; i++) {
        /* the second point of a short line that stands for a lone point is not one */
        bool lone_end = i > 0 && line->points[i].x == line->points[i - 1].x + 1.5 &&
                        line->points[i].y == line->points[i - 1].y;
        if (!isnan(line->points[i].x) && !lone_end)
            wr_plot_series_mark(&marks, s, line->points[i].x, line->points[i].y, 5);
    }
    wr_plot_fill(chart->frame.canvas, &marks, wr_plot_series_colour(s));
    wr_plot_path_release(&marks);
}

static void draw_series(line_chart *chart) {
    wr_plot_canvas *canvas = chart->frame.canvas;
    wr_plot_box box = chart->frame.box;
    wr_plot_box clip = {box.left - 6, box.top - 6, box.right + 6, box.bottom + 6};
    wr_plot_clip(canvas, &clip); /* with room for half a mark */
    for (size_t s = 0; s < chart->figure->series_count; s++) {
        wr_plot_stroke stroke = wr_plot_series_stroke(s, chart->marked[s] ? 2.4 : 1.8);
        wr_plot_line(canvas, &chart->lines[s], &stroke);
        wr_plot_stroke bar = {.colour = stroke.colour, .width = 1.4};
        wr_plot_line(canvas, &chart->errors[s], &bar);
        if (chart->marked[s]) draw_marks(chart, s);
    }
    wr_plot_clip(canvas, NULL);
}

static void draw(wr_plot_canvas *canvas, const void *lines) {
    const weir_plot_lines *figure = lines;
    line_chart *chart = calloc(1, sizeof *chart);
    if (chart == NULL) {
        canvas->failed = true;
        return;
    }
    chart->figure = figure;
    chart->frame.canvas = canvas;
    measure_data(chart);
    wr_plot_markers_begin(&chart->markers, canvas, figure->markers, figure->marker_count);
    place_legend(chart);
    bool note = chart->note[0] != '\0';
    wr_plot_frame_title(canvas, figure->title);
    wr_plot_frame_grid(&chart->frame);
    wr_plot_markers_draw(&chart->markers, canvas);
    draw_series(chart);
    wr_plot_frame_x_axis(&chart->frame);
    wr_plot_frame_x_label(&chart->frame, figure->x.label, note);
    wr_plot_frame_y_axis(&chart->frame, figure->y.label);
    wr_plot_legend_draw(&chart->legend, canvas, chart->legend_at, chart->marked);
    wr_plot_frame_note(canvas, chart->note);
    if (chart->empty) wr_plot_frame_no_data(&chart->frame);
    for (size_t s = 0; s < figure->series_count; s++) {
        wr_plot_path_release(&chart->lines[s]);
        wr_plot_path_release(&chart->errors[s]);
    }
    wr_plot_path_release(&chart->markers.lines);
    free(chart);
}

static weir_status check(const weir_plot_lines *figure, weir_error *error) {
    if (figure->series == NULL || figure->series_count < 1 ||
        figure->series_count > WEIR_PLOT_SERIES_MAX)
        return weir_error_set(error, WEIR_USAGE, "a line chart has 1 to %d series, not %zu",
                              WEIR_PLOT_SERIES_MAX, figure->series_count);
    if (figure->marker_count > WEIR_PLOT_MARKERS_MAX ||
        (figure->marker_count > 0 && figure->markers == NULL))
        return weir_error_set(error, WEIR_USAGE, "a line chart has 0 to %d markers, not %zu",
                              WEIR_PLOT_MARKERS_MAX, figure->marker_count);
    for (size_t s = 0; s < figure->series_count; s++)
        if (figure->series[s].count > 0 && figure->series[s].y == NULL)
            return weir_error_set(error, WEIR_USAGE, "series %zu of the line chart has no values",
                                  s);
    weir_status status = wr_plot_axis_check(&figure->x, "x axis", error);
    return status == WEIR_OK ? wr_plot_axis_check(&figure->y, "y axis", error) : status;
}

weir_status weir_plot_lines_save(const weir_plot_lines *figure, const char *path,
                                 weir_error *error) {
    weir_status status = check(figure, error);
    if (status != WEIR_OK) return status;
    wr_plot_job job = {.title = figure->title,
                       .width = figure->width,
                       .height = figure->height,
                       .draw = draw,
                       .figure = figure};
    return wr_plot_save(&job, path, error);
}
