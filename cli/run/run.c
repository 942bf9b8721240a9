/* weir run: read a text, then write, endlessly if asked. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "run/run_session.h"

#define DEFAULT_TOKENS 256

#define AT(field) offsetof(run_arguments, field)
static const cli_option options[] = {
    {"--prompt", OPTION_TEXT, "TEXT", .at = AT(prompt), .help = "the text to go on from"},
    {"--file", OPTION_TEXT, "FILE", .at = AT(file),
     .help = "the same from a file of any length; - reads standard input as it arrives"},
    {"--system", OPTION_TEXT, "TEXT", .at = AT(system), .begins = true,
     .policies = ONLY_SINK | ONLY_DENSE, .help = "a text before all others, never forgotten"},
    {"--template", OPTION_TEXT, "NAME", .at = AT(chat_template),
     .help = "--prompt is a user's message (and --system the system's), written as the chat "
             "template NAME; file: as the model's own"},
    {"-n", OPTION_COUNT, "N", .at = AT(n), .range = "[-1,inf)",
     .help = "tokens to make; -1: without end (default 256)"},
    {"--seconds", OPTION_COUNT, "N", .at = AT(seconds), .range = "[1,inf)",
     .help = "stop making text after N seconds"},
    {"--stop-at-end", OPTION_FLAG, NULL, .at = AT(stop_at_end),
     .help = "with -n -1: stop when the model ends its text, as other -n do"},
    {"--lookup", OPTION_COUNT, "N", .at = AT(lookup), .range = LOOKUP_RANGE,
     .policies = LOOKUP_POLICIES, .help = LOOKUP_HELP},
    {"--stats", OPTION_COUNT, "N", .at = AT(stats), .range = "[1,inf)",
     .help = "every N tokens made, a line on stderr: forgotten, memory, speed, last words"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json),
     .help = "print one JSON object; with -n -1 or --ask one per line"},
    {0},
};

static const cli_option memory_options[] = {
    {"--pin", OPTION_COUNT, "N", .at = AT(pin), .range = "[1,inf)", .policies = ONLY_SINK,
     .help = "never forget the first N tokens; the window shrinks by what is added"},
    {"--evict", OPTION_WORD, "HOW", .at = AT(evict), .words = EVICTION_WORDS, .begins = true,
     .policies = ONLY_EVICTING,
     .help = "forget by token, or by message: whole lines of the input (default token)"},
    {"--save", OPTION_TEXT, "FILE", .at = AT(save), .help = "save the stream at the end"},
    {"--load", OPTION_TEXT, "FILE", .at = AT(load), .help = "go on with a stream that was saved"},
    {"--ask", OPTION_TEXT, "TEXT", .at = AT(ask),
     .help = "with --file: a question to a copy of the stream, which stays undisturbed"},
    {"--every", OPTION_PERIOD, "N[lines|s]", .at = AT(every),
     .help = "how often: after every N lines, or N seconds"},
    {"--answer", OPTION_COUNT, "N", .at = AT(answer), .range = "[1,inf)",
     .help = "tokens of an answer, at most (default 64)"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"What survives", memory_options, 0},
                                   {"The stream", retention_options, AT(retention)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {"Sampling", sampling_options, AT(sampling)},
                                   {0}};
#undef AT

/* ---- checks ---------------------------------------------------------------------------------- */

static weir_status check_questions(const run_arguments *arguments, weir_error *error) {
    if (arguments->ask.given != arguments->every.given) {
        return weir_error_set(
            error, WEIR_USAGE,
            "--ask and --every belong together, as in --ask TEXT --every 100lines");
    }
    if (arguments->ask.given && !arguments->file.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--ask does not apply without a text that is being read: give --file "
                              "FILE or --file -");
    }
    if (arguments->answer.given && !arguments->ask.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--answer does not apply without --ask: give a question too");
    }
    return WEIR_OK;
}

/* What can be said without opening anything. */
static weir_status check(const run_arguments *arguments, weir_error *error) {
    if (arguments->prompt.given && arguments->file.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--prompt and --file both give the text: keep one");
    }
    if (arguments->stop_at_end.given && !(arguments->n.given && arguments->n.count < 0)) {
        return weir_error_set(
            error, WEIR_USAGE,
            "--stop-at-end does not apply without -n -1: other -n stop at the end "
            "anyway");
    }
    if (arguments->n.given && arguments->n.count == 0 &&
        (arguments->seconds.given || arguments->stats.given)) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s does not apply with -n 0, which makes no text: leave it out",
                              arguments->seconds.given ? "--seconds" : "--stats");
    }
    bool dense = arguments->retention.policy.count == WEIR_DENSE;
    if (dense && arguments->n.count < 0 && !arguments->load.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "-n -1 never ends, but --policy dense holds only so much: choose "
                              "--policy sink, or give -n N");
    }
    if (arguments->lookup.given && arguments->n.given && arguments->n.count == 0 &&
        !arguments->ask.given) {
        return weir_error_set(
            error, WEIR_USAGE,
            "--lookup does not apply with -n 0, which makes no text: leave it out");
    }
    weir_status status = check_questions(arguments, error);
    if (status == WEIR_OK) {
        status = run_chat_check(arguments, error);
    }
    if (status == WEIR_OK) {
        status = lookup_check(&arguments->lookup, &arguments->engine, error);
    }
    if (status == WEIR_OK) {
        status = sampling_check(&arguments->sampling, error);
    }
    if (status == WEIR_OK && arguments->load.given) {
        status = check_loaded(groups, arguments, error);
    } else if (status == WEIR_OK) {
        status = check_policies(groups, arguments, 1u << arguments->retention.policy.count, error);
    }
    return status;
}

/* The tokens that this run will feed and make, where that is known: *known. */
static weir_status count_all(const run_session *session, int64_t *count, bool *known,
                             weir_error *error) {
    const run_arguments *arguments = session->arguments;
    struct stat info;
    *count = arguments->n.given ? arguments->n.count : DEFAULT_TOKENS;
    *known = true;
    weir_status status = WEIR_OK;
    if (arguments->chat_template.given) {
        return run_chat_count(session, count, error);
    }
    if (arguments->system.given) {
        const char *text = arguments->system.text;
        status = input_count_tokens(session->model, text, strlen(text), count, error);
    }
    if (status == WEIR_OK && arguments->prompt.given) {
        const char *text = arguments->prompt.text;
        status = input_count_tokens(session->model, text, strlen(text), count, error);
    }
    if (status == WEIR_OK && arguments->file.given) {
        const char *path = arguments->file.text;
        *known = strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISREG(info.st_mode);
        byte_buffer text = {0};
        if (*known) {
            status = input_read(path, &text, error);
        }
        if (*known && status == WEIR_OK) {
            status = input_count_tokens(session->model, text.data, text.size, count, error);
        }
        bytes_free(&text);
    }
    return status;
}

static weir_status check_dense(const run_session *session, weir_stream_options *stream,
                               weir_error *error) {
    int64_t count;
    bool known;
    weir_status status = count_all(session, &count, &known, error);
    if (status == WEIR_OK && known) {
        return dense_length(stream, session->model, count, error);
    }
    if (status == WEIR_OK && stream->beyond && stream->context == 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "--beyond does not tell how far, and the length of the text is not "
                              "known: give --context N too");
    }
    return status;
}

/* ---- the stream ------------------------------------------------------------------------------ */

static weir_status create_stream(run_session *session, weir_stream_options *stream,
                                 weir_error *error) {
    const run_arguments *arguments = session->arguments;
    weir_status status = retention_apply(&arguments->retention, stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    stream->eviction = (weir_eviction)arguments->evict.count;
    if (stream->policy == WEIR_DENSE) {
        status = check_dense(session, stream, error);
    } else if (stream->policy == WEIR_SINK && arguments->chat_template.given) {
        status = run_chat_keep(session, stream, error);
    } else if (stream->policy == WEIR_SINK) {
        const char *system = arguments->system.given ? arguments->system.text : "";
        status = keep_first(stream, session->model, system, arguments->pin.count, error);
    }
    return status == WEIR_OK ? weir_stream_create(session->model, stream, &session->stream, error)
                             : status;
}

static weir_status load_stream(run_session *session, const weir_stream_options *stream,
                               weir_error *error) {
    const run_arguments *arguments = session->arguments;
    weir_stream_state state;
    weir_status status =
        weir_stream_load(session->model, arguments->load.text, stream, &session->stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    weir_stream_get_state(session->stream, &state);
    session->first_index = state.index;
    session->forgetting.begun = state.evicted > 0;
    return arguments->pin.given ? weir_stream_pin(session->stream, arguments->pin.count, error)
                                : WEIR_OK;
}

static weir_status open_stream(run_session *session, weir_error *error) {
    const run_arguments *arguments = session->arguments;
    weir_stream_options stream = weir_stream_options_default();
    weir_sampling sampling;
    engine_apply(&arguments->engine, &stream);
    stream.evicted = forgetting_begins;
    stream.evicted_context = &session->forgetting;
    weir_status status =
        sampling_apply(&arguments->sampling, weir_model_get_info(session->model)->vocabulary,
                       session->bias, &sampling, error);
    if (status == WEIR_OK) {
        status = arguments->load.given ? load_stream(session, &stream, error)
                                       : create_stream(session, &stream, error);
    }
    session->forgetting.stream = session->stream;
    return status == WEIR_OK ? weir_stream_set_sampling(session->stream, &sampling, error) : status;
}

/* ---- the order of things --------------------------------------------------------------------- */

static weir_status generate_text(run_session *session, weir_error *error) {
    const run_arguments *arguments = session->arguments;
    weir_generate generate = weir_generate_default();
    generate.tokens = arguments->n.given ? arguments->n.count : DEFAULT_TOKENS;
    generate.stop_at_end = generate.tokens >= 0 || arguments->stop_at_end.given;
    generate.stop = session->stop;
    generate.stop_count = run_stops(session);
    generate.lookup = (int)arguments->lookup.count;
    if (generate.tokens == 0) {
        return WEIR_OK;
    }
    weir_generated made = {0};
    double begun = now_seconds();
    session->stats_at = begun;
    session->deadline = arguments->seconds.given ? begun + (double)arguments->seconds.count : 0;
    weir_status status =
        weir_stream_generate(session->stream, &generate, run_take_text, session, &made, error);
    session->made = made;
    session->generate_seconds = now_seconds() - begun;
    if (session->output_error.status != WEIR_OK) {
        *error = session->output_error;
        return error->status;
    }
    return status == WEIR_OK && interrupted() ? weir_error_set(error, WEIR_CANCELLED, "%s", "")
                                              : status;
}

static weir_status work(run_session *session, weir_error *error) {
    const run_arguments *arguments = session->arguments;
    interrupt_catch(false);
    interrupt_watch(session->stream);
    weir_status status = run_feed(session, error);
    if (status == WEIR_OK) {
        status = generate_text(session, error);
    }
    interrupt_watch(NULL);
    if (status == WEIR_CANCELLED) {
        weir_error_set(error, WEIR_CANCELLED, "%s", ""); /* whoever interrupts knows it */
    }
    if (arguments->save.given) {
        weir_error unsaved = {0};
        weir_status saved = weir_stream_save(session->stream, arguments->save.text, &unsaved);
        if (saved != WEIR_OK && (status == WEIR_OK || status == WEIR_CANCELLED)) {
            *error = unsaved;
            status = saved;
        }
    }
    weir_error unsaid = {0};
    weir_status said = run_finish_output(session, status, &unsaid);
    if (said != WEIR_OK && (status == WEIR_OK || status == WEIR_CANCELLED)) {
        *error = unsaid;
        status = said;
    }
    return status;
}

static int run(cli_call *call, void *arguments) {
    weir_error error = {0};
    run_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        weir_error_set(&error, WEIR_MEMORY, "no memory to begin");
        return report(call, &error);
    }
    session->call = call;
    session->arguments = arguments;
    session->terminal = isatty(STDOUT_FILENO) == 1;
    weir_status status = check(session->arguments, &error);
    if (status == WEIR_OK && session->arguments->save.given) {
        status = output_check_path(session->arguments->save.text, &error);
    }
    if (status == WEIR_OK) {
        status = run_open_model(session, call->model, &error);
    }
    if (status == WEIR_OK) {
        status = open_stream(session, &error);
    }
    if (status == WEIR_OK) {
        call->working = true;
        status = work(session, &error);
    }
    weir_stream_destroy(session->stream);
    weir_model_close(session->model);
    tokens_free(&session->tokens);
    bytes_free(&session->text);
    free(session);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command run_command = {
    .name = "run",
    .synopsis = "MODEL.gguf [--prompt TEXT | --file FILE|-] [-n N] [options]",
    .summary = "generate from a prompt, a file or stdin, endlessly if asked",
    .notes =
        "Reads the text, then makes -n tokens, with text on standard output as it is made. The\n"
        "memory is that of the cache, however long it goes on; when the oldest text begins to be\n"
        "forgotten, one line on stderr says so. Ctrl-C ends it in order: --save is done.\n"
        "    tail -f log | weir run MODEL.gguf --file - --ask 'What went wrong?' --every 100lines",
    .groups = groups,
    .arguments_size = sizeof(run_arguments),
    .run = run,
    .takes_model = true,
};
