/* weir eval: perplexity of a text under one or several policies. */
#include "eval/eval_runs.h"

#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/interrupt.h"
#include "weir/plot.h"

#define AT(field) offsetof(eval_arguments, field)
static const cli_option options[] = {
    {"--text", OPTION_TEXT, "FILE", .at = AT(text), .help = "the text; - reads standard input"},
    {"--tokens", OPTION_COUNT, "N", .at = AT(tokens), .range = "[2,inf)",
     .help = "feed the first N tokens, BOS included (default: all)"},
    {"--replace-first", OPTION_TEXT, "TOKEN", .at = AT(replace_first), .policies = ONLY_SINK,
     .help = "put copies of a token in the place of the sinks: newline, its number or text"},
    {"--nll", OPTION_TEXT, "FILE.csv", .at = AT(nll),
     .help = "write run,index,token,nll of every scored token"},
    {"--plot", OPTION_TEXT, "FILE", .at = AT(plot), .help = "draw a figure: FILE.png or FILE.svg"},
    {"--figure", OPTION_WORD, "KIND", .at = AT(figure), .words = EVAL_FIGURE_WORDS,
     .help = "log perplexity along the text (curve), or perplexity by number of sinks (sinks)\n"
             "or by cache size (cache) (default: what differs between the runs)"},
    {"--average", OPTION_COUNT, "N", .at = AT(average), .range = "[1,inf)",
     .help = "curve: tokens of its moving average (default: about a hundredth)"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The runs, every combination in turn", grid_options, AT(grid)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {0}};
#undef AT

static weir_status check(const eval_arguments *arguments, weir_error *error) {
    if (!arguments->text.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "which text? Give --text FILE, or --text - for standard input");
    }
    if ((arguments->figure.given || arguments->average.given) && !arguments->plot.given) {
        return weir_error_set(error, WEIR_USAGE, "%s does not apply without --plot FILE",
                              arguments->figure.given ? "--figure" : "--average");
    }
    weir_status status = grid_check(&arguments->grid, groups, arguments, error);
    if (status == WEIR_OK && arguments->replace_first.given &&
        grid_policies(&arguments->grid) != ONLY_SINK) {
        return weir_error_set(error, WEIR_USAGE,
                              "--replace-first does not apply to other policies than sink: leave "
                              "them out of --policy");
    }
    if (status == WEIR_OK && arguments->plot.given) {
        status = weir_plot_path_check(arguments->plot.text, error);
    }
    return status;
}

static weir_status open_text(const eval_arguments *arguments, eval_session *session,
                             weir_error *error) {
    const char *path = arguments->text.text;
    int64_t most = arguments->tokens.count;
    weir_status status = eval_text_open(&session->text, session->model, path, most, error);
    if (status == WEIR_OK && session->text.count < 2) {
        return weir_error_set(error, WEIR_USAGE, "%s: a text of at least two tokens is needed",
                              path);
    }
    if (status == WEIR_OK && session->text.count < most) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s has only %lld tokens: give a longer text, or leave out --tokens",
                              path, (long long)session->text.count);
    }
    return status;
}

static weir_status prepare(const cli_call *call, const eval_arguments *arguments,
                           eval_session *session, weir_error *error) {
    weir_status status = check(arguments, error);
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, false, &session->model, error);
    }
    if (status == WEIR_OK) {
        status = open_text(arguments, session, error);
    }
    session->replacement = -1;
    if (status == WEIR_OK && arguments->replace_first.given) {
        status = eval_find_token(session->model, arguments->replace_first.text,
                                 &session->replacement, error);
    }
    if (status == WEIR_OK) {
        status = eval_plan(arguments, session, error);
    }
    return status == WEIR_OK ? eval_figure_begin(arguments, session, error) : status;
}

static weir_status run_all(cli_call *call, const eval_arguments *arguments, eval_session *session,
                           weir_error *error) {
    weir_status status = WEIR_OK;
    if (arguments->nll.given) {
        status = eval_open_csv(session, arguments->nll.text, error);
    }
    call->working = true;
    interrupt_catch(false);
    while (status == WEIR_OK && session->done < session->count) {
        status = eval_run_next(session, error);
    }
    if (status == WEIR_OK && arguments->nll.given) {
        status = output_file_commit(&session->csv, error);
    }
    if (status == WEIR_OK && session->figure != EVAL_NONE) {
        status = eval_figure_save(arguments, session, error);
    }
    return status;
}

/* What has been measured is shown, also when the work was stopped or a file could not be written.
 * With --json an error then stands beside the runs, in the same object. */
static int show(const cli_call *call, const eval_arguments *arguments, const eval_session *session,
                const weir_error *failed) {
    weir_error unshown = {0};
    weir_status status = call->json ? eval_print_json(session, call->model, failed, &unshown)
                                    : eval_print_table(session, arguments->text.text, &unshown);
    return report_beside(call, failed, status == WEIR_OK ? NULL : &unshown);
}

static int run(cli_call *call, void *given) {
    const eval_arguments *arguments = given;
    weir_error error = {0};
    eval_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        weir_error_set(&error, WEIR_MEMORY, "no memory for an evaluation");
        return report(call, &error);
    }
    weir_status status = prepare(call, arguments, session, &error);
    if (status == WEIR_OK) {
        status = run_all(call, arguments, session, &error);
    }
    bool some = session->done > 0 || session->partial;
    int exit_status = status == WEIR_OK || some
                          ? show(call, arguments, session, status == WEIR_OK ? NULL : &error)
                          : report(call, &error);
    eval_session_free(session);
    free(session);
    return exit_status;
}

const cli_command eval_command = {
    .name = "eval",
    .synopsis = "MODEL.gguf --text FILE [--policy P,...] [--cache N,...] [options]",
    .summary = "perplexity of a text under one or several policies",
    .notes =
        "Every combination of policy, sinks and window is one run over the same tokens. The first\n"
        "token is context; every other one is scored with what the policy lets its predecessor\n"
        "see. \"beyond\" is the perplexity of the tokens after the largest cache of the call, the\n"
        "same ones for every run. The text is taken byte for byte. Ctrl-C ends the work and shows "
        "what\n"
        "there is, but writes no file.",
    .groups = groups,
    .arguments_size = sizeof(eval_arguments),
    .run = run,
    .takes_model = true,
};
