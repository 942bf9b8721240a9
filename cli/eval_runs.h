/* The runs of one `weir eval`: planned together, so that a wrong one is refused before any work. */
#ifndef WEIR_CLI_EVAL_RUNS_H
#define WEIR_CLI_EVAL_RUNS_H

#include "common/input.h"
#include "common/output.h"
#include "common/stream_options.h"
#include "weir/eval.h"

typedef struct eval_arguments {
    cli_value text, tokens, nll, json;
    cli_list policy, sinks, window, cache;
    cli_value context, beyond;
    engine_arguments engine;
} eval_arguments;

#define EVAL_RUNS_MAX 256

typedef struct eval_run {
    weir_stream_options options;
    weir_plan plan;
    weir_eval_result result;
} eval_run;

typedef struct eval_session {
    weir_model *model;
    token_list tokens;
    eval_run runs[EVAL_RUNS_MAX];
    int count, done;
    int64_t after;   /* the largest S + W of the runs: the cut of "beyond" */
    output_file csv; /* path NULL: none */
} eval_session;

/* Every run of the call, checked against the model. */
weir_status eval_plan(const eval_arguments *arguments, eval_session *session, weir_error *error);
weir_status eval_open_csv(eval_session *session, const char *path, weir_error *error);
/* WEIR_CANCELLED after an interruption. */
weir_status eval_run_next(eval_session *session, weir_error *error);
void eval_session_free(eval_session *session);

weir_status eval_print_json(const eval_session *session, const char *model, weir_error *error);
weir_status eval_print_table(const eval_session *session, const char *text, weir_error *error);

#endif
