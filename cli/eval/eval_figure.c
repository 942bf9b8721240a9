/*
 * The figure of `weir eval`: a curve along the text (the StreamingLLM paper's figures 3 and 5),
 * bars by number of sinks (its table 2) or lines by cache size (its table 6).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"
#include "eval/eval_figure.h"

#define LOG_FROM 20.0 /* largest by smallest perplexity from which an axis is logarithmic */

/* ---- which figure ---------------------------------------------------------------------------- */

static bool differ(const eval_session *session, bool sinks) {
    int64_t first = -1;
    for (int i = 0; i < session->count; i++) {
        const weir_plan *plan = &session->runs[i].plan;
        if (sinks ? plan->policy == WEIR_SINK : plan->policy != WEIR_DENSE) {
            int64_t value = sinks ? plan->sinks : plan->slots;
            if (first >= 0 && value != first) {
                return true;
            }
            first = value;
        }
    }
    return false;
}

bool figure_caches_differ(const eval_session *session) { return differ(session, false); }

static eval_figure choose(const eval_arguments *arguments, const eval_session *session) {
    if (arguments->figure.given) {
        return (eval_figure)arguments->figure.count;
    }
    return differ(session, true) ? EVAL_SINKS : differ(session, false) ? EVAL_CACHE : EVAL_CURVE;
}

weir_status eval_figure_begin(const eval_arguments *arguments, eval_session *session,
                              weir_error *error) {
    session->figure = arguments->plot.given ? choose(arguments, session) : EVAL_NONE;
    if (session->figure == EVAL_NONE) {
        return WEIR_OK;
    }
    if (session->figure == EVAL_CURVE) {
        return curve_begin(arguments, session, error);
    }
    if (arguments->average.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--average applies to a curve: leave it out, or choose --figure "
                              "curve");
    }
    return session->figure == EVAL_SINKS ? bars_save(arguments, session, false, error)
                                         : sizes_save(arguments, session, false, error);
}

weir_status eval_figure_save(const eval_arguments *arguments, const eval_session *session,
                             weir_error *error) {
    switch (session->figure) {
    case EVAL_CURVE:
        return curve_save(arguments, session, error);
    case EVAL_SINKS:
        return bars_save(arguments, session, true, error);
    case EVAL_CACHE:
        return sizes_save(arguments, session, true, error);
    default:
        return WEIR_OK;
    }
}

/* ---- words ----------------------------------------------------------------------------------- */

void figure_name_run(const weir_plan *plan, char out[FIGURE_LABEL]) {
    const char *policy = policy_name(plan->policy);
    if (plan->policy == WEIR_DENSE) {
        snprintf(out, FIGURE_LABEL, "%s", policy);
    } else if (plan->policy == WEIR_SINK) {
        snprintf(out, FIGURE_LABEL, "%s %lld + %lld", policy, (long long)plan->sinks,
                 (long long)plan->window);
    } else {
        snprintf(out, FIGURE_LABEL, "%s %lld", policy, (long long)plan->window);
    }
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

void figure_title(const eval_arguments *arguments, const eval_session *session, const char *what,
                  char out[FIGURE_TITLE]) {
    const weir_model_info *info = weir_model_get_info(session->model);
    char place[FIGURE_LABEL] = "";
    if (session->replacement >= 0) {
        snprintf(place, sizeof place, ", token %d as sinks", session->replacement);
    }
    const char *text = arguments->text.text;
    snprintf(out, FIGURE_TITLE, "%.80s, %.80s: %s%s",
             info->name[0] != '\0' ? info->name : file_name(info->path),
             strcmp(text, "-") == 0 ? "standard input" : file_name(text), what, place);
}

size_t name_place(name_list *list, const char *name) {
    size_t i = 0;
    while (i < list->count && strcmp(list->text[i], name) != 0) {
        i++;
    }
    if (i == list->count) {
        snprintf(list->text[i], FIGURE_LABEL, "%s", name);
        list->names[i] = list->text[i];
        list->count++;
    }
    return i;
}

/* ---- perplexity ------------------------------------------------------------------------------ */

static bool all_beyond(const eval_session *session) {
    bool all = true;
    for (int i = 0; i < session->count; i++) {
        all = all && session->runs[i].result.scored_after > 0;
    }
    return all;
}

double figure_perplexity(const eval_session *session, const eval_run *run, double *half) {
    bool after = all_beyond(session);
    double value = exp(after ? run->result.nll_after : run->result.nll);
    *half = value * (after ? run->result.error_after : run->result.error);
    return value;
}

void figure_perplexity_axis(const eval_session *session, char label[FIGURE_LABEL],
                            weir_plot_axis *out) {
    double low = (double)INFINITY, high = 0, half;
    char word[WORD_MAX];
    for (int i = 0; i < session->count; i++) {
        double value = figure_perplexity(session, &session->runs[i], &half);
        low = fmin(low, value);
        high = fmax(high, value);
    }
    if (all_beyond(session)) {
        snprintf(label, FIGURE_LABEL, "perplexity beyond token %s, ± standard error",
                 word_count(session->after, word));
    } else {
        snprintf(label, FIGURE_LABEL, "perplexity, ± standard error");
    }
    *out = (weir_plot_axis){.label = label,
                            .scale = high > LOG_FROM * low ? WEIR_PLOT_LOG : WEIR_PLOT_LINEAR};
}
