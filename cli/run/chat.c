/* weir chat: talk in the terminal, for ever. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/input.h"
#include "common/interrupt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/words.h"
#include "run/chat_session.h"

#define ANSWER_TOKENS 256

#define AT(field) offsetof(chat_arguments, field)
static const cli_option options[] = {
    {"--system", OPTION_TEXT, "TEXT", .at = AT(system), .begins = true,
     .policies = ONLY_SINK | ONLY_DENSE, .help = "a text before the talk, never forgotten"},
    {"--template", OPTION_TEXT, "NAME", .at = AT(chat_template),
     .help =
         "how messages are written: chatml, llama-3 ... (default: as the file's template does)"},
    {"-n", OPTION_COUNT, "N", .at = AT(n), .range = "[1,inf)",
     .help = "tokens of an answer, at most (default 256)"},
    {"--lookup", OPTION_COUNT, "N", .at = AT(lookup), .range = LOOKUP_RANGE,
     .policies = LOOKUP_POLICIES, .help = LOOKUP_HELP},
    {"--evict", OPTION_WORD, "HOW", .at = AT(evict), .words = EVICTION_WORDS, .begins = true,
     .policies = ONLY_EVICTING,
     .help = "forget by token, or by message: whole turns (default token)"},
    {"--save", OPTION_TEXT, "FILE", .at = AT(save), .help = "save the talk at the end"},
    {"--load", OPTION_TEXT, "FILE", .at = AT(load), .help = "go on with a talk that was saved"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The stream", retention_options, AT(retention)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {"Sampling", sampling_options, AT(sampling)},
                                   {0}};
#undef AT

/* ---- the stream ------------------------------------------------------------------------------ */

void chat_replace(chat_session *session, weir_stream *stream) {
    while (session->depth > 0) {
        weir_stream_destroy(session->streams[--session->depth]);
    }
    session->streams[session->depth++] = stream;
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    session->forgetting.stream = stream;
    session->forgetting.begun = state.evicted > 0;
}

/* The message that --system makes; NULL: none. */
static const weir_message *system_message(const chat_session *session, weir_message *out) {
    const cli_value *system = &session->arguments->system;
    if (!system->given) {
        return NULL;
    }
    *out = (weir_message){WEIR_ROLE_SYSTEM, system->text, strlen(system->text)};
    return out;
}

/* What stands before the first message's text is never forgotten. */
static weir_status create_stream(chat_session *session, weir_stream **out, weir_error *error) {
    const chat_arguments *arguments = session->arguments;
    weir_stream_options *stream = &session->options;
    weir_message system;
    int64_t tokens = 0;
    weir_status status = retention_apply(&arguments->retention, stream, error);
    stream->eviction = (weir_eviction)arguments->evict.count;
    if (status == WEIR_OK) {
        status = weir_chat_count_pinned(session->model, system_message(session, &system), &tokens,
                                        error);
    }
    if (status == WEIR_OK && stream->policy == WEIR_SINK) {
        status = keep_tokens(stream, session->model, tokens,
                             arguments->system.given ? "--system" : "the chat template", error);
    }
    return status == WEIR_OK ? weir_stream_create(session->model, stream, out, error) : status;
}

static weir_status open_stream(chat_session *session, weir_error *error) {
    const chat_arguments *arguments = session->arguments;
    weir_stream *stream = NULL;
    session->options = weir_stream_options_default();
    engine_apply(&arguments->engine, &session->options);
    session->options.evicted = forgetting_begins;
    session->options.evicted_context = &session->forgetting;
    int64_t vocabulary = weir_model_get_info(session->model)->vocabulary;
    weir_status status =
        sampling_apply(&arguments->sampling, vocabulary, session->bias, &session->sampling, error);
    if (status == WEIR_OK) {
        status = arguments->load.given ? weir_stream_load(session->model, arguments->load.text,
                                                          &session->options, &stream, error)
                                       : create_stream(session, &stream, error);
    }
    if (status == WEIR_OK) {
        chat_replace(session, stream);
        status = weir_stream_set_sampling(stream, &session->sampling, error);
    }
    return status;
}

/* An answer ends before the options' stop strings, and before the template's own. */
static weir_status choose_stops(chat_session *session, weir_error *error) {
    const cli_texts *given = &session->arguments->sampling.stop;
    const char *own = weir_chat_stop(session->model);
    for (int i = 0; i < given->given; i++) {
        session->stop[session->stop_count++] = given->items[i];
    }
    if (own != NULL && session->stop_count == CHAT_STOPS) {
        return weir_error_set(error, WEIR_USAGE,
                              "--stop can be given %d times at most with this chat template, which "
                              "needs one itself",
                              CHAT_STOPS - 1);
    }
    if (own != NULL) {
        session->stop[session->stop_count++] = own;
    }
    return WEIR_OK;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static bool is_plain(const chat_session *session) {
    return strcmp(weir_model_get_info(session->model)->chat_format, "plain") == 0;
}

/* What the model thinks aloud is shown to who sits there, and is no part of the answer. */
static void show_thought(const chat_session *session, const char *text, size_t size) {
    if (session->terminal) {
        fwrite(text, 1, size, stderr);
    }
}

/* White space before an answer belongs to the format (or to the tokenizer). */
static void trim_answer(chat_session *session, const char **text, size_t *size) {
    while (!session->answering && *size > 0 && (**text == ' ' || **text == '\n')) {
        (*text)++;
        (*size)--;
    }
    session->answering = session->answering || *size > 0;
}

static bool take_text(void *context, int32_t token, const char *text, size_t size) {
    chat_session *session = context;
    weir_answer_part part =
        token < 0 ? WEIR_ANSWER_TEXT : weir_chat_part(session->model, &session->reader, token);
    if (part != WEIR_ANSWER_TEXT) {
        if (part == WEIR_ANSWER_THOUGHT) {
            show_thought(session, text, size);
        }
        return !interrupted();
    }
    if (!is_plain(session)) {
        trim_answer(session, &text, &size);
    }
    if (size > 0 && session->terminal) {
        session->forgetting.mid_line = text[size - 1] != '\n';
    }
    return output_text(text, size, &session->output_error) == WEIR_OK && !interrupted();
}

/* A line is a user's message; before the first one stands the system's. */
static weir_status feed_line(chat_session *session, const char *line, weir_error *error) {
    weir_stream *stream = chat_stream(session);
    weir_message messages[2];
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    int64_t count = state.index == 0 && system_message(session, messages) != NULL ? 1 : 0;
    messages[count++] = (weir_message){WEIR_ROLE_USER, line, strlen(line)};
    return weir_stream_feed_chat(stream, messages, count, error);
}

static weir_status answer(chat_session *session, const char *line, weir_error *error) {
    const chat_arguments *arguments = session->arguments;
    weir_stream *stream = chat_stream(session);
    weir_generate generate = weir_generate_default();
    generate.tokens = arguments->n.given ? arguments->n.count : ANSWER_TOKENS;
    generate.stop = session->stop;
    generate.stop_count = session->stop_count;
    generate.lookup = (int)arguments->lookup.count;
    session->reader = (weir_answer_reader){0};
    session->answering = false;
    interrupt_watch(stream);
    weir_status status = feed_line(session, line, error);
    if (status == WEIR_OK) {
        double begun = now_seconds();
        status = weir_stream_generate(stream, &generate, take_text, session, &session->made, error);
        session->seconds = now_seconds() - begun;
    }
    interrupt_watch(NULL);
    session->forgetting.mid_line = false;
    if (session->output_error.status != WEIR_OK) {
        *error = session->output_error;
        return error->status;
    }
    weir_status ended = output_text("\n", 1, error);
    bool stopped = status == WEIR_CANCELLED && interrupted() && !interrupted_for_good();
    return status == WEIR_OK || stopped ? ended : status;
}

static weir_status talk(chat_session *session, chat_lines *lines, weir_error *error) {
    weir_status status = WEIR_OK;
    const char *line;
    while (status == WEIR_OK && !session->quit && !interrupted_for_good()) {
        interrupt_forget();
        line_kind kind = chat_lines_read(lines, &line);
        if (kind == LINE_END) {
            break;
        }
        if (kind == LINE_DROPPED || line[0] == '\0') {
            continue;
        }
        if (line[0] == '/' && line[1] != '/') {
            chat_obey(session, line);
        } else {
            status = answer(session, line + (line[0] == '/'), error);
        }
    }
    return status == WEIR_OK && interrupted_for_good()
               ? weir_error_set(error, WEIR_CANCELLED, "%s", "")
               : status;
}

static void greet(const chat_session *session) {
    weir_stream_state state;
    char sinks[WORD_MAX], window[WORD_MAX];
    weir_stream_get_state(chat_stream(session), &state);
    const char *format = weir_model_get_info(session->model)->chat_format;
    fprintf(stderr, "weir: %s sinks and the last %s tokens are seen. ",
            word_count(state.sinks, sinks), word_count(state.window, window));
    if (is_plain(session)) {
        fputs("There is no chat template: the model goes on from what you type.", stderr);
    } else {
        fprintf(stderr, "The chat template is %s.", format);
    }
    fputs(" /help lists what else there is.\n", stderr);
}

static weir_status work(chat_session *session, weir_error *error) {
    chat_lines *lines = chat_lines_open();
    if (lines == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory to read lines");
    }
    interrupt_catch(true);
    greet(session);
    weir_status status = talk(session, lines, error);
    chat_lines_close(lines);
    if (session->arguments->save.given) {
        weir_error unsaved = {0};
        if (weir_stream_save(chat_stream(session), session->arguments->save.text, &unsaved) !=
            WEIR_OK) {
            *error = unsaved;
            status = unsaved.status;
        }
    }
    return status;
}

static weir_status check(const chat_arguments *arguments, weir_error *error) {
    weir_status status = sampling_check(&arguments->sampling, error);
    if (status == WEIR_OK) {
        status = lookup_check(&arguments->lookup, &arguments->engine, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (arguments->load.given) {
        return check_loaded(groups, arguments, error);
    }
    if (arguments->retention.beyond.given && !arguments->retention.context.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--beyond does not tell how far: give --context N too");
    }
    return check_policies(groups, arguments, 1u << arguments->retention.policy.count, error);
}

static int run(cli_call *call, void *arguments) {
    weir_error error = {0};
    chat_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        weir_error_set(&error, WEIR_MEMORY, "no memory to begin");
        return report(call, &error);
    }
    session->call = call;
    session->arguments = arguments;
    session->terminal = isatty(STDOUT_FILENO) == 1;
    weir_status status = check(arguments, &error);
    if (status == WEIR_OK && session->arguments->save.given) {
        status = output_check_path(session->arguments->save.text, &error);
    }
    if (status == WEIR_OK) {
        const cli_value *chosen = &session->arguments->chat_template;
        status = open_chat_model(call->model, &session->arguments->engine,
                                 chosen->given ? chosen->text : NULL, &session->model, &error);
    }
    if (status == WEIR_OK) {
        status = weir_chat_usable(session->model, &error);
    }
    if (status == WEIR_OK) {
        status = choose_stops(session, &error);
    }
    if (status == WEIR_OK) {
        status = open_stream(session, &error);
    }
    if (status == WEIR_OK) {
        call->working = true;
        status = work(session, &error);
    }
    while (session->depth > 0) {
        weir_stream_destroy(session->streams[--session->depth]);
    }
    weir_model_close(session->model);
    free(session);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command chat_command = {
    .name = "chat",
    .synopsis = "MODEL.gguf [options]",
    .summary = "talk in the terminal, for ever",
    .notes =
        "Ctrl-C stops an answer, Ctrl-D ends the talk, /help lists the commands inside. Lines can\n"
        "be piped in. Standard output has only the model's words.",
    .groups = groups,
    .arguments_size = sizeof(chat_arguments),
    .run = run,
    .takes_model = true,
};
