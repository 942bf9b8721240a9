/* The runs of one `weir eval`: planned together, so that a wrong one is refused before any work. */
#ifndef WEIR_CLI_EVAL_RUNS_H
#define WEIR_CLI_EVAL_RUNS_H

#include "common/grid.h"
#include "common/output.h"
#include "eval/eval_text.h"

typedef struct eval_arguments {
    cli_value text, tokens, replace_first, nll, json;
    cli_value plot, figure, average;
    grid_arguments grid;
    engine_arguments engine;
} eval_arguments;

#define EVAL_RUNS_MAX 256

/* The figure. The places of the words behind --figure, and after them: none. */
typedef enum eval_figure {
    EVAL_CURVE, /* log perplexity along the text, a line for each run */
    EVAL_SINKS, /* bars of perplexity by number of sinks, and by cache size in each group */
    EVAL_CACHE, /* lines of perplexity by cache size */
    EVAL_NONE
} eval_figure;
#define EVAL_FIGURE_WORDS "curve|sinks|cache"

/* What a curve keeps of a run, whatever the length of the text: sums over `bin_size` tokens. */
#define EVAL_BINS 2048
typedef struct eval_bins {
    double sum[EVAL_BINS];
    int64_t count[EVAL_BINS];
} eval_bins;

typedef struct eval_run {
    weir_stream_options options;
    weir_plan plan;
    weir_eval_result result;
    eval_bins *bins; /* NULL: no curve */
} eval_run;

typedef struct eval_session {
    weir_model *model;
    eval_text text;
    int32_t replacement; /* stands in the place of the sinks; -1: none does */
    eval_run runs[EVAL_RUNS_MAX];
    int count, done;
    bool partial;    /* runs[done] stopped on its way, and has a result */
    int64_t after;   /* the largest S + W of the runs: the cut of "beyond"; 0: only dense ones */
    output_file csv; /* path NULL: none */
    eval_figure figure;
    int64_t bin_size, average; /* tokens */
} eval_session;

/* Every run of the call, checked against the model. */
weir_status eval_plan(const eval_arguments *arguments, eval_session *session, weir_error *error);
weir_status eval_open_csv(eval_session *session, const char *path, weir_error *error);
/* WEIR_CANCELLED after an interruption. */
weir_status eval_run_next(eval_session *session, weir_error *error);
void eval_session_free(eval_session *session);

/* --replace-first: "newline", a token's number, or its text. */
weir_status eval_find_token(const weir_model *model, const char *text, int32_t *token,
                            weir_error *error);

/* Which figure, and whether it can show these runs; takes the memory for it. */
weir_status eval_figure_begin(const eval_arguments *arguments, eval_session *session,
                              weir_error *error);
void eval_figure_add(const eval_session *session, eval_run *run, int64_t index, double nll);
weir_status eval_figure_save(const eval_arguments *arguments, const eval_session *session,
                             weir_error *error);

/* `failed`: why not all is there, or NULL. */
weir_status eval_print_json(const eval_session *session, const char *model,
                            const weir_error *failed, weir_error *error);
weir_status eval_print_table(const eval_session *session, const char *text, weir_error *error);

#endif
