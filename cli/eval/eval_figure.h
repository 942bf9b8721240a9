/* The figures of `weir eval`: what the three kinds share. A kind is checked before any work. */
#ifndef WEIR_CLI_EVAL_FIGURE_H
#define WEIR_CLI_EVAL_FIGURE_H

#include "eval/eval_runs.h"
#include "weir/plot.h"

enum { FIGURE_LABEL = 64, FIGURE_TITLE = 320 };

/* Names without repetition, in the order of their first appearance. */
typedef struct name_list {
    char text[EVAL_RUNS_MAX][FIGURE_LABEL];
    const char *names[EVAL_RUNS_MAX];
    size_t count;
} name_list;
size_t name_place(name_list *list, const char *name);

/* "sink 4 + 252", "window 256", "dense" */
void figure_name_run(const weir_plan *plan, char out[FIGURE_LABEL]);
/* "weir small, novels.txt: perplexity by number of sinks" */
void figure_title(const eval_arguments *arguments, const eval_session *session, const char *what,
                  char out[FIGURE_TITLE]);
/* Do the runs that forget differ in S + W? */
bool figure_caches_differ(const eval_session *session);

/* Perplexity and half its error bar: beyond the window where every run has that, so that what all
 * runs see alike does not blur the difference. */
double figure_perplexity(const eval_session *session, const eval_run *run, double *half);
void figure_perplexity_axis(const eval_session *session, char label[FIGURE_LABEL],
                            weir_plot_axis *out);

weir_status curve_begin(const eval_arguments *arguments, eval_session *session, weir_error *error);
weir_status curve_save(const eval_arguments *arguments, const eval_session *session,
                       weir_error *error);
/* Bars by sinks; lines by cache size. Without `draw` only checks that they fit. */
weir_status bars_save(const eval_arguments *arguments, const eval_session *session, bool draw,
                      weir_error *error);
weir_status sizes_save(const eval_arguments *arguments, const eval_session *session, bool draw,
                       weir_error *error);

#endif
