#include "eval/eval_runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"
#include "common/progress.h"

static weir_status add_run(void *context, const weir_stream_options *options, weir_error *error) {
    eval_session *session = context;
    if (session->count == EVAL_RUNS_MAX) {
        return weir_error_set(error, WEIR_USAGE, "more than %d runs in one call: make two of it",
                              EVAL_RUNS_MAX);
    }
    eval_run *run = &session->runs[session->count];
    run->options = *options;
    weir_status status =
        grid_plan(&run->options, session->model, session->text.count, &run->plan, error);
    if (status != WEIR_OK) return status;
    session->count++;
    if (options->policy != WEIR_DENSE && run->plan.slots > session->after) {
        session->after = run->plan.slots;
    }
    return WEIR_OK;
}

weir_status eval_plan(const eval_arguments *arguments, eval_session *session, weir_error *error) {
    return grid_walk(&arguments->grid, &arguments->engine, add_run, session, error);
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct running {
    eval_session *session;
    cli_progress progress;
    weir_error csv_error;
    eval_source source;
} running;

weir_status eval_open_csv(eval_session *session, const char *path, weir_error *error) {
    static const char head[] = "run,index,token,nll\n";
    weir_status status = output_file_open(&session->csv, path, error);
    return status == WEIR_OK ? output_file_write(&session->csv, head, sizeof head - 1, error)
                             : status;
}

static weir_status write_row(running *now, int64_t index, int32_t token, double nll) {
    char row[96];
    int size = snprintf(row, sizeof row, "%d,%lld,%d,%.9g\n", now->session->done, (long long)index,
                        token, nll);
    return output_file_write(&now->session->csv, row, (size_t)size, &now->csv_error);
}

static weir_status take_token(void *context, int64_t index, int32_t token, double nll) {
    running *now = context;
    eval_session *session = now->session;
    eval_figure_add(session, &session->runs[session->done], index, nll);
    return session->csv.path != NULL ? write_row(now, index, token, nll) : WEIR_OK;
}

static bool show_progress(void *context, int64_t done, int64_t total) {
    running *now = context;
    progress_show(&now->progress, done, total, "tokens");
    return !interrupted();
}

static weir_status run_stream(running *now, weir_stream *stream, eval_run *run, weir_error *error) {
    eval_session *session = now->session;
    weir_eval_options options = {
        .after = session->after > 0 ? session->after : INT64_MAX,
        .fn = take_token,
        .context = now,
        .progress = show_progress,
        .progress_context = now,
    };
    now->source = (eval_source){.text = &session->text, .replacement = session->replacement};
    if (session->replacement >= 0) now->source.replaced = run->plan.sinks;
    weir_status status = weir_eval_from(stream, eval_text_emit, &now->source, session->text.count,
                                        &options, &run->result, error);
    if (now->source.error.status != WEIR_OK) *error = now->source.error;
    if (now->csv_error.status != WEIR_OK) {
        *error = now->csv_error;
    }
    return status;
}

weir_status eval_run_next(eval_session *session, weir_error *error) {
    eval_run *run = &session->runs[session->done];
    running now = {.session = session};
    char title[96];
    snprintf(title, sizeof title, "run %d of %d, %s", session->done + 1, session->count,
             policy_name(run->plan.policy));
    weir_stream *stream = NULL;
    weir_status status = weir_stream_create(session->model, &run->options, &stream, error);
    if (status == WEIR_OK) {
        progress_begin(&now.progress, title);
        interrupt_watch(stream);
        status = run_stream(&now, stream, run, error);
        interrupt_watch(NULL);
        progress_clear(&now.progress);
    }
    weir_stream_destroy(stream);
    session->partial = (status != WEIR_OK || interrupted()) && run->result.scored > 0;
    if (interrupted()) {
        return weir_error_set(error, WEIR_CANCELLED, "interrupted in run %d of %d",
                              session->done + 1, session->count);
    }
    session->done += status == WEIR_OK;
    return status;
}

void eval_session_free(eval_session *session) {
    for (int i = 0; i < session->count; i++) {
        free(session->runs[i].bins);
    }
    output_file_close(&session->csv);
    eval_text_close(&session->text);
    weir_model_close(session->model);
}
