/* weir eval: perplexity of a text under one or several policies. */
#include "eval_runs.h"

#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/interrupt.h"

#define AT(field) offsetof(eval_arguments, field)
static const cli_option options[] = {
    {"--text", OPTION_TEXT, "FILE", .at = AT(text), .help = "the text; - reads standard input"},
    {"--tokens", OPTION_COUNT, "N", .at = AT(tokens), .range = "[2,inf)",
     .help = "feed the first N tokens, BOS included (default: all)"},
    {"--nll", OPTION_TEXT, "FILE.csv", .at = AT(nll),
     .help = "write run,index,token,nll of every scored token"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_option run_options[] = {
    {"--policy", OPTION_WORDS, "P,P,...", .at = AT(policy), .words = POLICY_WORDS,
     .help = "one run each: sink, window, dense, recompute (default sink)"},
    {"--sinks", OPTION_COUNTS, "N,N,...", .at = AT(sinks), .range = "[0,inf)",
     .policies = ONLY_SINK,
     .help = "first tokens kept for ever (default 4, or 1 where the model has a sink token)"},
    {"--window", OPTION_COUNTS, "N,N,...", .at = AT(window), .range = "[1,inf)",
     .policies = ONLY_WINDOWS, .help = "most recent tokens kept"},
    {"--cache", OPTION_COUNTS, "N,N,...", .at = AT(cache), .range = "[1,inf)",
     .policies = ONLY_WINDOWS,
     .help = "sinks and window together, instead of --window (default: the trained context)"},
    {"--context", OPTION_COUNT, "N", .at = AT(context), .range = "[1,inf)", .policies = ONLY_DENSE,
     .help = "dense: tokens it can hold (default: as many as are fed)"},
    {"--beyond", OPTION_FLAG, NULL, .at = AT(beyond), .policies = ONLY_DENSE,
     .help = "dense: allow more than the model was trained for"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The runs, every combination in turn", run_options, 0},
                                   {"The engine", engine_options, AT(engine)},
                                   {0}};
#undef AT

static weir_status check(const eval_arguments *arguments, weir_error *error) {
    if (!arguments->text.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "which text? Give --text FILE, or --text - for standard input");
    }
    if (arguments->window.given && arguments->cache.given) {
        return window_and_cache(error);
    }
    unsigned policies = arguments->policy.given ? 0 : ONLY_SINK;
    for (int i = 0; i < arguments->policy.size; i++) {
        policies |= 1u << arguments->policy.items[i];
    }
    return check_policies(groups, arguments, policies, error);
}

static weir_status read_tokens(const eval_arguments *arguments, const weir_model *model,
                               token_list *tokens, weir_error *error) {
    byte_buffer text = {0};
    tokens->most = arguments->tokens.count;
    weir_status status = input_read(arguments->text.text, &text, error);
    if (status == WEIR_OK) {
        status = input_tokenize(model, &text, true, tokens, error);
    }
    bytes_free(&text);
    if (status == WEIR_OK && tokens->count < 2) {
        return weir_error_set(error, WEIR_USAGE, "%s: a text of at least two tokens is needed",
                              arguments->text.text);
    }
    if (status == WEIR_OK && tokens->count < arguments->tokens.count) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s has only %lld tokens: give a longer text, or leave out --tokens",
                              arguments->text.text, (long long)tokens->count);
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
        status = read_tokens(arguments, session->model, &session->tokens, error);
    }
    return status == WEIR_OK ? eval_plan(arguments, session, error) : status;
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
    return status;
}

static int run(cli_call *call, void *given) {
    const eval_arguments *arguments = given;
    weir_error error = {0};
    eval_session session = {0};
    weir_status status = prepare(call, arguments, &session, &error);
    if (status == WEIR_OK) {
        status = run_all(call, arguments, &session, &error);
        if (call->json && status == WEIR_OK) {
            status = eval_print_json(&session, call->model, &error);
        } else if (!call->json && session.done > 0 &&
                   (status == WEIR_OK || status == WEIR_CANCELLED)) {
            weir_error unprinted = {0};
            if (eval_print_table(&session, arguments->text.text, &unprinted) != WEIR_OK) {
                error = unprinted;
                status = error.status;
            }
        }
    }
    eval_session_free(&session);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command eval_command = {
    .name = "eval",
    .synopsis = "MODEL.gguf --text FILE [--policy P,...] [--cache N,...] [options]",
    .summary = "perplexity of a text under one or several policies",
    .notes =
        "Every combination of policy, sinks and window is one run over the same tokens. The first\n"
        "token is context; every other one is scored with what the policy lets its predecessor\n"
        "see. \"beyond\" is the perplexity of the tokens after the largest cache of the call, the\n"
        "same ones for every run. The text is taken byte for byte.",
    .groups = groups,
    .arguments_size = sizeof(eval_arguments),
    .run = run,
    .takes_model = true,
};
