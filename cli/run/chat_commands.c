/* What a line of `weir chat` that begins with '/' does. Everything is said on stderr: standard
 * output has only the model's words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"
#include "run/chat_session.h"

typedef struct chat_word {
    const char *name;
    const char *argument; /* as help shows it; NULL: none. In brackets: may be left out */
    const char *help;
    weir_status (*obey)(chat_session *session, const char *argument, weir_error *error);
} chat_word;

static weir_status obey_help(chat_session *session, const char *argument, weir_error *error);

static weir_status obey_pin(chat_session *session, const char *argument, weir_error *error) {
    weir_stream_state state;
    weir_stream *stream = chat_stream(session);
    weir_status status = weir_stream_flush(stream, error);
    weir_stream_get_state(stream, &state);
    int64_t count = state.index;
    if (argument[0] != '\0') {
        char *end;
        count = strtoll(argument, &end, 10);
        if (*end != '\0' || count < 1 || count > state.index) {
            return weir_error_set(error, WEIR_USAGE,
                                  "/pin wants a number of tokens from 1 to %lld, or none for all "
                                  "of them",
                                  (long long)state.index);
        }
    }
    if (status == WEIR_OK) {
        status = weir_stream_pin(stream, count, error);
    }
    if (status == WEIR_OK) {
        char pinned[WORD_MAX], window[WORD_MAX];
        weir_stream_get_state(stream, &state);
        fprintf(stderr,
                "the first %s tokens are never forgotten; beside them the last %s are seen\n",
                word_count(state.sinks, pinned), word_count(state.window, window));
    }
    return status;
}

static weir_status obey_fork(chat_session *session, const char *argument, weir_error *error) {
    (void)argument;
    if (session->depth == CHAT_FORKS_MAX) {
        return weir_error_set(error, WEIR_LIMIT, "there are %d copies already: /back drops one",
                              CHAT_FORKS_MAX - 1);
    }
    weir_stream *fork;
    weir_status status = weir_stream_fork(chat_stream(session), &fork, error);
    if (status == WEIR_OK) {
        session->streams[session->depth++] = fork;
        session->forgetting.stream = fork;
        fputs("you now talk to a copy; /back drops it and returns to this moment\n", stderr);
    }
    return status;
}

static weir_status obey_back(chat_session *session, const char *argument, weir_error *error) {
    (void)argument;
    if (session->depth == 1) {
        return weir_error_set(error, WEIR_USAGE, "there is no copy to drop: /fork makes one");
    }
    weir_stream_destroy(session->streams[--session->depth]);
    weir_stream_state state;
    weir_stream_get_state(chat_stream(session), &state);
    session->forgetting.stream = chat_stream(session);
    session->forgetting.begun = state.evicted > 0;
    fputs("the copy is dropped; you are back where it was made\n", stderr);
    return WEIR_OK;
}

static weir_status obey_save(chat_session *session, const char *argument, weir_error *error) {
    weir_status status = weir_stream_save(chat_stream(session), argument, error);
    if (status == WEIR_OK) {
        fprintf(stderr, "saved; `--load %s` or /load continues it\n", argument);
    }
    return status;
}

static weir_status obey_load(chat_session *session, const char *argument, weir_error *error) {
    weir_stream *stream = NULL;
    weir_status status =
        weir_stream_load(session->model, argument, &session->options, &stream, error);
    if (status == WEIR_OK) {
        status = weir_stream_set_sampling(stream, &session->sampling, error);
    }
    if (status != WEIR_OK) {
        weir_stream_destroy(stream);
        return status;
    }
    chat_replace(session, stream);
    char count[WORD_MAX];
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    fprintf(stderr, "loaded: %s tokens so far\n", word_count(state.index, count));
    return WEIR_OK;
}

static weir_status obey_stats(chat_session *session, const char *argument, weir_error *error) {
    (void)argument, (void)error;
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX];
    weir_stream_state state;
    weir_stream_get_state(chat_stream(session), &state);
    fprintf(stderr, "tokens so far     %s, forgotten %s\n", word_count(state.index, a),
            word_count(state.evicted, b));
    fprintf(stderr, "cache             %s kept for ever + %s recent, %s reserved\n",
            word_count(state.sinks, a), word_count(state.window, b),
            word_bytes(state.reserved_bytes, c));
    fprintf(stderr, "memory in use     %s\n", word_bytes(weir_memory_resident(), a));
    if (session->made.tokens > 0 && session->seconds > 0) {
        double speed = (double)session->made.tokens / session->seconds;
        fprintf(stderr, "last answer       %s tokens, %s tokens/s\n",
                word_count(session->made.tokens, a), word_speed(speed, b));
        if (session->arguments->lookup.count > 0) {
            fprintf(stderr, "looked back       %s tokens drafted, %s of them right\n",
                    word_count(session->made.drafted, a), word_count(session->made.accepted, b));
        }
    }
    if (session->depth > 1) {
        fprintf(stderr, "copies            %d, /back drops the last\n", session->depth - 1);
    }
    return WEIR_OK;
}

static weir_status obey_quit(chat_session *session, const char *argument, weir_error *error) {
    (void)argument, (void)error;
    session->quit = true;
    return WEIR_OK;
}

static const chat_word commands[] = {
    {"/help", NULL, "this list", obey_help},
    {"/pin", "[N]", "never forget the first N tokens, or all so far", obey_pin},
    {"/fork", NULL, "go on with a copy, to try something", obey_fork},
    {"/back", NULL, "drop the copy and return to the moment of /fork", obey_back},
    {"/save", "FILE", "save the talk", obey_save},
    {"/load", "FILE", "go on with a saved talk", obey_load},
    {"/stats", NULL, "tokens, what is forgotten, memory, speed", obey_stats},
    {"/quit", NULL, "the end; so is Ctrl-D", obey_quit},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static weir_status obey_help(chat_session *session, const char *argument, weir_error *error) {
    (void)session, (void)argument, (void)error;
    for (int i = 0; i < COMMANDS; i++) {
        const char *wanted = commands[i].argument != NULL ? commands[i].argument : "";
        fprintf(stderr, "  %-6s %-5s  %s\n", commands[i].name, wanted, commands[i].help);
    }
    fputs("  Ctrl-C stops an answer. A line that begins with // is text that begins with /.\n",
          stderr);
    return WEIR_OK;
}

static weir_status obey(chat_session *session, const char *line, weir_error *error) {
    size_t size = strcspn(line, " ");
    const char *argument = line + size + strspn(line + size, " ");
    for (int i = 0; i < COMMANDS; i++) {
        const chat_word *command = &commands[i];
        if (strlen(command->name) != size || memcmp(command->name, line, size) != 0) {
            continue;
        }
        const char *wanted = command->argument;
        if (wanted == NULL && argument[0] != '\0') {
            return weir_error_set(error, WEIR_USAGE, "%s takes nothing behind it", command->name);
        }
        if (wanted != NULL && wanted[0] != '[' && argument[0] == '\0') {
            return weir_error_set(error, WEIR_USAGE, "which? As in: %s %s", command->name, wanted);
        }
        return command->obey(session, argument, error);
    }
    return weir_error_set(error, WEIR_USAGE, "there is no %.40s; /help lists what there is", line);
}

void chat_obey(chat_session *session, const char *line) {
    weir_error error = {0};
    if (obey(session, line, &error) != WEIR_OK) {
        fprintf(stderr, "weir: %s\n", error.message);
    }
}
