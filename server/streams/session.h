/*
 * A session: a stream as the server holds it. Only the worker's thread touches one.
 *
 *     session_put_text(s, text, size, false, &error);   tokens wait in s->pending
 *     count = session_next(s, &tokens, most, &error);   what a turn may feed of them
 *     session_fed(s, count);                            the turn did
 *     session_drew(s, token, ...)                       or it drew one
 *
 * Whatever changes a stream goes through this file, in order: here it is counted, told to those who
 * listen to the stream's events, and here it is written down (keeper.h), before it is fed.
 */
#ifndef WEIR_SERVER_SESSION_H
#define WEIR_SERVER_SESSION_H

#include "http/reply.h"
#include "parts/json.h"
#include "parts/metrics.h"
#include "requests/conversation.h"
#include "streams/opening.h"
#include "weir/batch.h"
#include "weir/detokenize.h"

#define SESSION_ID 40
#define SESSION_MARK 80
#define SESSION_MARKS 16
#define SESSION_LISTENERS 16

struct server_task;
struct server_keeper;

#define SESSION_DRAWN 64 /* drawn tokens that wait to be written down */

typedef struct session_mark {
    char name[SESSION_MARK]; /* "": free */
    weir_mark *mark;         /* NULL: on disk alone */
    int64_t index;
    bool stored; /* it is on disk */
} session_mark;

typedef struct session_listener {
    server_reply *reply; /* NULL: free */
    int64_t lost;        /* events that it was too slow for, since it was last told */
    double told;         /* when it last got anything */
} session_listener;

typedef struct server_session {
    struct server_session *next; /* the registry's */
    char id[SESSION_ID];         /* "": it lives as long as one request */
    const weir_model *model;
    server_metrics *metrics;
    weir_stream *stream;
    weir_stream_options options;
    weir_plan plan;
    weir_sampling sampling; /* of requests that say nothing about it; no bias */
    bool seeded;            /* and its seed was given, not drawn */
    int64_t created;        /* seconds since 1970 */
    int64_t index;          /* tokens fed and drawn */
    int64_t made;           /* of them, drawn */
    char *system;           /* a conversation's, until its first messages come; or NULL */

    /* Tokens on their way into the stream; BORDER between messages. */
    int32_t *pending;
    int64_t pending_at, pending_end, pending_capacity;
    bool held; /* the tokenizer may hold text back that comes behind them */

    int64_t oldest; /* what came before it (but for the sinks) was evicted, and told */
    weir_detokenizer evicted_text;
    char *text; /* room for a token's text */

    session_mark marks[SESSION_MARKS];
    session_listener listeners[SESSION_LISTENERS];
    struct server_task *owner; /* the request whose turn it is */

    /* keeper.c: NULL where streams are not kept. */
    struct server_keeper *keeper;
    int32_t drawn[SESSION_DRAWN];
    int drawn_count;
    int64_t drawn_index; /* of the first of them */
    int64_t kept_index;  /* tokens that its newest snapshot has */
    double used;         /* clock_now, when a request last named it */

    /* sharing.c */
    server_opening opening;           /* what it began with, where that may be shared */
    int64_t opening_bytes;            /* that were promised for it */
    struct server_session *waits_for; /* it is about to have what this one begins with too: */
    int64_t pauses_at;   /* entries of its own, where another waits; less than it has: nobody */
    int64_t waits_until; /* so many entries of its opening */
    bool begun;          /* whether anything is shared has been decided */
    bool kept;           /* its request has ended */
    int64_t shared;      /* its first tokens, which another stream had computed */

    int users; /* requests that name it */
    bool deleted;
} server_session;

/* The plan of its stream, with what a session takes beside it. */
weir_status session_plan(const weir_model *model, const weir_stream_options *options,
                         weir_plan *out, weir_error *error);

/* `options->batch` is the worker's. */
weir_status session_create(const weir_model *model, const weir_stream_options *options,
                           const char *id, server_metrics *metrics, server_session **out,
                           weir_error *error);
/* One around a stream that is there already; it is taken when all goes well. */
weir_status session_adopt(const weir_model *model, const weir_stream_options *options,
                          const char *id, server_metrics *metrics, weir_stream *stream,
                          server_session **out, weir_error *error);
/* A second one with the same past, and with what still waits for the parent's stream. */
weir_status session_fork(server_session *parent, const char *id, server_session **out,
                         weir_error *error);
void session_destroy(server_session *session); /* its listeners hear that it has ended */

/* --- What goes in --- */

/* `flush`: the text ends here. */
weir_status session_put_text(server_session *session, const char *text, size_t size, bool flush,
                             weir_error *error);
weir_status session_put_tokens(server_session *session, const int32_t *tokens, int64_t count,
                               weir_error *error);
/* Messages, and what makes the model answer. Nothing may wait or be held. */
weir_status session_put_messages(server_session *session, const server_conversation *conversation,
                                 weir_error *error);
/* The next token begins a message. */
weir_status session_put_border(server_session *session, weir_error *error);

int64_t session_waiting(const server_session *session); /* tokens (and borders) that wait */
/* The next tokens for a turn, `most` at most; 0: none waits. */
int64_t session_next(server_session *session, const int32_t **tokens, int64_t most,
                     weir_error *error);
void session_fed(server_session *session, int64_t count);
void session_drew(server_session *session, int32_t token);
/* The stream has nothing yet; `stream`, which is taken, has the first `tokens` of what waits. */
void session_begin_with(server_session *session, weir_stream *stream, int64_t tokens);
/* What waits is dropped, after a failure. */
void session_drop_pending(server_session *session);

/* --- Branches --- */

weir_status session_mark_here(server_session *session, const char *name, weir_error *error);
weir_status session_unmark(server_session *session, const char *name, weir_error *error);
weir_status session_return(server_session *session, const char *name, weir_error *error);
weir_status session_rewind(server_session *session, int64_t index, weir_error *error);

/* --- Events --- */

weir_status session_listen(server_session *session, server_reply *reply, weir_error *error);
/* `data` is given back. */
void session_tell(server_session *session, const char *event, json_t *data);
bool session_has_listeners(const server_session *session);
/* Listeners that left are forgotten, silent ones hear that the line stands. */
void session_tend_listeners(server_session *session, double now);
void session_end_listeners(server_session *session);

json_t *session_state(const server_session *session);

#endif
