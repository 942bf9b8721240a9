/*
 * Log perplexity along the text, a line for each run.
 *
 * A curve keeps sums over bins of tokens, at most EVAL_BINS for a run, so its memory does not grow
 * with the text. The moving average looks back: a jump stands where it happens, never before.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"
#include "eval/eval_figure.h"

#define LEAST_AVERAGE 128

weir_status curve_begin(const eval_arguments *arguments, eval_session *session, weir_error *error) {
    int64_t scored = session->text.count - 1;
    if (session->count > WEIR_PLOT_SERIES_MAX) {
        return weir_error_set(error, WEIR_USAGE,
                              "a curve has %d lines at most, and this call has %d runs: choose "
                              "--figure sinks or cache, or fewer runs",
                              WEIR_PLOT_SERIES_MAX, session->count);
    }
    session->bin_size = (scored + EVAL_BINS - 1) / EVAL_BINS;
    int64_t average = scored / 100 > LEAST_AVERAGE ? scored / 100 : LEAST_AVERAGE;
    average = average < scored / 8 ? average : scored / 8;
    average = arguments->average.given ? arguments->average.count : average;
    average = average < scored ? average : scored;
    int64_t bins = (average + session->bin_size / 2) / session->bin_size;
    session->average = (bins > 1 ? bins : 1) * session->bin_size;
    for (int i = 0; i < session->count; i++) {
        session->runs[i].bins = calloc(1, sizeof *session->runs[i].bins);
        if (session->runs[i].bins == NULL) {
            return weir_error_set(error, WEIR_MEMORY, "no memory for the curve");
        }
    }
    return WEIR_OK;
}

void eval_figure_add(const eval_session *session, eval_run *run, int64_t index, double nll) {
    if (run->bins != NULL) {
        int64_t bin = (index - 1) / session->bin_size;
        run->bins->sum[bin] += nll;
        run->bins->count[bin]++;
    }
}

typedef struct eval_line {
    double x[EVAL_BINS], y[EVAL_BINS];
    char label[FIGURE_LABEL];
} eval_line;

/* The mean of the last `average` tokens, from the first whole one on. */
static size_t average_bins(const eval_session *session, const eval_bins *bins, eval_line *line) {
    int64_t span = session->average / session->bin_size, scored = session->text.count - 1;
    double sum = 0;
    int64_t count = 0;
    size_t points = 0;
    for (int64_t i = 0; i < EVAL_BINS && bins->count[i] > 0; i++) {
        sum += bins->sum[i];
        count += bins->count[i];
        if (i >= span) {
            sum -= bins->sum[i - span];
            count -= bins->count[i - span];
        }
        int64_t last = (i + 1) * session->bin_size;
        if (i + 1 >= span) {
            line->x[points] = (double)(last < scored ? last : scored);
            line->y[points++] = sum / (double)count;
        }
    }
    return points;
}

static size_t curve_markers(const eval_session *session, weir_plot_marker *out,
                            char labels[2][FIGURE_LABEL]) {
    int64_t trained = weir_model_get_info(session->model)->trained_context;
    int64_t last = session->text.count - 1,
            cache = figure_caches_differ(session) ? 0 : session->after;
    char word[WORD_MAX];
    size_t count = 0;
    if (trained > 0 && trained < last) {
        snprintf(labels[0], FIGURE_LABEL, "trained context%s %s",
                 trained == cache ? " = cache" : "", word_count(trained, word));
        out[count++] = (weir_plot_marker){.label = labels[0], .at = (double)trained};
    }
    if (cache > 0 && cache < last && cache != trained) {
        snprintf(labels[1], FIGURE_LABEL, "cache %s", word_count(cache, word));
        out[count++] = (weir_plot_marker){.label = labels[1], .at = (double)cache};
    }
    return count;
}

weir_status curve_save(const eval_arguments *arguments, const eval_session *session,
                       weir_error *error) {
    weir_plot_series series[WEIR_PLOT_SERIES_MAX] = {0};
    weir_plot_marker markers[2];
    char title[FIGURE_TITLE], y_label[FIGURE_LABEL], marker_labels[2][FIGURE_LABEL], word[WORD_MAX];
    eval_line *lines = calloc((size_t)session->count, sizeof *lines);
    if (lines == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the figure");
    }
    for (int i = 0; i < session->count; i++) {
        figure_name_run(&session->runs[i].plan, lines[i].label);
        series[i].label = lines[i].label;
        series[i].x = lines[i].x;
        series[i].y = lines[i].y;
        series[i].count = average_bins(session, session->runs[i].bins, &lines[i]);
    }
    figure_title(arguments, session, "log perplexity along the text", title);
    snprintf(y_label, sizeof y_label, "log perplexity (nats), mean of the last %s",
             word_count(session->average, word));
    weir_plot_lines figure = {
        .title = title,
        .x = {.label = "stream index (tokens)", .from = 0, .to = (double)session->text.count},
        .y = {.label = y_label},
        .series = series,
        .series_count = (size_t)session->count,
        .markers = markers,
        .marker_count = curve_markers(session, markers, marker_labels),
    };
    weir_status status = weir_plot_lines_save(&figure, arguments->plot.text, error);
    free(lines);
    return status;
}
