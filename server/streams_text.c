/* /v1/streams/ID/append, /generate, /ask: what goes into a stream, and what comes out of it. */
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "refusal.h"
#include "reply_json.h"
#include "streams_reply.h"
#include "streams_request.h"
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
    weir_sampling unused = weir_sampling_default();
    json_t *object = handler_body(request);
    if (object == NULL) {
        return false;
    }
    int32_t vocabulary = (int32_t)weir_model_get_info(server->model)->vocabulary;
    weir_status status = text_request_read(object, false, &unused, vocabulary, 0, &asked, &error);
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

/* What a request does not say about sampling is the stream's, which only the worker knows: so the
 * body is read there. It is bounded, and small. */
typedef struct ask_job {
    generate_job generate;
    json_t *object;
    struct server_state *server;
} ask_job;

static void free_ask(server_job *base) {
    json_decref(((ask_job *)base)->object);
    generate_job_free(base);
}

/* The seed that the stream was created with holds for its requests, as its other rules do. */
static void take_seed(json_t *object, const server_session *session, generate_request *to) {
    if (session->seeded && !json_is_integer(json_object_get(object, "seed"))) {
        to->seed = to->sampling.seed = session->sampling.seed;
    }
}

static weir_status fill_ask(ask_job *job, const server_session *session, weir_error *error) {
    struct server_state *server = job->server;
    generate_job *to = &job->generate;
    text_request asked;
    int32_t vocabulary = (int32_t)weir_model_get_info(server->model)->vocabulary;
    weir_status status = text_request_read(job->object, true, &session->sampling, vocabulary,
                                           server->settings.most_tokens, &asked, error);
    take_seed(job->object, session, &asked.generate);
    const char *stop = asked.conversation.count > 0 ? weir_chat_stop(server->model) : NULL;
    if (status == WEIR_OK && stop != NULL) {
        status = generate_request_stop(&asked.generate, stop, strlen(stop), error);
    }
    if (status == WEIR_OK && asked.conversation.count > 0) {
        status = weir_chat_usable(server->model, error);
    }
    if (status == WEIR_OK) {
        to->answer = answer_create(&stream_shape, "", to->job.reply, &asked.generate);
        to->text = asked.text != NULL ? copy_bytes(asked.text, asked.text_size) : NULL;
        if (to->answer == NULL || (asked.text != NULL && to->text == NULL)) {
            status = weir_error_set(error, WEIR_MEMORY, "no memory for a request");
        }
    }
    if (status == WEIR_OK) {
        to->answer->logprobs = (int)asked.logprobs;
        to->answer->chats = asked.conversation.count > 0;
        to->text_size = asked.text_size;
        to->border = asked.border;
        to->conversation = asked.conversation;
        asked.conversation = (server_conversation){.count = 0};
    }
    text_request_free(&asked);
    return status;
}

static job_end run_ask(server_worker *worker, server_job *base, weir_error *error) {
    ask_job *job = (ask_job *)base;
    server_session *session = registry_want(worker_registry(worker), job->generate.id, base->reply);
    if (session == NULL) {
        return JOB_DONE;
    }
    if (job->generate.answer == NULL && fill_ask(job, session, error) != WEIR_OK) {
        refuse_error(base->reply, error);
        return JOB_DONE;
    }
    return generate_job_run(worker, base, error);
}

static void ask(http_request *request, generate_source source) {
    struct server_state *server = request->server;
    json_t *object = handler_body(request);
    ask_job *job = object != NULL ? calloc(1, sizeof *job) : NULL;
    if (job == NULL) {
        json_decref(object);
        handler_no_memory(request); /* does nothing when the body was refused */
        return;
    }
    handler_begin_job(request, &job->generate.job, run_ask, free_ask);
    job->object = object;
    job->server = server;
    job->generate.source = source;
    strncpy(job->generate.id, request->parts[0], sizeof job->generate.id - 1);
    worker_submit(server->worker, &job->generate.job);
}

void handle_generate(http_request *request) { ask(request, FROM_STREAM); }

void handle_ask(http_request *request) { ask(request, FROM_FORK); }
