/*
 * An answer: the text that one request asked for, in one or several choices, in whatever form the
 * request wants it: whole, or as events while it is made.
 *
 * The form is a shape: functions from what is known to JSON. To add one: write them in a file of
 * its own, and pass the shape to answer_create.
 */
#ifndef WEIR_SERVER_ANSWER_H
#define WEIR_SERVER_ANSWER_H

#include "parts/text_buffer.h"
#include "requests/generate_request.h"
#include "streams/task.h"
#include "weir/chat.h"

typedef struct server_answer server_answer;

typedef struct answer_choice {
    text_buffer text;
    json_t *tokens;       /* their numbers */
    text_buffer thoughts; /* what a model that thinks aloud did not mean for the reader */
    weir_answer_reader reader;
    weir_answer_part part; /* of the token at hand */
    json_t *logprobs;      /* one object for each token: token, logprob, bytes, top_logprobs */
    int64_t begins;        /* index of its first token in the stream */
    weir_generated generated;
    bool over;
} answer_choice;

typedef struct answer_shape {
    /* Each a new reference, or NULL for nothing to send. */
    json_t *(*begin)(server_answer *answer, int choice);
    /* `logprob` of the token is borrowed, NULL without. */
    json_t *(*piece)(server_answer *answer, int choice, int32_t token, const char *text,
                     size_t size, json_t *logprob);
    json_t *(*end)(server_answer *answer, int choice);
    json_t *(*usage)(server_answer *answer); /* after the last choice has ended */
    json_t *(*whole)(server_answer *answer);
    const char *piece_event, *end_event; /* names of events; NULL: without */
    bool says_done;                      /* the last event is [DONE] */
} answer_shape;

struct server_answer {
    const answer_shape *shape;
    server_reply *reply; /* shared */
    generate_request request;
    char id[40];
    const char *model_name; /* borrowed from the server */
    bool chats;             /* thoughts are told from the answer */
    int logprobs;           /* as task.logprobs */
    int64_t created;
    char stream_id[SESSION_ID]; /* "" where the stream goes with the request */
    int64_t prompt_tokens;
    int64_t cached_tokens;   /* of them, those that another stream had computed */
    weir_stream_state state; /* after the choice that ended last */
    int choices, open;
    answer_choice choice[REQUEST_CHOICES];
    double received;
    bool first_told; /* the time to the first token was counted */
    bool failed;
    struct server_metrics *metrics;
};

/* `request` is taken (and is empty afterwards). NULL: no memory. */
server_answer *answer_create(const answer_shape *shape, const char *prefix, server_reply *reply,
                             generate_request *request);
void answer_free(server_answer *answer);

/* A task that makes choice 0 of it; the others join when the prompt has been fed. The answer is
 * the task's from here on. NULL: no memory, and the answer stays the caller's. */
server_task *answer_task(struct server_worker *worker, server_answer *answer,
                         server_session *session);

const char *answer_reason(const answer_choice *choice); /* "stop" or "length" */
json_t *answer_usage(const server_answer *answer);
int64_t answer_tokens(const server_answer *answer); /* of all choices */

#endif
