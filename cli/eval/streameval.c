/* weir streameval: does a stream still know what it read so many lines ago? */
#include "eval/streameval_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/command.h"
#include "common/interrupt.h"
#include "weir/plot.h"

#define AT(field) offsetof(streameval_arguments, field)
static const cli_option options[] = {
    {"--distances", OPTION_COUNTS, "N,N,...", .at = AT(distances), .range = "[1,456975]",
     .help = "ask about the line so many lines back (default: from a tenth of the window to four "
             "times)"},
    {"--queries", OPTION_COUNT, "N", .at = AT(queries), .range = "[1,1000000]",
     .help = "questions for each distance (default 100)"},
    {"--lines", OPTION_COUNT, "N", .at = AT(lines), .range = "[0,inf)",
     .help = "read so many lines before the first question (default: the largest distance)"},
    {"--needle", OPTION_FLAG, NULL, .at = AT(needle),
     .help = "one fact and then filler, instead of a fact in every line"},
    {"--seed", OPTION_COUNT, "N", .at = AT(seed), .range = "[0,inf)",
     .help = "of the text (default 0)"},
    {"--csv", OPTION_TEXT, "FILE.csv", .at = AT(csv), .help = "write a row for each distance"},
    {"--plot", OPTION_TEXT, "FILE.png|svg", .at = AT(plot), .help = "draw accuracy by distance"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The stream", retention_options, AT(retention)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {0}};
#undef AT

/* What can be refused before the model is open. */
static weir_status check(const streameval_arguments *arguments, weir_error *error) {
    const cli_list *distances = &arguments->distances;
    for (int i = 0; i < distances->size; i++) {
        for (int j = 0; j < i; j++) {
            if (distances->items[i] == distances->items[j]) {
                return weir_error_set(error, WEIR_USAGE,
                                      "--distances has %lld twice: give each distance once",
                                      (long long)distances->items[i]);
            }
        }
    }
    unsigned policy = 1u << arguments->retention.policy.count;
    weir_status status = check_policies(groups, arguments, policy, error);
    if (status == WEIR_OK && arguments->csv.given) {
        status = output_check_path(arguments->csv.text, error);
    }
    if (status == WEIR_OK && arguments->plot.given) {
        status = weir_plot_path_check(arguments->plot.text, error);
    }
    return status;
}

static weir_status set_options(const streameval_arguments *arguments, streameval_session *session,
                               weir_error *error) {
    weir_streameval_options *out = &session->options;
    *out = weir_streameval_options_default();
    out->needle = arguments->needle.given > 0;
    out->seed = (uint64_t)arguments->seed.count;
    out->lines = arguments->lines.count;
    out->questions = arguments->queries.given ? arguments->queries.count : out->questions;
    out->progress = progress_questions;
    out->progress_context = &session->progress;
    if (!arguments->distances.given) {
        return weir_streameval_spread(session->model, session->plan.window, out, error);
    }
    out->count = arguments->distances.size;
    for (int i = 0; i < arguments->distances.size; i++) {
        out->distances[i] = arguments->distances.items[i];
    }
    return WEIR_OK;
}

/* A dense stream has to hold all of the text: refused here, before any work. */
static weir_status fit_dense(streameval_session *session, weir_error *error) {
    int64_t tokens;
    if (session->stream.policy != WEIR_DENSE) {
        return WEIR_OK;
    }
    weir_status status = weir_streameval_count(session->model, &session->options, &tokens, error);
    if (status == WEIR_OK) {
        status = dense_length(&session->stream, session->model, tokens, error);
    }
    return status == WEIR_OK
               ? weir_stream_plan(session->model, &session->stream, &session->plan, error)
               : status;
}

static weir_status prepare(const cli_call *call, const streameval_arguments *arguments,
                           streameval_session *session, weir_error *error) {
    session->stream = weir_stream_options_default();
    weir_status status = check(arguments, error);
    if (status == WEIR_OK) {
        status = retention_apply(&arguments->retention, &session->stream, error);
    }
    if (status == WEIR_OK) {
        engine_apply(&arguments->engine, &session->stream);
        status = open_model(call->model, &arguments->engine, false, &session->model, error);
    }
    if (status == WEIR_OK) {
        status = weir_stream_plan(session->model, &session->stream, &session->plan, error);
    }
    if (status == WEIR_OK) {
        status = set_options(arguments, session, error);
    }
    return status == WEIR_OK ? fit_dense(session, error) : status;
}

static weir_status evaluate(streameval_session *session, weir_error *error) {
    weir_stream *stream = NULL;
    weir_status status = weir_stream_create(session->model, &session->stream, &stream, error);
    if (status == WEIR_OK) {
        progress_begin(&session->progress, "asking");
        interrupt_watch(stream);
        status = weir_streameval(stream, &session->options, &session->result, error);
        interrupt_watch(NULL);
        progress_clear(&session->progress);
    }
    weir_stream_destroy(stream);
    if (interrupted()) {
        const weir_streameval_options *wanted = &session->options;
        return weir_error_set(error, WEIR_CANCELLED, "interrupted after %lld of %lld questions",
                              (long long)session->result.all.asked,
                              (long long)(wanted->count * wanted->questions));
    }
    return status;
}

static weir_status write_files(const streameval_arguments *arguments,
                               const streameval_session *session, weir_error *error) {
    weir_status status = WEIR_OK;
    if (arguments->csv.given) {
        status = streameval_write_csv(session, arguments->csv.text, error);
    }
    if (status == WEIR_OK && arguments->plot.given) {
        status = streameval_draw(session, arguments->plot.text, error);
    }
    return status;
}

/* What has been measured is shown, also when the work was stopped or a file could not be written.
 * With --json an error then stands beside it, in the same object. */
static int show(const cli_call *call, const streameval_session *session, const weir_error *failed) {
    weir_error unshown = {0};
    weir_status status = call->json ? streameval_print_json(session, call->model, failed, &unshown)
                                    : streameval_print_table(session, &unshown);
    return report_beside(call, failed, status == WEIR_OK ? NULL : &unshown);
}

static int run(cli_call *call, void *given) {
    const streameval_arguments *arguments = given;
    weir_error error = {0};
    streameval_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        weir_error_set(&error, WEIR_MEMORY, "no memory for an evaluation");
        return report(call, &error);
    }
    weir_status status = prepare(call, arguments, session, &error);
    if (status == WEIR_OK) {
        call->working = true;
        interrupt_catch(false);
        status = evaluate(session, &error);
    }
    if (status == WEIR_OK) {
        status = write_files(arguments, session, &error);
    }
    bool some = session->result.all.asked > 0;
    int exit_status = status == WEIR_OK || some
                          ? show(call, session, status == WEIR_OK ? NULL : &error)
                          : report(call, &error);
    weir_model_close(session->model);
    free(session);
    return exit_status;
}

const cli_command streameval_command = {
    .name = "streameval",
    .synopsis = "MODEL.gguf [--distances N,...] [--queries N] [--needle] [options]",
    .summary = "what a stream still knows, by distance (StreamEval)",
    .notes = "The stream reads lines such as \"ab: 42\", made from --seed. After every ten lines a "
             "question\n"
             "is asked for each distance n: \"ab:\", the beginning of the line n back. The answer "
             "is right\n"
             "when the rest of the line that the model writes is exactly its value. Questions are "
             "asked\n"
             "on a fork, so the stream itself is not disturbed; answers are greedy. With --needle "
             "one fact\n"
             "is followed by filler alone. Intervals are Wilson's, 95%. What left the window is "
             "gone, and\n"
             "is answered by chance: one in 90. models/weir-recall.gguf was trained for this text.",
    .groups = groups,
    .arguments_size = sizeof(streameval_arguments),
    .run = run,
    .takes_model = true,
};
