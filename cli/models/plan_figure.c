/* The figure of `weir plan`: keys and values of a dense cache, which grow with the text, and those
 * of the stream, which do not. */
#include <stdio.h>

#include "common/stream_options.h"
#include "common/words.h"
#include "models/plan_fit.h"
#include "weir/plot.h"

#define MIB 1048576.0
#define LABEL 96

static void name_stream(const weir_plan *plan, char out[LABEL]) {
    char sinks[WORD_MAX], window[WORD_MAX];
    word_count(plan->window, window);
    if (plan->policy == WEIR_SINK) {
        snprintf(out, LABEL, "sink %s + %s", word_count(plan->sinks, sinks), window);
    } else {
        snprintf(out, LABEL, "%s %s", policy_name(plan->policy), window);
    }
}

weir_status plan_draw(const weir_model *model, const weir_plan *plan, int64_t tokens,
                      const char *path, weir_error *error) {
    const weir_model_info *info = weir_model_get_info(model);
    int64_t last = tokens > 2 * plan->slots ? tokens : 2 * plan->slots;
    int64_t first = plan->slots >= 16 ? plan->slots / 16 : 1;
    double x[2] = {(double)first, (double)last};
    double each = (double)plan->bytes_per_token / MIB, stream = (double)plan->kv_bytes / MIB;
    double dense[2] = {each * x[0], each * x[1]}, level[2] = {stream, stream};
    char title[256], name[LABEL];
    name_stream(plan, name);
    snprintf(title, sizeof title, "%.80s: keys and values by length of the text",
             info->name[0] != '\0' ? info->name : "memory");
    const weir_plot_series series[] = {
        {.label = "dense: everything is kept", .x = x, .y = dense, .count = 2},
        {.label = name, .x = x, .y = level, .count = 2},
    };
    const weir_plot_marker marker = {.label = "trained context",
                                     .at = (double)info->trained_context};
    const weir_plot_lines figure = {
        .title = title,
        .x = {.label = "text (tokens)", .scale = WEIR_PLOT_LOG},
        .y = {.label = "keys and values (MiB)", .scale = WEIR_PLOT_LOG},
        .series = series,
        .series_count = plan->policy == WEIR_DENSE ? 1 : 2,
        .markers = &marker,
        .marker_count = info->trained_context > first && info->trained_context < last,
    };
    return weir_plot_lines_save(&figure, path, error);
}
