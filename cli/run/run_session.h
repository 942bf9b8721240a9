/*
 * One `weir run`: what was asked for, the stream, and what has come of it so far.
 *
 *   run.c          options and checks; the order of things
 *   run_chat.c     --template: the prompt as a message
 *   run_input.c    feeding: a prompt, a file, standard input as it arrives, questions meanwhile
 *   run_output.c   text as it is made, JSON, statistics
 */
#ifndef WEIR_CLI_RUN_SESSION_H
#define WEIR_CLI_RUN_SESSION_H

#include "common/command.h"
#include "common/forgetting.h"
#include "common/input.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/sampling_options.h"
#include "common/stream_options.h"

typedef struct run_arguments {
    cli_value prompt, file, system, chat_template, n, seconds, stop_at_end;
    cli_value pin, evict, save, load;
    cli_value ask, every, answer;
    cli_value lookup, stats, json;
    retention_arguments retention;
    engine_arguments engine;
    sampling_arguments sampling;
} run_arguments;

/* The last words made, for one line of statistics. */
#define EXCERPT_MAX 256
typedef struct run_excerpt {
    char text[EXCERPT_MAX];
    size_t size;
} run_excerpt;

#define RUN_STOPS 16

typedef struct run_session {
    cli_call *call;
    const run_arguments *arguments;
    weir_model *model;
    weir_stream *stream;
    cli_forgetting forgetting;
    weir_logit_bias bias[WEIR_MAX_LOGIT_BIAS];

    /* feeding */
    int64_t first_index; /* where this run began: > 0 for a loaded stream */
    int64_t prompt_tokens;
    double feed_seconds;  /* without: */
    double idle_seconds;  /* waiting for input, and answering questions */
    bool line_begins;     /* the next byte begins a line */
    int64_t lines_to_ask; /* lines until the next question */
    double ask_at;        /* or the moment of it */
    bool news;            /* something was read since the last question */

    /* generating */
    const char *stop[RUN_STOPS]; /* the options' and the template's */
    bool terminal;               /* text goes to one */
    weir_generated made;
    double generate_seconds, deadline; /* deadline 0: none */
    token_list tokens;                 /* with --json and an end */
    byte_buffer text;
    bool timed_out;
    double stats_at; /* when the last line of statistics stood there */
    run_excerpt excerpt;
    weir_error output_error; /* of a write inside a callback */
} run_session;

bool run_json_lines(const run_session *session); /* one object per token or answer, no end known */

/* --template: what can be said before anything is opened; the model, for it or not. */
weir_status run_chat_check(const run_arguments *arguments, weir_error *error);
weir_status run_open_model(run_session *session, const char *path, weir_error *error);
/* With it: add the tokens of the messages to *count; what is kept for ever; feed them. */
weir_status run_chat_count(const run_session *session, int64_t *count, weir_error *error);
weir_status run_chat_keep(const run_session *session, weir_stream_options *stream,
                          weir_error *error);
weir_status run_chat_feed(run_session *session, weir_error *error);
/* Fill session->stop, and how many there are. */
int run_stops(run_session *session);

/* Feed all that was asked for; prompt_tokens and feed_seconds are set on failure too. */
weir_status run_feed(run_session *session, weir_error *error);

/* A weir_text_fn; context is a run_session. */
bool run_take_text(void *context, int32_t token, const char *text, size_t size);

/* One answer to --ask, made by a fork. */
weir_status run_print_answer(run_session *session, const weir_stream_state *asked_at,
                             const token_list *tokens, const byte_buffer *answer,
                             weir_error *error);

/* After all: the JSON object, or the end of the line. `status`: how it ended. */
weir_status run_finish_output(run_session *session, weir_status status, weir_error *error);

#endif
