/* What `weir run` reads: a prompt, a file, or standard input as it arrives, with questions asked
 * meanwhile of a fork, which leave the stream as it is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/words.h"
#include "run/run_session.h"

#define ANSWER_TOKENS 64 /* of one answer, at most, unless --answer says otherwise */

/* ---- questions ------------------------------------------------------------------------------- */

typedef struct answering {
    token_list tokens;
    byte_buffer text;
    bool no_memory;
} answering;

static bool take_answer(void *context, int32_t token, const char *text, size_t size) {
    answering *answer = context;
    bool kept = bytes_add(&answer->text, text, size);
    answer->no_memory |= !kept || (token >= 0 && !tokens_add(&answer->tokens, token));
    return !answer->no_memory && !interrupted();
}

static weir_status ask_fork(run_session *session, weir_stream *fork, answering *answer,
                            weir_error *error) {
    const run_arguments *arguments = session->arguments;
    const char *question = arguments->ask.text;
    weir_generate generate = weir_generate_default();
    generate.tokens = arguments->answer.given ? arguments->answer.count : ANSWER_TOKENS;
    generate.stop = arguments->sampling.stop.items;
    generate.stop_count = arguments->sampling.stop.given;
    generate.lookup = (int)arguments->lookup.count;
    weir_status status = weir_stream_feed_text(fork, question, strlen(question), error);
    if (status == WEIR_OK) {
        status = weir_stream_generate(fork, &generate, take_answer, answer, NULL, error);
    }
    if (status == WEIR_OK && answer->no_memory) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for the answer");
    }
    return status;
}

/* The question is fed to a copy, which answers and is dropped. A copy for which there is no memory
 * costs the answer, not the stream. */
static weir_status ask(run_session *session, weir_error *error) {
    weir_stream_state state;
    weir_stream *fork = NULL;
    answering answer = {0};
    double begun = now_seconds();
    session->news = false;
    weir_stream_get_state(session->stream, &state);
    session->forgetting.quiet = true;
    weir_status status = weir_stream_fork(session->stream, &fork, error);
    if (status == WEIR_MEMORY) {
        fprintf(stderr, "weir: a question goes unanswered: %s\n", error->message);
        session->forgetting.quiet = false;
        return WEIR_OK;
    }
    if (status == WEIR_OK) {
        interrupt_watch(fork);
        status = ask_fork(session, fork, &answer, error);
        interrupt_watch(session->stream);
    }
    if (status == WEIR_OK) {
        status = run_print_answer(session, &state, &answer.tokens, &answer.text, error);
    }
    weir_stream_destroy(fork);
    session->forgetting.quiet = false;
    tokens_free(&answer.tokens);
    bytes_free(&answer.text);
    session->idle_seconds += now_seconds() - begun;
    return status;
}

static bool asks_by_lines(const run_session *session) {
    const cli_value *every = &session->arguments->every;
    return every->given && strcmp(every->text, "lines") == 0;
}

static weir_status ask_after_line(run_session *session, weir_error *error) {
    if (!asks_by_lines(session) || --session->lines_to_ask > 0) {
        return WEIR_OK;
    }
    session->lines_to_ask = session->arguments->every.count;
    return ask(session, error);
}

/* ---- feeding --------------------------------------------------------------------------------- */

/* Feed a piece of any size. Where lines matter (a question every so many, messages that leave as a
 * whole) it is cut at their ends, which never depends on how the text arrived. */
static weir_status feed_piece(run_session *session, const char *text, size_t size,
                              weir_error *error) {
    bool messages = session->arguments->evict.count == WEIR_EVICT_MESSAGE;
    bool by_lines = messages || asks_by_lines(session);
    weir_status status = WEIR_OK;
    session->news |= size > 0;
    while (size > 0 && status == WEIR_OK) {
        const char *end = by_lines ? memchr(text, '\n', size) : NULL;
        size_t part = end != NULL ? (size_t)(end - text) + 1 : size;
        if (messages && session->line_begins) {
            status = weir_stream_border(session->stream, error);
        }
        if (status == WEIR_OK) {
            status = weir_stream_feed_text(session->stream, text, part, error);
        }
        session->line_begins = end != NULL;
        if (status == WEIR_OK && end != NULL) {
            status = ask_after_line(session, error);
        }
        text += part;
        size -= part;
    }
    return status;
}

static double seconds_to_ask(const run_session *session) {
    if (!session->arguments->every.given || asks_by_lines(session)) {
        return -1;
    }
    double left = session->ask_at - now_seconds();
    return left > 0 ? left : 0;
}

/* Wait for more to read, asking when it is time; 1 ready, -1 interrupted or failed (*status). */
static int wait_for_input(run_session *session, int fd, weir_status *status, weir_error *error) {
    for (;;) {
        double begun = now_seconds();
        int ready = interrupt_wait(fd, seconds_to_ask(session));
        session->idle_seconds += now_seconds() - begun;
        if (ready > 0) {
            return 1;
        }
        if (interrupted()) {
            *status = weir_error_set(error, WEIR_CANCELLED, "%s", "");
            return -1;
        }
        if (ready == 0) {
            session->ask_at = now_seconds() + (double)session->arguments->every.count;
            *status = session->news ? ask(session, error) : WEIR_OK;
            if (*status != WEIR_OK) {
                return -1;
            }
        }
    }
}

typedef struct source {
    const char *path;
    int fd;
    int64_t bytes, total; /* read; of a regular file in all, else 0 */
    bool live;            /* standard input: its state is told */
    cli_progress progress;
} source;

static void show_state(run_session *session, source *from) {
    if (from->total > 0) {
        progress_show(&from->progress, from->bytes, from->total, "bytes");
    } else {
        weir_stream_state state;
        weir_stream_get_state(session->stream, &state);
        progress_show(&from->progress, state.index - session->first_index, 0, "tokens");
    }
}

static weir_status feed_source(run_session *session, source *from, weir_error *error) {
    char piece[16384];
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && wait_for_input(session, from->fd, &status, error) > 0) {
        ssize_t size = read(from->fd, piece, sizeof piece);
        if (size == 0) {
            return WEIR_OK;
        }
        if (size < 0 && errno != EINTR && errno != EAGAIN) {
            return input_failed(from->path, error);
        }
        if (size > 0) {
            from->bytes += size;
            progress_clear(&from->progress); /* an answer may be printed */
            status = feed_piece(session, piece, (size_t)size, error);
            show_state(session, from);
        }
    }
    return status;
}

/* The last word about standard input. */
static void tell_state(run_session *session) {
    weir_stream_state state;
    char read[WORD_MAX], seen[WORD_MAX];
    weir_stream_get_state(session->stream, &state);
    fprintf(stderr, "weir: read %s tokens; %s are in view\n",
            word_count(state.index - session->first_index, read),
            word_count(state.index - state.evicted, seen));
}

static weir_status feed_file(run_session *session, const char *path, weir_error *error) {
    source from = {.path = path, .live = strcmp(path, "-") == 0};
    struct stat info;
    weir_status status = input_open(path, &from.fd, error);
    if (status != WEIR_OK) {
        return status;
    }
    if (fstat(from.fd, &info) == 0 && S_ISREG(info.st_mode)) {
        from.total = info.st_size;
    }
    if (from.live) {
        fputs("weir: reading standard input\n", stderr);
    }
    progress_begin(&from.progress, "reading");
    status = feed_source(session, &from, error);
    progress_clear(&from.progress);
    if (from.fd != STDIN_FILENO) {
        close(from.fd);
    }
    if (status == WEIR_OK) {
        status = weir_stream_flush(session->stream, error);
    }
    if (from.live && (status == WEIR_OK || status == WEIR_CANCELLED)) {
        tell_state(session);
    }
    return status;
}

/* The text that is never forgotten: fed first, then pinned where there is something to forget. */
static weir_status feed_system(run_session *session, const char *text, weir_error *error) {
    weir_stream_state state;
    weir_status status = weir_stream_feed_text(session->stream, text, strlen(text), error);
    if (status == WEIR_OK) {
        status = weir_stream_flush(session->stream, error);
    }
    weir_stream_get_state(session->stream, &state);
    if (status == WEIR_OK && session->arguments->retention.policy.count == WEIR_SINK) {
        status = weir_stream_pin(session->stream, state.index, error);
    }
    return status;
}

static weir_status feed_all(run_session *session, weir_error *error) {
    const run_arguments *arguments = session->arguments;
    weir_status status = WEIR_OK;
    if (arguments->chat_template.given) {
        return run_chat_feed(session, error);
    }
    if (arguments->system.given) {
        status = feed_system(session, arguments->system.text, error);
    }
    if (status == WEIR_OK && arguments->prompt.given) {
        const char *prompt = arguments->prompt.text;
        status = feed_piece(session, prompt, strlen(prompt), error);
    }
    if (status == WEIR_OK && arguments->file.given) {
        status = feed_file(session, arguments->file.text, error);
    }
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    if (status == WEIR_OK && state.index == 0 && state.held == 0) {
        /* no text at all: the model begins with what it puts before every text */
        status = weir_stream_feed_text(session->stream, "", 0, error);
    }
    return status == WEIR_OK ? weir_stream_flush(session->stream, error) : status;
}

weir_status run_feed(run_session *session, weir_error *error) {
    weir_stream_state state;
    double begun = now_seconds();
    if (session->arguments->every.given) {
        session->lines_to_ask = session->arguments->every.count;
        session->ask_at = begun + (double)session->arguments->every.count;
    }
    session->line_begins = true;
    weir_status status = feed_all(session, error);
    weir_stream_get_state(session->stream, &state);
    session->prompt_tokens = state.index - session->first_index;
    session->feed_seconds = now_seconds() - begun - session->idle_seconds;
    return status;
}
