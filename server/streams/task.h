/*
 * A task: what one request wants of a stream, step by step: first all of its input goes in, then
 * text is made, if any is wanted.
 *
 *     input     text | a body that still arrives | messages        -> the session's pending tokens
 *     turns     pending tokens, a piece at a time; then one drawn token at a time
 *     outcome   kind->text for every token, kind->finish once
 *
 * Tasks of one session wait for each other in the order in which they came.
 */
#ifndef WEIR_SERVER_TASK_H
#define WEIR_SERVER_TASK_H

#include "http/inlet.h"
#include "requests/conversation.h"
#include "streams/session.h"

typedef struct server_task server_task;
struct server_worker;

typedef struct task_kind {
    const char *name;
    /* All input is fed and the first token may be drawn. May add tasks. Not for tasks that only
     * feed. */
    weir_status (*fed)(struct server_worker *worker, server_task *task, weir_error *error);
    /* A token's text; nothing of the stream may be used. */
    void (*text)(server_task *task, int32_t token, const char *text, size_t size);
    /* Whether its reader keeps up. NULL: always. */
    bool (*ready)(server_task *task);
    /* task->error says whether all went well. The task is freed after it. */
    void (*finish)(struct server_worker *worker, server_task *task);
} task_kind;

struct server_task {
    server_task *next;
    const task_kind *kind;
    void *context; /* the kind's own */
    int choice;
    server_session *session;
    bool temporary;      /* the session goes with the task */
    server_reply *reply; /* shared: when its client leaves, the task ends */

    /* Input, in this order; each is the task's own. */
    int32_t *tokens;
    int64_t token_count;
    char *text;
    size_t text_size, text_at;
    server_inlet *inlet;
    server_conversation conversation;
    bool border; /* the text begins a message */
    bool flush;  /* and ends: nothing of it is held back */
    bool input_over;

    /* Making text. */
    bool makes;
    bool drawing;
    weir_generate generate; /* strings borrowed from the context */
    weir_sampling sampling; /* bias borrowed from the context */
    int logprobs;           /* alternatives wanted with each token; -1: none, 0: the token's own */
    float *row;             /* [vocabulary] that the next token is drawn from, with logprobs */

    int64_t first_index; /* the stream's index when the task began */
    double begun;        /* clock_now */
    weir_generated generated;
    bool had_turn; /* in the step that was planned last */
    bool over;
    weir_error error; /* WEIR_OK: all went well */
};

/* `session` is used by one task more. NULL: no memory. */
server_task *task_create(const task_kind *kind, void *context, server_session *session,
                         server_reply *reply);
void task_free(server_task *task);

/* Move input towards the stream; when all of it was fed, begin to make text, or end. */
void task_advance(struct server_worker *worker, server_task *task);
/* Whether it could have a turn now; *draws: for a token. */
bool task_wants(server_task *task, bool *draws);
void task_fail(server_task *task, const weir_error *error);

#endif
