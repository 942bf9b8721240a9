/*
 * One `weir chat`: a talk with a stream, and with copies of it.
 *
 *   chat.c           options; turns
 *   chat_line.c      lines typed (with editing and history) or piped in
 *   chat_commands.c  /help and the others
 */
#ifndef WEIR_CLI_CHAT_SESSION_H
#define WEIR_CLI_CHAT_SESSION_H

#include "common/command.h"
#include "common/forgetting.h"
#include "common/sampling_options.h"
#include "common/stream_options.h"
#include "weir/chat.h"

typedef struct chat_arguments {
    cli_value n, system, chat_template, evict, save, load, lookup;
    retention_arguments retention;
    engine_arguments engine;
    sampling_arguments sampling;
} chat_arguments;

#define CHAT_FORKS_MAX 8
#define CHAT_STOPS 16

typedef struct chat_session {
    cli_call *call;
    const chat_arguments *arguments;
    weir_model *model;
    weir_stream_options options;          /* for a stream that is loaded later */
    weir_stream *streams[CHAT_FORKS_MAX]; /* a stack of copies; the last one talks */
    int depth;
    cli_forgetting forgetting;
    weir_logit_bias bias[WEIR_MAX_LOGIT_BIAS];
    weir_sampling sampling;
    const char *stop[CHAT_STOPS]; /* of an answer: the options' and the template's */
    int stop_count;
    weir_answer_reader reader; /* what the answer's next token belongs to */
    bool answering;            /* some of its text has been shown */
    bool terminal;             /* text goes to one */
    weir_generated made;       /* of the last answer */
    double seconds;            /* that it took */
    bool quit;
    weir_error output_error;
} chat_session;

static inline weir_stream *chat_stream(const chat_session *session) {
    return session->streams[session->depth - 1];
}

/* Put a stream in place of the one that talks; it is owned from here on. */
void chat_replace(chat_session *session, weir_stream *stream);

/* A line that begins with '/'. What goes wrong is said on stderr, and the talk goes on. */
void chat_obey(chat_session *session, const char *line);

/* ---- lines ----------------------------------------------------------------------------------- */

typedef struct chat_lines chat_lines;
typedef enum line_kind { LINE_TEXT, LINE_DROPPED, LINE_END } line_kind;

chat_lines *chat_lines_open(void); /* NULL: no memory */
/* A line without its end, borrowed until the next call; LINE_DROPPED after Ctrl-C. */
line_kind chat_lines_read(chat_lines *lines, const char **line);
void chat_lines_close(chat_lines *lines); /* keeps the history; NULL is allowed */

#endif
