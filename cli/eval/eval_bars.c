/* Perplexity by number of sinks, and by cache size in each group: bars. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"
#include "eval/eval_figure.h"

typedef struct bar_sheet {
    name_list groups, sizes;
    bool others; /* policies that have no sinks are there too */
    double values[EVAL_RUNS_MAX * WEIR_PLOT_SERIES_MAX];
    double halves[EVAL_RUNS_MAX * WEIR_PLOT_SERIES_MAX];
} bar_sheet;

static size_t group_of(bar_sheet *sheet, const weir_plan *plan) {
    char word[WORD_MAX];
    bool sink = plan->policy == WEIR_SINK;
    return name_place(&sheet->groups,
                      sink ? word_count(plan->sinks, word) : policy_name(plan->policy));
}

static size_t size_of(const eval_arguments *arguments, bar_sheet *sheet, const weir_plan *plan) {
    char word[WORD_MAX];
    return name_place(&sheet->sizes,
                      word_count(arguments->grid.window.given ? plan->window : plan->slots, word));
}

/* A dense run has no size: it stands beside every one. */
static void fill_sheet(const eval_arguments *arguments, const eval_session *session,
                       bar_sheet *sheet) {
    size_t sizes = sheet->sizes.count;
    for (size_t i = 0; i < sheet->groups.count * sizes; i++) {
        sheet->values[i] = sheet->halves[i] = (double)NAN;
    }
    for (int i = 0; i < session->count; i++) {
        const eval_run *run = &session->runs[i];
        bool dense = run->plan.policy == WEIR_DENSE;
        size_t at = group_of(sheet, &run->plan) * sizes;
        size_t first = dense ? 0 : size_of(arguments, sheet, &run->plan);
        for (size_t k = first; k < (dense ? sizes : first + 1); k++) {
            sheet->values[at + k] = figure_perplexity(session, run, &sheet->halves[at + k]);
        }
    }
}

static weir_status list_bars(const eval_arguments *arguments, const eval_session *session,
                             bar_sheet *sheet, weir_error *error) {
    for (int i = 0; i < session->count; i++) {
        const weir_plan *plan = &session->runs[i].plan;
        group_of(sheet, plan);
        sheet->others = sheet->others || plan->policy != WEIR_SINK;
        if (plan->policy != WEIR_DENSE) {
            size_of(arguments, sheet, plan);
        }
    }
    if (sheet->sizes.count == 0) {
        name_place(&sheet->sizes, "");
    }
    return sheet->sizes.count <= WEIR_PLOT_SERIES_MAX
               ? WEIR_OK
               : weir_error_set(error, WEIR_USAGE,
                                "%s: bars show %d sizes at most: choose --figure cache",
                                arguments->plot.text, WEIR_PLOT_SERIES_MAX);
}

static weir_status draw_bars(const eval_arguments *arguments, const eval_session *session,
                             bar_sheet *sheet, weir_error *error) {
    char title[FIGURE_TITLE], y_label[FIGURE_LABEL], what[FIGURE_LABEL];
    const char *size = arguments->grid.window.given ? "window" : "cache";
    bool several = sheet->sizes.count > 1;
    fill_sheet(arguments, session, sheet);
    if (several || sheet->sizes.text[0][0] == '\0') {
        snprintf(what, sizeof what, "perplexity by number of sinks");
    } else {
        snprintf(what, sizeof what, "perplexity by sinks, %s %.20s", size, sheet->sizes.text[0]);
    }
    figure_title(arguments, session, what, title);
    weir_plot_bars figure = {
        .title = title,
        .x_label = sheet->others ? "sinks (tokens), or another policy" : "sinks (tokens)",
        .groups = sheet->groups.names,
        .group_count = sheet->groups.count,
        .series = several ? sheet->sizes.names : NULL,
        .series_title = arguments->grid.window.given ? "window (tokens)" : "cache (tokens)",
        .series_count = sheet->sizes.count,
        .values = sheet->values,
        .errors = sheet->halves,
    };
    figure_perplexity_axis(session, y_label, &figure.y);
    return weir_plot_bars_save(&figure, arguments->plot.text, error);
}

weir_status bars_save(const eval_arguments *arguments, const eval_session *session, bool draw,
                      weir_error *error) {
    bar_sheet *sheet = calloc(1, sizeof *sheet);
    if (sheet == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the figure");
    }
    weir_status status = list_bars(arguments, session, sheet, error);
    if (status == WEIR_OK && draw) {
        status = draw_bars(arguments, session, sheet, error);
    }
    free(sheet);
    return status;
}
