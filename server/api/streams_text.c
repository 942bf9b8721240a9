/* /v1/streams/ID/append, /generate, /ask: what goes into a stream, and what comes out of it. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/streams_reply.h"
#include "http/refusal.h"
#include "http/reply_json.h"
#include "requests/streams_request.h"
#include "weir/chat.h"

/* ---- append ---------------------------------------------------------------------------------- */

typedef struct append_job {
    server_job job;
    char id[SESSION_ID];
    char *text;
    size_t text_size;
    server_inlet *inlet; /* instead: the body as it arrives */
    server_conversation conversation;
    bool border, flush;
} append_job;

static void free_append(server_job *base) {
    append_job *job = (append_job *)base;
    if (job->inlet != NULL) {
        inlet_close(job->inlet);
        inlet_release(job->inlet);
    }
    conversation_free(&job->conversation);
    reply_release(job->job.reply);
    free(job->text);
    free(job);
}

static void finish_append(server_worker *worker, server_task *task) {
    server_session *session = task->session;
    (void)worker;
    if (task->error.status != WEIR_OK) {
        refuse_error(task->reply, &task->error);
        return;
    }
    session->users--; /* not busy any more when it is told */
    json_t *state = session_state(session);
    session->users++;
    json_object_set_new(state, "appended", json_integer(session->index - task->first_index));
    reply_json(task->reply, 200, state);
}

static const task_kind append_kind = {.name = "append", .finish = finish_append};

static job_end run_append(server_worker *worker, server_job *base, weir_error *error) {
    append_job *job = (append_job *)base;
    (void)error;
    server_session *session = registry_want(worker_registry(worker), job->id, base->reply);
    if (session == NULL) {
        return JOB_DONE;
    }
    server_task *task = task_create(&append_kind, NULL, session, base->reply);
    if (task == NULL) {
        refuse(base->reply, 503, "MEMORY", "no memory for a request");
        return JOB_DONE;
    }
    task->text = job->text;
    task->text_size = job->text_size;
    task->inlet = job->inlet;
    task->conversation = job->conversation;
    task->border = job->border;
    task->flush = job->flush;
    job->text = NULL;
    job->inlet = NULL;
    job->conversation = (server_conversation){.count = 0};
    worker_add(worker, task);
    return JOB_DONE;
}

/* The sentence why messages cannot be read here; false: refused. */
static bool check_messages(http_request *request, const server_conversation *conversation) {
    weir_error error;
    struct server_state *server = request->server;
    if (conversation->count == 0 || weir_chat_usable(server->model, &error) == WEIR_OK) {
        return true;
    }
    refuse_error(request->reply, &error);
    return false;
}

static bool fill_append(http_request *request, append_job *job) {
    struct server_state *server = request->server;
    text_request asked;
    weir_error error;
    json_t *object = handler_body(request);
    if (object == NULL) {
        return false;
    }
    int32_t vocabulary = (int32_t)weir_model_get_info(server->model)->vocabulary;
    weir_status status = text_request_read(object, false, vocabulary, 0, &asked, &error);
    if (status == WEIR_OK && asked.text != NULL) {
        job->text = copy_bytes(asked.text, asked.text_size);
        job->text_size = asked.text_size;
        if (job->text == NULL) {
            status = weir_error_set(&error, WEIR_MEMORY, "no memory for a text");
        }
    }
    job->border = asked.border;
    job->flush = asked.flush;
    job->conversation = asked.conversation;
    asked.conversation = (server_conversation){.count = 0};
    if (status != WEIR_OK) {
        refuse_error(request->reply, &error);
    }
    bool good = status == WEIR_OK && check_messages(request, &job->conversation);
    text_request_free(&asked);
    json_decref(object);
    return good;
}

void handle_append(http_request *request) {
    struct server_state *server = request->server;
    append_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        handler_no_memory(request);
        return;
    }
    handler_begin_job(request, &job->job, run_append, free_append);
    strncpy(job->id, request->parts[0], sizeof job->id - 1);
    if (request->inlet != NULL) {
        job->inlet = inlet_share(request->inlet);
    } else if (!fill_append(request, job)) {
        free_append(&job->job);
        return;
    }
    worker_submit(server->worker, &job->job);
}

/* ---- generate and ask ------------------------------------------------------------------------ */

static weir_status fill_ask(struct server_state *server, json_t *object, generate_job *job,
                            weir_error *error) {
    text_request asked;
    int32_t vocabulary = (int32_t)weir_model_get_info(server->model)->vocabulary;
    weir_status status =
        text_request_read(object, true, vocabulary, server->settings.most_tokens, &asked, error);
    if (status == WEIR_OK && asked.conversation.count > 0) {
        status = weir_chat_usable(server->model, error);
    }
    if (status == WEIR_OK) {
        const generate_wish wish = {.shape = &stream_shape,
                                    .prefix = "",
                                    .generate = &asked.generate,
                                    .text = asked.text,
                                    .text_size = asked.text_size,
                                    .conversation = &asked.conversation,
                                    .logprobs = (int)asked.logprobs};
        status = generate_job_fill(job, server->model, &wish, error);
        job->border = asked.border;
    }
    text_request_free(&asked);
    return status;
}

static void ask(http_request *request, generate_source source) {
    struct server_state *server = request->server;
    weir_error error;
    json_t *object = handler_body(request);
    generate_job *job = object != NULL ? calloc(1, sizeof *job) : NULL;
    if (job == NULL) {
        json_decref(object);
        handler_no_memory(request); /* does nothing when the body was refused */
        return;
    }
    handler_begin_job(request, &job->job, generate_job_run, generate_job_free);
    job->source = source;
    strncpy(job->id, request->parts[0], sizeof job->id - 1);
    weir_status status = fill_ask(server, object, job, &error);
    json_decref(object);
    if (status != WEIR_OK) {
        refuse_error(request->reply, &error);
        generate_job_free(&job->job);
        return;
    }
    worker_submit(server->worker, &job->job);
}

void handle_generate(http_request *request) { ask(request, FROM_STREAM); }

void handle_ask(http_request *request) { ask(request, FROM_FORK); }
