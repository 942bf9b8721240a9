/* Perplexity by cache size: a line for each policy and number of sinks; dense, which has no size,
 * is a line across. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"
#include "eval/eval_figure.h"

typedef struct size_line {
    char label[FIGURE_LABEL];
    double x[EVAL_RUNS_MAX], y[EVAL_RUNS_MAX], half[EVAL_RUNS_MAX];
    size_t count;
} size_line;

typedef struct size_sheet {
    name_list names;
    size_line lines[WEIR_PLOT_SERIES_MAX];
    weir_plot_marker dense;
    size_t markers;
} size_sheet;

static void name_line(const weir_plan *plan, char out[FIGURE_LABEL]) {
    char word[WORD_MAX];
    if (plan->policy == WEIR_SINK) {
        snprintf(out, FIGURE_LABEL, "sink, %s kept", word_count(plan->sinks, word));
    } else {
        snprintf(out, FIGURE_LABEL, "%s", policy_name(plan->policy));
    }
}

/* In order of size: points are joined in their order. */
static void add_point(size_line *line, double x, double y, double half) {
    size_t at = line->count++;
    for (; at > 0 && line->x[at - 1] > x; at--) {
        line->x[at] = line->x[at - 1];
        line->y[at] = line->y[at - 1];
        line->half[at] = line->half[at - 1];
    }
    line->x[at] = x;
    line->y[at] = y;
    line->half[at] = half;
}

static weir_status fill(const eval_session *session, size_sheet *sheet, weir_error *error) {
    char label[FIGURE_LABEL];
    for (int i = 0; i < session->count; i++) {
        const eval_run *run = &session->runs[i];
        double half, value = figure_perplexity(session, run, &half);
        if (run->plan.policy == WEIR_DENSE) {
            sheet->dense = (weir_plot_marker){.label = "dense", .at = value, .on_y = true};
            sheet->markers = 1;
            continue;
        }
        name_line(&run->plan, label);
        size_t place = name_place(&sheet->names, label);
        if (place == WEIR_PLOT_SERIES_MAX) {
            return weir_error_set(error, WEIR_USAGE,
                                  "a figure has %d lines at most, one for each policy and number "
                                  "of sinks: choose --figure sinks, or fewer of them",
                                  WEIR_PLOT_SERIES_MAX);
        }
        add_point(&sheet->lines[place], (double)run->plan.slots, value, half);
    }
    return WEIR_OK;
}

static weir_status draw_sizes(const eval_arguments *arguments, const eval_session *session,
                              const size_sheet *sheet, weir_error *error) {
    weir_plot_series series[WEIR_PLOT_SERIES_MAX] = {0};
    char title[FIGURE_TITLE], y_label[FIGURE_LABEL];
    for (size_t i = 0; i < sheet->names.count; i++) {
        const size_line *line = &sheet->lines[i];
        series[i] = (weir_plot_series){.label = sheet->names.names[i],
                                       .x = line->x,
                                       .y = line->y,
                                       .error = line->count <= 60 ? line->half : NULL,
                                       .count = line->count};
    }
    figure_title(arguments, session, "perplexity by cache size", title);
    weir_plot_lines figure = {
        .title = title,
        .x = {.label = "cache: sinks and window (tokens)", .scale = WEIR_PLOT_LOG2},
        .series = series,
        .series_count = sheet->names.count > 0 ? sheet->names.count : 1,
        .markers = &sheet->dense,
        .marker_count = sheet->markers,
    };
    figure_perplexity_axis(session, y_label, &figure.y);
    return weir_plot_lines_save(&figure, arguments->plot.text, error);
}

weir_status sizes_save(const eval_arguments *arguments, const eval_session *session, bool draw,
                       weir_error *error) {
    size_sheet *sheet = calloc(1, sizeof *sheet);
    if (sheet == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the figure");
    }
    weir_status status = fill(session, sheet, error);
    if (status == WEIR_OK && draw) {
        status = draw_sizes(arguments, session, sheet, error);
    }
    free(sheet);
    return status;
}
