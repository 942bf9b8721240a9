/*
 * The worker: the one thread that owns the model's streams.
 *
 *     connections  --jobs-->  queue  -->  between two steps: run, and become tasks
 *                                         step: every task that can has its turn
 *                                         finished tasks answer
 *
 * A job that finds no room may wait; so the queue is bounded, and so is the time in it. Small jobs
 * (state, delete) are run like all others between two steps: nothing else touches a stream, and so
 * no stream has a lock.
 */
#ifndef WEIR_SERVER_WORKER_H
#define WEIR_SERVER_WORKER_H

#include "parts/settings.h"
#include "streams/registry.h"
#include "streams/task.h"

typedef struct server_worker server_worker;
typedef struct server_job server_job;

typedef enum job_end { JOB_DONE, JOB_WAITS } job_end;

/* The first member of what a request has to say. */
struct server_job {
    server_job *next;
    /* On the worker's thread. JOB_DONE: answered, or a task answers; the job is freed. JOB_WAITS:
     * no room now, and nothing was done; *error says of what. */
    job_end (*run)(server_worker *worker, server_job *job, weir_error *error);
    void (*free)(server_job *job); /* frees it and what it holds */
    server_reply *reply;           /* shared */
    double deadline;               /* clock_now, of waiting */
};

weir_status worker_create(const weir_model *model, const server_settings *settings,
                          server_metrics *metrics, server_worker **out, weir_error *error);
/* The job is taken. Refused with 429 when the queue is full, with 503 when the server ends. */
void worker_submit(server_worker *worker, server_job *job);
void worker_wake(void *worker); /* NULL: nobody to wake */
/* No more jobs; work under way goes on for so many seconds, then it is broken off. Returns when all
 * is done. */
void worker_drain(server_worker *worker, double seconds);
void worker_destroy(server_worker *worker); /* NULL is allowed; drains with no patience */

/* --- For jobs and tasks, on the worker's thread --- */

server_registry *worker_registry(server_worker *worker);
server_metrics *worker_metrics(server_worker *worker);
/* Options of a stream in the batch, as the settings have them. */
weir_stream_options worker_stream_options(const server_worker *worker);
bool worker_has_room(const server_worker *worker); /* for one more task that makes text */
void worker_add(server_worker *worker, server_task *task);
/* Nobody names it any more: a session that goes with a request, or was deleted, is closed. */
void worker_let_go(server_worker *worker, server_session *session);

#endif
