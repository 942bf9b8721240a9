/* /v1/streams: streams that are created, looked at, branched and deleted. What goes in and comes
 * out of them is in streams_text.c. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "http/refusal.h"
#include "http/reply_json.h"
#include "requests/streams_request.h"
#include "weir/chat.h"

typedef struct stream_job stream_job;

struct stream_job {
    server_job job;
    char id[SESSION_ID];
    char name[SESSION_MARK]; /* of a mark; "": none */
    int64_t index;
    weir_stream_options options; /* of a new stream */
    weir_sampling sampling;
    bool seeded;
    char *system, *chat_system;
    bool waits; /* until no request is under way on the stream */
    weir_status (*act)(server_worker *worker, server_session *session, stream_job *job,
                       weir_error *error);
};

static void free_job(server_job *base) {
    stream_job *job = (stream_job *)base;
    reply_release(job->job.reply);
    free(job->system);
    free(job->chat_system);
    free(job);
}

/* ---- jobs on one stream ---------------------------------------------------------------------- */

static job_end run_on_stream(server_worker *worker, server_job *base, weir_error *error) {
    stream_job *job = (stream_job *)base;
    server_session *session = registry_want(worker_registry(worker), job->id, base->reply);
    if (session == NULL) {
        return JOB_DONE;
    }
    if (job->waits && session->users > 0) {
        weir_error_set(error, WEIR_CANCELLED, "the stream is busy: try again later");
        return JOB_WAITS;
    }
    if (job->act(worker, session, job, error) != WEIR_OK) {
        refuse_error(base->reply, error);
    }
    return JOB_DONE;
}

static stream_job *make_job(http_request *request,
                            job_end (*run)(server_worker *worker, server_job *job,
                                           weir_error *error)) {
    stream_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        handler_no_memory(request);
        return NULL;
    }
    handler_begin_job(request, &job->job, run, free_job);
    strncpy(job->id, request->parts[0], sizeof job->id - 1);
    job->index = -1;
    return job;
}

static void submit(http_request *request, stream_job *job) {
    worker_submit(((struct server_state *)request->server)->worker, &job->job);
}

static void submit_act(http_request *request, bool waits,
                       weir_status (*act)(server_worker *, server_session *, stream_job *,
                                          weir_error *),
                       const place_request *place) {
    stream_job *job = make_job(request, run_on_stream);
    if (job == NULL) {
        return;
    }
    job->waits = waits;
    job->act = act;
    if (place != NULL && place->name != NULL) {
        strncpy(job->name, place->name, sizeof job->name - 1);
    }
    job->index = place != NULL ? place->index : -1;
    submit(request, job);
}

/* ---- create ---------------------------------------------------------------------------------- */

/* What is fed before the stream is answered with: its system text, or what a fork still lacks. */
static void finish_feeding(server_worker *worker, server_task *task) {
    (void)worker;
    if (task->error.status != WEIR_OK) {
        task->session->deleted = true;
        refuse_error(task->reply, &task->error);
    } else {
        task->session->users--; /* not busy any more when it is told */
        reply_json(task->reply, 201, session_state(task->session));
        task->session->users++;
    }
}

static const task_kind feeding_kind = {.name = "feeding", .finish = finish_feeding};

static weir_status answer_created(server_worker *worker, server_session *session, stream_job *job,
                                  weir_error *error) {
    if (job->system == NULL && session_waiting(session) == 0) {
        reply_json(job->job.reply, 201, session_state(session));
        return WEIR_OK;
    }
    server_task *task = task_create(&feeding_kind, NULL, session, job->job.reply);
    if (task == NULL) {
        session->deleted = true;
        worker_let_go(worker, session);
        return weir_error_set(error, WEIR_MEMORY, "no memory for a stream");
    }
    task->text = job->system;
    task->text_size = job->system != NULL ? strlen(job->system) : 0;
    task->flush = job->system != NULL;
    job->system = NULL;
    worker_add(worker, task);
    return WEIR_OK;
}

static job_end run_create(server_worker *worker, server_job *base, weir_error *error) {
    stream_job *job = (stream_job *)base;
    server_session *session;
    weir_status status =
        registry_open(worker_registry(worker), &job->options, true, &session, error);
    if (status == WEIR_OK) {
        session->sampling = job->sampling;
        session->seeded = job->seeded;
        session->system = job->chat_system;
        job->chat_system = NULL;
        status = weir_stream_set_sampling(session->stream, &job->sampling, error);
    }
    if (status == WEIR_OK) {
        keeper_add(worker_registry(worker)->keeper, session);
        status = answer_created(worker, session, job, error);
    }
    if (status == WEIR_MEMORY) {
        refuse(base->reply, 503, "no_room", error->message);
    } else if (status != WEIR_OK) {
        refuse_error(base->reply, error);
    }
    return JOB_DONE;
}

static weir_status count_token(void *context, const int32_t *tokens, int64_t count) {
    (void)tokens;
    *(int64_t *)context += count;
    return WEIR_OK;
}

static weir_status pin_system(const weir_model *model, const create_request *asked,
                              weir_stream_options *options, weir_error *error) {
    int64_t count = 0;
    weir_status status = WEIR_OK;
    if (asked->stream.system != NULL) {
        status = weir_model_tokenize(model, asked->stream.system, strlen(asked->stream.system),
                                     true, count_token, &count, error);
    } else if (asked->chat_system != NULL) {
        weir_message system = {WEIR_ROLE_SYSTEM, asked->chat_system, strlen(asked->chat_system)};
        status = weir_chat_count_pinned(model, &system, &count, error);
    }
    if (status == WEIR_OK && count > 0 && options->policy == WEIR_WINDOW) {
        return weir_error_set(error, WEIR_USAGE,
                              "the window policy forgets a system text like any other: choose "
                              "sink or dense");
    }
    return status == WEIR_OK ? stream_request_pin(model, options, count, error) : status;
}

static weir_status fill_create(struct server_state *server, const create_request *asked,
                               stream_job *job, weir_error *error) {
    weir_status status = stream_request_apply(&asked->stream, &job->options, error);
    if (status == WEIR_OK) {
        status = pin_system(server->model, asked, &job->options, error);
    }
    weir_plan plan;
    if (status == WEIR_OK) {
        status = weir_stream_plan(server->model, &job->options, &plan, error);
    }
    if (asked->stream.system != NULL) {
        job->system = strdup(asked->stream.system);
    }
    if (asked->chat_system != NULL) {
        job->chat_system = strdup(asked->chat_system);
    }
    job->sampling = asked->sampling.sampling;
    bool lost = (asked->stream.system != NULL && job->system == NULL) ||
                (asked->chat_system != NULL && job->chat_system == NULL);
    return status == WEIR_OK && lost ? weir_error_set(error, WEIR_MEMORY, "no memory for a stream")
                                     : status;
}

void handle_create_stream(http_request *request) {
    struct server_state *server = request->server;
    create_request asked;
    weir_error error;
    json_t *object = handler_body(request);
    if (object == NULL) {
        return;
    }
    int32_t vocabulary = (int32_t)weir_model_get_info(server->model)->vocabulary;
    weir_status status = create_request_read(object, vocabulary, &asked, &error);
    stream_job *job = status == WEIR_OK ? make_job(request, run_create) : NULL;
    if (job != NULL) {
        job->options = worker_stream_options(server->worker);
        job->seeded = json_is_integer(json_object_get(object, "seed"));
        status = fill_create(server, &asked, job, &error);
    }
    if (status != WEIR_OK) {
        refuse_error(request->reply, &error);
    }
    if (job != NULL && status == WEIR_OK) {
        submit(request, job);
    } else if (job != NULL) {
        free_job(&job->job);
    }
    create_request_free(&asked);
    json_decref(object);
}

/* ---- looked at ------------------------------------------------------------------------------- */

static job_end run_list(server_worker *worker, server_job *base, weir_error *error) {
    (void)error;
    json_t *list = registry_list(worker_registry(worker));
    reply_json(base->reply, 200, json_pack("{s:s,s:o}", "object", "list", "data", list));
    return JOB_DONE;
}

void handle_list_streams(http_request *request) {
    stream_job *job = make_job(request, run_list);
    if (job != NULL) {
        submit(request, job);
    }
}

static weir_status tell_state(server_worker *worker, server_session *session, stream_job *job,
                              weir_error *error) {
    (void)worker, (void)error;
    reply_json(job->job.reply, 200, session_state(session));
    return WEIR_OK;
}

void handle_stream_state(http_request *request) { submit_act(request, false, tell_state, NULL); }

static weir_status listen_to(server_worker *worker, server_session *session, stream_job *job,
                             weir_error *error) {
    (void)worker;
    return session_listen(session, job->job.reply, error);
}

void handle_events(http_request *request) { submit_act(request, false, listen_to, NULL); }

static weir_status delete_stream(server_worker *worker, server_session *session, stream_job *job,
                                 weir_error *error) {
    (void)error;
    reply_json(
        job->job.reply, 200,
        json_pack("{s:s,s:s,s:b}", "id", session->id, "object", "stream.deleted", "deleted", 1));
    session->deleted = true;
    keeper_remove(session);
    worker_let_go(worker, session);
    return WEIR_OK;
}

void handle_delete_stream(http_request *request) {
    submit_act(request, false, delete_stream, NULL);
}

/* ---- branches -------------------------------------------------------------------------------- */

static weir_status fork_stream(server_worker *worker, server_session *parent, stream_job *job,
                               weir_error *error) {
    server_session *fork;
    weir_status status = registry_fork(worker_registry(worker), parent, true, &fork, error);
    if (status != WEIR_OK) {
        return status;
    }
    keeper_add(worker_registry(worker)->keeper, fork);
    return answer_created(worker, fork, job, error);
}

void handle_fork(http_request *request) { submit_act(request, false, fork_stream, NULL); }

static weir_status set_mark(server_worker *worker, server_session *session, stream_job *job,
                            weir_error *error) {
    server_registry *registry = worker_registry(worker);
    bool again = false;
    for (int i = 0; i < SESSION_MARKS; i++) {
        again = again ||
                (session->marks[i].mark != NULL && strcmp(session->marks[i].name, job->name) == 0);
    }
    int64_t bytes = again ? 0 : session->plan.page_bytes;
    weir_status status = registry_reserve_beside(registry, session, bytes, error);
    if (status != WEIR_OK) {
        return status;
    }
    status = session_mark_here(session, job->name, error);
    if (status != WEIR_OK) {
        registry_unreserve(registry, bytes);
        return status;
    }
    reply_json(job->job.reply, 201, session_state(session));
    return WEIR_OK;
}

static json_t *read_place(http_request *request,
                          weir_status (*read)(json_t *, place_request *, weir_error *),
                          place_request *place) {
    weir_error error = {0};
    json_t *object = handler_body(request);
    if (object != NULL && read(object, place, &error) == WEIR_OK && place->name != NULL &&
        strlen(place->name) >= SESSION_MARK) {
        weir_error_set(&error, WEIR_USAGE, "a mark's name must have 1 to %d bytes",
                       SESSION_MARK - 1);
    } else if (object == NULL || error.status == WEIR_OK) {
        return object;
    }
    refuse_error(request->reply, &error);
    json_decref(object);
    return NULL;
}

void handle_mark(http_request *request) {
    place_request place;
    json_t *object = read_place(request, mark_request_read, &place);
    if (object != NULL) {
        submit_act(request, true, set_mark, &place);
        json_decref(object);
    }
}

static weir_status drop_mark(server_worker *worker, server_session *session, stream_job *job,
                             weir_error *error) {
    const int64_t before = registry_bytes(session);
    weir_status status = session_unmark(session, job->name, error);
    registry_unreserve(worker_registry(worker), before - registry_bytes(session));
    if (status == WEIR_OK) {
        reply_json(job->job.reply, 200, session_state(session));
    }
    return status;
}

void handle_unmark(http_request *request) {
    place_request place = {.name = request->parts[1], .index = -1};
    submit_act(request, true, drop_mark, &place);
}

static weir_status go_back(server_worker *worker, server_session *session, stream_job *job,
                           weir_error *error) {
    const int64_t before = registry_bytes(session);
    weir_status status = job->index >= 0 ? session_rewind(session, job->index, error)
                                         : session_return(session, job->name, error);
    registry_unreserve(worker_registry(worker), before - registry_bytes(session));
    if (status == WEIR_OK) {
        reply_json(job->job.reply, 200, session_state(session));
    }
    return status;
}

void handle_rewind(http_request *request) {
    place_request place;
    json_t *object = read_place(request, rewind_request_read, &place);
    if (object != NULL) {
        submit_act(request, true, go_back, &place);
        json_decref(object);
    }
}
