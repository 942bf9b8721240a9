/* The figure of `weir bench`: the median time of a decoded token, a group of bars for each cache
 * size and a bar for each policy (the paper's Figure 10). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_session.h"
#include "weir/plot.h"

typedef struct bar_chart {
    int64_t sizes[BENCH_RUNS_MAX];
    char size_names[BENCH_RUNS_MAX][24], kinds[WEIR_PLOT_SERIES_MAX][40];
    const char *groups[BENCH_RUNS_MAX], *series[WEIR_PLOT_SERIES_MAX];
    size_t size_count, kind_count;
    double values[BENCH_RUNS_MAX * WEIR_PLOT_SERIES_MAX]; /* [size_count, kind_count] */
} bar_chart;

static size_t size_place(bar_chart *bars, int64_t size) {
    size_t i = 0;
    while (i < bars->size_count && bars->sizes[i] != size) {
        i++;
    }
    if (i == bars->size_count) {
        bars->sizes[i] = size;
        snprintf(bars->size_names[i], sizeof bars->size_names[i], "%lld", (long long)size);
        bars->groups[i] = bars->size_names[i];
        bars->size_count++;
    }
    return i;
}

/* WEIR_PLOT_SERIES_MAX when there are too many of them. */
static size_t kind_place(bar_chart *bars, const weir_plan *plan) {
    char name[sizeof bars->kinds[0]];
    if (plan->policy == WEIR_SINK) {
        snprintf(name, sizeof name, "sink, S = %lld", (long long)plan->sinks);
    } else {
        snprintf(name, sizeof name, "%s", policy_name(plan->policy));
    }
    size_t i = 0;
    while (i < bars->kind_count && strcmp(bars->kinds[i], name) != 0) {
        i++;
    }
    if (i == bars->kind_count && i < WEIR_PLOT_SERIES_MAX) {
        memcpy(bars->kinds[i], name, sizeof name);
        bars->series[i] = bars->kinds[i];
        bars->kind_count++;
    }
    return i;
}

/* The lowest and the highest bar. */
static weir_status arrange(const bench_session *session, bar_chart *bars, double ends[2],
                           weir_error *error) {
    size_t kinds[BENCH_RUNS_MAX], sizes[BENCH_RUNS_MAX];
    for (int i = 0; i < session->done; i++) {
        const bench_run *run = &session->runs[i];
        sizes[i] = size_place(bars, bench_size(session, run));
        kinds[i] = kind_place(bars, &run->plan);
        if (kinds[i] == WEIR_PLOT_SERIES_MAX) {
            return weir_error_set(error, WEIR_USAGE,
                                  "a figure holds %d policies and numbers of sinks: leave some out",
                                  WEIR_PLOT_SERIES_MAX);
        }
    }
    for (size_t i = 0; i < bars->size_count * bars->kind_count; i++) {
        bars->values[i] = (double)NAN;
    }
    ends[0] = (double)INFINITY;
    for (int i = 0; i < session->done; i++) {
        double p50 = session->runs[i].decode.times.p50;
        bars->values[sizes[i] * bars->kind_count + kinds[i]] = p50;
        ends[0] = p50 < ends[0] ? p50 : ends[0];
        ends[1] = p50 > ends[1] ? p50 : ends[1];
    }
    return WEIR_OK;
}

weir_status bench_figure_save(const bench_session *session, const char *path, weir_error *error) {
    bar_chart *bars = calloc(1, sizeof *bars);
    double ends[2] = {0, 0};
    if (bars == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the figure");
    }
    weir_status status = arrange(session, bars, ends, error);
    if (status == WEIR_OK) {
        weir_plot_bars figure = {
            .title = "Time of a decoded token, median",
            .x_label = session->by_window ? "window (tokens)" : "cache (tokens)",
            .y = {.label = "time per token (ms)",
                  .scale = ends[1] > 10 * ends[0] ? WEIR_PLOT_LOG : WEIR_PLOT_LINEAR},
            .groups = bars->groups,
            .group_count = bars->size_count,
            .series = bars->series,
            .series_title = "policy",
            .series_count = bars->kind_count,
            .values = bars->values,
        };
        status = weir_plot_bars_save(&figure, path, error);
    }
    free(bars);
    return status;
}
