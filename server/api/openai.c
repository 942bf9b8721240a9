/* OpenAI's endpoints: a request is read, becomes a job, and is answered in OpenAI's shapes. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/openai_reply.h"
#include "http/refusal.h"
#include "requests/openai_request.h"
#include "weir/chat.h"

typedef weir_status (*read_fn)(json_t *object, int32_t vocabulary, int64_t most_tokens,
                               openai_request *out, weir_error *error);

static bool knows_model(http_request *request, const char *name) {
    struct server_state *server = request->server;
    char message[256];
    if (name == NULL || strcmp(name, server->model_name) == 0) {
        return true;
    }
    snprintf(message, sizeof message, "there is no model \"%.60s\" here; this server has \"%s\"",
             name, server->model_name);
    refuse(request->reply, 404, "model_not_found", message);
    return false;
}

/* Where the stream comes from, and what it looks like. */
static weir_status choose_stream(struct server_state *server, const openai_request *asked,
                                 generate_job *job, weir_error *error) {
    job->options = worker_stream_options(server->worker);
    if (asked->stream_id != NULL) {
        job->source = FROM_STREAM;
        strncpy(job->id, asked->stream_id, sizeof job->id - 1);
        const stream_request *shape = &asked->stream;
        bool shaped = shape->policy != NULL || shape->cache_type != NULL || shape->evict != NULL ||
                      shape->sinks >= 0 || shape->window > 0 || shape->cache > 0 ||
                      shape->context > 0 || shape->beyond;
        return shaped
                   ? weir_error_set(error, WEIR_USAGE,
                                    "policy, sizes, cache_type and evict belong to a stream that "
                                    "is created: leave them out with stream_id")
                   : WEIR_OK;
    }
    job->source = FROM_NEW;
    weir_status status = stream_request_apply(&asked->stream, &job->options, error);
    int64_t pinned = 0;
    if (status == WEIR_OK && asked->conversation.count > 0) {
        status = weir_chat_count_pinned(server->model, conversation_system(&asked->conversation),
                                        &pinned, error);
    }
    return status == WEIR_OK ? stream_request_pin(server->model, &job->options, pinned, error)
                             : status;
}

static weir_status fill_job(struct server_state *server, openai_request *asked, generate_job *job,
                            weir_error *error) {
    weir_status status = choose_stream(server, asked, job, error);
    if (status != WEIR_OK) {
        return status;
    }
    const bool chats = asked->conversation.count > 0;
    const generate_wish wish = {.shape = chats ? &chat_shape : &completion_shape,
                                .prefix = chats ? "chatcmpl-" : "cmpl-",
                                .generate = &asked->generate,
                                .text = asked->text,
                                .text_size = asked->text_size,
                                .conversation = &asked->conversation,
                                .logprobs = asked->logprobs};
    status = generate_job_fill(job, server->model, &wish, error);
    if (status != WEIR_OK) {
        return status;
    }
    job->answer->model_name = server->model_name;
    job->tokens = asked->tokens;
    job->token_count = asked->token_count;
    asked->tokens = NULL;
    return WEIR_OK;
}

static void submit(http_request *request, openai_request *asked) {
    struct server_state *server = request->server;
    weir_error error;
    generate_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        handler_no_memory(request);
        return;
    }
    handler_begin_job(request, &job->job, generate_job_run, generate_job_free);
    if (fill_job(server, asked, job, &error) != WEIR_OK) {
        refuse_error(request->reply, &error);
        generate_job_free(&job->job);
        return;
    }
    worker_submit(server->worker, &job->job);
}

static void handle(http_request *request, read_fn read) {
    struct server_state *server = request->server;
    openai_request asked;
    weir_error error;
    json_t *object = handler_body(request);
    if (object == NULL) {
        return;
    }
    int32_t vocabulary = (int32_t)weir_model_get_info(server->model)->vocabulary;
    weir_status status = read(object, vocabulary, server->settings.most_tokens, &asked, &error);
    if (status != WEIR_OK) {
        refuse_error(request->reply, &error);
    } else if (knows_model(request, asked.model)) {
        submit(request, &asked);
    }
    openai_request_free(&asked);
    json_decref(object);
}

void handle_completions(http_request *request) { handle(request, openai_read_completion); }

void handle_chat(http_request *request) {
    struct server_state *server = request->server;
    weir_error error;
    if (weir_chat_usable(server->model, &error) != WEIR_OK) {
        refuse_error(request->reply, &error);
        return;
    }
    handle(request, openai_read_chat);
}

/* ---- embeddings ------------------------------------------------------------------------------ */

/* The first request waits for the memory that vectors are computed in; the worker has it. */
typedef struct embed_room_job {
    server_job job;
    server_embeddings *embeddings;
    json_t *object;
    embed_request request;
} embed_room_job;

static void free_embed_room(server_job *base) {
    embed_room_job *job = (embed_room_job *)base;
    embed_request_free(&job->request);
    json_decref(job->object);
    reply_release(base->reply);
    free(job);
}

static job_end run_embed_room(server_worker *worker, server_job *base, weir_error *error) {
    embed_room_job *job = (embed_room_job *)base;
    server_registry *registry = worker_registry(worker);
    const int64_t bytes = embeddings_bytes(job->embeddings);
    if (!embeddings_have_room(job->embeddings)) {
        weir_status status = registry_reserve(registry, bytes, NULL);
        if (status != WEIR_OK) {
            weir_error_set(error, status, "embeddings take %lld bytes, and %lld of %lld are taken",
                           (long long)bytes, (long long)registry->planned,
                           (long long)registry->limit);
        }
        if (status == WEIR_MEMORY) {
            return JOB_WAITS;
        }
        if (status != WEIR_OK) {
            refuse_error(base->reply, error);
            return JOB_DONE;
        }
        embeddings_give_room(job->embeddings);
    }
    embeddings_submit(job->embeddings, job->object, &job->request, base->reply);
    job->object = NULL;
    return JOB_DONE;
}

/* The request is taken, and empty afterwards. */
static void submit_embed(http_request *request, json_t *object, embed_request *asked) {
    struct server_state *server = request->server;
    if (server->worker == NULL || embeddings_have_room(server->embeddings)) {
        embeddings_submit(server->embeddings, json_incref(object), asked, request->reply);
        return;
    }
    embed_room_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        handler_no_memory(request);
        return;
    }
    handler_begin_job(request, &job->job, run_embed_room, free_embed_room);
    job->embeddings = server->embeddings;
    job->object = json_incref(object);
    job->request = *asked;
    *asked = (embed_request){.count = 0};
    worker_submit(server->worker, &job->job);
}

void handle_embeddings(http_request *request) {
    struct server_state *server = request->server;
    const weir_model_info *info = weir_model_get_info(server->model);
    embed_request asked;
    weir_error error;
    json_t *object = handler_body(request);
    if (object == NULL) {
        return;
    }
    weir_status status =
        embed_request_read(object, (int32_t)info->vocabulary, info->width, &asked, &error);
    if (status != WEIR_OK) {
        refuse_error(request->reply, &error);
    } else if (knows_model(request, asked.model)) {
        submit_embed(request, object, &asked);
    }
    embed_request_free(&asked);
    json_decref(object);
}

void handle_no_streams(http_request *request) {
    refuse(
        request->reply, 400, "UNSUPPORTED",
        "this model is an encoder, which reads a whole text both ways: it makes embeddings only");
}
