/*
 * Points to lines: see series_path.h.
 *
 * Points that follow each other in one column of pixels become at most four, the first, lowest,
 * highest and last in their own order (which keeps every pixel that the whole line would touch), or
 * one, their mean. Memory stays that of the result.
 */
#include "plot/series_path.h"

#include <math.h>

typedef struct column {
    double number; /* NaN: empty */
    size_t count;
    size_t first, lowest, highest, last; /* indices */
    double lowest_y, highest_y;
    double sum_x, sum_y;
} column;

typedef struct reducer {
    const weir_plot_series *series;
    const wr_plot_axis *x, *y;
    wr_plot_path *path;
    column column;
    size_t piece; /* where in the path its present unbroken piece begins */
    bool broken;  /* there was a gap since the last column began */
} reducer;

double wr_plot_series_x(const weir_plot_series *series, size_t i) {
    return series->x != NULL ? series->x[i] : (double)i;
}

static void add_value(reducer *work, double x, double y) {
    wr_plot_path_add(work->path, wr_plot_axis_at(work->x, x), wr_plot_axis_at(work->y, y));
}

static void add_index(reducer *work, size_t i) {
    add_value(work, wr_plot_series_x(work->series, i), work->series->y[i]);
}

static void end_column(reducer *work) {
    column *done = &work->column;
    if (done->count > 0 && work->series->reduce == WEIR_PLOT_MEAN) {
        add_value(work, done->sum_x, done->sum_y);
    } else if (done->count > 0) {
        size_t a = done->lowest < done->highest ? done->lowest : done->highest;
        size_t b = done->lowest < done->highest ? done->highest : done->lowest;
        add_index(work, done->first);
        if (a != done->first) add_index(work, a);
        if (b != a && b != done->last) add_index(work, b);
        if (done->last != done->first && done->last != a) add_index(work, done->last);
    }
    done->count = 0;
}

/* Ends an unbroken piece of the line. A point alone would be invisible: it becomes a short line. */
static void lift_pen(reducer *work) {
    wr_plot_path *path = work->path;
    if (!path->failed && path->count - work->piece == 1) {
        wr_plot_point alone = path->points[work->piece];
        wr_plot_path_add(path, alone.x + 1.5, alone.y);
    }
    wr_plot_path_gap(path);
    work->piece = path->count;
}

static void take_point(reducer *work, size_t i, double x, double y) {
    column *now = &work->column;
    double place = wr_plot_axis_at(work->x, x);
    double number = place == work->x->end ? ceil(place) - 1 : floor(place); /* the last is whole */
    if (now->count > 0 && number != now->number) {
        end_column(work);
        /* a gap that leaves no column empty could not be seen, and would tear the line */
        if (work->broken && fabs(number - now->number) > 1) lift_pen(work);
    }
    if (now->count == 0) {
        work->broken = false;
        *now = (column){.number = number, .first = i, .lowest = i, .highest = i};
        now->lowest_y = now->highest_y = y;
    }
    now->count++;
    now->last = i;
    now->sum_x += (x - now->sum_x) / (double)now->count; /* running means: no sum to overflow */
    now->sum_y += (y - now->sum_y) / (double)now->count;
    if (y < now->lowest_y) {
        now->lowest_y = y;
        now->lowest = i;
    }
    if (y > now->highest_y) {
        now->highest_y = y;
        now->highest = i;
    }
}

void wr_plot_series_path(const weir_plot_series *series, const wr_plot_axis *x,
                         const wr_plot_axis *y, int columns, wr_plot_path *path) {
    reducer work = {.series = series, .x = x, .y = y, .path = path, .piece = path->count};
    bool all = series->count <= 2 * (size_t)columns;
    for (size_t i = 0; i < series->count; i++) {
        double at_x = wr_plot_series_x(series, i), at_y = series->y[i];
        if (!wr_plot_scale_shows(x->scale, at_x) || !wr_plot_scale_shows(y->scale, at_y)) {
            work.broken = true;
            continue;
        }
        if (all && work.broken) lift_pen(&work);
        if (all)
            add_value(&work, at_x, at_y);
        else
            take_point(&work, i, at_x, at_y);
        work.broken = work.broken && !all;
    }
    end_column(&work);
    lift_pen(&work);
}

void wr_plot_error_bar(wr_plot_path *path, const wr_plot_axis *y, double at, double low,
                       double high, double reach) {
    if (!(high > low) || !wr_plot_scale_shows(y->scale, high)) return;
    double top = wr_plot_axis_at(y, high);
    double bottom = wr_plot_axis_at(y, wr_plot_scale_shows(y->scale, low) ? low : y->low);
    wr_plot_path_gap(path);
    wr_plot_path_add(path, at - reach, top);
    wr_plot_path_add(path, at + reach, top);
    wr_plot_path_gap(path);
    wr_plot_path_add(path, at, top);
    wr_plot_path_add(path, at, bottom);
    wr_plot_path_gap(path);
    wr_plot_path_add(path, at - reach, bottom);
    wr_plot_path_add(path, at + reach, bottom);
}

bool wr_plot_error_ends(const weir_plot_series *series, size_t i, double *low, double *high) {
    if (series->error == NULL || series->count > WR_PLOT_MARKED) return false;
    double below = series->error_below != NULL ? series->error_below[i] : series->error[i];
    *high = series->y[i] + series->error[i];
    *low = series->y[i] - below;
    return series->error[i] >= 0 && below >= 0 && *high > *low;
}

void wr_plot_error_path(const weir_plot_series *series, const wr_plot_axis *x,
                        const wr_plot_axis *y, wr_plot_path *path) {
    for (size_t i = 0; i < series->count; i++) {
        double low, high, at = wr_plot_series_x(series, i);
        if (!wr_plot_scale_shows(x->scale, at) || !wr_plot_scale_shows(y->scale, series->y[i]))
            continue;
        if (wr_plot_error_ends(series, i, &low, &high))
            wr_plot_error_bar(path, y, wr_plot_axis_at(x, at), low, high, 5);
    }
}
